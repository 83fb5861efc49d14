"""A model that is trained already goes on: its size stays, and only further tokens are paid for."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import floats, laws, limit, log_floats, problems, sizes

import beyond_chinchilla as bc
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.resume import solve_resume
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import parse_number

SARDANA = published("sardana-2024")
KAPLAN = published("kaplan-2020")
DEMAND = Demand.from_requests(1e9, input_tokens=70, output_tokens=215)
TRAINING, SERVING = HiredCompute(price=1.50, peak=312e12), HiredCompute(price=1.10, peak=624e12)


def bill(demand: float = 1.0, training: float = 1.0, serving: float = 1.0) -> Posynomial:
    """Return the bill in USD with demand or a price multiplied."""
    return lifetime_cost(
        training=replace(TRAINING, price=TRAINING.price * training),
        training_mfu=0.5,
        serving=replace(SERVING, price=SERVING.price * serving),
        prefill_mfu=0.5,
        decode_mfu=0.01,
        demand=Demand(
            prefill_tokens=DEMAND.prefill_tokens * demand,
            decode_tokens=DEMAND.decode_tokens * demand,
        ),
    )


def problem(params: float = 17e9, tokens: float = 1e12, **changes: Any) -> Problem:
    """Return: bring a model to the quality of Chinchilla-30B and serve a billion requests."""
    stated: dict[str, Any] = {
        "law": SARDANA,
        "target_loss": float(SARDANA.compute_optimal(params=30e9).loss),
        "cost": bill(),
        "flops": lifetime_flops(DEMAND),
        "start_from": (params, tokens),
    }
    return Problem(**{**stated, **changes})


def best(plan: Plan) -> Candidate:
    """Return the plan itself."""
    assert plan.best is not None, plan.warnings
    return plan.best


def training(plan: Plan) -> float:
    """Return what is still to be paid for training."""
    return best(plan).terms["training"]


starts = st.tuples(problems(), floats(1.05, 10.0), log_floats(1e-3, 0.9))


def resumed(drawn: tuple[Problem, float, float]) -> tuple[Problem, Plan]:
    """Return a drawn problem from a model so many times the least size, after a share of the tokens it needs."""
    one, times, share = drawn
    N = times * float(one.law.params_for(math.inf, one.target_loss))
    D = float(one.law.tokens_for(N, one.target_loss))
    assume(D < 1e20)
    one = replace(one, start_from=(float(one.law.total_params(N)), share * D))
    return one, solve(one)


# The fewest further tokens


@given(starts)
def test_the_target_is_met_by_the_fewest_tokens_at_the_given_size(drawn: tuple[Problem, float, float]) -> None:
    one, plan = resumed(drawn)
    assert one.start_from is not None
    assert (plan.status, plan.method) == ("optimal", "start_from")
    N, D = best(plan).params, best(plan).tokens
    assert pytest.approx(one.start_from[0], rel=1e-12) == N
    assert best(plan).loss == pytest.approx(one.target_loss, rel=1e-9)
    # One percent fewer would miss it.
    assert float(one.law.loss(one.law.counted_params(N), 0.99 * D)) > one.target_loss


@given(starts)
def test_only_further_tokens_are_paid(drawn: tuple[Problem, float, float]) -> None:
    one, plan = resumed(drawn)
    assert one.start_from is not None
    N, seen = one.start_from
    D = best(plan).tokens
    whole = dict(zip(one.cost.labels, one.cost.values({"params": N, "tokens": D}), strict=True))
    rate = float(one.cost.terms[0].coefficient)  # type: ignore[arg-type]
    assert training(plan) == pytest.approx(rate * N * (D - seen), rel=1e-9)
    assert best(plan).training_flops == pytest.approx(6 * N * (D - seen), rel=1e-9)
    # Serving is paid in full.
    for label, value in whole.items():
        if label != "training":
            assert best(plan).terms[label] == pytest.approx(float(value), rel=1e-12)
    compute = one.flops.values({"params": N, "tokens": D})
    assert best(plan).inference_flops == pytest.approx(float(sum(compute[1:])), abs=1e-12 * float(compute[0]))


def test_the_example_by_hand() -> None:
    plan = solve(problem())
    # R = L - E = A N^-alpha + B D^-beta
    L = 1.69 + 406.4 * 30e9**-0.336 * (1 + 0.336 / 0.283)
    D = (410.7 / (L - 1.69 - 406.4 * 17e9**-0.336)) ** (1 / 0.283)
    assert best(plan).tokens == pytest.approx(D, rel=1e-9)
    assert training(plan) == pytest.approx(6 * 17e9 * (D - 1e12) * 1.50 / 3600 / (312e12 * 0.5), rel=1e-9)
    assert plan.savings == pytest.approx(plan.baseline.total - best(plan).total, rel=1e-12)


def test_a_start_from_nothing_is_the_plan_of_that_size() -> None:
    fixed = [limit("params", side, 17e9) for side in ("max", "min")]
    fresh = solve(replace(problem(), start_from=None, limits=tuple(fixed)))
    plan = solve(problem(tokens=1e-3))
    assert best(plan).tokens == pytest.approx(best(fresh).tokens, rel=1e-9)
    assert best(plan).total == pytest.approx(best(fresh).total, rel=1e-9)


def test_kaplans_law_counts_its_own_way() -> None:
    loss = float(KAPLAN.compute_optimal(params=KAPLAN.counted_params(30e9)).loss)
    plan = solve(problem(law=KAPLAN, target_loss=loss, params=20e9, tokens=1e10))
    assert best(plan).params == pytest.approx(20e9, rel=1e-12)
    assert float(KAPLAN.loss(KAPLAN.counted_params(20e9), best(plan).tokens)) == pytest.approx(loss, rel=1e-12)
    assert training(plan) == pytest.approx(
        6 * 20e9 * (best(plan).tokens - 1e10) * 1.50 / 3600 / (312e12 * 0.5), rel=1e-9
    )


# Good enough already


@given(log_floats(1.001, 1e3))
def test_a_model_that_is_good_enough_pays_nothing_for_training(more: float) -> None:
    needed = float(SARDANA.tokens_for(17e9, problem().target_loss))
    plan = solve(problem(tokens=more * needed))
    assert plan.status == "optimal"
    assert training(plan) == 0.0
    assert best(plan).training_flops == 0.0
    assert best(plan).tokens == pytest.approx(more * needed, rel=1e-12)
    assert best(plan).loss < plan.target_loss
    assert best(plan).total == pytest.approx(best(plan).terms["prefill"] + best(plan).terms["decode"], rel=1e-12)
    # Nothing moves the bill but serving, and no ratio to a training that costs nothing.
    assert plan.spend_ratio is None
    assert plan.elasticities == pytest.approx(
        {"demand": 1.0, "target_loss": 0.0, "training_price": 0.0, "serving_price": 1.0}, abs=1e-12
    )
    assert plan.warnings[0].startswith("good enough without further tokens; starting afresh, 17.4B params on ")


def test_a_floor_makes_a_good_model_go_on() -> None:
    needed = float(SARDANA.tokens_for(17e9, problem().target_loss))
    for floor in (limit("tokens", "min", 2 * needed), limit("tokens_per_param", "min", 2 * needed / 17e9)):
        for seen in (0.5 * needed, 1.5 * needed):
            plan = solve(problem(tokens=seen, limits=(floor,)))
            assert best(plan).tokens == pytest.approx(2 * needed, rel=1e-12)
            assert training(plan) == pytest.approx(
                6 * 17e9 * (2 * needed - seen) * 1.50 / 3600 / (312e12 * 0.5), rel=1e-9
            )
            assert plan.elasticities["target_loss"] == 0.0
            assert [(row.side, row.value) for row in plan.limits] == [("min", pytest.approx(floor.bound, rel=1e-12))]


# Out of reach


@given(laws(), sizes(), floats(0.01, 0.999))
def test_a_size_that_cannot_reach_the_target_has_no_plan(law: bc.LossLaw, size: float, share: float) -> None:
    target = float(law.compute_optimal(params=size).loss)
    N = share * float(law.params_for(math.inf, target))
    plan = solve(problem(law=law, target_loss=target, params=N))
    assert (plan.status, plan.best) == ("infeasible", None)
    least = law.E + law.A * N**-law.alpha
    assert least > target
    (sentence,) = plan.warnings
    match = re.fullmatch(
        r"no plan: (\S+) params cannot reach loss \S+ on any number of tokens; the least loss at that size is (\S+)",
        sentence,
    )
    assert match
    assert float(match[2]) == pytest.approx(least, abs=5.1e-5)
    assert json.loads(json.dumps(plan.to_dict(), allow_nan=False))["plan"] is None


@pytest.mark.parametrize("times", [1 + 1e-15, 1 + 1e-12, 1 + 1e-6, 1 + 1e-4])
def test_more_tokens_than_there_can_be_are_out_of_reach(times: float) -> None:
    least = float(SARDANA.params_for(math.inf, problem().target_loss))
    plan = solve(problem(params=times * least))
    assert plan.status == "infeasible"
    assert "cannot reach loss 1.9583 on " in plan.warnings[0]


# Limits


def training_limit(label: str, bound: float) -> Limit:
    """Return a ceiling on training, of the kind that counts only what is to come."""
    if label == "training_cost":
        terms = tuple(term for term in bill().terms if "training_price" in term.drivers)
        return limit(label, "max", bound, Posynomial(terms, "USD"))
    return limit(label, "max", bound, bill()) if label == "total_cost" else limit(label, "max", bound)


@pytest.mark.parametrize("label", ["training_cost", "training_flops", "total_cost"])
def test_limits_on_training_count_what_is_still_to_come(label: str) -> None:
    free = solve(problem())
    value = {"training_cost": training(free), "training_flops": best(free).training_flops}.get(label, best(free).total)
    plan = solve(problem(limits=(training_limit(label, 1.001 * value),)))
    assert best(plan) == best(free)
    (row,) = plan.limits
    assert row.value == pytest.approx(value, rel=1e-12)
    assert not row.binding
    refused = solve(problem(limits=(training_limit(label, 0.999 * value),)))
    assert refused.status == "infeasible"
    assert refused.warnings[0].startswith(f"no plan: {label} would be ")
    assert "max is " in refused.warnings[0]


@pytest.mark.parametrize("label", ["tokens", "tokens_per_param", "params", "serving_memory"])
def test_limits_on_size_and_tokens_count_the_whole_model(label: str) -> None:
    D = best(solve(problem())).tokens
    value = {"tokens": D, "tokens_per_param": D / 17e9, "params": 17e9, "serving_memory": 17.0}[label]
    plan = solve(problem(limits=(limit(label, "max", 1.001 * value),)))
    (row,) = plan.limits
    assert row.value == pytest.approx(value, rel=1e-9)
    refused = solve(problem(limits=(limit(label, "max", 0.999 * value), limit("params", "min", 1e9))))
    assert refused.status == "infeasible"
    assert [warning.split()[2] for warning in refused.warnings] == [label]


def test_a_model_below_a_floor_on_its_size_has_no_plan() -> None:
    plan = solve(problem(limits=(limit("params", "min", 20e9),)))
    assert plan.warnings == ("no plan: params would be 17.00B params, min is 20.00B params",)


def test_every_broken_limit_is_named() -> None:
    broken = (limit("params", "max", 1e9), limit("tokens", "max", 2e12), limit("training_flops", "max", 1e30))
    assert [sentence.split()[2] for sentence in solve(problem(limits=broken)).warnings] == ["params", "tokens"]


# What moves the bill


def log_slope(up: Plan, down: Plan, step: float) -> float:
    """Return d ln total / d ln input from two plans, the input a factor of exp(step) up and down."""
    return math.log(best(up).total / best(down).total) / (2 * step)


@pytest.mark.parametrize("tokens", [1e9, 1e12, 3e12])
def test_elasticities_are_finite_differences(tokens: float) -> None:
    h = 1e-5
    plan = solve(problem(tokens=tokens))
    for key, argument in (("demand", "demand"), ("training_price", "training"), ("serving_price", "serving")):
        moved = [solve(problem(tokens=tokens, cost=bill(**{argument: math.exp(sign * h)}))) for sign in (1, -1)]
        assert plan.elasticities[key] == pytest.approx(log_slope(*moved, h), rel=1e-6), key
    h = 1e-7
    target = plan.target_loss
    moved = [solve(problem(tokens=tokens, target_loss=target * math.exp(sign * h))) for sign in (1, -1)]
    assert plan.elasticities["target_loss"] == pytest.approx(log_slope(*moved, h), rel=1e-5)


def test_elasticities_under_kaplans_law_are_finite_differences() -> None:
    loss = float(KAPLAN.compute_optimal(params=KAPLAN.counted_params(30e9)).loss)
    h = 1e-7

    def at(sign: int) -> Plan:
        return solve(problem(law=KAPLAN, target_loss=loss * math.exp(sign * h), params=20e9, tokens=1e10))

    assert at(0).elasticities["target_loss"] == pytest.approx(log_slope(at(1), at(-1), h), rel=1e-5)


@given(starts)
def test_shares_add_up_and_json_holds_numbers_alone(drawn: tuple[Problem, float, float]) -> None:
    _, plan = resumed(drawn)
    shares = plan.elasticities
    assert shares["training_price"] == pytest.approx(training(plan) / best(plan).total, rel=1e-9)
    if best(plan).unit == "USD":
        assert shares["training_price"] + shares["serving_price"] == pytest.approx(1.0, rel=1e-9)
    assert plan.spend_ratio == pytest.approx((best(plan).total - training(plan)) / training(plan), rel=1e-6)
    assert json.dumps(plan.to_dict(), allow_nan=False)


# Beside starting afresh


def test_starting_afresh_is_the_plan_without_the_model() -> None:
    one = problem()
    plan, fresh = solve(one), best(solve(replace(one, start_from=None)))
    match = re.fullmatch(
        r"goes on for (\S+) further tokens; "
        r"starting afresh, (\S+) params on (\S+) tokens would cost \$(\S+), (\S+)% more",
        plan.warnings[0],
    )
    assert match
    further = best(plan).tokens - 1e12
    figures = [parse_number(group) for group in match.groups()[:4]]
    assert figures == pytest.approx([further, fresh.params, fresh.tokens, fresh.total], rel=5e-3)
    assert float(match[5]) / 100 == pytest.approx(fresh.total / best(plan).total - 1, abs=5.1e-4)


def test_a_poor_start_is_dearer_than_starting_afresh() -> None:
    one = problem(params=100e9, tokens=1e9)
    plan, fresh = solve(one), solve(replace(one, start_from=None))
    assert best(plan).total > best(fresh).total
    assert re.search(r"would cost \$1\.20M, [\d.]+% less$", plan.warnings[0])


def test_no_fresh_plan_under_the_limits_is_said() -> None:
    # No new model can be trained for so little, but this one is nearly there.
    needed = float(SARDANA.tokens_for(17e9, problem().target_loss))
    plan = solve(problem(tokens=0.99 * needed, limits=(training_limit("training_cost", 50e3),)))
    assert training(plan) < 50e3
    assert plan.warnings[0].endswith("; starting afresh has no plan under the limits")


# Asking


def test_nothing_to_start_from_is_refused() -> None:
    with pytest.raises(InputError, match="no model to start from"):
        solve_resume(replace(problem(), start_from=None))


@pytest.mark.parametrize("method", ["universal", "elementwise", "gp"])
def test_no_solver_is_forced_on_it(method: str) -> None:
    with pytest.raises(InputError, match=f"method {method} minimises cost from nothing; use auto"):
        solve(problem(), method)


def test_a_scenario_says_it() -> None:
    chip = {"hardware": "a100-80gb-sxm", "precision": "bf16", "price": 1.5, "mfu": 0.5}
    serving = {"hardware": "a100-40gb-sxm", "precision": "int8", "price": 1.1, "prefill_mfu": 0.5, "decode_mfu": 0.01}
    stated = Scenario.from_dict(
        {
            "law": "sardana-2024",
            "target": {"chinchilla": "30B"},
            "demand": {"requests": "1B", "input_tokens": 70, "output_tokens": 215},
            "training": chip,
            "serving": serving,
            "start_from": {"params": "17B", "tokens": "1T"},
        }
    )
    assert best(solve(stated)).terms == pytest.approx(best(solve(problem())).terms, rel=1e-12)


def test_a_model_that_serves_nothing_asks_nothing_of_demand() -> None:
    cost = Posynomial(tuple(term for term in bill().terms if term.power("tokens") > 0))
    plan = solve_resume(problem(cost=cost))
    assert plan.elasticities["demand"] == 0.0
    assert plan.elasticities["serving_price"] == 0.0
    assert plan.elasticities["training_price"] > 0.0
    assert plan.spend_ratio == 0.0
