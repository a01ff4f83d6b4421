"""Whom an arrival wakes, by its place among those that waited: the order of the kernel's queue, from outside.

A worker waits from when it slept again (``slept_ns``) until it is made runnable (``time_ns`` of its next
wakeup), if what it then was blocked in can tell of connections; one that is still asleep at the end waits.
Waiters are looked at the moment before the first wakeup of an arrival: that is when the kernel walks through
its queue (``__wake_up_common()``, kernel/sched/wait.c). Only who waits for the arrival's listener counts.

What the order in a queue goes by differs: ``accept`` and tasks in one epoll set are queued anew at each
wait, so there it is how long each has waited (``rank``: 0 is FIFO, ``waiting`` - 1 LIFO). Items of epoll sets
of their own stay where they registered (``registered``), and so do entries of ``EPOLLEXCLUSIVE``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from herd.analysis.metrics import codes
from herd.recording.schema import TABLES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from herd.recording.read import Recording

    _Integers = NDArray[np.int64]

#: What a worker can be blocked in while it waits for connections.
LISTENING: Final = ("accept", "epoll", "select", "poll", "io_uring", "signal")
_COLUMNS: Final = ("time_ns", "worker", "cause", "arrival", "blocked_in", "running_ns", "slept_ns")
#: Since when one waits that waited before its first wakeup that was seen, and until when who never wakes.
_EVER: Final = -(1 << 62)
_NEVER: Final = 1 << 62
#: Comparisons of a woken worker with another one that are in memory at a time.
_CELLS: Final = 1 << 22


def ranks(recording: Recording) -> pd.DataFrame:
    """A row for each wakeup that an arrival caused directly, by arrival, then time.

    Each worker's wakeups must be seen in order: of all rows, a few columns are in memory, 50 bytes a wakeup.

    :returns: ``arrival``; ``worker``; ``place``, how many the arrival had woken before; ``waiting``, how many
        waited for its listener; ``rank``, how many of them had waited longer; ``registered``, how many of
        them had begun to wait before this one when the recording began. The last three are null where it
        isn't known to have waited, the last two also where it had waited, as others, since before the
        recording.
    """
    rows = _by_worker(recording)
    waits = _Waits(rows, len(recording.workers))
    direct = np.flatnonzero(rows["direct"])
    woken = direct[np.lexsort((rows["time_ns"][direct], rows["arrival"][direct]))]
    arrival, worker = rows["arrival"][woken], rows["worker"][woken]
    starts = np.flatnonzero(np.diff(arrival, prepend=0))
    listeners = recording.workers["listener"].fillna(0).to_numpy("uint64")
    found = [
        _places(waits, listeners, rows["time_ns"][woken], worker, starts[begin:end], last)
        for begin, end, last in _parts(starts, len(woken), waits.workers)
    ]
    place = np.arange(len(woken)) - np.repeat(starts, np.diff(np.append(starts, len(woken))))
    return _table(
        arrival, worker, place, np.concatenate([np.empty((3, 0), "int64"), *found], axis=1)
    )


def _by_worker(recording: Recording) -> dict[str, NDArray[Any]]:
    """Columns of the wakeups, of one worker after the other, each in the order of time."""
    nothing = _columns(TABLES["wakeups"].arrow().empty_table())
    parts = [nothing, *map(_columns, recording.batches("wakeups", _COLUMNS))]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in nothing}
    by_time = np.argsort(rows["time_ns"], kind="stable")
    order = by_time[np.argsort(rows["worker"][by_time].astype("uint16"), kind="stable")]
    return {name: column[order] for name, column in rows.items()}


def _columns(rows: pa.Table) -> dict[str, NDArray[Any]]:
    # Not those on the way from a wakeup to accept: they don't end it.
    rows = rows.filter(rows["running_ns"].is_valid())
    return {
        "time_ns": rows["time_ns"].to_numpy(),
        "slept_ns": rows["slept_ns"].fill_null(_NEVER).to_numpy(),
        "arrival": rows["arrival"].fill_null(0).to_numpy(),
        "worker": rows["worker"].to_numpy().astype("int64"),
        "listening": codes(rows["blocked_in"], LISTENING) < len(LISTENING),
        "direct": codes(rows["cause"], ("arrival",)) == 0,
    }


class _Waits:
    """When each worker waited for connections, and who began first."""

    def __init__(self, rows: dict[str, NDArray[Any]], workers: int) -> None:
        self.workers = workers
        bounds = np.searchsorted(rows["worker"], np.arange(workers + 1)).tolist()
        self._of = [
            _waits_of(*(rows[name][low:high] for name in ("slept_ns", "time_ns", "listening")))
            for low, high in pairwise(bounds)
        ]
        self.begun = np.array([since[0] if len(since) else _NEVER for since, _ in self._of])

    def since(self, times: _Integers) -> _Integers:
        """A row a time, a column a worker: since when it waited then, ``_NEVER`` if it did not."""
        found = np.full((len(times), self.workers), _NEVER)
        for worker, (since, until) in enumerate(self._of):
            last = np.searchsorted(since, times) - 1
            waits = (last >= 0) & (times <= until[last]) if len(since) else last >= 0
            found[waits, worker] = since[last[waits]]
        return found


def _waits_of(
    slept: _Integers, woken: _Integers, listening: NDArray[np.bool_]
) -> tuple[_Integers, _Integers]:
    """One worker's waits: since when and until when each."""
    since, until = np.append(_EVER, slept), np.append(woken, _NEVER)
    # Asleep at the end; what it waits for will never be known, and mostly it is a connection.
    waits = np.append(listening, True) & (since < _NEVER)
    return since[waits], until[waits]


def _parts(starts: _Integers, woken: int, workers: int) -> Iterator[tuple[int, int, int]]:
    """Arrivals, from and to, to look at together, and where the wakeups of the last of them end."""
    ends = np.append(starts[1:], woken)
    begin = 0
    while begin < len(starts):
        most = starts[begin] + _CELLS // workers
        end = max(begin + 1, int(np.searchsorted(ends, most, side="right")))
        yield begin, end, int(ends[end - 1])
        begin = end


def _places(
    waits: _Waits,
    listeners: NDArray[Any],
    time: _Integers,
    worker: _Integers,
    heads: _Integers,
    last: int,
) -> _Integers:
    """How many waited, and both ranks, of each woken by some arrivals; -1: not known.

    :param heads: the first wakeup of each arrival
    :param last: where the wakeups of the last one end
    """
    who = worker[heads[0] : last]
    row = np.repeat(np.arange(len(heads)), np.diff(np.append(heads, last)))
    since = waits.since(time[heads])
    # Who sleeps on another listener doesn't wait for this one.
    since[listeners != listeners[worker[heads]][:, None]] = _NEVER
    others, mine = since[row], since[row, who]
    waited = mine < _NEVER
    begun, own = waits.begun, waits.begun[who]
    unsure = (mine == _EVER) & ((since == _EVER).sum(axis=1)[row] > 1)
    strange = (own == _EVER) & ((begun == _EVER).sum() > 1)
    rank = (others < mine[:, None]).sum(axis=1)
    registered = ((others < _NEVER) & (begun < own[:, None])).sum(axis=1)
    return np.array(
        [
            np.where(waited, (since < _NEVER).sum(axis=1)[row], -1),
            np.where(waited & ~unsure, rank, -1),
            np.where(waited & ~strange, registered, -1),
        ]
    )


def _table(
    arrival: _Integers, worker: _Integers, place: _Integers, found: _Integers
) -> pd.DataFrame:
    import pandas as pd

    names = ("waiting", "rank", "registered")
    known = {
        name: pd.array(np.where(values < 0, 0, values), "Int64")
        for name, values in zip(names, found, strict=True)
    }
    for values, column in zip(found, known.values(), strict=True):
        column[values < 0] = pd.NA
    return pd.DataFrame({"arrival": arrival, "worker": worker, "place": place} | known)
