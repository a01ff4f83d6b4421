"""Arrival → accept returns: the 99th percentile; unknown without a probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herd.recording.read import Recording

UNIT = "µs"


def measure(recording: Recording) -> float | None:
    """Of one run."""
    delays: dict[str, float] | None = recording.summary["latency_us"]["queue_delay"]
    return delays["p99"] if delays else None
