"""Approach 2: the least loss at each compute budget, read off a parabola in ln N (Hoffmann et al. 2022, section 3.2).

Runs of one budget C = 6ND differ in size alone, so that their losses trace a valley over ln N. The vertex of a
parabola through them is the optimal size of that budget, and a straight line through the vertices in logs is the
law N_opt = k C^a, with D_opt = C / (6 N_opt) and hence b = 1 - a.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.checks import LEAST, MOST
from beyond_chinchilla.units import format_number

Array = NDArray[np.float64]

LEVEL = 0.95
# Runs of one budget miss it by whole layers and whole steps: Hoffmann's read off the figure by up to a tenth each way.
TOLERANCE = 0.25


@dataclass(frozen=True, eq=False)
class FrontierLaw:
    """N_opt = k C^a and D_opt = C^b / (6 k) with b = 1 - a (Hoffmann et al. 2022, section 3 and Table 2).

    Parameters
    ----------
    a : float
        Exponent of the optimal size.
    log_k : float
        ln k.
    samples : array, shape (samples, 2)
        Bootstrap draws of (ln k, a); empty where no interval was asked for.
    level : float
        Share of the draws inside each percentile interval.
    """

    a: float
    log_k: float
    samples: Array = field(default_factory=lambda: np.empty((0, 2)))
    level: float = LEVEL

    @property
    def b(self) -> float:
        """Return the exponent of the optimal tokens, 1 - a."""
        return 1.0 - self.a

    @property
    def a_interval(self) -> tuple[float, float] | None:
        """Return the percentile interval of a, or None without draws."""
        return interval(self.samples[:, 1], self.level)

    @property
    def b_interval(self) -> tuple[float, float] | None:
        """Return the percentile interval of b, or None without draws."""
        return interval(1.0 - self.samples[:, 1], self.level)

    def params(self, flops: ArrayLike) -> Array:
        """Return the optimal parameters at a compute budget [FLOP] (numeric)."""
        return np.asarray(np.exp(self.log_k + self.a * np.log(np.asarray(flops, dtype=float))))

    def tokens(self, flops: ArrayLike) -> Array:
        """Return the optimal training tokens at a compute budget [FLOP] (numeric)."""
        return np.asarray(np.asarray(flops, dtype=float) / (6.0 * self.params(flops)))

    def at(self, flops: float) -> dict[str, Any]:
        """Return the optimal params, tokens and tokens_per_param of one budget, each with its interval or None."""
        log_flops = math.log(flops)
        draws = self.samples[:, 0] + self.samples[:, 1] * log_flops
        best = self.log_k + self.a * log_flops
        # ln N is best; ln D = ln(C/6) - ln N; ln(D/N) = ln(C/6) - 2 ln N.
        rows: dict[str, Any] = {"flops": flops}
        for key, offset, slope in (("params", 0.0, 1.0), ("tokens", 1.0, -1.0), ("tokens_per_param", 1.0, -2.0)):
            start = offset * (log_flops - math.log(6.0))
            rows[key] = math.exp(start + slope * best)
            rows[f"{key}_interval"] = interval(np.exp(start + slope * draws), self.level)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return exponents, coefficient and intervals as JSON holds them."""
        return {
            "a": self.a,
            "a_interval": self.a_interval,
            "b": self.b,
            "b_interval": self.b_interval,
            "log_k": self.log_k,
            "level": self.level,
            "samples": len(self.samples),
        }


@dataclass(frozen=True)
class Budget:
    """The valley of one compute budget.

    Parameters
    ----------
    flops : float
        Compute budget: as given, or the geometric mean of the runs' 6ND [FLOP].
    runs : int
        Number of runs.
    params_range : pair of float
        Smallest and largest model.
    params, tokens, loss : float or None
        The vertex: N_opt, D_opt = C / (6 N_opt) and the loss there [nats/token]; None where there is none.
    curvature : float or None
        Coefficient of (ln N)^2 [nats/token].
    rmse : float or None
        Root mean square distance of the runs from the parabola [nats/token].
    reason : str
        Why the budget is set aside; empty where it is used.
    """

    flops: float
    runs: int
    params_range: tuple[float, float]
    params: float | None = None
    tokens: float | None = None
    loss: float | None = None
    curvature: float | None = None
    rmse: float | None = None
    reason: str = ""

    @property
    def used(self) -> bool:
        """Return whether the power law rests on this budget."""
        return not self.reason

    def to_dict(self) -> dict[str, Any]:
        """Return the budget as JSON holds it."""
        return {**self.__dict__, "params_range": list(self.params_range), "used": self.used}


@dataclass(frozen=True, eq=False)
class IsoflopFit:
    """Approach 2: every budget's valley, and the law through the vertices.

    Parameters
    ----------
    budgets : tuple of Budget
        In order of compute, used or set aside.
    law : FrontierLaw
        Through the used ones.
    scatter : float
        Root mean square distance of ln N_opt from the law.
    warnings : tuple of str
        What to know before relying on it.
    """

    budgets: tuple[Budget, ...]
    law: FrontierLaw
    scatter: float
    warnings: tuple[str, ...] = ()

    @property
    def set_aside(self) -> tuple[Budget, ...]:
        """Return the budgets that the law does not rest on."""
        return tuple(budget for budget in self.budgets if not budget.used)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it."""
        return {
            "approach": 2,
            **self.law.to_dict(),
            "scatter": self.scatter,
            "budgets": [budget.to_dict() for budget in self.budgets],
            "warnings": list(self.warnings),
        }


def fit_isoflop(
    params: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    budgets: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
    samples: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> IsoflopFit:
    """Fit Approach 2: a parabola in ln N for each budget, and power laws through the vertices.

    Loss = c0 + c1 ln N + c2 (ln N)^2 by least squares; ln N_opt = -c1 / (2 c2). A budget whose parabola opens
    downwards, whose vertex lies outside its range of sizes, or which has too few different sizes is set aside and
    named. Intervals: within every budget the residuals of its parabola, each divided by sqrt(1 - leverage) and widened
    by Student's factor for few runs, are drawn anew, and vertices and law are found again; in each draw the same rules
    set budgets aside. The intervals hold the noise of the runs, not the bias of a parabola over a wide range of sizes.

    Parameters
    ----------
    params, tokens, loss : array_like, shape (runs,)
        Parameters, training tokens, loss [nats/token].
    budgets : array_like, shape (runs,), optional
        Compute budget of each run [FLOP]; by default runs are grouped by 6ND.
    tolerance : float
        Without `budgets`: 6ND of one group reaches up to (1 + tolerance) times its least.
    samples : int
        Bootstrap draws; 0 for no interval.
    seed : int
        Of the draws.
    level : float
        Of the percentile intervals.

    Raises
    ------
    InputError
        Columns of different lengths, or a value that is not a positive number.
    FitError
        Fewer than two usable budgets.

    Examples
    --------
    >>> N, C = np.array([[2e8, 4e8, 8e8, 16e8]]), np.array([[1e19], [4e19], [16e19]])
    >>> loss = 2 + 0.1 * np.log(N / (5e8 * (C / 4e19) ** 0.5)) ** 2 - 0.05 * np.log(C / 4e19)
    >>> round(fit_isoflop(*np.broadcast_arrays(N, C / (6 * N), loss), samples=0).law.a, 6)
    0.5
    """
    N, D, L = positive_columns(params=params, tokens=tokens, loss=loss)
    if samples < 0 or not 0 < level < 1:
        raise InputError(f"samples must be >= 0 and level between 0 and 1, not {samples} and {level}")
    if budgets is None:
        group, flops = _group(6.0 * N * D, tolerance)
    else:
        (given,) = positive_columns(budgets=budgets)
        if given.size != N.size:
            raise InputError(f"budgets: {given.size} values for {N.size} runs; give each run its budget")
        flops, group = np.unique(given, return_inverse=True)
    least = 4 if samples else 3
    rng = np.random.default_rng(seed)
    spare = int(np.maximum(np.bincount(group) - 3, 0).sum())
    widening = _student(spare, level)
    found: list[Budget] = []
    draws: list[Array] = []
    for index, budget in enumerate(flops):
        members = group == index
        valley, vertices = _valley(float(budget), N[members], L[members], least, samples, widening, rng)
        found.append(valley)
        draws.append(vertices)
    used = np.array([budget.used for budget in found])
    if used.sum() < 2:
        why = "; ".join(f"{format_number(each.flops)} FLOP: {each.reason}" for each in found if each.reason)
        raise FitError(
            f"approach 2 needs two budgets with a valley, and {int(used.sum())} of {used.size} have one ({why}); "
            "add sizes on both sides of the optimum, or state each run's budget"
        )
    x = np.log(flops[used])
    y = np.array([math.log(budget.params) for budget in found if budget.used and budget.params is not None])
    log_k, a = (float(value) for value in _lines(x, y[None, :])[0])
    drawn = _lines(x, np.stack([draw for draw, keep in zip(draws, used, strict=True) if keep], axis=1))
    whole = np.isfinite(drawn).all(axis=1)
    warnings = [
        f"budget {format_number(each.flops)} FLOP is set aside: {each.reason}" for each in found if not each.used
    ]
    if used.sum() == 2:
        warnings.append("two budgets make a line, not a test of one: add a third")
    if samples and whole.mean() < 0.95:
        warnings.append(f"{samples - int(whole.sum())} of {samples} bootstrap draws left fewer than two valleys")
    law = FrontierLaw(a, log_k, drawn[whole], level)
    scatter = float(np.sqrt(np.mean((y - log_k - a * x) ** 2)))
    return IsoflopFit(tuple(found), law, scatter, tuple(warnings))


def positive_columns(**columns: ArrayLike) -> list[Array]:
    """Return columns as flat arrays of positive numbers of one length.

    Raises
    ------
    InputError
        Another length, or a value that is not positive and of this world; the message says which.
    """
    arrays = {name: np.asarray(values, dtype=float).ravel() for name, values in columns.items()}
    if len({array.size for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} {array.size}" for name, array in arrays.items())
        raise InputError(f"columns differ in length: {sizes}; give every run all of them")
    for name, array in arrays.items():
        wrong = np.flatnonzero(~((array >= LEAST) & (array <= MOST)))
        if wrong.size:
            raise InputError(
                f"{name}[{wrong[0]}] is {array[wrong[0]]:g}, not a positive number of {LEAST:g} to {MOST:g} "
                f"({wrong.size} such in {array.size}); leave these rows out"
            )
    return list(arrays.values())


def interval(draws: Array, level: float) -> tuple[float, float] | None:
    """Return the percentile interval of draws, or None where there are none."""
    if draws.size == 0:
        return None
    low, high = np.percentile(draws, [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return float(low), float(high)


def _student(spare: int, level: float) -> float:
    """Return by how much Student's quantile on `spare` degrees of freedom exceeds the normal one (first order)."""
    z = NormalDist().inv_cdf(0.5 + 0.5 * level)
    return 1.0 + (z * z + 1.0) / (4.0 * max(spare, 1))


def _group(flops: Array, tolerance: float) -> tuple[NDArray[np.intp], Array]:
    """Group runs by compute, and return each run's group and each group's geometric mean."""
    order = np.argsort(flops, kind="stable")
    group = np.empty(flops.size, dtype=np.intp)
    start, count = -math.inf, -1
    for index in order:
        if flops[index] > start * (1.0 + tolerance) or count < 0:
            start, count = flops[index], count + 1
        group[index] = count
    sums = np.bincount(group, np.log(flops))
    return group, np.exp(sums / np.bincount(group))


def _valley(
    flops: float, N: Array, L: Array, least: int, samples: int, widening: float, rng: np.random.Generator
) -> tuple[Budget, Array]:
    """Fit one budget, and return it with bootstrap draws of ln N_opt (nan where a draw has no valley)."""
    bounds = (float(N.min()), float(N.max()))
    nothing = np.full(samples, np.nan)
    sizes = np.unique(N).size
    if N.size < least or sizes < 3:
        needed = f"at least {least} runs of 3 sizes are needed"
        return Budget(flops, N.size, bounds, reason=f"{N.size} runs of {sizes} sizes; {needed}"), nothing
    x = np.log(N)
    middle, spread = 0.5 * (x.min() + x.max()), 0.5 * (x.max() - x.min())
    design = np.vander((x - middle) / spread, 3, increasing=True)
    projector = np.linalg.pinv(design)
    coefficients = projector @ L
    fitted = design @ coefficients
    curvature = float(coefficients[2] / spread**2)
    rmse = float(np.sqrt(np.mean((L - fitted) ** 2)))
    facts: dict[str, Any] = {"curvature": curvature, "rmse": rmse}
    if curvature <= 0:
        reason = "the parabola opens downwards: there is no least loss"
        return Budget(flops, N.size, bounds, **facts, reason=reason), nothing
    u = -coefficients[1] / (2.0 * coefficients[2])
    # Beyond e^600 a size and its tokens are no numbers; the reason below says enough.
    vertex = float(np.exp(np.clip(middle + spread * u, -600.0, 600.0)))
    lowest = float(coefficients[0] + 0.5 * coefficients[1] * u)
    facts |= {"params": vertex, "tokens": flops / (6.0 * vertex), "loss": lowest}
    if not -1.0 <= u <= 1.0:
        low, high = (format_number(bound) for bound in bounds)
        reason = f"the vertex, {format_number(vertex)} params, lies outside its range of sizes, {low} to {high}"
        return Budget(flops, N.size, bounds, **facts, reason=reason), nothing
    if not samples:
        return Budget(flops, N.size, bounds, **facts), nothing
    left = 1.0 - np.einsum("ij,ji->i", design, projector)
    # A run that its parabola goes through has nothing to redraw.
    residuals = widening * (L - fitted) / np.sqrt(np.where(left > 1e-6, left, np.inf))
    residuals -= residuals.mean()
    redrawn = fitted + residuals[rng.integers(0, N.size, (samples, N.size))]
    _, c1, c2 = (redrawn @ projector.T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        at = -c1 / (2.0 * c2)
    kept = (c2 > 0) & (np.abs(at) <= 1.0)
    return Budget(flops, N.size, bounds, **facts), np.where(kept, middle + spread * at, np.nan)


def _lines(x: Array, y: Array) -> Array:
    """Return (intercept, slope) of each row of y over x by least squares, without its nan; nan below two points."""
    weight = np.isfinite(y).astype(float)
    filled = np.nan_to_num(y)
    count = weight.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y = (weight @ x) / count, (weight * filled).sum(axis=1) / count
        offset = weight * (x - mean_x[:, None])
        slope = (offset * filled).sum(axis=1) / (offset**2).sum(axis=1)
        lines = np.stack([mean_y - slope * mean_x, slope], axis=1)
    return np.asarray(np.where((count >= 2)[:, None], lines, np.nan))
