"""What money of a later month is worth today.

Months are average months of 730.5 hours, numbered 1 to M from a day that may itself lie `delay` months ahead:
serving starts when training is done. The rate is effective per year, so a month's rate is (1 + r)^(1/12) - 1 and
twelve of them make r; a nominal rate divided by twelve would make more.

Excel's ``NPV(rate, m1, m2, ...)`` discounts its first amount by one period: that is ``timing="end"`` here, at the
monthly rate. ``numpy_financial.npv`` takes its first amount undiscounted, one period less for every amount.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.costs.months import MAX_MONTHS
from beyond_chinchilla.errors import InputError

Array = NDArray[np.float64]

MONTHS_PER_YEAR = 12.0
# When the money of a month is paid, as a part of that month.
TIMINGS = {"mid": 0.5, "end": 1.0}


@dataclass(frozen=True, kw_only=True)
class Discounting:
    """A discount rate and when in a month money is paid.

    Parameters
    ----------
    rate : float
        Effective rate per year, 0 to 1: 0.10 is 10% a year.
    timing : {"mid", "end"}
        Whether the money of a month counts as paid in its middle (bills that accrue by the hour) or at its end
        (Excel's NPV).

    Raises
    ------
    InputError
        A rate outside 0 to 1, or another timing.
    """

    rate: float = 0.0
    timing: str = "mid"

    def __post_init__(self) -> None:
        mistakes = []
        if not 0.0 <= self.rate <= 1.0:
            mistakes.append(f"rate must be from 0 to 100% a year, not {self.rate}; write 10% or 0.10")
        if self.timing not in TIMINGS:
            mistakes.append(f"timing must be {' or '.join(TIMINGS)}, not '{self.timing}'")
        if mistakes:
            raise InputError("\n".join(f"discounting: {mistake}" for mistake in mistakes))

    def note(self) -> str:
        """Say how amounts are discounted.

        >>> Discounting(rate=0.10).note()
        '10% a year (effective), money of a month in its middle, counted from the start of training'
        """
        when = {"mid": "in its middle", "end": "at its end"}[self.timing]
        return f"{self.rate * 100:g}% a year (effective), money of a month {when}, counted from the start of training"

    @property
    def monthly_rate(self) -> float:
        """Rate per month, (1 + r)^(1/12) - 1.

        >>> f"{Discounting(rate=0.10).monthly_rate:.6f}"
        '0.007974'
        """
        return math.expm1(self._decay)

    @property
    def _decay(self) -> float:
        """Continuous rate per month, ln(1 + r)/12."""
        return math.log1p(self.rate) / MONTHS_PER_YEAR

    def weights(self, months: int, delay: float = 0.0) -> Array:
        """Return what one dollar of each month is worth today.

        (1 + r)^-((delay + m - 1/2)/12) for month m in the middle, with m in place of m - 1/2 at the end.

        Parameters
        ----------
        months : int
            M, 1 to 600.
        delay : float
            Months from today to the start of month 1, >= 0.

        Returns
        -------
        ndarray of float, shape (M,)

        Raises
        ------
        InputError
            Months out of range, or a delay that is negative or not finite.

        >>> Discounting(rate=0.10, timing="end").weights(24)[[0, 11, 23]].round(4).tolist()
        [0.9921, 0.9091, 0.8264]
        """
        check_months(months)
        if not (math.isfinite(delay) and delay >= 0):
            raise InputError(f"discounting: delay must be >= 0 months and finite, not {delay}")
        paid = delay + np.arange(months) + TIMINGS[self.timing]
        factors: Array = np.exp(-self._decay * paid)
        return factors

    def spread(self, months: float) -> float:
        """Return what one dollar is worth today that is spent evenly over the first `months` months.

        The mean of `weights` over whole months; a part of a month at the end counts in proportion and is paid in
        its own middle or at its own end, so that the factor falls smoothly as training takes longer.

        Parameters
        ----------
        months : float
            Duration, >= 0; it need not be whole.

        Raises
        ------
        InputError
            A duration that is negative or not finite.

        >>> f"{Discounting(rate=0.10).spread(6):.4f}"
        '0.9765'
        """
        if not (math.isfinite(months) and months >= 0):
            raise InputError(f"discounting: spend must be spread over >= 0 months and finite, not {months}")
        decay, part = self._decay, TIMINGS[self.timing]
        if months == 0.0 or decay == 0.0:
            return 1.0
        whole = math.floor(months)
        rest = months - whole
        # Geometric series of the whole months, in terms that stay exact at small rates.
        value = math.exp(-decay * part) * (math.expm1(-decay * whole) / math.expm1(-decay))
        value += rest * math.exp(-decay * (whole + part * rest))
        return value / months


def present_value(amounts: ArrayLike, discounting: Discounting, delay: float = 0.0) -> float:
    """Return what monthly amounts are worth today; at a rate of 0 their plain sum, to the last bit.

    Parameters
    ----------
    amounts : array_like of float, shape (M,)
        Money of months 1 to M [USD], of either sign.
    discounting : Discounting
    delay : float
        Months from today to the start of month 1, >= 0.

    Raises
    ------
    InputError
        Not one row of 1 to 600 finite amounts.

    >>> f"{present_value([100.0] * 12, Discounting(rate=0.10)):.2f}"
    '1144.59'
    """
    money = np.asarray(amounts, dtype=np.float64)
    if money.ndim != 1 or not np.isfinite(money).all():
        raise InputError(f"discounting: amounts must be one finite number a month, not of shape {money.shape}")
    return float((money * discounting.weights(len(money), delay)).sum())


def check_months(months: int) -> None:
    """Refuse a number of months that no forecast has.

    Raises
    ------
    InputError
        Fewer than 1 or more than 600.
    """
    if not 1 <= months <= MAX_MONTHS:
        raise InputError(f"months must be from 1 to {MAX_MONTHS} (50 years), not {months}")
