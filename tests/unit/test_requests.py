"""What is asked, and when the answer is whole, good or bad."""

from __future__ import annotations

import errno

import pytest

from herd.errors import UsageError
from herd.traffic import requests
from herd.traffic.log import HTTP, name_of
from herd.traffic.requests import BadAnswer, Unfinished

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def asked(name: str, server_closes: bool | None = None, **chosen: str) -> requests.Request:
    return requests.find(name)(chosen, server_closes=server_closes)


def verdict(name: str, answer: bytes, *, ended: bool = False, **chosen: str) -> bool | str | int:
    """Whether the connection can be used again; or what is wrong with the answer, or missing."""
    try:
        return asked(name, **chosen).check_answer(answer, ended=ended)
    except Unfinished as more:
        return more.missing
    except BadAnswer as bad:
        return name_of(bad.error)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", True),
        (OK + b"content-length:5\r\nConnection: keep-alive\r\n\r\nhello", True),
        (OK + b"Content-Length: 5\r\nConnection: Close\r\n\r\nhello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", True),
        (CHUNKED + b"5\r\nhello\r\n1a;x=y\r\n" + b"a" * 26 + b"\r\n0\r\n\r\n", True),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "HTTP 404"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", True),
        (b"220 smtp.example.org ESMTP\r\n\r\n", "EPROTO"),
        (OK + b"Content-Length: 5\r\n\r\nhello!", "EPROTO"),
        (CHUNKED + b"5\r\nhelloXX0\r\n\r\n", "EPROTO"),
        (CHUNKED + b"zz\r\n", "EPROTO"),
        (OK + b"Content-Length: 5\r\n\r\nhe", 3),
        (OK[:-4], 1),
        (CHUNKED + b"5\r\nhel", 2 + 2),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", 1),
        (OK + b"Date: x\r\n\r\nuntil it closes", 1),
    ],
)  # fmt: skip
def test_the_end_of_an_http_answer(answer, found):
    assert verdict("http", answer) == found


def test_every_beginning_of_a_good_answer_is_unfinished():
    chunked = (
        OK
        + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\n"
        + b"b" * 16
        + b"\r\n0\r\n\r\n"
    )
    for whole in (OK + b"Content-Length: 3\r\n\r\nabc", chunked):
        for size in range(1, len(whole)):
            missing = verdict("http", whole[:size])
            assert missing is not True
            assert isinstance(missing, int)
            assert 1 <= missing <= len(whole) - size
        assert verdict("http", whole) is True


def test_a_body_without_a_length_ends_with_the_connection():
    assert verdict("http", OK + b"Date: x\r\n\r\nbody", ended=True) is False
    assert verdict("http", OK + b"Content-Length: 5\r\n\r\nbo", ended=True) == 3


def test_the_last_request_asks_the_server_to_close_if_it_is_to():
    request = asked("http", path="/a?b", **{"host-name": "example.org"})
    assert request.says(last=False) == b"GET /a?b HTTP/1.1\r\nHost: example.org\r\n\r\n"
    assert b"\r\nConnection: close\r\n\r\n" in request.says(last=True)
    assert b"close" not in asked("http", server_closes=False).says(last=True)


def test_an_echo_is_the_same_bytes():
    payload = asked("echo", size="600").says(last=True)
    assert len(payload) == 600
    assert verdict("echo", payload, size="600") is True
    assert verdict("echo", payload[:100], size="600") == 500
    assert verdict("echo", payload + b"x", size="600") == "EBADMSG"
    assert verdict("echo", payload[1:], size="600") == "EBADMSG"


def test_a_first_byte_is_an_answer_when_the_server_has_closed_or_need_not():
    assert verdict("first-byte", b"h") == 1
    assert verdict("first-byte", b"h", ended=True) is False
    assert asked("first-byte", server_closes=False).check_answer(b"h", ended=False) is False


@pytest.mark.parametrize(
    ("name", "chosen", "says"),
    [
        ("http", {"path": "x"}, "'x' is not a path"),
        ("http", {"path": "/a b"}, "is not a path"),
        ("http", {"host-name": "a\r\nX: y"}, "is not a name"),
        ("echo", {"size": "0"}, "--size 0: expected a number from 1 to 16384"),
        ("echo", {"path": "/"}, "unknown option of request echo"),
        ("htp", {}, "did you mean 'http'"),
    ],
)
def test_what_cannot_be_asked_is_refused(name, chosen, says):
    with pytest.raises(UsageError, match=says):
        requests.choose(name, chosen)


def test_errors_have_names():
    assert name_of(errno.ECONNRESET) == "ECONNRESET"
    assert name_of(HTTP + 502) == "HTTP 502"
