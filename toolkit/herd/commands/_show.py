"""What the commands that run something show: progress on stderr, then the result on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from herd.compare import Comparison
    from herd.experiments.result import Result
    from herd.recording.read import Recording
    from herd.runner import Progress
    from herd.traffic.capacity import Capacity
    from herd.traffic.result import Result as LoadResult


def console() -> Console:
    """Stdout, for words that may hold brackets; without a terminal nothing is wrapped."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 200
    return Console(width=width, markup=False, highlight=False)


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda what, done, total: None
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            if what != bar.tasks[0].description:
                bar.reset(task, description=what, total=total or None)
            bar.update(task, completed=done)

        yield show


def picture(figure: Figure, output: Path) -> None:
    """Write a picture, and say so on stderr."""
    from herd import plots
    from herd.errors import UsageError

    try:
        plots.save(figure, output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"drawn: {output}", err=True)


def result(recording: Recording, *, as_json: bool, quiet: bool = False) -> None:
    """A recording's summary: one JSON object, or text."""
    if as_json:
        click.echo(json.dumps(recording.summary, allow_nan=False))
    elif not quiet:
        from herd.report.text import print_summary

        print_summary(recording.summary, console())


def comparison(found: Comparison, *, as_json: bool, quiet: bool = False) -> None:
    """Several recordings side by side, likewise."""
    if as_json:
        click.echo(json.dumps(found.as_json(), allow_nan=False))
    elif not quiet:
        from herd.report.compare import table

        console().print(table([run.summary for run in found.runs]))
        for entry in found.unavailable:
            click.echo(f"{entry['strategy']} on {entry['kernel']}: {entry['why']}")
        click.echo(f"recordings: {found.path}")


def load(found: LoadResult | Capacity, *, as_json: bool, quiet: bool = False) -> None:
    """What a load has measured, likewise."""
    if as_json:
        click.echo(json.dumps(found.as_json(), allow_nan=False))
    elif not quiet:
        from herd.report.load import lines

        click.echo("\n".join(lines(found)))


def experiment(found: Result, *, as_json: bool) -> None:
    """An experiment's claims, likewise."""
    if as_json:
        click.echo(json.dumps(found.as_json(), allow_nan=False))
        return
    from herd.report.experiment import print_result

    print_result(found, console())
