"""Hundreds of workers: the same laws, and little memory each. benchmarks/scale.py has the figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from herd.pool.settle import Sleepers
from tests.kernel.conftest import Herd, until

pytestmark = pytest.mark.kernel

WORKERS = 256
CONNECTIONS = 3
#: A worker's share, KiB.
MOST = 3 * 1024


def pool(herd: Herd) -> list[int]:
    """Its workers, once all are there and sleep."""
    parent = min(until(lambda: herd.processes("herd.pool.main"), "the start of the pool"))
    until(lambda: len(children(parent)) == WORKERS, "the start of all workers")
    workers = children(parent)
    sleepers = Sleepers(workers)
    until(sleepers.all_asleep, "the sleep of all workers")
    sleepers.close()
    return workers


def children(pid: int) -> list[int]:
    """Of the main thread of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def share_of_memory(pid: int) -> int:
    """Of what processes have in common each has its share (PSS), KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s*(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.parametrize(("strategy", "woken"), [("accept", 1), ("epoll", WORKERS)])
def test_hundreds_of_workers_keep_the_laws_and_are_small(herd, strategy, woken):
    settled = ("-c", str(CONNECTIONS), "--rate", "settled", "--hold", "1s")  # time to look at them
    output = ("--json", "--no-picture", "-o", str(herd.output()))
    process = herd.start("run", "-s", strategy, "-n", str(WORKERS), *settled, *output)
    assert max(share_of_memory(pid) for pid in pool(herd)) < MOST
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error + out
    summary = json.loads(out)
    assert summary["wakeups"]["total"] == CONNECTIONS * woken
    assert summary["wakeups"]["productive"] == summary["accepts"] == CONNECTIONS
    assert [law for law in summary["integrity"]["checks"] if law["ok"] is not True] == []
