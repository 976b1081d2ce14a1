#!/usr/bin/env python3
"""Collection all the time beside clients that push, re-push, mount, tag, untag, delete and pull, with SIGKILLs in between: what was
acknowledged and not deleted stays whole, and in the end nothing else is left.

GC_SOAK_SECONDS says for how long (60), GC_SOAK_SEED repeats a run as far as threads allow."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import history  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

SECONDS = int(os.environ.get("GC_SOAK_SECONDS", "60"))
SEED = int(os.environ.get("GC_SOAK_SEED", str(random.randrange(1 << 32))))
CLIENTS = 16
LEASE_S = 3
OPTIONS = (f"--gc.lease={LEASE_S}s", "--trash.keep=2s", "--gc.interval=1s", "--gc.untagged_keep=0s", "--gc.max_share=100",
           "--uploads.idle=5s", "--scrub.rate=0", "--log.access=false")
REPOS = [f"stress/{n}" for n in "abcdef"]
LAYERS = [bytes([n]) * (200 + 977 * n) for n in range(40)]


class Cut(Exception):
    """The daemon went away: whether what was asked for happened is not known."""


class Client(threading.Thread):
    """Has tags of its own in shared repositories; their manifests are its own as well, the layers are everybody's."""

    def __init__(self, number, stress):
        super().__init__()
        self.number, self.stress, self.rng = number, stress, random.Random(SEED + number)
        self.tags = {}     # (repo, tag) -> manifest bytes that a 201 was given for
        self.unknown = {}  # (repo, tag) -> what it may point to, after a cut
        self.counts = dict.fromkeys(("pushed", "pulled", "deleted", "cut", "late"), 0)
        self.failure = None
        self.n = 0

    def ask(self, method, path, body=None, headers=None):
        try:
            return self.stress.daemon.request(method, path, body, headers)
        except (OSError, http.client.HTTPException) as e:
            raise Cut from e

    def run(self):
        try:
            while not self.stress.over.is_set():
                try:
                    self.rng.choices((self.push, self.retag, self.untag, self.delete, self.pull), (6, 2, 2, 1, 4))[0]()
                except Cut:
                    self.counts["cut"] += 1
                    time.sleep(0.05)
        except Exception as e:  # noqa: BLE001 - told by the test
            self.failure = e
            self.stress.over.set()

    # the file of a blob gets there as clients do it

    def blob(self, repo, data):
        digest = r.sha256(data)
        if self.ask("HEAD", f"/v2/{repo}/blobs/{digest}").status == 200:
            return
        if self.rng.random() < 0.5:
            a = self.ask("POST", f"/v2/{repo}/blobs/uploads/?mount={digest}&from={self.rng.choice(REPOS)}", b"")
            if a.status == 201:
                return
            same("mount", 202, a.status)
            a = self.ask("PUT", f"{a.header('Location')}?digest={digest}", data, {"Content-Type": "application/octet-stream"})
        else:
            a = self.ask("POST", f"/v2/{repo}/blobs/uploads/?digest={digest}", data, {"Content-Type": "application/octet-stream"})
        same(f"upload {a.body!r}", 201, a.status)

    def put(self, repo, tag, data):
        key = repo, tag
        self.unknown[key] = {self.tags.pop(key, None), *self.unknown.get(key, ()), data}
        a = self.ask("PUT", f"/v2/{repo}/manifests/{tag}", data, {"Content-Type": r.OCI_MANIFEST})
        if a.status == 201:
            del self.unknown[key]
            self.tags[key] = data
            self.counts["pushed"] += 1
        return a

    def push(self):
        repo, tag = self.rng.choice(REPOS), f"c{self.number}-{self.rng.randrange(8)}"
        self.n += 1
        config = json.dumps({"client": self.number, "n": self.n, "seed": SEED}).encode()
        layers = self.rng.sample(LAYERS, self.rng.randrange(1, 4))
        began, starts = time.monotonic(), self.stress.starts
        for data in (config, *layers):
            self.blob(repo, data)
        a = self.put(repo, tag, json.dumps(r.image(config, layers)).encode())
        if a.status == 201:
            return
        # A client that takes longer than the lease pushes again; before, each blob it was told of must count.
        if time.monotonic() - began < LEASE_S - 0.5 and starts == self.stress.starts:
            raise AssertionError(f"a manifest refused within the lease: {a.status} {a.body!r}")
        same("refused for its blobs", 404, a.status)
        self.counts["late"] += 1

    def some_tag(self):
        return self.rng.choice(sorted(self.tags)) if self.tags else None

    def retag(self):
        key = self.some_tag()
        if key:
            a = self.put(key[0], f"c{self.number}-{self.rng.randrange(8)}", data := self.tags[key])
            same(f"retag of {r.sha256(data)}: {a.body!r}", 201, a.status)

    def untag(self):
        key = self.some_tag()
        if key:
            self.unknown[key] = {self.tags.pop(key), None}
            same("untag", 202, self.ask("DELETE", f"/v2/{key[0]}/manifests/{key[1]}").status)
            del self.unknown[key]
            self.counts["deleted"] += 1

    def delete(self):
        key = self.some_tag()
        if not key:
            return
        data = self.tags[key]
        for other in [k for k, v in self.tags.items() if k[0] == key[0] and v == data]:
            self.unknown[other] = {self.tags.pop(other), None}
        a = self.ask("DELETE", f"/v2/{key[0]}/manifests/{r.sha256(data)}")
        same("delete", 202, a.status)
        for k, v in list(self.unknown.items()):
            if k[0] == key[0] and data in v:
                v.discard(data)
                v.add(None)
        self.counts["deleted"] += 1

    def pull(self):
        key = self.some_tag()
        if key:
            check(lambda path: self.ask("GET", path), key, self.tags[key])
            self.counts["pulled"] += 1


def check(get, key, data):
    """The tag points to these bytes, and all they refer to is there."""
    repo, tag = key
    a = get(f"/v2/{repo}/manifests/{tag}")
    same(f"{repo}:{tag}", (200, data), (a.status, a.body))
    document = json.loads(data)
    for d in [document["config"], *document["layers"]]:
        b = get(f"/v2/{repo}/blobs/{d['digest']}")
        same(f"{d['digest']} of {repo}:{tag}", (200, d["digest"]), (b.status, r.sha256(b.body)))


class Stress:
    def __init__(self, daemon):
        self.daemon, self.over, self.starts, self.kills, self.cycles = daemon, threading.Event(), 0, 0, 0
        self.clients = [Client(n, self) for n in range(CLIENTS)]

    def run(self, rng):
        end = time.monotonic() + SECONDS
        for c in self.clients:
            c.start()
        while time.monotonic() < end and not self.over.is_set():
            until = time.monotonic() + rng.uniform(1, 8)
            while time.monotonic() < until and not self.over.is_set():
                self.daemon.admin("gc", "--confirm")
                self.cycles += 1
                time.sleep(rng.uniform(0, 0.2))
            self.starts += 1
            with contextlib.suppress(ProcessLookupError):
                self.daemon.kill()
            self.kills += 1
            self.daemon.start()
            self.starts += 1
        self.over.set()
        for c in self.clients:
            c.join()
        for c in self.clients:
            if c.failure:
                raise c.failure


def what_is_live(s):
    """Digests that a tag needs, as clients see it."""
    live = set()
    for repo in history.pages(s, "/v2/_catalog", "repositories"):
        for tag in history.pages(s, f"/v2/{repo}/tags/list", "tags"):
            body = s.request("GET", f"/v2/{repo}/manifests/{tag}").body
            document = json.loads(body)
            live |= {r.sha256(body), document["config"]["digest"], *(d["digest"] for d in document["layers"])}
    return live


@case(f"{SECONDS} s of {CLIENTS} clients beside collections and SIGKILLs (seed {SEED})")
def stress():
    with r.Daemon(*OPTIONS) as s:
        run = Stress(s)
        run.run(random.Random(SEED))
        for c in run.clients:
            for key, data in c.tags.items():
                check(lambda path: s.request("GET", path), key, data)
            for key, may_be in c.unknown.items():
                a = s.request("GET", f"/v2/{key[0]}/manifests/{key[1]}")
                got = a.body if a.status == 200 else None
                if got not in may_be:
                    raise AssertionError(f"{key} after a cut: {got!r}, not one of {may_be!r}")
                if got:
                    check(lambda path: s.request("GET", path), key, got)
        same("faults", [], [i for i in s.admin("fsck", want=None) if "fault" in i])

        def is_clean():
            s.admin("gc", "--confirm")
            return s.blob_files() == what_is_live(s)

        r.wait_until("all garbage to go", is_clean)
        same("faults in the end", [], [i for i in s.admin("fsck", want=None) if "fault" in i])
        total = {n: sum(c.counts[n] for c in run.clients) for n in run.clients[0].counts}
        print(f"# {run.kills} SIGKILLs, {run.cycles} collections, {total}")


if __name__ == "__main__":
    tap.main()
