"""The universal curve: the exact optimum of a N D + b N on an iso-loss curve, millions of plans a second.

At the optimum of Sardana et al. 2024, Eq. 3 and 6, one number decides everything: kappa = b / (a D_c), the
ratio of serving to training spend of the Chinchilla model of the same loss. With q = beta/(alpha + beta),

    s (1 + q s)^(1/beta) = kappa                       s = the same ratio at the optimum
    D*/D_c = (1 + q s)^(1/beta)
    N*/N_c = ((1 + q s)/(1 + s))^(1/alpha)

Derivation: in logs the stationarity conditions are alpha A N^-alpha = mu and beta B D^-beta = mu/(1 + s) for a
multiplier mu, with s = b/(a D). Their sum is R, so A N^-alpha = q R (1 + s)/(1 + q s) and B D^-beta =
(1 - q) R/(1 + q s); the first line is s D = b/a divided by D_c.

The first line has one unknown, solved here as growth g = ln(D*/D_c). With x = ln(q kappa) it reads
beta g = ln(1 + e^(x - g)), and e^(x - g) is q s. Nearly all of the time goes into exp and log in double
precision, so there are six of them a plan: two for x, two for the last Halley step, two for N*. The steps
before it run in single precision, D* = b/(a s) needs none, and neither does kappa = s (1 + q s)^(1/beta).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.laws.loss_law import LEAST_EXPONENT, LossLaw
from beyond_chinchilla.posynomial import Posynomial

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Real = TypeVar("Real", Array, Single)
Three = tuple[Array, Array, Array]

# The scratch arrays of one block stay in a core's second-level cache.
BLOCK = 1 << 14
_SERIES_BELOW = 0.05
# Halley steps in single precision and then in double, by the least beta for which they suffice: they leave at
# most 3e-14 of s.
_STEPS = ((0.28, 1, 1), (0.05, 2, 1), (0.0, 6, 2))
# Where |x - g| is larger, ln(1 + e^(x - g)) is 0 or x - g to the last bit, and single precision would overflow.
_LINEAR_BEYOND = 60.0
# A smaller spend ratio may have lost digits (to nothing, without serving): there D* is D_c to the last bit.
_NO_SERVING = 1e-200
# Of fewer tokens b/a may have left the range of a double on the way, of smaller figures digits are lost.
_FEW = 1e-100
_LEAST = float(np.finfo(float).tiny)
# The exponential of more is nearly all that a double holds.
_FAR = 700.0


class Status(IntEnum):
    """What happened to one problem of a batch."""

    OPTIMAL = 0
    INVALID = 1
    """A rate or loss that is not a number, or is negative; or no training cost and no serving cost."""
    OUT_OF_REACH = 2
    """The loss is at or below the law's irreducible loss E."""
    UNBOUNDED = 3
    """Training is free while serving is not, so that ever more tokens make the model ever smaller; or N*, D* or their
    spend ratio is too large or too small for a double, or the law too flat (`LEAST_EXPONENT`) to tell."""


@dataclass(frozen=True)
class Optimum:
    """Plans of least lifetime cost, one per problem.

    Attributes
    ----------
    params : ndarray of float, shape (...)
        N* [parameters, as the law counts them]; nan where `status` is not OPTIMAL.
    tokens : ndarray of float, shape (...)
        D* [tokens].
    spend_ratio : ndarray of float, shape (...)
        s: serving spend over training spend at the optimum.
    status : ndarray of int8, shape (...)
        `Status` of each problem.
    law : LossLaw
        The law that was asked.
    """

    params: Array
    tokens: Array
    spend_ratio: Array
    status: NDArray[np.int8]
    law: LossLaw

    @property
    def kappa(self) -> Array:
        """Return the spend ratio of the Chinchilla model of equal loss, s (1 + q s)^(1/beta), shape (...)."""
        with np.errstate(all="ignore"):
            return np.asarray(
                self.spend_ratio * np.exp(np.log1p(self.law.data_share * self.spend_ratio) / self.law.beta)
            )


def optimum(law: LossLaw, loss: ArrayLike, train_rate: ArrayLike, serve_rate: ArrayLike) -> Optimum:
    """Minimise ``train_rate * N * D + serve_rate * N`` over all N, D of the given loss.

    Parameters
    ----------
    law : LossLaw
        Of a `LawBatch`, one law a problem: its constants broadcast with the rest.
    loss : numeric
        Target [nats/token].
    train_rate : numeric
        a: cost of training, per parameter and token. In FLOPs, 6.
    serve_rate : numeric
        b: cost of serving the whole demand, per parameter. In FLOPs, 2 x tokens; 0 gives the Chinchilla point.

    Returns
    -------
    Optimum
        Arrays of the broadcast shape. Never raises for a value: see `Status`.

    Notes
    -----
    Sardana et al. 2024, Eq. 3 (FLOPs) and Eq. 6 (cost); see the module for the solution.

    Examples
    --------
    The paper's first case: 13B quality and 2T inference tokens.

    >>> from beyond_chinchilla.laws.catalogue import law
    >>> sardana = law("sardana-2024")
    >>> best = optimum(sardana, sardana.compute_optimal(params=13e9).loss, 6.0, 2 * 2e12)
    >>> f"{best.params:.4g} parameters on {best.tokens:.5g} tokens"
    '6.969e+09 parameters on 1.2478e+12 tokens'
    """
    loss, train_rate, serve_rate = (np.asarray(x, dtype=float) for x in (loss, train_rate, serve_rate))
    shape = np.broadcast_shapes(loss.shape, train_rate.shape, serve_rate.shape, np.shape(law.alpha))
    if np.ndim(law.alpha):
        return _optimum_by_law(law, (loss, train_rate, serve_rate), shape)
    asked = _flat(loss, shape), _flat(train_rate, shape), _flat(serve_rate, shape)
    params, tokens, ratio = np.empty(shape), np.empty(shape), np.empty(shape)
    status = np.full(shape, Status.OPTIMAL, dtype=np.int8)
    answer = params.reshape(-1), tokens.reshape(-1), ratio.reshape(-1)
    double = np.empty((6, min(BLOCK, params.size)))
    single = np.empty_like(double, dtype=np.float32)
    flat = min(law.alpha, law.beta) < LEAST_EXPONENT
    # A status says what an invalid element is; its arithmetic may make nan or inf in silence.
    with np.errstate(all="ignore"):
        for start in range(0, params.size, BLOCK):
            size = min(BLOCK, params.size - start)
            block = slice(start, start + size)
            here, found = _cut(asked, block), _cut(answer, block)
            _solve_block(law, here, found, double[:, :size], single[:, :size])
            if flat or not _is_ordinary(here, found):
                _redo_extremes(law, here, found)
                _judge_block(law, here, found, status.reshape(-1)[block])
    return Optimum(params=params, tokens=tokens, spend_ratio=ratio, status=status, law=law)


def _optimum_by_law(law: LossLaw, asked: Three, shape: tuple[int, ...]) -> Optimum:
    """Return `optimum` where every problem has a law of its own: the same equations, a column for each constant."""
    status = np.full(shape, Status.OPTIMAL, dtype=np.int8)
    with np.errstate(all="ignore"):
        params, tokens, ratio = (np.broadcast_to(x, shape).copy() for x in _solve_in_logs(law, asked))
        _judge_block(law, asked, (params, tokens, ratio), status)
    return Optimum(params=params, tokens=tokens, spend_ratio=ratio, status=status, law=law)


def _solve_in_logs(law: LossLaw, asked: Three) -> Three:
    """Return N*, D* and s: the same equations with nothing on the way that leaves the range of a double."""
    loss, train_rate, serve_rate = asked
    log_q, log_rest = _log_shares(law)
    log_R = np.log(loss - law.E) / law.power
    log_D = (np.log(law.B) - log_rest - log_R) / law.beta
    log_rates = np.log(serve_rate) - np.log(train_rate)
    q = law.data_share
    log_ratio = log_spend_ratio(log_rates - log_D, q, law.beta)
    ratio = np.exp(log_ratio)
    growth = np.log1p(q * ratio)
    params = np.exp((np.log(law.A) - log_q - log_R + growth - np.log1p(ratio)) / law.alpha)
    # D* = b/(a s): with a tiny beta the logs of D_c and of D*/D_c are huge and nearly cancel.
    tokens = np.exp(np.where(ratio >= _NO_SERVING, log_rates - log_ratio, log_D))
    return params, tokens, ratio


def _log_shares(law: LossLaw) -> tuple[Array, Array]:
    """Return ln q and ln(1 - q), the second without what 1 - q loses."""
    log_total = np.log(law.alpha + law.beta)
    return np.log(law.beta) - log_total, np.log(law.alpha) - log_total


def rates_of(cost: Posynomial) -> tuple[Array, Array] | None:
    """Return a and b (numeric) where a bill in ``params`` and ``tokens`` is a N D + b N, else None.

    >>> from beyond_chinchilla.posynomial import monomial
    >>> rates_of(monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}))
    (array(6.), array(0.))
    """
    rates = [np.asarray(0.0), np.asarray(0.0)]
    for term in cost.terms:
        p, r = term.power("params"), term.power("tokens")
        if p != 1.0 or r not in (0.0, 1.0):
            return None
        serves = 0 if r else 1
        rates[serves] = np.asarray(rates[serves] + np.asarray(term.coefficient, dtype=float))
    return rates[0], rates[1]


def _flat(x: Array, shape: tuple[int, ...]) -> Array:
    """Return a scalar as it is and anything else flattened to the broadcast shape."""
    return x if x.ndim == 0 else np.ascontiguousarray(np.broadcast_to(x, shape)).reshape(-1)


def _cut(arrays: Three, block: slice) -> Three:
    """Return one block of each; a scalar serves every block as it is."""
    one, two, three = (x if x.ndim == 0 else x[block] for x in arrays)
    return one, two, three


def _solve_block(law: LossLaw, asked: Three, answer: Three, double: Array, single: Single) -> None:
    """Solve one block in place, with rows of scratch. What scalars alone decide stays a scalar."""
    loss, train_rate, serve_rate = asked
    params, tokens, ratio = answer
    q, alpha, beta = law.data_share, law.alpha, float(law.beta)
    log_q, log_rest = _log_shares(law)
    log_R = _log_reducible(law, loss, double[0])
    # The answers' own arrays serve until the answers are there.
    rates = np.divide(serve_rate, train_rate, out=_into(tokens, serve_rate, train_rate))
    log_rates = np.log(rates, out=_into(ratio, rates))
    # x = ln(b/a) - ln D_c + ln q
    x = np.divide(log_R, beta, out=_into(params, log_R))
    x = np.add(x, log_q - (math.log(law.B) - log_rest) / beta, out=_into(params, x))
    x = np.add(x, log_rates, out=params)

    _, spend = _solve_growth(x, beta, double[1:], single)
    np.divide(spend, q, out=ratio)
    _divide_rates(law, rates, log_R, ratio, tokens)
    # ln N* = (ln(A/q) - ln R + ln((1 + q s)/(1 + s)))/alpha
    spend += 1.0
    spend /= np.add(ratio, 1.0, out=double[-1])
    np.log(spend, out=spend)
    spend += math.log(law.A) - log_q
    spend -= log_R
    spend /= alpha
    np.exp(spend, out=params)


def _into(buffer: Array, *inputs: Array) -> Array | None:
    """Return where a result of the inputs belongs: in the buffer, or nowhere if all are scalars."""
    return buffer if any(x.ndim for x in inputs) else None


def _log_reducible(law: LossLaw, loss: Array, buffer: Array) -> Array:
    """Return ln R = ln(loss - E)/power."""
    into = _into(buffer, loss)
    log_gap: Array = np.log(np.subtract(loss, law.E, out=into), out=into)
    return log_gap if law.power == 1.0 else np.divide(log_gap, law.power, out=into)


def _divide_rates(law: LossLaw, rates: Array, log_R: Array, ratio: Array, tokens: Array) -> None:
    """Write D* = b/(a s), or D_c where there is next to no serving."""
    np.divide(rates, ratio, out=tokens)
    # Not "<": a nan beside it must not hide a small one.
    if not ratio.min(initial=np.inf) >= _NO_SERVING:
        chinchilla = np.exp((math.log(law.B) - _log_shares(law)[1] - log_R) / law.beta)
        np.copyto(tokens, chinchilla, where=ratio < _NO_SERVING)


def _is_ordinary(asked: Three, answer: Three) -> bool:
    """Say whether a whole block is optimal, and nothing on the way to it left the range of a double."""
    params, tokens, ratio = answer
    train_rate = asked[1]
    # A nan anywhere is neither above nor below.
    return bool(
        params.min() >= _LEAST
        and tokens.min() >= _FEW
        and max(params.max(), tokens.max(), ratio.max()) < np.inf
        and train_rate.min() > 0.0
        and train_rate.max() < np.inf
    )


def _redo_extremes(law: LossLaw, asked: Three, answer: Three) -> None:
    """Solve those in logs for which the fast way may have left the range of a double."""
    params, tokens, ratio = answer
    lost = ~((params >= _LEAST) & (params < np.inf) & (tokens >= _FEW) & (tokens < np.inf) & (ratio < np.inf))
    loss, train_rate, serve_rate = (np.broadcast_to(x, lost.shape)[lost] for x in asked)
    for x, redone in zip(answer, _solve_in_logs(law, (loss, train_rate, serve_rate)), strict=True):
        x[lost] = redone


def _judge_block(law: LossLaw, asked: Three, answer: Three, status: NDArray[np.int8]) -> None:
    """Say what happened to each problem; no figure stays beside a status other than OPTIMAL."""
    loss, train_rate, serve_rate = asked
    params, tokens, ratio = answer
    good = (params >= _LEAST) & (params < np.inf)
    good &= (tokens >= _LEAST) & (tokens < np.inf)
    good &= ratio < np.inf
    good &= np.minimum(law.alpha, law.beta) >= LEAST_EXPONENT
    # Two negative rates have a positive ratio, and an infinite one a ratio of nought.
    good &= train_rate > 0
    good &= train_rate < np.inf
    finite = np.isfinite(loss) & np.isfinite(train_rate) & np.isfinite(serve_rate)
    valid = finite & (train_rate >= 0) & (serve_rate >= 0) & (train_rate + serve_rate > 0)
    status[...] = np.select(
        [good, ~valid, np.broadcast_to(loss <= law.E, good.shape)],
        [Status.OPTIMAL, Status.INVALID, Status.OUT_OF_REACH],
        default=Status.UNBOUNDED,
    )
    for x in answer:
        x[~good] = np.nan


def log_spend_ratio(log_kappa: ArrayLike, q: ArrayLike, beta: ArrayLike) -> Array:
    """Solve y + ln(1 + q e^y)/beta = ln kappa for y = ln s (numeric, broadcasting).

    The left side increases and is convex in y: there is one root, found to double precision for every kappa
    that a double holds.
    """
    log_kappa, q, beta = (np.asarray(x, dtype=float) for x in (log_kappa, q, beta))
    shape = np.broadcast_shapes(log_kappa.shape, q.shape, beta.shape)
    with np.errstate(all="ignore"):
        x = np.atleast_1d(np.broadcast_to(log_kappa + np.log(q), shape))
        growth, _ = _solve_growth(x, beta, np.empty((5, *x.shape)), np.empty((6, *x.shape), dtype=np.float32))
        return np.asarray(log_kappa - growth.reshape(shape))


def _solve_growth(x: Array, beta: float | Array, double: Array, single: Single) -> tuple[Array, Array]:
    """Solve beta g = ln(1 + e^(x - g)); return g = ln(D*/D_c) and e^(x - g) = q s, two rows of `double`.

    Halley's method triples the digits, so only the last step need be exact: those before it run in single
    precision at a fraction of the cost. They start on a hyperbola between the asymptotes g = 0 and
    g = x/(1 + beta), as far from their corner as g is.
    """
    near, start = single[:2]
    far = _LINEAR_BEYOND * (1.0 + 1.0 / beta)
    np.copyto(near, x, casting="same_kind")
    # Not "<": a nan beside it must not hide a value out of range.
    ordinary = bool(np.all(x.min(initial=0.0) >= -_LINEAR_BEYOND) and np.all(x.max(initial=0.0) <= far))
    if not ordinary:
        np.clip(near, -_LINEAR_BEYOND, far, out=near)
    np.multiply(near, near, out=start)
    start += 1.75 + 1.2 / beta
    np.sqrt(start, out=start)
    start += near
    start *= 0.5 / (1.0 + beta)
    # Many values of beta take the steps of the smallest, so that none depends on its neighbours.
    cheap, exact = _STEPS[-1][1:] if np.ndim(beta) else next(steps for least, *steps in _STEPS if beta >= least)
    for _ in range(cheap):
        _halley_step(near, start, beta, single[2:])

    growth = double[0]
    np.copyto(growth, start)
    if not ordinary:
        growth += np.maximum(x - far, 0.0) / (1.0 + beta)
    for _ in range(exact):
        spend, step = _halley_step(x, growth, beta, double[1:])
    # The last step was small: its series turns the old e^(x - g) into that of the new g.
    series = np.multiply(step, 1.0 / 6.0, out=double[-1])
    series += 0.5
    series *= step
    series += 1.0
    series *= step
    series += 1.0
    spend *= series
    return growth, spend


def _halley_step(x: Real, growth: Real, beta: float | Array, work: Real) -> tuple[Real, Real]:
    """Improve g in place on f = beta g - ln(1 + e), e = e^(x - g); return the old e and what g fell by.

    f' = beta + h and -f'' = h (1 - h) with h = e/(1 + e): the step is f f'/(f'^2 - f f''/2).
    """
    e, one_plus, step, slope = work
    np.subtract(x, growth, out=e)
    np.exp(e, out=e)
    np.add(e, 1.0, out=one_plus)
    np.multiply(growth, beta, out=step)
    step -= np.log(one_plus, out=slope)
    np.divide(e, one_plus, out=slope)
    # From here on one_plus holds -f f''/2.
    np.divide(slope, one_plus, out=one_plus)
    one_plus *= step
    one_plus *= 0.5
    slope += beta
    step *= slope
    slope *= slope
    slope += one_plus
    step /= slope
    growth -= step
    return e, step


def log_cost_ratio(spend_ratio: ArrayLike, alpha: ArrayLike, beta: ArrayLike) -> Array:
    """Return ln(least cost / cost of the Chinchilla model of equal loss), at most 0 (numeric, broadcasting).

    (N*/N_c)(D*/D_c)(1 + s)/(1 + kappa) in logs. Below s = 0.05 the first-order terms cancel, so they are left
    out by hand: with h(x) = ln(1 + x) - x,
    ln ratio = h(q s)(1/alpha + 1/beta) - h(s)/alpha - ln(1 + s/(1 + s) ((1 + q s)^(1/beta) - 1)).
    """
    s, alpha, beta = (np.asarray(x, dtype=float) for x in (spend_ratio, alpha, beta))
    q = beta / (alpha + beta)
    growth = np.log1p(q * s)
    far = growth / beta > _FAR
    # (1 + kappa)/(1 + s) = 1 + s/(1 + s) ((1 + q s)^(1/beta) - 1), for every s
    excess = np.log1p(s / (1.0 + s) * np.expm1(np.where(far, 0.0, growth / beta)))
    plain = growth * (1.0 / alpha + 1.0 / beta) - np.log1p(s) / alpha - excess
    if np.any(far):
        # Far out the excess is ln(s/(1 + s)) + ln(1 + q s)/beta, the larger part of which cancels.
        plain = np.where(far, (growth - np.log1p(s)) / alpha + np.log1p(1.0 / np.where(far, s, 1.0)), plain)
    # Not ">=": what is not a number stays one either way.
    if np.all(s > _SERIES_BELOW):
        return np.asarray(plain)
    small = np.minimum(s, _SERIES_BELOW)
    careful = _log1p_less_x(q * small) * (1.0 / alpha + 1.0 / beta) - _log1p_less_x(small) / alpha - excess
    return np.asarray(np.where(s < _SERIES_BELOW, careful, plain), dtype=float)


def _log1p_less_x(x: Array) -> Array:
    """Return ln(1 + x) - x for 0 <= x <= 0.05 by its series, to full relative precision."""
    total = np.zeros_like(x)
    for k in range(15, 1, -1):
        total = (-1.0) ** (k + 1) / k + x * total
    return np.asarray(x * x * total)
