"""herd diff: what differs is found, what doesn't isn't, and what nobody knows is said to be unknown."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from herd.analysis import statistics
from herd.analysis.diff import CHANGED, METRICS, SAME, UNTOLD, diff
from herd.analysis.samples import SAMPLES
from herd.cli import herd
from herd.errors import UsageError
from herd.recording.read import load
from tests.recordings import edit_run, edit_table, reference


@pytest.fixture(scope="module")
def found():
    return diff(reference("accept"), reference("epoll"))


def verdicts(found):
    return {change.metric.name: change.verdict for change in found.changes}


def change(found, name):
    return next(change for change in found.changes if change.metric.name == name)


def copy(name, folder, **config):
    shutil.copytree(reference(name), folder)
    for key, value in config.items():
        edit_run(folder, "config", key, value=value)
    return folder


def test_a_herd_is_a_change(found):
    wakeups = change(found, "wakeups/connection")
    assert (wakeups.before, wakeups.after, wakeups.verdict) == (1.0, 16.0, CHANGED)
    assert wakeups.absolute == statistics.Interval(15.0, 15.0, 15.0, 200)
    assert wakeups.relative == statistics.Interval(15.0, 15.0, 15.0, 200)
    assert found.config == {"strategy": ("accept", "epoll")}
    assert found.environment == {}


def test_a_recording_is_like_itself():
    found = diff(reference("epoll"), reference("epoll"))
    whole = {metric.name for metric in METRICS if metric.sample is None}
    assert verdicts(found) == {m.name: UNTOLD if m.name in whole else SAME for m in METRICS}
    assert not found.config


def test_the_largest_change_is_first(found):
    changed = [c.effect for c in found.changes if c.verdict == CHANGED]
    assert changed == sorted(changed, reverse=True)
    assert [c.verdict for c in found.changes][: len(changed)] == [CHANGED] * len(changed)


@pytest.mark.parametrize("name", ["accept", "epoll", "reuseport"])
def test_samples_are_those_of_the_summary(name):
    """Two ways to the same figure: the summary's, of whole tables, and the samples'."""
    recording = load(reference(name))
    for metric in METRICS:
        if metric.sample is None:
            continue
        sample = SAMPLES[metric.sample](recording)
        figure = sample.mean() if metric.quantile is None else np.quantile(sample, metric.quantile)
        assert figure == pytest.approx(metric.figure(recording.summary), abs=1e-3), metric.name


@pytest.mark.parametrize("quantile", [None, 0.5, 0.9])
def test_a_resample_that_is_drawn_is_like_one_that_is_made(quantile):
    random = np.random.default_rng(3)
    sample = np.sort(random.poisson(5, 400))
    made = random.choice(sample, (4000, 400))
    by_hand = made.mean(axis=1) if quantile is None else np.quantile(made, quantile, axis=1)
    drawn = statistics.resampled(sample, quantile)
    assert drawn.mean() == pytest.approx(by_hand.mean(), abs=0.1)
    assert drawn.std() == pytest.approx(by_hand.std(), abs=0.1)


@pytest.mark.parametrize("quantile", [None, 0.5])
def test_an_interval_of_a_change_covers_it_about_as_often_as_it_says(quantile):
    random = np.random.default_rng(5)

    def covered():
        draws = [
            statistics.resampled(np.sort(random.normal(centre, 2, 80)), quantile, seed)
            for seed, centre in enumerate((10, 11), 1)
        ]
        return 1.0 in statistics.between(1.0, 80, *draws, how=np.subtract)

    assert 85 <= sum(covered() for _ in range(100)) <= 100


def test_what_no_probe_saw_is_unknown(tmp_path):
    folder = copy("accept", tmp_path / "run")
    for table in ("arrivals", "wakeups"):
        edit_table(folder, table, lambda rows: rows.__delitem__(slice(None)))
    edit_table(folder, "accepts", lambda rows: [r.update(queue_delay_ns=None) for r in rows])
    edit_run(folder, "host", "probe", value="none")
    found = diff(reference("accept"), folder)
    wakeups = change(found, "wakeups/connection")
    assert (wakeups.before, wakeups.after, wakeups.absolute) == (1.0, None, None)
    assert (wakeups.verdict, wakeups.why) == (UNTOLD, "unknown after")
    assert change(found, "queue delay p50").verdict == UNTOLD
    assert change(found, "connect p50").verdict == SAME
    assert found.environment == {"probe": ("tracepoints", "none")}


def test_times_of_an_emulated_kernel_are_not_compared(tmp_path):
    folder = copy("epoll", tmp_path / "run")
    edit_run(folder, "host", "latencies_comparable", value=False)
    found = diff(reference("accept"), folder)
    assert change(found, "wakeups/connection").verdict == CHANGED
    for name in ("queue delay p50", "connect p99", "CPU/connection"):
        assert change(found, name).verdict == UNTOLD
        assert "emulated" in change(found, name).why


def test_another_number_of_workers_and_an_unsound_run_are_noted(tmp_path):
    folder = copy("epoll", tmp_path / "run", workers=4)
    edit_run(folder, "integrity", "ok", value=False)
    notes = " ".join(diff(reference("epoll"), folder).notes)
    assert "16 workers before and 4 after" in notes
    assert "is not sound" in notes


def test_repeats_are_resampled_as_runs(tmp_path):
    for side, names in {"before": ("accept",) * 3, "after": ("epoll",) * 3}.items():
        for number, name in enumerate(names):
            copy(name, tmp_path / side / f"{number}", output=f"{side}-{number}", seed=number)
    found = diff(tmp_path / "before", tmp_path / "after")
    assert found.over == "runs"
    assert set(verdicts(found).values()) == {CHANGED}  # repeats that are alike vary by nothing
    assert change(found, "fairness (Jain)").absolute.count == 3
    assert not any("one run each" in note for note in found.notes)
    assert any("fewer than 5 runs" in note for note in found.notes)


def test_another_number_of_equal_repeats_is_no_change(tmp_path):
    for side, repeats in {"before": 2, "after": 3}.items():
        for number in range(repeats):
            copy("reuseport", tmp_path / side / f"{number}")
    assert set(verdicts(diff(tmp_path / "before", tmp_path / "after")).values()) == {SAME}


def test_a_single_run_against_repeats_has_no_interval(tmp_path):
    for number in range(2):
        copy("epoll", tmp_path / "after" / f"{number}")
    found = diff(reference("accept"), tmp_path / "after")
    assert set(verdicts(found).values()) == {UNTOLD}


def test_a_folder_of_several_configs_is_refused(tmp_path):
    for name in ("accept", "epoll"):
        copy(name, tmp_path / name)
    with pytest.raises(UsageError, match="several configs: strategy differ"):
        diff(tmp_path, reference("accept"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="neither"):
        diff(reference("accept"), tmp_path / "empty")


def test_json_holds_what_the_table_says(found):
    run, other = str(reference("accept")), str(reference("epoll"))
    said = json.loads(CliRunner().invoke(herd, ["diff", run, other, "--json"]).stdout)
    assert said["config"] == {"strategy": {"before": "accept", "after": "epoll"}}
    assert said["intervals_over"] == "connections"
    assert [row["name"] for row in said["metrics"]] == [c.metric.name for c in found.changes]
    assert said["metrics"][0]["relative"] is None  # from nothing to something
    table = CliRunner().invoke(herd, ["diff", run, other]).stdout
    assert "\x1b" not in table
    for row in said["metrics"]:
        assert row["name"].replace("/connection", "/conn") in table
    assert "+15 (x16)" in table
