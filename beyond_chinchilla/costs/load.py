"""How load is spread over the hours: the profile of a day or a week, and what it makes a fleet pay for.

A fleet that follows the load holds max(floor, u_h x mean) accelerators in hour h, where u_h is the load of that hour
relative to the mean. Its mean over the hours is convex and piecewise linear in the mean need: `LoadProfile.paid`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import HOURS_PER_YEAR, SECONDS_PER_HOUR

Array = NDArray[np.float64]

SECONDS_PER_MINUTE = 60.0
HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168
# A leap year by the hour: nobody states more.
MAX_HOURS = 8784
# Ten years [s]: times further apart are milliseconds, or a wrong date among right ones.
MAX_SPAN = 10 * HOURS_PER_YEAR * SECONDS_PER_HOUR
# Shorter than that, hours are too few to show a peak: minutes are counted instead.
MIN_HOURS = 3
# A trace of a day ends with its last request, a little before midnight: its last hour is whole all the same.
_NEARLY_WHOLE = 0.05


@dataclass(frozen=True)
class LoadProfile:
    """Load of the hours of a typical day or week, relative to its mean.

    Parameters
    ----------
    hours : tuple of float
        Load by hour in any unit, >= 0, one of them positive; kept in order, divided by their mean. Other periods of
        equal length do as well: only the distribution matters to what is paid.

    Raises
    ------
    InputError
        No hours, too many, negative or not finite, or no load at all.

    >>> LoadProfile((1, 1, 4, 2)).hours
    (0.5, 0.5, 2.0, 1.0)
    """

    hours: tuple[float, ...]

    def __post_init__(self) -> None:
        hours = tuple(self.hours)
        if not 1 <= len(hours) <= MAX_HOURS:
            raise InputError(f"load profile: {len(hours)} hours; give 24 for a day or 168 for a week")
        for number, load in enumerate(hours, 1):
            if not (math.isfinite(load) and load >= 0):
                raise InputError(f"load profile: hour {number} must be >= 0 and finite, not {load}")
        greatest = max(hours)
        if greatest == 0:
            raise InputError("load profile: no load in any hour; at least one must be above zero")
        # Left as it is where it has that mean already, so that a profile made from a profile's hours is the same.
        if greatest > len(hours) or abs(math.fsum(hours) / len(hours) - 1.0) > 1e-14:
            # First by the greatest: the sum of loads near the largest float is none.
            relative = [load / greatest for load in hours]
            mean = math.fsum(relative) / len(relative)
            hours = tuple(load / mean for load in relative)
        object.__setattr__(self, "hours", tuple(float(load) for load in hours))

    @property
    def peak_to_mean(self) -> float:
        """Load of the busiest hour over the mean, >= 1."""
        return max(self.hours)

    def percentile(self, share: float) -> float:
        """Return the least load, relative to the mean, that is not exceeded in a share of the hours; 1: the peak.

        Parameters
        ----------
        share : float
            From 0 to 1.

        >>> LoadProfile((1, 1, 4, 2)).percentile(0.75)
        1.0
        """
        if not 0.0 <= share <= 1.0:
            raise InputError(f"load profile: a share of the hours is from 0 to 1, not {share}")
        # 0.07 x 100 is a little above 7 in floats.
        rank = math.ceil(share * len(self.hours) * (1.0 - 1e-12))
        return float(self._sorted[max(rank, 1) - 1])

    def active(self, floor: ArrayLike, mean: ArrayLike) -> tuple[Array, Array]:
        """Return the straight line on which `paid` lies: floor x share + mean x weight.

        Parameters
        ----------
        floor, mean : numeric
            What is held at least, and the mean need, in the same unit, >= 0; arrays broadcast.

        Returns
        -------
        share : array
            Share of the hours in which the floor holds, from 0 to 1.
        weight : array
            Load of the other hours relative to the mean, over all hours, from 0 to 1. The line is a tangent of the
            convex function: nowhere above it.

        >>> share, weight = LoadProfile((1, 1, 4, 2)).active(floor=8.0, mean=10.0)
        >>> float(share), float(weight)
        (0.5, 0.75)
        """
        floor, mean = np.asarray(floor, dtype=float), np.asarray(mean, dtype=float)
        # Without any need every hour is at the floor; a floor of many times the need may overflow, which says the same.
        with np.errstate(over="ignore"):
            endless = np.full(np.broadcast_shapes(floor.shape, mean.shape), np.inf)
            threshold = np.divide(floor, mean, out=endless, where=mean > 0)
        count = np.searchsorted(self._sorted, threshold, side="right")
        size = len(self.hours)
        return np.asarray(count / size), np.asarray(self._load_above[count] / size)

    def paid(self, floor: ArrayLike, mean: ArrayLike) -> Array:
        """Return the mean over the hours of max(floor, u_h x mean).

        Parameters
        ----------
        floor, mean : numeric
            What is held at least, and the mean need, in the same unit, >= 0; arrays broadcast.

        Returns
        -------
        array
            In that unit: at least the floor and at least the mean; convex and nondecreasing in both.

        >>> float(LoadProfile((1, 1, 4, 2)).paid(floor=8.0, mean=10.0))
        11.5
        """
        share, weight = self.active(floor, mean)
        return np.asarray(np.asarray(floor) * share + np.asarray(mean) * weight)

    @functools.cached_property
    def _sorted(self) -> Array:
        return np.sort(np.array(self.hours))

    @functools.cached_property
    def _load_above(self) -> Array:
        """Sum of the loads but for the k least, k = 0 .. number of hours."""
        return np.append(np.cumsum(self._sorted[::-1])[::-1], 0.0)

    @classmethod
    def flat(cls, hours: int = HOURS_PER_DAY) -> LoadProfile:
        """Return the same load at all hours."""
        return cls((1.0,) * hours)

    @classmethod
    def from_peak_to_mean(cls, ratio: float, hours: int = HOURS_PER_DAY) -> LoadProfile:
        """Return a day with one peak, as high as stated: u_h proportional to exp(k cos(2 pi h / hours)).

        The shape is the circular normal (von Mises) density: one free number k, a smooth rise and fall, and no hour
        without load. The first hour is the busiest; k is such that the largest of the `hours` values is exactly
        `ratio`.

        Parameters
        ----------
        ratio : float
            Load of the busiest hour over the mean, from 1 (flat) to `hours` (all load in one hour).
        hours : int
            Hours of the cycle.

        >>> day = LoadProfile.from_peak_to_mean(2.5)
        >>> f"{day.peak_to_mean:.3f} {day.percentile(0.5):.3f} {min(day.hours):.3f}"
        '2.500 0.680 0.185'
        """
        if not 1 <= hours <= MAX_HOURS:
            raise InputError(f"load profile: {hours} hours; give 24 for a day or 168 for a week")
        if not 1.0 <= ratio <= hours:
            raise InputError(
                f"peak_to_mean must be from 1 (flat) to {hours} (all load in one of {hours} hours), not {ratio}"
            )
        fall = np.cos(2.0 * np.pi * np.arange(hours) / hours) - 1.0
        return cls(tuple(np.exp(_concentration(ratio, fall) * fall).tolist()))

    @classmethod
    def from_timestamps(cls, times: Sequence[datetime] | ArrayLike) -> LoadProfile:
        """Return the profile of a trace: requests counted by the hour from the first one.

        A week or more is folded to the 168 hours of its mean week (whole weeks); a day or more is kept hour by hour
        (whole days); less than a day gives the hours that there are, and less than three hours the minutes. A last
        period that the trace does not fill is left out.

        Parameters
        ----------
        times : array
            When each request came, in any order: seconds from any start, numpy datetimes, or datetimes.

        Raises
        ------
        InputError
            Not finite, or from the first to the last less than two minutes or more than ten years.

        >>> import numpy as np
        >>> LoadProfile.from_timestamps(np.repeat([0, 3600, 7200, 10800], [1, 2, 3, 2])).hours
        (0.5, 1.0, 1.5)
        """
        seconds = seconds_from_first(times)
        span = float(seconds.max(initial=0.0))
        if span > MAX_SPAN:
            raise InputError(
                f"load profile: times {span:.3g} seconds apart are of no one trace; give at most ten years"
            )
        periods, length, cycle = _periods(span)
        if periods < 2:
            raise InputError(f"load profile: the trace lasts {span:.3g} seconds; a profile needs two minutes")
        number = np.floor(seconds / length).astype(np.int64)
        counts = np.bincount(number[number < periods] % cycle, minlength=cycle)
        return cls(tuple(counts.astype(float).tolist()))


FLAT = LoadProfile.flat()


def seconds_from_first(times: Sequence[datetime] | ArrayLike) -> Array:
    """Return times as seconds after the first of them, in the order given."""
    array = np.asarray(times)
    if array.size == 0:
        return np.empty(0)
    if array.dtype == object:
        # Datetimes with a time zone: numpy knows none.
        moments: list[Any] = array.tolist()
        first = min(moments)
        return np.array([(moment - first).total_seconds() for moment in moments], dtype=float)
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise InputError("load profile: a time is missing; leave that request out")
        return np.asarray((array - array.min()) / np.timedelta64(1, "s"), dtype=float)
    seconds = array.astype(float)
    if not np.isfinite(seconds).all():
        raise InputError("load profile: a time is not finite; leave that request out")
    with np.errstate(over="ignore"):
        return np.asarray(seconds - seconds.min())


def period_of(span: float) -> str:
    """Say by what a trace of `span` seconds is counted: ``"week"``, ``"day"``, ``"hour"``, ``"minute"`` or ``""``.

    ``"week"`` is the mean week by the hour, ``"day"`` whole days by the hour, ``""`` too short for a profile.

    >>> period_of(3500.0), period_of(86399.9), period_of(9 * 86400.0)
    ('minute', 'day', 'week')
    """
    periods, length, cycle = _periods(span)
    if periods < 2:
        return ""
    if length == SECONDS_PER_MINUTE:
        return "minute"
    return "hour" if periods < HOURS_PER_DAY else "week" if cycle == HOURS_PER_WEEK else "day"


def _periods(span: float) -> tuple[int, float, int]:
    """Return how many periods a trace fills, their length [s], and after how many they repeat."""
    hours = int(span / SECONDS_PER_HOUR + _NEARLY_WHOLE)
    if hours < MIN_HOURS:
        minutes = int(span / SECONDS_PER_MINUTE + _NEARLY_WHOLE)
        return minutes, SECONDS_PER_MINUTE, max(minutes, 1)
    for whole in (HOURS_PER_WEEK, HOURS_PER_DAY):
        if hours >= whole:
            hours -= hours % whole
            return hours, SECONDS_PER_HOUR, whole if whole == HOURS_PER_WEEK else hours
    return hours, SECONDS_PER_HOUR, hours


def _concentration(ratio: float, fall: Array) -> float:
    """Solve ln mean exp(k x fall) + ln ratio = 0 for k >= 0, where `fall` <= 0 and its greatest value is 0.

    The left side is convex and falls in k (a log-sum-exp), so that Newton's method from k = 0 rises to the root
    without ever passing it. It ends where rounding stops it: at a ratio of len(fall) the root is at infinity, and the
    values are exact long before.
    """
    k = 0.0
    for _ in range(1000):
        weights = np.exp(k * fall)
        above = math.log(float(weights.mean()) * ratio)
        slope = float((weights * fall).sum() / weights.sum())
        if above <= 1e-15 or slope == 0.0:
            break
        k -= above / slope
    return k
