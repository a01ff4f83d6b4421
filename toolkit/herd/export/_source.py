"""The rows of a recording, a bounded batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

    from herd.recording.read import Recording

_BATCH: Final = 1 << 14


class Source:
    """What a format reads from.

    :param progress: told the table, the rows that were read of it, and all there are
    """

    def __init__(self, recording: Recording, progress: Callable[[str, int, int], None]) -> None:
        self.recording = recording
        self._progress = progress

    def size(self, table: str) -> int:
        """Rows of a table."""
        return self.recording.size(table)

    def batches(self, table: str, *columns: str) -> Iterator[pa.RecordBatch]:
        """A table's rows in the file's order; all columns by default."""
        done, total = 0, self.size(table)
        for group in self.recording.batches(table, columns or None):
            for batch in group.to_batches(max_chunksize=_BATCH):
                yield batch
                done += len(batch)
                self._progress(table, done, total)

    def rows(self, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        """The same, row by row: Python's values, ``None`` for null."""
        for batch in self.batches(table, *columns):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
