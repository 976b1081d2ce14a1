"""FMT: tar archives that are damaged, ambiguous, huge, or merely old."""
import os

from . import group
from .paths import has
from .special import node
from .symlinks import both
from .tarmaker import BLOCK, END, base256, device, dir, file, header, long_name, octal, pad, pax, record, symlink, tar
from .whiteouts import gone

case = group("FMT")
HIDDEN = tar(file("planted", b"x"))


def only(*names):
    def check(root, w):
        got = sorted(os.listdir(root))
        assert got == sorted(names), got
    return check


@case("reject", "a wrong checksum")
def _(w):
    return tar(file("a", b"x", checksum=1234))


@case("reject", "a wrong checksum in the second header")
def _(w):
    return tar(file("a", b"x"), file("b", b"x", checksum=0))


@case("accept", "a checksum of signed bytes, as old Sun tars have it", check=has(b"\xe9", b"x"))
def _(w):
    block = header(b"\xe9", b"0", 1)
    plain = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return tar(header(b"\xe9", b"0", 1, checksum=plain - 256) + pad(b"x"))


@case("reject", "cut in a header")
def _(w):
    return file("a", b"x") + header("b", b"0", 1)[:300]


@case("reject", "cut in the data")
def _(w):
    return file("a", b"x" * 5000)[:3000]


@case("reject", "cut in the padding")
def _(w):
    return file("a", b"x" * 600)[:-100]


@case("reject", "cut in an extended header")
def _(w):
    return pax({"path": "n" * 600})[:-512]


@case("accept", "no blocks of zeros at the end", check=only("a"))
def _(w):
    return file("a", b"x")


@case("accept", "one block of zeros at the end", check=only("a"))
def _(w):
    return file("a", b"x") + bytes(BLOCK)


@case("reject", "a block of zeros between two members")
def _(w):
    return file("a", b"x") + bytes(BLOCK) + file("planted", b"x") + END


@case("accept", "a second archive behind the end is not seen", check=only("a"))
def _(w):
    return tar(file("a", b"x")) + HIDDEN


@case("accept", "anything may follow the end", check=only("a"))
def _(w):
    return tar(file("a", b"x")) + bytes(9216) + b"garbage" * 1000


@case("reject", "a size of -1")
def _(w):
    return tar(header("a", b"0", raw_size=b"\xff" * 12), file("b", b"x"))


@case("reject", "a size of 2^63")
def _(w):
    return tar(header("a", b"0", raw_size=base256(1 << 63, 12)), file("b", b"x"))


@case("reject", "a size of 2^64 + 1, which a cast makes 1")
def _(w):
    return tar(header("a", b"0", raw_size=base256((1 << 64) + 1, 12)) + pad(b"x"))


@case("reject", "a size that is not octal")
def _(w):
    return tar(header("a", b"0", raw_size=b"00000000099\0") + pad(b"x"))


@case("reject", "a size of 8 GiB and no data")
def _(w):
    return tar(header("a", b"0", raw_size=b"77777777777\0"))


@case("accept", "TARmageddon: a pax size over a header's 0, and an archive in the data", check=both(only("a"), has("a", HIDDEN)))
def _(w):
    return tar(pax({"size": str(len(HIDDEN))}), header("a", b"0", 0), HIDDEN)


@case("contain", "the other way: a pax size of 0 over a header's")
def _(w):
    return tar(pax({"size": "0"}), header("a", b"0", len(HIDDEN)), HIDDEN)


@case("reject", "a pax size of a link, which readers skip or do not")
def _(w):
    return tar(pax({"size": str(len(HIDDEN))}), symlink("a", "b"), HIDDEN)


@case("reject", "a directory with a size")
def _(w):
    return tar(header("d/", b"5", len(HIDDEN)), HIDDEN)


@case("reject", "a pax size that is no number")
def _(w):
    return tar(pax({"size": "1e3"}), file("a", b"x"))


@case("reject", "a pax record longer than its header")
def _(w):
    return tar(pax(b"99 path=a\n"), file("a", b"x"))


@case("reject", "a pax record of length 0")
def _(w):
    return tar(pax(b"0 path=a\n"), file("a", b"x"))


@case("reject", "a pax record of length 2^64 + 10")
def _(w):
    return tar(pax(b"18446744073709551626 path=a\n"), file("a", b"x"))


@case("reject", "pax records without a newline, and without =")
def _(w):
    return tar(pax(b"10 path=aa"), pax(b"8 patha\n"), file("a", b"x"))


@case("reject", "an extended header of 1 GiB")
def _(w):
    return header("x", b"x", 1 << 30) + b"30 path=" + b"a" * 100000


@case("reject", "a GNU long name of 1 GiB")
def _(w):
    return header("././@LongLink", b"L", 1 << 30) + b"a" * 100000


@case("reject", "an extended header and no member")
def _(w):
    return tar(file("a", b"x"), pax({"path": "b"}))


@case("reject", "two extended headers for one member")
def _(w):
    return tar(pax({"path": "b"}), pax({"path": "c"}), file("a", b"x"))


@case("accept", "a global header with a comment, as git archive writes it", check=only("a"))
def _(w):
    return tar(pax({"comment": "8b8f1c0e"}, b"g"), file("a", b"x"))


@case("reject", "a global header with a path")
def _(w):
    return tar(pax({"path": "../escape"}, b"g"), file("a", b"x"))


@case("accept", "of one key twice, the last counts", check=only("second"))
def _(w):
    return tar(pax(record("path", "first") + record("path", "second")), file("a", b"x"))


def sparse_header(name, stored, real, pieces, more=0):
    """GNU's old form: the map is in the header."""
    sparse = b"".join(octal(at, 12) + octal(n, 12) for at, n in pieces).ljust(96, b"\0")
    block = bytearray(header(name, b"S", stored, magic=b"ustar  \0"))
    block[386:482] = sparse
    block[482] = more
    block[483:495] = octal(real, 12)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _sparse(root, w):
    data = open(root / "s", "rb").read()
    assert data == b"A" * 512 + bytes(999488) + b"B" * 512 + bytes(500000 - 512), len(data)
    assert os.stat(root / "s").st_blocks * 512 < 100000


@case("accept", "a sparse file, GNU's old form, with a hole at the end", check=_sparse)
def _(w):
    return tar(sparse_header("s", 1024, 1500000 - 512 + 512, [(0, 512), (1000000, 512), (1500000, 0)]), b"A" * 512 + b"B" * 512)


@case("accept", "a sparse file, pax form 1.0", check=_sparse)
def _(w):
    sparse_map = b"3\n0\n512\n1000000\n512\n1500000\n0\n"
    body = pad(sparse_map) + b"A" * 512 + b"B" * 512
    return tar(pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "1500000"}),
               header("GNUSparseFile.1/s", b"0", len(body)), pad(body))


@case("reject", "a sparse file of 1 PiB")
def _(w):
    return tar(pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": str(1 << 50)}),
               header("s", b"0", 512), pad(b"1\n%d\n0\n" % (1 << 50)))


@case("reject", "a sparse map with pieces that overlap")
def _(w):
    return tar(sparse_header("s", 1024, 2000, [(0, 1000), (500, 24)]), b"A" * 1024)


@case("contain", "a sparse map that ends beyond the size")
def _(w):
    return tar(sparse_header("s", 512, 100, [(1 << 32, 512)]), b"A" * 512)


@case("accept", "20,000 members", seconds=60, check=lambda root, w: only("d")(root, w) or has("d/19999", b"")(root, w))
def _(w):
    return tar(dir("d"), *(file(f"d/{i}") for i in range(20000)))


def _deep(root, w):
    fd = os.open(root, os.O_RDONLY)
    for _ in range(1000):
        down = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = down
    os.close(fd)


@case("accept", "directories 1,000 deep, and a whiteout of them in another layer", check=lambda root, w: only("e")(root, w) or _deep(root / "e", w))
def _(w):
    deep = [pax({"path": "/".join(["d"] * n)}) + dir("x") for n in range(1, 1001)]
    also = [pax({"path": "e/" + "/".join(["d"] * 1000)}) + dir("x")]
    return [tar(*deep), tar(file(".wh.d", b""), *also)]


@case("reject", "a member of an unknown type")
def _(w):
    return tar(header("a", b"Z"), file("b", b"x"))


@case("reject", "a volume label and a multi-volume piece")
def _(w):
    return tar(header("label", b"V"), header("a", b"M", 1) + pad(b"x"))


@case("accept", "Unix V7: no magic, a directory by its slash", check=both(has("d/f"), node("d", 0o040000, 0o700)))
def _(w):
    return tar(header("d/", b"\0", mode=0o700, magic=b""), header("d/f", b"\0", 1, magic=b"") + pad(b"x"))


@case("contain", "a time of 2^63 - 1 and one of 2^80")
def _(w):
    return tar(pax({"mtime": str((1 << 63) - 1)}), file("a", b"x"), pax({"mtime": str(1 << 80)}), file("b", b"x"))


@case("reject", "a pax time that is no number")
def _(w):
    return tar(pax({"mtime": "1e400"}), file("a", b"x"))


@case("accept", "an archive of nothing", check=only())
def _(w):
    return END


@case("reject", "a file of nothing")
def _(w):
    return b""


@case("accept", "mode bits beyond 07777 do not count", check=node("a", 0o100000, 0o640))
def _(w):
    return tar(header("a", b"0", 1, mode=0o100640) + pad(b"x"))


@case("accept", "a long name, a long link, and a file after them", check=both(has("n" * 200 + "/f"), gone("x")))
def _(w):
    return tar(long_name("n" * 200 + "/"), dir("x"), long_name("n" * 200 + "/l"), long_name("t" * 300, b"K"), symlink("x", "x"),
               long_name("n" * 200 + "/f"), file("x", b"x"))


@case("contain", "a device with numbers beyond what fits")
def _(w):
    return tar(device("a", b"3", 0o7777777, 0o7777777))
