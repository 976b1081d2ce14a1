"""CMP: gzip and zstd, whole, cut, lying and exploding."""
import struct
import zlib

from . import group
from .formats import only
from .paths import has
from .symlinks import both
from .tarmaker import END, dir, file, header, tar, zipped

case = group("CMP")
LAYER = tar(file("a", b"a" * 3000), file("b", b"b" * 3000))
WHOLE = both(has("a", b"a" * 3000), has("b", b"b" * 3000))
ZERO_64M = None


def zeros_64m():
    """A gzip member of 64 MiB of zeros: 64 kB."""
    global ZERO_64M
    if ZERO_64M is None:
        ZERO_64M = zipped(bytes(64 << 20), 9)
    return ZERO_64M


def member(deflated, data, flags=0, extra=b"", crc=None, size=None, method=8):
    """A gzip member around raw deflate data."""
    return (b"\x1f\x8b" + bytes([method, flags]) + bytes(4) + b"\0\xff" + extra + deflated +
            struct.pack("<II", zlib.crc32(data) if crc is None else crc, len(data) & 0xffffffff if size is None else size))


def deflate(data):
    c = zlib.compressobj(6, zlib.DEFLATED, -15)
    return c.compress(data) + c.flush()


@case("accept", "gzip members one after another, cut anywhere", check=WHOLE)
def _(w):
    return b"".join(zipped(LAYER[i:i + 777]) for i in range(0, len(LAYER), 777))


@case("accept", "gzip with empty members at the start, in between and at the end", check=WHOLE)
def _(w):
    return zipped(b"") + zipped(LAYER[:3000]) + zipped(b"") * 3 + zipped(LAYER[3000:]) + zipped(b"")


@case("reject", "gzip with garbage behind it")
def _(w):
    return zipped(LAYER) + b"garbage"


@case("reject", "gzip with a plain tar archive behind it")
def _(w):
    return zipped(LAYER) + tar(file("planted", b"x"))


@case("contain", "gzip with zeros behind it, as from a tape")
def _(w):
    return zipped(LAYER) + bytes(512)


@case("reject", "a wrong CRC")
def _(w):
    return member(deflate(LAYER), LAYER, crc=1)


@case("reject", "a wrong CRC in the first of two members")
def _(w):
    return member(deflate(LAYER[:3000]), LAYER[:3000], crc=1) + zipped(LAYER[3000:])


@case("reject", "a wrong length")
def _(w):
    return member(deflate(LAYER), LAYER, size=len(LAYER) + 1)


@case("reject", "cut in the trailer")
def _(w):
    return zipped(LAYER)[:-3]


@case("reject", "cut in the data")
def _(w):
    return zipped(LAYER)[:-40]


@case("reject", "cut in the header")
def _(w):
    return zipped(LAYER)[:7]


@case("reject", "cut in a second member, after the end of the archive")
def _(w):
    return zipped(LAYER) + zipped(bytes(5000))[:-9]


@case("accept", "a header with all its optional fields", check=WHOLE)
def _(w):
    extra = struct.pack("<H", 6) + b"AB\x02\0xy" + b"name\0" + b"comment\0"
    head = b"\x1f\x8b\x08\x1f" + bytes(4) + b"\0\xff" + extra
    extra += struct.pack("<H", zlib.crc32(head) & 0xffff)
    return member(deflate(LAYER), LAYER, 0x1f, extra)


@case("reject", "reserved flags")
def _(w):
    return member(deflate(LAYER), LAYER, 0xe0)


@case("reject", "a method that is not deflate")
def _(w):
    return member(deflate(LAYER), LAYER, method=9)


@case("reject", "a distance beyond the start")
def _(w):
    return member(bytes([0x4b, 0x04, 0x12, 0x00]), b"aaaa")


@case("accept", "200 MiB of zeros from 200 kB", seconds=60, disk=256 << 20,
      check=lambda root, w: (root / "zeros").stat().st_size == 200 << 20)
def _(w):
    n = 200 << 20
    return zipped(header("zeros", b"0", n)) + zeros_64m() * 3 + zipped(bytes(8 << 20)) + zipped(END)


@case("reject", "10 GiB of zeros from 10 MB", seconds=120, disk=1100 << 20)
def _(w):
    return zipped(header("zeros", b"0", (8 << 30) - 512)) + zeros_64m() * 160


@case("reject", "10 GiB behind the end of the archive", seconds=120)
def _(w):
    return zipped(LAYER) + zeros_64m() * 160


@case("accept", "1,000,000 empty deflate blocks", seconds=60, check=WHOLE)
def _(w):
    return member(b"\0\0\0\xff\xff" * 1000000 + deflate(LAYER), LAYER)


@case("accept", "1,000,000 empty members", seconds=60, check=WHOLE)
def _(w):
    return zipped(LAYER) + zipped(b"") * 1000000


def frame(data=b"", window=10, checksum=None, dictionary=None, content_size=None, rle=None):
    """A zstd frame of raw blocks, or of `rle` blocks of 128 KiB of zeros."""
    flags = (0x04 if checksum is not None else 0) | (0x03 if dictionary is not None else 0) | (0xc0 if content_size is not None else 0)
    head = b"\x28\xb5\x2f\xfd" + bytes([flags, (window - 10) << 3])
    head += struct.pack("<I", dictionary) if dictionary is not None else b""
    head += struct.pack("<Q", content_size) if content_size is not None else b""
    if rle is not None:
        one = ((128 << 10) << 3 | 2).to_bytes(3, "little") + b"\0"
        return head + one * (rle - 1) + ((128 << 10) << 3 | 3).to_bytes(3, "little") + b"\0"
    chunks = [data[i:i + 1000] for i in range(0, len(data), 1000)] or [b""]
    blocks = b"".join((len(c) << 3 | (i == len(chunks) - 1)).to_bytes(3, "little") + c for i, c in enumerate(chunks))
    return head + blocks + (checksum if checksum is not None else b"")


def skippable(data, n=0):
    return struct.pack("<II", 0x184d2a50 + n, len(data)) + data


@case("accept", "zstd frames one after another", check=WHOLE)
def _(w):
    return b"".join(frame(LAYER[i:i + 777]) for i in range(0, len(LAYER), 777))


@case("accept", "zstd with skippable frames first, in between and last", check=WHOLE)
def _(w):
    return skippable(b"x" * 1000) + frame(LAYER[:3000]) + skippable(b"", 5) + frame(LAYER[3000:]) + skippable(b"table of contents", 15)


@case("accept", "a zstd window of 128 MiB", check=WHOLE)
def _(w):
    return frame(LAYER, window=27)


@case("reject", "a zstd window of 2 GiB")
def _(w):
    return frame(LAYER, window=31)


@case("reject", "a zstd window of 1 TiB")
def _(w):
    return frame(LAYER, window=40)


@case("reject", "a zstd frame that wants a dictionary")
def _(w):
    return frame(LAYER, dictionary=77)


@case("reject", "a wrong zstd checksum")
def _(w):
    return frame(LAYER, checksum=b"\1\2\3\4")


@case("reject", "a zstd content size that lies")
def _(w):
    return frame(LAYER, content_size=len(LAYER) + 5)


@case("reject", "zstd cut in a block")
def _(w):
    return frame(LAYER)[:-5]


@case("reject", "zstd cut after the end of the archive")
def _(w):
    return frame(LAYER) + frame(b"x" * 5000)[:-10]


@case("reject", "zstd with garbage behind it")
def _(w):
    return frame(LAYER) + b"garbage!"


@case("reject", "zstd, then gzip")
def _(w):
    return frame(LAYER[:3000]) + zipped(LAYER[3000:])


@case("reject", "10 GiB of zeros from 320 kB of zstd", seconds=120, disk=1100 << 20)
def _(w):
    return frame(header("zeros", b"0", (8 << 30) - 512)) + frame(window=17, rle=81920)


@case("accept", "1,000,000 empty zstd frames", seconds=60, check=WHOLE)
def _(w):
    return frame(LAYER) + frame() * 1000000


@case("accept", "no compression, padded to a tape's record", check=only("a", "b"))
def _(w):
    return LAYER + bytes(-len(LAYER) % 10240)


@case("reject", "a gzip magic and nothing else")
def _(w):
    return b"\x1f\x8b"
