"""Places in front of a registry of a test's own: one that holds bytes back, and one that wants a password."""
import base64
import http.client
import http.server
import socket
import threading


class Held:
    """Passes on to a registry, but holds back what comes after the first `after` bytes, until open_up()."""

    def __init__(self, daemon, after):
        self.daemon, self.after, self.sent = daemon, after, 0
        self.opened = threading.Event()
        self.lock = threading.Lock()

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.opened.set()
        self.listener.close()

    def open_up(self):
        self.opened.set()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((self.daemon.host, self.daemon.port))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source, sink, counts):
        try:
            while chunk := source.recv(65536):
                if counts:
                    with self.lock:
                        over = self.sent + len(chunk) > self.after
                    if over:
                        self.opened.wait()
                    with self.lock:
                        self.sent += len(chunk)
                sink.sendall(chunk)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Password:
    """A registry that asks for user and password (Basic) before it passes anything on."""

    def __init__(self, daemon, user, password):
        want = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def _pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Authorization") != want:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="here"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                c = http.client.HTTPConnection(daemon.host, daemon.port)
                keep = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "authorization")}
                c.request(self.command, self.path, body, keep)
                a = c.getresponse()
                data = a.read()
                self.send_response(a.status)
                for k, v in a.getheaders():
                    if k.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(k, v)
                self.send_header("Content-Length", a.getheader("Content-Length") or str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
                c.close()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
