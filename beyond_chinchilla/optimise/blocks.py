"""Bills and iso-loss curves of a block of problems, as arrays over the block: what `elementwise` computes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.posynomial import Posynomial

Array = NDArray[np.float64]
# Of single or of double precision.
Real = NDArray[np.floating[Any]]

# A limit counts as met when it is over by no more than rounding.
_SLIP = 1e-12


def spread(values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return values broadcast to the shape of a batch, flat."""
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=float), shape)).reshape(-1)


def powers(posynomial: Posynomial) -> tuple[list[float], list[float]]:
    """Return the powers of N and of D, term by term."""
    p, r = ([term.power(variable) for term in posynomial.terms] for variable in ("params", "tokens"))
    return p, r


@dataclass(frozen=True)
class BlockBill:
    """A posynomial of a block of problems: ln coefficient of each term, and its powers of N and D."""

    logs: list[Real]
    p: list[float]
    r: list[float]

    @classmethod
    def of(cls, posynomial: Posynomial, shape: tuple[int, ...]) -> BlockBill:
        """Return a posynomial of scalar powers, its coefficients flat."""
        return cls([spread(np.log(term.coefficient), shape) for term in posynomial.terms], *powers(posynomial))

    def cut(self, chosen: slice | NDArray[np.intp]) -> BlockBill:
        """Return that of some problems."""
        return BlockBill([log[chosen] for log in self.logs], self.p, self.r)

    def terms(self, n: Real | float, d: Real | float) -> list[Real]:
        """Return ln of each term."""
        # A power of nought is left out, not multiplied: n or d may be infinite.
        logs = [log + (n if p == 1.0 else p * n) if p else log for log, p in zip(self.logs, self.p, strict=True)]
        return [log + (d if r == 1.0 else r * d) if r else log for log, r in zip(logs, self.r, strict=True)]

    def weights(self, n: Real | float, d: Real | float) -> tuple[Real, list[Real]]:
        """Return ln of the largest term, and each term relative to it."""
        terms = self.terms(n, d)
        peak = reduce(np.maximum, terms)
        return peak, [np.exp(term - peak) for term in terms] if len(terms) > 1 else [np.ones_like(peak)]

    def log_value(self, n: Real, d: Real) -> Real:
        """Return ln of the sum."""
        peak, weights = self.weights(n, d)
        return peak if len(weights) == 1 else peak + np.log(sum(weights[1:], weights[0]))

    def broken(self, n: Real, d: Real) -> NDArray[np.bool_]:
        """Say where the sum is above 1 by more than rounding, or not a number."""
        return ~(self.log_value(n, d) <= _SLIP * (1.0 + np.abs(n) + np.abs(d)))


def mix(weights: list[Real], factors: Sequence[float]) -> Real:
    """Return the sum of factor x weight."""
    total = np.zeros_like(weights[0])
    for weight, factor in zip(weights, factors, strict=True):
        if factor:
            total += weight if factor == 1.0 else factor * weight
    return total


@dataclass(frozen=True)
class BlockCurve:
    """The iso-loss curves of a block: `least_n` and `least_d`, the logs that N and D tend to at its ends.

    `alpha` and `beta` are scalars where all problems have one law.
    """

    alpha: Any
    beta: Any
    least_n: Real
    least_d: Real

    @classmethod
    def of(cls, law: LossLaw, log_R: Array, shape: tuple[int, ...]) -> BlockCurve:
        """Return the curves of a law, or of one law a problem, at ln of the reducible loss."""
        A, alpha, B, beta = (spread(x, shape) if np.ndim(x) else x for x in (law.A, law.alpha, law.B, law.beta))
        return cls(alpha, beta, (np.log(A) - log_R) / alpha, (np.log(B) - log_R) / beta)

    def cut(self, chosen: slice | NDArray[np.intp]) -> BlockCurve:
        """Return those of some problems."""
        alpha, beta = (x[chosen] if isinstance(x, np.ndarray) else x for x in (self.alpha, self.beta))
        return BlockCurve(alpha, beta, self.least_n[chosen], self.least_d[chosen])

    def single(self) -> BlockCurve:
        """Return the same curves in single precision."""
        fields = (self.alpha, self.beta, self.least_n, self.least_d)
        return BlockCurve(*(x.astype(np.float32) if isinstance(x, np.ndarray) else x for x in fields))

    def in_units(self, z: Real) -> tuple[Real, Real, Real, Real]:
        """Return ln N and ln D less their least, and derivatives -(1 - u)/alpha and u/beta, u the model's share."""
        e = np.exp(-z)
        one_plus = 1.0 + e
        n = np.log(one_plus)
        # Of u and 1 - u the smaller one too keeps all its digits.
        u = 1.0 / one_plus
        return n / self.alpha, (n + z) / self.beta, e * u / -self.alpha, u / self.beta

    def at(self, z: Real) -> tuple[Real, Real]:
        """Return ln N and ln D."""
        n, d, _, _ = self.in_units(z)
        return self.least_n + n, self.least_d + d

    def along(self, bill: BlockBill, z: Real) -> tuple[Real, Real]:
        """Return ln of a posynomial at z and its derivative in z."""
        n, d, n_slope, d_slope = self.in_units(z)
        peak, weights = bill.weights(self.least_n + n, self.least_d + d)
        total = sum(weights[1:], weights[0])
        return peak + np.log(total), (n_slope * mix(weights, bill.p) + d_slope * mix(weights, bill.r)) / total

    def balance(self, cost: BlockBill, z: Real) -> tuple[Real, Real]:
        """Return G(z) = z + ln(alpha E[r]) - ln(beta E[p]) and its derivative; G has the sign of d ln cost/dz.

        E is the mean of the terms' powers under their shares. The bill is in units of the least N and D.
        """
        n, d, n_slope, d_slope = self.in_units(z)
        _, weights = cost.weights(n, d)
        pp, pr, rr = zip(*((p * p, p * r, r * r) for p, r in zip(cost.p, cost.r, strict=True)), strict=True)
        in_n, in_d, cross = mix(weights, cost.p), mix(weights, cost.r), mix(weights, pr)
        slope = 1.0 + n_slope * (cross / in_d - mix(weights, pp) / in_n)
        slope += d_slope * (mix(weights, rr) / in_d - cross / in_n)
        return z + np.log(self.alpha / self.beta * in_d / in_n), slope
