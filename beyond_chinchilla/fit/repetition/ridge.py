"""How sure R_D and R_N are: the ridge between them, and refits of resampled runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.fit.bootstrap import LEVEL, check_level
from beyond_chinchilla.fit.huber import UNLIMITED, Array
from beyond_chinchilla.fit.isoflop import interval
from beyond_chinchilla.fit.profile import deviance_scale
from beyond_chinchilla.fit.repetition.decay import LOG_BOUNDS, R_N, descend
from beyond_chinchilla.fit.repetition.law import CONSTANTS, STARTS, RepetitionFit

_AT_ONCE = 2_000_000
# Where an end of the search counts as "as good as new" or "worth nothing".
_AT_BOUND = 1.001


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """The least objective at each value of R_D or R_N, the other refitted.

    Attributes
    ----------
    parameter : {"R_D", "R_N"}
        Whose values were tried.
    values, other : array, shape (points,)
        Its values, rising, and what the other one becomes.
    objective, deviance : array, shape (points,)
        Deviance as for `fit.profile.Profile`: chi-squared with one degree of freedom at the truth.
    low, high : float or None
        Ends of the interval; None where the runs do not bound it within 0.01 to 10000.
    level : float
    """

    parameter: str
    values: Array
    other: Array
    objective: Array
    deviance: Array
    low: float | None
    high: float | None
    level: float

    @property
    def limit(self) -> float:
        """The deviance at the ends of the interval."""
        return NormalDist().inv_cdf(0.5 + 0.5 * self.level) ** 2

    def other_at(self, value: float) -> float:
        """Return what the other constant becomes at a value, between those tried (in logarithms)."""
        return float(np.exp(np.interp(math.log(value), np.log(self.values), np.log(self.other))))

    def to_dict(self) -> dict[str, Any]:
        """Return the ridge as JSON holds it."""
        return {
            "parameter": self.parameter,
            "level": self.level,
            "interval": [self.low, self.high],
            "values": self.values.tolist(),
            "other": self.other.tolist(),
            "objective": self.objective.tolist(),
            "deviance": self.deviance.tolist(),
        }


def trace_ridge(fit: RepetitionFit, parameter: str = "R_N", *, level: float = LEVEL, points: int = 57) -> Ridge:
    """Return how R_D follows R_N along the valley of the fit, or the other way round.

    Values step evenly in their logarithm from 0.01 to 10000, and the fit's own is among them.

    Raises
    ------
    InputError
        A parameter that is unknown or held, a level outside (0, 1), or fewer than 9 points.
    """
    if parameter not in CONSTANTS:
        raise InputError(f"no constant named '{parameter}'; {nearest(parameter, CONSTANTS)}")
    if parameter in fit.held:
        raise InputError(f"{parameter} was held in this fit, so that it has no profile; fit again without holding it")
    check_level(level)
    if points < 9:
        raise InputError(f"{points} points: give at least 9")
    which = CONSTANTS.index(parameter)
    centre = float(fit.theta[which])
    logs = np.union1d(np.linspace(*LOG_BOUNDS, points - 1), [centre])
    best = int(np.searchsorted(logs, centre))
    # Every point from several places at once: along a ridge the other one runs far.
    others = np.array([fit.theta[1 - which], *np.log(STARTS)]) if CONSTANTS[1 - which] not in fit.held else None
    count = 1 if others is None else others.size
    start = np.repeat(fit.theta[:, None], logs.size * count, axis=1)
    start[which] = np.tile(logs, count)
    if others is not None:
        start[1 - which] = np.repeat(others, logs.size)
    found = descend(fit.rows, start, [j for j in fit.free if j != which], deltas=_deltas(fit, 30.0))
    ends = found.objective.reshape(count, logs.size)
    chosen = np.argmin(ends, axis=0) * logs.size + np.arange(logs.size)
    theta, objective = found.theta[:, chosen], found.objective[chosen]
    scale = deviance_scale(fit.residuals, len(fit.free), fit.delta)
    deviance = scale * np.maximum(objective - fit.objective, 0.0)
    limit = NormalDist().inv_cdf(0.5 + 0.5 * level) ** 2
    bounds = (
        _crossing(logs[best::-1], deviance[best::-1], limit),
        _crossing(logs[best:], deviance[best:], limit),
    )
    low, high = (None if end is None else math.exp(end) for end in bounds)
    return Ridge(
        parameter=parameter,
        values=np.exp(logs),
        other=np.exp(theta[1 - which]),
        objective=objective,
        deviance=deviance,
        low=low,
        high=high,
        level=level,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class RepetitionBootstrap:
    """R_D and R_N refitted to resampled runs.

    Attributes
    ----------
    samples : array, shape (samples, 2)
        ln R_D and ln R_N of each.
    held : tuple of str
        Which of them was held, and has no interval.
    unconverged : int
    seed : int
    level : float
    """

    samples: Array
    held: tuple[str, ...]
    unconverged: int
    seed: int
    level: float

    def interval(self, name: str) -> tuple[float, float]:
        """Return the percentile interval of R_D or R_N."""
        found = interval(np.exp(self.samples[:, CONSTANTS.index(name)]), self.level)
        assert found is not None
        return found

    def at_bound(self, name: str) -> float:
        """Return the share of refits for which the constant has no end: all repetition is as good as new."""
        return float(np.mean(self.samples[:, CONSTANTS.index(name)] > LOG_BOUNDS[1] - math.log(_AT_BOUND)))

    def to_dict(self) -> dict[str, Any]:
        """Return intervals and covariance as JSON holds them."""
        free = [name for name in CONSTANTS if name not in self.held]
        return {
            "samples": len(self.samples),
            "unconverged": self.unconverged,
            "seed": self.seed,
            "level": self.level,
            "intervals": {name: list(self.interval(name)) for name in free},
            "without_end": {name: self.at_bound(name) for name in free},
            "covariance": {"of": ["ln_R_D", "ln_R_N"], "values": np.cov(self.samples.T).tolist()},
        }


def bootstrap_repetition(
    fit: RepetitionFit, *, samples: int = 4000, seed: int = 0, level: float = LEVEL
) -> RepetitionBootstrap:
    """Refit R_D and R_N to runs drawn with replacement; the base law stays, E follows where it was fitted.

    Raises
    ------
    InputError
        Fewer than two samples, or a level outside (0, 1).
    """
    if samples < 2:
        raise InputError(f"{samples} samples make no interval; ask for 2 at least")
    check_level(level)
    rng = np.random.default_rng(seed)
    count = fit.rows.count
    step = max(1, _AT_ONCE // (count * len(fit.theta)))
    parts, unconverged = [], 0
    for first in range(0, samples, step):
        size = min(step, samples - first)
        weights = rng.multinomial(count, np.full(count, 1.0 / count), size=size).astype(float)
        found = descend(
            fit.rows,
            np.repeat(fit.theta[:, None], size, axis=1),
            fit.free,
            deltas=_deltas(fit, 3.0),
            weights=weights,
            tolerance=1e-10,
        )
        parts.append(found.theta[: R_N + 1].T)
        unconverged += int(np.count_nonzero(~found.converged))
    return RepetitionBootstrap(
        samples=np.vstack(parts), held=tuple(fit.held), unconverged=unconverged, seed=seed, level=level
    )


def _deltas(fit: RepetitionFit, widening: float) -> list[float]:
    core = min(fit.delta, UNLIMITED)
    return [core] if core >= UNLIMITED else [widening * core, core]


def _crossing(logs: Array, deviance: Array, limit: float) -> float | None:
    """Return where the deviance first exceeds the limit, going outward; its root is near linear there."""
    above = np.flatnonzero(deviance > limit)
    if not above.size:
        return None
    outer = int(above[0])
    roots = np.sqrt(deviance[[outer - 1, outer]])
    share = (math.sqrt(limit) - roots[0]) / (roots[1] - roots[0])
    return float(logs[outer - 1] + share * (logs[outer] - logs[outer - 1]))
