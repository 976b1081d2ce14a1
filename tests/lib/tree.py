"""File trees as data: everything that an unpacker should get right, to be compared or watched."""
import hashlib
import os
import stat


def _xattrs(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in sorted(names)}


def _content(path, st):
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(st.st_mode):
        return st.st_rdev
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def snapshot(root, times=True, skip_xattrs=()):
    """{path: what is there}, with paths as bytes relative to root; hard links name their first path."""
    root = os.fsencode(root)
    found, first = {}, {}

    def look(path, name):
        st = os.lstat(path)
        link = None
        if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            link = first.setdefault((st.st_dev, st.st_ino), name)
        found[name] = {
            "type": stat.S_IFMT(st.st_mode), "mode": oct(stat.S_IMODE(st.st_mode)),
            "owner": (st.st_uid, st.st_gid), "mtime": st.st_mtime_ns if times else None,
            "content": _content(path, st), "link": link,
            "xattrs": {k: v for k, v in _xattrs(path).items() if k not in skip_xattrs}}
        if stat.S_ISDIR(st.st_mode):
            found[name]["content"] = None
            for child in sorted(os.listdir(path)):
                look(os.path.join(path, child), os.path.join(name, child) if name else child)

    look(root, b"")
    return found


def differences(a, b, limit=20):
    """Lines that say how two snapshots differ."""
    lines = []
    for path in sorted(a.keys() | b.keys()):
        if path not in a or path not in b:
            lines.append(f"{path!r}: only in the {'second' if path in b else 'first'}")
        elif a[path] != b[path]:
            lines += [f"{path!r}: {k}: {a[path][k]!r} and {b[path][k]!r}" for k in a[path] if a[path][k] != b[path][k]]
        if len(lines) > limit:
            return lines[:limit] + ["..."]
    return lines


def same_trees(what, a, b):
    lines = differences(a, b)
    if lines:
        raise AssertionError(f"{what} differ:\n" + "\n".join(lines))
