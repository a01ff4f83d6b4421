"""Probability of shares at least this uneven if each connection chose its worker at random (χ²)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.summary import fairness, shares

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    return fairness(shares(recording))["chi2_p"]
