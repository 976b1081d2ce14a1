"""An nginx of one's own that speaks TLS in front of a berthd, below a path or not."""
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

CONF = """
daemon off; master_process off; pid {work}/pid; error_log {work}/error.log;
events {{ }}
http {{
    log_format own "$server_protocol $connection"; access_log {work}/requests own; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/f;
    uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
    server {{
        listen 127.0.0.1:{port} ssl{http2};
        ssl_certificate {certificate}; ssl_certificate_key {key};
        client_max_body_size 0;
        location {prefix}/ {{
            proxy_pass http://{target}/;
            proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""


class Nginx:
    def __init__(self, target, pair, prefix="", port=None, http2=False):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-nginx-"))
        self.port = port or free_port()
        (self.work / "conf").write_text(CONF.format(work=self.work, port=self.port, certificate=pair[0], key=pair[1], prefix=prefix,
                                                    target=target, http2=" http2" if http2 else ""))

    def __enter__(self):
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", self.work / "conf", "-p", self.work],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", self.port)) != 0:
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError("nginx does not start: " + (self.work / "error.log").read_text()[-1000:])
            time.sleep(0.02)
        return self

    def requests(self):
        """(protocol, number of the connection) of all that were answered."""
        return [tuple(line.split()) for line in (self.work / "requests").read_text().splitlines()]

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.work, ignore_errors=True)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def is_there():
    return pathlib.Path("/usr/sbin/nginx").exists()
