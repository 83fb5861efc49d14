"""What a plot is drawn of: a solved scenario, a fit, or a race, with what has been found out about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from beyond_chinchilla.analyse.committed import hold, notes_of, numbers_of
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.locate import chinchilla
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.report import rows
from beyond_chinchilla.units import format_percent, format_size

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.capacity import CapacityPlan
    from beyond_chinchilla.analyse.frontier import Point
    from beyond_chinchilla.analyse.regret_map import RegretMap
    from beyond_chinchilla.analyse.risk.figures import Risk
    from beyond_chinchilla.analyse.sensitivity import Sensitivity
    from beyond_chinchilla.fit.isoflop import IsoflopFit
    from beyond_chinchilla.fit.race import Race
    from beyond_chinchilla.report.fits import Result
    from beyond_chinchilla.scenario.load import Scenario

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A solved scenario.

    Attributes
    ----------
    scenario : Scenario
    problem : Problem
        Whose optimum the plan is: of several ways to serve, the chosen one.
    plan : Plan
    risk, sensitivity, regret_map : optional
        Found before, as they take their time; the plots of each need it.
    frontier : sequence of Point
        A line to draw; without one it is traced over the target.
    capacity : CapacityPlan, optional
        The plan month by month; found when it is needed.
    stated : Scenario, optional
        The scenario with all its alternatives, where `scenario` is the one of them that was chosen.
    """

    scenario: Scenario
    problem: Problem
    plan: Plan
    risk: Risk | None = None
    sensitivity: Sensitivity | None = None
    regret_map: RegretMap | None = None
    frontier: Sequence[Point] = ()
    capacity: CapacityPlan | None = None
    stated: Scenario | None = None

    @property
    def text_of(self) -> Scenario:
        """The scenario that asks the same again."""
        return self.scenario if self.stated is None else self.stated

    @property
    def best(self) -> Candidate:
        """The plan's model.

        Raises
        ------
        InputError
            There is none.
        """
        if self.plan.best is None:
            raise InputError(f"{self.plan.name}: {self.plan.status}: there is no plan to draw")
        return self.plan.best

    @cached_property
    def asked(self) -> Problem:
        """The problem as one of least cost at the plan's target, which plots vary, levers held as the plan has them."""
        asked = replace(self.problem, target_loss=self.plan.target_loss, objective="cost", start_from=None)
        return hold(asked, self.plan) if asked.is_extended and self.plan.best is not None else asked

    @property
    def held(self) -> str:
        """What is held in `asked`: ", with 5 samples per request"; nothing under a plain law."""
        told = [
            note.split(",")[0] for note in notes_of(self.problem.levers, numbers_of(self.problem.levers, self.plan))
        ]
        return f", with {' and '.join(told)}" if told else ""

    @cached_property
    def baseline(self) -> Candidate:
        """The Chinchilla model of the plan's target."""
        return self.plan.baseline if self.plan.objective == "cost" else chinchilla(self.asked)

    @property
    def footer(self) -> str:
        """Whose plot it is."""
        return rows.subtitle(self.plan)

    @property
    def verdict(self) -> str:
        """The plan beside the baseline, in one clause: "13.6B on 4.43T tokens costs 28% less than Chinchilla's 30B"."""
        best, base = self.best, self.baseline
        saved = 1.0 - best.total / base.total
        if self.plan.objective == "cost":
            saved = self.plan.savings_fraction
        sizes = f"{format_size(best.params)} on {format_size(best.tokens)} tokens costs"
        other = f"Chinchilla's {format_size(base.params)}"
        # Elsewhere Chinchilla's is then the model that the same budget buys: another one.
        other += " of the same loss" if self.plan.objective == "loss" else ""
        shown = format_percent(abs(saved), 0 if abs(saved) >= 0.0995 else 1)
        if abs(saved) < 5e-4:
            return f"{sizes} as much as {other}"
        return f"{sizes} {shown} {'less' if saved > 0 else 'more'} than {other}"

    def refuse_resumed(self, name: str) -> None:
        """Refuse what varies the size of a model that is there already.

        Raises
        ------
        InputError
            The scenario goes on from a trained model.
        """
        if self.problem.start_from is not None:
            raise InputError(f"{name}: {self.plan.name} goes on from a trained model, whose size is no choice")

    def refuse_extended(self, name: str) -> None:
        """Refuse what draws one plain law where the plan stands on more.

        Raises
        ------
        InputError
            The scenario has a law past Chinchilla, or states its target under another law than it trains under.
        """
        if self.problem.is_extended or self.problem.target_law is not None:
            raise InputError(
                f"{name}: draws models of one plain law, and {self.plan.name} stands on {rows.laws(self.plan)}; draw "
                "its cost-curve, terms or frontier"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class FitSubject:
    """A fitted law.

    Attributes
    ----------
    result : Result
        Runs, fit, bootstrap and verdict.
    isoflop : IsoflopFit, optional
        Approach 2 on the same runs; fitted when it is needed.
    """

    result: Result
    isoflop: IsoflopFit | None = None

    @property
    def footer(self) -> str:
        """Whose plot it is."""
        result = self.result
        return f"{len(result.runs)} runs of {result.runs.source} | law {result.fit.law.name}"


@dataclass(frozen=True, kw_only=True, eq=False)
class RaceSubject:
    """Loss curves on one time axis.

    Attributes
    ----------
    race : Race
    """

    race: Race

    @property
    def footer(self) -> str:
        """Whose plot it is."""
        race = self.race
        return f"{len(race.curves)} loss curves | smoothed over {race.window:g} in ln hours | no law: as measured"


def demand_of(name: str, value: Found | None, needs: str) -> Found:
    """Return what a plot needs.

    Raises
    ------
    InputError
        It has not been found out.
    """
    if value is None:
        raise InputError(f"{name} needs {needs}")
    return value
