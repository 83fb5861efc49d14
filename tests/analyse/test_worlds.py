"""Worlds over the life: against a plain loop, against the solver row by row, and what no arithmetic may do."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import floats, log_floats

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.risk import worlds as module
from beyond_chinchilla.analyse.risk.worlds import BUDGET_LABEL, Bills, Foresight, LifeWorlds, worlds_of
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import chinchilla, kappa_of, locate
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term, monomial
from beyond_chinchilla.scenario.block import ProblemBlock
from beyond_chinchilla.scenario.load import Scenario, load
from beyond_chinchilla.scenario.uncertainty import Draws

SCENARIOS = Path(__file__).parents[2] / "scenarios"
OVER_LIFE = sorted(
    path.stem
    for path in SCENARIOS.glob("*.yaml")
    if "objective: loss" not in (text := path.read_text("utf-8")) and "months:" not in text
)
CERTAIN = Draws(count=1, values={}, law=None)
BASE: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"chinchilla": 30e9},
    "demand": {"requests": 1e9, "input_tokens": 70.0, "output_tokens": 215.0},
    "training": {
        "hardware": "a100-80gb-sxm",
        "precision": "bf16",
        "price": 1.5,
        "mfu": 0.5,
    },
    "serving": {
        "hardware": "a100-40gb-sxm",
        "precision": "int8",
        "price": 1.1,
        "prefill_mfu": 0.5,
        "decode_mfu": 0.01,
    },
}
# Each is looser or tighter than the plan by at most four times.
LIMITS: dict[str, Any] = {
    "params": {"max": 20e9, "min": 8e9},
    "tokens": {"max": 8e12, "min": 2e12},
    "tokens_per_param": {"max": 700.0, "min": 100.0},
    "training_cost": {"max": 1e6},
    "serving_cost": {"max": 5e5},
    "total_cost": {"max": 1.5e6},
    "training_time": {"max": 60.0, "gpus": 512.0},
    "serving_memory": {"max": 16.0},
    "time_per_output_token": {"max": 15.0},
}
SIZES = np.geomspace(2e9, 6e10, 25)


def laws_near(law: LossLaw, count: int, spread: float = 0.02, seed: int = 1) -> LawBatch:
    rng = np.random.default_rng(seed)
    constants = {
        key: getattr(law, key) * np.exp(spread * rng.standard_normal(count)) for key in ("E", "A", "alpha", "B", "beta")
    }
    return LawBatch(**constants, power=law.power, counts=law.counts, name=law.name)


def many(scenario: Scenario, count: int, seed: int = 1, spread: float = 0.02) -> Draws:
    """Demand, prices, utilisation and law, all uncertain."""
    rng = np.random.default_rng(seed)
    return Draws(
        count=count,
        values={
            ("demand", "requests"): 1e9 * np.exp(0.5 * rng.standard_normal(count)),
            ("serving", "price"): 1.1 * np.exp(0.2 * rng.standard_normal(count)),
            ("training", "mfu"): rng.uniform(0.3, 0.6, count),
        },
        law=laws_near(scenario.to_problem().law, count, spread, seed),
    )


def plan_of(scenario: Scenario) -> Plan:
    plan = bc.solve(scenario)
    assert plan.best is not None
    return plan


def by_hand(problem: Problem, target: float, size: float, budget: float) -> tuple[float, float, float, bool, bool]:
    """Return tokens, total, training, failed and missed of a size in one world, by a plain loop over its limits."""
    law = problem.law
    N = float(law.counted_params(size))
    left = (target - law.E if target > law.E else 0.0) ** (1.0 / law.power) - law.A * N**-law.alpha
    needed = (law.B / left) ** (1.0 / law.beta) if left > 0 else math.inf
    wanted, most, broken = needed, budget, False
    for limit in problem.limits:
        if limit.side == "min":
            if limit.label == "params":
                broken |= size < limit.bound * (1 - 1e-9)
            else:
                wanted = max(wanted, limit.bound * (size if limit.label == "tokens_per_param" else 1.0))
            continue
        flat = float(limit.quantity.value({"params": size, "tokens": 1e-300}))
        each = float(limit.quantity.value({"params": size, "tokens": 1e12})) - flat
        if each > 1e-9 * flat:
            most = min(most, max(limit.bound - flat, 0.0) / each * 1e12)
        else:
            broken |= flat > limit.bound * (1 + 1e-9)
    over = wanted > most * (1 + 1e-9)
    D = most if over else wanted
    terms = {term.label: float(term.value({"params": size, "tokens": D})) for term in problem.cost.terms}
    served = sum(terms.get(label, 0.0) for label in ("prefill", "decode"))
    return D, sum(terms.values()), sum(terms.values()) - served, over or broken, needed > most * (1 + 1e-9)


def same_as_by_hand(worlds: LifeWorlds, bills: Bills, sizes: np.ndarray) -> None:
    for k in range(worlds.count):
        target = float(worlds.block.target_loss[k])
        # A target that no model reaches makes no problem, but has a bill like any other.
        sound = worlds.block if target > _floor(worlds, k) else _reached(worlds.block)
        problem = sound.row(k)
        for s, size in enumerate(sizes.tolist()):
            tokens, total, training, failed, missed = by_hand(
                problem, target, size, math.inf if worlds.stated else worlds.budget
            )
            assert bool(bills.failed[k, s]) == failed
            assert bool(bills.missed[k, s]) == missed
            assert bills.tokens[k, s] == pytest.approx(tokens, rel=1e-9)
            assert bills.total[k, s] == pytest.approx(total, rel=1e-9)
            assert bills.training[k, s] == pytest.approx(training, rel=1e-9)


def _floor(worlds: LifeWorlds, k: int) -> float:
    law = worlds.block.law
    return float(law.E[k]) if isinstance(law, LawBatch) else law.E


def _reached(block: ProblemBlock) -> ProblemBlock:
    return ProblemBlock(
        count=block.count,
        law=block.law,
        target_loss=np.full(block.count, 100.0),
        bill=block.bill,
        compute=block.compute,
        stated=block.stated,
    )


# Without uncertainty


@pytest.mark.parametrize("name", OVER_LIFE)
def test_without_uncertainty_every_figure_is_the_plan(name: str) -> None:
    scenario = load(SCENARIOS / f"{name}.yaml")
    plan = plan_of(scenario)
    assert plan.best is not None
    worlds = worlds_of(scenario, plan, CERTAIN)
    known = worlds.foresight()
    best, baseline = plan.best, plan.baseline
    assert worlds.count == 1
    assert worlds.unit == best.unit
    assert known.reachable.tolist() == [True]
    for found, figure in (
        (known.params, best.params),
        (known.tokens, best.tokens),
        (known.total, best.total),
        (known.baseline_params, baseline.params),
        (known.baseline_tokens, baseline.tokens),
        (known.baseline_total, baseline.total),
        (known.kappa, plan.kappa),
    ):
        assert found.tolist() == pytest.approx([figure], rel=1e-9)
    rows = {row.label if row.side == "max" else f"{row.label}.min": row.binding for row in plan.limits}
    assert {key: flags.tolist() for key, flags in known.binding.items()} == {
        key: [binds] for key, binds in {**rows, **({} if "tokens" in rows else {BUDGET_LABEL: False})}.items()
    }
    bills = worlds.bills([best.params])
    assert bills.total.tolist() == [[pytest.approx(best.total, rel=1e-9)]]
    assert bills.tokens.tolist() == [[pytest.approx(best.tokens, rel=1e-9)]]
    served = sum(value for label, value in best.terms.items() if label in ("prefill", "decode"))
    assert bills.training[0, 0] == pytest.approx(best.total - served, rel=1e-9)
    assert not bills.failed.any()
    assert not bills.missed.any()


# Every world


@given(st.lists(st.sampled_from(sorted(LIMITS)), unique=True, max_size=5), st.integers(1, 10**6), st.data())
def test_worlds_are_what_the_solver_says_of_their_rows(labels: list[str], seed: int, data: st.DataObject) -> None:
    limits = {label: LIMITS[label] for label in labels}
    training = {**BASE["training"], **({"data_cost": 0.1} if data.draw(st.booleans()) else {})}
    scenario = Scenario.from_dict({**BASE, "training": training, **({"limits": limits} if limits else {})})
    # Worlds are judged whether or not the point estimate has a plan within its limits.
    plan = plan_of(Scenario.from_dict(BASE))
    worlds = worlds_of(scenario, plan, many(scenario, 3, seed))
    assert isinstance(worlds, LifeWorlds)
    known, bills = worlds.foresight(), worlds.bills(SIZES)
    same_as_by_hand(worlds, bills, SIZES)
    assert np.all(np.isfinite(bills.total) & (bills.total > 0))
    assert np.all(bills.training <= bills.total)
    assert not np.any(bills.missed & ~bills.failed)
    for k in range(3):
        problem = worlds.block.row(k)
        alone = locate(problem)
        if not alone.found:
            assert not known.reachable[k]
        if not known.reachable[k]:
            assert np.isnan(known.total[k])
            # What no plan reaches no size does.
            assert bills.failed[k].all()
            continue
        total = float(problem.counted_cost.value({"params": alone.params, "tokens": alone.tokens}))
        if known.binding.get(BUDGET_LABEL, np.zeros(3, bool))[k]:
            assert known.total[k] >= total * (1 - 1e-9)
        else:
            assert known.total[k] == pytest.approx(total, rel=1e-9)
            assert known.params[k] == pytest.approx(alone.params, rel=1e-6)
        assert known.baseline_total[k] == pytest.approx(chinchilla(problem).total, rel=1e-9)
        kappa = kappa_of(problem)
        assert known.kappa[k] == pytest.approx(math.nan if kappa is None else kappa, rel=1e-9, nan_ok=True)
        # Nothing is cheaper than what one would do if one knew; and that size is priced as it was solved.
        regret = np.where(bills.failed[k], 0.0, bills.total[k] / known.total[k] - 1.0)
        assert regret.min() >= -1e-9
        own = worlds.take(slice(k, k + 1)).bills([known.params[k]])
        assert own.total[0, 0] == pytest.approx(known.total[k], rel=1e-6)


@given(log_floats(1e-18, 1e-14), log_floats(1e9, 1e15), floats(0.5, 2.0), log_floats(1e8, 1e12))
def test_bills_of_any_size(rate: float, served: float, bent: float, size: float) -> None:
    """A bill with a term of its own kind: rent that grows as a power of the size."""
    terms = (
        Term(label="training", coefficient=rate, powers={"params": 1.0, "tokens": 1.0}, drivers=("training_price",)),
        Term(
            label="decode",
            coefficient=rate * np.array([1.0, 2.0]) * served,
            powers={"params": 1.0},
            drivers=("demand",),
        ),
        Term(label="rent", coefficient=rate * 1e12, powers={"params": bent}),
    )
    law = published("sardana-2024")
    loss = float(law.compute_optimal(params=13e9).loss)
    bill = Posynomial(terms, "USD")
    block = ProblemBlock(count=2, law=law, target_loss=np.full(2, loss), bill=bill, compute=bill)
    worlds = LifeWorlds(block=block, budget=1e13)
    bills = worlds.bills([size])
    same_as_by_hand(worlds, bills, np.array([size]))
    assert np.isnan(worlds.foresight().kappa).all() == (bent != 1.0)


def test_a_law_that_counts_no_embeddings() -> None:
    tree = {**BASE, "law": "kaplan-2020", "target": {"chinchilla": 3e9}}
    tree["limits"] = {"params": {"max": 40e9, "min": 1e9}, "tokens": {"min": 1e10}, "training_cost": {"max": 1e5}}
    scenario = Scenario.from_dict(tree)
    plan = plan_of(scenario)
    worlds = worlds_of(scenario, plan, many(scenario, 6, spread=0.005))
    assert isinstance(worlds, LifeWorlds)
    known = worlds.foresight()
    assert known.reachable.any()
    for k in np.flatnonzero(known.reachable).tolist():
        solved = bc.solve(worlds.block.row(k))
        assert solved.best is not None
        assert known.params[k] == pytest.approx(solved.best.params, rel=1e-9)
        assert known.total[k] == pytest.approx(solved.best.total, rel=1e-9)
        assert known.baseline_params[k] == pytest.approx(solved.baseline.params, rel=1e-9)
    same_as_by_hand(worlds, worlds.bills(SIZES), SIZES)


# Failures


def test_a_size_that_cannot_reach_the_target_pays_for_training_and_for_service() -> None:
    """Two worlds, one of which needs a far larger model than the other."""
    scenario = Scenario.from_dict(BASE)
    plan = plan_of(scenario)
    assert plan.best is not None
    law = scenario.to_problem().law
    worse = LossLaw(E=law.E, A=2.0 * law.A, alpha=law.alpha, B=law.B, beta=law.beta)
    worlds = worlds_of(scenario, plan, Draws(count=2, values={}, law=LawBatch.of([law, worse])))
    assert worlds.budget == 10.0 * plan.best.tokens
    bills = worlds.bills([plan.best.params])
    assert bills.failed.tolist() == [[False], [True]]
    assert bills.missed.tolist() == [[False], [True]]
    assert bills.tokens[1, 0] == worlds.budget
    # Ten times the tokens of the plan cost ten times its training; serving is what it was.
    assert bills.training[1, 0] == pytest.approx(10.0 * plan.best.terms["training"], rel=1e-9)
    served = plan.best.total - plan.best.terms["training"]
    assert bills.total[1, 0] - bills.training[1, 0] == pytest.approx(served, rel=1e-9)


def test_what_stops_training_and_what_does_not() -> None:
    """At 12B: 8.1e5 GPU-hours a year of 512 GPUs stop it, 9 GB of memory only make it fail."""
    short = {"training_time": {"max": 30.0, "gpus": 512.0}}
    small = {"serving_memory": {"max": 9.0}}
    found = {}
    for name, limits in (("none", {}), ("short", short), ("small", small)):
        scenario = Scenario.from_dict({**BASE, **({"limits": limits} if limits else {})})
        found[name] = worlds_of(scenario, plan_of(Scenario.from_dict(BASE)), CERTAIN).bills([12e9])
    seconds = 30 * 86400 * 512 * 312e12 * 0.5
    assert found["short"].failed.all()
    assert found["short"].missed.all()
    assert found["short"].tokens[0, 0] == pytest.approx(seconds / (6 * 12e9), rel=1e-12)
    assert found["small"].failed.all()
    assert not found["small"].missed.any()
    assert found["small"].total.tolist() == found["none"].total.tolist()


def test_a_budget_that_serving_alone_breaks_leaves_nothing_for_training() -> None:
    scenario = Scenario.from_dict({**BASE, "limits": {"total_cost": {"max": 1e5}}})
    bills = worlds_of(scenario, plan_of(Scenario.from_dict(BASE)), CERTAIN).bills([12e9])
    assert bills.tokens.tolist() == [[0.0]]
    assert bills.training.tolist() == [[0.0]]
    assert bills.total[0, 0] == pytest.approx(2 * 12e9 * (70e9 / 0.5 + 215e9 / 0.01) * 1.1 / (3600 * 624e12), rel=1e-12)
    assert bills.failed.all()


def test_stated_tokens_are_the_budget_and_each_world_has_its_own() -> None:
    scenario = Scenario.from_dict({**BASE, "limits": {"tokens": {"max": 6e12}}})
    plan = plan_of(scenario)
    draws = Draws(count=2, values={("limits", "tokens", "max"): np.array([5e12, 9e12])}, law=None)
    worlds = worlds_of(scenario, plan, draws)
    assert worlds.budget == 6e12
    size = float(published("sardana-2024").params_for(7e12, scenario.to_problem().target_loss))
    bills = worlds.bills([size])
    assert bills.failed.tolist() == [[True], [False]]
    assert bills.tokens.tolist() == [[pytest.approx(5e12)], [pytest.approx(7e12)]]
    assert list(worlds.foresight().binding) == ["tokens"]


def test_a_target_below_the_floor_of_a_law_is_out_of_reach() -> None:
    scenario = Scenario.from_dict(BASE)
    plan = plan_of(scenario)
    law = scenario.to_problem().law
    laws = [law, *(LossLaw(E=E, A=law.A, alpha=law.alpha, B=law.B, beta=law.beta) for E in (plan.target_loss, 3.0))]
    worlds = worlds_of(scenario, plan, Draws(count=3, values={}, law=LawBatch.of(laws)))
    known, bills = worlds.foresight(), worlds.bills(SIZES)
    assert known.reachable.tolist() == [True, False, False]
    for column in fields(Foresight):
        if column.name not in ("reachable", "binding"):
            assert np.isnan(getattr(known, column.name)).tolist() == [False, True, True]
    assert bills.missed[1:].all()
    assert np.all(bills.tokens[1:] == worlds.budget)


def test_the_token_budget_binds_where_the_best_model_would_train_for_longer() -> None:
    scenario = Scenario.from_dict(BASE)
    plan = plan_of(scenario)
    assert plan.best is not None
    draws = Draws(count=2, values={("demand", "requests"): np.array([1e9, 1e16])}, law=None)
    worlds = worlds_of(scenario, plan, draws)
    known = worlds.foresight()
    assert known.binding[BUDGET_LABEL].tolist() == [False, True]
    assert known.tokens[1] == pytest.approx(10.0 * plan.best.tokens, rel=1e-9)
    assert known.reachable.all()


# Many at once


def arrays(*found: Bills | Foresight) -> list[Any]:
    columns = [getattr(one, column.name) for one in found for column in fields(one)]
    return [array.tolist() for one in columns for array in (one.values() if isinstance(one, dict) else [one])]


@pytest.mark.parametrize("limits", [{}, LIMITS])
def test_no_world_depends_on_its_neighbours(limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario.from_dict({**BASE, **({"limits": limits} if limits else {})})
    worlds = worlds_of(scenario, plan_of(Scenario.from_dict(BASE)), many(scenario, 37))
    whole = worlds.foresight(), worlds.bills(SIZES)
    for rows, cells in ((1, 1), (7, 100), (1 << 20, 1 << 20)):
        monkeypatch.setattr(module, "_ROWS", rows)
        monkeypatch.setattr(module, "_CELLS", cells)
        assert str(arrays(worlds.foresight(), worlds.bills(SIZES))) == str(arrays(*whole))
    chosen = np.array([36, 3, 20])
    part = worlds.take(chosen)
    assert part.count == 3
    assert part.foresight().total.tolist() == pytest.approx(whole[0].total[chosen].tolist(), rel=0, nan_ok=True)
    assert part.bills(SIZES).total.tolist() == whole[1].total[chosen].tolist()
    assert worlds.bills(SIZES[4:6]).total.tolist() == whole[1].total[:, 4:6].tolist()


def test_objective_flops() -> None:
    scenario = load(SCENARIOS / "flops-13B-2T-tokens.yaml")
    plan = plan_of(scenario)
    assert plan.best is not None
    worlds = worlds_of(scenario, plan, Draws(count=2, values={("demand", "tokens"): np.array([2e12, 8e12])}, law=None))
    assert worlds.unit == "FLOP"
    # Sardana et al. 2024, Table 1: 13B quality and 2T tokens, 6.96B parameters.
    assert worlds.foresight().params[0] == pytest.approx(plan.best.params, rel=1e-9)
    assert worlds.foresight().params[1] < plan.best.params


# What cannot be asked


def test_objective_loss_has_no_target() -> None:
    scenario = load(SCENARIOS / "six-limits.yaml")
    with pytest.raises(InputError, match="needs a target"):
        worlds_of(scenario, bc.solve(scenario), CERTAIN)


def test_no_plan_has_no_risk() -> None:
    scenario = Scenario.from_dict({**BASE, "limits": {"params": {"max": 1e8}}})
    with pytest.raises(InputError, match="infeasible: there is no plan"):
        worlds_of(scenario, bc.solve(scenario), CERTAIN)


def test_a_model_that_goes_on_has_a_size() -> None:
    scenario = Scenario.from_dict({**BASE, "start_from": {"params": 13e9, "tokens": 1e12}})
    with pytest.raises(InputError, match="start_from has fixed the size"):
        worlds_of(scenario, bc.solve(scenario), CERTAIN)


@pytest.mark.parametrize("sizes", [[], [0.0], [-1e9], [math.nan], [math.inf], [[1e9]]])
def test_sizes_that_are_none(sizes: list[Any]) -> None:
    scenario = Scenario.from_dict(BASE)
    with pytest.raises(InputError, match="sizes must be a row of numbers above zero"):
        worlds_of(scenario, plan_of(scenario), CERTAIN).bills(sizes)


def test_a_limit_of_another_kind() -> None:
    bill = monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}, unit="USD")
    bent = Limit(
        label="total_cost", side="max", quantity=monomial("x", 1.0, {"tokens": 2.0}), bound=1.0, unit="USD", each="USD"
    )
    block = ProblemBlock(
        count=1, law=published("sardana-2024"), target_loss=np.ones(1), bill=bill, compute=bill, stated=(bent,)
    )
    with pytest.raises(InputError, match="limit total_cost: knows tokens"):
        LifeWorlds(block=block, budget=1e12)
