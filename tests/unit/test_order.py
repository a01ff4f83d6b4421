"""Whom an arrival wakes, by its place in the queue: against what each strategy promises, and by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from herd.analysis import order
from herd.analysis.order import ranks
from herd.recording.read import load
from herd.recording.schema import TABLES
from tests.recordings import reference


def first(name: str) -> pd.DataFrame:
    found = ranks(load(reference(name)))
    return found[found["place"] == 0]


def test_accept_wakes_the_longest_waiting():
    found = first("accept")
    assert found["arrival"].tolist() == list(range(1, 201))
    assert set(found["waiting"]) == {16}
    assert set(found["rank"]) == {0}
    assert found["worker"].tolist() == [i % 16 for i in range(200)]


def test_epoll_exclusive_wakes_the_first_registered_though_it_was_the_last_to_wait():
    found = first("epoll-exclusive")
    assert set(found["registered"]) == {0}
    assert found["rank"].tolist() == [0] + [15] * 199


def test_epoll_wakes_all_the_last_registered_first():
    found = ranks(load(reference("epoll")))
    assert (found["place"] + found["registered"] == 15).all()
    assert found.groupby("arrival").size().tolist() == [16] * 200


def test_with_reuseport_nobody_else_waits_on_the_listener():
    found = first("reuseport")
    assert (set(found["waiting"]), set(found["rank"])) == ({1}, {0})


@pytest.mark.parametrize("name", ["epoll", "epoll-exclusive", "reuseport"])
def test_parts_of_any_size_give_the_same(name, monkeypatch):
    whole = ranks(load(reference(name)))
    monkeypatch.setattr(order, "_CELLS", 1000)
    assert ranks(load(reference(name))).equals(whole)


def by_hand(directory, rows, listeners):
    """A recording of these wakeups: worker, made runnable, asleep again, blocked in, arrival."""
    directory.mkdir(exist_ok=True)
    (directory / "run.json").write_text(json.dumps({"config": {"workers": len(listeners)}}))
    names = ("worker", "time_ns", "slept_ns", "blocked_in", "arrival")
    wakeups = [dict(zip(names, row, strict=True)) for row in rows]
    for row in wakeups:
        row |= {"cause": "arrival" if row["arrival"] else "other", "running_ns": row["time_ns"]}
    workers = [{"worker": i, "listener": cookie} for i, cookie in enumerate(listeners)]
    for name, table in (("wakeups", wakeups), ("workers", workers)):
        full = [dict.fromkeys(c.name for c in TABLES[name].columns) | row for row in table]
        rows_of = pa.Table.from_pylist(full, schema=TABLES[name].arrow())
        pq.write_table(rows_of, directory / f"{name}.parquet")
    return load(directory)


def values(found: pd.DataFrame, column: str) -> list[int | None]:
    return [None if pd.isna(value) else int(value) for value in found[column]]


def test_who_is_busy_or_reads_its_client_does_not_wait(tmp_path):
    recording = by_hand(
        tmp_path / "made",
        [
            (0, 10, 20, None, None),  # each is started, and waits from then on
            (1, 11, 21, None, None),
            (2, 12, 22, None, None),
            (1, 30, 90, "accept", 1),  # busy until 90
            (0, 40, 45, "accept", None),  # a timer: it waits anew, behind the others
            (2, 50, 52, "accept", 2),
            (2, 70, 75, "recvmsg", None),  # from 52 to 70 it was its client that it waited for
            (0, 60, 65, "accept", 3),
        ],
        [7, 7, 7],
    )
    found = ranks(recording)
    assert found["worker"].tolist() == [1, 2, 0]
    assert values(found, "waiting") == [3, 2, 1]
    assert values(found, "rank") == [1, 0, 0]
    assert values(found, "registered") == [1, 1, 0]


def test_who_waited_since_before_the_recording_has_no_rank_among_its_like(tmp_path):
    recording = by_hand(
        tmp_path / "made",
        [(0, 30, 35, "accept", 1), (1, 40, 45, "accept", 2), (0, 50, 55, "accept", 3)],
        [None, None],
    )
    found = ranks(recording)
    assert values(found, "waiting") == [2, 2, 2]
    assert values(found, "rank") == [None, 0, 0]
    assert values(found, "registered") == [None, None, None]


def test_a_wakeup_on_the_way_to_accept_does_not_end_the_one_that_it_is_part_of(tmp_path):
    rows = [(0, 10, 20, None, None), (0, 30, 60, "accept", 1), (0, 70, 80, "accept", 2)]
    recording = by_hand(tmp_path / "made", rows, [7])
    expected = ranks(recording)
    wakeups = pq.read_table(tmp_path / "made/wakeups.parquet").to_pylist()
    lock = wakeups[0] | {"time_ns": 40, "slept_ns": None, "running_ns": None, "blocked_in": "lock"}
    table = pa.Table.from_pylist([*wakeups, lock], schema=TABLES["wakeups"].arrow())
    pq.write_table(table, tmp_path / "made/wakeups.parquet")
    assert ranks(load(tmp_path / "made")).equals(expected)


def test_nothing_that_was_seen_is_no_row(tmp_path):
    found = ranks(by_hand(tmp_path / "made", [], [7, 7]))
    assert len(found) == 0
    assert np.array_equal(
        found.columns, ["arrival", "worker", "place", "waiting", "rank", "registered"]
    )
