"""Present values against spreadsheets, textbooks and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs.discounting import TIMINGS, Discounting, present_value
from beyond_chinchilla.costs.months import MAX_MONTHS
from beyond_chinchilla.errors import InputError

rates = st.floats(0.0, 1.0)
timings = st.sampled_from(sorted(TIMINGS))
durations = st.integers(1, MAX_MONTHS)
delays = st.floats(0.0, 120.0)


def at_year_ends(*flows: float) -> list[float]:
    """Put yearly flows at the ends of months 12, 24, ...: Excel's NPV has periods of a year there."""
    months = [0.0] * (12 * len(flows))
    months[11::12] = flows
    return months


@pytest.mark.parametrize(
    ("rate", "flows", "published", "half_a_digit"),
    [
        # Microsoft's example of NPV: =NPV(10%, -10000, 3000, 4200, 6800)
        (0.10, (-10_000.0, 3_000.0, 4_200.0, 6_800.0), 1_188.44, 0.005),
        # Microsoft's second one, without the 40,000 that it subtracts undiscounted: 1922.06 + 40000
        (0.08, (8_000.0, 9_200.0, 10_000.0, 12_000.0, 14_500.0), 41_922.06, 0.005),
        # Adobe FormCalc reference: NPV(0.10, 500, 1500, 4000, 10000)
        (0.10, (500.0, 1_500.0, 4_000.0, 10_000.0), 11_529.60863329007, 5e-9),
    ],
)
def test_end_of_period_is_the_npv_of_spreadsheets(
    rate: float, flows: tuple[float, ...], published: float, half_a_digit: float
) -> None:
    value = present_value(at_year_ends(*flows), Discounting(rate=rate, timing="end"))
    assert value == pytest.approx(published, abs=half_a_digit)


def test_numpy_financial_is_one_period_ahead() -> None:
    # Its documentation: npv(0.08, [-40000, 5000, 8000, 12000, 30000]) = 3065.22267, the first flow undiscounted.
    flows = (-40_000.0, 5_000.0, 8_000.0, 12_000.0, 30_000.0)
    value = present_value(at_year_ends(*flows), Discounting(rate=0.08, timing="end"))
    assert value * 1.08 == pytest.approx(3_065.22267, abs=5e-6)


def test_annuity_at_one_percent_a_month() -> None:
    # Annuity tables: 12 payments at 1% are worth 11.2551; at one twelfth of the effective rate they would not be.
    twelve = Discounting(rate=1.01**12 - 1, timing="end")
    assert twelve.monthly_rate == pytest.approx(0.01, rel=1e-12)
    assert present_value([1.0] * 12, twelve) == pytest.approx(11.2551, abs=5e-5)


@given(rate=st.floats(1e-6, 1.0), months=durations, delay=delays)
def test_annuities_have_their_closed_form(rate: float, months: int, delay: float) -> None:
    monthly = (1 + rate) ** (1 / 12) - 1
    closed = (1 - (1 + monthly) ** -months) / monthly * (1 + rate) ** (-delay / 12)
    level = np.ones(months)
    assert present_value(level, Discounting(rate=rate, timing="end"), delay) == pytest.approx(closed, rel=1e-8)
    middle = closed * math.sqrt(1 + monthly)
    assert present_value(level, Discounting(rate=rate, timing="mid"), delay) == pytest.approx(middle, rel=1e-8)


@given(
    amounts=st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=60),
    timing=timings,
    delay=delays,
    months=st.floats(0.0, 1e6),
)
def test_without_a_rate_money_keeps_its_nominal_value_exactly(
    amounts: list[float], timing: str, delay: float, months: float
) -> None:
    nominal = Discounting(timing=timing)
    assert present_value(amounts, nominal, delay) == float(np.sum(amounts))
    assert nominal.weights(len(amounts), delay).tolist() == [1.0] * len(amounts)
    assert nominal.spread(months) == 1.0
    assert nominal.monthly_rate == 0.0


@given(
    amounts=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=40),
    low=rates,
    more=st.floats(1e-6, 0.5),
    timing=timings,
)
def test_a_higher_rate_makes_positive_amounts_worth_less(
    amounts: list[float], low: float, more: float, timing: str
) -> None:
    high = min(low + more, 1.0)
    if high > low + 1e-9:
        dear = present_value(amounts, Discounting(rate=high, timing=timing))
        assert dear < present_value(amounts, Discounting(rate=low, timing=timing))


@given(rate=rates, timing=timings, months=st.integers(1, 200))
def test_spread_over_whole_months_is_the_mean_of_their_weights(rate: float, timing: str, months: int) -> None:
    discounting = Discounting(rate=rate, timing=timing)
    assert discounting.spread(months) == pytest.approx(discounting.weights(months).mean(), rel=1e-9)


@given(rate=st.floats(0.01, 1.0), timing=timings, months=st.floats(0.0, 100.0), more=st.floats(1e-3, 30.0))
def test_spend_over_a_longer_time_is_worth_less(rate: float, timing: str, months: float, more: float) -> None:
    discounting = Discounting(rate=rate, timing=timing)
    assert discounting.spread(months + more) < discounting.spread(months) <= 1.0


def test_spread_of_parts_of_months_by_hand() -> None:
    yearly = 1.1
    # 2.5 months in the middle: 1 at 0.5, 1 at 1.5 and 0.5 at 2.25 months
    middle = (yearly ** (-0.5 / 12) + yearly ** (-1.5 / 12) + 0.5 * yearly ** (-2.25 / 12)) / 2.5
    assert Discounting(rate=0.1).spread(2.5) == pytest.approx(middle, rel=1e-12)
    end = (yearly ** (-1 / 12) + yearly ** (-2 / 12) + 0.5 * yearly ** (-2.5 / 12)) / 2.5
    assert Discounting(rate=0.1, timing="end").spread(2.5) == pytest.approx(end, rel=1e-12)


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-16])
@pytest.mark.parametrize("timing", sorted(TIMINGS))
def test_tiny_rates_are_as_good_as_none(rate: float, timing: str) -> None:
    discounting = Discounting(rate=rate, timing=timing)
    assert discounting.spread(37.5) == pytest.approx(1.0, abs=1e-12)
    assert present_value([3.0] * 24, discounting) == pytest.approx(72.0, rel=1e-12)


def test_delay_is_discounted_like_time() -> None:
    discounting = Discounting(rate=0.2)
    assert discounting.weights(6, delay=18.0).tolist() == pytest.approx(
        discounting.weights(24)[18:].tolist(), rel=1e-12
    )


@pytest.mark.parametrize("rate", [-0.01, 10.0, math.nan, math.inf])
def test_rates_that_are_not_shares_are_refused(rate: float) -> None:
    with pytest.raises(InputError, match=r"^discounting: rate must be from 0 to 100% a year, not .*; write 10%"):
        Discounting(rate=rate)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Discounting(rate=10.0, timing="start")
    assert str(caught.value).splitlines() == [
        "discounting: rate must be from 0 to 100% a year, not 10.0; write 10% or 0.10",
        "discounting: timing must be mid or end, not 'start'",
    ]


@pytest.mark.parametrize("months", [0, -3, 601, 10**12])
def test_months_out_of_range_are_refused(months: int) -> None:
    with pytest.raises(InputError, match=r"months must be from 1 to 600 \(50 years\), not"):
        Discounting().weights(months)


@pytest.mark.parametrize("time", [-1.0, math.nan, math.inf])
def test_times_that_are_no_times_are_refused(time: float) -> None:
    with pytest.raises(InputError, match="delay must be >= 0 months"):
        Discounting().weights(3, delay=time)
    with pytest.raises(InputError, match="spread over >= 0 months"):
        Discounting().spread(time)


@pytest.mark.parametrize("amounts", [[1.0, math.nan], [math.inf], [[1.0], [2.0]], 3.0])
def test_amounts_that_are_no_row_of_numbers_are_refused(amounts: object) -> None:
    with pytest.raises(InputError, match="one finite number a month"):
        present_value(amounts, Discounting())  # type: ignore[arg-type]
