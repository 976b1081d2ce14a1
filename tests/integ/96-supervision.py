#!/usr/bin/env python3
"""What is left when something is killed: berth at any moment, the shim, the container's process, the whole machine."""
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

KILLAT = registry.TOP / "build/release/tests/lib/killat"
SHIM = pathlib.Path(runner.BERTH).parent / "berth-shim"
LOOP = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"


def ps(r):
    return json.loads(r.berth("ps", "-a", "--json"))


def one(r, name):
    return next(c for c in ps(r) if c["name"] == name)


def up(r, name, *args, command=LOOP):
    r.berth("run", "-d", "--name", name, *args, r.box, "sh", "-c", command)
    registry.wait_until("it is up", lambda: "up" in r.run("logs", name).stdout)
    return one(r, name)


def traces(r):
    """All that containers of this berth leave on the machine: mounts, cgroups, processes, directories."""
    found = [line for line in open("/proc/self/mounts") if str(r.work) in line]
    found += [g for g in glob.glob("/sys/fs/cgroup/*/berth/*/") if re.fullmatch("[0-9a-f]{64}", g.split("/")[-2])
              and g.split("/")[-2] in r.ids]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = open(f"/proc/{pid}/cmdline").read()
            root = os.readlink(f"/proc/{pid}/root")
            groups = open(f"/proc/{pid}/cgroup").read()
        except OSError:
            continue
        if str(r.work) in line and "berthd" not in line or any(i in groups for i in r.ids):
            found.append(f"process {pid}: {line!r} root {root}")
    found += [str(p) for p in (r.root / "containers").glob("*") if p.name != "names"]
    found += [str(p) for p in (r.root / "containers/names").iterdir()]
    found += [str(p) for p in (r.state / "runtime").glob("[0-9a-f]*")]
    return found


def gone(r):
    end = time.monotonic() + 20
    while left := traces(r):
        if time.monotonic() > end:
            raise AssertionError("left: " + "\n".join(left))
        time.sleep(0.02)


def forget_nothing(r, *names):
    """rm -f must leave nothing of these."""
    r.ids |= {c["id"] for c in ps(r)}
    r.berth("rm", "-f", *names)
    gone(r)


class Killer:
    """A program that is run in the place of a real one, and killed before its n'th call that changes something (tests/lib/killat.c)."""

    def __init__(self, r, directory, name, real, word=""):
        self.at = r.work / directory / name
        self.at.parent.mkdir(exist_ok=True)
        shutil.copy(KILLAT, self.at)
        self.real, self.word, self.count = real, word, r.work / f"{directory}.count"

    def arm(self, n):
        self.count.unlink(missing_ok=True)
        pathlib.Path(f"{self.at}.killat").write_text(f"{self.real}\n{n}\n{self.word}\n{self.count}\n")

    def ended(self):
        """How many such calls it made, once it has ended."""
        registry.wait_until(f"the end of {self.at}", lambda: self.count.exists() and self.count.read_text().endswith("\n"))
        return int(self.count.read_text())


def survives(r, name):
    """Whatever was killed: ps, logs and stop are right about what is left, and rm -f leaves nothing of it."""
    def is_settled(c):
        """A shim that lives goes on: to running, or to the end that it is about to see."""
        return not c["supervised"] or c["status"] in ("created", "exited") or c["status"] == "running" and os.path.exists(f"/proc/{c['pid']}")

    registry.wait_until("nothing is under way", lambda: all(is_settled(c) for c in ps(r)))
    for c in ps(r):
        r.ids.add(c["id"])
        tap.one_of("status", ("created", "starting", "running", "exited"), c["status"])
        tap.one_of("status without a process", ("created", "starting", "exited") if not c["pid"] else ("starting", "running"), c["status"])
        tap.one_of("log", ("", "up\n"), r.run("logs", name).stdout)
        r.berth("stop", "-t", "5", name)
        tap.one_of("status after stop", ("created", "exited"), one(r, name)["status"])
        r.berth("rm", "-f", name)
    tap.same("ps", [], ps(r))
    r.berth("prune")
    gone(r)


def each_step(r, killer, command, script):
    """Kills it before each of its calls, the last one included."""
    if not os.path.exists(KILLAT):
        raise tap.Skip(f"no {KILLAT}")
    if "BERTH" in os.environ:
        raise tap.Skip("another build than the released one, whose steps are meant")
    n = total = 0
    while n <= total:
        killer.arm(n)
        subprocess.run([*command, "run", "-d", "--name", "k", r.box, "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=runner.WAIT_S, check=n == 0)
        if n == 0:
            total = killer.ended()
        else:
            killer.ended()
        survives(r, "k")
        n += 1
    assert total > 3, total
    print(f"# {total} steps", flush=True)
    tap.same("the image can be used", "fine\n", r.berth("run", "--rm", r.box, "echo", "fine"))


def shim_of(c):
    return int(next(x for x in open(f"/proc/{c['pid']}/status") if x.startswith("PPid")).split()[1])


@tap.case("kill -9 of berth while it waits: the container runs on, under its shim")
def kill_waiting(r):
    p = subprocess.Popen(r.command("run", "--name", "w", r.box, "sh", "-c", LOOP), stdout=subprocess.PIPE, text=True)
    tap.same("it is up", "up\n", p.stdout.readline())
    p.kill()
    p.communicate()
    tap.same("it runs", ("running", True), (one(r, "w")["status"], one(r, "w")["supervised"]))
    r.berth("stop", "w")
    tap.same("exit status", 3, one(r, "w")["exit_code"])
    tap.same("log", "up\nbye\n", r.berth("logs", "w"))
    forget_nothing(r, "w")


@tap.case("kill -9 of berth at any moment of run: what is there is told, and rm -f removes all of it")
def kill_starting(r):
    for n in range(40):
        p = subprocess.Popen(r.command("run", "--name", f"k{n}", r.box, "sh", "-c", LOOP), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(0.003 * n)  # where it hits does not matter: every moment must do
        p.kill()
        p.wait()
    # A shim that was just started goes on to running by itself.
    registry.wait_until("nothing is starting", lambda: all(c["status"] not in ("starting",) for c in ps(r)))
    names = [c["name"] for c in ps(r)]
    r.ids |= {c["id"] for c in ps(r)}
    if names:
        r.berth("rm", "-f", *names)
    r.berth("prune")
    gone(r)
    tap.same("the image can be used", "fine\n", r.berth("run", "--rm", r.box, "echo", "fine"))


@tap.case("kill -9 of berth at each step of run")
def berth_steps(r):
    killer = Killer(r, "berth-killer", "berth", runner.BERTH)
    each_step(r, killer, [str(killer.at), *r.command()[1:]], LOOP)


@tap.case("kill -9 of the shim at each step of its life")
def shim_steps(r):
    killer = Killer(r, "shim-killer", "berth-shim", SHIM)
    shutil.copy(runner.BERTH, killer.at.parent / "berth")
    each_step(r, killer, [str(killer.at.parent / "berth"), *r.command()[1:]], "echo up; exit 3")


@tap.case("kill -9 of the runtime at each step of create, start and delete")
def runtime_steps(r):
    for word in ("create", "start", "delete"):
        killer = Killer(r, f"{word}-killer", "berth-runtime", runner.RUNTIME, word)
        command = r.command()
        command[command.index("--runtime") + 1] = str(killer.at)
        each_step(r, killer, command, LOOP if word != "delete" else "echo up; exit 3")


@tap.case("kill -9 of berth run --rm: the shim removes the container when it has ended")
def kill_rm(r):
    p = subprocess.Popen(r.command("run", "--rm", "--name", "rm", r.box, "sh", "-c", "echo up; sleep 0.3"),
                         stdout=subprocess.PIPE, text=True)
    tap.same("it is up", "up\n", p.stdout.readline())
    r.ids.add(one(r, "rm")["id"])
    p.kill()
    p.communicate()
    registry.wait_until("it is gone", lambda: not ps(r) and not traces(r))


@tap.case("kill -9 of the shim: ps, logs, stop and rm stay right")
def kill_shim(r):
    c = up(r, "s")
    os.kill(shim_of(c), signal.SIGKILL)
    registry.wait_until("the shim is gone", lambda: not one(r, "s")["supervised"])
    tap.same("it runs", "running", one(r, "s")["status"])
    assert "without its shim" in r.berth("ps"), r.berth("ps")
    tap.same("log", "up\n", r.berth("logs", "s"))
    p = r.run("start", "s", check=False)
    assert p.returncode == 1 and "running" in p.stderr, p
    p = r.run("exec", "s", "true", check=False)
    assert p.returncode == 1, p
    r.berth("stop", "-t", "5", "s")
    after = one(r, "s")
    tap.same("stopped, and nobody saw how", ("exited", False), (after["status"], after["exit_is_known"]))
    registry.wait_until("the process is gone", lambda: not os.path.exists(f"/proc/{c['pid']}"))
    r.berth("start", "s")
    registry.wait_until("it is up again", lambda: r.berth("logs", "s").count("up\n") == 2)
    forget_nothing(r, "s")


@tap.case("kill -9 of the shim, then rm -f: nothing is left")
def kill_shim_rm(r):
    c = up(r, "s", "-m", "64m")
    os.kill(shim_of(c), signal.SIGKILL)
    forget_nothing(r, "s")


@tap.case("kill -9 of shim and process at once")
def kill_both(r):
    c = up(r, "b")
    shim = shim_of(c)
    os.kill(shim, signal.SIGSTOP)
    os.kill(c["pid"], signal.SIGKILL)
    os.kill(shim, signal.SIGKILL)
    registry.wait_until("it is seen to be over", lambda: one(r, "b")["status"] == "exited")
    forget_nothing(r, "b")


@tap.case("kill -9 of the container's process: status 137, restarted if that is the policy")
def kill_process(r):
    c = up(r, "p")
    os.kill(c["pid"], signal.SIGKILL)
    registry.wait_until("the end", lambda: one(r, "p")["status"] == "exited")
    tap.same("exit status", (137, True), (one(r, "p")["exit_code"], one(r, "p")["exit_is_known"]))
    again = up(r, "q", "--restart", "always")
    os.kill(again["pid"], signal.SIGKILL)
    registry.wait_until("it runs again", lambda: one(r, "q")["restarts"] == 1 and one(r, "q")["status"] == "running")
    forget_nothing(r, "p", "q")


@tap.case("kill -9 of the process, of the shim, of both, while the container is paused: stop and rm -f leave nothing")
def kill_paused(r):
    for who in ("process", "shim", "both"):
        for how in (("stop", "-t", "1"), ("rm", "-f")):
            c = up(r, "z")
            r.ids.add(c["id"])
            r.berth("pause", "z")
            shim = shim_of(c)
            if who != "shim":
                os.kill(c["pid"], signal.SIGKILL)
            if who != "process":
                os.kill(shim, signal.SIGKILL)
                registry.wait_until("the shim is gone", lambda: not one(r, "z")["supervised"])
            r.berth(*how, "z")
            if how[0] == "stop":
                tap.same(f"{who}, after stop", "exited", one(r, "z")["status"])
                r.berth("rm", "z")
            gone(r)


@tap.case("kill -9 of the shim while the container waits to be started again: it is over, and can be started and removed")
def kill_shim_waiting(r):
    r.berth("run", "-d", "--name", "w", "--restart", "always", r.box, "sh", "-c", "echo up; exit 4")
    registry.wait_until("it has run twice, and waits", lambda: one(r, "w")["restarts"] >= 2 and one(r, "w")["status"] == "restarting")
    r.ids.add(one(r, "w")["id"])
    for pid in r.shims():
        os.kill(pid, signal.SIGKILL)
    registry.wait_until("the shim is gone", lambda: not one(r, "w")["supervised"])
    c = one(r, "w")
    # It may have been about to start it again: then there is a process that has not begun.
    tap.one_of("status", ("exited",) if not c["pid"] else ("running", "restarting"), c["status"])
    r.berth("stop", "w")
    tap.same("stopped", "exited", one(r, "w")["status"])
    r.berth("start", "w")
    registry.wait_until("it waits again", lambda: one(r, "w")["status"] == "restarting")
    forget_nothing(r, "w")


@tap.case("kill -9 of the shim with execs and health checks under way: they end with the container")
def kill_shim_exec(r):
    c = up(r, "e", "--health-cmd", "sleep 1000", "--health-interval", "20ms")
    child = subprocess.Popen(r.command("exec", "e", "sh", "-c", "echo in; exec sleep 1000"), stdout=subprocess.PIPE, text=True)
    tap.same("exec", "in\n", child.stdout.readline())
    registry.wait_until("a check", lambda: "sleep 1000" in r.berth("top", "e"))
    os.kill(shim_of(c), signal.SIGKILL)
    tap.same("exec fails", 1, child.wait(timeout=runner.WAIT_S))
    forget_nothing(r, "e")


@tap.case("kill -9 of the shim while it stops a container")
def kill_shim_stopping(r):
    c = up(r, "d", command="trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done")
    stopping = subprocess.Popen(r.command("stop", "-t", "30", "d"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    registry.wait_until("it is asked to end", lambda: "asked" in r.berth("logs", "d"))
    os.kill(shim_of(c), signal.SIGKILL)
    stopping.kill()
    stopping.wait()
    tap.same("it runs", ("running", False), (one(r, "d")["status"], one(r, "d")["supervised"]))
    forget_nothing(r, "d")


@tap.case("kill -9 of the shim while it starts a container")
def kill_shim_starting(r):
    for n in range(30):
        p = subprocess.Popen(r.command("run", "-d", "--name", f"t{n}", r.box, "sh", "-c", LOOP),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + runner.WAIT_S
        while p.poll() is None and time.monotonic() < end:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if str(r.work) in open(f"/proc/{pid}/cmdline").read() and os.readlink(f"/proc/{pid}/exe").endswith("berth-shim"):
                        parent = next(x for x in open(f"/proc/{pid}/status") if x.startswith("PPid")).split()[1]
                        if int(parent) == p.pid:
                            time.sleep(0.001 * n)
                            os.kill(int(pid), signal.SIGKILL)
                            end = 0
                except (OSError, StopIteration):
                    continue
        p.wait(timeout=runner.WAIT_S)
    names = [c["name"] for c in ps(r)]
    r.ids |= {c["id"] for c in ps(r)}
    r.berth("rm", "-f", *names)
    gone(r)


@tap.case("a reboot: what ran is seen to be over, and can be started again")
def reboot(r):
    c = up(r, "boot", command="echo up; echo $(($(cat /n 2>/dev/null || echo 0) + 1)) >/n; cat /n; while :; do sleep 0.05; done")
    os.kill(shim_of(c), signal.SIGKILL)
    os.kill(c["pid"], signal.SIGKILL)
    registry.wait_until("all is dead", lambda: one(r, "boot")["status"] == "exited")
    subprocess.run(["sh", "-c", f"rmdir /sys/fs/cgroup/*/berth/{c['id']}"], stderr=subprocess.DEVNULL)
    shutil.rmtree(r.state)
    tap.same("nobody saw the end", False, one(r, "boot")["exit_is_known"])
    tap.same("the log is there", "up\n1\n", r.berth("logs", "boot"))
    r.berth("start", "boot")
    registry.wait_until("it has its files", lambda: "2" in r.berth("logs", "boot"))
    forget_nothing(r, "boot")


@tap.case("a recycled pid is not the container")
def recycled(r):
    c = up(r, "old")
    os.kill(shim_of(c), signal.SIGKILL)
    os.kill(c["pid"], signal.SIGKILL)
    registry.wait_until("it is over", lambda: one(r, "old")["status"] == "exited")
    stranger = subprocess.Popen(["sleep", "100"])
    state = r.root / "containers" / c["id"] / "state.json"
    doc = json.loads(state.read_text())
    doc["pid"] = stranger.pid
    doc["status"] = "running"
    state.write_text(json.dumps(doc))
    tap.same("the stranger is not taken for it", "exited", one(r, "old")["status"])
    forget_nothing(r, "old")
    tap.same("nor killed", None, stranger.poll())
    stranger.kill()
    stranger.wait()


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP namespaces and mounts need root")
        sys.exit(0)
    with runner.Runner() as r:
        r.ids = set()
        r.box = r.push_busybox()
        r.berth("pull", r.box)
        tap.main(r, after_each=runner.Runner.sweep)
