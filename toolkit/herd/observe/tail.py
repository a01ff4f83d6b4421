"""What a probe has written so far, while it goes on writing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from herd.probes.events import EVENT, KIND_ACCEPT, KIND_WAKEUP, by_arrival, kinds

_CHUNK: Final = 1 << 13  # half a MiB: memory that malloc keeps, where more is mapped anew each time
_Array = np.ndarray[Any, Any]


@dataclass
class Tally:
    """What one worker did, since the tally was begun."""

    accepts: int = 0
    wakeups: int = 0  #: by an arrival
    wasted: int = 0  #: of them, without a connection accepted
    latencies: list[_Array] = field(default_factory=list)  #: made runnable → running, ns

    def wake_latency_us(self) -> float | None:
        """The median; ``None`` if it was never woken."""
        found = np.concatenate(self.latencies) if self.latencies else np.empty(0)
        return float(np.median(found)) / 1000 if len(found) else None


class Tail:
    """Reads records as they come into a probe's file.

    :param path: of the file; it may not be there yet
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def news(self) -> dict[int, Tally]:
        """What happened since the last call, by thread id."""
        found: dict[int, Tally] = {}
        while len(events := self._next()):
            _count(events, found)
        return found

    def _next(self) -> _Array:
        try:
            records = np.fromfile(self._path, EVENT, _CHUNK, offset=self._read * EVENT.itemsize)
        except FileNotFoundError:
            records = np.empty(0, EVENT)
        self._read += len(records)
        return records


def _count(events: _Array, tallies: dict[int, Tally]) -> None:
    # compress(), since to index structures takes several times as long.
    kind = kinds(events)
    accepted = events["tid"].compress(kind == KIND_ACCEPT)
    woken = events.compress((kind == KIND_WAKEUP) & by_arrival(events))
    for tid in np.union1d(accepted, woken["tid"]).tolist():
        tally = tallies.setdefault(tid, Tally())
        mine = woken.compress(woken["tid"] == tid)
        tally.accepts += int((accepted == tid).sum())
        tally.wakeups += len(mine)
        tally.wasted += int((mine["accepts"] == 0).sum())
        ran = mine.compress(mine["begin"] != 0)
        tally.latencies.append((ran["begin"] - ran["time"]).astype("int64"))
