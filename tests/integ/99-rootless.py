#!/usr/bin/env python3
"""berth for an ordinary user with subordinate ids: images, containers and bundles without root.

Root makes the user, in a mount namespace of this program's own: names, subordinate ids, and the devices /dev/fuse and /dev/net/tun for everybody.
"""
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import nginx  # noqa: E402
import ordinary  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402
from ordinary import SLEEP, SUB, UID, ids_of, nothing_runs, processes  # noqa: E402


@tap.case("pull, run, exit status, and where things are: $XDG_DATA_HOME and $XDG_RUNTIME_DIR")
def run(r):
    r.berth("pull", r.box)
    assert "box" in r.berth("images"), "it is not listed"
    p = r.run("run", "--rm", r.box, "sh", "-c", "id -u; hostname >/dev/null; touch /new && echo written; exit 7", check=False)
    tap.same("result", ("0\nwritten\n", 7), (p.stdout, p.returncode))
    assert (r.root / "layers").is_dir() and r.state.is_dir(), "directories are not there"
    nothing_runs()


@tap.case("files of many owners: subordinate ids outside, the image's own in the container")
def owners(r):
    out = r.berth("run", "--rm", "-u", "www", r.box, "sh", "-c", "id -u; id -g; touch /tmp/f; stat -c %u:%g /tmp/f /etc/passwd")
    tap.same("ids", "33\n33\n33:33\n0:0\n", out)
    pid = r.up("www", "-u", "33")
    tap.same("outside", str(SUB + 32), ids_of(pid))
    tap.same("exec as root", "0\n", r.berth("exec", "-u", "0", "www", "id", "-u"))
    r.berth("exec", "www", "touch", "/tmp/mine")
    (container_dir,) = (r.root / "containers").glob("*/upper")
    tap.same("on disk", SUB + 32, (container_dir / "tmp/mine").stat().st_uid)
    r.berth("rm", "-f", "www")


@tap.case("options that are others for who is not root: -v U, devices, limits, groups that are kept, paths that are masked")
def options(r):
    where = r.home / "given"
    (where / "below").mkdir(parents=True)
    for path in (where, where / "below"):
        os.chown(path, UID, UID)
    tap.same("-v U inside", "33 44\n33 44\n", r.berth("run", "--rm", "-v", f"{where}:/t:U", "-u", "33:44", r.box, "stat", "-c", "%u %g", "/t", "/t/below"))
    tap.same("-v U outside", (SUB + 32, SUB + 43), ((where / "below").stat().st_uid, (where / "below").stat().st_gid))
    tap.same("--device", "2\n", r.berth("run", "--rm", "--device", "/dev/zero:/dev/other", r.box, "sh", "-c", "head -c 2 /dev/other | wc -c"))
    tap.same("--ulimit host", 0, r.run("run", "--rm", "--ulimit", "host", r.box, "true", check=False).returncode)
    tap.same("--ulimit", "77\n", r.berth("run", "--rm", "--ulimit", "nofile=77", r.box, "sh", "-c", "ulimit -n"))
    tap.same("unmask", "0\n", r.berth("run", "--rm", "--security-opt", "unmask=ALL", r.box, "sh", "-c", "grep -c ' /proc/' /proc/mounts; true"))
    tap.same("--tmpfs", "33\n", r.berth("run", "--rm", "--mount", "type=tmpfs,dst=/t,U", "-u", "33", r.box, "stat", "-c", "%u", "/t"))
    member = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--groups", "7"] + r.command()[r.command().index("env"):]
    kept = subprocess.run([*member, "run", "--rm", "--group-add", "keep-groups", r.box, "id", "-G"], stdout=subprocess.PIPE, text=True, check=True).stdout
    tap.same("keep-groups: one that has no name inside", "0 65534\n", kept)


@tap.case("networks: none, the host's, and pasta")
def networks(r):
    def interfaces(*options):
        return r.berth("run", "--rm", *options, r.box, "ls", "/sys/class/net").split()

    tap.same("none", ["lo"], interfaces("--network", "none"))
    tap.same("host", sorted(os.listdir("/sys/class/net")), sorted(interfaces("--network", "host")))
    if not shutil.which("pasta"):
        raise tap.Skip("pasta is not installed: none and host are right")
    tap.same("pasta", 2, len(interfaces("--network", "pasta")))
    r.network = ""
    try:
        tap.same("what is preset", 2, len(interfaces()))
        no_tun = f"mount --bind {r.top}/nosubid /dev/net/tun && exec \"$@\""
        p = subprocess.run(["unshare", "-m", "sh", "-c", no_tun, "sh", *r.command("run", "--rm", r.box, "ls", "/sys/class/net")],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        tap.same(f"where it cannot be: {p.stderr}", (0, ["lo"], True), (p.returncode, p.stdout.split(), "/dev/net/tun" in p.stderr))
    finally:
        r.network = "none"
    nothing_runs()
    # Through a port of the host's.
    port = nginx.free_port()
    r.berth("run", "-d", "--name", "web", "--network", "pasta", "-p", f"{port}:80", r.box, "sh", "-c",
            "echo hello >/index.html; exec httpd -f -p 80 -h /")
    registry.wait_until("an answer", lambda: subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], capture_output=True,
                                                            check=False).stdout == b"hello\n")
    r.berth("rm", "-f", "web")
    nothing_runs()


@tap.case("limits need a cgroup: refused with the reason where none was delegated; pause, too")
def limits(r):
    p = r.run("run", "--rm", "--memory", "64M", r.box, "true", check=False)
    tap.same("status", 125, p.returncode)
    assert "cgroup" in p.stderr and "Permission denied" in p.stderr, p.stderr
    r.up("p")
    p = r.run("pause", "p", check=False)
    tap.same("pause", 1, p.returncode)
    assert "cgroup" in p.stderr, p.stderr
    r.berth("rm", "-f", "p")


@tap.case("without subordinate ids: told, and images of root's files work")
def alone(r):
    def as_nobody(*args):
        script = f"mount --bind {r.top}/nosubid /etc/subuid && exec \"$@\""
        return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *r.command("--root", str(r.home / "alone"), *args)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    p = as_nobody("run", "--rm", r.box, "id", "-u")
    tap.same("result", ("0\n", 0), (p.stdout, p.returncode))
    assert "subordinate" in p.stderr, p.stderr
    nothing_runs()


@tap.case("exec, ps, logs, top, stop, start, rm; all in one namespace, which is gone afterwards")
def life(r):
    pid = r.up("a")
    tap.same("exec", "hello\n", r.berth("exec", "a", "echo", "hello"))
    other = r.up("b")
    tap.same("one namespace", os.readlink(f"/proc/{pid}/ns/user"), os.readlink(f"/proc/{other}/ns/user"))
    tap.same("running", {"a": "running", "b": "running"}, {c["name"]: c["status"] for c in r.ps()})
    assert "sleep 1000" in r.berth("top", "a"), "top does not show it"
    r.berth("stop", "-t", "0", "a")
    r.berth("start", "a")
    r.berth("rm", "-f", "a", "b")
    tap.same("nothing", [], r.ps())
    nothing_runs()


@tap.case("the shim is killed: what runs as another user can still be stopped and removed")
def shim_killed(r):
    pid = r.up("www", "-u", "33")
    with open(f"/proc/{pid}/stat") as f:
        shim = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(shim, 9)
    registry.wait_until("the shim is gone", lambda: not os.path.exists(f"/proc/{shim}"))
    assert os.path.exists(f"/proc/{pid}"), "the container's process went with it"
    r.berth("rm", "-f", "www")
    tap.same("nothing", [], r.ps())
    nothing_runs()


@tap.case("many at the same time agree on a namespace")
def together(r):
    ps = [subprocess.Popen(r.command("run", "-d", "--name", f"n{n}", r.box, *SLEEP), stdout=subprocess.DEVNULL) for n in range(5)]
    tap.same("statuses", [0] * 5, [p.wait(timeout=runner.WAIT_S) for p in ps])
    tap.same("namespaces", 1, len({os.readlink(f"/proc/{c['pid']}/ns/user") for c in r.ps()}))
    r.berth("rm", "-f", *(f"n{n}" for n in range(5)))
    nothing_runs()


@tap.case("fuse-overlayfs in place of the kernel's: layers, whiteouts, owners, writes; its process ends with the container")
def fuse(r):
    if not shutil.which("fuse-overlayfs"):
        raise tap.Skip("fuse-overlayfs is not installed")
    one = runner.layer({"d/": ("dir", 0o755), "d/below": b"below", "gone": b"gone"})
    two = runner.layer({"d/.wh..wh..opq": b"", "d/above": b"above", ".wh.gone": b""})
    ref = r.push_busybox("stack:v1", [one, two])
    script = "ls d; ls /gone 2>/dev/null; cat d/above; echo; echo new >/d/new; cat /d/new; stat -c %u:%g /etc/passwd; grep -o ' / .*fuse' /proc/mounts | head -c 3"
    for way in "fuse", "kernel":
        out = r.berth("run", "--rm", "--overlay", way, ref, "sh", "-c", script)
        tap.same(way, "above\nabove\nnew\n0:0\n" + (" / " if way == "fuse" else ""), out)
        nothing_runs()
    r.berth("run", "-d", "--name", "f", "--overlay", "fuse", "-u", "www", ref, *SLEEP)
    assert ("fuse-overlayfs" in [name for _, name in processes()]), "no fuse-overlayfs runs"
    tap.same("exec", "33\n", r.berth("exec", "f", "id", "-u"))
    r.berth("exec", "-u", "0", "f", "touch", "/kept")
    r.berth("restart", "-t", "0", "f")
    r.berth("exec", "f", "ls", "/kept")
    r.berth("rm", "-f", "f")
    nothing_runs()


@tap.case("where the kernel refuses overlayfs it is fuse-overlayfs by itself, unless the kernel's is asked for")
def refused(r):
    if not shutil.which("fuse-overlayfs"):
        raise tap.Skip("fuse-overlayfs is not installed")
    # Overlayfs does not take another overlayfs for its upper directory.
    where = r.top / "stacked"
    for d in "lower", "upper", "work", "there":
        (where / d).mkdir(parents=True)
        os.chown(where / d, UID, UID)
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={where}/lower,upperdir={where}/upper,workdir={where}/work,userxattr", "none",
                    str(where / "there")], check=True)
    try:
        at = ("--root", str(where / "there/data"), "run", "--rm")
        tap.same("by itself", "fine\n", r.berth(*at, r.box, "sh", "-c", "echo fine >/f; cat /f"))
        p = r.run(*at, "--overlay", "kernel", r.box, "true", check=False)
        tap.same("refused", 125, p.returncode)
        assert "overlayfs" in p.stderr, p.stderr
        nothing_runs()
    finally:
        subprocess.run(["umount", "-l", str(where / "there")], check=True)


@tap.case("volumes: by name, without one, of the user's own directories")
def volumes(r):
    r.berth("run", "--rm", "-v", "n:/n", "-v", "/etc", r.box, "sh", "-c", "cat /etc/group >/n/copy; chown 33 /n/copy")
    tap.same("owner", "33\n", r.berth("run", "--rm", "-v", "n:/n", r.box, "stat", "-c", "%u", "/n/copy"))
    tap.same("on disk", SUB + 32, (r.root / "volumes/n/data/copy").stat().st_uid)
    r.berth("run", "--rm", "-v", f"{r.home}:/mine", r.box, "touch", "/mine/made")
    tap.same("the user's", UID, (r.home / "made").stat().st_uid)
    tap.same("one is left", "n\n", r.berth("volume", "ls", "-q"))
    r.berth("volume", "rm", "n")


@tap.case("unpack: a bundle of one's own, which berth-runtime runs")
def unpack(r):
    r.berth("unpack", r.box, str(r.home / "bundle"))
    assert (r.home / "bundle/rootfs/bin/busybox").exists(), "no file is there"
    tap.same("owner", UID, (r.home / "bundle/rootfs/bin/busybox").stat().st_uid)


if __name__ == "__main__":
    sys.exit(ordinary.main(__file__))
