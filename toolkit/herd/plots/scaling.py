"""How the herd grows: wakeups per connection against the number of workers, beside the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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

#: Workers, wakeups per connection as measured and as predicted.
_Point = tuple[int, Interval, float | None]
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
    _style.headline(
        figure,
        "How the herd grows" + _style.bands(group(recordings)),
        note,
    )
    _style.dress(
        axes,
        "Coloured: measured; black dots: predicted before the run",
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
        # The first are the widest, so that lines upon each other are all seen.
        width = 2.2 + 4 * (len(lines) - 1 - number) / len(lines)
        _line(axes, name, points, _style.line(number) | {"linewidth": width})
    _labels(axes, lines)
    _style.grid(axes)
    _style.legend(axes, 3)
    return figure


def _lines(recordings: list[Recording]) -> dict[str, list[_Point]]:
    """Of each strategy: its points, by workers; of each of its settings, where the same N has several."""
    lines: dict[str, list[Group]] = {}
    for strategy in dict.fromkeys(subject(recording.run) for recording in recordings):
        mine = [recording for recording in recordings if subject(recording.run) == strategy]
        found = group(mine)
        if len({_workers(one) for one in found}) == len(found):
            lines[strategy] = found
            continue
        for line in group(mine, apart=("workers", "connections")):
            lines[line.label] = group(line.recordings)
    return {name: _points(found) for name, found in lines.items()}


def _points(found: list[Group]) -> list[_Point]:
    measured = [(one, one.mean(_FIGURE)) for one in sorted(found, key=_workers)]
    return [(_workers(o), mean, o.run["prediction"]["expected"]) for o, mean in measured if mean]


def _workers(one: Group) -> int:
    return int(one.run["config"]["workers"])


def _line(axes: Axes, name: str, points: list[_Point], style: dict[str, Any]) -> None:
    workers = [n for n, _, _ in points]
    means = [measured.estimate for _, measured, _ in points]
    repeats = max(measured.count for _, measured, _ in points)
    label = _style.label(name, repeats)
    axes.plot(workers, means, "o", label=label, markersize=7, **style)
    axes.fill_between(
        workers,
        [m.estimate if m.low is None else m.low for _, m, _ in points],
        [m.estimate if m.high is None else m.high for _, m, _ in points],
        color=style["color"],
        alpha=0.2,
    )
    foreseen = [(n, expected) for n, _, expected in points if expected is not None]
    if foreseen:
        axes.plot(
            *zip(*foreseen, strict=True), color="black", linestyle=":", linewidth=1.5, zorder=3
        )


def _labels(axes: Axes, lines: dict[str, list[_Point]]) -> None:
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set_xticks(sorted({n for points in lines.values() for n, _, _ in points}))
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.set_ylim(bottom=0)
