"""Other address families than IPv4: the same laws, the same predictions, each accept with its own arrival."""

from __future__ import annotations

import json

import pytest

import herd as library

pytestmark = pytest.mark.kernel

STRATEGIES = ("accept", "epoll", "epoll-exclusive", "select", "epoll-shared", "sigio", "fcgi")
SETTLED = ("--rate", "settled")
NAMELESS = {"inet6": False, "unix": True}


@pytest.mark.parametrize("family", NAMELESS)
def test_what_wakes_is_no_matter_of_the_family(herd, family):
    args = ("-S", ",".join(STRATEGIES), "-n", "3", "-c", "23", *SETTLED, "--family", family)
    done = herd("compare", *args, "--json", "--no-picture", "-o", str(herd.output()))
    found = json.loads(done.stdout)
    assert found["failed"] == found["unavailable"] == []
    assert [run["config"]["strategy"] for run in found["runs"]] == list(STRATEGIES)
    for run in found["runs"]:
        name = run["config"]["strategy"]
        broken = [law for law in run["integrity"]["checks"] if law["ok"] is not True]
        assert broken == [], name
        assert run["arrivals"] == run["accepts"] == run["wakeups"]["productive"] == 23, name
        assert run["prediction"]["held"], (name, run["wakeups"], run["prediction"])
        tables = library.load(run["run"])
        for column in (tables.accepts["peer_port"], tables.connections["source"]):
            assert column.isna().all() == NAMELESS[family], name
    assert done.returncode == 0


def test_accepts_of_a_unix_socket_are_joined_to_their_own_arrivals(herd):
    """Three clients at once, workers that are busy: who is told first needn't be queued first."""
    args = ("-s", "accept", "-n", "3", "-c", "3000", "--rate", "6000", "--load-processes", "3")
    run = library.load(herd.run(*args, "--family", "unix")["run"])
    assert len(run.arrivals) == run.arrivals["arrival"].nunique() == 3000
    assert sorted(run.accepts["arrival"]) == sorted(run.arrivals["arrival"])
    # A worker that was awake may have been faster than the notification.
    delays = run.accepts["queue_delay_ns"].dropna()
    assert len(delays) > 2900
    assert (delays > 0).all()


def test_a_unix_listener_counts_its_queue_and_refuses_when_it_is_full(herd):
    """unix_recvq_full(): as long as its length is not above the backlog, one more may come."""
    args = ("-s", "accept", "-n", "1", "-c", "40", "--rate", "4000", "--hold", "30ms")
    output = herd.output()
    done = herd("run", *args, "--family", "unix", "--backlog", "2", "--json", "-o", str(output))
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    refused = summary["connections"]["errors"]["EAGAIN"]
    assert refused + summary["accepts"] == 40
    assert library.load(output).arrivals["queue_length"].max() == 3
    law = {law["name"]: law for law in summary["integrity"]["checks"]}
    assert law["no listener turned a connection away"]["ok"] is False
    assert law["established = arrivals = accepts"]["ok"] is True
    assert summary["integrity"]["listen_overflows"] is None


def test_a_unix_run_without_a_probe_reads_as_any(herd):
    summary = herd.run("-s", "epoll", "-n", "2", "-c", "20", "--family", "unix", "--probe", "none")
    assert (summary["accepts"], summary["wakeups"]["total"]) == (20, None)
    run = library.load(summary["run"])
    assert run.accepts["peer"].isna().all()
    assert run.run["pool"]["port"] is None
    assert herd("report", summary["run"]).stdout.startswith("epoll, 2 workers on unix sockets, 20")


def test_a_connection_without_a_name_has_a_path(herd):
    summary = herd.run("-s", "accept", "-n", "2", "-c", "5", *SETTLED, "--family", "unix")
    shown = herd("path", summary["run"], "--arrival", "3")
    assert shown.returncode == 0
    assert "has the connection: back in user space" in shown.stdout
    assert "client" in shown.stdout
    assert "softirq" not in shown.stdout


def test_reuseport_is_unavailable_for_unix_sockets_and_the_others_are_compared(herd):
    args = ("-S", "reuseport,accept", "-n", "2", "-c", "5", *SETTLED, "--family", "unix", "--json")
    done = herd("compare", *args, "-o", str(herd.output()))
    found = json.loads(done.stdout)
    [unavailable] = found["unavailable"]
    assert (unavailable["strategy"], unavailable["kernel"]) == ("reuseport", "host")
    assert "SO_REUSEPORT" in unavailable["why"]
    assert [run["config"]["strategy"] for run in found["runs"]] == ["accept"]
    assert done.returncode == 0
    alone = herd("run", "-s", "reuseport", "--family", "unix", "-o", str(herd.output()))
    assert alone.returncode == 2
    assert "strategy reuseport cannot wait on unix sockets" in alone.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--family", "unix", "--port", "80"), "leave out --port"),
        (("--family", "unix", "--host", "::1"), "leave out --host"),
        (("--family", "inet6", "--host", "127.0.0.1"), "not an address of --family inet6"),
        (("--family", "ipx"), "'ipx' is not one of"),
    ],
)
def test_a_family_that_contradicts_is_a_usage_error(herd, args, says):
    done = herd("run", *args, "-o", str(herd.output()))
    assert done.returncode == 2
    assert says in done.stderr
