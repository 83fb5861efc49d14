"""Chips, precisions and replicas: the best of them wins, the others say what they cost or what stops them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from service_doubles import SARDANA, Chips, FakeBill, design, latency, shifts
from strategies import limit

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise import conflict
from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.choices import solve_choices
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import assess, chinchilla, locate
from beyond_chinchilla.optimise.outright import impossible
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.optimise.study import Study
from beyond_chinchilla.posynomial import monomial
from beyond_chinchilla.units import parse_number

SHIFTS = shifts(2e13)


def _on(
    chips: Chips, price: float = 2.5, milliseconds: float = 20.0, size: float = 30e9, whole: bool = False
) -> Problem:
    bill = FakeBill(chips=chips, shifts=SHIFTS, floor=float(chips.gpus), price=price, whole=whole)
    return design(bill, chips.memory_limit(), latency(milliseconds), size=size)


OLD = _on(Chips(bandwidth=1.4e12, peak=0.2e15))
NEW = _on(Chips(bandwidth=3.6e12, memory=127.0), price=3.5)
PAIR = _on(Chips(gpus=2))
SMALL = _on(Chips(memory=1.0))
FEW = [("old x 1", OLD), ("new x 1", NEW), ("old x 2", PAIR), ("small x 1", SMALL)]


def test_the_best_total_wins_and_the_others_say_what_they_cost_more() -> None:
    plan = solve_choices(FEW, "chat")
    totals = {label: solve(problem).best for label, problem in FEW}
    able = {label: best.total for label, best in totals.items() if best is not None}
    winner = min(able, key=lambda label: able[label])
    assert plan.name == "chat"
    assert plan.choice == winner == plan.choices[0].label
    assert plan.best is not None
    assert plan.best.total == able[winner]
    assert [row.label for row in plan.choices] == [*sorted(able, key=lambda label: able[label]), "small x 1"]
    for row in plan.choices[:-1]:
        assert row.status == "optimal"
        assert row.total == able[row.label]
        assert row.excess_fraction == pytest.approx(able[row.label] / able[winner] - 1, abs=1e-15)
        assert set(row.variables) == {"batch", "step_time"}
    assert plan.choices[0].excess_fraction == 0.0
    assert plan.duality_gap <= 1e-8


def test_an_infeasible_choice_says_why_in_one_line() -> None:
    row = solve_choices(FEW, "chat").choices[-1]
    assert (row.label, row.status, row.total, row.params) == ("small x 1", "infeasible", None, None)
    assert "\n" not in row.reason
    assert row.reason.startswith("serving_hbm would be at least ")
    assert row.reason.endswith("max is 1.000 GB")


def test_what_is_ruled_out_at_once_has_no_plan() -> None:
    for milliseconds in (0.3, 1.0, 2.0, 5.0, 20.0):
        for memory in (1.0, 3.0, 20.0):
            problem = _on(Chips(memory=memory), milliseconds=milliseconds)
            if impossible(problem):
                assert not locate(problem).found
            else:
                # A replica without a spend limit has no other reason to fail.
                assert locate(problem).found


def _spend(problem: Problem, label: str, bound: float) -> Limit:
    bill = problem.bill
    assert bill is not None
    quantity = monomial("serving", 1.0, {SERVING: 1.0}, unit="USD")
    if label == "total_cost":
        quantity = problem.cost + quantity
    return Limit(label=label, side="max", quantity=quantity, bound=bound, unit="USD", each="USD", offset=bill.shift)


def _with(problem: Problem, *limits: Limit) -> Problem:
    return replace(problem, limits=(*problem.limits, *limits))


def _amount(reason: str, label: str) -> float:
    found = re.match(rf"{label} would be at least \$?(\S+)", reason)
    assert found is not None, reason
    return parse_number(found[1])


def test_a_choice_that_fails_for_another_reason_is_explained() -> None:
    # Fast enough only if small, and small only on more tokens than there are: neither alone stops it.
    least = float(SARDANA.tokens_for(6e9, OLD.target_loss))
    poor = _with(_on(Chips(bandwidth=1.4e12, peak=0.2e15), milliseconds=4.0), limit("tokens", "max", least))
    assert not impossible(poor)
    row = solve_choices([("rich", OLD), ("poor", poor)], "chat").choices[-1]
    assert row.label == "poor"
    assert row.reason.startswith("time_per_output_token max and tokens max and target cannot hold together")
    assert "; a plan exists if you raise tokens max from" in row.reason


@pytest.mark.parametrize("problem", [OLD, NEW, PAIR])
def test_the_least_serving_bill_is_that_of_the_smallest_model(problem: Problem) -> None:
    reason = impossible(_with(problem, _spend(problem, "serving_cost", 1.0)))
    least = _amount(reason, "serving_cost")
    assert "for the smallest model that can reach the target" in reason
    assert not locate(_with(problem, _spend(problem, "serving_cost", 0.999 * least))).found
    assert locate(_with(problem, _spend(problem, "serving_cost", 1.002 * least))).found


def test_a_budget_is_told_by_the_least_bill() -> None:
    located = locate(OLD)
    least = assess(OLD, located.params, located.tokens, located.variables).total
    poor, rich = (_with(OLD, _spend(OLD, "total_cost", factor * least)) for factor in (0.99, 1.01))
    assert not impossible(poor)
    chosen = solve_choices([("rich", rich), ("poor", poor)], "chat")
    assert chosen.choice == "rich"
    assert chosen.choices[0].total == pytest.approx(least, rel=1e-9)
    assert _amount(chosen.choices[1].reason, "total_cost") == pytest.approx(least, rel=5e-4)
    assert "the cheapest model that keeps the other limits" in chosen.choices[1].reason
    # That of one dollar is told without any search, and by less: training and serving each at its own least.
    reason = impossible(_with(OLD, _spend(OLD, "total_cost", 1.0)))
    assert 0.3 * least < _amount(reason, "total_cost") < least


@pytest.mark.parametrize(
    ("label", "least"),
    [
        # (B / R)^(1/beta) tokens on a model without end, and the compute of the compute-optimal model
        ("tokens", (SARDANA.B / OLD.reducible) ** (1.0 / SARDANA.beta)),
        ("training_flops", float(SARDANA.compute_optimal(loss=OLD.target_loss).flops)),
    ],
)
def test_what_grows_with_size_and_tokens_has_its_least_on_the_curve(label: str, least: float) -> None:
    assert impossible(_with(OLD, limit(label, "max", (1 - 1e-4) * least))).startswith(f"{label} would be at least ")
    assert not impossible(_with(OLD, limit(label, "max", (1 + 1e-4) * least)))


def test_floors_are_never_ruled_out_at_once() -> None:
    assert not impossible(_with(OLD, limit("tokens", "min", 1e16), limit("tokens_per_param", "max", 1e-3)))


def test_a_conflict_is_explained_in_full_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Problem] = []

    def counted(problem: Problem, feasible: conflict.Feasible) -> conflict.Conflict:
        asked.append(problem)
        return explain(problem, feasible)

    explain = conflict.explain
    monkeypatch.setattr(conflict, "explain", counted)
    tokens = limit("tokens", "max", float(SARDANA.tokens_for(6e9, OLD.target_loss)))
    slow = [
        (f"x {gpus}", _with(_on(Chips(gpus=gpus, bandwidth=1.4e12 / gpus), milliseconds=4.0), tokens))
        for gpus in (1, 2, 3, 4)
    ]
    plan = solve_choices(slow, "chat")
    assert len(asked) == 1
    assert plan.conflict is not None
    headline = "time_per_output_token max and tokens max and target cannot hold together"
    assert [row.reason.split(";")[0] for row in plan.choices] == [headline] * 4
    # The choice that came first is explained in full for the plan, none of the others.
    asked.clear()
    poor = [(label, _with(problem, _spend(problem, "total_cost", 1.0))) for label, problem in FEW[:3]]
    reasons = [row.reason for row in solve_choices(poor, "chat").choices]
    assert all(reason.startswith("total_cost would be at least $") for reason in reasons)
    assert asked == [poor[0][1]]
    asked.clear()
    solve_choices([*FEW[:1], *((f"poor {label}", problem) for label, problem in poor)], "chat")
    assert asked == []


def test_without_any_plan_every_choice_says_what_stops_it() -> None:
    slow = [(label, replace(problem, limits=(problem.limits[0], latency(0.2)))) for label, problem in FEW[:2]]
    plan = solve_choices(slow, "chat")
    assert plan.status == "infeasible"
    assert plan.best is None
    assert plan.warnings[0] == "no plan on any of the choices"
    assert plan.warnings[1].startswith("old x 1: time_per_output_token would be at least ")
    assert [row.total for row in plan.choices] == [None, None]
    assert plan.choice == ""
    assert plan.to_dict()["plan"] is None


def test_the_baseline_is_served_on_what_is_best_for_it() -> None:
    plan = solve_choices(FEW, "chat")
    served = [chinchilla(problem) for _, problem in FEW]
    fitting = [one for one in served if "serving_hbm" not in one.breaks]
    assert len(fitting) < len(served)
    assert plan.baseline.total == min(one.total for one in fitting)
    assert plan.best is not None
    assert plan.savings_fraction == pytest.approx(1 - plan.best.total / plan.baseline.total, rel=1e-12)


def test_whole_gpus_count_in_the_choice() -> None:
    other = replace(OLD, bill=replace(OLD.bill, whole=True))  # type: ignore[type-var]
    plan = solve_choices([("whole", other), ("plain", OLD)], "chat")
    assert plan.choice == "plain"
    assert plan.choices[1].total == pytest.approx((plan.choices[0].total or 0.0) + 123.0, rel=1e-12)


def test_choices_in_json() -> None:
    record = json.loads(json.dumps(solve_choices(FEW, "chat").to_dict(), allow_nan=False))
    assert record["choice"] == record["choices"][0]["label"]
    assert list(record["choices"][0]) == [
        "label", "status", "total", "excess_fraction", "params", "tokens", "variables", "reason",
    ]  # fmt: skip
    assert record["choices"][-1]["total"] is None


def test_bad_choices_are_refused() -> None:
    with pytest.raises(InputError, match="chat: nothing to choose from"):
        solve_choices([], "chat")
    with pytest.raises(InputError, match="chat: the same choice twice among a, a"):
        solve_choices([("a", OLD), ("a", NEW)], "chat")
    with pytest.raises(InputError, match="choices are compared by their cost"):
        solve_choices([("a", OLD), ("b", replace(NEW, objective="loss"))], "chat")


def test_a_study_of_one_problem_is_that_problem() -> None:
    class Question:
        def to_study(self) -> Study:
            return Study(name="chat", problems_at=lambda month: [("", OLD)])

    plan = solve(Question())
    alone = solve(OLD)
    assert plan.name == "chat"
    assert plan.to_dict() | {"scenario": ""} == alone.to_dict() | {"scenario": ""}


def test_a_study_of_several_chooses() -> None:
    study = Study(name="chat", problems_at=lambda month: FEW[:2])
    assert study.solve().to_dict() == solve_choices(FEW[:2], "chat").to_dict()
    assert study.solve("direct").method == "direct"


def test_two_dozen_choices_are_quick_enough_to_enumerate() -> None:
    many = [
        (f"{bandwidth:g} x {gpus}", _on(Chips(gpus=gpus, bandwidth=bandwidth)))
        for bandwidth in (1.4e12, 2.4e12, 3.6e12)
        for gpus in (1, 2, 4, 8)
    ]
    plan = solve_choices(many, "chat")
    assert len(plan.choices) == 12
    totals = [row.total for row in plan.choices if row.total is not None]
    assert totals == sorted(totals)
