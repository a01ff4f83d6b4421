"""Connections in the accept queue when one arrives, that one included; the median: 1 is none waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.summary import seen

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    lengths = recording.arrivals["queue_length"].dropna()
    return float(lengths.median()) if seen(recording) and len(lengths) else None
