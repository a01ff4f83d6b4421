"""A recording that is larger than any that is kept here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from herd.recording.read import Recording, load
from herd.recording.schema import TABLES

_TIMES = ("time_ns", "running_ns", "slept_ns", "entered_ns")


def larger(source: Path, times: int, folder: Path) -> Recording:
    """The load of a recording, over and over again; figures other than wakeups are left as they were."""
    shutil.copytree(source, folder)
    recording = load(source)
    span = recording.run["end_ns"] - recording.run["begin_ns"]
    arrivals = len(recording.arrivals)
    for name in ("wakeups", "arrivals", "accepts"):
        table = recording.table(name)
        copies = [_later(table, i * span, i * arrivals) for i in range(times)]
        schema = TABLES[name].arrow()
        rows = pa.Table.from_pandas(pd.concat(copies), schema=schema, preserve_index=False)
        pq.write_table(rows, folder / f"{name}.parquet")
    return load(folder)


def _later(table: pd.DataFrame, ns: int, arrivals: int) -> pd.DataFrame:
    moved = table.copy()
    for column in {*_TIMES} & {*table.columns}:
        moved[column] += ns
    moved["arrival"] += arrivals
    return moved
