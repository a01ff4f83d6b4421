"""``herd load``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herd.commands._options import Late, Seconds, chosen_of, flags_of

if TYPE_CHECKING:
    from herd.traffic.capacity import Capacity
    from herd.traffic.result import Result

_OF_LOAD = "of_load_"

_CONNECTIONS = "Connections to make, in all.  [default: as many as fit into --duration]"
_DURATION = "Start none after this time.  [default: 10s, without --connections; a step's: 5s]"
_CLOSES = (
    "Who closes first; reset: the client, by a RST, which leaves nothing in TIME_WAIT."
    "  [default: server with first-byte and http, else client]"
)
_PATIENCE = "A connection has failed (ETIMEDOUT) whose answer takes longer."
_THINK = (
    "From an answer to the next request on the connection; and a client's pause in a closed loop."
)
_FIND = "Closed loop first, then open loop at 10, 30, 50, 70 and 90 % of what that reached."


def _patterns_and_requests(command: click.Command) -> None:
    """A flag for each option of a pattern or a request, and for ``--help`` what there is, one line each."""
    from herd.traffic import patterns, requests

    command.params += flags_of(patterns.options() | requests.options(), _OF_LOAD)
    kinds = {
        "Patterns": {name: patterns.find(name).summary for name in patterns.names()},
        "Requests": {name: requests.find(name).summary for name in requests.names()},
    }
    command.epilog = "\n\n".join(
        "\n".join(["\b", f"{kind}:", *(f"  {name:<12} {what}" for name, what in found.items())])
        for kind, found in kinds.items()
    )


@click.command(
    cls=Late,
    late=_patterns_and_requests,
    name="load",
    short_help="Connect to a server, and measure what that takes.",
)
@click.argument("target")
@click.option(
    "--pattern", "-P", default="constant", show_default=True, help="When they come; below."
)
@click.option("--rate", "-r", type=float, help="Connections per second.  [default: 1000]")
@click.option("--connections", "-c", type=int, help=_CONNECTIONS)
@click.option("--duration", "-d", "duration_s", type=Seconds(), help=_DURATION)
@click.option("--processes", "-p", type=int, default=1, show_default=True, help="That connect.")
@click.option("--request", "-R", default="connect", show_default=True, help="What is asked; below.")
@click.option("--requests", type=int, default=1, show_default=True, help="On each connection.")
@click.option("--think", "think_s", type=Seconds(), default="0", help=_THINK)
@click.option("--hold", "hold_s", type=Seconds(), default="0", help="Stay open after the answer.")
@click.option("--closes", type=click.Choice(["client", "server", "reset"]), help=_CLOSES)
@click.option("--find-capacity", is_flag=True, help=_FIND)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Chooses source addresses and random times.",
)
@click.option(
    "--patience", "patience_s", type=Seconds(), default="5s", show_default=True, help=_PATIENCE
)
@click.option(
    "--timeout", "timeout_s", type=Seconds(), help="End after this time, with exit code 124."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Folder for HdrHistogram files."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def command(
    find_capacity: bool, output: Path | None, as_json: bool, quiet: bool, **flags: Any
) -> None:
    """Connect to a server on this machine, at a rate or as fast as it answers, and measure what that takes.

    TARGET is HOST:PORT, :PORT or unix:PATH; the host is a loopback address. Latencies count from when each
    connection was intended, not from when it was started: a server that stalls can't hide it (no coordinated
    omission).

    \b
    Examples:
      herd load 127.0.0.1:8080 --pattern closed -c 20000 --processes 2
      herd load 127.0.0.1:80 --request http --rate 2000 -d 10s
      herd load 127.0.0.1:80 -R http --requests 100 -P closed --clients 50
      herd load unix:/run/server.sock -R echo --size 1000 -P poisson -r 500
      herd load [::1]:80 -P closed --clients 20000 -c 20000 --hold 10s -p 2
      herd load 127.0.0.1:80 -R http --find-capacity -o results/capacity
      herd load 127.0.0.1:80 -P replay --times access-times.csv --json | jq .latency_us

    \b
    Exit codes: 0 done, even if some connections failed; 1 all of them did, or it ended early; 2 usage;
    3 this host cannot; 124 timeout; 130 interrupted. What was measured is printed all the same.
    """
    from herd.commands import _show
    from herd.recording import write
    from herd.traffic import capacity, generator, plan

    said = {name: value for name, value in flags.items() if value is not None}
    meant = plan.parse({"options": chosen_of(said, _OF_LOAD)} | said)
    aside = write.reserve(output) if output else None
    try:
        with _show.progress(quiet or as_json) as progress:
            found = (capacity.find if find_capacity else generator.generate)(meant, progress)
        if output and aside:
            _keep(found, aside, output)
    finally:
        if aside and aside.exists():
            shutil.rmtree(aside)
    _show.load(found, as_json=as_json, quiet=quiet)
    if found.ended_by:
        raise found.ended_by


def _keep(found: Result | Capacity, aside: Path, output: Path) -> None:
    """The result and its histograms, in a folder that is there when it is whole."""
    from herd.traffic import histograms

    for name, result in found.parts().items():
        folder = aside / name
        folder.mkdir(exist_ok=True)
        histograms.write(result, folder)
    (aside / "load.json").write_text(json.dumps(found.as_json(), indent=1) + "\n")
    aside.rename(output)
    click.echo(f"written: {output}", err=True)
