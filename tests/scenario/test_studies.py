"""Scenarios by month, solved: chips to choose from, latency targets, fleets, launches; and what cannot be served."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import changed

import beyond_chinchilla as bc
from beyond_chinchilla.errors import InputError, ScenarioError
from beyond_chinchilla.optimise.choices import solve_choices
from beyond_chinchilla.optimise.locate import verify
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.scenario.load import Scenario

TRAINING = {"hardware": "h100-sxm", "precision": "bf16", "price": 2.5, "mfu": "40%"}
CHAT: dict[str, Any] = {
    "name": "test",
    "law": "sardana-2024",
    "target": {"chinchilla": "13B"},
    "demand": {
        "requests_per_month": "400M",
        "growth_per_month": "3%",
        "months": 12,
        "input_tokens": 900,
        "output_tokens": 220,
        "cached_share": "30%",
        "peak_to_mean": 2.5,
    },
    "discounting": {"rate": "10%"},
    "training": TRAINING,
    "serving": {
        "hardware": "h100-sxm",
        "precision": "fp8",
        "gpus_per_replica": 1,
        "price": 2.5,
    },
    "limits": {"time_per_output_token": {"max": "6 ms"}},
}
FIXED = {"hardware": "h100-sxm", "precision": "fp8", "price": 2.0, "prefill_mfu": "50%", "decode_mfu": "5%"}


def solved(tree: dict[str, Any] = CHAT, **changes: Any) -> Plan:
    """Return the plan of a changed scenario, whose total is its terms: objective and rounding."""
    stated = Scenario.from_dict(changed(tree, **changes))
    plan = bc.solve(stated)
    assert plan.best is not None, plan.warnings
    assert plan.best.total == pytest.approx(sum(plan.best.terms.values()), rel=1e-12)
    return plan


def total(plan: Plan) -> float:
    """Return what the program minimised: the bill before replicas are rounded up."""
    assert plan.best is not None
    return plan.best.total - plan.best.terms.get("rounding", 0.0)


def mistake(tree: dict[str, Any] = CHAT, **changes: Any) -> str:
    """Return the one thing that is said about a changed scenario."""
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(changed(tree, **changes))
    (found,) = caught.value.mistakes
    return found.removeprefix("test: ")


# The three that planners ask for


def test_a_chat_with_a_latency_target_takes_the_cheapest_of_three_chips():
    chips = {"h100-sxm": 2.5, "h200-sxm": 3.5, "b200-sxm": 5.0}
    plan = solved(serving__hardware=list(chips), serving__precision=["bf16", "fp8"], serving__price=chips)
    assert plan.best is not None
    assert {row.label for row in plan.choices} == {f"{chip} {each} x 1" for chip in chips for each in ("bf16", "fp8")}
    totals = [row.total for row in plan.choices if row.total is not None]
    assert totals == sorted(totals)
    assert plan.choices[0].label == plan.choice
    assert plan.best.total == totals[0]
    # Whatever wins costs as much when it stands alone.
    chip, precision, _, _ = plan.choice.split()
    alone = solved(serving__hardware=chip, serving__precision=precision, serving__price=chips[chip])
    assert alone.best is not None
    assert alone.best.total == pytest.approx(plan.best.total, rel=1e-9)
    assert {"training", "prefill", "decode", "idle"} <= set(plan.best.terms)


def test_a_batch_summariser_has_no_idle_hours():
    demand = {"requests": "100M", "months": 2, "input_tokens": 2588, "output_tokens": 291, "batch_share": "100%"}
    plan = solved(demand=demand, limits=None)
    assert plan.best is not None
    assert plan.best.terms.get("idle", 0.0) == 0.0
    peaky = solved(demand={**demand, "batch_share": 0, "peak_to_mean": 3}, limits=None)
    assert total(peaky) > total(plan)


def test_an_owned_cluster_with_a_fixed_fleet_pays_for_its_idle_hours(tmp_path: Path):
    purchase = {"capex": "40k USD", "years": 4, "rate": "10%", "power": "1.3 kW", "electricity": "0.08 USD/kWh"}
    changes = {"serving__price": None, "serving__purchase": purchase}
    plan = solved(**changes, serving__fleet={"fixed": "99%"}, training__price=None, training__purchase=purchase)
    assert plan.best is not None
    # 2.5 times the mean load at the peak: more than half of the fixed fleet is idle.
    serving = plan.best.terms["prefill"] + plan.best.terms["decode"] + plan.best.terms["idle"]
    assert plan.best.terms["idle"] > 0.5 * serving
    changes |= {"training__price": None, "training__purchase": purchase}
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(changed(CHAT, **changes)), encoding="utf-8")
    auto = bc.solve(bc.load(path))
    assert total(auto) < total(plan)
    assert total(bc.solve(bc.load(path, ["serving.fleet.fixed=99%"]))) == total(plan)


# At a fixed utilisation


def test_an_even_spread_at_no_interest_is_the_bill_for_life():
    life = {"requests": "4.8B", "input_tokens": 900, "output_tokens": 220}
    tree = changed(CHAT, serving=FIXED, limits=None, discounting=None, demand=life)
    plain = solved(tree)
    monthly = solved(tree, demand__months=12)
    assert plain.best is not None
    assert monthly.best is not None
    assert monthly.best.params == pytest.approx(plain.best.params, rel=1e-6)
    for label in ("training", "prefill", "decode"):
        assert monthly.best.terms[label] == pytest.approx(plain.best.terms[label], rel=1e-6)
    assert total(monthly) == pytest.approx(total(plain), rel=1e-9)


def test_discounting_at_zero_is_the_nominal_bill():
    plan = solved(discounting={"rate": 0}, limits=None)
    assert plan.best is not None
    assert plan.best.nominal_terms is not None
    for label, usd in plan.best.nominal_terms.items():
        assert plan.best.terms[label] == pytest.approx(usd, rel=1e-12)
    later = solved(discounting={"rate": "20%"}, limits=None)
    assert total(later) < total(plan)


# Properties


@settings(max_examples=3)
@given(st.floats(1.0, 5.0), st.floats(1.0, 2.0))
def test_a_higher_peak_is_not_cheaper(low: float, factor: float):
    bills = [total(solved(limits=None, demand__peak_to_mean=peak)) for peak in (low, low * factor)]
    assert bills[1] >= bills[0] * (1 - 1e-7)


@settings(max_examples=3)
@given(st.floats(8.0, 40.0), st.floats(1.0, 2.0))
def test_a_looser_latency_is_not_dearer(tight: float, factor: float):
    bills = [total(solved(limits={"time_per_output_token": {"max": f"{ms} ms"}})) for ms in (tight, tight * factor)]
    assert bills[1] <= bills[0] * (1 + 1e-7)


@settings(max_examples=3)
@given(st.floats(1200.0, 30_000.0), st.floats(1.0, 3.0))
def test_a_longer_context_is_not_cheaper(short: float, factor: float):
    bills = [total(solved(serving__context=context)) for context in (short, short * factor)]
    assert bills[1] >= bills[0] * (1 - 1e-7)


def test_a_committed_base_is_not_dearer_and_the_best_one_is_cheapest():
    bills = [
        total(solved(limits=None, serving__commitment=commitment))
        for commitment in (None, {"price": 1.5, "share": "40%"}, {"price": 1.5, "best": True}, {"price": 1.5})
    ]
    assert bills[0] > bills[1] > bills[2]
    assert bills[3] == bills[2]


# Limits


def test_latency_and_memory_are_limits_with_a_price():
    plan = solved()
    rows = {row.label: row for row in plan.limits}
    assert set(rows) == {"time_per_output_token", "serving_hbm"}
    latency = rows["time_per_output_token"]
    assert latency.binding
    assert latency.price_unit == "USD per ms"
    step = 1e-3
    bills = [total(solved(limits={"time_per_output_token": {"max": 6 + sign * step}})) for sign in (-1, 1)]
    assert latency.shadow_price == pytest.approx((bills[0] - bills[1]) / (2 * step), rel=1e-3)


def test_limits_on_spend_and_on_first_tokens_are_kept():
    free = solved(limits=None)
    assert free.best is not None
    first = Scenario.from_dict(CHAT).services()[0][1].use.time_to_first_token()
    point = {"params": free.best.params, **free.best.variables}
    stated = {"time_to_first_token": {"max": 0.9 * float(first.value(point))}, "total_cost": {"max": 2 * total(free)}}
    plan = solved(limits=stated)
    rows = {row.label: row for row in plan.limits}
    assert rows["time_to_first_token"].binding
    assert rows["total_cost"].value == pytest.approx(total(plan), rel=1e-9)
    assert total(plan) > total(free)


def test_a_fleet_may_be_bounded_at_its_peak():
    free = solved(limits=None)
    assert free.best is not None
    ((_, service),) = Scenario.from_dict(changed(CHAT, limits=None)).services()
    point = {"params": free.best.params, **free.best.variables}
    peak = max(float(quantity.value(point)) for quantity in service.peaks)
    most = int(0.95 * peak)
    for changes in ({"limits": {"gpus": {"max": most}}}, {"limits": None, "serving__fleet": {"ceiling": most}}):
        plan = solved(**changes)
        (row,) = [row for row in plan.limits if row.label == "gpus"]
        assert row.binding
        assert row.bound == most
        assert total(plan) > total(free)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"limits": {"time_per_output_token": {"max": 30, "gpus": 4}}},
            "limits.time_per_output_token.gpus: has no effect here; set serving.gpus_per_replica",
        ),
        ({"limits": {"serving_memory": {}}}, "limits.serving_memory: is kept by itself without prefill_mfu"),
        (
            {"demand__months": None, "demand__growth_per_month": None},
            "demand: requests_per_month is a rate; give months too",
        ),
        ({"serving__prefill_mfu": "50%"}, "serving: decode_mfu is missing; write it like decode_mfu: 5%"),
        ({"serving__context": 1000}, "serving.context: a context of 1000 tokens does not hold a mean request"),
        ({"serving__kv_cache": "llama-9"}, "serving.kv_cache: no KV cache family 'llama-9'; did you mean 'llama-3'?"),
        ({"serving__kv_cache": {"layers": 80}}, "serving.kv_cache: give either bytes_per_token: 160 KB, or layers"),
        ({"serving__gpus_per_replica": [0, 1]}, "serving.gpus_per_replica.0: 0 must be a whole number from 1"),
        ({"serving__hardware": ["h100-sxm", "h100"]}, "serving.hardware.1: no hardware 'h100'; did you mean 'h100-sxm"),
        ({"serving__hardware": []}, "serving: an empty list offers nothing to choose from"),
        ({"serving__hardware": ["h100-sxm"] * 2}, "serving: two chips have one name"),
        ({"serving__precision": ["int3", "int5"]}, "serving: h100-sxm has no int3 peak; it has fp32, tf32"),
        ({"serving__price": {"h200-sxm": 3}}, "serving: price: no chip 'h200-sxm' here; did you mean 'h100-sxm'?"),
        ({"objective": "flops", "discounting": None}, "serving: objective flops needs prefill_mfu: 50%"),
        ({"start_from": {"params": "7B", "tokens": "1T"}}, "start_from: needs prefill_mfu and decode_mfu"),
        ({"law": "kaplan-2020"}, "test: co-design needs a law that counts total parameters"),
        ({"serving__efficiency": {"decode": 2}}, "serving.efficiency.decode: 2 must be above 0 and at most 100%"),
    ],
)
def test_every_mistake_of_serving_is_told(changes: dict[str, Any], message: str):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(changed(CHAT, **changes))
    assert any(found.startswith(f"test: {message}") for found in caught.value.mistakes), caught.value.mistakes


def test_what_only_goes_with_one_way_to_serve_is_refused_in_the_other():
    tree = changed(CHAT, serving=FIXED, limits=None)
    assert mistake(tree, serving__context=4096).endswith(
        "has no effect beside prefill_mfu and decode_mfu; leave it out, or both of them"
    )
    assert mistake(tree, serving__hardware=["h100-sxm", "h200-sxm"], serving__price=2).startswith(
        "serving: hardware lists 2; one alone goes with prefill_mfu and decode_mfu"
    )
    assert mistake(tree, limits={"time_to_first_token": {"max": 500}}).startswith(
        "limits.time_to_first_token: follows from batch and step time"
    )
    life = {"requests": "1B", "input_tokens": 70, "output_tokens": 215}
    assert mistake(demand=life, discounting=None).startswith("demand: needs months: without prefill_mfu and decode_mfu")


def test_a_context_that_no_memory_holds_says_what_would():
    found = mistake(serving__context="20M", limits=None)
    assert found.startswith("serving: h100-sxm fp8 x 1 has ")
    assert "a context of 20,000,000 tokens" in found
    assert found.endswith("would hold it")


def test_a_latency_below_one_read_of_the_weights_says_the_least():
    found = mistake(limits={"time_per_output_token": {"max": "0.5 ms"}})
    assert found.startswith("limits.time_per_output_token: ")
    assert "one read of the weights, not 0.5 ms; " in found
    assert found.endswith(" would do")


def test_a_precision_that_one_chip_lacks_is_left_out_and_noted():
    stated = changed(CHAT, serving__hardware=["a100-80gb-sxm", "h100-sxm"], limits=None)
    labels = [label for label, _ in Scenario.from_dict(stated).services()]
    assert labels == ["h100-sxm fp8 x 1"]
    assert "a100-80gb-sxm has no fp8 peak: left out" in bc.solve(Scenario.from_dict(stated)).warnings


def test_a_replica_that_no_fleet_holds_is_no_choice():
    stated = changed(
        CHAT, serving__gpus_per_replica=[1, 8], serving__fleet={"ceiling": 5}, demand__requests_per_month=1e6
    )
    assert [label for label, _ in Scenario.from_dict(stated).services()] == ["h100-sxm fp8 x 1"]
    found = mistake(stated, serving__gpus_per_replica=8)
    assert found.startswith("serving.fleet: ceiling of 5 GPUs is below the 8 that are always on; raise it, or lower")


# Launches


LAUNCH = changed(
    CHAT, serving=FIXED, limits=None, demand__start="2027-03", training__start="2027-01", training__gpus=64
)


def test_a_model_that_trains_too_long_misses_demand():
    plan = solved(LAUNCH)
    assert plan.best is not None
    assert plan.launch is not None
    monthly = Scenario.from_dict(LAUNCH).monthly()
    months = monthly.training_months(plan.best.params, plan.best.tokens)
    assert months == pytest.approx(plan.launch.training_months, rel=1e-9)
    assert plan.launch.month - 1 < months <= plan.launch.month
    hours = Scenario.from_dict(LAUNCH).training_gpu_hours(plan.best.params, plan.best.tokens)
    assert months == pytest.approx(hours / 64 / 730.5, rel=1e-12)
    late = monthly.launch(5)
    assert (late.delay, late.lost, late.first) == (5, 3, "2027-06")
    early = monthly.launch(1)
    assert (early.delay, early.lost, early.first) == (2, 0, "2027-03")
    ((_, service),) = Scenario.from_dict(LAUNCH).services(launch_month=5)
    assert service.fleet.months == 12 - 3


def test_without_calendar_months_demand_waits_for_the_model():
    stated = changed(LAUNCH, demand__start=None, training__start=None)
    launch = Scenario.from_dict(stated).monthly().launch(7)
    assert (launch.delay, launch.lost, launch.first) == (7, 0, None)
    none = Scenario.from_dict(changed(stated, training__gpus=None))
    assert none.to_study().launch_months is None
    assert none.monthly().training_months(1e9, 1e12) is None


def test_a_run_before_demand_begins_pays_the_prices_of_its_own_months():
    """A run of two months that ends when demand begins in 2027-03 is January and February."""
    steps = [{"month": month, "price": price} for month, price in (("2027-01", 1.0), ("2027-03", 4.0))]
    stated = changed(LAUNCH, training__start=None, training__price=None, training__price_path={"table": steps})
    prices, _ = Scenario.from_dict(stated).monthly().training_calendar(2)
    assert prices.tolist() == [1.0, 1.0]


def test_what_is_not_by_month_has_no_services():
    plain = Scenario.from_dict(
        changed(CHAT, serving=FIXED, limits=None, discounting=None)
        | {"demand": {"requests": "1B", "input_tokens": 70, "output_tokens": 215}}
    )
    with pytest.raises(InputError, match="needs objective cost and demand by month"):
        plain.services()
    assert plain.to_problem().bill is None
    assert bc.solve(plain).best == bc.solve(plain.to_problem()).best


# Inputs on which a proof was hard to come by


HARD: dict[str, dict[str, Any]] = {
    "a ceiling far away": {
        "target": {"chinchilla": 2.2567e9},
        "demand": {"requests_per_month": 342.117e6, "months": 12, "input_tokens": 3832.6, "output_tokens": 154.9},
        "training": {"price": 0.4476},
        "serving": {"precision": "fp8", "price": 5.22, "gpus_per_replica": 8, "fleet": {"ceiling": 23539}},
    },
    "a commitment that is a billionth of the need": {
        "target": {"chinchilla": 4.266e10},
        "demand": {
            "requests_per_month": 3.731e9,
            "growth_per_month": "100%",
            "months": 12,
            "input_tokens": 430.9,
            "output_tokens": 1661.8,
            "peak_to_mean": 9.07,
            "cached_share": "50%",
        },
        "training": {"price": 0.1, "data_cost": 0.273},
        "serving": {
            "price": 0.6875,
            "prefill_mfu": "50%",
            "decode_mfu": "5%",
            "commitment": {"price": 0.28156, "gpus": 426},
            "fleet": {"fixed": "99%"},
        },
    },
    "a tiny model": {
        "target": {"chinchilla": 1.975e8},
        "demand": {
            "requests_per_month": 1.813e9,
            "months": 1,
            "input_tokens": 10905,
            "output_tokens": 20.2,
            "peak_to_mean": 1.04,
        },
        "training": {"price": 0.104},
        "serving": {"price": 0.552, "gpus_per_replica": 2, "commitment": {"price": 0.10457, "share": "50%"}},
    },
    "two GPUs at most": {
        "target": {"chinchilla": 7.375e9},
        "demand": {
            "requests_per_month": 1.933e9,
            "months": 1,
            "input_tokens": 6.06,
            "output_tokens": 12.46,
            "peak_to_mean": 17.5,
            "batch_share": "48.3%",
        },
        "training": {"price": 0.137, "data_cost": 0.0291},
        "serving": {"price": 0.2376, "gpus_per_replica": 1},
        "discounting": {"rate": "100%"},
        "limits": {"gpus": {"max": 2}},
    },
}


@pytest.mark.parametrize("case", HARD)
def test_no_scenario_is_too_lopsided_for_a_proof(case: str):
    stated = HARD[case]
    tree = {
        **stated,
        "law": "sardana-2024",
        "training": {"hardware": "h100-sxm", "precision": "bf16", "mfu": "40%", **stated["training"]},
        "serving": {"hardware": "h100-sxm", "precision": "bf16", **stated["serving"]},
    }
    plan = bc.solve(Scenario.from_dict(tree))
    assert plan.status == "optimal"
    assert max(plan.duality_gap, plan.kkt_residual) <= 1e-8
    problem = Scenario.from_dict(tree).to_problem()
    if problem.further:
        assert max(verify(problem).values()) < 1e-7


def test_the_scan_of_launch_months_tells_what_solving_each_month_in_full_would():
    chips = {"h100-sxm": 2.5, "h200-sxm": 3.5, "b200-sxm": 5.0}
    stated = changed(
        CHAT, serving__hardware=list(chips), serving__price=chips, training__gpus=24, demand__growth_per_month=None
    )
    study = Scenario.from_dict(stated).to_study()
    plan = study.solve()
    assert plan.launch is not None
    assert plan.launch.month == math.ceil(plan.launch.training_months) > 1
    assert plan.choices == solve_choices(study.problems_at(plan.launch.month), "test").choices
    for row in plan.launch.scan:
        full = solve_choices(study.problems_at(row.month), "test").best
        assert full is not None
        assert row.total == pytest.approx(full.total, rel=1e-9)


def test_launches_before_demand_begins_are_not_scanned():
    plan = solved(LAUNCH, demand__start="2027-09", training__gpus=640)
    assert plan.launch is not None
    assert plan.launch.month < 8
    assert [row.month for row in plan.launch.scan if row.month <= 8] == [plan.launch.month]
