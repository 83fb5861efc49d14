"""Demand over time: growth against its recurrence, tokens conserved, tables with every mistake named."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import floats, log_floats

from beyond_chinchilla.costs.forecast import Forecast, requests_per_month
from beyond_chinchilla.errors import InputError

LENGTHS = {"input_tokens": 900.0, "output_tokens": 220.0}


@st.composite
def forecasts(draw: st.DrawFn) -> Forecast:
    """Forecasts of a year or two with lengths that change."""
    months = draw(st.integers(1, 24))

    def column(low: float, high: float) -> tuple[float, ...]:
        return tuple(draw(st.lists(floats(low, high), min_size=months, max_size=months)))

    return Forecast(
        requests=column(1.0, 1e9),
        input_tokens=column(0.0, 1e5),
        output_tokens=column(1.0, 1e4),
        cached_share=draw(floats(0.0, 1.0)),
        batch_share=draw(floats(0.0, 1.0)),
        start=draw(st.sampled_from([None, "2027-01", "2026-11"])),
    )


# Growth


@given(log_floats(1.0, 1e10), floats(0.0, 1.0), log_floats(1.001, 1e6), st.integers(2, 60))
def test_saturating_growth_is_the_recurrence_of_beverton_and_holt(
    first: float, growth: float, room: float, months: int
) -> None:
    saturation = first * room
    forecast = Forecast.growing(first, growth_per_month=growth, months=months, saturation=saturation, **LENGTHS)
    requests = forecast.requests
    assert requests[0] == pytest.approx(first, rel=1e-12)
    assert requests[1] == pytest.approx(min(first * (1 + growth), saturation), rel=1e-12)
    assert all(value <= saturation * (1 + 1e-12) for value in requests)
    if first * (1 + growth) < saturation * 0.999:
        # r' = R r / (1 + (R - 1) r / K), month by month; R from the first step by hand.
        step = requests[1] / first
        R = step * (saturation - first) / (saturation - step * first)
        value = first
        for later in requests[1:]:
            value = R * value / (1 + (R - 1) * value / saturation)
            assert later == pytest.approx(value, rel=1e-9)


@given(log_floats(1.0, 1e10), floats(0.001, 1.0), log_floats(1.001, 1e4))
def test_saturating_growth_slows_from_month_to_month_and_levels_off(first: float, growth: float, room: float) -> None:
    saturation = first * room
    forecast = Forecast.growing(first, growth_per_month=growth, months=600, saturation=saturation, **LENGTHS)
    rates = np.diff(np.log(forecast.requests))
    assert rates[0] <= math.log1p(growth) + 1e-12
    assert (np.diff(rates) <= 1e-9).all()
    assert (rates >= -1e-12).all()
    free = Forecast.growing(first, growth_per_month=growth, months=36, **LENGTHS)
    assert all(one <= two * (1 + 1e-12) for one, two in zip(forecast.requests, free.requests, strict=False))
    if growth > 0.05:
        assert forecast.requests[-1] == pytest.approx(saturation, rel=1e-6)


def test_a_logistic_curve_by_hand() -> None:
    # K = 100, r_1 = 10, r_2 = 20: odds r/(K - r) go 1/9, 1/4, ... by a factor of 9/4, so r_3 = 100 (9/16)/(25/16) = 36.
    forecast = Forecast.growing(10, growth_per_month=1.0, months=4, saturation=100, **LENGTHS)
    assert forecast.requests == pytest.approx((10, 20, 36, 100 * 81 / 145), rel=1e-12)


@given(log_floats(1.0, 1e9), floats(-0.9, 0.5), st.integers(1, 60))
def test_growth_without_saturation_compounds(first: float, growth: float, months: int) -> None:
    requests = Forecast.growing(first, growth_per_month=growth, months=months, **LENGTHS).requests
    value = first
    for month in requests:
        assert month == pytest.approx(value, rel=1e-11)
        value *= 1 + growth


def test_a_saturation_that_is_out_of_reach_changes_nothing() -> None:
    free = Forecast.growing(4e7, growth_per_month=0.05, months=36, **LENGTHS)
    bound = Forecast.growing(4e7, growth_per_month=0.05, months=36, saturation=1e18, **LENGTHS)
    assert bound.requests == pytest.approx(free.requests, rel=1e-8)


def test_growth_into_saturation_within_a_month_stops_there() -> None:
    forecast = Forecast.growing(90, growth_per_month=0.2, months=3, saturation=100, **LENGTHS)
    assert forecast.requests == (90, 100, 100)
    assert Forecast.growing(100, growth_per_month=0.2, months=3, saturation=100, **LENGTHS).requests == (100,) * 3


def test_constant_is_growth_of_nothing() -> None:
    constant = Forecast.constant(5e6, months=12, start="2027-01", cached_share=0.2, batch_share=0.1, **LENGTHS)
    assert constant.requests == (5e6,) * 12
    grown = Forecast.growing(
        5e6,
        growth_per_month=0,
        months=12,
        saturation=6e6,
        start="2027-01",
        cached_share=0.2,
        batch_share=0.1,
        **LENGTHS,
    )
    assert grown.requests == pytest.approx(constant.requests, rel=1e-13)
    assert constant.labels[::11] == ("2027-01", "2027-12")
    assert Forecast.constant(5e6, months=2, **LENGTHS).labels == ("month 1", "month 2")
    assert constant == Forecast.constant(5e6, months=12, start="2027-01", cached_share=0.2, batch_share=0.1, **LENGTHS)
    assert hash(constant) != hash(grown.scaled(2))


def test_reasoning_tokens_are_output() -> None:
    plain = Forecast.constant(1e6, months=6, input_tokens=900, output_tokens=1000)
    assert Forecast.constant(1e6, months=6, input_tokens=900, output_tokens=200, reasoning_tokens=800) == plain
    rows = [{"month": 1, "requests": 1e6, "input_tokens": 900, "output_tokens": 200}]
    assert Forecast.from_rows(rows, reasoning_tokens=800).output_tokens == (1000.0,)


# Tokens


@given(forecasts())
def test_tokens_are_conserved(forecast: Forecast) -> None:
    products = zip(forecast.requests, forecast.input_tokens, forecast.output_tokens, strict=True)
    read, written = (math.fsum(column) for column in zip(*[(r * i, r * o) for r, i, o in products], strict=True))
    requests = math.fsum(forecast.requests)
    cached = float(forecast.cached_tokens.sum())
    demand = forecast.total()
    assert demand.prefill_tokens + cached == pytest.approx(read, rel=1e-12)
    assert cached == pytest.approx(read * forecast.cached_share, rel=1e-12)
    assert demand.decode_tokens == pytest.approx(written, rel=1e-12)
    assert forecast.mean_input * requests == pytest.approx(read, rel=1e-12)
    assert forecast.mean_output * requests == pytest.approx(written, rel=1e-12)
    assert forecast.prefill_tokens.shape == forecast.decode_tokens.shape == (forecast.months,)


@given(forecasts(), log_floats(1e-3, 1e3))
def test_scaled_demand_is_proportional(forecast: Forecast, factor: float) -> None:
    scaled = forecast.scaled(factor)
    assert scaled.total().prefill_tokens == pytest.approx(factor * forecast.total().prefill_tokens, rel=1e-12)
    assert scaled.total().decode_tokens == pytest.approx(factor * forecast.total().decode_tokens, rel=1e-12)
    assert (scaled.mean_input, scaled.labels) == (pytest.approx(forecast.mean_input, rel=1e-12), forecast.labels)


@given(forecasts(), st.data())
def test_a_later_launch_loses_the_first_months(forecast: Forecast, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, forecast.months - 1))
    later = forecast.from_month(first)
    assert later.decode_tokens.tolist() == forecast.decode_tokens[first:].tolist()
    assert later.prefill_tokens.tolist() == forecast.prefill_tokens[first:].tolist()
    if forecast.start is not None:
        assert later.labels == forecast.labels[first:]
    with pytest.raises(InputError, match="nothing is left to serve"):
        forecast.from_month(forecast.months)


def test_everything_cached_leaves_output_alone() -> None:
    demand = Forecast.constant(1e6, months=2, cached_share=1.0, **LENGTHS).total()
    assert (demand.prefill_tokens, demand.decode_tokens) == (0.0, 4.4e8)


def test_requests_of_a_day_and_of_users() -> None:
    # 8766 hours a year: 365.25 days over twelve months
    assert requests_per_month(per_day=12.0) == pytest.approx(365.25, rel=1e-15)
    assert requests_per_month(users=2.0, per_user_per_day=6.0) == pytest.approx(365.25, rel=1e-15)
    for wrong in ({}, {"users": 5.0}, {"per_user_per_day": 5.0}, {"per_day": 1.0, "users": 2.0}):
        with pytest.raises(InputError, match="give requests per day, or users together with"):
            requests_per_month(**wrong)


# Tables


def rows_of(*months: object) -> list[dict[str, object]]:
    return [{"month": month, "requests": "40M", "input_tokens": 900, "output_tokens": "220"} for month in months]


@pytest.mark.parametrize(
    ("months", "labels"),
    [
        (("2027-11", "2027-12", "2028-01"), ("2027-11", "2027-12", "2028-01")),
        ((date(2027, 11, 1), datetime(2027, 12, 15, 8), " 2028-01 "), ("2027-11", "2027-12", "2028-01")),
        (("2027-11-01", "2027-12-01 00:00:00", "2028-01-31"), ("2027-11", "2027-12", "2028-01")),
        ((1, "2", 3.0), ("month 1", "month 2", "month 3")),
        (("month 1", "Month 2", "3"), ("month 1", "month 2", "month 3")),
    ],
)
def test_months_of_a_table(months: tuple[object, ...], labels: tuple[str, ...]) -> None:
    forecast = Forecast.from_rows(rows_of(*months))
    assert forecast.labels == labels
    assert forecast.requests == (4e7,) * 3
    assert (forecast.input_tokens, forecast.output_tokens) == ((900.0,) * 3, (220.0,) * 3)


def test_rows_without_lengths_take_those_of_the_scenario() -> None:
    rows = [{"month": 1, "requests": 5}, {"month": 2, "requests": 6, "input_tokens": "1k", "output_tokens": " "}]
    forecast = Forecast.from_rows(rows, input_tokens=900, output_tokens=220, cached_share=0.5, batch_share=0.25)
    assert forecast.input_tokens == (900.0, 1000.0)
    assert forecast.output_tokens == (220.0, 220.0)
    assert (forecast.cached_share, forecast.batch_share) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("months", "lines"),
    [
        (
            ("2027-01", "2027-03"),
            ["row 2: month 2027-02 is missing before 2027-03; every month needs a row"],
        ),
        (
            ("2027-01", "2028-01"),
            ["row 2: months 2027-02 to 2027-12 are missing before 2028-01; every month needs a row"],
        ),
        # A year mistyped is one line, not two thousand.
        (
            ("2027-01", "2207-02"),
            ["row 2: months 2027-02 to 2207-01 are missing before 2207-02; every month needs a row"],
        ),
        (
            ("2027-01", "2027-01", "2027-02"),
            ["row 2: month 2027-01 is there already in row 1; keep one of them"],
        ),
        (
            ("2027-02", "2027-01", "2027-03"),
            ["row 2: month 2027-01 comes after 2027-02; sort the rows by month"],
        ),
        (
            ("2027-05", "2027-02", "2027-05", "2027-04"),
            [
                "row 3: month 2027-05 is there already in row 1; keep one of them",
                "row 2: month 2027-02 comes after 2027-05; sort the rows by month",
                "row 4: month 2027-04 comes after 2027-05; sort the rows by month",
                "row 4: month 2027-03 is missing before 2027-04; every month needs a row",
            ],
        ),
        ((2, 3), ["row 1: month 1 is missing before 2; every month needs a row"]),
        ((0, 1), ["row 1: month 0 is not from 1 to 600 after launch; write 2027-01 for a calendar month"]),
        ((202701,), ["row 1: month 202701 is not from 1 to 600 after launch; write 2027-01 for a calendar month"]),
        (("2027-01", 2), ["row 2: month 2 among months such as 2027-01; write all as 2027-01, or all as 1, 2, 3"]),
        (("Jan 2027", "2027-02"), ["row 1: 'Jan 2027' is not a month; write it like 2027-01"]),
        (
            ("", None),
            ["row 1: month is missing; write it like 2027-01", "row 2: month is missing; write it like 2027-01"],
        ),
        ((math.nan,), ["row 1: month is missing; write it like 2027-01"]),
        ((1.5,), ["row 1: '1.5' is not a month; write it like 2027-01"]),
    ],
)
def test_every_month_out_of_place_is_named(months: tuple[object, ...], lines: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        Forecast.from_rows(rows_of(*months))
    assert str(refused.value).splitlines() == lines


def test_mistakes_of_cells_and_months_are_told_together_with_their_places() -> None:
    rows = rows_of("2027-01", "2027-02", "2027-02")
    rows[0]["requests"] = "lots"
    rows[1]["input_tokens"] = -5
    del rows[2]["output_tokens"]
    with pytest.raises(InputError) as refused:
        Forecast.from_rows(rows, places=["a.csv:2", "a.csv:3", "a.csv:4"])
    lines = str(refused.value).splitlines()
    assert lines[0].startswith("a.csv:2: requests: 'lots' is not a number")
    assert lines[1:] == [
        "a.csv:3: input_tokens must be >= 0, not -5",
        "a.csv:4: output_tokens is missing; write it like 220",
        "a.csv:4: month 2027-02 is there already in a.csv:3; keep one of them",
    ]


def test_one_mistake_in_every_row_is_not_told_in_every_row() -> None:
    rows = [{"month": f"2027-{month:02d}", "requests": "x"} for month in range(1, 13)]
    with pytest.raises(InputError) as refused:
        Forecast.from_rows(rows, input_tokens=1, output_tokens=1)
    assert str(refused.value).splitlines()[-1] == "... and 4 more like these"
    assert len(str(refused.value).splitlines()) == 9


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_a_table_is_accepted_only_if_its_months_follow_one_another(months: list[int]) -> None:
    rows = [{"month": f"{2027 + (m - 1) // 12}-{(m - 1) % 12 + 1:02d}", "requests": 1e6} for m in months]
    sound = months == list(range(months[0], months[0] + len(months)))
    if sound:
        assert Forecast.from_rows(rows, **LENGTHS).months == len(months)
    else:
        with pytest.raises(InputError, match=r"is there already|comes after|missing before"):
            Forecast.from_rows(rows, **LENGTHS)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["month", "requests", "input_tokens", "output_tokens"]),
            st.one_of(st.text(max_size=8), st.floats(), st.integers(), st.none(), st.booleans(), st.dates()),
        ),
        max_size=4,
    )
)
def test_any_table_gives_a_forecast_or_a_plain_refusal(rows: list[dict[str, object]]) -> None:
    try:
        forecast = Forecast.from_rows(rows)
    except InputError:
        return
    assert forecast.months == len(rows)


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"requests_per_month": 0.0}, "the requests of the first month must be above zero and finite, not 0.0"),
        ({"requests_per_month": math.nan}, "the requests of the first month must be above zero and finite"),
        ({"months": 0}, "forecast: 0 months; the life of a model is a whole number from 1 to 600"),
        ({"months": 601}, "forecast: 601 months"),
        ({"input_tokens": -1.0}, "month 1: input_tokens must be >= 0 and finite, not -1.0"),
        ({"output_tokens": math.inf}, "month 1: output_tokens must be >= 0 and finite, not inf"),
        ({"input_tokens": 0.0, "output_tokens": 0.0}, "demand: no tokens at all"),
        ({"output_tokens": 0.0, "cached_share": 1.0}, "demand: no tokens at all"),
        (
            {"requests_per_month": 1e300, "output_tokens": 1e300},
            "demand: decode_tokens must be >= 0 and finite, not inf",
        ),
        ({"reasoning_tokens": -1.0}, "reasoning_tokens must be >= 0 and finite, not -1.0"),
        ({"cached_share": 1.2}, "cached_share must be from 0 to 1, not 1.2"),
        ({"batch_share": math.nan}, "batch_share must be from 0 to 1, not nan"),
        ({"start": "2027"}, "'2027' is not a month"),
        ({"start": "9999-12"}, "2 months from 9999-12 end after the year 9999"),
    ],
)
def test_what_is_no_forecast_is_refused(change: dict[str, object], message: str) -> None:
    sound = {"requests_per_month": 1e6, "months": 2, **LENGTHS}
    assert Forecast.constant(**sound).months == 2  # type: ignore[arg-type]
    with pytest.raises(InputError) as refused:
        Forecast.constant(**{**sound, **change})  # type: ignore[arg-type]
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("growth", "saturation", "message"),
    [
        (-1.0, None, "growth per month must be above -100% and finite, not -1.0"),
        (math.inf, None, "growth per month must be above -100%"),
        (0.05, 9e5, "saturation must be finite and at least the 1e+06 requests of the first month, not 900000"),
        (0.05, math.inf, "saturation must be finite"),
        (-0.05, 2e6, "requests that fall (-0.05 a month) reach no saturation; leave it out"),
        (1e3, None, "at 1000 a month, requests are beyond any number in month 102; state a saturation"),
    ],
)
def test_what_is_no_growth_is_refused(growth: float, saturation: float | None, message: str) -> None:
    with pytest.raises(InputError) as refused:
        Forecast.growing(1e6, growth_per_month=growth, months=200, saturation=saturation, **LENGTHS)
    assert message in str(refused.value)


def test_months_differ_in_number() -> None:
    with pytest.raises(InputError, match="forecast: 1 months of output_tokens, 2 of requests"):
        Forecast(requests=(1, 2), input_tokens=(3, 4), output_tokens=(5,))
    with pytest.raises(InputError, match="forecast: no requests in any month"):
        Forecast(requests=(0, 0), input_tokens=(3, 4), output_tokens=(5, 6))
    with pytest.raises(InputError, match="forecast: no rows"):
        Forecast.from_rows([])
    with pytest.raises(InputError, match="the factor must be above zero and finite, not 0"):
        Forecast.constant(1e6, months=2, **LENGTHS).scaled(0)


def test_idle_months_are_months() -> None:
    forecast = Forecast(requests=(0, 5, 0), input_tokens=(0, 10, 0), output_tokens=(0, 20, 0), start="2027-12")
    assert forecast.total().decode_tokens == 100.0
    assert forecast.from_month(1).labels == ("2028-01", "2028-02")
    with pytest.raises(InputError, match="no requests in any month"):
        forecast.from_month(2)


def test_a_later_launch_serves_what_is_left() -> None:
    whole = Forecast(requests=(1, 2, 3), input_tokens=(4, 5, 6), output_tokens=(7, 8, 9), start="2027-11")
    assert whole.from_month(0) is whole
    assert whole.from_month(2) == Forecast(requests=(3,), input_tokens=(6,), output_tokens=(9,), start="2028-01")
    assert replace(whole, start=None).from_month(1).labels == ("month 1", "month 2")
    for first in (3, -1):
        with pytest.raises(InputError, match=f"launched after month {first} of 3, nothing is left to serve"):
            whole.from_month(first)


def test_growth_by_hand() -> None:
    lengths = {"input_tokens": 900, "output_tokens": 220}
    # 40M, 42M, and by the Beverton-Holt recurrence towards 50M: r' = r R/(1 + (R - 1) r/K)
    found = Forecast.growing(40e6, growth_per_month=0.05, months=4, saturation=50e6, **lengths)
    R = 1.05 * 0.2 / (1 - 1.05 * 0.8)
    by_hand = [40e6]
    for _ in range(3):
        by_hand.append(by_hand[-1] * R / (1 + (R - 1) * by_hand[-1] / 50e6))
    assert found.requests == pytest.approx(by_hand, rel=1e-12)
    assert found.requests[1] == pytest.approx(42e6, rel=1e-12)
    # Where the second month reaches it or would pass it, it holds from there.
    for saturation in (42e6, 41e6, 40e6):
        flat = Forecast.growing(40e6, growth_per_month=0.05, months=3, saturation=saturation, **lengths)
        assert flat.requests == (40e6, saturation, saturation)
    assert Forecast.growing(40e6, growth_per_month=0.0, months=2, saturation=50e6, **lengths).requests == (40e6, 40e6)
    falling = Forecast.growing(8.0, growth_per_month=-0.5, months=4, **lengths)
    assert falling.requests == (8.0, 4.0, 2.0, 1.0)
    thought = Forecast.growing(8.0, growth_per_month=0.0, months=1, reasoning_tokens=80.0, **lengths)
    assert (thought.output_tokens, thought.input_tokens) == ((300.0,), (900.0,))


def test_tokens_by_phase_by_hand() -> None:
    found = Forecast(requests=(1, 3), input_tokens=(40, 80), output_tokens=(10, 30), cached_share=0.25)
    assert found.prefill_tokens.tolist() == [30.0, 180.0]
    assert found.cached_tokens.tolist() == [10.0, 60.0]
    assert found.decode_tokens.tolist() == [10.0, 90.0]
    assert (found.mean_input, found.mean_output) == pytest.approx((70.0, 25.0), rel=1e-14)
    assert (found.total().prefill_tokens, found.total().decode_tokens) == (210.0, 100.0)
    assert found.scaled(2.0).requests == (2.0, 6.0)


@pytest.mark.parametrize(
    "given", [{}, {"per_day": 1.0, "users": 2.0}, {"per_day": 1.0, "per_user_per_day": 2.0}, {"users": 2.0},
              {"per_user_per_day": 2.0}, {"per_day": 1.0, "users": 2.0, "per_user_per_day": 3.0}],
)  # fmt: skip
def test_requests_are_said_in_one_way(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="give requests per day, or users together with requests per user per day"):
        requests_per_month(**given)
    assert requests_per_month(per_day=4.0) == 4.0 * 365.25 / 12
    assert requests_per_month(users=2.0, per_user_per_day=3.0) == 6.0 * 365.25 / 12
