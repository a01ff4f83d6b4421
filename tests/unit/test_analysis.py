"""The figures of recorded runs, checked against the raw tables, and the conservation laws."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import chisquare

from herd.analysis import integrity
from herd.analysis.quantiles import Quantiles
from herd.analysis.summary import fairness, percentiles
from herd.recording.read import Recording, load
from herd.recording.schema import TABLES
from tests.recordings import edit_run, edit_table, reference

NAMES = ("accept", "epoll", "epoll-exclusive", "reuseport")
LAWS = [
    "the run came to its end",
    "every connection was answered",
    "established = arrivals = accepts",
    "wakeups = productive + wasted",
    "no event was lost",
    "no listener turned a connection away",
    "every worker ended as it was told",
]


def raw(directory: Path, table: str) -> dict[str, list[Any]]:
    """A table's columns, read without herd."""
    return dict(pq.read_table(directory / f"{table}.parquet").to_pydict())


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(reference("epoll"), tmp_path / "copy"))


def forget(directory: Path, name: str, *columns: str) -> None:
    edit_table(directory, name, lambda rows: [row.update(dict.fromkeys(columns)) for row in rows])


@pytest.fixture
def unprobed(copy):
    """The same run as it would have been recorded with --probe none."""
    for table in ("arrivals", "wakeups"):
        edit_table(copy, table, list.clear)
    forget(copy, "workers", "wakeups", "wasted")
    forget(copy, "accepts", "entered_ns", "cpu", "arrival", "queue_delay_ns")
    edit_run(copy, "host", "probe", value="none")
    nothing = dict.fromkeys(("produced", "kept", "lost"))
    edit_run(copy, "probe", value={"mode": "none", "calls": {}} | nothing)
    recording = load(copy)
    edit_run(copy, "integrity", value=integrity.check(recording))
    return load(copy)


# --- the figures of the reference recordings


@pytest.mark.parametrize("name", NAMES)
def test_totals_are_those_of_the_run(name):
    summary = load(reference(name)).summary
    herd = 16 if name == "epoll" else 1
    counted = {"attempted": 200, "established": 200, "failed": 0, "errors": {}}
    connections = {"intended": None} | counted  # recordings of old don't tell
    assert summary["connections"] == connections
    assert (summary["arrivals"], summary["accepts"]) == (200, 200)
    wakeups = summary["wakeups"]
    assert wakeups["total"] == 200 * herd
    assert wakeups["per_connection"] == wakeups["predicted_per_connection"] == herd
    assert (wakeups["productive"], wakeups["wasted"]) == (200, 200 * (herd - 1))
    assert summary["prediction"]["held"] is True


@pytest.mark.parametrize("name", NAMES)
def test_outcomes_are_counted_as_the_table_has_them(name):
    found = load(reference(name)).summary["wakeups"]
    wakeups = raw(reference(name), "wakeups")
    for outcome in ("productive", "wasted_in_kernel", "wasted_in_user"):
        assert found[outcome] == wakeups["outcome"].count(outcome)
    assert found["other_causes"] == wakeups["cause"].count("other") > 0
    assert found["total"] == wakeups["cause"].count("arrival")


@pytest.mark.parametrize("name", NAMES)
def test_most_of_a_herds_waste_never_leaves_the_kernel(name):
    found = load(reference(name)).summary["wakeups"]
    assert (found["wasted_in_kernel"] > 10 * found["wasted_in_user"]) is (name == "epoll")


@pytest.mark.parametrize("name", NAMES)
def test_fairness_follows_its_formulas(name):
    accepts = raw(reference(name), "workers")["accepts"]
    found = load(reference(name)).summary["fairness"]
    jain = sum(accepts) ** 2 / (16 * sum(n * n for n in accepts))
    assert found["jain"] == pytest.approx(jain, rel=1e-12)
    assert found["max_over_mean"] == pytest.approx(max(accepts) / (200 / 16), rel=1e-12)
    assert found["chi2_p"] == pytest.approx(chisquare(accepts).pvalue, rel=1e-9, abs=1e-300)


def test_shares_differ_as_each_strategy_predicts():
    jain = {name: load(reference(name)).summary["fairness"]["jain"] for name in NAMES}
    assert jain["accept"] > 0.99
    assert jain["reuseport"] > 0.8
    assert jain["epoll-exclusive"] == pytest.approx(1 / 16)


@pytest.mark.parametrize("name", NAMES)
def test_percentiles_are_those_of_the_raw_tables(name):
    found = load(reference(name)).summary["latency_us"]
    client = pd.DataFrame(raw(reference(name), "connections"))
    wakeups = pd.DataFrame(raw(reference(name), "wakeups"))
    caused = wakeups[wakeups["cause"] == "arrival"]
    nanoseconds = {
        "queue_delay": raw(reference(name), "accepts")["queue_delay_ns"],
        "wake_latency": caused["running_ns"] - caused["time_ns"],
        "connect": client["established_ns"] - client["intended_ns"],
        "first_byte": client["first_byte_ns"] - client["intended_ns"],
        "late_start": client["started_ns"] - client["intended_ns"],
    }
    assert found.keys() == nanoseconds.keys()
    for key, values in nanoseconds.items():
        expected = np.percentile(np.array(values, float) / 1000, [50, 90, 99, 99.9, 100])
        assert list(found[key]) == ["p50", "p90", "p99", "p999", "max"]
        assert list(found[key].values()) == pytest.approx(expected.tolist(), abs=0.00051)


@pytest.mark.parametrize("name", NAMES)
def test_cost_is_the_workers_and_divided_by_connections(name):
    found = load(reference(name)).summary["cost"]
    workers = pd.DataFrame(raw(reference(name), "workers"))
    wakeups = pd.DataFrame(raw(reference(name), "wakeups"))
    wasted = wakeups[wakeups["outcome"].isin(["wasted_in_kernel", "wasted_in_user"])]
    cpu = workers["cpu_user_s"].sum() + workers["cpu_system_s"].sum()
    switches = workers["voluntary_switches"].sum() + workers["involuntary_switches"].sum()
    assert found["cpu_us_per_connection"] == pytest.approx(cpu * 1e6 / 200)
    assert found["switches_per_connection"] == pytest.approx(switches / 200)
    assert found["wasted_cpu_us_per_connection"] == pytest.approx(wasted["on_cpu_ns"].sum() / 200e3)


@pytest.mark.parametrize("name", NAMES)
def test_the_workers_own_counts_agree_with_the_wakeups_table(name):
    workers = load(reference(name)).summary["workers"]
    wakeups = pd.DataFrame(raw(reference(name), "wakeups"))
    caused = wakeups[wakeups["cause"] == "arrival"]
    assert [worker["id"] for worker in workers] == list(range(16))
    for worker in workers:
        mine = caused[caused["worker"] == worker["id"]]
        assert worker["wakeups"] == len(mine)
        assert worker["wasted"] == int((mine["outcome"] != "productive").sum())
        assert worker["accepts"] == int(mine["accepts"].sum())


def test_a_summary_is_plain_json_with_the_runs_own_words():
    recording = load(reference("accept"))
    summary = json.loads(json.dumps(recording.summary, allow_nan=False))
    assert summary == recording.summary
    for key in ("config", "host", "complete", "ended_by", "notes", "integrity"):
        assert summary[key] == recording.run[key]
    assert summary["run"] == str(reference("accept"))


def test_what_clients_met_is_counted_by_name(copy):
    edit_table(copy, "connections", lambda rows: [rows[n].update(error="EPIPE") for n in (3, 9)])
    edit_run(copy, "load", "attempted", value=205)
    connections = load(copy).summary["connections"]
    assert (connections["failed"], connections["errors"]) == (7, {"EPIPE": 2})
    assert connections["attempted"] == 205


# --- fairness and percentiles at their ends


@pytest.mark.parametrize(
    ("accepts", "jain", "busiest", "p"),
    [
        ([5, 5, 5, 5], 1.0, 1.0, 1.0),
        ([20, 0, 0, 0], 0.25, 4.0, chisquare([20, 0, 0, 0]).pvalue),
        ([7], 1.0, 1.0, None),
        ([0, 0], None, None, None),
    ],
)
def test_fairness_at_its_ends(accepts, jain, busiest, p):
    found = fairness(pd.Series(accepts, dtype="Int64"))
    assert found == {
        "jain": jain,
        "max_over_mean": busiest,
        "chi2_p": p if p is None else pytest.approx(p),
    }


def test_percentiles_are_microseconds_and_unknown_without_a_value():
    found = percentiles(Quantiles([3000, 1000]))
    assert found is not None
    assert (found["p50"], found["max"]) == (2.0, 3.0)
    assert percentiles(Quantiles()) is None


def serve(directory: Path, served: list[int]) -> None:
    """As if the run had counted who serves."""
    edit_table(
        directory,
        "workers",
        lambda rows: [row.update(served=n) for row, n in zip(rows, served, strict=True)],
    )


def test_fairness_is_about_who_serves_where_that_is_known(copy):
    accepts = load(copy).summary["fairness"]
    serve(copy, [0, 200] + [0] * 14)
    served = load(copy).summary["fairness"]
    assert accepts["max_over_mean"] < served["max_over_mean"] == 16
    assert served["jain"] == 1 / 16


# --- the conservation laws


def broken(directory: Path) -> list[str]:
    checked = integrity.check(load(directory))
    assert [law["name"] for law in checked["checks"]] == LAWS
    assert checked["ok"] is not any(law["ok"] is False for law in checked["checks"])
    return [law["name"] for law in checked["checks"] if not law["ok"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_law_holds_in_an_undamaged_recording(name):
    assert broken(reference(name)) == []
    recording = load(reference(name))
    assert integrity.check(recording) == recording.run["integrity"]


RUN_DAMAGE = [
    (LAWS[0], ("complete",), False, "all was sent"),
    (LAWS[1], ("load", "attempted"), 203, "3 unfinished"),
    (LAWS[4], ("probe", "lost"), 2, "2 lost"),
    (LAWS[4], ("probe", "lost"), None, "unknown"),
    (LAWS[4], ("probe", "kept"), 1, "= 1 kept"),
    (LAWS[5], ("counters", "after", "ListenDrops"), 10**9, "ListenDrops +"),
    (LAWS[5], ("counters", "after", "ListenOverflows"), 10**9, "ListenOverflows +"),
    (LAWS[6], ("pool", "exit_status"), [0] * 15 + [-9], "worker 15: -9"),
    (LAWS[6], ("pool", "exit_status"), [None] + [0] * 15, "worker 0: None"),
]

TABLE_DAMAGE = [
    (LAWS[1], "connections", lambda rows: rows[7].update(error="ENODATA"), "failed: 1 ENODATA"),
    (LAWS[2], "connections", lambda rows: rows[7].update(established_ns=None), "established 199"),
    (LAWS[2], "arrivals", list.pop, "arrivals 199"),
    (LAWS[2], "accepts", list.pop, "accepts in the kernel 199"),
    (LAWS[2], "accepts", lambda rows: rows[3].update(arrival=None), "joined to an arrival 199"),
    (LAWS[2], "accepts", lambda rows: rows[3].update(arrival=1), "joined to an arrival 199"),
    (LAWS[2], "workers", lambda rows: rows[2].update(accepts=1000), "of the workers 1"),
]


def detail(directory: Path, name: str) -> str:
    checks = integrity.check(load(directory))["checks"]
    return str(next(law["detail"] for law in checks if law["name"] == name))


@pytest.mark.parametrize(("law", "keys", "value", "says"), RUN_DAMAGE)
def test_damage_in_run_json_breaks_its_law_and_no_other(law, keys, value, says, copy):
    edit_run(copy, *keys, value=value)
    assert broken(copy) == [law]
    assert says in detail(copy, law)


@pytest.mark.parametrize(("law", "table", "change", "says"), TABLE_DAMAGE)
def test_damage_in_a_table_breaks_its_law_and_no_other(law, table, change, says, copy):
    edit_table(copy, table, change)
    assert broken(copy) == [law]
    assert says in detail(copy, law)


def test_a_connection_that_was_accepted_and_not_served_breaks_its_law_and_no_other(copy):
    serve(copy, [0, 200] + [0] * 14)
    assert broken(copy) == []
    serve(copy, [0, 199] + [0] * 14)
    assert broken(copy) == [LAWS[2]]
    assert "served by the workers 199" in detail(copy, LAWS[2])


def undecide(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["outcome"] == "wasted_in_kernel")["outcome"] = None


def test_a_wakeup_without_an_outcome_breaks_its_law_and_no_other(copy):
    edit_table(copy, "wakeups", undecide)
    assert broken(copy) == [LAWS[3]]
    assert detail(copy, LAWS[3]) == "3200 = 200 + 2999, 1 undecided"


def test_the_light_probe_may_be_unable_to_tell_an_outcome(copy):
    def light(rows: list[dict[str, Any]]) -> None:
        undecide(rows)
        for row in rows:
            row["eagain"] = None

    edit_table(copy, "wakeups", light)
    assert broken(copy) == []
    said = "3200 = 200 + 2999, 1 undecided (1 ended, and the probe couldn't tell how)"
    assert detail(copy, LAWS[3]) == said


def test_why_a_run_ended_early_is_its_laws_detail(copy):
    edit_run(copy, "complete", value=False)
    edit_run(copy, "ended_by", value="interrupted by SIGINT")
    assert detail(copy, LAWS[0]) == "interrupted by SIGINT"


def test_counters_of_the_kernel_are_compared_not_taken(copy):
    for when in ("before", "after"):
        edit_run(copy, "counters", when, "ListenDrops", value=12345)
    checked = integrity.check(load(copy))
    assert (checked["listen_drops"], checked["ok"]) == (0, True)


def test_what_a_unix_listener_turned_away_is_known_from_its_clients(copy):
    """The kernel's counters are TCP's: whatever they say, they are not about it."""
    edit_run(copy, "config", "family", value="unix")
    edit_run(copy, "counters", "after", "ListenOverflows", value=10**9)
    checked = integrity.check(load(copy))
    assert (checked["ok"], checked["listen_overflows"], checked["listen_drops"]) == (
        True,
        None,
        None,
    )
    edit_table(copy, "connections", lambda rows: rows[7].update(error="EAGAIN"))
    assert broken(copy) == [LAWS[1], LAWS[5]]
    assert "1 refused by EAGAIN" in detail(copy, LAWS[5])


# --- function probes


WAKERS = ["wakeups = wake functions that woke", "every signal is an arrival's"]


@pytest.fixture
def functions(copy):
    """The epoll run as function probes would have recorded it, its last 16 wakeups made by signals."""
    edit_table(copy, "wakeups", lambda rows: [w.update(blocked_in="signal") for w in _last(rows)])
    woken = raw(copy, "wakeups")
    calls = [
        dict.fromkeys(c.name for c in TABLES["calls"].columns)
        | {"function": _waker(blocked_in), "arrival": arrival, "result": int(blocked_in == "epoll")}
        for blocked_in, arrival in zip(woken["blocked_in"], woken["arrival"], strict=True)
        if arrival
    ]
    edit_table(copy, "calls", lambda rows: rows.extend(calls))
    nothing = {"entries": 0, "returns": 0, "elsewhere": 0, "missed": 0}
    edit_run(copy, "probe", "calls", value={"inet_csk_accept": nothing})
    return copy


def _last(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["arrival"] == 200]


def _waker(blocked_in: str) -> str:
    return "sock_wake_async" if blocked_in == "signal" else "ep_autoremove_wake_function"


def wakers(directory: Path) -> list[tuple[bool, str]]:
    laws = {law["name"]: law for law in integrity.check(load(directory))["checks"]}
    return [(laws[name]["ok"], laws[name]["detail"]) for name in WAKERS]


def test_wakeups_by_a_wait_queue_and_by_signals_have_their_own_wakers(functions):
    assert wakers(functions) == [
        (True, "3184 = 3184"),
        (True, "1 arrivals, 1 of them through sock_wake_async"),
    ]


def test_a_wakeup_that_no_wake_function_made_breaks_its_law(functions):
    edit_table(functions, "calls", lambda rows: rows[7].update(result=0))
    assert wakers(functions)[0] == (False, "3184 = 3183")
    assert wakers(functions)[1][0] is True


@pytest.mark.parametrize(
    ("counts", "ok", "says"),
    [
        # An interrupt beneath which another socket's notification ran: reported, of no account here.
        ({"sock_def_readable": {"missed": 2}}, True, "missed: {'sock_def_readable': 2}"),
        ({"pollwake": {"missed": 1}}, True, "missed: {'pollwake': 1}"),
        ({"sock_wake_async": {"missed": 1}}, False, "missed: {'sock_wake_async': 1}"),
        ({"__wake_up_common": {"entries": 9, "returns": 8}}, False, "{'__wake_up_common': 1}"),
        ({"inet_csk_accept": {"entries": 216, "returns": 200}}, True, "16 of 16 workers"),
        ({"inet_csk_accept": {"entries": 217, "returns": 200}}, False, "17 of 16 workers"),
        ({"inet_csk_accept": {"entries": 199, "returns": 200}}, False, "-1 of 16 workers"),
    ],
)
def test_every_call_returned_or_is_a_sleepers(counts, ok, says, functions):
    nothing = {"entries": 0, "returns": 0, "elsewhere": 0, "missed": 0}
    calls = {name: nothing | some for name, some in ({"inet_csk_accept": {}} | counts).items()}
    edit_run(functions, "probe", "calls", value=calls)
    [law] = [
        law
        for law in integrity.check(load(functions))["checks"]
        if law["name"] == "every call returned"
    ]
    assert law["ok"] is ok
    assert says in law["detail"]


def test_a_signal_that_the_kernel_did_not_send_breaks_its_law(functions):
    edit_table(functions, "wakeups", lambda rows: _last(rows)[0].update(arrival=199))
    assert wakers(functions)[1] == (False, "2 arrivals, 1 of them through sock_wake_async")


# --- without a probe


def test_without_a_probe_wakeups_are_unknown_and_not_zero(unprobed: Recording):
    summary = unprobed.summary
    wakeups = dict(summary["wakeups"])
    assert wakeups.pop("predicted_per_connection") == 16
    assert wakeups.keys() == load(reference("epoll")).summary["wakeups"].keys() - {
        "predicted_per_connection"
    }
    assert set(wakeups.values()) == {None}
    assert summary["arrivals"] is None
    assert summary["prediction"]["held"] is None
    for worker in summary["workers"]:
        assert (worker["wakeups"], worker["wasted"]) == (None, None)
    assert summary["latency_us"]["wake_latency"] is summary["latency_us"]["queue_delay"] is None
    assert summary["cost"]["wasted_cpu_us_per_connection"] is None


def test_without_a_probe_the_rest_is_what_it_was(unprobed: Recording):
    summary, before = unprobed.summary, load(reference("epoll")).summary
    for key in ("connections", "accepts", "fairness"):
        assert summary[key] == before[key]
    for key in ("connect", "first_byte", "late_start"):
        assert summary["latency_us"][key] == before["latency_us"][key]
    for key in ("cpu_us_per_connection", "switches_per_connection"):
        assert summary["cost"][key] == before["cost"][key]


def test_without_a_probe_two_laws_cannot_be_told_and_the_rest_hold(unprobed: Recording):
    checked = integrity.check(unprobed)
    assert checked["ok"] is True
    assert checked["events_lost"] is None
    untold = [law["name"] for law in checked["checks"] if law["ok"] is None]
    assert untold == ["wakeups = productive + wasted", "no event was lost"]
    assert "established = accepts" in [law["name"] for law in checked["checks"] if law["ok"]]


def test_a_run_in_which_nothing_was_accepted_has_no_ratios(copy):
    for table in ("connections", "arrivals", "wakeups", "accepts"):
        edit_table(copy, table, list.clear)
    edit_table(copy, "workers", lambda rows: [row.update(accepts=0) for row in rows])
    edit_run(copy, "load", "attempted", value=0)
    summary = load(copy).summary
    assert summary["wakeups"]["per_connection"] is summary["prediction"]["held"] is None
    assert summary["wakeups"]["total"] == 0
    assert set(summary["cost"].values()) == set(summary["latency_us"].values()) == {None}


# --- workers that keep no log


def test_workers_without_a_log_are_not_held_against_the_others(copy):
    """What the probe counted is in the table; no second count is there to agree with."""
    edit_run(copy, "pool", "logs", value=False)
    forget(copy, "workers", "eagain", "errors")
    recording = load(copy)
    assert broken(copy) == []
    assert "accepts of the workers" not in detail(copy, "established = arrivals = accepts")
    assert recording.summary["accepts"] == 200


def test_without_a_log_or_a_probe_accepts_are_unknown(unprobed: Recording):
    edit_run(unprobed.path, "pool", "logs", value=False)
    forget(unprobed.path, "workers", "accepts", "eagain", "errors")
    recording = load(unprobed.path)
    summary = recording.summary
    assert summary["accepts"] is None
    assert set(summary["fairness"].values()) == {None}
    assert summary["cost"]["cpu_us_per_connection"] is None
    laws = {law["name"]: law for law in integrity.check(recording)["checks"]}
    assert laws["established = accepts"]["ok"] is None
    assert "accepts are unknown" in laws["established = accepts"]["detail"]
