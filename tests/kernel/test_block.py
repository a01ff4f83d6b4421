"""A worker that hangs now and then (``--block``): how often, and who waits for it."""

from __future__ import annotations

import pytest

import herd as library

pytestmark = pytest.mark.kernel

LOAD = ("-n", "3", "-c", "21", "--rate", "50", "--block", "400ms", "--block-every", "5")


@pytest.mark.parametrize("strategy", ["accept", "epoll-exclusive", "dispatcher"])
def test_each_worker_hangs_on_every_fifth_that_it_serves(herd, strategy):
    summary = herd.run(*LOAD, "-s", strategy)
    begins = [worker * 5 // 3 for worker in range(3)]
    served = [worker["served"] for worker in summary["workers"]]
    expected = sum((count + begin) // 5 for count, begin in zip(served, begins, strict=True))
    seen = library.load(summary["run"]).connections
    # It has its answer, and then its worker hangs: it is closed late.
    late = seen["closed_ns"] - seen["first_byte_ns"] >= 200_000_000
    assert int(late.sum()) == expected > 0
    assert summary["integrity"]["ok"] is True


def test_a_program_of_another_cannot_be_told_to_hang(herd):
    done = herd("run", "-s", "fcgi", "--block", "10ms")
    assert done.returncode == 2
    assert "its workers run another program" in done.stderr
