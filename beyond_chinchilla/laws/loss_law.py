"""A loss law: how the loss of a language model falls with parameters and training tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.posynomial import Posynomial, Term
from beyond_chinchilla.units import format_number, format_times

Array = NDArray[np.float64]

# Pearce & Song 2024: total parameters = N + 47491 N^(1/3) for N non-embedding ones, from Kaplan's
# vocabulary and aspect ratio.
EMBEDDING_COEFFICIENT = 47491.0
EMBEDDING_POWER = 1.0 / 3.0
# A size is something to the power of 1/exponent: of a smaller exponent a double has no digits of it.
LEAST_EXPONENT = 1e-9
_LEAST = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class FittedRange:
    """What the runs behind a law covered; each a (low, high) pair or None where it is not known.

    Parameters
    ----------
    params : pair of float, optional
        Parameters, counted as the law counts them.
    tokens : pair of float, optional
        Training tokens.
    tokens_per_param : pair of float, optional
        Their ratio.
    flops : pair of float, optional
        Training FLOPs, 6ND.
    """

    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    tokens_per_param: tuple[float, float] | None = None
    flops: tuple[float, float] | None = None

    def departures(self, N: float, D: float) -> list[str]:
        """Say, quantity by quantity, how far a model of N parameters and D tokens lies outside."""
        found = []
        for label, value, bounds in (
            ("params", N, self.params),
            ("tokens", D, self.tokens),
            ("tokens per param", D / N, self.tokens_per_param),
            ("training FLOPs", 6.0 * N * D, self.flops),
        ):
            if bounds is None:
                continue
            low, high = bounds
            # Published bounds are rounded: a tenth over the edge is no departure.
            if value > 1.1 * high:
                found.append(
                    f"{format_number(value)} {label} is {format_times(value / high)} the largest fitted "
                    f"({format_number(high)})"
                )
            elif value < low / 1.1:
                found.append(
                    f"{format_number(value)} {label} is {format_times(value / low)} the smallest fitted "
                    f"({format_number(low)})"
                )
        return found

    def to_dict(self) -> dict[str, list[float] | None]:
        """Return the bounds by name."""
        pairs = {
            "params": self.params,
            "tokens": self.tokens,
            "tokens_per_param": self.tokens_per_param,
            "flops": self.flops,
        }
        return {name: None if pair is None else list(pair) for name, pair in pairs.items()}


@dataclass(frozen=True)
class ComputeOptimal:
    """The model of least training compute for its loss: N*, D*, 6 N* D* and the loss (all numeric)."""

    params: Array
    tokens: Array
    flops: Array
    loss: Array


@dataclass(frozen=True, kw_only=True)
class LossLaw:
    """L(N, D) = E + (A N^-alpha + B D^-beta)^power [nats/token].

    With power = 1 it is Hoffmann et al. 2022, Eq. 2. With E = 0 and power = alpha_D it is Kaplan et al. 2020,
    Eq. 1.5, where A = N_c^(alpha_N/alpha_D), alpha = alpha_N/alpha_D, B = D_c and beta = 1. Either way the
    *reducible part* R = (L - E)^(1/power) = A N^-alpha + B D^-beta is a posynomial, which is all that the
    optimisers need.

    Parameters
    ----------
    E : float
        Irreducible loss [nats/token], >= 0.
    A, B : float
        Coefficients of the model and data terms, > 0.
    alpha, beta : float
        Their exponents, > 0. Below `LEAST_EXPONENT` a loss can be had of a size, but no size of a loss.
    power : float
        Exponent of the sum; 1 except in Kaplan's form.
    counts : {"total", "non-embedding"}
        Which parameters N counts. Costs and plans always speak of total parameters: `total_params` and
        `counted_params` convert.
    name, source, note : str
        For people.
    fitted : FittedRange
        Range of the runs behind the law.
    standard_errors : mapping of str to float
        Of the parameters, where published. Marginal: they are strongly correlated.

    Raises
    ------
    InputError
        A parameter that is not finite or not positive (all of them at once).

    Examples
    --------
    >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
    >>> round(float(law.loss(70e9, 1.4e12)), 4)
    1.9323
    """

    E: float
    A: float
    alpha: float
    B: float
    beta: float
    power: float = 1.0
    counts: Literal["total", "non-embedding"] = "total"
    name: str = "custom"
    source: str = ""
    note: str = ""
    fitted: FittedRange = FittedRange()
    standard_errors: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mistakes = []
        for key in ("E", "A", "alpha", "B", "beta", "power"):
            value = getattr(self, key)
            low_enough = value >= 0 if key == "E" else value > 0
            if not (np.isfinite(value) and low_enough):
                mistakes.append(f"law {self.name}: {key} must be {'>=' if key == 'E' else '>'} 0, not {value}")
        if mistakes:
            raise InputError("\n".join(mistakes))

    @property
    def form(self) -> str:
        """Return ``"chinchilla"``, or ``"kaplan"`` where the sum is raised to a power."""
        return "chinchilla" if self.power == 1.0 else "kaplan"

    @property
    def data_share(self) -> float:
        """q = beta / (alpha + beta): the model term's share of R at the compute-optimal point."""
        return self.beta / (self.alpha + self.beta)

    # The law and its inverses

    def loss(self, N: ArrayLike, D: ArrayLike) -> Array:
        """Return the loss [nats/token] of N parameters trained on D tokens (numeric, broadcasting).

        N is counted as the law counts it (`counts`). Hoffmann et al. 2022, Eq. 2.
        """
        N, D = np.asarray(N, dtype=float), np.asarray(D, dtype=float)
        with np.errstate(all="ignore"):
            R = _falling(self.A, N, self.alpha) + _falling(self.B, D, self.beta)
            return np.asarray(self.E + R**self.power)

    def reducible(self, loss: ArrayLike) -> Array:
        """Return R = (loss - E)^(1/power), the value that the posynomial must reach; nan at or below E."""
        with np.errstate(all="ignore"):
            gap = np.asarray(loss, dtype=float) - self.E
            return np.where(gap > 0, np.abs(gap) ** (1.0 / self.power), np.nan)

    def loss_of_reducible(self, R: ArrayLike) -> Array:
        """Return the loss [nats/token] at which the reducible part is R."""
        with np.errstate(all="ignore"):
            return np.asarray(self.E + np.asarray(R, dtype=float) ** self.power)

    def reducible_elasticity(self, loss: ArrayLike) -> Array:
        """Return d ln R / d ln loss."""
        loss = np.asarray(loss, dtype=float)
        with np.errstate(all="ignore"):
            return np.asarray(loss / ((loss - self.E) * self.power))

    def tokens_for(self, N: ArrayLike, loss: ArrayLike) -> Array:
        """Return the tokens with which N parameters reach a loss; nan where no number of tokens does.

        >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
        >>> round(float(law.tokens_for(7e9, 2.0453)) / 1e12, 3)
        1.239
        """
        with np.errstate(all="ignore"):
            left = self.reducible(loss) - _falling(self.A, np.asarray(N, dtype=float), self.alpha)
            return np.where(left > 0, _size(self.B, np.where(left > 0, left, 1.0), self.beta), np.nan)

    def params_for(self, D: ArrayLike, loss: ArrayLike) -> Array:
        """Return the parameters that reach a loss on D tokens; nan where no number of parameters does."""
        with np.errstate(all="ignore"):
            left = self.reducible(loss) - _falling(self.B, np.asarray(D, dtype=float), self.beta)
            return np.where(left > 0, _size(self.A, np.where(left > 0, left, 1.0), self.alpha), np.nan)

    def posynomial(self) -> Posynomial:
        """Return the reducible part as a posynomial in ``params`` (as the law counts them) and ``tokens``."""
        return Posynomial(
            (
                Term(label="model size", coefficient=self.A, powers={"params": -self.alpha}),
                Term(label="data", coefficient=self.B, powers={"tokens": -self.beta}),
            )
        )

    # Compute-optimal point

    def compute_optimal(
        self,
        *,
        params: ArrayLike | None = None,
        tokens: ArrayLike | None = None,
        flops: ArrayLike | None = None,
        loss: ArrayLike | None = None,
    ) -> ComputeOptimal:
        """Return the compute-optimal model, from any one of its four figures (numeric).

        Minimises 6ND at the loss: the model term is q R and the data term (1 - q) R (Hoffmann et al. 2022,
        Eq. 4, solved for each variable). N is counted as the law counts it.

        Raises
        ------
        InputError
            Not exactly one figure is given.

        Examples
        --------
        >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
        >>> f"{law.compute_optimal(params=30e9).tokens:.4g}"
        '1.556e+12'
        """
        given = {"params": params, "tokens": tokens, "flops": flops, "loss": loss}
        stated = [name for name, value in given.items() if value is not None]
        if len(stated) != 1:
            raise InputError(f"compute_optimal needs exactly one of {', '.join(given)}; got {stated or 'none'}")
        # 1 - q would lose digits where beta is by far the larger.
        q, rest = self.data_share, self.alpha / (self.alpha + self.beta)
        with np.errstate(all="ignore"):
            if params is not None:
                R = _falling(self.A, np.asarray(params, dtype=float), self.alpha) / q
            elif tokens is not None:
                R = _falling(self.B, np.asarray(tokens, dtype=float), self.beta) / rest
            elif loss is not None:
                R = self.reducible(loss)
            else:
                assert flops is not None
                G = _size(self.alpha * self.A, self.beta * self.B, self.alpha + self.beta)
                N = G * (np.asarray(flops, dtype=float) / 6.0) ** q
                R = _falling(self.A, N, self.alpha) / q
            N = _size(self.A, q * R, self.alpha)
            D = _size(self.B, rest * R, self.beta)
            # What was given comes back to the last bit.
            N = N if params is None else np.asarray(params, dtype=float)
            D = D if tokens is None else np.asarray(tokens, dtype=float)
            return ComputeOptimal(params=N, tokens=D, flops=6.0 * N * D, loss=self.loss_of_reducible(R))

    # How parameters are counted

    def total_params(self, N: ArrayLike) -> Array:
        """Return all parameters, embeddings included, of a model that the law counts as N."""
        return self.total_params_posynomial().value({"params": np.asarray(N, dtype=float)})

    def total_params_posynomial(self) -> Posynomial:
        """Return the total number of parameters as a posynomial in ``params`` as the law counts them.

        Pearce & Song 2024 for non-embedding counts: N + 47491 N^(1/3).
        """
        terms = [Term(label="parameters", coefficient=1.0, powers={"params": 1.0})]
        if self.counts == "non-embedding":
            terms.append(
                Term(label="embeddings", coefficient=EMBEDDING_COEFFICIENT, powers={"params": EMBEDDING_POWER})
            )
        return Posynomial(tuple(terms), "params")

    def counted_params(self, total: ArrayLike) -> Array:
        """Return N as the law counts it for a model of `total` parameters: the inverse of `total_params`.

        >>> kaplan = LossLaw(E=0, A=1, alpha=1, B=1, beta=1, power=0.1, counts="non-embedding")
        >>> f"{kaplan.counted_params(kaplan.total_params(1.5e9)):.10g}"
        '1500000000'
        """
        total = np.asarray(total, dtype=float)
        if self.counts == "total":
            return total
        # u^3 + k u - total = 0 in u = N^(1/3) has one real root; this form of Cardano's does not cancel.
        half = np.arcsinh(1.5 * total / EMBEDDING_COEFFICIENT * np.sqrt(3.0 / EMBEDDING_COEFFICIENT)) / 3.0
        return np.asarray((2.0 * np.sqrt(EMBEDDING_COEFFICIENT / 3.0) * np.sinh(half)) ** 3)

    def to_dict(self) -> dict[str, Any]:
        """Return the law as JSON holds it."""
        row: dict[str, Any] = {"name": self.name, "form": self.form}
        row |= {"E": self.E, "A": self.A, "alpha": self.alpha, "B": self.B, "beta": self.beta}
        if self.power != 1.0:
            row["power"] = self.power
        if self.counts != "total":
            row["counts"] = self.counts
        return row


def _falling(coefficient: Any, size: Array, exponent: Any) -> Array:
    """Return coefficient x size^-exponent: in logs where the power alone leaves the range of a double."""
    power = size**-exponent
    # A whole exponent would make something of a size below zero.
    fine = (power >= _LEAST) & (power < np.inf) & (size > 0)
    plain = np.asarray(coefficient * power)
    return plain if np.all(fine) else np.where(fine, plain, np.exp(np.log(coefficient) - exponent * np.log(size)))


def _size(coefficient: Any, left: Any, exponent: Any) -> Array:
    """Return (coefficient/left)^(1/exponent): in logs where the quotient leaves the range of a double."""
    quotient = np.divide(coefficient, left)
    fine = (quotient >= _LEAST) & (quotient < np.inf)
    plain = np.asarray(quotient ** (1.0 / exponent))
    return plain if np.all(fine) else np.where(fine, plain, np.exp((np.log(coefficient) - np.log(left)) / exponent))
