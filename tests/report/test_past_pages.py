"""Pages, tables, plots and commands under laws past Chinchilla: they name every law, hold what they hold, or refuse."""

from __future__ import annotations

import csv
import functools
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from plot_subjects import line, painted
from trees import COST, changed

from beyond_chinchilla.cli.answers import Answer, opinions_of, plan_of
from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.whole_law import WholeLaw
from beyond_chinchilla.optimise.past.effect import laws_asked
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.report import assumptions, rows
from beyond_chinchilla.report.html import what_if
from beyond_chinchilla.report.plots import gallery
from beyond_chinchilla.report.sparkline import sparkline
from beyond_chinchilla.scenario.load import Scenario

TREES: dict[str, dict[str, Any]] = {
    "data": changed(COST, data={"unique_tokens": "1T"}),
    "quantisation": changed(
        COST, quantisation="kumar-2024", serving__hardware="b200-sxm", serving__precision=["bf16", "fp8", "fp4"]
    ),
    "thinking": changed(
        COST, law={"name": "mine", "E": 0.15, "A": 60, "alpha": 0.3, "B": 150, "beta": 0.28},
        thinking={"G": 0.02, "g": 0.3, "samples": {"max": 64}, "name": "mine"},
    ),
    "shape": changed(
        COST, law="besiroglu-2024", target={"chinchilla": "3B"}, shape={"law": "bian-2025", "aspect": 128}
    ),
}  # fmt: skip
LAWS = {
    "data": "law sardana-2024, data muennighoff-2023",
    "quantisation": "law sardana-2024, quantisation kumar-2024",
    "thinking": "law mine, thinking mine",
    "shape": "law besiroglu-2024, shape bian-2025",
}
each = pytest.mark.parametrize("name", TREES)


@functools.cache
def answered(name: str) -> Answer:
    return plan_of(Scenario.from_dict(TREES[name]))


def run(tmp_path: Path, name: str, *arguments: str, command: str = "") -> str:
    """Run a command on a scenario as a file; return what it prints."""
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(TREES[name]))
    words = [*([command] if command else []), str(path), *arguments]
    found = CliRunner().invoke(cli, words, env={"COLUMNS": "80"}, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


# Words and tables


@each
def test_every_law_is_named_and_the_proof_says_what_was_searched(name: str):
    plan = answered(name).plan
    assert LAWS[name] in rows.subtitle(plan)
    searched = {
        "data": " on the law's tangent at the plan:",
        "quantisation": " over the loss that rounding adds:",
        "thinking": " over samples:",
        "shape": " over aspect ratios:",
    }
    assert f"{plan.method}{searched[name]}" in rows.proof(plan)
    _, (cells,) = rows.comparison([plan])
    assert cells[1].endswith(f" + {name}")


@each
def test_the_assumptions_state_the_law_that_the_scenario_names(name: str):
    """Not the plain law that is left where the plan lies: its constants are no one's."""
    found = answered(name)
    lines = assumptions.assumptions(found.scenario, found.plan).cells
    stated = next(value for what, value, _ in lines if what == f"law {found.plan.law.name}")
    E, A = found.problem.law.E, found.problem.law.A
    assert stated.startswith(f"E {E:.4g}, A {A:.4g},")
    assert found.plan.to_dict()["law"]["E"] == E
    assert found.plan.settled is not None
    assert found.plan.settled.law != found.problem.law


def test_kappa_is_that_of_the_baseline_shown():
    for name in TREES:
        plan = answered(name).plan
        base = solve(answered(name).problem).baseline
        assert plan.kappa == pytest.approx((base.terms["prefill"] + base.terms["decode"]) / base.terms["training"])


def test_flat_rows_have_the_effects_in_columns_of_their_own(tmp_path: Path):
    row = next(csv.DictReader(io.StringIO(run(tmp_path, "data", "--format", "csv"))))
    plan = answered("data").plan
    assert plan.best is not None
    assert row["repetition_law"] == "muennighoff-2023"
    assert float(row["repetition_epochs"]) == pytest.approx(plan.best.tokens / 1e12, rel=1e-9)
    assert float(row["elasticity_unique_tokens"]) == pytest.approx(plan.effects[0].elasticities["unique_tokens"])
    row = next(csv.DictReader(io.StringIO(run(tmp_path, "quantisation", "--format", "csv"))))
    assert row["choice"] == answered("quantisation").plan.choice
    assert {"quantisation_bits", "quantisation_loss", "quantisation_critical_tokens"} <= row.keys()
    assert not [key for key in rows.flat(solve(Scenario.from_dict(COST))) if key.startswith(("repetition", "choice"))]


def test_json_and_drivers_tell_what_data_are_worth(tmp_path: Path):
    record = json.loads(run(tmp_path, "data", "--format", "json"))
    effect = record["effects"]["repetition"]
    assert effect["epochs"] == pytest.approx(record["plan"]["tokens"] / 1e12)
    # The same data under the other laws, each with its own plan.
    assert len(record["law_disagreement"]) > 5
    share = effect["elasticities"]["unique_tokens"]
    assert any(f"unique tokens +1%: {share:+.2f}%" in said for said in rows.drivers(answered("data").plan))


def test_constants_that_belong_to_their_law_are_asked_of_no_other():
    for name in ("thinking", "shape"):
        assert opinions_of(answered(name))[0] == []


def test_the_scenario_in_a_report_still_has_its_choices(tmp_path: Path):
    run(tmp_path, "quantisation", "-o", str(tmp_path / "report.md"))
    text = (tmp_path / "report.md").read_text()
    assert "serving on" in text
    stated = yaml.safe_load(text.split("```yaml\n")[1].split("\n```")[0])
    assert stated["serving"]["precision"] == ["bf16", "fp8", "fp4"]
    again = solve(Scenario.from_dict(stated))
    assert again.best == answered("quantisation").plan.best


# Pictures and pages


@each
def test_the_cost_curve_is_of_the_whole_law(name: str):
    found = answered(name)
    plan, problem = found.plan, found.problem
    assert plan.best is not None
    (axes,) = painted(gallery.picture("cost-curve", found.subject)).axes
    sizes, totals = line(axes, "total")
    at = int(np.argmin(totals))
    assert sizes[at] == pytest.approx(plan.best.params, rel=0.02)
    assert totals[at] == pytest.approx(plan.best.total, rel=1e-6)
    if name == "data":
        law = WholeLaw(law=problem.law, repetition=problem.repetition)
        tokens = law.tokens_for(sizes, problem.target_loss)
        assert totals == pytest.approx(problem.cost.value({"params": sizes, "tokens": tokens}), rel=1e-9)
    assert (name in ("thinking", "shape")) == (", with " in axes.get_xlabel())


@each
def test_plots_of_a_plain_law_are_refused_in_one_line(name: str):
    for plot in ("contours", "ratio-maps"):
        with pytest.raises(InputError, match=f"^{plot}: .*{LAWS[name]}") as error:
            gallery.picture(plot, answered(name).subject)
        assert "\n" not in str(error.value)


@each
def test_a_page_says_that_it_cannot_be_played_with(name: str):
    found = answered(name)
    assert what_if.refusal(found.problem).startswith(f"What-if solves plain laws: this scenario has {name} besides")


@each
def test_the_sparkline_is_least_at_the_plan(name: str):
    found = answered(name)
    drawn = sparkline(found.problem, found.plan).split()[4]
    assert drawn[len(drawn) // 2] == "▁"


# Commands


def test_a_frontier_stays_on_what_the_plan_chose(tmp_path: Path):
    page = run(tmp_path, "quantisation", "--over", "demand", "--points", "3", command="frontier")
    plan = answered("quantisation").plan
    assert plan.choice != "bf16"
    assert f"Everywhere on {plan.choice}." in page
    assert LAWS["quantisation"] in " ".join(page.split())
    record = json.loads(
        run(tmp_path, "quantisation", "--over", "demand", "--points", "3", "--format", "json", command="frontier")
    )
    assert plan.best is not None
    assert record[1]["params"] == pytest.approx(plan.best.params, rel=1e-6)


def test_a_frontier_says_where_data_do_not_reach(tmp_path: Path):
    words = ["--over", "target", "--from", "30B", "--to", "3T", "--points", "3", "--format", "json"]
    record = json.loads(run(tmp_path, "data", *words, command="frontier"))
    assert [point["status"] for point in record] == ["optimal", "infeasible", "infeasible"]


def test_a_target_out_of_reach_of_the_data_is_infeasible_and_says_so():
    problem = answered("data").problem
    assert problem.repetition is not None
    least = problem.repetition.least_loss(problem.law)
    plan = solve(replace(problem, target_loss=0.5 * (least + problem.law.E)))
    assert plan.status == "infeasible"
    assert plan.warnings[0].startswith(f"1.00T unique tokens reach loss {least:.4f} at best")
    assert plan.to_dict()["effects"] == {"repetition": {"law": "muennighoff-2023"}}


@each
def test_what_is_asked_is_known_without_a_plan(name: str):
    answer = answered(name)
    asked = laws_asked(answer.problem)
    assert [(law.kind, law.name, law.source) for law in asked] == [
        (effect.kind, effect.name, effect.source) for effect in answer.plan.effects
    ]
    assert all(law.to_dict() == {"law": law.name} for law in asked)


@pytest.mark.parametrize("name", ["data", "quantisation"])
def test_a_page_without_a_plan_names_every_law_that_was_asked(name: str):
    """One problem alone, and choices of which the first asks no law of precision."""
    plan = plan_of(Scenario.from_dict({**TREES[name], "limits": {"total_cost": {"max": "1 USD"}}})).plan
    assert plan.best is None
    assert f"| {LAWS[name]} | target loss" in rows.subtitle(plan)
    kind = {"data": "repetition"}.get(name, name)
    assert plan.to_dict()["effects"] == {kind: {"law": LAWS[name].split()[-1]}}
