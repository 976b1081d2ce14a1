"""Network plugins that stop where a test says, so that what is killed there is killed at that step and not by luck.

    stops = Stops(lab)              # lab.env points to wrappers around all plugins
    stops.arm("ADD-bridge-before")  # COMMAND-PLUGIN-before or -after
    ...                             # something runs the plugin
    pid = stops.reached(alive)      # of the wrapper that waits
    stops.let_go()
"""
import os
import subprocess

import netlab

CHAIN = ("bridge", "host-local", "portmap", "firewall", "tuning")
STEPS = [f"{command}-{plugin}-{when}" for command in ("ADD", "DEL") for plugin in CHAIN for when in ("before", "after")]

# Says where it is and who it is, and waits until somebody opens the other end.
WRAPPER = """#!/bin/sh
stop() {{
	[ -e {work}/stop-$1 ] || return
	rm {work}/stop-$1
	echo $$ >{work}/at.new
	mv {work}/at.new {work}/at
	read _ <{work}/go
}}
name=${{0##*/}}
stop $CNI_COMMAND-$name-before
{real}/$name
status=$?
stop $CNI_COMMAND-$name-after
exit $status
"""


class Stops:
    def __init__(self, lab, plugins="go"):
        self.work = lab.work
        wrapped, real = lab.work / "wrapped", netlab.PLUGINS[plugins]
        wrapped.mkdir()
        os.mkfifo(lab.work / "go")
        self.go = os.open(lab.work / "go", os.O_RDWR)
        for name in os.listdir(real):
            (wrapped / name).write_text(WRAPPER.format(work=lab.work, real=real))
            (wrapped / name).chmod(0o755)
        self.path = str(wrapped)
        lab.env["CNI_PATH"] = self.path

    def arm(self, step):
        (self.work / f"stop-{step}").touch()
        self.step = step

    def reached(self, child: subprocess.Popen):
        """The wrapper's process; child is who must not end before."""
        at = self.work / "at"

        def there():
            if child.poll() is not None and not at.exists():
                raise AssertionError(f"{self.step}: not reached, exit status {child.returncode}")
            return at.exists()
        netlab.wait_until(self.step, there)
        plugin = int(at.read_text())
        at.unlink()
        return plugin

    def let_go(self):
        """The plugin that waits, or is about to, goes on.  The descriptor is for both ends, so the line waits as well."""
        os.write(self.go, b"\n")
