#!/usr/bin/env python3
"""The benchmark measures what it says: what the generator pushes is there, a row ends in a value, a report judges by the values."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/lib"), str(TOP / "tests/bench")]
import bench as b  # noqa: E402
import registry as r  # noqa: E402
import report  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402


def load(*args, want=0):
    """What the generator prints, as numbers; its status must be `want`."""
    p = subprocess.run(b.load_command(*args), capture_output=True, text=True, check=False)
    same(f"status of load {args}: {p.stderr}", want, p.returncode)
    return {k: float(v) for k, v in (x.split("=") for x in p.stdout.split() if not x.startswith("mode="))}


@case("blobs are pushed in all four ways, each with the digest of its bytes")
def blobs(w):
    with b.berthd() as s:
        for way, size, requests in (("whole", 4096, 2), ("once", 300_000, 1), ("chunked", 300_001, 6), ("streamed", 70_000, 3), ("streamed", 64, 3)):
            before = s.blob_files()
            v = load("blob", "-w", way, "-b", 100_000, "-s", size, "-n", 5, "-c", 2, b.url(s, ""), "some/where")
            same(f"blobs, {way}", 5, v["items"])
            same(f"requests, {way}", 5 * requests, v["requests"])
            new = s.blob_files() - before
            same(f"files, {way}", 5, len(new))
            for digest in new:
                data = s.blob_file(digest).read_bytes()
                same(f"size, {way}", size, len(data))
                same(f"digest, {way}", digest, r.sha256(data))


@case("manifests come with layers of their own, reads among them are told apart, and other methods work")
def manifests(w):
    with b.berthd() as s:
        load("put", "-n", 10, "-l", b.url(s, ""), "many")
        same("tags", 10, len(s.request("GET", "/v2/many/tags/list").json()["tags"]))
        v = load("put", "-n", 200, "-g", 75, "-k", 10, "-p", "x", b.url(s, ""), "many")
        same("answers", 200, v["status_200"] + v["status_201"])
        same("some of both", True, v["status_200"] > 100 and v["status_201"] > 10 and v["get_p99_us"] > 0)
        v = load("get", "-X", "HEAD", "-k", 10, "-n", 50, b.url(s, "/v2/many/manifests/t{}"))
        same("HEAD", 50, v["status_200"])
        blob = s.request("GET", "/v2/many/manifests/t0000000").json()["config"]["digest"]
        v = load("get", "-X", "POST", "-q", "-f", 7, "-n", 3, b.url(s, f"/v2/m{{}}/blobs/uploads/?mount={blob}&from=many"))
        same("mounts", 3, v["status_201"])
        same("in order", ["m0000007", "m0000008", "m0000009", "many"], s.request("GET", "/v2/_catalog").json()["repositories"])


@case("what is refused is no success, and neither is what is cut off before anything came")
def refusals(w):
    with b.berthd("--access=[{who: anonymous, repositories: open, allow: [pull]}]") as s:
        v = load("get", "-n", 3, b.url(s, "/v2/open/manifests/none"), want=1)
        same("nothing good", (3, 0), (v["status_404"], v["items"]))
        load("put", "-n", 1, b.url(s, ""), "closed", want=1)


@case("a download longer than the measurement counts by its bytes")
def cut(w):
    with b.berthd() as s:
        load("blob", "-s", 64 << 20, "-n", 1, b.url(s, ""), "big")
        blob = next(iter(s.blob_files()))
        v = load("get", "-x", "-c", 2, "-T", 1, b.url(s, f"/v2/big/blobs/{blob}"))
        same("bytes", True, v["bytes"] > 0)


@case("rows run against berthd and nginx, and are in the report with their ratio")
def rows(w):
    for program in ("nginx", "wrk", "openssl"):
        if not shutil.which(program) and not pathlib.Path("/usr/sbin", program).exists():
            raise tap.Skip(f"{program} is not installed")
    p = subprocess.run([str(TOP / "tests/bench/compare.py"), "--quick", "--only", "^(tls-manifest|login-token)$", "--out", str(w)], capture_output=True,
                       text=True, check=False)
    same(f"status: {p.stdout} {p.stderr}", 0, p.returncode)
    results = report.Results(w / "results.jsonl")
    same("rows", {"tls-manifest", "login-token"}, set(results.rows))
    for row, peer in (("tls-manifest", "nginx"), ("login-token", "without a login")):
        same(f"ratio of {row}", True, results.ratios(row, "berthd", peer)[0] > 0)
    p = subprocess.run([str(TOP / "tests/bench/report.py"), str(w / "results.jsonl")], capture_output=True, text=True, check=False)
    same(f"status: {p.stderr}", 0, p.returncode)
    page = (w / "report.html").read_text()
    same("a page of its own", (True, False, False), ("<svg" in page, 'src="' in page, "<link" in page))
    same("rows in the tables", True, "manifest GET by TLS" in (w / "report.md").read_text())


def row(name, **more):
    return {"kind": "row", "row": name, "title": name, "group": "G", "unit": "1/s", "better": "more", "limit": "", "servers": [], "goals": [], "curve": [], **more}


def values(name, server, *numbers):
    return [{"kind": "value", "row": name, "server": server, "round": n, "value": v, "command": "c"} for n, v in enumerate(numbers)]


@case("ratios are of medians and of rounds that both have; goals are met, missed, or not measured")
def judgement(w):
    lines = [row("rate", limit="nginx", goals=[["limit", 0.9], ["peers", 2], [None, 500], ["absent", 1]]), *values("rate", "berthd", 9, 9, 9), *values("rate", "berthd", 9),
             row("rate", limit="nginx", goals=[["limit", 0.9], ["peers", 2], ["absent", 1]]),
             *values("rate", "berthd", 100, 200, 120), *values("rate", "nginx", 100, 100, 110), *values("rate", "distribution", 100, 100),
             row("cost", better="less", goals=[["distribution", 4], [None, 25], [["row", "base"], 0.8]]), *values("cost", "berthd", 10, 20), *values("cost", "distribution", 60, 60),
             row("base", better="less"), *values("base", "berthd", 14)]
    file = w / "made.jsonl"
    file.write_text("".join(json.dumps({"run": "now", **x}) + "\n" for x in lines))
    results = report.Results(file)
    same("the last run of a row counts", [100, 200, 120], results.of("rate", "berthd"))
    same("ratio", (120 / 100, 1.0, 2.0), results.ratios("rate", "berthd", "nginx"))
    same("ratio, less is better", (4.0, 3.0, 6.0), results.ratios("cost", "berthd", "distribution"))
    same("verdicts", [("rate", True), ("rate", False), ("rate", None), ("cost", True), ("cost", True), ("cost", True)],
         [(name, met) for name, _, _, met in report.goals_of(results)])


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-"))
    try:
        return tap.main(work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
