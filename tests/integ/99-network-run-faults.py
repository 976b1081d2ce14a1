#!/usr/bin/env python3
"""`berth run` on networks, when something is killed at each step of attaching and detaching; starts in parallel; a reboot.

What is killed is the shim, the shim with what it has started, berth, or the container's own process.  Interfaces, addresses,
routes, rules, leases and entries of the cache are counted before and after.
"""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
from netlab import sh  # noqa: E402
from netrun import answers, main, parent_of  # noqa: E402
from stops import STEPS, Stops  # noqa: E402
from tap import case, same  # noqa: E402

RUN = ("run", "-d", "--name", "one", "--network", "web", "-p", "8080:80")


def up_to_shim(pid):
    """The process and those above it, up to the container's shim."""
    chain = [pid]
    while netlab.comm_of(chain[-1]) != "berth-shim":
        chain.append(parent_of(chain[-1]))
    return chain


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(b, *command):
    child = subprocess.Popen(b.r.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    b.lab.children.append(child)
    return child


def prepare(b):
    """A network on which everything that plugins make once has been made."""
    if not hasattr(b, "stops"):
        b.stops = Stops(b.lab)
        os.environ["CNI_PATH"] = b.stops.path
    b.r.berth("network", "create", "web")
    b.up("warm", "--network", "web", "-p", "8080:80")
    b.r.berth("rm", "-f", "warm")
    return netlab.Counts()


def remove(b):
    netlab.wait_until("the container's removal", lambda: b.r.run("rm", "-f", "--ignore", "one", check=False).returncode == 0)


def recover(b, how, before, alone):
    """By whatever comes next; the last word is always rm.  alone: no shim is there that would do it as well."""
    if how == "gc":
        with contextlib.suppress(AssertionError, IndexError):
            kill_all([p for p in [b.pid("one")] if p])
        b.r.run("network", "gc", check=False)
        if alone:
            before.require_same(netlab.Counts(), "after gc, before rm")
    elif how == "another starts":
        b.run("--network", "web", "-p", "8081:80", "exit 0")
    elif how == "it starts again" and b.r.run("inspect", "one", check=False).returncode == 0:
        b.r.run("stop", "-t", "0", "one", check=False)
        netlab.wait_until("a start", lambda: b.r.run("start", "one", check=False).returncode == 0)
        same("the port", "one answers", answers(None, "127.0.0.1", 8080))
        same("entries", 1, len(netlab.cached()))
    remove(b)


RECOVERIES = ("rm", "gc", "it starts again", "another starts")


def kill_at(b, before, number, step, victim):
    if step.startswith("ADD"):
        b.stops.arm(step)
        child = start(b, *RUN, b.box, "sh", "-c", "while :; do nc -l -p 80 -e sh -c 'read x; echo one answers'; done")
    else:
        b.up("one", *RUN[4:])
        b.stops.arm(step)
        child = start(b, "stop", "-t", "0", "one")
    chain = up_to_shim(b.stops.reached(child))
    if victim == "berth":
        child.kill()
    elif victim == "the shim":
        kill_all(chain[-1:])
    elif victim == "the shim and its children":
        kill_all(reversed(chain))
    else:
        kill_all([b.pid("one")] if step.startswith("ADD") else [])
    if victim != "the shim and its children":
        b.stops.let_go()
    child.wait()
    recover(b, RECOVERIES[number % len(RECOVERIES)], before, victim.startswith("the shim"))


for who in ("the shim", "the shim and its children", "berth", "the container's process"):
    @case(f"SIGKILL of {who}, before and after each plugin of ADD and of DEL ({len(STEPS)} steps): nothing is left by what comes next")
    def killed(b, who=who):
        before = prepare(b)
        for number, step in enumerate(STEPS):
            number += number // len(RECOVERIES)
            kill_at(b, before, number, step, who)
            before.require_same(netlab.Counts(), f"{step}, {RECOVERIES[number % len(RECOVERIES)]}")
            same(f"{step}: kept", [], os.listdir("/run/berth-net/netns"))
            same(f"{step}: containers", [], json.loads(b.r.berth("ps", "-a", "--json")))


@case("40 starts at once, which make the default network: one network, 40 addresses; 40 ends at once leave nothing")
def parallel(b):
    os.environ["CNI_PATH"] = netlab.PLUGINS["go"]

    def one(n):
        b.up(f"box{n}", "-p", "80", command="sleep 1000")
        return b.address(f"box{n}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        addresses = list(pool.map(one, range(40)))
        same("addresses", 40, len(set(addresses)))
        same("networks", ["berth"], b.r.berth("network", "ls", "-q").split())
        same("leases", 40, len(netlab.leases()))
        list(pool.map(lambda n: b.r.berth("rm", "-f", f"box{n}"), range(40)))
    same("left", ([], [], []), (netlab.leases(), netlab.cached(), os.listdir("/run/berth-net/netns")))
    same("interfaces", [], [x["ifname"] for x in netlab.ip_json("link") if x["ifname"].startswith("veth")])


@case("a reboot: what ran on networks starts again with its port; what does not is removed by gc")
def reboot(b):
    os.environ["CNI_PATH"] = netlab.PLUGINS["go"]
    b.r.berth("network", "create", "web")
    for name, port in (("one", 8080), ("two", 8081)):
        b.up(name, "--network", "web", "-p", f"{port}:80", "--restart", "always")
    for name in ("one", "two"):
        pid = b.pid(name)
        kill_all([parent_of(pid), pid])
        netlab.wait_until("its end", lambda pid=pid: not os.path.exists(f"/proc/{pid}"))
    sh("nft", "flush", "ruleset")
    for link in netlab.ip_json("link"):
        if link["ifname"] != "lo":
            sh("ip", "link", "del", link["ifname"], rc=None)
    sh("umount", "-l", "/run/berth-net/netns")
    shutil.rmtree("/run/berth-net")
    shutil.rmtree(b.r.state)
    same("ps", [], b.r.berth("ps", "-q").split())
    same("entries before", 2, len(netlab.cached()))
    b.r.berth("start", "one")
    same("the port", "one answers", answers(None, "127.0.0.1", 8080))
    b.r.berth("network", "gc")
    same("entries and leases", (1, 1), (len(netlab.cached()), len(netlab.leases())))
    b.r.berth("rm", "-f", "one", "two")
    same("at the end", ([], []), (netlab.cached(), netlab.leases()))


if __name__ == "__main__":
    main()
