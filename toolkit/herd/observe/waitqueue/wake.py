"""Whom a connection wakes, computed as the kernel does it: ``__wake_up_common()``, kernel/sched/wait.c."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from herd.observe.holders import EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT
from herd.observe.waitqueue.queue import UNKNOWN, Task, Waiter

#: include/uapi/linux/eventpoll.h
EPOLLIN: Final = 0x1
#: What sock_def_readable() announces: EPOLLIN | EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND, net/core/sock.c.
_ANNOUNCED: Final = EPOLLIN | 0x2 | 0x40 | 0x80
#: EP_PRIVATE_BITS: EPOLLWAKEUP, EPOLLONESHOT, EPOLLET, EPOLLEXCLUSIVE, fs/eventpoll.c.
_PRIVATE: Final = 1 << 29 | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE


def who_wakes(queue: Iterable[Waiter]) -> list[Task]:
    """The threads that the next arrival wakes, in order."""
    return _Wakeup().walk(queue)


def who_wakes_next(queue: Iterable[Waiter]) -> list[Task]:
    """The threads that the woken ones wake in turn, by their own ``epoll_wait``.

    A level-triggered item goes back to the ready list when it was reported, and ep_done_scan(),
    fs/eventpoll.c, then wakes the next waiter of the set.
    """
    queue = list(queue)
    wakeup = _Wakeup()
    wakeup.walk(queue)
    by_arrival = set(wakeup.woken)
    chained: list[Task] = []
    for item in queue:
        if item.epoll is None or item.events & (EPOLLET | EPOLLONESHOT):
            continue
        if any(task.tid in by_arrival for waiter in item.epoll.waiting for task in waiter.sleepers):
            chained += wakeup.walk(item.epoll.waiting)
    return chained


class _Wakeup:
    """One arrival; who it has woken sleeps no more."""

    def __init__(self) -> None:
        self.woken: dict[int, Task] = {}

    def walk(self, queue: Iterable[Waiter]) -> list[Task]:
        """Every entry, until an exclusive one succeeded (nr_exclusive is 1); returns who that woke."""
        before = len(self.woken)
        for waiter in queue:
            if self._call(waiter) and waiter.exclusive:
                break
        return list(self.woken.values())[before:]

    def _call(self, waiter: Waiter) -> bool:
        """The entry's function; whether it says that it woke somebody."""
        if waiter.kind == "epoll":
            return self._epoll(waiter)
        woke = self._try_to_wake_up(waiter.task)
        # io_poll_wake() queues work for the request's task and is content; so, we suppose, are others.
        return woke or waiter.kind in ("io_uring", UNKNOWN)

    def _epoll(self, item: Waiter) -> bool:
        """ep_poll_callback(), fs/eventpoll.c."""
        assert item.epoll is not None
        exclusive = bool(item.events & EPOLLEXCLUSIVE)
        disabled = not item.events & ~_PRIVATE  # a one-shot that has fired
        if disabled or not item.events & _ANNOUNCED:
            return not exclusive
        self.walk(item.epoll.waiting)
        self.walk(item.epoll.polled_by)
        return not exclusive or (bool(item.epoll.waiting) and bool(item.events & EPOLLIN))

    def _try_to_wake_up(self, task: Task | None) -> bool:
        if task is None or not task.sleeping or task.tid in self.woken:
            return False
        self.woken[task.tid] = task
        return True
