#!/usr/bin/env python3
"""berthd backup and restore: a copy of a running registry that is a registry itself."""
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import history  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

OPEN = f'--process.writable=["{tempfile.gettempdir()}"]'  # copies go there


def restored(copy):
    """A daemon, not started, on a root that was restored from the copy."""
    s = r.Daemon()
    got = s.admin("restore", str(copy))
    same("damaged", 0, got[-1]["damaged"])
    return s


@case("a copy is the registry of that moment, the second one copies what is new, and a restored one is the same to clients")
def copies():
    rng = random.Random(21)
    work = history.History(rng)
    with r.Daemon(OPEN, "--gc.lease=0s", "--gc.untagged_keep=0s", "--trash.keep=0s", "--gc.interval=1h", "--gc.max_share=100") as s:
        copy = s.work / "copy"
        work.run(s, 200)
        first = s.admin("backup", str(copy))[-1]
        same("how much", (0, first["objects"]), (first["had"], first["cloned"] + first["linked"] + first["copied"]))
        work.run(s, 50)
        s.admin("gc")
        second = s.admin("backup", str(copy))[-1]
        same("what the first had is not copied", True, 0 < second["objects"] - second["had"] < first["objects"])
        same("nor kept without need", True, second["removed"] > 0)
        digests = s.blob_files()
        now = history.view(s, digests)
        same("the copy's files", digests, {f"{f.parent.parent.name}:{f.name}" for f in (copy / "blobs").glob("*/*/*")})
        history.History(rng).run(s, 50)  # the copy is of its moment
        with restored(copy) as t:
            same("the view of clients", now, history.view(t, digests))
            same("faults", 0, t.admin("fsck")[-1]["faults"])
            t.push_blob("h/a", b"new")
        with r.Daemon(root=copy) as t:  # and the copy itself serves as well
            same("the view of clients", now, history.view(t, digests))


@case("on another file system the files are copied, of a registry that is written to meanwhile")
def across():
    if os.geteuid() != 0:
        raise tap.Skip("needs root to mount a file system")
    with r.Daemon(OPEN, "--gc.interval=1h") as s:
        disk = pathlib.Path(tempfile.mkdtemp(prefix="berth-copy-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512M", "tmpfs", disk], check=True)
        try:
            stop, pushed = threading.Event(), []

            def push():
                while not stop.is_set():
                    s.push_blob("busy", config := os.urandom(2000))
                    data = s.put_manifest("busy", f"t{len(pushed)}", r.image(config))
                    assert data.status == 201
                    pushed.append(data.header("Docker-Content-Digest"))

            writer = threading.Thread(target=push)
            writer.start()
            try:
                r.wait_until("pushes", lambda: len(pushed) > 50)
                before = len(pushed)
                got = s.admin("backup", str(disk / "copy"))[-1]
            finally:
                stop.set()
                writer.join()
            same("copied", (got["objects"], 0), (got["copied"], got["linked"]))
            with restored(disk / "copy") as t:
                tags = history.pages(t, "/v2/busy/tags/list", "tags")
                same("all that was there when it began", [], sorted({f"t{n}" for n in range(before)} - set(tags)))
                for tag in tags:
                    same(tag, 200, t.request("GET", f"/v2/busy/manifests/{tag}").status)
                same("faults", 0, t.admin("fsck")[-1]["faults"])
        finally:
            subprocess.run(["umount", disk], check=True)
            disk.rmdir()


@case("a damaged copy is told of and not installed; on request the rest is, and the damaged blob is never served")
def damaged():
    with r.Daemon(OPEN, "--gc.interval=1h") as s:
        bad, good = b"x" * 5000, b"y" * 5000
        for data in (bad, good):
            s.push_blob("d", data)
        same("tagged", 201, s.put_manifest("d", "v1", r.image(good, [bad])).status)
        copy = s.work / "copy"
        s.admin("backup", str(copy))
        algorithm, text = r.sha256(bad).split(":")
        path = copy / "blobs" / algorithm / text[:2] / text
        path.unlink()  # it may be a link to the registry's own file
        path.write_bytes(b"z" + bad[1:])
        t = r.Daemon()
        told = t.admin("restore", str(copy), want=1)
        same("told of", [r.sha256(bad)], [i["damaged-file"] for i in told])
        same("nothing installed", False, t.root.exists())
        t.admin("restore", str(copy), "--accept-damage", want=1)
        with t:
            same("damaged", 500, t.request("GET", f"/v2/d/blobs/{r.sha256(bad)}").status)
            same("the rest", good, t.request("GET", f"/v2/d/blobs/{r.sha256(good)}").body)
            t.push_blob("d", bad)
            same("healed by a push", bad, t.request("GET", f"/v2/d/blobs/{r.sha256(bad)}").body)


@case("refused: into the registry's own root, a directory of somebody else, a root that is a store; without a daemon it works")
def refused():
    with r.Daemon(OPEN) as s:
        s.push_blob("x", b"{}")
        s.admin("backup", str(s.root), want=1)
        other = s.work / "other"
        other.mkdir()
        (other / "file").write_text("mine")
        s.admin("backup", str(other), want=1)
        same("untouched", ["file"], [p.name for p in other.iterdir()])
        same("SIGTERM", 0, s.stop())
        s.admin("backup", str(s.work / "copy"))
        s.admin("restore", str(s.work / "copy"), want=1)
        s.start()
        same("served", 200, s.request("HEAD", f"/v2/x/blobs/{r.sha256(b'{}')}").status)


if __name__ == "__main__":
    tap.main()
