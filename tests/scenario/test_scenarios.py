"""Every file in scenarios/ asks a question, names its source, and gets the answer that its heading promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import shipped
from click.testing import CliRunner
from shipped import SCENARIOS, each_scenario, slowest_apart

import beyond_chinchilla as bc
from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report import rows
from beyond_chinchilla.units import parse_number

HEADINGS = ("Question", "Source", "Expected")
PLAN_KEYS = {
    *(
        "schema",
        "scenario",
        "status",
        "method",
        "law",
        "target_loss",
        "plan",
        "baseline",
        "savings",
        "kappa",
        "spend_ratio",
    ),
    *("elasticities", "range_1_percent", "limits", "warnings", "certificate"),
}
CANDIDATE_KEYS = {
    *("params", "tokens", "tokens_per_param", "loss", "training_flops", "inference_flops", "total", "unit", "terms"),
}


def heading(path: Path) -> dict[str, str]:
    """Return the paragraphs of the heading comment by their first word; a paragraph without one has no key."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    found: dict[str, str] = {}
    key = ""
    for line in lines:
        start = re.match(r"(Question|Source|Expected|Published):\s*(.*)", line)
        if start:
            key = start[1]
            assert key not in found, f"{path.name}: two lines {key}:"
            found[key] = start[2]
        elif not line:
            key = ""
        elif key:
            found[key] += " " + line
    return found


def figures(text: str) -> dict[str, str]:
    """Return ``key value`` pairs that are separated by commas."""
    return dict(re.fullmatch(r"(\w+)\s+(\S+)", pair.strip()).groups() for pair in text.split(", "))  # type: ignore[union-attr]


def half_digit(text: str) -> float:
    """Return half of the last digit of a printed number."""
    match = re.fullmatch(r"[-+$]*(?P<whole>[\d,]*)\.?(?P<decimals>\d*)(?P<rest>(e[-+]?\d+)?[kMBTQ%]?)", text)
    assert match, text
    one = parse_number("1" + match["rest"])
    return 0.5 * one * 10.0 ** -len(match["decimals"])


def test_half_of_the_last_digit():
    assert half_digit("17.44B") == pytest.approx(5e6)
    assert half_digit("$1.204M") == pytest.approx(500)
    assert half_digit("13.0%") == pytest.approx(5e-4)
    assert half_digit("0.850") == pytest.approx(5e-4)
    assert half_digit("16B") == pytest.approx(5e8)
    assert half_digit("8.004e22") == pytest.approx(5e18)


def reported(plan: Plan, key: str) -> Any:
    """Return a figure of a plan by the name that headings use."""
    record = rows.flat(plan)
    names = {"saved": "savings_fraction"}
    return record[names.get(key, key)]


def check_figures(plan: Plan, expected: dict[str, str]) -> None:
    """Compare a plan with printed figures, each at half its last digit."""
    for key, text in expected.items():
        value = reported(plan, key)
        if key == "status":
            assert value == text
        else:
            expected_value = parse_number(text.removeprefix("$"))
            assert abs(value - expected_value) <= half_digit(text) * (1 + 1e-9), f"{key} {value!r}, expected {text}"


def test_the_scenarios_that_the_readme_shows_are_there():
    assert {"1B-requests", "chat-assistant", "code-assistant", "batch-summariser"} <= {path.stem for path in SCENARIOS}
    assert len(SCENARIOS) >= 10


@each_scenario
def test_a_heading_has_question_source_and_expected_answer(path: Path):
    found = heading(path)
    assert set(HEADINGS) <= set(found)
    assert "?" in found["Question"]
    assert len(found["Source"]) > 20
    assert {"params"} <= set(figures(found["Expected"])) or "status" in figures(found["Expected"])


@each_scenario
def test_a_plan_has_the_figures_of_its_heading(path: Path):
    check_figures(shipped.plan(path), figures(heading(path)["Expected"]))


PUBLISHED = [path for path in SCENARIOS if "Published" in heading(path)]


def test_the_worked_cases_in_dollars_carry_their_published_figures():
    assert [path.stem for path in PUBLISHED if path.stem.startswith("cost-")] == [
        path.stem for path in SCENARIOS if path.stem.startswith("cost-")
    ]
    assert len(PUBLISHED) >= 3


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_the_published_figures_come_out_of_their_own_reading(path: Path):
    stated, _, changes = heading(path)["Published"].partition(", with ")
    assert changes, "a published figure that differs names the values that it needs"
    check_figures(bc.solve(bc.load(path, changes.split(", "))), figures(stated))


@each_scenario
def test_the_total_of_the_report_is_the_objective(path: Path):
    problem = bc.load(path).to_problem()
    plan = bc.solve(problem)
    assert plan.best is not None
    # What laws past Chinchilla add to the plan's numbers, and at what the baseline is stated.
    chosen = {name: value for effect in plan.effects for name, value in effect.figures.items()}
    once = {lever.variable: lever.baseline for lever in problem.levers if lever.baseline is not None}
    for candidate, numbers in ((plan.best, chosen), (plan.baseline, chosen | once)):
        point = {**numbers, "params": candidate.params, "tokens": candidate.tokens, **candidate.variables}
        objective = float(problem.cost.value(point))
        if problem.bill is not None:
            # A fleet's bill is the largest of its pieces, each with the shift on top; GPUs come in whole replicas.
            objective += float(problem.bill.piece(point).value(point)) - problem.bill.shift
            assert candidate.terms.get("rounding", 0.0) == pytest.approx(problem.bill.rounding(point), rel=1e-9)
            objective += candidate.terms.get("rounding", 0.0)
        assert candidate.total == pytest.approx(objective, rel=1e-12 if problem.bill is None else 1e-9)
        assert sum(term["value"] for term in candidate.to_dict()["terms"]) == candidate.total
    if plan.objective == "loss":
        assert plan.baseline.loss - plan.best.loss == pytest.approx(plan.savings, rel=1e-9)
        assert plan.baseline.total == pytest.approx(plan.best.total, rel=1e-9)
    else:
        assert plan.baseline.total - plan.best.total == pytest.approx(plan.savings, rel=1e-9)


@each_scenario
def test_a_plan_reaches_its_target_and_proves_it(path: Path):
    plan = shipped.plan(path)
    assert plan.best is not None
    assert plan.best.loss == pytest.approx(plan.target_loss, rel=1e-12)
    assert plan.duality_gap <= 1e-8
    assert plan.kkt_residual <= 1e-8


def extra_keys(path: Path) -> set[str]:
    """Return the keys that only some scenarios have."""
    scenario = shipped.scenario(path)
    stated = scenario.to_dict()
    keys = {"objective"} if stated["objective"] == "loss" else set()
    if "compare" in stated:
        keys |= {"comparison"}
    keys |= {"suite"} & set(stated.get("target", ()))
    past = {"shape", "thinking", "experts"} & set(stated)
    keys |= past | ({"effects"} if past else set())
    keys |= {"quantisation", "data"} & set(stated)
    keys |= {"choice", "choices"} if len(scenario.alternatives) > 1 else set()
    keys |= {"effects"} if shipped.plan(path).effects else set()
    if scenario.file.demand.by_month:
        keys |= {"training", "money", *({"energy", "buy"} & set(stated))}
        keys |= {"serving", "choice", "choices"} if "prefill_mfu" not in stated["serving"] else set()
        keys |= {"launch"} if "gpus" in stated["training"] else set()
    return keys


@pytest.mark.parametrize("path", slowest_apart(SCENARIOS))
def test_the_json_of_a_scenario_has_the_promised_keys(path: Path):
    found = json.loads(CliRunner().invoke(cli, [str(path), "--format", "json"]).stdout)
    assert set(found) == PLAN_KEYS | {"law_disagreement"} | extra_keys(path)
    assert found["schema"] == "beyond-chinchilla/plan/1"
    by_month = {"variables", "nominal_total"} if "money" in found else set()
    # All parameters of a mixture of experts, whose params are the active ones
    assert set(found["plan"]) - {"total_params"} == CANDIDATE_KEYS | by_month
    assert set(found["baseline"]) - {"breaks", "total_params"} == CANDIDATE_KEYS | by_month
    assert set(found["law"]) >= {"name", "form", "E", "A", "alpha", "B", "beta"}
    assert set(found["savings"]) == {"absolute", "fraction"}
    drivers = {"demand", "training_price", "serving_price"}
    if "data" in {term["label"] for term in found["plan"]["terms"]}:
        drivers |= {"data_price"}
    if found.get("objective") == "loss":
        # No target whose price, and no cost whose flat range could be asked for.
        assert set(found["elasticities"]) == drivers
        assert found["range_1_percent"] is None
    else:
        assert set(found["elasticities"]) == drivers | {"target_loss"}
        assert set(found["range_1_percent"]) == {"params"}
    assert set(found["certificate"]) == {"kkt_residual", "duality_gap"}
    assert [set(term) for term in found["plan"]["terms"]] == [{"label", "value"}] * len(found["plan"]["terms"])


# Of the others each is asked alone.
QUICK = [path for path in SCENARIOS if not shipped.scenario(path).file.demand.by_month]


def test_the_json_of_several_scenarios_is_a_list_of_plans():
    found = json.loads(CliRunner().invoke(cli, [*map(str, QUICK), "--format", "json"]).stdout)
    assert [set(plan) for plan in found] == [PLAN_KEYS | extra_keys(path) for path in QUICK]
    assert [plan["scenario"] for plan in found] == [shipped.scenario(path).name for path in QUICK]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Return what ``bc-opt new`` writes."""
    assert CliRunner().invoke(cli, ["new", str(tmp_path / "my-plan")]).exit_code == 0
    return tmp_path / "my-plan.yaml"


def test_the_template_of_bc_opt_new_loads_and_solves(template: Path):
    plan = bc.solve(bc.load(template))
    assert plan.name == "my-plan"
    assert plan.best is not None
    assert plan.best.params < plan.baseline.params == pytest.approx(30e9)


@pytest.mark.parametrize("hint", ["loss: 1.958", "model: llama-2-7b"])
def test_the_other_targets_of_the_template_load_without_their_comment_sign(template: Path, hint: str):
    text = template.read_text(encoding="utf-8")
    assert f"  # {hint}" in text
    template.write_text(text.replace("  chinchilla: 30B", "").replace(f"  # {hint}", f"  {hint}"), encoding="utf-8")
    assert bc.load(template).to_dict()["target"].keys() == {hint.split(":")[0]}


@pytest.mark.parametrize(
    ("hints", "kinds"),
    [
        (["data: {unique_tokens: 1.5T}"], ["repetition"]),
        (["quantisation: kumar-2024"], ["quantisation"]),
        (["shape: bian-2025"], ["shape"]),
        (["thinking: {G: 0.02, g: 0.3, samples: {max: 64}}"], ["thinking"]),
        (["experts: [1, 8, 32]", "law: ludziejewski-2025"], ["experts"]),
        (["score: 50%", "suite: gadre-17"], []),
    ],
)
def test_the_laws_of_the_template_load_without_their_comment_sign(template: Path, hints: list[str], kinds: list[str]):
    text = template.read_text(encoding="utf-8")
    for hint in hints:
        if hint.startswith("law"):
            # As the hint of the line says.
            assert f"`{hint}`" in text
            text = text.replace("law: sardana-2024", hint)
            continue
        assert text.count(f"# {hint}") == 1
        text = text.replace(f"# {hint}", hint)
    template.write_text(text.replace("chinchilla: 30B", "") if "score: 50%" in hints else text, encoding="utf-8")
    plan = bc.solve(bc.load(template))
    assert plan.best is not None
    assert [effect.kind for effect in plan.effects] == kinds


def test_the_prices_of_the_template_load_without_their_comment_sign(template: Path):
    text = template.read_text(encoding="utf-8")
    assert text.count("  # price: 2.50 USD/hour") == 2
    template.write_text(text.replace("  # price: 2.50", "  price: 2.50"), encoding="utf-8")
    stated = bc.load(template).to_dict()
    assert stated["training"]["price"] == stated["serving"]["price"] == 2.5
