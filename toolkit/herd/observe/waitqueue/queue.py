"""What a wait queue holds. Plain data: it crosses from the X-ray's process, and goes into recordings."""

from __future__ import annotations

import msgspec

from herd.observe.holders import modes

#: ``kind`` of an entry, by the function that a wakeup calls for it.
KINDS = {
    "autoremove_wake_function": "accept",  # inet_csk_wait_for_connect(), net/ipv4/inet_connection_sock.c
    "receiver_wake_function": "accept",  # __skb_wait_for_more_packets(), net/core/datagram.c: Unix-domain
    "ep_poll_callback": "epoll",  # fs/eventpoll.c
    "pollwake": "poll",  # fs/select.c: select and poll
    "io_poll_wake": "io_uring",  # io_uring/poll.c
    "io_async_wake": "io_uring",  # the same before 5.19
}
UNKNOWN = "unknown"
#: ``kind`` of an entry of an epoll set's own queue: a thread in ``epoll_wait``.
EPOLL_WAIT = "epoll_wait"


class Task(msgspec.Struct, frozen=True):
    """A thread."""

    pid: int
    tid: int
    comm: str
    sleeping: bool  #: a wakeup would succeed


class Holding(msgspec.Struct, frozen=True):
    """A process's descriptor."""

    pid: int
    comm: str
    fd: int


class EpollSet(msgspec.Struct, frozen=True):
    """An epoll set, as several entries may share it."""

    number: int  #: within one reading, from 1
    holders: list[Holding]
    waiting: list[Waiter]  #: in ``epoll_wait``, in the order in which they will wake
    polled_by: list[Waiter]  #: what polls the set itself: an outer set, select


class Waiter(msgspec.Struct, frozen=True):
    """An entry of a wait queue."""

    kind: str
    function: str
    exclusive: bool
    task: Task | None = None  #: who sleeps on it; ``None``: an epoll item, or the thread is gone
    events: int = 0  #: of an epoll item: its mask, modes included
    epoll: EpollSet | None = None  #: of an epoll item

    @property
    def modes(self) -> list[str]:
        """Of an epoll item: ``exclusive``, ``edge``, ``oneshot``; none is level-triggered."""
        return modes(self.events)

    @property
    def sleepers(self) -> list[Task]:
        """The threads behind this entry."""
        behind = [] if self.epoll is None else [*self.epoll.waiting, *self.epoll.polled_by]
        own = [] if self.task is None else [self.task]
        return own + [task for waiter in behind for task in waiter.sleepers]


class Queue(msgspec.Struct, frozen=True):
    """The wait queue of a listening socket."""

    cookie: int
    waiters: list[Waiter]
    sigio: list[int]  #: processes that get a signal (``fcntl(F_SETOWN)`` and ``O_ASYNC``)
    group: int  #: how many listeners share the address by SO_REUSEPORT; 1: it is alone
