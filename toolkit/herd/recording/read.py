"""Reads a recording; needs no root, no kernel and no bcc."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herd.errors import UsageError
from herd.recording.schema import TABLES, VERSION

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet


class Recording:
    """One run: ``run.json`` and a DataFrame for each table (see ``herd.recording.schema``).

    :param path: the folder
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.run: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        except OSError as error:
            raise UsageError(
                f"{path} is not a recording: {error.strerror} (run.json)",
                "name a folder that herd run made, such as results/<time>-accept-n32",
            ) from error
        except ValueError as error:
            raise UsageError(f"{path}/run.json is not JSON: {error}") from error
        if not isinstance(self.run, dict):
            raise UsageError(f"{path}/run.json is not a run: it holds no object")
        if self.run.get("schema", 0) > VERSION:
            raise UsageError(
                f"{path} was recorded by a newer herd (schema {self.run['schema']} > {VERSION})"
            )

    def table(self, name: str, columns: list[str] | None = None, folder: str = "") -> pd.DataFrame:
        """A table as a DataFrame.

        :param name: one of ``herd.recording.schema.TABLES``
        :param columns: only these; all by default
        :param folder: ``check-<probe>/`` for the rows of another probe that judged this one
        :returns: nullable integer columns stay integers (``Int64``): a null is "unknown", and so is a column
            that there wasn't yet when this was recorded
        """
        import pyarrow.parquet as pq

        path = self.path / folder / f"{name}.parquet"
        if name not in TABLES:
            raise UsageError(f"a recording has no table {name!r}", f"known: {', '.join(TABLES)}")
        try:
            arrow = pq.read_table(path, columns=columns, schema=TABLES[name].arrow())
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error
        frame: pd.DataFrame = arrow.to_pandas(types_mapper=_nullable().get)
        return frame

    def size(self, name: str) -> int:
        """Rows of a table, without reading them."""
        with self._opened(name) as file:
            return int(file.metadata.num_rows)

    def batches(self, name: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """A table's rows in the file's order, a row group at a time: memory doesn't grow with the recording.

        :param columns: only these are read, in this order; all by default
        :returns: a table that is in memory already is not read again: it comes in one piece, as it is there
        """
        import pyarrow as pa

        schema = TABLES[name].arrow()
        wanted = [schema.field(column) for column in columns or schema.names]
        loaded: pd.DataFrame | None = self.__dict__.get(name)
        if loaded is not None:
            part = loaded[[field.name for field in wanted]]
            yield pa.Table.from_pandas(part, preserve_index=False)
            return
        with self._opened(name) as file:
            there = [field.name for field in wanted if field.name in file.schema_arrow.names]
            for number in range(file.num_row_groups):
                yield _with_all(file.read_row_group(number, there), wanted)

    @contextmanager
    def _opened(self, name: str) -> Iterator[pyarrow.parquet.ParquetFile]:
        import pyarrow.parquet

        path = self.path / f"{name}.parquet"
        if not path.is_file():
            raise UsageError(f"{self.path} has no {path.name}", "it was copied without it")
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                yield file
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error

    def export(self, name: str, output: str | Path | None = None) -> Path:
        """Write it in another format: ``perfetto``, ``csv``, ``speedscope``; never over something.

        :param output: the file or folder; by default in the recording's folder
        :returns: where it is
        """
        from herd.export import export

        return export(self, name, Path(output) if output else None)

    @cached_property
    def connections(self) -> pd.DataFrame:
        """A connection as the client saw it."""
        return self.table("connections")

    @cached_property
    def arrivals(self) -> pd.DataFrame:
        """One data-ready of a listener."""
        return self.table("arrivals")

    @cached_property
    def wakeups(self) -> pd.DataFrame:
        """One wakeup of a worker, by time; the file has them in the order in which they ended."""
        return self.table("wakeups").sort_values("time_ns", ignore_index=True)

    @cached_property
    def caused(self) -> pd.DataFrame:
        """The wakeups that an arrival caused, directly or chained."""
        return self.wakeups[self.wakeups["arrival"].notna()]

    @cached_property
    def accepts(self) -> pd.DataFrame:
        """One accept."""
        return self.table("accepts")

    @cached_property
    def calls(self) -> pd.DataFrame:
        """One call of a kernel function on an arrival's path; in the order of time."""
        return self.table("calls").sort_values(["time_ns", "depth"], ignore_index=True)

    @cached_property
    def workers(self) -> pd.DataFrame:
        """A worker."""
        return self.table("workers")

    @cached_property
    def waitqueue(self) -> list[dict[str, Any]]:
        """The listeners' wait queues before, during and after the load; empty without ``--snapshot``."""
        try:
            text = (self.path / "waitqueue.json").read_text()
        except FileNotFoundError:
            return []
        found: list[dict[str, Any]] = json.loads(text)
        return found

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What ``herd run --json`` prints."""
        from herd.analysis.summary import summarise

        return summarise(self)

    def __repr__(self) -> str:
        return f"Recording({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the words of ``herd report``."""
        from herd.report.text import as_html

        return as_html(self.summary)


def load(path: str | Path) -> Recording:
    """Read a recording.

    :raises herd.errors.UsageError: there is none at ``path``, or it is newer than this herd
    """
    return Recording(path)


def _with_all(group: pa.Table, wanted: Sequence[pa.Field]) -> pa.Table:
    """With nulls for each column that there wasn't yet when it was recorded."""
    import pyarrow as pa

    for field in wanted:
        if field.name not in group.column_names:
            group = group.append_column(field, pa.nulls(len(group), field.type))
    return group.select([field.name for field in wanted])


def _nullable() -> dict[Any, Any]:
    import pandas as pd
    import pyarrow as pa

    return {
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }
