"""From an observation's records to its recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from herd.facts import Facts
from herd.observe.crowd import Member
from herd.probes.events import EVENT, KIND_ACCEPT, KIND_WAKEUP, by_arrival, kinds
from herd.recording import collect, convert
from herd.recording.schema import TABLES
from herd.recording.tables import Tables

_CHUNK: Final = 1 << 18


def active(path: Path) -> set[int]:
    """Threads that an arrival woke, or that accepted, in a probe's file."""
    found: set[int] = set()
    with path.open("rb") as file:
        while len(chunk := np.fromfile(file, EVENT, _CHUNK)):
            kind = kinds(chunk)
            accepted = (kind == KIND_ACCEPT) & (chunk["result"] >= 0)
            woken = (kind == KIND_WAKEUP) & by_arrival(chunk)
            found.update(np.unique(chunk["tid"][accepted | woken]).tolist())
    return found


def write_tables(directory: Path, facts: Facts, cast: convert.Cast, workers: list[Member]) -> None:
    """Write every table into ``directory``, where the probe's file is; that is removed."""
    raw = directory / facts.probe.raw
    with Tables(directory) as tables:
        counted = collect.write_events(tables, directory, facts.probe, cast)
        tables.write("workers", _workers(workers, counted))
    raw.unlink(missing_ok=True)


def _workers(workers: list[Member], counted: np.ndarray[Any, Any]) -> pa.Table:
    rows = [
        {"worker": number, "pid": member.pid, **member.used()}
        | dict(zip(("wakeups", "wasted", "accepts"), map(int, counted[:, number]), strict=True))
        for number, member in enumerate(workers)
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["workers"].arrow())
