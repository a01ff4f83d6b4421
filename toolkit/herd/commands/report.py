"""``herd report``."""

from __future__ import annotations

import json
from pathlib import Path

import click


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
    from herd.recording.read import load

    recording = load(directory)
    if as_json:
        click.echo(json.dumps(recording.summary, allow_nan=False))
    else:
        from rich.console import Console

        from herd.report.text import print_summary

        print_summary(recording.summary, Console())
    if not no_picture:
        for suffix in ("png", "svg"):
            plots.save(plots.draw("overview", recording), directory / f"overview.{suffix}")
