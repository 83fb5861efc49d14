"""The quality that a scenario asks for, in each of the ways in which a workbook may state it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from beyond_chinchilla.costs.models import reference_model
from beyond_chinchilla.scenario.schema import ModelSize
from beyond_chinchilla.sheets.case import Case

_SAME = 1e-9


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
        meant = float(law.compute_optimal(params=law.counted_params(target.chinchilla)).loss)
        stated = replace(found, way="chinchilla", chinchilla=target.chinchilla)
    elif target.model is None:
        return found
    else:
        params, tokens = _size(target.model)
        meant = float(law.loss(law.counted_params(params), tokens))
        stated = replace(found, way="model", params=params, tokens=tokens)
    # Targets are stated under the law as it was published; what training decides, such as its precision, moves it.
    return stated if math.isclose(meant, loss, rel_tol=_SAME) else found


def _size(model: str | ModelSize) -> tuple[float, float]:
    """Return parameters and tokens of a published model, or of one of a size."""
    if not isinstance(model, str):
        return model.params, model.tokens
    published = reference_model(model)
    assert published.tokens is not None
    return published.params, published.tokens
