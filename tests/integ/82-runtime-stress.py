#!/usr/bin/env python3
"""Create, start, kill, delete, many at a time, with runtimes that are killed in the middle: nothing is left behind.

CYCLES says how often (1000), SEED repeats a choice of moments; make soak-runtime takes many more.
"""
import concurrent.futures
import os
import pathlib
import random
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import wait_until  # noqa: E402
from tap import case, same  # noqa: E402

CYCLES = int(os.environ.get("CYCLES", "1000"))
AT_ONCE = 16
LONGEST_MS = 12  # of a command on an idle machine: kills come at any moment of it
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1 << 30)
SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
           "syscalls": [{"names": ["swapon", "acct"], "action": "SCMP_ACT_ERRNO"}]}


class Worker:
    """One bundle, and one container at a time."""

    def __init__(self, box, number):
        self.box = box
        self.number = number
        self.random = random.Random(SEED * 1000 + number)
        self.bundle = box.bundle("sleep 100000", self.config)
        self.errors = os.path.join(self.bundle, "stderr")
        open(self.errors, "w").close()
        self.killed = self.whole = 0

    def config(self, c):
        c["linux"]["cgroupsPath"] = f"{group(self.box)}/{self.number}"
        c["linux"]["maskedPaths"] = ["/proc/kcore", "/proc/acpi"]
        c["linux"]["readonlyPaths"] = ["/proc/sys"]
        c["linux"]["seccomp"] = SECCOMP
        c["linux"]["resources"] = {"pids": {"limit": 20}}
        if self.number % 2:
            c["hooks"] = {k: [{"path": "/bin/true"}] for k in ("createRuntime", "poststart", "poststop")}

    def command(self, *args):
        """The exit status; None if the runtime was killed before it came to its end."""
        with open(self.errors, "w") as errors:
            child = subprocess.Popen([self.box.runtime, "--root", self.box.state, *args], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=errors)
        try:
            if self.random.random() < 0.25:
                try:
                    child.wait(self.random.uniform(0, LONGEST_MS / 1000))
                except subprocess.TimeoutExpired:
                    child.kill()
            status = child.wait(container.WAIT_S)
        finally:
            child.kill()
            child.wait()
        if status == -9:
            self.killed += 1
            return None
        return status

    def cycle(self, n):
        name = f"stress-{os.getpid()}-{self.number}-{n}"
        steps = [("create", "--bundle", self.bundle, name), ("start", name), ("kill", name, "KILL"), ("delete", name)]
        status = 0
        for step in steps:
            status = self.command(*step)
            if status != 0:
                break
        if status == 0:
            self.whole += 1
        elif status is not None:  # "delete" right after "kill" may come too soon; all else must succeed
            with open(self.errors) as f:
                assert step[0] == "delete", f"{step}: exit status {status}\n{f.read()}"
        p = self.box.rt("delete", "--force", name)
        same("delete --force says", "", p.stderr)
        same("state afterwards", 1, self.box.rt("state", name, rc=None).returncode)
        assert not os.path.exists(os.path.join(self.box.state, name)), f"{name}: state is left"


def group(box):
    return f"/berth-stress-{os.getpid()}-{os.path.basename(box.work)}"


def processes(box):
    """Pids of all that belongs to the box: runtimes, containers' processes before and after they run their program."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        for name in ("cmdline", "cgroup"):
            try:
                with open(f"/proc/{pid}/{name}", errors="replace") as f:
                    text = f.read()
            except OSError:
                continue
            if (box.work in text or group(box) in text) and container.alive(pid):
                found.append(int(pid))
                break
    return found


def mounts():
    with open("/proc/self/mountinfo") as f:
        return {line.split()[4] for line in f}


def groups(box):
    name = os.path.basename(group(box))
    return subprocess.run(["find", container.CGROUPS, "-name", name], stdout=subprocess.PIPE, text=True, check=True).stdout


def files(box):
    return sorted(p for p in subprocess.run(["find", box.work, "-xdev"], stdout=subprocess.PIPE, text=True,
                                            check=True).stdout.split("\n") if "/~" not in p)


@case(f"{CYCLES} cycles, {AT_ONCE} at a time, runtimes killed at random (SEED={SEED}): delete --force always recovers")
def cycles(box):
    workers = [Worker(box, i) for i in range(AT_ONCE)]
    box.run("true")  # makes what stays: the directories of states and of filters
    box.left = files(box)
    box.mounts = mounts()
    numbers, lock = iter(range(CYCLES)), threading.Lock()

    def work(w):
        while True:
            with lock:
                n = next(numbers, None)
            if n is None:
                return
            w.cycle(n)

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for job in [pool.submit(work, w) for w in workers]:
            job.result()
    killed, whole = sum(w.killed for w in workers), sum(w.whole for w in workers)
    print(f"# {killed} runtimes were killed, {whole} cycles came to their end undisturbed")
    assert killed > CYCLES // 20 and whole > CYCLES // 20, (killed, whole)


@case("no process is left, and so no namespace: none is bound to a name either")
def no_process(box):
    wait_until("everything has ended", lambda: not processes(box))


@case("no mount, no cgroup, no state, no file is left")
def nothing(box):
    same("mounts", set(), {m for m in mounts() - box.mounts if m.startswith(box.work)})
    wait_until("groups are gone", lambda: not groups(box), 5)
    same("states", [], [n for n in os.listdir(box.state) if not n.startswith("~")])
    same("files", box.left, files(box))


def main():
    container.need_root()
    with container.Box() as box:
        tap.main(box)


if __name__ == "__main__":
    main()
