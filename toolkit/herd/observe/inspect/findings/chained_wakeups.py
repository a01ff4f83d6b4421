"""Several wait on one level-triggered epoll set: each one's epoll_wait wakes the next."""

from __future__ import annotations

from collections.abc import Iterator

from herd.observe.inspect.findings._base import Finding, named
from herd.observe.inspect.model import Group


def look(group: Group) -> Iterator[Finding]:
    """In each socket that is in a set that threads share."""
    for socket in group.sockets:
        for entry in socket.entries:
            shared = len(entry.pids) > 1 or len(entry.sleepers) > 1
            if entry.kind == "epoll" and shared and not entry.modes:
                yield Finding(
                    id="chained-wakeups",
                    address=group.name,
                    level="warning",
                    sure="certain",
                    evidence=f"one epoll set, made before the fork or shared by threads, is used by pids"
                    f" {named(entry.pids)}; the socket is in it level-triggered",
                    meaning="the first that wakes puts the socket back on the ready list, and its own"
                    " epoll_wait wakes another one, for nothing (ep_done_scan(), fs/eventpoll.c)",
                    advice="register the socket with EPOLLET and accept until EAGAIN, or with"
                    " EPOLLONESHOT; or give each worker a set of its own, with EPOLLEXCLUSIVE",
                )
