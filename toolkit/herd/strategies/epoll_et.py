"""Every worker has its own epoll set, edge-triggered, with the shared socket in it."""

from __future__ import annotations

import select

from herd.strategies._base import Prediction, Server
from herd.strategies.epoll import Epoll


class EpollEt(Epoll):
    """Edge-triggered doesn't help: each set has an edge of its own."""

    name = "epoll-et"
    summary = "own epoll set per worker, edge-triggered, on one shared socket"
    events = select.EPOLLIN | select.EPOLLET

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """Everyone wakes, as with level-triggered sets."""
        return Prediction.exactly(
            float(workers),
            who="everyone, the newest registration first",
            why="EPOLLET only keeps ep_send_events() from putting the item back; it is queued as any"
            " other, not exclusive (ep_ptable_queue_proc(), fs/eventpoll.c)",
        )

    def ready(self, server: Server) -> None:
        """Accept all there is: no second event tells of what is left."""
        while server.accept():
            pass
