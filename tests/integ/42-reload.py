#!/usr/bin/env python3
"""What a reload brings without a restart: quotas, endpoints of events, limits of failed logins, lives of tokens."""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import receiver  # noqa: E402
import registry as r  # noqa: E402
from reloading import Reloading, events  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

KB = 1000
QUICK = ("--events.retry=20ms", "--events.retry_max=200ms", "--events.timeout=1s")


def upload(d, repo, data):
    return d.request("POST", f"/v2/{repo}/blobs/uploads/?digest={r.sha256(data)}", data, {"Content-Type": "application/octet-stream"}).status


def used(d):
    text = d.request("GET", "/metrics").body.decode()
    return [line.split()[-1] for line in text.splitlines() if line.startswith("berthd_quota_used_bytes{")]


def changed(lines, n):
    same(f"changes: {lines}", (n, []), (len(events(lines, "change")), events(lines, "fault") + events(lines, "restart")))


def faults(lines, *texts):
    found = events(lines, "fault")
    same(f"faults: {found}", [True] * len(texts), [any(text in line for line in found) for text in texts])
    same("changes", [], events(lines, "change"))


REPOSITORIES, PUSHES, ALLOWED = 1500, 600, 450  # as many as take a while to count; while they change; of those


def fill(d):
    """Repositories that take their time to count."""
    def some(first):
        c = d.connect()
        for n in range(first, REPOSITORIES, 8):
            d.push_blob(f"fill/{n}", b"x", c)
        c.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(some, range(8)))


@case(f"quotas come, change and go: what was there before counts, and the limit holds exactly while they change beside {PUSHES} pushes, 32 at once")
def quotas(_):
    with Reloading("log: {access: false}\n") as s:
        d = s.d
        fill(d)
        for n in range(5):
            same("without a quota", 201, upload(d, f"team/r{n}", bytes([n]) * KB))
        rule = f'repositories: "team/**", bytes: {(5 + ALLOWED) * KB}'
        changed(s.set(f"quotas: [{{{rule}}}]\n"), 2)
        same("what was there counts", ["5000"], used(d))
        over = threading.Event()

        def reload():
            n = 0
            while not over.is_set():
                n += 1
                s.set(f"quotas: [{{{rule}, warn: {n % 90 + 1}%}}]\n")
            return n

        with concurrent.futures.ThreadPoolExecutor(33) as pool:
            reloads = pool.submit(reload)
            answers = list(pool.map(lambda i: upload(d, f"team/n{i % 3}", os.urandom(KB)), range(PUSHES)))
            over.set()
            print(f"# {reloads.result()} reloads")
        same("got in, and not", (ALLOWED, PUSHES - ALLOWED), (answers.count(201), answers.count(403)))
        same("used", [str((5 + ALLOWED) * KB)], used(d))
        changed(s.set(f'quotas: [{{repositories: "team/**", bytes: {(7 + ALLOWED) * KB}}}, {{repositories: "**", bytes: 1G}}]\n'), 1)
        same("more room", (201, 201, 403), tuple(upload(d, "team/m", c * KB) for c in (b"a", b"b", b"c")))
        same("two rules", [str((7 + ALLOWED) * KB), str((7 + ALLOWED) * KB + REPOSITORIES)], used(d))
        changed(s.set('quotas: [{repositories: "team/**", bytes: 3K}]\n'), 1)
        same("less than is used", 403, upload(d, "team/m", b"d"))
        faults(s.set("quotas: [{repositories: a, bytes: some}]\n"), ":1: quotas, line 1: bytes is")
        same("the old one stays", 403, upload(d, "team/m", b"d"))
        changed(s.set(""), 1)
        same("gone", (201, []), (upload(d, "team/m", b"d" * 900 * KB), used(d)))
        same("counters are right all the while", 0, d.admin("fsck")[-1]["faults"])


def push(d, tag):
    config = json.dumps({"tag": tag}).encode()
    d.push_blob("m", config)
    same("manifest", 201, d.put_manifest("m", tag, r.image(config)).status)


def tags(receiver_):
    """Of pushes, in their order."""
    with receiver_.lock:
        return [e["target"]["tag"] for q in receiver_.accepted for e in q["json"]["events"] if "tag" in e["target"]]


def hears(receiver_, *want):
    r.wait_until(f"{want}", lambda: tags(receiver_)[-len(want):] == list(want))


def endpoints(*list_, more=""):
    return f"events:\n  endpoints: {json.dumps(list_)}\n{more}"


@case("endpoints come, move and go without a restart, and lose nothing; those that stay are not disturbed")
def moves(_):
    broken = threading.Event()
    with receiver.Receiver(lambda n, q: 503 if broken.is_set() else 200) as a, receiver.Receiver() as b, receiver.Receiver() as c, Reloading("", *QUICK) as s:
        d, first, other = s.d, {"name": "ci", "url": a.url}, {"name": "audit", "url": c.url}
        push(d, "v0")
        changed(s.set(endpoints(first, other)), 1)
        push(d, "v1")
        hears(a, "v1")
        hears(c, "v1")
        same("not what was before", (["v1"], ["v1"]), (tags(a), tags(c)))
        broken.set()
        push(d, "v2")
        r.wait_until("a try", lambda: len(a.requests) > len(a.accepted))
        connection = c.connections[-1]
        changed(s.set(endpoints(other, {**first, "url": b.url})), 1)
        hears(b, "v2")
        push(d, "v3")
        hears(b, "v2", "v3")
        hears(c, "v1", "v2", "v3")
        same("the same connection", [True], [x is connection for x in c.connections])
        r.wait_until("counters that go on", lambda: 'berthd_events_delivered_total{endpoint="ci"} 6\n' in d.request("GET", "/metrics").body.decode())
        changed(s.set(endpoints(other)), 1)
        push(d, "v4")
        hears(c, "v4")
        same("gone", ["v2", "v3"], tags(b))
        same("gone", False, 'endpoint="ci"' in d.request("GET", "/metrics").body.decode())
        changed(s.set(endpoints(other, {**first, "url": b.url})), 1)
        hears(b, "v2", "v3", "v4")
        same("each once", (len(set(tags(c))), len(set(tags(b)))), (len(tags(c)), len(tags(b))))


@case("what is wrong with one endpoint changes none, is told with its line, and a secret that cannot be read is")
def all_or_nothing(_):
    with receiver.Receiver() as a, receiver.Receiver() as b, Reloading("", *QUICK) as s:
        d, first, second = s.d, {"name": "ci", "url": a.url}, {"name": "audit", "url": b.url}
        changed(s.set(endpoints(first)), 1)
        faults(s.set(endpoints(second, {**first, "secret": str(s.work / "secret")}, more="list: {page_max: 1}\n")), str(s.work / "secret"))
        faults(s.set(endpoints(second, {**first, "ulr": b.url})), "did you mean", f"{s.conf}:2: ")
        faults(s.set(endpoints(second, {**second, "url": a.url})), "two have the name audit")
        faults(s.set(endpoints(second, more="quotas: [{repositories: a, tags: x}]\n")), "tags is")
        push(d, "v1")
        push(d, "v2")
        hears(a, "v1", "v2")
        same("nobody else", [], b.requests)
        (s.work / "secret").write_text("s3cret")
        changed(s.set(endpoints({**first, "secret": str(s.work / "secret")})), 1)
        push(d, "v3")
        hears(a, "v3")
        same("signed", True, "X-Berth-Signature-256" in a.accepted[-1]["headers"])
        same("what did not come to be left no place", ["ci"], [f.name for f in (d.root / "events").iterdir()])


@case("the wait for another try ends with a reload; time-outs, what is kept and our address change as well")
def settings(_):
    gate, broken = threading.Event(), threading.Event()

    def answer(n, request):
        if broken.is_set():
            return 503
        if not gate.is_set():
            gate.wait(r.WAIT_S)
        return 200

    with receiver.Receiver(answer) as a, Reloading(endpoints({"name": "ci", "url": "http://127.0.0.1:1/"}, more="  retry: 1h\n  retry_max: 1d\n")) as s:
        d = s.d
        push(d, "v1")
        r.wait_until("a try", lambda: "ev=events.failed" in d.log_text())
        more = "  retry: 20ms\n  retry_max: 200ms\n  timeout: 100ms\n"
        changed(s.set(endpoints({"name": "ci", "url": a.url}, more=more)), 4)
        r.wait_until("given up soon, and tried again", lambda: len(a.requests) >= 2)
        gate.set()
        hears(a, "v1")
        changed(s.set(endpoints({"name": "ci", "url": a.url}, more=more + "http: {external_url: \"https://r.example.org\"}\n")), 1)
        push(d, "v2")
        hears(a, "v2")
        same("our address", "https://r.example.org", a.accepted[-1]["json"]["events"][0]["source"]["addr"])
        broken.set()
        push(d, "v3")
        r.wait_until("a failure", lambda: len(a.requests) > len(a.accepted) + 1)
        changed(s.set(endpoints({"name": "ci", "url": a.url}, more="  retry: 1h\n  retry_max: 1d\n  keep: 1s\n")), 5)
        r.wait_until("the end of what is kept", lambda: s.read() or d.log_text().count("ev=events.dropped") == 2)
        broken.clear()
        push(d, "v4")
        hears(a, "v2", "v4")


@case("limits of uploads and of manifests, the lease and the trash change without a restart")
def limits(_):
    with Reloading("uploads: {sessions_max: 2}\ngc: {max_share: 100}\n") as s:
        d = s.d

        def sessions(n):
            return [d.request("POST", "/v2/u/blobs/uploads/", b"").status for _ in range(n)]

        def put(tag, manifest):
            return d.put_manifest("m", tag, manifest).status

        nested = []
        for _ in range(16):
            nested = [nested]
        d.push_blob("m", b"{}")
        sparse = r.index([(r.OCI_MANIFEST, b"absent")])
        same("two", [202, 202, 429], sessions(3))
        same("before", (201, 201), (put("deep", r.image(x=nested)), put("sparse", sparse)))
        changed(s.set("uploads: {sessions_max: 3}\ngc: {max_share: 100}\nmanifest: {json_depth_max: 8, sparse: none}\n"), 3)
        same("three", [202, 429], sessions(2))
        same("not any more", (400, 404), (put("deep2", r.image(x=nested)), put("sparse2", {**sparse, "annotations": {"a": "b"}})))
        changed(s.set("uploads: {idle: 1s}\ngc: {max_share: 100}\n"), 4)
        r.wait_until("idle sessions end", lambda: "berthd_upload_sessions 0\n" in d.request("GET", "/metrics").body.decode())
        d.push_blob("g", b"garbage")
        same("leased", 0, d.admin("gc")[-1]["blobs"])
        changed(s.set("gc: {max_share: 100, lease: 0s}\n"), 2)
        same("collected", 1, d.admin("gc")[-1]["blobs"])
        same("in the trash", True, d.blob_file(r.sha256(b"garbage")).exists())
        changed(s.set("gc: {max_share: 100, lease: 0s}\ntrash: {keep: 0s}\n"), 1)
        d.admin("gc")
        same("gone", False, d.blob_file(r.sha256(b"garbage")).exists())
        same("the store is whole", 0, d.admin("fsck")[-1]["faults"])


class Accounts:
    """A file of accounts, and what lets all of them in."""

    def __init__(self, work):
        self.users = work / "users"
        self.users.unlink(missing_ok=True)
        subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={self.users}", "--cost=5"], input=b"secret", check=True,
                       stdout=subprocess.DEVNULL)

    def conf(self, more):
        return f"access: [{{who: authenticated, repositories: \"**\", allow: [pull, push]}}]\nauth:\n  htpasswd: {self.users}\n{more}"


def statuses(d, password, n, address):
    headers = {"Authorization": r.basic(f"alice:{password}"), "X-Forwarded-For": address}
    return [d.request("GET", "/v2/", headers=headers).status for _ in range(n)]


@case("limits of failed logins change without a restart")
def throttle(work):
    accounts = Accounts(work)
    with Reloading(accounts.conf("  throttle: {failures: 3, wait: 1h, wait_max: 1h}\n"), "--http.trusted_proxies=127.0.0.1") as s:
        d = s.d
        same("three", [401] * 3 + [429], statuses(d, "wrong", 4, "192.0.2.1"))
        changed(s.set(accounts.conf("  throttle: {failures: 5, wait: 1h, wait_max: 1h}\n")), 1)
        same("five", [401] * 5 + [429], statuses(d, "wrong", 6, "192.0.2.2"))
        same("who waits goes on waiting", [429], statuses(d, "secret", 1, "192.0.2.1"))
        faults(s.set(accounts.conf("  throttle: {failures: 9, wait: 1h, wait_max: 30m}\n")), "longer than auth.throttle.wait_max")
        same("five still", [401] * 5 + [429], statuses(d, "wrong", 6, "192.0.2.3"))
        changed(s.set(accounts.conf("  throttle: {failures: 2, wait: 1ms, wait_max: 1ms}\n")), 3)
        statuses(d, "wrong", 4, "192.0.2.4")
        r.wait_until("the end of a short wait", lambda: statuses(d, "secret", 1, "192.0.2.4") == [200])


@case("lives of tokens and of remembered passwords change without a restart; what was given out counts on")
def tokens(work):
    accounts = Accounts(work)
    with Reloading(accounts.conf("")) as s:
        d = s.d

        def token():
            return d.request("GET", "/token?service=berthd&scope=repository:a:pull,push&offline_token=true", headers={"Authorization": r.basic("alice:secret")}).json()

        def counts(t):
            return d.request("POST", "/v2/a/blobs/uploads/", headers={"Authorization": f"Bearer {t['token']}"}).status == 202

        first = token()
        same("preset", 300, first["expires_in"])
        changed(s.set(accounts.conf("  password_cache: 0s\n  tokens: {lifetime: 2m, refresh: 1h, replace_keys: 1d}\n")), 4)
        second = token()
        same("shorter", 120, second["expires_in"])
        same("both count", [True, True], [counts(first), counts(second)])
        form = f"grant_type=refresh_token&service=berthd&client_id=x&refresh_token={first['refresh_token']}"
        a = d.request("POST", "/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
        same("renewed", (200, 120), (a.status, a.json().get("expires_in")))
        faults(s.set(accounts.conf("  tokens: {lifetime: 2h, refresh: 1h}\n")), "shorter than auth.tokens.lifetime")
        same("as before", 120, token()["expires_in"])


with tempfile.TemporaryDirectory(prefix="berth-reload-") as scratch:
    tap.main(pathlib.Path(scratch))
