"""RTM: layers that are legal, and set traps for whoever runs them (their other half is in the runtime's tests)."""
import os

from . import group
from .paths import has
from .symlinks import both, link_is
from .tarmaker import device, dir, file, header, symlink, tar

case = group("RTM")

BASE = (dir("etc"), dir("bin"), dir("tmp", mode=0o1777))


@case("accept", "/dev is a link", check=link_is("dev", "/tmp"))
def _(w):
    return tar(*BASE, symlink("dev", "/tmp"))


@case("accept", "/proc and /sys are links", check=both(link_is("proc", "/etc"), link_is("sys", "proc")))
def _(w):
    return tar(*BASE, symlink("proc", "/etc"), symlink("sys", "proc"))


@case("accept", "a mount's destination is below a link", check=link_is("data", "../../../../.."))
def _(w):
    return tar(*BASE, symlink("data", "../../../../.."))


@case("accept", "a working directory through a link", check=link_is("work", "/nowhere"))
def _(w):
    return tar(*BASE, symlink("work", "/nowhere"))


@case("accept", "passwd with a user named 4294967296", check=has("etc/passwd", b"4294967296:x:0:0::/:/bin/sh\n"))
def _(w):
    return tar(*BASE, file("etc/passwd", b"4294967296:x:0:0::/:/bin/sh\n"))


@case("accept", "passwd is a link to outside, group to /dev/zero", check=both(link_is("etc/group", "/dev/zero")))
def _(w):
    return tar(*BASE, symlink("etc/passwd", "../../../../../../etc/passwd"), symlink("etc/group", "/dev/zero"))


@case("accept", "passwd is a FIFO, group a device", check=lambda root, w: os.lstat(root / "etc/passwd"))
def _(w):
    return tar(*BASE, header("etc/passwd", b"6"), device("etc/group", b"3", 1, 5))


@case("accept", "/bin/sh is /proc/self/exe", check=link_is("bin/sh", "/proc/self/exe"))
def _(w):
    return tar(*BASE, symlink("bin/sh", "/proc/self/exe"))


@case("accept", "its own libnss and nsswitch.conf", check=has("etc/nsswitch.conf", b"passwd: evil\n"))
def _(w):
    return tar(*BASE, file("etc/nsswitch.conf", b"passwd: evil\n"), dir("lib"), file("lib/libnss_evil.so.2", b"\x7fELF" + bytes(60)))


@case("accept", "files named like the runtime's own, and a group file of 8 MiB of one line",
      check=both(has(".dockerenv", b""), lambda root, w: os.stat(root / "etc/group").st_size == 8 << 20))
def _(w):
    return tar(*BASE, file(".dockerenv", b""), dir("run"), file("run/.containerenv", b"x"), file("etc/group", b"g:" + b"x" * ((8 << 20) - 2)))
