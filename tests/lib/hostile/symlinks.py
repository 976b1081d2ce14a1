"""SYM: symbolic links on the way to, or in the place of, what a layer writes."""
import os

from . import group
from .paths import has
from .tarmaker import dir, file, hardlink, header, pax, symlink, tar

case = group("SYM")


def link_is(path, target):
    def check(root, w):
        assert os.readlink(root / path) == target, os.readlink(root / path)
    return check


def both(*checks):
    return lambda root, w: [c(root, w) for c in checks]


def acl(user, perm):
    return b"\x02\0\0\0" + b"".join([
        b"\x01\0\x07\0\xff\xff\xff\xff", b"\x02\0" + bytes([perm, 0]) + user.to_bytes(4, "little"),
        b"\x04\0\x05\0\xff\xff\xff\xff", b"\x10\0\x07\0\xff\xff\xff\xff", b"\x20\0\x05\0\xff\xff\xff\xff"])


@case("contain", "write through an absolute link to a directory outside")
def _(w):
    return tar(pax({"linkpath": w.canary}), symlink("out", "x"), file("out/planted", b"x"))


@case("contain", "write through a relative link out of the root")
def _(w):
    return tar(symlink("out", "../../../../../../../../.." ), file("out" + w.canary + "/planted", b"x"))


@case("contain", "a file over a link to a file outside")
def _(w):
    return tar(pax({"linkpath": w.secret}), symlink("l", "x"), file("l", b"overwritten"))


@case("accept", "a file replaces a link and does not follow it", check=both(has("l", b"new"), has("target", b"old")))
def _(w):
    return tar(file("target", b"old"), symlink("l", "target"), file("l", b"new"))


@case("contain", "chmod through a link: a directory entry over a link to outside")
def _(w):
    return tar(pax({"linkpath": w.canary}), symlink("d", "x"), dir("d", mode=0o777))


@case("contain", "chown through a link in the next layer")
def _(w):
    return [tar(pax({"linkpath": w.canary}), symlink("d", "x")), tar(dir("d", uid=1234, gid=1234))]


@case("contain", "ACL through a link")
def _(w):
    return tar(pax({"linkpath": w.secret}), symlink("l", "x"),
               pax({"SCHILY.xattr.system.posix_acl_access": acl(1234, 7)}), symlink("l", w.canary[:90]))


@case("contain", "attribute through a link")
def _(w):
    return tar(pax({"linkpath": w.secret, "SCHILY.xattr.user.evil": "1", "SCHILY.xattr.trusted.evil": "1"}), symlink("l", "x"))


@case("contain", "a chain of links of which each looks harmless")
def _(w):
    return tar(symlink("a", "b"), symlink("b", "c"), pax({"linkpath": w.canary}), symlink("c", "x"), file("a/planted", b"x"))


@case("reject", "a loop of links on the way")
def _(w):
    return tar(symlink("a", "b"), symlink("b", "a"), file("a/x", b"x"))


@case("reject", "a link to itself on the way")
def _(w):
    return tar(symlink("a", "a"), file("a/x", b"x"))


@case("contain", "/proc/self/root leads to the host")
def _(w):
    return tar(symlink("p", "/proc/self/root"), file("p" + w.canary + "/planted", b"x"))


@case("contain", "/proc/self/cwd and fd")
def _(w):
    return tar(symlink("p", "/proc/self/cwd"), file("p/planted", b"x"), symlink("q", "/proc/self/fd/3"), file("q/planted", b"x"))


@case("contain", "a link in one layer, a write through it in the next")
def _(w):
    return [tar(pax({"linkpath": w.canary}), symlink("out", "x")), tar(file("out/planted", b"x"))]


@case("contain", "a directory replaced by a link between two members")
def _(w):
    return tar(dir("d"), file("d/a", b"x"), pax({"linkpath": w.canary}), symlink("d", "x"), file("d/planted", b"x"))


@case("contain", "a link whose target has .. behind another link")
def _(w):
    return tar(dir("a"), dir("a/b"), symlink("a/b/up", "../.."), symlink("out", "a/b/up/../../../../.." + w.canary[:60]),
               file("out/planted", b"x"))


@case("contain", "a hard link made through a link to outside")
def _(w):
    return tar(pax({"linkpath": w.canary}), symlink("out", "x"), hardlink("stolen", "out/secret"))


@case("contain", "times through a link: a FIFO over it")
def _(w):
    return tar(pax({"linkpath": w.secret}), symlink("l", "x"), header("l", b"6", mtime=1))


MERGED = tar(dir("usr"), dir("usr/lib"), dir("usr/bin"), symlink("lib", "usr/lib"), symlink("bin", "usr/bin"),
             file("usr/lib/libc.so", b"c"))


@case("accept", "merged /usr: lib/x goes to usr/lib, and the link survives",
      check=both(link_is("lib", "usr/lib"), has("usr/lib/x"), has("lib/libc.so", b"c")))
def _(w):
    return [MERGED, tar(file("lib/x", b"x"))]


@case("accept", "merged /usr by an absolute link, which is one inside",
      check=both(link_is("lib", "/usr/lib"), has("usr/lib/x")))
def _(w):
    return tar(dir("usr"), dir("usr/lib"), symlink("lib", "/usr/lib"), file("lib/x", b"x"))


@case("accept", "a dangling link to an absolute path is kept as it is", check=link_is("etc/mtab", "/proc/self/mounts"))
def _(w):
    return tar(dir("etc"), symlink("etc/mtab", "/proc/self/mounts"))


@case("accept", "a link that climbs above the root stays as text, and is harmless",
      check=both(link_is("up", "../../../../etc/passwd"), has("etc/passwd", b"inside")))
def _(w):
    return tar(dir("etc"), file("etc/passwd", b"inside"), symlink("up", "../../../../etc/passwd"))


@case("accept", "a write through a dangling link makes its target inside",
      check=both(link_is("var/run", "/run"), has("run/pid")))
def _(w):
    return tar(dir("var"), symlink("var/run", "/run"), file("var/run/pid", b"x"))


@case("accept", "a link with a target of 1,000 bytes, and 30 links in a row",
      check=both(link_is("long", "t" * 1000), has("end/x")))
def _(w):
    chain = [symlink(f"l{i}", f"l{i + 1}") for i in range(29)]
    return tar(pax({"linkpath": "t" * 1000}), symlink("long", "x"), dir("end"), *chain, symlink("l29", "end"), file("l0/x", b"x"))


@case("accept", "a directory entry over a link to a directory replaces it (image-spec)",
      check=lambda root, w: (_is_dir(root / "d"), has("real/keep")(root, w)))
def _(w):
    return [tar(dir("real"), file("real/keep", b"x"), symlink("d", "real")), tar(dir("d"))]


def _is_dir(path):
    assert path.is_dir() and not path.is_symlink()
