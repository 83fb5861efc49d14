"""One's own plan beside ours: what it reaches, what it costs, what it breaks, and what a better one would save."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from beyond_chinchilla.analyse.committed import given, hold_at, planned
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.locate import assess, locate, unlimited
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.optimise.problem import Problem


@dataclass(frozen=True)
class Comparison:
    """A given model under a problem's law, demand and prices.

    Attributes
    ----------
    name : str
    candidate : Candidate
        Its loss, bill and broken limits.
    meets_target : bool
        Whether it is as good as the problem asks.
    excess_fraction : float
        What it costs over the cheapest model of its own loss (limits set aside), relative to that.
    excess : float
        The same [unit of the bill].
    """

    name: str
    candidate: Candidate
    meets_target: bool
    excess_fraction: float
    excess: float

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON holds it."""
        return {
            "name": self.name,
            **self.candidate.to_dict(),
            "breaks": list(self.candidate.breaks),
            "meets_target": self.meets_target,
            "excess": {"absolute": self.excess, "fraction": self.excess_fraction},
        }


def compare(problem: Problem, name: str, *, params: float, tokens: float) -> Comparison:
    """Assess a model of `params` total parameters trained on `tokens` tokens.

    What else laws past Chinchilla let a plan choose, such as the samples of a request, is as the problem's plan has it.

    Raises
    ------
    InputError
        Not positive and finite.
    """
    for label, value in (("params", params), ("tokens", tokens)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"compare {name}: {label} must be above zero and finite, not {value}")
    candidate = given(hold_at(problem, planned(problem)), float(problem.law.counted_params(params)), tokens)
    equal = replace(unlimited(problem), target_loss=candidate.loss)
    best = locate(equal)
    least = assess(best.settled or equal, best.params, best.tokens, best.variables).total
    # The given model is one of those that the optimum beats: below zero is rounding.
    fraction = max(candidate.total / least - 1.0, 0.0)
    return Comparison(
        name=name,
        candidate=candidate,
        meets_target=candidate.loss <= problem.target_loss * (1.0 + 1e-12),
        excess_fraction=fraction,
        excess=fraction * least,
    )
