"""One lever searched in one dimension: the least cost at a held value is convex in the log of the value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.optimise import kkt
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.held import NOWHERE, Inner, held, log_cost_of, settle
from beyond_chinchilla.optimise.past.lever_program import CLOSE, joint, values_of
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial

# Between these shares of what the target leaves lies a loss that is added; beyond them nothing is left of a plan.
_LEAST_SHARE, _MOST_SHARE = 1e-14, 1.0 - 1e-9
# Points of the first look at a lever, and of a second one where none of them has a plan.
_COARSE, _FINE = 9, 129
_SAME = 1e-13
# Accuracies in a lever's log. Cost is flat there: the second one is 1e-12 of it.
_NEARBY, _CLOSE_ENOUGH = 1e-4, 1e-6
# First step downhill.
_STEP = 0.5
_POLISHES = 6


def search(problem: Problem, lever: Lever, inner: Inner) -> Located:
    """Search the one number of a lever for the least cost."""
    known: dict[float, Located] = {}

    def at(x: float) -> float:
        """Return ln cost at the log of the number; infinite where there is no plan."""
        if x not in known:
            # The logs of the bounds come back a hair beyond them.
            value = min(max(math.exp(x), lever.low), lever.high) if lever.variable else math.exp(x)
            value = float(round(value)) if lever.whole else value
            part = held(problem, {lever.kind: value})
            found = NOWHERE if part is None else inner(part)
            known[x] = settle(found, part, {lever.kind: value}) if part and found.found else NOWHERE
        found = known[x]
        return math.inf if found.settled is None else log_cost_of(found)

    ends = reach(problem, lever)
    if ends is None:
        return NOWHERE
    low, high = ends
    if high - low < CLOSE:
        at(low)
    elif lever.whole:
        _whole(at, low, high)
    else:
        # What is polished need not be found twice.
        accuracy = _NEARBY if problem.bill is None else _CLOSE_ENOUGH
        bracket = None if lever.variable else _downhill(at, _unheld(problem, lever, inner), low, high)
        _narrow(at, low, high, accuracy) if bracket is None else _refine(at, *bracket, accuracy)
    best = known[min(known, key=at)]
    return polish(problem, best, inner) if best.found and problem.bill is None else best


def reach(problem: Problem, lever: Lever) -> tuple[float, float] | None:
    """Return the logs between which the number leaves the target within reach of the law; None where it never does."""
    if not lever.variable:
        room = problem.target_loss - problem.law.E
        return math.log(_LEAST_SHARE * room), math.log(_MOST_SHARE * room)
    low, high = math.log(lever.low), math.log(lever.high)

    def reaches(x: float) -> bool:
        return problem.target_loss > lever.held(problem.law, math.exp(x)).E

    if reaches(low) and reaches(high):
        return low, high
    if not (reaches(low) or reaches(high)):
        return None
    good, bad = (low, high) if reaches(low) else (high, low)
    edge = good
    for _ in range(60):
        middle = 0.5 * (edge + bad)
        edge, bad = (middle, bad) if reaches(middle) else (edge, middle)
    return min(good, edge), max(good, edge)


def _unheld(problem: Problem, lever: Lever, inner: Inner) -> float:
    """Return the log of a lever's term where nothing is paid for it: nan where there is no plan even then."""
    rest = tuple(other for other in problem.levers if other is not lever)
    free = inner(replace(problem, levers=rest))
    if not free.found:
        return math.nan
    return float(
        Posynomial(lever.terms(problem.law)).log_value(
            {"params": math.log(free.params), "tokens": math.log(free.tokens)}
        )
    )


def _downhill(at: Callable[[float], float], start: float, low: float, high: float) -> tuple[float, float] | None:
    """Return two points around the minimum of a convex function, from one near it; None where it is infinite there."""
    if math.isnan(start):
        return None
    x, step = min(max(start, low + _STEP), high - _STEP), _STEP
    if math.isinf(at(x)):
        return None
    sign = -1.0 if at(x - step) <= at(x) else 1.0
    behind, here = x - sign * step, x
    while low < here < high:
        ahead = min(max(here + sign * step, low), high)
        if at(ahead) >= at(here):
            return min(behind, ahead), max(behind, ahead)
        behind, here, step = here, ahead, 2.0 * step
    return min(behind, here), max(behind, here)


def _narrow(at: Callable[[float], float], low: float, high: float, accuracy: float) -> None:
    """Evaluate a convex function down to its minimum; it may be infinite on both sides of an interval."""
    for points in (_COARSE, _FINE):
        grid = np.linspace(low, high, points).tolist()
        values = [at(x) for x in grid]
        best = int(np.argmin(values))
        if math.isfinite(values[best]):
            break
    else:
        return
    _refine(at, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], accuracy)


def _refine(at: Callable[[float], float], left: float, right: float, accuracy: float) -> None:
    """Evaluate a convex function down to its minimum between two points."""
    from scipy.optimize import minimize_scalar  # after a cold start: few scenarios have levers

    # Brent's method makes parabolas of what it is told: infinity would end it.
    ceiling = min(value for value in (at(left), at(right), at(0.5 * (left + right)), 1e6) if math.isfinite(value)) + 1e3
    minimize_scalar(
        lambda x: min(at(float(x)), ceiling), bounds=(left, right), method="bounded", options={"xatol": accuracy}
    )


def _whole(at: Callable[[float], float], low: float, high: float) -> None:
    """Evaluate whole numbers down to the best one, by thirds: the values are those of a convex function."""
    least, most = math.ceil(math.exp(low) * (1.0 - _SAME)), math.floor(math.exp(high) * (1.0 + _SAME))

    def value(number: int) -> float:
        return at(math.log(number))

    # Beyond the first few, numbers a quarter apart: a plan may exist in a narrow range alone.
    ladder = sorted({least, most, *(round(least * 1.25**i) for i in range(1, 200) if least * 1.25**i < most)})
    if least > most:
        return
    best = min(range(len(ladder)), key=lambda i: value(ladder[i]))
    left, right = ladder[max(best - 1, 0)], ladder[min(best + 1, len(ladder) - 1)]
    while right - left > 3:
        third = (right - left) // 3
        a, b = left + third, right - third
        # Where neither has a plan, the best of the ladder lies between.
        if value(a) <= value(b) and not (math.isinf(value(a)) and ladder[best] > a):
            right = b
        else:
            left = a
    for number in range(left, right + 1):
        value(number)


def polish(problem: Problem, found: Located, inner: Inner) -> Located:
    """Take all numbers that are not whole to full precision, by Newton's method on the conditions of the whole program.

    A search by cost alone knows them to the root of its precision. Under limited data each step starts from the tangent
    law where the last one ended.
    """
    if all(lever.whole for lever in problem.levers):
        return found
    for _ in range(_POLISHES):
        objective, constraints, logs = joint(problem, found)
        start = kkt.multipliers_at(objective, constraints, logs)
        polished, _ = kkt.polish(objective, constraints, logs, start)
        values = values_of(problem, polished, found.held)
        part = held(problem, values)
        better = NOWHERE if part is None else inner(part)
        if not better.found:
            break
        moved = max(abs(math.log(values[kind] / found.held[kind])) for kind in values)
        better = settle(better, part, values)
        if log_cost_of(better) > log_cost_of(found) + _SAME:
            break
        found = better
        if moved < _SAME:
            break
    return found
