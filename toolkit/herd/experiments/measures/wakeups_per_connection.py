"""Wakeups ÷ accepted connections: 1 is ideal, the number of workers is the full herd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.summary import accepted, per_connection, seen

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    return per_connection(recording, accepted(recording)) if seen(recording) else None
