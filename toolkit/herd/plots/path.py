"""One connection's life: the calls that notify, who wakes, who accepts, on one axis of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from herd.analysis.path import calls_of, of_arrival
from herd.plots import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

#: More woken workers than this can't be told apart.
_WORKERS: Final = 16
_CALL_COLOURS: Final = ("#004D80", "#0064A0", "#0072B2", "#2A8CC4", "#4FA3D1", "#74B8DD")
NEEDS: Final = "calls of kernel functions: record with --probe functions"
PLACE: Final = 5


def suits(recording: Recording) -> bool:
    """Whether calls were recorded (``--probe functions``)."""
    return not recording.calls.empty


def draw(recording: Recording, arrival: int = 1) -> Figure:
    """Draw the path of one arrival.

    :param arrival: its number
    """
    figure = _style.figure(13, 5)
    axes = figure.add_subplot()
    _title(figure, recording, arrival)
    found = of_arrival(recording.arrivals, arrival)
    if found.empty:
        _style.dress(axes, _style.where(recording.run), "µs", "calls")
        _style.empty(axes, "no probe saw this arrival")
        return figure
    calls = calls_of(recording, arrival).sort_values(["time_ns", "depth"])
    # A function at a depth is a row: epoll calls the same four for each worker.
    rows = list(dict.fromkeys(zip(calls["function"], calls["depth"], strict=True)))
    woken = of_arrival(recording.wakeups, arrival)
    notified = calls.loc[calls["arrival"].notna(), "time_ns"]
    begin = int(min([found["time_ns"].min(), *notified]))
    figure.set_figheight(2.4 + 0.42 * (len(rows) + min(len(woken), _WORKERS)))
    _style.dress(
        axes,
        _style.where(recording.run),
        "µs since the connection was established",
        "calls, and who wakes",
    )
    _calls(axes, calls, rows, begin)
    labels = [f"{'  ' * depth}{function}" for function, depth in rows]
    labels += _workers(axes, recording, woken, arrival, begin, len(rows))
    width = max(map(len, labels), default=0)
    axes.set_yticks(
        range(len(labels)),
        [f"{label:{width}}" for label in labels],
        fontsize=11,
        family="monospace",
    )
    axes.invert_yaxis()
    # A worker may have entered accept long before: its bar begins outside the picture.
    end = axes.dataLim.x1
    axes.set_xlim(-0.03 * end, 1.1 * end)
    axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure


def _title(figure: Figure, recording: Recording, arrival: int) -> None:
    config = recording.run["config"]
    text = f"The path of connection {arrival}: {config['strategy']}, {config['workers']} workers"
    figure.suptitle(text, x=0.01, ha="left", fontsize=16, fontweight="bold")


def _calls(axes: Axes, calls: pd.DataFrame, rows: list[tuple[str, int]], begin: int) -> None:
    for call in calls.to_dict("records"):
        depth = int(call["depth"])
        colour = _CALL_COLOURS[min(depth, len(_CALL_COLOURS) - 1)]
        row = rows.index((call["function"], depth))
        _bar(axes, row, call["time_ns"], call["returned_ns"], begin, colour)


def _workers(
    axes: Axes, recording: Recording, woken: pd.DataFrame, arrival: int, begin: int, first: int
) -> list[str]:
    labels = []
    accepts = of_arrival(recording.accepts, arrival).to_dict("records")
    for row, wakeup in enumerate(woken.head(_WORKERS).to_dict("records"), first):
        _bar(axes, row, wakeup["time_ns"], wakeup["running_ns"], begin, "#CCCCCC")
        colour = _style.OUTCOME_COLOURS.get(str(wakeup["outcome"]), "#888888")
        _bar(axes, row, wakeup["running_ns"], wakeup["slept_ns"], begin, colour)
        for accept in accepts:
            if accept["tid"] == wakeup["tid"]:
                at = (accept["time_ns"] - begin) / 1000
                axes.plot([at], [row], "k|", markersize=18, markeredgewidth=2.5)
                axes.annotate(" accepted", (at, row), va="center", fontsize=11, color="white")
        labels.append(f"worker {wakeup['worker']} ({str(wakeup['outcome']).replace('_', ' ')})")
    return labels


def _bar(axes: Axes, row: int, start: Any, end: Any, begin: int, colour: str) -> None:
    import pandas as pd

    if not (pd.isna(start) or pd.isna(end)):
        axes.barh(row, (end - start) / 1000, 0.7, (start - begin) / 1000, color=colour)
