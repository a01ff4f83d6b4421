"""How long a herd is busy, and for how long on a CPU: against bpftrace and the scheduler's own account."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

import herd as library
from herd.analysis import metrics
from tests.kernel.conftest import bpftrace

pytestmark = pytest.mark.kernel

#: The scheduler's account of a task's time (update_curr(), kernel/sched/fair.c) needs no pairing of switches.
TRACE = """
tracepoint:sock:inet_sock_set_state /args->oldstate == 3 && args->newstate == 1/
    { printf("arrival %d 0 %llu\\n", args->sport, nsecs); }
tracepoint:sched:sched_switch /args->prev_state/ { printf("sleep %d 0 %llu\\n", args->prev_pid, nsecs); }
tracepoint:sched:sched_stat_runtime { printf("ran %d %llu %llu\\n", args->pid, args->runtime, nsecs); }
"""


def traced(rows: list[list[str]]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [row for row in rows if len(row) == 4], columns=["what", "who", "ran", "time"]
    )
    return frame.astype({"who": "int64", "ran": "int64", "time": "int64"})


@pytest.mark.parametrize("strategy", ["accept", "select"])
def test_bpftrace_sees_a_herd_settle_and_the_scheduler_accounts_for_it(herd, strategy):
    with bpftrace(TRACE) as trace:
        summary = herd.run("-s", strategy, "-n", "16", "-c", "23", "--rate", "settled")
    run = library.load(summary["run"])
    rows = traced(trace.rows())
    workers = rows[rows["who"].isin(run.workers["pid"])]
    port = run.run["pool"]["port"]
    arrivals = rows["time"][(rows["what"] == "arrival") & (rows["who"] == port)].sort_values()
    assert len(arrivals) == 23
    end = int(run.caused["slept_ns"].max())

    sleeps = workers["time"][workers["what"] == "sleep"]
    theirs = [
        sleeps[sleeps.between(arrival, until)].max() - arrival
        for arrival, until in itertools.pairwise([*arrivals, end + 1_000_000])
    ]
    # Ours is within theirs: from a state change to the last of two programs on a switch.
    ours = metrics.settle_time(run).median()
    assert 0.7 < ours / pd.Series(theirs).median() < 1.02

    ran = workers[(workers["what"] == "ran") & workers["time"].between(arrivals.iloc[0], end)]
    assert metrics.caused_cpu_ns(run) == pytest.approx(ran["ran"].sum(), rel=0.15)
