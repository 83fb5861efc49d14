"""From the loss of a model to its error on a suite of tasks, and back.

Gadre et al. 2024 (arXiv 2403.08540), Eq. 5: over one suite of tasks the mean top-1 error falls with the loss as

    Err(L) = epsilon - k exp(-gamma L)

epsilon is the error of a model that knows nothing, near chance. The score, 1 - Err, is highest at the irreducible loss
E of the law: what a score asks for above that, no model reaches. The constants belong to the suite, to the data that
was trained on, and to the text and tokenizer with which the loss was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw

Array = NDArray[np.float64]

# Of a covariance, in this order: in these a map is linear but for one exp, so that a normal distribution serves.
PARAMETERS = ("epsilon", "ln k", "gamma")
# In nats no token costs more than ln(vocabulary): an error that any model keeps asks for no loss beyond that.
MOST_LOSS = 20.0
# Losses of one text differ a little from run to run: so far outside of those seen is no departure.
_NEAR = 0.02


@dataclass(frozen=True, kw_only=True)
class DownstreamMap:
    """The error of a suite of tasks as a function of the loss.

    Parameters
    ----------
    epsilon : float
        Error towards which weak models tend, > 0.
    k : float
        How far below it the map would lie at loss 0, > 0.
    gamma : float
        How fast the error leaves epsilon [token/nat], > 0.
    residual : float
        Standard deviation of a single model's error about the map, >= 0; 0 where it is not known.
    covariance : tuple of tuple of float, optional
        Of epsilon, ln k and gamma, 3 rows of 3; None where it is not known.
    losses : pair of float, optional
        Lowest and highest loss of the models behind it [nats/token].
    name, suite, data, law, source, note : str
        For people: what it is called, which tasks, what those models were trained on, whose losses it reads.

    Any of epsilon, k and gamma may be an array: many maps at once, of which only numeric methods make sense.

    Raises
    ------
    InputError
        A constant that is not finite or not positive (all of them at once).

    Examples
    --------
    >>> gadre = DownstreamMap(epsilon=0.850, k=2.079, gamma=0.756)
    >>> round(float(gadre.error(2.6569)), 3), round(float(gadre.loss_for(0.571)), 3)
    (0.571, 2.657)
    """

    epsilon: Any
    k: Any
    gamma: Any
    residual: float = 0.0
    covariance: tuple[tuple[float, ...], ...] | None = None
    losses: tuple[float, float] | None = None
    name: str = "custom"
    suite: str = ""
    data: str = ""
    law: str = ""
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        mistakes = []
        for key, least in (("epsilon", "> 0"), ("k", "> 0"), ("gamma", "> 0"), ("residual", ">= 0")):
            values = np.asarray(getattr(self, key), dtype=float)
            good = np.isfinite(values) & (values >= 0.0 if key == "residual" else values > 0.0)
            if not good.all():
                mistakes.append(f"suite {self.name}: {key} must be {least}, not {values[~good].flat[0]:g}")
        if mistakes:
            raise InputError("\n".join(mistakes))

    @property
    def title(self) -> str:
        """The suite's name where it has one, else the map's."""
        return self.suite or self.name

    # The map and its inverse

    def error(self, loss: ArrayLike) -> Array:
        """Return the error at a loss [nats/token] (numeric). Gadre et al. 2024, Eq. 5."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(self.epsilon - self.k * np.exp(-self.gamma * np.asarray(loss, dtype=float)))

    def score(self, loss: ArrayLike) -> Array:
        """Return the score, 1 - error, at a loss [nats/token] (numeric)."""
        return np.asarray(1.0 - self.error(loss))

    def slope(self, loss: ArrayLike) -> Array:
        """Return by how much the error rises with the loss, d error / d loss [token/nat] (numeric)."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(self.gamma * self.k * np.exp(-self.gamma * np.asarray(loss, dtype=float)))

    def loss_for(self, error: ArrayLike) -> Array:
        """Return the loss [nats/token] at which the error is as stated (numeric); inf at epsilon and above.

        Where an error is so low that only a loss below 0 would do, that loss.
        """
        gap = self.epsilon - np.asarray(error, dtype=float)
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(gap > 0.0, np.log(self.k / np.where(gap > 0.0, gap, 1.0)) / self.gamma, np.inf))

    # Under a law

    def best_score(self, law: LossLaw) -> float:
        """Return the score at the law's irreducible loss, which no model reaches.

        >>> from beyond_chinchilla.laws.catalogue import law
        >>> round(DownstreamMap(epsilon=0.850, k=2.079, gamma=0.756).best_score(law("gadre-2024-c4")), 4)
        0.8149
        """
        return float(self.score(law.E))

    def check_error(self, error: float, law: LossLaw, *, as_score: bool = False) -> None:
        """Refuse an error that every model keeps, or that none reaches under a law.

        Parameters
        ----------
        error : float
        law : LossLaw
        as_score : bool
            Whether to speak of scores.

        Raises
        ------
        InputError
            At or above epsilon, or at or below the error at the law's irreducible loss.
        """
        word, value = ("score", 1.0 - error) if as_score else ("error", error)
        chance, best = float(self.epsilon), self.best_score(law)
        low, high = (1.0 - chance, best) if as_score else (1.0 - best, chance)
        if error >= chance:
            raise InputError(
                f"{word} {_percent(value)} on {self.title} is {'at or below' if as_score else 'at or above'} "
                f"{_percent(1.0 - chance if as_score else chance)}, what a model that knows nothing has; "
                f"state one of {_percent(low)} to {_percent(high)}"
            )
        if not float(self.loss_for(error)) > law.E:
            raise InputError(
                f"{word} {_percent(value)} on {self.title} is beyond the map's ceiling under law {law.name}: at its "
                f"irreducible loss E = {law.E:g} the {word} is {_percent(best if as_score else 1.0 - best)}; state one "
                f"of {_percent(low)} to {_percent(high)}, or another law"
            )

    def departures(self, loss: float) -> list[str]:
        """Say how far a loss [nats/token] lies outside of those that the map has seen."""
        if self.losses is None:
            return []
        low, high = self.losses
        if loss < low * (1.0 - _NEAR):
            return [f"loss {loss:.4g} is {low - loss:.2g} nats below the lowest that {self.name} has seen ({low:.4g})"]
        if loss > high * (1.0 + _NEAR):
            return [
                f"loss {loss:.4g} is {loss - high:.2g} nats above the highest that {self.name} has seen ({high:.4g})"
            ]
        return []

    # Many maps

    def take(self, chosen: Any) -> DownstreamMap:
        """Return some of many maps, or one by its number."""
        changed: dict[str, Any] = {}
        for key in ("epsilon", "k", "gamma"):
            values = np.asarray(getattr(self, key), dtype=float)[chosen]
            changed[key] = float(values) if values.ndim == 0 else values
        return replace(self, **changed)

    def to_dict(self) -> dict[str, Any]:
        """Return the map as JSON holds it."""
        row: dict[str, Any] = {"name": self.name, "suite": self.suite, "data": self.data}
        row |= {"epsilon": self.epsilon, "k": self.k, "gamma": self.gamma, "residual": self.residual}
        row["covariance"] = None if self.covariance is None else [list(line) for line in self.covariance]
        row["losses"] = None if self.losses is None else list(self.losses)
        return row | {"law": self.law, "source": self.source, "note": self.note}


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"
