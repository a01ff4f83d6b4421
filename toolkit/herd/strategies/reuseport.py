"""Every worker has a listening socket of its own on the same port, by ``SO_REUSEPORT``."""

from __future__ import annotations

import socket

from herd.strategies._base import Listen, Prediction, Server, Strategy


class Reuseport(Strategy):
    """Many queues: the kernel chooses the socket by a hash of the four-tuple (Linux 3.9)."""

    name = "reuseport"
    summary = "own listening socket per worker on one port (SO_REUSEPORT), blocking accept"
    blocks_in_accept = True

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup: each queue has one waiter."""
        return Prediction.exactly(
            1.0,
            who="by hash of the four-tuple: even in the long run only",
            why="reuseport_select_sock() picks one socket of the group by hash"
            " (net/core/sock_reuseport.c), and only its owner waits on it",
        )

    @classmethod
    def unsuited(cls, family: str) -> str | None:
        """Unix sockets share no address, whatever the option says."""
        if family != "unix":
            return None
        return (
            "a name has one socket, whatever SO_REUSEPORT says (unix_bind_abstract(), net/unix/af_unix.c);"
            " newer kernels refuse the option (sk_setsockopt(), net/core/sock.c)"
        )

    def open(self, listen: Listen) -> socket.socket:
        """Hold the port, without listening, so that the workers can join it."""
        if listen.port:
            # SO_REUSEPORT would silently share a stranger's port: be refused first, without it.
            listen.bound().close()
        return listen.bound(reuseport=True)

    def prepare(self, server: Server) -> None:
        """Listen on a socket of this worker's own, and leave the parent's; of threads the first closes it."""
        server.listener.close()
        server.listener = server.listen.listening(reuseport=True)

    def serve(self, server: Server) -> None:
        """Accept forever."""
        while True:
            server.accept()
