"""What experiments measure, against another way to count it; and what tokens and blocks do to a recording."""

from __future__ import annotations

import shutil
import socket
import statistics
import time

import pytest

from herd.analysis import integrity
from herd.config import parse
from herd.errors import Unfit, UsageError
from herd.experiments import measures
from herd.experiments.sweep import design
from herd.pool.worker import Worker
from herd.recording.read import Recording
from herd.strategies import Listen
from tests.recordings import edit_run, edit_table, reference

MS = 1_000_000


def of(name, recording):
    return measures.find(name).of([recording])


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(reference("epoll"), tmp_path / "copy")


def test_settle_time_is_until_the_last_that_woke_sleeps(copy):
    recording = Recording(copy)
    arrived = dict(zip(recording.arrivals["arrival"], recording.arrivals["time_ns"], strict=True))
    slept: dict[int, int] = {}
    for row in recording.caused.itertuples():
        slept[row.arrival] = max(slept.get(row.arrival, 0), row.slept_ns)
    expected = statistics.median(slept[arrival] - arrived[arrival] for arrival in slept) / 1000
    assert of("settle-time", recording) == pytest.approx(expected)


def test_an_arrival_whose_herd_is_not_all_asleep_has_no_settle_time(copy):
    def all_awake(rows):
        for row in rows:
            row["slept_ns"] = None

    edit_table(copy, "wakeups", all_awake)
    assert of("settle-time", Recording(copy)) is None


def test_time_on_a_cpu_is_that_of_wakeups_by_an_arrival(copy):
    def strange(rows):
        rows[0] |= {"arrival": None, "on_cpu_ns": 10**9}

    edit_table(copy, "wakeups", strange)
    by_worker = Recording(copy).caused.groupby("worker")["on_cpu_ns"].sum()
    assert by_worker.sum() < 10**9
    expected = by_worker.sum() / 200 / 1000
    assert of("on-cpu-per-connection", Recording(copy)) == pytest.approx(expected)


def test_who_waited_and_who_was_closed_late_is_counted(copy):
    def delay(rows):
        for row in rows:
            row["first_byte_ns"] = row["intended_ns"] + MS
            row["closed_ns"] = row["first_byte_ns"] + MS
        for row in rows[:50]:
            row["first_byte_ns"] = row["intended_ns"] + 21 * MS
        for row in rows[50:60]:
            row["closed_ns"] = row["first_byte_ns"] + 26 * MS
        rows[60]["first_byte_ns"] = rows[60]["closed_ns"] = None

    edit_table(copy, "connections", delay)
    edit_run(copy, "config", "hold_s", value=0.005)
    recording = Recording(copy)
    waits = [21_000.0] * 50 + [1000.0] * 149
    assert of("waited-20-ms", recording) == pytest.approx(50 / 199)
    assert of("closed-20-ms-late", recording) == pytest.approx(10 / 199)
    assert of("first-byte-max", recording) == 21_000
    assert of("first-byte-mean", recording) == pytest.approx(statistics.fmean(waits))
    assert of("first-byte-deviation", recording) == pytest.approx(statistics.stdev(waits))


def test_without_a_probe_queue_delay_and_settle_time_are_unknown(copy):
    edit_run(copy, "host", "probe", value="none")
    edit_table(copy, "accepts", lambda rows: [row.update(queue_delay_ns=None) for row in rows])
    recording = Recording(copy)
    for name in ("queue-delay-p99", "settle-time"):
        assert of(name, recording) is None


def test_tokens_are_counted_as_tokens_only(copy):
    for name in ("switches-per-token", "cpu-per-token"):
        assert of(name, Recording(copy)) is None
    edit_run(copy, "config", "tokens", value=200)
    workers = Recording(copy).workers
    switches = workers["voluntary_switches"].sum() + workers["involuntary_switches"].sum()
    assert of("switches-per-token", Recording(copy)) == pytest.approx(switches / 200)


@pytest.mark.parametrize(
    ("rate", "served", "ok"), [(500.0, 199, True), ("settled", 0, True), (500.0, 198, False)]
)
def test_each_token_is_taken_once(copy, rate, served, ok):
    def passed(rows):
        for row in rows:
            row["served"] = 0
        rows[3]["served"] = served

    edit_run(copy, "config", "tokens", value=200)
    edit_run(copy, "config", "rate", value=rate)
    edit_table(copy, "workers", passed)
    laws = integrity.check(Recording(copy))
    assert laws["ok"] is ok
    assert laws["listen_drops"] is None  # no listener, no figure


def test_tokens_take_a_strategy_that_needs_no_more_than_a_descriptor():
    config = parse({"tokens": 10, "strategy": "epoll-exclusive"}).resolved()
    assert (config.probe, config.connections) == ("none", None)
    for wrong in ({"strategy": "dispatcher"}, {"pool": "threads"}):
        with pytest.raises(Unfit, match="cannot wait for tokens"):
            parse({"tokens": 10} | wrong).resolved()
    with pytest.raises(UsageError, match="not both"):
        parse({"tokens": 10, "connections": 10}).resolved()


def test_workers_do_not_hang_at_once(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    listen = Listen("127.0.0.1", 0, 1)
    hung = []
    for index in range(4):
        ours, theirs = socket.socketpair()
        settings = {"work_us": 0, "hold_s": 0, "batch": 1, "blocks": False}
        worker = Worker(
            index, 4, listen, ours, {}, block_s=0.1, block_every=10, **settings
        )  # an area is used like a dict
        for count in range(1, 21):
            before = len(slept)
            worker.handle(ours.dup())
            hung += [(index, count)] if len(slept) > before else []
        theirs.close()
    assert hung == [(0, 10), (0, 20), (1, 8), (1, 18), (2, 5), (2, 15), (3, 3), (3, 13)]
    assert set(slept) == {0.1}


def test_an_option_with_other_choices_makes_no_point_where_a_strategy_lacks_the_choice():
    sweep = {
        "strategy": ["accept", "reuseport-ebpf", "dispatcher"],
        "options": {"policy": ["round-robin", "least-loaded"]},
    }
    assert [point.label for point in design(sweep, {"workers": 2}).points] == [
        "accept",
        "reuseport-ebpf-policy-round-robin",
        "reuseport-ebpf-policy-least-loaded",
        "dispatcher-policy-round-robin",
    ]
