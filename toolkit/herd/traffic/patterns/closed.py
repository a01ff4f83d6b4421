"""So many clients, each of which opens its next connection when the last one has ended (a closed loop)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from herd.options import Option, number
from herd.traffic.patterns._base import Pattern, Progress, Situation


class Closed(Pattern):
    """As fast as the server answers; who waits sends nothing, so its latencies look better than they are.

    A client is busy while its connection is open, and then thinks for ``--think``.
    """

    name = "closed"
    summary = "--clients clients, each of which waits for its answer before it asks again"
    options = (Option("clients", means="Clients of a closed loop.", text="10"),)
    takes_rate = False
    ask_again_s = 0.01

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        everybody = int(number(self.chosen, "clients", least=1))
        self._mine = len(range(situation.index, everybody, situation.processes))

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """At least one."""
        number(chosen, "clients", least=1, most=1e6)

    @classmethod
    def clients(cls, chosen: Mapping[str, str]) -> int:
        """All of them."""
        return int(number(chosen, "clients", least=1))

    def due(self, progress: Progress) -> int | None:
        """Now, if one of this process's clients is free."""
        if progress.open_now >= self._mine:
            return None
        return max(time.monotonic_ns(), self.situation.begin)
