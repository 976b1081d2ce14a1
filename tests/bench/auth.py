#!/usr/bin/env python3
"""What logins cost: GET of a manifest with a token and with a password, beside the same without any, in one run.

usage: auth.py [ROUNDS]
"""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
from registry import BERTHD, basic, image  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
SECONDS = 2  # of each measurement
PATH = "/v2/bench/a/manifests/v1"
ACCESS = "--access=[{who: alice, repositories: 'bench/**', allow: [pull, push]}]"


def fill(server):
    server.push_blob("bench/a", b"{}")
    assert server.put_manifest("bench/a", "v1", image()).status == 201


def token(server):
    a = server.request("GET", "/token?service=berthd&scope=repository:bench/a:pull")
    assert a.status == 200
    return f"Bearer {a.json()['token']}"


def main():
    with tempfile.TemporaryDirectory() as work:
        users = f"{work}/users"
        subprocess.run([BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}"], input=b"secret", check=True,
                       stdout=subprocess.DEVNULL)
        with b.berthd() as free, b.berthd(f"--auth.htpasswd={users}", ACCESS, "--auth.tokens.lifetime=1d") as closed:
            closed.user = "alice:secret"
            fill(free)
            fill(closed)
            bearer, password = token(closed), basic("alice:secret")

            def rate(server, *headers):
                return b.wrk(b.url(server, PATH), 64, SECONDS, *headers)

            v = b.alternate(ROUNDS, {"without": lambda: rate(free), "token": lambda: rate(closed, f"Authorization: {bearer}"),
                                     "password": lambda: rate(closed, f"Authorization: {password}")})
            def cost(server, *headers):
                return b.cpu_us(server, 64, SECONDS, b.url(server, PATH), *headers)

            c = b.alternate(ROUNDS, {"without": lambda: cost(free), "token": lambda: cost(closed, f"Authorization: {bearer}"),
                                     "password": lambda: cost(closed, f"Authorization: {password}")})
            for what in ("token", "password"):
                print(f"processor time with a {what}: {b.median(c[what]):.1f} us a request, {b.median(c['without']):.1f} us without, "
                      f"ratio {b.median(c['without']) / b.median(c[what]):.2f}", flush=True)
            good = b.report("manifest GET with a token, 64 clients", v["token"], v["without"], 0.85, peer="without a login")
            good &= b.report("manifest GET with a password, 64 clients", v["password"], v["without"], 0.8, peer="without a login")
    sys.exit(0 if good else 1)


main()
