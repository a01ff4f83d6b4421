"""Nobody waits on the socket: the kernel sends a signal, to one process or to all (``O_ASYNC``)."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
from typing import Final

from herd.options import Option
from herd.strategies._base import Listen, Prediction, Server, Strategy

_F_SETOWN_EX: Final = 15
_F_GETOWN_EX: Final = 16
_F_OWNER_PID: Final = 1
_F_OWNER_PGRP: Final = 2
#: struct f_owner_ex: type, pid.
_OWNER: Final = struct.Struct("@ii")

#: Chosen with F_SETSIG; a real-time signal is queued as often as it is sent.
_SIGNAL: Final = signal.SIGRTMIN
#: The kernel sends SIGIO instead where the queue is full (send_sigio_to_task(), fs/fcntl.c).
_SIGNALS: Final = frozenset({_SIGNAL, signal.SIGIO})

_WHY: Final = (
    "sk_wake_async(), at the end of sock_def_readable() (net/core/sock.c), calls kill_fasync() and"
    " send_sigio() (fs/fcntl.c), which signals"
)


class Sigio(Strategy):
    """The article's ``sk_wake_async`` path: with a group as owner, a herd of signals."""

    name = "sigio"
    summary = "O_ASYNC: a signal tells of a connection, then accept without blocking"
    options = (
        Option("owner", ("group", "one"), "Strategy sigio: whom F_SETOWN names, all or worker 0."),
    )

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """Everyone wakes: by default the owner is the workers' process group."""
        return Prediction.exactly(
            float(workers), who="everyone, each by its own signal", why=f"{_WHY} the whole group"
        )

    def prediction(self, workers: int) -> Prediction:
        """One, if one is the owner."""
        if self.chosen["owner"] == "group":
            return self.predict(workers)
        return Prediction.exactly(
            1.0, who="always worker 0, the owner", why=f"{_WHY} nobody but the owner"
        )

    def why_not_threads(self) -> str | None:
        """Signals would tell the process."""
        return "F_SETOWN names processes, and any thread of one may take its signal"

    def bereaved(self) -> str | None:
        """A file has one owner; nobody takes a dead one's place."""
        return (
            "only worker 0 is signalled; try --owner group"
            if self.chosen["owner"] == "one"
            else None
        )

    def open(self, listen: Listen) -> socket.socket:
        """Listen, and ask for a signal; the owner is a property of the open file, so of all workers."""
        listener = super().open(listen)
        listener.setblocking(False)
        fd = listener.fileno()
        fcntl.fcntl(fd, fcntl.F_SETSIG, _SIGNAL)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
        return listener

    def prepare(self, server: Server) -> None:
        """Own the file as worker 0, or join its group. Blocked first: the signal would kill."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        fd = server.listener.fileno()
        if self.chosen["owner"] == "one":
            if server.index == 0:
                self._own(fd, _F_OWNER_PID)
        elif server.index == 0:
            # A group of the workers' own: their parent and the controller are not to be signalled.
            os.setpgid(0, 0)
            self._own(fd, _F_OWNER_PGRP)
        else:
            _, group = _OWNER.unpack(fcntl.fcntl(fd, _F_GETOWN_EX, bytes(_OWNER.size)))
            os.setpgid(0, group)

    def _own(self, fd: int, kind: int) -> None:
        fcntl.fcntl(fd, _F_SETOWN_EX, _OWNER.pack(kind, os.getpid()))

    def serve(self, server: Server) -> None:
        """Wait for a signal, then take all there is: one signal may stand for several connections."""
        while True:
            if self._wait(server.timeout()):
                server.signalled()
                while server.accept():
                    pass
            server.close_due()

    def _wait(self, timeout: float | None) -> bool:
        if timeout is None:
            return signal.sigwaitinfo(_SIGNALS) is not None
        return signal.sigtimedwait(_SIGNALS, timeout) is not None
