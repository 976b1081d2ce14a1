#!/usr/bin/env python3
"""berth cp, commit, diff and import: files into and out of containers, and images made of them."""
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import runner  # noqa: E402
import tap  # noqa: E402

SLEEP = ("sleep", "600")


def start(r, *args, image=None, command=SLEEP):
    ref = image or r.push_busybox()
    return r.berth("run", "-d", *args, ref, *command).strip()


def inside(r, box, script):
    return r.berth("exec", box, "sh", "-c", script)


def fresh(r, name):
    d = r.work / name
    shutil.rmtree(d, ignore_errors=True)
    d.mkdir()
    return d


def refused(r, what, *args, **more):
    p = r.run(*args, check=False, **more)
    tap.same(f"{what}: exit status ({p.stderr})", 1, p.returncode)
    return p.stderr


# --- cp ---


@tap.case("cp out: a file to a new name, onto a file, into a directory; a directory with what is in it, and its contents")
def out(r):
    box = start(r)
    inside(r, box, "mkdir -p /data/sub; echo one >/data/a; echo two >/data/sub/b; ln -s a /data/link; ln /data/a /data/hard; chmod 640 /data/a")
    d = fresh(r, "out")
    r.berth("cp", f"{box}:/data/a", str(d / "new"))
    tap.same("new name", "one\n", (d / "new").read_text())
    tap.same("mode", 0o640, (d / "new").stat().st_mode & 0o7777)
    (d / "old").write_text("longer than what comes")
    r.berth("cp", f"{box}:data/a", str(d / "old"))
    tap.same("onto a file", "one\n", (d / "old").read_text())
    r.berth("cp", f"{box}:/data/../data/./a", str(d))
    tap.same("into a directory", "one\n", (d / "a").read_text())
    r.berth("cp", f"{box}:/data", str(d))
    tap.same("a directory", ["a", "hard", "link", "sub"], sorted(os.listdir(d / "data")))
    tap.same("a link stays one", "a", os.readlink(d / "data/link"))
    tap.same("hard links", (d / "data/a").stat().st_ino, (d / "data/hard").stat().st_ino)
    r.berth("cp", f"{box}:/data", str(d / "copy"))
    tap.same("a directory by a new name", "two\n", (d / "copy/sub/b").read_text())
    c = fresh(r, "contents")
    r.berth("cp", f"{box}:/data/.", str(c))
    tap.same("contents", ["a", "hard", "link", "sub"], sorted(os.listdir(c)))
    r.berth("cp", "-L", f"{box}:/data/link", str(d / "followed"))
    tap.same("followed", "one\n", (d / "followed").read_text())
    assert not (d / "followed").is_symlink()
    p = subprocess.run(r.command("cp", f"{box}:data/a", "relative"), cwd=d, stderr=subprocess.PIPE, text=True, check=False)
    tap.same(f"into the working directory ({p.stderr})", 0, p.returncode)
    tap.same("there", "one\n", (d / "relative").read_text())


@tap.case("cp in: the same the other way, whether the container runs or not; files are root's")
def into(r):
    box = start(r)
    d = fresh(r, "in")
    (d / "dir/sub").mkdir(parents=True)
    (d / "f").write_text("file")
    (d / "dir/sub/g").write_text("deep")
    os.symlink("sub/g", d / "dir/link")
    os.chown(d / "f", 33, 33)
    for state in ("running", "stopped"):
        if state == "stopped":
            r.berth("stop", "-t", "0", box)
        r.berth("cp", str(d / "f"), f"{box}:/tmp/{state}")
        r.berth("cp", str(d / "f"), f"{box}:/tmp")
        r.berth("cp", str(d / "dir"), f"{box}:/tmp/dir-{state}")
        r.berth("cp", f"{d}/dir/.", f"{box}:/tmp")
        r.berth("cp", "-a", str(d / "f"), f"{box}:/tmp/kept-{state}")
    r.berth("start", box)
    for state in ("running", "stopped"):
        tap.same(state, "file 0:0", inside(r, box, f"cat /tmp/{state}; stat -c ' %u:%g' /tmp/{state}").strip())
        tap.same("directory", "deep", inside(r, box, f"cat /tmp/dir-{state}/link"))
        tap.same("owner kept", "33:33", inside(r, box, f"stat -c %u:%g /tmp/kept-{state}").strip())
    tap.same("contents", "deep", inside(r, box, "cat /tmp/sub/g"))


@tap.case("cp with an archive on standard output and input")
def streams(r):
    box = start(r)
    inside(r, box, "mkdir -p /data/sub; echo one >/data/a; chown 33:44 /data/a; chmod 4755 /data/a; ln /data/a /data/hard")
    raw = subprocess.run(r.command("cp", f"{box}:/data", "-"), stdout=subprocess.PIPE, check=True, timeout=runner.WAIT_S).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        names = {m.name: m for m in tar.getmembers()}
        tap.same("names", {"data", "data/a", "data/hard", "data/sub"}, set(names))
        kept = {n: (names[n].uid, names[n].gid, names[n].mode) for n in ("data/a", "data/hard") if names[n].isreg()}
        tap.same("owner and mode", [(33, 44, 0o4755)], list(kept.values()))
    p = subprocess.run(r.command("cp", "-", f"{box}:/tmp"), input=raw, stderr=subprocess.PIPE, check=False, timeout=runner.WAIT_S)
    tap.same(f"in ({p.stderr})", 0, p.returncode)
    tap.same("the same", "one 33:44 4755 2", inside(r, box, "cat /tmp/data/a; stat -c '%u:%g %a %h' /tmp/data/a").replace("\n", " ").strip())
    refused(r, "into a file", "cp", "-", f"{box}:/tmp/data/a", stdin="")


@tap.case("cp: what is not there, and what does not fit, is refused and changes nothing")
def refusals(r):
    box = start(r)
    d = fresh(r, "refused")
    (d / "f").write_text("x")
    (d / "dir").mkdir()
    inside(r, box, "mkdir -p /d/f; echo y >/file")
    refused(r, "no such file", "cp", f"{box}:/nowhere", str(d))
    refused(r, "no such container", "cp", "nobody:/x", str(d))
    refused(r, "no such directory", "cp", f"{box}:/file", str(d / "none") + "/")
    refused(r, "no parent here", "cp", f"{box}:/file", str(d / "none/file"))
    refused(r, "no parent there", "cp", str(d / "f"), f"{box}:/none/f")
    refused(r, "a directory onto a file", "cp", f"{box}:/d", str(d / "f"))
    refused(r, "a file where a directory is", "cp", str(d / "f"), f"{box}:/d")
    tap.same("the directory is there", "f", inside(r, box, "ls /d").strip())
    inside(r, box, "mkdir /e; echo y >/e/dir")
    refused(r, "a directory where a file is", "cp", str(d / "dir"), f"{box}:/e")
    tap.same("usage", 2, r.run("cp", str(d), str(d), check=False).returncode)
    tap.same("usage", 2, r.run("cp", f"{box}:/d", f"{box}:/e", check=False).returncode)
    tap.same("the host's", ["dir", "f"], sorted(os.listdir(d)))


@tap.case("cp: links of the container lead where they lead in it, and never out of it, in both directions")
def escapes(r):
    box = start(r)
    secret = r.work / "secret"
    secret.write_text("host")
    canary = fresh(r, "canary")
    d = fresh(r, "esc")
    (d / "f").write_text("mine")
    (d / "dir").mkdir()
    (d / "dir/f").write_text("deep")
    up = "../" * 30
    inside(r, box, f"""mkdir /links; cd /links; echo inside >/etc/here
ln -s {secret} abs; ln -s {up}{secret} rel; ln -s /proc/1/root{secret} magic; ln -s /proc/self/root{secret} magic2
ln -s {canary} dir; ln -s {up}{canary} updir; ln -s /etc etc; ln -s /proc/1/root rootdir""")
    for state in ("running", "stopped"):
        if state == "stopped":
            r.berth("stop", "-t", "0", box)
        for name in ("abs", "rel", "magic", "magic2"):
            p = r.run("cp", "-L", f"{box}:/links/{name}", str(d / "got"), check=False)
            assert p.returncode == 1, f"{state}, {name}: {p.stderr}"
            p = r.run("cp", f"{box}:/links/{name}/../x", str(d / "got"), check=False)
            tap.same("by way of it", 1, p.returncode)
        for name in ("dir", "updir", "rootdir"):
            r.run("cp", str(d / "f"), f"{box}:/links/{name}/f", check=False)
            r.run("cp", str(d / "dir"), f"{box}:/links/{name}", check=False)
            raw = io.BytesIO()
            with tarfile.open(fileobj=raw, mode="w") as tar:
                m = tarfile.TarInfo("planted")
                tar.addfile(m, io.BytesIO())
            subprocess.run(r.command("cp", "-", f"{box}:/links/{name}"), input=raw.getvalue(), check=False, stderr=subprocess.DEVNULL,
                           timeout=runner.WAIT_S)
        tap.same(f"{state}: the host's directory", [], os.listdir(canary))
        tap.same(f"{state}: the host's file", "host", secret.read_text())
        r.berth("cp", f"{box}:/links/etc/here", str(d / "here"))
        tap.same(f"{state}: a link inside", "inside\n", (d / "here").read_text())
        r.berth("cp", str(d / "f"), f"{box}:/links/etc/put-{state}")
    tap.same("nothing was got", ["dir", "f", "here"], sorted(os.listdir(d)))
    r.berth("start", box)
    tap.same("put inside", "mine mine", inside(r, box, "cat /etc/put-running; echo -n ' '; cat /etc/put-stopped"))


@tap.case("cp out: a tree that was copied before is no way out, and names and kinds that harm are no surprise")
def trees_out(r):
    box = start(r)
    canary = fresh(r, "canary2")
    d = fresh(r, "trees")
    inside(r, box, f"mkdir -p /t/x; ln -s {canary} /t/x/way; echo a >/t/x/.wh.a; cp /bin/busybox /t/x/suid; chmod 6755 /t/x/suid; mkfifo /t/x/fifo; mknod /t/x/null c 1 3")
    r.berth("cp", f"{box}:/t/x", str(d))
    tap.same("link", str(canary), os.readlink(d / "x/way"))
    tap.same("a name that is only one in layers", "a\n", (d / "x/.wh.a").read_text())
    tap.same("no set-id bits, the caller's file", (0o755, 0), ((d / "x/suid").stat().st_mode & 0o7777, (d / "x/suid").stat().st_uid))
    tap.same("no devices", False, (d / "x/null").exists())
    inside(r, box, "rm /t/x/way; mkdir /t/x/way; echo planted >/t/x/way/f")
    refused(r, "a directory where the link is", "cp", f"{box}:/t/x", str(d))
    tap.same("nothing went through the link", [], os.listdir(canary))
    r.berth("cp", "-a", f"{box}:/t/x", str(fresh(r, "trees-a")))
    tap.same("-a keeps set-id bits", 0o6755, (r.work / "trees-a/x/suid").stat().st_mode & 0o7777)
    tap.same("and devices", os.makedev(1, 3), (r.work / "trees-a/x/null").stat().st_rdev)


@tap.case("cp: volumes of a container that runs; a container that was never started")
def volumes(r):
    d = fresh(r, "vol")
    (d / "f").write_text("x")
    box = start(r, "-v", f"{d}:/data", "--tmpfs", "/scratch")
    r.berth("cp", str(d / "f"), f"{box}:/data/g")
    tap.same("on the host", "x", (d / "g").read_text())
    r.berth("cp", str(d / "f"), f"{box}:/scratch/h")
    tap.same("in its tmpfs", "x", inside(r, box, "cat /scratch/h"))
    made = r.berth("create", r.push_busybox(), "cat", "/root/f").strip()
    r.berth("cp", str(d / "f"), f"{made}:/root/f")
    r.berth("cp", f"{made}:/root/f", str(d / "back"))
    tap.same("before the first start", "x", (d / "back").read_text())
    tap.same("and then", "x", r.berth("start", "-a", made))


def clean(r):
    r.sweep()
    for image in json.loads(r.berth("images", "--json")):
        r.run("rmi", "-f", image["name"], check=False)


if __name__ == "__main__":
    if os.geteuid() != 0 or not pathlib.Path(runner.BUSYBOX).exists():
        print("1..0 # SKIP needs root and busybox")
        sys.exit(0)
    with runner.Runner() as r:
        tap.main(r, after_each=clean)
