"""Lines of plans: each point is a plan of its own, the lines bend the right way, and break-even is where it says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import served
from hypothesis import given, settings
from strategies import general_problems, limit, log_floats, problems

from beyond_chinchilla.analyse.frontier import OVERS, Point, break_even, scale_demand, trace, with_budget
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.best_loss import solve_loss
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.optimise.universal import log_cost_ratio
from beyond_chinchilla.posynomial import Posynomial

SARDANA = published("sardana-2024")
SIZE = 30e9


def _requests(times: float = 1.0) -> Problem:
    """Sardana et al. 2024, appendix B: 1B requests, or so many times as many, at 30B quality."""
    demand = Demand(prefill_tokens=70e9 * times, decode_tokens=215e9 * times)
    bill = lifetime_cost(
        training=HiredCompute(price=1.50, peak=312e12),
        training_mfu=0.5,
        serving=HiredCompute(price=1.10, peak=624e12),
        prefill_mfu=0.5,
        decode_mfu=0.01,
        demand=demand,
    )
    return Problem(
        law=SARDANA,
        target_loss=float(SARDANA.compute_optimal(params=SIZE).loss),
        cost=bill,
        flops=lifetime_flops(demand),
    )


REQUESTS = _requests()


def _best(plan: Plan) -> Candidate:
    assert plan.best is not None
    return plan.best


def _bests(points: list[Point]) -> list[Candidate]:
    return [_best(point.plan) for point in points]


def _rises(values: list[float]) -> bool:
    return bool(np.all(np.diff(values) > 0))


def _falls(values: list[float]) -> bool:
    return _rises([-value for value in values])


# Lines


@given(problems(), log_floats(1.5, 10.0))
@settings(max_examples=6)
def test_better_models_cost_more(problem: Problem, span: float) -> None:
    size = float(problem.law.compute_optimal(loss=problem.target_loss).params)
    points = trace(problem, "target", points=5, low=size / span, high=size * span)
    best = _bests(points)
    assert _falls([x.loss for x in best])
    assert _rises([x.total for x in best])
    assert _rises([x.params for x in best])
    for point in points:
        expected = float(problem.law.compute_optimal(params=point.at).loss)
        assert point.plan.target_loss == pytest.approx(expected, rel=1e-14)
        assert point.plan.baseline.params == pytest.approx(point.at, rel=1e-9)
        assert point.plan == solve(replace(problem, target_loss=point.plan.target_loss))


@given(problems())
@settings(max_examples=6)
def test_more_demand_means_smaller_models_on_more_tokens(problem: Problem) -> None:
    # Around the demand at which serving costs about what training does
    kappa = solve(problem).kappa
    assert kappa is not None
    points = trace(problem, "demand", points=5, low=0.1 / kappa, high=10 / kappa)
    best = _bests(points)
    assert _falls([x.params for x in best])
    assert _rises([x.tokens for x in best])
    assert _rises([x.total for x in best])
    assert _rises([point.plan.savings_fraction for point in points])
    for point in points:
        assert point.plan.kappa == pytest.approx(point.at * kappa, rel=1e-9)
        assert point.plan.target_loss == problem.target_loss


@given(problems())
@settings(max_examples=3)
def test_more_money_buys_better_models(problem: Problem) -> None:
    points = trace(problem, "budget", points=4)
    best = _bests(points)
    assert _falls([x.loss for x in best])
    for point, found in zip(points, best, strict=True):
        assert point.plan.objective == "loss"
        assert found.total == pytest.approx(point.at, rel=1e-9)
        # Turned round: the least cost of that loss is the money.
        again = _best(solve(replace(problem, target_loss=found.loss)))
        assert again.total == pytest.approx(point.at, rel=1e-9)


@given(general_problems(least=0.0))
@settings(max_examples=5)
def test_any_bill_can_be_traced(problem: Problem) -> None:
    for over in ("target", "demand"):
        totals = [x.total for x in _bests(trace(problem, over, points=4))]
        assert all(after >= before * (1 - 1e-12) for before, after in pairwise(totals))


@pytest.mark.parametrize(
    ("over", "name", "low", "high"),
    [
        ("target", "chinchilla_params", SIZE / 10, SIZE * 10),
        ("demand", "demand", 0.01, 100.0),
        ("budget", "budget", 0.1, 10.0),
    ],
)
def test_the_line_reaches_to_both_sides_of_the_scenario(over: str, name: str, low: float, high: float) -> None:
    points = trace(REQUESTS, over, points=5)
    scale = _best(solve(REQUESTS)).total if over == "budget" else 1.0
    assert [point.at for point in points] == pytest.approx(scale * np.geomspace(low, high, 5), rel=1e-9)
    assert {point.over for point in points} == {name}
    # Its middle is the scenario itself.
    assert _best(points[2].plan).params == pytest.approx(_best(solve(REQUESTS)).params, rel=1e-5)
    assert _best(points[2].plan).total == pytest.approx(_best(solve(REQUESTS)).total, rel=1e-9)


def test_each_point_is_the_plan_of_its_own_scenario() -> None:
    for point in trace(REQUESTS, "demand", points=4, low=0.5, high=4.0):
        own = solve(_requests(point.at))
        assert _best(point.plan).params == pytest.approx(_best(own).params, rel=1e-12)
        assert _best(point.plan).total == pytest.approx(_best(own).total, rel=1e-12)
    for point in trace(REQUESTS, "budget", points=3, low=5e5, high=5e6):
        assert point.plan == solve_loss(with_budget(REQUESTS, point.at))


def test_limits_go_along_and_points_without_a_plan_say_so() -> None:
    problem = replace(REQUESTS, limits=(limit("params", "max", 10e9), limit("tokens", "max", 20e12)))
    points = trace(problem, "target", points=6, low=5e9, high=80e9)
    binding = [point.to_dict()["binding"] for point in points]
    assert binding[0] == ""
    assert "params.max" in binding
    assert (points[-1].plan.status, points[-1].plan.best) == ("infeasible", None)
    row = points[-1].to_dict()
    assert (row["status"], row["params"], row["total"], row["savings_fraction"]) == ("infeasible", None, None, None)
    assert row["baseline_params"] == pytest.approx(80e9, rel=1e-9)
    statuses = [point.plan.status for point in points]
    assert statuses == sorted(statuses, key=["optimal", "infeasible"].index)


def test_a_point_as_a_record() -> None:
    point = trace(REQUESTS, "budget", points=2, low=1e6, high=2e6)[0]
    row = json.loads(json.dumps(point.to_dict(), allow_nan=False))
    assert list(row) == [
        "budget",
        "status",
        "target_loss",
        "params",
        "tokens",
        "tokens_per_param",
        "loss",
        "total",
        "unit",
        "baseline_params",
        "baseline_tokens",
        "baseline_total",
        "savings_fraction",
        "kappa",
        "binding",
    ]
    assert (row["budget"], row["status"], row["unit"], row["binding"]) == (1e6, "optimal", "USD", "total_cost.max")
    assert row["tokens_per_param"] == pytest.approx(row["tokens"] / row["params"], rel=1e-15)


@pytest.mark.parametrize(
    ("low", "high"),
    [(2.0, 1.0), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (1.0, math.inf), (math.nan, 1.0), (1.0, math.nan)],
)
@pytest.mark.parametrize("over", OVERS)
def test_a_line_runs_upwards_between_positive_ends(over: str, low: float, high: float) -> None:
    with pytest.raises(InputError, match="the line must run from a positive low to a higher high"):
        trace(REQUESTS, over, points=2, low=low, high=high)


@pytest.mark.parametrize("points", [-1, 0, 1, 10_001])
def test_a_line_has_a_sane_number_of_points(points: int) -> None:
    with pytest.raises(InputError, match=f"--points {points}: give 2 to 10,000"):
        trace(REQUESTS, "target", points=points)


def test_only_three_things_can_be_varied() -> None:
    with pytest.raises(InputError, match="--over price: trace one of target, demand, budget"):
        trace(REQUESTS, "price")


# Demand and budget


@given(log_floats(1e-3, 1e3))
def test_scaled_demand_is_the_scenario_with_more_requests(factor: float) -> None:
    scaled, own = scale_demand(REQUESTS, factor), _requests(factor)
    point = {"params": 7e9, "tokens": 2e12}
    for one, other in ((scaled.cost, own.cost), (scaled.flops, own.flops)):
        assert one.labels == other.labels
        np.testing.assert_allclose(one.values(point), other.values(point), rtol=1e-12)


def test_scaled_demand_reaches_into_the_limits() -> None:
    serving = Posynomial(tuple(term for term in REQUESTS.cost.terms if "demand" in term.drivers), "USD")
    limits = (limit("serving_cost", "max", 5e5, serving), limit("params", "max", 20e9))
    scaled = scale_demand(replace(REQUESTS, limits=limits), 3.0)
    assert [one.bound for one in scaled.limits] == [5e5, 20e9]
    point = {"params": 7e9, "tokens": 2e12}
    assert scaled.limits[0].value(point) == pytest.approx(3 * limits[0].value(point), rel=1e-14)
    assert scaled.limits[1] == limits[1]


def test_a_budget_takes_the_place_of_an_old_one() -> None:
    old = with_budget(replace(REQUESTS, limits=(limit("params", "max", 20e9),)), 1e6)
    new = with_budget(old, 2e6)
    assert [(one.label, one.side, one.bound) for one in new.limits] == [
        ("params", "max", 20e9),
        ("total_cost", "max", 2e6),
    ]
    assert new.limits[1].quantity == REQUESTS.cost
    assert new.limits[1].unit == "USD"


# Break-even


def _kappa_at(fraction: float) -> float:
    """Return the kappa from which the universal curve saves a fraction, by bisection of its closed form."""
    q, beta = SARDANA.data_share, SARDANA.beta
    low, high = math.log(1e-9), math.log(1e9)
    for _ in range(200):
        s = math.exp(0.5 * (low + high))
        saves = -math.expm1(float(log_cost_ratio(s, SARDANA.alpha, beta)))
        low, high = (0.5 * (low + high), high) if saves < fraction else (low, 0.5 * (low + high))
    return math.exp(low) * (1 + q * math.exp(low)) ** (1 / beta)


def test_break_even_is_where_the_universal_curve_crosses() -> None:
    kappa = solve(REQUESTS).kappa
    assert kappa is not None
    found = break_even(REQUESTS)
    assert [fraction for fraction, _ in found] == [0.01, 0.05, 0.10]
    for fraction, factor in found:
        assert factor is not None
        assert factor * kappa == pytest.approx(_kappa_at(fraction), rel=1e-8)


@given(problems())
@settings(max_examples=6)
def test_at_break_even_the_plan_saves_that_much(problem: Problem) -> None:
    for fraction, factor in break_even(problem, (0.001, 0.3)):
        if factor is None:
            continue
        if factor == 0.0:
            # With next to no demand it is saved already.
            assert solve(scale_demand(problem, 1e-12)).savings_fraction >= fraction
            continue
        assert solve(scale_demand(problem, factor)).savings_fraction == pytest.approx(fraction, rel=1e-9)
    assert [fraction for fraction, _ in break_even(problem, (0.2,))] == [0.2]


def test_more_savings_take_more_demand() -> None:
    factors = [factor for _, factor in break_even(REQUESTS, (0.01, 0.05, 0.1, 0.3, 0.6))]
    assert all(factor is not None for factor in factors)
    assert _rises([factor for factor in factors if factor is not None])
    # 1B requests save 13.0%.
    assert factors[2] is not None
    assert factors[2] < 1 < (factors[3] or 0)


def test_savings_that_a_limit_rules_out_have_no_break_even() -> None:
    # No smaller than Chinchilla's: nothing to save.
    floored = replace(REQUESTS, limits=(limit("params", "min", SIZE),))
    assert break_even(floored, (0.01,)) == [(0.01, None)]
    # A plan that may be smaller, but not by much, saves some and not more.
    some = replace(REQUESTS, limits=(limit("params", "min", 0.9 * SIZE),))
    (_, one), (_, ten) = break_even(some, (0.01, 0.3))
    assert one is not None
    assert ten is None
    assert break_even(REQUESTS, (1.0, 1.5)) == [(1.0, None), (1.5, None)]


# Serving by month


# 12 GPUs are always on: as many as the demand just keeps busy.
FLEET = served.scenario(serving={"fleet": {"floor": 12}})


def test_a_line_over_demand_bends_where_the_fleet_outgrows_its_floor() -> None:
    problem = FLEET.to_problem()
    points = trace(problem, "demand", points=4, low=0.001, high=10.0)
    idle, _, same, busy = (one.total for one in _bests(points))
    assert idle == pytest.approx(same, rel=1e-9)
    assert busy > 2 * idle
    for point in points:
        own = _best(solve(FLEET.scaled(point.at).to_problem()))
        assert _best(point.plan).total == pytest.approx(own.total, rel=1e-9)
    # Next to nobody asks: only what is always on is paid, and a smaller model saves nothing.
    assert points[0].plan.savings_fraction == pytest.approx(0.0, abs=1e-9)
    assert points[-1].plan.savings_fraction > 0.1


def test_a_line_over_quality_asks_for_the_bill_of_each_model() -> None:
    points = trace(FLEET.to_problem(), "target", points=3, low=5e9, high=20e9)
    assert _rises([one.total for one in _bests(points)])
    for point in points:
        assert point.plan.baseline.params == pytest.approx(point.at, rel=1e-9)
        assert _best(point.plan).variables.keys() == {"batch", "step_time"}


def test_break_even_with_a_fleet_is_where_the_plan_saves_that_much() -> None:
    problem = FLEET.to_problem()
    ((_, factor),) = break_even(problem, (0.05,))
    assert factor is not None
    below, above = (solve(scale_demand(problem, factor * more)).savings_fraction for more in (0.99, 1.01))
    # GPUs are rounded up to whole ones, so that savings move in steps.
    assert below - 1e-3 < 0.05 < above + 1e-3
    assert solve(scale_demand(problem, factor)).savings_fraction >= 0.05


def test_a_budget_by_month_is_refused_in_one_line() -> None:
    problem = FLEET.to_problem()
    for ask in (lambda: trace(problem, "budget", points=3), lambda: with_budget(problem, 1e6)):
        with pytest.raises(InputError, match="served: a budget is spent over the life as a whole, not by month"):
            ask()
