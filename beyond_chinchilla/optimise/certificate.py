"""The proof that comes with a plan: stationarity and weak duality, recomputed from the plan alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beyond_chinchilla.optimise.problem import Problem


@dataclass(frozen=True)
class Certificate:
    """How far from optimal a plan can be at most.

    Attributes
    ----------
    kkt_residual : float
        Largest violation of the stationarity conditions and of the target, both in logs.
    duality_gap : float
        Relative: no plan that reaches the target costs less than (1 - gap) times this one.
    multiplier : float
        Dual of the target: minus d ln cost / d ln R.
    """

    kkt_residual: float
    duality_gap: float
    multiplier: float


def certify(problem: Problem, N: float, D: float) -> Certificate:
    """Check N (as the law counts it) and D against the dual of the geometric program.

    The multipliers are the terms' shares of the bill, and for the law's two terms whatever makes the dual's
    orthogonality conditions A^T nu = 0 hold to the last bit; so the dual value is a true lower bound whatever
    the plan (Boyd et al. 2007, section 2.3; Duffin, Peterson & Zener 1967).
    """
    law, cost = problem.law, problem.counted_cost
    logs = {"params": np.log(N), "tokens": np.log(D)}
    log_terms = cost.log_terms(logs)
    shares = cost.shares(logs)
    p, r = shares @ cost.powers(("params", "tokens"))
    law_terms = law.posynomial().log_terms(logs) - np.log(problem.reducible)
    u, rest = np.exp(law_terms)
    overshoot = float(np.log(u + rest))

    multipliers = np.array([p / law.alpha, r / law.beta])
    total = float(multipliers.sum())
    # ln cost - dual value, term by term: each bracket is 0 at the optimum, so nothing large cancels.
    log_cost = float(cost.log_value(logs))
    gap = -float(shares @ (log_terms - log_cost - np.log(shares)))
    gap -= float(multipliers @ (law_terms - np.log(multipliers / total)))
    residual = max(abs(float(p) - total * law.alpha * u), abs(float(r) - total * law.beta * rest), abs(overshoot))
    return Certificate(kkt_residual=float(residual), duality_gap=max(float(gap), 0.0), multiplier=total)
