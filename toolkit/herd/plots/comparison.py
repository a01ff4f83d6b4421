"""Several runs side by side: wakeups per connection against prediction, fairness, queue delay, CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from herd.families import mention
from herd.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

_OUTCOMES: Final = tuple(_style.OUTCOME_COLOURS)


def draw(*recordings: Recording) -> Figure:
    """Draw a row a run, the fewest wakeups per connection on top."""
    summaries = sorted((r.summary for r in recordings), key=_order)
    figure = _style.figure(15, 2.6 + 0.42 * len(summaries))
    panels = figure.subplots(1, 4, sharey=True, width_ratios=[2.2, 1, 1.3, 1.1])
    first = summaries[0]
    figure.suptitle(
        f"{len(summaries)} ways to wait{mention(first['config']) or ' on one port'},"
        f" {first['config']['workers']} workers, {first['connections']['attempted']:,} connections",
        x=0.01,
        ha="left",
        fontsize=16,
        fontweight="bold",
    )
    for draw_panel, axes in zip((_wakeups, _fairness, _delay, _cpu), panels, strict=True):
        draw_panel(axes, summaries)
        axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)
        axes.set_axisbelow(True)
    kernels = {s["host"]["kernel"] for s in summaries}
    panels[0].set_yticks(range(len(summaries)), [_name(s, kernels) for s in summaries], fontsize=11)
    panels[0].set_ylabel("strategy", fontsize=12)
    for axes in panels[1:]:
        axes.set_ylabel("")
    panels[0].invert_yaxis()
    return figure


def _order(summary: dict[str, Any]) -> tuple[float, str]:
    measured = summary["wakeups"]["per_connection"]
    return (float("inf") if measured is None else round(measured, 2), summary["config"]["strategy"])


def _name(summary: dict[str, Any], kernels: set[str]) -> str:
    name = str(summary["config"]["strategy"])
    return name if len(kernels) == 1 else f"{name}, {summary['host']['kernel'].partition('-')[0]}"


def _wakeups(axes: Axes, summaries: list[dict[str, Any]]) -> None:
    _style.dress(axes, "Wakeups per connection", "wakeups per connection", "strategy")
    for row, summary in enumerate(summaries):
        wakeups, accepts, left = summary["wakeups"], summary["accepts"] or 1, 0.0
        if wakeups["total"] is None:
            axes.annotate(" unknown", (0, row), va="center", fontsize=11)
            continue
        for outcome in _OUTCOMES:
            width = wakeups[outcome] / accepts
            axes.barh(row, width, 0.7, left=left, color=_style.OUTCOME_COLOURS[outcome])
            left += width
        predicted = wakeups["predicted_per_connection"]
        axes.plot([predicted], [row], "k|", markersize=17, markeredgewidth=2.5)
        text = f"  {wakeups['per_connection']:.2f}"
        axes.annotate(text, (max(left, predicted), row), va="center", fontsize=11)
    handles = [
        *(
            axes.barh(0, 0, color=_style.OUTCOME_COLOURS[o], label=_style.OUTCOME_WORDS[o])
            for o in _OUTCOMES
        ),
        *axes.plot([], [], "k|", markersize=12, markeredgewidth=2.5, label="predicted"),
    ]
    axes.legend(handles=handles, fontsize=10, frameon=False, loc="upper right")
    axes.margins(x=0.12)


def _fairness(axes: Axes, summaries: list[dict[str, Any]]) -> None:
    _style.dress(axes, "Fairness", "Jain's index (1 is even)", "strategy")
    values = [s["fairness"]["jain"] or 0.0 for s in summaries]
    axes.barh(range(len(values)), values, 0.7, color=_style.LINES[2])
    axes.set_xlim(0, 1.05)


def _delay(axes: Axes, summaries: list[dict[str, Any]]) -> None:
    _style.dress(axes, "Queue delay", "µs, p50 to p99 (logarithmic)", "strategy")
    axes.set_xscale("log")
    for row, summary in enumerate(summaries):
        delay = summary["latency_us"]["queue_delay"]
        if delay:
            axes.plot([delay["p50"], delay["p99"]], [row, row], color=_style.LINES[1], linewidth=3)
            axes.plot([delay["p50"]], [row], "o", color=_style.LINES[1], markersize=8)


def _cpu(axes: Axes, summaries: list[dict[str, Any]]) -> None:
    _style.dress(axes, "Workers' CPU", "µs per connection", "strategy")
    values = [s["cost"]["cpu_us_per_connection"] or 0.0 for s in summaries]
    axes.barh(range(len(values)), values, 0.7, color=_style.LINES[0])
