"""Every worker has a ring of its own, with one accept in it: the kernel accepts, and says what came of it."""

from __future__ import annotations

import socket
from typing import ClassVar

from herd.families import find
from herd.strategies._base import Listen, Prediction, Server, Strategy
from herd.strategies._ring import Ring, refusal


class IoUring(Strategy):
    """One shot: an accept completes once, and is submitted anew when its connection was served."""

    name = "io-uring"
    summary = "own io_uring per worker, an accept submitted anew for each connection"
    accept_by: ClassVar[str] = "io_uring_prep_accept"  #: of liburing

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup, of each in turn, as with accept(2)."""
        return Prediction.exactly(
            1.0,
            who="in turn (FIFO): even shares",
            why="an accept that finds nothing arms a poll with EPOLLEXCLUSIVE (poll_exclusive of"
            " IORING_OP_ACCEPT, io_uring/opdef.c), and __io_queue_proc() (io_uring/poll.c) queues that with"
            " add_wait_queue_exclusive(), at the tail; io_poll_wake() unqueues a one-shot poll, so who was"
            " served queues behind the others",
        )

    @classmethod
    def unavailable(cls) -> str | None:
        """Try to leave an accept to a ring."""
        return refusal(cls.accept_by)

    def why_not_threads(self) -> str | None:
        """Tried: all threads stand still as one waits."""
        return "Python's liburing keeps the interpreter's lock (the GIL) while it waits"

    def open(self, listen: Listen) -> socket.socket:
        """Listen. liburing is imported here: before the fork, and only if it is used."""
        import liburing

        self.liburing = liburing
        return super().open(listen)

    def prepare(self, server: Server) -> None:
        """A ring of this worker's own."""
        self.ring = Ring(self.liburing, self.accept_by)

    def serve(self, server: Server) -> None:
        """Wait, serve what was accepted, wait again."""
        listener = server.listener.fileno()
        while True:
            self.ring.wait(listener, server.timeout())
            server.drain(lambda: self.take(server))
            server.close_due()

    def take(self, server: Server) -> socket.socket | None:
        """A connection that the kernel accepted; in a batch, beyond the first, a new accept has to ask."""
        self.ring.submit(server.listener.fileno())
        try:
            descriptor = self.ring.accepted()
            if descriptor is None:
                return None
            connection = socket.socket(find(server.listen.family).number, fileno=descriptor)
            server.accepted(connection.getpeername())
        except OSError:
            server.failed()
            return None
        return connection
