"""``herd run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from herd.commands._options import Late, add_run_options, config_from, no_picture, run_options
from herd.errors import HerdError

if TYPE_CHECKING:
    from herd.config import RunConfig
    from herd.recording.read import Recording
    from herd.runner import Progress


@click.command(
    cls=Late,
    late=add_run_options,
    name="run",
    short_help="Run an experiment: N workers wait on one port.",
)
@run_options
@no_picture
@click.option("--dry-run", is_flag=True, help="Print the effective config as TOML and stop.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def command(dry_run: bool, as_json: bool, quiet: bool, no_picture: bool, **flags: Any) -> None:
    """Run an experiment: N workers wait on one port, connections come, and the kernel is watched.

    Measuring wakeups takes root (see herd doctor); without, the rest is measured and they are unknown.

    \b
    Examples:
      herd run --strategy accept -n 32
      herd run --strategy epoll -n 16 --rate settled -c 100
      herd run -s reuseport -n 8 --rate 2000 --work 100 --hold 5ms
      herd run -s epoll -n 16 --pool threads --rate settled
      herd run -s epoll -n 4 --json | jq .wakeups.per_connection
      herd run -s epoll -n 16 -c 100 --rate settled --kernel 6.1
      herd run -s accept -n 16 --family unix
      herd run -s epoll-exclusive -n 8 --dry-run > run.toml; herd run --config run.toml
    """
    config = config_from(**flags)[0].resolved()
    if dry_run:
        from herd.config import to_toml

        click.echo(to_toml(config), nl=False)
        return
    from herd.commands import _show

    try:
        with _show.progress(quiet or as_json) as progress:
            recording = _run(config, progress, picture=not no_picture)
    except HerdError as error:
        if error.recording is not None:
            _show.result(error.recording, as_json=as_json, quiet=quiet)
        raise
    _show.result(recording, as_json=as_json, quiet=quiet)
    if not recording.run["integrity"]["ok"]:
        click.get_current_context().exit(HerdError.exit_code)


def _run(config: RunConfig, progress: Progress, *, picture: bool) -> Recording:
    if config.kernel != "host":
        from herd.kernels.run import run as run_elsewhere

        return run_elsewhere(config, progress, picture=picture)
    from herd import runner

    return runner.run(config, progress, picture=picture)
