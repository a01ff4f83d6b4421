"""What each worker's wakeups were worth: a bar a worker, its parts the outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
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

NEEDS: Final = _style.WAKEUPS


def suits(recording: Recording) -> bool:
    """Whether wakeups are known."""
    return seen(recording)


def draw(recording: Recording) -> Figure:
    """Draw the bars of one run."""
    figure = _style.figure(13, 5.5)
    axes = figure.add_subplot()
    _style.headline(figure, title(recording.run), _style.where(recording.run))
    _style.dress(axes, "Wakeups of each worker, by outcome", "worker", "wakeups")
    if not seen(recording):
        _style.empty(axes, "wakeups are unknown: no probe")
        return figure
    counts = metrics.outcomes(recording)
    stack(axes, counts)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1.05 * counts.sum(axis=1).max() or 1)
    _style.grid(axes, "y")
    total = counts.to_numpy().sum() or 1
    for name, bars in zip(_style.OUTCOME_COLOURS, axes.containers, strict=True):
        count = counts[name].sum()
        bars.set_label(f"{_style.OUTCOME_WORDS[name]}: {count:,} ({count / total:.1%})")
    _style.legend(axes, 3)
    return figure


def stack(axes: Axes, counts: pd.DataFrame) -> None:
    """Draw a bar a worker.

    :param counts: of :func:`herd.analysis.metrics.outcomes`
    """
    workers = range(len(counts))
    width = 0.8 if len(counts) <= 64 else 1.0
    below = np.zeros(len(counts))
    for outcome, colour in _style.OUTCOME_COLOURS.items():
        axes.bar(workers, counts[outcome], width, bottom=below, color=colour)
        below += counts[outcome].to_numpy()
