"""The verdict weighs what a herd costs; figures of committed recordings, looked at as a stranger's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from herd.analysis import integrity
from herd.analysis.verdict import FINE, FIX, KNOW, wasted_cpu_share
from herd.recording.read import Recording, load

REFERENCE = Path(__file__).parents[2] / "results/reference"


def observed(name: str, seconds: float = 10.0, **facts: Any) -> Recording:
    """A committed recording, as if its server had been observed for so long."""
    recording = load(REFERENCE / name)
    run = recording.run
    run["observed"] = {
        "server": "nginx",
        "advice": "set accept_mutex off",
        "overhead": {"programs": {"runs": 1000, "ns": 100_000}, "reader_ns": 50_000},
        "queued": {"before": 0, "after": 0},
    } | facts
    run["config"] |= {"strategy": "observed", "target": ":80"}
    run["prediction"] = dict.fromkeys(("low", "expected", "high", "who", "why"))
    run["load"] = {"attempted": None}
    run["end_ns"] = run["begin_ns"] + int(seconds * 1e9)
    return recording


def test_a_herd_is_judged_by_what_it_costs():
    cheap = observed("epoll-n16", 3600).summary["verdict"]
    dear = observed("epoll-n16", 0.1).summary["verdict"]
    assert (cheap["level"], dear["level"]) == (KNOW, FIX)
    for verdict in (cheap, dear):
        assert verdict["text"].startswith("16.00 wakeups per connection, 94% wasted, costing ")
        assert verdict["text"].endswith("set accept_mutex off")
    assert "2e+03 connections/s" in dear["text"]


def test_the_cost_is_that_of_wasted_wakeups_only():
    recording = observed("epoll-n16", 2.0)
    caused = recording.caused
    wasted_ns = caused["on_cpu_ns"][caused["accepts"] == 0].sum()
    assert wasted_cpu_share(recording) == pytest.approx(wasted_ns / 2e9)


def test_no_herd_is_fine_and_one_worker_for_all_is_worth_knowing():
    assert observed("accept-n16").summary["verdict"]["level"] == FINE
    uneven = observed("epoll-exclusive-n16").summary["verdict"]
    assert uneven["level"] == KNOW
    assert "one worker took" in uneven["text"]


def test_a_server_that_nobody_visits_is_judged_by_its_wait_queue():
    recording = observed("epoll-n16")
    recording.arrivals = recording.arrivals[:0]
    recording.wakeups = recording.wakeups[:0]
    assert recording.summary["verdict"] == {"level": FINE, "text": "no connection came in 10 s"}
    again = observed("epoll-n16")
    again.run["prediction"]["expected"] = 16
    again.arrivals, again.wakeups = again.arrivals[:0], again.wakeups[:0]
    assert again.summary["verdict"]["level"] == KNOW
    assert "would wake 16" in again.summary["verdict"]["text"]


def test_what_looking_cost_is_told():
    overhead = observed("epoll-n16", 0.001).summary["overhead"]
    assert overhead == {
        "programs_cpu": pytest.approx(0.1),
        "programs_ns_per_run": 100.0,
        "reader_cpu": pytest.approx(0.05),
    }
    unknown = observed("epoll-n16", overhead=None).summary["overhead"]
    assert set(unknown.values()) == {None}


def test_what_came_and_was_not_taken_must_be_queued():
    def law(recording: Recording) -> Any:
        [found] = [
            check["ok"]
            for check in integrity.check(recording)["checks"]
            if "accept queues" in check["name"]
        ]
        return found

    assert law(observed("accept-n16")) is True
    lacking = observed("accept-n16")
    lacking.accepts = lacking.accepts[:-1]
    assert law(lacking) is False
    queued = observed("accept-n16", queued={"before": 0, "after": 1})
    queued.accepts = queued.accepts[:-1]
    assert law(queued) is True
    assert law(observed("accept-n16", queued={"before": 0, "after": None})) is None
