"""A scenario that thinks: samples and reasoning tokens in the plan, their bill, what they replace, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import costly, floats, log_floats

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.past.thinking import BreakEven, at, thought
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.laws.thinking import Thinking, matched_samples
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.report.past.thinking import parts
from beyond_chinchilla.scenario.load import Scenario

LAW = {"E": 0.15, "A": 60.0, "alpha": 0.3, "B": 150.0, "beta": 0.28}
REQUESTS = {"requests": 1e9, "input_tokens": 900, "output_tokens": 400}
HIRED = {"hardware": "h100-sxm", "price": 2.5}
TRAINING = {**HIRED, "precision": "bf16", "mfu": 0.4}
SERVING = {**HIRED, "precision": "fp8", "prefill_mfu": 0.5, "decode_mfu": 0.1}
CONSTANTS = {"G": 0.02, "g": 0.3}


def scenario(thinking: Any = None, **changes: Any) -> Scenario:
    """Return a scenario that draws up to 64 samples, with sections changed."""
    tree: dict[str, Any] = {
        "name": "thinks",
        "law": LAW,
        "target": {"chinchilla": 30e9},
        "demand": REQUESTS,
        "training": TRAINING,
        "serving": SERVING,
        "thinking": {**CONSTANTS, **({"samples": {"max": 64}} if thinking is None else thinking)},
        **changes,
    }
    return Scenario.from_dict({key: value for key, value in tree.items() if value is not None})


def total(found: Any) -> float:
    """Return what a plan costs."""
    assert found.best is not None
    return float(found.best.total)


def by_brute_force(k: float, *, shared: bool = True, requests: float = 1e9) -> float:
    """Return the least cost at k samples, by trying sizes: the scenario's bill and law written out once more [USD]."""
    law = bc.LossLaw(**LAW)
    target = float(law.compute_optimal(params=30e9).loss) + 0.02
    N = np.geomspace(2e9, 2e11, 40_001)
    D = law.tokens_for(N, target - 0.02 * k**-0.3)
    # 989.4 and 1978.9 TFLOP/s dense, by the catalogue's row
    trained, served = (accelerator("h100-sxm").peak[name] for name in ("bf16", "fp8"))
    training = 6.0 * N * D * 2.5 / (3600.0 * trained * 0.4)
    prefill = 2.0 * N * 900 * requests * (1.0 if shared else k) * 2.5 / (3600.0 * served * 0.5)
    decode = 2.0 * N * 400 * requests * k * 2.5 / (3600.0 * served * 0.1)
    return float(np.nanmin(training + prefill + decode))


# The plan


@pytest.mark.parametrize("shared", [True, False])
def test_the_plan_is_the_best_of_all_numbers_and_sizes(shared: bool) -> None:
    plan = bc.solve(scenario({"samples": {"max": 64}, "shared_prefill": shared}))
    costs = {k: by_brute_force(float(k), shared=shared) for k in range(1, 65)}
    best = min(costs, key=lambda k: costs[k])
    assert plan.effects[0].figures["samples"] == best
    assert total(plan) == pytest.approx(costs[best], rel=1e-8)


@costly
@given(
    floats(0.1, 1.5),
    log_floats(1e-3, 0.3),
    log_floats(1e7, 1e11),
    st.sampled_from([{"samples": {"max": 64}}, {"reasoning_tokens": {"min": 100, "max": 8000}}]),
)
def test_three_solvers_agree(g: float, G: float, requests: float, way: dict[str, Any]) -> None:
    asked = scenario({**way, "G": G, "g": g}, demand={**REQUESTS, "requests": requests}).to_problem()
    costs = [total(solve(asked, method)) for method in ("universal", "elementwise", "gp")]
    assert costs[1:] == pytest.approx([costs[0]] * 2, rel=1e-7)


@pytest.mark.parametrize(
    "beside",
    [
        {"data": {"unique_tokens": 1e12}},
        {"quantisation": "kumar-2024", "serving": {**SERVING, "precision": "int8"}},
        {"shape": {"epsilon": 1e-3, "gamma": 0.6, "aspect": {"min": 32, "max": 256}}},
    ],
    ids=["data", "quantisation", "shape"],
)
def test_solvers_agree_where_another_law_holds_as_well(beside: dict[str, Any]) -> None:
    asked = scenario(**beside)
    plans = [bc.solve(asked, method) for method in ("auto", "elementwise", "gp")]
    assert [total(plan) for plan in plans[1:]] == pytest.approx([total(plans[0])] * 2, rel=1e-7)
    drawn = {effect.figures["samples"] for plan in plans for effect in plan.effects if effect.kind == "thinking"}
    assert len(drawn) == 1
    # The number itself is no worse than its neighbours.
    k = drawn.pop()
    held = [total(bc.solve(at(asked, each))) for each in (k - 1, k, k + 1)]
    assert held[1] == pytest.approx(total(plans[0]), rel=1e-7)
    assert held[1] <= min(held)


def test_universal_and_elementwise_agree_on_a_plan_with_a_limit() -> None:
    limited = scenario(limits={"serving_cost": {"max": 100e3}})
    costs = [total(bc.solve(limited, method)) for method in ("elementwise", "gp", "auto")]
    assert costs[1:] == pytest.approx([costs[0]] * 2, rel=1e-7)
    plan = bc.solve(limited)
    assert sum(value for label, value in plan.best.terms.items() if label != "training") == pytest.approx(
        100e3, rel=1e-9
    )
    assert total(plan) > total(bc.solve(scenario()))


def test_one_sample_is_the_plan_without_thinking() -> None:
    held = bc.solve(scenario({"samples": 1}))
    plain = scenario(thinking={"samples": 1}).to_problem()
    law, once = replace(plain.law, E=plain.law.E + 0.02), {"samples": 1.0}
    without = solve(replace(plain, law=law, levers=(), cost=plain.cost.hold(once), flops=plain.flops.hold(once)))
    assert total(held) == pytest.approx(total(without), rel=1e-12)


def test_a_target_by_size_means_a_model_that_answers_once() -> None:
    plan = bc.solve(scenario())
    law = bc.LossLaw(**LAW)
    once = Thinking(G=0.02, g=0.3).held(law, 1.0)
    assert plan.target_loss == pytest.approx(float(once.loss(30e9, law.compute_optimal(params=30e9).tokens)), rel=1e-12)
    assert plan.baseline.params == pytest.approx(30e9, rel=1e-9)


def test_listed_numbers_are_choices_and_the_cheapest_wins() -> None:
    plan = bc.solve(scenario({"samples": [1, 4, 16]}))
    alone = {k: total(bc.solve(scenario({"samples": k}))) for k in (1, 4, 16)}
    assert {row.label: row.total for row in plan.choices} == pytest.approx(
        {"1 sample": alone[1], "4 samples": alone[4], "16 samples": alone[16]}, rel=1e-9
    )
    assert plan.choice == "4 samples"
    assert total(plan) == pytest.approx(min(alone.values()), rel=1e-12)


def test_a_held_number_of_samples_multiplies_what_is_written() -> None:
    one, eight = (bc.solve(scenario({"samples": k}, limits={"params": {"min": 12e9, "max": 12e9}})) for k in (1, 8))
    assert eight.best.terms["decode"] == pytest.approx(8.0 * one.best.terms["decode"], rel=1e-9)
    assert eight.best.terms["prefill"] == pytest.approx(one.best.terms["prefill"], rel=1e-9)


def test_flops_count_every_sample() -> None:
    plan = bc.solve(scenario(objective="flops", training=None, serving=None))
    k = plan.effects[0].figures["samples"]
    served = 2.0 * plan.best.params * 1e9 * (900 + 400 * k)
    assert plan.best.inference_flops == pytest.approx(served, rel=1e-12)
    assert total(plan) == pytest.approx(6.0 * plan.best.params * plan.best.tokens + served, rel=1e-12)


def test_reasoning_tokens_are_written_beside_the_output() -> None:
    held = bc.solve(scenario({"reasoning_tokens": 2000, "baseline": 100}))
    k = 2000.0
    assert held.best.terms["reasoning"] == pytest.approx(held.best.terms["decode"] * k / 400.0, rel=1e-12)
    # As if demand had stated them, under the law that they leave.
    law = Thinking(G=0.02, g=0.3).held(bc.LossLaw(**LAW), k)
    same = scenario(
        {"samples": 1, "G": 1e-18},
        law={**LAW, "E": law.E},
        target={"loss": held.target_loss},
        demand={**REQUESTS, "reasoning_tokens": k},
    )
    assert total(held) == pytest.approx(total(bc.solve(same)), rel=1e-9)


def test_the_best_loss_for_a_budget_thinks_too() -> None:
    asked = {"objective": "loss", "target": None, "limits": {"total_cost": {"max": 500e3}}}
    free, once = (bc.solve(scenario(way, **asked)) for way in ({"samples": {"max": 16}}, {"samples": 1}))
    # No model of the budget is better at any number of samples: both written out once more.
    law = bc.LossLaw(**LAW)
    N, k = np.geomspace(2e9, 2e11, 20_001), np.arange(1.0, 17.0)[:, None]
    trained, served = (accelerator("h100-sxm").peak[name] for name in ("bf16", "fp8"))
    serving = 2e9 * N * (900 / 0.5 + 400 * k / 0.1) * 2.5 / (3600.0 * served)
    D = np.maximum(500e3 - serving, 1.0) / (6.0 * N * 2.5 / (3600.0 * trained * 0.4))
    losses = law.loss(N, D) + 0.02 * k**-0.3
    assert free.best.loss == pytest.approx(losses.min(), rel=1e-6)
    assert once.best.loss == pytest.approx(losses[0].min(), rel=1e-6)
    assert free.best.loss < once.best.loss
    assert free.method


# By month


def test_by_month_the_bill_is_that_of_the_life() -> None:
    monthly = bc.solve(scenario({"samples": [1, 4]}, demand={**REQUESTS, "months": 24}))
    life = bc.solve(scenario({"samples": 4}))
    assert monthly.choice == "4 samples"
    terms = {label: monthly.best.terms[label] for label in ("training", "prefill", "decode")}
    assert terms == pytest.approx(dict(life.best.terms), rel=1e-6)


def test_by_month_samples_fill_batches_and_leave_contexts_as_they_are() -> None:
    serving = {"hardware": "h100-sxm", "precision": "fp8", "price": 2.5, "gpus_per_replica": 2}
    by_month = {**REQUESTS, "months": 24}
    for shared, read in ((True, 1.0), (False, 4.0)):
        asked = scenario({"samples": 4, "shared_prefill": shared}, demand=by_month, serving=serving)
        once = at(asked, 1.0)
        (_, four), (_, one) = (each.services()[0] for each in (asked, once))
        assert four.use == one.use
        assert four.fleet.decode_tokens == pytest.approx(4.0 * one.fleet.decode_tokens)
        assert four.fleet.prefill_tokens == pytest.approx(read * one.fleet.prefill_tokens)


def test_by_month_reasoning_lengthens_contexts() -> None:
    serving = {"hardware": "h100-sxm", "precision": "fp8", "price": 2.5, "gpus_per_replica": 2}
    asked = scenario({"reasoning_tokens": 1000}, demand={**REQUESTS, "months": 24}, serving=serving)
    same = scenario({"samples": 1}, demand={**REQUESTS, "months": 24, "reasoning_tokens": 1000}, serving=serving)
    (_, ours), (_, theirs) = (each.services()[0] for each in (asked, same))
    assert ours.use == theirs.use
    assert ours.fleet.decode_tokens == pytest.approx(theirs.fleet.decode_tokens, rel=1e-12)


# What it costs and replaces


def told(asked: Scenario) -> Any:
    """Return what the page tells of thinking."""
    plan = bc.solve(asked)
    chosen = asked.chosen(plan.choice)
    return thought(chosen, chosen.to_problem(), plan)


def test_what_thinking_costs_and_replaces() -> None:
    found, plan = told(scenario()), bc.solve(scenario())
    assert found.value == 5
    # Five samples of the output for one, at the plan's own size
    assert found.cost == pytest.approx(0.8 * plan.best.terms["decode"], rel=1e-12)
    assert found.without.total == pytest.approx(by_brute_force(1.0), rel=1e-8)
    assert [row.value for row in found.by_value] == [1, 2, 4, 5, 8, 16, 32, 64]
    for row in found.by_value:
        assert row.total == pytest.approx(by_brute_force(row.value), rel=1e-8)


def test_the_break_even_demand_is_where_both_cost_the_same() -> None:
    found = told(scenario()).break_even
    assert isinstance(found, BreakEven)
    requests = found.demand
    assert requests == pytest.approx(1.39e10, abs=5e7)
    for factor, cheaper in ((0.999, 2.0), (1.001, 1.0)):
        plan = bc.solve(scenario(demand={**REQUESTS, "requests": factor * requests}))
        assert plan.effects[0].figures["samples"] == cheaper
    two, one = (by_brute_force(k, requests=requests) for k in (2.0, 1.0))
    assert two == pytest.approx(one, rel=1e-8)


def test_a_held_number_has_its_own_break_even() -> None:
    found = told(scenario({"samples": 16})).break_even
    assert found is not None
    assert found.held == 16
    assert by_brute_force(16.0, requests=found.demand) == pytest.approx(
        by_brute_force(1.0, requests=found.demand), rel=1e-8
    )
    assert told(scenario({"samples": 1})).break_even is None


def test_by_month_the_break_even_is_that_of_the_life() -> None:
    # Without floors, discounts or peaks the months change nothing.
    monthly = told(scenario({"samples": 4}, demand={**REQUESTS, "months": 24}))
    life = told(scenario({"samples": 4}))
    assert monthly.break_even.demand == pytest.approx(life.break_even.demand, rel=1e-2)
    assert monthly.cost == pytest.approx(life.cost, rel=1e-6)
    assert monthly.by_value == ()


def test_snells_samples_pay_for_the_plan_that_answers_once() -> None:
    found, plan = told(scenario()), bc.solve(scenario())
    N, D = plan.best.params, plan.best.tokens
    ours = 6.0 * N * D + 2.0 * N * (9e11 + found.matched_samples * 4e11)
    theirs = 6.0 * found.without.params * found.without.tokens + 2.0 * found.without.params * 1.3e12
    assert ours == pytest.approx(theirs, rel=1e-12)
    # With a prompt read for each sample and equal data it is the formula as printed.
    assert float(matched_samples(14.0, 2e12, 2e12)) == pytest.approx(14.0 + 3.0 * 13.0)


def test_a_target_beyond_one_sample_says_so() -> None:
    asked = scenario(target={"loss": 0.169})
    plan = bc.solve(asked)
    (block,), record = parts(asked, asked.to_problem(), plan)
    assert record["thinking"]["without"]["total"] is None
    assert any("With one sample there is no plan: it leaves a loss of 0.17" in line for line in block.lines)
    assert block.cells[0][-1] == "out of reach"


def test_the_page_reads_well() -> None:
    asked = scenario()
    (block,), record = parts(asked, asked.to_problem(), bc.solve(asked))
    text = " ".join(block.lines)
    assert "With one sample the same quality needs 25.7B params on 4.07T tokens and costs 1.36x." in text
    assert "Thinking costs $162k of serving, and saves $483k elsewhere" in text
    assert "Several samples pay below 13.9B requests over the life; above that, one sample costs less." in text
    assert "would pay 25.1 samples of this one (Snell et al. 2024); 5 are drawn" in text
    json.dumps(record, allow_nan=False)


def test_at_a_large_demand_thinking_does_not_pay() -> None:
    asked = scenario(demand={**REQUESTS, "requests": 1e11})
    (block,), _ = parts(asked, asked.to_problem(), bc.solve(asked))
    assert "thinking does not pay: the plan answers with one sample" in block.lines[0]
    assert "pay below 13.9B requests" in block.lines[1]


def test_more_samples_than_the_fit_has_seen_are_told() -> None:
    plan = bc.solve(scenario({"samples": 16, "seen": [1, 8]}))
    assert any("16 samples per request is 2.00x the most fitted (8)" in line for line in plan.warnings)


# From a fit, and back


def test_constants_out_of_a_fit(tmp_path: Path) -> None:
    fit = {
        "law": LAW,
        "thinking": {**CONSTANTS, "variable": "samples", "seen": [1, 64], "name": "f", "verdict": "usable"},
    }
    (tmp_path / "fit.json").write_text(json.dumps(fit))
    tree = {**scenario().to_dict(), "law": "fit.json", "thinking": {"file": "fit.json", "samples": {"max": 64}}}
    asked = Scenario.from_dict(tree, folder=tmp_path)
    plan = bc.solve(asked)
    assert total(plan) == pytest.approx(total(bc.solve(scenario())), rel=1e-12)
    assert any("the fit of thinking f calls itself 'usable'" in line for line in plan.warnings)
    again = Scenario.from_dict(asked.to_dict())
    assert total(bc.solve(again)) == total(plan)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "has no G and g"),
        ("[1]", "has no G and g"),
        ('{"thinking": null}', "has no G and g"),
        ("not json", "not JSON"),
    ],
)
def test_files_that_are_no_fit(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "fit.json").write_text(text)
    tree = {**scenario().to_dict(), "thinking": {"file": "fit.json", "samples": 8}}
    with pytest.raises(ScenarioError, match=said) as caught:
        Scenario.from_dict(tree, folder=tmp_path)
    assert len(caught.value.mistakes) == 1


# Bad input


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"thinking": {"g": 0}}, "thinking.g: 0 must be above zero"),
        ({"thinking": {"g": None}}, "g missing: no constants of thinking are published; fit them"),
        ({"thinking": {"samples": {"max": 0}}}, "thinking.samples.max: 0 must be a whole number from 1"),
        ({"thinking": {"samples": {"min": 9, "max": 4}}}, "min 9 is above max 4"),
        ({"thinking": {"samples": 2.5}}, "thinking.samples: 2.5 must be a whole number"),
        ({"thinking": {"samples": [2, 2]}}, "lists a number twice"),
        ({"thinking": {"samples": []}}, "is an empty list"),
        ({"thinking": {"samples": None}}, "says not how much may be thought"),
        ({"thinking": {"reasoning_tokens": 100}}, "samples and reasoning_tokens are both given"),
        ({"thinking": {"samples": None, "reasoning_tokens": 0.5}}, "reasoning_tokens must be 1 at least"),
        ({"thinking": {"samples": None, "reasoning_tokens": {"min": 9, "max": 4}}}, "max 4 is below 9"),
        (
            {"thinking": {"samples": None, "reasoning_tokens": 8, "shared_prefill": True}},
            "shared_prefill has no effect",
        ),
        ({"thinking": {"samples": 8, "baseline": 2}}, "baseline is one sample"),
        ({"thinking": {"samples": 8, "variable": "reasoning_tokens"}}, "G and g were fitted to reasoning_tokens"),
        ({"thinking": {"G": {"median": 0.02, "p90": 0.1}}}, "thinking.G: expected a number, got a mapping"),
        ({"demand": {**REQUESTS, "months": 24}}, "write samples: [1, 4, 16, 64]"),
        ({"demand": {**REQUESTS, "output_tokens": 0}}, "an answer of no tokens costs nothing to repeat"),
        ({"target": {"loss": 0.15}}, "at or below the floor E = 0.15"),
        ({"target": {"loss": 0.155}}, "0.155 is at or below 0.1557, what E = 0.15 and 64 samples"),
        ({"law": "kaplan-2020"}, "which law kaplan-2020 is not"),
        ({"start_from": {"params": 7e9, "tokens": 1e12}}, "start_from: does not go with thinking"),
        (
            {
                "demand": {**REQUESTS, "reasoning_tokens": 9},
                "thinking": {"samples": None, "reasoning_tokens": {"max": 99}},
            },
            "demand.reasoning_tokens is given as well",
        ),
        (
            {"objective": "flops", "demand": {"tokens": 2e12}, "thinking": {"samples": 2, "shared_prefill": True}},
            "needs demand by requests",
        ),
        (
            {"objective": "flops", "demand": {"tokens": 2e12}, "thinking": {"samples": None, "reasoning_tokens": 2}},
            "adds to each request",
        ),
    ],
)
def test_slips_are_told_with_a_way_out(changes: dict[str, Any], said: str) -> None:
    tree = scenario().to_dict()
    own = {**tree["thinking"], **changes.pop("thinking", {})}
    tree |= {**changes, "thinking": {key: value for key, value in own.items() if value is not None}}
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(tree)
    assert said in "\n".join(caught.value.mistakes)


@pytest.mark.parametrize("other", ["shape=bian-2025", "quantisation=kumar-2024"])
def test_a_number_is_held_where_two_other_laws_are_searched(other: str):
    path = Path(__file__).parents[2] / "scenarios" / "thinking.yaml"
    with pytest.raises(ScenarioError, match=r"thinking\.samples: is not chosen beside data and .*write samples: 4"):
        bc.load(path, [other, "data.unique_tokens=500B"])
    bc.load(path, [other, "data.unique_tokens=500B", "thinking.samples=4"])
