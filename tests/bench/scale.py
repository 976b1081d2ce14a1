#!/usr/bin/env python3
"""What an operation costs in a repository of 10^2, 10^4 and 10^6 tags, each with a manifest of its own; memory and start-up.

usage: scale.py [ROUNDS [SIZE...]]

The stores are filled one after another and then measured in alternation.  A cost is the time of one request of one client;
the ratio is to the smallest store.
"""
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
import registry  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SIZES = [int(x) for x in sys.argv[2:]] or [100, 10_000, 1_000_000]
SECONDS = 2
GOAL = 1.5  # times the smallest store's cost
MEMORY_GOAL = 64 << 20
START_GOAL_S = 1.0


def fill(server, n):
    began = time.monotonic()
    b.load("put", "-c", 64, "-n", n, b.url(server, ""), "scale")
    print(f"#   {n} manifests and tags in {time.monotonic() - began:.1f} s", flush=True)


def us_get(server, path, *options):
    """Microseconds of one request of one client."""
    return 1e6 / float(b.load("get", "-c", 1, "-t", SECONDS, *options, b.url(server, path))["rps"])


def us_put(server, n, run=iter(range(10**9))):
    """Puts of new manifests under new tags, among the n that are there."""
    return 1e6 / float(b.load("put", "-c", 1, "-t", SECONDS, "-p", f"x{next(run)}-", b.url(server, ""), "scale")["rps"])


def measures(servers):
    """{what: {size: function}}"""
    return {
        "manifest GET by tag": {n: lambda s=s, n=n: us_get(s, "/v2/scale/manifests/t{}", "-k", n) for n, s in servers.items()},
        "tags, a page of 100": {n: lambda s=s, n=n: us_get(s, f"/v2/scale/tags/list?n=100&last=t{n // 2:07}") for n, s in servers.items()},
        "manifest PUT": {n: lambda s=s, n=n: us_put(s, n) for n, s in servers.items()},
    }


def report(what, values):
    first = b.median(values[SIZES[0]])
    worst = 0.0
    for n in SIZES:
        ratio = b.median(values[n]) / first
        worst = max(worst, ratio)
        print(f"{what}, {n} tags: {b.median(values[n]):.1f} us, {ratio:.2f} times the smallest store's", flush=True)
    print(f"{what}: goal at most {GOAL} {'met' if worst <= GOAL else 'MISSED'}", flush=True)


def restart(server, n):
    used = registry.anonymous_memory(server)
    server.kill()
    server.start()
    server.request("GET", "/v2/")
    print(f"start after SIGKILL, {n} tags: {server.start_s:.3f} s, goal under {START_GOAL_S} {'met' if server.start_s < START_GOAL_S else 'MISSED'}; "
          f"anonymous memory before {used / 2**20:.1f} MiB, after {registry.anonymous_memory(server) / 2**20:.1f} MiB, goal under {MEMORY_GOAL >> 20} "
          f"{'met' if used < MEMORY_GOAL else 'MISSED'}", flush=True)


def main():
    print(f"# {time.strftime('%F %T')}, {os.cpu_count()} cores, {ROUNDS} rounds; stores on {os.path.realpath(tempfile.gettempdir())}", flush=True)
    servers = {n: b.berthd() for n in SIZES}
    try:
        for n, server in servers.items():
            server.start()
            fill(server, n)
        for what, by_size in measures(servers).items():
            print(f"# {what}, us", flush=True)
            report(what, b.alternate(ROUNDS, by_size))
        for n, server in servers.items():
            restart(server, n)
    finally:
        for server in servers.values():
            server.close()


if __name__ == "__main__":
    main()
