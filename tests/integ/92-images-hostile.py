#!/usr/bin/env python3
"""Registries that serve hostile documents: berth pull refuses each in one line, with bounded memory, and nothing of it stays.

What attacks.md lists around layers (LYR "also to test around it"), and of what registries may send (CVE-2021-41190,
CVE-2020-15157, CVE-2024-3727).  Layers themselves are in 92-layers-hostile.
"""
import gzip
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

RSS_MAX_KB = 64 << 10
SECONDS_MAX = 60
MEASURE = """import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)"""
LAYER = registry.OCI_LAYER + "+gzip"
PLAIN, PACKED = runner.layer({"file": b"x"})


class Script:
    """Serves what it is told to: {path: (type, body)}, where a body may be a function that writes it."""

    def __init__(self):
        self.files, self.canary = {}, []
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                if self.path.startswith("/canary"):
                    script.canary.append(self.path)
                found = script.files.get(self.path)
                self.send_response(200 if found or self.path == "/v2/" else 404)
                kind, body = found or ("text/plain", b"")
                self.send_header("Content-Type", kind)
                if callable(body):
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    body(self.wfile)
                    return
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def blob(self, data, digest=None):
        self.files[f"/v2/x/blobs/{digest or registry.sha256(data)}"] = ("application/octet-stream", data)
        return data

    def manifest(self, doc, kind=registry.OCI_MANIFEST, tag="v1"):
        body = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
        for reference in (tag, registry.sha256(body)):
            self.files[f"/v2/x/manifests/{reference}"] = (kind, body)
        return body


def config(diff_ids=None, **more):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                       "rootfs": {"type": "layers", "diff_ids": [registry.sha256(PLAIN)] if diff_ids is None else diff_ids}, **more}).encode()


def whole(s, conf=None, layers=None, **more):
    """A manifest that would be right but for what is given."""
    conf = s.blob(config() if conf is None else conf)
    if layers is None:
        layers = [registry.descriptor(LAYER, s.blob(PACKED))]
    return {"schemaVersion": 2, "mediaType": registry.OCI_MANIFEST, "config": registry.descriptor(registry.OCI_CONFIG, conf), "layers": layers,
            **more}


def index(entries, **more):
    return {"schemaVersion": 2, "mediaType": registry.OCI_INDEX, "manifests": entries, **more}


CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function

    return add


@case("a manifest whose layers and manifests would be two images")
def two_in_one(s):
    s.manifest(whole(s, manifests=[registry.descriptor(registry.OCI_MANIFEST, b"{}")]))


@case("a manifest served as another type than it says")
def other_type(s):
    s.manifest(whole(s), kind=registry.OCI_INDEX)


@case("Docker's schema 1")
def schema1(s):
    s.manifest({"schemaVersion": 1, "name": "x", "tag": "v1", "fsLayers": [], "history": []},
               kind="application/vnd.docker.distribution.manifest.v1+json")


@case("a manifest of more than 4 MiB: a list of 1,000,000 layers")
def million(s):
    one = json.dumps(registry.descriptor(LAYER, s.blob(PACKED)))
    body = json.dumps(whole(s, layers=[])).encode()
    s.manifest(body[:-3] + b"[" + b",".join([one.encode()] * 1000000) + b"]}")


@case("a manifest of 15,000 layers in 4 MiB")
def many(s):
    s.manifest(whole(s, layers=[registry.descriptor(LAYER, s.blob(PACKED))] * 15000))


@case("a manifest that never ends")
def endless(s):
    def write(out):
        out.write(b"1\r\n{\r\n")
        while True:
            out.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

    s.files["/v2/x/manifests/v1"] = (registry.OCI_MANIFEST, write)


@case("JSON 100,000 deep")
def deep(s):
    s.manifest(b'{"schemaVersion": 2, "x": ' + b"[" * 100000)


@case("no JSON, and two documents")
def no_json(s):
    s.manifest(b"<html>")


@case("two documents in one")
def two_documents(s):
    body = json.dumps(whole(s)).encode()
    s.manifest(body + body)


@case("one key twice")
def twice(s):
    body = json.dumps(whole(s)).encode()
    s.manifest(body[:-1] + b', "layers": []}')


@case("a digest that is a path")
def path_digest(s):
    doc = whole(s)
    doc["layers"][0]["digest"] = "sha256:../../../../../../etc/passwd"
    s.manifest(doc)


@case("a digest of another algorithm")
def weak(s):
    doc = whole(s)
    doc["layers"][0]["digest"] = "md5:d41d8cd98f00b204e9800998ecf8427e"
    s.manifest(doc)


@case("sizes that are negative, too large for any number, and no number")
def sizes(s):
    for size in (-1, 1 << 64, "5", 1.5):
        doc = whole(s)
        doc["layers"][0]["size"] = size
        s.manifest(doc)
        yield


@case("a layer of more bytes than its descriptor says")
def more_bytes(s):
    doc = whole(s)
    doc["layers"][0]["size"] -= 1
    s.manifest(doc)


@case("a layer of fewer bytes than its descriptor says")
def fewer_bytes(s):
    doc = whole(s)
    doc["layers"][0]["size"] += 1
    s.manifest(doc)


@case("a layer of other bytes than its digest says")
def other_bytes(s):
    doc = whole(s)
    s.blob(gzip.compress(b"other"), digest=doc["layers"][0]["digest"])
    s.manifest(doc)


@case("a layer that is sent without end")
def endless_layer(s):
    doc = whole(s)
    doc["layers"][0]["size"] = len(PACKED)

    def write(out):
        while True:
            out.write(b"10000\r\n" + b"\0" * 0x10000 + b"\r\n")

    s.files[f"/v2/x/blobs/{doc['layers'][0]['digest']}"] = ("application/octet-stream", write)
    s.manifest(doc)


@case("a configuration that is no JSON, no object, or of wrong types")
def configs(s):
    for conf in (b"junk", b"[]", b"null", b'"x"', b"", config(rootfs=7), config(diff_ids="x"), config(config=[]), config(config={"Env": {"a": "b"}}),
                 config(config={"User": ["root"]}), config().replace(b"linux", b"li\\u0000nux")):
        s.manifest(whole(s, conf))
        yield


@case("a configuration of other bytes than its digest says")
def other_config(s):
    doc = whole(s)
    s.blob(config(author="another"), digest=doc["config"]["digest"])
    s.manifest(doc)


@case("a configuration of 64 MiB")
def great_config(s):
    s.manifest(whole(s, config(x="y" * (64 << 20))))


@case("more and fewer diff IDs than layers, and another one")
def diff_ids(s):
    right = registry.sha256(PLAIN)
    for ids in ([], [right, right], [registry.sha256(b"another")], ["sha256:12"], [right.upper()]):
        s.manifest(whole(s, config(ids)))
        yield


@case("an index in an index, which could go on for ever")
def nested(s):
    entry = None
    for n in range(50):
        body = s.manifest(index([entry] if entry else []), registry.OCI_INDEX)
        entry = registry.descriptor(registry.OCI_INDEX, body, platform={"os": "linux", "architecture": "amd64"})


@case("an index of 13,000 children")
def wide(s):
    entry = registry.descriptor(registry.OCI_MANIFEST, s.manifest(whole(s)), platform={"os": "linux", "architecture": "s390x"})
    s.manifest(index([entry] * 13000), registry.OCI_INDEX)


@case("an index whose child is of another size, or other bytes, than it says")
def bad_child(s):
    body = s.manifest(whole(s), tag="child")
    for change in ({"size": 3}, {"digest": registry.sha256(b"x")}):
        s.files[f"/v2/x/manifests/{registry.sha256(b'x')}"] = (registry.OCI_MANIFEST, body)
        s.manifest(index([{**registry.descriptor(registry.OCI_MANIFEST, body, platform={"os": "linux", "architecture": "amd64"}), **change}]),
                   registry.OCI_INDEX)
        yield


@case("no image for this platform")
def platform(s):
    body = s.manifest(whole(s), tag="child")
    for other in ({"os": "windows", "architecture": "amd64"}, {"os": "linux", "architecture": "s390x"},
                  {"os": "linux", "architecture": "../../../x"}, {"os": "li\nnux\x1b[2J", "architecture": "amd64"}):
        s.manifest(index([registry.descriptor(registry.OCI_MANIFEST, body, platform=other)]), registry.OCI_INDEX)
        yield


@case("a foreign layer with URLs: nobody is asked at them")
def foreign(s):
    doc = whole(s)
    doc["layers"][0].update(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                            urls=[f"http://{s.host}/canary", "file:///etc/passwd", "gopher://127.0.0.1:1/"])
    del s.files[f"/v2/x/blobs/{doc['layers'][0]['digest']}"]
    s.manifest(doc)


@case("errors that would write on a terminal")
def escapes(s):
    s.files["/v2/x/manifests/v1"] = ("application/json", b'{"errors":[{"code":"\\u001b[2J","message":"\\u001b]0;x\\u0007\\r\\nfake"}]}')


def judge(name, build):
    s = Script()
    steps = build(s)
    try:
        for n, _ in enumerate([None] if steps is None else steps):
            refused(f"{name}, {n}", s)
    finally:
        s.server.shutdown()
        s.server.server_close()


def refused(name, s):
    with tempfile.TemporaryDirectory(prefix="berth-hostile-") as work:
        work = pathlib.Path(work)
        command = [runner.BERTH, "--root", str(work / "root"), "--state", str(work / "state"), "pull", "-q", "--tls-verify=false", f"{s.host}/x:v1"]
        began = time.monotonic()
        p = subprocess.run([sys.executable, "-c", MEASURE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS_MAX * 4,
                           check=False)
        took = time.monotonic() - began
        lines = p.stderr.decode(errors="replace").splitlines()
        tap.same(f"{name}: exit status ({lines})", 1, p.returncode)
        assert len(lines) == 1 and lines[0].startswith("berth: ") and lines[0].isprintable(), f"{name}: {p.stderr[-600:]!r}"
        if not os.environ.get("BERTH_SLOW"):
            assert int(p.stdout.split()[-1]) <= RSS_MAX_KB, f"{name}: {p.stdout.split()[-1]} kB of memory"
            assert took < SECONDS_MAX, f"{name}: {took:.1f} s"
        tap.same(f"{name}: elsewhere", [], s.canary)
        for place in ("layers", "staging"):
            tap.same(f"{name}: {place}", [], os.listdir(work / "root" / place))
        listed = subprocess.run([*command[:5], "images", "--json"], stdout=subprocess.PIPE, check=True).stdout
        tap.same(f"{name}: images", [], json.loads(listed))


@tap.case("the same, without the attack, is pulled")
def honest(*_):
    s = Script()
    s.manifest(whole(s))
    with tempfile.TemporaryDirectory(prefix="berth-hostile-") as work:
        subprocess.run([runner.BERTH, "--root", f"{work}/root", "pull", "-q", f"{s.host}/x:v1"], check=True, stdout=subprocess.DEVNULL)
    s.server.shutdown()
    s.server.server_close()


for title, function in CASES:
    tap.case(title)(lambda title=title, function=function: judge(title, function))

if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP owners of files need root")
        sys.exit(0)
    tap.main()
