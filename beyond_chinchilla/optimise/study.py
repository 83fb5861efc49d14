"""A question of several problems: what to serve on, and when to launch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.choices import Labelled, sketch, solve_choices
from beyond_chinchilla.optimise.launch import Answer, solve_launch
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve


@dataclass(frozen=True, kw_only=True)
class Study:
    """Problems to choose from, for each month in which serving could start.

    Parameters
    ----------
    name : str
        What the plan is called.
    problems_at : callable
        The labelled problems for a launch so many whole months after training starts; one with an empty label is
        no choice.
    launch_months : int, optional
        Latest launch month. None where the launch does not depend on the plan: month 0 is asked for alone.
    training_months : callable, optional
        How long a plan trains [month]; needed with `launch_months`.
    hurry : callable, optional
        A problem with training held to so many months, for where no launch month fits by itself.
    first_launch : int
        The month that is solved first, a guess.
    early_launches : int
        Launches up to this month serve alike, because demand begins later.
    problem_at : callable, optional
        One of `problems_at` by its label: a scan of launch months asks for a few of many.
    """

    name: str
    problems_at: Callable[[int], Sequence[Labelled]]
    launch_months: int | None = None
    training_months: Callable[[Answer], float] | None = None
    hurry: Callable[[Problem, int], Problem] | None = None
    first_launch: int = 0
    early_launches: int = 0
    problem_at: Callable[[int, str], Problem] | None = None

    def __post_init__(self) -> None:
        if self.launch_months is not None and (self.launch_months < 0 or self.training_months is None):
            raise InputError(f"{self.name}: a launch after training needs launch_months >= 0 and training_months")

    def solve(self, method: str = "auto") -> Plan:
        """Return the best plan; see `choices.solve_choices` and `launch.solve_launch`."""

        def best(problems: Sequence[Labelled]) -> Plan:
            if len(problems) == 1:
                ((label, problem),) = problems
                return replace(solve(problem, method), name=self.name, choice=label)
            return solve_choices(problems, self.name, method)

        if self.launch_months is None or self.training_months is None:
            return best(self.problems_at(0))
        return solve_launch(
            _Asked,
            self.training_months,
            lambda asked: best(self._problems(asked)),
            self.launch_months,
            None if self.hurry is None else lambda asked, month: replace(asked, held_to=month),
            sketch=lambda asked, like: sketch(lambda labels: self._problems(asked, labels), like, method),
            first=self.first_launch,
            early=self.early_launches,
        )

    def _problems(self, asked: _Asked, labels: Sequence[str] = ()) -> Sequence[Labelled]:
        """Return the problems of a launch month, those of some labels alone where it is said which."""
        if labels and self.problem_at is not None:
            found = [(label, self.problem_at(asked.month, label)) for label in labels]
        else:
            found = [one for one in self.problems_at(asked.month) if not labels or one[0] in labels]
        if asked.held_to is None or self.hurry is None:
            return found
        return [(label, self.hurry(problem, asked.held_to)) for label, problem in found]


def joined(name: str, studies: Mapping[str, Study]) -> Study:
    """Return the study of everything that several studies offer, their labels before those of their own choices.

    Parameters
    ----------
    name : str
        What the plan is called.
    studies : mapping of str to Study
        By label; all of one scenario, so that they train and launch alike.
    """
    first = next(iter(studies.values()))

    def problems_at(month: int) -> list[Labelled]:
        return [
            (", ".join(part for part in (label, own) if part), problem)
            for label, study in studies.items()
            for own, problem in study.problems_at(month)
        ]

    return replace(first, name=name, problems_at=problems_at, problem_at=None)


@dataclass(frozen=True)
class _Asked:
    """A launch month, and the months to which training is held."""

    month: int
    held_to: int | None = None
