"""Every limit that a scenario may state: its unit, what it bounds, and what a mistake is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml

import beyond_chinchilla as bc
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.optimise.limits import LimitRow
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.scenario.document import parse
from beyond_chinchilla.scenario.limits import Limits
from beyond_chinchilla.scenario.load import Scenario, check
from beyond_chinchilla.scenario.schema import json_schema

TEXT = """\
name: test
law: sardana-2024
target: {chinchilla: 30B}
demand:
  requests: 1B
  input_tokens: 70
  output_tokens: 215
training: {hardware: a100-80gb-sxm, precision: bf16, price: 1.50 USD/hour, mfu: 50%}
serving: {hardware: a100-40gb-sxm, precision: int8, price: 1.10 USD/hour, prefill_mfu: 50%, decode_mfu: 1%}
"""
# NVIDIA A100 data sheet: 312 TFLOP/s in bf16, 624 in int8; the 40 GB card reads 1,555 GB/s.
TRAINING_FLOPS_PER_SECOND = 312e12 * 0.5
SERVING_PEAK = 624e12
BANDWIDTH = 1555e9
USD_PER_TRAINING_FLOP = 1.50 / 3600 / TRAINING_FLOPS_PER_SECOND


def scenario(**changes: Any) -> Scenario:
    """Return the test's scenario with top-level sections changed; None removes."""
    tree = {**yaml.safe_load(TEXT), **changes}
    return Scenario.from_dict({key: value for key, value in tree.items() if value is not None})


def limited(**limits: Any) -> Plan:
    """Return the plan of the test's scenario under limits."""
    return bc.solve(scenario(limits=limits))


def only_row(plan: Plan) -> LimitRow:
    """Return the one limit of a plan."""
    (row,) = plan.limits
    return row


def mistakes(**changes: Any) -> list[str]:
    """Return what is said about a changed scenario, without the scenario's name."""
    with pytest.raises(ScenarioError) as caught:
        scenario(**changes)
    assert all(mistake.startswith("test: ") and "\n" not in mistake for mistake in caught.value.mistakes)
    return [mistake.removeprefix("test: ") for mistake in caught.value.mistakes]


def mistake(**limits: Any) -> str:
    """Return the one thing that is said about limits."""
    (found,) = mistakes(limits=limits)
    return found


def decode_usd_per_million(N: float) -> float:
    """Return what a million output tokens cost: 2N FLOP each at 1% of the int8 peak."""
    return 1e6 * 2 * N * 1.10 / 3600 / (SERVING_PEAK * 0.01)


def serving_usd(N: float) -> float:
    """Return the bill of serving for life."""
    prefill = 1e9 * 70 * 2 * N * 1.10 / 3600 / (SERVING_PEAK * 0.5)
    return prefill + 1e9 * 215 * decode_usd_per_million(N) / 1e6


def training_usd(N: float, D: float) -> float:
    """Return the bill of training."""
    return 6 * N * D * USD_PER_TRAINING_FLOP


# For each limit: keys beside the bound, a bound with a unit, the same as a bare number, the report's unit, and the
# quantity itself, from N and D alone. The bounds are slack at the plan.
CASES: dict[str, tuple[dict[str, Any], str, float, str, Callable[[float, float], float]]] = {
    "params": ({}, "0.04T params", 4e10, "params", lambda N, D: N),
    "tokens": ({}, "10,000B tokens", 1e13, "tokens", lambda N, D: D),
    "tokens_per_param": ({}, "1k", 1000.0, "", lambda N, D: D / N),
    "training_flops": ({}, "1e24 FLOPs", 1e24, "FLOP", lambda N, D: 6 * N * D),
    "training_cost": ({}, "$5M", 5e6, "USD", training_usd),
    "serving_cost": ({}, "0.5B USD", 5e8, "USD", lambda N, D: serving_usd(N)),
    "total_cost": ({}, "5 million dollars", 5e6, "USD", lambda N, D: training_usd(N, D) + serving_usd(N)),
    "training_time": (
        {"gpus": "512"},
        "12 weeks",
        84.0,
        "days",
        lambda N, D: 6 * N * D / (512 * TRAINING_FLOPS_PER_SECOND) / 86400,
    ),
    "training_gpu_hours": (
        {},
        "50k days",
        1.2e6,
        "GPU-hours",
        lambda N, D: 6 * N * D / TRAINING_FLOPS_PER_SECOND / 3600,
    ),
    "serving_memory": ({"gpus": 2}, "0.08 TB", 80.0, "GB", lambda N, D: N * 1.0 / 2 / 1e9),
    "time_per_output_token": ({"gpus": 4}, "0.03 s", 30.0, "ms", lambda N, D: N * 1.0 / (4 * BANDWIDTH) * 1e3),
    "cost_per_million_output_tokens": ({}, "$20.00", 20.0, "USD", lambda N, D: decode_usd_per_million(N)),
}
each_limit = pytest.mark.parametrize("label", CASES)


# Of a fleet by month and of limited data, which this scenario has not: test_studies.py, test_data_section.py.
ELSEWHERE = ("epochs", "time_to_first_token", "gpus")


def test_every_key_has_a_case():
    assert list(CASES) == [label for label in Limits.model_fields if label not in ELSEWHERE]


@each_limit
def test_a_bound_is_read_in_its_unit(label: str):
    others, stated, bare, unit, _ = CASES[label]
    for bound in (stated, bare, str(bare)):
        row = only_row(limited(**{label: {"max": bound, **others}}))
        assert (row.label, row.side, row.unit) == (label, "max", unit)
        assert row.bound == pytest.approx(bare, rel=1e-12)


@each_limit
def test_a_value_is_what_the_plan_makes_of_it(label: str):
    others, _, bare, _, quantity = CASES[label]
    for plan in (limited(**{label: {"max": bare, **others}}), tight(label)):
        assert plan.best is not None
        expected = quantity(plan.best.params, plan.best.tokens)
        assert only_row(plan).value == pytest.approx(expected, rel=1e-12)


def tight(label: str) -> Plan:
    """Return the plan under a bound somewhat below what the free plan takes."""
    others, _, _, _, quantity = CASES[label]
    free = bc.solve(scenario()).best
    assert free is not None
    # Of training, no plan takes less than 90%; of the whole bill, none takes less at all.
    share = 1.0001 if label == "total_cost" else 0.95
    return limited(**{label: {"max": share * quantity(free.params, free.tokens), **others}})


@each_limit
def test_a_tight_bound_is_kept_and_priced(label: str):
    plan, free = tight(label), bc.solve(scenario())
    row = only_row(plan)
    assert plan.best is not None
    assert free.best is not None
    if label == "total_cost":
        # No ceiling on the bill can bind where the least bill keeps it.
        assert (row.binding, row.shadow_price) == (False, 0.0)
        assert plan.best == free.best
        return
    assert row.binding
    assert row.value == pytest.approx(row.bound, rel=1e-9)
    assert plan.best.total > free.best.total
    assert row.elasticity < 0
    assert row.shadow_price == pytest.approx(-row.elasticity * plan.best.total / row.bound, rel=1e-12)


@pytest.mark.parametrize("label", [label for label in CASES if label != "total_cost"])
def test_one_step_more_saves_what_the_price_says(label: str):
    row = only_row(tight(label))
    others = CASES[label][0]
    step = 1e-4 * row.bound
    totals = [limited(**{label: {"max": row.bound + sign * step, **others}}).best for sign in (-1, 1)]
    assert totals[0] is not None
    assert totals[1] is not None
    assert row.shadow_price == pytest.approx((totals[0].total - totals[1].total) / (2 * step), rel=1e-5)


def test_costs_are_the_terms_of_the_bill():
    plan = limited(training_cost={"max": "10M"}, serving_cost={"max": "10M"}, total_cost={"max": "10M"})
    assert plan.best is not None
    terms = plan.best.terms
    values = {row.label: row.value for row in plan.limits}
    assert values["training_cost"] == pytest.approx(terms["training"], rel=1e-13)
    assert values["serving_cost"] == pytest.approx(terms["prefill"] + terms["decode"], rel=1e-13)
    assert values["total_cost"] == pytest.approx(plan.best.total, rel=1e-13)


def test_the_memory_of_the_chip_is_the_default_bound():
    row = only_row(limited(serving_memory={}))
    assert (row.bound, row.unit) == (40.0, "GB")
    assert only_row(limited(serving_memory={"gpus": 8})).bound == 40.0
    # 1B parameters of one byte are a GB.
    assert only_row(limited(serving_memory={"max": "12 GB"})).value == pytest.approx(12.0, rel=1e-9)


@pytest.mark.parametrize(("precision", "each"), [("bf16", 2.0), ("int8", 1.0), ("fp32", 4.0)])
def test_memory_is_weighed_at_the_serving_precision(precision: str, each: float):
    serving = {**yaml.safe_load(TEXT)["serving"], "precision": precision}
    plan = bc.solve(scenario(serving=serving, limits={"serving_memory": {"max": 1000}}))
    assert plan.best is not None
    assert only_row(plan).value == pytest.approx(each * plan.best.params / 1e9, rel=1e-12)


def test_one_read_of_the_weights_is_called_so():
    note = "time_per_output_token is one read of the weights at batch 1: traffic and caches only add to it"
    assert note in limited(time_per_output_token={"max": "30 ms"}).warnings
    assert note not in limited(serving_memory={}).warnings


@pytest.mark.parametrize("label", ["params", "tokens", "tokens_per_param"])
def test_a_floor_is_kept_and_priced(label: str):
    free = bc.solve(scenario()).best
    assert free is not None
    bound = 1.1 * CASES[label][4](free.params, free.tokens)
    plan = limited(**{label: {"min": bound}})
    row = only_row(plan)
    assert plan.best is not None
    assert (row.side, row.binding) == ("min", True)
    assert row.value == pytest.approx(bound, rel=1e-9)
    assert row.elasticity > 0
    assert plan.best.total > free.total


def test_max_and_min_are_two_rows_and_equal_ones_fix_the_size():
    plan = limited(params={"max": "8B", "min": "8B"})
    assert plan.best is not None
    assert plan.best.params == pytest.approx(8e9, rel=1e-12)
    assert [(row.side, row.binding) for row in plan.limits] == [("max", True), ("min", True)]
    # One of the two carries the price.
    assert sorted(row.redundant for row in plan.limits) == [False, True]


def test_rows_stand_in_the_order_of_the_reference_with_max_first():
    stated = {"serving_memory": {}, "tokens": {"max": "20T"}, "params": {"min": "1B", "max": "40B"}}
    assert [(row.label, row.side) for row in limited(**stated).limits] == [
        ("params", "max"),
        ("params", "min"),
        ("tokens", "max"),
        ("serving_memory", "max"),
    ]


def test_limits_in_money_and_time_go_with_flops_too():
    limits = {"training_time": {"max": "60 days", "gpus": 512}, "training_cost": {"max": "800k"}}
    plan = bc.solve(scenario(objective="flops", limits=limits))
    assert plan.best is not None
    assert plan.best.unit == "FLOP"
    cost, time = plan.limits
    assert cost.value == pytest.approx(training_usd(plan.best.params, plan.best.tokens), rel=1e-12)
    assert (cost.price_unit, time.price_unit) == ("FLOP per USD", "FLOP per day")
    assert time.value == pytest.approx(CASES["training_time"][4](plan.best.params, plan.best.tokens), rel=1e-12)


def test_a_limit_that_every_plan_keeps_changes_nothing():
    free, plan = bc.solve(scenario()), limited(params={"max": "1T"}, tokens={"max": "1000T"}, serving_memory={})
    assert plan.best == free.best
    assert [row.shadow_price for row in plan.limits] == [0.0, 0.0, 0.0]


# Mistakes


def test_an_unknown_limit_names_the_nearest():
    assert mistake(parms={"max": 1}) == "limits.parms: unknown key; did you mean 'params'?"
    assert mistake(trainig_time={}) == "limits.trainig_time: unknown key; did you mean 'training_time'?"
    assert mistake(zzz=1).startswith("limits.zzz: unknown key; known: params, tokens, tokens_per_param, ")


def test_an_unknown_key_of_a_limit_names_the_nearest():
    found = mistakes(limits={"training_time": {"max": 60, "gpu": 8}})
    assert "limits.training_time.gpu: unknown key; did you mean 'gpus'?" in found
    assert mistake(params={"maximum": 3, "max": 2}) == "limits.params.maximum: unknown key; did you mean 'max'?"


@pytest.mark.parametrize(
    ("label", "bound", "unit"),
    [
        ("params", "40 GB", "params"),
        ("tokens", "10T params", "tokens"),
        ("training_flops", "1e24 USD", "FLOP"),
        ("training_cost", "5M EUR", "USD"),
        ("serving_cost", "5 days", "USD"),
        ("total_cost", "5M tokens", "USD"),
        ("training_time", "60 GB", "day"),
        ("training_gpu_hours", "1M USD", "hour"),
        ("serving_memory", "80 ms", "GB"),
        ("time_per_output_token", "30 GB", "ms"),
        ("cost_per_million_output_tokens", "1 hour", "USD"),
    ],
)
def test_a_bound_in_another_unit_names_the_right_one(label: str, bound: str, unit: str):
    found = mistake(**{label: {**CASES[label][0], "max": bound}})
    assert found.startswith(f"limits.{label}.max: '{bound}' is not in {unit}; write it like '")


def test_a_ratio_has_no_unit():
    assert mistake(tokens_per_param={"max": "20 tokens"}).startswith("limits.tokens_per_param.max: '20 tokens' is not")


@each_limit
@pytest.mark.parametrize("bound", [0, -1, "nan", "inf", "many", [1], True, None])
def test_what_is_no_bound_is_refused(label: str, bound: object):
    others = CASES[label][0]
    if (label, bound) == ("serving_memory", None):
        # The chip's own memory
        assert only_row(limited(serving_memory={"max": None})).bound == 40.0
        return
    found = mistake(**{label: {**others, "max": bound}})
    place = found.split(": ")[0]
    # A key without a value is a bound that is missing.
    assert place == f"limits.{label}.max" or (bound is None and place == f"limits.{label}")


@pytest.mark.parametrize("label", ["params", "tokens", "tokens_per_param"])
def test_a_min_above_its_max(label: str):
    found = mistake(**{label: {"min": 3e9, "max": 2e9}})
    assert found == f"limits.{label}: min 3e+09 is above max 2e+09; no model lies between"


@pytest.mark.parametrize("label", [label for label in CASES if label not in ("params", "tokens", "tokens_per_param")])
def test_a_min_where_there_can_be_none_says_why(label: str):
    found = mistake(**{label: {**CASES[label][0], "max": CASES[label][2], "min": 1}})
    assert found == (
        f"limits.{label}.min: a floor on {label} has no certified optimum; "
        "give max, or a min on params, tokens, tokens_per_param"
    )


@pytest.mark.parametrize("label", ["params", "tokens", "tokens_per_param"])
def test_a_limit_that_bounds_nothing(label: str):
    assert mistake(**{label: {}}) == f"limits.{label}: bounds nothing; give max or min"


@pytest.mark.parametrize("label", ["training_flops", "training_cost", "total_cost", "training_gpu_hours"])
def test_a_ceiling_without_its_max(label: str):
    assert mistake(**{label: {}}) == f"limits.{label}: max is missing"


def test_training_time_needs_its_gpus():
    assert (
        mistake(training_time={"max": "60 days"}) == "limits.training_time: gpus is missing; write it like gpus: 4096"
    )


def test_a_bare_bound_is_shown_how():
    assert mistake(params="40B") == "limits.params: expected keys below it, got '40B'; write it like params: {max: ...}"
    (found,) = mistakes(limits=["params"])
    assert found == "limits: expected keys below it, got a list; write it like limits: {params: {max: 40B}}"


def test_the_same_limit_twice_is_refused_with_its_line():
    for text, line in (
        ("limits:\n  params: {max: 3B}\n  params: {max: 4B}\n", 12),
        ("limits:\n  params:\n    max: 3B\n    max: 4B\n", 13),
        ("limits: {params: {max: 3B}}\nlimits: {tokens: {max: 4T}}\n", 11),
    ):
        with pytest.raises(ScenarioError, match="stands twice; keep one of them") as caught:
            check(parse(TEXT + text, "plan.yaml"))
        assert caught.value.mistakes[0].startswith(f"plan.yaml:{line}: ")


NEEDS_TRAINING = ("training_time", "training_gpu_hours")
NEEDS_SERVING = ("serving_memory", "time_per_output_token", "cost_per_million_output_tokens")
NEEDS_BILL = ("training_cost", "serving_cost", "total_cost")


@pytest.mark.parametrize("label", [*NEEDS_TRAINING, *NEEDS_SERVING, *NEEDS_BILL])
def test_a_limit_whose_section_is_missing_has_its_line(label: str):
    bare = {key: value for key, value in yaml.safe_load(TEXT).items() if key not in ("training", "serving")}
    text = yaml.safe_dump({**bare, "objective": "flops"}, sort_keys=False)
    limit = {label: {**CASES[label][0], "max": CASES[label][2]}}
    with pytest.raises(ScenarioError) as caught:
        check(parse(text + "limits:\n" + "  " + yaml.safe_dump(limit, default_flow_style=None), "plan.yaml"))
    (found,) = caught.value.mistakes
    sections = {**dict.fromkeys(NEEDS_TRAINING, "training"), **dict.fromkeys(NEEDS_SERVING, "serving")}
    needed = (
        f"the section {sections[label]}: its hardware, precision and utilisation"
        if label in sections
        else "the sections training and serving, and demand by requests"
    )
    assert found == f"plan.yaml:{len(text.splitlines()) + 2}: limits.{label}: needs {needed}"


def test_every_limit_that_lacks_its_section_is_told_at_once():
    limits = {label: {**CASES[label][0], "max": CASES[label][2]} for label in CASES}
    found = mistakes(objective="flops", training=None, serving=None, limits=limits)
    assert [line.split(": ")[0] for line in found] == [
        f"limits.{label}" for label in CASES if label in (*NEEDS_TRAINING, *NEEDS_SERVING, *NEEDS_BILL)
    ]


def test_limits_on_chips_need_no_bill():
    limits = {label: {**CASES[label][0], "max": CASES[label][2]} for label in (*NEEDS_TRAINING, *NEEDS_SERVING)}
    plan = bc.solve(scenario(objective="flops", demand={"tokens": "2T"}, limits=limits))
    assert [row.label for row in plan.limits] == list(limits)


def test_tokens_per_parameter_has_no_ceiling_where_embeddings_do_not_count():
    (found,) = mistakes(law="kaplan-2020", limits={"tokens_per_param": {"max": 100}})
    assert found == (
        "limits.tokens_per_param.max: max is not possible under law kaplan-2020, which counts no embeddings"
    )
    plan = bc.solve(scenario(law="kaplan-2020", limits={"tokens_per_param": {"min": 0.1}, "params": {"max": "100B"}}))
    assert [row.label for row in plan.limits] == ["params", "tokens_per_param"]


@pytest.mark.parametrize("section", ["training", "serving"])
def test_a_mistake_in_a_section_hides_no_mistake_in_the_limits(section: str):
    wrong = {**yaml.safe_load(TEXT)[section], "hardware": "h100"}
    found = mistakes(**{section: wrong}, limits={"params": {"max": "3 GB"}, "serving_memory": {}})
    assert [line.split(": ")[0] for line in found] == [f"{section}.hardware", "limits.params.max"]


# There and back


FULL: dict[str, Any] = {
    "limits": {
        "params": {"max": "40B", "min": "1B"},
        "training_time": {"max": "60 days", "gpus": 512},
        "serving_memory": {"gpus": 2},
        "cost_per_million_output_tokens": {"max": "$20"},
    },
    "compare": [{"model": "llama-2-13b"}, {"name": "ours", "params": "8B", "tokens": "15T"}],
    "start_from": {"params": "17B", "tokens": "1T"},
}


def test_a_scenario_survives_its_own_dict():
    once = scenario(**FULL)
    again = Scenario.from_dict(json.loads(json.dumps(once.to_dict())))
    assert again == once
    assert again.to_dict() == once.to_dict()
    assert again.to_problem().limits == once.to_problem().limits
    assert again.compared_models() == once.compared_models()
    assert again.compared_models() == [("llama-2-13b", 13e9, 2e12), ("ours", 8e9, 15e12)]
    assert again.to_problem().start_from == (17e9, 1e12)
    assert bc.solve(again) == bc.solve(once)


def test_a_dict_says_nothing_of_what_was_not_said():
    plain = scenario().to_dict()
    assert {"limits", "compare", "start_from"} & set(plain) == set()
    assert scenario(limits={"params": {"max": "3B"}}).to_dict()["limits"] == {"params": {"max": 3e9}}


def test_the_best_loss_survives_its_own_dict():
    once = scenario(target=None, objective="loss", limits={"total_cost": {"max": "1.2M USD"}})
    assert "target" not in once.to_dict()
    assert Scenario.from_dict(once.to_dict()) == once


VALIDATOR = jsonschema.Draft202012Validator(json_schema())


@each_limit
def test_the_json_schema_takes_every_limit(label: str):
    others, stated, bare, _, _ = CASES[label]
    for bound in (stated, bare):
        VALIDATOR.validate({**yaml.safe_load(TEXT), "limits": {label: {"max": bound, **others}}})


def test_the_json_schema_takes_what_a_scenario_takes():
    VALIDATOR.validate({**yaml.safe_load(TEXT), **FULL})
    best = {**yaml.safe_load(TEXT), "objective": "loss", "limits": {"total_cost": {"max": "1.2M USD"}}}
    del best["target"]
    VALIDATOR.validate(best)


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": {"parms": {"max": 1}}},
        {"limits": {"params": 3}},
        {"limits": {"params": {"max": -1}}},
        {"limits": {"params": {"most": 1}}},
        {"limits": {"training_cost": {"max": 1, "min": 1}}},
        {"limits": {"training_cost": {}}},
        {"limits": {"training_time": {"max": 60}}},
        {"limits": {"training_time": {"gpus": 60}}},
        {"limits": []},
        {"compare": {}},
        {"compare": [3]},
        {"compare": [{"model": "gpt-9"}]},
        {"compare": [{"params": "many", "tokens": 1}]},
        {"start_from": {"params": "7B"}},
        {"start_from": "7B"},
        {"objective": "loss"},
    ],
    ids=str,
)
def test_the_json_schema_refuses_what_a_scenario_refuses(changes: dict[str, Any]):
    tree = {**yaml.safe_load(TEXT), **changes}
    assert not VALIDATOR.is_valid(tree)
    with pytest.raises(ScenarioError):
        Scenario.from_dict(tree)


def test_the_json_schema_asks_a_target_of_everything_but_the_best_loss():
    tree = yaml.safe_load(TEXT)
    del tree["target"]
    assert not VALIDATOR.is_valid(tree)
    assert not VALIDATOR.is_valid({**tree, "objective": "flops"})


# The best loss that money buys


def test_the_best_loss_takes_no_target_and_needs_a_budget():
    assert set(mistakes(objective="loss")) == {
        "target: does not go with objective loss, which looks for the best one; leave it out",
        "objective loss needs limits: {total_cost: {max: 5M USD}}",
    }
    (found,) = mistakes(objective="loss", target=None, limits={"params": {"max": "3B"}})
    assert found == "objective loss needs limits: {total_cost: {max: 5M USD}}"
    (found,) = mistakes(
        objective="loss", target=None, limits={"total_cost": {"max": "1M"}}, start_from={"params": "7B", "tokens": "1T"}
    )
    assert found.startswith("start_from: does not go with objective loss")


def test_the_best_loss_needs_prices_and_requests():
    found = mistakes(
        objective="loss", target=None, training=None, demand={"tokens": "1T"}, limits={"total_cost": {"max": "1M"}}
    )
    assert any(line.startswith("training is missing; objective loss needs it") for line in found)
    assert any(line.startswith("demand.tokens: goes with objective flops") for line in found)


def test_the_best_loss_is_the_one_whose_least_cost_is_the_budget():
    plan = bc.solve(scenario(objective="loss", target=None, limits={"total_cost": {"max": "1.2M"}}))
    assert plan.best is not None
    assert plan.best.total == pytest.approx(1.2e6, rel=1e-9)
    back = bc.solve(scenario(target={"loss": plan.best.loss}))
    assert back.best is not None
    assert back.best.total == pytest.approx(1.2e6, rel=1e-8)
    assert back.best.params == pytest.approx(plan.best.params, rel=1e-4)


def test_the_baseline_of_the_best_loss_spends_the_same_money_at_chinchillas_ratio():
    plan = bc.solve(scenario(objective="loss", target=None, limits={"total_cost": {"max": "1.2M"}}))
    base = plan.baseline
    assert plan.best is not None
    assert base.total == pytest.approx(1.2e6, rel=1e-9)
    optimal = plan.law.compute_optimal(params=base.params)
    assert base.tokens == pytest.approx(float(optimal.tokens), rel=1e-9)
    assert plan.savings == pytest.approx(base.loss - plan.best.loss, rel=1e-9)
    assert plan.savings > 0


def test_more_money_buys_what_its_price_says():
    losses = []
    for budget in (1.2e6 - 100, 1.2e6, 1.2e6 + 100):
        plan = bc.solve(scenario(objective="loss", target=None, limits={"total_cost": {"max": budget}}))
        assert plan.best is not None
        losses.append(plan.best.loss)
        if budget == 1.2e6:
            row = only_row(plan)
    assert row.price_unit == "nats per USD"
    assert row.shadow_price == pytest.approx((losses[0] - losses[2]) / 200, rel=1e-5)
    assert math.isclose(row.elasticity, -row.shadow_price * 1.2e6 / losses[1], rel_tol=1e-12)


# One's own plans


@pytest.mark.parametrize(
    ("item", "phrase"),
    [
        ({}, "compare.0: give either model: llama-3-8b, or params: 8B and tokens: 15T"),
        ({"name": "x"}, "compare.0: give either model"),
        ({"params": "8B"}, "compare.0: give either model"),
        ({"tokens": "8T"}, "compare.0: give either model"),
        ({"model": "llama-3-8b", "params": "8B"}, "compare.0: give either model"),
        ({"model": "llama-3-8b", "params": "8B", "tokens": "1T"}, "compare.0: give either model"),
        ({"model": "llama3-8b"}, "compare.0.model: no model 'llama3-8b'; did you mean 'llama-3-8b'?"),
        ({"model": "mistral-7b"}, "compare.0.model: the training tokens of mistral-7b are not published; give"),
        ({"model": "deepseek-v3"}, "compare.0.model: deepseek-v3 is a mixture of experts, which"),
        ({"params": "8B", "token": "1T"}, "compare.0.token: unknown key; did you mean 'tokens'?"),
        ({"params": "8 GB", "tokens": "1T"}, "compare.0.params: '8 GB' is not in params"),
        ({"params": "8B", "tokens": 0}, "compare.0.tokens: 0 must be above zero"),
        (3, "compare.0: expected keys below it, got '3'"),
    ],
)
def test_a_plan_of_ones_own_that_is_none(item: Any, phrase: str):
    assert any(line.startswith(phrase) for line in mistakes(compare=[item]))
    assert all(line.startswith("compare.0") for line in mistakes(compare=[item]))


def test_a_mistake_in_a_comparison_has_its_line():
    with pytest.raises(ScenarioError) as caught:
        check(parse(TEXT + "compare:\n  - {params: 8B, tokens: 1T}\n  - {model: mistral-7b}\n", "plan.yaml"))
    assert caught.value.mistakes[0].startswith("plan.yaml:12: compare.1.model: the training tokens of mistral-7b")
    example = "compare: [{model: llama-3-8b}, {name: ours, params: 8B, tokens: 15T}]"
    assert mistakes(compare={"model": "llama-3-8b"}) == [
        f"compare: expected a list, got a mapping; write it like {example}"
    ]


def test_compared_plans_are_named_by_their_name_model_or_size():
    compared = [
        {"model": "llama-2-13b"},
        {"name": "theirs", "model": "llama-2-13b"},
        {"params": "8B", "tokens": "15T"},
    ]
    assert [name for name, _, _ in scenario(compare=compared).compared_models()] == [
        "llama-2-13b",
        "theirs",
        "8.00B on 15.0T",
    ]


@pytest.mark.parametrize(
    ("start", "phrase"),
    [
        ({"params": "7B"}, "start_from: tokens is missing"),
        ({}, "start_from: params is missing"),
        ("7B", "start_from: expected keys below it, got '7B'; write it like start_from: {params: 7B, tokens: 1T}"),
        ({"params": "7B", "tokens": "1T", "loss": 2}, "start_from.loss: unknown key"),
        ({"params": "7B", "tokens": "1 GB"}, "start_from.tokens: '1 GB' is not in tokens"),
    ],
)
def test_a_start_that_is_none(start: Any, phrase: str):
    assert mistakes(start_from=start)[0].startswith(phrase)
