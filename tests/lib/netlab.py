"""A laboratory of network namespaces for tests of berth-net; nothing in it touches the machine's own network.

    if __name__ == "__main__":
        netlab.enter()            # starts over in namespaces of its own: network, mounts, processes
        with netlab.Lab() as lab:
            tap.main(lab, after_each=netlab.Lab.sweep)

The network namespace that enter() makes plays the host.  /run, /var/lib/cni and /etc/cni are empty and private there,
and everything ends with the program.  Containers are namespaces made by lab.netns(); sockets in them are made by
socket_in().
"""
import contextlib
import ctypes
import ctypes.util
import hashlib
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BERTH_NET = os.environ.get("BERTH_NET", str(TOP / "build/bin/berth-net"))
CNITOOL = str(TOP / "build/tools/bin/cnitool")
PLUGINS = {"go": str(TOP / "build/tools/cni"), "debian": "/usr/lib/cni"}
INSIDE = "BERTH_NETLAB"
WAIT_S = 60

HOST_SYSCTLS = {"ipv4/ip_forward": "0", "ipv6/conf/all/forwarding": "0", "ipv4/conf/all/rp_filter": "2", "ipv4/conf/default/rp_filter": "2",
                "ipv6/conf/all/disable_ipv6": "0", "ipv6/conf/default/disable_ipv6": "0", "ipv4/conf/all/log_martians": "0"}

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


def libc_call(name, *args):
    if getattr(libc, name)(*args) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def enter():
    """Runs the program again where it may do as it likes; returns there."""
    if os.environ.get(INSIDE):
        prepare_host()
        return
    if os.geteuid() != 0:
        skip_all("needs root to make network namespaces")
    for tool in ("unshare", "ip", "iptables", "nft"):
        if not shutil.which(tool):
            skip_all(f"needs {tool}")
    if not os.access(BERTH_NET, os.X_OK):
        skip_all(f"{BERTH_NET} is not built")
    if not os.path.exists(f"{PLUGINS['go']}/bridge"):
        skip_all(f"no plugins in {PLUGINS['go']}: etc/deps/go-tools.sh build/tools")
    # What all of it needs of the kernel; a place without it says which.
    probe = ("ip link add probe0 type bridge && ip link add probe1 type veth peer name probe2 && nft add table ip probe && "
             "iptables -t nat -L -n && ip6tables -t nat -L -n")
    p = sh("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", probe, rc=None)
    if p.returncode != 0:
        skip_all("no network namespaces with bridges and rules here: " + " ".join(p.stderr.split()))
    # sh is process 1 of the new namespace and reaps what is left behind; exec would take that away.
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
               "--propagation", "private", "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *sys.argv]
    os.execvpe(command[0], command, dict(os.environ, **{INSIDE: "1"}))


def prepare_host():
    """What a host has: empty places for state, a loopback interface, forwarding off."""
    for place in ("/run", "/var/lib/cni", "/etc/cni"):
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    mount_sys()
    for name, value in HOST_SYSCTLS.items():  # which the machine's own may differ from
        path = pathlib.Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)
    os.makedirs("/etc/cni/net.d")
    os.makedirs("/run/lock", exist_ok=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def mount_sys():
    """/sys of this network namespace, with the machine's control groups."""
    kept = "/run/cgroup"
    os.makedirs(kept)
    subprocess.run(["mount", "--rbind", "/sys/fs/cgroup", kept], check=True)
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
    subprocess.run(["mount", "--rbind", kept, "/sys/fs/cgroup"], check=True)
    subprocess.run(["umount", "-l", kept], check=True)
    os.rmdir(kept)


def sh(*command, rc=0, env=None, stdin=None, timeout=WAIT_S, cwd=None):
    """The finished process; its exit status must be rc, unless that is None."""
    p = subprocess.run(list(map(str, command)), env=dict(os.environ, **(env or {})), input=stdin,
                       stdin=None if stdin is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=timeout, errors="replace", check=False, cwd=cwd)
    if rc is not None and p.returncode != rc:
        raise AssertionError(f"{' '.join(map(str, command))}: exit status {p.returncode}, not {rc}\n{p.stdout}{p.stderr}")
    return p


def ip_json(*args, netns=None):
    command = ["ip", *(("-n", netns) if netns else ()), "-j", *args]
    out = sh(*command).stdout.strip()
    return [x for x in json.loads(out or "[]") if x]


def wait_until(what, probe, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > end:
            raise AssertionError(f"timed out: {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def inside(netns):
    """This thread is in the namespace for the time of the block; None is the host."""
    if netns is None:
        yield
        return
    with open("/proc/thread-self/ns/net") as own, open(netns if "/" in netns else f"/run/netns/{netns}") as there:
        libc_call("setns", there.fileno(), CLONE_NEWNET)
        try:
            yield
        finally:
            libc_call("setns", own.fileno(), CLONE_NEWNET)


def socket_in(netns, kind=socket.SOCK_STREAM, family=socket.AF_INET):
    with inside(netns):
        s = socket.socket(family, kind)
    s.settimeout(5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Server:
    """Answers the first byte of each connection, and each datagram, with `NAME PEER-ADDRESS`, from within a namespace."""

    def __init__(self, netns, port, name, kind=socket.SOCK_STREAM, address="::"):
        self.name = name
        self.kind = kind
        self.socket = socket_in(netns, kind, socket.AF_INET6)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind((address, port))
        if kind == socket.SOCK_STREAM:
            self.socket.listen(16)
        self.socket.settimeout(0.1)
        self.stop = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.stop:
            try:
                if self.kind == socket.SOCK_STREAM:
                    connection, peer = self.socket.accept()
                    with connection:
                        connection.settimeout(5)
                        connection.recv(1)  # pasta of Debian 12 completes a connection when the client speaks
                        connection.sendall(self.words(peer))
                else:
                    _, peer = self.socket.recvfrom(100)
                    self.socket.sendto(self.words(peer), peer)
            except socket.timeout:
                pass
            except OSError:
                if not self.stop:
                    continue

    def words(self, peer):
        address = ipaddress.ip_address(peer[0].split("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return f"{self.name} {mapped or address}".encode()

    def close(self):
        self.stop = True
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(netns, address, port, kind=socket.SOCK_STREAM, timeout=5, source=None):
    """What a Server says to somebody in the namespace; None if nobody answers."""
    with socket_in(netns, kind, family_of(address)) as s:
        s.settimeout(timeout)
        try:
            if source:
                s.bind((source, 0))
            s.connect((address, port))
            s.send(b"?")
            return s.recv(1000).decode()
        except OSError:
            return None


def refuses(netns, address, port, kind=socket.SOCK_STREAM):
    return ask(netns, address, port, kind, timeout=1) is None


# Plugins wait a second or two until the kernel knows that nobody else has an address of IPv6.
NO_DAD = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"


def comm_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def namespace_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


class Container:
    """What `network up` attaches, and `network down` detaches; by itself it only waits."""

    def __init__(self, lab, name, child):
        self.lab, self.name, self.child = lab, name, child
        self.netns = f"/proc/{child.pid}/ns/net"
        self.seen = {}

    def up(self, *options, rc=0, **kw):
        p = self.lab.command("network", "up", *options, self.name, str(self.child.pid), rc=rc, **kw)
        if p.returncode != 0:
            return p.stderr
        self.seen = json.loads(p.stdout)
        return self.seen

    def down(self, rc=0):
        return self.lab.command("network", "down", self.name, rc=rc)

    def addresses(self, network=0):
        return [x["address"].split("/")[0] for x in self.seen["networks"][network]["result"]["ips"]]

    def gateway(self, network=0):
        return self.seen["networks"][network]["result"]["ips"][0]["gateway"]

    def run(self, *command, rc=0):
        """A program in the container's network, with its hosts file."""
        inner = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return sh("nsenter", f"--net={self.netns}", "unshare", "--mount", "sh", "-c", inner, self.seen["hosts"], *command, rc=rc)

    def kill(self):
        self.child.kill()
        self.child.wait()


class Lab:
    """Configurations, containers and the programs under test."""

    def __init__(self, plugins="go"):
        self.plugin_set = plugins
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-netlab-"))
        self.conf = self.work / "net.d"
        self.conf.mkdir()
        self.n = 0
        self.env = {"CNI_PATH": PLUGINS[plugins], "NETCONFPATH": str(self.conf)}
        self.children = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sweep()
        shutil.rmtree(self.work, ignore_errors=True)

    # configurations

    def network(self, document, file=None):
        """Writes a single configuration if it has a type, or else a list; returns its name."""
        kind = "conf" if "type" in document else "conflist"
        (self.conf / (file or f"{document['name']}.{kind}")).write_text(json.dumps(document))
        return document["name"]

    # containers

    def netns(self, name=None):
        """A new container's namespace, by name."""
        self.n += 1
        name = name or f"c{self.n}"
        sh("ip", "netns", "add", name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "netns", "exec", name, "sh", "-c", NO_DAD)
        return name

    def outside(self, name, host_if, host_ip, outside_ip, more=()):
        """A namespace that plays a machine outside, on a wire of its own to the host."""
        self.netns(name)
        sh("ip", "link", "add", host_if, "type", "veth", "peer", "name", "wire", "netns", name)
        for address in (host_ip, *[h for h, _ in more]):
            sh("ip", "addr", "add", address, "dev", host_if, *(["nodad"] if ":" in address else []))
        sh("ip", "link", "set", host_if, "up")
        for address in (outside_ip, *[o for _, o in more]):
            sh("ip", "-n", name, "addr", "add", address, "dev", "wire", *(["nodad"] if ":" in address else []))
        sh("ip", "-n", name, "link", "set", "wire", "up")
        return name

    # the programs

    def command(self, *args, rc=0, env=None, **kw):
        return sh(BERTH_NET, *args, rc=rc, env=dict(self.env, **(env or {})), **kw)

    @staticmethod
    def variables(caps=None, args=None, ifname=None):
        env = {}
        if caps:
            env["CAP_ARGS"] = json.dumps(caps)
        if args:
            env["CNI_ARGS"] = args
        if ifname:
            env["CNI_IFNAME"] = ifname
        return env

    def op(self, verb, network, netns, caps=None, args=None, ifname=None, rc=0, ident=None, **kw):
        path = netns if netns.startswith("/") else f"/run/netns/{netns}"
        more = ("--id", ident) if ident else ()
        return self.command(verb, *more, network, path, rc=rc, env=self.variables(caps, args, ifname), **kw)

    def add(self, network, netns, **kw):
        """The result, if it is to succeed; otherwise the message."""
        p = self.op("add", network, netns, **kw)
        return json.loads(p.stdout) if p.returncode == 0 else p.stderr

    def delete(self, network, netns, **kw):
        return self.op("del", network, netns, **kw)

    def check(self, network, netns, **kw):
        return self.op("check", network, netns, **kw)

    def cnitool(self, verb, network, netns, caps=None, args=None, ifname=None, rc=0, **kw):
        path = netns if netns.startswith("/") else f"/run/netns/{netns}"
        return sh(CNITOOL, verb, network, path, rc=rc, env=dict(self.env, **self.variables(caps, args, ifname)), **kw)

    # containers of `network up`

    def container(self, name=None):
        """A process in a network namespace of its own; what the runtime has made between create and start."""
        self.n += 1
        child = subprocess.Popen(["unshare", "--net", "sh", "-c", f"{NO_DAD}; exec sleep infinity"], stdin=subprocess.DEVNULL)
        self.children.append(child)
        wait_until("a container", lambda: comm_of(child.pid) == "sleep")
        return Container(self, name or f"box{self.n}", child)

    def network_command(self, *args, **kw):
        return self.command("network", *args, **kw)

    # what is there

    def attached(self, network, bridge="br0", **kw):
        """A container on the network and its first address."""
        name = self.netns()
        result = self.add(network, name, **kw)
        return name, result["ips"][0]["address"].split("/")[0]

    def sweep(self):
        """Ends what a case left: containers, bridges and other interfaces, rules, state."""
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()
        self.children = []
        sh("umount", "-l", "/run/berth-net/netns", rc=None)
        for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else ():
            sh("ip", "netns", "del", name, rc=None)
        for link in ip_json("link"):
            if link["ifname"] != "lo":
                sh("ip", "link", "del", link["ifname"], rc=None)
        sh("nft", "flush", "ruleset")
        for place in (pathlib.Path("/var/lib/cni"), self.conf, pathlib.Path("/run/berth-net")):
            for entry in place.iterdir() if place.exists() else ():
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        sh("conntrack", "-F", rc=None)


def cnitool_id(netns):
    path = netns if netns.startswith("/") else f"/run/netns/{netns}"
    return "cnitool-" + hashlib.sha512(path.encode()).hexdigest()[:20]


def rules(family="ip"):
    """Rules by iptables and nft, without counters."""
    lines = []
    for tool in ("iptables-save", "ip6tables-save"):
        p = sh(tool, rc=None)
        lines += [tool.split("-")[0] + " " + x for x in p.stdout.splitlines() if x.startswith("-A") or x.startswith(":")
                  and not x.startswith((":INPUT", ":OUTPUT", ":FORWARD", ":PREROUTING", ":POSTROUTING"))]
    return sorted(x.split(" [")[0] for x in lines)


def senders():
    """Interfaces whose senders are checked (runtime/net/sender.h)."""
    return sorted(x["chain"]["name"] for x in json.loads(sh("nft", "-j", "list", "chains", "netdev").stdout)["nftables"] if "chain" in x)


def leases():
    found = []
    for directory, _, files in os.walk("/var/lib/cni/networks"):
        found += [os.path.join(directory, f) for f in files if f != "lock" and not f.startswith("last_reserved")]
    return sorted(found)


def cached():
    place = pathlib.Path("/var/lib/cni/results")
    return sorted(x.name for x in place.iterdir()) if place.exists() else []


def connections():
    """But for those of the host's interfaces with groups."""
    return [x for x in sh("conntrack", "-L", rc=None).stdout.splitlines() if " dst=224." not in x]


class Counts:
    """What a failure might leave behind, as numbers and as names."""

    def __init__(self):
        self.links = sorted(x["ifname"] for x in ip_json("link"))
        self.addresses = sorted(f"{x['ifname']} {a['local']}" for x in ip_json("addr") for a in x.get("addr_info", ())
                                if a["scope"] != "link")
        self.routes = sorted(f"{r['dst']} {r.get('dev')}" for f in ("-4", "-6") for r in ip_json(f, "route")
                             if not r["dst"].startswith("fe80") and r["dst"] != "ff00::/8" and r["dst"] != "multicast")
        self.rules = rules()
        self.senders = senders()
        self.leases = leases()
        self.cached = cached()

    def parts(self):
        return vars(self)

    def numbers(self):
        return {k: len(v) for k, v in vars(self).items()}

    def require_same(self, other, what, allow=()):
        """other is later; allow: parts of names that may have come."""
        for part, before in vars(self).items():
            extra = [x for x in vars(other)[part] if x not in before and not any(a in x for a in allow)]
            missing = [x for x in before if x not in vars(other)[part]]
            if extra or missing:
                raise AssertionError(f"{what}: {part}: left {extra}, lost {missing}")


# Chains and bridges that plugins make once and keep, by design.
KEPT = ("CNI-HOSTPORT-", "CNI-ADMIN", "CNI-FORWARD -m comment", "FORWARD -m comment", ":CNI-FORWARD", "PREROUTING -m addrtype",
        "OUTPUT -m addrtype", "POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\"", "CNI-ISOLATION")


def kill_group(child, sig=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, sig)
