"""The kernel's ring buffer, from a memfd that is laid out as the kernel lays it out."""

from __future__ import annotations

import errno
import mmap
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from herd.probes.events import RECORD
from herd.probes.ring import Ring

PAGE = mmap.PAGESIZE
SIZE = 2 * PAGE
BUSY = 1 << 31
FITS = SIZE // RECORD.itemsize


class Kernel:
    """The producer's side: consumer page, producer page, then the data, twice."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.map = mmap.mmap(self.fd, 2 * PAGE + 2 * SIZE)
        self.consumed = np.frombuffer(self.map, "<u8", 1)
        self.produced = np.frombuffer(self.map, "<u8", 1, PAGE)
        self.data = np.frombuffer(self.map, "u1", 2 * SIZE, 2 * PAGE)
        self.made = 0

    def start_at(self, position: int) -> None:
        self.consumed[0] = self.produced[0] = position

    def put(self, count: int, busy: int | None = None) -> None:
        """Produce records, numbered in ``time``; the one at ``busy`` is still being written."""
        for number in range(count):
            record = np.zeros(1, RECORD)
            record["length"] = RECORD.itemsize - 8 | (BUSY if number == busy else 0)
            record["event"]["time"] = self.made
            self._store(int(self.produced[0]), record.view("u1"))
            self.produced[0] += RECORD.itemsize
            self.made += 1

    def finish(self, number: int) -> None:
        """Clear the busy bit of the record ``number`` places after the consumer."""
        at = int(self.consumed[0]) + number * RECORD.itemsize
        self._store(at, np.array([RECORD.itemsize - 8], "<u4").view("u1"))

    def _store(self, position: int, content: np.ndarray) -> None:
        place = (position + np.arange(len(content))) % SIZE
        self.data[place] = self.data[place + SIZE] = content


@pytest.fixture
def kernel():
    made = Kernel()
    yield made
    os.close(made.fd)


@pytest.fixture
def out(tmp_path):
    fd = os.open(tmp_path / "events", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "events"


def times(file: Path) -> list[int]:
    content = file.read_bytes()
    assert len(content) % RECORD.itemsize == 0
    return np.frombuffer(content, RECORD)["event"]["time"].tolist()


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_empty_ring_gives_nothing(kernel, out, file):
    assert Ring(kernel.fd, SIZE).drain(out) == 0
    assert times(file) == []
    assert kernel.consumed[0] == 0


def test_each_record_is_taken_once_and_in_order(kernel, out, file):
    ring = Ring(kernel.fd, SIZE)
    taken = []
    for count in (3, 0, 1, 20):
        kernel.put(count)
        taken.append(ring.drain(out))
    assert taken == [3, 0, 1, 20]
    assert times(file) == list(range(24))
    assert kernel.consumed[0] == kernel.produced[0]


def test_a_batch_that_wraps_around_is_whole(kernel, out, file):
    kernel.start_at(5 * SIZE - 3 * RECORD.itemsize - 8)
    ring = Ring(kernel.fd, SIZE)
    kernel.put(10)
    assert int(kernel.consumed[0]) // SIZE != int(kernel.produced[0]) // SIZE
    assert ring.drain(out) == 10
    assert times(file) == list(range(10))
    kernel.put(FITS)  # full to the brim, wherever that begins
    assert ring.drain(out) == FITS
    assert times(file) == list(range(10 + FITS))


def test_a_record_that_is_still_being_written_stops_the_batch(kernel, out, file):
    ring = Ring(kernel.fd, SIZE)
    kernel.put(5, busy=2)
    assert ring.drain(out) == 2
    assert ring.drain(out) == 0  # still busy
    assert times(file) == [0, 1]
    kernel.finish(0)
    assert ring.drain(out) == 3
    assert times(file) == [0, 1, 2, 3, 4]


def test_a_position_beyond_four_gigabytes_is_no_trouble(kernel, out, file):
    kernel.start_at((1 << 40) + 8 * 7)
    ring = Ring(kernel.fd, SIZE)
    kernel.put(4)
    assert ring.drain(out) == 4
    assert times(file) == [0, 1, 2, 3]


def test_a_disk_that_takes_nothing_costs_no_record(kernel, out, file):
    ring = Ring(kernel.fd, SIZE)
    kernel.put(7)
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        ring.drain(full)
    os.close(full)
    assert kernel.consumed[0] == 0
    assert ring.drain(out) == 7
    assert times(file) == list(range(7))


def test_a_disk_that_fills_up_in_the_middle_keeps_whole_records_only(kernel, out, file):
    ring = Ring(kernel.fd, SIZE)
    kernel.put(2)
    ring.drain(out)
    kernel.put(8)
    with (
        files_at_most(5 * RECORD.itemsize + RECORD.itemsize // 2),
        pytest.raises(OSError, match="too large") as full,
    ):
        ring.drain(out)
    assert full.value.errno == errno.EFBIG
    assert times(file) == [0, 1, 2, 3, 4]
    assert kernel.consumed[0] == 5 * RECORD.itemsize
    assert ring.drain(out) == 5  # and goes on where it was
    assert times(file) == list(range(10))


def test_the_data_cannot_be_written_by_the_reader(kernel):
    ring = Ring(kernel.fd, SIZE)
    assert not ring._data.flags.writeable
    assert not ring._produced.flags.writeable
