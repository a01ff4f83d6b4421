"""Which arrival an accept took, told by listener and peer as the records are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from herd.probes import joined as module
from herd.probes.events import EVENT, KIND_ACCEPT, KIND_ARRIVAL, KIND_LAP, KIND_WAKEUP
from herd.probes.joined import joined

#: Peer and port; at which listener.
PEER = (0x7F000001, 40001, 1)


class Records:
    """Made one after the other, a nanosecond apart."""

    def __init__(self) -> None:
        self.made: list[np.ndarray] = []
        self.arrivals = 0

    def _add(self, kind: int, who: tuple[int, int, int], arrival: int = 0) -> None:
        record = np.zeros(1, EVENT)
        record["time"] = 1000 + len(self.made)
        lap = KIND_LAP * (len(self.made) % 2)
        record["kind"], record["arrival"] = kind | lap, arrival
        record["peer"], record["peer_port"], record["listener"] = who
        self.made.append(record)

    def arrive(self, *who: tuple[int, int, int]) -> None:
        for one in who:
            self.arrivals += 1
            self._add(KIND_ARRIVAL, one, self.arrivals)

    def accept(self, *who: tuple[int, int, int]) -> None:
        for one in who:
            self._add(KIND_ACCEPT, one)

    def wake(self) -> None:
        self._add(KIND_WAKEUP, (0, 0, 1), arrival=7)

    def joined(self, most: int) -> list[tuple[int, int]]:
        """Number and time of the arrival of each accept, when ``most`` records are read at a time."""
        accepts = [part[part["kind"] & 127 == KIND_ACCEPT] for part in joined(self.parts(most))]
        return [(int(one["arrival"]), int(one["end"])) for part in accepts for one in part]

    def parts(self, most: int) -> Iterator[np.ndarray]:
        for first in range(0, len(self.made), most):
            yield np.concatenate(self.made[first : first + most])


@pytest.fixture
def records() -> Records:
    return Records()


def peers(count: int, listener: int = 1) -> list[tuple[int, int, int]]:
    return [(0x7F000001 + n % 3, 65535 - n, listener) for n in range(count)]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_each_accept_has_its_own_arrival(most, records):
    first, second, third = peers(3)
    records.arrive(first, second)
    records.wake()
    records.accept(second)
    records.arrive(third)
    records.accept(third, first)
    assert records.joined(most) == [(2, 1001), (3, 1004), (1, 1000)]


@pytest.mark.parametrize("most", [1, 2, 7, 1000])
def test_a_long_queue_is_kept_in_mind(most, records):
    records.arrive(*peers(300))
    records.accept(*reversed(peers(300)))
    assert [arrival for arrival, _ in records.joined(most)] == list(range(300, 0, -1))


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_a_peer_that_comes_again_is_another_arrival(most, records):
    for _ in range(3):
        records.arrive(PEER)
        records.accept(PEER)
    assert records.joined(most) == [(1, 1000), (2, 1002), (3, 1004)]


@pytest.mark.parametrize("most", [1, 2, 100])
def test_who_died_in_the_queue_is_not_who_came_after(most, records):
    records.arrive(PEER, PEER)
    records.accept(PEER, PEER)  # the second: whatever it was, its arrival isn't known
    assert records.joined(most) == [(2, 1001), (0, 0)]


@pytest.mark.parametrize("most", [1, 100])
def test_who_came_before_anybody_looked_has_no_arrival(most, records):
    records.accept(PEER)
    records.arrive(PEER)
    assert records.joined(most) == [(0, 0)]


def test_listeners_of_the_same_peer_are_told_apart(records):
    """A connection that was moved from a listener that was closed didn't arrive at the one that has it."""
    records.arrive((*PEER[:2], 1), (*PEER[:2], 2))
    records.accept((*PEER[:2], 3), (*PEER[:2], 2), (*PEER[:2], 1))
    assert records.joined(100) == [(0, 0), (2, 1001), (1, 1000)]


def test_all_of_an_address_counts(records):
    one, other = (0xFFFFFFFF, 1, 65535), (0xFFFFFFFE, 1, 65535)
    records.arrive(one, other)
    records.accept(other, one)
    assert [arrival for arrival, _ in records.joined(100)] == [2, 1]


def test_unix_clients_are_left_as_the_kernel_joined_them(records):
    unix = (0, 0, 1)
    records.arrive(unix)
    records.accept(unix)
    records.made[-1]["arrival"], records.made[-1]["end"] = 9, 0
    assert records.joined(100) == [(9, 0)]


def test_what_nobody_is_seen_to_accept_does_not_grow_without_end(records, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 4)
    records.arrive(*peers(10))
    records.accept(*peers(10))
    assert [arrival for arrival, _ in records.joined(20)] == list(range(1, 11))
    assert [arrival for arrival, _ in records.joined(1)] == [0] * 6 + [7, 8, 9, 10]


def test_nothing_else_is_changed(records):
    records.wake()
    records.arrive(PEER)
    before = np.concatenate(records.made)
    assert (np.concatenate(list(joined(records.parts(2)))) == before).all()
    assert list(joined([])) == []
