"""Precision in a scenario: bits of training and serving, choices with the penalty counted, and what a page says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from trees import COST, changed

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.past.quantisation import precision_of, rounding
from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.laws.precision import precision
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report.past.quantisation import parts
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import format_percent

KUMAR = precision("kumar-2024")
SARDANA = bc.law("sardana-2024")
INLINE = {"C_T": 0.0598, "gamma_D": 0.5068, "gamma_N": 0.3439, "gamma_post": 0.5907}

# bf16, int8 and fp4 on one chip at one price: each halving of the bits doubles the speed.
LIFE = changed(
    COST,
    training={"hardware": "b200-sxm", "precision": "bf16", "price": 4, "mfu": "40%"},
    serving={"hardware": "b200-sxm", "precision": "fp4", "price": 4, "prefill_mfu": "40%", "decode_mfu": "5%"},
    quantisation="kumar-2024",
)
MONTHLY = changed(
    COST,
    demand={"requests_per_month": "300M", "months": 12, "input_tokens": 900, "output_tokens": 220},
    training={"hardware": "b200-sxm", "precision": "bf16", "price": 4, "mfu": "40%"},
    serving={"hardware": "b200-sxm", "precision": ["bf16", "fp4"], "price": 4, "gpus_per_replica": 1},
    quantisation="kumar-2024",
)


def solved(tree: dict[str, Any] = LIFE, **changes: Any) -> Plan:
    plan = bc.solve(Scenario.from_dict(changed(tree, **changes)))
    assert plan.best is not None, plan.warnings
    return plan


def total(plan: Plan) -> float:
    assert plan.best is not None
    return plan.best.total


def mistake(tree: dict[str, Any] = LIFE, **changes: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(changed(tree, **changes))
    (found,) = caught.value.mistakes
    return found.removeprefix("test: ")


# What is shown beside the best of several


def test_kappa_is_that_of_the_baseline_shown() -> None:
    """Plan and Chinchilla model need not do best in the same precision."""
    plan = solved(demand__requests="20B", serving__precision=["bf16", "fp4"])
    assert plan.kappa is not None
    bill = plan.baseline.terms
    assert plan.kappa == pytest.approx((bill["prefill"] + bill["decode"]) / bill["training"], rel=1e-12)
    rounded, whole = (solved(demand__requests="20B", serving__precision=name) for name in ("fp4", "bf16"))
    assert plan.choice == "bf16"
    assert plan.baseline.total == pytest.approx(rounded.baseline.total, rel=1e-12)
    assert plan.kappa == pytest.approx(rounded.kappa, rel=1e-12)
    assert whole.kappa is not None
    assert whole.kappa > 2.0 * plan.kappa


def test_advice_on_demand_follows_the_kappa_shown() -> None:
    for requests, hardly in (("1M", True), ("20B", False)):
        plan = solved(demand__requests=requests, serving__precision=["bf16", "fp4"])
        assert plan.kappa is not None
        assert (plan.kappa < 0.05) == hardly
        said = [line for line in plan.warnings if "demand hardly matters" in line]
        assert len(said) == hardly
        assert all(line.startswith(f"serving is {format_percent(plan.kappa)} of training") for line in said)


# Which bits count


@pytest.mark.parametrize(
    ("trained", "served", "bits"),
    [("bf16", "fp4", 4), ("bf16", "int8", 8), ("bf16", "fp8", 8), ("fp8", "fp4", 4), ("fp32", "fp4", 4)],
)
def test_serving_in_fewer_bits_than_training_adds_the_penalty(trained: str, served: str, bits: float) -> None:
    problem = Scenario.from_dict(changed(LIFE, training__precision=trained, serving__precision=served)).to_problem()
    (lever,) = problem.levers
    weights = 8.0 if trained == "fp8" else 16.0
    expected = KUMAR.quantised(bits, weights_bits=weights, activation_bits=weights)
    assert expected is not None
    assert lever.terms(SARDANA) == expected.terms(SARDANA)


@pytest.mark.parametrize(("trained", "served"), [("bf16", "bf16"), ("fp8", "fp8"), ("fp8", "int8"), ("fp8", "bf16")])
def test_serving_in_as_many_bits_as_training_adds_nothing(trained: str, served: str) -> None:
    problem = Scenario.from_dict(changed(LIFE, training__precision=trained, serving__precision=served)).to_problem()
    assert problem.levers == ()


def test_training_in_8_bits_counts_parameters_for_less_and_leaves_the_target_alone() -> None:
    full = Scenario.from_dict(changed(LIFE, serving__precision="fp8")).to_problem()
    low = Scenario.from_dict(changed(LIFE, serving__precision="fp8", training__precision="fp8")).to_problem()
    # (1 - e^(-8/2.6745)) (1 - e^(-8/2.2102)) over the same at 16 bits, to the power -.336
    share = (1 - math.exp(-8 / 2.6745)) * (1 - math.exp(-8 / 2.2102))
    share /= (1 - math.exp(-16 / 2.6745)) * (1 - math.exp(-16 / 2.2102))
    ratio = low.law.A / 406.4
    assert ratio == pytest.approx(share**-0.336, rel=1e-12)
    assert full.law.A == 406.4
    # As good as Chinchilla-30B means the one that was trained in full precision.
    assert low.target_loss == full.target_loss == pytest.approx(1.958253, abs=5e-7)
    # Without constants nothing is known of bits.
    plain = Scenario.from_dict(changed(LIFE, training__precision="fp8", quantisation=None)).to_problem()
    assert plain.law.A == 406.4
    assert plain.levers == ()


def test_constants_of_ones_own_are_the_published_ones_where_they_are_equal() -> None:
    named, own = solved(), solved(quantisation={**INLINE, "name": "ours"})
    assert total(own) == pytest.approx(total(named), rel=1e-12)
    assert own.effects[0].name == "ours"
    # No one's warning that they do not carry over, no range of theirs.
    assert any("do not carry over" in line for line in named.warnings)
    assert not any("do not carry over" in line or "ours" in line for line in own.warnings)
    trained = {**INLINE, "gamma_w": 2.6745, "gamma_i": 2.2102}
    assert total(solved(quantisation=trained, training__precision="fp8")) == pytest.approx(
        total(solved(training__precision="fp8")), rel=1e-12
    )


def test_the_law_of_the_same_fit_stands_for_all_parameters() -> None:
    plan = solved(law="kumar-2024", target={"chinchilla": "1B"})
    assert plan.law.counts == "total"
    # Fitted with N_eff for N, of which 16 bits leave .99676 of the parameters.
    ratio = plan.law.A / 4299.0
    assert ratio == pytest.approx(0.99676**-0.4965, rel=1e-5)
    assert any("counts no embeddings" in line for line in plan.warnings)
    assert not any("do not carry over" in line for line in plan.warnings)


# Plans


def test_a_plan_under_quantisation_reaches_the_target_as_served() -> None:
    plan = solved()
    best = plan.best
    assert best is not None
    four = KUMAR.quantised(4.0)
    assert four is not None
    assert float(four.loss(SARDANA, best.params, best.tokens)) == pytest.approx(plan.target_loss, rel=1e-12)
    assert best.loss == pytest.approx(plan.target_loss, rel=1e-12)
    (effect,) = plan.effects
    assert effect.figures["quantisation_loss"] == pytest.approx(float(four.penalty(best.params, best.tokens)))
    # No cheaper model of the same loss beside it.
    problem = Scenario.from_dict(LIFE).to_problem()
    for factor in (0.98, 0.999, 1.001, 1.02):
        tokens = float(four.tokens_for(SARDANA, factor * best.params, plan.target_loss))
        beside = {"params": factor * best.params, "tokens": tokens}
        assert float(problem.cost.value(beside)) > best.total
    low, high = plan.one_percent_range or (math.nan, math.nan)
    assert low < best.params < high
    for size in (low, high):
        tokens = float(four.tokens_for(SARDANA, size, plan.target_loss))
        assert float(problem.cost.value({"params": size, "tokens": tokens})) == pytest.approx(
            1.01 * total(plan), rel=1e-9
        )


def test_the_cheapest_precision_is_chosen_with_the_penalty_counted() -> None:
    listed = ["bf16", "int8", "fp4"]
    plan = solved(serving__precision=listed)
    alone = {name: total(solved(serving__precision=name)) for name in listed}
    assert plan.choice == min(alone, key=lambda name: alone[name]) == "int8"
    assert {row.label: row.total for row in plan.choices} == pytest.approx(alone, rel=1e-12)
    # Who counts no penalty takes the fastest.
    blind = {name: total(solved(serving__precision=name, quantisation=None)) for name in listed}
    assert min(blind, key=lambda name: blind[name]) == "fp4"


def test_by_month_the_penalty_goes_with_the_precision_of_the_replica() -> None:
    plan = solved(MONTHLY)
    assert {row.label for row in plan.choices} == {"b200-sxm bf16 x 1", "b200-sxm fp4 x 1"}
    by_label = {row.label: row for row in plan.choices}
    fine, coarse = by_label["b200-sxm bf16 x 1"], by_label["b200-sxm fp4 x 1"]
    free = solved(MONTHLY, quantisation=None)
    unpenalised = {row.label: row for row in free.choices}
    assert fine.total == pytest.approx(unpenalised[fine.label].total, rel=1e-9)
    assert coarse.total is not None
    assert coarse.total > 1.05 * (unpenalised[coarse.label].total or math.inf)
    # What 4 bits lose is made good by size.
    four = KUMAR.quantised(4.0)
    assert four is not None
    assert coarse.params is not None
    assert coarse.tokens is not None
    loss = float(four.loss(SARDANA, coarse.params, coarse.tokens))
    assert loss == pytest.approx(plan.target_loss, rel=1e-9)


def test_by_month_at_fixed_utilisations_precisions_are_a_choice_as_well() -> None:
    fixed = {"hardware": "b200-sxm", "price": 4, "prefill_mfu": "40%", "decode_mfu": "5%"}
    scenario = Scenario.from_dict(changed(MONTHLY, serving={**fixed, "precision": ["bf16", "fp8", "fp4"]}))
    plan = bc.solve(scenario)
    assert [row.label for row in plan.choices] == ["fp8", "bf16", "fp4"]
    assert total(plan) == pytest.approx(total(solved(MONTHLY, serving={**fixed, "precision": "fp8"})), rel=1e-9)
    chosen = scenario.chosen(plan.choice)
    assert chosen.file.serving is not None
    assert chosen.file.serving.precision == "fp8"


def test_a_precision_out_of_reach_is_a_row_with_its_reason() -> None:
    plan = solved(serving__precision=["int8", "fp4"], limits={"params": {"max": "12B"}})
    assert plan.choice == "int8"
    (row,) = [row for row in plan.choices if row.label == "fp4"]
    assert row.status == "infeasible"
    assert "params" in row.reason
    found = rounding(Scenario.from_dict(LIFE), Scenario.from_dict(LIFE).to_problem(), plan)
    assert [one.reason for one in found.precisions if one.precision == "fp4"] == [row.reason]


# What a page says


def test_what_rounding_costs() -> None:
    scenario = Scenario.from_dict(LIFE)
    plan = bc.solve(scenario)
    found = rounding(scenario, scenario.to_problem(), plan)
    assert (found.trained, found.served, found.bits) == ("bf16", "fp4", 4.0)
    # Blind to it: the plan of the same prices without constants, which then misses the target.
    free = solved(quantisation=None)
    assert found.blind is not None
    assert free.best is not None
    assert found.blind.total == pytest.approx(free.best.total, rel=1e-12)
    four = KUMAR.quantised(4.0)
    assert four is not None
    missed = float(four.loss(SARDANA, free.best.params, free.best.tokens)) - free.target_loss
    assert found.blind.missed_by == pytest.approx(missed, rel=1e-9)
    # Beside it serving as trained, which the scenario does not ask for.
    assert [row.precision for row in found.precisions] == ["fp4", "bf16"]
    assert found.precisions[1].total == pytest.approx(total(solved(serving__precision="bf16")), rel=1e-12)
    assert found.precisions[1].loss == 0.0


def test_the_page_in_plain_words() -> None:
    scenario = Scenario.from_dict(LIFE)
    (block,), record = parts(scenario, scenario.to_problem(), bc.solve(scenario))
    assert block.title == "Precision"
    text = " ".join(block.lines)
    assert "Rounding weights to 4 bits adds 0.0" in text
    assert "too fragile for 4 bits, that misses the target by 0.0" in text
    assert "tokens on, training this size for longer would raise the loss as served." in text
    assert record["quantisation"]["precisions"][0]["precision"] == "fp4"
    assert json.loads(json.dumps(record))["quantisation"]["blind"]["missed_by"] > 0.01


def test_the_best_loss_of_a_budget_is_that_of_the_model_as_served() -> None:
    tree = changed(LIFE, target=None, objective="loss", limits={"total_cost": {"max": "1M USD"}})
    scenario = Scenario.from_dict(tree)
    plan = bc.solve(scenario)
    best, four = plan.best, KUMAR.quantised(4.0)
    assert best is not None
    assert four is not None
    assert best.total == pytest.approx(1e6, rel=1e-9)
    assert best.loss == pytest.approx(float(four.loss(SARDANA, best.params, best.tokens)), rel=1e-9)
    assert best.loss > loss_of_the_blind(tree)
    (block,), record = parts(scenario, scenario.to_problem(), plan)
    assert record["quantisation"]["blind"] is None
    assert block.heads[5] == "loss"
    assert any(line.startswith("Served in bf16, as it is trained, the same money buys loss 1.") for line in block.lines)


def loss_of_the_blind(tree: dict[str, Any]) -> float:
    """Return the loss of the same budget where rounding costs nothing."""
    best = solved(tree, quantisation=None).best
    assert best is not None
    return best.loss


def test_a_page_of_what_is_served_as_trained_says_so() -> None:
    scenario = Scenario.from_dict(changed(LIFE, serving__precision=["bf16"]))
    (block,), _ = parts(scenario, scenario.to_problem(), bc.solve(scenario))
    assert block.lines == ["Trained in bf16 and served in bf16: nothing is rounded, and nothing lost."]


def test_a_page_says_what_training_in_few_bits_costs() -> None:
    """Table 2 of Kumar et al. 2024: (1 - e^(-P/2.6745)) (1 - e^(-P/2.2102)) is .6489 at 4 bits, .9968 at 16."""
    tree = changed(LIFE, training__precision="fp4", training__hardware="b200-sxm", serving__precision="fp4")
    scenario = Scenario.from_dict(tree)
    (block,), _ = parts(scenario, scenario.to_problem(), bc.solve(scenario))
    assert block.lines == [
        "Trained in fp4, each parameter counts for 65.1% of one.",
        "Trained in fp4 and served in fp4: nothing is rounded after training.",
    ]


def test_the_command_shows_choices_and_penalty(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(changed(LIFE, serving__precision=["int8", "fp4"])), encoding="utf-8")
    page = CliRunner().invoke(cli, [str(path)])
    assert page.exit_code == 0, page.output
    assert "Precision\nserved in" in page.stdout
    assert "This model is too fragile for 4 bits: served in fp4 it would lose 0.0" in " ".join(page.stdout.split())


@pytest.mark.parametrize(
    ("label", "expected"), [("int8", "int8"), ("8 experts, fp4", "fp4"), ("h200-sxm bf16 x 2", "bf16"), ("", None)]
)
def test_the_precision_of_a_label(label: str, expected: str | None) -> None:
    assert precision_of(label) == expected


# Mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"quantisation": "kumar2024"},
            "quantisation: no law of precision named 'kumar2024'; did you mean 'kumar-2024'?",
        ),
        ({"quantisation": {**INLINE, "C_T": 0}}, "quantisation.C_T: 0 must be above zero; write it like 0.0598"),
        ({"quantisation": {**INLINE, "gamma": 1}}, "quantisation.gamma: unknown key; did you mean 'gamma_"),
        ({"quantisation": {"C_T": 0.06, "gamma_D": 0.5, "gamma_N": 0.3}}, "quantisation: gamma_post is missing"),
        (
            {"quantisation": INLINE, "training__precision": "fp8"},
            "quantisation: training in 8 bits needs gamma_w; give it, or train in 16 bits",
        ),
        ({"serving__precision": ["fp4", "fp4"]}, "serving: precision lists one twice"),
        ({"serving__precision": ["fp4", "int4"]}, "serving: b200-sxm has no int4 peak; leave it out of precision"),
        (
            {"serving__precision": ["fp8", "fp4"], "quantisation": None},
            "serving: precision lists 2; one alone goes with prefill_mfu and decode_mfu (leave both out to choose), or",
        ),
        (
            {"serving__precision": ["fp8", "fp4"], "start_from": {"params": "7B", "tokens": "1T"}},
            "serving.precision: lists several for quantisation to choose from, which start_from does not do; give one",
        ),
        ({"law": "kaplan-2020"}, "law kaplan-2020: precision moves the terms of E + A N^-alpha + B D^-beta"),
    ],
)
def test_every_mistake_is_told(changes: dict[str, Any], message: str) -> None:
    assert mistake(**changes).startswith(message)


def test_constants_without_bits_have_no_effect() -> None:
    flops = {"law": "sardana-2024", "target": {"chinchilla": "13B"}, "demand": {"tokens": "2T"}, "objective": "flops"}
    assert mistake(flops, name="test", quantisation="kumar-2024") == (
        "quantisation: needs training.precision and serving.precision: which bits are meant"
    )


def test_the_constants_come_back_from_the_dictionary() -> None:
    for stated in ("kumar-2024", {**INLINE, "gamma_w": 2.7, "C_w": 1.1}):
        scenario = Scenario.from_dict(changed(LIFE, quantisation=stated))
        assert scenario.to_dict()["quantisation"] == stated
        assert Scenario.from_dict(scenario.to_dict()).file == scenario.file
