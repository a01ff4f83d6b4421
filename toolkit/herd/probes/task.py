"""A worker as a probe is told of it."""

from __future__ import annotations

from typing import NamedTuple


class Task(NamedTuple):
    """A thread that is to be tracked.

    :param tid: thread id
    :param wait: what it is blocked in by now: its place in ``herd.probes.events.BLOCKED_IN``; 0: in nothing
    :param fd: if that is accept: the descriptor of the listening socket
    """

    tid: int
    wait: int = 0
    fd: int = 0
