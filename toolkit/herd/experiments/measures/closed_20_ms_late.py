"""Share of connections that were closed 20 ms or more after they should have been held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    connections = recording.connections
    held = (connections["closed_ns"] - connections["first_byte_ns"]).dropna()
    late = held - recording.run["config"]["hold_s"] * 1e9
    return None if held.empty else float((late >= 20_000_000).mean())
