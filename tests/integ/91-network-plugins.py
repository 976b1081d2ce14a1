#!/usr/bin/env python3
"""The plugins that people use, each with traffic and with nothing left after DEL: of Debian and the newest, where both are.

Of flannel and multus the protocol is run: by a plugin of our own (tests/lib/delegate.py) that delegates as they do, with
their configuration files; flannel's own plugin as well, where it is.  cilium's own plugin runs without its agent, if `make deps-cilium` has built it.  Of calico and
weave their configuration files are read, and their plugins missed.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import tap  # noqa: E402
from netlab import Server, ask, sh  # noqa: E402
from tap import Skip, case, same  # noqa: E402

DELEGATE = pathlib.Path(__file__).resolve().parents[1] / "lib/delegate.py"
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


def local(subnet, **more):
    return {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}], **more}


def use(lab, plugins):
    if not os.path.exists(f"{netlab.PLUGINS[plugins]}/bridge"):
        raise Skip(f"no plugins in {netlab.PLUGINS[plugins]}")
    lab.env["CNI_PATH"] = netlab.PLUGINS[plugins]


def network(lab, *plugins, version="1.0.0", name="net"):
    lab.network({"cniVersion": version, "name": name, "plugins": list(plugins)})


def addresses(result):
    return [x["address"].split("/")[0] for x in result["ips"]]


def each_set(title):
    """A case for each set of plugins."""
    def register(fn):
        for plugins in ("go", "debian"):
            @case(f"{title} ({plugins})")
            def run(lab, plugins=plugins):
                use(lab, plugins)
                fn(lab)
        return fn
    return register


def there_and_back(lab, listens, asks, address, name="box"):
    with Server(listens, 80, name):
        return (ask(asks, address, 80) or "nobody").split(" ")[0]


def around(lab, network_name, probe, caps=None, check=True):
    """ADD, the probe, CHECK, DEL; twice, and the second time nothing more is left than after the first."""
    before = None
    for _ in range(2):
        ns = lab.netns()
        result = lab.add(network_name, ns, caps=caps)
        probe(ns, result)
        if check:
            lab.check(network_name, ns, caps=caps)
        lab.delete(network_name, ns, caps=caps)
        if before:
            before.require_same(netlab.Counts(), "after DEL")
        before = netlab.Counts()


@each_set("bridge, host-local, portmap, firewall, tuning: a port, a MAC address, a sysctl")
def usual(lab):
    network(lab, {"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True, "ipam": local("10.9.0.0/24")}, PORTMAP,
            {"type": "firewall"}, {"type": "tuning", "capabilities": {"mac": True}, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}})
    # CHECK of portmap 1.1.1 looks for a chain of IPv6 that it never made.
    disable = {"disableCheck": True} if lab.env["CNI_PATH"] == netlab.PLUGINS["debian"] else {}
    conf = json.loads((lab.conf / "net.conflist").read_text())
    lab.network(dict(conf, **disable))

    def probe(ns, _):
        with Server(ns, 80, "box"):
            same("by its port", "box", (ask(None, "127.0.0.1", 8080) or "nobody").split(" ")[0])
        link = netlab.ip_json("link", "show", "eth0", netns=ns)[0]
        same("MAC address", "02:11:22:33:44:55", link["address"])
        text = sh("ip", "netns", "exec", ns, "cat", "/proc/sys/net/ipv4/conf/eth0/arp_filter").stdout.strip()
        same("sysctl", "1", text)
    around(lab, "net", probe, {**PORTS, "mac": "02:11:22:33:44:55"})


@each_set("ptp: the host and the container reach each other, and another container by the host")
def ptp(lab):
    network(lab, {"type": "ptp", "ipMasq": True, "ipam": local("10.9.0.0/24")})

    def probe(ns, result):
        same("from the host", "box", there_and_back(lab, ns, None, addresses(result)[0]))
        other = lab.netns()
        there = lab.add("net", other)
        same("from another", "other", there_and_back(lab, other, ns, addresses(there)[0], "other"))
        lab.delete("net", other)
    around(lab, "net", probe)


@each_set("macvlan: on a wire of the host, with what is at the other end")
def macvlan(lab):
    lab.outside("outside", "wire0", "10.9.0.250/24", "10.9.0.251/24")
    network(lab, {"type": "macvlan", "master": "wire0", "mode": "bridge", "ipam": local("10.9.0.0/24", rangeStart="10.9.0.10")})

    def probe(ns, result):
        same("from the wire", "box", there_and_back(lab, ns, "outside", addresses(result)[0]))
    try:
        around(lab, "net", probe)
    except AssertionError as e:
        if "operation not supported" in str(e):
            raise Skip("the kernel has no macvlan") from e
        raise


@each_set("static: addresses of the configuration and of the user, IPv4 and IPv6")
def static(lab):
    network(lab, {"type": "bridge", "bridge": "br0", "capabilities": {"ips": True}, "ipam": {"type": "static"}})
    sh("ip", "link", "add", "br0", "type", "bridge")
    sh("ip", "link", "set", "br0", "up")
    sh("ip", "addr", "add", "10.9.0.1/24", "dev", "br0")
    sh("ip", "addr", "add", "fd09::1/64", "dev", "br0", "nodad")

    def probe(ns, result):
        same("addresses", ["10.9.0.77", "fd09::77"], addresses(result))
        for address in addresses(result):
            same(address, "box", there_and_back(lab, ns, None, address))
    around(lab, "net", probe, {"ips": ["10.9.0.77/24", "fd09::77/64"]})


@each_set("loopback: the interface comes up, and answers")
def loopback(lab):
    network(lab, {"type": "loopback"})
    sh("ip", "netns", "add", "box")
    same("before", "nobody", there_and_back(lab, "box", "box", "127.0.0.1"))
    lab.add("net", "box", ifname="lo")
    same("after", "box", there_and_back(lab, "box", "box", "127.0.0.1"))
    lab.check("net", "box", ifname="lo")
    lab.delete("net", "box", ifname="lo")


@contextlib.contextmanager
def daemon(log, *command):
    with open(log, "wb") as out:
        child = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@each_set("dhcp: a real server on the wire gives the address; DEL has the plugin's daemon release it")
def dhcp(lab):
    if not shutil.which("dnsmasq"):
        raise Skip("no dnsmasq")
    lab.outside("outside", "wire0", "192.0.2.1/24", "10.9.0.1/24")
    sh("ip", "link", "add", "br0", "type", "bridge")
    sh("ip", "link", "set", "br0", "up")
    sh("ip", "link", "set", "wire0", "master", "br0")
    leases = lab.work / "leases"
    network(lab, {"type": "bridge", "bridge": "br0", "ipam": {"type": "dhcp"}})
    plugin = pathlib.Path(lab.env["CNI_PATH"]) / "dhcp"
    server = ("ip", "netns", "exec", "outside", "dnsmasq", "-k", "-p0", "-C/dev/null", f"-l{leases}", "-x", lab.work / "pid", "-u", "root",
              "--log-facility=-", "--no-ping", "-i", "wire", "--dhcp-range=10.9.0.50,10.9.0.60,1h", "--dhcp-authoritative")
    log = lab.work / "dhcp.log"
    with daemon(lab.work / "dnsmasq.log", *server), daemon(log, plugin, "daemon", "-socketpath", "/run/cni/dhcp.sock", "-pidfile", lab.work / "dhcp.pid"):
        netlab.wait_until("the daemon", lambda: os.path.exists("/run/cni/dhcp.sock"))
        netlab.wait_until("the server", (lab.work / "pid").exists)
        ns = lab.netns()
        result = lab.add("net", ns)
        address = addresses(result)[0]
        same("the server's address", True, address in leases.read_text())
        same("traffic", "box", there_and_back(lab, ns, "outside", address))
        lab.check("net", ns)
        lab.delete("net", ns)
        # The daemon's message finds the interface gone already, in both versions, so the server waits for the hour to end.
        netlab.wait_until("the daemon to release it", lambda: "releasing lease" in log.read_text())
        same("entries", [], netlab.cached())


def delegating(lab, plugins, *names):
    use(lab, plugins)
    bin_dir = lab.work / "bin"
    bin_dir.mkdir(exist_ok=True)
    for name in names:
        with contextlib.suppress(FileExistsError):
            (bin_dir / name).symlink_to(DELEGATE)
    lab.env["CNI_PATH"] = f"{bin_dir}:{netlab.PLUGINS[plugins]}"


FLANNEL = {"name": "cbr0", "cniVersion": "0.3.1", "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}}, PORTMAP]}


@case("flannel's configuration, by delegation: the lease of subnet.env, a port, no file missed without the daemon")
def flannel(lab):
    delegating(lab, "go", "flannel")
    by_lease(lab)


@case("flannel's own plugin: the same")
def own_flannel(lab):
    use(lab, "go")
    if not os.access(f"{netlab.PLUGINS['go']}/flannel", os.X_OK):
        raise Skip(f"no flannel in {netlab.PLUGINS['go']}: it is built from github.com/flannel-io/cni-plugin")
    by_lease(lab)


def by_lease(lab):
    pathlib.Path("/run/flannel/subnet.env").unlink(missing_ok=True)
    lab.network(FLANNEL)
    text = lab.add("cbr0", lab.netns(), rc=1)
    same(f"no daemon: {text}", True, "plugin flannel: ADD: " in text and "subnet.env" in text)
    same("entries", [], netlab.cached())
    os.makedirs("/run/flannel", exist_ok=True)
    pathlib.Path("/run/flannel/subnet.env").write_text(
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n")

    def probe(ns, result):
        same("subnet", "10.244.3.", addresses(result)[0][:9])
        same("MTU", 1450, netlab.ip_json("link", "show", "eth0", netns=ns)[0]["mtu"])
        with Server(ns, 80, "box"):
            same("by its port", "box", (ask(None, "127.0.0.1", 8080) or "nobody").split(" ")[0])
    around(lab, "cbr0", probe, PORTS, check=False)  # 0.3.1 has none


MULTUS = {"cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus", "capabilities": {"portMappings": True},
          "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig", "delegates": [
              {"name": "first", "plugins": [
                  {"type": "bridge", "bridge": "br0", "isGateway": True, "ipam": local("10.9.0.0/24")}, PORTMAP]},
              {"name": "second", "type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.10.0.0/24"}]]}}]}


@case("multus's configuration, with two delegates: two interfaces, the first one's result, a port")
def multus(lab):
    delegating(lab, "go", "multus")
    lab.network(MULTUS, file="00-multus.conf")

    def probe(ns, result):
        same("result", "10.9.0.", addresses(result)[0][:7])
        links = [x["ifname"] for x in netlab.ip_json("link", netns=ns)]
        same("interfaces", ["eth0", "lo", "net1"], sorted(links))
        second = netlab.ip_json("-4", "addr", "show", "net1", netns=ns)[0]["addr_info"][0]["local"]
        same("by the second", "box", there_and_back(lab, ns, None, second))
        with Server(ns, 80, "box"):
            same("by its port", "box", (ask(None, "127.0.0.1", 8080) or "nobody").split(" ")[0])
    around(lab, "multus-cni-network", probe, PORTS, check=False)


@case("multus, whose second delegate fails: the first is undone as well")
def multus_fails(lab):
    delegating(lab, "go", "multus")
    broken = dict(MULTUS, delegates=[*MULTUS["delegates"], {"name": "third", "type": "none-such"}])
    lab.network(MULTUS, file="00-multus.conf")
    ns = lab.netns()
    lab.add("multus-cni-network", ns, caps=PORTS)
    lab.delete("multus-cni-network", ns)
    before = netlab.Counts()
    lab.network(broken, file="00-multus.conf")
    text = lab.add("multus-cni-network", ns, caps=PORTS, rc=1)
    same(f"told: {text}", True, "none-such" in text)
    # DEL fails for the same reason, so the attachment stays known until the plugin is there.
    stub = lab.work / "bin/none-such"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    lab.delete("multus-cni-network", ns)
    before.require_same(netlab.Counts(), "after DEL")


CILIUM = {"cniVersion": "0.3.1", "name": "cilium", "plugins": [
    {"type": "cilium-cni", "enable-debug": False, "log-file": "/var/run/cilium/cilium-cni.log"}]}


@case("cilium's plugin without its agent: time-out of ours and of its own, its whole error, DEL after the failed ADD")
def cilium(lab):
    if not os.path.exists(f"{netlab.PLUGINS['go']}/cilium-cni"):
        raise Skip("cilium-cni is not built: make deps-cilium")
    use(lab, "go")
    lab.network(CILIUM, file="05-cilium.conflist")
    ns = lab.netns()
    before = netlab.Counts()
    start = time.monotonic()
    text = lab.command("--timeout-ms", "2000", "add", "cilium", f"/run/netns/{ns}", rc=1).stderr
    same(f"our time-out: {text}", True, "did not end within" in text)
    print(f"# our time-out of 2 s: {time.monotonic() - start:.1f} s with the DEL")
    # What could not be undone in 2 s is undone in its own time.
    lab.command("del", "cilium", f"/run/netns/{ns}", timeout=120)
    before.require_same(netlab.Counts(), "after our time-out")
    start = time.monotonic()
    text = lab.command("add", "cilium", f"/run/netns/{ns}", rc=1, timeout=120).stderr
    print(f"# its own: {time.monotonic() - start:.1f} s with the DEL: {text.strip()[:200]}")
    same(f"its error: {text}", True, "plugin cilium-cni: ADD: unable to connect to Cilium agent" in text
         or "plugin cilium-cni: ADD: unable to connect to Cilium daemon" in text)
    before.require_same(netlab.Counts(), "after its failure")


CALICO = {"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
    {"type": "calico", "log_level": "info", "log_file_path": "/var/log/calico/cni/cni.log", "datastore_type": "kubernetes",
     "nodename": "node1", "mtu": 0, "ipam": {"type": "calico-ipam"}, "policy": {"type": "k8s"},
     "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}},
    {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}},
    {"type": "bandwidth", "capabilities": {"bandwidth": True}}]}
WEAVE = {"cniVersion": "0.3.0", "name": "weave", "plugins": [
    {"name": "weave", "type": "weave-net", "hairpinMode": True},
    {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}]}


@case("configuration files of calico and weave are read; that their plugins are missing is told, and nothing is made")
def missing(lab):
    lab.env["CNI_PATH"] = netlab.PLUGINS["go"]
    lab.network(CALICO, file="10-calico.conflist")
    lab.network(WEAVE, file="10-weave.conflist")
    same("listed", ["k8s-pod-network", "weave"], sorted(lab.network_command("ls", "-q").stdout.split()))
    before = netlab.Counts()
    for name, plugin in (("k8s-pod-network", "calico"), ("weave", "weave-net")):
        text = lab.add(name, lab.netns(), caps=PORTS, rc=1)
        same(f"{name}: {text}", True, plugin in text and netlab.PLUGINS["go"] in text)
        before.require_same(netlab.Counts(), name)


if __name__ == "__main__":
    netlab.enter()
    with netlab.Lab() as the_lab:
        tap.main(the_lab, after_each=netlab.Lab.sweep)
