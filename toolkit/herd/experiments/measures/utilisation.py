"""CPU time of all workers ÷ that of all CPUs they may use, while connections come: 1 is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    run, workers = recording.run, recording.workers
    used = workers["cpu_user_s"] + workers["cpu_system_s"]
    seconds = (run["end_ns"] - run["begin_ns"]) / 1e9
    if used.isna().any():
        return None
    return float(used.sum() / (seconds * len(run["host"]["cpu"]["affinity"])))
