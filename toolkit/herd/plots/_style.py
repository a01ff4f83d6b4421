"""What all pictures have in common: colours, fonts, the words of the title."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

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
LINES: Final = ("#0072B2", "#D55E00", "#009E73")
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
