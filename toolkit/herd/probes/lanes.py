"""The records that BPF programs write, a ring of places for each CPU, mapped and read with numpy.

Layout: ``bpf/lanes.c``. Nobody wakes the reader: it looks, now and then.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from herd.probes.events import EVENT, KIND_DRAINED, KIND_LAP

#: ``struct lane``.
LANE: Final = np.dtype([("made", "<u8"), ("taken", "<u8"), ("lost", "<u8"), ("apart", "<u8", 13)])

#: A look at all lanes takes a microsecond; at a million records a second, one in two finds them changed.
_LOOKS: Final = 20

_Array = np.ndarray[Any, Any]
#: Records of one lane, one after the other.
_Batch = tuple[int, _Array]


class Lanes:
    """Reads all of them.

    :param fd: of the map of ``struct lane``; :param records: of the map of records
    :param bits: of a place's number: a lane has ``2**bits`` places
    """

    def __init__(self, fd: int, records: int, cpus: int, bits: int) -> None:
        shared = mmap.mmap(fd, cpus * LANE.itemsize, mmap.MAP_SHARED)
        places = mmap.mmap(
            records, (cpus << bits) * EVENT.itemsize, mmap.MAP_SHARED, mmap.PROT_READ
        )
        lanes = np.frombuffer(shared, LANE, cpus)
        self._made, self._taken, self._lost = (lanes[name] for name in ("made", "taken", "lost"))
        self._records = np.frombuffer(places, EVENT, cpus << bits).reshape(cpus, -1)
        self._bits = bits
        self.places = 1 << bits  #: of each lane
        self._mark = np.zeros(1, EVENT)
        self._mark["kind"] = KIND_DRAINED
        self.begin()

    def begin(self) -> None:
        """Count anew, and forget what is there."""
        self._taken[:] = self._made
        self._before = self._counts()
        self.kept = 0  #: records written since

    def _counts(self) -> _Array:
        return np.array([self._made.sum(), self._lost.sum()])

    def account(self) -> dict[str, int]:
        """``produced`` and ``lost``: how many records the kernel made, and had no place for."""
        made, lost = (self._counts() - self._before).tolist()
        return {"produced": made + lost, "lost": lost}

    @property
    def empty(self) -> bool:
        """Whether every record has been taken."""
        return bool((self._made == self._taken).all())

    def drain(self, out: int) -> int:
        """Write what is there to the descriptor ``out``; returns how many records that were.

        The records of each CPU are in the order in which they were made. A last one, of :data:`KIND_DRAINED`,
        says that all before it were made before all after it; it is left out where that can't be told, and
        while one of them is still being written. What could not be written to ``out`` stays where it was.
        """
        made, at_once = self._snapshot()  # before a record is looked at
        batches: list[_Batch] = []
        for cpu in np.flatnonzero(made != self._taken).tolist():
            batches += self._ready(cpu, int(made[cpu]))
        count = sum(len(batch) for _, batch in batches)
        if count:
            whole = at_once and count == int((made - self._taken).sum())
            self._write(out, batches, whole=whole)
        return count

    def _snapshot(self) -> tuple[_Array, bool]:
        """How many records each lane has had, and whether all at the same moment: an interrupt may come
        between looks at two lanes, and what it causes be on the second.
        """
        made = self._made.copy()
        for _ in range(_LOOKS):
            again = self._made.copy()
            if (made == again).all():
                return made, True
            made = again
        return made, False

    def _ready(self, cpu: int, made: int) -> list[_Batch]:
        """A lane's records, in two parts if they go around its end; up to one that is still being written."""
        found: list[_Batch] = []
        at, lane = int(self._taken[cpu]), self._records[cpu]
        while at < made:
            first = at & self.places - 1
            batch = lane[first : first + made - at]
            lap = 0 if at >> self._bits & 1 else KIND_LAP
            unready = batch["kind"] & KIND_LAP != lap
            if unready.any():
                batch = batch[: int(unready.argmax())]
                made = at + len(batch)
            found.append((cpu, batch))
            at += len(batch)
        return found

    def _write(self, out: int, batches: Sequence[_Batch], *, whole: bool) -> None:
        views = [batch for _, batch in batches] + [self._mark] * whole
        written = 0
        try:
            for view in views:
                rest = memoryview(view.view(np.uint8).data)
                while rest:
                    size = os.write(out, rest)
                    written += size
                    rest = rest[size:]
        finally:
            if torn := written % EVENT.itemsize:  # take it back
                os.ftruncate(out, os.lseek(out, -torn, os.SEEK_CUR))
            self._take(batches, written // EVENT.itemsize)

    def _take(self, batches: Sequence[_Batch], written: int) -> None:
        """Give the places of the first ``written`` records back."""
        for cpu, batch in batches:
            count = min(len(batch), written)
            self._taken[cpu] += count
            self.kept += count
            written -= count
