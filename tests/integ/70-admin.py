#!/usr/bin/env python3
"""What administrators ask for: lists, inspection, removal, copies and moves, tag history and rollback; by command and /api/v1."""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import history  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import Skip, case, same  # noqa: E402

QUIET = ("--gc.enabled=false", "--gc.lease=0s", "--gc.untagged_keep=0s", "--gc.max_share=100")
CONFIG = json.dumps({"os": "linux", "architecture": "arm64", "variant": "v8", "created": "2026-01-02T03:04:05Z",
                     "config": {"Labels": {"a": "b", "odd": 7}}}).encode()


def push(s, repo, tag, layer, **more):
    """An image of one layer; its digest.  The tag may be None."""
    for data in (CONFIG, layer):
        s.push_blob(repo, data)
    return put(s, repo, tag, r.image(CONFIG, [layer], **more))


def put(s, repo, tag, document):
    data = json.dumps(document).encode()
    a = s.put_manifest(repo, tag or r.sha256(data), data, media=document["mediaType"])
    same(f"put {repo}:{tag}", 201, a.status)
    return r.sha256(data)


def manifest(s, repo, reference):
    a = s.request("GET", f"/v2/{repo}/manifests/{reference}")
    return a.body if a.status == 200 else None


def tagged(s, repo, tag):
    """The digest that a tag has, or None."""
    return s.request("HEAD", f"/v2/{repo}/manifests/{tag}").header("Docker-Content-Digest")


def whole(s, repo, reference):
    """All of an image can be pulled."""
    doc = json.loads(manifest(s, repo, reference))
    for d in [doc.get("config"), *doc.get("layers", [])]:
        if d:
            same(f"blob {d['digest']}", d["digest"], r.sha256(s.request("GET", f"/v2/{repo}/blobs/{d['digest']}").body))
    for d in doc.get("manifests", []):
        whole(s, repo, d["digest"])


def tree(s, repo, tag):
    """An index of two images, one of which is signed, and the signature attested."""
    children = []
    for n in range(2):
        digest = push(s, repo, None, b"layer %d of " % n + tag.encode())
        children.append(manifest(s, repo, digest))
    signed = r.descriptor(r.OCI_MANIFEST, children[0])
    signature = manifest(s, repo, push(s, repo, None, b"signature", subject=signed))
    put(s, repo, None, r.image(CONFIG, [], subject=r.descriptor(r.OCI_MANIFEST, signature)))
    return put(s, repo, tag, r.index([(r.OCI_MANIFEST, c) for c in children])), signed["digest"], r.sha256(signature)


def api(s, method, path, body=None, headers=None, **query):
    path = f"/api/v1/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    if body is not None:
        body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
    return s.request(method, path, body, headers)


def pages(s, path, **query):
    """All items of a list, and of how many each page was."""
    items, sizes = [], []
    a = api(s, "GET", path, **query)
    while True:
        same(f"{path}: {a.body[:200]}", 200, a.status)
        items += a.json()["items"]
        sizes.append(len(a.json()["items"]))
        link = a.header("Link")
        if not link:
            return items, sizes
        a = s.request("GET", re.fullmatch(r'<(.*)>; rel="next"', link)[1])


def digests_of(items):
    return [i.get("to") for i in items]


def counts(item, *names):
    return tuple(item[n] for n in names)


def clean(s):
    same("faults", 0, s.admin("fsck")[-1]["faults"])


@case("stats count what there is, also what waits in uploads and in the trash")
def stats():
    with r.Daemon(*QUIET) as s:
        same("empty", (0, 0, 0, 0), counts(s.admin("stats")[0], "repositories", "tags", "manifests", "blobs"))
        push(s, "a", "v1", b"one")
        digest = push(s, "b/c", "v1", b"one")
        push(s, "b/c", "v2", b"two")
        s.request("PATCH", s.open_session("b/c"), b"12345", {"Content-Type": "application/octet-stream"})
        got = s.admin("stats")[0]
        same("counts", (2, 3, 2, 3), counts(got, "repositories", "tags", "manifests", "blobs"))
        same("bytes", sum(f.stat().st_size for f in (s.root / "blobs").glob("*/*/*")), got["bytes"])
        same("uploads", {"open": 1, "bytes": 5}, got["uploads"])
        same("deleted", 202, s.request("DELETE", f"/v2/b/c/manifests/{digest}").status)
        same("trash", 1, s.admin("stats")[0]["trash"]["items"])
        collected = s.admin("gc")[-1]
        got = s.admin("stats")[0]
        same("gc", (1, True), (got["gc"]["cycles"], "ended" in got["gc"]))
        same("nothing was collected", 0, collected["contents"])
        same("the same by HTTP", got, api(s, "GET", "stats").json())


@case("lists: sizes, times, digests; patterns; pages by command and by Link, without a name twice or left out")
def lists():
    with r.Daemon(*QUIET) as s:
        repos = sorted([*(f"team/r{n:02}" for n in range(25)), "other", "team/deep/er"])
        for repo in repos:
            push(s, repo, "latest", b"shared")
        for n in range(30):
            push(s, "other", f"t{n}", b"shared")
        *items, end = s.admin("repos")
        same("repositories", (repos, {"count": len(repos)}), ([i["repository"] for i in items], end))
        other = items[repos.index("other")]
        same("other", (31, 1, 2), counts(other, "tags", "manifests", "blobs"))
        same("pattern", [n for n in repos if re.fullmatch("team/[^/]*", n)],
             [i["repository"] for i in s.admin("repos", "team/*")[:-1]])
        items, sizes = pages(s, "repositories", n=7, pattern="team/**")
        same("pages", ([n for n in repos if n != "other"], [7, 7, 7, 5]), ([i["repository"] for i in items], sizes))
        items, sizes = pages(s, "tags", repository="other", n=8)
        tags = sorted(["latest", *(f"t{n}" for n in range(30))])
        same("tags", (tags, [8, 8, 8, 7]), ([i["tag"] for i in items], sizes))
        same("the same by command", items, s.admin("tags", "other")[:-1])
        same("one tag", [{"digest": tagged(s, "other", "t7"), "mediaType": r.OCI_MANIFEST, "repository": "other", "tag": "t7"}],
             [{k: i[k] for k in ("digest", "mediaType", "repository", "tag")} for i in s.admin("tags", "other", "t7")[:-1]])
        same("bytes of all of it", len(CONFIG) + len(b"shared") + items[0]["size"], items[0]["total"])
        same("not pulled", [], [i for i in items if "pulled" in i])
        *first, end = s.admin("tags", "other", "--n=3")
        same("a part by command", (tags[:3], tags[2]), ([i["tag"] for i in first], end["next"]))
        same("and on", tags[3:], [i["tag"] for i in s.admin("tags", "other", f"--last={end['next']}")[:-1]])
        s.request("GET", "/v2/other/manifests/t7")
        same("SIGTERM", 0, s.stop())
        same("pulled, told without a daemon", ["t7"], [i["tag"] for i in s.admin("tags", "other")[:-1] if "pulled" in i])


@case("inspect: platform, labels, parts, who has it, and the bytes that nothing else has")
def inspect():
    with r.Daemon(*QUIET) as s:
        root, signed, signature = tree(s, "i", "v1")
        got = s.admin("inspect", "i:v1")[0]
        same("index", (root, r.OCI_INDEX, ["v1"], [], 2), (got["digest"], got["mediaType"], got["tags"], got["holders"],
                                                          len(got["manifests"])))
        all_bytes = sum(f.stat().st_size for f in (s.root / "blobs").glob("*/*/*"))
        same("all of it would go", all_bytes, got["unique"])
        put(s, "i", "v2", json.loads(manifest(s, "i", "v1")))
        same("nothing would go with one of two tags", 0, s.admin("inspect", "i:v1")[0]["unique"])
        same("nor with the child", 0, s.admin("inspect", f"i@{signed}")[0]["unique"])
        same("but with the manifest", all_bytes, s.admin("inspect", f"i@{root}")[0]["unique"])
        child = s.admin("inspect", f"i@{signed}")[0]
        same("child", ([root], [signature], {"os": "linux", "architecture": "arm64", "variant": "v8"}, {"a": "b"}, "2026-01-02T03:04:05Z"),
             (child["holders"], [d["digest"] for d in child["referrers"]], child["platform"], child["labels"], child["imageCreated"]))
        same("subject", signed, s.admin("inspect", f"i@{signature}")[0]["subject"])
        push(s, "j", "x", b"layer 0 of v1")
        same("also in", ["j"], s.admin("inspect", f"i@{signed}")[0]["repositories"])
        shared = len(manifest(s, "j", "x")) + len(CONFIG) + len(b"layer 0 of v1")
        same("what another repository has does not come back", all_bytes - shared, s.admin("inspect", f"i@{root}")[0]["unique"])
        same("by HTTP", s.admin("inspect", "i:v1")[0], api(s, "GET", "content", reference="i:v1").json())
        same("a repository", s.admin("repos", "i")[0], s.admin("inspect", "i")[0])
        s.push_blob("odd", ansi := json.dumps({"os": "a\x1b[2J", "config": {"Labels": {"\x1b]0;x\x07": "\u009b31m\n"}}}).encode())
        put(s, "odd", "v0", r.image(ansi))
        shown = subprocess.run([r.BERTHD, "inspect", "odd:v0", "--root", str(s.root)], capture_output=True, text=True, check=True).stdout
        same("nothing that a terminal acts on", ([], True), (re.findall("[^\n\x20-\x7e]", shown), "?]0;x?=?31m?" in shown))
        s.push_blob("odd", b"no json")
        put(s, "odd", "v1", r.image(b"no json"))
        same("a config that is no JSON", False, "platform" in s.admin("inspect", "odd:v1")[0])
        s.admin("inspect", "i:none", want=1)
        same("what is not there", True, "no tag none in i" in s.admin_error)


@case("rm: a tag, a manifest, a blob, a whole repository, which all come back from the trash")
def rm():
    with r.Daemon(*QUIET) as s:
        root, signed, _ = tree(s, "d", "v1")
        put(s, "d", "v2", json.loads(manifest(s, "d", "v1")))
        s.push_blob("d", b"lonely")
        s.admin("rm", "d:v1")
        same("tags", (None, root), (tagged(s, "d", "v1"), tagged(s, "d", "v2")))
        s.admin("rm", f"d@{r.sha256(b'lonely')}")
        same("blob", 404, s.request("HEAD", f"/v2/d/blobs/{r.sha256(b'lonely')}").status)
        s.admin("rm", f"d@{r.sha256(CONFIG)}", want=1)
        same("a blob in use stays", 200, s.request("HEAD", f"/v2/d/blobs/{r.sha256(CONFIG)}").status)
        s.admin("rm", "d", want=1)
        same("not whole by mistake", (True, root), ("recursive" in s.admin_error, tagged(s, "d", "v2")))
        same("HTTP 409", 409, api(s, "DELETE", "content", reference="d").status)
        before = history.view(s, s.blob_files())
        same("HTTP 200", 200, api(s, "DELETE", "content", reference="d", recursive="true").status)
        same("catalog", [], s.request("GET", "/v2/_catalog").json()["repositories"])
        s.admin("trash", "restore", "d:v2")
        whole(s, "d", "v2")
        for item in s.admin("trash", "ls")[:-1]:
            if item["what"] == "manifest":
                s.admin("trash", "restore", str(item["id"]))
        same("all as before", before, history.view(s, s.blob_files()))
        clean(s)


@case("cp: indexes with children and referrers, a whole repository; no bytes move, twice is once, tags stay unless forced")
def cp():
    with r.Daemon(*QUIET) as s:
        root, signed, signature = tree(s, "c", "v1")
        loose = push(s, "c", None, b"untagged")
        files = s.blob_files()
        same("counts", (1, 5, 4), counts(s.admin("cp", "c:v1", "x/y:new")[0], "tags", "manifests", "blobs"))
        whole(s, "x/y", "new")
        same("referrers", [signature], [d["digest"] for d in s.request("GET", f"/v2/x/y/referrers/{signed}").json()["manifests"]])
        seq = s.admin("history", "x/y")[0]["seq"]
        for _ in range(2):
            same("again: nothing is new", (0, 0, 0), counts(s.admin("cp", "c:v1", "x/y:new")[0], "tags", "manifests", "blobs"))
        same("nor in the history", seq, s.admin("history", "x/y")[0]["seq"])
        same("no new files", files, s.blob_files())
        other = push(s, "x/y", "taken", b"other")
        s.admin("cp", "c:v1", "x/y:taken", want=1)
        same("stays", (True, other), ("force" in s.admin_error, tagged(s, "x/y", "taken")))
        same("HTTP 409", 409, api(s, "POST", "copy", {"from": "c:v1", "to": "x/y:taken"}).status)
        same("forced", 200, api(s, "POST", "copy", {"from": "c:v1", "to": "x/y:taken", "force": True}).status)
        same("moved", root, tagged(s, "x/y", "taken"))
        s.admin("cp", f"c@{loose}", "x/y")
        whole(s, "x/y", loose)
        s.admin("cp", "c:v1", "c:v2")
        s.admin("cp", "c", "all/of/it")
        for reference in ("v1", "v2", loose, signature):
            whole(s, "all/of/it", reference)
        clean(s)


@case("mv: the tag with all of it, its source clean after collection; a repository; what others hold stays")
def mv():
    with r.Daemon(*QUIET) as s:
        root, signed, signature = tree(s, "m", "v1")
        shared = push(s, "m", "keep", b"layer 0 of v1")  # the signed child under a tag of its own
        same("the child", signed, shared)
        s.admin("mv", "m:v1", "n:v1")
        whole(s, "n", "v1")
        whole(s, "n", signature)
        same("source", (None, signed, None), (tagged(s, "m", "v1"), tagged(s, "m", "keep"), manifest(s, "m", root)))
        same("its referrer stays with it", [signature],
             [d["digest"] for d in s.request("GET", f"/v2/m/referrers/{signed}").json()["manifests"]])
        s.admin("mv", "m:v1", "n:v1", want=1)
        same("not twice", True, "no tag v1" in s.admin_error)
        push(s, "m", None, b"loose")
        same("HTTP", 200, api(s, "POST", "move", {"from": "m", "to": "n"}).status)
        same("left of it", (0, 0), counts(s.admin("repos", "m")[0], "tags", "manifests"))
        while any(s.admin("gc")[-1][n] for n in ("manifests", "blobs", "contents")):
            pass
        same("catalog", ["n"], s.request("GET", "/v2/_catalog").json()["repositories"])
        for reference in ("v1", "keep", signature):
            whole(s, "n", reference)
        s.admin("mv", "n:v1", "n:v2")
        same("renamed", (None, root), (tagged(s, "n", "v1"), tagged(s, "n", "v2")))
        s.admin("mv", "n", "n", want=1)
        s.admin("mv", "n:v2", "n:v2", want=1)
        same("onto itself: refused, nothing lost", root, tagged(s, "n", "v2"))
        clean(s)


@case("mv while clients push the same tags: what was acknowledged last is there in the end, under each tag")
def mv_race():
    tags, rounds = [f"t{n}" for n in range(3)], 5
    with r.Daemon(*QUIET) as s:
        acknowledged, failed, stop = {}, [], threading.Event()

        def client(tag):
            c, n = s.connect(), 0
            try:
                while not stop.is_set():
                    n += 1
                    layer = f"{tag} {n}".encode()
                    for data in (CONFIG, layer):
                        s.push_blob("old", data, c)
                    data = json.dumps(r.image(CONFIG, [layer])).encode()
                    a = s.put_manifest("old", tag, data, c, r.OCI_MANIFEST)
                    same(f"push of {tag}", 201, a.status)  # P5: not even while its repository is being moved
                    acknowledged[tag] = r.sha256(data)
            except Exception as e:  # noqa: BLE001 - told below
                failed.append(repr(e))

        threads = [threading.Thread(target=client, args=(tag,)) for tag in tags]
        for t in threads:
            t.start()
        try:
            r.wait_until("all tags", lambda: len(acknowledged) == len(tags) or failed)
            for _ in range(rounds):
                s.admin("mv", "old", "new", "--force", want=None)
                if s.admin_error and "not known" not in s.admin_error and "pushed again" not in s.admin_error:
                    raise AssertionError(s.admin_error)
        finally:
            stop.set()
            for t in threads:
                t.join()
        same("pushes that failed", [], failed)
        s.admin("mv", "old", "new", "--force")
        same("tags", acknowledged, {tag: tagged(s, "new", tag) for tag in tags})
        for tag in tags:
            whole(s, "new", tag)
        same("nothing is left", [], s.request("GET", "/v2/old/tags/list").json()["tags"])
        clean(s)


@case("SIGKILL in the middle of mv: each tag is whole on one side or both; asked for again, it comes to its end")
def mv_killed():
    tags = [f"t{n:02}" for n in range(40)]
    with r.Daemon(*QUIET) as s:
        want = {tag: push(s, "old", tag, tag.encode()) for tag in tags}
        asked = subprocess.Popen([r.BERTHD, "mv", "old", "new", "--root", str(s.root)], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        r.wait_until("some to have moved", lambda: tagged(s, "new", tags[5]))
        s.kill()
        same("the command fails", 1, asked.wait(r.WAIT_S))
        s.start()
        for tag in tags:
            found = {tagged(s, repo, tag) for repo in ("old", "new")} - {None}
            same(tag, {want[tag]}, found)
        clean(s)
        same("SIGTERM", 0, s.stop())
        s.admin("mv", "old", "new")  # by itself, without a daemon
        s.start()
        same("all moved", want, {tag: tagged(s, "new", tag) for tag in tags})
        for tag in tags:
            whole(s, "new", tag)
        clean(s)


@case("history: who, when, from what to what, by client, admin and gc; pages; rollback to any of it, out of the trash")
def rollback():
    retention = '--retention=[{repositories: "old/**", keep_last: 1}]'
    with r.Daemon(*QUIET, retention) as s:
        a, b, c = (push(s, "h", "v", x) for x in (b"a", b"b", b"c"))
        push(s, "h", "v", b"c")
        s.request("DELETE", "/v2/h/manifests/v")
        *events, _ = s.admin("history", "h:v")
        same("newest first", [None, c, c, b, a], digests_of(events))
        same("from", [c, c, b, a, None], [e.get("from") for e in events])
        same("numbers", [0, 1, 2, 3, 4], [e["back"] for e in events])
        items, sizes = pages(s, "history", reference="h:v", n=2)
        same("pages", (events, [2, 2, 1]), (items, sizes))
        s.admin("gc")
        same("collected", None, manifest(s, "h", a))
        got = s.admin("rollback", "h:v")[0]
        same("to what it was before it went", (c, True), (got["to"], got["restored"]))
        got = s.admin("rollback", "h:v")[0]
        same("and before that", (b, True, True), (got["to"], got["restored"], got["moved"]))
        whole(s, "h", "v")
        same("to a digest", a, s.admin("rollback", "h:v", f"--to={a}")[0]["to"])
        same("again", False, s.admin("rollback", "h:v", f"--to={a}")[0]["moved"])
        whole(s, "h", "v")
        number = next(e["back"] for e in s.admin("history", "h:v") if e.get("to") == b)
        same("to a number", b, api(s, "POST", "rollback", {"reference": "h:v", "to": str(number)}).json()["to"])
        last = s.admin("history", "h:v")[:2]
        same("who", [("admin", None), ("admin", "uid:0")], [(e["by"], e.get("who")) for e in last])
        for words in (("h:none",), ("h:v", "--to=999"), ("h:v", f"--to={r.sha256(b'never')}"), ("h",), ("h:v", "--to=x")):
            s.admin("rollback", *words, want=1)
        for n in range(2):
            push(s, "old/x", f"t{n}", b"old")
        s.admin("gc")
        same("gc", [("t0", "gc", None)], [(e["tag"], e["by"], e.get("to")) for e in s.admin("history", "old/x")[:1]])
        s.admin("history", "nobody", want=1)
        # a rebuild makes the index from what the history is read from
        before = s.admin("history", "h")
        same("SIGTERM", 0, s.stop())
        subprocess.run(["rm", "-r", str(s.root / "index")], check=True)
        s.admin("rebuild")
        same("after a rebuild", before, s.admin("history", "h"))
        s.start()
        clean(s)


@case("rollback: content that has left the trash is told, and the tag stays")
def too_late():
    with r.Daemon(*QUIET, "--trash.keep=0s") as s:
        a, b = push(s, "h", "v", b"a"), push(s, "h", "v", b"b")
        s.admin("gc")
        s.admin("rollback", "h:v", want=1)
        same("why", (True, b), ("trash" in s.admin_error, tagged(s, "h", "v")))
        same("HTTP", 404, api(s, "POST", "rollback", {"reference": "h:v", "to": a}).status)


ACCESS = ("--access=[{who: root, repositories: '**', allow: admin}, {who: alice, repositories: 'team/**', allow: admin}, "
          "{who: ops, repositories: _registry, allow: admin}, {who: bob, repositories: '**', allow: [pull, push, delete]}, {who: anonymous, repositories: '**', allow: pull}]")


class Accounts:
    """A daemon with root, alice, bob and ops, whose passwords are secret."""

    def __enter__(self):
        self.s = r.Daemon(*QUIET, ACCESS, "--auth.tokens.enabled=true")
        users = self.s.work / "users"
        for user in ("root", "alice", "bob", "ops"):
            subprocess.run([r.BERTHD, "user", "add", user, f"--auth.htpasswd={users}", "--cost=5"], input=b"secret", check=True,
                           capture_output=True)
        self.s.options += (f"--auth.htpasswd={users}",)
        self.s.start()
        return self.s

    def __exit__(self, *failure):
        self.s.__exit__(*failure)


def as_user(user):
    return {"Authorization": r.basic(f"{user}:secret")}


@case("with accounts: /api/v1 is for administrators of what is named, and the history names them")
def accounts():
    with Accounts() as s:
        s.user = "bob:secret"
        a = push(s, "team/app", "v1", b"a")
        push(s, "team/app", "v1", b"b")
        push(s, "else", "v1", b"c")
        s.user = None
        one = {"reference": "team/app:v1"}
        for user, path, query, want in (
                (None, "stats", {}, 401), ("bob", "stats", {}, 403), ("alice", "stats", {}, 403), ("root", "stats", {}, 200), ("ops", "stats", {}, 200),
                ("ops", "content", one, 403),
                (None, "content", one, 401), ("bob", "content", one, 403), ("alice", "content", one, 200),
                ("alice", "content", {"reference": "else:v1"}, 403), ("alice", "content", {"reference": "not/there"}, 403),
                ("alice", "tags", {"repository": "else"}, 403), ("bob", "history", one, 403), ("alice", "history", one, 200),
                (None, "repositories", {}, 401)):
            got = api(s, "GET", path, headers=as_user(user) if user else None, **query)
            same(f"{user} {path} {query}", want, got.status)
        same("Basic is asked for", True, api(s, "GET", "stats").header("WWW-Authenticate").startswith("Basic "))
        for user, want in (("root", ["else", "team/app"]), ("alice", ["team/app"]), ("bob", [])):
            items = api(s, "GET", "repositories", headers=as_user(user)).json()["items"]
            same(f"repositories of {user}", want, [i["repository"] for i in items])
        for body, want in (({"from": "team/app:v1", "to": "else:v9"}, 403), ({"from": "else:v1", "to": "team/x"}, 403),
                           ({"from": "team/app:v1", "to": "team/x"}, 200)):
            for path in ("copy", "move") if want == 403 else ("copy",):
                same(f"{path} {body}", want, api(s, "POST", path, body, as_user("alice")).status)
        same("rollback", 200, api(s, "POST", "rollback", {"reference": "team/app:v1"}, as_user("alice")).status)
        same("where it points", a, api(s, "GET", "content", headers=as_user("alice"), **one).json()["digest"])
        same("who did what", [("admin", "user:alice"), ("client", "user:bob"), ("client", "user:bob")],
             [(e["by"], e["who"]) for e in s.admin("history", "team/app:v1")[:-1]])
        same("not to others", 403, api(s, "DELETE", "content", headers=as_user("bob"), **one).status)
        same("removed", 200, api(s, "DELETE", "content", headers=as_user("alice"), **one).status)
        same("the log tells", True, bool(re.search(r"ev=audit result=allow action=admin .*who=user:alice repository=team/app", s.log_text())))
        a = s.request("GET", "/token?scope=repository:team/app:admin&service=berthd", headers=as_user("alice"))
        same('token', 200, a.status)
        token = {"Authorization": f"Bearer {a.json()['token']}"}
        same("a token for it", 200, api(s, "GET", "tags", headers=token, repository="team/app").status)
        same("is for nothing else", 401, api(s, "GET", "tags", headers=token, repository="team/x").status)
        records = [json.loads(line) for line in (s.root / "reflog/1.jsonl").read_text().splitlines()]
        same("every record has a name", [], [x for x in records if not x.get("who", "").startswith("user:")])


@case("without accounts: for processes of this machine only, whatever a web page, a proxy or another host tries")
def nearby():
    with r.Daemon(*QUIET, "--http.insecure=true", "--listen=0.0.0.0:0") as s:
        s.host = "127.0.0.1"
        push(s, "a", "v1", b"a")
        same("from here", 200, api(s, "GET", "stats").status)
        for host in (f"localhost:{s.port}", f"127.0.0.1:{s.port}", "127.9.9.9", "LOCALHOST"):
            same(f"Host: {host}", 200, api(s, "GET", "stats", headers={"Host": host}).status)
        for name, value in (("Host", "evil.example"), ("Host", f"evil.example:{s.port}"), ("Host", "127.0.0.1.evil.example"),
                            ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "9.9.9.9"), ("Forwarded", "for=9.9.9.9"),
                            ("Via", "1.1 proxy"), ("Origin", "http://evil.example"), ("Origin", "null")):
            for method, path, body in (("GET", "stats", None), ("POST", "move", {"from": "a", "to": "b"})):
                got = api(s, method, path, body, {name: value})
                same(f"{name}: {value} {path}", (403, ["DENIED"]), (got.status, got.codes()))
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None, "application/jsonp"):
            a = s.request("POST", "/api/v1/move", b'{"from":"a","to":"b"}', {"Content-Type": kind})
            same(f"a form of a page: {kind}", 415, a.status)
        same("nothing moved", ["a"], s.request("GET", "/v2/_catalog").json()["repositories"])
        address = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
        if not address:
            raise Skip("all but the address of another interface was tried: there is none")
        s.host = address[0]
        same("another address", 403, api(s, "GET", "stats", headers={"Host": "localhost"}).status)
        same("where pulls are served", 200, s.request("GET", "/v2/").status)


ODD = ["", ":", "@", "a:", ":v1", "a@", "../x", "a/../b", "A:v1", "a b", "a:v 1", "a\x01", "a:v1@sha256:00", "x" * 300, "a//b", "a:" + "v" * 129,
       "a@sha256:" + "0" * 63, "a@sha512:" + "0" * 64, "é", "a:é", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
       "a%2fb", "a\n", "a:v1\r\nX: y"]


@case("what is no name is refused everywhere with a clear answer; wrong, double and unknown arguments too")
def odd():
    with r.Daemon(*QUIET) as s:
        push(s, "a", "v1", b"a")
        for name in ODD:
            for command in (("inspect", name), ("rm", name), ("history", name), ("rollback", name), ("cp", name, "b"), ("mv", "a:v1", name),
                            ("tags", name)):
                if "\0" in name:
                    continue
                s.admin(*command, want=1)
                same(f"{command}: one line", 1, s.admin_error.count("\n"))
            got = api(s, "GET", "content", reference=name)
            same(f"HTTP {name!r}", (400, ["INVALID_REQUEST"]), (got.status, got.codes()))
        for query in ("", "?reference=a&reference=a", "?reference=a&x=1", "?reference=%00", "?reference=a%ff", "?Reference=a"):
            same(f"content{query}", 400, s.request("GET", f"/api/v1/content{query}").status)
        for query in ("n=0", "n=-1", "n=x", "n=99999999999999999999", "last=-", "pattern=", "pattern=[a]", "pattern=a//b"):
            same(query, 400, s.request("GET", f"/api/v1/repositories?{query}").status)
        for body in (b"", b"[]", b"{", b'{"from":1,"to":"b"}', b'{"from":"a"}', b'{"from":"a","to":"b","x":1}', b'{"from":"a","from":"a","to":"b"}',
                     b'{"from":"a","to":"b","force":"true"}', b'{"from":"a","to":{"a":{"a":{}}}}', b'{"from":"a\\u0000","to":"b"}'):
            a = s.request("POST", "/api/v1/copy", body, {"Content-Type": "application/json"})
            same(f"{body}", (400, ["INVALID_REQUEST"]), (a.status, a.codes()))
        a = s.request("POST", "/api/v1/copy", b'{"from":"' + b"a" * 70000, {"Content-Type": "application/json"})
        same("too long", 413, a.status)
        for method, path in (("POST", "stats"), ("PUT", "content"), ("GET", "copy"), ("DELETE", "tags")):
            same(f"{method} {path}", 405, api(s, method, path).status)
        for path in ("", "nothing", "stats/", "../v1/stats"):
            same(f"/api/v1/{path}", 404, s.request("GET", f"/api/v1/{path}").status)
        same("nothing happened", {"a": ["v1"]}, {n: s.request("GET", f"/v2/{n}/tags/list").json()["tags"]
                                                 for n in s.request("GET", "/v2/_catalog").json()["repositories"]})


@case("long lists take a page's memory, and pushes are served beside as many administrators as there can be")
def bounded():
    n = 3000
    with r.Daemon(*QUIET, "--list.page_max=1000", "--workers=4") as s:
        c = s.connect()
        for data in (CONFIG, b"l"):
            s.push_blob("big", data, c)
        data = json.dumps(r.image(CONFIG, [b"l"])).encode()
        for at in range(0, n, 50):
            query = "&".join(f"tag=t{i:05}" for i in range(at, at + 50))
            a = s.request("PUT", f"/v2/big/manifests/{r.sha256(data)}?{query}", data, {"Content-Type": r.OCI_MANIFEST}, c)
            same("push", 201, a.status)
        c.close()
        items, sizes = pages(s, "tags", repository="big", n=10 ** 18)
        same("n is bounded", ([1000, 1000, 1000], n), (sizes, len({i["tag"] for i in items})))
        before = r.anonymous_memory(s)
        statuses, lock = [], threading.Lock()

        def ask():
            for _ in range(5):
                a = api(s, "GET", "tags", repository="big", n=1000)
                with lock:
                    statuses.append(a.status)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        pushed = [s.put_manifest("big", f"p{i}", data, media=r.OCI_MANIFEST).status for i in range(20)]
        for t in threads:
            t.join()
        same("pushes", {201}, set(pushed))
        same("administrators are served, or told to wait", {200, 429} | set(statuses), {200, 429})
        grown = r.anonymous_memory(s) - before
        print(f"# {statuses.count(200)} of {len(statuses)} served at once, memory grew by {grown >> 10} KiB")
        same("memory", True, grown < 64 << 20 or bool(os.environ.get("BERTH_SLOW")))  # sanitizers keep what was freed


tap.main()
