"""Whom an arrival wakes, by its place among those that waited: the order of the kernel's queue, from outside.

A worker waits from when it slept again (``slept_ns``) until it is made runnable (``time_ns`` of its next
wakeup), if what it then was blocked in can tell of connections; one that is still asleep at the end waits.
Waiters are looked at the moment before the first wakeup of an arrival: that is when the kernel walks through
its queue (``__wake_up_common()``, kernel/sched/wait.c). Only who waits for the arrival's listener counts.

What the order in a queue goes by differs: ``accept`` and tasks in one epoll set are queued anew at each
wait, so there it is how long each has waited (``rank``: 0 is FIFO, ``waiting`` - 1 LIFO). Items of epoll sets
of their own stay where they registered (``registered``), and so do entries of ``EPOLLEXCLUSIVE``.

The wakeups are read a row group at a time, twice: memory doesn't grow with the recording. What one group
needs of the others is little, and is kept from the first reading (:class:`_Survey`): in what each worker's
next wakeup finds it blocked, and the few rows whose arrival an earlier group is about, since a wakeup is
written when it ends.
"""

from __future__ import annotations

from collections import Counter
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
    _Rows = dict[str, NDArray[Any]]

#: What a worker can be blocked in while it waits for connections.
LISTENING: Final = ("accept", "epoll", "select", "poll", "io_uring", "signal")
_COLUMNS: Final = ("time_ns", "worker", "cause", "arrival", "blocked_in", "running_ns", "slept_ns")
#: Since when one waits that waited before its first wakeup that was seen, and until when who never wakes.
_EVER: Final = -(1 << 62)
_NEVER: Final = 1 << 62
#: Moments, each with every worker, that are in memory at a time.
_CELLS: Final = 1 << 21
_PLACES: Final = ("waiting", "rank", "registered")


def ranks(recording: Recording) -> Iterator[pd.DataFrame]:
    """A row for each wakeup that an arrival caused directly, by arrival, then time; some arrivals at a time.

    :returns: ``arrival``; ``worker``; ``place``, how many the arrival had woken before; ``waiting``, how many
        waited for its listener; ``rank``, how many of them had waited longer; ``registered``, how many of
        them had begun to wait before this one when the recording began. The last three are null where it
        isn't known to have waited, the last two also where it had waited, as others, since before the
        recording.
    """
    import pandas as pd

    for rows in _placed(recording):
        known = {name: _nullable(rows[name]) for name in _PLACES}
        yield pd.DataFrame({name: rows[name] for name in ("arrival", "worker", "place")} | known)


def first_woken(recording: Recording) -> pd.DataFrame:
    """Whom arrivals woke first, and how often.

    :returns: a row for each ``worker``, ``waiting``, ``rank`` and ``registered`` that there was, which are
        those of :func:`ranks`, and ``arrivals``, how many
    """
    import pandas as pd

    names = ("worker", *_PLACES)
    shape = (len(recording.workers) + 2,) * len(names)
    counts: Counter[int] = Counter()
    for rows in _placed(recording, first=True):
        cells = np.ravel_multi_index([rows[name] + 1 for name in names], shape)
        found, times = np.unique(cells, return_counts=True)
        counts.update(dict(zip(found.tolist(), times.tolist(), strict=True)))
    columns = np.unravel_index(np.array(sorted(counts), "int64"), shape)
    table = {name: _nullable(values - 1) for name, values in zip(names, columns, strict=True)}
    return pd.DataFrame(table | {"arrivals": [counts[cell] for cell in sorted(counts)]})


def share(first: pd.DataFrame, such: pd.Series[Any]) -> float | None:
    """The share of arrivals whose first wakeup is such a one; None if that's known of none.

    :param first: as :func:`first_woken` returns it
    :param such: for each row; null where it isn't known
    """
    known = first["arrivals"][such.notna()]
    return float(known[such[such.notna()]].sum() / known.sum()) if known.sum() else None


def _nullable(values: _Integers) -> pd.api.extensions.ExtensionArray:
    import pandas as pd

    unknown = values < 0
    return pd.arrays.IntegerArray(np.where(unknown, 0, values), unknown)


def _placed(recording: Recording, *, first: bool = False) -> Iterator[_Rows]:
    """The columns of :func:`ranks`, some arrivals at a time; -1: not known.

    :param first: only the first wakeup of each arrival
    """
    listeners = recording.workers["listener"].fillna(0).to_numpy("uint64")
    survey = _Survey(recording, len(listeners))
    at_a_time = max(1, _CELLS // max(1, len(listeners)))
    for woken, waits in _groups(recording, survey):
        queue = _Queue(waits, survey.begun, listeners)
        starts = np.flatnonzero(np.diff(woken["arrival"], prepend=0))
        if first:
            woken, starts = _select(woken, starts), np.arange(len(starts))
        for begin, end in pairwise([*starts[::at_a_time].tolist(), len(woken["arrival"])]):
            rows = {name: column[begin:end] for name, column in woken.items()}
            yield rows | queue.places(rows)


def _groups(recording: Recording, survey: _Survey) -> Iterator[tuple[_Rows, _Rows]]:
    """For each row group: whom the arrivals that it is about woke directly, and all waits of that time."""
    asleep = np.full(survey.workers, _EVER)
    waits = _nothing()
    for number, rows in enumerate(_read(recording, asleep)):
        waits = _concatenate([waits, rows])
        to_come = survey.to_come[number] | {"since": asleep}
        yield survey.woken(number, rows), _concatenate([waits, to_come])
        waits = _select(waits, waits["time_ns"] >= survey.horizon[number])


class _Survey:
    """A first reading, for what one row group needs of the others.

    A group is about the arrivals that no earlier one has reached.

    :ivar begun: since when each worker waited for a connection for the first time
    :ivar to_come: after each group, every worker's next row, in a later one
    :ivar horizon: after each group, the earliest moment that a later one is about
    """

    def __init__(self, recording: Recording, workers: int) -> None:
        self.workers = workers
        self.begun = np.full(workers, _NEVER)
        self._reached = [0]
        asleep = np.full(workers, _EVER)
        firsts, late, earliest = [], [_nothing()], []
        for rows in _read(recording, asleep):
            self._note_begun(rows)
            firsts.append(_select(rows, np.diff(rows["worker"], prepend=-1) > 0))
            beyond = rows["arrival"] > self._reached[-1]
            late.append(_select(rows, rows["direct"] & ~beyond))
            own = rows["direct"] & beyond
            earliest.append(rows["time_ns"].min(initial=_NEVER, where=own))
            self._reached.append(rows["arrival"].max(initial=self._reached[-1], where=own))
        # Who is asleep at the end waits, too.
        self.begun = np.minimum(self.begun, asleep)
        self.to_come = _to_come(firsts, workers)
        self._late = _concatenate(late)
        self._about = np.searchsorted(self._reached, self._late["arrival"]) - 1
        moments = np.array([*earliest, _NEVER])
        np.minimum.at(moments, self._about, self._late["time_ns"])
        self.horizon = np.minimum.accumulate(moments[::-1])[::-1][1:]

    def _note_begun(self, rows: _Rows) -> None:
        first = rows["listening"] & (rows["since"] < self.begun[rows["worker"]])
        np.minimum.at(self.begun, rows["worker"][first], rows["since"][first])

    def woken(self, number: int, rows: _Rows) -> _Rows:
        """The direct wakeups of the arrivals that group ``number`` is about, by arrival, then time."""
        own = np.flatnonzero(rows["direct"] & (rows["arrival"] > self._reached[number]))
        late = self._about == number
        found = {
            name: np.concatenate([rows[name][own], self._late[name][late]])
            for name in ("arrival", "time_ns", "worker")
        }
        return _select(found, np.lexsort((found["time_ns"], found["arrival"])))


def _to_come(firsts: list[_Rows], workers: int) -> list[_Rows]:
    """After each group, every worker's next row.

    :param firsts: of each group, the first row of each worker that is in it
    """
    # Who never wakes again: what it waits for will never be known, and mostly it is a connection.
    rows = {
        "worker": np.arange(workers),
        "time_ns": np.full(workers, _NEVER),
        "listening": np.full(workers, True),
    }
    found = []
    for first in reversed(firsts):
        found.append(rows)
        rows = {name: column.copy() for name, column in rows.items()}
        for name, column in rows.items():
            column[first["worker"]] = first[name]
    return found[::-1]


class _Queue:
    """Who waited at a moment, and where."""

    def __init__(self, waits: _Rows, begun: _Integers, listeners: NDArray[Any]) -> None:
        """:param waits: ``since`` until ``time_ns``, of each worker in the order of time."""
        known = _by_worker(_select(waits, waits["listening"] & (waits["since"] < _NEVER)))
        bounds = np.searchsorted(known["worker"], np.arange(len(begun) + 1)).tolist()
        self._waits = [
            (known["since"][low:high], known["time_ns"][low:high]) for low, high in pairwise(bounds)
        ]
        self._begun = begun
        self._listeners = listeners

    def places(self, woken: _Rows) -> _Rows:
        """``place``, ``waiting``, ``rank`` and ``registered`` of each; -1: not known.

        :param woken: by arrival, then time
        """
        head = np.diff(woken["arrival"], prepend=0) != 0
        of = np.cumsum(head) - 1
        heads, who = np.flatnonzero(head), woken["worker"]
        since = self._since(woken["time_ns"][heads])
        # Who sleeps on another listener doesn't wait for this one.
        since[self._listeners != self._listeners[who[heads]][:, None]] = _NEVER
        mine, own = since[of, who], self._begun[who]
        waited = mine < _NEVER
        unsure = (mine == _EVER) & ((since == _EVER).sum(axis=1)[of] > 1)
        strange = (own == _EVER) & ((self._begun == _EVER).sum() > 1)
        rank, registered = (
            _before(since),
            _before_in(np.argsort(self._begun, kind="stable"), since < _NEVER),
        )
        return {
            "place": np.arange(len(of)) - heads[of],
            "waiting": np.where(waited, (since < _NEVER).sum(axis=1)[of], -1),
            "rank": np.where(waited & ~unsure, rank[of, who], -1),
            "registered": np.where(waited & ~strange, registered[of, who], -1),
        }

    def _since(self, times: _Integers) -> _Integers:
        """A row a moment, a column a worker: since when it waited then, ``_NEVER`` if it did not."""
        found = np.full((len(times), len(self._waits)), _NEVER)
        for worker, (since, until) in enumerate(self._waits):
            if len(since):
                last = np.searchsorted(since, times) - 1
                waits = (last >= 0) & (times <= until[last])
                found[waits, worker] = since[last[waits]]
        return found


def _before(values: _Integers) -> NDArray[np.int16]:
    """How many of its row come before each value."""
    order = np.argsort(values, axis=1, kind="stable")
    found = np.empty(values.shape, "int16")
    np.put_along_axis(found, order, np.arange(values.shape[1], dtype="int16")[None], axis=1)
    return found


def _before_in(order: _Integers, there: NDArray[np.bool_]) -> NDArray[np.int16]:
    """How many of its row that are there come before each column, in such an order of the columns."""
    found = np.empty(there.shape, "int16")
    found[:, order] = np.cumsum(there[:, order], axis=1, dtype="int16") - there[:, order]
    return found


def _read(recording: Recording, asleep: _Integers) -> Iterator[_Rows]:
    """Each row group by worker, then time, with ``since`` when it had slept before.

    :param asleep: since when each worker sleeps: after each group, what it is then
    """
    for group in recording.batches("wakeups", _COLUMNS):
        rows = _by_worker(_columns(group))
        worker, slept = rows["worker"], rows["slept_ns"]
        first = np.diff(worker, prepend=-1) > 0
        since = np.roll(slept, 1)
        since[first] = asleep[worker[first]]
        last = np.diff(worker, append=len(asleep)) > 0
        asleep[worker[last]] = slept[last]
        yield rows | {"since": since}


def _columns(rows: pa.Table) -> _Rows:
    import pyarrow.compute as pc

    # Not those on the way from a wakeup to accept: they don't end it, and are not seen to run or sleep.
    if rows["running_ns"].null_count:
        seen = rows["running_ns"].is_valid(), rows["slept_ns"].is_valid()
        rows = rows.filter(pc.or_(*seen))
    return {
        "time_ns": rows["time_ns"].to_numpy(),
        "slept_ns": rows["slept_ns"].fill_null(_NEVER).to_numpy(),
        "arrival": rows["arrival"].fill_null(0).to_numpy(),
        "worker": rows["worker"].to_numpy().astype("int64"),
        "listening": codes(rows["blocked_in"], LISTENING) < len(LISTENING),
        "direct": codes(rows["cause"], ("arrival",)) == 0,
    }


def _nothing() -> _Rows:
    empty = _columns(TABLES["wakeups"].arrow().empty_table())
    return empty | {"since": np.empty(0, "int64")}


def _by_worker(rows: _Rows) -> _Rows:
    # The file has each worker's wakeups in the order of time.
    return _select(rows, np.argsort(rows["worker"].astype("uint16"), kind="stable"))


def _select(rows: _Rows, which: NDArray[Any]) -> _Rows:
    return {name: column[which] for name, column in rows.items()}


def _concatenate(parts: list[_Rows]) -> _Rows:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[-1]}
