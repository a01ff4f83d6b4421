"""Send bytes, and wait until the same bytes have come back."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from herd.options import Option, number
from herd.traffic.requests._base import BadAnswer, Request, Unfinished

#: What fits into a new connection's send buffer, whichever kernel.
_MOST = 16384


class Echo(Request):
    """The bytes are a pattern, so that a lost, doubled or misplaced one is noticed."""

    name = "echo"
    summary = "--size bytes are sent, and the same must come back"
    options = (Option("size", means="Bytes of an echo request.", text="64"),)
    repeats = True

    def __init__(
        self, chosen: Mapping[str, str] | None = None, *, server_closes: bool | None = None
    ) -> None:
        super().__init__(chosen, server_closes=server_closes)
        size = int(number(self.chosen, "size", least=1, most=_MOST))
        self._payload = (bytes(range(251)) * (size // 251 + 1))[:size]

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """At least a byte, at most what a new connection takes at once."""
        number(chosen, "size", least=1, most=_MOST)

    def says(self, *, last: bool) -> bytes:
        """Always the same."""
        return self._payload

    def check_answer(self, answer: bytes, *, ended: bool) -> bool:
        """Byte by byte."""
        if not self._payload.startswith(answer):
            raise BadAnswer(errno.EBADMSG)
        if len(answer) < len(self._payload):
            raise Unfinished(len(self._payload) - len(answer))
        return True
