"""Co-design without a geometric program: one search over the size, with the best way to run each size inside.

At a size the fewest tokens that reach the target are the best, and `operation` says how the model is run. What is
left is the least bill by size, which has one minimum: golden section. It shares the posynomials and the bill with the
geometric program and nothing else, so that one checks the other; and it answers what the program is slow to answer,
how the least bill rises away from the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.iso_loss import IsoLoss
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.operation import SLIP, Operations
from beyond_chinchilla.optimise.problem import Problem

METHOD = "direct"
# On the curve of the target: from a model a trillion times too large to one on a trillion times the tokens.
_FARTHEST = 14.0
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
_CLOSE = 1e-12
# Of ln params, at the ends of the range of nearly equal bills.
_RANGE = 1e-4


@dataclass(frozen=True)
class Sized:
    """A size run at its best.

    Attributes
    ----------
    params, tokens : float
        N as the law counts it, and the fewest tokens for it.
    variables : dict of str to float
        How it is run.
    excess : float
        ln of the limit that is broken most over its bound.
    total : float
        The bill, whatever the limits.
    """

    params: float
    tokens: float
    variables: dict[str, float]
    excess: float
    total: float

    @property
    def key(self) -> tuple[bool, float]:
        """What a search makes small: first what is broken, then the bill."""
        broken = self.excess > SLIP
        return broken, self.excess if broken else self.total


class Profile:
    """The least bill of a co-design problem by size, along the curve of its target."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.curve = IsoLoss(problem.law, problem.reducible)
        self._spend = [ratio for ratio in problem.ratios if SERVING in ratio.variables]
        rest = [row for row in (*problem.ratios, *problem.physics) if SERVING not in row.variables]
        self._operations = Operations(problem.operating_bill, rest)

    def at(self, z: float) -> Sized:
        """Return the model at coordinate z of the curve, on more tokens where a floor asks for them."""
        problem = self.problem
        logs = self.curve.logs(z)
        N, D = math.exp(float(logs["params"])), math.exp(float(logs["tokens"]))
        total_params = float(problem.law.total_params(N))
        for limit in problem.limits:
            if limit.side == "min" and limit.label in ("tokens", "tokens_per_param"):
                D = max(D, limit.bound * (1.0 if limit.label == "tokens" else total_params))
        operation = self._operations.best(N, D)
        total, excess = bill_of(problem, N, D, operation.variables), operation.excess
        if self._spend:
            point = {**problem.point(N, D, operation.variables), "params": N}
            excess = max(excess, *(math.log(float(ratio.value(point))) for ratio in self._spend))
        return Sized(N, D, operation.variables, excess, total)

    def cheapest(self) -> Sized:
        """Return the plan of least bill; it breaks a limit where there is none."""
        low, high = -_FARTHEST, _FARTHEST
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        at_left, at_right = self.at(left), self.at(right)
        while high - low > _CLOSE * max(1.0, abs(left)):
            if at_left.key <= at_right.key:
                high, right, at_right = right, left, at_left
                left = high - _GOLDEN * (high - low)
                at_left = self.at(left)
            else:
                low, left, at_left = left, right, at_right
                right = low + _GOLDEN * (high - low)
                at_right = self.at(right)
        return min(at_left, at_right, key=lambda sized: sized.key)

    def range(self, N: float, ceiling: float) -> tuple[float, float]:
        """Return ln N of the smallest and the largest size whose bill is at most `ceiling`, around N."""
        centre = float(self.curve.coordinate(N))

        def allowed(z: float) -> bool:
            sized = self.at(z)
            return sized.excess <= 100.0 * SLIP and sized.total <= ceiling

        smallest, largest = (self._end(allowed, centre, way) for way in (1.0, -1.0))
        return smallest, largest

    def _end(self, allowed: Callable[[float], bool], centre: float, way: float) -> float:
        """Return ln N of the last allowed size in one direction; infinite where none stops it."""
        step = 1e-2
        while step < _FARTHEST and allowed(centre + way * step):
            step *= 2.0
        if step >= _FARTHEST:
            return -way * math.inf
        low, high = (0.5 * step if step > 1e-2 else 0.0), step
        while abs(self._size(centre + way * low) - self._size(centre + way * high)) > _RANGE:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if allowed(centre + way * middle) else (low, middle)
        return self._size(centre + way * low)

    def _size(self, z: float) -> float:
        return float(self.curve.logs(z)["params"])


def bill_of(problem: Problem, N: float, D: float, variables: dict[str, float]) -> float:
    """Return the whole bill of a plan [unit of the cost], before GPUs are rounded up; N as the law counts it."""
    point = problem.point(N, D, variables)
    training = float(problem.training.value({**point, "params": N}))
    return training if problem.bill is None else training + point[SERVING] - problem.shift


def optimum(problem: Problem) -> Located:
    """Return the plan of least cost."""
    found = Profile(problem).cheapest()
    if found.excess > 10.0 * SLIP:
        return Located(math.nan, math.nan, METHOD)
    return Located(found.params, found.tokens, METHOD, variables=found.variables)
