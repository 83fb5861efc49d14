"""Params, tokens and all levers at once: one geometric program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from beyond_chinchilla.errors import SolverError
from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.held import NOWHERE, Inner, held, log_cost_of, settle
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, monomial

# A lever so near one of its bounds, in logs, lies on it.
CLOSE = 1e-9
# Beyond it nobody starts to look.
_MOST = 1e30


def joint(problem: Problem, found: Located) -> tuple[Posynomial, tuple[Posynomial, ...], dict[str, float]]:
    """Return objective and constraints of params, tokens and all levers at once, and a plan as logs.

    Under limited data with the law's tangent at the plan, which makes the program a relaxation.
    """
    law = problem.law
    if problem.repetition is not None:
        law = problem.repetition.tangent(law, found.params, found.tokens)
    # Each adds its terms to the law as those before it leave it; constants of theirs are terms as well.
    target = law.posynomial()
    for lever in problem.levers:
        target = target + Posynomial(lever.terms(law))
    ends, fixed = [], {}
    logs = {"params": math.log(found.params), "tokens": math.log(found.tokens)}
    for lever in problem.levers:
        if lever.variable:
            value = found.held[lever.kind]
            # Two bounds that meet would have no multipliers of their own.
            if lever.whole or lever.low == lever.high:
                fixed[lever.variable] = value
                continue
            ends += [
                monomial("least", lever.low, {lever.variable: -1.0}),
                monomial("most", 1.0 / lever.high, {lever.variable: 1.0}),
            ]
            logs[lever.variable] = math.log(value)
    constraints = (target.times(1.0 / (problem.target_loss - law.E)), *problem.ratios)
    return problem.counted_cost.hold(fixed), (*(each.hold(fixed) for each in constraints), *ends), logs


def values_of(problem: Problem, logs: Mapping[str, float], fixed: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of all levers at a point, by kind; `fixed` has those that `joint` holds."""
    law, values = problem.law, {}
    for lever in problem.levers:
        if lever.variable:
            value = math.exp(logs[lever.variable]) if lever.variable in logs else fixed[lever.kind]
            near = next((end for end in (lever.low, lever.high) if abs(math.log(value / end)) < CLOSE), value)
            value = min(max(near, lever.low), lever.high)
            values[lever.kind] = float(round(value)) if lever.whole else value
        else:
            values[lever.kind] = math.exp(float(Posynomial(lever.terms(law)).log_value(logs)))
        law = lever.held(law, values[lever.kind])
    return values


def by_program(problem: Problem, inner: Inner, near: Located | None = None) -> Located:
    """Solve params, tokens and all levers by one geometric program; whole numbers beside its answer by one each.

    `near` is a plan of a similar problem, to start from.
    """
    from beyond_chinchilla.optimise import gp

    free = replace(problem, levers=tuple(_continuous(lever) if lever.whole else lever for lever in problem.levers))
    start = near or guess(problem)
    objective, constraints, logs = joint(free, start)
    found = gp.solve_gp(objective, constraints, logs)
    if found.status == "infeasible":
        return NOWHERE
    if found.status != "optimal":
        raise SolverError(f"{problem.name}: method gp: {found.message or found.status}")
    values = values_of(free, found.logs, start.held)
    whole = sum(lever.whole for lever in problem.levers)
    if 0 < whole < len(problem.levers):
        # The others have another best number beside each whole one.
        beside = (by_program(_pinned(problem, rounded), inner) for rounded in _roundings(problem, values))
        return min((plan for plan in beside if plan.found), key=log_cost_of, default=NOWHERE)
    plans = []
    for rounded in _roundings(problem, values):
        part = held(problem, rounded)
        if part is None:
            continue
        if rounded == values:
            at = Located(math.exp(found.logs["params"]), math.exp(found.logs["tokens"]), "gp")
        else:
            at = inner(part)
        if at.found:
            plans.append(settle(at, part, rounded))
    return min(plans, key=log_cost_of, default=NOWHERE)


def guess(problem: Problem) -> Located:
    """Return a point of the right magnitude for all variables."""
    point = problem.law.compute_optimal(loss=problem.target_loss)
    N, D = (min(max(float(x), 1.0), _MOST) for x in (point.params, point.tokens))
    values = {lever.kind: math.sqrt(lever.low * lever.high) if lever.variable else math.nan for lever in problem.levers}
    return Located(N, D, "gp", held=values)


def _roundings(problem: Problem, values: Mapping[str, float]) -> list[dict[str, float]]:
    """Return the values with each whole number rounded down and up, within its bounds."""
    found = [dict(values)]
    for lever in problem.levers:
        if lever.whole:
            numbers = {math.floor(values[lever.kind] + 1e-9), math.ceil(values[lever.kind] - 1e-9)}
            kept = [number for number in numbers if lever.low <= number <= lever.high]
            found = [{**one, lever.kind: float(number)} for one in found for number in kept]
    return found


def _pinned(problem: Problem, values: Mapping[str, float]) -> Problem:
    """Return the problem with its whole levers at `values`, and all levers in their order."""

    class Pinned:
        whole = False

        def __init__(self, lever: Lever) -> None:
            self.lever, self.low, self.high = lever, values[lever.kind], values[lever.kind]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.lever, name)

    levers = tuple(cast("Lever", Pinned(lever)) if lever.whole else lever for lever in problem.levers)
    return replace(problem, levers=levers)


def _continuous(lever: Lever) -> Lever:
    """Return a lever of whole numbers as if it knew others."""

    class Continuous:
        whole = False

        def __getattr__(self, name: str) -> Any:
            return getattr(lever, name)

    return cast("Lever", Continuous())
