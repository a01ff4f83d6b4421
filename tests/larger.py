"""A recording that is larger than any that is kept here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from herd.recording.read import Recording, load
from herd.recording.schema import TABLES
from herd.recording.write import write_json

_TIMES = ("time_ns", "running_ns", "slept_ns", "entered_ns")


def larger(source: Path, times: int, folder: Path) -> Recording:
    """The load of a recording, over and over again; what clients and workers counted is left as it was."""
    shutil.copytree(source, folder)
    recording = load(source)
    run = recording.run
    span = run["end_ns"] - run["begin_ns"]
    write_json(folder / "run.json", run | {"end_ns": run["begin_ns"] + times * span})
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
