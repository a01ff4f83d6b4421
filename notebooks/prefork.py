"""A small web server: ``prefork.py shared|reuseport PORT WORKERS``; it ends when its input does."""

import http.server
import os
import signal
import socketserver
import sys


class Hello(http.server.BaseHTTPRequestHandler):
    """Answers with the worker's process id."""

    def do_GET(self) -> None:
        """Say who serves."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d\n" % os.getpid())

    def log_message(self, *what: object) -> None:
        """Say nothing on stderr."""


class Server(socketserver.TCPServer):
    """Waits in poll(2), as every server of Python's standard library does."""

    allow_reuse_address = True
    request_queue_size = 128


def listen(mode: str, port: int) -> Server:
    """A listening socket of one's own with ``reuseport``, else one to share."""
    Server.allow_reuse_port = mode == "reuseport"
    server = Server(("127.0.0.1", port), Hello)
    server.socket.setblocking(False)  # a worker that comes too late must not wait in accept
    return server


def main() -> None:
    """Listen, fork, and wait until told to end."""
    mode, port, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    shared = None if mode == "reuseport" else listen(mode, port)
    for _ in range(workers):
        if os.fork() == 0:
            (shared or listen(mode, port)).serve_forever(poll_interval=None)
    sys.stdin.read()
    os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    main()
