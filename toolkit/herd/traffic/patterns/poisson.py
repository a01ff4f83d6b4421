"""Arrivals that don't know of one another, as those of many independent users (an open loop)."""

from __future__ import annotations

import random

from herd.traffic.patterns._base import Paced, Situation


class Poisson(Paced):
    """The time from one arrival to the next is exponentially distributed, with the mean ``1 / rate``.

    Every load process walks through the same times and takes its turns, so that all of them together are one
    Poisson process, whatever their number.
    """

    name = "poisson"
    summary = "at random and independent, on average at --rate"

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._random = random.Random(situation.seed)
        self._turn, self._at = -1, 0.0

    def at(self, turn: int) -> int:
        """The sum of the gaps so far."""
        while self._turn < turn:
            self._turn += 1
            self._at += self._random.expovariate(self.situation.rate)
        return int(self._at * 1e9)
