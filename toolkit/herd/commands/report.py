"""``herd report``."""

from __future__ import annotations

from pathlib import Path

import click

from herd.errors import UsageError


@click.command(name="report")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--no-picture", is_flag=True, help="Don't redraw overview.png and overview.svg.")
def command(directory: Path, as_json: bool, no_picture: bool) -> None:
    """Print a recording's summary and redraw its picture; needs no root and no kernel.

    \b
    Examples:
      herd report results/20260131-101500-accept-n32
      herd report results/20260131-101500-accept-n32 --json | jq .fairness
    """
    from herd import plots
    from herd.commands import _show
    from herd.recording.read import load

    recording = load(directory)
    _show.result(recording, as_json=as_json)
    if no_picture:
        return
    try:
        plots.save_into(directory, "overview", recording)
    except OSError as error:
        raise UsageError(
            f"cannot write the picture: {error.strerror}: {error.filename}",
            "leave it out: --no-picture",
        ) from error
