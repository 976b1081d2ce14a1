#!/usr/bin/env python3
"""Hostile HTTP, by the ids of the attack list (HTTP-..): framing, smuggling, slow clients, floods, log injection."""
import os
import pathlib
import resource
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, one_of, same  # noqa: E402

BLOB = b"smuggled"
DIGEST = r.sha256(BLOB)


def statuses(got):
    """The status codes of the answers in these bytes, framed by their Content-Length; what does not parse is -1."""
    found = []
    while got:
        head, _, rest = got.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        if not lines[0].startswith(b"HTTP/1.1 "):
            return found + [-1]
        found.append(int(lines[0][9:12]))
        length = [int(x.split(b":")[1]) for x in lines[1:] if x.lower().startswith(b"content-length:")]
        got = rest[length[0] if length else 0:]
    return found


def send(s, text, timeout=2, **more):
    data = text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode("latin-1")
    return statuses(s.raw(data, timeout=timeout, **more))


def refused(s, what, text, allowed=(400,)):
    """One answer of these, or the connection closed without any; nothing of the rest is obeyed."""
    got = send(s, text)
    same(f"{what!r}: {got}", True, got == [] or (len(got) == 1 and got[0] in allowed))
    same(f"{what!r}: nothing stored", 404, s.request("GET", f"/v2/http/blobs/{DIGEST}").status)


POST = f"POST /v2/http/blobs/uploads/?digest={DIGEST} HTTP/1.1\nHost: x\n"
BODY = BLOB.decode()


@case("HTTP-01 Content-Length and Transfer-Encoding together")
def http01(s):
    for lines in (f"Content-Length: {len(BODY)}\nTransfer-Encoding: chunked\n", "Transfer-Encoding: chunked\nContent-Length: 0\n"):
        smuggled = "GET /v2/_catalog HTTP/1.1\nHost: x\n\n"
        got = send(s, POST + lines + f"\n0\n\n{smuggled}")
        same(f"one answer at most: {got}", True, len(got) <= 1 and all(400 <= x < 500 for x in got))


@case("HTTP-02 HTTP-03 Content-Length twice, signed, hex, listed, overflowing")
def http02(s):
    for lines in ("Content-Length: 8\nContent-Length: 9\n", "Content-Length: 8\nContent-Length: 8\n", "Content-Length: +8\n", "Content-Length: -8\n",
                  "Content-Length: 0x8\n", "Content-Length: 8,9\n", f"Content-Length: {2**64 + 8}\n", "Content-Length: 8 8\n", "Content-Length: \n", "Content-Length: 8a\n"):
        refused(s, lines, POST + lines + "\n" + BODY, (400, 413, 501))


@case("HTTP-04 Transfer-Encoding that is not chunked alone")
def http04(s):
    for value in ("xchunked", "identity", "chunked, chunked", "gzip", "chunked\nTransfer-Encoding: identity", "\x0bchunked", "chunked;x"):
        refused(s, value, POST + f"Transfer-Encoding: {value}\n\n8\n{BODY}\n0\n\n", (400, 413, 501))


@case("HTTP-05 HTTP-34 broken chunks commit nothing")
def http05(s):
    for chunk in ("8\n" + BODY + "0\n\n", "ffffffffffffffff1\nx\n0\n\n", "+8\n" + BODY + "\n0\n\n", "0x8\n" + BODY + "\n0\n\n", "-1\nx\n", "\n" + BODY, "8 \n" + BODY + "X\n0\n\n",
                  "8;" + "e" * 71680 + "\n" + BODY + "\n0\n\n", "8\n" + BODY[:4]):
        got = send(s, POST + "Transfer-Encoding: chunked\n\n" + chunk, shut=True)
        same(f"{chunk[:20]!r}: {got}", True, len(got) <= 1 and all(400 <= x < 500 for x in got))
        same("nothing stored", 404, s.request("GET", f"/v2/http/blobs/{DIGEST}").status)


@case("HTTP-06 HTTP-07 space before the colon, empty names, NUL and bare CR in values")
def http06(s):
    for line in ("Content-Length : 8", ": x", "Bad Name: x", "X: a\0b", "X: a\rb", "X\0: a", "Host : y", "\x7f: x", "(x): y"):
        refused(s, line, POST.replace("Host: x\n", f"Host: x\n{line}\n") + f"Content-Length: 8\n\n{BODY}")


@case("HTTP-08 bare LF ends no line")
def http08(s):
    got = send(s, f"POST /v2/http/blobs/uploads/?digest={DIGEST} HTTP/1.1\nHost: x\nContent-Length: 8\n\n{BODY}".encode())
    same(f"refused: {got}", True, got in ([], [400]))


@case("HTTP-09 HTTP-10 Host missing or twice, other versions, other protocols")
def http09(s):
    for head in ("GET /v2/ HTTP/1.1\n\n", "GET /v2/ HTTP/1.1\nHost: a\nHost: b\n\n"):
        same(head, True, send(s, head) in ([], [400]))
    for head in (b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n", b"GET /v2/\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 b"GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET  /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n" * 5000, b"GET /v2/ HTTP/1.1 \r\nHost: x\r\n\r\n"):
        got = send(s, head)
        same(f"{head[:30]!r}: {got}", True, len(got) <= 1 and all(x in (400, 404, 405, 505) for x in got))


@case("HTTP-11 HTTP-12 a 2 MiB header, 100,000 headers, a 64 KiB path: refused at once")
def http11(s):
    for head in ("X: " + "a" * (2 << 20) + "\n", "".join(f"X{i}: y\n" for i in range(100_000))):
        began = time.monotonic()
        got = send(s, "GET /v2/ HTTP/1.1\nHost: x\n" + head + "\n")
        same(f"{got}", True, got in ([], [400], [431], [413]))
        same("at once", True, time.monotonic() - began < 20)
    got = send(s, "GET /v2/" + "a" * 65536 + " HTTP/1.1\nHost: x\n\n")
    same(f"path: {got}", True, got in ([], [414], [400], [404]))
    same("a path over our limit", 414, s.request("GET", "/v2/" + "a" * 9000 + "/tags/list").status)


@case("HTTP-13 HTTP-15 fifty pipelined requests are answered in order; after Connection: close nothing is")
def http13(s):
    s.push_blob("http/pipe", b"p")
    paths = ["/v2/", "/v2/http/pipe/tags/list", "/v2/nobody/tags/list", "/nowhere", f"/v2/http/pipe/blobs/{r.sha256(b'p')}"] * 10
    last = "GET /v2/ HTTP/1.1\nHost: x\nConnection: close\n\nGET /v2/ HTTP/1.1\nHost: x\n\n"
    got = send(s, "".join(f"GET {p} HTTP/1.1\nHost: x\n\n" for p in paths) + last)
    same("in order", [200, 200, 404, 404, 200] * 10 + [200], got)


@case("HTTP-14 a DELETE inside the body of a GET stays a body")
def http14(s):
    s.push_blob("http/pipe", b"p")
    inner = f"DELETE /v2/http/pipe/blobs/{r.sha256(b'p')} HTTP/1.1\nHost: x\n\n"
    text = inner.replace("\n", "\r\n")
    got = send(s, f"GET /v2/ HTTP/1.1\nHost: x\nContent-Length: {len(text)}\n\n{inner}GET /v2/ HTTP/1.1\nHost: x\nConnection: close\n\n")
    same("two answers", [200, 200], got)
    same("still there", 200, s.request("GET", f"/v2/http/pipe/blobs/{r.sha256(b'p')}").status)


@case("HTTP-16 Expect: continued where the body is wanted, refused before it where it is not")
def http16(s):
    with socket.create_connection((s.host, s.port), timeout=r.WAIT_S) as c:
        c.sendall((POST.replace("/http/", "/http/expect/") + "Content-Length: 8\nExpect: 100-continue\n\n").replace("\n", "\r\n").encode())
        same("continue", True, c.recv(1000).startswith(b"HTTP/1.1 100"))
        c.sendall(BLOB)
        same("created", True, c.recv(1000).startswith(b"HTTP/1.1 201"))
    with socket.create_connection((s.host, s.port), timeout=r.WAIT_S) as c:
        c.sendall(b"PUT /v2/http/blobs/uploads/00000000-0000-4000-8000-000000000000?digest=" + DIGEST.encode() +
                  b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")
        same("refused before the body", True, c.recv(1000).startswith(b"HTTP/1.1 404"))


@case("HTTP-17 HTTP-18 HTTP-19 TRACE, CONNECT, unknown methods, absolute targets, Upgrade")
def http17(s):
    for method in ("TRACE", "CONNECT", "OPTIONS", "FOO", "get", "PROPFIND"):
        got = send(s, f"{method} /v2/ HTTP/1.1\nHost: x\nConnection: close\n\n")
        same(f"{method}: {got}", True, len(got) == 1 and got[0] in (400, 405, 501))
    canary = socket.create_server(("127.0.0.1", 0))
    canary.settimeout(0.2)
    got = send(s, f"GET http://127.0.0.1:{canary.getsockname()[1]}/v2/ HTTP/1.1\nHost: x\nConnection: close\n\n")
    one_of("absolute", ([200], [400]), got)
    try:
        canary.accept()
        raise AssertionError("the canary was called")
    except TimeoutError:
        canary.close()
    got = send(s, "GET /v2/ HTTP/1.1\nHost: x\nUpgrade: h2c\nConnection: Upgrade, HTTP2-Settings, close\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n")
    same("no upgrade", [200], got)


@case("HTTP-20 HTTP-31 trailers and folded lines change nothing")
def http20(s):
    d = r.sha256(b"trailed")
    got = send(s, f"POST /v2/http/trail/blobs/uploads/?digest={d} HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: chunked\n\n7\ntrailed\n0\n"
               "Content-Length: 99\nHost: evil\nTransfer-Encoding: gzip\n\n")
    one_of("trailers", ([201], [400], []), got)
    got = send(s, "GET /v2/ HTTP/1.1\nHost: x\nX: a\n Content-Length: 99\nConnection: close\n\n")
    one_of("folded", ([200], [400], []), got)


@case("HTTP-24 odd targets never end in 5xx")
def http24(s):
    for path in ("//", "//v2//", "/v2//", "/v2/;x", "/%", "/%zz", "/%00", "/v2/#frag", "/[]", "/v2/?%", "/v2/?a=%zz", "*", "/v2/a/tags/list?" + "&" * 5000,
                 "/v2/_catalog?" + "&".join(f"k{i}=v" for i in range(200)), "/v2/ä/tags/list", "/.", "/..", "?", "/v2?x"):
        got = send(s, f"GET {path} HTTP/1.1\nHost: x\nConnection: close\n\n")
        same(f"{path[:30]}: {got}", True, len(got) <= 1 and all(x < 500 for x in got))


@case("HTTP-27 HTTP-28 garbage after a request, Transfer-Encoding in HTTP/1.0")
def http27(s):
    got = send(s, "GET /v2/ HTTP/1.1\nHost: x\n\n\x01\x02\x03 garbage\n\n")
    same(f"{got}", True, got[0] == 200 and got[1:] in ([], [400]))
    got = send(s, POST.replace("HTTP/1.1", "HTTP/1.0") + "Transfer-Encoding: chunked\n\n8\n" + BODY + "\n0\n\n")
    same(f"HTTP/1.0: {got}", True, len(got) <= 1 and all(x < 500 for x in got))


@case("HTTP-29 HTTP-30 32 MiB to a wrong place, a Content-Length of 2^62: answered, no memory set aside")
def http29(s):
    before = r.anonymous_memory(s)
    a = s.request("PUT", "/v2/http/nowhere", bytes(32 << 20))
    one_of("32 MiB", (404, 405), a.status)
    a = s.request("POST", "/v2/HTTP/blobs/uploads/", bytes(32 << 20))
    same("refused", 400, a.status)
    for path in ("/v2/nowhere", f"/v2/http/blobs/uploads/?digest={DIGEST}", "/v2/http/manifests/x"):
        with socket.create_connection((s.host, s.port), timeout=3) as c:
            c.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {2**62}\r\n\r\n".encode() + b"x" * 1000)
            c.recv(1000)
    same("memory", True, r.anonymous_memory(s) - before < 20 << 20 or "san" in r.BERTHD or "valgrind" in r.BERTHD)


@case("HTTP-32 HTTP-33 one request is one line of the log, whatever it holds; secrets are not in it")
def http32(s):
    s.request("GET", "/v2/x%0aev=evil/tags/list?a=%1b[31m", headers={"User-Agent": "x\x1b[31m", "Authorization": "Basic c2VjcmV0OnNlY3JldA=="})
    s.raw(b"GET /v2/\x1b[31m\x80 HTTP/1.1\r\nHost: x\r\n\r\n", timeout=2)
    log = s.log_text()
    same("no escapes", False, "\x1b" in log)
    same("no secret", False, "c2VjcmV0" in log)
    same("lines", True, all(line.startswith("ts=") for line in log.splitlines()))


def others_served(s):
    began = time.monotonic()
    same("others", 200, s.request("GET", "/v2/").status)
    same("within 2 s", True, time.monotonic() - began < 2 or os.environ.get("BERTH_SLOW"))


@case("HTTP-21 HTTP-22 HTTP-23 300 half-open heads, 50 uploads by the byte, 20 readers that do not read")
def http21(s):
    data = os.urandom(8 << 20)
    s.push_blob("http/big", data)
    held = []
    for _ in range(300):
        c = socket.create_connection((s.host, s.port))
        c.sendall(b"GET /v2/ HTTP/1.1\r\nHost:")
        held.append(c)
    for _ in range(50):
        c = socket.create_connection((s.host, s.port))
        c.sendall((POST + "Content-Length: 8\n\n").replace("\n", "\r\n").encode() + b"s")
        held.append(c)
    for _ in range(20):
        c = socket.create_connection((s.host, s.port))
        c.sendall(f"GET /v2/http/big/blobs/{r.sha256(data)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        held.append(c)
    others_served(s)
    same("a pull", data, s.request("GET", f"/v2/http/big/blobs/{r.sha256(data)}").body)
    s.push_blob("http/big", b"a push")
    for c in held:
        c.close()


@case("HTTP-25 HTTP-26 HTTP-40 heads and bodies that never end, or crawl, are cut off; honest ones are not")
def http25(_):
    with r.Daemon("--http.head_timeout=1s", "--http.min_rate=1K", "--http.min_rate_grace=2s", "--http.idle_timeout=20s") as s:
        data = os.urandom(4 << 20)
        s.push_blob("slow", data)
        heads = {"head by the byte": b"GET /v2/ HTTP/1.1\r\nX: ", "body by the byte": f"POST /v2/slow/blobs/uploads/?digest={DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()}
        cut = {}

        def crawl(name, head):
            with socket.create_connection((s.host, s.port)) as c:
                began = time.monotonic()
                try:
                    c.sendall(head)
                    while time.monotonic() - began < 60:
                        c.sendall(b"x")
                        c.settimeout(0.2)
                        try:
                            if not c.recv(100):
                                break
                        except TimeoutError:
                            pass
                except OSError:
                    pass
                cut[name] = time.monotonic() - began

        def read_by_the_byte():
            with socket.socket() as c:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                c.connect((s.host, s.port))
                c.sendall(f"GET /v2/slow/blobs/{r.sha256(data)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                began, fds = time.monotonic(), s.fds()
                while time.monotonic() - began < 60 and s.fds() >= fds:  # both the socket's and the blob's
                    c.recv(20)
                    time.sleep(0.05)
                cut["reader by the byte"] = time.monotonic() - began

        threads = [threading.Thread(target=crawl, args=i) for i in heads.items()]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        read_by_the_byte()
        same("cut within 30 s", {n: True for n in (*heads, "reader by the byte")}, {n: x < 30 for n, x in cut.items()})
        c = s.connect()  # idle between requests, for longer than a head may take: that is no crime
        c.request("GET", "/v2/")
        c.getresponse().read()
        time.sleep(2.5)
        c.request("GET", "/v2/")
        same("kept alive", 200, c.getresponse().status)
        c.close()


@case("HTTP-41 one address cannot take all connections, and they come back")
def http41(_):
    with r.Daemon("--http.connections_per_address=50", "--http.connections=200") as s:
        held = []
        for _ in range(150):
            c = socket.create_connection((s.host, s.port))
            held.append(c)
        other = socket.create_connection((s.host, s.port), source_address=("127.0.0.2", 0), timeout=r.WAIT_S)
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        same("another address", True, other.recv(100).startswith(b"HTTP/1.1 200"))
        other.close()
        for c in held:
            c.close()
        r.wait_until("served again", lambda: served(s))


def served(s):
    try:
        return s.request("GET", "/v2/").status == 200
    except (OSError, r.http.client.HTTPException):
        return False


@case("FLT-07 few descriptors and many clients: 503 or waiting, never a crash or a spin, and it recovers")
def flt07(_):
    with r.Daemon(limits={resource.RLIMIT_NOFILE: 64}) as s:
        held = [socket.create_connection((s.host, s.port)) for _ in range(200)]
        before = cpu_s(s)
        time.sleep(1)
        spent = cpu_s(s) - before
        same(f"{spent:.2f} s of CPU in one idle second", True, spent < 0.5)
        for c in held:
            c.close()
        r.wait_until("served again", lambda: served(s))
        s.push_blob("few", b"descriptors")


def cpu_s(s):
    fields = open(f"/proc/{s.process.pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    with r.Daemon() as server:
        tap.main(server, after_each=lambda s: same("alive", (True, 200), (s.alive(), s.request("GET", "/v2/").status)))


if __name__ == "__main__":
    main()
