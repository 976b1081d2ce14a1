#!/usr/bin/env python3
"""Under a service manager: what it is told and when, the watchdog with threads that hang, sockets that it opened before."""
import ctypes
import http.client
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # threads, too
SIGN = {"WATCHDOG": "1"}
SIGN_S = 0.5  # between signs: a quarter of the span
SPAN_US = 2000000
libc = ctypes.CDLL(None, use_errno=True)


def ptrace(what, tid):
    return libc.ptrace(what, ctypes.c_long(tid), None, None)


class Manager:
    """Listens where NOTIFY_SOCKET says; starts programs with descriptors from 3 on, as systemd does."""

    def __init__(self, abstract=False):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-"))
        self.root = self.work / "root"
        self.name = f"\0berth-test-{os.getpid()}-{id(self)}" if abstract else str(self.work / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.name)
        self.process = None

    def start(self, *options, sockets=(), names=None, watchdog_us=None, listen="127.0.0.1:0", pid=None, **env):
        """Returns the address that it serves on, None if it does not start."""
        env = {**os.environ, "NOTIFY_SOCKET": self.name.replace("\0", "@"), **env}
        if watchdog_us:
            env["WATCHDOG_USEC"] = str(watchdog_us)
        if sockets:
            env["LISTEN_FDS"] = str(len(sockets))
        if names is not None:
            env["LISTEN_FDNAMES"] = ":".join(names)

        def pass_sockets():
            high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)

        self.process = subprocess.Popen(
            ["sh", "-c", f'LISTEN_PID={pid or "$$"} exec "$@"', "sh", r.BERTHD, "serve", "--root", str(self.root), "--listen", listen,
             *options], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=pass_sockets,
            pass_fds=range(3, 3 + len(sockets)))
        line = self.process.stdout.readline().decode()
        return line.split("//")[1].strip() if line.startswith("listening on") else None

    def heard(self, timeout_s=r.WAIT_S):
        """The next message as a dictionary, None if there is none in time."""
        if not select.select([self.socket], [], [], timeout_s)[0]:
            return None
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def first_sign(self):
        same("ready", True, "READY" in self.heard())
        same("a sign", SIGN, self.heard())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=r.WAIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
            self.process.stdout.close()
            self.process.stderr.close()
        self.socket.close()
        shutil.rmtree(self.work, ignore_errors=True)


def get(address, path="/v2/"):
    host, port = address.rsplit(":", 1)
    c = http.client.HTTPConnection(host, int(port), timeout=r.WAIT_S)
    c.request("GET", path)
    status = c.getresponse().status
    c.close()
    return status


def listener(address="127.0.0.1", kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind)
    s.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        s.listen(16)
    return s


@case("READY once it serves, RELOADING and READY around a reload, STOPPING; confined, by both kinds of address")
def told():
    for abstract in (False, True):
        with Manager(abstract) as m:
            address = m.start()
            same("ready", {"READY": "1", "STATUS": f"listening on http://{address}"}, m.heard())
            m.process.send_signal(signal.SIGHUP)
            reloading = m.heard()
            same("reloading", "1", reloading["RELOADING"])
            same("when", True, 0 < int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
            same("ready again", {"READY": "1", "STATUS": f"listening on http://{address}"}, m.heard())
            same("end", 0, m.stop())
            same("stopping", "1", m.heard()["STOPPING"])
            same("and no more", None, m.heard(0))


@case("a start that fails is told with its cause, on one line, and never as READY")
def failure():
    with Manager() as m:
        same("address", None, m.start(listen="127.0.0.1:0", **{"BERTHD_PROCESS_USER": "no\nREADY=1"}))
        same("status", 2, m.process.wait(timeout=r.WAIT_S))
        told = m.heard()
        same("message", {"STOPPING", "STATUS"}, set(told))
        same("cause", True, "process.user" in told["STATUS"])


@case("without a manager, or with one that is gone, it serves all the same")
def nobody():
    with Manager() as m:
        address = m.start(NOTIFY_SOCKET="/nowhere/notify")
        same("served", 200, get(address))
        same("end", 0, m.stop())


def threads(m, name):
    found = []
    for task in pathlib.Path(f"/proc/{m.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            found.append(int(task.name))
    return found


class Frozen:
    """Threads that do not move, whatever they were at."""

    def __init__(self, tids):
        if "valgrind" in r.BERTHD:
            raise tap.Skip("valgrind's threads run one at a time: none would move")
        same("there are some", True, bool(tids))
        self.tids = tids

    def __enter__(self):
        for tid in self.tids:
            if ptrace(PTRACE_SEIZE, tid) != 0:
                raise tap.Skip(f"ptrace: {os.strerror(ctypes.get_errno())}")
        for tid in self.tids:
            ptrace(PTRACE_INTERRUPT, tid)
            os.waitpid(tid, WALL)

    def __exit__(self, *_):
        for tid in self.tids:
            ptrace(PTRACE_DETACH, tid)


def silent(m):
    """Do signs stop?  Those on their way are let pass."""
    for _ in range(10):
        if m.heard(4 * SIGN_S) is None:
            return True
    return False


@case("signs of life come while idle and while busy, by one thread as well")
def signs():
    for threads_option in ("--threads=2", "--threads=1"):
        with Manager() as m:
            address = m.start(threads_option, watchdog_us=SPAN_US)
            same("ready", True, "READY" in m.heard())
            for _ in range(4):
                same("a sign", SIGN, m.heard())
                same("served", 200, get(address))
            same("end", 0, m.stop())


@case("no sign while threads that serve hang; they come back with them")
def hanging_server():
    with Manager() as m:
        m.start(watchdog_us=SPAN_US)
        m.first_sign()
        with Frozen(threads(m, "MHD-worker")):
            same("signs stop", True, silent(m))
        same("a sign", SIGN, m.heard())
        same("end", 0, m.stop())


@case("one of two threads that hangs is no reason: the other serves")
def hanging_half():
    with Manager() as m:
        m.start(watchdog_us=SPAN_US)
        m.first_sign()
        with Frozen(threads(m, "MHD-worker")[:1]):
            for _ in range(6):
                same("a sign", SIGN, m.heard())
        same("end", 0, m.stop())


@case("no sign while the committer hangs with something to do; an idle one is not missed")
def hanging_committer():
    with Manager() as m:
        address = m.start(watchdog_us=SPAN_US)
        m.first_sign()
        host, port = address.rsplit(":", 1)
        answers = []

        def push():
            c = http.client.HTTPConnection(host, int(port), timeout=r.WAIT_S)
            c.request("POST", f"/v2/a/blobs/uploads/?digest={r.sha256(b'x')}", b"x",
                      {"Content-Type": "application/octet-stream"})
            answers.append(c.getresponse().status)

        pusher = threading.Thread(target=push)
        with Frozen(threads(m, "committer")):
            for _ in range(6):
                same("idle, a sign", SIGN, m.heard())
            pusher.start()
            same("signs stop", True, silent(m))
        pusher.join(r.WAIT_S)
        same("the push", [201], answers)
        same("a sign", SIGN, m.heard())
        same("end", 0, m.stop())


@case("a watchdog that is meant for another process is none")
def others_watchdog():
    with Manager() as m:
        m.start(watchdog_us=400000, WATCHDOG_PID="1")
        same("ready", True, "READY" in m.heard())
        same("nothing", None, m.heard(1))


@case("a server with all the connections it may have is alive")
def full():
    with Manager() as m:
        address = m.start("--http.connections=2", "--http.head_timeout=1h", "--http.idle_timeout=1h", watchdog_us=SPAN_US)
        host, port = address.rsplit(":", 1)
        held = [socket.create_connection((host, int(port))) for _ in range(4)]
        for s in held:
            s.sendall(b"GET /v2/ HT")
        same("ready", True, "READY" in m.heard())
        for _ in range(8):
            same("a sign", SIGN, m.heard())
        for s in held:
            s.close()
        same("end", 0, m.stop())


@case("passed sockets are served, again after a restart; the one named metrics is for metrics")
def passed():
    with Manager() as m, listener() as a, listener() as b:
        want = [f"127.0.0.1:{s.getsockname()[1]}" for s in (a, b)]
        for _ in range(2):  # a stop leaves the socket as it was
            address = m.start(sockets=(a, b), names=("berthd.socket", "metrics"), listen="127.0.0.1:1")
            same("address", want[0], address)
            same("metrics", f"metrics on http://{want[1]}\n", m.process.stdout.readline().decode())
            same("api", 200, get(want[0]))
            same("here", 200, get(want[1], "/metrics"))
            same("not here", 404, get(want[1]))
            same("not there", 404, get(want[0], "/metrics"))
            same("end", 0, m.stop())
        waiting = socket.create_connection(a.getsockname())  # before anybody serves
        m.start(sockets=(a,))
        waiting.sendall(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        same("it was kept", b"HTTP/1.1 200", waiting.recv(12))
        waiting.close()
        same("end", 0, m.stop())


@case("sockets that it cannot serve on stop the start: open to all, datagrams, too many; those for others are left alone")
def refused():
    with listener() as a, listener() as b, listener("0.0.0.0") as everywhere, listener(kind=socket.SOCK_DGRAM) as datagrams:
        for sockets, names, why in (((everywhere,), None, "not loopback"), ((datagrams,), None, "no TCP socket"),
                                    ((a, b), None, "several sockets"), ((a, b), ("metrics", "metrics"), "several sockets for metrics")):
            with Manager() as m:
                same(why, None, m.start(sockets=sockets, names=names))
                same("status", 1, m.process.wait(timeout=r.WAIT_S))
                same(why, True, why in m.process.stderr.read().decode())
        with Manager() as m:
            same("not ours", False, m.start(sockets=(a,), pid=1) == f"127.0.0.1:{a.getsockname()[1]}")
        with Manager() as m:
            address = m.start("--http.insecure", sockets=(everywhere,))
            same("wanted", 200, get("127.0.0.1:" + address.rsplit(":", 1)[1]))


@case("systemd-socket-activate starts it on the first connection")
def activated():
    program = shutil.which("systemd-socket-activate")
    if not program:
        raise tap.Skip("no systemd-socket-activate")
    with listener() as s:
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as work:
        p = subprocess.Popen([program, "-l", f"127.0.0.1:{port}", r.BERTHD, "serve", "--root", f"{work}/root"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            first = p.stderr.readline().decode()
            same("listening", True, bool(re.search(rf"Listening on 127\.0\.0\.1:{port}", first)))
            same("served", 200, get(f"127.0.0.1:{port}"))
            p.terminate()
            same("end", 0, p.wait(timeout=r.WAIT_S))
        finally:
            p.kill()
            p.wait()
            p.stdout.close()
            p.stderr.close()


tap.main()
