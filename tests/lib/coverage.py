#!/usr/bin/env python3
"""Print what share of lines and branches ran, from the counters of a build with --coverage.

usage: tests/lib/coverage.py [-a] OBJECT_DIR SOURCE_DIR...

OBJECT_DIR holds the .gcda and .gcno files; files below SOURCE_DIRs are told of, one line each, and
summed up by directory.  -a also lists the lines that never ran.  A branch counts as one for each
way that it can go.  Objects without counters were linked into no program that ran: their sources
count as not covered.
"""
import argparse
import collections
import json
import os
import subprocess
import sys


class Counts:
    def __init__(self):
        self.lines = collections.Counter()  # line number -> times run
        self.branches = {}  # (line number, index) -> times taken

    def totals(self):
        return (sum(n > 0 for n in self.lines.values()), len(self.lines),
                sum(n > 0 for n in self.branches.values()), len(self.branches))


def gcno_files(object_dir, source_dirs):
    for d in source_dirs:
        for name in sorted(os.listdir(os.path.join(object_dir, d))):
            if name.endswith(".gcno"):
                yield os.path.join(object_dir, d, name)


def read(gcno, files):
    """Adds what gcov says of one object to files; headers get theirs from each that includes them."""
    run = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", gcno],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    for text in run.stdout.splitlines():
        for f in json.loads(text)["files"]:
            counts = files[os.path.normpath(f["file"])]
            for line in f["lines"]:
                n = line["line_number"]
                counts.lines[n] += line["count"]
                for i, branch in enumerate(line["branches"]):
                    key = (n, i)
                    counts.branches[key] = counts.branches.get(key, 0) + branch["count"]


def percent(part, whole):
    return f"{100 * part / whole:6.1f} %" if whole else "       -"


def show(name, t):
    print(f"{name:32} {t[0]:5}/{t[1]:<5} {percent(t[0], t[1])}   {t[2]:5}/{t[3]:<5} {percent(t[2], t[3])}")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    ap.add_argument("-a", action="store_true", help="list the lines that never ran")
    ap.add_argument("object_dir")
    ap.add_argument("source_dirs", nargs="+")
    args = ap.parse_args()
    files = collections.defaultdict(Counts)
    for gcno in gcno_files(args.object_dir, args.source_dirs):
        read(gcno, files)
    print(f"{'':32} {'lines':>11} {'':8}   {'branches':>11}")
    for d in args.source_dirs:
        total = [0, 0, 0, 0]
        for name in sorted(f for f in files if os.path.dirname(f) == d):
            t = files[name].totals()
            total = [a + b for a, b in zip(total, t)]
            show(name, t)
            if args.a:
                missed = [str(n) for n, count in sorted(files[name].lines.items()) if not count]
                if missed:
                    print("    not run: " + " ".join(missed))
        show(d + "/", total)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
