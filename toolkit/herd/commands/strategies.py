"""``herd strategies``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from herd.strategies import Prediction


def describe(name: str, workers: int) -> dict[str, Any]:
    """What a strategy says of itself, and whether it can run here; one that fails is named, not fatal."""
    from herd import strategies
    from herd.errors import HerdError
    from herd.strangers import guarded

    try:
        found = strategies.find(name)
        with guarded("it failed"):
            why_not = found.unavailable()
            says = _prediction(found.predict(workers))
            return _entry(name, found.summary, why_not, says, found().why_not_threads())
    except HerdError as error:
        return _entry(name, "", error.message, None, None)


def _prediction(predicts: Prediction) -> dict[str, Any]:
    says = {"per_connection": predicts.expected, "low": predicts.low, "high": predicts.high}
    return says | {"who": predicts.who, "why": predicts.why}


def _entry(
    name: str,
    summary: str,
    why_not: str | None,
    predicts: dict[str, Any] | None,
    why_not_threads: str | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "summary": summary,
        "available": why_not is None,
        "why_not": why_not,
        "predicts": predicts,
        "why_not_threads": why_not_threads,
    }


def _print(entries: list[dict[str, Any]], workers: int) -> None:
    from rich.table import Table

    from herd.commands import _show

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("strategy", "what it is", f"wakeups per connection (n={workers})", "who wakes"):
        table.add_column(title)
    for entry in entries:
        predicts = entry["predicts"]
        expected = f"{predicts['per_connection']:g}" if predicts else "?"
        who = predicts["who"] if predicts else ""
        if not entry["available"]:
            who = f"cannot run here: {entry['why_not']}"
        what = entry["summary"]
        if entry["why_not_threads"]:
            what += f"\nneeds processes: {entry['why_not_threads']}"
        table.add_row(entry["name"], what, expected, who)
    _show.console().print(table)


@click.command(name="strategies", short_help="List the ways to wait, and what each should show.")
@click.option(
    "--workers",
    "-n",
    type=click.IntRange(1, 1024),
    default=16,
    show_default=True,
    help="Predict for this many idle workers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects on stdout.")
def command(workers: int, as_json: bool) -> None:
    """List the ways to wait: what each is, what it should show, and whether it can run here.

    \b
    Examples:
      herd strategies
      herd strategies -n 1024
      herd strategies --json | jq '.[] | select(.available) | .name'
      herd strategies --json | jq '.[] | select(.why_not_threads == null) | .name'
    """
    from herd import strategies

    entries = [describe(name, workers) for name in strategies.names()]
    if as_json:
        click.echo(json.dumps(entries))
    else:
        _print(entries, workers)
