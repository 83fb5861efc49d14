"""What the geometric program is told before it is solved, and what of an answer is believed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from beyond_chinchilla.optimise import gp
from beyond_chinchilla.optimise.gp import GpResult
from beyond_chinchilla.optimise.kkt import Array, Stack
from beyond_chinchilla.posynomial import Posynomial, monomial

X, DOWN = monomial("x", 3.0, {"x": 1.0}), monomial("down", 5.0, {"x": -1.0})


def _stack(*rows: Posynomial) -> Stack:
    return Stack(rows[0], rows[1:])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((X, DOWN), ""),
        ((X,), "x can shrink for ever: no term or limit holds it up"),
        ((DOWN,), "x can grow for ever: no term or limit holds it down"),
        ((X + DOWN,), ""),
        ((X + DOWN, monomial("y", 1.0, {"tokens": 2.0})), "tokens can shrink for ever: no term or limit holds them up"),
        ((X + DOWN, monomial("y", 1.0, {"x": 1.0, "y": -2.0})), "y can grow for ever: no term or limit holds it down"),
        # A variable to the power of nought is held by nothing, and holds nothing.
        ((X + DOWN, monomial("y", 1.0, {"y": 0.0})), ""),
    ],
)
def test_a_variable_that_nothing_holds_is_named(rows: tuple[Posynomial, ...], said: str) -> None:
    assert gp._one_sided(_stack(*rows)) == said


@pytest.mark.parametrize(
    ("names", "ways", "said"),
    [
        (["params"], [1.0], "params can grow for ever: no term or limit holds them down"),
        (["batch"], [-1.0], "batch can shrink for ever: no term or limit holds it up"),
        (
            ["params", "tokens"], [1.0, -0.5],
            "params can grow while tokens shrink for ever: no term or limit stops them together",
        ),
        (
            ["a", "b", "c"], [-1.0, 0.5, -1.0],
            "a can shrink while b grow and c shrink for ever: no term or limit stops them together",
        ),
    ],
)  # fmt: skip
def test_what_runs_away_is_said(names: Sequence[str], ways: Sequence[float], said: str) -> None:
    assert gp._endless(names, ways) == said


@pytest.mark.parametrize(
    ("constant", "said"),
    [
        (1.5, "a limit without variables is broken by 0.5 of its bound"),
        (1.0 + 2e-10, "a limit without variables is broken by 2e-10 of its bound"),
        (1.0 + 0.5e-10, ""),
        (0.5, ""),
    ],
)
def test_a_limit_that_knows_no_variable_is_kept_or_not(constant: float, said: str) -> None:
    fixed = monomial("fixed", constant, {"x": 0.0})
    # What knows a variable may be above 1 where all are 1, and so may the bill.
    assert gp._broken_without_variables(_stack(X, DOWN, fixed)) == said
    assert gp._broken_without_variables(_stack(monomial("bill", 9.0, {"x": 0.0}), DOWN, fixed)) == said
    found = gp.solve_gp(X + DOWN, [fixed, monomial("half", 0.5, {"x": 1.0})])
    assert (found.status, found.message) == (("infeasible", said) if said else ("optimal", ""))


def test_a_guess_brings_the_terms_of_limits_near_one() -> None:
    # 5/x = 1 and y/40 = 1, at whatever bill that is
    stack = _stack(monomial("bill", 1e9, {"x": 1.0, "y": 1.0}), DOWN, monomial("y", 1.0 / 40.0, {"y": 1.0}))
    assert np.exp(gp._guess(stack)) == pytest.approx([5.0, 40.0], rel=1e-9)
    far = _stack(X, monomial("far", 1e300, {"x": -1.0}), monomial("near", 1e-300, {"y": 1.0}))
    assert gp._guess(far).tolist() == [230.0, 230.0]
    # The least squares of what cannot all be near 1: 2/x and x/8, at their middle
    both = _stack(X, monomial("a", 2.0, {"x": -1.0}), monomial("b", 1.0 / 8.0, {"x": 1.0}))
    assert math.exp(gp._guess(both)[0]) == pytest.approx(4.0, rel=1e-9)
    # Two terms of a bill share one level.
    bill = _stack(X + DOWN)
    assert math.exp(gp._guess(bill)[0]) == pytest.approx(math.sqrt(5.0 / 3.0), rel=1e-9)


@pytest.mark.parametrize(("log", "sane"), [(230.0, True), (-230.0, True), (230.1, False), (-230.1, False)])
def test_no_plan_has_1e100_of_anything(log: float, sane: bool) -> None:
    assert gp._sane(np.array([0.0, log])) is sane
    assert gp._sane(np.array([math.nan])) is False


@pytest.mark.parametrize(
    ("x", "price", "proved"),
    [
        (5.0, 1.0, True),
        (5.0 * (1 + 0.5e-8), 1.0, True),
        (5.0 * (1 + 2e-8), 1.0, False),
        (5.0 * (1 - 0.5e-10), 1.0, True),
        (5.0 * (1 - 2e-10), 1.0, False),
        (5.0, 1.0 - 1e-3, True),
        (math.exp(231.0), 1.0, False),
    ],
)
def test_what_is_proved_keeps_its_limits_and_costs_the_least(x: float, price: float, proved: bool) -> None:
    # x is 5 at least: 5/x <= 1
    assert gp._proved(_stack(X, DOWN.times(1.0)), np.array([math.log(x)]), np.array([price])) is proved


def test_a_bill_without_limits_is_proved_as_well() -> None:
    assert gp._proved(_stack(X + DOWN), np.array([0.5 * math.log(5.0 / 3.0)]), np.empty(0))
    assert not gp._proved(_stack(X + DOWN), np.array([0.6 * math.log(5.0 / 3.0)]), np.empty(0))


def test_a_plan_that_moves_without_a_price_is_one_of_many() -> None:
    bill = monomial("bill", 1.0, {"x": 1.0, "y": 1.0})
    together = monomial("both", 7.0, {"x": -1.0, "y": -1.0})
    apart = monomial("x", 7.0, {"x": -1.0})
    logs = {"x": math.log(7.0), "y": 0.0}
    assert gp.moves_freely(bill, [together], logs, [1.0])
    assert not gp.moves_freely(bill, [together, apart], logs, [0.5, 0.5])
    # One without a price holds nothing.
    assert gp.moves_freely(bill, [together, apart], logs, [1.0, 0.0])
    assert not gp.moves_freely(X + DOWN, [], {"x": 0.0}, [])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # y may fall as long as x grows by half of it: x^2 y stays.
        (
            (monomial("bill", 1.0, {"x": 1.0, "y": 1.0}), monomial("held", 1.0, {"x": -2.0, "y": -1.0})),
            "x can grow while y shrink for ever: no term or limit stops them together",
        ),
        ((X + DOWN, monomial("half", 0.5, {"x": 1.0})), ""),
    ],
)
def test_a_direction_in_which_nothing_rises_is_found(rows: tuple[Posynomial, ...], said: str) -> None:
    assert gp._falling_direction(_stack(*rows)) == said


def test_newtons_method_alone_has_a_proof_or_fails() -> None:
    found = gp.newton_gp(X, [DOWN], {"x": 1.0}, [0.7])
    assert found.status == "optimal"
    assert math.exp(found.logs["x"]) == pytest.approx(5.0, rel=1e-12)
    assert found.multipliers == pytest.approx([1.0], rel=1e-12)
    lost = gp.newton_gp(DOWN, [DOWN], {"x": 1.0}, [0.7])
    assert lost == GpResult("failed", message="Newton's method stopped short of a proof")
    # Resumed, the solver has the last word: nothing holds x down.
    assert gp.resume_gp(DOWN, [DOWN], {"x": 1.0}, [0.7]).status == "unbounded"
    assert gp.resume_gp(X, [DOWN], {"x": 1.0}, [0.7]) == found


def test_an_unbounded_word_is_believed_only_with_a_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = _stack(X, DOWN)
    asked: list[float] = []

    def says(status: str, x: Array | None):  # type: ignore[no-untyped-def]
        def run(stack: Stack, y: Array, tolerance: float) -> tuple[str, Array | None, Array]:
            asked.append(tolerance)
            return status, x, np.array([1.0])

        return run

    monkeypatch.setattr(gp, "_run", says("unbounded", None))
    found = gp._solve_from(stack, np.zeros(1))
    assert found == GpResult("failed", message="no plan passed its own certificate (the solver's last word: unbounded)")
    assert asked == [1e-10]
    del asked[:]
    monkeypatch.setattr(gp, "_run", says("infeasible_inaccurate", None))
    assert gp._solve_from(stack, np.zeros(1)) == GpResult("infeasible")
    monkeypatch.setattr(gp, "_run", says("optimal", np.array([500.0])))
    del asked[:]
    found = gp._solve_from(stack, np.zeros(1))
    assert found == GpResult("failed", message="the solver's plan has x = 1e217")
    assert asked == [1e-10, 1e-8, 1e-6]
    del asked[:]
    monkeypatch.setattr(gp, "_run", says("optimal", np.array([math.log(5.1)])))
    found = gp._solve_from(stack, np.zeros(1))
    assert (found.status, asked) == ("optimal", [1e-10])
    assert math.exp(found.logs["x"]) == pytest.approx(5.0, rel=1e-12)


@pytest.mark.parametrize(
    ("least", "status", "said"),
    [
        (1.5, "infeasible", "no plan meets all limits: one is broken by 0.5 of its bound"),
        (math.exp(3e-8), "infeasible", "no plan meets all limits: one is broken by 3e-08 of its bound"),
        (math.exp(1e-8), "failed", "the limits leave a single plan at most: loosen or tighten one a little"),
        (math.exp(-0.5e-6), "failed", "the limits leave a single plan at most: loosen or tighten one a little"),
        (math.exp(-2e-6), "failed", "tried again"),
        (0.6, "failed", "tried again"),
        (1e-3, "failed", "tried again"),
    ],
)
def test_why_the_solver_found_nothing(monkeypatch: pytest.MonkeyPatch, least: float, status: str, said: str) -> None:
    # x at most 1 and at least `least`: the largest of both is its root at best.
    floor, ceiling = monomial("floor", least**2, {"x": -1.0}), monomial("ceiling", 1.0, {"x": 1.0})
    stack = _stack(X, floor, ceiling)
    plain = gp._solve_from

    def once(asked: Stack, y: Array, reached: bool = True) -> GpResult:
        if "largest constraint" in asked.variables:
            assert reached is False
            return plain(asked, y, reached)
        return GpResult("failed", message="tried again")

    monkeypatch.setattr(gp, "_solve_from", once)
    found = gp._explain(stack, [floor, ceiling], np.zeros(1), GpResult("failed", message="first"))
    assert (found.status, found.message) == (status, said)


def test_without_a_relaxed_plan_the_first_reason_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gp, "_solve_from", lambda stack, y, reached=True: GpResult("failed"))
    stack = _stack(X, DOWN)
    found = gp._explain(stack, [DOWN], np.zeros(1), GpResult("failed", message="first"))
    assert found == GpResult("failed", message="first")
    found = gp._explain(stack, [DOWN], np.zeros(1), GpResult("infeasible"))
    assert found == GpResult("failed", message="no plan found, and no proof that there is none")
