"""Containers for tests of berth-runtime: bundles made here from busybox alone, a --root and cgroups of one's own.

    def main():
        with container.Box() as box:
            tap.main(box, after_each=container.Box.sweep)

    box.run("id -u", lambda c: c["process"]["user"].update(uid=7))   # stdout of `run`
    c = box.create("sleep 100"); box.rt("start", c); ...

Everything lives below box.work and is gone afterwards; ids are unique to the process.  $BERTH_RUNTIME names another
binary than build/bin/berth-runtime, also a peer's.
"""
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNTIME = os.path.join(TOP, os.environ.get("BERTH_RUNTIME", "build/bin/berth-runtime"))
BUSYBOX = "/bin/busybox"
WAIT_S = 60
CGROUPS = "/sys/fs/cgroup"

CONFIG = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "box",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
    },
}


def applets():
    out = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return out.split()


def wait_until(what, probe, seconds=WAIT_S):
    """Polls until probe() is true."""
    end = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > end:
            raise AssertionError(f"timed out: {what}")
        time.sleep(0.01)


def eventually(probe, seconds=2):
    """Polls until probe() is true; false if it does not become so."""
    try:
        wait_until("probe", probe, seconds)
    except AssertionError:
        return False
    return True


def has_v1(controller):
    """Whether the controller has a hierarchy of version 1 here; otherwise it is of version 2, or is missing."""
    return os.path.exists(f"{CGROUPS}/{controller}/cgroup.procs")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Box:
    """One directory with a root filesystem to copy, bundles, and the runtime's state."""

    def __init__(self, runtime=RUNTIME):
        self.runtime = runtime
        self.n = 0

    def __enter__(self):
        self.work = tempfile.mkdtemp(prefix="berth-box.")
        os.chmod(self.work, 0o755)
        self.state = os.path.join(self.work, "state")
        self.base = os.path.join(self.work, "base")
        for d in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "mnt"):
            os.makedirs(os.path.join(self.base, d))
        shutil.copy2(BUSYBOX, os.path.join(self.base, "bin/busybox"))
        for name in applets():
            if name != "busybox":
                os.symlink("busybox", os.path.join(self.base, "bin", name))
        with open(os.path.join(self.base, "etc/passwd"), "w") as f:
            f.write("root:x:0:0:root:/root:/bin/sh\nsome:x:1000:1000::/home/some:/bin/sh\n")
        return self

    def __exit__(self, *_):
        self.sweep()
        with open("/proc/self/mountinfo") as f:
            for line in reversed(f.readlines()):
                if line.split()[4].startswith(self.work + "/"):
                    subprocess.run(["umount", "-l", line.split()[4]], check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", self.work], check=True)

    def sweep(self):
        """Ends every container that a test left."""
        for name in os.listdir(self.state) if os.path.isdir(self.state) else ():
            if not name.startswith("~"):
                self.rt("delete", "--force", name, rc=None)

    def id(self):
        self.n += 1
        return f"box-{os.getpid()}-{self.n}"

    def rt(self, *args, rc=0, stdin="", seconds=WAIT_S, **kw):
        """The finished process of a command of the runtime; its exit status must be rc, unless that is None.

        Output goes to files: a container that goes on holds the ends of a pipe.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as inp:
            inp.write(stdin.encode())
            inp.seek(0)
            child = subprocess.Popen([self.runtime, "--root", self.state, *args], stdin=inp, stdout=out, stderr=err, **kw)
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                raise
            texts = []
            for f in (out, err):
                f.seek(0)
                texts.append(f.read().decode(errors="replace"))
        p = subprocess.CompletedProcess(args, child.returncode, *texts)
        if rc is not None and p.returncode != rc:
            raise AssertionError(f"{args}: exit status {p.returncode}, not {rc}\n{p.stdout}{p.stderr}")
        return p

    def bundle(self, script=None, change=None):
        """A new bundle that runs the script; change(config) may alter everything."""
        self.n += 1
        path = os.path.join(self.work, f"bundle-{self.n}")
        os.mkdir(path)
        rootfs = os.path.join(path, "rootfs")
        shutil.copytree(self.base, rootfs, symlinks=True, copy_function=os.link)
        config = copy.deepcopy(CONFIG)
        if script is not None:
            config["process"]["args"] = ["sh", "-c", script]
        config["linux"]["cgroupsPath"] = f"/berth-test-{os.getpid()}/{self.n}"
        if change:
            change(config)
        with open(os.path.join(path, "config.json"), "w") as f:
            json.dump(config, f)
        return path

    def run(self, script, change=None, rc=0, options=(), **kw):
        """Output of a container that runs the script to its end."""
        p = self.rt("run", "--bundle", self.bundle(script, change), *options, self.id(), rc=rc, **kw)
        return p.stdout

    def fails(self, script="true", change=None, command="create"):
        """The message of a create (or run) that must fail, and leave nothing."""
        name = self.id()
        p = self.rt(command, "--bundle", self.bundle(script, change), name, rc=None)
        if p.returncode == 0:
            self.rt("delete", "--force", name)
            raise AssertionError(f"{command} succeeded")
        if os.path.exists(os.path.join(self.state, name)):
            raise AssertionError(f"{command} failed and left its state")
        return p.stderr

    def create(self, script, change=None, options=(), **kw):
        name = self.id()
        self.rt("create", "--bundle", self.bundle(script, change), *options, name, **kw)
        return name

    def start(self, script, change=None, options=(), **kw):
        name = self.create(script, change, options, **kw)
        self.rt("start", name)
        return name

    def get(self, name):
        return json.loads(self.rt("state", name).stdout)

    def status(self, name):
        return self.get(name)["status"]

    def wait_stopped(self, name):
        wait_until(f"{name} stops", lambda: self.status(name) == "stopped")

    def cgroup(self, name, controller):
        """Directory of the container's group in the hierarchy of a controller, as the kernel has it."""
        with open(f"/proc/{self.get(name)['pid']}/cgroup") as f:
            for line in f:
                number, names, path = line.rstrip("\n").split(":", 2)
                if controller in names.split(","):
                    return f"{CGROUPS}/{names}{path}"
                if number == "0" and (controller == "unified" or os.path.exists(f"{CGROUPS}/cgroup.controllers")):
                    return f"{CGROUPS}{path}"
        raise AssertionError(f"no {controller} hierarchy")


def contains(what, text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{what}: no {part!r} in:\n{text}")


def lacks(what, text, *parts):
    for part in parts:
        if part in text:
            raise AssertionError(f"{what}: unexpected {part!r} in:\n{text}")


def need_root():
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        sys.exit(0)
    if not os.path.exists(BUSYBOX):
        print(f"1..0 # SKIP {BUSYBOX} is not installed")
        sys.exit(0)


def kill_quietly(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
