"""Share of arrivals that woke the worker that was the last to wait: 1 is LIFO."""

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
    order = wake_order(recording)
    return float((order["rank"] == order["waiting"] - 1).mean())
