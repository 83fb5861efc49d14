"""What a page says of a target on a suite of tasks: the errors that plan and baseline reach, and how sure that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.laws.suites import maps_beside
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.scenario.past.laws import target_law_of
from beyond_chinchilla.scenario.past.suite import map_of
from beyond_chinchilla.units import format_percent

if TYPE_CHECKING:
    from beyond_chinchilla.laws.downstream import DownstreamMap
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.scenario.load import Scenario

# One point of the score.
_POINT = 0.01


def parts(scenario: Scenario, problem: Problem, plan: Plan) -> tuple[list[Block], dict[str, Any]]:
    """Return errors and scores on the target's suite and on others that read the same losses."""
    target = scenario.file.target
    assert target is not None
    assert target.suite is not None
    assert plan.best is not None
    law = target_law_of(scenario.file)
    mapped, error = map_of(target.suite, law), float(target.wanted_error)
    reached = [("plan", plan.best.loss), ("Chinchilla", plan.baseline.loss)]
    # A model of one's own is told under the plan's law, whatever it was trained on.
    reached += [
        (name, float(problem.law.loss(problem.law.counted_params(params), tokens)))
        for name, params, tokens in scenario.compared_models()
    ]
    shown = [mapped, *maps_beside(mapped)]
    uncertain = scenario.uncertainty.suite
    interval = None if uncertain is None else uncertain.loss_interval(error)
    point = _one_point(mapped, error, plan)
    record = {
        "name": mapped.name,
        "suite": mapped.title,
        "target_error": error,
        "target_loss": plan.target_loss,
        "target_loss_interval": None if interval is None else list(interval),
        "best_score": mapped.best_score(law),
        "total_of_one_point": point,
        "models": [
            {"model": name, "loss": loss, "suite": each.title, "error": float(each.error(loss)),
             "score": float(each.score(loss))}
            for name, loss in reached for each in shown
        ],
    }  # fmt: skip
    heads = ["", "loss", *(text for each in shown for text in (f"{each.title}: error", "score"))]
    cells = [[name, f"{loss:.4g}", *(text for each in shown for text in _both(each, loss))] for name, loss in reached]
    lines = [_asked(mapped, error, plan.target_loss, interval)]
    if point is not None:
        lines.append(f"One point of the score more adds about {format_percent(point)} to the bill.")
    lines.append(
        f"At the law's irreducible loss of {law.E:.4g} the score on {mapped.title} would be "
        f"{format_percent(mapped.best_score(law))}: no model does better."
    )
    return [Block("On the suite", heads, cells, lines)], {"suite": record}


def _both(mapped: DownstreamMap, loss: float) -> tuple[str, str]:
    return format_percent(float(mapped.error(loss))), format_percent(float(mapped.score(loss)))


def _asked(mapped: DownstreamMap, error: float, loss: float, interval: tuple[float, float] | None) -> str:
    """Say which loss the error asks for, and how sure that is."""
    told = f"Error {format_percent(error)} on {mapped.title} asks for loss {loss:.4g} by map {mapped.name}"
    if interval is None:
        return f"{told}; nothing is known of the map's own errors."
    return (
        f"{told}; in 8 of 10 cases for one from {interval[0]:.3g} to {interval[1]:.3g}, which --risk carries through."
    )


def _one_point(mapped: DownstreamMap, error: float, plan: Plan) -> float | None:
    """Return by which share the bill rises for one point of the score more; None where the plan does not say."""
    elasticity = plan.elasticities.get("target_loss")
    if elasticity is None:
        return None
    loss = float(mapped.loss_for(error))
    return math.expm1(-elasticity * _POINT / (float(mapped.slope(loss)) * loss))
