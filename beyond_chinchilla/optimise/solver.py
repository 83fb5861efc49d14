"""One door to the solvers: pick the cheapest that can do the problem, prove its answer, say what drives it."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from beyond_chinchilla.errors import InputError, SolverError
from beyond_chinchilla.optimise import advice, kkt
from beyond_chinchilla.optimise.iso_loss import IsoLoss, widest
from beyond_chinchilla.optimise.limits import LimitRow, price
from beyond_chinchilla.optimise.locate import Located, assess, chinchilla, demand_proof, kappa_of, locate, savings
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem, driver_elasticities

_NEAR = 0.01


class Asks(Protocol):
    """Anything that states a problem, such as a scenario."""

    def to_problem(self) -> Problem:
        """Return the problem."""
        ...


def solve(question: Problem | Asks, method: str = "auto") -> Plan:
    """Return the plan of least lifetime cost at the target loss, or the reason why there is none.

    Parameters
    ----------
    question : Problem or Scenario
    method : str
        ``"auto"`` takes the cheapest of: ``"universal"``, exact for bills a N D + b N whose limits do not bind;
        ``"elementwise"``, for any bill that falls in neither N nor D; ``"gp"``, the geometric program.

    Returns
    -------
    Plan
        Its ``status`` is ``"optimal"`` or ``"infeasible"``.

    Raises
    ------
    InputError
        An unknown method, or one that cannot do this problem.
    UnboundedError
        The bill falls for ever in one direction.
    SolverError
        The answer does not pass its own certificate.
    """
    problem = question if isinstance(question, Problem) else question.to_problem()
    if problem.objective == "loss" or problem.start_from is not None:
        if method != "auto":
            raise InputError(f"{problem.name}: method {method} minimises cost from nothing; use auto")
        # The rarer questions are imported when they are asked: a cold start counts milliseconds.
        if problem.objective == "loss":
            from beyond_chinchilla.optimise.best_loss import solve_loss

            return solve_loss(problem)
        from beyond_chinchilla.optimise.resume import solve_resume

        return solve_resume(problem)
    located = locate(problem, method)
    if located.found:
        return _explained(problem, located)
    if not problem.limits:
        raise SolverError(
            f"{problem.name}: method {located.method} found no plan, though no limit is in its way; "
            "please report the scenario"
        )
    from beyond_chinchilla.optimise import conflict

    why = conflict.explain(problem, lambda other: locate(other).found)
    return Plan(
        name=problem.name,
        status="infeasible",
        method=located.method,
        law=problem.law,
        target_loss=problem.target_loss,
        best=None,
        baseline=chinchilla(problem),
        warnings=(*why.sentences(problem.target_loss), *problem.notes),
        conflict=why,
    )


def _explained(problem: Problem, located: Located) -> Plan:
    """Prove a located optimum and say what drives it."""
    law, N, D = problem.law, located.params, located.tokens
    logs = {"params": math.log(N), "tokens": math.log(D)}
    constraints = [problem.target, *problem.ratios]
    multipliers = kkt.multipliers_at(problem.counted_cost, constraints, logs)
    proof = kkt.certify(problem.counted_cost, constraints, logs, multipliers)
    demand_proof(proof, f"{problem.name}: method {located.method}")
    best = assess(problem, N, D)
    saved = savings(problem, located)
    kappa = kappa_of(problem)
    return Plan(
        name=problem.name,
        status="optimal",
        method=located.method,
        law=law,
        target_loss=problem.target_loss,
        best=best,
        baseline=chinchilla(problem),
        savings_fraction=saved,
        kappa=kappa,
        spend_ratio=problem.spend_ratio(logs),
        elasticities=_elasticities(problem, logs, multipliers),
        one_percent_range=_one_percent(problem, N, D),
        limits=_rows(problem, best, multipliers[1:]),
        warnings=(*advice.warnings(law, best, N, kappa, saved), *problem.notes),
        kkt_residual=proof.kkt_residual,
        duality_gap=proof.duality_gap,
    )


def _elasticities(problem: Problem, logs: dict[str, float], multipliers: tuple[float, ...]) -> dict[str, float]:
    """Return d ln cost / d ln input by the envelope theorem.

    For an input that drives terms: their share of the bill, and of each limit times its dual (a dearer hour also
    tightens a limit on spend). For the target: its dual.
    """
    weighted = [(1.0, problem.counted_cost), *zip(multipliers[1:], problem.ratios, strict=True)]
    drivers = driver_elasticities(weighted, logs)
    target = -multipliers[0] * float(problem.law.reducible_elasticity(problem.target_loss))
    return {"demand": drivers.pop("demand"), "target_loss": target, **drivers}


def _one_percent(problem: Problem, N: float, D: float) -> tuple[float, float] | None:
    """Return the sizes [total params] between which cost rises by at most 1%, within the limits.

    None where floors hold the plan off its target, which then lies on no iso-loss curve of the target, and where N
    is so near the least size of its loss that a double does not tell them apart.
    """
    law = problem.law
    if float(problem.target.value({"params": N, "tokens": D})) < 1.0 - 1e-9:
        return None
    curve = IsoLoss(law, problem.reducible)
    z = float(curve.coordinate(N))
    if not math.isfinite(z):
        return None
    low, high = widest(curve, problem.counted_cost, problem.ratios, z, 1.0 + _NEAR)
    return float(law.total_params(np.exp(low))), float(law.total_params(np.exp(high)))


def _rows(problem: Problem, best: Candidate, multipliers: tuple[float, ...]) -> tuple[LimitRow, ...]:
    size = {"params": best.params, "tokens": best.tokens, "total": best.total, "unit": best.unit}
    return tuple(
        price(limit, multiplier, problem.law, **size)  # type: ignore[arg-type]
        for limit, multiplier in zip(problem.limits, multipliers, strict=True)
    )
