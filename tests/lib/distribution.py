"""CNCF distribution, version 3 or Debian's 2.8.2, on an empty directory."""
import pathlib
import shutil
import socket
import subprocess
import tempfile

import registry

CONFIG = """version: 0.1
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
V3 = registry.TOP / "build/tools/bin/registry"


def version_2():
    """Path of the program, or None."""
    return shutil.which("docker-registry")


class Distribution:
    def __init__(self, program):
        self.program = str(program)

    def __enter__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-distribution-"))
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        conf = self.work / "conf.yml"
        conf.write_text(CONFIG.format(port=self.port, data=self.work / "data"))
        self.process = subprocess.Popen([self.program, "serve", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        registry.wait_until("the registry", lambda: subprocess.run(["curl", "-s", f"http://{self.host}/v2/"],
                                                                   stdout=subprocess.DEVNULL).returncode == 0)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)
