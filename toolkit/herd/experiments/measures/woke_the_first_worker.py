"""Share of arrivals that woke worker 0 first, which was the first to be started."""

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
    return float((wake_order(recording)["worker"] == 0).mean())
