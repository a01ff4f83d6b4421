"""Strategies against figures: a row a configuration, each column shaded from its least to its greatest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from herd.analysis.groups import group
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from herd.analysis.statistics import Interval
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
    """Draw the table; of repeats the mean is written in, and below it where it lies."""
    groups = group(recordings)
    repeated = _style.bands(groups)
    figure = _style.figure(14, 2.8 + (0.62 if repeated else 0.42) * len(groups))
    axes = figure.add_subplot()
    note = _style.where_all(recording.run for recording in recordings)
    _style.headline(figure, "Strategies and what they cost" + repeated, note)
    _style.dress(
        axes,
        "Each column from its least (light) to its greatest (dark); ?: unknown",
        "figure",
        "runs",
    )
    _table(axes, [[one.mean(figure_of) for figure_of in _COLUMNS] for one in groups])
    axes.set_xticks(range(len(_COLUMNS)), [*_COLUMNS.values()], fontsize=10)
    labels = [_style.label(one.label, len(one.recordings)) for one in groups]
    axes.set_yticks(range(len(groups)), labels, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _table(axes: Axes, cells: list[list[Interval | None]]) -> None:
    from matplotlib import colormaps

    values = [[np.nan if cell is None else cell.estimate for cell in row] for row in cells]
    shades = np.apply_along_axis(_shade, 0, np.array(values))
    axes.imshow(
        shades,
        cmap=colormaps["Blues"].with_extremes(bad="#EDEDED"),
        vmin=0,
        vmax=1.25,
        aspect="auto",
    )
    for (row, column), shade in np.ndenumerate(shades):
        ink = "white" if shade > 0.75 else "black"
        for text, size, lines_up in _lines(cells[row][column]):
            axes.annotate(
                text,
                (column, row),
                (0, 11 * lines_up),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=size,
                color=ink,
            )


def _lines(cell: Interval | None) -> list[tuple[str, float, float]]:
    """What is written into a cell: each line's text, size, and how far up from the middle."""
    if cell is None:
        return [("?", 11, 0)]
    mean = _style.digits(cell.estimate)
    if cell.low is None or cell.high is None:
        return [(mean, 11, 0)]
    interval = f"{_style.digits(cell.low)} to {_style.digits(cell.high)}"
    return [(mean, 11, 0.5), (interval, 8, -0.6)]


def _shade(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 for the least, 1 for the greatest; 0 where all are alike."""
    known = column[~np.isnan(column)]
    spread = float(np.ptp(known)) if len(known) else 0.0
    return (column - (known.min() if len(known) else 0.0)) / (spread or 1.0)
