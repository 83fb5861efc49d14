"""The parts of a page on laws past Chinchilla, and their keys of the JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.report.blocks import Block

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.scenario.load import Scenario

Parts = tuple[list[Block], dict[str, Any]]
Writer = Callable[["Scenario", "Problem", "Plan"], Parts]


def parts(scenario: Scenario, problem: Problem, plan: Plan) -> Parts:
    """Return what every law past Chinchilla that a scenario names says of its plan.

    Parameters
    ----------
    scenario : Scenario
        Of several alternatives, the chosen one.
    problem : Problem
        Whose optimum the plan is.
    plan : Plan
        With a model.
    """
    blocks: list[Block] = []
    record: dict[str, Any] = {}
    for write in _writers(scenario):
        found, keys = write(scenario, problem, plan)
        blocks += found
        record |= keys
    return blocks, record


def _writers(scenario: Scenario) -> list[Writer]:
    """Return what writes of the sections that are stated; each module is imported where it is needed."""
    file = scenario.file
    found: list[Writer] = []
    if file.target is not None and file.target.suite is not None:
        from beyond_chinchilla.report.past import suite

        found.append(suite.parts)
    if file.quantisation is not None and file.serving is not None:
        from beyond_chinchilla.report.past import quantisation

        found.append(quantisation.parts)
    if file.experts is not None:
        from beyond_chinchilla.report.past import experts

        found.append(experts.parts)
    if file.shape is not None:
        from beyond_chinchilla.report.past import shape

        found.append(shape.parts)
    if file.data is not None:
        from beyond_chinchilla.report.past import data

        found.append(data.parts)
    if file.thinking is not None:
        from beyond_chinchilla.report.past import thinking

        found.append(thinking.parts)
    return found
