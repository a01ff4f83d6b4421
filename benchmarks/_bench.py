"""What benchmarks share: a turn in a network of its own, and a table on the page of what was measured."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from herd.host.metadata import metadata

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs/performance.md"
END = "<!-- end -->"
PROCESSES = 2
CLIENTS = 10


def output(command: list[str]) -> str:
    """What a command prints; if it fails, this ends."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
    return done.stdout


def rate(pattern: str, command: list[str]) -> float:
    """A number in what a command prints."""
    found = re.search(pattern, output(command))
    if not found:
        sys.exit(f"{command[0]} printed no rate")
    return float(found[1])


def wrk_rate(port: int, seconds: float, before: Sequence[str] = ()) -> float:
    """Connections per second of wrk, with :data:`PROCESSES` threads, and one request a connection.

    :param before: words before the command
    """
    many = [f"-t{PROCESSES}", f"-c{CLIENTS}", f"-d{seconds:.0f}s", "-H", "Connection: close"]
    command = [*before, "wrk", *many, f"http://127.0.0.1:{port}/"]
    return rate(r"Requests/sec:\s+([\d.]+)", command)


def herd_load(port: int, *options: str, before: Sequence[str] = ()) -> dict[str, Any]:
    """What ``herd load --json`` says; no connection of it may fail.

    :param before: words before the command, which print nothing on stdout
    """
    command = [sys.executable, "-m", "herd", "load", f"127.0.0.1:{port}", "--json", *options]
    found: dict[str, Any] = json.loads(output([*before, *command]))
    if found["failed"]:
        sys.exit(f"herd load: {found['errors']}")
    return found


def alone(script: str, *arguments: str) -> Any:
    """What a script's ``--one`` prints, as JSON, in a network namespace of its own."""
    inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, script, "--one"]
    return json.loads(output(["unshare", "-n", *inside, *arguments]))


def spread(values: list[float], form: str) -> str:
    """Median, lowest and highest."""
    low, high = (format(value, form) for value in (min(values), max(values)))
    return f"{statistics.median(values):{form}} ({low} to {high})"


def machine(*programs: str) -> str:
    """What it was measured with, and how busy that is."""
    host: dict[str, Any] = dict(metadata())
    cpu = host["cpu"]
    load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
    return (
        f"{cpu['count']} CPUs, {cpu['model']}{', virtual' if cpu['hypervisor'] else ''}; Linux"
        f" {host['kernel']}; {', '.join([*programs, 'Python ' + host['python']])}; load average at the end"
        f" {load}."
    )


def write(name: str, table: str) -> None:
    """Replace what is on the page between ``<!-- make bench: NAME -->`` and :data:`END`."""
    begin = f"<!-- make bench: {name} -->"
    before, found, rest = PAGE.read_text().partition(begin)
    if not found:
        sys.exit(f"{PAGE} has no {begin}")
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{begin}\n{table}\n{END}{after}")
