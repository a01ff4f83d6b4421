"""What all pictures have in common: colours, fonts, the words of the title."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from herd.analysis.statistics import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from herd.analysis.groups import Group

#: Okabe and Ito's palette: told apart with every common colour blindness, and on a bad projector.
OUTCOME_COLOURS: Final[Mapping[str, str]] = {
    "productive": "#0072B2",
    "wasted_in_kernel": "#E69F00",
    "wasted_in_user": "#CC3311",
}
OUTCOME_WORDS: Final[Mapping[str, str]] = {
    "productive": "productive",
    "wasted_in_kernel": "wasted in kernel",
    "wasted_in_user": "wasted in user space",
}
#: The rest of the palette, for groups of runs; beyond them all, lines are told apart by their dashes, too.
LINES: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES: Final = ("-", "--", ":", "-.")
#: What a picture needs (its ``NEEDS``), where several need the same.
WAKEUPS: Final = "wakeups that a probe saw: record without --probe none"
ACCEPTS: Final = "accepts that the workers or a probe counted, and one at least"
_INK: Final = "#222222"
_FAINT: Final = "#EDEDED"


def figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def dress(axes: Axes, title: str, x: str, y: str) -> None:
    """Title, axis labels and a quiet frame."""
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=_INK)
    axes.set_xlabel(x, fontsize=12, color=_INK)
    axes.set_ylabel(y, fontsize=12, color=_INK)
    axes.tick_params(labelsize=11, colors=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_facecolor("white")


def headline(figure: Figure, title: str, note: str) -> None:
    """What there is to see, above; where it is from, below."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=16, fontweight="bold", color=_INK)
    figure.supxlabel(note, x=0.01, ha="left", fontsize=10, color="#666666")


def grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Quiet lines behind what is drawn."""
    axes.grid(True, axis=axis, color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)


def line(number: int) -> dict[str, Any]:
    """Colour and dashes of the line of a group."""
    dashes, colour = divmod(number, len(LINES))
    return {"color": LINES[colour], "linestyle": _DASHES[dashes % len(_DASHES)]}


def legend(axes: Axes, columns: int = 1) -> None:
    """Beneath the axes, where it hides nothing."""
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4.5,
        ncols=columns,
        fontsize=11,
        frameon=False,
    )


def short(microseconds: float) -> str:
    """A duration with three digits."""
    if microseconds >= 1000:
        return f"{microseconds / 1000:.3g} ms"
    return f"{microseconds:.3g} µs"


def digits(value: float) -> str:
    """A number with three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def plain_ticks(axis: Axis) -> None:
    """Numbers instead of powers on a logarithmic axis."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def empty(axes: Axes, why: str) -> None:
    """Say why there is nothing to see."""
    axes.text(
        0.5,
        0.5,
        why,
        ha="center",
        va="center",
        transform=axes.transAxes,
        fontsize=13,
        color="#666666",
    )
    axes.set_xticks([])
    axes.set_yticks([])


def background() -> str:
    """The colour of "did not wake"."""
    return _FAINT


def where(run: Mapping[str, Any]) -> str:
    """Where it was run, in a line: kernel, CPUs, probe, date."""
    host = run["host"]
    emulated = "" if host.get("latencies_comparable", True) else " (emulated: times not comparable)"
    return (
        f"Linux {host['kernel']}{emulated}, {len(host['cpu']['affinity'])} CPUs, probe {host['probe']},"
        f" {run['started_at'][:10]}, herd {run['herd']}"
    )


def where_all(runs: Iterable[Mapping[str, Any]]) -> str:
    """Where several were run."""
    places = list(dict.fromkeys(where(run) for run in runs))
    return places[0] if len(places) == 1 else f"{places[0]}; and {len(places) - 1} more"


def bands(groups: Iterable[Group]) -> str:
    """The end of a headline, where some runs repeat one another."""
    repeated = any(len(group.recordings) > 1 for group in groups)
    return f" (repeats: mean and {CONFIDENCE:.0%} interval)" if repeated else ""


def label(name: str, repeats: int) -> str:
    """Of a group in a legend or on an axis."""
    return name if repeats == 1 else f"{name} (mean of {repeats})"
