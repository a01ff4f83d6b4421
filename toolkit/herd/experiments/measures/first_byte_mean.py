"""When a connection should have started → its client has the answer: the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.metrics import until_first_byte

if TYPE_CHECKING:
    from herd.recording.read import Recording

UNIT = "µs"


def measure(recording: Recording) -> float | None:
    """Of one run."""
    return float(until_first_byte(recording).mean() / 1000)
