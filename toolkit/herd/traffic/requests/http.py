"""HTTP/1.1: a GET, whose answer is read to its end as RFC 9112 says where that is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from herd.errors import UsageError
from herd.options import Option
from herd.traffic.log import HTTP
from herd.traffic.requests._base import BadAnswer, Request, Unfinished

_STATUS: Final = re.compile(rb"HTTP/1\.([01]) (\d{3})[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*\bchunked[ \t]*\r\n", re.IGNORECASE)
_CONNECTION: Final = re.compile(rb"\r\nconnection:[ \t]*([^\r]*)\r\n", re.IGNORECASE)
_WITHOUT_BODY: Final = (204, 304)


class Http(Request):
    """Connections are kept alive between requests; in the last one the client asks the server to close.

    An answer with a status of 400 or more is an error.
    """

    name = "http"
    summary = "GET --path; the answer must be whole and its status below 400"
    options = (
        Option("path", means="What an HTTP request asks for.", text="/"),
        Option("host-name", means="The Host that an HTTP request names.", text="localhost"),
    )
    repeats = True
    server_closes = True

    def __init__(
        self, chosen: Mapping[str, str] | None = None, *, server_closes: bool | None = None
    ) -> None:
        super().__init__(chosen, server_closes=server_closes)
        head = f"GET {self.chosen['path']} HTTP/1.1\r\nHost: {self.chosen['host-name']}\r\n"
        self._more = f"{head}\r\n".encode()
        self._last = f"{head}Connection: close\r\n\r\n".encode()

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """Nothing that would end the line."""
        if not re.fullmatch(r"/[!-~]*", chosen["path"]):
            raise UsageError(
                f"--path {chosen['path']!r} is not a path", "it begins with /, and has no spaces"
            )
        if not re.fullmatch(r"[!-~]+", chosen["host-name"]):
            raise UsageError(f"--host-name {chosen['host-name']!r} is not a name")

    def says(self, *, last: bool) -> bytes:
        """With ``Connection: close`` when it is the last one and the server is to close."""
        return self._last if last and self.server_closes else self._more

    def check_answer(self, answer: bytes, *, ended: bool) -> bool:
        """Status, then the body's end by chunks, length or the connection's."""
        start = answer.find(b"\r\n\r\n") + 4
        if start < 4:
            raise Unfinished
        head = _head(answer[: start - 2])
        if head.interim:
            return self._after_interim(answer[start:], ended)
        if head.chunked:
            end = _end_of_chunks(answer, start)
        elif head.length is not None:
            end = start + head.length
        elif ended:
            end = len(answer)
        else:
            raise Unfinished
        if len(answer) < end:
            raise Unfinished(end - len(answer))
        if len(answer) > end:
            raise BadAnswer
        if head.code >= 400:
            raise BadAnswer(HTTP + head.code)
        return head.keeps_alive

    def _after_interim(self, rest: bytes, ended: bool) -> bool:
        """After ``100 Continue`` or ``103 Early Hints`` comes the answer itself."""
        if not rest:
            raise Unfinished
        return self.check_answer(rest, ended=ended)


class _Head(NamedTuple):
    code: int
    length: int | None  #: of the body; ``None``: it isn't said
    chunked: bool
    keeps_alive: bool

    @property
    def interim(self) -> bool:
        """Another answer follows."""
        return self.code < 200


@lru_cache(maxsize=64)  # a server says the same for a second, until its clock has gone on
def _head(lines: bytes) -> _Head:
    status = _STATUS.match(lines)
    if not status:
        raise BadAnswer
    code, chunked = int(status[2]), bool(_CHUNKED.search(lines))
    length = _LENGTH.search(lines)
    size = 0 if code in _WITHOUT_BODY else int(length[1]) if length else None
    option = _CONNECTION.search(lines)
    says = option[1].lower() if option else b""
    ends = size is None and not chunked
    keeps_alive = b"close" not in says and (status[1] == b"1" or b"keep-alive" in says)
    return _Head(code, size, chunked and code not in _WITHOUT_BODY, keeps_alive and not ends)


def _end_of_chunks(answer: bytes, at: int) -> int:
    """Where a chunked body ends, its trailer included."""
    while True:
        line = answer.find(b"\r\n", at)
        if line < 0:
            raise Unfinished
        size = _hexadecimal(answer[at:line].split(b";")[0].strip())
        if size == 0:
            break
        at = line + 2 + size + 2
        if at > len(answer):
            raise Unfinished(at - len(answer))
        if answer[at - 2 : at] != b"\r\n":
            raise BadAnswer
    end = answer.find(b"\r\n\r\n", line)
    if end < 0:
        raise Unfinished
    return end + 4


def _hexadecimal(text: bytes) -> int:
    if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", text):
        raise BadAnswer
    return int(text, 16)
