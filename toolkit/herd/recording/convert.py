"""From what the processes of a run wrote down to rows of the schema; vectorised, chunk by chunk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from herd.families import Family
from herd.probes.events import (
    BLOCKED_IN,
    FLAG_CHAINED,
    FLAG_HANDED,
    FLAG_RETURNED,
    FLAG_UNTOLD,
    FLAG_UNTRIED,
    KIND_ACCEPT,
    KIND_ARRIVAL,
    KIND_CALL,
    KIND_WAKEUP,
    Columns,
    by_arrival,
    columns,
    in_order,
    kinds,
)
from herd.probes.joined import joined
from herd.recording.schema import CAUSES, OUTCOMES, TABLES

_Array = np.ndarray[Any, Any]
#: Rows that are converted at a time, and the most that a row group has.
CHUNK: Final = 1 << 18


def _null_where(values: _Array, missing: _Array) -> pa.Array:
    return pa.array(values, mask=missing)


def _time(values: _Array) -> pa.Array:
    """Nanoseconds, with 0 for "did not happen"."""
    return _null_where(values.astype("int64"), values == 0)


def _text(codes: _Array, names: list[str | None]) -> pa.Array:
    """Dictionary-encoded text; a code whose name is None is null."""
    known = [name for name in names if name is not None]
    index = [known.index(name) if name is not None else None for name in names]
    return pa.DictionaryArray.from_arrays(pa.array(index, "int32"), known).take(pa.array(codes))


def _addresses(values: _Array, family: Family | None, missing: _Array | None = None) -> pa.Array:
    distinct, codes = np.unique(values, return_inverse=True)
    names = [family.text(value) if family else None for value in distinct.tolist()]
    if missing is not None:
        codes = np.where(missing, len(names), codes)
    return _text(codes, [*names, None])


def _ports(values: _Array) -> pa.Array:
    return _null_where(values.astype("int32"), values == 0)


def _errors(values: _Array) -> pa.Array:
    distinct, codes = np.unique(values, return_inverse=True)
    names = [
        errno.errorcode.get(value, str(value)) if value else None for value in distinct.tolist()
    ]
    return _text(codes, names)


def _table(name: str, columns: dict[str, Any]) -> pa.Table:
    schema = TABLES[name].arrow()
    rows = next(len(column) for column in columns.values() if column is not None)
    arrays = []
    for wanted in schema:
        column = columns[wanted.name]
        if column is None:
            column = pa.nulls(rows, wanted.type)
        arrays.append(column if isinstance(column, pa.Array) else pa.array(column))
    return pa.table(arrays, names=schema.names).cast(schema)


@dataclass(frozen=True)
class Cast:
    """Who took part.

    :param family: of the clients; ``None``: what is kept of their addresses doesn't name them
    :param tids: the workers' thread ids, by worker
    :param cookies: the listeners' cookies, in the order in which the probe numbered them from 1
    :param functions: the names of the functions whose calls were recorded, likewise
    """

    family: Family | None
    tids: list[int]
    cookies: list[int]
    functions: list[str] = field(default_factory=list)

    def worker_of(self, tids: _Array) -> _Array:
        """Worker numbers of thread ids; -1: of nobody's."""
        return self._workers.take(np.minimum(tids, len(self._workers) - 1))

    @cached_property
    def _workers(self) -> _Array:
        """By thread id, and one for all higher ones. (To search takes ten times as long.)"""
        found = np.full(max(self.tids, default=0) + 2, -1, "int32")
        found[self.tids] = np.arange(len(self.tids))
        return found

    def cookie_of(self, index: _Array) -> pa.Array:
        """Cookies of listener numbers; 0 is null."""
        cookies = np.array([0, *self.cookies], dtype="u8")[index]
        return _null_where(cookies, index == 0)


def connections(rows: _Array, family: Family) -> pa.Table:
    """Rows of ``herd.traffic.log.LAYOUT`` → connections."""
    times = ("intended", "started", "established", "first_byte", "closed")
    columns: dict[str, Any] = {f"{name}_ns": _time(rows[name]) for name in times}
    return _table(
        "connections",
        columns
        | {
            "source": _addresses(rows["source"], family),
            "port": _ports(rows["port"]),
            "error": _errors(rows["error"]),
        },
    )


def own_accepts(worker: int, tid: int, cookie: int, rows: _Array, cast: Cast) -> pa.Table:
    """A worker's own log → accepts, for a run without a probe: who and when, but not from where."""
    size = len(rows)
    return _table(
        "accepts",
        {
            "time_ns": _time(rows["accepted"]),
            "worker": np.full(size, worker, "int32"),
            "tid": np.full(size, tid, "int32"),
            "listener": np.full(size, cookie, "u8"),
            "peer": _addresses(rows["peer"], cast.family),
            "peer_port": _ports(rows["peer_port"]),
        }
        | dict.fromkeys(("entered_ns", "cpu", "arrival", "queue_delay_ns")),
    )


def _arrivals(e: Columns, cast: Cast) -> pa.Table:
    return _table(
        "arrivals",
        {
            "arrival": e["arrival"].astype("int64"),
            "time_ns": _time(e["time"]),
            "cpu": e["cpu"].astype("int32"),
            "listener": cast.cookie_of(e["listener"]),
            "queue_length": e["amount"].astype("int64"),
            "peer": _addresses(e["peer"], cast.family, e["peer_port"] == 0),
            "peer_port": _ports(e["peer_port"]),
        },
    )


def _wakeups(e: Columns, cast: Cast) -> pa.Table:
    caused = by_arrival(e)
    returned = (e["flags"] & FLAG_RETURNED) != 0
    outcome = np.where(e["accepts"] > 0, 0, np.where(returned, 2, 1))
    # Not asleep again by the end, or not told where it had been: only an accept that was made is known.
    untold = (e["end"] == 0) | (~returned & ((e["flags"] & FLAG_UNTOLD) != 0))
    unknown = ~caused | (untold & (e["accepts"] == 0))
    running = e["begin"] != 0
    chained = (e["flags"] & FLAG_CHAINED) != 0
    handed = (e["flags"] & FLAG_HANDED) != 0
    locked = e["what"] == BLOCKED_IN.index("lock")
    # The first that is true; else 0, another cause.
    causes = [caused & chained, caused, locked, handed]
    cause = np.select(causes, [2, 1, 3, 4], 0).astype("int32")
    return _table(
        "wakeups",
        {
            "time_ns": _time(e["time"]),
            "cpu": e["cpu"].astype("int32"),
            "worker": cast.worker_of(e["tid"]),
            "tid": e["tid"].astype("int32"),
            "cause": _text(cause, list(CAUSES)),
            "arrival": _null_where(e["arrival"].astype("int64"), ~caused),
            "listener": cast.cookie_of(np.where(caused, e["listener"], 0)),
            "blocked_in": _text(e["what"], list(BLOCKED_IN)),
            "running_ns": _time(e["begin"]),
            "running_cpu": _null_where(e["running_cpu"].astype("int32"), ~running),
            "slept_ns": _time(e["end"]),
            "on_cpu_ns": _null_where(e["amount"].astype("int64"), ~running),
            "outcome": _text(np.where(unknown, 3, outcome), [*OUTCOMES, None]),
            "accepts": e["accepts"].astype("int32"),
            "eagain": _null_where(e["eagain"].astype("int32"), (e["flags"] & FLAG_UNTRIED) != 0),
        },
    )


def _accepts(e: Columns, cast: Cast) -> pa.Table:
    untold = e["end"] == 0  # or told only after it was accepted
    return _table(
        "accepts",
        {
            "time_ns": _time(e["time"]),
            "entered_ns": _time(e["begin"]),
            "worker": cast.worker_of(e["tid"]),
            "tid": e["tid"].astype("int32"),
            "cpu": e["cpu"].astype("int32"),
            "listener": cast.cookie_of(e["listener"]),
            "peer": _addresses(e["peer"], cast.family),
            "peer_port": _ports(e["peer_port"]),
            "arrival": _null_where(e["arrival"].astype("int64"), e["arrival"] == 0),
            "queue_delay_ns": _null_where((e["time"] - e["end"]).astype("int64"), untold),
        },
    )


def _calls(e: Columns, cast: Cast) -> pa.Table:
    return _table(
        "calls",
        {
            "time_ns": _time(e["time"]),
            "returned_ns": _time(e["end"]),
            "cpu": e["cpu"].astype("int32"),
            "function": _text(e["what"], [None, *cast.functions]),
            "listener": cast.cookie_of(e["listener"]),
            "arrival": _null_where(e["arrival"].astype("int64"), e["arrival"] == 0),
            "pid": _null_where(e["tid"].astype("int32"), e["tid"] == 0),
            "depth": e["depth"].astype("int32"),
            "result": e["result"],
        },
    )


_KINDS: Final = {
    "arrivals": (KIND_ARRIVAL, _arrivals),
    "wakeups": (KIND_WAKEUP, _wakeups),
    "accepts": (KIND_ACCEPT, _accepts),
    "calls": (KIND_CALL, _calls),
}


def events(path: Path, cast: Cast) -> Iterator[tuple[str, pa.Table]]:
    """The probe's file → parts of the tables, a bounded chunk at a time, in the order of their making."""
    for chunk in joined(in_order(path, CHUNK)):
        kind = kinds(chunk)
        for name, (wanted, convert) in _KINDS.items():
            # Not chunk[...]: to index structures takes ten times as long.
            part = columns(chunk.compress(kind == wanted))
            if name in ("wakeups", "accepts"):
                part = _of_workers(part, cast)
            if len(part["kind"]):
                yield name, convert(part, cast)


def _of_workers(part: Columns, cast: Cast) -> Columns:
    known = cast.worker_of(part["tid"]) >= 0
    return part if known.all() else {name: values[known] for name, values in part.items()}
