"""WHT: whiteouts, which delete; and what overlayfs takes for one."""
import os

from . import group
from .paths import has
from .symlinks import both
from .tarmaker import device, dir, file, hardlink, header, pad, pax, symlink, tar

case = group("WHT")


def gone(*paths):
    def check(root, w):
        for p in paths:
            assert not os.path.lexists(root / p), f"{p} is still there"
    return check


LOWER = tar(dir("d"), dir("d/sub"), file("d/a", b"a"), file("d/b", b"b"), file("d/sub/c", b"c"), file("keep", b"k"))


@case("reject", ".wh.. would delete its own directory")
def _(w):
    return [LOWER, tar(dir("d"), file("d/.wh..", b""))]


@case("reject", ".wh... would delete the directory above")
def _(w):
    return [LOWER, tar(file("d/.wh...", b""))]


@case("reject", ".wh... in the root would delete the directory above the root")
def _(w):
    return [LOWER, tar(file(".wh...", b""))]


@case("reject", ".wh. names nothing")
def _(w):
    return [LOWER, tar(file("d/.wh.", b""))]


@case("reject", ".. before a whiteout")
def _(w):
    return tar(file("../.wh.cwd", b""))


@case("contain", "a whiteout through a link to outside")
def _(w):
    return tar(pax({"linkpath": w.canary}), symlink("out", "x"), file("out/.wh.secret", b""))


@case("contain", "opaque through a link to outside")
def _(w):
    return [tar(pax({"linkpath": w.canary}), symlink("out", "x")), tar(file("out/.wh..wh..opq", b""))]


@case("contain", "a whiteout of a link to a directory outside",
      check=None)
def _(w):
    return [tar(pax({"linkpath": w.canary}), symlink("out", "x")), tar(file(".wh.out", b""))]


@case("reject", "a whiteout that is a directory")
def _(w):
    return [LOWER, tar(dir("d/.wh.a"))]


@case("reject", "a whiteout that is a link")
def _(w):
    return [LOWER, tar(symlink("d/.wh.a", "/"))]


@case("reject", "a member below a whiteout")
def _(w):
    return [LOWER, tar(file(".wh.d/x", b"x"))]


@case("reject", "a whiteout with data")
def _(w):
    return [LOWER, tar(header("d/.wh.a", b"0", 4) + pad(b"data"))]


@case("reject", "a character device 0:0, which overlayfs takes for a whiteout")
def _(w):
    return [LOWER, tar(device("keep", b"3", 0, 0))]


def _no_overlay_xattrs(root, w):
    for path in (root / "d", root / "keep"):
        found = [x for x in os.listxattr(path, follow_symlinks=False) if "overlay" in x]
        assert not found, found


@case("contain", "trusted.overlay attributes: opaque, redirect, metacopy", check=_no_overlay_xattrs)
def _(w):
    return [LOWER, tar(pax({"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.trusted.overlay.redirect": "/etc"}), dir("d"),
                       pax({"SCHILY.xattr.trusted.overlay.metacopy": ""}), file("keep", b"k"))]


@case("contain", "user.overlay attributes", check=_no_overlay_xattrs)
def _(w):
    return [LOWER, tar(pax({"SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.user.overlay.redirect": "/etc"}), dir("d"),
                       pax({"SCHILY.xattr.user.overlay.metacopy": ""}), file("keep", b"k"))]


@case("accept", "a file, a directory and what is not there", check=both(gone("d", "keep"), has("new")))
def _(w):
    return [LOWER, tar(file(".wh.d", b""), file(".wh.keep", b""), file(".wh.never", b""), file("no/such/.wh.dir", b""), file("new", b"x"))]


@case("accept", "opaque hides what is below, and what the layer itself brings stays, whatever the order",
      check=both(gone("d/a", "d/b", "d/sub/c"), has("d/new1"), has("d/new2"), has("d/sub/new3"), has("keep", b"k")))
def _(w):
    return [LOWER, tar(dir("d"), file("d/new1", b"x"), dir("d/sub"), file("d/sub/new3", b"x"), file("d/.wh..wh..opq", b""),
                       file("d/new2", b"x"))]


@case("accept", "a whiteout before and one after what takes the name",
      check=both(gone("d/a", "d/b"), has("d/new"), lambda root, w: (has("keep", b"new")(root, w))))
def _(w):
    return [LOWER, tar(file(".wh.d", b""), dir("d"), file("d/new", b"x"), file("keep", b"new"), file(".wh.keep", b""))]


@case("accept", "a directory becomes a file, and a file a directory",
      check=both(has("d", b"file"), has("keep/inside"), gone("keep/other")))
def _(w):
    return [LOWER, tar(file("d", b"file"), dir("keep"), file("keep/inside", b"x"))]


@case("accept", "names that only look like whiteouts", check=both(has(".wh"), has("wh.a"), has("x.wh.y"), has("..wh.z")))
def _(w):
    return tar(*(file(n, b"x") for n in (".wh", "wh.a", "x.wh.y", "..wh.z")))


@case("accept", "AUFS's own records are left out", check=both(gone(".wh..wh.aufs", ".wh..wh.plnk"), has("f"), gone("d/a")))
def _(w):
    return [LOWER, tar(file(".wh..wh.aufs", b""), dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", b"x"), dir(".wh..wh.orph"),
                       hardlink("d/.wh.a", ".wh..wh.aufs"), file("f", b"x"))]


@case("accept", "opaque in the root: nothing of the layers below", check=both(gone("d", "keep"), has("only")))
def _(w):
    return [LOWER, tar(file("only", b"x"), file(".wh..wh..opq", b""))]


@case("accept", "a whiteout in a directory reached by a link", check=both(gone("real/x"), has("real/y")))
def _(w):
    return [tar(dir("real"), file("real/x", b"x"), file("real/y", b"x"), symlink("l", "real")), tar(file("l/.wh.x", b""))]
