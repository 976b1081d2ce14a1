#!/usr/bin/env python3
"""berth events and generate-systemd: what happens is told from what is, whoever was killed."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

SLEEP = ("sh", "-c", "exec sleep 1000")


class Follower:
    """berth events, whose lines are waited for."""

    def __init__(self, r, *options):
        self.path = r.work / "events"
        self.file = open(self.path, "w", encoding="utf-8")
        self.process = subprocess.Popen(r.command("events", "--json", *options), stdout=self.file, stderr=subprocess.PIPE)
        # It says nothing before something happens: it is ready when it watches.
        fds = f"/proc/{self.process.pid}/fd"
        registry.wait_until("it watches", lambda: any("inotify" in os.readlink(f"{fds}/{n}") for n in os.listdir(fds)))

    def lines(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def wait(self, *events, **members):
        def there():
            seen = [e for e in self.lines() if all(e.get(k) == v for k, v in members.items())]
            return [e["event"] for e in seen] == list(events)

        registry.wait_until(f"{events} of {members}; seen: {self.lines()}", there)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.file.close()


def status(r, name):
    return next(c for c in json.loads(r.berth("ps", "-a", "--json")) if c["name"] == name)


def shim_of(r, name):
    with open(f"/proc/{status(r, name)['pid']}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


@tap.case("follow: create, start, pause, unpause, die with its status, remove")
def follow(r):
    with Follower(r) as f:
        r.berth("run", "-d", "--name", "a", "-l", "k=v", r.box, *SLEEP)
        f.wait("create", "start", name="a")
        r.berth("pause", "a")
        f.wait("create", "start", "pause", name="a")
        r.berth("unpause", "a")
        f.wait("create", "start", "pause", "unpause", name="a")
        r.berth("stop", "-t", "0", "a")
        f.wait("create", "start", "pause", "unpause", "die", name="a")
        tap.same("status", 137, f.lines()[-1]["exit_code"])
        r.berth("rm", "a")
        f.wait("create", "start", "pause", "unpause", "die", "remove", name="a")
        tap.same("all of it", ["a"] * 6, [e["name"] for e in f.lines()])


@tap.case("history from files: --since, --until, --no-stream")
def history(r):
    r.run("run", "--name", "h", r.box, "sh", "-c", "exit 5", check=False)
    seen = [json.loads(line) for line in r.berth("events", "--no-stream", "--json").splitlines()]
    tap.same("events", [("create", None), ("start", None), ("die", 5)], [(e["event"], e.get("exit_code")) for e in seen])
    tap.same("in order", sorted(e["time"] for e in seen), [e["time"] for e in seen])
    tap.same("since then", seen[2:], [json.loads(x) for x in r.berth("events", "--no-stream", "--json", "--since", seen[2]["time"]).splitlines()
                                      if json.loads(x)["time"] > seen[1]["time"]])
    tap.same("long ago", "", r.berth("events", "--since", "2001-01-01", "--until", "2001-01-02"))
    text = r.berth("events", "--since", "1h", "--until", seen[2]["time"])
    assert "container die " in text and "exit_code=5" in text, text
    tap.same("no time", 1, r.run("events", "--since", "yesterday", check=False).returncode)


@tap.case("filters: any of a kind, all kinds")
def filters(r):
    with Follower(r, "-f", "event=start", "-f", "event=die", "-f", "label=k=v") as f:
        r.berth("run", "--name", "no", r.box, "true")
        r.berth("run", "--name", "yes", "-l", "k=v", r.box, "true")
        f.wait("start", "die")
        tap.same("whose", {"yes"}, {e["name"] for e in f.lines()})
    tap.same("by name", 3, len(r.berth("events", "--no-stream", "-f", "container=no").splitlines()))
    tap.same("by image", 0, len(r.berth("events", "--no-stream", "-f", "image=other").splitlines()))
    tap.same("no filter", 1, r.run("events", "-f", "nosuch=x", check=False).returncode)


@tap.case("restarts, health and out of memory")
def more(r):
    with Follower(r) as f:
        r.berth("run", "-d", "--name", "h", "--health-cmd", "true", "--health-interval", "1s", r.box, *SLEEP)
        registry.wait_until("healthy", lambda: [e.get("health") for e in f.lines() if e["event"] == "health"][-1:] == ["healthy"])
        r.run("run", "--name", "r", "--restart", "on-failure:2", r.box, "false", check=False)
        f.wait("create", "start", "die", "start", "die", "start", "die", name="r")
    with Follower(r, "-f", "container=o") as f:
        r.run("run", "--name", "o", "-m", "16M", r.box, "sh", "-c", "x=1; while :; do x=$x$x; done", check=False)
        f.wait("create", "start", "oom", "die")


@tap.case("whoever is killed: the shim, the process, both, events itself")
def killed(r):
    with Follower(r, "-f", "event=die") as f:
        for name, who in ("a", ("process",)), ("b", ("shim", "process")):
            r.berth("run", "-d", "--name", name, r.box, *SLEEP)
            pids = {"process": status(r, name)["pid"], "shim": shim_of(r, name)}
            for w in who:
                os.kill(pids[w], signal.SIGKILL)
            f.wait("die", name=name)
        tap.same("known", 137, next(e for e in f.lines() if e["name"] == "a")["exit_code"])
        assert "exit_code" not in next(e for e in f.lines() if e["name"] == "b"), "a status that nobody has seen"
    # Events that was killed leaves nothing that the next one could be wrong by.
    tap.same("the next one", 2, len(r.berth("events", "--no-stream", "-f", "container=a", "-f", "event=die", "-f", "event=start").splitlines()))


@tap.case("generate-systemd: a unit that systemd accepts, and whose commands start and stop the container")
def unit(r):
    r.berth("create", "--name", "u", "--stop-timeout", "1", r.box, *SLEEP)
    text = r.berth("generate-systemd", "u")
    settings = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    tap.same("type", "forking", settings["Type"])
    run = lambda key: subprocess.run(["sh", "-c", settings[key]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: E731
    run("ExecStart")
    tap.same("running", "running", status(r, "u")["status"])
    shim = shim_of(r, "u")
    tap.same("the main process", shim, int(pathlib.Path(settings["PIDFile"]).read_text()))
    os.kill(shim, signal.SIGKILL)
    run("ExecStopPost")
    tap.same("stopped", "exited", status(r, "u")["status"])
    run("ExecStart")
    run("ExecStop")
    tap.same("stopped again", "exited", status(r, "u")["status"])
    r.berth("create", "--rm", "--name", "gone", r.box, "true")
    tap.same("--rm", 1, r.run("generate-systemd", "gone", check=False).returncode)
    if not shutil.which("systemd-analyze"):
        raise tap.Skip("systemd-analyze is not installed: what the commands do is right")
    file = r.work / "berth-u.service"
    file.write_text(text)
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
    assert p.returncode == 0 and "berth-u.service" not in p.stderr, p.stderr


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        sys.exit(0)
    with runner.Runner() as the_runner:
        the_runner.box = the_runner.push_busybox()
        tap.main(the_runner, after_each=runner.Runner.sweep)
