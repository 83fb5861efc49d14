"""What serving costs, as the optimiser asks for it: a convex bill that is linear between its kinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from beyond_chinchilla.costs.mixture import Mixture, Touching
from beyond_chinchilla.posynomial import Posynomial

# Variables of a plan beside its size and tokens.
BATCH = "batch"
STEP_TIME = "step_time"
# The serving bill as a variable, its shift included: what the pieces hold up, and what limits on spend may name.
SERVING = "serving"

Point = Mapping[str, float]


class Bill(Protocol):
    """What it costs to serve a model for life, in ``params`` (total), ``batch`` and ``step_time`` [s].

    A convex bill that is linear between its kinks (a fleet's floor, a commitment) is the largest of its pieces, each
    of which is a posynomial once a constant `shift` is added. What a piece holds whatever the load is proportional
    to ``serving_price``; its other terms name their drivers.
    """

    @property
    def relations(self) -> tuple[Posynomial, ...]:
        """What ties the variables together by physics, each at most 1."""
        ...

    @property
    def mixture(self) -> Mixture | None:
        """The mixture of experts that is served: a relation then stands for what a batch touches. None if dense."""
        ...

    def touching(self, share: Touching) -> Bill:
        """Return the bill whose relations take this for the share of the experts that a batch touches."""
        ...

    @property
    def shift(self) -> float:
        """What is added to the bill so that no piece has a negative constant [USD], >= 0."""
        ...

    @property
    def is_linear(self) -> bool:
        """Whether there is a single piece."""
        ...

    def hold(self, numbers: Mapping[str, float]) -> Bill:
        """Return the bill with what it knows of other variables, such as ``aspect``, held at numbers."""
        ...

    def scaled(self, factor: float) -> Bill:
        """Return the bill of `factor` times the demand."""
        ...

    def piece(self, point: Point) -> Posynomial:
        """Return the piece that is active at a point [USD], shift included: exact there, nowhere above the bill."""
        ...

    def terms(self, point: Point) -> dict[str, float]:
        """Return the bill by label [USD], present value, without shift."""
        ...

    def nominal_terms(self, point: Point) -> dict[str, float]:
        """Return the same money undiscounted."""
        ...

    def rounding(self, point: Point) -> float:
        """Return what whole GPUs and replicas cost beyond the bill [USD], >= 0."""
        ...

    def describe(self, point: Point) -> Mapping[str, float]:
        """Return what an engineer asks about a replica: batch, latencies, tokens a second, shares of the peak."""
        ...

    def start(self, params: float) -> dict[str, float]:
        """Return values of the further variables from which a search may start."""
        ...
