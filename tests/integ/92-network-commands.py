#!/usr/bin/env python3
"""`network create, ls, inspect, rm, connect, disconnect, reload, check, gc, up, down`: what they do, and what they refuse."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import tap  # noqa: E402
from netlab import Server, ask, refuses, sh  # noqa: E402
from tap import case, same  # noqa: E402


def inspect(lab, name):
    return json.loads(lab.network_command("inspect", name).stdout)[0]


def conflist(lab, name):
    return json.loads((lab.conf / f"90-{name}.conflist").read_text())


@case("create: subnet, gateway, range, labels, bridge, MTU; what it writes is a list that others read")
def create(lab):
    lab.network_command("create", "--subnet", "10.50.0.0/24", "--gateway", "10.50.0.254", "--ip-range", "10.50.0.64/26",
                        "--bridge", "mybr", "--mtu", "1400", "--label", "a=b", "--label", "c=", "one")
    seen = inspect(lab, "one")
    same("subnets", ["10.50.0.0/24"], seen["subnets"])
    same("labels", {"a": "b", "c": ""}, seen["labels"])
    same("bridge", "mybr", seen["bridge"])
    bridge = conflist(lab, "one")["plugins"][0]
    same("range", {"subnet": "10.50.0.0/24", "gateway": "10.50.0.254", "rangeStart": "10.50.0.65", "rangeEnd": "10.50.0.127"},
         bridge["ipam"]["ranges"][0][0])
    same("MTU", 1400, bridge["mtu"])
    same("by cnitool", 0, lab.cnitool("status", "one", lab.netns()).returncode)
    box = lab.container()
    box.up("--network", "one")
    same("first of the range", "10.50.0.65", box.addresses()[0])
    same("gateway", "10.50.0.254", box.gateway())
    same("MTU of the interface", 1400, json.loads(sh("nsenter", f"--net={box.netns}", "ip", "-j", "link", "show", "eth0").stdout)[0]["mtu"])


@case("create: what is taken, wrong or impossible is refused, and leaves no file")
def refused(lab):
    lab.network_command("create", "--subnet", "10.50.0.0/24", "one")
    sh("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
    sh("ip", "addr", "add", "172.31.0.1/16", "dev", "wire0")
    before = sorted(os.listdir(lab.conf))
    for options, told in (
            (("one",), "there is a network one"),
            (("--subnet", "10.50.0.128/25", "two"), "overlaps"),
            (("--subnet", "172.31.5.0/24", "two"), "overlaps"),
            (("--subnet", "10.51.0.1/24", "two"), "not a subnet"),
            (("--subnet", "10.51.0.0/31", "two"), "no room"),
            (("--subnet", "10.51.0.0/24", "--gateway", "10.52.0.1", "two"), "within"),
            (("--bridge", "wire0", "two"), "is no bridge"),
            (("--bridge", "a/b", "two"), "interface name"),
            (("../two",), "network name"),
            (("host",), "stands for something else"),
            (("none",), "stands for something else")):
        p = lab.network_command("create", *options, rc=None)
        same(f"{options}: status", True, p.returncode in (1, 2))
        same(f"{options}: {p.stderr}", True, told in p.stderr)
    same("files", before, sorted(os.listdir(lab.conf)))


@case("ls, inspect and rm: a network in use stays, one of others is not ours to remove, -f detaches first")
def remove(lab):
    lab.network_command("create", "mine")
    lab.network({"cniVersion": "1.0.0", "name": "theirs", "plugins": [{"type": "bridge", "bridge": "br9"}]})
    box = lab.container("box")
    box.up("--network", "mine")
    names = lab.network_command("ls", "-q").stdout.split()
    same("listed", ["mine", "theirs"], sorted(names))
    attachments = inspect(lab, "mine")["attachments"]
    same("attached", [("box", "eth0", "attached", box.addresses()[0])],
         [(a["container"], a["interface"], a["state"], a["ips"][0].split("/")[0]) for a in attachments])
    same("in use", True, "1 containers attached" in lab.network_command("rm", "mine", rc=1).stderr)
    same("not ours", True, "was not made by berth" in lab.network_command("rm", "theirs", rc=1).stderr)
    bridge = inspect(lab, "mine")["bridge"]
    lab.network_command("rm", "-f", "mine")
    same("files", ["theirs.conflist"], os.listdir(lab.conf))
    same("bridge", False, bridge in [x["ifname"] for x in netlab.ip_json("link")])
    same("entries", [], netlab.cached())
    same("rules", False, "mine" in sh("nft", "list", "ruleset").stdout)
    same("gone", True, "mine" in lab.network_command("inspect", "mine", rc=1).stderr)


@case("connect and disconnect a container that runs; the first network stays")
def connect(lab):
    for name in ("one", "two"):
        lab.network_command("create", name)
    box, peer = lab.container("box"), lab.container("peer")
    box.up("--network", "one")
    peer.up("--network", "two")
    with Server(peer.netns, 7000, "peer"):
        same("before", True, refuses(box.netns, peer.addresses()[0], 7000))
        result = json.loads(lab.network_command("connect", "--ip", peer.addresses()[0].rsplit(".", 1)[0] + ".77",
                                                "two", "box").stdout)
        mine = result["ips"][0]["address"].split("/")[0]
        same("address", True, mine.endswith(".77"))
        same("after", f"peer {mine}", ask(box.netns, peer.addresses()[0], 7000))
        lab.network_command("disconnect", "two", "box")
        same("afterwards", True, refuses(box.netns, peer.addresses()[0], 7000))
    same("not attached", True, "is not attached" in lab.network_command("disconnect", "two", "box", rc=1).stderr)
    same("entries", ["one-box-eth0", "two-peer-eth0"], netlab.cached())
    box.down()
    peer.down()
    same("entries at the end", [], netlab.cached())


@case("reload: after somebody flushed the firewall, ports, isolation and addresses are as before")
def reload(lab):
    lab.outside("outside", "wire0", "192.0.2.1/24", "192.0.2.2/24")
    for name in ("one", "two"):
        lab.network_command("create", name)
    box, other = lab.container("box"), lab.container("other")
    box.up("--network", "one", "-p", "8080:80", "--mac-address", "02:00:00:00:00:77")
    other.up("--network", "two")
    rules, address = netlab.rules(), box.addresses()[0]
    sh("nft", "flush", "ruleset")
    with Server(box.netns, 80, "box"):
        same("flushed", True, refuses("outside", "192.0.2.1", 8080))
        lab.network_command("reload")
        same("rules", rules, netlab.rules())
        same("port", "box 192.0.2.2", ask("outside", "192.0.2.1", 8080))
        same("isolation", True, refuses(other.netns, address, 80))
    seen = inspect(lab, "one")["attachments"][0]
    same("address", address, seen["ips"][0].split("/")[0])
    same("MAC address", "02:00:00:00:00:77", seen["mac"])


@case("check: says what is wrong with which attachment")
def check(lab):
    lab.network_command("create", "one")
    box = lab.container("box")
    box.up("--network", "one")
    same("well", True, "one box eth0: ok" in lab.network_command("check", "one").stdout)
    sh("nsenter", f"--net={box.netns}", "ip", "addr", "flush", "dev", "eth0")
    p = lab.network_command("check", "one", rc=1)
    same("told", True, "one box eth0: " in p.stdout and ": ok" not in p.stdout.splitlines()[-1])


def hosts(container):
    return pathlib.Path(container.seen["hosts"]).read_text()


@case("names: containers on one network know each other by name, alias and id, as long as they are there")
def names(lab):
    lab.network_command("create", "one")
    lab.network_command("create", "two")
    alpha, beta, far = [lab.container(x) for x in ("0123456789abcdef", "fedcba9876543210", "far")]
    alpha.up("--network", "one", "--name", "web", "--hostname", "web.local")
    beta.up("--network", "one:alias=db", "--name", "store", "--network-alias", "db2")
    far.up("--network", "two", "--name", "far")
    for name in ("store", "db", "db2", "fedcba987654"):
        same(name, beta.addresses()[0], alpha.run("getent", "hosts", name).stdout.split()[0])
    same("its own", alpha.addresses()[0], alpha.run("getent", "hosts", "web.local").stdout.split()[0])
    same("another network", False, "far" in hosts(alpha))
    with Server(beta.netns, 7000, "store"):
        text = alpha.run("python3", "-c", "import socket; s = socket.create_connection(('db', 7000), 5); s.send(b'?'); print(s.recv(99).decode())")
        same("by name", "store", text.stdout.split()[0])
    lab.network_command("connect", "--alias", "visitor", "one", "far")
    same("who was connected", True, "visitor" in hosts(alpha))
    lab.network_command("disconnect", "one", "far")
    same("who was disconnected", False, "visitor" in hosts(alpha))
    pathlib.Path(alpha.seen["hosts"]).write_text("10.0.0.1 own\n" + hosts(alpha))
    beta.down()
    same("who left", False, "store" in hosts(alpha))
    same("what the container wrote", True, "10.0.0.1 own" in hosts(alpha))
    alpha.down()
    same("its file", False, os.path.exists(alpha.seen["hosts"]))


@case("hosts and resolv.conf of the caller are written in place: name servers by the user, the network or the host")
def files(lab):
    files = lab.work / "etc"
    files.mkdir()
    for name in ("hosts", "resolv.conf"):
        (files / name).write_text("old\n")
    inodes = [os.stat(files / x).st_ino for x in ("hosts", "resolv.conf")]
    lab.network_command("create", "one")
    given = ("--network", "one", "--hosts-file", files / "hosts", "--resolv-file", files / "resolv.conf", "--name", "web")
    box = lab.container("box")
    box.up(*given, "--dns", "10.1.1.1", "--dns-search", "a.example", "--dns-option", "ndots:2", "--add-host", "other:10.2.2.2",
           "--add-host", "router:host-gateway", "--hostname", "web.local")
    same("resolv.conf", "search a.example\nnameserver 10.1.1.1\noptions ndots:2\n", (files / "resolv.conf").read_text())
    lines = (files / "hosts").read_text().splitlines()
    for line in (f"{box.addresses()[0]}\tweb.local", "10.2.2.2\tother", f"{box.gateway()}\trouter", "127.0.0.1\tlocalhost"):
        same(line, True, line in lines)
    same("in place", inodes, [os.stat(files / x).st_ino for x in ("hosts", "resolv.conf")])
    box.down()
    same("the caller's file stays", True, (files / "hosts").exists())
    resolv = lab.work / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.53\nnameserver 10.9.9.9\nsearch corp.example\n")
    box.up(*given, rc=0)
    again = lab.container("again")
    sh("mount", "--bind", resolv, "/etc/resolv.conf")
    try:
        again.up(*given)
    finally:
        sh("umount", "/etc/resolv.conf")
    same("of the host, but for its loopback", "search corp.example\nnameserver 10.9.9.9\n", (files / "resolv.conf").read_text())


@case("up: all networks or none; what is wrong is told before anything is made")
def all_or_none(lab):
    lab.network_command("create", "--subnet", "10.60.0.0/24", "one")
    lab.network({"cniVersion": "1.0.0", "name": "broken", "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.61.0.0/24"}]]}},
        {"type": "tuning", "sysctl": {"net.ipv4.none.such": "1"}}]})
    box = lab.container("box")
    box.up("--network", "one")
    box.down()  # what plugins make once is there
    before = netlab.Counts()
    for options, told in (
            (("--network", "one", "--network", "broken"), "tuning"),
            (("--network", "one", "--network", "missing"), "missing"),
            (("--network", "one", "--network", "one"), "two networks"),
            (("--network", "one", "--network", "broken:interface_name=eth0"), "tuning"),
            (("--network", "broken:interface_name=e", "--network", "one:interface_name=e"), "both on"),
            (("--network", "broken", "-p", "80:80"), "publish ports"),
            (("--network", "one:nothing=x"), "no option"),
            (("--network", "host"), "not a network"),
            (("--network", "ns:/x"), "not a network"),
            (("--network", "container:"), "nothing stands"),
            (("-p", "80:"), "HOSTPORT:]PORT"),
            (("-p", "0:80"), "HOSTPORT:]PORT"),
            (("--add-host", "x"), "NAME:IP"),
            (("--ip", "10.0.0"), "no address"),
            (("--dns", "x"), "no address"),
            (("--name", "a b"), "no name")):
        text = box.up(*options, rc=1)
        same(f"{options}: {text}", True, told in text)
        before.require_same(netlab.Counts(), f"{options}", allow=netlab.KEPT)
    gone = lab.container("gone")
    gone.kill()
    same("no such process", True, "ns/net" in gone.up("--network", "one", rc=1))
    text = lab.command("network", "up", "--network", "one", "box", "1", rc=1).stderr
    same("the host's namespace", True, "host's network namespace" in text)
    before.require_same(netlab.Counts(), "at the end", allow=netlab.KEPT)


@case("down: of what was never up, twice, and after the namespace went away by itself")
def down(lab):
    lab.network_command("create", "one")
    box = lab.container("box")
    box.down()
    box.up("--network", "one", "-p", "8080:80")
    box.down()
    before = netlab.Counts()
    box.down()
    box.up("--network", "one", "-p", "8080:80")
    box.kill()
    box.down()
    before.require_same(netlab.Counts(), "after down")
    same("kept namespaces", [], os.listdir("/run/berth-net/netns"))
    same("numbers of processes", [], os.listdir("/run/berth-net/pids"))


@case("a container that died without a word is removed by the next start, and by gc; one that lives is let be")
def gone(lab):
    lab.network_command("create", "one")
    lives = lab.container("lives")
    lives.up("--network", "one")
    warm = lab.container("warm")
    warm.up("--network", "one", "-p", "8080:80")
    warm.down()
    before = netlab.Counts()
    for how in ("the next start", "gc"):
        dead = lab.container("dead")
        dead.up("--network", "one", "-p", "8080:80")
        dead.kill()
        if how == "gc":
            lab.network_command("gc")
        else:
            after = lab.container("next")
            after.up("--network", "one", "-p", "8080:80")
            after.down()
        before.require_same(netlab.Counts(), how)
        same(f"{how}: kept", ["lives"], os.listdir("/run/berth-net/netns"))
    with Server(lives.netns, 80, "lives"):
        same("lives", "lives", (ask(None, lives.addresses()[0], 80) or "").split(" ")[0])


@case("a reboot: what was attached is removed by gc, though namespaces, interfaces and rules are gone already")
def reboot(lab):
    lab.network_command("create", "one")
    for name in ("a", "b"):
        lab.container(name).up("--network", "one", "-p", f"{8080 + ord(name)}:80")
    for child in lab.children:
        child.kill()
        child.wait()
    lab.children = []
    sh("nft", "flush", "ruleset")
    sh("umount", "-l", "/run/berth-net/netns")
    sh("sh", "-c", "rm -rf /run/berth-net/*")
    lab.network_command("gc")
    same("entries", [], netlab.cached())
    same("leases", [], netlab.leases())
    box = lab.container("a")
    box.up("--network", "one", "-p", "8080:80")
    same("attached", ["one-a-eth0"], netlab.cached())


if __name__ == "__main__":
    netlab.enter()
    with netlab.Lab() as the_lab:
        tap.main(the_lab, after_each=netlab.Lab.sweep)
