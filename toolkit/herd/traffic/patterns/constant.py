"""Evenly paced arrivals, whatever the server does (an open loop)."""

from __future__ import annotations

from herd.traffic.patterns._base import Paced


class Constant(Paced):
    """Connection ``i`` of the run is due ``i / rate`` seconds after the start."""

    name = "constant"
    summary = "evenly paced, at --rate"

    def at(self, turn: int) -> int:
        """In even steps."""
        return int(turn * 1e9 / self.situation.rate)
