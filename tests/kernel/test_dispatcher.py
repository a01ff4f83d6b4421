"""One accepts, the others serve: who did what is told apart."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import herd as library
from tests.kernel.conftest import until

pytestmark = pytest.mark.kernel

DISPATCHER = ("-s", "dispatcher")
SETTLED = (*DISPATCHER, "-c", "23", "--rate", "settled")


def each(summary, count: str) -> list[int]:
    """One of the workers' counts."""
    return [worker[count] for worker in summary["workers"]]


@pytest.mark.parametrize(
    ("workers", "served"), [(1, [23]), (2, [0, 23]), (5, [0, 6, 6, 6, 5])], ids=str
)
def test_worker_0_accepts_and_the_others_serve_in_turn(herd, workers, served):
    summary = herd.run(*SETTLED, "-n", str(workers))
    only_worker_0 = [23] + [0] * (workers - 1)
    assert each(summary, "accepts") == each(summary, "wakeups") == only_worker_0
    assert each(summary, "served") == served
    assert summary["wakeups"]["total"] == summary["wakeups"]["productive"] == 23
    assert summary["wakeups"]["handoff"] == (23 if workers > 1 else 0)
    assert summary["fairness"]["max_over_mean"] == pytest.approx(max(served) * workers / 23)
    assert summary["prediction"]["held"] is summary["integrity"]["ok"] is True
    run = library.load(summary["run"])
    handoffs = run.wakeups[run.wakeups["cause"] == "handoff"]
    assert set(handoffs["blocked_in"]) <= {"recvmsg"}
    assert handoffs["worker"].to_list() == [1 + n % (workers - 1) for n in range(len(handoffs))]


def test_of_workers_with_equally_few_the_first_is_chosen(herd):
    summary = herd.run(*SETTLED, "-n", "5", "--policy", "least-connections")
    assert each(summary, "served") == [0, 23, 0, 0, 0]
    assert summary["wakeups"]["handoff"] == 23


def test_a_worker_that_has_a_connection_is_passed_over(herd):
    busy = ("--policy", "least-connections", "--hold", "2s", "--rate", "20")
    summary = herd.run(*DISPATCHER, *busy, "-n", "5", "-c", "4")
    assert each(summary, "served") == [0, 1, 1, 1, 1]
    assert summary["integrity"]["ok"] is True


def test_without_a_probe_who_served_is_known_all_the_same(herd):
    summary = herd.run(*SETTLED, "-n", "3", "--probe", "none")
    assert summary["wakeups"]["handoff"] is None
    assert each(summary, "served") == [0, 12, 11]


def test_elsewhere_who_accepts_serves(herd):
    summary = herd.run("-s", "epoll", "-n", "3", "-c", "23", "--rate", "settled")
    assert each(summary, "served") == each(summary, "accepts")
    assert summary["wakeups"]["handoff"] == 0


def test_a_killed_worker_gets_no_more_and_the_others_go_on(herd):
    output = herd.output()
    load = ("-n", "3", "--rate", "100", "--duration", "2s", "--output", str(output))
    process = herd.start("run", *DISPATCHER, *load)
    until(lambda: _recorded(output) or process.poll() is not None, "some recorded arrivals")
    _, _, victim, _ = sorted(herd.processes("herd.pool.main"))
    os.kill(victim, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{victim}").exists(), "the end of worker 1")
    ended = time.monotonic_ns()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed by SIGKILL" in error
    assert "Traceback" not in error
    run = library.load(output)
    later = run.connections[run.connections["started_ns"] > ended]
    assert len(later) > 0
    assert later["error"].isna().all()
    first = run.workers["served"][
        1
    ]  # one more than worker 2 at the most, when it ended: they take turns
    assert run.workers["served"][2] >= first - 1 + len(later)


def _recorded(output: Path) -> int:
    """Bytes that the probe has written so far."""
    return sum(raw.stat().st_size for raw in Path(f"{output}.partial").glob("events-*.raw"))
