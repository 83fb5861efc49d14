"""The loss that quantisation after training adds (Kumar et al. 2024, arXiv 2411.04330), with the bits held.

It rises with training tokens and falls with size: a small model that was trained for long holds more in each weight,
and loses more. So a model can be overtrained for its bits: beyond `critical_tokens` further training raises the loss as
served. The term is a monomial, and the problem stays a geometric program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import Array, FittedRange, LossLaw
from beyond_chinchilla.posynomial import Term

_NOT_KNOWN = FittedRange()
# Newton's method squares what it misses by: after a step this small in ln D nothing is left but rounding.
_STEPS, _LAST_STEP = 40, 1e-7


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """The loss that quantisation after training adds: delta = coefficient D^gamma_D N^-gamma_N [nats/token].

    Kumar et al. 2024, section 3, with the bits held: `Precision.quantised` makes one. As a lever (`laws.lever.Lever`)
    it has no variable of its own. The number that is held is a ceiling theta on that loss: the target then holds of a
    plain law with the irreducible loss E + theta, and delta <= theta is a limit.

    Parameters
    ----------
    coefficient : float
        c [nats/token], > 0.
    gamma_D, gamma_N : float
        Exponents of tokens and of parameters, > 0.
    bits : float
        Of each weight as served.
    name, source : str
        For people.
    fitted : FittedRange
        Range of the runs behind the constants.
    fitted_bits : pair of float, optional
        Fewest and most bits of those runs.

    Raises
    ------
    InputError
        A constant that is not finite or not positive (all of them at once).

    Examples
    --------
    >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
    >>> four = Quantisation(coefficient=6.85206e-5, gamma_D=0.5068, gamma_N=0.3439, bits=4)
    >>> round(float(four.penalty(7e9, 2e12)), 4), round(float(four.penalty(7e9, 15e12)), 4)
    (0.0483, 0.1342)
    >>> f"{four.critical_tokens(law, 7e9):.3g}"
    '3.53e+12'
    """

    kind: ClassVar[str] = "quantisation"
    variable: ClassVar[str] = ""
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    whole: ClassVar[bool] = False
    baseline: ClassVar[float | None] = None

    coefficient: float
    gamma_D: float
    gamma_N: float
    bits: float
    name: str = "custom"
    source: str = ""
    fitted: FittedRange = _NOT_KNOWN
    fitted_bits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        mistakes = [
            f"quantisation {self.name}: {key} must be > 0 and finite, not {value:g}"
            for key in ("coefficient", "gamma_D", "gamma_N", "bits")
            for value in np.ravel(getattr(self, key))
            if not 0.0 < value < math.inf
        ]
        if mistakes:
            raise InputError("\n".join(mistakes))

    # As a lever

    def terms(self, law: LossLaw) -> tuple[Term, ...]:
        """Return the one term that is added to ``law.posynomial()``."""
        check_form(law)
        powers = {"tokens": self.gamma_D, "params": -self.gamma_N}
        return (Term(label="quantisation", coefficient=self.coefficient, powers=powers),)

    def held(self, law: LossLaw, value: float) -> LossLaw:
        """Return the plain law of models that lose `value` [nats/token] to quantisation: E + value for E."""
        check_form(law)
        return replace(law, E=law.E + value)

    def loss(self, law: LossLaw, N: ArrayLike, D: ArrayLike, value: ArrayLike = 0.0) -> Array:
        """Return the loss as served [nats/token] (numeric, broadcasting); `value` says nothing beyond N and D."""
        del value
        check_form(law)
        return np.asarray(law.loss(N, D) + self.penalty(N, D))

    def departures(self, N: float, D: float, value: float = 0.0) -> list[str]:
        """Say how far a model lies outside of what the penalty was fitted on."""
        del value
        found = self.fitted.departures(N, D)
        if self.fitted_bits is not None and self.bits < self.fitted_bits[0]:
            found.append(f"{self.bits:g}-bit weights are below the fewest bits fitted ({self.fitted_bits[0]:g})")
        return found

    def figures(self, law: LossLaw, N: float, D: float, value: float = 0.0) -> dict[str, float]:
        """Return the bits, the loss that they cost, and the tokens from which on training longer does harm."""
        del value
        return {
            "bits": self.bits,
            "quantisation_loss": float(self.penalty(N, D)),
            "critical_tokens": float(self.critical_tokens(law, N)),
        }

    # The penalty and its inverses

    def penalty(self, N: ArrayLike, D: ArrayLike) -> Array:
        """Return delta, what quantisation adds to the loss of N parameters and D tokens [nats/token] (numeric)."""
        N, D = np.asarray(N, dtype=float), np.asarray(D, dtype=float)
        return np.asarray(self.coefficient * D**self.gamma_D * N**-self.gamma_N)

    def critical_tokens(self, law: LossLaw, N: ArrayLike) -> Array:
        """Return the tokens beyond which more training raises the loss as served: dL/dD = 0 (numeric).

        Kumar et al. 2024, section 3: beta B D^-beta = gamma_D delta(N, D).
        """
        check_form(law)
        N = np.asarray(N, dtype=float)
        ratio = law.beta * law.B / (self.gamma_D * self.coefficient * N**-self.gamma_N)
        return np.asarray(ratio ** (1.0 / (law.beta + self.gamma_D)))

    def least_loss(self, law: LossLaw, N: ArrayLike) -> Array:
        """Return the least loss that N parameters can be served at, with whatever tokens (numeric)."""
        return self.loss(law, N, self.critical_tokens(law, N))

    def tokens_for(self, law: LossLaw, N: ArrayLike, loss: ArrayLike) -> Array:
        """Return the fewest tokens with which N parameters, quantised, reach a loss; nan where none do (numeric).

        With enough bits to spare a second number of tokens, beyond `critical_tokens`, gives the same loss.

        >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
        >>> four = Quantisation(coefficient=6.85206e-5, gamma_D=0.5068, gamma_N=0.3439, bits=4)
        >>> [f"{four.tokens_for(law, N, 2.0453):.4g}" for N in (10e9, 13e9)]
        ['2.059e+12', '9.891e+11']
        """
        check_form(law)
        beta, gamma, both = law.beta, self.gamma_D, law.beta + self.gamma_D
        with np.errstate(invalid="ignore", divide="ignore"):
            n = np.log(np.asarray(N, dtype=float))
            # Powers as exponentials of logs: they take a third of the time, over a million models.
            critical = (np.log(beta * law.B / (gamma * self.coefficient)) + self.gamma_N * n) / both
            least_sum = np.log(law.B * (both / gamma)) - beta * critical
            left = law.reducible(loss) - np.exp(np.log(law.A) - law.alpha * n)
            # In u = ln D - ln critical both terms, over their least sum, are (gamma e^(-beta u) + beta e^(gamma u)) /
            # (beta + gamma), whose log f is convex with its minimum 0 at u = 0. There sqrt(f) is nearly straight, so
            # that Newton's method takes a handful of steps to it even where the two roots all but meet.
            level = np.log(left) - least_sum
            wanted = np.sqrt(np.where(level >= 0.0, level, np.nan))
            data, ratio = np.log(gamma / both), beta / gamma
            # Where the data term alone would be: the root lies between that and 0.
            least = np.minimum((data - level) / beta, 0.0)
            u = np.maximum(-wanted * np.sqrt(2.0 / (beta * gamma)), least)
            for _ in range(_STEPS):
                harm = ratio * np.exp(both * u)
                value = np.sqrt(np.maximum(data - beta * u + np.log(1.0 + harm), 0.0))
                slope = gamma * harm - beta
                step = np.where(slope < 0.0, 2.0 * value * (wanted - value) * (1.0 + harm) / slope, 0.0)
                last, u = u, np.minimum(np.maximum(u + step, least), 0.0)
                if not np.any(np.abs(u - last) > _LAST_STEP):
                    break
            return np.asarray(np.exp(critical + u))


def check_form(law: LossLaw) -> None:
    """Refuse a law that precision does not extend.

    Raises
    ------
    InputError
        The law is of another form than E + A N^-alpha + B D^-beta.
    """
    if law.power != 1.0:
        raise InputError(
            f"law {law.name}: precision moves the terms of E + A N^-alpha + B D^-beta; a law of the {law.form} form "
            "takes none, choose one of the chinchilla form"
        )
