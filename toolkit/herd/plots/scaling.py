"""How the herd grows: wakeups per connection against the number of workers, beside the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.ticker import FuncFormatter

from herd.analysis.groups import Group, group
from herd.analysis.statistics import Interval
from herd.analysis.summary import accepted, seen
from herd.analysis.words import subject
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

_FIGURE: Final = "wakeups.per_connection"
NEEDS: Final = f"{_style.WAKEUPS}; and {_style.ACCEPTS}"


def suits(recording: Recording) -> bool:
    """Whether wakeups per connection are known."""
    return seen(recording) and bool(accepted(recording))


def draw(*recordings: Recording) -> Figure:
    """Draw a line a strategy; repeats of a configuration are one point, with the interval of their mean."""
    figure = _style.figure(12, 7)
    axes = figure.add_subplot()
    note = _style.where_all(recording.run for recording in recordings)
    _style.headline(figure, "Wakeups per connection against the number of workers", note)
    _style.dress(
        axes,
        "Lines: measured. Grey dots: predicted before the run",
        "workers (logarithmic)",
        "wakeups per connection (logarithmic)",
    )
    # Logarithmic from 1 on, with room for 0.
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_yscale("symlog", base=2, linthresh=1)
    known = [recording for recording in recordings if suits(recording)]
    if not known:
        _style.empty(axes, "wakeups per connection are unknown")
        return figure
    lines = _lines(known)
    for number, (name, points) in enumerate(lines.items()):
        _line(axes, name, points, number)
    _labels(axes, lines)
    _style.grid(axes)
    _style.legend(axes, 3)
    return figure


def _lines(recordings: list[Recording]) -> dict[str, list[tuple[int, Interval, float | None]]]:
    """Of each strategy: workers, measured and predicted, by workers."""
    found: dict[str, list[tuple[int, Interval, float | None]]] = {}
    for one in sorted(group(recordings), key=_workers):
        measured = one.mean(_FIGURE)
        if measured is not None:
            point = (_workers(one), measured, one.run["prediction"]["expected"])
            found.setdefault(subject(one.run), []).append(point)
    return found


def _workers(one: Group) -> int:
    return int(one.run["config"]["workers"])


def _line(
    axes: Axes, name: str, points: list[tuple[int, Interval, float | None]], number: int
) -> None:
    workers = [n for n, _, _ in points]
    means = [measured.estimate for _, measured, _ in points]
    style = _style.line(number)
    repeats = max(measured.count for _, measured, _ in points)
    label = _style.label(name, repeats)
    axes.plot(workers, means, "o", label=label, linewidth=2.2, markersize=7, **style)
    axes.fill_between(
        workers,
        [m.estimate if m.low is None else m.low for _, m, _ in points],
        [m.estimate if m.high is None else m.high for _, m, _ in points],
        color=style["color"],
        alpha=0.2,
    )
    foreseen = [(n, expected) for n, _, expected in points if expected is not None]
    if foreseen:
        axes.plot(*zip(*foreseen, strict=True), color="#888888", linestyle=":", linewidth=3, zorder=1)


def _labels(axes: Axes, lines: dict[str, list[tuple[int, Interval, float | None]]]) -> None:
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set_xticks(sorted({n for points in lines.values() for n, _, _ in points}))
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.set_ylim(bottom=0)
