"""Strategies against figures: a row a configuration, each column shaded from its least to its greatest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from herd.analysis.groups import Group, group
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from herd.recording.read import Recording

_COLUMNS: Final = {
    "wakeups.per_connection": "wakeups\nper connection",
    "fairness.jain": "Jain's\nindex",
    "fairness.max_over_mean": "busiest ÷\nmean",
    "latency_us.queue_delay.p50": "queue delay\np50, µs",
    "latency_us.queue_delay.p99": "queue delay\np99, µs",
    "latency_us.wake_latency.p99": "wake latency\np99, µs",
    "cost.cpu_us_per_connection": "CPU, µs\nper connection",
    "cost.wasted_cpu_us_per_connection": "of it wasted,\nµs",
    "cost.switches_per_connection": "switches\nper connection",
}


def draw(*recordings: Recording) -> Figure:
    """Draw the table; of repeats the mean is written in."""
    groups = group(recordings)
    figure = _style.figure(14, 2.8 + 0.42 * len(groups))
    axes = figure.add_subplot()
    note = _style.where_all(recording.run for recording in recordings)
    _style.headline(figure, "Strategies and what they cost", note)
    _style.dress(
        axes,
        "Each column from its least (light) to its greatest (dark); ?: unknown",
        "figure",
        "runs",
    )
    values = np.array([[_value(one, figure_of) for figure_of in _COLUMNS] for one in groups])
    _table(axes, values)
    axes.set_xticks(range(len(_COLUMNS)), [*_COLUMNS.values()], fontsize=10)
    labels = [_style.label(one.label, len(one.recordings)) for one in groups]
    axes.set_yticks(range(len(groups)), labels, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _value(one: Group, figure: str) -> float:
    """The mean of repeats; NaN where none knows it."""
    found = one.mean(figure)
    return float("nan") if found is None else found.estimate


def _table(axes: Axes, values: NDArray[np.float64]) -> None:
    from matplotlib import colormaps

    shades = np.apply_along_axis(_shade, 0, values)
    axes.imshow(
        shades,
        cmap=colormaps["Blues"].with_extremes(bad="#EDEDED"),
        vmin=0,
        vmax=1.25,
        aspect="auto",
    )
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if shades[row, column] > 0.75 else "black"
        text = "?" if np.isnan(value) else _style.digits(value)
        axes.text(column, row, text, ha="center", va="center", fontsize=11, color=ink)


def _shade(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 for the least, 1 for the greatest; 0 where all are alike."""
    known = column[~np.isnan(column)]
    spread = float(np.ptp(known)) if len(known) else 0.0
    return (column - (known.min() if len(known) else 0.0)) / (spread or 1.0)
