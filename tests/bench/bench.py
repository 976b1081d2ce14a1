"""What the benchmarks share: servers to compare, rounds in alternation, medians, and ratios with their spread."""
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry  # noqa: E402

TOP = registry.TOP
TOOLS = TOP / "build/tools/bin"
LOAD = TOP / "build/release/tests/bench/load"
IDLE_WAIT_S = float(os.environ.get("BENCH_IDLE_WAIT_S", "120"))  # less where the machine never is


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Server:
    """A peer in a directory of its own, ended with the block."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-"))
        self.port = free_port()
        self.host = "127.0.0.1"

    def __enter__(self):
        self.log = open(self.work / "log", "wb")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, cwd=self.work)
        registry.wait_until(f"{self.name} listens", self.listens)
        return self

    def listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} does not start: {(self.work / 'log').read_text()[-2000:]}")
        with socket.socket() as s:
            return s.connect_ex((self.host, self.port)) == 0

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(registry.WAIT_S)
        self.log.close()
        shutil.rmtree(self.work, ignore_errors=True)


class Nginx(Server):
    """Static files below `work`/files: the limit for reading."""

    name = "nginx"

    def command(self):
        self.files = self.work / "files"
        self.files.mkdir()
        (self.work / "conf").write_text(
            f"daemon off; worker_processes 2; pid {self.work}/pid; error_log {self.work}/error.log;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/octet-stream;\n"
            f"  client_body_temp_path {self.work}; proxy_temp_path {self.work}; fastcgi_temp_path {self.work};\n"
            f"  uwsgi_temp_path {self.work}; scgi_temp_path {self.work};\n"
            f"  server {{ listen 127.0.0.1:{self.port}; root {self.files}; }} }}\n")
        os.chmod(self.work, 0o755)
        return ["/usr/sbin/nginx", "-p", str(self.work), "-e", str(self.work / "error.log"), "-c", str(self.work / "conf")]


class Distribution(Server):
    """CNCF distribution v3 on its file-system driver."""

    name = "distribution"

    def command(self):
        (self.work / "conf.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.work}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: 127.0.0.1:{self.port}}}\n")
        return [str(TOOLS / "registry"), "serve", str(self.work / "conf.yml")]


def berthd(*options):
    """A berthd as the comparison wants it: durable as ever, without an access log, as its peers."""
    return registry.Daemon("--log.access=false", *options)


def url(server, path):
    return f"http://{server.host}:{server.port}{path}"


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wrk(address, connections, seconds, *headers):
    """Requests per second; an answer other than 2xx is an error."""
    text = output(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *(x for h in headers for x in ("-H", h)), address])
    if "Non-2xx" in text:
        raise AssertionError(f"wrk {address}: {text}")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", text)[1])


def cpu_us(server, connections, seconds, address, *headers):
    """Microseconds of the server's processor time that a request takes, which others' work on the machine changes little."""
    def used():
        fields = open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before = used()
    return (lambda rate: (used() - before) / (rate * seconds) * 1e6)(wrk(address, connections, seconds, *headers))


def load(*args):
    """The generator's line as a dict."""
    text = output([str(LOAD), *map(str, args)])
    return dict(pair.split("=", 1) for pair in text.split())


def elapsed(command):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def busy():
    """Share of the processors' time in use over a quarter of a second."""
    def read():
        fields = [int(x) for x in open("/proc/stat").readline().split()[1:]]
        return sum(fields), fields[3] + fields[4]
    total, idle = read()
    time.sleep(0.25)
    total_now, idle_now = read()
    return 1 - (idle_now - idle) / max(total_now - total, 1)


def wait_idle(limit_s=IDLE_WAIT_S):
    """Others' work on the machine would be measured as ours."""
    end = time.monotonic() + limit_s
    while busy() > 0.1:
        if time.monotonic() > end:
            print("#   the machine is busy with something else: figures are uncertain", flush=True)
            return


def alternate(rounds, measures):
    """{name: [values]} of measures {name: function}, one after another, round by round."""
    values = {name: [] for name in measures}
    for n in range(rounds):
        for name, measure in measures.items():
            wait_idle()
            values[name].append(measure())
        print(f"#   round {n + 1}: " + ", ".join(f"{k} {v[-1]:.4g}" for k, v in values.items()), flush=True)
    return values


def median(values):
    return statistics.median(values)


def report(what, ours, theirs, goal, unit="1/s", peer="peer"):
    """One line: median of ours against theirs, with the spread of the ratio over the rounds."""
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    ratio = median(ours) / median(theirs)
    verdict = "met" if ratio >= goal else "MISSED"
    print(f"{what}: berthd {median(ours):.4g} {unit}, {peer} {median(theirs):.4g} {unit}, "
          f"ratio {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), goal {goal} {verdict}", flush=True)
    return ratio >= goal
