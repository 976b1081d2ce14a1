#!/usr/bin/env python3
"""`berth run` on networks: what the shim attaches and detaches, and what is left when shim, berth or container are killed."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402
from netlab import ask, refuses, sh  # noqa: E402
from tap import case, same  # noqa: E402

SERVE = "while :; do nc -l -p 80 -e sh -c 'read x; echo $0 answers'; done"
WIRE, OUT = "192.0.2.1", "192.0.2.2"


def outside(lab):
    return lab.outside("outside", "wire0", f"{WIRE}/24", f"{OUT}/24")


class Bench:
    """berth in the lab: its environment names the lab's plugins and configurations."""

    def __init__(self, lab, r):
        self.lab, self.r = lab, r
        os.environ.update(lab.env)
        self.box = r.push_busybox()
        r.berth("pull", self.box)

    def up(self, name, *options, command=SERVE):
        self.r.berth("run", "-d", "--name", name, *options, self.box, "sh", "-c", command.replace("$0", name))
        return json.loads(self.r.berth("inspect", name))[0]

    def pid(self, name):
        return json.loads(self.r.berth("inspect", name))[0]["state"]["pid"]

    def address(self, name):
        out = self.r.berth("exec", name, "ip", "-4", "-o", "addr", "show", "eth0").split()
        return out[3].split("/")[0]

    def run(self, *options):
        return self.r.berth("run", "--rm", *options[:-1], self.box, "sh", "-c", options[-1])


def answers(netns, address, port):
    text = []

    def asked():
        text[:] = [ask_line(netns, address, port)]
        return text[0] is not None
    netlab.wait_until(f"an answer of {address}:{port}", asked)
    return text[0]


def ask_line(netns, address, port):
    with netlab.socket_in(netns) as s, contextlib.suppress(OSError):
        s.settimeout(2)
        s.connect((address, port))
        s.send(b"?\n")
        return s.recv(100).decode().strip() or None
    return None


@case("run on a network: its address, a port from outside, names of others, resolv.conf; nothing is left after rm")
def traffic(b):
    outside(b.lab)
    b.r.berth("network", "create", "web")
    b.up("warm", "--network", "web", "-p", "8080:80")
    b.r.berth("rm", "-f", "warm")
    before = netlab.Counts()
    b.up("one", "--network", "web", "-p", "8080:80", "--dns", "10.1.1.1", "--add-host", "other:10.2.2.2")
    b.up("two", "--network", "web:alias=second", "--hostname", "two.local")
    same("by the port", "one answers", answers("outside", WIRE, 8080))
    same("from the other, by name", "one answers", b.r.berth("exec", "two", "sh", "-c", "echo | nc one 80").strip())
    same("by alias", "two answers", b.r.berth("exec", "one", "sh", "-c", "echo | nc second 80").strip())
    same("its own name", b.address("two"), b.r.berth("exec", "two", "sh", "-c", "getent hosts two.local || nslookup two.local; grep two.local /etc/hosts").split()[-2])
    same("resolv.conf", "nameserver 10.1.1.1", b.r.berth("exec", "one", "cat", "/etc/resolv.conf").strip())
    same("a host", True, "10.2.2.2\tother" in b.r.berth("exec", "one", "cat", "/etc/hosts"))
    names = [a["container"] for a in json.loads(b.r.berth("network", "inspect", "web"))[0]["attachments"]]
    same("attached", 2, len(names))
    b.r.berth("rm", "-f", "one", "two")
    before.require_same(netlab.Counts(), "after rm")
    same("the port", True, refuses("outside", WIRE, 8080))


@case("run with a port and no network: the default one, made by its first use")
def default(b):
    outside(b.lab)
    b.up("one", "-p", "8080:80")
    same("by the port", "one answers", answers("outside", WIRE, 8080))
    same("networks", ["berth"], b.r.berth("network", "ls", "-q").split())


@case("several networks, addresses of choice; container:ID and ns:PATH share another's network")
def several(b):
    b.r.berth("network", "create", "--subnet", "10.70.0.0/24", "a")
    b.r.berth("network", "create", "--subnet", "10.71.0.0/24", "b")
    b.up("one", "--network", "a:ip=10.70.0.9", "--network", "b:ip=10.71.0.9,interface_name=second")
    links = b.r.berth("exec", "one", "ip", "-4", "-o", "addr").split()
    same("addresses", True, "10.70.0.9/24" in links and "10.71.0.9/24" in links and "second" in links)
    for network in (f"container:one", f"ns:/proc/{b.pid('one')}/ns/net"):
        same(network, True, "10.71.0.9" in b.run("--network", network, "ip addr"))
    b.r.berth("rm", "-f", "one")


@case("restart and stop: attached again with the same port; stopped, nothing is attached; start attaches")
def restart(b):
    b.r.berth("network", "create", "web")
    b.up("one", "--network", "web", "-p", "8080:80", "--restart", "always")
    same("first", "one answers", answers(None, "127.0.0.1", 8080))
    first = b.pid("one")
    os.kill(first, signal.SIGKILL)
    netlab.wait_until("a restart", lambda: b.pid("one") not in (0, first))
    same("restarted", "one answers", answers(None, "127.0.0.1", 8080))
    same("entries", 1, len(netlab.cached()))
    b.r.berth("stop", "-t", "0", "one")
    same("stopped", ([], []), (netlab.cached(), netlab.leases()))
    b.r.berth("start", "one")
    same("started", "one answers", answers(None, "127.0.0.1", 8080))


@case("what is wrong is told by run, and no container or attachment is left; a network that fails stops the start")
def refused(b):
    b.lab.network({"cniVersion": "1.0.0", "name": "broken", "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.61.0.0/24"}]]}},
        {"type": "tuning", "sysctl": {"net.ipv4.none.such": "1"}}]})
    for options, told in ((("-p", "80"), "HOSTPORT:PORT"), (("--network", "host", "-p", "80:80"), "need a network"),
                          (("--network", "none", "--network", "web"), "only networks by name"), (("--network", "nosuch"), "nosuch"),
                          (("--network", "container:nosuch"), "nosuch"), (("--network", "broken"), "tuning"),
                          (("--dns", "x"), "no address"), (("--network", "broken", "-p", "80:80"), "publish ports")):
        p = b.r.run("run", "--rm", *options, b.box, "true", check=False)
        same(f"{options}: {p.stderr}", (True, True), (p.returncode != 0, told in p.stderr))
        same(f"{options}: containers", [], json.loads(b.r.berth("ps", "-a", "--json")))
        same(f"{options}: entries", ([], []), (netlab.cached(), netlab.leases()))


def killed(b, who):
    """SIGKILL of the shim and the container's process, in one order or the other."""
    pid = b.pid("one")
    shim = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    for process in (shim, pid) if who == "shim first" else (pid, shim):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    netlab.wait_until("their end", lambda: not any(os.path.exists(f"/proc/{p}") for p in (pid, shim)))


@case("SIGKILL of shim and container: rm, the next start of any container, or gc leaves nothing")
def supervision(b):
    b.r.berth("network", "create", "web")
    b.up("one", "--network", "web", "-p", "8080:80")
    b.r.berth("rm", "-f", "one")
    before = netlab.Counts()
    for who in ("shim first", "container first"):
        for how in ("rm", "gc", "another starts", "it starts again"):
            b.up("one", "--network", "web", "-p", "8080:80")
            killed(b, who)
            if how == "gc":
                b.r.berth("network", "gc")
            elif how == "another starts":
                b.run("--network", "web", "-p", "8080:80", "exit 0")
            elif how == "it starts again":
                b.r.berth("start", "one")
                same("the port", "one answers", answers(None, "127.0.0.1", 8080))
            if how != "rm" and how != "it starts again":
                before.require_same(netlab.Counts(), f"{who}, {how}, before rm")
            b.r.berth("rm", "-f", "one")
            before.require_same(netlab.Counts(), f"{who}, {how}")


@case("SIGKILL of berth while it starts a container on a network: at most one attachment, and rm leaves nothing")
def berth_killed(b):
    b.r.berth("network", "create", "web")
    b.up("one", "--network", "web")
    b.r.berth("rm", "-f", "one")
    before = netlab.Counts()
    for delay in range(10):
        child = subprocess.Popen(b.r.command("run", "-d", "--name", "one", "--network", "web", b.box, "sleep", "100"),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Where it is killed is spread over its run; what must hold holds anywhere.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.02 * delay)
        child.kill()
        child.wait()
        netlab.wait_until("the container is gone", lambda: b.r.run("rm", "-f", "--ignore", "one", check=False).returncode == 0)
        b.r.berth("network", "gc")
        before.require_same(netlab.Counts(), f"after {20 * delay} ms")


if __name__ == "__main__":
    netlab.enter()
    with netlab.Lab() as the_lab, runner.Runner() as the_runner:
        bench = Bench(the_lab, the_runner)

        def sweep(b):
            b.r.sweep()
            b.lab.sweep()
        tap.main(bench, after_each=sweep)
