"""``herd run``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herd.errors import HerdError

if TYPE_CHECKING:
    from herd.recording.read import Recording
    from herd.runner import Progress

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "": 1.0}


class Seconds(click.ParamType[float]):
    """``250us``, ``50ms``, ``2s``, ``1m``; a plain number is seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Text to seconds."""
        text = str(value).strip()
        number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
        try:
            return float(number) * _UNITS[text[len(number) :]]
        except (KeyError, ValueError):
            self.fail(f"{text!r} is not a time; write it like 50ms or 2s")


class Rate(click.ParamType["float | str"]):
    """A number, or ``settled``."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Text to a number where it is one."""
        try:
            return float(value)
        except ValueError:
            return str(value)


def _pin(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    pins = {}
    for value in values:
        who, _, cpus = value.partition("=")
        if who not in ("workers", "load") or not cpus:
            raise click.BadParameter(f"{value!r}: write workers=LIST or load=LIST, such as load=1")
        pins[who] = cpus
    return pins or None


def _option(*names: str, **settings: Any) -> Any:
    return click.option(*names, **settings)


@click.command(name="run")
@_option("--strategy", "-s", help="How workers wait (see herd strategies).  [default: accept]")
@_option("--workers", "-n", type=int, help="Number of workers, 1 to 1024.  [default: 8]")
@_option("--connections", "-c", type=int, help="Connections to make.  [default: 1000]")
@_option("--rate", "-r", type=Rate(), help="Connections per second, evenly paced; or 'settled': the next only once every worker sleeps again.  [default: such that workers are idle in between]")
@_option("--duration", "-d", "duration_s", type=Seconds(), help="Stop sending after this time.")
@_option("--load-processes", type=int, help="Processes that connect.  [default: 1]")
@_option("--backlog", type=int, help="Of listen(2).  [default: 1024]")
@_option("--host", help="Loopback address, IPv4 or IPv6.  [default: 127.0.0.1]")
@_option("--port", "-p", type=int, help="Port to listen on.  [default: a free one]")
@_option("--work", "work_us", type=float, help="CPU time a worker spends on each connection, µs.  [default: 0]")
@_option("--hold", "hold_s", type=Seconds(), help="How long a worker keeps a connection open; one that blocks in accept sleeps meanwhile.  [default: 0]")
@_option("--pin", multiple=True, callback=_pin, metavar="workers=CPUS|load=CPUS", help="CPUs to use, such as --pin workers=0 --pin load=1.")
@_option("--seed", type=int, help="Chooses the source addresses.  [default: 1]")
@_option("--probe", help="How to see wakeups: auto, tracepoints or none.  [default: auto]")
@_option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file with these settings; flags win.")
@_option("--output", "-o", help="Folder for the recording.  [default: results/TIME-STRATEGY-nN]")
@_option("--timeout", "timeout_s", type=Seconds(), help="Give up after this time.  [default: generous]")
@_option("--dry-run", is_flag=True, help="Print the effective config as TOML and stop.")
@_option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else.")
@_option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def command(
    config_file: Path | None, dry_run: bool, as_json: bool, quiet: bool, **flags: Any
) -> None:
    """Run an experiment: N workers wait on one port, connections come, and the kernel is watched.

    Measuring wakeups takes root (see herd doctor); without, the rest is measured and they are unknown.

    \b
    Examples:
      herd run --strategy accept -n 32
      herd run --strategy epoll -n 16 --rate settled -c 100
      herd run -s reuseport -n 8 --rate 2000 --work 100 --hold 5ms
      herd run -s epoll -n 4 --json | jq .wakeups.per_connection
      herd run -s epoll-exclusive -n 8 --dry-run > run.toml; herd run --config run.toml
    """
    from herd import config as configs

    values = configs.read(config_file) if config_file else {}
    values |= {name: value for name, value in flags.items() if value is not None}
    if flags["rate"] is not None and config_file and flags["timeout_s"] is None:
        values.pop("timeout_s", None)
    config = configs.parse(values).resolved()
    if dry_run:
        click.echo(configs.to_toml(config), nl=False)
        return
    from herd import runner

    try:
        with _shown(quiet or as_json) as progress:
            recording = runner.run(config, progress)
    except HerdError as error:
        if error.recording is not None:
            _print(error.recording, as_json=as_json, quiet=quiet)
        raise
    _print(recording, as_json=as_json, quiet=quiet)
    if not recording.run["integrity"]["ok"]:
        click.get_current_context().exit(HerdError.exit_code)


@contextmanager
def _shown(quiet: bool) -> Iterator[Progress]:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda what, done, total: None
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show


def _print(recording: Recording, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(json.dumps(recording.summary, allow_nan=False))
    elif not quiet:
        from rich.console import Console

        from herd.report.text import print_summary

        print_summary(recording.summary, Console())


