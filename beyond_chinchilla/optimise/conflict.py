"""Why there is no plan: which limits conflict, what loss they leave within reach, and how far each must give."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem

# Six orders of magnitude: what a limit would have to give beyond that is no advice.
_MOST_SLACK = math.log(1e6)
# ln of nearly all that a double holds.
_LARGEST_LOG = 700.0
_DIGITS = 4
_TARGET = "target"

Feasible = Callable[[Problem], bool]


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """An explanation of infeasibility.

    Attributes
    ----------
    labels : tuple of str
        The smallest set of limits that cannot all hold; ``"target"`` stands for the loss.
    least_loss : float or None
        The least loss [nats/token] within the limits; None where they exclude each other at any loss.
    reliefs : tuple of (Limit, float)
        Each conflicting limit that alone could make room, with the bound at which a plan exists; of GPUs,
        the nearest whole one.
    """

    labels: tuple[str, ...]
    least_loss: float | None
    reliefs: tuple[tuple[Limit, float], ...]

    @property
    def headline(self) -> str:
        """What conflicts, in words."""
        return (
            f"{' and '.join(self.labels)} cannot {'hold together' if len(self.labels) > 1 else 'be kept by any model'}"
        )

    def sentences(self, target_loss: float) -> list[str]:
        """Return the explanation in words."""
        lines = [f"no plan: {self.headline}"]
        if self.least_loss is None:
            lines.append("the limits exclude each other at any loss")
        else:
            lines.append(f"the least loss within the limits is {self.least_loss:.4f}, the target is {target_loss:.4f}")
        for limit, bound in self.reliefs:
            verb = "raise" if limit.side == "max" else "lower"
            lines.append(
                f"a plan exists if you {verb} {limit.label} {limit.side} from "
                f"{limit.written(limit.bound)} to {limit.written(limit.outward(bound, _DIGITS), _DIGITS)}"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON holds it."""
        reliefs = [
            {"label": limit.label, "side": limit.side, "bound": limit.bound, "needed": bound, "unit": limit.unit}
            for limit, bound in self.reliefs
        ]
        return {"limits": list(self.labels), "least_loss": self.least_loss, "reliefs": reliefs}


def explain(problem: Problem, feasible: Feasible) -> Conflict:
    """Explain why no plan exists.

    Parameters
    ----------
    problem : Problem
        Infeasible.
    feasible : callable
        Says whether a problem has a plan.
    """
    limits = smallest_conflict(problem, feasible)
    with_target = not _excluded(problem, limits, feasible)
    # Limits of one name, such as GPUs month by month, are one to a reader.
    first = {_name(limit): limit for limit in reversed(limits)}
    labels = [*reversed(first), *([_TARGET] if with_target else [])]
    reliefs = [(limit, relief) for limit in reversed(first.values()) if (relief := _relief(problem, limit, feasible))]
    reliefs = [(limit, limit.outward(relief) if limit.is_counted else relief) for limit, relief in reliefs]
    return Conflict(labels=tuple(labels), least_loss=least_loss(problem, feasible), reliefs=tuple(reliefs))


def repeats(problem: Problem, why: Conflict, feasible: Feasible) -> bool:
    """Say whether what conflicts in a similar problem excludes a plan here too."""
    limits = tuple(limit for limit in problem.limits if _name(limit) in why.labels)
    asked = problem if _TARGET in why.labels else without_target(problem)
    return not feasible(replace(asked, limits=limits))


def smallest_conflict(problem: Problem, feasible: Feasible) -> tuple[Limit, ...]:
    """Return a smallest set of limits that excludes a plan, together with the target or without.

    Two variables: convex sets of which every three meet all meet (Helly), so that three at most are needed; with
    more variables, limits are dropped one by one from the whole set as long as the rest still conflicts. Limits of
    one name and bound stay together.
    """
    groups: dict[tuple[str, float], list[Limit]] = {}
    for limit in problem.limits:
        groups.setdefault(_bound(limit), []).append(limit)

    def excludes(some: Iterable[list[Limit]]) -> bool:
        limits = tuple(limit for group in some for limit in group)
        return not feasible(replace(problem, limits=limits))

    for size in (1,) if problem.is_codesign or problem.levers else (1, 2, 3):
        for some in combinations(groups.values(), size):
            if excludes(some):
                return tuple(limit for group in some for limit in group)
    kept = list(groups.values())
    for group in groups.values():
        fewer = [other for other in kept if other is not group]
        if excludes(fewer):
            kept = fewer
    return tuple(limit for group in kept for limit in group)


def _name(limit: Limit) -> str:
    return f"{limit.label} {limit.side}"


def _bound(limit: Limit) -> tuple[str, float]:
    return _name(limit), limit.bound


def least_loss(problem: Problem, feasible: Feasible) -> float | None:
    """Return the least loss within the limits [nats/token], by bisection; None if they exclude each other."""
    if problem.is_codesign and not problem.is_extended:
        from beyond_chinchilla.optimise import codesign

        return codesign.least_loss(problem)
    start = math.log(problem.reducible)

    def reaches(log_R: float) -> bool:
        return feasible(_retargeted(problem, log_R))

    # Floors on N and D may leave only models that are far better than a very weak target: those count.
    top = _first(reaches, start, _weakest(problem))
    return None if top is None else _retargeted(problem, top).target_loss


def without_target(problem: Problem) -> Problem:
    """Return the problem with a target so weak that only the limits count."""
    return _retargeted(problem, _weakest(problem))


def _weakest(problem: Problem) -> float:
    """Return ln R of a target that any model meets: far above the loss of one parameter on one token."""
    law = problem.law
    smallest = float(np.logaddexp(math.log(law.A), math.log(law.B)))
    weakest = max(math.log(problem.reducible), smallest) + _MOST_SLACK
    return min(weakest, _LARGEST_LOG / max(law.power, 1.0))


def _retargeted(problem: Problem, log_R: float) -> Problem:
    return replace(problem, target_loss=float(problem.law.loss_of_reducible(math.exp(log_R))))


def _excluded(problem: Problem, limits: Sequence[Limit], feasible: Feasible) -> bool:
    """Say whether the limits exclude each other however weak the target."""
    return not feasible(replace(without_target(problem), limits=tuple(limits)))


def _relief(problem: Problem, limit: Limit, feasible: Feasible) -> float | None:
    """Return the nearest bound of one limit at which a plan exists; None if it cannot help alone."""
    sign = 1.0 if limit.side == "max" else -1.0
    if problem.is_codesign and not problem.is_extended:
        from beyond_chinchilla.optimise import codesign

        needed = codesign.least_slack(problem, [_bound(other) == _bound(limit) for other in problem.limits])
        return None if needed is None or needed > _MOST_SLACK else limit.moved(sign * needed)

    def bound(slack: float) -> float:
        return min(max(limit.bound * math.exp(sign * slack), sys.float_info.min), sys.float_info.max)

    def helps(slack: float) -> bool:
        loose = replace(limit, bound=bound(slack))
        others = tuple(loose if other is limit else other for other in problem.limits)
        return feasible(replace(problem, limits=others))

    slack = _first(helps, 0.0, _MOST_SLACK)
    return None if slack is None else bound(slack)


def _first(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    """Return where a condition that stays true once it is true begins to hold, to within rounding."""
    if not holds(high):
        return None
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
        if high - low <= 1e-12 * max(1.0, abs(high)):
            break
    return high
