"""How a model of a given size is best run: the batch and step time of least cost, by a direct search.

At a given size the step time is the largest that the relations ask for, and in ln batch every posynomial is convex:
a search on ever finer grids cannot miss. It shares nothing with the geometric program but the posynomials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.bill import BATCH, STEP_TIME
from beyond_chinchilla.optimise.kkt import Stack
from beyond_chinchilla.posynomial import Posynomial, monomial

Array = NDArray[np.float64]

# ln of batches from 1e-3 to 1e12: physics holds them above 1.
_NARROWEST, _WIDEST = math.log(1e-3), math.log(1e12)
_EVENLY = np.linspace(0.0, 1.0, 101)
# Sums of e^x stay among the doubles.
_LARGEST_EXPONENT = 690.0
# Each is fifty times finer: to the last digits of an edge, and of a smooth minimum, whose value is flat.
_ROUNDS = 7
_FLAT_ROUNDS = 5
_ROUGH = 2
# A limit is kept when it is over by no more than rounding.
SLIP = 1e-11
_EQUAL = 1e-12
_STEP = 1e-4


@dataclass(frozen=True)
class Operation:
    """How a model is run.

    Attributes
    ----------
    variables : dict of str to float
        ``batch`` and ``step_time`` [s]; empty where there are none.
    excess : float
        ln of the limit that is broken most over its bound; at most `SLIP` where all are kept.
    """

    variables: dict[str, float]
    excess: float

    @property
    def feasible(self) -> bool:
        """Whether every relation and limit is kept."""
        return self.excess <= SLIP


class Operations:
    """Finds how models are best run under relations and limits.

    Parameters
    ----------
    bill : Posynomial
        What is minimised over ``batch`` and ``step_time``; of equally cheap ways the fastest is taken.
    constraints : sequence of Posynomial
        Relations and limits, each at most 1, in ``params`` (as the law counts them), ``tokens``, ``batch`` and
        ``step_time``.

    Raises
    ------
    InputError
        Other variables.

    Examples
    --------
    An H100 reads at most 3.35 TB/s: 7 GB of weights, and 100 MB of cache per sequence, within 10 ms a step.

    >>> reading = monomial("weights", 7e9 / 3.35e12, {"step_time": -1.0})
    >>> reading += monomial("cache", 1e8 / 3.35e12, {"batch": 1.0, "step_time": -1.0})
    >>> bill = monomial("decode", 1.0, {"step_time": 1.0, "batch": -1.0})
    >>> found = Operations(bill, [reading, monomial("latency", 100.0, {"step_time": 1.0})]).best(7e9, 1e12)
    >>> print(f"{found.variables['batch']:.2f} {found.variables['step_time']:.4f}")
    265.00 0.0100
    """

    def __init__(self, bill: Posynomial, constraints: Sequence[Posynomial]) -> None:
        known = ("params", "tokens", BATCH, STEP_TIME)
        names = {name for posynomial in (bill, *constraints) for name in posynomial.variables}
        if strangers := sorted(names.difference(known)):
            raise InputError(f"method direct knows {', '.join(known)} alone, not {', '.join(strangers)}")
        floors = [c for c in constraints if all(t.power(STEP_TIME) == -1.0 for t in c.terms)]
        self.further = tuple(name for name in (BATCH, STEP_TIME) if name in names)
        if STEP_TIME in names and not floors:
            raise InputError("method direct needs a relation that holds step_time up")
        # Nothing is paid for a step where no tokens are decoded: then the fastest is best.
        objective = bill if STEP_TIME in bill.variables or not floors else monomial("step", 1.0, {STEP_TIME: 1.0})
        self._low, self._high = _NARROWEST, _WIDEST
        rest = []
        for constraint in constraints:
            if constraint in floors:
                continue
            # What knows the batch alone is no matter of more or less broken.
            if len(constraint.terms) == 1 and set(constraint.variables) == {BATCH}:
                power = constraint.terms[0].power(BATCH)
                bound = -float(constraint.log_value({BATCH: 0.0})) / power
                if power < 0:
                    self._low = max(self._low, bound)
                else:
                    self._high = max(min(self._high, bound), self._low)
            else:
                rest.append(constraint)
        self._stack = Stack(objective, [monomial("all", 1.0, dict.fromkeys(known, 0.0)), *floors, *rest])
        owner = np.arange(2 + len(floors) + len(rest))[:, None] == self._stack.owner
        # Row 0 is the bill, row 1 the constant 1, then what holds the step time up.
        self._held_up = owner[2 : 2 + len(floors)].astype(float)
        self._others = np.concatenate((owner[:1], owner[2 + len(floors) :])).astype(float)
        batch, step = (self._stack.powers[:, self._stack.variables.index(name)] for name in (BATCH, STEP_TIME))
        self._batch, self._step = batch[:, None], step[:, None]

    def best(self, params: float, tokens: float) -> Operation:
        """Return the cheapest way to run a model (params as the law counts them), or the least bad one."""
        return self._search(params, tokens, _ROUNDS, _FLAT_ROUNDS)

    def roughly(self, params: float, tokens: float) -> Operation:
        """Return what `best` does to a thousandth, from which Newton's method goes on; three times as fast."""
        return self._search(params, tokens, _ROUGH, _ROUGH)

    def _search(self, params: float, tokens: float, rounds: int, flat_rounds: int) -> Operation:
        base = self._base(params, tokens)
        if BATCH not in self.further:
            _, excess, step = self._evaluate(base, np.zeros(1))
            return self._operation(0.0, float(step[0]), float(excess[0]))
        grid = _grid(self._low, self._high)
        x, low, high = self._feasible(base, grid, rounds)
        if x is None:
            return self._at(base, low)
        # The limits keep an interval of ln batch. The bill is convex in it, and nearly always still falls at its end.
        right = self._edge(base, high, x, rounds)
        before, last = self._evaluate(base, np.array([right - _STEP, right]))[0]
        if last < before - _EQUAL:
            return self._at(base, right)
        return self._at(base, self._first(base, self._edge(base, low, x, rounds), right, _EQUAL, rounds, flat_rounds))

    def least_excess(self, params: float, tokens: float) -> float:
        """Return ln of the limit broken most over its bound, by the way that breaks it least; 0 if all are kept."""
        base = self._base(params, tokens)
        x, least_bad, _ = self._feasible(base, _grid(self._low, self._high))
        return 0.0 if x is not None else self._at(base, least_bad).excess

    def knee(self, params: float, tokens: float, share: float = 0.01) -> Operation:
        """Return the smallest batch that costs at most `share` more than any, whatever the limits."""
        base = self._base(params, tokens)
        if BATCH not in self.further:
            return self.best(params, tokens)
        return self._at(base, self._first(base, self._low, self._high, math.log1p(share)))

    def _base(self, params: float, tokens: float) -> Array:
        stack = self._stack
        known = {"params": math.log(params), "tokens": math.log(tokens), BATCH: 0.0, STEP_TIME: 0.0}
        return stack.log_terms(stack.point(known))

    def _evaluate(self, base: Array, x: Array) -> tuple[Array, Array, Array]:
        """Return ln of the bill, the largest ln of a limit and ln of the step time, for each ln batch."""
        terms = base[:, None] + self._batch * x
        log_step = _log_sums(self._held_up, terms).max(axis=0) if len(self._held_up) else np.zeros_like(x)
        values = _log_sums(self._others, terms + self._step * log_step)
        return values[0], values[1:].max(axis=0, initial=-np.inf), log_step

    def _at(self, base: Array, x: float) -> Operation:
        _, excess, step = self._evaluate(base, np.array([x]))
        return self._operation(x, float(step[0]), float(excess[0]))

    def _operation(self, x: float, step: float, excess: float) -> Operation:
        found = {BATCH: math.exp(x), STEP_TIME: math.exp(step)}
        return Operation({name: found[name] for name in self.further}, excess)

    def _feasible(self, base: Array, grid: Array, rounds: int = _ROUNDS) -> tuple[float | None, float, float]:
        """Return a feasible ln batch between two infeasible or extreme ones; else None and the least bad one."""
        for _ in range(rounds):
            _, excess, _ = self._evaluate(base, grid)
            good = np.flatnonzero(excess <= SLIP)
            if len(good):
                first, last = int(good[0]), int(good[-1])
                return float(grid[first]), float(grid[max(first - 1, 0)]), float(grid[min(last + 1, len(grid) - 1)])
            best = int(excess.argmin())
            grid = _grid(float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)]))
        return None, float(grid[len(grid) // 2]), 0.0

    def _edge(self, base: Array, outside: float, inside: float, rounds: int) -> float:
        """Return the feasible ln batch that is farthest towards `outside`."""
        for _ in range(rounds):
            grid = _grid(inside, outside)
            kept = self._evaluate(base, grid)[1] <= SLIP
            kept[0] = True
            last = len(kept) - 1 if kept.all() else int(np.argmin(kept)) - 1
            inside, outside = float(grid[last]), float(grid[min(last + 1, len(grid) - 1)])
            if inside == outside:
                break
        return inside

    def _first(
        self,
        base: Array,
        left: float,
        right: float,
        slack: float,
        rounds: int = _ROUNDS,
        flat_rounds: int = _FLAT_ROUNDS,
    ) -> float:
        """Return the least ln batch between two whose bill is within `slack` of the least, in logs."""
        low, high = left, right
        least, cheapest = math.inf, right
        for _ in range(flat_rounds):
            grid = _grid(low, high)
            bills = self._evaluate(base, grid)[0]
            best = int(bills.argmin())
            if bills[best] < least:
                least, cheapest = float(bills[best]), float(grid[best])
            low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
        # Beyond the least a bill may rise again: what costs as little lies before it, and ends there.
        low, high = left, cheapest
        for _ in range(rounds):
            grid = _grid(low, high)
            first = int(np.argmax(self._evaluate(base, grid)[0] <= least + slack))
            low, high = float(grid[max(first - 1, 0)]), float(grid[first])
            if first == 0:
                break
        return high


def _log_sums(owner: Array, terms: Array) -> Array:
    """Return ln of the sum of each posynomial's terms, column by column; `owner` says which terms are whose."""
    # Faster than np.clip, which is called more often than anything else here.
    within = np.minimum(np.maximum(terms, -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
    return np.asarray(np.log(owner @ np.exp(within)))


def _grid(first: float, last: float) -> Array:
    """Return points from the first to the last; numpy's linspace takes as long as what is done with them."""
    grid = first + (last - first) * _EVENLY
    grid[-1] = last
    return grid
