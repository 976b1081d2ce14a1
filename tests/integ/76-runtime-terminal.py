#!/usr/bin/env python3
"""Terminals: the console socket, a run and an exec in the foreground, sizes, the controlling terminal."""
import fcntl
import os
import pathlib
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains  # noqa: E402
from tap import case, same  # noqa: E402

SLEEP = "exec sleep 1000"


class Console:
    """The socket that takes the master of a terminal, as conmon and containerd have it."""

    def __init__(self, path):
        self.path = path
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(path)
        self.server.listen(1)
        self.server.settimeout(container.WAIT_S)
        self.master = None
        self.data = None

    def take(self):
        conn, _ = self.server.accept()
        self.data, fds, _, _ = socket.recv_fds(conn, 4096, 1)
        self.master = fds[0]
        conn.close()
        return self

    def close(self):
        self.server.close()
        os.unlink(self.path)
        if self.master is not None:
            os.close(self.master)


def read_until(fd, *marks):
    """Output of a terminal until all marks were in it."""
    text = ""
    end = time.monotonic() + container.WAIT_S
    while not all(m in text for m in marks):
        if time.monotonic() > end:
            raise AssertionError(f"no {marks} in {text!r}")
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""
        if not data:
            raise AssertionError(f"the terminal ended before {marks}: {text!r}")
        text += data.decode(errors="replace")
    return text


def terminal(c):
    c["process"]["terminal"] = True


def with_console(box, script, change=None):
    console = Console(os.path.join(box.work, f"console-{box.id()}"))

    def both(c):
        terminal(c)
        if change:
            change(c)

    name = box.create(script, both, ["--console-socket", console.path])
    console.take()
    return name, console


@case("create --console-socket: the master arrives, the name of the slave with it; /dev/console is the same terminal")
def console_socket(box):
    name, console = with_console(box, "tty; ls -l /dev/console; stat -c %t:%T /dev/console $(tty); echo to console > /dev/console; read x; echo got $x; " + SLEEP)
    same("name", b"/dev/pts/0", console.data)
    box.rt("start", name)
    os.write(console.master, b"hello\n")
    out = read_until(console.master, "/dev/pts/0", "to console", "got hello")
    numbers = [line for line in out.replace("\r", "").split("\n") if ":" in line and " " not in line]
    same("one device", 1, len(set(numbers)))
    console.close()


@case("size: consoleSize at the start, changes later")
def size(box):
    name, console = with_console(box, "stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done",
                                 lambda c: c["process"].update(consoleSize={"height": 33, "width": 77}))
    box.rt("start", name)
    read_until(console.master, "33 77", "ready")
    fcntl.ioctl(console.master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
    read_until(console.master, "44 88")
    console.close()


@case("the terminal controls the process: job control, ^C, owner of the slave")
def controlling(box):
    name, console = with_console(box, "trap 'echo interrupted' INT; echo > /dev/tty && echo has tty; stat -c %u $(tty); while :; do sleep 0.05; done",
                                 lambda c: c["process"].update(user={"uid": 1000, "gid": 5}))
    box.rt("start", name)
    read_until(console.master, "has tty", "1000")
    os.write(console.master, b"\x03")
    read_until(console.master, "interrupted")
    pid = box.get(name)["pid"]
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    same("session leader", (str(pid), True), (fields[3], fields[4] != "0"))
    console.close()


@case("exec --tty --console-socket --detach: a second terminal in the same container")
def exec_console(box):
    name = box.start(SLEEP)
    console = Console(os.path.join(box.work, "exec-console"))
    box.rt("exec", "--tty", "--console-socket", console.path, "--detach", name, "sh", "-c", "tty; read x; echo got $x; exec sleep 1000")
    console.take()
    os.write(console.master, b"there\n")
    read_until(console.master, "/dev/pts/0", "got there")
    console.close()


@case("refused: a terminal without a socket when nobody waits; a socket without a terminal; a socket that is none")
def refused(box):
    contains("create", box.fails(SLEEP, terminal), "cannot allocate tty if", "without setting console socket")
    contains("run --detach", box.rt("run", "-d", "-b", box.bundle(SLEEP, terminal), box.id(), rc=1).stderr, "cannot allocate tty")
    contains("no terminal", box.rt("create", "--console-socket", "/x", "-b", box.bundle(SLEEP), box.id(), rc=1).stderr, "cannot use console socket")
    contains("no socket", box.rt("create", "--console-socket", "/nope", "-b", box.bundle(SLEEP, terminal), box.id(), rc=1).stderr, "--console-socket: connect to /nope")

    def no_pts(c):
        terminal(c)
        c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/dev/pts"]

    path = os.path.join(box.work, "none")
    console = Console(path)
    contains("no devpts", box.rt("create", "--console-socket", path, "-b", box.bundle(SLEEP, no_pts), box.id(), rc=1).stderr,
             "open console: /dev/pts/ptmx: No such file")
    console.close()


@case("a socket path longer than an address")
def long_path(box):
    directory = os.path.join(box.work, "d" * 100, "e" * 100)
    os.makedirs(directory)
    fd = os.open(directory, os.O_RDONLY)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(f"/proc/self/fd/{fd}/s")
    server.listen(1)
    name = box.create("echo over there; " + SLEEP, terminal, ["--console-socket", directory + "/s"])
    conn, _ = server.accept()
    _, fds, _, _ = socket.recv_fds(conn, 4096, 1)
    box.rt("start", name)
    read_until(fds[0], "over there")
    os.close(fds[0])
    os.close(fd)


class Foreground:
    """The runtime with a terminal of ours as its own."""

    def __init__(self, box, *args, rows=20, cols=60):
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.p = subprocess.Popen([box.runtime, "--root", box.state, *args], stdin=slave, stdout=slave, stderr=slave,
                                  start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def wait(self):
        code = self.p.wait(container.WAIT_S)
        same("our terminal is as it was", self.before, termios.tcgetattr(self.slave))
        os.close(self.slave)
        os.close(self.master)
        return code


@case("run in the foreground: input, output, size, window changes, status, our terminal restored")
def foreground(box):
    f = Foreground(box, "run", "-b", box.bundle("stty size; trap 'stty size' WINCH; echo ready; until read x; do :; done; echo got $x; exit 6", terminal), box.id())
    read_until(f.master, "20 60", "ready")
    fcntl.ioctl(f.master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 70, 0, 0))
    os.kill(f.p.pid, signal.SIGWINCH)
    read_until(f.master, "30 70")
    os.write(f.master, b"line\n")
    read_until(f.master, "got line")
    same("status", 6, f.wait())
    same("deleted", "", box.rt("list", "-q").stdout)


@case("run: ^C goes to the program as a character, not to the runtime")
def interrupt(box):
    f = Foreground(box, "run", "-b", box.bundle("trap 'echo inside; exit 3' INT; echo ready; while :; do sleep 0.05; done", terminal), box.id())
    read_until(f.master, "ready")
    os.write(f.master, b"\x03")
    read_until(f.master, "inside")
    same("status", 3, f.wait())


@case("exec -t in the foreground")
def exec_foreground(box):
    name = box.start(SLEEP)
    f = Foreground(box, "exec", "-t", name, "sh", "-c", "tty; read x; echo got $x; exit 4")
    read_until(f.master, "/dev/pts/0")
    os.write(f.master, b"word\n")
    read_until(f.master, "got word")
    same("status", 4, f.wait())


@case("much output through a terminal arrives whole, also what was written last")
def bulk(box):
    f = Foreground(box, "run", "-b", box.bundle("stty -opost; seq 1 20000; echo the end", terminal), box.id())
    parts = []

    def drain():
        while True:
            try:
                data = os.read(f.master, 65536)
            except OSError:
                return
            parts.append(data)
            if b"the end\n" in b"".join(parts[-3:]):
                return

    t = threading.Thread(target=drain)
    t.start()
    same("status", 0, f.p.wait(container.WAIT_S))
    t.join(container.WAIT_S)
    lines = b"".join(parts).decode().split()
    same("lines", [str(i) for i in range(1, 20001)] + ["the", "end"], lines)
    os.close(f.slave)
    os.close(f.master)


@case("terminal with input from a pipe")
def piped(box):
    p = subprocess.run([box.runtime, "--root", box.state, "run", "-b", box.bundle("read x; echo got $x; exit 5", terminal), box.id()],
                       input=b"from a pipe\n", stdout=subprocess.PIPE, timeout=container.WAIT_S, check=False)
    same("status", 5, p.returncode)
    contains("output", p.stdout.decode(), "got from a pipe")



if __name__ == "__main__":
    container.need_root()
    with container.Box() as the_box:
        tap.main(the_box, after_each=container.Box.sweep)
