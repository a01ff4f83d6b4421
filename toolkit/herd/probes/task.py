"""A worker as a probe is told of it."""

from __future__ import annotations

from typing import NamedTuple


class Task(NamedTuple):
    """A thread that is to be tracked.

    :param tid: thread id
    :param wait: what it is blocked in by now: its place in ``herd.probes.events.BLOCKED_IN``; 0: in nothing
    :param fd: that it waits on there: of the listening socket (accept), of the set (epoll)
    """

    tid: int
    wait: int = 0
    fd: int = 0
