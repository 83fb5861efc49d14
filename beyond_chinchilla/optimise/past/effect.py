"""What a law past Chinchilla says of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The figures of one such law at a plan.

    Attributes
    ----------
    kind : str
        ``"repetition"``, ``"quantisation"``, ``"thinking"``, ``"shape"``, ``"experts"``.
    name, source : str
        Whose constants, and where they stand.
    figures : mapping of str to float
        What the law says: ``{"epochs": 2.9}``; none where there is no plan.
    elasticities : mapping of str to float
        d ln total / d ln input of what the law reads: ``{"unique_tokens": -0.12}``.
    """

    kind: str
    name: str
    source: str
    figures: Mapping[str, float]
    elasticities: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the effect as JSON holds it."""
        found: dict[str, Any] = {"law": self.name, **self.figures}
        if self.elasticities:
            found["elasticities"] = dict(self.elasticities)
        return found


def laws_asked(problem: Problem) -> tuple[Effect, ...]:
    """Return the laws past Chinchilla that a problem asks, without figures: what is known of them without a plan."""
    found = [Effect(kind=lever.kind, name=lever.name, source=lever.source, figures={}) for lever in problem.levers]
    if problem.experts is not None:
        laws = problem.experts.laws
        found.insert(0, Effect(kind="experts", name=laws.name, source=laws.source, figures={}))
    if problem.repetition is not None:
        data = problem.repetition
        found.append(Effect(kind="repetition", name=data.name, source=data.source, figures={}))
    return tuple(found)


def is_apart(problem: Problem) -> bool:
    """Say whether the baseline goes without a lever, so that savings say nothing of planning for demand."""
    return any(lever.baseline is not None for lever in problem.levers)
