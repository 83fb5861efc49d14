"""Whole assessments of scenarios: certain ones answer as `bc.solve`, uncertain ones hold together."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from trees import COST

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.risk import assess as module
from beyond_chinchilla.analyse.risk.assess import assess
from beyond_chinchilla.analyse.risk.cvar import verify_risk
from beyond_chinchilla.analyse.risk.figures import Risk
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.scenario.load import Scenario

DEMAND = {"demand": {**COST["demand"], "requests": {"median": "1.5B", "p90": "6B"}}}
BOTH: dict[str, Any] = {**DEMAND, "law": "besiroglu-2024"}


def scenario(**changes: Any) -> Scenario:
    return Scenario.from_dict({**COST, **changes})


def planned(asked: Scenario) -> Plan:
    return bc.solve(asked)


@cache
def both() -> Risk:
    """Return the assessment of uncertain demand under an uncertain law."""
    asked = scenario(**BOTH)
    return assess(asked, planned(asked), samples=2000)


# Nothing uncertain


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"limits": {"params": {"max": "14B"}}},
        {"limits": {"tokens": {"max": "2.5T"}}},
        {"limits": {"training_cost": {"max": "900k USD"}, "params": {"min": "20B"}}},
        {"law": "hoffmann-2022"},
    ],
)
def test_without_uncertainty_every_figure_is_the_plans(changes: dict[str, Any]) -> None:
    asked = scenario(**changes)
    assert asked.uncertainty.is_certain
    plan = planned(asked)
    assert plan.best is not None
    risk = assess(asked, plan)
    assert risk.is_certain
    assert risk.samples == 1
    figures = {
        "params": plan.best.params,
        "tokens": plan.best.tokens,
        "total": plan.best.total,
        "savings": plan.savings_fraction,
        "kappa": plan.kappa,
    }
    for name, value in figures.items():
        interval = risk.intervals[name]
        assert_allclose([interval.median, *interval.half, *interval.ninety], value, rtol=1e-6)
        assert interval.error == 0.0
    for row in (risk.plan("least mean"), risk.plan("least CVaR"), risk.plan("point estimate")):
        assert_allclose([row.params, row.total.median], [plan.best.params, plan.best.total], rtol=1e-6)
        assert_allclose([row.mean, row.cvar], plan.best.total, rtol=1e-6)
        assert_allclose([row.mean_regret, row.regret_p90], 0.0, atol=1e-6 * plan.best.total)
        assert row.failure == row.missed == 0.0
        assert row.feasible
    chinchilla = risk.plan("Chinchilla")
    assert chinchilla.params == plan.baseline.params
    if not plan.baseline.breaks:
        assert chinchilla.mean == pytest.approx(plan.baseline.total, rel=1e-9)
        assert chinchilla.mean_regret == pytest.approx(plan.savings, rel=1e-5)
    assert risk.perfect_information == pytest.approx(0.0, abs=1e-6 * plan.best.total)
    assert risk.information == ()
    assert risk.out_of_reach == (0.0, 0.0)
    if plan.one_percent_range is not None and not changes.get("limits"):
        assert_allclose(risk.range_1, plan.one_percent_range, rtol=1e-4)
    assert "Nothing is uncertain" in risk.notes[-1]


def test_binding_limits_bind() -> None:
    asked = scenario(limits={"params": {"max": "14B"}})
    risk = assess(asked, planned(asked))
    assert risk.binding["params"] == 1.0


# Something uncertain


def test_the_recommendation_is_least_of_all() -> None:
    risk = both()
    feasible = risk.failure <= risk.max_failure
    least_mean, least_cvar = risk.plan("least mean"), risk.plan("least CVaR")
    assert least_mean.mean <= risk.mean[feasible].min()
    assert least_cvar.cvar <= risk.cvar[feasible].min()
    assert risk.best is least_mean
    assert all(plan.feasible and plan.failure <= risk.max_failure for plan in (least_mean, least_cvar))
    assert [plan.label for plan in risk.plans] == ["least mean", "least CVaR", "point estimate", "Chinchilla"]


def test_figures_hold_together() -> None:
    risk = both()
    for interval in risk.intervals.values():
        assert interval.ninety[0] < interval.half[0] < interval.median < interval.half[1] < interval.ninety[1]
        assert interval.error > 0.0
    assert np.all(np.diff(risk.quantiles, axis=0) >= 0)
    assert np.all(risk.cvar >= risk.mean)
    for plan in risk.plans:
        # The mean of nine tenths and of the dearest tenth.
        assert plan.cvar >= plan.total.ninety[0]
        assert 0.0 <= plan.mean_regret <= plan.regret_p90 / 0.1
        assert 0.0 <= plan.missed <= plan.failure <= 1.0
    (low, high), (lower, higher) = risk.range_1, risk.range_5
    assert lower < low < risk.best.params < high < higher
    assert {row.group for row in risk.information} == {"demand", "law"}
    for row in risk.information:
        assert -1e-9 <= row.value <= risk.perfect_information + 3.0 * (row.error + risk.perfect_error)
    assert risk.perfect_information <= risk.best.mean_regret * (1.0 + 1e-9)


def test_the_scenario_is_in_its_own_interval() -> None:
    asked = scenario(**BOTH)
    plan = planned(asked)
    assert plan.best is not None
    risk = both()
    assert risk.intervals["params"].half[0] < plan.best.params < risk.intervals["params"].half[1]
    assert risk.budget == pytest.approx(10.0 * plan.best.tokens)


def test_demand_alone_moves_sizes_as_the_curve_says() -> None:
    """Without a law's doubt, quantiles of N* are the plans at quantiles of demand: N* falls in demand."""
    asked = scenario(**DEMAND)
    assert asked.uncertainty.law is None
    risk = assess(asked, planned(asked), points=0)
    for share, found in ((0.05, risk.intervals["params"].ninety[1]), (0.75, risk.intervals["params"].half[0])):
        requests = float(asked.uncertainty.inputs[0].distribution.quantile(share))
        best = planned(scenario(demand={**COST["demand"], "requests": requests})).best
        assert best is not None
        assert found == pytest.approx(best.params, rel=5e-3)
    assert any("law" in note.lower() for note in risk.notes)
    (row,) = risk.information
    assert row.value == risk.perfect_information > 0.0


def test_aversion_chooses() -> None:
    asked = scenario(**DEMAND)
    plan = planned(asked)
    risks = {aversion: assess(asked, plan, samples=500, points=0, aversion=aversion) for aversion in (0.0, 0.5, 1.0)}
    assert [risk.best.label for risk in risks.values()] == ["least mean", "least mix (0.5)", "least CVaR"]
    sizes = [risk.best.params for risk in risks.values()]
    # Dear samples are those of much demand, which asks for a smaller model.
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_budget_that_is_often_missed() -> None:
    limits = {"tokens": {"max": "800B"}, "params": {"max": "30B"}}
    asked = scenario(**BOTH, limits=limits, uncertainty={"max_failure": "0.1%"})
    plan = planned(asked)
    risk = assess(asked, plan, samples=400, points=4)
    assert risk.budget == 8e11
    assert risk.out_of_reach[0] > 0.001
    assert not risk.best.feasible
    # No size beyond its limit, though a larger one would miss less often.
    assert 25e9 < risk.best.params <= 30e9 * (1.0 + 1e-9)
    assert risk.best.failure == risk.failure.min() >= risk.out_of_reach[0]
    assert risk.binding["tokens"] > 0.0


def test_the_same_seed_gives_the_same_figures() -> None:
    asked = scenario(**BOTH)
    plan = planned(asked)
    one, same, other = (assess(asked, plan, samples=300, points=4, seed=seed) for seed in (3, 3, 4))
    assert json.dumps(one.to_dict()) == json.dumps(same.to_dict())
    assert json.dumps(one.to_dict()) != json.dumps(other.to_dict())
    assert_array_equal(one.draws_of["params"], same.draws_of["params"])


def test_parts_of_the_foresight_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scenario(**BOTH)
    plan = planned(asked)
    found = assess(asked, plan, samples=300, points=0).to_dict()
    monkeypatch.setattr(module, "_PARTS", 3)
    assert assess(asked, plan, samples=300, points=0).to_dict() == found


def test_the_record_is_json() -> None:
    record = both().to_dict()
    text = json.dumps(record, allow_nan=False)
    assert json.loads(text) == record
    assert record["samples"] == 2000
    assert record["chosen"] == "least mean"
    assert len(record["by_size"]["params"]) == len(both().sizes)
    assert set(record["intervals"]) == {"params", "tokens", "total", "savings", "kappa"}
    assert set(both().draws_of) == {"params", "tokens", "total", "savings"}
    assert all(len(values) == 2000 for values in both().draws_of.values())


def test_progress_is_told() -> None:
    asked = scenario(**DEMAND)
    steps: list[tuple[int, int]] = []
    assess(asked, planned(asked), samples=100, points=0, progress=lambda done, total: steps.append((done, total)))
    assert steps[0][0] == 1
    assert all(0 < done <= total for done, total in steps)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_program_and_search_agree_on_a_scenario() -> None:
    asked = scenario(**BOTH)
    plan = planned(asked)
    difference, count = verify_risk(asked, plan, samples=100, aversion=0.5)
    assert difference < 1e-6
    assert 90 < count <= 100


def test_months_are_assessed() -> None:
    asked = scenario(
        demand={
            "requests_per_month": {"median": "40M", "p90": "80M"},
            "months": 3,
            "input_tokens": 2000,
            "output_tokens": 300,
            "batch_share": 1.0,
        },
    )
    plan = planned(asked)
    assert plan.best is not None
    risk = assess(asked, plan, samples=100, points=2)
    assert risk.samples == 100
    with pytest.raises(InputError, match="no convex program of a bill by month"):
        verify_risk(asked, plan)
    assert risk.intervals["params"].ninety[0] < plan.best.params < risk.intervals["params"].ninety[1]
    assert risk.plan("least mean").mean <= risk.plan("point estimate").mean * (1.0 + 1e-9)


# Refused


def refused(asked: Scenario, plan: Plan, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        assess(asked, plan, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 99}, "--samples 99: give 100 to 1,000,000"),
        ({"samples": 10**7}, "give 100 to 1,000,000"),
        ({"seed": -1}, "--seed -1"),
        ({"aversion": 1.5}, "--risk-aversion 1.5: give 0"),
        ({"aversion": math.nan}, "--risk-aversion nan"),
        ({"level": 1.0}, "level 1: give a share"),
    ],
)
def test_options_out_of_bounds(options: dict[str, Any], words: str) -> None:
    asked = scenario(**DEMAND)
    assert words in refused(asked, planned(asked), **options)


def test_what_has_no_size_to_decide_on() -> None:
    loss = scenario(**DEMAND, objective="loss", target=None, limits={"total_cost": {"max": "1M USD"}})
    loss = Scenario.from_dict({key: value for key, value in loss.to_dict().items() if value is not None})
    assert "objective loss" in refused(loss, planned(loss))
    trained = scenario(**DEMAND, start_from={"params": "30B", "tokens": "1T"})
    assert "start_from" in refused(trained, planned(trained))


def test_a_plan_that_there_is_not() -> None:
    asked = scenario(**DEMAND, limits={"tokens": {"max": "1B"}})
    plan = planned(asked)
    assert plan.best is None
    assert "loosen a limit or the target" in refused(asked, plan)
