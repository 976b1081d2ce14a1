#!/usr/bin/env python3
"""Root, mounts, devices, masks: what config.json asks for is what the container sees."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import container  # noqa: E402
import tap  # noqa: E402
from container import contains, lacks  # noqa: E402
from tap import case, same  # noqa: E402

# Fields of mountinfo by mount point: options of the mount, optional fields (propagation), type, options of the superblock.
MOUNTS = "cat /proc/self/mountinfo"


def mounts_of(text):
    found = {}
    for line in text.splitlines():
        left, right = line.split(" - ")
        f = left.split()
        found[f[4]] = {"root": f[3], "options": f[5].split(","), "optional": f[6:], "type": right.split()[0],
                       "super": right.split()[2].split(",")}
    return found


def add_mount(c, destination, source=None, type_=None, options=(), **more):
    m = {"destination": destination, "options": list(options), **more}
    if source:
        m["source"] = source
    if type_:
        m["type"] = type_
    c["mounts"].append(m)


def mount_seen(box, options, source=None, type_="bind", destination="/mnt"):
    """The line of mountinfo of one mount with these options."""
    source = source or box.work
    out = box.run(MOUNTS, lambda c: add_mount(c, destination, source, type_, options))
    return mounts_of(out)[destination]


@case("root.readonly, and writable without it")
def root_readonly(box):
    same("read-only", "no\n", box.run("touch /x 2>/dev/null && echo yes || echo no",
                                      lambda c: c["root"].update(readonly=True)))
    same("writable", "yes\n", box.run("touch /x && echo yes"))
    contains("missing", box.fails(change=lambda c: c["root"].update(path="nowhere")), "root.path", "No such file or directory")
    contains("a file", box.fails(change=lambda c: c["root"].update(path="config.json")), "root.path", "Not a directory")


@case("root.path: absolute, relative, through a link")
def root_path(box):
    same("absolute", "here\n", box.run("echo here", lambda c: c["root"].update(path=box.base)))
    link = os.path.join(box.work, "link")
    os.symlink(box.base, link)
    same("link", "here\n", box.run("echo here", lambda c: c["root"].update(path=link)))
    os.unlink(link)


@case("only the container's own mounts are left, none of the host's")
def own_mounts(box):
    points = sorted(mounts_of(box.run(MOUNTS)))
    same("mounts", ["/", "/dev", "/dev/pts", "/proc", "/sys"], points)
    assert " " not in box.run("ls /"), "files of the host"


@case("options of one mount: each sets or clears its flag")
def attributes(box):
    for option, flag in (("nosuid", "nosuid"), ("nodev", "nodev"), ("noexec", "noexec"), ("ro", "ro"),
                         ("noatime", "noatime"), ("nodiratime", "nodiratime"), ("relatime", "relatime"),
                         ("nosymfollow", "nosymfollow")):
        for how in (["bind", option], ["rbind", option]):
            assert flag in mount_seen(box, how)["options"], (how, flag)
        assert flag in mount_seen(box, [option], "tmpfs", "tmpfs")["options"], ("tmpfs", flag)
    seen = mount_seen(box, ["bind", "strictatime"])["options"]
    assert "relatime" not in seen and "noatime" not in seen, seen
    for option, flag in (("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"), ("rw", "ro"), ("atime", "noatime"),
                         ("diratime", "nodiratime"), ("symfollow", "nosymfollow")):
        seen = mount_seen(box, ["bind", flag, option])["options"]
        assert flag not in seen, ("the last one counts", flag, option, seen)
    seen = mount_seen(box, ["bind", "noatime", "norelatime"])["options"]
    assert "noatime" in seen, seen


@case("options of the superblock, data of the filesystem, and what means nothing")
def super_options(box):
    for option in ("sync", "dirsync", "lazytime"):
        assert option in mount_seen(box, [option], "tmpfs", "tmpfs")["super"], option
    for options in (["async"], ["defaults"], ["loud"], ["silent"], ["nomand"], ["nolazytime"], ["acl"], ["noacl"],
                    ["iversion"], ["noiversion"], ["mand"]):
        mount_seen(box, options, "tmpfs", "tmpfs")
    seen = mount_seen(box, ["size=64k", "mode=0711", "uid=3", "nr_inodes=77"], "tmpfs", "tmpfs")["super"]
    for data in ("size=64k", "mode=711", "uid=3", "nr_inodes=77"):
        assert data in seen, (data, seen)
    contains("bad data", box.fails(change=lambda c: add_mount(c, "/mnt", "tmpfs", "tmpfs", ["size=lots"])),
             "mount /mnt", "size")
    contains("bad filesystem", box.fails(change=lambda c: add_mount(c, "/mnt", "x", "nonesuch")), "mount /mnt",
             "No such device")


def tree(box):
    """A directory with another filesystem mounted below it."""
    top = os.path.join(box.work, "tree")
    if not os.path.exists(top):
        os.makedirs(top + "/below")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top + "/below"], check=True)
        open(top + "/below/deep", "w").close()
    return top


@case("bind takes one mount, rbind all below; recursive options reach them, others do not")
def recursive(box):
    top = tree(box)
    same("bind", "", box.run("ls /mnt/below", lambda c: add_mount(c, "/mnt", top, "bind", ["bind"])))
    same("type bind alone", "", box.run("ls /mnt/below", lambda c: add_mount(c, "/mnt", top, "bind")))
    same("options alone", "deep\n", box.run("ls /mnt/below", lambda c: add_mount(c, "/mnt", top, None, ["rbind"])))

    def below(options):
        out = mounts_of(box.run(MOUNTS, lambda c: add_mount(c, "/mnt", top, "bind", options)))
        return out["/mnt"]["options"], out["/mnt/below"]["options"]

    one, two = below(["rbind", "ro"])
    same("ro", (True, False), ("ro" in one, "ro" in two))
    for option, flag in (("rro", "ro"), ("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec"),
                         ("rnoatime", "noatime"), ("rnodiratime", "nodiratime"), ("rnosymfollow", "nosymfollow")):
        one, two = below(["rbind", option])
        same(option, (True, True), (flag in one, flag in two))
    for option, flag in (("rrw", "ro"), ("rsuid", "nosuid"), ("rdev", "nodev"), ("rexec", "noexec"), ("ratime", "noatime"),
                         ("rdiratime", "nodiratime"), ("rsymfollow", "nosymfollow")):
        one, two = below(["rbind", {"ro": "rro"}.get(flag, "r" + flag), option])
        same(option, (False, False), (flag in one, flag in two))
    one, two = below(["rbind", "rrelatime"])
    assert "relatime" in one and "relatime" in two
    one, two = below(["rbind", "rstrictatime"])
    assert "relatime" not in one and "relatime" not in two
    below(["rbind", "rnorelatime", "rnostrictatime"])


@case("propagation of each kind, and none to the host by default")
def propagation(box):
    for option, marks in (("private", ""), ("rprivate", ""), ("shared", "shared:"), ("rshared", "shared:"),
                          ("slave", "master:"), ("unbindable", "unbindable"), ("runbindable", "unbindable")):
        seen = " ".join(mount_seen(box, ["rbind", option])["optional"])
        if option == "slave":
            continue  # a slave of nobody shows nothing
        same(option, True, seen.startswith(marks) if marks else seen == "")
    source = os.path.join(box.work, "shared")
    os.mkdir(source)
    subprocess.run(["mount", "-t", "tmpfs", "--make-shared", "tmpfs", source], check=True)
    os.mkdir(source + "/sub")
    seen = mount_seen(box, ["rbind"], source)["optional"]
    same("not a peer of the host's", [], [o for o in seen if o.startswith("shared:")])
    assert [o for o in mount_seen(box, ["rbind", "rslave"], source)["optional"] if o.startswith("master:")]
    before = open("/proc/self/mountinfo").read()

    def change(c):
        add_mount(c, "/mnt", source, "bind", ["rbind", "rshared"])
        c["process"]["capabilities"] = {s: ["CAP_SYS_ADMIN"] for s in ("bounding", "permitted", "effective")}

    box.run("mount -t tmpfs inner /mnt/sub", change)
    same("the host's mounts", before, open("/proc/self/mountinfo").read())


@case("linux.rootfsPropagation: private, slave, shared, unbindable")
def rootfs_propagation(box):
    for value, marks in (("private", ""), ("rprivate", ""), ("slave", ""), ("shared", "shared:"), ("rshared", "shared:"),
                         ("unbindable", "unbindable")):
        out = mounts_of(box.run(MOUNTS, lambda c, v=value: c["linux"].update(rootfsPropagation=v)))
        same(value, True, " ".join(out["/"]["optional"]).startswith(marks))
    contains("bad", box.fails(change=lambda c: c["linux"].update(rootfsPropagation="sometimes")),
             "linux.rootfsPropagation: unknown value")


@case("rootfsPropagation shared: a mount of the host below a shared volume reaches the container")
def rootfs_shared(box):
    source = os.path.join(box.work, "volume")
    os.makedirs(source + "/in")
    subprocess.run(["mount", "-t", "tmpfs", "--make-rshared", "tmpfs", source], check=True)
    os.mkdir(source + "/in")

    def change(c):
        c["linux"]["rootfsPropagation"] = "rshared"
        add_mount(c, "/mnt", source, "bind", ["rbind", "rshared"])

    name = box.start("exec sleep 1000", change)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source + "/in"], check=True)
    open(source + "/in/file", "w").close()
    same("seen inside", "file\n", box.rt("exec", name, "ls", "/mnt/in").stdout)
    subprocess.run(["umount", source + "/in"], check=True)
    same("gone inside", "", box.rt("exec", name, "ls", "/mnt/in").stdout)


@case("bind of a file; destinations are made: directories, files, through links inside the root")
def destinations(box):
    path = os.path.join(box.work, "file")
    with open(path, "w") as f:
        f.write("content\n")
    same("file", "content\n", box.run("cat /a/b/file", lambda c: add_mount(c, "/a/b/file", path, None, ["bind", "ro"])))
    same("directory", "file\n", box.run("ls /x/y/z | grep -x file", lambda c: add_mount(c, "/x/y/z", box.work, None, ["bind"])))
    same("relative destination", "content\n", box.run("cat /rel", lambda c: add_mount(c, "rel", path, None, ["bind"])))

    def links(c):
        add_mount(c, "/l1/f", path, None, ["bind"])

    bundle = box.bundle("cat /real/f; cat /l1/f", links)
    os.symlink("/l2/./../l2", bundle + "/rootfs/l1")
    os.symlink("real", bundle + "/rootfs/l2")
    same("links", "content\ncontent\n", box.rt("run", "-b", bundle, box.id()).stdout)
    os.mkdir(bundle + "/here")
    same("relative source", "d\n", box.run("ls -d /mnt | grep -c . | sed s/1/d/", lambda c: add_mount(c, "/mnt", "rootfs", None, ["bind"])))
    contains("no source", box.fails(change=lambda c: add_mount(c, "/mnt", "/nope", None, ["bind"])), "mounts[4].source: /nope")
    contains("source unset", box.fails(change=lambda c: add_mount(c, "/mnt", None, "bind")), "mounts[4].source: is missing")


@case("mounts are made in their order: a later one lies over an earlier one")
def order(box):
    def change(c):
        add_mount(c, "/m", "tmpfs", "tmpfs")
        add_mount(c, "/m/in", box.base, None, ["rbind"])
        add_mount(c, "/m/in/tmp", "tmpfs", "tmpfs", ["mode=0700"])

    out = box.run("ls /m; ls -d /m/in/etc/passwd; stat -c %a /m/in/tmp; " + MOUNTS, change)
    contains("output", out, "in\n/m/in/etc/passwd\n700\n")
    points = [line.split()[4] for line in out.splitlines() if " - " in line]
    same("order", ["/m", "/m/in", "/m/in/tmp"], [p for p in points if p.startswith("/m")])


@case("remount changes a mount made before; a mount without type is a change as well")
def remount(box):
    def change(c):
        add_mount(c, "/m", "tmpfs", "tmpfs", ["rw"])
        add_mount(c, "/m", None, None, ["remount", "ro", "nosuid"])

    seen = mounts_of(box.run(MOUNTS, change))["/m"]["options"]
    assert "ro" in seen and "nosuid" in seen, seen


@case("tmpcopyup: the tmpfs begins with what was there; modes, owners, links, extended attributes")
def tmpcopyup(box):
    bundle = box.bundle("cd /data; find . | sort; stat -c '%a %u %g' f d; cat f; readlink l; cat d/deep; touch new",
                        lambda c: add_mount(c, "/data", "tmpfs", "tmpfs", ["tmpcopyup"]))
    data = bundle + "/rootfs/data"
    os.makedirs(data + "/d")
    for name, text in (("f", "text\n"), ("d/deep", "deep\n")):
        with open(f"{data}/{name}", "w") as f:
            f.write(text)
    os.symlink("f", data + "/l")
    os.chmod(data + "/f", 0o4750)
    os.chown(data + "/d", 5, 6)
    os.chmod(data + "/f", 0o4750)
    same("copied", ".\n./d\n./d/deep\n./f\n./l\n4750 0 0\n755 5 6\ntext\nf\ndeep\n", box.rt("run", "-b", bundle, box.id()).stdout)
    assert not os.path.exists(data + "/new"), "wrote through"
    contains("of another filesystem", box.fails(change=lambda c: add_mount(c, "/d", "proc", "proc", ["tmpcopyup"])),
             "tmpcopyup is for tmpfs")

    def ro(c):
        add_mount(c, "/etc", "tmpfs", "tmpfs", ["tmpcopyup", "ro"])

    same("read-only afterwards", "no\n", box.run("test -f /etc/passwd && touch /etc/x 2>/dev/null || echo no", ro))


@case("idmapped mounts: with maps of their own, with the user namespace's, recursive ones")
def idmap(box):
    if subprocess.run(["stat", "-f", "-c", "%T", box.work], stdout=subprocess.PIPE, text=True, check=True).stdout == "overlayfs\n":
        raise tap.Skip("the directory of the test is on overlayfs, which cannot be idmapped")
    source = os.path.join(box.work, "ids")
    os.makedirs(source)
    open(source + "/file", "w").close()
    os.chown(source + "/file", 5, 6)

    def own(c):
        add_mount(c, "/mnt", source, None, ["bind", "idmap"],
                  uidMappings=[{"containerID": 0, "hostID": 100, "size": 50}],
                  gidMappings=[{"containerID": 0, "hostID": 200, "size": 50}])

    same("mapped", "105 206\n", box.run("stat -c '%u %g' /mnt/file", own))

    def by_option(c):
        add_mount(c, "/mnt", source, None, ["rbind", "ridmap"])
        userns(c)

    same("of the user namespace", "5 6\n", box.run("stat -c '%u %g' /mnt/file", by_option))
    contains("one kind of maps", box.fails(change=lambda c: add_mount(
        c, "/mnt", source, None, ["bind"], uidMappings=[{"containerID": 0, "hostID": 1, "size": 1}])),
        "mounts[4].gidMappings: is missing")
    contains("none", box.fails(change=lambda c: add_mount(c, "/mnt", source, None, ["bind", "idmap"])),
             "mounts[4].uidMappings: is missing")
    contains("of a filesystem that cannot", box.fails(change=lambda c: add_mount(
        c, "/mnt", "/proc/sys", None, ["bind"], uidMappings=[{"containerID": 0, "hostID": 1, "size": 1}],
        gidMappings=[{"containerID": 0, "hostID": 1, "size": 1}])), "mounts[4].uidMappings: idmap /proc/sys: Invalid argument")


def userns(c):
    c["linux"]["namespaces"].append({"type": "user"})
    c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]


@case("in a user namespace that may walk neither to the root nor to the source of a mount")
def out_of_reach(box):
    source = os.path.join(box.work, "private/ids")
    os.makedirs(source)
    with open(source + "/file", "w") as f:
        f.write("seen\n")
    os.chmod(os.path.dirname(source), 0o700)

    def change(c):
        userns(c)
        add_mount(c, "/mnt", source, None, ["rbind"])

    bundle = box.bundle("cat /mnt/file; id -u; test -e /private || echo in the root", change)
    os.chmod(bundle, 0o700)
    same("output", "seen\n0\nin the root\n", box.rt("run", "--bundle", bundle, box.id()).stdout)


@case("in a user namespace: devices are bound, the host's flags stay locked, files can be bound")
def in_userns(box):
    source = os.path.join(box.work, "locked")
    os.mkdir(source)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "tmpfs", source], check=True)

    def change(c):
        userns(c)
        add_mount(c, "/mnt", source, None, ["rbind", "ro"])
        add_mount(c, "/etc/passwd", __file__, None, ["bind", "ro"])
        c["process"]["capabilities"] = {s: ["CAP_SYS_ADMIN"] for s in ("bounding", "permitted", "effective")}

    out = box.run("id -u; cat /proc/self/uid_map; echo x > /dev/null && head -c 2 /dev/zero | wc -c; ls -l /dev/null; "
                  "head -n 1 /etc/passwd; mount -o remount,bind,suid,dev,exec /mnt 2>&1; " + MOUNTS, change)
    contains("inside", out, "0\n", "100000", "2\n", "1,   3", "#!/usr/bin/env python3", "ermi")
    seen = mounts_of("\n".join(line for line in out.splitlines() if " - " in line))["/mnt"]["options"]
    for flag in ("nosuid", "nodev", "noexec"):
        assert flag in seen, seen


@case("sysfs and cgroups in a user namespace without a network namespace of its own: the host's, read-only")
def sysfs_fallback(box):
    def change(c):
        userns(c)
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"]

    out = box.run("test -d /sys/kernel && touch /sys/x 2>&1; " + MOUNTS, change)
    seen = mounts_of("\n".join(line for line in out.splitlines() if " - " in line))
    for point, m in seen.items():
        if point.startswith("/sys"):
            assert "ro" in m["options"], (point, m)


@case("type cgroup: each v1 hierarchy at the container's own group, joint ones with links, ro and rw")
def cgroup_mount(box):
    if not container.has_v1("pids"):
        raise tap.Skip("no hierarchies of version 1 here")

    def change(c, options=("ro",)):
        add_mount(c, "/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", *options])

    out = box.run("ls /sys/fs/cgroup; cat /sys/fs/cgroup/pids/cgroup.procs; touch /sys/fs/cgroup/x /sys/fs/cgroup/pids/x; "
                  "mkdir /sys/fs/cgroup/pids/y; true", change)
    contains("hierarchies", out, *(f"{name}\n" for name in ("pids", "memory", "systemd") if container.has_v1(name)))
    assert "1" in out.splitlines(), out
    lacks("writes", box.run("mkdir /sys/fs/cgroup/pids/y 2>&1", lambda c: change(c, ("rw",))), "Read-only")
    # without a cgroup namespace the group is bound

    def without(c):
        change(c)
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "cgroup"]

    same("own group only", "1\n", box.run("cat /sys/fs/cgroup/pids/cgroup.procs | head -n 1", without))


@case("default devices with number and mode; /dev/fd, stdin, stdout, stderr, ptmx")
def default_devices(box):
    out = box.run("for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a %u' /dev/$d; done; "
                  "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done")
    same("devices", "".join(f"/dev/{n} character special file {t} 666 0\n" for n, t in (
        ("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")))
        + "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n", out)


@case("linux.devices: c, b, u, p anywhere, with mode and owner; the default ones replaced; a mismatch is an error")
def devices(box):
    def change(c):
        c["linux"]["devices"] = [
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 3, "gid": 4},
            {"path": "/dev/blk", "type": "b", "major": 7, "minor": 9, "fileMode": 0o640},
            {"path": "/else/where", "type": "u", "major": 1, "minor": 5},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 9},
        ]

    same("seen", "/dev/fuse character special file a:e5 600 3:4\n/dev/blk block special file 7:9 640 0:0\n"
         "/else/where character special file 1:5 666 0:0\n/dev/pipe fifo 0:0 622 0:0\n"
         "/dev/null character special file 1:3 640 9:0\n",
         box.run("for d in /dev/fuse /dev/blk /else/where /dev/pipe /dev/null; do stat -c '%n %F %t:%T %a %u:%g' $d; done", change))

    def taken(c):
        c["linux"]["devices"] = [{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}]

    contains("mismatch", box.fails(change=taken), "make device /etc/passwd", "something else is there")
    for key, value in (("type", "x"), ("major", -1), ("path", "dev/x")):
        def bad(c, k=key, v=value):
            c["linux"]["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, k: v}]
        contains(key, box.fails(change=bad), f"linux.devices[0].{key}")


@case("a /dev of the host that is bound stays as it is")
def dev_bound(box):
    source = os.path.join(box.work, "hostdev")
    os.mkdir(source)

    def change(c):
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        add_mount(c, "//dev/.", source, None, ["rbind"])

    box.run("true", change)
    same("untouched", [], os.listdir(source))


@case("masked paths: files read as empty, directories are empty and read-only, missing ones do not matter")
def masks(box):
    def change(c):
        c["linux"]["maskedPaths"] = ["/proc/timer_list", "/etc", "/secret", "/tmp", "/nope", "/etc/passwd/x"]

    bundle = box.bundle("cat /secret; ls /etc /tmp; touch /etc/x 2>&1; stat -c %t:%T /secret /proc/timer_list; ls -d /tmp", change)
    with open(bundle + "/rootfs/secret", "w") as f:
        f.write("secret\n")
    out = box.rt("run", "-b", bundle, box.id(), rc=0).stdout
    same("output", "/etc:\n\n/tmp:\ntouch: /etc/x: Read-only file system\n1:3\n1:3\n/tmp\n", out)


@case("read-only paths: the path and what is below; missing ones do not matter")
def readonly_paths(box):
    def change(c):
        c["linux"]["readonlyPaths"] = ["/proc/sys", "/etc", "/nope"]
        add_mount(c, "/etc/below", "tmpfs", "tmpfs")

    same("output", "ro\nro\nro\n", box.run(
        "for f in /etc/x /etc/below/x; do touch $f 2>/dev/null || echo ro; done; "
        "{ echo 1 > /proc/sys/net/ipv4/ip_forward; } 2>/dev/null || echo ro", change))


@case("--no-pivot: the same container on a moved root, with nothing of the host's to be seen")
def no_pivot(box):
    out = box.run(MOUNTS + "; ls /", options=["--no-pivot"])
    lacks("host", out, box.work + " ", "lost+found\n" if os.path.exists("/lost+found") else "\0")
    contains("root", out, "bin\n", "etc\n")


@case("kernels without the new mount API, and without openat2: the same by the old calls")
def old_kernel(box):
    helper = os.path.join(container.TOP, "build/release/tests/lib/without")
    if not os.access(helper, os.X_OK):
        raise tap.Skip(f"{helper} is not built")
    top = tree(box)

    def change(c):
        add_mount(c, "/mnt", top, None, ["rbind", "ro", "rprivate"])
        add_mount(c, "/cg", "tmpfs", "tmpfs", ["ro", "size=64k"])
        c["linux"].update(maskedPaths=["/proc/timer_list", "/tmp"], readonlyPaths=["/proc/sys"])
        c["root"]["readonly"] = True

    script = ("touch /x 2>/dev/null || echo ro; touch /mnt/x 2>/dev/null || echo ro; touch /cg/x 2>/dev/null || echo ro; "
              "touch /mnt/below/x && echo below; ls /tmp; stat -c %t:%T /proc/timer_list; ls -l /dev/null | cut -c 1; "
              "{ echo 1 > /proc/sys/net/ipv4/ip_forward; } 2>/dev/null || echo ro")
    new = box.run(script, change)
    for calls in ("openat2", "fsopen,open_tree,mount_setattr,move_mount", "openat2,fsopen,open_tree,mount_setattr,move_mount,fsconfig"):
        p = subprocess.run([helper, calls, box.runtime, "--root", box.state, "run", "-b", box.bundle(script, change), box.id()],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        same(calls, (0, new), (p.returncode, p.stdout + p.stderr if p.returncode else p.stdout))


if __name__ == "__main__":
    container.need_root()
    with container.Box() as the_box:
        tap.main(the_box, after_each=container.Box.sweep)
