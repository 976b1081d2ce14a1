#!/usr/bin/env python3
"""What monitoring asks: metrics in both text formats, health, and a Prometheus that scrapes and has our rules."""
import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

RULES = r.TOP / "etc/monitoring/berthd.rules.yml"
DASHBOARD = r.TOP / "etc/monitoring/grafana.json"


def metrics(s, accept=None):
    a = s.request("GET", "/metrics", headers={"Accept": accept} if accept else None)
    same("status", 200, a.status)
    return a


def values(text):
    """Samples by name with labels."""
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}


def push(s, n):
    s.push_blob("m", config := json.dumps({"n": n}).encode())
    same("manifest", 201, s.put_manifest("m", f"t{n}", r.image(config)).status)


@case("what happened is counted: requests by route, method and status, bytes, the store")
def counted():
    with r.Daemon() as s:
        for n in range(3):
            push(s, n)
        s.request("GET", "/v2/m/manifests/none")
        s.request("GET", "/nothing")
        where = s.open_session("m")
        s.request("PATCH", where, b"x" * 1234, {"Content-Type": "application/octet-stream"})
        got = values(metrics(s).body.decode())
        want = {
            'berthd_http_requests_total{route="/v2/{name}/manifests/{reference}",method="PUT",code="201"}': 3,
            'berthd_http_requests_total{route="/v2/{name}/manifests/{reference}",method="GET",code="404"}': 1,
            'berthd_http_requests_total{route="none",method="GET",code="404"}': 1,
            'berthd_http_request_duration_seconds_count{route="/v2/{name}/manifests/{reference}",method="PUT"}': 3,
            'berthd_http_request_body_bytes_total{route="/v2/{name}/blobs/uploads/{id}",method="PATCH"}': 1234,
            "berthd_store_objects": 6, "berthd_store_tags": 3, "berthd_store_repositories": 1, "berthd_upload_sessions": 1,
            "berthd_upload_bytes": 1234,
        }
        same("values", want, {k: got.get(k) for k in want})
        same("a commit", True, got["berthd_commit_changes_total"] >= 6)
        same("their time", got["berthd_commit_batches_total"], got["berthd_commit_duration_seconds_count"])
        same("in buckets", got["berthd_commit_batches_total"], got['berthd_commit_duration_seconds_bucket{le="+Inf"}'])
        same("connections", True, got["berthd_http_connections"] >= 1)


@case("both text formats are as their specifications want them, by promtool and by OpenMetrics' rules")
def formats():
    promtool = shutil.which("promtool")
    with r.Daemon() as s:
        push(s, 1)
        a = metrics(s)
        same("type", "text/plain; version=0.0.4; charset=utf-8", a.header("Content-Type"))
        o = metrics(s, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
        same("type", "application/openmetrics-text; version=1.0.0; charset=utf-8", o.header("Content-Type"))
        text = o.body.decode()
        same("end", True, text.endswith("# EOF\n"))
        families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        same("no family of a counter has the suffix", [], [f for f, t in families.items() if t == "counter" and f.endswith("_total")])
        for name in values(text.replace("# EOF\n", "")):
            base = name.split("{")[0]
            family = next((f for f in families if base == f or base in (f + x for x in ("_total", "_bucket", "_sum", "_count"))), None)
            same(f"the family of {name}", True, family is not None)
            same(f"the suffix of {name}", families[family] == "counter", base.endswith("_total"))
        if not promtool:
            raise tap.Skip("no promtool")
        got = subprocess.run([promtool, "check", "metrics"], input=a.body, capture_output=True, check=False)
        same("promtool", (0, b""), (got.returncode, got.stderr))


@case("an address of its own: metrics and health without login there, and nothing else; the main one has no metrics then")
def own_address():
    with r.Daemon("--metrics.listen=127.0.0.1:0") as s:
        line = s.process.stdout.readline().decode()
        host, port = line.split("//")[1].strip().rsplit(":", 1)
        for path, want in (("/metrics", 200), ("/livez", 200), ("/readyz", 200), ("/startupz", 200), ("/v2/", 404), ("/v2/_catalog", 404)):
            c = http.client.HTTPConnection(host, int(port), timeout=r.WAIT_S)
            c.request("GET", path)
            same(path, want, c.getresponse().status)
            c.close()
        same("not here", 404, s.request("GET", "/metrics").status)
        same("but here", 200, s.request("GET", "/livez").status)


@case("readiness says why not: too little free space")
def readiness():
    with r.Daemon() as s:
        a = s.request("GET", "/readyz")
        same("ready", (200, True), (a.status, b"[+] disk" in a.body))
    with r.Daemon("--health.free_min=1T") as s:
        free = shutil.disk_usage(s.root).free
        if free >= 1 << 40:
            raise tap.Skip("this disk has more than 1 TiB free")
        a = s.request("GET", "/readyz")
        same("not ready", (503, True), (a.status, b"[-] disk" in a.body))
        same("alive", 200, s.request("GET", "/livez").status)


@case("logins by what was brought and what came of it, tokens given out, denials by action")
def logins():
    s = r.Daemon()
    users = s.work / "users"
    subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}"], input="pw\n", text=True, check=True, capture_output=True)
    s.options = (f"--auth.htpasswd={users}", "--access=[{who: alice, repositories: '**', allow: [pull, push]}]")
    with s:
        good, bad = {"Authorization": r.basic("alice:pw")}, {"Authorization": r.basic("alice:wrong")}
        same("nobody", 401, s.request("GET", "/v2/").status)
        same("bad", 401, s.request("GET", "/v2/", headers=bad).status)
        for _ in range(3):
            same("good", 200, s.request("GET", "/v2/", headers=good).status)
        token = s.request("GET", "/token?service=berthd&scope=repository:m:pull,push", headers=good).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        same("token", 404, s.request("GET", "/v2/m/manifests/v1", headers=bearer).status)
        same("no token", 401, s.request("GET", "/v2/m/manifests/v1", headers={"Authorization": "Bearer x"}).status)
        same("denied", 403, s.request("DELETE", "/v2/m/manifests/v1", headers=good).status)
        s.user = "alice:pw"
        got = values(metrics(s).body.decode())
        want = {
            'berthd_auth_results_total{source="password",result="ok"}': 6, 'berthd_auth_results_total{source="password",result="failed"}': 1,
            'berthd_auth_results_total{source="token",result="ok"}': 1, 'berthd_auth_results_total{source="token",result="failed"}': 1,
            'berthd_auth_results_total{source="certificate",result="ok"}': 0,
            "berthd_auth_tokens_issued_total": 1, 'berthd_auth_denials_total{action="delete"}': 1, 'berthd_auth_denials_total{action="push"}': 0,
        }
        same("values", want, {k: got.get(k) for k in want})


@case("a Prometheus scrapes it, loads the rules, and none of them fires; the dashboard asks for metrics that are there")
def prometheus():
    program = shutil.which("prometheus")
    if not program:
        raise tap.Skip("no prometheus")
    endpoint = json.dumps([{"name": "nobody", "url": "http://127.0.0.1:1/"}])
    with r.Daemon(f"--events.endpoints={endpoint}") as s, tempfile.TemporaryDirectory() as work:
        push(s, 1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        conf = pathlib.Path(work) / "prometheus.yml"
        conf.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "berthd", "static_configs": [{"targets": [f"{s.host}:{s.port}"]}]}]}))
        p = subprocess.Popen([program, f"--config.file={conf}", f"--storage.tsdb.path={work}/data",
                              f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def ask(path):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=r.WAIT_S)
            try:
                c.request("GET", path)
                return json.loads(c.getresponse().read())["data"]
            except (OSError, ValueError, KeyError):  # it is not up yet
                return None
            finally:
                c.close()

        def query(text):
            found = ask("/api/v1/query?query=" + urllib.parse.quote(text))
            return found and found["result"]

        try:
            r.wait_until("a scrape", lambda: query("berthd_store_tags == 1"))
            same("up", "1", query('up{job="berthd"}')[0]["value"][1])
            rules = [x for g in ask("/api/v1/rules")["groups"] for x in g["rules"]]
            same("rules", RULES.read_text().count("alert:"), len(rules))
            r.wait_until("the rules to be looked at", lambda: all(
                x["health"] == "ok" for g in ask("/api/v1/rules")["groups"] for x in g["rules"]))
            same("alerts", [], ask("/api/v1/alerts")["alerts"])
            known = set(ask("/api/v1/label/__name__/values"))
            wanted = set(re.findall(r"\b((?:berthd|process)_[a-z_]+)", DASHBOARD.read_text() + RULES.read_text()))
            same("metrics that nobody has", set(), wanted - known)
        finally:
            p.kill()
            p.wait()


if __name__ == "__main__":
    tap.main()
