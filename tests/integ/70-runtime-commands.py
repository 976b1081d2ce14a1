#!/usr/bin/env python3
"""The runtime's command line as engines use it: options, outputs, exit statuses, messages, descriptors."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, lacks, wait_until  # noqa: E402
from tap import case, same  # noqa: E402

SLEEP = "exec sleep 1000"


@case("create, start, kill, delete: the status at each step")
def life(box):
    name = box.create(SLEEP)
    same("after create", "created", box.status(name))
    box.rt("start", name)
    same("after start", "running", box.status(name))
    box.rt("kill", name, "KILL")
    box.wait_stopped(name)
    same("pid of a stopped one", 0, box.get(name)["pid"])
    box.rt("delete", name)
    contains("state", box.rt("state", name, rc=1).stderr, "container does not exist")


@case("the program runs at start and not before; config.json is read once")
def not_before(box):
    bundle = box.bundle("echo ran > /ran; sleep 1000")
    name = box.id()
    box.rt("create", "--bundle", bundle, name)
    os.unlink(bundle + "/config.json")
    assert not os.path.exists(bundle + "/rootfs/ran"), "ran before start"
    box.rt("start", name)
    wait_until("the program runs", lambda: os.path.exists(bundle + "/rootfs/ran"))


@case("once start has come back the container is no longer created")
def at_once(box):
    bundle = box.bundle(SLEEP)
    for _ in range(50):
        name = box.id()
        box.rt("create", "--bundle", bundle, name)
        box.rt("start", name)
        same("status", "running", box.status(name))
        box.rt("delete", "--force", name)


@case("state: the fields that callers parse")
def state(box):
    def change(c):
        c["annotations"] = {"org.example.key": "value", "odd key": ""}

    bundle = box.bundle(SLEEP, change)
    name = box.id()
    box.rt("create", "--bundle", bundle, name)
    out = box.rt("state", name).stdout
    s = json.loads(out)
    same("fields", ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"], list(s))
    same("bundle", bundle, s["bundle"])
    same("rootfs", bundle + "/rootfs", s["rootfs"])
    same("annotations", {"org.example.key": "value", "odd key": ""}, s["annotations"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", s["created"]), s["created"]
    assert container.alive(s["pid"]), s
    assert out.startswith('{\n  "ociVersion"'), "two blanks of indentation"


@case("create with a bundle named in other ways: relative, the current directory, a trailing slash")
def bundles(box):
    bundle = box.bundle("true")
    box.rt("run", box.id(), cwd=bundle)
    box.rt("run", "-b", os.path.basename(bundle) + "/", box.id(), cwd=os.path.dirname(bundle))
    box.rt("run", "--bundle=" + bundle, box.id())


@case("create refuses: no id, ids that are paths, an id in use, no bundle, no config.json")
def create_refuses(box):
    bundle = box.bundle(SLEEP)
    p = box.rt("create", "--bundle", bundle, rc=1)
    contains("without an id", p.stdout + p.stderr, "Incorrect Usage", '\\"create\\" requires exactly 1 argument(s)')
    for bad in ("bad/id", "..", ".", "a b", "a\nb", "x" * 256, "ä", "../x"):
        contains(bad, box.rt("create", "--bundle", bundle, bad, rc=1).stderr, "invalid container ID format")
    contains("empty", box.rt("create", "--bundle", bundle, "", rc=1).stderr, "invalid container ID format")
    name = box.id()
    box.rt("create", "--bundle", bundle, name)
    contains("in use", box.rt("create", "--bundle", bundle, name, rc=1).stderr,
             "create failed: container with given ID already exists")
    contains("no bundle", box.rt("create", "--bundle", "/nope", box.id(), rc=1).stderr,
             "create failed: chdir /nope: no such file or directory")
    contains("no config.json", box.rt("create", "--bundle", box.base, box.id(), rc=1).stderr, "config.json not found")
    same("what is there", [name], box.rt("list", "-q").stdout.split())


@case("start, kill, delete of what is not there, or not in the right state")
def wrong_state(box):
    for command in (("start", "no"), ("kill", "no", "9"), ("delete", "no"), ("state", "no"), ("ps", "no"),
                    ("pause", "no"), ("update", "no"), ("events", "--stats", "no")):
        contains(command[0], box.rt(*command, rc=1).stderr, "container does not exist")
    name = box.start(SLEEP)
    contains("second start", box.rt("start", name, rc=1).stderr, "cannot start an already running container")
    contains("delete of a running one", box.rt("delete", name, rc=1).stderr,
             f"cannot delete container {name} that is not stopped: running")
    same("no effect", "running", box.status(name))
    box.rt("kill", name, "9")
    box.wait_stopped(name)
    contains("kill of a stopped one", box.rt("kill", name, "9", rc=1).stderr, "container not running")
    contains("start of a stopped one", box.rt("start", name, rc=1).stderr, "cannot start a container that has stopped")
    name = box.create(SLEEP)
    contains("delete of a created one", box.rt("delete", name, rc=1).stderr, "that is not stopped: created")
    same("no effect", "created", box.status(name))


@case("start without a process is an error without effect")
def no_process(box):
    name = box.create(None, lambda c: c.pop("process"))
    contains("message", box.rt("start", name, rc=1).stderr, "process: is missing")
    same("status", "created", box.status(name))


@case("delete --force: running, created, paused, stopped, gone")
def delete_force(box):
    box.rt("delete", "--force", "never-there")
    for prepare in ("start", "create", "pause"):
        name = box.create(SLEEP) if prepare == "create" else box.start(SLEEP)
        pid = box.get(name)["pid"]
        if prepare == "pause":
            box.rt("pause", name)
        box.rt("delete", "-f", name)
        assert not container.alive(pid), f"process lives after delete of {prepare}"
        box.rt("delete", "--force", name)


@case("kill: numbers and names, with effect on the process; unknown ones; 0")
def kill(box):
    bundle = box.bundle("for s in USR2 HUP 37; do trap \"echo $s >> /out\" $s; done; echo ready > /out; "
                        "while :; do sleep 0.02; done")
    name, out = box.id(), bundle + "/rootfs/out"
    box.rt("create", "--bundle", bundle, name)
    box.rt("start", name)
    wait_until("traps are set", lambda: os.path.exists(out))
    for signal_name, mark in (("SIGUSR2", "USR2"), ("usr2", "USR2"), ("12", "USR2"), ("hup", "HUP"),
                              ("SIGRTMIN+3", "37"), ("37", "37")):
        open(out, "w").close()
        box.rt("kill", name, signal_name)
        wait_until(f"{signal_name} arrives", lambda m=mark: m in open(out).read().split())
    box.rt("kill", name, "0")
    contains("unknown", box.rt("kill", name, "BOGUS", rc=1).stderr, 'unknown signal \\"BOGUS\\"')
    contains("out of range", box.rt("kill", name, "65", rc=1).stderr, "unknown signal")
    box.rt("kill", "--all", name, "KILL")
    box.wait_stopped(name)
    box.rt("kill", "--all", name, "9")  # containerd does so after the exit


@case("run: the status of the program, 128 and the signal, output as it is")
def run(box):
    same("output", "to out\n", box.run("echo to out; exit 0"))
    box.run("exit 7", rc=7)
    bundle, name = box.bundle("echo ready > /ready; while :; do sleep 0.02; done"), box.id()
    p = subprocess.Popen([box.runtime, "--root", box.state, "run", "--bundle", bundle, name], stdin=subprocess.DEVNULL)
    wait_until("its program runs", lambda: os.path.exists(bundle + "/rootfs/ready"))
    box.rt("kill", name, "KILL")
    same("killed", 128 + signal.SIGKILL, p.wait(container.WAIT_S))
    same("gone", [], box.rt("list", "-q").stdout.split())


@case("run passes signals on, and takes --keep and --detach")
def run_options(box):
    bundle = box.bundle("trap 'exit 9' TERM; echo ready > /ready; while :; do sleep 0.02; done")
    name = box.id()
    p = subprocess.Popen([box.runtime, "--root", box.state, "run", "--keep", "-b", bundle, name],
                         stdin=subprocess.DEVNULL)
    wait_until("it runs", lambda: os.path.exists(bundle + "/rootfs/ready"))
    p.send_signal(signal.SIGTERM)
    same("the program's answer", 9, p.wait(container.WAIT_S))
    same("kept", "stopped", box.status(name))
    name = box.id()
    box.rt("run", "--detach", "--bundle", box.bundle(SLEEP), name)
    same("detached", "running", box.status(name))


@case("exec: status, output, environment, user, directory")
def execute(box):
    name = box.start(SLEEP)
    same("status", 5, box.rt("exec", name, "/bin/sh", "-c", "exit 5", rc=5).returncode)
    same("env, user, cwd", "1 7 8 /tmp\n",
         box.rt("exec", "--cwd", "/tmp", "--env", "A=1", "--user", "7:8", name, "sh", "-c",
                'echo $A $(id -u) $(id -g) $(pwd)').stdout)
    same("the last of a name wins", "2\n", box.rt("exec", "-e", "A=1", "-e", "A=2", name, "sh", "-c", "echo $A").stdout)
    same("stdin", "from us\n", box.rt("exec", name, "cat", stdin="from us\n").stdout)
    p = box.rt("exec", name, "sh", "-c", "echo out; echo err >&2")
    same("stderr apart", ("out\n", "err\n"), (p.stdout, p.stderr))
    same("groups", "1 5 6\n", box.rt("exec", "-g", "5", "--additional-gids", "6", "-u", "1:1", name, "id", "-G").stdout)
    same("options end at the id", "-t\n", box.rt("exec", name, "echo", "-t").stdout)
    contains("caps", box.rt("exec", "--cap", "CAP_NET_RAW", name, "grep", "CapEff", "/proc/self/status").stdout,
             "0000000000002000")


@case("exec of what cannot be run: 255 and runc's words, which decide exit codes in engines")
def exec_fails(box):
    name = box.start("touch /plain; mkdir /dir; echo ready > /ready; " + SLEEP)
    wait_until("ready", lambda: os.path.exists(box.get(name)["rootfs"] + "/ready"))
    start = "exec failed: unable to start container process: exec: "
    for args, words in (
            (["/nope"], '\\"/nope\\": stat /nope: no such file or directory'),
            (["nope"], '\\"nope\\": executable file not found in $PATH'),
            (["/plain"], '\\"/plain\\": permission denied'),
            (["/dir"], '\\"/dir\\": permission denied'),
            (["/plain/x"], '\\"/plain/x\\": stat /plain/x: not a directory')):
        contains(args[0], box.rt("exec", name, *args, rc=255).stderr, start + words)
    contains("missing container", box.rt("exec", "nobody", "true", rc=255).stderr, "exec failed: container does not exist")
    box.rt("kill", name, "9")
    box.wait_stopped(name)
    contains("stopped", box.rt("exec", name, "true", rc=255).stderr, "cannot exec in a stopped container")


@case("create of what cannot be run: the same words, and nothing is left")
def create_fails(box):
    for args, words in ((["/nope"], 'exec: \\"/nope\\": stat /nope: no such file or directory'),
                        (["nope"], 'exec: \\"nope\\": executable file not found in $PATH'),
                        (["/etc/passwd"], 'exec: \\"/etc/passwd\\": permission denied')):
        message = box.fails(None, lambda c, a=args: c["process"].update(args=a))
        contains(args[0], message, "create failed: unable to start container process: " + words)


@case("what only exec(2) itself refuses is start's error; the container is gone then")
def exec_refused(box):
    bundle = box.bundle(None, lambda c: c["process"].update(args=["/bad"]))
    with open(bundle + "/rootfs/bad", "w") as f:
        f.write("neither a script nor a program\n")
    os.chmod(bundle + "/rootfs/bad", 0o755)
    name = box.id()
    box.rt("create", "--bundle", bundle, name)
    contains("start", box.rt("start", name, rc=1).stderr, 'exec: \\"/bad\\": exec format error')
    contains("state", box.rt("state", name, rc=1).stderr, "container does not exist")


@case("exec --process FILE --detach --pid-file, as conmon and containerd call it")
def exec_process(box):
    name = box.start(SLEEP)
    with tempfile.TemporaryDirectory(dir=box.work) as d:
        with open(d + "/p.json", "w") as f:
            json.dump({"user": {"uid": 5, "gid": 6}, "args": ["sh", "-c", "echo $X > /tmp/x; exec sleep 1000"],
                       "env": ["PATH=/bin", "X=here"], "cwd": "/tmp"}, f)
        os.chmod(box.get(name)["rootfs"] + "/tmp", 0o1777)
        box.rt("exec", "--process", d + "/p.json", "--detach", "--pid-file", d + "/pid", name)
        pid = open(d + "/pid").read()
        assert pid.isdigit(), repr(pid)
        wait_until("it runs", lambda: b"sleep" in open(f"/proc/{pid}/cmdline", "rb").read())
        status = open(f"/proc/{pid}/status").read()
        contains("ids", status, "Uid:\t5\t5\t5\t5", "Gid:\t6\t6\t6\t6")
        same("cwd", "/tmp", os.readlink(f"/proc/{pid}/cwd"))
        wait_until("output", lambda: os.path.exists(box.get(name)["rootfs"] + "/tmp/x"))
        own = [open(f"/proc/{p}/cgroup").read() for p in (pid, box.get(name)["pid"])]
        same("cgroups", own[1], own[0])
        box.rt("kill", name, "9")
        wait_until("it ends with the container", lambda: not container.alive(int(pid)))


@case("ps, list: JSON and tables")
def listings(box):
    name = box.start(SLEEP)
    pid = box.get(name)["pid"]
    same("ps -f json", [pid], json.loads(box.rt("ps", "-f", "json", name).stdout))
    same("ps --format json", f"[{pid}]\n", box.rt("ps", "--format", "json", name).stdout)
    lines = box.rt("ps", name).stdout.splitlines()
    contains("head", lines[0], "PID", "CMD")
    same("one process", 2, len(lines))
    contains("row", lines[1], str(pid), "sleep 1000")
    contains("ps options", box.rt("ps", name, "-o", "pid,comm").stdout, str(pid), "sleep")
    entry = json.loads(box.rt("list", "-f", "json").stdout)
    same("list -f json", [(name, "running", "root")], [(e["id"], e["status"], e["owner"]) for e in entry])
    table = box.rt("list").stdout.splitlines()
    same("columns", ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], table[0].split())
    same("row", [name, str(pid), "running"], table[1].split()[:3])
    same("column", table[0].index("STATUS"), table[1].index("running"))
    same("list -q", name + "\n", box.rt("list", "-q").stdout)


@case("pause and resume; exec and status meanwhile")
def pause(box):
    name = box.start("while :; do echo x >> /count; sleep 0.01; done")
    count = box.get(name)["rootfs"] + "/count"
    wait_until("it works", lambda: os.path.exists(count))
    box.rt("pause", name)
    same("status", "paused", box.status(name))
    size = os.path.getsize(count)
    contains("exec", box.rt("exec", name, "true", rc=255).stderr, "cannot exec in a paused container")
    contains("pause again", box.rt("pause", name, rc=1).stderr, "container not running")
    same("nothing moves", size, os.path.getsize(count))
    box.rt("resume", name)
    same("status", "running", box.status(name))
    wait_until("it works again", lambda: os.path.getsize(count) > size)
    contains("resume again", box.rt("resume", name, rc=1).stderr, "container not paused")


@case("--log with both formats, two spellings; the bare text on stderr")
def logs(box):
    log = os.path.join(box.work, "log")
    p = subprocess.run([box.runtime, "--root", box.state, "--log", log, "--log-format", "json", "state", "no"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    same("stderr", (1, "container does not exist\n"), (p.returncode, p.stderr))
    entry = json.loads(open(log).read())
    same("entry", ["level", "msg", "time"], list(entry))
    same("message", ("error", "container does not exist"), (entry["level"], entry["msg"]))
    os.unlink(log)
    subprocess.run([box.runtime, "--log-format=text", "--log=" + log, "--root=" + box.state, "state", "no"],
                   stderr=subprocess.PIPE, check=False)
    assert re.fullmatch(r'time="[0-9T:-]+Z" level=error msg="container does not exist"\n', open(log).read())
    p = box.rt("--log-format", "xml", "state", "no", rc=1)
    contains("format", p.stderr, "invalid log-format")


@case("--version, features, help, unknown commands and options")
def about(box):
    lines = box.rt("--version").stdout.splitlines()
    assert re.fullmatch(r"berth-runtime version \S+", lines[0]), lines
    assert lines[1].startswith("commit: ") and lines[2] == "spec: 1.3.0", lines
    f = json.loads(box.rt("features").stdout)
    same("versions", ("1.0.0", "1.3.0"), (f["ociVersionMin"], f["ociVersionMax"]))
    same("namespaces", ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"], f["linux"]["namespaces"])
    for option in ("rro", "tmpcopyup", "ridmap", "rbind", "nosymfollow"):
        assert option in f["mountOptions"], option
    same("sorted", sorted(f["mountOptions"]), f["mountOptions"])
    contains("help", box.rt("--help").stdout, "COMMANDS", "create")
    contains("help of a command", box.rt("create", "--help").stdout, "--console-socket")
    contains("unknown command", box.rt("bogus", rc=3).stderr, "No help topic for 'bogus'")
    contains("unknown option", box.rt("state", "--bogus", "x", rc=1).stderr, "flag provided but not defined: -bogus")


@case("spec writes a bundle's config.json that runs")
def spec(box):
    bundle = box.bundle("true")
    contains("there already", box.rt("spec", "--bundle", bundle, rc=1).stderr, "Remove it first")
    os.unlink(bundle + "/config.json")
    box.rt("spec", "--bundle", bundle)
    with open(bundle + "/config.json") as f:
        c = json.load(f)
    c["process"].update(terminal=False, args=["echo", "it runs"])
    with open(bundle + "/config.json", "w") as f:
        json.dump(c, f)
    same("output", "it runs\n", box.rt("run", "--bundle", bundle, box.id()).stdout)


@case("create --dry-run prints the plan and changes nothing")
def dry_run(box):
    bundle = box.bundle("true", lambda c: c["linux"].update(maskedPaths=["/proc/kcore"], sysctl={"net.ipv4.ip_forward": "1"}))
    plan = box.rt("create", "--dry-run", "--bundle", bundle, box.id()).stdout
    lines = plan.splitlines()
    for line in ("make pid namespace", "make cgroup namespace", "set hostname box", "make device /dev/null (node mode 020666)",
                 "mask /proc/kcore", "set sysctl linux.sysctl.net.ipv4.ip_forward to 1", "change directory to /"):
        assert line in lines, f"no {line!r} in\n{plan}"
    order = [i for i, line in enumerate(lines)
             if line.startswith(("mount /proc", "run prestart", "mask ", "change the root", "become user", "wait for start"))]
    same("order", sorted(order), order)
    assert not os.path.exists(box.state) or box.rt("list", "-q").stdout == ""
    assert not os.path.exists(f"{container.CGROUPS}/pids/berth-test-{os.getpid()}"), "made a cgroup"


@case("create --pid-file: decimal, complete, no newline")
def pid_file(box):
    path = os.path.join(box.work, "pid")
    name = box.create(SLEEP, options=["--pid-file", path])
    same("text", str(box.get(name)["pid"]), open(path).read())
    contains("no directory", box.rt("create", "--bundle", box.bundle(SLEEP), "--pid-file", "/nope/pid", box.id(),
                                    rc=1).stderr, "--pid-file")
    same("nothing left", [name], box.rt("list", "-q").stdout.split())


def open_fds(box, options=(), pass_fds=(), env=None, change=None):
    """The descriptors that the program of a container finds open, seen from inside."""
    out = box.run("ls /proc/self/fd", change, options=options, pass_fds=pass_fds, env=env)
    return sorted(int(n) for n in out.split())


@case("only descriptors 0, 1, 2 reach the program; --preserve-fds and LISTEN_FDS add to them")
def descriptors(box):
    strays = [os.open("/etc/hostname", os.O_RDONLY) for _ in range(8)]
    try:
        for fd in strays:
            os.set_inheritable(fd, True)
        # ls itself holds one for the directory
        same("strays", [0, 1, 2, 3], open_fds(box, pass_fds=strays))
        extra = os.dup2(strays[0], 3), os.dup2(strays[0], 4)
        same("--preserve-fds 2", [0, 1, 2, 3, 4, 5], open_fds(box, ["--preserve-fds", "2"], pass_fds=extra))
        env = dict(os.environ, LISTEN_FDS="1")
        env.pop("LISTEN_PID", None)
        same("LISTEN_FDS", [0, 1, 2, 3, 4], open_fds(box, pass_fds=extra, env=env))
        same("both", [0, 1, 2, 3, 4, 5], open_fds(box, ["--preserve-fds", "1"], pass_fds=extra, env=env))
        same("variables", "1 1\n", box.run("echo $LISTEN_FDS $LISTEN_PID", pass_fds=extra, env=env))
        same("of another process", [0, 1, 2, 3], open_fds(box, pass_fds=extra, env=dict(env, LISTEN_PID="1")))
        name = box.start(SLEEP)
        out = box.rt("exec", name, "ls", "/proc/self/fd", pass_fds=strays).stdout
        same("exec", [0, 1, 2, 3], sorted(int(n) for n in out.split()))
        out = box.rt("exec", "--preserve-fds", "1", name, "ls", "/proc/self/fd", pass_fds=extra).stdout
        same("exec --preserve-fds", [0, 1, 2, 3, 4], sorted(int(n) for n in out.split()))
    finally:
        for fd in set(strays) | {3, 4}:
            try:
                os.close(fd)
            except OSError:
                pass
    contains("not open", box.rt("run", "--preserve-fds", "3", "-b", box.bundle("true"), box.id(), rc=1).stderr,
             "--preserve-fds: descriptor 3 is not open")


@case("NOTIFY_SOCKET is there in the container and leads to the manager")
def notify(box):
    path = os.path.join(box.work, "notify")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(container.WAIT_S)
    same("variable", "/run/notify/notify.sock\n",
         box.run("echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET", env=dict(os.environ, NOTIFY_SOCKET=path)))
    s.close()


@case("update: options, a file, stdin; what the cgroup has then")
def update(box):
    name = box.start(SLEEP)
    group = box.cgroup(name, "pids")
    box.rt("update", "--pids-limit", "20", name)
    same("option", "20", open(group + "/pids.max").read().strip())
    box.rt("update", "--resources=-", name, stdin='{"pids": {"limit": 30}}')
    same("stdin", "30", open(group + "/pids.max").read().strip())
    path = os.path.join(box.work, "resources.json")
    with open(path, "w") as f:
        json.dump({"memory": {"limit": 64 << 20}, "cpu": {"shares": 512, "quota": 50000, "period": 100000}}, f)
    box.rt("update", "--resources", path, name)
    memory = box.cgroup(name, "memory") + ("/memory.limit_in_bytes" if container.has_v1("memory") else "/memory.max")
    same("memory", str(64 << 20), open(memory).read().strip())
    box.rt("update", "--memory", "96M", "--memory-swap", "-1", "--cpu-share", "100", name)
    same("M", str(96 << 20), open(memory).read().strip())
    if container.has_v1("cpu"):
        same("shares", "100", open(box.cgroup(name, "cpu") + "/cpu.shares").read().strip())
    contains("bad", box.rt("update", "--memory", "lots", name, rc=1).stderr, "invalid value for memory")
    contains("bad JSON", box.rt("update", "-r", "-", name, rc=1, stdin='{"pids": {"limit": "x"}}').stderr,
             "resources.pids.limit: expected an integer")


@case("events --stats has what is used; events tells when memory runs out")
def events(box):
    name = box.start("while :; do :; done")
    wait_until("it used time", lambda: json.loads(box.rt("events", "--stats", name).stdout)
               ["data"]["cpu"]["usage"]["total"] > 1000000)
    e = json.loads(box.rt("events", "--stats", name).stdout)
    same("head", ("stats", name), (e["type"], e["id"]))
    same("parts", ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"], list(e["data"]))
    same("pids", 1, e["data"]["pids"]["current"])
    assert e["data"]["memory"]["usage"]["usage"] > 0, e
    eater = box.create("while ! test -e /go; do sleep 0.01; done; tail /dev/zero",
                       lambda c: c["linux"].update(resources={"memory": {"limit": 20 << 20, "swap": 20 << 20}}))
    box.rt("start", eater)
    p = subprocess.Popen([box.runtime, "--root", box.state, "events", "--interval", "50ms", eater],
                         stdout=subprocess.PIPE, text=True)
    first = json.loads(p.stdout.readline())
    same("follows", "stats", first["type"])
    open(box.get(eater)["rootfs"] + "/go", "w").close()
    kinds = [json.loads(line)["type"] for line in p.stdout]
    assert "oom" in kinds, kinds
    same("ends with the container", 0, p.wait(container.WAIT_S))


@case("eight callers create one id: one succeeds, the rest are told")
def same_id(box):
    bundle, name = box.bundle(SLEEP), box.id()
    results = []

    def create():
        results.append(box.rt("create", "--bundle", bundle, name, rc=None))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    same("succeeded", 1, sum(p.returncode == 0 for p in results))
    for p in results:
        if p.returncode:
            contains("the rest", p.stderr, "already exists")
    same("status", "created", box.status(name))


@case("four callers start one container: it starts once")
def start_once(box):
    bundle = box.bundle("echo x >> /starts; sleep 1000")
    name, codes = box.id(), []
    box.rt("create", "--bundle", bundle, name)
    threads = [threading.Thread(target=lambda: codes.append(box.rt("start", name, rc=None).returncode)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    same("codes", [0, 1, 1, 1], sorted(codes))
    wait_until("it ran", lambda: os.path.exists(bundle + "/rootfs/starts"))
    same("starts", "x\n", open(bundle + "/rootfs/starts").read())


@case("a command's environment may be empty: no PATH, no HOME")
def no_environment(box):
    name = box.start(SLEEP, env={})
    box.rt("exec", name, "true", env={})
    box.rt("kill", name, "9", env={})
    box.rt("delete", "--force", name, env={})


@case("state is private: 0700 above everything")
def private(box):
    name = box.create(SLEEP)
    for path in (box.state, os.path.join(box.state, name)):
        same(path, 0o700, os.stat(path).st_mode & 0o777)
    lacks("names", " ".join(os.listdir(os.path.join(box.state, name))), ".state", "tmp")


if __name__ == "__main__":
    container.need_root()
    with container.Box() as the_box:
        tap.main(the_box, after_each=container.Box.sweep)
