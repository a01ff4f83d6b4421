"""Several runs side by side, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

_COLUMNS: Final = (
    "strategy",
    "kernel",
    "wakeups/conn",
    "predicted",
    "in kernel",
    "in user",
    "Jain",
    "queue p50",
    "p99 µs",
    "CPU µs/conn",
    "integrity",
)


def table(summaries: Sequence[dict[str, Any]]) -> Table:
    """A row a run, the fewest wakeups per connection first.

    :param summaries: what ``herd run --json`` prints; wasted wakeups are shown per connection
    """
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in _COLUMNS:
        found.add_column(column, justify="left" if column in ("strategy", "kernel") else "right")
    for summary in sorted(summaries, key=_order):
        found.add_row(*_row(summary))
    if not all(s["host"].get("latencies_comparable", True) for s in summaries):
        found.caption = "~ in an emulated guest: times are not comparable, counts are"
        found.caption_justify = "left"
    return found


def _order(summary: dict[str, Any]) -> tuple[float, str, str]:
    measured = summary["wakeups"]["per_connection"]
    name = summary["config"]["strategy"]
    return (
        float("inf") if measured is None else round(measured, 2),
        name,
        summary["host"]["kernel"],
    )


def _row(summary: dict[str, Any]) -> list[str | Text]:
    wakeups, prediction = summary["wakeups"], summary["prediction"]
    accepts = summary["accepts"]
    style = "yellow" if prediction["held"] is False else ""
    sound = summary["integrity"]["ok"]
    rough = "" if summary["host"].get("latencies_comparable", True) else "~"
    delay = summary["latency_us"]["queue_delay"] or {}
    return [
        Text(summary["config"]["strategy"]),
        Text(summary["host"]["kernel"]),
        Text(_number(wakeups["per_connection"], 2), style),
        _number(prediction["expected"], 2),
        _each(wakeups["wasted_in_kernel"], accepts),
        _each(wakeups["wasted_in_user"], accepts),
        _number(summary["fairness"]["jain"], 2),
        _number(delay.get("p50"), 0, rough),
        _number(delay.get("p99"), 0, rough),
        _number(summary["cost"]["cpu_us_per_connection"], 0, rough),
        Text("ok" if sound else "BROKEN", "" if sound else "bold red"),
    ]


def _each(count: int | None, accepts: int) -> str:
    return _number(count / accepts if accepts and count is not None else None, 2)


def _number(value: float | None, digits: int, prefix: str = "") -> str:
    return "unknown" if value is None else f"{prefix}{value:.{digits}f}"
