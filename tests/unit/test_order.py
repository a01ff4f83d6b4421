"""Whom an arrival wakes, by its place in the queue: against what each strategy promises, and by hand."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from herd.analysis import order
from herd.analysis.order import first_woken, share
from herd.recording.read import Recording, load
from herd.recording.schema import TABLES
from tests.recordings import reference


def ranks(recording: Recording) -> pd.DataFrame:
    """All parts in one, by arrival: a part is of arrivals that were recorded together."""
    parts = [*order.ranks(recording)]
    return pd.concat(parts).sort_values(["arrival", "place"], ignore_index=True)


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


def in_groups(recording: Recording, rows: int, directory: Path) -> Recording:
    """The same with so many wakeups to a row group."""
    shutil.copytree(recording.path, directory)
    wakeups = pq.read_table(directory / "wakeups.parquet")
    pq.write_table(wakeups, directory / "wakeups.parquet", row_group_size=rows)
    return load(directory)


@pytest.mark.parametrize("name", ["accept", "epoll", "epoll-exclusive", "reuseport"])
@pytest.mark.parametrize("rows", [16, 50])
def test_row_groups_of_any_size_give_the_same(name, rows, tmp_path):
    recording = load(reference(name))
    cut = in_groups(recording, rows, tmp_path / "cut")
    assert ranks(cut).equals(ranks(recording))
    assert first_woken(cut).equals(first_woken(recording))


def told_one_by_one(recording: Recording) -> list[tuple[int | None, ...]]:
    """``ranks`` as its words have it: looks at every row of every worker for each wakeup."""
    rows = recording.table("wakeups").sort_values("time_ns").to_dict("records")
    listeners = recording.workers["listener"].tolist()
    waits = {worker: [] for worker in range(len(listeners))}
    for worker, found in waits.items():
        since = -math.inf
        for row in (row for row in rows if row["worker"] == worker):
            if row["blocked_in"] in order.LISTENING and since is not None:
                found.append((since, row["time_ns"]))
            since = None if pd.isna(row["slept_ns"]) else row["slept_ns"]
        if since is not None:
            found.append((since, math.inf))
    begun = {worker: found[0][0] if found else math.inf for worker, found in waits.items()}
    told = []
    caused = [row for row in rows if row["cause"] == "arrival"]
    for arrival in sorted({row["arrival"] for row in caused}):
        woken = [row for row in caused if row["arrival"] == arrival]
        moment, listener = woken[0]["time_ns"], listeners[woken[0]["worker"]]
        since = {
            worker: begin
            for worker, found in waits.items()
            for begin, end in found
            if begin < moment <= end and listeners[worker] == listener
        }
        for place, row in enumerate(woken):
            worker, places = row["worker"], (None, None, None)
            if worker in since:
                alike = since[worker] == -math.inf and [*since.values()].count(-math.inf) > 1
                strange = begun[worker] == -math.inf and [*begun.values()].count(-math.inf) > 1
                longer = sum(begin < since[worker] for begin in since.values())
                before = sum(begun[other] < begun[worker] for other in since)
                places = (len(since), None if alike else longer, None if strange else before)
            told.append((arrival, worker, place, *places))
    return told


@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_its_words_say_of_any_recording_cut_anywhere(seed, tmp_path):
    """Workers that sleep and wake at random, for arrivals of which some wake several and some end late."""
    random = np.random.default_rng(seed)
    workers, rows, arrival = 5, [], 0
    awake_until = random.permutation(40)[:workers] + 1
    if seed % 2:  # seen from the start: each is started, and then sleeps
        rows += [(w, 0, int(awake_until[w]), None, None) for w in range(workers)]
    for moment in range(50, 5000, 50):
        asleep = np.flatnonzero(awake_until < moment)
        woken = random.permutation(asleep)[: random.integers(0, len(asleep) + 1)]
        caused = random.random() < 0.7 and len(woken) > 0
        arrival += caused
        for step, worker in enumerate(woken.tolist()):
            slept = moment + step + int(random.choice([3, 15, 200], p=[0.6, 0.3, 0.1])) * workers
            slept += worker - slept % workers  # no two at once, of which neither has waited longer
            blocked_in = "accept" if caused else str(random.choice(["accept", "recvmsg"]))
            rows.append((worker, moment + step, slept, blocked_in, arrival if caused else None))
            awake_until[worker] = slept
    rows.sort(key=lambda row: row[2])  # as they ended
    last = {worker: number for number, (worker, *_) in enumerate(rows)}
    for number in random.permutation(list(last.values()))[:2]:  # never seen to end
        rows.append((*rows[number][:2], None, *rows[number][3:]))
        rows[number] = None
    rows = [row for row in rows if row is not None]
    listeners = [7, 7, 7, 7, 9] if seed % 3 else [7] * 5
    recording = by_hand(tmp_path / "made", rows, listeners)
    expected = told_one_by_one(recording)
    for size in (1, 3, 10, 10_000):
        found = ranks(in_groups(recording, size, tmp_path / f"cut{size}"))
        assert [*zip(*(values(found, column) for column in found), strict=True)] == expected
    assert len(expected) > 30


def test_first_woken_counts_the_first_of_each_arrival():
    first = first_woken(load(reference("accept")))
    assert first["arrivals"].tolist() == [13] * 8 + [12] * 8
    assert first["worker"].tolist() == list(range(16))
    assert share(first, first["rank"] == 0) == 1
    assert share(first, first["worker"] < 8) == 104 / 200
    assert share(first, first["rank"].where(first["worker"] < 4) == 1) == 0
    assert share(first, first["rank"].where(first["worker"] > 99) == 0) is None


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
    recording = by_hand(tmp_path / "made", [], [7, 7])
    assert [*order.ranks(recording)] == []
    assert first_woken(recording).empty
    assert [*first_woken(recording)] == ["worker", "waiting", "rank", "registered", "arrivals"]
