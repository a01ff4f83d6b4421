"""A worker may sleep between its wakeup and its accept: for a lock, for a disk, for the GIL."""

from __future__ import annotations

import pytest

import herd as library
from tests import plugins

pytestmark = pytest.mark.kernel

#: One worker, as two at a time would not be waiting when the next connection comes.
STRATEGY = """
import time

from herd.strategies.epoll import Epoll


class Sleepy(Epoll):
    name = "sleepy"
    summary = "sleeps before it accepts, and after"

    def ready(self, server):
        time.sleep(0.002)
        connection = server.take()
        time.sleep(0.001)
        server.handle(connection)
"""


def test_a_sleep_on_the_way_to_accept_does_not_end_the_wakeup(herd, tmp_path):
    environment = plugins.install(tmp_path, "sleepy", STRATEGY, {"sleepy": "sleepy:Sleepy"})
    args = ("-s", "sleepy", "-n", "1", "-c", "23", "--rate", "settled")
    summary = herd.run(*args, **environment)
    assert summary["wakeups"]["total"] == summary["wakeups"]["productive"] == 23
    wakeups = library.load(summary["run"]).wakeups.sort_values("time_ns")
    caused = wakeups[wakeups["cause"] == "arrival"]
    # It is over only when the worker sleeps having accepted.
    assert (caused["slept_ns"] - caused["running_ns"] >= 2_000_000).all()
    # What ended the first sleep is counted, and known to be no arrival's; its time on a CPU is the other's.
    inner = wakeups[wakeups[["running_ns", "slept_ns"]].isna().all(axis=1)]
    # Not 23: a timer whose interrupt comes while a sandbox's hidden thread is current is not seen (worker.c).
    assert 23 / 2 < len(inner) <= 23
    assert set(inner["cause"]) == {"other"}
    assert inner[["arrival", "on_cpu_ns", "outcome"]].isna().all(axis=None)
    times = inner["time_ns"].to_numpy("int64")
    which = caused["time_ns"].searchsorted(times) - 1
    assert (which >= 0).all()
    assert (times < caused["slept_ns"].to_numpy("int64")[which]).all()
    # The second sleep, after accept, is a wakeup like any other.
    assert (wakeups["cause"] == "other").sum() > 46 / 2
