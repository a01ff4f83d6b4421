"""What is counted and timed of a recording, a row group at a time: memory doesn't grow with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from herd.analysis.quantiles import Quantiles
from herd.recording.schema import CAUSES, OUTCOMES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from herd.recording.read import Recording

#: Not asleep again when the recording ended; or, in rare cases, the probe couldn't tell.
UNDECIDED: Final = "undecided"


def outcomes(recording: Recording) -> pd.DataFrame:
    """Wakeups that an arrival caused: a row a worker, a column an outcome, and :data:`UNDECIDED`."""
    import pandas as pd

    size = recording.size("workers")
    names = (*OUTCOMES, UNDECIDED)
    counts = np.zeros((size, len(names)), "int64")
    for rows in recording.batches("wakeups", ["worker", "arrival", "outcome"]):
        mine = rows.filter(rows["arrival"].is_valid())
        cells = mine["worker"].to_numpy() * len(names) + codes(mine["outcome"], OUTCOMES)
        counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
    return pd.DataFrame(counts, columns=[*names]).rename_axis("worker")


def untold(recording: Recording) -> int:
    """The :data:`UNDECIDED` that are over: the light probe couldn't tell whether they reached user space."""
    count = 0
    for rows in recording.batches("wakeups", ["arrival", "outcome", "slept_ns", "eagain"]):
        mine = rows.filter(rows["arrival"].is_valid())
        over = mine.filter(mine["slept_ns"].is_valid())
        # Whoever counted the accepts in vain saw the worker's way, too.
        count += over.filter(over["eagain"].is_null())["outcome"].null_count
    return count


def causes(recording: Recording) -> dict[str, int]:
    """All wakeups, by what caused them."""
    counts = np.zeros(len(CAUSES) + 1, "int64")
    for rows in recording.batches("wakeups", ["cause"]):
        counts += np.bincount(codes(rows["cause"], CAUSES), minlength=len(counts))
    return dict(zip(CAUSES, counts.tolist(), strict=False))


def count(recording: Recording, table: str, column: str) -> int:
    """Rows of a table in which a column is known."""
    return sum(len(rows) - rows[column].null_count for rows in recording.batches(table, [column]))


def distinct(recording: Recording, table: str, column: str) -> int:
    """How many whole numbers there are in a column, each counted once; keeps 8 bytes of each."""
    found = np.zeros(0, "int64")
    for rows in recording.batches(table, [column]):
        found = np.union1d(found, rows[column].drop_null().to_numpy())
    return len(found)


def errors(recording: Recording) -> dict[str, int]:
    """How many connections met each error; errno's names, the most frequent first."""
    found: Counter[str] = Counter()
    for rows in recording.batches("connections", ["error"]):
        found.update(
            {row["values"]: row["counts"] for row in rows["error"].value_counts().to_pylist()}
        )
    return {name: number for name, number in found.most_common() if name is not None}


def wasted_cpu_ns(recording: Recording) -> int:
    """The workers' time on a CPU in wakeups that brought nothing; not what the waker spent."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for rows in recording.batches("wakeups", ["arrival", "outcome", "on_cpu_ns"]):
        outcome = codes(rows["outcome"], OUTCOMES)
        wasted = (outcome == 1) | (outcome == 2)
        total += pc.sum(rows["on_cpu_ns"].filter(pa.array(wasted))).as_py() or 0
    return total


def caused_cpu_ns(recording: Recording) -> int:
    """The workers' time on a CPU in wakeups that an arrival caused; not what the waker spent."""
    import pyarrow.compute as pc

    total = 0
    for rows in recording.batches("wakeups", ["arrival", "on_cpu_ns"]):
        total += pc.sum(rows["on_cpu_ns"].filter(rows["arrival"].is_valid())).as_py() or 0
    return total


def wake_latency(recording: Recording) -> Quantiles:
    """Made runnable → running, ns, of the wakeups that an arrival caused."""
    found = Quantiles()
    for rows in recording.batches("wakeups", ["arrival", "time_ns", "running_ns"]):
        caused = rows["arrival"].is_valid()
        found.add(_passed(rows, "time_ns", "running_ns").filter(caused).drop_null().to_numpy())
    return found


def queue_delay(recording: Recording) -> Quantiles:
    """Arrival → accept returns, ns."""
    found = Quantiles()
    for rows in recording.batches("accepts", ["queue_delay_ns"]):
        found.add(rows["queue_delay_ns"].drop_null().to_numpy())
    return found


def since_intended(recording: Recording, until: str) -> Quantiles:
    """When a connection should have started → a moment as its client saw it, ns.

    :param until: ``started_ns``, ``established_ns``, ``first_byte_ns`` or ``closed_ns``
    """
    found = Quantiles()
    for rows in recording.batches("connections", ["intended_ns", until]):
        found.add(_passed(rows, "intended_ns", until).drop_null().to_numpy())
    return found


def until_first_byte(recording: Recording) -> pd.Series[int]:
    """When each answered connection should have started → its answer was there, ns."""
    connections = recording.connections
    waits: pd.Series[int] = (connections["first_byte_ns"] - connections["intended_ns"]).dropna()
    return waits


def settle_time(recording: Recording) -> pd.Series[int]:
    """From each arrival until the last worker that it woke, directly or chained, sleeps again, ns.

    :returns: by the number of the arrival; without those of which a worker was not seen to sleep
    """
    caused = recording.caused[["arrival", "slept_ns"]]
    slept = caused.groupby("arrival")["slept_ns"]
    all_seen = slept.count() == slept.size()
    arrived = recording.arrivals.dropna(subset="arrival").set_index("arrival")["time_ns"]
    times: pd.Series[int] = (slept.max()[all_seen] - arrived).dropna()
    return times


def of_first_arrivals(recording: Recording, count: int, columns: list[str]) -> pd.DataFrame:
    """The wakeups of the arrivals up to number ``count``, in the file's order.

    :param columns: these, and ``arrival``
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [
        rows.filter(pc.less_equal(rows["arrival"], count))
        for rows in recording.batches("wakeups", ["arrival", *columns])
    ]
    if not parts:
        return pd.DataFrame(columns=["arrival", *columns])
    # What tells parts' dictionaries apart is of no interest here.
    frame: pd.DataFrame = pa.concat_tables(parts).unify_dictionaries().to_pandas()
    return frame


def _passed(rows: pa.Table, start: str, end: str) -> pa.ChunkedArray:
    """Nanoseconds between two columns; null where one of them isn't known."""
    import pyarrow.compute as pc

    return pc.subtract(rows[end], rows[start])


def codes(column: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int64]:
    """A text column as places in ``names``; ``len(names)`` where it is none of them, or null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    merged = column.unify_dictionaries().combine_chunks()
    if not isinstance(merged, pa.DictionaryArray):
        merged = merged.dictionary_encode()
    place = {name: number for number, name in enumerate(names)}
    places = [place.get(name, len(names)) for name in merged.dictionary.to_pylist()] + [len(names)]
    indices = pc.fill_null(merged.indices, len(places) - 1).to_numpy()
    found: NDArray[np.int64] = np.array(places)[indices]
    return found
