"""Laws that are not known exactly: drawn jointly from a covariance, from refits, from marginals, or out of a set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.correlation import factor
from beyond_chinchilla.distributions import MOST_CUT, Distribution
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import CONSTANTS, LawBatch
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.units import format_percent

Array = NDArray[np.float64]

# A term with a smaller exponent takes e^69 times the data to halve: no law.
LEAST_EXPONENT = 0.01
# exp of more is no number.
_MOST_LOG = 600.0
_A, _B, _E, _ALPHA, _BETA = range(5)
# Exponents are drawn first, so that they can be held above zero one after the other.
_ORDER = [_ALPHA, _BETA, _A, _B, _E]


class UncertainLaw(Protocol):
    """A law of which joint samples can be drawn."""

    @property
    def point(self) -> LossLaw:
        """What counts where no risk is asked for."""
        ...

    @property
    def dimensions(self) -> int:
        """Columns of the unit cube that `draw` reads."""
        ...

    def draw(self, u: Array) -> LawBatch:
        """Return laws for points of the unit cube, shape (K, dimensions)."""
        ...

    def describe(self) -> str:
        """Say where the uncertainty comes from."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class CovarianceLaw:
    """Normal in ln A, ln B, ln E, alpha and beta about a law.

    Exponents below 0.01 make no law: alpha is drawn from its normal above that, beta from its normal given alpha above
    that, each by inversion, so that quasi-random points stay evenly spread and none is thrown away.

    Parameters
    ----------
    point : LossLaw
        The centre.
    covariance : array, shape (5, 5)
        Of ln A, ln B, ln E, alpha, beta; positive semi-definite.

    Raises
    ------
    InputError
        More than 5% of the exponents below 0.01, or a spread that no number holds.
    """

    point: LossLaw
    covariance: Array

    def __post_init__(self) -> None:
        spread = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        logs = np.abs(self._centre) + 8.0 * spread
        if logs[:_ALPHA].max() > _MOST_LOG:
            raise InputError(f"law {self.point.name}: its covariance spreads ln A, ln B or ln E beyond any number")
        if self.cut > MOST_CUT:
            raise InputError(
                f"law {self.point.name}: its covariance puts {format_percent(self.cut)} of the exponents below "
                f"{LEAST_EXPONENT}, where there is no law; fit it to more runs"
            )

    dimensions = 5

    @property
    def _centre(self) -> Array:
        law = self.point
        log_E = math.log(law.E) if law.E > 0 else 0.0
        return np.array([math.log(law.A), math.log(law.B), log_E, law.alpha, law.beta])

    @property
    def cut(self) -> float:
        """Share of alpha and of beta below 0.01, together: what is left out of the draws."""
        spread = np.sqrt(np.diag(self.covariance))
        pairs = [(self.point.alpha, spread[_ALPHA]), (self.point.beta, spread[_BETA])]
        return sum(0.5 * math.erfc((centre - LEAST_EXPONENT) / sd / math.sqrt(2.0)) for centre, sd in pairs if sd > 0)

    def draw(self, u: Array) -> LawBatch:
        """Return laws for points of the unit cube, shape (K, 5): alpha, beta, and what they leave of A, B and E."""
        from scipy.special import ndtr, ndtri

        L = factor(self.covariance[np.ix_(_ORDER, _ORDER)])
        centre = self._centre
        low, high = -math.inf, math.inf
        if L[0, 0] > 0:
            low = (LEAST_EXPONENT - centre[_ALPHA]) / L[0, 0]
            if L[1, 1] == 0 and L[1, 0] != 0:
                # beta follows from alpha.
                edge = (LEAST_EXPONENT - centre[_BETA]) / L[1, 0]
                low, high = (max(low, edge), high) if L[1, 0] > 0 else (low, min(high, edge))
        z = np.empty((len(u), 5))
        z[:, 0] = _between(u[:, 0], ndtr(low), ndtr(high))
        if L[1, 1] > 0:
            floor = ndtr((LEAST_EXPONENT - centre[_BETA] - L[1, 0] * z[:, 0]) / L[1, 1])
            z[:, 1] = _between(u[:, 1], floor, 1.0)
        else:
            z[:, 1] = 0.0
        z[:, 2:] = ndtri(u[:, 2:])
        drawn = np.empty_like(z)
        drawn[:, _ORDER] = centre[_ORDER] + z @ L.T
        return _batch(self.point, drawn)

    def describe(self) -> str:
        """Say where the uncertainty comes from."""
        cut = f", less the {format_percent(self.cut)} without a law" if self.cut > 1e-6 else ""
        return f"law {self.point.name}: covariance of ln A, ln B, ln E, alpha and beta{cut}"


def _between(u: Array, low: Any, high: Any) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(low + u * (high - low)))


@dataclass(frozen=True, kw_only=True, eq=False)
class RefittedLaw:
    """One of the laws that resampled runs gave, each as likely as any other.

    Parameters
    ----------
    point : LossLaw
        The law of all runs.
    refits : array, shape (n, 5)
        ln A, ln B, ln E, alpha, beta; those with an exponent below 0.01 are left out, and counted.
    """

    point: LossLaw
    refits: Array

    dimensions = 1

    @cached_property
    def _kept(self) -> Array:
        """Those that are laws, in the order of the frontier's exponent: neighbours in the unit cube are alike."""
        laws = (self.refits[:, _ALPHA:] >= LEAST_EXPONENT).all(axis=1)
        laws &= (np.abs(self.refits[:, :_E]) < _MOST_LOG).all(axis=1)
        kept = self.refits[laws]
        exponent = kept[:, _BETA] / (kept[:, _ALPHA] + kept[:, _BETA])
        return np.asarray(kept[np.argsort(exponent, kind="stable")])

    @property
    def count(self) -> int:
        """How many of the refits are laws."""
        return len(self._kept)

    def draw(self, u: Array) -> LawBatch:
        """Return laws for points of the unit cube, shape (K, 1)."""
        kept = self._kept
        index = np.minimum((u[:, 0] * len(kept)).astype(int), len(kept) - 1)
        return _batch(self.point, kept[index])

    def describe(self) -> str:
        """Say where the uncertainty comes from."""
        lost = len(self.refits) - self.count
        note = f" ({lost} without a law left out)" if lost else ""
        return f"law {self.point.name}: {self.count:,} refits of resampled runs{note}"


@dataclass(frozen=True, kw_only=True, eq=False)
class MarginalLaw:
    """A law whose constants have distributions of their own, correlated as stated.

    Parameters
    ----------
    point : LossLaw
    marginals : mapping of str to Distribution
        Of E, A, alpha, B or beta; the others are held.
    correlation : array, shape (m, m)
        Of their normal scores, in the order of `marginals`.
    """

    point: LossLaw
    marginals: Mapping[str, Distribution]
    correlation: Array

    @property
    def dimensions(self) -> int:
        """One for each uncertain constant."""
        return len(self.marginals)

    def draw(self, u: Array) -> LawBatch:
        """Return laws for points of the unit cube, shape (K, m)."""
        shares = correlated(u, self.correlation)
        constants: dict[str, Any] = {key: np.full(len(u), float(getattr(self.point, key))) for key in CONSTANTS}
        for column, (key, marginal) in enumerate(self.marginals.items()):
            constants[key] = marginal.quantile(shares[:, column])
        return _as_batch(self.point, constants)

    def describe(self) -> str:
        """Say where the uncertainty comes from."""
        names = " and ".join(self.marginals)
        alone = np.array_equal(self.correlation, np.eye(self.dimensions))
        how = "independent" if alone and self.dimensions > 1 else "as stated"
        return f"law {self.point.name}: {names}, {how}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A law of a set.

    Attributes
    ----------
    law : LossLaw
    weight : float
        How likely, over the sum of all weights.
    uncertain : UncertainLaw or None
        Its own uncertainty.
    """

    law: LossLaw
    weight: float
    uncertain: UncertainLaw | None


@dataclass(frozen=True, kw_only=True, eq=False)
class LawOfSet:
    """One law out of several, with its own uncertainty.

    Raises
    ------
    InputError
        Laws that count parameters differently.
    """

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        # Refuses what cannot be one batch.
        LawBatch.of([member.law for member in self.members], name="one_of")

    @property
    def point(self) -> LossLaw:
        """The heaviest law, the first of equals."""
        return max(self.members, key=lambda member: member.weight).law

    @property
    def dimensions(self) -> int:
        """One for the choice, and as many as the most uncertain member reads."""
        return 1 + max(0 if each.uncertain is None else each.uncertain.dimensions for each in self.members)

    def draw(self, u: Array) -> LawBatch:
        """Return laws for points of the unit cube, shape (K, dimensions): the first column chooses."""
        weights = np.array([member.weight for member in self.members])
        edges = np.cumsum(weights)[:-1] / weights.sum()
        chosen = np.searchsorted(edges, u[:, 0], side="right")
        constants = {key: np.empty(len(u)) for key in CONSTANTS}
        for number, member in enumerate(self.members):
            rows = chosen == number
            drawn: LossLaw = member.law
            if member.uncertain is not None and rows.any():
                drawn = member.uncertain.draw(u[rows, 1 : 1 + member.uncertain.dimensions])
            for key, values in constants.items():
                values[rows] = getattr(drawn, key)
        return _as_batch(self.point, constants, name=" or ".join(member.law.name for member in self.members))

    def describe(self) -> str:
        """Say where the uncertainty comes from."""
        total = sum(member.weight for member in self.members)
        shares = [f"{member.law.name} {format_percent(member.weight / total, 0)}" for member in self.members]
        own = [member.law.name for member in self.members if member.uncertain is not None]
        also = f", with the uncertainty of {' and '.join(own)}" if own else ""
        return f"law: one of {', '.join(shares)}{also}"


def correlated(u: Array, correlation: Array) -> Array:
    """Return points of the unit cube whose normal scores correlate as stated (a Gaussian copula).

    A column that correlates with none of the others comes back as it is.
    """
    alone = (correlation - np.diag(np.diag(correlation)) == 0).all(axis=1)
    if alone.all():
        return u
    from scipy.special import ndtr, ndtri

    scores = ndtri(u) @ factor(correlation).T
    return np.where(alone, u, np.clip(ndtr(scores), np.finfo(float).tiny, 1.0 - 2.0**-53))


def _batch(point: LossLaw, drawn: Array) -> LawBatch:
    """Return rows of ln A, ln B, ln E, alpha, beta as laws; an E of 0 is held."""
    constants = {"A": np.exp(drawn[:, _A]), "B": np.exp(drawn[:, _B]), "alpha": drawn[:, _ALPHA]}
    E = np.exp(drawn[:, _E]) if point.E > 0 else np.zeros(len(drawn))
    return _as_batch(point, constants | {"beta": drawn[:, _BETA], "E": E})


def _as_batch(point: LossLaw, constants: Mapping[str, Any], name: str = "") -> LawBatch:
    power: Any = constants.get("power", point.power)
    if np.ndim(power) and np.all(power == power[0]):
        power = float(power[0])
    given: dict[str, Any] = {key: constants[key] for key in CONSTANTS if key != "power"}
    return LawBatch(
        **given, power=power, counts=point.counts, name=name or point.name, source=point.source, fitted=point.fitted
    )
