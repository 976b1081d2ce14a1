#!/usr/bin/env python3
"""The container image of berthd (`make image`): made twice alike, and run by berth with its store on a volume."""
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402
from tap import same  # noqa: E402

NAME = "localhost/berthd:test"


def make(r, archive):
    tools = r.work / "tools"
    if not tools.exists():  # the programs under test, by the names that the script knows
        tools.mkdir()
        (tools / "berthd").symlink_to(registry.TOP / "build/bin/berthd")
        (tools / "berth").symlink_to(runner.BERTH)
    needs = registry.TOP / "build/release/berthd-needs"
    if not needs.exists():
        flags = ["WERROR=1"] if "-Werror" in (registry.TOP / "build/release/.flags").read_text() else []
        subprocess.run(["make", "-s", "-C", registry.TOP, needs.relative_to(registry.TOP), *flags], check=True, stdout=subprocess.DEVNULL,
                       timeout=registry.WAIT_S * 5)
    got = subprocess.run([registry.TOP / "etc/tools/image.sh", tools, needs, archive, NAME], capture_output=True, text=True,
                         timeout=registry.WAIT_S * 5, check=False)
    if got.returncode != 0:
        raise AssertionError(got.stderr[-2000:])
    return re.search(r"@(sha256:[0-9a-f]{64})$", got.stdout, re.M).group(1)


@tap.case("it is made by berth's own tools, the same bytes each time, without a shell")
def made(r):
    first, second = make(r, r.work / "image.tar"), make(r, r.work / "again.tar")
    same("digest", first, second)
    r.berth("load", "-i", str(r.work / "image.tar"))
    bundle = r.work / "bundle"
    r.berth("unpack", NAME, str(bundle))
    programs = sorted(str(p.relative_to(bundle / "rootfs")) for p in (bundle / "rootfs").rglob("*")
                      if p.is_file() and not p.is_symlink() and os.access(p, os.X_OK) and ".so" not in p.name)
    same("programs", ["usr/bin/berthd"], programs)
    print(f"# {(r.work / 'image.tar').stat().st_size} bytes")


class Contained(registry.Daemon):
    """The daemon in a container: what tests ask of one."""

    def __init__(self, r, name):
        super().__init__()
        self.runner, self.name = r, name
        r.berth("run", "-d", "--name", name, "--network", "host", "-v", "store:/var/lib/berthd", "-e", "BERTHD_LISTEN=127.0.0.1:0", NAME)
        registry.wait_until(f"{name} listens: {r.run('logs', name).stderr}", lambda: "listening on" in r.run("logs", name).stdout)
        self.host, port = re.search(r"listening on http://(\S+):(\d+)", r.berth("logs", name)).groups()
        self.port = int(port)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.runner.berth("stop", self.name)
        status = self.runner.berth("wait", self.name).strip()
        self.runner.berth("rm", self.name)
        self.close()
        if failure is None:
            same("exit status", "0", status)


@tap.case("it runs under berth, confined and as its own user; what was pushed is in the next container on the volume")
def runs(r):
    config = b'{"architecture": "amd64", "os": "linux"}'
    with Contained(r, "one") as s:
        status = r.berth("top", "one")
        same("it is no longer root", False, bool(re.search(r"^root\b", status, re.M)))
        s.push_blob("team/app", config)
        same("push", 201, s.put_manifest("team/app", "v1", registry.image(config)).status)
        same("seccomp and no new privileges", {"Seccomp": "2", "NoNewPrivs": "1"}, confinement(r, "one"))
    with Contained(r, "two") as s:
        same("pull", 200, s.request("GET", "/v2/team/app/manifests/v1").status)
        same("blob", config, s.request("GET", f"/v2/team/app/blobs/{registry.sha256(config)}").body)


def confinement(r, name):
    pid = next(c["pid"] for c in json.loads(r.berth("ps", "--json")) if c["name"] == name)
    return {k: v for k, v in re.findall(r"^(Seccomp|NoNewPrivs):\s+(\d+)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)}


@tap.case("open to all without accounts it does not start, and says why; asked to, it does")
def closed(r):
    p = r.run("run", "--rm", NAME, check=False)
    same("status and reason", (2, True), (p.returncode, "http.insecure" in p.stderr))
    r.berth("run", "-d", "--name", "open", "-e", "BERTHD_HTTP_INSECURE=true", NAME)
    registry.wait_until("it listens", lambda: "listening on http://0.0.0.0:5000" in r.run("logs", "open").stdout)


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP root only")
        return
    with runner.Runner() as r:
        tap.main(r, after_each=runner.Runner.sweep)


main()
