#!/usr/bin/env python3
"""berthd import and export: what distribution, zot and image layouts have comes in whole, and goes out again."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/lib"), str(TOP / "tests/bench")]
import bench  # noqa: E402
import history  # noqa: E402
import layout  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from layout import Layout  # noqa: E402
from tap import case, same  # noqa: E402

TOOLS = TOP / "build/tools/bin"
ACCEPT = {"Accept": ", ".join((r.OCI_MANIFEST, r.OCI_INDEX, r.DOCKER_MANIFEST, r.DOCKER_LIST))}



def daemon(*options, **more):
    """One that may read and write where the test's trees are."""
    return r.Daemon(f'--process.writable=["{tempfile.gettempdir()}"]', *options, **more)


def need(name):
    found = shutil.which(name) or shutil.which(name, path=str(TOOLS))
    if not found:
        raise tap.Skip(f"{name} is not installed")
    return found


def run(*command, **more):
    got = subprocess.run([str(x) for x in command], capture_output=True, text=True, timeout=r.WAIT_S * 5, **more)
    assert got.returncode == 0, f"{command}: {got.stdout[-1000:]} {got.stderr[-2000:]}"
    return got.stdout


@contextlib.contextmanager
def scratch():
    with tempfile.TemporaryDirectory(prefix="berth-import-") as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def distribution():
    """A CNCF distribution that can be asked like a Daemon."""
    need("registry")
    with bench.Distribution() as peer:
        client = daemon()
        client.host, client.port = peer.host, peer.port
        client.data = peer.work / "data"
        try:
            yield client
        finally:
            client.close()


def push(server, repo, manifest, reference, layout_):
    """One manifest of a layout with the blobs it refers to."""
    document = json.loads(manifest)
    for d in [document[x] for x in ("config",) if x in document] + document.get("layers", []):
        where = server.open_session(repo)
        where = where[where.index("/v2/"):]
        a = server.request("PUT", f"{where}{'&' if '?' in where else '?'}digest={d['digest']}",
                           layout_.file(d["digest"]).read_bytes(), {"Content-Type": "application/octet-stream"})
        same("blob push", 201, a.status)
    a = server.put_manifest(repo, reference, manifest, media=document["mediaType"])
    same(f"manifest push of {repo}:{reference}: {a.body[:300]!r}", 201, a.status)


def fill(server, work):
    """Repositories that share layers, an index, a referrer, an untagged manifest, a deleted tag, a manifest pushed twice;
    returns the digests of all manifests by repository."""
    rng = random.Random(7)
    common = rng.randbytes(300_000)
    known = {}
    for n, repo in enumerate(("a", "a/b/c", "team-x/app_1")):
        l = Layout(work / f"l{n}")
        v1 = l.image([common, rng.randbytes(1000 + n)])
        v2 = l.image([common, rng.randbytes(2000 + n)])
        arm = l.image([rng.randbytes(500)])
        untagged = l.image([rng.randbytes(100)])
        multi = l.index([v1, arm])
        signature = l.image([b"signature"], artifactType="application/vnd.sig", subject=r.descriptor(r.OCI_INDEX, multi))
        for manifest, reference in ((v1, "v1"), (v2, "latest"), (v1, "old"), (arm, r.sha256(arm)), (multi, "multi"),
                                    (untagged, r.sha256(untagged)), (signature, r.sha256(signature)), (v2, "v2")):
            push(server, repo, manifest, reference, l)
        known[repo] = {r.sha256(x): x for x in (v1, v2, arm, untagged, multi, signature)}
    return known


def check_same(peer, ours, known):
    """Both answer the same for each repository, tag, manifest and blob; the referrers API is ours only."""
    same("repositories", peer.request("GET", "/v2/_catalog").json()["repositories"],
         ours.request("GET", "/v2/_catalog").json()["repositories"])
    for repo, manifests in known.items():
        tags = sorted(peer.request("GET", f"/v2/{repo}/tags/list").json()["tags"])
        same(f"tags of {repo}", tags, ours.request("GET", f"/v2/{repo}/tags/list").json()["tags"])
        for reference in (*tags, *manifests):
            a, b = (s.request("GET", f"/v2/{repo}/manifests/{reference}", headers=ACCEPT) for s in (peer, ours))
            same(f"{repo} {reference}", (200, a.body, a.header("Content-Type"), a.header("Docker-Content-Digest")),
                 (b.status, b.body, b.header("Content-Type"), b.header("Docker-Content-Digest")))
        for data in manifests.values():
            document = json.loads(data)
            for d in [document[x] for x in ("config",) if x in document] + document.get("layers", []):
                got = ours.request("GET", f"/v2/{repo}/blobs/{d['digest']}")
                same(f"blob {d['digest']} of {repo}", (200, d["digest"]), (got.status, r.sha256(got.body)))
        for data in manifests.values():
            subject = json.loads(data).get("subject")
            if subject:
                listed = ours.request("GET", f"/v2/{repo}/referrers/{subject['digest']}").json()["manifests"]
                same("referrers", [r.sha256(data)], [d["digest"] for d in listed])


def no_faults(s):
    same("faults", 0, s.admin("fsck")[-1]["faults"])


def put_records(s):
    """What the reflog has of manifests that were put."""
    lines = [json.loads(x) for f in sorted((s.root / "reflog").iterdir()) for x in f.read_text().splitlines()]
    return [x for x in lines if x["op"] == "manifest.put"]


@case("a root of CNCF distribution, filled by its API and by skopeo: all is there, with its times; a second import brings nothing")
def from_distribution():
    skopeo = need("skopeo")
    with distribution() as peer, scratch() as work, daemon("--gc.interval=1h") as s:
        known = fill(peer, work)
        where = f"docker://{peer.host}:{peer.port}"
        run(skopeo, "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", f"{where}/a:multi", f"{where}/by/skopeo:x")
        known["by/skopeo"] = {}
        gone = next(iter(known["a/b/c"]))  # its tags go with it
        same("DELETE", 202, peer.request("DELETE", f"/v2/a/b/c/manifests/{gone}").status)
        del known["a/b/c"][gone]
        link = peer.data / "docker/registry/v2/repositories/a/_manifests/tags/v1/current/link"
        os.utime(link, (1_600_000_000, 1_600_000_000))
        first = s.admin("import", str(peer.data))
        same("refused", 0, first[-1]["refused-items"])
        same("repositories", 4, first[-1]["repositories"])
        check_same(peer, s, known)
        times = {(x["repo"], *x["tags"]): x.get("pushed") for x in put_records(s)}
        same("time of a:v1", 1_600_000_000_000, times["a", "v1"])
        same("every put has a time", [], [k for k, t in times.items() if not t])
        no_faults(s)
        records = len(put_records(s))
        for source in (peer.data, peer.data / "docker/registry/v2"):
            again = s.admin("import", str(source))[-1]
            same("again", (0, 0, 0, 0, 0), tuple(again[x] for x in ("manifests", "tags", "linked", "copied", "mounted")))
        same("nothing was put again", records, len(put_records(s)))
        same("SIGTERM", 0, s.stop())
        s.admin("rebuild")
        s.start()
        check_same(peer, s, known)
        no_faults(s)


@case("hard links: the second tree takes next to nothing, and a pull has the bytes; copied are files that others could change")
def links():
    with distribution() as peer, scratch() as work, daemon() as s:
        if os.stat(work).st_dev != os.stat(s.work).st_dev:
            raise tap.Skip("the temporary directories are on different file systems")
        l = Layout(work / "l")
        layers = [os.urandom(8 << 20) for _ in range(6)]
        for n, data in enumerate(layers):
            push(peer, "big", l.image([data]), f"t{n}", l)
        blobs = peer.data / "docker/registry/v2/blobs/sha256"
        data_of = lambda x: blobs / r.sha256(x)[7:9] / r.sha256(x)[7:] / "data"  # noqa: E731
        before = layout.disk_use(peer.data)
        if os.geteuid() == 0:
            os.chown(data_of(layers[0]), 12345, -1)
        began = time.monotonic()
        with open(data_of(layers[1]), "r+b"):
            got = s.admin("import", str(peer.data))[-1]
        took = time.monotonic() - began
        kept = 2 if os.geteuid() == 0 else 1
        same("refused", 0, got["refused-items"])
        if got["cloned"]:
            raise tap.Skip("this file system clones")
        same("copied, as somebody else can write to them", (kept, kept * (8 << 20)), (got["copied"], got["copied-bytes"]))
        same("linked", 12 - kept, got["linked"])
        extra = layout.disk_use(peer.data, s.root) - before - got["copied-bytes"]
        print(f"# {before >> 20} MiB imported in {took:.2f} s; beyond copies they take {extra >> 10} KiB more")
        same(f"extra disk ({extra} bytes) is small", True, extra < (2 << 20))
        for data in layers:
            a = s.request("GET", f"/v2/big/blobs/{r.sha256(data)}")
            same("a pull", (200, True), (a.status, a.body == data))
        same("nobody's to write", 0o444, data_of(layers[2]).stat().st_mode & 0o777)
        same("the same file", True, os.path.samefile(data_of(layers[2]), s.blob_file(r.sha256(layers[2]))))
        with daemon() as t:
            got = t.admin("import", str(peer.data), "--copy")[-1]
            same("--copy", (12, 0), (got["copied"], got["linked"]))
            same("another file", False, os.path.samefile(data_of(layers[2]), t.blob_file(r.sha256(layers[2]))))


@contextlib.contextmanager
def xfs():
    if os.geteuid() != 0:
        raise tap.Skip("needs root to mount a file system")
    mkfs = need("mkfs.xfs")
    with scratch() as work:
        with open(work / "image", "wb") as f:
            f.truncate(400 << 20)
        run(mkfs, "-q", "-m", "reflink=1", work / "image")
        (work / "at").mkdir()
        if subprocess.run(["mount", "-o", "loop", work / "image", work / "at"], capture_output=True, check=False).returncode != 0:
            raise tap.Skip("cannot mount an xfs image here")
        try:
            yield work / "at"
        finally:
            subprocess.run(["umount", work / "at"], check=True)


@case("on a file system that clones nothing is linked, and nothing is written twice; so for what goes out")
def clones():
    with xfs() as disk:
        l = Layout(disk / "l")
        l.add(l.image([os.urandom(8 << 20), os.urandom(8 << 20)]), "v1")
        with daemon(root=disk / "root") as s:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            got = s.admin("import", "--repository=x", str(l.path))[-1]
            same("cloned", (3, 0, 0), (got["cloned"], got["linked"], got["copied"]))
            out = s.admin("export", "x", str(disk / "out"))[-1]
            same("cloned out", 3, out["cloned"])
            used = free - os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            same(f"disk for both ({used} bytes) is small", True, used < (4 << 20))
            same("the source's mode is its own", 0o644, l.file(l.entries[0]["digest"]).stat().st_mode & 0o777)
            no_faults(s)


@case("layouts by skopeo (an index of two platforms) and by oras (an artifact and what refers to it)")
def layouts():
    skopeo, oras = need("skopeo"), need("oras")
    with scratch() as work, daemon() as s:
        l = Layout(work / "l")
        arms = [l.image([os.urandom(1000), os.urandom(30)]) for _ in range(2)]
        l.add(l.index(arms), "multi")
        run(skopeo, "copy", "--all", f"oci:{l.path}:multi", f"oci:{work}/sk:registry.example/app:1.0")
        same("a name is needed", [], s.admin("import", str(work / "sk"), want=1))
        got = s.admin("import", "--repository", "sk/app", str(work / "sk"))
        same("manifests, tags", (3, 1, 0), tuple(got[-1][x] for x in ("manifests", "tags", "refused-items")))
        index = s.request("GET", "/v2/sk/app/manifests/1.0", headers=ACCEPT)
        same("the index", json.loads((work / "sk/index.json").read_text())["manifests"][0]["digest"], index.header("Docker-Content-Digest"))
        run(skopeo, "copy", "--all", "--src-tls-verify=false", f"docker://{s.host}:{s.port}/sk/app:1.0", f"oci:{work}/back:x")

        (work / "file").write_bytes(os.urandom(5000))
        run(oras, "push", "--oci-layout", f"{work}/or:v1", "file:application/x-file", cwd=work)
        for n in range(2):
            (work / "sbom").write_text(f"sbom {n}")
            run(oras, "attach", "--oci-layout", "--artifact-type", f"application/vnd.sbom.{n}", f"{work}/or:v1", "sbom:text/plain", cwd=work)
        got = s.admin("import", "--repository", "or", str(work / "or"))[-1]
        same("manifests, tags", (3, 1, 0), tuple(got[x] for x in ("manifests", "tags", "refused-items")))
        digest = s.request("HEAD", "/v2/or/manifests/v1").header("Docker-Content-Digest")
        listed = s.request("GET", f"/v2/or/referrers/{digest}").json()["manifests"]
        same("referrers", ["application/vnd.sbom.0", "application/vnd.sbom.1"], sorted(d["artifactType"] for d in listed))
        no_faults(s)


@case("a zot root, as its layout is documented: repositories in each other, links between them, what is its own left alone")
def zot():
    with scratch() as work, daemon() as s:
        shared = os.urandom(100_000)
        root = work / "zot"
        first = None
        for name in ("app", "app/worker", "infra/base"):
            l = Layout(root / name)
            l.add(l.image([shared, name.encode()]), "v1")
            l.add(l.image([b"untagged of " + name.encode()]))
            if first:  # zot's deduplication: the same file
                l.file(r.sha256(shared)).unlink()
                os.link(first.file(r.sha256(shared)), l.file(r.sha256(shared)))
            first = first or l
            (l.path / ".uploads").mkdir()
            (l.path / ".uploads/0e0b8a3e").write_bytes(b"half a blob")
        store = Layout(root / "_blobstore")
        store.add(store.image([b"not a repository"]), "v1")
        (root / "cache.db").write_bytes(b"\0" * 100)
        got = s.admin("import", str(root))[-1]
        same("counts", (3, 6, 3, 0, 2), tuple(got[x] for x in ("repositories", "manifests", "tags", "refused-items", "mounted")))
        same("the shared file is read once", True, got["read-bytes"] < 2 * len(shared))
        same("repositories", ["app", "app/worker", "infra/base"], s.request("GET", "/v2/_catalog").json()["repositories"])
        same("a pull", shared, s.request("GET", f"/v2/infra/base/blobs/{r.sha256(shared)}").body)
        same("one only", 1, s.admin("import", "--repository=infra/base", str(root))[-1]["repositories"])
        s.admin("import", "--repository=infra", str(root), want=1)
        no_faults(s)


class Zot(bench.Server):
    """zot on a directory, with its deduplication."""

    name = "zot"

    def command(self):
        (self.work / "conf.json").write_text(json.dumps({
            "storage": {"rootDirectory": str(self.work / "data"), "dedupe": True, "gc": False},
            "http": {"address": "127.0.0.1", "port": str(self.port)}, "log": {"level": "error"}}))
        return [need("zot"), "serve", str(self.work / "conf.json")]


@case("a root that zot itself has written")
def real_zot():
    need("zot")  # no package and no module that can be fetched: whoever has one in the PATH
    skopeo = need("skopeo")
    with Zot() as peer, scratch() as work, r.Daemon() as s:
        client = r.Daemon()
        client.host, client.port = peer.host, peer.port
        try:
            known = fill(client, work)
            run(skopeo, "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{peer.host}:{peer.port}/a:multi",
                f"docker://{peer.host}:{peer.port}/by/skopeo:x")
            known["by/skopeo"] = {}
            got = s.admin("import", str(peer.work / "data"))[-1]
            same("refused", 0, got["refused-items"])
            check_same(client, s, known)
            again = s.admin("import", str(peer.work / "data"))[-1]
            same("again", (0, 0, 0, 0, 0), tuple(again[x] for x in ("manifests", "tags", "linked", "copied", "mounted")))
            no_faults(s)
            print(f"# zot's root: {got['linked']} linked, {got['cloned']} cloned, {got['copied']} copied, {got['mounted']} mounted")
        finally:
            client.close()


@case("the daemon is killed in the middle: nothing dangles, and the next import goes on from there, nothing copied twice")
def killed():
    with scratch() as work, daemon("--gc.interval=1h") as s:
        blobs = set()
        for n in range(6):
            l = Layout(work / "zot" / f"r{n}")
            for m in range(60):
                data = l.image([os.urandom(20_000), b"%d" % m])
                l.add(data, f"t{m}")
                blobs |= {d["digest"] for d in (json.loads(data)["config"], *json.loads(data)["layers"])}
        for part in (0.2, 0.6):
            command = subprocess.Popen([r.BERTHD, "import", "--copy", "--root", s.root, work / "zot"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            r.wait_until("some blobs", lambda: len(s.blob_files() & blobs) > len(blobs) * part or command.poll() is not None)
            same("still at it", None, command.poll())
            s.kill()
            same("the command says so", (1, True), (command.wait(r.WAIT_S), b"ended before it answered" in command.stderr.read()))
            command.stderr.close()
            s.start()
            no_faults(s)
        before = s.blob_files() & blobs
        got = s.admin("import", "--copy", str(work / "zot"))[-1]
        same("copied", len(blobs - before), got["copied"])
        same("refused", 0, got["refused-items"])
        same("all", (360, 360), (got["manifests"] + got["manifests-had"], got["tags"] + got["tags-had"]))
        for n in range(6):
            same("tags", 60, len(s.request("GET", f"/v2/r{n}/tags/list").json()["tags"]))
        no_faults(s)


def refusals(items):
    return {(x["refused"], x["name"]): x["reason"] for x in items if "refused" in x}


@case("damaged sources: what is truncated, changed, missing or no file is refused by name, with all that refers to it; the rest comes in")
def damaged():
    with scratch() as work, daemon() as s:
        l = Layout(work / "l")
        bad = {}
        for name in ("truncated", "changed", "missing", "link", "fifo", "manifest"):
            layer = os.urandom(5000)
            bad[name] = (l.image([layer]), layer)
            l.add(bad[name][0], name)
        good = l.image([b"good"])
        l.add(good, "good")
        l.add(l.index([good, bad["changed"][0]]), "index")
        l.add(l.index([good]), "fine")
        l.add(l.image([b"x"]), "no/tag name")
        l.add(b'{"schemaVersion": 2, "mediaType": "text/plain"}', "text")
        l.blob(b'{"schemaVersion": 2, "mediaType": "text/plain"}')
        deep = b'{"schemaVersion":2,"manifests":' + b"[" * 5000 + b"]" * 5000 + b"}"
        l.entries.append(r.descriptor(r.OCI_INDEX, deep, annotations={layout.REF_NAME: "deep"}))
        l.blob(deep)
        l.write()
        outside = work / "outside"
        outside.write_bytes(bad["link"][1])
        file = {name: l.file(r.sha256(layer)) for name, (_, layer) in bad.items()}
        file["truncated"].write_bytes(bad["truncated"][1][:4999])
        file["changed"].write_bytes(b"?" + bad["changed"][1][1:])
        for name in ("missing", "link", "fifo"):
            file[name].unlink()
        file["link"].symlink_to(outside)
        os.mkfifo(file["fifo"])
        l.file(r.sha256(bad["manifest"][0])).write_bytes(bad["manifest"][0] + b" ")

        for attempt in range(2):
            told = s.admin("import", "--repository=d", str(l.path), want=1)
            got = refusals(told)
            want = {("blob", f"d@{r.sha256(bad[n][1])}") for n in ("truncated", "changed", "missing", "link", "fifo")}
            want |= {("manifest", f"d@{r.sha256(bad[n][0])}") for n in bad} | {("tag", f"d:{n}") for n in bad}
            want |= {("tag", "d:index"), ("manifest", f"d@{l.entries[7]['digest']}"), ("tag", "d:no/tag name"), ("tag", "d:text"),
                     ("manifest", f"d@{l.entries[10]['digest']}"), ("tag", "d:deep"), ("manifest", f"d@{r.sha256(deep)}")}
            same(f"refused, attempt {attempt}", sorted(want), sorted(got))
            same("counted", len(want), told[-1]["refused-items"])
            reasons = {n: got["blob", f"d@{r.sha256(bad[n][1])}"] for n in ("truncated", "changed", "missing", "link", "fifo")}
            for name, part in (("truncated", "4999 bytes, not 5000"), ("changed", "hash to"), ("missing", "not there"),
                               ("link", "symbolic link"), ("fifo", "no regular file")):
                same(f"{name}: {reasons[name]}", True, part in reasons[name])
            same("its manifest says why", True, r.sha256(bad["changed"][1]) in got["manifest", f"d@{r.sha256(bad['changed'][0])}"])
            same("tags", ["fine", "good"], s.request("GET", "/v2/d/tags/list").json()["tags"])
        no_faults(s)
        file["changed"].write_bytes(bad["changed"][1])  # mended: the rest is made good
        s.admin("import", "--repository=d", str(l.path), want=1)
        same("tags", ["changed", "fine", "good", "index"], s.request("GET", "/v2/d/tags/list").json()["tags"])


@case("hostile roots: links out of it, names that are none, links to what a repository does not have, content that is only claimed")
def hostile():
    with scratch() as work, daemon() as s:
        secret = os.urandom(3000)
        s.push_blob("private", secret)
        same("tagged", 201, s.put_manifest("private", "v1", r.image(secret)).status)
        v2 = work / "root/docker/registry/v2"

        def put(data, digest=None):
            digest = digest or r.sha256(data)
            at = v2 / "blobs/sha256" / digest[7:9] / digest[7:] / "data"
            at.parent.mkdir(parents=True)
            at.write_bytes(data)

        def link(path, digest):
            at = v2 / "repositories" / path / "link"
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(digest)

        def revision(repo, manifest, tag):
            d = r.sha256(manifest)
            put(manifest)
            link(f"{repo}/_manifests/revisions/sha256/{d[7:]}", d)
            link(f"{repo}/_manifests/tags/{tag}/current", d)

        config = b"{}"
        put(config)
        claimed = json.dumps(r.image(config, [secret])).encode()
        put(b"?" * 3000, r.sha256(secret))
        revision("thief", claimed, "v1")
        for d in (r.sha256(config), r.sha256(secret)):
            link(f"thief/_layers/sha256/{d[7:]}", d)
        other = json.dumps(r.image(config, [b"unlinked"])).encode()
        put(b"unlinked")
        revision("nolink", other, "v1")
        link(f"nolink/_layers/sha256/{r.sha256(config)[7:]}", r.sha256(config))
        revision("fine", json.dumps(r.image(config)).encode(), "v1")
        link(f"fine/_layers/sha256/{r.sha256(config)[7:]}", r.sha256(config))
        link("fine/_manifests/tags/-bad/current", r.sha256(config))
        link("fine/_manifests/tags/junk/current", "no digest\x1b[31m")
        link("fine/_manifests/tags/lost/current", r.sha256(b"never pushed"))
        (v2 / "repositories/UPPER/_manifests").mkdir(parents=True)
        (v2 / "repositories/esc\x1b").mkdir()
        (v2 / "repositories/esc\x1b/_manifests").mkdir()
        (work / "elsewhere/_manifests").mkdir(parents=True)
        (v2 / "repositories/linked").symlink_to(work / "elsewhere")
        (v2 / "repositories/broken").mkdir()
        (v2 / "repositories/broken/_manifests").mkdir()
        (v2 / "repositories/broken/_manifests/tags").symlink_to(work / "elsewhere")
        got = refusals(s.admin("import", str(work / "root"), want=1))
        want = [("blob", f"thief@{r.sha256(secret)}"), ("manifest", f"thief@{r.sha256(claimed)}"), ("tag", "thief:v1"),
                ("blob", f"nolink@{r.sha256(b'unlinked')}"), ("manifest", f"nolink@{r.sha256(other)}"), ("tag", "nolink:v1"),
                ("tag", "fine:-bad"), ("tag", "fine:junk"), ("tag", "fine:lost"), ("repository", "UPPER"),
                ("repository", "esc?"), ("repository", "broken")]
        same("refused", sorted(want), sorted(got))
        same("the private blob", 404, s.request("GET", f"/v2/thief/blobs/{r.sha256(secret)}").status)
        same("is whole", secret, s.request("GET", f"/v2/private/blobs/{r.sha256(secret)}").body)
        same("fine", ["v1"], s.request("GET", "/v2/fine/tags/list").json()["tags"])
        no_faults(s)
        for nothing in (work / "elsewhere", work / "root/docker/registry/v2/blobs", work / "nowhere"):
            s.admin("import", str(nothing), want=1)


@case("tags: a newer one of the source moves ours, one that clients pushed later stays; without times only --overwrite moves")
def tags():
    with distribution() as peer, scratch() as work, daemon() as s:
        l = Layout(work / "l")
        old, new, mine = (l.image([b"%d" % n]) for n in range(3))
        push(peer, "t", old, "moves", l)
        push(peer, "t", old, "stays", l)
        s.admin("import", str(peer.data))
        push(s, "t", mine, "stays", l)
        push(peer, "t", new, "moves", l)
        link = peer.data / "docker/registry/v2/repositories/t/_manifests/tags/stays/current/link"
        link.write_text(r.sha256(new))
        os.utime(link, (1_700_000_000, 1_700_000_000))

        def now(tag):
            return s.request("HEAD", f"/v2/t/manifests/{tag}").header("Docker-Content-Digest")

        got = refusals(s.admin("import", str(peer.data), want=1))
        same("refused", {("tag", "t:stays")}, set(got))
        same("says why", True, r.sha256(mine) in got["tag", "t:stays"])
        same("tags", (r.sha256(new), r.sha256(mine)), (now("moves"), now("stays")))
        l.add(old, "moves")
        same("a layout has no times", {("tag", "t:moves")}, set(refusals(s.admin("import", "--repository=t", str(l.path), want=1))))
        same("tag", r.sha256(new), now("moves"))
        s.admin("import", "--repository=t", "--overwrite", str(l.path))
        same("tag", r.sha256(old), now("moves"))
        s.admin("import", "--overwrite", str(peer.data))
        same("tag", r.sha256(new), now("stays"))


@case("beside clients that push the same content, and collections: all is there afterwards; a dry run changes nothing")
def busy():
    with scratch() as work, daemon("--gc.interval=1h", "--trash.keep=0s", "--gc.max_share=100") as s:
        l = Layout(work / "l")
        images = [l.image([os.urandom(3000), b"%d" % n]) for n in range(150)]
        for n, data in enumerate(images):
            l.add(data, f"t{n}")
        dry = s.admin("import", "--repository=busy", "--dry-run", str(l.path))[-1]
        same("dry run", (150, 150, 450), (dry["manifests"], dry["tags"], dry["wanted"]))
        same("nothing changed", (set(), 404), (s.blob_files(), s.request("GET", "/v2/busy/tags/list").status))
        stop, wrong = threading.Event(), []

        def clients(seed):
            rng = random.Random(seed)
            while not stop.is_set():
                data = rng.choice(images)
                try:
                    push(s, "busy", data, "client", l)
                    push(s, "other", data, "client", l)
                    s.admin("gc")
                except AssertionError as e:
                    wrong.append(str(e))
                    return

        threads = [threading.Thread(target=clients, args=(n,)) for n in range(3)]
        for t in threads:
            t.start()
        try:
            got = s.admin("import", "--repository=busy", str(l.path))[-1]
        finally:
            stop.set()
            for t in threads:
                t.join()
        same("clients", [], wrong)
        same("refused", 0, got["refused-items"])
        s.admin("gc")
        for n, data in enumerate(images):
            same(f"t{n}", (200, data), ((a := s.request("GET", f"/v2/busy/manifests/t{n}")).status, a.body))
        no_faults(s)


@case("a daemon that is told to stop ends an import early, in order; without a daemon a new root is made")
def ends():
    with scratch() as work, daemon("--gc.interval=1h") as s:
        l = Layout(work / "l")
        for n in range(300):
            l.add(l.image([os.urandom(10_000)]), f"t{n}")
        command = subprocess.Popen([r.BERTHD, "import", "--repository=e", "--root", s.root, l.path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        r.wait_until("some blobs", lambda: len(s.blob_files()) > 50 or command.poll() is not None)
        same("SIGTERM", 0, s.stop())
        same("the command", (1, True), (command.wait(r.WAIT_S), b"stopped" in command.stderr.read()))
        command.stderr.close()
        got = s.admin("import", "--repository=e", str(l.path))[-1]  # on the root itself
        same("all", 300, got["manifests"] + got["manifests-had"])
        same("some were there", True, got["manifests-had"] + got["had"] > 0)
        t = daemon()
        same("a new root", 300, t.admin("import", "--repository=e", str(l.path))[-1]["manifests"])
        with t:
            same("served", 300, len(t.request("GET", "/v2/e/tags/list").json()["tags"]))
            no_faults(t)


def whole_view(s, repos):
    """Tags and what is reachable from them, referrers included."""
    seen = {}
    for repo in repos:
        for tag in history.pages(s, f"/v2/{repo}/tags/list", "tags"):
            a = s.request("GET", f"/v2/{repo}/manifests/{tag}")
            todo = [a.header("Docker-Content-Digest")]
            seen[repo, tag] = (todo[0], a.header("Content-Type"))
            while todo:
                digest = todo.pop()
                if (repo, digest) in seen:
                    continue
                a = s.request("GET", f"/v2/{repo}/manifests/{digest}")
                document = a.json() if a.status == 200 else {}
                blobs = [document[x] for x in ("config",) if x in document] + document.get("layers", [])
                seen[repo, digest] = (a.status, sorted((b["digest"], s.request("HEAD", f"/v2/{repo}/blobs/{b['digest']}").status) for b in blobs))
                todo += [d["digest"] for d in document.get("manifests", [])]
                todo += [d["digest"] for d in s.request("GET", f"/v2/{repo}/referrers/{digest}").json()["manifests"]]
    return seen


@case("out and in again: the same to clients; a second export writes what is new only; skopeo and oras read it")
def round_trip():
    with scratch() as work, daemon("--gc.interval=1h") as s, daemon() as t:
        history.History(random.Random(11)).run(s, 400)
        repos = history.pages(s, "/v2/_catalog", "repositories")
        repos = [x for x in repos if history.pages(s, f"/v2/{x}/tags/list", "tags")]
        for repo in repos:
            out = work / repo.replace("/", "-")
            first = s.admin("export", repo, str(out))[-1]
            same("all is new", (0, first["objects"]), (first["had"], first["copied"] + first["cloned"]))
            index = json.loads((out / "index.json").read_text())
            same("tags", sorted(history.pages(s, f"/v2/{repo}/tags/list", "tags")),
                 sorted(d["annotations"][layout.REF_NAME] for d in index["manifests"] if layout.REF_NAME in d.get("annotations", {})))
            for f in (out / "blobs/sha256").iterdir():
                same(f.name, f"sha256:{f.name}", r.sha256(f.read_bytes()))
            again = s.admin("export", repo, str(out))[-1]
            same("nothing is new", (first["objects"], 0), (again["had"], again["copied"]))
            same("index.json", index, json.loads((out / "index.json").read_text()))
            got = t.admin("import", f"--repository={repo}", str(out))[-1]
            same("refused", 0, got["refused-items"])
        same("the view of clients", whole_view(s, repos), whole_view(t, repos))
        no_faults(t)

        skopeo, oras = need("skopeo"), need("oras")
        l = Layout(work / "l")
        image, more = l.image([b"layer"]), l.image([b"more"])
        push(s, "x", image, "v1", l)
        push(s, "x", more, "v2", l)
        signature = l.image([b"sig"], artifactType="application/vnd.sig", subject=r.descriptor(r.OCI_MANIFEST, image))
        push(s, "x", signature, r.sha256(signature), l)
        out = work / "x"
        same("one tag with its referrer", (1, 2, 1), tuple(s.admin("export", "x:v1", str(out))[-1][k] for k in ("tags", "manifests", "referrers")))
        same("skopeo", r.sha256(image), json.loads(run(skopeo, "inspect", f"oci:{out}:v1"))["Digest"])
        found = json.loads(run(oras, "discover", "--oci-layout", "--format", "json", f"{out}:v1"))
        same("oras discovers", True, r.sha256(signature) in json.dumps(found))
        same("oras resolves", r.sha256(image), run(oras, "resolve", "--oci-layout", f"{out}:v1").strip())


@case("an export leaves what is somebody else's: a layout's own entries stay, a directory that is none is refused")
def export_into():
    with scratch() as work, daemon() as s:
        l = Layout(work / "l")
        mine, theirs = l.image([b"mine"]), l.image([b"theirs"])
        push(s, "x", mine, "v1", l)
        push(s, "x", mine, "v2", l)
        into = Layout(work / "into")
        into.add(into.image([b"theirs"]), "v1")
        into.add(theirs, "other")
        s.admin("export", "x:v1", str(into.path))
        names = {d["annotations"][layout.REF_NAME]: d["digest"] for d in json.loads((into.path / "index.json").read_text())["manifests"]}
        same("names", {"v1": r.sha256(mine), "other": r.sha256(theirs)}, names)
        s.admin("export", f"x@{r.sha256(mine)}", str(work / "by-digest"))
        same("by digest", [r.sha256(mine)], [d["digest"] for d in json.loads((work / "by-digest/index.json").read_text())["manifests"]])
        (work / "full").mkdir()
        (work / "full/file").write_text("mine")
        for what, where in (("x", work / "full"), ("nothing", work / "n"), ("x:v3", work / "n"), ("X:v1", work / "n"),
                            (f"x@{r.sha256(b'')}", work / "n"), ("x", work / "no/parent")):
            s.admin("export", what, str(where), want=1)
        same("untouched", ["file"], [p.name for p in (work / "full").iterdir()])


if __name__ == "__main__":
    tap.main()
