"""``herd compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from herd.commands._options import Late, add_run_options, config_from, no_picture, run_options
from herd.errors import HerdError, HostError

if TYPE_CHECKING:
    from herd.compare import Comparison


@click.command(
    cls=Late,
    late=add_run_options,
    name="compare",
    short_help="Run the same load under several strategies or kernels.",
)
@click.option("--strategies", "-S", help="Names, or 'all'.  [default: that of --strategy]")
@click.option("--kernels", "-K", help="Such as 6.1,6.12,host.  [default: that of --kernel]")
@run_options
@no_picture
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def command(
    strategies: str | None,
    kernels: str | None,
    as_json: bool,
    quiet: bool,
    no_picture: bool,
    **flags: Any,
) -> None:
    """Run the same load under several strategies, on several kernels, and set the results side by side.

    A config file may say `strategies` and `kernels`, too. All runs on one kernel share one boot of it.

    \b
    Examples:
      herd compare --strategies all -n 16 -c 200 --rate settled
      herd compare -S all -n 16 --rate settled --family unix
      herd compare -S accept,epoll -K 6.1,6.12,host -n 16 -c 101 --rate settled
      herd compare --config experiments/compare/cross-validation.toml --json | jq '.runs[].integrity.ok'
    """
    from herd import compare
    from herd.commands import _show

    config, swept = config_from(also=("strategies", "kernels"), **flags)
    wanted = strategies or swept.get("strategies") or config.strategy
    where = kernels or swept.get("kernels") or config.kernel
    with _show.progress(quiet or as_json) as progress:
        found = compare.compare(
            config,
            compare.strategies_of(wanted),
            [k.strip() for k in where.split(",")],
            progress,
            picture=not no_picture,
        )
    _show.comparison(found, as_json=as_json, quiet=quiet)
    if not found.ok:
        _complain(found)
        click.get_current_context().exit(HerdError.exit_code)
    if not found.runs:
        click.get_current_context().exit(HostError.exit_code)


def _complain(found: Comparison) -> None:
    from herd.report.text import not_sound

    for run in found.runs:
        if not run.run["integrity"]["ok"]:
            who = f"{run.run['config']['strategy']} on {run.run['config']['kernel']}"
            click.echo(f"herd: {who}: {not_sound(run.run['integrity'])}", err=True)
    for entry in found.failed:
        click.echo(f"herd: {entry['strategy']} on {entry['kernel']}: {entry['why']}", err=True)
