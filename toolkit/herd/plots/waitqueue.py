"""The wait queue of each listener: its entries in order, and whom the next connection wakes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

from herd.analysis.words import title
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

_PER_ROW: Final = 8
#: More boxes than this hold no readable text.
_LEGIBLE: Final = 128
_COLOURS: Final = {True: "#0072B2", False: "#E69F00"}
_WAKES: Final = "#CC3311"
NEEDS: Final = "the wait queue as it was: record with --snapshot"
PLACE: Final = 6


def suits(recording: Recording) -> bool:
    """Whether the queue was read."""
    return bool(recording.waitqueue)


def draw(recording: Recording) -> Figure:
    """Draw the queues as they were before a recording's load (``herd run --snapshot``)."""
    if not recording.waitqueue:
        figure = _style.figure(13, 3)
        axes = figure.add_subplot()
        _style.dress(axes, title(recording.run), "place in the queue", "wait queue")
        _style.empty(axes, "recorded without --snapshot: the wait queue is not known")
        return figure
    return picture(recording.waitqueue[0])


def picture(look: dict[str, Any]) -> Figure:
    """Draw one reading, as ``herd waitqueue --json`` prints it."""
    listeners = look["listeners"]
    rows = [max(1, -(-len(listener["waiters"] or []) // _PER_ROW)) for listener in listeners]
    figure = _style.figure(13, 0.6 + sum(1.5 + 0.85 * count for count in rows))
    panels = figure.subplots(
        len(listeners), squeeze=False, gridspec_kw={"height_ratios": [1 + count for count in rows]}
    )
    for axes, listener, count in zip(panels.flat, listeners, rows, strict=True):
        _listener(axes, listener, count)
    _legend(figure)
    return figure


def _listener(axes: Axes, listener: dict[str, Any], rows: int) -> None:
    waiters = listener["waiters"]
    says = listener["says"] or "wakes we don't know whom: the queue could not be read"
    _style.dress(axes, listener["address"], "", "wait queue, from its head")
    axes.set_xlabel(_caption(says), loc="left", fontsize=12)
    if not waiters:
        _style.empty(axes, "?" if waiters is None else "nobody is in the queue")
    else:
        woken = set(listener["next_wakes_tids"])
        for waiter in waiters:
            _box(axes, waiter, woken, legible=len(waiters) <= _LEGIBLE)
    axes.set_xlim(-0.05, _PER_ROW)
    axes.set_ylim(rows, 0)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])


def _caption(says: str) -> str:
    return textwrap.fill(f"the next connection {says}", 110)


def _box(axes: Axes, waiter: dict[str, Any], woken: set[int], *, legible: bool) -> None:
    from matplotlib.patches import Rectangle

    row, column = divmod(waiter["position"], _PER_ROW)
    wakes = bool({waiter["tid"], *waiter["waiting"]} & woken)
    colour = _COLOURS[waiter["exclusive"]]
    axes.add_patch(
        Rectangle(
            (column, row + 0.08),
            0.9,
            0.84,
            facecolor=colour,
            alpha=1.0 if wakes else 0.45,
            edgecolor=_WAKES if wakes else colour,
            linewidth=3.5 if wakes else 0,
        )
    )
    if legible:
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9.5}
        ink = "white" if wakes and waiter["exclusive"] else "black"
        axes.text(column + 0.45, row + 0.5, _words(waiter), color=ink, **style)


def _words(waiter: dict[str, Any]) -> str:
    who = f"pid {waiter['pid']}" if waiter["pid"] is not None else "shared by several"
    kind = " ".join([waiter["kind"], *waiter["modes"]])
    lines = [f"{waiter['position']}: {waiter['comm'] or '?'}", who, kind]
    if waiter["epoll"] is not None:
        lines.append(f"{len(waiter['waiting'])} waiting")
    return "\n".join(lines)


def _legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=_COLOURS[True], label="exclusive: the wakeup ends here if it succeeds"),
        Patch(color=_COLOURS[False], label="not exclusive: the wakeup goes on"),
        Patch(facecolor="white", edgecolor=_WAKES, linewidth=3, label="will wake"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=11)
