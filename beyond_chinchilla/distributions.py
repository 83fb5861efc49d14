"""Uncertain numbers as people state them: a median and a p90, a range, a normal, or samples.

Every distribution is drawn by inverting it (`Distribution.quantile`), so that quasi-random numbers stay evenly spread
and one column of them belongs to one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import format_size

Array = NDArray[np.float64]
Show = Callable[[float], str]

# The normal quantile of 90%.
Z90 = 1.2815515655446004
LEAST_SAMPLES = 100
# More add nothing to an interval of 10,000 draws, and a scenario must stay a file that one can open.
MOST_SAMPLES = 5_000
# A normal is cut at what its field allows; where more is cut it is no normal.
MOST_CUT = 0.05
# Of a stated median and p90 nothing may be cut that a sample of 10,000 could see.
_UNSEEN = 1e-4


class Distribution(Protocol):
    """An uncertain number."""

    @property
    def median(self) -> float:
        """What it counts as where no risk is asked for."""
        ...

    def quantile(self, u: ArrayLike) -> Array:
        """Return the values below which shares `u` in (0, 1) lie; monotone, any shape."""
        ...

    def scaled(self, factor: float) -> Distribution:
        """Return `factor` > 0 times the number."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return it as a scenario states it."""
        ...

    def describe(self, show: Show = format_size) -> str:
        """Say what it is, each figure written by `show`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Lognormal:
    """A number whose logarithm is normal, by two of its quantiles.

    Parameters
    ----------
    p90 : float
        One in ten lies above.
    middle : float, optional
        The median.
    p10 : float, optional
        Instead of it: one in ten lies below.
    low, high : float
        What the field allows. Nothing to speak of lies beyond, else it is refused; what does is cut.

    Raises
    ------
    InputError
        Quantiles that are not positive or not in order, or that lead beyond what the field allows.

    Examples
    --------
    >>> Lognormal(middle=1e9, p90=4e9).quantile([0.1, 0.5, 0.9]) / 1e9
    array([0.25, 1.  , 4.  ])
    """

    p90: float
    middle: float | None = None
    p10: float | None = None
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        below, name = (self.middle, "median") if self.p10 is None else (self.p10, "p10")
        if below is None or (self.middle is not None and self.p10 is not None):
            raise InputError("a lognormal takes median and p90, or p10 and p90; give one pair")
        if not (math.isfinite(self.p90) and below > 0):
            raise InputError(f"{name} {below:g} is not above zero; give {{low, mode, high}} for such a number")
        if self.p90 < below:
            raise InputError(f"p90 {format_size(self.p90)} is not above the {name} {format_size(below)}; exchange them")
        if not self.sigma > 0:
            raise InputError(
                f"p90 {format_size(self.p90)} is not above the {name} {format_size(below)}; give a number alone for "
                "what is certain"
            )
        under, over = self._tails
        if under + over > _UNSEEN:
            end = f"above {self.high:g}" if over >= under else f"below {self.low:g}"
            raise InputError(
                f"this lognormal is {end}, which is not possible here, in {(under + over) * 100:.2g}% of cases; give "
                "{low, mode, high} instead, or a smaller p90"
            )

    @property
    def median(self) -> float:
        """As stated, or the geometric mean of p10 and p90."""
        if self.p10 is None:
            assert self.middle is not None
            return self.middle
        return math.sqrt(self.p10) * math.sqrt(self.p90)

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm."""
        return (math.log(self.p90) - math.log(self.median)) / Z90

    @property
    def _tails(self) -> tuple[float, float]:
        """Chances of less than `low` and of more than `high`."""
        below = _normal_cdf(math.log(self.low / self.median) / self.sigma) if self.low > 0 else 0.0
        above = _normal_cdf(-math.log(self.high / self.median) / self.sigma) if math.isfinite(self.high) else 0.0
        return below, above

    def quantile(self, u: ArrayLike) -> Array:
        """Return median (p90/median)^(z_u / z_0.9), z the normal quantiles."""
        from scipy.special import ndtri  # not before something is drawn

        below, above = self._tails
        share = below + np.asarray(u, dtype=float) * (1.0 - below - above)
        return np.asarray(self.median * np.exp(self.sigma * ndtri(share)))

    def scaled(self, factor: float) -> Lognormal:
        """Return `factor` > 0 times the number; what the field allows stays."""
        parts = {"middle": self.middle, "p10": self.p10}
        return replace(self, p90=factor * self.p90, **{k: factor * v for k, v in parts.items() if v is not None})

    def to_dict(self) -> dict[str, Any]:
        """Return the two quantiles."""
        if self.p10 is None:
            return {"median": self.middle, "p90": self.p90}
        return {"p10": self.p10, "p90": self.p90}

    def describe(self, show: Show = format_size) -> str:
        """Say it in a line.

        >>> Lognormal(middle=1e9, p90=4e9).describe()
        'lognormal, median 1B, p90 4B'
        """
        first = f"median {show(self.median)}" if self.p10 is None else f"p10 {show(self.p10)}"
        return f"lognormal, {first}, p90 {show(self.p90)}"


@dataclass(frozen=True, kw_only=True)
class Triangular:
    """A number between two ends with a most likely value.

    Raises
    ------
    InputError
        Ends and mode that are not in order, or no room between the ends.

    Examples
    --------
    >>> Triangular(low=1, mode=2, high=4).median
    2.267949192431123
    """

    low: float
    mode: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.mode <= self.high or self.low == self.high:
            figures = ", ".join(format_size(each) for each in (self.low, self.mode, self.high))
            raise InputError(f"low, mode and high are {figures}; they must rise, such as {{low: 1, mode: 2, high: 4}}")

    @property
    def median(self) -> float:
        """The value with half of the area on each side."""
        return float(self.quantile(0.5))

    def quantile(self, u: ArrayLike) -> Array:
        """Return the inverse of the two parabolas of the distribution function."""
        u = np.asarray(u, dtype=float)
        span, rise = self.high - self.low, self.mode - self.low
        left = self.low + np.sqrt(u * span * rise)
        right = self.high - np.sqrt((1.0 - u) * span * (self.high - self.mode))
        return np.asarray(np.where(u * span < rise, left, right))

    def scaled(self, factor: float) -> Triangular:
        """Return `factor` > 0 times the number."""
        return Triangular(low=factor * self.low, mode=factor * self.mode, high=factor * self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return ends and mode."""
        return {"low": self.low, "mode": self.mode, "high": self.high}

    def describe(self, show: Show = format_size) -> str:
        """Say it in a line."""
        return f"{show(self.low)} to {show(self.high)}, most likely {show(self.mode)}"


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """A number between two ends, any as likely as any other.

    Raises
    ------
    InputError
        No room between the ends.

    Examples
    --------
    >>> round(float(Uniform(low=1, high=4).quantile(0.9)), 2)
    3.7
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"high {format_size(self.high)} is not above low {format_size(self.low)}; exchange them")

    @property
    def median(self) -> float:
        """The middle."""
        return float(self.quantile(0.5))

    def quantile(self, u: ArrayLike) -> Array:
        """Return low + u (high - low)."""
        return np.asarray(self.low + np.asarray(u, dtype=float) * (self.high - self.low))

    def scaled(self, factor: float) -> Uniform:
        """Return `factor` > 0 times the number."""
        return Uniform(low=factor * self.low, high=factor * self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return the ends."""
        return {"low": self.low, "high": self.high}

    def describe(self, show: Show = format_size) -> str:
        """Say it in a line."""
        return f"{show(self.low)} to {show(self.high)}, all alike"


@dataclass(frozen=True, kw_only=True)
class Normal:
    """A normal number, cut at what its field allows.

    Parameters
    ----------
    mean, sd : float
        Before the cut.
    low, high : float
        Where it is cut.

    Raises
    ------
    InputError
        No spread, or more than 5% beyond what the field allows.

    Examples
    --------
    >>> Normal(mean=0.5, sd=0.2, low=0.0, high=1.0).quantile([0.5, 0.999]).round(4)
    array([0.5   , 0.9895])
    """

    mean: float
    sd: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise InputError(f"sd {self.sd:g} is not above zero; give a number alone for what is certain")
        _, inside = self._shares
        if 1.0 - inside > MOST_CUT:
            raise InputError(
                f"a normal of mean {format_size(self.mean)} and sd {format_size(self.sd)} has "
                f"{(1.0 - inside) * 100:.2g}% beyond {_range(self.low, self.high)}, which is all that is possible "
                "here; give {median, p90} or {low, mode, high} instead"
            )

    @property
    def _shares(self) -> tuple[float, float]:
        """What lies below the lower cut, and between the cuts."""
        below = _normal_cdf((self.low - self.mean) / self.sd)
        above = _normal_cdf((self.mean - self.high) / self.sd)
        return below, 1.0 - below - above

    @property
    def median(self) -> float:
        """Of what is left between the cuts."""
        below, inside = self._shares
        return self.mean + self.sd * _normal_quantile(below + 0.5 * inside)

    def quantile(self, u: ArrayLike) -> Array:
        """Return the quantiles of what is left between the cuts."""
        from scipy.special import ndtri  # not before something is drawn

        below, inside = self._shares
        found = self.mean + self.sd * ndtri(below + np.asarray(u, dtype=float) * inside)
        # Rounding must not lead out by the last digit.
        return np.asarray(np.clip(found, self.low, self.high))

    def scaled(self, factor: float) -> Normal:
        """Return `factor` > 0 times the number; what the field allows stays."""
        return replace(self, mean=factor * self.mean, sd=factor * self.sd)

    def to_dict(self) -> dict[str, Any]:
        """Return mean and standard deviation."""
        return {"normal": {"mean": self.mean, "sd": self.sd}}

    def describe(self, show: Show = format_size) -> str:
        """Say it in a line."""
        cut = 1.0 - self._shares[1]
        end = f", the {cut * 100:.2g}% beyond {_range(self.low, self.high)} cut" if cut > _UNSEEN else ""
        return f"normal, mean {show(self.mean)}, sd {show(self.sd)}{end}"


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A number of which samples are known, each as likely as any other.

    Parameters
    ----------
    values : tuple of float
        At least 100.
    source : str
        Where they come from.

    Raises
    ------
    InputError
        Fewer, some that are no numbers, or all of them equal.

    Examples
    --------
    >>> round(float(Samples(values=tuple(range(1, 102))).quantile(0.9)), 6)
    91.4
    """

    values: tuple[float, ...] = field(repr=False)
    source: str = ""

    def __post_init__(self) -> None:
        bad = sum(not math.isfinite(value) for value in self.values)
        if bad:
            raise InputError(f"{bad} of {len(self.values)} samples are no numbers; leave them out")
        if len(self.values) < LEAST_SAMPLES:
            raise InputError(
                f"{len(self.values)} usable samples say too little; give {LEAST_SAMPLES} at least, or "
                "{low, mode, high}"
            )
        if min(self.values) == max(self.values):
            raise InputError("all samples are equal; give a number alone for what is certain")
        object.__setattr__(self, "_sorted", np.sort(np.asarray(self.values, dtype=float)))

    @property
    def median(self) -> float:
        """Of the samples."""
        return float(self.quantile(0.5))

    def quantile(self, u: ArrayLike) -> Array:
        """Return quantiles, linear between the samples: the i-th of n is that of (i - 1/2)/n (Hazen 1914)."""
        ordered: Array = self._sorted  # type: ignore[attr-defined]
        return np.asarray(
            np.interp(np.asarray(u, dtype=float), (np.arange(ordered.size) + 0.5) / ordered.size, ordered)
        )

    def thinned(self, most: int = MOST_SAMPLES) -> Samples:
        """Return at most so many samples: evenly spread quantiles of all of them."""
        if len(self.values) <= most:
            return self
        kept = self.quantile((np.arange(most) + 0.5) / most)
        return Samples(values=tuple(kept.tolist()), source=self.source)

    def scaled(self, factor: float) -> Samples:
        """Return `factor` > 0 times the number."""
        return Samples(values=tuple(factor * value for value in self.values), source=self.source)

    def to_dict(self) -> dict[str, Any]:
        """Return the samples themselves."""
        return {"samples": list(self.values)} | ({"source": self.source} if self.source else {})

    def describe(self, show: Show = format_size) -> str:
        """Say it in a line."""
        place = f" of {self.source}" if self.source else ""
        low, high = (show(float(each)) for each in self.quantile([0.1, 0.9]))
        return f"{len(self.values):,} samples{place}, median {show(self.median)}, p10 {low}, p90 {high}"


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _normal_quantile(share: float) -> float:
    from statistics import NormalDist  # 5 ms: only for a normal

    return NormalDist().inv_cdf(share)


def _range(low: float, high: float) -> str:
    """Name the numbers between two ends; the smallest and the largest that any field holds are none to speak of."""
    least = "0" if 0 < low < 1e-12 else format_size(low)
    return f"what is above {least}" if high > 1e20 else f"{least} to {format_size(high)}"
