#!/usr/bin/env python3
"""Mixed load for a long time: does berthd's memory stay as it is, and does every answer come?

usage: soak.py [SECONDS [RATE]]     (3600; rounds a second of all clients together, as many as there can be without)

Clients push images, move and delete tags, pull, list, upload in chunks, give up, log in and are refused, while collection runs all the time, an
endpoint is told of events and a scraper reads metrics.  The store has bounds: each client deletes what it pushed before.  Memory is the
process's own (RssAnon), sampled all the time; it is flat if its median over the last quarter is no more than a tenth and 2 MiB above that
over the second quarter (the first is for warming up).  Descriptors and threads are looked at in the same way.  Exit status 1 if it is not.
"""
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import receiver  # noqa: E402
import registry as r  # noqa: E402

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 3600
CLIENTS = 8
ROUND_S = CLIENTS / float(sys.argv[2]) if len(sys.argv) > 2 else 0  # of one client, at least
KEEP = 20  # tags of a client
SAMPLES = 240
OPTIONS = ("--log.access=false", "--gc.interval=1s", "--gc.lease=5s", "--gc.untagged_keep=0s", "--gc.max_share=100", "--trash.keep=5s",
           "--uploads.idle=5s", "--limits.address.requests=100000", "--limits.identity.uploads=100",
           "--auth.throttle.failures=1000", "--auth.throttle.window=1s")  # or who is wrong all the time locks out who is right
ACCESS = "--access=[{who: alice, repositories: '**', allow: [pull, push, delete]}, {who: anonymous, repositories: '**', allow: pull}]"


class Client(threading.Thread):
    def __init__(self, server, number, end):
        super().__init__(daemon=True)
        self.s, self.repo, self.end = server, f"soak/r{number}", end
        self.random = random.Random(number)
        self.requests, self.odd, self.failure = 0, {}, None

    def ask(self, c, method, path, *args, good=(200, 201, 202, 204)):
        a = self.s.request(method, path, *args, connection=c)
        self.requests += 1
        if a.status not in good:
            self.odd[a.status] = self.odd.get(a.status, 0) + 1
        return a

    def push(self, c, n):
        layers = [self.random.randbytes(self.random.choice([10, 5000, 200_000])) for _ in range(2)]
        config = json.dumps({"n": n, "repo": self.repo}).encode()
        octets = {"Content-Type": "application/octet-stream"}
        self.ask(c, "POST", f"/v2/{self.repo}/blobs/uploads/?digest={r.sha256(config)}", config, octets)
        self.ask(c, "POST", f"/v2/{self.repo}/blobs/uploads/?digest={r.sha256(layers[0])}", layers[0], octets)
        where = self.ask(c, "POST", f"/v2/{self.repo}/blobs/uploads/", b"").header("Location")
        self.ask(c, "PATCH", where, layers[1], octets)
        self.ask(c, "PUT", f"{where}?digest={r.sha256(layers[1])}", b"")
        a = self.ask(c, "PUT", f"/v2/{self.repo}/manifests/t{n % KEEP}", json.dumps(r.image(config, layers)).encode(),
                     {"Content-Type": r.OCI_MANIFEST})
        return a.header("Docker-Content-Digest")

    def one_round(self, c, n):
        self.push(c, n)
        tag = self.random.randrange(KEEP)
        a = self.ask(c, "GET", f"/v2/{self.repo}/manifests/t{tag}", good=(200, 404))
        if a.status == 200:
            for layer in a.json()["layers"]:
                self.ask(c, "GET", f"/v2/{self.repo}/blobs/{layer['digest']}")
        self.ask(c, "GET", f"/v2/{self.repo}/tags/list?n=5")
        self.ask(c, "GET", "/v2/_catalog", good=(200,))
        self.ask(c, "DELETE", f"/v2/{self.repo}/manifests/t{self.random.randrange(KEEP)}", good=(202, 404))
        self.ask(c, "POST", f"/v2/{self.repo}/blobs/uploads/", b"")  # and given up
        self.ask(c, "GET", "/nothing/here", good=(404,))
        self.ask(c, "GET", "/v2/", None, {"Authorization": r.basic("alice:wrong")}, good=(401, 429))
        self.ask(c, "GET", f"/token?service=berthd&scope=repository:{self.repo}:pull")

    def run(self):
        n = 0
        try:
            while time.monotonic() < self.end:
                c = self.s.connect()
                for _ in range(10):
                    began = time.monotonic()
                    self.one_round(c, n)
                    n += 1
                    time.sleep(max(0, began + ROUND_S - time.monotonic()))
                c.close()
        except Exception as why:  # noqa: BLE001 - whatever it is, the soak has failed
            self.failure = repr(why)


def sample(s):
    lines = dict(x.split(":", 1) for x in open(f"/proc/{s.process.pid}/status"))
    return {"KiB": int(lines["RssAnon"].split()[0]), "threads": int(lines["Threads"]), "descriptors": s.fds()}


def quarter(samples, i, key):
    n = len(samples) // 4
    return statistics.median(x[key] for x in samples[i * n:(i + 1) * n])


def main():
    s = r.Daemon()
    users = s.work / "users"
    subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}"], input=b"pw\n", check=True, stdout=subprocess.DEVNULL)
    s.user = "alice:pw"
    bad = []
    with receiver.Receiver(lambda n, q: 200 if n % 50 else 500, keep=False) as hook:
        s.options = (*OPTIONS, f"--auth.htpasswd={users}", ACCESS, "--events.endpoints=" + json.dumps([{"name": "soak", "url": hook.url}]))
        with s:
            end = time.monotonic() + SECONDS
            clients = [Client(s, i, end) for i in range(CLIENTS)]
            for c in clients:
                c.start()
            samples = []
            while time.monotonic() < end and not any(c.failure for c in clients):
                time.sleep(SECONDS / SAMPLES)
                s.request("GET", "/metrics")
                samples.append(sample(s))
            for c in clients:
                c.join(r.WAIT_S)
            bad += [f"client {i}: {c.failure or c.odd}" for i, c in enumerate(clients) if c.failure or c.odd]
            text = s.request("GET", "/metrics").body.decode()
            faults = s.admin("fsck", want=None)
            print(f"{SECONDS:g} s: {sum(c.requests for c in clients)} requests, {hook.count} requests to the endpoint")
            print("\n".join(x for x in text.splitlines() if x.startswith(("berthd_store_objects", "berthd_events_delivered", "berthd_gc_cycles"))))
            bad += [f"fsck: {x}" for x in faults if x.get("fault")]
    for key, slack in (("KiB", 2048), ("threads", 1), ("descriptors", 10)):
        by_quarter = [quarter(samples, i, key) for i in range(4)]
        print(f"{key}: medians of the quarters {' '.join(f'{x:.0f}' for x in by_quarter)}, most {max(x[key] for x in samples)}")
        if by_quarter[3] > by_quarter[1] * 1.1 + slack:
            bad.append(f"{key} grew")
    for x in bad:
        print("BAD", x)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
