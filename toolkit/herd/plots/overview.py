"""Who woke at which arrival, what each worker's wakeups were worth, and how long all took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from herd.analysis import metrics
from herd.analysis.quantiles import Quantiles
from herd.analysis.summary import accepted, seen, shares
from herd.analysis.words import subject, title
from herd.plots import _style
from herd.plots.latency import ecdf
from herd.plots.workers import stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

#: Beyond that many columns nobody can follow one.
_ARRIVALS: Final = 120
_OUTCOMES: Final = tuple(_style.OUTCOME_COLOURS)
PLACE: Final = 1


def suits(_: Recording) -> bool:
    """Always: what is unknown is said to be."""
    return True


def draw(recording: Recording) -> Figure:
    """Draw the overview of one run."""
    figure = _style.figure(13, 8)
    axes = figure.subplot_mosaic([["who", "who"], ["workers", "latency"]], height_ratios=[1.15, 1])
    figure.suptitle(f"{_answer(recording)}\n", x=0.01, ha="left", fontsize=17, fontweight="bold")
    figure.text(0.01, 0.938, f"{title(recording.run)}.  {_style.where(recording.run)}", fontsize=11)
    _who(axes["who"], recording)
    _workers(axes["workers"], recording)
    _latency(axes["latency"], recording)
    return figure


def _answer(recording: Recording) -> str:
    wakeups = recording.summary["wakeups"]
    name = subject(recording.run)
    if wakeups["per_connection"] is None:
        return f"{name}: wakeups per connection unknown"
    predicted = wakeups["predicted_per_connection"]
    expected = "" if predicted is None else f" (predicted {predicted:g})"
    return f"{name}: {wakeups['per_connection']:.2f} wakeups per connection{expected}"


def _who(axes: Axes, recording: Recording) -> None:
    workers = recording.run["config"]["workers"]
    arrivals = metrics.count(recording, "arrivals", "arrival")
    shown = min(arrivals, _ARRIVALS)
    title = "Who woke at which arrival"
    if shown < arrivals:
        title += f" (the first {shown} of {arrivals:,})"
    _style.dress(axes, title, "arrival", "worker")
    first = metrics.of_first_arrivals(recording, shown, ["worker", "outcome"])
    if first.empty:
        _style.empty(
            axes, "no wakeup was seen" if seen(recording) else "wakeups are unknown: no probe"
        )
        return
    cells = np.zeros((workers, shown), dtype="u1")
    # A missing outcome (not asleep again when the recording ended) has the code -1: it is drawn as 0.
    codes = first["outcome"].cat.set_categories(list(_OUTCOMES)).cat.codes.to_numpy() + 1
    cells[first["worker"].to_numpy("int64"), first["arrival"].to_numpy("int64") - 1] = codes
    colours = ListedColormap([_style.background(), *_style.OUTCOME_COLOURS.values()])
    edges = (0.5, shown + 0.5, -0.5, workers - 0.5)
    axes.imshow(
        cells,
        cmap=colours,
        vmin=0,
        vmax=3,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=edges,
    )
    _whole_numbers(axes)
    _outcome_legend(axes)


def _outcome_legend(axes: Axes) -> None:
    handles = [
        Patch(color=_style.OUTCOME_COLOURS[o], label=_style.OUTCOME_WORDS[o]) for o in _OUTCOMES
    ]
    handles.append(Patch(color=_style.background(), label="slept on"))
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=4,
        fontsize=11,
        frameon=False,
    )


def _whole_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _workers(axes: Axes, recording: Recording) -> None:
    workers = recording.run["config"]["workers"]
    width = 0.8 if workers <= 64 else 1.0
    if not seen(recording):
        _style.dress(axes, "Connections of each worker", "worker", "connections")
        if accepted(recording) is None:
            _style.empty(axes, "accepts are unknown: no probe, and the workers keep no log")
            return
        axes.bar(
            range(workers),
            shares(recording).to_numpy("int64"),
            width,
            color=_style.LINES[0],
        )
        _whole_numbers(axes)
        return
    _style.dress(axes, "Wakeups of each worker", "worker", "wakeups")
    stack(axes, metrics.outcomes(recording))
    _whole_numbers(axes)


def _latency(axes: Axes, recording: Recording) -> None:
    curves = {
        "wake latency (runnable → running)": metrics.wake_latency(recording),
        "queue delay (arrival → accepted)": metrics.queue_delay(recording),
        "first byte (intended → answer)": metrics.since_intended(recording, "first_byte_ns"),
    }
    _style.dress(axes, "How long it took", "µs (logarithmic)", "share of all")
    axes.set_xscale("log")
    for (label, values), colour in zip(curves.items(), _style.LINES, strict=False):
        _ecdf(axes, values, label, colour)
    axes.set_ylim(0, 1.02)
    axes.grid(True, which="major", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    if axes.lines:
        axes.set_xlim(left=1)
        axes.legend(fontsize=11, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _ecdf(axes: Axes, found: Quantiles, label: str, colour: str) -> None:
    if not found.count:
        return
    middle, high = found.at([0.5, 0.99]) / 1000
    text = f"{label}: p50 {_style.short(middle)}, p99 {_style.short(high)}"
    axes.step(*ecdf(found), where="post", label=text, color=colour, linewidth=2.2)
