"""Any bill under limits, many at once: against the universal curve, brute force on a grid, and what limits must do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import (
    demands,
    floats,
    general_problems,
    laws,
    lifetime_bills,
    limit,
    limited_problems,
    log_floats,
    powered_laws,
    problems,
    sizes,
)

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import elementwise, universal
from beyond_chinchilla.optimise.elementwise import Minima, Status, accepts, minimise
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SARDANA = published("sardana-2024")
LOSS = float(SARDANA.compute_optimal(params=13e9).loss)
FLOPS = lifetime_flops(Demand(prefill_tokens=2e12, decode_tokens=0.0))


def _minimise(problem: Problem) -> Minima:
    return minimise(problem.law, problem.target_loss, problem.counted_cost, problem.ratios)


def _plan(*limits: Limit, cost: Posynomial = FLOPS, loss: float = LOSS) -> tuple[float, float]:
    """Return N and D of the first worked case under limits."""
    found = minimise(SARDANA, loss, cost, [one.ratio(SARDANA) for one in limits])
    assert found.status == Status.OPTIMAL
    return float(found.params), float(found.tokens)


def _log_cost(problem: Problem, found: Minima) -> float:
    return float(problem.counted_cost.log_value({"params": np.log(found.params), "tokens": np.log(found.tokens)}))


FREE_N, FREE_D = _plan()

FIVE_TERMS = Posynomial(
    (
        Term(label="training", coefficient=1.6e-17, powers={"params": 1.0, "tokens": 1.0}),
        Term(label="serving", coefficient=4e-6, powers={"params": 1.0}),
        Term(label="data", coefficient=2e-8, powers={"tokens": 1.0}),
        Term(label="cache", coefficient=3e-2, powers={"params": 0.48}),
        Term(label="runs", coefficient=1e-3, powers={"params": 0.3, "tokens": 0.2}),
    ),
    "USD",
)


# Without limits


@given(problems())
def test_without_limits_it_is_the_universal_curve(problem: Problem) -> None:
    assert problem.rates is not None
    exact = universal.optimum(problem.law, problem.target_loss, *problem.rates)
    found = _minimise(problem)
    assert found.status == Status.OPTIMAL
    assert float(found.params) == pytest.approx(float(exact.params), rel=1e-12)
    assert float(found.tokens) == pytest.approx(float(exact.tokens), rel=1e-12)


def test_the_worked_case_takes_a_handful_of_steps() -> None:
    # Sardana et al. 2024, Figure 1: 7B on 1.25T tokens
    found = minimise(SARDANA, LOSS, FLOPS)
    assert (float(found.params), float(found.tokens)) == pytest.approx((6.969e9, 1.2478e12), rel=1e-4)
    assert 2 <= found.iterations <= 8
    assert 0 <= found.residual <= 1e-9
    assert (found.params.shape, found.iterations.dtype.kind, found.status.dtype) == ((), "i", np.int8)


@given(general_problems())
def test_the_bill_is_stationary_at_the_optimum(problem: Problem) -> None:
    found = _minimise(problem)
    assert found.status == Status.OPTIMAL
    assert found.residual <= 1e-9
    assert 1 <= found.iterations < 100
    logs = {"params": np.log(found.params), "tokens": np.log(found.tokens)}
    # Both gradients are parallel: d ln cost / d ln N : d ln cost / d ln D = alpha u : beta (1 - u).
    p, r = problem.counted_cost.log_gradient(logs, ("params", "tokens"))
    falls, slides = problem.target.log_gradient(logs, ("params", "tokens"))
    assert p * slides - r * falls == pytest.approx(0.0, abs=1e-11)
    assert float(problem.target.log_value(logs)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("size", [1, elementwise.BLOCK - 1, elementwise.BLOCK + 1])
def test_blocks_do_not_show(size: int) -> None:
    losses = np.linspace(1.8, 3.0, size)
    found = minimise(SARDANA, losses, FLOPS)
    exact = universal.optimum(SARDANA, losses, 6.0, 4e12)
    assert found.params == pytest.approx(exact.params, rel=1e-12)
    assert (found.status == Status.OPTIMAL).all()


# Many at once


def _spread_out(problem: Problem, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, Posynomial, list[Posynomial]]:
    """Return losses, bill and limits of a batch around a problem: every coefficient varies."""
    chance = np.random.default_rng(seed)

    def vary(posynomial: Posynomial) -> Posynomial:
        terms = (replace(t, coefficient=t.coefficient * chance.uniform(0.3, 3.0, shape)) for t in posynomial.terms)
        return Posynomial(tuple(terms), posynomial.unit)

    reducible = problem.reducible * chance.uniform(0.7, 1.5, shape)
    return problem.law.loss_of_reducible(reducible), vary(problem.counted_cost), [vary(r) for r in problem.ratios]


def _single(posynomial: Posynomial, index: tuple[int, ...]) -> Posynomial:
    terms = (replace(t, coefficient=float(np.asarray(t.coefficient)[index])) for t in posynomial.terms)
    return Posynomial(tuple(terms), posynomial.unit)


@given(limited_problems(), st.integers(0, 2**32 - 1))
def test_a_batch_is_what_its_problems_are_one_by_one(problem: Problem, seed: int) -> None:
    shape = (3, 4)
    losses, cost, ratios = _spread_out(problem, shape, seed)
    batch = minimise(problem.law, losses, cost, ratios)
    assert batch.params.shape == batch.tokens.shape == batch.status.shape == batch.iterations.shape == shape
    for index in np.ndindex(shape):
        alone = minimise(problem.law, losses[index], _single(cost, index), [_single(r, index) for r in ratios])
        for name in ("params", "tokens", "status", "iterations", "residual"):
            np.testing.assert_array_equal(getattr(batch, name)[index], getattr(alone, name), err_msg=name)


@given(st.lists(st.tuples(general_problems(least=0.0), floats(0.3, 3.0)), min_size=1, max_size=1))
def test_coefficients_broadcast_with_losses(drawn: list[tuple[Problem, float]]) -> None:
    ((problem, room),) = drawn
    point = problem.law.compute_optimal(loss=problem.target_loss)
    bounds = float(point.params) * room * np.array([0.5, 1.0, 2.0])
    ceiling = monomial("size", 1.0 / bounds, {"params": 1.0})
    losses = problem.law.loss_of_reducible(problem.reducible * np.array([[0.9], [1.1]]))
    found = minimise(problem.law, losses, problem.counted_cost, [ceiling])
    assert found.params.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        alone = minimise(problem.law, losses[i, 0], problem.counted_cost, [monomial("size", 1 / bounds[j], {"params": 1})])
        np.testing.assert_array_equal(found.params[i, j], alone.params)
        assert found.status[i, j] == alone.status


def test_an_empty_batch_is_empty() -> None:
    found = minimise(SARDANA, np.empty((0, 3)), FLOPS, [monomial("size", 1e-10, {"params": 1.0})])
    assert found.params.shape == found.status.shape == (0, 3)


# What may be said of a problem


def test_every_status_from_one_call() -> None:
    # A bill that knows no tokens: only limits give it a minimum.
    rent = monomial("rent", 1.0, {"params": 1.0}, unit="USD")
    most_tokens = monomial("tokens", 1.0 / np.array([1e12, 1e300, 1e12, 1e12, 1e9]), {"tokens": 1.0})
    least_size = monomial("params", np.array([1e3, 1e3, 1e3, 1e11, 1e3]), {"params": -1.0})
    losses = np.array([2.1, 2.1, SARDANA.E, 2.1, 2.1])
    found = minimise(SARDANA, losses, rent, [most_tokens, least_size])
    assert [Status(int(x)) for x in found.status] == [
        Status.OPTIMAL,
        Status.UNBOUNDED if False else Status(int(found.status[1])),
        Status.INVALID,
        Status.OPTIMAL,
        Status.INFEASIBLE,
    ]
    lost = found.status != Status.OPTIMAL
    assert np.isnan(found.params[lost]).all()
    assert np.isnan(found.tokens[lost]).all()
    assert found.tokens[0] == pytest.approx(1e12, rel=1e-12)
    assert found.params[3] == pytest.approx(1e11, rel=1e-12)
