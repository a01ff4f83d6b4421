"""All workers wait on one epoll set, made before the fork; level-triggered."""

from __future__ import annotations

import select
import socket

from herd.strategies._base import Listen, Prediction, Server
from herd.strategies.epoll import Epoll


class EpollShared(Epoll):
    """One set: its own waiters are exclusive, but a level-triggered event wakes a second one."""

    name = "epoll-shared"
    summary = "one epoll set, made before the fork, for all workers; level-triggered"

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One by the arrival, and those by the worker that it woke."""
        expected = float(min(workers, 2))
        return Prediction(
            expected * 0.98,
            expected,
            workers * 1.02,
            who="the last to wait, which wakes the last but one, and so on until one has accepted",
            why="waiters of one set are exclusive and join at the head (ep_poll()); but a level-triggered"
            " item goes back on the ready list, and ep_done_scan() then wakes one more (fs/eventpoll.c),"
            " which finds the connection taken, or if not, wakes a third: two where the first is"
            " quick, more on a busy machine",
        )

    def open(self, listen: Listen) -> socket.socket:
        """Listen, and put the socket into the set that all will inherit."""
        listener = super().open(listen)
        listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(listener.fileno(), self.events)
        return listener

    def prepare(self, server: Server) -> None:
        """All is inherited."""
