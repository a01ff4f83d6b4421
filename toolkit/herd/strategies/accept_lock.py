"""Accept under a lock, as Apache's ``Mutex`` and uWSGI's ``--thunder-lock`` do."""

from __future__ import annotations

import socket

from herd.options import Option
from herd.strategies import _locks
from herd.strategies._base import Listen, Prediction, Server, Strategy


class AcceptLock(Strategy):
    """One worker waits for a connection, the others for the lock."""

    name = "accept-lock"
    summary = "accept(2) serialised by a lock between workers"
    blocks_in_accept = True
    options = (Option("lock", tuple(_locks.KINDS), "The lock of strategy accept-lock."),)

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One of the socket's; the lock's are counted apart."""
        return Prediction.exactly(
            1.0,
            who="whoever holds the lock; the lock has its own wakeups",
            why="only one worker at a time is in accept (do_accept(), net/socket.c); the others sleep in the"
            " lock",
        )

    def why_not_threads(self) -> str | None:
        """It depends on the lock."""
        return self.kind.why_not_threads

    @property
    def kind(self) -> type[_locks.Lock]:
        """The lock that was chosen."""
        return _locks.KINDS[self.chosen["lock"]]

    def bereaved(self) -> str | None:
        """The kernel gives every lock back that a dead worker held, but for one."""
        if self.chosen["lock"] != "posix":
            return None
        return "a POSIX semaphore isn't given back for a holder that dies; --lock futex, a robust mutex, is"

    def open(self, listen: Listen) -> socket.socket:
        """Listen, and make the lock that the workers inherit."""
        self.lock = self.kind()
        return super().open(listen)

    def prepare(self, server: Server) -> None:
        """Take part in the lock."""
        self.lock = self.lock.join()

    def serve(self, server: Server) -> None:
        """Let the lock go as soon as the connection is there, before serving it."""
        while True:
            self.lock.acquire()
            try:
                connection = server.take()
            finally:
                self.lock.release()
            if connection is not None:
                server.handle(connection)

    def close(self) -> None:
        """Leave no lock behind."""
        self.lock.remove()
