"""As nginx waits: own epoll set, with ``EPOLLEXCLUSIVE`` or under the accept mutex."""

from __future__ import annotations

import fcntl
import os
import select
import socket
from typing import Final

from herd.options import Option
from herd.strategies._base import Listen, Prediction, Server, Strategy

#: ngx_reorder_accept_events(): every so many accepts the socket is registered anew, at the tail.
_REORDER_EVERY: Final = 16
#: accept_mutex_delay: a worker that didn't get the mutex tries again after this time.
_MUTEX_DELAY_S: Final = 0.5


class NginxLike(Strategy):
    """What ``accept_mutex`` and ``multi_accept`` do, without nginx."""

    name = "nginx-like"
    summary = "as nginx: EPOLLEXCLUSIVE, registered anew every 16 accepts; or the accept mutex"
    options = (
        Option("accept-mutex", ("off", "on"), "Strategy nginx-like: one worker at a time listens."),
        Option(
            "multi-accept", ("off", "on"), "Strategy nginx-like: accept until there is no more."
        ),
    )

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup, either way."""
        return Prediction.exactly(
            1.0,
            who="runs of 16 by one worker; under the mutex, whoever has it",
            why="the item is exclusive (ep_ptable_queue_proc(), fs/eventpoll.c), and deleting and adding it"
            " queues it at the tail; under the mutex only the holder has the socket in its set",
        )

    def open(self, listen: Listen) -> socket.socket:
        """Listen, and make the mutex."""
        self.mutex = os.memfd_create("herd-accept-mutex")
        return super().open(listen)

    def prepare(self, server: Server) -> None:
        """A set of this worker's own."""
        server.listener.setblocking(False)
        self.listener = server.listener.fileno()
        self.epoll = select.epoll()
        self.registered = False
        self.accepted = 0
        self.mutexed = self.chosen["accept-mutex"] == "on"
        if self.mutexed:
            # A lock of this worker's own, not of the file that all inherited.
            self.mutex = os.open(f"/proc/self/fd/{self.mutex}", os.O_RDWR | os.O_CLOEXEC)
        else:
            self._listen(True)

    def serve(self, server: Server) -> None:
        """ngx_process_events_and_timers()."""
        while True:
            timeout = server.timeout()
            if self.mutexed:
                self._listen(self._try_mutex())
                timeout = timeout if self.registered else min(timeout or 60.0, _MUTEX_DELAY_S)
            for fd, _ in self.epoll.poll(timeout):
                if fd == self.listener:
                    self._accept(server)
            if self.mutexed and self.registered:
                fcntl.flock(self.mutex, fcntl.LOCK_UN)
            server.close_due()

    def _accept(self, server: Server) -> None:
        while server.accept():
            self.accepted += 1
            if not self.mutexed and self.accepted % _REORDER_EVERY == 0:
                self._listen(False)
                self._listen(True)
            if self.chosen["multi-accept"] == "off":
                return

    def _try_mutex(self) -> bool:
        try:
            fcntl.flock(self.mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _listen(self, wanted: bool) -> None:
        if wanted and not self.registered:
            events = select.EPOLLIN | (0 if self.mutexed else select.EPOLLEXCLUSIVE)
            self.epoll.register(self.listener, events)
        elif self.registered and not wanted:
            self.epoll.unregister(self.listener)
        self.registered = wanted
