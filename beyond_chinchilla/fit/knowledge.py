"""What a fit knows about the compute-optimal size, and what further runs would add to that, to first order.

A fit's free parameters have the covariance (M + sum_i j_i j_i' / noise^2)^-1, M the information of the runs so far and
j_i the derivatives of a further run's log residual; the variance of ln N* at a stated compute is g' (...)^-1 g, g the
gradient of ln N*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from beyond_chinchilla.costs.flops import TRAINING_FLOPS_PER_PARAMETER_TOKEN as FLOPS_EACH
from beyond_chinchilla.fit.bootstrap import FLOPS, Bootstrap
from beyond_chinchilla.fit.huber import SIZE, Array, Rows
from beyond_chinchilla.fit.result import Fit


@dataclass(frozen=True, kw_only=True, eq=False)
class Knowledge:
    """What a fit knows about the compute-optimal size, and what further runs would add, to first order.

    Parameters
    ----------
    fit : Fit
    bootstrap : Bootstrap, optional
        Whose covariance is today's; by default that of the residuals' derivatives and the fit's scatter.
    flops : float
        Compute [FLOP] at which N* is asked for.
    """

    fit: Fit
    bootstrap: Bootstrap | None = None
    flops: float = max(FLOPS)

    @cached_property
    def rows(self) -> Rows:
        """The runs so far, as the core of the fit takes them."""
        return self.fit.rows

    @cached_property
    def theta(self) -> Array:
        """The fit's parameters as its core has them (see `huber`), shape (5,)."""
        return np.asarray(self.rows.inward @ self.fit.minima[0])

    @cached_property
    def free(self) -> Array:
        """Directions (5, free) that what was held leaves, scaled so that today's deviations are alike."""
        matrix = self.fit.constraint.matrix @ np.linalg.inv(self.rows.inward)
        basis = np.eye(SIZE)
        if matrix.size:
            basis = np.linalg.svd(matrix)[2][len(matrix) :].T
        lengths = np.linalg.norm(self.rows.jacobian(self.theta) @ basis, axis=0)
        return np.asarray(basis / np.where(lengths > 0, lengths, 1.0))

    @cached_property
    def gradient(self) -> Array:
        """d ln N* by the free directions, shape (free,).

        ln N* = (ln alpha A - ln beta B + beta ln(C/6)) / (alpha + beta) (Hoffmann et al. 2022, Eq. 4).
        """
        law = self.fit.law
        total = law.alpha + law.beta
        log_N = float(np.log(law.compute_optimal(flops=self.flops).params))
        log_C = math.log(self.flops / FLOPS_EACH)
        by_parameter = np.array([1.0, -1.0, 0.0, 1.0 / law.alpha - log_N, log_C - log_N - 1.0 / law.beta]) / total
        return np.asarray(by_parameter @ np.linalg.inv(self.rows.inward) @ self.free)

    @cached_property
    def noise(self) -> float:
        """Standard deviation that one more run is worth.

        The fit's scatter; with a bootstrap, what makes the derivatives' standard error of ln N* that of the
        bootstrap: Huber's function forgives outliers, which the scatter counts in full, and pays for that elsewhere.
        """
        if self.bootstrap is None:
            return self.fit.scatter
        today = float(self.gradient @ self._covariance @ self.gradient)
        return math.sqrt(today / self._variance(self._normal))

    @cached_property
    def information(self) -> Array:
        """Inverse covariance of the free directions today, (free, free)."""
        if self.bootstrap is None:
            return np.asarray(self._normal / self.noise**2)
        return np.asarray(np.linalg.inv(self._covariance))

    def standard_error(self, params: ArrayLike = (), tokens: ArrayLike = ()) -> float:
        """Return the standard error of ln N* with further runs of so many parameters and tokens, (runs,) each.

        >>> from beyond_chinchilla.fit.parametric import fit_parametric
        >>> from beyond_chinchilla.laws.loss_law import LossLaw
        >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
        >>> N, D = (grid.ravel() for grid in np.meshgrid([1e8, 1e9, 1e10], [1e10, 1e11, 1e12]))
        >>> noisy = law.loss(N, D) * (1.0 + 0.001 * np.array([1, -1, 0, 0, 1, -1, -1, 0, 1]))
        >>> known = Knowledge(fit=fit_parametric(N, D, noisy, objective="least-squares"), flops=1e23)
        >>> round(known.standard_error(), 3), round(known.standard_error([1e8, 3e10], [1e13, 1e10]), 3)
        (0.056, 0.046)
        """
        x, y = (np.log(np.asarray(values, dtype=float)) for values in (params, tokens))
        added, _, _ = self._derivatives(x, y)
        return math.sqrt(self._variance(self.information + added.T @ added))

    def log_variance(self, x: Array, y: Array) -> tuple[float, Array, Array]:
        """Return ln variance of ln N* with further runs, and its gradients by ln N and ln D, each (runs,)."""
        j, by_size, by_data = self._derivatives(x, y)
        reach = np.linalg.solve(self.information + j.T @ j, self.gradient)
        variance = float(self.gradient @ reach)
        seen = -2.0 * (j @ reach) / variance
        return math.log(variance), seen * (by_size @ reach), seen * (by_data @ reach)

    def variances(self, x: Array, y: Array, others: tuple[Array, Array]) -> Array:
        """Return the variance of ln N* with one more run, for each of many candidates, beside some others."""
        fixed, _, _ = self._derivatives(*others)
        covariance = np.linalg.inv(self.information + fixed.T @ fixed)
        j, _, _ = self._derivatives(x, y)
        seen = j @ covariance
        without = self.gradient @ covariance @ self.gradient
        # Sherman and Morrison: one more row takes a square away.
        return np.asarray(without - (seen @ self.gradient) ** 2 / (1.0 + (seen * j).sum(axis=1)))

    @cached_property
    def _normal(self) -> Array:
        jacobian = self.rows.jacobian(self.theta) @ self.free
        return np.asarray(jacobian.T @ jacobian)

    @cached_property
    def _covariance(self) -> Array:
        assert self.bootstrap is not None
        kept = self.bootstrap.kept
        if self.fit.irreducible == 0:
            kept = np.where(np.isfinite(kept), kept, self.fit.minima[0][2])
        inner = (kept - self.fit.minima[0]) @ self.rows.inward.T
        # All of it lies in the free directions: coordinates there by least squares.
        return np.asarray(np.atleast_2d(np.cov(inner @ np.linalg.pinv(self.free).T, rowvar=False)))

    def _variance(self, information: Array) -> float:
        return float(self.gradient @ np.linalg.solve(information, self.gradient))

    def _derivatives(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return d residual/d free directions over the noise, (runs, free), and its derivatives by ln N and ln D."""
        x, y = x - self.rows.centre[0], y - self.rows.centre[1]
        level_u, level_v, _, alpha, beta = self.theta
        u, v = np.exp(level_u - alpha * x), np.exp(level_v - beta * y)
        total = 1.0 + u + v
        u, v = u / total, v / total
        one, none = np.ones_like(u), np.zeros_like(u)
        value = np.stack([u, v, one, -x * u, -y * v], axis=-1)
        # The shares' own derivatives.
        u_x, v_x, u_y, v_y = -alpha * u * (1.0 - u), alpha * u * v, beta * u * v, -beta * v * (1.0 - v)
        by_size = np.stack([u_x, v_x, none, -u - x * u_x, -y * v_x], axis=-1)
        by_data = np.stack([u_y, v_y, none, -x * u_y, -v - y * v_y], axis=-1)
        scale = self.free / self.noise
        return value @ scale, by_size @ scale, by_data @ scale
