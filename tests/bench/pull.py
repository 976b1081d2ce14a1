#!/usr/bin/env python3
"""berth pull beside its peers: an image of six layers made from this machine's /usr, from a registry on loopback; then another
one that shares five of them, while the first is there.

usage: tests/bench/pull.py [-n ROUNDS] [-d DIR] [-b BYTES] [berth podman docker umoci]...     as root; DIR keeps the layers for the next time

Ratios are of one run: peers take turns, round by round. A dockerd is started for it. What docker uses of processors is
its daemon's; the memory is not shown. On a machine that has other things to do, compare processors, not clocks.
skopeo with umoci has no second pull, since umoci unpacks an image whole.
"""
import argparse
import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import dockerd  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402

LAYERS, BYTES, FILES = 6, 1_200_000_000, 50_000
REST_S = 65  # for a minute ext4 steps over each inode that was deleted when it makes a new one


def choose(bytes_max):
    """Files of /usr in order, until there are enough; dealt out to the layers by size."""
    piles = [[0, []] for _ in range(LAYERS)]
    total = count = 0
    for top, dirs, names in os.walk("/usr"):
        dirs.sort()
        for name in sorted(names):
            path = os.path.join(top, name)
            s = os.lstat(path)
            if not (os.path.isfile(path) or os.path.islink(path)) or s.st_size > 100_000_000:
                continue
            pile = min(piles, key=lambda p: p[0])
            pile[0] += s.st_size + 2048
            pile[1].append(path)
            total += s.st_size
            count += 1
            if total >= bytes_max or count >= FILES:
                return [p[1] for p in piles]
    return [p[1] for p in piles]


def make_layers(keep, bytes_max):
    if not (keep / "layers.json").exists():
        made = []
        piles = choose(bytes_max)
        for n, paths in enumerate([*piles, piles[-1][::-1]]):  # the last one is the other image's, of the same size
            diff = hashlib.sha256()
            packed = keep / f"{n}.gz"

            class Both(io.RawIOBase):
                def __init__(self, out):
                    self.out = out

                def write(self, data):
                    diff.update(data)
                    self.out.write(data)
                    return len(data)

            with gzip.GzipFile(packed, "wb", compresslevel=6, mtime=0) as z, \
                    tarfile.open(fileobj=Both(z), mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in paths:
                    tar.add(path, recursive=False)
            made.append("sha256:" + diff.hexdigest())
        (keep / "layers.json").write_text(json.dumps(made))
    return [(d, (keep / f"{n}.gz").read_bytes()) for n, d in enumerate(json.loads((keep / "layers.json").read_text()))]


def push(daemon, repo, layers):
    body = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
                       "rootfs": {"type": "layers", "diff_ids": [d for d, _ in layers]}}).encode()
    for blob in [body, *(b for _, b in layers)]:
        daemon.push_blob(repo, blob)
    doc = {"schemaVersion": 2, "mediaType": registry.OCI_MANIFEST, "config": registry.descriptor(registry.OCI_CONFIG, body),
           "layers": [registry.descriptor(registry.OCI_LAYER + "+gzip", b) for _, b in layers]}
    assert daemon.put_manifest(repo, "v1", doc).status == 201


def peak_mb(pid):
    """Of the process alone: what wait(2) tells includes the one that it was forked from."""
    with contextlib.suppress(OSError, StopIteration):
        return next(int(x.split()[1]) for x in open(f"/proc/{pid}/status") if x.startswith("VmHWM")) >> 10
    return 0


def timed(command):
    """Seconds on the clock, seconds of processors (user, system), and megabytes of memory at most."""
    subprocess.run(["sync"])
    began = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while True:
        pid, status, used = os.wait4(p.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, peak_mb(p.pid))
        time.sleep(0.02)
    took = time.monotonic() - began
    p.returncode = status
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return took, used.ru_utime, used.ru_stime, peak


# Of each peer: pulls images one after the other, and removes them; what timed() says of each.


def pull_berth(refs, work):
    root = work / "berth"
    out = [timed([runner.BERTH, "--root", str(root), "pull", "-q", ref]) for ref in refs]
    shutil.rmtree(root)
    return out


def pull_podman(refs, work):
    at = ["podman", "--root", str(work / "podman"), "--runroot", str(work / "podman-run"), "--storage-driver", "overlay"]
    out = [timed([*at, "pull", "-q", "--tls-verify=false", ref]) for ref in refs]
    subprocess.run([*at, "rmi", "-a", "-f"], stdout=subprocess.DEVNULL, check=True)
    return out


def used_by_docker():
    """Seconds of processors, user and system, that the daemon, what it runs, and what it ran have used."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
        family = {struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]}
    fields = {}
    for pid in sorted(int(d) for d in os.listdir("/proc") if d.isdigit()):
        with contextlib.suppress(OSError):
            fields[pid] = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
            if int(fields[pid][1]) in family:
                family.add(pid)
    ticks = os.sysconf("SC_CLK_TCK")
    return [sum(int(fields[pid][i]) + int(fields[pid][i + 2]) for pid in family) / ticks for i in (11, 12)]


def pull_docker(refs, _work):
    out = []
    for ref in refs:
        before = used_by_docker()
        took = timed(["docker", "pull", "-q", ref])[0]
        out.append((took, *(b - a for a, b in zip(before, used_by_docker())), 0))
    subprocess.run(["docker", "rmi", *refs], stdout=subprocess.DEVNULL, check=True)
    return out


def pull_umoci(refs, work):
    script = (f"skopeo copy -q --src-tls-verify=false docker://{refs[0]} oci:{work}/oci:v1 && "
              f"umoci unpack --image {work}/oci:v1 {work}/bundle")
    out = [timed(["sh", "-ec", script])]
    subprocess.run(["rm", "-rf", f"{work}/oci", f"{work}/bundle"], check=True)
    return out


PEERS = {"berth": pull_berth, "podman": pull_podman, "docker": pull_docker, "umoci": pull_umoci}


def report(n, peer, results, best):
    for what, (took, user, system, peak) in zip(("whole", "shares 5 of 6"), results):
        key = (peer, what)
        best[key] = min(best.get(key, took), took)
        used = f"; of processors {user:6.2f} s user, {system:5.2f} s system" + (f"; {peak} MB at most" if peak else "")
        print(f"{'round' if what == 'whole' else 'again'} {n} {peer:8} {took:6.2f} s, {what}{used}", flush=True)


def conclude(best):
    for (peer, what), took in best.items():
        text = f"best {peer:8} {what:14} {took:6.2f} s"
        if (peer, "whole") in best and what != "whole":
            text += f"  {took / best[peer, 'whole']:.2f} of its whole"
        for other in ("docker", "podman"):
            if peer == "berth" and (other, what) in best:
                text += f"  {took / best[other, what]:.2f} of {other}'s"
        print(text)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("-n", type=int, default=3)
    options.add_argument("-d", type=pathlib.Path)
    options.add_argument("-b", type=int, default=BYTES)
    options.add_argument("peers", nargs="*", default=["berth", "podman", "docker", "umoci"])
    o = options.parse_args()
    os.environ["PATH"] = f"{runner.TOP / 'build/tools/bin'}:{os.environ['PATH']}"
    work = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-"))
    keep = o.d or work
    keep.mkdir(exist_ok=True)
    layers = make_layers(keep, o.b)
    size = sum(len(b) for _, b in layers[:LAYERS])
    began = time.thread_time()
    inflate = sum(len(zlib.decompress(b, 31)) for _, b in layers[:LAYERS])
    print(f"{LAYERS} layers, {size / 1e6:.0f} MB, {inflate / 1e6:.0f} MB unpacked; zlib alone {time.thread_time() - began:.2f} s; the "
          f"other image's own layer is {len(layers[-1][1]) / size:.2f} of it")
    best = {}
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(registry.Daemon(root=work / "registry"))
        if "docker" in o.peers and "DOCKER_HOST" not in os.environ:
            why = stack.enter_context(dockerd.dockerd(work))
            if why:
                raise SystemExit(why)
        push(daemon, "usr", layers[:LAYERS])
        push(daemon, "other", [*layers[:LAYERS - 1], layers[LAYERS]])
        del layers
        refs = [f"{daemon.host}:{daemon.port}/{repo}:v1" for repo in ("usr", "other")]
        for n in range(o.n):
            for peer in o.peers:
                subprocess.run(["sync"], check=True)
                time.sleep(REST_S)
                report(n, peer, PEERS[peer](refs, work), best)
    conclude(best)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
