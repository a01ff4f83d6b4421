"""All workers wait on one epoll set, made before the fork; edge-triggered."""

from __future__ import annotations

import select

from herd.strategies._base import Prediction
from herd.strategies.epoll_et import EpollEt
from herd.strategies.epoll_shared import EpollShared


class EpollSharedEt(EpollShared, EpollEt):
    """One set and one edge: one wakeup."""

    name = "epoll-shared-et"
    summary = "one epoll set, made before the fork, for all workers; edge-triggered"
    events = select.EPOLLIN | select.EPOLLET

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One: nothing is put back on the ready list."""
        return Prediction.exactly(
            1.0,
            who="the last to wait: uneven",
            why="waiters of one set are exclusive and join at the head (ep_poll()), and an edge-triggered"
            " item is not put back by ep_send_events() (fs/eventpoll.c)",
        )
