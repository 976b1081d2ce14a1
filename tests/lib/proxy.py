"""Places in front of a registry of a test's own: one that holds bytes back, and one that wants a password."""
import base64
import http.client
import http.server
import socket
import struct
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


class Front:
    """Passes requests on to a registry.  before(handler) sees each one first, and returns true if it has answered it.

    asked has (method, path, headers) of all.  ssl_context: speaks TLS with it.
    """

    def __init__(self, daemon, before=lambda handler: False, ssl_context=None):
        self.daemon, self.asked = daemon, []
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", **fields):
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                return True

            def ask(self):
                """What the registry answers: status, [(name, value)], body."""
                c = http.client.HTTPConnection(daemon.host, daemon.port)
                keep = {k: v for k, v in self.headers.items() if k.lower() not in front.stripped}
                c.request(self.command, self.path, self.body, keep)
                a = c.getresponse()
                data = a.read()
                c.close()
                return a.status, a.getheaders(), data

            def cut(self):
                """Ends the connection in the middle of whatever is being sent."""
                self.close_connection = True
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return True

            def _pass_on(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                front.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                if before(self):
                    return
                status, fields, data = self.ask()
                self.send_response(status)
                length = str(len(data))
                for k, v in fields:
                    if k.lower() == "content-length":
                        length = v
                    elif k.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(k, v)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

        self.stripped = ("host",)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients that go away
        if ssl_context:
            self.server.socket = ssl_context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def of(self, method, part):
        """Headers of the requests with this method and this part of a path."""
        return [headers for m, path, headers in self.asked if m == method and part in path]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Password(Front):
    """A registry that asks for user and password (Basic) before it passes anything on."""

    def __init__(self, daemon, user, password):
        want = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

        def check(handler):
            return handler.headers.get("Authorization") != want and handler.answer(401, WWW_Authenticate='Basic realm="here"')

        super().__init__(daemon, check)
        self.stripped = ("host", "authorization")
