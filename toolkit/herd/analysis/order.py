"""Whom an arrival wakes, by how long each has waited: the order of the kernel's queue, seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from herd.recording.read import Recording


def wake_order(recording: Recording) -> pd.DataFrame:
    """A row for each arrival that woke somebody: whom it woke first, and that one's place among the waiters.

    How long a worker has waited is known from its last sleep: the first of all follows the start signal.

    :returns: ``arrival``; ``worker``; ``rank``, how many had waited longer (0: it was first in a FIFO queue);
        ``waiting``, how many waited (``rank`` = ``waiting`` - 1: it was the last to wait)
    """
    caused = recording.wakeups[recording.wakeups["cause"] == "arrival"]
    first = caused.drop_duplicates("arrival")
    times = first["time_ns"].to_numpy("int64")
    since = _last_sleep(recording, first)
    rank, waiting = (times * 0 for _ in range(2))
    for _, rows in recording.wakeups.groupby("worker"):
        asleep, slept = _asleep(rows, times)
        waiting += asleep
        rank += asleep & (slept < since)
    return first[["arrival", "worker"]].assign(rank=rank, waiting=waiting).reset_index(drop=True)


def _last_sleep(recording: Recording, woken: pd.DataFrame) -> NDArray[np.int64]:
    """Since when each of these had slept, when it was woken."""
    before = recording.wakeups.groupby("worker")["slept_ns"].shift()
    return before.loc[woken.index].fillna(0).to_numpy("int64")


def _asleep(rows: pd.DataFrame, times: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of one worker at these times: whether it slept (it may be woken just then), and since when."""
    import numpy as np

    woken = rows["time_ns"].to_numpy("int64")
    slept = rows["slept_ns"].fillna(np.iinfo("int64").max).to_numpy("int64")
    before = np.searchsorted(woken, times) - 1  # its last wakeup before each of these times
    since = np.where(before < 0, 0, slept[before])
    return since < times, since
