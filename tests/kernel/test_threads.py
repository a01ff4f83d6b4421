"""Workers that are threads of one process: the same laws and predictions, and one life for all."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

import herd as library
from herd import strategies
from tests import plugins
from tests.kernel.conftest import until
from tests.kernel.test_faults import kept, started

pytestmark = pytest.mark.kernel

THREADS = ("--pool", "threads", "--rate", "settled", "-c", "23")
#: What no thread can do; accept-lock with its first lock, fcntl's.
NEED_PROCESSES = {"accept-lock", "fcgi", "io-uring", "io-uring-multishot", "sigio"}


@pytest.mark.parametrize("workers", [2])
def test_every_strategy_that_can_keeps_the_laws_and_its_prediction_in_threads(herd, workers):
    output = ("--json", "--no-picture", "-o", str(herd.output()))
    done = herd("compare", "-S", "all", "-n", str(workers), *THREADS, *output)
    found = json.loads(done.stdout)
    assert found["failed"] == []
    assert {one["strategy"] for one in found["unavailable"]} == NEED_PROCESSES
    assert all(one["why"] for one in found["unavailable"])
    runs = {run["config"]["strategy"]: run for run in found["runs"]}
    assert runs.keys() == set(strategies.names()) - NEED_PROCESSES
    for name, run in runs.items():
        broken = [law for law in run["integrity"]["checks"] if law["ok"] is not True]
        assert broken == [], name
        assert run["arrivals"] == run["accepts"] == run["wakeups"]["productive"] == 23, name
        assert run["prediction"]["held"], (name, run["wakeups"], run["prediction"])
        assert all(worker["cpu_system_s"] is not None for worker in run["workers"]), name
    assert done.returncode == 0


@pytest.mark.parametrize("lock", ["flock", "sysv", "posix", "futex"])
def test_a_lock_keeps_threads_apart(herd, lock):
    summary = herd.run("-s", "accept-lock", "--lock", lock, "-n", "4", *THREADS)
    assert summary["wakeups"]["total"] == summary["wakeups"]["productive"] == 23
    assert summary["wakeups"]["lock"] >= 22
    assert sum(worker["accepts"] > 0 for worker in summary["workers"]) == 4


def test_workers_are_threads_of_one_process_each_with_its_own_account(herd):
    output = herd.output()
    process = started(herd, "--pool", "threads", "--pin", "workers=0", output=output)
    server = max(herd.processes("herd.pool.main"))
    tids = {int(task.name) for task in Path(f"/proc/{server}/task").iterdir()} - {server}
    assert [os.sched_getaffinity(tid) for tid in tids] == [{0}] * 4
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    run = library.load(output)
    assert set(run.workers["pid"]) == tids
    assert (run.workers["cpu_user_s"] + run.workers["cpu_system_s"] > 0).all()
    assert (run.workers["voluntary_switches"] > 0).all()
    assert run.workers["exit_status"].to_list() == [0] * 4


def test_the_process_of_all_threads_killed_leaves_a_recording_marked_incomplete(herd):
    output = herd.output()
    process = started(herd, "--pool", "threads", output=output)
    server = max(herd.processes("herd.pool.main"))
    os.kill(server, signal.SIGKILL)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert f"the process of workers 0 to 3 (pid {server}) was killed by SIGKILL" in error
    assert "Traceback" not in error
    kept(output, json.loads(out))
    workers = library.load(output).workers
    assert workers["exit_status"].to_list() == [-signal.SIGKILL] * 4
    assert workers["cpu_user_s"].isna().all()


def test_the_pools_parent_killed_takes_the_threads_with_it(herd):
    process = started(herd, "--pool", "threads", output=herd.output())
    parent, server = sorted(herd.processes("herd.pool.main"))
    os.kill(parent, signal.SIGKILL)
    until(lambda: server not in herd.processes("herd.pool.main"), "the end of the threads", 10)
    process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("prepare", "worker 1 could not start: ZeroDivisionError: division by zero"),
        ("serve", "ended with exit code 1 before it waited for a connection"),
    ],
)
def test_a_thread_that_raises_fails_the_run_with_its_error(herd, tmp_path, when, said):
    source = RAISES.replace("WHEN", when)
    environment = plugins.install(tmp_path, "broken", source, {"broken": "broken:Broken"})
    args = ("-s", "broken", "-n", "3", "-o", str(herd.output()), *THREADS)
    process = herd.start("run", *args, **environment)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ZeroDivisionError" in error
    assert said in error


RAISES = """
from herd.strategies.accept import Accept


class Broken(Accept):
    name = "broken"
    summary = "its second worker raises"

    def WHEN(self, server):
        if server.index == 1:
            1 / 0
        super().WHEN(server)
"""


@pytest.mark.parametrize("strategy", sorted(NEED_PROCESSES))
def test_what_no_thread_can_do_is_said(herd, strategy):
    done = herd("run", "-s", strategy, "--pool", "threads")
    assert done.returncode == 2
    assert f"strategy {strategy} cannot run in threads: " in done.stderr
    assert "leave out --pool threads" in done.stderr
