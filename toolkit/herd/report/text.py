"""A run's summary as text: what was asked, what was seen, whether it adds up, where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

_BARS: Final = "▁▂▃▄▅▆▇█"
_BARS_A_LINE: Final = 64
_LEVEL_STYLES: Final = {"fine": "green", "worth knowing": "yellow", "worth fixing": "bold yellow"}
_LATENCIES: Final = {
    "wake_latency": "wake latency",
    "queue_delay": "queue delay",
    "connect": "connect",
    "first_byte": "first byte",
}


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print it; a broken conservation law comes first.

    :param summary: what ``herd run --json`` prints
    """
    integrity = summary["integrity"]
    if not integrity["ok"]:
        console.print(Text(broken(integrity), "bold red"))
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
    for line in _notes(summary):
        console.print(Text(line))


def broken(integrity: dict[str, Any]) -> str:
    """The laws that are broken, a line each, with what was counted."""
    laws = [f"{c['name']}: {c['detail']}" for c in integrity["checks"] if c["ok"] is False]
    return "NOT SOUND: " + "\n           ".join(laws)


def _grid() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _figures(summary: dict[str, Any]) -> Table:
    table = _grid()
    for name, value in _rows(summary):
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table


def _rows(summary: dict[str, Any]) -> Iterator[tuple[str, str | Text]]:
    wakeups, prediction = summary["wakeups"], summary["prediction"]
    yield "wakeups/connection", _per_connection(wakeups["per_connection"], prediction)
    if wakeups["total"] is not None:
        yield (
            "wakeups",
            f"{wakeups['total']} = {wakeups['productive']} productive + {wakeups['wasted_in_kernel']} wasted"
            f" in kernel + {wakeups['wasted_in_user']} wasted in user space;"
            f" {_apart(wakeups)}",
        )
    if summary["signals"] and summary["accepts"]:
        each = summary["signals"] / summary["accepts"]
        yield "signals/connection", f"{each:.2f}  ({summary['signals']} received by the workers)"
    if prediction["who"]:
        yield "predicted to wake", prediction["who"]
    unknown = summary["accepts"] is None
    yield "fairness", "unknown" if unknown else _fairness(summary["fairness"])
    yield "cost/connection", _cost(summary["cost"])
    if "overhead" in summary:
        yield "overhead of looking", _overhead(summary["overhead"])


def _per_connection(each: float | None, prediction: dict[str, Any]) -> Text:
    expected, held = prediction["expected"], prediction["held"]
    predicted = "" if expected is None else f"predicted {expected:g}"
    if each is None:
        return Text(f"unknown ({predicted})" if predicted else "unknown", "yellow")
    text = Text(f"{each:.2f}")
    if not predicted:
        return text
    if held is None:
        return text + Text(f"  ({predicted}, when idle)")
    words = ("held", "green") if held else ("NOT held; it is for idle workers", "yellow")
    return text + Text(f"  ({predicted}: ") + Text(*words) + Text(")")


def _apart(wakeups: dict[str, Any]) -> str:
    """Wakeups that no arrival caused, and those that it caused through another worker."""
    parts = [f"{wakeups[name]} {name}" for name in ("chained", "lock", "handoff") if wakeups[name]]
    return ", ".join([*parts, f"{wakeups['other_causes']} of other causes"])


def _fairness(fairness: dict[str, float | None]) -> str:
    if fairness["jain"] is None:
        return "nothing was accepted"
    text = f"Jain {fairness['jain']:.3f} (1 is even), busiest worker {fairness['max_over_mean']:.2f} x mean"
    if fairness["chi2_p"] is not None:
        text += f", χ² p = {fairness['chi2_p']:.2g}"
    return text


def _cost(cost: dict[str, float | None]) -> str:
    if cost["cpu_us_per_connection"] is None:
        return "unknown"
    text = f"{cost['cpu_us_per_connection']:.0f} µs of workers' CPU"
    if cost["wasted_cpu_us_per_connection"] is not None:
        text += f" ({cost['wasted_cpu_us_per_connection']:.0f} µs in wasted wakeups)"
    return text + f", {cost['switches_per_connection']:.1f} context switches"


def _overhead(overhead: dict[str, float | None]) -> str:
    if overhead["programs_cpu"] is None or overhead["reader_cpu"] is None:
        return "unknown"
    return (
        f"{overhead['programs_cpu']:.2%} of one CPU in the kernel ({overhead['programs_ns_per_run']:.0f} ns"
        f" an event, of all tasks), {overhead['reader_cpu']:.2%} to read"
    )


def _latencies(latency: dict[str, dict[str, float] | None], comparable: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    table.add_column("µs", no_wrap=True)
    for name in ("p50", "p99", "max"):
        table.add_column(name, justify="right")
    for key, name in _LATENCIES.items():
        values = latency[key]
        cells = [f"{values[q]:.1f}" for q in ("p50", "p99", "max")] if values else ["unknown"]
        table.add_row(f"{name:18}", *cells)
    if not comparable:
        table.caption = "in an emulated guest: not comparable with another run's"
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


def _death(death: dict[str, Any], migrate: str | None) -> str:
    """What became of a dead worker's connections."""
    parts = [f"accepted and then failed: {_errors(death['in_hand'])}"]
    if death["handed_on"]:
        parts.append(f"accepted by another and then failed: {_errors(death['handed_on'])}")
    if death["shares_queue"]:
        parts.append("its accept queue is the others', too")
    else:
        parts.append(f"in its accept queue: {_queue(death['queue'])}, tcp_migrate_req is {migrate}")
    after = death["accepted_after"]
    parts.append(f"accepted by the others afterwards: {'unknown' if after is None else after}")
    return (
        f"worker {death['worker']} (pid {death['pid']}) {death['how']} at {death['at_s']:.3f} s; "
        + ("; ".join(parts))
    )


def _queue(queue: dict[str, dict[str, int]] | None) -> str:
    if queue is None:
        return "unknown"
    moved = [f"{count} migrated to worker {worker}" for worker, count in queue["migrated"].items()]
    lost = [f"{_errors(queue['lost'])} lost"] if queue["lost"] else []
    return ", ".join(moved + lost) or "none"


def _errors(errors: dict[str, int] | None) -> str:
    if errors is None:
        return "unknown"
    return ", ".join(f"{count} {name}" for name, count in errors.items()) or "none"


def _notes(summary: dict[str, Any]) -> Iterator[str]:
    for note in summary["notes"]:
        yield f"note: {note}"
    for death in summary["deaths"] or ():
        yield _death(death, summary["host"].get("sysctls", {}).get("net.ipv4.tcp_migrate_req"))
    integrity = summary["integrity"]
    checks = integrity["checks"]
    held = sum(1 for c in checks if c["ok"])
    untold = [c["name"] for c in checks if c["ok"] is None]
    line = f"integrity: {'ok' if integrity['ok'] else 'BROKEN'}, {held} of {len(checks)} laws held"
    yield line + (f"; can't be told: {', '.join(untold)}" if untold else "")
    yield f"recording: {summary['run']}"
