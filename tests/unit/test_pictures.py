"""The pictures of herd plot: what is drawn is what the tables say."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from herd import plots
from herd.analysis import metrics, statistics
from herd.analysis.connection import life
from herd.analysis.inequality import gini
from herd.commands.plot import command
from herd.errors import UsageError
from herd.plots import _style, raster
from herd.recording.read import Recording, load
from tests.recordings import edit_run, edit_table, reference

STRATEGIES = ("accept", "epoll", "epoll-exclusive", "reuseport")


@functools.cache
def recorded(strategy: str) -> Recording:
    """To be looked at only."""
    return load(reference(strategy))


@functools.cache
def drawn(picture: str, *strategies: str) -> Figure:
    return plots.draw(picture, *map(recorded, strategies))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Epoll with 8 workers twice and with 16 once, and a run without a probe."""
    folder = tmp_path_factory.mktemp("sweep")
    for name, workers in (("a", 8), ("b", 8), ("c", 16), ("d", 16)):
        shutil.copytree(reference("epoll"), folder / name)
        edit_run(folder / name, "config", "workers", value=workers)
        if workers == 8:
            edit_table(folder / name, "wakeups", lambda rows: [_below(rows, 8)])
            edit_table(folder / name, "workers", lambda rows: [_below(rows, 8)])
            edit_run(folder / name, "prediction", "expected", value=8)
    edit_table(folder / "b", "workers", lambda rows: [r.update(cpu_user_s=0.5) for r in rows])
    edit_table(folder / "b", "wakeups", lambda rows: [rows.pop() for _ in range(200)])
    for name in ("a", "b"):
        edit_table(folder / name, "workers", lambda rows: rows[0].update(accepts=200))
        edit_table(folder / name, "workers", lambda rows: [r.update(accepts=0) for r in rows[1:]])
    edit_run(folder / "d", "host", "probe", value="none")
    return folder


def _below(rows, workers):
    rows[:] = [row for row in rows if row["worker"] < workers]


def labels(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


# --- one recording


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_raster_has_a_tick_for_each_wakeup_at_its_time(strategy):
    recording = recorded(strategy)
    [axes] = drawn("raster", strategy).axes
    caused = recording.caused
    for line, outcome in zip(axes.lines, reversed(_style.OUTCOME_COLOURS), strict=True):
        mine = caused[caused["outcome"] == outcome]
        x, y = line.get_data()
        at = (mine["time_ns"] - recording.run["begin_ns"]) / 1e6
        found = pd.DataFrame({"x": x, "y": y}).sort_values(["x", "y"])
        expected = pd.DataFrame({"x": at, "y": mine["worker"]}).astype("float64")
        assert np.allclose(found, expected.sort_values(["x", "y"]))
        assert to_hex(line.get_color()) == _style.OUTCOME_COLOURS[outcome].lower()


def test_a_raster_of_too_many_wakeups_says_that_it_shows_the_first(monkeypatch):
    monkeypatch.setattr(raster, "_WAKEUPS", 320)
    [axes] = plots.draw("raster", recorded("epoll")).axes
    assert axes.get_title(loc="left") == "The first 320 of 3,200 wakeups by an arrival"
    assert sum(len(line.get_xdata()) for line in axes.lines) == 320


@pytest.mark.parametrize(
    ("strategy", "answer"),
    [
        ("accept", "accept: the longest waiting wakes first, in 100% of the arrivals"),
        ("epoll", "epoll: the last registered wakes first, in 100% of the arrivals"),
        (
            "epoll-exclusive",
            "epoll-exclusive: the first registered wakes first, in 100% of the arrivals",
        ),
        ("reuseport", "reuseport: never did two wait at one listener, so there is no order"),
    ],
)
def test_order_says_the_rule_and_counts_each_worker_at_its_place(strategy, answer):
    figure = drawn("order", strategy)
    assert figure.get_suptitle() == answer
    for axes in figure.axes:
        [image] = axes.images
        cells = np.asarray(image.get_array())
        assert cells.sum() == 200
        written = {text.get_position()[::-1]: int(text.get_text()) for text in axes.texts}
        assert written == {(w, p): cells[w, p] for w, p in np.argwhere(cells).tolist()}


def test_order_shows_fifo_as_a_column_and_registration_as_a_point():
    by_time, _ = (np.asarray(a.images[0].get_array()) for a in drawn("order", "accept").axes)
    assert by_time[:, 0].tolist() == [13] * 8 + [12] * 8
    _, registered = (
        np.asarray(a.images[0].get_array()) for a in drawn("order", "epoll-exclusive").axes
    )
    assert registered[0, 0] == 200


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_workers_bars_are_the_outcomes_of_each(strategy):
    [axes] = drawn("workers", strategy).axes
    counts = metrics.outcomes(recorded(strategy))
    for bars, outcome in zip(axes.containers, _style.OUTCOME_COLOURS, strict=True):
        assert [bar.get_height() for bar in bars] == counts[outcome].tolist()
    assert f"productive: 200 ({200 / counts.to_numpy().sum():.1%})" in labels(axes)


@pytest.mark.parametrize(("strategy", "woken"), [("accept", 1), ("epoll", 16)])
def test_connection_has_each_moment_at_its_time_and_a_bar_for_each_woken(strategy, woken):
    figure = plots.draw("connection", recorded(strategy), connection=7)
    [axes] = figure.axes
    found = life(recorded(strategy), 7)
    begin = found.moments["intended"]
    markers = [line for line in axes.lines if line.get_marker() == "D"]
    assert sorted(line.get_xdata()[0] for line in markers) == pytest.approx(
        sorted((time - begin) / 1000 for time in found.moments.values())
    )
    assert len(axes.patches) == 2 * woken
    first = found.wakeups["time_ns"].min()
    assert min(bar.get_x() for bar in axes.patches) == pytest.approx((first - begin) / 1000)
    assert figure.get_suptitle() == (
        f"{strategy}, connection 7: wakes {woken}, accepted by worker {found.worker}"
    )


# --- several


def test_latency_curves_end_at_all_and_mark_their_percentiles():
    for axes, key in zip(
        drawn("latency", *STRATEGIES).axes, ("queue_delay", "wake_latency"), strict=True
    ):
        curves = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        marks = [line for line in axes.lines if line.get_marker() == "o"]
        for strategy, curve, mark in zip(STRATEGIES, curves, marks, strict=True):
            summary = recorded(strategy).summary["latency_us"][key]
            assert curve.get_ydata()[-1] == 1.0
            assert curve.get_xdata()[-1] == pytest.approx(summary["max"], abs=0.001)
            expected = [summary[name] for name in ("p50", "p99", "p999")]
            assert mark.get_xdata() == pytest.approx(expected, abs=0.001)
            assert list(mark.get_ydata()) == [0.5, 0.99, 0.999]
        assert axes.get_xscale() == "log"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lorenz_is_the_shares_in_ascending_order(strategy):
    [axes] = drawn("lorenz", strategy).axes
    accepts = np.sort(recorded(strategy).workers["accepts"].to_numpy("int64"))
    _, curve = axes.lines
    assert curve.get_ydata()[1:] == pytest.approx(np.cumsum(accepts) / 200)
    jain = recorded(strategy).summary["fairness"]["jain"]
    assert labels(axes)[1] == f"{strategy}: Gini {gini(accepts):.3f}, Jain {jain:.3f}"


def test_cost_bars_are_those_of_the_summary():
    for axes, key in zip(
        drawn("cost", *STRATEGIES).axes,
        ("cpu_us_per_connection", "switches_per_connection"),
        strict=True,
    ):
        expected = [recorded(strategy).summary["cost"][key] for strategy in STRATEGIES]
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(expected)


def test_heat_has_the_real_numbers_and_shades_each_column_from_least_to_greatest():
    [axes] = drawn("heat", *STRATEGIES).axes
    shades = np.asarray(axes.images[0].get_array())
    assert (shades.min(), shades.max()) == (0, 1)
    column = [recorded(strategy).summary["fairness"]["jain"] for strategy in STRATEGIES]
    number = [label.get_text() for label in axes.get_xticklabels()].index("Jain's\nindex")
    written = {text.xy: text.get_text() for text in axes.texts}
    assert [written[number, row] for row in range(4)] == [f"{value:.3g}" for value in column]
    assert shades[:, number] == pytest.approx((column - np.min(column)) / np.ptp(column))


def test_heat_says_where_the_mean_of_repeats_lies(sweep):
    recordings = [load(sweep / name) for name in "abc"]
    [axes] = plots.draw("heat", *recordings).axes
    values = [one.summary["wakeups"]["per_connection"] for one in recordings[:2]]
    mean = statistics.mean(values)
    written = [text.get_text() for text in axes.texts if text.xy == (0, 0)]
    assert written == [f"{mean.estimate:.3g}", f"{mean.low:.3g} to {mean.high:.3g}"]
    assert [text.get_text() for text in axes.texts if text.xy == (0, 1)] == ["16"]


def test_scaling_joins_the_means_of_repeats_beside_the_prediction(sweep):
    recordings = [load(sweep / name) for name in "abc"]
    [axes] = plots.draw("scaling", *recordings).axes
    measured, predicted = axes.lines
    mean = statistics.mean([8.0, recordings[1].summary["wakeups"]["per_connection"]])
    assert measured.get_xydata().ravel().tolist() == pytest.approx([8, mean.estimate, 16, 16])
    assert predicted.get_xydata().tolist() == [[8, 8], [16, 16]]
    [band] = axes.collections
    ends = band.get_datalim(axes.transData)
    assert (ends.y0, ends.y1) == pytest.approx((mean.low, 16))
    assert labels(axes) == ["epoll (mean of 2)"]


def test_where_runs_repeat_there_are_intervals(sweep):
    recordings = [load(sweep / name) for name in "ab"]
    cpu, _ = plots.draw("cost", *recordings).axes
    values = [recording.summary["cost"]["cpu_us_per_connection"] for recording in recordings]
    mean = statistics.mean(values)
    [bar] = cpu.patches
    assert bar.get_width() == pytest.approx(mean.estimate)
    [whisker] = [c for c in cpu.collections if len(c.get_paths()) == 1]
    assert whisker.get_paths()[0].vertices[:, 0] == pytest.approx([mean.low, mean.high])
    [lorenz] = plots.draw("lorenz", *recordings).axes
    assert "(mean of 2)" in labels(lorenz)[1]
    queue, wake = plots.draw("latency", *recordings).axes
    assert len(queue.collections) == len(wake.collections) == 1


# --- the command


def herd_plot(*args: str | Path) -> tuple[str, str]:
    done = CliRunner().invoke(command, [str(arg) for arg in args], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.stdout, done.stderr


def test_the_list_says_what_each_shows_takes_and_needs():
    rows = json.loads(herd_plot("--list", "--json")[0])
    assert [row["name"] for row in rows] == plots.names()
    assert all(row["shows"] for row in rows)
    found = {row["name"]: row for row in rows}
    assert (found["heat"]["several"], found["raster"]["several"]) == (True, False)
    assert "probe" in found["raster"]["needs"]
    assert found["overview"]["needs"] is None
    text = herd_plot("--list")[0]
    assert all(f"{row['name']} " in text and row["shows"] in text for row in rows)


@pytest.mark.parametrize(
    ("output", "magic"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.pdf", b"%PDF")]
)
def test_a_picture_is_written_where_it_is_asked_for(output, magic, tmp_path):
    _, said = herd_plot("workers", reference("epoll"), "-o", tmp_path / output)
    assert said == f"drawn: {tmp_path / output}\n"
    assert (tmp_path / output).read_bytes().startswith(magic)


def test_by_default_it_is_in_the_one_run_or_else_here(sweep, tmp_path, monkeypatch):
    herd_plot("cost", sweep)
    assert (sweep / "cost.png").is_file()
    monkeypatch.chdir(tmp_path)
    herd_plot("cost", sweep / "a", sweep / "c")
    assert (tmp_path / "cost.png").is_file()


def test_what_has_not_the_data_is_left_out_and_said(sweep, tmp_path):
    _, said = herd_plot("scaling", sweep, "-o", tmp_path / "x.svg")
    assert f"left out: {sweep / 'd'}: it needs wakeups that a probe saw" in said


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("raster", "d"), "can't be drawn as raster"),
        (("raster", "a", "b"), "picture raster shows one recording, and these are 2"),
        (("rastre", "a"), "unknown picture 'rastre'; did you mean 'raster'"),
        (("raster", "a", "--connection", "3"), "picture raster takes no --connection"),
        (("connection", "a", "--connection", "0"), "no connection 0: they are 1 to 200"),
        (("raster", "nowhere"), "nowhere is not a recording"),
        (("raster",), "name a picture, and what to draw it of"),
        (("--json",), "--json is of the list"),
        (("--list", "raster"), "--list says what pictures there are"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_error(args, message, sweep, monkeypatch):
    monkeypatch.chdir(sweep)
    with pytest.raises(UsageError, match=message) as caught:
        herd_plot(*args)
    assert caught.value.hint or "is not" in message or "no connection" in message


def test_the_page_has_few_pictures_of_one_recording_and_the_overview_first():
    assert plots.suited(recorded("epoll")) == ["overview", "order", "lorenz", "connection"]
