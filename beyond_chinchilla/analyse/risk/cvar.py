"""Mean and CVaR of the bill over samples as one convex program: a second way to the same decision.

In n = ln N and d_k = ln D_k, for samples k (Rockafellar & Uryasev 2000, Eq. 9, for the CVaR):

    minimise    (1 - aversion) mean(cost_k) + aversion (t + mean(max(cost_k - t, 0)) / (1 - level))
    subject to  A_k exp(-alpha_k n) + B_k exp(-beta_k d_k) <= R_k
    where       cost_k = sum over terms of c_k exp(p n + r d_k)

Each of these is convex as it stands, no geometric program. Failures are not: the program is for worlds that all reach
the target.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.analyse.risk.decision import Decision, grid_of, sorted_cvar, weigh
from beyond_chinchilla.analyse.risk.sampling import draw_nets
from beyond_chinchilla.analyse.risk.worlds import LifeWorlds, worlds_of
from beyond_chinchilla.errors import InputError, SolverError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.posynomial import Posynomial

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.risk.worlds import Worlds
    from beyond_chinchilla.laws.loss_law import LossLaw
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.scenario.load import Scenario

Array = NDArray[np.float64]

# Samples that a verification compares.
SAMPLES = 128
_LITTLE = 1e-6
# Tolerance and step: shorter steps where samples are all alike, which leaves the program next to no inside.
_ATTEMPTS = ((1e-9, 0.99), (1e-8, 0.9))
# The reference point lies above the smallest size that reaches every target by this factor.
_ROOM = 1.3


@dataclass(frozen=True, kw_only=True, eq=False)
class CvarPlan:
    """The size of least objective over samples.

    Attributes
    ----------
    params : float
        Total parameters.
    tokens : array, shape (K,)
        With which it reaches the target of each sample.
    total : array, shape (K,)
        The bill of each sample [its unit].
    mean, cvar, objective : float
        [unit of the bill]
    """

    params: float
    tokens: Array
    total: Array
    mean: float
    cvar: float
    objective: float


def solve_cvar(
    law: LossLaw,
    target_loss: ArrayLike,
    cost: Posynomial,
    *,
    count: int,
    level: float = 0.9,
    aversion: float = 1.0,
) -> CvarPlan:
    """Solve the program for samples of law, target and bill.

    Parameters
    ----------
    law : LossLaw
        Of one sample or many: constants of shape () or (count,).
    target_loss : numeric
        [nats/token]
    cost : Posynomial
        The bill in ``params`` (total) and ``tokens``; coefficients of shape () or (count,).
    count : int
        Of samples.
    level : float
        CVaR is the mean of the dearest 1 - level of the samples.
    aversion : float
        0 for the mean, 1 for the CVaR.

    Raises
    ------
    InputError
        Level or aversion out of bounds, or a sample whose target lies below the law's floor.
    SolverError
        No solution was found.
    """
    if not (0.0 < level < 1.0 and 0.0 <= aversion <= 1.0):
        raise InputError(f"level {level:g}, aversion {aversion:g}: give a level inside (0, 1), an aversion of 0 to 1")
    R = np.broadcast_to(law.reducible(target_loss), count)
    if not np.all(np.isfinite(R)):
        raise InputError(f"{int(np.sum(~np.isfinite(R)))} of {count} samples have a target below their law's floor")
    if law.counts != "total":
        cost = cost.substitute("params", law.total_params_posynomial())

    # In units of a point that every sample can reach; without, exp(n) is 1e10 and the solver lost.
    least = np.max((law.A / R) ** (1.0 / law.alpha))
    optimal = np.median(law.compute_optimal(loss=target_loss).params)
    N = float(max(_ROOM * least, optimal))
    D = np.broadcast_to(law.tokens_for(N, target_loss), count)
    model_share = np.broadcast_to(law.A * N**-law.alpha / R, count)
    weights = np.broadcast_to(cost.values({"params": N, "tokens": D}), (count, len(cost.terms)))
    unit = float(weights.sum(axis=1).mean())
    powers = np.broadcast_to(cost.powers(["params", "tokens"]), (count, len(cost.terms), 2))
    step = _minimise(law, model_share, weights / unit, powers, level, aversion)

    N *= float(np.exp(step))
    D = np.broadcast_to(law.tokens_for(N, target_loss), count)
    total = np.broadcast_to(cost.value({"params": N, "tokens": D}), count)
    mean, tail = float(total.mean()), float(sorted_cvar(np.sort(total), level))
    return CvarPlan(
        params=float(law.total_params(N)),
        tokens=D,
        total=total,
        mean=mean,
        cvar=tail,
        objective=(1.0 - aversion) * mean + aversion * tail,
    )


def _cvxpy() -> Any:
    """Import cvxpy where it is needed: it takes a second, and its types are incomplete."""
    import cvxpy

    return cvxpy


def _minimise(law: LossLaw, model_share: Array, weights: Array, powers: Array, level: float, aversion: float) -> float:
    """Return d ln N from the reference point to the optimum, by cvxpy."""
    cp = _cvxpy()

    count = len(weights)
    n, d, t = cp.Variable(), cp.Variable(count), cp.Variable()
    alpha, beta = (np.broadcast_to(power, count) for power in (law.alpha, law.beta))
    loss = cp.multiply(model_share, cp.exp(-alpha * n)) + cp.multiply(1.0 - model_share, cp.exp(-cp.multiply(beta, d)))
    bills: Any = 0
    for index in range(weights.shape[1]):
        p, r = powers[:, index, 0], powers[:, index, 1]
        bills = bills + cp.multiply(weights[:, index], cp.exp(p * n + cp.multiply(r, d)))
    tail = t + cp.sum(cp.pos(bills - t)) / (count * (1.0 - level))
    # A little of the mean always: else samples below t have no least tokens. The size moves by as little.
    weight = max(1.0 - aversion, _LITTLE)
    objective = weight * cp.sum(bills) / count + aversion * tail
    problem = cp.Problem(cp.Minimize(objective), [loss <= 1.0])
    with warnings.catch_warnings():
        # The objective is computed anew from the size, and is flat there: half the digits of the size are enough.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate", category=UserWarning)
        for tolerance, step in _ATTEMPTS:
            with contextlib.suppress(cp.error.SolverError):
                problem.solve(
                    solver=cp.CLARABEL,
                    tol_gap_abs=tolerance,
                    tol_gap_rel=tolerance,
                    tol_feas=tolerance,
                    max_step_fraction=step,
                )
                if problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE) and n.value is not None:
                    return float(n.value)
    raise SolverError(f"the convex program of the CVaR could not be solved: {problem.status}")


def verify_risk(
    scenario: Scenario, plan: Plan, *, samples: int = SAMPLES, seed: int = 1, level: float = 0.9, aversion: float = 1.0
) -> tuple[float, int]:
    """Return how far program and direct search disagree on a scenario, as `verify_cvar`.

    Raises
    ------
    InputError
        Nothing is uncertain, demand is by month (bills with floors are no sum of terms), or limited data or
        quantisation bend the law.
    """
    uncertainty = scenario.uncertainty
    if uncertainty.is_certain:
        raise InputError(f"{scenario.name}: nothing is uncertain, so there is no CVaR to verify")
    worlds = worlds_of(scenario, plan, uncertainty.draw(draw_nets(samples, uncertainty.dimensions, seed=seed).points))
    if not isinstance(worlds, LifeWorlds):
        raise InputError(f"{scenario.name}: there is no convex program of a bill by month; leave --verify out")
    block = worlds.block
    if not block.whole.is_plain:
        bent = {"data": block.repetition, "quantisation": block.quantisation}
        bends = " and ".join(name for name, bend in bent.items() if bend is not None)
        raise InputError(
            f"{scenario.name}: the convex program of the CVaR does not know {bends}; leave --verify or --risk out"
        )
    return verify_cvar(worlds, block.law, block.target_loss, block.cost, level=level, aversion=aversion)


def verify_cvar(
    worlds: Worlds,
    law: LossLaw,
    target_loss: ArrayLike,
    cost: Posynomial,
    *,
    level: float = 0.9,
    aversion: float = 1.0,
) -> tuple[float, int]:
    """Return how far program and direct search disagree in the objective, relative, and over how many samples.

    Samples that fail at the size found are left out of both: failures make no convex program.

    Parameters
    ----------
    worlds : Worlds
    law, target_loss, cost
        Of the same samples, as for `solve_cvar`.
    level, aversion : float

    Raises
    ------
    InputError
        Every sample fails.
    """
    kept = np.flatnonzero(worlds.foresight().reachable)
    objective = weigh(aversion)
    while len(kept):
        found = solve_cvar(*_taken(law, target_loss, cost, kept), count=len(kept), level=level, aversion=aversion)
        chosen = worlds.take(kept)
        failed = chosen.bills(np.array([found.params])).failed[:, 0]
        if not failed.any():
            # A size without failures is least in the program: then also among the sizes without failures.
            decision = Decision(worlds=chosen, foresight=chosen.foresight(), level=level, max_failure=0.0)
            grid = decision.judge(grid_of(decision.foresight, []))
            size = decision.least(grid, objective)
            direct = float(objective(decision.judge(np.array([size])))[0])
            return abs(found.objective - direct) / direct, len(kept)
        kept = kept[~failed]
    raise InputError("every sample fails: there is no bill of a success to compare")


def _taken(
    law: LossLaw, target_loss: ArrayLike, cost: Posynomial, kept: NDArray[np.intp]
) -> tuple[LossLaw, ArrayLike, Posynomial]:
    """Return law, target and bill of some samples."""

    def some(value: ArrayLike) -> ArrayLike:
        array = np.asarray(value, dtype=float)
        return array[kept] if array.ndim else value

    terms = tuple(
        replace(
            term,
            coefficient=some(term.coefficient),
            powers={name: some(power) for name, power in term.powers.items()},
        )
        for term in cost.terms
    )
    return law.take(kept) if isinstance(law, LawBatch) else law, some(target_loss), Posynomial(terms, cost.unit)
