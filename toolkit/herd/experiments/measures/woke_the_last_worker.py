"""Share of arrivals that woke first the highest-numbered worker, which was started last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.experiments.measures._first_woken import share

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    last = len(recording.workers) - 1
    return share(recording, lambda first: first["worker"] == last)
