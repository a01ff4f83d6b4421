"""Connections from the client's side: many at once, in one thread, each phase with its time."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from herd.area import Area
from herd.families import INET, Family
from herd.traffic.requests import BadAnswer, Request, Unfinished
from herd.traffic.requests.first_byte import FirstByte

_ANSWER: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_EVENTS: Final = _ANSWER | select.EPOLLOUT
_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP
_PENDING: Final = (errno.EINPROGRESS, errno.EALREADY)
_NOT_BLOCKING: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
#: on, for 0 s: close sends a RST, and nothing stays in TIME_WAIT.
_RESET: Final = struct.pack("ii", 1, 0)
_BUFFER_BYTES: Final = 65536


@dataclass(frozen=True)
class Manners:
    """How a client treats its connections.

    :param requests: on each connection, one after the other
    :param hold_ns: how long a connection stays open after its last answer, where the client closes
    :param think_ns: from an answer to the next request, and after a connection, before the client is free
    :param reset: close with a RST
    :param patience_ns: a connection whose answer takes longer has failed; 0: it may take for ever
    """

    requests: int = 1
    hold_ns: int = 0
    think_ns: int = 0
    reset: bool = False
    patience_ns: int = 0


#: Of a connection that never had one.
_NO_SOCKET: Final = socket.SocketType()
_NO_SOCKET.close()


@dataclass(slots=True, eq=False)
class _Connection:
    source: bytes
    intended: int
    started: int
    sock: socket.SocketType = _NO_SOCKET
    port: int = 0
    established: int = 0
    first_byte: int = 0
    done: int = 0
    turn: int = 0
    #: Of an answer that has come in part: what there is, and how much more there must be at least.
    parts: list[bytes] | None = None
    missing: int = 0
    busy: bool = True


class Client:
    """Opens connections to one address and sees them through: established, first byte, done, closed.

    :param target: host and port, or a unix socket's name
    :param sources: addresses to connect from, in turn
    :param area: where finished connections are written
    :param request: what to send on each
    :param family: of the target and the sources
    :param writes_ports: ask the kernel which port each connection has
    """

    def __init__(
        self,
        target: Any,
        sources: Sequence[str],
        area: Area,
        request: Request | None = None,
        family: Family = INET,
        manners: Manners = Manners(),
        *,
        writes_ports: bool = True,
    ) -> None:
        self.target = target
        self.sources = sources
        self.area = area
        self.request = request or FirstByte()
        self.family = family
        self.manners = manners
        self.epoll = select.epoll()
        self.started = self.established = self.finished = self.failed = 0
        #: Failures since the last connection that did not fail.
        self.failed_in_a_row = 0
        self._packed = [family.pack((source, 0))[0] for source in sources]
        self._open: dict[int, _Connection] = {}
        self._held: deque[tuple[int, _Connection]] = deque()
        self._pausing: deque[tuple[int, _Connection]] = deque()
        self._thinking: deque[int] = deque()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._waits = self.request.answered or self.request.server_closes
        self._closing = False
        self._writes_ports = writes_ports
        self._says_something = bool(self.request.says(last=True))

    @property
    def open_now(self) -> int:
        """Connections that aren't finished, and clients that think before they open the next."""
        return len(self._open) + len(self._thinking)

    @property
    def unfinished(self) -> int:
        """Connections that aren't finished."""
        return len(self._open)

    def start(self, intended: int) -> None:
        """Start one connection.

        :param intended: when it should have started, ns
        """
        which = self.started % len(self.sources)
        connection = _Connection(self._packed[which], intended, time.monotonic_ns())
        self.started += 1
        self.area["started"] = self.started
        try:
            # Not the class socket.socket, whose Python costs as much as the system call.
            connection.sock = sock = socket.SocketType(self.family.number, _NOT_BLOCKING)
            self.family.bind_source(sock, self.sources[which])
            pending = self._connect(sock)
            if self._writes_ports:
                connection.port = self.family.port(sock)
        except OSError as error:
            self._finish(connection, error.errno or 0)
            return
        fd = sock.fileno()
        self._open[fd] = connection
        if not pending:
            self._establish(connection)
        if pending or (self._waits and sock.fileno() >= 0):
            self.epoll.register(fd, _EVENTS if pending else _ANSWER)

    def _connect(self, sock: socket.SocketType) -> bool:
        """Whether it isn't established yet: a full queue lets TCP wait; a unix listener's refuses."""
        failed = sock.connect_ex(self.target)
        if failed == errno.EINPROGRESS:
            # On loopback the handshake is over by now; asking again is cheaper than an epoll set. To send at
            # once would be, too, but then nobody knows whether it was over before.
            failed = sock.connect_ex(self.target)
        if failed and failed not in _PENDING:
            raise OSError(failed, "connect")
        return failed in _PENDING

    def poll(self, seconds: float = 0) -> None:
        """Take in what has happened.

        :param seconds: to wait for something, in steps of 1 ms
        """
        for fd, events in self.epoll.poll(seconds, 256):
            connection = self._open.get(fd)
            if connection:
                self._advance(connection, events)
        if self._held or self._pausing or self._thinking:
            self._wake(time.monotonic_ns())

    def next_wake(self) -> int | None:
        """When the first held or thinking client has something to do, ns; ``None``: there is none."""
        if not (self._held or self._pausing or self._thinking):
            return None
        heads = [queue[0][0] for queue in (self._held, self._pausing) if queue]
        return min([*heads, *list(self._thinking)[:1]], default=None)

    def _wake(self, now: int) -> None:
        while self._thinking and self._thinking[0] <= now:
            self._thinking.popleft()
        while self._held and self._held[0][0] <= now:
            connection = self._held.popleft()[1]
            if connection.sock.fileno() >= 0:
                self._finish(connection, 0)
        while self._pausing and self._pausing[0][0] <= now:
            due, connection = self._pausing.popleft()
            if connection.sock.fileno() >= 0:
                self._ask_again(connection, due)

    def _advance(self, connection: _Connection, events: int) -> None:
        if not connection.established and not self._connected(connection, events):
            return
        if events & _READABLE and connection.sock.fileno() >= 0:
            self._receive(connection)

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
        if self.request.answered:
            self._ask(connection)
        else:
            self._answered(connection, connection.established, usable=False)

    # -- request and answer -----------------------------------------------------------------------

    def _ask(self, connection: _Connection) -> None:
        connection.busy = True
        says = self.request.says(last=connection.turn + 1 >= self.manners.requests)
        if says:
            with contextlib.suppress(ConnectionError):  # what came back is still to be read
                connection.sock.send(says)

    def _ask_again(self, connection: _Connection, intended: int) -> None:
        connection.intended, connection.started = intended, time.monotonic_ns()
        self._ask(connection)

    def _receive(self, connection: _Connection) -> None:
        """Read what is there. The connection may be finished afterwards."""
        buffer, sock = self._buffer, connection.sock
        try:
            while size := sock.recv_into(buffer):
                connection.first_byte = connection.first_byte or time.monotonic_ns()
                if not connection.done:
                    self._take(connection, bytes(buffer[:size]))
                if sock.fileno() < 0:
                    return
        except BlockingIOError:
            return
        except OSError as error:
            # Who answers without having read the request resets the connection as it closes.
            answered = isinstance(error, ConnectionResetError) and self._says_something
            if not (answered and connection.first_byte):
                self._finish(connection, error.errno or 0)
                return
        self._ended(connection)

    def _take(self, connection: _Connection, answer: bytes) -> None:
        if connection.parts is not None:
            connection.parts.append(answer)
            connection.missing -= len(answer)
            if connection.missing > 0:
                return
            answer = b"".join(connection.parts)
        try:
            usable = self.request.check_answer(answer, ended=False)
        except Unfinished as more:
            connection.parts, connection.missing = [answer], more.missing
        except BadAnswer as bad:
            self._finish(connection, bad.error)
        else:
            self._answered(connection, time.monotonic_ns(), usable)

    def _answered(self, connection: _Connection, now: int, usable: bool) -> None:
        manners = self.manners
        connection.done = now
        connection.busy = self.request.server_closes
        if usable and not self._closing and connection.turn + 1 < manners.requests:
            self._write(connection, 0, 0)
            connection.turn += 1
            connection.first_byte = connection.done = connection.missing = 0
            connection.parts = None
            if manners.think_ns:
                connection.busy = False
                self._pausing.append((now + manners.think_ns, connection))
            else:
                self._ask_again(connection, now)
        elif self.request.server_closes and not self._closing:
            return
        elif manners.hold_ns:
            self._held.append((now + manners.hold_ns, connection))
        else:
            self._finish(connection, 0)

    def _ended(self, connection: _Connection) -> None:
        """The server has closed its side."""
        if connection.done:
            self._finish(connection, 0)
            return
        if not connection.first_byte:
            self._finish(connection, errno.ENODATA)
            return
        try:
            self.request.check_answer(b"".join(connection.parts or ()), ended=True)
        except Unfinished:
            self._finish(connection, errno.EPROTO)
        except BadAnswer as bad:
            self._finish(connection, bad.error)
        else:
            connection.done = time.monotonic_ns()
            self._finish(connection, 0)

    # -- the end ----------------------------------------------------------------------------------

    def _finish(self, connection: _Connection, error: int) -> None:
        sock = connection.sock
        self._open.pop(sock.fileno(), None)
        if self.manners.reset and connection.established:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()
        now = time.monotonic_ns()
        self._write(connection, now if connection.established else 0, error)
        self.finished += 1
        self.area["finished"] = self.finished
        if error:
            self.failed += 1
            self.area["failed"] = self.failed
            self.failed_in_a_row += 1
        else:
            self.failed_in_a_row = 0
        if self.manners.think_ns:
            self._thinking.append(now + self.manners.think_ns)

    def _write(self, c: _Connection, closed: int, error: int) -> None:
        times = (c.intended, c.started, c.established, c.first_byte, c.done, closed)
        self.area.append(*times, c.source, c.port, c.turn, error)

    def close_after_answer(self) -> None:
        """Ask no more on the connections that are open."""
        self._closing = self.manners.requests > 1
        for _, connection in self._pausing:
            if connection.sock.fileno() >= 0:
                self._finish(connection, 0)
        self._pausing.clear()

    def give_up(self, error: int, before: int | None = None) -> None:
        """End what is still open, each with this error.

        :param before: only those that have waited for an answer since then, ns
        """
        for connection in list(self._open.values()):
            if before is None or (connection.busy and connection.started < before):
                self._finish(connection, error)
