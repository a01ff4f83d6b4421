"""``herd inspect``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from herd.observe.inspect.facts import Facts
    from herd.observe.inspect.findings import Finding
    from herd.observe.inspect.model import Group

_COLOURS = {"problem": "bold red", "warning": "bold yellow", "info": "bold cyan"}


@click.command(name="inspect", short_help="Say how a running server waits, and what to make of it.")
@click.argument("target", required=False)
@click.option("--pid", type=int, help="Every listener that this process and its descendants hold.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(target: str | None, pid: int | None, as_json: bool) -> None:
    """Say how a running server waits for connections, and what to make of it.

    TARGET is :PORT, ADDRESS:PORT or unix:PATH (unix:@NAME if abstract). Nothing of the server is touched:
    its sockets, descriptors, epoll sets and threads are looked at, once. Without root, what couldn't be seen
    is said (and null in --json). Findings tell what was seen, what follows, and what to change in that
    server; `herd observe` tells what it costs, `herd waitqueue` who wakes next.

    \b
    Examples:
      herd inspect :80
      herd inspect unix:/run/php/php-fpm.sock
      herd inspect --pid $(pgrep -o nginx)
      herd inspect :80 --json | jq '.findings[] | select(.level != "info") | .advice'

    \b
    Exit codes: 0 looked, whatever was found; 1 the socket closed meanwhile; 2 nothing listens there;
    3 this user may not look there.
    """
    from herd.observe import targets
    from herd.observe.inspect import facts, findings, model

    seen = facts.collect(targets.parse(target, pid))
    groups = model.groups(seen)
    found = findings.findings(groups)
    if as_json:
        click.echo(json.dumps(_json(seen, groups, found)))
    else:
        _print(seen, groups, found)


def _json(seen: Facts, groups: list[Group], found: list[Finding]) -> dict[str, object]:
    from dataclasses import asdict

    from herd.observe.inspect import facts, words

    return {
        "listeners": [socket for group in groups for socket in words.as_json(group)],
        "findings": [asdict(finding) for finding in found],
        "not_seen": list(facts.not_seen(seen)),
    }


def _print(seen: Facts, groups: list[Group], found: list[Finding]) -> None:
    from herd.commands import _show
    from herd.observe.inspect import facts, words

    console = _show.console()
    for group in groups:
        for line in words.describe(group):
            console.print(line)
    for finding in found:
        console.print()
        _print_finding(console, finding)
    for text in facts.not_seen(seen):
        console.print(f"\nnot seen: {text}", style="dim")


def _print_finding(console: Console, finding: Finding) -> None:
    from rich.text import Text

    title = Text(f"{finding.level}: {finding.id}", _COLOURS[finding.level])
    console.print(title.append(f" ({finding.sure}, {finding.address})", "dim"))
    for name in ("evidence", "meaning", "advice"):
        if text := getattr(finding, name):
            console.print(f"  {name:8}  {text}")
