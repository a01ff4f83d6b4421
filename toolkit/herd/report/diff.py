"""What changed between two recordings, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from herd.analysis.diff import CHANGED, SAME, UNTOLD, Change, Diff, Side
from herd.analysis.statistics import CONFIDENCE, Interval
from herd.analysis.words import title

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Final = {CHANGED: "bold yellow", UNTOLD: "", SAME: "green"}


def print_diff(found: Diff, console: Console) -> None:
    """Print the two sides, what differs in what was run, and each metric, the largest change first."""
    for name, side in (("before", found.before), ("after", found.after)):
        console.print(Text(f"{name:7} {_side(side)}", "bold"))
    for name, pairs in (("config", found.config), ("environment", found.environment)):
        console.print(_pairs(name, pairs) if pairs else Text(f"{name}: the same"))
    console.print(_metrics(found))
    for line in (*_untold(found.changes), *(f"note: {note}" for note in found.notes)):
        console.print(Text(line))


def _side(side: Side) -> str:
    runs = f" ({len(side.recordings)} runs)" if side.repeats else ""
    return f"{title(side.run)}: {side.path}{runs}"


def _pairs(name: str, pairs: Mapping[str, tuple[Any, Any]]) -> Table:
    table = _table(name, "before", "after")
    for key, values in pairs.items():
        table.add_row(key, *(Text("unknown" if v is None else str(v)) for v in values))
    return table


def _metrics(found: Diff) -> Table:
    table = _table("metric")
    for name in ("before", "after", "change", f"{CONFIDENCE:.0%} interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=9)
    table.padding = (0, 1, 0, 0)  # fits 80 columns
    for change in found.changes:
        table.add_row(*_row(change))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "metric")
    return table


def _row(change: Change) -> list[Text]:
    unit = f", {change.metric.unit}" if change.metric.unit else ""
    return [
        Text(change.metric.name.replace("/connection", "/conn") + unit),
        *(Text(_number(value)) for value in (change.before, change.after)),
        Text(_changed(change)),
        Text(_interval(change.absolute)),
        Text(change.verdict, _STYLES[change.verdict]),
    ]


def _changed(change: Change) -> str:
    if change.absolute is None:
        return ""
    return f"{_signed(change.absolute.estimate)}{_relative(change.relative)}"


def _relative(interval: Interval | None) -> str:
    if interval is None:
        return ""
    times = interval.estimate + 1
    return f" (x{times:.3g})" if times >= 10 else f" ({interval.estimate:+.0%})"


def _untold(changes: Iterable[Change]) -> Iterator[str]:
    """Why some can't be told; those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for change in changes:
        if change.why:
            reasons.setdefault(change.why, []).append(change.metric.name)
    for why, names in reasons.items():
        yield f"{UNTOLD}: {', '.join(names)}: {why}"


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.3g}"


def _interval(interval: Interval | None) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"{_signed(interval.low)} to {_signed(interval.high)}"
