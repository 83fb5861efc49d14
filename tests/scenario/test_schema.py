"""What a scenario may say, what each mistake is told, and what editors are told about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import strategies
import yaml
from hypothesis import given
from hypothesis import strategies as st
from trees import changed

import beyond_chinchilla as bc
from beyond_chinchilla.costs import hardware, models
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.scenario.compute import Serving
from beyond_chinchilla.scenario.document import parse
from beyond_chinchilla.scenario.load import Scenario, check
from beyond_chinchilla.scenario.schema import json_schema

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))

TEXT = """\
name: test
law: sardana-2024
target: {chinchilla: 30B}
demand:
  requests: 1B
  input_tokens: 70
  output_tokens: 215
objective: cost
training: {hardware: a100-80gb-sxm, precision: bf16, price: 1.50 USD/hour, mfu: 50%}
serving:
  hardware: a100-40gb-sxm
  precision: int8
  price: 1.10 USD/hour
  prefill_mfu: 50%
  decode_mfu: 1%
"""
INLINE_LAW = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
INLINE_CHIP = {"peak": {"bf16": "312 TFLOP/s"}, "memory": "80 GB", "bandwidth": "2.039 TB/s"}
SMALL: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"chinchilla": "13B"},
    "demand": {"tokens": "2T"},
    "objective": "flops",
}


def scenario(**changes: Any) -> Scenario:
    """Return the test's scenario with values changed; ``demand__requests`` is ``demand.requests``, None removes."""
    return Scenario.from_dict(changed(yaml.safe_load(TEXT), **changes))


def mistakes(**changes: Any) -> list[str]:
    """Return what is said about a changed scenario, without the scenario's name."""
    with pytest.raises(ScenarioError) as caught:
        scenario(**changes)
    assert all(mistake.startswith("test: ") and "\n" not in mistake for mistake in caught.value.mistakes)
    return [mistake.removeprefix("test: ") for mistake in caught.value.mistakes]


def mistake(**changes: Any) -> str:
    """Return the one thing that is said about a changed scenario."""
    found = mistakes(**changes)
    assert len(found) == 1, found
    return found[0]


def file_mistakes(text: str) -> list[str]:
    """Return what is said about a file."""
    with pytest.raises(ScenarioError) as caught:
        check(parse(text, "plan.yaml"))
    return list(caught.value.mistakes)


# Numbers as people write them


@pytest.mark.parametrize(
    "requests", [1e9, 1_000_000_000, "1e9", "1.0e9", "1B", "1 billion", "1,000,000,000", "1000M", "+1B"]
)
def test_a_billion_requests_however_written_is_the_same_plan(requests: object):
    assert bc.solve(scenario(demand__requests=requests)).to_dict() == bc.solve(scenario()).to_dict()


@pytest.mark.parametrize("size", [30e9, "30B", "3e10", "30_000_000_000", "30 billion", "30B params", "0.03T"])
def test_a_size_however_written(size: object):
    assert scenario(target__chinchilla=size).file.target.chinchilla == pytest.approx(30e9, rel=1e-15)


@pytest.mark.parametrize(
    "price",
    [1.5, "1.50", "1.50 USD/hour", "$1.50/hour", "$1.5/h", "1.5 USD/GPU-hour", "36 USD/day", "0.025 USD/minute"],
)
def test_a_price_however_written(price: object):
    training = scenario(training__price=price).file.training
    assert training is not None
    assert training.price == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize("mfu", ["50%", 0.5, "0.5", ".5", "50 %", "50 per cent", "50 percent", "5e-1", "5e1%"])
def test_a_share_however_written(mfu: object):
    training = scenario(training__mfu=mfu).file.training
    assert training is not None
    assert training.mfu == 0.5


@pytest.mark.parametrize(
    ("place", "value", "unit"),
    [
        ("training__price", "1.50 EUR/hour", "USD/hour"),
        ("training__price", "1.50 USD", "USD/hour"),
        ("training__price", "1.50 hour/USD", "USD/hour"),
        ("target__chinchilla", "30B tokens", "params"),
        ("target__chinchilla", "30 GB", "params"),
        ("demand__requests", "1B tokens", "requests"),
        ("demand__input_tokens", "70 requests", "tokens/request"),
        ("training__hardware", {"base": "h100-sxm", "memory": "80 TFLOP/s"}, "GB"),
    ],
)
def test_a_unit_of_the_wrong_kind_names_the_right_one(place: str, value: Any, unit: str):
    found = mistake(**{place: value})
    assert found.startswith(place.replace("__", ".") + ": ")
    assert f"is not in {unit}; write it like '" in found


@pytest.mark.parametrize("mfu", ["150%", 50, "50", "0%", 0, -0.1, "-5%", "1.01", "150 per cent"])
def test_a_utilisation_outside_0_to_100_percent(mfu: object):
    assert mistake(training__mfu=mfu) == f"training.mfu: {mfu} must be above 0 and at most 100%; write it like 50%"


def test_a_percentage_without_its_sign_is_recognised():
    assert mistake(serving__decode_mfu=7).endswith("write it like 7%")
    assert mistake(serving__decode_mfu=700).endswith("write it like 1%")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "nan", "inf", ".nan", ".inf", "-.inf", "1e999", "abc", "", True]
)
@pytest.mark.parametrize("place", ["demand__requests", "training__price", "training__mfu", "target__chinchilla"])
def test_what_is_no_finite_number_is_refused(place: str, value: object):
    found = mistake(**{place: value})
    assert found.startswith(place.replace("__", ".") + ": ")
    assert "is not a number" in found or "is not a finite number" in found or "got 'true'" in found


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_a_list_or_mapping_is_no_number(value: object):
    kind = "a list" if isinstance(value, list) else "a mapping"
    assert (
        mistake(demand__requests=value)
        == f"demand.requests: expected a number in requests, got {kind}; write it like 1B"
    )


@pytest.mark.parametrize("value", [0, "0", -1, "-1B", "-0"])
@pytest.mark.parametrize("place", ["demand__requests", "training__price", "target__chinchilla", "target__loss"])
def test_zero_and_negative_are_refused(place: str, value: object):
    change = {"target": {"loss": value}} if place == "target__loss" else {place: value}
    assert f"{place.replace('__', '.')}: {value} must be above zero; write it like" in mistake(**change)


@pytest.mark.parametrize("value", ["1e25", "1e300", 1e-19, "1e-300"])
def test_numbers_that_would_overflow_are_refused(value: object):
    assert f"demand.requests: {value} is not within 1e-18 to 1e+24; write it like 1B" in mistake(demand__requests=value)


@given(
    st.sampled_from(["sardana-2024", "kaplan-2020", "sardana-2024-ratio-500", "gadre-2024-c4"]),
    st.fixed_dictionaries(
        {
            "demand__requests": strategies.log_floats(1e-18, 1e18),
            "demand__output_tokens": strategies.log_floats(1e-18, 1e6),
            "training__price": strategies.log_floats(1e-3, 1e6),
            "serving__price": strategies.log_floats(1e-3, 1e6),
        }
    ),
    strategies.log_floats(1e-18, 1e24),
)
def test_numbers_from_the_tiny_to_the_absurd_give_a_plan_of_finite_figures(
    law: str, values: dict[str, float], size: float
):
    changes = {"law": law, "target__chinchilla": size, **values}
    try:
        stated = scenario(**changes)
    except ScenarioError as error:
        refused = [line.split(": ")[1] for line in error.mistakes]
        stated = scenario(**{**changes, "target__chinchilla": "30B"})
    else:
        refused = []
    assert refused in ([], ["target.chinchilla"])
    assert json.dumps(bc.solve(stated).to_dict(), allow_nan=False)


# Demand


def test_a_request_may_have_no_input_but_not_no_tokens():
    assert scenario(demand__input_tokens=0).file.demand.input_tokens == 0
    assert mistake(demand__input_tokens=0, demand__output_tokens=0).startswith("demand: a request of no tokens at all")


def test_half_a_demand_says_what_is_missing():
    assert mistake(demand={"requests": "1B"}).startswith("demand: input_tokens, output_tokens missing;")
    assert mistake(demand={}).startswith("demand: input_tokens, output_tokens, requests missing;")


def test_two_demands_are_refused():
    found = mistake(objective="flops", demand__tokens="2T")
    assert found == "demand: tokens and input_tokens, output_tokens, requests are both given; keep one way"


def test_tokens_alone_go_with_flops():
    assert mistake(demand={"tokens": "2T"}).startswith(
        "demand.tokens: goes with objective flops; with cost give requests"
    )
    assert scenario(demand={"tokens": "2T"}, objective="flops").file.demand.tokens == 2e12


# Target


def test_two_targets_are_refused():
    found = mistake(target={"chinchilla": "30B", "loss": 2})
    assert found.startswith("target: chinchilla and loss are both given; keep one")


@pytest.mark.parametrize("target", [{}, {"chinchilla": None}, {"loss": None, "model": None}])
def test_no_target_is_refused(target: dict[str, None]):
    ways = "chinchilla: 30B, loss: 1.958, model: llama-2-7b, or error: 45% with suite: gadre-17"
    assert mistake(target=target) == f"target: is empty; write {ways}"


def test_a_key_without_a_value_beside_the_target_is_none():
    assert scenario(target={"chinchilla": None, "loss": 2}).to_problem().target_loss == 2.0


@pytest.mark.parametrize("loss", [1.5, 1.69, "1.69"])
def test_a_target_at_or_below_the_floor_states_floor_bounds_and_the_least_loss_within(loss: object):
    law = catalogue.law("sardana-2024")
    assert mistake(target={"loss": loss}) == (
        f"target.loss: target loss {float(str(loss)):g} is at or below the floor E = 1.69 of law sardana-2024; "
        f"within N <= 1.00T and D <= 100T the least reachable loss is {float(law.loss(1e12, 1e14)):.3f}"
    )


def test_a_target_a_hair_above_the_floor_is_no_model_of_this_world():
    found = mistake(target={"loss": 1.69 + 1e-10})
    assert found.startswith("target.loss: target loss 1.6900000001 under law sardana-2024, whose floor is E = 1.69,")
    assert "3.45e38 params" in found


@pytest.mark.parametrize("target", [{"chinchilla": 1e20}, {"chinchilla": 1e-3}, {"loss": 1e9}])
def test_a_target_far_from_every_model_is_refused(target: dict[str, float]):
    assert "state one of 1 to 1.00e18 params and 1 to 1.00e24 tokens" in mistake(target=target)


def test_a_model_by_name_is_a_model_by_its_size():
    by_name = scenario(target={"model": "llama-2-7b"}).to_problem().target_loss
    by_size = scenario(target={"model": {"params": "7B", "tokens": "2T"}}).to_problem().target_loss
    assert by_name == by_size == float(catalogue.law("sardana-2024").loss(7e9, 2e12))


def test_a_model_is_counted_as_the_law_counts():
    law = catalogue.law("kaplan-2020")
    target = scenario(law="kaplan-2020", target={"model": {"params": "7B", "tokens": "2T"}}).to_problem().target_loss
    assert target == float(law.loss(law.counted_params(7e9), 2e12))
    assert target != float(law.loss(7e9, 2e12))


def test_a_model_whose_tokens_are_secret_is_refused():
    found = mistake(target={"model": "mistral-7b"})
    assert found == "target.model: the training tokens of mistral-7b are not published; give {params, tokens}"


def test_a_mixture_of_experts_is_refused():
    assert mistake(target={"model": "deepseek-v3"}).startswith(
        "target.model: deepseek-v3 is a mixture of experts, which "
    )


def test_every_model_of_the_catalogue_is_a_target_or_says_why_not():
    for name in models.names():
        model = models.reference_model(name)
        if model.tokens is None or model.active_params is not None:
            assert mistake(target={"model": name}).startswith("target.model: ")
        else:
            assert scenario(target={"model": name}).to_problem().target_loss > 1.69


def test_half_a_model_and_an_unknown_one():
    assert mistake(target={"model": {"params": "7B"}}) == "target.model: tokens is missing"
    assert mistake(target={"model": "llama2-7b"}).endswith("did you mean 'llama-2-7b'?")


# Law


def test_an_inline_law_is_the_same_law():
    named, inline = bc.solve(scenario()), bc.solve(scenario(law=INLINE_LAW))
    assert inline.best == named.best
    assert inline.law.name == "inline"


def test_an_inline_law_may_have_a_name_and_count_other_parameters():
    law = scenario(law={**INLINE_LAW, "name": "ours", "counts": "non-embedding", "power": 2}).to_problem().law
    assert (law.name, law.counts, law.power) == ("ours", "non-embedding", 2.0)


def test_every_mistake_of_an_inline_law():
    found = mistakes(law={"E": -1, "A": "inf", "alpha": 0, "B": 2, "counts": "all", "gamma": 3, "name": []})
    assert [line.split(": ")[0] for line in found] == [
        "law.E",
        "law.A",
        "law.alpha",
        "law",
        "law.counts",
        "law.name",
        "law.gamma",
    ]
    assert found[3] == "law: beta is missing"


def test_an_unknown_law_names_the_nearest():
    assert mistake(law="sardana-2023") == "law: no law named 'sardana-2023'; did you mean 'sardana-2024'?"
    assert mistake(law=["sardana-2024"]) == "law: expected the name of a law, got a list"


@pytest.mark.parametrize("name", catalogue.names())
def test_every_law_of_the_catalogue_solves_a_scenario(name: str):
    plan = bc.solve(scenario(law=name))
    assert plan.best is not None
    assert plan.best.params < plan.baseline.params
    assert plan.baseline.params == pytest.approx(30e9, rel=1e-9)


# Hardware and prices


def test_a_chip_without_the_precision_lists_what_it_has():
    found = mistake(serving__hardware="b300-sxm", serving__precision="int8")
    assert found == f"serving: b300-sxm has no int8 peak; it has {', '.join(hardware.accelerator('b300-sxm').peak)}"


def test_an_unknown_chip_names_the_nearest():
    assert mistake(training__hardware="h100") == "training.hardware: no hardware 'h100'; did you mean 'h100-sxm'?"


def test_an_inline_chip_is_the_same_chip():
    assert bc.solve(scenario(training__hardware=INLINE_CHIP)).best == bc.solve(scenario()).best


def test_a_chip_with_fields_changed_keeps_the_rest():
    changed = {"base": "a100-80gb-sxm", "peak": {"bf16": "624 TFLOP/s"}}
    twice, once = (bc.solve(each).baseline.terms for each in (scenario(training__hardware=changed), scenario()))
    assert twice["training"] == pytest.approx(once["training"] / 2, rel=1e-14)
    assert twice["decode"] == once["decode"]


def test_an_inline_chip_has_every_mistake_told():
    found = mistakes(training__hardware={"name": "mine", "peak": {"bf17": 3}, "memory": "80 W", "bandwith": 3})
    assert all(line.startswith("training.hardware: mine: ") for line in found)
    assert [line.split(": ")[2] for line in found] == ["bandwith", "bandwidth", "peak.bf17", "memory"]


def test_a_base_that_is_unknown_names_the_nearest():
    assert mistake(training__hardware={"base": "h100-sx"}).endswith("no hardware 'h100-sx'; did you mean 'h100-sxm'?")


def test_a_chip_is_no_list_or_number():
    assert mistake(training__hardware=["h100-sxm"]) == "training.hardware: expected the name of a chip, got a list"


def test_a_price_left_out_is_the_catalogues_and_is_named_with_date_and_source():
    listed = hardware.accelerator("h100-sxm").default_price
    assert listed is not None
    change = {"training__hardware": "h100-sxm"}
    left_out = bc.solve(scenario(**change, training__price=None))
    stated = bc.solve(scenario(**change, training__price=listed.usd_per_hour))
    assert left_out.best == stated.best
    (note,) = set(left_out.warnings) - set(stated.warnings)
    assert note == (
        f"training price left out: ${listed.usd_per_hour:.2f}/hour for h100-sxm is {listed.offer}'s on-demand price of "
        f"{listed.date} ({listed.source})"
    )


def test_both_prices_left_out_are_both_named():
    warnings = bc.solve(scenario(training__price=None, serving__price=None)).warnings
    assert [warning.split()[0] for warning in warnings if "price left out" in warning] == ["training", "serving"]


@pytest.mark.parametrize(
    "chip", [name for name in hardware.names() if hardware.accelerator(name).default_price is None]
)
def test_a_chip_without_a_price_needs_one(chip: str):
    found = mistake(training__hardware=chip, training__price=None)
    assert found == f"training: {chip} has no list price on demand; give price, such as 2.50 USD/hour"
    assert scenario(training__hardware=chip).to_problem().notes == ()


# Keys and sections


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ("demnd", "demand"),
        ("target__chinchila", "chinchilla"),
        ("demand__request", "requests"),
        ("training__precison", "precision"),
        ("serving__decode-mfu", "decode_mfu"),
        ("serving__hardwear", "hardware"),
    ],
)
def test_an_unknown_key_names_the_nearest(place: str, near: str):
    found = mistakes(**{place: "1"})
    assert f"{place.replace('__', '.')}: unknown key; did you mean '{near}'?" in found


def test_an_unknown_key_below_a_model_or_law_names_the_nearest():
    model = {"params": "7B", "tokens": "2T", "param": 3}
    assert mistake(target={"model": model}) == "target.model.param: unknown key; did you mean 'params'?"
    assert mistake(law={**INLINE_LAW, "aplha": 3}) == "law.aplha: unknown key; did you mean 'alpha'?"


def test_a_key_like_no_other_lists_what_there_is():
    assert mistake(zzz=1).startswith("zzz: unknown key; known: name, law, target, demand, objective, ")


@pytest.mark.parametrize("section", ["law", "target", "demand", "training", "serving"])
def test_a_missing_section_is_named(section: str):
    assert mistake(**{section: None}).startswith(f"{section} is missing; ")


def test_nothing_at_all_names_all_that_is_missing():
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict({})
    assert {line.split()[1] for line in caught.value.mistakes} == {"law", "target", "demand", "training", "serving"}
    assert len(caught.value.mistakes) == 5


@pytest.mark.parametrize("section", ["target", "demand", "training"])
@pytest.mark.parametrize("value", ["text", 3, ["a"]])
def test_a_section_of_another_kind_is_shown_how(section: str, value: object):
    found = mistake(**{section: value})
    assert found.startswith(f"{section}: expected keys below it, got ")
    assert f"; write it like {section}: {{" in found


@pytest.mark.parametrize("key", ["hardware", "precision", "mfu"])
def test_a_missing_key_is_shown_how(key: str):
    assert mistake(**{f"training__{key}": None}).startswith(f"training: {key} is missing; write it like {key}: ")


def test_objective_flops_needs_no_prices():
    assert Scenario.from_dict(SMALL).file.training is None


def test_an_unknown_objective_names_the_nearest():
    assert mistake(objective="costs") == "objective: 'costs' is not known here; did you mean 'cost'?"


# Names


def test_a_name_left_out_is_the_files(tmp_path: Path):
    path = tmp_path / "my-plan.yaml"
    path.write_text(TEXT.replace("name: test\n", ""))
    assert bc.load(path).name == "my-plan"


def test_a_files_name_with_escape_codes_is_made_harmless(tmp_path: Path):
    path = tmp_path / "my\x1b[31m\nplan.yaml"
    path.write_text(TEXT.replace("name: test\n", ""))
    assert bc.load(path).name == "my?[31m?plan"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\x1b[2Jb", "control characters"),
        ("a\u202eb", "control"),
        ("", "1 to 200 characters"),
        ("x" * 201, "201"),
        ([], "text"),
    ],
)
def test_a_name_that_would_spoil_a_page_is_refused(name: object, reason: str):
    with pytest.raises(ScenarioError, match=rf"name: .*{reason}"):
        Scenario.from_dict({**SMALL, "name": name})


def test_a_name_of_other_letters_is_kept():
    assert scenario(name="Größe 模型 🚀 | <b>").name == "Größe 模型 🚀 | <b>"


# Every mistake at once, in the order of the file


SIX_MISTAKES = """\
name: six mistakes
law: sardana-2023
target:
  chinchilla: 30B
  loss: 1.9
demand:
  request: 1B
  input_tokens: -70
  output_tokens: 215
training: {hardware: h100-sxm, precision: bf16, mfu: 150%}
serving:
  hardware: h100-sxm
  precision: int3
  prefill_mfu: 50%
  decode_mfu: 1%
"""


def test_six_mistakes_are_six_lines_in_file_order():
    target = "write chinchilla: 30B, loss: 1.958, model: llama-2-7b, or error: 45% with suite: gadre-17"
    assert file_mistakes(SIX_MISTAKES) == [
        "plan.yaml:2: law: no law named 'sardana-2023'; did you mean 'sardana-2024'?",
        f"plan.yaml:3: target: chinchilla and loss are both given; keep one; {target}",
        "plan.yaml:7: demand.request: unknown key; did you mean 'requests'?",
        "plan.yaml:8: demand.input_tokens: -70 must be zero or more; write it like 70",
        "plan.yaml:10: training.mfu: 150% must be above 0 and at most 100%; write it like 50%",
        "plan.yaml:11: serving: h100-sxm has no int3 peak; it has fp32, tf32, bf16, fp8, int8",
    ]


def test_mistakes_between_sections_are_found_beside_those_within():
    found = file_mistakes("law: sardana-2024\ntarget: {loss: 1.2}\ndemand: {tokens: 1T}\nname: []\n")
    assert [line.split(": ")[0:2] for line in found] == [
        ["plan.yaml:1", "training is missing; objective cost needs it (or set objective"],
        ["plan.yaml:1", "serving is missing; objective cost needs it (or set objective"],
        ["plan.yaml:2", "target.loss"],
        ["plan.yaml:3", "demand.tokens"],
        ["plan.yaml:4", "name"],
    ]


def test_a_mistake_below_an_alias_has_the_line_where_it_is_used():
    text = TEXT.replace("training: {", "training: &x {").split("serving:")[0]
    assert file_mistakes(text + "serving: {<<: *x, decode_mfu: 1%}\n") == [
        f"plan.yaml:10: serving.mfu: unknown key; known: {', '.join(Serving.model_fields)}",
        "plan.yaml:10: serving: prefill_mfu is missing; write it like prefill_mfu: 50%",
    ]


@given(
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=8),
            st.sampled_from(["30B", "h100-sxm"]),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["base", "peak", "price", "E", "params", "name", "x", "loss"]), inner, max_size=3
            ),
        ),
        max_leaves=8,
    ),
    st.sampled_from(
        [
            "name",
            "law",
            "target",
            "demand",
            "objective",
            "training",
            "serving",
            "target__model",
            "training__hardware",
            "law__E",
        ]
    ),
)
def test_any_value_in_any_place_is_a_scenario_or_a_scenario_error(value: Any, place: str):
    tree: dict[str, Any] = yaml.safe_load(TEXT)
    section, _, key = place.partition("__")
    if key and section != "law":
        tree[section] = {**tree[section], key: value} if section != "target" else {key: value}
    else:
        tree[section] = {**INLINE_LAW, key: value} if key else value
    try:
        found = Scenario.from_dict(tree).to_problem().target_loss
    except ScenarioError as error:
        found = float(len(error.mistakes))
    assert found > 0


# There and back


@st.composite
def valid_scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """Draw scenarios as someone could write them."""
    number = strategies.log_floats
    size = {"params": draw(number(1e8, 1e12)), "tokens": draw(number(1e9, 1e14))}
    named = [
        name for name in models.names() if (model := models.reference_model(name)).tokens and not model.active_params
    ]
    tree: dict[str, Any] = {
        "law": draw(st.sampled_from([*catalogue.names(), INLINE_LAW])),
        "target": draw(
            st.one_of(
                number(1e8, 1e12).map(lambda x: {"chinchilla": x}),
                st.sampled_from([{"model": name} for name in named]),
                st.just({"model": size}),
            )
        ),
    }
    if draw(st.booleans()):
        tree["name"] = draw(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20))
    if draw(st.booleans()):
        return tree | {"objective": "flops", "demand": {"tokens": draw(number(1e6, 1e16))}}
    tree["demand"] = {
        "requests": draw(number(1e3, 1e12)),
        "input_tokens": draw(st.one_of(st.just(0), number(1, 1e5))),
        "output_tokens": draw(number(1, 1e5)),
    }
    for use, shares in (("training", ["mfu"]), ("serving", ["prefill_mfu", "decode_mfu"])):
        chip = draw(st.sampled_from(hardware.names()))
        precision = draw(st.sampled_from(sorted(hardware.accelerator(chip).peak)))
        choice = draw(
            st.sampled_from([chip, {"base": chip, "memory": "64 GB"}, {**INLINE_CHIP, "peak": {precision: 500}}])
        )
        tree[use] = {"hardware": choice, "precision": precision, "price": draw(number(0.01, 100))}
        tree[use] |= {share: draw(number(1e-4, 1.0)) for share in shares}
    return tree


@given(valid_scenarios())
def test_a_scenario_to_dict_and_back_is_itself(tree: dict[str, Any]):
    once = Scenario.from_dict(tree)
    again = Scenario.from_dict(once.to_dict())
    assert again.to_dict() == once.to_dict()
    assert again.to_problem() == once.to_problem()


@given(valid_scenarios())
def test_a_scenario_survives_being_written_as_yaml_and_as_json(tree: dict[str, Any]):
    stated = Scenario.from_dict(tree)
    for text in (
        yaml.safe_dump(stated.to_dict(), allow_unicode=True),
        json.dumps(stated.to_dict(), ensure_ascii=False),
    ):
        again = check(parse(text))
        assert again.to_problem() == stated.to_problem()
        assert again.name == stated.name


@given(valid_scenarios())
def test_every_valid_scenario_is_valid_for_editors(tree: dict[str, Any]):
    VALIDATOR.validate(tree)
    VALIDATOR.validate(json.loads(json.dumps(Scenario.from_dict(tree).to_dict())))


# JSON Schema


VALIDATOR = jsonschema.Draft202012Validator(json_schema(distributions=True))


def test_the_json_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_json_schema_takes_every_scenario(path: Path):
    VALIDATOR.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_there_are_scenarios():
    assert "1B-requests" in [path.stem for path in SCENARIOS]


@pytest.mark.parametrize(
    "changes",
    [
        {"law": "sardana-2023"},
        {"law": {"E": 1}},
        {"law": 3},
        {"target": {}},
        {"target": {"chinchilla": "30B", "loss": 2}},
        {"target": {"chinchilla": -1}},
        {"target": {"chinchilla": "thirty"}},
        {"target": {"model": "gpt-9"}},
        {"target": {"model": {"params": 1}}},
        {"demand": {"requests": 0}},
        {"demand": {"request": 1}},
        {"demand": []},
        {"objective": "profit"},
        {"training": {"hardware": "h100", "precision": "bf16", "mfu": 0.5}},
        {"training": {"hardware": "h100-sxm", "precision": "bf16", "mfu": 1.5}},
        {"training": {"hardware": "h100-sxm", "precision": "bf16"}},
        {"serving": {"hardware": "h100-sxm", "precision": "bf16", "mfu": 0.5}},
        {"name": ""},
        {"extra": 1},
        {"demand": {"requests": "1B", "months": 0, "input_tokens": 70, "output_tokens": 215}},
        {"demand": {"table": [{"month": "Jan 2027", "requests": 1}], "input_tokens": 70, "output_tokens": 215}},
        {"demand": {"requests": "1B", "months": 1, "input_tokens": 70, "output_tokens": 215, "peak_to_mean": 0}},
        {"discounting": {}},
        {"currency": {"code": "EUR", "per_usd": 0.86}},
        {"energy": {"pue": 0.9}},
        {"buy": {"price": 1}},
    ],
    ids=str,
)
def test_the_json_schema_refuses_broken_scenarios(changes: dict[str, Any]):
    tree = {**yaml.safe_load(TEXT), **changes}
    assert VALIDATOR.is_valid(yaml.safe_load(TEXT))
    assert not VALIDATOR.is_valid(tree)
    with pytest.raises(ScenarioError):
        Scenario.from_dict(tree)


@pytest.mark.parametrize("key", ["law", "demand"])
def test_the_json_schema_requires_what_a_scenario_requires(key: str):
    tree = yaml.safe_load(TEXT)
    del tree[key]
    assert not VALIDATOR.is_valid(tree)


def test_the_json_schema_describes_every_key_with_an_example_or_a_meaning():
    schema = json_schema()
    sections = [schema, *schema["$defs"].values()]
    for section in sections:
        for key, value in section["properties"].items():
            parts = [value, *value.get("anyOf", [])]
            assert any("description" in part or "$ref" in part for part in parts), key
