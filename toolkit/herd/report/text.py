"""A run's summary as text: what was asked, what was seen, whether it adds up, where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from herd.report import words

if TYPE_CHECKING:
    from rich.console import Console

_BARS: Final = "▁▂▃▄▅▆▇█"
_BARS_A_LINE: Final = 64
_LEVEL_STYLES: Final = {"fine": "green", "worth knowing": "yellow", "worth fixing": "bold yellow"}
_GOOD_STYLES: Final = {True: "green", False: "yellow", None: ""}


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print it; a broken conservation law comes first.

    :param summary: what ``herd run --json`` prints
    """
    integrity = summary["integrity"]
    if not integrity["ok"]:
        console.print(Text(not_sound(integrity), "bold red"))
    host = summary["host"]
    where = f"Linux {host['kernel']}, probe {host['probe']}"
    console.print(Text(f"{summary['title']}, {where}", "bold"))
    if "verdict" in summary:
        verdict = summary["verdict"]
        console.print(
            Text(f"{verdict['level']}: {verdict['text']}", _LEVEL_STYLES[verdict["level"]])
        )
    console.print(_figures(summary))
    comparable = host.get("latencies_comparable", True)
    for part in (_latencies(summary["latency_us"], comparable), _bars(summary["workers"])):
        console.print(part)
    for line in words.remarks(summary):
        console.print(Text(line))
    console.print(Text(f"integrity: {words.integrity(integrity)}"))
    console.print(Text(f"recording: {summary['run']}"))


def as_html(summary: dict[str, Any]) -> str:
    """The same as a preformatted block for a notebook, without colours."""
    import io
    from html import escape

    from rich.console import Console

    file = io.StringIO()
    # A console that finds itself in Jupyter would show what it prints, and not write it.
    plain = Console(file=file, width=120, markup=False, highlight=False, force_jupyter=False)
    print_summary(summary, plain)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def not_sound(integrity: dict[str, Any]) -> str:
    """The laws that are broken, a line each."""
    return "NOT SOUND: " + "\n           ".join(words.broken(integrity))


def _grid() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _figures(summary: dict[str, Any]) -> Table:
    table = _grid()
    for name, text, good in words.figures(summary):
        table.add_row(name, Text(text, _GOOD_STYLES[good]))
    return table


def _latencies(latency: dict[str, dict[str, float] | None], comparable: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    table.add_column("µs", no_wrap=True)
    for name in ("p50", "p99", "max"):
        table.add_column(name, justify="right")
    for key, name in words.LATENCIES.items():
        values = latency[key]
        cells = [f"{values[q]:.1f}" for q in ("p50", "p99", "max")] if values else ["unknown"]
        table.add_row(f"{name:18}", *cells)
    if not comparable:
        table.caption = words.NOT_COMPARABLE
        table.caption_justify = "left"
    return table


def _bars(workers: list[dict[str, Any]]) -> Table:
    """One bar a worker: a character whose height is its share of the largest."""
    table = _grid()
    handed = any(worker["served"] not in (None, worker["accepts"]) for worker in workers)
    for key in ("wakeups", "accepts", *(("served",) if handed else ())):
        counts = [worker[key] for worker in workers]
        if None in counts:
            table.add_row(f"{key}/worker", "unknown")
            continue
        lines = [counts[i : i + _BARS_A_LINE] for i in range(0, len(counts), _BARS_A_LINE)]
        bars = "\n".join(_spark(line, max(counts)) for line in lines)
        table.add_row(f"{key}/worker", f"{bars}  {_range(counts)}")
    return table


def _spark(counts: Sequence[int], most: int) -> str:
    top = len(_BARS) - 1
    return "".join(_BARS[-(-count * top // most)] if count else "·" for count in counts)


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low} each" if low == high else f"{low} to {high}"
