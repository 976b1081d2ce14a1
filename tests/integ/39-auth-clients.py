#!/usr/bin/env python3
"""Every client against every way to log in: what is public without a name, what is not after a login, nothing else.

Runs in a mount and network namespace of its own, so that the registry has a name (reg.test) and an address that is not
loopback, where clients check certificates.  The matrix goes to build/auth-clients.md.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pki  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import Skip, case, same  # noqa: E402

NAME, ADDRESS = "reg.test", "10.123.0.1"
TOOLS = r.TOP / "build/tools/bin"
INSIDE = "BERTH_AUTH_CLIENTS_INSIDE"
LIMIT_S = 120

CASES = ("pull public without a name", "push without a name is refused", "push after login", "push elsewhere is refused")


# What clients say when they were told no; anything else is a fault of the test or of ours.
REFUSED = re.compile(r"\b(401|403)\b|denied|unauthori[sz]ed|forbidden|authentication required|basic (auth|credential)|authorization failed|wants a password", re.I)


class Failed(Exception):
    pass


def run(*args, env=None, stdin=None, cwd=None):
    p = subprocess.run([str(a) for a in args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
                       env=env, cwd=cwd)
    text = p.stdout.decode(errors="replace")
    if p.returncode != 0:
        raise Failed(f"{args[0]} {args[1] if len(args) > 1 else ''}: status {p.returncode}: {text[-600:]}")
    return text


class Mode:
    """A way to reach and to log in to a berthd."""

    def __init__(self, name, tls, tokens, login):
        self.name, self.tls, self.tokens, self.login = name, tls, tokens, login

    def start(self, w):
        options = [f"--auth.htpasswd={w.users}", f"--auth.tokens.enabled={'true' if self.tokens else 'false'}",
                   "--access=[{who: anonymous, repositories: 'public/**', allow: pull}, "
                   "{who: [alice, 'cert:spiffe://test/alice'], repositories: 'team/**', allow: [pull, push]}, "
                   "{who: root, repositories: '**', allow: admin}]"]
        if self.tls:
            options += ["--tls.certificates=[{certificate: '%s', key: '%s'}]" % w.server, f"--listen={ADDRESS}:0"]
        if self.login == "certificate":
            options.append(f"--tls.client_ca={w.ca.ca}")
        self.d = r.Daemon(*options, ssl=w.ca.context() if self.tls else None, user="root:secret")
        if self.login == "key":
            p = subprocess.run([r.BERTHD, "key", "add", "robot", "--repositories", "team/**", "--allow", "pull,push", "--root",
                                str(self.d.root)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.user, self.password = "robot", p.stdout.decode().strip()
        else:
            self.user, self.password = "alice", "secret"
        self.d.start()
        self.host = f"{NAME}:{self.d.port}" if self.tls else f"127.0.0.1:{self.d.port}"
        manifest = r.json.loads(w.blob(w.digest))
        for what in (manifest["config"], *manifest["layers"]):
            self.d.push_blob("public/image", w.blob(what["digest"]))
        same("public image", 201, self.d.put_manifest("public/image", "v1", w.blob(w.digest), media=r.OCI_MANIFEST).status)

    def stop(self):
        status = self.d.stop()
        log = self.d.log_text()
        self.d.close()
        same("exit status of berthd", 0, status)
        return log


MODES = [Mode("plain, basic", False, False, "password"), Mode("plain, token", False, True, "password"),
         Mode("plain, robot key", False, True, "key"), Mode("TLS, basic", True, False, "password"),
         Mode("TLS, token", True, True, "password"), Mode("TLS, robot key", True, True, "key"),
         Mode("TLS, client certificate", True, True, "certificate")]


class Client:
    """What each client has to be able to; `logged_in` says whether the credentials of the mode are to be used."""

    programs = ()
    cannot = {}  # (login or mode name, case index) -> the reason, in the client's own nature

    def __init__(self, w):
        self.w = w
        self.dir = w.work / type(self).__name__.lower()

    def version(self):
        raise NotImplementedError

    def prepare(self):
        pass

    def finish(self):
        pass

    def begin(self, mode):
        self.mode = mode
        self.state = self.dir / f"mode-{mode.d.port}"
        self.state.mkdir(parents=True)
        self.env = {**os.environ, "HOME": str(self.state), "DOCKER_CONFIG": str(self.state), "XDG_RUNTIME_DIR": str(self.state),
                    "REGISTRY_AUTH_FILE": str(self.state / "auth.json"), "SSL_CERT_FILE": self.w.ca.ca}
        (self.state / "auth.json").write_text('{"auths": {}}')

    def end(self):
        pass

    def ref(self, repo):
        return f"{self.mode.host}/{repo}:v1"

    def certificates(self, with_own):
        """A directory as containers/image wants it."""
        d = self.state / f"certs-{with_own}"
        if not d.exists():
            d.mkdir()
            shutil.copy(self.w.ca.ca, d / "ca.crt")
            if with_own:
                shutil.copy(self.w.alice[0], d / "client.cert"), shutil.copy(self.w.alice[1], d / "client.key")
        return d

    def uses_certificate(self, logged_in):
        return logged_in and self.mode.login == "certificate"


class Containers(Client):
    """What podman, skopeo and buildah share."""

    def options(self, logged_in, side=""):
        if not self.mode.tls:
            return [f"--{side}tls-verify=false"]
        return [f"--{side}cert-dir={self.certificates(self.uses_certificate(logged_in))}"]

    def login(self):
        if self.mode.login != "certificate":
            run(*self.command, "login", *self.options(True), "-u", self.mode.user, "--password-stdin", self.mode.host, env=self.env,
                stdin=self.mode.password.encode())


class Skopeo(Containers):
    programs = ("skopeo",)
    command = ("skopeo",)

    def version(self):
        return run("skopeo", "--version").split()[-1]

    def pull(self, repo, logged_in):
        to = self.state / f"pulled-{repo.replace('/', '-')}-{logged_in}"
        run("skopeo", "--insecure-policy", "copy", "-q", *self.options(logged_in, "src-"), f"docker://{self.ref(repo)}", f"oci:{to}:v1",
            env=self.env)

    def push(self, repo, logged_in):
        run("skopeo", "--insecure-policy", "copy", "-q", *self.options(logged_in, "dest-"), f"oci:{self.w.layout}:latest",
            f"docker://{self.ref(repo)}", env=self.env)


class Podman(Containers):
    programs = ("podman",)

    @property
    def command(self):
        return ("podman", "--root", self.dir / "storage", "--runroot", self.dir / "runroot", "--storage-driver", "vfs",
                "--events-backend=file", "--cgroup-manager", "cgroupfs")

    def version(self):
        return run("podman", "--version").split()[-1]

    def prepare(self):
        self.dir.mkdir(exist_ok=True)
        self.env = {**os.environ, "HOME": str(self.dir), "XDG_RUNTIME_DIR": str(self.dir)}
        run(*self.command, "pull", "-q", f"oci:{self.w.layout}:latest", env=self.env)
        self.id = run(*self.command, "images", "-q", "--no-trunc", env=self.env).split()[0]

    def pull(self, repo, logged_in):
        run(*self.command, "pull", "-q", *self.options(logged_in), self.ref(repo), env=self.env)
        run(*self.command, "untag", self.ref(repo), env=self.env)

    def push(self, repo, logged_in):
        run(*self.command, "push", "-q", *self.options(logged_in), self.id, f"docker://{self.ref(repo)}", env=self.env)


class Buildah(Containers):
    programs = ("buildah",)

    @property
    def command(self):
        return ("buildah", "--root", self.dir / "storage", "--runroot", self.dir / "runroot", "--storage-driver", "vfs")

    def version(self):
        return run("buildah", "--version").split()[2]

    def prepare(self):
        self.dir.mkdir(exist_ok=True)
        self.env = {**os.environ, "HOME": str(self.dir), "XDG_RUNTIME_DIR": str(self.dir)}
        run(*self.command, "pull", "-q", f"oci:{self.w.layout}:latest", env=self.env)
        self.id = run(*self.command, "images", "-q", "--no-trunc", env=self.env).split()[0]

    def pull(self, repo, logged_in):
        run(*self.command, "pull", "-q", *self.options(logged_in), self.ref(repo), env=self.env)

    def push(self, repo, logged_in):
        run(*self.command, "push", "-q", *self.options(logged_in), self.id, f"docker://{self.ref(repo)}", env=self.env)


class Docker(Client):
    programs = ("docker", "dockerd", "skopeo")
    cannot = {("plain, basic", 0): "docker sends nothing at all where GET /v2/ asks for a password and it has none",
              ("TLS, basic", 0): "docker sends nothing at all where GET /v2/ asks for a password and it has none"}

    def version(self):
        return run("docker", "--version").split()[2].rstrip(",")

    def prepare(self):
        self.dir.mkdir(exist_ok=True)
        self.socket = f"unix://{self.dir}/docker.sock"
        self.log = open(self.dir / "log", "wb")
        self.daemon = subprocess.Popen(
            ["dockerd", "--data-root", str(self.dir / "data"), "--exec-root", str(self.dir / "exec"), "-H", self.socket, "--pidfile",
             str(self.dir / "pid"), "--bridge=none", "--iptables=false", "--storage-driver=vfs"], stdout=self.log, stderr=self.log)
        env = {**os.environ, "DOCKER_HOST": self.socket}
        r.wait_until("dockerd", lambda: self.daemon.poll() is not None or subprocess.run(
            ["docker", "version"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0)
        run("skopeo", "--insecure-policy", "copy", "-q", f"oci:{self.w.layout}:latest", f"docker-archive:{self.dir}/one.tar:local/one:v1")
        run("docker", "load", "-q", "-i", self.dir / "one.tar", env=env)

    def finish(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(r.WAIT_S)
        self.log.close()

    def begin(self, mode):
        super().begin(mode)
        self.env["DOCKER_HOST"] = self.socket
        self.certs = pathlib.Path("/etc/docker/certs.d") / mode.host
        if mode.tls:
            self.certs.mkdir(parents=True)
            shutil.copy(self.w.ca.ca, self.certs / "ca.crt")

    def end(self):
        shutil.rmtree(self.certs, ignore_errors=True)

    def login(self):
        if self.mode.login == "certificate":
            shutil.copy(self.w.alice[0], self.certs / "client.cert"), shutil.copy(self.w.alice[1], self.certs / "client.key")
        else:
            run("docker", "login", "-u", self.mode.user, "--password-stdin", self.mode.host, env=self.env,
                stdin=self.mode.password.encode())

    def pull(self, repo, logged_in):
        run("docker", "pull", "-q", self.ref(repo), env=self.env)
        run("docker", "rmi", self.ref(repo), env=self.env)

    def push(self, repo, logged_in):
        run("docker", "tag", "local/one:v1", self.ref(repo), env=self.env)
        run("docker", "push", self.ref(repo), env=self.env)


class Ctr(Client):
    programs = ("ctr", "containerd")

    def version(self):
        return run("ctr", "--version").split()[-1]

    def ctr(self, *args):
        return run("ctr", "-a", self.dir / "sock", *args)

    def prepare(self):
        self.dir.mkdir(exist_ok=True)
        (self.dir / "conf").write_text(f'version = 2\nroot = "{self.dir}/root"\nstate = "{self.dir}/state"\n'
                                       'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                                       f'[grpc]\naddress = "{self.dir}/sock"\n')
        self.log = open(self.dir / "log", "wb")
        self.daemon = subprocess.Popen(["containerd", "-c", str(self.dir / "conf")], stdout=self.log, stderr=self.log)
        r.wait_until("containerd", lambda: self.daemon.poll() is not None or subprocess.run(
            ["ctr", "-a", str(self.dir / "sock"), "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0)
        run("tar", "-C", self.w.layout, "-cf", self.dir / "one.tar", ".")
        self.ctr("images", "import", "--index-name", "local/one:v1", self.dir / "one.tar")
        self.image = [x for x in self.ctr("images", "list", "-q").split() if "one" in x][0]

    def finish(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(r.WAIT_S)
        self.log.close()

    def options(self, logged_in):
        o = ["--tlscacert", self.w.ca.ca] if self.mode.tls else ["--plain-http"]
        if self.uses_certificate(logged_in):
            return [*o, "--tlscert", self.w.alice[0], "--tlskey", self.w.alice[1]]
        return [*o, "--user", f"{self.mode.user}:{self.mode.password}"] if logged_in else o

    def login(self):
        pass

    def pull(self, repo, logged_in):
        self.ctr("-n", f"pull{self.mode.d.port}{logged_in}", "images", "pull", *self.options(logged_in), self.ref(repo))

    def push(self, repo, logged_in):
        self.ctr("images", "push", *self.options(logged_in), self.ref(repo), self.image)


class Crane(Client):
    programs = ("crane",)

    def version(self):
        return run("crane", "version").strip()

    def login(self):
        if self.mode.login == "certificate":
            raise Skip("crane has no option for a client certificate")
        run("crane", "auth", "login", "-u", self.mode.user, "--password-stdin", self.mode.host, env=self.env,
            stdin=self.mode.password.encode())

    def pull(self, repo, logged_in):
        run("crane", "pull", "--format=oci", self.ref(repo), self.state / f"pulled-{logged_in}", env=self.env)

    def push(self, repo, logged_in):
        run("crane", "push", self.w.layout, self.ref(repo), env=self.env)


class Oras(Client):
    programs = ("oras",)

    def version(self):
        return run("oras", "version").split()[1]

    def options(self, logged_in, side=""):
        o = [f"--{side}ca-file={self.w.ca.ca}"] if self.mode.tls else [f"--{side}plain-http"]
        if self.uses_certificate(logged_in):
            o += [f"--{side}cert-file={self.w.alice[0]}", f"--{side}key-file={self.w.alice[1]}"]
        return o

    def login(self):
        if self.mode.login != "certificate":
            run("oras", "login", *self.options(True), "-u", self.mode.user, "--password-stdin", self.mode.host, env=self.env,
                stdin=self.mode.password.encode())

    def pull(self, repo, logged_in):
        run("oras", "cp", *self.options(logged_in, "from-"), "--to-oci-layout", self.ref(repo), f"{self.state}/pulled-{logged_in}:v1",
            env=self.env)

    def push(self, repo, logged_in):
        run("oras", "cp", "--from-oci-layout", *self.options(logged_in, "to-"), f"{self.w.layout}:latest", self.ref(repo), env=self.env)


class Regctl(Client):
    programs = ("regctl",)

    def version(self):
        return run("regctl", "version", "--format", "{{.VCSTag}}").strip()

    def begin(self, mode):
        super().begin(mode)
        self.env["REGCTL_CONFIG"] = str(self.state / "regctl.json")
        o = ["--cacert", pathlib.Path(self.w.ca.ca).read_text(), "--tls=enabled"] if mode.tls else ["--tls=disabled"]
        run("regctl", "registry", "set", "--skip-check", *o, mode.host, env=self.env)

    def login(self):
        if self.mode.login == "certificate":
            run("regctl", "registry", "set", "--skip-check", "--client-cert", pathlib.Path(self.w.alice[0]).read_text(), "--client-key",
                pathlib.Path(self.w.alice[1]).read_text(), self.mode.host, env=self.env)
        else:
            run("regctl", "registry", "login", "-u", self.mode.user, "--pass-stdin", self.mode.host, env=self.env,
                stdin=self.mode.password.encode())

    def pull(self, repo, logged_in):
        run("regctl", "image", "copy", self.ref(repo), f"ocidir://{self.state}/pulled-{logged_in}:v1", env=self.env)

    def push(self, repo, logged_in):
        run("regctl", "image", "copy", f"ocidir://{self.w.layout}:latest", self.ref(repo), env=self.env)


class Helm(Client):
    """Charts instead of images: public/chart stands for public/image, and a chart has the name of its repository."""

    programs = ("helm",)

    def version(self):
        return run("helm", "version", "--template", "{{.Version}}").strip()

    def package(self, name):
        chart = self.dir / "src" / name
        chart.mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
        run("helm", "package", chart, "-d", self.dir / "charts")
        return self.dir / "charts" / f"{name}-1.0.0.tgz"

    def begin(self, mode):
        super().begin(mode)
        self.env.update({f"HELM_{k}_HOME": str(self.state / k) for k in ("CONFIG", "CACHE", "DATA")})
        config, layer = b'{"name":"chart","version":"1.0.0","apiVersion":"v2"}', self.package("chart").read_bytes()
        manifest = {"schemaVersion": 2, "mediaType": r.OCI_MANIFEST,
                    "config": r.descriptor("application/vnd.cncf.helm.config.v1+json", config),
                    "layers": [r.descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", layer)]}
        for blob in (config, layer):
            mode.d.push_blob("public/chart", blob)
        same("public chart", 201, mode.d.put_manifest("public/chart", "1.0.0", manifest).status)

    def options(self, logged_in):
        o = [f"--ca-file={self.w.ca.ca}"] if self.mode.tls else ["--plain-http"]
        if self.uses_certificate(logged_in):
            o += [f"--cert-file={self.w.alice[0]}", f"--key-file={self.w.alice[1]}"]
        return o

    def login(self):
        if self.mode.login != "certificate":
            run("helm", "registry", "login", *self.options(True), "-u", self.mode.user, "--password-stdin", self.mode.host, env=self.env,
                stdin=self.mode.password.encode())

    def pull(self, repo, logged_in):
        repo = repo.replace("public/image", "public/chart")
        to = self.state / f"pulled-{logged_in}"
        to.mkdir()
        run("helm", "pull", *self.options(logged_in), f"oci://{self.mode.host}/{repo}", "--version", "1.0.0", "-d", to, env=self.env)

    def push(self, repo, logged_in):
        place, name = repo.rsplit("/", 1)
        run("helm", "push", *self.options(logged_in), self.package(name), f"oci://{self.mode.host}/{place}", env=self.env)


class Berth(Client):
    programs = (os.environ.get("BERTH", str(r.TOP / "build/bin/berth")),)

    @property
    def command(self):
        return (*self.programs, "--root", self.dir / "store")

    def version(self):
        return run(*self.programs, "--version").split()[-1]

    def prepare(self):
        self.dir.mkdir(exist_ok=True)
        run("tar", "-C", self.w.layout, "-cf", self.dir / "one.tar", ".")
        run(*self.command, "load", "-i", self.dir / "one.tar", "local/one:v1", env={**os.environ, "HOME": str(self.dir)})

    def begin(self, mode):
        super().begin(mode)
        self.certs = self.state / ".config/containers/certs.d" / mode.host
        if mode.tls:
            self.certs.mkdir(parents=True)
            shutil.copy(self.w.ca.ca, self.certs / "ca.crt")

    def options(self):
        return [] if self.mode.tls else ["--tls-verify=false"]

    def login(self):
        if self.mode.login == "certificate":
            shutil.copy(self.w.alice[0], self.certs / "client.cert"), shutil.copy(self.w.alice[1], self.certs / "client.key")
        else:
            run(*self.command, "login", *self.options(), "-u", self.mode.user, "--password-stdin", self.mode.host, env=self.env,
                stdin=self.mode.password.encode())

    def pull(self, repo, logged_in):
        run(*self.programs, "--root", self.state / f"store-{logged_in}", "pull", "-q", *self.options(), self.ref(repo), env=self.env)

    def push(self, repo, logged_in):
        run(*self.command, "push", "-q", *self.options(), "local/one:v1", self.ref(repo), env=self.env)


CLIENTS = [Docker, Podman, Skopeo, Buildah, Ctr, Crane, Oras, Regctl, Helm, Berth]


class World:
    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-clients-"))
        self.ca = pki.Authority(self.work / "ca")
        self.server = self.ca.make("server", f"DNS:{NAME},IP:{ADDRESS}")
        self.alice = self.ca.make("alice", "URI:spiffe://test/alice", "clientAuth")
        self.users = self.work / "users"
        for user in ("alice", "root"):
            subprocess.run([r.BERTHD, "user", "add", user, f"--auth.htpasswd={self.users}"], input=b"secret", check=True)
        self.layout = self.work / "one"
        self.digest = run("bash", "-c", f". {r.TOP}/tests/lib/images.bash; image_layout {self.layout} auth-one").strip()
        self.clients, self.results, self.running = {}, {}, None

    def blob(self, digest):
        return (self.layout / "blobs" / digest.replace(":", "/")).read_bytes()

    def client(self, kind):
        for p in kind.programs:
            if not shutil.which(p):
                raise Skip(f"{p} is not installed")
        if kind not in self.clients:
            self.clients[kind] = kind(self)
            self.clients[kind].prepare()
        return self.clients[kind]

    def mode(self, mode):
        if self.running is not mode:
            self.stop()
            mode.start(self)
            self.running = mode
        return mode

    def stop(self):
        if self.running:
            mode, self.running = self.running, None
            mode.stop()

    def close(self):
        try:
            self.stop()
        finally:
            for c in self.clients.values():
                c.finish()
            shutil.rmtree(self.work, ignore_errors=True)

    def write_matrix(self):
        lines = ["| client | " + " | ".join(m.name for m in MODES) + " |", "|---|" + "---|" * len(MODES)]
        for kind in CLIENTS:
            name = kind.__name__.lower()
            if kind in self.clients:
                cells = [self.results.get((kind, m.name), "-") for m in MODES]
                lines.append(f"| {name} {self.clients[kind].version()} | " + " | ".join(cells) + " |")
        out = r.TOP / "build/auth-clients.md"
        out.parent.mkdir(exist_ok=True)
        out.write_text("Each cell: " + "; ".join(f"{i + 1} {c}" for i, c in enumerate(CASES)) + ".\n\n" + "\n".join(lines) + "\n")


def refused(action):
    try:
        action()
    except Failed as e:
        if not REFUSED.search(str(e)):
            raise
        return
    raise AssertionError("it was not refused")


def exists(d, repo):
    return d.request("GET", f"/v2/{repo}/tags/list").status == 200


def leftovers(d):
    return os.listdir(d.root / "uploads")


def check(w, kind, mode):
    c = w.client(kind)
    d = w.mode(mode).d
    name = kind.__name__.lower()
    cells = {}
    c.begin(mode)
    try:
        steps = [(0, lambda: c.pull("public/image", False)), (1, lambda: refused(lambda: c.push(f"team/{name}-none", False))),
                 (2, lambda: (c.login(), c.push(f"team/{name}", True), c.pull(f"team/{name}", True))),
                 (3, lambda: refused(lambda: c.push(f"other/{name}", True)))]
        for number, step in steps:
            why = kind.cannot.get((mode.name, number))
            if why:
                refused(step)  # if it can one day, this table is to say so
                cells[number] = "no"
                continue
            try:
                step()
                cells[number] = "yes"
            except Skip:
                cells[number] = cells[3] = "-"
                raise
        for repo in (f"team/{name}-none", f"other/{name}"):
            same(f"trace of {repo}", False, exists(d, repo))
        same("what was pushed", True, exists(d, f"team/{name}"))
        same("uploads", [], leftovers(d))
    finally:
        w.results[kind, mode.name] = " ".join(cells.get(i, "FAILED") for i in range(len(CASES)))
        c.end()


for m in MODES:
    for k in CLIENTS:
        case(f"{k.__name__.lower()}: {m.name}")(lambda w, k=k, m=m: check(w, k, m))


def enter():
    """Come back in namespaces of our own."""
    os.execvpe("unshare", ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, __file__],
               {**os.environ, INSIDE: "1"})


def arrange():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    hosts = tempfile.NamedTemporaryFile("w", prefix="berth-hosts-")
    hosts.write(f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
    hosts.flush()
    os.chmod(hosts.name, 0o644)
    subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)
    made = not os.path.isdir("/etc/docker")
    os.makedirs("/etc/docker", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/etc/docker"], check=True)  # dockerd looks for certificates there only
    return hosts, made


def rearrange(made):
    subprocess.run(["umount", "/etc/docker"], check=True)
    if made:
        os.rmdir("/etc/docker")


if __name__ == "__main__":
    os.environ["PATH"] = f"{TOOLS}:{os.environ['PATH']}"
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        print("1..0 # SKIP needs root, unshare and ip, for a name and an address of its own")
        sys.exit(0)
    if INSIDE not in os.environ:
        enter()
    kept, made_docker = arrange()
    world = World()
    try:
        tap.main(world)
    finally:
        world.write_matrix()
        world.close()
        rearrange(made_docker)
