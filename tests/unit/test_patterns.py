"""When connections are due: evenly paced and interleaved, or one at a time once all is quiet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from herd.errors import UsageError
from herd.pool.settle import Sleepers
from herd.recording.read import load
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


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = BEGIN + SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic_ns", clock)
    return clock


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


# --- poisson, bursts, ramp, replay


def times(name: str, count: int, processes: int = 1, **changes) -> list[float]:
    """Seconds after the beginning, of connections in the order of their turns."""
    pattern = patterns.find(name)
    each = [
        pattern(situation(index=index, processes=processes, **changes))
        for index in range(processes)
    ]
    due = [each[turn % processes].due(Progress(started=turn // processes)) for turn in range(count)]
    return [(time - BEGIN) / 1e9 for time in due]


def test_gaps_of_poisson_are_exponential_by_mean_variance_and_distribution():
    gaps = np.diff([0.0, *times("poisson", 20_000, rate=500.0)])
    assert gaps.mean() == pytest.approx(1 / 500, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 500, rel=0.05)
    assert stats.kstest(gaps, "expon", (0, 1 / 500)).pvalue > 0.01


def test_the_seed_decides_and_the_number_of_processes_does_not():
    once, again = (times("poisson", 100, seed=3) for _ in range(2))
    assert once == again
    assert times("poisson", 100, seed=4) != once
    assert times("poisson", 100, processes=3, seed=3) == once


def test_bursts_come_together_and_keep_the_rate():
    found = times("bursts", 35, rate=100.0, chosen={"burst": "10"})
    assert found == [0.0] * 10 + [0.1] * 10 + [0.2] * 10 + [0.3] * 5


@pytest.mark.parametrize(("low", "high"), [(0, 200), (50, 150), (200, 20), (100, 100)])
def test_so_many_have_come_in_a_ramp_as_the_integral_of_its_rate_says(low, high):
    options = {"ramp-from": str(low), "ramp-time": "2"}
    found = np.array(times("ramp", 600, rate=float(high), chosen=options))
    assert (np.diff(found) > 0).all()
    for second in (0.5, 1.0, 1.9, 2.0, 3.0):
        inside = min(second, 2.0)
        integral = low * inside + (high - low) / 2 * inside**2 / 2 + high * (second - inside)
        assert (found < second - 1e-9).sum() == pytest.approx(integral, abs=1)


def test_recorded_times_are_replayed_in_order_from_the_earliest(tmp_path):
    file = tmp_path / "times.csv"
    file.write_text("time,path\n# a remark\n12.5,/\n10.0,/a\n\n10.25,/b\n")
    found = times("replay", 3, chosen={"times": str(file)})
    assert found == [0.0, 0.25, 2.5]
    replay = patterns.find("replay")(situation(chosen={"times": str(file)}))
    assert replay.due(Progress(started=3)) == patterns.NEVER
    assert replay.length({"times": str(file)}) == 3


def test_a_recording_is_replayed(tmp_path):
    where = Path(__file__).parents[2] / "results/reference/accept-n16"
    intended = load(where).connections["intended_ns"].sort_values()
    found = times("replay", len(intended), chosen={"times": str(where)})
    assert found == ((intended - intended.min()) / 1e9).to_list()


@pytest.mark.parametrize(
    ("name", "chosen", "says"),
    [
        ("replay", {}, "needs to know what to replay"),
        ("replay", {"times": "/nowhere"}, "cannot read /nowhere: No such file"),
        ("replay", {"times": "/dev/null"}, "has no times"),
        ("replay", {"times": __file__}, "is not a time in seconds"),
        ("bursts", {"burst": "0"}, "--burst 0: expected a number from 1"),
        ("bursts", {"burst": "many"}, "--burst many: expected a number"),
        ("ramp", {"ramp-time": "-1"}, "--ramp-time -1"),
        ("closed", {"clients": "nan"}, "--clients nan"),
        ("poisson", {"burst": "3"}, "unknown option of arrival pattern poisson 'burst'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(name, chosen, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        patterns.choose(name, chosen)


@pytest.mark.parametrize("name", ["constant", "poisson", "bursts", "ramp"])
def test_what_was_due_and_not_started_is_counted(name):
    def missed(started: int, limit: int) -> int:
        pattern = patterns.find(name)(situation(rate=100.0))
        return pattern.missed(Progress(started=started), limit, BEGIN + 2 * SECOND)

    due = sum(time < 2.0 for time in times(name, 400, rate=100.0))
    assert missed(5, 1000) == due - 5 > 10
    assert missed(5, 15) == 10
    assert missed(5, 5) == 0


# --- closed


def test_a_client_asks_again_when_it_is_free(clock):
    pattern = patterns.find("closed")(situation(chosen={"clients": "3"}))
    assert [pattern.due(Progress(open_now=busy)) for busy in range(4)] == [clock.now] * 3 + [None]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_clients(processes, clock):
    def clients(index: int) -> int:
        at = situation(index=index, processes=processes, chosen={"clients": "7"})
        pattern = patterns.find("closed")(at)
        return sum(pattern.due(Progress(open_now=busy)) is not None for busy in range(10))

    assert sum(map(clients, range(processes))) == 7


# --- settled


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
    assert {"bursts", "closed", "constant", "settled"} < set(patterns.names())
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
