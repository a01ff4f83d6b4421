"""What a request is."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import ClassVar

from herd.options import Option


class BadAnswer(Exception):
    """The server answered, but not what it should.

    :param error: what to count it as: an errno, or :data:`~herd.traffic.log.HTTP` plus a status
    """

    def __init__(self, error: int = errno.EPROTO) -> None:
        super().__init__(error)
        self.error = error


class Unfinished(Exception):
    """More of the answer is to come.

    :param missing: at least so many bytes
    """

    def __init__(self, missing: int = 1) -> None:
        super().__init__(missing)
        self.missing = missing


class Request:
    """Sent on a connection once, or several times in turn.

    :param chosen: by the name of the option; what isn't in it has its default
    :param server_closes: ``None``: as is usual for this request
    """

    name: ClassVar[str]
    summary: ClassVar[str]  #: one line
    options: ClassVar[tuple[Option, ...]] = ()
    #: It can be sent again on the same connection.
    repeats: ClassVar[bool] = False
    #: It waits for an answer.
    answered: ClassVar[bool] = True
    #: The server closes the connection, after the last answer; else the client does.
    server_closes: bool = False

    def __init__(
        self, chosen: Mapping[str, str] | None = None, *, server_closes: bool | None = None
    ) -> None:
        if server_closes is not None:
            self.server_closes = server_closes
        self.chosen = {option.name: option.default for option in self.options} | dict(chosen or {})

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """Look at what was chosen, before anything is started.

        :param chosen: a value for each option
        :raises UsageError: it can't be used
        """

    def says(self, *, last: bool) -> bytes:
        """What to send; it must fit into a connection's buffer.

        :param last: it is the connection's last one
        """
        return b""

    def check_answer(self, answer: bytes, *, ended: bool) -> bool:
        """Look at all that came back so far: there is at least one byte.

        What it says depends on that alone: of the same answer as the last one it isn't asked again.

        :param ended: the server has closed its side
        :returns: whether the connection can be used again
        :raises Unfinished: there must be more
        :raises BadAnswer: it is wrong
        """
        return True
