#!/usr/bin/env python3
"""Hostile programs and values: the runtime's binary, memory and descriptors, identities, devices, limits, names."""
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, lacks  # noqa: E402
from tap import case, same  # noqa: E402

ATTACK = os.path.join(container.TOP, "build/release/tests/lib/attack")
SECONDS = 3
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]


def with_caps(c, caps=CAPS):
    c["process"]["capabilities"] = {k: list(caps) for k in ("bounding", "permitted", "effective")}


def with_attack(bundle):
    shutil.copy2(ATTACK, os.path.join(bundle, "rootfs/bin/attack"))
    return bundle


def start(box, bundle):
    name = box.id()
    box.rt("run", "--detach", "--bundle", bundle, name)
    return name


@contextlib.contextmanager
def copy_of_runtime(box):
    """A runtime that may be destroyed."""
    copy = os.path.join(box.work, "runtime-copy")
    shutil.copy2(box.runtime, copy)
    before = digest(copy)
    original, box.runtime = box.runtime, copy
    try:
        yield
        same("the runtime's binary", before, digest(copy))
    finally:
        box.runtime = original
        os.unlink(copy)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@case("RUN-01: the runtime's binary is not written to through /proc/PID/exe, while it enters and when it runs inside")
def own_binary(box):
    with copy_of_runtime(box):
        name = start(box, with_attack(box.bundle(f"attack exe {SECONDS} >/tmp/result; sleep 1000", with_caps)))
        result = f"/proc/{box.get(name)['pid']}/root/tmp/result"
        inside = 0
        while not (os.path.exists(result) and os.path.getsize(result)):
            box.rt("exec", name, "true", rc=None)
            # the container's own program is the runtime's binary: it can be opened by everybody inside
            p = box.rt("exec", name, "/proc/self/exe", "--version", rc=None)
            inside += "berth-runtime" in p.stdout
        with open(result) as f:
            text = f.read()
        assert inside > 0, "the binary never ran inside"
        m = re.fullmatch(r"caught (\d+) written (\d+) seen 1\n", text)
        assert m, text
        assert int(m[1]) > 0, "nothing was caught: " + text
        same("written", "0", m[2])


@case("RUN-01: the same where nothing can be mounted: a sealed copy")
def own_binary_sealed(box):
    without = os.path.join(container.TOP, "build/release/tests/lib/without")
    with copy_of_runtime(box):
        name = start(box, with_attack(box.bundle(f"attack exe {SECONDS} >/tmp/result; sleep 1000", with_caps)))
        result = f"/proc/{box.get(name)['pid']}/root/tmp/result"
        while not (os.path.exists(result) and os.path.getsize(result)):
            subprocess.run([without, "fsopen", box.runtime, "--root", box.state, "exec", name, "/proc/self/exe",
                            "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        with open(result) as f:
            text = f.read()
        m = re.fullmatch(r"caught (\d+) written (\d+) seen 1\n", text)
        assert m and int(m[1]) > 0, text
        same("written", "0", m[2])


@case("RUN-01: an image whose program is a link to /proc/self/exe, and a false loader beside it")
def exe_as_program(box):
    with copy_of_runtime(box):
        bundle = box.bundle("true")
        for name in ("bin/sh", "bin/true"):
            path = os.path.join(bundle, "rootfs", name)
            os.unlink(path)
            os.symlink("/proc/self/exe", path)
        for d in ("lib64", "lib", "lib/x86_64-linux-gnu"):
            os.makedirs(os.path.join(bundle, "rootfs", d), exist_ok=True)
        for loaded in ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libseccomp.so.2"):
            with open(os.path.join(bundle, "rootfs", loaded), "w") as f:
                f.write("#!/bin/busybox sh\necho loaded >/loaded\n")
            os.chmod(f.name, 0o755)
        box.rt("run", "--bundle", bundle, box.id(), rc=None)
        assert not os.path.exists(os.path.join(bundle, "rootfs/loaded")), "code of the image ran as the runtime"
        # nothing of the image is loaded: the binary has no interpreter and needs no library
        for option in ("-l", "-d"):
            out = subprocess.run(["readelf", "-W", option, box.runtime], stdout=subprocess.PIPE, text=True, check=True).stdout
            lacks("the binary", out, "INTERP", "(NEEDED)")


@case("RUN-02: cwd /proc/self/fd/N for N in 3..30, also through a link: refused, in run and exec")
def cwd_by_descriptor(box):
    outside = os.open(box.work, os.O_RDONLY | os.O_DIRECTORY)
    given = []
    try:
        for fd in range(20, 31):
            os.dup2(outside, fd, inheritable=True)
            given.append(fd)
        name = box.start("sleep 1000")
        os.symlink("/proc/self/fd", f"/proc/{box.get(name)['pid']}/root/fds")
        shown = []
        for n in range(3, 31):
            for cwd in (f"/proc/self/fd/{n}", f"/proc/self/fd/{n}/..", f"/link/{n}", f"/proc/self/fd/{n}/../../.."):
                bundle = box.bundle("pwd; ls -a . .. ../..", lambda c: c["process"].update(cwd=cwd))
                os.symlink("/proc/self/fd", os.path.join(bundle, "rootfs/link"))
                p = box.rt("run", "--bundle", bundle, box.id(), rc=None, pass_fds=given)
                shown.append(p.stdout)
                assert p.returncode != 0 or "state" not in p.stdout, f"{cwd}: {p.stdout}"
                shutil.rmtree(bundle)
            for cwd in (f"/proc/self/fd/{n}", f"/fds/{n}"):
                p = box.rt("exec", "--cwd", cwd, name, "ls", "-a", ".", "..", rc=None, pass_fds=given)
                shown.append(p.stdout)
        for text in shown:
            lacks("what the container shows", text, os.path.basename(box.work), "config.json", "state.json", "rootfs")
    finally:
        os.close(outside)
        for fd in given:
            os.close(fd)


@case("RUN-02: descriptors of the caller and of the runtime do not come in")
def descriptors(box):
    outside = os.open(box.work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.set_inheritable(outside, True)
        script = "ls -l /proc/self/fd | grep -o '[0-9]* -> .*' | sort; for i in /proc/self/fd/*; do ls $i/../../.. 2>/dev/null; done; true"
        name = box.start("sleep 1000")
        for out in (box.run(script, pass_fds=[outside]), box.rt("exec", name, "sh", "-c", script, pass_fds=[outside]).stdout):
            numbers = sorted(int(line.split()[0]) for line in out.splitlines() if " -> " in line)
            assert numbers in ([0, 1, 2], [0, 1, 2, 3]), out  # 3: ls itself, on /proc/self/fd
            lacks("descriptors", out, box.work)
        contains("one that is meant to come in", box.run("ls /proc/self/fd/3", pass_fds=[3], options=["--preserve-fds", "1"])
                 if given_three(box) else "state", "state")
    finally:
        os.close(outside)


def given_three(box):
    """Descriptor 3 on box.work, if 3 is free: the canary of the case."""
    try:
        os.fstat(3)
        return False
    except OSError:
        fd = os.open(box.work, os.O_RDONLY | os.O_DIRECTORY)
        if fd != 3:
            os.dup2(fd, 3)
            os.close(fd)
        os.set_inheritable(3, True)
        return True


@case("RUN-02: a runtime that was started in a chroot: neither exec nor setns leads to what lies outside of that")
def in_chroot(box):
    jail = os.path.join(box.work, "jail")
    os.mkdir(jail)
    name = box.id()
    script = "nsenter -t 1 -m ls /mnt; readlink /proc/self/exe; exec sleep 1000"

    def change(c):
        with_caps(c, CAPS + ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"])

    for options in ([], ["--no-pivot"]):
        bundle = box.bundle(f"{{ {script}; }} >/tmp/out 2>&1", change)
        out = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", f"""
            mount --rbind / {jail} && mount -t tmpfs none /mnt && touch /mnt/outside || exit
            rt="chroot {jail} {box.runtime} --root {box.state}"
            $rt run --detach {' '.join(options)} --bundle {bundle} {name} </dev/null >/dev/null 2>&1
            $rt exec --cap CAP_SYS_ADMIN --cap CAP_SYS_PTRACE {name} sh -c 'ls / /mnt; readlink /proc/self/exe; nsenter -t 1 -m ls /mnt'
            while [ "$(wc -l <{bundle}/rootfs/tmp/out)" = 0 ]; do sleep 0.02; done
            $rt delete --force {name}
            cat {bundle}/rootfs/tmp/out
            """], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False).stdout
        contains(f"inside {options}", out, "bin\n", "/bin/busybox\n")
        lacks(f"inside {options}", out, "outside", "lib64")


@case("RUN-10: no inheritable capabilities unless asked for: run, exec, of root and of others; ambient only if asked")
def inheritable(box):
    show = "grep -E 'CapInh|CapAmb' /proc/self/status | tr '\\n' ' '"
    none = "CapInh:\t0000000000000000 CapAmb:\t0000000000000000 "
    for uid in (0, 1000):
        out = box.run(show, lambda c: (with_caps(c), c["process"]["user"].update(uid=uid, gid=uid)))
        same(f"run as {uid}", none, out)
    name = box.start("sleep 1000", with_caps)
    for options in ([], ["--user", "1000"], ["--cap", "CAP_SYS_CHROOT"], ["--user", "1000", "--cap", "CAP_KILL"]):
        same(f"exec {options}", none, box.rt("exec", *options, name, "sh", "-c", show).stdout)

    def ambient(c):
        with_caps(c)
        c["process"]["user"]["uid"] = 1000
        c["process"]["capabilities"].update(inheritable=["CAP_KILL"], ambient=["CAP_KILL"])

    same("asked for", "CapInh:\t0000000000000020 CapAmb:\t0000000000000020 ", box.run(show, ambient))


@case("RUN-11: a process of the container cannot trace the runtime while it enters, nor reach the host through it")
def tracing(box):
    canary = os.path.join(box.work, "canary-of-host")
    with open(canary, "w") as f:
        f.write("secret")
    for user in (0, 1000):
        bundle = with_attack(box.bundle(
            f"attack trace {SECONDS} {canary} >/tmp/result; sleep 1000",
            lambda c: (with_caps(c), c["process"]["user"].update(uid=user, gid=user))))
        os.chmod(os.path.join(bundle, "rootfs/tmp"), 0o1777)
        name = start(box, bundle)
        result = f"/proc/{box.get(name)['pid']}/root/tmp/result"
        n = 0
        while not (os.path.exists(result) and os.path.getsize(result)):
            box.rt("exec", "--user", str(user), name, "true", rc=None)
            n += 1
        with open(result) as f:
            text = f.read()
        assert n > 0, n
        m = re.match(r"traced (\d+) fds (\d+) reached (\d+) of (\d+) ", text)
        assert m and m.groups()[:3] == ("0", "0", "0"), text
        assert int(m[4]) > 0, "it never met the runtime: " + text


@case("RUN-15: users of exec: the right ids or an error, never 0 by accident")
def exec_users(box):
    name = box.start("sleep 1000", with_caps)
    for user, want in (("1", "1:0"), ("1:1", "1:1"), ("0", "0:0"), ("7:8", "7:8"), ("4294967294", "4294967294:0"),
                       (":1", None), ("1:", None), ("-1", None), ("0x0", None), ("4294967295", None), ("1:4294967295", None),
                       ("4294967296", None), (" 0", None), ("0 ", None), ("", None), ("nobody-there", None), ("root", None),
                       ("1:root", None), ("+1", None), ("1:1:1", None), ("1,1", None), ("1e0", None), ("18446744073709551616", None)):
        p = box.rt("exec", "--user", user, name, "sh", "-c", "echo $(id -u):$(id -g)", rc=None)
        got = p.stdout.strip()
        if want is None:
            assert p.returncode != 0 and got == "", f"--user {user!r}: {got}"
        else:
            same(f"--user {user!r}", want, got)


@case("RUN-16: a name in the image's passwd that looks like a number is none")
def names_like_numbers(box):
    def bundle(uid):
        b = box.bundle("id -u", lambda c: c["process"]["user"].update(uid=uid))
        with open(os.path.join(b, "rootfs/etc/passwd"), "a") as f:
            f.write(f"{uid}:x:0:0::/root:/bin/sh\n")
        return b

    p = box.rt("run", "--bundle", bundle(4294967296), box.id(), rc=None)
    assert p.returncode != 0
    contains("the message", p.stderr, "process.user.uid")
    same("1000 is 1000", "1000\n", box.rt("run", "--bundle", bundle(1000), box.id()).stdout)


@case("RUN-17: supplementary groups are exactly those of config.json, none of the caller's")
def groups(box):
    name = box.id()
    bundle = box.bundle("id -G; sleep 1000", lambda c: (with_caps(c), c["process"]["user"].update(additionalGids=[5, 6])))
    for args in (["run", "--bundle", bundle, "--detach", name],):
        subprocess.run(["setpriv", "--groups", "4,27,999", box.runtime, "--root", box.state, *args], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(f"/proc/{box.get(name)['pid']}/status") as f:
        contains("groups of the process", f.read(), "Groups:\t5 6 \n")
    for uid in (0, 1000):
        out = subprocess.run(["setpriv", "--groups", "4,27,999", box.runtime, "--root", box.state, "run", "--bundle",
                              box.bundle("grep Groups /proc/self/status",
                                         lambda c: c["process"]["user"].update(uid=uid, gid=uid)), box.id()],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        same(f"none for {uid}", "Groups:\t \n", out)


@case("RUN-19: annotations are data: those that steer other runtimes start nothing, write nothing, weaken nothing")
def annotations(box):
    out = os.path.join(box.work, "written")
    evil = {"run.oci.hooks.stdout": out, "run.oci.hooks.stderr": out, "run.oci.handler": "/bin/sh", "run.oci.seccomp.plugins": "/x.so",
            "run.oci.seccomp_bpf_data": "AAAA", "run.oci.seccomp_fail_unknown_syscall": "0", "org.criu.config": "/x",
            "run.oci.systemd.force_cgroup_v1": "/sys/fs/cgroup", "run.oci.pidfd_receiver": out, "run.oci.delegate-cgroup": "x",
            "run.oci.mount_context_type": "context", "io.kubernetes.cri-o.Devices": "/dev/mem:/dev/mem:rwm"}
    show = "cat /proc/self/status | grep -E 'Seccomp:|Cap|NoNewPrivs|Groups'; ls /dev; cat /proc/self/mountinfo | cut -d' ' -f 5- | sort"

    def change(c, notes):
        with_caps(c)
        c["annotations"] = notes
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}
        c["hooks"] = {"prestart": [{"path": "/bin/echo", "args": ["echo", "said"]}]}

    def shown(notes):
        return re.sub(r"bundle-\d+", "bundle", box.run(show, lambda c: change(c, notes)))

    same("what the container is", shown({}), shown(evil))
    assert not os.path.exists(out), "an annotation named a file, and it was written"


@case("RUN-20: the environment is the one of config.json; what is no variable is an error")
def environment(box):
    os.environ["SECRET_OF_CALLER"] = "x"
    try:
        same("variables", ["HOME=/root", "PATH=/bin", "PWD=/", "SHLVL=1", "TERM=xterm"],
             sorted(v for v in box.run("env").splitlines() if not v.startswith("_=")))
        name = box.start("sleep 1000")
        lacks("exec", box.rt("exec", name, "env").stdout, "SECRET", "BERTH")
        with open(f"/proc/{box.get(name)['pid']}/environ") as f:
            lacks("environ", f.read(), "SECRET", "BERTH")
        for bad in ("SECRET_OF_CALLER", "SECRET*", "=x", ""):
            contains(bad, box.fails(change=lambda c: c["process"]["env"].append(bad)), "process.env[2]:")
        lacks("a star", box.run("env", lambda c: c["process"]["env"].append("SECRET*=y")), "SECRET_OF_CALLER")
    finally:
        del os.environ["SECRET_OF_CALLER"]


@case("RUN-21: passwd as a link out, a pipe, a device, endless: looked at inside, without waiting")
def passwd(box):
    outside = os.path.join(box.work, "passwd-of-host")
    with open(outside, "w") as f:
        f.write("x:x:77:77::/home-of-host:/bin/sh\n")

    def home(make):
        bundle = box.bundle("echo $HOME", lambda c: c["process"]["user"].update(uid=77))
        path = os.path.join(bundle, "rootfs/etc/passwd")
        os.unlink(path)
        make(path)
        p = box.rt("run", "--bundle", bundle, box.id(), seconds=20)
        return p.stdout.strip()

    def lines(text):
        return lambda path: pathlib.Path(path).write_text(text)

    same("the canary: a file inside counts", "/inside", home(lines("x:x:77:77::/inside:/bin/sh\n")))
    same("a link out", "/", home(lambda p: os.symlink(outside, p)))
    same("a link up", "/", home(lambda p: os.symlink("../../../../../../.." + outside, p)))
    same("a pipe", "/", home(os.mkfifo))
    same("a device", "/", home(lambda p: os.mknod(p, 0o20666, os.makedev(1, 5))))
    same("a directory", "/", home(os.mkdir))
    same("nothing", "/", home(lambda p: None))
    same("no lines", "/", home(lines("x" * 100000)))
    same("a long field", "/", home(lines("x:x:77:77::/" + "y" * 10000 + ":/bin/sh\n")))
    same("behind 2 MiB", "/", home(lines("# comment\n" * 200000 + "x:x:77:77::/far:/bin/sh\n")))
    same("a NUL, odd lines", "/ok", home(lines("a\0b:x:77\n:::::\n\n77\nx:x:77:77::/ok:/bin/sh\n")))


@case("RUN-24: a profile holds on every ABI: what it denies is denied as x86_64, i386 and x32")
def abis(box):
    helper = os.path.join(container.TOP, "build/release/tests/lib/syscall")
    # open_by_handle_at, unshare, keyctl, bpf, userfaultfd, io_uring_setup, mount, kexec_load, clone3
    denied = [304, 272, 250, 321, 323, 425, 165, 246, 435]
    denied_x32 = [304, 272, 250, 321, 323, 425, 165, 528, 435]
    denied_i386 = [342, 310, 288, 357, 374, 425, 21, 283, 435]
    names = ["open_by_handle_at", "unshare", "keyctl", "bpf", "userfaultfd", "io_uring_setup", "mount", "kexec_load", "clone3"]

    def change(c):
        with_caps(c)
        c["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 123}]}

    calls = [str(n) for n in denied] + [f"x32:{n}" for n in denied_x32] + [f"i386:{n}" for n in denied_i386]
    bundle = box.bundle("syscall " + " ".join(calls), change)
    shutil.copy2(helper, os.path.join(bundle, "rootfs/bin/syscall"))
    out = box.rt("run", "--bundle", bundle, box.id()).stdout
    same("results", [f"{call} ENOMEDIUM" for call in calls], out.splitlines())


@case("RUN-25: masked and read-only parts of /proc stay so, and no new procfs shows them")
def procfs(box):
    masked = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
              "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
    readonly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    script = """
        for f in kcore keys timer_list; do [ -e /proc/$f ] && echo "$f: $(head -c 8 /proc/$f | wc -c)"; done
        for f in sysrq-trigger sys/kernel/core_pattern sys/kernel/hostname sys/vm/swappiness; do
            echo x 2>/dev/null >/proc/$f && echo "wrote $f"
        done
        mount -o remount,rw /proc 2>/dev/null && echo remounted
        mount -o remount,bind,rw /proc/sys 2>/dev/null && echo remounted sys
        umount /proc/kcore 2>/dev/null && echo unmounted
        mount -t proc proc /mnt 2>/dev/null && echo mounted
        unshare -U -r -m -p -f sh -c 'mount -t proc proc /mnt' 2>/dev/null && echo mounted in a namespace
        unshare -U -r -m sh -c 'umount /proc/kcore || umount -l /proc/sys' 2>/dev/null && echo unmounted in a namespace
        echo end
    """
    for caps in (CAPS, CAPS + ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]):
        out = box.run(script, lambda c: (with_caps(c, caps), c["linux"].update(maskedPaths=masked, readonlyPaths=readonly)))
        for line in out.splitlines():
            assert line == "end" or line.endswith(": 0"), out


def opens_here(path, kind, major, minor):
    """Whether the test itself gets at a device by a node of its own: only then a refusal inside says something."""
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        return True
    except OSError:
        return False
    finally:
        os.unlink(path)


@case("RUN-27: devices: made nodes do not open, also of what is there; mem, kmsg, fuse, the host's disk")
def devices(box):
    disk = os.stat(box.work).st_dev
    nodes = {"mem": ("c", 1, 1), "kmsg": ("c", 1, 11), "fuse": ("c", 10, 229), "tty": ("c", 4, 1)}
    if os.major(disk):
        nodes["disk"] = ("b", os.major(disk), os.minor(disk))
    plain = [n for n, (t, major, minor) in nodes.items()
             if opens_here(os.path.join(box.work, n), stat.S_IFBLK if t == "b" else stat.S_IFCHR, major, minor)]
    if not set(plain) - {"mem", "kmsg"}:  # those two want more than a capability of the container
        raise tap.Skip("this machine opens none of these devices itself")
    script = "".join(f"mknod /tmp/{n} {t} {major} {minor}; (exec 3</tmp/{n}) 2>/dev/null && echo opened {n}; "
                     for n, (t, major, minor) in nodes.items())
    script += "head -c 1 /dev/zero | wc -c; echo x >/dev/null && echo null"
    caps = CAPS + ["CAP_SYS_RAWIO"]

    def change(c):
        with_caps(c, caps)
        c["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}

    same("with the filter", "1\nnull\n", box.run(script, change))
    contains("without one", box.run(script, lambda c: with_caps(c, caps)), *(f"opened {n}\n" for n in plain if n not in ("mem", "kmsg")))


@case("RUN-28: a fork bomb, a memory hog, endless files: contained, the reason told, others go on")
def limits(box):
    def change(c):
        c["linux"]["resources"] = {"pids": {"limit": 50}, "memory": {"limit": 32 << 20, "swap": 32 << 20}}
        c["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "nr_inodes=1000"]})

    bomb = box.start("(while true; do sleep 1000 & done) 2>/dev/null & exec sleep 1000", change)
    hog = box.start("while ! test -e /go; do sleep 0.01; done; tail /dev/zero", change)
    files = box.start("i=0; while true; do true >/tmp/$i; i=$((i+1)); done 2>/dev/null", change)
    watch = subprocess.Popen([box.runtime, "--root", box.state, "events", "--interval", "50ms", hog], stdout=subprocess.PIPE,
                             text=True)
    try:
        contains("it watches", watch.stdout.readline(), '"stats"')
        open(box.get(hog)["rootfs"] + "/go", "w").close()
        for _ in range(5):
            same("another container", "hello\n", box.run("echo hello"))
        pids = box.cgroup(bomb, "pids")
        container.wait_until("the bomb is at its limit", lambda: pathlib.Path(pids, "pids.current").read_text() == "50\n")
        box.wait_stopped(hog)
        contains("events", watch.stdout.read(), '"oom"')
        top = f"/proc/{box.get(files)['pid']}/root/tmp"
        container.wait_until("the files run out", lambda: os.statvfs(top).f_ffree == 0)
        assert len(os.listdir(top)) <= 1000
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()
    box.rt("delete", "--force", bomb)
    assert not os.path.exists(pids), "the bomb's group is left"


@case("RUN-29: names that are paths, empty, long, or have control characters are refused; the state is private")
def names(box):
    bundle = box.bundle("true")
    before = sorted(os.listdir(box.work))
    for name in ("../x", ".", "..", "", "a/b", "/x", "a" * 256, "a\nb", "a\x1b[31m", "a b", "\u00e4", "a\\b", "*"):
        for command in (["create", "--bundle", bundle], ["state"], ["delete", "--force"], ["kill"]):
            p = box.rt(*command, "--", name, rc=None)
            assert p.returncode != 0 or command == ["delete", "--force"], (command, name)
            lacks("the message", p.stderr.rstrip("\n"), "\x1b", "\n")
    same("what is there", before, sorted(os.listdir(box.work)))
    created = box.create("true")
    for path in (box.state, os.path.join(box.state, created)):
        same(path, 0o40700, os.stat(path).st_mode)
    for name in os.listdir(os.path.join(box.state, created)):
        same(name, 0, os.lstat(os.path.join(box.state, created, name)).st_mode & 0o022)


@case("RUN-30: the pid belongs to somebody else by now: neither kill nor delete touches that process")
def pid_reuse(box):
    victim = subprocess.Popen(["sleep", "1000"])
    try:
        name = box.start("sleep 1000")
        path = os.path.join(box.state, name, "state.json")
        with open(path) as f:
            state = json.load(f)
        real = state["pid"]
        state["pid"] = victim.pid  # as if the number had been given to it: the start time is another one
        with open(path, "w") as f:
            json.dump(state, f)
        same("status", "stopped", box.status(name))
        p = box.rt("kill", name, "KILL", rc=1)
        contains("kill", p.stderr, "container not running")
        p = box.rt("exec", name, "true", rc=255)
        contains("exec", p.stderr, "cannot exec in a stopped container")
        box.rt("delete", "--force", name)
        same("the other process", None, victim.poll())
        container.wait_until("what was left in the groups ends", lambda: not container.alive(real))
    finally:
        victim.kill()
        victim.wait()


@case("RUN-33: control characters of config.json do not reach a terminal; input cannot be put into ours")
def terminals(box):
    evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\r\n"
    log = os.path.join(box.work, "log")
    for change in (lambda c: c["process"].update(args=["/bin/" + evil]), lambda c: c["root"].update(path=evil),
                   lambda c: c["process"].update(env=[evil]), lambda c: c.update(ociVersion=evil),
                   lambda c: c["linux"]["namespaces"].append({"type": evil}),
                   lambda c: c["mounts"].append({"destination": "/" + evil, "type": evil, "source": evil})):
        for options in ([], ["--log", log], ["--log", log, "--log-format", "json"]):
            p = box.rt(*options, "create", "--bundle", box.bundle("true", change), box.id(), rc=None)
            assert p.returncode != 0
            lacks("the message", p.stderr.rstrip("\n"), "\x1b", "\x07", "\u009b", "\r", "\n")
            if options:
                with open(log) as f:
                    lacks("the log", f.read(), "\x1b", "\x07", "\u009b", "\r")
    bundle = box.bundle("true")
    moved = os.path.join(box.work, "evil" + evil.replace("\n", ""))
    os.rename(bundle, moved)
    box.rt("create", "--bundle", moved, box.id())
    lacks("list", box.rt("list").stdout, "\x1b", "\x07", "\u009b", "\r")

    bundle = with_attack(box.bundle("attack tiocsti", with_caps))
    master, slave = pty.openpty()
    try:
        p = subprocess.run(["setsid", "-c", box.runtime, "--root", box.state, "run", "--bundle", bundle, box.id()], stdin=slave,
                           stdout=subprocess.PIPE, text=True, check=True)
        assert p.stdout.startswith("tiocsti ") and "done" not in p.stdout, p.stdout
    finally:
        os.close(master)
        os.close(slave)


@case("RUN-38: no cgroup can be mounted or written to, nor a release agent set")
def release_agent(box):
    script = """
        for h in memory devices pids; do
            mount -t cgroup -o $h none /mnt 2>/dev/null && echo mounted $h
            unshare -U -r -m sh -c "mount -t cgroup -o $h none /mnt" 2>/dev/null && echo mounted $h in a namespace
        done
        for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs 2>/dev/null); do
            echo 1 2>/dev/null >$f && echo wrote $f
        done
        mkdir /sys/fs/cgroup/*/x 2>/dev/null && echo made a group
        ls /sys/fs/cgroup | wc -l
    """
    for namespaces in (True, False):
        def change(c):
            with_caps(c)
            c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                                "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]})
            if not namespaces:
                c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "cgroup"]

        out = box.run(script, change)
        assert re.fullmatch(r"[1-9]\d*\n", out), out


def main():
    container.need_root()
    if not os.path.exists(ATTACK):
        print(f"1..0 # SKIP {ATTACK} is not built")
        return
    with container.Box() as box:
        tap.main(box, after_each=container.Box.sweep)


if __name__ == "__main__":
    main()
