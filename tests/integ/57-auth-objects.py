#!/usr/bin/env python3
"""By whose object a request is judged, and that it is judged by what is done: AUTH-29 and AUTH-33 of the attack list."""
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, one_of, same  # noqa: E402

RULES = ("--access=[{who: alice, repositories: '**', allow: [pull, push, delete]}, {who: bob, repositories: 'home/bob/**', allow: admin}, "
         "{who: carol, repositories: 'home/carol/**', allow: [pull, push, delete]}, {repositories: 'home/**', immutable: 'v*'}, "
         "{who: root, repositories: '**', allow: admin}]")
MINE, THEIRS, SAME = "home/bob/x", "private/a", "private/same"


class World:
    """Of alice private/a:v1, moved once, with a signature and an open session; of bob home/bob/x:v1, which private/same has as well."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-objects-"))
        users = self.work / "users"
        for user in ("alice", "bob", "carol", "root"):
            subprocess.run([r.BERTHD, "user", "add", user, f"--auth.htpasswd={users}", "--cost=5"], input=b"secret", check=True,
                           capture_output=True)
        self.d = d = r.Daemon(RULES, f"--auth.htpasswd={users}", "--gc.enabled=false").start()
        d.user = "alice:secret"
        self.first = self.push(THEIRS, "v1", b"shared", b"only alice's")
        self.second = self.push(THEIRS, "v1", b"shared", b"only alice's, again")
        signature = self.push(THEIRS, None, b"signature", subject=r.descriptor(r.OCI_MANIFEST, self.second))
        self.theirs = [r.sha256(x) for x in (self.first, self.second, signature, b"only alice's", b"only alice's, again")]
        self.session = d.open_session(THEIRS)
        self.push(SAME, "v1", b"shared", b"bob's")
        d.user = "bob:secret"
        self.push(MINE, "v1", b"shared", b"bob's")
        self.before = self.state()

    def push(self, repo, tag, *layers, **more):
        for data in (b"{}", *layers):
            self.d.push_blob(repo, data)
        manifest = json.dumps(r.image(layers=layers, **more)).encode()
        same(f"push {repo}", 201, self.d.put_manifest(repo, tag or r.sha256(manifest), manifest, media=r.OCI_MANIFEST).status)
        return manifest

    def ask(self, method, path, body=None, user="bob", **headers):
        return self.d.request(method, path, body, {"Authorization": r.basic(f"{user}:secret"),
                                                   **{k.replace("_", "-"): v for k, v in headers.items()}})

    def api(self, method, path, body=None, **query):
        text = json.dumps(body) if isinstance(body, dict) else body
        return self.ask(method, f"/api/v1/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else ""), text,
                        Content_Type="application/json" if body is not None else None)

    def state(self):
        """All there is in both repositories, as those see it who may see everything."""
        got = []
        for repo in (MINE, THEIRS):
            got.append(self.ask("GET", f"/v2/{repo}/tags/list", user="root").json()["tags"])
            got.append(self.ask("HEAD", f"/v2/{repo}/manifests/v1", user="root").header("Docker-Content-Digest"))
        got += [self.ask("HEAD", f"/v2/{THEIRS}/{'manifests' if i < 3 else 'blobs'}/{d}", user="root").status
                for i, d in enumerate(self.theirs)]
        got.append(self.ask("GET", "/v2/_catalog", user="root").json()["repositories"])
        return got

    def unchanged(self, what):
        same(f"after {what}", self.before, self.state())

    def close(self):
        self.d.__exit__(None)


@case("AUTH-33 manifests, blobs, referrers and sessions of another repository are not there under one's own name")
def foreign_content(w):
    for digest in w.theirs[:3]:
        for method in ("GET", "HEAD", "DELETE"):
            same(f"{method} manifest", 404, w.ask(method, f"/v2/{MINE}/manifests/{digest}").status)
    for digest in w.theirs[3:]:
        for method in ("GET", "HEAD", "DELETE"):
            same(f"{method} blob", 404, w.ask(method, f"/v2/{MINE}/blobs/{digest}").status)
        a = w.ask("POST", f"/v2/{MINE}/blobs/uploads/?mount={digest}&from={THEIRS}", b"")
        same("a mount of it is an upload", 202, a.status)
        same("which may go", 204, w.ask("DELETE", a.header("Location")).status)
    same("referrers", [], w.ask("GET", f"/v2/{MINE}/referrers/{w.theirs[1]}").json()["manifests"])
    session = w.session.replace(THEIRS, MINE)
    for method, query, body in (("GET", "", None), ("PATCH", "", b"x"), ("PUT", f"?digest={r.sha256(b'x')}", b"x"), ("DELETE", "", None)):
        same(f"{method} session", 404, w.ask(method, session + query, body).status)
        same(f"{method} session where it is", 403, w.ask(method, w.session + query, body).status)
    same("the session is whole", 204, w.ask("GET", w.session, user="alice").status)
    w.unchanged("that")


@case("AUTH-33 administration goes by what is the named repository's own: digests, numbers of history, pages")
def foreign_numbers(w):
    for digest in w.theirs:
        named = f"{MINE}@{digest}"
        same("inspect", 404, w.api("GET", "content", reference=named).status)
        same("rm", 404, w.api("DELETE", "content", reference=named).status)
        same("cp", 404, w.api("POST", "copy", {"from": named, "to": "home/bob/y:v1"}).status)
        one_of("mv", (400, 404), w.api("POST", "move", {"from": named, "to": "home/bob/y"}).status)
        one_of("rollback", (400, 404, 409), w.api("POST", "rollback", {"reference": f"{MINE}:v1", "to": digest}).status)
    theirs = w.d.admin("history", THEIRS)
    for number in {*range(1, 20), *(item["seq"] for item in theirs if "seq" in item)}:
        one_of(f"rollback to {number}", (400, 404, 409), w.api("POST", "rollback", {"reference": f"{MINE}:v1", "to": str(number)}).status)
        for item in w.api("GET", "history", reference=MINE, last=number).json()["items"]:
            same("whose history", MINE, item["repository"])
    w.unchanged("that")


@case("AUTH-33 what an administrator of one repository is shown names no other, whatever they share")
def shared(w):
    for path, query in (("content", {"reference": f"{MINE}:v1"}), ("repositories", {}), ("tags", {"repository": MINE}),
                        ("history", {"reference": MINE})):
        a = w.api("GET", path, **query)
        same(path, 200, a.status)
        same(f"{path} names others", False, b"private" in a.body or any(d.encode() in a.body for d in w.theirs))
        same(f"{path} counts on others", False, b'"unique"' in a.body)
    a = w.ask("GET", f"/api/v1/content?reference={MINE}:v1", user="root")
    same("who may see it is told", ([SAME], 0), (a.json()["repositories"], a.json()["unique"]))


@case("AUTH-33 what may not be named looks the same, there or not")
def not_told(w):
    answers = {(a.status, a.body) for a in (w.api("GET", "content", reference=name) for name in
                                            (f"{THEIRS}:v1", f"{THEIRS}:v9", f"{THEIRS}@{w.theirs[0]}", "nothing/here:v1"))}
    same("one answer", 1, len(answers))
    same("a no", 403, answers.pop()[0])


@case("AUTH-29 what is named twice, in two places, in another form, or cut off is decided on as it is done, or refused")
def two_readings(w):
    mine, theirs = f"{MINE}:v1", f"{THEIRS}:v1"
    for body in (b'{"from": "%s", "from": "%s", "to": "home/bob/y"}', b'{"from": "%s", "FROM": "%s", "to": "home/bob/y"}',
                 b'{"from": "%s", "fr\\u006fm": "%s", "to": "home/bob/y"}', b'{"from": ["%s", "%s"], "to": "home/bob/y"}',
                 b'{"from": "%s\\u0000%s", "to": "home/bob/y"}', b'{"from": "%s", "to": "home/bob/y"}{"from": "%s", "to": "home/bob/z"}'):
        for names in ((mine, theirs), (theirs, mine)):
            same(f"{body}", 400, w.api("POST", "copy", body % tuple(n.encode() for n in names)).status)
    for body in (b"", b"{}", b"null", b'{"from": "%s"' % mine.encode(), b" " * 100_000 + b'{"from": "home/bob/x:v1", "to": "home/bob/y"}'):
        one_of(f"{body[:40]}", (400, 413), w.api("POST", "copy", body).status)
    same("a body and a query", 400, w.api("POST", "copy", {"from": mine, "to": "home/bob/y"}, **{"from": theirs}).status)
    for query in ({"reference": [mine, theirs]}, {"reference": [theirs, mine]}):
        a = w.ask("DELETE", "/api/v1/content?" + urllib.parse.urlencode(query, doseq=True))
        same(f"{query}", 400, a.status)
    w.unchanged("that")
    same("with a method in a field", 200, w.ask("GET", f"/api/v1/content?reference={mine}", X_HTTP_Method_Override="DELETE").status)
    same("a body for what takes none", (403, False), (lambda a: (a.status, b"deleted" in a.body))(
        w.ask("DELETE", f"/api/v1/content?reference={theirs}", json.dumps({"reference": mine}), Content_Type="application/json")))
    w.unchanged("all of it")


@case("AUTH-29 tokens: who asks and for what are read once")
def token_forms(w):
    def post(form, user=None):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return w.d.request("POST", "/token", form, {**headers, "Authorization": r.basic(f"{user}:secret") if user else None})

    asked = f"scope=repository:{THEIRS}:pull"
    as_bob = "grant_type=password&username=bob&password=secret"
    for form in (f"{as_bob}&username=alice&{asked}", f"{as_bob}&{asked}&scope=repository:{MINE}:pull", f"{as_bob}&grant_type=refresh_token"):
        same(form, 400, post(form).status)
    for form, user in ((f"{as_bob}&{asked}", None), (f"{as_bob}&{asked}", "alice")):  # the form says who, not the head beside it
        a = post(form, user)
        same(f"{form} {user}", (200, ""), (a.status, a.json()["scope"]))
    a = w.d.request("POST", f"/token?{asked}&account=alice", as_bob, {"Authorization": None, "Content-Type":
                                                                        "application/x-www-form-urlencoded"})
    same("a query beside the form", (200, ""), (a.status, a.json()["scope"]))
    a = w.ask("GET", f"/token?account=alice&{asked}")
    same("an account that is not who logs in", (200, ""), (a.status, a.json()["scope"]))
    many = "+".join(f"repository:a{i}/b:pull" for i in range(10_000))
    one_of("AUTH-31: 10,000 scopes", (400, 413), post(f"{as_bob}&scope={many}").status)


@case("AUTH-29 a push is judged by every tag and every source that it names")
def push_names(w):
    other = json.dumps(r.image(annotations={"other": "one"})).encode()
    digest = r.sha256(other)
    for user, repo in (("carol", "home/carol/x"),):
        w.d.user = f"{user}:secret"
        w.push(repo, "v1", b"hers")
        w.d.user = "bob:secret"
        for query in ("tag=v1", "tag=new&tag=v1", "tag=v1&tag=new"):
            a = w.ask("PUT", f"/v2/{repo}/manifests/{digest}?{query}", other, user=user, Content_Type=r.OCI_MANIFEST)
            same(f"an immutable tag: {query}", 403, a.status)
        same("and nothing of it is done", ["v1"], w.ask("GET", f"/v2/{repo}/tags/list", user=user).json()["tags"])
        same("nor kept", 404, w.ask("HEAD", f"/v2/{repo}/manifests/{digest}", user=user).status)
        for query in (f"mount={w.theirs[3]}&from={repo}&from={THEIRS}", f"mount={w.theirs[3]}&from={THEIRS}&from={repo}",
                      f"mount={w.theirs[3]}&mount={w.theirs[4]}&from={repo}"):
            one_of(query, (202, 400), w.ask("POST", f"/v2/{repo}/blobs/uploads/?{query}", b"", user=user).status)
        for blob in w.theirs[3:]:
            same("not mounted", 404, w.ask("HEAD", f"/v2/{repo}/blobs/{blob}", user=user).status)
        data = b"one thing"
        for query in (f"digest={r.sha256(data)}&digest={w.theirs[3]}", f"digest={w.theirs[3]}&digest={r.sha256(data)}"):
            one_of(query, (201, 400), w.ask("POST", f"/v2/{repo}/blobs/uploads/?{query}", data, user=user).status)
        same("nor claimed", 404, w.ask("HEAD", f"/v2/{repo}/blobs/{w.theirs[3]}", user=user).status)


w = World()
try:
    tap.main(w)
finally:
    w.close()
