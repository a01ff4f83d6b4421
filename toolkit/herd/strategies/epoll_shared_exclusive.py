"""All workers wait on one epoll set, made before the fork, with ``EPOLLEXCLUSIVE``."""

from __future__ import annotations

import select

from herd.strategies.epoll_exclusive import EpollExclusive
from herd.strategies.epoll_shared import EpollShared


class EpollSharedExclusive(EpollShared, EpollExclusive):
    """The flag is about several sets on one socket: with one set it changes nothing."""

    name = "epoll-shared-exclusive"
    summary = "as epoll-shared, the socket registered with EPOLLEXCLUSIVE"
    events = select.EPOLLIN | select.EPOLLEXCLUSIVE
