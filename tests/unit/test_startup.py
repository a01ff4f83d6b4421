"""A guard of how fast the command starts, by ratio within one run: benchmarks/startup.py has the numbers."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import herd

BARE = ("-c", "pass")
HELP = ("-m", "herd", "--help")


def cpu_seconds(*arguments: str) -> float:
    """What a Python process uses, user and system: a busy machine makes it wait, and that isn't counted."""
    where = os.environ | {"PYTHONPATH": str(Path(herd.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, *arguments], env=where, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def test_help_costs_a_few_times_an_empty_program():
    """Measured: 6 to 7 times, 10 ms and 65 ms. What it may not import, test_cli.py says."""
    pairs = [(cpu_seconds(*HELP), cpu_seconds(*BARE)) for _ in range(5)]
    assert statistics.median(ours / bare for ours, bare in pairs) < 13
