#!/usr/bin/env python3
"""Logs: one line per request with its id, what and whose it was, and its trace; nothing that a client sends makes another line."""
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import jwt  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
HOSTILE = ("a\tb", "x\x0blevel=error", "\x1b[31mred", "a\" ev=forged", "\xff\xfe", "a" * 3000, "{\"ev\":\"forged\"}", "=", "\\", "<0>x", "a b", "..")


def requests(d, path, n=1):
    """Lines of requests for a path, as objects, once there are so many."""
    found = []

    def look():
        found[:] = [x for x in objects(d) if x["ev"] == "request" and x["path"] == path]
        return len(found) >= n

    r.wait_until(f"{n} lines for {path}", look)
    return found


def objects(d):
    return [json.loads(line) for line in d.log_text().splitlines() if line.endswith("}")]


@case("JSON: one line per request tells id, route, repository, digest, bytes, time and status")
def as_json(_):
    with r.Daemon("--log.format=json") as d:
        data = os.urandom(3000)
        a = d.push_blob("team/a", data)
        line = requests(d, f"/v2/team/a/blobs/uploads/?digest={r.sha256(data)}")[0]
        same("id", a.header("X-Request-Id"), line["id"])
        same("id is made", True, bool(re.fullmatch("[0-9a-f]{16}", line["id"])))
        same("a push", {"from": "127.0.0.1", "method": "POST", "status": 201, "in": 3000, "out": 0, "scope": "push", "repository": "team/a",
                        "digest": r.sha256(data), "level": "info"}, {k: line.get(k) for k in ("from", "method", "status", "in", "out", "scope", "repository", "digest", "level")})
        same("times", True, line["us"] > 0 and bool(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]{12}Z", line["ts"])))
        same("route", "/v2/{name}/blobs/uploads/", line["route"])
        a = d.request("GET", f"/v2/team/a/blobs/{r.sha256(data)}")
        line = requests(d, f"/v2/team/a/blobs/{r.sha256(data)}")[0]
        same("a pull", (3000, 0, r.sha256(data)), (line["out"], line["in"], line["digest"]))
        d.put_manifest("team/a", "v1", r.image())
        line = requests(d, "/v2/team/a/manifests/v1")[0]
        same("a manifest", ("v1", r.sha256(json.dumps(r.image()).encode())) if line["status"] == 201 else ("v1", None), (line["tag"], line.get("digest")))
        d.request("GET", "/nowhere")
        same("no route", (404, None), (requests(d, "/nowhere")[0]["status"], requests(d, "/nowhere")[0].get("route")))
        same("each line is an object", len(d.log_text().splitlines()), len(objects(d)))
        same("ids differ", True, len({x["id"] for x in objects(d) if x["ev"] == "request"}) == 4)


@case("an id is taken over from a proxy of ours, if it can be one; from nobody else")
def ids(_):
    for options, believed in (((), False), (("--http.trusted_proxies=127.0.0.1",), True), (("--http.trusted_proxies=10.0.0.0/8",), False)):
        with r.Daemon(*options, "--log.format=json") as d:
            a = d.request("GET", "/v2/", headers={"X-Request-Id": "from.the-proxy_1", "X-Forwarded-For": "192.0.2.1"})
            same(f"with {options}", believed, a.header("X-Request-Id") == "from.the-proxy_1")
            line = requests(d, "/v2/")[0]
            same("in the log", a.header("X-Request-Id"), line["id"])
            same("from", "192.0.2.1" if believed else "127.0.0.1", line["from"])
            for i, bad in enumerate(("", "a b", "a\"b", "x" * 65, "\xe4", "a;b", "<0>")):
                a = d.request("GET", f"/v2/?{i}", headers={"X-Request-Id": bad.encode("latin-1")})
                same(f"{bad!r}", True, bool(re.fullmatch("[0-9a-f]{16}", a.header("X-Request-Id"))))
            same("as long as may be", believed, d.request("GET", "/v2/", headers={"X-Request-Id": "x" * 64}).header("X-Request-Id") == "x" * 64)


@case("no field, path or name makes another line, in any format, with any value")
def injection(w):
    for fmt in ("json", "logfmt"):
        with r.Daemon(f"--log.format={fmt}", "--http.trusted_proxies=127.0.0.1", "--log.level=debug") as d:
            before = len(d.log_text().splitlines())
            for bad in HOSTILE:
                value = bad.encode("latin-1").replace(b"\x0b", b"\t")
                fields = b"".join(b"%s: %s\r\n" % (name, value) for name in (
                    b"X-Request-Id", b"traceparent", b"X-Forwarded-For", b"User-Agent", b"Authorization", b"Range", b"Referer"))
                path = b"/v2/" + re.sub(rb"[\t ]", b"%20", value)[:2000] + b"/tags/list?" + re.sub(rb"[\t ]", b"%0a", value)[:2000]
                d.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + fields + b"\r\n")
                d.raw(b"GET /v2/a%0aev%3Dforged HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            r.wait_until("the lines", lambda: d.log_text().count("forged") >= len(HOSTILE))
            text = (d.work / "log").read_bytes()
            same("only what is printable", [], [hex(c) for c in set(text) if c != 10 and not 32 <= c < 127])
            for line in text.decode().splitlines()[before:]:
                if fmt == "json":
                    same(f"{line[:200]}", True, json.loads(line)["ev"] in ("request", "http", "stop", "scrub.round"))
                else:
                    same(f"{line[:200]}", True, bool(re.match(r"ts=\S+ level=(info|debug) ev=(request|http|stop|scrub\.round) ", line)))


class Keys(http.server.BaseHTTPRequestHandler):
    seen, document = [], ""

    def do_GET(self):  # noqa: N802
        Keys.seen.append(self.headers.get("traceparent"))
        body = Keys.document.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@case("traceparent is logged, and passed on to whom berthd asks because of the request, with a span of its own")
def traces(w):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key = jwt.RsaKey(w, "one")
    Keys.document = jwt.key_set(key)
    entry = [{"name": "ci", "issuer": "https://ci.test", "audience": "berth", "keys_url": f"http://127.0.0.1:{server.server_port}/"}]
    now = int(time.time())
    token = key.sign({"iss": "https://ci.test", "aud": "berth", "sub": "job", "iat": now, "nbf": now - 5, "exp": now + 300, "jti": "1",
                      "access": [{"type": "repository", "name": "a", "actions": ["pull", "push"]}]})
    try:
        with r.Daemon("--log.format=json", f"--auth.issuers={json.dumps(entry)}", "--http.insecure") as d:
            d.request("GET", "/v2/a/tags/list", headers={"Authorization": f"Bearer {token}", "traceparent": TRACEPARENT})
            line = requests(d, "/v2/a/tags/list")[0]
            same("who", "issuer:ci:job", line.get("who"))
            same("the trace", (TRACE, PARENT), (line.get("trace"), line.get("parent")))
            same(f"passed on: {Keys.seen}", True, f"00-{TRACE}-{line['span']}-01" in Keys.seen)
            for i, bad in enumerate(("garbage", TRACEPARENT.upper(), TRACEPARENT + "-x", TRACEPARENT[:-1])):
                d.request("GET", f"/v2/?{i}", headers={"traceparent": bad})
                same(f"{bad} is no trace", None, requests(d, f"/v2/?{i}")[0].get("trace"))
    finally:
        server.shutdown()
        server.server_close()


@case("levels by module and the format change with SIGHUP")
def levels(w):
    conf = w / "conf"
    conf.write_text("log: {level: info}\n")
    with r.Daemon("--config", str(conf)) as d:
        def reload(text):
            conf.write_text(text)
            done = d.log_text().count("options changed")
            d.process.send_signal(signal.SIGHUP)
            r.wait_until("the reload", lambda: d.log_text().count("options changed") > done)

        d.request("GET", "/v2/?one")
        reload("log: {levels: {request: warn}}\n")
        d.request("GET", "/v2/?two")
        reload("log: {level: error, levels: {request: info, config: info}}\n")
        d.request("GET", "/v2/?three")
        reload("log: {format: json, levels: {http: debug}}\n")
        d.request("GET", "/v2/?four")
        same("JSON", 200, requests(d, "/v2/?four")[0]["status"])
        text = d.log_text()
        same("said", (True, False, True), tuple(f"path=/v2/?{n}" in text for n in ("one", "two", "three")))
        same("the change", True, "option=log.levels.request old=default new=warn" in text)


@case("on a stream to the journal each line begins with its priority")
def journal(w):
    log = w / "journal"
    with open(log, "wb") as f:
        s = os.fstat(f.fileno())
        p = subprocess.Popen([r.BERTHD, "serve", "--root", str(w / "root"), "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=f,
                             env={**os.environ, "JOURNAL_STREAM": f"{s.st_dev}:{s.st_ino}"})
        p.stdout.readline()
        p.send_signal(signal.SIGTERM)
        same("end", 0, p.wait(timeout=r.WAIT_S))
        p.stdout.close()
    lines = log.read_text().splitlines()
    same(f"priorities: {lines}", [], [x for x in lines if not re.match(r"<[3467]>ts=\S+ level=", x)])
    same("some lines", True, len(lines) >= 2)


work = pathlib.Path(tempfile.mkdtemp(prefix="berth-logs-"))
try:
    tap.main(work)
finally:
    shutil.rmtree(work, ignore_errors=True)
