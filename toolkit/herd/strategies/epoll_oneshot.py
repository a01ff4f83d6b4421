"""Every worker has its own epoll set with the shared socket in it, one-shot, re-armed after each event."""

from __future__ import annotations

import select

from herd.strategies._base import Prediction, Server
from herd.strategies.epoll import Epoll


class EpollOneshot(Epoll):
    """One-shot doesn't help either: each set gets its one shot."""

    name = "epoll-oneshot"
    summary = "own epoll set per worker, one-shot and re-armed, on one shared socket"
    events = select.EPOLLIN | select.EPOLLONESHOT

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """Everyone wakes."""
        return Prediction.exactly(
            float(workers),
            who="everyone, the newest registration first",
            why="EPOLLONESHOT disarms an item once its event was handed out (ep_send_events(),"
            " fs/eventpoll.c); until then it is queued as any other, not exclusive",
        )

    def ready(self, server: Server) -> None:
        """Accept a batch, then arm the item again; that tells of what is left."""
        server.drain()
        self.epoll.modify(server.listener.fileno(), self.events)
