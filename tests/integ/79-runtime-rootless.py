#!/usr/bin/env python3
"""An ordinary user with subordinate ids: what works without root, and what is refused with its reason.

Root prepares a mount namespace in which the user has a name and subordinate ids, and a group of cgroup version 2 that is
the user's; this program then calls itself as that user.
"""
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, lacks, wait_until  # noqa: E402
from tap import case, same  # noqa: E402

UID, SUB, SUB_N = 64999, 300000, 65536
SLEEP = "exec sleep 1000"
DELEGATED = os.environ.get("BERTH_DELEGATED")  # the user's cgroup, where version 2 is all there is


def plain(c):
    """Without a path for cgroups: a group that was asked for must be made, and that is root's."""
    c["linux"].pop("cgroupsPath", None)


def mapped(c):
    plain(c)
    maps = [{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": SUB, "size": SUB_N - 1}]
    c["linux"]["namespaces"].append({"type": "user"})
    c["linux"]["uidMappings"] = maps
    c["linux"]["gidMappings"] = maps


def status_of(pid, field):
    with open(f"/proc/{pid}/status") as f:
        return re.search(rf"^{field}:\s*(.*)$", f.read(), re.M)[1].split()


@case("without a user namespace in config.json there is one all the same: root inside, oneself outside")
def implied(box):
    same("inside", "0 0\n", box.run("echo $(id -u) $(id -g)", plain))
    name = box.start(SLEEP, plain)
    same("outside", [str(UID)] * 4, status_of(box.get(name)["pid"], "Uid"))
    same("files", UID, os.stat(box.get(name)["rootfs"]).st_uid)
    same("list", [(name, "running", "tester")], [(e["id"], e["status"], e["owner"]) for e in json.loads(box.rt("list", "-f", "json").stdout)])


@case("subordinate ids by newuidmap and newgidmap: other users inside, also for exec and files")
def subordinate(box):
    def change(c):
        mapped(c)
        c["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7, 8]}

    bundle = box.bundle("echo $(id -u) $(id -G); touch /tmp/mine; exec sleep 1000", change)
    os.chmod(os.path.join(bundle, "rootfs/tmp"), 0o1777)
    name = box.id()
    box.rt("run", "--detach", "--bundle", bundle, name)
    pid = box.get(name)["pid"]
    same("uid outside", [str(SUB + 999)] * 4, status_of(pid, "Uid"))
    same("groups outside", [str(SUB + 6), str(SUB + 7)], status_of(pid, "Groups"))
    wait_until("a file", lambda: os.path.exists(bundle + "/rootfs/tmp/mine"))
    same("its owner", SUB + 999, os.stat(bundle + "/rootfs/tmp/mine").st_uid)
    same("exec", "0 5\n", box.rt("exec", "--user", "0:5", name, "sh", "-c", "echo $(id -u) $(id -g)").stdout)
    box.rt("exec", "--user", "0", name, "rm", "/tmp/mine")


@case("ids that are not the user's are refused, and the property is named")
def not_ours(box):
    for host in (0, 1000, SUB - 1, SUB + SUB_N):
        def change(c, h=host):
            mapped(c)
            c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": h, "size": 1}]

        contains(str(host), box.fails(change=change), "linux.uidMappings")

    def groups(c):
        mapped(c)
        c["linux"]["gidMappings"] = c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": UID, "size": 1}]
        c["process"]["user"]["additionalGids"] = [7]

    contains("groups without a map", box.fails(change=groups), "additionalGids")


@case("create, start, exec, kill, delete, and what needs a cgroup: told")
def life(box):
    name = box.create(SLEEP, mapped)
    same("created", "created", box.status(name))
    box.rt("start", name)
    same("ps or its reason", True, box.rt("ps", name, rc=None).returncode in (0, 1))
    same("exec", 6, box.rt("exec", name, "sh", "-c", "exit 6", rc=6).returncode)
    if not DELEGATED:
        contains("pause", box.rt("pause", name, rc=1).stderr, "cgroup")
        contains("resources", box.fails(change=lambda c: (mapped(c), c["linux"].update(
            cgroupsPath="/berth-rootless", resources={"pids": {"limit": 5}}))), "cgroup", "Permission denied")
    box.rt("kill", name, "KILL")
    box.wait_stopped(name)
    box.rt("delete", name)
    contains("gone", box.rt("state", name, rc=1).stderr, "does not exist")
    box.run("exit 3", mapped, rc=3)


@case("mounts, devices, masks, sysctl, seccomp, limits, hooks, namespaces: as for root")
def properties(box):
    source = os.path.join(box.work, "source")
    os.makedirs(source, exist_ok=True)
    with open(os.path.join(source, "file"), "w") as f:
        f.write("text\n")
    log = os.path.join(box.work, "hooks")

    def change(c):
        mapped(c)
        c["mounts"] += [{"destination": "/v", "type": "bind", "source": source, "options": ["rbind", "ro"]},
                        {"destination": "/f", "type": "bind", "source": source + "/file", "options": ["bind"]},
                        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"]},
                        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}]
        c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]
        c["process"]["capabilities"] = {k: ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"] for k in ("bounding", "permitted", "effective")}
        c["linux"].update(maskedPaths=["/proc/timer_list", "/tmp"], readonlyPaths=["/proc/sys"], sysctl={"net.ipv4.ip_forward": "1"},
                          seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]})
        c["hooks"] = {k: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {k} >>{log}"]}]
                      for k in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")}

    out = box.run("cat /v/file /f; touch /v/x || echo ro; test -f /etc/passwd && echo copied; ulimit -n; "
                  "echo x >/dev/null && head -c 1 /dev/zero | wc -c; stat -c %t:%T /proc/timer_list; ls /tmp; "
                  "cat /proc/sys/net/ipv4/ip_forward; echo 0 2>/dev/null >/proc/sys/net/ipv4/ip_forward || echo ro; "
                  "mkdir /nope 2>/dev/null || echo filtered; hostname; ls /proc/self/fd | wc -l", change)
    same("output", "text\ntext\nro\ncopied\n50\n1\n1:3\n1\nro\nfiltered\nbox\n4\n", out)
    with open(log) as f:
        same("hooks", ["prestart", "createRuntime", "createContainer", "poststart", "poststop"], f.read().split())
    contains("privileged devices", box.fails(change=lambda c: (mapped(c), c["linux"].update(
        devices=[{"path": "/dev/disk9", "type": "b", "major": 8, "minor": 9}]))), "/dev/disk9")


@case("a terminal, by console socket and in the foreground")
def terminals(box):
    path = os.path.join(box.work, "console")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    server.settimeout(container.WAIT_S)

    def change(c):
        mapped(c)
        c["process"]["terminal"] = True

    name = box.create("tty; read x; echo got $x; " + SLEEP, change, ["--console-socket", path])
    master = socket.recv_fds(server.accept()[0], 100, 1)[1][0]
    box.rt("start", name)
    os.write(master, b"word\n")
    text = ""
    while "got word" not in text:
        text += os.read(master, 4096).decode()
    contains("terminal", text, "/dev/pts/0")
    os.close(master)
    server.close()
    ours, theirs = pty.openpty()
    p = subprocess.run([box.runtime, "--root", box.state, "run", "--bundle", box.bundle("tty; exit 4", change), box.id()],
                       stdin=theirs, stdout=theirs, stderr=theirs, timeout=container.WAIT_S, check=False)
    contains("foreground", os.read(ours, 4096).decode(), "/dev/pts/0")
    same("status", 4, p.returncode)
    os.close(ours)
    os.close(theirs)


@case("RUN-14: /sys/fs/cgroup cannot be written to, with and without network and cgroup namespaces of its own")
def cgroup_files(box):
    script = """
        for d in $(find /sys/fs/cgroup -type d 2>/dev/null | head -n 300); do
            mkdir $d/evil 2>/dev/null && echo made $d/evil
            echo 1 2>/dev/null >$d/cgroup.procs && echo wrote $d/cgroup.procs
        done; grep -c . /proc/self/cgroup
    """

    def host_sys(c):
        c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/sys"]
        c["mounts"].append({"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]})

    def without(c, *types):
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] not in types]

    for change in (lambda c: None, lambda c: without(c, "cgroup"), lambda c: without(c, "network"),
                   lambda c: without(c, "network", "cgroup"), host_sys, lambda c: (host_sys(c), without(c, "network", "cgroup"))):
        out = box.run(script, lambda c: (mapped(c), change(c)))
        assert re.fullmatch(r"\d+\n", out), out


@case("RUN-01: the runtime's binary is a sealed copy here, and stays as it is")
def own_binary(box):
    attack = os.environ["BERTH_ATTACK"]
    with open(box.runtime, "rb") as f:
        before = f.read()
    bundle = box.bundle("attack exe 1 >/tmp/result; sleep 1000", mapped)
    shutil.copy2(attack, os.path.join(bundle, "rootfs/bin/attack"))
    name = box.id()
    box.rt("run", "--detach", "--bundle", bundle, name)
    result = os.path.join(bundle, "rootfs/tmp/result")
    while not (os.path.exists(result) and os.path.getsize(result)):
        box.rt("exec", name, "/proc/self/exe", "--version", rc=None)
    with open(result) as f:
        text = f.read()
    m = re.match(r"caught (\d+) written (\d+) ", text)
    assert m and int(m[1]) > 0 and m[2] == "0", text
    with open(box.runtime, "rb") as f:
        assert f.read() == before, "the binary was changed"


@case("what the user may not read stays unread; signals reach nobody else")
def limits_of_user(box):
    out = box.run("cat /v/shadow 2>&1; kill -0 1 && echo own; id -u", lambda c: (mapped(c), c["mounts"].append(
        {"destination": "/v", "type": "bind", "source": "/etc", "options": ["rbind", "ro"]})))
    contains("inside", out, "ermission denied", "own", "0")


@case("in a delegated group of version 2: limits, pause, ps, kill --all; nothing is left of it")
def delegated(box):
    if not DELEGATED:
        raise tap.Skip("no group of version 2 can be delegated here")

    def change(c):
        mapped(c)
        c["linux"].update(cgroupsPath="box", resources={"unified": {"cgroup.max.descendants": "5"}})

    name = box.start("sleep 1000 & " + SLEEP, change)
    group = os.path.join(DELEGATED, "box")
    with open(os.path.join(group, "cgroup.max.descendants")) as f:
        same("limit", "5\n", f.read())
    wait_until("two processes", lambda: len(json.loads(box.rt("ps", "-f", "json", name).stdout)) == 2)
    box.rt("pause", name)
    same("paused", "paused", box.status(name))
    box.rt("resume", name)
    box.rt("update", "--resources", "-", name, stdin='{"unified": {"cgroup.max.descendants": "6"}}')
    with open(os.path.join(group, "cgroup.max.descendants")) as f:
        same("limit", "6\n", f.read())
    box.rt("exec", name, "true")
    box.rt("kill", "--all", name, "KILL")
    box.wait_stopped(name)
    box.rt("delete", name)
    assert not os.path.exists(group), "the group is left"


def prepare(top):
    """What the user needs of root: names, ids, a cgroup; as a shell script for a mount namespace of its own."""
    for name, line in (("passwd", f"tester:x:{UID}:{UID}::{top}:/bin/sh\n"), ("group", f"tester:x:{UID}:\n")):
        with open(f"/etc/{name}") as f:
            text = f.read()
        pathlib.Path(top, name).write_text(text.rstrip("\n") + "\n" + line)
    pathlib.Path(top, "subid").write_text(f"tester:{SUB}:{SUB_N}\n")
    for source, place in ((container.RUNTIME, "berth-runtime"), (container.TOP + "/build/release/tests/lib/attack", "attack"), (__file__, "integ/test.py"),
                          (container.__file__, "lib/container.py"), (tap.__file__, "lib/tap.py")):
        os.makedirs(os.path.dirname(os.path.join(top, place)), exist_ok=True)
        shutil.copy(source, os.path.join(top, place))
    os.mkdir(os.path.join(top, "run"))
    os.chown(os.path.join(top, "run"), UID, UID)
    group = f"{container.CGROUPS}/berth-rootless-{os.getpid()}"
    return group, f"""
        for f in passwd group; do mount --bind {top}/$f /etc/$f || exit; done
        for f in subuid subgid; do [ -e /etc/$f ] || : >/etc/$f; mount --bind {top}/subid /etc/$f || exit; done
        if [ "$BERTH_DELEGATED" ]; then
            while mountpoint -q {container.CGROUPS}; do umount -R -l {container.CGROUPS}; done
            mount -t cgroup2 none {container.CGROUPS} && mkdir -p {group}/tests && chown {UID} {group} {group}/cgroup.* {group}/tests \
                {group}/tests/cgroup.procs && echo $$ >{group}/tests/cgroup.procs || exit
        fi
        cd {top}
        exec setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all "$@"
    """


def as_user(top, delegated_):
    group, script = prepare(top)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": top, "XDG_RUNTIME_DIR": top + "/run", "TMPDIR": top + "/run",
           "BERTH_RUNTIME": top + "/berth-runtime", "BERTH_ATTACK": top + "/attack", "BERTH_DELEGATED": group if delegated_ else "",
           "PYTHONDONTWRITEBYTECODE": "1"}
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    p = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", python, top + "/integ/test.py"],
                         env=env)
    try:
        return p.wait()
    finally:
        p.send_signal(signal.SIGKILL)
        for d in (container.CGROUPS + "/unified" + group[len(container.CGROUPS):], group):
            subprocess.run(["find", d, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], stderr=subprocess.DEVNULL, check=False)


def main():
    container.need_root()
    for program in ("setpriv", "newuidmap"):
        if not shutil.which(program):
            print(f"1..0 # SKIP {program} is not installed")
            return 0
    status = 0
    for delegated_ in (False, True):
        with tempfile.TemporaryDirectory(prefix="berth-user.") as top:
            os.chmod(top, 0o755)
            status |= as_user(top, delegated_)
    return status


if __name__ == "__main__":
    if os.geteuid() == UID:
        with container.Box() as the_box:
            tap.main(the_box, after_each=container.Box.sweep)
    sys.exit(main())
