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
        "advice": None,
        "overhead": {"programs": {"runs": 1000, "ns": 100_000}, "reader_ns": 50_000},
    } | facts
    run["config"] |= {"strategy": "observed", "target": ":80"}
    run["prediction"] = dict.fromkeys(("low", "expected", "high", "who", "why"))
    run["load"] = {"attempted": None}
    run["end_ns"] = run["begin_ns"] + int(seconds * 1e9)
    return recording


def test_a_herd_is_judged_by_what_it_costs():
    advice = "set accept_mutex off"
    cheap = observed("epoll-n16", 3600, advice=advice).summary["verdict"]
    dear = observed("epoll-n16", 0.1, advice=advice).summary["verdict"]
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


def test_a_busy_server_is_to_be_looked_at_again():
    busy = observed("accept-n16")
    busy.wakeups = busy.wakeups[::3]
    verdict = busy.summary["verdict"]
    assert verdict["level"] == FINE
    assert "its workers hardly sleep" in verdict["text"]


def test_what_is_set_up_as_a_herd_is_worth_knowing_though_it_shows_none_when_busy():
    busy = observed("accept-n16", advice="uwsgi --thunder-lock")
    busy.wakeups = busy.wakeups[::3]
    verdict = busy.summary["verdict"]
    assert verdict["level"] == KNOW
    assert verdict["text"].endswith(
        "when it is idle, more would wake than needed: uwsgi --thunder-lock"
    )


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
    sampled = {"programs": {"runs": 10, "ns": 2000, "measured_ns": 100_000}, "reader_ns": 50_000}
    overhead = observed("epoll-n16", 0.001, overhead=sampled).summary["overhead"]
    assert overhead["programs_cpu"] == pytest.approx(0.02)
    assert overhead["programs_ns_per_run"] == 200.0
    unknown = observed("epoll-n16", overhead=None).summary["overhead"]
    assert set(unknown.values()) == {None}


def followed(recording: Recording) -> dict[str, Any]:
    checks = integrity.check(recording)["checks"]
    [found] = [check for check in checks if "followed" in check["name"]]
    return found


def test_what_is_queued_as_we_leave_is_not_lost():
    assert followed(observed("accept-n16"))["ok"] is True
    queued = observed("accept-n16")
    queued.accepts = queued.accepts[:-40]
    queued.arrivals["queue_length"] = [1] * (len(queued.arrivals) - 40) + list(range(1, 41))
    assert followed(queued)["ok"] is True
    assert "40 were not accepted by the end" in followed(queued)["detail"]


def test_what_is_not_in_the_queue_any_more_was_accepted_though_nobody_saw_it():
    unseen = observed("accept-n16")
    size, workers = len(unseen.arrivals), unseen.run["config"]["workers"]
    assert set(unseen.arrivals["queue_length"]) == {1}
    unseen.accepts = unseen.accepts[:0]
    found = followed(unseen)
    assert found["ok"] is False
    assert f"by the queue's length, {size - 1 - workers} more were accepted" in found["detail"]
    assert "--probe tracepoints" not in found["detail"]
    unseen.run["probe"]["mode"] = "light"
    assert "--probe tracepoints sees each" in followed(unseen)["detail"]
    unseen.arrivals["queue_length"] = range(1, size + 1)  # a server that hangs
    assert followed(unseen)["ok"] is True


def test_what_had_come_before_we_looked_is_not_lost():
    before = observed("accept-n16")
    before.accepts = before.accepts.assign(
        arrival=before.accepts["arrival"].where(before.accepts.index >= 40)
    )
    before.arrivals = before.arrivals[40:]
    assert followed(before)["ok"] is True
    assert "40 had come before we looked" in followed(before)["detail"]


@pytest.mark.parametrize("table", ["arrivals", "accepts"])
def test_one_that_is_missing_in_between_is_lost(table):
    broken = observed("accept-n16")
    rows = getattr(broken, table)
    if table == "accepts":  # the accept of one in the middle was not seen
        broken.accepts = rows[rows.index != 100]
    else:  # an accept in the middle has no arrival
        arrival = broken.accepts["arrival"]
        broken.accepts = broken.accepts.assign(arrival=arrival.where(arrival.index != 100))
    found = followed(broken)
    assert found["ok"] is False
    assert "lost in between" in found["detail"]


def test_without_a_probe_nobody_was_followed():
    blind = observed("accept-n16")
    blind.run["host"]["probe"] = "none"
    assert followed(blind)["ok"] is None
