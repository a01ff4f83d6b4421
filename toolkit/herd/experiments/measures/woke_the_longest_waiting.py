"""Share of arrivals that woke first the worker that had waited longest: 1 is FIFO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.experiments.measures._first_woken import share

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    return share(recording, lambda first: first["rank"] == 0)
