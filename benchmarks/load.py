"""``make bench``: herd's load generator beside a plain C loop, wrk and ab.

Every contender runs in turn, and that so many times, each time against a fresh server in a network namespace
of its own (so that nobody meets the ports that another one has left in TIME_WAIT). What is compared is the
median of the ratios within a turn. As root, on an idle machine:

    make bench                      # writes the table into docs/performance.md
    make bench BENCH="--turns 1"    # a quick look; --print doesn't write
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from _bench import CLIENTS, HERE, PROCESSES, alone, herd_load, output, rate, wrk_rate
from _page import machine, options, spread, write

from herd.observe import servers

_SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")


@dataclass(frozen=True)
class Job:
    """What is to be done, each time.

    :param built: the folder with what was compiled
    """

    port: int
    connections: int
    seconds: float
    built: Path


@dataclass(frozen=True)
class Contender:
    """Someone who connects, and to what.

    :param yardstick: whom it is compared with
    :param goal: what the ratio should be at least
    """

    name: str
    server: str
    run: Callable[[Job], dict[str, float]]
    yardstick: str | None = None
    goal: float | None = None


def c_loop(job: Job) -> dict[str, float]:
    """A plain loop, with as many processes."""
    command = [str(job.built / "connect_loop"), str(job.port), str(job.connections), str(PROCESSES)]
    return {"rate": rate(r"([\d.]+)", command)}


def wrk(job: Job) -> dict[str, float]:
    """wrk, with as many threads, and one request a connection."""
    return {"rate": wrk_rate(job.port, job.seconds)}


def ab(job: Job) -> dict[str, float]:
    """ApacheBench, which has one thread, and one request a connection."""
    many = ["-q", "-n", str(job.connections), "-c", str(CLIENTS)]
    command = ["ab", *many, f"http://127.0.0.1:{job.port}/"]
    return {"rate": rate(r"Requests per second:\s+([\d.]+)", command)}


def herd_connects(job: Job) -> dict[str, float]:
    """herd, connect and close, with as many processes."""
    found = herd_load(job.port, "-P", "closed", "-p", str(PROCESSES), "-c", str(job.connections))
    return {"rate": found["rate"]}


def herd_asks(job: Job) -> dict[str, float]:
    """herd, one HTTP request a connection, with as many processes and clients; like wrk it doesn't wait
    for the server to close."""
    closed = ["-P", "closed", "--clients", str(CLIENTS), "-p", str(PROCESSES)]
    asks = ["-R", "http", "--closes", "client", "-d", f"{job.seconds}s"]
    return {"rate": herd_load(job.port, *closed, *asks)["rate"]}


def herd_paced(job: Job) -> dict[str, float]:
    """herd, evenly paced: how late it starts its connections."""
    found = herd_load(job.port, "-r", "2000", "-d", f"{job.seconds}s")
    return {"rate": found["rate"], "late_us": found["schedule_error_us"]["p99"]}


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("C loop", "accept loop", c_loop),
        Contender("herd load", "accept loop", herd_connects, "C loop", 0.9),
        Contender("herd load, http", "nginx", herd_asks),
        Contender("wrk", "nginx", wrk, "herd load, http"),
        Contender("ab", "nginx", ab, "herd load, http"),
        Contender("herd load, 2000/s", "accept loop", herd_paced),
    )
}


@contextlib.contextmanager
def _server(name: str, built: Path) -> Iterator[int]:
    """Start one; gives its port."""
    if name == "nginx":
        with (
            tempfile.TemporaryDirectory() as folder,
            servers.running(servers.find("nginx"), Path(folder), workers=2) as running,
        ):
            yield running.port
        return
    with subprocess.Popen(
        [str(built / "accept_loop")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()


def _build(folder: Path) -> None:
    for name in ("connect_loop", "accept_loop"):
        source = str(HERE / f"{name}.c")
        output(["gcc", "-O2", "-Wall", "-pthread", "-o", str(folder / name), source])


def _once(contender: Contender, job: Job) -> dict[str, float]:
    arguments = (contender.name, str(job.connections), str(job.seconds), str(job.built))
    found: dict[str, float] = alone(__file__, *arguments)
    return found


def _one(name: str, connections: str, seconds: str, built: str) -> None:
    contender = CONTENDERS[name]
    _SOMAXCONN.write_text("65535")  # of this network namespace
    with _server(contender.server, Path(built)) as port:
        found = contender.run(Job(port, int(connections), float(seconds), Path(built)))
    print(json.dumps(found))


def _measure(turns: int, connections: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        job = Job(0, connections, seconds, Path(folder))
        _build(job.built)
        for turn in range(turns):
            for name, contender in CONTENDERS.items():
                print(f"turn {turn + 1} of {turns}: {name}", file=sys.stderr)
                found[name].append(_once(contender, job))
    return found


def _row(contender: Contender, found: dict[str, list[dict[str, float]]]) -> str:
    mine = [turn["rate"] for turn in found[contender.name]]
    against = ""
    if contender.yardstick:
        others = [turn["rate"] for turn in found[contender.yardstick]]
        ratios = [a / b for a, b in zip(mine, others, strict=True)]
        goal = f"; goal ≥ {contender.goal}" if contender.goal else "; goal < 1"
        against = f"{spread(ratios, '.2f')} × {contender.yardstick}{goal}"
    late = [turn["late_us"] for turn in found[contender.name] if "late_us" in turn]
    if late:
        against = f"started late by p99 {spread(late, '.0f')} µs; goal < 200"
    return f"| {contender.name} | {contender.server} | {spread(mine, ',.0f')} | {against} |"


def _table(
    found: dict[str, list[dict[str, float]]], turns: int, connections: int, seconds: float
) -> str:
    programs = f"nginx {servers.find('nginx').version()}"
    head = [
        f"{machine(programs)} {turns} turns; each time {connections:,}"
        f" connections, or {seconds:g} s. Median (lowest to highest).",
        "",
        "| who | against | connections/s | compared, turn by turn |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *(_row(contender, found) for contender in CONTENDERS.values())])


def main() -> None:
    """Measure, print, and write."""
    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=7, help="of every contender (default: 7)")
    parser.add_argument("--connections", type=int, default=40_000, help="each time (40000)")
    parser.add_argument("--seconds", type=float, default=3.0, help="each time (3)")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        _one(*asked.one)
        return
    size = asked.turns, asked.connections, asked.seconds
    table = _table(_measure(*size), *size)
    print(table)
    if not asked.only:
        write("load", table)


if __name__ == "__main__":
    main()
