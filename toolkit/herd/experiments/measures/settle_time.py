"""From an arrival until the last worker that it woke sleeps again: the median over arrivals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.metrics import settle_time
from herd.analysis.summary import seen

if TYPE_CHECKING:
    from herd.recording.read import Recording

UNIT = "µs"


def measure(recording: Recording) -> float | None:
    """Of one run."""
    times = settle_time(recording) if seen(recording) else None
    return None if times is None or times.empty else float(times.median() / 1000)
