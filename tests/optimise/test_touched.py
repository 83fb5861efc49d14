"""Mixtures of experts served in batches: tangents and chords against a search by brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.optimise import codesign, direct
from beyond_chinchilla.optimise.locate import has_plan, locate, log_cost
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past import touched
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario


def problem(**changes: Any) -> Problem:
    """Return 32 experts on four H200, whose latency leaves batches that do not touch them all."""
    stated: dict[str, Any] = {
        "name": "experts",
        "law": "ludziejewski-2025",
        "experts": 32,
        "target": {"chinchilla": "30B"},
        "demand": {"requests": "30B", "input_tokens": 1000, "output_tokens": 500, "months": 24},
        "training": {"hardware": "h100-sxm", "precision": "bf16", "price": "2.50 USD/hour", "mfu": "40%"},
        "serving": {"hardware": "h200-sxm", "precision": "fp8", "price": "3.50 USD/hour", "gpus_per_replica": 4},
        "limits": {"time_per_output_token": {"max": "3 ms"}},
    }
    return Scenario.from_dict(stated | changes).to_problem()


LATE = problem()


@pytest.fixture(scope="module")
def late() -> Located:
    return locate(LATE)


def brute_force(asked: Problem, milliseconds: float) -> float:
    """Return ln of the least cost over sizes and the batches that fit them, each step reading what it touches."""
    service = asked.bill
    assert isinstance(service, Service)
    assert isinstance(service.use, Replica)
    least = math.inf
    for N in np.geomspace(2e8, 2e10, 300):
        D = float(asked.law.tokens_for(N, asked.target_loss))
        if not math.isfinite(D):
            continue
        batch = float(service.use.best_batch(N, milliseconds / 1e3))
        if batch < 1.0:
            continue
        training = sum(asked.training.totals({"params": N, "tokens": D}).values())
        # The largest batch is the cheapest at any one size; a few below it make sure of that.
        for part in (batch, max(0.9 * batch, 1.0), max(0.5 * batch, 1.0)):
            step = float(service.use.step_time(N, part))
            serving = service.terms({"params": N, "batch": part, "step_time": step})
            least = min(least, training + sum(serving.values()))
    return math.log(least)


@pytest.mark.parametrize("milliseconds", [2.0, 6.0])
def test_the_plan_is_the_best_of_all_sizes_and_batches(milliseconds: float) -> None:
    asked = problem(limits={"time_per_output_token": {"max": f"{milliseconds} ms"}})
    found = locate(asked)
    assert found.settled is not None
    cost = log_cost(found.settled, found)
    best = brute_force(asked, milliseconds)
    # The grid of sizes costs it a little; a plan may be dearer by the slack of the chords.
    assert -2e-3 <= cost - best <= touched.SLACK


def test_a_plan_pays_for_what_its_batch_reads(late: Located) -> None:
    found = late
    service = LATE.bill
    assert isinstance(service, Service)
    assert isinstance(service.use, Replica)
    batch, step = found.variables["batch"], found.variables["step_time"]
    assert LATE.mixture is not None
    assert 0.1 < float(LATE.mixture.touched(batch)) < 0.999
    assert step == pytest.approx(float(service.use.step_time(found.params, batch)), rel=1e-6)
    assert step == pytest.approx(3e-3, rel=1e-6)
    # All experts read in each step, no batch would do.
    everything = touched.drawn(LATE, math.inf)
    assert step < float(everything.bill.use._related_time(found.params, batch))  # type: ignore[union-attr]


def test_where_all_is_read_the_plan_is_that_of_all_read() -> None:
    asked = problem(limits={})
    found = locate(asked)
    assert found.settled is not None
    assert asked.mixture is not None
    assert float(asked.mixture.touched(found.variables["batch"])) > 1 - 1e-9
    everything = touched.drawn(asked, math.inf)
    other = codesign.optimum(everything)
    assert log_cost(found.settled, found) == pytest.approx(log_cost(everything, other), abs=1e-9)


def test_hope_is_never_worse_than_a_tangent(late: Located) -> None:
    hopeful = touched.hopeful(LATE).bill
    logs = {"params": math.log(late.params), **{name: math.log(value) for name, value in late.variables.items()}}
    assert isinstance(hopeful, Service)
    for batch in (1.0, 10.0, math.inf):
        drawn = touched.drawn(LATE, batch).bill
        assert isinstance(drawn, Service)
        for hoped, held in zip(hopeful.relations, drawn.relations, strict=True):
            assert float(hoped.log_value(logs)) <= float(held.log_value(logs)) + 1e-9
    dense = problem(experts=1)
    assert touched.hopeful(dense) is dense


def test_what_no_batch_can_keep_is_infeasible() -> None:
    slow = problem(limits={"time_per_output_token": {"max": "0.5 ms"}, "params": {"min": "20B"}})
    assert not has_plan(slow)


def test_another_method_agrees_on_the_settled_problem(late: Located) -> None:
    assert late.settled is not None
    other = direct.optimum(late.settled)
    assert log_cost(late.settled, other) == pytest.approx(log_cost(late.settled, late), abs=1e-8)


def test_a_plan_is_proved_and_says_what_is_active() -> None:
    plan = solve(LATE)
    assert plan.best is not None
    assert max(plan.kkt_residual, plan.duality_gap) <= 1e-8
    (effect,) = plan.effects
    assert effect.kind == "experts"
    assert effect.figures["experts"] == 32.0
    assert plan.best.total_params == pytest.approx((4 + 9 * 32) / 13 * plan.best.params)
    assert plan.to_dict()["plan"]["total_params"] == plan.best.total_params
    assert any("params in all are" in warning for warning in plan.warnings)
