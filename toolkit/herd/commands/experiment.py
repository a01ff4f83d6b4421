"""``herd experiment``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from herd.errors import HerdError

if TYPE_CHECKING:
    from herd.experiments.bench import Performer
    from herd.experiments.definition import Definition

_as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."
)
_quick = click.option(
    "--quick", is_flag=True, help="The smaller sweep, for a class or CI: five minutes at most."
)


@click.group(
    name="experiment",
    short_help="Run a sweep, and check claims that were written before.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """Run an experiment: a sweep of runs, and claims about them that were written before.

    NAME is one of herd experiment list, or the path of a .toml file (docs/experiments.md: how to write one).

    \b
    Examples:
      herd experiment list
      herd experiment run wake-order --quick
      herd experiment show wake-order
      herd experiment report wake-order --html
    """


@command.command(name="run")
@click.argument("name")
@_quick
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder for its recordings.  [default: results/experiments/NAME, or NAME-quick]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Do the runs on the workers of a Dask scheduler, one at a time on each machine.",
)
@_as_json
def run(name: str, quick: bool, output: Path | None, scheduler: str | None, as_json: bool) -> None:
    """Do the runs that are not there yet, keep each, and judge the claims.

    Interrupted, the same command goes on from there. A claim that failed is a result: it exits with 1.

    \b
    Examples:
      herd experiment run wake-order --quick
      herd experiment run exclusive --output results/monday
      herd experiment run exclusive --scheduler tcp://10.0.0.1:8786
      herd experiment run wake-order --quick --json | jq '.claims[] | select(.held == false)'
    """
    from herd.commands import _show
    from herd.experiments import bench
    from herd.supervisor import heed_interrupts

    definition, title = _read(name)
    heed_interrupts()
    folder = output or bench.default_folder(title, quick=quick)
    with _show.progress(as_json) as progress:
        result = bench.run(
            title, definition, folder, progress, quick=quick, perform=_performer(scheduler)
        )
    _show.experiment(result, as_json=as_json)
    if result.failed:
        click.get_current_context().exit(HerdError.exit_code)


def _read(name: str) -> tuple[Definition, str]:
    from herd.experiments import locate
    from herd.experiments.definition import read

    path = locate(name)
    return read(path), path.stem


def _performer(scheduler: str | None) -> Performer:
    from herd.experiments import local

    if scheduler is None:
        return local.perform
    from herd.experiments import cluster

    return partial(cluster.perform, scheduler)


@command.command(name="list")
@_as_json
def list_all(as_json: bool) -> None:
    """Show what experiments there are: those in ./experiments, and those that came with herd."""
    from herd.commands import _show
    from herd.experiments import names
    from herd.report import experiment

    found = [experiment.summary(name, _read(name)[0]) for name in names()]
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show.console().print(experiment.listing(found))


@command.command(name="show")
@click.argument("name")
@_as_json
def show(name: str, as_json: bool) -> None:
    """Show an experiment's question, what was published, its sweep and its claims."""
    import msgspec

    from herd.commands import _show
    from herd.report import experiment

    definition, title = _read(name)
    if as_json:
        whole = experiment.summary(title, definition) | msgspec.to_builtins(definition)
        click.echo(json.dumps(whole))
    else:
        experiment.print_definition(title, definition, _show.console())


@command.command(name="report")
@click.argument("name")
@_quick
@_as_json
@click.option("--html", is_flag=True, help="Write one file for a browser instead; print its path.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Where --html writes; - is stdout.  [default: report.html in the folder]",
)
@click.pass_context
def report(
    context: click.Context, name: str, quick: bool, as_json: bool, html: bool, output: Path | None
) -> None:
    """Judge the claims by what is recorded; needs no root and no kernel.

    NAME is an experiment's, or the folder of its recordings.

    \b
    Examples:
      herd experiment report wake-order --quick
      herd experiment report results/monday --html
    """
    from herd.commands.report import command as report_of
    from herd.experiments import result
    from herd.experiments.bench import default_folder

    folder = Path(name)
    if not folder.is_dir():
        folder = default_folder(folder.name.removesuffix(".toml"), quick=quick)
    result.load(folder)  # that there is one
    context.invoke(
        report_of, directory=folder, as_json=as_json, html=html, output=output, no_picture=True
    )
