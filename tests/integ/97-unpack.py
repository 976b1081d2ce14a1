#!/usr/bin/env python3
"""The same bytes everywhere: trees unpacked by berth, flat and as an overlay, and by umoci; pulls from other registries."""
import ctypes
import gzip
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import distribution  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402
import tree  # noqa: E402

TOOLS = runner.TOP / "build/tools/bin"
UMOCI = shutil.which("umoci") or str(TOOLS / "umoci")
CLONE_NEWNS = 0x20000
CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


def member(name, kind=tarfile.REGTYPE, data=b"", **more):
    m = tarfile.TarInfo(name)
    m.type, m.size, m.mtime, m.mode = kind, len(data), 1234567890, 0o644
    pax = more.pop("pax", {})
    for key, value in more.items():
        setattr(m, key, value)
    m.pax_headers = pax
    return m, data


def pack(members, form=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for m, data in members:
            tar.addfile(m, io.BytesIO(data))
    plain = out.getvalue()
    return plain, gzip.compress(plain, mtime=0)


def xattr(name, value):
    return {"SCHILY.xattr." + name: value.decode("utf-8", "surrogateescape")}


def everything():
    """Layers with all that a layer can have."""
    deep = ["long" + "".join("/" + "d" * 60 for _ in range(n)) for n in range(7)]
    long_name = deep[-1] + "/file"
    first = [
        member(".", tarfile.DIRTYPE, mode=0o755),
        member("dir", tarfile.DIRTYPE, mode=0o2750, uid=12, gid=34),
        member("dir/file", data=b"content", mode=0o4755, uid=1000, gid=1001, pax={"mtime": "1234567890.123456789"}),
        member("dir/hard", tarfile.LNKTYPE, linkname="dir/file"),
        member("link", tarfile.SYMTYPE, linkname="dir/file", mode=0o777, uid=7, gid=8),
        member("dangling", tarfile.SYMTYPE, linkname="/no/where", mode=0o777),
        member("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        member("block", tarfile.BLKTYPE, devmajor=7, devminor=0, mode=0o660, gid=6),
        member("fifo", tarfile.FIFOTYPE, mode=0o600),
        member("sticky", tarfile.DIRTYPE, mode=0o1777),
        member("attr", data=b"x", pax=xattr("user.test", b"value")),
        member("cap", data=b"x", mode=0o755, pax=xattr("security.capability", CAPABILITY)),
        *(member(d, tarfile.DIRTYPE, mode=0o755) for d in deep),
        member("full", tarfile.DIRTYPE, mode=0o755), member("becomes-file", tarfile.DIRTYPE, mode=0o755),
        member("gone", data=b"1"), member("full/a", data=b"1"), member("full/b", data=b"2"),
        member("becomes-dir", data=b"1"), member("becomes-file/x", data=b"1"),
        member(long_name, data=b"deep"), member("empty", data=b""),
        member("big", data=os.urandom(3 << 20)),
    ]
    second = [
        member("full", tarfile.DIRTYPE, mode=0o755), member(".wh.gone"), member("full/.wh..wh..opq"), member("full/c", data=b"3"),
        member("becomes-dir", tarfile.DIRTYPE, mode=0o711), member("becomes-dir/in", data=b"2"),
        member("becomes-file", data=b"now a file"),
        member("dir/more", data=b"more"), member("link2", tarfile.LNKTYPE, linkname="big"),
    ]
    third = [member("dir", tarfile.DIRTYPE, mode=0o700, uid=1, gid=1), member("dir/.wh.hard"), member("gone", data=b"again"),
             member("gnu", tarfile.DIRTYPE, mode=0o755), member("gnu/" + "n" * 150, data=b"gnu")]
    return [pack(first), pack(second), pack(third, tarfile.GNU_FORMAT)]


def unpack_all(r, ref):
    """The same image, unpacked by berth flat, by berth as an overlay, and by umoci."""
    work = r.work / "trees"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    r.berth("unpack", ref, str(work / "berth"))
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{ref}", f"oci:{work}/oci:v1"], check=True,
                   timeout=runner.WAIT_S)
    subprocess.run([UMOCI, "unpack", "--image", f"{work}/oci:v1", f"{work}/umoci"], check=True, timeout=runner.WAIT_S,
                   stderr=subprocess.DEVNULL)
    identity = r.berth("create", "--pull", "never", ref, "true").strip()
    record = json.loads((r.root / "containers" / identity / "container.json").read_text())
    lowers = [str(r.root / "layers" / c.replace(":", "-") / "diff") for c in reversed(record["lowers"])]
    return work, lowers


def alone(seen):
    """Overlayfs counts names of a file that a whiteout hides; a link with one name left is none."""
    for name, what in seen.items():
        if what["link"] == name and sum(1 for other in seen.values() if other["link"] == name) == 1:
            what["link"] = None
    return seen


def compare(r, ref):
    work, lowers = unpack_all(r, ref)
    view = work / "overlay"
    view.mkdir()
    flat, peer = tree.snapshot(work / "berth/rootfs"), tree.snapshot(work / "umoci/rootfs")
    # When the root was changed no archive says: every unpacker has its own idea.
    flat[b""]["mtime"] = peer[b""]["mtime"] = None
    tree.same_trees("berth (first) and umoci (second)", flat, peer)
    pid = os.fork()
    if pid == 0:  # in a mount namespace of its own: nothing of it is left
        try:
            assert ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0
            subprocess.run(["mount", "--make-rslave", "/"], check=True)
            os.chdir(r.root / "layers")
            short = ":".join(os.path.relpath(x) for x in lowers)
            subprocess.run(["mount", "-t", "overlay", "o", "-o", f"lowerdir={short}", str(view)], check=True)
            seen = alone(tree.snapshot(view))
            seen[b""]["mtime"] = None
            tree.same_trees("berth's overlay (first) and flat (second)", seen, flat)
            os._exit(0)
        except BaseException as failure:  # noqa: BLE001 - it is told by the exit status
            print(f"# {failure}", flush=True)
            os._exit(1)
    tap.same("the overlay's comparison", 0, os.waitpid(pid, 0)[1])


@tap.case("all kinds of members: owners, modes, times, attributes, links, devices, whiteouts, long names")
def members(r):
    compare(r, r.push("all:v1", everything()))


@tap.case("real files of this machine, in layers that buildah made")
def buildah(r):
    if not shutil.which("buildah"):
        raise tap.Skip("buildah is not installed")
    env = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs", "STORAGE_CONF": "/dev/null"}
    at = ["buildah", "--root", str(r.work / "bah"), "--runroot", str(r.work / "bahrun"), "--storage-driver", "vfs"]

    def run(*args):
        return subprocess.run([*at, *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                              timeout=600).stdout.strip()

    c = run("from", "scratch")
    run("copy", c, "/etc", "/etc")
    run("copy", c, "/usr/share/perl5/Debian", "/usr/share/perl5/Debian")
    run("commit", c, "local:one")
    c = run("from", "local:one")
    run("copy", c, "/etc/ssl", "/etc/alternatives")
    run("copy", c, "/bin/busybox", "/usr/sbin/busybox")
    run("commit", c, "local:two")
    ref = f"{r.host}/debian:v1"
    run("push", "--tls-verify=false", "local:two", f"docker://{ref}")
    compare(r, ref)


def pulls_from(r, program):
    """berth pulls from another registry what skopeo copied to it."""
    ref = r.push("all:v1", everything())
    with distribution.Distribution(program) as other:
        to = f"{other.host}/other:v1"
        subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{ref}",
                        f"docker://{to}"], check=True, timeout=runner.WAIT_S)
        tap.same("the same image", r.berth("pull", ref), r.berth("pull", to))
        r.berth("push", ref, f"{other.host}/pushed:v2")
        tap.same("and back", r.berth("pull", ref), r.berth("pull", f"{other.host}/pushed:v2"))


@tap.case("to and from CNCF distribution v3")
def distribution_3(r):
    if not distribution.V3.exists():
        raise tap.Skip("no build/tools/bin/registry")
    pulls_from(r, distribution.V3)


@tap.case("to and from docker-registry 2.8.2")
def docker_registry(r):
    if not distribution.version_2():
        raise tap.Skip("docker-registry is not installed")
    pulls_from(r, distribution.version_2())


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP owners and devices need root")
        sys.exit(0)
    if not os.path.exists(UMOCI):
        print("1..0 # SKIP umoci is neither installed nor in build/tools/bin")
        sys.exit(0)
    with runner.Runner() as r:
        tap.main(r, after_each=runner.Runner.sweep)
