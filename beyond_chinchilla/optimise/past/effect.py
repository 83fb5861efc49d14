"""What a law past Chinchilla says of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
        What the law says: ``{"epochs": 2.9}``.
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
