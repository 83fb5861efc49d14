"""The best quality that money buys: least loss under a ceiling on the whole bill, training and serving together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise import advice, conflict, kkt
from beyond_chinchilla.optimise.limits import Limit, price
from beyond_chinchilla.optimise.locate import assess, demand_proof, has_plan, kappa_of, locate
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.effect import laws_asked
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem, beyond_any_budget, driver_elasticities
from beyond_chinchilla.posynomial import Posynomial

# No budget buys a larger model than e^100 parameters.
_LARGEST = 100.0
BUDGET = "total_cost"
_SLIPS = (0.0, 1e-12, 1e-10, 1e-8)


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
    least = conflict.least_loss(start, has_plan)
    if least is None:
        return _nothing(problem, budget)
    # Solvers differ by rounding in whether the very last loss has a plan.
    for slip in _SLIPS:
        reached = replace(problem, target_loss=least * (1.0 + slip))
        near = locate(reached)
        if near.found:
            break
    objective, constraints, logs = _program(reached, near)
    logs, multipliers = kkt.polish(objective, constraints, logs, kkt.multipliers_at(objective, constraints, logs))
    proof = kkt.certify(objective, constraints, logs, multipliers)
    demand_proof(proof, f"{problem.name}: objective loss")
    N, D = math.exp(logs["params"]), math.exp(logs["tokens"])
    asked = problem
    if near.settled is not None:
        from beyond_chinchilla.optimise.past.completed import settled_at

        near = replace(settled_at(asked, logs, near.held), method=near.method)
        problem = near.settled or asked
    best = assess(problem, N, D)
    baseline = _chinchilla_for(asked, budget, near.held)
    at = replace(problem, target_loss=best.loss)
    # d ln loss / d ln R turns the duals of the law's posynomial into those of the loss.
    slope = 1.0 / float(law.reducible_elasticity(best.loss))
    stated = len(asked.limits)
    rows = tuple(
        price(limit, nu * slope, law, point=problem.point(N, D, {}), total=best.loss, unit="nats")
        for limit, nu in zip(problem.limits[:stated], multipliers[:stated], strict=True)
    )
    saved = (baseline.loss - best.loss) / baseline.loss
    plan = Plan(
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
            ((nu * slope, ratio) for nu, ratio in zip(multipliers[:stated], constraints[:stated], strict=True)), logs
        ),
        limits=rows,
        warnings=(*advice.warnings(law, best, N, None, saved), *problem.notes),
        kkt_residual=proof.kkt_residual,
        duality_gap=proof.duality_gap,
    )
    if near.settled is None:
        return plan
    from beyond_chinchilla.optimise.past.completed import completed_loss

    return completed_loss(asked, near, plan)


def _program(problem: Problem, near: Located) -> tuple[Posynomial, list[Posynomial], dict[str, float]]:
    """Return what is minimised, the law's posynomial, under which limits, and a plan as logs."""
    if problem.is_extended:
        from beyond_chinchilla.optimise.past.lever_program import joint

        _, (law, *limits), logs = joint(problem, near)
        return law, limits, logs
    logs = {"params": math.log(near.params), "tokens": math.log(near.tokens)}
    return problem.law.posynomial(), list(problem.ratios), logs


def verify_loss(problem: Problem) -> dict[str, float]:
    """Find the least loss again by the geometric program; return its relative difference in R to `solve_loss`."""
    from beyond_chinchilla.optimise import gp

    if problem.is_extended:
        from beyond_chinchilla.optimise.past.extended import refuse

        refuse(problem, "--verify of objective loss")
    law = problem.law
    plan = solve_loss(problem)
    found = gp.solve_gp(law.posynomial(), problem.ratios)
    if plan.best is None or found.status != "optimal":
        return {"gp": 0.0 if (plan.best is None) == (found.status == "infeasible") else math.inf}
    ours = math.log(float(law.reducible(plan.best.loss)))
    return {"gp": abs(float(law.posynomial().log_value(found.logs)) - ours)}


def _chinchilla_for(problem: Problem, budget: Limit, values: Mapping[str, float] | None = None) -> Candidate:
    """Return the compute-optimal model whose whole bill is the budget; it ignores the other limits.

    Under a law past Chinchilla it has the ratio of the plain law, levers held at `values` by kind.
    """
    if not problem.is_extended:
        return _spent(problem, budget)
    from beyond_chinchilla.optimise.past.held import held
    from beyond_chinchilla.optimise.past.whole_law import loss

    values = values or {lever.kind: lever.high for lever in problem.levers if lever.variable}
    plain = replace(problem, levers=tuple(lever for lever in problem.levers if lever.variable), repetition=None)
    # The weakest target: which levers are held where is all that is asked.
    part = held(replace(plain, target_loss=conflict.without_target(plain).target_loss), values)
    assert part is not None
    spent = _spent(part, next(limit for limit in part.limits if limit.label == BUDGET))
    return replace(spent, loss=loss(problem, spent.params, spent.tokens, values))


def _spent(problem: Problem, budget: Limit) -> Candidate:
    """Return the compute-optimal model of a plain law whose whole bill is the budget."""
    law = problem.law

    def bill(log_N: float) -> float:
        point = law.compute_optimal(params=math.exp(log_N))
        logs = {"params": log_N, "tokens": math.log(point.tokens)}
        return float(budget.ratio(law).log_value(logs))

    low, high = 0.0, _LARGEST
    for _ in range(100):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if bill(middle) < 0 else (low, middle)
    point = law.compute_optimal(params=math.exp(0.5 * (low + high)))
    return assess(problem, float(point.params), float(point.tokens))


def _nothing(problem: Problem, budget: Limit) -> Plan:
    # There is no target that could be part of the conflict.
    why = conflict.explain(conflict.without_target(problem), has_plan)
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
        effects=laws_asked(problem),
    )
