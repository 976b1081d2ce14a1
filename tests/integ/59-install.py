#!/usr/bin/env python3
"""What `make install` puts beside the programs: units of systemd, manual pages, completions; checked against the programs."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

BIN = r.TOP / "build/bin"
PREFIX = pathlib.Path("usr/local")
UNITS = PREFIX / "lib/systemd/system"
PAGES = ("berthd.8", "berthd.conf.5", "berth.1", "berth-net.8", "berth-runtime.8")
EXPOSURE_MAX = 20  # tenths
BUILD_WAIT_S = 900  # where only another kind of build was there


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise tap.Skip(f"no {program}")


def run(*command, want=0, timeout=r.WAIT_S, **more):
    got = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, check=False, **more)
    if want is not None and got.returncode != want:
        raise AssertionError(f"{' '.join(map(str, command))}: status {got.returncode}\n{got.stdout[-2000:]}\n{got.stderr[-2000:]}")
    return got


def install(root):
    """With the flags of the programs that are there, so that nothing is built again."""
    flags = ["WERROR=1"] if "-Werror" in (r.TOP / "build/release/.flags").read_text() else []
    run("make", "-C", r.TOP, "install", f"DESTDIR={root}", "MODE=release", *flags, timeout=BUILD_WAIT_S)


class Installed:
    """`make install` below a directory of its own, once for all cases."""

    dir = None

    @classmethod
    def root(cls):
        if not cls.dir:
            cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-"))
            install(cls.dir)
        return cls.dir


def unit(name):
    return (Installed.root() / UNITS / name).read_text()


def values(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.M)


@case("make install: programs, pages, units, completions; a configuration that is there stays")
def installs():
    root = Installed.root()
    want = [PREFIX / "bin" / p for p in ("berthd", "berth", "berth-net", "berth-runtime")]
    want += [PREFIX / "libexec/berth" / p for p in ("berth-shim", "berth-init", "berth-runtime-systemd")]
    want += [UNITS / p for p in ("berthd.service", "berthd.socket", "berthd-metrics.socket", "berth@.service")]
    want += [PREFIX / f"share/man/man{p[-1]}/{p}" for p in PAGES]
    want += [PREFIX / "share/bash-completion/completions" / p for p in ("berth", "berthd")]
    want += [PREFIX / "share/fish/vendor_completions.d" / f"{p}.fish" for p in ("berth", "berthd")]
    want += [PREFIX / "share/zsh/site-functions" / f"_{p}" for p in ("berth", "berthd")]
    want += [PREFIX / "lib/sysusers.d/berthd.conf", "etc/berthd/berthd.conf"]
    same("missing", [], [str(p) for p in want if not (root / p).is_file()])
    same("left to fill in", [], [p.name for p in (root / UNITS).iterdir() if re.search(r"@[A-Z]+@", p.read_text())])
    conf = root / "etc/berthd/berthd.conf"
    run(BIN / "berthd", "check-config", "--config", conf)
    conf.write_text("root: /elsewhere\n")
    install(root)
    same("kept", "root: /elsewhere\n", conf.read_text())


def verify(name, text):
    """systemd's opinion of a unit whose programs are where they were built."""
    with tempfile.TemporaryDirectory() as work:
        for p in (Installed.root() / UNITS).iterdir():
            (pathlib.Path(work) / p.name).write_text(p.read_text())
        (pathlib.Path(work) / name).write_text(text.replace("/usr/local/bin", str(BIN)))
        at = pathlib.Path(work) / name.replace("@.", "@x.")
        got = run("systemd-analyze", "verify", "--man=no", at, want=None, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{work}:"})
        return got.returncode, [line for line in got.stderr.splitlines() if name.split(".")[0].split("@")[0] in line]


@case("systemd finds nothing wrong with the units, and would")
def units():
    need("systemd-analyze")
    for name in ("berthd.service", "berthd.socket", "berthd-metrics.socket", "berth@.service"):
        same(name, (0, []), verify(name, unit(name)))
    same("a misspelt key is found", True, bool(verify("berthd.service", unit("berthd.service").replace("UMask=", "UMaks="))[1]))
    same("a program that is not there is found", True,
         verify("berthd.service", unit("berthd.service").replace("bin/berthd", "bin/berthdd"))[0] != 0)


def exposure(text):
    with tempfile.TemporaryDirectory() as work:
        at = pathlib.Path(work) / "berthd.service"
        at.write_text(text)
        got = run("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE_MAX}", at, want=None)
        return got.returncode, float(re.search(r"exposure level for \S+ ([\d.]+)", got.stdout).group(1))


@case("berthd's unit is exposed to less than 2.0, by systemd's measure")
def security():
    need("systemd-analyze")
    status, level = exposure(unit("berthd.service"))
    print(f"# {level}")
    same("level", (0, True), (status, level < EXPOSURE_MAX / 10))
    same("without user and bounds it is more", True, exposure(re.sub(r"^(User|CapabilityBoundingSet)=.*\n", "", unit("berthd.service"), flags=re.M))[0] != 0)


def expand(group):
    """The system calls of a group, by systemd's own list."""
    names = set()
    for line in run("systemd-analyze", "syscall-filter", "--no-pager", group).stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            names |= expand(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


@case("all system calls of a start, a push, a pull, a collection, a reload and a stop are in the unit's filter")
def calls():
    need("systemd-analyze", "strace")
    allowed = expand("@default")
    for line in values(unit("berthd.service"), "SystemCallFilter"):
        words = set()
        for word in line.lstrip("~").split():
            words |= expand(word) if word.startswith("@") else {word}
        allowed = allowed - words if line.startswith("~") else allowed | words
    with tempfile.TemporaryDirectory() as work:
        daemon = r.Daemon(root=f"{work}/root")
        log = pathlib.Path(work) / "calls"
        wrapper = pathlib.Path(work) / "berthd"
        wrapper.write_text(f'#!/bin/sh\nexec strace -f -qq -o {log} {BIN}/berthd "$@"\n')
        wrapper.chmod(0o755)
        before, r.BERTHD = r.BERTHD, str(wrapper)
        try:
            daemon.start()
            r.BERTHD = before
            config = json.dumps({"a": 1}).encode()
            daemon.push_blob("a", config)
            same("push", 201, daemon.put_manifest("a", "t", r.image(config)).status)
            same("pull", 200, daemon.request("GET", "/v2/a/manifests/t").status)
            same("blob", 200, daemon.request("GET", f"/v2/a/blobs/{r.sha256(config)}").status)
            daemon.admin("gc")
            children = pathlib.Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
            pid = int(children[0])
            os.kill(pid, signal.SIGHUP)
            os.kill(pid, signal.SIGTERM)
            same("end", 0, daemon.process.wait(timeout=r.WAIT_S))
        finally:
            r.BERTHD = before
            if daemon.process and daemon.process.poll() is not None:
                daemon._reap()
            daemon.close()
        used = set(re.findall(r"^\d+ +(\w+)\(", log.read_text(errors="replace"), re.M))
    same("it was traced", True, {"openat", "accept4", "landlock_restrict_self"} <= used)
    same("not in the filter", [], sorted(used - allowed))


@case("berth@.service: its lines start a container, wait for it, and end it")
def container_unit():
    if os.geteuid() != 0:
        raise tap.Skip("root only")

    def line(b, key):
        command = values(unit("berth@.service"), key)[0].replace("%i", "web").split()
        same("program", "/usr/local/bin/berth", command[0])
        return b.command(*command[1:])

    with runner.Runner() as b:
        b.berth("create", "--name", "web", b.push_busybox(), "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
        for _ in range(2):  # and once more, as after a restart of the machine
            service = subprocess.Popen(line(b, "ExecStart"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            same("output", "up\n", service.stdout.readline())
            run(*line(b, "ExecStop"))
            same("rest of it", "bye\n", service.stdout.read())
            same("status", 0, service.wait(timeout=r.WAIT_S))
            service.stdout.close()


@case("the account: systemd makes it from what is installed")
def account():
    need("systemd-sysusers")
    with tempfile.TemporaryDirectory() as work:
        (pathlib.Path(work) / "etc").mkdir()
        run("systemd-sysusers", f"--root={work}", Installed.root() / PREFIX / "lib/sysusers.d/berthd.conf")
        line = [u for u in (pathlib.Path(work) / "etc/passwd").read_text().splitlines() if u.startswith("berthd:")][0].split(":")
        same("home and shell", ["/var/lib/berthd", "/usr/sbin/nologin"], line[5:])


# --- manual pages ---

def page(name):
    return (Installed.root() / PREFIX / f"share/man/man{name[-1]}/{name}").read_text()


def template(name):
    return (r.TOP / f"etc/man/{name}.in").read_text()


def plain(text):
    return text.replace("\\-", "-").replace("\\&", "").replace("\\(dq", '"').replace("\\e", "\\")


def helped(program, *words):
    return run(BIN / program, *words).stdout


def option_names():
    return re.findall(r"^([a-z][a-z._]*) = ", helped("berthd", "help", "options"), re.M)


def documented(text):
    """Commands, options of programs, options of berthd, and variables that a page has as entries of its lists."""
    text = plain(text)
    entries = re.findall(r"^\.It (.*)$", text, re.M)
    return {
        "commands": [re.sub(r"^Cm (\S+( \S+)?).*", r"\1", e) for e in entries if e.startswith("Cm ")],
        "flags": {f for e in entries for f in re.findall(r"Fl (-?[a-zA-Z][a-z-]*|-[a-z-]+)", e)},
        "options": [e.split()[1] for e in entries if e.startswith("Ic ")],
        "variables": set(re.findall(r"^\.Ev (BERTHD_\S+)$", text, re.M)),
    }


@case("manual pages have no error and no warning, by mandoc and by groff")
def lint():
    need("mandoc", "man")
    for name in PAGES:
        at = Installed.root() / PREFIX / f"share/man/man{name[-1]}/{name}"
        same(name, "", run("mandoc", "-T", "lint", "-W", "warning", at, want=None).stdout)
        got = run("man", "--warnings=all", "-E", "UTF-8", "-l", "-Tutf8", "-Z", at, env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
        same(name, "", got.stderr)
    with tempfile.NamedTemporaryFile("w", suffix=".8") as f:
        f.write(page("berthd.8").replace(".Sh COMMANDS", ".Xyzzy\n.Sh COMMANDS", 1))
        f.flush()
        same("what is no macro is found", True, "unknown macro" in run("mandoc", "-T", "lint", "-W", "warning", f.name, want=None).stdout)


@case("berthd.conf(5) has each option of the table once, with preset, bounds, meaning and variable, and no other")
def options():
    got = documented(page("berthd.conf.5"))
    same("options", option_names(), got["options"])
    same("as many as the configuration has", sorted(option_names()), sorted(conf_keys()))
    same("variables", {"BERTHD_" + o.upper().replace(".", "_") for o in option_names()}, got["variables"])
    text = " ".join(plain(page("berthd.conf.5")).split())
    for block in re.findall(r"^(\S+) = (.*)\n    (.*)\n    (.*); (\S+)$", helped("berthd", "help", "options"), re.M):
        key, preset, doc, takes, _ = block
        for what in (f".It Ic {key} No = {preset}", doc[1:], f"This is {takes}."):
            same(f"{key}: {what}", True, " ".join(what.split()) in text)


def conf_keys():
    """Keys of what check-config prints, by their levels."""
    keys, path = [], []
    for line in run(BIN / "berthd", "check-config", env={"PATH": "/"}).stdout.splitlines():
        m = re.match(r"( *)([a-z_]+):(.*)$", line)
        if m:
            path = path[:len(m.group(1)) // 2] + [m.group(2)]
            if m.group(3):
                keys.append(".".join(path))
    return keys


def commands_of(program):
    """Command -> its help."""
    if program == "berthd":
        return {m.group(1): m.group(0) for m in re.finditer(r"^  berthd ([a-z-]+).*$", helped("berthd", "help"), re.M)}
    if program == "berth":
        names = re.findall(r"^  ([a-z-]+)  +\S", helped("berth", "help").split("\n\n")[2], re.M)
        return {n: helped("berth", "help", n) for n in names}
    if program == "berth-net":
        return {m.group(1): m.group(0) for m in re.finditer(r"^  berth-net ((?:network )?[a-z]+).*$", helped("berth-net", "--help"), re.M)}
    part = helped("berth-runtime", "--help").split("COMMANDS:")[1].split("GLOBAL")[0]
    return {n: helped("berth-runtime", n, "--help") for n in re.findall(r"^   ([a-z]+) ", part, re.M)}


@case("each command of berthd says how it is called, by --help, -h and help; of one that is not there none do")
def helps():
    for command, line in commands_of("berthd").items():
        for words in ((command, "--help"), (command, "-h"), (command, "ls", "-h"), ("help", command)):
            same(words, line, helped("berthd", *words).splitlines()[1])
    for words in (("nothing", "--help"), ("help", "nothing")):
        got = run(BIN / "berthd", *words, want=None)
        same(words, (2, 'berthd: no command "nothing": "berthd help" lists the commands\n'), (got.returncode, got.stderr))


def sections(name):
    """Command -> its part of the page's COMMANDS, as plain text."""
    part = plain(page(name)).split(".Sh COMMANDS\n")[1].split("\n.Sh ")[0]
    found = re.split(r"^\.It Cm ", part, flags=re.M)[1:]
    return {" ".join(s.split()[:2]) if s.startswith("network ") and name == "berth-net.8" else s.split()[0]: s for s in found}


@case("each page has the commands of its program in their order, each with all its options, and no other")
def commands():
    for program, name in (("berthd", "berthd.8"), ("berth", "berth.1"), ("berth-net", "berth-net.8"), ("berth-runtime", "berth-runtime.8")):
        want, got = commands_of(program), sections(name)
        same(f"commands of {program}", list(want), list(got))
        same(f"{program} has some", True, len(want) > 5)
        for command, text in want.items():
            for flag in sorted(set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))):
                same(f"{program} {command}: {flag} is there", True, flag in got[command] or f"Fl {flag[1:]}" in got[command])


def handwritten(name):
    """Program options, commands and berthd options that the text of a page speaks of, outside of what is generated."""
    text = plain(template(name))
    return (set(re.findall(r"^\.(?:It |Op |Pq )?Fl (-[a-z-]+)", text, re.M)) | set(re.findall(r"(?:^|[ \"])-(-[a-z][a-z-]+)", text)),
            set(re.findall(r"^\.Cm ([a-z-]+)", text, re.M)),
            set(re.findall(r"^\.Ic ([a-z_]+\.[a-z._]+|listen|access|retention|quotas)", text, re.M)))


def unknown(name, program):
    flags, words, keys = handwritten(name)
    known = set(commands_of(program))
    text = "\n".join(commands_of(program).values()) + helped(program, "help" if program in ("berthd", "berth") else "--help")
    text += " --add-runtime --runtime --now --OPTION --gc.lease --config " + ("" if program != "berthd" else " --json ")
    return ([f for f in sorted(flags) if not re.search(rf"-{re.escape(f)}(?![a-z-])", text)],
            [w for w in sorted(words) if w not in known and w not in {k.split()[0] for k in known} and w != "network"],
            [k for k in sorted(keys) if k not in option_names()])


@case("what the written part of a page speaks of exists")
def written():
    for name, program in (("berthd.8", "berthd"), ("berthd.conf.5", "berthd"), ("berth.1", "berth"), ("berth-net.8", "berth-net"),
                          ("berth-runtime.8", "berth-runtime")):
        same(name, ([], [], []), unknown(name, program))
    flags, words, keys = handwritten("berthd.8")
    same("and something is looked at", True, "http.drain" in keys and "-config" in flags and "serve" in words)


# --- completions ---

class Shell:
    """An interactive bash with completion, in a terminal."""

    def __init__(self, *files):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ ", "INPUTRC": "/dev/null", "HISTFILE": ""})
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.send("bind 'set enable-bracketed-paste off'; . /usr/share/bash-completion/bash_completion; stty cols 4000\n")
        for f in files:
            self.send(f". {f}\n")
        self.n = 0

    def send(self, text):
        os.write(self.fd, text.encode())

    def until(self, mark):
        got, end = b"", time.monotonic() + r.WAIT_S
        while mark.encode() not in got:
            if time.monotonic() > end:
                raise AssertionError(f"no {mark!r} in {got[-500:]!r}")
            if select.select([self.fd], [], [], 1)[0]:
                got += os.read(self.fd, 65536)
        return got.decode(errors="replace")

    def complete(self, line):
        """All words that may follow, inserted by readline (M-*), then printed by bash."""
        self.n += 1
        self.send(f"{line}\x1b*\x01printf '<%s>\\n' begin{self.n} \x05 end{self.n}\n")
        got = self.until(f"<end{self.n}>")
        words = re.findall(r"<([^<>\n]*)>\r?\n", got.split(f"<begin{self.n}>")[1] + "\n")
        given = len(line.split()) - (0 if line.endswith(" ") else 1)
        return [w for w in words[given:] if w != f"end{self.n}"]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def bash():
    if not pathlib.Path("/usr/share/bash-completion/bash_completion").exists():
        raise tap.Skip("no bash-completion")
    return Shell(*(Installed.root() / PREFIX / "share/bash-completion/completions" / n for n in ("berthd", "berth")))


@case("bash completes commands, options and values of berthd, and names of the registry that runs")
def bash_berthd():
    shell = bash()
    try:
        with r.Daemon() as s:
            config = b"{}"
            for repo in ("team/app", "team/web"):
                s.push_blob(repo, config)
                for tag in ("v1", "v2", "w"):
                    same("push", 201, s.put_manifest(repo, tag, r.image(config)).status)
            same("commands", sorted(commands_of("berthd")), sorted(shell.complete("berthd ")))
            same("one", ["check-access", "check-config"], shell.complete("berthd check-"))
            same("options", ["--gc.lease="], shell.complete("berthd serve --gc.l"))
            same("all options", True, set(option_names()) <= {w[2:-1] for w in shell.complete("berthd serve --")})
            same("its own", ["--dry-run"], shell.complete("berthd gc --d"))
            same("words", ["pause"], shell.complete("berthd gc pa"))
            same("repositories", ["team/app", "team/web"], shell.complete(f"berthd tags --root {s.root} t"))
            same("tags", ["v1", "v2"], [w.rsplit(":", 1)[-1] for w in shell.complete(f"berthd rm --root={s.root} team/app:v")])
            where = s.work / "somewhere"
            where.mkdir()
            same("directories", [f"{where}"], [w.rstrip("/") for w in shell.complete(f"berthd backup {s.work}/some")])
    finally:
        shell.close()


@case("bash completes commands and options of berth")
def bash_berth():
    shell = bash()
    try:
        with tempfile.TemporaryDirectory() as work:
            same("commands", sorted([*commands_of("berth"), "help"]), sorted(shell.complete("berth ")))
            same("after options", ["pull", "push"], shell.complete(f"berth --root {work} pu")[-2:])
            same("options", ["--env", "--env-file"], shell.complete("berth run --env"))
            same("of berth itself", True, "--runtime" in shell.complete("berth --r"))
            same("networks", ["inspect"], shell.complete("berth network insp"))
            (pathlib.Path(work) / "variables").touch()
            same("a value", [f"{work}/variables"], shell.complete(f"berth run --env-file {work}/var"))
    finally:
        shell.close()


@case("fish completes commands and options")
def fish():
    need("fish")

    home = Installed.root() / "home"  # it writes there
    home.mkdir()

    def complete(name, line):
        at = Installed.root() / PREFIX / f"share/fish/vendor_completions.d/{name}.fish"
        got = run("fish", "-N", "-c", f"source {at}; complete -C '{line}'", env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home)})
        return [line.split("\t")[0] for line in got.stdout.splitlines()]

    same("commands", ["check-access", "check-config"], complete("berthd", "berthd ch"))
    same("options", ["--gc.lease="], complete("berthd", "berthd serve --gc.l"))
    same("berth", ["pull", "push"], complete("berth", "berth pu"))
    same("its options", ["--env", "--env-file"], complete("berth", "berth run --env"))


class Zsh:
    """An interactive zsh with completion, in a terminal; what may follow is what its completion offers (compadd)."""

    SETUP = """
PS1='$ '; LISTMAX=100000; autoload -U compinit; compinit -u -D
compadd() {
	[[ ${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]] && { builtin compadd "$@"; return }
	local -a offered
	builtin compadd -A offered "$@"
	print -rl -- $offered >>$OFFERED
	builtin compadd "$@"
}
zle -C offer list-choices _main_complete
tell() { zle offer; print -r -- END >>$OFFERED; zle kill-whole-line }
zle -N tell; bindkey '^T' tell
"""

    def __init__(self, functions, work):
        self.offered = work / "offered"
        (work / ".zshrc").write_text(self.SETUP)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "ZDOTDIR": str(work), "HOME": str(work), "OFFERED": str(self.offered),
                               "FPATH": f"{functions}:" + run("zsh", "-fc", "print $FPATH").stdout.strip()})
            os.execvp("zsh", ["zsh", "-i"])

    def complete(self, line):
        self.offered.write_text("")
        os.write(self.fd, line.encode() + b"\x14")
        end = time.monotonic() + r.WAIT_S
        while not (got := self.offered.read_text()).endswith("END\n"):
            if time.monotonic() > end:
                raise AssertionError(f"zsh offers nothing for {line!r}: {got!r}")
            if select.select([self.fd], [], [], 0.02)[0]:
                os.read(self.fd, 65536)
        return [w for w in got.splitlines()[:-1] if w]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@case("zsh completes commands, options, and names of the registry that runs")
def zsh():
    need("zsh")
    with tempfile.TemporaryDirectory() as made, r.Daemon() as s:
        work = pathlib.Path(made)
        (work / "variables").touch()
        same("push", 201, (s.push_blob("team/app", b"{}"), s.put_manifest("team/app", "v1", r.image(b"{}")))[1].status)
        shell = Zsh(Installed.root() / PREFIX / "share/zsh/site-functions", work)
        try:
            same("commands", sorted(commands_of("berthd")), sorted(set(shell.complete("berthd "))))
            same("one", ["check-access", "check-config"], sorted(shell.complete("berthd check-")))
            same("options", ["--gc.lease="], shell.complete("berthd serve --gc.l"))
            same("all options", True, set(option_names()) <= {w[2:-1] for w in shell.complete("berthd serve --")})
            same("words", ["pause"], shell.complete("berthd gc pa"))
            same("repositories", ["team/app"], shell.complete(f"berthd tags --root {s.root} t"))
            same("tags", ["team/app:v1"], shell.complete(f"berthd rm --root={s.root} team/app:v"))
            same("commands of berth", sorted([*commands_of("berth"), "help"]), sorted(shell.complete("berth ")))
            same("after options", ["pull", "push"], sorted(shell.complete(f"berth --root {work} pu")))
            same("options of berth run", ["--env", "--env-file"], sorted(shell.complete("berth run --env")))
            same("networks", ["inspect"], shell.complete("berth network insp"))
            same("volumes", ["create", "inspect", "ls", "prune", "rm"], sorted(shell.complete("berth volume ")))
            same("a value", True, any(w.endswith("variables") for w in shell.complete(f"berth run --env-file {work}/var")))
        finally:
            shell.close()


try:
    tap.main()
finally:
    if Installed.dir:
        shutil.rmtree(Installed.dir, ignore_errors=True)
