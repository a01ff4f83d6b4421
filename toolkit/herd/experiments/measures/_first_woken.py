"""Whom each arrival woke first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from herd.analysis.order import ranks
from herd.analysis.summary import seen

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording


def share(recording: Recording, such: Callable[[pd.DataFrame], pd.Series[Any]]) -> float | None:
    """Share of arrivals whose first wakeup, a row of :func:`~herd.analysis.order.ranks`, is such a one."""
    if not seen(recording):
        return None
    woken = ranks(recording)
    return float(such(woken[woken["place"] == 0]).mean())
