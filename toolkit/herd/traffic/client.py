"""Connections from the client's side: many at once, in one thread, each phase with its time."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from herd.area import Area
from herd.families import INET, Family

_EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


@dataclass(slots=True)
class _Connection:
    sock: socket.socket
    source: bytes
    intended: int
    started: int
    port: int = 0
    established: int = 0
    first_byte: int = 0


@dataclass
class Client:
    """Opens connections to one address and sees them through: established, first byte, closed.

    :param target: host and port, or a unix socket's name
    :param sources: addresses to connect from, in turn
    :param area: where finished connections are written
    :param request: what to send on each; it must fit into a new connection's buffer
    :param family: of the target and the sources
    """

    target: Any
    sources: Sequence[str]
    area: Area
    request: bytes = b""
    family: Family = INET
    started: int = 0
    established: int = 0
    finished: int = 0
    failed: int = 0
    _open: dict[int, _Connection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.epoll = select.epoll()
        self._packed = [self.family.pack((source, 0))[0] for source in self.sources]

    @property
    def open_now(self) -> int:
        """Connections that aren't finished."""
        return len(self._open)

    def start(self, intended: int) -> None:
        """Start one connection.

        :param intended: when it should have started, ns
        """
        which = self.started % len(self.sources)
        started = time.monotonic_ns()
        self.started += 1
        self.area["started"] = self.started
        try:
            sock = socket.socket(self.family.number, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._write(intended, started, 0, 0, self._packed[which], 0, error.errno or 0)
            return
        connection = _Connection(sock, self._packed[which], intended, started)
        try:
            self.family.bind_source(sock, self.sources[which])
            # A full queue lets TCP's client wait; a unix listener's refuses it at once, by EAGAIN.
            failed = sock.connect_ex(self.target)
            if failed not in (0, errno.EINPROGRESS):
                raise OSError(failed, "connect")
            connection.port = self.family.port(sock)
        except OSError as error:
            self._finish(connection, error.errno or 0)
            return
        self._open[sock.fileno()] = connection
        if not failed:
            self._establish(connection)
        self.epoll.register(sock.fileno(), _EVENTS)

    def poll(self) -> None:
        """Take in what has happened, without waiting."""
        for fd, events in self.epoll.poll(0, 256):
            if fd in self._open:
                self._advance(self._open[fd], events)

    def _advance(self, connection: _Connection, events: int) -> None:
        if not connection.established and not self._connected(connection, events):
            return
        if not events & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP):
            return
        try:
            while connection.sock.recv(4096):
                connection.first_byte = connection.first_byte or time.monotonic_ns()
        except BlockingIOError:
            return
        except OSError as error:
            # Who answers without having read the request resets the connection as it closes.
            answered = isinstance(error, ConnectionResetError) and self.request
            failed = 0 if answered and connection.first_byte else error.errno or 0
            self._finish(connection, failed)
            return
        self._finish(connection, 0 if connection.first_byte else errno.ENODATA)

    def _connected(self, connection: _Connection, events: int) -> bool:
        if events & select.EPOLLERR:
            failed = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._finish(connection, failed)
            return False
        if not events & select.EPOLLOUT:
            return False
        self._establish(connection)
        return True

    def _establish(self, connection: _Connection) -> None:
        connection.established = time.monotonic_ns()
        self.established += 1
        self.area["established"] = self.established
        if self.request:
            with contextlib.suppress(ConnectionError):  # what came back is still to be read
                connection.sock.send(self.request)

    def _finish(self, c: _Connection, error: int) -> None:
        self._open.pop(c.sock.fileno(), None)
        c.sock.close()
        self._write(c.intended, c.started, c.established, c.first_byte, c.source, c.port, error)

    def _write(
        self,
        intended: int,
        started: int,
        established: int,
        first_byte: int,
        source: bytes,
        port: int,
        error: int,
    ) -> None:
        closed = time.monotonic_ns() if established else 0
        self.area.append(intended, started, established, first_byte, closed, source, port, error)
        self.finished += 1
        self.area["finished"] = self.finished
        if error:
            self.failed += 1
            self.area["failed"] = self.failed

    def give_up(self, error: int) -> None:
        """End what is still open, each with this error."""
        for connection in list(self._open.values()):
            self._finish(connection, error)
