"""Limited data: the plan that is best under the law's own tangent at it.

The reducible part of the law is convex in ln N and ln D. At any point a plain law touches it and is nowhere above it:
a tangent problem without a plan proves that there is none, and a plan that is best under its own tangent law is best.
It is the root of (best size under the tangent law at N) - N, whose sign says on which side the optimum lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from beyond_chinchilla.errors import UnboundedError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.held import NOWHERE, Inner, settle
from beyond_chinchilla.optimise.past.lever_program import by_program
from beyond_chinchilla.optimise.problem import Problem

# ln N and ln D
Logs = tuple[float, float]

# Where more tokens (or params) bring less than this share of what the first ones do, the tangent law has no optimum.
_FLATTEST = 1e-4
_FIRST_STEP = 0.05
# Two sizes whose logs differ by more are not one.
_APART = 1e-8
_SAME = 1e-13
# Programs under one tangent law after the other, how near in logs two answers are one, and the shortest step onwards.
_TANGENTS, _SETTLED, _SHORTEST, _HALVINGS = 100, 1e-11, 1.0 / 32.0, 60


def bend(problem: Problem, inner: Inner) -> Located:
    """Return the plan that is best under its own tangent law."""
    from scipy.optimize import brentq  # after a cold start: few scenarios repeat data

    law, repetition = problem.law, problem.repetition
    assert repetition is not None
    plain = replace(problem, repetition=None)
    # With all data new less is asked: what has no plan then has none.
    free = inner(plain)
    if not free.found:
        return free
    if float(repetition.loss(law, free.params, free.tokens)) <= float(law.loss(free.params, free.tokens)) * (
        1.0 + _SAME
    ):
        return settle(free, plain, {})

    def tangent(n: float) -> Problem | float:
        """Return the problem under the law that touches at the size e^n, or the sign of the way to where there is one.

        Too small, and no number of passes reaches the target, or the last ones bring nothing; too large, and
        parameters bring nothing.
        """
        N = math.exp(n)
        D = float(repetition.tokens_for(law, N, problem.target_loss))
        if not math.isfinite(D):
            return math.inf
        touching = repetition.tangent(law, N, D)
        if has_optimum(touching, law):
            return replace(plain, law=touching)
        return math.inf if touching.beta <= _FLATTEST * law.beta else -math.inf

    known: dict[float, Located] = {}

    def step(n: float) -> float:
        """Return how far the best size under the tangent law at e^n lies from it, in logs."""
        part = tangent(n)
        if isinstance(part, float):
            return part
        try:
            found = settle(inner(part), part, {})
        except UnboundedError:
            # The tangent is so flat that its plan is beyond all numbers: away from what brings nothing there.
            flat = part.law.beta / law.beta - part.law.alpha / law.alpha
            return math.copysign(math.inf, -flat)
        if not found.found:
            raise _NoPlanError
        known[n] = found
        return math.log(found.params) - n

    try:
        ends = _bracket(step, math.log(free.params))
        if ends is None:
            return NOWHERE
        low, high = ends
        root = low
        if high > low:
            root = brentq(lambda n: min(max(step(float(n)), -1e3), 1e3), low, high, xtol=1e-13, rtol=1e-14)
        step(float(root))
    except _NoPlanError:
        return NOWHERE
    if not known:
        return NOWHERE
    at, best = min(known.items(), key=lambda item: abs(math.log(item[1].params) - item[0]))
    # Where a limit holds the size below all that reach the target no size is its own best one.
    if abs(math.log(best.params) - at) > _APART or not math.isfinite(best.tokens):
        return NOWHERE
    # Floors on size and data may hold a plan off the target: its loss is that of the tangent where it lies.
    part = replace(plain, law=repetition.tangent(law, best.params, best.tokens))
    settled = settle(inner(part), part, {})
    return settled if settled.found else best


class _NoPlanError(Exception):
    """A tangent problem without a plan: nor has the problem one."""


def has_optimum(touching: LossLaw, law: LossLaw) -> bool:
    return touching.alpha > _FLATTEST * law.alpha and touching.beta > _FLATTEST * law.beta


def _bracket(step: Callable[[float], float], start: float) -> tuple[float, float] | None:
    """Return two points between which a step changes from up to down; None where sizes up to e^70 do not."""
    low, length = start, _FIRST_STEP
    up = step(start)
    if up == 0.0:
        return start, start
    if up > 0.0:
        high = start
        while step(high := high + length) > 0.0:
            low, length = high, 2.0 * length
            if high > 70.0:
                return None
        return low, high
    high = start
    while step(low := low - length) < 0.0:
        high, length = low, 2.0 * length
        if low < 0.0:
            return None
    return low, high


def by_tangents(problem: Problem, inner: Inner) -> Located | None:
    """Solve levers under limited data, program by program, each under the tangent law where the last answer points to.

    A full step may overshoot where tokens saturate: then steps are shortened. None where the answers do not settle; no
    plan where they point to tokens, or parameters, that bring nothing any more.
    """
    law, repetition = problem.law, problem.repetition
    assert repetition is not None
    plain = replace(problem, repetition=None)
    found = by_program(plain, inner)
    if not found.found:
        return NOWHERE

    def touching(logs: Logs) -> LossLaw:
        return repetition.tangent(law, math.exp(logs[0]), math.exp(logs[1]))

    # Where all data is new; from far beyond it nothing can be told.
    new = math.log(repetition.unique_params(law)), math.log(repetition.unique_tokens)
    at = _towards((math.log(found.params), math.log(found.tokens)), new, lambda logs: has_optimum(touching(logs), law))
    weight, last, step = 1.0, math.inf, at
    for _ in range(_TANGENTS):
        found = by_program(replace(plain, law=touching(at)), inner, near=found)
        if not found.found:
            return NOWHERE
        aim = math.log(found.params), math.log(found.tokens)
        distance = math.dist(at, aim)
        if distance < _SETTLED:
            return found
        weight = max(0.5 * weight, _SHORTEST) if distance > 0.7 * last else weight
        last = distance
        step = at[0] + weight * (aim[0] - at[0]), at[1] + weight * (aim[1] - at[1])
        at = _towards(step, at, lambda logs: has_optimum(touching(logs), law))
    return None if at == step else NOWHERE


def _towards(logs: Logs, safe: Logs, good: Callable[[Logs], bool]) -> Logs:
    """Return a point, or one nearer to a safe one at which something holds."""
    for _ in range(_HALVINGS):
        if good(logs):
            return logs
        logs = 0.5 * (logs[0] + safe[0]), 0.5 * (logs[1] + safe[1])
    return safe
