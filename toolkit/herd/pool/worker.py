"""One worker: what it does with a connection, whichever strategy brought it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
import traceback
from collections import deque
from typing import Final, NoReturn

from herd.area import Area
from herd.pool.log import READY, SERVING, STOPPED, USAGE
from herd.process import die_with_parent
from herd.strategies import Listen, Strategy

_GREETING: Final = b"h"
_SO_COOKIE: Final = 57


class Stop(BaseException):
    """SIGTERM came; not an ``Exception``, so that no strategy catches it by accident."""


def cookie_of(sock: socket.socket) -> int:
    """The kernel's 64-bit name of a socket (SO_COOKIE), which ``ss -e`` prints too."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")


class Worker:
    """Accepts, works, answers one byte, holds and closes (see ``herd.strategies.Server``).

    :param work_us: CPU time to spend on each connection
    :param hold_s: how long a connection stays open after the answer
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
        batch: int,
        blocks: bool,
    ) -> None:
        self.index = index
        self.workers = workers
        self.listen = listen
        self.listener = listener
        self._area = area
        self._work_ns = int(work_us * 1000)
        self.work_us = work_us
        self.hold_s = hold_s
        self._batch = batch
        self._blocks = blocks
        self._held: deque[tuple[float, socket.socket]] = deque()
        self._accepts = self._served = self._closed = self._eagain = 0

    def accept(self) -> bool:
        """Accept one connection and serve it; ``False`` if there was none (EAGAIN)."""
        connection = self.take()
        if connection is None:
            return False
        self.handle(connection)
        return True

    def drain(self) -> None:
        """Accept and serve what is there, up to the batch; beyond one it takes an EAGAIN to know."""
        for _ in range(self._batch):
            if not self.accept():
                return

    def take(self) -> socket.socket | None:
        """Accept one connection; ``None`` if there was none, or accept failed."""
        try:
            connection, peer = self.listener.accept()
        except BlockingIOError:
            self._eagain += 1
            self._area["eagain"] = self._eagain
            return None
        except OSError:
            self._area["errors"] += 1
            return None
        self._log(time.monotonic_ns(), peer)
        return connection

    def _log(self, now: int, peer: tuple[str, int]) -> None:
        address = socket.inet_pton(self.listen.family, peer[0])[-4:]
        if not self._area.append(now, address, peer[1]):
            self._area["unlogged"] += 1
        self._accepts += 1
        self._area["accepts"] = self._accepts

    def handle(self, connection: socket.socket) -> None:
        """Work, answer one byte, hold and close."""
        if self._work_ns:
            until = time.thread_time_ns() + self._work_ns
            while time.thread_time_ns() < until:
                pass
        try:
            connection.send(_GREETING)
        except OSError:
            self._area["errors"] += 1
        self._served += 1
        self._area["served"] = self._served
        if self.hold_s and not self._blocks:
            self._held.append((time.monotonic() + self.hold_s, connection))
            return
        if self.hold_s:
            time.sleep(self.hold_s)
        self._close(connection)

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


def _record_usage(area: Area, when: str) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values = (
        int(usage.ru_utime * 1e6),
        int(usage.ru_stime * 1e6),
        usage.ru_nvcsw,
        usage.ru_nivcsw,
    )
    for name, value in zip(USAGE, values, strict=True):
        area[f"{when}_{name}"] = value


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stop


def _serve_until_stopped(strategy: Strategy, worker: Worker, area: Area) -> None:
    # Blocked since before the fork, so that a signal that comes early waits instead of killing.
    signal.sigwait({signal.SIGUSR1})
    _record_usage(area, "before")
    area["state"] = SERVING
    try:
        signal.signal(signal.SIGTERM, _stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        strategy.serve(worker)
    except Stop:
        _record_usage(area, "after")
        area["state"] = STOPPED


def run(strategy: Strategy, worker: Worker, area: Area, parent: int, ready: int) -> NoReturn:
    """The whole life of a forked worker; never returns into the parent's code.

    :param ready: pipe that is told an empty line when the worker is ready, or what went wrong
    """
    status = 1
    try:
        die_with_parent(parent)
        strategy.prepare(worker)
        area["pid"] = os.getpid()
        area["cookie"] = cookie_of(worker.listener)
        area["state"] = READY
        os.write(ready, b"\n")
        _serve_until_stopped(strategy, worker, area)
        status = 0
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.name}, {last.filename} line {last.lineno}"
        text = f"{type(error).__name__}: {error}".replace("\n", " ")
        os.write(2, f"worker {worker.index}: {text} (in {where})\n".encode())
        if area["state"] < SERVING:
            os.write(ready, text.encode()[:500] + b"\n")
    finally:
        os._exit(status)
