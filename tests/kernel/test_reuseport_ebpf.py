"""Each policy of reuseport-ebpf chooses the worker that it should, and leaves nothing in the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import herd as library
from herd import bpf
from herd.strategies import Listen
from herd.strategies.reuseport_ebpf import Chooser, ReuseportEbpf
from tests.kernel.conftest import until

pytestmark = pytest.mark.kernel

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
POLICIES = ReuseportEbpf.options[0].choices
SETTLED = ("--rate", "settled")


def chosen(summary) -> list[int]:
    """The worker of each arrival, in the order of arrivals."""
    accepts = library.load(summary["run"]).accepts
    return accepts.sort_values("arrival")["worker"].to_list()


def run(herd, policy: str, *args: str) -> dict[str, Any]:
    summary = herd.run("-s", "reuseport-ebpf", "--policy", policy, *args)
    assert summary["integrity"]["ok"]
    return summary


# --- who is chosen


@pytest.mark.parametrize("policy", ["round-robin", "least-loaded"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_idle_workers_are_chosen_in_turn(herd, policy, host):
    summary = run(herd, policy, "-n", "5", "-c", "35", *SETTLED, "--host", host)
    assert chosen(summary) == [0, 1, 2, 3, 4] * 7
    assert summary["wakeups"]["total"] == summary["wakeups"]["productive"] == 35


@pytest.mark.parametrize("cpu", sorted(os.sched_getaffinity(0))[:2])
def test_by_cpu_it_is_the_worker_of_the_arrivals_cpu(herd, cpu):
    args = ("-n", "2", "-c", "23", *SETTLED, "--pin", f"load={cpu}")
    summary = run(herd, "cpu", *args)
    assert set(library.load(summary["run"]).arrivals["cpu"]) == {cpu}
    assert chosen(summary) == [cpu % 2] * 23


def test_by_chance_it_is_not_always_the_same_nor_in_turn(herd):
    """With 3 workers and 60 connections, either would happen once in 10^27 runs."""
    found = chosen(run(herd, "random", "-n", "3", "-c", "60", *SETTLED))
    assert len(set(found)) > 1
    assert found != [i % 3 for i in range(60)]


def test_the_least_loaded_is_not_queued_behind_while_another_is_idle(herd):
    """The hash does that to every second connection here."""
    load = ("-n", "4", "-c", "200", "--rate", "100", "--hold", f"{HOLD_MS}ms")
    by_hash = herd.run("-s", "reuseport", *load)
    by_load = run(herd, "least-loaded", *load)
    assert queued_in_vain(by_hash) > 20
    assert queued_in_vain(by_load) * 10 < queued_in_vain(by_hash)
    delays = [library.load(s["run"]).accepts["queue_delay_ns"].mean() for s in (by_load, by_hash)]
    assert delays[0] * 2 < delays[1]


HOLD_MS = 23


def queued_in_vain(summary) -> int:
    """Connections that came to a worker that was busy for certain, while another was idle for certain."""
    run = library.load(summary["run"])
    arrived = run.arrivals[["arrival", "time_ns"]].rename(columns={"time_ns": "arrived_ns"})
    closed = run.connections[["source", "port", "closed_ns"]]
    taken = run.accepts.merge(arrived, on="arrival").merge(
        closed, left_on=["peer", "peer_port"], right_on=["source", "port"]
    )
    assert len(taken) == 200
    count = 0
    for one in taken.itertuples():
        now = one.arrived_ns
        others = taken[taken["arrival"] != one.arrival]
        sleeps = (others["time_ns"] < now) & (now < others["time_ns"] + HOLD_MS * 1_000_000)
        has_one = (others["arrived_ns"] <= now) & (now <= others["closed_ns"])
        busy, not_idle = set(others[sleeps]["worker"]), set(others[has_one]["worker"])
        count += one.worker in busy and len(not_idle) < 4
    return count


# --- faults


def test_the_turns_of_a_dead_worker_go_to_the_others(herd):
    """Its socket is out of the map, and the kernel goes by its hash."""
    output = herd.output()
    command = ("run", "-s", "reuseport-ebpf", "--policy", "round-robin", "-n", "3")
    process = herd.start(*command, "--rate", "100", "-d", "3s", "-o", str(output))
    partial = output.with_name(f"{output.name}.partial")
    until(lambda: any(f.stat().st_size > 8192 for f in partial.glob("*.raw")), "some arrivals")
    os.kill(max(herd.processes("herd.pool.main")), signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "worker 2" in error
    recorded = library.load(output)
    last = recorded.accepts[recorded.accepts["worker"] == 2]["time_ns"].max()
    after = recorded.accepts[recorded.accepts["time_ns"] > last]["worker"]
    assert set(after) == {0, 1}
    # Only what the dead one had just then was lost.
    assert recorded.connections["error"].notna().sum() <= 1


@pytest.mark.parametrize("end", ["by itself", "pool killed"])
def test_no_program_and_no_map_is_left(herd, end):
    command = ("run", "-s", "reuseport-ebpf", "-n", "3", "--rate", "100", "-d", "2s", "-q")
    process = herd.start(*command, "-o", str(herd.output()))
    maps = until(lambda: maps_of(herd.processes("herd.pool.main")), "the maps of the run")
    programs = until(lambda: programs_with(maps), "the program of the run")
    if end == "pool killed":
        os.kill(min(herd.processes("herd.pool.main")), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == (1 if end == "pool killed" else 0)
    until(lambda: not programs & {p["id"] for p in bpftool("prog")}, "the end of the program", 10)
    until(lambda: not maps & {m["id"] for m in bpftool("map")}, "the end of the maps", 10)


def bpftool(what: str) -> list[dict[str, Any]]:
    listed = subprocess.run(
        ["bpftool", "--json", what, "show"], capture_output=True, text=True, check=True
    )
    found: list[dict[str, Any]] = json.loads(listed.stdout)
    return found


def maps_of(pids: list[int]) -> set[int]:
    """Both maps, by the descriptors of their holders, since another run may have its own."""
    held = set()
    for pid in pids:
        for path in Path(f"/proc/{pid}/fdinfo").glob("*"):
            with contextlib.suppress(OSError):
                held |= {
                    int(found) for found in re.findall(r"^map_id:\s*(\d+)", path.read_text(), re.M)
                }
    return held if len(held) == 2 else set()


def programs_with(maps: set[int]) -> set[int]:
    return {p["id"] for p in bpftool("prog") if set(p.get("map_ids", ())) & maps}


# --- what the kernel refuses


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("workers", [1, 1024])
def test_the_verifier_takes_every_policy_at_every_size(policy, workers):
    chooser = Chooser()
    with Listen("127.0.0.1", 0, 1).listening(reuseport=True) as sock:
        chooser.attach(sock, policy, workers)
        chooser.put(sock, workers - 1)
    chooser.close()


def test_a_refused_program_is_said_in_the_verifiers_words():
    with pytest.raises(OSError, match="Permission denied: R0 !read_ok"):
        bpf.load(21, bytes.fromhex("9500000000000000"))


def test_without_privileges_it_says_that_the_kernel_refuses(herd):
    listed = json.loads(herd("strategies", "--json", before=NOBODY).stdout)
    [entry] = [e for e in listed if e["name"] == "reuseport-ebpf"]
    assert not entry["available"]
    assert "this kernel refuses" in entry["why_not"]
    assert "Operation not permitted" in entry["why_not"]
    done = herd("run", "-s", "reuseport-ebpf", "-o", str(herd.output()), before=NOBODY)
    assert done.returncode == 3
    assert "Operation not permitted" in done.stderr
