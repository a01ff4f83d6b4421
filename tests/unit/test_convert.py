"""From raw events and logs to tables: what each field becomes, and what becomes null."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from herd import families
from herd.families import INET
from herd.pool.log import LAYOUT as POOL
from herd.probes import events as probe
from herd.probes.events import EVENT
from herd.recording import convert
from herd.recording.convert import Cast
from herd.recording.schema import TABLES
from herd.traffic.log import LAYOUT as LOAD

HEADER = Path(probe.__file__).parent / "bpf/event.h"
TIDS = [500, 30, 4000]  # worker 0, 1, 2
COOKIES = [2**63 + 17, 18]
CAST = Cast(INET, TIDS, COOKIES)
LOCAL = 0x7F000001
ACCEPT = probe.BLOCKED_IN.index("accept")
OTHER = probe.BLOCKED_IN.index("other")

ARRIVAL = {
    "kind": probe.KIND_ARRIVAL,
    "time": 1000,
    "arrival": 1,
    "amount": 3,
    "peer": LOCAL,
    "peer_port": 40001,
    "cpu": 1,
    "listener": 1,
}
WAKEUP = {
    "kind": probe.KIND_WAKEUP,
    "time": 1010,
    "begin": 1020,
    "end": 1100,
    "arrival": 1,
    "tid": 30,
    "amount": 55,
    "cpu": 1,
    "running_cpu": 0,
    "listener": 2,
    "accepts": 1,
    "flags": probe.FLAG_RETURNED,
    "what": ACCEPT,
}
ACCEPTED = {
    "kind": probe.KIND_ACCEPT,
    "time": 1050,
    "begin": 900,
    "end": 1000,
    "arrival": 1,
    "tid": 4000,
    "peer": LOCAL,
    "result": 7,
    "peer_port": 40001,
    "cpu": 1,
    "listener": 1,
}


def record(*events: dict[str, int]) -> np.ndarray:
    records = np.zeros(len(events), EVENT)
    for place, event in enumerate(events):
        for name, value in event.items():
            records[name][place] = value
    return records


def table(tmp_path: Path, name: str, *events: dict[str, int], cast: Cast = CAST) -> pa.Table:
    """What the events become; they are all of one kind."""
    file = tmp_path / "events.raw"
    file.write_bytes(record(*events).tobytes())
    found = list(convert.events(file, cast))
    assert [kind for kind, _ in found] == [name]
    return found[0][1]


def row(tmp_path: Path, name: str, event: dict[str, int], cast: Cast = CAST) -> dict[str, Any]:
    return table(tmp_path, name, event, cast=cast).to_pylist()[0]


# --- the twin of bpf/event.h


def test_the_record_is_laid_out_as_the_c_header_says():
    body = re.search(r"struct event \{(.*?)\n\};", HEADER.read_text(), re.S)
    assert body
    members = re.findall(r"\b([us])(8|16|32|64) (\w+);", body[1])
    offset, theirs = 0, []
    for sign, bits, name in members:
        size = int(bits) // 8
        assert offset % size == 0, f"{name} would be padded"
        theirs.append((name, offset, size, sign))
        offset += size
    ours = [
        (name, EVENT.fields[name][1], EVENT[name].itemsize, "us"[EVENT[name].kind == "i"])
        for name in EVENT.names
    ]
    assert ours == theirs
    assert EVENT.itemsize == offset
    assert offset % 8 == 0


def test_what_is_in_network_order_says_so():
    swapped = [name for name in EVENT.names if EVENT[name].str.startswith(">")]
    noted = re.findall(r"(\w+);\s*/\*[^*]*network order", HEADER.read_text())
    assert swapped == noted == ["peer", "peer_port"]


def test_numbers_have_the_names_that_the_c_header_gives_them():
    text = HEADER.read_text()
    defines = dict(re.findall(r"#define (KIND_\w+|FLAG_\w+) (\d+)", text))
    assert len(defines) == 10
    for name, value in defines.items():
        assert getattr(probe, name) == int(value)
    enum = re.search(r"enum wait \{(.*?)\}", text, re.S)
    assert enum
    waits = [name.strip().removeprefix("WAIT_").lower() for name in enum[1].split(",")]
    assert waits == ["none" if name is None else name for name in probe.BLOCKED_IN]


# --- every table


def test_every_table_has_exactly_the_schemas_columns(tmp_path):
    rows = np.zeros(2, LOAD.dtype()), np.zeros(2, POOL.dtype())
    made = {
        "connections": [convert.connections(rows[0], INET)],
        "arrivals": [table(tmp_path, "arrivals", ARRIVAL)],
        "wakeups": [table(tmp_path, "wakeups", WAKEUP)],
        "accepts": [
            table(tmp_path, "accepts", ACCEPTED),
            convert.own_accepts(0, 500, 18, rows[1], CAST),
        ],
    }
    for name, tables in made.items():
        for found in tables:
            assert found.schema == TABLES[name].arrow()
            assert [field.name for field in found.schema] == [c.name for c in TABLES[name].columns]


def test_logs_without_a_row_become_tables_without_a_row():
    connections = convert.connections(np.zeros(0, LOAD.dtype()), INET)
    accepts = convert.own_accepts(1, 30, 18, np.zeros(0, POOL.dtype()), CAST)
    assert (len(connections), connections.schema) == (0, TABLES["connections"].arrow())
    assert (len(accepts), accepts.schema) == (0, TABLES["accepts"].arrow())


# --- arrivals


def test_an_arrival_keeps_what_the_kernel_saw(tmp_path):
    assert row(tmp_path, "arrivals", ARRIVAL) == {
        "arrival": 1,
        "time_ns": 1000,
        "cpu": 1,
        "listener": COOKIES[0],
        "queue_length": 3,
        "peer": "127.0.0.1",
        "peer_port": 40001,
    }


def test_an_unknown_listener_is_null(tmp_path):
    assert row(tmp_path, "arrivals", ARRIVAL | {"listener": 0})["listener"] is None
    assert row(tmp_path, "arrivals", ARRIVAL | {"listener": 2})["listener"] == COOKIES[1]


@pytest.mark.parametrize(
    ("family", "value", "text"),
    [
        ("inet", 0x7F0000FE, "127.0.0.254"),
        ("inet", 0x7F010203, "127.1.2.3"),
        ("inet6", 1, "::1"),
        ("unix", 0, None),
    ],
)
def test_addresses_of_each_family_read_as_usual(family, value, text, tmp_path):
    cast = Cast(families.find(family), TIDS, COOKIES)
    assert row(tmp_path, "arrivals", ARRIVAL | {"peer": value}, cast)["peer"] == text


def test_a_client_without_a_name_has_neither_address_nor_port(tmp_path):
    unix = families.find("unix")
    nameless = {"peer": 0, "peer_port": 0}
    for name, event in (("arrivals", ARRIVAL), ("accepts", ACCEPTED)):
        found = row(tmp_path, name, event | nameless, Cast(unix, TIDS, COOKIES))
        assert (found["peer"], found["peer_port"], found["arrival"]) == (None, None, 1)
    rows = np.zeros(1, LOAD.dtype())
    [connection] = convert.connections(rows, unix).to_pylist()
    assert (connection["source"], connection["port"]) == (None, None)


# --- wakeups


def test_a_wakeup_keeps_what_the_kernel_saw(tmp_path):
    assert row(tmp_path, "wakeups", WAKEUP) == {
        "time_ns": 1010,
        "cpu": 1,
        "worker": 1,
        "tid": 30,
        "cause": "arrival",
        "arrival": 1,
        "listener": COOKIES[1],
        "blocked_in": "accept",
        "running_ns": 1020,
        "running_cpu": 0,
        "slept_ns": 1100,
        "on_cpu_ns": 55,
        "outcome": "productive",
        "accepts": 1,
        "eagain": 0,
    }


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"accepts": 1}, "productive"),
        ({"accepts": 9, "eagain": 1}, "productive"),
        ({"accepts": 0, "flags": 0}, "wasted_in_kernel"),
        ({"accepts": 0, "eagain": 1}, "wasted_in_user"),
        ({"accepts": 0, "end": 0}, None),  # still awake when the recording ended
        ({"accepts": 0, "end": 0, "flags": 0}, None),
        ({"accepts": 1, "end": 0}, "productive"),
    ],
)
def test_a_wakeup_is_worth_what_came_of_it(changes, outcome, tmp_path):
    found = row(tmp_path, "wakeups", WAKEUP | changes)
    assert (found["cause"], found["outcome"]) == ("arrival", outcome)


def test_what_is_open_at_the_end_is_over_if_its_worker_was_seen_to_sleep():
    layout = np.dtype([("wakeup", probe.EVENT), ("maybe_slept", "<u8")])
    workers = np.zeros(4, layout)
    workers["wakeup"]["time"] = [
        0,
        1010,
        1010,
        1010,
    ]  # none; not run yet; slept before it; and after it
    workers["maybe_slept"] = [1100, 0, 1000, 1100]
    found = probe.still_open(workers)
    assert found["end"].tolist() == [0, 0, 1100]
    assert set(found["kind"]) == {probe.KIND_WAKEUP}
    workers["wakeup"]["begin"] = 1020  # it runs: what was noted is no sleep of this wakeup
    assert probe.still_open(workers)["end"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("changes", [{"arrival": 0}, {"what": OTHER}, {"what": 0}], ids=str)
def test_a_wakeup_that_no_arrival_caused_has_another_cause(changes, tmp_path):
    found = row(tmp_path, "wakeups", WAKEUP | changes)
    assert found["cause"] == "other"
    assert (found["arrival"], found["listener"], found["outcome"]) == (None, None, None)
    assert (found["time_ns"], found["worker"], found["accepts"]) == (1010, 1, 1)


def test_who_waits_for_a_signal_waits_for_a_connection(tmp_path):
    found = row(tmp_path, "wakeups", WAKEUP | {"what": probe.BLOCKED_IN.index("signal")})
    assert (found["cause"], found["arrival"], found["outcome"]) == ("arrival", 1, "productive")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"flags": probe.FLAG_HANDED | probe.FLAG_RETURNED}, "handoff"),
        ({"flags": probe.FLAG_RETURNED}, "other"),  # its client's data, say
        ({"arrival": 1, "flags": 0}, "other"),  # inside the window by chance
    ],
)
def test_a_connection_that_is_passed_on_is_no_arrivals_wakeup(changes, cause, tmp_path):
    waiting = {"arrival": 0, "what": probe.BLOCKED_IN.index("recvmsg"), "accepts": 0}
    found = row(tmp_path, "wakeups", WAKEUP | waiting | changes)
    assert (found["cause"], found["arrival"], found["outcome"]) == (cause, None, None)


@pytest.mark.parametrize("code", range(len(probe.BLOCKED_IN)))
def test_what_a_worker_was_blocked_in_has_its_name(code, tmp_path):
    found = row(tmp_path, "wakeups", WAKEUP | {"what": code})
    assert found["blocked_in"] == probe.BLOCKED_IN[code]


@pytest.mark.parametrize(
    ("flags", "accepts", "outcome"),
    [
        (0, 0, "wasted_in_kernel"),
        (probe.FLAG_RETURNED, 0, "wasted_in_user"),
        (probe.FLAG_UNTOLD, 0, None),
        (probe.FLAG_UNTOLD | probe.FLAG_RETURNED, 0, "wasted_in_user"),
        (probe.FLAG_UNTOLD, 1, "productive"),
    ],
)
def test_without_a_look_at_system_calls_what_cant_be_told_is_null(
    tmp_path, flags, accepts, outcome
):
    changes = {"flags": flags | probe.FLAG_UNTRIED, "accepts": accepts, "eagain": 0}
    found = row(tmp_path, "wakeups", WAKEUP | changes)
    assert found["outcome"] == outcome
    assert found["eagain"] is None


def test_what_did_not_happen_is_null_and_not_zero(tmp_path):
    found = row(tmp_path, "wakeups", WAKEUP | {"begin": 0, "end": 0, "running_cpu": 0})
    assert (found["running_ns"], found["running_cpu"], found["slept_ns"]) == (None, None, None)
    assert found["eagain"] == 0  # counted, so zero is known


def test_outcomes_of_many_rows_do_not_mix(tmp_path):
    wasted, other = WAKEUP | {"accepts": 0, "flags": 0}, WAKEUP | {"arrival": 0}
    found = table(tmp_path, "wakeups", WAKEUP, wasted, other, WAKEUP | {"tid": 4000})
    assert found["outcome"].to_pylist() == ["productive", "wasted_in_kernel", None, "productive"]
    assert found["cause"].to_pylist() == ["arrival", "arrival", "other", "arrival"]
    assert found["worker"].to_pylist() == [1, 1, 1, 2]


def test_workers_are_found_by_tid_in_whatever_order_they_were_forked():
    rng = np.random.default_rng(1)
    tids = rng.choice(4_000_000, 1024, replace=False).tolist()
    asked = rng.integers(0, 1024, 5000)
    found = Cast(INET, tids, []).worker_of(np.array(tids, "u4")[asked])
    assert found.tolist() == asked.tolist()


# --- accepts


def test_an_accept_keeps_what_the_kernel_saw(tmp_path):
    assert row(tmp_path, "accepts", ACCEPTED) == {
        "time_ns": 1050,
        "entered_ns": 900,
        "worker": 2,
        "tid": 4000,
        "cpu": 1,
        "listener": COOKIES[0],
        "peer": "127.0.0.1",
        "peer_port": 40001,
        "arrival": 1,
        "queue_delay_ns": 50,
    }


def test_an_accept_without_its_arrival_has_no_queue_delay(tmp_path):
    found = row(tmp_path, "accepts", ACCEPTED | {"arrival": 0, "end": 0})
    assert (found["arrival"], found["queue_delay_ns"]) == (None, None)


def test_an_accept_before_the_listener_was_told_is_the_arrivals_without_a_delay(tmp_path):
    found = row(tmp_path, "accepts", ACCEPTED | {"end": 0})
    assert (found["arrival"], found["queue_delay_ns"]) == (1, None)


def test_without_a_probe_the_workers_own_log_gives_accepts():
    rows = np.zeros(2, POOL.dtype())
    rows["accepted"], rows["peer"], rows["peer_port"] = [5, 6], LOCAL, [40001, 65535]
    first, second = convert.own_accepts(2, 4000, COOKIES[0], rows, CAST).to_pylist()
    assert (first["time_ns"], first["peer"], first["peer_port"]) == (5, "127.0.0.1", 40001)
    assert (second["worker"], second["tid"], second["listener"]) == (2, 4000, COOKIES[0])
    assert second["peer_port"] == 65535
    unknown = ("entered_ns", "cpu", "arrival", "queue_delay_ns")
    assert [first[name] for name in unknown] == [None] * 4


# --- connections


def test_a_connection_keeps_what_the_client_saw():
    rows = np.zeros(3, LOAD.dtype())
    rows[0] = (10, 11, 12, 13, 99, 14, 0x7F000002, 40002, 0, 0)
    rows[1] = (20, 21, 0, 0, 0, 0, 0x7F000003, 0, 0, errno.ECONNREFUSED)
    rows[2] = (30, 31, 32, 0, 0, 34, 0x7F000002, 40003, 0, errno.ENODATA)
    good, refused, silent = convert.connections(rows, INET).to_pylist()
    assert list(good.values()) == [10, 11, 12, 13, 14, "127.0.0.2", 40002, None]
    assert list(refused.values()) == [20, 21, *[None] * 3, "127.0.0.3", None, "ECONNREFUSED"]
    assert silent["error"] == "ENODATA"
    assert (silent["first_byte_ns"], silent["closed_ns"]) == (None, 34)


def test_an_errno_without_a_name_stays_a_number():
    rows = np.zeros(1, LOAD.dtype())
    rows["error"] = 4000
    assert convert.connections(rows, INET)["error"].to_pylist() == ["4000"]


# --- the file


def mixed(count: int) -> list[dict[str, int]]:
    kinds = [ARRIVAL, WAKEUP, ACCEPTED, WAKEUP]
    return [kinds[n % 4] | {"time": 10_000 + n} for n in range(count)]


def times(file: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, part in convert.events(file, CAST):
        assert len(part)
        found.setdefault(name, []).extend(part["time_ns"].to_pylist())
    return found


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 40, 1000])
def test_chunks_lose_nothing_and_keep_the_order(chunk, tmp_path, monkeypatch):
    file = tmp_path / "events.raw"
    file.write_bytes(record(*mixed(40)).tobytes())
    monkeypatch.setattr(convert, "CHUNK", chunk)
    assert times(file) == {
        "arrivals": list(range(10_000, 10_040, 4)),
        "wakeups": list(range(10_001, 10_040, 2)),
        "accepts": list(range(10_002, 10_040, 4)),
    }


@pytest.mark.parametrize("lost", [1, EVENT.itemsize // 2, EVENT.itemsize - 1])
def test_a_file_that_was_cut_off_is_read_up_to_there(lost, tmp_path, monkeypatch):
    file = tmp_path / "events.raw"
    file.write_bytes(record(*mixed(12)).tobytes()[:-lost])
    monkeypatch.setattr(convert, "CHUNK", 4)
    found = times(file)
    assert sum(map(len, found.values())) == 11
    assert 10_011 not in found["wakeups"]


def test_an_empty_file_gives_no_tables(tmp_path):
    (tmp_path / "events.raw").touch()
    assert list(convert.events(tmp_path / "events.raw", CAST)) == []
