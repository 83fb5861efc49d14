"""Which size to commit to: the bill of every size over all samples, and the sizes of least mean and least CVaR.

The size is fixed before training; tokens are not, one trains until the target is reached. So a size stands for the
distribution of a bill over samples ("worlds"). A world in which it fails is paid for like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.risk.figures import QUANTILES

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.risk.worlds import Bills, Foresight, Worlds

Array = NDArray[np.float64]

# Bills that are held at once, as samples times sizes (8 bytes each, several arrays).
AT_ONCE = 250_000
# A grid reaches past what it must hold by this factor, and past all but this share of the worlds' own optima.
_MARGIN = 1.5
_TAIL = 0.002
# Valleys of the grid that are searched: with failures the objective may have several.
_VALLEYS = 3
# Golden section: the share of the longer side at which to try next.
_GOLDEN = 0.381966011250105
# What rounding alone may gain.
_ROUNDING = 1e-12

Objective = Callable[["Profile"], Array]
Key = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """The bill by committed size; arrays of shape (S,), `quantiles` (5, S).

    Attributes
    ----------
    sizes : array
        Total parameters, ascending where it is a grid.
    mean, cvar : array
        [unit of the bill]
    failure, missed : array
        Shares of the worlds.
    mean_regret : array
        [unit of the bill]
    quantiles : array
        At .05, .25, .50, .75, .95 [unit of the bill].
    """

    sizes: Array
    mean: Array
    cvar: Array
    failure: Array
    missed: Array
    mean_regret: Array
    quantiles: Array

    def joined(self, others: Sequence[Profile]) -> Profile:
        """Return the profile with others behind it."""
        every = (self, *others)
        return Profile(
            **{f.name: np.concatenate([getattr(one, f.name) for one in every], axis=-1) for f in fields(self)}
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How sizes are judged.

    Parameters
    ----------
    worlds : Worlds
    foresight : Foresight
        Of the same worlds.
    level : float
        CVaR is the mean of the dearest 1 - level of the worlds.
    max_failure : float
        Largest share of worlds in which a size may fail.
    tolerance : float
        To which a size is found, as d ln N.
    trials : int
        Sizes that a search tries at once: 1, or more where further sizes cost little beside the first.
    at_once : int
        Bills to hold at once; no result depends on it.
    progress : callable, optional
        Called after each block of sizes.
    """

    worlds: Worlds
    foresight: Foresight
    level: float = 0.9
    max_failure: float = 0.05
    tolerance: float = 1e-5
    trials: int = 1
    at_once: int = AT_ONCE
    progress: Callable[[], None] | None = None

    def judge(self, sizes: Array) -> Profile:
        """Return the bill by size, in blocks of sizes so that memory stays bounded."""
        sizes = np.asarray(sizes, dtype=float)
        step = max(1, self.at_once // self.worlds.count)
        parts = []
        for begin in range(0, len(sizes), step):
            parts.append(self._judge(sizes[begin : begin + step]))
            if self.progress is not None:
                self.progress()
        return parts[0].joined(parts[1:]) if len(parts) > 1 else parts[0]

    def _judge(self, sizes: Array) -> Profile:
        bills = self.worlds.bills(sizes)
        # By size, each in one run of memory: sums then do not depend on how sizes are blocked.
        lost = np.ascontiguousarray(regrets(bills, self.foresight).T).mean(axis=1)
        totals = np.ascontiguousarray(bills.total.T)
        totals.sort(axis=1)
        return Profile(
            sizes=sizes,
            mean=totals.mean(axis=1),
            cvar=sorted_cvar(totals, self.level),
            failure=bills.failed.mean(axis=0),
            missed=bills.missed.mean(axis=0),
            mean_regret=lost,
            quantiles=sorted_quantiles(totals),
        )

    def least(self, grid: Profile, objective: Objective) -> float:
        """Return the size of least objective among those that fail no oftener than `max_failure`.

        If every size fails oftener, the one that fails least. Between failures the objective is convex in ln N, with
        them it is not: the best few valleys of the grid are each searched by golden section.
        """
        excess = np.maximum(grid.failure - self.max_failure, 0.0)
        values = objective(grid)
        order = np.lexsort((values, excess))
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        beside = np.concatenate(([len(order)], rank, [len(order)]))
        valleys = np.flatnonzero((rank < beside[:-2]) & (rank < beside[2:]))
        valleys = valleys[np.argsort(rank[valleys])][:_VALLEYS]

        logs = np.log(grid.sizes)
        best, size = (float(excess[order[0]]), float(values[order[0]])), float(grid.sizes[order[0]])
        for index in valleys.tolist():
            low, high = logs[max(index - 1, 0)], logs[min(index + 1, len(logs) - 1)]
            start = (float(excess[index]), float(values[index]))
            at, found = self._descend((low, logs[index], high), start, objective)
            if _better(found, best):
                best, size = found, float(np.exp(at))
        return size

    def _descend(self, bracket: tuple[float, float, float], key: Key, objective: Objective) -> tuple[float, Key]:
        """Return the log of the best size in a bracket and its key; `key` is that of its middle."""
        low, at, high = bracket
        while high - low > self.tolerance:
            logs = [at, *self._tried(low, at, high)]
            profile = self.judge(np.exp(logs[1:]))
            excess = np.maximum(profile.failure - self.max_failure, 0.0)
            keys = [key, *zip(excess.tolist(), objective(profile).tolist(), strict=True)]
            ordered = sorted(zip(logs, keys, strict=True))
            place = min(range(len(ordered)), key=lambda index: ordered[index][1])
            at, key = ordered[place]
            low = ordered[place - 1][0] if place > 0 else low
            high = ordered[place + 1][0] if place < len(ordered) - 1 else high
        return at, key

    def _tried(self, low: float, at: float, high: float) -> list[float]:
        """Return where to try next inside a bracket: by golden section, or several at once."""
        if self.trials == 1:
            return [at + _GOLDEN * (high - at if high - at > at - low else low - at)]
        spaced = np.linspace(low, high, self.trials + 2)[1:-1]
        return [float(log) for log in spaced if abs(log - at) > _ROUNDING]

    def within(
        self, grid: Profile, objective: Objective, size: float, fractions: Sequence[float]
    ) -> list[tuple[float, float]]:
        """Return for each fraction the sizes around `size` whose objective is at most that much above its own.

        None of them fails oftener than `max_failure`, or than `size` if that fails oftener still.
        """
        at = self.judge(np.array([size]))
        failure = max(self.max_failure, float(at.failure[0]))
        bounds = np.repeat(float(objective(at)[0]) * (1.0 + np.asarray(fractions)), 2)
        logs = np.log(grid.sizes)
        middle = np.log(size)

        def keeps(profile: Profile, bound: float | Array) -> NDArray[np.bool_]:
            return np.asarray((objective(profile) <= bound) & (profile.failure <= failure))

        inner, outer = np.full(len(bounds), middle), np.full(len(bounds), middle)
        for row, bound in enumerate(bounds):
            kept = keeps(grid, bound)
            beyond = np.flatnonzero(logs > middle) if row % 2 else np.flatnonzero(logs < middle)[::-1]
            for index in beyond.tolist():
                outer[row] = logs[index]
                if not kept[index]:
                    break
                inner[row] = outer[row]
        while np.max(np.abs(outer - inner)) > self.tolerance:
            trial = 0.5 * (inner + outer)
            ok = keeps(self.judge(np.exp(trial)), bounds)
            inner, outer = np.where(ok, trial, inner), np.where(ok, outer, trial)
        # The size itself, where it is an end, without the rounding of its log.
        ends = np.where(inner == middle, size, np.exp(inner))
        return [(float(ends[2 * row]), float(ends[2 * row + 1])) for row in range(len(fractions))]


def grid_of(foresight: Foresight, held: Sequence[float], count: int = 200) -> Array:
    """Return log-spaced sizes that hold nearly every world's own optimum, and each of `held` exactly."""
    found = foresight.params[foresight.reachable]
    ends = list(held)
    if len(found):
        ends += np.quantile(found, (_TAIL, 1.0 - _TAIL)).tolist()
    return np.unique(np.append(np.geomspace(min(ends) / _MARGIN, max(ends) * _MARGIN, count), held))


def weigh(aversion: float) -> Objective:
    """Return the objective (1 - aversion) mean + aversion CVaR."""
    return lambda profile: (1.0 - aversion) * profile.mean + aversion * profile.cvar


def mean_regret(profile: Profile) -> Array:
    """Return the regret of each size, as an objective."""
    return profile.mean_regret


def regrets(bills: Bills, foresight: Foresight) -> Array:
    """Return what each size costs beyond foresight in each world, shape (K, S) [unit of the bill].

    Where it fails, all that its training cost: the right model has still to be trained. Where no size reaches the
    target, foresight trains nothing.
    """
    lost = bills.failed | ~foresight.reachable[:, None]
    return np.where(lost, bills.training, bills.total - np.nan_to_num(foresight.total)[:, None])


def sorted_cvar(ordered: Array, level: float) -> Array:
    """Return the mean of the largest 1 - level of each row of ascending values, shape (..., K) to (...).

    The value that straddles the edge counts with the share that is left for it: the exact minimum over t of
    t + mean(max(x - t, 0)) / (1 - level) (Rockafellar & Uryasev 2000, Eq. 9).

    >>> float(sorted_cvar(np.arange(1.0, 11.0), 0.75))
    9.2
    """
    count = ordered.shape[-1]
    tail = count * (1.0 - level)
    # So many whole values: 10 * (1 - 0.9) is 0.9999999999999998.
    whole = min(int(tail + 1e-9), count)
    if not whole:
        return np.asarray(ordered[..., -1])
    part = max(tail - whole, 0.0)
    total = ordered[..., count - whole :].sum(axis=-1)
    if part > 1e-9 and whole < count:
        return np.asarray((total + part * ordered[..., count - whole - 1]) / tail)
    return np.asarray(total / whole)


def sorted_quantiles(ordered: Array, shares: Sequence[float] = QUANTILES) -> Array:
    """Return quantiles of rows of ascending values, shape (..., K) to (shares, ...); linear between values."""
    at = np.asarray(shares) * (ordered.shape[-1] - 1)
    below = np.floor(at).astype(np.intp)
    above = np.minimum(below + 1, ordered.shape[-1] - 1)
    part = at - below
    values = ordered[..., below] + part * (ordered[..., above] - ordered[..., below])
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))


def _better(key: Key, than: Key) -> bool:
    """Say whether a key is less by more than rounding."""
    return key[0] < than[0] or (key[0] == than[0] and key[1] < than[1] * (1.0 - _ROUNDING))
