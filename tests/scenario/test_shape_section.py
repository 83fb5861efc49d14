"""Shape in a scenario: the time of a layer, width chosen with size and data, and what a page says of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from trees import COST, changed

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.deployment import deploy
from beyond_chinchilla.analyse.past.shape import shaping
from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.costs.hardware import BYTES_PER_PARAMETER, accelerator
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.laws import shape as shapes
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report.past.shape import assumptions, parts
from beyond_chinchilla.report.rows import drivers
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.past.laws import law_of_file, target_law_of

BESIROGLU, BIAN = bc.law("besiroglu-2024"), shapes.published("bian-2025")
H100 = accelerator("h100-sxm")

# A token every 2 ms on four chips, of which each layer takes 50 microseconds: so many that the width matters.
LIFE = changed(
    COST,
    law="besiroglu-2024",
    target={"chinchilla": "13B"},
    demand={"requests": "3B", "input_tokens": 500, "output_tokens": 100},
    shape={"law": "bian-2025", "aspect": {"min": 64, "max": 384}},
    training={"hardware": "h100-sxm", "precision": "bf16", "price": 2.5, "mfu": "40%"},
    serving={
        "hardware": "h100-sxm",
        "precision": "fp8",
        "price": 2.5,
        "prefill_mfu": "40%",
        "decode_mfu": "2%",
        "layer_time": "50 us",
    },
    limits={"time_per_output_token": {"max": "2 ms", "gpus": 4}},
)
MONTHLY = changed(
    LIFE,
    demand={"requests_per_month": "2B", "months": 24, "input_tokens": 500, "output_tokens": 100},
    serving={"hardware": "h100-sxm", "precision": "fp8", "price": 2.5, "gpus_per_replica": 4, "layer_time": "50 us"},
    limits={"time_per_output_token": {"max": "3 ms"}},
)


def solved(tree: dict[str, Any] = LIFE, method: str = "auto", **changes: Any) -> Plan:
    plan = bc.solve(Scenario.from_dict(changed(tree, **changes)), method)
    assert plan.best is not None, plan.warnings
    return plan


def aspect(plan: Plan) -> float:
    (effect,) = plan.effects
    assert effect.kind == "shape"
    return effect.figures["aspect"]


def total(plan: Plan) -> float:
    """Return the bill before GPUs are rounded up to whole replicas, which no size is chosen by."""
    assert plan.best is not None
    return plan.best.total - plan.best.terms.get("rounding", 0.0)


def mistakes(tree: dict[str, Any] = LIFE, **changes: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(changed(tree, **changes))
    return [line.removeprefix("test: ") for line in caught.value.mistakes]


def in_shape(width_over_layers: float, tree: dict[str, Any] = LIFE) -> float:
    """Return what the cheapest model of one shape costs; infinite where none keeps the limits."""
    plan = bc.solve(Scenario.from_dict(changed(tree, shape={"law": "bian-2025", "aspect": width_over_layers})))
    return total(plan) if plan.best is not None else math.inf


# The optimum


def test_the_plan_is_the_best_of_all_shapes() -> None:
    plan = solved()
    best = aspect(plan)
    assert 64 < best < 384
    nearby = [in_shape(best * factor) for factor in (0.97, 1.0, 1.03)]
    assert nearby[1] == pytest.approx(total(plan), rel=1e-9)
    assert min(nearby) >= total(plan) * (1 - 1e-12)
    assert min(nearby[0], nearby[2]) > total(plan) * 1.0005
    assert min(in_shape(each) for each in (64, 80, 100, 128, 160, 256)) > total(plan)


def test_the_plan_is_that_of_a_grid_which_knows_the_whole_law() -> None:
    # No part of the solver: 600 shapes by 600 sizes, the tokens that reach the target, and the bill by hand.
    plan = solved()
    R, N = np.meshgrid(np.geomspace(64, 384, 600), np.geomspace(1e9, 2e10, 600))
    plain = BIAN.apart(BESIROGLU, 100)
    left = plan.target_loss / BIAN.factor(R) - plain.E - plain.A * N**-plain.alpha
    milliseconds = N / (4 * H100.bandwidth) * 1e3 + shapes.layers(N, R) * 0.05
    with np.errstate(invalid="ignore", divide="ignore"):
        D = (plain.B / left) ** (1 / plain.beta)
        dollar = 2.5 / 3600
        train = 6 * N * D / (H100.peak_flops("bf16") * 0.4) * dollar
        prefill = 2 * N * 1.5e12 / (H100.peak_flops("fp8") * 0.4) * dollar
        decode = 2 * N * 3e11 / (H100.peak_flops("fp8") * 0.02) * dollar
        bill = np.where((left > 0) & (milliseconds <= 2), train + prefill + decode, np.inf)
    least = np.unravel_index(np.argmin(bill), bill.shape)
    assert bill[least] >= total(plan) * (1 - 1e-9)
    assert bill[least] == pytest.approx(total(plan), rel=5e-3)
    assert R[least] == pytest.approx(aspect(plan), rel=0.05)


def test_a_search_and_one_geometric_program_agree() -> None:
    search, program = solved(), solved(method="gp")
    assert total(program) == pytest.approx(total(search), rel=1e-9)
    assert aspect(program) == pytest.approx(aspect(search), rel=1e-5)
    assert search.duality_gap <= 1e-8
    assert search.kkt_residual <= 1e-8


def test_the_limit_is_the_read_and_the_layers() -> None:
    plan = solved()
    assert plan.best is not None
    (row,) = plan.limits
    read = plan.best.params * BYTES_PER_PARAMETER["fp8"] / (4 * H100.bandwidth) * 1e3
    layers = 0.05 * float(shapes.layers(plan.best.params, aspect(plan)))
    assert row.value == pytest.approx(read + layers, rel=1e-12)
    assert row.binding
    assert row.value == pytest.approx(2.0, rel=1e-9)


def test_the_price_of_a_millisecond_is_what_a_millisecond_saves() -> None:
    plan = solved()
    (row,) = plan.limits
    step = 1e-4
    bounds = [{"time_per_output_token": {"max": f"{2 + sign * step} ms", "gpus": 4}} for sign in (-1, 1)]
    dear, cheap = (total(solved(limits=bound)) for bound in bounds)
    assert row.shadow_price == pytest.approx((dear - cheap) / (2 * step), rel=1e-3)


@pytest.mark.parametrize(("ms", "layer", "wider"), [(2.4, 50, False), (2.0, 70, True)])
def test_dearer_layers_make_a_model_wider(ms: float, layer: float, wider: bool) -> None:
    usual = aspect(solved())
    limits = {"time_per_output_token": {"max": f"{ms} ms", "gpus": 4}}
    other = aspect(solved(limits=limits, serving={**LIFE["serving"], "layer_time": f"{layer} us"}))
    assert (other > usual) is wider


def test_the_loss_is_that_of_the_whole_law() -> None:
    plan = solved()
    assert plan.best is not None
    plain = BIAN.apart(BESIROGLU, 100)
    assert float(BIAN.loss(plain, plan.best.params, plan.best.tokens, aspect(plan))) == pytest.approx(plan.target_loss)
    # The law is that of models of the reference shape, the target too.
    assert float(BESIROGLU.compute_optimal(params=13e9).loss) == plan.target_loss
    assert plan.baseline.params == pytest.approx(13e9)
    assert plan.baseline.breaks == ("time_per_output_token",)


def test_by_month_the_layers_are_in_the_step() -> None:
    scenario = Scenario.from_dict(MONTHLY)
    plan = solved(MONTHLY)
    assert plan.best is not None
    depth = float(shapes.layers(plan.best.params, aspect(plan)))
    # At least the read of the weights at 60% of the bandwidth and the layers; the cache comes on top.
    read = plan.best.params / (4 * H100.bandwidth * 0.6)
    assert plan.best.variables["step_time"] > read + depth * 50e-6
    assert plan.best.variables["step_time"] <= 3e-3 * (1 + 1e-9)
    # What deploys it serves in the plan's shape, not in the one that answers soonest.
    service = deploy(scenario, plan).service
    point = {"params": plan.best.params, **plan.best.variables}
    assert max(float(relation.value(point)) for relation in service.relations) == pytest.approx(1.0, abs=1e-6)


def test_by_month_the_plan_is_the_best_of_all_shapes() -> None:
    plan = solved(MONTHLY)
    best = aspect(plan)
    assert 64 < best < 384
    nearby = [in_shape(best * factor, MONTHLY) for factor in (0.95, 1.0, 1.05)]
    assert nearby[1] == pytest.approx(total(plan), rel=1e-6)
    assert min(nearby[0], nearby[2]) > total(plan)


def test_by_month_depth_is_dear_without_any_limit() -> None:
    # A step that takes longer is paid for: a fixed batch writes fewer tokens.
    free = solved(MONTHLY, limits=None)
    slow = solved(MONTHLY, limits=None, serving={**MONTHLY["serving"], "layer_time": "5 ms"})
    assert aspect(slow) >= aspect(free)
    assert total(slow) > total(free)
    assert not any("nothing prices" in line for line in free.warnings)


def test_few_unique_tokens_make_a_wider_plan() -> None:
    # Beside a law of repetition: the optimum of a grid of shapes and sizes that knows both laws.
    tree = changed(LIFE, data={"unique_tokens": "300B"})
    plan, problem = solved(tree), Scenario.from_dict(tree).to_problem()
    assert problem.repetition is not None
    found = next(effect for effect in plan.effects if effect.kind == "shape").figures["aspect"]
    least = math.inf
    for each in found * np.geomspace(0.98, 1.02, 21):
        held = BIAN.held(problem.law, float(each))
        N = np.geomspace(4e9, 6e9, 4000)
        N = N[N / (4 * H100.bandwidth) * 1e3 + shapes.layers(N, each) * 0.05 <= 2]
        D = problem.repetition.tokens_for(held, N, plan.target_loss)
        least = min(least, float(np.nanmin(problem.cost.value({"params": N, "tokens": D}))))
    assert least == pytest.approx(total(plan), rel=1e-4)
    assert least >= total(plan) * (1 - 1e-9)
    # More parameters for fewer tokens, and so fewer layers.
    assert found > aspect(solved())


# Whose law, and which shapes


def test_a_law_fitted_beside_the_shape_is_taken_as_it_stands() -> None:
    own = Scenario.from_dict(changed(LIFE, law="bian-2025", target={"loss": 2.7}, limits=None)).file
    assert law_of_file(own) == bc.law("bian-2025")
    assert pytest.approx(bc.law("bian-2025").E * float(BIAN.factor(100))) == target_law_of(own).E
    other = Scenario.from_dict(LIFE).file
    assert target_law_of(other) == BESIROGLU
    assert pytest.approx(BESIROGLU.E / float(BIAN.factor(100))) == law_of_file(other).E


def test_the_reference_shape_may_be_another() -> None:
    choice = {"law": "bian-2025", "aspect": 128, "reference": 128}
    fixed = solved(shape=choice, limits=None)
    plain = bc.solve(Scenario.from_dict(changed(LIFE, shape=None, limits=None, serving=_without_layers())))
    # In the shape that the law speaks of it is the law alone.
    assert total(fixed) == pytest.approx(total(plain), rel=1e-12)


def test_constants_of_ones_own() -> None:
    plan = solved(shape={"epsilon": 2.358e-5, "gamma": 1.256, "aspect": {"min": 64, "max": 384}, "name": "ours"})
    assert total(plan) == pytest.approx(total(solved()), rel=1e-9)
    assert plan.effects[0].name == "ours"
    together = solved(
        shape={"epsilon": 1e-3, "gamma": 0.6, "aspect": 128, "fitted_with_law": True}, target={"loss": 2.2}, limits=None
    )
    assert together.law.E == BESIROGLU.E


def test_without_latency_the_deepest_shape_is_taken_and_the_page_says_so() -> None:
    plan = solved(limits=None)
    assert aspect(plan) == 64
    assert any(
        "without limits.time_per_output_token the plan takes the aspect ratio of least loss, 64" in line
        for line in plan.warnings
    )
    silent = solved(limits=None, serving=_without_layers())
    assert any("without serving.layer_time and limits.time_per_output_token" in line for line in silent.warnings)
    fixed = solved(shape={"law": "bian-2025", "aspect": 128}, limits=None)
    assert not any("nothing prices" in line for line in fixed.warnings)
    assert not any("nothing prices" in line for line in solved().warnings)


def test_the_default_is_the_range_seen() -> None:
    plan = solved(shape="bian-2025", limits=None)
    assert aspect(plan) == 17.5
    assert any("below an aspect ratio of 64" in line for line in plan.warnings)


def test_a_shape_beyond_the_runs_is_a_warning() -> None:
    plan = solved(shape={"law": "bian-2025", "aspect": 600}, limits=None)
    assert any("an aspect ratio of 600 is 1.56x the largest fitted (384)" in line for line in plan.warnings)


def test_bians_law_without_its_shape_is_a_warning() -> None:
    tree = changed(LIFE, law="bian-2025", target={"loss": 2.7}, shape=None, limits=None, serving=_without_layers())
    plan = bc.solve(Scenario.from_dict(tree))
    assert any("law bian-2025 was fitted beside a law of shape" in line for line in plan.warnings)


def _without_layers() -> dict[str, Any]:
    return {key: value for key, value in LIFE["serving"].items() if key != "layer_time"}


# Bad input


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": {"law": "bian-2025", "aspect": {"min": 300, "max": 100}}}, "shape.aspect: min 300 is above max 100"),
        ({"shape": {"law": "bian-2025", "aspect": {}}}, "shape.aspect: bounds nothing"),
        ({"shape": {"law": "bian-2025", "aspect": 0}}, "0 must be above zero; write it like 128"),
        ({"shape": {"law": "bian-2025", "aspect": {"median": 100, "p90": 200}}}, "shape.aspect.median: unknown key"),
        ({"shape": "bian"}, "shape: no law of shape named 'bian'; did you mean 'bian-2025'?"),
        ({"shape": {"law": "bian-2025", "epsilon": 1e-3, "gamma": 1}}, "shape: give either law: bian-2025, or epsilon"),
        ({"shape": {"epsilon": 1e-3}}, "shape: give either law: bian-2025, or epsilon"),
        ({"shape": {"epsilon": 1e-3, "gamma": 1}}, "shape: aspect is missing; which shapes were tried?"),
        ({"shape": {"epsilon": 1e-3, "gamma": 1, "aspect": {"min": 64}}}, "constants of one's own need both bounds"),
        ({"shape": {"epsilon": 1e3, "gamma": 20, "aspect": 100}}, "shape: epsilon 1000 and gamma 20 multiply the loss"),
        ({"shape": None}, "serving.layer_time: needs shape: how many layers a model has; write shape: bian-2025"),
        ({"law": "kaplan-2020", "limits": None}, "shape: law kaplan-2020 of the kaplan form takes no shape"),
        ({"start_from": {"params": 7e9, "tokens": 1e12}}, "shape: does not go with start_from"),
        ({"serving": {**LIFE["serving"], "layer_time": 0}}, "serving.layer_time: 0 must be above zero"),
        ({"law": "bian-2025", "target": {"loss": 2.4}}, "target loss 2.4 is at or below the floor"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(changes: dict[str, Any], said: str) -> None:
    found = mistakes(**changes)
    assert any(said in line for line in found), found
    assert all("Traceback" not in line for line in found)


def test_no_plan_names_the_latency() -> None:
    plan = bc.solve(Scenario.from_dict(changed(LIFE, limits={"time_per_output_token": {"max": "0.5 ms", "gpus": 4}})))
    assert plan.best is None
    assert any("time_per_output_token max and target cannot hold together" in line for line in plan.warnings)


@pytest.mark.parametrize("limits", [None, LIFE["limits"]])
def test_a_shape_in_which_nothing_reaches_the_target_has_no_plan(limits: dict[str, Any] | None) -> None:
    tree = changed(LIFE, shape={"law": "bian-2025", "aspect": 1e6}, limits=limits)
    problem = Scenario.from_dict(tree).to_problem()
    plan = bc.solve(problem)
    assert (plan.status, plan.best) == ("infeasible", None)
    # The Chinchilla model beside it is that of the plain law.
    plain = problem.law.compute_optimal(loss=problem.target_loss)
    assert (plan.baseline.params, plan.baseline.tokens) == pytest.approx((float(plain.params), float(plain.tokens)))


def test_it_comes_back_from_a_dict() -> None:
    scenario = Scenario.from_dict(LIFE)
    assert Scenario.from_dict(scenario.to_dict()).file == scenario.file
    # 50 us however it is written
    assert Scenario.from_dict(changed(LIFE, serving={**LIFE["serving"], "layer_time": "0.05 ms"})).file == scenario.file


# What a page says


def test_the_page_compares_shapes_and_prices_speed() -> None:
    scenario = Scenario.from_dict(LIFE)
    problem, plan = scenario.to_problem(), solved()
    found = shaping(scenario, problem, plan)
    own, usual, deepest = found.shapes
    assert [row.what for row in found.shapes] == ["plan", "usual", "least loss"]
    assert (usual.aspect, deepest.aspect) == (100, 64)
    assert own.total == total(plan)
    assert usual.total == pytest.approx(in_shape(100), rel=1e-9)
    assert deepest.total == pytest.approx(in_shape(64), rel=1e-9)
    assert own.layer_ms is not None
    assert own.layers is not None
    assert own.layer_ms == pytest.approx(0.05 * own.layers)
    assert found.loss_for_speed == plan.effects[0].figures["loss_for_speed"] > 0
    assert found.usd_per_ms == plan.limits[0].shadow_price
    assert found.patient is not None
    assert found.patient.total == pytest.approx(total(solved(limits=None)), rel=1e-9)
    (block,), record = parts(scenario, problem, plan)
    text = " ".join(block.lines)
    assert f"gives up {found.loss_for_speed:.4f} nats for speed" in text
    assert "The limit on the time of an output token costs $15.8k, 13.9%" in text
    assert len(block.cells) == 3
    assert all(len(cells) == len(block.heads) for cells in block.cells)
    json.dumps(record, allow_nan=False)


def test_the_flat_range_is_said_to_be_of_one_shape() -> None:
    """Larger models do in wider shapes: 5.2B costs within 1% of the plan there, and breaks the limit in its shape."""
    plan = solved()
    assert plan.best is not None
    assert plan.one_percent_range is not None
    assert plan.one_percent_range[1] == pytest.approx(plan.best.params)
    larger = solved(limits={**LIFE["limits"], "params": {"min": "5.2B"}})
    assert total(larger) < 1.01 * total(plan)
    assert aspect(larger) > aspect(plan)
    assert any(
        line.startswith("Any size from 4.63B to 4.75B costs at most 1% more in this shape") for line in drivers(plan)
    )


def test_a_shape_that_keeps_the_limits_at_no_size_has_no_plan() -> None:
    tree = changed(LIFE, limits={"time_per_output_token": {"max": "1.6 ms", "gpus": 4}})
    scenario = Scenario.from_dict(tree)
    plan = solved(tree)
    found = shaping(scenario, scenario.to_problem(), plan)
    assert found.shapes[-1].total is None
    (block,), _ = parts(scenario, scenario.to_problem(), plan)
    assert block.cells[-1][-1] == "no plan"
    assert all(len(cells) == len(block.heads) for cells in block.cells)
    assert any("keeps the limits at no size" in line for line in block.lines)


def test_a_slack_limit_costs_nothing() -> None:
    tree = changed(LIFE, limits={"time_per_output_token": {"max": "20 ms", "gpus": 4}})
    scenario = Scenario.from_dict(tree)
    (block,), record = parts(scenario, scenario.to_problem(), solved(tree))
    assert record["shape"]["usd_per_ms"] is None
    assert "No shape allowed loses less" in block.lines[0]
    assert any("costs nothing" in line for line in block.lines)


def test_least_loss_for_a_budget() -> None:
    tree = changed(LIFE, objective="loss", target=None)
    tree["limits"] = {"total_cost": {"max": "100k USD"}, **LIFE["limits"]}
    scenario = Scenario.from_dict(tree)
    plan = solved(tree)
    assert plan.best is not None
    assert plan.best.total == pytest.approx(1e5)
    (block,), _ = parts(scenario, scenario.to_problem(), plan)
    assert len(block.cells) == 1
    # For the money of the plan at that loss, the same model.
    back = solved(target={"loss": plan.best.loss})
    assert total(back) == pytest.approx(1e5, rel=1e-6)


def test_flops_have_a_shape_too() -> None:
    tree = changed(LIFE, objective="flops", limits=None)
    (block,), record = parts(Scenario.from_dict(tree), Scenario.from_dict(tree).to_problem(), solved(tree))
    assert record["shape"]["shapes"][0]["aspect"] == 64
    assert "FLOP" in block.cells[0][-2]


def test_the_assumptions_state_the_constants() -> None:
    lines = {label: (value, source) for label, value, source in assumptions(Scenario.from_dict(LIFE))}
    assert "epsilon 2.358e-05, gamma 1.256; width over layers 64 to 384" in lines["shape bian-2025"][0]
    assert "arXiv 2501.18107" in lines["shape bian-2025"][1]
    assert lines["time of a layer"] == ("50 us of every step, whatever its width", "the scenario")
    assert list(assumptions(Scenario.from_dict(changed(LIFE, shape=None, serving=_without_layers())))) == []


def test_the_command_line_prints_it(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(LIFE), encoding="utf-8")
    page = CliRunner().invoke(cli, [str(file)])
    assert page.exit_code == 0
    assert "nats for speed" in page.output
    record = json.loads(CliRunner().invoke(cli, [str(file), "--format", "json"]).stdout)
    assert record["effects"]["shape"]["law"] == "bian-2025"
    assert record["shape"]["shapes"][0]["aspect"] == record["effects"]["shape"]["aspect"]
