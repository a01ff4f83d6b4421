"""``herd export``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from herd.errors import HerdError, UsageError

if TYPE_CHECKING:
    from herd.recording.read import Recording
    from herd.runner import Progress

_STDOUT: Final = Path("-")


@click.command(name="export", short_help="Write a recording for Perfetto, speedscope, or as CSV.")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--format", "-f", "name", help="Which; see --list.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="The file, or the folder; - is stdout.  [default: in RUN]",
)
@click.option("--list", "listed", is_flag=True, help="Say which formats there are.")
def command(run: Path | None, name: str | None, output: Path | None, listed: bool) -> None:
    """Write a recording for other programs; needs no root and no kernel.

    What is there already is never overwritten, and what is written is seen when it is whole. A recording
    without a probe's rows is exported as far as it goes; what it lacks is said on stderr.

    \b
    Examples:
      herd export --list
      herd export results/20260131-101500-accept-n32 --format perfetto    # open it in ui.perfetto.dev
      herd export results/20260131-101500-accept-n32 --format csv --output /tmp/tables
      herd export results/20260131-101500-accept-n32 --format speedscope --output - | gzip > profile.json.gz
    """
    from herd.recording.read import load

    if listed:
        _list()
        return
    if run is None or name is None:
        missing = "--format" if run else "RUN"
        raise UsageError(f"herd export needs {missing}", "herd export --list says which formats")
    _export(load(run), name, output)


def _list() -> None:
    from herd import export

    for name in export.names():
        click.echo(f"{name:12}{export.means(name)}")


def _export(recording: Recording, name: str, output: Path | None) -> None:
    from herd import export
    from herd.commands import _show

    lacking = export.without_rows(recording, name)
    with _show.progress(quiet=False) as progress:
        if output == _STDOUT:
            _to_stdout(recording, name, progress)
        else:
            click.echo(export.export(recording, name, output, progress))
    if lacking:
        probe = recording.run["host"]["probe"]
        said = f"note: this recording has no rows of {', '.join(lacking)} (probe {probe})"
        click.echo(said, err=True)


def _to_stdout(recording: Recording, name: str, progress: Progress) -> None:
    from herd import export

    if sys.stdout.isatty():
        raise UsageError("that isn't for a terminal", "send it to a file or a pipe, or --output")
    try:
        export.stream(recording, name, sys.stdout.buffer, progress)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        # Else Python's own flush at the end fails again, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise HerdError("who read from the pipe stopped early") from error
