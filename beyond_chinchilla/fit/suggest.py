"""Which training runs to make next: those that tell most, for a budget, about the compute-optimal size.

A local c-optimal design (Pukelsheim 2006, Optimal Design of Experiments, chapter 2): sizes, tokens and the split of the
budget minimise the variance of ln N* that `Knowledge` expects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from beyond_chinchilla.costs.flops import TRAINING_FLOPS_PER_PARAMETER_TOKEN as FLOPS_EACH
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit.bootstrap import FLOPS, Bootstrap
from beyond_chinchilla.fit.huber import Array
from beyond_chinchilla.fit.knowledge import Knowledge
from beyond_chinchilla.fit.result import Fit

MAX_RUNS = 20
# How far above the fitted sizes and tokens a run may lie (below them nobody knows the law, and it is extrapolated
# upwards), and on how many tokens per parameter anybody trains.
BEYOND = 3.0
TOKENS_PER_PARAM = (1.0, 1000.0)
# Two runs differ by this factor at least in size or tokens: a second run of the same kind tells nothing about the form.
APART = 1.5

# What one run may cost at first, in shares of the budget.
_SHARES = (1.0, 0.5, 0.2, 0.05, 0.005)
_GRID = 41
_SWEEPS = 4


@dataclass(frozen=True, kw_only=True)
class SuggestedRun:
    """One training run to make.

    Attributes
    ----------
    params, tokens, flops : float
        N as the law counts it, D, and 6ND.
    share : float
        Of the budget.
    without : float
        Standard error of ln N* after all the other runs without this one.
    """

    params: float
    tokens: float
    flops: float
    share: float
    without: float

    def to_dict(self) -> dict[str, float]:
        """Return the run as JSON holds it."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "tokens_per_param": self.tokens / self.params,
            "flops": self.flops,
            "share": self.share,
            "standard_error_without": self.without,
        }


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """The next runs, and what they are worth.

    Attributes
    ----------
    runs : tuple of SuggestedRun
        Largest first.
    budget : float
        What they may cost together [FLOP].
    flops : float
        Compute [FLOP] at which N* is asked for.
    params, tokens : float
        N* and D* of the fit there.
    before, after : float
        Standard error of ln N* now, and expected with the runs.
    noise : float
        Standard deviation of a run's log loss that the fit has to live with.
    resampled : bool
        Whether today's covariance is that of a bootstrap, or of the residuals' derivatives.
    sizes, lengths : pair of float
        Between which parameters and tokens the runs were sought.
    """

    runs: tuple[SuggestedRun, ...]
    budget: float
    flops: float
    params: float
    tokens: float
    before: float
    after: float
    noise: float
    resampled: bool
    sizes: tuple[float, float]
    lengths: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the suggestion as JSON holds it."""
        return {
            "runs": [run.to_dict() for run in self.runs],
            "budget": self.budget,
            "for_flops": self.flops,
            "params": self.params,
            "tokens": self.tokens,
            "standard_error": {"before": self.before, "after": self.after},
            "noise": self.noise,
            "covariance": "bootstrap" if self.resampled else "derivatives",
            "bounds": {
                "params": list(self.sizes),
                "tokens": list(self.lengths),
                "tokens_per_param": list(TOKENS_PER_PARAM),
            },
        }


def suggest(
    fit: Fit, *, count: int, budget: float, bootstrap: Bootstrap | None = None, flops: float | None = None
) -> Suggestion:
    """Return the training runs that shrink the standard error of ln N* most for a budget.

    Parameters
    ----------
    fit : Fit
    count : int
        Runs, at most 20.
    budget : float
        Their training compute together, 6ND each [FLOP].
    bootstrap : Bootstrap, optional
        Of the fit: today's covariance. By default that of the derivatives.
    flops : float, optional
        Compute [FLOP] at which N* is asked for; the largest that the bootstrap states, else 5.76e23.

    Returns
    -------
    Suggestion
        Runs of the smallest fitted size, tokens and compute at least and 3 times the largest size and tokens at most,
        on 1 to 1000 tokens per parameter, each 1.5 times larger or longer than any other.

    Raises
    ------
    InputError
        A count or compute that makes no sense, a budget that does not pay for the smallest such runs, or runs
        without noise, to which nothing can be added.
    """
    check_count(count)
    at = max(FLOPS if bootstrap is None else bootstrap.flops) if flops is None else flops
    for what, value in (("a budget", budget), ("a compute", at)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{what} of {value:g} FLOP: give one above zero, such as 1e20")
    # Residuals of round-off alone: a law without noise.
    if not fit.scatter > 1e-12:
        raise InputError(f"the runs of {fit.law.name} follow the law without noise: no further run would add anything")
    knowledge = Knowledge(fit=fit, bootstrap=bootstrap, flops=at)
    region = _Region.of(fit, budget, count)
    best = min((_descend(knowledge, region, start) for start in _starts(knowledge, region)), key=lambda found: found[0])
    order = np.argsort(-(best[1] + best[2]), kind="stable")
    N, D = np.exp(best[1][order]), np.exp(best[2][order])
    cost = FLOPS_EACH * N * D
    point = fit.law.compute_optimal(flops=at)
    return Suggestion(
        runs=tuple(
            SuggestedRun(
                params=float(N[i]),
                tokens=float(D[i]),
                flops=float(cost[i]),
                share=float(cost[i] / budget),
                without=knowledge.standard_error(np.delete(N, i), np.delete(D, i)),
            )
            for i in range(count)
        ),
        budget=budget,
        flops=at,
        params=float(point.params),
        tokens=float(point.tokens),
        before=knowledge.standard_error(),
        after=knowledge.standard_error(N, D),
        noise=knowledge.noise,
        resampled=bootstrap is not None,
        sizes=(math.exp(region.sizes[0]), math.exp(region.sizes[1])),
        lengths=(math.exp(region.tokens[0]), math.exp(region.tokens[1])),
    )


def check_count(count: int) -> None:
    """Refuse to suggest no runs, or more than anybody plans at once."""
    if not 1 <= count <= MAX_RUNS:
        raise InputError(f"{count} runs: suggest 1 to {MAX_RUNS}")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Region:
    """Where runs may lie, in logarithms: sizes, tokens, tokens per parameter, least N D of one and most of all."""

    sizes: tuple[float, float]
    tokens: tuple[float, float]
    ratios: tuple[float, float]
    least: float
    budget: float
    count: int

    @classmethod
    def of(cls, fit: Fit, budget: float, count: int) -> _Region:
        sizes, tokens = (
            (math.log(values.min()), math.log(values.max() * BEYOND)) for values in (fit.params, fit.tokens)
        )
        region = cls(
            sizes=sizes,
            tokens=tokens,
            ratios=(math.log(TOKENS_PER_PARAM[0]), math.log(TOKENS_PER_PARAM[1])),
            least=math.log((fit.params * fit.tokens).min()),
            budget=math.log(budget / FLOPS_EACH),
            count=count,
        )
        if region.cheapest is None:
            raise InputError(
                f"among the fitted sizes and tokens, and up to {BEYOND:g} times beyond, there is no room for {count} "
                "runs of 1 to 1000 tokens per param, each 1.5 times larger or longer than the others; ask for fewer"
            )
        least = FLOPS_EACH * float(np.exp(sum(region.cheapest)).sum())
        if budget < least:
            raise InputError(
                f"a budget of {budget:.3g} FLOP does not pay for {count} run{'s' if count > 1 else ''} as large as the "
                f"smallest fitted ({FLOPS_EACH * math.exp(region.least):.3g} FLOP): give {1.01 * least:.2e} FLOP, "
                "or ask for fewer"
            )
        return region

    @cached_property
    def candidates(self) -> tuple[Array, Array]:
        """Runs on a grid, cheapest first: ln N and ln D."""
        x, y = (part.ravel() for part in np.meshgrid(np.linspace(*self.sizes, _GRID), np.linspace(*self.tokens, _GRID)))
        inside = (y - x >= self.ratios[0]) & (y - x <= self.ratios[1]) & (x + y >= self.least)
        order = np.argsort((x + y)[inside], kind="stable")
        return x[inside][order], y[inside][order]

    @cached_property
    def cheapest(self) -> tuple[Array, Array] | None:
        """The cheapest distinct runs on the grid; None where there is no room for so many."""
        x, y = self.candidates
        chosen: list[int] = []
        for i in range(x.size):
            if len(chosen) < self.count and _distances(x[i : i + 1], y[i : i + 1], (x[chosen], y[chosen])).min(
                initial=math.inf
            ) > math.log(APART):
                chosen.append(i)
        return (x[chosen], y[chosen]) if len(chosen) == self.count else None


def _distances(x: Array, y: Array, others: tuple[Array, Array]) -> Array:
    """Return how far candidates are from other runs, (candidates, others)."""
    return np.hypot(np.subtract.outer(x, others[0]), np.subtract.outer(y, others[1]))


def _starts(knowledge: Knowledge, region: _Region) -> list[tuple[Array, Array]]:
    """Return designs to go down from.

    The cheapest runs are exchanged for better ones, at first at no more than a share of the budget each: a greedy
    choice would spend all of it on one.
    """
    assert region.cheapest is not None
    return [_exchange(knowledge, region, region.cheapest, math.log(share)) for share in _SHARES] + [region.cheapest]


def _exchange(knowledge: Knowledge, region: _Region, start: tuple[Array, Array], cap: float) -> tuple[Array, Array]:
    """Choose each run on the grid anew beside the others, the first time at most e^cap of the budget each."""
    (x, y), (grid_x, grid_y) = start, region.candidates
    for sweep in range(_SWEEPS):
        for i in range(region.count):
            others = np.delete(x, i), np.delete(y, i)
            left = math.exp(region.budget) - float(np.exp(sum(others)).sum())
            most = min(left, math.exp(region.budget + cap)) if sweep == 0 else left
            allowed = np.exp(grid_x + grid_y) <= most
            allowed &= (_distances(grid_x, grid_y, others) > math.log(APART)).all(axis=1)
            if allowed.any():
                sizes, tokens = grid_x[allowed], grid_y[allowed]
                best = np.argmin(knowledge.variances(sizes, tokens, others))
                x, y = np.insert(others[0], i, sizes[best]), np.insert(others[1], i, tokens[best])
    return x, y


def _descend(knowledge: Knowledge, region: _Region, start: tuple[Array, Array]) -> tuple[float, Array, Array]:
    """Polish a design within the region; return ln variance, ln N and ln D, never worse than the start."""
    from scipy.optimize import minimize  # 0.2 s: only for who asks for runs

    k = region.count
    left, right = np.triu_indices(k, 1)
    gap = math.log(APART) ** 2

    def slack(z: Array) -> Array:
        """Return what is left of tokens per parameter and compute at their ends, and between the runs."""
        x, y = z[:k], z[k:]
        apart = (x[left] - x[right]) ** 2 + (y[left] - y[right]) ** 2 - gap
        ratio = y - x
        spare = region.budget - np.logaddexp.reduce(x + y)
        ends = [ratio - region.ratios[0], region.ratios[1] - ratio, x + y - region.least]
        return np.concatenate([*ends, [spare], apart])

    def slopes(z: Array) -> Array:
        x, y = z[:k], z[k:]
        eye = np.eye(k)
        shares = np.exp(x + y - np.logaddexp.reduce(x + y))
        pairs = np.arange(left.size)
        apart = np.zeros((left.size, 2 * k))
        for offset, values in ((0, x), (k, y)):
            difference = 2.0 * (values[left] - values[right])
            apart[pairs, offset + left], apart[pairs, offset + right] = difference, -difference
        ratio = np.hstack([-eye, eye])
        return np.vstack([ratio, -ratio, np.hstack([eye, eye]), -np.concatenate([shares, shares])[None], apart])

    def value(z: Array) -> tuple[float, Array]:
        log_variance, by_size, by_data = knowledge.log_variance(z[:k], z[k:])
        return log_variance, np.concatenate([by_size, by_data])

    first = np.concatenate(start)
    bounds = [region.sizes] * k + [region.tokens] * k
    # SLSQP may overstep by a rounding; slack that is kept in hand costs nothing that anybody could notice.
    held: Any = {"type": "ineq", "fun": lambda z: slack(z) - 1e-9, "jac": slopes}
    found = minimize(
        value,
        first,
        jac=True,
        method="SLSQP",
        bounds=bounds,
        constraints=held,
        options={"maxiter": 300, "ftol": 1e-10},
    )
    z = np.clip(found.x, *np.transpose(bounds))
    if not np.all(np.isfinite(z)) or slack(z).min() < -1e-9 or value(z)[0] > value(first)[0]:
        z = first
    return value(z)[0], z[:k], z[k:]
