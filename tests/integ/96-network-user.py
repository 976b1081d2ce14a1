#!/usr/bin/env python3
"""Containers of an ordinary user: pasta speaks for them.

The user is one without rights on the host, in a network namespace that plays the host; /dev/net/tun is there for everybody, as
udev makes it.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import netrun  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402
from netlab import Server, ask, refuses, sh  # noqa: E402
from tap import Skip, case, same  # noqa: E402

USER = 64999
WIRE, OUT = "192.0.2.1", "192.0.2.2"


class User:
    """A user of the host, with a wire to the outside."""

    def __init__(self, lab):
        if not shutil.which("pasta"):
            raise Skip("no pasta")
        lab.outside("outside", "wire0", f"{WIRE}/24", f"{OUT}/24")
        sh("ip", "route", "add", "default", "via", OUT)
        self.lab, self.home = lab, lab.work / "home"
        self.home.mkdir(exist_ok=True)
        os.chown(self.home, USER, USER)
        os.chmod(lab.work, 0o755)
        self.tun()
        self.as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", f"HOME={self.home}",
                        f"XDG_RUNTIME_DIR={self.home}", f"XDG_DATA_HOME={self.home}"]
        p = sh(*self.as_user, "unshare", "-Urn", "sh", "-c", ":", rc=None)
        if p.returncode != 0:
            raise Skip(f"users may not make user namespaces here: {p.stderr.strip()}")

    def tun(self):
        node = self.lab.work / "tun"
        try:
            if not node.exists():
                os.mknod(node, 0o020666, os.makedev(10, 200))
                os.chmod(node, 0o666)
            sh("mount", "--bind", node, "/dev/net/tun")
            os.close(os.open("/dev/net/tun", os.O_RDWR))
        except (OSError, AssertionError) as e:
            raise Skip(f"no /dev/net/tun for users: {e}") from e

    def container(self, name):
        child = subprocess.Popen([*self.as_user, "unshare", "-Urn", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.lab.children.append(child)
        own = os.readlink("/proc/self/ns/net")
        netlab.wait_until("a namespace", lambda: netlab.namespace_of(child.pid) not in (None, own))
        netlab.wait_until("root in it", lambda: pathlib.Path(f"/proc/{child.pid}/uid_map").read_text().strip())
        return UserContainer(self, name, child)


class UserContainer(netlab.Container):
    def __init__(self, user, name, child):
        super().__init__(user.lab, name, child)
        self.user = user

    def command(self, verb, *args, rc=0):
        return sh(*self.user.as_user, netlab.BERTH_NET, "network", verb, *args, rc=rc)

    def up(self, *options, rc=0, **_):
        return self.command("up", *options, self.name, str(self.child.pid), rc=rc)

    def down(self, rc=0):
        return self.command("down", self.name, rc=rc)


def speakers():
    """Processes of pasta; one that has ended and waits to be reaped is none."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            program = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[0]
            if os.path.basename(program) == b"pasta":
                found.append(int(entry))
    return found


@case("a user's container reaches out, its ports are reached, TCP and UDP; the host's loopback interface is not")
def traffic(lab):
    user = User(lab)
    box = user.container("box")
    files = [user.home / x for x in ("hosts", "resolv.conf")]
    text = box.up("-p", "8080:80", "-p", "5353:53/udp", "--hosts-file", files[0], "--resolv-file", files[1], "--dns", "10.1.1.1",
                  "--add-host", "other:10.2.2.2").stdout
    same("network", True, '"pasta"' in text)
    for kind, inner, outer in ((socket.SOCK_STREAM, 80, 8080), (socket.SOCK_DGRAM, 53, 5353)):
        with Server(box.netns, inner, "box", kind):
            same(f"port {outer}", "box", (ask("outside", WIRE, outer, kind) or "nobody").split(" ")[0])
    with Server("outside", 7000, "outside"):
        same("outside", f"outside {WIRE}", ask(box.netns, OUT, 7000))
    with Server(None, 7002, "host"):
        for address in ("127.0.0.1", OUT):
            same(f"the host's loopback interface by {address}", True, refuses(box.netns, address, 7002))
    same("resolv.conf", "nameserver 10.1.1.1\n", files[1].read_text())
    same("hosts", True, "10.2.2.2\tother" in files[0].read_text())
    same("speakers", 1, len(speakers()))
    box.down()
    netlab.wait_until("pasta's end", lambda: not speakers())
    same("after down", True, refuses("outside", WIRE, 8080))
    box.down()


@case("what speaks for a container that is gone is ended by the next start")
def swept(lab):
    user = User(lab)
    first, second = user.container("first"), user.container("second")
    first.up("-p", "8080:80")
    first.kill()
    second.up("-p", "8080:80")
    with Server(second.netns, 80, "second"):
        # pasta of Debian 12 knows whom to tell once the container has spoken.
        netlab.wait_until("the port", lambda: (ask("outside", WIRE, 8080, timeout=1) or "").startswith("second"))
    second.down()
    netlab.wait_until("pasta's end", lambda: not speakers())


@case("what pasta cannot do is an error: addresses of choice, SCTP, another network beside it, a port that is taken")
def refused(lab):
    user = User(lab)
    box = user.container("box")
    for options in (("--ip", "10.0.0.2"), ("--mac-address", "02:00:00:00:00:01"), ("-p", "80:80/sctp"),
                    ("--network", "pasta", "--network", "one")):
        box.up(*options, rc=1)
        same(f"{options}: speakers", [], speakers())
    with netlab.socket_in(None) as taken:
        taken.bind(("0.0.0.0", 8080))
        taken.listen()
        box.up("-p", "8080:80", rc=1)
    netlab.wait_until("nobody speaks", lambda: not speakers())


class UserBerth:
    """berth of a user who is root of a user namespace of his own, and of nothing else."""

    def __init__(self, user, r):
        self.user, self.pid = user, 0
        child = subprocess.Popen([*user.as_user, "unshare", "-Urm", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        user.lab.children.append(child)
        netlab.wait_until("a namespace", lambda: netlab.comm_of(child.pid) == "sleep")
        self.command = [*user.as_user, "nsenter", f"--target={child.pid}", "--user", "--mount", "--preserve-credentials", runner.BERTH,
                        "--root", user.home / "images", "--state", user.home / "state", "--runtime", runner.RUNTIME]
        self.box = r.push_busybox()
        self.berth("pull", self.box)

    def berth(self, *args, rc=0):
        return sh(*self.command, *args, rc=rc).stdout

    def up(self, name, *options):
        serve = netrun.SERVE.replace("$0", name)
        self.berth("run", "-d", "--name", name, *options, self.box, "sh", "-c", serve)
        return json.loads(self.berth("inspect", name))[0]["state"]


@case("berth run by an ordinary user: a port, one that is free, restart, SIGKILL of the shim; pasta ends with the container")
def run(lab):
    user = User(lab)
    with runner.Runner() as r:
        b = UserBerth(user, r)
        same("without a network", "1", b.berth("run", "--rm", "--network", "none", b.box, "sh", "-c", "ip -o link | wc -l").strip())
        for options in ((), ("--network", "pasta")):
            same(f"with one: {options}", True, f"{WIRE}/24" in b.berth("run", "--rm", *options, b.box, "ip", "addr"))
        netlab.wait_until("pasta's end", lambda: not speakers())
        state = b.up("one", "-p", "8080:80", "-p", "80", "--dns", "10.1.1.1", "--add-host", "other:10.2.2.2")
        same("networks", ["pasta"], [x["network"] for x in state["networks"]])
        same("by its port", "one answers", netrun.answers("outside", WIRE, 8080))
        free = int(b.berth("port", "one").splitlines()[1].rsplit(":", 1)[1])
        same("by the free one", "one answers", netrun.answers("outside", WIRE, free))
        same("resolv.conf", "nameserver 10.1.1.1\n", b.berth("exec", "one", "cat", "/etc/resolv.conf"))
        same("hosts", True, "10.2.2.2\tother" in b.berth("exec", "one", "cat", "/etc/hosts"))
        b.berth("restart", "-t", "0", "one")
        same("restarted", "one answers", netrun.answers("outside", WIRE, 8080))
        same("speakers", 1, len(speakers()))
        second = b.up("two", "-p", "8081:80")
        same("the first goes on", (2, "one answers"), (len(speakers()), netrun.answers("outside", WIRE, 8080)))
        for pid in (netrun.parent_of(second["pid"]), second["pid"]):
            os.kill(pid, signal.SIGKILL)
        netlab.wait_until("its end", lambda: not os.path.exists(f"/proc/{second['pid']}"))
        b.berth("network", "gc")
        same("after gc", 1, len(speakers()))
        fourth = b.up("four", "-p", "8081:80")
        for pid in (netrun.parent_of(fourth["pid"]), fourth["pid"]):
            os.kill(pid, signal.SIGKILL)
        netlab.wait_until("its end", lambda: not os.path.exists(f"/proc/{fourth['pid']}"))
        b.up("three", "-p", "8081:80")
        same("in its place", "three answers", netrun.answers("outside", WIRE, 8081))
        b.berth("rm", "-f", "one", "two", "three", "four")
        netlab.wait_until("pasta's end", lambda: not speakers())
        fifth = b.up("five", "-p", "8081:80")
        os.kill(netrun.parent_of(fifth["pid"]), signal.SIGKILL)
        netlab.wait_until("the shim is gone", lambda: not json.loads(b.berth("inspect", "five"))[0]["state"]["supervised"])
        same("it runs without its shim", ("running", "five answers"), (json.loads(b.berth("inspect", "five"))[0]["state"]["status"], netrun.answers("outside", WIRE, 8081)))
        b.berth("rm", "-f", "five")
        netlab.wait_until("the end of pasta and of the container", lambda: not speakers() and not os.path.exists(f"/proc/{fifth['pid']}"))
        same("kept", ([], []), tuple(os.listdir(user.home / "berth-net" / x) for x in ("netns", "pids")))


if __name__ == "__main__":
    netlab.enter()
    with netlab.Lab() as the_lab:
        tap.main(the_lab, after_each=netlab.Lab.sweep)
