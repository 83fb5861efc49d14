"""The hourly cost of a bought GPU against the worked example, annuities and limits."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs.ownership import Purchase, capex_of_chip, capital_recovery, sinking_fund
from beyond_chinchilla.errors import InputError

# A server of eight H100 for 270,000 USD, and 19% for its network.
SERVER = 270_000 * 1.19 / 8

purchases = st.builds(
    lambda capex, kept, **others: Purchase(capex=capex, salvage=kept * capex, **others),
    capex=st.floats(100.0, 1e6),
    kept=st.floats(0.0, 1.0),
    years=st.floats(0.5, 20.0),
    rate=st.floats(0.0, 1.0),
    availability=st.floats(0.1, 1.0),
    power_kw=st.floats(0.1, 5.0),
    draw=st.floats(0.0, 1.0),
    pue=st.floats(1.0, 2.0),
    electricity=st.floats(0.0, 1.0),
    colocation=st.floats(0.0, 500.0),
    opex=st.floats(0.0, 2.0),
)


# Before power, USD/GPU-hour, printed to the cent.
@pytest.mark.parametrize(
    ("years", "rate", "printed"),
    [(4, 0.0, 1.15), (4, 0.10, 1.45), (4, 0.13, 1.54), (5, 0.10, 1.21), (3, 0.10, 1.84)],
)
def test_worked_example_of_an_owned_h100(years: float, rate: float, printed: float) -> None:
    assert Purchase(capex=SERVER, years=years, rate=rate).usd_per_hour == pytest.approx(printed, abs=0.005)


def test_worked_example_of_its_power() -> None:
    # 1.73 kW is provisioned utility power (InferenceX): the cooling is in it, and all of it is paid. US industrial
    # electricity at 0.0826 USD/kWh in 2025 gives the printed 0.14; with a draw of 0.75 it would be 0.11.
    power = Purchase(capex=SERVER, years=4, power_kw=1.73, draw=1.0, pue=1.0, electricity=0.0826).breakdown()
    assert power["electricity"] == pytest.approx(0.14, abs=0.005)


def test_epochs_cluster_of_h100_and_its_energy() -> None:
    # "H100 at $30k new: cluster $60.7k", "$0.087/h energy": TDP 0.7 kW x 1.82 x draw 0.75 x PUE 1.1 x 0.0826 USD/kWh
    assert capex_of_chip(30_000) == pytest.approx(60_700, abs=50)
    owned = Purchase(capex=capex_of_chip(30_000), years=4, power_kw=0.7 * 1.82, draw=0.75, pue=1.1, electricity=0.0826)
    assert owned.breakdown()["electricity"] == pytest.approx(0.087, abs=0.0005)


def test_colocation_is_paid_by_the_month_of_730_and_a_half_hours() -> None:
    assert Purchase(capex=1.0, years=1, power_kw=2.0, colocation=73.05).breakdown()["colocation"] == pytest.approx(
        0.2, rel=1e-12
    )


@given(rate=st.floats(1e-4, 1.0), years=st.integers(1, 30))
def test_recovered_capital_is_worth_one_today_and_a_sinking_fund_one_at_the_end(rate: float, years: int) -> None:
    payments = sum(capital_recovery(rate, years) * (1 + rate) ** -year for year in range(1, years + 1))
    assert payments == pytest.approx(1.0, rel=1e-9)
    savings = sum(sinking_fund(rate, years) * (1 + rate) ** (years - year) for year in range(1, years + 1))
    assert savings == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-17, 1e-12, 1e-8, 1e-4, 0.1, 1.0])
@pytest.mark.parametrize("years", [0.5, 4.0, 50.0])
def test_small_rates_go_smoothly_to_straight_line(rate: float, years: float) -> None:
    with mpmath.workdps(400):
        growth = (1 + mpmath.mpf(rate)) ** mpmath.mpf(years)
        recovery, fund = mpmath.mpf(rate) * growth / (growth - 1), mpmath.mpf(rate) / (growth - 1)
    assert capital_recovery(rate, years) == pytest.approx(float(recovery), rel=1e-14)
    assert sinking_fund(rate, years) == pytest.approx(float(fund), rel=1e-14)
    assert capital_recovery(0.0, years) == sinking_fund(0.0, years) == 1 / years


@given(owned=purchases)
def test_terms_add_up_and_salvage_writes_less_off(owned: Purchase) -> None:
    terms = owned.breakdown()
    assert list(terms) == ["capital", "salvage", "electricity", "colocation", "operation"]
    assert sum(terms.values()) == owned.usd_per_hour
    assert terms["salvage"] <= 0
    # What is not salvaged is saved up, and all of the capital pays interest.
    yearly = (owned.capex - owned.salvage) * sinking_fund(owned.rate, owned.years) + owned.capex * owned.rate
    assert terms["capital"] + terms["salvage"] == pytest.approx(yearly / (8766 * owned.availability), rel=1e-9)


@given(owned=purchases, factor=st.floats(1.01, 5.0))
def test_an_hour_costs_more_with_capex_and_less_with_availability(owned: Purchase, factor: float) -> None:
    assert replace(owned, capex=owned.capex * factor).usd_per_hour > owned.usd_per_hour
    seldom = replace(owned, availability=owned.availability / factor)
    fixed = owned.usd_per_hour - owned.breakdown()["capital"] - owned.breakdown()["salvage"]
    assert seldom.usd_per_hour >= owned.usd_per_hour
    assert seldom.usd_per_hour - fixed == pytest.approx((owned.usd_per_hour - fixed) * factor, rel=1e-6, abs=1e-9)


@given(owned=purchases, more=st.floats(0.0, 1.0))
def test_a_dearer_dollar_or_building_or_kilowatt_hour_never_saves(owned: Purchase, more: float) -> None:
    for name, most in (("rate", 1.0), ("pue", 5.0), ("electricity", 10.0), ("colocation", 1e5), ("draw", 1.0)):
        dearer = replace(owned, **{name: min(getattr(owned, name) + more, most)})
        assert dearer.usd_per_hour >= owned.usd_per_hour * (1 - 1e-9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("capex", value) for value in (0.0, -1.0, math.nan, math.inf)),
        *(("years", value) for value in (0.0, 60.0, math.nan)),
        *(("rate", value) for value in (-0.1, 10.0, math.nan)),
        *(("availability", value) for value in (0.0, 1.1, 95.0)),
        *(("power_kw", value) for value in (-1.0, 1_300.0)),
        *(("draw", value) for value in (-0.1, 75.0)),
        *(("pue", value) for value in (0.9, 25.0)),
        *(("electricity", value) for value in (-0.1, 80.0)),
        *(("colocation", value) for value in (-1.0, math.inf)),
        *(("opex", value) for value in (-1.0, math.nan)),
    ],
)
def test_values_out_of_range_are_refused_with_what_to_write(field: str, value: float) -> None:
    usual = {"capex": 40_000.0, "years": 4.0, "power_kw": 1.3}
    with pytest.raises(InputError, match=rf"^purchase: {field} must be .*not {value}; write \d"):
        Purchase(**{**usual, field: value})


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Purchase(capex=40_000, years=0, rate=10, salvage=50_000, electricity=0.08)
    assert str(caught.value).splitlines() == [
        "purchase: years must be above 0 and at most 50 years, not 0; write 5",
        "purchase: rate must be at least 0 and at most 1 a year, not 10; write 10% or 0.10",
        "purchase: salvage must be from 0 to capex, 40000 USD, not 50000",
        "purchase: electricity and colocation are paid per kW; give the power, such as 1.3 kW for an H100",
    ]


def test_chip_prices_and_factors_are_checked() -> None:
    assert capex_of_chip(20_000, server_factor=1.66, network_factor=1.0) == pytest.approx(33_200, rel=1e-12)
    with pytest.raises(InputError, match="chip price must be > 0 USD"):
        capex_of_chip(math.nan)
    with pytest.raises(InputError, match=r"network_factor must be >= 1 and finite, not 0.19; 1.19 adds 19%"):
        capex_of_chip(30_000, network_factor=0.19)
