"""When serving starts, where that follows from how long the plan trains: no posynomial, so a search over months."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.plan import Candidate, Plan

Question = TypeVar("Question")

_MOST_STEPS = 20
# Months on either side of the fixed point that are looked at as well.
_REACH = 3
# A month is full when it lacks less than this.
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class LaunchRow:
    """One launch month that was looked at.

    Attributes
    ----------
    month : int
        Whole months between the start of training and launch.
    status : str
        ``"on time"`` where training ends in that month, ``"hurried"`` where it does so only because it must,
        ``"waits"`` where it ends earlier, ``"late"`` where it ends later, ``"infeasible"`` without a plan.
    training_months : float or None
        How long the plan for that month trains.
    total : float or None
        Its bill.
    """

    month: int
    status: str
    training_months: float | None = None
    total: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return {
            "month": self.month,
            "status": self.status,
            "training_months": self.training_months,
            "total": self.total,
        }


@dataclass(frozen=True, kw_only=True)
class Launch:
    """When serving starts: the chosen month, how long training takes, and what other months would do.

    Prices of limits and elasticities of such a plan hold within its launch month: that month is not chosen anew.
    """

    month: int
    training_months: float
    scan: tuple[LaunchRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the launch as JSON holds it."""
        return {
            "month": self.month,
            "training_months": self.training_months,
            "scan": [row.to_dict() for row in self.scan],
        }


class Answer(Protocol):
    """A plan, or as much of one as a scan needs."""

    @property
    def best(self) -> Candidate | None:
        """The model; None without a plan."""
        ...


def solve_launch(
    problem_at: Callable[[int], Question],
    training_months: Callable[[Answer], float],
    solve_one: Callable[[Question], Plan],
    last: int,
    hurry: Callable[[Question, int], Question] | None = None,
    *,
    sketch: Callable[[Question, Plan], Answer] | None = None,
    first: int = 0,
    early: int = 0,
) -> Plan:
    """Return the plan whose training ends in the month that it was planned for, with its `launch`.

    Solve for a first guess of the month, recompute the month from the plan, and repeat to a fixed point; then look at
    the months around it, and of all plans that end on time take the one of least total. Where none does, one that is
    made to: training longer than to its launch is forbidden; failing that, the one that waits least. A launch later
    than training needs is no candidate otherwise: it would save money by missing demand.

    The plan's certificate covers the problem of its launch month, not the choice of that month.

    Parameters
    ----------
    problem_at : callable
        The question for a launch so many whole months after training starts.
    training_months : callable
        How long a plan trains.
    solve_one : callable
        Answers one question.
    last : int
        Latest launch month to consider.
    hurry : callable, optional
        A question with training held to so many months.
    sketch : callable, optional
        Answers a question as far as a scan needs it, given the plan of another month. The month that is chosen is
        solved in full, and all of them where that tells another tale than the sketch.
    first : int
        The month that is solved first.
    early : int
        Launches up to this month serve alike, because demand begins later. Of those only the one in which training
        ends is looked at.

    Raises
    ------
    InputError
        No launch month up to `last` leaves enough time to train.
    """
    search = _Search(problem_at, training_months, solve_one, hurry, sketch)
    month, seen = min(first, last), set[int]()
    while month not in seen and len(seen) < _MOST_STEPS:
        seen.add(month)
        month = min(search.ends(month), last)
    around = range(max(month - _REACH, 0), min(month + _REACH, last) + 1)
    rows = [search.row(k) for k in around if k == month or k > early]
    if all(row.status == "infeasible" for row in rows):
        return search.full(month)
    if not any(row.status == "on time" for row in rows):
        rows = [search.hurried(row) for row in rows]
    for status in ("on time", "hurried", "waits"):
        able = [row for row in rows if row.status == status]
        if able:
            # The bill of a plan that waits falls with every month of demand that it misses.
            chosen = able[0] if status == "waits" else min(able, key=lambda row: row.total or 0.0)
            plan, row = search.proved(chosen)
            if row.status != status:
                # In full, another choice wins, which trains for longer or shorter.
                return solve_launch(problem_at, training_months, solve_one, last, hurry, first=first, early=early)
            scan = tuple(row if other is chosen else other for other in rows)
            return replace(plan, launch=Launch(month=row.month, training_months=row.training_months or 0.0, scan=scan))
    least = min(row.training_months for row in rows if row.training_months is not None)
    raise InputError(
        f"training takes {least:.1f} months, the latest launch is month {last}; give training more gpus or demand "
        "more months"
    )


class _Search:
    """Solves each month once."""

    def __init__(
        self,
        problem_at: Callable[[int], Any],
        training_months: Callable[[Answer], float],
        solve_one: Callable[[Any], Plan],
        hurry: Callable[[Any, int], Any] | None,
        sketch: Callable[[Any, Plan], Answer] | None,
    ) -> None:
        self._problem_at, self._months, self._solve, self._hurry = problem_at, training_months, solve_one, hurry
        self._sketch = sketch
        self._plans: dict[int, Plan] = {}
        self._sketches: dict[int, Answer] = {}

    def full(self, month: int) -> Plan:
        """Return the plan for a launch month."""
        if month not in self._plans:
            self._plans[month] = self._solve(self._problem_at(month))
        return self._plans[month]

    def proved(self, row: LaunchRow) -> tuple[Plan, LaunchRow]:
        """Return the plan behind a row in full, with the row that it gives."""
        if row.status != "hurried":
            plan = self.full(row.month)
            return plan, self._row(row.month, plan)
        assert self._hurry is not None
        plan = self._solve(self._hurry(self._problem_at(row.month), row.month))
        return plan, self._row(row.month, plan, hurried=True)

    def ends(self, month: int) -> int:
        """Return the month in which the training of a month's plan ends; without a plan that month."""
        return self._ends(month, self._answer(month))

    def row(self, month: int) -> LaunchRow:
        """Return what a launch month gives."""
        return self._row(month, self._answer(month))

    def hurried(self, row: LaunchRow) -> LaunchRow:
        """Return a late month again, with training held to it if that can be; any other as it is."""
        if self._hurry is None or row.status != "late" or row.month < 1:
            return row
        answer = self._asked(self._hurry(self._problem_at(row.month), row.month))
        return row if answer.best is None else self._row(row.month, answer, hurried=True)

    def _answer(self, month: int) -> Answer:
        if month in self._plans or self._sketch is None or not self._plans:
            return self.full(month)
        if month not in self._sketches:
            self._sketches[month] = self._asked(self._problem_at(month))
        return self._sketches[month]

    def _asked(self, question: Any) -> Answer:
        if self._sketch is None:
            return self._solve(question)
        return self._sketch(question, next(iter(self._plans.values())))

    def _ends(self, month: int, answer: Answer) -> int:
        return month if answer.best is None else math.ceil(self._months(answer) - _ROUNDING)

    def _row(self, month: int, answer: Answer, *, hurried: bool = False) -> LaunchRow:
        if answer.best is None:
            return LaunchRow(month=month, status="infeasible")
        end = self._ends(month, answer)
        status = "hurried" if hurried else "on time" if end == month else "late" if end > month else "waits"
        return LaunchRow(month=month, status=status, training_months=self._months(answer), total=answer.best.total)
