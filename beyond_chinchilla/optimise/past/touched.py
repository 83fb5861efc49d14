"""Mixtures of experts, whose steps read what a batch touches: solved by tangents, proved by chords.

The share of the experts that a batch touches is concave in logs, so that a program with it is not convex. Its tangent
at a batch is a monomial nowhere below it: a program with that is geometric, its plan can be had, and where the plan's
batch is the tangent's it pays just what is read. Drawn anew at each plan, tangents only gain.

Such a plan is best near its batch. That none is better elsewhere is asked with chords, nowhere above the share between
two batches: a program with one, its batch between the two, costs no more than any plan there. Where that is not more
than the plan known, the stretch is split (branch and bound: Falk & Soland 1969).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from beyond_chinchilla.errors import SolverError
from beyond_chinchilla.optimise.bill import BATCH
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.held import Inner
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import monomial

# What a plan with another batch may cost less, relative: a hundredth of a percent.
SLACK = 1e-4
_GAIN = 1e-9
_MOST_TANGENTS = 40
_MOST_STRETCHES = 300
# Across a stretch so short, chord and tangents are within a ten-thousandth of each other.
_NARROW = math.log(1.02)


def drawn(problem: Problem, batch: float) -> Problem:
    """Return the problem with the tangent at a batch, that of one where each step reads all at an infinite one."""
    assert problem.bill is not None
    assert problem.bill.mixture is not None
    return replace(problem, bill=problem.bill.touching(problem.bill.mixture.tangent(batch)))


def hopeful(problem: Problem) -> Problem:
    """Return a problem that no plan is cheaper than, nor breaks limits sooner: each step reads as one sequence does."""
    if problem.mixture is None:
        return problem
    return _stretch(problem, 1.0, math.inf)


def settled_at(problem: Problem, batch_of: Callable[[Problem], float]) -> Problem:
    """Return the problem with the tangent at the batch that a model of one size is run at, as `batch_of` tells it."""
    batch = math.inf
    for _ in range(_MOST_TANGENTS):
        part = drawn(problem, batch)
        before, batch = batch, batch_of(part)
        if _same(problem, before, batch):
            return part
    return drawn(problem, batch)


def locate(problem: Problem, inner: Inner) -> Located:
    """Return the optimum of a problem whose bill is a mixture's.

    Parameters
    ----------
    problem : Problem
    inner : callable
        Locates the optimum of a geometric program.

    Returns
    -------
    Located
        ``settled`` is the problem with the tangent at its batch. No batch costs less by more than `SLACK`.
    """
    best = _descend(problem, inner, math.inf)
    if best is None:
        stretches = [(1.0, math.inf)]
    else:
        at = max(best.variables[BATCH], 1.0)
        stretches = [(1.0, at)] if at > 1.0 else []
        # Larger batches read no more where all is read already.
        stretches += [] if _reads_all(problem, at) else [(at, math.inf)]
    for _ in range(_MOST_STRETCHES):
        if not stretches:
            return best if best is not None else Located(math.nan, math.nan, "gp")
        low, high = stretches.pop(0)
        if math.log(high / low) < _NARROW:
            continue
        part = _stretch(problem, low, high)
        at = low
        try:
            bound = _found(part, inner)
        except SolverError:
            # Shorter stretches may be easier.
            pass
        else:
            if bound is None or (best is not None and _log_cost(part, bound) >= _cost_of(best) - SLACK):
                continue
            at = bound.variables[BATCH]
            best = _descend(problem, inner, at, best)
        middle = _inside(at, low, high)
        stretches += [(low, middle), (middle, high)]
    raise SolverError(f"{problem.name}: no proof that another batch is not better in {_MOST_STRETCHES} stretches")


def _descend(problem: Problem, inner: Inner, batch: float, best: Located | None = None) -> Located | None:
    """Return the plan at which tangents drawn anew gain no more, from that at a batch; `best` where none beats that."""
    for _ in range(_MOST_TANGENTS):
        part = drawn(problem, batch)
        try:
            found = _found(part, inner)
        except SolverError:
            break
        if found is None:
            break
        gained = math.inf if best is None else _cost_of(best) - _log_cost(part, found)
        if gained > 0.0:
            best = replace(found, settled=part)
        before, batch = batch, found.variables[BATCH]
        if gained <= _GAIN or _same(problem, before, batch):
            break
    return best


def _reads_all(problem: Problem, batch: float) -> bool:
    """Say whether a batch touches every expert, to a part in a hundred million."""
    assert problem.mixture is not None
    return float(problem.mixture.touched(batch)) > 1.0 - 1e-8


def _same(problem: Problem, before: float, batch: float) -> bool:
    """Say whether the tangents at two batches are one."""
    if math.isinf(before):
        return _reads_all(problem, batch)
    return abs(math.log(batch / before)) <= _GAIN


def _stretch(problem: Problem, low: float, high: float) -> Problem:
    """Return the problem of batches between two, whose steps read no more than they would."""
    assert problem.bill is not None
    assert problem.bill.mixture is not None
    held = [monomial("least batch", low, {BATCH: -1.0})]
    if math.isfinite(high):
        held.append(monomial("largest batch", 1.0 / high, {BATCH: 1.0}))
    bill = problem.bill.touching(problem.bill.mixture.chord(low, high))
    return replace(problem, bill=bill, relations=(*problem.relations, *held))


def _inside(at: float, low: float, high: float) -> float:
    """Return where to split: at the plan's batch, unless that is an end."""
    if low * 1.1 < at < high / 1.1:
        return at
    return math.sqrt(low * high) if math.isfinite(high) else 4.0 * max(low, at)


def _found(problem: Problem, inner: Inner) -> Located | None:
    from beyond_chinchilla.optimise.outright import broken_outright

    # What no model can keep would cost a solver seconds.
    if broken_outright(problem):
        return None
    found = inner(problem)
    return found if found.found else None


def _cost_of(found: Located) -> float:
    assert found.settled is not None
    return _log_cost(found.settled, found)


def _log_cost(problem: Problem, found: Located) -> float:
    from beyond_chinchilla.optimise.locate import log_cost

    return log_cost(problem, found)
