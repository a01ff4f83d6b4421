"""``EPOLLEXCLUSIVE`` with the order of registration reversed: the last worker registers first."""

from __future__ import annotations

from herd.strategies._base import Prediction, Server
from herd.strategies.epoll_exclusive import EpollExclusive


class EpollLate(EpollExclusive):
    """Shows that the order of registration decides, not the number or age of a worker."""

    name = "epoll-late"
    summary = "as epoll-exclusive, but each registers when it begins to wait, the last worker first"
    waits_in_reverse = True

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup, nearly always of the last worker."""
        return Prediction.exactly(
            1.0,
            who="the last worker, which registered first",
            why="add_wait_queue_exclusive() queues at the tail (kernel/sched/wait.c), and a wakeup begins"
            " at the head",
        )

    def prepare(self, server: Server) -> None:
        """Nothing yet."""
        server.listener.setblocking(False)

    def serve(self, server: Server) -> None:
        """Register now."""
        super().prepare(server)
        super().serve(server)
