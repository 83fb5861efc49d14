"""Any bill that does not fall in D, under limits: a safeguarded Newton method on the iso-loss curve.

Along the curve ln D is convex in ln N, so that the bill has one minimum. In the coordinate z of `iso_loss` ln N and
ln D are both convex: so is every limit whose terms fall in neither. Each cuts an interval out of the curve, and the
plan is the point of their intersection that is nearest to the unlimited optimum. Floors on N, D and D/N are monotone
in z. Only where floors hold both N and D up does the target go slack: then their corner is the plan.

All problems of a batch advance together; one that has converged leaves. Nothing that is done to a problem depends on
its neighbours: a batch gives to the last bit what its problems give one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LEAST_EXPONENT, LossLaw
from beyond_chinchilla.optimise.blocks import Array, BlockBill, BlockCurve, Real, powers, spread
from beyond_chinchilla.posynomial import Posynomial

Codes = NDArray[np.int8]

BLOCK = 1 << 14
_DRAFT_STEPS = 3
_STEPS = 100
_TOLERANCE = 1e-14
# Newton's method squares what it misses by: after a step of this size nothing is left but rounding.
_LAST_STEP = 1e-10
_BALANCED = 1e-6
_WIDEST = 600.0
# Of smaller numbers a double loses digits.
_LEAST = float(np.finfo(float).tiny)


class Status(IntEnum):
    """What happened to one problem of a batch."""

    OPTIMAL = 0
    INVALID = 1
    """A target at or below E, or a coefficient that is not a number."""
    INFEASIBLE = 2
    """No point of the curve, and no corner of the floors, meets every limit."""
    UNBOUNDED = 3
    """The bill falls for ever towards larger or towards smaller models; or N* or D* is too large or too small for a
    double, or the law too flat (`LEAST_EXPONENT`) to tell."""
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
    status: Codes
    iterations: NDArray[np.intp]
    residual: Array


def accepts(cost: Posynomial, limits: Sequence[Posynomial] = ()) -> bool:
    """Say whether the bill does not fall in tokens and every limit cuts an interval.

    A bill that falls in params has one minimum on the curve as well, but floors might hold it off the curve.
    """
    p, r = powers(cost)
    ceilings = all(_never_falls(*powers(limit)) for limit in limits)
    if _never_falls(p, r):
        return ceilings or all(_never_falls(*powers(x)) or _held_up(*powers(x)) is not None for x in limits)
    # One that falls in params and knows no tokens may have a minimum that no term in tokens holds.
    return ceilings and min(r) >= 0 and max(r) > 0


def minimise(law: LossLaw, loss: ArrayLike, cost: Posynomial, limits: Sequence[Posynomial] = ()) -> Minima:
    """Minimise the bill over all N, D that reach the loss and keep every limit.

    Parameters
    ----------
    law : LossLaw
        Of a `LawBatch`, one law a problem.
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
    shapes = [np.shape(loss), np.shape(law.alpha)] + [
        np.shape(term.coefficient) for p in (cost, *limits) for term in p.terms
    ]
    shape = np.broadcast_shapes(*shapes)
    size = int(np.prod(shape))
    with np.errstate(all="ignore"):
        log_R = spread(np.log(law.reducible(loss)), shape)
        curves = BlockCurve.of(law, log_R, shape)
        bills = [BlockBill.of(posynomial, shape) for posynomial in (cost, *limits)]
        parts = [
            _solve(curves.cut(block), log_R[block], bills[0].cut(block), [bill.cut(block) for bill in bills[1:]])
            for block in (slice(start, start + BLOCK) for start in range(0, max(size, 1), BLOCK))
        ]
    columns = [np.concatenate(column).reshape(shape) for column in zip(*parts, strict=True)]
    return Minima(*columns)


def _never_falls(p: list[float], r: list[float]) -> bool:
    return min(p) >= 0 and min(r) >= 0


def _held_up(p: list[float], r: list[float]) -> str | None:
    """Return the variable that a limit is a floor of: all its terms fall in it alike, and none in the other."""
    if max(p) < 0 <= min(r) and len(set(p)) == 1:
        return "params"
    return "tokens" if max(r) < 0 <= min(p) and len(set(r)) == 1 else None


def _logit(log_u: Real) -> Real:
    """Return ln(u/(1 - u)), and the end of the curve where u is no share."""
    return np.where(log_u < 0, np.minimum(log_u - np.log(-np.expm1(log_u)), _WIDEST), _WIDEST)


def _solve(curve: BlockCurve, log_R: Real, cost: BlockBill, limits: list[BlockBill]) -> tuple[Any, ...]:
    """Solve one block: the unlimited optimum, then what the limits make of it where it breaks one."""
    z, status, iterations, residual = _stationary(curve, cost)
    n, d = curve.at(z)
    z, moved = _respect(curve, limits, z, n, d)
    if moved.size:
        cuts = [limit.cut(moved) for limit in limits]
        n[moved], d[moved], status[moved] = _settle(curve.cut(moved), cuts, z[moved], status[moved])
    coefficients = [log for bill in (cost, *limits) for log in bill.logs]
    status[~np.isfinite(reduce(np.add, coefficients, log_R))] = Status.INVALID
    lost = status != Status.OPTIMAL
    n[lost] = d[lost] = np.nan
    N, D = np.exp(n), np.exp(d)
    held = (np.minimum(N, D) >= _LEAST) & (np.maximum(N, D) < np.inf)
    held &= np.minimum(curve.alpha, curve.beta) >= LEAST_EXPONENT
    beyond = np.flatnonzero(~lost & ~held)
    N[beyond] = D[beyond] = np.nan
    # Next to the end of the curve a limit is kept by more tokens than numbers hold alone.
    status[beyond] = np.where(np.isin(beyond, moved), np.int8(Status.INFEASIBLE), np.int8(Status.UNBOUNDED))
    return N, D, status, iterations, residual


def _stationary(curve: BlockCurve, cost: BlockBill) -> tuple[Real, Codes, NDArray[np.intp], Real]:
    """Find where the bill is stationary on the curve.

    `BlockCurve.balance` rises in z, nearly linearly: Newton's method from the compute-optimal point takes a handful of
    steps, and a bracket catches what it throws too far. The first few steps need no more than single precision.
    """
    size = curve.least_n.size
    iterations, residual = np.full(size, _DRAFT_STEPS, dtype=np.intp), np.full(size, np.inf)
    if not (max(cost.p) > 0 and max(cost.r) > 0):
        # Ever smaller models are ever cheaper, or ever larger ones.
        end = _WIDEST if max(cost.p) > 0 else -_WIDEST
        return np.full(size, end), np.full(size, Status.UNBOUNDED, dtype=np.int8), 0 * iterations, np.zeros(size)
    # In units of the least N and D all curves are one, and the logs of the terms are small.
    terms = cost.terms(curve.least_n, curve.least_d)
    peak = reduce(np.maximum, terms)
    cost = BlockBill([term - peak for term in terms], cost.p, cost.r)
    single = BlockBill([log.astype(np.float32) for log in cost.logs], cost.p, cost.r)
    start = np.log(curve.beta / curve.alpha)
    draft = np.full_like(single.logs[0], start)
    drafted = curve.single()
    for _ in range(_DRAFT_STEPS):
        G, slope = drafted.balance(single, draft)
        draft -= G / slope
    found = np.where(np.abs(draft) < _WIDEST, draft.astype(float), start)

    left, z = np.arange(size), found.copy()
    low, high, last = np.full(size, -_WIDEST), np.full(size, _WIDEST), np.zeros(size)
    for _ in range(_STEPS):
        G, slope = curve.balance(cost, z)
        under = G < 0
        low, high = np.where(under, z, low), np.where(under, high, z)
        move = -G / slope
        step = z + move
        # Where G bends sharply Newton's method may go to and fro for ever: then not.
        bounces = (move * last < 0) & (np.abs(move) > 0.5 * np.abs(last))
        newton = (slope > 0) & (step >= low) & (step <= high) & ~bounces
        step = np.where(newton, step, 0.5 * (low + high))
        missed = np.abs(step - z) / np.maximum(1.0, np.abs(z))
        # Where the mean power of N nearly vanishes G is so steep that a short step proves nothing.
        missed[newton & (np.abs(G) > _BALANCED)] = np.inf
        found[left], residual[left] = step, missed
        iterations[left] += 1
        moving = np.flatnonzero((missed > np.where(newton, _LAST_STEP, _TOLERANCE)) & np.isfinite(curve.least_n))
        if moving.size == 0:
            break
        z, low, high, last = (x[moving] for x in (step, low, high, move))
        left, cost, curve = left[moving], cost.cut(moving), curve.cut(moving)
    status = np.where(residual <= _LAST_STEP, np.int8(Status.OPTIMAL), np.int8(Status.NOT_CONVERGED))
    return found, status, iterations, residual


def _respect(curve: BlockCurve, limits: list[BlockBill], z: Real, n: Real, d: Real) -> tuple[Real, NDArray[np.intp]]:
    """Return the point nearest to z at which every limit that z breaks is met, and the problems where it breaks any.

    The bill rises away from z on both sides and each limit keeps an interval, so that this is the best point, if any
    is; the caller checks that one is.
    """
    furthest, moved = z.copy(), np.zeros(z.size, dtype=bool)
    for limit in limits:
        broken = np.flatnonzero(limit.broken(n, d))
        if broken.size == 0:
            continue
        start, moved[broken] = z[broken], True
        end = _end(curve.cut(broken), limit.cut(broken), start)
        further = np.abs(end - start) > np.abs(furthest[broken] - start)
        furthest[broken] = np.where(further, end, furthest[broken])
    return furthest, np.flatnonzero(moved)


def _settle(curve: BlockCurve, limits: list[BlockBill], z: Real, status: Codes) -> tuple[Real, Real, Codes]:
    """Return ln N, ln D and status at z, where all limits ought to hold, or at the corner of the floors."""
    # A bill that falls for ever has its minimum where the limits stop it.
    status = np.where((status == Status.UNBOUNDED) & (np.abs(z) < _WIDEST), np.int8(Status.OPTIMAL), status)
    n, d = curve.at(z)
    corner_n, corner_d, held = _corner(curve, limits)
    n, d = np.where(held, corner_n, n), np.where(held, corner_d, d)
    status = np.where(held, np.int8(Status.OPTIMAL), status)
    for limit in limits:
        status[limit.broken(n, d) & (status != Status.NOT_CONVERGED)] = Status.INFEASIBLE
    return n, d, status


def _end(curve: BlockCurve, limit: BlockBill, z: Real) -> Real:
    """Return where a limit that z breaks begins to hold, walking in the direction in which it falls.

    A bound on N alone or on D alone is a point of the curve. Else Newton's method on the log of the limit: where that
    is convex in z it comes from the side on which it cannot overshoot; a bracket serves the others. Where the limit
    never holds, the walk ends wherever it stopped falling.
    """
    if len(limit.p) == 1 and limit.r[0] == 0.0:
        return _logit(curve.alpha * (curve.least_n + limit.logs[0] / limit.p[0]))
    if len(limit.p) == 1 and limit.p[0] == 0.0:
        return -_logit(curve.beta * (curve.least_d + limit.logs[0] / limit.r[0]))
    found, left = z.copy(), np.arange(z.size)
    direction = -np.sign(curve.along(limit, z)[1])
    outer: Real = z
    inner: Real = direction * _WIDEST
    for _ in range(_STEPS):
        value, slope = curve.along(limit, z)
        over = value > 0
        outer, inner = np.where(over, z, outer), np.where(over, inner, z)
        step = z - value / slope
        newton = ((step - outer) * (step - inner) <= 0) & np.isfinite(step)
        step = np.where(newton, step, 0.5 * (outer + inner))
        # Past its least value a limit rises again and will not hold: stay.
        step = np.where(over & (slope * direction >= 0), z, step)
        found[left] = step
        # The logs of N and D are some tens: their rounding moves the end by ten times the tolerance.
        tolerance = np.where(newton, _LAST_STEP, 10.0 * _TOLERANCE)
        moving = np.flatnonzero(np.abs(step - z) > tolerance * np.maximum(1.0, np.abs(z)))
        if moving.size == 0:
            break
        z, outer, inner, direction = (x[moving] for x in (step, outer, inner, direction))
        left, curve, limit = left[moving], curve.cut(moving), limit.cut(moving)
    return found


def _corner(curve: BlockCurve, limits: list[BlockBill]) -> tuple[Real, Real, NDArray[np.bool_]]:
    """Return the least N and D that the floors allow, and where that model already beats the target.

    Floors are limits that fall in a variable: N_min/N, D_min/D, r N/D and D/(r N). Two rounds find the least point of
    floors that refer to each other; a third would change it only if they contradict, which the caller then sees.
    """
    n, d = np.full(curve.least_n.size, -np.inf), np.full(curve.least_n.size, -np.inf)
    kinds = [_held_up(limit.p, limit.r) for limit in limits]
    if not {"params", "tokens"} <= set(kinds):
        return n, d, np.zeros(n.size, dtype=bool)
    for _ in range(2):
        for limit, held_up in zip(limits, kinds, strict=True):
            if held_up == "tokens":
                at_least = limit.log_value(n, np.zeros_like(d)) / -limit.r[0]
                d = np.where(np.isnan(at_least), d, np.maximum(d, at_least))
            elif held_up == "params":
                at_least = limit.log_value(np.zeros_like(n), d) / -limit.p[0]
                n = np.where(np.isnan(at_least), n, np.maximum(n, at_least))
    reached = np.logaddexp(curve.alpha * (curve.least_n - n), curve.beta * (curve.least_d - d))
    return n, d, np.isfinite(n) & np.isfinite(d) & (reached <= 0.0)
