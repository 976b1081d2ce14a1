#!/usr/bin/env python3
"""SIGKILL at random moments under concurrent pushes: what was acknowledged is there afterwards, whole, and nothing dangles.

CRASHES sets how often (200); SEED repeats a run.
"""
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402

CRASHES = int(os.environ.get("CRASHES", "200"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 30))))
PUSHERS = 6
START_S_MAX = 1.0 if not os.environ.get("BERTH_SLOW") else 60.0
CUT = (OSError, http.client.HTTPException)  # what a client sees of a server that dies


class Pusher(threading.Thread):
    """Pushes images of its own under its own tag; remembers what was acknowledged and what was under way."""

    def __init__(self, daemon, number, history):
        super().__init__(daemon=True)
        self.server, self.number, self.history = daemon, number, history
        self.rng = random.Random(SEED * 1000 + number + len(history.acked) * 7)

    def run(self):
        try:
            connection = self.server.connect()
            while True:
                self.push_one(connection)
        except CUT:
            pass
        except AssertionError as e:
            self.history.wrong.append(str(e))

    def push_one(self, connection):
        h, repo, tag = self.history, f"crash/r{self.number % 3}", f"t{self.number}"
        layer = self.rng.randbytes(self.rng.choice([10, 3000, 200000]))
        config = json.dumps({"n": self.rng.random()}).encode()
        self.server.push_blob(repo, config, connection)
        self.push_layer(repo, layer, connection)
        manifest = json.dumps(r.image(config, [layer])).encode()
        digest = r.sha256(manifest)
        h.under_way[repo, tag] = digest
        a = self.server.put_manifest(repo, tag, manifest, connection, r.OCI_MANIFEST)
        assert a.status == 201, f"manifest push: {a.status} {a.body[:300]!r}"
        h.acked.append((repo, digest))
        h.tags[repo, tag] = digest
        if self.rng.random() < 0.1:
            h.under_way[repo, tag] = None
            a = self.server.request("DELETE", f"/v2/{repo}/manifests/{tag}", connection=connection)
            assert a.status == 202, f"tag delete: {a.status} {a.body[:300]!r}"
            h.tags[repo, tag] = None

    def push_layer(self, repo, layer, connection):
        if self.rng.random() < 0.5:
            self.server.push_blob(repo, layer, connection)
            return
        where = self.server.open_session(repo, connection=connection)
        half = len(layer) // 2
        a = self.server.request("PATCH", where, layer[:half], None, connection)
        assert a.status == 202, f"chunk: {a.status} {a.body[:300]!r}"
        a = self.server.request("PUT", f"{where}?digest={r.sha256(layer)}", layer[half:], None, connection)
        assert a.status == 201, f"finish: {a.status} {a.body[:300]!r}"


class History:
    def __init__(self):
        self.acked = []  # (repository, manifest digest)
        self.tags = {}  # (repository, tag) -> digest, None: deleted
        self.under_way = {}
        self.wrong = []


def check_manifest(server, connection, repo, reference, want=None):
    """The manifest and all it refers to are there and hash right; returns its digest, None if it is not there."""
    a = server.request("GET", f"/v2/{repo}/manifests/{reference}", connection=connection)
    if a.status == 404:
        return None
    tap.same(f"GET {repo} {reference}", 200, a.status)
    digest = r.sha256(a.body)
    tap.same("Docker-Content-Digest", digest, a.header("Docker-Content-Digest"))
    if want:
        tap.same("manifest", want, digest)
    document = a.json()
    for d in [document["config"], *document["layers"]]:
        b = server.request("GET", f"/v2/{repo}/blobs/{d['digest']}", connection=connection)
        tap.same(f"blob {d['digest']} of {reference}", (200, d["digest"]), (b.status, r.sha256(b.body)))
    return digest


def check_history(server, history, new):
    connection = server.connect()
    for repo, digest in new:
        if check_manifest(server, connection, repo, digest, digest) is None:
            raise AssertionError(f"{repo} {digest} was acknowledged and is gone")
    for (repo, tag), digest in history.tags.items():
        found = check_manifest(server, connection, repo, tag)
        # A change that was not answered may have happened.
        tap.one_of(f"tag {repo}:{tag}", (digest, history.under_way.get((repo, tag), digest)), found)
        history.tags[repo, tag] = found
    history.under_way.clear()
    connection.close()


@tap.case(f"{CRASHES} times SIGKILL under {PUSHERS} pushers: nothing acknowledged is lost")
def crash_loop():
    rng = random.Random(SEED)
    history, checked, slowest = History(), 0, 0.0
    server = r.Daemon()
    try:
        for n in range(CRASHES):
            server.start()
            slowest = max(slowest, server.start_s)
            check_history(server, history, history.acked[checked:] + rng.sample(history.acked, min(5, len(history.acked))))
            checked = len(history.acked)
            pushers = [Pusher(server, i, history) for i in range(PUSHERS)]
            for p in pushers:
                p.start()
            time.sleep(rng.uniform(0.0, 0.12))
            server.kill()
            for p in pushers:
                p.join(r.WAIT_S)
            tap.same(f"answers before crash {n}", [], history.wrong)
        server.start()
        check_history(server, history, history.acked)
        tap.same("exit status after SIGTERM", 0, server.stop())
        print(f"# {CRASHES} crashes, {len(history.acked)} images acknowledged, slowest start {slowest:.3f} s, SEED={SEED}")
        if slowest > START_S_MAX:
            raise AssertionError(f"a start took {slowest:.3f} s")
    finally:
        server.close()


if __name__ == "__main__":
    print(f"# SEED={SEED}")
    tap.main()
