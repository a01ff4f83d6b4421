"""``herd report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from herd.errors import UsageError

if TYPE_CHECKING:
    from herd.recording.read import Recording

_STDOUT: Final = Path("-")


@click.command(name="report")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--no-picture", is_flag=True, help="Don't redraw overview.png and overview.svg.")
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

    The page of --html needs no server, no network and no other file: pictures, a timeline of all wakeups to
    zoom and filter, tables to sort, the environment, the laws, and how to repeat the run.

    \b
    Examples:
      herd report results/20260131-101500-accept-n32
      herd report results/20260131-101500-accept-n32 --json | jq .fairness
      herd report results/20260131-101500-accept-n32 --html
      xdg-open $(herd report results/nginx --html --output nginx.html)
    """
    from herd.recording.read import load

    if html and as_json:
        raise UsageError("--html and --json are two reports", "ask for one of them")
    if output and not html:
        raise UsageError("--output is where --html writes", "add --html")
    recording = load(directory)
    if html:
        _page(recording, output or directory / "report.html")
    else:
        _summary(recording, as_json=as_json, no_picture=no_picture)


def _page(recording: Recording, output: Path) -> None:
    from herd.report import html

    page = html.of_run(recording)
    if output == _STDOUT:
        click.echo(page, nl=False)
        return
    html.save(page, output)
    click.echo(output)


def _summary(recording: Recording, *, as_json: bool, no_picture: bool) -> None:
    from herd import plots
    from herd.commands import _show

    _show.result(recording, as_json=as_json)
    if no_picture:
        return
    try:
        plots.save_into(recording.path, "overview", recording)
    except OSError as error:
        raise UsageError(
            f"cannot write the picture: {error.strerror}: {error.filename}",
            "leave it out: --no-picture",
        ) from error
