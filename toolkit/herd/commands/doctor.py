"""``herd doctor``: what this host can do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from herd.host.checks import Check


@click.command("doctor", short_help="Say what this host can do, and how to mend what it lacks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--fix", "mend", is_flag=True, help="First do what needs no package manager.")
@click.pass_context
def command(context: click.Context, as_json: bool, mend: bool) -> None:
    """Say what this host can do, what it lacks, and the command that mends it.

    Exits 0 when `herd run` would measure wakeups here, else 3.

    \b
    Examples:
      herd doctor
      herd doctor --fix            mount what is missing, merge kernel headers
      herd doctor --json | jq '.checks[] | select(.found | not) | .mend'
    """
    from herd.host.checks import capable

    if mend:
        _fix(to_stderr=as_json)
    checks = _checked()
    able = capable(checks)
    if as_json:
        _print_json(checks, able)
    else:
        _print_human(checks, able)
    context.exit(0 if able else 3)


def _fix(to_stderr: bool) -> None:
    from herd.host.fix import fix

    for line in fix() or ["nothing to fix"]:
        click.echo(line, err=to_stderr)


def _checked() -> list[Check]:
    from herd.host.checks import run_checks

    if not sys.stderr.isatty():
        return run_checks()
    from rich.console import Console

    with Console(stderr=True).status("trying what this kernel lets herd do"):
        return run_checks()


def _print_json(checks: list[Check], able: bool) -> None:
    import msgspec

    answer = msgspec.json.encode({"capable": able, "checks": checks})
    click.echo(msgspec.json.format(answer, indent=2).decode())


def _print_human(checks: list[Check], able: bool) -> None:
    if sys.stdout.isatty():
        _print_table(checks)
    else:
        click.echo("\n".join(_plain(checks)))
    click.echo(_verdict(checks, able))


def _print_table(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("check", no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for check in checks:
        style = "green" if check.found else "red" if check.required else "yellow"
        table.add_row(Text(_mark(check), style), check.name, Text(check.detail))
    Console().print(table)
    # Not in the table, whose wrapped lines could not be copied as commands.
    for check in checks:
        for line in _advice(check):
            click.echo(f"{check.name}: {line}")


def _plain(checks: list[Check]) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        yield f"{_mark(check):8} {check.name:{width}}  {check.detail}"
        for line in _advice(check):
            yield f"{'':8} {'':{width}}  {line}"


def _mark(check: Check) -> str:
    return "found" if check.found else "missing" if check.required else "absent"


def _advice(check: Check) -> list[str]:
    if check.found:
        return []
    return [f"costs: {check.costs}", *([f"mend:  {check.mend}"] if check.mend else [])]


def _verdict(checks: list[Check], able: bool) -> str:
    if able:
        return "`herd run` would measure wakeups on this host."
    missing = ", ".join(check.name for check in checks if check.required and not check.found)
    return f"`herd run` would not measure wakeups on this host; missing: {missing}."
