"""Containers of `berth run` in the laboratory of netlab: berth finds the lab's plugins and configurations.

    if __name__ == "__main__":
        netrun.main()
"""
import contextlib
import json
import os
import pathlib

import netlab
import runner
import tap

del os.environ["BERTH_NETWORK"]  # in the laboratory what is preset is part of what is tested
SERVE = "while :; do nc -l -p 80 -e sh -c 'read x; echo $0 answers'; done"
WIRE, OUT = "192.0.2.1", "192.0.2.2"


def outside(lab):
    return lab.outside("outside", "wire0", f"{WIRE}/24", f"{OUT}/24")


class Bench:
    def __init__(self, lab, r):
        self.lab, self.r = lab, r
        os.environ.update(lab.env)
        self.box = r.push_busybox()
        r.berth("pull", self.box)

    def up(self, name, *options, command=SERVE):
        self.r.berth("run", "-d", "--name", name, *options, self.box, "sh", "-c", command.replace("$0", name))
        return json.loads(self.r.berth("inspect", name))[0]

    def pid(self, name):
        return json.loads(self.r.berth("inspect", name))[0]["state"]["pid"]

    def address(self, name):
        out = self.r.berth("exec", name, "ip", "-4", "-o", "addr", "show", "eth0").split()
        return out[3].split("/")[0]

    def run(self, *options):
        return self.r.berth("run", "--rm", *options[:-1], self.box, "sh", "-c", options[-1])


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def answers(netns, address, port):
    text = []

    def asked():
        text[:] = [ask_line(netns, address, port)]
        return text[0] is not None
    netlab.wait_until(f"an answer of {address}:{port}", asked)
    return text[0]


def ask_line(netns, address, port):
    with netlab.socket_in(netns) as s, contextlib.suppress(OSError):
        s.settimeout(2)
        s.connect((address, port))
        s.send(b"?\n")
        return s.recv(100).decode().strip() or None
    return None


def main():
    """Runs all cases with a Bench; each begins without containers and networks."""
    netlab.enter()
    with netlab.Lab() as the_lab, runner.Runner() as the_runner:
        def sweep(b):
            b.r.sweep()
            b.lab.sweep()
        tap.main(Bench(the_lab, the_runner), after_each=sweep)
