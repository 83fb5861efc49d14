"""What the shape of a plan buys: the same question asked of other shapes, and of someone who can wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from beyond_chinchilla.errors import BeyondChinchillaError
from beyond_chinchilla.laws.shape import Shape, layers, width
from beyond_chinchilla.optimise.locate import assess, locate
from beyond_chinchilla.optimise.past.held import held
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.load import Scenario

_KIND = "shape"
_LATENCY = "time_per_output_token"
_MICROSECONDS_PER_MS = 1e3
# Two shapes that a page would print alike are one.
_ALIKE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Shaped:
    """The cheapest model of one shape within all limits.

    Attributes
    ----------
    what : str
        ``"plan"``, ``"usual"`` or ``"least loss"``.
    aspect : float
        Width over layers.
    layers, width : float or None
        Not rounded; None without a plan, as the others.
    params, tokens, total : float or None
        [parameters], [tokens], [unit of the bill]
    shape_loss : float or None
        What the shape adds to the loss [nats/token].
    layer_ms : float or None
        What all layers take of each output token [ms]; None where nobody says what one takes.
    token_ms : float or None
        The time of an output token, where it is limited [ms].
    """

    what: str
    aspect: float
    layers: float | None = None
    width: float | None = None
    params: float | None = None
    tokens: float | None = None
    total: float | None = None
    shape_loss: float | None = None
    layer_ms: float | None = None
    token_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """What the shape of a plan buys.

    Attributes
    ----------
    loss_for_speed : float
        What the plan gives up of the loss over that of the best shape in reach [nats/token].
    shapes : tuple of Shaped
        The plan, the shape that the law is stated for, and that of least loss; of a least loss the plan alone.
    usd_per_ms : float or None
        What one more ms per output token is worth at the margin; None where it is not limited, or slack, or in FLOPs.
    patient : Shaped or None
        The plan of who sets no limit on the time of an output token; None where none is set.
    """

    loss_for_speed: float
    shapes: tuple[Shaped, ...]
    usd_per_ms: float | None
    patient: Shaped | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON holds them."""
        return asdict(self)


def shaping(scenario: Scenario, problem: Problem, plan: Plan) -> Shaping:
    """Return what the shape of a plan buys.

    Parameters
    ----------
    scenario : Scenario
        With a law of shape; of several alternatives, the chosen one.
    problem : Problem
        Whose optimum the plan is.
    plan : Plan
        With a model.
    """
    assert plan.best is not None
    assert plan.settled is not None
    figures = next(effect for effect in plan.effects if effect.kind == _KIND).figures
    at = _Shapes(scenario, problem)
    own = at.described("plan", figures["aspect"], plan.best, plan.settled)
    priced = (row.shadow_price for row in plan.limits if row.label == _LATENCY and row.price_unit.startswith("USD"))
    price = next(priced, None)
    # Others would buy another loss, not the same one at another price.
    same = problem.objective != "loss"
    timed = any(limit.label == _LATENCY for limit in problem.limits)
    return Shaping(
        loss_for_speed=figures["loss_for_speed"],
        shapes=(own, *at.others(own.aspect)) if same else (own,),
        usd_per_ms=price or None,
        patient=at.patient() if same and timed else None,
    )


class _Shapes:
    """Solves a problem in one shape after another."""

    def __init__(self, scenario: Scenario, problem: Problem) -> None:
        self.problem = problem
        self.shape = next(lever for lever in problem.levers if isinstance(lever, Shape))
        serving = scenario.file.serving
        self.layer_ms = (
            None if serving is None or serving.layer_time is None else serving.layer_time / _MICROSECONDS_PER_MS
        )

    def others(self, aspect: float) -> Iterator[Shaped]:
        """Yield the cheapest models in the shapes to compare with, those that are not the plan's own."""
        known = [aspect]
        for what, other in (("usual", self.shape.baseline), ("least loss", self.shape.low)):
            if all(abs(other / one - 1.0) > _ALIKE for one in known):
                known.append(other)
                yield self._solved(what, self.problem, other)

    def patient(self) -> Shaped:
        """Return the plan without a limit on the time of an output token."""
        kept = tuple(limit for limit in self.problem.limits if limit.label != _LATENCY)
        return self._solved("patient", replace(self.problem, limits=kept), None)

    def described(self, what: str, aspect: float, model: Candidate, settled: Problem) -> Shaped:
        """Return a model as a row."""
        N, D = model.params, model.tokens
        depth = float(layers(N, aspect))
        point = settled.point(float(settled.law.counted_params(N)), D, model.variables)
        limits = [limit.value(point) for limit in settled.limits if limit.label == _LATENCY]
        return Shaped(
            what=what,
            aspect=aspect,
            layers=depth,
            width=float(width(N, aspect)),
            params=N,
            tokens=D,
            total=model.total,
            shape_loss=self.shape.figures(self.problem.law, N, D, aspect)["shape_loss"],
            layer_ms=None if self.layer_ms is None else self.layer_ms * depth,
            token_ms=limits[0] if limits else None,
        )

    def _solved(self, what: str, problem: Problem, aspect: float | None) -> Shaped:
        part = problem if aspect is None else held(problem, {_KIND: aspect})
        nothing = Shaped(what=what, aspect=self.shape.low if aspect is None else aspect)
        if part is None:
            return nothing
        try:
            found = locate(part)
        except BeyondChinchillaError:
            return nothing
        if not found.found:
            return nothing
        settled = found.settled or part
        model = assess(settled, found.params, found.tokens, found.variables)
        return self.described(what, found.held[_KIND] if aspect is None else aspect, model, settled)
