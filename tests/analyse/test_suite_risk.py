"""The errors of a map from loss to error, carried to the decision: over the life and by month."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from trees import COST, changed

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.risk.assess import assess
from beyond_chinchilla.analyse.risk.sampling import sobol
from beyond_chinchilla.analyse.risk.worlds import worlds_of
from beyond_chinchilla.analyse.sensitivity import tornado
from beyond_chinchilla.fit.downstream.map import fit_downstream
from beyond_chinchilla.laws.downstream import DownstreamMap
from beyond_chinchilla.scenario.block import compile_block, file_of
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.past.uncertain_suite import UncertainSuite
from beyond_chinchilla.scenario.uncertainty import Draws

OWN = {"epsilon": 0.9, "k": 2.4, "gamma": 0.8}
SPREAD = ((1e-4, -5e-4, -2.5e-4), (-5e-4, 1e-2, 3.7e-3), (-2.5e-4, 3.7e-3, 1.5e-3))
SURE = {**OWN, "covariance": SPREAD, "residual": 0.004}
MONTHLY: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"error": 0.45, "suite": SURE},
    "demand": {
        "requests_per_month": 2e8,
        "months": 12,
        "input_tokens": 700,
        "output_tokens": 200,
        "peak_to_mean": 2.0,
    },
    "training": {"hardware": "h100-sxm", "precision": "bf16", "price": 2.5, "mfu": 0.4},
    "serving": {"hardware": "h100-sxm", "precision": "fp8", "price": 2.5, "prefill_mfu": 0.4, "decode_mfu": 0.02},
}


def life(**suite: Any) -> Scenario:
    tree = changed(COST)
    tree["target"] = {"error": 0.45, "suite": {**OWN, **suite}}
    return Scenario.from_dict(tree)


def drawn(scenario: Scenario, count: int, seed: int = 1) -> Draws:
    uncertainty = scenario.uncertainty
    return uncertainty.draw(sobol(count, uncertainty.dimensions, seed))


# Worlds


def test_each_world_has_the_target_of_its_own_map() -> None:
    scenario = life(covariance=SPREAD, residual=0.004)
    draws = drawn(scenario, 64)
    assert draws.suite is not None
    block = compile_block(scenario, draws)
    assert block.target_loss == pytest.approx(draws.suite.loss_for(0.45), rel=1e-12)
    assert block.target_loss.std() > 0.01
    for number in range(3):
        target = file_of(scenario, draws, number).target
        assert target is not None
        assert target.loss == pytest.approx(block.target_loss[number], rel=1e-12)


def test_a_world_is_the_scenario_with_that_loss() -> None:
    scenario = life(covariance=SPREAD)
    worlds = worlds_of(scenario, bc.solve(scenario), drawn(scenario, 8))
    seen = worlds.foresight()
    loss = compile_block(scenario, drawn(scenario, 8)).target_loss
    for number in range(8):
        best = bc.solve(Scenario.from_dict({**changed(COST), "target": {"loss": float(loss[number])}})).best
        assert best is not None
        assert seen.params[number] == pytest.approx(best.params, rel=1e-6)
        assert seen.total[number] == pytest.approx(best.total, rel=1e-9)


def test_a_month_by_month_world_is_the_scenario_with_that_loss() -> None:
    scenario = Scenario.from_dict(MONTHLY)
    plan = bc.solve(scenario)
    draws = drawn(scenario, 4)
    assert draws.suite is not None
    worlds = worlds_of(scenario, plan, draws)
    seen = worlds.foresight()
    for number, loss in enumerate(draws.suite.loss_for(0.45).tolist()):
        best = bc.solve(Scenario.from_dict({**MONTHLY, "target": {"loss": loss}})).best
        assert best is not None
        assert seen.params[number] == pytest.approx(best.params, rel=1e-6)
    # The size that is cheapest in a world reaches that world's target, by month as well.
    bills = worlds.bills(seen.params)
    assert not np.diag(bills.failed).any()
    assert np.diag(bills.tokens) == pytest.approx(seen.tokens, rel=1e-6)


def test_a_target_beyond_a_map_fails_in_that_world_alone() -> None:
    """epsilon - .45 above k exp(-gamma E): no model of that world has so low an error."""
    scenario = life(residual=0.004)
    law = scenario.to_problem().law
    suite = DownstreamMap(epsilon=np.array([0.9, 1.4, 0.4]), k=np.full(3, 2.4), gamma=np.full(3, 0.8))
    assert float(suite.take(1).loss_for(0.45)) < law.E
    worlds = worlds_of(scenario, bc.solve(scenario), Draws(count=3, values={}, law=None, suite=suite))
    assert worlds.foresight().reachable.tolist() == [True, False, True]
    size = bc.solve(scenario).best
    assert size is not None
    bills = worlds.bills([size.params])
    assert bills.failed[:, 0].tolist() == [False, True, False]
    # Whom every model suits trains next to nothing.
    assert bills.training[2, 0] < 1e-3 * bills.training[0, 0]


def test_the_chance_of_missing_is_that_of_a_lower_loss() -> None:
    """With the scatter alone: a size fails where its own scatter leaves its error too high even at the budget."""
    from scipy.special import ndtr

    scenario = life(residual=0.01)
    plan = bc.solve(scenario)
    assert plan.best is not None
    worlds = worlds_of(scenario, plan, drawn(scenario, 8192))
    size = 0.8 * plan.best.params
    least = float(plan.law.loss(size, worlds.budget))
    error = float(DownstreamMap(**OWN).error(least))
    # The model has error + scatter: it misses where that is above the target.
    expected = 1.0 - float(ndtr((0.45 - error) / 0.01))
    assert 0.01 < expected < 0.99
    assert float(worlds.bills([size]).failed.mean()) == pytest.approx(expected, abs=0.005)


# Coverage


@pytest.mark.parametrize(
    ("count", "samples"),
    [(10, 0), pytest.param(30, 0, marks=pytest.mark.own_step), pytest.param(30, 100, marks=pytest.mark.own_step)],
)
def test_a_new_model_needs_a_loss_within_the_interval_as_often_as_it_says(count: int, samples: int) -> None:
    """Fit to models of a known map, and ask which loss a new one needs: in 8 of 10 cases one of the interval."""
    true, scatter, wanted = DownstreamMap(epsilon=0.86, k=2.2, gamma=0.72), 0.004, 0.52
    rng = np.random.default_rng(11)
    inside, trials = 0, 60 if samples == 0 else 40
    for seed in range(trials):
        loss = np.linspace(2.6, 5.0, count)
        fit = fit_downstream(loss, true.error(loss) + rng.normal(0.0, scatter, count), samples=samples, seed=seed)
        refits = fit.refits if len(fit.refits) else None
        low, high = UncertainSuite(point=fit.map, refits=refits).loss_interval(wanted)
        # error(L) + scatter of the new model = wanted
        needed = float(true.loss_for(wanted - rng.normal(0.0, scatter)))
        inside += low <= needed <= high
    # Binomial: 80% of 40 or 60, two and a half standard deviations to either side, less a little for few models.
    assert 0.62 <= inside / trials <= 0.95


# The decision


def test_the_suite_is_a_group_of_its_own() -> None:
    tree = changed(COST, demand__requests={"median": "1B", "p90": "3B"})
    tree |= {"law": "besiroglu-2024", "target": {"error": 0.45, "suite": SURE}}
    scenario = Scenario.from_dict(tree)
    uncertainty = scenario.uncertainty
    assert [group.name for group in uncertainty.groups] == ["demand", "law", "suite"]
    assert sorted(column for group in uncertainty.groups for column in group.columns) == list(range(1 + 5 + 4))
    plan = bc.solve(scenario)
    risk = assess(scenario, plan, samples=512)
    assert [row.group for row in risk.information] == ["demand", "law", "suite"]
    assert any(line.startswith("suite inline: covariance of epsilon, ln k and gamma; one mod") for line in risk.inputs)
    bars, notes = tornado(scenario, plan)
    (bar,) = [bar for bar in bars if bar.label == "suite"]
    assert bar.low_total is not None
    assert bar.high_total is not None
    assert bar.low_total < bar.total < bar.high_total
    assert any(note.startswith("the suite moves as a whole") for note in notes)


def test_what_is_known_of_the_map_narrows_the_plan() -> None:
    spreads = []
    for factor in (1.0, 0.01):
        covariance = tuple(tuple(factor * entry for entry in row) for row in SPREAD)
        scenario = life(covariance=covariance, residual=0.004 * factor**0.5)
        risk = assess(scenario, bc.solve(scenario), samples=512, points=0)
        low, high = risk.intervals["params"].ninety
        spreads.append(np.log(high / low))
    assert spreads[1] == pytest.approx(0.1 * spreads[0], rel=0.1)


def test_a_held_map_leaves_nothing_to_draw() -> None:
    scenario = life()
    assert scenario.uncertainty.is_certain
    found = assess(scenario, bc.solve(scenario), samples=128)
    assert found.samples == 1
    held = replace(scenario.uncertainty, suite=None)
    assert held.suite_note == "suite inline: held, as nothing is known of its errors"
