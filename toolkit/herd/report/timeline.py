"""A recording's wakeups, packed for the page's timeline: a few bytes each."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from herd.plots._style import OUTCOME_COLOURS, OUTCOME_WORDS

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording

#: More make a file that no browser opens at once; the page says how many it leaves out.
MOST: Final = 500_000
#: What a wakeup can be, in the order of its number in the page; told apart by colour.
KINDS: Final = {
    **{name: (OUTCOME_WORDS[name], colour) for name, colour in OUTCOME_COLOURS.items()},
    "undecided": ("undecided when the recording ended", "#009E73"),
    "other": ("of other causes", "#888888"),
}


def pack(recording: Recording) -> dict[str, Any]:
    """What the page's script draws; its ``columns`` are numbers as :func:`varints` writes them.

    :returns: times are ns, and 0 is the first of them; ``begin`` and ``end`` are the load's.
        Columns: ``time`` and ``arrivalTime`` since the row before; ``wait`` (made runnable → running)
        and ``awake`` (running → slept) by one more, where 0 is unknown
    """
    wakeups = recording.wakeups.head(MOST)
    arrivals = recording.arrivals.sort_values("time_ns").head(MOST)
    run = recording.run
    zero = int(min([run["begin_ns"], *wakeups["time_ns"].head(1), *arrivals["time_ns"].head(1)]))
    causes = wakeups["cause"].cat
    columns = {
        "time": np.diff(wakeups["time_ns"], prepend=zero),
        "wait": _or_zero(wakeups["running_ns"] - wakeups["time_ns"] + 1),
        "awake": _or_zero(wakeups["slept_ns"] - wakeups["running_ns"] + 1),
        "worker": wakeups["worker"],
        "kind": _kinds(wakeups),
        "cause": causes.codes,
        "arrival": _or_zero(wakeups["arrival"]),
        "arrivalTime": np.diff(arrivals["time_ns"], prepend=zero),
        "arrivalNumber": arrivals["arrival"],
    }
    return {
        "begin": run["begin_ns"] - zero,
        "end": run["end_ns"] - zero,
        "workers": run["config"]["workers"],
        "left_out": len(recording.wakeups) - len(wakeups),
        "kinds": [words for words, _ in KINDS.values()],
        "causes": list(causes.categories),
        "columns": {
            name: base64.b64encode(varints(np.asarray(values, dtype="u8"))).decode()
            for name, values in columns.items()
        },
    }


def varints(values: np.ndarray[Any, np.dtype[np.uint64]]) -> bytes:
    """Each value in as few bytes as it needs: seven bits a byte, the lowest first, the last below 128."""
    lengths = np.ones(len(values), dtype="i8")
    for bits in range(7, 64, 7):
        lengths += values >> np.uint64(bits) != 0
    ends = np.cumsum(lengths)
    packed = np.zeros(ends[-1] if len(ends) else 0, dtype="u1")
    for place in range(lengths.max(initial=0)):
        has = lengths > place
        more = np.where(lengths[has] > place + 1, 128, 0)
        digit = values[has] >> np.uint64(7 * place) & np.uint64(127)
        packed[ends[has] - lengths[has] + place] = digit.astype("u1") | more
    return packed.tobytes()


def _or_zero(values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    return values.fillna(0).to_numpy("u8")


def _kinds(wakeups: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Numbers of :data:`KINDS`."""
    names = list(KINDS)
    codes = wakeups["outcome"].cat.set_categories(names).cat.codes.to_numpy()
    codes = np.where(codes < 0, names.index("undecided"), codes)
    return np.where(wakeups["arrival"].isna(), names.index("other"), codes)
