"""What it costs to plan for one demand and to meet another: both ways, because they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.committed import called, given, hold_at
from beyond_chinchilla.analyse.deployment import problem_of
from beyond_chinchilla.analyse.variation import DEMAND, numeric_key, scaled, unrounded, value_at
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.locate import assess, locate
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.load import Scenario

Array = NDArray[np.float64]

POINTS, MAX_POINTS = 9, 101
# How far the map reaches to both sides where the scenario does not say how uncertain its demand is.
SPAN = 30.0
# Of a number other than the demand.
KEY_SPAN = 4.0
FARTHEST = 1e9
# By how much a forecast is wrong in the sentence on asymmetry.
FACTOR = 4.0
# The keys that state how much is asked.
_VOLUMES = tuple(f"demand.{key}" for key in ("requests", "tokens", "requests_per_month", "requests_per_day", "users"))
# What stands for a limit where there is none to blame.
NO_PLAN, TARGET = "no plan", "target"
_TAIL = 0.01
# A target missed by no more than rounding.
_SLIP = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """A model that was planned for one value, under another.

    Attributes
    ----------
    total : float
        Its bill, before GPUs are rounded up; nan without a plan.
    breaks : tuple of str
        Limits that it breaks there; ``"target"`` where it is not good enough, ``"no plan"`` where there is none.
    """

    total: float
    breaks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Asymmetry:
    """What a forecast that is too low costs, against one that is too high by the same factor.

    Attributes
    ----------
    factor : float
        By how much the forecast of `under` and `over` is wrong.
    under, over : float or None
        Regret at the scenario's own value of the plan for 1/factor of it, and of that for `factor` times it; None
        where there is none, or it breaks a limit.
    mean_under, mean_over : float or None
        Over all pairs of the map, the geometric mean of 1 + regret, less 1.
    """

    factor: float
    under: float | None
    over: float | None
    mean_under: float | None
    mean_over: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return the figures as JSON holds them."""
        return {
            "factor": self.factor,
            "under": self.under,
            "over": self.over,
            "mean_under": self.mean_under,
            "mean_over": self.mean_over,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class RegretMap:
    """The cost of plans made for one value where another is met.

    Attributes
    ----------
    name : str
        The scenario's.
    label : str
        What varies: ``"demand"``, or a key of the scenario.
    unit : str
        Of its values; empty for a key, which has the unit of the scenario reference.
    value : float
        The scenario's own.
    bill_unit : str
        ``"USD"`` or ``"FLOP"``.
    planned, met : array, shape (m,)
        Values planned for and met, the same; increasing.
    params, tokens : array, shape (m,)
        The plan for each; nan where there is none.
    cost : array, shape (m, m)
        Bill of the plan for a row's value where a column's is met, before GPUs are rounded up; nan without a plan.
    regret : array, shape (m, m)
        Cost over that of the best plan for the value met, less 1; 0 on the diagonal, never negative, nan where the
        plan breaks a limit or misses the target there.
    breaks : tuple of tuple of tuple of str
        By cell, what is broken.
    asymmetry : Asymmetry
    notes : tuple of str
        Assumptions.
    """

    name: str
    label: str
    unit: str
    value: float
    bill_unit: str
    planned: Array
    met: Array
    params: Array
    tokens: Array
    cost: Array
    regret: Array
    breaks: tuple[tuple[tuple[str, ...], ...], ...]
    asymmetry: Asymmetry
    notes: tuple[str, ...] = ()

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one record a cell, for CSV; figures that there are not are None."""
        return [
            {
                "planned": planned,
                "met": met,
                "params": _number(self.params[i]),
                "tokens": _number(self.tokens[i]),
                "cost": _number(self.cost[i, j]),
                "unit": self.bill_unit,
                "regret": _number(self.regret[i, j]),
                "breaks": " ".join(self.breaks[i][j]),
            }
            for i, planned in enumerate(self.planned.tolist())
            for j, met in enumerate(self.met.tolist())
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the map as JSON holds it: no NaN."""
        return {
            "scenario": self.name,
            "over": self.label,
            "value": self.value,
            "value_unit": self.unit,
            "unit": self.bill_unit,
            "planned": self.planned.tolist(),
            "met": self.met.tolist(),
            "params": [_number(value) for value in self.params],
            "tokens": [_number(value) for value in self.tokens],
            "cost": [[_number(value) for value in row] for row in self.cost],
            "regret": [[_number(value) for value in row] for row in self.regret],
            "breaks": [[list(cell) for cell in row] for row in self.breaks],
            "asymmetry": self.asymmetry.to_dict(),
            "notes": list(self.notes),
        }


def regret_map(
    scenario: Scenario,
    plan: Plan,
    key: str = DEMAND,
    *,
    points: int = POINTS,
    low: float | None = None,
    high: float | None = None,
) -> RegretMap:
    """Plan for each of several values, meet each of them.

    Training is over before the value shows: size and tokens stay as planned, and with them what else laws past
    Chinchilla let a plan choose, such as the samples of a request. By month, what it is served on and the
    month of launch stay those of `plan`; batch and step time follow what is met.

    Parameters
    ----------
    scenario : Scenario
    plan : Plan
        Of this scenario.
    key : str
        ``"demand"``, or the dotted key of a number: ``"serving.decode_mfu"``.
    points : int
        From 2 to 101, log-spaced.
    low, high : float, optional
        Ends as multiples of the scenario's own value. By default the 1st and 99th percentile of what is stated as
        uncertain, else 1/30 and 30 of the demand, 1/4 and 4 of another number (a share ends at 1).

    Raises
    ------
    InputError
        A key that is no number, ends that are no line, or a question without a target to plan for.
    """
    if not 2 <= points <= MAX_POINTS:
        raise InputError(f"--points {points}: give 2 to {MAX_POINTS}")
    ends = _ends(scenario, key)
    low, high = ends[0] if low is None else low, ends[1] if high is None else high
    if not 0 < low < high < math.inf:
        raise InputError(f"the map must run from a positive low to a higher high, not from {low:g} to {high:g}")
    if not 1.0 / FARTHEST <= low < high <= FARTHEST:
        raise InputError(
            f"the map runs from {1.0 / FARTHEST:g} to {FARTHEST:g} times at most, not from {low:g} to {high:g}: "
            "no forecast is as wrong"
        )
    value, unit = scenario.demand() if key == DEMAND else (float(value_at(scenario, numeric_key(scenario, key))), "")
    line = _Line(scenario, plan, key)
    factors = np.geomspace(low, high, points)
    stations = [line.at(float(factor)) for factor in factors]
    cells = [[_meet(planned, met) for met in stations] for planned in stations]
    regret = np.array([[_regret(cell, met) for cell, met in zip(row, stations, strict=True)] for row in cells])
    return RegretMap(
        name=scenario.name,
        label=key,
        unit=unit,
        value=value,
        bill_unit=plan.baseline.unit,
        planned=value * factors,
        met=value * factors,
        params=np.array([station.best.params if station.best else math.nan for station in stations]),
        tokens=np.array([station.best.tokens if station.best else math.nan for station in stations]),
        cost=np.array([[cell.total for cell in row] for row in cells]),
        regret=regret,
        breaks=tuple(tuple(cell.breaks for cell in row) for row in cells),
        asymmetry=_asymmetry(line, regret),
        notes=_notes(plan),
    )


@dataclass(frozen=True)
class _Station:
    """A value on the line: what it asks, and the best plan for it."""

    problem: Problem
    best: Candidate | None
    counted: float
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Line:
    """A scenario along one of its values."""

    scenario: Scenario
    plan: Plan
    key: str

    def at(self, factor: float) -> _Station:
        """Return the station at a multiple of the scenario's own value."""
        problem = problem_of(scaled(self.scenario, self.key, factor), self.plan)
        if problem.objective == "loss":
            raise InputError(f"{problem.name}: a regret map needs a target to plan for, not objective loss")
        if problem.start_from is not None:
            raise InputError(f"{problem.name}: start_from fixes the size: there is no plan to regret; leave it out")
        located = locate(problem)
        if not located.found:
            return _Station(problem, None, math.nan)
        best = assess(located.settled or problem, located.params, located.tokens, located.variables)
        return _Station(problem, best, located.params, located.held)


def _meet(planned: _Station, met: _Station) -> Cell:
    """Return what the plan for one value costs where another is met."""
    if planned.best is None:
        return Cell(total=math.nan, breaks=(NO_PLAN,))
    if planned is met:
        return Cell(total=unrounded(planned.best))
    try:
        asked = hold_at(met.problem, planned.numbers)
    except InputError:
        # No size at all reaches what is met with the numbers that were planned.
        return Cell(total=math.nan, breaks=(TARGET,))
    found = given(asked, planned.counted, planned.best.tokens)
    missed = found.loss > met.problem.target_loss * (1.0 + _SLIP)
    return Cell(total=unrounded(found), breaks=(*((TARGET,) if missed else ()), *found.breaks))


def _regret(cell: Cell, met: _Station) -> float:
    """Return the regret of a cell; nan where it breaks something, or nothing can be had there."""
    if cell.breaks or met.best is None:
        return math.nan
    # The plan met is one of those that the best one beats: below zero is rounding.
    return max(cell.total / unrounded(met.best) - 1.0, 0.0)


def _asymmetry(line: _Line, regret: Array) -> Asymmetry:
    under, over = (_wrong(line, factor) for factor in (1.0 / FACTOR, FACTOR))
    return Asymmetry(factor=FACTOR, under=under, over=over, mean_under=_mean(regret), mean_over=_mean(regret.T))


def _wrong(line: _Line, factor: float) -> float | None:
    """Return the regret of a plan for `factor` times the scenario's own value; None where nobody could make it."""
    own = line.at(1.0)
    try:
        planned = line.at(factor)
    except InputError:
        # A share above 1, a fleet without room.
        return None
    return _number(_regret(_meet(planned, own), own))


def _mean(regret: Array) -> float | None:
    """Return the geometric mean of 1 + regret, less 1, above the diagonal: planned for less than is met."""
    values = regret[np.triu_indices(len(regret), 1)]
    values = values[np.isfinite(values)]
    return float(np.expm1(np.log1p(values).mean())) if values.size else None


def _ends(scenario: Scenario, key: str) -> tuple[float, float]:
    """Return the ends of the map as multiples of the scenario's own value."""
    for one in scenario.uncertain:
        if key == one.label or (key == DEMAND and one.label in _VOLUMES):
            low, high = (float(one.distribution.quantile(u)) for u in (_TAIL, 1.0 - _TAIL))
            median = one.distribution.median
            if 0 < low < high:
                return max(low / median, 1.0 / FARTHEST), min(high / median, FARTHEST)
    if key in (DEMAND, *_VOLUMES):
        return 1.0 / SPAN, SPAN
    value = float(value_at(scenario, numeric_key(scenario, key)))
    return 1.0 / KEY_SPAN, KEY_SPAN if value > 1.0 or _allows(scenario, key, KEY_SPAN) else 1.0 / value


def _allows(scenario: Scenario, key: str, factor: float) -> bool:
    """Say whether the scenario may have so many times the number: a share ends at 1."""
    try:
        scaled(scenario, key, factor)
    except InputError:
        return False
    return True


def _notes(plan: Plan) -> tuple[str, ...]:
    found = []
    if plan.choice and plan.serving is None:
        found.append(f"everywhere {plan.choice}, as the scenario's plan chose")
    elif plan.choice:
        found.append(f"everywhere on {plan.choice}, launched as in the scenario's plan; before GPUs are rounded up")
    chosen = [called(name) for effect in plan.effects for name in effect.figures if called(name)]
    if chosen:
        found.append(f"{' and '.join(chosen)} stay as planned, like size and tokens")
    return tuple(found)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
