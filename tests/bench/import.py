#!/usr/bin/env python3
"""Time and disk of an import from CNCF distribution, by hard link (or clone) and by copy, beside reading and hashing the same bytes.

usage: import.py [ROUNDS]
"""
import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
import layout  # noqa: E402
import registry as r  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
BIG, BIG_BYTES = 16, 32 << 20
SMALL = 500


def put(server, repo, data):
    where = server.request("POST", f"/v2/{repo}/blobs/uploads/", b"").header("Location")
    where = where[where.index("/v2/"):]
    a = server.request("PUT", f"{where}{'&' if '?' in where else '?'}digest={r.sha256(data)}", data)
    assert a.status == 201, a.status


def fill(server):
    """Images of one large layer, and many of small ones."""
    for n in range(BIG + SMALL):
        repo, config = ("big", b"{}") if n < BIG else (f"small/{n % 20}", b"%d" % n)
        layer = os.urandom(BIG_BYTES if n < BIG else 4000)
        put(server, repo, config)
        put(server, repo, layer)
        assert server.put_manifest(repo, f"t{n}", json.dumps(r.image(config, [layer])).encode()).status == 201


def imported(source, *options):
    """Seconds, MiB of disk beyond the source, and what berthd says of it."""
    with b.berthd("--gc.interval=1h") as s:
        before = layout.disk_use(source)
        began = time.monotonic()
        told = s.admin("import", str(source), *options)[-1]
        took = time.monotonic() - began
        return took, (layout.disk_use(source, s.root) - before) / (1 << 20), told


def hashed(source):
    files = [str(f) for f in pathlib.Path(source).rglob("data")]
    return b.elapsed(["sha256sum", *files])


def main():
    print(f"# {time.strftime('%F %T')}, {os.cpu_count()} cores, {ROUNDS} rounds; files on {os.path.realpath(tempfile.gettempdir())}", flush=True)
    with b.Distribution() as peer:
        client = r.Daemon()
        client.host, client.port = peer.host, peer.port
        fill(client)
        client.close()
        source = peer.work / "data"
        total = layout.disk_use(source) / (1 << 20)
        disks = {}

        def measure(*options):
            took, disk, told = imported(source, *options)
            assert told["refused-items"] == 0 and told["tags"] == BIG + SMALL, told
            disks[options] = disk
            return took

        v = b.alternate(ROUNDS, {"link": measure, "copy": lambda: measure("--copy"), "sha256sum": lambda: hashed(source)})
        print(f"import of {total:.0f} MiB, {BIG + SMALL} images, durable: by link {b.median(v['link']):.2f} s and {disks[()]:.1f} MiB of disk, "
              f"by copy {b.median(v['copy']):.2f} s and {disks['--copy',]:.0f} MiB; sha256sum of the same files {b.median(v['sha256sum']):.2f} s")


if __name__ == "__main__":
    main()
