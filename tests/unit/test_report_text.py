"""A summary in words: every figure of it, what is broken first, and unknown stays unknown."""

from __future__ import annotations

import copy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from herd.recording.read import load
from herd.report.text import print_summary

REFERENCE = Path(__file__).parents[2] / "results/reference"
DOT = "·"


def text(summary: dict[str, Any], width: int = 200) -> list[str]:
    console = Console(file=StringIO(), width=width)
    print_summary(summary, console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def figures(lines: list[str]) -> dict[str, str]:
    """First words of a line → the rest."""
    cells = [line.split("  ", 1) for line in lines if "  " in line]
    return {name: rest.strip() for name, rest in cells}


@pytest.fixture
def summary():
    return copy.deepcopy(load(REFERENCE / "epoll-n16").summary)


def workers(summary: dict[str, Any], counts: list[int]) -> dict[str, Any]:
    template = summary["workers"][0]
    rows = [template | {"id": i, "wakeups": n, "accepts": n} for i, n in enumerate(counts)]
    return summary | {"workers": rows}


def bars(summary: dict[str, Any], counts: list[int]) -> tuple[str, str]:
    """The bars of wakeups by worker, without line ends, and the range after them."""
    lines = text(workers(summary, counts))
    begin = next(i for i, line in enumerate(lines) if line.startswith("wakeups/worker"))
    end = next(i for i, line in enumerate(lines) if line.startswith("accepts/worker"))
    block = lines[begin:end]
    block[0] = block[0].removeprefix("wakeups/worker")
    bar, _, counted = block[-1].strip().partition("  ")
    return "".join(line.strip() for line in block[:-1]) + bar, counted


@pytest.mark.parametrize(
    ("family", "said"), [("inet", ""), ("inet6", " on inet6 sockets"), ("unix", " on unix sockets")]
)
def test_a_family_that_is_not_the_usual_one_is_in_the_title(family, said):
    recording = load(REFERENCE / "epoll-n16")
    recording.run["config"]["family"] = family
    assert text(recording.summary)[0].startswith(f"epoll, 16 workers{said}, 200 connections, ")


def test_every_figure_of_a_summary_is_there(summary):
    lines = text(summary)
    found = figures(lines)
    wakeups, cost = summary["wakeups"], summary["cost"]
    assert lines[0].startswith("epoll, 16 workers, 200 connections, settled, Linux ")
    assert lines[0].endswith("probe tracepoints")
    assert found["wakeups/connection"] == "16.00  (predicted 16: held)"
    assert found["wakeups"] == (
        f"3200 = 200 productive + {wakeups['wasted_in_kernel']} wasted in kernel"
        f" + {wakeups['wasted_in_user']} wasted in user space;"
        f" {wakeups['other_causes']} of other causes"
    )
    assert found["predicted to wake"] == summary["prediction"]["who"]
    fairness = summary["fairness"]
    assert f"Jain {fairness['jain']:.3f}" in found["fairness"]
    assert f"{fairness['max_over_mean']:.2f} x mean" in found["fairness"]
    assert f"p = {fairness['chi2_p']:.2g}" in found["fairness"]
    assert f"{cost['cpu_us_per_connection']:.0f} µs" in found["cost/connection"]
    assert f"{cost['wasted_cpu_us_per_connection']:.0f} µs in wasted" in found["cost/connection"]
    assert f"{cost['switches_per_connection']:.1f} context" in found["cost/connection"]
    assert lines[-2] == "integrity: ok, 7 of 7 laws held"
    assert lines[-1] == f"recording: {summary['run']}"


@pytest.mark.parametrize("name", ["wake latency", "queue delay", "connect", "first byte"])
def test_latencies_stand_in_a_table(name, summary):
    values = summary["latency_us"][name.replace(" ", "_")]
    expected = [f"{values[key]:.1f}" for key in ("p50", "p99", "max")]
    assert figures(text(summary))[name].split() == expected


def test_a_rate_is_told_with_its_unit():
    recording = load(REFERENCE / "epoll-n16")
    recording.run["config"]["rate"] = 250.5
    assert "250.5/s" in text(recording.summary)[0]


def test_who_serves_is_shown_where_it_is_not_who_accepts(summary):
    for worker in summary["workers"]:
        worker["served"] = worker["accepts"]
    assert "served/worker" not in "\n".join(text(summary))
    summary["workers"][0]["served"] += 1
    assert "served/worker" in "\n".join(text(summary))


def test_signals_are_shown_where_there_were_any(summary):
    assert "signals/connection" not in figures(text(summary))
    summary["signals"] = 3 * summary["accepts"]
    assert figures(text(summary))["signals/connection"].startswith("3.00  (600 received")


def test_a_prediction_that_failed_says_so(summary):
    summary["prediction"]["held"] = False
    assert "NOT held" in figures(text(summary))["wakeups/connection"]


def test_broken_laws_come_first(summary):
    checks = summary["integrity"]["checks"]
    checks[2] |= {"ok": False, "detail": "established 200, arrivals 199"}
    checks[4] |= {"ok": False, "detail": "3 lost"}
    summary["integrity"]["ok"] = False
    lines = text(summary)
    name = "established = arrivals = accepts"
    assert lines[0] == f"NOT SOUND: {name}: established 200, arrivals 199"
    assert lines[1].strip() == "no event was lost: 3 lost"
    assert "integrity: BROKEN, 5 of 7 laws held" in lines


def test_unknown_stays_unknown(summary):
    for key, value in summary["wakeups"].items():
        summary["wakeups"][key] = value if key.startswith("predicted") else None
    summary["prediction"]["held"] = None
    summary["latency_us"] |= {"wake_latency": None, "queue_delay": None}
    summary["cost"] = dict.fromkeys(summary["cost"])
    summary["integrity"]["checks"][3]["ok"] = None
    for worker in summary["workers"]:
        worker["wakeups"] = None
    summary["notes"] = ["wakeups are unknown: --probe none was asked for"]
    lines = text(summary)
    found = figures(lines)
    assert found["wakeups/connection"] == "unknown (predicted 16)"
    assert "wakeups" not in found
    for name in ("wakeups/worker", "wake latency", "queue delay", "cost/connection"):
        assert found[name] == "unknown"
    most = max(worker["accepts"] for worker in summary["workers"])
    assert f"to {most}" in found["accepts/worker"]
    assert "note: wakeups are unknown: --probe none was asked for" in lines
    assert lines[-2].endswith("can't be told: wakeups = productive + wasted")
    assert "None" not in "\n".join(lines)


def test_nothing_accepted_has_no_fairness(summary):
    summary["fairness"] = dict.fromkeys(summary["fairness"])
    assert figures(text(summary))["fairness"] == "nothing was accepted"


@pytest.mark.parametrize("count", [1, 16, 64, 65, 200, 1024])
def test_each_worker_is_one_character_however_many_there_are(count, summary):
    counts = [i % 9 for i in range(count)]
    drawn, counted = bars(summary, counts)
    assert len(drawn) == count
    assert [i for i, bar in enumerate(drawn) if bar == DOT] == list(range(0, count, 9))
    assert counted == ("0 each" if count == 1 else "0 to 8")


def test_many_workers_take_several_lines(summary):
    lines = text(workers(summary, [1] * 200), width=1000)
    assert [line.count("█") for line in lines if "█" in line] == [64, 64, 64, 8] * 2


def test_bars_rise_with_their_counts(summary):
    drawn, counted = bars(summary, [0, 1, 25, 50, 75, 100])
    assert drawn[0] == DOT
    assert list(drawn[1:]) == sorted(drawn[1:])
    assert len(set(drawn)) == 6
    assert drawn[-1] == "█"
    assert counted == "0 to 100"


@pytest.mark.parametrize(
    ("counts", "drawn"), [([7, 7, 7], "███"), ([0, 0], DOT * 2), ([1, 10**9], "▂█")]
)
def test_bars_of_even_no_and_tiny_shares(counts, drawn, summary):
    assert bars(summary, counts)[0] == drawn


def test_words_that_look_like_markup_are_printed_as_they_are(summary):
    summary["prediction"]["who"] = "one of [all] [/workers]"
    summary["run"] = "results/[bold]x"
    lines = text(summary)
    assert figures(lines)["predicted to wake"] == "one of [all] [/workers]"
    assert lines[-1] == "recording: results/[bold]x"


def test_nothing_is_cut_off_on_a_narrow_terminal(summary):
    shown = "".join(text(summary, width=60)).replace(" ", "")
    assert f"{summary['wakeups']['other_causes']}ofothercauses" in shown
    assert summary["prediction"]["who"].replace(" ", "") in shown


def test_unknown_accepts_are_unknown_and_not_none(summary):
    summary["accepts"] = None
    summary["fairness"] = dict.fromkeys(summary["fairness"])
    summary["workers"] = [worker | {"accepts": None} for worker in summary["workers"]]
    found = figures(text(summary))
    assert found["fairness"] == "unknown"
    assert found["accepts/worker"] == "unknown"


# --- deaths


DEATH = {
    "worker": 3,
    "pid": 4711,
    "how": "was killed by SIGKILL",
    "at_s": 1.2034,
    "in_hand": {},
    "handed_on": None,
    "shares_queue": True,
    "queue": None,
    "accepted_after": 117,
}
WHO = "worker 3 (pid 4711) was killed by SIGKILL at 1.203 s"


def told(summary: dict[str, Any], **death: Any) -> list[str]:
    """The line about a death, in its parts."""
    summary["deaths"] = [DEATH | death]
    [line] = [line for line in text(summary, width=1000) if line.startswith(WHO)]
    return line.split("; ")


def test_nobody_died_and_nothing_is_said(summary):
    assert summary["deaths"] is None
    assert "killed" not in "\n".join(text(summary))


def test_a_death_is_told_with_what_became_of_its_connections(summary):
    assert told(summary) == [
        WHO,
        "accepted and then failed: none",
        "its accept queue is the others', too",
        "accepted by the others afterwards: 117",
    ]


def test_each_death_has_its_line(summary):
    summary["deaths"] = [DEATH, DEATH | {"worker": 5}]
    lines = [line for line in text(summary, width=1000) if "was killed by" in line]
    assert [line[:8] for line in lines] == ["worker 3", "worker 5"]


@pytest.mark.parametrize(
    ("death", "said"),
    [
        (
            {"in_hand": {"ENODATA": 2, "ECONNRESET": 1}},
            "accepted and then failed: 2 ENODATA, 1 ECONNRESET",
        ),
        ({"in_hand": None}, "accepted and then failed: unknown"),
        ({"handed_on": {"ECONNRESET": 4}}, "accepted by another and then failed: 4 ECONNRESET"),
        ({"accepted_after": None}, "accepted by the others afterwards: unknown"),
        ({"accepted_after": 0}, "accepted by the others afterwards: 0"),
    ],
)
def test_what_is_known_of_its_connections_is_counted_by_error(death, said, summary):
    assert said in told(summary, **death)


@pytest.mark.parametrize("handed_on", [None, {}])
def test_nothing_is_said_of_connections_that_nobody_handed_on(handed_on, summary):
    assert not any("by another" in part for part in told(summary, handed_on=handed_on))


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (None, "unknown"),
        ({"migrated": {}, "lost": {}}, "none"),
        ({"migrated": {}, "lost": {"ECONNRESET": 6}}, "6 ECONNRESET lost"),
        (
            {"migrated": {"0": 2, "5": 1}, "lost": {"ECONNRESET": 1}},
            "2 migrated to worker 0, 1 migrated to worker 5, 1 ECONNRESET lost",
        ),
    ],
)
def test_the_fate_of_its_own_queue_is_told_with_what_decides_it(queue, said, summary):
    summary["host"]["sysctls"]["net.ipv4.tcp_migrate_req"] = "1"
    parts = told(summary, shares_queue=False, queue=queue)
    assert f"in its accept queue: {said}, tcp_migrate_req is 1" in parts
    assert "its accept queue is the others', too" not in parts
