#!/usr/bin/env python3
"""berth as a registry's client: tokens, passwords, helpers, mirrors, certificates, redirects, registries that are ill, HTTP/2."""
import base64
import contextlib
import email.utils
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import nginx  # noqa: E402
import pki  # noqa: E402
import proxy  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

A = runner.layer({"a": b"first"})
B = runner.layer({"b": os.urandom(3 << 20)})
CLOSED = "127.0.0.1:1"  # nobody listens there
RULES = "--access=[{who: alice, repositories: '**', allow: [pull, push, delete]}]"


def auth_file(r, doc, name="auth.json"):
    file = r.work / name
    file.write_text(json.dumps(doc))
    return file


def entry(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def registries(r, doc):
    return ("--registries", str(auth_file(r, {"registries": doc}, "registries.json")))


def forget(r):
    """No image, and nothing of any download."""
    for image in json.loads(r.berth("images", "--json")):
        r.berth("rmi", image["name"])
    r.berth("prune")


@contextlib.contextmanager
def guarded(*options):
    """A runner whose berthd knows alice:secret only, and gives out tokens."""
    r = runner.Runner()
    users = r.work / "users"
    subprocess.run([registry.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}", "--cost=5"], input=b"secret", check=True,
                   stdout=subprocess.DEVNULL)
    r.registry.options = (f"--auth.htpasswd={users}", RULES, *options)
    r.registry.user = "alice:secret"
    with r:
        yield r


# --- who asks ---


@tap.case("Bearer: a token of berthd's own service for each scope, for pulls, pushes and logins")
def bearer(_):
    with guarded() as r, proxy.Front(r.registry) as seen:
        ref = r.push("team/one:v1", [A, B]).replace(r.host, seen.host)
        p = r.run("pull", ref, check=False)
        tap.same("without a password", 1, p.returncode)
        assert "berth login" in p.stderr, p.stderr
        tap.same("nothing came of it", [], json.loads(r.berth("images", "--json")))
        # What the service's address is depends on berthd's own, so its host is not the proxy's: an address, and the same one.
        del seen.asked[:]
        r.berth("pull", "--creds", "alice:secret", ref)
        kinds = [h["authorization"].split()[0] if "authorization" in h else None for _, _, h in seen.asked]
        tap.same("first without, then with a token", [None] + ["Bearer"] * (len(kinds) - 1), kinds)
        err = r.run("push", "--creds", "alice:secret", ref, f"{seen.host}/team/two:v1").stderr
        tap.same("blobs are mounted, not sent", 0, err.count("sent"))
        tap.same("wrong password", 1, r.run("pull", "--creds", "alice:wrong", ref, check=False).returncode)
        r.run("login", "--authfile", str(r.work / "a.json"), "-u", "alice", "--password-stdin", seen.host, stdin="secret\n")
        r.berth("pull", "--authfile", str(r.work / "a.json"), f"{seen.host}/team/two:v1")


@tap.case("Bearer: a refresh token in place of a password (identitytoken)")
def refresh(_):
    with guarded() as r:
        ref = r.push("one:v1", [A])
        got = r.registry.request("GET", "/token?service=berthd&offline_token=true&client_id=test").json()
        file = auth_file(r, {"auths": {r.host: {**entry("alice", ""), "identitytoken": got["refresh_token"]}}})
        r.berth("pull", "--authfile", str(file), ref)
        file = auth_file(r, {"auths": {r.host: {**entry("alice", ""), "identitytoken": got["refresh_token"][:-4] + "AAAA"}}})
        tap.same("another token", 1, r.run("pull", "--authfile", str(file), ref, check=False).returncode)


@tap.case("Bearer: a token that runs out in the middle is renewed")
def runs_out(_):
    with guarded() as r:
        refused = []

        def once_more(handler):
            if "/blobs/" in handler.path and "authorization" in {k.lower() for k in handler.headers} and len(refused) < 1:
                refused.append(handler.headers["Authorization"])
                return handler.answer(401, WWW_Authenticate=f'Bearer realm="http://{r.host}/token",service="berthd",error="invalid_token"')
            return False

        with proxy.Front(r.registry, once_more) as seen:
            ref = r.push("one:v1", [A]).replace(r.host, seen.host)
            r.berth("pull", "--creds", "alice:secret", ref)
            tap.same("refused", 1, len(refused))
            later = [h["authorization"] for h in seen.of("GET", "/blobs/")]
            assert later[-1] != refused[0], "the refused token was used again"


@tap.case("a password is not told to a place for tokens that is not the registry's, unless the configuration names it")
def realm(r):
    told = []

    def token(handler):
        told.append(handler.headers.get("Authorization"))
        return handler.answer(401)

    with proxy.Front(r.registry, token) as service:
        where = f'Bearer realm="http://localhost:{service.port}/token",service="x"'

        def ask(handler):
            return handler.answer(401, WWW_Authenticate=where)

        with proxy.Front(r.registry, ask) as seen:
            p = r.run("pull", "--creds", "me:s3cret", f"{seen.host}/one:v1", check=False)
            tap.same("exit status", 1, p.returncode)
            tap.same("asked without a password", [None], told)
            assert "realms" in p.stderr, p.stderr
            listed = registries(r, {seen.host: {"realms": ["localhost"]}})
            r.run("pull", *listed, "--creds", "me:s3cret", f"{seen.host}/one:v1", check=False)
            tap.same("told when it is listed", registry.basic("me:s3cret"), told[-1])


@tap.case("passwords in the containers' auth.json and docker's config.json, for a host or a repository")
def files(r):
    ref = r.push("team/one:v1", [A])
    with proxy.Password(r.registry, "me", "s3cret") as asking:
        ref = ref.replace(r.host, asking.host)
        home = r.work / "home"
        for place, variables in ((home / ".docker/config.json", {}),
                                 (r.work / "run/containers/auth.json", {"XDG_RUNTIME_DIR": str(r.work / "run")}),
                                 (r.work / "conf/containers/auth.json", {"XDG_CONFIG_HOME": str(r.work / "conf")}),
                                 (r.work / "d/config.json", {"DOCKER_CONFIG": str(r.work / "d")}),
                                 (r.work / "named.json", {"REGISTRY_AUTH_FILE": str(r.work / "named.json")})):
            keep = {k: v for k, v in os.environ.items()
                    if k not in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE")}
            env = {**keep, "HOME": str(home), **variables}
            for key, status in ((asking.host, 0), (f"{asking.host}/team", 0), (f"{asking.host}/other", 1)):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(json.dumps({"auths": {key: entry("me", "s3cret")}}))
                p = r.run("pull", ref, check=False, env=env)
                tap.same(f"{place.relative_to(r.work)} with {key}: {p.stderr}", status, p.returncode)
                forget(r)
            place.unlink()


@tap.case("credential helpers: credHelpers for one host, credsStore for all, and what login stores with them")
def helpers(r):
    ref = r.push("one:v1", [A])
    tools = r.work / "tools"
    tools.mkdir(exist_ok=True)
    program = tools / "docker-credential-test"
    program.write_text(f"""#!/bin/sh
read line
echo "$1 $line" >>{r.work}/helped
case $1 in
get) [ -f {r.work}/kept ] && cat {r.work}/kept || {{ echo "credentials not found in native keychain"; exit 1; }} ;;
store) echo "$line" >{r.work}/kept ;;
erase) rm {r.work}/kept ;;
esac
""")
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    with proxy.Password(r.registry, "me", "s3cret") as asking:
        ref = ref.replace(r.host, asking.host)
        for doc in ({"credHelpers": {asking.host: "test"}}, {"credsStore": "test"}):
            file = auth_file(r, doc)
            args = ("--authfile", str(file))
            tap.same("it knows nothing", 1, r.run("pull", *args, ref, check=False, env=env).returncode)
            r.run("login", *args, "-u", "me", "--password-stdin", asking.host, stdin="s3cret\n", env=env)
            assert "s3cret" not in file.read_text() and entry("me", "s3cret")["auth"] not in file.read_text()
            tap.same("it was given", {"ServerURL": asking.host, "Username": "me", "Secret": "s3cret"},
                     json.loads((r.work / "kept").read_text()))
            r.run("pull", *args, ref, env=env)
            forget(r)
            r.run("logout", *args, asking.host, env=env)
            assert not (r.work / "kept").exists()
        tap.same("another host's helper is not asked", 1,
                 r.run("pull", "--authfile", str(auth_file(r, {"credHelpers": {"x.example": "test"}})), ref, check=False,
                       env=env).returncode)
        p = r.run("pull", "--authfile", str(auth_file(r, {"credsStore": "missing-here"})), ref, check=False, env=env)
        assert "docker-credential-missing-here" in p.stderr, p.stderr


# --- places ---


@tap.case("mirrors: one that is down, one without the image, one with other bytes; then one that has it, and not the registry")
def mirrors(r):
    ref = r.push("lib/one:v1", [A, B])
    lies = []

    def lie(handler):
        if "/blobs/" not in handler.path:
            return False
        status, _, data = handler.ask()
        lies.append(handler.path)
        return handler.answer(status, bytes(reversed(data)))

    with registry.Daemon() as empty, proxy.Front(r.registry, lie) as liar, proxy.Front(r.registry) as mirror, \
            proxy.Front(r.registry) as origin:
        conf = registries(r, {origin.host: {"mirrors": [CLOSED, f"{empty.host}:{empty.port}", liar.host,
                                                        f"http://{mirror.host}/v2/lib"]}})
        r.berth("pull", *conf, ref.replace(r.host + "/lib", origin.host))
        assert lies, "the one with other bytes was not asked"
        tap.same("the registry was not asked", [], origin.asked)
        tap.same("both layers", 2, len(mirror.of("GET", "/v2/lib/one/blobs/")) - 1)
        tap.same("the image's name is the registry's", [f"{origin.host}/one:v1"],
                 [i["name"] for i in json.loads(r.berth("images", "--json"))])


@tap.case("mirrors: if none has it, the registry does; their passwords are not each other's")
def mirror_fails(r):
    ref = r.push("one:v1", [A])
    with proxy.Password(r.registry, "me", "s3cret") as origin, proxy.Password(r.registry, "you", "other") as mirror:
        conf = registries(r, {origin.host: {"mirrors": [mirror.host]}})
        file = auth_file(r, {"auths": {origin.host: entry("me", "s3cret"), mirror.host: entry("you", "wrong")}})
        r.berth("pull", *conf, "--authfile", str(file), ref.replace(r.host, origin.host))
        tap.same("told to the mirror", {None, registry.basic("you:wrong")}, {h.get("authorization") for _, _, h in mirror.asked})
        tap.same("told to the registry", {None, registry.basic("me:s3cret")}, {h.get("authorization") for _, _, h in origin.asked})


@tap.case("a download that was begun with other bytes is begun anew")
def misled(r):
    ref = r.push("one:v1", [B])
    part = r.root / "downloads" / ("sha256-" + registry.sha256(B[1]).split(":")[1])
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"\x1f\x8bno part of it" * 1000)
    r.berth("pull", ref)


# --- certificates ---


@tap.case("HTTPS: a private CA in certs.d, verified; refused without, and with a name that is not in the certificate")
def private_ca(r):
    ca = pki.Authority(r.work / "ca")
    pair = ca.make("server", "DNS:localhost,IP:127.0.0.1")
    other = ca.make("other", "DNS:elsewhere.test")
    home = r.work / "home"
    env = {**os.environ, "HOME": str(home)}
    options = "--tls.certificates=[{certificate: '%s', key: '%s'}]"
    with registry.Daemon(options % pair, ssl=ca.context()) as d:
        plain, r.registry = r.registry, d
        try:
            ref = r.push("one:v1", [A])
        finally:
            r.registry = plain
        p = r.run("pull", "--tls-verify=true", ref, check=False, env=env)
        tap.same("unknown CA", 1, p.returncode)
        assert "certificate" in p.stderr, p.stderr
        place = home / f".config/containers/certs.d/127.0.0.1:{d.port}"
        place.mkdir(parents=True)
        (place / "ca.crt").write_text(pathlib.Path(ca.ca).read_text())
        r.run("pull", "--tls-verify=true", ref, env=env)
    with registry.Daemon(options % other, ssl=ca.context()) as d:
        place.rename(place.parent / f"127.0.0.1:{d.port}")
        p = r.run("pull", "--tls-verify=true", f"127.0.0.1:{d.port}/one:v1", check=False, env=env)
        tap.same("another name", 1, p.returncode)


@tap.case("HTTPS: a client certificate of certs.d is shown to the registry, and not to where it redirects")
def client_certificate(r):
    ca = pki.Authority(r.work / "ca2")
    pair = ca.make("server", "DNS:localhost,IP:127.0.0.1")
    mine = ca.make("mine", "URI:spiffe://x/ci", use="clientAuth")
    context = pki.ssl.SSLContext(pki.ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(ca.ca)
    context.verify_mode = pki.ssl.CERT_OPTIONAL
    shown = []

    def remember(handler):
        shown.append(("store", handler.connection.getpeercert()))
        return False

    with proxy.Front(r.registry, remember, context) as store:
        def redirect(handler):
            shown.append(("registry", handler.connection.getpeercert()))
            if not handler.connection.getpeercert():
                return handler.answer(403)
            return "/blobs/" in handler.path and handler.answer(307, Location=f"https://{store.host}{handler.path}")

        with proxy.Front(r.registry, redirect, context) as seen:
            ref = r.push("one:v1", [A]).replace(r.host, seen.host)
            tap.same("without", 1, r.run("pull", ref, check=False).returncode)
            place = r.work / f"home3/.config/containers/certs.d/{seen.host}"
            place.mkdir(parents=True)
            for name, source in (("ca.crt", ca.ca), ("client.cert", mine[0]), ("client.key", mine[1])):
                (place / name).write_text(pathlib.Path(source).read_text())
            del shown[:]
            r.run("pull", "--tls-verify=true", ref, env={**os.environ, "HOME": str(r.work / "home3")})
            assert all(certificate for who, certificate in shown if who == "registry"), shown
            tap.same("shown elsewhere", [{}, {}], [certificate or {} for who, certificate in shown if who == "store"])


# --- redirects ---


@tap.case("redirects of blobs to another host: followed without Authorization, there and after the way back")
def redirects(r):
    ref = r.push("one:v1", [A, B])
    with proxy.Front(r.registry) as store:
        def ask(handler):
            if handler.headers.get("Authorization") != registry.basic("me:s3cret") and "back=1" not in handler.path:
                return handler.answer(401, WWW_Authenticate='Basic realm="here"')
            return "/blobs/" in handler.path and handler.answer(307, Location=f"http://localhost:{store.port}{handler.path}?sig=1")

        with proxy.Front(r.registry, ask) as seen:
            seen.stripped = ("host", "authorization")
            r.berth("pull", "--creds", "me:s3cret", ref.replace(r.host, seen.host))
            tap.same("blobs from the store", 3, len(store.of("GET", "sig=1")))
            tap.same("Authorization there", [], [h for _, _, h in store.asked if "authorization" in h])
            assert all("cookie" not in h for _, _, h in store.asked)


@tap.case("redirects: without end, to no HTTP, and from HTTPS to HTTP are refused")
def bad_redirects(r):
    ca = pki.Authority(r.work / "ca3")
    context = pki.ssl.SSLContext(pki.ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.make("server", "IP:127.0.0.1"))
    secret = r.work / "secret"
    secret.write_text("secret")
    r.push("one:v1", [A])
    for what, where, tls in (("round and round", None, None), ("a file", f"file://{secret}", None), ("gopher", "gopher://127.0.0.1:1/", None),
                             ("plain HTTP", f"http://{r.host}/v2/one/manifests/v1", context)):
        with proxy.Front(r.registry, lambda h, where=where: h.answer(302, Location=where or h.path), tls) as seen:
            p = r.run("pull", f"{seen.host}/one:v1", check=False)
            tap.same(what, 1, p.returncode)
            assert len(seen.asked) < 10, f"{what}: asked {len(seen.asked)} times"


# --- registries that are ill ---


@tap.case("429 is waited for as Retry-After says, in seconds or as a date; 503 with back-off")
def busy(r):
    ref = r.push("one:v1", [A])
    times = {}

    def ill(handler):
        kind = "manifest" if "/manifests/" in handler.path else "blob"
        seen = times.setdefault(kind if kind == "manifest" else handler.path, [])
        seen.append(time.monotonic())
        if kind == "manifest" and len(seen) == 1:
            return handler.answer(429, Retry_After="2")
        if kind == "manifest" and len(seen) == 2:
            return handler.answer(429, Retry_After=email.utils.formatdate(time.time() + 3, usegmt=True))
        return kind == "blob" and len(seen) < 4 and handler.answer(503)

    with proxy.Front(r.registry, ill) as seen:
        r.berth("pull", ref.replace(r.host, seen.host))
    gaps = {path: [b - a for a, b in zip(t, t[1:])] for path, t in times.items()}
    waits = gaps.pop("manifest")
    assert waits[0] >= 1.9, f"waited {waits[0]} s of 2"
    assert waits[1] >= 1.5, f"waited {waits[1]} s of 3, of which the date's rounding may take one"
    for path, waits in gaps.items():
        tap.same(f"tries for {path}", 3, len(waits))
        assert waits[0] >= 0.15 and waits[1] >= 0.35 and waits[2] >= 0.7, f"no back-off: {waits}"


@tap.case("a registry that stays ill is given up, with what it said")
def gives_up(r):
    with proxy.Front(r.registry, lambda h: h.answer(503, b'{"errors":[{"code":"UNAVAILABLE","message":"back at noon"}]}')) as seen:
        p = r.run("pull", f"{seen.host}/one:v1", check=False)
        tap.same("exit status", 1, p.returncode)
        assert "back at noon" in p.stderr and "503" in p.stderr, p.stderr
        tap.same("tries", 6, len(seen.asked))


@tap.case("a token service that is ill for a moment is asked again")
def ill_service(_):
    with guarded() as r:
        failed = []

        def service(handler):
            return len(failed) < 2 and (failed.append(1) or handler.answer(502))

        with proxy.Front(r.registry, service) as tokens:
            def ask(handler):
                return "authorization" not in {k.lower() for k in handler.headers} and handler.answer(
                    401, WWW_Authenticate=f'Bearer realm="http://{tokens.host}/token",service="berthd"')

            with proxy.Front(r.registry, ask) as seen:
                r.berth("pull", "--creds", "alice:secret", r.push("one:v1", [A]).replace(r.host, seen.host))
        tap.same("failures", 2, len(failed))


@tap.case("connections cut in the middle, again and again: gone on with by Range, no byte is sent twice")
def cuts(r):
    ref = r.push("one:v1", [B])
    sent, piece = [], 700 << 10
    blob = registry.sha256(B[1])

    def cut(handler):
        if blob not in handler.path:
            return False
        status, fields, data = handler.ask()
        sent.append((handler.headers.get("Range"), min(piece, len(data))))
        handler.send_response(status)
        for name, value in fields:
            if name.lower() not in ("connection", "transfer-encoding"):
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data[:piece])
        return len(data) <= piece or close(handler)

    def close(handler):
        handler.close_connection = True
        handler.wfile.flush()
        return True

    with proxy.Front(r.registry, cut) as seen:
        r.berth("pull", ref.replace(r.host, seen.host))
    tap.same("pieces", -(-len(B[1]) // piece), len(sent))
    tap.same("bytes", len(B[1]), sum(n for _, n in sent))
    tap.same("ranges", [None] + [f"bytes={i * piece}-" for i in range(1, len(sent))], [range_ for range_, _ in sent])


@tap.case("a cut download whose redirect is over: asked for where it began")
def expired(r):
    ref = r.push("one:v1", [B])
    blob = registry.sha256(B[1])
    used, asked = set(), []

    def store_says(handler):
        ticket = handler.path.split("ticket=")[1]
        if ticket in used:
            return handler.answer(403, b"expired")
        used.add(ticket)
        status, fields, data = handler.ask()
        handler.send_response(status)
        for name, value in fields:
            if name.lower() in ("content-length", "content-range", "content-type"):
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data[:2 << 20])
        handler.close_connection = True
        return True

    with proxy.Front(r.registry, store_says) as store:
        def redirect(handler):
            if blob not in handler.path:
                return False
            asked.append(handler.path)
            return handler.answer(307, Location=f"http://{store.host}{handler.path}?ticket={len(asked)}")

        with proxy.Front(r.registry, redirect) as seen:
            r.berth("pull", ref.replace(r.host, seen.host))
    tap.same("asked for", 2, len(asked))


@tap.case("a registry that ignores Range sends the whole again, and what is here is not written twice")
def no_range(r):
    ref = r.push("one:v1", [B])
    blob = registry.sha256(B[1])
    answers = []

    def whole(handler):
        if blob not in handler.path:
            return False
        del handler.headers["Range"]
        _, _, data = handler.ask()
        answers.append(1)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data if len(answers) > 1 else data[:1 << 20])
        handler.close_connection = True
        return True

    with proxy.Front(r.registry, whole) as seen:
        r.berth("pull", ref.replace(r.host, seen.host))
    tap.same("answers", 2, len(answers))


@tap.case("more bytes than announced, fewer, and others are refused; nothing stays")
def wrong_bytes(r):
    ref = r.push("one:v1", [B])
    blob = registry.sha256(B[1])
    for what, change in (("more", lambda d: d + b"x"), ("fewer", lambda d: d[:-1]), ("others", lambda d: d[:-1] + bytes([d[-1] ^ 1]))):
        def lie(handler, change=change):
            return blob in handler.path and handler.answer(200, change(handler.ask()[2]))

        with proxy.Front(r.registry, lie) as seen:
            p = r.run("pull", ref.replace(r.host, seen.host), check=False)
            tap.same(what, 1, p.returncode)
            tap.same(f"{what}: images", [], json.loads(r.berth("images", "--json")))
            tap.same(f"{what}: layers", [], os.listdir(r.root / "layers"))
        r.berth("prune")


# --- HTTP/2 ---


@tap.case("HTTP/2 where it is offered: all requests of a pull on few connections, as streams beside each other")
def http2(r):
    if not nginx.is_there():
        raise tap.Skip("no nginx")
    ca = pki.Authority(r.work / "ca4")
    pair = ca.make("server", "DNS:localhost,IP:127.0.0.1")
    ref = r.push("one:v1", [A, B, *(runner.layer({f"f{i}": os.urandom(1 << 20)}) for i in range(4))])
    for version, want in ((True, "HTTP/2.0"), (False, "HTTP/1.1")):
        with nginx.Nginx(r.host, pair, http2=version) as front:
            r.berth("pull", ref.replace(r.host, f"127.0.0.1:{front.port}"))
            lines = front.requests()
        tap.same("versions", {want}, {protocol for protocol, _ in lines})
        assert len(lines) >= 8, lines
        if version:
            tap.same("connections", 1, len({connection for _, connection in lines}))
        forget(r)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP owners of files need root")
        sys.exit(0)
    with runner.Runner() as r:
        tap.main(r, after_each=forget)
