#!/usr/bin/env python3
"""Limits by address and by identity: who is over them hears 429 with Retry-After; others notice nothing."""
import contextlib
import http.client
import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402


def ask(s, path="/v2/", source="127.0.0.1", n=1, method="GET", headers=None, body=None):
    """Answers of n requests on one connection from an address of this machine."""
    c = http.client.HTTPConnection(s.host, s.port, timeout=r.WAIT_S, source_address=(source, 0))
    got = []
    for _ in range(n):
        c.request(method, path, body=body, headers=headers or {})
        a = c.getresponse()
        got.append(r.Answer(a, a.read()))
    c.close()
    return got


def statuses(answers):
    return [a.status for a in answers]


def drain(s, source, **more):
    """Requests until one is refused; how many were not."""
    began = time.monotonic()
    for n in range(1000):
        a = ask(s, source=source, **more)[0]
        if a.status == 429:
            return n, time.monotonic() - began, a
    raise AssertionError("nothing is refused")


def refusals(s, limit):
    text = ask(s, "/metrics", source="127.0.0.99")[0].body.decode()
    return int(re.search(rf'^berthd_limit_refusals_total{{limit="{re.escape(limit)}"}} (\d+)$', text, re.M).group(1))


@case("requests of an address: as many as come in in limits.burst at once, then 429 with Retry-After; another address has its own")
def requests():
    with r.Daemon("--limits.address.requests=1", "--limits.burst=20s") as s:
        n, took, a = drain(s, "127.0.0.2")
        same("let in", True, 20 <= n <= 20 + took + 1)
        same("told", ["TOOMANYREQUESTS"], a.codes())
        same("when", True, 1 <= int(a.header("Retry-After")) <= 2)
        same("another", [200] * 5, statuses(ask(s, source="127.0.0.3", n=5)))
        same("health", [200] * 50, statuses(ask(s, "/livez", source="127.0.0.2", n=50)))
        same("an administrator here", [200] * 30, statuses(ask(s, "/api/v1/stats", n=30)))
        time.sleep(int(a.header("Retry-After")))
        same("after the wait that was told", 200, ask(s, source="127.0.0.2")[0].status)
        same("counted", True, refusals(s, "address.requests") >= 1)


@case("without limits, which is the preset, nothing is refused")
def preset():
    with r.Daemon() as s:
        same("all", {200}, set(statuses(ask(s, n=2000))))
        same("counted", 0, refusals(s, "address.requests"))


@case("bytes of an address: what was taken too much of is made up for before the next request")
def many_bytes():
    with r.Daemon("--limits.address.bytes=100K", "--limits.burst=2s") as s:
        s.push_blob("m", b"x" * 50000)
        data = b"y" * 400000
        path = f"/v2/m/blobs/uploads/?digest={r.sha256(data)}"
        same("in", [201], statuses(ask(s, path, "127.0.0.2", method="POST", body=data, headers={"Content-Type": "application/octet-stream"})))
        a = ask(s, source="127.0.0.2")[0]
        same("then", (429, True), (a.status, 1 <= int(a.header("Retry-After")) <= 3))
        same("another", 200, ask(s, source="127.0.0.3")[0].status)
        blob = f"/v2/m/blobs/{r.sha256(data)}"
        same("out", [200], statuses(ask(s, blob, "127.0.0.4")))
        same("then", 429, ask(s, source="127.0.0.4")[0].status)
        same("a HEAD costs nothing", {200}, set(statuses(ask(s, blob, "127.0.0.5", n=20, method="HEAD"))))
        same("counted", True, refusals(s, "address.bytes") >= 2)


@case("behind a trusted proxy it is the client's address; what others say of themselves counts for nothing")
def proxies():
    with r.Daemon("--limits.address.requests=1", "--limits.burst=5s", "--http.trusted_proxies=127.0.0.7") as s:
        drain(s, "127.0.0.7", headers={"X-Forwarded-For": "198.51.100.1"})
        same("another client of the proxy", 200, ask(s, source="127.0.0.7", headers={"X-Forwarded-For": "198.51.100.2"})[0].status)
        drain(s, "127.0.0.8", headers={"X-Forwarded-For": "198.51.100.3"})
        same("no proxy", 429, ask(s, source="127.0.0.8", headers={"X-Forwarded-For": "198.51.100.4"})[0].status)
        drain(s, "127.0.0.7", headers={"X-Forwarded-For": "2001:db8::1"})
        same("the same 64 bits", 429, ask(s, source="127.0.0.7", headers={"X-Forwarded-For": "2001:db8::2"})[0].status)
        same("others", 200, ask(s, source="127.0.0.7", headers={"X-Forwarded-For": "2001:db8:0:1::1"})[0].status)


def with_accounts(*options):
    s = r.Daemon()
    users = s.work / "users"
    for name in ("alice", "bob"):
        subprocess.run([r.BERTHD, "user", "add", name, f"--auth.htpasswd={users}"], input="pw\n", text=True, check=True,
                       capture_output=True)
    rules = json.dumps([{"who": "authenticated", "repositories": "**", "allow": ["pull", "push"]}])
    s.options = (f"--auth.htpasswd={users}", f"--access={rules}", *options)
    return s


@case("requests of an identity, from wherever it asks; another one has its own")
def identities():
    with with_accounts("--limits.identity.requests=1", "--limits.burst=10s") as s:
        alice, bob = ({"Authorization": r.basic(f"{name}:pw")} for name in ("alice", "bob"))
        n, took, a = drain(s, "127.0.0.2", headers=alice)
        same("let in", True, 10 <= n <= 10 + took + 1)
        same("told", True, int(a.header("Retry-After")) >= 1)
        same("elsewhere", 429, ask(s, source="127.0.0.3", headers=alice)[0].status)
        same("another", 200, ask(s, source="127.0.0.2", headers=bob)[0].status)
        same("nobody is asked for a login", 401, ask(s, source="127.0.0.2")[0].status)
        same("counted", True, "identity.requests" in s.request("GET", "/metrics", headers=bob).body.decode())


def half_an_upload(s, source, headers):
    """A connection on which half of a body was sent, and the server has begun to take it."""
    data = b"z" * 100000
    c = http.client.HTTPConnection(s.host, s.port, timeout=r.WAIT_S, source_address=(source, 0))
    c.putrequest("POST", f"/v2/m/blobs/uploads/?digest={r.sha256(data)}")
    for name, value in {**headers, "Content-Length": str(len(data)), "Expect": "100-continue"}.items():
        c.putheader(name, value)
    c.endheaders()
    first = c.sock.recv(1000)  # 100, or the refusal
    if b" 100 " not in first.split(b"\r\n")[0]:
        c.close()
        return int(first.split()[1]), None, None
    c.sock.sendall(data[:50000])
    return 100, c, data[50000:]


@case("uploads at once, by identity or by address: one that ends makes room, one that is cut off as well")
def uploads():
    for s, headers in ((with_accounts("--limits.identity.uploads=2"), {"Authorization": r.basic("alice:pw")}),
                       (r.Daemon("--limits.identity.uploads=2"), {})):
        with s:
            same("a first request", 200, ask(s, headers=headers)[0].status)
            begun = [half_an_upload(s, "127.0.0.2", headers) for _ in range(2)]
            same("two", [100, 100], [b[0] for b in begun])
            same("three", 429, half_an_upload(s, "127.0.0.2", headers)[0])
            other = {"Authorization": r.basic("bob:pw")} if headers else {}
            status, c, _ = half_an_upload(s, "127.0.0.3", other)
            same("another's", 100, status)
            c.close()
            _, c, rest = begun.pop()
            c.sock.sendall(rest)
            got = b""
            while b"\r\n\r\n" not in got:
                got += c.sock.recv(1000)
            same("it ends well", b"HTTP/1.1 201", got[:12])
            c.close()

            def room():
                status, c, _ = half_an_upload(s, "127.0.0.2", headers)
                if c:
                    begun.append((status, c, None))
                return status == 100

            r.wait_until("room", room)
            begun.pop()[1].close()  # cut off
            r.wait_until("room again", room)
            for b in begun:
                b[1].close()


@case("24 connections that ask without end hear of it twice a second each, and another client gets every answer")
def flood():
    with r.Daemon("--limits.address.requests=50", "--limits.burst=1s") as s:
        stop, counts = threading.Event(), []

        def one():
            c = http.client.HTTPConnection(s.host, s.port, timeout=r.WAIT_S, source_address=("127.0.0.2", 0))
            good = bad = 0
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    c.request("GET", "/v2/")
                    a = c.getresponse()
                    a.read()
                    good, bad = good + (a.status == 200), bad + (a.status == 429)
            c.close()
            counts.append((good, bad))

        began = time.monotonic()
        threads = [threading.Thread(target=one) for _ in range(24)]
        for t in threads:
            t.start()
        same("another", {200}, set(statuses(ask(s, source="127.0.0.3", n=40))))
        r.wait_until("refusals", lambda: refusals(s, "address.requests") >= 48)
        stop.set()
        for t in threads:
            t.join()
        took = time.monotonic() - began
        same("refusals are slow", True, sum(c[1] for c in counts) <= 24 * (2 * took + 1))
        same("the rest is as the limit says", True, sum(c[0] for c in counts) <= 50 * (took + 1) + 1)


@case("on one thread, where nothing can wait, refusals come at once")
def one_thread():
    with r.Daemon("--threads=1", "--limits.address.requests=1", "--limits.burst=5s", "--limits.identity.uploads=1") as s:
        n, took, a = drain(s, "127.0.0.2")
        same("let in", True, 5 <= n <= 5 + took + 1)
        same("told", True, int(a.header("Retry-After")) >= 1)
        same("another", 200, ask(s, source="127.0.0.3")[0].status)


@case("an end in order while refusals wait")
def end():
    with r.Daemon("--limits.address.requests=1", "--limits.burst=1s") as s:
        socks = []
        for _ in range(20):
            c = socket.create_connection((s.host, s.port))
            c.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            socks.append(c)
        r.wait_until("they wait", lambda: "berthd_limit_held_requests 0" not in ask(s, "/metrics", source="127.0.0.99")[0].body.decode())
        same("status", 0, s.stop())
        for c in socks:
            c.close()


if __name__ == "__main__":
    tap.main()
