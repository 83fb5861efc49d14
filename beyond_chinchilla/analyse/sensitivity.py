"""What moves a plan: each input by itself, elasticities, whose uncertainty counts, and where decisions turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beyond_chinchilla.analyse.deployment import problem_of
from beyond_chinchilla.analyse.frontier import NOT_BY_DEMAND
from beyond_chinchilla.analyse.levers import (
    SERVING_PRICE,
    STEP,
    TARGET,
    TRAINING_PRICE,
    UNIQUE_TOKENS,
    Lever,
    levers,
    uncertain_levers,
)
from beyond_chinchilla.analyse.sobol import SobolRow, sobol_indices
from beyond_chinchilla.analyse.switch import CHIPS, BreakEven, demand_break_evens, switches
from beyond_chinchilla.analyse.variation import DEMAND, unrounded
from beyond_chinchilla.errors import BeyondChinchillaError, InputError
from beyond_chinchilla.optimise.locate import assess, locate
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.uncertainty import LAW, SUITE, Draws
from beyond_chinchilla.units import format_percent

# Draws of the law, or of the suite, behind its bar; by month each is a solve of its own.
LAW_DRAWS, LAW_DRAWS_BY_MONTH = 1024, 64
# Half the step of central differences, relative: their error is a third of its square.
_STEP = 0.01
# The elasticities that a plan brings along, by the lever that they belong to.
_ENVELOPE = {
    DEMAND: "demand",
    TRAINING_PRICE: "training_price",
    SERVING_PRICE: "serving_price",
    TARGET: "target_loss",
    UNIQUE_TOKENS: "unique_tokens",
}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What one input does by itself, the others as the scenario has them.

    Attributes
    ----------
    label : str
        Its dotted key, ``"demand"``, ``"law"`` or ``"suite"``.
    group : str
        Whose it is.
    low, high : float or None
        Where it was moved, in the unit of the scenario reference; None for a law or a suite.
    low_total, high_total : float or None
        Least bill there, the model chosen anew [unit of the bill]; None where there is no plan.
    low_params, high_params : float or None
        Its model.
    total, params : float
        Those of the scenario's plan.
    """

    label: str
    group: str
    low: float | None
    high: float | None
    low_total: float | None
    high_total: float | None
    low_params: float | None
    high_params: float | None
    total: float
    params: float

    @property
    def width(self) -> float:
        """|ln high_total/low_total|; infinite where an end has no plan."""
        if self.low_total is None or self.high_total is None:
            return math.inf
        return abs(math.log(self.high_total / self.low_total))

    def to_dict(self) -> dict[str, Any]:
        """Return the bar as JSON holds it."""
        keys = ("label", "group", "low", "high", "low_total", "high_total", "low_params", "high_params")
        return {key: getattr(self, key) for key in (*keys, "total", "params")}


@dataclass(frozen=True, kw_only=True)
class Elasticity:
    """By how many per cent the least bill moves with one per cent of an input.

    Attributes
    ----------
    label : str
        The input, as in `Bar`.
    value : float
        d ln total / d ln input by central differences of solved totals.
    envelope : float or None
        The same by the envelope theorem at the plan; None where the plan brings none along.
    """

    label: str
    value: float
    envelope: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the elasticity as JSON holds it."""
        return {"label": self.label, "value": self.value, "envelope": self.envelope}


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What moves a plan.

    Attributes
    ----------
    name : str
        The scenario's.
    unit : str
        Of the bill.
    bars : tuple of Bar
        The widest first.
    elasticities : tuple of Elasticity
        The steepest first.
    sobol : tuple of SobolRow
        Empty where fewer than two groups are uncertain.
    break_evens : tuple of BreakEven
    notes : tuple of str
        How these were found, and what was left out.
    """

    name: str
    unit: str
    bars: tuple[Bar, ...]
    elasticities: tuple[Elasticity, ...]
    sobol: tuple[SobolRow, ...]
    break_evens: tuple[BreakEven, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it: no NaN."""
        return {
            "scenario": self.name,
            "unit": self.unit,
            "bars": [bar.to_dict() for bar in self.bars],
            "elasticities": [one.to_dict() for one in self.elasticities],
            "sobol": [row.to_dict() for row in self.sobol],
            "break_evens": [one.to_dict() for one in self.break_evens],
            "notes": list(self.notes),
        }


def sensitivity(
    scenario: Scenario,
    plan: Plan,
    *,
    seed: int = 1,
    samples: int | None = None,
    chips: Sequence[str] = CHIPS,
) -> Sensitivity:
    """Return what moves a plan.

    Parameters
    ----------
    scenario : Scenario
    plan : Plan
        Of this scenario.
    seed : int
        Of the draws of a law and of the Sobol' indices.
    samples : int, optional
        Base points of the Sobol' indices, a power of two; by default 1024, and 32 by month.
    chips : sequence of str
        Of the catalogue, to which a switch is priced.

    Raises
    ------
    InputError
        Objective loss, whose bill is given; or a scenario without a plan.
    """
    best = _best(scenario, plan)
    bars, notes = tornado(scenario, plan, seed=seed)
    rows, more = sobol_indices(scenario, plan, samples=samples, seed=seed)
    turns: tuple[BreakEven, ...] = ()
    if scenario.file.thinking is not None:
        more += (NOT_BY_DEMAND,)
    elif scenario.file.start_from is None:
        turns = demand_break_evens(scenario, plan)
    if scenario.file.objective == "cost":
        switched, left_out = switches(scenario, plan, chips)
        turns += switched
        more += left_out
        notes += _assumed(scenario)
    return Sensitivity(
        name=scenario.name,
        unit=best.unit,
        bars=bars,
        elasticities=elasticities(scenario, plan),
        sobol=rows,
        break_evens=turns,
        notes=(*notes, *more),
    )


def _assumed(scenario: Scenario) -> tuple[str, ...]:
    """Say what a switch of chips leaves out."""
    serving = scenario.file.serving
    if serving is None or serving.codesign:
        return ()
    note = (
        "another chip is taken to reach the same utilisation, whatever its bandwidth; leave prefill_mfu and decode_mfu "
        "out to have batch and step time chosen on each"
    )
    return (note,)


def elasticities(scenario: Scenario, plan: Plan) -> tuple[Elasticity, ...]:
    """Return the elasticities of the least bill to every standard lever, the steepest first.

    By month, on what the plan serves on, launched as in it, before GPUs are rounded up. Raises as `sensitivity`.
    """
    _best(scenario, plan)
    found = [one for lever in levers(scenario) for one in _elasticity(plan, lever)]
    return tuple(sorted(found, key=lambda one: -abs(one.value)))


def _best(scenario: Scenario, plan: Plan) -> Candidate:
    if scenario.file.objective == "loss":
        raise InputError(f"{scenario.name}: objective loss spends a given budget: there is no bill to vary; use cost")
    if plan.best is None:
        raise InputError(f"{scenario.name}: {plan.status}: there is no plan whose inputs could be varied")
    return plan.best


def _elasticity(plan: Plan, lever: Lever) -> list[Elasticity]:
    """Return the elasticity to a lever; nothing where a step has no plan."""
    values = ((1.0 - _STEP) * lever.value, min((1.0 + _STEP) * lever.value, lever.most))
    totals, losses = [], []
    for value in values:
        try:
            problem = problem_of(lever.at(value), plan)
            best = _cheapest(problem)
        except BeyondChinchillaError:
            return []
        if best is None:
            return []
        totals.append(unrounded(best))
        losses.append(problem.target_loss)
    step = math.log(values[1] / values[0])
    known = {**plan.elasticities}
    for effect in plan.effects:
        known |= effect.elasticities
    envelope = known.get(_ENVELOPE.get(lever.label, ""))
    if envelope is not None and lever.label == TARGET:
        # The plan's is by the loss, the lever's by the size that has it.
        envelope *= math.log(losses[1] / losses[0]) / step
    return [Elasticity(label=lever.label, value=math.log(totals[1] / totals[0]) / step, envelope=envelope)]


def _cheapest(problem: Problem) -> Candidate | None:
    """Return the best model without what `solve` proves and explains."""
    if problem.start_from is not None:
        return solve(problem).best
    located = locate(problem)
    if not located.found:
        return None
    return assess(located.settled or problem, located.params, located.tokens, located.variables)


def tornado(scenario: Scenario, plan: Plan, *, seed: int = 1) -> tuple[tuple[Bar, ...], tuple[str, ...]]:
    """Return what each input does by itself, the widest bar first, and how the bars were found.

    The uncertain inputs, else the standard levers; and the law, where that is uncertain. By month chip, precision and
    launch are chosen anew at each end as well. Raises as `sensitivity`.
    """
    best = _best(scenario, plan)
    uncertainty = scenario.uncertainty
    if uncertainty.inputs:
        moved = uncertain_levers(scenario)
        note = "each uncertain input moves from its p10 to its p90, or between the ends stated; the others at medians"
    else:
        moved = levers(scenario)
        note = f"no input is stated as uncertain: each moves by {format_percent(STEP, 0)} to both sides"
    bars = [_bar(lever, best) for lever in moved]
    notes = [note]
    for label, drawn in ((LAW, uncertainty.law), (SUITE, uncertainty.suite)):
        if drawn is not None:
            bars.append(_drawn_bar(label, scenario, plan, best, seed))
            notes.append(
                f"the {label} moves as a whole: of {_law_draws(plan)} joint draws of its parameters, those at 10% and "
                "90% of the total"
            )
    return tuple(sorted(bars, key=lambda bar: -bar.width)), tuple(notes)


def _bar(lever: Lever, best: Candidate) -> Bar:
    ends = [_solved(lever, value) for value in (lever.low, lever.high)]
    (low_total, low_params), (high_total, high_params) = ends
    return Bar(
        label=lever.label,
        group=lever.group,
        low=lever.low,
        high=lever.high,
        low_total=low_total,
        high_total=high_total,
        low_params=low_params,
        high_params=high_params,
        total=best.total,
        params=best.params,
    )


def _solved(lever: Lever, value: float) -> tuple[float, float] | tuple[None, None]:
    """Return total and size of the best plan with a lever at a value; nothing where there is none."""
    try:
        found = solve(lever.at(value)).best
    except BeyondChinchillaError:
        return None, None
    return (None, None) if found is None else (found.total, found.params)


def _law_draws(plan: Plan) -> int:
    return LAW_DRAWS if plan.serving is None else LAW_DRAWS_BY_MONTH


def _drawn_bar(label: str, scenario: Scenario, plan: Plan, best: Candidate, seed: int) -> Bar:
    """Return the bar of law or suite: the draws at 10% and 90% of the total; out of reach is dearer than all."""
    from beyond_chinchilla.analyse.risk.sampling import sobol
    from beyond_chinchilla.analyse.risk.worlds import worlds_of

    count, law, suite = _law_draws(plan), scenario.uncertainty.law, scenario.uncertainty.suite
    if label == LAW:
        assert law is not None
        draws = Draws(count=count, values={}, law=law.draw(sobol(count, law.dimensions, seed)))
    else:
        assert suite is not None
        drawn = suite.draw(sobol(count, suite.dimensions, seed))
        draws = Draws(count=count, values={}, law=None, suite=drawn)
    seen = worlds_of(scenario, plan, draws).foresight()
    totals = np.where(seen.reachable, seen.total, np.inf)
    order = np.argsort(totals, kind="stable")
    low, high = (int(order[int(share * (count - 1))]) for share in (0.1, 0.9))
    figures = [
        (float(seen.total[k]), float(seen.params[k])) if seen.reachable[k] else (None, None) for k in (low, high)
    ]
    return Bar(
        label=label,
        group=label,
        low=None,
        high=None,
        low_total=figures[0][0],
        high_total=figures[1][0],
        low_params=figures[0][1],
        high_params=figures[1][1],
        total=best.total,
        params=best.params,
    )
