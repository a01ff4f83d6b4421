"""What each connection of a run cost: the values that a run's figures are means and percentiles of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from herd.recording.read import Recording

#: Of a larger table so many rows, more or less, are chosen at random: they tell a percentile well enough.
_MOST: Final = 1_000_000


def _wakeups(recording: Recording, outcome: str | None = None) -> NDArray[Any]:
    """Wakeups that each arrival caused; those of one outcome, if it is given."""
    parts = [batch["arrival"] for batch in recording.batches("arrivals", ["arrival"])]
    arrivals = np.concatenate([np.zeros(0, "i8"), *parts])
    counts = np.zeros(1 + int(arrivals.max(initial=0)), "i8")
    for batch in recording.batches("wakeups", ["arrival", "outcome"]):
        rows = batch.filter(batch["arrival"].is_valid())
        if outcome:
            rows = rows.filter(_is(rows["outcome"], outcome))
        counts += np.bincount(rows["arrival"], minlength=len(counts))[: len(counts)]
    return np.asarray(counts[arrivals])


def _is(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    from pyarrow import compute

    return compute.equal(column.cast("string"), value)


def _times(recording: Recording, table: str, *names: str) -> NDArray[Any]:
    """A column of ns, or what passed from one to the next, in µs; of rows in which none is null."""
    random = np.random.default_rng(1)
    share = _MOST / max(1, recording.size(table))
    parts = [np.zeros(0)]
    for batch in recording.batches(table, list(names)):
        rows = batch.drop_null()
        chosen = random.random(len(rows)) < share
        *before, last = (rows[name].to_numpy()[chosen] for name in names)
        parts.append((last - before[-1] if before else last) / 1000)
    return np.concatenate(parts)


#: Of each connection, wakeup or accept; an empty one is unknown.
SAMPLES: Final[dict[str, Callable[[Recording], NDArray[Any]]]] = {
    "wakeups": _wakeups,
    "wasted_in_kernel": partial(_wakeups, outcome="wasted_in_kernel"),
    "wasted_in_user": partial(_wakeups, outcome="wasted_in_user"),
    "queue_delay": lambda run: _times(run, "accepts", "queue_delay_ns"),
    # Only an arrival's wakeups have an arrival.
    "wake_latency": lambda run: _times(run, "wakeups", "arrival", "time_ns", "running_ns"),
    "connect": lambda run: _times(run, "connections", "intended_ns", "established_ns"),
    "first_byte": lambda run: _times(run, "connections", "intended_ns", "first_byte_ns"),
}
