"""The figures of one run, as ``herd run --json`` prints them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from herd.analysis import metrics
from herd.analysis.deaths import deaths
from herd.analysis.quantiles import Quantiles
from herd.analysis.verdict import judge
from herd.analysis.words import title
from herd.recording.schema import VERSION

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}


def summarise(recording: Recording) -> dict[str, Any]:
    """Every figure of a run; one that couldn't be seen is ``None``."""
    run = recording.run
    accepts = accepted(recording)
    wakeups = _wakeups(recording, accepts) if seen(recording) else _unknown_wakeups(recording)
    summary = {
        "schema": VERSION,
        "run": str(recording.path),
        "title": title(run),
        "config": run["config"],
        "host": run["host"],
        "complete": run["complete"],
        "ended_by": run["ended_by"],
        "notes": run["notes"],
        "connections": _connections(recording),
        "arrivals": metrics.count(recording, "arrivals", "arrival") if seen(recording) else None,
        "accepts": accepts,
        "signals": _signals(recording),
        "wakeups": wakeups,
        "prediction": run["prediction"] | {"held": _held(run, wakeups["per_connection"])},
        "workers": _workers(recording),
        "deaths": deaths(recording),
        "fairness": fairness(shares(recording)),
        "latency_us": _latency(recording),
        "cost": _cost(recording, accepts),
        "calls": run["probe"]["calls"],
        "integrity": run["integrity"],
    }
    return summary | (_of_a_stranger(recording, summary) if run.get("observed") else {})


def _of_a_stranger(recording: Recording, summary: dict[str, Any]) -> dict[str, Any]:
    """What is said of a server that was observed, and not of a run of our own."""
    return {"verdict": asdict(judge(recording, summary)), "overhead": _overhead(recording.run)}


def _overhead(run: dict[str, Any]) -> dict[str, float | None]:
    """What looking cost: CPU time ÷ time observed, 1 is one CPU; ``None`` where it wasn't measured."""
    overhead = run["observed"]["overhead"] or {"programs": None, "reader_ns": None}
    programs, reader_ns = overhead["programs"], overhead["reader_ns"]
    passed_ns = max(1, run["end_ns"] - run["begin_ns"])
    ran = programs and programs["runs"]
    # An older recording doesn't say: all the time was measured.
    measured_ns = programs.get("measured_ns", passed_ns) if programs else 0
    return {
        "programs_cpu": programs["ns"] / measured_ns if programs else None,
        "programs_ns_per_run": programs["ns"] / programs["runs"] if ran else None,
        "reader_cpu": None if reader_ns is None else reader_ns / passed_ns,
    }


def _connections(recording: Recording) -> dict[str, Any]:
    """As the clients saw them; unknown where they weren't ours."""
    attempted = recording.run["load"]["attempted"]
    if attempted is None:
        return dict.fromkeys(("intended", "attempted", "established", "failed", "errors"))
    missed = recording.run["load"].get("missed")  # an older recording doesn't say
    errors = metrics.errors(recording)
    # What was interrupted before it ended has no row, and no error.
    ended = metrics.count(recording, "connections", "intended_ns")
    return {
        "intended": None if missed is None else attempted + missed,
        "attempted": attempted,
        "established": metrics.count(recording, "connections", "established_ns"),
        "failed": attempted - ended + sum(errors.values()),
        "errors": errors,
    }


def _signals(recording: Recording) -> int | None:
    """Signals that told workers of connections; ``None`` where nobody counted them."""
    signals = recording.workers["signals"]
    return int(signals.sum()) if signals.notna().all() else None


def seen(recording: Recording) -> bool:
    """Whether a probe saw wakeups; where not, they are unknown, never 0."""
    return bool(recording.run["host"]["probe"] != "none")


def accepted(recording: Recording) -> int | None:
    """Accepts, as the workers counted them, else the probe; ``None`` where neither did."""
    counts = recording.workers["accepts"]
    return None if counts.isna().any() else int(counts.sum())


def per_connection(recording: Recording, accepts: int | None) -> float | None:
    """Wakeups ÷ accepted connections; ``None`` where nothing was accepted, or nobody counted."""
    return int(metrics.outcomes(recording).to_numpy().sum()) / accepts if accepts else None


def _held(run: dict[str, Any], measured: float | None) -> bool | None:
    predicted = run["prediction"]
    if measured is None or predicted["low"] is None:
        return None
    return bool(predicted["low"] <= measured <= predicted["high"])


def _wakeups(recording: Recording, accepts: int | None) -> dict[str, Any]:
    causes = metrics.causes(recording)
    outcomes = metrics.outcomes(recording).sum().to_dict()
    total = sum(outcomes.values())
    return {
        "total": total,
        "per_connection": total / accepts if accepts else None,
        "predicted_per_connection": recording.run["prediction"]["expected"],
        "productive": outcomes["productive"],
        "wasted": outcomes["wasted_in_kernel"] + outcomes["wasted_in_user"],
        "wasted_in_kernel": outcomes["wasted_in_kernel"],
        "wasted_in_user": outcomes["wasted_in_user"],
        "chained": causes["chained"],
        "lock": causes["lock"],
        "handoff": causes["handoff"],
        "other_causes": causes["other"],
    }


def _unknown_wakeups(recording: Recording) -> dict[str, Any]:
    names = (
        "total",
        "per_connection",
        "productive",
        "wasted",
        "wasted_in_kernel",
        "wasted_in_user",
    )
    unknown: dict[str, Any] = dict.fromkeys((*names, "chained", "lock", "handoff", "other_causes"))
    return unknown | {"predicted_per_connection": recording.run["prediction"]["expected"]}


def _plain(value: Any) -> Any:
    """A table's cell as JSON knows it."""
    import pandas as pd

    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _workers(recording: Recording) -> list[dict[str, Any]]:
    table = recording.workers.rename(columns={"worker": "id"})
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in table.to_dict(orient="records")
    ]


def shares(recording: Recording) -> pd.Series[Any]:
    """Connections of each worker: those it served; those it accepted, where only they were counted."""
    workers = recording.workers
    return workers["served"].fillna(workers["accepts"])


def fairness(connections: pd.Series[Any]) -> dict[str, float | None]:
    """How evenly connections fell on workers.

    :param connections: of each worker; unknown ones give no figure
    :returns: ``jain`` (Σx)² / (n Σx²), 1 = even, 1/n = all to one; ``max_over_mean``; ``chi2_p``, the
        probability of shares at least this uneven if each connection chose its worker at random
    """
    from scipy.special import chdtrc

    counts = connections.fillna(0).to_numpy("float64")
    total, size = counts.sum(), len(counts)
    if not total or connections.isna().any():
        return {"jain": None, "max_over_mean": None, "chi2_p": None}
    mean = total / size
    chi2 = float(((counts - mean) ** 2 / mean).sum())
    return {
        "jain": float(total**2 / (size * (counts**2).sum())),
        "max_over_mean": float(counts.max() / mean),
        "chi2_p": float(chdtrc(size - 1, chi2)) if size > 1 else None,
    }


def percentiles(nanoseconds: Quantiles) -> dict[str, float] | None:
    """Percentiles in µs; ``None`` without a value."""
    if not nanoseconds.count:
        return None
    found = nanoseconds.at(list(_QUANTILES.values())) / 1000
    return {name: round(float(value), 3) for name, value in zip(_QUANTILES, found, strict=True)}


def _latency(recording: Recording) -> dict[str, Any]:
    return {
        "queue_delay": percentiles(metrics.queue_delay(recording)),
        "wake_latency": percentiles(metrics.wake_latency(recording)),
        "connect": percentiles(metrics.since_intended(recording, "established_ns")),
        "first_byte": percentiles(metrics.since_intended(recording, "first_byte_ns")),
        "late_start": percentiles(metrics.since_intended(recording, "started_ns")),
    }


def _cost(recording: Recording, accepts: int | None) -> dict[str, float | None]:
    workers = recording.workers
    cpu = workers["cpu_user_s"] + workers["cpu_system_s"]
    switches = workers["voluntary_switches"] + workers["involuntary_switches"]
    each = 1 / accepts if accepts and cpu.notna().all() else None
    wasted = metrics.wasted_cpu_ns(recording) if seen(recording) and accepts else None
    return {
        "cpu_us_per_connection": float(cpu.sum() * 1e6 * each) if each else None,
        "switches_per_connection": float(switches.sum() * each) if each else None,
        "wasted_cpu_us_per_connection": (
            None if wasted is None or not accepts else wasted / 1000 / accepts
        ),
    }
