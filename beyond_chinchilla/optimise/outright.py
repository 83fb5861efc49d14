"""Limits that no model can keep, told without a solver: what the least of everything already breaks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.operation import Operations
from beyond_chinchilla.optimise.past.touched import hopeful
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.units import format_number

# A limit that is broken by less, in logs, is left to the solver to judge.
_CLEARLY = 1e-6


def impossible(problem: Problem) -> str:
    """Return why no model that reaches the target can keep the limits, if one limit alone says so; else nothing.

    The smallest model that reaches the target, on endless tokens, has the least of everything that grows with
    size: what it breaks is broken by all. So does the serving bill, which knows no tokens. What grows with size and
    tokens has its least on the curve of the target, term by term.
    """
    return broken_outright(hopeful(problem))


def broken_outright(problem: Problem) -> str:
    """Return what `impossible` does, of a problem whose relations are as they stand."""
    smallest = float((problem.law.A / problem.reducible) ** (1.0 / problem.law.alpha))
    physics = [row for row in problem.physics if _grows(row)]
    limits = [
        (limit, ratio)
        for limit, ratio in zip(problem.limits, problem.ratios, strict=True)
        if limit.side == "max" and _grows(ratio)
    ]

    def excess(ratios: Iterable[Posynomial]) -> float:
        return Operations(problem.operating_bill, [*physics, *ratios]).least_excess(smallest, 1.0)

    size = float(problem.law.total_params(smallest))
    if excess(ratio for _, ratio in limits) > _CLEARLY:
        worst, over = max(((limit, excess([ratio])) for limit, ratio in limits), key=lambda one: one[1])
        # Several that exclude each other, each of which could be kept, are left to the solver too.
        return _too_much(worst, over, _smallest(size)) if over > _CLEARLY else ""
    if problem.law.counts != "total":
        return ""
    serving = _least_serving(problem, smallest, [*physics, *(ratio for _, ratio in limits)])
    for limit in problem.limits:
        over = _least_over(problem, limit, serving)
        if over > _CLEARLY:
            alone = set(limit.quantity.variables) <= {SERVING}
            return _too_much(limit, over, _smallest(size) if alone else "any model that reaches the target")
    return ""


def unbudgeted(problem: Problem) -> Problem | None:
    """Return the problem without its limits on the very bill that it minimises; None where there are none."""
    kept = tuple(limit for limit in problem.limits if not _is_budget(problem, limit))
    return replace(problem, limits=kept) if len(kept) < len(problem.limits) else None


def over_budget(problem: Problem, located: Located) -> str:
    """Return which limit on the bill is too low, given the plan of least bill under the others; else nothing."""
    point = problem.point(located.params, located.tokens, located.variables)
    for limit in problem.limits:
        if _is_budget(problem, limit):
            over = math.log((limit.value(point) + limit.offset) / (limit.bound + limit.offset))
            if over > _CLEARLY:
                return _too_much(limit, over, "the cheapest model that keeps the other limits")
    return ""


def _grows(row: Posynomial) -> bool:
    """Say whether a constraint knows no tokens and never falls as the model grows."""
    powers = [(term.power("params"), term.power("tokens")) for term in row.terms]
    return SERVING not in row.variables and all(p >= 0.0 and r == 0.0 for p, r in powers)


def _is_budget(problem: Problem, limit: Limit) -> bool:
    """Say whether a limit bounds training and serving as the problem pays for them."""
    if limit.side != "max" or (SERVING in limit.quantity.variables) != (problem.bill is not None):
        return False
    rest = [term for term in limit.quantity.terms if SERVING not in term.powers]
    paid = [(term.coefficient, dict(term.powers)) for term in problem.cost.terms]
    return [(term.coefficient, dict(term.powers)) for term in rest] == paid


def _least_serving(problem: Problem, smallest: float, rows: list[Posynomial]) -> float | None:
    """Return the serving bill of the smallest model, run at its best, shift included; None where none is known."""
    if problem.bill is None:
        return None
    found = Operations(problem.operating_bill, rows).best(smallest, 1.0)
    return problem.point(smallest, 1.0, found.variables)[SERVING] if found.feasible else None


def _least_over(problem: Problem, limit: Limit, serving: float | None) -> float:
    """Return ln of a limit's least possible value over its bound; minus infinity where it cannot be told."""
    least = 0.0
    for term in limit.quantity.terms:
        powers = {name: term.power(name) for name in term.powers}
        spends = powers.pop(SERVING, 0.0)
        if limit.side != "max" or not {*powers} <= {"params", "tokens"} or min((spends, *powers.values())) < 0.0:
            return -math.inf
        if spends and serving is None:
            return -math.inf
        log = _least_on_curve(problem, powers.get("params", 0.0), powers.get("tokens", 0.0))
        log += spends * math.log(serving) if spends and serving else 0.0
        least += float(term.coefficient) * math.exp(min(log, 690.0))  # type: ignore[arg-type]
    return math.log(least / (limit.bound + limit.offset)) if least > 0.0 else -math.inf


def _least_on_curve(problem: Problem, p: float, r: float) -> float:
    """Return the least ln(N^p D^r) at the target; A N^-alpha there has the share (p/alpha) / (p/alpha + r/beta)."""
    law, R = problem.law, problem.reducible
    weights = p / law.alpha, r / law.beta
    whole = sum(weights)
    return sum(
        weight * math.log(scale * whole / (R * weight))
        for weight, scale in zip(weights, (law.A, law.B), strict=True)
        if weight > 0.0
    )


def _smallest(size: float) -> str:
    return f"the smallest model that can reach the target ({format_number(size)} params)"


def _too_much(limit: Limit, excess: float, whose: str) -> str:
    needed, bound = (limit.written(amount, 4) for amount in (limit.moved(excess), limit.bound))
    return f"{limit.label} would be at least {needed} for {whose}, max is {bound}"
