"""Many fits of one law at once: a Levenberg-Marquardt method for the Huber loss of `huber`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.fit.huber import SIZE, UNLIMITED, Array, Derivatives, Flags, Rows, bend, derivatives

# Deltas shrink in steps from here to the one that was asked for.
_FIRST_DELTA, _SHRINK = 0.05, 5.0
# The largest change of a logarithm of a term in one step while the gradient dominates.
_STRIDE = 0.5
# Root mean square of log residuals that counts as none.
_NOISE_FREE = 1e-13


@dataclass(frozen=True)
class Constraint:
    """Linear conditions on (ln A, ln B, ln E, alpha, beta): matrix @ parameters = value.

    `matrix` is (conditions, 5), `value` (conditions, problems) or (conditions, 1).
    """

    matrix: Array
    value: Array

    @classmethod
    def none(cls) -> Constraint:
        """All five are free."""
        return cls(np.zeros((0, SIZE)), np.zeros((0, 1)))

    def also(self, matrix: Array, value: Array) -> Constraint:
        """Add conditions."""
        width = max(self.value.shape[1], value.shape[1])
        old, new = (np.broadcast_to(part, (part.shape[0], width)) for part in (self.value, value))
        return Constraint(np.vstack([self.matrix, matrix]), np.vstack([old, new]))


@dataclass(frozen=True)
class Minima:
    """Where the problems ended: parameters (5, problems) as in `NAMES`, and (problems,) of the rest."""

    parameters: Array
    objective: Array
    converged: Flags
    iterations: NDArray[np.int64]


def solve(matrix: Array, right: Array) -> tuple[Array, Flags]:
    """Solve symmetric systems (k, k, problems) by Cholesky factors, and say which are positive definite.

    Written out over the problems: k is at most five, and a call of LAPACK for each would cost more.
    """
    k = right.shape[0]
    lower = np.zeros_like(matrix)
    inverse, y = np.empty_like(right), np.empty_like(right)
    definite = np.ones(right.shape[1], dtype=bool)
    for j in range(k):
        pivot = matrix[j, j] - (lower[j, :j] ** 2).sum(axis=0)
        positive = pivot > 1e-14 * np.abs(matrix[j, j])
        definite &= positive
        inverse[j] = 1.0 / np.sqrt(np.where(positive, pivot, 1.0))
        for i in range(j + 1, k):
            lower[i, j] = (matrix[i, j] - (lower[i, :j] * lower[j, :j]).sum(axis=0)) * inverse[j]
        y[j] = (right[j] - (lower[j, :j] * y[:j]).sum(axis=0)) * inverse[j]
    for i in reversed(range(k)):
        y[i] = (y[i] - (lower[i + 1 :, i] * y[i + 1 :]).sum(axis=0)) * inverse[i]
    return y, definite


def minimise(
    rows: Rows,
    start: Array,
    *,
    delta: float,
    weights: Array | None = None,
    constraint: Constraint | None = None,
    widest: float = UNLIMITED,
    merge: bool = False,
    max_iterations: int = 300,
    tolerance: float = 1e-12,
) -> Minima:
    """Minimise the objective of every problem from its start.

    Each problem goes down with a wide delta first and then narrower ones to its own: with delta = 1e-3 a fit is
    all but a least absolute deviation, whose kinks hold up any method that begins among them. A step solves
    (second derivatives + damping x metric) s = -gradient and is taken only where the objective falls.

    Parameters
    ----------
    rows : Rows
    start : array, shape (5, problems)
        (ln A, ln B, ln E, alpha, beta), projected on the constraint.
    delta : float
        Of Huber's function; `UNLIMITED` for least squares.
    weights : array, shape (problems, rows), optional
        For example the multiplicities of a bootstrap.
    constraint : Constraint, optional
        What is held.
    widest : float
        The first delta.
    merge : bool
        Let problems that meet go on as one; only without weights and with one constraint for all.
    max_iterations : int
        Steps tried.
    tolerance : float
        Relative decrease of the objective, predicted and found, that ends a problem.

    Returns
    -------
    Minima
    """
    held = constraint or Constraint.none()
    inward = rows.inward
    outward = np.linalg.inv(inward)
    free = _null_space(held.matrix @ outward)
    theta = inward @ _project(start, held)
    spans = rows.spans
    problems = theta.shape[1]
    state = _State.begin(rows, theta, max(widest, delta), weights)
    active = np.arange(problems)
    parent = np.arange(problems)
    converged = np.zeros(problems, dtype=bool)
    iterations = np.zeros(problems, dtype=np.int64)
    for iteration in range(1, max_iterations + 1):
        iterations[active] = iteration
        done = state.advance(rows, active, free, spans, delta, weights, tolerance)
        converged[active[done]] = True
        active = active[~done]
        if merge and iteration % 4 == 1 and active.size:
            # Same place to 1e-3 of a term's logarithm, at the same delta: the same path from here.
            key = np.round(np.vstack([1e3 * spans * state.theta[:, active], 10.0 * np.log(state.delta[active])]))
            _, first, inverse = np.unique(key, axis=1, return_index=True, return_inverse=True)
            parent[active] = active[first][inverse.ravel()]
            active = active[np.sort(first)]
        if not active.size:
            break
    while not np.array_equal(parent[parent], parent):
        parent = parent[parent]
    found = outward @ state.theta[:, parent]
    return Minima(found, state.at.objective[parent], converged[parent], iterations[parent])


@dataclass(frozen=True)
class _State:
    """Where each problem is; arrays change in place."""

    theta: Array
    delta: Array
    at: Derivatives
    damping: Array
    growth: Array
    idle: NDArray[np.int64]
    age: NDArray[np.int64]

    @classmethod
    def begin(cls, rows: Rows, theta: Array, widest: float, weights: Array | None) -> _State:
        n = theta.shape[1]
        delta = np.full(n, widest)
        counters = np.zeros((2, n), dtype=np.int64)
        at = derivatives(rows, theta, delta, weights)
        return cls(theta, delta, at, np.full(n, 1e-2), np.full(n, 2.0), counters[0], counters[1])

    def advance(
        self,
        rows: Rows,
        active: NDArray[np.int64],
        free: Array,
        spans: Array,
        target: float,
        weights: Array | None,
        tolerance: float,
    ) -> Flags:
        """Try one step of each active problem; return which of them have ended."""
        theta, delta, damping = self.theta[:, active], self.delta[active], self.damping[active]
        before, gradient = self.at.objective[active], self.at.gradient[:, active]
        second, metric = self.at.second[..., active], self.at.metric[..., active]
        mine = None if weights is None else weights[active]
        final = delta <= target
        self.age[active] += final

        matrix = second + damping * metric
        diagonal = np.arange(SIZE)
        # The gradient over the stride bounds each step where curvature does not, and fades at the minimum.
        matrix[diagonal, diagonal] += np.abs(gradient) * spans / _STRIDE + 1e-12 * metric[2, 2] * spans**2
        if len(free) > free.shape[1]:
            matrix = np.tensordot(free.T, np.tensordot(free.T, matrix, axes=1), axes=(1, 1)).swapaxes(0, 1)
        short, definite = solve(matrix, -(free.T @ gradient))
        step = free @ np.where(definite, short, 0.0)
        length = np.max(np.abs(step) * spans, axis=0)
        step *= np.minimum(1.0, 5.0 * _STRIDE / np.maximum(length, 1e-300))
        late = np.flatnonzero(final & definite & (self.age[active] > 3))
        if late.size:
            theirs = None if mine is None else mine[late]
            force = bend(rows, theta[:, late], step[:, late], delta[late], damping[late], theirs)
            turn = free @ solve(matrix[..., late], -0.5 * (free.T @ force))[0]
            lengths = [np.max(np.abs(part) * spans, axis=0) for part in (step[:, late], turn)]
            step[:, late] += turn * np.minimum(1.0, 0.75 * lengths[0] / np.maximum(lengths[1], 1e-300))

        predicted = -((gradient + 0.5 * (second * step).sum(axis=1)) * step).sum(axis=0)
        trial = theta + step
        new = derivatives(rows, trial, delta, mine)
        gain = before - new.objective
        taken = definite & (gain >= 0)
        where = active[taken]
        self.theta[:, where] = trial[:, taken]
        self.at.replace(where, new, taken)
        quality = np.where(predicted > 0, gain / np.where(predicted > 0, predicted, 1.0), 0.0)
        raised, lowered = ~taken | (quality < 0.25), taken & (quality > 0.75)
        scaled = np.where(raised, damping * self.growth[active], np.where(lowered, damping / 6.0, damping))
        self.damping[active] = np.clip(scaled, 1e-6, 1e12)
        self.growth[active] = np.where(raised, 2.0 * self.growth[active], 2.0)

        now = self.at.objective[active]
        least = (tolerance if target >= UNLIMITED else np.where(final, tolerance, 1e-4)) * before
        still = (np.where(taken, gain, 0.0) <= least) & (np.abs(predicted) <= least)
        self.idle[active] = np.where(still, self.idle[active] + 1, 0)
        stuck = self.damping[active] > np.where(final, 1e11, 1e6)
        perfect = now < 0.5 * rows.count * _NOISE_FREE**2
        self._narrow(rows, active[~final & ((self.idle[active] >= 1) | stuck | perfect)], target, weights)
        return np.asarray(final & ((self.idle[active] >= 2) | stuck | perfect))

    def _narrow(self, rows: Rows, where: NDArray[np.int64], target: float, weights: Array | None) -> None:
        """Go on with a smaller delta."""
        if not where.size:
            return
        self.delta[where] = np.maximum(np.minimum(self.delta[where] / _SHRINK, _FIRST_DELTA), target)
        self.idle[where] = 0
        self.damping[where] = 1e-2
        mine = None if weights is None else weights[where]
        self.at.replace(where, derivatives(rows, self.theta[:, where], self.delta[where], mine), slice(None))


def _project(start: Array, held: Constraint) -> Array:
    """Return the nearest parameters that meet the constraint."""
    if not held.matrix.shape[0]:
        return start
    return np.asarray(start - np.linalg.pinv(held.matrix) @ (held.matrix @ start - held.value))


def _null_space(matrix: Array) -> Array:
    """Return an orthonormal basis (5, free) of what the constraint leaves."""
    if not matrix.shape[0]:
        return np.eye(SIZE)
    _, _, right = np.linalg.svd(matrix)
    return np.asarray(right[matrix.shape[0] :].T)
