"""What the benchmarks share: commands, host, medians with spread, and their place in docs/performance.md."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from herd.host.metadata import metadata

PAGE = Path(__file__).parents[1] / "docs/performance.md"


def output(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; the benchmark ends if it fails.

    :param environment: beside what is there
    """
    done = subprocess.run(
        command,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
    return done.stdout


def spread(values: list[float], form: str) -> str:
    """The median, and from where to where the values go."""
    low, high = (format(value, form) for value in (min(values), max(values)))
    return f"{statistics.median(values):{form}} ({low} to {high})"


def host(*programs: str) -> str:
    """A line about this machine, and how busy it is."""
    found: dict[str, Any] = dict(metadata())
    cpu = found["cpu"]
    machine = f"{cpu['count']} CPUs, {cpu['model']}{', virtual' if cpu['hypervisor'] else ''}"
    software = ", ".join([*programs, f"Python {found['python']}"])
    load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
    return f"{machine}; Linux {found['kernel']}; {software}; load average at the end {load}."


def write(name: str, table: str) -> None:
    """Put a table between its markers: ``<!-- make bench: NAME -->`` and the next ``<!-- end -->``."""
    begin, end = f"<!-- make bench: {name} -->", "<!-- end -->"
    before, found, rest = PAGE.read_text().partition(begin)
    assert found, f"{PAGE} has no {begin}"
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n{table}\n{end}{after}")
