"""``herd diff``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    name="diff", short_help="Say what changed between two recordings, and how sure that is."
)
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def command(before: Path, after: Path, as_json: bool) -> None:
    """Say what changed between two recordings: config, environment, and each figure, with an interval.

    BEFORE and AFTER are recordings, or folders that hold repeats of one config each. Between repeats the
    intervals are over runs, by bootstrap. Between two single recordings they are over connections, and don't
    cover how runs of one config differ from one another.

    \b
    Verdicts:
      changed          the interval of the change leaves out 0
      no change seen   it doesn't
      can't tell       the figure is unknown, has no interval, or isn't comparable: it says why

    \b
    Examples:
      herd diff results/20260131-101500-accept-n32 results/20260131-101600-epoll-n32
      herd diff results/before results/after --json | jq '.metrics[] | select(.verdict == "changed")'
    """
    from herd.analysis.diff import as_json as plain
    from herd.analysis.diff import diff
    from herd.commands import _show
    from herd.report.diff import print_diff

    found = diff(before, after)
    if as_json:
        click.echo(json.dumps(plain(found), allow_nan=False))
        return
    print_diff(found, _show.console())
