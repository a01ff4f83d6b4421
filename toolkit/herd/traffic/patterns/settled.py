"""The next connection only once every worker sleeps again: deterministic, for lessons and tests."""

from __future__ import annotations

import time
from typing import Final

from herd.pool.settle import Sleepers
from herd.traffic.patterns._base import Pattern, Progress, Situation

_PATIENCE_NS: Final = 2_000_000_000


class Settled(Pattern):
    """A closed loop with one connection, which also waits for the herd to lie down.

    A worker that never settles (a spinning or dead one whose connection stays open) can't hold the
    run up for ever: after two seconds the next connection is sent all the same.
    """

    name = "settled"
    summary = "the next only once every worker of the run sleeps again (herd run only)"
    takes_rate = False
    needs_workers = True

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._sleepers = Sleepers(situation.pids)
        self._asked = situation.begin
        self._for = -1

    def due(self, progress: Progress) -> int | None:
        """Now, if all is quiet."""
        now = time.monotonic_ns()
        if self._for != progress.started:
            self._for, self._asked = progress.started, now
        if now < self.situation.begin:
            return self.situation.begin
        if self._quiet(progress) or now - self._asked > _PATIENCE_NS:
            # Not `now`: the time it took to look is not the connection's.
            return time.monotonic_ns()
        return None

    def _quiet(self, progress: Progress) -> bool:
        areas = self.situation.areas
        closed = not areas or sum(area["closed"] for area in areas) >= progress.established
        return not progress.open_now and closed and self._sleepers.all_asleep()
