#!/usr/bin/env python3
"""Collection while the registry serves: what goes, what stays, what can be had back."""
import json
import os
import pathlib
import stat
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

# Cycles run when a test asks for them; nothing is safe but for what refers to it.
AT_ONCE = ("--gc.enabled=false", "--gc.lease=0s", "--gc.untagged_keep=0s", "--gc.max_share=100")
NO_TRASH = ("--trash.keep=0s",)
SHORT_LEASE_S = 3


def push(s, repo, tag, layer, **more):
    """An image of one layer; the bytes of its manifest."""
    for data in (b"{}", layer):
        s.push_blob(repo, data)
    data = json.dumps(r.image(b"{}", [layer], **more)).encode()
    a = s.put_manifest(repo, tag or r.sha256(data), data, media=r.OCI_MANIFEST)
    assert a.status == 201, f"push: {a.status} {a.body!r}"
    return data


def collect(s, *words):
    return s.admin("gc", *words)[-1]


def settled(s):
    """Cycles until there is nothing to do: what one leaves without a holder is the next one's."""
    done = [collect(s)]
    while any(done[-1][n] for n in ("tags", "manifests", "blobs", "contents", "trash")):
        done.append(collect(s))
    return done


def status(s, path):
    return s.request("HEAD", path).status


def whole(s, repo, reference, manifest):
    a = s.request("GET", f"/v2/{repo}/manifests/{reference}")
    same(f"manifest {reference}", (200, manifest), (a.status, a.body))
    for d in [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]:
        b = s.request("GET", f"/v2/{repo}/blobs/{d['digest']}")
        same(f"blob {d['digest']}", (200, d["digest"]), (b.status, r.sha256(b.body)))


def used(path):
    return sum(f.stat().st_blocks * 512 for f in path.rglob("*") if f.is_file())


@case("a tag that moves leaves its manifest to collection, with the layers that nothing else has; files and repositories go too")
def moves():
    with r.Daemon(*AT_ONCE, *NO_TRASH) as s:
        old, new = push(s, "m", "latest", b"old"), push(s, "m", "latest", b"new")
        push(s, "empty", None, b"shared")
        push(s, "other", "v1", b"shared")
        settled(s)
        same("the old manifest", 404, status(s, f"/v2/m/manifests/{r.sha256(old)}"))
        whole(s, "m", "latest", new)
        whole(s, "other", "v1", push(s, "other", "v1", b"shared"))
        same("files", {r.sha256(x) for x in (new, b"{}", b"new", b"shared", json.dumps(r.image(b"{}", [b"shared"])).encode())},
             s.blob_files())
        same("repositories", ["m", "other"], s.request("GET", "/v2/_catalog").json()["repositories"])
        same("faults", 0, s.admin("fsck")[-1]["faults"])


@case("without the option, manifests without a tag stay; children of an index and referrers live as long as what has them")
def kept():
    with r.Daemon("--gc.enabled=false", "--gc.lease=0s", "--gc.max_share=100", *NO_TRASH) as s:
        untagged = push(s, "k", None, b"untagged")
        settled(s)
        whole(s, "k", r.sha256(untagged), untagged)
    with r.Daemon(*AT_ONCE, *NO_TRASH) as s:
        child = push(s, "k", None, b"child")
        index = json.dumps(r.index([(r.OCI_MANIFEST, child)])).encode()
        same("index", 201, s.put_manifest("k", "v1", index, media=r.OCI_INDEX).status)
        signature = push(s, "k", None, b"signature", subject=r.descriptor(r.OCI_MANIFEST, child))
        of_signature = push(s, "k", None, b"of it", subject=r.descriptor(r.OCI_MANIFEST, signature))
        settled(s)
        for data in (child, signature, of_signature):
            whole(s, "k", r.sha256(data), data)
        same("tag gone", 202, s.request("DELETE", "/v2/k/manifests/v1").status)
        settled(s)
        same("all gone", set(), s.blob_files())
        same("referrers", [], s.request("GET", f"/v2/k/referrers/{r.sha256(child)}").json()["manifests"])


@case("when the rules change, what the old ones kept is looked at again")
def new_rules():
    with r.Daemon("--gc.enabled=false", "--gc.lease=0s", "--gc.max_share=100", *NO_TRASH) as s:
        data = push(s, "n", None, b"untagged")
        same("kept", 1, collect(s)["kept"])
        same("kept for good", 0, collect(s)["kept"])
        for keep, gone in (("1h", False), ("0s", True)):
            same("SIGTERM", 0, s.stop())
            s.options = ("--gc.enabled=false", "--gc.lease=0s", f"--gc.untagged_keep={keep}", "--gc.max_share=100", *NO_TRASH)
            s.start()
            settled(s)
            same(f"after {keep}", 404 if gone else 200, status(s, f"/v2/n/manifests/{r.sha256(data)}"))


@case("a HEAD with the answer 200 keeps a blob for the lease time, across an end in order and a SIGKILL")
def head_race():
    options = ("--gc.enabled=false", "--gc.lease=1h", "--gc.untagged_keep=0s", "--gc.max_share=100", *NO_TRASH)
    for end in ("none", "stop", "kill"):
        with r.Daemon("--gc.enabled=false", "--gc.lease=0s", *NO_TRASH) as s:
            s.push_blob("h", b"{}")
            s.push_blob("h", b"layer")  # due at once: no lease when it was pushed
            same("SIGTERM", 0, s.stop())
            s.options = options
            s.start()
            if end == "none":  # within the lease of all that follows a start, so give it up to show the other one
                same("SIGTERM", 0, s.stop())
                s.options = ("--gc.enabled=false", f"--gc.lease={SHORT_LEASE_S}s", "--gc.max_share=100", *NO_TRASH)
                s.start()
                r.wait_until("the lease of the start to end", lambda: s.admin("gc", "--dry-run")[-1]["leased"] == 0)
            began = time.monotonic()
            for data in (b"{}", b"layer"):
                same("HEAD", 200, status(s, f"/v2/h/blobs/{r.sha256(data)}"))
            if end != "none":
                getattr(s, end)()
                s.start()
            got = collect(s)
            if end == "none" and time.monotonic() - began > SHORT_LEASE_S:
                raise tap.Skip("too slow a machine for a lease of a few seconds")
            same(f"{end}: nothing was collected, for clients", (0, 2), (got["blobs"], got["leased"]))
            whole(s, "h", "v1", push_manifest(s, "h", "v1", b"layer"))


def push_manifest(s, repo, tag, layer):
    data = json.dumps(r.image(b"{}", [layer])).encode()
    a = s.put_manifest(repo, tag, data, media=r.OCI_MANIFEST)
    same("manifest PUT within the lease", 201, a.status)
    return data


@case("trash: a deleted tag, manifest, index or blob comes back whole, by number or name, also after collection and a restart")
def trash():
    with r.Daemon(*AT_ONCE) as s:
        child = push(s, "t", "child", b"layer")
        index = json.dumps(r.index([(r.OCI_MANIFEST, child)])).encode()
        same("index", 201, s.put_manifest("t", "multi", index, media=r.OCI_INDEX).status)
        s.push_blob("t", b"alone")
        for path in ("manifests/multi", "manifests/child", f"manifests/{r.sha256(index)}", f"manifests/{r.sha256(child)}",
                     f"blobs/{r.sha256(b'alone')}"):
            same(path, 202, s.request("DELETE", f"/v2/t/{path}").status)
        settled(s)
        same("gone", 404, status(s, f"/v2/t/manifests/{r.sha256(child)}"))
        same("no repository", [], s.request("GET", "/v2/_catalog").json()["repositories"])
        same("SIGTERM", 0, s.stop())
        s.start()
        listed = s.admin("trash", "ls")
        same("by whom", {"client", "gc"}, {i["by"] for i in listed if "by" in i})
        s.admin("trash", "restore", f"t@{r.sha256(index)}")
        whole(s, "t", r.sha256(child), child)
        same("index", index, s.request("GET", f"/v2/t/manifests/{r.sha256(index)}").body)
        s.admin("trash", "restore", "t:multi")
        same("tag", index, s.request("GET", "/v2/t/manifests/multi").body)
        alone = next(i for i in listed if i.get("digest") == r.sha256(b"alone"))
        s.admin("trash", "restore", str(alone["id"]))
        same("blob", b"alone", s.request("GET", f"/v2/t/blobs/{r.sha256(b'alone')}").body)
        push(s, "t", "child", b"another")
        s.admin("trash", "restore", "t:child", want=1)  # the name is taken
        s.admin("trash", "restore", "999999", want=1)
        s.admin("trash", "empty")
        same("empty", [{"items": 0}], s.admin("trash", "ls"))
        same("faults", 0, s.admin("fsck")[-1]["faults"])


@case("trash: over after its time, and then the space comes back")
def trash_ends():
    with r.Daemon(*AT_ONCE, "--trash.keep=1s") as s:
        data = push(s, "t", "v1", b"x" * 100_000)
        same("deleted", 202, s.request("DELETE", f"/v2/t/manifests/{r.sha256(data)}").status)
        collect(s)
        same("still there", True, s.blob_file(r.sha256(b"x" * 100_000)).exists())
        r.wait_until("the trash to end", lambda: settled(s) and not s.blob_files())
        same("the trash", [{"items": 0}], s.admin("trash", "ls"))


@case("the brake: a cycle that would remove more than gc.max_share stops, says so, and goes on when it is confirmed")
def brake():
    with r.Daemon("--gc.enabled=false", "--gc.lease=0s", "--gc.untagged_keep=0s", *NO_TRASH) as s:
        kept = push(s, "b", "v1", b"k" * 1000)
        for n in range(5):
            push(s, "b", None, b"%d" % n * 2000)
        before = s.blob_files()
        got = s.admin("gc", want=1)[-1]
        same("braked", (True, True), (got["braked"], got["share"] > 30))
        same("nothing went", before, s.blob_files())
        same("status", True, s.admin("gc", "status")[-1]["braked"])
        same("confirmed", 5, collect(s, "--confirm")["manifests"])
        whole(s, "b", "v1", kept)


@case("a dry run tells what the cycle then does, with sizes and reasons, and changes nothing")
def dry_run():
    with r.Daemon(*AT_ONCE, *NO_TRASH) as s:
        push(s, "d", "v1", b"kept")
        gone = push(s, "d", None, b"gone")
        before = s.blob_files()
        *told, total = s.admin("gc", "--dry-run")
        same("told", [("manifest", "d", r.sha256(gone), len(gone), "no tag, index or subject refers to it")],
             [(i["what"], i["repository"], i["digest"], i["size"], i["reason"]) for i in told if i["removes"]])
        same("unchanged", before, s.blob_files())
        done = [i for i in s.admin("gc", "--verbose") if i.get("removes") and i["what"] == "manifest"]
        same("done", [i["digest"] for i in told if i["removes"]], [i["digest"] for i in done])
        same("sum", 1, total["manifests"])


@case("retention: the last N tags, patterns, and a time for manifests without a tag, by repository")
def retention():
    rules = """
gc:
  enabled: false
  lease: 0s
  max_share: 100
trash:
  keep: 0s
retention:
  - repositories: ["team/*"]
    keep_last: 2
    keep_tags: ["v*"]
    untagged_keep: 0s
  - repositories: ["**"]
"""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(rules)
        f.flush()
        with r.Daemon("--config", f.name) as s:
            manifests = {}
            for tag in ("v1", "a", "b", "c", "d"):
                for repo in ("team/x", "free"):
                    manifests[repo, tag] = push(s, repo, tag, f"{repo} {tag}".encode())
            told = {(i["repository"], i["tag"]): i for i in s.admin("gc", "--dry-run") if i.get("what") == "tag"}
            same("told to go", {("team/x", "a"), ("team/x", "b")}, {k for k, i in told.items() if i["removes"]})
            same("each with its reason", True, all(i["reason"] for i in told.values()))
            settled(s)
            same("tags", ["c", "d", "v1"], s.request("GET", "/v2/team/x/tags/list").json()["tags"])
            same("elsewhere", 5, len(s.request("GET", "/v2/free/tags/list").json()["tags"]))
            same("manifest", 404, status(s, f"/v2/team/x/manifests/{r.sha256(manifests['team/x', 'a'])}"))
            whole(s, "team/x", "v1", manifests["team/x", "v1"])


@case("ten rounds of push and collect: the space of what went is used again, in blobs and in the index")
def space():
    with r.Daemon(*AT_ONCE, *NO_TRASH, "--index.map_size=4M") as s:
        push(s, "s", "kept", b"kept")
        settled(s)
        level, index = used(s.root / "blobs"), []
        for round_ in range(10):
            c = s.connect()
            for n in range(60):
                s.push_blob("s", config := json.dumps({"n": n, "round": round_}).encode(), c)
                s.push_blob("s", os.urandom(4096), c)
                same("pushed", 201, s.put_manifest("s", r.sha256(data := json.dumps(r.image(config)).encode()), data, c,
                                                   r.OCI_MANIFEST).status)
            c.close()
            settled(s)
            same(f"round {round_}: files", level, used(s.root / "blobs"))
            index.append((s.root / "index/data.mdb").stat().st_size)
        same("the index does not grow", True, index[-1] <= index[2] * 1.1)
        print(f"# index: {index}")


@case("pause, resume and status of a daemon that collects by itself")
def pauses():
    with r.Daemon("--gc.interval=1s", "--gc.lease=0s", "--gc.untagged_keep=0s", "--gc.max_share=100", *NO_TRASH) as s:
        r.wait_until("a cycle", lambda: s.admin("gc", "status")[-1]["cycles"] > 0)
        same("paused", True, s.admin("gc", "pause")[-1]["paused"])
        cycles = s.admin("gc", "status")[-1]["cycles"]
        push(s, "p", None, b"x")
        same("asked for, it runs all the same", 1, collect(s)["manifests"])
        push(s, "p", None, b"y")
        same("resumed", False, s.admin("gc", "resume")[-1]["paused"])
        r.wait_until("the garbage to go", lambda: not s.blob_files())
        same("cycles", True, s.admin("gc", "status")[-1]["cycles"] > cycles)


@case("the administrators' socket is for the owner of the daemon only; without a daemon the root is worked on directly")
def admin():
    with r.Daemon(*AT_ONCE, *NO_TRASH) as s:
        mode = (s.root / "admin.sock").stat().st_mode
        same("socket", (True, 0o600), (stat.S_ISSOCK(mode), stat.S_IMODE(mode)))
        push(s, "a", None, b"x")
        same("SIGTERM", 0, s.stop())
        same("no socket", False, (s.root / "admin.sock").exists())
        settled(s)
        same("gone", set(), s.blob_files())
        s.start()
        s.kill()
        same("a socket that was left behind", 0, s.admin("fsck")[-1]["faults"])


@case("upload sessions that idle are removed with their bytes")
def uploads():
    with r.Daemon("--uploads.idle=1s") as s:
        where = s.open_session("u")
        same("bytes", 202, s.request("PATCH", where, b"x" * 1000, {"Content-Type": "application/octet-stream"}).status)
        same("there", 1, len(list((s.root / "uploads").iterdir())))
        r.wait_until("the session to end", lambda: not list((s.root / "uploads").iterdir()))
        same("gone", 404, s.request("GET", where).status)


if __name__ == "__main__":
    tap.main()
