"""Each wakeup at its time: a row a worker, a tick a wakeup, its colour the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.ticker import MaxNLocator

from herd.analysis import metrics
from herd.analysis.summary import seen
from herd.analysis.words import title
from herd.plots import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

#: More ticks than that are one grey field.
_WAKEUPS: Final = 20_000
#: From here on an SVG holds them as an image.
_VECTORS: Final = 1_000
NEEDS: Final = _style.WAKEUPS


def suits(recording: Recording) -> bool:
    """Whether wakeups are known."""
    return seen(recording)


def draw(recording: Recording) -> Figure:
    """Draw the raster of one run, or of as many of its first arrivals as can be told apart."""
    workers = recording.run["config"]["workers"]
    figure = _style.figure(13, min(12, 3 + 0.22 * workers))
    axes = figure.add_subplot()
    _style.headline(figure, title(recording.run), _style.where(recording.run))
    _style.dress(axes, "Every wakeup by an arrival", "ms since the run began", "worker")
    if not seen(recording):
        _style.empty(axes, "wakeups are unknown: no probe")
        return figure
    total = int(metrics.outcomes(recording).to_numpy().sum())
    rows = metrics.of_first_arrivals(
        recording, _arrivals(recording, total), ["time_ns", "worker", "outcome"]
    )
    if len(rows) < total:
        axes.set_title(f"The first {len(rows):,} of {total:,} wakeups by an arrival", loc="left")
    _ticks(axes, rows, recording.run["begin_ns"], 230 / max(8, workers))
    axes.set_ylim(-0.5, workers - 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _arrivals(recording: Recording, total: int) -> int:
    """Of how many arrivals the wakeups can be shown."""
    arrivals = metrics.count(recording, "arrivals", "arrival")
    return arrivals if total <= _WAKEUPS else max(1, arrivals * _WAKEUPS // total)


def _ticks(axes: Axes, rows: pd.DataFrame, begin: int, height: float) -> None:
    # The productive ones last: they are few, and must not be hidden.
    for outcome, colour in reversed([*_style.OUTCOME_COLOURS.items()]):
        mine = rows[rows["outcome"] == outcome]
        axes.plot(
            (mine["time_ns"].to_numpy("int64") - begin) / 1e6,
            mine["worker"].to_numpy("int64"),
            "|",
            color=colour,
            markersize=min(14, height),
            markeredgewidth=1.5,
            label=f"{_style.OUTCOME_WORDS[outcome]}: {len(mine):,}",
            rasterized=len(rows) > _VECTORS,
        )
    _style.legend(axes, 3)
