"""Worlds by month: priced in closed form, against the solver and against the search for how each size is run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.risk.monthly_worlds import MonthlyWorlds, unrounded
from beyond_chinchilla.analyse.risk.worlds import BUDGET_LABEL, worlds_of
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.direct import bill_of
from beyond_chinchilla.optimise.locate import locate
from beyond_chinchilla.optimise.operation import Operations
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.load import Scenario, load
from beyond_chinchilla.scenario.uncertainty import Draws

SCENARIOS = Path(__file__).parents[2] / "scenarios"
NAMES = ("chat-on-three-chips", "owned-cluster", "batch-by-month")
CERTAIN = Draws(count=1, values={}, law=None)
# A fixed utilisation by the month, a floor, and a limit on spend that serving shares with training.
FIXED: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"chinchilla": "13B"},
    "demand": {
        "requests_per_month": 2e8,
        "growth_per_month": 0.03,
        "months": 24,
        "input_tokens": 700,
        "output_tokens": 200,
        "peak_to_mean": 2.0,
    },
    "training": {"hardware": "h100-sxm", "precision": "bf16", "price": 2.5, "mfu": 0.4},
    "serving": {
        "hardware": "h100-sxm",
        "precision": "fp8",
        "price": 2.5,
        "prefill_mfu": 0.4,
        "decode_mfu": 0.02,
        "fleet": {"floor": 40},
    },
    "limits": {"total_cost": {"max": 4e6}, "tokens": {"min": 1e11}},
}


@cache
def solved(name: str) -> tuple[Scenario, Plan]:
    scenario = Scenario.from_dict(FIXED) if name == "fixed" else load(SCENARIOS / f"{name}.yaml")
    return scenario, bc.solve(scenario)


def worlds_by_month(name: str, draws: Draws, **keys: Any) -> tuple[MonthlyWorlds, Plan]:
    scenario, plan = solved(name)
    worlds = worlds_of(scenario, plan, draws, **keys)
    assert isinstance(worlds, MonthlyWorlds)
    return worlds, plan


def laws_near(law: LossLaw, count: int, spread: float = 0.01) -> LawBatch:
    rng = np.random.default_rng(1)
    constants = {
        key: getattr(law, key) * np.exp(spread * rng.standard_normal(count)) for key in ("E", "A", "alpha", "B", "beta")
    }
    return LawBatch(**constants, name=law.name)


def many(name: str, count: int) -> Draws:
    """Demand, prices, lengths and law, all uncertain."""
    scenario, plan = solved(name)
    rng = np.random.default_rng(2)
    demand = scenario.file.demand
    assert demand.requests_per_month is not None
    assert demand.output_tokens is not None
    return Draws(
        count=count,
        values={
            ("demand", "requests_per_month"): demand.requests_per_month * np.exp(0.5 * rng.standard_normal(count)),
            ("demand", "output_tokens"): demand.output_tokens * rng.uniform(0.7, 1.5, count),
            ("training", "mfu"): rng.uniform(0.3, 0.5, count),
        },
        law=laws_near(plan.law, count),
    )


# Without uncertainty


@pytest.mark.parametrize("name", [*NAMES, "fixed"])
def test_without_uncertainty_every_figure_is_the_plan(name: str) -> None:
    worlds, plan = worlds_by_month(name, CERTAIN)
    assert plan.best is not None
    known, bills = worlds.foresight(), worlds.bills([plan.best.params])
    total = unrounded(plan.best)
    assert known.params.tolist() == pytest.approx([plan.best.params], rel=1e-9)
    assert known.tokens.tolist() == pytest.approx([plan.best.tokens], rel=1e-9)
    assert known.total.tolist() == pytest.approx([total], rel=1e-9)
    assert bills.total.tolist() == [[pytest.approx(total, rel=1e-9)]]
    assert bills.tokens.tolist() == [[pytest.approx(plan.best.tokens, rel=1e-9)]]
    served = sum(value for label, value in plan.best.terms.items() if label in ("prefill", "decode", "idle"))
    assert bills.training[0, 0] == pytest.approx(total - served, rel=1e-9)
    assert not bills.failed.any()
    bound = {row.label if row.side == "max" else f"{row.label}.min" for row in plan.limits if row.binding}
    assert {label for label, flags in known.binding.items() if flags[0]} == bound
    # Among choices of chip the plan's baseline has its own; the replica is held here.
    if len(plan.choices) <= 1:
        assert known.baseline_total.tolist() == pytest.approx([unrounded(plan.baseline)], rel=1e-9)
    if "rounding" in plan.best.terms:
        assert any("not rounded up to whole replicas" in note for note in worlds.notes)
    if plan.choice:
        assert any(note.startswith(plan.choice) for note in worlds.notes)


# Every world


def run_at_best(problem: Problem, N: float) -> tuple[dict[str, float], bool]:
    """Return how a size is run by the search over batches, and whether that keeps what it must."""
    rows = [row for row in (*problem.physics, *problem.ratios) if not {"tokens", SERVING} & set(row.variables)]
    if not problem.further:
        return {}, all(float(row.value({"params": N})) <= 1 + 1e-9 for row in rows)
    found = Operations(problem.operating_bill, rows).best(N, 1e12)
    return found.variables, found.feasible


@pytest.mark.parametrize("name", [*NAMES, "fixed"])
def test_sizes_cost_what_the_search_for_their_operation_says(name: str) -> None:
    worlds, plan = worlds_by_month(name, many(name, 2))
    assert plan.best is not None
    sizes = plan.best.params * np.array([0.5, 0.8, 1.0, 1.5, 3.0, 8.0])
    bills = worlds.bills(sizes)
    kept = 0
    for k, world in enumerate(worlds.worlds):
        problem = world.problem
        for s, size in enumerate(sizes.tolist()):
            N = float(problem.law.counted_params(size))
            needed = float(problem.law.tokens_for(N, problem.target_loss))
            variables, feasible = run_at_best(problem, N)
            floors = [limit.bound for limit in problem.limits if (limit.label, limit.side) == ("tokens", "min")]
            D = max([needed, *floors])
            if not feasible or not worlds.budget >= D:
                assert bills.failed[k, s]
                continue
            assert bills.failed[k, s] == bool(problem.broken(problem.point(N, D, variables)))
            if not bills.failed[k, s]:
                kept += 1
                assert bills.tokens[k, s] == pytest.approx(D, rel=1e-9)
                assert bills.total[k, s] == pytest.approx(bill_of(problem, N, D, variables), rel=1e-9)
    assert kept >= 2


@pytest.mark.parametrize("name", [*NAMES, "fixed"])
def test_nothing_is_cheaper_than_foresight(name: str) -> None:
    seen: list[tuple[int, int]] = []
    worlds, plan = worlds_by_month(name, many(name, 4), progress=lambda done, count: seen.append((done, count)))
    assert plan.best is not None
    known = worlds.foresight()
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    bills = worlds.bills(plan.best.params * np.geomspace(0.25, 4.0, 30))
    assert known.reachable.any()
    for k in range(4):
        if not known.reachable[k]:
            assert bills.failed[k].all()
            continue
        regret = np.where(bills.failed[k], 0.0, bills.total[k] / known.total[k] - 1.0)
        assert regret.min() >= -1e-9
        own = worlds.take(np.array([k])).bills([known.params[k]])
        assert not own.failed.any()
        assert own.total[0, 0] == pytest.approx(known.total[k], rel=1e-6)


def test_where_the_law_alone_is_uncertain_a_size_is_priced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, plan = solved("owned-cluster")
    assert plan.best is not None
    batch = laws_near(plan.law, 3)
    worlds, _ = worlds_by_month("owned-cluster", Draws(count=3, values={}, law=batch))
    sizes = plan.best.params * np.array([0.7, 1.0, 1.2])
    bills = worlds.bills(sizes)
    assert worlds.shared
    assert sorted(worlds.known) == sizes.tolist()
    # Demand as it is stated, told anew to every world, is the same demand.
    requests = scenario.file.demand.requests_per_month
    told = Draws(count=3, values={("demand", "requests_per_month"): np.full(3, requests)}, law=batch)
    apart, _ = worlds_by_month("owned-cluster", told)
    assert not apart.shared
    assert apart.bills(sizes).total.tolist() == bills.total.tolist()
    # And those that are taken know what all know.
    monkeypatch.setattr("beyond_chinchilla.analyse.risk.monthly_worlds._served", None)
    assert worlds.take(slice(1, 3)).bills(sizes).total.tolist() == bills.total[1:].tolist()


# Failures


def test_a_fleet_that_is_too_small_fails_and_is_paid() -> None:
    """256 GPUs of our own hold the plan and nothing larger."""
    worlds, plan = worlds_by_month("owned-cluster", CERTAIN)
    assert plan.best is not None
    bills = worlds.bills(plan.best.params * np.array([0.9, 1.0, 1.1]))
    assert bills.failed.tolist() == [[False, False, True]]
    assert not bills.missed.any()
    assert np.all(np.diff(bills.total[0] - bills.training[0]) > 0)


def test_a_model_that_no_memory_holds_fails_and_is_paid() -> None:
    worlds, plan = worlds_by_month("batch-by-month", CERTAIN)
    assert plan.best is not None
    bills = worlds.bills([plan.best.params, 500e9])
    assert bills.failed.tolist() == [[False, True]]
    assert bills.total[0, 1] > bills.total[0, 0]


def test_a_target_out_of_reach_is_trained_for_to_the_budget() -> None:
    _, plan = solved("batch-by-month")
    assert plan.best is not None
    law = plan.law
    laws = [law, *(LossLaw(E=E, A=law.A, alpha=law.alpha, B=law.B, beta=law.beta) for E in (2.1, 5.0))]
    worlds, _ = worlds_by_month("batch-by-month", Draws(count=3, values={}, law=LawBatch.of(laws)))
    known, bills = worlds.foresight(), worlds.bills([plan.best.params, 2 * plan.best.params])
    assert known.reachable.tolist() == [True, False, False]
    assert np.isnan(known.total).tolist() == [False, True, True]
    assert bills.missed.tolist() == [[False, False], [True, True], [True, True]]
    assert np.all(bills.tokens[1:] == worlds.budget)
    assert np.all(bills.total > bills.training)


def test_worlds_without_a_plan_are_those_that_no_solver_solves() -> None:
    values = {("limits", "gpus", "max"): np.array([150.0, 190.0])}
    worlds, _ = worlds_by_month("owned-cluster", Draws(count=2, values=values, law=None))
    # A solver knows no token budget.
    found = replace(worlds, budget=1e22).foresight().reachable.tolist()
    assert found == [locate(world.problem).found for world in worlds.worlds]
    # On both sides of what can be had.
    assert set(found) == {False, True}


def test_the_token_budget_holds_foresight_back() -> None:
    _, plan = solved("batch-by-month")
    assert plan.best is not None
    draws = Draws(count=1, values={("demand", "requests_per_month"): np.array([4e7 * 3e4])}, law=None)
    worlds, _ = worlds_by_month("batch-by-month", draws)
    free = locate(worlds.worlds[0].problem)
    assert free.tokens > worlds.budget == 10.0 * plan.best.tokens
    known = worlds.foresight()
    assert known.binding[BUDGET_LABEL].tolist() == [True]
    assert known.tokens[0] == pytest.approx(worlds.budget, rel=1e-9)
    assert not worlds.bills(known.params).failed.any()


# What cannot be asked


def test_a_sample_that_no_replica_serves_is_named() -> None:
    tree = load(SCENARIOS / "batch-by-month.yaml").to_dict()
    tree["serving"]["context"] = 4096
    scenario = Scenario.from_dict(tree)
    draws = Draws(count=1, values={("demand", "input_tokens"): np.array([9000.0])}, law=None)
    with pytest.raises(InputError, match=r"one of the samples cannot be: .*context"):
        worlds_of(scenario, solved("batch-by-month")[1], draws)


def test_sizes_that_are_none() -> None:
    worlds, _ = worlds_by_month("batch-by-month", CERTAIN)
    with pytest.raises(InputError, match="sizes must be a row of numbers above zero"):
        worlds.bills([0.0])
