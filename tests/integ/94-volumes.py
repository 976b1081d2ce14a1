#!/usr/bin/env python3
"""Volumes: without a name, of the image, with the image's content; berth volume; what is mounted in them."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import runner  # noqa: E402
import tap  # noqa: E402

SLEEP = ("sh", "-c", "exec sleep 1000")


def volumes(r):
    return {v["name"]: v for v in json.loads(r.berth("volume", "ls", "--json"))}


def path_of(r, name):
    return pathlib.Path(volumes(r)[name]["path"])


def content_layer():
    """A directory whose owners and modes show."""
    import gzip
    import io
    import tarfile
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, owner, data in (("data", tarfile.DIRTYPE, 0o2750, 33, b""), ("data/sub", tarfile.DIRTYPE, 0o700, 44, b""),
                                              ("data/sub/file", tarfile.REGTYPE, 0o640, 55, b"from the image\n")):
            m = tarfile.TarInfo(name)
            m.type, m.mode, m.uid, m.gid, m.size, m.mtime = kind, mode, owner, owner, len(data), 1000000000
            tar.addfile(m, io.BytesIO(data))
        m = tarfile.TarInfo("data/link")
        m.type, m.linkname, m.mtime = tarfile.SYMTYPE, "sub/file", 1000000000
        tar.addfile(m)
    plain = out.getvalue()
    return plain, gzip.compress(plain, mtime=0)


SEEN = "stat -c '%n %a %u:%g' /data /data/sub /data/sub/file; cat /data/link; stat -c %Y /data/sub/file"
WANT = "/data 2750 33:33\n/data/sub 700 44:44\n/data/sub/file 640 55:55\nfrom the image\n1000000000\n"


@tap.case("-v /path: the image's content with owners, modes, times and links; --rm takes it away")
def anonymous(r):
    tap.same("content", WANT, r.berth("run", "--rm", "-v", "/data", r.full, "sh", "-c", SEEN))
    tap.same("mounted", "1\n", r.berth("run", "--rm", "-v", "/data", r.full, "sh", "-c", "grep -c ' /data ' /proc/mounts"))
    tap.same("nothing left", {}, volumes(r))
    r.berth("run", "--rm", "--mount", "type=volume,target=/data", r.full, "touch", "/data/x")
    tap.same("nothing left by --mount", {}, volumes(r))
    r.run("run", "--rm", "-v", "/data", r.full, "nosuch", check=False)
    tap.same("nothing left by one that cannot start", {}, volumes(r))


@tap.case("without --rm it stays until rm -v or volume prune")
def stays(r):
    r.berth("run", "--name", "a", "-v", "/data", r.full, "touch", "/data/mark")
    (name,) = volumes(r)
    assert (path_of(r, name) / "mark").exists(), "the file is not there"
    r.berth("start", "a")
    r.berth("wait", "a")
    tap.same("the same one again", [name], list(volumes(r)))
    r.berth("volume", "prune")
    tap.same("in use", [name], list(volumes(r)))
    r.berth("rm", "a")
    tap.same("after rm", [name], list(volumes(r)))
    tap.same("prune", name, r.berth("volume", "prune").strip())
    tap.same("after prune", {}, volumes(r))
    r.berth("run", "--name", "a", "-v", "/data", r.full, "true")
    r.berth("rm", "-v", "a")
    tap.same("after rm -v", {}, volumes(r))


@tap.case("the image's Volumes: a volume each, unless the user mounts something there")
def of_the_image(r):
    ref = r.push_busybox("vol:v1", [content_layer()], config={"Volumes": {"/data": {}, "/more/": {}}})
    script = "grep -c -e ' /data ' -e ' /more ' /proc/mounts; cat /data/link"
    tap.same("both", "2\nfrom the image\n", r.berth("run", "--rm", ref, "sh", "-c", script))
    tap.same("nothing left", {}, volumes(r))
    r.berth("run", "--name", "a", "-v", "mine:/more", "--tmpfs", "/data/", ref, "true")
    tap.same("the user's own", ["mine"], list(volumes(r)))
    r.berth("rm", "-v", "a")
    tap.same("it outlives rm -v", ["mine"], list(volumes(r)))
    r.berth("volume", "rm", "mine")


@tap.case("a named volume: filled while it is empty, never again; nocopy")
def named(r):
    run = ("run", "--rm", "-v")
    tap.same("filled", WANT, r.berth(*run, "n:/data", r.full, "sh", "-c", SEEN))
    r.berth(*run, "n:/data", r.full, "sh", "-c", "rm -r /data/*; echo own >/data/own")
    tap.same("not filled again", "own\n", r.berth(*run, "n:/data", r.full, "ls", "/data"))
    tap.same("read only", "1", r.berth(*run, "n:/data:ro", r.full, "sh", "-c", "touch /data/x 2>/dev/null; echo -n $?"))
    tap.same("nocopy", "", r.berth(*run, "e:/data:nocopy", r.full, "ls", "/data"))
    r.berth("volume", "rm", "n", "e")


@tap.case("volume create, ls, inspect, rm: labels, use, errors")
def command(r):
    tap.same("name", "v\n", r.berth("volume", "create", "--label", "k=w", "v"))
    tap.same("again", 1, r.run("volume", "create", "v", check=False).returncode)
    (seen,) = json.loads(r.berth("volume", "inspect", "v"))
    tap.same("inspect", ("v", {"k": "w"}, False, False), (seen["name"], seen["labels"], seen["anonymous"], seen["used"]))
    r.berth("run", "-d", "--name", "c", "-v", "v:/v", r.full, *SLEEP)
    assert " c" in r.berth("volume", "ls"), r.berth("volume", "ls")
    p = r.run("volume", "rm", "v", check=False)
    tap.same("in use", 1, p.returncode)
    assert "container c has it" in p.stderr, p.stderr
    r.berth("rm", "-f", "c")
    tap.same("prune leaves names", "", r.berth("volume", "prune"))
    tap.same("rm", "v\n", r.berth("volume", "rm", "v"))
    tap.same("missing", 1, r.run("volume", "rm", "v", check=False).returncode)
    tap.same("missing, forced", 0, r.run("volume", "rm", "-f", "v", check=False).returncode)
    tap.same("no name", 1, r.run("volume", "create", "../x", check=False).returncode)
    tap.same("usage", 2, r.run("volume", "nosuch", check=False).returncode)
    r.berth("volume", "create", "w")
    tap.same("prune --all", ["w"], json.loads(r.berth("volume", "prune", "--all", "--json")))


@tap.case("propagation: rshared both ways, rslave from the host, rprivate neither")
def propagation(r):
    where = r.work / "shared"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(where)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(where)], check=True)
        for d in "host", "inside":
            (where / d).mkdir()
        for how, from_host, to_host in (("rshared", True, True), ("rslave", True, False), ("rprivate", False, False)):
            r.berth("run", "-d", "--name", "p", "--privileged", "-v", f"{where}:/s:{how}", r.full, *SLEEP)
            subprocess.run(["mount", "-t", "tmpfs", "none", str(where / "host")], check=True)
            r.berth("exec", "p", "mount", "-t", "tmpfs", "none", "/s/inside")
            seen = r.berth("exec", "p", "cat", "/proc/mounts")
            tap.same(f"{how}: the host's mount inside", from_host, " /s/host " in seen)
            tap.same(f"{how}: the container's mount outside", to_host, f" {where}/inside " in open("/proc/mounts").read())
            if to_host:
                subprocess.run(["umount", str(where / "inside")], check=True)
            subprocess.run(["umount", str(where / "host")], check=True)
            r.berth("rm", "-f", "p")
        assert "overlay" not in [line.split()[2] for line in open("/proc/mounts") if str(r.root) in line], "the root is seen outside"
    finally:
        subprocess.run(["umount", "-R", "-l", str(where)], check=True)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        sys.exit(0)
    with runner.Runner() as the_runner:
        the_runner.full = the_runner.push_busybox("full:v1", [content_layer()])
        tap.main(the_runner, after_each=runner.Runner.sweep)
