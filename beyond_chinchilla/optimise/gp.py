"""Geometric programs: any posynomial bill under any posynomial limits, in any number of variables.

cvxpy writes the problem in logs (``solve(gp=True)``) and CLARABEL solves it; `kkt` takes the answer to full
precision and proves it. A status is believed only with its proof: cvxpy says ``optimal`` of plans that leave
every sane range, ``optimal_inaccurate`` of good and of absurd ones, and 0.0 where there is no minimum.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from beyond_chinchilla.optimise.kkt import Array, Stack, certify_stack, newton
from beyond_chinchilla.posynomial import Posynomial, monomial

# A plan whose certificate leaves a wider gap is no answer.
LARGEST_GAP = 1e-8
# e^230 = 1e100: no plan has that many of anything.
LARGEST_LOG = 230.0
FEASIBLE = 1e-10

# The first is as tight as CLARABEL reliably goes; the others save what it gives up on.
_TOLERANCES = (1e-10, 1e-8, 1e-6)
_LARGEST_EXPONENT = 600.0
_FALLING = 1e-6
_FLAT = 1e-9
# Limits that leave less room than this, in logs, have no bounded multipliers.
_TIGHT = 1e-6
# cvxpy programs are not safe to share, nor is a filter of warnings.
_LOCK = threading.Lock()


@dataclass(frozen=True)
class GpResult:
    """What the solver found.

    Attributes
    ----------
    status : {"optimal", "infeasible", "unbounded", "failed"}
        Only the first comes with a plan.
    logs : dict of str to float
        ln of each variable; empty without a plan.
    multipliers : tuple of float
        One for each constraint, >= 0: minus d ln objective / d ln bound; empty without a plan.
    message : str
        Why there is no plan, in words.
    """

    status: str
    logs: dict[str, float] = field(default_factory=dict)
    multipliers: tuple[float, ...] = ()
    message: str = ""


def solve_gp(
    objective: Posynomial, constraints: Sequence[Posynomial], start: Mapping[str, float] | None = None
) -> GpResult:
    """Minimise a posynomial over all its variables with each of the constraints at most 1.

    Parameters
    ----------
    objective : Posynomial
    constraints : sequence of Posynomial
        Each a limit divided by its bound.
    start : mapping of str to float, optional
        ln of each variable at a point of the right magnitude, to scale the problem. Variables that it leaves out
        start at a guess.

    Returns
    -------
    GpResult
        ``"optimal"`` only with a duality gap of at most 1e-8, the limits kept to 1e-10 and each |ln x| <= 230;
        ``"infeasible"`` only with the same proof that the limits conflict. A variable that can grow or shrink
        for ever without a term that rises is ``"unbounded"``, and named, also where that lowers only a
        constraint: the least cost is then never reached.

    Examples
    --------
    >>> cost = monomial("training", 6.0, {"params": 1, "tokens": 1})
    >>> loss = monomial("model", 400.0, {"params": -0.34}) + monomial("data", 400.0, {"tokens": -0.28})
    >>> found = solve_gp(cost, [loss.times(1 / 0.3)])
    >>> found.status, f"{math.exp(found.logs['params']):.4g}", round(found.multipliers[0], 3)
    ('optimal', '1.608e+10', 6.513)
    """
    stack = Stack(objective, constraints)
    fixed = _broken_without_variables(stack)
    if fixed:
        return GpResult("infeasible", message=fixed)
    loose = _one_sided(stack)
    if loose:
        return GpResult("unbounded", message=loose)
    y = _guess(stack)
    if start:
        y = np.array([float(start.get(name, guess)) for name, guess in zip(stack.variables, y, strict=True)])
    result = _solve_from(stack, y)
    if result.status in ("optimal", "unbounded") or not constraints:
        return result
    return _explain(stack, constraints, y, result)


def resume_gp(
    objective: Posynomial, constraints: Sequence[Posynomial], start: Mapping[str, float], prices: Sequence[float]
) -> GpResult:
    """Solve a program that has changed by little, from the plan and the multipliers that it had.

    Newton's method alone where that is proved to be enough, which spares the solver; else as `solve_gp`.
    """
    found = newton_gp(objective, constraints, start, prices)
    return found if found.status == "optimal" else solve_gp(objective, constraints, start)


def newton_gp(
    objective: Posynomial, constraints: Sequence[Posynomial], start: Mapping[str, float], prices: Sequence[float]
) -> GpResult:
    """Solve by Newton's method alone, without cvxpy; ``"failed"`` unless the plan is proved."""
    stack = Stack(objective, constraints)
    y, nu = newton(stack, stack.point(start), np.asarray(prices, dtype=float))
    if _proved(stack, y, nu):
        return GpResult("optimal", stack.logs(y), tuple(np.maximum(nu, 0.0).tolist()))
    return GpResult("failed", message="Newton's method stopped short of a proof")


def moves_freely(
    objective: Posynomial, constraints: Sequence[Posynomial], logs: Mapping[str, float], multipliers: Sequence[float]
) -> bool:
    """Say whether a plan can move without a price, so that it is one of many."""
    stack = Stack(objective, constraints)
    return _flat(stack, stack.point(logs), np.asarray(multipliers, dtype=float))


def _solve_from(stack: Stack, y: Array, reached: bool = True) -> GpResult:
    """Solve from a reference point; infeasible is only the solver's word.

    With `reached` a least cost that is only approached, ever farther out, is unbounded.
    """
    why = ""
    for tolerance in _TOLERANCES:
        said, x, prices = _run(stack, y, tolerance)
        why = f"no plan passed its own certificate (the solver's last word: {said})"
        if said.startswith("infeasible"):
            return GpResult("infeasible")
        if said.startswith("unbounded"):
            break
        if x is None:
            continue
        if not _sane(x):
            farthest = int(np.abs(x).argmax())
            why = f"the solver's plan has {stack.variables[farthest]} = 1e{x[farthest] / math.log(10.0):.0f}"
            continue
        polished, nu = newton(stack, x, prices)
        if _proved(stack, polished, nu):
            if reached and _flat(stack, polished, nu) and (message := _falling_direction(stack)):
                return GpResult("unbounded", message=message)
            return GpResult("optimal", stack.logs(polished), tuple(np.maximum(nu, 0.0).tolist()))
        # What was nearly right scales the next attempt.
        y = polished if _sane(polished) else y
    message = _falling_direction(stack)
    return GpResult("unbounded", message=message) if message else GpResult("failed", message=why)


def _sane(y: Array) -> bool:
    return bool(np.all(np.abs(y) <= LARGEST_LOG))


def _proved(stack: Stack, y: Array, multipliers: Array) -> bool:
    """Say whether a plan is in a sane range, within the limits and proved to be optimal."""
    if not _sane(y) or float(stack.at(y).values[1:].max(initial=-np.inf)) > FEASIBLE:
        return False
    return certify_stack(stack, y, multipliers).duality_gap <= LARGEST_GAP


def _flat(stack: Stack, y: Array, multipliers: Array) -> bool:
    """Say whether the plan can move without a price: where it does so for ever, the least cost is never reached."""
    here = stack.at(y)
    priced = here.gradients[1:][multipliers > 0]
    held = np.vstack((stack.hessian(here, multipliers), priced))
    return bool(np.linalg.svd(held, compute_uv=False).min(initial=np.inf) < _FLAT)


def _explain(stack: Stack, constraints: Sequence[Posynomial], y: Array, first: GpResult) -> GpResult:
    """Minimise the largest constraint: above 1, with proof, no plan exists; else solve from where all are met."""
    excess = "largest constraint"
    relaxed = Stack(
        monomial(excess, 1.0, {excess: 1.0}),
        [
            *(constraint.times(1.0, {excess: -1.0}) for constraint in constraints),
            # Keeps the minimum finite where all constraints can be slack for ever.
            monomial("floor", 0.5, {excess: -1.0}),
        ],
    )
    known = stack.logs(y) | {excess: 0.0}
    found = _solve_from(relaxed, relaxed.point(known), reached=False)
    if found.status != "optimal":
        return GpResult("failed", message=first.message or "no plan found, and no proof that there is none")
    largest = found.logs[excess]
    if largest > 2.0 * LARGEST_GAP:
        return GpResult(
            "infeasible", message=f"no plan meets all limits: one is broken by {math.expm1(largest):.3g} of its bound"
        )
    again = _solve_from(stack, stack.point(known | found.logs))
    if again.status in ("optimal", "unbounded"):
        return again
    if largest > -_TIGHT:
        return GpResult("failed", message="the limits leave a single plan at most: loosen or tighten one a little")
    return GpResult("failed", message=again.message or first.message)


# What can be seen before solving


def _broken_without_variables(stack: Stack) -> str:
    """Return why a constraint fails whatever the plan, or nothing."""
    moving = np.add.reduceat(np.abs(stack.powers).sum(axis=1), stack.starts) > 0
    values = stack.at(np.zeros(len(stack.variables))).values
    for value in values[1:][~moving[1:]]:
        if value > FEASIBLE:
            return f"a limit without variables is broken by {math.expm1(value):.3g} of its bound"
    return ""


def _one_sided(stack: Stack) -> str:
    """Name a variable that no term holds from above, or from below."""
    for name, powers in zip(stack.variables, stack.powers.T, strict=True):
        if powers.min() < 0 and powers.max() <= 0:
            return _endless([name], [1.0])
        if powers.max() > 0 and powers.min() >= 0:
            return _endless([name], [-1.0])
    return ""


def _endless(names: Sequence[str], directions: Sequence[float]) -> str:
    """Say which variables run away.

    >>> _endless(["tokens"], [-1.0])
    'tokens can shrink for ever: no term or limit holds them up'
    """
    moves = ["grow" if way > 0 else "shrink" for way in directions]
    if len(names) > 1:
        rest = " and ".join(f"{name} {move}" for name, move in zip(names[1:], moves[1:], strict=True))
        return f"{names[0]} can {moves[0]} while {rest} for ever: no term or limit stops them together"
    held = "them" if names[0].endswith("s") else "it"
    return f"{names[0]} can {moves[0]} for ever: no term or limit holds {held} {'down' if directions[0] > 0 else 'up'}"


def _falling_direction(stack: Stack) -> str:
    """Find a direction in which no term rises and some fall, by a linear program, and say which it is."""
    cp = _cvxpy()
    with _LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Solution may be inaccurate", category=UserWarning)
        problem, direction, powers = _compile_direction(*stack.powers.shape)
        powers.value = stack.powers
        try:
            problem.solve(solver=cp.CLARABEL)
        except cp.error.SolverError:
            return ""
        status, falls, ways = str(problem.status), problem.value, direction.value
    if status != cp.OPTIMAL or ways is None or falls > -_FALLING:
        return ""
    moving = [j for j, way in enumerate(ways) if abs(way) > 1e-3]
    return _endless([stack.variables[j] for j in moving], [float(ways[j]) for j in moving])


def _guess(stack: Stack) -> Array:
    """Return logs of the variables at which the terms are of like size: those of the limits near 1.

    Least squares on the logs of the terms; the level of the objective is free.
    """
    system = np.hstack((stack.powers, -1.0 * (stack.owner == 0)[:, None]))
    solution = np.linalg.lstsq(system, -stack.log_coefficients, rcond=None)[0]
    return np.asarray(np.clip(solution[:-1], -LARGEST_LOG, LARGEST_LOG))


# cvxpy


def _cvxpy() -> Any:
    """Import cvxpy where it is needed: it takes a second, and its types are incomplete."""
    import cvxpy

    return cvxpy


@dataclass(frozen=True)
class _Program:
    """A compiled problem and the parameters that make it a particular one: cvxpy objects.

    Attributes
    ----------
    problem, variables
    powers, coefficients
        One row for each term: those of the objective, of the sums in order, of the monomials.
    """

    problem: Any
    variables: Any
    powers: Any
    coefficients: Any


@lru_cache(maxsize=32)
def _compile(variables: int, sums: tuple[int, ...], monomials: int) -> _Program:
    """Compile the geometric program of a shape: exponents and coefficients are parameters (DPP).

    So a law with other exponents is no new program either. `sums` counts the terms of the objective and of each
    limit of several terms; `monomials` the limits of one term, which are linear in logs.
    """
    cp = _cvxpy()
    ends = np.cumsum(sums).tolist()
    x = cp.Variable(variables, pos=True)
    powers = cp.Parameter((ends[-1] + monomials, variables))
    coefficients = cp.Parameter(ends[-1] + monomials, pos=True)
    terms = cp.multiply(coefficients, cp.gmatmul(powers, x))
    limits = [cp.sum(terms[begin:end]) <= 1 for begin, end in pairwise(ends)]
    if monomials:
        limits.append(terms[ends[-1] :] <= 1)
    return _Program(cp.Problem(cp.Minimize(cp.sum(terms[: ends[0]])), limits), x, powers, coefficients)


@lru_cache(maxsize=32)
def _compile_direction(terms: int, variables: int) -> tuple[Any, Any, Any]:
    """Compile the linear program of `_falling_direction`; return it with its variable and its parameter."""
    cp = _cvxpy()
    direction, powers = cp.Variable(variables), cp.Parameter((terms, variables))
    slopes = powers @ direction
    return cp.Problem(cp.Minimize(cp.sum(slopes)), [slopes <= 0, cp.abs(direction) <= 1]), direction, powers


def _run(stack: Stack, y: Array, tolerance: float) -> tuple[str, Array | None, Array]:
    """Return cvxpy's status, logs and multipliers of the problem in units of the reference point `y`."""
    cp = _cvxpy()

    rows = np.arange(1, len(stack.counts))
    # In order of size, so that limits listed in another order are no new program.
    rows = rows[np.argsort(stack.counts[1:], kind="stable")]
    sums = [0, *(row for row in rows.tolist() if stack.counts[row] > 1)]
    single = rows[stack.counts[rows] == 1]
    logs = stack.log_terms(y)
    logs[stack.owner == 0] -= stack.at(y).values[0]
    scaled = np.exp(np.clip(logs, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))
    order = np.concatenate([*(np.flatnonzero(stack.owner == row) for row in sums), stack.starts[single]])

    # cvxpy takes exp of whatever comes out.
    with _LOCK, warnings.catch_warnings(), np.errstate(all="ignore"):
        # Whether the answer is accurate is for the certificate to say.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate", category=UserWarning)
        program = _compile(len(stack.variables), tuple(int(stack.counts[row]) for row in sums), len(single))
        powers = stack.powers[order]
        if not np.array_equal(powers, program.powers.value):
            program.powers.value = powers
        program.coefficients.value = scaled[order]
        try:
            program.problem.solve(
                solver=cp.CLARABEL, gp=True, tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance
            )
        except cp.error.SolverError:
            return "solver error", None, np.zeros(len(rows))
        status, x = str(program.problem.status), program.variables.value
        prices = [constraint.dual_value for constraint in program.problem.constraints]

    multipliers = np.zeros(len(stack.counts))
    if x is None or any(price is None for price in prices):
        return status, None, multipliers[1:]
    for row, price in zip(sums[1:], prices, strict=False):
        multipliers[row] = float(price)
    if len(single):
        multipliers[single] = prices[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = y + np.log(x)
    return status, found if np.all(np.isfinite(found)) else None, np.nan_to_num(multipliers[1:])
