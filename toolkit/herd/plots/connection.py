"""One connection on one axis of time: its client, its arrival, whom that wakes, who accepts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from herd.analysis.connection import Life, followable, life
from herd.analysis.words import subject
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

#: More woken workers than this can't be told apart.
_WORKERS: Final = 16
#: What happens at each moment, and to whom.
_MOMENTS: Final = {
    "intended": "should start",
    "started": "starts",
    "established": "established",
    "arrival": "arrives: can be accepted",
    "accepted": "accepted",
    "first_byte": "first byte",
    "closed": "closed",
}
_KERNEL: Final = ("arrival", "accepted")
NEEDS: Final = (
    "its own clients' rows, with the ports that accepts name: not unix sockets, not herd observe"
)
PLACE: Final = 4


def suits(recording: Recording) -> bool:
    """Whether a connection can be followed from its client to its worker."""
    return followable(recording)


def draw(recording: Recording, connection: int | None = None) -> Figure:
    """Draw one connection's life.

    :param connection: its number, by when it should have started, from 1; by default the median one
    """
    figure = _style.figure(13, 4)
    axes = figure.add_subplot()
    where = _style.where(recording.run)
    if not suits(recording):
        _style.headline(figure, f"{subject(recording.run)}: one connection", where)
        _style.dress(axes, "Its life", "µs", "who")
        _style.empty(axes, "clients' rows and accepts can't be joined")
        return figure
    found = life(recording, connection)
    _style.headline(figure, _answer(recording, found), where)
    which = "the median one" if connection is None else f"number {connection}"
    _style.dress(
        axes,
        f"Its life ({which}); grey: runnable, not yet running",
        "µs since it should have started",
        "who",
    )
    labels = _moments(axes, found) + _woken(axes, found, len(_MOMENTS))
    figure.set_figheight(2.2 + 0.38 * len(labels))
    axes.set_yticks(range(len(labels)), labels, fontsize=11)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.margins(x=0.12)
    _style.grid(axes, "x")
    return figure


def _answer(recording: Recording, found: Life) -> str:
    name = f"{subject(recording.run)}, connection {found.number}"
    if found.worker is None:
        return f"{name}: nobody was seen to accept it"
    woken = len(found.wakeups)
    told = f"wakes {woken}, " if "arrival" in found.moments else ""
    return f"{name}: {told}accepted by worker {found.worker}"


def _moments(axes: Axes, found: Life) -> list[str]:
    begin = found.moments["intended"]
    for row, name in enumerate(_MOMENTS):
        at = found.moments.get(name)
        if at is None:
            axes.annotate("not known", (0, row), va="center", fontsize=10, color="#666666")
            continue
        colour = _style.LINES[1] if name in _KERNEL else _style.LINES[2]
        at_us = (at - begin) / 1000
        axes.plot([at_us], [row], "D", color=colour, markersize=9)
        axes.annotate(f"{at_us:.1f}", (at_us, row), (9, 0), textcoords="offset points", va="center")
        axes.axvline(at_us, color=colour, linewidth=0.6, alpha=0.5, zorder=0)
    return [*_MOMENTS.values()]


def _woken(axes: Axes, found: Life, first: int) -> list[str]:
    begin = found.moments["intended"]
    labels = []
    shown = found.wakeups.sort_values("time_ns").head(_WORKERS)
    for row, wakeup in enumerate(shown.to_dict("records"), first):
        outcome = str(wakeup["outcome"])
        colour = _style.OUTCOME_COLOURS.get(outcome, "#888888")
        _bar(axes, row, wakeup["time_ns"], wakeup["running_ns"], begin, "#BBBBBB")
        _bar(axes, row, wakeup["running_ns"], wakeup["slept_ns"], begin, colour)
        labels.append(f"worker {wakeup['worker']}: {_style.OUTCOME_WORDS.get(outcome, 'unknown')}")
    if len(found.wakeups) > _WORKERS:
        labels.append(f"and {len(found.wakeups) - _WORKERS} more")
    return labels


def _bar(axes: Axes, row: int, start: Any, end: Any, begin: int, colour: str) -> None:
    """From runnable to running in grey, then until it sleeps again in the outcome's colour."""
    import pandas as pd

    if not (pd.isna(start) or pd.isna(end)):
        axes.barh(row, (end - start) / 1000, 0.6, (start - begin) / 1000, color=colour)
