"""A docker of one's own."""
import contextlib
import os
import shutil
import subprocess

import registry as r


@contextlib.contextmanager
def dockerd(work, under=()):
    """A docker of one's own for the programs below, started by the command `under`; yields None, or why there is none."""
    if not (shutil.which("dockerd") and shutil.which("docker")):
        yield "docker is not installed"
        return
    socket = f"unix://{work}/docker.sock"
    with open(work / "dockerd.log", "wb") as log:
        process = subprocess.Popen([*under, "dockerd", "--data-root", str(work / "data"), "--exec-root", str(work / "exec"), "-H", socket, "--pidfile",
                                    str(work / "dockerd.pid"), "--bridge=none", "--iptables=false", "--exec-opt", "native.cgroupdriver=cgroupfs"],
                                   stdout=log, stderr=log)
        os.environ["DOCKER_HOST"] = socket
        try:
            r.wait_until("dockerd", lambda: process.poll() is not None or subprocess.run(
                ["docker", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0)
            yield None if process.poll() is None else "dockerd does not start: " + (work / "dockerd.log").read_text().splitlines()[-1][:300]
        finally:
            del os.environ["DOCKER_HOST"]
            process.terminate()
            process.wait(r.WAIT_S)
