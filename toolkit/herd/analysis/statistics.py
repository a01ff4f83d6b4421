"""How sure a figure is, over repeated runs: bootstrap intervals and effect sizes, not p alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
_RESAMPLES: Final = 9999
_DRAWS: Final = 1000
#: The same data give the same interval.
_SEED: Final = 1


@dataclass(frozen=True)
class Interval:
    """A figure and where it lies, with :data:`CONFIDENCE`.

    :param low: ``None``, as ``high``, where fewer than two values say nothing of their spread
    :param count: values that it is from
    """

    estimate: float
    low: float | None
    high: float | None
    count: int

    def __contains__(self, value: float) -> bool:
        low, high = self.ends
        return low <= value <= high

    def overlaps(self, low: float, high: float) -> bool:
        """Whether some of the interval lies between two values."""
        mine = self.ends
        return mine[0] <= high and low <= mine[1]

    @property
    def ends(self) -> tuple[float, float]:
        """Where it begins and ends; of one value, there."""
        if self.low is None or self.high is None:
            return self.estimate, self.estimate
        return self.low, self.high


def mean(values: Sequence[float]) -> Interval:
    """The mean of repeats, with a percentile bootstrap's interval (Efron and Tibshirani 1993, chapter 13)."""
    import numpy as np

    return _bootstrap(np.mean, values)


def median(values: Sequence[float]) -> Interval:
    """Their median, likewise: the few that are far off, where a machine stood still, move it little."""
    import numpy as np

    return _bootstrap(np.median, values)


def difference(before: Sequence[float], after: Sequence[float]) -> Interval:
    """How much the mean of ``after`` lies above that of ``before``; ``count`` is the smaller sample's."""
    import numpy as np

    return _bootstrap(
        lambda a, b, axis: np.mean(b, axis=axis) - np.mean(a, axis=axis), before, after
    )


def ratio(before: Sequence[float], after: Sequence[float]) -> Interval:
    """The mean of ``after`` over that of ``before``, which must not be zero."""
    import numpy as np

    return _bootstrap(
        lambda a, b, axis: np.mean(b, axis=axis) / np.mean(a, axis=axis), before, after
    )


def cliffs_delta(before: Sequence[float], after: Sequence[float]) -> float:
    """How often ``after`` is above ``before``, less how often below, of all pairs: -1 to 1 (Cliff 1993)."""
    import numpy as np

    first, second = np.asarray(before, float), np.asarray(after, float)
    return float(np.sign(second[:, None] - first[None, :]).mean())


def resampled(
    ordered: NDArray[Any], quantile: float | None, seed: int = _SEED
) -> NDArray[np.float64]:
    """The mean, or a quantile, of many resamples of one sample; each resample is drawn without being made.

    A resample's mean is that of a multinomial's counts of the distinct values. Its j-th smallest of n values
    is the sample's at the rank of the j-th smallest of n uniform numbers, which is a beta variate (Maritz and
    Jarrett 1978). Memory and time don't grow with n times the resamples.

    :param ordered: the sample, the smallest first; empty gives nothing
    :param quantile: 0 to 1; ``None``: the mean, of a sample with few distinct values, such as counts
    :param seed: two samples that are compared need one each
    """
    import numpy as np

    random, size = np.random.default_rng(seed), len(ordered)
    if not size:
        return np.zeros(0)
    if quantile is None:
        values, counts = np.unique(ordered, return_counts=True)
        drawn = random.multinomial(size, counts / size, _DRAWS)
        return np.asarray(drawn @ values / size)
    rank = max(1, int(np.ceil(quantile * size)))
    places = random.beta(rank, size + 1 - rank, _DRAWS) * size
    return np.asarray(ordered[np.minimum(places.astype(int), size - 1)], float)


def between(
    estimate: float,
    count: int,
    *draws: NDArray[np.float64],
    how: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
) -> Interval:
    """How two samples' figures compare, from :func:`resampled` ones.

    :param draws: before and after; without, or with an empty one, there is an estimate and no interval
    :param how: ``numpy.subtract``: after less before; ``numpy.divide``: after over before
    """
    import numpy as np

    if count < 2 or not draws:
        return Interval(estimate, None, None, count)
    before, after = draws
    with np.errstate(divide="ignore", invalid="ignore"):
        found = how(after, before)
    if not np.isfinite(found).all():
        return Interval(estimate, None, None, count)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), count)


def _bootstrap(statistic: Callable[..., Any], *samples: Sequence[float]) -> Interval:
    import numpy as np

    data = [np.asarray(sample, float) for sample in samples]
    estimate, count = float(statistic(*data, axis=-1)), min(map(len, data))
    if count < 2:
        return Interval(estimate, None, None, count)
    low, high = _percentiles(statistic, data)
    return Interval(estimate, low, high, count)


def _percentiles(
    statistic: Callable[..., Any], data: Sequence[NDArray[np.float64]]
) -> tuple[float, float]:
    from scipy import stats

    # Not BCa: repeats that are all alike, as counts of wakeups are, have no jackknife spread.
    found = stats.bootstrap(
        data,
        statistic,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=_SEED,
    ).confidence_interval
    return float(found.low), float(found.high)
