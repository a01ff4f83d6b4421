"""Evenly paced arrivals, whatever the server does (an open loop)."""

from __future__ import annotations

from herd.traffic.patterns._base import Pattern, Progress


class Constant(Pattern):
    """Connection ``i`` of the run is due ``i / rate`` seconds after the start.

    The processes take turns. A connection that starts late keeps its intended time, so that the delay
    is charged to the system and not forgotten.
    """

    name = "constant"

    def due(self, progress: Progress) -> int:
        """The next of this process's turns."""
        at = self.situation
        turn = progress.started * at.processes + at.index
        return at.begin + int(turn * 1e9 / at.rate)
