#!/usr/bin/env python3
"""berth and containers: run, exec, logs, stop and the options that they share with docker and podman."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

LOOP = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"


def ps(r, *args):
    return json.loads(r.berth("ps", "-a", "--json", *args))


def one(r, name):
    return next(c for c in ps(r) if c["name"] == name)


def wait_log(r, name, text):
    registry.wait_until(f"{text!r} in the log of {name}", lambda: text in r.run("logs", name).stdout)


def up(r, name, *args, command=LOOP):
    """A detached container that has said that it is up."""
    r.berth("run", "-d", "--name", name, *args, r.box, "sh", "-c", command)
    wait_log(r, name, "up")


# --- run ---


@tap.case("run: output, errors and the exit status come through")
def run(r):
    p = r.run("run", "--rm", r.box, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    tap.same("result", ("out\n", "err\n", 7), (p.stdout, p.stderr, p.returncode))
    tap.same("nothing is left", [], ps(r))


@tap.case("run: statuses of docker for what cannot be run")
def not_run(r):
    tap.same("no such program", 127, r.run("run", "--rm", r.box, "nosuch", check=False).returncode)
    tap.same("no such file", 127, r.run("run", "--rm", r.box, "/no/such", check=False).returncode)
    tap.same("not executable", 126, r.run("run", "--rm", r.box, "/proc/version", check=False).returncode)
    tap.same("no such image", 125, r.run("run", "--rm", f"{r.host}/nosuch:v1", check=False).returncode)
    tap.same("no such option", 2, r.run("run", "--nosuch", r.box, check=False).returncode)
    tap.same("nothing is left", [], ps(r))


@tap.case("run -i: input goes in, and its end ends it; megabytes pass unchanged")
def stdin(r):
    tap.same("cat", "abc\n", r.berth("run", "--rm", "-i", r.box, "cat", stdin="abc\n"))
    big = "".join(f"{n:07}\n" for n in range(500000))
    tap.same("4 MB", big, r.berth("run", "--rm", "-i", r.box, "cat", stdin=big))
    tap.same("without -i there is none", "", r.berth("run", "--rm", r.box, "cat", stdin="abc\n"))


@tap.case("run -t: a terminal, of the size that ours has")
def terminal(r):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    # The first size may come after the program has asked: it asks until it has it.
    script = "tty; until [ \"$(stty size)\" = '33 111' ]; do :; done; echo size is right; read x; echo got $x"
    p = subprocess.Popen(r.command("run", "--rm", "-it", r.box, "sh", "-c", script), stdin=slave, stdout=slave,
                         stderr=slave, start_new_session=True)
    os.close(slave)
    got = b""
    sent = False
    end = time.monotonic() + runner.WAIT_S
    while time.monotonic() < end:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        if not data:
            break
        got += data
        if b"size is right" in got and not sent:
            os.write(master, b"word\r")
            sent = True
    p.wait(timeout=runner.WAIT_S)
    os.close(master)
    assert b"/dev/pts/0" in got or b"/dev/console" in got, got
    assert b"got word" in got, got
    tap.same("exit status", 0, p.returncode)


@tap.case("run --init: orphans are reaped, signals and the status pass through")
def init(r):
    if "BERTH" in os.environ:
        raise tap.Skip("a build with sanitizers is not static, and needs libraries in the container")
    # An orphan that ends is no zombie afterwards.
    script = "(sh -c 'sleep 0 & exec true' &); until ! grep -q 'State:.Z' /proc/[0-9]*/status; do :; done 2>/dev/null; exit 5"
    p = r.run("run", "--rm", "--init", r.box, "sh", "-c", script, check=False)
    tap.same("status", 5, p.returncode)
    up(r, "i", "--init")
    r.berth("stop", "i")
    tap.same("a signal", 3, one(r, "i")["exit_code"])


@tap.case("run: signals to berth go to the container")
def signals(r):
    p = subprocess.Popen(r.command("run", "--name", "sig", r.box, "sh", "-c", LOOP), stdout=subprocess.PIPE, text=True)
    tap.same("it is up", "up\n", p.stdout.readline())
    p.send_signal(signal.SIGTERM)
    tap.same("output", "bye\n", p.stdout.read())
    tap.same("exit status", 3, p.wait(timeout=runner.WAIT_S))


# --- what the image and the options say ---


@tap.case("environment: the image's, --env-file, -e, and what is taken from berth's own")
def environment(r):
    ref = r.push_busybox("env:v1", config={"Env": ["PATH=/bin", "A=image", "B=image"]})
    f = r.work / "env"
    f.write_text("# comment\nB=file\nC=file\n")
    os.environ["FROM_US"] = "yes"
    out = r.berth("run", "--rm", "--env-file", str(f), "-e", "C=flag", "-e", "FROM_US", "-e", "NOT_SET_HERE", ref, "env")
    env = dict(line.split("=", 1) for line in out.splitlines())
    tap.same("A B C", ("image", "file", "flag"), (env["A"], env["B"], env["C"]))
    tap.same("ours", "yes", env.get("FROM_US"))
    assert "NOT_SET_HERE" not in env
    tap.same("home", "/root", env["HOME"])


@tap.case("entrypoint and command, as conversion.md has them")
def entrypoint(r):
    ref = r.push_busybox("entry:v1", config={"Entrypoint": ["echo", "entry"], "Cmd": ["cmd"]})
    tap.same("both", "entry cmd\n", r.berth("run", "--rm", ref))
    tap.same("arguments replace the command", "entry mine\n", r.berth("run", "--rm", ref, "mine"))
    tap.same("--entrypoint drops it", "\n", r.berth("run", "--rm", "--entrypoint", "echo", ref))
    tap.same("an empty one", "x\n", r.berth("run", "--rm", "--entrypoint", "", ref, "echo", "x"))


@tap.case("users by name and number, groups, working directory")
def users(r):
    show = "id -u; id -g; id -G; pwd; echo $HOME"
    ref = r.push_busybox("user:v1", config={"User": "www", "WorkingDir": "/tmp"})
    tap.same("the image's", "33\n33\n33 44\n/tmp\n/var/www\n", r.berth("run", "--rm", ref, "sh", "-c", show))
    tap.same("by number, unknown", "1234\n5\n5\n/\n/\n",
             r.berth("run", "--rm", "-u", "1234:5", "-w", "/", ref, "sh", "-c", show))
    tap.same("--group-add", "0\n0\n0 33 99\n/new/dir\n/root\n",
             r.berth("run", "--rm", "-u", "root", "--group-add", "www", "--group-add", "99", "-w", "/new/dir", ref,
                     "sh", "-c", show))
    p = r.run("run", "--rm", "-u", "nobody-here", ref, check=False)
    assert "no user nobody-here" in p.stderr, p.stderr


@tap.case("capabilities: docker's, more, less, none for other users, all for privileged")
def capabilities(r):
    def caps(*args):
        out = r.berth("run", "--rm", *args, r.box, "grep", "Cap", "/proc/self/status")
        return {line.split(":")[0]: int(line.split()[1], 16) for line in out.splitlines()}

    tap.same("docker's", 0xA80425FB, caps()["CapEff"])
    tap.same("one more", 0xA80425FB | 1 << 12, caps("--cap-add", "NET_ADMIN")["CapEff"])
    tap.same("only one", 1 << 10, caps("--cap-drop", "ALL", "--cap-add", "CAP_NET_BIND_SERVICE")["CapEff"])
    other = caps("-u", "33")
    tap.same("another user", (0, 0xA80425FB), (other["CapEff"], other["CapBnd"]))
    tap.same("another user, by name of the capability", 1 << 10,
             caps("-u", "33", "--cap-add", "NET_BIND_SERVICE")["CapEff"])
    bound = int(next(x for x in open("/proc/self/status") if x.startswith("CapBnd")).split()[1], 16)
    tap.same("privileged", bound, caps("--privileged")["CapEff"])


@tap.case("confinement: system calls, masked and read-only paths, and what lifts it")
def confinement(r):
    mount = "mount -t tmpfs none /tmp 2>&1; echo $?"
    assert "1\n" in r.berth("run", "--rm", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", r.box, "sh", "-c",
                            "echo x >/proc/sys/kernel/core_pattern 2>/dev/null; echo $?")
    tap.same("unshare is refused", "1\n", r.berth("run", "--rm", r.box, "sh", "-c", "unshare -U true 2>/dev/null; echo $?"))
    tap.same("seccomp=unconfined lets it", "0\n",
             r.berth("run", "--rm", "--security-opt", "seccomp=unconfined", r.box, "sh", "-c", "unshare -U true; echo $?"))
    tap.same("filters are loaded", "Seccomp:\t2\n", r.berth("run", "--rm", r.box, "grep", "Seccomp:", "/proc/self/status"))
    tap.same("no-new-privileges", "NoNewPrivs:\t1\n",
             r.berth("run", "--rm", "--security-opt", "no-new-privileges", r.box, "grep", "NoNewPrivs", "/proc/self/status"))
    tap.same("a masked file is empty", "0\n", r.berth("run", "--rm", r.box, "sh", "-c", "wc -c </proc/interrupts"))
    tap.same("privileged may mount", "0\n", r.berth("run", "--rm", "--privileged", r.box, "sh", "-c", mount))


@tap.case("files: volumes, tmpfs, --mount, read-only, devices")
def files(r):
    host = r.work / "host"
    host.mkdir(exist_ok=True)
    (host / "f").write_text("from the host")
    tap.same("-v", "from the host", r.berth("run", "--rm", "-v", f"{host}:/mnt", r.box, "cat", "/mnt/f"))
    p = r.run("run", "--rm", "-v", f"{host}:/mnt:ro", r.box, "touch", "/mnt/x", check=False)
    tap.same("ro", 1, p.returncode)
    r.berth("run", "--rm", "--mount", f"type=bind,src={host},dst=/a/b", r.box, "touch", "/a/b/made")
    assert (host / "made").exists()
    r.berth("run", "--rm", "-v", "data:/data", r.box, "sh", "-c", "echo kept >/data/x")
    tap.same("a volume by name outlives containers", "kept\n",
             r.berth("run", "--rm", "-v", "data:/data", r.box, "cat", "/data/x"))
    out = r.berth("run", "--rm", "--tmpfs", "/t:size=1m", r.box, "sh", "-c", "grep ' /t ' /proc/mounts")
    assert "tmpfs" in out and "size=1024k" in out, out
    p = r.run("run", "--rm", "--read-only", r.box, "touch", "/x", check=False)
    tap.same("--read-only", 1, p.returncode)
    tap.same("--shm-size", "8.0M\n",
             r.berth("run", "--rm", "--shm-size", "8m", r.box, "sh", "-c", "df -h /dev/shm | tail -1 | awk '{print $2}'"))
    tap.same("--device", "c\n", r.berth("run", "--rm", "--device", "/dev/null:/dev/nothing", r.box, "sh", "-c",
                                        "[ -c /dev/nothing ] && echo c"))


@tap.case("limits: memory, processes, processors, ulimits, sysctls")
def limits(r):
    def cgroup(file):
        return f"cat /sys/fs/cgroup/{file}"

    tap.same("--memory", f"{64 << 20}\n", r.berth("run", "--rm", "-m", "64m", r.box, "sh", "-c",
                                                  cgroup("memory/memory.limit_in_bytes")))
    tap.same("--pids-limit", "17\n", r.berth("run", "--rm", "--pids-limit", "17", r.box, "sh", "-c", cgroup("pids/pids.max")))
    tap.same("--cpus", "150000\n", r.berth("run", "--rm", "--cpus", "1.5", r.box, "sh", "-c", cgroup("cpu/cpu.cfs_quota_us")))
    tap.same("--ulimit", "77\n", r.berth("run", "--rm", "--ulimit", "nofile=77:99", r.box, "sh", "-c", "ulimit -n"))
    tap.same("--sysctl", "9\n", r.berth("run", "--rm", "--sysctl", "net.ipv4.ip_default_ttl=9", r.box, "cat",
                                        "/proc/sys/net/ipv4/ip_default_ttl"))


@tap.case("memory that runs out is noted")
def out_of_memory(r):
    p = r.run("run", "--name", "oom", "-m", "16m", r.box, "sh", "-c", "x=a; while :; do x=$x$x; done", check=False)
    tap.same("exit status", 137, p.returncode)
    tap.same("noted", True, one(r, "oom")["oom"])


@tap.case("names: hostname, /etc/hosts, generated names, names that are taken")
def names(r):
    out = r.berth("run", "--rm", "--hostname", "here", r.box, "sh", "-c", "hostname; cat /etc/hostname; grep here /etc/hosts")
    tap.same("hostname", ["here", "here", "127.0.1.1 here"], out.splitlines())
    r.berth("create", "--name", "taken", r.box)
    p = r.run("create", "--name", "taken", r.box, check=False)
    assert p.returncode == 125 or p.returncode == 1
    assert "taken" in p.stderr, p.stderr
    identity = one(r, "taken")["id"]
    tap.same("by the beginning of the id", identity, json.loads(r.berth("inspect", identity[:8]))[0]["state"]["id"])


@tap.case("networks: none has a loopback alone, host has the machine's")
def networks(r):
    tap.same("none", ["lo"], sorted(r.berth("run", "--rm", r.box, "ls", "/sys/class/net").split()))
    tap.same("host", sorted(os.listdir("/sys/class/net")),
             sorted(r.berth("run", "--rm", "--network", "host", r.box, "ls", "/sys/class/net").split()))


# --- while it runs ---


@tap.case("exec: output, status, input, user, environment, terminal, what cannot be run")
def execute(r):
    up(r, "e", "-e", "A=1")
    p = r.run("exec", "e", "sh", "-c", "echo out; echo err >&2; exit 4", check=False)
    tap.same("result", ("out\n", "err\n", 4), (p.stdout, p.stderr, p.returncode))
    tap.same("-i", "hello", r.berth("exec", "-i", "e", "cat", stdin="hello"))
    tap.same("-u -e -w", "33 1 2 /tmp\n",
             r.berth("exec", "-u", "www", "-e", "B=2", "-w", "/tmp", "e", "sh", "-c", "echo $(id -u) $A $B $PWD"))
    tap.same("-t", "/dev/pts/0\n", r.berth("exec", "-t", "e", "tty"))
    tap.same("no such program", 127, r.run("exec", "e", "nosuch", check=False).returncode)
    r.berth("exec", "-d", "e", "sh", "-c", "echo done >/tmp/flag")
    registry.wait_until("exec -d", lambda: r.run("exec", "e", "cat", "/tmp/flag", check=False).stdout == "done\n")
    r.berth("stop", "e")
    p = r.run("exec", "e", "true", check=False)
    assert p.returncode == 1 and "not running" in p.stderr, p


@tap.case("exec: many at once, each with its own output")
def execute_many(r):
    up(r, "m")
    running = [subprocess.Popen(r.command("exec", "m", "sh", "-c", f"echo {n}; exit {n}"), stdout=subprocess.PIPE, text=True)
               for n in range(20)]
    for n, p in enumerate(running):
        tap.same("output", f"{n}\n", p.communicate(timeout=runner.WAIT_S)[0])
        tap.same("status", n, p.returncode)


@tap.case("logs: all, the last lines, with times, followed to the end; parts of lines become lines")
def logs(r):
    r.berth("run", "--name", "l", r.box, "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; printf half; echo ' whole'")
    tap.same("all", [f"line {n}" for n in range(1, 6)] + ["half whole"], r.berth("logs", "l").splitlines())
    tap.same("--tail", ["line 5", "half whole"], r.berth("logs", "--tail", "2", "l").splitlines())
    stamped = r.berth("logs", "-t", "l").splitlines()[0]
    assert stamped.endswith("+00:00 line 1") and stamped.startswith("20"), stamped
    up(r, "f", command="echo up; for i in $(seq 200); do echo $i; done; sleep 0.3; echo last")
    tap.same("-f", 202, len(r.berth("logs", "-f", "f").splitlines()))


@tap.case("logs: the file is what Kubernetes and podman read, or docker's")
def log_formats(r):
    text = "printf 'a\\nb'; printf 'c\\n' >&2"
    r.berth("run", "--name", "k", r.box, "sh", "-c", text)
    lines = (r.root / "containers" / one(r, "k")["id"] / "log").read_text().splitlines()
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00 (stdout|stderr) ([FP]) (.*)")
    tap.same("k8s-file", {("stdout", "F", "a"), ("stdout", "P", "b"), ("stderr", "F", "c")},
             {form.fullmatch(x).groups() for x in lines})
    r.run("run", "--name", "j", "--log-driver", "json-file", r.box, "sh", "-c", "printf 'q\"\\001\\n\\377x\\n'")
    entries = [json.loads(x) for x in (r.root / "containers" / one(r, "j")["id"] / "log").read_text().splitlines()]
    tap.same("json-file", [("q\"\x01\n", "stdout"), ("\ufffdx\n", "stdout")], [(e["log"], e["stream"]) for e in entries])
    tap.same("read back", 'q"\x01\n\ufffdx\n', r.berth("logs", "j"))


@tap.case("logs: a file that gets too large is rotated, and the oldest goes")
def rotation(r):
    r.berth("run", "--name", "rot", "--log-opt", "max-size=10k", "--log-opt", "max-file=3", r.box, "sh", "-c",
            "for i in $(seq 2000); do echo line $i; done")
    d = r.root / "containers" / one(r, "rot")["id"]
    files = sorted(f.name for f in d.glob("log*"))
    tap.same("files", ["log", "log.1", "log.2"], files)
    for f in files:
        assert (d / f).stat().st_size <= 10240, f
    out = r.berth("logs", "rot").splitlines()
    tap.same("the last line", "line 2000", out[-1])
    first = int(out[0].split()[1])
    tap.same("no line is missing in between", [f"line {n}" for n in range(first, 2001)], out)


@tap.case("stop asks, then kills; the image's and our own stop signal")
def stop(r):
    up(r, "s")
    r.berth("stop", "s")
    tap.same("asked", ("exited", 3), (one(r, "s")["status"], one(r, "s")["exit_code"]))
    up(r, "deaf", command="trap '' TERM; echo up; while :; do sleep 0.05; done")
    began = time.monotonic()
    r.berth("stop", "-t", "1", "deaf")
    assert time.monotonic() - began >= 1
    tap.same("killed", 137, one(r, "deaf")["exit_code"])
    up(r, "usr", "--stop-signal", "SIGUSR1", command="trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done")
    r.berth("stop", "usr")
    tap.same("another signal", 9, one(r, "usr")["exit_code"])


@tap.case("start, restart, kill, pause, unpause, wait, rm")
def life(r):
    identity = r.berth("create", "--name", "c", r.box, "sh", "-c", LOOP).strip()
    tap.same("created", "created", one(r, "c")["status"])
    r.berth("start", identity)
    wait_log(r, "c", "up")
    p = r.run("rm", "c", check=False)
    assert p.returncode == 1 and "running" in p.stderr, p
    pid = one(r, "c")["pid"]
    r.berth("restart", "c")
    assert one(r, "c")["pid"] not in (0, pid)
    r.berth("pause", "c")
    tap.same("paused", "paused", one(r, "c")["status"])
    r.berth("unpause", "c")
    tap.same("running", "running", one(r, "c")["status"])
    waiting = subprocess.Popen(r.command("wait", "c"), stdout=subprocess.PIPE, text=True)
    r.berth("kill", "-s", "KILL", "c")
    tap.same("wait", "137\n", waiting.communicate(timeout=runner.WAIT_S)[0])
    registry.wait_until("the end", lambda: one(r, "c")["status"] == "exited")
    tap.same("wait afterwards", "137\n", r.berth("wait", "c"))
    r.berth("rm", "c")
    tap.same("gone", [], ps(r))


@tap.case("start right after the end, again and again")
def again(r):
    r.berth("run", "--name", "again", r.box, "sh", "-c", "echo x >>/n; wc -l </n")
    for _ in range(10):
        r.berth("start", "again")
        r.berth("wait", "again")
    tap.same("runs", [str(n) for n in range(1, 12)], r.berth("logs", "again").split())


@tap.case("a container keeps its changes, and its image")
def keeps(r):
    r.berth("run", "--name", "k", r.box, "sh", "-c", "echo changed >/etc/new; rm -f /etc/group")
    r.berth("rmi", r.box)
    r.berth("start", "k")
    r.berth("wait", "k")
    d = r.root / "containers" / one(r, "k")["id"] / "upper"
    tap.same("the change", "changed\n", (d / "etc/new").read_text())
    r.berth("prune")
    r.berth("start", "k")
    tap.same("runs after prune", "0\n", r.berth("wait", "k"))


@tap.case("restart policies: on-failure up to a number, always until it is stopped")
def restarts(r):
    r.berth("run", "-d", "--name", "f", "--restart", "on-failure:2", r.box, "sh", "-c", "echo x; exit 1")
    registry.wait_until("three runs", lambda: one(r, "f")["status"] == "exited")
    tap.same("runs", ["x"] * 3, r.berth("logs", "f").splitlines())
    tap.same("restarts", 2, one(r, "f")["restarts"])
    r.berth("run", "-d", "--name", "a", "--restart", "always", r.box, "sh", "-c", "echo x; sleep 0.05")
    registry.wait_until("several runs", lambda: one(r, "a")["restarts"] >= 2)
    r.berth("stop", "a")
    tap.same("stopped", "exited", one(r, "a")["status"])
    p = r.run("run", "-d", "--rm", "--restart", "always", r.box, check=False)
    tap.same("--rm excludes --restart", 2, p.returncode)


@tap.case("health checks: starting, healthy, unhealthy")
def health(r):
    up(r, "h", "--health-cmd", "test -e /tmp/good", "--health-interval", "100ms", "--health-retries", "2")
    registry.wait_until("unhealthy", lambda: one(r, "h")["health"] == "unhealthy")
    r.berth("exec", "h", "touch", "/tmp/good")
    registry.wait_until("healthy", lambda: one(r, "h")["health"] == "healthy")
    ref = r.push_busybox("health:v1", config={"Healthcheck": {"Test": ["CMD-SHELL", "exit 0"], "Interval": 50000000}})
    r.berth("run", "-d", "--name", "i", ref, "sleep", "100")
    registry.wait_until("the image's", lambda: one(r, "i")["health"] == "healthy")


@tap.case("top, stats, diff")
def look(r):
    up(r, "l", command="rm /etc/group; echo x >/etc/passwd; mkdir /new; echo y >/new/f; echo up; while :; do sleep 0.05; done")
    assert "sh -c" in r.berth("top", "l"), r.berth("top", "l")
    seen = json.loads(r.berth("stats", "--no-stream", "--json", "l"))
    tap.same("stats", ["l"], [c["name"] for c in seen])
    assert seen[0]["memory_bytes"] > 0 and seen[0]["pids"] >= 1 and seen[0]["cpu_percent"] >= 0, seen
    tap.same("diff", ["A /new", "A /new/f", "C /etc", "C /etc/passwd", "D /etc/group"], sorted(
        x for x in r.berth("diff", "l").splitlines() if not x.endswith(("hosts", "hostname", "resolv.conf"))))


@tap.case("attach: two clients see the output; one that does not read holds nobody up")
def attach(r):
    up(r, "a", "-i", command="echo up; read x; echo got $x; i=0; while [ $i -lt 4000 ]; do "
       "i=$((i+1)); echo $i 0123456789012345678901234567890123456789012345678901234567890123456789; done; echo last; sleep 0.2")
    shim_fds = pathlib.Path(f"/proc/{shim_of(r, 'a')}/fd")
    idle = len(list(shim_fds.iterdir()))
    watcher = subprocess.Popen(r.command("attach", "--no-stdin", "a"), stdout=subprocess.PIPE, text=True)
    lazy = subprocess.Popen(r.command("attach", "--no-stdin", "a"), stdout=subprocess.PIPE)
    feeder = subprocess.Popen(r.command("attach", "a"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    registry.wait_until("all are connected", lambda: len(list(shim_fds.iterdir())) >= idle + 3)
    lazy.send_signal(signal.SIGSTOP)
    feeder.stdin.write("word\n")
    feeder.stdin.flush()
    out = watcher.communicate(timeout=runner.WAIT_S)[0].splitlines()
    tap.same("first", "got word", out[0])
    tap.same("last", "last", out[-1])
    tap.same("lines", 4002, len(out))
    for p in (lazy, feeder):
        p.kill()
        p.communicate()


def shim_of(r, name):
    """The pid of a container's shim: who has its lock."""
    lock = r.root / "containers" / one(r, name)["id"] / "shim"
    inode = lock.stat().st_ino
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) != "berth-shim":
                continue
            if any(os.stat(f"/proc/{pid}/fd/{f}").st_ino == inode for f in os.listdir(f"/proc/{pid}/fd")):
                return int(pid)
        except OSError:
            continue
    raise AssertionError(f"no shim of {name}")


@tap.case("a shim is small")
def small(r):
    if "BERTH" in os.environ:
        raise tap.Skip("another build than the released one")
    up(r, "small")
    pid = shim_of(r, "small")
    rss = next(int(x.split()[1]) for x in open(f"/proc/{pid}/status") if x.startswith("VmRSS"))
    assert rss < 2048, f"{rss} kB resident"
    print(f"# a shim has {rss} kB resident")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP namespaces and mounts need root")
        sys.exit(0)
    with runner.Runner() as r:
        r.box = r.push_busybox()
        r.berth("pull", r.box)
        tap.main(r, after_each=runner.Runner.sweep)
