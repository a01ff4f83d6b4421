"""``herd fcgistarter``."""

from __future__ import annotations

import click


@click.command(name="fcgistarter", short_help="Start a FastCGI program N times on one port.")
@click.option(
    "-c", "program", required=True, help="The FastCGI program; it accepts on descriptor 0."
)
@click.option("-p", "port", type=click.IntRange(1, 65535), required=True, help="Port to listen on.")
@click.option("-i", "interface", help="Address or name to listen on.  [default: any]")
@click.option(
    "-N",
    "number",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="How many processes run the program.",
)
def command(program: str, port: int, interface: str | None, number: int) -> None:
    """Start a FastCGI program N times on one port, with the options of Apache's fcgistarter.

    One socket is bound, listens, and becomes descriptor 0 of N processes that all run the program. They are
    detached: they go on when this command has ended. To measure them, see herd run -s fcgi --program.

    \b
    Examples:
      herd fcgistarter -c /usr/bin/php-cgi -p 9000 -i 127.0.0.1 -N 4
      ss -ltnp sport = :9000              who waits there now
    """
    from herd import fcgistarter

    path = fcgistarter.executable(program)
    with fcgistarter.listen(interface, port) as listener:
        fcgistarter.start([path], listener, number)
