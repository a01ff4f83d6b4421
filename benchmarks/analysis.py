#!/usr/bin/env python3
"""How long each figure of a large recording takes, and how much memory, each in a fresh process.

The recordings are made of a small one, over and over, in row groups such as herd writes, and removed again.
Prints the table that docs/performance.md holds.

    .venv/bin/python benchmarks/analysis.py                      # 1, 10 and 30 million wakeups
    .venv/bin/python benchmarks/analysis.py --wakeups 1000000 --from results/reference/accept-n16
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from herd.analysis import metrics
from herd.analysis.order import first_woken
from herd.analysis.summary import accepted, fairness, per_connection, percentiles, shares
from herd.recording import write
from herd.recording.convert import CHUNK
from herd.recording.read import Recording, load
from herd.recording.schema import TABLES
from herd.recording.tables import Tables

_HERE: Final = Path(__file__).resolve()
_REFERENCE: Final = _HERE.parents[1] / "results/reference/epoll-n16"

METRICS: Final[dict[str, Callable[[Recording], Any]]] = {
    "nothing (imports only)": lambda _: None,
    "outcomes, by worker": metrics.outcomes,
    "causes": metrics.causes,
    "wakeups per connection": lambda r: per_connection(r, accepted(r)),
    "wake latency, percentiles": lambda r: percentiles(metrics.wake_latency(r)),
    "queue delay, percentiles": lambda r: percentiles(metrics.queue_delay(r)),
    "first byte, percentiles": lambda r: percentiles(metrics.since_intended(r, "first_byte_ns")),
    "CPU of wasted wakeups": metrics.wasted_cpu_ns,
    "fairness": lambda r: fairness(shares(r)),
    "all of herd report --json": lambda r: r.summary,
    "wake order": first_woken,
}


def tile(reference: Recording, directory: Path, wakeups: int) -> None:
    """Write a recording of ``wakeups`` rows at least: the reference over and over."""
    rows = {name: reference.table(name) for name in TABLES}
    copies = -(-wakeups // len(rows["wakeups"]))
    events = sum(len(rows[name]) for name in ("arrivals", "wakeups", "accepts"))
    together = max(1, CHUNK // events)
    directory.mkdir()
    with Tables(directory) as tables:
        for first in range(0, copies, together):
            numbers = np.arange(first, min(copies, first + together))
            for name in ("connections", "arrivals", "wakeups", "accepts"):
                tables.write(name, _shifted(name, rows[name], numbers, reference.run))
        workers = rows["workers"].copy()
        for count in ("accepts", "served", "wakeups", "wasted"):
            workers[count] *= copies
        tables.write(
            "workers",
            pa.Table.from_pandas(workers, TABLES["workers"].arrow(), preserve_index=False),
        )
    write.write_json(directory / "run.json", reference.run)


def _shifted(name: str, rows: Any, numbers: Any, run: dict[str, Any]) -> pa.Table:
    import pandas as pd

    count = len(rows)
    many = pd.concat([rows] * len(numbers), ignore_index=True)
    later = np.repeat(numbers, count)
    for column in many:
        if column.endswith("_ns") and column not in ("queue_delay_ns", "on_cpu_ns"):
            many[column] += later * (run["end_ns"] - run["begin_ns"] + 10**9)
        elif column == "arrival":
            many[column] += later * run["load"]["attempted"]
    return pa.Table.from_pandas(many, TABLES[name].arrow(), preserve_index=False)


def measure(metric: str, directory: Path) -> dict[str, float]:
    """Seconds and peak memory (MiB) of one figure; to be called once in a process."""
    METRICS[metric](load(_REFERENCE))  # what is imported when first used
    recording = load(directory)
    begin = time.perf_counter()
    METRICS[metric](recording)
    seconds = time.perf_counter() - begin
    # Not ru_maxrss: a process has that from the one that forked it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "mib": int(status["VmHWM"].split()[0]) / 1024}


def apart(metric: str, directory: Path) -> dict[str, float]:
    """:func:`measure` in a fresh process."""
    command = [sys.executable, str(_HERE), "--metric", metric, "--in", str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wakeups", type=int, nargs="+", default=[10**6, 10**7, 3 * 10**7])
    parser.add_argument("--from", dest="reference", type=Path, default=_REFERENCE, metavar="RUN")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many (default: 3)")
    parser.add_argument("--metric", choices=METRICS, help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.metric:
        print(json.dumps(measure(options.metric, options.directory)))
        return
    _print(options)


def _print(options: argparse.Namespace) -> None:
    reference = load(options.reference)
    found: dict[str, list[str]] = {metric: [] for metric in METRICS}
    for wakeups in options.wakeups:
        with tempfile.TemporaryDirectory(prefix="herd-benchmark-") as scratch:
            directory = Path(scratch, "recording")
            tile(reference, directory, wakeups)
            for metric, cells in found.items():
                runs = [apart(metric, directory) for _ in range(options.repeat)]
                seconds, mib = min(r["seconds"] for r in runs), max(r["mib"] for r in runs)
                cells.append(f"{seconds:.2f} s, {mib:.0f} MiB")
                print(f"{wakeups:,} wakeups: {metric}: {cells[-1]}", file=sys.stderr)
    print("| figure | " + " | ".join(f"{n / 1e6:g} M wakeups" for n in options.wakeups) + " |")
    print("|---|" + "---:|" * len(options.wakeups))
    for metric, cells in found.items():
        print(f"| {metric} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
