"""The Huber loss of the repetition law on training runs, many problems at once.

A *problem* is one start, one bootstrap sample or one point of a profile. Parameters are theta = (ln R_D, ln R_N,
ln E of each data set), of shape (parameters, problems); the base law's other constants are held. The residual of a run
is ln of the law of Muennighoff et al. 2023 (Eq. 5 and 6) less ln of its loss, as in `fit.huber`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.fit.huber import Array, Flags
from beyond_chinchilla.fit.levenberg import solve
from beyond_chinchilla.fit.power_sum import huber
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.repetition import saturated

# R_D and R_N are looked for in here: below, nothing is worth anything; above, everything is as good as new.
LOG_BOUNDS = (float(np.log(1e-2)), float(np.log(1e4)))
R_D, R_N = 0, 1

_LARGEST_STEP = 1.0
_DAMPING = (1e-6, 1e10)


@dataclass(frozen=True, eq=False)
class DecayRows:
    """The runs under a base law, each array of shape (runs,): N, U_N, D, U, ln L and the number of its data set."""

    law: LossLaw
    params: Array
    unique_params: Array
    tokens: Array
    unique_tokens: Array
    log_loss: Array
    data: NDArray[np.int64]

    @classmethod
    def of(
        cls, law: LossLaw, params: Array, tokens: Array, unique_tokens: Array, loss: Array, data: NDArray[np.int64]
    ) -> DecayRows:
        """Find U_N and take logarithms."""
        unique_params = law.compute_optimal(tokens=unique_tokens).params
        return cls(law, params, unique_params, tokens, unique_tokens, np.log(loss), data)

    @property
    def count(self) -> int:
        """Number of runs."""
        return self.log_loss.size

    @property
    def data_sets(self) -> int:
        """Number of data sets, each with its own E."""
        return int(self.data.max()) + 1

    def reducible(self, theta: Array) -> tuple[Array, Array]:
        """Return the model and the data term, each (problems, runs)."""
        by_data, by_size = (np.exp(theta[i])[:, None] for i in (R_D, R_N))
        size = saturated(self.params, self.unique_params, by_size)
        data = saturated(self.tokens, self.unique_tokens, by_data)
        return self.law.A * size**-self.law.alpha, self.law.B * data**-self.law.beta

    def residuals(self, theta: Array) -> Array:
        """Return ln law - ln L, (problems, runs)."""
        model, data = self.reducible(theta)
        return np.asarray(np.log(np.exp(theta[2:][self.data]).T + model + data) - self.log_loss)

    def derivatives(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return residuals (problems, runs), their derivatives, and the second ones of each term over the law.

        The latter two are (parameters, problems, runs). Every term has one parameter of its own, so that the second
        derivatives of a residual are those of its terms on the diagonal, less the products of the first ones.
        """
        model, data = self.reducible(theta)
        floor = np.exp(theta[2:][self.data]).T
        total = floor + model + data
        first = np.zeros((len(theta), *total.shape))
        second = np.zeros_like(first)
        terms = ((R_D, self.law.beta, data, self.tokens, self.unique_tokens),
                 (R_N, self.law.alpha, model, self.params, self.unique_params))  # fmt: skip
        for i, exponent, term, value, limit in terms:
            R = np.exp(theta[i])[:, None]
            beyond = np.maximum(value / limit - 1.0, 0.0) / R
            decayed = np.exp(-beyond)
            worth = saturated(value, limit, R) / limit
            # d worth / d ln R over worth, and the same once more.
            gain = -R * (np.expm1(-beyond) + beyond * decayed) / worth
            bend = gain - R * beyond**2 * decayed / worth
            first[i] = -exponent * term * gain / total
            second[i] = exponent * term * ((exponent + 1.0) * gain**2 - bend) / total
        for j in range(self.data_sets):
            first[2 + j] = second[2 + j] = np.where(self.data == j, floor / total, 0.0)
        return np.log(total) - self.log_loss, first, second


@dataclass(frozen=True, eq=False)
class Descents:
    """Where the problems ended: theta (parameters, problems), and (problems,) of the rest."""

    theta: Array
    objective: Array
    converged: Flags


def descend(
    rows: DecayRows,
    start: Array,
    free: Sequence[int],
    *,
    deltas: Sequence[float],
    weights: Array | None = None,
    max_iterations: int = 200,
    tolerance: float = 1e-13,
) -> Descents:
    """Minimise the objective of every problem from its start.

    The method is that of `fit.levenberg.minimise` in small: a wide delta first, then narrower ones, and steps of the
    exact second derivatives, damped by the matrix of reweighted least squares.

    Parameters
    ----------
    rows : DecayRows
    start : array, shape (parameters, problems)
    free : sequence of int
        The parameters that are fitted; the others stay.
    deltas : sequence of float
        Of Huber's function, from the first to the one asked for.
    weights : array, shape (problems, runs), optional
        For example the multiplicities of a bootstrap.
    max_iterations : int
        Steps tried for each delta.
    tolerance : float
        Relative decrease of the objective, predicted and found, that ends a problem.
    """
    theta = start.copy()
    chosen = np.array(free, dtype=np.int64)
    converged = np.ones(theta.shape[1], dtype=bool)
    for delta in deltas if chosen.size else ():
        converged = _one_delta(rows, theta, chosen, delta, weights, max_iterations, tolerance)
    return Descents(theta, huber(rows.residuals(theta), deltas[-1], weights), converged)


def _one_delta(
    rows: DecayRows,
    theta: Array,
    free: NDArray[np.int64],
    delta: float,
    weights: Array | None,
    max_iterations: int,
    tolerance: float,
) -> Flags:
    """Move `theta` down in place; return which problems have nothing left to gain."""
    problems = theta.shape[1]
    damping, idle = np.full(problems, 1e-2), np.zeros(problems, dtype=np.int64)
    active = np.arange(problems)
    for _ in range(max_iterations):
        if not active.size:
            break
        here, mine = theta[:, active], None if weights is None else weights[active]
        residual, first, second = rows.derivatives(here)
        step, predicted = _step(residual, first[free], second[free], delta, mine, damping[active])
        trial = here.copy()
        trial[free] += step
        trial[:2] = np.clip(trial[:2], *LOG_BOUNDS)
        before = huber(residual, delta, mine)
        gain = before - huber(rows.residuals(trial), delta, mine)
        taken = gain >= 0
        theta[:, active[taken]] = trial[:, taken]
        good = taken & (gain > 0.25 * predicted)
        damping[active] = np.clip(np.where(good, 0.2, 4.0) * damping[active], *_DAMPING)
        # Noise-free runs end at round-off.
        least = tolerance * before + 1e-26 * rows.count
        still = (np.where(taken, gain, 0.0) <= least) & (np.abs(predicted) <= least)
        idle[active] = np.where(still, idle[active] + 1, 0)
        active = active[(idle[active] < 2) & (damping[active] < _DAMPING[1])]
    done = np.ones(problems, dtype=bool)
    done[active] = False
    return done


def _step(
    residual: Array, first: Array, second: Array, delta: float, weights: Array | None, damping: Array
) -> tuple[Array, Array]:
    """Return a step of the free parameters (free, problems) and what it should gain (problems,)."""
    inside = (np.abs(residual) <= delta).astype(float)
    pull = delta / np.maximum(np.abs(residual), delta)
    slope = np.clip(residual, -delta, delta)
    if weights is not None:
        inside, pull, slope = inside * weights, pull * weights, slope * weights
    gradient = (first * slope).sum(axis=2)
    straight, metric = (np.einsum("ipn,pn,jpn->ijp", first, each, first) for each in (inside, pull))
    diagonal = np.arange(len(first))
    curve = straight - np.einsum("ipn,pn,jpn->ijp", first, slope, first)
    curve[diagonal, diagonal] += (second * slope).sum(axis=2)
    # A parameter that no run feels stays where it is.
    scale = metric[diagonal, diagonal]
    guard = damping * metric
    guard[diagonal, diagonal] += 1e-9 * scale + 1e-12 * scale.max(axis=0) + 1e-300
    step, definite = solve(curve + guard, -gradient)
    if not definite.all():
        # Far from a minimum: Gauss and Newton's matrix is never indefinite.
        curve = np.where(definite, curve, straight)
        step = np.where(definite, step, solve(straight + guard, -gradient)[0])
    step *= np.minimum(1.0, _LARGEST_STEP / np.maximum(np.abs(step).max(axis=0), 1e-300))
    return step, -(gradient * step).sum(axis=0) - 0.5 * np.einsum("ip,ijp,jp->p", step, curve, step)
