"""A berthd whose configuration changes while it serves."""
import os
import pathlib
import shutil
import signal
import tempfile

import registry as r


class Reloading:
    """A daemon with a file of its own; set() writes it, says so, and waits until it was read."""

    def __init__(self, text, *options):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-conf-"))
        self.conf = self.work / "conf"
        self.conf.write_text(text)
        self.d = r.Daemon("--config", str(self.conf), *options)

    def __enter__(self):
        self.d.__enter__()
        return self

    def __exit__(self, *failure):
        try:
            self.d.__exit__(*failure)
        finally:
            shutil.rmtree(self.work)

    def read(self):
        before = self.d.log_text().count("ev=config.reload")
        self.d.process.send_signal(signal.SIGHUP)
        r.wait_until("the reload", lambda: self.d.log_text().count("ev=config.reload") > before)

    def set(self, text):
        """The lines about options that were written."""
        tmp = self.work / "tmp"
        tmp.write_text(text)
        os.replace(tmp, self.conf)
        at = len(self.d.log_text())
        self.read()
        return [line for line in self.d.log_text()[at:].splitlines() if " ev=config." in line]


def events(lines, event):
    return [line for line in lines if f" ev=config.{event} " in line]
