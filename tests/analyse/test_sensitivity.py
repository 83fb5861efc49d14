"""What moves a plan: bars are plans of their own, elasticities meet the envelope theorem, totals tie at break-even."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.levers import levers
from beyond_chinchilla.analyse.sensitivity import LAW, elasticities, sensitivity, tornado
from beyond_chinchilla.analyse.switch import demand_break_evens, switch, switches
from beyond_chinchilla.analyse.variation import changed, unrounded
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.solver import solve

SCENARIOS = Path(__file__).parents[2] / "scenarios"
BY_MONTH = [
    "demand.requests=30B",
    "demand.months=24",
    "serving={hardware: h100-sxm, precision: fp8, price: 2.50 USD/hour, gpus_per_replica: 1}",
]


def _load(name="1B-requests", *changes):
    return bc.load(SCENARIOS / f"{name}.yaml", list(changes))


def _sensitivity(scenario, **options):
    return sensitivity(scenario, solve(scenario), **options)


@pytest.fixture(scope="module")
def certain():
    return _sensitivity(_load())


@pytest.fixture(scope="module")
def uncertain():
    scenario = _load(
        "cost-30B-1.5B-requests",
        "law=besiroglu-2024",
        "demand.requests={median: 1.5B, p90: 6B}",
        "training.price={low: 1.2, mode: 1.5, high: 2.2}",
    )
    return scenario, _sensitivity(scenario, samples=64, chips=["h100-sxm"])


# Tornado


def test_standard_levers_move_by_a_fifth(certain):
    moved = {bar.label: (bar.low, bar.high) for bar in certain.bars}
    assert moved == {
        "target.chinchilla": pytest.approx((24e9, 36e9)),
        "training.mfu": pytest.approx((0.4, 0.6)),
        "training.price": pytest.approx((1.2, 1.8)),
        "serving.decode_mfu": pytest.approx((0.008, 0.012)),
        "demand": pytest.approx((8e8, 1.2e9)),
        "serving.price": pytest.approx((0.88, 1.32)),
        "serving.prefill_mfu": pytest.approx((0.4, 0.6)),
    }
    assert "no input is stated as uncertain: each moves by 20% to both sides" in certain.notes


def test_each_end_is_the_plan_of_its_own_scenario(certain):
    for label, key in (("demand", "demand.requests"), ("training.price", "training.price"), ("target.chinchilla",) * 2):
        bar = next(bar for bar in certain.bars if bar.label == label)
        for value, total, params in (
            (bar.low, bar.low_total, bar.low_params),
            (bar.high, bar.high_total, bar.high_params),
        ):
            plan = solve(_load("1B-requests", f"{key}={value!r}"))
            assert (total, params) == pytest.approx((plan.best.total, plan.best.params), rel=1e-9)
        assert bar.total == solve(_load()).best.total


def test_bars_are_sorted_and_point_the_right_way(certain):
    widths = [bar.width for bar in certain.bars]
    assert widths == sorted(widths, reverse=True)
    dearer = {bar.label for bar in certain.bars if bar.high_total > bar.total > bar.low_total}
    assert dearer == {"target.chinchilla", "training.price", "demand", "serving.price"}
    # A price and a demand that multiply the same term do the same.
    same = [bar for bar in certain.bars if bar.label in ("demand", "serving.price")]
    assert same[0].width == pytest.approx(same[1].width, rel=1e-9)


def test_an_end_without_a_plan_is_said_and_comes_first():
    scenario = _load("1B-requests", "limits.total_cost.max=1.3M USD")
    bars, _ = tornado(scenario, solve(scenario))
    assert (bars[0].width, bars[0].to_dict()["high_total"]) == (math.inf, None)
    assert {bar.label for bar in bars if bar.width == math.inf} == {
        "target.chinchilla",
        "training.price",
        "training.mfu",
    }


def test_a_utilisation_stops_at_one():
    (bar,) = [one for one in levers(_load("1B-requests", "training.mfu=90%")) if one.label == "training.mfu"]
    assert (bar.low, bar.high) == (pytest.approx(0.72), 1.0)


def test_uncertain_inputs_move_between_their_own_ends(uncertain):
    scenario, found = uncertain
    bars = {bar.label: bar for bar in found.bars}
    assert set(bars) == {"demand.requests", "training.price", LAW}
    assert (bars["demand.requests"].low, bars["demand.requests"].high) == pytest.approx((1.5e9 / 4, 6e9))
    assert (bars["training.price"].low, bars["training.price"].high) == (1.2, 2.2)
    for label, key in (("demand.requests", "demand"), ("training.price", "prices")):
        assert bars[label].group == key
    plan = solve(changed(scenario, {("demand", "requests"): 6e9}))
    assert bars["demand.requests"].high_total == pytest.approx(plan.best.total, rel=1e-9)


def test_the_law_is_one_bar_over_its_draws(uncertain):
    _, found = uncertain
    bar = next(bar for bar in found.bars if bar.label == LAW)
    assert bar.low is None
    assert bar.low_total < bar.total < bar.high_total
    # Each end is a plan of a law near the point: a tenth of the draws lie beyond it, so that it is no outlier.
    assert 1.2 < bar.high_total / bar.low_total < 4.0
    assert any("1024 joint draws" in note for note in found.notes)


def test_by_month_every_end_is_solved_anew():
    scenario = _load("1B-requests", *BY_MONTH)
    bars, _ = tornado(scenario, solve(scenario))
    bar = next(bar for bar in bars if bar.label == "demand")
    assert bar.high_total == pytest.approx(solve(scenario.scaled(1.2)).best.total, rel=1e-9)
    assert {"serving.efficiency.prefill", "serving.efficiency.bandwidth"} <= {bar.label for bar in bars}


# Elasticities


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("1B-requests", ()),
        ("flops-13B-2T-tokens", ()),
        ("limited-fleet", ()),
        ("1B-requests", ("start_from={params: 20B, tokens: 1T}",)),
        ("1B-requests", ("limits.params.max=12B", "training.data_cost=0.5")),
        ("1B-requests", BY_MONTH),
    ],
)
def test_differences_meet_the_envelope_theorem(name, changes):
    scenario = _load(name, *changes)
    found = elasticities(scenario, solve(scenario))
    both = [one for one in found if one.envelope is not None]
    assert len(both) >= 2
    for one in both:
        # Central differences of 1% err by a third of its square times a third derivative of order 1.
        assert one.value == pytest.approx(one.envelope, abs=3e-4), one.label
    assert [abs(one.value) for one in found] == sorted((abs(one.value) for one in found), reverse=True)


def test_utilisation_is_a_price_upside_down(certain):
    by_label = {one.label: one.value for one in certain.elasticities}
    assert by_label["training.mfu"] == pytest.approx(-by_label["training.price"], abs=1e-3)
    assert by_label["serving.price"] == pytest.approx(by_label["demand"], rel=1e-9)
    phases = by_label["serving.prefill_mfu"] + by_label["serving.decode_mfu"]
    assert phases == pytest.approx(-by_label["serving.price"], abs=1e-3)


# Break-even


def test_at_the_demand_of_a_break_even_the_plan_saves_that_much():
    scenario = _load()
    found = demand_break_evens(scenario, solve(scenario))
    assert [one.label for one in found] == ["1%", "5%", "10%"]
    for one, share in zip(found, (0.01, 0.05, 0.10), strict=True):
        plan = solve(_load("1B-requests", f"demand.requests={one.value!r}"))
        assert 1.0 - plan.best.total / plan.baseline.total == pytest.approx(share, abs=1e-6)
    assert found[2].sentence == "inference-aware beats Chinchilla-30B by 10% once demand passes 783M requests"


@pytest.mark.parametrize("use", ["training", "serving"])
@pytest.mark.parametrize(
    ("name", "changes", "chip"),
    [
        ("1B-requests", (), "h100-sxm"),
        ("limited-fleet", (), "h200-sxm"),
        ("1B-requests", BY_MONTH, "b200-sxm"),
    ],
)
def test_at_the_price_of_a_switch_the_totals_tie(use, name, changes, chip):
    scenario = _load(name, *changes)
    plan = solve(scenario)
    found = switch(scenario, plan, use, chip)
    at = [
        unrounded(solve(changed(scenario, {(use, "hardware"): chip, (use, "price"): found.value * times})).best)
        for times in (1.0, 0.99, 1.01)
    ]
    assert at[0] == pytest.approx(unrounded(plan.best), rel=1e-6)
    assert at[1] < unrounded(plan.best) < at[2]


def test_where_the_bill_knows_flops_alone_the_price_is_that_of_equal_flops():
    scenario = _load()
    found = switch(scenario, solve(scenario), "training", "h100-sxm")
    # Data sheets: 989 TFLOP/s against 312, at $1.50.
    assert found.value == pytest.approx(1.50 * 989 / 312, rel=1e-12)
    assert found.sentence == (
        "switch from a100-80gb-sxm to h100-sxm for training pays below $4.75/hour; listed at $2.69, it pays"
    )


def test_bandwidth_is_worth_money_where_the_batch_is_chosen():
    """H100 and H200 have equal FLOP/s; the H200 moves 4.8 TB/s instead of 3.35."""
    scenario = _load("1B-requests", *BY_MONTH)
    found = switch(scenario, solve(scenario), "serving", "h200-sxm")
    assert 2.50 < found.value < 2.50 * 2


def test_senseless_switches_are_named_and_left_out():
    scenario = _load("1B-requests", "training.hardware=h100-sxm", "training.price=2")
    found, left_out = switches(scenario, solve(scenario), ["h100-sxm", "b300-sxm"])
    assert [one.label for one in found] == ["b300-sxm", "h100-sxm"]
    assert len(left_out) == 2
    assert "training on h100-sxm is among what the plan chose from" in left_out[0]
    assert left_out[1].startswith("b300-sxm has no int8 peak")


@pytest.mark.parametrize(
    ("changes", "use", "chip", "words"),
    [
        ((), "training", "h1000", "no hardware 'h1000'"),
        (("objective=flops", "demand={tokens: 1T}"), "training", "h100-sxm", "needs objective cost"),
        (
            (*BY_MONTH, "training.price=null", "training.purchase={capex: 25k USD, years: 4, rate: 10%}"),
            "training",
            "b200-sxm",
            "bought, committed or dated chips have no price",
        ),
    ],
)
def test_a_switch_that_has_no_price_is_refused_in_one_line(changes, use, chip, words):
    scenario = _load("1B-requests", *changes)
    with pytest.raises(InputError) as refusal:
        switch(scenario, solve(scenario), use, chip)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


# All of it


def test_json_holds_everything_and_no_nan(certain, uncertain):
    for found in (certain, uncertain[1]):
        record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert [bar["label"] for bar in record["bars"]] == [bar.label for bar in found.bars]
        assert len(record["sobol"]) == len(found.sobol)
        assert [one["sentence"] for one in record["break_evens"]] == [one.sentence for one in found.break_evens]
    assert certain.sobol == ()
    assert {row.group for row in uncertain[1].sobol} == {"demand", "prices", LAW}


def test_the_same_seed_the_same_page(uncertain):
    scenario, found = uncertain
    assert _sensitivity(scenario, samples=64, chips=["h100-sxm"]) == found


def test_a_model_that_goes_on_is_compared_with_itself():
    found = _sensitivity(_load("1B-requests", "start_from={params: 20B, tokens: 1T}"), chips=())
    assert found.break_evens == ()
    assert {bar.low_params for bar in found.bars} == {20e9}


def test_questions_without_a_bill_to_vary():
    with pytest.raises(InputError, match="spends a given budget"):
        _sensitivity(_load("six-limits"))
    with pytest.raises(InputError, match="there is no plan"):
        _sensitivity(_load("1B-requests", "limits.total_cost.max=100k USD"))
