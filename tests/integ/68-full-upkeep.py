#!/usr/bin/env python3
"""The disk is full while the store is looked after: collection, scrub, backup, restore and rebuild fail with a clear error, lose
nothing, and work when there is room again."""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import smalldisk  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

DISK = 24 << 20
OPTIONS = ("--gc.enabled=false", "--scrub.rate=0", "--gc.lease=0s", "--gc.untagged_keep=0s", "--gc.max_share=100", "--trash.keep=0s",
           "--index.map_size=4M")


def fill(s, n):
    """n images with a tag and n without; the manifests of the first by tag."""
    tagged = {}
    for i in range(n):
        s.push_blob("full", config := json.dumps({"n": i}).encode())
        for tag, document in ((f"t{i}", r.image(config)), (None, r.image(config, n=i))):
            data = json.dumps(document).encode()
            same("pushed", 201, s.put_manifest("full", tag or r.sha256(data), data, media=r.OCI_MANIFEST).status)
            if tag:
                tagged[tag] = data
    return tagged


def whole(s, tagged):
    for tag, data in tagged.items():
        a = s.request("GET", f"/v2/full/manifests/{tag}")
        same(tag, (200, data), (a.status, a.body))
        config = json.loads(data)["config"]["digest"]
        same("its config", config, r.sha256(s.request("GET", f"/v2/full/blobs/{config}").body))


def at_levels(disk, s, *words):
    """The command with ever more room; how often it failed.  It must say why, and in the end do its work."""
    for failures, free in enumerate([0, *(4096 << n for n in range(12))]):
        disk.leave(free)
        s.admin(*words, want=None)
        why = s.admin_error
        if not why:
            same("it failed when there was no room", True, failures > 0)
            return failures
        same(f"{words}: says why: {why!r}", True, "pace" in why)
    raise AssertionError(f"{words} never works: {why}")


@case("collection")
def collection():
    with smalldisk.SmallDisk(DISK) as disk, r.Daemon(*OPTIONS, root=disk.path / "root") as s:
        tagged = fill(s, 40)
        failures = at_levels(disk, s, "gc")
        whole(s, tagged)
        disk.release()
        while s.admin("gc")[-1]["contents"]:
            pass
        want = {r.sha256(d) for d in tagged.values()} | {json.loads(d)["config"]["digest"] for d in tagged.values()}
        same("all garbage went, and nothing else", want, s.blob_files())
        same("faults", 0, s.admin("fsck")[-1]["faults"])
        print(f"# failed {failures} times")


@case("scrub, of a blob that is damaged")
def scrub():
    with smalldisk.SmallDisk(DISK) as disk, r.Daemon(*OPTIONS, root=disk.path / "root") as s:
        tagged = fill(s, 3)
        s.push_blob("full", bad := b"bad" * 1000)
        path = s.blob_file(r.sha256(bad))
        path.chmod(0o644)
        path.write_bytes(b"BAD" * 1000)
        disk.leave(0)
        s.admin("scrub", want=1)
        whole(s, tagged)
        disk.release()
        same("found", 1, s.admin("scrub", want=1)[-1]["damaged"])
        same("not served", 500, s.request("GET", f"/v2/full/blobs/{r.sha256(bad)}").status)


@case("backup onto a full disk, first and again, and restore onto one")
def backup():
    with smalldisk.SmallDisk(DISK) as disk, r.Daemon(*OPTIONS, f'--process.writable=["{disk.path}"]') as s:
        copy = disk.path / "copy"
        tagged = fill(s, 40)
        first = at_levels(disk, s, "backup", str(copy))
        disk.release()
        with r.Daemon(*OPTIONS, root=copy) as t:
            whole(t, tagged)
        s.push_blob("full", b"x" * 200_000)
        again = at_levels(disk, s, "backup", str(copy))
        t = r.Daemon(*OPTIONS, root=disk.path / "restored")
        back = at_levels(disk, t, "restore", str(copy))
        disk.release()
        with t:
            whole(t, tagged)
            same("faults", 0, t.admin("fsck")[-1]["faults"])
        print(f"# failed {first}, {again} and {back} times")


@case("rebuild")
def rebuild():
    with smalldisk.SmallDisk(DISK) as disk, r.Daemon(*OPTIONS, root=disk.path / "root") as s:
        tagged = fill(s, 40)
        same("SIGTERM", 0, s.stop())
        shutil.rmtree(s.root / "index")
        failures = at_levels(disk, s, "rebuild")
        disk.release()
        s.start()
        whole(s, tagged)
        same("faults", 0, s.admin("fsck")[-1]["faults"])
        print(f"# failed {failures} times")


if __name__ == "__main__":
    tap.main()
