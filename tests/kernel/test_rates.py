"""Guards of what is fast, by ratio within one run: benchmarks/recording.py has the numbers."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import herd as library
from herd.loader.maps import possible_cpus
from herd.probes.session import lane_bits
from tests.kernel.conftest import PATIENCE_S, until

pytestmark = pytest.mark.kernel

BENCHMARK = Path(__file__).parents[2] / "benchmarks/recording.py"


@pytest.fixture(scope="module")
def measured():
    """The benchmark, which ends with an error if a record is unaccounted for."""
    command = [sys.executable, str(BENCHMARK), "--json", "--no-end", "--turns", "3"]
    done = subprocess.run(
        [*command, "--seconds", "0.1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_records_are_drained_far_faster_than_by_bccs_callback(measured):
    pairs = zip(measured["drain"]["herd"], measured["drain"]["bcc"], strict=True)
    assert statistics.median(herd / bcc for herd, bcc in pairs) >= 10  # measured: 30 to 40


def test_what_does_not_fit_is_counted(measured):
    """A lane holds 64 records, so that most are lost, while the reader drains."""
    tiny = measured["tiny"]
    assert tiny["lost"] > 0
    assert tiny["kept"] > 0
    assert tiny["made"] == tiny["produced"] == tiny["kept"] + tiny["lost"]


def cpu_ticks(pid: int) -> str:
    """User and system time of a process, as /proc/PID/stat has it."""
    return " ".join(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])


def is_idle(pid: int) -> bool:
    before = cpu_ticks(pid)
    time.sleep(1)
    return cpu_ticks(pid) == before


def test_a_run_that_lost_events_counts_them_and_says_so(herd):
    """The probe process sleeps until all is over, and more comes than a lane has room for."""
    output = herd.output()
    size = ("-n", "32", "-c", "50000", "--pattern", "closed", "--no-picture", "--timeout", "100")
    process = herd.start("run", "-s", "epoll", *size, "-o", str(output))
    raw = Path(f"{output}.partial")
    until(lambda: any(file.stat().st_size for file in raw.glob("events-*.raw")), "an event")
    [probe], [load] = (herd.processes(f"herd.{name}.main") for name in ("probes", "traffic"))
    os.kill(probe, signal.SIGSTOP)
    until(lambda: is_idle(load), "the last connection")
    os.kill(probe, signal.SIGCONT)
    out, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, error
    run = library.load(output).run
    account = run["probe"]
    full = 0.99 * (1 << lane_bits(possible_cpus()))  # of a lane: some places are spare
    assert account["kept"] >= full
    assert account["produced"] == account["kept"] + account["lost"]
    assert run["integrity"]["ok"] is False
    assert run["integrity"]["events_lost"] == account["lost"] > 0
    said = f"{account['produced']} produced = {account['kept']} kept + {account['lost']} lost"
    assert out.startswith("NOT SOUND: ")
    assert said in out
