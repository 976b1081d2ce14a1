"""Tar archives as bytes, right or wrong in every field."""
import gzip

BLOCK = 512


def octal(n, width):
    return b"%0*o\0" % (width - 1, n)


def base256(n, width):
    return b"\x80" + n.to_bytes(width - 1, "big")


def pad(data):
    return data + b"\0" * (-len(data) % BLOCK)


def header(name, type=b"0", size=0, mode=0o644, uid=0, gid=0, mtime=1000000000, link=b"", magic=b"ustar\x0000", uname=b"",
           gname=b"", major=0, minor=0, prefix=b"", checksum=None, raw_size=None, raw_uid=None, raw_mtime=None, tail=b""):
    """One header block; raw_* replace the bytes of a field."""
    def field(value, width):
        assert len(value) <= width, (value, width)
        return value.ljust(width, b"\0")

    def encode(value):
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value

    block = b"".join([
        field(encode(name), 100), octal(mode, 8), field(raw_uid, 8) if raw_uid is not None else octal(uid, 8), octal(gid, 8),
        field(raw_size, 12) if raw_size is not None else octal(size, 12),
        field(raw_mtime, 12) if raw_mtime is not None else octal(mtime, 12), b" " * 8, type, field(encode(link), 100),
        field(magic, 8), field(uname, 32), field(gname, 32), octal(major, 8), octal(minor, 8), field(encode(prefix), 155),
        field(tail, 12)])
    assert len(block) == BLOCK
    total = sum(block) if checksum is None else checksum
    return block[:148] + b"%06o\0 " % total + block[156:]


def record(key, value):
    """One pax record with its length right."""
    body = b" " + _bytes(key) + b"=" + _bytes(value) + b"\n"
    n = len(body)
    while len(str(n)) + len(body) != n:
        n = len(str(n)) + len(body)
    return str(n).encode() + body


def _bytes(v):
    return v.encode("utf-8", "surrogateescape") if isinstance(v, str) else v


def pax(records, type=b"x"):
    """An extended header of records, a dict or the bytes themselves."""
    body = records if isinstance(records, bytes) else b"".join(record(k, v) for k, v in records.items())
    return header("PaxHeaders/x", type, len(body)) + pad(body)


def long_name(name, type=b"L"):
    body = _bytes(name) + b"\0"
    return header("././@LongLink", type, len(body)) + pad(body)


END = b"\0" * (2 * BLOCK)


def file(name, data=b"", **more):
    return header(name, b"0", len(data), **more) + pad(data)


def dir(name, mode=0o755, **more):
    return header(name if name.endswith("/") else name + "/", b"5", mode=mode, **more)


def symlink(name, target, **more):
    return header(name, b"2", link=target, mode=0o777, **more)


def hardlink(name, target, **more):
    return header(name, b"1", link=target, **more)


def device(name, type, major, minor, **more):
    return header(name, type, major=major, minor=minor, **more)


def tar(*members):
    return b"".join(members) + END


def zipped(data, level=6):
    return gzip.compress(data, level, mtime=0)
