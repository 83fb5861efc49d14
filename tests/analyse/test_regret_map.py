"""Regret maps: nothing on the diagonal or below zero, the bills of the plans themselves, and both ways of error."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.regret_map import NO_PLAN, TARGET, regret_map
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.universal import log_cost_ratio, optimum

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def _load(name, *changes):
    return bc.load(SCENARIOS / f"{name}.yaml", list(changes))


def _map(scenario, *arguments, **options):
    return regret_map(scenario, bc.solve(scenario), *arguments, **options)


@pytest.fixture(scope="module")
def by_demand():
    return _map(_load("1B-requests"))


# What a cell says


def test_the_diagonal_is_zero_and_nothing_is_below(by_demand):
    assert np.diag(by_demand.regret).tolist() == [0.0] * 9
    assert (by_demand.regret >= 0).all()
    assert (by_demand.regret[~np.eye(9, dtype=bool)] > 0).all()


def test_regret_grows_with_the_error(by_demand):
    for row in by_demand.regret:
        at = int(np.argmin(row))
        assert (np.diff(row[at:]) > 0).all()
        assert (np.diff(row[: at + 1]) < 0).all()


def test_cells_are_the_bills_of_the_plans(by_demand):
    """Against the scenario solved anew at both demands: a N D + b N, b of what is met."""
    for i, j in ((0, 8), (8, 0), (4, 2), (4, 4)):
        plans = [
            bc.solve(_load("1B-requests", f"demand.requests={value!r}")) for value in by_demand.met[[i, j]].tolist()
        ]
        planned, met = (plan.best for plan in plans)
        assert by_demand.params[i] == pytest.approx(planned.params, rel=1e-9)
        serving = sum(value for label, value in met.terms.items() if label != "training") / met.params
        bill = planned.terms["training"] + serving * planned.params
        assert by_demand.cost[i, j] == pytest.approx(bill, rel=1e-9)
        assert by_demand.regret[i, j] == pytest.approx(bill / met.total - 1.0, abs=1e-9)


def test_no_demand_planned_for_is_the_chinchilla_model():
    """Regret of the compute-optimal model from the universal curve: 1/cost ratio - 1 (DESIGN 2.3)."""
    scenario = _load("1B-requests")
    found = _map(scenario, low=1e-9, high=1.0, points=2)
    law, kappa = bc.law("sardana-2024"), bc.solve(scenario).kappa
    best = optimum(law, law.compute_optimal(params=30e9).loss, 1.0, kappa * law.compute_optimal(params=30e9).tokens)
    expected = math.expm1(-float(log_cost_ratio(best.spend_ratio, law.alpha, law.beta)))
    assert found.params[0] == pytest.approx(30e9, rel=1e-6)
    assert found.regret[0, 1] == pytest.approx(expected, rel=1e-6)
    # The heading of the scenario: the plan saves 13.0% of what the Chinchilla model costs.
    assert 1.0 - 1.0 / (1.0 + found.regret[0, 1]) == pytest.approx(0.130, abs=0.0005)


def test_both_ways_of_error_are_told_apart(by_demand):
    told = by_demand.asymmetry
    own = _map(_load("1B-requests"), low=0.25, high=4.0, points=3)
    assert (told.under, told.over) == (pytest.approx(own.regret[0, 1]), pytest.approx(own.regret[2, 1]))
    # Too much training is dearer than too little here: the demand that it was for never comes.
    assert 0 < told.under < told.over
    upper = np.log1p(by_demand.regret[np.triu_indices(9, 1)])
    lower = np.log1p(by_demand.regret[np.tril_indices(9, -1)])
    assert told.mean_under == pytest.approx(math.expm1(upper.mean()))
    assert told.mean_over == pytest.approx(math.expm1(lower.mean()))


@given(st.floats(0.01, 0.9), st.floats(1.1, 100.0), st.integers(2, 5))
@settings(max_examples=10, deadline=None)
def test_any_map_is_sound(low, high, points):
    found = _map(_load("flops-13B-2T-tokens"), low=low, high=high, points=points)
    assert np.diag(found.regret).tolist() == [0.0] * points
    assert (found.regret >= 0).all()
    assert found.planned[[0, -1]] == pytest.approx([low * found.value, high * found.value])
    assert (np.diff(found.params) < 0).all()


# What is varied


def test_any_number_of_the_scenario(by_demand):
    # Twice the price of serving is twice the demand.
    found = _map(_load("1B-requests"), "serving.price", low=1 / 30, high=30.0)
    assert found.regret == pytest.approx(by_demand.regret, abs=1e-9)
    assert (found.label, found.unit, found.value) == ("serving.price", "", 1.10)
    whole = _map(_load("1B-requests"), "demand.requests", points=3)
    assert whole.met == pytest.approx(by_demand.met[[0, 4, 8]])


def test_ends_of_another_number_stop_where_a_share_does():
    scenario = _load("1B-requests")
    assert _map(scenario, "training.price", points=3).met == pytest.approx([1.5 / 4, 1.5, 6.0])
    assert _map(scenario, "training.mfu", points=2).met == pytest.approx([0.125, 1.0])
    assert _map(scenario, "serving.decode_mfu", points=3).met == pytest.approx([0.0025, 0.01, 0.04])


def test_a_target_that_is_missed_is_marked_and_not_priced():
    found = _map(_load("1B-requests"), "target.chinchilla", low=0.5, high=2.0, points=3)
    assert found.breaks[0][1] == found.breaks[1][2] == (TARGET,)
    assert np.isnan(found.regret[np.triu_indices(3, 1)]).all()
    assert (found.regret[np.tril_indices(3)] >= 0).all()
    assert found.asymmetry.under is None
    assert found.asymmetry.mean_under is None
    assert found.asymmetry.over > 0


def test_a_broken_limit_is_marked():
    scenario = _load("1B-requests", "limits.serving_cost.max=500k USD")
    found = _map(scenario, low=0.5, high=2.0, points=3)
    # 17.4B parameters for a billion requests cost $369k to serve, and more for two billion.
    assert found.breaks[0][2] == found.breaks[1][2] == ("serving_cost",)
    assert found.breaks[1][1] == ()
    assert math.isnan(found.regret[0, 2])
    assert found.cost[0, 2] > 500e3


def test_where_no_plan_is_possible_there_is_no_regret():
    scenario = _load("1B-requests", "limits.total_cost.max=1.5M USD")
    found = _map(scenario, low=0.1, high=10.0, points=3)
    assert np.isnan(found.params[2])
    assert found.breaks[2] == ((NO_PLAN,),) * 3
    assert np.isnan(found.regret[2]).all()
    assert np.isnan(found.regret[:, 2]).all()
    assert found.regret[0, 1] > 0


def test_by_month_on_what_the_plan_serves_on():
    scenario = _load("batch-by-month")
    plan = bc.solve(scenario)
    found = regret_map(scenario, plan, low=0.25, high=4.0, points=3)
    assert plan.choice in found.notes[0]
    assert found.params[1] == pytest.approx(plan.best.params, rel=1e-6)
    assert found.cost[1, 1] == pytest.approx(plan.best.total - plan.best.terms.get("rounding", 0.0), rel=1e-6)
    assert np.diag(found.regret).tolist() == [0.0] * 3
    assert (found.regret[~np.eye(3, dtype=bool)] > 0).all()
    assert found.asymmetry.under == pytest.approx(found.regret[0, 1])


def test_uncertain_demand_sets_the_ends():
    found = _map(_load("1B-requests", "demand.requests={median: 1B, p90: 4B}"), points=3)
    # Normal quantiles: ln 4 / 1.28155 per standard deviation, 2.32635 of them to the 99th percentile.
    reach = 4.0 ** (2.3263479 / 1.2815516)
    assert found.met == pytest.approx([1e9 / reach, 1e9, 1e9 * reach], rel=1e-6)


# As records


def test_rows_and_json_agree_and_hold_no_nan():
    found = _map(_load("1B-requests"), "target.chinchilla", low=0.5, high=2.0, points=3)
    rows, record = found.to_rows(), json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(rows) == 9
    for index, row in enumerate(rows):
        i, j = divmod(index, 3)
        assert (row["planned"], row["met"]) == (record["planned"][i], record["met"][j])
        assert (row["regret"], row["cost"]) == (record["regret"][i][j], record["cost"][i][j])
        assert row["breaks"] == " ".join(record["breaks"][i][j])
    assert rows[1]["regret"] is None


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("serving.mfu",), {}, "did you mean 'serving.decode_mfu'"),
        (("law",), {}, "no number above zero"),
        (("demand..requests",), {}, "did you mean 'demand.requests'"),
        (("demand",), {"points": 1}, "--points 1: give 2 to 101"),
        (("demand",), {"low": 2.0, "high": 1.0}, "not from 2 to 1"),
        (("demand",), {"low": math.nan}, "not from nan"),
        (("serving.decode_mfu",), {"high": 200.0}, "at most 100%"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, options, words):
    with pytest.raises(InputError) as refusal:
        _map(_load("1B-requests"), *arguments, **options)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_questions_without_a_plan_to_regret():
    with pytest.raises(InputError, match="needs a target to plan for"):
        _map(_load("six-limits"))
    with pytest.raises(InputError, match="start_from fixes the size"):
        _map(_load("1B-requests", "start_from={params: 20B, tokens: 1T}"))
