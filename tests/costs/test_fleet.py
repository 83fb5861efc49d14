"""The bill of a fleet: against an hour-by-hour simulation, and its linear pieces against the bill."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import floats, log_floats

from beyond_chinchilla.costs.commitment import Commitment
from beyond_chinchilla.costs.discounting import Discounting
from beyond_chinchilla.costs.fleet import Fleet
from beyond_chinchilla.costs.load import FLAT, LoadProfile
from beyond_chinchilla.errors import InputError

MONTH = 8766 / 12 * 3600.0
PREFILL, DECODE = 2e-4, 2e-3

seconds = st.tuples(log_floats(1e-6, 1e-1), log_floats(1e-5, 1.0))


KINDS = ("none", "gpus", "share", "best")
SIZES = (None, None, 0.5, 0.99, 1.0)


def commitment(kind: str, price: float, amount: float) -> Commitment | None:
    if kind == "none":
        return None
    if kind == "gpus":
        return Commitment(price=price, gpus=1000.0**amount)
    return Commitment(price=price, best=True) if kind == "best" else Commitment(price=price, share=2.0 * amount)


@st.composite
def fleets(
    draw: st.DrawFn,
    *,
    floor: st.SearchStrategy[float] | None = None,
    kinds: tuple[str, ...] = KINDS,
    sizes: tuple[float | None, ...] = SIZES,
    batch_prices: tuple[float | None, ...] = (None, 0.4),
    one_mix: bool | None = None,
) -> Fleet:
    """Fleets of few months and few hours: of any mix of tokens, price, commitment and size."""
    months = draw(st.integers(1, 4))
    amounts = st.lists(st.one_of(st.just(0.0), log_floats(1e8, 1e13)), min_size=months, max_size=months)
    columns = [np.array(draw(amounts)) for _ in range(4)]
    if not any(column.any() for column in columns):
        columns[1][-1] = 1e10
    if draw(st.booleans()) and (columns[0].any() or columns[1].any()):
        columns[2:] = [np.zeros(months), np.zeros(months)]
    if draw(st.booleans()) if one_mix is None else one_mix:
        tokens = sum(columns, np.zeros(months))
        columns = [share * tokens for share in (1.0, 0.3, 0.1, 0.03)]
    hours = draw(st.lists(st.one_of(st.just(0.0), floats(0.1, 3.0)), min_size=1, max_size=6))
    price = np.array(draw(st.lists(floats(0.5, 5.0), min_size=months, max_size=months)))
    batch_price = draw(st.sampled_from(batch_prices))
    return Fleet(
        prefill_tokens=columns[0],
        decode_tokens=columns[1],
        batch_prefill_tokens=columns[2],
        batch_decode_tokens=columns[3],
        profile=LoadProfile((*hours, 1.0)),
        price=price,
        weights=Discounting(rate=draw(floats(0.0, 0.5))).weights(months),
        floor=draw(st.one_of(st.just(0.0), log_floats(0.5, 100.0)) if floor is None else floor),
        fixed_percentile=draw(st.sampled_from(sizes)),
        committed=commitment(
            draw(st.sampled_from(kinds)), draw(floats(0.2, 1.0)) * float(price.min()), draw(floats(0.05, 1.0))
        ),
        batch_price=None if batch_price is None else np.full(months, batch_price),
        replica_gpus=draw(st.sampled_from([1, 2, 8])),
    )


NO_FLOOR = st.just(0.0)


def steady(**changes: object) -> Fleet:
    """A year of the same load, with a peak four times the rest: 23.6 GPUs in the mean at (PREFILL, DECODE)."""
    year = np.ones(12)
    fleet = Fleet(
        prefill_tokens=90e9 * year,
        decode_tokens=22e9 * year,
        batch_prefill_tokens=0.0 * year,
        batch_decode_tokens=0.0 * year,
        profile=LoadProfile((1.0, 1.0, 4.0)),
        price=2.5 * year,
        weights=Discounting(rate=0.1).weights(12),
        replica_gpus=8,
    )
    return replace(fleet, **changes)  # type: ignore[arg-type]


def total(fleet: Fleet, at: tuple[float, float], **how: bool) -> float:
    return sum(fleet.bill(*at, **how).values())


def simulated(fleet: Fleet, at: tuple[float, float], committed: float) -> float:
    """Return the present value [USD] of running the fleet hour by hour with so many GPUs committed."""
    sp, sd = at
    hours = fleet.profile.hours
    interactive = (fleet.prefill_tokens * sp + fleet.decode_tokens * sd) / MONTH
    batch = (fleet.batch_prefill_tokens * sp + fleet.batch_decode_tokens * sd) / MONTH
    shared = fleet.batch_price is None
    size = 0.0
    if fleet.fixed_percentile is not None:
        # The least load that is not exceeded in the share of the hours
        enough = min(u for u in hours if sum(v <= u for v in hours) >= fleet.fixed_percentile * len(hours) - 1e-9)
        for n, b in zip(interactive, batch, strict=True):
            size = max(size, enough * n, n + (b if shared else 0.0))
    paid = 0.0
    for month in range(fleet.months):
        on = []
        for u in hours:
            load = size if fleet.fixed_percentile is not None else u * interactive[month]
            on.append(max(load, committed, fleet.floor))
        busy = interactive[month] + (batch[month] if shared else 0.0)
        extra = max(busy - sum(on) / len(on), 0.0)
        cost = fleet.price[month] * (sum(on) / len(on) + extra - committed)
        if fleet.committed is not None:
            cost += fleet.committed.price * committed
        if fleet.batch_price is not None:
            cost += fleet.batch_price[month] * batch[month]
        paid += fleet.weights[month] * MONTH / 3600.0 * cost
    return paid


def kinks(fleet: Fleet, at: tuple[float, float]) -> list[float]:
    """Return all commitments at which the simulated bill can have its least: it is linear in between."""
    need = (fleet.prefill_tokens * at[0] + fleet.decode_tokens * at[1]) / MONTH
    batch = (fleet.batch_prefill_tokens * at[0] + fleet.batch_decode_tokens * at[1]) / MONTH
    found = [0.0, fleet.floor, *np.outer(need, fleet.profile.hours).ravel(), *need, *(need + batch)]
    share = fleet.fixed_percentile or 1.0
    found += (fleet.profile.percentile(share) * need).tolist()
    # Where batch work just fits into the committed GPUs that are idle: sum over h of max(C, u_h n) = n + nb
    for n, b in zip(need, batch, strict=True):
        loads = np.sort(np.array(fleet.profile.hours) * n)
        for count in range(1, len(loads) + 1):
            level = ((n + b) * len(loads) - loads[count:].sum()) / count
            found.append(max(level, 0.0))
    return found


# Against the simulation


@given(fleets(kinds=("none", "gpus")), seconds)
def test_the_bill_is_that_of_an_hourly_simulation(fleet: Fleet, at: tuple[float, float]) -> None:
    committed = (fleet.committed and fleet.committed.gpus) or 0.0
    assert total(fleet, at) == pytest.approx(simulated(fleet, at, committed), rel=1e-11)


@given(fleets(), seconds, floats(0.2, 1.0))
def test_the_best_commitment_is_the_best_of_all(fleet: Fleet, at: tuple[float, float], price: float) -> None:
    fleet = replace(fleet, committed=Commitment(price=price * float(fleet.price.min()), best=True))
    best = min(simulated(fleet, at, gpus) for gpus in kinks(fleet, at))
    assert total(fleet, at) == pytest.approx(best, rel=1e-11)
    assert simulated(fleet, at, fleet.use(*at).committed) == pytest.approx(best, rel=1e-11)


@given(fleets(floor=NO_FLOOR, kinds=("share",), batch_prices=(None,), one_mix=True), seconds)
def test_a_share_of_one_mix_is_that_share_of_the_mean_need(fleet: Fleet, at: tuple[float, float]) -> None:
    assert fleet.committed is not None
    assert fleet.committed.share is not None
    gpus = fleet.committed.share * float(fleet.need(*at).mean())
    assert fleet.use(*at).committed == pytest.approx(gpus, rel=1e-12)
    assert total(fleet, at) == pytest.approx(simulated(fleet, at, gpus), rel=1e-11)


def test_a_share_below_the_floor_is_taken_of_the_need_that_costs_least() -> None:
    # 2 GPUs of need under a floor of 10, on demand at 2.5, committed at 1.5. Of a flat load, every need up to 10 GPUs
    # costs 10 x 2.5 - C x 1.0 an hour: least at 10, where 60% are 6 GPUs.
    fleet = steady(profile=FLAT, floor=10.0, committed=Commitment(price=1.5, share=0.6))
    mean = float(fleet.need(PREFILL, DECODE)[0])
    at = (PREFILL * 2.0 / mean, DECODE * 2.0 / mean)
    hourly = 4 * 2.5 + 6 * 1.5
    assert total(fleet, at) == pytest.approx(hourly * 730.5 * float(fleet.weights.sum()), rel=1e-12)
    assert fleet.use(*at).committed == pytest.approx(6.0)
    assert fleet.piece(*at)[1:] == (0.0, 0.0)


@given(fleets(), seconds, st.lists(st.tuples(floats(0.0, 3.0), floats(0.0, 3.0)), min_size=4, max_size=4))
def test_a_share_is_never_dearer_than_as_stated_nor_than_at_a_larger_need(
    fleet: Fleet, at: tuple[float, float], more: list[tuple[float, float]]
) -> None:
    fleet = replace(fleet, committed=Commitment(price=0.4, share=0.7))
    paid = total(fleet, at)
    for raised in [(0.0, 0.0), *more]:
        there = (at[0] * math.exp(raised[0]), at[1] * math.exp(raised[1]))
        shared = (
            0.0
            if fleet.batch_price is None
            else (fleet.batch_prefill_tokens * there[0] + fleet.batch_decode_tokens * there[1]) / MONTH
        )
        gpus = 0.7 * float((fleet.need(*there) - shared).mean())
        assert paid <= simulated(fleet, there, gpus) * (1 + 1e-11)


# Labels


@given(fleets(), seconds, st.booleans(), st.booleans())
def test_busy_and_idle_add_up_to_what_the_months_cost(
    fleet: Fleet, at: tuple[float, float], whole: bool, nominal: bool
) -> None:
    bill = fleet.bill(*at, whole_replicas=whole, nominal=nominal)
    use = fleet.use(*at, whole_replicas=whole)
    weights = np.ones(fleet.months) if nominal else fleet.weights
    assert list(bill) == ["prefill", "decode", "idle"]
    assert min(bill.values()) >= 0
    assert sum(bill.values()) == pytest.approx(float(weights @ use.cost), rel=1e-12)
    assert (use.on + use.spot >= use.need * (1 - 1e-12)).all()


def test_idle_hours_are_paid_at_the_price_of_the_busy_ones() -> None:
    # On a floor of 16: 23.576 GPUs of load in hours of 0.5, 0.5, 2: 16, 16 and 47.15 are on, 2.808 idle in the mean
    fleet = steady(floor=16.0, weights=np.ones(12))
    bill = fleet.bill(PREFILL, DECODE)
    need = (90e9 * PREFILL + 22e9 * DECODE) / MONTH
    on = (16 + 16 + 2 * need) / 3
    hourly = 12 * 730.5 * 2.5
    assert bill["prefill"] == pytest.approx(90e9 * PREFILL / MONTH * hourly, rel=1e-12)
    assert bill["decode"] == pytest.approx(22e9 * DECODE / MONTH * hourly, rel=1e-12)
    assert bill["idle"] == pytest.approx((on - need) * hourly, rel=1e-12)


@given(fleets(), seconds)
def test_without_discounting_the_present_value_is_nominal(fleet: Fleet, at: tuple[float, float]) -> None:
    fleet = replace(fleet, weights=Discounting(rate=0.0).weights(fleet.months))
    assert fleet.bill(*at) == fleet.bill(*at, nominal=True)


@given(fleets(), seconds)
def test_discounting_is_never_dearer(fleet: Fleet, at: tuple[float, float]) -> None:
    assert total(fleet, at) <= total(fleet, at, nominal=True) * (1 + 1e-12)


# Pieces


@given(fleets(), seconds, st.lists(seconds, min_size=5, max_size=5))
def test_a_piece_is_the_bill_at_its_point_and_nowhere_above(
    fleet: Fleet, at: tuple[float, float], others: list[tuple[float, float]]
) -> None:
    constant, prefill, decode = fleet.piece(*at)
    assert prefill >= 0
    assert decode >= 0
    assert constant + fleet.shift >= 0
    here = total(fleet, at)
    assert constant + prefill * at[0] + decode * at[1] == pytest.approx(here, rel=1e-11)
    near = [(at[0] * a, at[1] * b) for a, b in ((1.01, 1.0), (0.99, 1.0), (1.0, 1.01), (1.0, 0.99), (1e4, 1e4))]
    for there in [*others, *near]:
        paid = total(fleet, there)
        below = constant + prefill * there[0] + decode * there[1]
        assert below <= paid + 1e-11 * (paid + abs(constant) + here)


@given(fleets(), st.lists(seconds, min_size=1, max_size=5))
def test_many_points_at_once_cost_what_each_costs(fleet: Fleet, points: list[tuple[float, float]]) -> None:
    found = fleet.bills(*np.array(points).T)
    assert found.tolist() == pytest.approx([total(fleet, at) for at in points], rel=1e-11)
    assert fleet.bills(*np.array(points[:1]).T).tolist() == found[:1].tolist()


@given(fleets(), seconds, seconds, floats(0.0, 1.0))
def test_the_bill_is_convex(fleet: Fleet, first: tuple[float, float], last: tuple[float, float], t: float) -> None:
    between = (first[0] + t * (last[0] - first[0]), first[1] + t * (last[1] - first[1]))
    chord = (1 - t) * total(fleet, first) + t * total(fleet, last)
    assert total(fleet, between) <= chord * (1 + 1e-11)


@given(fleets(floor=NO_FLOOR, kinds=("none", "share", "best")), seconds, log_floats(1e-3, 1e3))
def test_without_floor_and_fixed_commitment_the_bill_is_proportional(
    fleet: Fleet, at: tuple[float, float], k: float
) -> None:
    assert total(fleet, (k * at[0], k * at[1])) == pytest.approx(k * total(fleet, at), rel=1e-11)
    assert fleet.piece(*at)[0] == pytest.approx(0.0, abs=1e-9 * total(fleet, at))


@given(
    st.one_of(
        fleets(floor=NO_FLOOR, kinds=("none", "share", "best"), one_mix=True),
        fleets(floor=NO_FLOOR, kinds=("none",), sizes=(None,)),
    ),
    seconds,
    seconds,
)
def test_a_linear_bill_has_one_piece(fleet: Fleet, at: tuple[float, float], there: tuple[float, float]) -> None:
    assert fleet.is_linear
    constant, prefill, decode = fleet.piece(*at)
    assert constant == 0.0
    assert prefill * there[0] + decode * there[1] == pytest.approx(total(fleet, there), rel=1e-10)


def test_what_is_linear() -> None:
    growing = np.linspace(1e9, 2e9, 12)
    assert steady().is_linear
    assert steady(prefill_tokens=growing).is_linear
    assert steady(fixed_percentile=1.0).is_linear
    assert steady(prefill_tokens=growing, fixed_percentile=1.0).is_linear
    assert steady(committed=Commitment(price=1.0, best=True)).is_linear
    assert not steady(floor=8.0).is_linear
    assert not steady(committed=Commitment(price=1.0, gpus=8)).is_linear
    assert not steady(prefill_tokens=growing, committed=Commitment(price=1.0, best=True)).is_linear
    assert not steady(prefill_tokens=growing, decode_tokens=growing[::-1], fixed_percentile=1.0).is_linear


def test_the_shift_is_no_larger_than_it_must_be() -> None:
    fleet = steady(committed=Commitment(price=1.0, gpus=100))
    assert fleet.shift == pytest.approx(730.5 * 100 * 1.5 * float(fleet.weights.sum()), rel=1e-12)
    assert fleet.piece(1e3, 1e3)[0] == pytest.approx(-fleet.shift, rel=1e-9)
    # Also where the bill is so large that the constant is below its last digit.
    assert fleet.piece(1e18, 1e18)[0] == pytest.approx(-fleet.shift, rel=1e-12)
    assert steady(floor=8.0).shift == steady(committed=Commitment(price=1.0, share=0.5)).shift == 0.0


@given(fleets(), seconds, log_floats(0.1, 10.0))
def test_demand_is_worth_its_slope(fleet: Fleet, at: tuple[float, float], k: float) -> None:
    def scaled(factor: float) -> Fleet:
        return replace(
            fleet,
            prefill_tokens=factor * fleet.prefill_tokens,
            decode_tokens=factor * fleet.decode_tokens,
            batch_prefill_tokens=factor * fleet.batch_prefill_tokens,
            batch_decode_tokens=factor * fleet.batch_decode_tokens,
        )

    # Convex in the scale of demand: the slope at 1 supports it everywhere.
    here, there = total(fleet, at), total(scaled(k), at)
    assert there >= here + fleet.demand_slope(*at) * (k - 1) - 1e-10 * (here + there)
    # More demand is never cheaper.
    assert (there - here) * (k - 1) >= -1e-11 * here * abs(k - 1)


# What must cost more


@given(fleets(sizes=(None, 1.0)), seconds)
def test_a_peak_is_never_cheaper_than_the_same_load_flat(fleet: Fleet, at: tuple[float, float]) -> None:
    flat = replace(fleet, profile=LoadProfile.flat(len(fleet.profile.hours)))
    half = replace(fleet, profile=LoadProfile(tuple(0.5 + 0.5 * u for u in fleet.profile.hours)))
    assert total(flat, at) <= total(half, at) * (1 + 1e-11)
    assert total(half, at) <= total(fleet, at) * (1 + 1e-11)


@given(fleets(), seconds)
def test_whole_replicas_are_never_cheaper(fleet: Fleet, at: tuple[float, float]) -> None:
    assert total(fleet, at, whole_replicas=True) >= total(fleet, at) * (1 - 1e-12)


@given(fleets(), seconds)
def test_whole_replicas_are_whole(fleet: Fleet, at: tuple[float, float]) -> None:
    use = fleet.use(*at, whole_replicas=True)
    hourly = fleet.replica_gpus / len(fleet.profile.hours)
    assert use.peak / fleet.replica_gpus == pytest.approx(np.round(use.peak / fleet.replica_gpus), abs=1e-6)
    for values in (use.on, use.spot):
        assert values / hourly == pytest.approx(np.round(values / hourly), rel=1e-8, abs=1e-8)


def test_replicas_are_rounded_up_hour_by_hour() -> None:
    # Loads of 11.79, 11.79 and 47.15 GPUs on replicas of 8: 16, 16 and 48
    use = steady().use(PREFILL, DECODE, whole_replicas=True)
    assert use.on == pytest.approx(np.full(12, 80 / 3), rel=1e-12)
    assert use.peak == pytest.approx(np.full(12, 48.0))
    assert steady(fixed_percentile=1.0).use(PREFILL, DECODE, whole_replicas=True).on == pytest.approx(np.full(12, 48.0))


@given(log_floats(1e-9, 1e-1))
def test_a_lone_replica_costs_its_hours(k: float) -> None:
    fleet = steady(floor=8.0)
    hours = 8 * 730.5 * 2.5 * float(fleet.weights.sum())
    busy = fleet.need(k * PREFILL, k * DECODE)
    assert busy.max() * fleet.profile.peak_to_mean < 8.0
    assert total(fleet, (k * PREFILL, k * DECODE)) == pytest.approx(hours, rel=1e-12)
    assert total(fleet, (k * PREFILL, k * DECODE), whole_replicas=True) == pytest.approx(hours, rel=1e-12)
    assert fleet.piece(k * PREFILL, k * DECODE) == (pytest.approx(hours, rel=1e-12), 0.0, 0.0)


@given(fleets(sizes=(None, 1.0), batch_prices=(None,)), seconds, floats(0.0, 1.0))
def test_without_a_latency_target_work_is_never_dearer(fleet: Fleet, at: tuple[float, float], share: float) -> None:
    # A percentile below the peak leaves out busy hours of interactive work, but no batch work.
    moved = replace(
        fleet,
        prefill_tokens=(1 - share) * fleet.prefill_tokens,
        decode_tokens=(1 - share) * fleet.decode_tokens,
        batch_prefill_tokens=fleet.batch_prefill_tokens + share * fleet.prefill_tokens,
        batch_decode_tokens=fleet.batch_decode_tokens + share * fleet.decode_tokens,
    )
    assert total(moved, at) <= total(fleet, at) * (1 + 1e-11)


@given(fleets(kinds=("gpus", "share")), seconds)
def test_the_best_commitment_beats_any_other(fleet: Fleet, at: tuple[float, float]) -> None:
    assert fleet.committed is not None
    best = replace(fleet, committed=Commitment(price=fleet.committed.price, best=True))
    assert total(best, at) <= total(fleet, at) * (1 + 1e-11)
    assert total(best, at) <= total(replace(fleet, committed=None), at) * (1 + 1e-11)


# Peaks


@given(fleets(kinds=("none", "gpus", "best")), seconds)
def test_the_peaks_are_the_gpus_on_at_once(fleet: Fleet, at: tuple[float, float]) -> None:
    asked = max(peak.prefill * at[0] + peak.decode * at[1] for peak in fleet.peaks)
    always = max(fleet.floor, (fleet.committed.gpus if fleet.committed else None) or 0.0)
    assert fleet.peak_need(*at) == pytest.approx(max(asked, always), rel=1e-11)
    # None can be left out: each is the largest somewhere, or at least exceeds the others in one of the two.
    for peak in fleet.peaks:
        others = [other for other in fleet.peaks if other is not peak]
        assert all(peak.prefill > other.prefill or peak.decode > other.decode for other in others)


def test_the_peak_month_is_named() -> None:
    growing = 1e9 * np.arange(1.0, 13.0)
    fleet = steady(prefill_tokens=growing, decode_tokens=growing[::-1])
    assert [peak.month for peak in fleet.peaks] == list(range(11, -1, -1))
    assert fleet.peaks[0].prefill == pytest.approx(2 * 12e9 / MONTH, rel=1e-12)
    assert [peak.month for peak in steady(decode_tokens=growing).peaks] == [11]
    assert steady(decode_tokens=growing, fixed_percentile=0.5).peaks[0].decode == pytest.approx(12e9 / MONTH)


# The table


@given(fleets(), seconds, st.booleans())
def test_the_table_adds_up_to_the_bill(fleet: Fleet, at: tuple[float, float], whole: bool) -> None:
    labels = [f"month {number}" for number in range(fleet.months)]
    rows = fleet.table(*at, labels=labels, requests=[1e6] * fleet.months, whole_replicas=whole)
    assert [row.month for row in rows] == labels
    assert sum(row.cost for row in rows) == pytest.approx(
        total(fleet, at, whole_replicas=whole, nominal=True), rel=1e-12
    )
    paid = total(fleet, at, whole_replicas=whole)
    assert sum(row.present_value for row in rows) == pytest.approx(paid, rel=1e-12)
    assert rows[-1].cumulative_present_value == pytest.approx(paid, rel=1e-12)
    for row in rows:
        on = row.committed + row.on_demand_mean + row.spot_mean
        assert row.gpu_hours == pytest.approx(730.5 * on, rel=1e-9)
        assert row.price * row.gpu_hours == pytest.approx(row.cost, rel=1e-12)
        assert (1 - row.idle_share) * on == pytest.approx(row.need_mean, rel=1e-9, abs=1e-9 * on)
        assert row.on_demand_peak >= row.on_demand_mean * (1 - 1e-12)


def test_a_month_of_the_table() -> None:
    fleet = steady(committed=Commitment(price=1.5, gpus=16), floor=8.0)
    row = fleet.table(PREFILL, DECODE, labels=[str(m) for m in range(12)], requests=[1e6] * 12)[1]
    need = (90e9 * PREFILL + 22e9 * DECODE) / MONTH
    on = (16 + 16 + 2 * need) / 3
    expected = {
        "requests": 1e6,
        "prefill_tokens": 90e9,
        "decode_tokens": 22e9,
        "need_mean": need,
        "need_peak": 2 * need,
        "committed": 16.0,
        "on_demand_mean": on - 16,
        "on_demand_peak": 2 * need - 16,
        "spot_mean": 0.0,
        "idle_share": 1 - need / on,
        "gpu_hours": 730.5 * on,
        "price": (1.5 * 16 + 2.5 * (on - 16)) / on,
        "cost": 730.5 * (1.5 * 16 + 2.5 * (on - 16)),
    }
    expected["present_value"] = expected["cost"] * 1.1 ** (-1.5 / 12)
    expected["cumulative_present_value"] = expected["cost"] * (1.1 ** (-0.5 / 12) + 1.1 ** (-1.5 / 12))
    assert row.month == "1"
    assert {key: value for key, value in row.to_dict().items() if key != "month"} == pytest.approx(expected, rel=1e-12)


def test_batch_at_its_own_price_leaves_the_fleet_alone() -> None:
    year = np.ones(12)
    fleet = steady(batch_decode_tokens=11e9 * year, batch_price=1.2 * year, weights=year)
    interactive = steady(weights=year)
    apart = 11e9 * DECODE / 3600 * 12 * 1.2
    assert total(fleet, (PREFILL, DECODE)) == pytest.approx(total(interactive, (PREFILL, DECODE)) + apart, rel=1e-12)
    assert fleet.use(PREFILL, DECODE).spot == pytest.approx(11e9 * DECODE / MONTH * year)
    assert fleet.peaks == interactive.peaks


# Speed


def test_five_years_of_weeks_are_quick() -> None:
    rng = np.random.default_rng(0)
    months = np.linspace(1.0, 3.0, 60)
    fleet = Fleet(
        prefill_tokens=90e9 * months,
        decode_tokens=22e9 * months * rng.uniform(0.9, 1.1, 60),
        batch_prefill_tokens=9e9 * months,
        batch_decode_tokens=2e9 * months,
        profile=LoadProfile(tuple(rng.uniform(0.2, 2.0, 168))),
        price=np.full(60, 2.5),
        weights=np.ones(60),
        floor=8.0,
        committed=Commitment(price=1.7, gpus=30),
    )
    fleet.bill(PREFILL, DECODE)
    best = math.inf
    for _ in range(200):
        start = time.process_time()
        fleet.bill(PREFILL, DECODE)
        best = min(best, time.process_time() - start)
    # 0.17 ms on one core of a 2-core machine; several times that on a busy one.
    assert best < 1e-3


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": np.ones(11)}, "price must have one value for each of 12 months"),
        ({"decode_tokens": np.full(12, -1.0)}, "decode_tokens must be >= 0 and finite in every month"),
        ({"decode_tokens": np.full(12, math.inf)}, "decode_tokens must be >= 0 and finite"),
        ({"price": np.zeros(12)}, "price must be > 0 and finite in every month"),
        ({"batch_price": np.full(12, math.nan)}, "batch_price must be > 0 and finite"),
        ({"prefill_tokens": np.zeros(12), "decode_tokens": np.zeros(12)}, "no tokens in any month"),
        ({"floor": -1.0}, "floor must be >= 0 GPUs"),
        ({"fixed_percentile": 99.0}, "fixed must be above 0% and at most 100% of the hours, not 99.0"),
        ({"replica_gpus": 0}, "a replica has at least 1 GPU, not 0"),
        ({"floor": 16.0, "ceiling": 8.0}, "ceiling of 8 GPUs is below the 16 that are always on"),
        ({"ceiling": math.nan}, "ceiling must be above 0 GPUs and finite"),
        ({"committed": Commitment(price=3.0, share=0.5)}, "dearer than 2.5 on demand"),
    ],
)
def test_what_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        steady(**changes)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as error:
        steady(price=np.zeros(12), floor=-1.0, replica_gpus=0)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize("at", [(-1.0, 1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_seconds_are_finite(at: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="GPU-seconds per token must be >= 0 and finite"):
        steady().bill(*at)


def test_arrays_are_copied() -> None:
    price = np.full(12, 2.5)
    fleet = steady(price=price)
    price[:] = 100.0
    assert fleet.price.max() == 2.5
    with pytest.raises(ValueError, match="read-only"):
        fleet.price[0] = 1.0


# What may be on, and how much of it is asked for


def test_a_scaled_fleet_keeps_its_floor_and_its_prices() -> None:
    year = np.ones(12)
    fleet = steady(floor=16.0, batch_prefill_tokens=3e9 * year, batch_decode_tokens=1e9 * year)
    twice = fleet.scaled(2.0)
    for name in ("prefill_tokens", "decode_tokens", "batch_prefill_tokens", "batch_decode_tokens"):
        assert getattr(twice, name).tolist() == (2.0 * getattr(fleet, name)).tolist()
    assert (twice.floor, twice.price.tolist()) == (16.0, fleet.price.tolist())
    assert twice.need(PREFILL, DECODE) == pytest.approx(2.0 * fleet.need(PREFILL, DECODE), rel=1e-14)
    for factor in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match=f"^fleet: the factor must be above zero and finite, not {factor}$"):
            fleet.scaled(factor)


def test_months_in_proportion_to_what_each_may_have() -> None:
    two = np.ones(2)
    fleet = Fleet(
        prefill_tokens=np.array([1e10, 4e10]), decode_tokens=np.array([1e9, 1e9]), batch_prefill_tokens=0 * two,
        batch_decode_tokens=0 * two, profile=LoadProfile((1.0, 3.0)), price=two, weights=two,
    )  # fmt: skip
    rates = np.array([[1e10, 1e9], [4e10, 1e9]]) / MONTH
    # 3 of 1 and 3 is 1.5 times the mean. Of equal bounds the second month exceeds the first in both.
    assert fleet.peaks_within(np.array([50.0, 50.0])) == (
        (1, pytest.approx(1.5 * rates[1, 0]), pytest.approx(1.5 * rates[1, 1])),
    )
    # With ten times the bound it is the first month that is short of what it writes.
    found = fleet.peaks_within(np.array([50.0, 100.0]))
    assert [peak.month for peak in found] == [1, 0]
    assert found[0][1:] == (pytest.approx(0.75 * rates[1, 0]), pytest.approx(0.75 * rates[1, 1]))
    assert found[1][1:] == (pytest.approx(1.5 * rates[0, 0]), pytest.approx(1.5 * rates[0, 1]))
    fixed = replace(fleet, fixed_percentile=1.0)
    assert fixed.peaks_within(np.array([50.0, 100.0])) == fleet.peaks_within(np.array([50.0, 50.0]))
    # Half of the hours are at the mean's half; the mean itself is asked for all the same.
    half = replace(fleet, fixed_percentile=0.5)
    assert half.peaks[0].prefill == pytest.approx(rates[1, 0])


def test_the_piece_of_a_month_by_hand() -> None:
    # One month: hours of 1/2 and 3/2 of the mean; a floor of 10 GPUs holds in the first of them.
    once = np.ones(1)
    fleet = Fleet(
        prefill_tokens=MONTH * once, decode_tokens=2.0 * MONTH * once, batch_prefill_tokens=0 * once,
        batch_decode_tokens=0 * once, profile=LoadProfile((1.0, 3.0)), price=2.0 * once, weights=0.5 * once, floor=10.0,
    )  # fmt: skip
    # 4 + 2 x 4 = 12 GPUs in the mean: 10 and 18 are on, at a USD an hour.
    assert fleet.need(4.0, 4.0).tolist() == pytest.approx([12.0])
    constant, prefill, decode = fleet.piece(4.0, 4.0)
    assert (constant, prefill, decode) == pytest.approx((730.5 * 5.0, 730.5 * 0.75, 730.5 * 1.5), rel=1e-12)
    bill = fleet.bill(4.0, 4.0)
    assert bill == pytest.approx({"prefill": 730.5 * 4, "decode": 730.5 * 8, "idle": 730.5 * 2}, rel=1e-12)
    assert fleet.demand_slope(4.0, 4.0) == pytest.approx(730.5 * 9.0, rel=1e-12)
    assert fleet.bill(4.0, 4.0, nominal=True) == pytest.approx({k: 2.0 * v for k, v in bill.items()}, rel=1e-12)
    assert fleet.peak_need(4.0, 4.0) == pytest.approx(18.0)
    assert fleet.peak_need(0.4, 0.4) == 10.0
    # In replicas of 8 the two hours hold 16 and 24.
    whole = replace(fleet, replica_gpus=8).bill(4.0, 4.0, whole_replicas=True)
    assert sum(whole.values()) == pytest.approx(730.5 * 20.0, rel=1e-12)
