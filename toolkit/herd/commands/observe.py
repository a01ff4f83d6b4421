"""``herd observe``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from herd.commands._options import Seconds, no_picture
from herd.errors import HerdError

if TYPE_CHECKING:
    from herd.observe.observer import Frame


@click.command(name="observe", short_help="Watch a running server: who wakes, and what is wasted.")
@click.argument("target", required=False)
@click.option("--pid", type=int, help="What this process and its descendants listen on.")
@click.option(
    "--duration",
    "-d",
    type=Seconds(),
    default="10s",
    show_default=True,
    help="How long, such as 30s or 5m; 0: until Ctrl-C.",
)
@click.option(
    "--probe",
    default="auto",
    show_default=True,
    help="light, tracepoints or functions; auto: the first that the kernel permits, and so the cheapest.",
)
@click.option("--output", "-o", help="Folder of the recording; by default a new one in results/.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@no_picture
def command(
    target: str | None,
    pid: int | None,
    duration: float,
    probe: str,
    output: str | None,
    as_json: bool,
    quiet: bool,
    no_picture: bool,
) -> None:
    """Watch a server that runs already: which of its workers wake, what is wasted, and what that costs.

    TARGET is :PORT, ADDRESS:PORT or unix:PATH. The server is not touched: nothing is restarted, no setting
    is changed, and it doesn't notice when the probes go. Workers that it starts meanwhile are watched, too.
    Ctrl-C ends the observation early; what was seen until then is the result. It takes root (herd doctor).

    \b
    Examples:
      herd observe :80
      herd observe 127.0.0.1:8080 --duration 1m --output results/nginx
      herd observe unix:/run/gunicorn.sock -d 0
      herd observe --pid $(cat /run/nginx.pid) --json | jq .verdict.text
      herd report results/nginx
    """
    from herd.commands import _show
    from herd.observe import targets
    from herd.observe.observer import observe

    meant = targets.parse(target, pid)
    try:
        with _live(str(meant), quiet) as show:
            recording = observe(
                meant,
                duration_s=duration or None,
                probe=probe,
                output=output,
                show=show,
                picture=not no_picture,
            )
    except HerdError as error:
        if error.recording is not None:
            _show.result(error.recording, as_json=as_json, quiet=quiet)
        raise
    _show.result(recording, as_json=as_json, quiet=quiet)
    if not recording.run["integrity"]["ok"]:
        click.get_current_context().exit(HerdError.exit_code)


@contextmanager
def _live(title: str, quiet: bool) -> Iterator[Callable[[Frame], None]]:
    """On stderr: a table that is redrawn, or without a terminal one line once it has begun."""
    from rich.console import Console
    from rich.live import Live

    from herd.observe.live import Board

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda frame: _say_once(title, frame, quiet)
        return
    board = Board(title)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        live.update(f"{title}: attaching", refresh=True)
        yield lambda frame: live.update(board.table(frame), refresh=True)


def _say_once(title: str, frame: Frame, quiet: bool) -> None:
    if not frame.passed_s and not quiet:
        click.echo(f"observing {title}", err=True)
