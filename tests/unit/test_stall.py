"""A count that should grow, and doesn't: noticed when patience is at an end, not before, nor by a pause."""

from __future__ import annotations

import pytest

from herd import stall
from herd.stall import Pauses, Stall


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000

    def monotonic_ns(self) -> int:
        return self.now * 1_000_000_000


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


def test_who_did_not_look_for_long_stood_still_itself(clock):
    pauses, found = Pauses(), []
    for passed in (0, 1, 0, 30, 1):
        clock.now += passed
        found.append(pauses.look())
    assert found == [0, 0, 0, 30_000_000_000, 0]


def test_time_in_which_nobody_could_look_is_no_stall(clock):
    watched = Stall(2.0)
    found = []
    for passed in (0, 1, 30, 1, 1, 1):
        clock.now += passed
        found.append(watched.lasts(5))
    assert found == [False, False, False, False, False, True]
