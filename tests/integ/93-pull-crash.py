#!/usr/bin/env python3
"""SIGKILL at each system call of a pull that changes something (attacks.md FLT-29): no half image or layer is ever used, the next
pull succeeds, and prune gives all space back.

PULL_STEP=1 takes every call; as a preset every seventh, at another offset each time.
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import runner  # noqa: E402
import tap  # noqa: E402
import tree  # noqa: E402

FAULTY = runner.TOP / "build/fault/bin/berth"
STEP = int(os.environ.get("PULL_STEP", "7"))
CALLS_MAX = 5000
LAYERS = [runner.layer({"a": b"first", "dir": ("dir", 0o750), "dir/x": os.urandom(300000), "gone": b"x"}),
          runner.layer({"b": b"second", ".wh.gone": b"", "link": ("link", "a"), "hard": ("hard", "b"), "dir/y": b"y"})]


def images(r):
    return json.loads(r.berth("images", "--json"))


def leftovers(r):
    """Files that are of no use once nothing has a name."""
    blobs = [str(f) for f in (r.root / "store/blobs").rglob("*") if f.is_file()]
    return blobs + [f"{d}/{n}" for d in ("layers", "staging", "downloads") for n in os.listdir(r.root / d)]


def trees(r):
    """All layers that are in place."""
    found = {n: tree.snapshot(r.root / "layers" / n / "diff") for n in os.listdir(r.root / "layers") if (r.root / "layers" / n / "diff").is_dir()}
    for snapshot in found.values():
        for path in snapshot.keys() & {b"", b"gone"}:
            snapshot[path]["mtime"] = None  # of roots and whiteouts, which these layers do not say
    return found


def pull_killed(r, ref, call, mode):
    """True if it was killed."""
    p = subprocess.run([str(FAULTY), *r.command("pull", "-q", ref)[1:]], env={**os.environ, "BERTH_FAULT": f"{call}:5:{mode}"},
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=runner.WAIT_S, check=False)
    if p.returncode == 0:
        return False
    assert p.returncode < 0 or p.returncode >= 128, f"call {call}: exit status {p.returncode}: {p.stderr.decode()}"
    return True


def check_after(r, ref, whole, what):
    for image in images(r):  # a name leads to something that runs
        r.berth("unpack", image["name"], str(r.work / "bundle"))
        shutil.rmtree(r.work / "bundle")
    for name, found in trees(r).items():
        tree.same_trees(f"{what}: layer {name}, as it is (first) and should be (second)", found, whole[name])
    r.berth("pull", "-q", ref)
    tap.same(f"{what}: layers after the next pull", set(whole), set(trees(r)))
    r.berth("rmi", ref)
    r.berth("prune")
    tap.same(f"{what}: what is left", [], leftovers(r))


def each_call(r, mode):
    ref = r.push("app:v1", LAYERS)
    r.berth("pull", "-q", ref)
    whole = trees(r)
    r.berth("rmi", ref)
    r.berth("prune")
    call, kills = random.randrange(STEP) + 1, 0
    while pull_killed(r, ref, call, mode):
        check_after(r, ref, whole, f"{mode} at call {call}")
        kills += 1
        call += STEP
        assert call < CALLS_MAX, "it does not end"
    r.berth("rmi", ref)
    r.berth("prune")
    print(f"# killed {kills} times, {mode}, of some {call} calls", flush=True)
    assert kills > 3, "the pull has hardly any calls: is this the build with faults?"


@tap.case("killed before a call")
def before(r):
    each_call(r, "kill")


@tap.case("killed after a call")
def after(r):
    each_call(r, "kill_after")


@tap.case("killed in the middle of a write")
def half(r):
    each_call(r, "kill_half")


if __name__ == "__main__":
    if os.geteuid() != 0 or not FAULTY.exists():
        print("1..0 # SKIP needs root, and build/fault/bin/berth (make MODE=fault fault-programs)")
        sys.exit(0)
    with runner.Runner() as r:
        tap.main(r)
