"""How unevenly connections fall on workers, as a curve and as one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def lorenz(counts: ArrayLike) -> NDArray[np.float64]:
    """The share of all that the idlest k workers have, for k = 0 … n (Lorenz 1905).

    :param counts: connections of each worker; not all 0
    """
    ascending = np.sort(np.asarray(counts, "float64"))
    found: NDArray[np.float64] = np.append(0.0, np.cumsum(ascending)) / ascending.sum()
    return found


def gini(counts: ArrayLike) -> float:
    """Twice the area between the Lorenz curve and the diagonal: 0 is even, (n - 1)/n all to one."""
    curve = lorenz(counts)
    return float(1 - (curve[1:] + curve[:-1]).sum() / (len(curve) - 1))
