"""Tables of a page: what they hold, and how a cell reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from herd import nested
from herd.recording.schema import TABLES
from herd.report.words import LATENCIES, NOT_COMPARABLE


@dataclass(frozen=True)
class Table:
    """A caption, headings and rows.

    :param means: what each heading means, where that isn't plain
    :param digits: of each column, after the point; ``None``: as many as there are
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    means: Sequence[str] = ()
    digits: Sequence[int | None] = ()


def cell(value: Any, digits: int | None = None) -> str:
    """A value for people; what isn't known is said to be."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if digits is not None:
        return f"{value:.{digits}f}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Nested values, a row each: ``wakeups.productive``; a list is one value."""
    for name, value in nested.flat(values).items():
        yield name, (", ".join(map(cell, value)) or "none") if isinstance(value, list) else value


def latencies(summary: dict[str, Any]) -> Table:
    """Percentiles in µs."""
    caption = "How long it took, µs"
    if not summary["host"].get("latencies_comparable", True):
        caption += f" ({NOT_COMPARABLE})"
    quantiles = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "max": "max"}
    rows = [
        [name, *((summary["latency_us"][key] or {}).get(quantile) for quantile in quantiles)]
        for key, name in LATENCIES.items()
    ]
    return Table(caption, ("what", *quantiles.values()), rows)


def workers(summary: dict[str, Any]) -> Table:
    """A row a worker, with what is known of any of them."""
    columns = [
        column
        for column in TABLES["workers"].columns
        if any(worker[_key(column.name)] is not None for worker in summary["workers"])
    ]
    return Table(
        "Workers",
        [column.name.replace("_", " ") for column in columns],
        [[worker[_key(column.name)] for column in columns] for worker in summary["workers"]],
        [column.means for column in columns],
    )


def _key(column: str) -> str:
    """The summary calls a worker's number its id."""
    return "id" if column == "worker" else column
