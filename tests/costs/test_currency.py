"""A currency beside the dollar is dated, sourced and never guessed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs.currency import Currency
from beyond_chinchilla.errors import InputError

EURO = Currency(code="EUR", per_usd=0.86, date="2026-11-01", source="ECB reference rate")


@given(usd=st.floats(-1e15, 1e15), rate=st.floats(1e-4, 1e5))
def test_there_and_back(usd: float, rate: float) -> None:
    currency = Currency(code="JPY", per_usd=rate, date="2026-11-01", source="a bank")
    assert currency.to_usd(currency.from_usd(usd)) == pytest.approx(usd, rel=1e-12)


def test_a_dollar_buys_less_than_a_euro() -> None:
    assert EURO.from_usd(100.0) == pytest.approx(86.0, rel=1e-12)
    assert EURO.to_usd(86.0) == pytest.approx(100.0, rel=1e-12)
    assert EURO.from_usd(np.array([1.0, 2.0])).tolist() == pytest.approx([0.86, 1.72], rel=1e-12)


@pytest.mark.parametrize(
    ("usd", "digits", "text"),
    [
        (1.2e6, 3, "EUR 1.03M"),
        (-1.2e6, 3, "-EUR 1.03M"),
        (2.44, 4, "EUR 2.098"),
        (0.0, 3, "EUR 0"),
    ],
)
def test_amounts_read_as_people_write_them(usd: float, digits: int, text: str) -> None:
    assert EURO.format(usd, digits) == text


def test_the_note_states_rate_day_and_source() -> None:
    assert EURO.note() == "at 0.86 EUR/USD of 2026-11-01 (ECB reference rate)"


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Currency(code="euro\n", per_usd=0.0, date="2026-11", source=" ")
    assert str(caught.value).splitlines() == [
        "currency: code 'euro?' is not three capital letters; write it like EUR",
        "currency: per_usd must be > 0 and finite, not 0.0; 0.86 if one USD buys 0.86 of it",
        "currency: date '2026-11' is not a day; a rate needs one, like 2026-11-01",
        "currency: source is empty; say who published the rate, like ECB reference rate",
    ]


@pytest.mark.parametrize("code", ["eur", "EURO", "EU", "€", "", "EUR "])
def test_codes_are_three_capital_letters(code: str) -> None:
    with pytest.raises(InputError, match="is not three capital letters"):
        Currency(code=code, per_usd=0.86, date="2026-11-01", source="ECB")


def test_dollars_are_dollars_anyway() -> None:
    with pytest.raises(InputError, match="amounts are in USD anyway; leave the currency out"):
        Currency(code="USD", per_usd=1.0, date="2026-11-01", source="nobody")


@pytest.mark.parametrize("rate", [-0.86, math.nan, math.inf])
def test_rates_are_above_zero(rate: float) -> None:
    with pytest.raises(InputError, match="per_usd must be > 0"):
        Currency(code="EUR", per_usd=rate, date="2026-11-01", source="ECB")


@pytest.mark.parametrize(
    "date", ["2026-02-30", "2026-13-01", "20261101", "2026-W44-7", "1 November 2026", "", "0000-01-01"]
)
def test_dates_are_days_that_exist(date: str) -> None:
    with pytest.raises(InputError, match="is not a day"):
        Currency(code="EUR", per_usd=0.86, date=date, source="ECB")
