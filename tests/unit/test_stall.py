"""A count that should grow, and doesn't: noticed when patience is at an end, not before."""

from __future__ import annotations

import pytest

from herd import stall
from herd.stall import Stall


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(stall, "time", clock)
    return clock


def seen(clock: Clock, counts: list[int | None]) -> list[bool]:
    """Whether each of them, a second apart, shows a stall that lasts for more than two."""
    watched = Stall(2.0)
    found = []
    for count in counts:
        found.append(watched.lasts(count))
        clock.now += 1
    return found


@pytest.mark.parametrize(
    ("counts", "since"),
    [
        ([5, 5, 5, 5, 5], 3),
        ([0, 0, 0, 0, 0], 3),
        ([1, 2, 3, 4, 5, 6], None),
        ([1, 1, 1, 2, 2, 2], None),
        ([1, 1, 1, 2, 2, 2, 2], 6),
        ([5, 5, 5, None, 5, 5, 5], None),
        ([5, None, 5, 5, 5, 5], 5),
        ([None] * 9, None),
    ],
)
def test_a_count_that_stays_the_same_for_longer_than_patience_lasts(counts, since, clock):
    expected = [since is not None and second >= since for second in range(len(counts))]
    assert seen(clock, counts) == expected
