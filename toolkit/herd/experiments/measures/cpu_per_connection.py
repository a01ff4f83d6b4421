"""CPU time of all workers, user and system, ÷ accepted connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herd.recording.read import Recording

UNIT = "µs"


def measure(recording: Recording) -> float | None:
    """Of one run."""
    cost: float | None = recording.summary["cost"]["cpu_us_per_connection"]
    return cost
