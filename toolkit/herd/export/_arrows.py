"""The arrows of a trace: from an arrival to each wakeup that it caused, and on to the accept that took it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from herd.export._source import Source


class Arrows:
    """Their numbers, from 1. Ask for an arrival's, then for the wakeups', then for the accepts'.

    The arrow to the wakeup of the worker that took the arrival goes on to its accept. Where the taker was
    not woken by that arrival, for it was awake anyway, an arrow leads from the arrival straight to the
    accept. What refers to an arrival that isn't in the table has none. Memory: 41 bytes an arrival, whatever
    it woke.
    """

    def __init__(self, source: Source) -> None:
        numbers = [_numpy(batch, "arrival") for batch in source.batches("arrivals", "arrival")]
        size = 1 + int(max((part.max(initial=0) for part in numbers), default=0))
        self._known = np.zeros(size, bool)
        for part in numbers:
            self._known[part] = True
        self._taker = np.full(size, -1, "i4")
        self._taken_ns = np.zeros(size, "i8")
        self._through = np.zeros(size, "i8")
        self._count = np.zeros(size, "i4")
        self._find_takers(source)
        self._count_wakeups(source)
        self._next = 1 + np.cumsum(self._count, dtype="i8") - self._count

    def _find_takers(self, source: Source) -> None:
        for arrival, worker, time_ns in self._parts(source, "accepts"):
            self._taker[arrival] = worker
            self._taken_ns[arrival] = time_ns

    def _count_wakeups(self, source: Source) -> None:
        straight = self._taker >= 0
        for arrival, worker, time_ns in self._parts(source, "wakeups"):
            np.add.at(self._count, arrival, 1)
            straight[arrival[self._leads_to_accept(arrival, worker, time_ns)]] = False
        self._count += straight

    def _parts(self, source: Source, table: str) -> Any:
        """``arrival``, ``worker``, ``time_ns`` of the rows whose arrival is in the table of arrivals."""
        for batch in source.batches(table, "arrival", "worker", "time_ns"):
            known = batch.filter(batch["arrival"].is_valid())
            columns = [_numpy(known, name) for name in ("arrival", "worker", "time_ns")]
            inside = columns[0] < len(self._known)
            here = inside & self._known[np.where(inside, columns[0], 0)]
            yield [column[here] for column in columns]

    def _knows(self, arrival: int) -> bool:
        return arrival < len(self._known) and bool(self._known[arrival])

    def _leads_to_accept(self, arrival: Any, worker: Any, time_ns: Any) -> Any:
        return (self._taker[arrival] == worker) & (time_ns <= self._taken_ns[arrival])

    def from_arrival(self, arrival: int) -> range:
        """Those that begin there."""
        first = int(self._next[arrival])
        return range(first, first + int(self._count[arrival]))

    def to_wakeup(
        self, arrival: int | None, worker: int, time_ns: int
    ) -> tuple[list[int], list[int]]:
        """The one that leads there, if it goes on to an accept; else if it ends. One call a wakeup."""
        if arrival is None or not self._knows(arrival):
            return [], []
        number = int(self._next[arrival])
        self._next[arrival] += 1
        if self._through[arrival] or not self._leads_to_accept(arrival, worker, time_ns):
            return [], [number]
        self._through[arrival] = number
        return [number], []

    def to_accept(self, arrival: int | None) -> list[int]:
        """The one that ends there, if there is one."""
        if arrival is None or not self._knows(arrival):
            return []
        # Past the wakeups' numbers there is that of the arrow that leads straight to the accept.
        return [int(self._through[arrival] or self._next[arrival])]


def _numpy(batch: pa.RecordBatch, name: str) -> Any:
    return batch[name].to_numpy(zero_copy_only=False)
