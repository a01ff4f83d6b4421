"""Connections of the busiest worker ÷ an even share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.summary import fairness, shares

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    return fairness(shares(recording))["max_over_mean"]
