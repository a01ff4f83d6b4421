"""Writes a recording's tables as Parquet files, in row groups."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from herd.recording.schema import TABLES

#: Row groups that wait to be written: memory stays bounded.
_AHEAD: Final = 2


class Tables:
    """The Parquet files of a recording, one per table; a table that gets no rows has a file, too.

    A thread encodes and writes, which takes as long as to make the rows: the next ones are made meanwhile.

    :param names: of the tables; what is written to another one is left out
    """

    def __init__(self, directory: Path, names: Iterable[str] = tuple(TABLES)) -> None:
        self._directory = directory
        self._names = tuple(names)
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._thread = ThreadPoolExecutor(1)
        self._unwritten: deque[Future[None]] = deque()

    def write(self, name: str, rows: pa.Table) -> None:
        """Add a row group.

        :raises OSError: it, or one before it, couldn't be written
        """
        if name in self._names:
            self._await(_AHEAD)
            self._unwritten.append(self._thread.submit(self._write, name, rows))

    def _write(self, name: str, rows: pa.Table) -> None:
        if name not in self._writers:
            schema = TABLES[name].arrow()
            path = self._directory / f"{name}.parquet"
            self._writers[name] = pq.ParquetWriter(path, schema, **_encodings(schema))
        if len(rows):
            self._writers[name].write_table(rows)

    def _await(self, most: int) -> None:
        """Wait until at most so many are unwritten."""
        while len(self._unwritten) > most:
            self._unwritten.popleft().result()

    def __enter__(self) -> Tables:
        for name in self._names:
            self.write(name, TABLES[name].arrow().empty_table())
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if not error:  # else that one is told, not what came of it
                self._await(0)
        finally:
            self._thread.shutdown()
            for writer in self._writers.values():
                writer.close()


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """Options for a table's file: numbers as differences, and a dictionary for the rest.

    Arrow tries a dictionary on every column, and times, of which no two are the same, fill it in vain:
    measured with a million wakeups, 2.5 times as slow, and the file larger by a fifth.
    """
    numbers = [column.name for column in schema if pa.types.is_signed_integer(column.type)]
    return {
        "compression": "zstd",
        "write_statistics": numbers,  # of text they take longer than the text itself
        "use_dictionary": [name for name in schema.names if name not in numbers],
        "column_encoding": dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
    }
