"""The kernel's BPF ring buffer, mapped and read with numpy, without waking the reader.

Layout: ``kernel/bpf/ringbuf.c``. The consumer's position is a page of its own; the producer's position is
the page before the data, and the data is mapped twice, so that a batch is always one contiguous view.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

import numpy as np

from herd.probes.events import RECORD

_BUSY: Final = np.uint32(1 << 31)


class Ring:
    """Reads one ring of fixed-size records.

    :param fd: of the map; :param size: of its data, in bytes
    """

    def __init__(self, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = size
        consumer = mmap.mmap(fd, page, flags=mmap.MAP_SHARED)
        producer = mmap.mmap(
            fd, page + 2 * size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=page
        )
        self._consumed = np.frombuffer(consumer, "<u8", 1)
        self._produced = np.frombuffer(producer, "<u8", 1)
        self._data = np.frombuffer(producer, np.uint8, offset=page)
        self._maps = (consumer, producer)
        self.kept = 0  #: records written so far

    def drain(self, out: int) -> int:
        """Write what is there to the descriptor ``out``; returns how many records that were.

        What could not be written stays in the ring.
        """
        begin = int(self._consumed[0])
        count = (int(self._produced[0]) - begin) // RECORD.itemsize
        if not count:
            return 0
        at = begin % self._size
        batch = self._data[at : at + count * RECORD.itemsize].view(RECORD)
        busy = (batch["length"] & _BUSY) != 0
        if busy.any():  # reserved, but still being written
            count = int(busy.argmax())
            batch = batch[:count]
        written = 0
        view = memoryview(batch.view(np.uint8).data)
        try:
            while written < len(view):
                written += os.write(out, view[written:])
        finally:
            whole = written // RECORD.itemsize
            if written % RECORD.itemsize:  # a torn record: take it back
                os.ftruncate(out, os.lseek(out, -(written % RECORD.itemsize), os.SEEK_CUR))
            self._consumed[0] = begin + whole * RECORD.itemsize
            self.kept += whole
        return count
