"""Every worker waits in ``select`` on one shared socket."""

from __future__ import annotations

import select

from herd.strategies._base import Prediction, Server, Strategy


class Select(Strategy):
    """The oldest way to wait for several descriptors, and a herd."""

    name = "select"
    summary = "select(2) on one shared socket, then accept without blocking"
    waits_on_pipes = True

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """Everyone wakes."""
        return Prediction.exactly(
            float(workers),
            who="everyone, the newest waiter first",
            why="__pollwait() queues with add_wait_queue(), at the head and not exclusive (fs/select.c);"
            " a wakeup takes them all",
        )

    def prepare(self, server: Server) -> None:
        """Somebody else may be faster: accept must not block."""
        server.listener.setblocking(False)

    def serve(self, server: Server) -> None:
        """Wait, accept a batch, wait again."""
        while True:
            if self.wait(server.listener.fileno(), server.timeout()):
                server.drain()
            server.close_due()

    def wait(self, listener: int, timeout: float | None) -> bool:
        """Whether a connection may be there."""
        return bool(select.select([listener], [], [], timeout)[0])
