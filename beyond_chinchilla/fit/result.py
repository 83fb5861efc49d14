"""What approach 3 answers: a law with what the fit left open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from beyond_chinchilla.fit.huber import NAMES, UNLIMITED, Array, Rows
from beyond_chinchilla.fit.levenberg import Constraint
from beyond_chinchilla.laws.loss_law import LossLaw

# Two minima are the same within this, relative to the better one.
SAME = 1e-6
# E = 0 in logarithms: e^-60 changes no loss in double precision.
LOG_OF_ZERO = -60.0


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Where the starts ended.

    Attributes
    ----------
    count : int
        Starts tried.
    reached_best : int
        How many ended within 1e-6 of the best objective, relative.
    converged : int
        How many ended because nothing was left to gain, rather than at the limit of steps.
    minima : tuple of (float, int)
        The lowest distinct objectives with their starts, best first; ten at most.
    refused : int
        Starts that ended at a lower objective, but with an exponent <= 0, where more data or a larger model hurts.
    """

    count: int
    reached_best: int
    converged: int
    minima: tuple[tuple[float, int], ...]
    refused: int

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON holds it."""
        return {
            "count": self.count,
            "reached_best": self.reached_best,
            "converged": self.converged,
            "refused": self.refused,
            "minima": [{"objective": value, "starts": starts} for value, starts in self.minima],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A law fitted to runs by approach 3.

    Attributes
    ----------
    law : LossLaw
        With the range of the runs.
    parameters : array, shape (5,)
        ln A, ln B, ln E, alpha, beta; ln E is -inf where E = 0 was asked for.
    method : {"huber", "least-squares"}
    objective : float
        The sum of Huber losses (of r^2/2 for least squares) at the minimum.
    delta : float
        Of Huber's function; inf for least squares.
    tied : bool
        alpha = beta was asked for.
    irreducible : float or None
        E, where it was given.
    residuals : array, shape (runs,)
        ln(law) - ln(loss).
    starts : Starts
    minima : array, shape (minima, 5)
        The best and the other minima worth a refit, best first; ln E is -60 for E = 0.
    condition : float
        Condition number of the residuals' derivatives, each column scaled to length 1 and ln N, ln D centred: 33 for
        the 240 points of Besiroglu et al. 2024, 160 to 810 for the flat ridges of Sardana et al. 2024.
    ridge : mapping of str to float
        The direction along which the residuals change least, largest part +-1: ``A`` and ``B`` stand for the sizes
        of the terms at the middle of the runs.
    correlations : array, shape (5, 5)
        Of the parameters in the order of `parameters`, from the derivatives; nan where one is held.
    bounds : tuple of str
        In plain words: what ran into a bound or vanished.
    params, tokens, loss : array, shape (runs,)
        The runs.
    """

    law: LossLaw
    parameters: Array
    method: Literal["huber", "least-squares"]
    objective: float
    delta: float
    tied: bool
    irreducible: float | None
    residuals: Array
    starts: Starts
    minima: Array
    condition: float
    ridge: dict[str, float]
    correlations: Array
    bounds: tuple[str, ...]
    params: Array
    tokens: Array
    loss: Array

    @property
    def rows(self) -> Rows:
        """The runs as the core takes them."""
        return Rows.of(self.params, self.tokens, self.loss)

    @property
    def core_delta(self) -> float:
        """Delta as the core takes it: finite."""
        return min(self.delta, UNLIMITED)

    @property
    def constraint(self) -> Constraint:
        """What was held, as the core takes it."""
        return hold(self.tied, self.irreducible)

    @property
    def free(self) -> int:
        """Number of free parameters."""
        return len(NAMES) - len(self.constraint.matrix)

    @property
    def scatter(self) -> float:
        """Standard deviation of the log residuals, sqrt(sum r^2 / (runs - free))."""
        return math.sqrt(float(self.residuals @ self.residuals) / (self.residuals.size - self.free))

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it: no path, no NaN."""
        return {
            "method": self.method,
            "law": self.law.to_dict() | {"source": self.law.source, "fitted": self.law.fitted.to_dict()},
            "runs": self.residuals.size,
            "objective": self.objective,
            "delta": self.delta if math.isfinite(self.delta) else None,
            "tied": self.tied,
            "irreducible": self.irreducible,
            "parameters": {
                name: float(value) if math.isfinite(value) else None
                for name, value in zip(NAMES, self.parameters, strict=True)
            },
            "scatter": self.scatter,
            "starts": self.starts.to_dict(),
            "condition": self.condition,
            "ridge": self.ridge,
            "bounds": list(self.bounds),
        }


def hold(tied: bool, irreducible: float | None) -> Constraint:
    """Return the conditions alpha = beta and E = irreducible, where asked for."""
    held = Constraint.none()
    if irreducible is not None:
        log_E = math.log(irreducible) if irreducible > 0 else LOG_OF_ZERO
        held = held.also(np.eye(5)[[2]], np.array([[max(log_E, LOG_OF_ZERO)]]))
    if tied:
        held = held.also(np.array([[0.0, 0.0, 0.0, 1.0, -1.0]]), np.zeros((1, 1)))
    return held
