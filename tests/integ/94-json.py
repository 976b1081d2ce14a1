#!/usr/bin/env python3
"""--json on every command of berth: what is printed is one document (or one a line), says what was done, and errors stay on stderr."""
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import runner  # noqa: E402
import tap  # noqa: E402

SLEEP = ("sh", "-c", "echo up; exec sleep 1000")
SHOWN = set()
ID = re.compile("[0-9a-f]{64}")
IMAGE_ID = re.compile("sha256:[0-9a-f]{64}")


def shows(*commands):
    """A case of these commands."""
    SHOWN.update(commands)
    return tap.case(f"{', '.join(commands)} --json")


def done(r, *args, status=0, **more):
    """The document that a command printed, the option right behind its name; nothing else was printed unless it failed."""
    p = r.run(args[0], "--json", *args[1:], check=False, **more)
    tap.same(f"exit status of {args}: {p.stderr}", status, p.returncode)
    if status == 0:
        tap.same(f"stderr of {args}", "", p.stderr)
    else:
        assert p.stderr.startswith("berth: "), p.stderr
    return json.loads(p.stdout) if p.stdout else None


def refused(r, *args):
    p = r.run(args[0], "--json", *args[1:], check=False)
    tap.same(f"{args} is refused", (2, ""), (p.returncode, p.stdout))
    assert "--json" in p.stderr, p.stderr


def names(doc):
    return [d["name"] for d in doc]


def up(r, name, *options):
    r.berth("run", "-d", "--name", name, *options, r.box, *SLEEP)


@shows("create", "run", "exec", "attach", "start")
def making(r):
    made = done(r, "create", "--name", "c", r.box, *SLEEP)
    tap.same("create", ("c", True), (made["name"], bool(ID.fullmatch(made["id"]))))
    ran = done(r, "run", "-d", "--name", "d", r.box, *SLEEP)
    tap.same("run", ("d", True), (ran["name"], bool(ID.fullmatch(ran["id"]))))
    tap.same("exec -d", ran, done(r, "exec", "-d", "d", "true"))
    tap.same("start", [made, ran], done(r, "start", "c", "d"))
    for args in (("run", r.box, "true"), ("exec", "d", "true"), ("attach", "d"), ("start", "-a", "c")):
        refused(r, *args)
    tap.same("run that fails", None, done(r, "run", "-d", r.box, "nosuch", status=127))
    tap.same("create that fails", None, done(r, "create", "--name", "c", r.box, status=1))
    tap.same("the container's own --json is none of ours", "--json\n", r.berth("run", "--rm", r.box, "echo", "--json"))


@shows("stop", "restart", "kill", "pause", "unpause", "wait", "rm")
def changing(r):
    up(r, "a"), up(r, "b")
    ids = {c["name"]: c["id"] for c in done(r, "ps")}
    both = [{"name": n, "id": ids[n]} for n in ("a", "b")]
    for command in ("pause", "unpause", "restart"):
        tap.same(command, both, done(r, command, *(["-t", "0"] if command == "restart" else []), "a", "b"))
    tap.same("by the beginning of an id", both[:1], done(r, "stop", "-t", "0", ids["a"][:12]))
    got = done(r, "kill", "b", "nosuch", "a", status=1)
    tap.same("kill", [both[1], "nosuch", "a"], [got[0], got[1]["name"], got[2]["name"]])
    assert "no container" in got[1]["error"] and "id" not in got[1] and "not running" in got[2]["error"] and "error" not in got[0], got
    tap.same("wait", [137, 137], [d["exit_code"] for d in done(r, "wait", "a", "b")])
    tap.same("rm", both, done(r, "rm", "a", "b"))
    tap.same("rm of what is missing, ignored", [], done(r, "rm", "--ignore", "a"))


@shows("ps", "inspect", "top", "stats", "diff", "port", "logs", "events", "generate-systemd", "cp")
def looking(r):
    r.berth("run", "-d", "--name", "l", r.box, "sh", "-c", "echo out; echo err >&2; printf half; echo >/made; exec sleep 1000")
    r.berth("exec", "l", "sh", "-c", "until [ -e /made ]; do :; done")
    tap.same("ps", ["l"], names(done(r, "ps")))
    tap.same("inspect", "l", done(r, "inspect", "l")[0]["state"]["name"])
    assert any("sleep" in p["command"] for p in done(r, "top", "l")), "top"
    tap.same("stats", ["l"], names(done(r, "stats", "--no-stream", "l")))
    assert {"change": "A", "path": "/made"} in done(r, "diff", "l"), "diff"
    tap.same("port", [], done(r, "port", "l"))
    unit = done(r, "generate-systemd", "l")
    assert unit["name"] == "l" and "ExecStart=" in unit["unit"], unit
    entries = [json.loads(line) for line in r.berth("logs", "--json", "l").splitlines()]
    tap.same("logs", {("stdout", "out", False), ("stderr", "err", False), ("stdout", "half", True)}, {(e["stream"], e["text"], e["partial"]) for e in entries})
    events = [json.loads(line) for line in r.berth("events", "--json", "--no-stream", "--since", "1h").splitlines()]
    assert any(e["event"] == "start" and e["name"] == "l" for e in events), events
    tap.same("cp", {"source": "l:/made", "destination": str(r.work / "made")}, done(r, "cp", "l:/made", str(r.work / "made")))
    refused(r, "cp", "l:/made", "-")
    for command in ("inspect", "top", "diff", "port", "logs", "generate-systemd"):
        tap.same(f"{command} of what is missing", None, done(r, command, "nosuch", status=1))


@shows("pull", "push", "images", "tag", "rmi", "save", "load", "prune", "commit", "import", "copy", "unpack", "login", "logout")
def images(r):
    ref = r.push_busybox("json:v1")
    other = ref.replace("json:v1", "other:v2")
    pulled = done(r, "pull", ref)
    tap.same("pull", ref, pulled["name"])
    assert IMAGE_ID.fullmatch(pulled["id"]) and IMAGE_ID.fullmatch(pulled["digest"]), pulled
    assert ref in names(done(r, "images")), "images"
    tap.same("tag", {"name": other, "id": pulled["id"]}, done(r, "tag", ref, other))
    tap.same("push", {"name": other, "digest": pulled["digest"]}, done(r, "push", other))
    tap.same("copy", {"name": other + "-copy", "digest": pulled["digest"]}, done(r, "copy", other, other + "-copy"))
    archive = r.work / "saved.tar"
    tap.same("save", [{"name": ref, "id": pulled["id"]}, {"name": other, "id": pulled["id"]}], done(r, "save", "-o", str(archive), ref, other))
    refused(r, "save", ref)
    got = done(r, "rmi", ref, "nosuch:v9", other, status=1)
    tap.same("rmi", [{"name": ref, "id": pulled["id"]}, "nosuch:v9", {"name": other, "id": pulled["id"]}], [got[0], got[1]["name"], got[2]])
    assert "error" in got[1], got
    tap.same("load", sorted([ref, other]), sorted(names(done(r, "load", "-i", str(archive)))))
    assert set(done(r, "prune")) == {"layers", "bytes"}, "prune"
    r.berth("create", "--name", "i", ref)
    made = done(r, "commit", "i", ref.replace("v1", "v3"))
    assert made["name"] == ref.replace("v1", "v3") and IMAGE_ID.fullmatch(made["id"]), made
    (r.work / "root.tar").write_bytes(runner.layer({"x": b"y"})[0])
    made = done(r, "import", str(r.work / "root.tar"), ref.replace("v1", "v4"))
    assert made["name"] == ref.replace("v1", "v4") and IMAGE_ID.fullmatch(made["id"]), made
    where = str(r.work / "bundle")
    tap.same("unpack", {"name": ref, "id": pulled["id"], "directory": where}, done(r, "unpack", ref, where))
    tap.same("unpack --layer", {"directory": str(r.work / "tree"), "layers": [str(r.work / "root.tar")]}, done(r, "unpack", "--layer", str(r.work / "root.tar"), str(r.work / "tree")))
    auth = str(r.work / "auth.json")
    tap.same("login", {"name": r.host, "kept_in": auth}, done(r, "login", "--authfile", auth, "-u", "me", "-p", "word", r.host))
    tap.same("logout", {"name": r.host}, done(r, "logout", "--authfile", auth, r.host))
    tap.same("pull of what is missing", None, done(r, "pull", ref.replace("v1", "v9"), status=1))


@shows("volume", "network")
def groups(r):
    made = done(r, "volume", "create", "v")
    tap.same("volume create", ("v", True), (made["name"], os.path.isdir(made["path"])))
    tap.same("volume ls", ["v"], names(done(r, "volume", "ls")))
    tap.same("volume inspect", ["v"], names(done(r, "volume", "inspect", "v")))
    got = done(r, "volume", "rm", "v", "nosuch", status=1)
    tap.same("volume rm", [{"name": "v"}, "nosuch"], [got[0], got[1]["name"]])
    assert "error" in got[1], got
    tap.same("volume prune", [], done(r, "volume", "prune"))
    (r.work / "net.d").mkdir()
    own = {"env": {**os.environ, "NETCONFPATH": str(r.work / "net.d")}}
    tap.same("network create", {"name": "n"}, done(r, "network", "create", "n", **own))
    tap.same("network ls", ["n"], names(done(r, "network", "ls", **own)))
    tap.same("network ls, the option behind it", ["n"], names(json.loads(r.berth("network", "ls", "--json", **own))))
    tap.same("network inspect", ["n"], names(done(r, "network", "inspect", "n", **own)))
    tap.same("network reload", [], done(r, "network", "reload", "n", **own))
    for command in ("check", "gc"):
        p = r.run("network", "--json", command, "n", check=False, **own)
        tap.same(f"network {command}: {p.stderr}", "n", json.loads(p.stdout)[0]["name"])
    got = done(r, "network", "rm", "n", "nosuch", status=1, **own)
    tap.same("network rm", [{"name": "n"}, "nosuch"], [got[0], got[1]["name"]])


@tap.case("no command is without")
def complete(r):
    listed = set(re.findall(r"^  ([a-z][a-z-]+) +\S", r.berth("help").split("\n\n")[2], re.M))
    assert len(listed) > 35, listed
    tap.same("commands that no case is about", set(), listed - SHOWN)
    for command in listed:
        assert re.search(r"^ +--json +\S", r.berth("help", command), re.M), f"help of {command}"


@tap.case("what cannot be printed is a failure")
def full(r):
    for args in (("ps",), ("images",), ("volume", "ls"), ("prune",)):
        with open("/dev/full", "w") as f:
            p = subprocess.run(r.command(args[0], "--json", *args[1:]), stdout=f, stderr=subprocess.PIPE, text=True, check=False)
        tap.same(f"{args}: {p.stderr}", 1, p.returncode)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP namespaces and mounts need root")
        sys.exit(0)
    with runner.Runner() as the_runner:
        the_runner.box = the_runner.push_busybox()
        the_runner.berth("pull", the_runner.box)
        tap.main(the_runner, after_each=runner.Runner.sweep)
