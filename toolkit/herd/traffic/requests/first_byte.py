"""Wait for any answer, such as the byte that herd's own workers send."""

from __future__ import annotations

from collections.abc import Mapping

from herd.traffic.requests._base import Request, Unfinished


class FirstByte(Request):
    """Done when the server has sent something and closed; if the client is to close, at the first byte.

    :param payload: what to send first
    """

    name = "first-byte"
    summary = "nothing is sent; done when the server has sent something and has closed"
    server_closes = True

    def __init__(
        self,
        chosen: Mapping[str, str] | None = None,
        *,
        server_closes: bool | None = None,
        payload: bytes = b"",
    ) -> None:
        super().__init__(chosen, server_closes=server_closes)
        self._payload = payload

    def says(self, *, last: bool) -> bytes:
        """By default nothing."""
        return self._payload

    def check_answer(self, answer: bytes, *, ended: bool) -> bool:
        """Anything will do."""
        if self.server_closes and not ended:
            raise Unfinished
        return False
