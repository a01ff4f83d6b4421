"""All workers wait on one epoll set, made before the fork; one-shot, re-armed by whoever got the event."""

from __future__ import annotations

import select

from herd.strategies._base import Prediction
from herd.strategies.epoll_oneshot import EpollOneshot
from herd.strategies.epoll_shared import EpollShared


class EpollSharedOneshot(EpollShared, EpollOneshot):
    """One set and one shot: one wakeup, and no two workers ever accept at once."""

    name = "epoll-shared-oneshot"
    summary = "one epoll set, made before the fork, for all workers; one-shot and re-armed"
    events = select.EPOLLIN | select.EPOLLONESHOT

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One: the item is disarmed until that worker has accepted."""
        return Prediction.exactly(
            1.0,
            who="the last to wait: uneven",
            why="waiters of one set are exclusive and join at the head (ep_poll()), and ep_send_events()"
            " disarms the item (fs/eventpoll.c)",
        )

    def bereaved(self) -> str | None:
        """There is one item for all, and only who got its event arms it again."""
        return "it had the event, and died before it armed the item again; try epoll-oneshot"
