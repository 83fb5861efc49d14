"""Problems under a law past Chinchilla, each solved as a row of ordinary ones.

*Levers* (`laws.lever`) bring one more number each, such as the samples of a request. The problem is convex in its log
as well: it is searched in one dimension with any solver inside (`lever_search`), or solved with all else by one
geometric program (`lever_program`).

*Repetition* (`laws.repetition`) bends the law, which keeps one optimum: the plan that is best under the law's own
tangent (`tangents`).

Either way the plan ends as that of an ordinary problem, `Located.settled`, which limits, prices and pages read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from beyond_chinchilla.errors import InputError, SolverError
from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.held import NOWHERE, Inner, held, log_cost_of, settle
from beyond_chinchilla.optimise.past.lever_program import by_program, guess, joint
from beyond_chinchilla.optimise.past.lever_search import reach, search
from beyond_chinchilla.optimise.past.tangents import bend, by_tangents
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import monomial

# No model has so many parameters, nor so many tokens.
_BEYOND = 1e30


def locate(problem: Problem, inner: Inner, *, at_once: bool = False) -> Located:
    """Return the optimum of a problem with levers or limited data.

    Parameters
    ----------
    problem : Problem
    inner : callable
        Locates the optimum of a problem with fewer levers, down to an ordinary one.
    at_once : bool
        Solve levers by one geometric program, where the bill is a posynomial.
    """
    if not problem.levers:
        return bend(problem, inner)
    if at_once and problem.bill is None:
        return _at_once(problem, inner)
    found = search(problem, problem.levers[0], inner)
    if found.found or problem.bill is not None:
        return found
    # Limits may leave a range of the number that is narrower than any grid; where a program cannot tell, it is a point.
    try:
        return _at_once(problem, inner)
    except SolverError:
        return found


def _at_once(problem: Problem, inner: Inner) -> Located:
    if problem.repetition is None:
        return by_program(problem, inner)
    found = by_tangents(problem, inner)
    if found is not None:
        return found
    open_ended = [lever for lever in problem.levers if lever.whole and lever.low < lever.high]
    return _beside_whole(problem, open_ended[0], inner) if open_ended else search(problem, problem.levers[0], inner)


def _beside_whole(problem: Problem, lever: Lever, inner: Inner) -> Located:
    """Return the best plan with a whole number held at one value after the other, downhill from its best on new data.

    Under one tangent law after the other the best whole number may jump for ever; the least cost is convex in its log.
    """
    known: dict[float, Located] = {}

    def at(number: float) -> float:
        """Return ln cost with the number held, in the order of the levers; infinite where there is no plan."""
        if number not in known:
            pinned = replace(lever, low=number, high=number)  # type: ignore[type-var]
            levers = tuple(pinned if one is lever else one for one in problem.levers)
            known[number] = _at_once(replace(problem, levers=levers), inner)
        return log_cost_of(known[number]) if known[number].found else math.inf

    start = by_program(replace(problem, repetition=None), inner)
    if not start.found:
        return NOWHERE
    best = start.held[lever.kind]
    for step in (1.0, -1.0):
        while lever.low <= best + step <= lever.high and at(best + step) < at(best):
            best += step
    return known[best] if math.isfinite(at(best)) else search(problem, problem.levers[0], inner)


def has_plan(problem: Problem, inner: Inner) -> bool:
    """Say whether any plan keeps all limits; of levers without asking which is best."""
    simple = problem.bill is None and problem.repetition is None and not any(lever.whole for lever in problem.levers)
    if simple and problem.levers and all(reach(problem, lever) for lever in problem.levers):
        from beyond_chinchilla.optimise import gp

        objective, (target, *limits), logs = joint(problem, guess(problem))
        # The least loss within the limits has a proof also where the target is at the edge of it.
        # Ever more tokens lower it for ever.
        bounds = [monomial(name, 1.0 / _BEYOND, {name: 1.0}) for name in ("params", "tokens")]
        least = gp.solve_gp(target, (*limits, *bounds), logs)
        if least.status == "optimal":
            return float(target.log_value(least.logs)) <= gp.FEASIBLE
        status = gp.solve_gp(objective, (target, *limits), logs).status
        if status != "failed":
            return status != "infeasible"
    try:
        return locate(problem, inner).found
    except SolverError:
        if problem.repetition is None:
            raise
        # Who looks for the edge of what is possible comes upon limits that leave a single plan.
        return False


def compute_optimal(problem: Problem, inner: Inner, values: Mapping[str, float]) -> Located:
    """Return the model of least training compute at the target, levers at their baselines where these reach it.

    Parameters
    ----------
    problem : Problem
    inner : callable
        As in `locate`.
    values : mapping of str to float
        By kind, for levers whose baseline does not reach the target.
    """
    compute = replace(
        problem,
        cost=monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}, unit="FLOP", drivers=("training_price",)),
        limits=(),
        relations=(),
        bill=None,
        nominal_cost=None,
        objective="cost",
        start_from=None,
    )
    fixed, moved = {}, {}
    for lever in problem.levers:
        if lever.baseline is not None:
            reaches = problem.target_loss > lever.held(problem.law, lever.baseline).E
            moved[lever.kind] = values.get(lever.kind, lever.high)
            fixed[lever.kind] = lever.baseline if reaches else moved[lever.kind]
    # What the law reaches, limited data may not.
    for numbers in (fixed, moved) if problem.repetition is not None else (fixed,):
        part = held(compute, numbers)
        if part is None:
            continue
        found = inner(part) if part.is_extended else settle(inner(part), part, {})
        if found.found:
            return replace(found, held={**numbers, **found.held})
    return NOWHERE


def asked_of(problem: Problem, found: Located) -> Problem | None:
    """Return the ordinary problem, with its own bill and limits, that a plan of its law past Chinchilla settles."""
    part = held(problem, found.held)
    if part is None or part.repetition is None:
        return part
    return replace(part, law=part.repetition.tangent(part.law, found.params, found.tokens), repetition=None)


def refuse(problem: Problem, what: str) -> None:
    """Refuse what knows plain laws alone.

    Raises
    ------
    InputError
        The problem has levers or limited data.
    """
    if problem.is_extended:
        kinds = [lever.kind for lever in problem.levers] + (["data"] if problem.repetition is not None else [])
        raise InputError(f"{problem.name}: {what} does not know {' and '.join(kinds)} yet; leave one or the other out")
