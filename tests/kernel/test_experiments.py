"""An experiment for real: interrupted, resumed, its claims hold; and by workers of a Dask cluster."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import pytest

import herd as api
from tests.kernel.conftest import until

CLUSTER = """
question = "Do runs come back from where they were done?"
[sweep]
strategy = ["accept", "epoll"]
workers = [2]
repeats = 2
[run]
connections = 20
probe = "none"
[[claims]]
name = "all-answered"
statement = "connections are shared by the workers"
measure = "busiest-over-mean"
compare = "<="
expected = 2
why = "none is counted twice"
"""


def finished(folder: Path) -> dict[str, float]:
    """When each recording was finished."""
    return {file.parent.name: file.stat().st_mtime for file in folder.glob("*-r[0-9]/run.json")}


@pytest.mark.kernel
def test_wake_order_holds_and_goes_on_where_it_was_interrupted(herd):
    folder = herd.output()
    command = ("experiment", "run", "wake-order", "--quick", "--output", str(folder))
    first = herd.start(*command)
    until(lambda: len(finished(folder)) >= 2, "two runs")
    first.send_signal(signal.SIGINT)
    out, error = first.communicate(timeout=60)
    assert first.returncode == 130, error
    assert "of 15 runs were done, and all are kept" in error
    assert not out
    whole = {
        name: when
        for name, when in finished(folder).items()
        if json.loads((folder / name / "run.json").read_text())["complete"]
    }
    done = herd(*command, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert (said["experiment"], said["runs"]) == ("wake-order", 15)
    assert [claim for claim in said["claims"] if claim["held"] is not True] == []
    assert finished(folder).items() >= whole.items()
    assert herd("report", str(folder), "--html").stdout.strip() == str(folder / "report.html")


def test_runs_are_done_by_a_cluster_and_come_back(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    (tmp_path / "far.toml").write_text(CLUSTER)
    monkeypatch.chdir(tmp_path)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        found = api.experiment("far.toml", scheduler=cluster.scheduler_address)
    assert found.path == Path("results/experiments/far")
    assert [claim.held for claim in found.claims] == [True]
    assert len(found.recordings) == 4
    assert len(found.measures) == 4
    when = sorted((r.run["begin_ns"], r.run["end_ns"]) for r in found.recordings)
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(when))
    for recording in found.recordings:
        assert (recording.path / "wakeups.parquet").exists()
        assert recording.run["config"]["connections"] == 20
