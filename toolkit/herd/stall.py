"""Notices that something has come to a stop."""

from __future__ import annotations

import time


class Stall:
    """Watches a count that should grow.

    :param patience_s: how long it may stay the same
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._last: tuple[int | None, float] = (None, 0.0)

    def lasts(self, count: int | None) -> bool:
        """Whether it has been the same for too long; ``None``: just now it needn't grow."""
        now = time.monotonic()
        if count is None or count != self._last[0]:
            self._last = (count, now)
        return now - self._last[1] > self.patience_s
