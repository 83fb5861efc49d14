"""How sure a fit is: the least objective along each parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.fit.bootstrap import LEVEL, PARAMETERS, check_level
from beyond_chinchilla.fit.huber import NAMES, UNLIMITED, Array
from beyond_chinchilla.fit.levenberg import minimise
from beyond_chinchilla.fit.result import LOG_OF_ZERO, Fit


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """The least objective at each value of one parameter, the others refitted.

    Attributes
    ----------
    parameter : str
        ``A``, ``B``, ``E``, ``alpha`` or ``beta``.
    values : array, shape (points,)
        In increasing order; the fit's own is among them.
    objective : array, shape (points,)
    deviance : array, shape (points,)
        Twice the rise of the objective, scaled so as to be chi-squared with one degree of freedom at the truth.
    low, high : float or None
        Ends of the interval; None where the deviance stays below its limit as far as was searched, and 0 for an E
        that no run keeps away from it.
    level : float
    """

    parameter: str
    values: Array
    objective: Array
    deviance: Array
    low: float | None
    high: float | None
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as JSON holds it."""
        return {
            "parameter": self.parameter,
            "level": self.level,
            "interval": [self.low, self.high],
            "values": self.values.tolist(),
            "objective": self.objective.tolist(),
            "deviance": self.deviance.tolist(),
        }


def profile(fit: Fit, parameter: str, *, level: float = LEVEL, points: int = 41) -> Profile:
    """Return the profile of one parameter.

    The deviance is 2 (sum psi' / sum psi^2) times the rise of the objective, psi the derivative of Huber's function:
    the tau test of M-estimators (Hampel et al. 1986, section 7.2), which for least squares is the usual F statistic. It
    takes the scatter to be the same everywhere; where it is not, the bootstrap's interval is the wider and honest one.
    psi' is an indicator of |r| < delta; with delta far below the scatter few runs are left in it, so that their
    density at 0 is counted over a wider window.

    Parameters
    ----------
    fit : Fit
    parameter : {"A", "B", "E", "alpha", "beta"}
        A and B step evenly in their logarithm, E in nats.
    level : float
        Of the interval.
    points : int
        Values tried, odd and at least 9.

    Raises
    ------
    InputError
        An unknown or held parameter, a level outside (0, 1) or too few points.
    """
    if parameter not in PARAMETERS:
        raise InputError(f"no parameter named '{parameter}'; {nearest(parameter, PARAMETERS)}")
    check_level(level)
    if points < 9 or points % 2 == 0:
        raise InputError(f"{points} points: give an odd number of at least 9")
    which = PARAMETERS.index(parameter)
    held = fit.constraint.matrix
    condition = np.eye(len(NAMES))[[which]]
    if np.linalg.matrix_rank(np.vstack([held, condition])) == len(held):
        raise InputError(f"{parameter} was held in this fit, so that it has no profile; fit again without holding it")

    best = fit.minima[0]
    direction, deviation = _direction(fit, which)
    limit = NormalDist().inv_cdf(0.5 + 0.5 * level) ** 2
    # E steps in nats down to its bound 0: where it is near, ln E says nothing.
    straight = parameter == "E"
    centre = math.exp(best[which]) if straight else float(best[which])
    reach = np.full(2, 4.0 * deviation * (centre if straight else 1.0))
    half = points // 2
    scale = deviance_scale(fit.residuals, fit.free, fit.delta)
    for _ in range(6):
        if straight:
            reach[0] = min(reach[0], centre)
        offsets = np.concatenate([np.linspace(-reach[0], 0.0, half + 1), np.linspace(0.0, reach[1], half + 1)[1:]])
        values = centre + offsets
        inner = np.log(np.maximum(values, math.exp(LOG_OF_ZERO))) if straight else values
        start = best[:, None] + np.outer(direction, offsets / centre if straight else offsets)
        start[which] = inner
        found = minimise(
            fit.rows,
            start,
            delta=fit.core_delta,
            constraint=fit.constraint.also(condition, inner[None, :]),
            widest=min(3.0 * fit.core_delta, UNLIMITED),
        )
        deviance = scale * np.maximum(found.objective - fit.objective, 0.0)
        short = deviance[[0, -1]] < limit
        bounded = straight and reach[0] >= centre
        if not (short[1] or (short[0] and not bounded)):
            break
        reach = np.where(short, 2.0 * reach, reach)
    ends = [_crossing(offsets[half::-1], deviance[half::-1], limit), _crossing(offsets[half:], deviance[half:], limit)]
    low, high = (None if end is None else centre + end for end in ends)
    if straight:
        low = 0.0 if low is None and bounded else low
    elif which < 2:
        with np.errstate(over="ignore"):
            values = np.exp(values)
        low, high = (None if end is None or end > 700.0 else math.exp(end) for end in (low, high))
    return Profile(
        parameter=parameter,
        values=values,
        objective=found.objective,
        deviance=deviance,
        low=low,
        high=high,
        level=level,
    )


def _direction(fit: Fit, which: int) -> tuple[Array, float]:
    """Return how the others follow a parameter (its own part 1), and its rough standard error."""
    rows = fit.rows
    jacobian = rows.jacobian(rows.inward @ fit.minima[0]) @ rows.inward
    matrix = fit.constraint.matrix
    free = np.linalg.svd(matrix)[2][len(matrix) :].T if len(matrix) else np.eye(len(NAMES))
    root = free @ np.linalg.pinv(jacobian @ free, rcond=1e-14)
    covariance = root @ root.T
    # Noise-free runs still need a grid.
    noise = max(fit.scatter, 1e-9)
    return covariance[:, which] / covariance[which, which], noise * math.sqrt(covariance[which, which])


def deviance_scale(residuals: Array, free: int, delta: float) -> float:
    """Return what turns a rise of the objective into a deviance, from residuals with so many parameters fitted."""
    spare = residuals.size - free
    power = float(np.sum(np.clip(residuals, -delta, delta) ** 2)) / spare
    # Silverman's width from the quartiles, as outliers must not stretch it.
    width = 1.48 * float(np.median(np.abs(residuals))) * math.pow(residuals.size, -0.2)
    window = max(delta, width)
    inside = int(np.count_nonzero(np.abs(residuals) <= window)) - free
    slope = max(inside, 1) / spare * min(1.0, delta / window)
    return 2.0 * slope / max(power, 1e-300)


def _crossing(offsets: Array, deviance: Array, limit: float) -> float | None:
    """Return where the deviance first exceeds the limit, going outward; its root is near linear there."""
    above = np.flatnonzero(deviance > limit)
    if not above.size:
        return None
    outer = int(above[0])
    if outer == 0:
        return float(offsets[0])
    roots = np.sqrt(deviance[[outer - 1, outer]])
    share = (math.sqrt(limit) - roots[0]) / (roots[1] - roots[0])
    return float(offsets[outer - 1] + share * (offsets[outer] - offsets[outer - 1]))
