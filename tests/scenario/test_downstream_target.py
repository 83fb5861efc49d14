"""Targets on a suite of tasks: what they ask for, which map turns them into a loss, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from trees import COST, changed

import beyond_chinchilla as bc
from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.errors import InputError, ScenarioError
from beyond_chinchilla.laws import suites
from beyond_chinchilla.laws.downstream import MOST_LOSS, DownstreamMap
from beyond_chinchilla.scenario.load import Scenario, load
from beyond_chinchilla.scenario.past.uncertain_suite import UncertainSuite
from beyond_chinchilla.scenario.schema import json_schema

OWN = {"epsilon": 0.9, "k": 2.4, "gamma": 0.8}
SPREAD = ((4e-4, -2e-3, -1e-3), (-2e-3, 4e-2, 1.5e-2), (-1e-3, 1.5e-2, 6e-3))


def asked(law: Any = "gadre-2024-c4", **target: Any) -> dict[str, Any]:
    return {**changed(COST), "law": law, "target": target}


def scenario(law: Any = "gadre-2024-c4", **target: Any) -> Scenario:
    return Scenario.from_dict(asked(law, **target))


def mistakes(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(tree)
    return [line.split(": ", 1)[1] for line in caught.value.mistakes]


# What it asks for


def test_an_error_asks_for_the_loss_that_has_it() -> None:
    # .850 - 2.079 exp(-.756 L) = .5
    loss = math.log(2.079 / 0.35) / 0.756
    assert scenario(error="50%", suite="gadre-17").to_problem().target_loss == pytest.approx(loss, rel=1e-12)


def test_a_score_is_one_less_the_error() -> None:
    by_score, by_error = scenario(score=0.55, suite="gadre-17"), scenario(error="45%", suite="gadre-17")
    assert by_score.to_problem().target_loss == pytest.approx(by_error.to_problem().target_loss, rel=1e-12)


def test_the_plan_is_that_of_the_loss() -> None:
    on_suite = bc.solve(scenario(error=0.5, suite="gadre-17"))
    by_loss = bc.solve(scenario(loss=on_suite.target_loss))
    assert on_suite.best == by_loss.best
    assert on_suite.baseline == by_loss.baseline


@pytest.mark.parametrize(
    ("law", "suite", "expected"),
    [
        ("gadre-2024-redpajama", "gadre-46", "gadre-46-redpajama"),
        ("gadre-2024-c4", "gadre-46", "gadre-46-c4"),
        ("gadre-2024-c4", "gadre-46-refinedweb", "gadre-46-refinedweb"),
        ("besiroglu-2024", "gadre-46", "gadre-46-c4"),
    ],
)
def test_a_suite_is_that_of_the_laws_data(law: str, suite: str, expected: str) -> None:
    found = scenario(law, error=0.65, suite=suite).to_problem()
    assert found.target_loss == pytest.approx(float(suites.published_map(expected).loss_for(0.65)), rel=1e-12)


def test_losses_of_another_law_are_warned_of() -> None:
    own = scenario(error=0.56, suite="gadre-17").to_problem().notes
    other = scenario("besiroglu-2024", error=0.56, suite="gadre-17").to_problem().notes
    assert own == ()
    (note,) = other
    assert note.startswith(
        "suite gadre-17 was fitted to losses of law gadre-2024-c4 (C4); losses of law besiroglu-2024"
    )


def test_a_loss_never_seen_is_warned_of() -> None:
    (note,) = scenario(error=0.45, suite="gadre-17").to_problem().notes
    assert note == "suite gadre-17: target loss 2.18 is 0.48 nats below the lowest that gadre-17-c4 has seen (2.657)"


def test_a_map_of_ones_own_can_be_written_out() -> None:
    found = scenario("sardana-2024", error=0.4, suite=OWN).to_problem()
    assert found.target_loss == pytest.approx(math.log(2.4 / 0.5) / 0.8, rel=1e-12)
    assert found.notes == ()


def test_what_bc_opt_fit_writes_is_a_suite(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    loss = np.linspace(2.0, 4.0, 30)
    error = DownstreamMap(**OWN).error(loss) + rng.normal(0.0, 0.004, 30)
    rows = [f"{x},{y}" for x, y in zip(loss, error, strict=True)]
    (tmp_path / "models.csv").write_text("\n".join(["loss,error", *rows]))
    command = ["fit", str(tmp_path / "models.csv"), "--downstream", "--bootstraps", "200"]
    written = CliRunner().invoke(cli, [*command, "-o", str(tmp_path / "suite.json")])
    assert written.exit_code == 0, written.output
    record = json.loads((tmp_path / "suite.json").read_text())
    assert record["schema"] == "beyond-chinchilla/suite/1"
    assert record["verdict"]["word"] == "good"
    found = Scenario.from_dict(asked("sardana-2024", error=0.4, suite="suite.json"), folder=tmp_path)
    mapped = DownstreamMap(**{key: record["suite"][key] for key in ("epsilon", "k", "gamma")})
    assert found.to_problem().target_loss == pytest.approx(float(mapped.loss_for(0.4)), rel=1e-12)
    uncertain = found.uncertainty.suite
    assert uncertain is not None
    assert uncertain.describe() == (
        f"suite models: 200 refits to resampled models; one model's scatter of {mapped_scatter(record)} points about it"
    )
    # It needs the file no more.
    assert Scenario.from_dict(found.to_dict()).to_problem().target_loss == found.to_problem().target_loss


def mapped_scatter(record: dict[str, Any]) -> str:
    return f"{record['suite']['residual'] * 100:.2f}"


def test_three_numbers_alone_make_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(OWN))
    found = Scenario.from_dict(asked("sardana-2024", error=0.4, suite="own.json"), folder=tmp_path)
    assert found.to_problem().target_loss == pytest.approx(math.log(2.4 / 0.5) / 0.8, rel=1e-12)
    assert found.uncertainty.suite is None
    assert found.uncertainty.suite_note == "suite own: held, as nothing is known of its errors"


def test_a_target_is_changed_from_the_command_line(tmp_path: Path) -> None:
    text = json.dumps(asked(error=0.5, suite="gadre-17"))
    (tmp_path / "plan.yaml").write_text(text)
    path = tmp_path / "plan.yaml"
    assert load(path, ["target.error=0.55"]).to_dict()["target"] == {"error": 0.55, "suite": "gadre-17"}
    assert load(path, ["target.score=0.4"]).to_dict()["target"] == {"score": 0.4, "suite": "gadre-17"}
    assert load(path, ["target.loss=2.5"]).to_dict()["target"] == {"loss": 2.5}
    assert load(path, ["target.suite=gadre-46", "target.error=0.65"]).to_dict()["target"]["suite"] == "gadre-46"


@pytest.mark.parametrize(
    "target", [{"error": "45%", "suite": "gadre-17"}, {"score": 0.5, "suite": OWN}, {"error": 0.4, "suite": "own.json"}]
)
def test_what_loads_is_what_editors_allow(target: dict[str, Any]) -> None:
    schema = json_schema()
    tree = asked(**target)
    if target["suite"] == "own.json":
        # Names of files are no names of the catalogue, as for laws.
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tree, schema)
    else:
        jsonschema.validate(tree, schema)


@pytest.mark.parametrize("target", [{"error": 0.4}, {"suite": "gadre-17"}, {"loss": 2.0, "suite": "gadre-17"}])
def test_what_is_refused_is_what_editors_refuse(target: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(asked(**target), json_schema())
    assert mistakes(asked(**target))


# What is refused


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"error": 0.45}, "target: error needs the suite of tasks on which it is measured; write target: {error: 45%"),
        ({"loss": 2.0, "suite": "gadre-17"}, "target: suite goes with error or score, not with loss; write target: {"),
        ({"suite": "gadre-17"}, "target: is empty; write chinchilla: 30B"),
        (
            {"error": 0.4, "score": 0.6, "suite": "gadre-17"},
            "target: error and score are both given; keep one; write chinchilla: 30B",
        ),
        (
            {"error": 0.4, "suite": "gadre-71"},
            "target.suite: no suite named 'gadre-71'; did you mean 'gadre-17'?",
        ),
        (
            {"score": "82%", "suite": "gadre-17"},
            "target.score: score 82% on gadre-17 is beyond the map's ceiling under law gadre-2024-c4: at",
        ),
        (
            {"error": "85%", "suite": "gadre-17"},
            "target.error: error 85% on gadre-17 is at or above 85%, what a model that knows nothing has; state one of",
        ),
        ({"error": 1.2, "suite": "gadre-17"}, "target.error: 1.2 must be above 0 and at most 100%; write it like 45%"),
        ({"error": 0.4, "suite": {"epsilon": 0.9, "k": 2.0}}, "target.suite: gamma is missing"),
        ({"error": 0.4, "suite": {**OWN, "gama": 1}}, "target.suite.gama: unknown key; did you mean 'gamma'?"),
        (
            {"error": 0.4, "suite": {**OWN, "covariance": [[1, 0], [0, 1]]}},
            "target.suite.covariance: expected 3 rows of 3 numbers, in the order epsilon, ln k, gamma, got a list",
        ),
        (
            {"error": 0.4, "suite": {**OWN, "gamma": {"low": 0.7, "high": 0.9}}},
            "target.suite.gamma: takes no distribution, as its constants are not independent; give covariance",
        ),
    ],
)
def test_a_target_that_cannot_be_is_told_with_its_bound(target: dict[str, Any], message: str) -> None:
    (line,) = mistakes(asked(**target))
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "not JSON; give what 'bc-opt fit MODELS --downstream -o suite.json' writes"),
        ('{"epsilon": 0.9, "k": 2.0}', "has no gamma; give what"),
        ("[]", "has no epsilon, k, gamma; give what"),
        (
            '{"suite": {"epsilon": 0.9, "k": 2, "gamma": 0.8}, "bootstrap": {"parameters": [[1, 2]]}}',
            "bootstrap.parameters: row 1 is not 3 numbers (epsilon, ln k, gamma): '1 2'",
        ),
    ],
)
def test_a_file_that_is_no_suite_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.json").write_text(text)
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(asked(error=0.4, suite="own.json"), folder=tmp_path)
    (line,) = caught.value.mistakes
    assert message in line


def test_a_file_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(OWN))
    (tmp_path / "below").mkdir()
    with pytest.raises(ScenarioError, match="lies outside the scenario's folder"):
        Scenario.from_dict(asked(error=0.4, suite="../own.json"), folder=tmp_path / "below")


def test_a_score_has_no_size_to_hold() -> None:
    (line,) = mistakes({**asked(error=0.5, suite="gadre-17"), "uncertainty": {"hold": "size"}})
    assert line == "uncertainty.hold: size needs a target by size; give chinchilla: 30B, or hold: loss"


# Its uncertainty


def uncertain(**suite: Any) -> UncertainSuite:
    found = scenario("sardana-2024", error=0.4, suite={**OWN, **suite}).uncertainty.suite
    assert found is not None
    return found


def points(count: int, dimensions: int) -> Any:
    return (np.random.default_rng(0).permuted(np.tile(np.arange(count), (dimensions, 1)), axis=1).T + 0.5) / count


def test_draws_have_the_covariance_that_is_stated() -> None:
    found = uncertain(covariance=SPREAD)
    assert found.dimensions == 3
    drawn = found.draw(points(40_000, 3))
    rows = np.stack([drawn.epsilon, np.log(drawn.k), drawn.gamma])
    assert rows.mean(axis=1) == pytest.approx([0.9, math.log(2.4), 0.8], abs=2e-3)
    assert np.cov(rows) == pytest.approx(np.array(SPREAD), rel=0.03, abs=3e-5)


def test_a_models_own_scatter_moves_the_error_that_the_map_says() -> None:
    found = uncertain(residual=0.01)
    assert found.dimensions == 1
    drawn = found.draw(points(10_000, 1))
    told = drawn.error(2.5) - float(found.point.error(2.5))
    assert float(np.std(told)) == pytest.approx(0.01, rel=0.01)
    assert np.unique(drawn.gamma).tolist() == [0.8]


def test_refits_are_drawn_alike() -> None:
    rows = [[0.9 + 0.001 * i, 0.87, 0.8 + 0.01 * i] for i in range(100)]
    found = uncertain(refits=rows)
    drawn = found.draw(points(1000, 1))
    values, counts = np.unique(drawn.gamma, return_counts=True)
    assert len(values) == 100
    assert set(counts) == {10}
    assert np.log(drawn.k) == pytest.approx(np.full(1000, 0.87))


def test_a_gamma_near_nothing_is_left_out() -> None:
    rows = ((1e-6, 0.0, 0.0), (0.0, 1e-6, 0.0), (0.0, 0.0, 0.16))
    found = uncertain(covariance=rows)
    assert found.cut == pytest.approx(0.5 * math.erfc(0.79 / 0.4 / math.sqrt(2.0)))
    assert float(found.draw(points(10_000, 3)).gamma.min()) >= 0.01
    wide = tuple(tuple(4.0 * entry for entry in row) for row in rows)
    refused = scenario("sardana-2024", error=0.4, suite={**OWN, "covariance": wide}).uncertainty
    assert refused.obstacle.startswith("suite inline: its covariance puts 16.2% of gamma below 0.01")
    with pytest.raises(InputError, match="of gamma below"):
        refused.draw(np.full((1, refused.dimensions), 0.5))


def test_a_refused_fit_serves_no_risk() -> None:
    found = scenario("sardana-2024", error=0.4, suite={**OWN, "residual": 0.01, "verdict": "do not use"})
    assert "its own fit says 'do not use'" in found.uncertainty.obstacle
    (note,) = found.to_problem().notes
    assert note == "the fit of suite inline calls itself 'do not use': see bc-opt fit --downstream"


def test_too_few_refits_say_too_little() -> None:
    found = scenario("sardana-2024", error=0.4, suite={**OWN, "refits": [[0.9, 0.87, 0.8]] * 50})
    assert found.uncertainty.obstacle.startswith("suite inline: 50 refits say too little")


def test_an_error_that_some_maps_give_to_any_model_asks_for_next_to_nothing() -> None:
    drawn = uncertain(residual=0.3).draw(np.array([[1e-9]]))
    assert float(drawn.epsilon[0]) == pytest.approx(1e-9)
    assert np.minimum(drawn.loss_for(0.4), MOST_LOSS).tolist() == [MOST_LOSS]


# The page


def page_of(folder: Path, tree: dict[str, Any], *options: str) -> str:
    path = folder / "plan.yaml"
    path.write_text(json.dumps(tree))
    found = CliRunner().invoke(cli, [str(path), *options], env={"COLUMNS": "100"})
    assert found.exit_code == 0, found.output
    return found.stdout


def test_the_page_says_what_the_plan_scores(tmp_path: Path) -> None:
    tree = {**asked("gadre-2024-redpajama", score=0.5, suite="gadre-17"), "name": "half"}
    tree["compare"] = [{"name": "6.9B at 20", "params": 6889410560, "tokens": 137788211200}]
    page = page_of(tmp_path, tree)
    assert "On the suite" in page
    assert "Error 50.0% on gadre-17 asks for loss 2.547 by map gadre-17-redpajama" in page
    found = json.loads(page_of(tmp_path, tree, "--format", "json"))["suite"]
    rows = {(row["suite"], row["model"]): row for row in found["models"]}
    assert rows["gadre-17", "plan"]["score"] == pytest.approx(0.5, abs=1e-9)
    # Measured by the authors: error .4716 on the 17 tasks, .5981 on the 46.
    assert rows["gadre-17", "6.9B at 20"]["error"] == pytest.approx(0.4716, rel=0.005)
    assert rows["gadre-46", "6.9B at 20"]["error"] == pytest.approx(0.5981, rel=0.03)
    low, high = found["target_loss_interval"]
    assert low < found["target_loss"] < high
    assert found["best_score"] == pytest.approx(0.7362, abs=5e-5)


def test_one_point_more_costs_what_it_says(tmp_path: Path) -> None:
    tree = asked("gadre-2024-redpajama", score=0.5, suite="gadre-17")
    told = json.loads(page_of(tmp_path, tree, "--format", "json"))["suite"]["total_of_one_point"]
    plans = [bc.solve(scenario("gadre-2024-redpajama", score=each, suite="gadre-17")).best for each in (0.5, 0.501)]
    assert plans[0] is not None
    assert plans[1] is not None
    assert math.log1p(told) == pytest.approx(10.0 * math.log(plans[1].total / plans[0].total), rel=0.02)
