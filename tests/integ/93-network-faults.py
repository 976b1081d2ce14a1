#!/usr/bin/env python3
"""Faults: whatever fails or dies, and when, no interface, address, route, rule, lease or cache file is left.

All are counted before and after.  A wrapper around each real plugin stops at the step that a case names, so that what is
killed there is killed at that step and not by luck.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import tap  # noqa: E402
from netlab import sh  # noqa: E402
from stops import STEPS, Stops  # noqa: E402
from tap import case, same  # noqa: E402

def wrap(lab):
    """Wrappers that all cases share."""
    if not hasattr(lab, "stops"):
        lab.stops = Stops(lab)
    lab.env["CNI_PATH"] = lab.stops.path


def prepare(lab, *options):
    """A network on which everything that plugins make once has been made."""
    wrap(lab)
    lab.network_command("create", *options, "one")
    warm = lab.container("warm")
    warm.up("--network", "one", "-p", "8080:80")
    warm.down()
    warm.kill()
    return netlab.Counts()


def run_until(lab, step, *command):
    """Starts berth-net, and returns when the plugin is at the step: the program, and the plugin's process."""
    lab.stops.arm(step)
    child = subprocess.Popen([netlab.BERTH_NET, *map(str, command)], env=dict(os.environ, **lab.env), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.children.append(child)
    return child, lab.stops.reached(child)


def recover(lab, how, box):
    """By what comes next: the same container again, the shim's next try, garbage collection, or somebody else's start."""
    if how == "the same container starts":
        again = lab.container(box.name)
        again.up("--network", "one", "-p", "8080:80")
        again.down()
    elif how == "down":
        box.down()
    else:
        box.kill()
        if how == "gc":
            lab.network_command("gc")
        else:
            other = lab.container("other")
            other.up("--network", "one", "-p", "8081:80")
            other.down()


RECOVERIES = ("down", "gc", "the same container starts", "another container starts")


def kill_at(lab, before, number, step, whole):
    how = RECOVERIES[number % len(RECOVERIES)]
    box = lab.container("box")
    up = ("network", "up", "--network", "one", "-p", "8080:80", box.name, box.child.pid)
    if step.startswith("ADD"):
        child, pid = run_until(lab, step, *up)
    else:
        box.up(*up[2:-2])
        child, pid = run_until(lab, step, "network", "down", box.name)
    child.kill()
    child.wait()
    if whole:
        os.killpg(os.getpgid(pid), signal.SIGKILL)
    else:
        lab.stops.let_go()
    recover(lab, how, box)
    before.require_same(netlab.Counts(), f"{step}, {how}")
    same(f"{step}: kept", [], os.listdir("/run/berth-net/netns"))
    box.kill()


for what, both in (("berth alone, and the plugin goes on", False), ("berth and the plugin", True)):
    @case(f"SIGKILL of {what}, before and after each plugin of ADD and of DEL ({len(STEPS)} steps): all is undone by what comes next")
    def killed(lab, both=both):
        before = prepare(lab, *([] if both else ["--ipv6"]))  # with IPv6 each ADD waits for the kernel
        for number, step in enumerate(STEPS):
            # Each step meets each way to recover, in one of the two cases or the other.
            kill_at(lab, before, number + number // len(RECOVERIES) + 2 * both, step, both)


BAD = {
    "is missing": None,
    "is not executable": ("", 0o644),
    "prints garbage": ("#!/bin/sh\necho hello", 0o755),
    "prints without end": ("#!/bin/sh\nexec head -c 1073741824 /dev/zero", 0o755),
    "hangs": ("#!/bin/sh\nsleep 1000", 0o755),
    "hangs with a child": ("#!/bin/sh\nsleep 1000 & wait", 0o755),
    "dies": ("#!/bin/sh\nkill -9 $$", 0o755),
    "fails without a word": ("#!/bin/sh\nexit 3", 0o755),
    "answers in a version that is unknown": ('#!/bin/sh\necho \'{"cniVersion":"9.9.9"}\'', 0o755),
    "is no program": ("\x7fELF nonsense", 0o755),
}


@case(f"a plugin in the middle of a chain fails in one of {len(BAD)} ways: the error names it, and nothing is left")
def bad_plugin(lab):
    plugins = lab.work / "bad"
    plugins.mkdir()
    lab.env["CNI_PATH"] = f"{plugins}:{netlab.PLUGINS['go']}"
    lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [
        {"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "bad"}, {"type": "firewall"}]})
    (plugins / "bad").write_text("#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = ADD ] || exit 0\n"
                                 'echo \'{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.2/24"}]}\'')
    (plugins / "bad").chmod(0o755)
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    ns = lab.netns()
    lab.add("net", ns, caps=ports)
    lab.delete("net", ns)
    before = netlab.Counts()
    for name, file in BAD.items():
        (plugins / "bad").unlink(missing_ok=True)
        if file:
            # DEL works, or what the plugin might have done could not be undone, and would rightly stay known.
            text = file[0].replace("#!/bin/sh\n", "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\n")
            (plugins / "bad").write_text(text)
            (plugins / "bad").chmod(file[1])
        p = lab.command("--timeout-ms", "1000", "add", "net", f"/run/netns/{ns}", rc=1, env=lab.variables(ports))
        same(f"{name}: {p.stderr[:300]}", True, "bad" in p.stderr and p.stderr.count("\n") == 1)
        if netlab.cached():  # undone when the plugin works again
            (plugins / "bad").write_text("#!/bin/sh\nexit 0")
            (plugins / "bad").chmod(0o755)
            lab.delete("net", ns)
        before.require_same(netlab.Counts(), name)


@case("DEL of what was never added, for each kind of plugin, twice, with and without a namespace")
def never(lab):
    wrap(lab)
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}
    ns = lab.netns()
    before = netlab.Counts()
    for plugin in ({"type": "bridge", "bridge": "br0", "ipMasq": True, "ipam": ipam}, {"type": "ptp", "ipMasq": True, "ipam": ipam},
                   {"type": "macvlan", "master": "lo", "ipam": ipam}, {"type": "dummy", "ipam": ipam},
                   {"type": "bridge", "bridge": "br0", "macspoofchk": True, "ipam": ipam}):
        lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": [
            plugin, {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}, {"type": "tuning"}]})
        for where in (ns, ns, "gone"):
            lab.delete("net", where)
        before.require_same(netlab.Counts(), plugin["type"], allow=netlab.KEPT)


@case("a container that has added, changed or removed addresses of its interface: DEL leaves nothing")
def changed(lab):
    before = prepare(lab, "--ipv6")
    lab.env["CNI_PATH"] = netlab.PLUGINS["go"]
    for change in ("ip addr add 2001:db8:9::9/64 dev eth0", "ip addr add 10.99.0.9/24 dev eth0", "ip addr flush dev eth0",
                   "ip -6 addr flush dev eth0 scope global", "ip link del eth0", "ip link set eth0 name other",
                   "for i in $(seq 200); do ip addr add 10.98.0.$i/32 dev eth0; ip addr add 2001:db8:8::$i/128 dev eth0; done"):
        box = lab.container()
        box.up("--network", "one", "-p", "8080:80")
        sh("nsenter", f"--net={box.netns}", "sh", "-c", ("ip link set eth0 down; " if "name" in change else "") + change)
        box.down()
        box.kill()
        netlab.wait_until("the namespace's end", lambda: len(netlab.ip_json("link")) == len(before.links))
        before.require_same(netlab.Counts(), change)


@case("100 containers are killed and start again, with ports: the counts at the end are those of the beginning")
def churn(lab):
    before = prepare(lab)
    lab.env["CNI_PATH"] = netlab.PLUGINS["go"]
    for number in range(100):
        box = lab.container("box" if number % 2 else f"box{number}")
        box.up("--network", "one", "-p", "8080:80", "-p", "5353:53/udp")
        box.kill()
        lab.children.remove(box.child)
    lab.network_command("gc")
    before.require_same(netlab.Counts(), "after 100")
    same("connections", [], netlab.connections())
    same("kept", [], os.listdir("/run/berth-net/netns"))


@case("the disk is full: ADD says so and leaves nothing; DEL works")
def disk_full(lab):
    before = prepare(lab)
    cache = pathlib.Path("/run/small")
    cache.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", cache)
    try:
        def up(box, port, rc):
            command = ["--cache-dir", cache, "network", "up", "--network", "one", "-p", f"{port}:80", box.name, box.child.pid]
            return lab.command(*map(str, command), rc=rc)
        first, second = lab.container("first"), lab.container("second")
        up(first, 8080, 0)
        with open(cache / "filler", "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 1024)
        text = up(second, 8081, 1).stderr
        same(f"told: {text}", True, "No space left" in text)
        lab.command("--cache-dir", str(cache), "network", "down", "first")
        lab.command("--cache-dir", str(cache), "network", "down", "second")
        same("entries", [], os.listdir(cache / "results"))
    finally:
        sh("umount", cache)
    before.require_same(netlab.Counts(), "at the end")


if __name__ == "__main__":
    netlab.enter()
    with netlab.Lab() as the_lab:
        tap.main(the_lab, after_each=netlab.Lab.sweep)
