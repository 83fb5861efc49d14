"""Load profiles: the peak that is asked for, percentiles, what a floor costs, and traces counted by the hour."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import floats, log_floats

from beyond_chinchilla.costs.load import FLAT, LoadProfile, period_of
from beyond_chinchilla.errors import InputError

HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0


@st.composite
def profiles(draw: st.DrawFn) -> LoadProfile:
    """Profiles of up to two days, with hours without load among them."""
    loads = draw(st.lists(st.one_of(st.just(0.0), log_floats(1e-3, 1e6)), min_size=1, max_size=48).filter(any))
    return LoadProfile(tuple(loads))


# The profile


@given(profiles())
def test_the_mean_is_one_and_the_order_kept(profile: LoadProfile) -> None:
    assert math.fsum(profile.hours) / len(profile.hours) == pytest.approx(1.0, rel=1e-14)
    assert LoadProfile(profile.hours) == profile
    assert 1.0 - 1e-14 <= profile.peak_to_mean <= len(profile.hours) * (1 + 1e-14)
    assert profile.peak_to_mean == profile.percentile(1.0)


def test_hours_keep_their_order_and_their_ratios() -> None:
    profile = LoadProfile((30.0, 10.0, 20.0))
    assert profile.hours == pytest.approx((1.5, 0.5, 1.0), rel=1e-15)
    assert LoadProfile((3e307, 1e307, 2e307)).hours == pytest.approx(profile.hours, rel=1e-15)
    assert LoadProfile((5e-324,)).hours == (1.0,)


@given(profiles(), floats(0.0, 1.0))
def test_a_percentile_is_the_least_load_not_exceeded_in_that_share(profile: LoadProfile, share: float) -> None:
    load = profile.percentile(share)
    hours = np.array(profile.hours)
    assert (hours <= load).mean() >= share - 1e-9
    below = hours[hours < load]
    assert len(below) == 0 or (hours <= below.max()).mean() < share + 1e-9


def test_percentiles_of_ten_hours() -> None:
    profile = LoadProfile(tuple(range(1, 11)))
    # Of 1 .. 10, mean 5.5
    found = [profile.percentile(share) * 5.5 for share in (0.0, 0.1, 0.11, 0.7, 0.95, 1.0)]
    assert found == pytest.approx([1, 1, 2, 7, 10, 10], rel=1e-14)
    # 0.07 x 100 is 7.000000000000001
    assert LoadProfile(tuple(range(1, 101))).percentile(0.07) * 50.5 == pytest.approx(7, rel=1e-14)


# A stated peak


@given(st.one_of(floats(1.0, 24.0), floats(0.0, 0.01).map(lambda x: 1.0 + x**3)), st.sampled_from([2, 5, 24, 168]))
def test_the_peak_is_as_stated(ratio: float, hours: int) -> None:
    if ratio > hours:
        with pytest.raises(InputError, match=r"peak_to_mean must be from 1 \(flat\) to"):
            LoadProfile.from_peak_to_mean(ratio, hours)
        return
    profile = LoadProfile.from_peak_to_mean(ratio, hours)
    assert profile.peak_to_mean == pytest.approx(ratio, rel=1e-12)
    assert len(profile.hours) == hours
    assert profile.hours[0] == max(profile.hours)
    # A cosine: falls to the middle of the cycle and rises again, alike on both sides.
    assert (np.diff(profile.hours[: hours // 2 + 1]) <= 1e-12).all()
    assert profile.hours[1:] == pytest.approx(profile.hours[:0:-1], rel=1e-9, abs=1e-12)
    if ratio < 12:
        assert min(profile.hours) > 0


def test_the_shape_is_the_exponential_of_a_cosine() -> None:
    logs = np.log(LoadProfile.from_peak_to_mean(2.5).hours)
    cosine = np.cos(2 * np.pi * np.arange(24) / 24)
    k, rest = np.polyfit(cosine, logs, 1)
    assert logs == pytest.approx(k * cosine + rest, abs=1e-12)
    # Many hours are the integral: peak / mean = e^k / I0(k), by the Bessel function.
    assert math.exp(k) / np.i0(k) == pytest.approx(2.5, rel=1e-6)


def test_the_ends_are_flat_and_all_in_one_hour() -> None:
    assert LoadProfile.from_peak_to_mean(1.0) == FLAT == LoadProfile.flat()
    assert FLAT.hours == (1.0,) * 24
    assert LoadProfile.from_peak_to_mean(24.0).hours == pytest.approx((24.0,) + (0.0,) * 23, abs=1e-12)
    assert LoadProfile.from_peak_to_mean(1.0, hours=1).hours == (1.0,)


@given(floats(1.0, 20.0), floats(1.0, 20.0), floats(0.0, 3.0))
def test_a_higher_peak_never_pays_less_above_a_floor(one: float, two: float, floor: float) -> None:
    low, high = sorted((one, two))
    flat, peaked = (float(LoadProfile.from_peak_to_mean(ratio).paid(floor, 1.0)) for ratio in (low, high))
    assert flat <= peaked * (1 + 1e-12)


# What is paid


@given(profiles(), floats(0.0, 1e4), floats(0.0, 1e4))
def test_paid_is_the_mean_of_what_each_hour_holds(profile: LoadProfile, floor: float, mean: float) -> None:
    paid = float(profile.paid(floor, mean))
    by_hand = math.fsum(max(floor, load * mean) for load in profile.hours) / len(profile.hours)
    assert paid == pytest.approx(by_hand, rel=1e-12)
    assert paid >= max(floor, mean) * (1 - 1e-13)


@given(profiles(), floats(0.0, 1e3), floats(0.0, 1e3), floats(0.0, 1e3), floats(0.0, 1.0))
def test_paid_is_convex_and_does_not_fall(
    profile: LoadProfile, floor: float, one: float, two: float, share: float
) -> None:
    low, high = sorted((one, two))
    between = share * low + (1 - share) * high
    at_low, at_between, at_high = profile.paid(floor, np.array([low, between, high])).tolist()
    assert at_low <= at_between * (1 + 1e-12)
    assert at_between <= at_high * (1 + 1e-12)
    assert at_between <= (share * at_low + (1 - share) * at_high) * (1 + 1e-12) + 1e-12


@given(profiles(), floats(0.0, 1e3), floats(0.0, 1e3), floats(0.0, 1e3))
def test_the_active_line_touches_and_is_nowhere_above(
    profile: LoadProfile, floor: float, here: float, there: float
) -> None:
    share, weight = (float(value) for value in profile.active(floor, here))
    assert 0.0 <= share <= 1.0
    assert 0.0 <= weight <= 1.0 + 1e-12
    assert floor * share + here * weight == pytest.approx(float(profile.paid(floor, here)), rel=1e-12)
    assert floor * share + there * weight <= float(profile.paid(floor, there)) * (1 + 1e-12) + 1e-12


def test_paid_takes_arrays_of_months() -> None:
    profile = LoadProfile((1.0, 1.0, 4.0, 2.0))
    floors, means = np.array([0.0, 8.0, 8.0, 1e300, 3.0]), np.array([10.0, 10.0, 0.0, 1e-300, 3.0])
    # By hand: loads 0.5, 0.5, 2, 1 of the mean.
    assert profile.paid(floors, means) == pytest.approx([10.0, 11.5, 8.0, 1e300, 3.75], rel=1e-14)
    assert profile.paid(floors, means).tolist() == [
        float(profile.paid(floor, mean)) for floor, mean in zip(floors, means, strict=True)
    ]
    assert profile.paid(2.0, means[:, None]).shape == (5, 1)
    assert profile.paid(0.0, 0.0) == 0.0


# Traces


def test_a_day_of_requests_is_counted_by_the_hour() -> None:
    counts = np.array([5, 3, 0, 2, *range(1, 20), 7])
    seconds = np.repeat(np.arange(24) * HOUR, counts)
    # The last request of the day closes the trace a second before midnight.
    seconds[-1] = DAY - 1
    profile = LoadProfile.from_timestamps(seconds)
    assert profile.hours == pytest.approx(tuple(counts / counts.mean()), rel=1e-14)
    assert LoadProfile.from_timestamps(seconds[::-1] + 1.7e9) == profile
    stamps = np.datetime64("2024-05-10T00:00:00") + seconds.astype("timedelta64[s]")
    assert LoadProfile.from_timestamps(stamps) == profile
    moments = [datetime(2024, 5, 10, tzinfo=UTC) + timedelta(seconds=float(second)) for second in seconds]
    assert LoadProfile.from_timestamps(moments) == profile


@pytest.mark.parametrize(
    ("span", "period", "length"),
    [
        (119.0, "minute", 2),
        (58 * 60.0, "minute", 58),
        (2.9 * HOUR, "minute", 174),
        (3 * HOUR, "hour", 3),
        (23.5 * HOUR, "hour", 23),
        (DAY - 1, "day", 24),
        (30 * HOUR, "day", 24),
        (3.5 * DAY, "day", 72),
        (WEEK - 1, "week", 168),
        (20 * DAY, "week", 168),
    ],
)
def test_how_long_a_trace_decides_by_what_it_is_counted(span: float, period: str, length: int) -> None:
    assert period_of(span) == period
    assert len(LoadProfile.from_timestamps(np.linspace(0.0, span, 1000)).hours) == length


def test_weeks_are_folded_to_their_mean() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 9, size=3 * 168)
    # Three weeks, and two days more that are no whole week.
    tail = np.array([3 * WEEK + 6.0, 3 * WEEK + 2 * DAY])
    seconds = np.concatenate([np.repeat(np.arange(3 * 168) * HOUR + 5.0, counts), tail])
    folded = counts.reshape(3, 168).sum(axis=0)
    assert LoadProfile.from_timestamps(seconds).hours == pytest.approx(tuple(folded / folded.mean()), rel=1e-14)


def test_a_trace_of_a_known_day_gives_that_day_back() -> None:
    day = LoadProfile.from_peak_to_mean(2.0)
    counts = np.round(np.array(day.hours) * 100_000).astype(int)
    seconds = np.repeat(np.arange(24) * HOUR, counts)
    # A request of the next midnight is of no whole hour.
    found = LoadProfile.from_timestamps(np.append(seconds, DAY))
    assert found.hours == pytest.approx(day.hours, abs=1e-5)


# Errors


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ((), "load profile: 0 hours; give 24 for a day or 168 for a week"),
        ((1.0,) * 8785, "load profile: 8785 hours"),
        ((1.0, -0.5), "load profile: hour 2 must be >= 0 and finite, not -0.5"),
        ((math.nan,), "load profile: hour 1 must be >= 0 and finite, not nan"),
        ((math.inf, 1.0), "load profile: hour 1 must be >= 0 and finite, not inf"),
        ((0.0, 0.0), "load profile: no load in any hour; at least one must be above zero"),
    ],
)
def test_what_is_no_profile_is_refused(hours: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError) as refused:
        LoadProfile(hours)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("ratio", [0.99, 24.1, -1.0, math.nan, math.inf])
def test_a_peak_below_the_mean_or_beyond_one_hour_is_refused(ratio: float) -> None:
    with pytest.raises(InputError) as refused:
        LoadProfile.from_peak_to_mean(ratio)
    expected = f"peak_to_mean must be from 1 (flat) to 24 (all load in one of 24 hours), not {ratio}"
    assert str(refused.value) == expected


@pytest.mark.parametrize("share", [-0.1, 1.01, math.nan])
def test_a_share_of_the_hours_is_from_0_to_1(share: float) -> None:
    with pytest.raises(InputError, match="a share of the hours is from 0 to 1, not"):
        FLAT.percentile(share)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "the trace lasts 0 seconds; a profile needs two minutes"),
        ([5.0], "the trace lasts 0 seconds"),
        ([0.0, 110.0], "the trace lasts 110 seconds"),
        ([0.0, math.nan], "a time is not finite"),
        # A week in milliseconds
        ([0.0, WEEK * 1e3], "times 6.05e+08 seconds apart are of no one trace"),
        ([-1.7e308, 1.7e308], "times inf seconds apart"),
        (np.array(["2024-05-10", "NaT"], dtype="datetime64[s]"), "a time is missing"),
        (np.array([], dtype="datetime64[s]"), "the trace lasts 0 seconds"),
    ],
)
def test_what_is_no_trace_is_refused(times: object, message: str) -> None:
    with pytest.raises(InputError) as refused:
        LoadProfile.from_timestamps(times)  # type: ignore[arg-type]
    assert message in str(refused.value)


# Edges


@pytest.mark.parametrize(
    ("span", "period"),
    [
        (116.5, ""),
        (117.5, "minute"),
        # Three minutes short of an hour the hour counts as whole.
        (2.94 * HOUR, "minute"),
        (2.96 * HOUR, "hour"),
        (23.94 * HOUR, "hour"),
        (23.96 * HOUR, "day"),
        (167.94 * HOUR, "day"),
        (167.96 * HOUR, "week"),
    ],
)
def test_a_trace_just_shorter_and_just_longer(span: float, period: str) -> None:
    assert period_of(span) == period
    if period:
        hours = LoadProfile.from_timestamps(np.linspace(0.0, span, 20_000)).hours
        counted = 60.0 if period == "minute" else HOUR
        filled = int(span / counted + 0.05)
        assert len(hours) == (168 if period == "week" else filled - filled % 24 if period == "day" else filled)


def test_ten_years_are_the_longest_trace() -> None:
    edge = 10 * 8766 * HOUR
    assert len(LoadProfile.from_timestamps([0.0, edge]).hours) == 168
    with pytest.raises(InputError, match="of no one trace; give at most ten years"):
        LoadProfile.from_timestamps([0.0, float(np.nextafter(edge, math.inf))])


def test_as_many_hours_as_a_leap_year_has() -> None:
    assert len(LoadProfile((1.0,) * 8784).hours) == 8784
    assert LoadProfile.from_peak_to_mean(1.0, 8784).peak_to_mean == 1.0
    assert LoadProfile((0.0, 1.0)).hours == (0.0, 2.0)
    assert LoadProfile((5.0,)).hours == (1.0,)
    assert LoadProfile.flat(3).hours == (1.0, 1.0, 1.0)


def test_a_floor_at_just_the_load_of_an_hour_holds_there() -> None:
    share, weight = LoadProfile((1.0, 1.0, 4.0, 2.0)).active(np.array([5.0, 10.0, 20.0, 19.9]), 10.0)
    assert share.tolist() == [0.5, 0.75, 1.0, 0.75]
    assert weight.tolist() == [0.75, 0.5, 0.0, 0.5]
    nothing, all_of_it = LoadProfile((1.0, 1.0, 4.0, 2.0)).active(0.0, 10.0)
    assert (float(nothing), float(all_of_it)) == (0.0, 1.0)
    # Without need the floor is all, at 0 as well.
    assert [float(part) for part in LoadProfile((0.0, 1.0)).active(0.0, 0.0)] == [1.0, 0.0]
