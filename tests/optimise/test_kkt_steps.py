"""The parts of the certificate and of Newton's method by hand, each against a closed form or scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import nnls

from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise import kkt
from beyond_chinchilla.optimise.kkt import (
    Array,
    Local,
    Stack,
    certify,
    certify_stack,
    kkt_residual,
    polish,
    price_limits,
)
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SARDANA = published("sardana-2024")
TARGET = SARDANA.posynomial().times(1.0 / 0.268)
BILL = monomial("training", 9.6e-18, {"params": 1, "tokens": 1}) + monomial("serving", 1e-4, {"params": 1})
BOTH_WAYS = Posynomial(
    (Term(label="up", coefficient=1.0, powers={"x": 1.0}), Term(label="down", coefficient=1.0, powers={"x": -1.0}))
)


def _here(gradient: Sequence[float], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Local:
    n = len(gradient)
    gradients = np.vstack((np.array(gradient, dtype=float), np.array(rows, dtype=float).reshape(len(values), n)))
    return Local(np.concatenate(([0.0], values)), np.ones(1), gradients)


# What violates the conditions


@pytest.mark.parametrize(
    ("gradient", "rows", "values", "multipliers", "residual"),
    [
        # Stationarity, a broken limit, a price on a slack one, a negative price; each the largest in its turn
        ([1.0, -3.0], [[-1.0, 2.0]], [-1e-9], [1.0], 1.0),
        ([1.0, 0.0], [[-1.0, 0.0]], [0.25], [1.0], 0.25),
        ([0.2, 0.0], [[-0.1, 0.0]], [-0.7], [2.0], 1.4),
        ([0.5, 0.0], [[1.0, 0.0]], [-0.01], [-0.5], 0.5),
        ([1.0, 0.0], [[-1.0, 0.0]], [0.0], [1.0], 0.0),
        ([1.0, 0.0], [[-1.0, 0.0], [0.0, 0.0]], [0.0, -5.0], [1.0, 0.0], 0.0),
        ([0.5, -0.75], [], [], [], 0.75),
    ],
)
def test_the_residual_is_the_largest_violation(
    gradient: list[float], rows: list[list[float]], values: list[float], multipliers: list[float], residual: float
) -> None:
    assert kkt_residual(_here(gradient, rows, values), np.array(multipliers)) == pytest.approx(residual, abs=1e-15)


@pytest.mark.parametrize("at", [0, 1])
def test_what_is_not_a_number_is_no_small_residual(at: int) -> None:
    prices = np.array([1.0, 1.0])
    prices[at] = np.nan
    here = _here([1.0, 1.0], [[-1.0, 0.0], [0.0, -1.0]], [0.0, 0.0])
    assert math.isnan(kkt_residual(here, prices))
    assert math.isnan(kkt_residual(_here([0.0], [[0.0]], [math.nan]), np.zeros(1)))


# Prices


def test_nonnegative_least_squares_as_scipy_has_it() -> None:
    draw = np.random.default_rng(5)
    for _ in range(30):
        columns = draw.normal(size=(3, draw.integers(1, 7)))
        target = draw.normal(size=3) * 10.0 ** draw.integers(-3, 4)
        mine, theirs = kkt._nonnegative_least_squares(columns, target), nnls(columns, target)[0]
        missed = [np.linalg.norm(columns @ x - target) for x in (mine, theirs)]
        assert (mine >= 0.0).all()
        assert missed[0] == pytest.approx(missed[1], rel=1e-9, abs=1e-12 * np.linalg.norm(target))


def test_the_first_of_equal_columns_takes_the_whole_weight() -> None:
    column = np.array([[0.6, 0.6, 0.6], [0.8, 0.8, 0.8]])
    assert kkt._nonnegative_least_squares(column, np.array([3.0, 4.0])) == pytest.approx([5.0, 0.0, 0.0], abs=1e-13)
    # Equal to a billionth: still the first
    column[:, 1] *= 1.0 + 1e-10
    assert kkt._nonnegative_least_squares(column, np.array([3.0, 4.0])) == pytest.approx([5.0, 0.0, 0.0], abs=1e-9)
    column[:, 2] *= 1.0 + 1e-6
    found = kkt._nonnegative_least_squares(column, np.array([3.0, 4.0]))
    assert found[:2].tolist() == [0.0, 0.0]
    assert kkt._nonnegative_least_squares(column, np.array([-3.0, -4.0])).tolist() == [0.0, 0.0, 0.0]


def test_a_weight_that_turns_negative_leaves_again() -> None:
    # The first column is nearest to the target, and no part of the answer.
    columns = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.2, 0.0, 0.0]]).T
    target = np.array([2.0, 1.0, 1.5])
    found = kkt._nonnegative_least_squares(columns, target)
    assert found == pytest.approx(nnls(columns, target)[0], abs=1e-12)
    assert found.min() == 0.0


@pytest.mark.parametrize(("slack", "priced"), [(0.0, True), (0.9e-9, True), (1.1e-9, False)])
def test_only_limits_met_with_equality_have_a_price(slack: float, priced: bool) -> None:
    here = _here([2.0, 6.0], [[-4.0, 0.0], [0.0, -3.0], [0.0, 0.0]], [-slack, 0.0, 0.0])
    assert price_limits(here, 1e-9).tolist() == pytest.approx([0.5 if priced else 0.0, 2.0, 0.0], abs=1e-13)


def test_of_parallel_limits_the_tightest_for_its_steepness_is_priced() -> None:
    # The second is nearer to its bound by its own measure, the first by how far one may go.
    here = _here([1.0], [[-1.0], [-10.0]], [-2e-10, -1e-9])
    assert price_limits(here, 1e-8).tolist() == pytest.approx([0.0, 0.1], abs=1e-14)
    here = _here([1.0], [[-1.0], [-10.0]], [-2e-10, -3e-9])
    assert price_limits(here, 1e-8).tolist() == pytest.approx([1.0, 0.0], abs=1e-14)
    # Equal but for rounding: the first
    here = _here([1.0], [[-1.0], [-1.0]], [-1e-15, 0.0])
    assert price_limits(here, 1e-9).tolist() == pytest.approx([1.0, 0.0], abs=1e-14)
    assert price_limits(_here([1.0], [], []), 1e-9).tolist() == []


# Steps


def test_a_step_under_equalities_solves_its_conditions() -> None:
    curvature = np.array([[2.0, 0.5], [0.5, 1.0]])
    gradient, rows, values = np.array([1.0, -1.0]), np.array([[1.0, 2.0]]), np.array([0.75])
    step, prices = kkt._equality_step(curvature, gradient, rows, values)
    assert curvature @ step + gradient + rows.T @ prices == pytest.approx([0.0, 0.0], abs=1e-14)
    assert rows @ step + values == pytest.approx([0.0], abs=1e-14)
    step, prices = kkt._equality_step(curvature, gradient, np.empty((0, 2)), np.empty(0))
    assert curvature @ step == pytest.approx(-gradient, abs=1e-14)
    assert prices.size == 0
    # One limit twice leaves its price open: the smallest prices will do.
    twice = np.array([[1.0, 2.0], [1.0, 2.0]])
    step, prices = kkt._equality_step(curvature, gradient, twice, np.array([0.75, 0.75]))
    assert twice @ step == pytest.approx([-0.75, -0.75], abs=1e-12)
    assert prices[0] == pytest.approx(prices[1], abs=1e-12)


@pytest.mark.parametrize("basis", [[], [0], [1], [0, 1], [2], [3]])
@pytest.mark.parametrize(
    ("gradient", "values", "step", "multipliers"),
    [
        # Free
        ([-1.0, -2.0], [-5.0, -5.0, -50.0, 1.0], [1.0, 2.0], [0.0, 0.0, 0.0, 0.0]),
        # The first holds, then both, then the third, of which the first is a tenth
        ([-1.0, -2.0], [-0.5, -5.0, -50.0, 1.0], [0.5, 2.0], [0.5, 0.0, 0.0, 0.0]),
        ([-1.0, -2.0], [-0.5, -0.25, -50.0, 1.0], [0.5, 0.25], [0.5, 1.75, 0.0, 0.0]),
        ([-1.0, -2.0], [-0.5, -5.0, -3.0, 1.0], [0.3, 2.0], [0.0, 0.0, 0.07, 0.0]),
        # What is broken is mended, dear as it is.
        ([1.0, 2.0], [3.0, -0.25, -50.0, 1.0], [-3.0, -2.0], [2.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_quadratic_step_finds_its_active_limits(
    basis: list[int], gradient: list[float], values: list[float], step: list[float], multipliers: list[float]
) -> None:
    # The last limit knows no variable: it is broken whatever is done, and no step's matter.
    rows = [[1.0, 0.0], [0.0, 1.0], [10.0, 0.0], [0.0, 0.0]]
    if basis == [3]:
        basis = []
    here = _here(gradient, rows, values)
    found, prices, active = kkt._quadratic_step(here, np.eye(2), basis)
    assert found == pytest.approx(step, abs=1e-9)
    assert prices == pytest.approx(multipliers, abs=1e-9)
    assert [k for k, price in enumerate(multipliers) if price > 0] == active


def test_a_limit_enters_in_exchange_for_one_on_which_it_depends() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    assert kkt._enter(rows, np.empty(0), [], 3) == [3]
    assert kkt._enter(rows, np.array([1.0]), [1], 0) == [0, 1]
    assert kkt._enter(rows, np.array([1.0]), [0], 2) == [2]
    # The one whose price a share of the new one drives to zero first
    assert kkt._enter(rows, np.array([1.0, 2.0]), [0, 1], 3) == [1, 3]
    assert kkt._enter(rows, np.array([2.0, 1.0]), [0, 1], 3) == [0, 3]
    # None that would give way
    assert kkt._enter(rows, np.array([1.0, 2.0]), [0, 1], 4) == [0, 1]


@pytest.mark.parametrize(("step", "length"), [([10.0, -5.0], 0.2), ([-4.0, 1.0], 0.5), ([1.0, -2.0], 1.0)])
def test_no_step_is_longer_than_two_in_logs(monkeypatch: pytest.MonkeyPatch, step: list[float], length: float) -> None:
    stack = Stack(BILL, [TARGET])
    y = np.array([23.0, 29.8])
    seen: list[Array] = []
    at = Stack.at

    def watched(self: Stack, point: Array) -> Local:
        seen.append(point.copy())
        return at(self, point)

    def once(here: Local, curvature: Array, basis: list[int]) -> tuple[Array, Array, list[int]]:
        return np.array(step), np.array([4.0]), basis

    monkeypatch.setattr(Stack, "at", watched)
    monkeypatch.setattr(kkt, "_quadratic_step", once)
    kkt.newton(stack, y, np.array([4.5]))
    moved = next(point for point in seen if not np.array_equal(point, y))
    assert moved - y == pytest.approx(length * np.array(step), rel=1e-12)


@pytest.mark.parametrize("off", [1e-3, 0.1, 1.0])
def test_newtons_method_squares_what_it_misses_by(monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    exact, prices = polish(BILL, [TARGET], {"params": 23.0, "tokens": 29.8}, [4.5])
    steps = []
    plain = kkt._quadratic_step

    def counted(here: Local, curvature: Array, basis: list[int]) -> tuple[Array, Array, list[int]]:
        steps.append(len(basis))
        return plain(here, curvature, basis)

    monkeypatch.setattr(kkt, "_quadratic_step", counted)
    found, again = polish(BILL, [TARGET], {name: value + off for name, value in exact.items()}, [4.5])
    assert found == pytest.approx(exact, abs=1e-12)
    assert again == pytest.approx(prices, rel=1e-10)
    assert len(steps) <= {1e-3: 5, 0.1: 7, 1.0: 9}[off]
    # At the optimum itself nothing is left to do but to look.
    del steps[:]
    polish(BILL, [TARGET], exact, prices)
    assert len(steps) <= 3


def test_a_plan_whose_prices_are_not_numbers_stays() -> None:
    stack = Stack(BILL, [TARGET])
    y, nu = kkt.newton(stack, np.array([23.0, 29.8]), np.array([math.nan]))
    assert y.tolist() == [23.0, 29.8]
    assert np.isnan(nu).all()


# The certificate


@pytest.mark.parametrize("x", [0.5, 1.0, 1.5, 4.0])
def test_the_gap_of_two_terms_is_what_the_plan_is_above_the_least(x: float) -> None:
    # x + 1/x is 2 at least.
    proof = certify(BOTH_WAYS, [], {"x": math.log(x)}, [])
    assert proof.duality_gap == pytest.approx(1.0 - 2.0 / (x + 1.0 / x), rel=1e-9, abs=1e-15)
    assert proof.kkt_residual == pytest.approx(abs(x - 1.0 / x) / (x + 1.0 / x), abs=1e-15)
    assert proof.multipliers == ()


@pytest.mark.parametrize("prices", [[1.0, 2.0], [0.3, 5.0], [2.0, 1.0]])
def test_the_gap_of_slack_limits_is_what_they_leave(prices: list[float]) -> None:
    # x y^2 under 1/x <= 1 and 1/y <= 1, at (1.25, 1.5): 2.8125 against 1; the weights can only be 1 and 2.
    cost = monomial("cost", 1.0, {"x": 1.0, "y": 2.0})
    limits = [monomial("x", 1.0, {"x": -1.0}), monomial("y", 1.0, {"y": -1.0})]
    proof = certify(cost, limits, {"x": math.log(1.25), "y": math.log(1.5)}, prices)
    assert proof.duality_gap == pytest.approx(1.0 - 1.0 / 2.8125, rel=1e-12)
    assert proof.multipliers == tuple(prices)


def test_weights_move_by_the_least_that_balances_them() -> None:
    stack = Stack(BOTH_WAYS, [])
    weights = kkt._orthogonal_weights(stack, np.array([0.8, 0.2]))
    assert weights == pytest.approx([0.5, 0.5], abs=1e-15)
    # Three terms of one variable: w - w_0 in proportion to w_0 (power - mean)
    three = Posynomial(tuple(Term(label=str(p), coefficient=1.0, powers={"x": float(p)}) for p in (-1, 1, 2)))
    start = np.array([0.5004, 0.3996, 0.1])
    mean = float(start @ [-1.0, 1.0, 2.0])
    spread = float(start @ np.array([1.0, 1.0, 4.0])) - mean**2
    once = start * (1.0 - mean * (np.array([-1.0, 1.0, 2.0]) - mean) / spread)
    found = kkt._orthogonal_weights(Stack(three, []), start)
    assert found == pytest.approx(once, abs=2e-7)
    assert found.sum() == pytest.approx(1.0, abs=1e-15)
    assert float(found @ [-1.0, 1.0, 2.0]) == pytest.approx(0.0, abs=1e-15)


def test_weights_of_limits_need_not_add_up_to_anything() -> None:
    stack = Stack(monomial("cost", 1.0, {"x": 3.0}), [BOTH_WAYS])
    found = kkt._orthogonal_weights(stack, np.array([1.0, 0.1, 0.2]))
    assert found[0] == 1.0
    assert 3.0 + found[1] - found[2] == pytest.approx(0.0, abs=4e-16)
    assert (found >= 0.0).all()
    # A weight of nothing stays: nothing can be balanced, and the nearest is kept.
    assert kkt._orthogonal_weights(stack, np.array([1.0, 0.0, 0.0])).tolist() == [1.0, 0.0, 0.0]


def test_a_gap_over_a_box_is_linear_in_what_is_left() -> None:
    stack = Stack(monomial("cost", 1.0, {"x": 3.0}), [])
    for box in (1e-6, 1e-3):
        assert certify_stack(stack, np.array([2.0]), np.empty(0), box).duality_gap == pytest.approx(
            -math.expm1(-3.0 * box), rel=1e-9
        )
    assert certify_stack(stack, np.array([math.nan]), np.empty(0)).duality_gap == 1.0
    assert pytest.approx(13.815510557964274, rel=1e-15) == kkt.BOX


def test_a_negative_price_counts_as_none_in_the_gap() -> None:
    cost, floor = monomial("rent", 3.0, {"x": 1.0}), monomial("floor", 7.0, {"x": -1.0})
    idle = monomial("idle", 0.5, {"x": 0.0})
    found = certify(cost, [floor, idle], {"x": math.log(8.0)}, [1.0, -2.0])
    assert found.duality_gap == pytest.approx(0.125, rel=1e-12)
    assert found.multipliers == (1.0, -2.0)
    assert found.kkt_residual == 2.0


def test_covariances_of_powers_make_the_hessian() -> None:
    stack = Stack(BILL, [TARGET])
    y = np.array([23.0, 29.8])
    h = 1e-4

    def lagrangian(point: Array) -> float:
        values = stack.at(point).values
        return float(values[0] + 3.0 * values[1])

    found = stack.hessian(stack.at(y), np.array([3.0]))
    for i, j in np.ndindex(2, 2):
        e, f = h * np.eye(2)[i], h * np.eye(2)[j]
        numeric = (lagrangian(y + e + f) - lagrangian(y + e - f) - lagrangian(y - e + f) + lagrangian(y - e - f)) / (
            4 * h * h
        )
        assert found[i, j] == pytest.approx(numeric, rel=1e-4, abs=1e-7)
    assert stack.log_terms(y)[0] == pytest.approx(math.log(9.6e-18) + 52.8, rel=1e-14)
    assert (stack.counts.tolist(), stack.starts.tolist(), stack.owner.tolist()) == ([2, 2], [0, 2], [0, 0, 1, 1])
