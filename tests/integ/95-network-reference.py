#!/usr/bin/env python3
"""berth-net beside the reference, cnitool: the same configurations through both, each on a host of its own.

Compared are exit statuses, results, interfaces, addresses, routes, rules, everything below /var/lib/cni, and what plugins are
given: environment and input, recorded by wrappers.  What differs by its nature (MAC addresses, names of veths) is numbered
in the order in which it appears.
"""
import base64
import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import tap  # noqa: E402
from netlab import sh  # noqa: E402
from tap import case, same  # noqa: E402

RECORDER = """#!/bin/sh
n=$(ls {records} | wc -l)
d={records}/$(printf %03d $n)-$(basename $0)-$CNI_COMMAND
mkdir $d
cat >$d/stdin
env -0 >$d/env
exec {real}/$(basename $0) <$d/stdin
"""


def bridge(**more):
    return {"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}, **more}


DUAL = {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                          {"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"}]}


def chain(version, *plugins, **more):
    return {"cniVersion": version, "name": "net", "plugins": list(plugins), **more}


FOLDER = {"net/20-tuning.conf": {"type": "tuning"}, "net/10-ports.conf": PORTMAP, "net/30-other.json": {"type": "none-such"},
          "net/deeper/10.conf": {"type": "none-such"}}

# name: (list or single configuration, what else ADD is given; "files": more configurations)
CASES = {
    "bridge": (chain("1.0.0", bridge()), {}),
    "bridge, portmap, firewall, tuning": (
        chain("1.0.0", bridge(capabilities={"ips": True}), PORTMAP, {"type": "firewall"},
              {"type": "tuning", "capabilities": {"mac": True}, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}),
        {"caps": {**PORTS, "mac": "02:11:22:33:44:55", "ips": ["10.9.0.77/24"], "unknown": 1}}),
    "dual stack": (chain("1.0.0", bridge(ipam=DUAL), PORTMAP, {"type": "firewall", "ingressPolicy": "same-bridge"}),
                   {"caps": PORTS}),
    "arguments": (chain("1.0.0", bridge()), {"args": "IP=10.9.0.99;IgnoreUnknown=1;K8S_POD_NAME=pod"}),
    "name servers": (chain("1.0.0", bridge(dns={"nameservers": ["10.9.0.1", "fd00::1"], "domain": "a.b", "search": ["c.d", "e"],
                                                "options": ["ndots:5"]})), {}),
    "bandwidth": (chain("1.0.0", bridge(), {"type": "bandwidth", "capabilities": {"bandwidth": True}}),
                  {"caps": {"bandwidth": {"ingressRate": 800000, "ingressBurst": 80000, "egressRate": 900000, "egressBurst": 90000}}}),
    "ptp": (chain("1.0.0", {"type": "ptp", "ipMasq": True, "ipam": DUAL}, PORTMAP), {"caps": PORTS}),
    "static": (chain("1.0.0", {"type": "bridge", "bridge": "br0", "capabilities": {"ips": True}, "ipam": {"type": "static"}}),
               {"caps": {"ips": ["10.9.3.4/24", "fd00:3::4/64"]}}),
    "static by configuration": (chain("1.0.0", {"type": "ptp", "ipam": {
        "type": "static", "addresses": [{"address": "10.9.3.4/24", "gateway": "10.9.3.1"}], "routes": [{"dst": "10.0.0.0/8"}],
        "dns": {"nameservers": ["10.1.1.1"]}}}), {}),
    "loopback": (chain("1.0.0", {"type": "loopback"}), {"ifname": "lo"}),
    "source based routes": (chain("1.0.0", bridge(), {"type": "sbr"}), {}),
    "another interface name": (chain("1.0.0", bridge()), {"ifname": "net-1.x"}),
    "keys of others": (chain("1.0.0", bridge(unknown={"a": [1, 2.5, None, True, "x"]}), other="x"), {}),
    "version 0.3.0": (chain("0.3.0", bridge(), PORTMAP), {"caps": PORTS}),
    "version 0.3.1": (chain("0.3.1", bridge(), PORTMAP, {"type": "tuning"}), {"caps": PORTS}),
    "version 0.4.0": (chain("0.4.0", bridge(), PORTMAP, {"type": "firewall"}), {"caps": PORTS}),
    "cniVersions": (chain("0.4.0", bridge(), cniVersions=["0.3.1", "1.0.0", "9.0.0"]), {}),
    "cniVersions beside a newer cniVersion": (chain("1.0.0", bridge(), cniVersions=["0.3.1", "0.4.0"]), {}),
    "cniVersions of which none is known": (chain("0.4.0", bridge(), cniVersions=["7.0.0", "9.0.0"]), {}),
    "disableCheck": (chain("1.0.0", bridge(), disableCheck=True), {}),
    "disableCheck as a text": (chain("1.0.0", bridge(), disableCheck="True"), {}),
    "disableCheck that is false as a text": (chain("1.0.0", bridge(), disableCheck="false"), {}),
    "plugins of a directory behind those of the list": (chain("1.0.0", bridge()), {"caps": PORTS, "files": FOLDER}),
    "plugins of a directory alone": ({"cniVersion": "1.0.0", "name": "net"}, {"files": {"net/10.conf": bridge(), "net/20.conf": {"type": "firewall"}}}),
    "loadOnlyInlinedPlugins": (chain("1.0.0", bridge(), loadOnlyInlinedPlugins=True), {"caps": PORTS, "files": FOLDER}),
    "loadOnlyInlinedPlugins as a text": (chain("1.0.0", bridge(), loadOnlyInlinedPlugins="true"), {"files": FOLDER}),
    "a single configuration": ({"cniVersion": "0.3.1", "name": "net", **bridge()}, {}),
    "a single configuration of 0.2.0": ({"cniVersion": "0.2.0", "name": "net", **bridge(ipam=DUAL)}, {}),
    "a single configuration of 0.1.0": ({"cniVersion": "0.1.0", "name": "net", **bridge()}, {}),
    "a single configuration without a version": ({"name": "net", **bridge()}, {}),
    "a plugin that fails": (chain("1.0.0", bridge(), {"type": "tuning", "sysctl": {"net.ipv4.none.such": "1"}}), {}),
    "a kind of interface the kernel may lack": (chain("1.0.0", {"type": "ipvlan", "master": "lo", "ipam": DUAL}), {}),
}
NEWEST = {
    "disableGC": (chain("1.1.0", bridge(), {"type": "tuning"}, disableGC=True), {}),
    "disableGC as a text": (chain("1.1.0", bridge(), {"type": "tuning"}, disableGC="TRUE"), {}),
    "disableCheck and disableGC that are false": (chain("1.1.0", bridge(), disableGC=False, disableCheck=False), {}),
    "cniVersions, and more than is known": (chain("0.3.1", bridge(), cniVersions=["1.0.0", "1.1.0", "1.2.0"]), {}),
    "version 1.1.0": (chain("1.1.0", bridge(), PORTMAP, {"type": "firewall"}, {"type": "tuning"}), {"caps": PORTS}),
    "macvlan": (chain("1.1.0", {"type": "macvlan", "master": "uplink", "ipam": DUAL}), {}),
    "vlan": (chain("1.1.0", {"type": "vlan", "master": "uplink", "vlanId": 5, "ipam": DUAL}), {}),
    "host-device": (chain("1.1.0", {"type": "host-device", "device": "far", "ipam": DUAL}), {}),
    "vrf": (chain("1.1.0", bridge(), {"type": "vrf", "vrfname": "blue"}), {}),
    "tap": (chain("1.1.0", {"type": "tap", "ipam": DUAL}), {}),
    "dummy": (chain("1.1.0", {"type": "dummy", "ipam": DUAL}), {}),
    "nftables": (chain("1.1.0", bridge(ipMasqBackend="nftables"), {**PORTMAP, "backend": "nftables"}), {"caps": PORTS}),
}


# ---- what is seen ----

def without(value, *parts):
    """The same without members whose names hold one of the parts."""
    if isinstance(value, dict):
        return {k: without(v, *parts) for k, v in value.items() if not any(p in k for p in parts)}
    if isinstance(value, list):
        return [without(v, *parts) for v in value]
    return value


def files(whole_lists):
    """Below /var/lib/cni.  What came of a directory of plugins is in berth's copy of the list, not in cnitool's."""
    found = {}
    for directory, _, names in os.walk("/var/lib/cni"):
        if names or not directory.endswith("/results"):  # made before the ADD here, after it there
            found[directory] = oct(os.stat(directory).st_mode)
        for name in names:
            path = os.path.join(directory, name)
            text = pathlib.Path(path).read_text(errors="replace")
            if directory.endswith("/results"):
                text = json.loads(text)
                text["config"] = json.loads(base64.b64decode(text["config"]))
                if whole_lists is False:
                    text["config"] = without(text["config"], "plugins", "loadOnlyInlinedPlugins")
            found[path] = (oct(os.stat(path).st_mode), text)
    return found


def settled(links):
    """Without what comes a moment later by itself: carrier, and addresses that the kernel makes of MAC addresses."""
    for link in links:
        link["flags"] = [f for f in link["flags"] if f not in ("LOWER_UP", "NO-CARRIER")]
        link.pop("operstate", None)
        if "addr_info" in link:
            link["addr_info"] = [a for a in link["addr_info"] if a["scope"] != "link"]
    return links


def chains(lines):
    """Rules by table and chain: plugins make chains in no order."""
    found, table = {}, None
    for line in lines:
        if line.startswith("*"):
            table = line
        elif line.startswith("-A "):
            found.setdefault(f"{table} {line.split()[1]}", []).append(line)
        else:
            found.setdefault(f"{table} {line.split()[0]}", [])
    return found


def look(netns, whole_lists):
    volatile = ("timer", "time", "_age", "bridge_id", "root_id", "tentative", "state", "topology_change", "config_pending")
    seen = {"files": files(whole_lists)}
    for where in (None, netns):
        if where and sh("ip", "-n", where, "link", rc=None).returncode != 0:
            continue  # gone
        seen[f"{where} links"] = without(settled(netlab.ip_json("-d", "link", netns=where)), *volatile)
        seen[f"{where} addresses"] = without(settled(netlab.ip_json("addr", netns=where)), *volatile)
        for f in ("-4", "-6"):
            # The table "local" of IPv6 follows the carrier, a moment later.
            routes = netlab.ip_json(f, "route", "show", "table", "all" if f == "-4" else "main", netns=where)
            seen[f"{where} routes {f}"] = sorted(json.dumps(without(r, "flags"), sort_keys=True) for r in routes
                                                if not r["dst"].startswith(("multicast", "fe80:", "ff00:")))
            seen[f"{where} policy {f}"] = netlab.ip_json(f, "rule", netns=where)
        seen[f"{where} queues"] = sh(*(["ip", "netns", "exec", where] if where else []), "tc", "qdisc", rc=None).stdout
    for tool in ("iptables-save", "ip6tables-save"):
        seen[tool] = chains(x for x in sh(tool, rc=None).stdout.splitlines() if x[0] != "#")
    tables = [x.partition(" {\n") for x in sh("nft", "-s", "list", "ruleset").stdout.split("\n}\n") if x]
    seen["nft"] = {name: sorted(body.split("\n\n")) for name, _, body in tables}
    return seen


NUMBERED = (("veth", r"veth[0-9a-f]{8}\b"), ("mac", r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"), ("local", r"fe80::[0-9a-f:]+"),
            ("bwp", r"bwp[0-9a-f]{12}\b"), ("multicast", r"ff02::[0-9a-f:]+"))


def normal(value):
    text = json.dumps(value, indent=1, sort_keys=True)
    for name, pattern in NUMBERED:
        known = {}
        text = re.sub(pattern, lambda m: known.setdefault(m[0], f"{name}-{len(known)}"), text)
    return text


def records(lab):
    found = []
    for d in sorted((lab.work / "records").iterdir()) if (lab.work / "records").exists() else ():
        env = dict(x.split("=", 1) for x in (d / "env").read_text().split("\0") if "=" in x)
        text = (d / "stdin").read_text()
        kept = {k: v for k, v in env.items() if k not in ("_", "PWD", "OLDPWD", "SHLVL")}
        given = json.loads(text) if text else None
        # cnitool's gc does not say which attachments are valid; a runtime must.
        if d.name.endswith("-GC"):
            given = {k: v for k, v in given.items() if not k.startswith("cni.dev/")}
        found.append([d.name[4:], kept, given])
    return found


# ---- a host for each of the two ----

class Tool:
    def __init__(self, lab, which):
        self.lab, self.which = lab, which

    def op(self, verb, netns, rc=0, **given):
        run = self.lab.cnitool if self.which == "cnitool" else self.lab.op
        if verb in ("gc", "status") and self.which != "cnitool":
            return self.lab.command(verb, "net", rc=rc)
        return run(verb, "net", netns, rc=rc, **given)


def record_to(lab, plugins):
    """Wrappers around all plugins of the set; lab.env points to them."""
    (lab.work / "records").mkdir()
    wrapped = lab.work / "wrapped"
    wrapped.mkdir()
    for name in os.listdir(netlab.PLUGINS[plugins]):
        (wrapped / name).write_text(RECORDER.format(records=lab.work / "records", real=netlab.PLUGINS[plugins]))
        (wrapped / name).chmod(0o755)
    lab.env["CNI_PATH"] = str(wrapped)


def story(lab, which, given, whole_lists):
    """One attachment from ADD to DEL; everything seen on the way."""
    tool, seen = Tool(lab, which), {}
    ns = lab.netns("box")
    sh("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "far")
    sh("ip", "link", "set", "uplink", "up")
    sh("ip", "link", "set", "far", "up")

    def step(name, verb, **kw):
        p = tool.op(verb, ns, rc=None, **kw)
        if verb == "add" and p.returncode != 0 and which == "cnitool":
            tool.op("del", ns, rc=None, **kw)  # which berth-net does by itself
        seen[name] = {"status": p.returncode, "out": json.loads(p.stdout) if p.stdout.startswith("{") else p.stdout, **look(ns, whole_lists)}
        return p.returncode

    added = step("add", "add", **given)
    if added == 0:
        step("check", "check", **given)
        step("del", "del", **given)
    step("del again", "del", **given)
    if added == 0:
        step("add again", "add", **given)
        step("status", "status")
        step("gc", "gc")
        if netlab.cached():  # disableGC: rules that cnitool leaves without the namespace are removed here
            step("del after gc", "del", **given)
        sh("ip", "netns", "del", ns)
        step("del of a namespace that is gone", "del", **given)
    # After a failed ADD plugins are told more here: the result of those before, which DEL by cnitool does not know.
    seen["records"] = records(lab) if added == 0 else []
    return seen


def on_own_host(fn):
    """What fn returns, run in a process with another network and empty state."""
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            netlab.libc_call("unshare", netlab.CLONE_NEWNET | netlab.CLONE_NEWNS)
            netlab.libc_call("mount", None, b"/", None, netlab.MS_REC | netlab.MS_PRIVATE, None)
            netlab.prepare_host()
            with os.fdopen(w, "w") as out:
                json.dump(fn(), out)
            status = 0
        except BaseException:  # noqa: BLE001 - to be seen in the parent's diagnostics
            import traceback
            print("\n".join("# " + x for x in traceback.format_exc().splitlines()), flush=True)
        finally:
            os._exit(status)
    os.close(w)
    with os.fdopen(r) as f:
        text = f.read()
    if os.waitpid(child, 0)[1] != 0:
        raise AssertionError("the story broke off")
    return json.loads(text)


def write_files(lab, more):
    for name, document in more.items():
        (lab.conf / name).parent.mkdir(parents=True, exist_ok=True)
        (lab.conf / name).write_text(json.dumps(document))


def compare(plugins, document, given):
    more = given.get("files", {})
    given = {k: v for k, v in given.items() if k != "files"}

    def told(which):
        def fn():
            with netlab.Lab(plugins) as lab:
                lab.work = lab.work.rename(lab.work.parent / "berth-netlab-reference")  # the same paths for both
                lab.conf = lab.work / "net.d"
                lab.env["NETCONFPATH"] = str(lab.conf)
                record_to(lab, plugins)
                lab.network(document)
                write_files(lab, more)
                return story(lab, which, given, not more)
        return on_own_host(fn)

    reference, ours = told("cnitool"), told("berth")
    same("steps", list(reference), list(ours))
    for step in reference:
        a, b = normal(reference[step]).splitlines(), normal(ours[step]).splitlines()
        if a != b:
            import difflib
            diff = list(difflib.unified_diff(a, b, "cnitool", "berth-net", lineterm="", n=2))
            raise AssertionError(f"{step} differs:\n" + "\n".join(diff[:60]))


def register(plugins, name, document, given):
    @case(f"{name} ({plugins})")
    def run(_):
        if not os.path.exists(f"{netlab.PLUGINS[plugins]}/bridge"):
            raise tap.Skip(f"no plugins in {netlab.PLUGINS[plugins]}")
        if not os.access(netlab.CNITOOL, os.X_OK):
            raise tap.Skip("no cnitool")
        compare(plugins, document, given)


for where in ("go", "debian"):
    for title, (what, extra) in {**CASES, **(NEWEST if where == "go" else {})}.items():
        register(where, title, what, extra)

# ---- what is no configuration, and what cannot be run ----

# name: what the file has, a text or a document
REFUSED = {
    "no JSON": "{{{", "nothing": "", "an array": "[]",
    "no name": {"cniVersion": "1.0.0", "plugins": [bridge()]},
    "a name that is no text": {"cniVersion": "1.0.0", "name": 1, "plugins": [bridge()]},
    "plugins that are none": {"cniVersion": "1.0.0", "name": "net", "plugins": {}},
    "no plugin": chain("1.0.0"),
    "neither plugins nor a directory": {"cniVersion": "1.0.0", "name": "net"},
    "a plugin without a type": chain("1.0.0", {}),
    "a plugin that is no object": chain("1.0.0", "bridge"),
    "a plugin that is missing": chain("1.0.0", {"type": "none-such"}),
    "a type that is a path": chain("1.0.0", {"type": "../bridge"}),
    "a version that is no text": {"cniVersion": 1, "name": "net", "plugins": [bridge()]},
    "a version that is none": chain("x.y", bridge()),
    "a version of the future": chain("2.0.0", bridge()),
    "a version between two": chain("0.3.2", bridge()),
    "cniVersions that are no array": chain("1.0.0", bridge(), cniVersions="1.0.0"),
    "cniVersions that are no texts": chain("1.0.0", bridge(), cniVersions=[1]),
    "cniVersions with one that is none": chain("1.0.0", bridge(), cniVersions=["0.4.0", "x"]),
    "disableCheck that is neither": chain("1.0.0", bridge(), disableCheck="no"),
    "disableCheck that is a number": chain("1.0.0", bridge(), disableCheck=1),
    "disableGC that is neither": chain("1.0.0", bridge(), disableGC="off"),
    "loadOnlyInlinedPlugins that is neither": chain("1.0.0", bridge(), loadOnlyInlinedPlugins="1"),
    "loadOnlyInlinedPlugins without plugins": {"cniVersion": "1.0.0", "name": "net", "loadOnlyInlinedPlugins": True},
    "capabilities that are no truths": chain("1.0.0", bridge(capabilities={"ips": "yes"})),
}


@case(f"{len(REFUSED)} configurations that cnitool refuses are refused, and neither leaves anything")
def refused(_):
    if not os.access(netlab.CNITOOL, os.X_OK):
        raise tap.Skip("no cnitool")

    def statuses(which):
        def fn():
            with netlab.Lab("go") as lab:
                seen, ns = {}, lab.netns("box")
                for name, text in REFUSED.items():
                    (lab.conf / "net.conflist").write_text(text if isinstance(text, str) else json.dumps(text))
                    p = Tool(lab, which).op("add", ns, rc=None)
                    seen[name] = [p.returncode, netlab.cached(), netlab.leases(), [x["ifname"] for x in netlab.ip_json("link", netns=ns)]]
                return seen
        return on_own_host(fn)
    same("cnitool", {name: [1, [], [], ["lo"]] for name in REFUSED}, statuses("cnitool"))
    same("berth-net", {name: [1, [], [], ["lo"]] for name in REFUSED}, statuses("berth"))


# ---- each understands what the other did ----

WHOLE = CASES["bridge, portmap, firewall, tuning"]


def exchange(add, undo):
    """Counts before an ADD by one and after a DEL by the other."""
    def fn():
        with netlab.Lab("go") as lab:
            lab.network(WHOLE[0])
            ns = lab.netns("box")
            lab.op("add", "net", ns, **WHOLE[1])
            lab.op("del", "net", ns)  # what plugins make once is there
            before = netlab.Counts()
            (lab.op if add == "berth" else lab.cnitool)("add", "net", ns, **WHOLE[1])
            same("an entry", ["net-" + netlab.cnitool_id(ns) + "-eth0"], netlab.cached())
            (lab.cnitool if add == "berth" else lab.op)("check", "net", ns, **WHOLE[1])
            undo(lab, ns)
            before.require_same(netlab.Counts(), "after the other's")
        return True
    return on_own_host(fn)


@case("added by berth-net, checked and removed by cnitool")
def to_cnitool(_):
    exchange("berth", lambda lab, ns: lab.cnitool("del", "net", ns, **WHOLE[1]))


@case("added by berth-net, collected by cnitool")
def to_cnitool_gc(_):
    exchange("berth", lambda lab, ns: lab.cnitool("gc", "net", ns))


@case("added by cnitool, checked and removed by berth-net, which knows the arguments from the cache")
def from_cnitool(_):
    exchange("cnitool", lambda lab, ns: lab.op("del", "net", ns))


@case("added by cnitool, collected by berth-net")
def from_cnitool_gc(_):
    exchange("cnitool", lambda lab, ns: lab.command("gc", "net"))


@case("an ADD that broke off is removed by cnitool")
def incomplete(_):
    def undo(lab, ns):
        entry = pathlib.Path("/var/lib/cni/results") / netlab.cached()[0]
        entry.write_text(json.dumps(dict(json.loads(entry.read_text()), berth={"incomplete": True})))
        lab.cnitool("del", "net", ns, **WHOLE[1])
    exchange("berth", undo)


@case("podman with CNI lists and inspects a network written here")
def podman(_):
    import shutil
    if not shutil.which("podman"):
        raise tap.Skip("no podman")

    def fn():
        with netlab.Lab("go") as lab:
            conf = lab.work / "containers.conf"
            conf.write_text(f'[network]\nnetwork_backend="cni"\ncni_plugin_dirs=["{netlab.PLUGINS["go"]}"]\n'
                            f'network_config_dir="{lab.conf}"\n')
            lab.network(dict(chain("0.4.0", bridge(), PORTMAP, {"type": "firewall"}), name="shared"))
            run = ["podman", "--root", lab.work / "root", "--runroot", lab.work / "run"]
            names = sh(*run, "network", "ls", "-q", env={"CONTAINERS_CONF": str(conf)}).stdout.split()
            same("listed", True, "shared" in names)
            text = sh(*run, "network", "inspect", "shared", env={"CONTAINERS_CONF": str(conf)}).stdout
            same("subnet", "10.9.0.0/24", json.loads(text)[0]["subnets"][0]["subnet"])
        return True
    on_own_host(fn)


if __name__ == "__main__":
    netlab.enter()
    tap.main(None)
