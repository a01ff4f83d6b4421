"""The kernel accepts for a worker: who is woken, in which order, and what the probes see of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import herd as library
from tests.kernel.conftest import needs_liburing

pytestmark = [pytest.mark.kernel, needs_liburing]

BOTH = ("io-uring", "io-uring-multishot")
SETTLED = ("--rate", "settled")


def test_one_shot_accepts_wake_in_strict_turn(herd):
    run = library.load(herd.run("-s", "io-uring", "-n", "7", "-c", "50", *SETTLED)["run"])
    assert run.caused["worker"].to_list() == [i % 7 for i in range(50)]
    assert run.accepts["worker"].to_list() == run.caused["worker"].to_list()


def test_a_multishot_accept_keeps_its_place_even_if_its_worker_is_busy(herd):
    """EPOLLEXCLUSIVE passes over a worker that doesn't wait; this doesn't."""
    load = ("-n", "4", "-c", "200", "--work", "500", "--rate", "4000")
    idle = herd.run("-s", "io-uring-multishot", "-n", "4", "-c", "50", *SETTLED)
    busy = herd.run("-s", "io-uring-multishot", *load)
    other = herd.run("-s", "epoll-exclusive", *load)
    assert [worker["accepts"] for worker in idle["workers"]] == [50, 0, 0, 0]
    assert [worker["accepts"] for worker in busy["workers"]] == [200, 0, 0, 0]
    assert all(worker["accepts"] for worker in other["workers"])
    assert busy["integrity"]["ok"]


@pytest.mark.parametrize("strategy", BOTH)
def test_an_accept_without_a_system_call_is_seen_with_its_arrival(herd, strategy):
    run = library.load(herd.run("-s", strategy, "-n", "3", "-c", "23", *SETTLED)["run"])
    assert set(run.caused["blocked_in"]) == {"io_uring"}
    assert run.accepts["arrival"].to_list() == list(range(1, 24))
    assert run.accepts["listener"].nunique() == 1
    assert run.accepts["listener"].iloc[0] == run.arrivals["listener"].iloc[0]
    assert (run.accepts["entered_ns"] < run.accepts["time_ns"]).all()
    assert (run.accepts["queue_delay_ns"] > 0).all()
    assert sorted(run.accepts["peer_port"]) == sorted(run.connections["port"])
    # A ring's own retries, in the kernel, are no EAGAIN of the worker's.
    assert run.workers["eagain"].sum() == run.wakeups["eagain"].sum() == 0


@pytest.mark.parametrize("strategy", BOTH)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_work_hold_and_batch(herd, strategy, host):
    args = ("--work", "200", "--hold", "20ms", "--batch", "8", "--host", host)
    summary = herd.run("-s", strategy, "-n", "3", "-c", "100", "--rate", "2000", *args)
    run = library.load(summary["run"])
    assert summary["integrity"]["ok"], summary["integrity"]
    assert summary["accepts"] == run.accepts["arrival"].nunique() == 100
    # From the kernel's accept on: a client that is late to see an answer must not shorten the hold.
    names = {"peer": "source", "peer_port": "port"}
    keys = ["port"] if ":" in host else list(names.values())  # all have the same IPv6 address
    merged = run.connections.merge(run.accepts.rename(columns=names), on=keys)
    assert len(merged) == 100
    assert (merged["closed_ns"] - merged["time_ns"]).min() >= 20_000_000


def test_a_missing_liburing_is_said_with_how_to_get_it(herd, tmp_path):
    (tmp_path / "liburing.py").write_text("raise ImportError('No module named liburing')")
    path = f"{tmp_path}:{Path(library.__file__).parents[1]}"
    for strategy in BOTH:
        done = herd("run", "-s", strategy, "-o", str(herd.output()), PYTHONPATH=path)
        assert done.returncode == 3
        assert "pip install 'herd[io-uring]'" in done.stderr
        assert "Traceback" not in done.stderr
