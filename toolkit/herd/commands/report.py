"""``herd report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from herd.errors import UsageError

if TYPE_CHECKING:
    from herd.compare import Comparison
    from herd.experiments.result import Result
    from herd.recording.read import Recording

_STDOUT: Final = Path("-")


@click.command(name="report", short_help="Print a recording's summary, or make a page of it.")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--no-picture", is_flag=True, help="Don't redraw its picture, such as overview.png.")
@click.option("--html", is_flag=True, help="Write one file for a browser instead; print its path.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Where --html writes; - is stdout.  [default: report.html in DIRECTORY]",
)
def command(
    directory: Path, as_json: bool, no_picture: bool, html: bool, output: Path | None
) -> None:
    """Print a recording's summary and redraw its picture; needs no root and no kernel.

    DIRECTORY is what herd run, herd observe, herd compare or herd experiment wrote.
    The page of --html needs no server, no network and no other file: pictures, a timeline of all wakeups to
    zoom and filter, tables to sort, the environment, the laws, and how to repeat the run.

    \b
    Examples:
      herd report results/20260131-101500-accept-n32
      herd report results/20260131-101500-accept-n32 --json | jq .fairness
      herd report results/20260131-101500-accept-n32 --html
      herd report results/20260131-101500-compare --html
      xdg-open $(herd report results/nginx --html --output nginx.html)
    """
    if html and as_json:
        raise UsageError("--html and --json are two reports", "ask for one of them")
    if output and not html:
        raise UsageError("--output is where --html writes", "add --html")
    if html:
        _save(_page(directory), output or directory / "report.html")
        return
    picture, recordings = _show(directory, as_json)
    if recordings and not no_picture:
        _draw(directory, picture, recordings)


def _comparison(directory: Path) -> Comparison | None:
    """What is there, if it isn't a single recording."""
    from herd import compare

    return compare.load(directory) if (directory / compare.FILE).is_file() else None


def _experiment(directory: Path) -> Result | None:
    """Likewise."""
    from herd.experiments import result

    return result.load(directory) if (directory / result.FILE).is_file() else None


def _page(directory: Path) -> str:
    from herd.recording.read import load
    from herd.report import html

    experiment = _experiment(directory)
    if experiment:
        return html.of_experiment(experiment)
    compared = _comparison(directory)
    return html.of_comparison(compared) if compared else html.of_run(load(directory))


def _save(page: str, output: Path) -> None:
    from herd.report import html

    if output == _STDOUT:
        click.echo(page, nl=False)
        return
    html.save(page, output)
    click.echo(output)


def _show(directory: Path, as_json: bool) -> tuple[str, list[Recording]]:
    """Print what is there; returns the name of its picture, and what that is drawn from, if it has one."""
    from herd.commands import _show
    from herd.recording.read import load

    experiment = _experiment(directory)
    if experiment:
        _show.experiment(experiment, as_json=as_json)
        return "", []
    compared = _comparison(directory)
    if compared:
        _show.comparison(compared, as_json=as_json)
        return "comparison", compared.runs
    recording = load(directory)
    _show.result(recording, as_json=as_json)
    return "overview", [recording]


def _draw(directory: Path, picture: str, recordings: list[Recording]) -> None:
    from herd import plots

    try:
        plots.save_into(directory, picture, *recordings)
    except OSError as error:
        raise UsageError(
            f"cannot write the picture: {error.strerror}: {error.filename}",
            "leave it out: --no-picture",
        ) from error
