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
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry  # noqa: E402

TOP = registry.TOP
TOOLS = TOP / "build/tools/bin"
LOAD = TOP / "build/release/tests/bench/load"
MEMORY_SAMPLE_S = 0.02
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
        return self.start()

    def start(self):
        self.log = open(self.work / "log", "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, cwd=self.work)
        registry.wait_until(f"{self.name} listens", self.listens)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(registry.WAIT_S)
        self.log.close()

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
    """Static files below `work`/files: the limit for reading.  pair: (certificate, key), to speak TLS 1.3."""

    name = "nginx"

    def __init__(self, pair=None):
        super().__init__()
        self.tls = pair is not None
        self.pair = pair

    def command(self):
        self.files = self.work / "files"
        self.files.mkdir()
        tls = f"ssl_certificate {self.pair[0]}; ssl_certificate_key {self.pair[1]}; ssl_protocols TLSv1.3;" if self.tls else ""
        (self.work / "conf").write_text(
            f"daemon off; worker_processes 2; pid {self.work}/pid; error_log {self.work}/error.log;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/octet-stream;\n"
            f"  client_body_temp_path {self.work}; proxy_temp_path {self.work}; fastcgi_temp_path {self.work};\n"
            f"  uwsgi_temp_path {self.work}; scgi_temp_path {self.work};\n"
            f"  server {{ listen 127.0.0.1:{self.port}{' ssl' if self.tls else ''}; root {self.files}; {tls} }} }}\n")
        os.chmod(self.work, 0o755)
        return ["/usr/sbin/nginx", "-p", str(self.work), "-e", str(self.work / "error.log"), "-c", str(self.work / "conf")]


class Distribution(Server):
    """CNCF distribution v3 on its file-system driver."""

    name = "distribution"
    program = TOOLS / "registry"

    def command(self):
        (self.work / "conf.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.work}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: 127.0.0.1:{self.port}}}\n")
        return [str(self.program), "serve", str(self.work / "conf.yml")]

    def blob_file(self, digest):
        text = digest.split(":")[1]
        return self.work / "data/docker/registry/v2/blobs/sha256" / text[:2] / text / "data"


class Distribution2(Distribution):
    """The same, version 2.8, as Debian packages it."""

    name = "docker-registry"
    program = pathlib.Path("/usr/bin/docker-registry")


# of a berthd whose garbage goes as soon as it is asked to collect
GC_AT_ONCE = ("--gc.interval=365d", "--gc.lease=0s", "--gc.untagged_keep=0s", "--gc.max_share=100", "--trash.keep=0s", "--scrub.rate=0")


def berthd(*options):
    """A berthd as the comparison wants it: durable as ever, without an access log, as its peers."""
    return registry.Daemon("--log.access=false", *options)


def url(server, path):
    return f"http{'s' if getattr(server, 'tls', None) or getattr(server, 'ssl', None) else ''}://{server.host}:{server.port}{path}"


def processes(server):
    """Ids of a server's processes: workers have their parent's work to do."""
    own = server.process.pid
    return [own, *map(int, open(f"/proc/{own}/task/{own}/children").read().split())]


def cpu_s(server):
    """Seconds of processors that it has used."""
    total = 0
    for pid in processes(server):
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def own_memory(server):
    """Bytes of memory of its own that it has resident."""
    return sum(registry.anonymous_memory(server, pid) for pid in processes(server))


class MemoryWatch:
    """The most memory that a server has of its own while the block runs."""

    def __init__(self, server):
        self.server, self.peak, self.stop = server, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.stop.is_set():
            try:
                self.peak = max(self.peak, own_memory(self.server))
            except (OSError, AttributeError, AssertionError):
                return  # it is being started again
            self.stop.wait(MEMORY_SAMPLE_S)

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wrk(address, connections, seconds, *headers):
    """Requests per second; an answer other than 2xx is an error."""
    text = output(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *(x for h in headers for x in ("-H", h)), address])
    if "Non-2xx" in text:
        raise AssertionError(f"wrk {address}: {text}")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", text)[1])


def load(*args):
    """The generator's line as a dict."""
    return dict(pair.split("=", 1) for pair in output(load_command(*args)).split())


def load_command(*args):
    return [str(LOAD), *map(str, args)]


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
