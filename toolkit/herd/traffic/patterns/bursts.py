"""Several connections at once, then a pause (an open loop)."""

from __future__ import annotations

from collections.abc import Mapping

from herd.options import Option, number
from herd.traffic.patterns._base import Paced, Situation


class Bursts(Paced):
    """Groups of ``--burst`` connections, all due at one time; the groups are evenly paced."""

    name = "bursts"
    summary = "--burst of them at once, on average at --rate"
    options = (Option("burst", means="Connections that come at once.", text="10"),)

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._size = int(number(self.chosen, "burst", least=1))

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """At least one."""
        number(chosen, "burst", least=1)

    def at(self, turn: int) -> int:
        """That of its group."""
        return int(turn // self._size * self._size * 1e9 / self.situation.rate)
