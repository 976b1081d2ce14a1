#!/usr/bin/env python3
"""Cgroups: paths, limits, devices, what delete removes; version 1, version 2 alone, and both side by side.

The parts about version 2 run in mount namespaces of their own, where it is all there is; this program then calls itself.
"""
import fcntl
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import CGROUPS, contains, lacks, wait_until  # noqa: E402
from tap import case, same  # noqa: E402

SLEEP = "exec sleep 1000"
TOP = f"/berth-test-{os.getpid()}"
LAYOUT = os.environ.get("CGROUP_LAYOUT", "v1")
V1, V2 = LAYOUT == "v1", LAYOUT == "v2"


def only(layout):
    """Cases of one layout; the others' programs do not even list them."""
    return case if LAYOUT == layout else lambda name: lambda function: function


def resources(**kw):
    return lambda c: c["linux"].update(resources=kw)


def has(controller):
    if V2:
        return controller in open(CGROUPS + "/cgroup.controllers").read().split()
    return os.path.exists(f"{CGROUPS}/{controller}/cgroup.procs")


def need(controller):
    if not has(controller):
        raise tap.Skip(f"no {controller} controller here")


def value(box, name, controller, file):
    with open(f"{box.cgroup(name, controller)}/{file}") as f:
        return f.read().strip()


def groups(name):
    found = subprocess.run(["find", CGROUPS, "-type", "d", "-name", name], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return found


@case("cgroupsPath: absolute from the mount, relative below the caller's group, by id without one")
def paths(box):
    pid = box.get(box.start(SLEEP, lambda c: c["linux"].update(cgroupsPath=f"{TOP}/a/b")))["pid"]
    for line in open(f"/proc/{pid}/cgroup"):
        number, names, path = line.strip().split(":", 2)
        if (names and os.path.exists(f"{CGROUPS}/{names.replace('name=', '')}/cgroup.procs")) or V2 and number == "0":
            same(line, f"{TOP}/a/b", path)
    own = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in open("/proc/self/cgroup")}
    name = box.start(SLEEP, lambda c: c["linux"].update(cgroupsPath="rel/x"))
    controller = "pids" if V1 else ""
    base = own[controller].rstrip("/") if V1 else os.path.dirname(own[controller]).rstrip("/")
    group = dict(line.strip().split(":", 2)[1:] for line in open(f"/proc/{box.get(name)['pid']}/cgroup"))[controller]
    same("relative", f"{base}/rel/x", group)
    name = box.start(SLEEP, lambda c: c["linux"].pop("cgroupsPath"))
    group = dict(line.strip().split(":", 2)[1:] for line in open(f"/proc/{box.get(name)['pid']}/cgroup"))[controller]
    same("none", f"{base}/{name}", group)
    for bad in ("/a/../b", "../x", "/", "//", "/./x"):
        contains(bad, box.fails(change=lambda c, b=bad: c["linux"].update(cgroupsPath=b)), "linux.cgroupsPath:")


@case("delete removes what create made, parents too once they are empty; never what it did not make")
def removal(box):
    one = box.start(SLEEP, lambda c: c["linux"].update(cgroupsPath=f"{TOP}/p/one"))
    two = box.start(SLEEP, lambda c: c["linux"].update(cgroupsPath=f"{TOP}/p/two"))
    assert groups("one") and groups("two")
    box.rt("delete", "--force", one)
    same("the first", [], groups("one"))
    assert groups("two"), "the second lost its group"
    box.rt("delete", "--force", two)
    same("all", [], groups(TOP[1:]))
    theirs = f"{CGROUPS}/pids" if V1 else CGROUPS
    os.makedirs(f"{theirs}{TOP}/theirs")
    try:
        name = box.start(SLEEP, lambda c: c["linux"].update(cgroupsPath=f"{TOP}/theirs"))
        box.rt("delete", "--force", name)
        assert os.path.isdir(f"{theirs}{TOP}/theirs"), "removed somebody else's group"
        name = box.start(SLEEP, lambda c: c["linux"].update(cgroupsPath=f"{TOP}/theirs/below"))
        box.rt("delete", "--force", name)
        same("below", ["theirs"], [os.path.basename(d) for d in groups("theirs")])
    finally:
        os.rmdir(f"{theirs}{TOP}/theirs")
        os.rmdir(f"{theirs}{TOP}")


@case("groups that the container made inside its own go with it, and so do processes in them")
def nested(box):
    def change(c):
        c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]})

    where = "/sys/fs/cgroup/pids" if V1 else "/sys/fs/cgroup"
    name = box.start(f"mkdir -p {where}/in/deep; sleep 1000 & echo $! > {where}/in/deep/cgroup.procs; echo > /ready; " + SLEEP, change)
    wait_until("ready", lambda: os.path.exists(box.get(name)["rootfs"] + "/ready"))
    assert groups("deep")
    same("ps has them all", 2, len(json.loads(box.rt("ps", "-f", "json", name).stdout)))
    box.rt("exec", name, "true")
    box.rt("delete", "--force", name)
    same("gone", [], groups("deep"))


@case("a create that fails leaves no group")
def failure(box):
    box.fails(None, lambda c: (c["process"].update(args=["/nope"]), c["linux"].update(cgroupsPath=f"{TOP}/failed/x")))
    same("groups", [], groups("failed"))


@case("kill --all reaches processes of a container that shares the host's pid namespace; so does delete")
def shared_pids(box):
    def change(c):
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]

    for way in ("kill", "delete"):
        name = box.start("sleep 1000 & sleep 1000 & echo > /ready; " + SLEEP, change)
        wait_until("ready", lambda n=name: os.path.exists(box.get(n)["rootfs"] + "/ready"))
        pids = json.loads(box.rt("ps", "-f", "json", name).stdout)
        same("three", 3, len(pids))
        if way == "kill":
            box.rt("kill", "--all", name, "KILL")
        else:
            box.rt("delete", "--force", name)
        wait_until("all die", lambda p=pids: not any(container.alive(x) for x in p))


# ---- version 1 ----

@only("v1")("memory: limit, swap, reservation, swappiness, kernelTCP, oom killer")
def memory(box):
    need("memory")
    name = box.start(SLEEP, resources(memory={"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20, "swappiness": 10,
                                              "kernelTCP": 16 << 20, "disableOOMKiller": False, "useHierarchy": True, "kernel": 1 << 26}))
    for file, want in (("memory.limit_in_bytes", 64 << 20), ("memory.memsw.limit_in_bytes", 96 << 20),
                       ("memory.soft_limit_in_bytes", 32 << 20), ("memory.swappiness", 10), ("memory.kmem.tcp.limit_in_bytes", 16 << 20)):
        same(file, str(want), value(box, name, "memory", file))
    contains("oom", value(box, name, "memory", "memory.oom_control"), "oom_kill_disable 0")
    name = box.start(SLEEP, resources(memory={"disableOOMKiller": True, "limit": -1, "swap": -1}))
    contains("oom", value(box, name, "memory", "memory.oom_control"), "oom_kill_disable 1")


@only("v1")("memory and swap are raised and lowered by update in an order that the kernel takes")
def memory_order(box):
    need("memory")
    name = box.start(SLEEP, resources(memory={"limit": 64 << 20, "swap": 64 << 20}))
    for limit, swap in ((128 << 20, 128 << 20), (32 << 20, 32 << 20), (256 << 20, 512 << 20), (48 << 20, 48 << 20), (-1, -1), (64 << 20, 64 << 20)):
        box.rt("update", "--memory", str(limit), "--memory-swap", str(swap), name)
        if limit > 0:
            same("limit", str(limit), value(box, name, "memory", "memory.limit_in_bytes"))
            same("swap", str(swap), value(box, name, "memory", "memory.memsw.limit_in_bytes"))
    contains("less than memory", box.rt("update", "-r", "-", name, rc=1, stdin='{"memory":{"limit":2000000,"swap":1000000}}').stderr,
             "resources.memory.swap:")
    box.rt("update", "-r", "-", name, stdin=json.dumps({"memory": {"limit": 32 << 20, "checkBeforeUpdate": True, "swap": 32 << 20}}))
    contains("in use", box.rt("update", "-r", "-", name, rc=1, stdin='{"memory":{"limit":4096,"checkBeforeUpdate":true}}').stderr,
             "memory.limit: 4096 is less than")


@only("v1")("cpu: shares, quota, period, burst, idle; cpus and mems, also with parents that have none yet")
def cpu(box):
    need("cpu")
    name = box.start(SLEEP, lambda c: (resources(cpu={"shares": 300, "quota": 20000, "period": 50000, "burst": 1000, "cpus": "0", "mems": "0"})(c),
                                       c["linux"].update(cgroupsPath=f"{TOP}/deep/er/x")))
    for controller, file, want in (("cpu", "cpu.shares", "300"), ("cpu", "cpu.cfs_quota_us", "20000"), ("cpu", "cpu.cfs_period_us", "50000"),
                                   ("cpu", "cpu.cfs_burst_us", "1000"), ("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")):
        same(file, want, value(box, name, controller, file))
    box.rt("update", "--cpu-quota", "60000", "--cpu-period", "100000", name)
    same("quota", "60000", value(box, name, "cpu", "cpu.cfs_quota_us"))
    box.rt("update", "--cpu-quota", "-1", name)
    same("no quota", "-1", value(box, name, "cpu", "cpu.cfs_quota_us"))
    if os.path.exists(box.cgroup(name, "cpu") + "/cpu.idle"):
        box.rt("update", "--cpu-idle", "1", name)
        same("idle", "1", value(box, name, "cpu", "cpu.idle"))
    contains("cpus that are not there", box.fails(change=resources(cpu={"cpus": "900"})), "linux.resources.cpu.cpus")


@only("v1")("pids: a limit, 0, none")
def pids(box):
    need("pids")
    for limit, want in ((20, "20"), (0, "0"), (-1, "max")):
        name = box.create(SLEEP, resources(pids={"limit": limit}))
        same(str(limit), want, value(box, name, "pids", "pids.max"))
    name = box.start(SLEEP, resources(pids={"limit": 5}))
    p = box.rt("exec", name, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done", rc=None)
    contains("the sixth", p.stderr, "can't fork")
    assert int(value(box, name, "pids", "pids.current")) <= 5


@only("v1")("blockIO: throttles by device; weights where the kernel has them")
def block_io(box):
    need("blkio")
    disk = next((d for d in sorted(os.listdir("/sys/block")) if not d.startswith(("loop", "ram", "zram"))), None)
    if not disk:
        raise tap.Skip("this machine has no disk")
    with open(f"/sys/block/{disk}/dev") as f:
        dev = dict(zip(("major", "minor"), map(int, f.read().split(":"))))
    name = box.start(SLEEP, resources(blockIO={"throttleReadBpsDevice": [{**dev, "rate": 1 << 20}], "throttleWriteBpsDevice": [{**dev, "rate": 2 << 20}],
                                               "throttleReadIOPSDevice": [{**dev, "rate": 300}], "throttleWriteIOPSDevice": [{**dev, "rate": 400}]}))
    for file, rate in (("read_bps", 1 << 20), ("write_bps", 2 << 20), ("read_iops", 300), ("write_iops", 400)):
        same(file, f"{dev['major']}:{dev['minor']} {rate}", value(box, name, "blkio", f"blkio.throttle.{file}_device"))
    files = os.listdir(box.cgroup(name, "blkio"))
    weight = next((f for f in ("blkio.bfq.weight", "blkio.weight") if f in files), None)
    if weight:
        box.rt("update", "--blkio-weight", "300", name)
        contains("weight", value(box, name, "blkio", weight), "300")
    else:
        contains("no weight", box.fails(change=resources(blockIO={"weight": 500})), "linux.resources.blockIO.weight")
    if "blkio.leaf_weight" not in files:
        contains("no leaf weight", box.fails(change=resources(blockIO={"leafWeight": 500})), "linux.resources.blockIO.leafWeight")


@only("v1")("hugepageLimits and network where the controllers are mounted; a wrong page size; controllers that are not there")
def others(box):
    size = next((d.split("-")[1][:-2] for d in os.listdir("/sys/kernel/mm/hugepages")), None) if os.path.isdir("/sys/kernel/mm/hugepages") else None
    if has("hugetlb") and size:
        page = f"{int(size) >> 10}MB"
        name = box.start(SLEEP, resources(hugepageLimits=[{"pageSize": page, "limit": 4 << 20}]))
        same("hugetlb", str(4 << 20), value(box, name, "hugetlb", f"hugetlb.{page}.limit_in_bytes"))
        contains("page size", box.fails(change=resources(hugepageLimits=[{"pageSize": "3MB", "limit": 1}])), "linux.resources.hugepageLimits")
    if not has("net_cls"):
        contains("net_cls", box.fails(change=resources(network={"classID": 7})), "linux.resources.network.classID: no cgroup has net_cls")
    if not has("rdma"):
        contains("rdma", box.fails(change=resources(rdma={"mlx": {"hcaHandles": 3}})), "linux.resources.rdma: no cgroup has rdma")


@only("v1")("devices: rules in their order, wildcards, defaults; the container feels them")
def devices_v1(box):
    need("devices")

    def change(c):
        resources(devices=[{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 232, "access": "rw"},
                           {"allow": True, "type": "b", "major": 7, "access": "r"}, {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "w"}])(c)
        c["linux"]["devices"] = [{"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229}]

    name = box.start(SLEEP, change)
    lines = value(box, name, "devices", "devices.list").splitlines()
    same("listed first", ["c 10:232 rw", "b 7:* r"], lines[:2])
    assert "c 1:3 rwm" in lines and "c 1:5 rm" in lines and "c *:* m" in lines, lines
    same("null works, kmsg does not, zero is read-only", "null\nzero read\nno fuse\nno zero write\n", box.rt("exec", name, "sh", "-c",
         "echo x > /dev/null && echo null; head -c 1 /dev/zero > /dev/null && echo zero read; "
         "{ true < /dev/fuse2; } 2>/dev/null || echo no fuse; { echo x > /dev/zero; } 2>/dev/null || echo no zero write").stdout)


@only("v1")("unified keys need version 2")
def unified_v1(box):
    if os.path.exists(f"{CGROUPS}/unified/cgroup.procs"):
        raise tap.Skip("there is a version 2 hierarchy beside")
    contains("error", box.fails(change=resources(unified={"memory.high": "1"})), "linux.resources.unified: needs cgroup version 2")


@only("v1")("beside version 1, version 2 serves what no v1 hierarchy has, and unified keys")
def hybrid(box):
    unified = f"{CGROUPS}/unified"
    if not os.path.exists(unified + "/cgroup.procs"):
        raise tap.Skip("no version 2 hierarchy beside version 1")
    name = box.start(SLEEP, resources(unified={"cgroup.max.depth": "3"}))
    path = [line.strip()[3:] for line in open(f"/proc/{box.get(name)['pid']}/cgroup") if line.startswith("0::")][0]
    same("own group", True, path.startswith(TOP))
    same("key", "3", open(f"{unified}{path}/cgroup.max.depth").read().strip())
    box.rt("delete", "--force", name)
    same("gone", False, os.path.exists(unified + path))
    if "hugetlb" in open(unified + "/cgroup.controllers").read() and not has("hugetlb"):
        name = box.start(SLEEP, resources(hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}]))
        path = [line.strip()[3:] for line in open(f"/proc/{box.get(name)['pid']}/cgroup") if line.startswith("0::")][0]
        same("hugetlb", str(4 << 20), open(f"{unified}{path}/hugetlb.2MB.max").read().strip())
    name = box.start(SLEEP)
    path = [line.strip()[3:] for line in open(f"/proc/{box.get(name)['pid']}/cgroup") if line.startswith("0::")][0]
    same("left alone when not needed", False, path.startswith(TOP))


# ---- version 2 ----

@only("v2")("devices by eBPF: the container feels the rules, update replaces them, one program stays")
def devices_v2(box):
    def change(c):
        resources(devices=[{"allow": False, "access": "rwm"}, {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "w"}])(c)
        c["linux"]["devices"] = [{"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229}]

    name = box.start(SLEEP, change)
    script = ("echo x > /dev/null && echo null; head -c 1 /dev/zero > /dev/null && echo zero read; "
              "{ true < /dev/fuse2; } 2>/dev/null || echo no fuse; { echo x > /dev/zero; } 2>/dev/null || echo no zero write")
    same("felt", "null\nzero read\nno fuse\nno zero write\n", box.rt("exec", name, "sh", "-c", script).stdout)
    same("no node either", "Operation not permitted", box.rt("exec", "--cap", "CAP_MKNOD", name, "sh", "-c", "mknod /x b 8 0 && cat /x", rc=1).stderr
         .strip().rsplit(": ", 1)[-1])
    box.rt("update", "-r", "-", name, stdin=json.dumps({"devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10,
                                                                                                          "minor": 229, "access": "r"}]}))
    same("updated", "zero\nfuse\n", box.rt("exec", name, "sh", "-c", "{ echo x > /dev/zero; } && echo zero; "
         "true < /dev/fuse2 && echo fuse").stdout)
    show = subprocess.run(["bpftool", "cgroup", "show", box.cgroup(name, "unified")], stdout=subprocess.PIPE, text=True, check=False) \
        if subprocess.run(["which", "bpftool"], stdout=subprocess.DEVNULL, check=False).returncode == 0 else None
    if show:
        same("programs", 1, show.stdout.count("device"))


@only("v2")("unified keys as they are given, unknown ones too; a controller that is missing is an error")
def unified_v2(box):
    name = box.start(SLEEP, resources(unified={"cgroup.max.descendants": "7", "cgroup.max.depth": "3"}))
    same("key", "7", value(box, name, "unified", "cgroup.max.descendants"))
    contains("no such file", box.fails(change=resources(unified={"nonesuch.max": "1"})), "linux.resources.unified: no cgroup has nonesuch.max")
    contains("no path", box.fails(change=resources(unified={"../x.y": "1"})), "linux.resources.unified.../x.y: is no name of a cgroup file")
    if has("hugetlb"):
        name = box.start(SLEEP, resources(unified={"hugetlb.2MB.max": "4194304"}))
        same("hugetlb", "4194304", value(box, name, "unified", "hugetlb.2MB.max"))
    if not has("memory"):
        contains("memory", box.fails(change=resources(memory={"limit": 1 << 26})), "linux.resources.memory.limit: no cgroup has memory.max")
    if not has("pids"):
        contains("pids", box.fails(change=resources(pids={"limit": 3})), "linux.resources.pids.limit: no cgroup has pids.max")


@only("v2")("hugepageLimits: reservations and use")
def hugetlb_v2(box):
    need("hugetlb")
    name = box.start(SLEEP, resources(hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}]))
    same("max", str(4 << 20), value(box, name, "unified", "hugetlb.2MB.max"))
    same("rsvd.max", str(4 << 20), value(box, name, "unified", "hugetlb.2MB.rsvd.max"))
    contains("page size", box.fails(change=resources(hugepageLimits=[{"pageSize": "3MB", "limit": 1}])), "linux.resources.hugepageLimits")


@only("v2")("what version 2 has no file for is an error that names the property")
def no_such_v2(box):
    for value_, part in ((dict(memory={"swappiness": 10}), "memory.swappiness"), (dict(memory={"disableOOMKiller": True}), "memory.disableOOMKiller"),
                         (dict(memory={"kernelTCP": 1000}), "memory.kernelTCP"), (dict(cpu={"realtimeRuntime": 5}), "cpu.realtimeRuntime"),
                         (dict(network={"classID": 5}), "network"), (dict(blockIO={"leafWeight": 50}), "blockIO.leafWeight"),
                         (dict(memory={"limit": 10, "swap": 5}), "memory.swap")):
        contains(part, box.fails(change=resources(**value_)), f"linux.resources.{part}:")


@only("v2")("type cgroup mounts cgroup2 at the container's own group")
def mount_v2(box):
    def change(c, options):
        c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options})

    out = box.run("cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x 2>&1; cat /proc/self/mountinfo",
                  lambda c: change(c, ["ro", "nosuid"]))
    contains("own group is the root", out, "0::/\n", "1\n", "Read-only", "cgroup2")
    lacks("writable", box.run("mkdir /sys/fs/cgroup/x 2>&1", lambda c: change(c, ["rw"])), "Read-only")


@case("a frozen container is killed and deleted all the same")
def frozen(box):
    name = box.start("sleep 1000 & " + SLEEP)
    box.rt("pause", name)
    box.rt("delete", "--force", name)
    same("state", 1, box.rt("state", name, rc=1).returncode)


def in_layout(layout):
    """This program once more where version 2 is all there is."""
    setup = f"while mountpoint -q {CGROUPS}; do umount -R -l {CGROUPS}; done; mount -t cgroup2 none {CGROUPS}"
    return subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", f'{setup} && exec "$@"', "sh", sys.executable, __file__],
                          env=dict(os.environ, CGROUP_LAYOUT=layout), check=False).returncode


if __name__ == "__main__":
    container.need_root()
    # The validation suite takes a controller from version 2 while it runs.
    lock = open(os.path.join(container.TOP, "build/cgroups.lock"), "w")
    if "CGROUP_LAYOUT" not in os.environ:
        fcntl.flock(lock, fcntl.LOCK_EX)
    if "CGROUP_LAYOUT" not in os.environ and not os.path.exists(CGROUPS + "/cgroup.controllers"):
        again = in_layout("v2")
        if not os.path.exists(CGROUPS + "/pids/cgroup.procs"):
            sys.exit(again)
    else:
        again = 0
        if os.path.exists(CGROUPS + "/cgroup.controllers"):
            os.environ["CGROUP_LAYOUT"] = "v2"
    with container.Box() as the_box:
        try:
            tap.main(the_box, after_each=container.Box.sweep)
        except SystemExit as end:
            sys.exit(end.code or again)
