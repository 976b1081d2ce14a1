#!/usr/bin/env python3
"""Events: receivers that fail, hang, restart and die hear of everything at least once, in order per repository."""
import collections
import hashlib
import hmac
import json
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pki  # noqa: E402
import receiver  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

QUICK = ["--events.retry=20ms", "--events.retry_max=200ms", "--events.timeout=1s"]
DISTRIBUTION = "application/vnd.docker.distribution.events.v2+json"


def daemon(*endpoints, options=(), **more):
    return r.Daemon("--events.endpoints=" + json.dumps(list(endpoints)), *QUICK, *options, **more)


def push(s, repo, tag, n):
    config = json.dumps({"repo": repo, "n": n}).encode()
    s.push_blob(repo, config)
    a = s.put_manifest(repo, tag, r.image(config))
    same("manifest", 201, a.status)
    return a.header("Docker-Content-Digest")


def events_of(request):
    """(sequence, repository, action, tag) of each event of a request in either format."""
    body = request["json"]
    if "specversion" in body:
        d = body["data"]
        return [(int(body["sequence"]), d["repository"], d["action"], d.get("tag"), body["id"])]
    return [(int(e["id"].split("-")[0]), e["target"]["repository"], e["action"], e["target"].get("tag"), e["id"]) for e in body["events"]]


def accepted(receiver_):
    with receiver_.lock:
        return [e for request in receiver_.accepted for e in events_of(request)]


def in_order(events):
    """Once those that came again are left out, the events of each repository are in their order."""
    last = collections.defaultdict(int)
    seen = set()
    for seq, repo, _, _, name in events:
        if name not in seen:
            assert seq >= last[repo], f"{name} of {repo} after {last[repo]}"
            last[repo] = seq
        seen.add(name)


def tags(events, action="push"):
    return {(repo, tag) for _, repo, what, tag, _ in events if what == action and tag}


def metric(s, name):
    text = s.request("GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(found.group(1)) if found else None


@case("both formats, of everything that happens: pushes of blobs, manifests and tags, deletions of tags, manifests and blobs")
def formats():
    with receiver.Receiver() as a, receiver.Receiver() as b:
        with daemon({"name": "a", "url": a.url}, {"name": "b", "url": b.url, "format": "cloudevents"},
                    options=["--http.external_url=https://registry.test/base"]) as s:
            digest = push(s, "team/app", "v1", 1)
            config = r.sha256(json.dumps({"repo": "team/app", "n": 1}).encode())
            same("tag", 202, s.request("DELETE", "/v2/team/app/manifests/v1").status)
            same("manifest", 202, s.request("DELETE", f"/v2/team/app/manifests/{digest}").status)
            same("blob", 202, s.request("DELETE", f"/v2/team/app/blobs/{config}").status)
            want = [("push", None), ("push", "v1"), ("delete", "v1"), ("delete", None), ("delete", None)]
            for x in (a, b):
                r.wait_until("events", lambda x=x: len(accepted(x)) >= len(want))
                same("events", want, [(e[2], e[3]) for e in accepted(x)])
        first, second = a.requests[0]["json"]["events"][0], a.requests[1]["json"]["events"][0]
        size = len(json.dumps({"repo": "team/app", "n": 1}))
        same("type", DISTRIBUTION, a.requests[0]["headers"]["Content-Type"])
        same("blob", {"repository": "team/app", "mediaType": "application/octet-stream", "digest": config, "size": size, "length": size,
                      "url": f"https://registry.test/base/v2/team/app/blobs/{config}"}, first["target"])
        same("manifest", (digest, r.OCI_MANIFEST, "v1", f"https://registry.test/base/v2/team/app/manifests/{digest}"),
             tuple(second["target"][k] for k in ("digest", "mediaType", "tag", "url")))
        same("source", "https://registry.test/base", second["source"]["addr"])
        same("type", "application/cloudevents+json; charset=utf-8", b.requests[0]["headers"]["Content-Type"])
        same("no signature without a secret", None, b.requests[0]["headers"].get("X-Berth-Signature-256"))


@case("on one thread as well")
def one_thread():
    with receiver.Receiver(lambda n, q: 500 if n == 1 else 200) as a:
        with daemon({"name": "a", "url": a.url}, options=["--threads=1"]) as s:
            push(s, "m", "v1", 1)
            r.wait_until("events", lambda: ("m", "v1") in tags(accepted(a)))
            in_order(accepted(a))


@case("CloudEvents are events to the library of CloudEvents, and their attributes are right")
def cloudevents():
    python = r.TOP / "build/tools/python/bin/python"
    if not python.exists() or subprocess.run([python, "-c", "import cloudevents"], capture_output=True, check=False).returncode:
        raise tap.Skip("no cloudevents in build/tools/python")
    with receiver.Receiver() as a:
        with daemon({"name": "a", "url": a.url, "format": "cloudevents"}) as s:
            digest = push(s, "m", "v1", 1)
            r.wait_until("events", lambda: len(accepted(a)) >= 2)
        program = """
import json, sys
try:
    from cloudevents.v1.http import from_http
except ImportError:
    from cloudevents.http import from_http
for line in sys.stdin:
    x = json.loads(line)
    e = from_http(x["headers"], x["body"].encode())
    print(json.dumps([e[k] for k in ("specversion", "type", "subject", "partitionkey", "datacontenttype")] + [e.data["digest"]]))
"""
        lines = "".join(json.dumps({"headers": q["headers"], "body": q["body"].decode()}) + "\n" for q in a.requests)
        got = subprocess.run([python, "-c", program], input=lines, capture_output=True, text=True, check=False)
        same("the library", (0, ""), (got.returncode, got.stderr))
        same("manifest", ["1.0", "berth.manifest.put", "m:v1", "m", "application/json", digest], json.loads(got.stdout.splitlines()[1]))


@case("signed by HMAC with the time; a secret that changes counts; what the endpoint asks to be let in with is sent")
def signed():
    with receiver.Receiver() as a:
        s = r.Daemon()
        secret, key = s.work / "secret", s.work / "authorization"
        secret.write_text("s3cret\n")
        key.write_text("Bearer abc\n")
        s.options = ("--events.endpoints=" + json.dumps(
            [{"name": "a", "url": a.url, "secret": str(secret), "authorization": str(key)}]), *QUICK)
        with s:
            push(s, "m", "v1", 1)
            r.wait_until("events", lambda: len(accepted(a)) >= 2)

            def is_signed(request, with_key):
                h = request["headers"]
                text = h["X-Berth-Timestamp"].encode() + b"." + request["body"]
                assert abs(int(h["X-Berth-Timestamp"]) - time.time()) < 300
                return h["X-Berth-Signature-256"] == "sha256=" + hmac.new(with_key, text, hashlib.sha256).hexdigest()

            same("signed", [True, True], [is_signed(q, b"s3cret") for q in a.requests])
            same("let in with", "Bearer abc", a.requests[0]["headers"]["Authorization"])
            secret.write_text("another")

            def another():
                push(s, "m", "v2", len(a.requests))
                return is_signed(a.requests[-1], b"another")

            r.wait_until("the new secret", another)
            same("not in the log", False, "s3cret" in s.log_text() or "Bearer" in s.log_text())


@case("filters: repositories, actions and media types; events that nobody wants hold nothing up")
def filters():
    with receiver.Receiver() as a, receiver.Receiver() as b:
        with daemon({"name": "a", "url": a.url, "repositories": ["team/**"], "actions": "push", "media_types": "application/vnd.oci.image.*"},
                    {"name": "b", "url": b.url, "actions": ["delete"]}) as s:
            for n in range(20):
                push(s, f"other/{n}", "t", n)
            push(s, "team/x", "v1", 1)
            same("tag", 202, s.request("DELETE", "/v2/team/x/manifests/v1").status)
            r.wait_until("events", lambda: accepted(a) and accepted(b))
            r.wait_until("the end", lambda: metric(s, 'berthd_events_waiting_records{endpoint="a"}') == 0)
            same("a", [("team/x", "push", "v1")], [e[1:4] for e in accepted(a)])
            same("b", [("team/x", "delete", "v1")], [e[1:4] for e in accepted(b)])


@case("a receiver that answers 500 and 429, hangs up, sends a redirect, a long answer or none, gets everything in order all the same")
def failing():
    elsewhere = receiver.Receiver()

    def answer(n, request):
        kinds = [500, (429, {"Retry-After": "0"}), None, (302, {"Location": elsewhere.url}), 404, 200, (200, {}, b"x" * 1000000)]
        return kinds[n % len(kinds)]

    with elsewhere, receiver.Receiver(answer) as a:
        with daemon({"name": "a", "url": a.url + "/TOKEN-IN-URL"}) as s:
            want = set()
            for n in range(10):
                for repo in ("x", "y"):
                    push(s, repo, f"t{n}", n)
                    want.add((repo, f"t{n}"))
            r.wait_until("all events", lambda: tags(accepted(a)) >= want)
            in_order(accepted(a))
            same("the log has the name, not the address", (True, False),
                 ("events.failed" in s.log_text(), "TOKEN-IN-URL" in s.log_text()))
            same("failures are counted", True, metric(s, 'berthd_events_failures_total{endpoint="a"}') >= 10)
        same("redirects are not followed", 0, len(elsewhere.requests))


@case("a receiver that hangs is given up after events.timeout, slows no push, and holds up no other endpoint")
def hanging():
    gate = threading.Event()

    def hang(n, request):
        gate.wait(r.WAIT_S)
        return 200

    with receiver.Receiver(hang) as a, receiver.Receiver() as b:
        with daemon({"name": "a", "url": a.url}, {"name": "b", "url": b.url}) as s:
            want = set()
            for n in range(30):
                push(s, "m", f"t{n}", n)
                want.add(("m", f"t{n}"))
            r.wait_until("the other has all", lambda: tags(accepted(b)) == want)
            r.wait_until("it was tried again", lambda: len(a.requests) >= 2)
            same("nothing was delivered", 0, metric(s, 'berthd_events_delivered_total{endpoint="a"}'))
            same("they wait", True, metric(s, 'berthd_events_waiting_records{endpoint="a"}') >= 60)
            gate.set()
            r.wait_until("all events", lambda: tags(accepted(a)) == want)
            in_order(accepted(a))


@case("receiver and berthd killed again and again: every event at least once, in order per repository")
def killed():
    first = receiver.Receiver()
    port, receivers = first.port, [first]
    s = daemon({"name": "a", "url": first.url}, {"name": "b", "url": first.url, "format": "cloudevents"})
    heard, want = [], set()
    try:
        for round_ in range(6):
            s.start()
            for n in range(8):
                repo = f"r{n % 3}"
                push(s, repo, f"t{round_}-{n}", n)
                want.add((repo, f"t{round_}-{n}"))
                if n == 4 and round_ % 2:
                    receivers[-1].close()
            if round_ % 2 == 0:  # it dies in the middle of deliveries as well as before them
                have = len(receivers[-1].accepted)
                r.wait_until("a delivery", lambda have=have: len(receivers[-1].accepted) > have)
            s.kill()
            if round_ % 2:
                receivers.append(receiver.Receiver(port=port))
        s.start()

        def all_of():
            by_format = {True: [], False: []}
            for x in receivers:
                with x.lock:
                    for q in x.accepted:
                        by_format["specversion" in q["json"]] += events_of(q)
            return by_format

        r.wait_until("all events", lambda: all(tags(x) == want for x in all_of().values()))
        heard = all_of()
        for events in heard.values():
            in_order(events)
        same("exit status", 0, s.stop())
    finally:
        s.close()
        for x in receivers:
            if not x.closing.is_set():
                x.close()


@case("the trace of a request is passed on to who is told of what came of it, over a restart, with a span of its own; others have none")
def traced():
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    up = threading.Event()
    with receiver.Receiver(lambda n, q: 200 if up.is_set() else 503) as a, receiver.Receiver() as b:
        s = daemon({"name": "a", "url": a.url}, {"name": "b", "url": b.url, "format": "cloudevents"})
        try:
            s.start()
            s.push_blob("m", b"{}")
            made = s.request("PUT", "/v2/m/manifests/v1", json.dumps(r.image()).encode(),
                             {"Content-Type": r.OCI_MANIFEST, "traceparent": f"00-{trace}-{parent}-01", "tracestate": "x=y"})
            same("manifest", 201, made.status)
            r.wait_until("events", lambda: len(accepted(b)) == 2)
            same("stop", 0, s.stop())
            up.set()
            s.start()
            r.wait_until("events", lambda: len(accepted(a)) == 2)
            for x in (a, b):
                fields = [q["headers"].get("traceparent") for q in x.accepted]
                same("none", None, fields[0])
                same(f"passed on: {fields[1]}", [trace, "01"], fields[1].split("-")[1::2])
            spans = {q["headers"]["traceparent"].split("-")[2] for x in (a, b) for q in x.accepted[1:]} | {parent}
            record = b.accepted[1]["json"]["traceparent"]
            same("spans of their own", 4, len(spans | {record.split("-")[2]}))
            same("the record's", (trace, "traceparent" in b.accepted[0]["json"]), (record.split("-")[1], False))
            same("stop", 0, s.stop())
        finally:
            s.close()


@case("a stop in order loses nothing, be it between two tries or while an answer is awaited, and brings nothing twice")
def stopped():
    mode, gate = {"status": 200}, threading.Event()

    def answer(n, request):
        status = mode["status"]
        if status == "hang":
            gate.wait(r.WAIT_S)
            status = 503
        return status

    with receiver.Receiver(answer) as a:
        s = daemon({"name": "a", "url": a.url}, options=["--events.retry=1h", "--events.retry_max=1d", f"--events.timeout={r.WAIT_S}s"])
        try:
            s.start()
            push(s, "m", "v0", 0)
            r.wait_until("what comes before", lambda: len(accepted(a)) == 2)
            mode["status"] = 503
            push(s, "m", "v1", 1)
            r.wait_until("the wait for another try", lambda: "ev=events.failed" in s.log_text())
            same("stopped between two tries", 0, s.stop())
            mode["status"] = "hang"
            tried = len(a.requests)
            s.start()
            r.wait_until("a request under way", lambda: len(a.requests) > tried)
            same("stopped while it waits for an answer", 0, s.stop())
            mode["status"] = 200
            gate.set()
            s.start()
            r.wait_until("all events", lambda: len(accepted(a)) >= 4)
            same("each once, in order", [(None, 0), ("v0", 0), (None, 1), ("v1", 1)],
                 [(e[3], n // 2) for n, e in enumerate(accepted(a))])
            same("different ones", 4, len({e[4] for e in accepted(a)}))
            same("exit status", 0, s.stop())
        finally:
            s.close()


@case("after a stop in order nothing comes twice; a name that is new hears of what happens next; a rebuild changes nothing")
def positions():
    with receiver.Receiver() as a, receiver.Receiver() as b:
        s = daemon({"name": "a", "url": a.url})
        try:
            s.start()
            push(s, "m", "v1", 1)
            r.wait_until("events", lambda: len(accepted(a)) >= 2)
            same("status", 0, s.stop())
            s.admin("rebuild")
            s.options = ("--events.endpoints=" + json.dumps([{"name": "a", "url": a.url}, {"name": "b", "url": b.url}]), *QUICK)
            s.start()
            push(s, "m", "v2", 2)
            r.wait_until("events", lambda: len(accepted(a)) >= 4 and len(accepted(b)) >= 2)
            names = [e[4] for e in accepted(a)]
            same("each once", len(set(names)), len(names))
            same("new", [("m", "v2")], [e[1:4:2] for e in accepted(b) if e[3]])
            same("status", 0, s.stop())
            s.admin("backup", str(s.work / "copy"))
            same("positions are in a copy", {f.name: f.read_text() for f in (s.root / "events").iterdir()},
                 {f.name: f.read_text() for f in (s.work / "copy/events").iterdir()})
        finally:
            s.close()


@case("an event that is older than events.keep is given up, counted, and the next ones are delivered")
def too_old():
    stuck = threading.Event()
    with receiver.Receiver(lambda n, q: 200 if stuck.is_set() else 503) as a:
        with daemon({"name": "a", "url": a.url}, options=["--events.keep=1s"]) as s:
            push(s, "m", "v1", 1)
            r.wait_until("it is given up", lambda: (metric(s, 'berthd_events_dropped_total{endpoint="a"}') or 0) >= 2)
            stuck.set()
            push(s, "m", "v2", 2)
            r.wait_until("the next", lambda: ("m", "v2") in tags(accepted(a)))
            same("the first", False, ("m", "v1") in tags(accepted(a)))


@case("TLS with an authority of one's own; without it nothing is sent")
def tls():
    import ssl
    with r.Daemon() as s:
        ca = pki.Authority(s.work / "pki")
        pair = ca.make("hook", san="IP:127.0.0.1")
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*pair)
        with receiver.Receiver(ssl=server) as a:
            with daemon({"name": "a", "url": a.url, "ca": ca.ca}, {"name": "b", "url": a.url}) as s2:
                push(s2, "m", "v1", 1)
                r.wait_until("events", lambda: ("m", "v1") in tags(accepted(a)))
                r.wait_until("the other fails", lambda: metric(s2, 'berthd_events_failures_total{endpoint="b"}') > 0)
                same("nothing was delivered", 0, metric(s2, 'berthd_events_delivered_total{endpoint="b"}'))


@case("mistakes in the configuration stop the start, with the line")
def mistakes():
    good = {"name": "a", "url": "http://127.0.0.1:1/"}
    for wrong, text in (({**good, "url": "http://hook.test/"}, "http:// is for this machine"),
                        ({**good, "url": "https://user:word@hook.test/"}, "without a user"),
                        ({**good, "url": "file:///etc/passwd"}, "url must be https"),
                        ({**good, "name": "A/.."}, "a name has letters"),
                        ({**good, "format": "xml"}, "format is"),
                        ({**good, "actions": ["pull"]}, "actions are"),
                        ({**good, "repositories": "a**"}, "the pattern"),
                        ({**good, "secret": "/nowhere/at/all"}, "/nowhere/at/all"),
                        ({**good, "secret": "/dev/null"}, "/dev/null"),
                        ({**good, "colour": "red"}, "colour")):
        s = daemon(wrong)
        try:
            s.start()
        except AssertionError as failure:
            same(f"{wrong}", True, text in str(failure))
        else:
            raise AssertionError(f"{wrong} was taken")
        finally:
            s.close()
    s = daemon(good, good)
    try:
        s.start()
    except AssertionError as failure:
        same("twice", True, "two have the name a" in str(failure))
    else:
        raise AssertionError("two of a name were taken")
    finally:
        s.close()


@case("berthd events: from a number, a time or an age on, by pattern, with and without the daemon; --follow hears at once")
def command():
    with r.Daemon("--list.page_max=10") as s:
        push(s, "m", "v1", 1)
        push(s, "team/x", "v1", 2)
        for running in (True, False):
            got = s.admin("events")
            want = [("m", None), ("m", "v1"), ("team/x", None), ("team/x", "v1")] + ([] if running else [("m", None), ("m", "v2")])
            same("all", want, [(x["repository"], x.get("tag")) for x in got[:-1]])
            same("end", len(want), got[-1]["count"])
            same("pattern", ["team/x"] * 2, [x["repository"] for x in s.admin("events", "team/**")[:-1]])
            same("from a number", [3, 4], [x["seq"] for x in s.admin("events", "--since=3")[:2]])
            same("from a time", [], s.admin("events", "--since=2099-01-01")[:-1])
            same("by age", len(want), len(s.admin("events", "--since=1h")[:-1]))
            s.admin("events", "--since=yesterday", want=1)
            same("says how", True, "number of a record" in s.admin_error)
            if running:
                follower = subprocess.Popen([r.BERTHD, "events", "--follow", "--since=2", "--json", "--root", str(s.root)],
                                            stdout=subprocess.PIPE, text=True)
                same("what was", ["v1", None, "v1"], [json.loads(follower.stdout.readline()).get("tag") for _ in range(3)])
                push(s, "m", "v2", 3)
                same("what comes", None, json.loads(follower.stdout.readline()).get("tag"))
                same("what comes", "v2", json.loads(follower.stdout.readline())["tag"])
                follower.kill()
                follower.wait()
                follower.stdout.close()
                same("stop", 0, s.stop())
        s.admin("events", "--follow", want=1)
        same("nothing to follow", True, "no daemon runs" in s.admin_error)


@case("followers that went away give their places back")
def followers():
    with r.Daemon() as s:
        push(s, "m", "v1", 1)

        def follow():
            return subprocess.Popen([r.BERTHD, "events", "--follow", "--since=1", "--json", "--root", str(s.root)],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def end(p):
            p.kill()
            p.wait()
            p.stdout.close()

        all_ = []

        def one_more():
            p = follow()
            heard = p.stdout.readline()
            if heard:
                all_.append(p)
            else:
                end(p)
            return heard

        for _ in range(3):
            while len(all_) < 4:  # those that ended may still be counted for a moment
                r.wait_until("a place", one_more)
            s.admin("events", "--follow", want=1)
            same("no more", True, "follow the events already" in s.admin_error)
            same("others are served", 2, s.admin("events")[-1]["count"])
            while all_:
                end(all_.pop())


if __name__ == "__main__":
    tap.main()
