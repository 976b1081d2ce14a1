#!/usr/bin/env python3
"""Hooks: each kind at the right moment, in the right namespace, with the state on stdin; failures and time-outs."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, wait_until  # noqa: E402
from tap import case, same  # noqa: E402

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
SLEEP = "exec sleep 1000"


def hook(log, kind, more="", **properties):
    """A hook that writes who it is, where it is, and what it reads."""
    script = (f"exec 2>&1; echo HOOK {kind} >> {log}; read -r state; echo \"$state\" >> {log}; "
              f"for n in mnt pid net uts; do readlink /proc/self/ns/$n >> {log}; done; {more}")
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **properties}


class Record:
    """What hooks of a bundle have written, in order."""

    def __init__(self, box, kinds=KINDS, more=None):
        self.box = box
        self.host = os.path.join(box.work, f"hooks-{box.id()}")
        os.mkdir(self.host)
        os.chmod(self.host, 0o777)
        self.log = self.host + "/log"
        self.kinds = kinds
        self.more = more or {}

    def change(self, c):
        # startContainer runs in the container's tree: the same directory is bound there under the same path
        c["mounts"].append({"destination": self.host, "source": self.host, "options": ["bind"]})
        c["annotations"] = {"a.b": "c"}
        c["hooks"] = {k: [hook(self.log, k, self.more.get(k, ""))] for k in self.kinds}

    def read(self):
        if not os.path.exists(self.log):
            return []
        entries = []
        for line in open(self.log).read().splitlines():
            if line.startswith("HOOK "):
                entries.append({"kind": line[5:], "ns": []})
            elif line.startswith("{"):
                entries[-1]["state"] = json.loads(line)
            else:
                entries[-1]["ns"].append(line)
        return entries

    def done(self):
        return [e["kind"] for e in self.read()]


@case("all six kinds, each in its step")
def moments(box):
    r = Record(box)
    bundle = box.bundle("echo program >> " + r.host + "/program; " + SLEEP, r.change)
    name = box.id()
    box.rt("create", "-b", bundle, name)
    same("create", ["prestart", "createRuntime", "createContainer"], r.done())
    assert not os.path.exists(r.host + "/program")
    box.rt("start", name)
    same("start", ["startContainer", "poststart"], r.done()[3:])
    box.rt("kill", name, "9")
    box.wait_stopped(name)
    same("nothing at the end", 5, len(r.done()))
    box.rt("delete", name)
    same("delete", ["poststop"], r.done()[5:])


@case("the state on stdin: version, id, status, pid as seen there, bundle, annotations")
def state(box):
    r = Record(box)
    bundle = box.bundle(SLEEP, r.change)
    name = box.id()
    box.rt("create", "-b", bundle, name)
    pid = box.get(name)["pid"]
    box.rt("start", name)
    box.rt("delete", "--force", name)
    seen = {e["kind"]: e["state"] for e in r.read()}
    for kind in KINDS:
        s = seen[kind]
        same(f"{kind}: id, bundle, annotations", (name, bundle, {"a.b": "c"}), (s["id"], s["bundle"], s["annotations"]))
    same("status", {"prestart": "created", "createRuntime": "created", "createContainer": "created",
                    "startContainer": "created", "poststart": "running", "poststop": "stopped"},
         {k: s["status"] for k, s in seen.items()})
    same("pid", {"prestart": pid, "createRuntime": pid, "createContainer": 1, "startContainer": 1, "poststart": pid, "poststop": 0},
         {k: s["pid"] for k, s in seen.items()})


@case("namespaces: the runtime's for four kinds, the container's for two")
def namespaces(box):
    r = Record(box)
    name = box.id()
    box.rt("create", "-b", box.bundle(SLEEP, r.change), name)
    pid = box.get(name)["pid"]
    inside = [os.readlink(f"/proc/{pid}/ns/{n}") for n in ("mnt", "pid", "net", "uts")]
    box.rt("start", name)
    box.rt("delete", "--force", name)
    outside = [os.readlink(f"/proc/self/ns/{n}") for n in ("mnt", "pid", "net", "uts")]
    for e in r.read():
        same(e["kind"], inside if e["kind"] in ("createContainer", "startContainer") else outside, e["ns"])


@case("createContainer sees the host's files and the container's mounts; startContainer the container's files")
def files(box):
    r = Record(box, ("createContainer", "startContainer"))
    r.more = {"createContainer": f"test -e /usr/bin/env && echo host > {r.host}/cc; grep -c 'rootfs/proc ' /proc/self/mountinfo >> {r.host}/cc",
              "startContainer": f"test -e /usr/bin/env || echo container > {r.host}/sc; id -u >> {r.host}/sc"}
    box.start(SLEEP, lambda c: (r.change(c), c["process"].update(user={"uid": 9, "gid": 9})))
    same("createContainer", "host\n1\n", open(r.host + "/cc").read())
    same("startContainer", "container\n9\n", open(r.host + "/sc").read())


@case("prestart can work on the container's network namespace by the pid it is told")
def network(box):
    path = os.path.join(box.work, "net")

    def change(c):
        script = f"pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net > {path}; ls /proc/$pid/root/ >> {path}"
        c["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}

    name = box.create(SLEEP, change)
    same("namespace", os.readlink(f"/proc/{box.get(name)['pid']}/ns/net"), open(path).read().split("\n")[0])
    contains("not pivoted yet", open(path).read(), "usr")


@case("args with argv[0], only the env given, in the listed order")
def details(box):
    log = os.path.join(box.work, "details")

    def change(c):
        c["hooks"] = {"createRuntime": [
            {"path": "/bin/sh", "args": ["first-name", "-c", f"echo $0 $1 > {log}; /usr/bin/env >> {log}", "zero", "one"],
             "env": ["ONLY=this"]},
            {"path": "/bin/sh", "args": ["sh", "-c", f"echo second >> {log}"]},
            {"path": "/usr/bin/true"}]}

    box.create(SLEEP, change)
    lines = open(log).read().splitlines()
    same("args", "zero one", lines[0])
    assert "ONLY=this" in lines and not [line for line in lines if line.startswith(("HOME=", "PATH=/usr/local"))], lines
    same("order", "second", lines[-1])


def failing(kind, log, code="exit 3"):
    def change(c):
        c["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} >> {log}; {code}"]}],
                      "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo poststop >> {log}"]}]}
    return change


@case("prestart, createRuntime, createContainer fail: create fails, the container is destroyed, poststop runs")
def create_fails(box):
    for kind in ("prestart", "createRuntime", "createContainer"):
        log = os.path.join(box.work, "fail-" + kind)
        pids = set(os.listdir("/proc"))
        message = box.fails(SLEEP, failing(kind, log))
        contains(kind, message, f"hooks.{kind}[0] /bin/sh", "exit status 3")
        same("poststop", [kind, "poststop"], open(log).read().split())
        left = [p for p in set(os.listdir("/proc")) - pids if p.isdigit() and os.path.exists(f"/proc/{p}/exe")
                and "berth-runtime" in os.readlink(f"/proc/{p}/exe")]
        same("processes", [], left)


@case("startContainer and poststart fail: start fails, the container is destroyed, poststop runs")
def start_fails(box):
    for kind in ("startContainer", "poststart"):
        log = os.path.join(box.work, "fail-" + kind)

        def change(c, k=kind, path=log):
            failing(k, path)(c)
            if k == "startContainer":
                c["hooks"][k] = [{"path": "/bin/false"}]

        name = box.create(SLEEP, change)
        pid = box.get(name)["pid"]
        contains(kind, box.rt("start", name, rc=1).stderr, f"hooks.{kind}[0]", "exit status")
        contains("gone", box.rt("state", name, rc=1).stderr, "container does not exist")
        wait_until("dead", lambda p=pid: not container.alive(p))
        contains("poststop", open(log).read(), "poststop")


@case("poststop fails: a warning, the next ones run, delete succeeds")
def poststop_fails(box):
    log = os.path.join(box.work, "poststop-log")

    def change(c):
        c["hooks"] = {"poststop": [{"path": "/bin/false"}, {"path": "/nope"},
                                   {"path": "/bin/sh", "args": ["sh", "-c", f"echo third > {log}"]}]}

    name = box.start(SLEEP, change)
    p = box.rt("delete", "--force", name)
    contains("warnings", p.stderr, "level=warning", "hooks.poststop[0] /bin/false: exit status 1", "hooks.poststop[1] /nope",
             "No such file or directory")
    same("third", "third\n", open(log).read())


@case("timeout: the hook is killed, and that is its failure")
def timeout(box):
    message = box.fails(SLEEP, lambda c: c.update(hooks={"prestart": [
        {"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 1000"], "timeout": 1}]}))
    contains("message", message, "hooks.prestart[0] /bin/sh: timed out")
    message = box.fails(SLEEP, lambda c: c.update(hooks={"createContainer": [
        {"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]}))
    contains("inside", message, "hooks.createContainer[0] /bin/sleep: timed out")
    box.start(SLEEP, lambda c: c.update(hooks={"prestart": [{"path": "/bin/true", "timeout": 30}]}))


@case("hooks that never read stdin, that read slowly, and state that is large")
def stdin(box):
    box.create(SLEEP, lambda c: c.update(hooks={"prestart": [{"path": "/bin/true"}] * 20}))
    path = os.path.join(box.work, "size")

    def change(c):
        c["annotations"] = {f"key-{i}": "x" * 1000 for i in range(200)}
        c["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", f"sleep 0.1; wc -c > {path}"]}, {"path": "/bin/true"}]}

    box.create(SLEEP, change)
    assert int(open(path).read()) > 200000


@case("refused: a relative path, a timeout of 0 or less, the wrong type; the message names the entry")
def refused(box):
    for value, part in (({"path": "bin/true"}, "[0].path: must be an absolute path"), ({"path": "/bin/true", "timeout": 0}, "[0].timeout:"),
                        ({"path": "/bin/true", "timeout": -1}, "[0].timeout:"), ({"args": []}, "[0].path: is missing"),
                        ({"path": "/x", "env": [1]}, "[0].env[0]:")):
        for kind in KINDS:
            contains(kind, box.fails(change=lambda c, k=kind, v=value: c.update(hooks={k: [v]})), f"hooks.{kind}{part}")
    contains("one that is not there", box.fails(change=lambda c: c.update(hooks={"createRuntime": [{"path": "/nope"}]})),
             "hooks.createRuntime[0] /nope: cannot be run: No such file or directory")


if __name__ == "__main__":
    container.need_root()
    with container.Box() as the_box:
        tap.main(the_box, after_each=container.Box.sweep)
