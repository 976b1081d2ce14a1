#!/usr/bin/env python3
"""Seccomp: actions, arguments, architectures, flags, the listener, and the filters that are kept."""
import json
import os
import pathlib
import socket
import stat
import struct
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, wait_until  # noqa: E402
from tap import case, same  # noqa: E402

SLEEP = "exec sleep 1000"


def profile(*syscalls, default="SCMP_ACT_ALLOW", **more):
    return {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": list(syscalls), **more}


def rule(action, *names, **more):
    return {"names": list(names), "action": action, **more}


def use(p, nnp=True):
    def change(c):
        c["linux"]["seccomp"] = p
        c["process"]["noNewPrivileges"] = nnp
    return change


@case("ERRNO, KILL, KILL_PROCESS, TRAP, LOG, ALLOW, TRACE: what the program gets")
def actions(box):
    same("ERRNO", "mkdir: can't create directory '/x': Operation not permitted\n",
         box.run("mkdir /x 2>&1; true", use(profile(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat")))))
    same("errnoRet", "mkdir: can't create directory '/x': No space left on device\n",
         box.run("mkdir /x 2>&1; true", use(profile(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat", errnoRet=28)))))
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"):
        same(action, "159\n", box.run("sh -c 'mkdir /x' 2>/dev/null; echo $?", use(profile(rule(action, "mkdir", "mkdirat"))))
             .replace("Bad system call\n", ""))
    same("LOG", "made\n", box.run("mkdir /x && echo made", use(profile(rule("SCMP_ACT_LOG", "mkdir")))))
    same("TRACE without a tracer", "mkdir: can't create directory '/x': Function not implemented\n",
         box.run("mkdir /x 2>&1; true", use(profile(rule("SCMP_ACT_TRACE", "mkdir", "mkdirat", errnoRet=7)))))


@case("the default action, with an errno of its own")
def default_action(box):
    allowed = ("execve", "execveat", "exit", "exit_group", "brk", "mmap", "munmap", "mprotect", "arch_prctl", "prctl", "read",
               "write", "writev", "close", "fstat", "newfstatat", "stat", "lseek", "ioctl", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
               "getuid", "geteuid", "getgid", "getegid", "getpid", "getppid", "fork", "clone", "wait4", "open", "openat", "dup2", "fcntl",
               "getcwd", "access", "faccessat", "uname", "readlink", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom",
               "lstat", "pipe", "pipe2", "umask", "clock_gettime", "statx", "setresuid", "poll", "getpgrp", "setpgid", "tgkill", "gettid")
    for number, text in ((None, "Operation not permitted"), (22, "Invalid argument"), (38, "Function not implemented")):
        p = profile(rule("SCMP_ACT_ALLOW", *allowed), default="SCMP_ACT_ERRNO")
        if number:
            p["defaultErrnoRet"] = number
        contains(str(number), box.run("mkdir /x 2>&1; true", use(p)), text)


@case("calls newer than the profile get ENOSYS instead of its EPERM, so that programs fall back")
def newer_calls(box):
    helper = os.path.join(container.TOP, "build/release/tests/lib/syscall")
    p = profile(rule("SCMP_ACT_ALLOW", *[f"x{i}" for i in range(3)], "read", "write", "openat", "execve", "exit_group", "mmap", "brk",
                     "arch_prctl", "mprotect", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom", "readlinkat",
                     "readlink", "newfstatat", "clone3", "fstat"), default="SCMP_ACT_ERRNO")

    def change(c):
        use(p)(c)
        c["process"]["args"] = ["/syscall", "999", "400", "435", "83"]

    bundle = box.bundle(None, change)
    subprocess.run(["cp", helper, bundle + "/rootfs/syscall"], check=True)
    same("numbers: unknown, unknown, allowed, denied", "999 ENOSYS\n400 EPERM\n435 EINVAL\n83 EPERM\n",
         box.rt("run", "-b", bundle, box.id()).stdout)


@case("every ABI: i386 and x32 calls are filtered as well")
def abis(box):
    helper = os.path.join(container.TOP, "build/release/tests/lib/syscall")

    def run(p):
        def change(c):
            use(p)(c)
            c["process"]["args"] = ["/syscall", "i386:39", "x32:83", "83"]
        bundle = box.bundle(None, change)
        subprocess.run(["cp", helper, bundle + "/rootfs/syscall"], check=True)
        return box.rt("run", "-b", bundle, box.id(), rc=None)

    out = run(profile(rule("SCMP_ACT_ERRNO", "mkdir", errnoRet=99))).stdout
    same("mkdir three times", ["i386:39 99", "83 99"], [line for line in out.replace("EADDRNOTAVAIL", "99").splitlines() if not line.startswith("x32")])
    assert "x32:83 99" in out.replace("EADDRNOTAVAIL", "99") or "x32:83 ENOSYS" in out, out
    p = profile(rule("SCMP_ACT_ERRNO", "mkdir", errnoRet=99))
    p["architectures"] = ["SCMP_ARCH_X86_64"]
    p = run(p)
    assert p.returncode != 0, "an architecture that is not listed must not run"


@case("arguments: each operator; several on one argument are alternatives, on different ones all hold")
def arguments(box):
    def run(p):
        return box.run("for n in 1 2 3 4 5; do umask 00$n 2>/dev/null; done; chmod 700 /tmp 2>/dev/null && echo 700; "
                       "chmod 755 /tmp 2>/dev/null && echo 755; chmod 711 /tmp 2>/dev/null && echo 711; true", use(p)).split()

    def arg(index, op, value, two=0):
        return {"index": index, "op": "SCMP_CMP_" + op, "value": value, "valueTwo": two}

    for op, value, two, left in (("EQ", 0o700, 0, ["755", "711"]), ("NE", 0o700, 0, ["700"]), ("LT", 0o711, 0, ["755", "711"]),
                                 ("LE", 0o711, 0, ["755"]), ("GT", 0o711, 0, ["700", "711"]), ("GE", 0o711, 0, ["700"]),
                                 ("MASKED_EQ", 0o070, 0o010, ["700", "755"])):
        same(op, left, run(profile(rule("SCMP_ACT_ERRNO", "chmod", "fchmodat", args=[arg(1, op, value, two)])))
             if op != "MASKED_EQ" else run(profile(rule("SCMP_ACT_ERRNO", "chmod", args=[arg(1, op, value, two)]))))
    same("or", ["711"], run(profile(rule("SCMP_ACT_ERRNO", "chmod", args=[arg(1, "EQ", 0o700), arg(1, "EQ", 0o755)]))))
    same("and", ["755", "711"], run(profile(rule("SCMP_ACT_ERRNO", "chmod", args=[arg(1, "EQ", 0o700), arg(0, "NE", 0)]))))
    same("and, false", ["700", "755", "711"], run(profile(rule("SCMP_ACT_ERRNO", "chmod", args=[arg(1, "EQ", 0o700), arg(0, "EQ", 0)]))))
    same("64 bits", ["700", "755", "711"], run(profile(rule("SCMP_ACT_ERRNO", "chmod", args=[arg(1, "EQ", 0o700 + (1 << 63))]))))


@case("flags; unknown call names are skipped; what is wrong is an error that names it")
def flags_and_errors(box):
    p = profile(rule("SCMP_ACT_ERRNO", "no_such_call", "mkdir", "mkdirat"),
                flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"])
    contains("flags", box.run("mkdir /x 2>&1; true", use(p)), "Operation not permitted")
    out = box.run("cat /proc/self/status", use(profile(rule("SCMP_ACT_ERRNO", "mkdir"), flags=["SECCOMP_FILTER_FLAG_SPEC_ALLOW"])))
    contains("mode", out, "Seccomp:\t2")
    for value, part in ((profile(default="X"), "defaultAction: unknown value"),
                        (profile(rule("X", "read")), "syscalls[0].action: unknown value"),
                        (profile(rule("SCMP_ACT_ALLOW", "read", errnoRet=1)), "syscalls[0].errnoRet: action SCMP_ACT_ALLOW takes no errno"),
                        (profile(rule("SCMP_ACT_KILL", "read", errnoRet=1)), "syscalls[0].errnoRet:"),
                        (profile(defaultErrnoRet=1), "defaultErrnoRet:"),
                        (profile(rule("SCMP_ACT_ERRNO", "read", errnoRet=5000)), "syscalls[0].errnoRet: 5000 is no errno"),
                        (profile(rule("SCMP_ACT_ERRNO")), "syscalls[0].names: must not be empty"),
                        (profile(rule("SCMP_ACT_ERRNO", "read", args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])), "syscalls[0].args[0].index:"),
                        (profile(rule("SCMP_ACT_ERRNO", "read", args=[{"index": 1, "value": 0, "op": "X"}])), "syscalls[0].args[0].op:"),
                        (profile(flags=["X"]), "flags[0]: unknown value"), (profile(rule("SCMP_ACT_NOTIFY", "read")), "listenerPath: is missing"),
                        ({"syscalls": []}, "defaultAction: is missing"),
                        (profile(rule("SCMP_ACT_NOTIFY", "read"), listenerPath="/nope"), "listenerPath: connect to /nope: No such file")):
        contains(part, box.fails(change=use(value)), "linux.seccomp." + part)
    broken = dict(profile(), architectures=["SCMP_ARCH_NONE"])
    contains("architecture", box.fails(change=use(broken)), "linux.seccomp.architectures[0]: unknown value")


@case("a profile that allows hardly anything still starts: of the runtime's own calls only execve has to get through")
def strict(box):
    helper = os.path.join(container.TOP, "build/release/tests/lib/syscall")
    own = ("brk", "mmap", "munmap", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlinkat", "readlink",
           "getrandom", "mprotect", "write", "exit_group", "getpid", "fstat", "newfstatat")
    p = profile(rule("SCMP_ACT_ALLOW", "execve", *own), default="SCMP_ACT_KILL_PROCESS")
    for nnp in (True, False):
        bundle = box.bundle(None, lambda c, n=nnp: (use(p, n)(c), c["process"].update(args=["/syscall", "39"])))
        subprocess.run(["cp", helper, bundle + "/rootfs/syscall"], check=True)
        same(str(nnp), "39 0\n", box.rt("run", "-b", bundle, box.id()).stdout)
    name = box.start(SLEEP, use(profile(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat"))))
    contains("exec is filtered, too", box.rt("exec", name, "mkdir", "/x", rc=1).stderr, "Operation not permitted")


@case("without noNewPrivileges: filtered, with exactly the capabilities asked for")
def no_nnp(box):
    def change(c):
        use(profile(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat")), False)(c)
        c["process"]["user"] = {"uid": 7, "gid": 7}
        c["process"]["capabilities"] = {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}

    out = box.run("cat /proc/self/status; mkdir /x 2>&1; true", change)
    contains("status", out, "NoNewPrivs:\t0", "Seccomp:\t2", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
             "CapBnd:\t0000000000000020", "Operation not permitted")
    root = box.run("cat /proc/self/status", use(profile(rule("SCMP_ACT_ERRNO", "mkdir")), False))
    contains("root", root, "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000")


class Agent(threading.Thread):
    """Takes one listener and answers each notification with a number as the errno."""

    def __init__(self, path, errno):
        super().__init__(daemon=True)
        self.errno, self.states, self.names = errno, [], []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(path)
        self.server.listen(8)

    def run(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            data, fds, _, _ = socket.recv_fds(conn, 65536, 1)
            self.states.append(json.loads(data))
            conn.close()
            threading.Thread(target=self.serve, args=(fds[0],), daemon=True).start()

    def serve(self, fd):
        import fcntl
        while True:
            notif = bytearray(80)
            try:
                fcntl.ioctl(fd, 0xc0502100, notif)  # SECCOMP_IOCTL_NOTIF_RECV
            except OSError:
                os.close(fd)
                return
            id_, _, _, nr = struct.unpack_from("=QIIi", notif)
            self.names.append(nr)
            answer = struct.pack("=QqiI", id_, 0, -self.errno, 0)
            try:
                fcntl.ioctl(fd, 0xc0182101, bytearray(answer))
            except OSError:
                pass


@case("NOTIFY: the agent gets descriptor and state over listenerPath, for create and for exec")
def notify(box):
    path = os.path.join(box.work, "agent")
    agent = Agent(path, 122)
    agent.start()
    p = profile(rule("SCMP_ACT_NOTIFY", "mkdir", "mkdirat", "sendmsg", "sendto"), listenerPath=path, listenerMetadata="meta \"data\"",
                flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])
    for nnp in (True, False):
        agent.states.clear()
        bundle = box.bundle("mkdir /x; " + SLEEP, use(p, nnp))
        name = box.id()
        with open(bundle + "/out", "w") as f:
            subprocess.run([box.runtime, "--root", box.state, "create", "-b", bundle, name], stdout=f, stderr=f, check=True)
        pid = box.get(name)["pid"]
        box.rt("start", name)
        wait_until("an answer", lambda b=bundle: "quota" in open(b + "/out").read().lower())
        s = agent.states[0]
        same("state", (["seccompFd"], pid, 'meta "data"', name, pid, bundle, "created"),
             (s["fds"], s["pid"], s["metadata"], s["state"]["id"], s["state"]["pid"], s["state"]["bundle"], s["state"]["status"]))
        contains("exec", box.rt("exec", name, "mkdir", "/y", rc=1).stderr.lower(), "quota")
        same("one connection each", 2, len(agent.states))
        box.rt("delete", "--force", name)
    agent.server.close()


def cache(box):
    return os.path.join(box.state, "~seccomp")


@case("a compiled filter is kept, private, and used again; a changed profile gets its own")
def kept(box):
    subprocess.run(["rm", "-rf", cache(box)], check=True)
    p = profile(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat", errnoRet=28))
    for _ in range(3):
        contains("works", box.run("mkdir /x 2>&1; true", use(p)), "No space left")
    files = os.listdir(cache(box))
    same("one file", 1, len(files))
    st = os.stat(os.path.join(cache(box), files[0]))
    same("private", (0o600, os.geteuid()), (stat.S_IMODE(st.st_mode), st.st_uid))
    same("directory", 0o700, stat.S_IMODE(os.stat(cache(box)).st_mode))
    p["syscalls"][0]["errnoRet"] = 30
    contains("the other", box.run("mkdir /x 2>&1; true", use(p)), "Read-only")
    same("two files", 2, len(os.listdir(cache(box))))


def forged(box):
    """A kept filter that allows everything, under the name and with the key of a profile that does not."""
    subprocess.run(["rm", "-rf", cache(box)], check=True)
    p = profile(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat", errnoRet=28))
    box.run("true", use(p))
    path = os.path.join(cache(box), os.listdir(cache(box))[0])
    data = open(path, "rb").read()
    key_bytes, = struct.unpack_from("=I", data, 8)
    allow = struct.pack("=HBBI", 6, 0, 0, 0x7fff0000)
    return p, path, data[:8] + struct.pack("=IHH", key_bytes, 1, 0) + data[16:16 + key_bytes] + allow


def denied(box, p):
    return "No space left" in box.run("mkdir /x 2>&1; rmdir /x 2>/dev/null; true", use(p))


@case("the forgery of the next test would work if the file were trusted")
def forgery_works(box):
    p, path, data = forged(box)
    with open(path, "wb") as f:
        f.write(data)
    same("used", False, denied(box, p))


@case("a kept filter is not taken from a file or directory that somebody else could have written")
def not_trusted(box):
    def owner(path):
        os.chown(path, 1000, 1000)

    def mode(path):
        os.chmod(path, 0o666)

    def group(path):
        os.chmod(path, 0o620)

    def second_name(path):
        os.link(path, path + "x")

    def link(path):
        os.rename(path, box.work + "/elsewhere")
        os.symlink(box.work + "/elsewhere", path)

    def directory_mode(_):
        os.chmod(cache(box), 0o777)

    def directory_owner(_):
        os.chown(cache(box), 1000, 1000)

    def directory_link(_):
        os.rename(cache(box), box.work + "/cachedir")
        os.symlink(box.work + "/cachedir", cache(box))

    for spoil in (owner, mode, group, second_name, link, directory_mode, directory_owner, directory_link):
        p, path, data = forged(box)
        with open(path, "wb") as f:
            f.write(data)
        spoil(path)
        same(spoil.__name__, True, denied(box, p))
        subprocess.run(["rm", "-rf", cache(box), box.work + "/cachedir", box.work + "/elsewhere"], check=True)


@case("damaged files cost a compilation, nothing else")
def damaged(box):
    for spoil in (lambda d: b"", lambda d: d[:10], lambda d: d[:-1], lambda d: b"x" + d[1:], lambda d: d + b"y" * 8,
                  lambda d: d[:8] + b"\xff" * 8 + d[16:], lambda d: d[:20] + bytes([d[20] ^ 1]) + d[21:]):
        p, path, _ = forged(box)
        data = open(path, "rb").read()
        with open(path, "wb") as f:
            f.write(spoil(data))
        same("denied", True, denied(box, p))
    p, path, data = forged(box)
    os.unlink(path)
    os.mkfifo(path, 0o600)
    same("a pipe does not block", True, denied(box, p))
    os.unlink(path)
    os.mkdir(path)
    same("a directory", True, denied(box, p))
    os.rmdir(path)
    os.rmdir(cache(box))
    with open(cache(box), "w"):
        pass
    same("a file in the directory's place", True, denied(box, p))
    os.unlink(cache(box))


@case("the number of kept filters is bounded")
def bounded(box):
    for i in range(70):
        box.rt("create", "--bundle", box.bundle(None, lambda c, n=i: (use(profile(rule("SCMP_ACT_ERRNO", "mkdir", errnoRet=n + 1)))(c),
                                                                      c["process"].update(args=["/nope"]))), box.id(), rc=1)
    assert len(os.listdir(cache(box))) <= 64, len(os.listdir(cache(box)))


@case("RUN-37: a profile without end is an error, never a filter that is missing")
def huge(box):
    contains("names", box.fails(change=use(profile(rule("SCMP_ACT_ERRNO", *["mkdir"] * 200000)))),
             "linux.seccomp.syscalls: more than 8192 rules")
    many = [rule("SCMP_ACT_ERRNO", "chmod", args=[{"index": 1, "value": i, "op": "SCMP_CMP_EQ"}]) for i in range(3000)]
    same("many work", "no\n", box.run("chmod 711 /tmp 2>/dev/null || echo no", use(profile(*many))))


if __name__ == "__main__":
    container.need_root()
    with container.Box() as the_box:
        tap.main(the_box, after_each=container.Box.sweep)
