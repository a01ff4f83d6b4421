"""How long connections and woken workers waited: the distributions, with p50, p99 and p999."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.transforms import blended_transform_factory

from herd.analysis import metrics
from herd.analysis.groups import Group, group
from herd.analysis.summary import seen
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from herd.analysis.quantiles import Quantiles
    from herd.recording.read import Recording

_MARKS: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
#: Shares at which the repeats of a run are compared.
_SHARES: Final = np.append(np.linspace(0.01, 0.99, 50), [0.995, 0.999])
_POINTS: Final = 1000
_PANELS: Final = {
    "Queue delay (arrival → accepted)": metrics.queue_delay,
    "Wake latency (runnable → running)": metrics.wake_latency,
}
NEEDS: Final = _style.WAKEUPS


def suits(recording: Recording) -> bool:
    """Whether arrivals and wakeups are known."""
    return seen(recording)


def draw(*recordings: Recording) -> Figure:
    """Draw both distributions, a line a configuration."""
    groups = group(recordings)
    figure = _style.figure(15, 6 + 0.3 * len(groups))
    _style.headline(
        figure,
        "How long they waited" + _style.bands(groups),
        _style.where_all(r.run for r in recordings),
    )
    for axes, (title, measure) in zip(
        figure.subplots(1, 2, sharey=True), _PANELS.items(), strict=True
    ):
        _style.dress(axes, title, "µs (logarithmic)", "share of all that took no longer")
        axes.set_xscale("log")
        for number, one in enumerate(groups):
            _group(axes, one, measure, _style.line(number))
        axes.set_ylim(0, 1.02)
        _style.grid(axes)
        if axes.lines:
            _marks(axes)
            # A clock's step makes some of them nothing: they are left of the picture.
            axes.set_xlim(left=max(axes.get_xlim()[0], 0.1))
            _style.plain_ticks(axes.xaxis)
            _style.legend(axes)
        else:
            _style.empty(axes, "unknown: no probe")
    return figure


def ecdf(found: Quantiles) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """µs, and the share of all that is no larger; it begins at 0."""
    values, shares = found.curve(_POINTS)
    # A log axis has no zero; the clock's own step is not below a nanosecond.
    values = np.maximum(values, 1.0) / 1000
    return np.append(values[0], values), np.append(0.0, shares)


def _group(
    axes: Axes, one: Group, measure: Callable[[Recording], Quantiles], style: dict[str, Any]
) -> None:
    found = [some for some in map(measure, one.recordings) if some.count]
    if not found:
        return
    marks = [some.at([*_MARKS.values()]) / 1000 for some in found]
    middle = np.mean(marks, axis=0)
    said = ", ".join(
        f"{name} {_style.short(value)}" for name, value in zip(_MARKS, middle, strict=True)
    )
    label = f"{_style.label(one.label, len(found))}: {said}"
    if len(found) == 1:
        axes.step(*ecdf(found[0]), where="post", label=label, linewidth=2.2, **style)
    else:
        # Of those that saw some; a run without a value has no curve.
        known = Group(one.label, tuple(r for r in one.recordings if measure(r).count))
        band = known.band(lambda r: np.maximum(measure(r).at(_SHARES), 1.0) / 1000)
        axes.plot(band.mean, _SHARES, label=label, linewidth=2.2, **style)
        axes.fill_betweenx(_SHARES, band.low, band.high, color=style["color"], alpha=0.2)
    axes.plot(middle, [*_MARKS.values()], "o", color=style["color"], markersize=6)


def _marks(axes: Axes) -> None:
    """A line at each share that has a name."""
    right = blended_transform_factory(axes.transAxes, axes.transData)
    for name, share in _MARKS.items():
        axes.axhline(share, color="#999999", linewidth=0.8, linestyle=":", zorder=0)
        # p99 and p999 lie too near each other for two names on one side.
        place, side = (0.005, "left") if name == "p999" else (0.995, "right")
        axes.text(
            place, share, name, transform=right, ha=side, va="top", fontsize=10, color="#666666"
        )
