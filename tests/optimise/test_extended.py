"""Levers and limited data: solved as rows of ordinary problems, against programs and grids that know the whole law."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import beyond_chinchilla as bc
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.precision import Quantisation
from beyond_chinchilla.laws.repetition import Repetition, published
from beyond_chinchilla.laws.shape import Shape
from beyond_chinchilla.laws.thinking import Thinking
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import has_plan, locate, log_cost, verify
from beyond_chinchilla.optimise.past.extended import refuse
from beyond_chinchilla.optimise.past.held import held
from beyond_chinchilla.optimise.past.whole_law import fewest_tokens
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Posynomial, Term

LAW = catalogue.law("sardana-2024")
TRAINING, SERVING = 6.0, 2.0e13
THINKING = Thinking(G=0.1, g=0.5, high=64.0)
REASONING = Thinking(G=0.1, g=0.5, high=64.0, variable="reasoning_tokens")
SHAPE = Shape(epsilon=2.358e-5, gamma=1.256, low=17.5, high=384.0)
QUANTISATION = Quantisation(coefficient=0.0598 * math.exp(-4.0 / 0.5907), gamma_D=0.5068, gamma_N=0.3439, bits=4)


def problem_of(loss: float = 1.958, *levers, repetition=None, by: str = "", limits=(), serving=SERVING, **changes):
    """Return 6 N D + b N, serving multiplied by the variable `by`."""
    terms = (
        Term(
            label="training", coefficient=TRAINING, powers={"params": 1.0, "tokens": 1.0}, drivers=("training_price",)
        ),
        Term(
            label="decode",
            coefficient=serving,
            powers={"params": 1.0, **({by: 1.0} if by else {})},
            drivers=("demand", "serving_price"),
        ),
    )
    bill = Posynomial(terms, "FLOP")
    return Problem(
        law=LAW, target_loss=loss, cost=bill, flops=bill, levers=levers, repetition=repetition, limits=limits, **changes
    )


def ceiling(label: str, bound: float, *terms: Term, unit: str = "ms") -> Limit:
    return Limit(label=label, side="max", quantity=Posynomial(terms, unit), bound=bound, unit=unit, each=unit)


LATENCY = ceiling(
    "time_per_output_token",
    25.0,
    Term(label="weights", coefficient=1e-9, powers={"params": 1.0}),
    Term(label="layers", coefficient=0.13, powers={"params": 1 / 3, "aspect": -2 / 3}),
)
REPETITION = published("muennighoff-2023", unique_tokens=5e11)
PROBLEMS = {
    "thinking": problem_of(2.0, THINKING, by="samples"),
    "reasoning": problem_of(2.0, REASONING, by="reasoning_tokens"),
    "quantisation": problem_of(1.958, QUANTISATION),
    "shape": problem_of(1.958, SHAPE, limits=(LATENCY,)),
    "limited data": problem_of(1.958, repetition=REPETITION),
    "thinking on limited data": problem_of(2.0, REASONING, by="reasoning_tokens", repetition=REPETITION),
    "quantisation and thinking": problem_of(2.1, QUANTISATION, REASONING, by="reasoning_tokens"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_method_finds_the_same_cost(name: str):
    differences = verify(PROBLEMS[name])
    assert {"gp", "elementwise"} <= set(differences)
    assert max(differences.values()) < 1e-9


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_plan_is_proved_and_reaches_its_target(name: str):
    plan = solve(PROBLEMS[name])
    assert plan.best is not None
    assert plan.best.loss == pytest.approx(plan.target_loss, rel=1e-12)
    assert max(plan.duality_gap, plan.kkt_residual) < 1e-8
    assert {effect.kind for effect in plan.effects} == {
        *(lever.kind for lever in PROBLEMS[name].levers),
        *(["repetition"] if PROBLEMS[name].repetition else []),
    }
    assert set(plan.to_dict()["effects"]) == {effect.kind for effect in plan.effects}
    # The baseline is the model of least training compute at the same loss.
    assert plan.baseline.loss == pytest.approx(plan.target_loss, rel=1e-9)


def test_thinking_against_a_grid_over_everything():
    problem = PROBLEMS["reasoning"]
    plan = solve(problem)
    k = np.geomspace(1.0, 64.0, 1501)[:, None]
    N = np.geomspace(5e9, 8e10, 4001)
    room = 2.0 - LAW.E - 0.1 / np.sqrt(k) - LAW.A * N**-LAW.alpha
    with np.errstate(invalid="ignore"):
        D = np.where(room > 0, (LAW.B / np.where(room > 0, room, 1.0)) ** (1 / LAW.beta), np.nan)
    cost = TRAINING * N * D + SERVING * N * k
    row, column = np.unravel_index(np.nanargmin(cost), cost.shape)
    assert plan.best.total == pytest.approx(np.nanmin(cost), rel=1e-5)
    assert plan.best.total <= np.nanmin(cost)
    assert plan.effects[0].figures["reasoning_tokens"] == pytest.approx(float(k[row, 0]), rel=5e-3)
    assert plan.best.params == pytest.approx(N[column], rel=5e-3)


@pytest.mark.parametrize("serving", [1e11, 1e12, 1e13, 1e14, 1e16])
def test_samples_are_the_best_whole_number(serving: float):
    problem = problem_of(2.0, THINKING, by="samples", serving=serving)
    plan = solve(problem)
    costs = {}
    for samples in range(1, 65):
        part = held(problem, {"thinking": float(samples)})
        found = locate(part) if part is not None else None
        if found is not None and found.found:
            costs[samples] = log_cost(part, found)
    best = min(costs, key=costs.get)
    assert plan.effects[0].figures["samples"] == best
    assert math.log(plan.best.total) == pytest.approx(costs[best], abs=1e-12)


@pytest.mark.parametrize("unique", [2e11, 3e11, 8e11, 1.5e12])
def test_limited_data_against_a_grid(unique: float):
    repetition = published("muennighoff-2023", unique_tokens=unique)
    plan = solve(problem_of(1.958, repetition=repetition))
    N = np.geomspace(5e9, 2e11, 400_001)
    D = repetition.tokens_for(LAW, N, 1.958)
    cost = TRAINING * N * D + SERVING * N
    assert plan.best.total == pytest.approx(np.nanmin(cost), rel=1e-8)
    assert plan.best.total <= np.nanmin(cost) * (1 + 1e-12)
    assert plan.effects[0].figures["epochs"] == pytest.approx(plan.best.tokens / unique)


def test_data_that_is_not_repeated_changes_nothing():
    plenty = solve(problem_of(1.958, repetition=published("muennighoff-2023", unique_tokens=1e14)))
    assert plenty.best == solve(problem_of(1.958)).best


@pytest.mark.parametrize("unique", [3e11, 1e12])
def test_price_of_unique_data_is_the_derivative_of_cost(unique: float):
    def total(factor: float) -> float:
        tokens = unique * factor
        return solve(problem_of(1.958, repetition=published("muennighoff-2023", unique_tokens=tokens))).best.total

    step = 1e-4
    slope = (math.log(total(1 + step)) - math.log(total(1 - step))) / (math.log1p(step) - math.log1p(-step))
    plan = solve(problem_of(1.958, repetition=published("muennighoff-2023", unique_tokens=unique)))
    assert plan.effects[0].elasticities["unique_tokens"] == pytest.approx(slope, rel=1e-5)
    assert slope < 0


@given(st.floats(1.85, 2.5), st.floats(1e10, 1e13), st.floats(1.0, 30.0), st.floats(1.0, 30.0), st.floats(1e11, 1e15))
def test_limited_data_is_a_true_optimum(loss: float, unique: float, R_D: float, R_N: float, serving: float):
    repetition = Repetition(unique_tokens=unique, R_D=R_D, R_N=R_N)
    problem = problem_of(loss, repetition=repetition, serving=serving)
    found = locate(problem)
    if not found.found:
        N = np.geomspace(1e6, 1e16, 2001)
        # Out of reach, or so near to it that tokens bring next to nothing.
        D = repetition.tokens_for(LAW, N, loss)
        assert not np.any(np.isfinite(D) & (5.0 * unique * R_D > D) & (5.0 * R_N * repetition.unique_params(LAW) > N))
        return
    least = log_cost(found.settled, found)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
        N = found.params * factor
        D = float(repetition.tokens_for(LAW, N, loss))
        if math.isfinite(D):
            assert math.log(TRAINING * N * D + serving * N) >= least - 1e-9


@pytest.mark.parametrize("name", ["shape", "limited data", "quantisation"])
def test_a_limit_binds_and_has_its_price(name: str):
    problem = PROBLEMS[name]
    free = solve(problem)
    limit = Limit(
        label="params",
        side="max",
        quantity=Posynomial((Term(label="params", coefficient=1.0, powers={"params": 1.0}),)),
        bound=0.97 * free.best.params,
        unit="params",
        each="parameter",
    )

    def total(bound: float) -> float:
        return solve(replace(problem, limits=(*problem.limits, replace(limit, bound=bound)))).best.total

    plan = solve(replace(problem, limits=(*problem.limits, limit)))
    row = next(row for row in plan.limits if row.label == "params")
    assert row.binding
    step = 1e-4 * limit.bound
    slope = (total(limit.bound + step) - total(limit.bound - step)) / (2 * step)
    assert row.shadow_price == pytest.approx(-slope, rel=1e-3)
    # What holds the penalty is not a limit that anybody stated.
    assert {row.label for row in plan.limits} <= {"params", "time_per_output_token"}


def test_no_plan_says_what_conflicts():
    spend = ceiling("total_cost", 1e23, *PROBLEMS["reasoning"].cost.terms, unit="FLOP")
    plan = solve(replace(PROBLEMS["reasoning"], limits=(spend,)))
    assert plan.status == "infeasible"
    assert plan.conflict.labels == ("total_cost max", "target")
    (relief,) = plan.conflict.reliefs
    assert relief[1] == pytest.approx(solve(PROBLEMS["reasoning"]).best.total, rel=1e-9)
    again = solve(replace(PROBLEMS["reasoning"], target_loss=plan.conflict.least_loss * (1 + 1e-9), limits=(spend,)))
    assert again.best.total == pytest.approx(1e23, rel=1e-6)


@pytest.mark.parametrize("name", ["limited data", "reasoning"])
def test_best_loss_for_a_budget_is_that_of_the_cheapest_plan(name: str):
    cheapest = solve(PROBLEMS[name])
    spend = ceiling("total_cost", cheapest.best.total, *PROBLEMS[name].cost.terms, unit="FLOP")
    plan = solve(replace(PROBLEMS[name], objective="loss", limits=(spend,)))
    assert plan.best.loss == pytest.approx(cheapest.target_loss, rel=1e-9)
    assert plan.best.params == pytest.approx(cheapest.best.params, rel=1e-4)


def test_data_may_be_too_little_for_a_target():
    problem = problem_of(1.80, repetition=published("muennighoff-2023", unique_tokens=1e10))
    assert not has_plan(problem)
    assert not locate(problem).found


@pytest.mark.parametrize("name", ["limited data", "quantisation"])
def test_one_percent_range_is_that_of_the_whole_law(name: str):
    problem = PROBLEMS[name]
    plan = solve(problem)
    for size in plan.one_percent_range:
        tokens = fewest_tokens(problem, size)
        total = TRAINING * size * tokens + SERVING * size
        assert total == pytest.approx(1.01 * plan.best.total, rel=1e-6)


def test_levers_join_in_any_number():
    problem = PROBLEMS["quantisation and thinking"]
    both = solve(problem).best.total
    for lever in problem.levers:
        rest = tuple(other for other in problem.levers if other is not lever)
        if lever.variable:
            continue
        # Without the penalty it costs less.
        assert solve(replace(problem, levers=rest)).best.total < both
    on_little_data = replace(problem, repetition=published("muennighoff-2023", unique_tokens=3e11))
    assert solve(on_little_data).best.total > both


@pytest.mark.own_step
def test_a_whole_number_under_limited_data_is_held_where_tangents_do_not_settle():
    """Beside repeated tokens and rounded weights, one tangent after the other asks for 6, 7 or 8 samples, for ever."""
    path = Path(__file__).parents[2] / "scenarios" / "thinking.yaml"
    asked = bc.load(path, ["quantisation=kumar-2024"]).to_problem()
    asked = replace(asked, repetition=published("muennighoff-2023", unique_tokens=5e11))
    rounding, samples = asked.levers

    def total(low: float, high: float) -> float:
        plan = solve(replace(asked, levers=(rounding, replace(samples, low=low, high=high))))
        assert plan.best is not None
        assert max(plan.duality_gap, plan.kkt_residual) < 1e-9
        return plan.best.total

    fewer, seven, more = (total(number, number) for number in (6.0, 7.0, 8.0))
    assert seven < min(fewer, more)
    assert total(1.0, 64.0) == pytest.approx(seven, rel=1e-10)


def test_other_forms_of_law_take_no_extension():
    with pytest.raises(InputError, match="another form"):
        replace(PROBLEMS["limited data"], law=catalogue.law("kaplan-2020"))


def test_refusal_names_what_is_not_known():
    with pytest.raises(InputError, match="does not know quantisation and thinking yet"):
        refuse(PROBLEMS["quantisation and thinking"], "this")
    refuse(problem_of(1.958), "this")


def test_numbers_of_a_posynomial_can_be_held():
    cost = PROBLEMS["reasoning"].cost
    for k, N in itertools.product((1.0, 7.5), (1e9, 3e10)):
        point = {"params": N, "tokens": 1e12}
        assert cost.hold({"reasoning_tokens": k}).value(point) == pytest.approx(
            cost.value({**point, "reasoning_tokens": k}), rel=1e-14
        )
    assert cost.hold({}) is cost


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.97, 1.0 - 1e-6])
def test_a_size_too_small_for_the_data_is_no_plan(factor: float):
    repetition = published("muennighoff-2023", unique_tokens=2e11)
    # The least size of the target: that of as many passes as anybody likes.
    most = repetition.most_effective_tokens
    least = float(repetition.params_for(LAW, 1e6 * most, 1.958))
    cap = Limit(
        label="params",
        side="max",
        quantity=Posynomial((Term(label="params", coefficient=1.0, powers={"params": 1.0}),)),
        bound=factor * least,
        unit="params",
        each="parameter",
    )
    assert not locate(problem_of(1.958, repetition=repetition, limits=(cap,))).found
    plan = solve(problem_of(1.958, repetition=repetition, limits=(replace(cap, bound=1.2 * least),)))
    assert repetition.loss(LAW, plan.best.params, plan.best.tokens) == pytest.approx(1.958, rel=1e-9)
