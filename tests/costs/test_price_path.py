"""Prices by month: steps, percentages, and tables that do not reach."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs.price_path import PricePath
from beyond_chinchilla.errors import InputError

# H100 SXM on demand at Lambda: list prices by date.
LAMBDA = PricePath.table([("2024-01", 3.49), ("2024-09", 2.99), ("2025-02", 3.29), ("2026-10", 3.99)])


@given(price=st.floats(1e-3, 1e3), months=st.integers(1, 600), delay=st.integers(0, 600))
def test_a_constant_price_is_exact_in_every_month(price: float, months: int, delay: int) -> None:
    assert set(PricePath.constant(price).prices(months, delay=delay).tolist()) == {price}
    assert PricePath.constant(price).note == ""


@given(price=st.floats(0.01, 100.0), per_year=st.floats(-0.9, 3.0), months=st.integers(13, 200))
def test_a_year_changes_the_price_by_its_percentage(price: float, per_year: float, months: int) -> None:
    prices = PricePath.changing(price, per_year=per_year).prices(months)
    assert prices[0] == price
    assert (prices[12:] / prices[:-12]).tolist() == pytest.approx([1 + per_year] * (months - 12), rel=1e-9)


def test_delay_moves_along_the_path_and_not_the_path_itself() -> None:
    falling = PricePath.changing(2.0, per_year=-0.10)
    assert falling.prices(6, delay=18).tolist() == pytest.approx(falling.prices(24)[18:].tolist(), rel=1e-12)
    assert LAMBDA.prices(12, start="2024-01", delay=9).tolist() == LAMBDA.prices(21, start="2024-01")[9:].tolist()


def test_prices_may_rise() -> None:
    # One-year contracts: 1.70 in October 2025, 2.35 in March 2026; 117% a year.
    path = PricePath.changing(1.70, per_year=(2.35 / 1.70) ** (12 / 5) - 1)
    assert path.prices(6)[5] == pytest.approx(2.35, rel=1e-12)
    assert path.note.startswith("changes by +117")


def test_a_dated_table_steps_in_the_month_that_it_says() -> None:
    prices = dict(zip(range(36), LAMBDA.prices(36, start="2024-01"), strict=True))
    assert [prices[0], prices[7], prices[8], prices[12], prices[13], prices[32], prices[33], prices[35]] == [
        *(3.49, 3.49),  # to August 2024
        *(2.99, 2.99),  # September 2024 to January 2025
        *(3.29, 3.29),  # February 2025 to September 2026
        *(3.99, 3.99),
    ]


def test_a_dated_table_holds_after_its_end_and_says_so() -> None:
    assert np.unique(LAMBDA.prices(600, start="2026-10")).tolist() == [3.99]
    assert LAMBDA.note == "stays at 3.99 USD/GPU-hour from 2026-10 on, the last month of the table"


def test_a_month_before_the_table_is_named() -> None:
    with pytest.raises(InputError) as caught:
        LAMBDA.prices(12, start="2023-10", delay=2)
    assert str(caught.value) == (
        "price path: no price for 2023-12: the table begins in 2024-01; add a row for 2023-12 or an earlier month"
    )
    assert LAMBDA.prices(1, start="2023-10", delay=3).tolist() == [3.49]


def test_a_dated_table_needs_a_start() -> None:
    with pytest.raises(InputError, match=r"needs the calendar month of the start; write start: 2027-01"):
        LAMBDA.prices(12)
    with pytest.raises(InputError, match=r"^price path: start: '2027-13' is not a month"):
        LAMBDA.prices(12, start="2027-13")


def test_every_mistake_of_a_table_is_told_at_once() -> None:
    rows = [
        ("2027-02", 2.0),
        ("2027-01", 1.9),
        ("2027-01", 1.8),
        ("soon", 1.7),
        ("2027-05", -1.0),
        ("2027-06", math.nan),
    ]
    with pytest.raises(InputError) as caught:
        PricePath.table(rows)
    assert str(caught.value).splitlines() == [
        "price path: 'soon' is not a month; write it like 2027-01",
        "price path: 2027-05: price must be > 0 USD/GPU-hour and finite, not -1.0",
        "price path: 2027-06: price must be > 0 USD/GPU-hour and finite, not nan",
        "price path: 2027-01 comes after 2027-02; put the rows in order of their months",
        "price path: 2027-01 is there twice; keep one row",
    ]


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_prices_are_above_zero(price: float) -> None:
    with pytest.raises(InputError, match=r"^price path: price must be > 0 USD/GPU-hour"):
        PricePath.constant(price)


@pytest.mark.parametrize("per_year", [-1.0, -10.0, 10.5, math.nan, math.inf])
def test_changes_that_were_percentages_are_refused(per_year: float) -> None:
    with pytest.raises(InputError, match=r"per_year must be above -100% and at most 1000%, not .*write -10% or -0.10"):
        PricePath.changing(2.0, per_year=per_year)


def test_a_price_that_leaves_the_range_of_numbers_is_refused() -> None:
    for path in (PricePath.changing(1e300, per_year=9.0), PricePath.changing(1e-5, per_year=-1 + 1e-12)):
        with pytest.raises(InputError, match=r"for 1000 months; write a smaller change"):
            path.prices(500, delay=500)


@pytest.mark.parametrize(
    "fields",
    [{}, {"price": 2.0, "rows": (("2027-01", 2.0),)}, {"per_year": 0.1}],
    ids=["nothing", "both", "a change of nothing"],
)
def test_a_path_is_either_a_price_or_a_table(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match="either a price or a table"):
        PricePath(**fields)  # type: ignore[arg-type]


def test_a_table_has_no_percentage() -> None:
    with pytest.raises(InputError, match="a dated table has no change per year; add rows instead"):
        PricePath(rows=(("2027-01", 2.0),), per_year=-0.1)


@pytest.mark.parametrize(("months", "delay"), [(0, 0), (601, 0), (12, -1), (12, 601)])
def test_months_and_delays_out_of_range_are_refused(months: int, delay: int) -> None:
    with pytest.raises(InputError, match=r"must be from [01] to 600"):
        PricePath.constant(2.0).prices(months, delay=delay)


def test_a_change_beyond_numbers_is_told_in_full() -> None:
    # 11 to the power of 100 is a number; 1e300 times that is none, and neither is 1e-300 of a hundredth each year.
    for price, per_year, change in ((1e300, 10.0, "+1000%"), (1e-300, -0.99, "-99%")):
        with pytest.raises(InputError) as caught:
            PricePath.changing(price, per_year=per_year).prices(600, delay=600)
        assert str(caught.value) == (
            f"price path: {price} USD/GPU-hour cannot change by {change} a year for 1200 months; write a smaller change"
        )
    assert PricePath.changing(1.0, per_year=10.0).prices(1, delay=600)[0] == pytest.approx(11.0**50, rel=1e-12)
    # A month later it is a twelfth of a year on.
    assert PricePath.changing(2.0, per_year=0.21).prices(7, delay=6).tolist() == pytest.approx(
        [2.0 * 1.21 ** ((6 + month) / 12) for month in range(7)], rel=1e-13
    )
    assert PricePath.changing(2.0, per_year=0.1).note == "changes by +10% a year from 2 USD/GPU-hour"
    assert PricePath.constant(2.0).note == ""


def test_every_edge_of_a_table_of_months() -> None:
    path = PricePath.table([("2027-02", 3.0), ("2027-04", 2.0)])
    assert path.prices(4, "2027-02").tolist() == [3.0, 3.0, 2.0, 2.0]
    assert path.prices(2, "2027-01", delay=1).tolist() == [3.0, 3.0]
    assert path.note == "stays at 2 USD/GPU-hour from 2027-04 on, the last month of the table"
    with pytest.raises(InputError) as caught:
        path.prices(4, "2026-12", delay=1)
    assert str(caught.value) == (
        "price path: no price for 2027-01: the table begins in 2027-02; add a row for 2027-01 or an earlier month"
    )
