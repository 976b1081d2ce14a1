#!/usr/bin/env python3
"""berth and images: pull, images, tag, push, rmi, prune, login against a berthd of the test's own."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import proxy  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

A = runner.layer({"a": b"first", "dir": ("dir", 0o750), "dir/x": b"x", "gone": b"soon"})
B = runner.layer({"b": b"second", ".wh.gone": b"", "link": ("link", "a"), "hard": ("hard", "b")})


def layers(r):
    return sorted(os.listdir(r.root / "layers"))


@tap.case("a pull unpacks each layer once, and images lists the name")
def pull(r):
    ref = r.push("one:v1", [A, B])
    out = r.berth("pull", ref).strip()
    assert out.startswith("sha256:"), out
    tap.same("layers", 2, len(layers(r)))
    listed = json.loads(r.berth("images", "--json"))
    tap.same("names", [ref], [i["name"] for i in listed])
    tap.same("id", out, listed[0]["id"])
    tap.same("nothing is left of the download", [], os.listdir(r.root / "downloads"))
    tap.same("nothing is left staged", [], os.listdir(r.root / "staging"))


@tap.case("what is there already is neither fetched nor unpacked again")
def shared(r):
    one = r.push("one:v1", [A, B])
    two = r.push("two:v1", [A, runner.layer({"c": b"third"})])
    r.berth("pull", one)
    inodes = {n: os.stat(r.root / "layers" / n).st_ino for n in layers(r)}
    err = r.run("pull", two).stderr
    tap.same("one layer is fetched", 1, err.count("fetched"))
    tap.same("three layers", 3, len(layers(r)))
    for name, inode in inodes.items():
        tap.same("an old layer is the same", inode, os.stat(r.root / "layers" / name).st_ino)


@tap.case("whiteouts and links are in overlayfs's form")
def form(r):
    r.berth("pull", r.push("one:v1", [A, B]))
    by_files = {frozenset(os.listdir(r.root / "layers" / n / "diff")): r.root / "layers" / n / "diff" for n in layers(r)}
    upper = by_files[frozenset({"b", "gone", "link", "hard"})]
    s = os.lstat(upper / "gone")
    tap.same("a whiteout is a device 0:0", (0o020000, 0), (s.st_mode & 0o170000, s.st_rdev))
    tap.same("hard link", os.stat(upper / "b").st_ino, os.stat(upper / "hard").st_ino)


@tap.case("one image may have the same layer twice")
def twice(r):
    ref = r.push("twice:v1", [A, B, A])
    r.berth("pull", ref)
    tap.same("three chain IDs", 3, len(layers(r)))


@tap.case("an index: the platform's image, and another one by --platform")
def platforms(r):
    amd = r.push("multi:amd", [A], arch="amd64")
    r.push("multi:arm", [B], arch="arm64")
    entries = []
    for tag, arch in (("amd", "amd64"), ("arm", "arm64")):
        body = r.registry.request("GET", f"/v2/multi/manifests/{tag}", headers={"Accept": registry.OCI_MANIFEST}).body
        entries.append(registry.descriptor(registry.OCI_MANIFEST, body, platform={"os": "linux", "architecture": arch}))
    doc = {"schemaVersion": 2, "mediaType": registry.OCI_INDEX, "manifests": entries}
    tap.same("index", 201, r.registry.put_manifest("multi", "all", doc).status)
    ref = f"{r.host}/multi:all"
    ids = {p: r.berth("pull", "--platform", p, ref).strip() for p in ("linux/amd64", "linux/arm64")}
    tap.same("amd64 is the same image", r.berth("pull", amd).strip(), ids["linux/amd64"])
    assert ids["linux/amd64"] != ids["linux/arm64"]
    p = r.run("pull", "--platform", "linux/s390x", ref, check=False)
    tap.same("no such platform", 1, p.returncode)
    assert "linux/arm64" in p.stderr, p.stderr


@tap.case("by digest, also together with a tag")
def by_digest(r):
    r.push("one:v1", [A])
    digest = r.registry.request("HEAD", "/v2/one/manifests/v1", headers={"Accept": registry.OCI_MANIFEST}).header(
        "docker-content-digest")
    r.berth("pull", f"{r.host}/one:v1@{digest}")
    p = r.run("pull", f"{r.host}/one@{digest[:-1] + ('0' if digest[-1] != '0' else '1')}", check=False)
    tap.same("another digest", 1, p.returncode)


@tap.case("a layer whose bytes are not what the config says is refused, and nothing is left")
def wrong_diff_id(r):
    ref = r.push("bad:v1", [(B[0], A[1])])
    p = r.run("pull", ref, check=False)
    tap.same("exit status", 1, p.returncode)
    assert "diff ID" in p.stderr, p.stderr
    tap.same("no image", [], json.loads(r.berth("images", "--json")))
    tap.same("no layer", [], layers(r))
    tap.same("nothing staged", [], os.listdir(r.root / "staging"))


@tap.case("an interrupted pull goes on where it was")
def resume(r):
    big = runner.layer({"big": os.urandom(24 << 20)}, compress=False)
    ref = r.push("big:v1", [big], media=registry.OCI_LAYER)
    with proxy.Held(r.registry, after=9 << 20) as cut:
        ref_cut = ref.replace(r.host, f"127.0.0.1:{cut.port}")
        p = subprocess.Popen(r.command("pull", ref_cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        part = r.root / "downloads"
        registry.wait_until("a part is there", lambda: any(f.stat().st_size >= 8 << 20 for f in part.glob("sha256-*")))
        p.send_signal(signal.SIGKILL)
        p.wait()
        before = cut.sent
        have = max(f.stat().st_size for f in part.glob("sha256-*"))
        cut.open_up()
        r.berth("pull", ref_cut)
        rest = cut.sent - before
    assert rest <= (24 << 20) + (1 << 20) - have, f"{rest} bytes sent again with {have} there"
    tap.same("nothing is left of the download", [], os.listdir(part))


@tap.case("kill -9 at any time of a pull: the next one succeeds, and prune leaves nothing")
def killed(r):
    some = [runner.layer({f"f{i}-{n}": os.urandom(20000) for n in range(40)}) for i in range(5)]
    ref = r.push("many:v1", some)
    for n in range(12):
        p = subprocess.Popen(r.command("pull", ref), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.004 * n)  # where it hits does not matter: every moment must do
        p.kill()
        p.wait()
    r.berth("pull", ref)
    tap.same("layers", 5, len(layers(r)))
    r.berth("rmi", ref)
    r.berth("prune")
    for name in ("layers", "staging", "downloads"):
        tap.same(name, [], os.listdir(r.root / name))
    blobs = [f for f in (r.root / "store/blobs").rglob("*") if f.is_file()]
    tap.same("blobs", [], blobs)


@tap.case("several pulls of one image at once")
def at_once(r):
    some = [runner.layer({f"f{i}": os.urandom(300000)}) for i in range(4)]
    refs = [r.push("many:v1", some), r.push("more:v1", [*some, A])] * 3
    running = [subprocess.Popen(r.command("pull", ref), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for ref in refs]
    for p in running:
        _, err = p.communicate(timeout=runner.WAIT_S)
        tap.same(f"exit status ({err.decode()})", 0, p.returncode)
    tap.same("layers", 5, len(layers(r)))


@tap.case("tag and push: another registry's skopeo reads what berth pushed")
def push(r):
    ref = r.push("one:v1", [A, B])
    r.berth("pull", ref)
    to = f"{r.host}/other/name:v2"
    r.berth("tag", ref, to)
    digest = r.berth("push", to).strip()
    seen = subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{to}"], check=True,
                          stdout=subprocess.PIPE, text=True, timeout=runner.WAIT_S).stdout
    tap.same("digest", digest, json.loads(seen)["Digest"])
    err = r.run("push", ref, to).stderr
    tap.same("nothing is sent twice", 0, err.count("sent"))


@tap.case("save and load: through an OCI layout, skopeo's and docker's archives")
def archives(r):
    ref = r.push("one:v1", [A, B, A])
    identity = r.berth("pull", ref)
    file = r.work / "saved.tar"
    r.berth("save", "-o", str(file), ref)
    clean(r)
    tap.same("the name comes back", ref + "\n", r.berth("load", "-i", str(file)))
    tap.same("the same image", identity.strip(), json.loads(r.berth("images", "--json"))[0]["id"])
    for form in ("docker-archive", "oci-archive"):
        clean(r)
        other = r.work / (form + ".tar")
        subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{ref}", f"{form}:{other}:{ref}"], check=True,
                       timeout=runner.WAIT_S)
        subprocess.run(["gzip", "-f", "-k", str(other)], check=True)
        r.berth("load", "-i", str(other) + ".gz", ref)
        tap.same(f"{form}: the same image", identity.strip(), json.loads(r.berth("images", "--json"))[0]["id"])
    tap.same("nothing is left staged", [], os.listdir(r.root / "staging"))
    seen = subprocess.run(["skopeo", "inspect", "--config", f"oci-archive:{file}"], check=True, stdout=subprocess.PIPE)
    tap.same("skopeo reads what berth saved", "linux", json.loads(seen.stdout)["os"])


@tap.case("load: an archive whose blobs are not what they say is refused")
def bad_archive(r):
    ref = r.push("one:v1", [A])
    r.berth("pull", ref)
    file = r.work / "bad.tar"
    r.berth("save", "-o", str(file), ref)
    data = bytearray(file.read_bytes())
    at = data.find(b"\x1f\x8b")
    data[at + 30] ^= 1
    file.write_bytes(data)
    clean(r)
    p = r.run("load", "-i", str(file), check=False)
    tap.same("exit status", 1, p.returncode)
    assert "not what it says" in p.stderr, p.stderr
    tap.same("no image", [], json.loads(r.berth("images", "--json")))


@tap.case("rmi removes a name; the content goes with the last one")
def rmi(r):
    ref = r.push("one:v1", [A, B])
    other = f"{r.host}/one:again"
    r.berth("pull", ref)
    r.berth("tag", ref, other)
    r.berth("rmi", ref)
    tap.same("layers stay", 2, len(layers(r)))
    identity = json.loads(r.berth("images", "--json"))[0]["id"]
    r.berth("rmi", identity[7:19])
    tap.same("layers go", [], layers(r))
    p = r.run("rmi", ref, check=False)
    tap.same("no such image", 1, p.returncode)


@tap.case("a registry that wants a password: refused without, let in after login, refused after logout")
def login(r):
    auth = r.work / "auth.json"
    with proxy.Password(r.registry, "me", "s3cret") as asking:
        r.push("one:v1", [A])
        host = f"127.0.0.1:{asking.port}"
        args = ("--authfile", str(auth))
        tap.same("without", 1, r.run("pull", *args, f"{host}/one:v1", check=False).returncode)
        p = r.run("login", *args, "-u", "me", "--password-stdin", host, stdin="wrong\n", check=False)
        tap.same("wrong password", 1, p.returncode)
        r.run("login", *args, "-u", "me", "--password-stdin", host, stdin="s3cret\n")
        tap.same("mode of the file", 0o600, auth.stat().st_mode & 0o777)
        r.berth("pull", *args, f"{host}/one:v1")
        r.berth("logout", *args, host)
        tap.same("after logout", 1, r.run("pull", *args, f"{host}/one:v1", check=False).returncode)


def clean(r):
    for image in json.loads(r.berth("images", "--json")):
        r.run("rmi", image["name"], check=False)
    r.run("prune", check=False)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP owners of files need root")
        sys.exit(0)
    with runner.Runner() as r:
        tap.main(r, after_each=clean)
