"""A map from loss to error that is not known exactly: drawn from covariance or refits, with a model's own scatter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.correlation import factor
from beyond_chinchilla.distributions import LEAST_SAMPLES, MOST_CUT
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.downstream import MOST_LOSS, PARAMETERS, DownstreamMap
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.scenario.law_kinds import refits_of
from beyond_chinchilla.scenario.past.suite import InlineSuite, SuiteChoice, map_of
from beyond_chinchilla.units import format_percent

Array = NDArray[np.float64]

# A map with a smaller gamma is a straight line to any model that there is.
LEAST_GAMMA = 0.01
# No error is at or below zero.
_LEAST_EPSILON = 1e-9
# exp of more is no number.
_MOST_LOG = 600.0
# Of the interval that a page shows.
_SAMPLES = 4096
_EPSILON, _LOG_K, _GAMMA = range(3)
# gamma is drawn first, so that it can be held above zero.
_ORDER = [_GAMMA, _LOG_K, _EPSILON]


@dataclass(frozen=True, kw_only=True, eq=False)
class UncertainSuite:
    """A map of which joint samples can be drawn.

    A sample is the map by which one model is judged: its constants are drawn, and the model's own scatter about the map
    moves epsilon, for error + scatter = (epsilon + scatter) - k exp(-gamma L).

    Parameters
    ----------
    point : DownstreamMap
        What counts where no risk is asked for, with residual and covariance as far as they are known.
    refits : array, shape (n, 3), optional
        epsilon, ln k, gamma of maps refitted to resampled models, one as likely as another; in place of the covariance.

    Raises
    ------
    InputError
        More than 5% of gamma below 0.01, a spread that no number holds, or too few refits.
    """

    point: DownstreamMap
    refits: Array | None = None

    def __post_init__(self) -> None:
        name = self.point.title
        if self.refits is not None:
            if len(self.refits) < LEAST_SAMPLES:
                raise InputError(
                    f"suite {name}: {len(self.refits)} refits say too little; write it again with "
                    "bc-opt fit --downstream --bootstraps 4000"
                )
            bad = (self.refits[:, _GAMMA] <= 0) | (np.abs(self.refits[:, _LOG_K]) > _MOST_LOG)
            if bad.any():
                raise InputError(f"suite {name}: {int(bad.sum())} of its refits are no maps; leave them out")
        elif self.point.covariance is not None:
            spread = np.sqrt(np.maximum(np.diag(np.array(self.point.covariance)), 0.0))
            if abs(math.log(self.point.k)) + 8.0 * spread[_LOG_K] > _MOST_LOG:
                raise InputError(f"suite {name}: its covariance spreads ln k beyond any number")
            if self.cut > MOST_CUT:
                raise InputError(
                    f"suite {name}: its covariance puts {format_percent(self.cut)} of gamma below {LEAST_GAMMA}, where "
                    "there is no map; fit it to more models"
                )

    @property
    def cut(self) -> float:
        """Share of gamma below 0.01 by the covariance: what is left out of the draws."""
        if self.refits is not None or self.point.covariance is None or self.point.covariance[_GAMMA][_GAMMA] == 0.0:
            return 0.0
        spread = math.sqrt(self.point.covariance[_GAMMA][_GAMMA])
        return 0.5 * math.erfc((self.point.gamma - LEAST_GAMMA) / spread / math.sqrt(2.0))

    @property
    def _constants(self) -> int:
        """Columns that the constants read."""
        if self.refits is not None:
            return 1
        return 0 if self.point.covariance is None else len(PARAMETERS)

    @property
    def dimensions(self) -> int:
        """Columns of the unit cube that `draw` reads: the constants', then the scatter's."""
        return self._constants + (1 if self.point.residual > 0.0 else 0)

    def draw(self, u: Array) -> DownstreamMap:
        """Return maps for points of the unit cube, shape (K, dimensions), as one with arrays of shape (K,)."""
        drawn = self._drawn(u[:, : self._constants])
        epsilon = drawn[:, _EPSILON]
        if self.point.residual > 0.0:
            from scipy.special import ndtri

            epsilon = epsilon + self.point.residual * ndtri(u[:, self._constants])
        return replace(
            self.point,
            epsilon=np.maximum(epsilon, _LEAST_EPSILON),
            k=np.exp(drawn[:, _LOG_K]),
            gamma=drawn[:, _GAMMA],
        )

    def _drawn(self, u: Array) -> Array:
        """Return epsilon, ln k, gamma, shape (K, 3)."""
        centre = np.array([self.point.epsilon, math.log(self.point.k), self.point.gamma])
        if self.refits is not None:
            # Neighbours in the unit cube are alike: in the order of gamma, along which refits differ most.
            kept = self.refits[np.argsort(self.refits[:, _GAMMA], kind="stable")]
            return np.asarray(kept[np.minimum((u[:, 0] * len(kept)).astype(int), len(kept) - 1)])
        if self.point.covariance is None:
            return np.tile(centre, (len(u), 1))
        from scipy.special import ndtr, ndtri

        L = factor(np.array(self.point.covariance)[np.ix_(_ORDER, _ORDER)])
        z = np.asarray(ndtri(u))
        if L[0, 0] > 0.0:
            low = ndtr((LEAST_GAMMA - centre[_GAMMA]) / L[0, 0])
            z[:, 0] = ndtri(low + u[:, 0] * (1.0 - low))
        drawn = np.empty_like(z)
        drawn[:, _ORDER] = centre[_ORDER] + z @ L.T
        return drawn

    def loss_interval(self, error: float) -> tuple[float, float]:
        """Return the losses [nats/token] between which an error asks for in 8 of 10 samples, to about a hundredth."""
        points = np.random.default_rng(0).uniform(2.0**-53, 1.0, (_SAMPLES, self.dimensions))
        low, high = np.quantile(np.minimum(self.draw(points).loss_for(error), MOST_LOSS), [0.1, 0.9])
        return float(low), float(high)

    def describe(self) -> str:
        """Say where the uncertainty comes from."""
        parts = []
        if self.refits is not None:
            parts.append(f"{len(self.refits):,} refits to resampled models")
        elif self.point.covariance is not None:
            cut = f", less the {format_percent(self.cut)} without a map" if self.cut > 1e-6 else ""
            parts.append(f"covariance of {', '.join(PARAMETERS[:-1])} and {PARAMETERS[-1]}{cut}")
        if self.point.residual > 0.0:
            parts.append(f"one model's scatter of {self.point.residual * 100:.2f} points about it")
        return f"suite {self.point.title}: {'; '.join(parts)}"


def uncertain_suite(suite: SuiteChoice, law: LossLaw) -> UncertainSuite | None:
    """Return the map of a target as it is drawn; None where nothing is known of its errors.

    Raises
    ------
    InputError
        As `UncertainSuite`, or a map that its own fit refuses.
    """
    point = map_of(suite, law)
    refits = None
    if isinstance(suite, InlineSuite):
        if suite.verdict == "do not use":
            raise InputError(
                f"suite {point.title}: its own fit says 'do not use', and no risk is worth more; fit it to more "
                "models, or take a published suite"
            )
        if suite.refits is not None:
            refits = refits_of(suite.refits, PARAMETERS)
    found = UncertainSuite(point=point, refits=refits)
    return found if found.dimensions else None
