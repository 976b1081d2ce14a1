#!/usr/bin/env python3
"""Tokens of others: an OpenID provider (oidc-provider of npm), other token servers; by the ids of the attack list (AUTH-27)."""
import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import jwt  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

MODULES = r.TOP / "build/tools/npm/node_modules"
SIGNIN = pathlib.Path(os.environ.get("SIGNIN", r.TOP / "build/release/tests/lib/signin"))
REDIRECT = "https://reg.test/callback"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
MAP = [{"when": {"project_path": "group/*", "ref_protected": "true"}, "name": "${project_path}", "groups": ["ci", "${groups}"]},
       {"when": {"project_path": "group/unprotected"}, "name": "unprotected"}]
ACCESS = ("--access=[{who: 'oidc:gl:group/ci', repositories: 'ci/**', allow: [pull, push]}, "
          "{who: 'group:team-b', repositories: 'team/**', allow: push}, {who: authenticated, repositories: 'all/**', allow: pull}]")


class Provider:
    """A real one.  start again: the same port is not kept, so each is another issuer."""

    def __init__(self, kid="first", alg="ES256"):
        options = {"kid": kid, "alg": alg, "redirect": REDIRECT, "workloads": ["ci", "unprotected"]}
        self.process = subprocess.Popen(["node", pathlib.Path(__file__).parents[1] / "lib/oidc-provider.mjs", MODULES,
                                         json.dumps(options)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.issuer = self.process.stdout.readline().strip()

    def connect(self):
        return http.client.HTTPConnection(urllib.parse.urlsplit(self.issuer).netloc, timeout=r.WAIT_S)

    def token(self, client="ci", audience="berth"):
        c = self.connect()
        c.request("POST", "/token", f"grant_type=client_credentials&resource=urn:{audience}",
                  {"Authorization": r.basic(f"{client}:{client}-secret"), "Content-Type": "application/x-www-form-urlencoded"})
        return json.load(c.getresponse())["access_token"]

    def entry(self, **more):
        return {"name": "gl", "issuer": self.issuer, "audience": "berth", "map": MAP, **more}

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=r.WAIT_S)
        self.process.stdout.close()


def daemon(*entries, issuers=(), access=ACCESS, **more):
    options = [f"--auth.oidc={json.dumps(entries)}"] if entries else []
    if issuers:
        options.append(f"--auth.issuers={json.dumps(issuers)}")
    return r.Daemon(*options, access, *more.pop("options", ()), **more)


def push(d, repo, authorization):
    return d.request("POST", f"/v2/{repo}/blobs/uploads/?digest={r.sha256(b'x')}", b"x",
                     {"Authorization": authorization, "Content-Type": "application/octet-stream"}).status


def exchange(d, token, scope):
    form = urllib.parse.urlencode({"grant_type": EXCHANGE, "service": "berthd", "scope": scope, "subject_token": token,
                                   "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"})
    return d.request("POST", "/token", form, {"Content-Type": "application/x-www-form-urlencoded"})


@case("a workload's token is exchanged at /token for what the rules give to its claims")
def exchanges(provider):
    with daemon(provider.entry()) as d:
        a = exchange(d, provider.token(), "repository:ci/a:pull,push repository:other/a:pull,push")
        same("exchanged", 200, a.status)
        same("granted", "repository:ci/a:pull,push", a.json()["scope"])
        same("its kind", ("Bearer", "urn:ietf:params:oauth:token-type:access_token"),
             (a.json()["token_type"], a.json()["issued_token_type"]))
        same("it pushes", 201, push(d, "ci/a", f"Bearer {a.json()['token']}"))
        same("nowhere else", 401, push(d, "team/a", f"Bearer {a.json()['token']}"))
        same("a workload without the claim", 200, exchange(d, provider.token("unprotected"), "repository:ci/a:push").status)
        same("has nothing there", "", exchange(d, provider.token("unprotected"), "repository:ci/a:push").json()["scope"])
        same("the token is not in the log", False, provider.token()[:20] in d.log_text())


@case("a provider that signs with EdDSA: its workloads, and people who sign in")
def eddsa(_):
    provider = Provider(alg="EdDSA")
    try:
        token = provider.token()
        same("it does", "EdDSA", json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["alg"])
        with daemon(provider.entry()) as d:
            same("a password", 201, push(d, "ci/a", r.basic(f"ci:{token}")))
            same("exchanged", 200, exchange(d, token, "repository:ci/a:push").status)
            head, payload, signature = token.split(".")
            for bad in (f"{head}.{payload}.{'A' * 86}", f"{head}.{payload}.", f"{head}.{payload[:-4]}{payload[-4:].swapcase()}.{signature}",
                        f"{jwt.b64({'alg': 'none', 'kid': 'first'})}.{payload}.{signature}",
                        f"{jwt.b64({'alg': 'ES256', 'kid': 'first'})}.{payload}.{signature}"):
                same("not its own", 401, exchange(d, bad, "repository:ci/a:push").status)
        if not SIGNIN.exists():
            raise tap.Skip(f"{SIGNIN} is not built")
        with Signin(provider) as s:
            ticket, url = s.begin()
            back = Browser().sign_in(url, "alice")
            same("who", "ok oidc:people:alice@test dev a%20b", s.say(f"finish {back['state']} {ticket} {back['code']}"))
    finally:
        provider.stop()


@case("it is a password for every client's login, and carries its groups")
def password(provider):
    with daemon(provider.entry()) as d:
        same("its own", 201, push(d, "ci/a", r.basic(f"ci:{provider.token()}")))
        same("by group", 201, push(d, "team/a", r.basic(f"whatever:{provider.token()}")))
        same("beyond", 403, push(d, "other/a", r.basic(f"ci:{provider.token()}")))
        crane = r.TOP / "build/tools/bin/crane"
        if not crane.exists():
            raise tap.Skip("crane is not installed")
        with tempfile.TemporaryDirectory() as home:
            login = subprocess.run([crane, "auth", "login", f"127.0.0.1:{d.port}", "-u", "ci", "--password-stdin"],
                                   input=provider.token(), text=True, env={**os.environ, "HOME": home}, capture_output=True)
            same(login.stderr, 0, login.returncode)
            tags = subprocess.run([crane, "ls", f"127.0.0.1:{d.port}/ci/a"], text=True, env={**os.environ, "HOME": home},
                                  capture_output=True)
            same("what crane says", True, "NAME_UNKNOWN" in tags.stderr or tags.returncode == 0)


@case("AUTH-27: other audience, other issuer, no rule, a slash more")
def refused(provider):
    with daemon(provider.entry()) as d:
        same("for somebody else", 401, exchange(d, provider.token(audience="other"), "repository:ci/a:push").status)
        same("as a bearer's", 401, push(d, "ci/a", f"Bearer {provider.token()}"))
        same("none", 401, exchange(d, "a.b.c", "repository:ci/a:push").status)
        same("empty", 401, exchange(d, "", "repository:ci/a:push").status)
    with daemon(provider.entry(map=[{"when": {"project_path": "elsewhere/*"}}])) as d:
        same("no rule is for it", 401, exchange(d, provider.token(), "repository:ci/a:push").status)
    with daemon(provider.entry(issuer=provider.issuer + "/")) as d:
        same("an issuer with a slash is another", 401, exchange(d, provider.token(), "repository:ci/a:push").status)
    with daemon(provider.entry(map=[{"name": "${nothing}"}])) as d:
        same("a claim that is not there", 401, exchange(d, provider.token(), "repository:ci/a:push").status)


class Keys:
    """Serves a key set and what a provider says about itself; counts who asks."""

    def __init__(self):
        self.asked = 0
        self.answer = b""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                body = outer.answer
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def claims(**more):
    now = int(time.time())
    return {"iss": "https://git.test", "aud": "berth", "sub": "deploy", "iat": now, "nbf": now, "exp": now + 300, **more}


def access(*grants):
    return [{"type": "repository", "name": name, "actions": actions.split(",")} for name, actions in grants]


@case("AUTH-27: 10,000 tokens with keys that nobody knows make one request a minute; an endless key set is cut off")
def unknown_keys(_):
    with tempfile.TemporaryDirectory() as work, Keys() as keys:
        good, other = jwt.RsaKey(work, "good"), jwt.RsaKey(work, "other")
        keys.answer = jwt.key_set(good).encode()
        entry = {"name": "git", "issuer": "https://git.test", "audience": "berth", "keys_url": keys.url}
        with daemon(issuers=[entry]) as d:
            same("good", 201, push(d, "a/b", f"Bearer {good.sign(claims(access=access(('a/b', 'push'))))}"))
            before = keys.asked
            body = other.sign(claims(access=access(("a/b", "push"))))
            rest = body.split(".", 1)[1]
            c = d.connect()
            for i in range(10000):
                made = jwt.b64({"alg": "RS256", "typ": "JWT", "kid": f"kid{i}"}) + "." + rest
                a = d.request("GET", "/v2/a/b/tags/list", headers={"Authorization": f"Bearer {made}"}, connection=c)
                if a.status != 401:
                    same(f"token {i}", 401, a.status)
            same("requests for keys", True, keys.asked - before <= 1)
            same("still", 201, push(d, "a/b", f"Bearer {good.sign(claims(access=access(('a/b', 'push'))))}"))
        keys.answer = b"{\"keys\":[" + b" " * (2 << 20)
        with daemon(issuers=[entry]) as d:
            same("too long a set", 503, push(d, "a/b", f"Bearer {good.sign(claims(access=access(('a/b', 'push'))))}"))


@case("another token server: what its tokens grant is allowed, whatever its other words; a deny of ours wins")
def outside(_):
    with tempfile.TemporaryDirectory() as work:
        key, other = jwt.RsaKey(work, "k"), jwt.RsaKey(work, "k2")
        path = pathlib.Path(work) / "keys.json"
        path.write_text(jwt.key_set(key))
        entry = {"name": "git", "issuer": "https://git.test", "audience": "berth", "keys": str(path)}
        rules = "--access=[{who: 'issuer:git:deploy', repositories: 'locked/**', deny: push}]"

        def status(token, repo="a/b"):
            return push(d, repo, f"Bearer {token}")

        grants = access(("a/b", "pull,push"), ("locked/x", "push"))
        with daemon(issuers=[entry], access=rules) as d:
            same("granted", 201, status(key.sign(claims(access=grants))))
            same("anonymous subject", 201, status(key.sign(claims(sub="", access=grants))))
            same("a list of audiences", 201, status(key.sign(claims(aud=["x", "berth"], access=grants))))
            same("not granted: another token may be for it", 401, status(key.sign(claims(access=grants)), "c/d"))
            same("denied here", 401, status(key.sign(claims(access=grants)), "locked/x"))
            same("admin is not for the asking", 401, status(key.sign(claims(access=access(("a/b", "pull"))))))
            for what, token in {
                "another key": other.sign(claims(access=grants)), "under the known kid": other.sign(claims(access=grants), kid="k"),
                "none": key.sign(claims(access=grants), alg="none"), "its own key": other.sign(claims(access=grants), jwk=other.jwk()),
                "another audience": key.sign(claims(aud="other", access=grants)),
                "another issuer": key.sign(claims(iss="https://evil.test", access=grants)),
                "ended": key.sign(claims(exp=int(time.time()) - 120, access=grants)),
                "not yet": key.sign(claims(nbf=int(time.time()) + 600, access=grants)),
                "without an end": key.sign({k: v for k, v in claims(access=grants).items() if k != "exp"}),
                "a demand": key.sign(claims(access=grants), crit=["x"]),
                "access of another form": key.sign(claims(access="all")),
            }.items():
                same(what, 401, status(token))
            path.write_text(jwt.key_set(other))
            r.wait_until("the new key counts", lambda: status(other.sign(claims(access=grants))) == 201)
            same("the old one no more", 401, status(key.sign(claims(access=grants))))


@case("clients are sent to another token server and come back with its tokens")
def realm(_):
    with tempfile.TemporaryDirectory() as work:
        users = pathlib.Path(work) / "users"
        subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}", "--cost=5"], input=b"secret", check=True,
                       stdout=subprocess.DEVNULL)
        rules = "--access=[{who: alice, repositories: 'a/**', allow: [pull, push]}]"
        with r.Daemon(f"--auth.htpasswd={users}", rules, "--auth.tokens.service=main") as server:
            at = f"http://{server.host}:{server.port}"
            entry = {"name": "main", "issuer": "main", "audience": "main", "keys_url": at + "/.well-known/jwks.json"}
            with daemon(issuers=[entry], access="--access=[]", options=[f"--auth.tokens.realm={at}/token", "--auth.tokens.service=main",
                                                                       "--auth.tokens.enabled=false"]) as d:
                a = d.request("GET", "/v2/")
                same("challenge", f'Bearer realm="{at}/token",service="main"', a.header("WWW-Authenticate"))
                oras = r.TOP / "build/tools/bin/oras"  # crane refuses a realm elsewhere on this machine
                if not oras.exists():
                    raise tap.Skip("oras is not installed")

                def run(repo):
                    return subprocess.run([oras, "push", "--plain-http", f"127.0.0.1:{d.port}/{repo}:1", "-u", "alice", "-p", "secret",
                                           "users"], cwd=work, env={**os.environ, "HOME": work}, capture_output=True, text=True)

                done = run("a/b")
                same(done.stderr[-500:], 0, done.returncode)
                same("beyond the rule there", 1, run("c/d").returncode)


# --- people ---


class Browser:
    """Follows a sign-in at the provider as somebody would, up to where it sends the browser back to us."""

    def __init__(self):
        self.cookies = {}

    def go(self, url, form=None):
        parts = urllib.parse.urlsplit(url)
        c = http.client.HTTPConnection(parts.netloc, timeout=r.WAIT_S)
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        c.request("POST" if form is not None else "GET", parts.path + ("?" + parts.query if parts.query else ""), form, headers)
        response = c.getresponse()
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                key, rest = value.split(";")[0].split("=", 1)
                self.cookies[key] = rest
        return response, response.read().decode(errors="replace")

    def sign_in(self, url, name):
        base = url
        for _ in range(12):
            response, body = self.go(base)
            while response.status in (302, 303):
                base = urllib.parse.urljoin(base, response.getheader("Location"))
                if base.startswith(REDIRECT):
                    return {k: v[0] for k, v in urllib.parse.parse_qs(urllib.parse.urlsplit(base).query).items()}
                response, body = self.go(base)
            prompt = re.search(r'name="prompt" value="(\w+)"', body)
            action = re.search(r'action="([^"]+)"', body)
            if not prompt or not action:
                raise AssertionError(f"the provider says {response.status}: {body[:500]}")
            base = urllib.parse.urljoin(base, action[1])
            form = {"login": f"prompt=login&login={name}&password=x", "consent": "prompt=consent"}[prompt[1]]
            response, body = self.go(base, form)
            base = urllib.parse.urljoin(base, response.getheader("Location"))
        raise AssertionError("no end of it")


class Signin:
    def __init__(self, provider, entry=None, secret="hush"):
        entry = entry or {"name": "people", "issuer": provider.issuer, "audience": "berth",
                          "map": [{"when": {"email_verified": "true"}, "name": "${email}", "groups": "${groups}"}]}
        self.process = subprocess.Popen([SIGNIN, json.dumps(entry), REDIRECT, secret], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def begin(self):
        return self.say("begin").split(" ", 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=r.WAIT_S)
        self.process.stdout.close()


@case("people: a sign-in by code, PKCE, nonce and state, once, in the browser that began")
def people(provider):
    if not SIGNIN.exists():
        raise tap.Skip(f"{SIGNIN} is not built")
    with Signin(provider) as s:
        ticket, url = s.begin()
        query = {k: v[0] for k, v in urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).items()}
        same("the challenge", ("S256", 43), (query["code_challenge_method"], len(query["code_challenge"])))
        back = Browser().sign_in(url, "alice")
        same("who", "ok oidc:people:alice@test dev a%20b", s.say(f"finish {back['state']} {ticket} {back['code']}"))
        same("not again", True, s.say(f"finish {back['state']} {ticket} {back['code']}").startswith("login"))
        ticket, url = s.begin()
        back = Browser().sign_in(url, "mallory")
        same("an address that nobody verified", True, s.say(f"finish {back['state']} {ticket} {back['code']}").startswith("login"))


@case("AUTH-27: state, ticket, code and verifier of another sign-in")
def mixed_up(provider):
    if not SIGNIN.exists():
        raise tap.Skip(f"{SIGNIN} is not built")
    with Signin(provider) as s:
        first, url1 = s.begin()
        second, url2 = s.begin()
        one, two = Browser().sign_in(url1, "alice"), Browser().sign_in(url2, "bob")
        refused = s.say(f"finish {one['state']} {second} {one['code']}")
        same("another browser's ticket", True, refused.startswith("login"))
        same("used up by that", True, s.say(f"finish {one['state']} {first} {one['code']}").startswith("login"))
        same("a code with another's verifier", True,
             s.say(f"finish {two['state']} {second} {one['code']}").startswith("away"))
        third, url3 = s.begin()
        three = Browser().sign_in(url3, "bob")
        same("no code", True, s.say(f"finish {three['state']} {third} ").startswith("away"))
        same("no state", True, s.say(f"finish  {third} {three['code']}").startswith("login"))
    with Signin(provider, secret="wrong") as s:
        ticket, url = s.begin()
        back = Browser().sign_in(url, "alice")
        same("a wrong secret of ours", True, s.say(f"finish {back['state']} {ticket} {back['code']}").startswith("away"))


@case("a provider that is away: what its keys signed counts on, and is refused only without any")
def away(_):
    provider = Provider("gone")
    token = provider.token()
    with daemon(provider.entry()) as d:
        same("while it is there", 200, exchange(d, token, "repository:ci/a:push").status)
        provider.stop()
        same("when it is gone", 200, exchange(d, token, "repository:ci/a:push").status)
    with daemon(provider.entry()) as d:
        same("never seen", 503, exchange(d, token, "repository:ci/a:push").status)


def main():
    if not shutil.which("node") or not (MODULES / "oidc-provider").exists():
        print("1..0 # SKIP node or oidc-provider is not installed (etc/deps/npm-tools.sh build/tools)")
        return
    provider = Provider()
    try:
        tap.main(provider)
    finally:
        provider.stop()


main()
