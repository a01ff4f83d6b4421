"""Who watches a server, in benchmarks/overhead.py: herd, perf, trace-cmd, bpftrace, and nobody."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from herd import assembler, bpf
from herd.observe import servers
from herd.observe.listeners import listening
from herd.probes.events import EVENT
from herd.probes.modes.light import Light
from herd.process import Child, Message

NOBODY = "nobody"
BPFTRACE_EVENTS = "tracepoint:sched:sched_waking,tracepoint:sched:sched_switch"


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
def probe_process(mode: str, watched: Watched) -> Iterator[Child]:
    """The process that ``herd run`` starts, told of these workers; it must lose nothing."""
    probe = Child("probe", "herd.probes.main")
    _answer(probe, {"probe": mode, "capacity": 64, "follow": False})
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
    if lost or raw.stat().st_size < stopped["kept"] * EVENT.itemsize:
        sys.exit(f"herd's probes lost records: {stopped}")


@contextlib.contextmanager
def herd_run(mode: str, watched: Watched) -> Iterator[list[str]]:
    """What a run has, without what starts its own workers and clients."""
    with probe_process(mode, watched):
        yield []


@contextlib.contextmanager
def empty_programs(tracepoints: Sequence[str], _: Watched) -> Iterator[list[str]]:
    """What no observer by these tracepoints can do without: BPF programs that return at once."""
    code = assembler.assemble([assembler.do(assembler.R0, "=", 0), assembler.leave()])
    with contextlib.ExitStack() as undo:
        program = bpf.load(bpf.RAW_TRACEPOINT, code, name="empty")
        undo.callback(os.close, program)
        for name in tracepoints:
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
        Observer("herd run's probes", "the same", partial(herd_run, "light")),
        Observer("empty programs, as many", "nothing", partial(empty_programs, Light.scheduling)),
        Observer(
            "herd run --probe tracepoints", "also accepts in vain", partial(herd_run, "tracepoints")
        ),
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
