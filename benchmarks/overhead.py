"""``make bench``: what it costs a saturated server to be observed: by herd, perf, trace-cmd and bpftrace.

In every turn each observer watches a fresh nginx in a network namespace of its own: once saturated by wrk,
once asked at an even pace. Its cost is what it lacks against nobody watching, in the same turn. As root, on
an idle machine:

    make bench
    .venv/bin/python benchmarks/overhead.py --turns 1 --print
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _bench import alone, herd_load, wrk_rate
from _page import machine, options, spread, write

from herd import assembler, bpf
from herd.observe import servers
from herd.observe.listeners import listening
from herd.probes.events import RECORD
from herd.process import Child, Message

NOBODY = "nobody"
PACE = 1000  # connections per second, at which an answer's time is taken
BPFTRACE_EVENTS = "tracepoint:sched:sched_waking,tracepoint:sched:sched_switch"

#: What the tracepoint probe is attached to.
TRACEPOINTS = "sk_data_ready inet_sock_set_state softirq_exit sched_waking sched_switch sys_exit"
RAW_TRACEPOINT = 17

TRACING_ON = Path("/sys/kernel/tracing/tracing_on")

#: Words before the load's command: the observer runs it.
Watch = Callable[["Watched"], AbstractContextManager[list[str]]]


@dataclass(frozen=True)
class Watched:
    """The server, and where an observer may write."""

    server: servers.Running
    folder: Path


@dataclass(frozen=True)
class Observer:
    """Who watches.

    :param program: that it needs
    """

    name: str
    keeps: str
    watch: Watch
    program: str = "nginx"


@contextlib.contextmanager
def herd_observe(watched: Watched) -> Iterator[list[str]]:
    """The command, until Ctrl-C."""
    target = ["observe", f"127.0.0.1:{watched.server.port}", "-d", "0", "--json", "--no-picture"]
    command = [sys.executable, "-m", "herd", *target, "-o", str(watched.folder / "observed")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        if not said.startswith("observing"):
            sys.exit(f"herd observe: {said}{process.stderr.read()}")
        yield []
        process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    if process.returncode or not json.loads(out)["integrity"]["ok"]:
        sys.exit(f"herd observe broke a law: {out}{error}")


def _answer(probe: Child, order: Message) -> Message:
    probe.channel.send(order)
    said = probe.channel.receive(timeout=60)
    if said is None or said["event"] == "failed":
        raise probe.failure(said["message"] if said else None)
    return said


@contextlib.contextmanager
def probe_process(watched: Watched) -> Iterator[Child]:
    """The process that ``herd run`` starts, told of these workers; it must lose nothing."""
    probe = Child("probe", "herd.probes.main")
    _answer(probe, {"probe": "auto", "capacity": 64, "follow": False})
    raw = watched.folder / "events"
    _answer(probe, {"do": "record", "events": str(raw)})
    cookies = [found.cookie for found in listening() if found.port == watched.server.port]
    order = {"do": "watch", "tids": watched.server.workers, "cookies": cookies, "unix": False}
    _answer(probe, order)
    try:
        yield probe
        stopped = _answer(probe, {"do": "stop"})
    finally:
        probe.process.kill()
        probe.process.wait()
    lost = stopped["lost"] or stopped["produced"] != stopped["kept"]
    if lost or raw.stat().st_size < stopped["kept"] * RECORD.itemsize:
        sys.exit(f"herd's probes lost records: {stopped}")


@contextlib.contextmanager
def herd_run(watched: Watched) -> Iterator[list[str]]:
    """What a run has, without what starts its own workers and clients."""
    with probe_process(watched):
        yield []


@contextlib.contextmanager
def empty_programs(_: Watched) -> Iterator[list[str]]:
    """What no observer by these tracepoints can do without: BPF programs that return at once."""
    code = assembler.assemble([assembler.do(assembler.R0, "=", 0), assembler.leave()])
    with contextlib.ExitStack() as undo:
        program = bpf.load(RAW_TRACEPOINT, code, name="empty")
        undo.callback(os.close, program)
        for name in TRACEPOINTS.split():
            undo.callback(os.close, bpf.open_raw_tracepoint(program, name))
        yield []


def perf(events: str) -> Watch:
    """perf record."""

    def watch(watched: Watched) -> AbstractContextManager[list[str]]:
        output = str(watched.folder / "perf.data")
        return contextlib.nullcontext(["perf", "record", "-q", "-a", "-e", events, "-o", output])

    return watch


@contextlib.contextmanager
def trace_cmd(watched: Watched) -> Iterator[list[str]]:
    """trace-cmd record, which leaves tracing off where it is refused."""
    before = TRACING_ON.read_text()
    try:
        yield ["trace-cmd", "record", "-q", "-e", "sched", "-o", str(watched.folder / "trace.dat")]
    finally:
        TRACING_ON.write_text(before)


def bpftrace(action: str) -> Watch:
    """bpftrace, with what it does at each event."""

    @contextlib.contextmanager
    def watch(watched: Watched) -> Iterator[list[str]]:
        # Not BEGIN: what it prints may be lost, and then nobody knows that it counts.
        script = 'interval:ms:100 { printf("ready\\n"); }' + BPFTRACE_EVENTS + action
        printed = watched.folder / "printed"
        with (
            printed.open("w") as out,
            subprocess.Popen(
                ["bpftrace", "-B", "line", "-e", script], stdout=out, stderr=subprocess.DEVNULL
            ) as process,
        ):
            servers.until(lambda: "ready" in printed.read_text(), "bpftrace was ready")
            yield []
            process.send_signal(signal.SIGINT)

    return watch


OBSERVERS = {
    observer.name: observer
    for observer in (
        Observer(NOBODY, "", lambda _: contextlib.nullcontext([])),
        Observer("herd observe", "each wakeup with its cause, each accept", herd_observe),
        Observer("herd run's probes", "the same", herd_run),
        Observer("empty programs, as many", "nothing", empty_programs),
        Observer(
            "perf record -e 'sched:*'", "each event of the scheduler", perf("sched:*"), "perf"
        ),
        Observer(
            "perf record -e 'sched:*,raw_syscalls:*'",
            "and each system call",
            perf("sched:*,raw_syscalls:*"),
            "perf",
        ),
        Observer("trace-cmd record -e sched", "the same", trace_cmd, "trace-cmd"),
        Observer(
            "bpftrace, counting",
            "how many wakeups and switches, by task",
            bpftrace("{ @[probe, pid] = count(); }"),
            "bpftrace",
        ),
        Observer(
            "bpftrace, printing",
            "a line for each wakeup and switch",
            bpftrace('{ printf("%llu %s %d\\n", nsecs, probe, pid); }'),
            "bpftrace",
        ),
    )
}


@contextlib.contextmanager
def _server() -> Iterator[Watched]:
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as out,
        servers.running(servers.find("nginx"), Path(folder), workers=2) as running,
    ):
        yield Watched(running, Path(out))


def _worked_ns(watched: Watched) -> int:
    """Time that the server's workers have had on CPUs, the kernel's work for them included."""
    texts = [Path(f"/proc/{pid}/schedstat").read_text() for pid in watched.server.workers]
    return sum(int(text.split()[0]) for text in texts)


def _one(name: str, seconds: float) -> dict[str, float]:
    """A turn of one observer."""
    watch = OBSERVERS[name].watch
    with _server() as watched, watch(watched) as before:
        began = _worked_ns(watched)
        rate = wrk_rate(watched.server.port, seconds, before)
        cpu_us = (_worked_ns(watched) - began) / 1000 / (rate * seconds)
    with _server() as watched, watch(watched) as before:
        asks = ("-R", "http", "-r", str(PACE), "-d", f"{seconds}s")
        answer = herd_load(watched.server.port, *asks, before=before)["latency_us"]["first_byte"]
    return {"rate": rate, "cpu_us": cpu_us, "p50": answer["p50"], "p99": answer["p99"]}


# -- ns an event ----------------------------------------------------------------------------------


def _programs(pid: int) -> dict[str, tuple[int, int]]:
    """By tracepoint: how often a process's program ran, and for how many ns, as the kernel measured it."""
    texts = [info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir()]
    facts = [dict(re.findall(r"^(\w+):\s*(\S+)", text, re.MULTILINE)) for text in texts]
    names = {fact["prog_id"]: fact["tp_name"] for fact in facts if "tp_name" in fact}
    return {
        names[fact["prog_id"]]: (int(fact["run_cnt"]), int(fact["run_time_ns"]))
        for fact in facts
        if "run_cnt" in fact and fact["prog_id"] in names
    }


def _events(seconds: float) -> dict[str, dict[str, float]]:
    """By tracepoint: runs per connection, and ns a run. Nothing else is measured at the same time."""
    with _server() as watched, probe_process(watched) as probe:
        measuring = bpf.enable_statistics()
        if measuring is None:
            sys.exit("this kernel does not measure BPF programs")
        connections = wrk_rate(watched.server.port, seconds) * seconds
        found = _programs(probe.pid)
        os.close(measuring)
    return {
        name: {"runs": runs / connections, "ns": ns / runs}
        for name, (runs, ns) in found.items()
        if runs
    }


# -- the tables -----------------------------------------------------------------------------------


def _measure(turns: int, seconds: float) -> tuple[dict[str, list[dict[str, float]]], list[str]]:
    """The turns of each observer that can watch here, and why the others can't."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in OBSERVERS}
    cannot: list[str] = []
    for turn in range(turns):
        for name in list(found):
            print(f"turn {turn + 1} of {turns}: {name}", file=sys.stderr)
            try:
                found[name].append(alone(__file__, name, str(seconds)))
            except SystemExit as failure:
                if turn:
                    raise
                cannot.append(f"{name} ({_why(OBSERVERS[name], str(failure))})")
                del found[name]
    return found, cannot


def _why(observer: Observer, failure: str) -> str:
    if not shutil.which(observer.program):
        return f"{observer.program} is not installed"
    return failure.strip().splitlines()[-1].strip()


def _row(name: str, found: dict[str, list[dict[str, float]]]) -> str:
    mine, yardstick = found[name], found[NOBODY]
    cells = [name, OBSERVERS[name].keeps, spread([turn["rate"] for turn in mine], ",.0f")]
    pairs = list(zip(mine, yardstick, strict=True))
    costs = [100 * (1 - one["rate"] / other["rate"]) for one, other in pairs]
    cells.append("" if name == NOBODY else f"{spread(costs, '.1f')} %")
    more = [100 * (one["cpu_us"] / other["cpu_us"] - 1) for one, other in pairs]
    cells.append(spread([turn["cpu_us"] for turn in mine], ".0f"))
    cells.append("" if name == NOBODY else f"{spread(more, '+.1f')} %")
    for figure in ("p50", "p99"):
        added = [one[figure] - other[figure] for one, other in pairs]
        values = [turn[figure] for turn in yardstick] if name == NOBODY else added
        cells.append(spread(values, ".0f" if name == NOBODY else "+.0f"))
    return f"| {' | '.join(cells)} |"


def _table(
    found: dict[str, list[dict[str, float]]], cannot: list[str], turns: int, seconds: float
) -> str:
    programs = [f"nginx {servers.find('nginx').version()}"]
    absent = f" Could not watch here: {', '.join(cannot)}." if cannot else ""
    head = [
        f"{machine(*programs)} {turns} turns of {seconds:g} s each.{absent} Median (lowest to highest).",
        "",
        "| observer | what it keeps | connections/s | fewer | server's CPU, µs a connection | more"
        " | first byte p50, µs | p99, µs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(_row(name, found) for name in found)])


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
    parser.add_argument("--turns", type=int, default=7, help="of every observer (default: 7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="each time (2)")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        name, seconds = asked.one
        one: dict[str, Any] = dict(
            _one(name, float(seconds)) if name in OBSERVERS else _events(float(seconds))
        )
        print(json.dumps(one))
        return
    events = [alone(__file__, "events", str(asked.seconds)) for _ in range(asked.turns)]
    found = _measure(asked.turns, asked.seconds)
    table = f"{_table(*found, asked.turns, asked.seconds)}\n\n{_events_table(events)}"
    print(table)
    if not asked.only:
        write("overhead", table)


if __name__ == "__main__":
    main()
