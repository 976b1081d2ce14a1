#!/usr/bin/env python3
"""A plugin that delegates, in the two ways that cluster networks do it; under the names of those plugins.

flannel  makes a bridge's configuration from the lease that its daemon wrote to subnet.env, and runs the bridge plugin with it
multus   runs several networks' plugins for one container: the first as the interface asked for, the others as net1, net2, ...

Both keep what they ran for a container, so that DEL undoes that, whatever the configuration says by then.
"""
import ipaddress
import json
import os
import pathlib
import subprocess
import sys

STATE = pathlib.Path("/var/lib/cni/delegates")


def fail(message, details=""):
    json.dump({"cniVersion": "0.3.1", "code": 100, "msg": message, "details": details}, sys.stdout)
    sys.exit(1)


def run(config, ifname=None):
    """The plugin of a configuration; its result as an object."""
    for directory in os.environ["CNI_PATH"].split(":"):
        path = os.path.join(directory, config["type"])
        if os.path.isfile(path):
            break
    else:
        fail(f"failed to find plugin \"{config['type']}\" in path", os.environ["CNI_PATH"])
    env = dict(os.environ, **({"CNI_IFNAME": ifname} if ifname else {}))
    p = subprocess.run([path], input=json.dumps(config), env=env, stdout=subprocess.PIPE, text=True, check=False)
    if p.returncode != 0:
        sys.stdout.write(p.stdout)
        sys.exit(1)
    return json.loads(p.stdout) if p.stdout.strip() else {}


def flannel(config):
    """[(configuration, interface)]"""
    path = pathlib.Path(config.get("subnetFile", "/run/flannel/subnet.env"))
    try:
        lease = dict(line.split("=", 1) for line in path.read_text().split())
    except OSError as e:
        fail(f"loadFlannelSubnetEnv failed: {e}")
    subnet = ipaddress.ip_network(lease["FLANNEL_SUBNET"], strict=False)
    made = {"type": "bridge", "isGateway": True, "ipMasq": lease["FLANNEL_IPMASQ"] != "true", "mtu": int(lease["FLANNEL_MTU"]),
            **config.get("delegate", {}), "name": config["name"], "cniVersion": config["cniVersion"],
            "ipam": {"type": "host-local", "ranges": [[{"subnet": str(subnet)}]],
                     "routes": [{"dst": lease["FLANNEL_NETWORK"]}]}}
    print(json.dumps(made), file=sys.stderr)  # as it does; not a part of the answer
    return [(made, os.environ["CNI_IFNAME"])]


def multus(config):
    found = []
    for n, delegate in enumerate(config["delegates"]):
        plugins = delegate.get("plugins", [delegate])
        for plugin in plugins:
            made = {"cniVersion": config["cniVersion"], **plugin, "name": delegate.get("name", config["name"])}
            if "runtimeConfig" in config:
                made["runtimeConfig"] = {k: v for k, v in config["runtimeConfig"].items() if plugin.get("capabilities", {}).get(k)}
            found.append((made, os.environ["CNI_IFNAME"] if n == 0 else f"net{n}"))
    return found


def add(config, kind, kept):
    todo = kind(config)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(todo))
    first, results = None, {}
    for made, ifname in todo:
        if ifname in results:
            made["prevResult"] = results[ifname]
        results[ifname] = run(made, ifname)
        first = first or ifname
    json.dump(results[first], sys.stdout)


def delete(config, kept):
    todo = json.loads(kept.read_text()) if kept.exists() else []
    for made, ifname in reversed(todo):
        run(made, ifname)
    kept.unlink(missing_ok=True)


def main():
    command = os.environ["CNI_COMMAND"]
    config = json.load(sys.stdin)
    if command == "VERSION":
        json.dump({"cniVersion": "1.0.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0"]}, sys.stdout)
        return
    name = os.path.basename(sys.argv[0])
    kept = STATE / f"{name}-{os.environ['CNI_CONTAINERID']}-{os.environ['CNI_IFNAME']}"
    if command == "ADD":
        add(config, {"flannel": flannel, "multus": multus}[name], kept)
    elif command == "DEL":
        delete(config, kept)


main()
