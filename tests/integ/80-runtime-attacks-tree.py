#!/usr/bin/env python3
"""Hostile root filesystems and volumes: nothing outside is touched.

Each case leads the runtime to a directory of the host, `box.outside`, that no container has to do with; what is there
afterwards tells whether it went.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, lacks  # noqa: E402
from tap import case, same  # noqa: E402

ATTACK = os.path.join(container.TOP, "build/release/tests/lib/attack")
TRIES = int(os.environ.get("BERTH_TRIES", "1000"))


def fresh_outside(box):
    box.outside = os.path.join(box.work, "outside")
    shutil.rmtree(box.outside, ignore_errors=True)
    os.mkdir(box.outside)
    with open(os.path.join(box.outside, "canary"), "w") as f:
        f.write("untouched")


def untouched(box, what):
    names = sorted(os.listdir(box.outside))
    same(f"{what}: what is outside", ["canary"], names)
    with open(os.path.join(box.outside, "canary")) as f:
        same(f"{what}: the file outside", "untouched", f.read())
    with open("/proc/self/mountinfo") as f:
        lacks(f"{what}: mounts of the host", f.read(), box.outside)


def upwards(box):
    """The path outside, for links that are resolved from somewhere deep."""
    return "../" * 20 + box.outside.lstrip("/")


def try_run(box, bundle):
    """Runs it; a refusal is fine, a hang or a crash is not."""
    p = box.rt("run", "--bundle", bundle, box.id(), rc=None)
    assert 0 <= p.returncode < 128 or p.returncode == 255, (p.returncode, p.stderr)
    return p


@contextlib.contextmanager
def swapping(a, b):
    """The two names change places all the time."""
    attacker = subprocess.Popen([ATTACK, "swap", a, b])
    try:
        yield
    finally:
        attacker.kill()
        attacker.wait()


def replace(path, target):
    """A link to target in place of what is there."""
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)
    os.symlink(target, path)


def links_to(box):
    yield box.outside
    yield upwards(box)
    yield "/proc/self/root" + box.outside
    yield "/proc/1/root" + box.outside
    yield "/proc/self/cwd/" + upwards(box)


@case("RUN-07: /dev is a link out of the root")
def dev_link(box):
    fresh_outside(box)
    for target in links_to(box):
        for mounts in (True, False):
            bundle = box.bundle("true", lambda c: None if mounts else c.update(mounts=[]))
            replace(os.path.join(bundle, "rootfs/dev"), target)
            try_run(box, bundle)
            untouched(box, f"/dev -> {target}")


@case("RUN-07: devices and links in the image's own /dev that lead out")
def dev_entries(box):
    fresh_outside(box)
    canary = os.path.join(box.outside, "canary")
    for name in ("null", "zero", "tty", "ptmx", "fd", "stdin", "console", "pts", "shm"):
        for target in (canary, os.path.join(box.outside, "new"), upwards(box) + "/canary"):
            bundle = box.bundle("echo x >/dev/null; echo y >/dev/console; true", lambda c: c.update(mounts=[]))
            os.symlink(target, os.path.join(bundle, "rootfs/dev", name))
            try_run(box, bundle)
            untouched(box, f"/dev/{name} -> {target}")


@case("RUN-08: /proc or /sys is a link")
def proc_link(box):
    fresh_outside(box)
    for name in ("proc", "sys"):
        for target in (*links_to(box), "/tmp", "."):
            bundle = box.bundle("mount")
            replace(os.path.join(bundle, "rootfs", name), target)
            p = try_run(box, bundle)
            assert p.returncode != 0, f"/{name} -> {target}: accepted\n{p.stdout}"
            contains("the message", p.stderr, f"mount /{name}")
            untouched(box, f"/{name} -> {target}")


@case("RUN-08: mounts on what is below /proc are refused, but for the files that engines bind")
def mounts_on_proc(box):
    fresh_outside(box)
    for destination in ("/proc/self/attr", "/proc/sys", "/proc/sys/kernel", "/proc/1", "/proc/../proc/self",
                        "/proc//self/fd", "/mnt/../proc/self", "/proc/thread-self/attr/exec"):
        message = box.fails(change=lambda c: c["mounts"].append(
            {"destination": destination, "type": "tmpfs", "source": "tmpfs"}))
        contains(destination, message, "/proc")
    source = os.path.join(box.work, "fake")
    with open(source, "w") as f:
        f.write("fake\n")
    out = box.run("cat /proc/uptime /proc/sys/kernel/core_pattern", lambda c: c["mounts"].append(
        {"destination": "/proc/uptime", "type": "bind", "source": source, "options": ["bind", "ro"]}))
    assert out.startswith("fake\n") and out.count("fake") == 1, out


@case("RUN-08: a link that leads below /proc is no way there either")
def link_into_proc(box):
    fresh_outside(box)
    for link, destination in (("/proc/self/attr", "/way"), ("proc/sys", "/way"), ("/proc", "/way/sys"),
                              ("../proc/self", "/tmp/way")):
        bundle = box.bundle("true", lambda c: c["mounts"].append(
            {"destination": destination, "type": "tmpfs", "source": "tmpfs"}))
        path = os.path.join(bundle, "rootfs", "tmp/way" if destination.startswith("/tmp") else "way")
        os.symlink(link, path)
        p = try_run(box, bundle)
        assert p.returncode != 0, f"{destination} -> {link}: accepted"


@case("RUN-09: destinations below links: inside, or refused")
def destination_links(box):
    fresh_outside(box)
    for target in links_to(box):
        for kind, more in (("tmpfs", {"source": "tmpfs"}), ("bind", {"source": box.work, "options": ["rbind"]})):
            bundle = box.bundle("true", lambda c: c["mounts"].append(
                {"destination": "/link/new/deep", "type": kind, **more}))
            os.symlink(target, os.path.join(bundle, "rootfs/link"))
            try_run(box, bundle)
            untouched(box, f"/link -> {target}")


@case("RUN-18: cwd below a link is made inside")
def cwd_link(box):
    fresh_outside(box)
    for target in links_to(box):
        for cwd in ("/link/new", "/link", "/../../link/new", "/link/../new"):
            bundle = box.bundle("pwd", lambda c: c["process"].update(cwd=cwd))
            os.symlink(target, os.path.join(bundle, "rootfs/link"))
            try_run(box, bundle)
            untouched(box, f"cwd {cwd}, /link -> {target}")
    name = box.start("sleep 1000")
    for cwd in ("/link/new", "/link"):
        root = f"/proc/{box.get(name)['pid']}/root/link"
        if not os.path.lexists(root):
            os.symlink(box.outside, root)
        box.rt("exec", "--cwd", cwd, name, "true", rc=None)
        untouched(box, f"exec in {cwd}")


def reset_device(volume):
    """Another mode, so that there is something to do for the next one."""
    done = False
    while not done:
        for name in ("thing", "other"):
            fd = os.open(os.path.join(volume, name), os.O_PATH | os.O_NOFOLLOW)
            if stat.S_ISCHR(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", 0o600)
                done = True
            os.close(fd)


@case("RUN-07: a device that changes all the time while it gets mode and owner")
def device_race(box):
    fresh_outside(box)
    canary = os.path.join(box.outside, "canary")
    os.chmod(canary, 0o600)
    volume = os.path.join(box.work, "volume-dev")
    os.mkdir(volume)
    os.mknod(os.path.join(volume, "thing"), 0o20600, os.makedev(1, 3))
    os.symlink(canary, os.path.join(volume, "other"))
    bundle = box.bundle("true", lambda c: (
        c["mounts"].append({"destination": "/vol", "type": "bind", "source": volume, "options": ["rbind"]}),
        c["linux"].update(devices=[{"path": "/vol/thing", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666,
                                    "uid": 7, "gid": 7}])))
    ran = 0
    with swapping(os.path.join(volume, "thing"), os.path.join(volume, "other")):
        for _ in range(TRIES // 2):
            ran += try_run(box, bundle).returncode == 0
            st = os.stat(canary)
            same("mode and owner outside", (0o100600, 0, 0), (st.st_mode, st.st_uid, st.st_gid))
            reset_device(volume)
    assert ran > 0, "no try came through"
    untouched(box, "the race")


@case("masked and read-only paths below links stay inside")
def masked_links(box):
    fresh_outside(box)
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read()

    def change(c):
        c["linux"]["maskedPaths"] = ["/way/canary", "/way"]
        c["linux"]["readonlyPaths"] = ["/way/canary", "/way"]

    for target in (*links_to(box), "/proc/sys/kernel/core_pattern"):
        bundle = box.bundle("true", change)
        os.symlink(target, os.path.join(bundle, "rootfs/way"))
        try_run(box, bundle)
        untouched(box, f"/way -> {target}")
    with open("/proc/sys/kernel/core_pattern") as f:
        same("core_pattern", pattern, f.read())


@case("RUN-04: /dev/null is a link when paths are masked")
def masked_null(box):
    fresh_outside(box)
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read()

    def change(c):
        c["mounts"] = [m for m in c["mounts"] if m["destination"] in ("/proc", "/sys")]
        c["linux"]["maskedPaths"] = ["/proc/kcore", "/proc/keys", "/etc/passwd"]

    for target in ("/proc/sys/kernel/core_pattern", os.path.join(box.outside, "canary"), "../etc/passwd"):
        bundle = box.bundle("cat /etc/passwd; echo '|/evil' >/proc/kcore; echo '|/evil' >/proc/keys; echo x >/etc/passwd; "
                            "cat /proc/self/mountinfo", change)
        replace(os.path.join(bundle, "rootfs/dev/null"), target)
        p = try_run(box, bundle)
        if p.returncode == 0:
            lacks(f"/dev/null -> {target}", p.stdout, "core_pattern", "root:x:0", "canary")
        untouched(box, f"/dev/null -> {target}")
        with open("/proc/sys/kernel/core_pattern") as f:
            same("core_pattern", pattern, f.read())


@case("RUN-04: /dev/null changes all the time when paths are masked")
def masked_null_race(box):
    fresh_outside(box)

    def change(c):
        c["mounts"] = [m for m in c["mounts"] if m["destination"] in ("/proc", "/sys")]
        c["mounts"].append({"destination": "/dev", "type": "bind", "source": volume, "options": ["rbind"]})
        c["linux"]["maskedPaths"] = ["/proc/kcore", "/proc/keys", "/proc/timer_list"]

    volume = os.path.join(box.work, "volume")
    os.makedirs(volume, exist_ok=True)
    for name in ("zero", "full", "random", "urandom", "tty"):
        with contextlib.suppress(FileExistsError):
            open(os.path.join(volume, name), "x").close()
    replace(os.path.join(volume, "other"), "/proc/sys/kernel/core_pattern")
    if not os.path.lexists(os.path.join(volume, "null")):
        os.mknod(os.path.join(volume, "null"), 0o20666, os.makedev(1, 3))
    bundle = box.bundle("cat /proc/self/mountinfo", change)
    ran = 0
    with swapping(os.path.join(volume, "null"), os.path.join(volume, "other")):
        for _ in range(TRIES // 5):
            p = try_run(box, bundle)
            lacks("mounts", p.stdout, "core_pattern /proc/kcore", "core_pattern /proc/keys", "/sys/kernel/core_pattern")
            ran += p.returncode == 0
    untouched(box, "the race")


@case("RUN-05: /dev/console and the terminal: what is there while they are bound does not matter")
def console(box):
    fresh_outside(box)
    volume = os.path.join(box.work, "volume-console")
    os.mkdir(volume)
    os.mkdir(os.path.join(volume, "pts"))
    open(os.path.join(volume, "console"), "w").close()
    os.symlink("/proc/sys/kernel/core_pattern", os.path.join(volume, "other"))
    os.mkdir(os.path.join(volume, "pts-other"))
    for n in range(3):
        os.symlink(os.path.join(box.outside, "canary"), os.path.join(volume, "pts-other", str(n)))

    def change(c):
        c["process"]["terminal"] = True
        c["linux"]["readonlyPaths"] = ["/proc/sys"]  # it must not be the program that writes there
        c["mounts"] = [m for m in c["mounts"] if m["destination"] in ("/proc", "/sys")]
        c["mounts"].append({"destination": "/dev", "type": "bind", "source": volume, "options": ["rbind"]})
        c["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                            "options": ["newinstance", "ptmxmode=0666"]})

    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read()
    bundle = box.bundle("cat /proc/self/mountinfo; echo evil >/dev/console", change)
    bound = 0
    with swapping(os.path.join(volume, "console"), os.path.join(volume, "other")), \
            swapping(os.path.join(volume, "pts"), os.path.join(volume, "pts-other")):
        for _ in range(TRIES // 5):
            p = subprocess.run(["script", "-qec",
                                f"{box.runtime} --root {box.state} run --bundle {bundle} {box.id()}", "/dev/null"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
            for line in p.stdout.splitlines():
                f = line.split()
                if len(f) > 8 and f[4].endswith("core_pattern"):
                    raise AssertionError(line)
                if len(f) > 8 and f[4] == "/dev/console":
                    assert " - devpts " in line and f[3].startswith("/"), line
                    bound += 1
    assert bound > 0, "no try came so far: " + p.stdout
    with open("/proc/sys/kernel/core_pattern") as f:
        after = f.read()
    with open("/proc/sys/kernel/core_pattern", "w") as f:
        f.write(pattern)
    same("core_pattern", pattern, after)
    untouched(box, "the race")


@case("RUN-06: a false /proc in the image takes no sysctl and no label")
def false_proc(box):
    fresh_outside(box)
    files = ("sys/net/ipv4/ip_forward", "self/attr/exec", "self/attr/apparmor/exec", "self/attr/keycreate",
             "thread-self/attr/exec", "self/oom_score_adj", "self/fd/x", "self/timens_offsets")
    for way in ("directory", "link"):
        bundle = box.bundle("sleep 1000", lambda c: (
            c["mounts"].pop(0), c["linux"].update(sysctl={"net.ipv4.ip_forward": "1"}),
            c["process"].update(oomScoreAdj=500)))
        fake = os.path.join(bundle, "rootfs", "proc" if way == "directory" else "fake")
        for name in files:
            os.makedirs(os.path.dirname(os.path.join(fake, name)), exist_ok=True)
            with open(os.path.join(fake, name), "w") as f:
                f.write("untouched")
        if way == "link":
            replace(os.path.join(bundle, "rootfs/proc"), "/fake")
        name = box.id()
        box.rt("run", "--detach", "--bundle", bundle, name)
        pid = box.get(name)["pid"]
        for file in files:
            with open(os.path.join(fake, file)) as f:
                same(f"{way}: {file}", "untouched", f.read())
        out = subprocess.run(["nsenter", "-t", str(pid), "-n", "cat", "/proc/sys/net/ipv4/ip_forward"],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        same("the sysctl", "1\n", out)
        with open(f"/proc/{pid}/oom_score_adj") as f:
            same("oom_score_adj", "500\n", f.read())


@case("RUN-06: a joined mount namespace with a false /proc: the runtime keeps to the host's")
def false_proc_of_namespace(box):
    fresh_outside(box)
    fake = os.path.join(box.work, "fake-proc")
    for name in ("sys/net/ipv4/ip_forward", "self/attr/exec", "self/oom_score_adj"):
        os.makedirs(os.path.dirname(os.path.join(fake, name)), exist_ok=True)
        with open(os.path.join(fake, name), "w") as f:
            f.write("untouched")
    holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                               f"mount --bind {fake} /proc && echo ready && exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        same("the other namespace", b"ready\n", holder.stdout.readline())

        def change(c):
            c["mounts"] = []
            c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
            c["process"]["oomScoreAdj"] = 500
            for n in c["linux"]["namespaces"]:
                if n["type"] == "mount":
                    n["path"] = f"/proc/{holder.pid}/ns/mnt"

        name = box.start("sleep 1000", change)
        pid = box.get(name)["pid"]
        out = subprocess.run(["nsenter", "-t", str(pid), "-n", "cat", "/proc/sys/net/ipv4/ip_forward"],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        same("the sysctl", "1\n", out)
        with open(f"/proc/{pid}/oom_score_adj") as f:
            same("oom_score_adj", "500\n", f.read())
        for file in ("sys/net/ipv4/ip_forward", "self/attr/exec", "self/oom_score_adj"):
            with open(os.path.join(fake, file)) as f:
                same(file, "untouched", f.read())
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@case("RUN-03, RUN-13: the mount's destination changes all the time into a link out of the root")
def destination_race(box):
    fresh_outside(box)
    volume = os.path.join(box.work, "shared")
    os.mkdir(volume)
    os.mkdir(os.path.join(volume, "dir"))
    os.symlink(upwards(box), os.path.join(volume, "link"))
    spy = os.path.join(box.work, "spy")
    seen = os.path.join(box.work, "seen")
    with open(spy, "w") as f:
        f.write(f"#!/bin/sh\ngrep -q ' {box.outside}' /proc/self/mountinfo && echo escaped >>{seen}\ntrue\n")
    os.chmod(spy, 0o755)

    def change(c):
        c["mounts"] += [{"destination": "/vol", "type": "bind", "source": volume, "options": ["rbind"]},
                        {"destination": "/vol/dir/made/here", "type": "tmpfs", "source": "tmpfs"},
                        {"destination": "/vol/dir/file", "type": "bind", "source": "/etc/hostname", "options": ["bind"]}]
        c["hooks"] = {"createContainer": [{"path": spy}]}  # in the mount namespace, before the root is changed

    bundle = box.bundle("true", change)
    ran = 0
    with swapping(os.path.join(volume, "dir"), os.path.join(volume, "link")):
        for _ in range(TRIES):
            ran += try_run(box, bundle).returncode == 0
            if os.listdir(box.outside) != ["canary"]:
                break
    untouched(box, "the race")
    assert not os.path.exists(seen), "a mount of the container's namespace lay outside its root"
    assert ran > 0, "no try came through"


@case("RUN-13: a folder of the root changes into a link while mount points are made in it")
def root_race(box):
    fresh_outside(box)
    bundle = box.bundle("true", lambda c: (
        c["mounts"].append({"destination": "/mnt/a/b/c", "type": "tmpfs", "source": "tmpfs"}),
        c["mounts"].append({"destination": "/mnt/a/file", "type": "bind", "source": "/etc/hostname", "options": ["bind"]}),
        c["process"].update(cwd="/mnt/a/cwd")))
    root = os.path.join(bundle, "rootfs")
    os.symlink(box.outside, os.path.join(root, "other"))
    with swapping(os.path.join(root, "mnt"), os.path.join(root, "other")):
        for _ in range(TRIES // 2):
            try_run(box, bundle)
            if os.listdir(box.outside) != ["canary"]:
                break
    untouched(box, "the race")


@case("RUN-03: the same on a kernel without openat2 and the new mount API")
def destination_race_old(box):
    fresh_outside(box)
    without = os.path.join(container.TOP, "build/release/tests/lib/without")
    volume = os.path.join(box.work, "shared-old")
    os.mkdir(volume)
    os.mkdir(os.path.join(volume, "dir"))
    os.symlink(upwards(box), os.path.join(volume, "link"))
    bundle = box.bundle("true", lambda c: c["mounts"].extend([
        {"destination": "/vol", "type": "bind", "source": volume, "options": ["rbind"]},
        {"destination": "/vol/dir/made/here", "type": "tmpfs", "source": "tmpfs"}]))
    with swapping(os.path.join(volume, "dir"), os.path.join(volume, "link")):
        for _ in range(TRIES // 5):
            subprocess.run([without, "openat2,fsopen,open_tree,move_mount,mount_setattr", box.runtime, "--root", box.state,
                            "run", "--bundle", bundle, box.id()], stderr=subprocess.DEVNULL, timeout=60, check=False)
            if os.listdir(box.outside) != ["canary"]:
                break
    untouched(box, "the race")


@case("RUN-36: a bind's source that changes between looking and mounting is not mounted unseen")
def source_race(box):
    fresh_outside(box)
    volume = os.path.join(box.work, "sources")
    os.makedirs(os.path.join(volume, "good"))
    open(os.path.join(volume, "good/good"), "w").close()
    os.symlink(box.outside, os.path.join(volume, "bad"))
    bundle = box.bundle("ls /mnt", lambda c: c["mounts"].append(
        {"destination": "/mnt", "type": "bind", "source": os.path.join(volume, "good"),
         "options": ["rbind", "src-nofollow"]}))
    same("without a race", "good\n", box.rt("run", "--bundle", bundle, box.id()).stdout)
    with swapping(os.path.join(volume, "good"), os.path.join(volume, "bad")):
        for _ in range(TRIES // 5):
            p = try_run(box, bundle)
            lacks("what is mounted", p.stdout, "canary")
    untouched(box, "the race")


@case("RUN-31: newlines, commas and escapes in names and options do what they say, or are refused")
def strange_names(box):
    fresh_outside(box)
    for odd in ("a\nb", "a,ro", "a:b", "a\\040b", "a b", "a=b", "\u00e4"):
        source = os.path.join(box.work, "odd" + odd)
        os.makedirs(source, exist_ok=True)
        open(os.path.join(source, "here"), "w").close()
        out = box.run("ls '/mnt" + odd + "' && touch '/mnt" + odd + "/new'", lambda c: c["mounts"].append(
            {"destination": "/mnt" + odd, "type": "bind", "source": source, "options": ["rbind"]}))
        same(repr(odd), "here\n", out)
        assert os.path.exists(os.path.join(source, "new"))
        bundle = box.bundle("true")
        moved = os.path.join(box.work, "bundle" + odd)
        os.rename(bundle, moved)
        name = box.id()
        box.rt("create", "--bundle", moved, name)
        same("bundle of state", moved, box.get(name)["bundle"])
        box.rt("delete", "--force", name)
    message = box.fails(change=lambda c: c["mounts"].append(
        {"destination": "/mnt", "type": "tmpfs", "source": "t", "options": ["size=1m,nr_inodes=0\nfoo"]}), command="run")
    assert message.count("\n") <= 2, message


@case("RUN-26: what the container mounts is not seen on the host, and nothing is left")
def propagation(box):
    fresh_outside(box)
    with open("/proc/self/mountinfo") as f:
        before = f.read()
    shared = os.path.join(box.work, "shared-mount")
    os.mkdir(shared)
    subprocess.run(["mount", "-t", "tmpfs", "none", shared], check=True)
    subprocess.run(["mount", "--make-shared", shared], check=True)
    os.mkdir(os.path.join(shared, "sub"))
    caps = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]
    try:
        for options, script in ((["rbind"], "mount -t tmpfs none /mnt/sub"), (["rbind", "rslave"], "mount -t tmpfs none /mnt/sub"),
                                (["rbind", "rprivate"], "mount -t tmpfs none /mnt/sub"), (["rbind"], "umount -l /mnt")):
            box.run(script, lambda c: (
                c["process"].update(capabilities={k: caps for k in ("bounding", "permitted", "effective")}),
                c["mounts"].append({"destination": "/mnt", "type": "bind", "source": shared, "options": options})))
            with open("/proc/self/mountinfo") as f:
                lacks(f"{options} {script}", f.read(), shared + "/sub")
        # the canary: it would be seen if the container asked for it
        box.run("mount -t tmpfs none /mnt/sub", lambda c: (
            c["process"].update(capabilities={k: caps for k in ("bounding", "permitted", "effective")}),
            c["linux"].update(rootfsPropagation="shared"),
            c["mounts"].append({"destination": "/mnt", "type": "bind", "source": shared, "options": ["rbind", "rshared"]})))
        with open("/proc/self/mountinfo") as f:
            contains("rshared, as asked for", f.read(), shared + "/sub")
    finally:
        subprocess.run(["umount", "-R", "-l", shared], check=True)
    with open("/proc/self/mountinfo") as f:
        same("mounts afterwards", before, f.read())


@case("RUN-34: a root on a FUSE filesystem that does not answer: others go on, SIGKILL ends it, nothing is left")
def hanging_root(box):
    fresh_outside(box)
    try:
        fuse = os.open("/dev/fuse", os.O_RDWR)
    except OSError as e:
        raise tap.Skip(f"/dev/fuse: {e.strerror}") from e
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        told = container.eventually(lambda: wchan(sleeper.pid) not in ("", "0"))
        sleeper.kill()
    if not told:
        os.close(fuse)
        raise tap.Skip("the kernel does not tell what a process waits for")
    hanging = os.path.join(box.work, "hanging")
    os.mkdir(hanging)
    p = subprocess.run(["mount", "-i", "-t", "fuse", "-o", f"fd={fuse},rootmode=40000,user_id=0,group_id=0", "none", hanging],
                       pass_fds=[fuse], stderr=subprocess.PIPE, text=True, check=False)
    if p.returncode:
        raise tap.Skip(f"mount: {p.stderr.strip()}")
    try:
        bundle = box.bundle("true", lambda c: c["root"].update(path=os.path.join(hanging, "rootfs")))
        name = box.id()
        stuck = subprocess.Popen([box.runtime, "--root", box.state, "create", "--bundle", bundle, name],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        container.wait_until("it hangs", lambda: waits_in_fuse(stuck.pid))
        same("another one", "hello\n", box.run("echo hello"))
        stuck.kill()
        same("its end", -signal.SIGKILL, stuck.wait(20))
        box.rt("delete", "--force", name)
        assert not os.path.exists(os.path.join(box.state, name))
    finally:
        os.close(fuse)
        subprocess.run(["umount", "-l", hanging], check=True)


def wchan(pid):
    with open(f"/proc/{pid}/wchan") as f:
        return f.read()


def waits_in_fuse(pid):
    """The process, or a child of it, sleeps in a request."""
    try:
        where = wchan(pid)
        if "fuse" in where or "request_wait" in where:
            return True
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return any(waits_in_fuse(int(child)) for child in f.read().split())
    except OSError:
        return False


def main():
    container.need_root()
    if not os.path.exists(ATTACK):
        print(f"1..0 # SKIP {ATTACK} is not built")
        return
    with container.Box() as box:
        tap.main(box, after_each=container.Box.sweep)


if __name__ == "__main__":
    main()
