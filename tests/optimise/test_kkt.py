"""The optimality conditions: what proves a plan must fail on a plan that is none, and never claim too much."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import floats, problems

from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.kkt import Stack, certify, multipliers_at, polish
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SARDANA = published("sardana-2024")
TARGET = SARDANA.posynomial().times(1.0 / 0.268)
BILL = monomial("training", 9.6e-18, {"params": 1, "tokens": 1}) + monomial("serving", 1e-4, {"params": 1})


def _optimum(problem: Problem) -> tuple[dict[str, float], Posynomial, float]:
    """Return logs, target and multiplier by the universal curve: exact, and no part of what is tested."""
    assert problem.rates is not None
    found = universal.optimum(problem.law, problem.target_loss, *problem.rates)
    assume(found.status == universal.Status.OPTIMAL)
    logs = {"params": float(np.log(found.params)), "tokens": float(np.log(found.tokens))}
    law, s = problem.law, float(found.spend_ratio)
    # Envelope theorem: d ln C/d ln R = -(1 + q s)/(alpha q (1 + s)) (DESIGN 2.3)
    price = (1 + law.data_share * s) / (law.alpha * law.data_share * (1 + s))
    return logs, law.posynomial().times(1.0 / problem.reducible), price


# Polish


@given(problems(), st.tuples(floats(-1e-2, 1e-2), floats(-1e-2, 1e-2)), floats(0.5, 2.0))
def test_polish_reaches_the_exact_optimum(problem: Problem, offsets: tuple[float, float], wrong: float) -> None:
    logs, target, price = _optimum(problem)
    near = {"params": logs["params"] + offsets[0], "tokens": logs["tokens"] + offsets[1]}
    polished, multipliers = polish(problem.cost, [target], near, [wrong * price])
    assert float(problem.cost.log_value(polished)) == pytest.approx(float(problem.cost.log_value(logs)), abs=1e-12)
    assert float(target.log_value(polished)) == pytest.approx(0.0, abs=1e-13)
    assert multipliers == pytest.approx([price], rel=1e-6)


def test_polish_finds_which_limits_bind() -> None:
    logs, _ = polish(BILL, [TARGET], {"params": 23.0, "tokens": 29.8}, [4.5])
    N, D = math.exp(logs["params"]), math.exp(logs["tokens"])
    close = monomial("close", 1.0 / (1.0001 * N), {"params": 1})
    broken = monomial("broken", 1.0 / (0.9999 * N), {"params": 1})
    far = monomial("far", 1.0 / (10 * D), {"tokens": 1})
    # Given as binding, a limit that does not bind is dropped; given as slack, one that is broken is added.
    found, multipliers = polish(
        BILL, [TARGET, close, far], {"params": math.log(1.0001 * N), "tokens": 29.8}, [4.5, 1, 0]
    )
    assert found["params"] == pytest.approx(math.log(N), abs=1e-12)
    assert multipliers[1:] == (0.0, 0.0)
    found, multipliers = polish(BILL, [TARGET, broken, far], logs, [4.5, 0.0, 0.0])
    assert found["params"] == pytest.approx(math.log(0.9999 * N), abs=1e-14)
    assert multipliers[1] > 0
    assert multipliers[2] == 0.0


def test_polish_solves_a_corner_and_parallel_limits() -> None:
    # Linear in logs: only the limits bend. Two floors on the same quantity, one a power of the other.
    cost = monomial("cost", 3.0, {"params": 1, "tokens": 2})
    limits = [
        monomial("floor", 1e9, {"params": -1}),
        monomial("square", 1e20, {"params": -2}),
        monomial("tokens", 1e12, {"tokens": -1}),
        monomial("same", 1e12, {"tokens": -1}),
    ]
    logs, multipliers = polish(cost, limits, {"params": 23.1, "tokens": 27.5}, [0.5, 0.5, 0.1, 3.0])
    assert [math.exp(logs[v]) for v in ("params", "tokens")] == pytest.approx([1e10, 1e12], rel=1e-13)
    assert multipliers == pytest.approx([0.0, 0.5, 2.0, 0.0], abs=1e-12)


@given(
    st.tuples(floats(-300, 300), floats(-300, 300)),
    st.lists(st.floats(allow_nan=False, min_value=-1e6, max_value=1e6), min_size=3, max_size=3),
)
def test_polish_never_makes_it_worse_or_nan(point: tuple[float, float], multipliers: list[float]) -> None:
    logs = {"params": point[0], "tokens": point[1]}
    limits = [TARGET, TARGET, monomial("max", 1e-10, {"params": 1})]
    before = certify(BILL, limits, logs, multipliers).kkt_residual
    found, prices = polish(BILL, limits, logs, multipliers)
    assert np.all(np.isfinite([*found.values(), *prices]))
    assert certify(BILL, limits, found, prices).kkt_residual <= before


# Multipliers


@given(problems())
def test_multipliers_at_the_optimum_are_the_envelope_theorems(problem: Problem) -> None:
    logs, target, price = _optimum(problem)
    slack = monomial("slack", math.exp(-logs["params"] - 1.0), {"params": 1})
    assert multipliers_at(problem.cost, [target, slack], logs) == pytest.approx([price, 0.0], rel=1e-6)


def test_multipliers_go_to_the_tightest_and_then_to_the_first() -> None:
    cost = monomial("cost", 1.0, {"params": 1})
    first, twin = monomial("first", 1e9, {"params": -1}), monomial("twin", 1e27, {"params": -3})
    tight = monomial("tight", 1e9 * (1 + 1e-10), {"params": -1})
    logs = {"params": math.log(1e9)}
    assert multipliers_at(cost, [first, twin], logs) == pytest.approx([1.0, 0.0], abs=1e-12)
    assert multipliers_at(cost, [twin, first], logs) == pytest.approx([1 / 3, 0.0], abs=1e-12)
    assert multipliers_at(cost, [first, twin, tight], logs) == pytest.approx([0.0, 0.0, 1.0], abs=1e-12)


def test_multipliers_are_never_negative() -> None:
    # At a ceiling on what is cheap anyway no price >= 0 helps; with a floor beside it, the floor alone is paid.
    cost = monomial("cost", 1.0, {"params": 1})
    ceiling, floor = monomial("max", 1e-9, {"params": 1}), monomial("min", 1e9, {"params": -1})
    assert multipliers_at(cost, [ceiling], {"params": math.log(1e9)}) == (0.0,)
    assert multipliers_at(cost, [ceiling, floor], {"params": math.log(1e9)}) == pytest.approx([0.0, 1.0], abs=1e-12)


# The certificate


@given(problems())
def test_the_optimum_is_proved_to_the_last_digits(problem: Problem) -> None:
    logs, target, price = _optimum(problem)
    proof = certify(problem.cost, [target], *polish(problem.cost, [target], logs, [price]))
    assert proof.duality_gap <= 5e-14
    assert proof.kkt_residual <= 1e-13
    assert proof.multipliers == pytest.approx([price], rel=1e-6)


@given(problems(), st.tuples(floats(-3.0, 3.0), floats(-3.0, 3.0)), floats(0.2, 3.0))
def test_the_gap_bounds_what_any_plan_leaves_on_the_table(
    problem: Problem, offsets: tuple[float, float], wrong: float
) -> None:
    logs, target, price = _optimum(problem)
    plan = {"params": logs["params"] + offsets[0], "tokens": logs["tokens"] + offsets[1]}
    excess = -math.expm1(float(problem.cost.log_value(logs) - problem.cost.log_value(plan)))
    # With the right multipliers, with wrong ones, and with those that fit this plan best
    for multipliers in ([price], [wrong * price], multipliers_at(problem.cost, [target], plan)):
        assert certify(problem.cost, [target], plan, multipliers).duality_gap >= excess - 1e-13


@given(problems(), floats(-1e-3, 1e-3))
def test_the_gap_of_a_plan_on_the_curve_is_close_to_its_excess(problem: Problem, offset: float) -> None:
    logs, target, price = _optimum(problem)
    N = math.exp(logs["params"] + offset)
    D = float(problem.law.tokens_for(problem.law.counted_params(N), problem.target_loss))
    assume(math.isfinite(D))
    plan = {"params": logs["params"] + offset, "tokens": math.log(D)}
    excess = float(problem.cost.log_value(plan) - problem.cost.log_value(logs))
    assert certify(problem.cost, [target], plan, [price]).duality_gap <= 2.0 * excess + 1e-12


def test_a_wrong_plan_and_wrong_prices_show() -> None:
    logs, multipliers = polish(BILL, [TARGET], {"params": 23.0, "tokens": 29.8}, [4.5])
    right = certify(BILL, [TARGET], logs, multipliers)
    assert right.duality_gap <= 1e-14
    assert right.kkt_residual <= 1e-14
    assert certify(BILL, [TARGET], logs, [0.0]).duality_gap > 0.1
    assert certify(BILL, [TARGET], logs, [-1.0]).kkt_residual >= 1.0
    assert certify(BILL, [TARGET], logs, [math.nan]).duality_gap == 1.0
    broken = {name: value - 0.1 for name, value in logs.items()}
    assert certify(BILL, [TARGET], broken, multipliers).kkt_residual >= float(TARGET.log_value(broken)) > 0.02


def test_what_is_left_of_the_residual_costs_the_width_of_the_box() -> None:
    # Nothing holds params up: no weights make A^T w = 0, and over a box of 1e-3 params save 1e-3.
    cost = monomial("cost", 1.0, {"params": 1})
    proof = certify(cost, [], {"params": 20.0}, [], box=1e-3)
    assert proof.duality_gap == pytest.approx(-math.expm1(-1e-3), rel=1e-12)
    assert certify(cost, [], {"params": 20.0}, []).duality_gap == pytest.approx(1 - 1e-6, rel=1e-12)


def test_terms_that_vanish_do_no_harm() -> None:
    logs, multipliers = polish(BILL, [TARGET], {"params": 23.0, "tokens": 29.8}, [4.5])
    tiny = Term(label="tiny", coefficient=1e-300, powers={"params": -9.0, "tokens": 1.0})
    cost = replace(BILL, terms=(*BILL.terms, tiny))
    proof = certify(cost, [TARGET], logs, multipliers)
    assert proof.duality_gap <= 1e-14


def test_a_stack_reads_the_posynomials() -> None:
    stack = Stack(BILL, [TARGET, monomial("max", 1e-10, {"batch": 2.0})])
    logs = {"tokens": 29.0, "batch": 3.0, "params": 23.0}
    here = stack.at(stack.point(logs))
    assert stack.variables == ("params", "tokens", "batch")
    assert stack.logs(stack.point(logs)) == logs
    assert here.values[:2] == pytest.approx([float(BILL.log_value(logs)), float(TARGET.log_value(logs))], rel=1e-14)
    assert here.gradients[1] == pytest.approx(TARGET.log_gradient(logs, stack.variables), rel=1e-13)
    expected = BILL.log_hessian(logs, stack.variables) + 2.0 * TARGET.log_hessian(logs, stack.variables)
    assert stack.hessian(here, np.array([2.0, 5.0])) == pytest.approx(expected, abs=1e-15)
