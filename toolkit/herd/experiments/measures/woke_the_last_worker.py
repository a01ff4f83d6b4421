"""Share of arrivals that woke the highest-numbered worker first, which was the last to be started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.order import wake_order
from herd.analysis.summary import seen

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    if not seen(recording):
        return None
    last = len(recording.workers) - 1
    return float((wake_order(recording)["worker"] == last).mean())
