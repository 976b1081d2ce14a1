"""PATH: names that lead elsewhere, or are merely strange."""
import os
import stat

from . import group
from .tarmaker import dir, file, header, long_name, pad, pax, symlink, tar

case = group("PATH")


def has(path, data=b"x"):
    def check(root, where):
        got = (root / path).read_bytes() if isinstance(path, str) else open(os.path.join(bytes(root), path), "rb").read()
        assert got == data, f"{path}: {got[:40]!r}"
    return check


@case("reject", "../ before a name")
def _(w):
    return tar(file("../escape", b"x"))


@case("reject", "many ../ and an absolute goal")
def _(w):
    return tar(long_name("../../../../../../../.." + w.canary + "/planted"), file("x", b"x"))


@case("reject", ".. in the middle, which would stay inside")
def _(w):
    return tar(dir("a"), file("a/../../escape", b"x"))


@case("reject", "a directory named ..")
def _(w):
    return tar(dir("..", mode=0o777))


@case("accept", "an absolute name is relative to the root", check=has("etc/absolute"))
def _(w):
    return tar(file("/etc/absolute", b"x"))


@case("contain", "an absolute name that exists outside")
def _(w):
    return tar(long_name(w.secret), file("x", b"x"))


@case("accept", "several slashes, dots and a trailing one", check=has("a/b/c"))
def _(w):
    return tar(dir(".//a/./b//"), file("././a//b/./c", b"x"))


@case("reject", "pax path with ../ over a harmless name")
def _(w):
    return tar(pax({"path": "../escape"}), file("harmless", b"x"))


@case("reject", "GNU long name with ../ over a harmless name")
def _(w):
    return tar(long_name("a/../../escape"), file("harmless", b"x"))


@case("accept", "pax path beats the GNU long name and the header's", check=has("by-pax"))
def _(w):
    return tar(pax({"path": "by-pax"}), file("by-header", b"x"))


@case("reject", "a NUL in a pax path")
def _(w):
    return tar(pax({"path": b"safe\0/../../escape"}), file("harmless", b"x"))


@case("reject", "a NUL in a pax linkpath")
def _(w):
    return tar(pax({"linkpath": b"safe\0/../.."}), symlink("harmless", "x"))


@case("reject", "an empty name")
def _(w):
    return tar(header("", b"0"))


@case("reject", "a symlink in the place of the root")
def _(w):
    return tar(symlink(".", w.canary[:90]), file("planted", b"x"))


@case("reject", "a file in the place of the root")
def _(w):
    return tar(header(".", b"0", 1) + pad(b"x"))


@case("reject", "../ in the prefix field")
def _(w):
    return tar(file("escape", b"x", prefix="../.."))


@case("accept", "prefix and name make one path", check=has("d" * 120 + "/" + "n" * 90))
def _(w):
    return tar(file("n" * 90, b"x", prefix="d" * 120))


@case("accept", "control characters and high bytes are names like others",
      check=lambda root, w: [has(n)(root, w) for n in (b"new\nline", b"esc\x1b[31m", b"lat\xe9in", b"back\\slash")])
def _(w):
    return tar(*(file(n, b"x") for n in (b"new\nline", b"esc\x1b[31m", b"lat\xe9in", b"back\\slash")))


@case("accept", "a name of 255 bytes", check=has("n" * 255))
def _(w):
    return tar(pax({"path": "n" * 255}), file("short", b"x"))


@case("reject", "a name of 256 bytes")
def _(w):
    return tar(pax({"path": "n" * 256}), file("short", b"x"))


@case("reject", "a path of 6,000 bytes")
def _(w):
    return tar(pax({"path": "/".join(["d" * 99] * 60)}), file("short", b"x"))


def _two_forms(root, w):
    names = sorted(os.listdir(bytes(root)))
    assert names == [b"e\xcc\x81", b"\xc3\xa9"], names


@case("accept", "two spellings of one letter in Unicode are two names", check=_two_forms)
def _(w):
    return tar(pax({"path": b"e\xcc\x81"}), file("one", b"1"), pax({"path": b"\xc3\xa9"}), file("two", b"2"))


def _is_root_mode(root, w):
    assert stat.S_IMODE(os.stat(root).st_mode) == 0o711


@case("accept", "the root's own mode", check=_is_root_mode)
def _(w):
    return tar(dir("./", mode=0o711), file("a", b"x"))
