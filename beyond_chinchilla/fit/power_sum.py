"""Sums of power laws in any number of quantities, L = E + sum_j C_j x_j^-p_j, by Huber loss on log residuals.

The residual of a row is ln(E + sum_j C_j x_j^-p_j) - ln L, the objective the sum over rows of weight times Huber's
function, as in `huber` for two terms. Many *problems* (starts, resamples) are minimised at once.

Inside, parameters are theta = (ln C_j - p_j mean ln x_j ..., ln E, p_j ...): with centred logarithms, exponents do not
trade off against their coefficients.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# ln of a term that is not there: e^-60 changes no loss in double precision.
LOG_OF_ZERO = -60.0

# Exponents that starts combine.
_EXPONENTS = (0.2, 0.5, 1.2)
# A start has every term at this share of the mean loss at least: what is nowhere felt has no gradient.
_LEAST_SHARE = 1e-3
# Problems times rows of a block, which then stays in cache.
_AT_ONCE = 65536
# The largest change of a logarithm of a term in one step.
_STRIDE = 1.0
# Smallest and largest damping, relative to the metric's diagonal.
_DAMPING = (1e-12, 1e12)


@dataclass(frozen=True, eq=False)
class PowerRows:
    """The rows: centred ln x_j, shape (terms, rows), their means (terms,), and ln L, shape (rows,)."""

    logs: Array
    centres: Array
    log_loss: Array

    @classmethod
    def of(cls, quantities: Sequence[Array], loss: Array) -> PowerRows:
        """Take logarithms and centre them."""
        logs = np.log(np.stack(quantities))
        centres = logs.mean(axis=1)
        return cls(logs - centres[:, None], centres, np.log(loss))

    @property
    def terms(self) -> int:
        """Number of power laws in the sum."""
        return len(self.logs)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return 2 * self.terms + 1

    def inward(self, parameters: Array) -> Array:
        """Return theta of (ln C_j ..., ln E, p_j ...), each (..., parameters)."""
        theta = np.array(parameters, dtype=float)
        theta[..., : self.terms] -= theta[..., self.terms + 1 :] * self.centres
        return theta

    def outward(self, theta: Array) -> Array:
        """Return (ln C_j ..., ln E, p_j ...) of theta, each (..., parameters)."""
        parameters = np.array(theta, dtype=float)
        parameters[..., : self.terms] += parameters[..., self.terms + 1 :] * self.centres
        return parameters

    def shares(self, theta: Array) -> tuple[Array, Array]:
        """Return each term's share of the law (problems, rows, terms + 1), E's last, and residuals (problems, rows)."""
        J = self.terms
        logs = np.empty((len(theta), self.log_loss.size, J + 1))
        logs[:, :, :J] = theta[:, None, :J] - theta[:, None, J + 1 :] * self.logs.T
        logs[:, :, J] = theta[:, J, None]
        top = logs.max(axis=2)
        logs -= top[:, :, None]
        np.exp(logs, out=logs)
        total = logs.sum(axis=2)
        logs /= total[:, :, None]
        return logs, np.log(total) + top - self.log_loss

    def jacobian(self, theta: Array) -> tuple[Array, Array]:
        """Return d residual / d theta, (problems, rows, parameters), and residuals (problems, rows)."""
        shares, residuals = self.shares(theta)
        slopes = -shares[:, :, : self.terms] * self.logs.T
        return np.concatenate([shares, slopes], axis=2), residuals


@dataclass(frozen=True, eq=False)
class Freedom:
    """What may move: theta = start + directions @ z.

    Attributes
    ----------
    directions : array, shape (parameters, free)
        One column a free parameter, or one for two that are tied.
    """

    directions: Array

    @classmethod
    def of(cls, size: int, *, held: Sequence[int] = (), tied: tuple[int, int] | None = None) -> Freedom:
        """Return freedom in every one of theta but those held, two of them moving as one."""
        columns = np.eye(size)
        if tied is not None:
            columns[:, tied[0]] += columns[:, tied[1]]
            held = (*held, tied[1])
        return cls(np.delete(columns, list(held), axis=1))

    @property
    def count(self) -> int:
        """Number of free parameters."""
        return int(self.directions.shape[1])


@dataclass(frozen=True, eq=False)
class Minima:
    """Where problems ended: theta (problems, parameters), objective and whether it can fall no more (problems,)."""

    theta: Array
    objective: Array
    converged: Flags


def huber(residuals: Array, delta: float, weights: Array | None = None) -> Array:
    """Return the sum of weighted Huber losses over rows, (problems,)."""
    bounded = np.clip(residuals, -delta, delta)
    loss = bounded * (residuals - 0.5 * bounded)
    return np.asarray((loss if weights is None else loss * weights).sum(axis=1))


def minimise(
    rows: PowerRows,
    start: Array,
    freedom: Freedom,
    *,
    delta: float,
    weights: Array | None = None,
    max_iterations: int = 300,
    tolerance: float = 1e-13,
) -> Minima:
    """Minimise the objective of every problem from its start by Levenberg's and Marquardt's method.

    Rows count min(1, delta/|r|), as in iteratively reweighted least squares; a step is taken only where the objective
    falls.

    Parameters
    ----------
    rows : PowerRows
    start : array, shape (problems, parameters)
        Theta; what is not free stays as it is there.
    freedom : Freedom
    delta : float
        Of Huber's function.
    weights : array, shape (problems, rows), optional
        For example the multiplicities of a bootstrap.
    tolerance : float
        Relative decrease of the objective, as predicted, that ends a problem.
    """
    step = max(1, _AT_ONCE // rows.log_loss.size)
    parts = [
        _descend(
            rows, start[first : first + step], freedom.directions, delta,
            None if weights is None else weights[first : first + step], max_iterations, tolerance,
        )
        for first in range(0, len(start), step)
    ]  # fmt: skip
    return Minima(*(np.concatenate([getattr(part, name) for part in parts]) for name in Minima.__annotations__))


def _descend(
    rows: PowerRows,
    start: Array,
    directions: Array,
    delta: float,
    weights: Array | None,
    max_iterations: int,
    tolerance: float,
) -> Minima:
    theta = np.array(start, dtype=float)
    objective = huber(rows.shares(theta)[1], delta, weights)
    damping = np.full(len(theta), 1e-3)
    converged = np.zeros(len(theta), dtype=bool)
    # Round-off of the residuals: nothing below it is a gain.
    floor = 1e-30 * rows.log_loss.size
    active = np.arange(len(theta))
    for _ in range(max_iterations):
        chosen = None if weights is None else weights[active]
        jacobian, residuals = rows.jacobian(theta[active])
        jacobian = jacobian @ directions
        row_weights = np.minimum(1.0, delta / np.maximum(np.abs(residuals), delta))
        if chosen is not None:
            row_weights *= chosen
        weighted = jacobian * row_weights[:, :, None]
        metric = weighted.transpose(0, 2, 1) @ jacobian
        gradient = (weighted.transpose(0, 2, 1) @ residuals[:, :, None])[:, :, 0]
        diagonal = np.einsum("pii->pi", metric)
        # A direction that nothing feels is damped by what the others feel.
        scale = np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300)
        damped = metric + (damping[active, None] * scale)[:, :, None] * np.eye(metric.shape[1])
        s = -np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        s *= np.minimum(1.0, _STRIDE / np.maximum(np.abs(s).max(axis=1, keepdims=True), 1e-300))
        trial = theta[active] + s @ directions.T
        value = huber(rows.shares(trial)[1], delta, chosen)
        predicted = -(gradient * s).sum(axis=1) - 0.5 * np.einsum("pi,pij,pj->p", s, metric, s)
        better: Flags = np.less(value, objective[active])
        done: Flags = np.less_equal(predicted, tolerance * objective[active] + floor)
        taken = active[better]
        theta[taken], objective[taken] = trial[better], value[better]
        damping[active] = np.clip(damping[active] * np.where(better, 0.2, 5.0), *_DAMPING)
        # No step, however short, goes down any more.
        stuck = ~better & (damping[active] >= _DAMPING[1])
        ended: Flags = np.logical_or(done, stuck)
        converged[active[ended]] = True
        active = active[~ended]
        if not active.size:
            break
    return Minima(theta, objective, converged)


def starts(rows: PowerRows, held: Array, freedom: Freedom) -> Array:
    """Return starts, (problems, parameters): every combination of exponents with the best coefficients for it.

    At given exponents the law is linear in E and C_j, found by non-negative least squares of relative residuals.

    Parameters
    ----------
    rows : PowerRows
    held : array, shape (parameters,)
        Theta of what is held; anything where free.
    freedom : Freedom
    """
    from scipy.optimize import nnls

    J = rows.terms
    free: Flags = np.asarray(freedom.directions.any(axis=1))
    choices = [_EXPONENTS if free[J + 1 + j] else (held[J + 1 + j],) for j in range(J)]
    inverse = np.exp(-rows.log_loss)
    ties = [np.flatnonzero(column[J + 1 :]) for column in freedom.directions.T if np.count_nonzero(column) > 1]
    found = []
    for exponents in itertools.product(*choices):
        if any(len({exponents[j] for j in tie}) > 1 for tie in ties):
            continue
        theta = held.copy()
        theta[J + 1 :] = exponents
        columns = np.ones((inverse.size, J + 1))
        columns[:, :J] = np.exp(-np.array(exponents) * rows.logs.T)
        columns *= inverse[:, None]
        open_, fixed = free[: J + 1], ~free[: J + 1]
        right = 1.0 - columns[:, fixed] @ np.exp(theta[: J + 1][fixed])
        coefficients = nnls(columns[:, open_], right)[0]
        # Columns are relative to the loss: their means are what a coefficient of 1 takes of it.
        least = _LEAST_SHARE / columns[:, open_].mean(axis=0)
        theta[: J + 1][open_] = np.log(np.maximum(coefficients, least))
        found.append(theta)
    return np.array(found)
