"""The cheapest sizes of blocks under limited data and quantisation: against the solver row by row, limits and all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.baseline_block import baselines, without_levers
from beyond_chinchilla.analyse.plan_block import Method, Status, cheapest
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.catalogue import law as catalogue_law
from beyond_chinchilla.optimise.locate import chinchilla, locate
from beyond_chinchilla.scenario.block import ProblemBlock, compile_block
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.uncertainty import Draws

# Hundreds of rows, each solved alone.
pytestmark = pytest.mark.own_step

COUNT = 6
BASE: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"chinchilla": 30e9},
    "demand": {"requests": 1e9, "input_tokens": 70.0, "output_tokens": 215.0},
    "training": {"hardware": "h100-sxm", "precision": "bf16", "price": 2.0, "mfu": 0.4},
    "serving": {
        "hardware": "b200-sxm",
        "precision": "fp4",
        "price": 4.0,
        "prefill_mfu": 0.5,
        "decode_mfu": 0.02,
    },
}
DATA = {"data": {"unique_tokens": 1e12}}
BITS = {"quantisation": "kumar-2024"}
THINKING = {
    "law": {"E": 0.1, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "name": "scores"},
    "thinking": {"G": 0.2, "g": 0.4, "samples": 4},
}
LIMITS = {
    "params": {"max": 200e9, "min": 12e9},
    "tokens": {"max": 6e12, "min": 3e11},
    "tokens_per_param": {"max": 300.0, "min": 20.0},
    "training_cost": {"max": 2e7},
}


def draws(seed: int = 1, spread: float = 0.02) -> Draws:
    rng = np.random.default_rng(seed)
    base = catalogue_law("sardana-2024")
    constants = {
        key: getattr(base, key) * np.exp(spread * rng.standard_normal(COUNT))
        for key in ("E", "A", "alpha", "B", "beta")
    }
    values = {
        ("demand", "requests"): 1e9 * np.exp(1.5 * rng.standard_normal(COUNT)),
        ("training", "mfu"): rng.uniform(0.3, 0.5, COUNT),
    }
    return Draws(count=COUNT, values=values, law=LawBatch(**constants, name=base.name))


def same_as_solved(block: ProblemBlock, apart: ProblemBlock | None = None) -> list[int]:
    """Return the rows with a plan, after each is compared with the solver's."""
    found = cheapest(block, [limit.ratio for limit in block.limits])
    base = baselines(block, apart)
    with_plan = []
    for row in range(block.count):
        problem = block.row(row)
        located = locate(problem)
        assert (found.status[row] == Status.OPTIMAL) == located.found
        if not located.found:
            assert np.isnan(found.params[row])
            continue
        with_plan.append(row)
        N, D = found.params[row], found.tokens[row]
        least = float(problem.cost.value({"params": located.params, "tokens": located.tokens}))
        assert float(problem.cost.value({"params": N, "tokens": D})) == pytest.approx(least, rel=1e-10)
        assert pytest.approx(located.params, rel=1e-6) == N
        assert float(block.whole.row(row).loss(N, D)) <= block.target_loss[row] * (1.0 + 1e-9)
        if apart is None:
            baseline = chinchilla(problem)
            assert base.params[row] == pytest.approx(baseline.params, rel=1e-6)
            assert base.total[row] == pytest.approx(baseline.total, rel=1e-8)
    return with_plan


@pytest.mark.parametrize("limits", [{}, LIMITS], ids=["free", "limited"])
@pytest.mark.parametrize("more", [DATA, BITS], ids=["data", "bits"])
def test_every_row_is_the_solver_s(more: dict[str, Any], limits: dict[str, Any]) -> None:
    scenario = Scenario.from_dict({**BASE, **more, **({"limits": limits} if limits else {})})
    rows = same_as_solved(compile_block(scenario, draws()))
    assert len(rows) >= (2 if limits else 4)


@pytest.mark.parametrize("limits", [{}, LIMITS], ids=["free", "limited"])
def test_data_and_bits_together_leave_no_better_size_on_a_fine_grid(limits: dict[str, Any]) -> None:
    scenario = Scenario.from_dict({**BASE, **DATA, **BITS, **({"limits": limits} if limits else {})})
    block = compile_block(scenario, draws())
    ratios = [limit.ratio for limit in block.limits]
    found = cheapest(block, ratios)
    sizes = np.geomspace(1e9, 1e13, 20_001)
    tokens = np.geomspace(1e10, 1e15, 2_001)
    for row in range(COUNT):
        problem, whole, target = block.row(row), block.whole.row(row), block.target_loss[row]
        needed = whole.tokens_for(sizes, target)
        if limits:
            needed = np.maximum(needed, np.maximum(limits["tokens"]["min"], limits["tokens_per_param"]["min"] * sizes))
        kept = np.isfinite(needed)
        with np.errstate(invalid="ignore"):
            point = {"params": sizes, "tokens": needed}
            for limit in problem.limits:
                kept &= limit.ratio(problem.law).value(point) <= 1.0 + 1e-12
            kept &= whole.loss(sizes, needed) <= target * (1.0 + 1e-12)
            least = np.min(problem.cost.value(point)[kept], initial=np.inf)
        if found.status[row] == Status.INFEASIBLE:
            assert not kept.any()
            continue
        N, D = found.params[row], found.tokens[row]
        total = float(problem.cost.value({"params": N, "tokens": D}))
        assert least >= total * (1.0 - 1e-12)
        assert least <= total * (1.0 + 1e-4)
        # No fewer tokens would do at that size.
        fewer = tokens[tokens < D * (1.0 - 1e-9)]
        if not limits:
            assert np.all(whole.loss(N, fewer) > target)
    assert (found.status == Status.OPTIMAL).sum() >= 2


def test_with_data_enough_for_everything_the_plain_plan_comes_back_to_the_last_bit() -> None:
    plain = compile_block(Scenario.from_dict(BASE), draws())
    rich = compile_block(Scenario.from_dict({**BASE, "data": {"unique_tokens": 1e18}}), draws())
    one, other = cheapest(plain, ()), cheapest(rich, ())
    assert np.array_equal(one.params, other.params)
    assert np.array_equal(one.tokens, other.tokens)
    assert set(other.method.tolist()) == {Method.UNIVERSAL}
    assert np.array_equal(baselines(plain).total, baselines(rich).total)


def test_data_that_differs_from_row_to_row() -> None:
    """As in a sweep over unique tokens: each row is the scenario with that number."""
    amounts = np.array([3e11, 1e12, 4e12, 1e14])
    scenario = Scenario.from_dict({**BASE, **DATA})
    block = compile_block(scenario, Draws(count=4, values={("data", "unique_tokens"): amounts}, law=None))
    found = cheapest(block, ())
    for row, amount in enumerate(amounts):
        best = bc.solve(Scenario.from_dict({**BASE, "data": {"unique_tokens": float(amount)}})).best
        if best is None:
            assert found.status[row] == Status.INFEASIBLE
            continue
        assert found.params[row] == pytest.approx(best.params, rel=1e-6)
    assert found.status[1:].tolist() == [Status.OPTIMAL] * 3
    # More data never makes the least bill larger.
    totals = block.cost.value({"params": found.params, "tokens": found.tokens})
    assert np.all(np.diff(totals[1:]) <= 1e-9 * totals[1])


def test_a_fixed_number_of_samples_is_held_and_the_baseline_answers_once() -> None:
    scenario = Scenario.from_dict({**BASE, **THINKING, "target": {"loss": 0.36}})
    plan = bc.solve(scenario)
    certain = Draws(count=1, values={}, law=None)
    block, apart = compile_block(scenario, certain), without_levers(scenario, certain, {})
    assert apart is not None
    found, base = cheapest(block, ()), baselines(block, apart)
    assert plan.best is not None
    assert found.params.tolist() == pytest.approx([plan.best.params], rel=1e-9)
    assert base.total.tolist() == pytest.approx([plan.baseline.total], rel=1e-9)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (THINKING | {"thinking": {"G": 0.2, "g": 0.4, "samples": {"max": 64}}}, "leaves samples to be chosen"),
        (BITS | {"serving": {**BASE["serving"], "precision": ["fp8", "fp4"]}}, "leaves a choice between fp8, fp4"),
    ],
)
def test_what_each_row_would_choose_for_itself_is_refused(more: dict[str, Any], said: str) -> None:
    scenario = Scenario.from_dict({**BASE, **more})
    with pytest.raises(InputError, match=said):
        compile_block(scenario, Draws(count=1, values={}, law=None))
