"""Share of arrivals that woke first worker 0, which was started first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.order import ranks
from herd.analysis.summary import seen

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    if not seen(recording):
        return None
    woken = ranks(recording)
    first = woken[woken["place"] == 0]
    return float((first["worker"] == 0).mean())
