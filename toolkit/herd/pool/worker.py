"""One worker: what it does with a connection, whichever strategy brought it."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from herd.area import Area
from herd.families import find
from herd.strategies import Listen

_GREETING: Final = b"h"
_SO_COOKIE: Final = 57


def cookie_of(sock: socket.socket) -> int:
    """The kernel's 64-bit name of a socket (SO_COOKIE), which ``ss -e`` prints too."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")


class Worker:
    """Accepts, works, answers one byte, holds and closes (see ``herd.strategies.Server``).

    :param work_us: CPU time to spend on each connection
    :param hold_s: how long a connection stays open after the answer
    :param block_s: how long it sleeps after each ``block_every``-th answer; workers begin to count at
        numbers that are evenly apart
    :param batch: how many connections :meth:`drain` takes at the most
    """

    def __init__(
        self,
        index: int,
        workers: int,
        listen: Listen,
        listener: socket.socket,
        area: Area,
        *,
        work_us: float,
        hold_s: float,
        block_s: float,
        block_every: int,
        batch: int,
        blocks: bool,
    ) -> None:
        self.index = index
        self.workers = workers
        self.listen = listen
        self._family = find(listen.family)
        self.listener = listener
        self._area = area
        self._work_ns = int(work_us * 1000)
        self.work_us = work_us
        self.hold_s = hold_s
        self._block_s = block_s
        self._block_every = block_every
        self._until_block = block_every - index * block_every // workers
        self._batch = batch
        self._blocks = blocks
        self._held: deque[tuple[float, socket.socket]] = deque()
        self._accepts = self._served = self._closed = self._eagain = 0

    @property
    def cookie(self) -> int:
        """Of the socket that it accepts on."""
        return cookie_of(self.listener)

    def accept(self) -> bool:
        """Accept one connection and serve it; ``False`` if there was none (EAGAIN)."""
        connection = self.take()
        if connection is None:
            return False
        self.handle(connection)
        return True

    def drain(self, take: Callable[[], socket.socket | None] | None = None) -> None:
        """Accept and serve what is there, up to the batch; beyond one it takes an EAGAIN to know.

        :param take: accepts one connection; by default :meth:`take`
        """
        for _ in range(self._batch):
            connection = (take or self.take)()
            if connection is None:
                return
            self.handle(connection)

    def take(self) -> socket.socket | None:
        """Accept one connection; ``None`` if there was none, or accept failed."""
        try:
            connection, peer = self.listener.accept()
        except BlockingIOError:
            self._eagain += 1
            self._area["eagain"] = self._eagain
            return None
        except OSError:
            self.failed()
            return None
        self.accepted(peer)
        return connection

    def accepted(self, peer: Any) -> None:
        """Write down a connection from ``peer`` that was accepted just now."""
        if not self._area.append(time.monotonic_ns(), *self._family.pack(peer)):
            self._area["unlogged"] += 1
        self._accepts += 1
        self._area["accepts"] = self._accepts

    def failed(self) -> None:
        """Count an accept or an answer that failed."""
        self._area["errors"] += 1

    def handle(self, connection: socket.socket) -> None:
        """Work, answer one byte, hold and close."""
        if self._work_ns:
            until = time.thread_time_ns() + self._work_ns
            while time.thread_time_ns() < until:
                pass
        try:
            connection.send(_GREETING)
        except OSError:
            self.failed()
        self._served += 1
        self._area["served"] = self._served
        if self._block_s:
            self._block()
        if self.hold_s and not self._blocks:
            self._held.append((time.monotonic() + self.hold_s, connection))
            return
        if self.hold_s:
            time.sleep(self.hold_s)
        self._close(connection)

    def _block(self) -> None:
        """Hang now and then; the client has its answer, so that those who wait for it are bystanders."""
        self._until_block -= 1
        if not self._until_block:
            self._until_block = self._block_every
            time.sleep(self._block_s)

    def _close(self, connection: socket.socket) -> None:
        connection.close()
        self._closed += 1
        self._area["closed"] = self._closed

    def signalled(self) -> None:
        """Count a signal that told of connections."""
        self._area["signals"] += 1

    def timeout(self) -> float | None:
        """Seconds until a held connection must be closed; ``None`` without one."""
        return max(0.0, self._held[0][0] - time.monotonic()) if self._held else None

    def close_due(self) -> None:
        """Close the held connections whose time has come."""
        while self._held and self._held[0][0] <= time.monotonic():
            self._close(self._held.popleft()[1])
