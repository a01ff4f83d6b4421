"""``herd waitqueue``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herd.commands._options import Picture, Seconds

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from herd.observe.targets import Target
    from herd.observe.waitqueue.xray import Xray

_SHORTEST_S: Final = 0.01
_LONGEST_S: Final = 3600.0

#: A reading, as --json prints it.
Look = dict[str, Any]


@click.command(
    name="waitqueue", short_help="Show who waits on a listening socket, in the kernel's order."
)
@click.argument("target", required=False)
@click.option("--pid", type=int, help="Every listener that this process and its descendants hold.")
@click.option("--output", "-o", type=Picture(), help="Draw it: .png, .svg or .pdf.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; with --watch one a line."
)
@click.option(
    "--watch",
    "-w",
    is_flag=True,
    help="Look again and again, until Ctrl-C, which ends it with exit code 0.",
)
@click.option(
    "--interval",
    type=Seconds(),
    default="500ms",
    show_default=True,
    help="Between looks of --watch.",
)
def command(
    target: str | None,
    pid: int | None,
    output: Path | None,
    as_json: bool,
    watch: bool,
    interval: float,
) -> None:
    """Show who waits in a listening socket's wait queue, and whom the next connection wakes.

    TARGET is :PORT, ADDRESS:PORT or unix:PATH (unix:@NAME if abstract). The kernel's own queue is read, in a
    few milliseconds, without touching the server; that takes root. ▶ marks who will wake, » who follows by a
    woken one's own epoll_wait. An epoll set that several processes hold is nobody's: its pid is unknown.

    \b
    Examples:
      herd waitqueue :80
      herd waitqueue unix:/run/php/php-fpm.sock --output queue.svg
      herd waitqueue --pid $(pgrep -o nginx) --watch
      herd waitqueue :80 --json | jq '.listeners[].next_wakes'
    """
    from herd.observe import listeners, targets
    from herd.observe.waitqueue.xray import Xray

    meant = targets.parse(target, pid)
    if output and watch:
        raise click.UsageError("--output draws one look: not with --watch")
    if not _SHORTEST_S <= interval <= _LONGEST_S:
        raise click.UsageError("--interval is from 10ms to 1h")
    listeners.find(meant)  # refused before the second that compiling takes
    with Xray() as xray, _screen(as_json, redrawn=watch) as show:
        look = _looker(meant, xray)
        if watch:
            _watch(look, show, interval)
        else:
            show(found := look())
    if output:
        from herd.commands import _show
        from herd.plots import waitqueue

        _show.picture(waitqueue.picture(found), output)


def _looker(meant: Target, xray: Xray) -> Callable[[], Look]:
    from herd.observe import listeners
    from herd.observe.waitqueue.prediction import as_json

    def look() -> Look:
        found = listeners.find(meant)
        return as_json(xray.read(found), found)

    return look


@contextmanager
def _screen(as_json: bool, *, redrawn: bool) -> Iterator[Callable[[Look], None]]:
    """What shows a look: on a terminal, if ``redrawn``, each in the place of the one before."""
    from rich.live import Live

    from herd.commands import _show

    console = _show.console()
    if as_json:
        yield lambda look: click.echo(json.dumps(look))
    elif redrawn and console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda look: live.update(_view(look), refresh=True)
    else:
        yield lambda look: console.print(_view(look))


def _watch(look: Callable[[], Look], show: Callable[[Look], None], interval: float) -> None:
    from herd.supervisor import heed_interrupts

    heed_interrupts()  # both ways to end it lead through one door, which gives the terminal its cursor back
    with suppress(KeyboardInterrupt):
        while True:
            show(look())
            time.sleep(interval)


def _view(look: Look) -> Group:
    from rich.console import Group

    parts: list[Any] = []
    for listener in look["listeners"]:
        parts.append(_title(listener))
        if listener["waiters"]:
            parts.append(_table(listener))
        parts.append(f"the next connection {listener['says']}" if listener["says"] else _UNREAD)
        parts.append("")
    return Group(*parts, f"read in {look['read_ms']:.1f} ms")


_UNREAD = "its queue is unknown: no process here holds the socket by a descriptor"


def _title(listener: Look) -> str:
    waiters = listener["waiters"]
    entries = "" if waiters is None else f", {len(waiters)} in its wait queue"
    return (
        f"{listener['address']} (cookie {listener['cookie']:x}, {listener['queued']} of "
        f"{listener['backlog']} in the accept queue){entries}"
    )


def _table(listener: Look) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    table.add_column("#", justify="right")
    table.add_column("pid", justify="right")
    table.add_column("thread", justify="right")
    for title in ("name", "kind", "exclusive", "waiting in epoll_wait"):
        table.add_column(title)
    for waiter in listener["waiters"]:
        table.add_row(
            _mark(waiter, listener),
            str(waiter["position"]),
            _number(waiter["pid"]),
            _number(waiter["tid"]),
            _name(waiter),
            _kind(waiter),
            "yes" if waiter["exclusive"] else "no",
            _waiting(waiter, listener),
        )
    return table


def _mark(waiter: Look, listener: Look) -> str:
    behind = {waiter["tid"], *waiter["waiting"]}
    return "▶" if behind & set(listener["next_wakes_tids"]) else ""


def _kind(waiter: Look) -> str:
    if waiter["kind"] == "epoll":
        return " ".join(["epoll", *(waiter["modes"] or ["level"])])
    return f"unknown: {waiter['function']}" if waiter["kind"] == "unknown" else str(waiter["kind"])


def _waiting(waiter: Look, listener: Look) -> str:
    if waiter["epoll"] is None:
        return ""
    marks = dict.fromkeys(listener["then_wakes_tids"], "»")
    marks |= dict.fromkeys(listener["next_wakes_tids"], "▶")
    named = [f"{marks.get(tid, '')}{tid}" for tid in waiter["waiting"]]
    return f"set {waiter['epoll']}: {', '.join(named) or 'nobody'}"


def _name(waiter: Look) -> str:
    if len(waiter["holders"]) > 1:
        return f"{waiter['comm'] or '?'} ({len(waiter['holders'])} share it)"
    if waiter["comm"] is None:
        return "?" if waiter["kind"] == "unknown" else "gone"
    return str(waiter["comm"])


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
