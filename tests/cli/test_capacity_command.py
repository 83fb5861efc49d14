"""``bc-opt capacity``, and pages of scenarios by month with every option of the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import command_line
import pytest
import yaml
from command_line import run
from served import tree

import beyond_chinchilla as bc

SCENARIO = str(Path(__file__).parents[2] / "scenarios" / "1B-requests.yaml")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a scenario by month."""
    path = tmp_path_factory.mktemp("served") / "served.yaml"
    path.write_text(yaml.safe_dump(tree(), sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of one with chips to choose from, a calendar and a launch that follows from training."""
    path = tmp_path_factory.mktemp("served") / "chosen.yaml"
    changes = {
        "demand": {"start": "2027-04"},
        "training": {"gpus": 24, "start": "2027-03"},
        "serving": {"gpus_per_replica": [1, 2]},
    }
    path.write_text(yaml.safe_dump(tree(**changes), sort_keys=False))
    return str(path)


def refused(*args: str) -> str:
    """Run a command that must be refused in one line, which is returned."""
    (line,) = command_line.refused(*args)
    return line


def as_json(*args: str) -> Any:
    """Return the JSON of a command; no NaN, no infinity."""

    def never(name: str) -> None:
        raise AssertionError(f"{name} in JSON")

    return json.loads(run(*args, "--format", "json").stdout, parse_constant=never)


# bc-opt capacity


def test_every_format_has_the_same_months_and_the_total_of_the_plan(served: str):
    record = as_json("capacity", served)
    plan = bc.solve(bc.load(served))
    assert record["schema"] == "beyond-chinchilla/capacity/1"
    assert record["totals"]["present_value"] == pytest.approx(plan.best.total, rel=1e-9)
    *rows, total = csv.DictReader(io.StringIO(run("capacity", served, "--format", "csv").stdout))
    assert [row["month"] for row in rows] == [month["month"] for month in record["months"]]
    assert [float(row["cost"]) for row in rows] == [month["cost"] for month in record["months"]]
    assert (total["month"], float(total["present_value"])) == ("total", record["totals"]["present_value"])
    assert run("capacity", served, "--format", "markdown").stdout.count("\n| month ") == len(rows)
    page = run("capacity", served).stdout
    assert [line.split("  ")[0] for line in page.splitlines() if line.startswith("month ")][1:] == [
        f"month {number}" for number in range(1, 13)
    ]


def test_a_value_can_be_set_and_the_file_decides_the_format(served: str, tmp_path: Path):
    place = tmp_path / "capacity.csv"
    result = run("capacity", served, "--set", "demand.months=3", "-o", str(place))
    assert (result.stdout, result.stderr) == ("", f"wrote {place}\n")
    assert place.read_text().count("\n") == 1 + 1 + 3 + 1


def test_demand_over_the_life_says_the_way_out():
    assert refused("capacity", SCENARIO).endswith(
        "needs objective cost and demand by month; give demand.requests_per_month and months (or months beside "
        "requests)"
    )
    assert run("capacity", SCENARIO, "--set", "demand.months=12").stdout.count("\nmonth ") == 13


def test_no_plan_is_exit_1(served: str):
    result = run("capacity", served, "--set", "limits.gpus.max=1", code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("served: infeasible: ")


def test_help_lists_the_command():
    assert "capacity" in run("--help").stdout
    assert "requests_per_month" in run("capacity", "--help").stdout


# The page


def test_the_page_and_the_json_have_what_the_scenario_asks_for(chosen: str):
    page = run(chosen, "--set", "energy={pue: 1.2}").stdout
    for title in ("Serving on h100-sxm fp8 x ", "Choices", "Training", "Money over time", "Energy"):
        assert f"\n{title}" in page
    record = as_json(chosen, "--set", "buy={input: 0.15 USD, output: 0.60 USD}")
    assert {"serving", "choice", "choices", "launch", "training", "money", "buy"} <= set(record)
    assert not {"energy", "currency"} & set(record)
    assert record["money"]["first_month"] == "2027-06"
    assert record["plan"]["nominal_total"] < record["money"]["nominal_total_rounded"]


@pytest.mark.own_step
def test_questions_are_answered_about_the_choice_of_the_plan(chosen: str):
    found = as_json(chosen, "--verify", "--realise", "--break-even")
    assert found["verification"]["gp"] == 0.0
    assert max(found["verification"].values()) < 1e-6
    total = found["plan"]["total"]
    assert all(total * 0.999 < one["total"] < total * 1.1 for one in found["architectures"])
    assert [row["savings_fraction"] for row in found["break_even"]] == [0.01, 0.05, 0.10]
    demands = [row["demand"] for row in found["break_even"] if row["demand"] is not None]
    assert demands == sorted(demands)


def test_other_laws_and_ones_own_plans_keep_what_memory_holds(chosen: str):
    found = as_json(chosen, "--set", "compare=[{params: 13B, tokens: 1T}]")
    assert len(found["law_disagreement"]) > 5
    (mine,) = found["comparison"]
    assert mine["excess"]["fraction"] >= 0.0


def test_frontiers_are_drawn_where_the_plan_is_served(chosen: str):
    points = as_json("frontier", chosen, "--over", "demand", "--points", "3", "--from", "0.1", "--to", "10")
    totals = [point["total"] for point in points]
    assert totals[0] < totals[1] < totals[2]
    assert totals[1] == pytest.approx(as_json(chosen)["plan"]["total"], rel=1e-9)
    page = " ".join(run("frontier", chosen, "--over", "target", "--points", "2").stdout.split())
    assert "Everywhere on h100-sxm fp8 x 1, launched as in its plan." in page


def test_a_budget_by_month_is_refused(chosen: str):
    line = refused("frontier", chosen, "--over", "budget")
    assert line.endswith("a budget is spent over the life as a whole, not by month; use --over target or demand")


def test_several_scenarios_are_one_line_each(served: str, chosen: str):
    page = run(served, chosen, SCENARIO).stdout
    assert "Serving on" not in page
    assert len([line for line in page.splitlines() if "sardana" in line]) == 3
    assert [set(record) & {"money", "serving"} for record in as_json(served, SCENARIO)] == [{"money", "serving"}, set()]


def test_parquet_has_a_row_for_each(served: str, tmp_path: Path):
    import pandas as pd

    place = tmp_path / "plans.parquet"
    result = run(served, SCENARIO, "-o", str(place))
    assert (result.stdout, result.stderr) == ("", f"wrote {place}\n")
    frame = pd.read_parquet(place)
    rows = list(csv.DictReader(io.StringIO(run(served, SCENARIO, "--format", "csv").stdout)))
    assert list(frame.columns) == list(rows[0])
    assert list(frame["total"]) == [float(row["total"]) for row in rows]
    assert list(tmp_path.iterdir()) == [place]


def test_parquet_is_a_file_of_plans_alone(served: str, tmp_path: Path):
    assert "no place for that in the one row of a parquet file" in refused(served, "--verify", "-o", "x.parquet")
    assert "cannot write '.parquet' files" in refused("capacity", served, "-o", str(tmp_path / "x.parquet"))
    assert "cannot be written" in refused(served, "-o", str(tmp_path / "missing" / "x.parquet"))
