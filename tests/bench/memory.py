#!/usr/bin/env python3
"""How much memory berthd has: idle, with connections that are kept alive, with what few need, with a large store, and under load.

usage: memory.py [CONNECTIONS [MANIFESTS]]     (1000, 100000)

Figures are of /proc/PID/status: what is resident in all (VmRSS), and of that the process's own (RssAnon) and pages of files (RssFile):
programs, libraries and the index's map, which the kernel takes back when it needs them.  Under load it is the most of RssAnon, looked at
every 20 ms.  Exit status 1 if a goal is missed.
"""
import contextlib
import http.client
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import bench as b  # noqa: E402
import pki  # noqa: E402
import registry as r  # noqa: E402

CONNECTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
MANIFESTS = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
IMAGES = 200
SECONDS = 5  # of each load
IDLE_GOAL, CONNECTIONS_GOAL, LOAD_GOAL = 8, 32, 64  # MiB
missed = []


def judge(what, value, goal):
    if goal and value >= goal:
        missed.append(what)
    return "" if not goal else f"  goal under {goal}: {'met' if value < goal else 'MISSED'}"


def tell(what, s, goal=None):
    lines = dict(x.split(":", 1) for x in open(f"/proc/{s.process.pid}/status"))
    rss, own, files = (int(lines[x].split()[0]) / 1024 for x in ("VmRSS", "RssAnon", "RssFile"))
    print(f"{what:50}  VmRSS {rss:6.1f}  RssAnon {own:6.1f}  RssFile {files:6.1f} MiB{judge(what, rss, goal)}", flush=True)


def push(s):
    with contextlib.closing(s.connect()) as c:
        for n in range(IMAGES):
            config = json.dumps({"n": n}).encode()
            s.push_blob("m", config, c)
            assert s.put_manifest("m", f"t{n}", r.image(config), c).status == 201


def keep_alive(s, n):
    """Connections on which a manifest was asked for, and that stay open."""
    made = []
    for i in range(n):
        c = http.client.HTTPConnection(s.host, s.port, timeout=60)
        c.request("GET", f"/v2/m/manifests/t{i % IMAGES}")
        a = c.getresponse()
        a.read()
        assert a.status == 200
        made.append(c)
    return made


def of_connections():
    with r.Daemon("--http.idle_timeout=10m", "--log.access=false") as s:
        tell("idle", s, IDLE_GOAL)
        push(s)
        tell(f"after {IMAGES} images were pushed", s)
        made = keep_alive(s, CONNECTIONS)
        tell(f"with {CONNECTIONS} connections kept alive", s, CONNECTIONS_GOAL)
        for c in made:
            c.close()
        tell("after they were closed", s)


def of_options():
    """What has its price only where it is asked for."""
    with r.Daemon("--limits.address.requests=1000000", "--events.endpoints=" + json.dumps(
            [{"name": f"e{i}", "url": "http://127.0.0.1:1/"} for i in range(4)])) as s:
        tell("idle, with limits and 4 endpoints of events", s)
    with tempfile.TemporaryDirectory() as work:
        certificate, key = pki.Authority(work).make("server", "DNS:localhost")
        with r.Daemon("--tls.certificates=" + json.dumps([{"certificate": certificate, "key": key}])) as s:
            tell("idle, with TLS", s)


def under(what, s, *load):
    with b.MemoryWatch(s) as memory:
        b.load(*load)
    own = memory.peak / 2**20
    print(f"{what:50}  most of RssAnon {own:6.1f} MiB{judge(what, own, LOAD_GOAL)}", flush=True)


def of_load():
    with b.berthd() as s:
        under(f"while {MANIFESTS} manifests are pushed, 64 clients", s, "put", "-c", 64, "-n", MANIFESTS, b.url(s, ""), "m")
        s.stop()
        s.start()
        tell(f"idle, after a start with {MANIFESTS} manifests", s)
        under("manifests pushed and read, 64 clients", s, "put", "-c", 64, "-t", SECONDS, "-g", 75, "-k", MANIFESTS, "-p", "x", b.url(s, ""), "m")
        under("manifests pushed, 1,024 clients", s, "put", "-c", 1024, "-t", SECONDS, "-p", "y", b.url(s, ""), "m")
        under("blobs of 1 MiB pushed, 64 clients", s, "blob", "-w", "streamed", "-c", 64, "-t", SECONDS, "-s", 2**20, b.url(s, ""), "m")
        under("blobs of 4 KiB pushed, 64 clients", s, "blob", "-w", "once", "-c", 64, "-t", SECONDS, "-s", 4096, b.url(s, ""), "m")
        under("pages of 1,000 tags, 64 clients", s, "get", "-c", 64, "-t", SECONDS, b.url(s, "/v2/m/tags/list?n=1000"))
        tell("idle after all that", s)


def main():
    of_connections()
    of_options()
    of_load()
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
