"""Whom each arrival woke first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from herd.analysis import order
from herd.analysis.summary import seen

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording


def share(recording: Recording, such: Callable[[pd.DataFrame], pd.Series[Any]]) -> float | None:
    """Share of arrivals whose first wakeup is such a one.

    :param such: of each row of :func:`~herd.analysis.order.first_woken`
    """
    if not seen(recording):
        return None
    first = order.first_woken(recording)
    return order.share(first, such(first))
