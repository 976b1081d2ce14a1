#!/usr/bin/env python3
"""`berth run` on networks: what the shim attaches and detaches, and what is left when shim, berth or container are killed."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
from netlab import Server, ask, refuses, sh  # noqa: E402
from netrun import OUT, WIRE, answers, main, outside, parent_of  # noqa: E402
from tap import case, same  # noqa: E402


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


@case("run without --network: the default one, made by its first use; ports, names and the way out")
def default(b):
    outside(b.lab)
    same("before", [], b.r.berth("network", "ls", "-q").split())
    b.up("one", "-p", "8080:80")
    same("by the port", "one answers", answers("outside", WIRE, 8080))
    same("networks", ["berth"], b.r.berth("network", "ls", "-q").split())
    b.up("two")
    same("by name", "one answers", b.r.berth("exec", "two", "sh", "-c", "echo | nc one 80").strip())
    with Server("outside", 7002, "outside"):
        same("out, masqueraded", f"outside {WIRE}", ask(f"/proc/{b.pid('two')}/ns/net", OUT, 7002))
    b.r.berth("create", "--name", "three", b.box, "sleep", "100")
    b.r.berth("start", "three")
    same("of create and start", ["berth"], [x["network"] for x in json.loads(b.r.berth("inspect", "three"))[0]["state"]["networks"]])


LINKS = "ls /sys/class/net"  # in the order of names


@case("run without --network: none where the plugins are missing, which is told; what needs one is refused then")
def no_plugins(b):
    os.environ["CNI_PATH"] = str(b.lab.work / "nothing")
    try:
        p = b.r.run("run", "--rm", b.box, "sh", "-c", LINKS)
        same("links", ["lo"], p.stdout.split())
        same(f"told: {p.stderr}", (1, True, True),
             (len(p.stderr.splitlines()), "containernetworking-plugins" in p.stderr, '"bridge"' in p.stderr))
        for options in (("-p", "8080:80"), ("--add-host", "a:10.0.0.1")):
            p = b.r.run("run", "--rm", *options, b.box, "true", check=False)
            same(f"{options}: {p.stderr}", (125, True), (p.returncode, "containernetworking-plugins" in p.stderr))
        p = b.r.run("run", "--rm", "--network", "none", b.box, "sh", "-c", LINKS)
        same("asked for", (["lo"], ""), (p.stdout.split(), p.stderr))
    finally:
        os.environ.update(b.lab.env)
    same("containers", [], json.loads(b.r.berth("ps", "-a", "--json")))
    same("networks", [], b.r.berth("network", "ls", "-q").split())


@case("BERTH_NETWORK is the network of who names none: none, or another by its name; --network is stronger")
def preset(b):
    b.r.berth("network", "create", "web")

    def run(name, *options, check=True):
        os.environ["BERTH_NETWORK"] = name
        try:
            return b.r.run("run", "--rm", *options, b.box, "sh", "-c", LINKS, check=check)
        finally:
            del os.environ["BERTH_NETWORK"]
    same("none", (["lo"], ""), (run("none").stdout.split(), run("none").stderr))
    same("by name", ["eth0", "lo"], run("web").stdout.split())
    same("--network", ["eth0", "lo"], run("none", "--network", "web").stdout.split())
    same("none, and a port", True, "need a network by name" in run("none", "-p", "80:80", check=False).stderr)
    same("one that is not there", True, "nosuch" in run("nosuch", check=False).stderr)
    same("networks", ["web"], b.r.berth("network", "ls", "-q").split())


@case("run with a user namespace of its own: on a network, by a port, and in another's network namespace")
def userns(b):
    outside(b.lab)
    b.r.berth("network", "create", "web")
    b.up("one", "--network", "web", "-p", "8080:80", "--uidmap", "0:600000:1000")
    b.up("two", "--network", "web", "--uidmap", "0:700000:1000")
    same("by the port", "one answers", answers("outside", WIRE, 8080))
    same("from the other, by name", "one answers", b.r.berth("exec", "two", "sh", "-c", "echo | nc one 80").strip())
    same("the one who joins", "one answers", b.run("--network", "container:one", "--uidmap", "0:800000:1000", "echo | nc 127.0.0.1 80").strip())
    same("who may ping", "0\t0", b.r.berth("exec", "one", "cat", "/proc/sys/net/ipv4/ping_group_range").strip())


def published(b, name):
    """{(inner, protocol): (address, outer)} as inspect has them; ps and port must say the same."""
    seen = {}
    for network in json.loads(b.r.berth("inspect", name))[0]["state"]["networks"]:
        for p in network["ports"]:
            seen[p["containerPort"], p["protocol"]] = (p.get("hostIP", "0.0.0.0"), p["hostPort"])
    row = next(x for x in b.r.berth("ps").splitlines() if x.split()[-1] == name)
    for (inner, protocol), (address, outer) in seen.items():
        shown = f"[{address}]" if ":" in address else address
        same(f"ps: {inner}", True, f"{shown}:{outer}->{inner}/{protocol}" in row)
        same(f"port {inner}", f"{shown}:{outer}", b.r.berth("port", name, f"{inner}/{protocol}").strip())
    same("ports", len(seen), len(b.r.berth("port", name).splitlines()))
    return seen


@case("ports: address of the host, range, UDP, IPv6, and any that is free: as ps, inspect and port tell it")
def ports(b):
    outside(b.lab)
    b.r.berth("network", "create", "--ipv6", "web")
    b.up("one", "--network", "web", "-p", "127.0.0.1:8080:80", "-p", "[::1]:8081:80/sctp", "-p", "9000-9002:7000-7002", "-p", "5353:53/udp",
         "-p", "80/udp", "-p", "81", "-p", f"{WIRE}::82")
    seen = published(b, "one")
    same("as they were asked for", [("127.0.0.1", 8080), ("::1", 8081), ("0.0.0.0", 9001), ("0.0.0.0", 5353)],
         [seen[x] for x in ((80, "tcp"), (80, "sctp"), (7001, "tcp"), (53, "udp"))])
    same("the address of a free one", WIRE, seen[82, "tcp"][0])
    free = [seen[x][1] for x in ((80, "udp"), (81, "tcp"), (82, "tcp"))]
    same("free ones", (3, True), (len(set(free)), min(free) > 1024))
    same("on the host", "one answers", answers(None, "127.0.0.1", 8080))
    same("from outside", True, refuses("outside", WIRE, 8080))
    same("not published", "berth: container one does not publish port 83\n", b.r.run("port", "one", "83", check=False).stderr)
    for inner, outer in ((53, 5353), (80, seen[80, "udp"][1])):
        with netlab.Server(f"/proc/{b.pid('one')}/ns/net", inner, "one", socket.SOCK_DGRAM):
            same(f"UDP {outer}", f"one {OUT}", ask("outside", WIRE, outer, socket.SOCK_DGRAM))
    b.r.berth("rm", "-f", "one")
    same("after rm", "", b.r.berth("ps", "-aq"))


@case("any port that is free: 30 containers at once have 30 ports, each its own, and none that a program of the host has")
def free_ports(b):
    b.r.berth("network", "create", "web")
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        was = f.read()
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40039")
    taken = [netlab.socket_in(None) for _ in range(8)]
    try:
        for n, s in enumerate(taken):
            s.bind(("", 40000 + n))
            s.listen()
        boxes = [b.lab.container() for _ in range(30)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(lambda box: box.up("--network", "web", "-p", "80"), boxes))
        numbers = [s["ports"][0]["hostPort"] for s in seen]
        same("ports", (30, True), (len(set(numbers)), all(40008 <= n < 40040 for n in numbers)))
    finally:
        for s in taken:
            s.close()
        pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(was)


@case("a port that is free is another one after a restart, and the old one is closed")
def free_again(b):
    b.r.berth("network", "create", "web")
    b.up("one", "--network", "web", "-p", "80")
    first = published(b, "one")[80, "tcp"][1]
    same("first", "one answers", answers(None, "127.0.0.1", first))
    b.r.berth("restart", "-t", "0", "one")
    second = published(b, "one")[80, "tcp"][1]
    same("second", "one answers", answers(None, "127.0.0.1", second))
    if first != second:
        same("the first", True, refuses(None, "127.0.0.1", first))


@case("address, MAC address, name servers, hosts and host name of choice, as the container sees them; two stacks")
def choices(b):
    b.r.berth("network", "create", "--subnet", "10.70.0.0/24", "--subnet", "fd70::/64", "a")
    b.up("one", "--network", "a", "--ip", "10.70.0.9", "--ip6", "fd70::9", "--mac-address", "02:aa:bb:cc:dd:ee", "--hostname", "my.host",
         "--dns", "10.1.1.1", "--dns", "fd00::53", "--dns-search", "a.example", "--dns-option", "ndots:2",
         "--add-host", "other:10.2.2.2", "--add-host", "gate:host-gateway")
    link = b.r.berth("exec", "one", "ip", "addr", "show", "eth0")
    for text in ("10.70.0.9/24", "fd70::9/64", "02:aa:bb:cc:dd:ee"):
        same(text, True, text in link)
    same("host name", "my.host", b.r.berth("exec", "one", "hostname").strip())
    same("resolv.conf", "search a.example\nnameserver 10.1.1.1\nnameserver fd00::53\noptions ndots:2\n",
         b.r.berth("exec", "one", "cat", "/etc/resolv.conf"))
    lines = b.r.berth("exec", "one", "cat", "/etc/hosts").splitlines()
    for line in ("127.0.0.1\tlocalhost", "10.70.0.9\tmy.host", "fd70::9\tmy.host", "10.2.2.2\tother", "10.70.0.1\tgate"):
        same(line, True, line in lines)
    shown = json.loads(b.r.berth("inspect", "one"))[0]["state"]["networks"][0]
    same("inspect", ("a", "eth0", "attached", ["10.70.0.9/24", "fd70::9/64"], "02:aa:bb:cc:dd:ee"),
         tuple(shown[k] for k in ("network", "interface", "state", "ips", "mac")))
    same("taken", True, "10.70.0.9" in b.r.run("run", "--rm", "--network", "a", "--ip", "10.70.0.9", b.box, "true", check=False).stderr)


@case("limits of bandwidth: what the plugin was told holds for the interface; a network that cannot is refused")
def bandwidth(b):
    b.lab.network({"cniVersion": "1.0.0", "name": "slow", "plugins": [
        {"type": "bridge", "bridge": "br0", "isGateway": True, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}}]})
    b.r.berth("network", "create", "web")
    b.up("one", "--network", "slow:ingress=16M,egress=8M")
    rates = sorted(q["options"]["rate"] for q in json.loads(sh("tc", "-j", "qdisc", "show").stdout) if q["kind"] == "tbf")
    same("bytes a second", [1000000, 2000000], rates)
    told = b.r.run("run", "--rm", "--network", "web:ingress=16M", b.box, "true", check=False)
    same("a network that cannot", (True, True), (told.returncode != 0, "limit bandwidth" in told.stderr))
    b.r.berth("rm", "-f", "one")
    same("limits afterwards", False, "tbf" in sh("tc", "qdisc", "show").stdout)


@case("network connect and disconnect, by the container's name: address, names, ports, and nothing is left when it ends")
def connect(b):
    for name in ("a", "b"):
        b.r.berth("network", "create", name)
    b.up("one", "--network", "a")
    b.up("two", "--network", "b")
    b.up("warm", "--network", "b", "-p", "8081:80")
    b.r.berth("rm", "-f", "warm")
    before = netlab.Counts()
    b.r.berth("network", "connect", "--alias", "visitor", "-p", "8081:80", "b", "one")
    for asked in ("one", "visitor"):
        same(asked, "one answers", b.r.berth("exec", "two", "sh", "-c", f"echo | nc {asked} 80").strip())
    same("the other way", "two answers", b.r.berth("exec", "one", "sh", "-c", "echo | nc two 80").strip())
    same("by the port", "one answers", answers(None, "127.0.0.1", published(b, "one")[80, "tcp"][1]))
    same("networks", ["a", "b"], [x["network"] for x in json.loads(b.r.berth("inspect", "one"))[0]["state"]["networks"]])
    b.r.berth("network", "disconnect", "b", "one")
    before.require_same(netlab.Counts(), "after disconnect")
    hosts = b.r.berth("exec", "one", "cat", "/etc/hosts")
    same(f"hosts: {hosts}", False, "\ttwo " in hosts)
    b.r.berth("network", "disconnect", "a", "one")
    b.r.berth("network", "connect", "a", "one")
    b.r.berth("network", "connect", "b", "one")
    before = netlab.Counts()
    b.r.berth("rm", "-f", "one")
    left = netlab.Counts()
    same("entries", [f"b-{json.loads(b.r.berth('inspect', 'two'))[0]['state']['id']}-eth0"], left.cached)
    same("leases", 1, len(left.leases))
    for network in ("none", "host", "container:two"):
        b.up("other", "--network", network, command="sleep 100")
        told = b.r.run("network", "connect", "a", "other", check=False)
        same(network, (1, True), (told.returncode, "not on networks by name" in told.stderr))
        b.r.berth("rm", "-f", "other")


@case("network ls, inspect, check, reload, rm through berth: with containers that run")
def commands(b):
    outside(b.lab)
    b.r.berth("network", "create", "--label", "a=b", "web")
    b.up("one", "--network", "web", "-p", "8080:80")
    same("ls", ["web"], b.r.berth("network", "ls", "-q").split())
    same("check", True, ": ok" in b.r.berth("network", "check", "web"))
    rules, address = netlab.rules(), b.address("one")
    sh("nft", "flush", "ruleset")
    same("flushed", True, refuses("outside", WIRE, 8080))
    same("check afterwards", 1, b.r.run("network", "check", "web", check=False).returncode)
    b.r.berth("network", "reload")
    same("reload", (rules, address, "one answers"), (netlab.rules(), b.address("one"), answers("outside", WIRE, 8080)))
    same("rm", True, "1 containers attached" in b.r.run("network", "rm", "web", check=False).stderr)
    b.r.berth("network", "rm", "-f", "web")
    same("gone", ([], [], []), (b.r.berth("network", "ls", "-q").split(), netlab.cached(), netlab.leases()))
    b.r.berth("rm", "-f", "one")


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
    for options, told in ((("-p", "80:"), "HOSTPORT:]PORT"), (("--network", "host", "-p", "80:80"), "need a network"),
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
    shim = parent_of(pid)
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
    main()
