"""One's own plan beside ours: what it costs over the best of equal loss, and what it breaks."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import general_problems, limit, log_floats, problems

from beyond_chinchilla.analyse.compare import compare
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve

SARDANA = published("sardana-2024")
FLOPS = lifetime_flops(Demand(prefill_tokens=2e12, decode_tokens=0.0))
# 13B quality and 2T tokens: 7B on 1.25T
PROBLEM = Problem(law=SARDANA, target_loss=float(SARDANA.compute_optimal(params=13e9).loss), cost=FLOPS, flops=FLOPS)


def _best(plan: Plan) -> Candidate:
    assert plan.best is not None
    return plan.best


@given(st.one_of(problems(), general_problems()))
def test_the_optimum_costs_nothing_over_itself(problem: Problem) -> None:
    best = _best(solve(problem))
    mine = compare(problem, "mine", params=best.params, tokens=best.tokens)
    assert mine.meets_target
    assert 0 <= mine.excess_fraction < 1e-11
    assert mine.candidate.total == pytest.approx(best.total, rel=1e-12)
    assert mine.candidate.loss == pytest.approx(best.loss, rel=1e-12)


@given(problems(), log_floats(0.1, 10.0), log_floats(0.1, 10.0))
def test_any_other_model_costs_more_than_the_best_of_its_loss(problem: Problem, size: float, data: float) -> None:
    best = _best(solve(problem))
    params, tokens = best.params * size, best.tokens * data
    mine = compare(problem, "mine", params=params, tokens=tokens)
    equal = _best(solve(replace(problem, target_loss=float(problem.law.loss(params, tokens)))))
    assert mine.excess_fraction >= 0
    assert mine.excess == pytest.approx(mine.candidate.total - equal.total, rel=1e-9, abs=1e-12 * equal.total)
    assert mine.excess_fraction == pytest.approx(mine.excess / equal.total, rel=1e-9, abs=1e-15)
    assert mine.candidate.loss == pytest.approx(equal.loss, rel=1e-12)
    # Moved against the bill's balance it is dearer, visibly.
    if size > 1.1 and data < 0.9:
        assert mine.excess_fraction > 1e-9
    assert mine.meets_target == (float(problem.law.loss(params, tokens)) <= problem.target_loss * (1 + 1e-12))


def test_chinchilla_beside_the_first_worked_case() -> None:
    # Sardana et al. 2024, Figure 1: the 13B model costs 17% of itself more, 1.7e22 FLOPs
    tokens = float(SARDANA.compute_optimal(params=13e9).tokens)
    mine = compare(PROBLEM, "chinchilla", params=13e9, tokens=tokens)
    assert mine.excess == pytest.approx(1.692e22, abs=5e18)
    assert mine.excess_fraction == pytest.approx(0.1745 / (1 - 0.1745), abs=1e-4)
    assert mine.meets_target
    assert mine.candidate.terms["training"] == pytest.approx(6 * 13e9 * tokens, rel=1e-14)


def test_a_weaker_model_does_not_meet_the_target_and_is_judged_by_its_own_loss() -> None:
    best = _best(solve(PROBLEM))
    mine = compare(PROBLEM, "weak", params=best.params, tokens=0.5 * best.tokens)
    assert not mine.meets_target
    assert mine.candidate.loss > PROBLEM.target_loss
    # Cheaper than the plan, dearer than the best that is as weak
    assert mine.candidate.total < best.total
    assert mine.excess > 0
    assert not compare(PROBLEM, "hair", params=best.params, tokens=best.tokens * (1 - 1e-6)).meets_target


def test_broken_limits_are_named_and_set_aside() -> None:
    limits = (limit("params", "max", 5e9), limit("tokens", "min", 1e12), limit("tokens", "max", 3e12))
    problem = replace(PROBLEM, limits=limits)
    for params, tokens, breaks in (
        (4e9, 2e12, ()),
        (6e9, 2e12, ("params",)),
        (6e9, 5e11, ("params", "tokens")),
        (5e9, 4e12, ("tokens",)),
        (5e9, 3e12, ()),
    ):
        mine = compare(problem, "mine", params=params, tokens=tokens)
        assert mine.candidate.breaks == breaks
        assert mine.to_dict()["breaks"] == list(breaks)
        # What is left of the comparison does not know the limits.
        free = compare(PROBLEM, "mine", params=params, tokens=tokens)
        assert (mine.excess, mine.excess_fraction) == (free.excess, free.excess_fraction)


def test_params_are_all_parameters_whatever_the_law_counts() -> None:
    problem = replace(PROBLEM, law=published("kaplan-2020"), target_loss=2.4)
    best = _best(solve(problem))
    assert compare(problem, "mine", params=best.params, tokens=best.tokens).excess_fraction < 1e-11
    mine = compare(problem, "mine", params=7e9, tokens=2e12)
    assert mine.candidate.params == pytest.approx(7e9, rel=1e-12)
    assert mine.candidate.training_flops == pytest.approx(6 * 7e9 * 2e12, rel=1e-12)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["params", "tokens"])
def test_a_model_has_a_size_and_tokens(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"compare mine: {name} must be above zero and finite, not {value}"):
        compare(PROBLEM, "mine", **({"params": 7e9, "tokens": 2e12} | {name: value}))


def test_a_comparison_as_json() -> None:
    mine = compare(PROBLEM, "mine", params=7e9, tokens=2e12)
    row = json.loads(json.dumps(mine.to_dict(), allow_nan=False))
    assert (row["name"], row["params"], row["tokens"]) == ("mine", 7e9, 2e12)
    assert row["breaks"] == []
    assert row["meets_target"] is True
    assert row["excess"] == {"absolute": mine.excess, "fraction": mine.excess_fraction}
    assert sum(term["value"] for term in row["terms"]) == pytest.approx(row["total"], rel=1e-15)
