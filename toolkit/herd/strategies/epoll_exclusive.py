"""Own epoll set per worker, registered with ``EPOLLEXCLUSIVE`` (Linux 4.5, commit df0108c5da56)."""

from __future__ import annotations

import errno
import select
import socket

from herd.strategies._base import Prediction
from herd.strategies.epoll import Epoll


class EpollExclusive(Epoll):
    """The cure for the epoll herd, and its price: uneven shares."""

    name = "epoll-exclusive"
    summary = "own epoll set per worker with EPOLLEXCLUSIVE, on one shared socket"
    events = select.EPOLLIN | select.EPOLLEXCLUSIVE

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup, nearly always of the same worker."""
        return Prediction.exactly(
            1.0,
            who="the first registered worker that waits: very uneven when idle",
            why="ep_ptable_queue_proc() queues the item with add_wait_queue_exclusive(); it stays"
            " where it is, and ep_poll_callback() passes over a set that nobody waits on"
            " (fs/eventpoll.c)",
        )

    @classmethod
    def unavailable(cls) -> str | None:
        """Try to register a socket with EPOLLEXCLUSIVE."""
        with socket.socket() as sock, select.epoll() as epoll:
            try:
                epoll.register(sock.fileno(), cls.events)
            except OSError as error:
                return f"this kernel refuses EPOLLEXCLUSIVE: {errno.errorcode[error.errno or 0]}"
        return None
