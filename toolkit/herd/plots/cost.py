"""What a connection costs its workers: CPU time and context switches, with intervals where runs repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from herd.analysis.groups import Group, group
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

_PANELS: Final = {
    "cost.cpu_us_per_connection": ("CPU time of all workers", "µs per connection"),
    "cost.switches_per_connection": ("Context switches of all workers", "per connection"),
}
NEEDS: Final = f"{_style.ACCEPTS}; and workers that ended by themselves, to say what they used"


def suits(recording: Recording) -> bool:
    """Whether the cost is known."""
    return recording.summary["cost"]["cpu_us_per_connection"] is not None


def draw(*recordings: Recording) -> Figure:
    """Draw a bar a configuration."""
    groups = group(recordings)
    figure = _style.figure(14, 2.6 + 0.5 * len(groups))
    panels = figure.subplots(1, 2, sharey=True)
    note = _style.where_all(recording.run for recording in recordings)
    _style.headline(figure, "What a connection costs" + _style.bands(groups), note)
    for axes, (figure_of, (title, unit)) in zip(panels, _PANELS.items(), strict=True):
        _style.dress(axes, title, unit, "")
        _bars(axes, groups, figure_of)
        _style.grid(axes, "x")
    labels = [_style.label(one.label, len(one.recordings)) for one in groups]
    panels[0].set_yticks(range(len(groups)), labels, fontsize=11)
    panels[0].set_ylabel("runs", fontsize=12)
    panels[0].set_ylim(len(groups) - 0.5, -0.5)
    return figure


def _bars(axes: Axes, groups: list[Group], figure: str) -> None:
    for row, one in enumerate(groups):
        mean = one.mean(figure)
        if mean is None:
            axes.annotate(" unknown", (0, row), va="center", fontsize=11)
            continue
        axes.barh(row, mean.estimate, 0.7, color=_style.LINES[0])
        end, text = mean.estimate, f"  {_style.digits(mean.estimate)}"
        if mean.low is not None and mean.high is not None:
            below, above = mean.estimate - mean.low, mean.high - mean.estimate
            axes.errorbar(
                mean.estimate, row, xerr=[[below], [above]], color="black", capsize=5, linewidth=1.5
            )
            end, text = (
                mean.high,
                f"{text} ({_style.digits(mean.low)} to {_style.digits(mean.high)})",
            )
        axes.annotate(text, (end, row), va="center", fontsize=11)
    axes.margins(x=0.35)
