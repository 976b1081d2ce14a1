#!/usr/bin/env python3
"""Every option of berth run in every form that docker and podman document: its effect in a real container, beside podman's.

Where podman means something else, or nothing, docker is asked.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import dockerd  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import tap  # noqa: E402

DOCKERS_CAPS = ("CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT "
                "KILL AUDIT_WRITE").split()
PROFILE = "/usr/share/containers/seccomp.json"


class Podman:
    """podman with a store of its own and docker's capabilities; None of it is left."""

    def __init__(self, work, ref):
        self.work, self.ref = work, ref
        conf = work / "containers.conf"
        conf.write_text(f"[containers]\ndefault_capabilities = {json.dumps(DOCKERS_CAPS)}\ndefault_ulimits = []\ndefault_sysctls = []\n"
                        "pids_limit = 0\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n")
        self.env = {**os.environ, "CONTAINERS_CONF": str(conf)}
        self.why = None if shutil.which("podman") else "podman is not installed"
        if not self.why:
            p = self.run("pull", "-q", "--tls-verify=false", ref, check=False)
            self.why = f"podman does not run here: {p.stderr.strip()[-200:]}" if p.returncode else None

    def command(self, *args):
        return ["podman", "--root", str(self.work / "podman"), "--runroot", str(self.work / "podman-run"), "--storage-driver", "overlay",
                "--runtime", "runc", *args]

    def run(self, *args, check=True, **more):
        p = subprocess.run(self.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           errors="replace", timeout=runner.WAIT_S, check=False, env={**self.env, **more.pop("env", {})}, **more)
        if check and p.returncode:
            raise AssertionError(f"podman {' '.join(args)}: exit {p.returncode}: {p.stderr}")
        return p

    def close(self):
        if not self.why:
            self.run("rm", "-fa", "-t", "0", check=False)
            self.run("rmi", "-fa", check=False)
        for line in reversed(open("/proc/self/mounts").readlines()):
            if line.split()[1].startswith(str(self.work / "podman")):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


class Docker:
    """A docker of one's own, if there is one (why: why not)."""

    def __init__(self, work, why):
        self.work, self.why = work, why

    def run(self, command, *args, check=True, **more):
        quiet = ["--quiet"] if command in ("run", "create", "pull") else []
        return subprocess.run(["docker", command, *quiet, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", timeout=runner.WAIT_S, check=check, **more)

    def config(self, ref, *options):
        """config.json of a container."""
        name = self.run("run", "-d", "--network", "none", *options, ref, "sleep", "1000").stdout.strip()
        try:
            (path,) = self.work.glob(f"exec/containerd/daemon/io.containerd.runtime.v2.task/moby/{name}/config.json")
            return json.loads(path.read_text())
        finally:
            self.run("rm", "-f", name)


@contextlib.contextmanager
def a_docker(work):
    work.mkdir()
    with dockerd.dockerd(work) as why:
        yield Docker(work, why)


# --- One table: options, a script, and what must come out ---

ROWS = []


def row(name, options, script, want=None, *, alone=None, image="box", args=None, env=None):
    """alone: why podman is not asked, but docker.  image: of r.images.  args: in place of sh -c script."""
    ROWS.append((name, options, args if args is not None else ["sh", "-c", script], want, alone, image, env or {}))


ENV = "env | grep -e ^A -e ^B -e ^C -e ^TAKE | sort"
IDS = "id -u; id -g; id -G; echo $HOME; pwd"
CAPS = "grep -e CapPrm -e CapEff -e CapBnd -e CapAmb /proc/self/status"
MOUNT = "grep ' /t ' /proc/mounts | tail -1 | awk '{ print $3, $4 }' | sed 's/,inode64//; s/,lowerdir=[^ ]*//'"
FLAGS = "grep ' /t ' /proc/mounts | tail -1 | awk '{ print $4 }' | tr , '\\n' | grep -e ^ro$ -e ^rw$ -e ^no[sde]"

TAKEN = {"TAKE_ONE": "1", "TAKE_TWO": "2 words", "TAKE": "none"}
row("-e NAME=VALUE", ["-e", "A=1", "--env", "B=a=b c"], ENV, "A=1\nB=a=b c\n")
row("-e NAME= is empty, not absent", ["-e", "A="], "echo ${A-absent}", "\n")
row("-e NAME is taken from here", ["-e", "TAKE_TWO"], ENV, "TAKE_TWO=2 words\n", env=TAKEN)
row("-e NAME that is not set here", ["-e", "NOT_SET_HERE"], "echo ${NOT_SET_HERE-absent}", "absent\n")
row("-e NAME* takes all that begin so", ["-e", "TAKE_*"], ENV, "TAKE_ONE=1\nTAKE_TWO=2 words\n", env=TAKEN)
row("-e over the image's", ["-e", "A=mine"], ENV, "A=mine\nB=image\n", image="env")
row("-e twice: the last counts", ["-e", "A=1", "-e", "A=2"], ENV, "A=2\n")
row("--env-file", ["--env-file", "@env"], ENV, "A2=with = and  blanks \nA3=#no comment\nA4=\nA=1\nTAKE_ONE=1\n", env=TAKEN)
row("-e over --env-file", ["-e", "A=flag", "--env-file", "@env"], "echo $A", "flag\n")
row("HOME, PATH, HOSTNAME, TERM", ["--hostname", "h"], "echo $HOME $PATH $HOSTNAME ${TERM-none}", alone="podman sets TERM without -t")
row("-w", ["-w", "/tmp"], "pwd", "/tmp\n")
row("-w of a directory that is made", ["--workdir", "/new/dir"], "pwd; stat -c %a:%u /new/dir", "/new/dir\n755:0\n", alone="podman 4.3 refuses")

row("-u NUMBER", ["-u", "33"], IDS)
row("-u NAME", ["-u", "www"], IDS, "33\n33\n33 44\n/var/www\n/\n")
row("-u NUMBER:NUMBER", ["-u", "33:5"], IDS)
row("-u NAME:GROUP", ["-u", "www:extra"], IDS)
row("-u NUMBER that nobody has", ["--user", "1234"], IDS)
row("-u NUMBER:GROUP", ["-u", "1234:www"], IDS)
row("-u root", ["-u", "root"], IDS)
row("--group-add NAME and NUMBER", ["--group-add", "www", "--group-add", "99"], "id -G", "0 33 99\n")
row("--group-add for another user", ["-u", "www", "--group-add", "99"], "id -G", "33 44 99\n")

row("--entrypoint PROGRAM", ["--entrypoint", "echo"], "", "a b\n", args=["a", "b"])
row("--entrypoint drops the image's command", ["--entrypoint", "echo"], "", "\n", image="entry", args=[])
row("the image's entrypoint and command", [], "", "entry cmd\n", image="entry", args=[])
row("--entrypoint '' drops it", ["--entrypoint", ""], "", "x\n", image="entry", args=["echo", "x"])
row("--entrypoint as a list", ["--entrypoint", '["echo", "one two", "three"]'], "", "one two three four\n", args=["four"])
row("--hostname", ["--hostname", "here.example"], "hostname; echo $(cat /etc/hostname)", "here.example\nhere.example\n")
row("without --hostname it is the id", [], "[ $(hostname | wc -c) = 13 ] && [ $(cat /etc/hostname) = $(hostname) ] && [ $HOSTNAME = $(hostname) ] && echo id", "id\n")
row("--uts host", ["--uts", "host"], "hostname; echo $HOSTNAME")
row("--network host has the host's name", ["--network", "host"], "hostname; echo $HOSTNAME")

row("--read-only", ["--read-only"], "touch /x 2>/dev/null || echo ro; touch /dev/shm/x && echo rw", "ro\nrw\n")
row("--shm-size 8m", ["--shm-size", "8m"], "df -k /dev/shm | awk 'END { print $2 }'", "8192\n")
row("--shm-size 1.5MiB", ["--shm-size", "1.5MiB"], "df -k /dev/shm | awk 'END { print $2 }'", "1536\n", alone="podman takes no fractions")
row("--shm-size preset", [], "df -k /dev/shm | awk 'END { print $2 }'", "65536\n", alone="podman's is 65536000 bytes")
row("--shm-size in bytes", ["--shm-size", "1048576b"], "df -k /dev/shm | awk 'END { print $2 }'", "1024\n")

for options in ([], ["--cap-add", "NET_ADMIN"], ["--cap-add", "cap_net_admin"], ["--cap-drop", "mknod"], ["--cap-drop", "ALL"],
                ["--cap-drop", "all", "--cap-add", "CHOWN"], ["--cap-add", "ALL", "--cap-drop", "CHOWN"], ["--cap-add", "ALL"],
                ["--cap-add", "NET_ADMIN,SYS_TIME"], ["-u", "33"], ["-u", "33", "--cap-add", "NET_ADMIN"], ["--privileged"],
                ["--privileged", "-u", "33"]):
    row(f"capabilities: {' '.join(options) or 'preset'}", options, CAPS)

for word in ("no-new-privileges", "no-new-privileges=true", "no-new-privileges:true", "no-new-privileges=false"):
    row(f"--security-opt {word}", ["--security-opt", word], "grep NoNewPrivs /proc/self/status",
        alone="podman 4.3 takes the word alone" if word[17:] else None, want=f"NoNewPrivs:\t{int('false' not in word)}\n")
row("--security-opt seccomp=unconfined", ["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status; unshare -U true && echo may",
    "Seccomp:\t0\nmay\n")
row("without it", [], "grep Seccomp: /proc/self/status; mount -t tmpfs none /tmp 2>/dev/null || echo may not", "Seccomp:\t2\nmay not\n")
row("without it, new user namespaces", [], "unshare -U true 2>/dev/null || echo may not", "may not\n", alone="podman allows them, docker does not")
row("--security-opt seccomp=FILE, as the runtime specification has it", ["--security-opt", "seccomp=@plain"], "mkdir /x 2>&1; id -u", "mkdir: can't create directory '/x': No space left on device\n0\n")
row("--security-opt seccomp=FILE with docker's conditions", ["--security-opt", "seccomp=@conditions"],
    "mkdir /x 2>/dev/null || echo no mkdir; rmdir /tmp/none 2>&1; sync && echo sync; chroot / true 2>/dev/null || echo no chroot",
    "no mkdir\nrmdir: '/tmp/none': No such file or directory\nsync\nno chroot\n")
row("--security-opt mask=", ["--security-opt", "mask=/proc/version:/sys/kernel"], "wc -c </proc/version; ls /sys/kernel | wc -l", "0\n0\n")
row("--security-opt unmask=PATH", ["--security-opt", "unmask=/proc/keys:/sys/firmware"], "grep -c -e /proc/keys -e /sys/firmware /proc/mounts; true", "0\n")
row("--security-opt unmask=PATTERN", ["--security-opt", "unmask=/proc/*"], "grep -c ' /proc/' /proc/mounts; true", "0\n")
row("--security-opt unmask=ALL", ["--security-opt", "unmask=ALL"], "grep -c -e ' /proc/' -e ' /sys/firmware' /proc/mounts; true", "0\n")
row("--security-opt systempaths=unconfined", ["--security-opt", "systempaths=unconfined"], "grep -c ' /proc/' /proc/mounts; true", "0\n", alone="docker's word")
row("--security-opt proc-opts=", ["--security-opt", "proc-opts=hidepid=2"], "grep ' /proc ' /proc/mounts | grep -o hidepid=[a-z0-9]*")
row("--security-opt label=disable, apparmor=unconfined", ["--security-opt", "label=disable", "--security-opt", "apparmor=unconfined"], "echo runs", "runs\n")

row("--privileged: devices, nothing masked", ["--privileged"], "[ -c /dev/kmsg ] && echo kmsg; grep -c ' /proc/' /proc/mounts; touch /sys/x 2>&1 | grep -c Read-only; true", "kmsg\n0\n0\n", alone=None if os.path.exists("/dev/kmsg") else "no /dev/kmsg")
row("--device", ["--device", "@devices/a"], "stat -c '%F %t %T' @devices/a", "character special file 1 3\n")
row("--device DEVICE:TARGET", ["--device", "/dev/zero:/dev/other"], "stat -c '%F %t %T' /dev/other; head -c 2 /dev/other | wc -c", "character special file 1 5\n2\n")
row("--device of a directory", ["--device", "@devices:/dev/many"], "cd /dev/many; find . -type c | sort; stat -c '%t %T' sub/b", "./a\n./sub/b\n1 5\n")
row("--device DEVICE:TARGET:ACCESS", ["--device", "/dev/fuse:/dev/f:r"], "true <>/dev/f 2>/dev/null || echo no; true </dev/f && echo reads", "no\nreads\n",
    alone=None if os.path.exists("/dev/fuse") else "no /dev/fuse")
row("--device DEVICE:ACCESS", ["--device", "/dev/fuse:rw"], "true <>/dev/fuse && echo rw", "rw\n", alone=None if os.path.exists("/dev/fuse") else "no /dev/fuse")


def cgroup(file):
    return f"cat /sys/fs/cgroup/{file}"


MEMORY = cgroup("memory/memory.limit_in_bytes")
SWAP = cgroup("memory/memory.memsw.limit_in_bytes") + " 2>/dev/null || echo none"
for text, value in (("64m", 64 << 20), ("65536k", 64 << 20), ("67108864", 64 << 20), ("67108864b", 64 << 20), ("1g", 1 << 30), ("64M", 64 << 20), ("64mb", 64 << 20)):
    row(f"--memory {text}", ["--memory", text], MEMORY, f"{value}\n")
row("--memory 0.5g", ["-m", "0.5g"], MEMORY, f"{1 << 29}\n", alone="podman takes no fractions")
for text in ("128m", "-1", "0"):
    row(f"--memory-swap {text}", ["-m", "64m", "--memory-swap", text], SWAP, alone="docker's meaning, podman refuses" if text == "0" else None)
row("--cpus 0.5", ["--cpus", "0.5"], cgroup("cpu/cpu.cfs_quota_us"), "50000\n")
row("--cpus 0 is no limit", ["--cpus", "0"], cgroup("cpu/cpu.cfs_quota_us"), "-1\n")
row("--cpu-shares", ["-c", "512"], cgroup("cpu/cpu.shares"), "512\n")
row("--cpuset-cpus", ["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0\n")
for text, value in (("17", "17"), ("-1", "max"), ("0", "max")):
    row(f"--pids-limit {text}", ["--pids-limit", text], cgroup("pids/pids.max"), f"{value}\n")

row("--ulimit NAME=SOFT:HARD", ["--ulimit", "nofile=77:99"], "ulimit -Sn; ulimit -Hn", "77\n99\n")
row("--ulimit NAME=BOTH", ["--ulimit", "nofile=77"], "ulimit -Sn; ulimit -Hn", "77\n77\n")
row("--ulimit core=0", ["--ulimit", "core=0"], "ulimit -c", "0\n")
row("--ulimit several", ["--ulimit", "nofile=77", "--ulimit", "fsize=4096:8192"], "ulimit -n; grep 'Max file size' /proc/self/limits | awk '{ print $4, $5 }'", "77\n4096 8192\n")
row("--ulimit -1", ["--ulimit", "cpu=-1:-1"], "grep 'cpu time' /proc/self/limits | awk '{ print $4, $5 }'", "unlimited unlimited\n")
row("--sysctl of the network", ["--sysctl", "net.ipv4.ip_default_ttl=9"], "cat /proc/sys/net/ipv4/ip_default_ttl", "9\n")
row("--sysctl of IPC", ["--sysctl", "kernel.msgmax=4321", "--sysctl", "fs.mqueue.msg_max=7"], "cat /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max", "4321\n7\n")
row("--init", ["--init"], "[ $$ != 1 ] && echo child; kill -0 1 && echo init", "child\ninit\n", alone=None if os.path.exists("/usr/libexec/podman/catatonit") else "podman has no init here")

row("--tmpfs", ["--tmpfs", "/t"], FLAGS, "rw\nnosuid\nnodev\nnoexec\n", alone="podman leaves noexec out")
row("--tmpfs with a size", ["--tmpfs", "/t:size=1m,noexec"], FLAGS + "; df -k /t | awk 'END { print $2 }'", "rw\nnosuid\nnodev\nnoexec\n1024\n")
row("--tmpfs with a size keeps docker's options", ["--tmpfs", "/t:size=1m"], FLAGS, "rw\nnosuid\nnodev\nnoexec\n", alone="podman leaves noexec out")
row("--tmpfs exec", ["--tmpfs", "/t:exec"], "cp /bin/busybox /t/ && /t/busybox true && echo runs", "runs\n")
row("--tmpfs ro", ["--tmpfs", "/t:ro"], "touch /t/x 2>/dev/null || echo ro", "ro\n")
row("--tmpfs mode and owner", ["--tmpfs", "/t:mode=700,uid=33,gid=44"], "stat -c '%a %u %g' /t", "700 33 44\n", alone="podman knows no uid")
row("--tmpfs mode preset", ["--tmpfs", "/t"], "stat -c '%a %u %g' /t", "1777 0 0\n")
row("--tmpfs tmpcopyup", ["--tmpfs", "/etc:tmpcopyup"], "grep -c root /etc/passwd", "1\n")

row("-v", ["-v", "@host:/t"], "cat /t/f; touch /t/made; echo $?", "from the host0\n")
row("-v ro", ["-v", "@host:/t:ro"], "touch /t/x 2>/dev/null || echo ro", "ro\n")
row("-v rw,z,Z", ["-v", "@host:/t:rw,z"], "cat /t/f; touch /t/x && echo rw", "from the hostrw\n")
row("-v nosuid,nodev,noexec", ["-v", "@host:/t:ro,nosuid,nodev,noexec"], FLAGS, "ro\nnosuid\nnodev\nnoexec\n")
row("-v of a file", ["-v", "@host/f:/t:ro"], "cat /t; [ -f /t ] && echo file", "from the hostfile\n")
row("-v U gives it to the user", ["-v", "@mine:/t:U", "-u", "33:44"], "stat -c '%u %g' /t /t/below /t/below/f", "33 44\n33 44\n33 44\n")
row("-v of a path from here", ["-v", "./host:/t"], "cat /t/f", "from the host")
row("-v of a directory that is missing is made", ["-v", "@missing/sub:/t"], "[ -d /t ] && echo made", "made\n", alone="podman refuses")
row("-v of a name", ["-v", "flags:/t"], "[ -d /t ] && touch /t/x && echo volume", "volume\n")
row("-v without a source", ["-v", "/t"], "[ -d /t ] && touch /t/x && grep -c ' /t ' /proc/mounts", "1\n")
row("-v without a source has the image's files", ["-v", "/etc"], "grep -c root /etc/passwd", "1\n")
row("-v twice, the deeper first", ["-v", "@host:/t/below", "-v", "@mine:/t"], "cat /t/below/f; ls /t", "from the hostbelow\n")
row("--tmpfs below -v", ["--tmpfs", "/t/below", "-v", "@mine:/t"], "ls /t; ls /t/below | wc -l", "below\n0\n", alone="podman copies the content up")
row("--mount type=bind", ["--mount", "type=bind,source=@host,target=/t"], "cat /t/f; touch /t/x && echo rw", "from the hostrw\n")
row("--mount type=bind,src,dst,ro", ["--mount", "type=bind,src=@host,dst=/t,ro"], "touch /t/x 2>/dev/null || echo ro", "ro\n")
row("--mount readonly", ["--mount", "type=bind,src=@host,destination=/t,readonly"], "touch /t/x 2>/dev/null || echo ro", "ro\n")
row("--mount ro=true", ["--mount", "type=bind,src=@host,dst=/t,ro=true"], "touch /t/x 2>/dev/null || echo ro", "ro\n")
row("--mount ro=false", ["--mount", "type=bind,src=@host,dst=/t,ro=false"], "touch /t/x && echo rw", "rw\n")
row("--mount readonly=1", ["--mount", "type=bind,src=@host,dst=/t,readonly=1"], "touch /t/x 2>/dev/null || echo ro", "ro\n", alone="podman 4.3 knows true and false")
row("--mount bind-propagation", ["--mount", "type=bind,src=@host,dst=/t,bind-propagation=rslave"], "cat /t/f", "from the host")
row("--mount bind-nonrecursive", ["--mount", "type=bind,src=@tree,dst=/t,bind-nonrecursive"], "ls /t/inner | wc -l", "0\n")
row("--mount is recursive otherwise", ["--mount", "type=bind,src=@tree,dst=/t"], "ls /t/inner", "in\n")
row("--mount bind-recursive=disabled", ["--mount", "type=bind,src=@tree,dst=/t,bind-recursive=disabled"], "ls /t/inner | wc -l", "0\n", alone="docker's word")
row("--mount bind-recursive=readonly", ["--mount", "type=bind,src=@tree,dst=/t,ro,bind-propagation=rprivate,bind-recursive=readonly"], "touch /t/inner/x 2>/dev/null || echo ro", "ro\n", alone="docker's word")
row("--mount relabel, consistency", ["--mount", "type=bind,src=@host,dst=/t,consistency=cached,relabel=shared"], "cat /t/f", "from the host")
row("--mount U", ["--mount", "type=bind,src=@mine,dst=/t,U=true", "-u", "33:44"], "stat -c '%u %g' /t/below/f", "33 44\n")
row("--mount with marks", ["--mount", '"type=bind","src=@comma","dst=/t"'], "cat /t/f", "comma\n")
row("--mount type=volume", ["--mount", "type=volume,source=flags2,target=/t"], "touch /t/x && echo rw", "rw\n")
row("--mount type=volume,ro", ["--mount", "type=volume,source=flags2,target=/t,ro"], "touch /t/x 2>/dev/null || echo ro", "ro\n")
row("--mount of a volume without a name", ["--mount", "type=volume,target=/etc"], "grep -c root /etc/passwd", "1\n")
row("--mount volume-nocopy", ["--mount", "type=volume,source=flags3,target=/etc,volume-nocopy"], "ls /etc/group 2>/dev/null || echo empty", "empty\n", alone="docker's word")
row("--mount without type is a volume", ["--mount", "source=flags4,target=/t"], "touch /t/x && echo rw", "rw\n", alone="docker's meaning")
row("--mount type=tmpfs", ["--mount", "type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=700,noexec"], FLAGS + "; df -k /t | awk 'END { print $2 }'; stat -c %a /t",
    "rw\nnosuid\nnodev\nnoexec\n1024\n700\n")
row("--mount type=tmpfs,ro", ["--mount", "type=tmpfs,destination=/t,ro"], "touch /t/x 2>/dev/null || echo ro", "ro\n")


def fill_in(r, text):
    return re.sub(r"@(\w+)", lambda m: str(r.places.get(m.group(1), m.group(0))), text)


def prepare(r):
    """What the table names with @: made anew for each row and each program, since some change it."""
    for name in ("host", "mine", "tree", "missing"):
        subprocess.run(["rm", "-rf", "--one-file-system", str(r.work / name)], check=True)
    for name in ("host", "mine/below", "tree/inner"):
        (r.work / name).mkdir(parents=True, exist_ok=True)
    (r.work / "host/f").write_text("from the host")
    (r.work / "mine/below/f").touch()


def unmount(r):
    subprocess.run(["umount", "-l", str(r.work / "tree/inner")], check=False, stderr=subprocess.DEVNULL)


def places(r):
    r.places = {n: r.work / n for n in ("host", "mine", "tree", "missing", "devices", "env", "plain", "conditions")}
    r.places["comma"] = r.work / "a,b"
    r.places["comma"].mkdir()
    (r.places["comma"] / "f").write_text("comma\n")
    for path, minor in (("devices/a", 3), ("devices/sub/b", 5)):
        (r.work / path).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(r.work / path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    (r.work / "devices/file").touch()
    (r.work / "env").write_bytes(b"# a comment\n\n  # another\nA=1\nA2=with = and  blanks \n  A3=#no comment\r\nA4=\nTAKE_ONE\nNOT_SET_HERE\n")
    allow = {"defaultAction": "SCMP_ACT_ALLOW"}
    (r.work / "plain").write_text(json.dumps({**allow, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}))

    def refuse(name, **more):
        return {"name": name, "action": "SCMP_ACT_ERRNO", "args": None, "comment": "", **more}

    (r.work / "conditions").write_text(json.dumps({
        **allow, "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                             {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
        "syscalls": [refuse("mkdir", includes={}, excludes={}), refuse("mkdirat", includes={"arches": ["amd64", "arm64"]}),
                     refuse("rmdir", includes={"caps": ["CAP_SYS_ADMIN"]}), refuse("unlinkat", includes={"arches": ["s390x"]}),
                     refuse("sync", includes={"minKernel": "99.0"}), refuse("chroot", excludes={"minKernel": "99.0"}),
                     refuse("chdir", excludes={"caps": ["CAP_CHOWN"]})]}))


def outcome(p):
    return (p.stdout, p.returncode)


def run_row(r, n):
    name, options, args, want, alone, image, env = ROWS[n]
    if "--init" in options and "BERTH" in os.environ:
        raise tap.Skip("a build with sanitizers is not static, and needs libraries in the container")
    command = ["run", "--rm", *([] if "--network" in options else ["--network", "none"]), *(fill_in(r, o) for o in options), r.images[image],
               *(fill_in(r, a) for a in args)]
    got = []
    peer = r.docker if alone else r.podman
    for run in (r.run, *([] if peer.why else [peer.run])):
        if run == r.podman.run and "--ulimit" in options:  # its presets cannot be raised everywhere
            command[2:2] = [x for limit in ("nofile", "nproc") if limit not in str(options) for x in ("--ulimit", f"{limit}=1024:1024")]
        prepare(r)
        subprocess.run(["mount", "-t", "tmpfs", "none", str(r.work / "tree/inner")], check=True)
        (r.work / "tree/inner/in").touch()
        try:
            got.append(run(*command, check=False, cwd=r.work, env={**os.environ, **env}))
        finally:
            unmount(r)
    if want is not None:
        tap.same(f"berth, whose stderr is {got[0].stderr!r}", (want, 0), outcome(got[0]))
    tap.same("exit status", 0, got[0].returncode)
    if len(got) == 2 and "requires API" not in got[1].stderr:  # of a docker that is older than its client
        tap.same(f"{type(peer).__name__}, whose stderr is {got[1].stderr!r}", outcome(got[1]), outcome(got[0]))


for number, entry in enumerate(ROWS):
    tap.case(f"{entry[0]}{'' if not entry[4] else ' (' + entry[4] + ')'}")(lambda r, n=number: run_row(r, n))


# --- What is refused ---

REFUSED = [
    ("-e without a name", ["-e", "=x"]),
    ("--env-file that is missing", ["--env-file", "/no/such"]),
    ("--env-file with blanks in a name, which podman takes", ["--env-file", "@bad"]),
    ("-w that is relative", ["-w", "here"]),
    ("-u that nobody is called", ["-u", "nobody-here"]),
    ("--group-add that nobody is called", ["--group-add", "nobody-here"]),
    ("--cap-add that is none", ["--cap-add", "NOT_A_CAP"]),
    ("--security-opt that is none", ["--security-opt", "nonsense"]),
    ("--security-opt seccomp that is missing", ["--security-opt", "seccomp=/no/such"]),
    ("--device that is missing", ["--device", "/dev/no-such"]),
    ("--device with another access", ["--device", "/dev/zero:/dev/z:x"]),
    ("--memory that is no size", ["--memory", "much"]),
    ("--memory-swap less than --memory", ["-m", "64m", "--memory-swap", "32m"]),
    ("--ulimit that is none", ["--ulimit", "nonsense=1"]),
    ("--ulimit with more than the most", ["--ulimit", "nofile=9:8"]),
    ("--sysctl without a value", ["--sysctl", "net.ipv4.ip_forward"]),
    ("--sysctl of the host", ["--sysctl", "kernel.panic=1"]),
    ("-v with an option that is none", ["-v", "@host:/t:nonsense"]),
    ("-v with a target that is relative", ["-v", "@host:t"]),
    ("-v with a name that is none", ["-v", "a/b:/t"]),
    ("two at one place", ["-v", "@host:/t", "-v", "@mine:/t"]),
    ("-v and --mount at one place", ["-v", "@host:/t", "--mount", "type=tmpfs,destination=/t"]),
    ("--mount of a type that is none", ["--mount", "type=nonsense,target=/t"]),
    ("--mount without a target", ["--mount", "type=tmpfs"]),
    ("--mount type=bind without a source", ["--mount", "type=bind,target=/t"]),
    ("--mount of a source that is missing", ["--mount", "type=bind,source=@missing,target=/t"]),
    ("--mount with a key that is none", ["--mount", "type=bind,source=@host,target=/t,nonsense=1"]),
    ("--mount with a key of another type", ["--mount", "type=bind,source=@host,target=/t,tmpfs-size=1m"]),
    ("--hostname with --uts host", ["--uts", "host", "--hostname", "x"]),
    ("--restart that is none", ["--restart", "sometimes"]),
    ("--pull that is none", ["--pull", "sometimes"]),
    ("--stop-signal that is none", ["--stop-signal", "NONSENSE"]),
    ("--health-interval that is none", ["--health-cmd", "true", "--health-interval", "soon"]),
    ("--name with blanks", ["--name", "a b"]),
]


@tap.case("what makes no sense is refused, by podman, too, and leaves nothing")
def refused(r):
    prepare(r)
    (r.work / "bad").write_text("A B=1\n")
    r.places["bad"] = r.work / "bad"
    for name, options in REFUSED:
        command = ["run", "--rm", "--network", "none", *(fill_in(r, o) for o in options), r.box, "true"]
        p = r.run(*command, check=False)
        assert p.returncode in (2, 125, 126), f"{name}: {p.returncode} {p.stderr}"
        assert p.stderr.startswith("berth: ") and p.stderr.count("\n") == 1, f"{name}: {p.stderr!r}"
        if not r.podman.why and "podman takes" not in name:
            q = r.podman.run(*command, check=False)
            assert q.returncode, f"podman takes {name}: {q.stdout}"
    tap.same("nothing is left", "", r.berth("ps", "-a", "-q"))


# --- What a container's life shows ---

UP = "trap 'exit 7' RTMIN+3 TERM 2>/dev/null; echo up; while :; do sleep 0.05; done"


def state(r, name):
    return next(c for c in json.loads(r.berth("ps", "-a", "--json")) if c["name"] == name)


@tap.case("--ulimit host: as they are here, not as berth has raised its own")
def ulimit_host(r):
    p = subprocess.run(["sh", "-c", 'ulimit -Sn 123; exec "$@"', "-", *r.command("run", "--rm", "--ulimit", "host", r.box, "sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Sc")],
                       stdout=subprocess.PIPE, text=True, check=True)
    hard, core = subprocess.run(["sh", "-c", "ulimit -Hn; ulimit -Sc"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    tap.same("limits", ["123", hard, core], p.stdout.split())


@tap.case("--group-add keep-groups: those of who runs it, not beside others")
def keep_groups(r):
    def as_member(*args):
        return subprocess.run(["setpriv", "--groups", "0,7,8", *r.command(*args)], stdout=subprocess.PIPE, text=True, check=True).stdout

    tap.same("without", "0\n", as_member("run", "--rm", r.box, "id", "-G"))
    tap.same("with", "0 7 8\n", as_member("run", "--rm", "--group-add", "keep-groups", r.box, "id", "-G"))
    tap.same("for another user", "33 0 7 8\n", as_member("run", "--rm", "-u", "33:33", "--group-add", "keep-groups", r.box, "id", "-G"))
    tap.same("with others", 1, r.run("create", "--group-add", "keep-groups", "--group-add", "www", r.box, check=False).returncode)


@tap.case("--label, --label NAME, --annotation: in inspect and config.json; the user's over the image's")
def labels(r):
    ref = r.push_busybox("label:v1", config={"Labels": {"a": "image", "b": "image"}})
    r.berth("create", "--name", "l", "--label", "a=mine", "-l", "empty", "--annotation", "note=x=y", ref)
    (seen,) = json.loads(r.berth("inspect", "l"))
    tap.same("labels", {"a": "mine", "b": "image", "empty": ""}, seen["state"]["labels"])
    tap.same("annotation", "x=y", seen["config"]["annotations"]["note"])


@tap.case("--stop-signal by name, number and as a real-time signal; --stop-timeout")
def stop(r):
    for how in ("USR1", "SIGUSR1", "10", "sigusr1"):
        r.berth("run", "-d", "--name", "s", "--stop-signal", how, r.box, "sh", "-c", "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done")
        registry.wait_until("up", lambda: "up" in r.berth("logs", "s"))
        r.berth("stop", "s")
        tap.same(how, 9, state(r, "s")["exit_code"])
        r.berth("rm", "s")
    for how, number in (("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("rtmax", 64)):
        r.berth("create", "--name", "s", "--stop-signal", how, r.box)
        tap.same(how, number, json.loads(r.berth("inspect", "s"))[0]["container"]["stop_signal"])
        r.berth("rm", "s")
    for how, ms in (("3", 3000), ("-1", 3153600000000)):
        r.berth("create", "--name", "s", "--stop-timeout", how, r.box)
        tap.same(f"--stop-timeout {how}", ms, json.loads(r.berth("inspect", "s"))[0]["container"]["stop_timeout_ms"])
        r.berth("rm", "s")


@tap.case("--pull: never, missing, always, newer, with a registry that has something new, and with one that is gone")
def pull(r):
    def push(text):
        return r.push_busybox("pull:v1", [runner.layer({"version": text.encode()})])

    def cat(how):
        return r.run("run", "--rm", "--pull", how, ref, "cat", "/version", check=False)

    ref = push("one")
    p = cat("never")
    assert p.returncode == 125 and p.stdout == "", p
    tap.same("missing", "one", cat("missing").stdout)
    push("two")
    tap.same("missing, when it is here", "one", cat("missing").stdout)
    tap.same("never, when it is here", "one", cat("never").stdout)
    tap.same("newer", "two", cat("newer").stdout)
    push("three")
    tap.same("always", "three", cat("always").stdout)
    r.berth("tag", ref, "127.0.0.1:1/gone/pull:v1")
    ref = "127.0.0.1:1/gone/pull:v1"
    tap.same("newer, when nobody answers", "three", cat("newer").stdout)
    tap.same("always, when nobody answers", 125, cat("always").returncode)


@tap.case("--restart: no, on-failure:N, always, unless-stopped; berth start after stop")
def restart(r):
    r.berth("run", "-d", "--name", "n", "--restart", "no", r.box, "sh", "-c", "exit 1")
    r.berth("run", "-d", "--name", "f", "--restart", "on-failure:2", r.box, "sh", "-c", "exit 1")
    r.berth("run", "-d", "--name", "good", "--restart", "on-failure", r.box, "true")
    r.berth("run", "-d", "--name", "u", "--restart", "unless-stopped", r.box, "sh", "-c", "sleep 0.05")
    registry.wait_until("all that end have ended", lambda: all(state(r, n)["status"] == "exited" for n in ("n", "f", "good")))
    tap.same("restarts", [0, 2, 0], [state(r, n)["restarts"] for n in ("n", "f", "good")])
    registry.wait_until("unless-stopped goes on", lambda: state(r, "u")["restarts"] >= 2)
    r.berth("stop", "u")
    tap.same("stopped", "exited", state(r, "u")["status"])
    r.berth("start", "u")
    before = state(r, "u")["restarts"]
    registry.wait_until("started again it goes on again", lambda: state(r, "u")["restarts"] > before or state(r, "u")["restarts"] >= 1)


FAST = ("--health-interval", "50ms", "--health-retries", "1")


@tap.case("--health-cmd for a shell, as a list, as words; none and --no-healthcheck; times as Go writes them")
def health(r):
    image = r.push_busybox("health:v2", config={"Healthcheck": {"Test": ["CMD", "false"], "Interval": 50000000, "Retries": 1}})
    for n, (ref, options, want) in enumerate((
            (r.box, ["--health-cmd", "test -d /tmp && exit 0"], "healthy"), (r.box, ["--health-cmd", '["CMD", "test", "-d", "/no such"]'], "unhealthy"),
            (r.box, ["--health-cmd", '["CMD-SHELL", "exit 0"]'], "healthy"), (r.box, ["--health-cmd", "CMD test -d /tmp"], "healthy"),
            (r.box, ["--health-cmd", "CMD-SHELL exit 1"], "unhealthy"), (image, [], "unhealthy"), (image, ["--health-cmd", "true"], "healthy"))):
        r.berth("run", "-d", "--name", f"h{n}", *FAST, *options, ref, "sleep", "1000")
        registry.wait_until(f"{options} {want}", lambda n=n, want=want: state(r, f"h{n}")["health"] == want)
    for n, options in enumerate((["--health-cmd", "none"], ["--no-healthcheck"], ["--health-cmd", '["NONE"]'])):
        r.berth("run", "-d", "--name", f"n{n}", *options, image, "sleep", "1000")
        tap.same(str(options), "none", state(r, f"n{n}")["health"])
    r.berth("create", "--name", "times", "--health-cmd", "true", "--health-interval", "1m30s", "--health-timeout", "1.5s", "--health-start-period", "500ms", r.box)
    seen = json.loads(r.berth("inspect", "times"))[0]["container"]["health"]
    tap.same("times", (90000, 1500, 500), (seen["interval_ms"], seen["timeout_ms"], seen["start_period_ms"]))


@tap.case("--health-on-failure: kill, stop, restart")
def health_action(r):
    for action in ("kill", "stop", "restart", "none"):
        r.berth("run", "-d", "--name", action, *FAST, "--health-on-failure", action, "--health-cmd", "false", r.box, "sh", "-c",
                "trap 'exit 5' TERM; while :; do sleep 0.05; done")
    registry.wait_until("killed", lambda: (state(r, "kill")["status"], state(r, "kill")["exit_code"]) == ("exited", 137))
    registry.wait_until("stopped", lambda: (state(r, "stop")["status"], state(r, "stop")["exit_code"]) == ("exited", 5))
    registry.wait_until("restarted, and again", lambda: state(r, "restart")["restarts"] >= 2)
    registry.wait_until("it is only told", lambda: state(r, "none")["health"] == "unhealthy")
    tap.same("it runs", "running", state(r, "none")["status"])
    p = r.run("create", "--health-on-failure", "restart", "--restart", "always", r.box, check=False)
    tap.same("with --restart", 1, p.returncode)


# --- As strict as the others ---

def own_config(r, *options):
    r.berth("create", "--name", "config", *options, r.box)
    config = json.loads(r.berth("inspect", "config"))[0]["config"]
    r.berth("rm", "config")
    return config


def podmans_config(r, *options):
    if r.podman.why:
        raise tap.Skip(r.podman.why)
    name = r.podman.run("create", "--network", "none", *options, r.box, "sleep", "100").stdout.strip()
    r.podman.run("init", name)
    path = r.podman.run("inspect", "--format", "{{.OCIConfigPath}}", name).stdout.strip()
    config = json.loads(pathlib.Path(path).read_text())
    r.podman.run("rm", "-f", "-t", "0", name)
    return config


def allowed(profile):
    """System calls that pass whatever their arguments are, and those that pass with some."""
    free, some = set(), set()
    for rule in profile["syscalls"]:
        if rule["action"] == "SCMP_ACT_ALLOW":
            (some if rule.get("args") else free).update(rule["names"])
    return free, some - free


# In what is older than these calls they have no names, which is no decision about them.
NEW = {"cachestat", "fchmodat2", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "getxattrat", "listmount", "listxattrat", "lsm_get_self_attr",
       "lsm_list_modules", "map_shadow_stack", "mseal", "removexattrat", "setxattrat", "statmount", "set_mempolicy_home_node", "process_mrelease", "quotactl_fd", "io_pgetevents_time64",
       "io_pgetevents", "clock_settime64"}
# Docker allows them since 23, because whoever may trace may do as much, and because keys guard a program from itself.
SINCE_23 = {"pkey_alloc", "pkey_free", "pkey_mprotect", "process_vm_readv", "process_vm_writev"}


def compare_profiles(who, theirs, ours):
    free, some = allowed(ours)
    their_free, their_some = allowed(theirs)
    tap.same(f"what {who} refuses, and berth does not", set(), free - their_free - NEW - SINCE_23)
    tap.same(f"what {who} refuses, and berth does not with some arguments", set(), some - their_some - their_free)
    return (their_free - free - some)


@tap.case("paths that are masked or read-only: all of podman's and of docker's")
def masked_paths(r):
    ours = own_config(r)["linux"]
    theirs = podmans_config(r)["linux"]
    tap.same("masked by podman alone", set(), set(theirs["maskedPaths"]) - set(ours["maskedPaths"]))
    tap.same("read-only by podman alone", set(), set(theirs["readonlyPaths"]) - set(ours["readonlyPaths"]) - set(ours["maskedPaths"]))
    free = own_config(r, "--privileged")["linux"]
    tap.same("privileged", ([], []), (free["maskedPaths"], free["readonlyPaths"]))


@tap.case("system calls: none that podman's profile refuses, with the preset capabilities, with all, with none")
def podmans_profile(r):
    for options in ((), ("--cap-add", "ALL"), ("--cap-drop", "ALL")):
        lost = compare_profiles("podman", podmans_config(r, *options)["linux"]["seccomp"], own_config(r, *options)["linux"]["seccomp"])
        print(f"# {' '.join(options) or 'preset'}: podman alone allows {' '.join(sorted(lost))}")


@tap.case("the same file of docker's form gives podman's filter")
def same_profile(r):
    if not os.path.exists(PROFILE):
        raise tap.Skip(f"no {PROFILE}")

    def flat(profile):
        rules = {(name, rule["action"], rule.get("errnoRet"), json.dumps(rule.get("args") or []))
                 for rule in profile["syscalls"] for name in rule["names"]}
        return profile["defaultAction"], profile.get("defaultErrnoRet"), sorted(profile.get("architectures", [])), rules

    def with_two(args):
        return [{"valueTwo": 0, **a} for a in args]

    for options in ((), ("--cap-add", "ALL"), ("--cap-drop", "ALL")):
        chosen = ("--security-opt", f"seccomp={PROFILE}", *options)
        ours, theirs = own_config(r, *chosen)["linux"]["seccomp"], podmans_config(r, *chosen)["linux"]["seccomp"]
        for profile in (ours, theirs):
            for rule in profile["syscalls"]:
                rule["args"] = with_two(rule.get("args") or [])
        tap.same(f"rules with {options}", flat(theirs), flat(ours))


@tap.case("sockets of virtual machines are refused, also by a number that the kernel cuts to theirs")
def vsock(r):
    helper = registry.TOP / "build/release/tests/lib/syscall"
    if os.uname().machine != "x86_64" or not helper.exists():
        raise tap.Skip(f"no {helper}, or its numbers are others")
    out = r.berth("run", "--rm", "-v", f"{helper}:/syscall:ro", r.box, "/syscall", "41,2", "41,16", "41,44", "41,40", f"41,{40 | 1 << 32}", f"41,{40 | 1 << 63}")
    refused = [line.split()[0] for line in out.splitlines() if line.endswith(" EPERM")]
    tap.same("refused", ["41,40", f"41,{40 | 1 << 32}", f"41,{40 | 1 << 63}"], refused)


@tap.case("docker: the same masked paths, and no system call that its profile refuses")
def dockers(r):
    if r.docker.why:
        raise tap.Skip(r.docker.why)
    more = [x for cap in ("SYS_ADMIN", "SYS_PTRACE", "SYS_TIME", "SYS_NICE", "SYSLOG") for x in ("--cap-add", cap)]
    for options in ((), more, ("--cap-drop", "ALL")):
        theirs, ours = r.docker.config(r.box, *options)["linux"], own_config(r, *options)["linux"]
        tap.same("masked by docker alone", set(), set(theirs["maskedPaths"]) - set(ours["maskedPaths"]))
        tap.same("read-only by docker alone", set(), set(theirs["readonlyPaths"]) - set(ours["readonlyPaths"]))
        lost = compare_profiles("docker", theirs["seccomp"], ours["seccomp"])
        print(f"# {' '.join(options) or 'preset'}: docker alone allows {' '.join(sorted(lost))}")
    caps = r.docker.config(r.box)["process"]["capabilities"]["bounding"]
    tap.same("capabilities", sorted(caps), sorted(own_config(r)["process"]["capabilities"]["bounding"]))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP namespaces and mounts need root")
        sys.exit(0)
    with runner.Runner() as r, a_docker(r.work / "dockerd") as r.docker:
        r.box = r.push_busybox()
        r.images = {"box": r.box, "env": r.push_busybox("env:v1", config={"Env": ["PATH=/bin", "A=image", "B=image"]}),
                    "entry": r.push_busybox("entry:v1", config={"Entrypoint": ["echo", "entry"], "Cmd": ["cmd"]})}
        places(r)
        r.podman = Podman(r.work, r.box)
        try:
            for image in r.images.values():
                r.podman.run("pull", "-q", "--tls-verify=false", image, check=not r.podman.why)
            for why in filter(None, (r.podman.why, r.docker.why)):
                print(f"# {why}: berth is looked at without it")
            tap.main(r, after_each=runner.Runner.sweep)
        finally:
            r.podman.close()
