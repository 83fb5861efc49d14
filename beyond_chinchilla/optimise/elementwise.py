"""Any bill that does not fall in D, under limits: a safeguarded Newton method on the iso-loss curve.

Along the curve ln D is convex in ln N, so that the bill has one minimum. In the coordinate z of `iso_loss` ln N and
ln D are both convex: so is every limit whose terms fall in neither. Each cuts an interval out of the curve, and the
plan is the point of their intersection that is nearest to the unlimited optimum. Floors on N, D and D/N are monotone
in z. Only where floors hold both N and D up does the target go slack: then their corner is the plan.

All problems of a batch advance together; a problem that has converged no longer moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.posynomial import Posynomial

Array = NDArray[np.float64]

BLOCK = 1 << 14
_STEPS = 100
_TOLERANCE = 1e-14
# Newton's method squares what it misses by: after a step of this size nothing is left but rounding.
_LAST_STEP = 1e-10
_WIDEST = 600.0
# A limit counts as met when it is over by no more than rounding.
_SLIP = 1e-12


class Status(IntEnum):
    """What happened to one problem of a batch."""

    OPTIMAL = 0
    INVALID = 1
    """A target at or below E, or a coefficient that is not a number."""
    INFEASIBLE = 2
    """No point of the curve, and no corner of the floors, meets every limit."""
    UNBOUNDED = 3
    """The bill falls for ever towards larger or towards smaller models."""
    NOT_CONVERGED = 4


@dataclass(frozen=True)
class Minima:
    """Plans of least cost, one per problem; arrays of the broadcast shape.

    Attributes
    ----------
    params, tokens : ndarray
        N* (as the law counts it) and D*; nan where `status` is not OPTIMAL.
    status : ndarray of int8
        `Status` of each problem.
    iterations : ndarray of int
        Newton steps of the unlimited problem.
    residual : ndarray
        Last step of z, relative; what it missed by before. Newton's method squares it, down to rounding.
    """

    params: Array
    tokens: Array
    status: NDArray[np.int8]
    iterations: NDArray[np.intp]
    residual: Array


def accepts(cost: Posynomial, limits: Sequence[Posynomial] = ()) -> bool:
    """Say whether the bill does not fall in tokens and every limit cuts an interval.

    A bill that falls in params has one minimum on the curve as well, but floors might hold it off the curve.
    """
    p, r = _powers(cost)
    ceilings = all(_never_falls(*_powers(limit)) for limit in limits)
    if _never_falls(p, r):
        return ceilings or all(_never_falls(*_powers(x)) or _held_up(*_powers(x)) is not None for x in limits)
    # One that falls in params and knows no tokens may have a minimum that no term in tokens holds.
    return ceilings and min(r) >= 0 and max(r) > 0


def minimise(law: LossLaw, loss: ArrayLike, cost: Posynomial, limits: Sequence[Posynomial] = ()) -> Minima:
    """Minimise the bill over all N, D that reach the loss and keep every limit.

    Parameters
    ----------
    law : LossLaw
    loss : numeric
        Target [nats/token].
    cost : Posynomial
        In ``params`` (as the law counts them) and ``tokens``; its coefficients may be arrays that broadcast with
        `loss`, its powers are scalars.
    limits : sequence of Posynomial
        Each must be at most 1. Either no power is negative, or the limit is a floor: all terms fall by the same
        power in one variable, and none falls in the other.

    Raises
    ------
    InputError
        A bill or limit of another kind, which needs the geometric program.
    """
    if not accepts(cost, limits):
        raise InputError(
            "a bill that falls in tokens, one that falls in params under floors, or a limit that is neither a "
            "ceiling nor a floor needs method gp"
        )
    shapes = [np.shape(loss)] + [np.shape(term.coefficient) for p in (cost, *limits) for term in p.terms]
    shape = np.broadcast_shapes(*shapes)
    size = int(np.prod(shape))
    with np.errstate(all="ignore"):
        log_R = _spread(np.log(law.reducible(loss)), shape)
        bills = [_Bill.of(posynomial, shape) for posynomial in (cost, *limits)]
        parts = [
            _solve(law, log_R[block], bills[0].cut(block), [bill.cut(block) for bill in bills[1:]])
            for block in (slice(start, start + BLOCK) for start in range(0, max(size, 1), BLOCK))
        ]
    columns = [np.concatenate(column).reshape(shape) for column in zip(*parts, strict=True)]
    return Minima(*columns)


def _spread(values: ArrayLike, shape: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=float), shape)).reshape(-1)


def _powers(posynomial: Posynomial) -> tuple[list[float], list[float]]:
    """Return the powers of N and of D, term by term."""
    p, r = ([float(np.asarray(t.powers.get(v, 0.0))) for t in posynomial.terms] for v in ("params", "tokens"))
    return p, r


def _never_falls(p: list[float], r: list[float]) -> bool:
    return min(p) >= 0 and min(r) >= 0


def _held_up(p: list[float], r: list[float]) -> str | None:
    """Return the variable that a limit is a floor of: all its terms fall in it alike, and none in the other."""
    if max(p) < 0 <= min(r) and len(set(p)) == 1:
        return "params"
    return "tokens" if max(r) < 0 <= min(p) and len(set(r)) == 1 else None


@dataclass(frozen=True)
class _Bill:
    """A posynomial of a block of problems: ln coefficient of each term, and its powers of N and D."""

    logs: list[Array]
    p: list[float]
    r: list[float]

    @classmethod
    def of(cls, posynomial: Posynomial, shape: tuple[int, ...]) -> _Bill:
        return cls(
            [_spread(np.log(np.asarray(term.coefficient, dtype=float)), shape) for term in posynomial.terms],
            [float(np.asarray(term.powers.get("params", 0.0))) for term in posynomial.terms],
            [float(np.asarray(term.powers.get("tokens", 0.0))) for term in posynomial.terms],
        )

    def cut(self, block: slice | NDArray[np.intp]) -> _Bill:
        return _Bill([log[block] for log in self.logs], self.p, self.r)

    def shares(self, n: Array, d: Array) -> tuple[Array, list[Array]]:
        """Return ln of the sum, and the share of each term."""
        # A power of nought is left out, not multiplied: n or d may be infinite.
        terms = [
            (log + p * n if p else log) + (r * d if r else 0.0)
            for log, p, r in zip(self.logs, self.p, self.r, strict=True)
        ]
        peak = np.maximum.reduce(terms)
        weights = [np.exp(term - peak) for term in terms]
        total = sum(weights[1:], weights[0])
        return peak + np.log(total), [weight / total for weight in weights]

    def log_value(self, n: Array, d: Array) -> Array:
        return self.shares(n, d)[0]


@dataclass(frozen=True)
class _Curve:
    """The iso-loss curves of a block."""

    law: LossLaw
    log_R: Array

    def cut(self, block: NDArray[np.intp]) -> _Curve:
        return _Curve(self.law, self.log_R[block])

    def at(self, z: Array) -> tuple[Array, Array, Array, Array]:
        """Return ln N and ln D, and their derivatives -(1 - u)/alpha and u/beta, u the model term's share."""
        e = np.exp(-np.abs(z))
        soft = np.log1p(e)
        n = (np.log(self.law.A) - self.log_R + np.maximum(-z, 0.0) + soft) / self.law.alpha
        d = (np.log(self.law.B) - self.log_R + np.maximum(z, 0.0) + soft) / self.law.beta
        # Of u and 1 - u the smaller one too keeps all its digits.
        less, more = e / (1.0 + e), 1.0 / (1.0 + e)
        return n, d, np.where(z >= 0, less, more) / -self.law.alpha, np.where(z >= 0, more, less) / self.law.beta

    def along(self, bill: _Bill, z: Array) -> tuple[Array, Array]:
        """Return ln of a posynomial at z and its derivative in z."""
        n, d, n_slope, d_slope = self.at(z)
        value, shares = bill.shares(n, d)
        slope = sum(share * (p * n_slope + r * d_slope) for share, p, r in zip(shares, bill.p, bill.r, strict=True))
        return value, np.asarray(slope)

    def balance(self, cost: _Bill, z: Array) -> tuple[Array, Array]:
        """Return G(z) = z + ln(alpha E[r]) - ln(beta E[p]) and its derivative; G has the sign of d ln cost/dz.

        E is the mean of the terms' powers under their shares.
        """
        alpha, beta = self.law.alpha, self.law.beta
        n, d, n_slope, d_slope = self.at(z)
        shares = cost.shares(n, d)[1]
        changes = [p * n_slope + r * d_slope for p, r in zip(cost.p, cost.r, strict=True)]
        mean_p, cov_p = _moments(shares, cost.p, changes)
        mean_r, cov_r = _moments(shares, cost.r, changes)
        G = z + np.log(alpha * mean_r) - np.log(beta * mean_p)
        return G, 1.0 + cov_r / mean_r - cov_p / mean_p


def _moments(shares: list[Array], powers: list[float], changes: list[Array]) -> tuple[Array, Array]:
    """Return the mean of the powers under the shares, and its derivative as the terms' logs change."""
    drift = sum(share * change for share, change in zip(shares, changes, strict=True))
    mean = np.asarray(sum(share * power for share, power in zip(shares, powers, strict=True)))
    covariance = sum(
        share * power * (change - drift) for share, power, change in zip(shares, powers, changes, strict=True)
    )
    return mean, np.asarray(covariance)


def _solve(law: LossLaw, log_R: Array, cost: _Bill, limits: list[_Bill]) -> tuple[Any, ...]:
    """Solve one block: the unlimited optimum, then the limits that it breaks, then the corner of the floors."""
    curve = _Curve(law, log_R)
    z, status, iterations, residual = _stationary(curve, cost)
    z = _respect(curve, limits, z)
    # A bill that falls for ever has its minimum where the limits stop it.
    status = np.where((status == Status.UNBOUNDED) & (np.abs(z) < _WIDEST), np.int8(Status.OPTIMAL), status)
    n, d, _, _ = curve.at(z)
    if limits:
        corner_n, corner_d, held = _corner(law, log_R, limits)
        n, d = np.where(held, corner_n, n), np.where(held, corner_d, d)
        status = np.where(held, np.int8(Status.OPTIMAL), status)
        for limit in limits:
            over = ~(limit.log_value(n, d) <= _slip(n, d)) & (status != Status.NOT_CONVERGED)
            status = np.where(over, np.int8(Status.INFEASIBLE), status)
    coefficients = [log for bill in (cost, *limits) for log in bill.logs]
    known = np.isfinite(log_R) & np.isfinite(sum(coefficients[1:], coefficients[0]))
    status = np.where(known, status, np.int8(Status.INVALID))
    good = status == Status.OPTIMAL
    return np.where(good, np.exp(n), np.nan), np.where(good, np.exp(d), np.nan), status, iterations, residual


def _slip(n: Array, d: Array) -> Array:
    """Return by how much the log of a limit may be over for rounding alone."""
    return np.asarray(_SLIP * (1.0 + np.abs(n) + np.abs(d)))


def _stationary(curve: _Curve, cost: _Bill) -> tuple[Array, NDArray[np.int8], NDArray[np.intp], Array]:
    """Find where the bill is stationary on the curve.

    `_Curve.balance` rises in z, nearly linearly: Newton's method from the compute-optimal point takes a handful of
    steps, and a bracket catches what it throws too far.
    """
    size = curve.log_R.size
    z = np.full(size, np.log(curve.law.beta / curve.law.alpha))
    iterations = np.zeros(size, dtype=np.intp)
    residual = np.full(size, np.inf)
    if not (max(cost.p) > 0 and max(cost.r) > 0):
        # Ever smaller models are ever cheaper, or ever larger ones.
        end = _WIDEST if max(cost.p) > 0 else -_WIDEST
        return np.full(size, end), np.full(size, Status.UNBOUNDED, dtype=np.int8), iterations, np.zeros(size)
    low, high = np.full(size, -_WIDEST), np.full(size, _WIDEST)
    moving = np.ones(size, dtype=bool)
    last = np.zeros(size)
    for _ in range(_STEPS):
        G, slope = curve.balance(cost, z)
        low, high = np.where(G < 0, z, low), np.where(G < 0, high, z)
        move = -G / slope
        step = z + move
        # Where G bends sharply Newton's method may go to and fro for ever: then not.
        bounces = (move * last < 0) & (np.abs(move) > 0.5 * np.abs(last))
        newton = (slope > 0) & (step >= low) & (step <= high) & ~bounces
        last = move
        step = np.where(newton, step, 0.5 * (low + high))
        residual = np.where(moving, np.abs(step - z) / np.maximum(1.0, np.abs(z)), residual)
        z = np.where(moving, step, z)
        iterations += moving
        moving &= ~(residual <= np.where(newton, _LAST_STEP, _TOLERANCE))
        if not moving.any():
            break
    status = np.where(moving, np.int8(Status.NOT_CONVERGED), np.int8(Status.OPTIMAL))
    return z, status, iterations, residual


def _respect(curve: _Curve, limits: list[_Bill], z: Array) -> Array:
    """Return the point nearest to z at which every limit that z breaks is met.

    The bill rises away from z on both sides and each limit keeps an interval, so that this is the best point, if any
    is; the caller checks that one is.
    """
    furthest = z.copy()
    for limit in limits:
        value, slope = curve.along(limit, z)
        n, d, _, _ = curve.at(z)
        broken = np.flatnonzero(value > _slip(n, d))
        if broken.size == 0:
            continue
        start = z[broken]
        end = _end(curve.cut(broken), limit.cut(broken), start, -np.sign(slope[broken]))
        further = np.abs(end - start) > np.abs(furthest[broken] - start)
        furthest[broken] = np.where(further, end, furthest[broken])
    return furthest


def _end(curve: _Curve, limit: _Bill, z: Array, direction: Array) -> Array:
    """Return where a limit that z breaks begins to hold, walking in the direction in which it falls.

    Newton's method on the log of the limit: where that is convex in z it comes from the side on which it cannot
    overshoot; a bracket serves the others. Where the limit never holds, the walk ends wherever it stopped falling.
    """
    outer, inner = z, direction * _WIDEST
    moving = np.ones(z.size, dtype=bool)
    for _ in range(_STEPS):
        value, slope = curve.along(limit, z)
        outer, inner = np.where(value > 0, z, outer), np.where(value > 0, inner, z)
        step = z - value / slope
        between = (step - outer) * (step - inner) <= 0
        step = np.where(between & np.isfinite(step), step, 0.5 * (outer + inner))
        # Past its least value a limit rises again and will not hold: stay.
        step = np.where((value > 0) & (slope * direction >= 0), z, step)
        # The logs of N and D are some tens: their rounding moves the end by this much.
        still = np.abs(step - z) <= 10.0 * _TOLERANCE * np.maximum(1.0, np.abs(z))
        z = np.where(moving, step, z)
        moving &= ~still
        if not moving.any():
            break
    return z


def _corner(law: LossLaw, log_R: Array, limits: list[_Bill]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return the least N and D that the floors allow, and where that model already beats the target.

    Floors are limits that fall in a variable: N_min/N, D_min/D, r N/D and D/(r N). Two rounds find the least point of
    floors that refer to each other; a third would change it only if they contradict, which the caller then sees.
    """
    n, d = np.full(log_R.size, -np.inf), np.full(log_R.size, -np.inf)
    for _ in range(2):
        for limit in limits:
            held_up = _held_up(limit.p, limit.r)
            if held_up == "tokens":
                at_least = limit.log_value(n, np.zeros_like(d)) / -limit.r[0]
                d = np.where(np.isnan(at_least), d, np.maximum(d, at_least))
            elif held_up == "params":
                at_least = limit.log_value(np.zeros_like(n), d) / -limit.p[0]
                n = np.where(np.isnan(at_least), n, np.maximum(n, at_least))
    reached = np.logaddexp(np.log(law.A) - law.alpha * n, np.log(law.B) - law.beta * d)
    return n, d, np.isfinite(n) & np.isfinite(d) & (reached <= log_R)
