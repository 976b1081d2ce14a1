"""A berth of one's own beside a berthd of one's own, and images for it that are made here.

    with runner.Runner() as r:
        ref = r.push("app:v1", [layer({"bin/x": b".."})], {"Cmd": ["sh"]})
        r.berth("pull", ref)
"""
import gzip
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import registry

TOP = registry.TOP
BERTH = os.environ.get("BERTH", str(TOP / "build/bin/berth"))
# Also for other builds of berth: sanitizers do not take clone and namespaces.
RUNTIME = os.environ.get("BERTH_RUNTIME", str(TOP / "build/bin/berth-runtime"))
BUSYBOX = "/bin/busybox"
WAIT_S = registry.WAIT_S
# Containers have no network unless a test asks for one: the machine's own stays as it is.
os.environ["BERTH_NETWORK"] = "none"


def layer(files, compress=True):
    """A layer of {path: bytes | ("link", target) | ("hard", target) | ("dir", mode)}; .wh. names are whiteouts."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, what in files.items():
            m = tarfile.TarInfo(path)
            m.mtime = 1000000000
            m.mode = 0o755
            if isinstance(what, bytes):
                m.size = len(what)
                tar.addfile(m, io.BytesIO(what))
                continue
            kind, value = what
            m.type = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "dir": tarfile.DIRTYPE}[kind]
            if kind == "dir":
                m.mode = value
            else:
                m.linkname = value
            tar.addfile(m)
    plain = out.getvalue()
    return plain, gzip.compress(plain, mtime=0) if compress else plain


def busybox_layer():
    files = {"dev": ("dir", 0o755), "proc": ("dir", 0o555), "sys": ("dir", 0o555), "bin": ("dir", 0o755), "tmp": ("dir", 0o1777), "etc": ("dir", 0o755), "root": ("dir", 0o700),
             "bin/busybox": open(BUSYBOX, "rb").read(),
             "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/sh\n",
             "etc/group": b"root:x:0:\nwww:x:33:\nextra:x:44:www\n"}
    for name in subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split():
        if name != "busybox":
            files["bin/" + name] = ("hard", "bin/busybox")
    return layer(files)


class Runner:
    """berth with its images and containers below a directory of its own; gone afterwards with all that runs."""

    def __init__(self, *daemon_options):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-run-"))
        self.root = self.work / "images"
        self.state = self.work / "state"
        self.registry = registry.Daemon(*daemon_options)
        self.base = None

    def __enter__(self):
        self.registry.start()
        return self

    def __exit__(self, *_):
        self.sweep()
        self.registry.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def sweep(self):
        """Removes all containers."""
        ids = self.run("ps", "-a", "-q", check=False).stdout.split()
        if ids:
            self.run("rm", "-f", *ids, check=False)

    @property
    def host(self):
        return f"{self.registry.host}:{self.registry.port}"

    def command(self, *args):
        return [BERTH, "--root", str(self.root), "--state", str(self.state), "--runtime", RUNTIME, *args]

    def run(self, *args, check=True, stdin=None, **more):
        """Runs berth; stdout and stderr are text."""
        p = subprocess.run(self.command(*args), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                           timeout=WAIT_S * 2, **more)
        if check and p.returncode != 0:
            raise AssertionError(f"berth {' '.join(args)}: exit {p.returncode}: {p.stderr}")
        return p

    def berth(self, *args, **more):
        """stdout of a run that must succeed."""
        return self.run(*args, **more).stdout

    def shims(self):
        """Ids of the processes of its shims."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith("/berth-shim") and str(self.work) in open(f"/proc/{pid}/cmdline").read():
                    found.append(int(pid))
            except OSError:
                continue
        return found

    def push(self, name, layers, config=None, arch="amd64", media=registry.OCI_LAYER + "+gzip"):
        """Pushes an image of (plain, packed) layers through berthd's API; returns its reference."""
        repo, tag = name.rsplit(":", 1)
        doc = {"architecture": arch, "os": "linux", "created": "2001-09-09T01:46:40Z", "config": config or {},
               "rootfs": {"type": "layers", "diff_ids": [registry.sha256(plain) for plain, _ in layers]}}
        body = json.dumps(doc).encode()
        for blob in [body, *(packed for _, packed in layers)]:
            self.registry.push_blob(repo, blob)
        manifest = {"schemaVersion": 2, "mediaType": registry.OCI_MANIFEST,
                    "config": registry.descriptor(registry.OCI_CONFIG, body),
                    "layers": [registry.descriptor(media, packed) for _, packed in layers]}
        answer = self.registry.put_manifest(repo, tag, manifest)
        assert answer.status == 201, f"manifest push: {answer.status} {answer.body!r}"
        return f"{self.host}/{name}"

    def push_busybox(self, name="box:v1", more=(), config=None):
        self.base = self.base or busybox_layer()
        config = {"Cmd": ["sh"], "Env": ["PATH=/bin"], **(config or {})}
        return self.push(name, [self.base, *more], config)
