#!/usr/bin/env python3
"""What requests cost, in instructions (callgrind) and system calls (strace): compared with tests/golden/costs.json.

Neither depends on how busy the machine is, so a change that makes a request dearer shows here and not in a benchmark.  After a change
that is worth its cost, or cheaper: 47-costs.py --write
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

GOLDEN = r.TOP / "tests/golden/costs.json"
WRITE = "--write" in sys.argv
OPTIONS = ("--threads=2", "--workers=1", "--gc.enabled=false", "--scrub.rate=0", "--process.confine=false", "--log.access=false")
USER, HASH = "alice:secret", "$2y$05$" + "abcdefghijklmnopqrstuu"
DEARER = 1.10  # times what was written down
CHEAPER = 0.75  # then it is time to write it down again
REQUESTS = 100
UNCOUNTED = {"futex", "sched_yield", "restart_syscall", "clock_nanosleep", "poll"}  # what threads do to meet, and timers


class Server:
    """One berthd with an image, and the requests that are counted: each has a number that no other one of its kind has."""

    def __init__(self, daemon):
        self.d = daemon
        self.c = daemon.connect()
        self.blob, self.large, self.config = b"b" * 4096, b"l" * 65536, b"{}"
        for data in (self.blob, self.large, self.config):
            self.push(data)
        self.manifest = json.dumps(r.image(self.config, [self.blob, self.large])).encode()
        same("manifest", 201, self.put(self.manifest, "v1"))
        for i in range(50):
            same("tag", 201, self.put(self.manifest, f"t{i}"))
        self.n = 0

    def ask(self, method, path, body=None, headers=None):
        return self.d.request(method, f"/v2/cost/{path}", body, headers, self.c).status

    def push(self, data):
        self.d.push_blob("cost", data, self.c)
        return 201

    def put(self, data, reference):
        return self.d.put_manifest("cost", reference, data, self.c).status

    def fresh(self):
        """Bytes that were not pushed before, always as many."""
        self.n += 1
        return b"%08d" % self.n

    def image(self):
        return json.dumps(r.image(self.config, [self.blob], annotations={"n": self.fresh().decode()})).encode()


# What is asked, and the status that must come back.
CASES = {
    "manifest GET by tag": (200, lambda s: s.ask("GET", "manifests/v1")),
    "manifest GET by digest": (200, lambda s: s.ask("GET", f"manifests/{r.sha256(s.manifest)}")),
    "manifest HEAD by tag": (200, lambda s: s.ask("HEAD", "manifests/v1")),
    "manifest that is not there": (404, lambda s: s.ask("GET", "manifests/none")),
    "blob HEAD": (200, lambda s: s.ask("HEAD", f"blobs/{r.sha256(s.blob)}")),
    "blob GET, 4 KiB": (200, lambda s: s.ask("GET", f"blobs/{r.sha256(s.blob)}")),
    "blob GET, 64 KiB": (200, lambda s: s.ask("GET", f"blobs/{r.sha256(s.large)}")),
    "tags, 50": (200, lambda s: s.ask("GET", "tags/list")),
    "referrers, none": (200, lambda s: s.ask("GET", f"referrers/{r.sha256(s.manifest)}")),
    "blob push, 4 KiB": (201, lambda s: s.push(s.fresh() * 512)),
    "blob push of what is there": (201, lambda s: s.push(s.blob)),
    "manifest PUT": (201, lambda s: s.put(s.image(), "put")),
    "manifest PUT of what is there": (201, lambda s: s.put(s.manifest, "v1")),
}


def repeat(s, what):
    status, ask = CASES[what]
    for _ in range(REQUESTS):
        same(what, status, ask(s))


def instructions(directory):
    """{case: instructions of a request}"""
    out = directory / "callgrind"
    costs = {}
    under = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q")
    with r.Daemon(*OPTIONS, under=under) as d:
        s = Server(d)

        def dump(n):
            subprocess.run(["callgrind_control", "--dump", str(d.process.pid)], check=True, capture_output=True, timeout=r.WAIT_S)
            file = pathlib.Path(f"{out}.{n}")
            r.wait_until("a dump", lambda: file.exists() and "totals:" in file.read_text())
            return int(re.search(r"^totals: (\d+)", file.read_text(), re.M)[1])

        n = 0
        for what in CASES:
            repeat(s, what)  # so that what is made once is there
            dump(n := n + 1)
            repeat(s, what)
            costs[what] = round(dump(n := n + 1) / REQUESTS)
    return costs


def system_calls(directory):
    """{case: system calls of a request}"""
    costs = {}
    with r.Daemon(*OPTIONS) as d:
        s = Server(d)
        for n, what in enumerate(CASES):
            out = directory / f"strace{n}"
            p = subprocess.Popen(["strace", "-f", "-qq", "-o", str(out), "-p", str(d.process.pid)], stderr=subprocess.DEVNULL)
            r.wait_until("strace is attached", lambda: traced(d.process.pid) or p.poll() is not None)
            same("strace runs", None, p.poll())
            repeat(s, what)
            p.terminate()
            p.wait(r.WAIT_S)
            calls = re.findall(r"^\d+ +(\w+)\(", out.read_text(), re.M)
            costs[what] = round(sum(c not in UNCOUNTED for c in calls) / REQUESTS, 1)
    return costs


def traced(pid):
    """All threads are."""
    return all(not re.search(r"^TracerPid:\t0$", (t / "status").read_text(), re.M) for t in pathlib.Path(f"/proc/{pid}/task").iterdir())


def compare(kind, costs):
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if WRITE:
        golden[kind] = costs
        GOLDEN.write_text(json.dumps(golden, indent=2) + "\n")
        return
    lines = [f"{what}: {cost}, was {golden[kind].get(what)}" for what, cost in costs.items()
             if not (CHEAPER * golden[kind].get(what, 0) <= cost <= DEARER * golden[kind].get(what, 0))]
    same(f"{kind} of a request", [], lines)


@case("instructions of each request are what they were")
def count_instructions(directory):
    if not shutil.which("valgrind"):
        raise tap.Skip("valgrind is not installed")
    if r.BERTHD != str(r.TOP / "build/bin/berthd"):
        raise tap.Skip("another program than the one that was measured")
    compare("instructions", instructions(directory))


@case("system calls of each request are what they were")
def count_calls(directory):
    if r.BERTHD != str(r.TOP / "build/bin/berthd"):
        raise tap.Skip("another program than the one that was measured")
    compare("system calls", system_calls(directory))


with tempfile.TemporaryDirectory(prefix="berth-test-") as work:
    tap.main(pathlib.Path(work))
