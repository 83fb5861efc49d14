"""Problems with the numbers of their levers held, and plans that know which ordinary problem they settle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial

# What locates the optimum of a problem with fewer levers, down to an ordinary one.
Inner = Callable[[Problem], Located]
NOWHERE = Located(math.nan, math.nan, "")


def held(problem: Problem, values: Mapping[str, float]) -> Problem | None:
    """Return the problem with levers held at `values`, by kind; None where no model then reaches the target."""
    law, limits, numbers = problem.law, problem.limits, {}
    for lever in problem.levers:
        if lever.kind not in values:
            continue
        value = values[lever.kind]
        if lever.variable:
            numbers[lever.variable] = value
        else:
            added = Posynomial(lever.terms(law))
            limits += (Limit(label=lever.kind, side="max", quantity=added, bound=value, unit="nats", each="nat"),)
        law = lever.held(law, value)
    if problem.target_loss <= law.E:
        return None
    levers = tuple(lever for lever in problem.levers if lever.kind not in values)
    return _numbers_held(replace(problem, law=law, levers=levers, limits=limits), numbers)


def plain(problem: Problem) -> Problem:
    """Return the problem of the plain law alone, the numbers of its levers at their upper ends in bill and limits."""
    ends = {lever.variable: lever.high for lever in problem.levers if lever.variable}
    return _numbers_held(replace(problem, levers=(), repetition=None), ends)


def _numbers_held(problem: Problem, numbers: Mapping[str, float]) -> Problem:
    """Return the problem with variables of its bill and its limits held, whatever its law says of them."""
    return replace(
        problem,
        cost=problem.cost.hold(numbers),
        flops=problem.flops.hold(numbers),
        limits=tuple(replace(limit, quantity=limit.quantity.hold(numbers)) for limit in problem.limits),
        relations=tuple(relation.hold(numbers) for relation in problem.relations),
        nominal_cost=None if problem.nominal_cost is None else problem.nominal_cost.hold(numbers),
        bill=problem.bill.hold(numbers) if problem.bill is not None and numbers else problem.bill,
    )


def settle(found: Located, problem: Problem | None, values: Mapping[str, float]) -> Located:
    """Return a plan with the ordinary problem whose optimum it is, and the numbers held."""
    if found.settled is not None:
        return replace(found, held={**values, **found.held})
    return replace(found, settled=problem, held=dict(values))


def log_cost_of(found: Located) -> float:
    from beyond_chinchilla.optimise.locate import log_cost

    assert found.settled is not None
    return log_cost(found.settled, found)
