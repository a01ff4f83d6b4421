"""Spearman's rank correlation of wakeups per connection with the rate: -1 is the more, the fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from herd.experiments.measures import wakeups_per_connection

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure_several(recordings: Sequence[Recording]) -> float | None:
    """Of runs at several rates."""
    from scipy.stats import spearmanr

    rates = [recording.run["config"]["rate"] for recording in recordings]
    seen = [wakeups_per_connection.measure(recording) for recording in recordings]
    herds = [each for each in seen if each is not None]
    if len(herds) < len(rates) or len(set(rates)) < 2:
        return None
    return float(spearmanr(rates, herds).statistic)
