"""The best quality that money buys: least loss under a ceiling on the whole bill, training and serving together."""

from __future__ import annotations

import math
from dataclasses import replace

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise import advice, conflict, kkt
from beyond_chinchilla.optimise.limits import Limit, price
from beyond_chinchilla.optimise.locate import assess, demand_proof, kappa_of, locate
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem, beyond_any_budget, driver_elasticities

# No budget buys a larger model than e^100 parameters.
_LARGEST = 100.0
BUDGET = "total_cost"


def solve_loss(problem: Problem) -> Plan:
    """Return the plan of least loss under the limits, one of which must be a ceiling on the total bill.

    The least cost of a loss falls with the loss, so that the best loss is the one whose cheapest plan just keeps
    every limit: found by bisection, made exact by Newton's method on the optimality conditions of
    ``minimise law subject to limits``, and certified as such.

    Parameters
    ----------
    problem : Problem
        Its `target_loss` is not used.

    Raises
    ------
    InputError
        No limit on the total bill.
    SolverError
        The answer does not pass its own certificate.
    """
    if problem.is_codesign:
        raise InputError(
            f"{problem.name}: objective loss knows serving at a fixed utilisation alone; "
            "give prefill_mfu and decode_mfu"
        )
    budget = next((limit for limit in problem.limits if limit.label == BUDGET and limit.side == "max"), None)
    if budget is None:
        raise InputError(f"{problem.name}: objective loss needs limits.total_cost.max")
    law = problem.law
    start = replace(problem, target_loss=beyond_any_budget(law))
    least = conflict.least_loss(start, lambda other: locate(other).found)
    if least is None:
        return _nothing(problem, budget)
    reached = replace(problem, target_loss=least)
    near = locate(reached)
    constraints = list(problem.ratios)
    objective = law.posynomial()
    logs = {"params": math.log(near.params), "tokens": math.log(near.tokens)}
    logs, multipliers = kkt.polish(objective, constraints, logs, kkt.multipliers_at(objective, constraints, logs))
    proof = kkt.certify(objective, constraints, logs, multipliers)
    demand_proof(proof, f"{problem.name}: objective loss")
    N, D = math.exp(logs["params"]), math.exp(logs["tokens"])
    best = assess(problem, N, D)
    baseline = _chinchilla_for(problem, budget)
    at = replace(problem, target_loss=best.loss)
    # d ln loss / d ln R turns the duals of the law's posynomial into those of the loss.
    slope = 1.0 / float(law.reducible_elasticity(best.loss))
    rows = tuple(
        price(limit, nu * slope, law, point=problem.point(N, D, {}), total=best.loss, unit="nats")
        for limit, nu in zip(problem.limits, multipliers, strict=True)
    )
    saved = (baseline.loss - best.loss) / baseline.loss
    return Plan(
        name=problem.name,
        status="optimal",
        method=near.method,
        law=law,
        target_loss=best.loss,
        objective="loss",
        best=best,
        baseline=baseline,
        savings_fraction=saved,
        kappa=kappa_of(at),
        spend_ratio=problem.spend_ratio(logs),
        elasticities=driver_elasticities(
            ((nu * slope, ratio) for nu, ratio in zip(multipliers, problem.ratios, strict=True)), logs
        ),
        limits=rows,
        warnings=(*advice.warnings(law, best, N, None, saved), *problem.notes),
        kkt_residual=proof.kkt_residual,
        duality_gap=proof.duality_gap,
    )


def verify_loss(problem: Problem) -> dict[str, float]:
    """Find the least loss again by the geometric program; return its relative difference in R to `solve_loss`."""
    from beyond_chinchilla.optimise import gp

    law = problem.law
    plan = solve_loss(problem)
    found = gp.solve_gp(law.posynomial(), problem.ratios)
    if plan.best is None or found.status != "optimal":
        return {"gp": 0.0 if (plan.best is None) == (found.status == "infeasible") else math.inf}
    ours = math.log(float(law.reducible(plan.best.loss)))
    return {"gp": abs(float(law.posynomial().log_value(found.logs)) - ours)}


def _chinchilla_for(problem: Problem, budget: Limit) -> Candidate:
    """Return the compute-optimal model whose whole bill is the budget; it ignores the other limits."""
    law = problem.law

    def bill(log_N: float) -> float:
        point = law.compute_optimal(params=math.exp(log_N))
        logs = {"params": log_N, "tokens": math.log(point.tokens)}
        return float(budget.ratio(law).log_value(logs))

    low, high = 0.0, _LARGEST
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if bill(middle) < 0 else (low, middle)
    point = law.compute_optimal(params=math.exp(0.5 * (low + high)))
    return assess(problem, float(point.params), float(point.tokens))


def _nothing(problem: Problem, budget: Limit) -> Plan:
    # There is no target that could be part of the conflict.
    why = conflict.explain(conflict.without_target(problem), lambda other: locate(other).found)
    return Plan(
        name=problem.name,
        status="infeasible",
        method="auto",
        law=problem.law,
        target_loss=problem.target_loss,
        objective="loss",
        best=None,
        baseline=_chinchilla_for(problem, budget),
        warnings=(*why.sentences(problem.target_loss), *problem.notes),
        conflict=why,
    )
