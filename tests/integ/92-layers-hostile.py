#!/usr/bin/env python3
"""Every hostile layer of tests/lib/hostile through "berth unpack --layer": refused, contained or accepted as the case says.

Around each run stand canaries: a directory outside, the working directory, and the bundle that the root file system is in.
They are compared by content, mode, owner, links, times and attributes.  As root, since only root could do all the harm.
ONLY=WHT-03 runs one case, KEEP=1 leaves its files.
"""
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import hostile  # noqa: E402
import tap  # noqa: E402
import tree  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
BERTH = os.environ.get("BERTH", str(TOP / "build/bin/berth"))
SLOW = bool(os.environ.get("BERTH_SLOW"))
RSS_MAX = 64 << 20
RSS_WINDOW = 200 << 20  # a zstd window of 128 MiB is the one thing that may cost more
SECRET = b"the canary's secret\n"
STARTER = None


class Sandbox:
    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-lyr-"))
        self.bundle, self.rootfs = self.work / "bundle", self.work / "bundle/rootfs"
        self.where = hostile.Where(str(self.work / "canary"), str(self.work / "cwd"))
        for d in ("canary/sub", "cwd", "bundle/rootfs"):
            (self.work / d).mkdir(parents=True)
        for f in ("canary/secret", "canary/sub/file", "cwd/in-cwd", "bundle/config.json"):
            (self.work / f).write_bytes(SECRET)
        os.chmod(self.work / "canary/secret", 0o600)
        os.chown(self.work / "canary/sub/file", 1234, 1234)
        os.setxattr(self.work / "canary/secret", "user.mark", b"canary")
        for d, _, files in os.walk(self.work, topdown=False):
            for f in (*files, "."):
                os.utime(os.path.join(d, f), (10**9, 10**9))
        self.before = self.canaries()

    def canaries(self):
        found = {}
        for d in ("canary", "cwd"):
            found.update({os.path.join(d.encode(), k): v for k, v in tree.snapshot(self.work / d).items()})
        found[b"config.json"] = tree.snapshot(self.bundle / "config.json")[b""]
        found[b"beside the root file system"] = {"names": sorted(os.listdir(self.bundle))}
        found[b"beside all"] = {"names": sorted(os.listdir(self.work))}
        found[b"links of the secret"] = {"n": os.stat(self.work / "canary/secret").st_nlink}
        return found

    def remove(self):
        subprocess.run(["chattr", "-R", "-i", "-a", self.work], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--one-file-system", self.work], check=True)


class Starter:
    """A small process that starts others: what a child starts with, which is its parent's memory, counts as its own."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            self.serve(theirs)
            os._exit(0)
        theirs.close()
        self.file = ours.makefile("rw")

    @staticmethod
    def serve(end):
        file = end.makefile("rw")
        for line in file:
            command, cwd, err = json.loads(line)
            began = time.monotonic()
            with open(err, "wb") as e:
                child = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=e)
                _, status, usage = os.wait4(child.pid, 0)
            file.write(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - began, usage.ru_maxrss << 10]) + "\n")
            file.flush()

    def run(self, command, cwd, err):
        self.file.write(json.dumps([command, cwd, err]) + "\n")
        self.file.flush()
        return json.loads(self.file.readline())


def run(case, box):
    files = []
    for i, data in enumerate(case.layers(box.where)):
        files.append(str(box.work / f"layer{i}"))
        pathlib.Path(files[-1]).write_bytes(data)
    box.before = box.canaries()
    err = str(box.work) + ".err"
    status, seconds, rss = STARTER.run([BERTH, "unpack", "--layer", *files, str(box.rootfs)], box.where.cwd, err)
    text = pathlib.Path(err).read_bytes()
    os.unlink(err)
    return status, text, seconds, rss


def disk_used(path):
    return int(subprocess.run(["du", "-s", "-B1", path], stdout=subprocess.PIPE, check=True).stdout.split()[0])


def leaked(rootfs):
    for d, _, names in os.walk(os.fsencode(rootfs)):
        for name in names:
            path = os.path.join(d, name)
            if os.path.isfile(path) and not os.path.islink(path) and os.stat(path).st_size < 1 << 20:
                with open(path, "rb") as f:
                    if SECRET in f.read():
                        return path
    return None


def judge(case, box):
    status, text, seconds, rss = run(case, box)
    after = box.canaries()
    tree.same_trees("the canaries before and after", box.before, after)
    assert status in (0, 1), f"exit status {status}: {text[-300:]!r}"
    lines = text.decode().splitlines()
    if case.verdict == "reject":
        assert status == 1, "it was unpacked"
    if case.verdict == "accept":
        assert status == 0, f"it was refused: {lines}"
    if status == 1:
        assert len(lines) == 1 and lines[0].startswith("berth: "), f"not one line: {lines}"
        assert lines[0].isprintable(), f"raw control characters: {lines[0]!r}"
    assert leaked(box.rootfs) is None, f"the secret is in {leaked(box.rootfs)}"
    if not SLOW:
        limit = RSS_WINDOW if "window of 128 MiB" in case.what else RSS_MAX
        assert rss <= limit, f"{rss >> 20} MiB of memory"
    assert seconds <= case.seconds * (20 if SLOW else 1), f"{seconds:.1f} s"
    assert disk_used(box.rootfs) <= case.disk, f"{disk_used(box.rootfs) >> 20} MiB on disk"
    if case.check and status == 0:
        case.check(box.rootfs, box.where)


def one(case):
    box = Sandbox()
    try:
        judge(case, box)
    finally:
        if not os.environ.get("KEEP"):
            box.remove()


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(10000)  # trees are 1,000 deep
    global STARTER
    STARTER = Starter()
    wanted = os.environ.get("ONLY")
    counts = {}
    for c in hostile.all_cases():
        if wanted and not c.id.startswith(wanted):
            continue
        counts[c.id.split("-")[0]] = counts.get(c.id.split("-")[0], 0) + 1
        tap.case(f"{c.id} {c.verdict}: {c.what}")(lambda c=c: one(c))
    print("# " + ", ".join(f"{k} {n}" for k, n in counts.items()), flush=True)
    tap.main()


if __name__ == "__main__":
    main()
