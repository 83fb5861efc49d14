"""Limited data in a scenario: plans against brute force, what new tokens are worth, licences, limits and bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import run
from trees import changed

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.past.data import limited_data, with_unique_tokens
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.repetition import Repetition, published
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report import blocks
from beyond_chinchilla.report.assumptions import assumptions
from beyond_chinchilla.report.past.data import parts
from beyond_chinchilla.scenario.load import Scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
LAW = bc.law("muennighoff-2023")
FLOPS: dict[str, Any] = {
    "name": "test",
    "law": "muennighoff-2023",
    "target": {"chinchilla": "7B"},
    "demand": {"tokens": "1T"},
    "objective": "flops",
    "data": {"unique_tokens": "50B"},
}
COST: dict[str, Any] = {
    "name": "test",
    "law": "muennighoff-2023",
    "target": {"chinchilla": "30B"},
    "demand": {"requests": "30B", "input_tokens": 100, "output_tokens": 200},
    "training": {"hardware": "h100-sxm", "precision": "bf16", "mfu": "40%", "price": 2},
    "serving": {"hardware": "h100-sxm", "precision": "fp8", "prefill_mfu": "50%", "decode_mfu": "20%", "price": 2},
    "data": {"unique_tokens": "300B"},
}


def solved(tree: dict[str, Any], **changes: Any) -> Plan:
    plan = bc.solve(Scenario.from_dict(changed(tree, **changes)))
    assert plan.best is not None, plan.warnings
    return plan


def figures(plan: Plan) -> dict[str, float]:
    (effect,) = plan.effects
    return dict(effect.figures)


def total(plan: Plan) -> float:
    assert plan.best is not None
    return plan.best.total


def mistake(tree: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(changed(tree, **changes))
    (found,) = caught.value.mistakes
    return found.removeprefix("test: ")


def brute_force(law: LossLaw, repetition: Repetition, loss: float, inference: float) -> tuple[float, float, float]:
    """Return N, D and FLOPs of the best of many sizes."""
    N = np.exp(np.linspace(math.log(1e9), math.log(1e12), 100_001))
    D = repetition.tokens_for(law, N, loss)
    flops = 6 * N * D + 2 * N * inference
    best = int(np.nanargmin(flops))
    return float(N[best]), float(D[best]), float(flops[best])


# Plans


@pytest.mark.parametrize(("unique", "inference"), [(50e9, 1e12), (20e9, 1e11), (200e9, 1e13)])
def test_a_plan_is_the_best_of_all_sizes(unique: float, inference: float) -> None:
    plan = solved(FLOPS, demand={"tokens": inference}, data={"unique_tokens": unique})
    N, D, flops = brute_force(LAW, published("muennighoff-2023", unique_tokens=unique), plan.target_loss, inference)
    assert plan.best is not None
    assert plan.best.params == pytest.approx(N, rel=2e-4)
    assert plan.best.tokens == pytest.approx(D, rel=1e-3)
    assert flops * (1 - 1e-7) < total(plan) <= flops * (1 + 1e-12)
    assert figures(plan)["epochs"] == pytest.approx(D / unique, rel=1e-3)


def test_the_shipped_case_is_the_best_of_all_sizes() -> None:
    # 30B quality, 10T tokens, 1.5T of them unique
    plan = bc.solve(bc.load(SCENARIOS / "limited-data.yaml"))
    law, repetition = bc.law("sardana-2024"), published("muennighoff-2023", unique_tokens=1.5e12)
    N, D, flops = brute_force(law, repetition, plan.target_loss, 1e13)
    assert plan.best is not None
    assert (plan.best.params, plan.best.tokens) == pytest.approx((N, D), rel=3e-4)
    assert flops * (1 - 1e-7) < total(plan) <= flops * (1 + 1e-12)
    # Against unlimited data: a larger model on fewer tokens, 2.2% dearer.
    free = bc.solve(bc.load(SCENARIOS / "flops-30B-10T-tokens.yaml"))
    assert free.best is not None
    assert plan.best.params > 1.05 * free.best.params
    assert plan.best.tokens < free.best.tokens
    assert total(plan) / total(free) == pytest.approx(1.0227, abs=5e-5)


def test_enough_data_is_no_limit() -> None:
    plan, free = solved(FLOPS, data={"unique_tokens": "100T"}), solved(FLOPS, data=None)
    assert total(plan) == pytest.approx(total(free), rel=1e-12)
    assert figures(plan)["effective_tokens"] == pytest.approx(plan.best.tokens, rel=1e-12)  # type: ignore[union-attr]


def test_constants_of_ones_own_and_of_a_file(tmp_path: Path) -> None:
    named = solved(FLOPS)
    written = solved(FLOPS, data={"unique_tokens": "50B", "repetition": {"R_D": 15.387756, "R_N": 5.309743}})
    assert total(written) == total(named)
    record = {
        "repetition": {"R_D": 4.5, "R_N": 5.3, "most_epochs": 5.0, "name": "ours"},
        "base_law": {"name": "sardana-2024"},
        "verdict": {"word": "usable"},
    }
    (tmp_path / "ours.json").write_text(json.dumps(record))
    tree = changed(FLOPS, data={"unique_tokens": "50B", "repetition": "ours.json"})
    fitted = bc.solve(Scenario.from_dict(tree, folder=tmp_path))
    assert total(fitted) > total(named)
    notes = " ".join(fitted.warnings)
    assert "the fit of repetition ours calls itself 'usable'" in notes
    assert "were fitted with law sardana-2024 and its data, not with muennighoff-2023" in notes
    assert "the most fitted (5.00)" in notes
    # What was read stands in its place: no file is needed any more.
    again = Scenario.from_dict(Scenario.from_dict(tree, folder=tmp_path).to_dict())
    assert total(bc.solve(again)) == pytest.approx(total(fitted), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "has no R_D and R_N; give what 'bc-opt fit RUNS --repetition -o FILE' writes"),
        ("not json", "not JSON"),
        ('{"repetition": {"R_D": -1, "R_N": 5}}', "-1 must be above zero"),
    ],
)
def test_a_file_that_is_no_fit(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "ours.json").write_text(text)
    with pytest.raises(ScenarioError, match=words):
        Scenario.from_dict(changed(FLOPS, data={"unique_tokens": "50B", "repetition": "ours.json"}), folder=tmp_path)


def test_a_missing_file_and_one_elsewhere(tmp_path: Path) -> None:
    for name, words in (("none.json", "cannot be read"), ("../ours.json", "lies outside the scenario's folder")):
        with pytest.raises(ScenarioError, match=words):
            Scenario.from_dict(changed(FLOPS, data={"unique_tokens": "50B", "repetition": name}), folder=tmp_path)


# What new tokens are worth


def problem_and_plan(tree: dict[str, Any], **changes: Any) -> tuple[Any, Plan]:
    problem = Scenario.from_dict(changed(tree, **changes)).to_problem()
    return problem, bc.solve(problem)


@pytest.mark.parametrize("limits", [None, {"epochs": {"max": 3}}, {"params": {"max": "10B"}}])
def test_the_worth_of_new_tokens_is_what_more_of_them_save(limits: dict[str, Any] | None) -> None:
    problem, plan = problem_and_plan(COST, **({} if limits is None else {"limits": limits}))
    found = limited_data(problem, plan)
    step = 1e-4 * found.unique_tokens
    more, fewer = (bc.solve(with_unique_tokens(problem, found.unique_tokens + way * step)) for way in (1, -1))
    assert found.worth_per_million == pytest.approx((total(fewer) - total(more)) / (2 * step) * 1e6, rel=1e-3)


def test_buying_stops_where_new_tokens_are_worth_their_price() -> None:
    problem, plan = problem_and_plan(COST, data={"unique_tokens": "100B"})
    worth = limited_data(problem, plan).worth_per_million
    found = limited_data(problem, plan, price=0.3 * worth).purchase
    assert found is not None
    there = with_unique_tokens(problem, found.unique_tokens)
    at = bc.solve(there)
    assert limited_data(there, at).worth_per_million == pytest.approx(0.3 * worth, rel=1e-3)
    assert found.unique_tokens > 1e11

    def net(unique: float) -> float:
        return total(bc.solve(with_unique_tokens(problem, unique))) + 0.3 * worth * unique / 1e6

    assert net(found.unique_tokens) < min(net(0.9 * found.unique_tokens), net(1.1 * found.unique_tokens))
    assert found.saved == pytest.approx(net(1e11) - net(found.unique_tokens), rel=1e-6)
    none = limited_data(problem, plan, price=1.01 * worth).purchase
    assert none is not None
    assert (none.unique_tokens, none.saved) == (1e11, 0.0)


def test_nothing_is_worth_more_tokens_where_none_is_repeated() -> None:
    problem, plan = problem_and_plan(COST, data={"unique_tokens": "100T"})
    found = limited_data(problem, plan, price=1e-6)
    assert found.worth_per_million == 0.0
    assert found.purchase is not None
    assert found.purchase.unique_tokens == 1e14


def test_the_least_loss_for_a_budget() -> None:
    tree = changed(COST, target=None, objective="loss", limits={"total_cost": {"max": "500k USD"}})
    tree = changed(tree, data={"unique_tokens": "100B"})
    problem, plan = problem_and_plan(tree)
    assert plan.best is not None
    found = limited_data(problem, plan, price=1.0)
    repetition = published("muennighoff-2023", unique_tokens=1e11)
    assert plan.best.loss == pytest.approx(float(repetition.loss(LAW, plan.best.params, plan.best.tokens)), rel=1e-9)
    # Of all models for the money, the best.
    N = np.exp(np.linspace(math.log(5e9), math.log(5e10), 5_001))
    rates = {term.label: float(term.coefficient) for term in problem.cost.terms}  # type: ignore[arg-type]
    D = (5e5 - N * (rates["prefill"] + rates["decode"])) / (N * rates["training"])
    loss = repetition.loss(LAW, N[D > 0], D[D > 0])
    assert plan.best.loss == pytest.approx(float(loss.min()), rel=1e-8)
    assert found.all_new is not None
    assert found.all_new.loss < plan.best.loss
    assert found.purchase is None
    more = bc.solve(with_unique_tokens(problem, 1.001e11))
    assert found.worth_per_million * 1e2 == pytest.approx(plan.best.loss - more.best.loss, rel=2e-3)  # type: ignore[union-attr]


# What data costs


def test_a_licence_pays_for_unique_tokens_and_not_for_repeats() -> None:
    paid = changed(COST, training={**COST["training"], "data_cost": "0.10 USD per million tokens"})
    plan = solved(paid)
    free = solved(COST)
    # The optimum repeats: 300B tokens at $0.10 a million, whatever is trained.
    assert plan.best is not None
    assert plan.best.terms["data"] == pytest.approx(3e4, rel=1e-12)
    assert total(plan) == pytest.approx(total(free) + 3e4, rel=1e-9)
    assert plan.choice == "all unique tokens"
    assert [row.label for row in plan.choices] == ["all unique tokens", "tokens seen once"]
    dear = solved(changed(paid, data={"unique_tokens": "300B", "licence": "trained"}))
    assert dear.best is not None
    assert dear.best.terms["data"] == pytest.approx(dear.best.tokens * 1e-7, rel=1e-12)
    assert total(dear) > total(plan)


def test_of_much_data_only_what_is_used_is_paid() -> None:
    paid = changed(COST, training={**COST["training"], "data_cost": 1.0}, data={"unique_tokens": "3T"})
    plan = solved(paid)
    assert plan.best is not None
    assert plan.choice == "tokens seen once"
    assert plan.best.tokens < 3e12
    assert plan.best.terms["data"] == pytest.approx(plan.best.tokens * 1e-6, rel=1e-12)
    # As if data were without end.
    assert total(plan) == pytest.approx(total(solved(changed(paid, data=None))), rel=1e-9)
    whole = solved(changed(paid, data={"unique_tokens": "3T", "licence": "all"}))
    assert whole.best is not None
    assert whole.best.terms["data"] == pytest.approx(3e6, rel=1e-12)
    assert total(whole) > total(plan)


def test_a_limit_on_epochs() -> None:
    plan = solved(COST, limits={"epochs": {"max": 4}})
    assert figures(plan)["epochs"] == pytest.approx(4.0, rel=1e-9)
    (row,) = plan.limits
    assert (row.label, row.binding, row.price_unit) == ("epochs", True, "USD per epoch")
    less = solved(COST, limits={"epochs": {"max": 3.999}})
    assert row.shadow_price == pytest.approx((total(less) - total(plan)) / 0.001, rel=1e-3)
    (block,) = blocks.limits(plan)
    assert any(line.startswith("One more epoch is worth $") for line in block.lines)


def test_by_month_data_is_paid_once() -> None:
    tree = changed(
        COST,
        demand={"requests": "30B", "input_tokens": 100, "output_tokens": 200, "months": 12},
        training={**COST["training"], "data_cost": 0.1},
        data={"unique_tokens": "300B", "licence": "all"},
    )
    plan = solved(tree)
    assert plan.best is not None
    assert plan.best.terms["data"] == pytest.approx(3e4, rel=1e-12)
    assert figures(plan)["epochs"] > 2.0


# Pages


def page_of(tree: dict[str, Any], **changes: Any) -> str:
    scenario = Scenario.from_dict(changed(tree, **changes))
    plan = bc.solve(scenario)
    found, record = parts(scenario, scenario.chosen(plan.choice).to_problem(), plan)
    assert set(record) == {"data"}
    (block,) = found
    return " ".join([*(" ".join(row) for row in block.cells), *block.lines])


def test_a_page_says_what_repeats_are_worth() -> None:
    words = page_of(COST, data={"unique_tokens": "100B", "price": "0.5 USD per million tokens"})
    assert "epochs of 100B unique ones, worth" in words
    assert "unique tokens none would be repeated" in words
    assert "Buying new tokens pays below $" in words
    assert "At $0.500 per million it pays up to" in words
    assert "At $99.0 per million it does not pay." in page_of(COST, data={"unique_tokens": "100B", "price": 99})
    assert "no token is seen twice" in page_of(COST, data={"unique_tokens": "100T"})
    # In compute alone there is no price.
    assert "A billion new unique tokens would save" in page_of(FLOPS)
    # Without a price, that of the data that there is.
    paid = {**COST["training"], "data_cost": 0.1}
    assert "At $0.100 per million it pays up to" in page_of(COST, training=paid)


def test_a_page_says_what_more_data_is_worth_to_who_repeats_none() -> None:
    """A limit of one epoch binds: the elasticity of the unique tokens is not that of tokens without end."""
    once = {"limits": {"epochs": {"max": 1}}}
    words = page_of(FLOPS, **once, data={"unique_tokens": "150B"})
    assert "no token is seen twice. A billion new unique tokens would save" in words
    words = page_of(COST, **once, data={"unique_tokens": "800B", "price": 99})
    assert "no token is seen twice. Buying new tokens pays below $" in words
    assert "repeated" not in words
    assert "no token is seen twice, and more would save nothing." in page_of(FLOPS, data={"unique_tokens": "100T"})
    # By finite differences, a limit of one epoch included.
    problem = Scenario.from_dict(changed(FLOPS, **once, data={"unique_tokens": "150B"})).to_problem()
    plan = bc.solve(problem)
    more = bc.solve(with_unique_tokens(problem, 150.001e9))
    worth = limited_data(problem, plan).worth_per_million
    assert worth == pytest.approx(total(plan) - total(more), rel=1e-3)


def test_json_and_assumptions_carry_the_figures(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(changed(COST, data={"unique_tokens": "300B", "price": 1})))
    record = json.loads(run(str(path), "--format", "json").stdout)
    assert record["effects"]["repetition"]["epochs"] == pytest.approx(record["data"]["epochs"])
    assert record["effects"]["repetition"]["elasticities"]["unique_tokens"] < 0
    assert record["data"]["purchase"]["price"] == 1.0
    scenario = bc.load(path)
    table = [" | ".join(row) for row in assumptions(scenario, bc.solve(scenario)).cells]
    assert any("R_D 15.39, R_N 5.31" in row and "2305.16264" in row for row in table)


def test_more_epochs_than_the_law_has_seen() -> None:
    plan = solved(COST, data={"unique_tokens": "63B"})
    assert figures(plan)["epochs"] > 44
    assert any("measured losses rose again within 44" in note for note in plan.warnings)
    seen = {"R_D": 15.4, "R_N": 5.3, "most_epochs": 4}
    plan = solved(COST, data={"unique_tokens": "300B", "repetition": seen})
    assert any("the most fitted (4.00)" in note for note in plan.warnings)


# Bad input


def test_a_target_that_no_number_of_passes_reaches() -> None:
    words = mistake(COST, data={"unique_tokens": "60B"})
    assert words.startswith("target.chinchilla: asks for loss 2.0795, and 60B unique tokens reach 2.0797 at best")
    assert words.endswith("more than 60.2B can reach it")
    # Just beyond the edge there is a plan, of many passes.
    plan = solved(COST, data={"unique_tokens": "60.5B"})
    assert plan.best is not None
    assert plan.duality_gap < 1e-8
    assert figures(plan)["epochs"] > 60
    assert "2.1794 at best" in mistake(COST, target={"loss": 2.1}, data={"unique_tokens": "20B"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "unique_tokens is missing; write it like unique_tokens: 1.5T"),
        ({"unique_tokens": 0}, "0 must be above zero"),
        ({"unique_tokens": "many"}, "data.unique_tokens"),
        ({"unique_tokens": {"median": "1T", "p90": "2T"}}, "data.unique_tokens"),
        ({"unique_tokens": "1T", "repetition": "muenighoff"}, "did you mean 'muennighoff-2023'"),
        ({"unique_tokens": "1T", "repetition": {"R_D": 5}}, "R_N is missing"),
        ({"unique_tokens": "1T", "repetition": {"R_D": -5, "R_N": 5}}, "-5 must be above zero"),
        ({"unique_tokens": "1T", "epochs": 4}, "unknown key"),
        ({"unique_tokens": "1T", "licence": "none"}, "data.licence"),
        ({"unique_tokens": "1T", "licence": "all"}, "give that, or leave licence out"),
    ],
)
def test_a_section_that_says_nothing(data: dict[str, Any], words: str) -> None:
    assert words in mistake(COST, data=data)


def test_what_does_not_go_together() -> None:
    assert "law kaplan-2020 is not" in mistake(FLOPS, law="kaplan-2020", target={"chinchilla": "1B"})
    assert "data.price: has no effect with objective flops" in mistake(FLOPS, data={"unique_tokens": "1T", "price": 1})
    assert "start_from: does not go with data" in mistake(FLOPS, start_from={"params": "7B", "tokens": "1T"})
    assert "limits.epochs: needs data.unique_tokens" in mistake(COST, data=None, limits={"epochs": {"max": 4}})
    tree = changed(COST, target=None, objective="loss", limits={"total_cost": {"max": "5M USD"}})
    training = {**COST["training"], "data_cost": 1}
    assert "data: needs licence: all or licence: trained" in mistake(tree, training=training)


def test_a_limit_on_epochs_counts_by_the_tokens_that_there_are() -> None:
    problem, plan = problem_and_plan(COST, limits={"epochs": {"max": 5}})
    same = with_unique_tokens(problem, 3e11)
    assert total(bc.solve(same)) == pytest.approx(total(plan), rel=1e-12)
    other = with_unique_tokens(problem, 4e11)
    stated = solved(COST, limits={"epochs": {"max": 5}}, data={"unique_tokens": "400B"})
    assert total(bc.solve(other)) == pytest.approx(total(stated), rel=1e-12)
