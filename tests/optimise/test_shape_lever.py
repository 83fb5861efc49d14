"""Size, data and shape under a limit on latency: a search, one geometric program and a fine grid find one optimum."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, given, settings
from strategies import floats, laws, limit, log_floats

from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.shape import Shape, layer_count
from beyond_chinchilla.optimise.locate import locate, log_cost
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

# What each parameter, and each layer, takes of a token [ms]: between a tenth and ten times the one of the other at 10B.
READ = 1e-9


def bill(demand: float) -> Posynomial:
    return Posynomial(
        (
            Term(
                label="training", coefficient=6e-18, powers={"params": 1.0, "tokens": 1.0}, drivers=("training_price",)
            ),
            Term(label="serving", coefficient=demand, powers={"params": 1.0}, drivers=("demand",)),
        ),
        "USD",
    )


def problem_of(law: LossLaw, shape: Shape, demand: float, layer: float, tight: float) -> Problem:
    """Return a problem whose latency is `tight` times that of its best model without the limit."""
    target = 1.02 * float(shape.held(law, shape.high).compute_optimal(params=5e9).loss)
    cost = bill(demand)
    free = Problem(law=law, target_loss=target, cost=cost, flops=cost, levers=(shape,))
    best = locate(free)
    latency = monomial("read", READ, {"params": 1.0}) + layer_count().times(layer, unit="")
    taken = float(latency.value({"params": best.params, "aspect": best.held["shape"]}))
    within = limit("latency", "max", tight * taken, latency)
    return Problem(law=law, target_loss=target, cost=cost, flops=cost, levers=(shape,), limits=(within,))


@settings(max_examples=8)
@given(
    laws(), floats(0.3, 2.0), log_floats(3e-3, 0.3), log_floats(1e-10, 1e-4), log_floats(1e-2, 1.0), floats(0.6, 1.2)
)
def test_a_search_one_program_and_a_grid_agree(
    law: LossLaw, gamma: float, penalty: float, demand: float, layer: float, tight: float
) -> None:
    shape = Shape(epsilon=penalty * 384.0**-gamma, gamma=gamma, low=32.0, high=384.0)
    problem = problem_of(law, shape, demand, layer, tight)
    search = locate(problem)
    program = locate(problem, "gp")
    assert search.found == program.found
    assume(search.found)
    assert search.settled is not None
    assert program.settled is not None
    ours = log_cost(search.settled, search)
    assert math.isclose(ours, log_cost(program.settled, program), rel_tol=0, abs_tol=1e-8)

    R = np.geomspace(shape.low, shape.high, 200)[:, None]
    N = search.params * np.geomspace(0.5, 2.0, 401)
    left = problem.target_loss / shape.factor(R) - law.E - law.A * N**-law.alpha
    with np.errstate(invalid="ignore", divide="ignore"):
        D = np.where(left > 0, (law.B / np.where(left > 0, left, 1.0)) ** (1 / law.beta), np.inf)
        point = {"params": N, "tokens": D, "aspect": R}
        (kept,) = (each.quantity.value(point) <= each.bound * (1 + 1e-12) for each in problem.limits)
        costs = np.where(kept & np.isfinite(D), problem.cost.value(point), np.inf)
    assert math.log(costs.min()) >= ours - 1e-9


@settings(max_examples=8)
@given(laws(), floats(0.3, 2.0), log_floats(3e-3, 0.3), log_floats(1e-10, 1e-4), log_floats(1e-2, 1.0))
def test_a_plan_in_one_shape_has_its_proof(
    law: LossLaw, gamma: float, penalty: float, demand: float, layer: float
) -> None:
    # Two bounds that meet: the aspect ratio is no variable then, and the limit may bind as well.
    shape = Shape(epsilon=penalty * 384.0**-gamma, gamma=gamma, low=128.0, high=128.0)
    plan = solve(problem_of(law, shape, demand, layer, 0.9))
    if plan.best is None:
        return
    assert plan.effects[0].figures["aspect"] == 128.0
    assert plan.duality_gap <= 1e-8
    assert plan.kkt_residual <= 1e-8
