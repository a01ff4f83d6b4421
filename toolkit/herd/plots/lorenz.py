"""How unevenly connections fell on workers: Lorenz curves, with Gini's coefficient and Jain's index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from herd.analysis.groups import Group, group
from herd.analysis.inequality import gini, lorenz
from herd.analysis.summary import fairness, shares
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

#: Of more workers, only so many points of a curve are drawn.
_POINTS: Final = 65
NEEDS: Final = _style.ACCEPTS
PLACE: Final = 3


def suits(recording: Recording) -> bool:
    """Whether it is known who got connections, and there were some."""
    connections = shares(recording)
    return bool(connections.notna().all() and connections.sum())


def draw(*recordings: Recording) -> Figure:
    """Draw a curve a configuration."""
    known = group(recording for recording in recordings if suits(recording))
    figure = _style.figure(9, 8 + 0.25 * len(known))
    axes = figure.add_subplot()
    _style.headline(
        figure,
        "How even are the shares?" + _style.bands(known),
        _style.where_all(r.run for r in recordings),
    )
    _style.dress(
        axes,
        "Connections of the idlest workers",
        "share of the workers, the idlest first",
        "share of the connections",
    )
    axes.plot(
        [0, 1], [0, 1], color="#888888", linestyle=":", linewidth=2, label="even: Gini 0, Jain 1"
    )
    for number, one in enumerate(known):
        _curve(axes, one, _style.line(number))
    if not known:
        _style.empty(axes, "connections of each worker are unknown")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    _style.grid(axes)
    _style.legend(axes)
    return figure


def _curve(axes: Axes, one: Group, style: dict[str, Any]) -> None:
    workers = len(one.recordings[0].workers)
    places = np.unique(np.linspace(0, workers, min(workers + 1, _POINTS)).astype("int64"))
    band = one.band(lambda recording: lorenz(_counts(recording))[places])
    said = ", ".join(
        f"{name} {np.mean([measure(r) for r in one.recordings]):.3f}"
        for name, measure in (("Gini", _gini), ("Jain", _jain))
    )
    label = f"{_style.label(one.label, len(one.recordings))}: {said}"
    axes.plot(places / workers, band.mean, label=label, linewidth=2.2, **style)
    axes.fill_between(places / workers, band.low, band.high, color=style["color"], alpha=0.2)


def _counts(recording: Recording) -> Any:
    return shares(recording).to_numpy("int64")


def _gini(recording: Recording) -> float:
    return gini(_counts(recording))


def _jain(recording: Recording) -> float:
    found = fairness(shares(recording))["jain"]
    assert found is not None  # it suits
    return found
