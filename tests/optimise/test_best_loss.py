"""The best quality that money buys: all of it is spent, nothing better can be had for it, and what more would bring."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import general_problems, limit, log_floats, problems

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.best_loss import solve_loss
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import locate
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Posynomial

SARDANA = published("sardana-2024")
DEMAND = Demand(prefill_tokens=70e9, decode_tokens=215e9)
BILL = lifetime_cost(
    training=HiredCompute(price=1.50, peak=312e12),
    training_mfu=0.5,
    serving=HiredCompute(price=1.10, peak=624e12),
    prefill_mfu=0.5,
    decode_mfu=0.01,
    demand=DEMAND,
)
# The target is not used, and must not matter.
REQUESTS = Problem(law=SARDANA, target_loss=5.0, cost=BILL, flops=lifetime_flops(DEMAND), objective="loss")


def _with(problem: Problem, budget: float, *limits: Limit) -> Problem:
    ceiling = limit("total_cost", "max", budget, problem.cost)
    return replace(problem, limits=(ceiling, *limits), objective="loss")


def _best(plan: Plan) -> Candidate:
    assert plan.best is not None
    return plan.best


def _loss(problem: Problem) -> float:
    return _best(solve_loss(problem)).loss


def _price_of(problem: Problem) -> float:
    """Return the least cost of the problem's target without limits."""
    free = locate(replace(problem, limits=()))
    return float(problem.counted_cost.value({"params": free.params, "tokens": free.tokens}))


def _affordable(problem: Problem, N: np.ndarray, budget: float) -> np.ndarray:
    """Return the tokens on which all the money is spent at each size, for bills a N D + b N; nan beyond it."""
    assert problem.rates is not None
    a, b = problem.rates
    left = budget - b * N
    return np.where(left > 0, left / (a * N), np.nan)


@given(st.one_of(problems(), general_problems(least=0.0)), log_floats(0.3, 3.0))
@settings(max_examples=6)
def test_the_least_cost_of_the_best_loss_is_the_budget(problem: Problem, share: float) -> None:
    budget = share * _price_of(problem)
    plan = solve_loss(_with(problem, budget))
    assert (plan.status, plan.objective) == ("optimal", "loss")
    assert _best(plan).total == pytest.approx(budget, rel=1e-9)
    reached = replace(problem, target_loss=_best(plan).loss)
    assert _price_of(reached) == pytest.approx(budget, rel=1e-9)
    assert max(plan.kkt_residual, plan.duality_gap) <= 1e-8
    assert plan.target_loss == _best(plan).loss
    # There and back: the loss of the money that a target costs is the target.
    if share < 0.999:
        assert plan.target_loss > problem.target_loss
    again = _loss(_with(problem, _price_of(problem)))
    assert again == pytest.approx(problem.target_loss, rel=1e-9)


@given(problems(), log_floats(0.3, 3.0))
@settings(max_examples=6)
def test_no_other_way_to_spend_the_money_is_better(problem: Problem, share: float) -> None:
    budget = share * _price_of(problem)
    best = _best(solve_loss(_with(problem, budget)))
    assert problem.rates is not None
    grid = np.geomspace(1e-6, 1.0 - 1e-9, 20_001) * budget / problem.rates[1]
    near = best.params * np.exp(np.linspace(-1e-3, 1e-3, 2001))
    for N in (grid, near):
        D = _affordable(problem, N, budget)
        assert np.nanmin(problem.law.loss(N, D)) >= best.loss * (1 - 1e-12)
    # The best of the fine grid is as good: the plan is within the money, not beyond it.
    assert np.nanmin(problem.law.loss(near, _affordable(problem, near, budget))) == pytest.approx(best.loss, rel=1e-6)


@given(problems(), log_floats(1.0001, 100.0))
@settings(max_examples=6)
def test_more_money_is_never_worse(problem: Problem, more: float) -> None:
    budget = _price_of(problem)
    before, after = (_loss(_with(problem, money)) for money in (budget, budget * more))
    assert after < before


def test_a_million_dollars() -> None:
    plan = solve(_with(REQUESTS, 1e6))
    best = _best(plan)
    N = np.geomspace(1e9, 1e11, 2_000_001)
    D = _affordable(REQUESTS, N, 1e6)
    losses = SARDANA.loss(N, D)
    found = int(np.nanargmin(losses))
    assert best.loss == pytest.approx(float(losses[found]), rel=1e-11)
    assert best.params == pytest.approx(float(N[found]), rel=1e-4)
    assert best.tokens == pytest.approx(float(D[found]), rel=1e-4)


# What more would bring


@pytest.mark.parametrize("budget", [1e4, 1e6, 1e8])
def test_the_price_of_the_budget_is_a_finite_difference(budget: float) -> None:
    plan = solve_loss(_with(REQUESTS, budget))
    (row,) = plan.limits
    h = 1e-4
    up, down = (_loss(_with(REQUESTS, budget * math.exp(step))) for step in (h, -h))
    numeric = (math.log(up) - math.log(down)) / (2 * h)
    assert row.elasticity == pytest.approx(numeric, rel=1e-6)
    assert row.elasticity < 0
    # In nats for one dollar
    gain = (_loss(_with(REQUESTS, budget * (1 - h))) - _loss(_with(REQUESTS, budget * (1 + h)))) / (2 * h * budget)
    assert row.shadow_price == pytest.approx(gain, rel=1e-6)
    assert row.price_unit == "nats per USD"
    assert row.binding


def _dearer(problem: Problem, driver: str, step: float) -> Problem:
    def scaled(posynomial: Posynomial) -> Posynomial:
        terms = (term.times(math.exp(step)) if driver in term.drivers else term for term in posynomial.terms)
        return Posynomial(tuple(terms), posynomial.unit)

    limits = tuple(replace(one, quantity=scaled(one.quantity)) for one in problem.limits)
    return replace(problem, cost=scaled(problem.cost), limits=limits)


def test_what_drives_the_best_loss() -> None:
    problem = _with(REQUESTS, 1e6, limit("params", "max", 12e9))
    plan = solve_loss(problem)
    h = 1e-4
    for driver in ("demand", "training_price", "serving_price"):
        up, down = (math.log(_loss(_dearer(problem, driver, step))) for step in (h, -h))
        assert plan.elasticities[driver] == pytest.approx((up - down) / (2 * h), rel=1e-6)
        assert plan.elasticities[driver] > 1e-4
    # All prices up by as much is so much less money.
    both = plan.elasticities["training_price"] + plan.elasticities["serving_price"]
    assert both == pytest.approx(-plan.limits[0].elasticity, rel=1e-9)
    assert "target_loss" not in plan.elasticities


# Under further limits


@pytest.mark.parametrize(("label", "room"), [("params", 0.6), ("tokens", 0.6), ("training_flops", 0.8)])
def test_further_limits_bind_and_are_priced(label: str, room: float) -> None:
    free = _best(solve_loss(_with(REQUESTS, 1e6)))
    further = limit(label, "max", 1.0)
    further = replace(further, bound=room * further.value({"params": free.params, "tokens": free.tokens}))
    problem = _with(REQUESTS, 1e6, further)
    plan = solve_loss(problem)
    best = _best(plan)
    assert best.loss > free.loss
    assert further.value({"params": best.params, "tokens": best.tokens}) == pytest.approx(further.bound, rel=1e-9)
    assert best.breaks == ()
    # Against a grid of every way to spend the money
    N = np.geomspace(1e8, 1e11, 200_001)
    D = _affordable(REQUESTS, N, 1e6)
    D = np.where(np.isnan(D), np.nan, np.minimum(D, further.bound if label == "tokens" else np.inf))
    D = np.minimum(D, further.bound / (6 * N)) if label == "training_flops" else D
    largest = further.bound if label == "params" else np.inf
    losses = np.where(largest >= N, SARDANA.loss(N, D), np.nan)
    assert best.loss == pytest.approx(float(np.nanmin(losses)), rel=1e-6)
    assert best.loss <= float(np.nanmin(losses)) * (1 + 1e-12)
    h = 1e-4
    for which, row in enumerate(plan.limits):
        moved = []
        for step in (h, -h):
            limits = list(problem.limits)
            limits[which] = replace(limits[which], bound=limits[which].bound * math.exp(step))
            moved.append(math.log(_loss(replace(problem, limits=tuple(limits)))))
        assert row.elasticity == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-5, abs=1e-9)


def test_money_that_the_limits_leave_unspent_has_no_price() -> None:
    corner = limit("params", "max", 5e9), limit("tokens", "max", 1e12)
    plan = solve_loss(_with(REQUESTS, 1e9, *corner))
    assert (_best(plan).params, _best(plan).tokens) == pytest.approx((5e9, 1e12), rel=1e-9)
    assert _best(plan).loss == pytest.approx(float(SARDANA.loss(5e9, 1e12)), rel=1e-12)
    assert _best(plan).total < 1e6
    budget, params, tokens = plan.limits
    assert (budget.binding, budget.shadow_price) == (False, 0.0)
    assert params.shadow_price > 0
    assert tokens.shadow_price > 0


def test_floors_that_cost_more_than_there_is_leave_no_plan() -> None:
    # 100B parameters cost more than a million dollars to serve alone.
    problem = _with(REQUESTS, 1e6, limit("params", "min", 1e11), limit("tokens", "max", 1e9))
    plan = solve(problem)
    assert (plan.status, plan.best, plan.objective) == ("infeasible", None, "loss")
    assert plan.conflict is not None
    assert plan.conflict.least_loss is None
    # There is no target that could be part of it, however good the loss from which the search starts.
    for target in (5.0, 1.75):
        why = solve(replace(problem, target_loss=target)).conflict
        assert why is not None
        assert sorted(why.labels) == ["params min", "total_cost max"]
        for one, bound in why.reliefs:
            room = 1e-6 if one.side == "max" else -1e-6
            for nearly, status in ((1 + room, "optimal"), (1 - room, "infeasible")):
                loose = replace(one, bound=bound * nearly)
                limits = tuple(loose if other == one else other for other in problem.limits)
                assert solve_loss(replace(problem, limits=limits)).status == status
        assert [one.label for one, _ in why.reliefs] == ["total_cost", "params"]
    assert plan.warnings[:2] == (
        "no plan: total_cost max and params min cannot hold together",
        "the limits exclude each other at any loss",
    )


# What is asked, and what is answered


@pytest.mark.parametrize("limits", [(), (limit("params", "max", 1e9),), (limit("training_cost", "max", 1e6, BILL),)])
def test_without_a_budget_there_is_no_best(limits: tuple[Limit, ...]) -> None:
    for ask in (solve, solve_loss):
        with pytest.raises(InputError, match=r"objective loss needs limits\.total_cost\.max"):
            ask(replace(REQUESTS, limits=limits))


def test_a_method_cannot_be_forced() -> None:
    for method in ("universal", "elementwise", "gp"):
        with pytest.raises(InputError, match=f"method {method} minimises cost"):
            solve(_with(REQUESTS, 1e6), method)


@given(problems(), log_floats(0.1, 10.0))
@settings(max_examples=6)
def test_the_baseline_is_the_chinchilla_model_that_the_money_trains_and_serves(problem: Problem, share: float) -> None:
    budget = share * _price_of(problem)
    plan = solve_loss(_with(problem, budget))
    baseline = plan.baseline
    assert baseline.total == pytest.approx(budget, rel=1e-9)
    ratio = float(problem.law.compute_optimal(params=baseline.params).tokens)
    assert baseline.tokens == pytest.approx(ratio, rel=1e-9)
    assert _best(plan).loss <= baseline.loss * (1 + 1e-12)
    # In nats
    assert plan.savings == pytest.approx(baseline.loss - _best(plan).loss, rel=1e-9, abs=1e-13)


def test_the_answer_as_json() -> None:
    plan = solve(_with(replace(REQUESTS, name="mine"), 1e6, limit("params", "max", 12e9)))
    row = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert (row["scenario"], row["status"], row["objective"]) == ("mine", "optimal", "loss")
    assert row["target_loss"] == row["plan"]["loss"] == _best(plan).loss
    assert row["savings"]["absolute"] == pytest.approx(row["baseline"]["loss"] - row["plan"]["loss"], rel=1e-12)
    assert row["savings"]["fraction"] == pytest.approx(row["savings"]["absolute"] / row["baseline"]["loss"], rel=1e-12)
    assert row["baseline"]["breaks"] == ["params"]
    assert row["range_1_percent"] is None
    assert [limit_["unit"] for limit_ in row["limits"]] == ["nats per USD", "nats per parameter"]
    cost = solve(replace(REQUESTS, objective="cost", target_loss=2.0)).to_dict()
    assert "objective" not in cost


def test_a_law_that_counts_no_embeddings() -> None:
    kaplan = published("kaplan-2020")
    problem = replace(REQUESTS, law=kaplan, target_loss=2.5)
    best = _best(solve_loss(_with(problem, 1e6)))
    assert best.total == pytest.approx(1e6, rel=1e-9)
    total = np.geomspace(1e8, 1e12, 200_001)
    D = _affordable(REQUESTS, total, 1e6)
    losses = kaplan.loss(kaplan.counted_params(total), D)
    assert best.loss == pytest.approx(float(np.nanmin(losses)), rel=1e-8)
    assert best.loss <= float(np.nanmin(losses)) * (1 + 1e-12)
