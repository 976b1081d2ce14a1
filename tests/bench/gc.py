#!/usr/bin/env python3
"""Collection: how fast, what it depends on, what clients notice of it, and whether all space comes back; beside CNCF distribution.

usage: gc.py [ROUNDS [GARBAGE [SMALL LARGE]]]

Garbage is manifests without a tag, with a layer each: 5,000 of them and GARBAGE (100,000), in stores with SMALL (10^4) and LARGE
(10^6) live manifests.  An object is a file of a manifest or layer that goes.  Beside each rate stand two things that others on the
machine do not change as much: the processor time that berthd took, and how fast a loop unlinks as many files from the same disk.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
import registry  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
GARBAGE = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
SMALL, LARGE = (int(x) for x in sys.argv[3:5]) if len(sys.argv) > 4 else (10_000, 1_000_000)
FEW = 5000
SECONDS = 2  # of each load
PAIRS = 4  # of loads in a round, with and without the collection
SETTLE_S = 0.2  # for the batch that is under way
PEER_S_MAX = 1800
RATE_GOAL = 10_000  # objects a second
P99_GOAL = 1.2  # times idle
GROWTH_GOAL = 1.5  # times the cost of an object where there is less of it, or of the rest
SPACE_ROUNDS = 10


def verdict(met):
    return "met" if met else "MISSED"


def fill(server, n, repo="garbage", tagged=False):
    options = ("-p", "live") if tagged else ("-d", "-l")
    began = time.monotonic()
    b.load("put", "-c", 32, "-n", n, *options, b.url(server, ""), repo)
    print(f"#   {n} {'live' if tagged else 'untagged'} manifests in {time.monotonic() - began:.1f} s", flush=True)


def command(server, *args):
    """A command of berthd, not waited for."""
    return subprocess.Popen([registry.BERTHD, *args, "--json", "--root", str(server.root)], stdout=subprocess.PIPE, text=True)


def finish(process):
    out = process.communicate()[0]
    assert process.returncode == 0, out
    return json.loads(out.splitlines()[-1])


def unlink_s(n):
    """Seconds to unlink n small durable files in 256 directories, with nothing else to do."""
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as work:
        paths = [f"{work}/{i % 256:02x}/{i}" for i in range(n)]
        for i in range(256):
            os.mkdir(f"{work}/{i:02x}")
        for path in paths:
            with open(path, "wb") as f:
                f.write(bytes(256))
        os.sync()
        began = time.monotonic()
        for path in paths:
            os.unlink(path)
        return time.monotonic() - began


class Collection:
    """All garbage of a server, collected at once."""

    def __init__(self, server):
        began, cpu = time.monotonic(), b.cpu_s(server)
        result = finish(command(server, "gc", "--confirm"))
        self.took_s, self.cpu_s = time.monotonic() - began, b.cpu_s(server) - cpu
        self.objects = result["contents"]

    def us(self):
        """Microseconds of an object."""
        return 1e6 * self.took_s / self.objects


def collect(server, n):
    fill(server, n)
    b.wait_idle()
    c = Collection(server)
    limit = c.objects / unlink_s(c.objects)
    print(f"#   {c.objects} objects in {c.took_s:.2f} s: {c.objects / c.took_s:.0f} a second, {1e6 * c.cpu_s / c.objects:.0f} us of processor time each; "
          f"plain unlink {limit:.0f} a second", flush=True)
    return c, limit


def summary(what, runs):
    rates = [c.objects / c.took_s for c, _ in runs]
    limits = [limit for _, limit in runs]
    cpu = b.median([1e6 * c.cpu_s / c.objects for c, _ in runs])
    print(f"collection, {what}: {b.median(rates):.0f} objects a second ({min(rates):.0f} to {max(rates):.0f}), goal {RATE_GOAL} "
          f"{verdict(b.median(rates) >= RATE_GOAL)}; {cpu:.0f} us of processor time an object, so at most {1e6 / cpu:.0f} a second; "
          f"plain unlink {b.median(limits):.0f} a second, ratio {b.median([r / u for r, u in zip(rates, limits)]):.2f}", flush=True)


def growth(what, first, second):
    for unit, cost in (("time", Collection.us), ("processor time", lambda c: 1e6 * c.cpu_s / c.objects)):
        a, z = (b.median([cost(c) for c, _ in runs]) for runs in (first, second))
        print(f"{what}: {unit} of an object {a:.0f} and {z:.0f} us, ratio {z / a:.2f}, goal at most {GROWTH_GOAL} {verdict(z / a <= GROWTH_GOAL)}", flush=True)


def rates(small, large):
    """In alternation, so that what others do on the machine falls on all alike."""
    few, many, beside = [], [], []
    for _ in range(ROUNDS):
        few.append(collect(small, FEW))
        beside.append(collect(large, FEW))
        many.append(collect(small, GARBAGE))
    summary(f"{FEW} untagged beside {SMALL} live", few)
    summary(f"{FEW} untagged beside {LARGE} live", beside)
    summary(f"{GARBAGE} untagged beside {SMALL} live", many)
    growth(f"garbage {FEW} and {GARBAGE}", few, many)
    growth(f"live {SMALL} and {LARGE}", few, beside)


def loads(server, n=iter(range(10**9))):
    """(p50, p99) in us of each kind of request."""
    lines = {"GET": b.load("get", "-c", 4, "-t", SECONDS, "-k", SMALL, b.url(server, "/v2/live/manifests/live{}")),
             "PUT": b.load("put", "-c", 4, "-t", SECONDS, "-p", f"x{next(n)}-", b.url(server, ""), "live")}
    return {kind: (float(v["p50_us"]), float(v["p99_us"])) for kind, v in lines.items()}


def beside(server, state):
    """What clients see while the collection that runs is paused, or is not."""
    finish(command(server, "gc", state))
    time.sleep(SETTLE_S)
    return loads(server)


def latency(server):
    """In pairs within one collection, so that disk and store are in the same state for both of a pair."""
    idle, during = [], []
    fill(server, 4 * FEW)
    b.wait_idle()
    process = command(server, "gc", "--confirm")
    for n in range(PAIRS * ROUNDS):
        for state, result in ((("pause", idle), ("resume", during)), (("resume", during), ("pause", idle)))[n % 2]:
            result.append(beside(server, state))
    lasted = process.poll() is None
    finish(command(server, "gc", "resume"))
    result = finish(process)
    print(f"#   {len(idle)} pairs; the collection {'lasted longer' if lasted else 'ended FIRST'}: {result['contents']} objects", flush=True)
    for kind in ("GET", "PUT"):
        for at, what in enumerate(("p50", "p99")):
            a, z = b.median([x[kind][at] for x in idle]), b.median([x[kind][at] for x in during])
            ratios = sorted(y[kind][at] / x[kind][at] for x, y in zip(idle, during))
            ratio = b.median(ratios)
            goal = f", goal at most {P99_GOAL} {verdict(ratio <= P99_GOAL)}" if what == "p99" else ""
            print(f"{kind} {what}: idle {a:.0f} us, during collection {z:.0f} us, ratio {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}){goal}", flush=True)


def disk_bytes(path):
    """As du counts."""
    return sum(p.lstat().st_blocks * 512 for p in path.rglob("*"))


def space(server):
    """The reflog is a log: it grows with what happens, and is left out."""
    def now():
        return disk_bytes(server.root / "blobs"), (server.root / "index/data.mdb").stat().st_size
    collect(server, FEW)
    print("#   blobs, index: %d, %d bytes before" % now(), flush=True)
    sizes = []
    for _ in range(SPACE_ROUNDS):
        fill(server, FEW)
        Collection(server)
        sizes.append(now())
        print("#   blobs, index: %d, %d bytes" % sizes[-1], flush=True)
    for what, values in zip(("blobs", "index"), zip(*sizes)):
        print(f"space of {what} after {SPACE_ROUNDS} rounds of {FEW} pushed and collected: {values[-1] / values[0]:.3f} times that after the first, "
              f"most {max(values) / values[0]:.3f}", flush=True)


def peer(ours):
    """The peer must not be running, or be read-only, while it collects."""
    with b.Distribution() as theirs:
        b.load("put", "-c", 8, "-n", 10, "-p", "live", b.url(theirs, ""), "garbage")
        b.load("put", "-c", 8, "-n", FEW, "-d", "-l", b.url(theirs, ""), "garbage")
        theirs.process.terminate()
        theirs.process.wait(registry.WAIT_S)
        b.wait_idle()
        began = time.monotonic()
        try:
            p = subprocess.run([str(b.TOOLS / "registry"), "garbage-collect", "--delete-untagged", str(theirs.work / "conf.yml")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=PEER_S_MAX)
            end = "done" if p.returncode == 0 else f"failed: {p.stderr.strip().splitlines()[-1][:200]}"
        except subprocess.TimeoutExpired:
            end = "given up"
        took = time.monotonic() - began
    c, _ = collect(ours, FEW)
    print(f"{FEW} untagged: berthd {c.took_s:.2f} s while it serves, distribution v3 {took:.1f} s while it does not ({end}), ratio {took / c.took_s:.1f}", flush=True)


def main():
    print(f"# {time.strftime('%F %T')}, {os.cpu_count()} cores, {ROUNDS} rounds; stores on {os.path.realpath(tempfile.gettempdir())}", flush=True)
    with b.berthd(*b.GC_AT_ONCE) as small, b.berthd(*b.GC_AT_ONCE) as large:
        fill(small, SMALL, "live", tagged=True)
        fill(large, LARGE, "live", tagged=True)
        rates(small, large)
        latency(small)
        space(small)
        peer(small)


if __name__ == "__main__":
    main()
