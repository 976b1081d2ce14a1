#!/usr/bin/env python3
"""Configuration: all that is wrong is told with its place, values say where they come from, and SIGHUP takes all or nothing."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pki  # noqa: E402
import registry as r  # noqa: E402
from reloading import Reloading, events  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

RELOADS = int(os.environ.get("RELOADS", "25"))


def berthd(*words, **environment):
    return subprocess.run([r.BERTHD, *map(str, words)], capture_output=True, text=True, timeout=r.WAIT_S, env={**os.environ, **environment})


def check(w, text, *options, **environment):
    (w / "conf").write_text(text)
    return berthd("check-config", "--config", w / "conf", *options, **environment)


def told(w, p):
    """Line numbers of the file that were complained about, in order."""
    return [int(n) for n in re.findall(rf"^berthd: {re.escape(str(w / 'conf'))}:(\d+): ", p.stderr, re.M)]


# Every kind of mistake once, each with the line that must be named (None: the whole is about no line) and what is said.
WRONG = (
    ("listn: x\n", 1, 'there is no option "listn"; did you mean "listen"?'),
    ("http:\n  drian: 1s\n", 2, 'did you mean "http.drain"?'),
    ("threads: many\n", 1, "it must be a number from 1 to 64"),
    ("threads: 65\n", 1, "it must be a number from 1 to 64"),
    ("log: {level: loud}\n", 1, "it must be one of"),
    ("http: {insecure: 1}\n", 1, "it must be true or false"),
    ("root: [a]\n", 1, "root is no list"),
    ("retention: 5\n", 1, "one list is wanted here"),
    ("root: \"x\n", 2, ""),
    ("http:\n\tdrain: 1s\n", 2, ""),
    ("listen: nowhere\n", 1, "is not ADDRESS:PORT"),
    ("metrics: {listen: \"127.0.0.1:99999\"}\n", 1, "the port must be a number"),
    ("http: {external_url: ftp://x}\n", 1, ""),
    ("\nhttp: {trusted_proxies: 10.0.0.0/99}\n", 2, ""),
    ("access:\n  - {who: alice, repositories: a, allow: fly}\n", 2, '"fly" must be pull, push, delete or admin'),
    ("access:\n  - {who: alice, repositories: a, alow: pull}\n", 2, 'there is no "alow" here; did you mean "allow"?'),
    ("auth:\n  groups:\n    - {name: \"a b\", members: x}\n", 3, "cannot be a group's name"),
    ("retention:\n  - {repositories: a, keep_last: many}\n", 2, ""),
    ("quotas:\n  - {repositories: a, byte: 1G}\n", 2, 'did you mean "bytes"?'),
    ("auth:\n  issuers:\n    - {name: a, issuer: b, audience: c, keys: /nowhere}\n", 3, "/nowhere"),
    ("auth:\n  oidc:\n    - {name: a, issuer: \"http://example.org\", audience: c}\n", 3, ""),
    ("tls:\n  certificates:\n\n    - {certificate: /nowhere, key: /nowhere}\n", 4, "/nowhere"),
    ("tls:\n  certificates:\n    - certificate: /a\n      kye: /b\n", 4, 'did you mean "key"?'),
    ("auth:\n  groups:\n    - name: g\n      member: a\n", 4, 'did you mean "members"?'),
    ("auth:\n  issuers:\n    - name: a\n      issuer: https://b\n      audience: c\n      key_url: https://x\n", 6, 'did you mean "keys_url"?'),
    ("auth:\n  oidc:\n    - name: a\n      issuer: https://b\n      audience: c\n      map:\n        - {group: x}\n", 7, 'did you mean "groups"?'),
    ("access:\n  - who: alice\n    repositories: a\n", 2, "one of allow, deny and immutable must be there"),
    ("retention:\n  - repositories: a\n    keep_lst: 3\n", 3, 'did you mean "keep_last"?'),
    ("quotas:\n  - repositories: a\n    warn: 200%\n", 3, "warn must be a percentage"),
    ("quotas:\n  - repositories: a\n    bytes: 1G\n    bytes: 2G\n", 4, "this name was given before"),
    ("events:\n  endpoints:\n    - name: ci\n      url: https://x\n      secrt: /a\n", 5, 'there is no "secrt" here; did you mean "secret"?'),
    ("events:\n  endpoints:\n    - url: https://x\n", 3, "name must be a text"),
    ("events:\n  endpoints:\n    - url: https://x\n      name: A\n", 4, "a name has letters"),
    ("events:\n  endpoints:\n    - {name: a, url: \"http://x\"}\n", 3, "http:// is for this machine"),
    ("events:\n  endpoints:\n    - {name: a, url: \"https://x\", secret: /nowhere}\n", 3, "/nowhere"),
    ("events:\n  endpoints:\n    - {name: a, url: \"https://x\"}\n    - {name: a, url: \"https://y\"}\n", 3, "two have the name a"),
    ("events:\n  endpoints:\n    - a\n", 3, "must be a structure"),
    ("events:\n  retry: 1h\n", 2, "longer than events.retry_max"),
    ("process: {writable: [here]}\n", 1, "absolute path"),
    ("process: {user: no-such-user}\n", 1, "there is no user no-such-user"),
    ("auth: {htpasswd: /nowhere}\n", 1, "/nowhere"),
    ("auth:\n  ldap:\n    url: gopher://x\n", 3, ""),
    ("auth: {tokens: {service: \"a b\"}}\n", 1, "must be a word"),
    ("auth: {tokens: {realm: \"a b\"}}\n", 1, "must be an address"),
    ("auth: {tokens: {realm: \"https://x\"}}\n", 1, "auth.issuers must say"),
    ("tls:\n  client_ca: /nowhere\n", 2, "/nowhere"),
    ("tls:\n  client_crl: /nowhere\n", 2, "tls.client_crl"),
    ("auth:\n  throttle:\n    wait: 10m\n", 3, "longer than auth.throttle.wait_max"),
    ("auth: {tokens: {lifetime: 1d, refresh: 1h}}\n", 1, "shorter than auth.tokens.lifetime"),
    ("listen: 127.0.0.1:5001\nmetrics: {listen: \"127.0.0.1:5001\"}\n", 2, "the address of listen"),
    ("listen: 0.0.0.0:5000\n", 1, "is not loopback"),
    ("root: credential:x\n", 1, "$CREDENTIALS_DIRECTORY"),
    ("root: credential:../x\n", 1, "names no credential"),
)


@case("each kind of mistake is told with its line, and ends with status 2")
def kinds(w):
    for text, line, message in WRONG:
        p = check(w, text)
        same(f"status for {text!r}: {p.stderr}", 2, p.returncode)
        same(f"line for {text!r}: {p.stderr}", [line], told(w, p))
        same(f"message for {text!r}: {p.stderr}", True, message in p.stderr)
        same("nothing else", "", p.stdout)


@case("all mistakes are told at once, wherever they are: file, lists, environment, command line")
def all_at_once(w):
    p = check(w, "http:\n  drian: 1s\n  ? [a]\n  : b\naccess:\n  - {who: a, repositories: b, allow: fly}\n  - {who: a, repositories: b, allow: pull}\n"
              "  - {who: \"a b\", repositories: b, allow: pull}\nquotas:\n  - {repositories: a, bytes: x}\nthreads: 0\n", "--workers=0", BERTHD_HTTP_DRAIN="soon")
    same("status", 2, p.returncode)
    same(f"lines: {p.stderr}", [2, 3, 6, 8, 10, 11], sorted(told(w, p)))
    same("environment", True, "berthd: BERTHD_HTTP_DRAIN: http.drain is" in p.stderr)
    same("command line", True, "berthd: command line: workers is" in p.stderr)
    same("not more", 8, len(p.stderr.splitlines()))
    q = berthd("serve", "--config", w / "conf", "--root", w / "root", "--workers=0", BERTHD_HTTP_DRAIN="soon")
    same("serve says the same and does not start", (2, p.stderr), (q.returncode, q.stderr))
    same("nothing was made", False, (w / "root").exists())


@case("all that is wrong in one entry is told, each with its line; what is missing is not, where it was misspelt")
def all_in_one(w):
    p = check(w, "events:\n  endpoints:\n    - name: A B\n      ulr: https://x\n      format: xml\n      colour: red\n"
              "    - {name: b, url: \"https://b\", actions: pull}\nauth:\n  oidc:\n    - name: a:b\n      issuer: https://b\n      audience: c\n"
              "      map:\n        - nmae: x\n          groups: \"$x\"\n        - {when: {a: \"\"}}\n      adience: d\n")
    same("status", 2, p.returncode)
    same(f"lines: {p.stderr}", [3, 4, 5, 6, 7, 10, 14, 15, 16, 17], sorted(told(w, p)))
    same("no more", 10, len(p.stderr.splitlines()))


@case("a good one is printed as a file that means the same")
def good(w):
    p = check(w, "http: {drain: 7s}\nretention:\n  - {repositories: \"a/**\", keep_last: 3}\n", "--threads=3")
    same(p.stderr, 0, p.returncode)
    q = check(w, p.stdout)
    same("again", (0, p.stdout), (q.returncode, q.stdout))


@case("show-config says where each value comes from, and hides secrets")
def show(w):
    conf = w / "conf"
    conf.write_text("# first\nhttp:\n  external_url: https://me:hunter2@registry.example.org\n  drain: 3s\nthreads: 3\n")
    p = berthd("show-config", "--config", conf, "--workers=9", "--http.drain=4s", BERTHD_HTTP_MIN_RATE="2K")
    same(p.stderr, 0, p.returncode)
    lines = p.stdout.splitlines()
    for line in (f'http.external_url: "https://********@registry.example.org"  # {conf}:3', f"threads: 3  # {conf}:5", "workers: 9  # command line",
                 "http.drain: 4s  # command line", "http.min_rate: 2K  # BERTHD_HTTP_MIN_RATE", 'listen: "127.0.0.1:5000"  # preset'):
        same(f"{line} in {lines}", True, line in lines)
    same("the password", False, "hunter2" in p.stdout)
    every = json.loads(berthd("show-config", "--json").stdout)
    same("as JSON", {"value": "2", "from": "preset", "reload": False}, every["threads"])
    same("reloads", True, every["access"]["reload"])
    same("as many as are checked", len(re.findall(r"^\s*# ", berthd("check-config").stdout, re.M)), len(every))


@case("credential:NAME is a file in $CREDENTIALS_DIRECTORY, in lists as well")
def credentials(w):
    secrets = w / "credentials"
    secrets.mkdir(exist_ok=True)
    ca = pki.Authority(w / "pki")
    cert, key = ca.make("here", "DNS:localhost")
    shutil.copy(key, secrets / "key")
    (w / "conf").write_text(f"tls:\n  certificates:\n    - {{certificate: {cert}, key: credential:key}}\nhttp: {{insecure: true}}\n")
    p = berthd("check-config", "--config", w / "conf", CREDENTIALS_DIRECTORY=str(secrets))
    same(p.stderr, 0, p.returncode)
    same("the path", True, f'"key": "{secrets}/key"' in p.stdout)
    p = berthd("check-config", "--config", w / "conf", CREDENTIALS_DIRECTORY=str(w))
    same("not there", (2, True), (p.returncode, f"{w}/key" in p.stderr))


@case("SIGHUP takes over what it can, with a line for each change, and names what needs a restart")
def sighup(_):
    with Reloading("manifest: {size_max: 1K}\nlog: {access: true}\n") as s:
        d = s.d
        big = json.dumps(r.image(annotations={"a": "x" * 2000})).encode()
        d.push_blob("a", b"{}")
        same("too large", 413, d.put_manifest("a", "t", big, media=r.OCI_MANIFEST).status)
        lines = s.set("manifest: {size_max: 1M}\nlog: {access: false}\nthreads: 7\nhttp: {external_url: \"https://r.example.org/reg\"}\n"
                      "list: {page_max: 1}\nauth: {workers: 5}\nprocess: {user: \"x://u:pw@y\"}\n")
        same("changes", {'option=manifest.size_max old=1K new=1M', 'option=log.access old=true new=false', 'option=list.page_max old=10000 new=1',
                         'option=http.external_url old="\\x22\\x22" new="\\x22https://r.example.org/reg\\x22"'},
             {line.split(" ev=config.change ")[1] for line in events(lines, "change")})
        same("restart", {"option=threads old=2 new=7", "option=auth.workers old=4 new=5",
                         'option=process.user old="\\x22\\x22" new="\\x22x://********@y\\x22"'},
             {line.split(" ev=config.restart ")[1].split(" msg=")[0] for line in events(lines, "restart")})
        same("level", True, all("level=warn" in line for line in events(lines, "restart")))
        same("the secret", False, "u:pw" in d.log_text())
        a = d.put_manifest("a", "t", big, media=r.OCI_MANIFEST)
        same("not too large", 201, a.status)
        same("external prefix", True, a.header("Location").startswith("/reg/v2/a/manifests/"))
        same("page", 1, len(d.request("GET", "/v2/a/tags/list").json()["tags"]))
        same("no access line", False, "/v2/a/tags/list" in d.log_text())
        lines = s.set("manifest: {size_max: 1M}\nlog: {access: false}\nlist: {page_max: 1}\nhttp: {external_url: \"https://r.example.org/reg\"}\n")
        same("what never counted is as before", [], events(lines, "change") + events(lines, "restart"))


@case("a wrong file changes nothing, and each error is a line; berthd reload says the same to who asks")
def nothing(_):
    with Reloading("list: {page_max: 5}\n") as s:
        lines = s.set("list: {page_max: 1}\nlisten: 5\nhttp: {drian: 1s}\nretention:\n  - {repositories: a, keep_lst: 1}\n")
        faults = events(lines, "fault")
        same(f"faults: {faults}", 2, len(faults))
        for place in (":3: there is no option", ":5: retention"):
            same(f"{place} in {faults}", True, any(f"{s.conf}{place}" in line for line in faults))
        same("changes", [], events(lines, "change"))
        items = s.d.admin("reload", want=1)
        same("told", 2, sum("fault" in i for i in items))
        same("said", True, "nothing was changed" in s.d.admin_error)
        for i in range(3):
            s.d.push_blob("a", b"{}")
            s.d.put_manifest("a", f"t{i}", json.dumps(r.image()).encode(), media=r.OCI_MANIFEST)
        same("page", 3, len(s.d.request("GET", "/v2/a/tags/list").json()["tags"]))
        s.conf.write_text("list: {page_max: 2}\nworkers: 5\n")
        same("told", [{"restart": "workers", "old": "32", "new": "5"}, {"option": "list.page_max", "old": "5", "new": "2"}], s.d.admin("reload"))
        same("page", 2, len(s.d.request("GET", "/v2/a/tags/list").json()["tags"]))
        same("again", [{"restart": "workers", "old": "32", "new": "5"}], s.d.admin("reload"))
        s.conf.unlink()
        same("without its file", True, "fault" in s.d.admin("reload", want=1)[0])
    p = berthd("reload", "--root", "/nowhere")
    same("without a daemon", (1, True), (p.returncode, "no daemon runs" in p.stderr))


@case("rules, retention and certificates come and go without a restart")
def parts(w):
    ca = pki.Authority(w / "pki2")
    users = w / "users"
    subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}", "--cost=5"], input=b"secret", check=True, stdout=subprocess.DEVNULL)
    pairs = [ca.make(f"gen{i}", "DNS:localhost,IP:127.0.0.1") for i in range(2)]

    def conf(pair, allow):
        return (f"auth: {{htpasswd: {users}}}\ntls:\n  certificates:\n    - {{certificate: {pair[0]}, key: {pair[1]}}}\n"
                f"access:\n  - {{who: alice, repositories: \"**\", allow: [{allow}]}}\n")

    with Reloading(conf(pairs[0], "pull, push"), "--gc.lease=0s", "--trash.keep=0s") as s:
        d = s.d
        d.ssl, d.user = ca.context(), "alice:secret"

        def subject():
            out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{d.port}"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            return re.search(r"CN ?= ?(\w+)", out.stdout).group(1)

        d.push_blob("a", b"{}")
        for tag in ("one", "two"):
            same("pushed", 201, d.put_manifest("a", tag, json.dumps(r.image(annotations={"t": tag})).encode(), media=r.OCI_MANIFEST).status)
        same("first", "gen0", subject())
        lines = s.set(conf(pairs[1], "pull") + "gc: {max_share: 100, untagged_keep: 0s}\nretention:\n  - {repositories: a, keep_tags: one}\n")
        same(f"changes: {lines}", 5, len(events(lines, "change")))
        same("second", "gen1", subject())
        same("push", 403, d.request("POST", "/v2/a/blobs/uploads/").status)
        d.admin("gc")
        same("tags", ["one"], d.request("GET", "/v2/a/tags/list").json()["tags"])
        lines = s.set(conf(("/nowhere", pairs[0][1]), "pull, push"))
        same("a certificate that is not there", 1, len(events(lines, "fault")))
        same("so the rules stay as well", 403, d.request("POST", "/v2/a/blobs/uploads/").status)
        lines = s.set("http: {insecure: true}\n")
        same("accounts stay until a restart, and need rules", True, any("no rule of access" in line for line in events(lines, "fault")))


@case(f"{RELOADS} reloads under load: no request is dropped, none fails")
def load(_):
    with Reloading("list: {page_max: 10}\n") as s:
        d = s.d
        d.push_blob("a", b"{}")
        stop, failures, counts = threading.Event(), [], []

        def work(n):
            c, done = d.connect(), 0
            try:
                while not stop.is_set():
                    data = os.urandom(20000)
                    for what, want, answer in (("push", 201, d.push_blob(f"a/{n}", data, connection=c)),
                                               ("tag", 201, d.put_manifest("a", f"t{n}", json.dumps(r.image(annotations={"n": f"{n}.{done}"})).encode(), c, r.OCI_MANIFEST)),
                                               ("list", 200, d.request("GET", "/v2/a/tags/list", connection=c)),
                                               ("pull", 200, d.request("GET", f"/v2/a/{n}/blobs/{r.sha256(data)}", connection=c))):
                        if getattr(answer, "status", want) != want:
                            failures.append((n, what, answer.status, answer.body[:200]))
                    done += 1
            except Exception as e:  # noqa: BLE001 - a connection that broke is what this looks for
                failures.append((n, repr(e)))
            counts.append(done)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for i in range(RELOADS):
            s.set(f"list: {{page_max: {10 + i % 2}}}\nmanifest: {{size_max: {1 + i % 3}M}}\nhttp: {{external_url: \"https://r{i}.example.org\", min_rate: {i}}}\n"
                  f"retention:\n  - {{repositories: \"x{i}/**\", keep_last: {i + 1}}}\n" if i % 5 else "listen: [wrong]\n")
        stop.set()
        for t in threads:
            t.join()
        same("failures", [], failures[:5])
        same("each went on", 8, sum(n > 0 for n in counts))
        same("reloads", RELOADS, d.log_text().count("ev=config.reload"))


work = pathlib.Path(tempfile.mkdtemp(prefix="berth-config-"))
try:
    tap.main(work)
finally:
    shutil.rmtree(work, ignore_errors=True)
