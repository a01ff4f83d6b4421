"""Profiles for speedscope.app: each worker's wakeups by outcome, with the wait for a CPU and accept in them.

The evented format of https://www.speedscope.app/file-format-schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
from pyarrow import compute

from herd.analysis.words import title
from herd.plots._style import OUTCOME_WORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from herd.export._source import Source

NAME: Final = "speedscope.json"
READS: Final = ("wakeups", "accepts")
_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"
_FRAMES: Final = (*OUTCOME_WORDS.values(), "undecided", "of other causes", "runnable", "accept")
_UNDECIDED, _OTHER, _RUNNABLE, _ACCEPT = range(len(OUTCOME_WORDS), len(_FRAMES))
#: What happens to a worker. Of two at the same time, the one that ends something is the first.
_SLEPT, _WOKEN, _RUNNING, _ACCEPTED = range(4)
_MARK: Final = np.dtype(
    [("worker", "i4"), ("time", "i8"), ("kind", "i1"), ("frame", "i1"), ("since", "i8")]
)


def write(source: Source, out: BinaryIO) -> None:
    """Write a profile for each worker; times are nanoseconds of CLOCK_MONOTONIC.

    Left out is a wakeup whose end isn't known. The file goes by worker and the tables by time, so that 66
    bytes a wakeup and 22 an accept are held in memory.
    """
    marks = np.concatenate([_of_wakeups(source), _of_accepts(source)])
    marks.sort(order=["worker", "time", "kind"])
    head = {
        "$schema": _SCHEMA,
        "name": title(source.recording.run),
        "exporter": "herd",
        "shared": {"frames": [{"name": name} for name in _FRAMES]},
    }
    out.write(json.dumps(head).removesuffix("}").encode() + b', "profiles": [')
    for number, profile in enumerate(_profiles(source, marks)):
        out.write((b",\n" if number else b"\n") + json.dumps(profile).encode())
    out.write(b"\n]}\n")


def _of_wakeups(source: Source) -> NDArray[Any]:
    parts = [np.zeros(0, _MARK)]
    columns = ("worker", "time_ns", "running_ns", "slept_ns", "arrival", "outcome")
    for batch in source.batches("wakeups", *columns):
        rows = batch.filter(batch["slept_ns"].is_valid())
        frame = _frames(rows)
        parts.append(_marks(rows, "time_ns", _WOKEN, frame))
        parts.append(_marks(rows, "slept_ns", _SLEPT, frame))
        parts.append(_marks(rows, "running_ns", _RUNNING, np.full(len(rows), _RUNNABLE)))
    return np.concatenate(parts)


def _frames(wakeups: pa.RecordBatch) -> NDArray[Any]:
    """Numbers of :data:`_FRAMES`."""
    outcome = wakeups["outcome"]
    numbers = [list(OUTCOME_WORDS).index(name) for name in outcome.dictionary.to_pylist()]
    codes = outcome.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    decided = np.array([*numbers, _UNDECIDED], "i1")[codes]
    caused = wakeups["arrival"].is_valid().to_numpy(zero_copy_only=False)
    return np.where(caused, decided, _OTHER)


def _of_accepts(source: Source) -> NDArray[Any]:
    parts = [np.zeros(0, _MARK)]
    for rows in source.batches("accepts", "worker", "time_ns", "entered_ns"):
        found = _marks(rows, "time_ns", _ACCEPTED, np.full(len(rows), _ACCEPT))
        found["since"] = compute.coalesce(rows["entered_ns"], rows["time_ns"])
        parts.append(found)
    return np.concatenate(parts)


def _marks(rows: pa.RecordBatch, when: str, kind: int, frame: NDArray[Any]) -> NDArray[Any]:
    """One for each row where that time is known."""
    known = rows[when].is_valid()
    here = known.to_numpy(zero_copy_only=False)
    found = np.zeros(int(here.sum()), _MARK)
    found["worker"] = rows["worker"].filter(known)
    found["time"] = rows[when].filter(known)
    found["kind"], found["frame"] = kind, frame[here]
    return found


def _profiles(source: Source, marks: NDArray[Any]) -> Iterator[dict[str, Any]]:
    run = source.recording.run
    first = int(marks["time"].min(initial=run["begin_ns"]))
    last = int(marks["time"].max(initial=run["end_ns"]))
    for worker, pid in sorted(source.rows("workers", "worker", "pid")):
        own = slice(*np.searchsorted(marks["worker"], [worker, worker + 1]))
        yield {
            "type": "evented",
            "name": f"worker {worker} (pid {pid})",
            "unit": "nanoseconds",
            "startValue": first,
            "endValue": last,
            "events": list(_events(marks[own].tolist(), first)),
        }


def _events(marks: list[tuple[int, ...]], begin: int) -> Iterator[dict[str, Any]]:
    """Frames that open and close, in the order of time.

    :param begin: where the profile begins
    """
    before = begin
    for _, time, kind, frame, since in marks:
        if kind == _WOKEN:
            yield {"type": "O", "frame": frame, "at": time}
        elif kind != _SLEPT:
            # Who sleeps in accept entered it long before it was woken: what counts is the time awake.
            yield {"type": "O", "frame": frame, "at": max(since, before)}
        if kind != _WOKEN:
            yield {"type": "C", "frame": frame, "at": time}
        before = time
