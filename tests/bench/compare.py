#!/usr/bin/env python3
"""`make bench`: berthd and its peers with the same content, in alternation, into build/bench/results.jsonl; report.py makes tables of it.

usage: compare.py [--rounds N] [--minutes N] [--only REGEX] [--out DIR] [--quick] [--list]

Rounds alternate: one measurement of each server, then the next round.  Where time runs short, later rows get fewer rounds, and those
for which there is none are named in the report.  --only adds to the results that are there: the report takes each row's last run.
Objects in results.jsonl: {"kind": "machine" | "row" | "value" | "skip", ...}; values have what the row measures, and processor
time, bytes, items and memory beside it.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
import programs  # noqa: E402
import workloads as w  # noqa: E402

OUT = b.TOP / "build/bench"
RUNNER_SHARE = 0.15  # of the time
SETTLE_S = 1.5  # at most, before a row
SLOW_EVERY = 2  # rounds that the slowest peer has a part in
DERIVED = (
    w.Row(w.CPU_PULL, "processor time of a GiB pulled (1 GiB, 4 clients)", None, "s", w.READERS, w.NGINX, (("peers", 1.0),), "Processor time and memory", "less"),
    w.Row(w.CPU_PUSH, "processor time of a GiB pushed (1 GiB, 1 client)", None, "s", w.REGISTRIES, "", (("peers", 1.0),), "Processor time and memory", "less"),
    w.Row("memory-load", "most memory of its own under any load above", None, "MiB", w.READERS, "", ((None, 64),), "Processor time and memory", "less"),
)


class Results:
    """The file, and what rows made of others need."""

    def __init__(self, path, append):
        self.file = open(path, "a" if append else "w")
        self.run = f"{time.strftime('%F %T')}"
        self.cpu = {}  # {(row, server): [s/GiB]}
        self.peak = {}  # {server: bytes}

    def tell(self, **what):
        self.file.write(json.dumps({"run": self.run, **what}) + "\n")
        self.file.flush()

    def row(self, row):
        self.tell(kind="row", row=row.name, title=row.title, group=row.group, unit=row.unit, better=row.better, limit=row.limit,
                  servers=row.servers, goals=row.goals, curve=row.curve)

    def skip(self, row, server, why):
        print(f"#   not run: {row} {server}: {why}", flush=True)
        self.tell(kind="skip", row=row, server=server, why=why)

    def value(self, row, server, n, value, command, **more):
        self.tell(kind="value", row=row, server=server, round=n, value=value, command=command, **more)


def one(results, row, stage, name, n):
    server = stage.servers.get(name)
    if not server:  # a limit that is no server
        sample = row.run(stage, name)
        results.value(row.name, name, n, sample.value, sample.command)
        return sample.value
    used = b.cpu_s(server)
    with b.MemoryWatch(server) as memory:
        sample = row.run(stage, name)
    used = b.cpu_s(server) - used
    results.value(row.name, name, n, sample.value, sample.command, cpu_s=used, bytes=sample.bytes, items=sample.items, p99_us=sample.p99_us,
                  own_memory=memory.peak)
    if row.group != "TLS 1.3":
        results.peak[name] = max(results.peak.get(name, 0), memory.peak)
    if row.cpu and sample.bytes:
        results.cpu.setdefault((row.cpu, name), []).append(used / sample.bytes * w.GIB)
    return sample.value


def settle():
    """Waits for what the row before left to do; the share of the processors that is still busy."""
    end = time.monotonic() + SETTLE_S
    while (busy := b.busy()) > 0.1 and time.monotonic() < end:
        pass
    return round(busy, 2)


def rounds_of(row, wanted, late):
    return max(1, min(row.rounds or wanted, wanted) // (2 if late else 1))


def run_row(results, row, stage, rounds, limits):
    """All rounds of a row; a server that fails is out of it."""
    results.row(row)
    left = [s for s in row.servers if s in stage.servers or s in limits]
    for s in set(row.servers) - set(left):
        results.skip(row.name, s, stage.skipped.get(s, "not here"))
    values = {s: [] for s in left}
    results.tell(kind="busy", row=row.name, share=settle())
    for n in range(rounds):
        for s in list(left):
            if s == w.V2 and n % SLOW_EVERY:
                continue
            try:
                values[s].append(one(results, row, stage, s, n))
            except (AssertionError, OSError, subprocess.CalledProcessError, KeyError) as e:
                left.remove(s)
                detail = (getattr(e, "stdout", "") or "") + (getattr(e, "stderr", "") or "")
                results.skip(row.name, s, f"{e} {detail}"[:500])
    print(f"{row.title}, {row.unit}: " + ", ".join(f"{s} {b.median(v):.4g}" for s, v in values.items() if v), flush=True)


def derive(results, whole):
    """Rows made of others; the most memory is of a whole run."""
    values = {row.name: [] for row in DERIVED}
    for (row, server), used in results.cpu.items():
        values[row] += [(server, n, v, "utime and stime of /proc/PID/stat, of the processes of a server") for n, v in enumerate(used)]
    if whole:
        command = f"RssAnon of /proc/PID/status every {b.MEMORY_SAMPLE_S * 1000:.0f} ms"
        values["memory-load"] = [(server, 0, peak / w.MIB, command) for server, peak in results.peak.items() if server in w.READERS]
    for row in DERIVED:
        if values[row.name]:
            results.row(row)
            for value in values[row.name]:
                results.value(row.name, *value)


def runner(results, quick, only):
    rows = [row for row in programs.ROWS if only.search(row.name)]
    if not rows:
        return
    for row in rows:
        results.row(row)

    def tell(name, what, command=""):
        if isinstance(what, str):
            results.skip(name, "", what)
            return
        for server, values in what.items():
            for n, v in enumerate(values):
                results.value(name, server, n, v, command)
        print(f"{name}: " + ", ".join(f"{s} {b.median(v):.4g}" for s, v in what.items()), flush=True)

    programs.all_rows(quick, tell)


def version(*command):
    try:
        p = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not here"
    return (p.stdout + p.stderr).strip().splitlines()[0].replace(f"{b.TOP}/", "")[:100]


def machine(results, o):
    model = next((x.split(":")[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name")), platform.machine())
    results.tell(kind="machine", cpu=model, cores=os.cpu_count(), memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / w.GIB, 1),
                 kernel=platform.release(), rounds=o.rounds, quick=o.quick, busy=round(b.busy(), 2),
                 versions={"berthd": version(w.r.BERTHD, "--version"), "nginx": version("/usr/sbin/nginx", "-v"),
                           "distribution": version(str(b.Distribution.program), "--version"),
                           "docker-registry": version(str(b.Distribution2.program), "--version"),
                           "runc": version("runc", "--version"), "crun": version("crun", "--version"), "podman": version("podman", "--version"),
                           "docker": version("docker", "--version"), "skopeo": version("skopeo", "--version"),
                           "crane": version(str(b.TOOLS / "crane"), "version"), "wrk": version("wrk", "--version")})


def options():
    o = argparse.ArgumentParser()
    o.add_argument("--rounds", type=int, default=5)
    o.add_argument("--minutes", type=float, default=14)
    o.add_argument("--only", type=re.compile, default=None)
    o.add_argument("--out", type=pathlib.Path, default=OUT)
    o.add_argument("--quick", action="store_true", help="little of everything, one round: to try the program itself")
    o.add_argument("--list", action="store_true")
    o = o.parse_args()
    if o.quick:
        o.rounds = 1
    return o


def main():
    o = options()
    only = o.only or re.compile("")
    table = [(stage, [row for row in rows() if only.search(row.name)]) for stage, rows in w.STAGES]
    if o.list:
        print("\n".join(f"{row.name:24} {row.title}" for _, rows in [*table, (None, programs.ROWS), (None, DERIVED)] for row in rows))
        return
    o.out.mkdir(parents=True, exist_ok=True)
    results = Results(o.out / "results.jsonl", append=o.only is not None)
    began, limit_s, done = time.monotonic(), o.minutes * 60, 0
    registry_s, total = limit_s * (1 - RUNNER_SHARE), sum(len(rows) for _, rows in table)
    machine(results, o)
    for make, rows in table:
        if not rows:
            continue
        with make(w.Scale(o.quick)) as stage:
            print(f"# {make.__name__}: {', '.join(stage.servers)} filled after {time.monotonic() - began:.0f} s", flush=True)
            for row in rows:
                spent = time.monotonic() - began
                if spent > registry_s:
                    results.row(row)
                    results.skip(row.name, "", "out of time")
                else:
                    run_row(results, row, stage, rounds_of(row, o.rounds, spent > registry_s * (0.15 + done / total)), (row.limit,))
                done += 1
    derive(results, o.only is None)
    runner(results, o.quick, only)
    print(f"# {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
