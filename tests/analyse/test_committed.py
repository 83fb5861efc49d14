"""Questions about given sizes under laws past Chinchilla: losses of the whole law, plans as the solver has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.analyse import frontier
from beyond_chinchilla.analyse.buy import offer
from beyond_chinchilla.analyse.capacity import capacity
from beyond_chinchilla.analyse.committed import hold, hold_at, numbers_of, whole_of
from beyond_chinchilla.analyse.compare import compare
from beyond_chinchilla.analyse.cost_curve import bill, cost_curve
from beyond_chinchilla.analyse.deployment import deploy, problem_of
from beyond_chinchilla.analyse.disagreement import equivalent_size, other_laws
from beyond_chinchilla.analyse.realise import realise
from beyond_chinchilla.analyse.regret_map import regret_map
from beyond_chinchilla.analyse.sensitivity import elasticities, sensitivity
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.shape import published
from beyond_chinchilla.optimise.locate import locate, savings
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.load import Scenario

BASE: dict[str, Any] = {
    "name": "case",
    "law": "sardana-2024",
    "target": {"chinchilla": 30e9},
    "demand": {"requests": 1e9, "input_tokens": 70.0, "output_tokens": 215.0},
    "training": {"hardware": "h100-sxm", "precision": "bf16", "price": 2.0, "mfu": 0.4},
    "serving": {"hardware": "b200-sxm", "precision": "fp4", "price": 4.0, "prefill_mfu": 0.5, "decode_mfu": 0.02},
}
SCORES = {"E": 0.1, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "name": "scores"}
TREES: dict[str, dict[str, Any]] = {
    "data": {**BASE, "data": {"unique_tokens": 1e12}},
    "bits": {**BASE, "quantisation": "kumar-2024"},
    "choice": {**BASE, "quantisation": "kumar-2024", "serving": {**BASE["serving"], "precision": ["fp8", "fp4"]}},
    "thinking": {**BASE, "law": SCORES, "thinking": {"G": 0.1, "g": 0.4, "samples": {"max": 64}}},
    "shape": {
        **BASE,
        "shape": {"law": "bian-2025", "aspect": {"min": 64, "max": 256}},
        "serving": {**BASE["serving"], "layer_time": "20 us"},
        "limits": {"time_per_output_token": {"max": 4.0}},
    },
    "experts": {**BASE, "law": "ludziejewski-2025", "experts": [1, 8], "target": {"chinchilla": 20e9}},
}
MONTHLY = {"requests_per_month": 5e7, "months": 12, "input_tokens": 500.0, "output_tokens": 300.0}
ALL = pytest.mark.parametrize("kind", TREES)


def asked(kind: str, **changes: Any) -> tuple[Scenario, Plan, Problem]:
    """Return a scenario, its plan, and the problem whose optimum that is."""
    scenario = Scenario.from_dict({**TREES[kind], **changes})
    plan = bc.solve(scenario)
    assert plan.best is not None
    return scenario, plan, problem_of(scenario, plan)


@ALL
def test_the_plan_lies_on_the_whole_law_of_its_held_problem(kind: str) -> None:
    _, plan, problem = asked(kind)
    best = plan.best
    assert best is not None
    held = hold(problem, plan)
    assert float(whole_of(held).loss(best.params, best.tokens)) == pytest.approx(plan.target_loss, rel=1e-9)
    found = bill(held, best.params)
    assert found is not None
    assert found.tokens == pytest.approx(best.tokens, rel=1e-6)
    assert found.total == pytest.approx(best.total, rel=1e-6)
    assert found.loss == pytest.approx(plan.target_loss, rel=1e-9)
    # No other size that keeps the limits is cheaper with these numbers.
    curve = cost_curve(held, [best.params], 40)
    kept = ~np.any(np.array([*curve.broken.values(), np.zeros(curve.params.size, dtype=bool)]), axis=0)
    assert kept.sum() > 3
    assert np.min(curve.total[kept]) >= best.total * (1.0 - 1e-9)


@ALL
def test_the_plan_compared_with_itself_wastes_nothing(kind: str) -> None:
    _, plan, problem = asked(kind)
    best = plan.best
    assert best is not None
    own = compare(problem, "own", params=best.params, tokens=best.tokens)
    assert own.candidate.loss == pytest.approx(plan.target_loss, rel=1e-9)
    assert own.candidate.total == pytest.approx(best.total, rel=1e-9)
    if kind != "shape":
        # Whose limit is set aside.
        assert own.excess_fraction == pytest.approx(0.0, abs=1e-7)
    larger = compare(problem, "larger", params=3.0 * best.params, tokens=best.tokens)
    assert larger.candidate.loss < plan.target_loss
    assert larger.excess_fraction > 0.01


def test_repeated_tokens_are_worth_less_to_a_compared_plan() -> None:
    _, plan, problem = asked("data")
    _, _, plenty = asked("data", data={"unique_tokens": 1e15})
    best = plan.best
    assert best is not None
    worse, better = (compare(one, "x", params=best.params, tokens=4e12) for one in (problem, plenty))
    assert worse.candidate.loss > better.candidate.loss + 1e-3
    assert worse.candidate.total == pytest.approx(better.candidate.total, rel=1e-12)


@ALL
def test_regret_is_nothing_on_the_diagonal_and_never_negative(kind: str) -> None:
    scenario, plan, problem = asked(kind)
    found = regret_map(scenario, plan, points=3, low=0.25, high=4.0)
    assert np.diag(found.regret).tolist() == [0.0] * 3
    assert np.all(found.regret >= 0.0)
    assert found.regret[0, 2] > 0.005
    # A cell by hand: the plan for a quarter of the demand, bought four times over.
    quarter, fourfold = (frontier.scale_demand(problem, factor) for factor in (0.25, 4.0))
    at = locate(quarter)
    numbers = {lever.kind: at.held[lever.kind] for lever in quarter.levers if lever.variable}
    met = hold_at(fourfold, numbers)
    cost = float(met.cost.value({"params": at.params, "tokens": at.tokens}))
    assert found.cost[0, 2] == pytest.approx(cost, rel=1e-9)
    assert found.params[1] == pytest.approx(plan.best.params, rel=1e-6)  # type: ignore[union-attr]
    said = {
        "choice": f"everywhere {plan.choice}, as the scenario's plan chose",
        "experts": "everywhere 8 experts, as the scenario's plan chose",
        "thinking": "samples per request stay as planned, like size and tokens",
        "shape": "width over layers stay as planned, like size and tokens",
    }
    assert found.notes == ((said[kind],) if kind in said else ())


@pytest.mark.parametrize("kind", ["data", "bits"])
def test_demand_at_once_is_demand_one_by_one(kind: str) -> None:
    _, _, problem = asked(kind)
    ((fraction, factor),) = frontier.break_even(problem, (0.05,))
    assert factor is not None
    for moved, saves in ((0.999, False), (1.001, True)):
        scaled = frontier.scale_demand(problem, moved * factor)
        assert (savings(scaled, locate(scaled)) >= fraction) == saves


def test_no_break_even_against_a_model_that_answers_once() -> None:
    scenario, plan, problem = asked("thinking")
    with pytest.raises(InputError, match="the baseline answers once"):
        frontier.break_even(problem)
    found = sensitivity(scenario, plan, samples=16, chips=())
    assert not found.break_evens
    assert frontier.NOT_BY_DEMAND in found.notes


@pytest.mark.parametrize("kind", ["data", "bits", "choice", "shape", "experts"])
def test_elasticities_are_those_of_the_plan(kind: str) -> None:
    scenario, plan, _ = asked(kind)
    found = {one.label: one for one in elasticities(scenario, plan)}
    assert {"demand", "target.chinchilla", "training.price"} <= set(found)
    for one in found.values():
        if one.envelope is not None:
            assert one.value == pytest.approx(one.envelope, abs=2e-3)
    if kind == "data":
        assert found["data.unique_tokens"].value < -0.01


def test_a_size_states_a_target_under_the_law_that_it_was_stated_under() -> None:
    for kind, size in (("experts", 20e9), ("choice", 30e9), ("data", 30e9), ("shape", 30e9)):
        _, plan, problem = asked(kind)
        assert equivalent_size(problem) == pytest.approx(size, rel=1e-9), kind
        (point, _) = frontier.trace(problem, "target", points=2, low=size, high=1.5 * size)
        assert point.plan.best is not None
        assert point.plan.best.total == pytest.approx(plan.best.total, rel=1e-8)  # type: ignore[union-attr]


def test_other_laws_are_asked_of_what_all_laws_share() -> None:
    _, plan, problem = asked("data")
    found = {one.law: one for one in other_laws(problem)}
    assert "besiroglu-2024" in found
    law = bc.law("besiroglu-2024")
    target = float(law.compute_optimal(params=30e9).loss)
    direct = bc.solve(Scenario.from_dict({**TREES["data"], "law": "besiroglu-2024", "target": {"loss": target}}))
    assert direct.best is not None
    assert found["besiroglu-2024"].params == pytest.approx(direct.best.params, rel=1e-8)
    for kind in ("thinking", "shape", "experts"):
        assert other_laws(asked(kind)[2]) == []
    assert plan.best is not None


# Decoders


@pytest.mark.parametrize("kind", ["data", "bits", "thinking", "shape"])
def test_proposed_decoders_reach_the_target_under_the_whole_law(kind: str) -> None:
    _, plan, problem = asked(kind)
    best = plan.best
    assert best is not None
    found = realise(problem, best.params, vocabulary=32_000)
    assert found
    for one in found:
        numbers = numbers_of(problem.levers, plan)
        if kind == "shape":
            numbers["shape"] = one.aspect_ratio
            # Each loses what its own shape does: Bian et al. 2025, and no other one's.
            assert one.aspect_ratio == pytest.approx(plan.effects[0].figures["aspect"], rel=0.16)
        loss = float(whole_of(hold_at(problem, numbers)).loss(one.params, one.tokens))
        assert one.candidate.loss == pytest.approx(loss, rel=1e-12)
        assert plan.target_loss * 0.999 < loss <= plan.target_loss * (1.0 + 1e-12)
    if kind == "shape":
        factor = published("bian-2025").factor(found[0].aspect_ratio)
        assert found[0].candidate.loss == pytest.approx(
            float(problem.law.loss(found[0].params, found[0].tokens) * factor), rel=1e-12
        )


def test_a_mixture_of_experts_is_no_decoder_to_propose() -> None:
    _, plan, problem = asked("experts")
    assert plan.choice == "8 experts"
    with pytest.raises(InputError, match="decoders are proposed for dense models; 8 experts are none"):
        realise(problem, 1e9, vocabulary=32_000)


# What is left open


def test_a_number_that_nobody_holds_is_named() -> None:
    problem = asked("thinking")[2]
    with pytest.raises(InputError, match="thinking leaves the samples per request open; state one number of samples"):
        bill(problem, 1e10)
    with pytest.raises(InputError, match="no model reaches the target with 1 samples per request"):
        hold_at(asked("thinking", target={"loss": 0.17})[2], {"thinking": 1.0})


# By month


def test_months_of_experts_add_up_to_the_plan() -> None:
    serving = {"hardware": "b200-sxm", "precision": "fp8", "price": 4.0, "gpus_per_replica": 1}
    scenario = Scenario.from_dict({**TREES["experts"], "demand": MONTHLY, "serving": serving})
    plan = bc.solve(scenario)
    assert plan.best is not None
    assert "8 experts" in plan.choice
    assert deploy(scenario, plan).service.label in plan.choice
    assert capacity(scenario, plan).totals["present_value"] == pytest.approx(plan.best.total, rel=1e-9)


def test_a_licence_of_all_unique_tokens_is_paid_once_by_month() -> None:
    training = {**BASE["training"], "data_cost": "2 USD per million tokens"}
    data = {"unique_tokens": 2e11, "licence": "all"}
    scenario = Scenario.from_dict({**TREES["data"], "data": data, "demand": MONTHLY, "training": training})
    plan = bc.solve(scenario)
    assert plan.best is not None
    assert plan.best.terms["data"] == pytest.approx(4e5, rel=1e-12)
    assert plan.best.tokens > 2e11
    assert capacity(scenario, plan).totals["present_value"] == pytest.approx(plan.best.total, rel=1e-9)


def test_an_open_model_is_dense_whatever_one_builds() -> None:
    serving = {"hardware": "b200-sxm", "precision": "fp8", "price": 4.0, "gpus_per_replica": 8}
    tree = {**BASE, "law": "ludziejewski-2025", "target": {"chinchilla": 20e9}, "demand": MONTHLY, "serving": serving}
    tree["buy"] = {"model": "llama-2-70b"}
    bought = []
    for count in (1, 8):
        scenario = Scenario.from_dict({**tree, "experts": count})
        bought.append(offer(deploy(scenario, bc.solve(scenario))).total)
    assert bought[0] == pytest.approx(bought[1], rel=1e-9)
