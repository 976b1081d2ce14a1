#!/usr/bin/env python3
"""fsck and scrub on files that are not as they should be: each fault is found by its name, repair mends what it says, and damaged
bytes are not served.  Rows of the index are tests/unit/test_fsck.c's."""
import json
import pathlib
import random
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import history  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

QUIET = ("--gc.enabled=false", "--scrub.rate=0")
LAYERS = {name: name.encode() * 1000 for name in ("flipped", "short", "missing", "sound")}


def overwrite(path, data):
    """As a disk does it: the same file, other bytes."""
    path.chmod(0o644)
    with open(path, "r+b") as f:
        f.truncate(len(data))
        f.write(data)
    path.chmod(0o444)


def flip(path, bit=13):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    overwrite(path, data)


def planted(s):
    """A registry with one of each fault of files; the bytes of its manifest."""
    for data in (b"{}", *LAYERS.values()):
        s.push_blob("f", data)
    manifest = json.dumps(r.image(b"{}", list(LAYERS.values()))).encode()
    same("manifest", 201, s.put_manifest("f", "v1", manifest, media=r.OCI_MANIFEST).status)
    same("nothing is wrong yet", 0, s.admin("fsck")[-1]["faults"])
    same("SIGTERM", 0, s.stop())
    files = {name: s.blob_file(r.sha256(data)) for name, data in LAYERS.items()}
    flip(files["flipped"])
    overwrite(files["short"], LAYERS["short"][:-1])
    files["missing"].unlink()
    s.blob_file(r.sha256(manifest)).unlink()
    s.blob_file(r.sha256(b"stray")).write_bytes(b"stray")
    (s.root / "blobs/sha256/00/README").write_text("not ours")
    (s.root / "uploads/00000000-0000-4000-8000-000000000000").write_bytes(b"x")
    return manifest


def faults(items):
    return sorted((i["fault"], i["what"]) for i in items if "fault" in i)


def of(name):
    return r.sha256(LAYERS[name])


@case("each planted fault is found by its name, without and with a daemon; repair mends what it says it does")
def found():
    with r.Daemon(*QUIET) as s:
        manifest = planted(s)
        # A start sees to uploads/, and to manifests that were not settled.
        want = [("foreign-file", "sha256/00/README"), ("missing-file", of("missing")), ("missing-file", r.sha256(manifest)),
                ("stray-file", r.sha256(b"stray")), ("wrong-size", of("short"))]
        offline = s.admin("fsck", want=1)
        same("offline", sorted(want), faults(offline))
        s.start()
        same("online", sorted(want), faults(s.admin("fsck", want=1)))
        same("never served", {"short": 500, "missing": 500, "sound": 200},
             {n: s.request("GET", f"/v2/f/blobs/{of(n)}").status for n in ("short", "missing", "sound")})
        repaired = {(i["fault"], i["what"]) for i in s.admin("fsck", "--repair", want=1)
                    if "fault" in i and i["repaired"]}
        same("repaired", {("missing-file", r.sha256(manifest)), ("stray-file", r.sha256(b"stray"))}, repaired)
        same("left", [w for w in sorted(want) if w not in repaired], faults(s.admin("fsck", want=1)))
        same("the manifest's file", manifest, s.blob_file(r.sha256(manifest)).read_bytes())
        same("the stray is kept for a while", b"stray", next((s.root / "trash").iterdir()).read_bytes())
        same("HEAD makes the client push it", 404, s.request("HEAD", f"/v2/f/blobs/{of('missing')}").status)
        for name in ("short", "missing"):
            s.push_blob("f", LAYERS[name])
            same(f"{name} again", LAYERS[name], s.request("GET", f"/v2/f/blobs/{of(name)}").body)
        (s.root / "blobs/sha256/00/README").unlink()
        same("clean", 0, s.admin("fsck")[-1]["faults"])


@case("scrub finds the flipped bit, which no size tells; the blob answers 500 until it is pushed again")
def scrubbed():
    with r.Daemon(*QUIET) as s:
        planted(s)
        s.start()
        got = s.admin("scrub", want=1)
        same("damaged", {of("flipped"), of("short"), of("missing")}, {i["digest"] for i in got if "digest" in i and not i["healed"]})
        a = s.request("GET", f"/v2/f/blobs/{of('flipped')}")
        same("GET", (500, True), (a.status, "damaged" in a.json()["errors"][0]["message"]))
        same("HEAD", 404, s.request("HEAD", f"/v2/f/blobs/{of('flipped')}").status)
        same("a range", 500, s.request("GET", f"/v2/f/blobs/{of('flipped')}", headers={"Range": "bytes=100-200"}).status)
        same("no mount", 202, s.request("POST", f"/v2/g/blobs/uploads/?mount={of('flipped')}&from=f", b"").status)
        same("named by fsck", True, ("damaged-file", of("flipped")) in faults(s.admin("fsck", want=1)))
        same("SIGTERM", 0, s.stop())
        s.start()
        same("remembered", 500, s.request("GET", f"/v2/f/blobs/{of('flipped')}").status)
        for name in LAYERS:
            s.push_blob("f", LAYERS[name])
            same(f"{name} again", LAYERS[name], s.request("GET", f"/v2/f/blobs/{of(name)}").body)
        same("sound", 0, s.admin("scrub")[-1]["damaged"])


@case("the background scrub finds it by itself, goes on after a restart where it was, and says so in the log")
def background():
    with r.Daemon("--gc.enabled=false", "--scrub.rate=1G", "--scrub.interval=1s") as s:
        s.push_blob("b", data := b"x" * 100_000)
        r.wait_until("a round", lambda: s.admin("scrub", "status")[-1]["round"]["ended"])
        flip(s.blob_file(r.sha256(data)))
        r.wait_until("the damage to be found", lambda: s.request("GET", f"/v2/b/blobs/{r.sha256(data)}").status == 500)
        same("in the log", True, "scrub.damaged" in s.log_text())
        same("status", True, s.admin("scrub", "status")[-1]["damaged"] > 0)
        flip(s.blob_file(r.sha256(data)))  # as it was
        r.wait_until("it to be found whole again", lambda: s.request("GET", f"/v2/b/blobs/{r.sha256(data)}").status == 200)
        same("SIGTERM", 0, s.stop())
        s.start()
        same("the last round is known", True, bool(s.admin("scrub", "status")[-1]["round"]["started"]))


@case("beside clients that push, delete and collect, fsck finds nothing wrong")
def beside():
    with r.Daemon("--gc.interval=1s", "--gc.lease=0s", "--gc.untagged_keep=0s", "--gc.max_share=100", "--trash.keep=1s") as s:
        stop, failures = threading.Event(), []

        def work(seed):
            rng = random.Random(seed)
            while not stop.is_set():
                try:
                    history.History(rng).run(s, 5)  # forgets what it pushed: others collect it
                except AssertionError as e:
                    if "MANIFEST_BLOB_UNKNOWN" not in str(e) and "MANIFEST_UNKNOWN" not in str(e):
                        failures.append(e)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        try:
            for _ in range(20):
                same("faults", [], faults(s.admin("fsck")))
        finally:
            stop.set()
            for t in threads:
                t.join()
        same("workers", [], failures)


if __name__ == "__main__":
    tap.main()
