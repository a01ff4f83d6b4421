"""Arrivals as they were recorded, such as from a server's log (an open loop)."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from herd.errors import UsageError
from herd.options import Option
from herd.traffic.patterns._base import Paced, Situation

_HINT = "--times takes a text or CSV file with seconds in its first column, or a recording's folder"


class Replay(Paced):
    """Connection ``i`` is due when the ``i``-th of a list of times was, counted from the earliest."""

    name = "replay"
    summary = "at the times in a file (--times)"
    options = (
        Option(
            "times",
            means="What to replay: a text or CSV file with seconds in its first column, or a recording.",
        ),
    )
    takes_rate = False

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._times = read(self.chosen["times"])

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """A file with times."""
        read(chosen["times"])

    @classmethod
    def length(cls, chosen: Mapping[str, str]) -> int:
        """As many as were recorded."""
        return len(read(chosen["times"]))

    def at(self, turn: int) -> int | None:
        """As it is written."""
        return self._times[turn] if turn < len(self._times) else None


@cache
def read(name: str) -> array[int]:
    """Recorded times, ascending, ns after the first one.

    :raises UsageError: there is no such file, or there are no times in it
    """
    if not name:
        raise UsageError("--pattern replay needs to know what to replay", _HINT)
    path = Path(name)
    try:
        found = sorted(_of_recording(path) if path.is_dir() else _of_text(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", _HINT) from error
    if not found:
        raise UsageError(f"{path} has no times", _HINT)
    return array("q", (time - found[0] for time in found))


def _of_recording(path: Path) -> list[int]:
    import pyarrow.parquet as pq

    column = pq.read_table(path / "connections.parquet", columns=["intended_ns"])["intended_ns"]
    return [int(time) for time in column.to_pylist() if time is not None]


def _of_text(path: Path) -> list[int]:
    with path.open(newline="", errors="replace") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].lstrip().startswith("#")]
    return [
        int(time * 1e9)
        for number, row in enumerate(rows)
        if (time := _seconds(path, number, row[0])) is not None
    ]


def _seconds(path: Path, number: int, text: str) -> float | None:
    """``None``: the heading of a table."""
    try:
        seconds = float(text)
    except ValueError:
        if number == 0:
            return None
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UsageError(f"{path}: {text!r} is not a time in seconds", _HINT)
    return seconds
