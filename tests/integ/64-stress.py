#!/usr/bin/env python3
"""Collection without a pause beside clients that push, mount, tag, untag, delete and pull, and a daemon that is killed.

GC_SOAK_SECONDS sets how long (60); SEED repeats the choices of a run, though not their order in time.

What is promised, and so checked all the time and at the end, about the tags of a client, which nobody else writes to:
  - the tag has the manifest that was put last with a 201, or, where a request was cut off, the one from before or after it;
  - that manifest is there whole: its bytes, config and layers, and for an index each child in the same way;
  - so is a referrer that got a 201 while its subject had a tag, for as long as the subject has had one ever since.
Manifests without any of these are garbage: put by digest only, untagged, replaced, deleted.  About them the lease promises:
  - who was told of content (HEAD, upload, mount, or a manifest's put) may name it in a manifest for the lease time;
  - who got a manifest gets its config, layers and children for the lease time.
A client that was slower than that, by its own clock from before it was told until after it was refused, was promised nothing.
"""
import http.client
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402

SECONDS = float(os.environ.get("GC_SOAK_SECONDS", "60"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 30))))
CLIENTS = 16
LEASE_S = 3
TRASH_S = 2
TRIES = 8  # of a push whose client is slower than the lease
END_S = 180  # bound of the wait for the last garbage: leases one after another, on a slow machine
STORE = (f"--gc.lease={LEASE_S}s", f"--trash.keep={TRASH_S}s", "--gc.untagged_keep=0s", "--gc.max_share=100")
OPTIONS = (*STORE, "--gc.interval=1s", "--manifest.sparse=none", "--log.access=false", "--http.idle_timeout=10m")
CUT = (OSError, http.client.HTTPException)  # what a client sees of a server that dies

REPOS = [f"stress/r{i}" for i in range(4)]
LAYERS = [random.Random(f"{SEED} layer {i}").randbytes(size) for i, size in enumerate([10, 300, 5000, 70_000, 200_000] * 8)]


class Late(Exception):
    """The client was slower than the lease: nothing was promised any more."""


class Image:
    """A manifest and all it needs.  layers: (blob, whether it is everybody's); children of an index are Images."""

    def __init__(self, document, blobs=(), children=()):
        self.data = json.dumps(document).encode()
        self.media = document["mediaType"]
        self.digest = r.sha256(self.data)
        self.blobs, self.children = blobs, children


class Server:
    """The daemon, and what everybody must know about it: generation changes before it is ended."""

    def __init__(self):
        self.daemon = r.Daemon(*OPTIONS)
        self.up = threading.Event()
        self.root_free = threading.Lock()  # held by who runs a command that may open the root by itself, or a start
        self.generation = 0
        self.failures = []  # of any thread
        self.over = threading.Event()
        self.counts = {}

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + n

    def fail(self, text):
        self.failures.append(text)
        self.over.set()

    def start(self):
        with self.root_free:
            self.daemon.start()
        self.up.set()

    def end(self, how):
        if not self.daemon.alive():
            raise AssertionError(f"the daemon is gone: {self.daemon.log_text()[-3000:]}")
        self.up.clear()
        self.generation += 1
        how()

    def command(self, *args):
        """A command of berthd: its objects, or None if the daemon ended meanwhile."""
        with self.root_free:
            before = self.generation
            p = subprocess.run([r.BERTHD, *args, "--json", "--root", str(self.daemon.root), *STORE], capture_output=True, text=True, timeout=END_S)
            if p.returncode in (0, 1) and not p.stderr:  # 1: it ran, and tells of something bad
                return [json.loads(line) for line in p.stdout.splitlines()]
            if before != self.generation or not self.up.is_set():
                return None
        raise AssertionError(f"berthd {' '.join(args)}: {p.returncode} {p.stdout[-2000:]}{p.stderr[-2000:]}")


class Worker(threading.Thread):
    """Does something again and again; what it raises fails the test."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server, self.rng = server, random.Random(f"{SEED} {seed}")

    def run(self):
        try:
            while not self.server.over.is_set():
                self.turn()
        except Exception as e:  # noqa: BLE001 - the main thread tells it
            self.server.fail(f"{self.name}: {type(e).__name__}: {e}")


class Collector(Worker):
    """Collects whenever the last collection is over, and now and then checks the store."""

    def turn(self):
        found = self.server.command("gc", "--confirm")
        for result in found or []:
            self.server.count("collections")
            self.server.count("files collected by them", result["contents"])
        if self.rng.random() < 0.1:
            check_store(self.server, "while it serves")
        time.sleep(self.rng.uniform(0, 0.2))


def check_store(server, when):
    for item in server.command("fsck") or []:
        server.count("fscks", "rows" in item)
        if "fault" in item:
            raise AssertionError(f"fsck {when}: {item}")


class Client(Worker):
    """Has a tag or three of its own in each repository."""

    def __init__(self, server, number):
        super().__init__(server, number)
        self.name = f"client {number}"
        self.number = number
        self.tags = {(repo, f"c{number}-{i}"): None for repo in REPOS for i in range(3)}  # -> Image, or None
        self.doubt = {}  # (repository, tag) -> images it may have after a request that was cut off
        self.referrers = {}  # (repository, subject's digest) -> {digest: Image}
        self.connection, self.generation = None, -1

    # turns

    def turn(self):
        if not self.server.up.wait(0.2):
            return
        try:
            if not self.connection:
                self.generation = self.server.generation
                self.connection = self.server.daemon.connect()
            self.settle_doubts()
            self.rng.choices(*zip(*self.actions))[0](self)
        except Late:
            self.server.count("slower than the lease")
        except CUT as e:
            if self.generation == self.server.generation:
                raise AssertionError(f"cut off by a daemon that was not ended: {e!r}") from e
            self.connection.close()
            self.connection = None

    def request(self, method, path, body=None, headers=None):
        self.server.count("requests")
        return self.server.daemon.request(method, path, body, headers, self.connection)

    def settle_doubts(self):
        for (repo, tag), images in list(self.doubt.items()):
            a = self.request("GET", f"/v2/{repo}/manifests/{tag}")
            found = [i for i in images if (i.data if i else None) == (a.body if a.status == 200 else None)]
            if not found or a.status not in (200, 404):
                raise AssertionError(f"{repo}:{tag} after a cut: {a.status} {a.body[:200]!r}, not of {[i and i.digest for i in images]}")
            self.set_tag(repo, tag, found[0])

    def set_tag(self, repo, tag, image):
        before, self.tags[repo, tag] = self.tags[repo, tag], image
        self.doubt.pop((repo, tag), None)
        if before and not self.is_tagged(repo, before):
            self.referrers.pop((repo, before.digest), None)

    def is_tagged(self, repo, image):
        return any(i and r_ == repo and i.digest == image.digest for (r_, _), i in self.tags.items())

    def some_tag(self):
        """One that has a manifest, or (None, None)."""
        return self.rng.choice([k for k, i in self.tags.items() if i] or [(None, None)])

    # pushing

    def tell(self, repo, blob):
        """Sees to it that the repository has the blob; returns since when at the latest that is promised."""
        digest = r.sha256(blob)
        began = time.monotonic()
        way = self.rng.randrange(4)
        if way == 0 and self.request("HEAD", f"/v2/{repo}/blobs/{digest}").status == 200:
            return began
        began = time.monotonic()
        if way == 1:
            a = self.request("POST", f"/v2/{repo}/blobs/uploads/?mount={digest}&from={self.rng.choice(REPOS)}", b"")
            tap.one_of("mount", (201, 202), a.status)
            if a.status == 201:
                self.server.count("mounts")
                return began
            where = a.header("Location")
        elif way == 2:
            self.server.daemon.push_blob(repo, blob, self.connection)
            return began
        else:
            where = self.server.daemon.open_session(repo, connection=self.connection)
        half = self.rng.choice([0, len(blob) // 2])
        if half:
            tap.same("chunk", 202, self.request("PATCH", where, blob[:half]).status)
        began = time.monotonic()
        a = self.request("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", blob[half:])
        tap.same(f"end of upload {a.body[:200]!r}", 201, a.status)
        return began

    def put(self, repo, reference, image):
        """The manifest after all it needs."""
        for _ in range(TRIES):
            told = time.monotonic()
            for child in image.children:
                told = min(told, self.put(repo, child.digest, child))
            for blob in image.blobs:
                told = min(told, self.tell(repo, blob))
            began = time.monotonic()
            if self.put_only(repo, reference, image, told):
                return began
        raise Late

    def put_only(self, repo, reference, image, told):
        """False if the lease may have ended before the put; told None: it is held, so there is no such excuse."""
        a = self.server.daemon.put_manifest(repo, reference, image.data, self.connection, image.media)
        self.server.count("requests")
        if a.status == 201:
            self.server.count("manifests")
            return True
        took = time.monotonic() - told if told else 0
        if a.status in (400, 404) and set(a.codes()) <= {"MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"} and took >= LEASE_S:
            return False
        raise AssertionError(f"put of {repo} {reference}: {a.status} {a.body[:400]!r}, {took:.1f} s after being told")

    def make_image(self, **more):
        """Configs are a few for each client, so that the same one is garbage and in use by turns."""
        blobs = self.rng.sample(LAYERS, self.rng.randrange(1, 4))
        if self.rng.random() < 0.2:
            blobs.append(self.rng.randbytes(self.rng.choice([20, 2000, 20_000])))
        config = json.dumps({"client": self.number, "config": self.rng.randrange(5)}).encode()
        return Image(r.image(config, blobs, annotations={"n": f"{self.rng.random()}"}, **more), [config, *blobs])

    def make_index(self):
        children = [self.make_image() for _ in range(2)]
        return Image(r.index([(c.media, c.data) for c in children]), children=children)

    def push(self, image, key=None):
        repo, tag = key or self.rng.choice(list(self.tags))
        self.doubt[repo, tag] = (self.tags[repo, tag], image)
        self.put(repo, tag, image)
        self.set_tag(repo, tag, image)

    def push_image(self):
        self.push(self.make_image())

    def push_index(self):
        self.push(self.make_index())

    def push_untagged(self):
        image = self.make_index() if self.rng.random() < 0.2 else self.make_image()
        self.put(self.rng.choice(REPOS), image.digest, image)

    def push_blob_only(self):
        self.tell(self.rng.choice(REPOS), self.rng.choice([self.rng.choice(LAYERS), self.rng.randbytes(3000)]))

    def push_referrer(self):
        repo, tag = self.some_tag()
        if not repo:
            return
        subject = self.tags[repo, tag]
        image = self.make_image(artifactType="application/vnd.stress", subject=r.descriptor(subject.media, subject.data))
        self.put(repo, image.digest, image)
        self.referrers.setdefault((repo, subject.digest), {})[image.digest] = image

    def tag_again(self):
        """What a tag holds, under another tag of the repository: the put alone must do."""
        repo, tag = self.some_tag()
        if not repo:
            return
        other = repo, self.rng.choice([t for r_, t in self.tags if r_ == repo])
        image = self.tags[repo, tag]
        self.doubt[other] = (self.tags[other], image)
        self.put_only(*other, image, None)
        self.set_tag(*other, image)

    def copy(self):
        """What a tag holds, into another repository, mostly by mounts."""
        repo, tag = self.some_tag()
        if repo:
            self.push(self.tags[repo, tag])

    # removing

    def untag(self):
        repo, tag = self.some_tag()
        if not repo:
            return
        self.doubt[repo, tag] = (self.tags[repo, tag], None)
        tap.same(f"untag {repo}:{tag}", 202, self.request("DELETE", f"/v2/{repo}/manifests/{tag}").status)
        self.set_tag(repo, tag, None)

    def delete(self):
        """By digest: all tags of it go as well."""
        repo, tag = self.some_tag()
        if not repo:
            return
        image = self.tags[repo, tag]
        gone = [k for k, i in self.tags.items() if i and k[0] == repo and i.digest == image.digest]
        self.doubt.update({k: (image, None) for k in gone})
        tap.same(f"delete {repo}@{image.digest}", 202, self.request("DELETE", f"/v2/{repo}/manifests/{image.digest}").status)
        for k in gone:
            self.set_tag(*k, None)

    # pulling

    def check_image(self, repo, reference, image):
        """What is promised without a time is there whole."""
        a = self.request("GET", f"/v2/{repo}/manifests/{reference}")
        tap.same(f"GET {repo} {reference} ({image.digest}) {a.body[:200]!r}", (200, image.digest), (a.status, r.sha256(a.body)))
        for child in image.children:
            self.check_image(repo, child.digest, child)
        for blob in image.blobs:
            b = self.request("GET", f"/v2/{repo}/blobs/{r.sha256(blob)}")
            if (b.status, b.body) != (200, blob):
                raise AssertionError(f"{repo} {reference} misses {r.sha256(blob)}: {b.status} {b.body[:200]!r}")

    def check_tag(self, repo, tag):
        image = self.tags[repo, tag]
        if not image:
            tap.same(f"GET {repo}:{tag}, which has no manifest", 404, self.request("GET", f"/v2/{repo}/manifests/{tag}").status)
            return
        self.check_image(repo, tag, image)
        wanted = self.referrers.get((repo, image.digest), {})
        a = self.request("GET", f"/v2/{repo}/referrers/{image.digest}")
        missing = set(wanted) - {d["digest"] for d in a.json()["manifests"]}
        tap.same(f"missing referrers of {repo}@{image.digest}", set(), missing)
        for digest, referrer in wanted.items():
            self.check_image(repo, digest, referrer)

    def pull_own(self):
        self.check_tag(*self.rng.choice(list(self.tags)))
        self.server.count("pulls")

    def pull_any(self):
        """Somebody's tag, which may go at any moment, but what it needs not before the lease time is over."""
        repo = self.rng.choice(REPOS)
        a = self.request("GET", f"/v2/{repo}/tags/list?n=100")
        tags = a.json()["tags"] if a.status == 200 else []
        if not tags:
            tap.one_of("tags", (200, 404), a.status)
            return
        self.pull(repo, self.rng.choice(tags), None)
        self.server.count("pulls")

    def pull(self, repo, reference, told):
        """told: when the manifest that names this one was asked for."""
        began = time.monotonic()
        a = self.request("GET", f"/v2/{repo}/manifests/{reference}")
        self.judge_pull(a, f"{repo} {reference}", told)
        if a.status != 200:
            return
        tap.same("Docker-Content-Digest", r.sha256(a.body), a.header("Docker-Content-Digest"))
        document = a.json()
        for d in document.get("manifests", []):
            self.pull(repo, d["digest"], began)
        for d in filter(None, [document.get("config"), *document.get("layers", [])]):
            b = self.request("GET", f"/v2/{repo}/blobs/{d['digest']}")
            self.judge_pull(b, f"{repo} {reference} blob {d['digest']}", began)
            if b.status == 200:
                tap.same(f"hash of blob of {repo} {reference}", d["digest"], r.sha256(b.body))

    def judge_pull(self, a, what, told):
        if a.status == 200 or (a.status == 404 and told is None):
            return
        took = time.monotonic() - told if told else 0
        if a.status == 404 and took >= LEASE_S:
            raise Late
        raise AssertionError(f"GET {what}: {a.status} {a.body[:300]!r}, {took:.1f} s after its manifest")

    actions = [(push_image, 24), (push_index, 8), (push_untagged, 10), (push_blob_only, 5), (push_referrer, 8), (tag_again, 8), (copy, 8),
               (untag, 7), (delete, 7), (pull_own, 12), (pull_any, 10)]


# --- the end ---

def live_files(server):
    """Digests that tags reach, as the API tells it; with the tags of each repository."""
    d, live, tags = server.daemon, set(), {}

    def walk(repo, reference):
        a = d.request("GET", f"/v2/{repo}/manifests/{reference}")
        tap.same(f"GET {repo} {reference}", 200, a.status)
        digest = r.sha256(a.body)
        document = a.json()
        live.add(digest)
        live.update(x["digest"] for x in filter(None, [document.get("config"), *document.get("layers", [])]))
        for x in document.get("manifests", []):
            walk(repo, x["digest"])
        for x in d.request("GET", f"/v2/{repo}/referrers/{digest}").json()["manifests"]:
            walk(repo, x["digest"])

    for repo in REPOS:
        a = d.request("GET", f"/v2/{repo}/tags/list?n=10000")
        tags[repo] = set(a.json()["tags"]) if a.status == 200 else set()
        for tag in tags[repo]:
            walk(repo, tag)
    return live, tags


def files(server):
    return {f"{p.parent.parent.name}:{p.name}" for p in (server.daemon.root / "blobs").glob("*/*/*")}


def check_end(server, clients):
    """The clients' tags, no others; and of files exactly what they reach, once the last leases are over."""
    for c in clients:
        c.connection, c.generation = server.daemon.connect(), server.generation
        c.settle_doubts()
        for repo, tag in c.tags:
            c.check_tag(repo, tag)
    live, tags = live_files(server)
    for repo in REPOS:
        tap.same(f"tags of {repo}", {t for c in clients for (r_, t), i in c.tags.items() if i and r_ == repo}, tags[repo])
    end = time.monotonic() + END_S
    while files(server) != live and time.monotonic() < end:
        server.command("gc", "--confirm")
        time.sleep(0.5)
    there = files(server)
    tap.same("garbage that stays", [], sorted(there - live)[:5])
    tap.same("files that are missing", [], sorted(live - there)[:5])
    for c in clients:
        for repo, tag in c.tags:
            c.check_tag(repo, tag)
    print(f"# {len(live)} files stay", flush=True)


def pause_s(rng):
    """Often long enough for leases to end, as each start begins them anew; now and then a daemon lives only for a moment."""
    return rng.uniform(LEASE_S, 4 * LEASE_S) if rng.random() < 0.7 else rng.uniform(0, LEASE_S)


def soak(server, clients, rng):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not server.over.wait(pause_s(rng)):
        in_order = rng.random() < 0.2
        server.end(server.daemon.stop if in_order else server.daemon.kill)
        server.count("SIGTERM" if in_order else "SIGKILL")
        server.over.wait(rng.choice([0, 0, 0.5]))
        server.start()
    server.over.set()
    for c in clients:
        c.join(r.WAIT_S)
        tap.same(f"{c.name} is at its end", False, c.is_alive())
    tap.same("failures", [], server.failures)


@tap.case(f"{CLIENTS} clients, collections and SIGKILLs for {SECONDS:g} s: nothing needed goes, no garbage stays")
def stress():
    server = Server()
    server.start()
    clients = [Client(server, n) for n in range(CLIENTS)]
    workers = [*clients, Collector(server, "collector")]
    try:
        for w in workers:
            w.start()
        soak(server, workers, random.Random(f"{SEED} killer"))
        check_store(server, "at the end of the load")
        check_end(server, clients)
        check_store(server, "without garbage")
        server.end(server.daemon.stop)
        check_store(server, "after the end")
        print("# " + ", ".join(f"{n} {what}" for what, n in sorted(server.counts.items())), flush=True)
        for what in ("manifests", "pulls", "files collected by them", "fscks"):
            tap.same(f"some {what}", True, server.counts.get(what, 0) > 0)
    finally:
        server.over.set()
        if server.failures:
            print("\n".join(f"# {line}" for line in server.daemon.log_text().splitlines()[-30:]), flush=True)
        server.daemon.close()


if __name__ == "__main__":
    print(f"# SEED={SEED}", flush=True)
    tap.main()
