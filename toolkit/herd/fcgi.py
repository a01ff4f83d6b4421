"""A small FastCGI responder: it accepts on descriptor 0 and says who it is.

It is the default program of strategy ``fcgi``, run as a script by a bare interpreter: standard library only,
nothing of herd's. The protocol is that of the FastCGI Specification 1.0; section numbers below are its.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

LISTENER: Final = 0
"""FCGI_LISTENSOCK_FILENO."""

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = range(1, 7)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER: Final = 1
KEEP_CONNECTION: Final = 1
COMPLETE, CANNOT_MULTIPLEX, _, UNKNOWN_ROLE = range(4)

_VERSION: Final = 1
_HEADER: Final = struct.Struct(">BBHHBx")
_BEGIN_BODY: Final = struct.Struct(">HB5x")
_END_BODY: Final = struct.Struct(">IB3x")
#: Far more than a web server sends as one request's parameters.
_MOST_PARAMETERS: Final = 1 << 20
#: What FCGI_GET_VALUES may ask (4.1).
_LIMITS: Final = {b"FCGI_MAX_CONNS": b"1", b"FCGI_MAX_REQS": b"1", b"FCGI_MPXS_CONNS": b"0"}


class Garbage(Exception):
    """What came is not FastCGI."""


def record(kind: int, request: int, content: bytes = b"") -> bytes:
    """One record (3.3), without padding.

    :param request: its id; 0 for a record about the connection itself
    :param content: at most 65535 bytes
    """
    return _HEADER.pack(_VERSION, kind, request, len(content), 0) + content


def begin(request: int, role: int = RESPONDER, flags: int = 0) -> bytes:
    """The record that begins a request (5.1)."""
    return record(BEGIN, request, _BEGIN_BODY.pack(role, flags))


def end(request: int, status: int = COMPLETE) -> bytes:
    """The record that ends a request (5.5)."""
    return record(END, request, _END_BODY.pack(0, status))


def pack(values: Mapping[bytes, bytes]) -> bytes:
    """Name-value pairs (3.4)."""
    return b"".join(_length(name) + _length(value) + name + value for name, value in values.items())


def _length(text: bytes) -> bytes:
    return bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 1 << 31)


def unpack(data: bytes) -> dict[bytes, bytes]:
    """What :func:`pack` made.

    :raises Garbage: a length goes beyond the end
    """
    found, at = {}, 0
    while at < len(data):
        name_size, at = _read_length(data, at)
        value_size, at = _read_length(data, at)
        middle, after = at + name_size, at + name_size + value_size
        if after > len(data):
            raise Garbage("a name or value is longer than the parameters")
        found[data[at:middle]] = data[middle:after]
        at = after
    return found


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    if at + 4 > len(data):
        raise Garbage("the parameters end within a length")
    return struct.unpack_from(">I", data, at)[0] & 0x7FFFFFFF, at + 4


def get(values: Mapping[bytes, bytes]) -> bytes:
    """A whole request without a body, after which the connection is closed.

    :param values: its parameters, such as ``SCRIPT_NAME``
    """
    return begin(1) + record(PARAMS, 1, pack(values)) + record(PARAMS, 1) + record(STDIN, 1)


def records(stream: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Type, request id and content of each record, until the peer closes.

    :raises Garbage: another version, or a record that is cut off
    """
    while header := stream.read(_HEADER.size):
        if len(header) < _HEADER.size or header[0] != _VERSION:
            raise Garbage("no FastCGI record of version 1")
        _, kind, request, size, padding = _HEADER.unpack(header)
        content = stream.read(size + padding)
        if len(content) < size + padding:
            raise Garbage("a record that is cut off")
        yield kind, request, content[:size]


class Conversation:
    """One connection's requests, one at a time: it tells in FCGI_GET_VALUES that it can't multiplex.

    :param work_us: CPU time to spend on each request
    """

    def __init__(self, connection: socket.socket, work_us: float = 0.0) -> None:
        self._connection = connection
        self._work_ns = int(work_us * 1000)
        self._request = 0  #: the one that is being received; 0: none
        self._keep = True
        self._parameters = b""
        self._body = 0  #: bytes of input so far

    def hold(self) -> None:
        """Answer until the web server closes, or wants us to.

        :raises Garbage: the peer doesn't speak FastCGI
        """
        with self._connection.makefile("rb") as stream:
            for kind, request, content in records(stream):
                self._take(kind, request, content)
                if not self._request and not self._keep:
                    return

    def _take(self, kind: int, request: int, content: bytes) -> None:
        if not request:
            self._manage(kind, content)
        elif kind == BEGIN:
            self._begin(request, content)
        elif request != self._request:
            return  # of a request that was refused, or that has ended (3.3: ignore it)
        elif kind == ABORT:
            self._end(b"")
        elif kind == PARAMS:
            self._parameters += content
            if len(self._parameters) > _MOST_PARAMETERS:
                raise Garbage("parameters without an end")
        elif kind == STDIN and content:
            self._body += len(content)
        elif kind == STDIN:
            self._answer()

    def _manage(self, kind: int, content: bytes) -> None:
        if kind == GET_VALUES:
            asked = {name: _LIMITS[name] for name in unpack(content) if name in _LIMITS}
            self._connection.sendall(record(GET_VALUES_RESULT, 0, pack(asked)))
        else:
            self._connection.sendall(record(UNKNOWN_TYPE, 0, bytes([kind, *bytes(7)])))

    def _begin(self, request: int, content: bytes) -> None:
        if len(content) != _BEGIN_BODY.size:
            raise Garbage("the beginning of a request has another size")
        if self._request:
            self._connection.sendall(end(request, CANNOT_MULTIPLEX))
            return
        role, flags = _BEGIN_BODY.unpack(content)
        self._keep = bool(flags & KEEP_CONNECTION)
        if role != RESPONDER:
            self._connection.sendall(end(request, UNKNOWN_ROLE))
            return
        self._request, self._parameters, self._body = request, b"", 0

    def _answer(self) -> None:
        values = unpack(self._parameters)
        _spin(self._work_ns)
        method = values.get(b"REQUEST_METHOD", b"GET")
        where = values.get(b"REQUEST_URI") or values.get(b"SCRIPT_NAME", b"/")
        text = b"pid %d answers %s %s, %d bytes of input\n" % (
            os.getpid(),
            method,
            where[:1024],
            self._body,
        )
        answer = b"Content-type: text/plain\r\n\r\n" + text
        request = self._request
        self._end(record(STDOUT, request, answer) + record(STDOUT, request))

    def _end(self, before: bytes) -> None:
        self._connection.sendall(before + end(self._request))
        self._request = 0


def _spin(nanoseconds: int) -> None:
    until = time.thread_time_ns() + nanoseconds
    while time.thread_time_ns() < until:
        pass


def serve(listener: socket.socket, work_us: float = 0.0, hold_s: float = 0.0) -> None:
    """Accept for ever.

    :param hold_s: how long a connection stays open after the last answer
    """
    while True:
        try:
            connection, _ = listener.accept()
        except ConnectionAbortedError:
            continue
        with connection:
            try:
                Conversation(connection, work_us).hold()
            except (Garbage, OSError):
                continue  # closing is all that can be said to such a peer
            if hold_s:
                time.sleep(hold_s)


def main() -> None:
    """``fcgi.py [WORK_US [HOLD_S]]``, with a listening socket as descriptor 0."""
    try:
        listener = socket.socket(fileno=LISTENER)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listening = 0
    if not listening:
        sys.exit("fcgi.py: descriptor 0 is not a listening socket; a FastCGI manager starts me")
    listener.setblocking(True)
    serve(listener, *map(float, sys.argv[1:3]))


if __name__ == "__main__":
    main()
