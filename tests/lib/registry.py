"""A berthd of one's own, and a small client for its API."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BERTHD = os.environ.get("BERTHD", str(TOP / "build/bin/berthd"))
WAIT_S = 60  # bound of every wait: slow tools (valgrind, tsan) must fit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha512(data):
    return "sha512:" + hashlib.sha512(data).hexdigest()


def basic(user):
    return "Basic " + base64.b64encode(user.encode() if isinstance(user, str) else user).decode()


def wait_until(what, check):
    """Poll until check() is true, at most WAIT_S seconds."""
    end = time.monotonic() + WAIT_S
    while not check():
        if time.monotonic() > end:
            raise AssertionError(f"timed out: {what}")
        time.sleep(0.01)


def anonymous_memory(daemon, pid=None):
    """Bytes of its own memory that a process of the daemon, if not the first then `pid`, has resident."""
    for line in open(f"/proc/{pid or daemon.process.pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = body

    def header(self, name):
        return self.headers.get(name.lower())

    def json(self):
        return json.loads(self.body)

    def codes(self):
        return [e["code"] for e in self.json()["errors"]]


class Daemon:
    """berthd on a directory; start() waits for the ready line.  limits: {resource.RLIMIT_..: value}; under: a command that runs it."""

    def __init__(self, *options, root=None, limits=None, ssl=None, user=None, under=()):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-"))
        self.root = pathlib.Path(root) if root else self.work / "root"
        self.options = options
        self.under = under
        self.limits = limits or {}
        self.ssl = ssl  # context of clients, where it serves TLS
        self.user = user  # "name:password" that requests come with
        self.process = None
        self.start_s = 0.0

    def start(self, *more):
        began = time.monotonic()
        self.log = open(self.work / "log", "ab")
        self.process = subprocess.Popen(
            [*self.under, BERTHD, "serve", "--root", str(self.root), "--listen", "127.0.0.1:0", *self.options, *more],
            stdout=subprocess.PIPE, stderr=self.log,
            preexec_fn=lambda: [resource.setrlimit(which, (n, n)) for which, n in self.limits.items()])
        line = self.process.stdout.readline().decode()
        if not line.startswith(("listening on http://", "listening on https://")):
            raise AssertionError(f"berthd does not start: {self.log_text()[-2000:]}")
        self.start_s = time.monotonic() - began
        self.host, port = line.split("//")[1].strip().rsplit(":", 1)
        self.port = int(port)
        return self

    def kill(self):
        self.process.kill()
        self._reap()

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self):
        status = self.process.wait(timeout=WAIT_S)
        self.process.stdout.close()
        self.log.close()
        self.process = None
        return status

    def close(self):
        if self.process:
            self.kill()
        shutil.rmtree(self.work, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, failure, *_):
        """SIGTERM must end it with status 0, which sanitizers and memcheck change if they have something to say."""
        try:
            status = self.stop() if self.process else 0
            if status != 0 and failure is None:
                raise AssertionError(f"exit status {status} after SIGTERM: {self.log_text()[-4000:]}")
        finally:
            self.close()

    def log_text(self):
        return (self.work / "log").read_text(errors="replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # what administrators ask for

    def admin(self, *words, want=0):
        """`berthd WORDS` on the root, of the daemon if it runs; the objects it prints.  Its status must be `want`, if that is not
        None; what it complains of is in admin_error."""
        got = subprocess.run([BERTHD, *words, "--json", "--root", str(self.root), *self.options], capture_output=True, text=True,
                             timeout=WAIT_S * 5, check=False)
        self.admin_error = got.stderr
        if want is not None and got.returncode != want:
            raise AssertionError(f"berthd {' '.join(words)}: status {got.returncode}, {got.stdout[-2000:]} {got.stderr[-2000:]}")
        return [json.loads(line) for line in got.stdout.splitlines()]

    def blob_file(self, digest):
        algorithm, text = digest.split(":")
        return self.root / "blobs" / algorithm / text[:2] / text

    def blob_files(self):
        """Digests of all files under blobs/."""
        return {f"{f.parent.parent.name}:{f.name}" for f in (self.root / "blobs").glob("*/*/*")}

    # requests

    def request(self, method, path, body=None, headers=None, connection=None):
        """One request; a connection of its own unless one is given."""
        c = connection or self.connect()
        headers = {"Authorization": basic(self.user) if self.user else None, **(headers or {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        try:
            c.request(method, path, body=body, headers=headers)
            response = c.getresponse()
            return Answer(response, response.read())
        finally:
            if not connection:
                c.close()

    def connect(self, ssl=None):
        if self.ssl:
            return http.client.HTTPSConnection(self.host, self.port, timeout=WAIT_S, context=ssl or self.ssl)
        return http.client.HTTPConnection(self.host, self.port, timeout=WAIT_S)

    def raw(self, data, timeout=10, shut=False):
        """Bytes in, bytes out until the server closes or says nothing for `timeout` seconds."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as s:
            with contextlib.suppress(OSError):  # a server may close before it has read everything
                s.sendall(data)
                if shut:
                    s.shutdown(socket.SHUT_WR)
            got = b""
            with contextlib.suppress(OSError):
                while chunk := s.recv(65536):
                    got += chunk
            return got

    # what most tests need

    def push_blob(self, repo, data, connection=None, digest=None):
        a = self.request("POST", f"/v2/{repo}/blobs/uploads/?digest={digest or sha256(data)}", data,
                         {"Content-Type": "application/octet-stream"}, connection)
        assert a.status == 201, f"blob push: {a.status} {a.body[:300]!r}"
        return a

    def open_session(self, repo, query="", connection=None):
        a = self.request("POST", f"/v2/{repo}/blobs/uploads/{query}", b"", None, connection)
        assert a.status == 202, f"upload start: {a.status} {a.body[:300]!r}"
        return a.header("Location")

    def put_manifest(self, repo, reference, manifest, connection=None, media=None):
        data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        media = media or (manifest.get("mediaType") if isinstance(manifest, dict) else None) or OCI_MANIFEST
        return self.request("PUT", f"/v2/{repo}/manifests/{reference}", data, {"Content-Type": media}, connection)


def descriptor(media, data, **more):
    return {"mediaType": media, "digest": sha256(data), "size": len(data), **more}


def image(config=b"{}", layers=(), **more):
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, config),
            "layers": [descriptor(OCI_LAYER, x) for x in layers], **more}


def index(manifests, **more):
    """An index of (media type, bytes) pairs."""
    return {"schemaVersion": 2, "mediaType": OCI_INDEX,
            "manifests": [descriptor(media, data) for media, data in manifests], **more}
