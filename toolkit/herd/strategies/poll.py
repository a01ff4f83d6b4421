"""Every worker waits in ``poll`` on one shared socket."""

from __future__ import annotations

import math
import select

from herd.strategies._base import Server
from herd.strategies.select import Select


class Poll(Select):
    """As select: the same wait queue entry, made by the same function."""

    name = "poll"
    summary = "poll(2) on one shared socket, then accept without blocking"

    def prepare(self, server: Server) -> None:
        """Name the listener once."""
        super().prepare(server)
        self.poll = select.poll()
        self.poll.register(server.listener.fileno(), select.POLLIN)

    def wait(self, listener: int, timeout: float | None) -> bool:
        """Whether a connection may be there."""
        return bool(self.poll.poll(None if timeout is None else math.ceil(timeout * 1000)))
