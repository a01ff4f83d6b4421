"""The tables of docs/performance.md, each between two marks of its own; and how a spread is written."""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import Any, Final

from herd.host.metadata import metadata

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
_PAGE: Final = DOCS / "performance.md"
_END: Final = "<!-- end -->"


def options(about: str | None) -> argparse.ArgumentParser:
    """A benchmark's command line, with ``--print``.

    :param about: its docstring
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--print", action="store_true", dest="only", help="don't write the page")
    return parser


def write(section: str, text: str) -> None:
    """Put a table in the place of the last one."""
    begin = f"<!-- make bench: {section} -->"
    before, mark, rest = _PAGE.read_text().partition(begin)
    if not mark:
        raise SystemExit(f"{_PAGE} has no place for it: {begin}")
    after = rest.partition(_END)[2]
    _PAGE.write_text(f"{before}{begin}\n{text}\n{_END}{after}")


def machine(*programs: str) -> str:
    """What it was measured on, in a line.

    :param programs: that matter beside Python, with their versions
    """
    host: dict[str, Any] = dict(metadata())
    cpu = host["cpu"]
    load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
    using = ", ".join([*programs, f"Python {host['python']}"])
    virtual = ", virtual" if cpu["hypervisor"] else ""
    return (
        f"{cpu['count']} CPUs, {cpu['model']}{virtual}; Linux {host['kernel']}; {using};"
        f" load average at the end {load}."
    )


def spread(values: list[float], form: str) -> str:
    """The median, and the lowest to the highest where there are several."""
    middle = format(statistics.median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}} to {max(values):{form}})"
