"""A receiver of webhooks: a real HTTP server that keeps what it is sent, and fails, hangs or restarts on demand."""
import http.server
import json
import socketserver
import threading


class Receiver:
    """answer(n, request) -> status, or (status, headers[, body]); it may block on `gate` and raise ConnectionAbortedError to hang up."""

    def __init__(self, answer=None, port=0, ssl=None, keep=True):
        self.keep, self.count = keep, 0  # whether requests are kept; how many there were
        self.answer = answer or (lambda n, request: 200)
        self.requests = []  # all of them
        self.accepted = []  # those answered with 2xx
        self.lock = threading.Lock()
        self.closing = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, address):
                pass

            def process_request(self, request, address):
                with receiver.lock:
                    receiver.connections = [c for c in receiver.connections if c.fileno() >= 0] + [request]
                super().process_request(request, address)

        self.connections = []
        self.server = Server(("127.0.0.1", port), Handler)
        if ssl:
            self.server.socket = ssl.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if ssl else 'http'}://127.0.0.1:{self.port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        request = {"path": handler.path, "headers": dict(handler.headers.items()), "body": body, "json": json.loads(body)}
        with self.lock:
            if self.keep:
                self.requests.append(request)
            self.count += 1
            n = self.count
        answer = self.answer(n, request)
        if answer is None or self.closing.is_set():
            handler.close_connection = True
            return
        status, headers, *rest = answer if isinstance(answer, tuple) else (answer, {})
        text = rest[0] if rest else b""
        if self.keep and 200 <= status < 300:
            with self.lock:
                self.accepted.append(request)
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)

    def close(self):
        """As a killed process: connections end, the port is free."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for c in self.connections:
                try:
                    c.shutdown(2)
                except OSError:  # it is closed already
                    pass
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
