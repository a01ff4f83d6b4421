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

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from herd.recording.read import Recording

    _Integers = NDArray[np.int64]

#: What a worker can be blocked in while it waits for connections.
LISTENING: Final = ("accept", "epoll", "select", "poll", "io_uring", "signal")
_COLUMNS: Final = ["time_ns", "worker", "cause", "arrival", "blocked_in", "running_ns", "slept_ns"]
#: Since when one waits that waited before its first wakeup that was seen, and until when who never wakes.
_EVER: Final = -(1 << 62)
_NEVER: Final = 1 << 62
#: Cells of the table arrival x worker that are in memory at a time.
_CELLS: Final = 1 << 21


def ranks(recording: Recording) -> pd.DataFrame:
    """A row for each wakeup that an arrival caused directly, in the order of time.

    It needs the wakeups in the order of each worker's time, and so seven of their columns in memory.

    :returns: ``arrival``; ``worker``; ``place``, how many the arrival had woken before; ``waiting``, how many
        waited for its listener; ``rank``, how many of them had waited longer; ``registered``, how many of them
        had begun to wait before this one when the recording began. The last three are null where it
        isn't known to have waited, the last two also where it had waited, as others, since before the
        recording.
    """
    rows = recording.table("wakeups", _COLUMNS) if "wakeups" not in vars(recording) else None
    rows = recording.wakeups[_COLUMNS] if rows is None else rows
    # Not those on the way from a wakeup to accept: they don't end it.
    rows = rows[rows["running_ns"].notna()].sort_values(["worker", "time_ns"], ignore_index=True)
    waits = _Waits(rows, len(recording.workers))
    woken = rows[rows["cause"] == "arrival"].sort_values("time_ns", ignore_index=True)
    listeners = recording.workers["listener"].fillna(0).to_numpy("uint64")
    return _ranked(woken[["arrival", "time_ns", "worker"]].astype("int64"), waits, listeners)


class _Waits:
    """When each worker waited for connections, and who began first."""

    def __init__(self, rows: pd.DataFrame, workers: int) -> None:
        self.workers = workers
        listening = rows["blocked_in"].isin(LISTENING).to_numpy()
        until = rows["time_ns"].to_numpy("int64")
        slept = rows["slept_ns"].fillna(_NEVER).to_numpy("int64")
        bounds = np.searchsorted(rows["worker"].to_numpy("int64"), np.arange(workers + 1))
        self._of = [
            _waits_of(slept[low:high], until[low:high], listening[low:high])
            for low, high in zip(bounds[:-1], bounds[1:], strict=True)
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


def _ranked(woken: pd.DataFrame, waits: _Waits, listeners: NDArray[Any]) -> pd.DataFrame:
    woken = woken.sort_values(["arrival", "time_ns"], ignore_index=True)
    first = ~woken["arrival"].duplicated().to_numpy()
    number = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    worker = woken["worker"].to_numpy()
    found = np.full((3, len(woken)), -1)
    step = max(1, _CELLS // waits.workers)
    for begin in range(0, len(starts), step):
        part = slice(starts[begin], np.append(starts, len(woken))[min(begin + step, len(starts))])
        who, row = worker[part], number[part] - begin
        heads = starts[begin : begin + step]
        since = waits.since(woken["time_ns"].to_numpy()[heads])
        # Who sleeps on another listener doesn't wait for this one.
        since[listeners != listeners[worker[heads]][:, None]] = _NEVER
        found[:, part] = _places(since, waits.begun, row, who)
    return _table(woken, np.arange(len(woken)) - starts[number], found)


def _places(since: _Integers, begun: _Integers, row: _Integers, who: _Integers) -> _Integers:
    """Of each woken (a row and column of ``since``): how many waited; its ranks; -1: not known."""
    waits = since < _NEVER
    mine = since[row, who]
    waiting = np.where(mine < _NEVER, waits.sum(axis=1)[row], -1)
    unsure = (waiting < 0) | ((mine == _EVER) & ((since == _EVER).sum(axis=1)[row] > 1))
    rank = _order(since)[row, who]
    order = np.argsort(begun, kind="stable")
    place = np.cumsum(waits[:, order], axis=1)[:, np.argsort(order)] - 1
    strange = (waiting < 0) | ((begun[who] == _EVER) & ((begun == _EVER).sum() > 1))
    return np.array(
        [waiting, np.where(unsure, -1, rank), np.where(strange, -1, place[row, who])], "int64"
    )


def _order(since: _Integers) -> _Integers:
    """Each cell's place in its row's ascending order."""
    found: _Integers = np.argsort(np.argsort(since, axis=1, kind="stable"), axis=1, kind="stable")
    return found


def _table(woken: pd.DataFrame, place: _Integers, found: _Integers) -> pd.DataFrame:
    import pandas as pd

    known = {
        name: pd.array(values, "Int64")
        for name, values in zip(("waiting", "rank", "registered"), found, strict=True)
    }
    for values in known.values():
        values[values < 0] = pd.NA
    return woken[["arrival", "worker"]].assign(place=place, **known)
