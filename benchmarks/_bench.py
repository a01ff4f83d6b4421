"""What benchmarks share: commands, and a turn in a network of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROCESSES = 2
CLIENTS = 10


def output(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; if it fails, this ends.

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


def rate(pattern: str, command: list[str]) -> float:
    """A number in what a command prints."""
    found = re.search(pattern, output(command))
    if not found:
        sys.exit(f"{command[0]} printed no rate")
    return float(found[1])


def wrk(port: int, seconds: float) -> list[str]:
    """A command: wrk with :data:`PROCESSES` threads, and one request a connection."""
    many = [f"-t{PROCESSES}", f"-c{CLIENTS}", f"-d{seconds:.0f}s", "-H", "Connection: close"]
    return ["wrk", *many, f"http://127.0.0.1:{port}/"]


def wrk_rate(port: int, seconds: float, before: Sequence[str] = ()) -> float:
    """Connections per second of :func:`wrk`.

    :param before: words before the command
    """
    return rate(r"Requests/sec:\s+([\d.]+)", [*before, *wrk(port, seconds)])


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
