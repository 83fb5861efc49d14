"""A target on a suite of tasks: which map turns its error into a loss, and how far that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import model_validator

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import suites
from beyond_chinchilla.laws.downstream import MOST_LOSS, PARAMETERS, DownstreamMap
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.scenario.fields import Name, Quantity, Section, Share, Span, Text
from beyond_chinchilla.scenario.law_kinds import Covariance, Refits

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.schema import Target


def _look_up(name: str) -> DownstreamMap:
    return suites.map_for(name, "")


def _names() -> list[str]:
    return [*suites.suites(), *suites.names()]


SuiteName = Annotated[str, Name("suite", _look_up, _names)]


class InlineSuite(Section):
    """A map of one's own: error = epsilon - k exp(-gamma loss)."""

    epsilon: Annotated[float, Share("Error of a model that knows nothing.", "85%")]
    k: Annotated[float, Quantity("", "How far below that the map would lie at loss 0.", "2.08")]
    gamma: Annotated[float, Quantity("", "How fast the error leaves epsilon, per nat.", "0.756")]
    residual: Annotated[
        float, Quantity("", "Standard deviation of one model's error about the map.", "0.0135", zero=True)
    ] = 0.0
    losses: Annotated[tuple[float, float] | None, Span("Losses of the models behind it [nats/token].")] = None
    covariance: (
        Annotated[tuple[tuple[float, ...], ...], Covariance("Of epsilon, ln k and gamma: 3 rows of 3.", PARAMETERS)]
        | None
    ) = None
    refits: (
        Annotated[
            tuple[str, ...],
            Refits(
                "epsilon, ln k and gamma of maps refitted to resampled models, as bc-opt fit --downstream writes them.",
                PARAMETERS,
            ),
        ]
        | None
    ) = None
    name: Annotated[str, Text("What to call the suite.")] = "inline"
    source: Annotated[str, Text("Where it comes from.")] = "written in the scenario"
    verdict: Annotated[str, Text("What the fit thinks of itself: good, usable or do not use.")] | None = None

    @model_validator(mode="after")
    def one_way(self) -> InlineSuite:
        """Refuse two ways to state how sure the map is."""
        if self.covariance is not None and self.refits is not None:
            raise InputError("covariance and refits are both given; keep one")
        return self

    def build(self) -> DownstreamMap:
        """Return the map."""
        return DownstreamMap(
            epsilon=self.epsilon,
            k=self.k,
            gamma=self.gamma,
            residual=self.residual,
            covariance=self.covariance,
            losses=self.losses,
            name=self.name,
            source=self.source,
        )


# Drawn maps stand in the place of the one that a file states.
SuiteChoice = str | InlineSuite | DownstreamMap

EXAMPLE = "target: {error: 45%, suite: gadre-17}"


def map_of(suite: SuiteChoice, law: LossLaw) -> DownstreamMap:
    """Return the map of a suite: of a name, that of the law's data.

    Raises
    ------
    InputError
        No suite of that name.
    """
    if isinstance(suite, DownstreamMap):
        return suite
    return suites.map_for(suite, law.name) if isinstance(suite, str) else suite.build()


def loss_of(target: Target, law: LossLaw) -> Any:
    """Return the loss [nats/token] that a target on a suite means, whether or not the law reaches it (numeric).

    Nothing is asked of a model that every model does: the loss is then 20 nats.
    """
    assert target.suite is not None
    return np.minimum(map_of(target.suite, law).loss_for(target.wanted_error), MOST_LOSS)


def check_target(target: Target, law: LossLaw) -> None:
    """Refuse a target on a suite that every model reaches, or none under the law; raises as `check_error`."""
    assert target.suite is not None
    map_of(target.suite, law).check_error(target.wanted_error, law, as_score=target.score is not None)


def notes_of(target: Target | None, law: LossLaw) -> list[str]:
    """Return what a reader must know of a target's map: another law's losses, losses never seen, a poor fit.

    Parameters
    ----------
    target : Target or None
    law : LossLaw
        The plain law that the target is stated under.
    """
    if target is None or target.suite is None:
        return []
    mapped, found = map_of(target.suite, law), []
    if mapped.law and mapped.law != law.name:
        found.append(
            f"suite {mapped.title} was fitted to losses of law {mapped.law} ({mapped.data}); losses of law {law.name} "
            "are of other data or tokens: fit the suite to your own models with bc-opt fit --downstream"
        )
    loss = float(mapped.loss_for(target.wanted_error))
    found += [f"suite {mapped.title}: target {departure}" for departure in mapped.departures(loss)]
    if isinstance(target.suite, InlineSuite) and target.suite.verdict not in (None, "good"):
        found.append(
            f"the fit of suite {mapped.title} calls itself '{target.suite.verdict}': see bc-opt fit --downstream"
        )
    return found
