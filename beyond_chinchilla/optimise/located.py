"""Where an optimum lies, before it is proved and explained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from beyond_chinchilla.posynomial import Posynomial

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.problem import Problem


@dataclass(frozen=True)
class Located:
    """Where the optimum lies.

    Attributes
    ----------
    params : float
        N*, as the law counts it; nan where there is none.
    tokens : float
        D*.
    method : str
        The solver that found it.
    log_ratio : float or None
        ln(least cost / cost of the compute-optimal model of equal loss) where it is known free of cancellation.
    variables : mapping of str to float
        The further variables, such as ``batch`` and ``step_time`` [s].
    pieces : tuple of Posynomial
        The pieces of the serving bill that prove the plan.
    multipliers : tuple of float
        Of the program with those pieces, where the solver knows them; the last may be left out.
    settled : Problem or None
        Under a law past Chinchilla: the ordinary problem whose optimum this is.
    held : mapping of str to float
        The numbers at which its levers are held there, by kind.
    """

    params: float
    tokens: float
    method: str
    log_ratio: float | None = None
    variables: Mapping[str, float] = field(default_factory=dict)
    pieces: tuple[Posynomial, ...] = ()
    multipliers: tuple[float, ...] = ()
    settled: Problem | None = None
    held: Mapping[str, float] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether there is a plan."""
        return math.isfinite(self.params)
