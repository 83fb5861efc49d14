"""One door to the solvers: pick the cheapest that can do the problem, prove its answer, say what drives it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from beyond_chinchilla.errors import InputError, SolverError, nearest
from beyond_chinchilla.optimise import advice, elementwise, universal
from beyond_chinchilla.optimise.certificate import certify
from beyond_chinchilla.optimise.iso_loss import IsoLoss, widest
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem

METHODS = ("auto", "universal", "elementwise")
# A plan whose gap is wider is no answer: at most 1e-8 of its cost may be left on the table.
LARGEST_GAP = 1e-8
_NEAR = 0.01


class Asks(Protocol):
    """Anything that states a problem, such as a scenario."""

    def to_problem(self) -> Problem:
        """Return the problem."""
        ...


def solve(question: Problem | Asks, method: str = "auto") -> Plan:
    """Return the plan of least lifetime cost at the target loss.

    Parameters
    ----------
    question : Problem or Scenario
    method : str
        ``"auto"`` picks; ``"universal"`` is exact for bills a N D + b N, ``"elementwise"`` takes any bill whose
        terms do not fall in D.

    Raises
    ------
    InputError
        An unknown method, or one that cannot do this problem.
    SolverError
        The answer does not pass its own certificate.
    """
    problem = question if isinstance(question, Problem) else question.to_problem()
    found = locate(problem, method)
    N, D = found.params, found.tokens
    proof = certify(problem, N, D)
    if not proof.duality_gap <= LARGEST_GAP:
        raise SolverError(
            f"{problem.name}: method {found.method} stopped {proof.duality_gap:.1e} from the optimum, "
            f"more than {LARGEST_GAP:.0e} allows; this is a bug, please report the scenario"
        )

    law = problem.law
    best = assess(problem, N, D)
    point = law.compute_optimal(loss=problem.target_loss)
    curve = IsoLoss(law, problem.reducible)
    low, high = widest(curve, problem.counted_cost, float(curve.coordinate(N)), 1.0 + _NEAR)
    return Plan(
        name=problem.name,
        status="optimal",
        method=found.method,
        law=law,
        target_loss=problem.target_loss,
        best=best,
        baseline=assess(problem, float(point.params), float(point.tokens)),
        savings_fraction=found.savings_fraction,
        kappa=found.kappa,
        spend_ratio=_spend_ratio(problem, N, D),
        elasticities=_elasticities(problem, N, D, proof.multiplier),
        one_percent_range=(float(law.total_params(np.exp(low))), float(law.total_params(np.exp(high)))),
        warnings=(*advice.warnings(law, best, N, found.kappa, found.savings_fraction), *problem.notes),
        kkt_residual=proof.kkt_residual,
        duality_gap=proof.duality_gap,
    )


@dataclass(frozen=True)
class Located:
    """Where the optimum lies, before it is proved and explained.

    Attributes
    ----------
    params : float
        N*, as the law counts it.
    tokens : float
        D*.
    savings_fraction : float
        1 - least cost / cost of the compute-optimal model of equal loss, free of cancellation.
    kappa : float or None
        Serving over training spend of that model; None where the bill is not a N D + b N.
    method : str
        The solver that found it.
    """

    params: float
    tokens: float
    savings_fraction: float
    kappa: float | None
    method: str


def locate(problem: Problem, method: str = "auto") -> Located:
    """Return the optimum alone; `solve` adds the proof, the bill and what drives it. Raises as `solve` does."""
    return (_by_universal if _choose(problem, method) == "universal" else _by_elementwise)(problem)


def _choose(problem: Problem, method: str) -> str:
    if method not in METHODS:
        raise InputError(f"no method '{method}'; {nearest(method, METHODS)}")
    if method in ("auto", "universal") and problem.rates is not None:
        return "universal"
    if method == "universal":
        raise InputError(f"{problem.name}: method universal needs a bill a N D + b N; use auto or elementwise")
    return "elementwise"


def _by_universal(problem: Problem) -> Located:
    assert problem.rates is not None
    law = problem.law
    found = universal.optimum(law, problem.target_loss, *problem.rates)
    if found.status != universal.Status.OPTIMAL:
        raise SolverError(f"{problem.name}: {universal.Status(int(found.status)).name.lower().replace('_', ' ')}")
    ratio = float(universal.log_cost_ratio(found.spend_ratio, law.alpha, law.beta))
    return Located(float(found.params), float(found.tokens), -math.expm1(ratio), float(found.kappa), method="universal")


def _by_elementwise(problem: Problem) -> Located:
    law, cost = problem.law, problem.counted_cost
    curve = IsoLoss(law, problem.reducible)
    z = elementwise.minimise(curve, cost)
    logs = curve.logs(z)
    start = float(np.log(law.beta / law.alpha))
    savings = -np.expm1(curve.log_cost(cost, z) - curve.log_cost(cost, start))
    point = law.compute_optimal(loss=problem.target_loss)
    kappa = _spend_ratio(problem, float(point.params), float(point.tokens)) if problem.rates else None
    return Located(
        float(np.exp(logs["params"])), float(np.exp(logs["tokens"])), float(savings), kappa, method="elementwise"
    )


def assess(problem: Problem, N: float, D: float) -> Candidate:
    """Return the model of N parameters (as the law counts them) and D tokens with its bill."""
    point = {"params": N, "tokens": D}
    flops = problem.counted_flops.totals(point)
    training = flops.pop("training")
    return Candidate(
        params=float(problem.law.total_params(N)),
        tokens=D,
        loss=float(problem.law.loss(N, D)),
        training_flops=training,
        inference_flops=sum(flops.values()),
        terms=problem.counted_cost.totals(point),
        unit=problem.cost.unit,
    )


def _spend_ratio(problem: Problem, N: float, D: float) -> float:
    """Return what serving costs over what training costs."""
    shares = _driver_shares(problem, N, D)
    return shares["demand"] / shares["training_price"]


def _driver_shares(problem: Problem, N: float, D: float) -> dict[str, float]:
    """Return for each driver the share of the bill that is proportional to it."""
    cost = problem.counted_cost
    shares = cost.shares({"params": np.log(N), "tokens": np.log(D)})
    found: dict[str, float] = {}
    for term, share in zip(cost.terms, shares, strict=True):
        for driver in term.drivers:
            found[driver] = found.get(driver, 0.0) + float(share)
    return found


def _elasticities(problem: Problem, N: float, D: float, multiplier: float) -> dict[str, float]:
    """Return d ln cost / d ln input by the envelope theorem: shares for prices, the dual for the target."""
    shares = _driver_shares(problem, N, D)
    target = -multiplier * float(problem.law.reducible_elasticity(problem.target_loss))
    return {
        "demand": shares["demand"],
        "target_loss": target,
        "training_price": shares["training_price"],
        "serving_price": shares["serving_price"],
    }
