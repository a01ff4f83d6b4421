"""What a load's result is, from the rows that its processes wrote; and its histograms."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from herd import area
from herd.errors import UsageError
from herd.report.load import lines
from herd.traffic import histograms, plan
from herd.traffic.capacity import Capacity
from herd.traffic.log import LAYOUT
from herd.traffic.plan import Plan
from herd.traffic.result import Result

BEGIN = 1_000_000_000
US = 1000


@pytest.fixture
def log() -> Iterator[area.Area]:
    memory = area.create("herd-test", LAYOUT, 16, 1)
    yield area.share(memory, LAYOUT, 16, 1)[0]
    os.close(memory)


def written(log: area.Area, *rows: tuple[int, ...], **counters: int) -> Result:
    """:param rows: intended, started, established, first byte, done, closed (µs), turn and error"""
    for *times, turn, error in rows:
        log.append(*(BEGIN + time * US if time else 0 for time in times), b"", 0, turn, error)
    for name, value in counters.items():
        log[name] = value
    return Result.of(Plan(target=":80").resolved(), [log], BEGIN)


def test_latencies_count_from_the_intended_time(log):
    result = written(
        log,
        (1000, 1500, 1600, 1700, 1800, 1900, 0, 0),
        (2000, 2010, 2030, 2040, 2050, 2060, 0, 0),
        started=2,
        finished=2,
    )
    found = result.as_json()
    assert found["latency_us"]["connect"]["max"] == 600
    assert found["latency_us"]["first_byte"]["p50"] == (700 + 40) / 2
    assert found["latency_us"]["done"]["max"] == 800
    assert found["schedule_error_us"]["max"] == 500
    assert (found["completed"], found["seconds"]) == (2, 0.00206)
    assert found["rate"] == pytest.approx(2 / 0.00206, abs=0.001)


def test_a_later_request_is_no_connection(log):
    result = written(
        log,
        (1000, 1001, 1010, 1020, 1030, 0, 0, 0),
        (1030, 1031, 1010, 1040, 1050, 1060, 1, 0),
        started=1,
        finished=1,
    )
    assert (result.completed, result.requests) == (1, 2)
    assert {name: len(times.took) for name, times in result.phases().items()} == {
        "connect": 1,
        "first_byte": 2,
        "done": 2,
    }
    assert result.schedule_error().took.tolist() == [US]


def test_every_connection_that_was_attempted_is_completed_or_failed(log):
    """Also one that a load process was killed with."""
    result = written(
        log,
        (1000, 1001, 1010, 0, 0, 1020, 0, errno.ECONNRESET),
        (1000, 1001, 1010, 1020, 1030, 1040, 0, 0),
        started=3,
        finished=2,
        failed=1,
        missed=4,
    )
    assert result.errors == {"ECONNRESET": 1, "lost": 1}
    assert (result.attempted, result.completed, result.failed) == (3, 1, 2)
    assert result.as_json()["intended"] == 7
    assert "4 more were due and not started" in "\n".join(lines(result))


def test_what_is_unknown_is_null(log):
    found = written(log).as_json()
    assert found["rate"] is None
    assert found["latency_us"] == {"connect": None}
    assert found["schedule_error_us"] is None


def test_many_values_at_once_are_recorded_as_one_by_one():
    values = np.random.default_rng(1).lognormal(11, 2, 5000).astype("i8")
    one_by_one = HdrHistogram(1, int(values.max()), 3)
    for value in values.tolist():
        one_by_one.record_value(value)
    together = histograms.histogram(values)
    assert together.get_total_count() == 5000
    for percentile in (0, 1, 50, 90, 99, 99.9, 100):
        expected = one_by_one.get_value_at_percentile(percentile)
        assert together.get_value_at_percentile(percentile) == expected


def test_a_log_has_a_histogram_a_second(log, tmp_path):
    rows = [(second * 1_000_000 + 5, *[second * 1_000_000 + 45] * 5, 0, 0) for second in (0, 0, 2)]
    histograms.write(written(log, *rows, started=3, finished=3), tmp_path)
    reader = HistogramLogReader(str(tmp_path / "connect.hlog"), HdrHistogram(1, 10**10, 3))
    counts = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        counts.append(interval.get_total_count())
    assert counts == [2, 0, 1]
    assert sorted(file.name for file in tmp_path.glob("*.hgrm")) == [
        "connect.hgrm",
        "done.hgrm",
        "first_byte.hgrm",
        "schedule_error.hgrm",
    ]


def test_a_capacity_is_that_of_the_closed_loop(log):
    result = written(log, (1000, 1001, 1010, 0, 1010, 1020, 0, 0), started=1, finished=1)
    text = "\n".join(lines(Capacity(result, [(0.1, result)])))
    assert "capacity        980 connections/s (closed loop)" in text
    assert "10%" in text


# --- the plan


def test_targets():
    assert plan.address(":80")[1:] == ("127.0.0.1", 80)
    assert plan.address("localhost:80")[1:] == ("127.0.0.1", 80)
    assert plan.address("[::1]:80")[0].name == "inet6"
    assert plan.address("unix:/run/a@b")[1:] == ("/run/a@b", 0)
    assert plan.address("unix:@name")[1:] == ("\0name", 0)
    with pytest.raises(UsageError, match="not a loopback address"):
        plan.address("[2001:db8::1]:80")


@pytest.mark.parametrize(
    ("values", "limit", "open_at_once"),
    [
        ({}, 10_001, 1001),
        ({"connections": 50}, 50, 50),
        ({"rate": 100.0, "duration_s": 2.0}, 201, 101),
        ({"rate": 100.0, "connections": 1000, "hold_s": 2.0}, 1000, 301),
        ({"pattern": "closed", "connections": 1000}, 1000, 10),
        ({"pattern": "closed", "options": {"clients": "7"}, "duration_s": 1.0}, 60_001, 7),
    ],
)
def test_how_much_a_plan_is(values, limit, open_at_once):
    found = Plan(target=":80", **values).resolved()
    assert (found.limit, found.open_at_once) == (limit, open_at_once)


def test_a_percentile_file_has_the_largest_value():
    file = io.BytesIO()
    histograms.histogram(np.array([10, 20, 3_000_000])).output_percentile_distribution(file, 1.0)
    assert b"TotalCount     =        3.000" in file.getvalue()
