"""Many plans along one line: cost against quality, plan against demand, quality against budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.analyse.baseline_block import baselines
from beyond_chinchilla.analyse.committed import whole_of
from beyond_chinchilla.analyse.disagreement import equivalent_size
from beyond_chinchilla.analyse.plan_block import cheapest, takes_arrays
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.thinking import WORDS
from beyond_chinchilla.optimise.best_loss import BUDGET, solve_loss
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import assess, locate, savings
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.block import ProblemBlock

Array = NDArray[np.float64]

OVERS = ("target", "demand", "budget")
MAX_POINTS = 10_000
# How far a frontier reaches to both sides of the scenario, unless it is told.
_SPANS = {"target": 10.0, "demand": 100.0, "budget": 10.0}
# Demands that are tried at once, and how often between two neighbours again.
_AT_ONCE, _ROUNDS = 64, 7
# Of what break-even has nothing to say.
NOT_BY_DEMAND = (
    "no demand is told from which the plan saves: the baseline answers once, and against it savings need not rise with "
    "demand"
)
_LEAST_FACTOR, _MOST_FACTOR = math.log(1e-12), math.log(1e12)
# Of the log of a demand that is found by halving, and by fewer steps where each is slow.
_HALVINGS, _CLOSE = 60, 1e-6


@dataclass(frozen=True)
class Point:
    """One plan of a frontier.

    Attributes
    ----------
    over : str
        What varies: ``"chinchilla_params"`` (the target as a compute-optimal size), ``"demand"`` (relative to the
        scenario) or ``"budget"`` [unit of the bill].
    at : float
        Its value.
    plan : Plan
    """

    over: str
    at: float
    plan: Plan

    def to_dict(self) -> dict[str, Any]:
        """Return the point as one flat record; figures are None where there is no plan."""
        best, plan = self.plan.best, self.plan
        figures: dict[str, Any] = {
            self.over: self.at,
            "status": plan.status,
            "target_loss": plan.target_loss,
            "params": best.params if best else None,
            "tokens": best.tokens if best else None,
            "tokens_per_param": best.tokens_per_param if best else None,
            "loss": best.loss if best else None,
            "total": best.total if best else None,
            "unit": plan.baseline.unit,
            "baseline_params": plan.baseline.params,
            "baseline_tokens": plan.baseline.tokens,
            "baseline_total": plan.baseline.total,
            "savings_fraction": plan.savings_fraction if best else None,
            "kappa": plan.kappa,
            "binding": " ".join(f"{row.label}.{row.side}" for row in plan.limits if row.binding),
        }
        return figures


def trace(
    problem: Problem,
    over: str,
    *,
    points: int = 50,
    low: float | None = None,
    high: float | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[Point]:
    """Solve a problem at log-spaced values of its target, demand or budget.

    Parameters
    ----------
    problem : Problem
    over : {"target", "demand", "budget"}
        The target as the size of the compute-optimal model of equal loss; demand as a factor; the whole bill.
    points : int
        From 2 to 10,000.
    low, high : float, optional
        Ends of the line; 1/10 and 10 times the scenario's target or bill, 1/100 and 100 times its demand.
    progress : callable, optional
        Told how many points are solved, of how many: by month, each takes a tenth of a second and more.

    Raises
    ------
    InputError
        Another `over`, or a line that cannot be drawn.
    """
    if over not in OVERS:
        raise InputError(f"--over {over}: trace one of {', '.join(OVERS)}")
    if not 2 <= points <= MAX_POINTS:
        raise InputError(f"--points {points}: give 2 to {MAX_POINTS:,}")
    if over == "budget":
        _refuse_months(problem)
    centre = {"target": equivalent_size, "demand": lambda _: 1.0, "budget": _bill}[over](problem)
    low = centre / _SPANS[over] if low is None else low
    high = centre * _SPANS[over] if high is None else high
    if not (0 < low < high < math.inf):
        raise InputError(f"the line must run from a positive low to a higher high, not from {low:g} to {high:g}")
    draw = {"target": _at_size, "demand": _at_demand, "budget": _at_budget}[over]
    found: list[Point] = []
    for at in np.geomspace(low, high, points):
        found.append(draw(problem, float(at)))
        if progress is not None:
            progress(len(found), points)
    return found


def break_even(problem: Problem, fractions: Sequence[float] = (0.01, 0.05, 0.10)) -> list[tuple[float, float | None]]:
    """Return for each saving the demand, relative to the problem's, from which the plan saves that much.

    Savings against the Chinchilla model rise with demand, so that bisection finds the point; None where no demand
    within twelve orders of magnitude gets there (a limit may stand in the way), 0 where next to none is enough (paid
    data, say, asks for a larger model as well).

    Raises
    ------
    InputError
        Requests that think: against a model that answers once savings need not rise with demand.
    """
    if any(lever.variable in WORDS for lever in problem.levers):
        raise InputError(f"{problem.name}: {NOT_BY_DEMAND}")
    bent = problem.is_extended and problem.bill is None and not any(lever.variable for lever in problem.levers)
    if bent and takes_arrays(_scaled_block(problem, np.ones(1))):
        return [(fraction, _demand_at_once(problem, fraction)) for fraction in fractions]
    known: dict[float, float] = {}
    return [(fraction, _demand_for(problem, fraction, known)) for fraction in fractions]


def scale_demand(problem: Problem, factor: float) -> Problem:
    """Return the problem with every term that demand drives multiplied, in the bill and in the limits."""
    limits = tuple(replace(limit, quantity=_scaled(limit.quantity, factor)) for limit in problem.limits)
    return replace(
        problem,
        cost=_scaled(problem.cost, factor),
        flops=_scaled(problem.flops, factor),
        limits=limits,
        bill=None if problem.bill is None else problem.bill.scaled(factor),
    )


def _scaled(posynomial: Posynomial, factor: ArrayLike) -> Posynomial:
    terms = tuple(term.times(factor) if "demand" in term.drivers else term for term in posynomial.terms)
    return Posynomial(terms, posynomial.unit)


def _bill(problem: Problem) -> float:
    if problem.objective == "loss":
        return next(limit.bound for limit in problem.limits if limit.label == BUDGET)
    located = locate(replace(problem, limits=()))
    return assess(located.settled or problem, located.params, located.tokens, located.variables).total


def _refuse_months(problem: Problem) -> None:
    if problem.bill is not None:
        raise InputError(
            f"{problem.name}: a budget is spent over the life as a whole, not by month; vary the target or the demand"
        )


def _at_size(problem: Problem, size: float) -> Point:
    law = problem.target_law or problem.law
    loss = float(law.compute_optimal(params=law.counted_params(size)).loss)
    return Point("chinchilla_params", size, solve(replace(problem, target_loss=loss)))


def _at_demand(problem: Problem, factor: float) -> Point:
    return Point("demand", factor, solve(scale_demand(problem, factor)))


def _at_budget(problem: Problem, budget: float) -> Point:
    return Point("budget", budget, solve_loss(with_budget(problem, budget)))


def with_budget(problem: Problem, budget: float) -> Problem:
    """Return the problem with a ceiling on the whole bill, in place of one that it may have.

    Raises
    ------
    InputError
        What serving costs is known by month: the best loss for a budget is not.
    """
    _refuse_months(problem)
    others = tuple(limit for limit in problem.limits if limit.label != BUDGET)
    unit = problem.cost.unit
    ceiling = Limit(label=BUDGET, side="max", quantity=problem.cost, bound=budget, unit=unit, each=unit)
    return replace(problem, limits=(*others, ceiling))


def _demand_for(problem: Problem, fraction: float, known: dict[float, float]) -> float | None:
    """Return the demand from which a fraction is saved; what is saved at logs of demands is `known`, and added to."""

    def saved(log_factor: float) -> float:
        if log_factor not in known:
            known[log_factor] = _saved(problem, log_factor)
        return known[log_factor]

    low, high = _LEAST_FACTOR, _MOST_FACTOR
    if problem.bill is not None:
        # A fleet of 1e12 times the GPUs is no fleet.
        low, high = 0.5 * low, 0.5 * high
    if saved(low) >= fraction:
        return 0.0
    if not saved(high) >= fraction:
        return None
    if problem.bill is not None or problem.is_extended:
        # Each step is a search, or a geometric program: few of them, from the nearest known ones, to a millionth.
        from scipy.optimize import brentq

        def enough() -> float:
            return min(at for at, share in known.items() if share >= fraction)

        low = max(at for at, share in known.items() if share < fraction and at < enough())
        brentq(lambda log_factor: max(saved(log_factor), -1.0) - fraction, low, enough(), xtol=_CLOSE)
        # Of the two ends that are left, the one at which so much is saved: savings may leap between them.
        return math.exp(enough())
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if saved(middle) >= fraction else (middle, high)
    return math.exp(high)


def _saved(problem: Problem, log_factor: float) -> float:
    """Return what the plan saves at a demand, against its baseline there; minus infinity without a plan."""
    scaled = scale_demand(problem, math.exp(log_factor))
    located = locate(scaled)
    return savings(scaled, located) if located.found else -math.inf


def _demand_at_once(problem: Problem, fraction: float) -> float | None:
    """Return the same as `_demand_for`, of many demands at once: for laws under which each would be a search."""
    low, high = _LEAST_FACTOR, _MOST_FACTOR
    for _ in range(_ROUNDS):
        logs = np.linspace(low, high, _AT_ONCE)
        saves = np.flatnonzero(_savings(problem, np.exp(logs)) >= fraction)
        if not saves.size:
            return None
        first = int(saves[0])
        if first == 0:
            return 0.0
        low, high = float(logs[first - 1]), float(logs[first])
    return math.exp(high)


def _savings(problem: Problem, factors: Array) -> Array:
    """Return what plans save against their baselines at many demands; nan where there is no plan."""
    block = _scaled_block(problem, factors)
    found = cheapest(block, [limit.ratio for limit in block.limits])
    total = block.cost.value({"params": found.params, "tokens": found.tokens})
    return np.asarray(1.0 - total / baselines(block).total)


def _scaled_block(problem: Problem, factors: Array) -> ProblemBlock:
    """Return the problem at many demands, as arrays; see `scale_demand`."""
    whole = whole_of(problem)
    stated = tuple(replace(limit, quantity=_scaled(limit.quantity, factors)) for limit in problem.limits)
    return ProblemBlock(
        count=factors.size,
        law=whole.law,
        target_loss=np.full(factors.size, problem.target_loss),
        bill=_scaled(problem.cost, factors),
        compute=_scaled(problem.flops, factors),
        stated=stated,
        name=problem.name,
        repetition=whole.repetition,
        quantisation=whole.quantisation,
    )
