"""The Huber loss of L(N, D) = E + A N^-alpha + B D^-beta on training runs, with derivatives, many problems at once.

A *problem* is one start, one bootstrap sample or one point of a profile. All problems share the runs (rows) and
differ in start, weights or constraints; every array has the problems on its last axis, but for arrays of shape
(problems, rows).

The residual of a row is ln(A N^-alpha + B D^-beta + E) - ln L (Hoffmann et al. 2022, D.2, Eq. 3); the objective is
the *sum* over rows of weight times Huber's function, r^2/2 up to delta and delta (|r| - delta/2) beyond.

Inside, parameters are theta = (ln A - alpha mean ln N - ln E, ln B - beta mean ln D - ln E, ln E, alpha, beta), in
which the logarithm of the sum is ln E + ln(1 + u + v) with two exponentials u and v, and the exponents no longer
trade off against their coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

NAMES = ("ln_A", "ln_B", "ln_E", "alpha", "beta")
SIZE = len(NAMES)

# A delta beyond every residual: least squares.
UNLIMITED = 1e3
# exp of more than this squared would overflow.
_LARGEST_LOG = 300.0
# A term below e^-2 of the largest one everywhere has next to no gradient; starts are lifted to this.
_DEPTH = 2.0
_ELEMENTS_AT_ONCE = 32768


@dataclass(frozen=True)
class Rows:
    """The runs: ln N and ln D less their means, and ln L, each of shape (rows,)."""

    log_params: Array
    log_tokens: Array
    log_loss: Array
    centre: tuple[float, float]

    @classmethod
    def of(cls, params: Array, tokens: Array, loss: Array) -> Rows:
        """Take logarithms and centre them."""
        x, y = np.log(params), np.log(tokens)
        centre = (float(x.mean()), float(y.mean()))
        return cls(x - centre[0], y - centre[1], np.log(loss), centre)

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.log_loss.size

    @property
    def inward(self) -> Array:
        """The matrix from (ln A, ln B, ln E, alpha, beta) to theta."""
        matrix = np.eye(SIZE)
        matrix[0, 2] = matrix[1, 2] = -1.0
        matrix[0, 3], matrix[1, 4] = -self.centre[0], -self.centre[1]
        return matrix

    @property
    def spans(self) -> Array:
        """How much a unit of each theta can change the logarithm of a term; shape (5, 1)."""
        reach = [1.0, 1.0, 1.0, np.abs(self.log_params).max(), np.abs(self.log_tokens).max()]
        return np.array(reach)[:, None]

    def terms(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return the two terms' shares of the law and the log residuals, each (problems, rows)."""
        u = np.multiply.outer(theta[3], -self.log_params)
        u += theta[0][:, None]
        v = np.multiply.outer(theta[4], -self.log_tokens)
        v += theta[1][:, None]
        for term in (u, v):
            np.minimum(term, _LARGEST_LOG, out=term)
            np.exp(term, out=term)
        total = u + v
        total += 1.0
        residual = np.log(total)
        residual += theta[2][:, None]
        residual -= self.log_loss
        u /= total
        v /= total
        return u, v, residual

    def residuals(self, theta: Array) -> Array:
        """Return ln law - ln L, (problems, rows)."""
        return self.terms(theta)[2]

    def jacobian(self, theta: Array) -> Array:
        """Return d residual / d theta of one problem, (rows, 5), from theta of shape (5,)."""
        u, v, _ = (part[0] for part in self.terms(theta[:, None]))
        return np.stack([u, v, np.ones_like(u), -self.log_params * u, -self.log_tokens * v], axis=1)


@dataclass(frozen=True)
class Derivatives:
    """Objective (problems,), gradient (5, problems), exact second derivatives and metric, both (5, 5, problems).

    The metric is the Gauss-Newton matrix under the weights of iteratively reweighted least squares: a row counts
    min(1, delta/|r|). It is positive semidefinite and, unlike the second derivatives, sees every row.
    """

    objective: Array
    gradient: Array
    second: Array
    metric: Array

    def replace(self, where: NDArray[np.int64], new: Derivatives, which: Flags | slice) -> None:
        """Overwrite some problems."""
        self.objective[where] = new.objective[which]
        for mine, theirs in (
            (self.gradient, new.gradient), (self.second, new.second), (self.metric, new.metric)
        ):  # fmt: skip
            mine[..., where] = theirs[..., which]


def objective(rows: Rows, theta: Array, delta: float, weights: Array | None = None) -> Array:
    """Return the sum of weighted Huber losses, (problems,)."""
    residual = rows.residuals(theta)
    bounded = np.clip(residual, -delta, delta)
    loss = bounded * (residual - 0.5 * bounded)
    return np.asarray((loss if weights is None else loss * weights).sum(axis=1))


def derivatives(rows: Rows, theta: Array, delta: Array, weights: Array | None = None) -> Derivatives:
    """Return objective, gradient and both matrices of every problem, block by block so that a block stays in cache."""
    problems = theta.shape[1]
    out = Derivatives(
        np.empty(problems),
        np.empty((SIZE, problems)),
        np.empty((SIZE, SIZE, problems)),
        np.empty((SIZE, SIZE, problems)),
    )
    step = max(1, _ELEMENTS_AT_ONCE // rows.count)
    for first in range(0, problems, step):
        block = slice(first, min(first + step, problems))
        where = np.arange(block.start, block.stop)
        part = _block(rows, theta[:, block], delta[block, None], None if weights is None else weights[block])
        out.replace(where, part, slice(None))
    return out


def _block(rows: Rows, theta: Array, delta: Array, weights: Array | None) -> Derivatives:
    x, y = rows.log_params, rows.log_tokens
    one = np.ones_like(x)
    by_size, by_data = np.stack([one, -x, x * x], axis=1), np.stack([one, -y, y * y], axis=1)
    by_both = np.stack([one, -x, -y, x * y], axis=1)
    u, v, residual = rows.terms(theta)
    slope = np.clip(residual, -delta, delta)
    loss = 0.5 * slope
    np.subtract(residual, loss, out=loss)
    loss *= slope
    size = np.abs(residual, out=residual)
    # [0]: inside delta or not, the second derivative of Huber's function; [1]: reweighted least squares.
    curve = np.empty((2, *size.shape))
    np.less_equal(size, delta, out=curve[0], casting="unsafe")
    np.maximum(size, delta, out=size)
    np.divide(delta, size, out=curve[1])
    if weights is not None:
        loss *= weights
        slope *= weights
        curve *= weights

    problems = theta.shape[1]
    gradient = np.empty((SIZE, problems))
    slope_u, slope_v = slope * u, slope * v
    gradient[0], gradient[3] = (slope_u @ by_size[:, :2]).T
    gradient[1], gradient[4] = (slope_v @ by_data[:, :2]).T
    gradient[2] = slope.sum(axis=1)

    both = np.empty((2, SIZE, SIZE, problems))

    def fill(entries: tuple[tuple[int, int], ...], sums: Array) -> None:
        for number, (i, j) in enumerate(entries):
            both[:, i, j] = both[:, j, i] = sums[..., number]

    # The shares' own derivatives, u (1 - u), v (1 - v) and -u v, belong to the second derivatives alone.
    product = curve * u
    fill(((0, 2), (2, 3)), product @ by_size[:, :2])
    square = product * u
    square[0] += slope_u * (1.0 - u)
    fill(((0, 0), (0, 3), (3, 3)), square @ by_size)
    product *= v
    product[0] -= slope_u * v
    fill(((0, 1), (1, 3), (0, 4), (3, 4)), product @ by_both)
    product = curve * v
    fill(((1, 2), (2, 4)), product @ by_data[:, :2])
    product *= v
    product[0] += slope_v * (1.0 - v)
    fill(((1, 1), (1, 4), (4, 4)), product @ by_data)
    fill(((2, 2),), curve.sum(axis=2)[..., None])
    return Derivatives(loss.sum(axis=1), gradient, both[0], both[1])


def bend(rows: Rows, theta: Array, step: Array, delta: Array, damping: Array, weights: Array | None) -> Array:
    """Return the force that a curved valley exerts on a straight step, (5, problems).

    Rows within delta hold the fit in a narrow valley; along a step their residuals change by r''/2, which
    Transtrum & Sethna 2012 ("geodesic acceleration", arXiv 1201.5885, Eq. 34) take back with a second solve.
    """
    u, v, residual = rows.terms(theta)
    du = step[0][:, None] - np.multiply.outer(step[3], rows.log_params)
    dv = step[1][:, None] - np.multiply.outer(step[4], rows.log_tokens)
    mean = u * du + v * dv
    second = u * du * du + v * dv * dv - mean * mean
    size, delta = np.abs(residual), delta[:, None]
    second *= (size <= delta) + damping[:, None] * (delta / np.maximum(size, delta))
    if weights is not None:
        second *= weights
    force = np.empty_like(theta)
    for term, log, level, exponent in ((u, rows.log_params, 0, 3), (v, rows.log_tokens, 1, 4)):
        part = second * term
        force[level], force[exponent] = part.sum(axis=1), -(part @ log)
    force[2] = second.sum(axis=1)
    return force


def prepare(rows: Rows, theta: Array, log_E: float | None = None) -> Array:
    """Bring starts to scale, without touching their exponents.

    Far above or below the losses every row pulls with the same force, and a term that is nowhere felt has no
    gradient at all: most of a start grid would die there. The three terms are lifted to e^-2 of the largest at
    least, then all shifted together to a median residual of 0; with a fixed ln E, the other two are.
    """
    theta = theta.copy()
    tops = np.stack(
        [
            theta[0] + np.max(np.multiply.outer(-rows.log_params, theta[3]), axis=0),
            theta[1] + np.max(np.multiply.outer(-rows.log_tokens, theta[4]), axis=0),
            np.full(theta.shape[1], 0.0 if log_E is None else -np.inf),
        ]
    )
    lift = np.maximum(tops.max(axis=0) - _DEPTH - tops, 0.0)
    theta[:2] += lift[:2]
    if log_E is None:
        theta[:2] -= lift[2]
        theta[2] += lift[2]
        theta[2] -= np.median(rows.residuals(theta), axis=1)
        return theta
    theta[2] = log_E
    terms = np.logaddexp(
        theta[0][:, None] - np.multiply.outer(theta[3], rows.log_params),
        theta[1][:, None] - np.multiply.outer(theta[4], rows.log_tokens),
    )
    theta[:2] += np.median(np.log(np.expm1(rows.log_loss - log_E)) - terms, axis=1)
    return theta
