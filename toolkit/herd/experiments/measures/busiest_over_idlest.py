"""Connections of the busiest worker ÷ those of the idlest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.summary import shares

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    connections = shares(recording)
    if connections.isna().any() or not connections.min():
        return None
    return float(connections.max() / connections.min())
