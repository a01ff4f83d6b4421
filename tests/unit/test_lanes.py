"""The lanes of records, from memfds that are laid out as the kernel lays out the maps."""

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

from herd.probes.events import EVENT, KIND_ARRIVAL, KIND_DRAINED, KIND_LAP, columns, in_order, kinds
from herd.probes.lanes import LANE, Lanes
from herd.probes.session import lane_bits

CPUS, BITS = 3, 4
PLACES = 1 << BITS


class Kernel:
    """The producers' side, as bpf/lanes.c does it."""

    def __init__(self) -> None:
        self.fd, self.records_fd = os.memfd_create("lanes"), os.memfd_create("records")
        self.lanes = self._map(self.fd, LANE, CPUS)
        self.records = self._map(self.records_fd, EVENT, CPUS * PLACES).reshape(CPUS, -1)
        self.made = 0

    @staticmethod
    def _map(fd: int, dtype: np.dtype, count: int) -> np.ndarray:
        os.ftruncate(fd, count * dtype.itemsize)
        return np.frombuffer(mmap.mmap(fd, count * dtype.itemsize), dtype)

    def reader(self) -> Lanes:
        return Lanes(self.fd, self.records_fd, CPUS, BITS)

    def start_at(self, position: int) -> None:
        self.lanes["made"] = self.lanes["taken"] = position

    def put(self, count: int, cpu: int = 0, unfinished: int | None = None) -> None:
        """Make records, numbered in ``time``; the one at ``unfinished`` is still being written."""
        lane = self.lanes[cpu]
        for number in range(count):
            if lane["made"] - lane["taken"] >= PLACES:
                lane["lost"] += 1
                continue
            place = int(lane["made"])
            lane["made"] += 1
            self.made += 1
            if number != unfinished:
                self.finish(place, cpu, self.made - 1)

    def finish(self, place: int, cpu: int, time: int) -> None:
        """Write one, its kind last."""
        record = self.records[cpu][place % PLACES]
        record["time"] = time
        record["kind"] = KIND_ARRIVAL | (0 if place // PLACES % 2 else KIND_LAP)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    os.close(made.fd)
    os.close(made.records_fd)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "events"


@pytest.fixture
def out(file) -> Iterator[int]:
    fd = os.open(file, os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def written(file: Path) -> list[int | str]:
    """Times of records, and where all before was made before all after."""
    records = np.fromfile(file, EVENT)
    assert file.stat().st_size % EVENT.itemsize == 0
    marks = kinds(records) == KIND_DRAINED
    return ["|" if mark else int(time) for mark, time in zip(marks, records["time"], strict=True)]


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_empty_lanes_give_nothing(kernel, out, file):
    reader = kernel.reader()
    assert reader.drain(out) == 0
    assert reader.empty
    assert written(file) == []
    assert reader.account() == {"produced": 0, "lost": 0}


def test_each_record_is_taken_once_and_in_order(kernel, out, file):
    reader = kernel.reader()
    taken = []
    for count in (3, 0, 1, 12):
        kernel.put(count)
        taken.append(reader.drain(out))
    assert taken == [3, 0, 1, 12]
    assert written(file) == [0, 1, 2, "|", 3, "|", *range(4, 16), "|"]
    assert reader.empty
    assert reader.kept == 16


def test_each_cpus_records_come_one_cpu_after_the_other(kernel, out, file):
    reader = kernel.reader()
    kernel.put(2, cpu=2)
    kernel.put(1, cpu=0)
    kernel.put(1, cpu=2)
    assert reader.drain(out) == 4
    assert written(file) == [2, 0, 1, 3, "|"]


@pytest.mark.parametrize("laps", [0, 1, 2, 3, 1 << 40])
def test_a_lane_goes_around(laps, kernel, out, file):
    """As often as it likes: what was in a place before is not taken for what will be."""
    start = laps * PLACES + PLACES - 3
    for place in range(max(0, start - PLACES), start):
        kernel.finish(place, 0, 99)
    kernel.start_at(start)
    reader = kernel.reader()
    kernel.put(PLACES, unfinished=PLACES - 1)  # full, wherever that begins
    assert reader.drain(out) == PLACES - 1
    kernel.finish(start + PLACES - 1, 0, PLACES - 1)
    kernel.put(5)
    assert reader.drain(out) == 6
    assert written(file) == [*range(PLACES + 5), "|"]


def test_a_record_that_is_still_being_written_stops_its_lane_only(kernel, out, file):
    reader = kernel.reader()
    kernel.put(5, cpu=1, unfinished=2)
    kernel.put(1, cpu=2)
    assert reader.drain(out) == 3
    assert reader.drain(out) == 0  # still
    assert not reader.empty
    assert written(file) == [0, 1, 5]  # not all that was made before what is to come
    kernel.finish(2, 1, 2)
    assert reader.drain(out) == 3
    assert written(file) == [0, 1, 5, 2, 3, 4, "|"]


class Changing:
    """Counts that a look at finds changed, so many times."""

    def __init__(self, kernel: Kernel, cpus: list[int]) -> None:
        self._kernel, self._cpus = kernel, cpus

    def copy(self) -> np.ndarray:
        found = self._kernel.lanes["made"].copy()
        if self._cpus:  # an interrupt, between two lanes
            self._kernel.put(1, cpu=self._cpus.pop(0))
            found[1:] = self._kernel.lanes["made"][1:]
        return found


def test_what_is_drained_at_once_was_made_before_all_that_is_left(kernel, out, file):
    """Not the accept on the second lane without its arrival on the first, which is a moment older."""
    reader = kernel.reader()
    reader._made = Changing(kernel, [0, 1])
    assert reader.drain(out) == 2
    assert written(file) == [0, 1, "|"]


def test_lanes_that_never_keep_still_have_no_mark(kernel, out, file):
    reader = kernel.reader()
    reader._made = Changing(kernel, [1, 2] * 12)
    assert reader.drain(out) > 0
    assert "|" not in written(file)
    reader._made = kernel.lanes["made"]
    kernel.put(1)
    reader.drain(out)
    assert written(file)[-1] == "|"


def test_what_finds_no_place_is_counted(kernel, out, file):
    reader = kernel.reader()
    kernel.put(PLACES + 7)
    assert reader.drain(out) == PLACES
    kernel.put(2)
    reader.drain(out)
    assert reader.account() == {"produced": PLACES + 9, "lost": 7}
    assert reader.kept == PLACES + 2


def test_a_run_counts_what_is_its_own(kernel, out, file):
    reader = kernel.reader()
    kernel.put(PLACES + 7)
    reader.drain(out)
    kernel.put(1)  # after the last look
    reader.begin()
    kernel.put(2)
    reader.drain(out)
    assert reader.account() == {"produced": 2, "lost": 0}
    assert reader.kept == 2
    assert written(file)[-3:] == [PLACES + 1, PLACES + 2, "|"]


def test_a_disk_that_takes_nothing_costs_no_record(kernel, out, file):
    reader = kernel.reader()
    kernel.put(7)
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        reader.drain(full)
    os.close(full)
    assert reader.kept == 0
    assert reader.drain(out) == 7
    assert written(file) == [*range(7), "|"]


def test_a_disk_that_fills_up_in_the_middle_keeps_whole_records_only(kernel, out, file):
    reader = kernel.reader()
    kernel.put(2)
    kernel.put(6, cpu=1)
    with (
        files_at_most(5 * EVENT.itemsize + EVENT.itemsize // 2),
        pytest.raises(OSError, match="too large") as full,
    ):
        reader.drain(out)
    assert full.value.errno == errno.EFBIG
    assert written(file) == [0, 1, 2, 3, 4]
    assert reader.kept == 5
    assert reader.drain(out) == 3  # and goes on where it was
    assert written(file) == [*range(8), "|"]


def test_records_cannot_be_written_by_the_reader(kernel):
    assert not kernel.reader()._records.flags.writeable


@pytest.mark.parametrize(
    ("cpus", "bits"), [(1, 18), (2, 18), (3, 17), (4, 17), (5, 16), (8, 16), (32, 14), (1024, 14)]
)
def test_many_cpus_have_less_each(cpus, bits):
    assert lane_bits(cpus) == bits


# --- the file


def events(*made: tuple[int, int]) -> bytes:
    """Of times and ends; a time of 0 is a mark."""
    found = np.zeros(len(made), EVENT)
    found["time"], found["end"] = zip(*made, strict=True)
    found["kind"] = np.where(found["time"] == 0, KIND_DRAINED, KIND_ARRIVAL)
    return found.tobytes()


MARK = (0, 0)


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_a_file_is_read_in_the_order_in_which_it_was_made(most, file):
    """What was drained at once is one CPU's after the other's; a record is made when it ends."""
    first, second = [(5, 9), (7, 0), (6, 3)], [(12, 0), (10, 2)]
    file.write_bytes(events(*first, MARK, MARK, *second, (20, 0)))
    found = np.concatenate(list(in_order(file, most)))
    assert [int(time) for time in found["time"] if time] == [6, 7, 5, 10, 12, 20]
    assert all(len(part) <= most for part in in_order(file, most))


def mapped_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssFile:")[1].split()[0]) * 1024


def test_a_long_file_takes_no_more_memory_than_its_parts(file):
    most, parts = 4096, 128
    file.write_bytes(events(*[(time, 0) for time in range(1, most)], MARK) * parts)
    before = mapped_bytes()
    grown = [mapped_bytes() - before for _ in in_order(file, most)]
    assert len(grown) == parts
    assert max(grown) < file.stat().st_size / 4


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_columns_are_the_records_fields(size):
    made = np.random.default_rng(1).bytes(size * EVENT.itemsize)
    records = np.frombuffer(made, EVENT)
    found = columns(records)
    assert list(found) == list(EVENT.names or ())
    for name, values in found.items():
        assert values.dtype == EVENT[name]
        assert np.array_equal(values, records[name])
