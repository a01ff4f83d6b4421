"""A server that is not herd's: ``stranger.py MODE WORKERS PORT``, run by any Python.

MODE is ``accept``, ``epoll``, ``thread`` (accepting threads), ``fork`` (a child for each connection) or
``nameless`` (accepts that ask for no address) or ``shy`` (the same, but for each worker's first twenty).
"""

import ctypes
import itertools
import os
import select
import signal
import socket
import sys
import threading
import time


def nameless(listener: socket.socket) -> socket.socket:
    """Accept without asking who it is, as libuv does."""
    return socket.socket(fileno=ctypes.CDLL(None).accept(listener.fileno(), None, None))


def serve(listener: socket.socket, mode: str) -> None:
    """One worker, for ever."""
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    named = {"nameless": 0, "shy": 20}.get(mode)
    for turn in itertools.count():
        if mode == "epoll":
            epoll.poll()
        try:
            asks = named is None or turn < named
            connection = listener.accept()[0] if asks else nameless(listener)
        except BlockingIOError:
            continue
        if mode == "fork" and os.fork():
            connection.close()
            continue
        connection.sendall(b"%d" % threading.get_native_id())
        connection.close()
        if mode == "fork":
            os._exit(0)


def main() -> None:
    """Listen, start the workers, wait."""
    mode, workers, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    listener.setblocking(mode != "epoll")
    for _ in range(workers):
        if mode == "thread":
            threading.Thread(target=serve, args=(listener, mode), daemon=True).start()
        elif os.fork() == 0:
            serve(listener, mode)
        time.sleep(0.01)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()  # until told to end


if __name__ == "__main__":
    main()
