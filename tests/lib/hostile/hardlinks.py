"""HRD: hard links."""
import os

from . import group
from .paths import has
from .symlinks import both
from .tarmaker import dir, file, hardlink, header, long_name, pad, pax, symlink, tar

case = group("HRD")


def same_file(*paths):
    def check(root, w):
        assert len({os.lstat(root / p).st_ino for p in paths}) == 1, paths
    return check


@case("reject", "to a file outside by its absolute path")
def _(w):
    return tar(pax({"linkpath": w.secret}), hardlink("stolen", "x"))


@case("reject", "to a file outside by ..")
def _(w):
    return tar(hardlink("stolen", "../../../../../../.." + w.secret))


@case("reject", "with data: it would write to what it links to")
def _(w):
    return tar(file("target", b"old"), header("l", b"1", 3, link="target") + pad(b"new"))


@case("contain", "to a link to outside, then a file over it")
def _(w):
    return tar(pax({"linkpath": w.secret}), symlink("s", "x"), hardlink("h", "s"), file("h", b"overwritten"))


@case("contain", "through a link to a directory outside")
def _(w):
    return tar(pax({"linkpath": w.canary}), symlink("out", "x"), hardlink("stolen", "out/secret"), file("stolen", b"overwritten"))


@case("reject", "relative to the working directory")
def _(w):
    return tar(hardlink("stolen", "in-cwd"))


@case("reject", "to itself, and there is nothing")
def _(w):
    return tar(hardlink("a", "a"))


@case("reject", "to what comes later")
def _(w):
    return tar(hardlink("a", "b"), file("b", b"x"))


@case("reject", "to a directory")
def _(w):
    return tar(dir("d"), hardlink("l", "d"))


@case("reject", "to the root")
def _(w):
    return tar(hardlink("l", "./"))


@case("reject", "two that are each other's target")
def _(w):
    return tar(hardlink("a", "b"), hardlink("b", "a"))


@case("reject", "GNU long link name with ..")
def _(w):
    return tar(file("t", b"x"), long_name("../../../../../.." + w.secret, b"K"), hardlink("l", "t"))


@case("accept", "an absolute target is inside", check=both(same_file("usr/bin/a", "usr/bin/b"), has("usr/bin/b")))
def _(w):
    return tar(dir("usr"), dir("usr/bin"), file("usr/bin/a", b"x"), hardlink("usr/bin/b", "/usr/bin/a"))


@case("accept", "to a file of a lower layer", check=same_file("a", "b"))
def _(w):
    return [tar(file("a", b"x")), tar(hardlink("b", "a"))]


@case("accept", "to a link: both are the link", check=lambda root, w: (same_file("s", "h")(root, w), os.readlink(root / "h")))
def _(w):
    return tar(symlink("s", "nowhere"), hardlink("h", "s"))


@case("accept", "the same member twice, as tar -c a a writes it", check=both(same_file("a", "b"), has("a")))
def _(w):
    return tar(file("a", b"x"), hardlink("a", "a"), hardlink("b", "./a"), hardlink("b", "b"))


@case("accept", "through merged /usr, and over a file that was there", check=both(same_file("usr/lib/a", "usr/lib/b"), has("lib/b")))
def _(w):
    return tar(dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), file("usr/lib/a", b"x"), file("usr/lib/b", b"old"),
               hardlink("lib/b", "lib/a"))
