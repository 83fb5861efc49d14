"""Figures of a sample with what sampling leaves open: intervals, shares, and how far all of them have converged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.risk.decision import sorted_quantiles
from beyond_chinchilla.analyse.risk.figures import Interval
from beyond_chinchilla.analyse.risk.sampling import standard_error
from beyond_chinchilla.units import format_percent

Array = NDArray[np.float64]
# Rows of independent randomisations: what they disagree by is the sampling error.
Nets = Sequence[slice]

# Convergence is stated at so many standard errors.
_ERRORS = 2.0


def interval(values: Array, nets: Nets) -> Interval:
    """Return where the finite ones of some values lie, with errors by what the nets disagree about."""

    def quantiles(part: Array) -> Array:
        return sorted_quantiles(np.sort(part[np.isfinite(part)]))

    if not np.isfinite(values).any():
        nothing = (float("nan"),) * 2
        return Interval(median=nothing[0], half=nothing, ninety=nothing)
    low, first, median, third, high = quantiles(values).tolist()
    parts = [quantiles(values[net]) for net in nets if np.isfinite(values[net]).any()]
    errors = tuple(standard_error(np.array(parts)).tolist())
    return Interval(median=median, half=(first, third), ninety=(low, high), errors=errors)


def share_of(flags: NDArray[np.bool_], nets: Nets) -> tuple[float, float]:
    """Return a share of the worlds and its standard error."""
    return float(flags.mean()), float(standard_error(np.array([flags[net].mean() for net in nets])))


def convergence(intervals: Mapping[str, Interval], samples: int) -> str:
    """Return how far sampling leaves medians and ends open, the worst of all figures.

    Relative to the figure itself; savings, which may be nothing, in points of the bill.
    """
    known = {name: item for name, item in intervals.items() if np.isfinite(item.median)}
    if samples == 1:
        return "One sample, without a sampling error."
    if not known:
        return f"{samples:,} samples, none with an optimum."

    def relative(name: str, row: int) -> float:
        item = known[name]
        at = (item.ninety[0], item.half[0], item.median, item.half[1], item.ninety[1])[row]
        return _ERRORS * item.errors[row] / (1.0 if name == "savings" else max(abs(at), 1e-300))

    middle = max(relative(name, 2) for name in known)
    ends = {name: max(relative(name, 0), relative(name, 4)) for name in known}
    worst = max(ends, key=lambda name: ends[name])
    return (
        f"{samples:,} samples: medians within {format_percent(middle)}, ends of the 90% intervals within "
        f"{format_percent(ends[worst])} (2 standard errors), {worst} the widest."
    )
