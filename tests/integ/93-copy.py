#!/usr/bin/env python3
"""berth copy and inspect docker://: images from registry to registry, and a look at them where they are."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import distribution  # noqa: E402
import proxy  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

A = runner.layer({"a": b"first"})
BIG = runner.layer({"big": os.urandom(24 << 20)}, compress=False)
MEASURE = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""
SIGNATURE = "application/vnd.example.signature"


def host_of(daemon):
    return f"{daemon.host}:{daemon.port}"


def get(daemon, repo, reference):
    return daemon.request("GET", f"/v2/{repo}/manifests/{reference}",
                          headers={"Accept": ", ".join((registry.OCI_MANIFEST, registry.OCI_INDEX, registry.DOCKER_MANIFEST,
                                                        registry.DOCKER_LIST))})


def digest_at(daemon, repo, reference):
    a = get(daemon, repo, reference)
    return a.header("docker-content-digest") if a.status == 200 else None


def push_index(r, repo, tag):
    entries = []
    for arch in ("amd64", "arm64"):
        r.push(f"{repo}:{arch}", [A, runner.layer({arch: b"x"})], arch=arch)
        entries.append(registry.descriptor(registry.OCI_MANIFEST, get(r.registry, repo, arch).body,
                                           platform={"os": "linux", "architecture": arch}))
    doc = {"schemaVersion": 2, "mediaType": registry.OCI_INDEX, "manifests": entries}
    tap.same("index", 201, r.registry.put_manifest(repo, tag, doc).status)
    return [e["digest"] for e in entries]


def refer(daemon, repo, subject, what):
    """An artifact that refers to a manifest; its digest."""
    body = get(daemon, repo, subject).body
    blob = what.encode()
    daemon.push_blob(repo, b"{}")
    daemon.push_blob(repo, blob)
    doc = {"schemaVersion": 2, "mediaType": registry.OCI_MANIFEST, "artifactType": SIGNATURE,
           "config": registry.descriptor("application/vnd.oci.empty.v1+json", b"{}"),
           "layers": [registry.descriptor("text/plain", blob)], "subject": registry.descriptor(registry.OCI_MANIFEST, body)}
    raw = json.dumps(doc).encode()
    tap.same("artifact", 201, daemon.put_manifest(repo, registry.sha256(raw), raw, media=registry.OCI_MANIFEST).status)
    return registry.sha256(raw)


@tap.case("from one registry to another: the same digests, nothing on this machine")
def between(r):
    ref = r.push("one:v1", [A, BIG], media=registry.OCI_LAYER)
    with registry.Daemon() as other:
        digest = r.berth("copy", ref, f"docker://{host_of(other)}/team/two:v2").strip()
        tap.same("digest", digest_at(r.registry, "one", "v1"), digest)
        tap.same("there", digest, digest_at(other, "team/two", "v2"))
        err = r.run("copy", ref, f"{host_of(other)}/team/two:v3").stderr
        tap.same("nothing is sent twice", 0, err.count("sent"))
        tap.same("another tag", digest, digest_at(other, "team/two", "v3"))
        r.berth("copy", f"{r.host}/one@{digest}", f"{host_of(other)}/by/digest:x")
        tap.same("by digest", digest, digest_at(other, "by/digest", "x"))
        tap.same("fsck", [], [row for row in other.admin("fsck", want=None) if row.get("problem")])
    assert not (r.root / "store").exists() or not list((r.root / "store/blobs").rglob("*/*/*")), "something was stored here"


@tap.case("within one registry blobs are mounted; with a token for both repositories")
def mounts(_):
    with runner.Runner() as r:
        users = r.work / "users"
        subprocess.run([registry.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}", "--cost=5"], input=b"secret", check=True,
                       stdout=subprocess.DEVNULL)
        r.registry.close()
        r.registry = registry.Daemon(f"--auth.htpasswd={users}", "--access=[{who: alice, repositories: '**', allow: [pull, push]}]")
        r.registry.user = "alice:secret"
        r.registry.start()
        ref = r.push("one:v1", [A, BIG], media=registry.OCI_LAYER)
        p = r.run("copy", "--creds", "alice:secret", ref, f"{r.host}/two:v1")
        tap.same("mounted", (3, 0), (p.stderr.count("mounted"), p.stderr.count("sent")))
        tap.same("refused", 1, r.run("copy", "--src-creds", "alice:secret", "--dest-creds", "alice:wrong", ref, f"{r.host}/three:v1",
                                     check=False).returncode)


@tap.case("an index: all of it, or a platform's image by itself")
def indexes(r):
    children = push_index(r, "multi", "all")
    ref = f"{r.host}/multi:all"
    with registry.Daemon() as other:
        digest = r.berth("copy", ref, f"{host_of(other)}/multi:all").strip()
        tap.same("index", digest_at(r.registry, "multi", "all"), digest)
        for child in children:
            tap.same("child", child, digest_at(other, "multi", child))
        one = r.berth("copy", "--platform", "linux/arm64", ref, f"{host_of(other)}/arm:v1").strip()
        tap.same("one image", (children[1], children[1], None), (one, digest_at(other, "arm", "v1"), digest_at(other, "arm", children[0])))
        p = r.run("copy", "--platform", "linux/s390x", ref, f"{host_of(other)}/none:v1", check=False)
        tap.same("no such platform", 1, p.returncode)


@tap.case("referrers, and what refers to them, only if they are asked for; also where they are a tag only")
def referrers(r):
    children = push_index(r, "signed", "all")
    signature = refer(r.registry, "signed", children[0], "signature")
    attestation = refer(r.registry, "signed", signature, "attestation of the signature")
    ref = f"{r.host}/signed:all"

    def listed(daemon, repo, digest):
        return [m["digest"] for m in daemon.request("GET", f"/v2/{repo}/referrers/{digest}").json()["manifests"]]

    with registry.Daemon() as other:
        to = f"{host_of(other)}/signed:all"
        r.berth("copy", ref, to)
        tap.same("without", [], listed(other, "signed", children[0]))
        r.berth("copy", "--referrers", ref, to)
        tap.same("signature", [signature], listed(other, "signed", children[0]))
        tap.same("of the signature", [attestation], listed(other, "signed", signature))
    if not distribution.V3.exists():
        raise tap.Skip("no build/tools/bin/registry, which has no API for referrers")
    with distribution.Distribution(distribution.V3) as old, registry.Daemon() as other:
        r.berth("copy", "--referrers", ref, f"{old.host}/signed:all")
        tag = children[0].replace(":", "-")
        seen = json.loads(subprocess.run(["curl", "-sf", "-H", f"Accept: {registry.OCI_INDEX}", f"http://{old.host}/v2/signed/manifests/{tag}"],
                                         stdout=subprocess.PIPE, check=True).stdout)
        tap.same("by the tag", [signature], [m["digest"] for m in seen["manifests"]])
        tap.same("with its type", SIGNATURE, seen["manifests"][0]["artifactType"])
        r.berth("copy", "--referrers", ref, f"{old.host}/signed:all")
        again = refer(r.registry, "signed", children[0], "another")
        r.berth("copy", "--referrers", ref, f"{old.host}/signed:all")
        r.berth("copy", "--referrers", f"{old.host}/signed:all", f"{host_of(other)}/back:all")
        tap.same("and back", {signature, again}, set(listed(other, "back", children[0])))
        tap.same("and back, of the signature", [attestation], listed(other, "back", signature))


@tap.case("connections that break: the source is gone on with, the destination begun anew; wrong bytes never arrive")
def ill(r):
    ref = r.push("one:v1", [BIG], media=registry.OCI_LAYER)
    blob, cut = registry.sha256(BIG[1]), []

    def short(handler):
        if blob not in handler.path or len(cut) > 2:
            return False
        status, fields, data = handler.ask()
        cut.append(handler.headers.get("Range"))
        handler.send_response(status)
        for name, value in fields:
            if name.lower() not in ("connection", "transfer-encoding"):
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data[:5 << 20])
        handler.close_connection = True
        return True

    def lies(handler):
        return blob in handler.path and handler.answer(200, BIG[1][:-1] + b"x")

    def refuses(handler, seen=[]):  # noqa: B006 - it is to remember
        if handler.command == "PUT" and "/blobs/" in handler.path and not seen:
            seen.append(1)
            return handler.answer(503)
        return False

    with registry.Daemon() as other:
        with proxy.Front(r.registry, short) as seen:
            r.berth("copy", ref.replace(r.host, seen.host), f"{host_of(other)}/one:v1")
            tap.same("ranges", [None, f"bytes={5 << 20}-", f"bytes={10 << 20}-"], cut)
        with proxy.Front(other, refuses) as seen:
            r.berth("copy", ref, f"{seen.host}/two:v1")
            tap.same("there", digest_at(r.registry, "one", "v1"), digest_at(other, "two", "v1"))
    with registry.Daemon() as other, proxy.Front(r.registry, lies) as seen:
        p = r.run("copy", ref.replace(r.host, seen.host), f"{host_of(other)}/one:v1", check=False)
        tap.same("exit status", 1, p.returncode)
        tap.same("no blob", 404, other.request("HEAD", f"/v2/one/blobs/{blob}").status)
        tap.same("no tag", None, digest_at(other, "one", "v1"))


@tap.case("a copy takes little memory, whatever the blob")
def memory(r):
    ref = r.push("one:v1", [BIG], media=registry.OCI_LAYER)
    with registry.Daemon() as other:
        # By way of a small process: what a parent had before the exec counts as well.
        out = subprocess.run([sys.executable, "-c", MEASURE, *r.command("copy", "-q", ref, f"{host_of(other)}/one:v1")], check=True,
                             stdout=subprocess.PIPE, timeout=runner.WAIT_S).stdout
        assert int(out.split()[-1]) < 24 << 10, f"{out.split()[-1]} kB"


@tap.case("inspect docker://: as skopeo tells it; manifests and configurations byte by byte")
def inspect(r):
    ref = r.push("one:v1", [A, runner.layer({"b": b"x"})], {"Env": ["A=1"], "Labels": {"k": "v"}})
    push_index(r, "multi", "all")
    for name, more in ((ref, ()), (f"{r.host}/multi:all", ("--override-arch", "arm64"))):
        ours = json.loads(r.berth("inspect", *(("--platform", "linux/arm64") if more else ()), f"docker://{name}"))
        theirs = json.loads(subprocess.run(["skopeo", *more, "inspect", "--no-tags", "--tls-verify=false", f"docker://{name}"], check=True,
                                           stdout=subprocess.PIPE, timeout=runner.WAIT_S).stdout)
        for key in ("Name", "Digest", "Created", "Architecture", "Os", "Layers"):
            tap.same(key, theirs[key], ours[key])
        for key, empty in (("Env", []), ("Labels", {})):
            tap.same(key, theirs[key] or empty, ours[key])
        manifest = json.loads(r.berth("inspect", "--raw", *(("--platform", "linux/arm64") if more else ()), f"docker://{name}"))
        tap.same("data", [(x["mediaType"], x["digest"], x["size"]) for x in manifest["layers"]],
                 [(x["MIMEType"], x["Digest"], x["Size"]) for x in ours["LayersData"]])
    body = get(r.registry, "multi", "all").body.decode()
    tap.same("raw index", body, r.berth("inspect", "--raw", f"docker://{r.host}/multi:all"))
    tap.same("raw manifest", get(r.registry, "multi", "arm64").body.decode(),
             r.berth("inspect", "--raw", "--platform", "linux/arm64", f"docker://{r.host}/multi:all"))
    digest = json.loads(get(r.registry, "one", "v1").body)["config"]["digest"]
    tap.same("config", r.registry.request("GET", f"/v2/one/blobs/{digest}").body.decode(), r.berth("inspect", "--config", f"docker://{ref}"))
    tap.same("not there", 1, r.run("inspect", f"docker://{r.host}/none:v1", check=False).returncode)


if __name__ == "__main__":
    with runner.Runner() as r:
        tap.main(r)
