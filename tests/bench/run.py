#!/usr/bin/env python3
"""berth run --rm of a small image beside podman and docker, and many containers at once.

usage: tests/bench/run.py [-n ROUNDS] [-m CONTAINERS] [berth podman docker]...     as root

All run the same image without a network but their own loopback, by runc where they are not berth; docker's daemon is that
of $DOCKER_HOST, or one of the bench's own.  Who is not installed, or does not start, is said to be left out.
"""
import argparse
import concurrent.futures
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
import dockerd  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402


def commands(r, ref):
    # podman's default limits cannot be raised everywhere, and its default cgroup manager is systemd.
    conf = r.work / "containers.conf"
    conf.write_text("[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n")
    os.environ["CONTAINERS_CONF"] = str(conf)
    return {
        "berth": r.command("run", "--rm", "--network", "none", ref, "true"),
        "podman": ["podman", "--root", str(r.work / "podman"), "--runroot", str(r.work / "podman-run"), "--storage-driver",
                   "overlay", "--runtime", "runc", "run", "--rm", "--network", "none", "--tls-verify=false", ref, "true"],
        "docker": ["docker", "run", "--rm", "--network", "none", ref, "true"],
    }


@contextlib.contextmanager
def present(peers, work):
    """Those of the peers that run here, docker's daemon included."""
    with contextlib.ExitStack() as stack:
        missing = {"podman": None if shutil.which("podman") else "podman is not installed"}
        if "docker" in peers:
            missing["docker"] = None if "DOCKER_HOST" in os.environ else stack.enter_context(dockerd.dockerd(work))
        for peer, why in missing.items():
            if why and peer in peers:
                print(f"{peer:8} left out: {why}", flush=True)
        yield ["berth", *(p for p in peers if p != "berth" and not missing.get(p))]


def compare(r, ref, peers, rounds):
    took = {p: [] for p in peers}
    for n in range(rounds + 1):
        for peer in peers:
            began = time.monotonic()
            subprocess.run(commands(r, ref)[peer], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if n:  # the first one pulls
                took[peer].append(time.monotonic() - began)
                print(f"round {n} {peer:8} {took[peer][-1] * 1000:6.1f} ms", flush=True)
    for peer, times in took.items():
        print(f"{peer:8} best {min(times) * 1000:6.1f} ms  median {statistics.median(times) * 1000:6.1f} ms  "
              f"berth takes {min(took['berth']) / min(times):.2f} of it", flush=True)


def field(pid, name):
    return next((int(x.split()[1]) for x in open(f"/proc/{pid}/smaps_rollup") if x.startswith(name)), 0)


def many(r, ref, count):
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: r.berth("run", "-d", "--network", "none", "--name", f"many{n}", ref, "sleep", "1000"), range(count)))
    started = time.monotonic() - began
    states = [c["status"] for c in json.loads(r.berth("ps", "--json"))]
    assert states == ["running"] * count, states
    pids = r.shims()
    assert len(pids) == count, len(pids)
    rss = [field(p, "Rss:") for p in pids]
    pss = [field(p, "Pss:") for p in pids]
    began = time.monotonic()
    r.berth("ps")
    listed = time.monotonic() - began
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: r.berth("rm", "-f", f"many{n}"), range(count)))
    stopped = time.monotonic() - began
    print(f"{count} containers: started in {started:.1f} s ({started / count * 1000:.0f} ms each), listed in {listed * 1000:.0f} ms, "
          f"removed in {stopped:.1f} s; a shim has {max(rss)} kB resident at most, {sum(pss) / count:.0f} kB of its own share")
    assert not r.shims()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("-n", type=int, default=10)
    options.add_argument("-m", type=int, default=200)
    options.add_argument("peers", nargs="*", default=["berth", "podman", "docker"])
    o = options.parse_args()
    with runner.Runner() as r:
        ref = r.push_busybox()
        r.berth("pull", ref)
        with present(o.peers, r.work) as peers:
            compare(r, ref, peers, o.n)
        if o.m:
            many(r, ref, o.m)
        if shutil.which("podman"):
            subprocess.run([*commands(r, ref)["podman"][:7], "rmi", "-a", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
