"""What is counted by row groups is what the whole tables say, in memory that doesn't grow with them."""

from __future__ import annotations

import importlib.util
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from herd.analysis import metrics, quantiles
from herd.analysis.order import first_woken
from herd.analysis.quantiles import ERROR, EXACT, Quantiles
from herd.errors import UsageError
from herd.recording.read import Recording, load
from herd.recording.schema import CAUSES, OUTCOMES, TABLES
from tests.recordings import edit_table, reference

BENCHMARK = Path(__file__).parents[2] / "benchmarks/analysis.py"
SHARES = [0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.99999, 1]


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The epoll run in many small row groups, its table of wakeups without a column of today."""
    folder = tmp_path_factory.mktemp("cut")
    (folder / "run.json").write_text((reference("epoll") / "run.json").read_text())
    for name in TABLES:
        table = pq.read_table(reference("epoll") / f"{name}.parquet")
        kept = table.drop_columns(["eagain"]) if name == "wakeups" else table
        pq.write_table(kept, folder / f"{name}.parquet", row_group_size=100)
    return folder


# --- reading


def test_batches_are_the_row_groups_with_only_the_columns_that_are_wanted(cut):
    parts = list(load(cut).batches("wakeups", ["worker", "outcome"]))
    assert [len(part) for part in parts] == [100] * 32 + [16]
    assert {tuple(part.column_names) for part in parts} == {("worker", "outcome")}
    workers = np.concatenate([part["worker"].to_numpy() for part in parts])
    assert workers.tolist() == pq.read_table(cut / "wakeups.parquet")["worker"].to_pylist()


def test_a_column_that_was_not_recorded_yet_is_null(cut):
    part = next(load(cut).batches("wakeups", ["worker", "eagain"]))
    assert part["eagain"].null_count == len(part) == 100


def test_a_table_in_memory_is_not_read_again(cut):
    recording = load(cut)
    recording.wakeups = recording.wakeups[recording.wakeups["worker"] == 3]
    [part] = recording.batches("wakeups", ["worker"])
    assert set(part["worker"].to_pylist()) == {3}
    assert metrics.outcomes(recording).sum(axis=1).tolist() == [0] * 3 + [200] + [0] * 12


def test_a_table_that_is_gone_is_one_clear_error(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"has no wakeups\.parquet"):
        list(load(tmp_path).batches("wakeups", ["worker"]))


# --- counting, against pandas on the whole table


@pytest.mark.parametrize("name", ["accept", "epoll", "reuseport"])
def test_outcomes_and_causes_are_those_of_the_whole_table(name):
    recording, wakeups = load(reference(name)), load(reference(name)).wakeups
    counted = metrics.outcomes(recording)
    caused = wakeups[wakeups["arrival"].notna()]
    for outcome in OUTCOMES:
        per_worker = caused[caused["outcome"] == outcome].groupby("worker").size()
        expected = per_worker.reindex(range(16), fill_value=0)
        assert counted[outcome].tolist() == expected.tolist()
    assert counted[metrics.UNDECIDED].sum() == caused["outcome"].isna().sum() == 0
    by_cause = wakeups["cause"].value_counts()
    assert metrics.causes(recording) == {name: by_cause.get(name, 0) for name in CAUSES}


def test_row_groups_make_no_difference(cut):
    whole, parts = load(reference("epoll")), load(cut)
    assert metrics.outcomes(parts).equals(metrics.outcomes(whole))
    assert metrics.causes(parts) == metrics.causes(whole)
    assert metrics.wasted_cpu_ns(parts) == metrics.wasted_cpu_ns(whole) > 0
    assert parts.summary["latency_us"] == whole.summary["latency_us"]
    columns = ["worker", "outcome"]
    some = metrics.of_first_arrivals(parts, 7, columns)
    assert some.equals(metrics.of_first_arrivals(whole, 7, columns))
    assert len(some) == 7 * 16


def test_what_is_not_known_yet_is_undecided(cut, tmp_path):
    for file in cut.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edit_table(tmp_path, "wakeups", lambda rows: rows[20].update(outcome=None))
    counted = metrics.outcomes(load(tmp_path)).sum()
    assert counted[metrics.UNDECIDED] == 1
    assert counted.sum() == 3200


# --- quantiles


def test_few_values_have_the_quantiles_of_numpy():
    values = np.random.default_rng(1).integers(-50, 10**9, 5001)
    found = Quantiles(*np.array_split(values, 7))
    assert found.at(SHARES) == pytest.approx(np.quantile(values, SHARES), rel=1e-12)


@pytest.mark.parametrize("scale", [0.5, 4, 10])
def test_many_values_have_them_within_the_error(scale):
    values = np.random.default_rng(2).lognormal(scale, 2.5, 2 * EXACT).astype("int64")
    values[::5] *= -1
    found = Quantiles(*np.array_split(values, 9))
    exact = np.quantile(values, SHARES)
    assert found.count == len(values)
    assert np.all(np.abs(found.at(SHARES) - exact) <= ERROR * np.abs(exact))
    assert found.at([0, 1]).tolist() == [values.min(), values.max()]


def test_small_integers_are_exact_however_many():
    values = np.random.default_rng(3).integers(-2047, 2048, 2 * EXACT)
    assert Quantiles(values).at(SHARES).tolist() == np.quantile(values, SHARES).tolist()


def test_a_curve_is_the_distribution():
    values = np.random.default_rng(4).integers(0, 10**6, 30_000)
    found, shares = Quantiles(values).curve(500)
    assert len(found) <= 500
    assert (found[-1], shares[-1]) == (values.max(), 1.0)
    ordered = np.sort(values)
    assert found.tolist() == ordered[np.round(shares * len(values)).astype(int) - 1].tolist()


def test_nothing_has_no_quantile():
    with pytest.raises(ValueError, match="no value"):
        Quantiles([]).at(0.5)


# --- memory

POOLS = []  # none is freed before all that was allocated from it


def peak(folder: Path, figure: Callable[[Recording], object]) -> int:
    """Bytes that Python, numpy and Arrow had at a time; the size of the process would hide them."""
    usual = pa.default_memory_pool()
    POOLS.append(pa.proxy_memory_pool(pa.system_memory_pool()))
    pa.set_memory_pool(POOLS[-1])
    tracemalloc.start()
    try:
        figure(load(folder))
        return tracemalloc.get_traced_memory()[1] + int(POOLS[-1].max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def many(folder: Path, times: int, row_group: int) -> Path:
    """The wakeups of the epoll run, over and over, each time for later arrivals."""
    folder.mkdir()
    for name in ("run.json", "workers.parquet"):
        shutil.copy(reference("epoll") / name, folder)
    once = pq.read_table(reference("epoll") / "wakeups.parquet")
    wakeups = pa.concat_tables([later(once, turn) for turn in range(times)])
    pq.write_table(wakeups, folder / "wakeups.parquet", row_group_size=row_group)
    return folder


def later(wakeups: pa.Table, turn: int) -> pa.Table:
    steps = {"arrival": 200} | dict.fromkeys(("time_ns", "running_ns", "slept_ns"), 10**12)
    for name, step in steps.items():
        place = wakeups.column_names.index(name)
        moved = pc.add(wakeups[name], turn * step)
        wakeups = wakeups.set_column(place, wakeups.schema.field(name), moved)
    return wakeups


@pytest.mark.parametrize(
    "figure",
    [metrics.outcomes, metrics.wake_latency, metrics.wasted_cpu_ns, first_woken],
)
def test_eight_times_the_rows_take_no_more_memory(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(quantiles, "EXACT", 1 << 13)
    figure(load(reference("epoll")))  # what is imported when first used
    once = peak(many(tmp_path / "once", 16, 1 << 13), figure)
    eight_times = peak(many(tmp_path / "eight", 128, 1 << 13), figure)
    assert eight_times < 1.5 * once
    # The same rows in one group do take more: the measurement can tell.
    assert peak(many(tmp_path / "whole", 128, 1 << 20), figure) > 2 * once


def test_a_tiled_recording_is_the_reference_many_times(tmp_path):
    spec = importlib.util.spec_from_file_location("analysis_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.tile(load(reference("epoll")), tmp_path / "made", 10_000)
    made = Recording(tmp_path / "made")
    assert metrics.outcomes(made).equals(4 * metrics.outcomes(load(reference("epoll"))))
    assert made.summary["wakeups"]["per_connection"] == 16
    times = made.wakeups["time_ns"]
    assert pd.Series(times).is_unique
