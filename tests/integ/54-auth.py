#!/usr/bin/env python3
"""Who may do what, over HTTP: by the ids of the attack list (AUTH-01..13, 26, 31, 32, 34; TOK).  Others are in 53-tls, 55-ldap, 56-oidc, 57-auth-objects."""
import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import pwd
import random
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import jwt  # noqa: E402
import nginx  # noqa: E402
import pki  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, one_of, same  # noqa: E402

RULES = """access:
  - {who: anonymous, repositories: public/**, allow: pull}
  - {who: alice, repositories: "**", allow: [pull, push, delete]}
  - {who: bob, repositories: "home/${user}/**", allow: [pull, push]}
  - {repositories: "home/**", immutable: "v*"}
"""


class World:
    """Accounts alice:secret and bob:hidden, a configuration file, and what alice has pushed."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-auth-"))
        self.users = self.work / "users"
        self.conf = self.work / "conf"
        self.account("alice", "secret")
        self.account("bob", "hidden")
        self.conf.write_text(RULES)

    def account(self, name, password):
        subprocess.run([r.BERTHD, "user", "add", name, f"--auth.htpasswd={self.users}", "--cost=5"], input=password.encode(),
                       check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def daemon(self, *options, **more):
        with r.Daemon("--config", str(self.conf), f"--auth.htpasswd={self.users}", *options, **more) as d:
            yield d

    @contextlib.contextmanager
    def filled(self, *options, **more):
        with self.daemon(*options, **more) as d:
            d.user = "alice:secret"
            for repo in ("public/a", "private/a"):
                d.push_blob(repo, b"{}")
                same("pushed", 201, d.put_manifest(repo, "v1", r.image()).status)
            d.user = None
            yield d


def token(d, scope, user="alice:secret"):
    a = d.request("GET", f"/token?service=berthd&scope={scope}", headers={"Authorization": r.basic(user)} if user else None)
    same(f"token for {scope}", 200, a.status)
    return a.json()["token"]


def get(d, path, authorization=None, method="GET", body=None):
    return d.request(method, path, body, {"Authorization": authorization} if authorization else None)


@case("AUTH-01: without a login everything that is closed looks the same, whether it is there or not")
def closed(w):
    with w.filled() as d:
        digest = r.sha256(b"{}")
        seen = set()
        for method, path in (("GET", "/v2/private/a/manifests/v1"), ("GET", "/v2/private/a/manifests/v2"),
                             ("GET", "/v2/private/b/manifests/v1"), ("HEAD", "/v2/private/a/manifests/v1"),
                             ("GET", f"/v2/private/a/blobs/{digest}"), ("GET", f"/v2/private/b/blobs/{digest}"),
                             ("GET", "/v2/private/a/tags/list"), ("GET", "/v2/private/b/tags/list"),
                             ("GET", f"/v2/private/a/referrers/{digest}"), ("GET", f"/v2/private/b/referrers/{digest}"),
                             ("POST", "/v2/private/a/blobs/uploads/"), ("PUT", "/v2/public/a/manifests/v1"),
                             ("DELETE", "/v2/public/a/manifests/v1"), ("DELETE", "/v2/private/b/manifests/v1"), ("GET", "/v2/")):
            a = get(d, path, method=method, body=b"" if method in ("POST", "PUT") else None)
            same(f"{method} {path}", 401, a.status)
            same("a challenge", True, (a.header("WWW-Authenticate") or "").startswith("Bearer realm="))
            if method != "HEAD":
                seen.add(a.body)
        same("one answer", 1, len(seen))
        same("what is open is open", 200, get(d, "/v2/public/a/manifests/v1").status)


@case("AUTH-02, 03, 04: credentials that are wrong, malformed, cut off by C or by bcrypt")
def malformed(w):
    long = "p" * 72
    w.account("long", long)
    with w.filled("--auth.throttle.failures=1000") as d:
        good = base64.b64encode(b"alice:secret").decode()
        for value in ("Basic", "Basic ", f"Basic {good[:-2]}", f"Basic {good}x", f"Basic {good},", f"Basic {good}, Basic {good}",
                      "Basic !!!!", "Basic " + base64.b64encode(b"alice").decode(), r.basic("alice:"), r.basic(":secret"),
                      r.basic("Alice:secret"), r.basic("alice:Secret"), r.basic("alice:secret "), r.basic(" alice:secret"),
                      r.basic("alice:secret\0junk"), r.basic("alice\0:secret"), r.basic("alice\0x:secret"), f"Digest {good}",
                      f"Bearer {good}", r.basic(f"long:{long}x"), r.basic(f"long:{long}\0"), good):
            one_of(value[:60], (400, 401), get(d, "/v2/private/a/tags/list", value).status)
        one_of("60 kB", (400, 401, 431), get(d, "/v2/private/a/tags/list", "Basic " + "A" * 60000).status)
        same("scheme in another case", 200, get(d, "/v2/private/a/tags/list", f"bAsIc {good}").status)
        one_of("72 bytes are a password", (200, 403), get(d, "/v2/private/a/tags/list", r.basic(f"long:{long}")).status)
        p = subprocess.run([r.BERTHD, "user", "passwd", "long", f"--auth.htpasswd={w.users}"], input=b"p" * 73, capture_output=True)
        same("more cannot be set", (2, True), (p.returncode, b"72" in p.stderr))


def hashing_s(d, user, times=5):
    """Processor time that a wrong login takes, in seconds: the least of several, so that what else runs does not count."""
    def used():  # of all threads that there are: those that check passwords stay
        return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{d.process.pid}/task").glob("*/schedstat")) / 1e9

    taken = []
    for i in range(times):
        before = used()
        same(user, 401, get(d, "/v2/", r.basic(f"{user}:wrong{i}")).status)
        taken.append(used() - before)
    return min(taken)


@case("AUTH-05: a name that nobody has costs what a wrong password costs")
def same_work(w):
    users = w.work / "slow-users"
    subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}", "--cost=10"], input=b"secret", check=True,
                   capture_output=True)
    with w.daemon(f"--auth.htpasswd={users}", "--auth.throttle.failures=1000") as d:
        known, unknown, odd = (hashing_s(d, name) for name in ("alice", "nobody", "x" * 200))
        print(f"# wrong password {known * 1000:.1f} ms, unknown name {unknown * 1000:.1f} ms, long unknown name {odd * 1000:.1f} ms")
        same("bcrypt is what is measured", True, known > 10 * hashing_s(d, "no\x01name"))  # which cannot be one
        for what, took in (("an unknown name", unknown), ("a long one", odd)):
            same(f"{what} within a factor of 2", True, known / 2 < took < known * 2)


@case("AUTH-07: two Authorization fields are none")
def repeated(w):
    with w.filled() as d:
        good, bad = r.basic("alice:secret"), r.basic("alice:wrong")
        for one, two in ((good, bad), (bad, good), (good, good)):
            got = d.raw(f"GET /v2/private/a/tags/list HTTP/1.1\r\nHost: x\r\nAuthorization: {one}\r\nAuthorization: {two}\r\n"
                        "Connection: close\r\n\r\n".encode())
            one_of("status", (b"400", b"401"), got.split()[1])


@case("AUTH-08, 09: nothing but Authorization says who one is, and no spelling of a path is open")
def elsewhere(w):
    with w.filled() as d:
        for name in ("X-Forwarded-User", "X-Remote-User", "Remote-User", "X-SSL-Client-S-DN", "X-SSL-Client-Verify",
                     "Proxy-Authorization", "Cookie", "X-Authorization", "X-Original-URL", "X-Rewrite-URL"):
            value = r.basic("alice:secret") if "uthoriz" in name else "alice"
            same(name, 401, d.request("GET", "/v2/private/a/tags/list", headers={name: value}).status)
        for path in ("/v2/private/a/tags/list?Authorization=" + good_query(), "/v2//private/a/tags/list", "/v2/public/../private/a/tags/list",
                     "/v2/public/%2e%2e/private/a/tags/list", "/v2/public%2f..%2fprivate/a/tags/list", "//v2/private/a/tags/list",
                     "/V2/private/a/tags/list", "/v2/./private/a/tags/list", "/v2/private/a/tags/list/", "/v2/private/a/tags/list;x",
                     "/v2/private%00/a/tags/list", "/v2/Private/a/tags/list", "/v2/private/a/tags/list%20", "/v2/private\\a/tags/list",
                     "/token/../v2/private/a/tags/list", "/healthz/../v2/private/a/tags/list", "/v2/private/a/tags/list#public",
                     "/v2/public/a/../../private/a/tags/list", "/v2/private/a/tags/list?n=1&x=/public/", "http://x/v2/private/a/tags/list",
                     "/%76%32/private/a/tags/list"):
            a = raw_status(d, path)
            one_of(path, (400, 401, 404), a[0])
            same("no data", False, b'"tags"' in a[1])


def good_query():
    return base64.b64encode(b"alice:secret").decode()


def raw_status(d, path):
    got = d.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return int(got.split()[1]), got


def tree(root):
    return {str(p.relative_to(root)): (s.st_size if stat.S_ISREG((s := p.lstat()).st_mode) else 0) for p in root.rglob("*")
            if not str(p).endswith(("data.mdb", "lock.mdb"))}


@case("AUTH-11: a push by nobody leaves no file, session or row, and two lines")
def noise(w):
    with w.filled() as d:
        d.stop()  # so that what the store notes for itself some time after a push is noted
        d.start()
        before, log = tree(d.root), len(d.log_text().splitlines())
        catalog = get(d, "/v2/_catalog", r.basic("alice:secret")).body
        rows = d.admin("fsck")[-1]["rows"]
        attempts = 0
        for user in (None, "bob:hidden"):
            headers = {"Authorization": r.basic(user)} if user else {}
            for method, path, body in (("POST", "/v2/new/a/blobs/uploads/", b""), ("PUT", "/v2/new/a/manifests/v1", b"{}"),
                                       ("POST", f"/v2/new/a/blobs/uploads/?digest={r.sha256(b'x')}", b"x" * 3_000_000),
                                       ("POST", f"/v2/new/a/blobs/uploads/?mount={r.sha256(b'{}')}&from=private/a", b""),
                                       ("PATCH", "/v2/new/a/blobs/uploads/0b8e0d70-8e65-4b6f-9a31-4e1b1f6f3f10", b"x")):
                attempts += 1
                with contextlib.suppress(OSError):  # it may close while it is sent 3 MB that it does not want
                    one_of(path, (401, 403), d.request(method, path, body, headers).status)
        same("files", before, tree(d.root))
        same("rows", rows, d.admin("fsck")[-1]["rows"])
        same("catalog", catalog, get(d, "/v2/_catalog", r.basic("alice:secret")).body)
        lines = d.log_text().splitlines()[log:]
        same("lines for each", True, sum("ev=audit" in x or "ev=request" in x for x in lines) <= 2 * attempts + 2)
        same("no others", [], [x for x in lines if "ev=audit" not in x and "ev=request" not in x])


@case("AUTH-12: a second account reads, mounts, deletes and sees nothing of the first")
def second(w):
    with w.filled() as d:
        bob, digest = r.basic("bob:hidden"), r.sha256(b"{}")
        for method, path in (("GET", "/v2/private/a/manifests/v1"), ("GET", f"/v2/private/a/blobs/{digest}"),
                             ("DELETE", "/v2/private/a/manifests/v1"), ("DELETE", f"/v2/private/a/blobs/{digest}"),
                             ("PUT", "/v2/private/a/manifests/v1"), ("GET", "/v2/private/nothing/manifests/v1")):
            same(f"{method} {path}", 403, get(d, path, bob, method, b"{}" if method == "PUT" else None).status)
        same("a mount becomes an upload", 202,
             get(d, f"/v2/home/bob/a/blobs/uploads/?mount={digest}&from=private/a", bob, "POST", b"").status)
        same("from anywhere, too", 201,  # public/a has the same blob
             get(d, f"/v2/home/bob/a/blobs/uploads/?mount={digest}", bob, "POST", b"").status)
        d.user = "bob:hidden"
        foreign = r.image(config=b"only in private")
        d.user = "alice:secret"
        d.push_blob("private/a", b"only in private")
        d.user = None
        a = d.request("PUT", "/v2/home/bob/a/manifests/v1", json.dumps(foreign), {"Authorization": bob, "Content-Type": r.OCI_MANIFEST})
        same("a manifest over a blob that is not there", (404, ["MANIFEST_BLOB_UNKNOWN"]) if a.status == 404 else (400, a.codes()),
             (a.status, a.codes()))
        same("the catalog", ["home/bob/a", "public/a"], get(d, "/v2/_catalog", bob).json()["repositories"])


@case("AUTH-10: no account is there that nobody made")
def defaults(w):
    with w.filled("--auth.throttle.failures=1000") as d:
        for name in ("admin", "root", "berth", "berthd", "registry", "docker", "test", "guest", "user", "administrator", "harbor", "oauth2",
                     "token"):
            for password in (name, "", "admin", "password", "changeme", "12345", "Harbor12345"):
                same(f"{name}:{password}", 401, get(d, "/v2/", r.basic(f"{name}:{password}")).status)


@case("a password that is typed is asked for twice and not shown; one from stdin is a line")
def typed(w):
    def talk(*lines, user="dora"):
        fd, end = os.openpty()  # our end of the other side stays open, so that nothing is lost when the program ends
        pid = os.fork()
        if pid == 0:
            os.login_tty(end)
            os.execv(r.BERTHD, [r.BERTHD, "user", "add", user, f"--auth.htpasswd={w.users}", "--cost=5"])

        def read_to(what, seen=b""):
            while not seen.endswith(what):
                if not select.select([fd], [], [], 30)[0]:
                    raise AssertionError(f"{what!r} did not come after {seen!r}")
                seen += os.read(fd, 1024)
            return seen

        seen = b""
        for line in lines:
            seen += read_to(b": ") + b"|"
            same("no core dumps", True, re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{pid}/limits").read_text()) is not None)
            os.write(fd, line.encode() + b"\n")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(end, b"<end>")
        seen += read_to(b"<end>")
        os.close(fd)
        os.close(end)
        return status, seen

    status, seen = talk("typed secret", "typed secret")
    same("added", (0, False, True), (status, b"typed" in seen, b"again" in seen))
    status, seen = talk("one", "two", user="eve")
    same("not the same", (2, True), (status, b"not the same" in seen))
    with w.daemon() as d:
        same("it works", 200, get(d, "/v2/", r.basic("dora:typed secret")).status)
        same("and nobody else was made", 401, get(d, "/v2/", r.basic("eve:one")).status)
    listed = subprocess.run([r.BERTHD, "user", "ls", f"--auth.htpasswd={w.users}"], capture_output=True, text=True, check=True).stdout
    same("listed", True, "dora" in listed.split() and "eve" not in listed.split())
    subprocess.run([r.BERTHD, "user", "rm", "dora", f"--auth.htpasswd={w.users}"], check=True, stdout=subprocess.DEVNULL)


@case("AUTH-13: forty wrong at once are slowed down; the right one from elsewhere is not")
def guessing(w):
    with w.filled("--auth.throttle.wait=1m") as d:
        def guess(i):
            a = get(d, "/v2/", r.basic(f"bob:wrong{i}"))
            return a.status, a.header("Retry-After")

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            got = list(pool.map(guess, range(40)))
        same("what they get", {401, 429}, {s for s, _ in got})
        same("when to come back", True, all(after and int(after) > 0 for s, after in got if s == 429))
        same("hashed at most", True, sum(s == 401 for s, _ in got) <= 10)
        same("the right one has to wait as well, from there", 429,
             get(d, "/v2/", r.basic("bob:hidden")).status)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:  # they are checked once for all
            got = list(pool.map(lambda _: guess(0), range(40)))
        same("one wrong password again and again", {429}, {s for s, _ in got})
        same("has to wait as well", True, all(int(after) > 0 for _, after in got))
        c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=r.WAIT_S, source_address=("127.0.0.2", 0))
        c.request("GET", "/v2/", headers={"Authorization": r.basic("bob:hidden")})
        same("and not from elsewhere", 200, c.getresponse().status)


@case("immutable tags stay: pushed again, deleted, with their manifest; an administrator may")
def immutable(w):
    with w.filled() as d:
        d.user = "bob:hidden"
        d.push_blob("home/bob/x", b"{}")
        same("first", 201, d.put_manifest("home/bob/x", "v1", r.image()).status)
        same("the same again", 201, d.put_manifest("home/bob/x", "v1", r.image()).status)
        other = r.image(annotations={"a": "b"})
        same("moved", 403, d.put_manifest("home/bob/x", "v1", other).status)
        d.user = "alice:secret"
        same("gone", 403, d.request("DELETE", "/v2/home/bob/x/manifests/v1").status)
        digest = r.sha256(json.dumps(r.image()).encode())
        same("gone with its manifest", 403, d.request("DELETE", f"/v2/home/bob/x/manifests/{digest}").status)
        same("others are free", 201, d.put_manifest("home/bob/x", "latest", other).status)
        w.conf.write_text(RULES.replace("allow: [pull, push, delete]", "allow: admin"))
        try:
            d.process.send_signal(signal.SIGHUP)
            r.wait_until("the new rules", lambda: "action=rules" in d.log_text())
            same("an administrator", 202, d.request("DELETE", "/v2/home/bob/x/manifests/v1").status)
        finally:
            w.conf.write_text(RULES)


# --- tokens ---


def b64d(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@case("TOK: mutated headers, payloads and signatures: none is accepted")
def mutations(w):
    rng = random.Random(5)
    with w.filled() as d:
        good = token(d, "repository:private/a:pull")
        header, payload, signature = (b64d(p) for p in good.split("."))
        claims = json.loads(payload)
        jwks = d.request("GET", "/.well-known/jwks.json").json()["keys"][0]
        same("good", 200, get(d, "/v2/private/a/tags/list", f"Bearer {good}").status)
        canary = socket.create_server(("127.0.0.1", 0))
        there = "http://127.0.0.1:%d/keys" % canary.getsockname()[1]
        tried = []
        for alg in ("none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS256", "ES384", "ES512", "PS256", "EdDSA", "ES256K"):
            h = {**json.loads(header), "alg": alg}
            for s in (signature, b"", b"\0" * 64, b"\0" * 32):
                tried.append(f"{jwt.b64(h)}.{jwt.b64(payload)}.{jwt.b64(s)}")
        import hmac
        for secret in (json.dumps(jwks).encode(), b64d(jwks["x"]), b64d(jwks["x"]) + b64d(jwks["y"]), b"", b"secret"):
            body = f"{jwt.b64({**json.loads(header), 'alg': 'HS256'})}.{jwt.b64(payload)}"
            tried.append(f"{body}.{jwt.b64(hmac.new(secret, body.encode(), 'sha256').digest())}")
        for more in ({"jwk": jwks}, {"jku": there}, {"x5u": there}, {"x5c": ["AAAA"]}, {"kid": there}, {"kid": "../../etc/passwd"},
                     {"kid": "' OR 1=1"}, {"kid": ""}, {"kid": 7}, {"kid": None}, {"crit": ["exp"]}, {"b64": False}, {"zip": "DEF"}):
            tried.append(f"{jwt.b64({**json.loads(header), **more})}.{jwt.b64(payload)}.{jwt.b64(signature)}")
        for more in ({"exp": 9999999999}, {"sub": "user:bob"}, {"sub": ""}, {"iss": "x"}, {"aud": "x"}, {"aud": ["berthd"]},
                     {"access": [{"type": "repository", "name": "private/a", "actions": ["*"]}]}):
            tried.append(f"{jwt.b64(header)}.{jwt.b64({**claims, **more})}.{jwt.b64(signature)}")
        tried += [good + ".", "." + good, good + "=", good.replace(".", ". "), good[:-1], good + "A", good.split(".", 1)[1], "." * 65000,
                  "..", ".", good.upper(), good + "." + signature.hex(), f"{jwt.b64(b'[' * 6000)}.{jwt.b64(payload)}.{jwt.b64(signature)}",
                  f"{jwt.b64(header)}.{jwt.b64(b'A' * 61440)}.{jwt.b64(signature)}"]
        for _ in range(3000):
            raw = bytearray(good.encode())
            for _ in range(rng.choice((1, 1, 2, 5))):
                raw[rng.randrange(len(raw))] = rng.choice(b"ABCabc019-_.=+/ ")
            if raw.decode() != good:
                tried.append(raw.decode())
        for _ in range(1500):  # of what is inside
            parts = [bytearray(header), bytearray(payload), bytearray(signature)]
            part = rng.choice(parts)
            part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
            tried.append(".".join(jwt.b64(bytes(p)) for p in parts))
        connection = d.connect()
        for t in tried:
            if t.strip() == good:
                continue
            try:
                a = d.request("GET", "/v2/private/a/tags/list", headers={"Authorization": f"Bearer {t}"}, connection=connection)
            except (http.client.HTTPException, OSError):  # a head that is too long may be answered by the end of the connection
                same("only where it is too long", True, len(t) > 60000)
                connection = d.connect()
                continue
            if a.status not in (400, 401, 431):
                same(f"token {t[:300]}", 401, a.status)
            if a.header("Connection") == "close":
                connection = d.connect()
        print(f"# {len(tried)} tokens")
        with canary:
            same("who asked the addresses in them", [], select.select([canary], [], [], 0)[0])
        same("and the good one", 200, get(d, "/v2/private/a/tags/list", f"Bearer {good}").status)


@case("TOK, AUTH-31: scopes that reach for more get what the rules give, and count for that repository alone")
def scopes(w):
    with w.filled() as d:
        for scope, user, wants in (
                ("repository:private/a:*", "bob:hidden", ""), ("repository:home/bob/a:pull,push,delete,admin", "bob:hidden",
                                                              "repository:home/bob/a:pull,push"),
                ("repository:home/bobby/a:pull", "bob:hidden", ""), ("repository:Home/bob/a:pull", "bob:hidden", ""),
                ("repository:**:pull", "bob:hidden", ""), ("registry:catalog:*", "bob:hidden", ""), ("repository:public/a:pull,push", None,
                                                                                                   "repository:public/a:pull")):
            a = d.request("GET", f"/token?service=berthd&scope={scope}", headers={"Authorization": r.basic(user)} if user else None)
            one_of(scope, (200, 400), a.status)
            if a.status == 200:
                same(scope, wants, a.json()["scope"])
        t = token(d, "repository:private/a:pull")
        same("what it is for", 200, get(d, "/v2/private/a/tags/list", f"Bearer {t}").status)
        same("another repository", 401, get(d, "/v2/public/b/tags/list", f"Bearer {t}").status)
        same("another action", 401, get(d, "/v2/private/a/blobs/uploads/", f"Bearer {t}", "POST", b"").status)
        same("another service", 400, d.request("GET", "/token?service=other&scope=repository:private/a:pull",
                                               headers={"Authorization": r.basic("alice:secret")}).status)
        many = "&".join(f"scope=repository:a{i}/b:pull" for i in range(100))
        one_of("a hundred scopes", (400, 401, 413, 414, 431), d.request("GET", f"/token?service=berthd&{many}").status)


@case("a token ends with the password, the key and the rule that it came from")
def withdrawn(w):
    w.account("carol", "first")
    with w.filled() as d:
        key = subprocess.run([r.BERTHD, "key", "add", "robot", "--repositories=private/**", "--root", str(d.root)],
                             capture_output=True, text=True, check=True).stdout.strip()
        r.wait_until("the key counts", lambda: get(d, "/v2/private/a/tags/list", r.basic(f"robot:{key}")).status == 200)
        t = token(d, "repository:private/a:pull", f"robot:{key}")
        same("its token", 200, get(d, "/v2/private/a/tags/list", f"Bearer {t}").status)
        listed = d.admin("key", "ls")
        same("listed without the secret", [False], [key in json.dumps(x) for x in listed])
        same("nor is it on disk", False, key.split("_")[-1] in (d.root / "auth/keys").read_text())
        d.admin("key", "rm", "robot")
        r.wait_until("the key is gone", lambda: get(d, "/v2/private/a/tags/list", r.basic(f"robot:{key}")).status == 401)
        same("its token is, too", 401, get(d, "/v2/private/a/tags/list", f"Bearer {t}").status)
        log = d.log_text()
        same("told of", True, "action=key.made" in log and "action=key.revoked" in log)
        same("the key is not in the log", False, key in log)
        t = token(d, "repository:public/a:pull", "carol:first")
        same("before", 200, get(d, "/v2/public/a/tags/list", f"Bearer {t}").status)
        subprocess.run([r.BERTHD, "user", "passwd", "carol", f"--auth.htpasswd={w.users}", "--cost=5"], input=b"second", check=True,
                       stdout=subprocess.DEVNULL)
        r.wait_until("after the password changed", lambda: get(d, "/v2/public/a/tags/list", f"Bearer {t}").status == 401)


# --- what is told, and what is not ---


@case("each write that is allowed or denied, failed login, and change of rules is one line with who, where, what and why")
def audited(w):
    for level in ("info", "error"):  # which is about other lines
        audited_at(w, level)


def audited_at(w, level):
    with w.filled(f"--log.level={level}") as d:
        get(d, "/v2/private/a/blobs/uploads/", r.basic("bob:hidden"), "POST", b"")
        get(d, "/v2/private/a/tags/list", r.basic("mallory:topsecret"))
        w.conf.write_text(RULES + "  - {who: bob, repositories: other/**, allow: pull}\n")
        try:
            d.process.send_signal(signal.SIGHUP)
            r.wait_until("rules", lambda: "action=rules" in d.log_text())
        finally:
            w.conf.write_text(RULES)
        lines = [x for x in d.log_text().splitlines() if "ev=audit" in x]

        def find(*words):
            return [x for x in lines if all(f" {word}" in x for word in words)]

        same("a push", 1, len(find("result=allow", "action=push", "who=user:alice", "repository=private/a", "tag=v1", "from=127.0.0.1",
                                   f"digest={r.sha256(json.dumps(r.image()).encode())}", "reason=")))
        same("a push denied", 1, len(find("result=deny", "action=push", "who=user:bob", "repository=private/a", "status=403", "reason=")))
        same("a failed login", 1, len(find("result=deny", "action=login", "who=mallory", "from=127.0.0.1", "reason=")))
        same("the rules", 1, len(find("action=rules")))
        for secret in ("secret", "hidden", "topsecret", "Basic", "Bearer"):
            same(f"{secret} in the log", False, re.search(rf"\b{secret}\b", d.log_text()) is not None)
        for name in ("cmdline", "environ"):
            text = pathlib.Path(f"/proc/{d.process.pid}/{name}").read_bytes()
            same(f"secrets in /proc: {name}", False, b"secret" in text.replace(b"berth-auth", b""))


@case("rules that are no rules stay out; SIGHUP says so and the old ones go on")
def bad_rules(w):
    with w.filled() as d:
        w.conf.write_text("access: [{who: alice}]\n")
        try:
            d.process.send_signal(signal.SIGHUP)
            r.wait_until("told of", lambda: "the old options stay" in d.log_text())
            same("the old ones", 200, get(d, "/v2/private/a/tags/list", r.basic("alice:secret")).status)
        finally:
            w.conf.write_text(RULES)
    for user, repo, action, status in (("alice", "private/a", "push", 0), ("bob", "private/a", "pull", 1), ("bob", "home/bob/a", "push", 0),
                                       ("anonymous", "public/a", "pull", 0), ("bob", "home/bob/a", "fly", 2)):
        p = subprocess.run([r.BERTHD, "check-access", user, repo, action, "--config", w.conf], capture_output=True, text=True)
        same(f"check-access {user} {repo} {action}", status, p.returncode)
        same("why", True, bool(p.stdout if status < 2 else p.stderr))


@case("started by root it is somebody else, confined, and goes on taking changed accounts and keys")
def confined(w):
    if os.geteuid() != 0:
        raise tap.Skip("needs root to become somebody else")
    nobody = pwd.getpwnam("nobody")
    w.work.chmod(0o755)
    w.users.chmod(0o644)
    w.conf.chmod(0o644)
    place = pathlib.Path(tempfile.mkdtemp(prefix="berth-user-"))
    try:
        place.chmod(0o755)
        with w.daemon("--process.user=nobody", root=place / "root") as d:
            status = pathlib.Path(f"/proc/{d.process.pid}/status").read_text()
            same("who", [str(nobody.pw_uid)] * 4, re.search(r"Uid:\s+(.*)", status)[1].split())
            same("root's groups", False, "0" in re.search(r"Groups:(.*)", status)[1].split())
            same("capabilities", 0, int(re.search(r"CapEff:\s+(\S+)", status)[1], 16))
            same("no new privileges", "1", re.search(r"NoNewPrivs:\s+(\d)", status)[1])
            same("no core dumps", True, re.search(r"Max core file size +0 +0 ",
                                                  pathlib.Path(f"/proc/{d.process.pid}/limits").read_text()) is not None)
            same("nobody else of its user looks into it", 0, os.stat(f"/proc/{d.process.pid}/environ").st_uid)
            if not os.environ.get("BERTH_SLOW"):
                same("seccomp", "2", re.search(r"Seccomp:\s+(\d)", status)[1])
            d.user = "alice:secret"
            d.push_blob("private/a", b"{}")
            same("pushed", 201, d.put_manifest("private/a", "v1", r.image()).status)
            same("files are its own, and closed", set(), {str(p) for p in d.root.rglob("*") if p.lstat().st_uid != nobody.pw_uid or
                                                         (p.is_dir() and p.stat().st_mode & 0o077)})
            d.user = None
            key = subprocess.run([r.BERTHD, "key", "add", "robot", "--repositories=private/**", "--root", str(d.root)],
                                 capture_output=True, text=True, check=True).stdout.strip()
            r.wait_until("a key that root made", lambda: get(d, "/v2/private/a/tags/list", r.basic(f"robot:{key}")).status == 200)
            same("root may administer", True, "cycles" in d.admin("gc", "status")[-1])
    finally:
        shutil.rmtree(place)


# --- a proxy in front ---


@case("behind nginx with TLS, on another port and below a path: challenges, tokens, locations and addresses are those of outside")
def proxied(w):
    if not nginx.is_there():
        raise tap.Skip("nginx is not installed")
    ca = pki.Authority(w.work / "proxy-ca")
    pair = ca.make("proxy", "DNS:localhost,IP:127.0.0.1")
    port = nginx.free_port()
    for prefix in ("", "/registry/x"):
        url = f"https://127.0.0.1:{port}{prefix}"
        with w.filled(f"--http.external_url={url}", "--http.trusted_proxies=127.0.0.1") as d, \
                nginx.Nginx(f"127.0.0.1:{d.port}", pair, prefix, port):
            c = http.client.HTTPSConnection("127.0.0.1", port, timeout=r.WAIT_S, context=ca.context())

            def ask(method, path, body=None, **headers):
                c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
                a = c.getresponse()
                return r.Answer(a, a.read())

            a = ask("GET", f"{prefix}/v2/")
            same("challenge", f'Bearer realm="{url}/token",service="berthd"', a.header("WWW-Authenticate"))
            a = ask("GET", f"{prefix}/token?service=berthd&scope=repository:private/p:pull,push", Authorization=r.basic("alice:secret"))
            bearer = f"Bearer {a.json()['token']}"
            a = ask("POST", f"{prefix}/v2/private/p/blobs/uploads/", b"", Authorization=bearer)
            same("location", True, a.header("Location").startswith(f"{prefix}/v2/private/p/blobs/uploads/"))
            at = a.header("Location")
            a = ask("PUT", at + ("&" if "?" in at else "?") + f"digest={r.sha256(b'{}')}", b"{}", Authorization=bearer)
            same("put", (201, f"{prefix}/v2/private/p/blobs/{r.sha256(b'{}')}"), (a.status, a.header("Location")))
            body = json.dumps(r.image())
            a = ask("PUT", f"{prefix}/v2/private/p/manifests/v1", body, Authorization=bearer, Content_Type=r.OCI_MANIFEST)
            same("manifest", 201, a.status)
            same("its location", True, a.header("Location").startswith(f"{prefix}/v2/private/p/manifests/"))
            a = ask("GET", f"{prefix}/v2/private/p/tags/list?n=1", Authorization=bearer, X_Forwarded_For="203.0.113.9")
            same("listed", 200, a.status)
            r.wait_until("the access line", lambda: "/v2/private/p/tags/list" in d.log_text())
            same("whose address is logged", True, "from=127.0.0.1" in d.log_text())
            c.close()
            crane = r.TOP / "build/tools/bin/crane"
            if prefix == "" and crane.exists():
                home = w.work / "home"
                (home / ".docker").mkdir(parents=True, exist_ok=True)
                (home / ".docker/config.json").write_text(json.dumps(
                    {"auths": {f"127.0.0.1:{port}": {"auth": good_query()}}}))
                p = subprocess.run([crane, "manifest", f"127.0.0.1:{port}/private/p:v1"], capture_output=True,
                                   env={**os.environ, "HOME": str(home), "SSL_CERT_FILE": ca.ca})
                same(p.stderr[-300:], 0, p.returncode)
                same("crane's copy", body, p.stdout.decode())


def main():
    w = World()
    try:
        tap.main(w)
    finally:
        shutil.rmtree(w.work, ignore_errors=True)


main()
