"""When connections are due: evenly paced and interleaved, or one at a time once all is quiet."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from herd.errors import UsageError
from herd.pool.settle import Sleepers
from herd.traffic import patterns
from herd.traffic.patterns import Situation, settled
from herd.traffic.patterns.constant import Constant
from herd.traffic.patterns.settled import Settled

BEGIN = 5_000_000_000
SECOND = 1_000_000_000


@dataclass
class Progress:
    started: int = 0
    established: int = 0
    open_now: int = 0


def situation(**changes) -> Situation:
    values = {"begin": BEGIN, "rate": 1000.0, "index": 0, "processes": 1, "pids": [], "areas": []}
    return Situation(**values | changes)


# --- constant


@pytest.mark.parametrize("rate", [1.0, 3.0, 1000.0, 7777.7, 1e6])
@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_take_turns_and_together_keep_the_rate(processes, rate):
    due = []
    for index in range(processes):
        pattern = Constant(situation(rate=rate, index=index, processes=processes))
        due += [pattern.due(Progress(started=turn)) for turn in range(20)]
    expected = [BEGIN + int(turn * 1e9 / rate) for turn in range(20 * processes)]
    assert sorted(due) == expected
    assert due[:2] == [expected[0], expected[processes]]


def test_a_late_connection_keeps_its_intended_time():
    pattern = Constant(situation(rate=10.0))
    on_time = pattern.due(Progress(started=5))
    assert pattern.due(Progress(started=5, established=1, open_now=4)) == on_time
    assert on_time == BEGIN + SECOND // 2


def test_a_long_run_does_not_drift():
    pattern = Constant(situation(rate=3.0))
    assert pattern.due(Progress(started=3_000_000)) == BEGIN + 1_000_000 * SECOND


# --- settled


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = BEGIN + SECOND

    def __call__(self) -> int:
        return self.now


class Workers:
    """Instead of real processes; looking at them takes time."""

    def __init__(self, clock: Clock) -> None:
        self.asleep = True
        self.look_ns = 0
        self._clock = clock

    def __call__(self, pids: list[int]) -> Workers:
        return self

    def all_asleep(self) -> bool:
        self._clock.now += self.look_ns
        return self.asleep


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic_ns", clock)
    return clock


@pytest.fixture
def workers(clock, monkeypatch):
    workers = Workers(clock)
    monkeypatch.setattr(settled, "Sleepers", workers)
    return workers


def test_nothing_is_due_before_the_beginning(clock, workers):
    pattern = Settled(situation())
    clock.now = BEGIN - 1000
    assert pattern.due(Progress()) == BEGIN
    clock.now = BEGIN
    assert pattern.due(Progress()) == BEGIN


def test_the_next_is_due_now_once_all_is_quiet(clock, workers):
    areas = [{"closed": 2}, {"closed": 3}]
    pattern = Settled(situation(areas=areas))
    assert pattern.due(Progress(started=5, established=5)) == clock.now


@pytest.mark.parametrize("disturbance", ["a connection is open", "one is not closed", "one is up"])
def test_whatever_is_not_quiet_holds_the_next_one_back(disturbance, clock, workers):
    areas = [{"closed": 2}, {"closed": 3}]
    progress = Progress(started=5, established=5)
    pattern = Settled(situation(areas=areas))
    if disturbance == "a connection is open":
        progress.open_now = 1
    elif disturbance == "one is not closed":
        areas[1]["closed"] = 2
    else:
        workers.asleep = False
    assert pattern.due(progress) is None
    progress.open_now, areas[1]["closed"], workers.asleep = 0, 3, True
    assert pattern.due(progress) == clock.now


def test_patience_ends_after_two_seconds_and_begins_anew_for_each_connection(clock, workers):
    workers.asleep = False
    pattern = Settled(situation())
    assert pattern.due(Progress(started=1)) is None
    clock.now += 2 * SECOND
    assert pattern.due(Progress(started=1)) is None
    clock.now += 1
    assert pattern.due(Progress(started=1)) == clock.now
    assert pattern.due(Progress(started=2)) is None
    clock.now += 2 * SECOND + 1
    assert pattern.due(Progress(started=2)) == clock.now


def test_the_time_it_takes_to_look_is_not_charged_to_the_connection(clock, workers):
    workers.look_ns = 70_000
    pattern = Settled(situation())
    before = clock.now
    assert pattern.due(Progress()) == clock.now > before


# --- finding them


def test_patterns_are_found_by_name_and_unknown_ones_name_the_nearest():
    assert patterns.names() == ["constant", "settled"]
    assert patterns.find("constant") is Constant
    assert patterns.find("settled") is Settled
    with pytest.raises(UsageError, match="arrival pattern 'setled'; did you mean 'settled'"):
        patterns.find("setled")


# --- the state of real processes


def test_a_sleeping_process_is_told_from_a_running_one():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sleeper:
        asleep = Sleepers([sleeper.pid])
        assert asleep.wait(10)
        asleep.close()
    spin = [sys.executable, "-c", "print(1, flush=True)\nwhile True: pass"]
    with subprocess.Popen(spin, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        runner.stdout.readline()
        both = Sleepers([runner.pid, 2**22 - 1])
        assert not both.all_asleep()
        assert not both.wait(0)
        runner.kill()
        assert both.wait(10)  # a dead one disturbs nobody
        both.close()


def test_a_process_may_be_called_anything(tmp_path):
    odd = tmp_path / "a) R (b"
    odd.symlink_to("/bin/cat")
    with subprocess.Popen([odd], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        sleepers = Sleepers([process.pid])
        assert sleepers.wait(10)
        sleepers.close()


PASSES = """
import os, sys
while True:
    os.write(int(sys.argv[2]), os.read(int(sys.argv[1]), 1))
"""


def test_two_of_which_one_always_runs_are_never_all_asleep():
    """They pass a byte to and fro, as threads pass the GIL: each is asleep half of the time."""
    there, back = os.pipe(), os.pipe()
    ends = [(there[0], back[1]), (back[0], there[1])]
    command = [sys.executable, "-S", "-c", PASSES]
    both = [
        subprocess.Popen([*command, *map(str, pair)], pass_fds=pair, stderr=subprocess.DEVNULL)
        for pair in ends
    ]
    os.write(there[1], b"x")
    for fd in (*there, *back):
        os.close(fd)
    try:
        time.sleep(0.2)
        sleepers = Sleepers([process.pid for process in both])
        looks = [sleepers.all_asleep() for _ in range(3000)]
        assert [process.poll() for process in both] == [None, None]
        sleepers.close()
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert not any(looks)
