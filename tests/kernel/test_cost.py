"""What the probes cost a task, against an empty program on the same tracepoint, at the same events.

Only ratios of one run are compared. Both programs run at each event, one after the other on one CPU, so what
disturbs this machine disturbs both, but for an interrupt within one of them, or a cold cache: of several
rounds each one's best counts. A program's time includes the kernel's reading of its clock, which is nearly
all of an empty one's.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from herd import assembler, bpf
from herd.assembler import R0
from herd.probes.btf import Btf
from herd.probes.modes import find
from herd.probes.session import Session

pytestmark = pytest.mark.kernel

#: How many times an empty program's time it may be: one and a half times what was measured where it is most.
#: That's on an Intel Xeon, where the kernel's clock, which is most of what is measured, is read faster than
#: on an AMD EPYC. To read it at every task's system call is more than that.
UNTRACKED = {"sys_exit": 2.3, "sched_switch": 2.6, "sched_waking": 2.6}
TRACKED = {"sys_exit": 4.2, "sched_switch": 9.0, "sched_waking": 12.6}
ROUNDS = 5
TURNS = 2000
CAPACITY = 16
#: In a process of its own, what is compiled goes into the cache, and LLVM not into the tests' process.
COMPILE = f"""
from herd.probes.btf import Btf
from herd.probes.modes import find
from herd.probes.session import Session
Session(find("tracepoints"), Btf.vmlinux(), {CAPACITY}).close()
"""
ECHO = "import os\nwhile os.read(0, 1): os.write(1, b'x')"


class Programs:
    """The probes, attached, and an empty program beside each."""

    def __init__(self) -> None:
        self._empty: dict[str, int] = {}
        with contextlib.ExitStack() as self._undo:
            self.session = Session(find("tracepoints"), Btf.vmlinux(), CAPACITY)
            self._undo.callback(self.session.close)
            code = assembler.assemble([assembler.do(R0, "=", 0), assembler.leave()])
            for name in UNTRACKED:
                self._empty[name] = program = bpf.load(bpf.RAW_TRACEPOINT, code, name="empty")
                self._undo.callback(os.close, program)
                self._undo.callback(os.close, bpf.open_raw_tracepoint(program, name))
            measuring = bpf.enable_statistics()
            assert measuring is not None
            self._undo.callback(os.close, measuring)
            self.close = self._undo.pop_all().close

    def read(self, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Runs and ns until now: of the probe, of the empty program."""
        kind = "later" if name == "sys_exit" else "raw_tracepoint"
        probe = self.session.loaded.fds[f"{kind}__{name}"]
        return measured(probe), measured(self._empty[name])


def measured(program: int) -> tuple[int, int]:
    text = Path(f"/proc/self/fdinfo/{program}").read_text()
    counts = dict(re.findall(r"^(run_\w+):\s*(\d+)", text, re.MULTILINE))
    return int(counts["run_cnt"]), int(counts["run_time_ns"])


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    subprocess.run([sys.executable, "-c", COMPILE], check=True)
    attached = Programs()
    yield attached
    attached.close()


@pytest.fixture
def echo() -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers: each turn is two system calls, a wakeup and a sleep of either side."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-S", "-c", ECHO], stdin=pipe, stdout=pipe) as process:
        yield process


def play(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    assert process.stdout
    for _ in range(TURNS):
        os.write(process.stdin.fileno(), b"x")
        os.read(process.stdout.fileno(), 1)


def ns_a_run(before: tuple[int, int], after: tuple[int, int]) -> float:
    runs = after[0] - before[0]
    assert runs >= TURNS
    return (after[1] - before[1]) / runs


def ratios(programs: Programs, process: subprocess.Popen[bytes]) -> dict[str, float]:
    """By tracepoint: how many times an empty program's ns the probe takes."""
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in UNTRACKED}
    play(process)
    for _ in range(ROUNDS):
        before = {name: programs.read(name) for name in UNTRACKED}
        play(process)
        for name in UNTRACKED:
            (probe, empty), (probe_now, empty_now) = before[name], programs.read(name)
            rounds[name].append((ns_a_run(probe, probe_now), ns_a_run(empty, empty_now)))
    best = {
        name: [min(values) for values in zip(*found, strict=True)] for name, found in rounds.items()
    }
    return {name: probe / empty for name, (probe, empty) in best.items()}


def over(found: dict[str, float], most: dict[str, float]) -> dict[str, float]:
    return {name: ratio for name, ratio in found.items() if ratio > most[name]}


def test_a_task_that_is_not_tracked_pays_hardly_more_than_for_an_empty_program(programs, echo):
    found = ratios(programs, echo)
    assert not over(found, UNTRACKED)


def test_a_workers_event_costs_a_few_empty_programs(programs, echo):
    tids = [threading.get_native_id(), echo.pid]
    programs.session.begin()
    programs.session.watch(tids, [])
    found = ratios(programs, echo)
    programs.session.end()
    assert programs.session.lanes.account()["produced"] >= TURNS * ROUNDS  # it did track them
    assert not over(found, TRACKED)
