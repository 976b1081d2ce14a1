#!/usr/bin/env python3
"""Traffic over networks that berth makes: between containers, from the host, to and from a machine outside.

The network namespace of the test plays the host, other namespaces play containers and the outside.
"""
import concurrent.futures
import json
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import tap  # noqa: E402
from netlab import Server, ask, refuses, sh  # noqa: E402
from tap import case, same  # noqa: E402

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
WIRE4, OUT4 = "192.0.2.1", "192.0.2.2"
WIRE6, OUT6 = "2001:db8::1", "2001:db8::2"


def outside(lab):
    """A machine on the host's wire.  It knows no way to containers."""
    return lab.outside("outside", "wire0", f"{WIRE4}/24", f"{OUT4}/24", [(f"{WIRE6}/64", f"{OUT6}/64")])


def settle(container):
    """Addresses of IPv6 are usable once the kernel has seen that nobody else has them."""
    def tentative():
        text = sh("nsenter", f"--net={container.netns}", "ip", "-6", "addr", "show", "tentative").stdout
        return "inet6" in text
    netlab.wait_until("addresses of IPv6", lambda: not tentative())
    netlab.wait_until("addresses of the host", lambda: not sh("ip", "-6", "addr", "show", "tentative").stdout.strip())


def pair(lab, *options, network="dual", create=("--ipv6",)):
    lab.network_command("create", *create, network)
    both = lab.container("alpha"), lab.container("beta")
    for c in both:
        c.up("--network", network, "--name", c.name, *options)
        settle(c)
    return both


@case("two containers reach each other by IPv4 and IPv6, TCP and UDP, and see each other's own address")
def between(lab):
    alpha, beta = pair(lab)
    for kind in (TCP, UDP):
        with Server(beta.netns, 7000, "beta", kind):
            for a, b in zip(alpha.addresses(), beta.addresses()):
                same(f"{b} {kind}", f"beta {a}", ask(alpha.netns, b, 7000, kind))
                same(f"the host, {b} {kind}", "beta", (ask(None, b, 7000, kind) or "").split()[0])


@case("the default network is made by its first use, and gives a way to others, to the host and out")
def default(lab):
    out = outside(lab)
    alpha, beta = lab.container("alpha"), lab.container("beta")
    alpha.up()
    beta.up()
    listed = json.loads(lab.command("--json", "network", "ls").stdout)
    same("networks", [("berth", True)], [(x["name"], x["ours"]) for x in listed])
    same("plugins", ["bridge", "portmap", "firewall", "tuning"], listed[0]["plugins"])
    with Server(beta.netns, 7000, "beta"), Server(None, 7001, "host"), Server(out, 7002, "outside"):
        same("another", f"beta {alpha.addresses()[0]}", ask(alpha.netns, beta.addresses()[0], 7000))
        same("the host", f"host {alpha.addresses()[0]}", ask(alpha.netns, alpha.gateway(), 7001))
        same("outside, masqueraded", f"outside {WIRE4}", ask(alpha.netns, OUT4, 7002))


@case("a published port is reached from outside, from the host and from itself; TCP and UDP, IPv4 and IPv6")
def published(lab):
    out = outside(lab)
    lab.network_command("create", "--ipv6", "dual")
    box = lab.container("box")
    box.up("--network", "dual", "-p", "8080:80", "-p", "5353:53/udp", "-p", "9000-9002:9100-9102")
    settle(box)
    for kind, inner, outer in ((TCP, 80, 8080), (UDP, 53, 5353), (TCP, 9101, 9001)):
        with Server(box.netns, inner, "box", kind):
            same(f"{outer} from outside, IPv4", f"box {OUT4}", ask(out, WIRE4, outer, kind))
            same(f"{outer} from outside, IPv6", f"box {OUT6}", ask(out, WIRE6, outer, kind))
            for address in ("127.0.0.1", WIRE4, WIRE6):
                same(f"{outer} from the host by {address}", "box", (ask(None, address, outer, kind) or "").split(" ")[0])
            same(f"{outer} from the container itself", "box", (ask(box.netns, WIRE4, outer, kind) or "").split(" ")[0])
    box.down()
    with Server(box.netns, 80, "box"):
        same("after down", True, refuses(out, WIRE4, 8080))


@case("what goes out is masqueraded, by IPv4 and IPv6; an internal network has no way out")
def masquerade(lab):
    out = outside(lab)
    alpha, _ = pair(lab)
    lab.network_command("create", "--internal", "inside")
    hidden = lab.container("hidden")
    hidden.up("--network", "inside")
    for kind in (TCP, UDP):
        with Server(out, 7002, "outside", kind):
            same("IPv4", f"outside {WIRE4}", ask(alpha.netns, OUT4, 7002, kind))
            same("IPv6", f"outside {WIRE6}", ask(alpha.netns, OUT6, 7002, kind))
            same("an internal network", True, refuses(hidden.netns, OUT4, 7002, kind))


@case("containers of two networks do not reach each other; on an isolated network not even those of one")
def isolation(lab):
    for name in ("red", "blue"):
        lab.network_command("create", "--ipv6", name)
    lab.network_command("create", "--ipv6", "--isolated", "cells")
    red, blue, one, two = [lab.container(x) for x in ("red1", "blue1", "one", "two")]
    red.up("--network", "red")
    blue.up("--network", "blue", "-p", "8088:7000")
    one.up("--network", "cells")
    two.up("--network", "cells")
    for box in (red, blue, one, two):
        settle(box)
    for kind in (TCP, UDP):
        with Server(blue.netns, 7000, "blue", kind), Server(two.netns, 7000, "two", kind):
            for blue_at, two_at in zip(blue.addresses(), two.addresses()):
                same(f"two networks, {blue_at} {kind}", True, refuses(red.netns, blue_at, 7000, kind))
                same(f"the host still, {blue_at} {kind}", "blue", (ask(None, blue_at, 7000, kind) or "").split(" ")[0])
                same(f"an isolated network, by the host, {two_at} {kind}", "two", (ask(None, two_at, 7000, kind) or "").split(" ")[0])
                same(f"from another network into it, {two_at} {kind}", True, refuses(red.netns, two_at, 7000, kind))
                same(f"within it, {two_at} {kind}", True, refuses(one.netns, two_at, 7000, kind))
        if kind == TCP:
            with Server(blue.netns, 7000, "blue"):
                same("a published port, by the host", "blue", (ask(None, "127.0.0.1", 8088) or "").split(" ")[0])
                for box in (red, one):
                    same(f"a published port, {box.name}", True, refuses(box.netns, box.gateway(), 8088))
        with Server(None, 7001, "host", kind):
            same(f"from it to the host {kind}", f"host {one.addresses()[0]}", ask(one.netns, one.gateway(), 7001, kind))
    # A container on both networks is a way between them only if it wants to be one.
    bridge = lab.container("both")
    seen = bridge.up("--network", "red", "--network", "blue")
    same("interfaces", ["eth0", "eth1"], [x["interface"] for x in seen["networks"]])
    with Server(blue.netns, 7000, "blue"):
        same("by its second network", f"blue {bridge.addresses(1)[0]}", ask(bridge.netns, blue.addresses()[0], 7000))


@case("address and MAC address of choice hold")
def static(lab):
    lab.network_command("create", "--subnet", "10.77.0.0/24", "--subnet", "fd77::/64", "fixed")
    box, peer = lab.container("box"), lab.container("peer")
    box.up("--network", "fixed", "--ip", "10.77.0.99", "--ip6", "fd77::99", "--mac-address", "02:aa:bb:cc:dd:ee")
    peer.up("--network", "fixed:ip=10.77.0.100,mac=02:aa:bb:cc:dd:ef,interface_name=net7")
    same("result", ["10.77.0.99", "fd77::99"], box.addresses())
    with Server(box.netns, 7000, "box"):
        same("peer", "box 10.77.0.100", ask(peer.netns, "10.77.0.99", 7000))
    links = {x["ifname"]: x["address"] for x in json.loads(
        sh("nsenter", f"--net={peer.netns}", "ip", "-j", "link").stdout)}
    same("interface and MAC address", "02:aa:bb:cc:dd:ef", links.get("net7"))
    neighbours = sh("nsenter", f"--net={peer.netns}", "ip", "neigh", "show", "10.77.0.99").stdout
    same("MAC address as the peer sees it", True, "02:aa:bb:cc:dd:ee" in neighbours)
    other = lab.container("other")
    same("taken", True, "10.77.0.99" in other.up("--network", "fixed", "--ip", "10.77.0.99", rc=1))


def push(sock, n):
    sent = 0
    while sent < n:
        sent += sock.send(b"x" * min(65536, n - sent))


@case("a limit of bandwidth is kept in both directions")
def bandwidth(lab):
    rate_bits, burst_bits, n = 16_000_000, 800_000, 2_000_000
    lab.network({"cniVersion": "1.0.0", "name": "slow", "plugins": [
        {"type": "bridge", "bridge": "br0", "isGateway": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}}]})
    box = lab.netns()
    result = lab.add("slow", box, caps={"bandwidth": {"ingressRate": rate_bits, "ingressBurst": burst_bits,
                                                      "egressRate": rate_bits, "egressBurst": burst_bits}})
    address = result["ips"][0]["address"].split("/")[0]
    gateway = result["ips"][0]["gateway"]
    for what, listen_in, listen_at, connect_in in (("in", box, address, None), ("out", None, gateway, box)):
        with netlab.socket_in(listen_in) as listener, netlab.socket_in(connect_in) as client:
            listener.bind((listen_at, 0))
            listener.listen()
            client.settimeout(60)
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            server.settimeout(60)
            with server, concurrent.futures.ThreadPoolExecutor(1) as pool:
                start = time.monotonic()
                pushing = pool.submit(push, client, n)
                got = 0
                while got < n:
                    got += len(server.recv(65536))
                seconds = time.monotonic() - start
                pushing.result()
        # However slow the machine is, it cannot be faster than the limit.
        least = (n * 8 - burst_bits) / rate_bits
        print(f"# {what}: {n * 8 / seconds / 1e6:.1f} Mbit/s, limit {rate_bits / 1e6:.0f}")
        if seconds < 0.9 * least:
            raise AssertionError(f"{what}: {n} bytes in {seconds:.2f} s, which takes {least:.2f} s at least")


@case("of 500 parallel starts no two have one address; after their ends no address is taken")
def parallel(lab):
    lab.network({"cniVersion": "1.0.0", "name": "many", "plugins": [
        {"type": "bridge", "bridge": "br0", "isGateway": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/22"}]]}}]})
    names = [lab.netns() for _ in range(500)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: lab.add("many", n), names))
        given = [r["ips"][0]["address"] for r in results]
        same("addresses", 500, len(set(given)))
        same("leases", 500, len(netlab.leases()))
        same("entries", 500, len(netlab.cached()))
        list(pool.map(lambda n: lab.delete("many", n), names))
    same("leases afterwards", [], netlab.leases())
    same("entries afterwards", [], netlab.cached())


@case("300 parallel starts for a network with room for 253: 253 succeed, the others are told why and leave nothing")
def full(lab):
    lab.network({"cniVersion": "1.0.0", "name": "small", "plugins": [
        {"type": "bridge", "bridge": "br0", "isGateway": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}}]})
    names = [lab.netns() for _ in range(300)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: lab.add("small", n, rc=None), names))
    good = [r["ips"][0]["address"] for r in results if isinstance(r, dict)]
    bad = [r for r in results if isinstance(r, str)]
    same("succeeded", (253, 253), (len(good), len(set(good))))
    same("told why", len(bad), sum("no IP addresses available" in x for x in bad))
    same("leases", 253, len(netlab.leases()))
    same("entries", 253, len(netlab.cached()))
    same("ports of the bridge", 253, len(netlab.ip_json("link", "show", "master", "br0")))


if __name__ == "__main__":
    netlab.enter()
    with netlab.Lab() as the_lab:
        tap.main(the_lab, after_each=netlab.Lab.sweep)
