"""The best of several problems that differ in what cannot be mixed: chip, precision, GPUs per replica."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.errors import InputError, SolverError
from beyond_chinchilla.optimise import advice
from beyond_chinchilla.optimise.locate import MEMORY, assess, chinchilla, has_plan, kappa_at, locate, saved_of
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.outright import impossible, over_budget, unbudgeted
from beyond_chinchilla.optimise.past.effect import is_apart, laws_asked
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import explained, infeasible

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.conflict import Conflict

Labelled = tuple[str, Problem]

# Choices that cost more than this beyond the best are not asked again for another launch month.
_NEAR = 0.05


@dataclass(frozen=True, kw_only=True)
class ChoiceRow:
    """One combination beside the others.

    Attributes
    ----------
    label : str
        ``"h200-sxm fp8 x 2"``.
    status : {"optimal", "infeasible", "failed"}
    total : float or None
        Its least bill, GPUs rounded up [unit of the bill]; None without a plan, as all that follows.
    excess_fraction : float or None
        What it costs more than the chosen one.
    params, tokens : float or None
        Total parameters and training tokens of its plan.
    variables : mapping of str to float
        How that is served.
    total_params : float or None
        All parameters of a mixture of experts; None of a dense model.
    reason : str
        Why there is no plan, in one line.
    """

    label: str
    status: str
    total: float | None = None
    excess_fraction: float | None = None
    params: float | None = None
    tokens: float | None = None
    variables: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    total_params: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return {
            "label": self.label,
            "status": self.status,
            "total": self.total,
            "excess_fraction": self.excess_fraction,
            "params": self.params,
            "tokens": self.tokens,
            "variables": dict(self.variables),
            "reason": self.reason,
        } | ({} if self.total_params is None else {"total_params": self.total_params})


@dataclass(frozen=True)
class _Tried:
    """A combination with its plan, or with the reason why there is none."""

    label: str
    problem: Problem
    located: Located | None = None
    best: Candidate | None = None
    status: str = "optimal"
    reason: str = ""
    why: Conflict | None = None


def solve_choices(problems: Sequence[Labelled], name: str, method: str = "auto") -> Plan:
    """Return the plan of least bill over all problems, GPUs rounded up, and a row for each of them.

    The baseline is the Chinchilla model served by the combination that is best for it, of those whose memory holds
    it if there are any: savings are not flattered by running it on the wrong chip.

    Parameters
    ----------
    problems : sequence of (str, Problem)
        What each combination is called, and what it asks.
    name : str
        What the plan is called.
    method : str
        As in `solve`.

    Raises
    ------
    InputError
        No problem, two of one name, or one that does not minimise cost.
    SolverError
        No combination has a plan, and one of them for want of a proof.
    """
    labels = [label for label, _ in problems]
    if not labels:
        raise InputError(f"{name}: nothing to choose from")
    if len(set(labels)) < len(labels):
        raise InputError(f"{name}: the same choice twice among {', '.join(labels)}")
    if any(problem.objective != "cost" or problem.start_from is not None for _, problem in problems):
        raise InputError(f"{name}: choices are compared by their cost at a target; give one chip and precision")
    tried = _explained([_try(label, problem, method) for label, problem in problems])
    found = sorted((one for one in tried if one.best is not None), key=_total)
    asked, baseline = _baseline([problem for _, problem in problems])
    if not found:
        return _nothing(tried, name, baseline)
    winner = found[0]
    assert winner.located is not None
    least = _total(winner)
    plan = _beside(explained(winner.problem, winner.located), winner.problem, asked, baseline)
    return replace(
        plan,
        name=name,
        choice=winner.label,
        choices=(*(_row(one, least) for one in found), *(_row(one, least) for one in tried if one.best is None)),
    )


@dataclass(frozen=True)
class Sketch:
    """The best of several problems as far as a scan needs it: no proof, no prices, no reasons."""

    best: Candidate | None


def sketch(problems: Callable[[Sequence[str]], Sequence[Labelled]], like: Plan, method: str = "auto") -> Sketch:
    """Return the best model of choices that were nearly best in a similar question; of all where those have none.

    Parameters
    ----------
    problems : callable
        Those of the given labels; of none, all.
    like : Plan
        Of the same choices, for another launch month.
    method : str
        As in `solve`.
    """
    near = [row.label for row in like.choices if row.excess_fraction is not None and row.excess_fraction <= _NEAR]
    for labels in (near, []) if near else ([],):
        tried = [_try(*choice, method) for choice in problems(labels)]
        found = [one.best for one in tried if one.best is not None]
        if found:
            return Sketch(min(found, key=lambda best: best.total))
    return Sketch(None)


def _try(label: str, problem: Problem, method: str) -> _Tried:
    # What is told without a solver is told of plain laws.
    reason = "" if problem.is_extended else impossible(problem)
    if reason:
        return _Tried(label, problem, status="infeasible", reason=reason)
    try:
        free = None if problem.is_extended else unbudgeted(problem)
        located = locate(problem if free is None else free, method)
        if free is not None and located.found:
            reason = over_budget(problem, located)
            located = located if reason else locate(problem, method)
    except SolverError as error:
        return _Tried(label, problem, status="failed", reason=str(error))
    if reason or not located.found:
        return _Tried(label, problem, status="infeasible", reason=reason)
    best = assess(located.settled or problem, located.params, located.tokens, located.variables)
    return _Tried(label, problem, located, best)


def _explained(tried: Sequence[_Tried]) -> list[_Tried]:
    """Return all with a reason, in one line, for each that has no plan.

    A conflict is looked for in full once: the next choice is first asked whether the same limits stop it as well.
    """
    from beyond_chinchilla.optimise import conflict

    known: list[Conflict] = []
    found = []
    for one in tried:
        if one.status != "infeasible" or one.reason:
            found.append(one)
            continue
        why = next((why for why in known if conflict.repeats(one.problem, why, has_plan)), None)
        if why is not None:
            found.append(replace(one, reason=why.headline))
            continue
        why = conflict.explain(one.problem, has_plan)
        known.append(why)
        _, *rest = why.sentences(one.problem.target_loss)
        found.append(replace(one, reason="; ".join([why.headline, *rest[-1:]]), why=why))
    return found


def _total(one: _Tried) -> float:
    assert one.best is not None
    return one.best.total


def _row(one: _Tried, least: float) -> ChoiceRow:
    if one.best is None:
        return ChoiceRow(label=one.label, status=one.status, reason=one.reason)
    return ChoiceRow(
        label=one.label,
        status=one.status,
        total=one.best.total,
        excess_fraction=one.best.total / least - 1.0,
        params=one.best.params,
        tokens=one.best.tokens,
        variables=dict(one.best.variables),
        total_params=one.best.total_params,
    )


def _baseline(problems: Sequence[Problem]) -> tuple[Problem, Candidate]:
    served = [(problem, chinchilla(problem)) for problem in problems]
    return min(served, key=lambda one: (MEMORY in one[1].breaks, one[1].total))


def _beside(plan: Plan, problem: Problem, asked: Problem, baseline: Candidate) -> Plan:
    """Return the plan of `problem` beside the baseline of another choice, with kappa and advice of that one."""
    assert plan.best is not None
    saved = saved_of(plan.best, baseline)
    kappa = None if plan.kappa is None else kappa_at(asked.cost, baseline)
    told = advice.of_demand(plan.kappa, plan.savings_fraction)
    lines = [line for line in plan.warnings if line not in told]
    # The notes of a problem come last.
    notes = len(lines) - len(problem.notes)
    more = [] if is_apart(problem) else advice.of_demand(kappa, saved)
    return replace(
        plan,
        baseline=baseline,
        kappa=kappa,
        savings_fraction=saved,
        warnings=(*lines[:notes], *more, *lines[notes:]),
    )


def _nothing(tried: Sequence[_Tried], name: str, baseline: Candidate) -> Plan:
    """Return the plan that says what stands in the way of each combination; the first is explained in full."""
    failed = next((one for one in tried if one.status == "failed"), None)
    if failed is not None:
        raise SolverError(f"{failed.label}: {failed.reason}")
    plan = infeasible(tried[0].problem, "auto", tried[0].why)
    warnings = plan.warnings
    if len(tried) > 1:
        warnings = ("no plan on any of the choices", *(f"{one.label}: {one.reason}" for one in tried))
        warnings += tried[0].problem.notes
    rows = tuple(_row(one, math.nan) for one in tried)
    # One choice may do without a law that another asks.
    effects = {effect.kind: effect for one in reversed(tried) for effect in laws_asked(one.problem)}
    return replace(plan, name=name, baseline=baseline, warnings=warnings, choices=rows, effects=tuple(effects.values()))
