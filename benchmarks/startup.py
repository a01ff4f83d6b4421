"""``make bench``: from the command to its first connection, and what is in that time.

Every command runs in turn, again and again. When the first connection was started, the recording says, on the
clock by which the command was started, too. As root, on an idle machine:

    make bench                                           # writes the table into docs/performance.md
    .venv/bin/python benchmarks/startup.py --turns 1 --print
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from _bench import output
from _page import machine, options, spread, write

from herd.recording.read import Recording


@dataclass(frozen=True)
class Command:
    """What is started.

    :param seconds: does it, in an empty folder
    :param goal: at most so many
    """

    name: str
    seconds: Callable[[Path], float]
    goal: str = ""


def _python(*arguments: str) -> Callable[[Path], float]:
    def seconds(_: Path) -> float:
        begin = time.perf_counter()
        output([sys.executable, *arguments])
        return time.perf_counter() - begin

    return seconds


def _first_connection(*options: str, cold: bool = False) -> Callable[[Path], float]:
    def seconds(folder: Path) -> float:
        where = folder / "run"
        run = ["-m", "herd", "run", "-q", "--no-picture", "-c", "10", *options, "-o", str(where)]
        environment = {"XDG_CACHE_HOME": str(folder / "cache")} if cold else {}
        begin = time.monotonic_ns()
        output([sys.executable, *run], environment)
        started = Recording(where).table("connections", ["started_ns"])["started_ns"]
        return float(started.min() - begin) / 1e9

    return seconds


COMMANDS: Final = (
    Command("python -c pass", _python("-c", "pass")),
    Command("herd --help", _python("-m", "herd", "--help"), "< 0.15"),
    Command("herd run -n 16 --probe none", _first_connection("-n", "16", "--probe", "none")),
    Command(
        "herd run -n 16 --probe tracepoints",
        _first_connection("-n", "16", "--probe", "tracepoints"),
    ),
    Command("herd run -n 16", _first_connection("-n", "16"), "< 1.5"),
    Command("herd run -n 256", _first_connection("-n", "256")),
    Command("herd run -n 16, nothing in the cache", _first_connection("-n", "16", cold=True)),
)


def measure(turns: int) -> dict[str, list[float]]:
    """Seconds of each command, in turn; the first turn, which warms up, is left out."""
    found: dict[str, list[float]] = {command.name: [] for command in COMMANDS}
    for turn in range(-1, turns):
        for command in COMMANDS:
            with tempfile.TemporaryDirectory(prefix="herd-benchmark-") as folder:
                seconds = command.seconds(Path(folder))
            if turn >= 0:
                found[command.name].append(seconds)
    return found


def show(found: dict[str, list[float]], turns: int) -> str:
    """The table of docs/performance.md."""
    rows = [
        f"| `{command.name}` | {spread(found[command.name], '.2f')} | {command.goal} |"
        for command in COMMANDS
    ]
    head = f"{machine()} {turns} turns. Median (lowest to highest)."
    return "\n".join([head, "", "| command | seconds | goal |", "|---|---|---|", *rows])


def main() -> None:
    """Measure, print, and write."""
    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=7, help="of each (default: 7)")
    asked = parser.parse_args()
    found = show(measure(asked.turns), asked.turns)
    print(found)
    if not asked.only:
        write("start-up", found)


if __name__ == "__main__":
    main()
