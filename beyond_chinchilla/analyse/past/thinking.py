"""What thinking at inference costs a plan and replaces, and up to which demand it pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from beyond_chinchilla.analyse.deployment import problem_of
from beyond_chinchilla.analyse.frontier import scale_demand
from beyond_chinchilla.errors import BeyondChinchillaError, SolverError
from beyond_chinchilla.laws.thinking import Thinking, matched_samples
from beyond_chinchilla.optimise.locate import assess, locate, log_cost
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.past.thinking import InlineThinking, ReasoningRange, SampleRange, held_at

_KIND = "thinking"
# Demand is searched so many e-folds to either side, by steps that double.
_FAR = 14.0
# Accuracy of the break-even in the log of demand: bills over the life are fast, those by month are not.
_CLOSE, _ROUGH = 1e-9, 5e-3
# Tokens of reasoning this near to the fewest are none.
_SAME = 1e-3


@dataclass(frozen=True, kw_only=True)
class AtK:
    """The best plan at one number of samples, or tokens of reasoning.

    Attributes
    ----------
    value : float
    params, tokens, total : float or None
        None where no model reaches the target.
    """

    value: float
    params: float | None
    tokens: float | None
    total: float | None


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """The demand at which thinking ceases to pay.

    Attributes
    ----------
    factor : float or None
        Of the scenario's demand: below it thinking is cheaper, above it answering once is. None where that is so at no
        demand within a factor of a million.
    demand : float or None
        The same in `unit`.
    unit : str
        ``"requests"`` or ``"tokens"``.
    held : float or None
        The k that is compared with `once`; None for as much as pays at each demand.
    """

    factor: float | None
    demand: float | None
    unit: str
    held: float | None


@dataclass(frozen=True, kw_only=True)
class Thought:
    """What thinking does to a plan.

    Attributes
    ----------
    variable : str
        ``"samples"`` or ``"reasoning_tokens"``.
    value, once : float
        How much a request thinks, and what stands for not thinking.
    cost : float
        What of the bill is for more than that, as the plan is served.
    without : AtK
        The best plan that does not think.
    loss_without : float or None
        Its loss, where the least loss is asked for; None otherwise.
    reason : str
        Why there is none.
    break_even : BreakEven or None
        None without a plan that does not think, with another objective, or where thinking is not allowed for.
    matched_samples : float or None
        Samples of this model that the FLOPs of `without` would pay (Snell et al. 2024), each counted with its own
        training data; None for tokens of reasoning or where `without` has no plan.
    by_value : tuple of AtK
        The best plan at each of several k; empty by month.
    """

    variable: str
    value: float
    once: float
    cost: float
    without: AtK
    loss_without: float | None
    reason: str
    break_even: BreakEven | None
    matched_samples: float | None
    by_value: tuple[AtK, ...]

    @property
    def thinks(self) -> bool:
        """Whether the plan thinks at all."""
        return self.value > self.once * (1.0 + _SAME)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON holds them."""
        return asdict(self)


def thought(scenario: Scenario, problem: Problem, plan: Plan) -> Thought:
    """Return what thinking does to a plan.

    Parameters
    ----------
    scenario : Scenario
        With constants of thinking; of several alternatives, the chosen one.
    problem : Problem
        Whose optimum the plan is.
    plan : Plan
        With a model.
    """
    section, best = scenario.file.thinking, plan.best
    assert section is not None
    assert best is not None
    effect = next(effect for effect in plan.effects if effect.kind == _KIND)
    value = effect.figures[section.way]
    other, reason = _once(scenario, problem)
    once = None if other is None else other.best
    even = None
    if other is not None and problem.objective == "cost":
        even = _break_even(scenario, problem, problem_of(at(scenario, section.once), other), value)
    return Thought(
        variable=section.way,
        value=value,
        once=section.once,
        cost=_cost(scenario, section, best, value),
        without=_at(section.once, once),
        loss_without=once.loss if once is not None and problem.objective == "loss" else None,
        reason=reason,
        break_even=even,
        matched_samples=None if once is None else _matched(scenario, section, best, once),
        by_value=tuple(_by_value(problem, value)),
    )


def at(scenario: Scenario, value: float) -> Scenario:
    """Return the scenario with so many samples, or tokens of reasoning, of every request."""
    return replace(scenario, file=held_at(scenario.file, value))


def _once(scenario: Scenario, problem: Problem) -> tuple[Plan | None, str]:
    """Return the plan that does not think, or why there is none."""
    lever = next(lever for lever in problem.levers if lever.kind == _KIND)
    assert lever.baseline is not None
    floor = lever.held(problem.law, lever.baseline).E
    if problem.objective == "cost" and problem.target_loss <= floor:
        return None, f"it leaves a loss of {floor:.4g} at any size and data"
    try:
        plan = solve(at(scenario, lever.baseline))
    except SolverError:
        return None, "no plan for it passed its proof"
    except BeyondChinchillaError as error:
        return None, str(error).splitlines()[0]
    if plan.best is None:
        return None, plan.warnings[0] if plan.warnings else f"the problem is {plan.status}"
    return plan, ""


def _at(value: float, found: Candidate | None) -> AtK:
    if found is None:
        return AtK(value=value, params=None, tokens=None, total=None)
    return AtK(value=value, params=found.params, tokens=found.tokens, total=found.total)


def _cost(scenario: Scenario, section: InlineThinking, best: Candidate, value: float) -> float:
    """Return what is paid for thinking beyond `once`, out of the terms of the bill."""
    terms = best.terms
    if section.way == "samples":
        repeated = terms.get("decode", 0.0)
        if section.shared_prefill is False:
            repeated += terms.get("prefill", 0.0)
        return repeated * (1.0 - section.once / value)
    if "reasoning" in terms:
        return terms["reasoning"] * (1.0 - section.once / value)
    written = value + (scenario.file.demand.output_tokens or 0.0)
    return terms.get("decode", 0.0) * (value - section.once) / written


def _matched(scenario: Scenario, section: InlineThinking, best: Candidate, once: Candidate) -> float | None:
    if section.way != "samples":
        return None
    life = scenario.file.demand.life()
    prefill, decode = float(life.prefill_tokens), float(life.decode_tokens)
    shared = 0.0 if section.shared_prefill is False else prefill
    return float(
        matched_samples(
            once.params / best.params,
            best.tokens,
            prefill + decode - shared,
            larger_pretraining_tokens=once.tokens,
            shared_tokens=shared,
        )
    )


def _by_value(problem: Problem, value: float) -> Iterator[AtK]:
    """Yield the best plan at doublings of k, and at the chosen one."""
    lever = next(lever for lever in problem.levers if lever.kind == _KIND)
    if problem.bill is not None or problem.objective != "cost" or lever.low == lever.high:
        return
    # A dozen lines at most: by a factor of two, or more where the range is wide.
    steps = max(1.0, math.ceil(math.log2(lever.high / lever.low) / 8.0))
    found = {lever.low, lever.high, value}
    k = lever.low * 2.0**steps
    while k < lever.high:
        found.add(float(round(k)) if lever.whole else k)
        k *= 2.0**steps
    for each in sorted(found):
        # Where it stands among the levers: a shape before it scales the law alone.
        levers = tuple(
            replace(one, low=each, high=each) if isinstance(one, Thinking) else one for one in problem.levers
        )
        found_at = locate(replace(problem, levers=levers))
        settled = found_at.settled
        if settled is None:
            yield _at(each, None)
        else:
            yield _at(each, assess(settled, found_at.params, found_at.tokens, found_at.variables))


# Demand at which thinking ceases to pay


def _break_even(scenario: Scenario, problem: Problem, without: Problem, value: float) -> BreakEven | None:
    """Return the demand at which both cost the same; None where nothing but answering once is allowed."""
    thinking = _thinking_problem(scenario, problem, value)
    if thinking is None:
        return None

    def gap(log_factor: float) -> float:
        """Return ln (cost of thinking / cost without) at a multiple of the demand."""
        factor = math.exp(log_factor)
        ours, theirs = (_log_cost(scale_demand(one, factor)) for one in (thinking, without))
        return -1.0 if math.isinf(theirs) else 1.0 if math.isinf(ours) else ours - theirs

    root = _root(gap, _CLOSE if problem.bill is None else _ROUGH)
    demand, unit = scenario.demand()
    factor = None if root is None else math.exp(root)
    return BreakEven(
        factor=factor,
        demand=None if factor is None else factor * demand,
        unit=unit,
        held=None if _chosen_freely(scenario) else value,
    )


def _chosen_freely(scenario: Scenario) -> bool:
    """Say whether the number of samples may be another one at another demand."""
    section = scenario.file.thinking
    return section is not None and isinstance(section.stated, SampleRange)


def _thinking_problem(scenario: Scenario, problem: Problem, value: float) -> Problem | None:
    """Return the problem of who thinks, by as much as pays: from two samples on, or as many tokens as the plan."""
    section = scenario.file.thinking
    assert section is not None
    if isinstance(section.stated, SampleRange):
        if section.stated.max < 2:
            return None
        stated = section.stated.model_copy(update={"min": max(2, section.stated.min)})
        file = scenario.file.model_copy(update={"thinking": section.model_copy(update={"samples": stated})})
        return replace(scenario, file=file).to_problem()
    if value <= section.once * (1.0 + _SAME):
        return None
    return at(scenario, value).to_problem() if isinstance(section.stated, ReasoningRange) else problem


def _log_cost(problem: Problem) -> float:
    """Return ln of the least cost; infinite where there is no plan."""
    try:
        found = locate(problem)
    except BeyondChinchillaError:
        return math.inf
    return log_cost(found.settled or problem, found) if found.found else math.inf


def _root(gap: Callable[[float], float], close: float) -> float | None:
    """Return where a rising function changes its sign, looking from 0 to the side where it may."""
    from scipy.optimize import brentq  # after a cold start: few scenarios think

    here = gap(0.0)
    if here == 0.0:
        return 0.0
    sign = 1.0 if here < 0.0 else -1.0
    near, step = 0.0, 1.0
    while near < _FAR:
        far = min(near + step, _FAR)
        if (gap(sign * far) > 0.0) == (here < 0.0):
            low, high = sorted((sign * near, sign * far))
            return float(brentq(gap, low, high, xtol=close, rtol=1e-12))
        near, step = far, 2.0 * step
    return None
