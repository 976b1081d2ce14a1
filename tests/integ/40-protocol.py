#!/usr/bin/env python3
"""The distribution API beyond what the conformance suite asks: headers, ranges, conditions, pages, sessions, restarts."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, one_of, same  # noqa: E402

BLOB = bytes(range(256)) * 40


def push_image(s, repo, tag, note="", layers=(BLOB,), **more):
    config = json.dumps({"note": note}).encode()
    for data in (config, *layers):
        s.push_blob(repo, data)
    body = json.dumps(r.image(config, layers, **more)).encode()
    a = s.put_manifest(repo, tag, body, media=r.OCI_MANIFEST)
    same("manifest push", 201, a.status)
    return body


@case("every answer under /v2/ names the API and forbids sniffing")
def fixed_headers(s):
    for method, path in [("GET", "/v2/"), ("GET", "/v2/nothing/manifests/x"), ("PUT", "/v2/_catalog"), ("GET", "/other")]:
        a = s.request(method, path)
        same(path, ("registry/2.0", "nosniff"),
             (a.header("Docker-Distribution-API-Version"), a.header("X-Content-Type-Options")))


@case("errors are the specification's JSON, 405 tells what is allowed")
def errors(s):
    for method, path, status, code in [
            ("GET", "/v2/a/manifests/nothing", 404, "MANIFEST_UNKNOWN"),
            ("GET", "/v2/a/blobs/" + r.sha256(b"nothing"), 404, "BLOB_UNKNOWN"),
            ("GET", "/v2/nobody/tags/list", 404, "NAME_UNKNOWN"),
            ("GET", "/v2/UPPER/tags/list", 400, "NAME_INVALID"),
            ("GET", "/v2/a/blobs/sha256:zz", 400, "DIGEST_INVALID"),
            ("GET", "/v2/a/manifests/.bad", 400, "TAG_INVALID"),
            ("PATCH", "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("GET", "/nowhere", 404, "NOT_FOUND"),
            ("DELETE", "/v2/_catalog", 405, "UNSUPPORTED")]:
        a = s.request(method, path)
        same(f"{method} {path}", (status, [code], "application/json"), (a.status, a.codes(), a.header("Content-Type")))
    same("Allow", "GET, HEAD", s.request("DELETE", "/v2/_catalog").header("Allow"))
    same("Allow", "GET, HEAD, PUT, DELETE", s.request("PATCH", "/v2/a/manifests/x").header("Allow"))


@case("a blob: monolithic POST, POST and PUT, chunks, stream; each with its digest in the answer")
def blob_ways(s):
    data, digest = b"four ways", r.sha256(b"four ways")
    answers = [s.push_blob("ways/a", data)]
    where = s.open_session("ways/b")
    answers.append(s.request("PUT", f"{where}?digest={digest}", data))
    where = s.open_session("ways/c")
    for at in range(0, len(data), 4):
        piece = data[at:at + 4]
        a = s.request("PATCH", where, piece, {"Content-Range": f"{at}-{at + len(piece) - 1}"})
        same("chunk", (202, f"0-{at + len(piece) - 1}"), (a.status, a.header("Range")))
    answers.append(s.request("PUT", f"{where}?digest={digest}"))
    where = s.open_session("ways/d")
    a = s.request("PATCH", where, iter([data[:3], data[3:]]))
    same("stream", 202, a.status)
    answers.append(s.request("PUT", f"{where}?digest={digest}"))
    for a, repo in zip(answers, "abcd"):
        same("answer", (201, digest, f"/v2/ways/{repo}/blobs/{digest}"),
             (a.status, a.header("Docker-Content-Digest"), a.header("Location")))
        same("content", data, s.request("GET", f"/v2/ways/{repo}/blobs/{digest}").body)


@case("sha512 from the start, or only at the end")
def sha512(s):
    data = b"longer digest"
    where = s.open_session("alg/a", "?digest-algorithm=sha512")
    same("chunk", 202, s.request("PATCH", where, data).status)
    same("finish", 201, s.request("PUT", f"{where}?digest={r.sha512(data)}").status)
    where = s.open_session("alg/b")
    same("chunk", 202, s.request("PATCH", where, data).status)
    same("finish", 201, s.request("PUT", f"{where}?digest={r.sha512(data)}").status)
    for repo in ("alg/a", "alg/b"):
        same("content", data, s.request("GET", f"/v2/{repo}/blobs/{r.sha512(data)}").body)
        same("not under the other digest", 404, s.request("GET", f"/v2/{repo}/blobs/{r.sha256(data)}").status)
    same("unknown algorithm", 400, s.request("POST", "/v2/alg/a/blobs/uploads/?digest-algorithm=md5").status)


@case("ranges: single, open, suffix, several, unsatisfiable, conditional")
def ranges(s):
    s.push_blob("range", BLOB)
    path, n = f"/v2/range/blobs/{r.sha256(BLOB)}", len(BLOB)
    etag = s.request("GET", path).header("ETag")
    same("ETag", f'"{r.sha256(BLOB)}"', etag)
    for field, first, last in [("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=100-", 100, n - 1),
                               ("bytes=-7", n - 7, n - 1), (f"bytes=5-{n * 9}", 5, n - 1), (f"bytes=-{n * 2}", 0, n - 1)]:
        a = s.request("GET", path, headers={"Range": field})
        same(field, (206, f"bytes {first}-{last}/{n}", BLOB[first:last + 1]),
             (a.status, a.header("Content-Range"), a.body))
    for field in [f"bytes={n}-", "bytes=99999999999999999999-", "bytes=-0", "bytes=9-1"]:
        a = s.request("GET", path, headers={"Range": field})
        same(field, (416, f"bytes */{n}"), (a.status, a.header("Content-Range")))
    for headers in [{"Range": "bytes=0-1,5-6"}, {"Range": "lines=0-1"}, {"Range": "bytes=a-b"},
                    {"Range": "bytes=0-1", "If-Range": '"other"'}]:
        a = s.request("GET", path, headers=headers)
        same(str(headers), (200, BLOB), (a.status, a.body))
    a = s.request("GET", path, headers={"Range": "bytes=0-1", "If-Range": etag})
    same("If-Range that holds", 206, a.status)


@case("If-None-Match gives 304 for blobs and manifests; HEAD has the headers of GET")
def conditions(s):
    body = push_image(s, "cond", "v1", layers=[BLOB])
    for path, digest in [(f"/v2/cond/blobs/{r.sha256(BLOB)}", r.sha256(BLOB)), ("/v2/cond/manifests/v1", r.sha256(body))]:
        a = s.request("GET", path, headers={"If-None-Match": f'"x", W/"{digest}"'})
        same(path, (304, b"", f'"{digest}"'), (a.status, a.body, a.header("ETag")))
        same(path, 200, s.request("GET", path, headers={"If-None-Match": '"x"'}).status)
        get, head = s.request("GET", path), s.request("HEAD", path)
        same("HEAD", (200, b""), (head.status, head.body))
        strip = lambda h: {k: v for k, v in h.items() if k not in ("date", "x-request-id")}  # noqa: E731
        same("headers of HEAD", strip(get.headers), strip(head.headers))
        same("Docker-Content-Digest", digest, get.header("Docker-Content-Digest"))


@case("one session: gaps and overlaps are 416 with the state, a wrong digest leaves it usable, DELETE ends it")
def session(s):
    where = s.open_session("sess")
    same("chunk", 202, s.request("PATCH", where, b"abcde", {"Content-Range": "0-4"}).status)
    for content_range, body in [("9-9", b"x"), ("0-4", b"abcde"), ("3-6", b"defg")]:
        a = s.request("PATCH", where, body, {"Content-Range": content_range})
        same(content_range, (416, "0-4"), (a.status, a.header("Range")))
    one_of("junk range", (400, 416), s.request("PATCH", where, b"x", {"Content-Range": "what"}).status)
    one_of("lying range", (400, 416), s.request("PATCH", where, b"x", {"Content-Range": "5-9"}).status)
    a = s.request("GET", where)
    same("status", (204, "0-4"), (a.status, a.header("Range")))
    same("wrong digest", 400, s.request("PUT", f"{where}?digest={r.sha256(b'other')}").status)
    same("no digest", 400, s.request("PUT", where).status)
    same("out of order at the end", 416,
         s.request("PUT", f"{where}?digest={r.sha256(b'abcdex')}", b"x", {"Content-Range": "9-9"}).status)
    same("finish", 201, s.request("PUT", f"{where}?digest={r.sha256(b'abcdefg')}", b"fg").status)
    same("finished", 404, s.request("GET", where).status)
    where = s.open_session("sess")
    same("cancel", 204, s.request("DELETE", where).status)
    same("cancelled", [404] * 3, [s.request(m, where, b"x").status for m in ("PATCH", "GET", "DELETE")])


@case("mount: from a repository, from anywhere, and a session where there is nothing to mount")
def mount(s):
    digest = s.push_blob("mount/from", BLOB).header("Docker-Content-Digest")
    same("not here yet", 404, s.request("HEAD", f"/v2/mount/to/blobs/{digest}").status)
    a = s.request("POST", f"/v2/mount/to/blobs/uploads/?mount={digest}&from=mount/from")
    same("mount", (201, f"/v2/mount/to/blobs/{digest}", digest),
         (a.status, a.header("Location"), a.header("Docker-Content-Digest")))
    same("here now", BLOB, s.request("GET", f"/v2/mount/to/blobs/{digest}").body)
    same("anonymous", 201, s.request("POST", f"/v2/mount/any/blobs/uploads/?mount={digest}").status)
    for query in (f"?mount={r.sha256(b'none')}&from=mount/from", f"?mount={digest}&from=no/such", f"?mount={r.sha256(b'none')}"):
        a = s.request("POST", f"/v2/mount/none/blobs/uploads/{query}")
        same(query, 202, a.status)
        same("a session", 204, s.request("GET", a.header("Location")).status)


@case("tags: pages in order with Link, n=0 is empty, bad n is 400")
def tags(s):
    body = push_image(s, "tags", "b")
    for tag in ("a", "C", "d-1", "d.2"):
        same("tag", 201, s.put_manifest("tags", tag, body, media=r.OCI_MANIFEST).status)
    want = ["C", "a", "b", "d-1", "d.2"]
    same("all", {"name": "tags", "tags": want}, s.request("GET", "/v2/tags/tags/list").json())
    seen, path = [], "/v2/tags/tags/list?n=2"
    while path:
        a = s.request("GET", path)
        seen += a.json()["tags"]
        link = a.header("Link")
        path = link.split(">")[0][1:] if link else None
    same("by Link", want, seen)
    same("after last", ["d-1", "d.2"], s.request("GET", "/v2/tags/tags/list?last=b").json()["tags"])
    a = s.request("GET", "/v2/tags/tags/list?n=0")
    same("n=0", ([], None), (a.json()["tags"], a.header("Link")))
    same("full page", None, s.request("GET", "/v2/tags/tags/list?n=5").header("Link"))
    for n in ("-1", "x", "18446744073709551616", ""):
        same(f"n={n}", 400, s.request("GET", f"/v2/tags/tags/list?n={n}").status)


@case("catalog: repositories in order, with pages")
def catalog(s):
    for repo in ("cat/b", "cat/a"):
        s.push_blob(repo, b"x")
    seen, path = [], "/v2/_catalog?n=3"
    while path:
        a = s.request("GET", path)
        seen += a.json()["repositories"]
        link = a.header("Link")
        path = link.split(">")[0][1:] if link else None
    same("order", sorted(seen), seen)
    same("both", True, {"cat/a", "cat/b"} <= set(seen))


@case("a push by digest with several tags tells each of them")
def tag_parameter(s):
    push_image(s, "multi", "first", note="m")
    body = json.dumps(r.image(json.dumps({"note": "m"}).encode(), [BLOB], annotations={"n": "2"})).encode()
    digest = r.sha256(body)
    names = [f"t{i}" for i in range(12)]
    a = s.put_manifest("multi", digest + "?" + "&".join("tag=" + n for n in names), body, media=r.OCI_MANIFEST)
    same("push", (201, names), (a.status, a.header("OCI-Tag").split(", ")))
    for n in names:
        same(n, digest, s.request("HEAD", f"/v2/multi/manifests/{n}").header("Docker-Content-Digest"))
    same("bad tag", 400, s.put_manifest("multi", digest + "?tag=.bad", body, media=r.OCI_MANIFEST).status)
    digest = "sha512:" + hashlib.sha512(body).hexdigest()
    a = s.put_manifest("multi", digest + "?tag=by512", body, media=r.OCI_MANIFEST)
    same("by sha512", (201, digest), (a.status, a.header("Docker-Content-Digest")))
    same("its tag", digest, s.request("HEAD", "/v2/multi/manifests/by512").header("Docker-Content-Digest"))


@case("deleting a tag leaves the manifest, deleting a manifest takes its tags")
def deletes(s):
    digest = r.sha256(push_image(s, "del", "a"))
    s.put_manifest("del", "b", s.request("GET", "/v2/del/manifests/a").body, media=r.OCI_MANIFEST)
    same("tag", 202, s.request("DELETE", "/v2/del/manifests/a").status)
    same("gone", 404, s.request("GET", "/v2/del/manifests/a").status)
    same("again", 404, s.request("DELETE", "/v2/del/manifests/a").status)
    same("others stay", [200, 200], [s.request("GET", f"/v2/del/manifests/{x}").status for x in ("b", digest)])
    same("manifest", 202, s.request("DELETE", f"/v2/del/manifests/{digest}").status)
    same("all gone", [404, 404], [s.request("GET", f"/v2/del/manifests/{x}").status for x in ("b", digest)])
    same("no tags", [], s.request("GET", "/v2/del/tags/list").json()["tags"])


@case("a blob that a manifest refers to is not deleted; without it, it is, in this repository only")
def delete_blob(s):
    digest = r.sha256(push_image(s, "delblob", "a", layers=[b"held"]))
    blob = r.sha256(b"held")
    s.push_blob("delblob/other", b"held")
    a = s.request("DELETE", f"/v2/delblob/blobs/{blob}")
    same("in use", (409, ["DENIED"]), (a.status, a.codes()))
    s.request("DELETE", f"/v2/delblob/manifests/{digest}")
    same("free", 202, s.request("DELETE", f"/v2/delblob/blobs/{blob}").status)
    same("gone here", 404, s.request("GET", f"/v2/delblob/blobs/{blob}").status)
    same("not there", 200, s.request("GET", f"/v2/delblob/other/blobs/{blob}").status)
    same("unknown", 404, s.request("DELETE", f"/v2/delblob/blobs/{blob}").status)


@case("referrers: none, all, by type, in pages; OCI-Subject")
def referrers(s):
    subject = push_image(s, "refs", "v1")
    same("none", [], s.request("GET", f"/v2/refs/referrers/{r.sha256(subject)}").json()["manifests"])
    want = {}
    for i in range(7):
        kind = f"application/vnd.test.{'even' if i % 2 == 0 else 'odd'}+json"
        m = r.image(b"{}", [b"{}"], artifactType=kind, subject=r.descriptor(r.OCI_MANIFEST, subject), annotations={"i": str(i)})
        s.push_blob("refs", b"{}")
        body = json.dumps(m).encode()
        a = s.put_manifest("refs", r.sha256(body), body, media=r.OCI_MANIFEST)
        same("OCI-Subject", (201, r.sha256(subject)), (a.status, a.header("OCI-Subject")))
        want[r.sha256(body)] = {"mediaType": r.OCI_MANIFEST, "digest": r.sha256(body), "size": len(body),
                                "artifactType": kind, "annotations": {"i": str(i)}}
    path = f"/v2/refs/referrers/{r.sha256(subject)}"
    a = s.request("GET", path)
    same("type", (200, r.OCI_INDEX, None), (a.status, a.header("Content-Type"), a.header("OCI-Filters-Applied")))
    same("all", want, {d["digest"]: d for d in a.json()["manifests"]})
    a = s.request("GET", path + "?artifactType=application/vnd.test.odd%2Bjson")
    same("filtered", ("artifactType", 3), (a.header("OCI-Filters-Applied"), len(a.json()["manifests"])))
    gone = next(iter(want))
    s.request("DELETE", f"/v2/refs/manifests/{gone}")
    same("one less", 6, len(s.request("GET", path).json()["manifests"]))
    same("unknown subject", (200, []), (lambda x: (x.status, x.json()["manifests"]))(
        s.request("GET", f"/v2/refs/referrers/{r.sha256(b'?')}")))


@case("referrers come in pages when they are many")
def referrer_pages(_):
    with r.Daemon("--referrers.page_bytes_max=64K") as s:
        subject = r.descriptor(r.OCI_MANIFEST, b"not there yet")
        s.push_blob("many", b"{}")
        want = set()
        for i in range(40):
            m = r.image(b"{}", [], artifactType=f"application/vnd.t{i % 3}", subject=subject, annotations={"pad": "x" * 4000, "i": str(i)})
            body = json.dumps(m).encode()
            same("push", 201, s.put_manifest("many", r.sha256(body), body, media=r.OCI_MANIFEST).status)
            want.add(r.sha256(body))
        for query, count in (("", 40), ("?artifactType=application/vnd.t1", 13)):
            seen, path, pages = [], f"/v2/many/referrers/{subject['digest']}{query}", 0
            while path:
                a = s.request("GET", path)
                seen += [d["digest"] for d in a.json()["manifests"]]
                link, pages = a.header("Link"), pages + 1
                path = link.split(">")[0][1:] if link else None
            same(f"each once {query}", (count, True), (len(seen), len(set(seen)) == len(seen) and set(seen) <= want))
            same("in pages", True, pages > 1 or count == 13)


@case("Docker schema 2 and its list are kept as they came; schema 1 is refused by name")
def docker_types(s):
    s.push_blob("docker", b"{}")
    m = {"schemaVersion": 2, "mediaType": r.DOCKER_MANIFEST,
         "config": r.descriptor("application/vnd.docker.container.image.v1+json", b"{}"), "layers": []}
    same("schema 2", 201, s.put_manifest("docker", "v2", m).status)
    a = s.request("GET", "/v2/docker/manifests/v2")
    same("as it came", (r.DOCKER_MANIFEST, json.dumps(m).encode()), (a.header("Content-Type"), a.body))
    lst = {"schemaVersion": 2, "mediaType": r.DOCKER_LIST, "manifests": [r.descriptor(r.DOCKER_MANIFEST, json.dumps(m).encode())]}
    same("list", 201, s.put_manifest("docker", "list", lst).status)
    for kind in ("v1+json", "v1+prettyjws"):
        a = s.put_manifest("docker", "v1", {"schemaVersion": 1}, media=f"application/vnd.docker.distribution.manifest.{kind}")
        one_of("schema 1", (400, 415), a.status)
        same("by name", True, "schema 1" in a.json()["errors"][0]["message"])


@case("a manifest needs its config and layers, each missing one is named; an index may be sparse")
def references(s):
    s.push_blob("need", b"{}")
    m = r.image(b"{}", [b"missing one", b"missing two"])
    a = s.put_manifest("need", "x", m)
    same("refused", 404, a.status)
    same("codes", {"MANIFEST_BLOB_UNKNOWN"}, set(a.codes()))
    same("named", True, all(r.sha256(x).encode() in a.body for x in (b"missing one", b"missing two")))
    m["layers"][0]["mediaType"] = m["layers"][1]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    same("non-distributable", 201, s.put_manifest("need", "x", m).status)
    same("sparse index", 201, s.put_manifest("need", "i", r.index([(r.OCI_MANIFEST, b"not there")])).status)
    bad = r.image(b"{}", [])
    bad["config"]["size"] = 3
    same("wrong size", 400, s.put_manifest("need", "x", bad).status)
    with r.Daemon("--manifest.sparse=none") as strict:
        a = strict.put_manifest("need", "i", r.index([(r.OCI_MANIFEST, b"not there")]))
        same("strict", ["MANIFEST_BLOB_UNKNOWN"], a.codes())


@case("a manifest too large for the index is served from its file")
def large_manifest(s):
    body = push_image(s, "large", "v1", annotations={"pad": "x" * 300000})
    a = s.request("GET", "/v2/large/manifests/v1")
    same("bytes", (200, body), (a.status, a.body))
    same("HEAD", str(len(body)), s.request("HEAD", "/v2/large/manifests/v1").header("Content-Length"))


@case("uploads go on after SIGKILL and after SIGTERM from the last acknowledged byte")
def restart(_):
    server = r.Daemon()
    data = os.urandom(3_000_000)
    try:
        server.start()
        image = push_image(server, "stay", "v1")
        where = server.open_session("resume")
        same("chunk", 202, server.request("PATCH", where, data[:1_000_000]).status)
        server.kill()
        server.start()
        a = server.request("GET", where)
        same("after SIGKILL", (204, "0-999999"), (a.status, a.header("Range")))
        same("chunk", 202, server.request("PATCH", where, data[1_000_000:2_000_000], {"Content-Range": "1000000-1999999"}).status)
        same("SIGTERM", 0, server.stop())
        server.start()
        a = server.request("PUT", f"{where}?digest={r.sha256(data)}", data[2_000_000:])
        same("finish", 201, a.status)
        same("content", data, server.request("GET", f"/v2/resume/blobs/{r.sha256(data)}").body)
        same("the image", image, server.request("GET", "/v2/stay/manifests/v1").body)
    finally:
        server.close()


@case("a second berthd on the same root is refused, with the first one's pid")
def second(s):
    p = subprocess.run([r.BERTHD, "serve", "--root", str(s.root), "--listen", "127.0.0.1:0"],
                       capture_output=True, text=True, timeout=r.WAIT_S, check=False)
    same("exit", 1, p.returncode)
    same("names the pid", True, str(s.process.pid) in p.stderr or "valgrind" in r.BERTHD)


@case("roots that are not ours, or of another version, are refused untouched")
def strange_roots(_):
    server = r.Daemon()
    try:
        for name, content in (("something", b"else"), ("version", b"berth store 99\n")):
            server.root.mkdir(parents=True)
            (server.root / name).write_bytes(content)
            p = subprocess.run([r.BERTHD, "serve", "--root", str(server.root), "--listen", "127.0.0.1:0"],
                               capture_output=True, text=True, timeout=r.WAIT_S, check=False)
            same("exit", 1, p.returncode)
            same("untouched", ([name], content), (os.listdir(server.root), (server.root / name).read_bytes()))
            (server.root / name).unlink()
            server.root.rmdir()
    finally:
        server.close()


@case("SIGTERM lets an upload under way end, and exits 0")
def drain(_):
    server = r.Daemon("--http.drain=30s").start()
    try:
        where = server.open_session("drain")
        c = server.connect()
        c.putrequest("PUT", f"{where}?digest={r.sha256(b'0123456789')}")
        c.putheader("Content-Length", "10")
        c.endheaders()
        c.send(b"01234")
        r.wait_until("some bytes", lambda: server.request("GET", where).header("Range") == "0-4")
        server.process.send_signal(signal.SIGTERM)
        r.wait_until("draining", lambda: "draining" in server.log_text())
        c.send(b"56789")
        same("answer", 201, c.getresponse().status)
        c.close()
        same("exit", 0, server._reap())
        server.start()
        same("content", b"0123456789", server.request("GET", f"/v2/drain/blobs/{r.sha256(b'0123456789')}").body)
    finally:
        server.close()


@case("one thread serves the whole API")
def one_thread(_):
    with r.Daemon("--threads=1") as s:
        for test in (blob_ways, sha512, session, mount, tags, referrers):
            test(s)
        body = push_image(s, "one", "v1", layers=[os.urandom(3_000_000)])
        same("image", body, s.request("GET", "/v2/one/manifests/v1").body)
        same("exit", 0, s.stop())
        s.start()


@case("the index's map grows while berthd serves")
def map_growth(_):
    with r.Daemon("--index.map_size=1M") as s:
        s.push_blob("grow", b"{}")
        errors = []

        def push(worker):
            c = s.connect()
            for i in range(60):
                m = r.image(b"{}", [], annotations={"pad": "x" * 20000, "n": f"{worker}.{i}"})
                a = s.put_manifest("grow", f"t{worker}-{i}", m, c)
                if a.status != 201:
                    errors.append((a.status, a.body))
            c.close()

        threads = [threading.Thread(target=push, args=(w,)) for w in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        same("errors", [], errors)
        same("tags", 240, len(s.request("GET", "/v2/grow/tags/list").json()["tags"]))
        same("size", True, os.path.getsize(s.root / "index/data.mdb") > 4 << 20)


@case("as many upload sessions as allowed, then 429 with Retry-After; sessions left alone end")
def session_limits(_):
    with r.Daemon("--uploads.sessions_max=3", "--uploads.idle=1s") as s:
        open_ones = [s.open_session("many") for _ in range(3)]
        a = s.request("POST", "/v2/many/blobs/uploads/", b"")
        same("one too many", (429, ["TOOMANYREQUESTS"]), (a.status, a.codes()))
        same("Retry-After", True, int(a.header("Retry-After")) > 0)
        same("cancel", 204, s.request("DELETE", open_ones.pop()).status)
        open_ones.append(s.open_session("many"))
        r.wait_until("idle sessions end", lambda: s.request("POST", "/v2/many/blobs/uploads/", b"").status == 202)
        same("gone", 404, s.request("GET", open_ones[0]).status)
        r.wait_until("their files as well", lambda: len(os.listdir(s.root / "uploads")) <= 1)


@case("sixteen large uploads at once: memory stays bounded")
def bounded_memory(_):
    with r.Daemon() as s:
        before, peak, data = r.anonymous_memory(s), 0, os.urandom(24 << 20)
        digest, stop = r.sha256(data), threading.Event()

        def push(i):
            where = s.open_session(f"large/{i}")
            same("PUT", 201, s.request("PUT", f"{where}?digest={digest}", data).status)

        threads = [threading.Thread(target=push, args=(i,)) for i in range(16)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            peak = max(peak, r.anonymous_memory(s))
            stop.wait(0.01)
        each = (peak - before) / 16
        same(f"{each / 1024:.0f} KiB a connection", True, each < 1 << 20 or bool(os.environ.get("BERTH_SLOW")))


def main():
    with r.Daemon() as server:
        tap.main(server, after_each=lambda s: same("alive", 200, s.request("GET", "/v2/").status))


if __name__ == "__main__":
    main()
