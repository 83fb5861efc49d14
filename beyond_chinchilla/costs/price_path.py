"""What an hour of one accelerator costs, month by month.

A path is constant, or changes by a stated percentage a year, or follows a dated table. None has a decline built in:
an hour of an H100 on a one-year contract went from about 1.70 USD in October 2025 to 2.35 in March 2026, after two
years of falling prices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.discounting import MONTHS_PER_YEAR, check_months
from beyond_chinchilla.costs.months import MAX_MONTHS, months_between, months_from
from beyond_chinchilla.errors import InputError, printable

Array = NDArray[np.float64]

# Calendar months are compared by their distance from one of them; any would do.
_EPOCH = "2000-01"
# Beyond it, a percentage was written without its sign.
_FASTEST = 10.0


@dataclass(frozen=True, kw_only=True)
class PricePath:
    """Price of one accelerator by month; made by `constant`, `changing` or `table`.

    Parameters
    ----------
    price : float or None
        Of the first month from today [USD/GPU-hour], > 0; None with `rows`.
    per_year : float
        Change a year, above -1 and at most 10: -0.10 falls by 10%, 0.05 rises by 5%.
    rows : tuple of (str, float)
        Calendar month ``"2027-01"`` and the price from then on [USD/GPU-hour], in order.

    Raises
    ------
    InputError
        Prices that are not above zero, months that are not months, out of order or twice: one line each.
    """

    price: float | None = None
    per_year: float = 0.0
    rows: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        mistakes = self._mistakes_of_rows() if self.rows else []
        if (self.price is None) == (not self.rows):
            mistakes.append("give either a price or a table of at least one month, not both")
        if self.price is not None and not (math.isfinite(self.price) and self.price > 0):
            mistakes.append(f"price must be > 0 USD/GPU-hour and finite, not {self.price}")
        if not -1.0 < self.per_year <= _FASTEST:
            mistakes.append(f"per_year must be above -100% and at most 1000%, not {self.per_year}; write -10% or -0.10")
        if self.rows and self.per_year != 0.0:
            mistakes.append("a dated table has no change per year; add rows instead")
        if mistakes:
            raise InputError("\n".join(f"price path: {mistake}" for mistake in mistakes))

    def _mistakes_of_rows(self) -> list[str]:
        mistakes: list[str] = []
        dated: list[tuple[int, str]] = []
        for month, price in self.rows:
            try:
                dated.append((_ordinal(month), month))
            except InputError as error:
                mistakes.append(str(error))
            if not (math.isfinite(price) and price > 0):
                mistakes.append(f"{printable(month)}: price must be > 0 USD/GPU-hour and finite, not {price}")
        for (earlier, before), (later, month) in pairwise(dated):
            if later == earlier:
                mistakes.append(f"{month} is there twice; keep one row")
            elif later < earlier:
                mistakes.append(f"{month} comes after {before}; put the rows in order of their months")
        return mistakes

    @classmethod
    def constant(cls, price: float) -> PricePath:
        """Return a path that stays at `price` [USD/GPU-hour]."""
        return cls(price=price)

    @classmethod
    def changing(cls, price: float, *, per_year: float) -> PricePath:
        """Return a path from `price` [USD/GPU-hour] that changes by `per_year` a year, a twelfth root a month.

        >>> PricePath.changing(2.0, per_year=-0.19).prices(13)[[0, 6, 12]].round(4).tolist()
        [2.0, 1.8, 1.62]
        """
        return cls(price=price, per_year=per_year)

    @classmethod
    def table(cls, rows: Sequence[tuple[str, float]]) -> PricePath:
        """Return a path of steps: each row's price [USD/GPU-hour] holds from its month to the next row.

        >>> path = PricePath.table([("2027-01", 2.5), ("2027-03", 2.2)])
        >>> path.prices(4, start="2027-01").tolist()
        [2.5, 2.5, 2.2, 2.2]
        """
        return cls(rows=tuple(rows))

    @property
    def note(self) -> str:
        """What the path assumes, in words; empty for a constant price.

        >>> PricePath.table([("2027-01", 2.5), ("2027-03", 2.2)]).note
        'stays at 2.2 USD/GPU-hour from 2027-03 on, the last month of the table'
        """
        if self.rows:
            month, price = self.rows[-1]
            return f"stays at {price:g} USD/GPU-hour from {month} on, the last month of the table"
        return (
            f"changes by {100.0 * self.per_year:+g}% a year from {self.price:g} USD/GPU-hour" if self.per_year else ""
        )

    def prices(self, months: int, start: str | None = None, delay: int = 0) -> Array:
        """Return the price of each month.

        Parameters
        ----------
        months : int
            M, 1 to 600.
        start : str, optional
            Calendar month of today, ``"2027-01"``; a dated table needs it, the others do not look at it.
        delay : int
            Whole months from today to month 1, 0 to 600.

        Returns
        -------
        ndarray of float, shape (M,)
            [USD/GPU-hour]

        Raises
        ------
        InputError
            A table without `start`, or whose first row is later than the first month asked for; a price beyond the
            range of numbers.
        """
        check_months(months)
        if not 0 <= delay <= MAX_MONTHS:
            raise InputError(f"price path: delay must be from 0 to {MAX_MONTHS} months, not {delay}")
        if self.price is None:
            return self._steps(months, start, delay)
        with np.errstate(over="ignore"):
            years = (delay + np.arange(months)) / MONTHS_PER_YEAR
            path: Array = self.price * np.exp(math.log1p(self.per_year) * years)
        if not (np.isfinite(path).all() and path.all()):
            raise InputError(
                f"price path: {self.price} USD/GPU-hour cannot change by {100.0 * self.per_year:+g}% a year "
                f"for {months + delay} months; write a smaller change"
            )
        return path

    def _steps(self, months: int, start: str | None, delay: int) -> Array:
        if start is None:
            raise InputError("price path: a dated table needs the calendar month of the start; write start: 2027-01")
        try:
            first = _ordinal(start) + delay
        except InputError as error:
            raise InputError(f"price path: start: {error}") from None
        dated = [_ordinal(month) for month, _ in self.rows]
        if first < dated[0]:
            asked = months_from(start, delay + 1)[-1]
            raise InputError(
                f"price path: no price for {asked}: the table begins in {self.rows[0][0]}; "
                f"add a row for {asked} or an earlier month"
            )
        in_force = np.searchsorted(dated, first + np.arange(months), side="right") - 1
        return np.array([price for _, price in self.rows], dtype=np.float64)[in_force]


def _ordinal(month: str) -> int:
    return months_between(_EPOCH, month)
