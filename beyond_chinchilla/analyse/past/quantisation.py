"""What rounding weights costs a plan, and what else one could serve in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from beyond_chinchilla.costs.hardware import BYTES_PER_PARAMETER
from beyond_chinchilla.errors import BeyondChinchillaError
from beyond_chinchilla.optimise.choices import ChoiceRow
from beyond_chinchilla.optimise.locate import assess, locate
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.past.quantisation import bits_of, lever

_KIND = "quantisation"


@dataclass(frozen=True, kw_only=True)
class Served:
    """The cheapest plan that is served in one precision.

    Attributes
    ----------
    precision : str
    bits : float
        Of each weight.
    loss : float or None
        What rounding adds to the loss of this plan [nats/token]; None without a plan, as the others.
    same_model : float
        What it would add to the loss of the chosen plan [nats/token].
    total : float or None
        [unit of the bill]
    reached : float or None
        The loss as served [nats/token].
    params, tokens : float or None
    reason : str
        Why there is no plan.
    """

    precision: str
    bits: float
    loss: float | None
    same_model: float
    total: float | None
    reached: float | None
    params: float | None
    tokens: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Blind:
    """The plan of who does not know that rounding costs anything.

    Attributes
    ----------
    params, tokens, total : float
    missed_by : float
        What rounding adds to its loss, and so to the target [nats/token].
    """

    params: float
    tokens: float
    total: float
    missed_by: float


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """What the precision of serving does to a plan.

    Attributes
    ----------
    trained, served : str
        Precisions.
    bits : float
        Of each weight as served.
    loss : float
        What rounding adds [nats/token]; 0 where nothing is rounded.
    critical_tokens : float or None
        Tokens from which on training this size longer does harm; None where nothing is rounded.
    blind : Blind or None
        None where nothing is rounded, or the loss itself is minimised.
    precisions : tuple of Served
        Those that the scenario lists and that of training, the chosen one first and then by cost.
    """

    trained: str
    served: str
    bits: float
    loss: float
    critical_tokens: float | None
    blind: Blind | None
    precisions: tuple[Served, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON holds them."""
        return asdict(self)


def rounding(scenario: Scenario, problem: Problem, plan: Plan) -> Rounding:
    """Return what the precision of serving does to a plan.

    Parameters
    ----------
    scenario : Scenario
        With constants of precision; of several alternatives, the chosen one.
    problem : Problem
        Whose optimum the plan is.
    plan : Plan
        With a model.
    """
    best, serving, training = plan.best, scenario.file.serving, scenario.file.training
    assert best is not None
    assert serving is not None
    trained = serving.precisions[0] if training is None else training.precision
    served = precision_of(plan.choice) or serving.precisions[0]
    found = [
        row
        for row in (*_listed(scenario, plan, best), *_as_trained(scenario, plan, best, trained, served))
        if row.precision != served
    ]
    own = _served(scenario, best, served, best.total, best.params, best.tokens, reached=best.loss)
    effect = next((effect for effect in plan.effects if effect.kind == _KIND), None)
    return Rounding(
        trained=trained,
        served=served,
        bits=own.bits,
        loss=own.same_model,
        critical_tokens=None if effect is None else effect.figures["critical_tokens"],
        # With a budget instead of a target there is nothing to miss.
        blind=None if effect is None or problem.objective == "loss" else _blind(problem),
        precisions=(own, *sorted(found, key=lambda row: float("inf") if row.total is None else row.total)),
    )


def precision_of(label: str) -> str | None:
    """Return the precision that the label of a choice names.

    >>> precision_of("8 experts, h200-sxm fp8 x 2"), precision_of("")
    ('fp8', None)
    """
    return next((word for word in label.replace(",", " ").split() if word in BYTES_PER_PARAMETER), None)


def _listed(scenario: Scenario, plan: Plan, best: Candidate) -> Iterator[Served]:
    """Yield the best of the plan's choices in each precision."""
    by_precision: dict[str, ChoiceRow] = {}
    # They come by cost, those without a plan at the end.
    for row in plan.choices:
        precision = precision_of(row.label)
        if precision is not None:
            by_precision.setdefault(precision, row)
    for precision, row in by_precision.items():
        # All of them reach the one target.
        reached = None if row.params is None else plan.target_loss
        yield _served(scenario, best, precision, row.total, row.params, row.tokens, reached=reached, reason=row.reason)


def _as_trained(scenario: Scenario, plan: Plan, best: Candidate, trained: str, served: str) -> Iterator[Served]:
    """Yield the best plan that is served in the precision of training, where that is asked for nowhere else."""
    serving = scenario.file.serving
    assert serving is not None
    asked = {served, *serving.precisions, *(precision_of(row.label) for row in plan.choices)}
    if trained in asked or not any(trained in chip.peak for chip in serving.chips):
        return
    file = scenario.file.model_copy(update={"serving": serving.model_copy(update={"precision": trained})})
    try:
        other = solve(replace(scenario, file=file))
    except BeyondChinchillaError:
        # No chip that holds it, or none that is fast enough: the plan stands without the comparison.
        return
    if other.best is not None:
        found = other.best
        yield _served(scenario, best, trained, found.total, found.params, found.tokens, reached=found.loss)


def _served(
    scenario: Scenario,
    best: Candidate,
    precision: str,
    total: float | None,
    params: float | None,
    tokens: float | None,
    *,
    reached: float | None,
    reason: str = "",
) -> Served:
    rounded = lever(scenario.file, precision)

    def loss(N: float, D: float) -> float:
        return 0.0 if rounded is None else float(rounded.penalty(N, D))

    return Served(
        precision=precision,
        bits=bits_of(precision),
        loss=None if params is None or tokens is None else loss(params, tokens),
        same_model=loss(best.params, best.tokens),
        total=total,
        reached=reached,
        params=params,
        tokens=tokens,
        reason=reason,
    )


def _blind(problem: Problem) -> Blind | None:
    """Return the plan that counts nothing for rounding; None where there is none."""
    rounded = next(lever for lever in problem.levers if lever.kind == _KIND)
    free = replace(problem, levers=tuple(lever for lever in problem.levers if lever.kind != _KIND))
    found = locate(free)
    if not found.found:
        return None
    best = assess(found.settled or free, found.params, found.tokens, found.variables)
    (term,) = rounded.terms(problem.law)
    return Blind(
        params=best.params,
        tokens=best.tokens,
        total=best.total,
        missed_by=float(term.value({"params": best.params, "tokens": best.tokens})),
    )
