"""The recordings that are kept here, and how to change a copy of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from herd.recording.schema import TABLES

REFERENCE = Path(__file__).parents[1] / "results/reference"


def reference(name: str) -> Path:
    """That of a strategy with sixteen workers."""
    return REFERENCE / f"{name}-n16"


def edit_run(directory: Path, *keys: str, value: Any) -> None:
    """Set one value in ``run.json``."""
    run = json.loads((directory / "run.json").read_text())
    inner = run
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (directory / "run.json").write_text(json.dumps(run))


def edit_table(directory: Path, name: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Let ``change`` alter the rows of a table."""
    file = directory / f"{name}.parquet"
    rows = pq.read_table(file).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=TABLES[name].arrow()), file)
