"""Notices what has come to a stop: a count that should grow, and this process itself."""

from __future__ import annotations

import time
from typing import Final

_PAUSE_NS: Final = 1_000_000_000


class Pauses:
    """Notices that its own process stood still: a virtual machine was paused, SIGSTOP, no CPU was to be had.

    What the process waited for may have stood still with it: such time is no reason to give up.
    """

    def __init__(self) -> None:
        self._looked = time.monotonic_ns()

    def look(self) -> int:
        """To be called many times a second.

        :returns: ns since the last look, if they were so many that the process must have stood still; else 0
        """
        now = time.monotonic_ns()
        passed, self._looked = now - self._looked, now
        return passed if passed > _PAUSE_NS else 0


class Stall:
    """Watches a count that should grow.

    :param patience_s: how long it may stay the same
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._pauses = Pauses()
        self._last: tuple[int | None, float] = (None, 0.0)

    def lasts(self, count: int | None) -> bool:
        """Whether it has been the same for too long; ``None``: just now it needn't grow."""
        now = time.monotonic_ns()
        if self._pauses.look() or count is None or count != self._last[0]:
            self._last = (count, now)
        return now - self._last[1] > self.patience_s * 1e9
