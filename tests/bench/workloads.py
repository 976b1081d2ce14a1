"""The rows of `make bench`: stages that start servers and fill them alike, and what is then measured of each.

A row is one workload: how to run it once against a server (the same function, and so the same command, for all), its unit, the
limit beside it, and goals.  A stage is a set of servers with content; its rows run while it stands.
"""
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench as b  # noqa: E402
import pki  # noqa: E402
import registry as r  # noqa: E402

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = {"4 KiB": 4 * KIB, "64 KiB": 64 * KIB, "10 MiB": 10 * MIB, "1 GiB": GIB}
BERTHD, NGINX, V3, V2 = "berthd", "nginx", b.Distribution.name, b.Distribution2.name
REGISTRIES = (BERTHD, V3, V2)
READERS = (BERTHD, NGINX, V3, V2)
PEER_TAGS = 1000  # of the repositories that peers are filled with too
ACCEPT = f"Accept: {r.OCI_MANIFEST}, */*"
CPU_PULL, CPU_PUSH = "cpu-pulled", "cpu-pushed"


@dataclasses.dataclass
class Sample:
    value: float
    command: str
    bytes: float = 0
    items: float = 0
    p99_us: float = 0


@dataclasses.dataclass
class Row:
    """goals: (whom to compare with, at least so many times as good): a server of the row; "peers", the best of them; "limit";
    ("row", NAME), berthd's own value there; or None, then the number is a bound of the value itself."""

    name: str
    title: str
    run: typing.Callable  # (stage, server's name) -> Sample
    unit: str = "1/s"
    servers: tuple = REGISTRIES
    limit: str = ""
    goals: tuple = ()
    group: str = ""
    better: str = "more"
    rounds: int = 0  # at most; 0: as many as asked for
    curve: tuple = ()  # (name of the curve, x, what x counts)
    cpu: str = ""  # the row that the processor time of a byte goes to


class Scale:
    """How much of everything: the whole, or so little that the program itself is tried."""

    def __init__(self, quick):
        self.quick = quick
        self.tags = (1, 100, 1000) if quick else (1, 1000, 100_000)
        self.peer_tags = min(PEER_TAGS, self.tags[1])
        self.ms = 100 if quick else 500
        self.big = 16 * MIB if quick else GIB
        self.garbage = 500 if quick else 15_000
        self.layers = (MIB // 2, MIB) if quick else (MIB, 5 * MIB, 10 * MIB)


class Stage:
    """Servers by name, and what was put into them."""

    def __init__(self, scale):
        self.scale = scale
        self.servers = {}
        self.skipped = {}  # {name of a server: why it is not here}
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-"))
        self.stack = contextlib.ExitStack()
        self.stack.callback(subprocess.run, ["rm", "-rf", str(self.work)], check=False)

    def __enter__(self):
        try:
            self.set_up()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self, name, server):
        self.servers[name] = self.stack.enter_context(server)
        return server

    def start_peer(self, peer):
        if peer.program.exists():
            self.start(peer.name, peer())
        else:
            self.skipped[peer.name] = f"{peer.program} is not there"

    def size(self, title):
        return min(SIZES[title], self.scale.big)


# ---- running ----

def shown(command, server):
    """The command as the report has it, without what this run made up."""
    text = " ".join(f"'{w}'" if " " in w or "{" in w else w for w in map(str, command))
    text = text.replace(f"{server.host}:{server.port}", "SERVER").replace(str(b.TOP) + "/", "")
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:DIGEST", text)
    return re.sub(r"/tmp/berth-[^/ ]*", "WORK", text)


def run_load(server, *args):
    command = b.load_command(*args)
    out = dict(pair.split("=", 1) for pair in b.output(command).split())
    return {k: float(v) for k, v in out.items() if k != "mode"}, shown(command, server)


def get(path, clients, keys=0, method="GET", header=None):
    """Answers a second; path may be made from the stage."""
    def run(stage, name):
        server = stage.servers[name]
        p = path(stage) if callable(path) else path
        more = [*(("-k", keys(stage) if callable(keys) else keys) if keys else ()), *(("-H", header(stage)) if header else ())]
        v, command = run_load(server, "get", "-c", clients, "-T", stage.scale.ms, "-X", method, *more, b.url(server, p))
        return Sample(v["items_s"], command, v["bytes"], v["items"], v["p99_us"])
    return run


def download(title, clients):
    """MiB a second, of downloads that may be longer than the measurement."""
    def run(stage, name):
        server = stage.servers[name]
        v, command = run_load(server, "get", "-x", "-c", clients, "-T", stage.scale.ms, b.url(server, stage.blob_path(title)))
        return Sample(v["bytes"] / v["seconds"] / MIB, command, v["bytes"], v["items"], v["p99_us"])
    return run


def wrk(path, clients, size=None):
    def run(stage, name):
        server = stage.servers[name]
        p = path(stage) if callable(path) else path
        address = b.url(server, p)
        rate = b.wrk(address, clients, 1, ACCEPT)
        return Sample(rate, shown(["wrk", "-t1", f"-c{clients}", "-d1s", "-H", ACCEPT, address], server), rate * (size or 0), rate)
    return run


def cold(stage, name):
    """Milliseconds of one download of a file that is not in memory."""
    server = stage.servers[name]
    fd = os.open(stage.file_of(server, "10 MiB"), os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    v, command = run_load(server, "get", "-c", 1, "-n", 1, b.url(server, stage.blob_path("10 MiB")))
    return Sample(v["max_us"] / 1000, f"posix_fadvise(DONTNEED); {command}", v["bytes"], 1)


def push(title, clients, way="whole", per_item=False):
    """Blobs a second, or MiB a second."""
    def run(stage, name):
        server, size = stage.servers[name], stage.size(title)
        until = ("-n", 1) if size >= 256 * MIB else ("-T", stage.scale.ms)
        chunk = ("-b", max(size // 4, 64 * KIB)) if way == "chunked" else ()
        v, command = run_load(server, "blob", "-w", way, "-s", size, *chunk, "-c", clients, *until, b.url(server, ""), "bench/push")
        return Sample(v["items_s"] * (1 if per_item else size / MIB), command, v["items"] * size, v["items"], v["p99_us"])
    return run


def put(repo, clients, own_layers=False, run_n=itertools.count()):
    """Manifests a second, each under a tag of its own."""
    def run(stage, name):
        server = stage.servers[name]
        v, command = run_load(server, "put", "-c", clients, "-T", stage.scale.ms, "-p", f"r{next(run_n)}-", *(("-l",) if own_layers else ()),
                              b.url(server, ""), repo(stage) if callable(repo) else repo)
        return Sample(v["items_s"], re.sub(r"-p r\d+-", "-p RUN-", command), v["bytes"], v["items"], v["p99_us"])
    return run


def mount(stage, name, run_n=itertools.count()):
    """Into a repository that is new each time."""
    server = stage.servers[name]
    path = f"/v2/m{next(run_n)}-{{}}/blobs/uploads/?mount={stage.digests['4 KiB']}&from=bench"
    v, command = run_load(server, "get", "-X", "POST", "-q", "-c", 16, "-T", stage.scale.ms, b.url(server, path))
    if v.get("status_201", 0) != v["items"]:
        raise AssertionError(f"{name} does not mount: {v}")
    return Sample(v["items_s"], re.sub(r"/m\d+-", "/mRUN-", command), v["bytes"], v["items"], v["p99_us"])


def mixed(stage, name, run_n=itertools.count()):
    """Three GETs to one PUT; the latency that one in a hundred is above."""
    server = stage.servers[name]
    v, command = run_load(server, "put", "-g", 75, "-k", stage.scale.peer_tags, "-c", 16, "-T", 2 * stage.scale.ms, "-p", f"x{next(run_n)}-",
                          b.url(server, ""), stage.mixed_repo)
    return v, re.sub(r"-p x\d+-", "-p RUN-", command)


def mixed_rate(stage, name):
    v, command = mixed(stage, name)
    return Sample(v["items_s"], command, v["bytes"], v["items"], v["p99_us"])


def start_again(stage, name):
    """Milliseconds from SIGKILL's end to the first answer."""
    server = stage.servers[name]
    server.kill()
    began = time.monotonic()
    server.start()
    assert Client(server).request("GET", "/v2/").status == 200
    return Sample(1000 * (time.monotonic() - began), "kill -KILL; start; GET /v2/")


def memory_of_start(stage, name):
    """MiB of its own after a start and an answer."""
    start_again(stage, name)
    return Sample(b.own_memory(stage.servers[name]) / MIB, "kill -KILL; start; GET /v2/; RssAnon of /proc/PID/status")


# ---- images by real clients ----

def write_blob(layout, data):
    (layout / "blobs/sha256" / r.sha256(data)[7:]).write_bytes(data)


def new_image(layout, sizes):
    """An OCI image layout with layers that nobody has seen."""
    (layout / "blobs/sha256").mkdir(parents=True)
    layers = [os.urandom(n) for n in sizes]
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [r.sha256(x) for x in layers]}}).encode()
    manifest = json.dumps(r.image(config, layers)).encode()
    for data in (config, manifest, *layers):
        write_blob(layout, data)
    named = {**r.descriptor(r.OCI_MANIFEST, manifest), "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": r.OCI_INDEX, "manifests": [named]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return sum(sizes)


CLIENTS = {
    ("skopeo", "push"): lambda at, layout, to: ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{layout}:v1", f"docker://{at}"],
    ("skopeo", "pull"): lambda at, layout, to: ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", f"docker://{at}", f"dir:{to}"],
    ("crane", "push"): lambda at, layout, to: [str(b.TOOLS / "crane"), "push", "--insecure", str(layout), at],
    ("crane", "pull"): lambda at, layout, to: [str(b.TOOLS / "crane"), "pull", "--insecure", "--format=oci", at, str(to)],
}


def image(client, what, run_n=itertools.count()):
    """Milliseconds of a push, of a push of what is there, or of a pull, of the same image for all servers of a round."""
    def run(stage, name):
        server = stage.servers[name]
        layout, to = stage.work / f"layout{next(run_n)}", stage.work / "pulled"
        size = new_image(layout, stage.scale.layers)
        at = f"{server.host}:{server.port}/image/{client}:v1"
        command = CLIENTS[client, "pull" if what == "pull" else "push"](at, layout, to)
        if what != "push":
            b.elapsed(CLIENTS[client, "push"](at, layout, to))
        took = b.elapsed(command)
        subprocess.run(["rm", "-rf", str(layout), str(to)], check=True)
        return Sample(took * 1000, re.sub(r"layout\d+", "layout", shown(command, server)), size, 1)
    return run


# ---- stages ----

def put_blob(server, repo, data):
    """The two requests that every registry takes."""
    where = server.request("POST", f"/v2/{repo}/blobs/uploads/", b"").header("Location")
    where = where[where.index("/v2/"):]
    a = server.request("PUT", f"{where}{'&' if '?' in where else '?'}digest={r.sha256(data)}", data, {"Content-Type": "application/octet-stream"})
    assert a.status == 201, f"{server.name if hasattr(server, 'name') else 'berthd'}: {a.status} {a.body[:300]}"


class Client(r.Daemon):
    """The requests of a berthd's client, to a peer."""

    def __init__(self, server):  # pylint: disable=super-init-not-called
        self.host, self.port, self.ssl, self.user = server.host, server.port, None, None


class Reading(Stage):
    """The same blobs, manifests and tags in all; nginx has what berthd answers, as files under the same names."""

    mixed_repo = "many"

    def set_up(self):
        self.digests, self.sizes = {}, {}
        berthd = self.start(BERTHD, b.berthd())
        self.start(NGINX, b.Nginx())
        for peer in (b.Distribution, b.Distribution2):
            self.start_peer(peer)
        self.nginx_files = self.servers[NGINX].files
        for title in SIZES:
            self.fill_blob(title)
        self.fill_manifests(berthd)
        self.fill_referrers(berthd)

    def clients(self):
        return {name: Client(s) for name, s in self.servers.items() if name != NGINX}

    def blob_path(self, title):
        return f"/v2/bench/blobs/{self.digests[title]}"

    def file_of(self, server, title):
        return self.nginx_files / self.blob_path(title)[1:] if isinstance(server, b.Nginx) else server.blob_file(self.digests[title])

    def fill_blob(self, title):
        data = os.urandom(self.size(title))
        self.digests[title] = r.sha256(data)
        for client in self.clients().values():
            put_blob(client, "bench", data)
        path = self.file_of(self.servers[NGINX], title)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def static(self, path):
        """A file with what berthd answers there."""
        a = self.clients()[BERTHD].request("GET", path)
        assert a.status == 200, f"{path}: {a.status}"
        file = self.nginx_files / path.split("?")[0][1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(a.body)

    def fill_manifests(self, berthd):
        config = b"{}"
        self.manifest = json.dumps(r.image(config, ())).encode()
        for client in self.clients().values():
            put_blob(client, "bench", config)
            assert client.put_manifest("bench", "v1", self.manifest, media=r.OCI_MANIFEST).status == 201
            for n in range(120):  # what the catalog's page is full with
                put_blob(client, f"catalog/{n:03}", config)
                assert client.put_manifest(f"catalog/{n:03}", "v1", self.manifest, media=r.OCI_MANIFEST).status == 201
        self.static("/v2/bench/manifests/v1")
        self.static(f"/v2/bench/manifests/{r.sha256(self.manifest)}")
        for n, repo in zip(self.scale.tags, ("one", "many", "most")):
            for name, server in self.servers.items():
                if name == BERTHD or (name != NGINX and n <= self.scale.peer_tags):
                    b.load("put", "-n", n, "-c", 64 if name == BERTHD else 16, b.url(server, ""), repo)
            self.static(f"/v2/{repo}/manifests/t0000000")
            data = (self.nginx_files / f"v2/{repo}/manifests/t0000000").read_bytes()
            for i in range(1, n):
                (self.nginx_files / f"v2/{repo}/manifests/t{i:07}").write_bytes(data)
            self.static(tags_path(repo)(self))
        self.static("/v2/_catalog?n=100")

    def fill_referrers(self, berthd):
        client = self.clients()[BERTHD]
        for n in range(10):
            doc = r.image(b"{}", (), subject=r.descriptor(r.OCI_MANIFEST, self.manifest), artifactType="application/x.bench", annotations={"n": str(n)})
            assert client.put_manifest("bench", r.sha256(json.dumps(doc).encode()), doc).status == 201
        self.static(referrers_path(self))


def tags_path(repo):
    return lambda stage: f"/v2/{repo}/tags/list?n=100" + (f"&last=t{tags_of(stage, repo) // 2:07}" if repo != "one" else "")


def tags_of(stage, repo):
    return stage.scale.tags[("one", "many", "most").index(repo)]


def referrers_path(stage):
    return f"/v2/bench/referrers/{r.sha256(stage.manifest)}"


def by_digest(stage):
    return f"/v2/bench/manifests/{r.sha256(stage.manifest)}"


class Pushing(Stage):
    mixed_repo = "bench/mixed"

    def set_up(self):
        self.start(BERTHD, b.berthd())
        for peer in (b.Distribution, b.Distribution2):
            self.start_peer(peer)
        self.file = self.work / "file"
        self.file.write_bytes(os.urandom(self.scale.big))
        for server in self.servers.values():
            b.load("put", "-n", self.scale.peer_tags, "-c", 16, b.url(server, ""), self.mixed_repo)


def hash_and_disk(stage):
    """MiB/s of the slower of the two, which is what both together can do at best."""
    copy = stage.work / "copy"
    write = ["dd", f"if={stage.file}", f"of={copy}", "bs=1M", "conv=fsync"]
    written = stage.scale.big / b.elapsed(write) / MIB
    copy.unlink()
    speed = b.output(["openssl", "speed", "-mr", "-seconds", "1", "-bytes", "1048576", "-evp", "sha256"])
    hashed = float([x for x in speed.splitlines() if x.startswith("+F:")][0].split(":")[-1]) / MIB
    return Sample(min(written, hashed), f"min of dd if=FILE of=COPY bs=1M conv=fsync ({written:.0f} MiB/s) and openssl speed -evp sha256 ({hashed:.0f} MiB/s)")


def push_big(stage, name):
    return hash_and_disk(stage) if name == "disk and hash" else push("1 GiB", 1)(stage, name)


class Logins(Stage):
    """One berthd without accounts, one with."""

    def set_up(self):
        users = self.work / "users"
        subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}"], input=b"secret", check=True, stdout=subprocess.DEVNULL)
        free = self.start("without a login", b.berthd())
        closed = b.berthd(f"--auth.htpasswd={users}", "--access=[{who: alice, repositories: 'bench/**', allow: [pull, push]}]",
                          "--auth.tokens.lifetime=1d")
        closed.user = "alice:secret"
        self.servers[BERTHD] = self.servers["password"] = self.stack.enter_context(closed)
        for s in (free, closed):
            s.push_blob("bench/a", b"{}")
            assert s.put_manifest("bench/a", "v1", r.image()).status == 201
        a = closed.request("GET", "/token?service=berthd&scope=repository:bench/a:pull")
        self.headers = {BERTHD: f"Authorization: Bearer {a.json()['token']}", "password": f"Authorization: {r.basic('alice:secret')}"}


def with_login(way):
    def run(stage, name):
        server, own = stage.servers[name], stage.headers[way] if name != "without a login" else None
        v, command = run_load(server, "get", "-c", 64, "-T", 2 * stage.scale.ms, *(("-H", own) if own else ()), b.url(server, "/v2/bench/a/manifests/v1"))
        return Sample(v["items_s"], re.sub(r"(Bearer|Basic) [^ ']*", r"\1 ...", command), v["bytes"], v["items"], v["p99_us"])
    return run


class Encrypted(Stage):
    """berthd and nginx with the same certificate, TLS 1.3."""

    def set_up(self):
        pair = pki.Authority(self.work / "ca").make("server", "DNS:localhost,IP:127.0.0.1")
        os.chmod(self.work, 0o755)
        nginx = self.start(NGINX, b.Nginx(pair))
        berthd = b.berthd("--tls.certificates=[{certificate: '%s', key: '%s'}]" % pair)
        berthd.ssl = ssl.create_default_context()
        berthd.ssl.check_hostname, berthd.ssl.verify_mode = False, ssl.CERT_NONE
        self.start(BERTHD, berthd)
        self.digests = {}
        for title in ("64 KiB", "10 MiB"):
            data = os.urandom(self.size(title))
            self.digests[title] = r.sha256(data)
            berthd.push_blob("bench", data)
            self.static(nginx, self.blob_path(title), data)
        berthd.push_blob("bench", b"{}")
        manifest = json.dumps(r.image()).encode()
        assert berthd.put_manifest("bench", "v1", manifest).status == 201
        self.static(nginx, "/v2/bench/manifests/v1", manifest)

    @staticmethod
    def static(nginx, path, data):
        file = nginx.files / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def blob_path(self, title):
        return f"/v2/bench/blobs/{self.digests[title]}"


class Collecting(Stage):
    """A berthd whose garbage goes at once, and a distribution; each with live tags."""

    mixed_repo = "live"

    def set_up(self):
        self.start(BERTHD, b.berthd(*b.GC_AT_ONCE))
        self.servers["without gc"] = self.servers[BERTHD]
        self.start_peer(b.Distribution)
        for name, server in self.servers.items():
            if name != "without gc":
                b.load("put", "-n", self.scale.peer_tags, "-c", 16, b.url(server, ""), "live")
        if V3 in self.servers:
            b.load("put", "-n", self.scale.peer_tags, "-c", 16, "-d", "-l", b.url(self.servers[V3], ""), "garbage")

    @contextlib.contextmanager
    def collecting(self, name):
        """Collection goes on until the block ends.  distribution's is by another program, which only looks, since it may
        remove nothing while clients push."""
        stop, server = threading.Event(), self.servers[name]
        if name == BERTHD:
            b.load("put", "-n", self.scale.garbage, "-c", 32, "-d", "-l", b.url(server, ""), "garbage")
            command = [r.BERTHD, "gc", "--confirm", "--json", "--root", str(server.root)]
        else:
            command = [str(b.Distribution.program), "garbage-collect", "--dry-run", "--delete-untagged", str(server.work / "conf.yml")]

        def collect():
            while not stop.is_set():
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        t = threading.Thread(target=collect)
        t.start()
        try:
            time.sleep(0.05)
            yield
        finally:
            stop.set()
            t.join()


def beside_gc(measure):
    """A row's function, with collection going on except where it is not to be."""
    def run(stage, name):
        with stage.collecting(name) if name != "without gc" else contextlib.nullcontext():
            return measure(stage, name)
    return run


def mixed_p99(stage, name):
    v, command = mixed(stage, name)
    worst = max(v["p99_us"], v.get("get_p99_us", 0))
    return Sample(worst / 1000, command, v["bytes"], v["items"], worst)


# ---- the table ----

def reading_rows():
    m = {"group": "Manifests and existence", "servers": READERS, "limit": NGINX}
    limit = (("limit", 1.0),)
    yield Row("manifest-get-tag", "manifest GET by tag, 64 clients", wrk("/v2/bench/manifests/v1", 64), goals=limit, **m)
    yield Row("manifest-get-digest", "manifest GET by digest, 64 clients", get(by_digest, 64), goals=limit, **m)
    yield Row("manifest-head-tag", "manifest HEAD by tag, 64 clients", get("/v2/bench/manifests/v1", 64, method="HEAD"), goals=limit, **m)
    yield Row("manifest-head-digest", "manifest HEAD by digest, 64 clients", get(by_digest, 64, method="HEAD"), goals=limit, **m)
    yield Row("blob-head", "blob HEAD, 64 clients", get(lambda s: s.blob_path("64 KiB"), 64, method="HEAD"), goals=limit, **m)
    for repo, n in (("one", "1"), ("many", "10^3"), ("most", "10^5")):
        who = m if repo != "most" else {**m, "servers": (BERTHD, NGINX)}
        x = {"one": 1, "many": 1000, "most": 100_000}[repo]
        flat = () if repo == "one" else ((("row", "tags-one-get"), 1 / 1.2),)
        yield Row(f"tags-{repo}-get", f"manifest GET by tag, any of {n}, 64 clients", get(f"/v2/{repo}/manifests/t{{}}", 64, lambda s, r_=repo: tags_of(s, r_)),
                  goals=flat, curve=("manifest GET by tag", x, "tags"), **who)
        flat = () if repo == "one" else ((("row", "tags-one-list"), 1 / 1.2 if repo == "most" else 0),)
        yield Row(f"tags-{repo}-list", f"tags, a page of up to 100 of {n}, 16 clients", get(tags_path(repo), 16), curve=("tags page", x, "tags"), **{**who, "group": "Lists"})
    lists = {**m, "group": "Lists"}
    yield Row("catalog", "catalog, a page of 100, 16 clients", get("/v2/_catalog?n=100", 16), **lists)
    yield Row("referrers", "referrers, 10 of a manifest, 16 clients", get(referrers_path, 16), **{**lists, "servers": (BERTHD, NGINX)})
    yield from download_rows()
    yield Row("mixed", "75 % manifest GET, 25 % manifest PUT, 16 clients", mixed_rate, goals=(("peers", 1.0),), group="Mixed")
    yield Row("mount", "mount, 16 clients", mount, goals=(("peers", 1.0),), group="Mixed")
    for client in ("skopeo", "crane"):
        for what, title in (("push", "push by"), ("again", "push of what is there by"), ("pull", "pull by")):
            yield Row(f"image-{what}-{client}", f"image of 3 layers, 16 MiB: {title} {client}", image(client, what), "ms", goals=(("peers", 1.0),),
                      group="Whole images", better="less")


    p = {"group": "Manifests in, durable", "servers": (BERTHD,)}
    yield Row("put-tags-one", "manifest PUT beside 1 tag, 64 clients", put("one", 64), **p)
    yield Row("put-tags-most", "manifest PUT beside 10^5 tags, 64 clients", put("most", 64), goals=((("row", "put-tags-one"), 1 / 1.2),), **p)
    g = {"group": "Start and memory", "better": "less"}
    yield Row("start", "start after SIGKILL, 10^5 manifests in berthd, 10^3 in peers", start_again, "ms", goals=((None, 1000),), **g)
    yield Row("memory-idle", "memory of its own after a start, 10^5 manifests in berthd, 10^3 in peers", memory_of_start, "MiB", goals=((None, 8),), rounds=3, **g)


def download_rows():
    goals = {("64 KiB", 64): 0.9, ("1 GiB", 1): 0.95, ("1 GiB", 4): 0.95}
    for title, size in SIZES.items():
        for clients in (1, 4, 64):
            small = size <= 64 * KIB
            path = (lambda t: lambda s: s.blob_path(t))(title)
            yield Row(f"blob-get-{title.replace(' ', '')}-{clients}", f"blob GET {title}, {clients} client{'s' if clients > 1 else ''}",
                      download(title, clients) if not small else wrk(path, clients, size) if clients == 64 else get(path, clients), "1/s" if small else "MiB/s",
                      servers=READERS if clients != 4 or title == "1 GiB" else (BERTHD, NGINX), limit=NGINX, group="Blobs out",
                      goals=(("limit", goals[title, clients]),) if (title, clients) in goals else (), rounds=3 if (title, clients) == ("1 GiB", 64) else 0,
                      curve=(f"blob GET, {clients} clients", size, "bytes") if clients != 4 else (), cpu=CPU_PULL if (title, clients) == ("1 GiB", 4) else "")
    yield Row("blob-get-cold", "blob GET 10 MiB that is not in the page cache, 1 client", cold, "ms", servers=(BERTHD, NGINX, V3), limit=NGINX,
              group="Blobs out", better="less")


def pushing_rows():
    g = {"group": "Blobs in, durable"}
    for title, clients, goal in (("4 KiB", 1, ()), ("4 KiB", 64, ((V3, 5),)), ("64 KiB", 1, ()), ("64 KiB", 64, ()), ("10 MiB", 1, ()), ("10 MiB", 4, ()), ("10 MiB", 64, ())):
        small = SIZES[title] <= 64 * KIB
        yield Row(f"push-{title.replace(' ', '')}-{clients}", f"blob push {title}, {clients} client{'s' if clients > 1 else ''}", push(title, clients, per_item=small),
                  "1/s" if small else "MiB/s", goals=goal, curve=(f"blob push, {clients} clients", SIZES[title], "bytes") if clients != 4 else (), **g)
    yield Row("push-1GiB-1", "blob push 1 GiB, 1 client", push_big, "MiB/s", servers=(BERTHD, "disk and hash", V3, V2), limit="disk and hash",
              goals=(("limit", 0.85),), rounds=3, curve=("blob push, 1 clients", GIB, "bytes"), cpu=CPU_PUSH, **g)
    for way in ("once", "chunked", "streamed"):
        for title, clients in (("64 KiB", 16), ("10 MiB", 1)):
            yield Row(f"push-{title.replace(' ', '')}-{way}", f"blob push {title}, {way}, {clients} client{'s' if clients > 1 else ''}",
                      push(title, clients, way, per_item=title == "64 KiB"), "1/s" if title == "64 KiB" else "MiB/s",
                      servers=(BERTHD,) if way == "once" else REGISTRIES, **g)
    p = {"group": "Manifests in, durable"}
    yield Row("put-1", "manifest PUT, 1 client", put("bench/put", 1), **p)
    yield Row("put-64", "manifest PUT, 64 clients", put("bench/put", 64), goals=((V3, 10),), **p)
    yield Row("put-layer-16", "image of one small layer, 16 clients", put("bench/images", 16, own_layers=True), goals=((V3, 1),), **p)


def login_rows():
    for way, title in ((BERTHD, "a bearer token"), ("password", "a password")):
        yield Row(f"login-{'token' if way == BERTHD else way}", f"manifest GET with {title}, 64 clients", with_login(way), servers=(BERTHD, "without a login"),
                  limit="without a login", goals=(("limit", 0.9),), group="Logins")


def tls_rows():
    g = {"servers": (BERTHD, NGINX), "limit": NGINX, "goals": (("limit", 0.9),), "group": "TLS 1.3"}
    yield Row("tls-manifest", "manifest GET by TLS, 64 clients", wrk("/v2/bench/manifests/v1", 64), **g)
    for title, clients in (("64 KiB", 64), ("10 MiB", 1), ("10 MiB", 4)):
        yield Row(f"tls-{title.replace(' ', '')}-{clients}", f"blob GET {title} by TLS, {clients} client{'s' if clients > 1 else ''}",
                  wrk((lambda t: lambda s: s.blob_path(t))(title), clients, SIZES[title]), **g)


def collecting_rows():
    g = {"group": "Beside garbage collection", "rounds": 3}
    yield Row("gc-p99", "p99 of 75 % GET, 25 % PUT while gc runs, 16 clients", beside_gc(mixed_p99), "ms", servers=(BERTHD, "without gc", V3), limit="without gc",
              goals=(("peers", 1.0),), better="less", **g)
    yield Row("gc-get", "manifest GET by tag while gc runs, 64 clients", beside_gc(get("/v2/live/manifests/t{}", 64, lambda s: s.scale.peer_tags)),
              servers=(BERTHD, "without gc", V3), limit="without gc", goals=((V3, 1),), **g)
    yield Row("gc-put", "manifest PUT while gc runs, 64 clients", beside_gc(put("live", 64)), servers=(BERTHD, "without gc", V3), limit="without gc",
              goals=((V3, 1),), **g)


STAGES = ((Reading, reading_rows), (Pushing, pushing_rows), (Logins, login_rows), (Encrypted, tls_rows), (Collecting, collecting_rows))
