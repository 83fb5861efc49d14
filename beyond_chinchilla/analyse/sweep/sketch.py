"""Quantiles of more numbers than memory holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Bins grow by this ratio: a quantile is off by at most half of it, relative to its size.
ERROR = 1e-3
_LOG_RATIO = 2.0 * ERROR
# Nearer to nought bins are of equal width.
_LEAST = 1e-9


class Sketch:
    """Counts of numbers in bins of equal ratio, of either sign.

    A quantile is that of one of the numbers, to within 0.1% of it (DDSketch; Masson et al. 2019, with bins that become
    linear near nought).

    >>> sketch = Sketch()
    >>> sketch.add(np.arange(1.0, 1001.0))
    >>> [round(value, 1) for value in sketch.quantiles([0.0, 0.5, 1.0])]
    [1.0, 500.1, 1001.0]
    """

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()

    def add(self, values: Array) -> None:
        """Count finite numbers."""
        bins = np.rint(np.sign(values) * np.log1p(np.abs(values) / _LEAST) / _LOG_RATIO).astype(np.int64)
        for place, count in zip(*(each.tolist() for each in np.unique(bins, return_counts=True)), strict=True):
            self._bins[place] += count

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return the numbers below which these shares of all lie."""
        places = np.array(sorted(self._bins))
        above = np.cumsum([self._bins[place] for place in places.tolist()])
        wanted = np.searchsorted(above, np.asarray(shares) * (above[-1] - 1), side="right")
        chosen = places[np.minimum(wanted, len(places) - 1)]
        return [float(value) for value in np.sign(chosen) * _LEAST * np.expm1(np.abs(chosen) * _LOG_RATIO)]
