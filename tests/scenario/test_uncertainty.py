"""Uncertain numbers in a scenario: read where they stand, counted as their medians, drawn jointly, written back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import qmc
from trees import changed

import beyond_chinchilla as bc
from beyond_chinchilla.distributions import Lognormal, Normal, Samples
from beyond_chinchilla.errors import InputError, ScenarioError
from beyond_chinchilla.scenario.document import parse
from beyond_chinchilla.scenario.load import Scenario, check
from beyond_chinchilla.scenario.schema import json_schema

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))

TEXT = """\
law: sardana-2024
target: {chinchilla: 30B}
demand:
  requests: 1B
  input_tokens: 70
  output_tokens: 215
training: {hardware: a100-80gb-sxm, precision: bf16, price: 1.50 USD/hour, mfu: 50%}
serving:
  hardware: a100-40gb-sxm
  precision: int8
  price: 1.10 USD/hour
  prefill_mfu: 50%
  decode_mfu: 1%
"""
TREE = yaml.safe_load(TEXT)
REQUESTS = {"median": "1B", "p90": "4B"}
PRICE = {"p10": "1 USD/hour", "p90": "2 USD/hour"}
FLOPS: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"chinchilla": "13B"},
    "demand": {"tokens": "2T"},
    "objective": "flops",
}


def scenario(**changes: Any) -> Scenario:
    """Return the test's scenario with values changed, ``demand__requests``."""
    return Scenario.from_dict(changed(TREE, **changes))


def mistakes(folder: Path | str = ".", **changes: Any) -> list[str]:
    with pytest.raises(ScenarioError) as told:
        Scenario.from_dict(changed(TREE, **changes), folder=folder)
    return list(told.value.mistakes)


def same(one: Scenario, other: Scenario) -> bool:
    """Say whether two scenarios say the same, whichever keys were left to their defaults."""
    return one.to_dict() == other.to_dict() and one.uncertain == other.uncertain


def points(uncertain: Scenario, count: int = 2**13) -> np.ndarray:
    return qmc.Sobol(uncertain.uncertainty.dimensions, seed=7).random(count)


# Where they may stand

EVERYWHERE = {
    "target__chinchilla": {"low": "20B", "high": "40B"},
    "demand__requests": REQUESTS,
    "demand__input_tokens": {"low": 50, "mode": 70, "high": 100},
    "demand__cached_share": {"low": "10%", "high": "30%"},
    "demand__factor": {"median": 1, "p90": 2},
    "training__price": PRICE,
    "training__mfu": {"normal": {"mean": "40%", "sd": "5%"}},
    "training__development": {"low": "0%", "mode": "10%", "high": "50%"},
    "serving__price": {"a100-40gb-sxm": {"median": "$1.10/hour", "p90": "$2/hour"}},
    "serving__decode_mfu": {"low": "0.5%", "mode": "1%", "high": "3%"},
    "limits": {
        "params": {"max": {"low": "30B", "high": "40B"}},
        "total_cost": {"max": {"median": "9M USD", "p90": "10M USD"}},
    },
}


def test_every_number_may_be_uncertain_and_counts_as_its_median():
    found = scenario(**EVERYWHERE)
    inputs = {each.label: each for each in found.uncertainty.inputs}
    assert set(inputs) == {
        *("target.chinchilla", "demand.requests", "demand.input_tokens", "demand.cached_share", "demand.factor"),
        *("training.price", "training.mfu", "training.development", "serving.price.a100-40gb-sxm"),
        *("serving.decode_mfu", "limits.params.max", "limits.total_cost.max"),
    }
    assert found.file.demand.requests == 1e9
    assert found.file.training is not None
    assert found.file.training.price == pytest.approx(2**0.5)
    assert found.file.training.mfu == pytest.approx(0.4)
    assert found.file.serving is not None
    assert found.file.serving.price == {"a100-40gb-sxm": pytest.approx(1.10)}
    assert found.file.limits is not None
    assert found.file.limits.params is not None
    assert found.file.limits.params.max == 35e9
    groups = {each.label: each.group for each in found.uncertainty.inputs}
    assert groups["training.price"] == groups["serving.price.a100-40gb-sxm"] == "prices"
    assert groups["training.mfu"] == groups["serving.decode_mfu"] == "utilisation"
    assert groups["limits.params.max"] == "limits"
    assert bc.solve(found).best is not None


def test_medians_make_the_plan_of_a_scenario_that_states_them():
    plan = bc.solve(scenario(demand__requests=REQUESTS, training__price=PRICE))
    plain = bc.solve(scenario(training__price=2**0.5))
    assert plan.best is not None
    assert plain.best is not None
    assert plan.best.params == pytest.approx(plain.best.params, rel=1e-12)
    assert plan.best.total == pytest.approx(plain.best.total, rel=1e-12)


def test_the_page_says_what_is_uncertain():
    plan = bc.solve(scenario(demand__requests=REQUESTS, training__price=PRICE))
    end = "and counts as its median; --risk carries it through"
    assert plan.warnings[-2:] == (
        f"demand.requests is uncertain (lognormal, median 1B, p90 4B) {end}",
        f"training.price is uncertain (lognormal, p10 $1/hour, p90 $2/hour) {end}",
    )


def test_shares_and_months_are_told_in_their_units_and_many_numbers_in_one_line():
    rows = [
        {"month": str(i), "requests": {"median": "1M", "p90": "2M"}, "input_tokens": 9, "output_tokens": 9}
        for i in range(1, 11)
    ]
    tree = changed(TREE, training__mfu={"low": "35%", "high": "45.5%"})
    tree["demand"] = {"table": rows}
    notes = Scenario.from_dict(tree).to_problem().notes
    assert notes[-1] == "5 more numbers are uncertain and count as their medians; --risk carries them through"
    assert sum("demand.table" in note for note in notes) == 6
    (share,) = scenario(training__mfu={"low": "35%", "high": "45.5%"}).uncertainty.inputs
    assert share.describe() == "training.mfu: 35% to 45.5%, all alike"


@pytest.mark.parametrize(
    "path",
    [path for path in SCENARIOS if path.stem not in ("uncertain-demand", "benchmark-target")],
    ids=lambda path: path.stem,
)
def test_a_certain_scenario_is_untouched(path: Path):
    found = bc.load(path)
    assert found.uncertain == ()
    assert not found.uncertainty.inputs
    assert not any("uncertain" in note for note in found.to_problem().notes)
    assert found.uncertainty.is_certain == (found.uncertainty.law is None)


@given(st.floats(1e6, 1e12), st.floats(1.1, 20.0))
def test_any_lognormal_demand_is_drawn_about_its_median(median: float, ratio: float):
    tree = FLOPS | {"demand": {"tokens": {"median": median, "p90": ratio * median}}}
    found = Scenario.from_dict(tree)
    assert found.file.demand.tokens == median
    drawn = found.uncertainty.draw(np.array([[0.5], [0.9]])).values["demand", "tokens"]
    np.testing.assert_allclose(drawn, [median, ratio * median], rtol=1e-12)


# Numbers are read as their field's

UNITS = [
    ("demand__requests", {"median": "1 billion", "p90": "4,000M"}, 4e9),
    ("training__price", {"median": "$1/hour", "p90": "2 USD/GPU-hour"}, 2.0),
    ("training__mfu", {"low": "40%", "high": 0.6}, 0.58),
    ("target__chinchilla", {"low": "20B params", "high": "40B"}, 38e9),
]


@pytest.mark.parametrize(("key", "stated", "p90"), UNITS)
def test_units_are_those_of_the_field(key: str, stated: dict[str, Any], p90: float):
    (each,) = scenario(**{key: stated}).uncertainty.inputs
    assert float(each.distribution.quantile(0.9)) == pytest.approx(p90, rel=1e-12)


def test_amounts_may_be_in_the_second_currency():
    tree = changed(TREE, training__price={"median": "0.86 EUR/hour", "p90": "1.72 EUR/hour"})
    tree["currency"] = {"code": "EUR", "per_usd": 0.86, "date": "2026-11-01", "source": "ECB"}
    found = Scenario.from_dict(tree)
    (each,) = found.uncertainty.inputs
    assert each.distribution.median == pytest.approx(1.0)
    # Written back in USD, like every amount.
    assert found.to_dict()["training"]["price"]["p90"] == pytest.approx(2.0)
    assert same(Scenario.from_dict(found.to_dict()), found)


# Bad input: one clear line each


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"demand__requests": {"median": "4B", "p90": "1B"}}, "demand.requests: p90 1B is not above the median 4B"),
        ({"demand__requests": {"median": "4 USD", "p90": "9B"}}, "demand.requests.median: '4 USD' is not in requests"),
        ({"demand__requests": {"median": "4B", "p9": "9B"}}, "demand.requests.p9: unknown key; did you mean 'p90'?"),
        ({"demand__requests": {"mean": "4B", "sd": "1B"}}, "demand.requests: mean, sd makes no distribution; write"),
        ({"demand__requests": {"middle": "4B"}}, "demand.requests: expected a number in requests, got a mapping"),
        ({"training__mfu": {"median": "50%", "p90": "90%"}}, "training.mfu: this lognormal is above 1"),
        ({"training__mfu": {"low": "50%", "high": "120%"}}, "training.mfu.high: 120% must be above 0 and at most 100%"),
        ({"training__mfu": {"normal": {"mean": "50%", "sd": "40%"}}}, "training.mfu: a normal of mean 0.5 and sd 0.4"),
        ({"training__price": {"normal": {"mean": "2 USD/hour", "sd": "10%"}}}, "normal.sd: 10% of what?"),
        ({"training__gpus": {"low": 100, "high": 200}}, "training.gpus: is a whole number, which takes no distrib"),
        ({"demand__requests": {"samples": "missing.csv"}}, "demand.requests.samples: missing.csv: no such file"),
        ({"demand__requests": {"samples": "/etc/passwd"}}, "lies outside the scenario's folder"),
        ({"serving__price": {"low": 1, "hih": 2}}, "serving.price.hih: unknown key; did you mean 'high'?"),
    ],
)
def test_a_mistake_is_told_in_a_line(changes: dict[str, Any], told: str):
    found = mistakes(**changes)
    assert len(found) == 1, found
    assert told in found[0]


def test_mistakes_have_their_lines_and_come_all_at_once():
    text = TEXT.replace("requests: 1B", "requests:\n    median: 4 USD\n    p90: x").replace(
        "mfu: 50%}", "mfu: {low: 2, high: 3}}"
    )
    with pytest.raises(ScenarioError) as told:
        check(parse(text, "plan.yaml"))
    assert [line.split(": ")[:2] for line in told.value.mistakes] == [
        ["plan.yaml:5", "demand.requests.median"],
        ["plan.yaml:6", "demand.requests.p90"],
        ["plan.yaml:9", "training.mfu.low"],
        ["plan.yaml:9", "training.mfu.high"],
    ]


def test_rates_of_currencies_and_rules_take_no_distribution():
    rate = {"code": "EUR", "per_usd": {"low": 0.8, "high": 0.9}, "date": "2026-11-01"}
    assert any("currency.per_usd" in line for line in mistakes(currency=rate))
    assert any("max_failure" in line for line in mistakes(uncertainty={"max_failure": {"low": 0.1, "high": 0.2}}))


def test_an_override_may_be_a_distribution(tmp_path: Path):
    path = tmp_path / "plan.yaml"
    path.write_text(TEXT)
    found = bc.load(path, ["demand.requests={median: 2B, p90: 6B}"])
    assert found.file.demand.requests == 2e9
    assert bc.load(path, ["demand.requests={median: 2B, p90: 6B}", "demand.requests.p90=8B"]).uncertain[0] == (
        found.uncertain[0].__class__(
            keys=("demand", "requests"),
            group="demand",
            unit="requests",
            distribution=Lognormal(middle=2e9, p90=8e9, low=1e-18, high=1e24),
        )
    )
    with pytest.raises(ScenarioError, match=r"with --set: demand\.requests: p90 1B is not above"):
        bc.load(path, ["demand.requests={median: 2B, p90: 1B}"])


# Samples of a file


def write(folder: Path, rows: list[str], name: str = "sales.csv") -> Path:
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder


GOOD = [f"{value:.6g}" for value in np.random.default_rng(5).lognormal(20, 0.7, 300)]


def test_samples_come_from_a_named_column(tmp_path: Path):
    rows = ["scenario,requests a year", *(f"{i},{value}" for i, value in enumerate(GOOD))]
    stated = {"samples": "sales.csv", "column": "requests a year"}
    found = Scenario.from_dict(changed(TREE, demand__requests=stated), folder=write(tmp_path, rows))
    (each,) = found.uncertainty.inputs
    assert isinstance(each.distribution, Samples)
    assert each.describe().startswith("demand.requests: 300 samples of sales.csv, median ")
    assert found.file.demand.requests == pytest.approx(float(np.median([float(value) for value in GOOD])))
    # Afterwards nobody needs the file.
    again = Scenario.from_dict(json.loads(json.dumps(found.to_dict())))
    assert same(again, found)


@pytest.mark.parametrize("heading", [[], ["requests"]])
def test_a_single_column_needs_no_name(tmp_path: Path, heading: list[str]):
    tree = changed(TREE, demand__requests={"samples": "sales.csv"})
    (each,) = Scenario.from_dict(tree, folder=write(tmp_path, [*heading, *GOOD])).uncertainty.inputs
    assert isinstance(each.distribution, Samples)
    assert len(each.distribution.values) == 300


@pytest.mark.parametrize(
    ("rows", "stated", "told"),
    [
        (["requests", *GOOD[:99]], {}, "demand.requests.samples: 99 usable samples say too little; give 100 at least"),
        (["requests", *GOOD, "nan"], {}, "sales.csv: 1 of 301 cells are no number (NaN or such), first in line 302"),
        (["requests", *GOOD, "soon"], {}, "1 of 301 cells cannot be read, first in line 302: 'soon'"),
        (["requests", *GOOD, "-5"], {}, "first in line 302: '-5': -5 must be above zero"),
        (["a,b", *(f"{v},1" for v in GOOD)], {}, "sales.csv: has 2 columns (a, b); say which, such as column: a"),
        (["a,b", *(f"{v},1" for v in GOOD), ",2"], {"column": "a"}, "1 of 301 cells are blank, first in line 302"),
        (["a,b", *(f"{v},1" for v in GOOD)], {"column": "aa"}, "no column 'aa'; did you mean 'a'?"),
        (["requests", *["7"] * 200], {}, "all samples are equal"),
        ([""], {}, "the file is empty"),
    ],
)
def test_samples_that_cannot_be_used_are_told(tmp_path: Path, rows: list[str], stated: dict[str, str], told: str):
    found = mistakes(write(tmp_path, rows), demand__requests={"samples": "sales.csv"} | stated)
    assert len(found) == 1, found
    assert told in found[0]


def test_samples_may_be_written_out():
    (each,) = scenario(training__price={"samples": [f"{1 + i / 100} USD/hour" for i in range(150)]}).uncertainty.inputs
    assert each.distribution.median == pytest.approx(1.745)


# Correlations

CORRELATED = {
    "demand__requests": REQUESTS,
    "training__price": PRICE,
    "demand__output_tokens": {"low": 100, "high": 300},
}


def correlated(*pairs: tuple[str, str, float], **changes: Any) -> dict[str, Any]:
    stated = [{"between": [first, second], "value": value} for first, second, value in pairs]
    return CORRELATED | {"uncertainty": {"correlations": stated}} | changes


def test_drawn_samples_correlate_as_stated():
    found = scenario(**correlated(("demand.requests", "training.price", 0.6)))
    drawn = found.uncertainty.draw(points(found)).values
    logs = np.log([drawn["demand", "requests"], drawn["training", "price"]])
    # Both are lognormal: their logarithms are their normal scores.
    assert np.corrcoef(logs)[0, 1] == pytest.approx(0.6, abs=0.01)
    lengths = drawn["demand", "output_tokens"]
    assert abs(np.corrcoef(lengths, logs[0])[0, 1]) < 0.01
    # Each keeps its own distribution.
    np.testing.assert_allclose(np.quantile(drawn["training", "price"], [0.1, 0.5, 0.9]), [1, 2**0.5, 2], rtol=0.01)
    np.testing.assert_allclose(np.quantile(lengths, [0.1, 0.5, 0.9]), [120, 200, 280], rtol=0.01)


def test_correlation_is_that_of_normal_scores():
    found = scenario(**correlated(("demand.requests", "demand.output_tokens", -0.8)))
    drawn = found.uncertainty.draw(points(found)).values
    scores = ndtri((drawn["demand", "output_tokens"] - 100) / 200)
    assert np.corrcoef(scores, np.log(drawn["demand", "requests"]))[0, 1] == pytest.approx(-0.8, abs=0.01)


def test_perfect_correlation_is_possible():
    found = scenario(**correlated(("demand.requests", "training.price", 1.0)))
    drawn = found.uncertainty.draw(points(found, 256)).values
    order = np.argsort(drawn["demand", "requests"])
    assert (np.diff(drawn["training", "price"][order]) > 0).all()


def test_groups_are_independent_of_each_other_and_named_for_people():
    apart = scenario(**CORRELATED).uncertainty
    assert [each.label for each in apart.inputs] == ["demand.requests", "demand.output_tokens", "training.price"]
    assert {group.name: group.columns for group in apart.groups} == {"demand": (0, 1), "prices": (2,)}
    joined = scenario(**correlated(("demand.requests", "training.price", 0.6))).uncertainty
    (group,) = joined.groups
    assert group.name == "demand and prices"
    assert group.columns == (0, 1, 2)
    with_law = scenario(law="besiroglu-2024", **CORRELATED).uncertainty
    assert with_law.groups[-1].name == "law"
    assert with_law.groups[-1].columns == (3, 4, 5, 6, 7)
    assert sorted(column for group in with_law.groups for column in group.columns) == list(range(with_law.dimensions))


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (
            [("demand.request", "training.price", 0.4)],
            "'demand.request' is no uncertain number of this file; did you me",
        ),
        ([("serving.decode_mfu", "training.price", 0.4)], "'serving.decode_mfu' is no uncertain number"),
        ([("training.price", "training.price", 0.4)], "training.price stands twice"),
        ([("training.price", "demand.requests", 0.4), ("demand.requests", "training.price", 0.5)], "is stated twice"),
        ([("training.price", "demand.requests", 1.4)], "1.4 is not within -1 to 1"),
    ],
)
def test_a_wrong_correlation_is_told(pairs: list[tuple[str, str, float]], told: str):
    found = mistakes(**correlated(*pairs))
    assert len(found) == 1
    assert told in found[0]
    assert "uncertainty.correlations.0." in found[0] or "uncertainty.correlations.1." in found[0]


def test_a_pair_is_two_keys():
    stated = {"correlations": [{"between": ["demand.requests"], "value": 0.3}]}
    assert "expected two keys" in mistakes(**CORRELATED, uncertainty=stated)[0]


def test_of_impossible_correlations_the_nearest_are_offered_and_are_possible():
    pairs = (
        ("demand.requests", "training.price", 0.9),
        ("demand.requests", "demand.output_tokens", 0.9),
        ("training.price", "demand.output_tokens", -0.9),
    )
    (line,) = mistakes(**correlated(*pairs))
    assert "not positive semi-definite" in line
    offered = line.split("the nearest that do: ")[1].split(", ")
    again = [(*text.rsplit(" ", 1)[0].split(" with "), float(text.rsplit(" ", 1)[1])) for text in offered]
    found = scenario(**correlated(*again)).uncertainty
    assert np.linalg.eigvalsh(found.correlation)[0] >= 0
    # By symmetry 0.9, 0.9 and -0.9 become 0.5, 0.5 and -0.5, on the edge.
    np.testing.assert_allclose([value for _, _, value in again], [0.5, 0.5, -0.5], atol=0.02)


# Rules


def test_rules_have_defaults_and_are_read():
    plain = scenario(demand__requests=REQUESTS).uncertainty
    assert (plain.hold, plain.max_failure) == ("loss", 0.05)
    stated = scenario(demand__requests=REQUESTS, uncertainty={"hold": "size", "max_failure": "10%"}).uncertainty
    assert (stated.hold, stated.max_failure) == ("size", 0.1)


def test_hold_size_needs_a_size():
    rules = {"hold": "size"}
    (line,) = mistakes(target={"loss": 2.0}, uncertainty=rules)
    assert "uncertainty.hold: size needs a target by size" in line
    assert "did you mean 'size'?" in mistakes(uncertainty={"hold": "sise"})[0]
    assert "uncertainty.hod: unknown key; did you mean 'hold'?" in mistakes(uncertainty={"hod": "size"})[0]


# Draws


def test_the_same_points_give_the_same_samples_in_any_blocks():
    found = scenario(law="besiroglu-2024", **EVERYWHERE)
    u = points(found, 512)
    whole = found.uncertainty.draw(u)
    parts = [found.uncertainty.draw(u[i : i + 100]) for i in range(0, 512, 100)]
    assert sum(part.count for part in parts) == whole.count == 512
    for keys, values in whole.values.items():
        np.testing.assert_array_equal(values, np.concatenate([part.values[keys] for part in parts]))
    assert whole.law is not None
    np.testing.assert_array_equal(whole.law.A, np.concatenate([part.law.A for part in parts if part.law is not None]))


def test_the_corner_of_the_cube_makes_numbers():
    found = scenario(law="besiroglu-2024", **EVERYWHERE)
    drawn = found.uncertainty.draw(
        np.array([[0.0] * found.uncertainty.dimensions, [1.0] * found.uncertainty.dimensions])
    )
    assert all(np.isfinite(values).all() for values in drawn.values.values())
    assert drawn.law is not None
    assert np.isfinite(drawn.law.A).all()


def test_points_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"\(K, 1\) are needed"):
        scenario(demand__requests=REQUESTS).uncertainty.draw(np.zeros((4, 2)))


def test_nothing_uncertain_draws_nothing():
    found = scenario().uncertainty
    assert found.is_certain
    assert found.groups == ()
    drawn = found.draw(np.empty((3, 0)))
    assert (drawn.count, dict(drawn.values), drawn.law) == (3, {}, None)


# Round trips


def test_what_is_written_is_read_back_with_its_distributions():
    found = scenario(
        **EVERYWHERE, uncertainty={"correlations": [{"between": ["demand.requests", "training.price"], "value": 0.4}]}
    )
    tree = found.to_dict()
    assert tree["demand"]["requests"] == {"median": 1e9, "p90": 4e9}
    assert tree["training"]["mfu"] == {"normal": {"mean": 0.4, "sd": 0.05}}
    again = Scenario.from_dict(json.loads(json.dumps(tree)))
    assert same(again, found)
    np.testing.assert_array_equal(again.uncertainty.correlation, found.uncertainty.correlation)
    assert again.to_dict() == tree


def test_rows_of_a_table_are_written_back():
    rows = [{"month": "1", "requests": "1M"}, {"month": "2", "requests": {"low": "1M", "high": "3M"}}]
    tree = changed(TREE)
    tree["demand"] = {"table": rows, "input_tokens": 70, "output_tokens": 215}
    found = Scenario.from_dict(tree)
    assert found.uncertainty.inputs[0].label == "demand.table.1.requests"
    assert found.to_dict()["demand"]["table"][1]["requests"] == {"low": 1e6, "high": 3e6}
    assert same(Scenario.from_dict(found.to_dict()), found)


def test_an_alias_shares_a_distribution():
    text = TEXT.replace("requests: 1B", "requests: &spread {median: 1B, p90: 4B}").replace(
        "output_tokens: 215", "output_tokens: 215\n  reasoning_tokens: &len {low: 1, high: 9}"
    )
    found = check(parse(text + "limits: {params: {max: *spread}}\n"))
    assert [each.label for each in found.uncertainty.inputs] == [
        "demand.requests",
        "demand.reasoning_tokens",
        "limits.params.max",
    ]


def test_editors_are_told_of_distributions():
    schema = json_schema(distributions=True)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    tree = yaml.safe_load((SCENARIOS[0].parent / "uncertain-demand.yaml").read_text())
    assert list(validator.iter_errors(tree)) == []
    tree["demand"]["requests"]["p9"] = 3
    assert list(validator.iter_errors(tree))
    plain = jsonschema.Draft202012Validator(json_schema())
    assert list(plain.iter_errors(tree))


# A factor on demand


def test_a_factor_multiplies_requests_and_tokens():
    assert scenario(demand__factor=3).demand() == (3e9, "requests")
    assert (
        bc.solve(scenario(demand__factor=3)).to_dict()["plan"]
        == bc.solve(scenario(demand__requests="3B")).to_dict()["plan"]
    )
    tokens = FLOPS | {"demand": {"tokens": "2T", "factor": 2}}
    assert (
        bc.solve(Scenario.from_dict(tokens)).best
        == bc.solve(Scenario.from_dict(FLOPS | {"demand": {"tokens": "4T"}})).best
    )


@pytest.mark.parametrize(
    "demand",
    [
        {"requests_per_month": "10M", "growth_per_month": "5%", "saturation": "20M", "months": 24},
        {"users": "10k", "requests_per_user_per_day": 5, "months": 12},
        {"table": [{"month": "1", "requests": "5M"}, {"month": "2", "requests": "9M"}]},
        {"requests": "1B", "months": 12},
    ],
)
def test_a_factor_multiplies_every_month(demand: dict[str, Any]):
    lengths = {"input_tokens": 70, "output_tokens": 215}
    tree = changed(TREE)
    tree["demand"] = demand | lengths
    plain = Scenario.from_dict(tree)
    tree["demand"] = demand | lengths | {"factor": 1.5}
    more = Scenario.from_dict(tree)
    np.testing.assert_allclose(more.forecast().requests, 1.5 * np.array(plain.forecast().requests), rtol=1e-12)
    assert more.demand()[0] == pytest.approx(1.5 * plain.demand()[0])
    np.testing.assert_allclose(more.scaled(2.0).forecast().requests, 2 * np.array(more.forecast().requests), rtol=1e-12)
    assert Scenario.from_dict(more.to_dict()).forecast() == more.forecast()


def test_a_factor_is_positive():
    assert "demand.factor: 0 must be above zero" in mistakes(demand__factor=0)[0]


def test_scaled_demand_scales_its_distributions():
    found = scenario(demand__requests=REQUESTS, demand__factor={"low": 1, "high": 2}, training__price=PRICE).scaled(2.0)
    spread = {each.label: each.distribution for each in found.uncertainty.inputs}
    assert found.file.demand.requests == 2e9
    assert spread["demand.requests"] == Lognormal(middle=2e9, p90=8e9, low=1e-18, high=1e24)
    assert spread["demand.factor"].to_dict() == {"low": 1.0, "high": 2.0}
    assert isinstance(spread["training.price"], Lognormal)
    assert same(Scenario.from_dict(found.to_dict()), found)


def test_normals_are_cut_at_what_the_field_allows():
    (each,) = scenario(training__mfu={"normal": {"mean": "60%", "sd": "20%"}}).uncertainty.inputs
    assert isinstance(each.distribution, Normal)
    drawn = each.distribution.quantile(np.linspace(0, 1, 1001)[1:-1])
    assert 0 < drawn.min() < drawn.max() <= 1
    assert "the 2.4% beyond 0 to 1 cut" in each.describe()


def test_a_certain_scenario_pays_nothing_for_it():
    """What draws and what reads distributions is not even imported."""
    code = (
        "import sys, beyond_chinchilla as bc; bc.load(sys.argv[1]); "
        "print(*(name for name in sys.modules if 'distrib' in name and 'chinchilla' in name or '.uncertainty' in name "
        "or name in ('scipy.special', 'statistics')))"
    )
    path = next(path for path in SCENARIOS if path.stem == "1B-requests")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
