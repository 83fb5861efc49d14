"""A model that is trained already goes on: its size is fixed, and only further tokens are paid for."""

from __future__ import annotations

import math
from dataclasses import replace

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise import advice
from beyond_chinchilla.optimise.limits import Limit, LimitRow, price
from beyond_chinchilla.optimise.locate import assess, chinchilla, kappa_of, locate
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem, driver_shares
from beyond_chinchilla.units import format_amount, format_number, format_percent

METHOD = "start_from"
# These limits count every token that the model has seen; the others only what is still to be paid.
_WHOLE = ("tokens", "tokens_per_param")
# Nobody trains on more: so near the least loss of its size the digits of the law decide.
_MOST_TOKENS = 1e24


def solve_resume(problem: Problem) -> Plan:
    """Return what it takes to bring the problem's `start_from` model to the target.

    At a fixed size the bill rises with every token: the fewest that reach the target, and every floor, are the best.
    ``tokens`` of the plan count the whole training; its bill and training FLOPs only what is still to come.

    Raises
    ------
    InputError
        The problem starts from nothing.
    """
    if problem.is_codesign:
        raise InputError(
            f"{problem.name}: start_from knows serving at a fixed utilisation alone; give prefill_mfu and decode_mfu"
        )
    if problem.start_from is None:
        raise InputError(f"{problem.name}: no model to start from; give start_from: {{params, tokens}}")
    law, (params, seen) = problem.law, problem.start_from
    N = float(law.counted_params(params))
    needed = float(law.tokens_for(N, problem.target_loss))
    if not needed <= _MOST_TOKENS:
        number = f"less than {format_number(needed)}" if math.isfinite(needed) else "any number of"
        reason = (
            f"no plan: {format_number(params)} params cannot reach loss {problem.target_loss:.4f} on {number} tokens; "
            f"the least loss at that size is {float(law.loss(N, 1e300)):.4f}"
        )
        return _none(problem, [reason])
    D = max(needed, seen, *_floors(problem, params))
    share = (D - seen) / D
    whole = assess(problem, N, D)
    paid = {term.label for term in problem.cost.terms if "training_price" in term.drivers}
    best = replace(
        whole,
        terms={label: value * share if label in paid else value for label, value in whole.terms.items()},
        training_flops=whole.training_flops * share,
        breaks=(),
    )
    rows = tuple(_row(problem, limit, params, D, share, best.total) for limit in problem.limits)
    broken = [row for row in rows if _over(row)]
    if broken:
        return _none(problem, [_sentence(row) for row in broken])
    baseline = chinchilla(problem)
    saved = 1.0 - best.total / baseline.total
    logs = {"params": math.log(N), "tokens": math.log(D)}
    shares = driver_shares(problem.counted_cost, logs)
    scale = whole.total / best.total
    training = shares.get("training_price", 0.0) * share * scale
    return Plan(
        name=problem.name,
        status="optimal",
        method=METHOD,
        law=law,
        target_loss=problem.target_loss,
        best=best,
        baseline=baseline,
        savings_fraction=saved,
        kappa=kappa_of(problem),
        spend_ratio=shares.get("demand", 0.0) * scale / training if training else None,
        elasticities={
            "demand": shares.get("demand", 0.0) * scale,
            "target_loss": _target_elasticity(problem, N, D) * shares.get("training_price", 0.0) * scale,
            "training_price": training,
            "serving_price": shares.get("serving_price", 0.0) * scale,
        },
        limits=rows,
        warnings=(
            _beside_fresh(problem, best.total, D - seen),
            *advice.warnings(law, best, N, None, saved),
            *problem.notes,
        ),
        kkt_residual=max(0.0, float(problem.target.log_value(logs))),
    )


def _floors(problem: Problem, params: float) -> list[float]:
    """Return the tokens that the floors ask for at a size."""
    floors = {"tokens": 1.0, "tokens_per_param": params}
    return [
        limit.bound * floors[limit.label] for limit in problem.limits if limit.side == "min" and limit.label in floors
    ]


def _row(problem: Problem, limit: Limit, params: float, D: float, share: float, total: float) -> LimitRow:
    """Return a limit at the plan; with the size fixed and the target met, no slack of it would save anything."""
    row = price(
        limit,
        0.0,
        problem.law,
        point=problem.point(float(problem.law.counted_params(params)), D, {}),
        total=total,
        unit=problem.cost.unit,
    )
    if limit.label in _WHOLE or limit.side == "min":
        return row
    point = {"params": params, "tokens": D}
    value = 0.0
    for term in limit.quantity.terms:
        grows = term.power("tokens") > 0
        value += float(term.value(point)) * (share if grows else 1.0)
    return replace(row, value=value, binding=False, redundant=False, free=False)


def _over(row: LimitRow) -> bool:
    return row.value > row.bound * (1.0 + 1e-9) if row.side == "max" else row.value < row.bound * (1.0 - 1e-9)


def _sentence(row: LimitRow) -> str:
    return (
        f"no plan: {row.label} would be {format_amount(row.value, row.unit, 4)}, "
        f"{row.side} is {format_amount(row.bound, row.unit, 4)}"
    )


def _target_elasticity(problem: Problem, N: float, D: float) -> float:
    """Return d ln D / d ln loss at fixed N; 0 where something else than the target holds D up."""
    law = problem.law
    data = float(law.B * D**-law.beta)
    if problem.reducible - law.A * N**-law.alpha - data > 1e-9 * problem.reducible:
        return 0.0
    slope = problem.reducible / (law.beta * data)
    return -slope * float(law.reducible_elasticity(problem.target_loss))


def _beside_fresh(problem: Problem, total: float, further: float) -> str:
    """Say what is still to be trained, and what starting afresh would cost."""
    start = f"goes on for {format_number(further)} further tokens" if further else "good enough without further tokens"
    fresh = locate(replace(problem, start_from=None))
    if not fresh.found:
        return f"{start}; starting afresh has no plan under the limits"
    cost = float(problem.counted_cost.value({"params": fresh.params, "tokens": fresh.tokens}))
    more = "more" if cost > total else "less"
    size = float(problem.law.total_params(fresh.params))
    return (
        f"{start}; starting afresh, {format_number(size)} params on {format_number(fresh.tokens)} tokens would cost "
        f"{format_amount(cost, problem.cost.unit)}, {format_percent(abs(cost / total - 1.0))} {more}"
    )


def _none(problem: Problem, reasons: list[str]) -> Plan:
    return Plan(
        name=problem.name,
        status="infeasible",
        method=METHOD,
        law=problem.law,
        target_loss=problem.target_loss,
        best=None,
        baseline=chinchilla(problem),
        warnings=(*reasons, *problem.notes),
    )
