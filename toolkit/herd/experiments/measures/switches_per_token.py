"""Context switches of all workers, voluntary or not, ÷ tokens taken; unknown of a run with connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    if not recording.run["config"].get("tokens"):
        return None
    switches: float | None = recording.summary["cost"]["switches_per_connection"]
    return switches
