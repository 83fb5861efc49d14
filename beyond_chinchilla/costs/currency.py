"""Another currency beside the dollar, at a stated rate of a stated day."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError, printable
from beyond_chinchilla.units import format_number

Real = TypeVar("Real", float, NDArray[np.float64])

_CODE = re.compile(r"[A-Z]{3}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, kw_only=True)
class Currency:
    """A currency and how much of it one dollar was.

    Nothing is looked up and no rate is assumed.

    Parameters
    ----------
    code : str
        ISO 4217: ``EUR``.
    per_usd : float
        Units of the currency for one USD, > 0.
    date : str
        Day of the rate, ``2026-11-01``.
    source : str
        Who published it.

    Raises
    ------
    InputError
        A code, rate, date or source that is not one: one line each.
    """

    code: str
    per_usd: float
    date: str
    source: str

    def __post_init__(self) -> None:
        mistakes = []
        if not _CODE.fullmatch(self.code):
            mistakes.append(f"code '{printable(self.code)}' is not three capital letters; write it like EUR")
        if self.code == "USD":
            mistakes.append("amounts are in USD anyway; leave the currency out")
        if not (math.isfinite(self.per_usd) and self.per_usd > 0):
            mistakes.append(f"per_usd must be > 0 and finite, not {self.per_usd}; 0.86 if one USD buys 0.86 of it")
        if not _is_day(self.date):
            mistakes.append(f"date '{printable(self.date)}' is not a day; a rate needs one, like 2026-11-01")
        if not self.source.strip():
            mistakes.append("source is empty; say who published the rate, like ECB reference rate")
        if mistakes:
            raise InputError("\n".join(f"currency: {mistake}" for mistake in mistakes))

    def from_usd(self, usd: Real) -> Real:
        """Return dollars in this currency.

        >>> euro = Currency(code="EUR", per_usd=0.86, date="2026-11-01", source="ECB reference rate")
        >>> euro.from_usd(100.0)
        86.0
        """
        return usd * self.per_usd

    def to_usd(self, amount: Real) -> Real:
        """Return an amount of this currency in dollars."""
        return amount / self.per_usd

    def format(self, usd: float, digits: int = 3) -> str:
        """Write dollars in this currency.

        >>> euro = Currency(code="EUR", per_usd=0.86, date="2026-11-01", source="ECB reference rate")
        >>> euro.format(1.2e6), euro.format(-40.0)
        ('EUR 1.03M', '-EUR 34.4')
        """
        amount = self.from_usd(usd)
        return ("-" if amount < 0 else "") + f"{self.code} {format_number(abs(amount), digits)}"

    def note(self) -> str:
        """Say which rate was used.

        >>> Currency(code="EUR", per_usd=0.86, date="2026-11-01", source="ECB reference rate").note()
        'at 0.86 EUR/USD of 2026-11-01 (ECB reference rate)'
        """
        return f"at {self.per_usd:g} {self.code}/USD of {self.date} ({self.source})"


def _is_day(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
