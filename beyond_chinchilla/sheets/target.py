"""The quality that a scenario asks for, in each of the ways in which a workbook may state it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from beyond_chinchilla.costs.models import reference_model
from beyond_chinchilla.sheets.case import Case


@dataclass(frozen=True)
class StatedTarget:
    """The quality to reach, in each of the three ways; the scenario stated it in the first."""

    way: str
    loss: float
    chinchilla: float
    params: float
    tokens: float


def stated_target(case: Case) -> StatedTarget:
    """Return the target as stated, with what it means in the other ways."""
    law, loss = case.problem.law, case.plan.target_loss
    point = law.compute_optimal(loss=loss)
    found = StatedTarget("loss", loss, float(point.params), float(point.params), float(point.tokens))
    target = case.scenario.file.target
    if target is None or case.plan.objective == "loss":
        return found
    if target.chinchilla is not None:
        return replace(found, way="chinchilla", chinchilla=target.chinchilla)
    if target.model is None:
        return found
    if isinstance(target.model, str):
        model = reference_model(target.model)
        assert model.tokens is not None
        return replace(found, way="model", params=model.params, tokens=model.tokens)
    return replace(found, way="model", params=target.model.params, tokens=target.model.tokens)
