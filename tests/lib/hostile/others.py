"""LIB: what is no tar archive, though a library might read it."""
import bz2
import gzip
import io
import lzma
import struct
import zipfile

from . import group
from .paths import has
from .tarmaker import END, file, tar, zipped

case = group("LIB")


@case("reject", "mtree with contents= of a file outside")
def _(w):
    return f"#mtree\n./stolen type=file mode=0644 contents={w.secret}\n".encode()


@case("reject", "mtree, gzipped")
def _(w):
    return zipped(f"#mtree\n/set type=file\nstolen contents={w.secret}\n".encode())


@case("reject", "cpio, new ASCII form")
def _(w):
    def entry(name, data, mode=0o100644):
        head = b"070701" + b"".join(b"%08x" % x for x in (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        body = head + name + b"\0"
        body += b"\0" * (-len(body) % 4) + data
        return body + b"\0" * (-len(data) % 4)
    return entry(b"planted", b"x") + entry(b"TRAILER!!!", b"", 0)


@case("reject", "cpio, old ASCII form, gzipped")
def _(w):
    return zipped(b"070707" + b"0" * 70 + b"x" * 200)


@case("reject", "zip")
def _(w):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("planted", b"x")
    return out.getvalue()


@case("reject", "ar")
def _(w):
    return b"!<arch>\n" + b"planted/        0           0     0     100644  1         `\nx\n"


@case("reject", "warc")
def _(w):
    return b"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: file:///planted\r\nContent-Length: 1\r\n\r\nx\r\n\r\n"


@case("reject", "ISO 9660")
def _(w):
    return bytes(32768) + b"\x01CD001\x01" + bytes(2041)


@case("reject", "7zip and RAR magic")
def _(w):
    return b"7z\xbc\xaf\x27\x1c" + bytes(1000)


@case("reject", "lrzip, grzip and lzop, which libarchive hands to programs")
def _(w):
    return b"LRZI\x00\x06" + bytes(1000)


@case("reject", "uuencoded tar")
def _(w):
    import binascii
    data = tar(file("planted", b"x"))
    return b"begin 644 a.tar\n" + b"".join(binascii.b2a_uu(data[i:i + 45]) for i in range(0, len(data), 45)) + b"`\nend\n"


@case("reject", "gzip in gzip")
def _(w):
    return zipped(zipped(tar(file("planted", b"x"))))


@case("reject", "gzip three times")
def _(w):
    return zipped(zipped(zipped(tar(file("planted", b"x")))))


@case("reject", "xz and bzip2, which are no compressions of layers")
def _(w):
    return lzma.compress(tar(file("planted", b"x")))


@case("reject", "bzip2")
def _(w):
    return bz2.compress(tar(file("planted", b"x")))


@case("accept", "a tar archive whose file is one as well is not unpacked twice", check=lambda root, w: has("inner.tar", tar(file("planted", b"x")))(root, w))
def _(w):
    return gzip.compress(tar(file("inner.tar", tar(file("planted", b"x")))))


@case("reject", "squashfs")
def _(w):
    return b"hsqs" + struct.pack("<I", 1) + bytes(4088)


@case("accept", "a self-extracting look: the first member is a script", check=has("#!", b"#!/bin/sh\n"))
def _(w):
    return file("#!", b"#!/bin/sh\n") + END
