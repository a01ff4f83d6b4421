"""From a finished run's memory and files to its recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from herd import families
from herd.analysis import integrity
from herd.area import Area
from herd.errors import HerdError
from herd.pool.log import STOPPED
from herd.recording import convert, write
from herd.recording.read import Recording
from herd.recording.schema import TABLES
from herd.recording.tables import Tables

if TYPE_CHECKING:
    from herd.facts import Facts, ProbeFacts

_USAGE: Final = {
    "voluntary_switches": ("voluntary", 1),
    "involuntary_switches": ("involuntary", 1),
    "cpu_user_s": ("user_us", 1e-6),
    "cpu_system_s": ("system_us", 1e-6),
}

#: What a worker that keeps a log counts itself.
_OWN_COUNTS: Final = ("accepts", "served", "eagain", "signals", "errors")


def write_tables(
    directory: Path, raw: Path, facts: Facts, pool: list[Area], loads: list[Area]
) -> None:
    """Write every table into ``directory``, a bounded part at a time.

    :param raw: where the probes' files are; they are removed once their rows are in the tables
    """
    per_worker = None
    with Tables(directory) as tables:
        family = families.of(facts.config)
        for rows in (rows for area in loads for rows in area.parts(convert.CHUNK)):
            tables.write("connections", convert.connections(rows, family))
        if facts.probes:
            per_worker = write_events(tables, raw, facts.probe, _cast(facts, facts.probe))
        else:
            _write_own_accepts(tables, facts, pool)
        tables.write("workers", _workers(facts, pool, per_worker))
    for check in facts.probes[1:]:
        aside = directory / f"check-{check.mode}"
        aside.mkdir(exist_ok=True)
        with Tables(aside, ("arrivals", "wakeups", "accepts")) as tables:
            write_events(tables, raw, check, _cast(facts, check))
    for probe in facts.probes:
        (raw / probe.raw).unlink(missing_ok=True)


def _cast(facts: Facts, probe: ProbeFacts) -> convert.Cast:
    family = families.of(facts.config)
    listeners = list(dict.fromkeys(facts.cookies))
    return convert.Cast(family, facts.pids, listeners, probe.functions)


def write_events(
    tables: Tables, raw: Path, probe: ProbeFacts, cast: convert.Cast
) -> np.ndarray[Any, Any]:
    """A probe's rows; returns wakeups by an arrival, the wasted ones, and accepts, by worker."""
    per_worker = np.zeros((3, len(cast.tids)), "int64")
    if (raw / probe.raw).exists():
        for name, part in convert.events(raw / probe.raw, cast):
            tables.write(name, part)
            if name == "wakeups":
                per_worker[:2] += _count(part, len(cast.tids))
            elif name == "accepts":
                per_worker[2] += np.bincount(part["worker"].to_numpy(), minlength=len(cast.tids))
    return per_worker


def _write_own_accepts(tables: Tables, facts: Facts, pool: list[Area]) -> None:
    cast = _cast(facts, facts.probe)
    for worker, area in enumerate(pool):
        pid, cookie = facts.pids[worker], facts.cookies[worker]
        for rows in area.parts(convert.CHUNK):
            tables.write("accepts", convert.own_accepts(worker, pid, cookie, rows, cast))


def _count(wakeups: pa.Table, workers: int) -> np.ndarray[Any, Any]:
    """Wakeups by an arrival, and the wasted ones, by worker."""
    caused = np.asarray(wakeups["arrival"].is_valid())
    wasted = caused & (wakeups["accepts"].to_numpy() == 0)
    worker = wakeups["worker"].to_numpy()
    return np.array([np.bincount(worker[which], minlength=workers) for which in (caused, wasted)])


def _workers(facts: Facts, pool: list[Area], counted: np.ndarray[Any, Any] | None) -> pa.Table:
    columns: dict[str, list[Any]] = {column.name: [] for column in TABLES["workers"].columns}
    for worker, area in enumerate(pool):
        row: dict[str, Any] = _own_counts(area) if facts.logs else dict.fromkeys(_OWN_COUNTS)
        if not facts.logs and counted is not None:
            row["accepts"] = int(counted[2, worker])
        row |= {
            "worker": worker,
            "pid": facts.pids[worker],
            "listener": facts.cookies[worker] or None,
            "wakeups": None if counted is None else int(counted[0, worker]),
            "wasted": None if counted is None else int(counted[1, worker]),
            "exit_status": facts.exit_status.get(worker),
        } | _usage(area)
        for name, values in columns.items():
            values.append(row[name])
    return pa.table(columns, schema=TABLES["workers"].arrow())


def _own_counts(area: Area) -> dict[str, Any]:
    return {name: area[name] for name in _OWN_COUNTS}


def _usage(area: Area) -> dict[str, Any]:
    if area["state"] != STOPPED:  # killed: it could not say
        return dict.fromkeys(_USAGE)
    return {
        name: (area[f"after_{counter}"] - area[f"before_{counter}"]) * unit
        for name, (counter, unit) in _USAGE.items()
    }


def finish(aside: Path, directory: Path, run: dict[str, Any]) -> Recording:
    """Check the laws, write ``run.json``, and give the recording its name."""
    write.write_json(aside / "run.json", run)
    laws = integrity.check(Recording(aside))
    write.write_json(aside / "run.json", run | {"integrity": laws})
    write.publish(aside, directory)
    return Recording(directory)


def draw(recording: Recording) -> HerdError | None:
    """Draw its picture into a recording that is whole without it; returns what went wrong."""
    from herd import plots

    try:
        plots.save_into(recording.path, "overview", recording)
    except OSError as error:
        for suffix in ("png", "svg"):
            (recording.path / f"overview.{suffix}").unlink(missing_ok=True)
        failed = HerdError(
            f"the picture could not be written: {error.strerror}; the recording is whole: {recording.path}",
            f"free some space, then: herd report {recording.path}",
        )
        failed.recording = recording
        return failed
    return None
