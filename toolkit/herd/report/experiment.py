"""An experiment in words, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from herd.experiments.claims import Verdict, expectation
from herd.experiments.sweep import DEFAULTS, swept
from herd.nested import flat

if TYPE_CHECKING:
    from rich.console import Console

    from herd.experiments.definition import Definition, Source
    from herd.experiments.result import Result

_VERDICTS = {True: ("held", "green"), False: ("FAILED", "bold red"), None: ("can't tell", "yellow")}


def summary(name: str, definition: Definition) -> dict[str, Any]:
    """A row of ``herd experiment list``; times are estimates."""
    full, quick = definition.design(), definition.design(quick=True)
    return {
        "name": name,
        "question": definition.question,
        "runs": len(full.runs()),
        "seconds": round(full.seconds()),
        "quick_runs": len(quick.runs()),
        "quick_seconds": round(quick.seconds()),
    }


def listing(summaries: Sequence[dict[str, Any]]) -> Table:
    """All of them."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("experiment", no_wrap=True)
    table.add_column("question", overflow="fold")
    for column in ("runs", "takes about", "--quick runs", "takes about"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in summaries:
        table.add_row(
            row["name"],
            row["question"],
            str(row["runs"]),
            _time(row["seconds"]),
            str(row["quick_runs"]),
            _time(row["quick_seconds"]),
        )
    return table


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def print_definition(name: str, definition: Definition, console: Console) -> None:
    """What is asked, what was published, what will be run, what is claimed."""
    console.print(Text(f"{name}: {definition.question}", "bold"))
    for source in definition.source:
        _print_source(source, console)
    quick = flat(definition.quick.sweep)
    console.print("\nsweep")
    for key, values in swept(definition.sweep).items():
        small = f"  (--quick: {_list(quick[key])})" if key in quick else ""
        console.print(f"  {key}: {_list(values)}{small}")
    for key, default in DEFAULTS.items():
        small = f"  (--quick: {quick[key]})" if key in quick else ""
        console.print(f"  {key}: {definition.sweep.get(key, default)}{small}")
    fixed = ", ".join(f"{key} {value}" for key, value in flat(definition.run).items())
    console.print(f"  always: {fixed}" if fixed else "")
    console.print("\nclaims")
    for claim in definition.claims:
        console.print(f"  {claim.name}: {claim.statement}")
        console.print(Text(f"    {expectation(claim)}\n    why: {claim.why}", "dim"))
    if definition.discussion:
        console.print(f"\n{definition.discussion.strip()}")


def _print_source(source: Source, console: Console) -> None:
    commit = f"commit {source.commit}" if source.commit else None
    console.print(f"\nsource: {', '.join(filter(None, (source.title, commit, source.url)))}")
    for figure in source.figures:
        console.print(f"  published: {figure}")


def _list(values: Any) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) else str(values)


def print_result(result: Result, console: Console) -> None:
    """The claims' table, the answer, and what is missing."""
    state = result.state
    console.print(Text(state.definition.question, "bold"))
    console.print(claims(result.claims))
    console.print(f"{result.answer}")
    for outcome in result.missing[:_SHOWN]:
        console.print(f"no figures of {outcome.run.name}: {outcome.why}")
    if len(result.missing) > _SHOWN:
        console.print(f"… and of {len(result.missing) - _SHOWN} more runs")
    console.print(f"recordings: {len(result.recordings)} runs in {result.path}")


_SHOWN = 5


def claims(verdicts: Sequence[Verdict]) -> Table:
    """A row a claim."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("claim", "verdict", "expected", "measured"):
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        word, style = _VERDICTS[verdict.held]
        measured = (
            verdict.measured if verdict.held is not None else f"{verdict.measured}: {verdict.why}"
        )
        table.add_row(verdict.statement, Text(word, style), verdict.expected, measured)
    return table
