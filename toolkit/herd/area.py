"""Memory that processes of a run share: a header of counters, then fixed-size rows, pre-sized.

A writer appends a row and then counts it, so that a reader (or the controller, after the writer was
killed) sees only whole rows. The memory is a memfd: it lives as long as someone holds it, is given
pages only where it is written, and leaves nothing behind.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

HEADER_BYTES: Final = 4096
_NUMPY = {"Q": "<u8", "q": "<i8", "I": "<u4", "H": "<u2", "4s": ">u4"}


class Layout:
    """Which counters and which columns an area has.

    :param counters: names of signed 64-bit counters in the header; ``rows`` comes first by itself
    :param columns: name and ``struct`` code (Q, q, I, H, 4s) of each column, without padding
    """

    def __init__(self, counters: Sequence[str], columns: Sequence[tuple[str, str]]) -> None:
        self.counters = {name: 8 * i for i, name in enumerate(["rows", *counters])}
        self.columns = tuple(columns)
        self.row = struct.Struct("<" + "".join(code for _, code in columns))

    def bytes(self, capacity: int) -> int:
        """Size of an area of ``capacity`` rows, in whole pages."""
        data = HEADER_BYTES + capacity * self.row.size
        return -(-data // mmap.PAGESIZE) * mmap.PAGESIZE

    def dtype(self) -> np.dtype[Any]:
        """The rows, as numpy sees them."""
        import numpy as np

        return np.dtype([(name, _NUMPY[code]) for name, code in self.columns])


def create(name: str, layout: Layout, capacity: int, areas: int) -> int:
    """Make room for ``areas`` areas of ``capacity`` rows each; returns the descriptor."""
    fd = os.memfd_create(name)
    os.ftruncate(fd, layout.bytes(capacity) * areas)
    return fd


def share(fd: int, layout: Layout, capacity: int, areas: int) -> list[Area]:
    """Map what :func:`create` made; one mapping (and so one descriptor) serves all areas."""
    size = layout.bytes(capacity)
    memory = mmap.mmap(fd, size * areas)
    return [Area(memory, size * i, layout, capacity) for i in range(areas)]


class Area:
    """One process's part of shared memory, from :func:`share`."""

    def __init__(self, memory: mmap.mmap, offset: int, layout: Layout, capacity: int) -> None:
        self._map = memory
        self._offset = offset
        self._data = offset + HEADER_BYTES
        self._counters = memoryview(memory)[offset : self._data].cast("q")
        self._at = {name: place // 8 for name, place in layout.counters.items()}
        self._layout = layout
        self._row = layout.row
        self.capacity = capacity

    def __getitem__(self, counter: str) -> int:
        return self._counters[self._at[counter]]

    def __setitem__(self, counter: str, value: int) -> None:
        self._counters[self._at[counter]] = value

    def append(self, *values: int | bytes) -> bool:
        """Write one row; ``False`` when the area is full."""
        row = self._counters[0]
        if row >= self.capacity:
            return False
        self._row.pack_into(self._map, self._data + row * self._row.size, *values)
        self._counters[0] = row + 1
        return True

    @property
    def memory(self) -> memoryview:
        """All of it, for a writer in C: counters, ``rows`` first; from :data:`HEADER_BYTES` on, the rows."""
        size = self._layout.bytes(self.capacity)
        return memoryview(self._map)[self._offset : self._offset + size]

    @property
    def full(self) -> bool:
        """Whether this writer has no room left."""
        return self._counters[0] >= self.capacity

    def rows(self) -> np.ndarray[Any, Any]:
        """A copy of the whole rows written so far."""
        return self._copy(0, self["rows"])

    def parts(self, size: int) -> Iterator[np.ndarray[Any, Any]]:
        """The same, ``size`` rows at a time."""
        rows = self["rows"]
        for first in range(0, rows, size):
            yield self._copy(first, min(size, rows - first))

    def _copy(self, first: int, count: int) -> np.ndarray[Any, Any]:
        import numpy as np

        at = self._data + first * self._row.size
        return np.frombuffer(self._map, self._layout.dtype(), count, at).copy()
