"""What the kernel does with idle workers, measured on the running kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import herd as library
from herd.analysis import order
from tests.kernel.conftest import COUNT_WAKEUPS, bpftrace, needs_liburing

pytestmark = pytest.mark.kernel

ALONE = ("accept", "epoll-exclusive", "reuseport")


@pytest.mark.parametrize("workers", [7, 23])
@pytest.mark.parametrize("strategy", [*ALONE, "epoll"])
def test_settled_connections_are_counted_exactly(herd, strategy, workers):
    summary = herd.run("-s", strategy, "-n", str(workers), "-c", "23", "--rate", "settled")
    woken = 23 * workers if strategy == "epoll" else 23
    assert summary["connections"] == {
        "intended": 23,
        "attempted": 23,
        "established": 23,
        "failed": 0,
        "errors": {},
    }
    assert summary["arrivals"] == summary["accepts"] == summary["wakeups"]["productive"] == 23
    assert summary["wakeups"]["total"] == woken
    assert summary["wakeups"]["wasted"] == woken - 23
    assert summary["prediction"]["held"] is True
    assert summary["integrity"]["ok"] is True
    assert summary["integrity"]["events_lost"] == 0


def test_accept_wakes_in_strict_turn(herd):
    summary = herd.run("-s", "accept", "-n", "16", "-c", "100", "--rate", "settled")
    run = library.load(summary["run"])
    caused = run.wakeups[run.wakeups["cause"] == "arrival"]
    assert caused["worker"].to_list() == [i % 16 for i in range(100)]
    assert run.accepts["worker"].to_list() == caused["worker"].to_list()


def test_epoll_exclusive_always_wakes_the_first_registered(herd):
    summary = herd.run("-s", "epoll-exclusive", "-n", "16", "-c", "100", "--rate", "settled")
    assert summary["workers"][0]["accepts"] == 100


def test_epoll_wakes_the_newest_registration_first(herd):
    summary = herd.run("-s", "epoll", "-n", "16", "-c", "50", "--rate", "settled")
    run = library.load(summary["run"])
    caused = run.wakeups[run.wakeups["cause"] == "arrival"]
    orders = caused.groupby("arrival")["worker"].apply(list)
    assert len(orders) == 50
    assert all(order == list(range(15, -1, -1)) for order in orders)


def test_paced_connections_wake_one_that_waits_in_accept(herd):
    """On a noisy machine one that is still awake may take the connection: then nobody is woken."""
    summary = herd.run("-s", "accept", "-n", "16")
    assert summary["accepts"] == 1000
    assert summary["integrity"]["ok"] is True
    assert library.load(summary["run"]).caused["arrival"].is_unique
    assert 0.5 < summary["wakeups"]["per_connection"] <= 1


def test_paced_connections_wake_all_that_wait_with_epoll(herd):
    """On a noisy machine workers may still be awake when the next one comes, so not always all 16."""
    summary = herd.run("-s", "epoll", "-n", "16")
    assert summary["accepts"] == 1000
    assert summary["integrity"]["ok"] is True
    woken = pd.concat(order.ranks(library.load(summary["run"])))
    waiting = woken.groupby("arrival")["waiting"].first().sum()
    assert len(woken) == pytest.approx(waiting, rel=0.02)
    assert waiting > 8 * 1000


def test_ipv6_and_several_load_processes(herd):
    summary = herd.run(
        "-s", "epoll", "-n", "3", "-c", "101", "--host", "::1", "--load-processes", "3"
    )
    run = library.load(summary["run"])
    assert summary["integrity"]["ok"] is True
    assert summary["accepts"] == 101
    assert set(run.accepts["peer"]) == {"::1"}
    merged = run.connections.merge(run.accepts, left_on="port", right_on="peer_port")
    assert len(merged) == 101
    assert (merged["time_ns"] > merged["started_ns"]).all()


def test_a_connection_can_be_followed_through_every_table(herd):
    summary = herd.run("-s", "accept", "-n", "4", "-c", "40", "--rate", "settled")
    run = library.load(summary["run"])
    for _, accept in run.accepts.iterrows():
        [arrival] = run.arrivals[run.arrivals["arrival"] == accept["arrival"]].to_dict("records")
        [client] = run.connections[
            (run.connections["port"] == accept["peer_port"])
            & (run.connections["source"] == accept["peer"])
        ].to_dict("records")
        [wakeup] = run.wakeups[run.wakeups["arrival"] == accept["arrival"]].to_dict("records")
        assert arrival["peer_port"] == accept["peer_port"]
        assert wakeup["worker"] == accept["worker"]
        order = [
            client["intended_ns"],
            client["started_ns"],
            arrival["time_ns"],
            wakeup["time_ns"],
            wakeup["running_ns"],
            accept["time_ns"],
            wakeup["slept_ns"],
        ]
        assert order == sorted(order)
        assert accept["queue_delay_ns"] == accept["time_ns"] - arrival["time_ns"]


def test_work_and_hold_are_done(herd):
    summary = herd.run(
        "-s", "epoll-exclusive", "-n", "2", "-c", "50", "--work", "300", "--hold", "30ms"
    )
    run = library.load(summary["run"])
    merged = run.connections.merge(
        run.accepts, left_on=["source", "port"], right_on=["peer", "peer_port"]
    )
    assert len(merged) == 50
    assert summary["cost"]["cpu_us_per_connection"] > 300
    assert ((merged["closed_ns"] - merged["time_ns"]) > 30_000_000).all()
    assert summary["integrity"]["ok"] is True


def test_a_duration_ends_the_load_and_pins_are_kept(herd):
    summary = herd.run("-n", "2", "--rate", "100", "--duration", "1s", "--pin", "workers=0")
    assert 90 <= summary["accepts"] <= 101
    assert set(library.load(summary["run"]).wakeups["running_cpu"].dropna()) == {0}


def test_two_runs_side_by_side_do_not_disturb_one_another(herd):
    both = [
        herd.start(
            "run",
            "-s",
            s,
            "-n",
            n,
            "-c",
            "60",
            "--rate",
            "settled",
            "--json",
            "-o",
            str(herd.output()),
        )
        for s, n in (("epoll", "5"), ("accept", "3"))
    ]
    many, one = (json.loads(process.communicate(timeout=60)[0]) for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert many["arrivals"] == one["arrivals"] == 60
    assert one["wakeups"]["total"] == 60
    assert many["wakeups"]["total"] == pytest.approx(300, rel=0.02)


def test_from_python_a_run_is_a_recording_and_the_caller_is_not_forked(tmp_path):
    run = library.run(
        strategy="epoll", workers=4, connections=20, rate="settled", output=str(tmp_path / "run")
    )
    assert run.summary["wakeups"]["per_connection"] == 4
    assert len(run.wakeups[run.wakeups["cause"] == "arrival"]) == 80
    assert len(run.arrivals) == len(run.accepts) == len(run.connections) == 20
    assert len(run.workers) == 4
    with pytest.raises(library.HerdError, match="unknown strategy 'epol'; did you mean 'epoll'"):
        library.run(strategy="epol")


@pytest.mark.parametrize(
    ("strategy", "woken"), [("epoll", 161), pytest.param("io-uring", 23, marks=needs_liburing)]
)
def test_bpftrace_counts_the_same_wakeups(herd, strategy, woken):
    """An independent tool with another method: the waker's stack says whether an arrival woke."""
    with bpftrace(COUNT_WAKEUPS) as stacks:
        summary = herd.run("-s", strategy, "-n", "7", "-c", "23", "--rate", "settled")
    tids = [worker["pid"] for worker in summary["workers"]]
    assert stacks.woken_by_sockets(tids) == summary["wakeups"]["total"] == woken


@pytest.mark.parametrize("strategy", ["accept", "select", "poll", "epoll"])
def test_what_a_worker_waits_in_is_what_its_strategy_calls(herd, strategy):
    """From its first sleep on, which began before it was tracked."""
    summary = herd.run("-s", strategy, "-n", "2", "-c", "7", "--rate", "settled")
    assert set(library.load(summary["run"]).caused["blocked_in"]) == {strategy}


def test_accepts_are_joined_to_their_arrivals_through_a_long_queue(herd):
    """Each to its own, by what the client's end was called (joined.py)."""
    burst = ("--pattern", "bursts", "--burst", "2000", "--backlog", "4096", "--work", "500")
    summary = herd.run("-s", "accept", "-n", "1", "-c", "2000", *burst)
    run = library.load(summary["run"])
    assert run.arrivals["queue_length"].max() > 500
    joined = run.accepts.merge(run.arrivals, on=["peer", "peer_port"], suffixes=("", "_told"))
    assert len(joined) == 2000
    assert (joined["arrival"] == joined["arrival_told"]).all()


def test_the_kernels_own_counters_agree(herd):
    """Switches by getrusage of each worker against the probe's wakeups; ``ss`` knows the listener."""
    summary = herd.run("-s", "accept", "-n", "4", "-c", "200", "--rate", "settled")
    for worker in summary["workers"]:
        # Each sleep is a voluntary switch; a worker that was woken while falling asleep has none.
        assert worker["voluntary_switches"] <= worker["wakeups"] + 2
        assert worker["voluntary_switches"] >= 0.8 * worker["wakeups"]


def test_the_overview_is_drawn(herd):
    folder = herd.output()
    assert herd("run", "-n", "2", "-c", "10", "-o", str(folder)).returncode == 0
    assert (folder / "overview.png").read_bytes().startswith(b"\x89PNG")
    assert "wakeups per connection" in (folder / "overview.svg").read_text()
    without = Path(herd.run("-n", "2", "-c", "10")["run"])
    assert (without / "run.json").exists()
    assert list(without.glob("overview.*")) == []


def test_without_a_probe_wakeups_are_unknown_not_zero(herd):
    summary = herd.run("-s", "epoll", "-n", "4", "-c", "50", "--probe", "none")
    assert summary["accepts"] == 50
    assert (
        summary["arrivals"] is summary["wakeups"]["total"] is summary["wakeups"]["wasted"] is None
    )
    assert all(worker["wakeups"] is None for worker in summary["workers"])
    assert summary["latency_us"]["connect"]["p50"] > 0
    assert summary["latency_us"]["wake_latency"] is None


@pytest.mark.parametrize(
    "options",
    [
        ("poisson", "-r", "200"),
        ("closed", "--clients", "2"),
        ("bursts", "-r", "200", "--burst", "5"),
    ],
)
def test_arrival_patterns_of_a_load_are_those_of_a_run(options, herd):
    summary = herd.run("-n", "3", "-c", "23", "--probe", "none", "--pattern", *options)
    assert summary["connections"]["established"] == summary["accepts"] == 23
    assert summary["integrity"]["ok"] is True


def test_what_a_run_had_no_time_for_is_counted(herd):
    options = ("-n", "2", "-c", "5000", "-r", "10000", "-d", "0.2", "--probe", "none")
    counted = herd.run(*options)["connections"]
    assert counted["intended"] == 2000
    assert counted["attempted"] == counted["established"] <= 2000
