"""Ever more connections per second, then evenly paced (an open loop)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from herd.options import Option, number
from herd.traffic.patterns._base import Paced, Situation


class Ramp(Paced):
    """The rate grows in a straight line, from ``--ramp-from`` to ``--rate`` in ``--ramp-time`` seconds.

    Connection ``i`` is due when the integral of the rate is ``i``: with the slope ``a`` these are
    ``from * t + a * t**2 / 2`` in the first ``t`` seconds.
    """

    name = "ramp"
    summary = "from --ramp-from up (or down) to --rate, in --ramp-time seconds"
    options = (
        Option("ramp-from", means="Connections per second at the start of a ramp.", text="0"),
        Option("ramp-time", means="How many seconds a ramp takes.", text="10"),
    )

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._from = number(self.chosen, "ramp-from", least=0)
        self._time_s = number(self.chosen, "ramp-time", least=0.001)
        self._slope = (situation.rate - self._from) / self._time_s
        self._in_ramp = (self._from + situation.rate) / 2 * self._time_s

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """A rate and a time."""
        number(chosen, "ramp-from", least=0)
        number(chosen, "ramp-time", least=0.001)

    def at(self, turn: int) -> int:
        """Where the integral of the rate is ``turn``."""
        if turn >= self._in_ramp:
            return int((self._time_s + (turn - self._in_ramp) / self.situation.rate) * 1e9)
        # The quadratic formula in the form that doesn't divide by the slope, which may be 0.
        root = math.sqrt(self._from**2 + 2 * self._slope * turn)
        return int(2 * turn / (self._from + root) * 1e9) if turn else 0
