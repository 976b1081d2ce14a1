"""A disk that is as full as a test wants it."""
import errno
import os
import pathlib
import subprocess
import tempfile

import tap


class SmallDisk:
    """A file system of its own with so many bytes, mounted for the time of the block."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        if os.geteuid() != 0:
            raise tap.Skip("needs root to mount a small file system")
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="berth-full-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.path], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=True)
        self.path.rmdir()

    def leave(self, free):
        """A ballast file takes all but `free` bytes, or a few pages more: the daemon may take some meanwhile."""
        ballast = self.path / "ballast"
        for slack in range(0, 1 << 20, 16 << 10):
            ballast.unlink(missing_ok=True)
            s = os.statvfs(self.path)
            size = s.f_bavail * s.f_frsize - free - slack
            if size <= 0:
                return
            try:
                with open(ballast, "wb") as f:
                    os.posix_fallocate(f.fileno(), 0, size)
                return
            except OSError as e:
                if e.errno != errno.ENOSPC:
                    raise
        raise AssertionError("the disk fills and empties by itself")

    def release(self):
        (self.path / "ballast").unlink(missing_ok=True)
