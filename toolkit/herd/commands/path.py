"""``herd path``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herd.commands._options import Picture

if TYPE_CHECKING:
    from rich.table import Table


@click.command(name="path", short_help="Follow one connection of a recording through the kernel.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--arrival", "-a", type=int, default=1, show_default=True, help="Number of the connection."
)
@click.option("--output", "-o", type=Picture(), help="Draw it: .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of steps.")
def command(run: Path, arrival: int, output: Path | None, as_json: bool) -> None:
    """Follow one connection of a recording: arrival, notification, who wakes, who accepts.

    With the functions of today's kernel, beside the names that the article of the 2.6 era gives them, if the
    recording was made with --probe functions; else with what the tracepoints saw.

    \b
    Examples:
      herd run -s accept -n 4 -c 10 --rate settled --kernel 6.12 -o results/path
      herd path results/path
      herd path results/path --arrival 7 --output path.svg
      herd path results/path --json | jq '.[].function'
    """
    from herd import families
    from herd.analysis.path import path
    from herd.recording.read import load

    recording = load(run)
    steps = path(recording, arrival)
    if as_json:
        click.echo(json.dumps(steps))
    else:
        tcp = families.of(recording.run["config"]).tcp
        _print(steps, "softirq" if tcp else "client", has_calls=not recording.calls.empty)
    if output:
        from herd.commands import _show
        from herd.plots import path as picture

        _show.picture(picture.draw(recording, arrival), output)


def _print(steps: list[dict[str, Any]], notifier: str, *, has_calls: bool) -> None:
    from herd.commands import _show

    _show.console().print(_table(steps, notifier))
    if not has_calls:
        click.echo("Recorded without function probes: the steps between are not known.")


def _table(steps: list[dict[str, Any]], notifier: str) -> Table:
    from rich.table import Table

    from herd.analysis.path import STEPS

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("µs", justify="right")
    table.add_column("CPU", justify="right")
    table.add_column("pid", justify="right")
    for title in ("function", "the article's", "what"):
        table.add_column(title)
    begin = next(step["time_ns"] for step in steps if step["pid"] is None)
    for step in steps:
        table.add_row(
            f"{(step['time_ns'] - begin) / 1000:.1f}",
            _text(step["cpu"]),
            _text(step["pid"]) or notifier,
            "  " * step["depth"] + step["function"],
            STEPS.get(step["function"], ("", ""))[1],
            step["what"],
        )
    return table


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
