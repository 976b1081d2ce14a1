#!/usr/bin/env python3
"""What quotas cost pushes: manifests with a layer each, and small blobs, into a repository that has quotas and into one of a berthd
that has none, in turns.

usage: quota.py [ROUNDS]

The ratio is the median over the rounds; a round's ratio is of one measurement each, one right after the other.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
SECONDS = 3
CONNECTIONS = 32
COST_GOAL = 0.05
QUOTAS = [{"repositories": ["bench/**"], "bytes": "500G", "tags": 10_000_000, "count": 1000, "warn": "99%"}]


def images(server, n):
    return float(b.load("put", "-c", CONNECTIONS, "-t", SECONDS, "-l", "-p", f"r{n}-", b.url(server, ""), "bench/images")["items_s"])


def blobs(server, _n):
    return float(b.load("blob", "-w", "whole", "-s", 4096, "-c", CONNECTIONS, "-t", SECONDS, b.url(server, ""), "bench/blobs")["items_s"])


def main():
    with b.berthd() as without, b.berthd("--quotas=" + json.dumps(QUOTAS)) as limited:
        for what, push in (("images of one layer", images), ("blobs of 4 KiB", blobs)):
            rates = []
            b.wait_idle()
            for n in range(ROUNDS):
                pair = [(s, push(s, n)) for s in ((limited, without) if n % 2 else (without, limited))]
                rates.append((dict(pair)[limited], dict(pair)[without]))
            ratios = sorted(x / y for x, y in rates)
            cost = 1 - b.median(ratios)
            print(f"{what}, {CONNECTIONS} clients: {b.median([x for x, _ in rates]):.0f}/s with quotas, {b.median([y for _, y in rates]):.0f}/s without, "
                  f"ratio {b.median(ratios):.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), goal at least {1 - COST_GOAL:.2f}: "
                  f"{'met' if cost <= COST_GOAL else 'MISSED'}", flush=True)


if __name__ == "__main__":
    main()
