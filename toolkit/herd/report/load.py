"""A load's result as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from herd.traffic.capacity import Capacity
from herd.traffic.log import pause_note

if TYPE_CHECKING:
    from herd.traffic.result import Result, Times

_HEADINGS = ("p50", "p90", "p99", "p99.9", "max")


def lines(found: Result | Capacity) -> Iterator[str]:
    """One load, or those of a search for the capacity."""
    if isinstance(found, Capacity):
        yield from _capacity(found)
    else:
        yield from _load(found)


def _load(result: Result) -> Iterator[str]:
    plan = result.plan
    processes = f"{plan.processes} process{'es' if plan.processes > 1 else ''}"
    yield f"{plan.target}: {plan.pattern} pattern, {plan.request} requests, {processes}"
    yield f"connections     {_counts(result)}"
    if plan.requests > 1:
        yield f"requests        {result.requests:,} answered"
    if result.errors:
        named = ", ".join(f"{name} {count:,}" for name, count in result.errors.items())
        yield f"errors          {named}"
    if result.paused_s:
        yield f"paused          {pause_note(result.paused_s)}"
    rate = "unknown" if result.rate is None else f"{result.rate:,.0f} connections/s"
    yield f"rate            {rate}, {result.seconds:.2f} s"
    yield f"{'µs':<14}" + "".join(f"{heading:>10}" for heading in _HEADINGS)
    for name, times in result.phases().items():
        yield _row(name.replace("_", " "), times)
    yield _row("schedule error", result.schedule_error())


def _counts(result: Result) -> str:
    counts = (
        f"{result.attempted:,} attempted: {result.completed:,} completed, {result.failed:,} failed"
    )
    missed = f"; {result.missed:,} more were due and not started" if result.missed else ""
    return counts + missed


def _row(name: str, times: Times) -> str:
    found = times.percentiles()
    values = [f"{found[heading]:10.1f}" if found else f"{'-':>10}" for heading in _HEADINGS]
    return f"{name:<14}" + "".join(values)


def _capacity(found: Capacity) -> Iterator[str]:
    rate = found.closed.rate
    if rate is None:
        yield "capacity        unknown"
        return
    yield f"capacity        {rate:,.0f} connections/s (closed loop)"
    yield f"{'load':>6}{'offered/s':>12}{'done/s':>12}{'failed':>8}" + "".join(
        f"{heading + ' µs':>12}" for heading in ("p50", "p99", "max")
    )
    for share, step in found.steps:
        last = list(step.phases().values())[-1].percentiles()
        times = [f"{last[name]:12.1f}" if last else f"{'-':>12}" for name in ("p50", "p99", "max")]
        done = f"{step.rate or 0:12,.0f}"
        yield f"{share:6.0%}{step.plan.rate or 0:12,.0f}{done}{step.failed:8,}" + "".join(times)
