"""Repetition: what tokens that are seen again are worth, and parameters beyond what the unique tokens can fill.

Muennighoff et al. 2023 (arXiv 2305.16264). The plain law is evaluated at *effective* tokens and parameters, which are
those themselves up to the unique tokens U and up to U_N, the compute-optimal size for U, and saturate beyond:

    D' = U + U R_D (1 - exp(-(D/U - 1) / R_D))          for D > U
    N' = U_N + U_N R_N (1 - exp(-(N/U_N - 1) / R_N))    for N > U_N,  U_N = (U G)^(beta/alpha) G

(their Eq. 5 and 6). The paper counts as unique the tokens that are used, min(U, D), also in U_N; here U_N belongs to
all unique tokens that there are, so that data without end is the plain law. The two differ only for a model that is
larger than is compute-optimal for less than one pass.

ln D' is concave in ln D and ln N' in ln N, so that the reducible loss stays convex in both: a problem with this law
keeps one optimum, and at any point a plain law touches it from below (`Repetition.tangent`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.units import format_number, format_size, format_times, parse_number

Array = NDArray[np.float64]

_TABLE = "repetition"
# A published bound is rounded: a tenth over it is no departure.
_ROUNDED = 1.1
# The least slope of a tangent: an exponent of 0 is no law, and after 700 R_D passes nothing is left to see.
_LEAST_SLOPE = 1e-300


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """The worth of repeated tokens and of excess parameters, with a plain law as its base.

    Parameters
    ----------
    unique_tokens : float
        U, the different tokens that there are to train on, > 0.
    R_D, R_N : float
        How fast further passes over the data, and multiples of U_N, lose their worth, > 0. Passes without end are
        worth 1 + R_D passes over new data.
    most_epochs : float, optional
        The most passes that the constants were fitted to.
    rises : float, optional
        Passes at which measured losses rose again, which the law does not say.
    base : str
        Name of the plain law that the constants were fitted with; empty where it is not in the catalogue.
    name, source : str
        For people.

    Raises
    ------
    InputError
        A number that is not positive and finite (all of them at once).

    Examples
    --------
    >>> repetition = Repetition(unique_tokens=1e11, R_D=15.387756, R_N=5.309743)
    >>> round(float(repetition.effective_tokens(4e11)) / 1e11, 4)
    3.7257
    """

    kind: ClassVar[str] = "repetition"

    unique_tokens: float
    R_D: float
    R_N: float
    most_epochs: float | None = None
    rises: float | None = None
    base: str = ""
    name: str = "custom"
    source: str = ""

    def __post_init__(self) -> None:
        stated = {"unique_tokens": self.unique_tokens, "R_D": self.R_D, "R_N": self.R_N}
        mistakes = [
            f"repetition {self.name}: {key} must be > 0 and finite, not {value:g}"
            for key, values in stated.items()
            for value in np.ravel(values)
            if not 0.0 < value < math.inf
        ]
        if mistakes:
            raise InputError("\n".join(mistakes))

    # Effective tokens and parameters

    def epochs(self, D: ArrayLike) -> Array:
        """Return the passes over the unique tokens, D/U."""
        return np.asarray(D, dtype=float) / self.unique_tokens

    @property
    def most_effective_tokens(self) -> float:
        """U (1 + R_D), what passes without end are worth [tokens]; nothing reaches it."""
        return self.unique_tokens * (1.0 + self.R_D)

    def effective_tokens(self, D: ArrayLike) -> Array:
        """Return D', the new tokens that D tokens are worth (numeric)."""
        return saturated(D, self.unique_tokens, self.R_D)

    def tokens_of(self, effective: ArrayLike) -> Array:
        """Return the tokens that are worth `effective` new ones; nan from U (1 + R_D) on.

        >>> repetition = Repetition(unique_tokens=1e11, R_D=15.387756, R_N=5.309743)
        >>> f"{repetition.tokens_of(3.7257e11):.4g}", float(repetition.tokens_of(17e11))
        ('4e+11', nan)
        """
        return unsaturated(effective, self.unique_tokens, self.R_D)

    def unique_params(self, law: LossLaw) -> Array:
        """Return U_N, the compute-optimal parameters for the unique tokens under the base law, or each of a batch."""
        _check_form(law)
        return np.asarray(law.compute_optimal(tokens=self.unique_tokens).params)

    def effective_params(self, law: LossLaw, N: ArrayLike) -> Array:
        """Return N', the parameters that N are worth for so little data (numeric)."""
        return saturated(N, self.unique_params(law), self.R_N)

    def params_of(self, law: LossLaw, effective: ArrayLike) -> Array:
        """Return the parameters that are worth `effective` ones; nan from U_N (1 + R_N) on."""
        return unsaturated(effective, self.unique_params(law), self.R_N)

    # The law and its inverses

    def loss(self, law: LossLaw, N: ArrayLike, D: ArrayLike) -> Array:
        """Return the loss [nats/token] of N parameters trained on D tokens, of which U are unique (numeric).

        >>> from beyond_chinchilla.laws.catalogue import law
        >>> base, repetition = law("muennighoff-2023"), published("muennighoff-2023", unique_tokens=25e9)
        >>> round(float(base.loss(4.2e9, 1e11)), 4), round(float(repetition.loss(base, 4.2e9, 1e11)), 4)
        (2.276, 2.2916)
        """
        return law.loss(self.effective_params(law, N), self.effective_tokens(D))

    def least_loss(self, law: LossLaw) -> float:
        """Return the loss that no size and no number of passes reaches: that of U_N (1 + R_N) and U (1 + R_D)."""
        return float(law.loss(self.unique_params(law) * (1.0 + self.R_N), self.most_effective_tokens))

    def tokens_for(self, law: LossLaw, N: ArrayLike, loss: ArrayLike) -> Array:
        """Return the tokens with which N parameters reach a loss; nan where no number of passes does."""
        return self.tokens_of(law.tokens_for(self.effective_params(law, N), loss))

    def params_for(self, law: LossLaw, D: ArrayLike, loss: ArrayLike) -> Array:
        """Return the parameters that reach a loss on D tokens; nan where no number of parameters does."""
        return self.params_of(law, law.params_for(self.effective_tokens(D), loss))

    def tangent(self, law: LossLaw, N: float, D: float) -> LossLaw:
        """Return the plain law that touches this one at (N, D), with value and gradient, and is nowhere above it.

        Each of the two terms of the reducible part is convex in the logarithm of its variable, and so above the power
        law through its point: exponents shrink by the slopes of ln N' and ln D'.

        >>> from beyond_chinchilla.laws.catalogue import law
        >>> base, repetition = law("muennighoff-2023"), published("muennighoff-2023", unique_tokens=25e9)
        >>> touching = repetition.tangent(base, 4.2e9, 1e11)
        >>> round(float(touching.loss(4.2e9, 1e11)), 4), round(touching.beta / base.beta, 4)
        (2.2916, 0.8835)
        """
        limit = self.unique_params(law)
        by_size = max(float(saturated_slope(N, limit, self.R_N)), _LEAST_SLOPE)
        by_data = max(float(saturated_slope(D, self.unique_tokens, self.R_D)), _LEAST_SLOPE)
        alpha, beta = law.alpha * by_size, law.beta * by_data
        size = math.log(law.A) - law.alpha * math.log(float(saturated(N, limit, self.R_N)))
        data = math.log(law.B) - law.beta * math.log(float(self.effective_tokens(D)))
        return replace(
            law,
            A=math.exp(size + alpha * math.log(N)),
            alpha=alpha,
            B=math.exp(data + beta * math.log(D)),
            beta=beta,
        )

    def elasticity(self, law: LossLaw, N: ArrayLike, D: ArrayLike) -> Array:
        """Return d ln R / d ln unique_tokens at fixed N and D, R the reducible part; never above 0 (numeric).

        D' is homogeneous in U and D, N' in U_N and N, and U_N goes with U^(beta/alpha).
        """
        limit = self.unique_params(law)
        model = law.A * saturated(N, limit, self.R_N) ** -law.alpha
        data = law.B * self.effective_tokens(D) ** -law.beta
        by_size = 1.0 - saturated_slope(N, limit, self.R_N)
        by_data = 1.0 - saturated_slope(D, self.unique_tokens, self.R_D)
        return np.asarray(-law.beta * (model * by_size + data * by_data) / (model + data))

    # For reports

    def departures(self, N: float, D: float) -> list[str]:  # noqa: ARG002 - asked as levers are
        """Say how far D tokens are beyond what the constants were fitted to; sizes are the base law's own matter."""
        epochs = float(self.epochs(D))
        said = []
        if self.most_epochs is not None and epochs > _ROUNDED * self.most_epochs:
            said.append(
                f"{format_number(epochs)} epochs is {format_times(epochs / self.most_epochs)} the most fitted "
                f"({format_number(self.most_epochs)})"
            )
        if self.rises is not None and epochs >= self.rises:
            said.append(
                f"{format_number(epochs)} epochs: measured losses rose again within {format_size(self.rises)}, "
                f"which {self.name} does not say"
            )
        return said

    def figures(self, law: LossLaw, N: float, D: float) -> dict[str, float]:
        """Return what a report shows of a plan."""
        return {
            "unique_tokens": self.unique_tokens,
            "epochs": float(self.epochs(D)),
            "effective_tokens": float(self.effective_tokens(D)),
            "effective_params": float(self.effective_params(law, N)),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the constants as JSON holds them."""
        return {"name": self.name, "R_D": self.R_D, "R_N": self.R_N, "unique_tokens": self.unique_tokens}


# Published constants


def names() -> list[str]:
    """Return the names of the published constants.

    >>> names()
    ['muennighoff-2023']
    """
    return row_names(_TABLE)


def published(name: str, *, unique_tokens: float) -> Repetition:
    """Return published constants, for so many unique tokens.

    Raises
    ------
    InputError
        No such name; the message has the nearest one.

    >>> published("muennighoff-2023", unique_tokens=1.5e12).R_D
    15.387756
    """
    known = names()
    if name not in known:
        raise InputError(f"no repetition law named '{name}'; {nearest(name, known)}")
    row: dict[str, Any] = load_row(_TABLE, name)
    return Repetition(
        unique_tokens=unique_tokens,
        R_D=float(row["values"]["R_D"]),
        R_N=float(row["values"]["R_N"]),
        most_epochs=parse_number(row["range"]["epochs"][1]),
        rises=parse_number(row["rises"]),
        base=row["base"],
        name=name,
        source=row["source"],
    )


# The one curve that both kinds of worth follow


def saturated(value: ArrayLike, limit: ArrayLike, R: ArrayLike) -> Array:
    """Return `value` up to `limit`, and limit (1 + R (1 - exp(-(value/limit - 1)/R))) beyond (numeric, broadcasting).

    >>> saturated([0.5, 1.0, 2.0, 1e9], 1.0, 15.387756).round(4).tolist()
    [0.5, 1.0, 1.9682, 16.3878]
    """
    limit, R = np.asarray(limit, dtype=float), np.asarray(R, dtype=float)
    # Passes beyond all numbers are worth what passes without end are.
    with np.errstate(all="ignore"):
        times = np.asarray(value, dtype=float) / limit
        beyond = np.maximum(times - 1.0, 0.0)
        return np.asarray(limit * (np.minimum(times, 1.0) - R * np.expm1(-beyond / R)))


def saturated_slope(value: ArrayLike, limit: ArrayLike, R: ArrayLike) -> Array:
    """Return d ln saturated / d ln value: 1 up to the limit, and falling to 0 beyond."""
    value, limit, R = (np.asarray(each, dtype=float) for each in (value, limit, R))
    with np.errstate(all="ignore"):
        beyond = np.maximum(value / limit - 1.0, 0.0)
        return np.asarray(value * np.exp(-beyond / R) / saturated(value, limit, R))


def unsaturated(saturated_value: ArrayLike, limit: ArrayLike, R: ArrayLike) -> Array:
    """Return the value that saturates to `saturated_value`; nan from limit (1 + R) on (numeric, broadcasting)."""
    limit, R = np.asarray(limit, dtype=float), np.asarray(R, dtype=float)
    with np.errstate(all="ignore"):
        times = np.asarray(saturated_value, dtype=float) / limit
        share = (np.maximum(times, 1.0) - 1.0) / R
        reached = share < 1.0
        further = -R * np.log1p(-np.where(reached, share, 0.0))
        return np.where(reached, limit * (np.minimum(times, 1.0) + further), np.nan)


def _check_form(law: LossLaw) -> None:
    if law.power != 1.0 or law.counts != "total":
        raise InputError(
            f"law {law.name}: repetition extends L = E + A N^-alpha + B D^-beta in all parameters, not Kaplan's form; "
            "take another law, such as muennighoff-2023"
        )
