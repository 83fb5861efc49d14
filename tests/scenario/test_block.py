"""A block of scenarios: row by row what the scenarios are that state the drawn numbers themselves."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import costly, floats

import beyond_chinchilla as bc
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.locate import locate
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.block import Keys, ProblemBlock, compile_block, file_of
from beyond_chinchilla.scenario.load import Scenario, load
from beyond_chinchilla.scenario.uncertainty import Draws

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SARDANA, KAPLAN = published("sardana-2024"), published("kaplan-2020")

COST: dict[str, Any] = {
    "name": "everything",
    "law": "sardana-2024",
    "target": {"chinchilla": 30e9},
    "demand": {
        "requests": 1e9,
        "input_tokens": 70.0,
        "output_tokens": 215.0,
        "reasoning_tokens": 30.0,
        "cached_share": 0.2,
        "factor": 1.0,
    },
    "training": {
        "hardware": "a100-80gb-sxm",
        "precision": "bf16",
        "price": 1.5,
        "mfu": 0.4,
        "goodput": 0.45,
        "development": 0.2,
        "data_cost": 0.05,
    },
    "serving": {
        "hardware": "a100-40gb-sxm",
        "precision": "int8",
        "price": 1.1,
        "price_source": "a quote of October",
        "prefill_mfu": 0.4,
        "decode_mfu": 0.01,
    },
    "limits": {
        "params": {"max": 30e9, "min": 4e9},
        "tokens": {"max": 20e12, "min": 1e12},
        "tokens_per_param": {"max": 2000.0, "min": 20.0},
        "training_flops": {"max": 4e23},
        "training_cost": {"max": 6e6},
        "serving_cost": {"max": 6e6},
        "total_cost": {"max": 9e6},
        "training_time": {"max": 400.0, "gpus": 1024.0},
        "training_gpu_hours": {"max": 5e6},
        "serving_memory": {"max": 30.0, "gpus": 1.0},
        "time_per_output_token": {"max": 25.0, "gpus": 1.0},
        "cost_per_million_output_tokens": {"max": 9.0},
    },
}
FLOPS: dict[str, Any] = {
    "law": "besiroglu-2024",
    "target": {"loss": 2.1},
    "demand": {"tokens": 2e12},
    "objective": "flops",
}
# Every number of the scenario above, but for what is counted.
FIELDS: list[Keys] = [
    (section, *keys)
    for section in ("demand", "training", "serving", "limits", "target")
    for keys in (
        [(key,) for key, value in COST[section].items() if isinstance(value, float)]
        if section != "limits"
        else [(label, key) for label, row in COST["limits"].items() for key in row]
    )
]


def scenario_of(tree: dict[str, Any], hold: str = "loss") -> Scenario:
    return Scenario.from_dict({**tree, "uncertainty": {"hold": hold}} if hold != "loss" else tree)


def at(tree: dict[str, Any], keys: Keys) -> Any:
    for key in keys:
        tree = tree[key]  # type: ignore[index]
    return tree


def changed(tree: dict[str, Any], values: dict[Keys, float]) -> dict[str, Any]:
    """Return the tree of a scenario with other numbers."""
    tree = copy.deepcopy(tree)
    for keys, value in values.items():
        at(tree, keys[:-1])[keys[-1]] = float(value)
    return tree


def draws_of(values: dict[Keys, Any], count: int, law: LawBatch | None = None) -> Draws:
    return Draws(count=count, values={keys: np.asarray(array, dtype=float) for keys, array in values.items()}, law=law)


def same(one: Posynomial, other: Posynomial) -> None:
    assert one.unit == other.unit
    assert one.labels == other.labels
    for left, right in zip(one.terms, other.terms, strict=True):
        assert dict(left.powers) == dict(right.powers)
        assert left.drivers == right.drivers
        assert float(left.coefficient) == pytest.approx(float(right.coefficient), rel=1e-13)  # type: ignore[arg-type]


def same_problem(one: Problem, other: Problem) -> None:
    """Let a row pass as the problem of the scenario that states its numbers."""
    assert one.target_loss == pytest.approx(other.target_loss, rel=1e-13)
    assert one.law.to_dict() | {"name": ""} == other.law.to_dict() | {"name": ""}
    same(one.cost, other.cost)
    same(one.flops, other.flops)
    assert [(limit.label, limit.side) for limit in one.limits] == [(limit.label, limit.side) for limit in other.limits]
    for left, right in zip(one.ratios, other.ratios, strict=True):
        same(left, right)
    plan, alone = locate(one), locate(other)
    assert plan.found == alone.found
    assert plan.params == pytest.approx(alone.params, rel=1e-9, nan_ok=True)
    assert plan.tokens == pytest.approx(alone.tokens, rel=1e-9, nan_ok=True)


@costly
@given(st.data())
def test_rows_are_the_scenarios_that_state_their_numbers(data: st.DataObject) -> None:
    fields = data.draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=12, unique=True))
    factors = st.lists(floats(0.5, 2.0), min_size=3, max_size=3)
    values = {keys: [at(COST, keys) * x for x in data.draw(factors)] for keys in fields}
    # A block does not ask whether a floor is below its ceiling.
    floors = [("limits", label) for label in ("params", "tokens", "tokens_per_param")]
    for k in range(3):
        for place in floors:
            low, high = ((*place, side) for side in ("min", "max"))
            if low in values and values[low][k] > values.get(high, [at(COST, high)] * 3)[k]:
                values[low][k] = at(COST, low)
    block = compile_block(scenario_of(COST), draws_of(values, 3))
    for k in range(3):
        alone = scenario_of(changed(COST, {keys: array[k] for keys, array in values.items()}))
        same_problem(block.row(k), alone.to_problem())


@given(st.lists(floats(0.3, 3.0), min_size=2, max_size=2), st.sampled_from(["tokens", "loss"]))
def test_flops(factors: list[float], field: str) -> None:
    keys: Keys = ("demand", "tokens") if field == "tokens" else ("target", "loss")
    shares = factors if field == "tokens" else [1.0 + 0.1 * x for x in factors]
    values = {keys: [at(FLOPS, keys) * x for x in shares]}
    block = compile_block(scenario_of(FLOPS), draws_of(values, 2))
    assert block.bill.unit == "FLOP"
    for k in range(2):
        same_problem(block.row(k), scenario_of(changed(FLOPS, {keys: values[keys][k]})).to_problem())


def laws_near(law: LossLaw, count: int, seed: int = 1, spread: float = 0.05) -> LawBatch:
    rng = np.random.default_rng(seed)
    constants = {
        key: getattr(law, key) * np.exp(spread * rng.standard_normal(count)) for key in ("E", "A", "alpha", "B", "beta")
    }
    return LawBatch(**constants, power=law.power, counts=law.counts, name=law.name)


def inline(law: LossLaw) -> dict[str, Any]:
    return {key: getattr(law, key) for key in ("E", "A", "alpha", "B", "beta", "power", "counts")}


@pytest.mark.parametrize(
    ("hold", "target"),
    [
        ("loss", {"chinchilla": 30e9}),
        ("size", {"chinchilla": 30e9}),
        ("loss", {"model": {"params": 7e9, "tokens": 2e12}}),
        ("size", {"model": {"params": 7e9, "tokens": 2e12}}),
        ("loss", {"loss": 2.05}),
    ],
)
def test_the_target_is_one_loss_or_what_each_law_makes_of_it(hold: str, target: dict[str, Any]) -> None:
    tree = {**COST, "target": target, "limits": {"tokens": {"max": 1e14}}}
    scenario = scenario_of(tree, hold)
    batch = laws_near(SARDANA, 3, spread=0.02)
    block = compile_block(scenario, draws_of({("demand", "requests"): [5e8, 1e9, 3e9]}, 3, batch))
    fixed = scenario.to_problem().target_loss
    for k, requests in enumerate((5e8, 1e9, 3e9)):
        stated = {"loss": fixed} if hold == "loss" else target
        alone = changed({**tree, "law": inline(batch.row(k)), "target": stated}, {("demand", "requests"): requests})
        same_problem(block.row(k), Scenario.from_dict(alone).to_problem())
    spread = float(np.ptp(block.target_loss))
    assert (spread > 0.01) == (hold == "size")


def test_a_price_by_chip_and_a_bought_chip() -> None:
    by_chip = copy.deepcopy(COST)
    by_chip["serving"]["price"] = {"a100-40gb-sxm": 1.1}
    bought = copy.deepcopy(COST)
    del bought["serving"]["price"], bought["serving"]["price_source"]
    bought["serving"]["purchase"] = {"capex": 15e3, "years": 4.0, "rate": 0.1, "power": 0.7, "electricity": 0.08}
    for tree, keys, values in (
        (by_chip, ("serving", "price", "a100-40gb-sxm"), [0.9, 1.4]),
        (bought, ("serving", "purchase", "capex"), [10e3, 20e3]),
    ):
        block = compile_block(scenario_of(tree), draws_of({keys: values}, 2))
        for k in range(2):
            same_problem(block.row(k), scenario_of(changed(tree, {keys: values[k]})).to_problem())


def test_an_uncertain_target_varies_whatever_is_held() -> None:
    sizes = [10e9, 30e9]
    block = compile_block(scenario_of(COST), draws_of({("target", "chinchilla"): sizes}, 2, laws_near(SARDANA, 2)))
    assert block.target_loss.tolist() == pytest.approx(
        [float(SARDANA.compute_optimal(params=N).loss) for N in sizes], rel=1e-13
    )


def test_a_law_that_counts_no_embeddings() -> None:
    tree = {**COST, "law": "kaplan-2020", "target": {"chinchilla": 3e9}}
    tree["limits"] = {"params": {"max": 40e9, "min": 1e9}, "tokens": {"min": 1e10}, "training_cost": {"max": 1e8}}
    batch = laws_near(KAPLAN, 3, spread=0.01)
    values = {("demand", "requests"): [5e8, 1e9, 3e9], ("limits", "params", "min"): [1e9, 2e9, 3e9]}
    block = compile_block(scenario_of(tree), draws_of(values, 3, batch))
    loss = scenario_of(tree).to_problem().target_loss
    for k in range(3):
        stated = changed(
            {**tree, "law": inline(batch.row(k)), "target": {"loss": loss}},
            {keys: array[k] for keys, array in values.items()},
        )
        same_problem(block.row(k), Scenario.from_dict(stated).to_problem())


def test_what_no_array_can_hold_is_compiled_one_by_one() -> None:
    tree = copy.deepcopy(COST)
    tree["serving"]["hardware"] = {"base": "a100-40gb-sxm", "memory": 40.0}
    # The chip's memory is the limit then.
    tree["limits"]["serving_memory"] = {"gpus": 1.0}
    values: dict[Keys, list[float]] = {
        ("serving", "hardware", "memory"): [30.0, 40.0, 60.0],
        ("demand", "cached_share"): [0.0, 0.5, 1.0],
    }
    block = compile_block(scenario_of(tree), draws_of(values, 3))
    bounds = next(limit.limit.bound for limit in block.limits if limit.label == "serving_memory")
    assert np.asarray(bounds).tolist() == pytest.approx([30.0, 40.0, 60.0])
    for k in range(2):
        same_problem(
            block.row(k), scenario_of(changed(tree, {keys: array[k] for keys, array in values.items()})).to_problem()
        )


@pytest.mark.parametrize("field", ["E", "alpha"])
def test_constants_of_a_law_drawn_one_by_one(field: str) -> None:
    law = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
    tree = {**COST, "law": law, "limits": {"tokens": {"max": 1e14}}}
    values: dict[Keys, list[float]] = {("law", field): [0.98 * law[field], 1.01 * law[field]]}
    scenario = scenario_of(tree)
    block = compile_block(scenario, draws_of(values, 2))
    loss = scenario.to_problem().target_loss
    for k in range(2):
        alone = changed({**tree, "target": {"loss": loss}}, {keys: array[k] for keys, array in values.items()})
        same_problem(block.row(k), Scenario.from_dict(alone).to_problem())


def test_a_phase_that_only_some_samples_lack_adds_nothing() -> None:
    tree = {**COST, "demand": {**COST["demand"], "cached_share": 0.5}}
    block = compile_block(scenario_of(tree), draws_of({("demand", "cached_share"): [0.0, 1.0]}, 2))
    alone = scenario_of(changed(tree, {("demand", "cached_share"): 1.0})).to_problem()
    assert "prefill" not in alone.cost.labels
    point = {"params": 13e9, "tokens": 4e12}
    assert float(block.row(1).cost.value(point)) == float(alone.cost.value(point))


def test_parts_of_a_block() -> None:
    values: dict[Keys, Any] = {("demand", "requests"): np.geomspace(1e8, 1e10, 5)}
    block = compile_block(scenario_of(COST), draws_of(values, 5, laws_near(SARDANA, 5)))
    for chosen in (slice(1, 4), np.array([3, 1])):
        part = block.block(chosen)
        numbers = np.arange(5)[chosen]
        assert part.count == len(numbers)
        for k, number in enumerate(numbers.tolist()):
            same_problem(part.row(k), block.row(number))


def test_a_target_below_the_floor_is_a_row_without_a_problem() -> None:
    batch = LawBatch.of([SARDANA, LossLaw(E=2.5, A=400.0, alpha=0.34, B=410.0, beta=0.28)])
    block = compile_block(scenario_of(COST), draws_of({}, 2, batch))
    assert block.count == 2
    assert math.isfinite(block.row(0).reducible)
    with pytest.raises(InputError, match="at or below the floor"):
        block.row(1)


@pytest.mark.parametrize("name", ["1B-requests", "limited-fleet", "chat-assistant", "flops-13B-2T-tokens"])
def test_without_uncertainty_a_row_is_the_scenario(name: str) -> None:
    scenario = load(SCENARIOS / f"{name}.yaml")
    block = compile_block(scenario, draws_of({}, 2))
    for k in range(2):
        plan, row = bc.solve(scenario), bc.solve(block.row(k))
        assert row.best is not None
        assert plan.best is not None
        assert row.best.to_dict() == plan.best.to_dict()
        assert row.baseline.to_dict() == plan.baseline.to_dict()


def test_numbers_of_a_sample_stand_in_its_file() -> None:
    scenario = load(SCENARIOS / "owned-cluster.yaml")
    draws = draws_of({("training", "gpus"): [200.2], ("serving", "purchase", "capex"): [5e4]}, 1, laws_near(SARDANA, 1))
    file = file_of(scenario, draws, 0)
    assert file.training is not None
    assert file.training.gpus == 200
    assert file.serving is not None
    assert file.serving.purchase is not None
    assert file.serving.purchase.capex == 5e4
    assert file.target is not None
    assert file.target.loss == pytest.approx(scenario.to_problem().target_loss, rel=1e-13)
    assert not isinstance(file.law, str)
    assert scenario.file.training is not None
    assert scenario.file.training.gpus == 256


def test_a_first_month_above_the_saturation_does_not_grow() -> None:
    scenario = load(SCENARIOS / "chat-on-three-chips.yaml")
    draws = draws_of({("demand", "requests_per_month"): [5e8, 9e8]}, 2)
    below, above = (file_of(scenario, draws, k).demand.forecast().requests for k in range(2))
    assert (below[0], below[-1]) == (5e8, 6e8)
    assert set(above) == {9e8}


@pytest.mark.parametrize(
    ("name", "says"), [("batch-by-month", "demand by month makes no block"), ("six-limits", "needs a target")]
)
def test_scenarios_that_make_no_block(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        compile_block(load(SCENARIOS / f"{name}.yaml"), draws_of({}, 1))


def test_a_model_that_goes_on_makes_no_block() -> None:
    scenario = scenario_of({**FLOPS, "start_from": {"params": 7e9, "tokens": 1e12}})
    with pytest.raises(InputError, match="start_from has fixed the size"):
        compile_block(scenario, draws_of({}, 1))


def test_ten_thousand_scenarios_are_arrays_not_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_by_one(*_: object) -> None:
        raise AssertionError("compiled one by one")

    monkeypatch.setattr("beyond_chinchilla.scenario.block.file_of", one_by_one)
    values: dict[Keys, Any] = {
        keys: at(COST, keys) * np.linspace(0.9, 1.1, 10_000) for keys in FIELDS if keys[-1] != "max"
    }
    block: ProblemBlock = compile_block(scenario_of(COST), draws_of(values, 10_000))
    assert block.count == 10_000
    assert all(np.shape(term.coefficient) == (10_000,) for term in block.bill.terms)
