"""Small parts by hand: what is said of a plan, field by field, and either side of what decides it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from strategies import limit

from beyond_chinchilla.errors import InputError, SolverError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw
from beyond_chinchilla.optimise import advice, conflict, locate, resume
from beyond_chinchilla.optimise.choices import ChoiceRow, _beside, _Tried, sketch
from beyond_chinchilla.optimise.choices import _row as choice_row
from beyond_chinchilla.optimise.conflict import Conflict
from beyond_chinchilla.optimise.kkt import Certificate
from beyond_chinchilla.optimise.launch import Launch, LaunchRow, solve_launch
from beyond_chinchilla.optimise.limits import LimitRow
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.effect import Effect, is_apart, laws_asked
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import (
    Problem,
    below_floor,
    beyond_any_budget,
    driver_elasticities,
    driver_shares,
)
from beyond_chinchilla.optimise.study import Study, joined
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

LAW = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283, name="one")
TRAINING = Term(label="training", coefficient=6.0, powers={"params": 1.0, "tokens": 1.0}, drivers=("training_price",))
SERVING = Term(label="decode", coefficient=4e12, powers={"params": 1.0}, drivers=("demand", "serving_price"))
BILL = Posynomial((TRAINING, SERVING), "FLOP")
PROBLEM = Problem(law=LAW, target_loss=2.0, cost=BILL, flops=BILL, name="chat")
BEST = Candidate(
    params=2e9,
    tokens=1e10,
    loss=2.5,
    training_flops=1.2e20,
    inference_flops=8e21,
    terms={"training": 30.0, "decode": 10.0},
    unit="USD",
    breaks=("params",),
)
BASELINE = replace(BEST, terms={"training": 40.0, "decode": 10.0}, loss=2.6)


# A plan as JSON


def test_a_candidate_by_hand() -> None:
    record = {
        "params": 2e9,
        "tokens": 1e10,
        "tokens_per_param": 5.0,
        "loss": 2.5,
        "training_flops": 1.2e20,
        "inference_flops": 8e21,
        "total": 40.0,
        "unit": "USD",
        "terms": [{"label": "training", "value": 30.0}, {"label": "decode", "value": 10.0}],
    }
    assert BEST.to_dict() == record
    assert (BEST.total, BEST.nominal_total, BEST.tokens_per_param) == (40.0, None, 5.0)
    more = replace(BEST, total_params=7e9, variables={"batch": 8.0}, nominal_terms={"training": 31.0, "decode": 11.5})
    assert more.to_dict() == record | {"total_params": 7e9, "variables": {"batch": 8.0}, "nominal_total": 42.5}


def test_a_plan_by_hand() -> None:
    plan = Plan(
        name="chat", status="optimal", method="gp", law=LAW, target_loss=2.5, best=BEST, baseline=BASELINE,
        savings_fraction=0.2,
    )  # fmt: skip
    record = {
        "schema": "beyond-chinchilla/plan/1",
        "scenario": "chat",
        "status": "optimal",
        "method": "gp",
        "law": LAW.to_dict(),
        "target_loss": 2.5,
        "plan": BEST.to_dict(),
        "baseline": BASELINE.to_dict(),
        "savings": {"absolute": 10.0, "fraction": 0.2},
        "kappa": None,
        "spend_ratio": None,
        "elasticities": {},
        "range_1_percent": None,
        "limits": [],
        "warnings": [],
        "certificate": {"kkt_residual": 0.0, "duality_gap": 0.0},
    }
    assert plan.to_dict() == record
    row = LimitRow(
        label="params", side="max", unit="params", each="parameter", value=1.0, bound=2.0, binding=False,
        redundant=False, elasticity=0.0, shadow_price=0.0, price_unit="USD per parameter",
    )  # fmt: skip
    launch = Launch(month=3, training_months=2.5, scan=(LaunchRow(month=3, status="on time", total=40.0),))
    choice = ChoiceRow(label="h100", status="infeasible", reason="too small")
    effect = Effect(kind="experts", name="e", source="s", figures={"experts": 8.0}, elasticities={"x": 0.5})
    full = replace(
        plan, limits=(row,), kappa=0.5, spend_ratio=0.25, elasticities={"demand": 0.2}, one_percent_range=(1e9, 3e9),
        warnings=("one",), kkt_residual=1e-12, duality_gap=2e-12, objective="loss", serving={"batch": 8.0},
        choice="h100", choices=(choice,), launch=launch, effects=(effect,),
    )  # fmt: skip
    assert full.to_dict() == record | {
        "baseline": BASELINE.to_dict() | {"breaks": ["params"]},
        "savings": {"absolute": pytest.approx(0.52), "fraction": 0.2},
        "limits": [row.to_dict()],
        "kappa": 0.5,
        "spend_ratio": 0.25,
        "elasticities": {"demand": 0.2},
        "range_1_percent": {"params": [1e9, 3e9]},
        "warnings": ["one"],
        "certificate": {"kkt_residual": 1e-12, "duality_gap": 2e-12},
        "objective": "loss",
        "serving": {"batch": 8.0},
        "choice": "h100",
        "choices": [
            {
                "label": "h100", "status": "infeasible", "total": None, "excess_fraction": None, "params": None,
                "tokens": None, "variables": {}, "reason": "too small",
            }
        ],
        "launch": {
            "month": 3,
            "training_months": 2.5,
            "scan": [{"month": 3, "status": "on time", "training_months": None, "total": 40.0}],
        },
        "effects": {"experts": {"law": "e", "experts": 8.0, "elasticities": {"x": 0.5}}},
    }  # fmt: skip
    assert replace(choice, total_params=7e9).to_dict()["total_params"] == 7e9
    why = Conflict(labels=("params max",), least_loss=None, reliefs=())
    nothing = replace(plan, status="infeasible", best=None, conflict=why).to_dict()
    assert (nothing["plan"], nothing["savings"], nothing["certificate"]) == (None, None, None)
    assert nothing["conflict"] == {"limits": ["params max"], "least_loss": None, "reliefs": []}
    assert nothing["baseline"]["breaks"] == ["params"]
    assert plan.savings == 10.0
    assert plan.to_frame().loc["plan", "training"] == 30.0
    assert list(replace(plan, best=None).to_frame().index) == ["baseline"]


# What is said of it

SAID = (
    "serving is 5.0% of training spend at the Chinchilla point: demand hardly matters, and planning for it saves 12.3%"
)


@pytest.mark.parametrize(
    ("kappa", "said"),
    [
        (None, []),
        (0.05, []),
        (
            0.0499,
            [SAID],
        ),
    ],
)  # fmt: skip
def test_demand_that_hardly_matters(kappa: float | None, said: list[str]) -> None:
    assert advice.of_demand(kappa, 0.1234) == said


def test_warnings_of_a_plan_in_their_order() -> None:
    law = replace(LAW, fitted=FittedRange(params=(1e6, 1e9), tokens=(1e9, 5e9)))
    few = replace(BEST, tokens=1e9)
    departures = law.fitted.departures(4e9, few.tokens)
    outside, thin, demand = advice.warnings(law, few, 4e9, 0.01, 0.5)
    assert outside == f"outside the range of the runs behind law one: {'; '.join(departures)}"
    assert thin == "trains on 0.5 tokens per param, fewer than 1: no published law holds there"
    assert demand == advice.of_demand(0.01, 0.5)[0]
    assert advice.warnings(law, replace(BEST, params=1e9, tokens=1e9), 1e9, None, 0.5) == []
    # Too many tokens, by size or in all, have a warning of their own.
    (many,) = advice.warnings(law, BEST, 1e9, None, 0.5)
    assert many.endswith("overestimate what extra tokens bring there (Sardana et al. 2024, section 4)")
    (large,) = advice.warnings(law, replace(BEST, tokens=2e9), 4e9, None, 0.5)
    assert "Sardana" not in large


@dataclass(frozen=True)
class Named:
    kind: str
    name: str
    source: str = "paper"
    baseline: float | None = None


def test_the_laws_that_are_asked_stand_in_their_order() -> None:
    class Asked:
        levers = (Named("quantisation", "q"), Named("thinking", "t"))
        experts: Any = type("Experts", (), {"laws": Named("", "e")})()
        repetition: Any = Named("", "r")

    asked: Any = Asked()
    assert [(one.kind, one.name, one.source, dict(one.figures)) for one in laws_asked(asked)] == [
        ("experts", "e", "paper", {}),
        ("quantisation", "q", "paper", {}),
        ("thinking", "t", "paper", {}),
        ("repetition", "r", "paper", {}),
    ]
    asked.experts = asked.repetition = None
    assert [one.kind for one in laws_asked(asked)] == ["quantisation", "thinking"]
    assert not is_apart(asked)
    asked.levers = (Named("thinking", "t"), Named("quantisation", "q", baseline=0.0))
    assert is_apart(asked)
    assert Effect(kind="k", name="n", source="s", figures={"a": 1.0}).to_dict() == {"law": "n", "a": 1.0}


# A problem


def test_a_target_that_cannot_be_had_is_named_with_what_can() -> None:
    least = float(LAW.loss(1e12, 1e14))
    said = below_floor(LAW, 1.5)
    assert said == (
        "target loss 1.5 is at or below the floor E = 1.69 of law one; within N <= 1.00T and D <= 100T the least "
        f"reachable loss is {least:.3f}"
    )
    for loss in (1.69, 1.5, math.nan, math.inf, -math.inf):
        with pytest.raises(InputError, match="at or below the floor"):
            replace(PROBLEM, target_loss=loss)
    assert beyond_any_budget(LAW) == pytest.approx(1.69 * (1 + 1e-9), rel=1e-15)
    assert beyond_any_budget(replace(LAW, E=0.0)) == 1e-30


def test_shares_and_elasticities_of_drivers() -> None:
    # 6e19 of training and 4e21 of serving
    logs = {"params": math.log(1e9), "tokens": math.log(1e10)}
    shares = driver_shares(BILL, logs)
    assert shares == pytest.approx({"training_price": 6 / 406, "demand": 400 / 406, "serving_price": 400 / 406})
    twice = driver_elasticities([(1.0, BILL), (0.5, Posynomial((SERVING,)))], logs)
    assert twice == pytest.approx(
        {"demand": 400 / 406 + 0.5, "training_price": 6 / 406, "serving_price": 400 / 406 + 0.5}
    )
    assert driver_elasticities([], logs) == {"demand": 0.0, "training_price": 0.0, "serving_price": 0.0}
    assert PROBLEM.spend_ratio(logs) == pytest.approx(400 / 6, rel=1e-12)
    assert replace(PROBLEM, cost=Posynomial((SERVING,), "FLOP")).spend_ratio(logs) is None
    assert replace(PROBLEM, cost=Posynomial((TRAINING,), "FLOP")).spend_ratio(logs) == 0.0


def test_labels_of_broken_limits_are_named_once() -> None:
    limits = (limit("params", "max", 1e9), limit("tokens", "min", 1e12), limit("params", "min", 1e13))
    problem = replace(PROBLEM, limits=limits)
    assert problem.broken(problem.point(2e9, 1e13, {})) == ("params",)
    assert problem.broken(problem.point(1e13, 1e11, {})) == ("params", "tokens")
    assert (problem.shift, problem.is_codesign, problem.has_kinks, problem.is_extended) == (0.0, False, False, False)
    assert problem.rates == (6.0, 4e12)
    assert problem.point(2e9, 1e13, {"batch": 3.0}) == {"params": 2e9, "tokens": 1e13, "batch": 3.0}


# Where it lies


def test_savings_of_nothing_but_rounding_are_none() -> None:
    for saved, said in ((0.5e-14, 0.0), (2e-14, 2e-14), (-2e-14, -2e-14), (0.25, 0.25)):
        best = replace(BEST, terms={"all": 50.0 * (1.0 - saved)})
        assert locate.saved_of(best, BASELINE) == pytest.approx(said, abs=2e-15)
        if said == 0.0:
            assert locate.saved_of(best, BASELINE) == 0.0


@pytest.mark.parametrize(
    ("gap", "residual", "passes"),
    [(1e-8, 1e-8, True), (1.1e-8, 0.0, False), (0.0, 1.1e-8, False), (math.nan, 0.0, False)],
)
def test_only_what_is_proved_passes(gap: float, residual: float, passes: bool) -> None:
    proof = Certificate(residual, gap, ())
    if passes:
        locate.demand_proof(proof, "chat")
        return
    with pytest.raises(SolverError, match=r"chat stopped short of a proof: .*at most 1e-08 each"):
        locate.demand_proof(proof, "chat")


def test_kappa_of_a_baseline_is_served_over_trained() -> None:
    assert locate.kappa_at(BILL, BASELINE) == 0.25
    # What the bill alone knows is served.
    fleet = replace(BASELINE, terms={"training": 40.0, "decode": 10.0, "idle": 6.0})
    assert locate.kappa_at(BILL, fleet) == 0.4
    assert locate.kappa_at(BILL, replace(BASELINE, terms={"decode": 10.0})) is None
    storage = Term(label="storage", coefficient=1.0, powers={"params": 1.0}, drivers=("storage_price",))
    assert (
        locate.kappa_at(BILL + Posynomial((storage,), "FLOP"), replace(fleet, terms={**fleet.terms, "storage": 9.0}))
        == 0.4
    )


def test_terms_of_one_label_add_up() -> None:
    first = {"a": 1.0, "b": 2.0}
    assert locate._sum(first, {"b": 3.0, "c": 4.0}) == {"a": 1.0, "b": 5.0, "c": 4.0}
    assert first == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("powers", "said"),
    [
        ({"params": 1.0, "tokens": 1.0}, "the plan has more or fewer params or tokens than numbers hold"),
        (
            {"params": 1.0},
            "tokens can grow for ever while params shrink: no cost rises with tokens; give limits.tokens",
        ),
        (
            {"tokens": 1.0},
            "params can grow for ever while tokens shrink: no cost rises with params; give limits.params",
        ),
        ({}, "params and tokens can grow for ever: no cost rises with either; give limits.params.max"),
    ],
)
def test_what_runs_away_is_named(powers: dict[str, float], said: str) -> None:
    assert locate._endless(replace(PROBLEM, cost=monomial("one", 1.0, powers))).startswith(said)


def test_a_model_with_its_bill_by_hand() -> None:
    limits = (limit("params", "max", 1e9),)
    nominal = BILL.times(1.5)
    found = locate.assess(replace(PROBLEM, limits=limits, nominal_cost=nominal), 2e9, 1e10)
    assert (found.params, found.tokens, found.unit) == (2e9, 1e10, "FLOP")
    assert found.loss == pytest.approx(float(LAW.loss(2e9, 1e10)), rel=1e-15)
    assert found.terms == pytest.approx({"training": 1.2e20, "decode": 8e21}, rel=1e-12)
    assert (found.training_flops, found.inference_flops) == pytest.approx((1.2e20, 8e21), rel=1e-12)
    assert found.nominal_terms == pytest.approx({"training": 1.8e20, "decode": 1.2e22}, rel=1e-12)
    assert (found.breaks, dict(found.variables), found.total_params) == (("params",), {}, None)
    assert locate.assess(PROBLEM, 2e9, 1e10).nominal_terms is None
    with pytest.raises(InputError, match="beyond what numbers hold"):
        locate.assess(PROBLEM, 1e200, 1e200)
    with pytest.raises(InputError, match="beyond what numbers hold"):
        locate.assess(replace(PROBLEM, cost=Posynomial((TRAINING,), "FLOP")), 1e-200, 1e-200)
    memory = limit("serving_hbm", "max", 1.0, monomial("m", 1.0, {"params": 1.0}))
    assert locate.unlimited(replace(PROBLEM, limits=(*limits, memory))).limits == (memory,)


def test_methods_that_are_none_are_named() -> None:
    with pytest.raises(InputError, match="no method 'gpp'"):
        locate.locate(PROBLEM, "gpp")
    assert {name: locate.locate(PROBLEM, name).method for name in ("auto", "universal", "elementwise", "gp")} == {
        "auto": "universal",
        "universal": "universal",
        "elementwise": "elementwise",
        "gp": "gp",
    }
    bound = replace(PROBLEM, limits=(limit("params", "max", 1e9),))
    assert locate.locate(bound).method == "elementwise"
    with pytest.raises(InputError, match="method universal needs limits that do not bind"):
        locate.locate(bound, "universal")
    with pytest.raises(InputError, match="method universal needs a bill a N D"):
        locate.locate(replace(PROBLEM, cost=monomial("t", 1.0, {"params": 2.0, "tokens": 1.0})), "universal")
    with pytest.raises(InputError, match="method direct is for serving co-design"):
        locate.locate(PROBLEM, "direct")
    assert locate.has_plan(PROBLEM)
    assert not locate.has_plan(replace(PROBLEM, limits=(limit("params", "max", 1.0),)))
    found, exact = locate.locate(PROBLEM, "elementwise"), locate.locate(PROBLEM)
    assert locate.savings(PROBLEM, found) == pytest.approx(locate.savings(PROBLEM, exact), rel=1e-9)
    assert Located(math.nan, 1.0, "").found is False


# Why there is none


@pytest.mark.parametrize(
    ("labels", "headline"),
    [
        (("a max",), "a max cannot be kept by any model"),
        (("a max", "target"), "a max and target cannot hold together"),
        (("a max", "b min", "target"), "a max and b min and target cannot hold together"),
    ],
)
def test_a_conflict_in_words(labels: tuple[str, ...], headline: str) -> None:
    most, least = limit("params", "max", 1e9), limit("tokens", "min", 1e12)
    reliefs = ((most, 2.00004e9), (least, 5.0e11))
    why = Conflict(labels=labels, least_loss=2.12348, reliefs=reliefs)
    assert why.headline == headline
    assert why.sentences(2.0) == [
        f"no plan: {headline}",
        "the least loss within the limits is 2.1235, the target is 2.0000",
        f"a plan exists if you raise params max from {most.written(1e9)} to {most.written(2.001e9, 4)}",
        f"a plan exists if you lower tokens min from {least.written(1e12)} to {least.written(5.0e11, 4)}",
    ]
    none = replace(why, least_loss=None, reliefs=())
    assert none.sentences(2.0)[1:] == ["the limits exclude each other at any loss"]
    assert why.to_dict() == {
        "limits": list(labels),
        "least_loss": 2.12348,
        "reliefs": [
            {"label": "params", "side": "max", "bound": 1e9, "needed": 2.00004e9, "unit": "params"},
            {"label": "tokens", "side": "min", "bound": 1e12, "needed": 5.0e11, "unit": least.unit},
        ],
    }


@pytest.mark.parametrize("edge", [0.0, 0.3, 1.0, 7.25, 13.0, 699.0])
def test_where_a_condition_begins_to_hold(edge: float) -> None:
    asked = []

    def holds(x: float) -> bool:
        asked.append(x)
        return x >= edge

    found = conflict._first(holds, 0.0, 700.0)
    assert found is not None
    # On the side that holds, to a part in a trillion, and no closer than that
    assert edge <= found <= edge + 1e-12 * max(1.0, edge)
    assert asked[:2] == [700.0, 350.0]
    width = max(1.0, edge)
    assert len(asked) == 1 + math.ceil(math.log2(700.0 / (1e-12 * width)))
    assert conflict._first(lambda x: False, 0.0, 700.0) is None


def test_a_target_that_any_model_meets() -> None:
    weakest = conflict._weakest(PROBLEM)
    assert weakest == pytest.approx(math.log(406.4 + 410.7) + math.log(1e6), rel=1e-14)
    poor = replace(PROBLEM, target_loss=1.69 + 1e5)
    assert conflict._weakest(poor) == pytest.approx(math.log(1e5) + math.log(1e6), rel=1e-12)
    assert conflict.without_target(PROBLEM).target_loss == pytest.approx(1.69 + math.exp(weakest), rel=1e-12)
    far = replace(PROBLEM, law=replace(LAW, A=1e305))
    assert conflict._weakest(far) == 700.0
    steep = replace(PROBLEM, law=replace(LAW, A=1e200, power=2.0))
    assert conflict._weakest(steep) == 350.0


# When it starts


def _launch(trains: dict[int, float], last: int, totals: dict[int, float] | None = None, **changes: Any) -> Plan:
    plan = Plan(name="", status="optimal", method="gp", law=LAW, target_loss=2.0, best=BEST, baseline=BASELINE)

    def answer(month: int) -> Plan:
        total = {} if totals is None else totals
        return replace(plan, name=str(month), best=replace(BEST, terms={"all": total.get(month, 1.0)}))

    return solve_launch(lambda month: month, lambda found: trains[int(found.name)], answer, last, **changes)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("months", "month"), [(3.0, 3), (3.0 + 0.9e-6, 3), (3.0 + 1.1e-6, 4), (2.5, 3), (0.0, 0), (1e-7, 0)]
)
def test_a_month_is_full_but_for_rounding(months: float, month: int) -> None:
    plan = _launch(dict.fromkeys(range(11), months), 10)
    assert plan.launch is not None
    assert (plan.launch.month, plan.launch.training_months) == (month, months)
    near = [k for k in range(max(month - 3, 0), month + 4) if k in (month, *range(1, 11))]
    assert [row.month for row in plan.launch.scan] == near
    assert [row.status for row in plan.launch.scan] == [
        "late" if k < month else "on time" if k == month else "waits" for k in near
    ]
    assert {row.training_months for row in plan.launch.scan} == {months}


def test_months_that_serve_alike_are_not_looked_at() -> None:
    plan = _launch(dict.fromkeys(range(11), 4.0), 10, early=5)
    assert plan.launch is not None
    assert [row.month for row in plan.launch.scan] == [4, 6, 7]
    plan = _launch(dict.fromkeys(range(11), 4.0), 5, first=9)
    assert plan.launch is not None
    assert [row.month for row in plan.launch.scan] == [1, 2, 3, 4, 5]


def test_of_months_that_end_on_time_the_cheapest_is_chosen() -> None:
    plan = _launch({k: float(k) for k in range(11)}, 10, {0: 5.0, 1: 3.0, 2: 4.0, 3: 3.5})
    assert plan.launch is not None
    assert (plan.launch.month, [row.total for row in plan.launch.scan]) == (1, [5.0, 3.0, 4.0, 3.5])
    # One that waits is the first of them, whatever it costs.
    waits = _launch({0: 4.0, 1: 4.0, 2: 4.0, 3: 4.0, 4: 6.0, 5: 6.0, 6: 3.0, 7: 3.0, 8: 3.0}, 8, {6: 9.0, 7: 1.0})
    assert waits.launch is not None
    assert (waits.launch.month, waits.launch.training_months) == (6, 3.0)


def test_a_search_for_the_month_ends_after_twenty_steps() -> None:
    asked = []
    plan = Plan(name="", status="optimal", method="gp", law=LAW, target_loss=2.0, best=BEST, baseline=BASELINE)

    def answer(month: int) -> Plan:
        asked.append(month)
        return replace(plan, name=str(month))

    with pytest.raises(InputError, match=r"training takes 18\.0 months, the latest launch is month 90"):
        solve_launch(lambda month: month, lambda found: float(found.name) + 1.0 - 1e-9, answer, 90)  # type: ignore[attr-defined]
    assert asked[:20] == list(range(20))
    assert sorted(asked) == list(range(24))


# Several problems


def test_a_study_needs_to_know_how_long_training_takes() -> None:
    def months(found: Any) -> float:
        return 1.0

    for launch, training in ((-1, months), (0, None), (3, None)):
        with pytest.raises(InputError, match="needs launch_months >= 0 and training_months"):
            Study(name="s", problems_at=lambda month: [], launch_months=launch, training_months=training)
    assert Study(name="s", problems_at=lambda month: [], launch_months=0, training_months=months).launch_months == 0
    one = Study(name="s", problems_at=lambda month: [("only", PROBLEM)]).solve()
    assert (one.name, one.choice) == ("s", "only")


def test_studies_are_joined_by_their_labels() -> None:
    own = Study(name="a", problems_at=lambda month: [("fp8", PROBLEM), ("", replace(PROBLEM, name=str(month)))])
    other = Study(name="b", problems_at=lambda month: [("", PROBLEM)], problem_at=lambda month, label: PROBLEM)
    whole = joined("all", {"h100": own, "": other, "h200": other})
    assert whole.name == "all"
    assert whole.problem_at is None
    found = list(whole.problems_at(7))
    assert [label for label, _ in found] == ["h100, fp8", "h100", "", "h200"]
    assert found[1][1].name == "7"


def test_a_plan_beside_the_baseline_of_another_choice() -> None:
    problem = replace(PROBLEM, notes=("last",))
    told = advice.of_demand(0.01, 0.2)
    plan = Plan(
        name="", status="optimal", method="gp", law=LAW, target_loss=2.0, best=BEST, baseline=BEST, kappa=0.01,
        savings_fraction=0.2, warnings=("first", *told, "last"),
    )  # fmt: skip
    found = _beside(plan, problem, problem, BASELINE)
    assert (found.kappa, found.baseline) == (0.25, BASELINE)
    assert found.savings_fraction == pytest.approx(1 - 40 / 50, rel=1e-12)
    assert found.warnings == ("first", "last")
    little = replace(BASELINE, terms={"training": 40.0, "decode": 1.0})
    found = _beside(replace(plan, warnings=("first", "last")), problem, problem, little)
    assert found.warnings == ("first", advice.of_demand(1 / 40, 1 - 40 / 41)[0], "last")
    none = _beside(replace(plan, kappa=None, warnings=()), PROBLEM, PROBLEM, little)
    assert (none.kappa, none.warnings) == (None, ())


def test_a_choice_in_a_row_of_its_own() -> None:
    tried = _Tried("a", PROBLEM, best=replace(BEST, variables={"batch": 2.0}, total_params=9e9))
    assert choice_row(tried, 32.0).to_dict() == {
        "label": "a",
        "status": "optimal",
        "total": 40.0,
        "excess_fraction": 0.25,
        "params": 2e9,
        "tokens": 1e10,
        "variables": {"batch": 2.0},
        "reason": "",
        "total_params": 9e9,
    }
    failed = choice_row(_Tried("b", PROBLEM, status="failed", reason="no"), 32.0)
    assert failed == ChoiceRow(label="b", status="failed", reason="no")


def test_choices_that_were_nearly_best_are_asked_again() -> None:
    asked: list[list[str]] = []
    offers = {
        "one": PROBLEM,
        "two": replace(PROBLEM, cost=BILL.times(2.0)),
        "none": replace(PROBLEM, limits=(limit("params", "max", 1.0),)),
    }

    def problems(labels: Any) -> list[tuple[str, Problem]]:
        asked.append(list(labels))
        return [(label, offers[label]) for label in labels or offers]

    def like(**excess: float | None) -> Plan:
        rows = tuple(ChoiceRow(label=label, status="", excess_fraction=over) for label, over in excess.items())
        return Plan(
            name="", status="optimal", method="gp", law=LAW, target_loss=2.0, best=BEST, baseline=BEST, choices=rows
        )

    least = locate.assess(PROBLEM, *(lambda at: (at.params, at.tokens))(locate.locate(PROBLEM))).total
    found = sketch(problems, like(two=0.0, one=0.06, none=None)).best
    assert found is not None
    assert found.total == pytest.approx(2.0 * least, rel=1e-9)
    found = sketch(problems, like(two=0.0, one=0.05)).best
    assert found is not None
    assert found.total == pytest.approx(least, rel=1e-9)
    assert asked == [["two"], ["two", "one"]]
    # Where those have no plan all are asked, as where none was near.
    del asked[:]
    for plan in (like(none=0.0), like(one=0.06)):
        found = sketch(problems, plan).best
        assert found is not None
        assert found.total == pytest.approx(least, rel=1e-9)
    assert asked == [["none"], [], []]
    del offers["one"], offers["two"]
    assert sketch(problems, like()).best is None


# A model that goes on


def _row(**changes: Any) -> LimitRow:
    stated = {
        "label": "training_cost", "side": "max", "unit": "USD", "each": "USD", "value": 1.0, "bound": 1.0,
        "binding": False, "redundant": False, "elasticity": 0.0, "shadow_price": 0.0, "price_unit": "USD per USD",
    }  # fmt: skip
    return LimitRow(**(stated | changes))


@pytest.mark.parametrize(
    ("side", "value", "over"),
    [
        ("max", 2.0 * (1 + 2e-9), True),
        ("max", 2.0 * (1 + 0.5e-9), False),
        ("max", 1.0, False),
        ("min", 2.0 * (1 - 2e-9), True),
        ("min", 2.0 * (1 - 0.5e-9), False),
        ("min", 3.0, False),
    ],
)
def test_a_row_is_over_beyond_a_billionth(side: str, value: float, over: bool) -> None:
    assert resume._over(_row(side=side, value=value, bound=2.0)) is over


def test_a_broken_limit_in_a_sentence() -> None:
    row = _row(label="tokens", side="min", unit="tokens", value=1.23456e12, bound=2e12)
    assert resume._sentence(row) == "no plan: tokens would be 1.235T tokens, min is 2.000T tokens"


@pytest.mark.parametrize("N", [5e9, 2e10])
def test_the_elasticity_of_tokens_to_the_target_at_a_size(N: float) -> None:
    problem = replace(PROBLEM, target_loss=2.1)
    D = float(LAW.tokens_for(N, 2.1))
    h = 1e-6
    numeric = math.log(float(LAW.tokens_for(N, 2.1 * (1 + h))) / float(LAW.tokens_for(N, 2.1 * (1 - h)))) / (2 * h)
    assert resume._target_elasticity(problem, N, D) == pytest.approx(numeric, rel=1e-6)
    # More tokens than the target asks for: something else holds them up.
    assert resume._target_elasticity(problem, N, 1.001 * D) == 0.0
    assert resume._target_elasticity(problem, N, (1 + 1e-11) * D) == pytest.approx(numeric, rel=1e-6)


def test_floors_ask_for_tokens_at_a_size() -> None:
    limits = (
        limit("tokens", "min", 5e11), limit("tokens_per_param", "min", 30.0), limit("params", "min", 1.0),
        limit("tokens", "max", 9e13),
    )  # fmt: skip
    assert resume._floors(replace(PROBLEM, limits=limits), 2e10) == [5e11, 6e11]


def test_rows_of_what_goes_on_count_further_tokens_alone() -> None:
    spend = limit("training_cost", "max", 1e22, Posynomial((TRAINING,), "FLOP"))
    both = limit("total_cost", "max", 1e22, BILL)
    point = (2e9, 1e12, 0.25, 7.0)
    row = resume._row(PROBLEM, spend, *point)
    assert row.value == pytest.approx(0.25 * 6.0 * 2e9 * 1e12, rel=1e-12)
    assert (row.binding, row.redundant, row.free, row.elasticity, row.shadow_price) == (False, False, False, 0.0, 0.0)
    assert resume._row(PROBLEM, both, *point).value == pytest.approx(0.25 * 1.2e22 + 8e21, rel=1e-12)
    whole = resume._row(PROBLEM, limit("tokens", "max", 1e12), *point)
    assert (whole.value, whole.binding, whole.redundant) == (1e12, True, True)
    per = resume._row(PROBLEM, limit("tokens_per_param", "min", 500.0), *point)
    assert (per.value, per.binding) == (pytest.approx(500.0, rel=1e-12), True)


def test_kaplans_law_is_assessed_in_total_params() -> None:
    kaplan = published("kaplan-2020")
    problem = replace(PROBLEM, law=kaplan, target_loss=2.4)
    N = float(kaplan.counted_params(2e9))
    assert locate.assess(problem, N, 1e10).params == pytest.approx(2e9, rel=1e-12)
    assert np.isclose(problem.point(N, 1e10, {})["params"], 2e9)
