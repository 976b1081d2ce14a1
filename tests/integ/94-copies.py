#!/usr/bin/env python3
"""berth cp, commit, diff and import: files into and out of containers, and images made of them."""
import hashlib
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

UMOCI = shutil.which("umoci") or str(runner.TOP / "build/tools/bin/umoci")
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


# --- commit, diff ---


def stored(r, digest):
    algorithm, text = digest.split(":")
    return json.loads((r.root / "store/blobs" / algorithm / text[:2] / text).read_text())


@tap.case("commit: what was added, changed and removed is in the image, and the container goes on")
def commit(r):
    box = start(r, image=r.push_busybox("box:v1", [runner.layer({"old/a": b"a", "old/b": b"b", "gone": b"x", "dir/x": b"x"})],
                                        {"Env": ["PATH=/bin", "KEEP=1"], "Labels": {"old": "label"}}))
    inside(r, box, """rm /gone /old/a; rm -r /dir; mkdir /dir; echo new >/dir/y; echo more >>/old/b; mkdir -p /n/m; echo n >/n/m/f
ln /n/m/f /n/hard; ln -s m/f /n/link; chown 33:44 /n/m/f; chmod 4751 /n/m/f; mkfifo /n/fifo; touch -d '2001-02-03 04:05:06' /n/m/f; chmod 711 /bin""")
    ref = f"{r.host}/made:v1"
    seen = r.berth("diff", box)
    identity = r.berth("commit", "-a", "me", "-m", "why", "-c", 'CMD ["cat", "/n/m/f"]', "-c", "ENV A=1 B=\"two words\" KEEP=2",
                       "-c", "LABEL x=y", "-c", "EXPOSE 80 53/udp", "-c", "WORKDIR /n", "-c", "USER 33", "-c", "STOPSIGNAL SIGINT",
                       "-c", "VOLUME /v", "-c", "ENTRYPOINT []", box, ref).strip()
    tap.same("the container runs", "running", json.loads(r.berth("ps", "--json"))[0]["status"])
    doc = stored(r, identity)
    c = doc["config"]
    tap.same("config", (["cat", "/n/m/f"], ["PATH=/bin", "KEEP=2", "A=1", "B=two words"], {"old": "label", "x": "y"}, "/n", "33", "SIGINT"),
             (c["Cmd"], c["Env"], c["Labels"], c["WorkingDir"], c["User"], c["StopSignal"]))
    tap.same("sets", ({"80/tcp", "53/udp"}, {"/v"}, []), (set(c["ExposedPorts"]), set(c["Volumes"]), c["Entrypoint"]))
    tap.same("history", ("me", "why", " ".join(SLEEP)), tuple(doc["history"][-1][k] for k in ("author", "comment", "created_by")))
    tap.same("layers", 3, len(doc["rootfs"]["diff_ids"]))
    tap.same("it runs as it says", "n\n", r.berth("run", "--rm", ref))
    got = r.berth("run", "--rm", "-u", "0", ref, "sh", "-c", """find /old /dir /n | sort; cat /old/b; ls -d /gone 2>&1
stat -c '%u:%g %a %h %Y' /n/m/f; stat -c %a /bin; readlink /n/link; test -p /n/fifo && echo fifo""")
    tap.same("tree", ["/dir", "/dir/y", "/n", "/n/fifo", "/n/hard", "/n/link", "/n/m", "/n/m/f", "/old", "/old/b", "bmore",
                      "ls: /gone: No such file or directory", "33:44 4751 2 981173106", "711", "m/f", "fifo"], got.splitlines())
    other = start(r, image=ref)
    tap.same("a container of it has changed nothing", [], [line for line in r.berth("diff", other).splitlines() if "/n/" in line or "/dir" in line])
    assert "D /gone" in seen and "A /n/m/f" in seen, seen


@tap.case("commit: other tools read what was made; the same changes make the same layer")
def commit_elsewhere(r):
    if not pathlib.Path(UMOCI).exists():
        raise tap.Skip("umoci is neither installed nor in build/tools/bin")
    box = start(r)
    inside(r, box, "echo x >/x; touch -d '2001-02-03 04:05:06' /x")
    layers = []
    for name in ("one:v1", "two:v1"):
        identity = r.berth("commit", box, f"{r.host}/{name}").strip()
        layers.append(stored(r, identity)["rootfs"]["diff_ids"])
    tap.same("layers", *layers)
    r.berth("push", f"{r.host}/one:v1")
    bundle = fresh(r, "umoci")
    for command in (["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{r.host}/one:v1", f"oci:{bundle}/image:v1"],
                    [UMOCI, "unpack", "--image", f"{bundle}/image:v1", f"{bundle}/bundle"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=runner.WAIT_S)
    tap.same("umoci's tree", "x\n", (bundle / "bundle/rootfs/x").read_text())
    shutil.rmtree(bundle)


@tap.case("commit: without a name, of a stopped container, and over the name that it was run by")
def commit_names(r):
    ref = r.push_busybox()
    box = start(r, image=ref)
    inside(r, box, "echo x >/x")
    r.berth("stop", "-t", "0", box)
    identity = r.berth("commit", box).strip()
    tap.same("by id", "x\n", r.berth("run", "--rm", identity[7:19], "cat", "/x"))
    r.berth("commit", box, ref)
    tap.same("by the old name", "x\n", r.berth("run", "--rm", ref, "cat", "/x"))
    r.berth("start", box)
    tap.same("the container is what it was", "x\n", inside(r, box, "cat /x"))


@tap.case("commit: names that a layer cannot have, and instructions that are none, are refused; nothing stays")
def commit_refused(r):
    box = start(r)
    before = json.loads(r.berth("images", "--json"))
    assert "instruction" in refused(r, "no instruction", "commit", "-c", "RUN x", box, f"{r.host}/bad:v1")
    refused(r, "a quote", "commit", "-c", 'ENV A="x', box, f"{r.host}/bad:v1")
    refused(r, "no name", "commit", box, "UPPER CASE")
    inside(r, box, "touch /.wh.x")
    assert ".wh.x" in refused(r, "a whiteout's name", "commit", box, f"{r.host}/bad:v1")
    tap.same("it is not left paused", "ok", inside(r, box, "echo -n ok"))
    tap.same("images", before, json.loads(r.berth("images", "--json")))
    tap.same("downloads", [], os.listdir(r.root / "downloads"))


@tap.case("commit: a container stands still meanwhile, unless it is not to")
def commit_paused(r):
    box = start(r, command=("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/a; mv /a /A; echo $i >/b; mv /b /B; done"))
    for n in range(3):
        identity = r.berth("commit", box).strip()
        a, b = r.berth("run", "--rm", identity[7:19], "sh", "-c", "cat /A /B").split()
        assert int(a) in (int(b), int(b) + 1), f"not of one moment: {a!r}, {b!r}"
    identity = r.berth("commit", "--pause=false", box)


# --- import ---


@tap.case("import: a root file system's archive, plain, gzip and zstd, from a file and standard input")
def imports(r):
    plain, packed = runner.busybox_layer()
    zstd = subprocess.run(["zstd", "-q", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout
    made = set()
    for name, data in (("plain", plain), ("gzip", packed), ("zstd", zstd)):
        file = r.work / name
        file.write_bytes(data)
        ref = f"{r.host}/{name}:v1"
        identity = r.berth("import", "-m", "mine", "-c", "CMD echo it runs", "-c", "ENV PATH=/bin", str(file), ref).strip()
        made.add(stored(r, identity)["rootfs"]["diff_ids"][0])
        tap.same(name, "it runs\n", r.berth("run", "--rm", ref))
        p = subprocess.run(r.command("import", "-", f"{r.host}/{name}-stdin"), input=data, stdout=subprocess.PIPE, check=True,
                           timeout=runner.WAIT_S)
        tap.same("one layer", 1, len(stored(r, p.stdout.decode().strip())["rootfs"]["diff_ids"]))
    tap.same("the same layer", {"sha256:" + hashlib.sha256(plain).hexdigest()}, made)
    ref = f"{r.host}/plain:v1"
    r.berth("push", ref)
    seen = json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{ref}"], check=True, stdout=subprocess.PIPE,
                                     timeout=runner.WAIT_S).stdout)
    tap.same("skopeo reads it", "linux", seen["Os"])


@tap.case("import: what is no archive, or a hostile one, is refused and leaves nothing")
def imports_refused(r):
    canary = fresh(r, "canary3")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        m = tarfile.TarInfo("x")
        m.type, m.linkname = tarfile.LNKTYPE, "../../../../etc/passwd"
        tar.addfile(m)
    for what, data in (("no tar", b"x" * 2000), ("nothing", b""), ("a cut gzip", runner.busybox_layer()[1][:-100]), ("hostile", raw.getvalue())):
        file = r.work / "bad"
        file.write_bytes(data)
        refused(r, what, "import", str(file), f"{r.host}/bad:v1")
        tap.same(f"{what}: images", [], json.loads(r.berth("images", "--json")))
        tap.same(f"{what}: downloads", [], os.listdir(r.root / "downloads"))
    refused(r, "no file", "import", str(canary / "none"), f"{r.host}/bad:v1")


def clean(r):
    r.sweep()
    for image in json.loads(r.berth("images", "--json")):
        r.run("rmi", image["name"], check=False)


if __name__ == "__main__":
    if os.geteuid() != 0 or not pathlib.Path(runner.BUSYBOX).exists():
        print("1..0 # SKIP needs root and busybox")
        sys.exit(0)
    with runner.Runner() as r:
        tap.main(r, after_each=clean)
