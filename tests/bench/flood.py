#!/usr/bin/env python3
"""What 24 connections of one address that ask without end do to another client: its p50 and p99, idle and beside them, with
limits.address.requests and without.

usage: flood.py [ROUNDS] [SECONDS]

The other client asks for a manifest 100 times a second; the flood is tests/bench/load, on the same machine, whose processors it
shares.  Each round measures idle, then the flood, for each of both.  The ratio is of medians over the rounds.
"""
import http.client
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 8
LOAD = r.TOP / "build/release/tests/bench/load"
PATH = "/v2/bench/a/manifests/v1"
CONNECTIONS, A_SECOND = 24, 100
LIMITS = ["--limits.address.requests=500", "--limits.burst=2s"]


def quiet(s, seconds):
    """Milliseconds that each answer took, of requests that begin at a steady pace."""
    c = http.client.HTTPConnection(s.host, s.port, timeout=60, source_address=("127.0.0.2", 0))
    took = []
    began = time.perf_counter()
    for n in range(int(seconds * A_SECOND)):
        wait = began + n / A_SECOND - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        at = time.perf_counter()
        c.request("GET", PATH)
        a = c.getresponse()
        a.read()
        took.append((time.perf_counter() - at) * 1000)
        assert a.status == 200, a.status
    c.close()
    return took


def p(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def one_round(s):
    idle = quiet(s, SECONDS)
    flood = subprocess.Popen([LOAD, "get", "-c", str(CONNECTIONS), "-t", str(int(SECONDS) + 5), f"http://{s.host}:{s.port}{PATH}"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(1)  # the burst that a limit allows is over
    busy = quiet(s, SECONDS)
    flood.terminate()
    flood.communicate()
    return idle, busy


def main():
    print(f"{CONNECTIONS} connections flood; another client asks {A_SECOND} times a second; {ROUNDS} rounds of {SECONDS:g} s; ms")
    for name, options in (("without limits", []), ("with " + " ".join(LIMITS), LIMITS)):
        found = {"idle": [], "busy": []}
        with r.Daemon("--log.access=false", *options) as s:
            s.push_blob("bench/a", b"{}")
            assert s.put_manifest("bench/a", "v1", r.image()).status == 201
            for _ in range(ROUNDS):
                for key, took in zip(("idle", "busy"), one_round(s)):
                    found[key].append((p(took, 0.5), p(took, 0.99)))
        print(name)
        medians = {key: [statistics.median(x[i] for x in rounds) for i in (0, 1)] for key, rounds in found.items()}
        for key, (half, most) in medians.items():
            print(f"  {key}: p50 {half:.2f}  p99 {most:.2f}  (p99 by round: {' '.join(f'{x[1]:.2f}' for x in found[key])})")
        print(f"  ratio of p99: {medians['busy'][1] / medians['idle'][1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
