"""``herd``: dispatch and exit codes, no logic. A command is imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from herd import __version__
from herd.discover import modules, unknown
from herd.errors import HerdError, UsageError

_COMMANDS = "herd.commands"


class _Commands(click.Group):
    """Finds subcommands in the folder ``commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return modules(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        if name not in modules(_COMMANDS):
            raise unknown("command", name, modules(_COMMANDS))
        found = importlib.import_module(f"{_COMMANDS}.{name}").command
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="herd")
def herd() -> None:
    """See, measure and teach how the kernel wakes processes that wait on one socket.

    \b
    Examples:
      herd run --strategy accept -n 32     one wakeup per connection, in turn
      herd run --strategy epoll -n 32      the thundering herd
      herd waitqueue :80                   who waits there, and whom the next connection wakes
      herd inspect :80                     how that server waits, and what to make of it
      herd observe :80                     which of its workers wake, what is wasted, what that costs
      herd load :80 --rate 2000            connect to it, and measure what that takes
      herd diff results/A results/B        what changed, and how sure that is
      herd export results/A -f perfetto    a recording for ui.perfetto.dev, or as CSV
      herd strategies                      what each one should show, and why
      herd experiment run wake-order       a question, a sweep, and claims that are checked
      herd doctor                          what this host can measure

    \b
    Exit codes: 0 done; 1 the run failed, ended early or broke a conservation law;
    2 usage; 3 this host cannot; 124 timeout; 130 interrupted.
    """


def _report(error: HerdError) -> int:
    print(f"herd: {error.message}", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"  → {error.hint}", file=sys.stderr)  # noqa: T201
    return error.exit_code


def main(args: list[str] | None = None) -> Any:
    """Run the command line and exit with its code."""
    try:
        sys.exit(herd.main(args, standalone_mode=False) or 0)
    except HerdError as error:
        sys.exit(_report(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(UsageError.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context else None
        sys.exit(_report(UsageError(error.format_message(), hint)))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HERD_DEBUG"):
            raise
        bug = f"this is a bug in herd: {type(error).__name__}: {error}"
        sys.exit(_report(HerdError(bug, "HERD_DEBUG=1 shows where; please report it")))
