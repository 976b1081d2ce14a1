#!/usr/bin/env python3
"""How much memory berthd has resident: idle after its start, with images, and with 1,000 connections that are kept alive.

usage: memory.py [CONNECTIONS]

Figures are of /proc/PID/status: what is resident in all (VmRSS), and of that the process's own (RssAnon); the rest are pages of programs,
libraries and of the index's map, which the kernel takes back when it needs them.
"""
import http.client
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402

CONNECTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
IMAGES = 200


def memory(s):
    """MiB by name."""
    lines = (x.split() for x in open(f"/proc/{s.process.pid}/status"))
    return {x[0][:-1]: int(x[1]) / 1024 for x in lines if x[0] in ("VmRSS:", "RssAnon:", "RssFile:", "RssShmem:")}


def tell(what, s):
    m = memory(s)
    print(f"{what:44}  VmRSS {m['VmRSS']:6.1f} MiB  of that RssAnon {m['RssAnon']:5.1f}", flush=True)
    return m["VmRSS"]


def push(s):
    c = s.connect()
    for n in range(IMAGES):
        config = json.dumps({"n": n}).encode()
        s.push_blob("m", config, c)
        assert s.put_manifest("m", f"t{n}", r.image(config), c).status == 201
    c.close()


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


def main():
    with r.Daemon("--http.idle_timeout=10m", "--log.access=false") as s:
        idle = tell("idle", s)
        push(s)
        tell(f"after {IMAGES} images were pushed", s)
        made = keep_alive(s, CONNECTIONS)
        full = tell(f"with {CONNECTIONS} connections kept alive", s)
        for c in made:
            c.close()
        tell("after they were closed", s)
    with r.Daemon("--limits.address.requests=1000000", "--events.endpoints=" + json.dumps(
            [{"name": f"e{i}", "url": "http://127.0.0.1:1/"} for i in range(4)])) as s:
        tell("idle, with limits and 4 endpoints of events", s)
    print(f"idle under 8 MiB: {'yes' if idle < 8 else 'no'}; {CONNECTIONS} connections under 32 MiB: {'yes' if full < 32 else 'no'}")


if __name__ == "__main__":
    main()
