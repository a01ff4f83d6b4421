"""A folder with a CSV file for each table, columns.csv that says what each column is, and run.json."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.csv as arrow_csv

from herd.recording.schema import TABLES

if TYPE_CHECKING:
    from herd.export._source import Source

NAME: Final = "csv"
READS: Final = tuple(TABLES)
#: A column's unit is the end of its name.
_UNITS: Final = {"_ns": "ns", "_s": "s"}


def write_into(source: Source, folder: Path) -> None:
    """Write the files; an empty field is null: it did not happen, or could not be seen."""
    for name in TABLES:
        _table(source, name, folder / f"{name}.csv")
    arrow_csv.write_csv(_columns(), folder / "columns.csv")
    shutil.copyfile(source.recording.path / "run.json", folder / "run.json")


def _table(source: Source, name: str, path: Path) -> None:
    schema = _plain(TABLES[name].arrow())
    with arrow_csv.CSVWriter(path, schema) as writer:
        for batch in source.batches(name):
            writer.write_batch(batch.cast(schema))


def _plain(schema: Any) -> Any:
    """The schema with text as text; Arrow writes no dictionaries."""
    return pa.schema(
        pa.field(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
        for field in schema
    )


def _columns() -> Any:
    """What each column is: table, column, type, unit, means."""
    return pa.Table.from_pylist(
        [
            {
                "table": name,
                "column": column.name,
                "type": column.type,
                "unit": next((u for end, u in _UNITS.items() if column.name.endswith(end)), None),
                "means": column.means,
            }
            for name, table in TABLES.items()
            for column in table.columns
        ]
    )
