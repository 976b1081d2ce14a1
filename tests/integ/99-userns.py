#!/usr/bin/env python3
"""berth run --userns, --uidmap, --gidmap: ids inside and outside, of root's containers and of an ordinary user's.

Root has the subordinate ids of the user "containers", which the test's own mount namespace gives it.
"""
import fcntl
import gzip
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import ordinary  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402
from ordinary import CONTAINERS, CONTAINERS_N, SLEEP, SUB, SUB_N, UID, ids_of, nothing_runs  # noqa: E402

SEEN = "stat -c '%n %u:%g' /etc/passwd /own/file; id -u; cat /proc/self/uid_map"
MAP = "awk '{print $1, $2, $3}' /proc/self/uid_map"


class Root(runner.Runner):
    def up(self, name, *args, command=SLEEP):
        self.berth("run", "-d", "--name", name, *args, self.box, *command)
        registry.wait_until("it says that it is up", lambda: "up" in self.run("logs", name).stdout)
        return next(c for c in json.loads(self.berth("ps", "-a", "--json")) if c["name"] == name)["pid"]


class Both:
    """The berth of root and that of a user, with one image: files of root's and of "www"."""

    def __init__(self, top):
        self.root, self.user = Root(), ordinary.User(top)

    def __enter__(self):
        self.root.__enter__()
        self.user.__enter__()
        for r in self:
            r.box = r.push_busybox("ids:v1", [self.layer()])
        return self

    def __exit__(self, *args):
        self.user.__exit__(*args)
        self.root.__exit__(*args)

    def __iter__(self):
        return iter((self.root, self.user))

    @staticmethod
    def layer():
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, kind, mode, data in (("own", tarfile.DIRTYPE, 0o750, b""), ("own/file", tarfile.REGTYPE, 0o640, b"of www\n"),
                                           ("data", tarfile.DIRTYPE, 0o755, b""), ("data/mine", tarfile.REGTYPE, 0o4755, b"x")):
                m = tarfile.TarInfo(name)
                m.type, m.mode, m.uid, m.gid, m.size = kind, mode, 33, 44, len(data)
                tar.addfile(m, io.BytesIO(data))
        plain = out.getvalue()
        return plain, gzip.compress(plain, mtime=0)

    def sweep(self):
        for r in self:
            r.sweep()
            r.run("volume", "prune", "--all", check=False)


def record(r, name):
    (seen,) = json.loads(r.berth("inspect", name))
    return seen["container"]


def directory(r, name):
    return r.root / "containers" / record(r, name)["id"]


def refused(r, status, text, *args):
    p = r.run(*args, check=False)
    tap.same(f"{' '.join(args)}: status ({p.stderr})", status, p.returncode)
    assert text in p.stderr, p.stderr


# --- root ---


@tap.case("auto: root inside, a subordinate id outside; the image's owners are its own, and what is changed is kept by them")
def auto(w):
    r = w.root
    pid = r.up("a", "--userns", "auto")
    tap.same("outside", (str(CONTAINERS), str(CONTAINERS)), (ids_of(pid), ids_of(pid, "Gid")))
    tap.same("map", f"0 {CONTAINERS} 1024\n", r.berth("exec", "a", "sh", "-c", MAP))
    tap.same("owners", "0:0\n33:44\n33:44\n", r.berth("exec", "a", "stat", "-c", "%u:%g", "/etc/passwd", "/own/file", "/own"))
    tap.same("set-id", "4755\n", r.berth("exec", "a", "stat", "-c", "%a", "/data/mine"))
    r.berth("exec", "a", "sh", "-c", "touch /new; chown 7:8 /new; echo more >>/own/file")
    upper = directory(r, "a") / "upper"
    tap.same("on disk", ((7, 8), (33, 44)), tuple((s.st_uid, s.st_gid) for s in ((upper / "new").stat(), (upper / "own/file").stat())))
    tap.same("files of /etc", "0:0\n0:0\n0:0\n", r.berth("exec", "a", "stat", "-c", "%u:%g", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"))
    tap.same("exec as www", "33\n", r.berth("exec", "-u", "www", "a", "id", "-u"))
    tap.same("output by its file", "x\n", r.berth("run", "--rm", "--userns", "auto", "-u", "33", r.box, "sh", "-c", "echo x >/dev/stdout"))
    top = json.loads(r.berth("top", "--json", "a"))
    tap.same("top shows ids inside", {0}, {p["uid"] for p in top})
    assert json.loads(r.berth("stats", "--no-stream", "--json", "a"))[0]["pids"] >= 1


@tap.case("auto: every container has ids of its own, which nobody else's root can signal; they are free again after rm")
def disjoint(w):
    r = w.root
    one = r.up("one", "--userns", "auto", "--pid", "host")
    two = r.up("two", "--userns", "auto", "--pid", "host")
    tap.same("ids", (str(CONTAINERS), str(CONTAINERS + 1024)), (ids_of(one), ids_of(two)))
    for of, other in (("one", two), ("two", one)):
        p = r.run("exec", of, "kill", "-9", str(other), check=False)
        assert p.returncode != 0 and "not permitted" in p.stderr, p.stderr
    p = r.run("exec", "one", "kill", "-9", str(os.getpid()), check=False)
    assert p.returncode != 0, "a process of the host's was signalled"
    r.berth("rm", "-f", "one")
    tap.same("first free", CONTAINERS, ids_first(r, r.berth("create", "--userns", "auto", r.box).strip()))
    r.berth("stop", "-t", "0", "two")
    tap.same("of one that is stopped they are not free", CONTAINERS + 2048,
             ids_first(r, r.berth("create", "--userns", "auto", r.box).strip()))


def ids_first(r, name):
    return int(record(r, name)["uid_map"][0].split(":")[1])


@tap.case("auto: made at the same time they do not share; when ids run out it says so; who was killed leaves none taken")
def together(w):
    r = w.root
    ps = [subprocess.Popen(r.command("create", "--name", f"n{n}", "--userns", "auto:size=1000", r.box), stdout=subprocess.DEVNULL) for n in range(8)]
    tap.same("statuses", [0] * 8, [p.wait(timeout=runner.WAIT_S) for p in ps])
    tap.same("ranges", [CONTAINERS + 1000 * n for n in range(8)], sorted(ids_first(r, f"n{n}") for n in range(8)))
    for n in range(20):
        p = subprocess.Popen(r.command("create", "--name", f"k{n}", "--userns", "auto:size=1000", r.box), stdout=subprocess.DEVNULL)
        registry.wait_until("its directory", lambda: p.poll() is not None or os.path.lexists(r.root / f"containers/names/k{n}"))
        p.send_signal(signal.SIGKILL)
        p.wait(timeout=runner.WAIT_S)
        r.run("rm", "-f", "--ignore", f"k{n}")
    tap.same("still free", CONTAINERS + 8000, ids_first(r, r.berth("create", "--userns", "auto:size=1000", r.box).strip()))
    refused(r, 125, "no 1024 subordinate ids", "run", "--rm", "--userns", "auto", r.box, "true")
    tap.same("what is left fits", f"0 {CONTAINERS + 9000} 1000\n", r.berth("run", "--rm", "--userns", "auto:size=1000", r.box, "sh", "-c", MAP))


def is_awaited(path):
    """Does somebody wait for a lock on the file?"""
    inode = f":{path.stat().st_ino} "
    return any("->" in line and inode in line for line in open("/proc/locks"))


@tap.case("auto: who chooses waits for who is at it, until that one's container is there or its command was killed")
def turns(w):
    r = w.root
    r.berth("create", "--name", "first", "--userns", "auto", r.box)
    lock = r.root / "containers/userns"
    with open(lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        p = subprocess.Popen(r.command("create", "--name", "second", "--userns", "auto", r.box), stdout=subprocess.DEVNULL)
        registry.wait_until("it waits", lambda: is_awaited(lock) or p.poll() is not None)
        tap.same("it has not ended", None, p.poll())
        r.berth("rm", "first")
    tap.same("status", 0, p.wait(timeout=runner.WAIT_S))
    tap.same("what is free by then", CONTAINERS, ids_first(r, "second"))


@tap.case("auto: as many ids as the image's users and the one asked for need; pieces of one's own beside them")
def sizes(w):
    r = w.root
    tap.same("user 3000", f"0 {CONTAINERS} 3001\n3000\n", r.berth("run", "--rm", "--userns", "auto", "-u", "3000", r.box, "sh", "-c", f"{MAP}; id -u"))
    refused(r, 2, "user 3000 is not in", "run", "--rm", "--userns", "auto:size=100", "-u", "3000", r.box, "true")
    refused(r, 2, "group 200 is not in", "run", "--rm", "--userns", "auto:size=100", "--group-add", "200", r.box, "true")
    out = r.berth("run", "--rm", "--userns", "auto:size=50,uidmapping=33:77000:1", "-u", "33", r.box, "sh", "-c", f"{MAP} | sort -n; touch /tmp/x; stat -c %u /tmp/x")
    tap.same("a piece", f"0 {CONTAINERS} 33\n33 77000 1\n34 {CONTAINERS + 34} 16\n33\n", out)


@tap.case("maps of one's own, several and different for users and groups; containers with other maps, and none, of the same image beside it")
def maps(w):
    r = w.root
    given = ("--uidmap", "0:60000:100", "--uidmap", "33:70000:1", "--gidmap", "0:80000:100")
    refused(r, 2, "overlap", "run", "--rm", *given, r.box, "true")
    given = ("--uidmap", "0:60000:33", "--uidmap", "33:70000:1", "--gidmap", "0:80000:100")
    pid = r.up("m", *given, "-u", "33:44")
    tap.same("outside", ("70000", "80044"), (ids_of(pid), ids_of(pid, "Gid")))
    r.up("a", "--userns", "auto")
    r.up("h")
    for name in ("m", "a", "h"):
        tap.same(name, "0:0\n33:44\n", r.berth("exec", "-u", "0", name, "stat", "-c", "%u:%g", "/etc/passwd", "/own/file"))
        r.berth("exec", "-u", "0", name, "sh", "-c", f"echo {name} >/own/file")
    tap.same("each its own", ["m\n", "a\n", "h\n"], [r.berth("exec", "-u", "0", name, "cat", "/own/file") for name in ("m", "a", "h")])
    layer = next(r.root.glob("layers/*/diff/own/file")).stat()
    tap.same("the layer is as it was", (33, 44, 7), (layer.st_uid, layer.st_gid, layer.st_size))
    tap.same("only users given", "7000", ids_of(r.up("u", "--uidmap", "0:7000:500"), "Gid"))


@tap.case("keep-id of root's: a namespace in which everybody is who he is")
def keep_all(w):
    r = w.root
    pid = r.up("k", "--userns", "keep-id")
    assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user"), "it is the host's"
    tap.same("map", "0 0 4294967295\n", r.berth("exec", "k", "sh", "-c", MAP))
    refused(r, 2, "ordinary users", "run", "--rm", "--userns", "keep-id:uid=5", r.box, "true")
    refused(r, 2, "ordinary users", "run", "--rm", "--userns", "nomap", r.box, "true")
    tap.same("host", os.readlink("/proc/self/ns/user"), os.readlink(f"/proc/{r.up('h', '--userns', 'host')}/ns/user"))


@tap.case("what no map can be is refused, with the reason, and leaves nothing")
def hostile(w):
    r = w.root
    for text, *options in (("no ids", "--uidmap", "0:1000:0"), ("end at", "--uidmap", "0:4294967295:2"), ("end at", "--uidmap", "4294967290:0:10"),
                           ("no piece", "--uidmap", "0:1000:99999999999999999999"), ("no piece", "--uidmap", "-1:0:1"), ("no piece", "--gidmap", "0"),
                           ("overlap", "--uidmap", "0:1:10", "--uidmap", "5:100:1"), ("overlap", "--gidmap", "0:1:10", "--gidmap", "50:10:1"),
                           ("size", "--userns", "auto:size=0"), ("size", "--userns", "auto:size=-1"), ("no piece", "--userns", "auto:uidmapping=x"),
                           ("not understood", "--userns", "auto:nosuch=1"), ("host, keep-id", "--userns", "nosuch"), ("not for", "--userns", "auto", "--uidmap", "0:1:1"),
                           ("--uidmap", "--userns", "private"), ("host, keep-id", "--userns", "auto:"), ("no id", "--userns", "keep-id:uid=4294967295")):
        refused(r, 2, text, "run", "--rm", *options, r.box, "true")
    refused(r, 2, "needs a root", "run", "--rm", "--uidmap", "33:70000:1", r.box, "true")
    refused(r, 2, "needs a root", "run", "--rm", "--uidmap", "0:70000:1", "--gidmap", "5:70000:1", r.box, "true")
    refused(r, 125, "are free", "run", "--rm", "--userns", f"auto:size={CONTAINERS_N + 1}", r.box, "true")
    tap.same("containers", "", r.berth("ps", "-aq"))


@tap.case("volumes: new ones are the process's; the host's directories stay as they are, unless U or idmap is asked for")
def volumes(w):
    r = w.root
    userns = ("--uidmap", "0:60000:1000")
    r.berth("run", "--rm", *userns, "-v", "n:/n", "-v", "f:/data", r.box, "sh", "-c", "touch /n/new; chown 33 /n/new; touch /data/more")
    tap.same("written", 60033, (r.root / "volumes/n/data/new").stat().st_uid)
    tap.same("itself", 60000, (r.root / "volumes/n/data").stat().st_uid)
    filled = r.root / "volumes/f/data"
    tap.same("filled from the image", [(60033, 60044, 0o755), (60033, 60044, 0o4755)],
             [(s.st_uid, s.st_gid, s.st_mode & 0o7777) for s in (filled.stat(), (filled / "mine").stat())])
    tap.same("as another user's", 60033, volume_owner(r, *userns, "-u", "33"))
    d = r.work / "mine"
    (d / "sub").mkdir(parents=True)
    (d / "sub/file").write_text("x")
    (d / "link").symlink_to("/etc/passwd")
    os.chown(d / "sub/file", 33, 44)
    os.chmod(d, 0o777)
    tap.same("as it is", "65534:65534\n", r.berth("run", "--rm", *userns, "-v", f"{d}:/d", r.box, "stat", "-c", "%u:%g", "/d/sub/file"))
    tap.same("idmap", "33:44\n", r.berth("run", "--rm", *userns, "-v", f"{d}:/d:idmap", r.box, "sh", "-c", "stat -c %u:%g /d/sub/file; touch /d/made"))
    tap.same("made by idmap", 0, (d / "made").stat().st_uid)
    passwd = os.lstat("/etc/passwd").st_uid
    tap.same("U", "5:6\n5\n", r.berth("run", "--rm", *userns, "-u", "5:6", "-v", f"{d}:/d:U", r.box, "sh", "-c", "stat -c %u:%g /d/sub/file; touch /d/u; stat -c %u /d/u"))
    tap.same("outside", [(60005, 60006)] * 4, [(s.st_uid, s.st_gid) for s in (os.lstat(d / n) for n in (".", "sub", "sub/file", "link"))])
    tap.same("what a link leads to", passwd, os.stat("/etc/passwd").st_uid)
    tap.same("U by --mount", "0:0\n", r.berth("run", "--rm", *userns, "--mount", f"type=bind,src={d},dst=/d,U", r.box, "stat", "-c", "%u:%g", "/d/sub/file"))
    for path in ("/", "/etc", "/var/lib"):
        refused(r, 125, "machine's own", "run", "--rm", *userns, "-v", f"{path}:/d:U", r.box, "true")
    tap.same("the host's", passwd, os.stat("/etc/passwd").st_uid)


def volume_owner(r, *options):
    r.berth("run", "--rm", "-v", "o:/nothing/there", *options, r.box, "touch", "/nothing/there/x")
    return (r.root / "volumes/o/data/x").stat().st_uid


def archive(text):
    return {m.name: (m.uid, m.gid, m.mode) for m in tarfile.open(fileobj=io.BytesIO(text))}


def copies_of(r, where, caller, *options):
    r.up("c", *options)
    r.berth("exec", "-u", "0", "c", "sh", "-c", "mkdir /made; echo made >/made/f; chown 33:44 /made /made/f; rm /data/mine")
    (where / "in").mkdir(parents=True, exist_ok=True)
    (where / "in/file").write_text("from outside")
    for f in ("in", "in/file", "."):
        os.chown(where / f, caller, caller)
    for state in ("running", "stopped"):
        if state == "stopped":
            r.berth("stop", "-t", "0", "c")
        r.berth("cp", str(where / "in"), f"c:/{state}")
        r.berth("cp", "c:/made", str(where / state))
        s = (where / state / "f").stat()
        tap.same(f"{state}: out", ("made\n", caller), ((where / state / "f").read_text(), s.st_uid))
        out = subprocess.run(r.command("cp", "c:/made", "-"), stdout=subprocess.PIPE, check=True, timeout=runner.WAIT_S).stdout
        tap.same(f"{state}: an archive has ids inside", (33, 44), archive(out)["made/f"][:2])
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            m = tarfile.TarInfo(f"put-{state}")
            m.uid, m.gid = 33, 44
            tar.addfile(m, io.BytesIO())
        subprocess.run(r.command("cp", "-", "c:/own"), input=raw.getvalue(), check=True, timeout=runner.WAIT_S)
    seen = r.berth("diff", "c").splitlines()
    for line in ("A /made/f", "D /data/mine", "A /stopped/file", "A /own/put-running"):
        assert line in seen, f"{line} is not in {seen}"
    r.berth("start", "c")
    names = "/running/file /stopped/file /made/f /own/put-running /own/put-stopped"
    want = "0:0 0:0 33:44 33:44 33:44"
    tap.same("inside", want, " ".join(r.berth("exec", "-u", "0", "c", "sh", "-c", f"stat -c %u:%g {names}").split()))
    ref = f"{r.host}/committed:v1"
    r.berth("commit", "c", ref)
    for more in (("--rm",), ("--rm", *options)):
        tap.same(f"committed {more}", want, " ".join(r.berth("run", *more, "-u", "0", ref, "sh", "-c", f"stat -c %u:%g {names}").split()))


@tap.case("cp, commit, diff: owners are the container's, running or not; the image is anybody's")
def copies(w):
    copies_of(w.root, w.root.work / "copies", 0, "--uidmap", "0:60000:1000")


@tap.case("cp of one that does not run sees its volumes and directories, and respects that they are read-only")
def copies_volumes(w):
    for r, base in ((w.root, w.root.work), (w.user, w.user.home)):
        d = base / "bound"
        (d / "below").mkdir(parents=True)
        (d / "below/f").write_text("bound")
        if r is w.user:
            for f in (d, d / "below", d / "below/f"):
                os.chown(f, UID, UID)
        r.berth("create", "--name", "v", "-v", "n:/made/for/it", "-v", f"{d}:/bound:ro", "-v", "f:/data", r.box, *SLEEP)
        r.berth("cp", "v:/bound/below", str(base / "got"))
        tap.same("a directory of the host", "bound", (base / "got/f").read_text())
        r.berth("cp", str(base / "got/f"), "v:/made/for/it/g")
        tap.same("a volume", "bound", (r.root / "volumes/n/data/g").read_text())
        refused(r, 1, "Read-only", "cp", str(base / "got/f"), "v:/bound/g")
        r.berth("cp", "v:/data/mine", str(base / "of-image"))
        tap.same("what the image had", "x", (base / "of-image").read_text())
        tap.same("no mount is left", [], [line for line in open("/proc/mounts") if str(r.root) in line])
        r.berth("start", "v")
        registry.wait_until("it is up", lambda: "up" in r.run("logs", "v").stdout)
        tap.same("it has it", "bound", r.berth("exec", "v", "cat", "/made/for/it/g"))
        tap.same("the root's own is empty", [], list((directory(r, "v") / "upper/made/for/it").iterdir()))
        r.berth("stop", "-t", "0", "v")
        shutil.rmtree(base / "got")
        r.berth("cp", "v:/made/for/it/.", str(base / "got"))
        tap.same("out of the volume", "bound", (base / "got/g").read_text())
        shutil.rmtree(base / "got")
        shutil.rmtree(d)
        (base / "of-image").unlink()
        r.berth("rm", "v")


@tap.case("networks, terminals, limits, health, --privileged, a restart, and the end of a shim are as without a map")
def everything(w):
    r = w.root
    run = ("run", "--rm", "--userns", "auto")
    tap.same("none", ["lo"], r.berth(*run, r.box, "ls", "/sys/class/net").split())
    tap.same("host", sorted(os.listdir("/sys/class/net")), sorted(r.berth(*run, "--network", "host", r.box, "ls", "/sys/class/net").split()))
    tap.same("sysctl", "0\t0\n", r.berth(*run, r.box, "cat", "/proc/sys/net/ipv4/ping_group_range"))
    tap.same("privileged", "0000", r.berth(*run, "--privileged", r.box, "sh", "-c", "grep CapEff /proc/self/status").split()[1][:4])
    p = r.run(*run, "--privileged", r.box, "sh", "-c", "mount -t tmpfs none /tmp && echo mounted; mknod /tmp/n b 8 0", check=False)
    assert "mounted" in p.stdout and "not permitted" in p.stderr, p.stdout + p.stderr
    tap.same("memory", "ok\n", r.berth(*run, "-m", "64m", "--pids-limit", "50", "--read-only", "--tmpfs", "/t", r.box, "sh", "-c", "touch /t/x && echo ok"))
    tap.same("terminal", "/dev/pts/0", r.berth(*run, "-t", r.box, "tty").strip())
    pid = r.up("a", "--userns", "auto", "--restart", "always", "--health-cmd", "test $(id -u) = 0", "--health-interval", "100ms")
    registry.wait_until("healthy", lambda: "healthy" in json.dumps(json.loads(r.berth("inspect", "a"))[0]["state"]))
    r.berth("exec", "a", "sh", "-c", "echo kept >/kept; kill 1", check=False)
    os.kill(pid, signal.SIGKILL)
    registry.wait_until("started again", lambda: now(r, "a")["pid"] not in (0, pid) and now(r, "a")["status"] == "running")
    tap.same("files", "kept\n", r.berth("exec", "a", "cat", "/kept"))
    pid = now(r, "a")["pid"]
    tap.same("ids", str(CONTAINERS), ids_of(pid))
    with open(f"/proc/{pid}/stat") as f:
        shim = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(shim, signal.SIGKILL)
    registry.wait_until("the shim is gone", lambda: not os.path.exists(f"/proc/{shim}"))
    tap.same("ids are kept", CONTAINERS + 1024, ids_first(r, r.berth("create", "--userns", "auto", r.box).strip()))
    r.berth("rm", "-f", "a")
    registry.wait_until("its process is gone", lambda: not os.path.exists(f"/proc/{pid}"))
    tap.same("mounts", [], [line for line in open("/proc/mounts") if str(r.root) in line])


def now(r, name):
    return next(c for c in json.loads(r.berth("ps", "-a", "--json")) if c["name"] == name)


@tap.case("/etc/subuid without the user containers: auto is refused with what to do")
def no_subids(w):
    r = w.root
    script = f"mount --bind {w.user.top}/nosubid /etc/subuid && exec \"$@\""
    p = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *r.command("run", "--rm", "--userns", "auto", r.box, "true")],
                       capture_output=True, text=True, check=False, timeout=runner.WAIT_S)
    tap.same("status", 125, p.returncode)
    assert "containers" in p.stderr and "/etc/subuid" in p.stderr, p.stderr


# --- an ordinary user ---


def need_fuse():
    if not shutil.which("fuse-overlayfs"):
        raise tap.Skip("fuse-overlayfs is not installed")


@tap.case("user: keep-id is the caller inside and outside, and the image's owners are its own")
def keep(w):
    need_fuse()
    u = w.user
    pid = u.up("k", "--userns", "keep-id")
    tap.same("inside", f"{UID}\n{UID}\n", u.berth("exec", "k", "sh", "-c", "id -u; id -g"))
    tap.same("outside", str(UID), ids_of(pid))
    tap.same("owners", "0:0\n33:44\n", u.berth("exec", "k", "stat", "-c", "%u:%g", "/etc/passwd", "/own"))
    tap.same("root", "0\n", u.berth("exec", "-u", "0", "k", "id", "-u"))
    tap.same("a name", "tester tester\n", u.berth("exec", "k", "sh", "-c", "echo $(id -un) $(id -gn)"))
    tap.same("the image's names are there", "www\n", u.berth("exec", "-u", "www", "k", "id", "-un"))
    tap.same("the image's file is as it was", False, (directory(u, "k") / "upper/etc/passwd").exists())
    u.berth("exec", "-u", "0", "k", "sh", "-c", f"touch /root-made; chown {UID} /root-made; touch /r")
    tap.same("on disk", [UID - 1, 0], [(directory(u, "k") / "upper" / f).stat().st_uid - SUB for f in ("root-made",)] + [(directory(u, "k") / "upper/r").stat().st_uid - UID])
    p = u.run("exec", "k", "touch", "/etc/x", check=False)
    tap.same("not root's files", 1, p.returncode)
    u.berth("run", "--rm", "--userns", "keep-id", "-v", f"{u.home}:/home/me", "-v", "n:/n", u.box, "touch", "/home/me/made", "/n/made")
    tap.same("a file of the user's own", UID, (u.home / "made").stat().st_uid)
    tap.same("in a volume", UID, (u.root / "volumes/n/data/made").stat().st_uid)
    tap.same("by another id", "33\n33:33\n", u.berth("run", "--rm", "--userns", "keep-id:uid=33,gid=33", "-v", f"{u.home}:/me", u.box, "sh", "-c", "id -u; stat -c %u:%g /me/made"))
    tap.same("-u wins", "5\n", u.berth("run", "--rm", "--userns", "keep-id", "-u", "5", u.box, "id", "-u"))
    for options in (("--overlay", "kernel"), ("-v", f"{u.home}:/me:idmap")):
        refused(u, 125, "ordinary user", "run", "--rm", "--userns", "keep-id", *options, u.box, "true")


@tap.case("user: nomap has no id of the caller's; auto gives subordinate ids to each container of its own")
def nomap(w):
    need_fuse()
    u = w.user
    pid = u.up("n", "--userns", "nomap")
    tap.same("nomap", (str(SUB), "0\n"), (ids_of(pid), u.berth("exec", "n", "id", "-u")))
    one = u.up("one", "--userns", "auto", "--pid", "host")
    two = u.up("two", "--userns", "auto", "--pid", "host")
    tap.same("auto", (str(SUB), str(SUB + 1024)), (ids_of(one), ids_of(two)))
    p = u.run("exec", "one", "kill", "-9", str(two), check=False)
    assert p.returncode != 0 and "not permitted" in p.stderr, p.stderr
    tap.same("owners", "0:0\n33:44\n", u.berth("exec", "two", "stat", "-c", "%u:%g", "/etc/passwd", "/own"))
    refused(u, 125, "not ours to give", "run", "--rm", "--uidmap", f"0:1:{SUB_N + 1}", u.box, "true")
    refused(u, 125, "not ours to give", "run", "--rm", "--uidmap", "0:70000:5", u.box, "true")
    refused(u, 125, "are free", "run", "--rm", "--userns", f"auto:size={SUB_N + 1}", u.box, "true")
    tap.same("maps", "0 100 50\n", u.berth("run", "--rm", "--uidmap", "0:100:50", u.box, "sh", "-c", MAP))


@tap.case("user: cp, commit and diff, without a map and with one")
def user_copies(w):
    need_fuse()
    for n, options in enumerate(((), ("--userns", "keep-id"))):
        copies_of(w.user, w.user.home / f"copies{n}", UID, *options)
        w.user.sweep()
        w.user.run("rmi", f"{w.user.host}/committed:v1")


@tap.case("user: pasta, restart, and a shim that is killed; nothing runs afterwards")
def user_life(w):
    need_fuse()
    u = w.user
    if shutil.which("pasta"):
        tap.same("pasta", 2, len(u.berth("run", "--rm", "--userns", "keep-id", "--network", "pasta", u.box, "ls", "/sys/class/net").split()))
        nothing_runs()
    pid = u.up("k", "--userns", "keep-id", "-u", "33")
    tap.same("outside", str(SUB + 33), ids_of(pid))
    u.berth("restart", "-t", "0", "k")
    pid = next(c for c in u.ps() if c["name"] == "k")["pid"]
    assert "fuse-overlayfs" in [name for _, name in ordinary.processes()]
    with open(f"/proc/{pid}/stat") as f:
        shim = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(shim, signal.SIGKILL)
    registry.wait_until("the shim is gone", lambda: not os.path.exists(f"/proc/{shim}"))
    u.berth("rm", "-f", "k")
    nothing_runs()


if __name__ == "__main__":
    sys.exit(ordinary.main(__file__, Both))
