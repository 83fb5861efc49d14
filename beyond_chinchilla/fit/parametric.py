"""Approach 3: a parametric law by Huber loss on log residuals, from every start of a grid (Hoffmann et al. 2022, D.2).

The objective is the sum of Huber losses, as Besiroglu et al. 2024 (arXiv 2404.10102) and Sardana et al. 2024
(arXiv 2401.00448) have it: Hoffmann's mean made their optimiser stop too early.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.huber import NAMES, UNLIMITED, Array, Rows, prepare
from beyond_chinchilla.fit.isoflop import positive_columns
from beyond_chinchilla.fit.levenberg import Constraint, Minima, minimise
from beyond_chinchilla.fit.result import SAME, Fit, Starts, hold
from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw
from beyond_chinchilla.units import format_number

DELTA = 1e-3

_EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)
_LEVELS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
# The 4500 starts of Hoffmann et al. 2022, D.2, as rows of (ln A, ln B, ln E, alpha, beta).
GRID: Array = np.array(list(itertools.product(_LEVELS, _LEVELS, (-1.0, -0.5, 0.0, 0.5, 1.0), _EXPONENTS, _EXPONENTS)))
GRID.setflags(write=False)

# A term below this share of the loss at every run is not there.
_VANISHED = 1e-4
# Minima up to this much above the best are kept as starts of refits, so many at most.
_RIVAL, _RIVALS = 0.1, 4
_POLISHED = 16
# Residuals below this are round-off, and objectives made of them alike.
_ROUND_OFF = 1e-9


def fit_parametric(
    params: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    objective: Literal["huber", "least-squares"] = "huber",
    delta: float = DELTA,
    tied: bool = False,
    irreducible: float | None = None,
    grid: ArrayLike = GRID,
    counts: Literal["total", "non-embedding"] = "total",
    name: str = "fit",
) -> Fit:
    """Fit L(N, D) = E + A N^-alpha + B D^-beta to runs.

    Minimises the sum over runs of Huber's function of ln L(N, D) - ln L (Hoffmann et al. 2022, D.2, Eq. 3) from
    every start of a grid, all at once, and refines the best.

    Parameters
    ----------
    params, tokens, loss : array_like, shape (runs,)
        N, D and the final loss [nats/token].
    objective : {"huber", "least-squares"}
        Least squares of the log residuals is Huber's loss with delta = infinity.
    delta : float
        Log residuals beyond this count linearly.
    tied : bool
        Hold alpha = beta.
    irreducible : float, optional
        Hold E [nats/token]; 0 for none.
    grid : array_like, shape (starts, 5)
        Starts as (ln A, ln B, ln E, alpha, beta). A start gives the exponents and the terms' proportions; its scale
        is brought to the losses first (`huber.prepare`).
    counts : {"total", "non-embedding"}
        Which parameters N counts.
    name : str
        Of the law.

    Raises
    ------
    InputError
        Columns of different lengths, a value that is not positive and finite, fewer runs than free parameters + 1,
        one size or one number of tokens only, or an option that makes no sense.
    FitError
        No minimum with both exponents above 0: the losses do not fall with N and D.

    Examples
    --------
    >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
    >>> N, D = np.meshgrid([1e8, 1e9, 1e10], [1e10, 1e11, 1e12])
    >>> fit = fit_parametric(N.ravel(), D.ravel(), law.loss(N, D).ravel())
    >>> round(fit.law.A, 4), round(fit.law.beta, 6)
    (406.4, 0.283)
    """
    N, D, L = positive_columns(params=params, tokens=tokens, loss=loss)
    if objective not in ("huber", "least-squares"):
        raise InputError(f"objective '{objective}' is unknown; use huber or least-squares")
    if not delta > 0:
        raise InputError(f"delta {delta:g} is not positive; Hoffmann et al. use {DELTA:g}")
    if irreducible is not None and not 0 <= irreducible < L.min():
        raise InputError(
            f"irreducible loss {irreducible:g} is not in 0 <= E < {L.min():g}, the lowest loss of the runs"
        )
    held = hold(tied, irreducible)
    _check_support(N, D, len(NAMES) - len(held.matrix))
    starts = np.atleast_2d(np.asarray(grid, dtype=float))
    if starts.shape[1] != len(NAMES) or not np.all(np.isfinite(starts)):
        raise InputError(f"a grid of starts has rows of five finite numbers, {', '.join(NAMES)}")

    rows = Rows.of(N, D, L)
    core_delta = min(delta, UNLIMITED) if objective == "huber" else UNLIMITED
    log_E = None if irreducible is None else float(held.value[0, 0])
    found = _descend(rows, starts.T, core_delta, held, log_E, tied)
    summary, minima = _choose(rows, found, core_delta, held)
    return _describe(
        rows,
        summary,
        minima,
        method=objective,
        delta=delta if objective == "huber" else math.inf,
        tied=tied,
        irreducible=irreducible,
        runs=(N, D, L),
        label=(counts, name),
    )


def _check_support(N: Array, D: Array, free: int) -> None:
    """Refuse runs that cannot tell the parameters apart whatever their losses."""
    if N.size < free + 1:
        raise InputError(
            f"{N.size} runs for {free} parameters; give at least {free + 1}, or hold some (tied exponents, a fixed E)"
        )
    for what, other, values in (("N", "sizes", N), ("D", "numbers of tokens", D)):
        if np.ptp(np.log(values)) < 1e-9:
            raise InputError(
                f"every run has {what} = {format_number(values[0])}, so that nothing says how the loss falls with "
                f"{what}; add runs of other {other}"
            )
    x, y = np.log(N) - np.log(N).mean(), np.log(D) - np.log(D).mean()
    if (x @ x) * (y @ y) - (x @ y) ** 2 < 1e-12 * (x @ x) * (y @ y):
        raise InputError(
            f"D follows from N in every run (D/N = {format_number(D[0] / N[0])} in the first), so that nothing tells "
            "the two terms apart; add runs at other tokens per parameter"
        )


def _descend(rows: Rows, starts: Array, delta: float, held: Constraint, log_E: float | None, tied: bool) -> Minima:
    """Bring every start to its minimum."""
    if tied:
        starts = starts.copy()
        starts[3] = starts[4] = starts[3:].mean(axis=0)
    if log_E is not None:
        starts = starts.copy()
        starts[2] = log_E
    scaled = prepare(rows, rows.inward @ starts, log_E)
    return minimise(rows, np.linalg.inv(rows.inward) @ scaled, delta=delta, constraint=held, merge=True)


def _choose(rows: Rows, found: Minima, delta: float, held: Constraint) -> tuple[Starts, Array]:
    """Refine the lowest minima and count who reached them."""
    falls = (found.parameters[3:] > 0).all(axis=0) & np.isfinite(found.objective)
    if not falls.any():
        raise FitError(
            "no start found a law whose loss falls with both N and D; check that the losses are losses, "
            "or drop runs that were not trained to the end"
        )
    floor = 0.5 * rows.count * _ROUND_OFF**2
    lowest = found.objective[falls].min()
    order = np.argsort(found.objective, kind="stable")
    order = order[falls[order]]
    near = order[found.objective[order] <= lowest * (1.0 + _RIVAL) + floor]
    # Starts that met share their figures to the last bit: one of each is refined.
    _, first = np.unique(found.objective[near], return_index=True)
    refined = minimise(
        rows,
        found.parameters[:, near[first[:_POLISHED]]],
        delta=delta,
        constraint=held,
        widest=delta,
        max_iterations=600,
        tolerance=1e-15,
    )
    usable = np.flatnonzero((refined.parameters[3:] > 0).all(axis=0))
    ranked = usable[np.argsort(refined.objective[usable], kind="stable")]
    if not ranked.size:
        raise FitError("the best minimum drifts to an exponent of 0; hold E (irreducible=...) or tie the exponents")
    best = float(refined.objective[ranked[0]])

    refused = int(np.count_nonzero(~falls & (found.objective < best * (1.0 - SAME) - floor)))
    if refused > 0.5 * found.objective.size:
        raise FitError(
            f"{refused} of {found.objective.size} starts end in a law whose loss rises with N or D, lower than any "
            "that falls; check that the losses are losses, or leave out runs that diverged"
        )
    values = np.sort(found.objective[falls])
    minima: list[tuple[float, int]] = []
    while values.size and len(minima) < 10:
        low = best if not minima else float(values[0])
        same = int(np.searchsorted(values, low * (1.0 + SAME) + floor, side="right"))
        minima.append((low, same))
        values = values[same:]
    distinct = [ranked[0]]
    for index in ranked[1:]:
        if refined.objective[index] > refined.objective[distinct[-1]] * (1.0 + SAME) + floor:
            distinct.append(index)
    summary = Starts(
        count=found.objective.size,
        reached_best=minima[0][1],
        converged=int(found.converged.sum()),
        minima=tuple(minima),
        refused=refused,
    )
    return summary, np.ascontiguousarray(refined.parameters[:, distinct[:_RIVALS]].T)


def _describe(
    rows: Rows,
    summary: Starts,
    minima: Array,
    *,
    method: Literal["huber", "least-squares"],
    delta: float,
    tied: bool,
    irreducible: float | None,
    runs: tuple[Array, Array, Array],
    label: tuple[Literal["total", "non-embedding"], str],
) -> Fit:
    """Make the law and say what the runs leave open."""
    N, D, L = runs
    parameters = minima[0].copy()
    theta = rows.inward @ parameters
    u, v, residuals = (part[0] for part in rows.terms(theta[:, None]))
    held = hold(tied, irreducible)
    if irreducible == 0:
        parameters[2] = -math.inf
    logs = {"A": parameters[0], "B": parameters[1]}
    if max(logs.values()) > 700.0:
        raise FitError(
            f"the best law has ln A = {logs['A']:.0f}, ln B = {logs['B']:.0f}: a term beyond any number; "
            "the runs are too few or too alike, hold E (irreducible=...) or tie the exponents"
        )
    A, B, E = (math.exp(value) for value in parameters[:3])
    how = f"Huber loss, delta {delta:g}" if method == "huber" else "least squares"
    law = LossLaw(
        E=E if irreducible is None else irreducible,
        A=A,
        alpha=float(parameters[3]),
        B=B,
        beta=float(parameters[4]),
        counts=label[0],
        name=label[1],
        source=f"fit of {L.size} runs by {how} on log residuals (approach 3 of Hoffmann et al. 2022, D.2)",
        fitted=FittedRange(params=_ends(N), tokens=_ends(D), tokens_per_param=_ends(D / N), flops=_ends(6.0 * N * D)),
    )
    condition, ridge, correlations = _openness(rows, theta, held)
    return Fit(
        law=law,
        parameters=parameters,
        method=method,
        objective=summary.minima[0][0],
        delta=delta,
        tied=tied,
        irreducible=irreducible,
        residuals=residuals,
        starts=summary,
        minima=minima,
        condition=condition,
        ridge=ridge,
        correlations=correlations,
        bounds=_bounds(u, v, law, irreducible, N, D),
        params=N,
        tokens=D,
        loss=L,
    )


def _bounds(u: Array, v: Array, law: LossLaw, irreducible: float | None, N: Array, D: Array) -> tuple[str, ...]:
    """Say what vanished or cannot be told."""
    said = []
    shares: Sequence[tuple[str, Array]] = (("model size", u), ("data", v))
    said += [f"the {what} term vanishes: below 0.01% of the loss in every run" for what, share in shares
             if share.max() < _VANISHED]  # fmt: skip
    if irreducible is None and (1.0 - u - v).max() < _VANISHED:
        said.append(f"E = {law.E:.3g} is at its bound 0: below 0.01% of the loss in every run")
    for what, values in (("size", N), ("tokens", D)):
        levels = np.unique(np.round(np.log(values), 9)).size
        if levels == 2 and irreducible is None:
            said.append(f"only two values of {what}: its exponent cannot be told from E")
    return tuple(said)


def _openness(rows: Rows, theta: Array, held: Constraint) -> tuple[float, dict[str, float], Array]:
    """Return condition number, flattest direction and correlations from the residuals' derivatives."""
    outward = np.linalg.inv(rows.inward)
    # Terms by their size at the middle of the runs, not relative to E, so that each name stands for itself.
    middle = np.eye(5)
    middle[0, 2] = middle[1, 2] = 1.0
    jacobian = rows.jacobian(theta)
    _, sizes, right = np.linalg.svd(held.matrix @ outward) if held.matrix.size else (None, np.zeros(0), np.eye(5))
    free = right[sizes.size :].T
    by_middle = jacobian @ np.linalg.inv(middle)
    lengths = np.linalg.norm(by_middle, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    # Orthonormal directions that the constraint leaves, in scaled coordinates.
    directions, _ = np.linalg.qr(lengths[:, None] * (middle @ free))
    _, singular, axes = np.linalg.svd((by_middle / lengths) @ directions, full_matrices=False)
    flattest = directions @ axes[-1] / lengths
    flattest /= flattest[np.argmax(np.abs(flattest))]
    smallest = max(float(singular[-1]), 1e-300)
    spread = outward @ free @ np.linalg.pinv(jacobian @ free, rcond=1e-15)
    covariance = spread @ spread.T
    deviations = np.sqrt(np.diag(covariance))
    moves = deviations > 1e-12 * deviations.max()
    scale = np.where(moves, deviations, np.nan)
    correlations = covariance / np.outer(scale, scale)
    names = ("A", "B", "E", "alpha", "beta")
    return float(singular[0]) / smallest, dict(zip(names, flattest.tolist(), strict=True)), correlations


def _ends(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())
