"""Launch after training: the month that a plan is made for is the month in which its training ends."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from service_doubles import Chips, FakeBill, design, latency, shifts

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.launch import solve_launch
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.optimise.study import Study
from beyond_chinchilla.posynomial import monomial

CHIPS = Chips()
MONTHS = 24.0
TRAINING = monomial("training", 6.0, {"params": 1.0, "tokens": 1.0})


def _problem(month: int) -> Problem:
    """Demand of two years from the start of training on: what comes before launch is lost."""
    left = max(MONTHS - month, 1.0)
    bill = FakeBill(chips=CHIPS, shifts=shifts(1e11 * left, months=left))
    return design(bill, CHIPS.memory_limit(), latency(20.0))


def _speed(month: float) -> float:
    """Return FLOPs a month with which the plan for launch at once trains for so many months."""
    best = solve(_problem(0)).best
    assert best is not None
    return best.training_flops / month


def _months(speed: float):  # type: ignore[no-untyped-def]
    def months(plan: Plan) -> float:
        assert plan.best is not None
        return plan.best.training_flops / speed

    return months


def _hurry(speed: float):  # type: ignore[no-untyped-def]
    def hurry(problem: Problem, month: int) -> Problem:
        held = Limit(
            label="training_time",
            side="max",
            quantity=TRAINING.times(1.0 / speed),
            bound=float(month),
            unit="month",
            each="month",
        )
        return replace(problem, limits=(*problem.limits, held))

    return hurry


@pytest.mark.parametrize("month", [0.4, 1.7, 4.3, 9.9])
def test_the_launch_is_the_month_in_which_training_ends(month: float) -> None:
    speed = _speed(month)
    plan = solve_launch(_problem, _months(speed), solve, 20)
    assert plan.launch is not None
    assert plan.launch.month == math.ceil(plan.launch.training_months)
    assert plan.launch.training_months == _months(speed)(plan)
    # The plan is that of its month.
    assert plan.best == solve(_problem(plan.launch.month)).best
    # Less demand is left, so that it trains for less long than for a launch at once.
    assert plan.launch.training_months < month
    rows = {row.month: row for row in plan.launch.scan}
    assert rows[plan.launch.month].status == "on time"
    assert all(rows[k].status == "waits" for k in rows if k > plan.launch.month)
    assert all(rows[k].status in ("late", "on time") for k in rows if k <= plan.launch.month)


def test_of_several_months_on_time_the_cheapest_is_taken() -> None:
    """Training times that follow the launch month make every month a fixed point."""
    plan = solve_launch(lambda month: month, lambda plan: float(plan.name), _fake(lambda k: 10.0 - k), 3)
    assert plan.launch is not None
    assert plan.launch.month == 3
    assert [row.total for row in plan.launch.scan] == [10.0, 9.0, 8.0, 7.0]


def _fake(total):  # type: ignore[no-untyped-def]
    """Return a solver whose plan carries the month as its name."""
    model = solve(_problem(0))
    assert model.best is not None
    best = model.best

    def answer(month: int) -> Plan:
        return replace(model, name=str(month), best=replace(best, terms={"all": total(month)}))

    return answer


def test_a_cycle_is_cut_by_holding_training_or_by_waiting() -> None:
    trains = {0: 4.5, 1: 4.5, 2: 4.5, 3: 4.5, 4: 4.5, 5: 3.2, 6: 3.2, 7: 3.2, 8: 3.2}

    def months(plan: Plan) -> float:
        held, _, name = plan.name.rpartition(" ")
        return min(trains[int(name)], float(held or math.inf))

    answer = _fake(lambda k: 100.0 + k)
    waits = solve_launch(lambda month: month, months, answer, 8)
    assert waits.launch is not None
    assert (waits.launch.month, waits.launch.training_months) == (5, 3.2)

    def solve_one(question: object) -> Plan:
        if isinstance(question, tuple):
            month, most = question
            return replace(answer(month), name=f"{most} {month}")
        assert isinstance(question, int)
        return answer(question)

    hurried = solve_launch(lambda month: month, months, solve_one, 8, hurry=lambda question, most: (question, most))
    assert hurried.launch is not None
    statuses = {row.month: row.status for row in hurried.launch.scan}
    assert statuses[hurried.launch.month] == "hurried"
    assert hurried.launch.training_months == hurried.launch.month


def test_training_that_never_ends_in_time_says_so() -> None:
    with pytest.raises(InputError, match=r"training takes 30\.0 months, the latest launch is month 6"):
        solve_launch(lambda month: month, lambda plan: 30.0, _fake(lambda k: 1.0), 6)


def test_hurried_training_keeps_its_month() -> None:
    speed = _speed(3.4)
    study = Study(
        name="chat",
        problems_at=lambda month: [("", _problem(month))],
        launch_months=3,
        training_months=_months(speed),
        hurry=_hurry(speed),
    )
    plan = study.solve()
    assert plan.launch is not None
    assert plan.launch.month <= 3
    assert plan.launch.training_months == pytest.approx(plan.launch.month, rel=1e-9)
    row = next(row for row in plan.limits if row.label == "training_time")
    assert row.binding
    record = plan.to_dict()["launch"]
    assert record["month"] == plan.launch.month
    assert [set(one) for one in record["scan"]] == [{"month", "status", "training_months", "total"}] * len(
        plan.launch.scan
    )


def test_a_launch_with_choices() -> None:
    speed = _speed(3.6)
    other = Chips(bandwidth=3.6e12, memory=127.0)

    def problems(month: int) -> list[tuple[str, Problem]]:
        problem = _problem(month)
        bill = problem.bill
        assert isinstance(bill, FakeBill)
        better = design(replace(bill, chips=other), other.memory_limit(), latency(20.0))
        return [("old", problem), ("new", better)]

    study = Study(name="chat", problems_at=problems, launch_months=12, training_months=_months(speed))
    plan = study.solve()
    assert plan.choice == "new"
    assert plan.launch is not None
    assert plan.launch.month == math.ceil(plan.launch.training_months)


def test_where_no_month_has_a_plan_the_reason_is_kept() -> None:
    def none(month: int) -> Problem:
        return replace(_problem(month), limits=(latency(0.2),))

    plan = solve_launch(none, lambda plan: 1.0, solve, 12)
    assert plan.status == "infeasible"
    assert plan.launch is None
    assert "time_per_output_token" in plan.warnings[0]


def test_a_launch_needs_to_know_how_long_a_plan_trains() -> None:
    with pytest.raises(InputError, match="needs launch_months >= 0 and training_months"):
        Study(name="chat", problems_at=lambda month: [("", _problem(month))], launch_months=3)
