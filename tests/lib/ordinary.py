"""An ordinary user with subordinate ids, for tests of berth: made by root in a mount namespace of the test's own.

    if __name__ == "__main__":
        ordinary.main(__file__)      # each case gets a User
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import container
import registry
import runner
import tap

UID, SUB, SUB_N = 64998, 300000, 65536
CONTAINERS, CONTAINERS_N = 500000, 10000  # what root gives to containers by itself
SLEEP = ("sh", "-c", "echo up; exec sleep 1000")


def prepare(top):
    """Files that a user is made of, and the script that puts them in their places."""
    for name, line in (("passwd", f"tester:x:{UID}:{UID}::{top}/home:/bin/sh\n"), ("group", f"tester:x:{UID}:\n")):
        text = pathlib.Path("/etc", name).read_text()
        pathlib.Path(top, name).write_text(text.rstrip("\n") + "\n" + line)
    pathlib.Path(top, "subid").write_text(f"tester:{SUB}:{SUB_N}\ncontainers:{CONTAINERS}:{CONTAINERS_N}\n")
    pathlib.Path(top, "nosubid").write_text("")
    return f"""
        for f in passwd group; do mount --bind {top}/$f /etc/$f || exit; done
        for f in subuid subgid; do [ -e /etc/$f ] || : >/etc/$f; mount --bind {top}/subid /etc/$f || exit; done
        mknod -m 666 {top}/fuse c 10 229 && mount --bind {top}/fuse /dev/fuse
        [ ! -e /dev/net/tun ] || mknod -m 666 {top}/tun c 10 200 && mount --bind {top}/tun /dev/net/tun
        exec "$@"
    """


class User(runner.Runner):
    """The user's berth, with the directories that it chooses by itself."""

    def __init__(self, top):
        super().__init__()
        self.top = pathlib.Path(top)
        self.home, self.run_dir = self.top / "home", self.top / "run"
        (self.top / "bin").mkdir()
        for program in ("berth", "berth-shim", "berth-init"):
            shutil.copy(pathlib.Path(runner.BERTH).parent / program, self.top / "bin")
        shutil.copy(runner.RUNTIME, self.top / "bin" / "berth-runtime")
        for d in (self.home, self.run_dir):
            d.mkdir()
            os.chown(d, UID, UID)
        os.chmod(self.run_dir, 0o700)
        self.network = "none"
        self.root = self.home / "data/berth"
        self.state = self.run_dir / "berth"

    def __enter__(self):
        super().__enter__()
        self.box = self.push_busybox()
        return self

    def as_user(self, *args):
        env = [f"HOME={self.home}", f"XDG_DATA_HOME={self.home}/data", f"XDG_RUNTIME_DIR={self.run_dir}", f"BERTH_NETWORK={self.network}",
               f"PATH={self.top}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
        return ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--inh-caps=-all",
                "env", "-i", *env, *args]

    def command(self, *args):
        return self.as_user("berth", *args)

    def ps(self):
        return json.loads(self.berth("ps", "-a", "--json"))

    def up(self, name, *args, command=SLEEP):
        self.berth("run", "-d", "--name", name, *args, self.box, *command)
        registry.wait_until("it says that it is up", lambda: "up" in self.run("logs", name).stdout)
        return next(c for c in self.ps() if c["name"] == name)["pid"]


def ids_of(pid, what="Uid"):
    with open(f"/proc/{pid}/status") as f:
        return next(line.split()[1] for line in f if line.startswith(what + ":"))


def processes():
    """Of the user and of all ids that are the user's."""
    found = []
    for d in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            uid = d.stat().st_uid
            if uid == UID or SUB <= uid < SUB + SUB_N:
                found.append((d.name, (d / "comm").read_text().strip()))
        except OSError:
            pass
    return found


def nothing_runs():
    registry.wait_until(f"no process of the user's: {processes()}", lambda: not processes())


def main(file, world=User):
    """Runs the program's cases as root, who has made a user; each gets the world that is made of a directory for it."""
    if len(sys.argv) > 1:
        with world(sys.argv[1]) as w:
            tap.main(w, after_each=world.sweep)
    container.need_root()
    for program in ("setpriv", "newuidmap"):
        if not shutil.which(program):
            print(f"1..0 # SKIP {program} is not installed")
            return 0
    with tempfile.TemporaryDirectory(prefix="berth-user.") as top:
        os.chmod(top, 0o755)
        script = prepare(top)
        return subprocess.call(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                                sys.executable, file, top])
