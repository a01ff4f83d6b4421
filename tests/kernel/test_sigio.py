"""Signals instead of a wait queue: to a group, a herd; to one process, always that one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import herd as library
from tests.kernel.conftest import until

pytestmark = pytest.mark.kernel

SETTLED = ("-s", "sigio", "-c", "23", "--rate", "settled")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_signal_to_the_group_wakes_everyone(herd, workers):
    summary = herd.run(*SETTLED, "-n", str(workers))
    wakeups = summary["wakeups"]
    assert wakeups["total"] == summary["signals"] == 23 * workers
    assert (wakeups["productive"], wakeups["wasted_in_user"]) == (23, 23 * (workers - 1))
    assert [worker["signals"] for worker in summary["workers"]] == [23] * workers
    assert summary["prediction"]["held"] is summary["integrity"]["ok"] is True
    run = library.load(summary["run"])
    assert set(run.wakeups[run.wakeups["cause"] == "arrival"]["blocked_in"]) == {"signal"}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_signal_to_one_wakes_that_one_alone(herd, workers):
    summary = herd.run(*SETTLED, "-n", str(workers), "--owner", "one")
    only_worker_0 = [23] + [0] * (workers - 1)
    assert summary["wakeups"]["total"] == summary["wakeups"]["productive"] == 23
    for count in ("signals", "accepts", "wakeups"):
        assert [worker[count] for worker in summary["workers"]] == only_worker_0
    assert summary["prediction"]["expected"] == 1
    assert summary["prediction"]["held"] is summary["integrity"]["ok"] is True


def test_held_connections_are_closed_in_time_and_their_timers_are_not_the_sockets(herd):
    summary = herd.run(*SETTLED, "-n", "3", "--hold", "20ms")
    run = library.load(summary["run"])
    held = run.connections.merge(run.accepts, left_on="port", right_on="peer_port")
    assert len(held) == 23
    assert (held["closed_ns"] - held["time_ns"] > 20_000_000).all()
    assert summary["wakeups"]["total"] == summary["signals"] == 69
    # Each of the 23 timeouts woke a worker, but for one that ran so late that it needn't wait.
    timers = run.wakeups[
        (run.wakeups["cause"] == "other") & (run.wakeups["blocked_in"] == "signal")
    ]
    assert len(timers) > 23 / 2


def test_without_a_probe_signals_are_counted_all_the_same(herd):
    summary = herd.run(*SETTLED, "-n", "3", "--probe", "none")
    assert summary["wakeups"]["total"] is None
    assert summary["signals"] == 69


def test_a_strategy_without_signals_counts_none(herd):
    assert herd.run("-s", "accept", "-n", "2", "-c", "5")["signals"] == 0


def _group(pid: int) -> int:
    """The process group, as /proc tells it."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[2])


def test_the_group_is_the_workers_own_and_outlives_its_first(herd):
    """Neither their parent nor the controller is signalled; the owner may end, the group goes on."""
    output = herd.output()
    args = ("-s", "sigio", "-n", "3", "--rate", "100", "--duration", "2s", "--output", str(output))
    process = herd.start("run", *args)
    until(lambda: _recorded(output) or process.poll() is not None, "some recorded arrivals")
    parent, *workers = sorted(herd.processes("herd.pool.main"))
    assert [_group(pid) for pid in workers] == [workers[0]] * 3
    assert workers[0] not in (_group(parent), _group(process.pid))
    os.kill(workers[0], signal.SIGKILL)
    killed = time.monotonic_ns()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed by SIGKILL" in error
    assert "Traceback" not in error
    accepts = library.load(output).accepts
    assert set(accepts[accepts["time_ns"] > killed]["worker"]) == {1, 2}


def _recorded(output: Path) -> int:
    """Bytes that the probe has written so far."""
    return sum(raw.stat().st_size for raw in Path(f"{output}.partial").glob("events-*.raw"))
