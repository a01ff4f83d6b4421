"""A worker is killed: its connections' fate is shown; the others go on, or the run says that they cannot."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
from pathlib import Path

import pytest

import herd as library
from herd import strategies
from herd.pool.program import blocked_in
from tests.kernel.conftest import until
from tests.kernel.test_faults import recorded

pytestmark = pytest.mark.kernel

LOAD = ("-n", "4", "-c", "320", "--rate", "400", "--json", "--no-picture")
#: accept and accept4.
ACCEPTS = {"x86_64": (43, 288), "aarch64": (202, 242)}[platform.machine()]
LOCKS = ("fcntl", "flock", "sysv", "posix", "futex")


def begin(herd, *args: str, before: tuple[str, ...] = ()):
    """A run that has seen some connections, its recording's name, and its workers' process ids."""
    output = herd.output()
    process = herd.start("run", *args, "--output", str(output), before=before)
    until(lambda: recorded(output) > 4096 or process.poll() is not None, "some recorded arrivals")
    assert process.poll() is None, process.communicate()
    # Workers have their parent's command, and not always higher numbers.
    [workers] = filter(None, map(_children, herd.processes("herd.pool.main")))
    return process, output, workers


def _children(pid: int) -> list[int]:
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def end(process):
    """What it printed: a summary, and the error."""
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert "Traceback" not in error
    return json.loads(out), error


def law(summary, name: str):
    [found] = [law for law in summary["integrity"]["checks"] if law["name"] == name]
    return found


@pytest.mark.parametrize("strategy", strategies.names())
def test_the_others_go_on_without_a_killed_worker(herd, strategy):
    process, output, workers = begin(herd, "-s", strategy, *LOAD)
    os.kill(workers[3], signal.SIGKILL)
    summary, error = end(process)
    run = library.load(output).run
    assert run["complete"] is summary["complete"] is False
    said = f"worker 3 (pid {workers[3]}) was killed by SIGKILL"
    assert any(said in note for note in summary["notes"])
    [death] = summary["deaths"]
    assert (death["worker"], death["pid"]) == (3, workers[3])
    assert 0 < death["at_s"] < 10
    if "cannot go on without worker 3" in error:
        assert strategies.find(strategy)().bereaved() in error
        return
    assert said in error
    assert death["accepted_after"] > 0
    assert law(summary, "established = arrivals = accepts")["ok"], summary["integrity"]


@pytest.mark.parametrize("migrate", [0, 1])
def test_connections_in_a_dead_workers_own_queue_are_lost_or_migrated(herd, migrate):
    """Nobody but a worker accepts from its own socket; stopped, it lets connections queue there."""
    script = f'ip link set lo up; echo {migrate} > /proc/sys/net/ipv4/tcp_migrate_req; exec "$@"'
    before = ("unshare", "-n", "sh", "-c", script, "sh")
    process, output, workers = begin(herd, "-s", "reuseport", *LOAD, before=before)
    os.kill(workers[3], signal.SIGSTOP)
    until(lambda: longest_queue(workers[3]) >= 5, "a queue")
    os.kill(workers[3], signal.SIGKILL)
    summary, _ = end(process)
    assert summary["host"]["sysctls"]["net.ipv4.tcp_migrate_req"] == str(migrate)
    [death] = summary["deaths"]
    queue, migrated = death["queue"], sum(death["queue"]["migrated"].values())
    assert death["shares_queue"] is False
    accepted = len(library.load(output).accepts)  # the worker may have had no time to log its last
    # Stopped while it served one, it had that in hand.
    in_hand = death["in_hand"].pop("ENODATA", 0)
    assert death["in_hand"] == {}
    assert in_hand <= 1
    assert summary["connections"]["errors"].pop("ENODATA", 0) == in_hand
    if migrate:
        assert queue["lost"] == summary["connections"]["errors"] == {}
        assert migrated >= 5
        assert "3" not in queue["migrated"]
        assert accepted == 320
    else:
        lost = queue["lost"]["ECONNRESET"]
        assert queue == {"migrated": {}, "lost": summary["connections"]["errors"]}
        assert lost >= 5
        assert accepted == 320 - lost
    accounts = law(summary, "established = arrivals = accepts")
    assert accounts["ok"], accounts["detail"]
    told = herd("report", str(output), "--no-picture").stdout
    assert f"tcp_migrate_req is {migrate}" in " ".join(told.split())


def longest_queue(pid: int) -> int:
    """The most connections that wait on one listener of a process's network namespace."""
    rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return max(int(row[4].partition(":")[2], 16) for row in rows if row[3] == "0A")


@pytest.mark.parametrize("lock", LOCKS)
def test_who_waits_for_a_dead_holders_lock_goes_on_or_the_run_says_that_it_cannot(herd, lock):
    process, _, workers = begin(herd, "-s", "accept-lock", "--lock", lock, *LOAD)
    holder = until(lambda: holder_among(workers), "a holder")
    os.kill(holder, signal.SIGKILL)
    summary, error = end(process)
    [death] = summary["deaths"]
    assert death["pid"] == holder
    if lock == "posix":
        assert death["accepted_after"] == 0
        assert f"the others cannot go on without worker {death['worker']}" in error
        assert "--lock futex" in error
    else:
        assert death["accepted_after"] > 0
        assert "cannot go on" not in error


def holder_among(workers: list[int]) -> int | None:
    """Who is in accept; it is stopped there, so that it still holds the lock when it is killed."""
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
        until(lambda pid=pid: ") T " in Path(f"/proc/{pid}/stat").read_text(), "a stop")
        if blocked_in(pid) in ACCEPTS:
            return pid
        os.kill(pid, signal.SIGCONT)
    return None


def test_who_accepts_for_all_is_missed(herd):
    process, _, workers = begin(herd, "-s", "dispatcher", *LOAD)
    os.kill(workers[0], signal.SIGKILL)
    summary, error = end(process)
    assert summary["deaths"][0]["accepted_after"] == 0
    assert "cannot go on without worker 0" in error
    assert "only worker 0 accepts" in error


def test_what_a_dead_worker_was_given_is_shown(herd):
    """Stopped, it lets the dispatcher's connections queue; they end with it."""
    process, output, workers = begin(herd, "-s", "dispatcher", *LOAD)
    os.kill(workers[3], signal.SIGSTOP)
    before = recorded(output)
    until(lambda: recorded(output) > before + 4096, "more connections")
    os.kill(workers[3], signal.SIGKILL)
    summary, _ = end(process)
    [death] = summary["deaths"]
    assert death["handed_on"] == summary["connections"]["errors"] != {}
    accounts = law(summary, "established = arrivals = accepts")
    assert accounts["ok"], accounts["detail"]


def test_no_semaphore_outlives_a_killed_pool(herd):
    process, _, _ = begin(herd, "-s", "accept-lock", "--lock", "sysv", *LOAD)
    os.kill(min(herd.processes("herd.pool.main")), signal.SIGKILL)
    _, error = end(process)
    assert "the pool process was killed by SIGKILL" in error
    left = subprocess.run(["ipcs", "-s"], capture_output=True, text=True, check=True).stdout
    assert "0x" not in left
