"""Time on a CPU of workers that an arrival woke, until each slept again, ÷ accepted connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.metrics import caused_cpu_ns
from herd.analysis.summary import accepted, seen

if TYPE_CHECKING:
    from herd.recording.read import Recording

UNIT = "µs"


def measure(recording: Recording) -> float | None:
    """Of one run."""
    accepts = accepted(recording)
    return caused_cpu_ns(recording) / 1000 / accepts if seen(recording) and accepts else None
