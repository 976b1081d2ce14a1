"""The runner's rows of `make bench`: pull.py, run.py and runtime.sh as they stand, and what they print as values."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
from dockerd import dockerd  # noqa: E402
from workloads import Row  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 240  # of a program
GROUP = "The runner"
ROWS = (
    Row("runner-pull", "pull and unpack of an image of 6 layers", None, "s", ("berth", "docker", "podman", "umoci"), group=GROUP, better="less",
        goals=(("docker", 2.5), ("podman", 2.5))),
    Row("runner-run", "run --rm of a small image that is there", None, "ms", ("berth", "docker", "podman"), group=GROUP, better="less",
        goals=(("docker", 1 / 0.35), ("podman", 1 / 0.35))),
    Row("runtime-run", "run by the runtime, podman's profile", None, "ms", ("berth", "floor", "crun", "runc"), limit="floor", group=GROUP, better="less",
        goals=(("crun", 1 / 0.45), ("runc", 4))),
    Row("runtime-exec", "exec by the runtime", None, "ms", ("berth", "crun", "runc"), group=GROUP, better="less", goals=(("crun", 1 / 0.45), ("runc", 4))),
)


def run(command):
    """What it prints; what it says otherwise is for people."""
    p = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if p.returncode != 0:
        raise AssertionError(f"{command[0]}: {(p.stdout + p.stderr).strip().splitlines()[-1][:300]}")
    return p.stdout


def by_round(text, unit):
    """{peer: [values]} of lines "round N PEER VALUE UNIT"."""
    values = {}
    for peer, value in re.findall(rf"^round \d+ (\S+) +([\d.]+) {unit}", text, re.M):
        values.setdefault(peer, []).append(float(value))
    return values


def of_runtime(text, what):
    """Median, lowest and highest of the table under that name, as three values."""
    table = re.split(r"^(run|exec) .*$", text, flags=re.M)
    part = table[table.index(what) + 1]
    return {name: [float(x) for x in values.split()] for name, values in re.findall(r"^(\w+) +([\d.]+ +[\d.]+ +[\d.]+) ", part, re.M)}


def measure(quick, peers, tell):
    """Calls tell(row name, {server: [values]}, command) for what ran, and tell(row name, why) for what did not."""
    def attempt(names, command, parse):
        try:
            text = run(command)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as e:
            for name in names:
                tell(name, str(e))
            return
        shown = " ".join(str(x).replace(f"{b.TOP}/", "") for x in command)
        for name in names:
            tell(name, parse(text, name), shown)

    pull = ["-n", 1, "-b", 30_000_000] if quick else ["-n", 3, "-b", 400_000_000]
    attempt(["runner-pull"], [str(HERE / "pull.py"), *map(str, pull), "berth", *peers, "umoci"], lambda text, _: by_round(text, "s"))
    attempt(["runner-run"], [str(HERE / "run.py"), "-n", "2" if quick else "10", "-m", "0", "berth", *peers], lambda text, _: by_round(text, "ms"))
    attempt(["runtime-run", "runtime-exec"], [str(HERE / "runtime.sh"), "3" if quick else "30"], lambda text, name: of_runtime(text, name.split("-")[1]))


def all_rows(quick, tell):
    if os.geteuid() != 0:
        for row in ROWS:
            tell(row.name, "needs root")
        return
    work = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-"))
    try:
        with dockerd(work) as why:
            measure(quick, ["podman"] + ([] if why else ["docker"]), tell)
            if why:
                for row in ("runner-pull", "runner-run"):
                    tell(row, f"docker: {why}")
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)
