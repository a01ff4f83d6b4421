"""``herd plot``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herd.commands._options import Picture
from herd.errors import UsageError

if TYPE_CHECKING:
    from herd.recording.read import Recording


@click.command(name="plot", short_help="Draw a picture of recordings.")
@click.argument("name", required=False)
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--list", "listing", is_flag=True, help="Say what pictures there are.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.option("--connection", "-c", type=int, help="Which one to follow.  [default: the median]")
@click.option(
    "--output",
    "-o",
    type=Picture(),
    help="Draw here: .png, .svg or .pdf.  [default: NAME.png in RUN; here, if there are several RUNs]",
)
def command(
    name: str | None,
    runs: tuple[Path, ...],
    listing: bool,
    as_json: bool,
    connection: int | None,
    output: Path | None,
) -> None:
    """Draw a picture of recordings; needs no root and no kernel.

    RUN is a recording, or a folder that holds some, such as herd compare makes. Recordings that
    repeat one another, alike but for seed and place, are taken together: their mean is drawn, with its
    95 % confidence interval.

    \b
    Examples:
      herd plot --list
      herd plot raster results/20260131-101500-epoll-n16
      herd plot connection results/20260131-101500-epoll-n16 --connection 7 -o seven.svg
      herd plot heat results/20260131-101500-compare
      herd plot scaling results/n2 results/n4 results/n8 -o scaling.pdf
    """
    if listing:
        if runs:
            raise UsageError("--list takes no RUN", "leave it out")
        _list(name, as_json=as_json)
        return
    if as_json:
        raise UsageError("--json is of the list of pictures", "add --list")
    if name is None or not runs:
        raise UsageError("name a picture, and what to draw it of", "herd plot NAME RUN; --list")
    _draw(name, runs, connection, output)


def _list(name: str | None, *, as_json: bool) -> None:
    from herd import plots

    if name is not None:
        raise UsageError(f"--list says what pictures there are, and not of {name}", "leave it out")
    rows: list[dict[str, Any]] = [
        {
            "name": each,
            "shows": plots.means(each),
            "several": plots.several(each),
            "needs": plots.needs(each) or None,
        }
        for each in plots.names()
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        click.echo(f"{row['name']:{width}}  {row['shows']}")
        of = "of one recording or several" if row["several"] else "of one recording"
        click.echo(f"{'':{width}}    {of}" + (f"; needs {row['needs']}" if row["needs"] else ""))


def _draw(name: str, runs: tuple[Path, ...], connection: int | None, output: Path | None) -> None:
    from herd import plots
    from herd.analysis import groups
    from herd.commands import _show

    chosen = {} if connection is None else {"connection": connection}
    plots.needs(name)  # that it's there, before anything is read
    for option in chosen:
        if not plots.takes(name, option):
            raise UsageError(f"picture {name} takes no --{option}", "leave it out")
    recordings = groups.find(runs)
    usable = plots.usable(name, recordings)
    _say_left_out(name, recordings, usable)
    figure = plots.draw(name, *usable, **chosen)
    _show.picture(figure, output or (runs[0] if len(runs) == 1 else Path()) / f"{name}.png")


def _say_left_out(name: str, recordings: list[Recording], usable: list[Recording]) -> None:
    from herd import plots

    for recording in recordings:
        if recording not in usable:
            click.echo(f"left out: {recording.path}: it needs {plots.needs(name)}", err=True)
