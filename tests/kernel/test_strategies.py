"""Every strategy, at several sizes: its conservation laws hold, and what it wakes was predicted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import herd as library
from herd import strategies
from tests import plugins
from tests.kernel.conftest import WITHOUT_LIBURING

pytestmark = pytest.mark.kernel

SETTLED = ("--rate", "settled", "--json", "--no-picture")


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_every_strategy_keeps_the_laws_and_its_prediction(herd, workers):
    args = ("-S", "all", "-n", str(workers), "-c", "23", *SETTLED, "-o", str(herd.output()))
    done = herd("compare", *args)
    found = json.loads(done.stdout)
    assert found["failed"] == []
    # liburing has no wheel for every machine.
    absent = {entry["strategy"] for entry in found["unavailable"]}
    assert absent == ({"io-uring", "io-uring-multishot"} if WITHOUT_LIBURING else set())
    runs = {run["config"]["strategy"]: run for run in found["runs"]}
    assert runs.keys() == set(strategies.names()) - absent
    for name, run in runs.items():
        broken = [law for law in run["integrity"]["checks"] if law["ok"] is not True]
        assert broken == [], name
        assert run["arrivals"] == run["accepts"] == run["wakeups"]["productive"] == 23, name
        assert run["prediction"]["held"], (name, run["wakeups"], run["prediction"])
    assert done.returncode == 0


def test_a_comparison_is_one_recording_set_with_one_picture(herd):
    output = herd.output()
    args = ("-S", "accept,epoll", "-n", "2", "-c", "5", "--rate", "settled", "--json")
    found = json.loads(herd("compare", *args, "-o", str(output)).stdout)
    assert json.loads((output / "compare.json").read_text()) == found
    assert (output / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert [Path(run["run"], "overview.png").exists() for run in found["runs"]] == [True, True]


def test_registering_in_reverse_turns_the_order_round(herd):
    """The first registered gets all; with epoll-late that is the last worker."""
    for name, winner in (("epoll-exclusive", 0), ("epoll-late", 6)):
        summary = herd.run("-s", name, "-n", "7", "-c", "23", "--rate", "settled")
        assert [w["accepts"] for w in summary["workers"]] == [23 * (i == winner) for i in range(7)]


def test_one_level_triggered_set_for_all_wakes_a_second_worker(herd):
    """The chained wakeup is the first worker's, and is not the arrival's own."""
    summary = herd.run("-s", "epoll-shared", "-n", "5", "-c", "23", "--rate", "settled")
    run = library.load(summary["run"])
    causes = run.wakeups["cause"].value_counts()
    assert causes["arrival"] == 23
    assert causes["chained"] == summary["wakeups"]["chained"] >= 23
    chained = run.wakeups[run.wakeups["cause"] == "chained"]
    # Either of the two may be first to accept; the other's wakeup was for nothing.
    assert summary["wakeups"]["productive"] == 23
    assert summary["wakeups"]["wasted"] == causes["chained"]
    direct = run.wakeups[run.wakeups["cause"] == "arrival"].set_index("arrival")["time_ns"]
    assert (chained["time_ns"].to_numpy() > direct.loc[chained["arrival"]].to_numpy()).all()


@pytest.mark.parametrize("lock", ["fcntl", "flock", "sysv", "posix", "futex"])
def test_wakeups_of_a_lock_are_counted_apart(herd, lock):
    summary = herd.run(
        "-s", "accept-lock", "--lock", lock, "-n", "4", "-c", "23", "--rate", "settled"
    )
    wakeups = summary["wakeups"]
    assert wakeups["total"] == wakeups["productive"] == 23
    # Each release lets one waiter in; a file lock's waiters may all be woken to try.
    assert wakeups["lock"] >= 22
    if lock in ("sysv", "posix", "futex"):
        assert wakeups["lock"] <= 24
    # Nothing of it outlives the run.
    assert (
        "0x"
        not in subprocess.run(["ipcs", "-s"], capture_output=True, text=True, check=True).stdout
    )


def test_classic_bpf_chooses_the_worker_by_the_cpu(herd):
    summary = herd.run("-s", "reuseport-cbpf", "-n", "2", "-c", "40", "--rate", "settled")
    run = library.load(summary["run"])
    joined = run.accepts.merge(run.arrivals, on="arrival", suffixes=("", "_arrival"))
    assert len(joined) == 40
    assert (joined["worker"] == joined["cpu_arrival"] % 2).all()


def test_as_nginx_the_socket_is_registered_anew_every_16_accepts(herd):
    summary = herd.run("-s", "nginx-like", "-n", "3", "-c", "48", "--rate", "settled")
    assert (
        library.load(summary["run"]).accepts["worker"].to_list() == [0] * 16 + [1] * 16 + [2] * 16
    )
    mutex = herd.run(
        *("-s", "nginx-like", "--accept-mutex", "on", "-n", "3", "-c", "48", "--rate", "settled")
    )
    assert mutex["wakeups"]["total"] == 48


@pytest.mark.parametrize("strategy", ["epoll-exclusive", "poll", "epoll-oneshot"])
def test_a_batch_takes_an_eagain_to_know_that_there_is_no_more(herd, strategy):
    """One worker, one connection at a time: accept, and with a batch accept again in vain."""
    args = ("-s", strategy, "-n", "1", "-c", "23", "--rate", "settled")
    one = herd.run(*args)
    many = herd.run(*args, "--batch", "8")
    assert [one["workers"][0]["eagain"], many["workers"][0]["eagain"]] == [0, 23]
    assert one["accepts"] == many["accepts"] == many["wakeups"]["productive"] == 23


def test_an_option_of_another_strategy_is_refused_with_whose_it_is(herd):
    done = herd("run", "-s", "accept", "--lock", "flock")
    assert done.returncode == 2
    assert "--lock is for accept-lock" in done.stderr
    wrong = herd("run", "-s", "accept-lock", "--lock", "flok")
    assert wrong.returncode == 2
    assert "'flok' is not one of" in wrong.stderr


def test_a_compared_set_that_breaks_a_law_exits_1_and_says_which_failed(herd, tmp_path):
    """A plug-in that raises is named, and the others are measured all the same."""
    environment = plugins.install(tmp_path, "broken", BROKEN, {"broken": "broken:Broken"})
    args = ("-S", "broken,accept", "-n", "2", "-c", "10", *SETTLED, "-o", str(herd.output()))
    done = herd("compare", *args, **environment)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    [failed] = found["failed"]
    assert failed["strategy"] == "broken"
    assert "worker 0 could not start: ZeroDivisionError" in failed["why"]
    assert [run["config"]["strategy"] for run in found["runs"]] == ["accept"]
    assert found["runs"][0]["integrity"]["ok"]
    assert Path(found["path"], "compare.json").exists()


BROKEN = """
from herd.strategies import Prediction, Strategy


class Broken(Strategy):
    name = "broken"
    summary = "it raises"

    @classmethod
    def predict(cls, workers):
        return Prediction.exactly(1.0, who="nobody", why="it raises")

    def prepare(self, server):
        1 / 0
"""
