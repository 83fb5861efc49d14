"""How fast repeated tokens and excess parameters lose their worth: R_D and R_N of Muennighoff et al. 2023, from runs.

The base law is held but for E, which is a property of the data and is fitted for each data set unless it is given. R_D
and R_N (R_D* and R_N* in the paper) minimise the Huber loss of log residuals from a grid of starts, as the paper does
(appendix A). Runs of one ratio of tokens to parameters leave a ridge: whether tokens or parameters saturate is then
hard to tell, and one of the two should be held.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import FitError, InputError, nearest
from beyond_chinchilla.fit.huber import UNLIMITED, Array
from beyond_chinchilla.fit.isoflop import positive_columns
from beyond_chinchilla.fit.parametric import DELTA, fit_parametric
from beyond_chinchilla.fit.repetition.decay import LOG_BOUNDS, R_D, R_N, DecayRows, descend
from beyond_chinchilla.fit.repetition.runs import RepeatedRuns
from beyond_chinchilla.fit.result import SAME
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.repetition import Repetition
from beyond_chinchilla.units import format_number

CONSTANTS = ("R_D", "R_N")
# The paper's grid is 0, 4, 8 ... 20 for both; 0 has no logarithm.
STARTS = (0.5, 4.0, 8.0, 12.0, 16.0, 20.0)
# A run counts as repeating its tokens, or as larger than is optimal for them, from here on.
BEYOND = 1.05
# One-epoch runs of one data set that make a base law.
ENOUGH = 10
# Rounds of data count as one epoch up to here.
ONE_EPOCH = 1.01
MOST_DATA_SETS = 50

_WIDEST = 0.05
_ROUND_OFF = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class RepetitionFit:
    """R_D and R_N fitted to runs.

    Attributes
    ----------
    R_D, R_N : float
    held : mapping of str to float
        The one that was given.
    law : LossLaw
        The base law as it was given.
    E : mapping of str to float
        The irreducible loss of each data set [nats/token].
    E_fitted : bool
        Whether it was fitted.
    method : {"huber", "least-squares"}
    objective : float
        The sum of Huber losses at the minimum; without any decay `as_new`.
    as_new : float
        The least objective if repeated tokens and excess parameters were as good as new ones.
    delta : float
        Of Huber's function; inf for least squares.
    residuals : array, shape (runs,)
        ln(law) - ln(loss).
    starts, reached_best : int
        Starts tried, and how many ended within 1e-6 of the best objective.
    correlation : float or None
        Of ln R_D and ln R_N, from the derivatives; None where one is held.
    rows : DecayRows
        The runs.
    theta : array, shape (2 + data sets,)
        ln R_D, ln R_N and ln E of each data set.
    """

    R_D: float
    R_N: float
    held: Mapping[str, float]
    law: LossLaw
    E: Mapping[str, float]
    E_fitted: bool
    method: Literal["huber", "least-squares"]
    objective: float
    as_new: float
    delta: float
    residuals: Array
    starts: int
    reached_best: int
    correlation: float | None
    rows: DecayRows
    theta: Array

    @property
    def free(self) -> list[int]:
        """Which parts of theta were fitted."""
        return _free(self.held, self.rows.data_sets, fixed_E=not self.E_fitted)

    @property
    def scatter(self) -> float:
        """Standard deviation of the log residuals."""
        spare = max(self.residuals.size - len(self.free), 1)
        return math.sqrt(float(self.residuals @ self.residuals) / spare)

    @property
    def epochs(self) -> Array:
        """Passes of each run over its unique tokens."""
        return self.rows.tokens / self.rows.unique_tokens

    def repetition(self, unique_tokens: float, *, name: str = "fit") -> Repetition:
        """Return the law for so many unique tokens."""
        return Repetition(
            unique_tokens=unique_tokens,
            R_D=self.R_D,
            R_N=self.R_N,
            most_epochs=float(self.epochs.max()),
            name=name,
            source=f"fit of {self.rows.count} runs on law {self.law.name}",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it."""
        return {
            "method": self.method,
            "runs": self.rows.count,
            "held": dict(self.held),
            "E": dict(self.E),
            "E_fitted": self.E_fitted,
            "objective": self.objective,
            "objective_as_new": self.as_new,
            "delta": self.delta if math.isfinite(self.delta) else None,
            "scatter": self.scatter,
            "starts": {"count": self.starts, "reached_best": self.reached_best},
            "correlation": self.correlation,
        }


def fit_repetition(
    params: ArrayLike,
    tokens: ArrayLike,
    unique_tokens: ArrayLike,
    loss: ArrayLike,
    *,
    law: LossLaw,
    data: ArrayLike | None = None,
    hold: Mapping[str, float] | None = None,
    fixed_E: bool = False,
    objective: Literal["huber", "least-squares"] = "huber",
    delta: float = DELTA,
) -> RepetitionFit:
    """Fit R_D and R_N to runs that repeat their tokens.

    Parameters
    ----------
    params, tokens, unique_tokens, loss : array_like, shape (runs,)
        N, D, the different tokens among them, and the final loss [nats/token].
    law : LossLaw
        The base law; of Chinchilla's form.
    data : array_like of str, shape (runs,), optional
        Which data each was trained on; runs on other data have another E.
    hold : mapping of str to float, optional
        ``R_D`` or ``R_N``, but not both.
    fixed_E : bool
        Hold E at the base law's.
    objective : {"huber", "least-squares"}
    delta : float
        Log residuals beyond this count linearly.

    Raises
    ------
    InputError
        Columns of different lengths, a value that is not positive and finite, too few runs, a law of Kaplan's form, a
        constant that no run can tell, or both of them held.
    FitError
        No start found a minimum.

    Examples
    --------
    >>> from beyond_chinchilla.laws.catalogue import law
    >>> base, truth = law("muennighoff-2023"), Repetition(unique_tokens=2e10, R_D=12.0, R_N=6.0)
    >>> N, D = (grid.ravel() for grid in np.meshgrid([1e9, 4e9, 1.6e10], [1e10, 8e10, 3e11, 1e12]))
    >>> fit = fit_repetition(N, D, np.full(12, 2e10), truth.loss(base, N, D), law=base)
    >>> round(fit.R_D, 4), round(fit.R_N, 4)
    (12.0, 6.0)
    """
    N, D, U, L = positive_columns(params=params, tokens=tokens, unique_tokens=unique_tokens, loss=loss)
    if law.power != 1.0 or law.counts != "total":
        raise InputError(
            f"law {law.name}: repetition needs a base law L = E + A N^-alpha + B D^-beta in all parameters"
        )
    if not delta > 0:
        raise InputError(f"delta {delta:g} is not positive; Muennighoff et al. use {DELTA:g}")
    held = _checked_hold(hold)
    labels, which = _data_sets(data, N.size)
    rows = DecayRows.of(law, N, D, U, L, which)
    free = _free(held, len(labels), fixed_E=fixed_E)
    _check_support(rows, held, len(free))

    start = _starts(rows, held, fixed_E=fixed_E)
    core = min(delta, UNLIMITED) if objective == "huber" else UNLIMITED
    deltas = [step for step in (_WIDEST, 0.1 * _WIDEST) if step > core] + [core]
    found = descend(rows, start, free, deltas=deltas)
    usable = np.isfinite(found.objective) & found.converged
    if not usable.any():
        raise FitError("no start found a minimum; check that the losses are losses of this base law's data")
    best = int(np.argmin(np.where(usable, found.objective, np.inf)))
    theta, least = found.theta[:, best], float(found.objective[best])
    same = found.objective <= least * (1.0 + SAME) + 0.5 * rows.count * _ROUND_OFF**2
    # Without decay only E is left to fit.
    endless = start[:, :1].copy()
    endless[:2] = LOG_BOUNDS[1]
    as_new = descend(rows, endless, [i for i in free if i > R_N], deltas=deltas)
    levels = np.exp(theta[2:])
    return RepetitionFit(
        R_D=held.get("R_D", math.exp(theta[R_D])),
        R_N=held.get("R_N", math.exp(theta[R_N])),
        held=held,
        law=law,
        E=dict(zip(labels, levels.tolist(), strict=True)),
        E_fitted=not fixed_E,
        method=objective,
        objective=least,
        as_new=float(as_new.objective[0]),
        delta=delta if objective == "huber" else math.inf,
        residuals=rows.residuals(theta[:, None])[0],
        starts=start.shape[1],
        reached_best=int(np.count_nonzero(same)),
        correlation=None if held else _correlation(rows, theta, free),
        rows=rows,
        theta=theta,
    )


def base_law(runs: RepeatedRuns, *, objective: Literal["huber", "least-squares"] = "huber") -> LossLaw | None:
    """Return the law of the runs that saw every token once; None where they make none.

    They must be of one data set, at least 10, and of different ratios of tokens to parameters.
    """
    once = runs.epochs <= ONE_EPOCH
    if len(set(runs.data[once].tolist())) != 1 or np.count_nonzero(once) < ENOUGH:
        return None
    table = runs.runs
    try:
        found = fit_parametric(
            table.params[once],
            table.tokens[once],
            table.loss[once],
            objective=objective,
            name=f"of the {np.count_nonzero(once)} runs of one epoch",
        )
    except (FitError, InputError):
        return None
    return None if found.bounds else found.law


def _checked_hold(hold: Mapping[str, float] | None) -> dict[str, float]:
    held = {} if hold is None else dict(hold)
    for name, value in held.items():
        if name not in CONSTANTS:
            raise InputError(f"no constant named '{name}' to hold; {nearest(name, CONSTANTS)}")
        low, high = (math.exp(bound) for bound in LOG_BOUNDS)
        if not low <= value <= high:
            raise InputError(f"{name} = {value:g} cannot be held; give a number from {low:g} to {format_number(high)}")
    if len(held) == len(CONSTANTS):
        raise InputError("R_D and R_N are both held, so that nothing is left to fit; hold one of them")
    return held


def _data_sets(data: ArrayLike | None, count: int) -> tuple[list[str], NDArray[np.int64]]:
    words = np.full(count, "") if data is None else np.asarray(data, dtype=np.str_).ravel()
    if words.size != count:
        raise InputError(f"{words.size} names of data sets for {count} runs; give every run one")
    labels, which = np.unique(words, return_inverse=True)
    if labels.size > MOST_DATA_SETS:
        raise InputError(
            f"{labels.size} data sets for {count} runs, and each needs an irreducible loss of its own; at most "
            f"{MOST_DATA_SETS} are fitted at once"
        )
    return [str(label) for label in labels], which.astype(np.int64)


def _free(held: Mapping[str, float], data_sets: int, *, fixed_E: bool) -> list[int]:
    constants = [i for i, name in enumerate(CONSTANTS) if name not in held]
    return constants if fixed_E else [*constants, *range(2, 2 + data_sets)]


def _check_support(rows: DecayRows, held: Mapping[str, float], free: int) -> None:
    """Refuse runs that cannot tell what is to be fitted whatever their losses."""
    if rows.count < free + 1:
        raise InputError(f"{rows.count} runs for {free} parameters; give at least {free + 1}, or hold R_D or R_N")
    epochs, sizes = rows.tokens / rows.unique_tokens, rows.params / rows.unique_params
    if "R_D" not in held and epochs.max() < BEYOND:
        raise InputError("no run sees its tokens more than once, so that nothing says R_D; add runs of several epochs")
    if "R_N" not in held and sizes.max() < BEYOND:
        raise InputError(
            "no run has more parameters than are compute-optimal for its unique tokens "
            f"({format_number(float(sizes.max()))} times at most), so that nothing says R_N; hold it: --hold R_N=5.31"
        )


def _starts(rows: DecayRows, held: Mapping[str, float], *, fixed_E: bool) -> Array:
    """Return the grid of starts, (parameters, starts), with levels that fit the middle run of each data set."""
    choices = [[held[name]] if name in held else list(STARTS) for name in CONSTANTS]
    pairs = np.log(np.array(list(itertools.product(*choices)))).T
    theta = np.vstack([pairs, np.full((rows.data_sets, pairs.shape[1]), math.log(max(rows.law.E, 1e-300)))])
    if fixed_E:
        return theta
    model, data = rows.reducible(theta)
    loss = np.exp(rows.log_loss)
    for j in range(rows.data_sets):
        mine = rows.data == j
        left = np.median((loss - model - data)[:, mine], axis=1)
        theta[2 + j] = np.log(np.maximum(left, 0.05 * float(loss[mine].min())))
    return theta


def _correlation(rows: DecayRows, theta: Array, free: list[int]) -> float | None:
    """Return the correlation of ln R_D and ln R_N; None where a direction is not felt at all."""
    jacobian = rows.derivatives(theta[:, None])[1][free, 0].T
    lengths = np.linalg.norm(jacobian, axis=0)
    if not (lengths > 0).all():
        return None
    _, singular, right = np.linalg.svd(jacobian / lengths, full_matrices=False)
    if singular[-1] <= 1e-12 * singular[0]:
        return None
    root = (right.T / singular) / lengths[:, None]
    covariance = root[:2] @ root[:2].T
    return float(covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]))
