#!/usr/bin/env python3
"""`berth run --rm` on its default network beside podman (CNI; netavark) and docker on theirs, in the same run.

usage: tests/bench/network_run.py [ROUNDS]     as root

All of it happens in a network namespace of its own, where dockerd runs with its bridge.  Each engine runs the same image
without a network, on its default network, and there with a published port, one after the other in each round.  Peers that
are not installed or do not start here are named and left out; podman uses netavark where /usr/lib/podman (or NETAVARK, a
directory) has it.  berth's default network checks MAC addresses and guards those of containers, which podman's does not, so
berth also runs on a network with podman's list of plugins.  Printed are the best and the median of the rounds, and medians as
a ratio to berth's.
"""
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netlab  # noqa: E402
import runner  # noqa: E402

del os.environ["BERTH_NETWORK"]  # of which runner makes none

WAYS = {"no network": ("--network", "none"), "default network": (), "default network, a port": ("-p", "8080:80")}


def quiet(command, **more):
    return subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120, check=False, **more)


# As podman 4 writes it for its default network, in berth's hands.
PODMANS_LIST = {"cniVersion": "0.4.0", "name": "like-podman", "plugins": [
    {"type": "bridge", "bridge": "bench0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "10.89.0.0/16", "gateway": "10.89.0.1"}]]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}, {"type": "tuning"}]}


class Berth:
    def __init__(self, lab, r, ref, network):
        self.name = "berth" if network == "berth" else f"berth, {network}"
        self.r, self.ref, self.network = r, ref, network
        self.env = dict(os.environ, **lab.env)

    def command(self, way):
        preset = way == "no network" or self.network == "berth"
        options = WAYS[way] if preset else ("--network", self.network, *WAYS[way])
        return self.r.command("run", "--rm", *options, self.ref, "true")


class Podman:
    """With one store for each backend: it does not change it afterwards."""

    def __init__(self, lab, r, ref, backend, helpers):
        self.name, self.ref = f"podman, {backend}", ref
        work = r.work / f"podman-{backend}"
        work.mkdir()
        conf = work / "containers.conf"
        conf.write_text('[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
                        f'helper_binaries_dir = {json.dumps(helpers)}\n'
                        f'[network]\nnetwork_backend = "{backend}"\ncni_plugin_dirs = ["{lab.env["CNI_PATH"]}"]\n'
                        f'network_config_dir = "{work}/networks"\n')
        self.env = dict(os.environ, CONTAINERS_CONF=str(conf))
        self.base = ["podman", "--root", work / "root", "--runroot", work / "run", "--storage-driver", "overlay", "--runtime", "runc"]
        p = quiet([*self.base, "pull", "--tls-verify=false", ref], env=self.env)
        if p.returncode != 0:
            raise RuntimeError(p.stdout)

    def command(self, way):
        return [*self.base, "run", "--rm", *WAYS[way], self.ref, "true"]


class Docker:
    name = "docker, bridge"

    def __init__(self, stack, r, ref):
        self.ref, work = ref, r.work / "docker"
        work.mkdir()
        self.env = dict(os.environ, DOCKER_HOST=f"unix://{work}/socket", DOCKER_CONFIG=str(work))
        (work / "daemon.json").write_text("{}")
        log = stack.enter_context(open(work / "log", "w"))
        daemon = subprocess.Popen(["dockerd", "--config-file", work / "daemon.json", "--data-root", work / "data", "--exec-root", work / "exec",
                                   "-H", self.env["DOCKER_HOST"], "--pidfile", work / "pid", "--cgroup-parent=/berth-bench",
                                   "--exec-opt", "native.cgroupdriver=cgroupfs", "--insecure-registry", r.host],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(self.end, daemon)
        netlab.wait_until("dockerd", lambda: daemon.poll() is not None or quiet(["docker", "version"], env=self.env).returncode == 0)
        p = quiet(["docker", "pull", ref], env=self.env)
        if p.returncode != 0:
            raise RuntimeError(p.stdout + (work / "log").read_text()[-2000:])

    @staticmethod
    def end(daemon):
        daemon.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(20)
        daemon.kill()
        daemon.wait()

    def command(self, way):
        return ["docker", "run", "--rm", *WAYS[way], self.ref, "true"]


def helper_dirs():
    return [d for d in (os.environ.get("NETAVARK"), "/usr/lib/podman", "/usr/libexec/podman") if d and os.path.isdir(d)]


def engines(lab, r, ref, stack):
    """berth first; whatever does not work here says why."""
    lab.network(PODMANS_LIST)
    found = [Berth(lab, r, ref, "berth"), Berth(lab, r, ref, PODMANS_LIST["name"])]
    helpers = helper_dirs()
    wanted = [(lambda: Podman(lab, r, ref, "cni", helpers), "podman, cni", shutil.which("podman")),
              (lambda: Podman(lab, r, ref, "netavark", helpers), "podman, netavark",
               shutil.which("podman") and any(os.path.exists(f"{d}/netavark") for d in helpers)),
              (lambda: Docker(stack, r, ref), Docker.name, shutil.which("dockerd") and shutil.which("docker"))]
    for make, name, installed in wanted:
        if not installed:
            print(f"{name}: not installed")
            continue
        try:
            found.append(make())
        except (RuntimeError, AssertionError, OSError) as e:
            print(f"{name}: does not run here: {' '.join(str(e).split())[-300:]}")
    return [e for e in found if works(e)]


def works(engine):
    for way in WAYS:
        p = quiet(engine.command(way), env=engine.env)
        if p.returncode != 0:
            print(f"{engine.name}: {way}: does not run here: {' '.join(p.stdout.split())[-300:]}")
            return False
    return True


def measure(found, rounds):
    took = {(e.name, way): [] for e in found for way in WAYS}
    for n in range(rounds):
        for way in WAYS:
            for e in found[n % len(found):] + found[:n % len(found)]:
                began = time.perf_counter()
                subprocess.run(list(map(str, e.command(way))), check=True, env=e.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
                took[e.name, way].append(time.perf_counter() - began)
    return took


def report(found, took):
    for way in WAYS:
        print(f"\nrun --rm, {way}")
        ours = statistics.median(took["berth", way])
        for e in found:
            values = took[e.name, way]
            print(f"  {e.name:20} best {min(values) * 1000:6.0f} ms, median {statistics.median(values) * 1000:6.0f} ms, "
                  f"{statistics.median(values) / ours:5.2f} times berth's")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with netlab.Lab() as lab, runner.Runner() as r, contextlib.ExitStack() as stack:
        ref = r.push_busybox()
        r.berth("pull", ref)
        found = engines(lab, r, ref, stack)
        print(f"{rounds} rounds, plugins of {lab.env['CNI_PATH']}", flush=True)
        report(found, measure(found, rounds))
        r.sweep()


if __name__ == "__main__":
    netlab.enter()
    main()
