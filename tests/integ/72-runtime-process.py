#!/usr/bin/env python3
"""The process and its namespaces: every property of config.json under process and linux that is about them."""
import ctypes
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, lacks, wait_until  # noqa: E402
from tap import case, same  # noqa: E402

SLEEP = "exec sleep 1000"
NAMESPACES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "user": "user",
              "cgroup": "cgroup", "time": "time"}


def userns(c):
    c["linux"]["namespaces"].append({"type": "user"})
    c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def ns(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{NAMESPACES[kind]}")


def status_of(text, field):
    return re.search(rf"^{field}:[ \t]*(.*)$", text, re.M)[1].split()


@case("args, env, cwd; the program is looked for along the container's PATH")
def args_env_cwd(box):
    same("args", "a b\n\n$c\n", box.run(None, lambda c: c["process"].update(args=["printf", r"%s\n", "a b", "", "$c"])))
    same("env", ["A=1", "B=", "HOME=/root", "PATH=/bin"], sorted(box.run(None, lambda c: c["process"].update(
        args=["env"], env=["PATH=/bin", "A=1", "B="])).split()))
    bundle = box.bundle(None, lambda c: c["process"].update(args=["tool"], env=["PATH=/nope:/etc:/opt/tools:/bin"]))
    os.makedirs(bundle + "/rootfs/opt/tools")
    with open(bundle + "/rootfs/opt/tools/tool", "w") as f:
        f.write("#!/bin/sh\necho from $0\n")
    os.chmod(bundle + "/rootfs/opt/tools/tool", 0o755)
    same("PATH", "from /opt/tools/tool\n", box.rt("run", "-b", bundle, box.id()).stdout)
    same("cwd is made", "/a/b/c\n755 0\n", box.run("pwd; stat -c '%a %u' .", lambda c: c["process"].update(cwd="/a/b/c")))
    same("PWD of a link", "/tmp\n", box.run("pwd -P", lambda c: c["process"].update(cwd="/./tmp/../tmp")))
    same("the last of a name", "2\n", box.run("env | grep -c ^A= | sed s/1/$A/", lambda c: c["process"].update(
        env=["PATH=/bin", "A=1", "A=2"])))


@case("HOME comes from the container's passwd when it is not set")
def home(box):
    for uid, want in ((0, "/root"), (1000, "/home/some"), (4242, "/")):
        same(str(uid), want + "\n", box.run("echo $HOME", lambda c, u=uid: c["process"].update(user={"uid": u, "gid": 0})))
    same("set", "/mine\n", box.run("echo $HOME", lambda c: c["process"]["env"].append("HOME=/mine")))


@case("user: ids, additional groups exactly, umask")
def user(box):
    def change(c):
        c["process"]["user"] = {"uid": 11, "gid": 12, "additionalGids": [5, 6, 4294967294], "umask": 0o27}

    out = box.run("cat /proc/self/status; umask", change)
    same("uid", ["11"] * 4, status_of(out, "Uid"))
    same("gid", ["12"] * 4, status_of(out, "Gid"))
    same("groups", ["5", "6", "4294967294"], status_of(out, "Groups"))
    contains("umask", out, "0027\n")
    out = box.run("cat /proc/self/status; umask")
    same("none of ours", [], status_of(out, "Groups"))
    contains("default", out, "0022\n")


@case("capabilities: five sets; unknown and ungrantable ones are warnings")
def capabilities(box):
    names = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
             "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL", "CAP_CHOWN"], "ambient": ["CAP_KILL"]}
    bits = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_NET_RAW": 13}

    def change(c, user=None, sets=None):
        c["process"]["capabilities"] = sets or names
        c["process"]["user"] = user or {"uid": 0, "gid": 0}

    def mask(names_):
        return "%016x" % sum(1 << bits[n] for n in names_)

    out = box.run("cat /proc/self/status", lambda c: change(c, {"uid": 3, "gid": 3}))
    same("of a user: ambient is what stays", [mask(["CAP_KILL"])] * 2 + [mask(names["bounding"]), mask(names["ambient"])],
         [status_of(out, f"Cap{s}")[0] for s in ("Prm", "Eff", "Bnd", "Amb")])
    same("inheritable", mask(names["inheritable"]), status_of(out, "CapInh")[0])
    out = box.run("cat /proc/self/status")
    same("none asked for, none given", ["0" * 16] * 5, [status_of(out, f"Cap{s}")[0] for s in ("Inh", "Prm", "Eff", "Bnd", "Amb")])
    name = box.id()
    p = box.rt("create", "-b", box.bundle(SLEEP, lambda c: change(c, None, {"bounding": ["CAP_NO_SUCH", "CAP_KILL"]})), name)
    contains("warning", p.stderr, "level=warning", 'process.capabilities.bounding: unknown capability \\"CAP_NO_SUCH\\"')
    with open("/proc/self/status") as f:
        if int(status_of(f.read(), "CapBnd")[0], 16) >> 24 & 1 == 0:
            p = box.rt("create", "-b", box.bundle(SLEEP, lambda c: change(c, None, {"bounding": ["CAP_SYS_RESOURCE"]})), box.id())
            contains("warning", p.stderr, "CAP_SYS_RESOURCE cannot be granted")


@case("noNewPrivileges")
def no_new_privs(box):
    for value in (True, False):
        out = box.run("cat /proc/self/status", lambda c, v=value: c["process"].update(noNewPrivileges=v))
        same(str(value), [str(int(value))], status_of(out, "NoNewPrivs"))


@case("rlimits of every kind, for create and exec; unlimited; refused ones name the property")
def rlimits(box):
    kinds = {"CPU": "Max cpu time", "FSIZE": "Max file size", "DATA": "Max data size", "STACK": "Max stack size",
             "CORE": "Max core file size", "RSS": "Max resident set", "NPROC": "Max processes", "NOFILE": "Max open files",
             "MEMLOCK": "Max locked memory", "AS": "Max address space", "LOCKS": "Max file locks",
             "SIGPENDING": "Max pending signals", "MSGQUEUE": "Max msgqueue size", "NICE": "Max nice priority",
             "RTPRIO": "Max realtime priority", "RTTIME": "Max realtime timeout"}
    with open("/proc/self/limits") as f:
        have = f.read()
    limits = []
    for name, label in kinds.items():
        hard = re.search(rf"{label}\s+\S+\s+(\S+)", have)[1]
        hard = 1 << 40 if hard == "unlimited" else int(hard)
        limits.append((name, label, hard // 2, hard))

    def change(c):
        c["process"]["rlimits"] = [{"type": "RLIMIT_" + n, "soft": s, "hard": h} for n, _, s, h in limits]

    name = box.start(SLEEP, change)
    for out in (open(f"/proc/{box.get(name)['pid']}/limits").read(), box.rt("exec", name, "cat", "/proc/self/limits").stdout):
        for _, label, soft, hard in limits:
            same(label, (str(soft), str(hard)), re.search(rf"{label}\s+(\S+)\s+(\S+)", out).groups())

    def unlimited(c):
        c["process"]["rlimits"] = [{"type": "RLIMIT_CPU", "soft": 18446744073709551615, "hard": 18446744073709551615}]

    contains("unlimited", box.run("cat /proc/self/limits", unlimited), "Max cpu time              unlimited")
    with open("/proc/self/status") as f:
        may_raise = int(status_of(f.read(), "CapEff")[0], 16) >> 24 & 1
    if not may_raise:
        def too_much(c):
            c["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2},
                                       {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 << 40}]

        contains("refused", box.fails(change=too_much), "process.rlimits[1] RLIMIT_NOFILE", "Operation not permitted")


@case("rlimits in a user namespace are set by the runtime")
def rlimits_userns(box):
    def change(c):
        userns(c)
        c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]

    contains("limits", box.run("cat /proc/self/limits", change), "Max open files            100                  200")


@case("oomScoreAdj: set, and left alone when unset")
def oom(box):
    same("set", "500\n", box.run("cat /proc/self/oom_score_adj", lambda c: c["process"].update(oomScoreAdj=500)))
    same("unset", open("/proc/self/oom_score_adj").read(), box.run("cat /proc/self/oom_score_adj"))
    name = box.start(SLEEP, lambda c: c["process"].update(oomScoreAdj=300))
    same("exec", "300\n", box.rt("exec", name, "cat", "/proc/self/oom_score_adj").stdout)


class SchedAttr(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
                ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64),
                ("period", ctypes.c_uint64)]


def sched_of(pid):
    attr = SchedAttr()
    if ctypes.CDLL(None, use_errno=True).syscall(315, pid, ctypes.byref(attr), ctypes.sizeof(attr), 0) != 0:
        raise OSError(ctypes.get_errno())
    return attr


def may_schedule(value):
    """Whether this machine lets a process of our own have the policy: affinity, bandwidth or limits may forbid it."""
    number = {"SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_IDLE": 5, "SCHED_DEADLINE": 6}
    attr = SchedAttr(size=ctypes.sizeof(SchedAttr), policy=number[value["policy"]], nice=value.get("nice", 0), priority=value.get("priority", 0),
                     runtime=value.get("runtime", 0), deadline=value.get("deadline", 0), period=value.get("period", 0))
    pid = os.fork()
    if pid == 0:
        os._exit(ctypes.CDLL(None).syscall(314, 0, ctypes.byref(attr), 0) != 0)
    return os.waitpid(pid, 0)[1] == 0


@case("scheduler: policies, nice, priority, deadline; flags")
def scheduler(box):
    rows = (({"policy": "SCHED_OTHER", "nice": 7}, (0, 7, 0)), ({"policy": "SCHED_BATCH", "nice": 3}, (3, 3, 0)),
            ({"policy": "SCHED_IDLE"}, (5, None, 0)), ({"policy": "SCHED_FIFO", "priority": 5}, (1, 0, 5)),
            ({"policy": "SCHED_RR", "priority": 9, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, (2, 0, 9)),
            ({"policy": "SCHED_DEADLINE", "runtime": 10000000, "deadline": 30000000, "period": 30000000}, (6, 0, 0)))
    for value, (policy, nice, priority) in rows:
        if not may_schedule(value):
            print(f"# not here: {value['policy']}")
            continue

        def change(c, v=value):
            c["process"]["scheduler"] = v
            if os.path.exists(container.CGROUPS + "/cpu/cpu.rt_runtime_us"):  # a group has no realtime of its own at first
                c["linux"].update(cgroupsPath=f"/berth-rt-{os.getpid()}", resources={"cpu": {"realtimeRuntime": 10000}})
        name = box.start(SLEEP, change)
        attr = sched_of(box.get(name)["pid"])
        same(value["policy"], (policy, priority), (attr.policy, attr.priority))
        if nice is not None:
            same("nice", nice, attr.nice)
        if policy == 6:
            same("deadline", (10000000, 30000000, 30000000), (attr.runtime, attr.deadline, attr.period))
        if "flags" in value:
            assert attr.flags & 1, attr.flags
        box.rt("delete", "--force", name)
    for key, value, part in (("policy", "SCHED_ISO", "policy"), ("nice", 20, "nice"), ("priority", 5, "priority"),
                             ("flags", ["X"], "flags[0]")):
        contains(key, box.fails(change=lambda c, k=key, v=value: c["process"].update(
            scheduler={"policy": "SCHED_OTHER", k: v})), f"process.scheduler.{part}:")


@case("ioPriority of each class")
def io_priority(box):
    libc = ctypes.CDLL(None)
    for number, name in ((1, "RT"), (2, "BE"), (3, "IDLE")):
        c = box.start(SLEEP, lambda c, n=name: c["process"].update(ioPriority={"class": "IOPRIO_CLASS_" + n, "priority": 4}))
        got = libc.syscall(252, 1, box.get(c)["pid"])
        same(name, (number, 4 if number < 3 else got & 0x1fff), (got >> 13, got & 0x1fff))
    contains("priority", box.fails(change=lambda c: c["process"].update(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8})),
             "process.ioPriority.priority:")


@case("execCPUAffinity for exec: initial and final")
def affinity(box):
    import json
    name = box.start(SLEEP)
    path = os.path.join(box.work, "process.json")
    for value, want in (({"final": "0"}, "0"), ({"initial": "0", "final": "1"}, "1"), ({"final": "0-1"}, "0-1"), ({}, None)):
        with open(path, "w") as f:
            json.dump({"user": {}, "args": ["cat", "/proc/self/status"], "env": ["PATH=/bin"], "cwd": "/",
                       "execCPUAffinity": value}, f)
        out = box.rt("exec", "--process", path, name).stdout
        if want:
            same(str(value), [want], status_of(out, "Cpus_allowed_list"))
    with open(path, "w") as f:
        json.dump({"user": {}, "args": ["true"], "env": ["PATH=/bin"], "cwd": "/", "execCPUAffinity": {"final": "x"}}, f)
    contains("bad", box.rt("exec", "--process", path, name, rc=255).stderr, "process.execCPUAffinity.final:")


@case("apparmorProfile and selinuxLabel: an error that names them where the kernel has neither; mountLabel is no error")
def labels(box):
    if os.path.exists("/sys/kernel/security/apparmor/profiles") or os.path.exists("/sys/fs/selinux/enforce"):
        raise tap.Skip("this kernel has a security module")
    contains("apparmor", box.fails(change=lambda c: c["process"].update(apparmorProfile="x")), "process.apparmorProfile: AppArmor")
    contains("selinux", box.fails(change=lambda c: c["process"].update(selinuxLabel="x")), "process.selinuxLabel: SELinux")
    box.run("true", lambda c: (c["process"].update(apparmorProfile="", selinuxLabel=""), c["linux"].update(mountLabel="x")))
    name = box.start(SLEEP)
    contains("exec", box.rt("exec", "--apparmor", "x", name, "true", rc=255).stderr, "process.apparmorProfile")
    contains("exec", box.rt("exec", "--process-label", "x", name, "true", rc=255).stderr, "process.selinuxLabel")


@case("personality LINUX and LINUX32")
def personality(box):
    same("32", "i686\n", box.run("uname -m", lambda c: c["linux"].update(personality={"domain": "LINUX32"})))
    same("64", os.uname().machine + "\n", box.run("uname -m", lambda c: c["linux"].update(personality={"domain": "LINUX"})))
    contains("flags", box.fails(change=lambda c: c["linux"].update(personality={"domain": "LINUX", "flags": ["X"]})),
             "linux.personality.flags: no flags are defined")


@case("memoryPolicy: modes, nodes, flags")
def memory_policy(box):
    if not os.path.exists("/proc/self/numa_maps"):
        raise tap.Skip("this kernel has no memory policies")
    for mode, nodes, want in (("MPOL_BIND", "0", "bind:0"), ("MPOL_INTERLEAVE", "0", "interleave:0"),
                              ("MPOL_PREFERRED", "0", "prefer:0"), ("MPOL_LOCAL", "", "local"), ("MPOL_DEFAULT", "", "default")):
        def change(c, m=mode, n=nodes):
            c["linux"]["memoryPolicy"] = {"mode": m, "nodes": n}
        name = box.start(SLEEP, change)
        contains(mode, open(f"/proc/{box.get(name)['pid']}/numa_maps").read(), want)
    contains("node that is not there", box.fails(change=lambda c: c["linux"].update(
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "900"})), "set memory policy MPOL_BIND: Invalid argument")
    for value, part in (({"mode": "X"}, "mode"), ({"mode": "MPOL_BIND"}, "nodes"), ({"mode": "MPOL_LOCAL", "nodes": "0"}, "nodes"),
                        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["X"]}, "flags[0]")):
        contains(str(value), box.fails(change=lambda c, v=value: c["linux"].update(memoryPolicy=v)), f"linux.memoryPolicy.{part}:")


@case("intelRdt without resctrl is an error that names it")
def rdt(box):
    if os.path.exists("/sys/fs/resctrl/schemata"):
        raise tap.Skip("this machine has resctrl")
    contains("error", box.fails(change=lambda c: c["linux"].update(intelRdt={"closID": "x"})), "linux.intelRdt: no resctrl")
    for value, part in (({"closID": "a/b"}, "closID"), ({"memBwSchema": "x"}, "memBwSchema"), ({"schemata": ["a\nb"]}, "schemata[0]")):
        contains(part, box.fails(change=lambda c, v=value: c["linux"].update(intelRdt=v)), f"linux.intelRdt.{part}:")


@case("namespaces: each kind new, inherited, joined by path")
def namespaces(box):
    first = box.start(SLEEP, lambda c: (c["linux"]["namespaces"].append({"type": "time"})))
    other = box.get(first)["pid"]
    for kind in NAMESPACES:
        if kind == "user":
            continue
        def inherit(c, k=kind):
            c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != k]
            if k == "uts":
                c.pop("hostname")
        def fresh(c, k=kind):
            inherit(c, k)
            c["linux"]["namespaces"].append({"type": k})
        def join(c, k=kind):
            inherit(c, k)
            c["linux"]["namespaces"].append({"type": k, "path": f"/proc/{other}/ns/{NAMESPACES[k]}"})
            c.pop("hostname", None)
        pid = box.get(box.start(SLEEP, fresh))["pid"]
        assert ns(pid, kind) not in (ns("self", kind), ns(other, kind)), f"{kind} is not new"
        pid = box.get(box.start(SLEEP, inherit))["pid"]
        same(f"{kind} inherited", ns("self", kind), ns(pid, kind))
        if kind == "mount":
            continue  # the tree of another container is no place for our root; see below
        pid = box.get(box.start(SLEEP, join))["pid"]
        same(f"{kind} joined", ns(other, kind), ns(pid, kind))


@case("a mount namespace that is joined keeps its root; the container gets a chroot in it")
def mount_joined(box):
    p = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sleep", "1000"])
    try:
        wait_until("a namespace", lambda: ns(p.pid, "mount") != ns("self", "mount"))

        def change(c):
            for n in c["linux"]["namespaces"]:
                if n["type"] == "mount":
                    n["path"] = f"/proc/{p.pid}/ns/mnt"

        name = box.start(SLEEP, change)
        pid = box.get(name)["pid"]
        same("namespace", ns(p.pid, "mount"), ns(pid, "mount"))
        same("exec", "bin\n", box.rt("exec", name, "sh", "-c", "ls -d bin usr 2>/dev/null", rc=None).stdout)
        same("the other's root", "/", os.readlink(f"/proc/{p.pid}/root"))
        assert os.path.exists(f"/proc/{p.pid}/root/usr"), "the other lost its root"
        assert not os.path.exists(f"/proc/{pid}/root/usr"), "not in its own root"
    finally:
        p.kill()
        p.wait()


@case("a mix: user and time new, network and ipc of another container, pid of a third")
def mix(box):
    a, b = box.get(box.start(SLEEP))["pid"], box.get(box.start(SLEEP))["pid"]

    def change(c):
        userns(c)
        c["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
        c["linux"]["namespaces"] = [{"type": "mount"}, {"type": "uts"}, {"type": "cgroup"}, {"type": "user"}, {"type": "time"},
                                    {"type": "network", "path": f"/proc/{a}/ns/net"}, {"type": "ipc", "path": f"/proc/{a}/ns/ipc"},
                                    {"type": "pid", "path": f"/proc/{b}/ns/pid"}]
        c["mounts"] = [m for m in c["mounts"] if m["type"] not in ("sysfs", "proc")]

    name = box.start(SLEEP, change)
    pid = box.get(name)["pid"]
    for kind, want in (("network", a), ("ipc", a), ("pid", b)):
        same(kind, ns(want, kind), ns(pid, kind))
    for kind in ("user", "time", "uts", "mount", "cgroup"):
        assert ns(pid, kind) != ns("self", kind), kind
    same("exec", "0\n", box.rt("exec", name, "id", "-u").stdout)


@case("user namespace joined by path; exec there")
def user_joined(box):
    first = box.get(box.start(SLEEP, userns))["pid"]

    def change(c):
        c["linux"]["namespaces"].append({"type": "user", "path": f"/proc/{first}/ns/user"})

    name = box.start("id -u; " + SLEEP, change)
    same("namespace", ns(first, "user"), ns(box.get(name)["pid"], "user"))
    same("exec", "0 65534\n", box.rt("exec", name, "sh", "-c", "echo $(id -u) $(stat -c %u /etc)").stdout)


@case("namespaces refused: the wrong kind, no namespace, twice, a relative path; the message names the entry")
def namespaces_refused(box):
    def entry(i, value):
        def change(c):
            c["linux"]["namespaces"][i] = value
        return change

    same("order", "network", container.CONFIG["linux"]["namespaces"][1]["type"])
    for value, words in (({"type": "network", "path": "/proc/self/ns/uts"}, "path: /proc/self/ns/uts is not a network namespace"),
                         ({"type": "network", "path": "/etc/passwd"}, "path: /etc/passwd is not a namespace"),
                         ({"type": "network", "path": "/nope"}, "path: open /nope: No such file"),
                         ({"type": "network", "path": "proc/self/ns/net"}, "path: must be an absolute path"),
                         ({"type": "pid"}, 'type: \\"pid\\" is there twice'), ({"type": "nonesuch"}, "type: unknown value")):
        contains(str(value), box.fails(change=entry(1, value)), "linux.namespaces[1]." + words)


@case("RUN-12: id maps: inside, on the host, through create, exec and kill; over 64 KiB of them")
def id_maps(box):
    name = box.start(SLEEP, userns)
    pid = box.get(name)["pid"]
    same("on the host", ["100000"] * 4, status_of(open(f"/proc/{pid}/status").read(), "Uid"))
    same("map", "0 100000 65536".split(), open(f"/proc/{pid}/uid_map").read().split())
    same("exec", "0\n", box.rt("exec", name, "id", "-u").stdout)
    same("exec as", "5 6\n", box.rt("exec", "-u", "5:6", name, "sh", "-c", "echo $(id -u) $(id -g)").stdout)
    box.rt("kill", name, "9")
    box.wait_stopped(name)
    box.rt("delete", name)

    def many(c, n):
        userns(c)
        c["linux"]["uidMappings"] = [{"containerID": i, "hostID": 100000 + i, "size": 1} for i in range(n)]

    same("250 ranges", "250\n", box.run("wc -l < /proc/self/uid_map", lambda c: many(c, 250)))
    contains("more than the kernel takes", box.fails(change=lambda c: many(c, 341)), "linux.uidMappings", "Invalid argument")
    contains("more than a page", box.fails(change=lambda c: many(c, 6000)), "linux.uidMappings")
    contains("unmapped user", box.fails(change=lambda c: (userns(c), c["process"].update(user={"uid": 70000, "gid": 0}))),
             "become user: ids: Invalid argument")
    contains("no maps", box.fails(change=lambda c: c["linux"]["namespaces"].append({"type": "user"})), "linux.uidMappings: is missing")
    contains("no namespace", box.fails(change=lambda c: (userns(c), c["linux"]["namespaces"].pop())),
             "linux.uidMappings: needs a user namespace")


@case("timeOffsets shift the clocks of the container")
def time_offsets(box):
    def change(c):
        c["linux"]["namespaces"].append({"type": "time"})
        c["linux"]["timeOffsets"] = {"boottime": {"secs": 8640000}, "monotonic": {"secs": 100, "nanosecs": 5}}

    uptime = float(open("/proc/uptime").read().split()[0])
    got = float(box.run("cat /proc/uptime", change).split()[0])
    assert 8640000 <= got - uptime < 8640000 + 600, (uptime, got)
    contains("offsets", box.run("cat /proc/self/timens_offsets", change), "100", "8640000")
    contains("without", box.fails(change=lambda c: c["linux"].update(timeOffsets={"monotonic": {"secs": 1}})),
             "linux.timeOffsets: needs a new time namespace")


@case("hostname, domainname; they need a namespace")
def names(box):
    same("both", "some-host (none)\n".replace("(none)", "some.domain"),
         box.run("echo $(hostname) $(cat /proc/sys/kernel/domainname)",
                 lambda c: c.update(hostname="some-host", domainname="some.domain")))
    for key in ("hostname", "domainname"):
        def change(c, k=key):
            c.pop("hostname")
            c[k] = "x"
            c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "uts"]
        contains(key, box.fails(change=change), f"{key}: needs a uts namespace")


@case("sysctl: set in the container's namespaces, not on the host; others are refused")
def sysctl(box):
    values = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "100", "kernel.msgmax": "9000", "fs.mqueue.msg_max": "20",
              "net.ipv4.ping_group_range": "0 5", "kernel.sem": "10 20 30 40"}
    paths = {k: "/proc/sys/" + k.replace(".", "/") for k in values}
    before = {k: open(p).read() for k, p in paths.items()}
    out = box.run("; ".join(f"echo $(cat {p})" for p in paths.values()), lambda c: c["linux"].update(sysctl=values))
    same("inside", list(values.values()), out.splitlines())
    same("outside", before, {k: open(p).read() for k, p in paths.items()})
    for key in ("kernel.hostname", "vm.swappiness", "kernel.core_pattern", "net/../kernel/core_pattern", "net.ipv4/../../x", "kernel.shmmaxx"):
        contains(key, box.fails(change=lambda c, k=key: c["linux"].update(sysctl={k: "1"})), f"linux.sysctl.{key}: is not a sysctl of a namespace")
    def no_net(c):
        c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"]
    contains("no namespace", box.fails(change=no_net), "linux.sysctl.net.ipv4.ip_forward: needs a network namespace")
    contains("refused", box.fails(change=lambda c: c["linux"].update(sysctl={"net.ipv4.ip_forward": "many"})),
             "set sysctl linux.sysctl.net.ipv4.ip_forward: Invalid argument")
    contains("missing", box.fails(change=lambda c: c["linux"].update(sysctl={"net.no.such": "1"})),
             "linux.sysctl.net.no.such: No such file")


def ip(*args):
    return subprocess.run(["ip", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


class Pair:
    """Two ends of a virtual cable on the host, gone afterwards."""

    def __init__(self):
        self.name, self.peer = f"bt{os.getpid() % 10000}a", f"bt{os.getpid() % 10000}b"

    def __enter__(self):
        try:
            ip("link", "add", self.name, "type", "veth", "peer", "name", self.peer)
        except subprocess.CalledProcessError as e:
            raise tap.Skip("this machine makes no veth devices") from e
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "link", "del", self.peer], stderr=subprocess.DEVNULL, check=False)


@case("netDevices are moved, renamed, keep their addresses, and are switched on")
def net_devices(box):
    with Pair() as pair:
        ip("addr", "add", "192.0.2.7/24", "dev", pair.name)
        addresses = ["192.0.2.7/24"]
        if os.path.exists("/proc/net/if_inet6"):
            ip("addr", "add", "2001:db8::7/64", "dev", pair.name, "nodad")
            addresses.append("2001:db8::7/64")
        out = box.run("ip addr show eth9", lambda c: c["linux"].update(netDevices={pair.name: {"name": "eth9"}}))
        contains("inside", out, *addresses, "UP")
        lacks("outside", ip("link"), pair.name)
    contains("missing", box.fails(change=lambda c: c["linux"].update(netDevices={"berth0": {}})), "linux.netDevices.berth0", "No such device")
    for name in ("a/b", "x" * 16, "."):
        contains(name, box.fails(change=lambda c, n=name: c["linux"].update(netDevices={"berth0": {"name": n}})), "linux.netDevices.berth0.name")
    with Pair() as pair:
        contains("a name that is taken", box.fails(change=lambda c: c["linux"].update(netDevices={pair.name: {"name": "lo"}})),
                 f"linux.netDevices.{pair.name}", "File exists")


@case("a session keyring of its own, unless --no-new-keyring")
def keyring(box):
    if not os.path.exists("/proc/keys"):
        raise tap.Skip("this kernel has no keyrings")
    name = box.id()
    out = box.rt("run", "-b", box.bundle("cat /proc/keys"), name).stdout
    contains("own", out, f"_ses.{name}")
    name = box.id()
    lacks("caller's", box.rt("run", "--no-new-keyring", "-b", box.bundle("cat /proc/keys"), name).stdout, f"_ses.{name}")


@case("RUN-12: environment and arguments over 64 KiB arrive whole")
def large(box):
    big = "x" * 100000
    same("env", "100000\n", box.run("printf %s \"$BIG\" | wc -c", lambda c: c["process"]["env"].append("BIG=" + big)))
    same("args", "100000\n", box.run(None, lambda c: c["process"].update(args=["sh", "-c", "printf %s \"$1\" | wc -c", "sh", big])))
    same("many", "5000\n", box.run("env | grep -c ^V", lambda c: c["process"]["env"].extend(f"V{i}=1" for i in range(5000))))
    contains("more than the kernel takes", box.rt("run", "-b", box.bundle("true", lambda c: c["process"]["env"].append("B=" + "x" * 200000)),
                                                  box.id(), rc=1).stderr, "Argument list too long")


if __name__ == "__main__":
    container.need_root()
    with container.Box() as the_box:
        tap.main(the_box, after_each=container.Box.sweep)
