#!/usr/bin/env python3
"""Attacks on and by container networks; the names CNI-nn are those of the list that they were collected in.

Names, plugin types and namespaces that are refused before anything is made (CNI-01, -02, -15) are unit tests as well; kill -9
in mid ADD and churn (CNI-09, -17) are in 93-network-faults.py.
"""
import json
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import tap  # noqa: E402
from netlab import Server, ask, refuses, sh  # noqa: E402
from tap import case, same  # noqa: E402

WIRE, OUT = "192.0.2.1", "192.0.2.2"


def outside(lab):
    return lab.outside("outside", "wire0", f"{WIRE}/24", f"{OUT}/24")


def box_on(lab, name, *options, network="one"):
    box = lab.container(name)
    box.up("--network", network, *options)
    return box


def in_box(box, *command, rc=0):
    return sh("nsenter", f"--net={box.netns}", *command, rc=rc)


@case("CNI-01 plugin types that are paths: refused, and nothing runs")
def plugin_paths(lab):
    evil = lab.work / "evil"
    evil.write_text("#!/bin/sh\ntouch /run/evil-ran\n")
    evil.chmod(0o755)
    for kind in ("../../evil", str(evil), "", ".", "..", "a/b", "sh\0", " "):
        lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": kind}]})
        lab.add("net", lab.netns(), rc=1)
        if kind.strip():  # none is allowed, and manages no addresses; a blank one is looked for by the plugin
            lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge", "ipam": {"type": kind}}]})
            lab.add("net", lab.netns(), rc=1)
    same("ran", False, os.path.exists("/run/evil-ran"))
    same("entries", [], netlab.cached())


@case("CNI-02 names of networks, containers and interfaces: refused before any file is made")
def names(lab):
    lab.network_command("create", "one")
    ns = lab.netns()
    before = netlab.Counts()
    for name in ("../x", "a/b", ".", "..", "", " ", "a b", "x" * 300, "-x", "a\n", "a;b"):
        lab.command("add", "--id", "good", "--", name, f"/run/netns/{ns}", rc=1)
        lab.command("add", f"--id={name or '../'}", "one", f"/run/netns/{ns}", rc=1)
        lab.network_command("up", "--network", "one", "--", name, f"/run/netns/{ns}", rc=1)
    for name in ("a/b", ".", "..", " ", "a b", "a\n", "sixteen_bytes_xx", "a:b"):
        lab.command("add", "one", f"/run/netns/{ns}", rc=1, env={"CNI_IFNAME": name})
    before.require_same(netlab.Counts(), "after all", allow=netlab.KEPT)


def advertise(box):
    """A default route by the container, and a prefix to make addresses in: type 134."""
    index = json.loads(in_box(box, "ip", "-j", "link", "show", "eth0").stdout)[0]["ifindex"]
    prefix = bytes([3, 4, 64, 0xC0]) + b"\xff" * 8 + bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:bad::")
    text = bytes([134, 0, 0, 0, 64, 0]) + (1800).to_bytes(2, "big") + bytes(8) + prefix
    with netlab.inside(box.netns):
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    with raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.sendto(text, ("ff02::1", 0, 0, index))


@case("CNI-03 a container sends router advertisements: the host's routes and addresses stay")
def router_advertisements(lab):
    for name in ("all", "default"):
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{name}/accept_ra").write_text("2")
    lab.network_command("create", "--ipv6", "--open", "one")
    box = box_on(lab, "box")
    bridge = json.loads(lab.network_command("inspect", "one").stdout)[0]["bridge"]
    accept = pathlib.Path(f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra")
    same("accept_ra of the bridge", "0", accept.read_text().strip())
    netlab.wait_until("an address to send from", lambda: "tentative" not in in_box(box, "ip", "-6", "addr").stdout)
    before = netlab.Counts()
    advertise(box)
    with Server(None, 7001, "host"):  # what was sent before this has arrived before this
        same("the host", True, ask(box.netns, box.gateway(), 7001) is not None)
    before.require_same(netlab.Counts(), "after an advertisement")
    accept.write_text("2")

    def believed():
        advertise(box)
        return "2001:bad:" in sh("ip", "-6", "route").stdout
    netlab.wait_until("a host that believes it", believed)


@case("CNI-04 port 53 is published: what passes through the host to somebody else's port 53 is not touched")
def passing(lab):
    lab.outside("outside", "wire0", f"{WIRE}/24", f"{OUT}/24")
    lab.outside("client", "wire1", "198.51.100.1/24", "198.51.100.2/24")
    sh("ip", "-n", "outside", "route", "add", "default", "via", WIRE)
    sh("ip", "-n", "client", "route", "add", "default", "via", "198.51.100.1")
    lab.network_command("create", "one")
    box = box_on(lab, "box", "-p", "53:53/udp", "-p", "53:53/tcp")
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with Server(box.netns, 53, "box", kind), Server("outside", 53, "outside", kind):
            same("through the host", "outside 198.51.100.2", ask("client", OUT, 53, kind))
            same("to the host", "box", (ask("client", WIRE, 53, kind) or "").split(" ")[0])


@case("CNI-05 somebody else's rule for a port stays in front of ours")
def order(lab):
    outside(lab)
    lab.network_command("create", "one")
    other = lab.netns("other")
    sh("ip", "link", "add", "veth-o", "type", "veth", "peer", "name", "eth0", "netns", other)
    sh("ip", "addr", "add", "203.0.113.1/24", "dev", "veth-o")
    sh("ip", "link", "set", "veth-o", "up")
    sh("ip", "-n", other, "addr", "add", "203.0.113.2/24", "dev", "eth0")
    sh("ip", "-n", other, "link", "set", "eth0", "up")
    sh("ip", "-n", other, "route", "add", "default", "via", "203.0.113.1")
    sh("iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-d", WIRE, "--dport", "8080", "-j", "DNAT", "--to", "203.0.113.2:80")
    box = box_on(lab, "box", "-p", "8080:80")
    with Server(other, 80, "other"), Server(box.netns, 80, "box"):
        same("first come", f"other {OUT}", ask("outside", WIRE, 8080))


@case("CNI-06 a port published on 127.0.0.1, and a container's own address, are not reached from the LAN")
def from_the_lan(lab):
    outside(lab)
    lab.network_command("create", "one")
    lab.network_command("create", "--open", "two")
    box = box_on(lab, "box", "-p", "127.0.0.1:8080:80")
    free = box_on(lab, "free", network="two")
    for address in (box.addresses()[0], free.addresses()[0], "127.0.0.1"):
        sh("ip", "-n", "outside", "route", "add", address, "via", WIRE, rc=None)
    with Server(box.netns, 80, "box"), Server(free.netns, 80, "free"):
        same("from the host", "box", (ask(None, "127.0.0.1", 8080) or "").split(" ")[0])
        same("published, by the host's address", True, refuses("outside", WIRE, 8080))
        same("directly", True, refuses("outside", box.addresses()[0], 80))
        same("directly, where that is wanted", f"free {OUT}", ask("outside", free.addresses()[0], 80))


@case("CNI-07 one port of the host for two containers: the second fails and is told by whom, the first stays")
def one_port(lab):
    outside(lab)
    lab.network_command("create", "one")
    lab.network_command("create", "two")
    first = box_on(lab, "first", "-p", "8080:80", "-p", "127.0.0.1:9090:80")
    before = netlab.Counts()
    for network, port in (("one", "8080:80"), ("two", "8080:81"), ("one", "127.0.0.1:8080:80"), ("one", "8000-8090:100-190"),
                          ("one", "9090:80"), ("one", "0.0.0.0:9090:80")):
        second = lab.container()
        text = second.up("--network", network, "-p", port, rc=1)
        same(f"{port}: {text}", True, "published by container first" in text)
        before.require_same(netlab.Counts(), port, allow=netlab.KEPT)
    for port in ("8080:80/udp", "192.0.2.1:9090:80", "8081:80"):
        lab.container().up("--network", "one", "-p", port)
    with Server(first.netns, 80, "first"):
        same("the first", f"first {OUT}", ask("outside", WIRE, 8080))
    first.kill()
    third = box_on(lab, "third", "-p", "8080:80")
    with Server(third.netns, 80, "third"):
        same("after its end", f"third {OUT}", ask("outside", WIRE, 8080))


def mac_of(box):
    return json.loads(in_box(box, "ip", "-j", "link", "show", "eth0").stdout)[0]["address"]


@case("CNI-08 a container with another MAC address than it was given is not heard")
def spoofing(lab):
    for options in ((), ("--open",)):  # by rules of ours, and by the plugin's
        lab.network_command("create", *options, "one")
        evil, victim = box_on(lab, "evil"), box_on(lab, "victim")
        with Server(None, 7001, "host"):
            same("before", f"host {evil.addresses()[0]}", ask(evil.netns, evil.gateway(), 7001))
            in_box(evil, "ip", "link", "set", "eth0", "address", mac_of(victim))
            same("as another", True, refuses(evil.netns, evil.gateway(), 7001))
        lab.network_command("rm", "-f", "one")
        lab.sweep()


def send_frame(box, destination, kind, payload):
    """From the container's own MAC address."""
    with netlab.inside(box.netns):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with raw:
        raw.bind(("eth0", 0))
        raw.send(bytes.fromhex((destination + mac_of(box)).replace(":", "")) + kind.to_bytes(2, "big") + payload)


def arp_reply(box, claimed, target):
    hardware = bytes.fromhex(mac_of(box).replace(":", ""))
    send_frame(box, mac_of(target), 0x0806, bytes([0, 1, 8, 0, 6, 4, 0, 2]) + hardware + socket.inet_aton(claimed)
               + bytes.fromhex(mac_of(target).replace(":", "")) + socket.inet_aton(target.addresses()[0]))


def checksum(data):
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def icmp6(box, target, source, destination, body):
    """body is without its checksum, which stands behind its first two bytes."""
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    whole = body[:2] + checksum(ends + len(body).to_bytes(4, "big") + bytes([0, 0, 0, 58]) + body) + body[4:]
    send_frame(box, mac_of(target), 0x86DD, bytes([0x60, 0, 0, 0]) + len(whole).to_bytes(2, "big") + bytes([58, 255]) + ends + whole)


def neighbour_advertisement(box, claimed, target):
    body = bytes([136, 0, 0, 0, 0x60, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, claimed) + bytes([2, 1]) + \
        bytes.fromhex(mac_of(box).replace(":", ""))
    icmp6(box, target, box.addresses()[1], target.addresses()[1], body)


def neighbours(box, address):
    return [x.get("lladdr") for x in json.loads(in_box(box, "ip", "-j", "neigh", "show", address).stdout or "[]")]


def udp4(box, target, source):
    destination = target.addresses()[0]
    body = (40000).to_bytes(2, "big") + (7003).to_bytes(2, "big") + (9).to_bytes(2, "big") + b"\0\0?"
    head = bytes([0x45, 0, 0, 20 + len(body), 0, 1, 0, 0, 64, 17, 0, 0]) + socket.inet_aton(source) + socket.inet_aton(destination)
    send_frame(box, mac_of(target), 0x0800, head[:10] + checksum(head) + head[12:] + body)


def believes(lab, evil, victim, target):
    """What a container takes from another that claims a third one's addresses under its own MAC address."""
    believed = []
    sh("nsenter", f"--net={target.netns}", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/neigh/eth0/locktime")  # it would not listen for a second
    with netlab.socket_in(target.netns, socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 7003))
        for a, address in enumerate(victim.addresses()):
            with Server(victim.netns, 7001, "victim"):
                same("before", f"victim {target.addresses()[a]}", ask(target.netns, address, 7001))
            (arp_reply, neighbour_advertisement)[a](evil, address, target)
        udp4(evil, target, victim.addresses()[0])
        udp4(evil, target, evil.addresses()[0])  # which comes after all of it
        sources = [listener.recvfrom(10)[1][0]]
        if sources != [evil.addresses()[0]]:
            sources.append(listener.recvfrom(10)[1][0])
    believed += ["packet"] * (victim.addresses()[0] in sources)
    for what, address in zip(("ARP", "advertisement"), victim.addresses()):
        believed += [what] * (mac_of(evil) in neighbours(target, address))
    return believed


@case("CNI-08 ARP, neighbour advertisements and packets by which a container claims another's address under its own MAC address")
def claims(lab):
    for options, want in (((), []), (("--open",), ["packet", "ARP", "advertisement"])):
        lab.network_command("create", "--ipv6", *options, "one")
        boxes = [box_on(lab, x) for x in ("evil", "victim", "target")]
        for box in boxes:
            netlab.wait_until("addresses", lambda box=box: "tentative" not in in_box(box, "ip", "-6", "addr").stdout)
        same(f"believed: {options}", want, believes(lab, *boxes))
        same("checked", 0 if options else 3, len(netlab.senders()))
        for box in boxes:
            box.down()
        same("afterwards", [], netlab.senders())
        lab.network_command("rm", "one")
        lab.sweep()


@case("CNI-08 router advertisements to another container; rules of interfaces that are gone go by gc")
def routers(lab):
    lab.network_command("create", "--ipv6", "one")
    evil, target = box_on(lab, "evil"), box_on(lab, "target")
    for name in ("all", "eth0"):
        sh("nsenter", f"--net={target.netns}", "sh", "-c", f"echo 2 >/proc/sys/net/ipv6/conf/{name}/accept_ra")
    netlab.wait_until("an address to send from", lambda: "tentative" not in in_box(evil, "ip", "-6", "addr").stdout)
    advertise(evil)
    with Server(target.netns, 7001, "target"):
        same("alive", f"target {evil.addresses()[0]}", ask(evil.netns, target.addresses()[0], 7001))
    same("routes", False, "2001:bad:" in in_box(target, "ip", "-6", "route").stdout)
    sh("ip", "link", "add", "vethgone", "type", "veth", "peer", "name", "vethpeer")
    sh("nft", "add chain netdev berth from-vethgone { type filter hook ingress device vethgone priority 0; }")
    sh("ip", "link", "del", "vethgone")
    lab.network_command("gc")
    same("chains", 2, len(netlab.senders()))
    sh("nft", "flush", "table", "netdev", "berth")

    def believed():
        advertise(evil)
        return "2001:bad:" in in_box(target, "ip", "-6", "route").stdout
    netlab.wait_until("a target that believes it without rules", believed)
    evil.kill()
    target.kill()
    lab.network_command("gc")
    same("afterwards", [], netlab.senders())


@case("CNI-09 a torn lease: the address is not given twice, and DEL frees it")
def torn(lab):
    lab.network_command("create", "--subnet", "10.60.0.0/24", "one")
    box = box_on(lab, "box")
    lease = pathlib.Path(netlab.leases()[0])
    lease.write_text("")
    other = box_on(lab, "other")
    same("addresses", ["10.60.0.2", "10.60.0.3"], box.addresses() + other.addresses())
    other.down()
    box.down()
    lab.network_command("rm", "one")
    same("leases", [], netlab.leases())


@case("CNI-10 DEL with the namespace gone and the cache torn, twice: success, and nothing is left")
def torn_cache(lab):
    lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [
        {"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}},
        {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}]})
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    ns = lab.netns()
    lab.add("net", ns, caps=ports)
    lab.delete("net", ns)
    before = netlab.Counts()
    for text in ("", "{", "null", '{"kind":"cniCacheV1"}'):
        lab.add("net", ns, caps=ports)
        (pathlib.Path("/var/lib/cni/results") / netlab.cached()[0]).write_text(text)
        lab.delete("net", ns, caps=ports)
        lab.delete("net", ns, caps=ports)
        before.require_same(netlab.Counts(), repr(text))
    lab.add("net", ns, caps=ports)
    sh("ip", "netns", "del", ns)
    lab.delete("net", ns)
    lab.delete("net", ns)
    before.require_same(netlab.Counts(), "a namespace that is gone")


@case("CNI-11 DEL of `ab` leaves the rules, ports and names of `abc` and of `a`")
def prefixes(lab):
    lab.network_command("create", "one")
    ids = ("a", "ab", "abc")
    warm = box_on(lab, "ab", "-p", "8082:80")
    warm.down()
    boxes = {}
    for number, ident in enumerate(ids):
        if ident != "ab":
            boxes[ident] = box_on(lab, ident, "-p", f"808{number}:80", "--name", ident)
    before = netlab.Counts()
    boxes["ab"] = box_on(lab, "ab", "-p", "8089:80", "--name", "ab")
    boxes["ab"].down()
    before.require_same(netlab.Counts(), "after DEL of ab")
    for number, ident in ((0, "a"), (2, "abc")):
        with Server(boxes[ident].netns, 80, ident):
            same(ident, ident, (ask(None, boxes[ident].gateway(), 8080 + number) or "").split(" ")[0])


@case("CNI-13 quotes, semicolons and lines in names, aliases and arguments: refused; no shell, no second pair")
def injection(lab):
    lab.network_command("create", "one")
    box = lab.container("box")
    for text in ('a"b', "a;b", "a\nb", "a'b", "$(x)", "a b", "a,b", "a\tb"):
        for option in ("--name", "--hostname", "--network-alias"):
            box.up("--network", "one", option, text, rc=1)
        box.up("--network", f"one:alias={text}", rc=1)
        box.up("--add-host", f"{text}:10.0.0.1", rc=1)
    ns = lab.netns()
    for text in ("K=V;", "K", "=V", "K=a;MAC", "K=a\nMAC=b", "K=V;;L=W"):
        lab.add("one", ns, args=text, rc=1)
    for port in ('80:80/tcp" accept', "80:80/x", "[::1:80:80", "1.2.3.4;x:80:80", "80:80:80:80", "99999:80", "80:0", "80-79:80-79"):
        box.up("--network", "one", "-p", port, rc=1)
    same("entries", [], netlab.cached())


@case("CNI-14 tuning: only what is below net/ is set, and in the container only")
def sysctls(lab):
    core = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    for name in ("net/../kernel/core_pattern", "kernel.core_pattern", "kernel/core_pattern", "net.ipv4/../../kernel/core_pattern"):
        lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "tuning", "sysctl": {name: "|/bin/false"}}]})
        lab.add("net", lab.netns(), rc=1)
        same(name, core, pathlib.Path("/proc/sys/kernel/core_pattern").read_text())
    lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}},
        {"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"}}]})
    ns = lab.netns()
    lab.add("net", ns)
    same("in the container", "1", sh("ip", "netns", "exec", ns, "cat", "/proc/sys/net/ipv4/conf/all/log_martians").stdout.strip())
    same("on the host", "0", pathlib.Path("/proc/sys/net/ipv4/conf/all/log_martians").read_text().strip())


@case("CNI-15 namespaces that are none, or the host's: refused")
def namespaces(lab):
    lab.network_command("create", "one")
    for path in ("/proc/1/ns/net", "/proc/self/ns/net", "/proc/self/ns/mnt", "/etc/passwd", "/dev/null", "/nowhere", "/run"):
        lab.command("add", "--id", "box", "one", path, rc=1)
        lab.network_command("up", "--network", "one", "box", path, rc=1)
    lab.network_command("up", "--network", "one", "box", "1", rc=1)
    same("entries", [], netlab.cached())


@case("CNI-16 a bridge with the name of an interface that is none: refused, and the interface stays as it is")
def bridge_name(lab):
    outside(lab)
    lab.network_command("create", "--bridge", "wire0", "two", rc=1)
    lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [
        {"type": "bridge", "bridge": "wire0", "isGateway": True, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}}]})
    before = netlab.Counts()
    lab.add("net", lab.netns(), rc=1)
    before.require_same(netlab.Counts(), "after the refusal")


@case("CNI-18 a flow of UDP to a container that is gone does not go on to the next one by an old connection")
def flows(lab):
    outside(lab)
    lab.network_command("create", "one")
    first = box_on(lab, "first", "-p", "5353:53/udp")
    with netlab.socket_in("outside", socket.SOCK_DGRAM) as flow:
        flow.connect((WIRE, 5353))
        with Server(first.netns, 53, "first", socket.SOCK_DGRAM):
            flow.send(b"?")
            same("first", f"first {OUT}", flow.recv(100).decode())
        first.down()
        second = box_on(lab, "second", "-p", "5353:53/udp")
        with Server(second.netns, 53, "second", socket.SOCK_DGRAM):
            flow.send(b"?")
            same("the same flow", f"second {OUT}", flow.recv(100).decode())


@case("CNI-20 a network that cannot be set up: failure, and the container has nothing but its loopback interface")
def no_network(lab):
    lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}},
        {"type": "tuning", "sysctl": {"net.ipv4.none.such": "1"}}]})
    box = lab.container("box")
    same("told", True, "tuning" in box.up("--network", "net", rc=1))
    links = [x["ifname"] for x in json.loads(in_box(box, "ip", "-j", "link").stdout)]
    same("links", ["lo"], links)


@case("CNI-21 results and leases are for root only")
def modes(lab):
    lab.network_command("create", "one")
    box_on(lab, "box")
    for path in ("/var/lib/cni/results", *[f"/var/lib/cni/results/{x}" for x in netlab.cached()], "/run/berth-net"):
        same(path, 0, os.stat(path).st_mode & 0o077)


if __name__ == "__main__":
    netlab.enter()
    with netlab.Lab() as the_lab:
        tap.main(the_lab, after_each=netlab.Lab.sweep)
