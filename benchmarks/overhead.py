"""``make bench``: what it costs a saturated server to be observed: by herd, perf, trace-cmd and bpftrace.

In every turn, on a fresh nginx in a network namespace of its own, each observer watches between two slices in
which nobody does: in the first turns while wrk saturates the server, then while it is asked at an even pace.
Its cost is what it lacks against the mean of its two neighbours. herd's probes are besides switched on and
off in shorter slices of one load: that is more exact. As root, on an idle machine, an hour:

    make bench
    .venv/bin/python benchmarks/overhead.py --turns 1 --print
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import _switched
import numpy as np
from _bench import alone, herd_load, wrk_rate
from _observers import NOBODY, OBSERVERS, Watched, probe_process
from _page import machine, options, spread, write

from herd import bpf
from herd.analysis.statistics import median, resampled
from herd.observe import servers

PACE = 1000  # connections per second, at which an answer's time is taken
SWITCHES = 400  # of herd's probes in a turn


@contextlib.contextmanager
def _server() -> Iterator[servers.Running]:
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.running(servers.find("nginx"), Path(folder), workers=2) as running,
    ):
        yield running


@contextlib.contextmanager
def _watching(server: servers.Running, name: str) -> Iterator[list[str]]:
    if not shutil.which(OBSERVERS[name].program):
        sys.exit(f"{OBSERVERS[name].program} is not installed")
    with (
        tempfile.TemporaryDirectory() as folder,
        OBSERVERS[name].watch(Watched(server, Path(folder))) as before,
    ):
        yield before


def _worked_ns(server: servers.Running) -> int:
    """Time that the server's workers have had on CPUs, the kernel's work for them included."""
    texts = [Path(f"/proc/{pid}/schedstat").read_text() for pid in server.workers]
    return sum(int(text.split()[0]) for text in texts)


def _saturated(server: servers.Running, name: str, seconds: float) -> dict[str, float]:
    """What a server does while it is watched, asked for all that it can."""
    with _watching(server, name) as before:
        began = _worked_ns(server)
        rate = wrk_rate(server.port, seconds, before)
        cpu_us = (_worked_ns(server) - began) / 1000 / (rate * seconds)
    return {"rate": rate, "cpu_us": cpu_us}


def _paced(server: servers.Running, name: str, seconds: float) -> dict[str, float]:
    """How long it takes to answer while it is watched and has time to spare, µs."""
    with _watching(server, name) as before:
        asks = ("-R", "http", "-r", str(PACE), "-d", f"{seconds}s")
        answer = herd_load(server.port, *asks, before=before)["latency_us"]["first_byte"]
    return {"p50": answer["p50"], "p99": answer["p99"]}


SLICES = {"saturated": _saturated, "paced": _paced}


def _turn(what: str, names: list[str], seconds: float) -> dict[str, Any]:
    """By observer: what the server did while it watched, and what on the average just before and after.

    Of one that can't watch: why.

    :param what: of :data:`SLICES`; with one kind only, a slice's neighbours are as near in time as can be
    """
    found: dict[str, Any] = {}
    with _server() as server:
        measure = partial(SLICES[what], server, seconds=seconds)
        measure(NOBODY)  # to warm it up
        before = measure(NOBODY)
        for name in names:
            try:
                mine = measure(name)
            except SystemExit as failure:
                found[name] = str(failure)
                continue
            after = measure(NOBODY)
            found[name] = [mine, {key: (before[key] + after[key]) / 2 for key in before}]
            before = after
    return found


# -- ns an event ----------------------------------------------------------------------------------


#: By ``enum bpf_attach_type``.
_PEER_NAMES: Final = {"29": "accept (getpeername)", "30": "accept (getpeername, IPv6)"}


def _programs(pid: int) -> dict[str, tuple[int, int]]:
    """By what calls it: how often a process's program ran, and for how many ns, as the kernel measured it."""
    texts = [info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir()]
    facts = [dict(re.findall(r"^(\w+):\s*(\S+)", text, re.MULTILINE)) for text in texts]
    names = {fact["prog_id"]: fact["tp_name"] for fact in facts if "tp_name" in fact}
    names |= {
        fact["prog_id"]: _PEER_NAMES[fact["attach_type"]] for fact in facts if "cgroup_id" in fact
    }
    return {
        names[fact["prog_id"]]: (int(fact["run_cnt"]), int(fact["run_time_ns"]))
        for fact in facts
        if "run_cnt" in fact and fact["prog_id"] in names
    }


def _events(mode: str, seconds: float) -> dict[str, dict[str, float]]:
    """By what calls a program: runs per connection, and ns a run; nothing else is measured meanwhile."""
    with (
        _server() as server,
        tempfile.TemporaryDirectory() as folder,
        probe_process(mode, Watched(server, Path(folder))) as probe,
    ):
        measuring = bpf.enable_statistics()
        if measuring is None:
            sys.exit("this kernel does not measure BPF programs")
        connections = wrk_rate(server.port, seconds) * seconds
        found = _programs(probe.pid)
        os.close(measuring)
    return {
        name: {"runs": runs / connections, "ns": ns / runs}
        for name, (runs, ns) in found.items()
        if runs
    }


def _pairs(_: float) -> list[tuple[float, float]]:
    """Connections per second with herd's probes, and without."""
    with _server() as server, tempfile.TemporaryDirectory() as folder:
        return _switched.pairs(server, Path(folder), SWITCHES)


# -- the tables -----------------------------------------------------------------------------------


#: A slice of an observer, and the one without.
Pair = tuple[dict[str, float], dict[str, float]]


#: Of every observer.
Pairs = dict[str, list[Pair]]


def _measure(what: str, turns: int, seconds: float) -> tuple[Pairs, list[str]]:
    """The pairs of each observer that can watch here, and why the others can't.

    :param what: of :data:`SLICES`
    """
    names = [name for name in OBSERVERS if name != NOBODY]
    found: Pairs = {}
    cannot: list[str] = []
    for turn in range(turns):
        print(f"{what}: turn {turn + 1} of {turns}", file=sys.stderr)
        random.Random(turn).shuffle(names)
        for name, pair in alone(__file__, what, str(seconds), *names).items():
            if not isinstance(pair, str):
                found.setdefault(name, []).append(tuple(pair))
            elif turn:
                sys.exit(f"{name}: {pair}")
            else:
                cannot.append(f"{name} ({pair.strip().splitlines()[-1].strip()})")
                names = [other for other in names if other != name]
    return {name: found[name] for name in OBSERVERS if name in found}, cannot


def _sure(values: list[float], form: str) -> str:
    found = median(values)
    low, high = found.ends
    return f"{found.estimate:{form}} ({low:{form}} to {high:{form}})"


def _row(name: str, saturated: list[Pair], paced: list[Pair]) -> str:
    fewer = [100 * (1 - mine["rate"] / nobody["rate"]) for mine, nobody in saturated]
    more = [100 * (mine["cpu_us"] / nobody["cpu_us"] - 1) for mine, nobody in saturated]
    cells = [name, OBSERVERS[name].keeps, f"{_sure(fewer, '.1f')} %", f"{_sure(more, '+.1f')} %"]
    for figure in ("p50", "p99"):
        cells.append(spread([mine[figure] - nobody[figure] for mine, nobody in paced], "+.0f"))
    return f"| {' | '.join(cells)} |"


def _switched_line(pairs: list[tuple[float, float]]) -> str:
    fewer = np.sort([100 * (1 - mine / nobody) for mine, nobody in pairs])
    low, high = np.quantile(resampled(fewer, 0.5), [0.025, 0.975])
    return (
        f"**herd run's probes, attached and detached under one load**, {len(pairs):,} pairs of slices of"
        f" {_switched.SLICE_S * 1000:.0f} ms: {np.median(fewer):.1f} ({low:.1f} to {high:.1f}) % fewer"
        " connections/s; goal ≤ 3 %."
    )


def _unwatched(pairs: Pairs) -> dict[str, float]:
    slices = [nobody for some in pairs.values() for _, nobody in some]
    return {key: statistics.median(nobody[key] for nobody in slices) for key in slices[0]}


def _turns(pairs: Pairs) -> int:
    return max(map(len, pairs.values()))


def _table(saturated: Pairs, paced: Pairs, cannot: list[str], seconds: float) -> str:
    programs = [f"nginx {servers.find('nginx').version()}"]
    absent = f" Could not watch here: {', '.join(cannot)}." if cannot else ""
    usual = _unwatched(saturated) | _unwatched(paced)
    head = [
        f"{machine(*programs)} {_turns(saturated)} turns with wrk, then {_turns(paced)} at {PACE:,}"
        f" connections/s, slices of {seconds:g} s.{absent} With nobody watching: {usual['rate']:,.0f}"
        f" connections/s, {usual['cpu_us']:.0f} µs of the server's CPU for each, first byte after"
        f" {usual['p50']:.0f} µs (p50), {usual['p99']:.0f} µs (p99). Medians, of per cents with their 95 %"
        " interval, of µs from lowest to highest.",
        "",
        "| observer | what it keeps | fewer connections/s | more of the server's CPU for each"
        " | first byte p50, µs | p99, µs |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(_row(name, saturated[name], paced[name]) for name in saturated)])


def _events_table(turns: list[dict[str, dict[str, float]]]) -> str:
    def middle(name: str, figure: str) -> float:
        return statistics.median(turn[name][figure] for turn in turns if name in turn)

    names = sorted({name for turn in turns for name in turn})
    rows = [(name, middle(name, "runs"), middle(name, "ns")) for name in names]
    rows.sort(key=lambda row: -row[1] * row[2])
    total = sum(runs * ns for _, runs, ns in rows)
    head = [
        "| tracepoint | runs a connection | ns a run | ns a connection |",
        "|---|---:|---:|---:|",
    ]
    lines = [f"| {name} | {runs:.1f} | {ns:.0f} | {runs * ns:,.0f} |" for name, runs, ns in rows]
    return "\n".join([*head, *lines, f"| all | | | {total:,.0f} |"])


def main() -> None:
    """Measure, print, and write."""
    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=30, help="of every observer (default: 30)")
    parser.add_argument("--seconds", type=float, default=2.0, help="each time (2)")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        what, seconds, *names = asked.one
        ones: dict[str, Callable[[float], Any]] = {
            "events": partial(_events, *names),
            "switched": _pairs,
        }
        measure = ones.get(what) or partial(_turn, what, names)
        print(json.dumps(measure(float(seconds))))
        return
    few = min(asked.turns, 5)
    events = [alone(__file__, "events", str(asked.seconds), "light") for _ in range(few)]
    switched = []
    for turn in range(asked.turns):
        print(f"switched: turn {turn + 1} of {asked.turns}", file=sys.stderr)
        switched += alone(__file__, "switched", "0")
    saturated, cannot = _measure("saturated", asked.turns, asked.seconds)
    paced, cannot_either = _measure("paced", few, asked.seconds)
    if set(saturated) != set(paced):
        sys.exit(f"could watch once, and then not: {cannot}, {cannot_either}")
    parts = [
        _table(saturated, paced, cannot, asked.seconds),
        _switched_line(switched),
        _events_table(events),
    ]
    table = "\n\n".join(parts)
    print(table)
    if not asked.only:
        write("overhead", table)


if __name__ == "__main__":
    main()
