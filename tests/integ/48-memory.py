#!/usr/bin/env python3
"""Memory: what few need is not loaded before somebody asks for it, and connections that are idle take little."""
import contextlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pki  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

IDLE_MAX = 8 << 20  # of all that is resident
CONNECTIONS = 500
CONNECTION_MAX = 20 << 10
LATE = ("libgnutls", "libcurl", "libldap")


def loaded(s):
    """Which of LATE it has in memory."""
    maps = pathlib.Path(f"/proc/{s.process.pid}/maps").read_text()
    return {name for name in LATE if f"/{name}" in maps}


def resident(s):
    return next(int(x.split()[1]) << 10 for x in open(f"/proc/{s.process.pid}/status") if x.startswith("VmRSS:"))


def only_berthd():
    if "BERTHD" in os.environ:
        raise tap.Skip("the tool that runs berthd has memory of its own")


@case("without TLS, events and a directory none of their libraries is there, and all of it takes less than 8 MiB")
def idle(work):
    with r.Daemon() as s:
        same("libraries", set(), loaded(s))
        same("status", 200, s.request("GET", "/v2/").status)
        only_berthd()
        used = resident(s)
        same(f"{used / 2**20:.1f} MiB are below {IDLE_MAX >> 20}", True, used < IDLE_MAX)


@case("what is asked for is loaded at the start, and serves")
def asked_for(work):
    authority = pki.Authority(work / "ca")
    certificate, key = authority.make("server", "IP:127.0.0.1")
    pair = "--tls.certificates=" + json.dumps([{"certificate": certificate, "key": key}])
    with r.Daemon(pair, ssl=authority.context()) as s:
        same("TLS", {"libgnutls"}, loaded(s))
        same("status", 200, s.request("GET", "/v2/").status)
    with r.Daemon("--events.endpoints=" + json.dumps([{"name": "e", "url": "http://127.0.0.1:1/"}])) as s:
        same("events", True, "libcurl" in loaded(s))
    rule = "--access=[{who: anonymous, repositories: '**', allow: pull}]"
    with r.Daemon("--auth.ldap.url=ldap://127.0.0.1:1", "--auth.ldap.users=dc=test", rule) as s:
        same("directory", True, "libldap" in loaded(s))


@case("a connection that is kept alive takes less than 20 KiB once its request is answered")
def connections(work):
    only_berthd()
    with r.Daemon("--http.idle_timeout=10m") as s, contextlib.ExitStack() as open_ones:
        config = b"{}"
        s.push_blob("m", config)
        same("manifest", 201, s.put_manifest("m", "t", r.image(config)).status)
        before = resident(s)
        for _ in range(CONNECTIONS):
            c = open_ones.enter_context(contextlib.closing(s.connect()))
            same("status", 200, s.request("GET", "/v2/m/manifests/t", connection=c).status)
        used = (resident(s) - before) / CONNECTIONS
        same(f"{used / 1024:.1f} KiB are below {CONNECTION_MAX >> 10}", True, used < CONNECTION_MAX)


if __name__ == "__main__":
    directory = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-"))
    try:
        tap.main(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
