"""The optimality conditions of a geometric program in logs: polish a plan, price its limits, prove it.

With y the logs of the variables, ln f of a posynomial is convex in y. A plan of

    minimise f_0(x)  subject to  f_i(x) <= 1

is optimal if and only if multipliers nu_i >= 0 exist with  grad ln f_0 + sum nu_i grad ln f_i = 0  and
nu_i ln f_i = 0 (Boyd & Vandenberghe 2004, section 5.5.3). nu_i is minus the elasticity of the least cost in the
bound of limit i, its shadow price (Boyd et al. 2007, section 3.3).

Nothing here but numpy, so that every plan can be checked, whichever solver found it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.posynomial import Posynomial

Array = NDArray[np.float64]

# A limit within this of its bound, in logs, is met with equality.
ACTIVE = 1e-9
# Half the width of the box of plans, in logs: a factor of a million each way.
BOX = math.log(1e6)

_NEAR = 1e-6
_PARALLEL = 1e-9
_ROUNDING = 2e-15
_SETTLED = 1e-13
_BROKEN = 3e-14
_PROXIMAL = 1e-12
_STEPS = 40
_LONGEST_STEP = 2.0
_CORRECTIONS = 60
_CLOSED = 3e-16


@dataclass(frozen=True)
class Certificate:
    """How far from optimal a plan can be at most.

    Attributes
    ----------
    kkt_residual : float
        Largest violation of stationarity, of a limit, of complementarity and of nu >= 0, in logs.
    duality_gap : float
        Relative: no plan within the limits costs less than (1 - gap) times this one. At most 1.
    multipliers : tuple of float
        One for each limit: minus d ln cost / d ln bound.
    """

    kkt_residual: float
    duality_gap: float
    multipliers: tuple[float, ...]


@dataclass(frozen=True)
class Local:
    """All posynomials of a `Stack` at one point; row 0 is the objective.

    `values` are their logs, shape (1 + limits,), `gradients` the derivatives of these in the logs of the variables,
    shape (1 + limits, variables), and `shares` of each term in its posynomial, shape (terms,).
    """

    values: Array
    shares: Array
    gradients: Array


class Stack:
    """Objective and limits as flat arrays: the log of term t is log_coefficients[t] + powers[t] @ y.

    `variables` stand in the order in which they appear. Posynomial i (0 is the objective) has `counts[i]` terms
    from `starts[i]` on, and `owner[t]` is the posynomial of term t.
    """

    def __init__(self, objective: Posynomial, constraints: Sequence[Posynomial]) -> None:
        every = (objective, *constraints)
        terms = [term for posynomial in every for term in posynomial.terms]
        self.variables = tuple(dict.fromkeys(name for term in terms for name in term.powers))
        column = {name: j for j, name in enumerate(self.variables)}
        self.powers: Array = np.zeros((len(terms), len(column)))
        for t, term in enumerate(terms):
            for name, power in term.powers.items():
                self.powers[t, column[name]] = power
        self.log_coefficients: Array = np.log(np.array([term.coefficient for term in terms], dtype=float))
        self.counts = np.array([len(posynomial.terms) for posynomial in every])
        self.starts = np.concatenate(([0], np.cumsum(self.counts)[:-1]))
        self.owner = np.repeat(np.arange(len(every)), self.counts)

    def point(self, logs: Mapping[str, float]) -> Array:
        """Return the logs as an array."""
        return np.array([float(logs[name]) for name in self.variables])

    def logs(self, y: Array) -> dict[str, float]:
        """Return an array as logs by name."""
        return dict(zip(self.variables, y.tolist(), strict=True))

    def log_terms(self, y: Array) -> Array:
        """Return the log of every term, shape (terms,)."""
        return np.asarray(self.log_coefficients + self.powers @ y)

    def at(self, y: Array) -> Local:
        """Return values, shares and gradients at a point."""
        terms = self.log_terms(y)
        peaks = np.maximum.reduceat(terms, self.starts)
        shares = np.exp(terms - peaks[self.owner])
        sums = np.add.reduceat(shares, self.starts)
        shares /= sums[self.owner]
        return Local(peaks + np.log(sums), shares, np.add.reduceat(shares[:, None] * self.powers, self.starts))

    def hessian(self, here: Local, multipliers: Array) -> Array:
        """Return the Hessian of ln f_0 + sum nu_i ln f_i: covariances of the powers under the shares."""
        centred = self.powers - here.gradients[self.owner]
        weights = here.shares * np.concatenate(([1.0], multipliers))[self.owner]
        return np.asarray((centred * weights[:, None]).T @ centred)


def polish(
    objective: Posynomial,
    constraints: Sequence[Posynomial],
    logs: Mapping[str, float],
    multipliers: Sequence[float],
) -> tuple[dict[str, float], tuple[float, ...]]:
    """Take a nearly optimal plan to full double precision by Newton's method on the KKT system.

    Parameters
    ----------
    objective, constraints : Posynomial
        Minimise the first with each of the others at most 1.
    logs : mapping of str to float
        The plan: ln of each variable.
    multipliers : sequence of float
        Of the limits, as good as they are known.

    Returns
    -------
    tuple of dict and tuple
        Logs and multipliers of the best point met, judged by its KKT residual: never a worse one than given.
    """
    stack = Stack(objective, constraints)
    y, prices = newton(stack, stack.point(logs), np.asarray(multipliers, dtype=float))
    return stack.logs(y), tuple(prices.tolist())


def newton(stack: Stack, y: Array, multipliers: Array) -> tuple[Array, Array]:
    """Return logs and multipliers of the KKT point near `y`; see `polish`.

    Each step solves the quadratic program of Hessian and gradients exactly (sequential quadratic programming,
    Nocedal & Wright 2006, algorithm 18.1), so the set of active limits comes out of it.
    """
    here = stack.at(y)
    best_y, best_nu, best = y, multipliers, kkt_residual(here, multipliers)
    if not math.isfinite(best):
        return y, multipliers
    fitted = price_limits(here, _NEAR)
    basis = np.flatnonzero(fitted).tolist()
    nu, idle = (fitted if kkt_residual(here, fitted) < best else multipliers), 0
    for _ in range(_STEPS):
        here = stack.at(y)
        curvature = stack.hessian(here, np.maximum(nu, 0.0))
        step, nu, basis = _quadratic_step(here, curvature, basis)
        length = float(np.abs(step).max(initial=0.0))
        y = y + step * min(1.0, _LONGEST_STEP / length if length > 0 else 1.0)
        residual = kkt_residual(stack.at(y), nu)
        if not math.isfinite(residual):
            break
        if residual < best:
            best_y, best_nu, best, idle = y, nu, residual, 0
        else:
            idle += 1
        if best <= _ROUNDING or (idle >= 1 and best <= _SETTLED) or (idle >= 2 and best <= _NEAR) or idle >= 8:
            break
    # Where several sets of prices do, those of the limits that alone explain the plan.
    here = stack.at(best_y)
    if best_nu is not multipliers and np.array_equal(best_nu > 0, here.values[1:] >= -ACTIVE):
        return best_y, best_nu
    fitted = price_limits(here, ACTIVE)
    return best_y, fitted if kkt_residual(here, fitted) <= max(best, _SETTLED) else best_nu


def _quadratic_step(here: Local, curvature: Array, basis: list[int]) -> tuple[Array, Array, list[int]]:
    """Minimise the quadratic model under the linear models of the limits, starting from a set of active ones.

    A limit leaves with a negative multiplier and enters when it is broken; one that depends on those in the set
    takes the place of the one whose multiplier it drives to zero first (the ratio test of the dual method of
    Goldfarb & Idnani 1983).
    """
    gradient, rows, values = here.gradients[0], here.gradients[1:], here.values[1:]
    norms = np.linalg.norm(rows, axis=1)
    # A direction without curvature is followed until a limit stops it; where there is any, this is no hindrance.
    curvature = curvature + _PROXIMAL * np.eye(len(gradient))
    seen = set()
    while True:
        step, prices = _equality_step(curvature, gradient, rows[basis], values[basis])
        seen.add(frozenset(basis))
        if basis and prices.min() < 0.0:
            change = [i for k, i in enumerate(basis) if k != int(prices.argmin())]
        else:
            broken = np.where(norms > 0, (values + rows @ step) / np.where(norms > 0, norms, 1.0), -np.inf)
            broken[basis] = -np.inf
            worst = int(broken.argmax()) if len(broken) else -1
            if worst < 0 or broken[worst] <= _BROKEN * max(1.0, float(np.abs(step).max())):
                break
            change = _enter(rows, prices, basis, worst)
        if frozenset(change) in seen:
            break
        basis = change
    multipliers = np.zeros(len(values))
    multipliers[basis] = np.maximum(prices, 0.0)
    return step, multipliers, basis


def _enter(rows: Array, prices: Array, basis: list[int], entering: int) -> list[int]:
    """Return the set of active limits with one more, or in exchange for one on which it depends."""
    if basis:
        weights = np.linalg.lstsq(rows[basis].T, rows[entering], rcond=None)[0]
        rest = rows[entering] - weights @ rows[basis]
        if np.linalg.norm(rest) <= _PARALLEL * np.linalg.norm(rows[entering]):
            ratios = [p / w if w > _PARALLEL else math.inf for p, w in zip(prices, weights, strict=True)]
            leaving = int(np.argmin(ratios))
            if not math.isfinite(ratios[leaving]):
                return basis
            basis = [i for k, i in enumerate(basis) if k != leaving]
    return sorted([*basis, entering])


def _equality_step(curvature: Array, gradient: Array, rows: Array, values: Array) -> tuple[Array, Array]:
    """Return step and multipliers of the quadratic model with the given limits met exactly."""
    n, m = len(gradient), len(rows)
    system = np.zeros((n + m, n + m))
    system[:n, :n] = curvature
    system[:n, n:] = rows.T
    system[n:, :n] = rows
    right = -np.concatenate((gradient, values))
    try:
        solution = np.linalg.solve(system, right)
    except np.linalg.LinAlgError:
        solution = np.linalg.lstsq(system, right, rcond=None)[0]
    return np.asarray(solution[:n]), np.asarray(solution[n:])


def multipliers_at(
    objective: Posynomial, constraints: Sequence[Posynomial], logs: Mapping[str, float]
) -> tuple[float, ...]:
    """Return the multipliers that come closest to stationarity at a plan, all >= 0.

    Non-negative least squares over the limits that are met with equality (to 1e-9 in logs). Of limits with
    parallel gradients the tightest takes the whole price, and the first of equally tight ones.
    """
    stack = Stack(objective, constraints)
    return tuple(price_limits(stack.at(stack.point(logs)), ACTIVE).tolist())


def price_limits(here: Local, active: float) -> Array:
    """Return the multipliers of the limits within `active` of their bounds; see `multipliers_at`."""
    values, rows = here.values[1:], here.gradients[1:]
    multipliers = np.zeros(len(values))
    norms = np.linalg.norm(rows, axis=1)
    candidates = np.flatnonzero((values >= -active) & (norms > 0))
    if len(candidates):
        # In rounded tightness, so that limits equal but for rounding keep their order.
        tightness = np.round(values[candidates] / norms[candidates], 13)
        candidates = candidates[np.argsort(-tightness, kind="stable")]
        columns = (rows[candidates] / norms[candidates, None]).T
        multipliers[candidates] = _nonnegative_least_squares(columns, -here.gradients[0]) / norms[candidates]
    return multipliers


def _nonnegative_least_squares(columns: Array, target: Array) -> Array:
    """Minimise |columns x - target| over x >= 0 (Lawson & Hanson 1974, algorithm NNLS); early columns win ties."""
    x = np.zeros(columns.shape[1])
    support: list[int] = []
    noise = 1e-13 * (1.0 + float(np.linalg.norm(target)))
    for _ in range(3 * len(x) + 3):
        pull = columns.T @ (target - columns @ x)
        pull[support] = -np.inf
        if pull.max() <= noise:
            break
        support.append(int(np.argmax(pull >= (1.0 - 1e-9) * pull.max())))
        while support:
            trial = np.linalg.lstsq(columns[:, support], target, rcond=None)[0]
            if trial.min() > 0:
                x[support] = trial
                break
            # Walk towards the trial until the first weight vanishes; it leaves.
            old = x[support]
            falls = np.maximum(old - trial, np.finfo(float).tiny)
            shares = np.divide(old, falls, out=np.full_like(old, np.inf), where=trial <= 0)
            first = int(shares.argmin())
            x[support] = old + shares[first] * (trial - old)
            x[support.pop(first)] = 0.0
    return x


def kkt_residual(here: Local, multipliers: Array) -> float:
    """Return the largest violation of the optimality conditions, in logs."""
    values = here.values[1:]
    stationarity = here.gradients[0] + multipliers @ here.gradients[1:]
    every = np.concatenate((np.abs(stationarity), values, np.abs(multipliers * values), -multipliers))
    return float(every.max(initial=0.0))


def certify(
    objective: Posynomial,
    constraints: Sequence[Posynomial],
    logs: Mapping[str, float],
    multipliers: Sequence[float],
    box: float = BOX,
) -> Certificate:
    """Prove how far a plan can be from optimal, from the plan and its multipliers alone.

    For any weights w >= 0 on the terms, 1 in sum over the objective and lambda_i over limit i, every plan x'
    within the limits has, by Jensen's inequality,

        ln f_0(x') >= ln f_0(x) - gap + r . (y' - y),    r = A^T w,
        gap = KL(w_0 | s_0) + sum lambda_i (KL(w_i/lambda_i | s_i) - ln f_i(x)),

    with s the shares of the terms at the plan x and KL(w | s) = sum w ln(w/s). With r = 0 this is the dual of the
    geometric program (Duffin, Peterson & Zener 1967; Boyd et al. 2007, section 2.3). Every summand vanishes at
    the optimum, so nothing cancels. The weights are nu_i s_i, moved by the least (chi-square) amount that makes
    r = 0; what is left of r is paid for over the whole box.

    Parameters
    ----------
    objective, constraints : Posynomial
        Minimise the first with each of the others at most 1.
    logs : mapping of str to float
        The plan: ln of each variable.
    multipliers : sequence of float
        Of the limits, such as the optimum's. Poor ones widen the gap; the bound stays true.
    box : float
        The bound covers plans within this of each log; all plans where r vanishes to the last bit.

    Examples
    --------
    >>> from beyond_chinchilla.posynomial import monomial
    >>> cost, limit = monomial("rent", 3.0, {"params": 1}), monomial("floor", 7e9, {"params": -1})
    >>> round(certify(cost, [limit], {"params": math.log(8e9)}, [1.0]).duality_gap, 6)  # an eighth too dear
    0.125
    """
    stack = Stack(objective, constraints)
    return certify_stack(stack, stack.point(logs), np.asarray(multipliers, dtype=float), box)


def certify_stack(stack: Stack, y: Array, multipliers: Array, box: float = BOX) -> Certificate:
    """Return the certificate of a point; see `certify`."""
    here = stack.at(y)
    residual = kkt_residual(here, multipliers)
    gap = math.inf
    if math.isfinite(residual):
        weights = _orthogonal_weights(
            stack, here.shares * np.concatenate(([1.0], np.maximum(multipliers, 0.0)))[stack.owner]
        )
        totals = np.add.reduceat(weights, stack.starts)
        # A share that underflows belongs to a term without weight.
        expected = np.maximum(here.shares * totals[stack.owner], np.finfo(float).tiny)
        change = (weights - expected) / expected
        inside = np.maximum(change, np.finfo(float).eps - 1.0)
        # sum w ln(w/s) - w + s, term by term: nothing is negative
        gap = float(expected @ np.where(change > -1.0, (1.0 + change) * np.log1p(inside) - change, 1.0))
        gap -= float(totals[1:] @ here.values[1:])
        gap += box * float(np.abs(weights @ stack.powers).sum())
    gap = gap if math.isfinite(gap) else math.inf
    return Certificate(residual, max(-math.expm1(-gap), 0.0) if gap > 0 else 0.0, tuple(multipliers.tolist()))


def _orthogonal_weights(stack: Stack, weights: Array) -> Array:
    """Move weights >= 0 by little so that A^T w = 0, and the objective's still add up to 1."""
    first = slice(0, int(stack.counts[0]))
    best, least = weights, math.inf
    for _ in range(_CORRECTIONS):
        wrong = stack.powers.T @ weights
        size = float(np.abs(wrong).max(initial=0.0))
        stuck = size > 0.99 * least
        if size < least:
            best, least = weights, size
        if stuck or size <= _CLOSED:
            break
        roots = np.sqrt(weights)
        system = stack.powers.T * roots
        # Whatever moves, the weights of the objective add up to 1: without that there is no bound.
        system[:, first] -= np.outer(system[:, first] @ roots[first], roots[first])
        change = -np.linalg.lstsq(system, wrong, rcond=None)[0] * roots
        falls = np.divide(-change, weights, out=np.zeros_like(change), where=weights > 0)
        # No weight turns negative; a step that stops short is followed by another from there.
        weights = weights + change * min(1.0, 0.9 / max(float(falls.max()), 0.9))
        weights[first] /= weights[first].sum()
    return best
