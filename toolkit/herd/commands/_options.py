"""The flags that make a :class:`~herd.config.RunConfig`, shared by the commands that run something."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from herd.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from herd.config import RunConfig
    from herd.options import Option

#: Flags of strategies' options are told apart from a run's own by this.
_OF_STRATEGY = "of_strategy_"
_OF_PATTERN = "of_pattern_"

F = TypeVar("F", bound="Callable[..., Any]")

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


class Picture(click.Path):
    """A file to draw into."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Text to a path, whose suffix names the format."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix not in (".png", ".svg", ".pdf"):
            self.fail(f"{path}: a picture is .png, .svg or .pdf")
        return path


class Pin(click.ParamType["tuple[str, str]"]):
    """``workers=0-1`` or ``load=1``."""

    name = "who=cpus"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Text to a key of :class:`herd.config.Pin` and its CPU list."""
        who, _, cpus = str(value).partition("=")
        if who not in ("workers", "load") or not cpus:
            self.fail(f"{value!r}: write workers=LIST or load=LIST, such as load=1")
        return who, cpus


_RATE = (
    "Connections per second, evenly paced; or 'settled': the next only once every worker sleeps again."
    "  [default: such that workers are idle in between]"
)
_PATTERN = (
    "When connections come (see herd load).  [default: settled with --rate settled, else constant]"
)
_FAMILY = (
    "Of the address: TCP by IPv4 or IPv6, or a unix stream socket with an abstract name."
    "  [default: that of --host, else inet]"
)
_HOLD = "How long a worker keeps a connection open; one that blocks in accept sleeps meanwhile.  [default: 0]"

_BLOCK = (
    "How long a worker hangs after every so many answers (--block-every): it sleeps, and does nothing else."
    "  [default: 0]"
)
_BLOCK_EVERY = (
    "Each worker hangs on every so many connections that it serves. They begin to count at different numbers,"
    " so that they don't hang at once.  [default: 100]"
)

_POOL = (
    "What workers are. Threads share one descriptor table, and Python's global lock: its wakeups count as a"
    " lock's.  [default: processes]"
)
_BATCH = (
    "Connections to accept per wakeup, where a worker polls (select, poll, epoll level or one-shot)."
    "  [default: 1]"
)
_SNAPSHOT = (
    "Record the listeners' wait queues before, during and after the load (see herd waitqueue)."
)
_PROBE = (
    "How to see wakeups: auto (the first of these that the kernel permits); functions, which shows the path;"
    " light, which costs least; tracepoints, which counts accepts in vain (EAGAIN), too; none; or two at"
    " once, such as functions,tracepoints: the second judges the first.  [default: auto]"
)

#: No defaults here: what a flag doesn't say, the config file or RunConfig does.
_OPTIONS = (
    click.option(
        "--strategy", "-s", help="How workers wait (see herd strategies).  [default: accept]"
    ),
    click.option("--workers", "-n", type=int, help="Number of workers, 1 to 1024.  [default: 8]"),
    click.option("--pool", type=click.Choice(["processes", "threads"]), help=_POOL),
    click.option("--connections", "-c", type=int, help="Connections to make.  [default: 1000]"),
    click.option("--rate", "-r", type=Rate(), help=_RATE),
    click.option(
        "--duration", "-d", "duration_s", type=Seconds(), help="Stop sending after this time."
    ),
    click.option("--pattern", help=_PATTERN),
    click.option("--load-processes", type=int, help="Processes that connect.  [default: 1]"),
    click.option("--backlog", type=int, help="Of listen(2).  [default: 1024]"),
    click.option("--family", type=click.Choice(list(FAMILIES)), help=_FAMILY),
    click.option("--host", help="Loopback address, IPv4 or IPv6.  [default: 127.0.0.1 or ::1]"),
    click.option("--port", "-p", type=int, help="Port to listen on.  [default: a free one]"),
    click.option(
        "--work",
        "work_us",
        type=float,
        help="CPU time a worker spends per connection, µs.  [default: 0]",
    ),
    click.option("--hold", "hold_s", type=Seconds(), help=_HOLD),
    click.option("--block", "block_s", type=Seconds(), help=_BLOCK),
    click.option("--block-every", type=int, help=_BLOCK_EVERY),
    click.option("--batch", type=int, help=_BATCH),
    click.option(
        "--pin",
        multiple=True,
        type=Pin(),
        help="CPUs to use, such as --pin workers=0 --pin load=1.",
    ),
    click.option("--seed", type=int, help="Chooses the source addresses.  [default: 1]"),
    click.option("--probe", help=_PROBE),
    click.option("--snapshot", is_flag=True, default=None, help=_SNAPSHOT),
    click.option(
        "--kernel",
        help="Run in a virtual machine on another kernel, such as 6.1 (see herd kernels).  [default: host]",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="TOML file with these settings; flags win.",
    ),
    click.option(
        "--output", "-o", help="Folder for the recording.  [default: results/TIME-STRATEGY-nN]"
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=Seconds(),
        help="Give up after this time.  [default: generous]",
    ),
)


class Late(click.Command):
    """A command that finds out some of itself when it is called.

    Flags of strategies, patterns and requests take longer to find than all of ``herd --help`` may, which
    needs none of them.

    :param late: adds them to the command
    """

    def __init__(self, *arguments: Any, late: Callable[[click.Command], None], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._late: Callable[[click.Command], None] | None = late

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All of them: whatever click does with a command, it asks for these first."""
        late, self._late = self._late, None
        if late:
            late(self)
        return super().get_params(ctx)


#: Of a command that records.
no_picture = click.option(
    "--no-picture", is_flag=True, help="Draw none: it is done sooner, and herd report draws it."
)


def run_options(function: F) -> F:
    """Give a command the flags of any run, as keyword arguments for :func:`config_from`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def add_run_options(command: click.Command) -> None:
    """Give a :class:`Late` command those of arrival patterns and of strategies, too."""
    from herd import strategies
    from herd.traffic import patterns

    command.params += flags_of(patterns.options(), _OF_PATTERN)
    command.params += flags_of(strategies.options(), _OF_STRATEGY)


def flags_of(options: Mapping[str, Option], prefix: str) -> list[click.Option]:
    """A flag for each option.

    :param prefix: of the keyword arguments' names, for :func:`chosen_of`
    """
    return [
        click.Option(
            [f"--{option.name}", f"{prefix}{option.name}".replace("-", "_")],
            type=click.Choice(option.choices) if option.choices else str,
            help=f"{option.means}  [default: {option.default}]" if option.default else option.means,
        )
        for option in options.values()
    ]


def chosen_of(said: dict[str, Any], prefix: str) -> dict[str, str]:
    """Take the values of such flags out of a command's keyword arguments."""
    return {
        name.removeprefix(prefix).replace("_", "-"): said.pop(name)
        for name in list(said)
        if name.startswith(prefix)
    }


def config_from(
    config_file: Path | None,
    pin: tuple[tuple[str, str], ...],
    also: tuple[str, ...] = (),
    **flags: Any,
) -> tuple[RunConfig, dict[str, str]]:
    """The effective config of a command's flags and file.

    :param also: keys of the file that are not a run's own
    :returns: the config, not yet resolved, and what the file says under those keys
    :raises UsageError: a key or value that is wrong
    """
    from herd import config

    values = config.read(config_file) if config_file else {}
    others = {key: _words(key, values.pop(key)) for key in also if key in values}
    said = {name: value for name, value in flags.items() if value is not None}
    options = chosen_of(said, _OF_STRATEGY), chosen_of(said, _OF_PATTERN)
    values |= said
    for key, chosen in zip(("options", "pattern_options"), options, strict=True):
        if chosen:
            values[key] = values.get(key, {}) | chosen
    if pin:
        values["pin"] = dict(pin)
    return config.parse(values), others


def _words(key: str, value: object) -> str:
    """A list of words, or words with commas."""
    from herd.errors import UsageError

    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if not isinstance(value, str):
        raise UsageError(f"config: {key}: expected a name or a list of names")
    return value
