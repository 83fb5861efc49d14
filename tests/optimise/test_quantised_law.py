"""Plans under quantisation: brute force, the loss it adds held as a ceiling, and one geometric program say the same.

So does the solver, by either method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from strategies import costly, floats, laws, log_floats

from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.precision import precision
from beyond_chinchilla.laws.quantisation import Quantisation
from beyond_chinchilla.optimise import elementwise
from beyond_chinchilla.optimise.elementwise import Status
from beyond_chinchilla.optimise.gp import solve_gp
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Posynomial, monomial

SARDANA = published("sardana-2024")
KUMAR = precision("kumar-2024")


@dataclass(frozen=True)
class Case:
    """Minimise a N D + b N with L(N, D) + delta(N, D) at most the target."""

    law: LossLaw
    quantisation: Quantisation
    target: float
    a: float
    b: float

    @property
    def bill(self) -> Posynomial:
        training = monomial("training", self.a, {"params": 1.0, "tokens": 1.0}, unit="FLOP", drivers=["training_price"])
        serving = monomial("serving", self.b or 1.0, {"params": 1.0}, unit="FLOP", drivers=["demand", "serving_price"])
        return training + serving if self.b else training

    @property
    def problem(self) -> Problem:
        return Problem(
            law=self.law,
            target_loss=self.target,
            cost=self.bill,
            flops=Posynomial(self.bill.terms[:1], "FLOP"),
            levers=(self.quantisation,),
        )


def case(bits: float, target: float, served: float, law: LossLaw = SARDANA) -> Case:
    """Return a case in FLOPs, 6 N D + 2 N `served`."""
    found = KUMAR.quantised(bits)
    assert found is not None
    return Case(law, found, target, 6.0, 2.0 * served)


def by_grid(one: Case) -> float:
    """Return ln of the least cost on a grid of sizes and tokens that closes in on the best, from the formulas alone."""
    law, c = one.law, one.quantisation
    n_low, n_high, d_low, d_high = math.log(1e6), math.log(1e15), math.log(1e8), math.log(1e18)
    best = math.inf
    for _ in range(14):
        n, d = np.linspace(n_low, n_high, 300)[:, None], np.linspace(d_low, d_high, 300)[None, :]
        loss = law.E + law.A * np.exp(-law.alpha * n) + law.B * np.exp(-law.beta * d)
        loss = loss + c.coefficient * np.exp(c.gamma_D * d - c.gamma_N * n)
        cost = np.where(loss <= one.target, np.log(one.a * np.exp(n + d) + one.b * np.exp(n)), np.inf)
        i, j = np.unravel_index(np.argmin(cost), cost.shape)
        best = min(best, float(cost[i, j]))
        n_reach, d_reach = 0.1 * (n_high - n_low), 0.1 * (d_high - d_low)
        n_low, n_high = float(n[i, 0]) - n_reach, float(n[i, 0]) + n_reach
        d_low, d_high = float(d[0, j]) - d_reach, float(d[0, j]) + d_reach
    return best


def by_ceiling(one: Case) -> float:
    """Return ln of the least cost over ceilings theta on the penalty: a plain law of E + theta with one more limit."""
    (term,) = one.quantisation.terms(one.law)

    def log_cost(log_theta: float) -> float:
        theta = math.exp(log_theta)
        limit = Posynomial((term.times(1.0 / theta),))
        found = elementwise.minimise(one.quantisation.held(one.law, theta), one.target, one.bill, [limit])
        if found.status != Status.OPTIMAL:
            return 1e3
        return float(one.bill.log_value({"params": np.log(found.params), "tokens": np.log(found.tokens)}))

    room = math.log(one.target - one.law.E)
    grid = np.linspace(room - 30.0, room - 1e-6, 61)
    k = int(np.argmin([log_cost(x) for x in grid]))
    ends = (float(grid[max(k - 1, 0)]), float(grid[min(k + 1, 60)]))
    return float(minimize_scalar(log_cost, bounds=ends, method="bounded", options={"xatol": 1e-10}).fun)


def by_program(one: Case) -> float:
    """Return ln of the least cost of the geometric program whose target has three terms."""
    whole = Posynomial(one.law.posynomial().terms + one.quantisation.terms(one.law))
    point = one.law.compute_optimal(loss=one.target)
    start = {"params": float(np.log(point.params)), "tokens": float(np.log(point.tokens))}
    found = solve_gp(one.bill, [whole.times(1.0 / (one.target - one.law.E))], start)
    assert found.status == "optimal", found.message
    return float(one.bill.log_value(found.logs))


@pytest.mark.parametrize("bits", [3.0, 4.0, 8.0])
@pytest.mark.parametrize("served", [0.0, 1e14])
def test_three_ways_of_the_quality_of_chinchilla_13b(bits: float, served: float) -> None:
    one = case(bits, 2.0453, served)
    least = by_program(one)
    # The grid keeps the target, so that it cannot be below; its cells are 1e-7 wide at the end.
    assert least - 1e-9 <= by_grid(one) <= least + 1e-5
    assert by_ceiling(one) == pytest.approx(least, abs=1e-8)
    for method in ("auto", "gp"):
        plan = solve(one.problem, method)
        assert plan.best is not None
        assert math.log(plan.best.total) == pytest.approx(least, abs=1e-11)
        assert plan.best.loss == pytest.approx(one.target, rel=1e-12)
        assert max(plan.duality_gap, plan.kkt_residual) < 1e-8
        (effect,) = plan.effects
        penalty = float(one.quantisation.penalty(plan.best.params, plan.best.tokens))
        assert effect.figures["quantisation_loss"] == pytest.approx(penalty, rel=1e-12)
        # More training would still help, or the plan would not pay for it.
        assert plan.best.tokens < effect.figures["critical_tokens"]


@costly
@given(laws(), floats(3.0, 9.0), log_floats(1e8, 1e12), log_floats(1e9, 1e15), st.booleans())
def test_the_ceiling_and_the_program_agree(
    law: LossLaw, bits: float, size: float, served: float, also_gridded: bool
) -> None:
    one = case(bits, float(law.compute_optimal(params=size).loss), served, law)
    least = by_program(one)
    assume(least < math.log(1e30))
    assert by_ceiling(one) == pytest.approx(least, abs=1e-7)


def test_fewer_bits_ask_for_larger_models_on_fewer_tokens_each() -> None:
    # The quality of Chinchilla-13B for 100T tokens served: what 4 bits lose is made good by size.
    plain = replace(case(8.0, 2.0453, 1e14).problem, levers=())
    plans = [solve(problem) for problem in (plain, *(case(bits, 2.0453, 1e14).problem for bits in (8.0, 4.0, 3.0)))]
    found = [plan.best for plan in plans if plan.best is not None]
    assert len(found) == 4
    for finer, coarser in pairwise(found):
        assert finer.params < coarser.params
        assert finer.tokens_per_param > coarser.tokens_per_param
        assert finer.total < coarser.total
    # 8 bits cost next to nothing, 4 bits nearly three times the FLOPs.
    assert found[1].total / found[0].total == pytest.approx(1.0020, abs=5e-5)
    assert found[2].total / found[0].total == pytest.approx(2.7500, abs=5e-5)
