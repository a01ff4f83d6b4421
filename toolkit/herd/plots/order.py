"""Whom each arrival woke first, against its place in the queue: by time waited, and as registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from herd.analysis.order import first_woken, share
from herd.analysis.summary import seen
from herd.analysis.words import subject
from herd.plots import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

#: In more cells than this, side by side, no number can be read.
_LEGIBLE: Final = 20
NEEDS: Final = _style.WAKEUPS
PLACE: Final = 2


def suits(recording: Recording) -> bool:
    """Whether wakeups are known."""
    return seen(recording)


def draw(recording: Recording) -> Figure:
    """Draw both orders, worker against place."""
    figure = _style.figure(13, 6.5)
    panels = figure.subplots(1, 2, sharey=True)
    first = first_woken(recording) if seen(recording) else None
    _style.headline(figure, _answer(recording, first), _style.where(recording.run))
    titles = {
        "rank": ("By time waited", "place in the queue (0 has waited longest)"),
        "registered": ("By registration", "place in the queue (0 began to wait first)"),
    }
    for axes, (column, (title, label)) in zip(panels, titles.items(), strict=True):
        _style.dress(axes, f"{title}: arrivals, by whom they woke first", label, "worker")
        _cells(axes, recording.run["config"]["workers"], first, column)
    return figure


def rule(first: pd.DataFrame) -> tuple[str, float] | None:
    """What describes most of the arrivals, and the share of all that had a choice.

    :param first: whom arrivals woke first, as :func:`herd.analysis.order.first_woken` has it
    """
    some = first[(first["waiting"] > 1).fillna(False)]
    last = some["waiting"] - 1
    shares = {
        "the longest waiting": share(some, some["rank"] == 0),
        "the last to wait": share(some, some["rank"] == last),
        "the first registered": share(some, some["registered"] == 0),
        "the last registered": share(some, some["registered"] == last),
    }
    known = {name: part for name, part in shares.items() if part is not None}
    return max(known.items(), key=lambda item: item[1]) if known else None


def _answer(recording: Recording, first: pd.DataFrame | None) -> str:
    name = subject(recording.run)
    if first is None:
        return f"{name}: who wakes first is unknown"
    found = rule(first)
    if found is None:
        return f"{name}: never did two wait at one listener, so there is no order"
    return f"{name}: {found[0]} wakes first, in {found[1]:.0%} of the arrivals"


def _cells(axes: Axes, workers: int, first: pd.DataFrame | None, column: str) -> None:
    known = None if first is None else first[first[column].notna()]
    if known is None or known.empty:
        _style.empty(axes, "unknown: no probe" if first is None else "not known of any wakeup")
        return
    cells = np.zeros((workers, workers), "int64")
    places = (known["worker"].to_numpy("int64"), known[column].to_numpy("int64"))
    np.add.at(cells, places, known["arrivals"])
    edges = (-0.5, workers - 0.5, -0.5, workers - 0.5)
    axes.imshow(
        cells,
        cmap="Blues",
        vmin=0,
        aspect="auto",
        origin="lower",
        extent=edges,
        interpolation="nearest",
    )
    if workers <= _LEGIBLE:
        _numbers(axes, cells)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _numbers(axes: Axes, cells: Any) -> None:
    for worker, place in np.argwhere(cells).tolist():
        count = cells[worker, place]
        ink = "white" if 2 * count > cells.max() else "black"
        axes.text(place, worker, str(count), ha="center", va="center", fontsize=10, color=ink)
