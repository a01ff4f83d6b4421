"""``make bench``'s second half: how herd fares with many workers, and with many connections.

In parts, each of which has its table in docs/performance.md. As root, on an idle machine:

    .venv/bin/python benchmarks/scale.py                                # all, in about 20 minutes
    .venv/bin/python benchmarks/scale.py --quick --print                # a look, in one
    .venv/bin/python benchmarks/scale.py --part soak --minutes 2        # a shorter one
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import _memory
import _page
import numpy as np

import herd
from herd import area, limits, strategies
from herd.analysis.metrics import caused_cpu_ns
from herd.config import as_dict, parse
from herd.errors import HerdError
from herd.pool.log import LAYOUT
from herd.process import Child
from herd.recording.read import Recording, load
from herd.supervisor import Supervisor

_PATIENCE_S: Final = 60.0
_LAWS: Final = ("accept", "epoll")
#: In the run with many connections, and in the soak.
_WORKERS: Final = 8
_SHARE_OF_CAPACITY: Final = 0.7
_CAPACITY_S: Final = 10


@dataclass(frozen=True)
class Size:
    """How much of everything.

    :param turns: of what is timed
    :param connections: of the long run
    :param minutes: of the soak
    """

    workers: tuple[int, ...]
    turns: int
    connections: int
    minutes: float


def _table(head: str, rows: list[str]) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, "|---|" + "---:|" * (columns - 1), *rows])


# -- start ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """A pool that was started, in seconds from its spawn, and what its workers have while they wait, MiB."""

    ready: float
    waiting: float
    pss: float
    private: float


@contextlib.contextmanager
def _pool(strategy: str, workers: int) -> Iterator[tuple[float, float, list[int]]]:
    """A pool alone, as the runner starts it: seconds until ready, until all wait; the workers."""
    config = parse({"strategy": strategy, "workers": workers, "connections": 1}).resolved()
    limits.check(config)
    fd = area.create("herd-pool", LAYOUT, 1, workers)
    spec = as_dict(config) | {
        "strategy": strategies.reference(strategy),
        "cpus": [],
        "area_fd": fd,
        "capacity": 1,
    }
    with Supervisor(_PATIENCE_S) as supervisor:
        begin = time.perf_counter()
        pool = Child("pool", "herd.pool.main", [fd])
        try:
            pool.channel.send(spec)
            [ready] = supervisor.expect("ready", [pool], [])
            is_ready = time.perf_counter() - begin
            pool.channel.send({"do": "go"})
            supervisor.expect("waiting", [pool], [])
            yield is_ready, time.perf_counter() - begin, ready["tids"]
        finally:
            pool.stop()
            os.close(fd)


def _start(strategy: str, workers: int) -> Started:
    with _pool(strategy, workers) as (ready, waiting, pids):
        rollups = [_memory.rollup(pid) for pid in pids]
    pss, private = (
        statistics.fmean(one[name] for one in rollups) / 1024 for name in ("Pss", "Private_Dirty")
    )
    return Started(ready, waiting, pss, private)


def start(size: Size) -> str:
    """Time and memory of a start, by N."""
    rows = []
    for strategy in _LAWS:
        for workers in size.workers:
            found = [_start(strategy, workers) for _ in range(size.turns)]
            ready, waiting = (
                [getattr(one, name) for one in found] for name in ("ready", "waiting")
            )
            gone = [(b - a) / workers * 1000 for a, b in zip(ready, waiting, strict=True)]
            pss, private = ([getattr(one, name) for one in found] for name in ("pss", "private"))
            cells = [_page.spread(values, ".2f") for values in (ready, waiting, gone, pss, private)]
            rows.append(f"| {strategy} | {workers:,} | {' | '.join(cells)} |")
            print(rows[-1], file=sys.stderr)
    head = (
        "| strategy | N | all ready, s | all wait, s | from ready to waiting, ms a worker |"
        " PSS a worker, MiB | of it its own, MiB |"
    )
    return f"{_page.machine()} {_turns(size)}\n\n{_table(head, rows)}"


def _turns(size: Size) -> str:
    return f"{size.turns} turns: median (lowest to highest)." if size.turns > 1 else "One turn."


# -- laws and cost --------------------------------------------------------------------------------


def _settled(strategy: str, workers: int, connections: int, folder: Path) -> Recording:
    return herd.run(
        strategy=strategy,
        workers=workers,
        connections=connections,
        rate="settled",
        picture=False,
        check=False,
        output=str(folder / f"{strategy}-{workers}-{time.monotonic_ns()}"),
    )


def laws(size: Size) -> str:
    """Whether all adds up with the largest N."""
    workers, rows = size.workers[-1], []
    with tempfile.TemporaryDirectory(prefix="herd-benchmark-") as scratch:
        for strategy in _LAWS:
            begin = time.perf_counter()
            summary = _settled(strategy, workers, 20, Path(scratch)).summary
            seconds = time.perf_counter() - begin
            rows.append(f"| {strategy} | {workers:,} | {_adds_up(summary)} | {seconds:.1f} |")
            print(rows[-1], file=sys.stderr)
    head = "| strategy | N | connections | wakeups a connection | laws held | events lost | whole run, s |"
    return _table(head, rows)


def _adds_up(summary: dict[str, Any]) -> str:
    integrity = summary["integrity"]
    held = sum(law["ok"] is True for law in integrity["checks"])
    return (
        f"{summary['accepts']} | {summary['wakeups']['per_connection']:,g} |"
        f" {held} of {len(integrity['checks'])} | {integrity['events_lost']}"
    )


def cost(size: Size) -> str:
    """What a connection's wakeups cost as the herd grows."""
    with tempfile.TemporaryDirectory(prefix="herd-benchmark-") as scratch:
        found = {
            workers: [_costs(workers, Path(scratch)) for _ in range(size.turns)]
            for workers in size.workers
        }
    middle = {n: statistics.median(cost for cost, _ in costs) for n, costs in found.items()}
    slope, base = np.polyfit(
        list(middle), list(middle.values()), 1, w=1 / np.array([*middle.values()])
    )
    rows = [
        f"| {n:,} | {_page.spread([wakeups for _, wakeups in costs], ',.0f')} |"
        f" {_page.spread([cost for cost, _ in costs], ',.1f')} | {base + slope * n:,.1f} |"
        f" {_page.spread([cost / wakeups for cost, wakeups in costs], '.2f')} |"
        for n, costs in found.items()
    ]
    head = (
        "| N | wakeups a connection | workers' CPU a connection, µs | the line, µs | a wakeup, µs |"
    )
    return f"The line: {base:.1f} µs + {slope:.2f} µs × N. {_turns(size)}\n\n{_table(head, rows)}"


def _costs(workers: int, folder: Path) -> tuple[float, float]:
    """Of epoll: the workers' time on a CPU a connection, µs, and wakeups a connection."""
    run = _settled("epoll", workers, 100 if workers < 256 else 40, folder)
    accepts = run.summary["accepts"]
    print(f"cost: epoll, {workers} workers", file=sys.stderr)
    return caused_cpu_ns(run) / 1000 / accepts, run.summary["wakeups"]["total"] / accepts


# -- memory ---------------------------------------------------------------------------------------


def memory(size: Size) -> str:
    """Many connections in one run; draws docs/memory.png."""
    with tempfile.TemporaryDirectory(prefix="herd-benchmark-", dir="/var/tmp") as scratch:
        watched, _ = _run(Path(scratch), "many", "--pattern", "closed", "-c", str(size.connections))
    return _drawn("memory", "as fast as they were served", watched)


def soak(size: Size) -> str:
    """A long run at a part of the capacity, which is measured first; draws docs/soak.png."""
    with tempfile.TemporaryDirectory(prefix="herd-benchmark-", dir="/var/tmp") as scratch:
        _, closed = _run(Path(scratch), "closed", "--pattern", "closed", "-d", f"{_CAPACITY_S}s")
        rate = _SHARE_OF_CAPACITY * closed.summary["accepts"] / _CAPACITY_S
        long = ("-r", f"{rate:.0f}", "-d", f"{size.minutes * 60:g}s")
        watched, run = _run(Path(scratch), "soak", *long)
        rows = [f"| {part} | {_quantiles(values)} |" for part, values in _parts(run)]
    how = f"{rate:,.0f} a second, {_SHARE_OF_CAPACITY * 100:.0f} % of what it had just served"
    drift = _table("| first byte, µs | connections | p50 | p99 | max |", rows)
    return f"{_drawn('soak', how, watched)}\n\n{drift}"


def _run(folder: Path, name: str, *options: str) -> tuple[_memory.Watched, Recording]:
    output = ("--no-picture", "--json", "-o", str(folder / name))
    print(f"{name}: herd run {' '.join(options)}", file=sys.stderr)
    watched = _memory.watch(["run", "-s", "accept", "-n", str(_WORKERS), *output, *options])
    return watched, load(folder / name)


def _drawn(name: str, how: str, watched: _memory.Watched) -> str:
    """Draw docs/NAME.png; what is to be said of it."""
    summary = json.loads(watched.output)
    title = f"{summary['connections']['established']:,} connections, {how}"
    figure = _memory.draw(watched, title, _page.machine())
    figure.savefig(_page.DOCS / f"{name}.png", dpi=100)
    return f"{_page.machine()}\n\n{title}: {_said(summary, watched)}\n\n{_of_roles(watched)}"


def _parts(run: Recording) -> Iterator[tuple[str, Any]]:
    """How long the first bytes took in each quarter of the time."""
    rows = list(run.batches("connections", ["intended_ns", "first_byte_ns"]))
    intended, answered = (
        np.concatenate([part[name].to_numpy() for part in rows])
        for name in ("intended_ns", "first_byte_ns")
    )
    edges = np.linspace(run.run["begin_ns"], run.run["end_ns"], 5)
    for number in range(4):
        mine = (edges[number] <= intended) & (intended < edges[number + 1])
        yield f"quarter {number + 1}", (answered - intended)[mine] / 1000


def _quantiles(values: Any) -> str:
    cells = [f"{value:,.0f}" for value in np.quantile(values, [0.5, 0.99, 1])]
    return " | ".join([f"{len(values):,}", *cells])


def _said(summary: dict[str, Any], watched: _memory.Watched) -> str:
    connections, integrity = summary["connections"], summary["integrity"]
    held = sum(law["ok"] is True for law in integrity["checks"])
    missed = connections["intended"] - connections["attempted"]
    behind = f" {missed:,} were due and not started: the machine was too busy." if missed else ""
    return (
        f"{watched.seconds[watched.during - 1]:.0f} s, {connections['failed']} failed, {held} of"
        f" {len(integrity['checks'])} laws held, {integrity['events_lost']} events lost; their logs grew to"
        f" {max(watched.logs):.0f} MiB; the controller's peak (VmHWM) was {watched.peak:.0f} MiB, at"
        f" the end.{behind}"
    )


def _of_roles(watched: _memory.Watched) -> str:
    rows = []
    for role in watched.roles:
        second, last = watched.quarters(role)
        rows.append(f"| {role} | {second:.1f} | {last:.1f} | {last / second:.2f} |")
    return _table("| own memory, MiB | second quarter | last quarter | ratio; goal ≤ 1.1 |", rows)


_PARTS: Final[dict[str, Callable[[Size], str]]] = {
    "start": start,
    "laws": laws,
    "cost": cost,
    "memory": memory,
    "soak": soak,
}
_FULL: Final = Size((1, 4, 16, 64, 256, 1024), 5, 1_000_000, 10.0)
_QUICK: Final = Size((1, 16, 64), 1, 20_000, 0.2)


def main() -> None:
    """Measure, print, and write."""
    parser = _page.options(__doc__)
    parser.add_argument("--part", choices=_PARTS, help="only this one")
    parser.add_argument("--quick", action="store_true", help="small numbers; other options win")
    parser.add_argument("--turns", type=int, help=f"of what is timed ({_FULL.turns})")
    parser.add_argument("--connections", type=int, help=f"in one run ({_FULL.connections})")
    parser.add_argument("--minutes", type=float, help=f"of the soak ({_FULL.minutes:g})")
    asked = parser.parse_args()
    size = _QUICK if asked.quick else _FULL
    size = Size(
        size.workers,
        asked.turns or size.turns,
        asked.connections or size.connections,
        asked.minutes or size.minutes,
    )
    try:
        for name in [asked.part] if asked.part else _PARTS:
            text = _PARTS[name](size)
            print(text)
            if not asked.only:
                _page.write(f"scale, {name}", text)
    except HerdError as error:
        sys.exit(f"scale.py: {error.message}")


if __name__ == "__main__":
    main()
