"""Context switches of all workers ÷ accepted connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    cost: float | None = recording.summary["cost"]["switches_per_connection"]
    return cost
