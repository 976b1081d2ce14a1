#!/usr/bin/env python3
"""Hostile input to the registry's protocol, by the ids of the attack list (REG-..).  After each: alive, serving, no leak."""
import json
import os
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, one_of, same  # noqa: E402

REFUSED = range(400, 500)
A64 = "a" * 64


def refused(what, answer, wanted=REFUSED):
    """The client's mistake is the client's: 4xx, in JSON."""
    if answer.status not in wanted:
        raise AssertionError(f"{what}: expected {wanted}, got {answer.status} {answer.body[:200]!r}")
    if answer.body:
        answer.json()


def manifest_refused(s, what, body, media=r.OCI_MANIFEST, wanted=(400,)):
    refused(what, s.put_manifest("atk", "x", body, media=media), wanted)
    same(f"{what}: not stored", 404, s.request("GET", "/v2/atk/manifests/x").status)


def tagged(s, repo="atk", tag="ok", **more):
    s.push_blob(repo, b"{}")
    body = json.dumps(r.image(b"{}", [], **more)).encode()
    same("push", 201, s.put_manifest(repo, tag, body, media=r.OCI_MANIFEST).status)
    return body


@case("REG-01 a blob under another content's digest")
def reg01(s):
    claimed = r.sha256(b"claimed")
    a = s.request("POST", f"/v2/atk/blobs/uploads/?digest={claimed}", b"other")
    same("refused", (400, ["DIGEST_INVALID"]), (a.status, a.codes()))
    for d in (claimed, r.sha256(b"other")):
        same("neither is there", 404, s.request("GET", f"/v2/atk/blobs/{d}").status)


@case("REG-02 REG-03 confusing digests, pushed and asked for")
def reg02(s):
    bad = ["md5:" + "a" * 32, "sha1:" + "a" * 40, "sha512:" + A64, "sha256:" + "A" * 64, "sha256:" + "a" * 63,
           "sha256:" + "a" * 65, f"sha256:{A64}%00", f"sha256:{A64},sha256:{A64}", f"sha256:..%2f{'a' * 60}", f"SHA256:{A64}",
           f"sha256:{A64}%0a", "sha256:", ":", f"sha256-{A64}", f"%20sha256:{A64}", "sha256:" + "g" * 64]
    for d in bad:
        refused(f"POST {d}", s.request("POST", f"/v2/atk/blobs/uploads/?digest={d}", b"x"), (400,))
        where = s.open_session("atk")
        refused(f"PUT {d}", s.request("PUT", f"{where}?digest={d}", b"x"), (400,))
        s.request("DELETE", where)
        for kind in ("blobs", "manifests", "referrers"):
            for method in ("GET", "HEAD"):
                one_of(f"{method} {kind} {d}", (400, 404), s.request(method, f"/v2/atk/{kind}/{d}").status)


@case("REG-04 REG-05 sha512 that does not fit; a manifest by a digest not its own")
def reg04(s):
    refused("sha512", s.request("POST", f"/v2/atk/blobs/uploads/?digest={r.sha512(b'a')}", b"b"), (400,))
    body = tagged(s)
    other = r.sha256(body + b" ")
    refused("manifest", s.put_manifest("atk", other, body, media=r.OCI_MANIFEST), (400,))
    same("not stored", 404, s.request("GET", f"/v2/atk/manifests/{other}").status)


@case("REG-06 manifest over content that nobody pushed")
def reg06(s):
    a = s.put_manifest("atk", "x", r.image(b"no such config", [b"no such layer"]))
    refused("missing", a, (400, 404))
    same("code", {"MANIFEST_BLOB_UNKNOWN"}, set(a.codes()))


@case("REG-07 REG-08 media types that contradict each other, documents of two kinds")
def reg07(s):
    s.push_blob("atk", b"{}")
    m, i = r.image(b"{}", []), r.index([])
    manifest_refused(s, "index as manifest", m, r.OCI_INDEX)
    manifest_refused(s, "manifest as index", i, r.OCI_MANIFEST)
    manifest_refused(s, "docker as OCI", m, r.DOCKER_MANIFEST)
    manifest_refused(s, "layers and manifests", {**m, "manifests": []})
    manifest_refused(s, "manifests and layers", {**i, "layers": []}, r.OCI_INDEX)
    manifest_refused(s, "fsLayers", {**m, "fsLayers": []})


@case("REG-09 REG-10 bodies that are no manifests")
def reg09(s):
    s.push_blob("atk", b"{}")
    for body in (b"", b"null", b"[]", b"7", b"<html>", b'"x"', b"{}", b"{", b"\xff\xfe{\0}\0"):
        manifest_refused(s, repr(body), body)
    good = r.image(b"{}", [])
    for change in ({"config": None}, {"schemaVersion": 1}, {"schemaVersion": "2"}, {"schemaVersion": 2.5}, {"schemaVersion": None},
                   {"config": {}}, {"config": []}, {"layers": {}}, {"layers": [None]}, {"layers": [1]}, {"annotations": []},
                   {"annotations": {"a": 1}}, {"mediaType": 7}, {"artifactType": 7}, {"subject": []}, {"subject": {"digest": "x"}}):
        manifest_refused(s, str(change), {**good, **change})


@case("REG-11 REG-12 REG-13 stored markup never runs")
def reg11(s):
    html = b"<script>alert(1)</script>"
    for media in ("text/html", "image/svg+xml", "application/javascript", "multipart/form-data", "application/json", "x", "*/*", ""):
        manifest_refused(s, media, json.dumps({"schemaVersion": 2}).encode(), media or " ", (400, 415))
    digest = s.push_blob("atk", html).header("Docker-Content-Digest")
    a = s.request("GET", f"/v2/atk/blobs/{digest}", headers={"Accept": "text/html"})
    same("type", ("application/octet-stream", "nosniff"), (a.header("Content-Type"), a.header("X-Content-Type-Options")))


@case("REG-14 manifests of 5 MiB and of 3.9 MB")
def reg14(s):
    s.push_blob("atk", b"{}")
    m = r.image(b"{}", [], annotations={"x": "y" * 5_300_000})
    refused("5 MiB", s.put_manifest("atk", "x", m), (413,))
    data = json.dumps(m).encode()
    c = s.connect()  # without a length, so the limit is met on the way
    c.request("PUT", "/v2/atk/manifests/x", iter([data[i:i + 65536] for i in range(0, len(data), 65536)]),
              {"Content-Type": r.OCI_MANIFEST})
    same("streamed", 413, c.getresponse().status)
    c.close()
    m = r.image(b"{}", [], annotations={"x": "y" * 3_900_000})
    same("3.9 MB", 201, s.put_manifest("atk", "big", m).status)


@case("REG-15 JSON nested 100,000 deep")
def reg15(s):
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b'{"schemaVersion":2,"config":' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
        began = time.monotonic()
        manifest_refused(s, "deep", body)
        same("at once", True, time.monotonic() - began < 5)


@case("REG-16 REG-17 sizes that are no sizes, or not the blob's")
def reg16(s):
    s.push_blob("atk", b"{}")
    text = json.dumps(r.image(b"{}", []))
    for size in ("1e400", str(2**64), "1.5", '"2"', "-1", "null", "3", "0", "[]", "9" * 400):
        manifest_refused(s, size, text.replace('"size": 2', f'"size": {size}').encode())


@case("REG-18 REG-19 duplicate keys, and keys that differ in case")
def reg18(s):
    s.push_blob("atk", b"{}")
    text = json.dumps(r.image(b"{}", []))
    for more in ('"layers": []', '"schemaVersion": 2', '"Layers": []', '"MEDIATYPE": "x"', '"Config": {}', '"manifestS": []'):
        manifest_refused(s, more, text.replace("{", "{" + more + ", ", 1).encode())


@case("REG-20 REG-21 REG-22 broken text: UTF-8, surrogates, BOM, UTF-16, two documents, NUL")
def reg20(s):
    s.push_blob("atk", b"{}")
    text = json.dumps(r.image(b"{}", [], annotations={"k": "VALUE"})).encode()
    for name, body in {"bad UTF-8": text.replace(b"VALUE", b"\xff\xfe"), "overlong": text.replace(b"VALUE", b"\xc0\xaf"),
                       "lone surrogate": text.replace(b"VALUE", b"\\ud800"), "BOM": b"\xef\xbb\xbf" + text,
                       "UTF-16": text.decode().encode("utf-16"), "two documents": text + text, "tail": text + b"x",
                       "NUL in a digest": text.replace(b"sha256:", b"sha256:\\u0000")}.items():
        manifest_refused(s, name, body)


@case("REG-23 REG-24 tags and names outside the grammar")
def reg23(s):
    body = tagged(s)
    for tag in ("x" * 129, ".x", "..", "-x", "a%2fb", "a%00", "a%0a", "a%20b", "%c3%a4", "a%3fb"):
        refused(tag, s.put_manifest("atk", tag, body, media=r.OCI_MANIFEST))
        refused(tag, s.request("GET", f"/v2/atk/manifests/{tag}"))
    for name in ("Upper", "a..b", "a--", "-a", "a/-b", "a//b", "a" * 256, "a/" * 130 + "a", "a_-b", "a%00b", "%2e%2e", "a/..", "a%2fb", "ä"):
        quoted = name if name.isascii() else "%c3%a4"
        for method, path in (("GET", "tags/list"), ("POST", "blobs/uploads/"), ("GET", "manifests/x")):
            refused(f"{method} {name}", s.request(method, f"/v2/{quoted}/{path}"))


@case("REG-25 REG-26 paths out of the root, upload ids that are paths")
def reg25(s):
    before = sorted(os.listdir(s.work))
    dots = ["../", "%2e%2e/", "%2e%2e%2f", "..%2f", "%252e%252e%252f", "..%5c", "%2e%2e%5c", "..%c0%af", "%c0%ae%c0%ae/", "..%00/", "....//", "./"]
    for d in dots:
        for path in (f"/v2/{d * 6}etc/passwd", f"/v2/a/blobs/{d * 6}etc/passwd", f"/v2/a/manifests/{d * 3}version",
                     f"/v2/a/blobs/uploads/{d * 4}etc/passwd", f"/{d * 5}etc/passwd"):
            got = s.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            status = int(got.split(b" ")[1]) if got else 400
            same(path, (True, False), (status in REFUSED, b"root:" in got or b"berth store" in got))
            got = s.raw(f"PUT {path}?digest={r.sha256(b'')} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            same(path, True, not got or int(got.split(b" ")[1]) in REFUSED)
    same("nothing new", before, sorted(os.listdir(s.work)))


@case("REG-27 REG-28 an upload session under another name, or with a broken id")
def reg27(s):
    where = s.open_session("atk/owner")
    uuid = where.rsplit("/", 1)[1]
    foreign = f"/v2/atk/thief/blobs/uploads/{uuid}"
    d = r.sha256(b"x")
    same("foreign", [404] * 4, [s.request(*a).status for a in
                                (("GET", foreign), ("PATCH", foreign, b"x"), ("PUT", f"{foreign}?digest={d}", b"x"), ("DELETE", foreign))])
    for bad in (uuid[::-1], uuid[:-1], uuid.upper(), uuid.replace("-", ""), uuid + "0", "x" * 8000, "%00", "00000000-0000-4000-8000-000000000000"):
        refused(bad[:50], s.request("PATCH", f"/v2/atk/owner/blobs/uploads/{bad}", b"x"), (400, 404, 414))
    same("the owner finishes", 201, s.request("PUT", f"{where}?digest={d}", b"x").status)


@case("REG-29 REG-30 chunks with gaps and Content-Range that lies")
def reg29(s):
    where = s.open_session("atk")
    for field in ("5-9", "0-0", "1-4", "4-0", "-4", "0-", "a-b", "0-18446744073709551615", "bytes=0-4", "0-4/2", "99999999999999999999-0", "0--1", " ", ",", "0-4,5-9"):
        refused(field, s.request("PATCH", where, b"abcde", {"Content-Range": field}), (400, 416))
        same("offset", "0-0", s.request("GET", where).header("Range"))
    same("still usable", 202, s.request("PATCH", where, b"abcde", {"Content-Range": "0-4"}).status)
    same("finish", 201, s.request("PUT", f"{where}?digest={r.sha256(b'abcde')}").status)


@case("REG-31 REG-32 ranges that overflow, overlap a thousand times, or are junk")
def reg31(s):
    data = os.urandom(10_000)
    d = s.push_blob("atk", data).header("Docker-Content-Digest")
    for field in ("bytes=" + ",".join(f"{i}-" for i in range(1000)), "bytes=18446744073709551615-18446744073709551616", "bytes=-18446744073709551616",
                  "bytes=5-1", "bytes=--1", "bytes=", "=", "bytes", "bytes=0x0-0x5", "bytes=1-2-3", "bytes= 0 - 5 ", "bytes=\t-5"):
        a = s.request("GET", f"/v2/atk/blobs/{d}", headers={"Range": field})
        one_of(field[:40], (200, 206, 416), a.status)
        same("no more than the whole", True, len(a.body) <= len(data))
        if a.status == 200:
            same("bytes", data, a.body)


@case("REG-33 page sizes and marks that are junk")
def reg33(s):
    tagged(s)
    for path in ("/v2/atk/tags/list", "/v2/_catalog"):
        for query in ("n=-1", "n=18446744073709551616", "n=x", "n=1e9", "n=99999999999", "last=%00", "last=" + "z" * 300, "last=%ff%fe", "n=1&n=2",
                      "last=../../x", "n=0x10", "n=+1", "&&&=&", "n", "last"):
            a = s.request("GET", f"{path}?{query}")
            one_of(query[:30], (200, 400), a.status)
    for last in ("x", "0000000000000000.sha256:zz", "zzzzzzzzzzzzzzzz.sha256:" + A64, "." * 300):
        refused(last, s.request("GET", f"/v2/atk/referrers/sha256:{A64}?last={last}"), (400,))


@case("REG-34 REG-41 no header and no markup of the client's in the answer")
def reg34(s):
    evil = "%0d%0aX-Evil:%20yes"
    for method, path in (("GET", f"/v2/atk/tags/list?last={evil}&n=1"), ("GET", f"/v2/atk{evil}/tags/list"), ("GET", f"/v2/atk/manifests/x{evil}"),
                         ("POST", f"/v2/atk/blobs/uploads/?mount=sha256:{A64}&from=a{evil}"), ("GET", f"/v2/atk/blobs/sha256:{A64}{evil}"),
                         ("GET", f"/v2/atk/referrers/sha256:{A64}?artifactType=a/b{evil}"), ("POST", f"/v2/atk/blobs/uploads/?digest=sha256:{A64}{evil}"),
                         ("GET", "/v2/<script>/tags/list"), ("GET", "/<script>")):
        got = s.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        head, _, body = got.partition(b"\r\n\r\n")
        same(path, False, b"x-evil" in head.lower())
        if body:
            same("JSON", True, b"application/json" in head or b" 200 " in head or b"text/html" not in head)
            same("no markup", False, b"<script>" in body)


@case("REG-35 REG-36 Host, forwarding and override headers change nothing")
def reg35(s):
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example;proto=https",
               "X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/v2/other", "X-Forwarded-For": "1.2.3.4"}
    tagged(s, tag="stays")
    a = s.request("POST", "/v2/atk/blobs/uploads/", b"", headers)
    same("Location is relative", True, a.header("Location").startswith("/v2/atk/"))
    same("no host in any header", False, any("evil" in v for v in a.headers.values()))
    s.request("POST", "/v2/atk/manifests/stays", b"_method=DELETE", headers)
    same("still there", 200, s.request("GET", "/v2/atk/manifests/stays?_method=DELETE", headers=headers).status)


@case("REG-37 urls of foreign layers are never fetched")
def reg37(s):
    canary = socket.create_server(("127.0.0.1", 0))
    canary.settimeout(0.3)
    s.push_blob("atk", b"{}")
    m = r.image(b"{}", [b"foreign"])
    m["layers"][0].update(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                          urls=[f"http://127.0.0.1:{canary.getsockname()[1]}/x", "file:///etc/passwd", "gopher://x"])
    one_of("stored or refused", (201, 400, 404), s.put_manifest("atk", "foreign", m).status)
    s.request("GET", "/v2/atk/manifests/foreign")
    s.request("GET", f"/v2/atk/blobs/{r.sha256(b'foreign')}")
    try:
        canary.accept()
        raise AssertionError("the canary was called")
    except TimeoutError:
        pass
    finally:
        canary.close()


@case("REG-38 referrers of nonsense")
def reg38(s):
    for d in ("x", "sha256:zz", "latest", "..", "%00"):
        refused(d, s.request("GET", f"/v2/atk/referrers/{d}"), (400, 404))
    a = s.request("GET", f"/v2/atk/referrers/sha256:{A64}?artifactType=%3Cscript%3E%00")
    refused("type", a, (400,))
    same("not echoed", None, a.header("OCI-Filters-Applied"))


@case("REG-39 mounting what is not there")
def reg39(s):
    for query in (f"mount=sha256:{A64}", f"mount=sha256:{A64}&from=no/such", f"mount=sha256:{A64}&from=../x", "mount=x&from=a", "mount=&from="):
        one_of(query, (202, 400, 404), s.request("POST", f"/v2/atk/blobs/uploads/?{query}").status)
    same("not there", 404, s.request("GET", f"/v2/atk/blobs/sha256:{A64}").status)


@case("REG-40 REG-53 REG-66 what one repository has is not seen, deleted or revived through another")
def reg40(s):
    data = b"of one only"
    d = s.push_blob("atk/mine", data).header("Docker-Content-Digest")
    body = tagged(s, "atk/mine")
    s.push_blob("atk/yours", b"other")
    for path in (f"blobs/{d}", f"manifests/{r.sha256(body)}", "manifests/ok"):
        same(path, [404] * 3, [s.request(m, f"/v2/atk/yours/{path}").status for m in ("GET", "HEAD", "DELETE")])
    same("mine stays", 200, s.request("GET", f"/v2/atk/mine/blobs/{d}").status)
    s.push_blob("atk/yours", data)
    same("delete", 202, s.request("DELETE", f"/v2/atk/mine/blobs/{d}").status)
    same("yours", 200, s.request("GET", f"/v2/atk/yours/blobs/{d}").status)
    same("mine stays gone", 404, s.request("GET", f"/v2/atk/mine/blobs/{d}").status)


@case("REG-42 REG-43 bodies cut short: never committed, and the session goes on")
def reg42(s):
    data = os.urandom(100_000)
    d = r.sha256(data)
    for head in (f"POST /v2/atk/blobs/uploads/?digest={d}", f"PUT {s.open_session('atk')}?digest={d}"):
        began = time.monotonic()
        s.raw(f"{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data[:50_000], timeout=r.WAIT_S, shut=True)
        same("the server lets go", True, time.monotonic() - began < 5 or bool(os.environ.get("BERTH_SLOW")))
        same("not there", 404, s.request("GET", f"/v2/atk/blobs/{d}").status)
    where = s.open_session("atk")
    s.raw(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data[:70_000], shut=True)
    r.wait_until("the session is free", lambda: s.request("PATCH", where, b"").status == 202)
    at = int(s.request("GET", where).header("Range").split("-")[1]) + 1
    same("no more than was sent", True, at <= 70_000)
    at = 0 if at == 1 else at
    same("goes on", 201, s.request("PUT", f"{where}?digest={d}", data[at:], {"Content-Range": f"{at}-{len(data) - 1}"}).status)
    same("content", data, s.request("GET", f"/v2/atk/blobs/{d}").body)


def at_once(count, action):
    """Run action(i) in `count` threads that start together; returns the results."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(i):
        barrier.wait()
        results[i] = action(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


@case("REG-44 REG-45 two finish, two append to one session")
def reg44(s):
    for n in range(30):
        data = os.urandom(20_000) + bytes([n])
        d = r.sha256(data)
        where = s.open_session("atk")
        s.request("PATCH", where, data)
        got = at_once(2, lambda _: s.request("PUT", f"{where}?digest={d}").status)  # noqa: B023
        same("one or both win, nobody gets 5xx", True, 201 in got and all(x == 201 or x in REFUSED for x in got))
        same("whole", data, s.request("GET", f"/v2/atk/blobs/{d}").body)
        where = s.open_session("atk")
        got = at_once(2, lambda _: s.request("PATCH", where, data, {"Content-Range": f"0-{len(data) - 1}"}).status)  # noqa: B023
        same("one appends", True, got.count(202) == 1 and all(x == 202 or x in REFUSED for x in got))
        same("finish", 201, s.request("PUT", f"{where}?digest={d}").status)


@case("REG-46 a cancelled upload is gone")
def reg46(s):
    where = s.open_session("atk")
    same("cancel", 204, s.request("DELETE", where).status)
    same("gone", [404] * 4, [s.request(m, where + q, b"x").status for m, q in
                             (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("PUT", f"?digest={r.sha256(b'x')}"))])


@case("REG-47 eight writers move a tag, four read: every read is one whole manifest")
def reg47(s):
    s.push_blob("atk", b"{}")
    bodies = {r.sha256(b): b for b in (json.dumps(r.image(b"{}", [], annotations={"n": str(i) * (i * 400 + 1)})).encode() for i in range(8))}
    texts = list(bodies.values())
    s.put_manifest("atk", "moving", texts[0], media=r.OCI_MANIFEST)
    wrong = []

    def work(i):
        c = s.connect()
        for _ in range(40):
            if i < 8:
                a = s.put_manifest("atk", "moving", texts[i], c, r.OCI_MANIFEST)
                if a.status != 201:
                    wrong.append(a.status)
            else:
                a = s.request("GET", "/v2/atk/manifests/moving", connection=c)
                if a.status != 200 or bodies.get(a.header("Docker-Content-Digest")) != a.body:
                    wrong.append((a.status, len(a.body)))
        c.close()

    at_once(12, work)
    same("wrong answers", [], wrong)


@case("REG-48..52 empty blob, junk conditionals, encodings, 20,000 descriptors")
def reg48(s):
    d = s.push_blob("atk", b"").header("Docker-Content-Digest")
    a = s.request("GET", f"/v2/atk/blobs/{d}")
    same("empty", (200, b"", "0"), (a.status, a.body, a.header("Content-Length")))
    same("range of nothing", 416, s.request("GET", f"/v2/atk/blobs/{d}", headers={"Range": "bytes=0-0"}).status)
    tagged(s)
    for h in ({"If-None-Match": '"' * 500}, {"If-None-Match": ","}, {"If-Modified-Since": "yesterday"}, {"If-Match": "x"}, {"If-Range": "\x01"}):
        one_of(str(h)[:40], (200, 304, 400, 412), s.request("GET", "/v2/atk/manifests/ok", headers=h).status)
    same("*", 304, s.request("GET", "/v2/atk/manifests/ok", headers={"If-None-Match": "*"}).status)
    import gzip
    bomb = gzip.compress(b"0" * 10_000_000)
    one_of("gzip body", range(200, 500), s.request("PUT", "/v2/atk/manifests/x", bomb,
                                                   {"Content-Type": r.OCI_MANIFEST, "Content-Encoding": "gzip"}).status)
    many = r.index([(r.OCI_MANIFEST, str(i).encode()) for i in range(20_000)])
    one_of("20,000 descriptors", (201, 400, 413), s.put_manifest("atk", "many", many).status)


@case("REG-68 tags and files with odd names")
def reg68(s):
    body = tagged(s)
    for tag in ("sha256-.sig", "_", "sha256-" + A64 + ".sig", "__.--"):
        same(tag, 201, s.put_manifest("atk", tag, body, media=r.OCI_MANIFEST).status)
    (s.root / "uploads" / "what is this").write_bytes(b"x")
    (s.root / "uploads" / ("0" * 36)).write_bytes(b"x")
    (s.root / "uploads" / "sha256-.x").write_bytes(b"x")
    (s.root / "uploads" / "folder").mkdir()
    same("SIGTERM", 0, s.stop())
    s.start()
    same("serves", body, s.request("GET", "/v2/atk/manifests/_").body)


@case("REG-69 indexes that nest and subjects that circle")
def reg69(s):
    s.push_blob("atk", b"{}")
    below = json.dumps(r.image(b"{}", [])).encode()
    s.put_manifest("atk", r.sha256(below), below, media=r.OCI_MANIFEST)
    media = r.OCI_MANIFEST
    for _ in range(300):
        up = json.dumps(r.index([(media, below)])).encode()
        same("nested", 201, s.put_manifest("atk", r.sha256(up), up, media=r.OCI_INDEX).status)
        below, media = up, r.OCI_INDEX
    circle = json.dumps(r.image(b"{}", [], subject=r.descriptor(r.OCI_MANIFEST, b"?"))).encode()
    circle = circle.replace(r.sha256(b"?").encode(), r.sha256(below).encode()).replace(b'"size": 1}', b'"size": %d}' % len(below))
    same("circle", 201, s.put_manifest("atk", "circle", circle, media=r.OCI_MANIFEST).status)
    same("delete the top", 202, s.request("DELETE", f"/v2/atk/manifests/{r.sha256(below)}").status)


@case("REG-73 the same bytes under sha256 and sha512: one goes, the other stays")
def reg73(s):
    data = b"twins"
    s.push_blob("atk/twin", data)
    s.push_blob("atk/twin", data, digest=r.sha512(data))
    same("delete", 202, s.request("DELETE", f"/v2/atk/twin/blobs/{r.sha256(data)}").status)
    same("the other", data, s.request("GET", f"/v2/atk/twin/blobs/{r.sha512(data)}").body)


@case("FLT-16 damaged files are not served as whole, and a new push heals them")
def flt16(s):
    data = os.urandom(5000)
    d = s.push_blob("atk/heal", data).header("Docker-Content-Digest")
    path = s.root / "blobs/sha256" / d[7:9] / d[7:]
    for damage in (b"", data[:-1], None):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        same("damaged", 500, s.request("GET", f"/v2/atk/heal/blobs/{d}").status)
        s.push_blob("atk/heal", data)
        same("healed", data, s.request("GET", f"/v2/atk/heal/blobs/{d}").body)
    path.chmod(0o600)
    path.write_bytes(bytes(5000))
    s.push_blob("atk/heal", data)
    same("healed", data, s.request("GET", f"/v2/atk/heal/blobs/{d}").body)


@case("FLT-18 deleting while others pull: the whole, or a clean 404")
def flt18(s):
    data = os.urandom(2_000_000)
    for _ in range(5):
        d = s.push_blob("atk/pull", data).header("Docker-Content-Digest")

        def work(i, d=d):
            if i == 0:
                return s.request("DELETE", f"/v2/atk/pull/blobs/{d}").status
            a = s.request("GET", f"/v2/atk/pull/blobs/{d}")
            return a.status if a.status != 200 else (200 if a.body == data else "torn")

        one_of("answers", ({200, 202, 404}, {202, 404}, {200, 202}), set(at_once(20, work)))


def oracle(s):
    same("alive", (True, 200), (s.alive(), s.request("GET", "/v2/").status))


def main():
    with r.Daemon() as server:
        @case("descriptors come back")
        def no_leak(s):
            s.stop()
            s.start()
            for test in (reg01, reg02, reg27, reg42):
                test(s)
            r.wait_until("connections are closed", lambda: s.fds() < 60)

        tap.main(server, after_each=oracle)


if __name__ == "__main__":
    main()
