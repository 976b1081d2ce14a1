#!/usr/bin/env python3
"""First look at speed: berthd beside a static file server, the disk and the hash, and CNCF distribution, in one run.

usage: speed.py [ROUNDS]
"""
import itertools
import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
from registry import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SECONDS = 2  # of each measurement
BIG = 256 << 20


def manifest_of(config, layers):
    return json.dumps({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER, "digest": sha256(x), "size": len(x)} for x in layers]}).encode()


def reading():
    blob, config = os.urandom(64 << 10), b"{}"
    manifest = manifest_of(config, [blob])
    with b.Nginx() as nginx, b.berthd() as ours:
        for data in (blob, config):
            ours.push_blob("bench", data)
        assert ours.put_manifest("bench", "v1", manifest).status == 201
        (nginx.files / "manifest").write_bytes(manifest)
        (nginx.files / "blob").write_bytes(blob)
        for what, path, file, goal in (("manifest GET by tag, 64 clients", "/v2/bench/manifests/v1", "/manifest", 0.9),
                                       ("64 KiB blob GET, 64 clients", f"/v2/bench/blobs/{sha256(blob)}", "/blob", 0.6)):
            v = b.alternate(ROUNDS, {"berthd": lambda: b.wrk(b.url(ours, path), 64, SECONDS),
                                     "nginx": lambda: b.wrk(b.url(nginx, file), 64, SECONDS)})
            b.report(what, v["berthd"], v["nginx"], goal, peer="nginx")


def push_big(server, file, digest):
    """MiB/s of one PUT by curl, after the POST that opens the session."""
    where = server.open_session("big")
    took = b.elapsed(["curl", "-sSf", "-X", "PUT", "-H", "Content-Type: application/octet-stream", "-T", file,
                      "-H", "Expect:", b.url(server, f"{where}?digest={digest}")])
    assert server.request("DELETE", f"/v2/big/blobs/{digest}").status == 202
    return BIG / took / (1 << 20)


def disk_and_hash(file):
    """MiB/s of writing with fsync and hashing, one after the other."""
    copy = file + ".copy"
    took = b.elapsed(["dd", f"if={file}", f"of={copy}", "bs=1M", "conv=fsync"])
    os.unlink(copy)
    speed = b.output(["openssl", "speed", "-mr", "-seconds", "1", "-bytes", "1048576", "-evp", "sha256"])
    per_s = float([x for x in speed.splitlines() if x.startswith("+F:")][0].split(":")[-1])
    return BIG / (took + BIG / per_s) / (1 << 20)


def writing_big():
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as work, b.berthd() as ours:
        file = f"{work}/blob"
        data = os.urandom(BIG)
        pathlib.Path(file).write_bytes(data)
        digest = sha256(data)
        v = b.alternate(ROUNDS, {"berthd": lambda: push_big(ours, file, digest), "dd and openssl": lambda: disk_and_hash(file)})
        b.report("256 MiB PUT, durable", v["berthd"], v["dd and openssl"], 0.6, "MiB/s", "dd conv=fsync then sha256")


def put_rate(server, clients, run=itertools.count()):
    return float(b.load("put", "-c", clients, "-t", SECONDS, "-p", f"r{next(run)}-", b.url(server, ""), "bench/put")["rps"])


def writing_manifests():
    with b.Distribution() as peer, b.berthd() as ours:
        v = b.alternate(ROUNDS, {"berthd": lambda: put_rate(ours, 4), "distribution": lambda: put_rate(peer, 4)})
        b.report("manifest PUT, 4 clients, durable", v["berthd"], v["distribution"], 3, peer="distribution v3")
        v = b.alternate(ROUNDS, {"berthd": lambda: put_rate(ours, 64), "distribution": lambda: put_rate(peer, 64)})
        b.report("manifest PUT, 64 clients, durable", v["berthd"], v["distribution"], 3, peer="distribution v3")
        b.report("manifest PUT, 64 clients, against 4,000 a second", v["berthd"], [4000] * ROUNDS, 1, peer="the goal")


if __name__ == "__main__":
    print(f"# {time.strftime('%F %T')}, {os.cpu_count()} cores, {ROUNDS} rounds; files on {os.path.realpath(tempfile.gettempdir())}", flush=True)
    reading()
    writing_big()
    writing_manifests()
