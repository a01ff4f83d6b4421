"""Several runs side by side, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

#: What a column is called → its digits after the point; ``None``: words.
COLUMNS: Final = {
    "strategy": None,
    "kernel": None,
    "wakeups/conn": 2,
    "predicted": 2,
    "in kernel": 2,
    "in user": 2,
    "Jain": 2,
    "queue p50": 0,
    "p99 µs": 0,
    "CPU µs/conn": 0,
    "integrity": None,
}
_TIMES: Final = ("queue p50", "p99 µs", "CPU µs/conn")
ROUGH: Final = "~ in an emulated guest: times are not comparable, counts are"


def rows(summaries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a run, the fewest wakeups per connection first; its keys are :data:`COLUMNS`.

    :param summaries: what ``herd run --json`` prints; wasted wakeups are given per connection
    """
    return [_row(summary) for summary in sorted(summaries, key=_order)]


def rough(summaries: Sequence[dict[str, Any]]) -> bool:
    """Whether one of the runs was in an emulated guest."""
    return not all(_comparable(summary) for summary in summaries)


def table(summaries: Sequence[dict[str, Any]]) -> Table:
    """The same for a terminal."""
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in COLUMNS:
        found.add_column(column, justify="left" if column in ("strategy", "kernel") else "right")
    for summary in sorted(summaries, key=_order):
        prefix = "" if _comparable(summary) else "~"
        cells = _row(summary)
        found.add_row(
            *(
                _cell(column, value, prefix if column in _TIMES else "", _style(column, summary))
                for column, value in cells.items()
            )
        )
    if rough(summaries):
        found.caption = ROUGH
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


def _row(summary: dict[str, Any]) -> dict[str, Any]:
    wakeups, accepts = summary["wakeups"], summary["accepts"]
    delay = summary["latency_us"]["queue_delay"] or {}
    values = (
        summary["config"]["strategy"],
        summary["host"]["kernel"],
        wakeups["per_connection"],
        summary["prediction"]["expected"],
        _each(wakeups["wasted_in_kernel"], accepts),
        _each(wakeups["wasted_in_user"], accepts),
        summary["fairness"]["jain"],
        delay.get("p50"),
        delay.get("p99"),
        summary["cost"]["cpu_us_per_connection"],
        "ok" if summary["integrity"]["ok"] else "BROKEN",
    )
    return dict(zip(COLUMNS, values, strict=True))


def _comparable(summary: dict[str, Any]) -> bool:
    return bool(summary["host"].get("latencies_comparable", True))


def _each(count: int | None, accepts: int | None) -> float | None:
    return count / accepts if accepts and count is not None else None


def _style(column: str, summary: dict[str, Any]) -> str:
    if column == "wakeups/conn" and summary["prediction"]["held"] is False:
        return "yellow"
    return "bold red" if column == "integrity" and not summary["integrity"]["ok"] else ""


def _cell(column: str, value: Any, prefix: str, style: str) -> Text:
    if value is None:
        return Text("unknown", style)
    digits = COLUMNS[column]
    return Text(value if digits is None else f"{prefix}{value:.{digits}f}", style)
