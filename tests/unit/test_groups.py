"""Recordings found in folders, repeats taken together, and how even shares are."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from herd.analysis import statistics
from herd.analysis.connection import life
from herd.analysis.groups import find, group
from herd.analysis.inequality import gini, lorenz
from herd.errors import UsageError
from herd.recording.read import load
from tests.recordings import REFERENCE, edit_run, reference


@pytest.fixture
def repeats(tmp_path):
    """Epoll three times, once slower, and accept once; and what a run that goes on has there."""
    for name, strategy in (("a", "epoll"), ("b", "epoll"), ("c", "accept"), ("d", "epoll")):
        shutil.copytree(reference(strategy), tmp_path / "set" / name)
    edit_run(tmp_path / "set/b", "config", "seed", value=2)
    edit_run(tmp_path / "set/d", "config", "rate", value=50.0)
    shutil.copytree(reference("epoll"), tmp_path / "set/e.partial")
    return tmp_path / "set"


def test_a_folder_is_what_it_holds_and_no_run_that_goes_on(repeats):
    assert [run.path.name for run in find([repeats])] == ["a", "b", "c", "d"]
    assert [run.path.name for run in find([repeats / "c", repeats / "a"])] == ["c", "a"]


def test_a_folder_without_a_recording_is_a_clear_error(tmp_path):
    with pytest.raises(UsageError, match="is not a recording"):
        find([REFERENCE, tmp_path])


def test_repeats_are_told_apart_by_nothing_but_seed_and_place(repeats):
    found = group(find([repeats]))
    assert [[run.path.name for run in one.recordings] for one in found] == [
        ["a", "b"],
        ["c"],
        ["d"],
    ]
    assert [one.label for one in found] == ["epoll, rate settled", "accept", "epoll, rate 50"]
    assert [one.label for one in group(find([repeats]), apart=("rate",))] == ["epoll", "accept"]


def test_a_mean_has_the_interval_of_its_repeats(repeats):
    edit_run(repeats / "b", "prediction", "expected", value=18)
    [epoll, accept, _] = group(find([repeats]))
    assert epoll.mean("wakeups.predicted_per_connection") == statistics.mean([16, 18])
    single = accept.mean("wakeups.per_connection")
    assert single is not None
    assert (single.estimate, single.low, single.count) == (1.0, None, 1)
    assert accept.mean("verdict.level") is None


def test_a_band_is_the_mean_of_each_point(repeats):
    [epoll, accept, _] = group(find([repeats]))
    seeds = epoll.band(lambda run: [run.run["config"]["seed"], 5])
    assert seeds.mean.tolist() == [1.5, 5.0]
    assert (seeds.low.tolist(), seeds.high.tolist()) == ([1.0, 5.0], [2.0, 5.0])
    alone = accept.band(lambda _: [1, 2, 3])
    assert alone.low.tolist() == alone.mean.tolist() == alone.high.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 5, 5, 5], 0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([4], 0), ([3, 1, 2], 2 / 9)],
)
def test_gini_is_the_mean_difference_of_all_pairs(counts, expected):
    assert gini(counts) == pytest.approx(expected)
    pairs = np.abs(np.subtract.outer(counts, counts)).mean() / (2 * np.mean(counts))
    assert gini(counts) == pytest.approx(pairs)


def test_a_lorenz_curve_begins_with_nothing_and_ends_with_all():
    assert lorenz([3, 1, 0, 4]).tolist() == [0, 0, 0.125, 0.5, 1]


# --- one connection


@pytest.mark.parametrize(("strategy", "woken"), [("accept", 1), ("epoll", 16)])
def test_a_connection_is_followed_through_all_tables(strategy, woken):
    recording = load(reference(strategy))
    clients = recording.connections.sort_values("intended_ns", ignore_index=True)
    for number in (1, 77, 200):
        found, client = life(recording, number), clients.loc[number - 1]
        [accept] = recording.accepts[recording.accepts["peer_port"] == client["port"]].to_dict(
            "records"
        )
        assert (found.worker, found.moments["accepted"]) == (accept["worker"], accept["time_ns"])
        assert found.moments["established"] == client["established_ns"]
        assert found.moments["arrival"] == accept["time_ns"] - accept["queue_delay_ns"]
        assert set(found.wakeups["arrival"]) == {accept["arrival"]}
        assert len(found.wakeups) == woken


def test_the_median_connection_takes_the_median_time():
    recording = load(reference("epoll"))
    found = life(recording)
    rows = recording.connections
    taken = (rows["first_byte_ns"] - rows["intended_ns"]).sort_values().to_list()
    assert found.moments["first_byte"] - found.moments["intended"] == taken[99]


@pytest.mark.parametrize("number", [0, 201])
def test_a_connection_that_is_not_there_is_a_clear_error(number):
    with pytest.raises(UsageError, match=f"no connection {number}: they are 1 to 200"):
        life(load(reference("epoll")), number)


def test_without_a_probe_the_client_and_its_worker_are_still_known():
    recording = load(reference("epoll"))
    recording.accepts["arrival"] = pd.NA
    found = life(recording, 5)
    assert found.worker is not None
    assert "arrival" not in found.moments
    assert found.wakeups.empty
