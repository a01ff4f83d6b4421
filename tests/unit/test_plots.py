"""Pictures of recorded runs: what is drawn is what the tables say, and files are reproducible."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure

import herd
from herd import plots
from herd.errors import UsageError
from herd.plots import _style, waitqueue
from herd.recording.read import Recording, load
from herd.recording.schema import TABLES

REFERENCE = Path(__file__).parents[2] / "results/reference"
NAMES = ("accept-n16", "epoll-n16", "epoll-exclusive-n16", "reuseport-n16")
OUTCOMES = ("productive", "wasted_in_kernel", "wasted_in_user")


def without_probe(name: str) -> Recording:
    """A recording as --probe none leaves it."""
    recording = load(REFERENCE / name)
    recording.run["host"]["probe"] = "none"
    for table in ("arrivals", "wakeups"):
        empty = TABLES[table].arrow().empty_table().to_pandas()
        setattr(recording, table, empty)
    recording.workers[["wakeups", "wasted"]] = pd.NA
    recording.accepts[["arrival", "queue_delay_ns"]] = pd.NA
    return recording


@functools.cache
def overview(name: str) -> Figure:
    """The overview of a reference recording, to be looked at only."""
    return plots.draw("overview", load(REFERENCE / name))


def axes_of(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left").split(" (")[0]: axes for axes in figure.axes}


def who(name: str) -> np.ndarray:
    """The drawn image: a row a worker, a column an arrival, a number an outcome."""
    [image] = axes_of(overview(name))["Who woke at which arrival"].images
    return np.asarray(image.get_array())


# --- every picture


@pytest.mark.parametrize("probed", [True, False])
@pytest.mark.parametrize("picture", plots.names())
@pytest.mark.parametrize("name", NAMES)
def test_every_picture_draws_and_labels_its_axes(name, picture, probed):
    figure = plots.draw(picture, load(REFERENCE / name) if probed else without_probe(name))
    if name == "epoll-n16":  # the layout is the slow part
        figure.draw_without_rendering()
    assert figure.axes
    for axes in figure.axes:
        assert axes.get_title(loc="left")
        assert axes.get_xlabel()
        beside = axes.get_shared_y_axes().get_siblings(axes)
        assert any(other.get_ylabel() for other in beside)
        if "log" in (axes.get_xscale(), axes.get_yscale()):
            assert "µs" in axes.get_xlabel() + axes.get_ylabel()


def test_a_recording_suits_the_pictures_that_it_has_the_data_for():
    recording = load(REFERENCE / "epoll-n16")
    assert {"path", "waitqueue", "comparison"}.isdisjoint(plots.suited(recording))
    recording.waitqueue = [{"listeners": []}]
    recording.calls = recording.arrivals
    suited = plots.suited(recording)
    assert {"overview", "path", "waitqueue"} <= {*suited}
    assert "comparison" not in suited  # it is of several


def test_no_picture_needs_pyplot_or_a_display():
    script = (
        "import sys; from herd import load, plots\n"
        "figures = [plots.draw(name, load(sys.argv[1])) for name in plots.names()]\n"
        "[figure.draw_without_rendering() for figure in figures]\n"
        "assert figures and 'matplotlib.pyplot' not in sys.modules"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(herd.__file__).parents[1])}
    env.pop("DISPLAY", None)
    command = [sys.executable, "-c", script, str(REFERENCE / "accept-n16")]
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_an_unknown_picture_names_the_nearest():
    with pytest.raises(UsageError, match="unknown picture 'overveiw'; did you mean 'overview'"):
        plots.draw("overveiw", load(REFERENCE / "accept-n16"))
    assert not any(name.startswith("_") for name in plots.names())


# --- files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The overview of one recording, drawn anew for each SVG."""
    folder = tmp_path_factory.mktemp("pictures")
    for names in (("one.svg",), ("two.svg", "one.pdf")):
        figure = plots.draw("overview", load(REFERENCE / "accept-n16"))
        for name in names:
            plots.save(figure, folder / name)
    return folder


def test_a_picture_is_saved_in_the_format_of_its_suffix(saved):
    assert (saved / "one.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (saved / "one.svg").read_text()


def test_the_same_recording_gives_the_same_bytes(saved):
    assert (saved / "one.svg").read_bytes() == (saved / "two.svg").read_bytes()


def test_text_in_an_svg_stays_text(saved):
    text = (saved / "one.svg").read_text()
    for words in ("Who woke at which arrival", "accept: 1.00 wakeups per connection", "productive"):
        assert words in text
    assert text.count("<text") > 20


# --- who woke at which arrival


@pytest.mark.parametrize("name", NAMES)
def test_the_image_shows_what_the_wakeups_table_says(name):
    cells = who(name)
    expected = np.zeros_like(cells)
    for row in pq.read_table(REFERENCE / name / "wakeups.parquet").to_pylist():
        if row["cause"] == "arrival" and row["arrival"] <= cells.shape[1]:
            expected[row["worker"], row["arrival"] - 1] = 1 + OUTCOMES.index(row["outcome"])
    assert cells.shape[0] == 16
    assert cells.shape[1] >= 100
    assert np.array_equal(cells, expected)


def test_accept_is_a_diagonal_of_one_worker_an_arrival():
    cells = who("accept-n16")
    assert set(np.unique(cells)) == {0, 1}
    assert (cells.sum(axis=0) == 1).all()
    worker = cells.argmax(axis=0)
    assert ((worker[1:] - worker[:-1]) % 16 == 1).all()


def test_epoll_is_a_full_field_with_one_productive_worker_an_arrival():
    cells = who("epoll-n16")
    assert cells.all()
    assert ((cells == 1).sum(axis=0) == 1).all()


def test_the_image_lies_where_its_axis_labels_say():
    axes = axes_of(overview("accept-n16"))
    [image] = axes["Who woke at which arrival"].images
    left, right, bottom, top = image.get_extent()
    assert (left, right) == (0.5, 120.5)  # arrivals are numbered from 1, workers from 0
    assert (bottom, top) == (-0.5, 15.5)
    assert image.origin == "lower"


def test_a_title_says_how_many_arrivals_are_shown():
    titles = [axes.get_title(loc="left") for axes in overview("accept-n16").axes]
    assert "Who woke at which arrival (the first 120 of 200)" in titles


# --- workers and latencies


def test_bars_add_up_to_each_workers_wakeups():
    axes = axes_of(overview("epoll-n16"))["Wakeups of each worker"]
    heights = np.zeros(16)
    for bar in axes.patches:
        heights[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    assert heights.tolist() == [200.0] * 16
    assert sum(len(group) for group in axes.containers) == 16 * 3


def test_without_a_probe_bars_are_connections_and_the_image_says_why_it_is_missing():
    figure = plots.draw("overview", without_probe("epoll-n16"))
    axes = axes_of(figure)
    assert "unknown" in figure.get_suptitle()
    accepts = pq.read_table(REFERENCE / "epoll-n16/workers.parquet")["accepts"].to_pylist()
    bars = axes["Connections of each worker"].patches
    assert [bar.get_height() for bar in bars] == accepts
    assert not axes["Who woke at which arrival"].images
    assert [text.get_text() for text in axes["Who woke at which arrival"].texts] == [
        "wakeups are unknown: no probe"
    ]


def test_latency_curves_end_at_all_with_their_percentiles_in_the_legend():
    recording = load(REFERENCE / "accept-n16")
    axes = axes_of(overview("accept-n16"))["How long it took"]
    assert len(axes.lines) == 3
    legend = axes.get_legend()
    assert legend is not None
    for line, text, key in zip(
        axes.lines, legend.get_texts(), ("wake_latency", "queue_delay", "first_byte"), strict=True
    ):
        latency = recording.summary["latency_us"][key]
        x, y = line.get_data()
        assert max(y) == 1.0
        assert np.max(x[np.isfinite(x)]) == pytest.approx(latency["max"], abs=0.001)
        assert f"p50 {latency['p50']:.3g} µs, p99 {latency['p99']:.3g} µs" in text.get_text()


# --- colours


def test_colours_are_distinct_and_mean_the_same_everywhere():
    colours = [*_style.OUTCOME_COLOURS.values(), _style.background()]
    assert tuple(_style.OUTCOME_COLOURS) == OUTCOMES
    for one, other in [*combinations(colours, 2), *combinations(_style.LINES, 2)]:
        assert np.linalg.norm(np.subtract(to_rgb(one), to_rgb(other))) > 0.25
    axes = axes_of(overview("epoll-n16"))
    who = axes["Who woke at which arrival"]
    handles = who.get_legend().legend_handles
    [image] = who.images
    drawn = [image.to_rgba(np.array([[code]]), norm=True)[0, 0] for code in (1, 2, 3, 0)]
    for handle, colour in zip(handles, drawn, strict=True):
        assert to_rgba(handle.get_facecolor()) == pytest.approx(tuple(colour), abs=0.01)
    bars = axes["Wakeups of each worker"].containers
    for group, colour in zip(bars, colours[:3], strict=True):
        assert group[0].get_facecolor() == to_rgba(colour)


# --- a wait queue


def waiter(position, **other):
    plain = {"pid": 10 + position, "tid": 10 + position, "comm": "server", "kind": "accept"}
    rest = {"exclusive": True, "modes": [], "epoll": None, "waiting": []}
    return {"position": position, **plain, **rest, **other}


def test_a_wait_queue_marks_who_wakes_and_says_what_is_not_known():
    shared = waiter(
        1, pid=None, tid=None, kind="epoll", exclusive=False, modes=["edge"], epoll=1, waiting=[5]
    )
    look = {
        "listeners": [
            {
                "address": "127.0.0.1:80",
                "waiters": [waiter(0), shared, waiter(2)],
                "next_wakes_tids": [10, 5],
                "says": "wakes 2 of 3",
            },
            {"address": "unix:/s", "waiters": None, "next_wakes_tids": None, "says": None},
            {"address": "[::]:80", "waiters": [], "next_wakes_tids": [], "says": "wakes nobody"},
        ]
    }
    known, unknown, empty = waitqueue.picture(look).axes
    edges = [patch.get_linewidth() > 0 for patch in known.patches]
    assert edges == [True, True, False]
    texts = [text.get_text() for text in known.texts]
    assert texts[1] == "1: server\nshared by several\nepoll edge\n1 waiting"
    assert known.get_xlabel() == "the next connection wakes 2 of 3"
    assert [text.get_text() for text in unknown.texts] == ["?"]
    assert [text.get_text() for text in empty.texts] == ["nobody is in the queue"]
