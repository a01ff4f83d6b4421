"""``herd kernels``."""

from __future__ import annotations

import json
from typing import Any

import click


@click.group(
    name="kernels",
    short_help="List the kernels that can be booted, or install one.",
    invoke_without_command=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the kernels that `herd run --kernel` can boot, or install one.

    A kernel is Debian's package, unpacked in the user's cache; it is booted by virtme-ng on this host's own
    files, with KVM if that really works, else emulated (counts are exact, times are not comparable).

    \b
    Examples:
      herd kernels
      herd kernels install 6.1 6.12
      herd run --strategy epoll -n 16 -c 100 --rate settled --kernel 6.1
    """
    if context.invoked_subcommand is None:
        _list(as_json)


def _list(as_json: bool) -> None:
    import platform

    from herd.kernels import catalog, tools

    kernels = [{"name": catalog.HOST, "release": platform.release(), "image": None}]
    for kernel in catalog.installed():
        kernels.append(
            {"name": kernel.series, "release": kernel.release, "image": str(kernel.image)}
        )
    missing = tools.missing()
    if as_json:
        click.echo(json.dumps({"kernels": kernels, "missing_tools": missing}))
        return
    _print(kernels)
    if missing:
        click.echo(f"to boot one, this host lacks {', '.join(missing)}: herd kernels install 6.1")
    elif len(kernels) == 1:
        click.echo("none to boot yet: herd kernels install 6.1 6.12")


def _print(kernels: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from herd.commands import _show

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("--kernel", "release", "image"):
        table.add_column(title)
    for kernel in kernels:
        table.add_row(kernel["name"], kernel["release"], kernel["image"] or "the running kernel")
    _show.console().print(table)


@command.command(name="install")
@click.argument("series", nargs=-1, required=True)
def install(series: tuple[str, ...]) -> None:
    """Fetch what `herd run --kernel SERIES` needs: qemu and virtme-ng, and the kernels.

    Does nothing for what is there already.

    \b
    Examples:
      herd kernels install 6.1
      herd kernels install 6.1 6.12
    """
    from herd.kernels import debian, tools

    for line in tools.install():
        click.echo(line, err=True)
    for name in series:
        kernel = debian.install(name, lambda line: click.echo(line, err=True))
        click.echo(f"{name}: {kernel.release} in {kernel.image.parents[1]}")
