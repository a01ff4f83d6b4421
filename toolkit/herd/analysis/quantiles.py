"""Quantiles of any number of values in bounded memory: exact for few, by buckets for many."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Up to that many values are kept as they are, and quantiles are exact.
EXACT: Final = 1 << 20
#: Leading bits of a value's mantissa that name its bucket, as with HdrHistogram's three significant digits.
_BITS: Final = 10
#: Beyond EXACT values, a quantile is off by this part of itself at the most: half a bucket.
ERROR: Final = 2.0 ** -(_BITS + 1)

_MANTISSA: Final = 52
_SHIFT: Final = _MANTISSA - _BITS
#: The bucket below that of 1: a bucket's number is what a float64's leading bits say, from there.
_BELOW_ONE: Final = (1023 << _BITS) - 1
#: Buckets of the values from 1 to 2^63, and as many of negative ones, around that of 0.
_HALF: Final = 64 << _BITS


class Quantiles:
    """The distribution of integers that are added in parts.

    What is added first is kept, :data:`EXACT` values at the most. Beyond that values are counted in buckets
    whose width grows with their value (1024 an octave): 1 MiB, and a relative error of :data:`ERROR`, 0.05 %.
    Integers below 2048 have buckets of their own. Minimum and maximum are exact.
    """

    def __init__(self, *parts: ArrayLike) -> None:
        self.count = 0
        self._kept: list[NDArray[np.int64]] | None = []
        self._buckets: NDArray[np.int64] | None = None
        self._ends = (0, 0)
        for part in parts:
            self.add(part)

    def add(self, values: ArrayLike) -> None:
        """Count more values; any integers."""
        part = np.asarray(values, "int64")
        if not len(part):
            return
        low, high = int(part.min()), int(part.max())
        self._ends = (
            (min(low, self._ends[0]), max(high, self._ends[1])) if self.count else (low, high)
        )
        self.count += len(part)
        if self._kept is None:
            self._tally(part)
            return
        self._kept.append(part)
        if self.count > EXACT:
            parts, self._kept = self._kept, None
            for kept in parts:
                self._tally(kept)

    def at(self, shares: ArrayLike) -> NDArray[np.float64]:
        """Quantiles, as ``numpy.quantile`` has them (linear between two values).

        :param shares: 0 to 1
        :raises ValueError: there is no value
        """
        if not self.count:
            raise ValueError("no value has a quantile")
        places = np.asarray(shares, "float64") * (self.count - 1)
        below = np.floor(places).astype("int64")
        above = np.minimum(below + 1, self.count - 1)
        low, high = self._ordered(below), self._ordered(above)
        found: NDArray[np.float64] = low + (high - low) * (places - below)
        return found

    def curve(self, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The cumulative distribution: values, ascending, and the share of all that is no larger.

        :param points: about so many of both, half of them in the last hundredth: tails are long
        """
        ranks = np.linspace(0, self.count - 1, points // 2)
        tail = self.count - np.geomspace(1, max(1, self.count / 100), points // 2)
        places = np.unique(np.concatenate([ranks, tail]).astype("int64"))
        return self._ordered(places), (places + 1) / self.count

    def _ordered(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """The values at these places of the ascending order, from 0."""
        if self._kept is not None:
            self._kept = [np.sort(np.concatenate(self._kept))]
            return self._kept[0][places].astype("float64")
        assert self._buckets is not None
        found = np.searchsorted(np.cumsum(self._buckets), places, side="right") - _HALF
        middles = np.sign(found) * _middle(np.abs(found))
        values = np.clip(middles, *self._ends)
        values[places == 0], values[places == self.count - 1] = self._ends
        return values

    def _tally(self, values: NDArray[np.int64]) -> None:
        if self._buckets is None:
            self._buckets = np.zeros(2 * _HALF + 1, "int64")
        bits = np.abs(values).astype("float64").view("int64") >> _SHIFT
        numbers = np.where(values == 0, 0, bits - _BELOW_ONE) * np.sign(values)
        self._buckets += np.bincount(numbers + _HALF, minlength=2 * _HALF + 1)


def _middle(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Halfway between the least and the greatest integer of a bucket; 0 of the bucket 0."""
    edges: list[Any] = [
        ((numbers + _BELOW_ONE + step) << _SHIFT).view("float64") for step in (0, 1)
    ]
    return np.where(numbers == 0, 0.0, (np.ceil(edges[0]) + np.ceil(edges[1]) - 1) / 2)
