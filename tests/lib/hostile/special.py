"""SPC: devices, privileges, attributes, owners."""
import os
import stat
import struct

from . import group
from .paths import has
from .symlinks import acl, both
from .tarmaker import base256, device, dir, file, header, pax, tar

case = group("SPC")


def node(path, kind, mode=None, rdev=None, owner=None):
    def check(root, w):
        st = os.lstat(root / path)
        assert stat.S_IFMT(st.st_mode) == kind, oct(st.st_mode)
        assert mode is None or stat.S_IMODE(st.st_mode) == mode, oct(st.st_mode)
        assert rdev is None or st.st_rdev == os.makedev(*rdev), st.st_rdev
        assert owner is None or (st.st_uid, st.st_gid) == owner, (st.st_uid, st.st_gid)
    return check


def xattr(path, name, value):
    def check(root, w):
        got = os.getxattr(root / path, name, follow_symlinks=False) if name in os.listxattr(root / path, follow_symlinks=False) else None
        assert got == value, f"{name}: {got!r}"
    return check


CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # v2, effective: CAP_NET_BIND_SERVICE


@case("accept", "devices with their numbers", check=both(node("null", stat.S_IFCHR, 0o666, (1, 3)), node("disk", stat.S_IFBLK, 0o660, (8, 0), (0, 6))))
def _(w):
    return tar(device("null", b"3", 1, 3, mode=0o666), device("disk", b"4", 8, 0, mode=0o660, gid=6))


@case("accept", "a FIFO, which must not be opened", check=node("pipe", stat.S_IFIFO, 0o622))
def _(w):
    return tar(header("pipe", b"6", mode=0o622))


@case("contain", "a file over a FIFO and over a device", check=None)
def _(w):
    return tar(header("pipe", b"6"), file("pipe", b"x"), device("null", b"3", 1, 3), file("null", b"x"))


@case("accept", "set-id and sticky bits", check=both(node("su", stat.S_IFREG, 0o4755), node("sg", stat.S_IFREG, 0o2711, owner=(1, 2)), node("t", stat.S_IFDIR, 0o1777), node("gd", stat.S_IFDIR, 0o2775, owner=(0, 5))))
def _(w):
    return tar(file("su", b"x", mode=0o4755), file("sg", b"x", mode=0o2711, uid=1, gid=2), dir("t", mode=0o1777), dir("gd", mode=0o2775, gid=5),
               file("gd/f", b"x"))


@case("accept", "what is made in a set-gid directory has the group of its member", check=node("gd/f", stat.S_IFREG, 0o644, owner=(0, 0)))
def _(w):
    return tar(dir("gd", mode=0o2775, gid=5), file("gd/f", b"x"))


@case("accept", "file capabilities outlast owner and data", check=xattr("ping", "security.capability", CAPABILITY))
def _(w):
    return tar(pax({"SCHILY.xattr.security.capability": CAPABILITY}), file("ping", b"x" * 5000, uid=7, gid=7, mode=0o755))


@case("contain", "capabilities that are none", check=None)
def _(w):
    return tar(pax({"SCHILY.xattr.security.capability": b"\xff" * 64}), file("ping", b"x"))


@case("accept", "IMA, EVM and SELinux attributes are the host's, and are left out",
      check=both(xattr("f", "security.ima", None), xattr("f", "security.selinux", None), xattr("f", "user.ok", b"1")))
def _(w):
    return tar(pax({"SCHILY.xattr.security.ima": b"\x03\x02", "SCHILY.xattr.security.evm": b"\x02", "SCHILY.xattr.security.selinux": "system_u:object_r:shadow_t:s0",
                    "SCHILY.xattr.user.ok": "1"}), file("f", b"x"))


@case("reject", "an attribute of 1 MB less a few bytes")
def _(w):
    return tar(pax({"SCHILY.xattr.user.big": b"x" * 1000000}), file("f", b"x"))


@case("reject", "an attribute larger than the kernel takes")
def _(w):
    return tar(pax({"SCHILY.xattr.user.big": b"x" * 70000}), file("f", b"x"))


@case("contain", "2,000 attributes", check=None)
def _(w):
    return tar(pax({f"SCHILY.xattr.user.a{i}": "v" for i in range(2000)}), file("f", b"x"))


@case("accept", "binary attributes with NULs, and an empty one", check=both(xattr("f", "user.bin", b"a\0\xff\n"), xattr("f", "user.none", b"")))
def _(w):
    return tar(pax({"SCHILY.xattr.user.bin": b"a\0\xff\n", "SCHILY.xattr.user.none": b""}), file("f", b"x"))


@case("accept", "an ACL, and what is made below a default ACL does not inherit it",
      check=both(xattr("d/f", "system.posix_acl_access", None), node("d/f", stat.S_IFREG, 0o644), xattr("g", "system.posix_acl_access", acl(1234, 7)),
                 xattr("d/sub", "system.posix_acl_default", None)))
def _(w):
    return tar(pax({"SCHILY.xattr.system.posix_acl_default": acl(1234, 7)}), dir("d"), file("d/f", b"x"), dir("d/sub"),
               pax({"SCHILY.xattr.system.posix_acl_access": acl(1234, 7)}), file("g", b"x", mode=0o675))


@case("reject", "a uid of 2^32, which a cast makes root's")
def _(w):
    return tar(header("f", b"0", raw_uid=base256(1 << 32, 8)))


@case("reject", "a uid of -1, which chown takes for none")
def _(w):
    return tar(pax({"uid": "4294967295"}), file("f", b"x"))


@case("reject", "a negative uid")
def _(w):
    return tar(header("f", b"0", raw_uid=b"\xff" * 8))


@case("reject", "a pax uid that is no number")
def _(w):
    return tar(pax({"uid": "0x0"}), file("f", b"x"))


@case("accept", "names of owners are not looked up", check=node("f", stat.S_IFREG, owner=(4001, 4002)))
def _(w):
    return tar(file("f", b"x", uid=4001, gid=4002, uname=b"root", gname=b"root"))


@case("accept", "great ids", check=node("f", stat.S_IFREG, owner=(4294967294, 3000000000)))
def _(w):
    return tar(pax({"uid": "4294967294", "gid": "3000000000"}), file("f", b"x"))


def _mutable(root, w):
    with open(root / "f", "ab") as f:
        f.write(b"y")


@case("accept", "immutable and append-only flags are left out", check=_mutable)
def _(w):
    return tar(pax({"SCHILY.fflags": "schg,uappnd,immutable"}), file("f", b"x"))


def _times(root, w):
    assert os.stat(root / "old").st_mtime_ns == -86400 * 10**9, os.stat(root / "old").st_mtime_ns
    assert os.stat(root / "ns").st_mtime_ns == 1234567890123456789
    assert os.stat(root / "d").st_mtime_ns == 5 * 10**9
    assert os.lstat(root / "d/l").st_mtime_ns == 10**18


@case("accept", "times before 1970 and to the nanosecond, of directories and links too", check=_times)
def _(w):
    return tar(pax({"mtime": "-86400"}), file("old", b"x"), pax({"mtime": "1234567890.123456789"}), file("ns", b"x"), dir("d", mtime=5),
               header("d/l", b"2", link="x", mtime=10**9), file("d/x", b"x"))
