"""From pairs of loss and error to a map: least squares, how sure it is, and whether to use it.

Err(L) = epsilon - k exp(-gamma L) is linear in epsilon and k once gamma is held, so that a search over gamma alone
finds the best map whatever the pairs, without starts: Gadre et al. 2024 fit the same by least squares from one start.
No error is above 1, and so is no epsilon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.laws.downstream import PARAMETERS, DownstreamMap

Array = NDArray[np.float64]

CONSTANTS = ("epsilon", "k", "gamma")
SAMPLES = 4000
LEVEL = 0.95
# Three constants and a residual.
FEWEST = 4
# Resampled pairs of fewer are too often the same few: their derivatives say more.
FEWEST_RESAMPLED = 12
# gamma times the spread of the losses: from a line to a step.
_LEAST_BEND, _MOST_BEND = 1e-3, 60.0
# exp of more is no number.
_MOST_LOG = 600.0
_GRID, _GOLDEN_STEPS = 240, 45
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
# Resampled maps at once: temporaries stay in the cache.
_AT_ONCE = 250


@dataclass(frozen=True, kw_only=True, eq=False)
class MapFit:
    """A map fitted to pairs of loss and error.

    Attributes
    ----------
    map : DownstreamMap
        With residual, covariance and the range of the losses.
    loss, error : array, shape (pairs,)
    residuals : array, shape (pairs,)
        Map less error.
    spread : {"resampled pairs", "derivatives", "none"}
        Where the covariance comes from.
    refits : array, shape (samples, 3)
        epsilon, ln k, gamma of each map refitted to resampled pairs; empty where none were asked for or possible.
    failures : int
        Resamples that make no map.
    seed : int
        Of the resampling.
    """

    map: DownstreamMap
    loss: Array
    error: Array
    residuals: Array
    spread: Literal["resampled pairs", "derivatives", "none"]
    refits: Array
    failures: int
    seed: int

    @property
    def explained(self) -> float:
        """Share of the variance of the errors that the map takes away, R2."""
        return 1.0 - float(self.residuals @ self.residuals) / float(np.sum((self.error - self.error.mean()) ** 2))

    def interval(self, name: str, level: float = LEVEL) -> tuple[float, float] | None:
        """Return the interval of epsilon, k or gamma: of the refits, else by Student's t; None if nothing is known."""
        place = CONSTANTS.index(name)
        if len(self.refits):
            low, high = (float(end) for end in np.quantile(self.refits[:, place], [(1 - level) / 2, (1 + level) / 2]))
        elif self.map.covariance is not None:
            from scipy.stats import t

            error = math.sqrt(self.map.covariance[place][place])
            reach = float(t.ppf((1.0 + level) / 2.0, self.loss.size - len(CONSTANTS))) * error
            centre = math.log(self.map.k) if name == "k" else float(getattr(self.map, name))
            low, high = centre - reach, centre + reach
        else:
            return None
        if name != "k":
            return low, high
        return (math.exp(low), math.exp(high)) if max(-low, high) < _MOST_LOG else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it: no path, no clock, no NaN."""
        constants = self.map.to_dict()
        covariance = constants.pop("covariance")
        row: dict[str, Any] = {"suite": constants, "pairs": self.loss.size, "explained": self.explained}
        row["intervals"] = {name: self.interval(name) for name in CONSTANTS}
        row["covariance"] = None
        if covariance is not None:
            row["covariance"] = {"of": list(PARAMETERS), "values": covariance, "from": self.spread}
        row["bootstrap"] = None
        if len(self.refits):
            samples = len(self.refits) + self.failures
            row["bootstrap"] = {"samples": samples, "failures": self.failures, "seed": self.seed}
            row["bootstrap"] |= {"order": ["epsilon", "ln_k", "gamma"], "parameters": self.refits.tolist()}
        return row


def fit_downstream(
    loss: ArrayLike,
    error: ArrayLike,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    name: str = "fit",
    source: str = "",
) -> MapFit:
    """Fit a map to pairs of loss and error.

    Parameters
    ----------
    loss : array, shape (pairs,)
        [nats/token], all on one text.
    error : array, shape (pairs,)
        1 - score of the same models on one suite, at most 1 but for scores worse than chance.
    samples : int
        Refits to resampled pairs, from 12 pairs on; 0 for none.
    seed : int
        Of the resampling: the same seed gives the same refits.
    name, source : str
        Of the map.

    Raises
    ------
    InputError
        Fewer than 4 pairs, losses all alike, numbers that are not finite, or 1 sample.
    FitError
        Errors that do not rise with the loss.

    Examples
    --------
    >>> true = DownstreamMap(epsilon=0.85, k=2.0, gamma=0.75)
    >>> L = np.linspace(2.4, 5.0, 20)
    >>> found = fit_downstream(L, true.error(L), samples=0).map
    >>> round(float(found.epsilon), 6), round(float(found.k), 6), round(float(found.gamma), 6)
    (0.85, 2.0, 0.75)
    """
    L, e = _checked(loss, error)
    if samples < 0 or samples == 1:
        raise InputError(f"{samples} samples make no interval; ask for 2 at least ({SAMPLES} by default), or 0")
    (found,) = least_squares(L, e, np.ones((1, L.size)))
    if not np.isfinite(found).all():
        raise FitError(
            f"{name}: the errors do not rise with the loss; give errors with --error-column and scores with "
            "--score-column, of models that differ in loss"
        )
    point = map_of(found)
    residuals = np.asarray(point.error(L) - e)
    residual = math.sqrt(float(residuals @ residuals) / max(L.size - 3, 1))
    refits, failures = np.empty((0, 3)), 0
    if samples and L.size >= FEWEST_RESAMPLED:
        refits = _refits(L, e, samples, seed)
        good = np.isfinite(refits).all(axis=1)
        refits, failures = refits[good], int((~good).sum())
    spread: Literal["resampled pairs", "derivatives", "none"] = "none"
    covariance = None
    if len(refits) >= max(2, samples / 2) and samples:
        spread, covariance = "resampled pairs", np.cov(refits.T)
    else:
        refits = refits[:0]
        covariance = _by_derivatives(point, L, residual)
        spread = "none" if covariance is None else "derivatives"
    mapped = DownstreamMap(
        epsilon=float(point.epsilon),
        k=float(point.k),
        gamma=float(point.gamma),
        residual=residual,
        covariance=None if covariance is None else tuple(tuple(row) for row in covariance.tolist()),
        losses=(float(L.min()), float(L.max())),
        name=name,
        source=source,
    )
    return MapFit(
        map=mapped,
        loss=L,
        error=e,
        residuals=residuals,
        spread=spread,
        refits=refits,
        failures=failures,
        seed=seed,
    )


def _checked(loss: ArrayLike, error: ArrayLike) -> tuple[Array, Array]:
    L, e = np.asarray(loss, dtype=float), np.asarray(error, dtype=float)
    if L.ndim != 1 or L.shape != e.shape:
        raise InputError(f"losses of shape {L.shape} and errors of shape {e.shape}; give one of each per model")
    if L.size < FEWEST:
        raise InputError(f"{L.size} pairs of loss and error: a map has 3 constants, give {FEWEST} pairs at least")
    if not (np.isfinite(L).all() and np.isfinite(e).all() and (L > 0).all()):
        raise InputError("losses and errors must be finite, losses above zero; leave out the others")
    if np.unique(L).size < FEWEST - 1:
        raise InputError(f"{np.unique(L).size} different losses: a map bends, give {FEWEST - 1} at least")
    return L, e


# The search over gamma


def least_squares(L: Array, e: Array, weights: Array) -> Array:
    """Return epsilon, ln k, gamma of least squares for rows of weights, shape (rows, 3); nan where no map falls."""
    spread = float(np.ptp(L))
    most = min(_MOST_BEND, _MOST_LOG * spread / float(L.max()))
    bends = np.geomspace(min(_LEAST_BEND, most / 2.0), most, _GRID)
    total = np.stack([_solved(L, e, weights, np.full(len(weights), bend / spread))[0] for bend in bends], axis=1)
    best = np.argmin(total, axis=1)
    low, high = (np.log(bends[np.clip(best + step, 0, _GRID - 1)] / spread) for step in (-1, 1))
    for _ in range(_GOLDEN_STEPS):
        first, second = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        nearer = _solved(L, e, weights, np.exp(first))[0] <= _solved(L, e, weights, np.exp(second))[0]
        low, high = np.where(nearer, low, first), np.where(nearer, second, high)
    gamma = np.exp((low + high) / 2.0)
    _, epsilon, k = _solved(L, e, weights, gamma)
    # k belongs to the mean loss here, which keeps exp within numbers.
    with np.errstate(divide="ignore", invalid="ignore"):
        log_k = np.log(k) + gamma * L.mean()
    found = np.stack([epsilon, log_k, gamma], axis=1)
    return np.where((k > 0)[:, None] & np.isfinite(found).all(axis=1)[:, None], found, np.nan)


def _solved(L: Array, e: Array, weights: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """Return the sum of squares, epsilon <= 1 and k at the mean loss of the best map at each row's gamma."""
    z = np.exp(-np.multiply.outer(gamma, L - L.mean()))
    mass = weights.sum(axis=1)
    z_mean, e_mean = (weights * z).sum(axis=1) / mass, weights @ e / mass
    off_z, off_e = z - z_mean[:, None], e[None, :] - e_mean[:, None]
    variance, joint = (weights * off_z**2).sum(axis=1), (weights * off_z * off_e).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        k = -joint / variance
        epsilon = e_mean + k * z_mean
        held = ((1.0 - e) * weights * z).sum(axis=1) / (weights * z**2).sum(axis=1)
    above = epsilon > 1.0
    k, epsilon = np.where(above, held, k), np.where(above, 1.0, epsilon)
    misses = epsilon[:, None] - k[:, None] * z - e[None, :]
    squares = (weights * misses**2).sum(axis=1)
    # Fewer than three different losses leave gamma open, and a map that rises is none.
    return np.where(np.isfinite(squares) & (k > 0), squares, np.inf), epsilon, k


def map_of(row: Array) -> DownstreamMap:
    return DownstreamMap(epsilon=float(row[0]), k=math.exp(row[1]), gamma=float(row[2]))


# How sure it is


def _refits(L: Array, e: Array, samples: int, seed: int) -> Array:
    """Return the maps of pairs drawn with replacement; nan where there is none."""
    rng = np.random.default_rng(seed)
    chance = np.full(L.size, 1.0 / L.size)
    parts = []
    for first in range(0, samples, _AT_ONCE):
        drawn = rng.multinomial(L.size, chance, size=min(_AT_ONCE, samples - first)).astype(float)
        drawn[[np.unique(L[row > 0]).size < FEWEST - 1 for row in drawn]] = np.nan
        with np.errstate(invalid="ignore"):
            parts.append(least_squares(L, e, drawn))
    return np.concatenate(parts)


def _by_derivatives(point: DownstreamMap, L: Array, residual: float) -> Array | None:
    """Return s^2 (J'J)^-1 of epsilon, ln k and gamma; None where the pairs leave a direction open."""
    if residual == 0.0:
        return None
    fallen = point.k * np.exp(-point.gamma * L)
    J = np.stack([np.ones_like(L), -fallen, L * fallen], axis=1)
    scale = np.sqrt((J**2).sum(axis=0))
    if not (scale > 0).all() or np.linalg.cond(J / scale) > 1e6:
        return None
    inverse = np.linalg.inv((J / scale).T @ (J / scale))
    return np.asarray(residual**2 * inverse / np.outer(scale, scale))
