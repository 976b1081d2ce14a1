#!/usr/bin/env python3
"""checkpoint and restore: how criu is called, what becomes of the container, what is told where criu cannot.

Where the machine's criu works, a container goes there and back; everywhere, a program in its place shows our side.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, lacks, wait_until  # noqa: E402
from tap import case, same  # noqa: E402

SLEEP = "exec sleep 1000"
# dump ends the processes; restore makes one beside itself, as --restore-sibling says, and tells its pid.
FAKE = '''#!/usr/bin/env python3
import ctypes, os, signal, sys
args = sys.argv[1:]
def of(name):
    return args[args.index(name) + 1] if name in args else None
def write(path, text):
    with open(path, "w") as f:
        f.write(text)
write(of("--images-dir") + "/args-" + args[0], "\\n".join(args))
log = os.path.join(of("--work-dir"), of("--log-file"))
if os.path.exists(of("--images-dir") + "/fails"):
    write(log, "(00.01) fine\\n(00.02) Error (criu/x.c:1): it does not work\\n(00.03) Error: later\\n")
    sys.exit(1)
write(log, "fine\\n")
if args[0] == "dump" and "--leave-running" not in args:
    os.kill(int(of("--tree")), signal.SIGKILL)
if args[0] == "restore":
    pid = ctypes.CDLL(None).syscall(56, 0x8000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os.chroot(of("--root"))
        os.execv("/bin/busybox", ["sh", "-c", "exec sleep 1000"])
    write(of("--pidfile"), str(pid))
'''


def fake(box):
    path = os.path.join(box.work, "criu")
    if not os.path.exists(path):
        pathlib.Path(path).write_text(FAKE)
        os.chmod(path, 0o755)
    return path


def called(images, command):
    return pathlib.Path(images, "args-" + command).read_text().split("\n")


@case("without criu: an error that says so; the container goes on")
def missing(box):
    name = box.start(SLEEP)
    images = os.path.join(box.work, "images-missing")
    p = box.rt("--criu", "/nope/criu", "checkpoint", "--image-path", images, name, rc=1)
    contains("checkpoint", p.stderr, "criu is not installed: /nope/criu")
    same("status", "running", box.status(name))
    p = box.rt("--criu", "/nope/criu", "restore", "--image-path", images, "--bundle", box.bundle(SLEEP), box.id(), rc=1)
    contains("restore", p.stderr, "criu is not installed: /nope/criu")


@case("an error of criu's is ours, with its first words and the place of the log; nothing is lost or left")
def failing(box):
    images = os.path.join(box.work, "images-fail")
    os.mkdir(images)
    open(images + "/fails", "w").close()
    name = box.start(SLEEP)
    p = box.rt("--criu", fake(box), "checkpoint", "--image-path", images, name, rc=1)
    contains("checkpoint", p.stderr, "criu dump: (00.02) Error (criu/x.c:1): it does not work", images + "/dump.log")
    same("status", "running", box.status(name))
    p = box.rt("--criu", fake(box), "restore", "--image-path", images, "--bundle", box.bundle(SLEEP), box.id(), rc=1)
    contains("restore", p.stderr, "criu restore: (00.02) Error")
    same("containers", [name], box.rt("list", "-q").stdout.split())


@case("checkpoint and restore: directories, options, mounts from outside, groups, pid file; the container is gone and back")
def there_and_back(box):
    images, work, pid_file = (os.path.join(box.work, n) for n in ("images", "logs", "pid"))
    source = os.path.join(box.work, "source")
    os.mkdir(source)

    def change(c):
        c["mounts"].append({"destination": "/v", "type": "bind", "source": source, "options": ["rbind"]})
        c["linux"].update(maskedPaths=["/proc/kcore"], resources={"pids": {"limit": 20}})

    bundle = box.bundle("touch /left; " + SLEEP, change)
    name = box.id()
    box.rt("run", "--detach", "--bundle", bundle, name)
    wait_until("it runs", lambda: os.path.exists(bundle + "/rootfs/left"))
    box.rt("--criu", fake(box), "checkpoint", "--image-path", images, "--work-path", work, "--leave-running", "--tcp-established",
           "--ext-unix-sk", "--shell-job", "--file-locks", name)
    same("left running", "running", box.status(name))
    pid = str(box.get(name)["pid"])
    args = called(images, "dump")
    for option in ("--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks", "--leave-running", "--manage-cgroups=soft",
                   "mnt[/v]:/v", "mnt[/proc/kcore]:/proc/kcore"):
        assert option in args, (option, args)
    for option, value in (("--tree", pid), ("--images-dir", images), ("--work-dir", work), ("--root", bundle + "/rootfs")):
        same(option, value, args[args.index(option) + 1])
    box.rt("--criu", fake(box), "checkpoint", "--image-path", images, "--pre-dump", name)
    assert "--track-mem" in called(images, "pre-dump")
    box.rt("--criu", fake(box), "checkpoint", "--image-path", images, "--work-path", work, "--parent-path", "../parent", name)
    args = called(images, "dump")
    same("parent", "../parent", args[args.index("--prev-images-dir") + 1])
    contains("gone", box.rt("state", name, rc=1).stderr, "does not exist")

    other = box.id()
    box.rt("--criu", fake(box), "restore", "--image-path", images, "--work-path", work, "--bundle", bundle, "--detach", "--pid-file",
           pid_file, other)
    args = called(images, "restore")
    for option in ("--restore-detached", "--restore-sibling", "--manage-cgroups=ignore", f"mnt[/v]:{source}", "mnt[/proc/kcore]:/dev/null"):
        assert option in args, (option, args)
    same("status", "running", box.status(other))
    pid = box.get(other)["pid"]
    same("pid file", str(pid), pathlib.Path(pid_file).read_text())
    if container.has_v1("pids"):
        with open(f"{box.cgroup(other, 'pids')}/pids.max") as f:
            same("its group", "20\n", f.read())
    lacks("the state directory", " ".join(os.listdir(os.path.join(box.state, other))), "criu-root")
    box.rt("kill", other, "KILL")
    box.wait_stopped(other)
    box.rt("delete", other)


@case("restore in the foreground has the status of the process; what restore cannot do is refused by name")
def foreground(box):
    images = os.path.join(box.work, "images-fg")
    bundle = box.bundle(SLEEP)
    name = box.id()
    box.rt("run", "--detach", "--bundle", bundle, name)
    box.rt("--criu", fake(box), "checkpoint", "--image-path", images, name)
    p = subprocess.Popen([box.runtime, "--root", box.state, "--criu", fake(box), "restore", "--image-path", images, "--bundle", bundle, name],
                         stdin=subprocess.DEVNULL)
    wait_until("it runs", lambda: box.rt("state", name, rc=None).returncode == 0 and box.status(name) == "running")
    box.rt("kill", name, "KILL")
    same("its status", 128 + signal.SIGKILL, p.wait(container.WAIT_S))
    same("gone", "", box.rt("list", "-q").stdout)

    def refused(change, *options):
        return box.rt("--criu", fake(box), "restore", "--image-path", images, *options, "--bundle", box.bundle(SLEEP, change), box.id(),
                      rc=1).stderr

    contains("terminal", refused(lambda c: c["process"].update(terminal=True)), "process.terminal: restore hands on no terminal")
    contains("hooks", refused(lambda c: c.update(hooks={"prestart": [{"path": "/bin/true"}]})), "hooks.prestart: restore runs no hooks")
    contains("socket", refused(None, "--console-socket", "/x"), "--console-socket")
    name = box.create(SLEEP)
    contains("a created one", box.rt("checkpoint", name, rc=1).stderr, "cannot be checkpointed in created state")


@case("with the machine's criu: a count goes on where it was")
def real(box):
    if not shutil.which("criu"):
        raise tap.Skip("criu is not installed")
    p = subprocess.run(["criu", "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if p.returncode:
        raise tap.Skip("criu does not work here: " + p.stdout.strip().split("\n")[0])
    images, count = os.path.join(box.work, "images-real"), None
    bundle = box.bundle("i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done",
                        lambda c: c["linux"].update(namespaces=[n for n in c["linux"]["namespaces"] if n["type"] != "cgroup"]))
    name, count = box.id(), bundle + "/rootfs/count"
    box.rt("run", "--detach", "--bundle", bundle, name)
    wait_until("it counts", lambda: os.path.exists(count) and os.path.getsize(count))
    box.rt("checkpoint", "--image-path", images, name)
    before = int(pathlib.Path(count).read_text())
    box.rt("restore", "--detach", "--image-path", images, "--bundle", bundle, name)
    wait_until("it goes on", lambda: pathlib.Path(count).read_text().strip().isdigit() and int(pathlib.Path(count).read_text()) > before)


if __name__ == "__main__":
    container.need_root()
    with container.Box() as the_box:
        tap.main(the_box, after_each=container.Box.sweep)
