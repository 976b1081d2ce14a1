#!/usr/bin/env python3
"""The Debian packages of `make deb`: what lintian says, sizes, the same bytes from a second build, and their life on a clean
Debian 12: install, serve, upgrade, remove, purge.

usage: tests/package/deb.py    (as root, for the part on a clean Debian)

BERTH_DEBS=DIR: packages that are there already, in place of those that it makes.
"""
import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import dockerd  # noqa: E402
import layout  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

BUILT = pathlib.Path(os.environ.get("BERTH_DEBS", r.TOP / "build/deb"))
NAMES = ("berthd", "berth", "berth-runtime")
SIZE_MAX = 2 << 20
BUILD_WAIT_S = 1500
PROGRAMS = {"berthd": ["usr/bin/berthd"], "berth": ["usr/bin/berth", "usr/bin/berth-net", "usr/libexec/berth/berth-shim", "usr/libexec/berth/berth-init"],
            "berth-runtime": ["usr/bin/berth-runtime", "usr/libexec/berth/berth-runtime-systemd"]}
WORK = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-deb-"))


def run(*command, want=0, timeout=BUILD_WAIT_S, **more):
    got = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                         timeout=timeout, check=False, **more)
    if want is not None and got.returncode != want:
        raise AssertionError(f"{' '.join(map(str, command))}: status {got.returncode}\n{got.stdout[-3000:]}")
    return got


def deb(name, where=BUILT):
    found = list(where.glob(f"{name}_*_amd64.deb"))
    same(f"packages of {name}", 1, len(found))
    return found[0]


def plain_environment():
    """Nothing of the make that may have started us."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MODE")}


@case("make deb makes them of what git has")
def made(_):
    if "BERTH_DEBS" not in os.environ:
        run("make", "-C", r.TOP, "deb", env=plain_environment())
    for name in NAMES:
        deb(name)


@case("lintian finds no error and no warning, and each override says why")
def lintian(_):
    if not shutil.which("lintian"):
        raise tap.Skip("no lintian")
    changes = list(BUILT.glob("*.changes"))
    same("one upload", 1, len(changes))
    got = run("lintian", "--allow-root", "--fail-on", "error,warning", changes[0], want=None)
    same(got.stdout, 0, got.returncode)
    for f in (r.TOP / "etc/debian").glob("*.lintian-overrides"):
        lines = f.read_text().splitlines()
        same(f"{f.name} begins with a reason", "#", lines[0][0])


@case("each program is below 2 MiB and stripped, and there are all of them")
def sizes(_):
    for name, programs in PROGRAMS.items():
        tree = WORK / f"tree-{name}"
        run("dpkg-deb", "-x", deb(name), tree)
        found = sorted(str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file() and p.read_bytes()[:4] == b"\x7fELF")
        same(f"programs of {name}", sorted(programs), found)
        for p in programs:
            size = (tree / p).stat().st_size
            print(f"# {p}: {size} bytes")
            same(f"{p} is small", True, size < SIZE_MAX)
            same(f"{p} is stripped", False, ".symtab" in run("readelf", "-SW", tree / p).stdout)


@case("the source package builds again elsewhere, at another time, under another name, to the same bytes")
def reproducible(_):
    dsc = list(BUILT.glob("*.dsc"))
    same("one source package", 1, len(dsc))
    tree = WORK / "again" / "another-directory"
    tree.parent.mkdir()
    run("dpkg-source", "--no-check", "-x", dsc[0], tree)
    env = {**plain_environment(), "TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "USER": "somebody", "HOME": "/nonexistent"}
    run("dpkg-buildpackage", "-us", "-uc", "-b", "-j2", cwd=tree, env=env)
    for first in sorted(BUILT.glob("*.deb")):
        second = tree.parent / first.name
        same(first.name, hashlib.sha256(first.read_bytes()).hexdigest(), hashlib.sha256(second.read_bytes()).hexdigest())
    shutil.rmtree(tree)


# --- a clean Debian 12 ---

class Root:
    """A Debian 12 with what is essential and apt, and namespaces: mounts of its own, and a network for the service."""

    def __init__(self):
        self.dir = WORK / "root"
        sources = [p for p in pathlib.Path("/etc/apt/sources.list.d").glob("debian*") if p.is_file()]
        if not sources:
            sources = [pathlib.Path("/etc/apt/sources.list")]
        run("mmdebstrap", "--variant=apt", "--mode=root", "bookworm", self.dir, *sources)
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", self.dir / "etc" / name)
        mounts = f"mount --bind {self.dir} {self.dir} && mount -t proc proc {self.dir}/proc && mount -t tmpfs run {self.dir}/run && " \
                 f"mount --rbind /dev {self.dir}/dev && ip link set lo up && echo ready && exec sleep infinity"
        self.holder = subprocess.Popen(["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", mounts], stdout=subprocess.PIPE)
        same("namespaces", b"ready\n", self.holder.stdout.readline())

    def enter(self, *command, net=False):
        """The command line that runs a command in there; with `net`, where the service's network is."""
        return ["nsenter", "-t", str(self.holder.pid), "-m", *(["-n"] if net else []), "chroot", str(self.dir), *map(str, command)]

    def inside(self, *command, net=False, want=0, **env):
        return run(*self.enter("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
                               *(f"{k}={v}" for k, v in {**proxies(), **env}.items()), *command, net=net), want=want)

    def put(self, *files):
        (self.dir / "debs").mkdir(exist_ok=True)
        for f in files:
            shutil.copy(f, self.dir / "debs" / f.name)
        return [f"/debs/{f.name}" for f in files]

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


def proxies():
    return {k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy", "no_proxy")}


def listen(root):
    """A socket at /run/notify in there, where mounts are not ours."""
    run_dir = os.open(f"/proc/{root.holder.pid}/root{root.dir}/run", os.O_PATH)
    path = f"/proc/self/fd/{run_dir}/notify"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    os.chmod(path, 0o777)
    os.close(run_dir)
    s.settimeout(r.WAIT_S)
    return s


class Service:
    """Runs a unit as systemd would, as far as the unit says: account, directories, mask, limits, readiness."""

    def __init__(self, root, name):
        unit = {}
        for line in (root.dir / "lib/systemd/system" / name).read_text().splitlines():
            if re.match(r"[A-Z]\w+=", line):
                key, value = line.split("=", 1)
                unit.setdefault(key, []).append(value)
        user = [u.split(":") for u in (root.dir / "etc/passwd").read_text().splitlines() if u.startswith(unit["User"][0] + ":")][0]
        uid, gid = int(user[2]), int(user[3])
        state = root.dir / "var/lib" / unit["StateDirectory"][0]
        state.mkdir(exist_ok=True)
        state.chmod(int(unit["StateDirectoryMode"][0], 8))
        os.chown(state, uid, gid)
        capability = unit["AmbientCapabilities"][0].lower().removeprefix("cap_")
        self.socket = listen(root)
        self.process = subprocess.Popen(root.enter(
            "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", f"--bounding-set=-all,+{capability}",
            f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}", "env", "-i", "NOTIFY_SOCKET=/run/notify",
            "sh", "-c", f"umask {unit['UMask'][0]}; ulimit -n {unit['LimitNOFILE'][0]}; exec {unit['ExecStart'][0]}", net=True),
            stdout=subprocess.DEVNULL, stderr=open(WORK / "service.log", "ab"))
        said = ""
        with contextlib.suppress(TimeoutError):
            said = self.socket.recv(4096).decode()
        if "READY=1" not in said:
            self.process.kill()
            raise AssertionError(f"not ready: {said!r} {(WORK / 'service.log').read_text()[-2000:]}")

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=r.WAIT_S)
        self.socket.close()
        if failure is None:
            same("the service ends well", 0, status)


IMAGE = "127.0.0.1:5000/team/app:v1"


def client(root, *command):
    return run("nsenter", "-t", root.holder.pid, "-n", *command, timeout=r.WAIT_S * 5)


def push(root):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as t:
        info = tarfile.TarInfo("hello")
        info.size = 5
        t.addfile(info, io.BytesIO(b"hello"))
    layer = gzip.compress(tar.getvalue(), mtime=0)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [r.sha256(tar.getvalue())]}}
    manifest = r.image(json.dumps(config).encode(), [layer])
    manifest["layers"][0]["mediaType"] += "+gzip"
    source = layout.Layout(WORK / "layout")
    for data in (json.dumps(config).encode(), layer, json.dumps(manifest).encode()):
        source.blob(data)
    source.add(json.dumps(manifest).encode(), "v1")
    client(root, "skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"oci:{WORK}/layout:v1", f"docker://{IMAGE}")


def pull(root):
    """Digest of what comes back."""
    target = WORK / "pulled"
    shutil.rmtree(target, ignore_errors=True)
    client(root, "skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", f"docker://{IMAGE}", f"oci:{target}:v1")
    return sorted(p.name for p in (target / "blobs/sha256").iterdir())


@case("they install on a clean Debian 12, with pages and a conffile, and make the account")
def installs(state):
    for program in ("mmdebstrap", "unshare", "nsenter", "skopeo"):
        if not shutil.which(program):
            raise tap.Skip(f"no {program}")
    if os.geteuid() != 0:
        raise tap.Skip("root only")
    root = state["root"] = Root()
    files = root.put(*(deb(n) for n in NAMES))
    root.inside("apt-get", "-q", "update")
    root.inside("apt-get", "-q", "-y", "install", "--no-install-recommends", "systemd-standalone-sysusers", *files)
    for name in NAMES:
        same(name, "installed", root.inside("dpkg-query", "-W", "-f", "${db:Status-Status}", name).stdout)
    account = root.inside("getent", "passwd", "berthd").stdout.split(":")
    same("account", ["/var/lib/berthd", "/usr/sbin/nologin"], [account[5], account[6].strip()])
    same("conffile", True, "/etc/berthd/berthd.conf" in root.inside("dpkg-query", "-W", "-f", "${Conffiles}", "berthd").stdout)
    for command, text in ((("berthd", "version"), "berthd "), (("berth", "--version"), "berth "), (("berth-runtime", "--version"), "spec"),
                          (("berth-net", "--help"), "usage")):
        same(command[0], True, text in root.inside(*command).stdout)
    for page in ("man8/berthd.8.gz", "man5/berthd.conf.5.gz", "man1/berth.1.gz", "man8/berth-runtime.8.gz"):
        same(page, True, (root.dir / "usr/share/man" / page).exists())


def need(state):
    if "root" not in state:
        raise tap.Skip("nothing was installed")
    return state["root"]


@case("the service starts by its ExecStart as its user; a client pushes and pulls, and berth does, inside")
def serves(state):
    root = need(state)
    with Service(root, "berthd.service") as s:
        same("who it is", root.inside("id", "-u", "berthd").stdout.strip(),
             next(line.split()[1] for line in open(f"/proc/{s.process.pid}/status") if line.startswith("Uid:")))
        push(root)
        state["pulled"] = pull(root)
        same("came back whole", sorted(p.name for p in (WORK / "layout/blobs/sha256").iterdir()), state["pulled"])
        same("an administrator sees it", True, "team/app" in root.inside(
            "berthd", "repos", "--config", "/etc/berthd/berthd.conf", net=True).stdout)
        root.inside("berth", "pull", "--tls-verify=false", IMAGE, net=True)
        same("berth has it", True, "team/app" in root.inside("berth", "images", net=True).stdout)
    same("closed to others", 0o700, (root.dir / "var/lib/berthd").stat().st_mode & 0o777)


@case("a real docker pushes to the packaged service and pulls from it")
def docker(state):
    root = need(state)
    work = WORK / "docker"
    work.mkdir()
    with Service(root, "berthd.service"), dockerd.dockerd(work, under=["nsenter", "-t", str(root.holder.pid), "-n"]) as why:
        if why:
            raise tap.Skip(why)
        print(f"# {run('dockerd', '--version').stdout.strip()}")
        tagged = "127.0.0.1:5000/team/docker:v1"
        run("skopeo", "copy", "--insecure-policy", f"oci:{WORK}/layout:v1", f"docker-archive:{work}/image.tar:{tagged}")
        run("docker", "load", "-i", work / "image.tar")
        image = run("docker", "image", "inspect", "-f", "{{.Id}}", tagged).stdout
        pushed = re.search(r"digest: (sha256:[0-9a-f]{64})", run("docker", "push", tagged).stdout).group(1)
        run("docker", "rmi", tagged)
        same("digest", True, pushed in run("docker", "pull", tagged).stdout)
        same("the same image", image, run("docker", "image", "inspect", "-f", "{{.Id}}", tagged).stdout)
        same("an administrator sees it", pushed, json.loads(root.inside(
            "berthd", "inspect", "team/docker:v1", "--json", "--config", "/etc/berthd/berthd.conf", net=True).stdout.splitlines()[0])["digest"])


def newer(name):
    """The package with a greater version."""
    tree = WORK / f"newer-{name}"
    run("dpkg-deb", "-R", deb(name), tree)
    control = tree / "DEBIAN/control"
    text = re.sub(r"^Version: (.*)$", r"Version: \1+newer", control.read_text(), flags=re.M)
    control.write_text(re.sub(r"berth-runtime \(= ([^)]*)\)", r"berth-runtime (= \1+newer)", text))
    run("dpkg-deb", "--root-owner-group", "-b", tree, WORK / f"{name}_newer_amd64.deb")
    return WORK / f"{name}_newer_amd64.deb"


@case("an upgrade keeps what was pushed, and the configuration as it was changed")
def upgrade(state):
    root = need(state)
    conf = root.dir / "etc/berthd/berthd.conf"
    conf.write_text(conf.read_text() + "log: {level: warn}\n")
    root.inside("apt-get", "-q", "-y", "install", "--no-install-recommends", *root.put(*(newer(n) for n in NAMES)))
    same("newer", True, "+newer" in root.inside("dpkg-query", "-W", "-f", "${Version}", "berthd").stdout)
    same("configuration", True, conf.read_text().endswith("log: {level: warn}\n"))
    with Service(root, "berthd.service"):
        same("pulled", state["pulled"], pull(root))


@case("removal keeps store and configuration; purge keeps the store")
def remove(state):
    root = need(state)
    root.inside("apt-get", "-q", "-y", "remove", "berthd")
    same("program", False, (root.dir / "usr/bin/berthd").exists())
    same("configuration", True, (root.dir / "etc/berthd/berthd.conf").exists())
    said = root.inside("apt-get", "-q", "-y", "purge", "berthd").stdout
    same("it is said", True, "BERTHD_PURGE_DATA" in said)
    same("configuration", False, (root.dir / "etc/berthd").exists())
    same("store", True, (root.dir / "var/lib/berthd/index/data.mdb").exists())
    root.inside("apt-get", "-q", "-y", "install", "--no-install-recommends", *root.put(deb("berthd")))
    with Service(root, "berthd.service"):
        same("pulled", state["pulled"], pull(root))


@case("purge deletes the store when that is asked for, and nothing is left but the account")
def purge(state):
    root = need(state)
    root.inside("apt-get", "-q", "-y", "purge", *NAMES, BERTHD_PURGE_DATA="yes")
    same("store", False, (root.dir / "var/lib/berthd").exists())
    left = [str(p.relative_to(root.dir)) for top in ("usr", "etc", "lib/systemd") for p in (root.dir / top).rglob("*")
            if "berth" in p.name]
    same("left", [], left)
    same("account", 0, root.inside("getent", "passwd", "berthd").returncode)


state = {}
try:
    tap.main(state)
finally:
    if "root" in state:
        state["root"].close()
    shutil.rmtree(WORK, ignore_errors=True)
