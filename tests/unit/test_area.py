"""Shared memory of a run: rows that one process writes and another reads whole."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from herd import area
from herd.area import Area, Layout

LAYOUT = Layout(["state", "errors"], [("time", "Q"), ("peer", "4s"), ("port", "H"), ("delta", "q")])
ADDRESS = bytes([127, 0, 0, 9])
HUGE = 2**64 - 1


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def make():
    """Areas of a fresh descriptor, which is closed in the end."""
    fds: list[int] = []

    def create(capacity: int = 4, areas: int = 3) -> list[Area]:
        fds.append(area.create("herd-test", LAYOUT, capacity, areas))
        return area.share(fds[-1], LAYOUT, capacity, areas)

    create.fds = fds
    yield create
    for fd in fds:
        os.close(fd)


def in_child(action: Callable[[], None]) -> int:
    """Do something in a forked process; returns its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def test_rows_come_back_as_they_were_written(make):
    mine = make()[0]
    assert mine.append(HUGE, ADDRESS, 65535, -5)
    assert mine.append(2, ADDRESS, 1, 2**63 - 1)
    rows = mine.rows()
    assert rows["time"].tolist() == [HUGE, 2]
    assert rows["peer"].tolist() == [int.from_bytes(ADDRESS, "big")] * 2
    assert rows["port"].tolist() == [65535, 1]
    assert rows["delta"].tolist() == [-5, 2**63 - 1]


def test_rows_come_in_parts_too(make):
    mine = make(capacity=5)[0]
    assert list(mine.parts(2)) == []
    for row in range(5):
        mine.append(row, ADDRESS, row, -row)
    assert [part["time"].tolist() for part in mine.parts(2)] == [[0, 1], [2, 3], [4]]
    assert [len(part) for part in mine.parts(5)] == [5]


def test_an_empty_area_has_no_rows_and_all_counters_at_zero(make):
    mine = make()[0]
    assert len(mine.rows()) == 0
    assert mine.rows().dtype == LAYOUT.dtype()
    assert [mine[name] for name in ("rows", "state", "errors")] == [0, 0, 0]


def test_a_full_area_refuses_and_keeps_what_it_has(make):
    mine, neighbour, _ = make(capacity=2)
    neighbour.append(77, ADDRESS, 7, 7)
    assert [mine.append(n, ADDRESS, 0, 0) for n in range(3)] == [True, True, False]
    assert mine["rows"] == 2
    assert mine.rows()["time"].tolist() == [0, 1]
    assert neighbour.rows()["time"].tolist() == [77]


def test_every_row_of_every_area_has_its_own_place(make):
    rows = 2048
    assert LAYOUT.bytes(rows) == 4096 + rows * LAYOUT.row.size  # not a byte to spare
    areas = make(capacity=rows, areas=3)
    for row in range(rows):
        for number, mine in enumerate(areas):
            assert mine.append(1000 * number + row, ADDRESS, number, row)
    for number, mine in enumerate(areas):
        assert mine.rows()["time"].tolist() == [1000 * number + row for row in range(rows)]


def test_counters_are_signed_and_apart(make):
    first, second, _ = make()
    first["state"], first["errors"] = -3, 2**62
    second["state"] = 9
    first["errors"] += 1
    assert (first["state"], first["errors"], first["rows"]) == (-3, 2**62 + 1, 0)
    assert (second["state"], second["errors"]) == (9, 0)
    with pytest.raises(KeyError):
        first["typo"]


def test_a_copy_of_the_rows_does_not_change_any_more(make):
    mine = make()[0]
    mine.append(1, ADDRESS, 1, 1)
    before = mine.rows()
    mine.append(2, ADDRESS, 2, 2)
    assert len(before) == 1
    assert before.flags.owndata


def test_another_process_writes_and_we_read(make):
    areas = make()

    def write() -> None:
        areas[1].append(41, ADDRESS, 80, -1)
        areas[1].append(42, ADDRESS, 81, -2)
        areas[1]["state"] = 3

    assert in_child(write) == 0
    assert areas[1].rows()["time"].tolist() == [41, 42]
    assert areas[1]["state"] == 3
    assert len(areas[0].rows()) == len(areas[2].rows()) == 0


def test_a_process_that_inherits_only_the_descriptor_finds_the_same_areas(make):
    areas = make(capacity=4, areas=3)
    fd = make.fds[-1]
    script = (
        "import sys; from herd import area; from herd.area import Layout\n"
        f"layout = Layout(['state', 'errors'], {list(LAYOUT.columns)!r})\n"
        "mine = area.share(int(sys.argv[1]), layout, 4, 3)[2]\n"
        f"mine.append(5, {ADDRESS!r}, 6, 7); mine['errors'] = 8\n"
        "assert 'numpy' not in sys.modules"  # the writers fork, so they must stay light
    )
    subprocess.run([sys.executable, "-c", script, str(fd)], pass_fds=[fd], check=True)
    assert areas[2].rows().tolist() == [(5, int.from_bytes(ADDRESS, "big"), 6, 7)]
    assert areas[2]["errors"] == 8


def test_what_a_killed_writer_had_counted_is_whole(make):
    mine = make(capacity=100)[0]

    def die_while_writing() -> None:
        for number in range(50):
            mine.append(number, ADDRESS, number, number)
        # A row that was begun, and not yet counted.
        place = mine._data + 50 * LAYOUT.row.size
        mine._map[place : place + 8] = struct.pack("<Q", HUGE)
        os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(in_child(die_while_writing)) == signal.SIGKILL
    rows = mine.rows()
    assert rows["time"].tolist() == rows["delta"].tolist() == list(range(50))


def test_one_descriptor_serves_any_number_of_areas(make):
    before = descriptors()
    few = make(areas=1)
    cost = descriptors() - before
    many = make(areas=1024)
    assert descriptors() - before == 2 * cost
    assert (len(few), len(many)) == (1, 1024)


def test_memory_is_given_only_where_something_was_written(make):
    areas = make(capacity=100_000, areas=64)
    areas[63].append(1, ADDRESS, 1, 1)
    info = os.fstat(make.fds[-1])
    assert info.st_size == 64 * LAYOUT.bytes(100_000)
    assert info.st_blocks * 512 <= 4 * mmap.PAGESIZE


@pytest.mark.parametrize("capacity", [0, 1, 186, 187, 1000])
def test_an_area_is_whole_pages_and_has_room_for_its_rows(capacity):
    size = LAYOUT.bytes(capacity)
    assert size % mmap.PAGESIZE == 0
    assert 0 <= size - 4096 - capacity * LAYOUT.row.size < mmap.PAGESIZE


def test_numpy_and_struct_agree_about_a_row():
    every = Layout([], [("a", "Q"), ("b", "q"), ("c", "I"), ("d", "H"), ("e", "4s")])
    assert every.dtype().itemsize == every.row.size == 26
    packed = every.row.pack(HUGE, -1, 2**32 - 1, 65535, b"\x7f\x00\x00\x01")
    row = np.frombuffer(packed, every.dtype())[0]
    assert row.tolist() == (HUGE, -1, 2**32 - 1, 65535, 0x7F000001)
