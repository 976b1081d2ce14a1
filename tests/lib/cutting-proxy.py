#!/usr/bin/env python3
"""A TCP proxy that cuts each connection once it has passed N bytes from the server.

usage: cutting-proxy.py HOST:PORT FILE        prints the port it listens on; N is read from FILE at each connection, empty: no cut
"""
import pathlib
import socket
import sys
import threading


def pump(source, sink, budget):
    try:
        while chunk := source.recv(65536):
            if budget is not None and len(chunk) >= budget:
                sink.sendall(chunk[:budget])
                break
            budget = None if budget is None else budget - len(chunk)
            sink.sendall(chunk)
    except OSError:
        pass
    for s in (source, sink):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    limit = pathlib.Path(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection((host, int(port)))
        text = limit.read_text().strip()
        threading.Thread(target=pump, args=(client, server, None), daemon=True).start()
        threading.Thread(target=pump, args=(server, client, int(text) if text else None), daemon=True).start()


if __name__ == "__main__":
    main()
