#!/usr/bin/env python3
"""What ADD costs by berth-net and by cnitool, beside the run time of its plugins alone, in the same run.

usage: tests/bench/network.py [ROUNDS]

Each round attaches one container three times: by running the plugins one after the other as they are called for ADD
(environment, input and the result of the one before), by berth-net, and by cnitool, in another order every time.  Only ADD is
timed; berth-net is told the container's id, as by any runner, while cnitool makes one of the namespace's path.  Printed are
medians, the best round (on a machine with other work), and ratios to the plugins alone; the goal for berth-net is 1.1.  State is
in memory, so what disks cost is not in it.
"""
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402

GOAL = 1.1
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
LISTS = {
    "bridge": [{"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}],
}
LISTS["bridge, portmap, firewall, tuning"] = LISTS["bridge"] + [
    {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}, {"type": "tuning"}]


def timed(lab, argv, env, stdin="/dev/null"):
    """Seconds from the start of a program to its end, and what it wrote."""
    out = lab.work / "out"
    actions = [(os.POSIX_SPAWN_OPEN, 0, str(stdin), os.O_RDONLY, 0),
               (os.POSIX_SPAWN_OPEN, 1, str(out), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
    status = os.waitpid(pid, 0)[1]
    seconds = time.perf_counter() - start
    text = out.read_text()
    if status:
        raise RuntimeError(f"{argv}: status {status}: {text}")
    return seconds, text


def by_plugins(lab, plugins, ns):
    env = dict(os.environ, CNI_COMMAND="ADD", CNI_CONTAINERID="plugins", CNI_NETNS=f"/run/netns/{ns}", CNI_IFNAME="eth0", CNI_ARGS="",
               CNI_PATH=lab.env["CNI_PATH"])
    stdin, seconds, result = lab.work / "in", 0, None
    for plugin in plugins:
        config = {**plugin, "name": "net", "cniVersion": "1.0.0"}
        if plugin.get("capabilities"):
            config["runtimeConfig"] = PORTS
        if result:
            config["prevResult"] = result
        stdin.write_text(json.dumps(config))
        took, text = timed(lab, [f"{lab.env['CNI_PATH']}/{plugin['type']}"], env, stdin)
        seconds += took
        result = json.loads(text)
    lab.delete("net", ns, caps=PORTS, ident="plugins")  # what is in no cache is removed by the list
    return seconds


def by_tool(lab, argv, ns):
    env = dict(os.environ, **lab.env, CAP_ARGS=json.dumps(PORTS))
    ident = ["--id", "bench"] if argv == [netlab.BERTH_NET] else []
    seconds, _ = timed(lab, [*argv, "add", *ident, "net", f"/run/netns/{ns}"], env)
    lab.delete("net", ns, caps=PORTS, ident="bench" if ident else None)
    return seconds


def measure(lab, plugins, rounds):
    lab.network({"cniVersion": "1.0.0", "name": "net", "plugins": plugins})
    ways = {"plugins alone": lambda ns: by_plugins(lab, plugins, ns),
            "berth-net": lambda ns: by_tool(lab, [netlab.BERTH_NET], ns),
            "cnitool": lambda ns: by_tool(lab, [netlab.CNITOOL], ns)}
    seconds = {name: [] for name in ways}
    ns = lab.netns()
    names = list(ways)
    for n in range(rounds + 1):
        for name in names[n % 3:] + names[:n % 3]:
            took = ways[name](ns)
            if n > 0:  # the first makes bridge and chains
                seconds[name].append(took)
    return seconds


def report(title, seconds):
    print(f"\n{title}")
    base = seconds["plugins alone"]
    for name, values in seconds.items():
        ratios = [v / b for v, b in zip(values, base)]
        print(f"  {name:14} median {statistics.median(values) * 1000:7.1f} ms, ratio {statistics.median(ratios):5.2f};"
              f" best {min(values) * 1000:7.1f} ms, ratio {min(values) / min(base):5.2f}")
    ratio = statistics.median(v / b for v, b in zip(seconds["berth-net"], base))
    print(f"  goal {GOAL} for berth-net: {'reached' if ratio <= GOAL else 'missed'}")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with netlab.Lab() as lab:
        for title, plugins in LISTS.items():
            report(f"ADD: {title}, {rounds} rounds", measure(lab, plugins, rounds))
            lab.sweep()


if __name__ == "__main__":
    netlab.enter()
    main()
