"""When a connection should have started → its client has the answer: the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herd.recording.read import Recording

UNIT = "µs"


def measure(recording: Recording) -> float | None:
    """Of one run."""
    waits: dict[str, float] | None = recording.summary["latency_us"]["first_byte"]
    return waits["max"] if waits else None
