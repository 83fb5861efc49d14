"""``bc-opt frontier``: many plans along a line, in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import command_line
import pytest
from click.testing import Result

import beyond_chinchilla as bc

SCENARIO = str(Path(__file__).parents[2] / "scenarios" / "1B-requests.yaml")
FLOPS = str(Path(__file__).parents[2] / "scenarios" / "flops-13B-2T-tokens.yaml")
AT = {"target": "chinchilla_params", "demand": "demand", "budget": "budget"}
each_line = pytest.mark.parametrize("over", AT)


def run(*args: str, code: int = 0) -> Result:
    """Run the command; it must exit with `code` and never by an exception."""
    return command_line.run("frontier", *args, code=code)


def refused(*args: str) -> list[str]:
    """Run a command that must be refused: exit 2, nothing on stdout. Returns the lines of stderr."""
    return command_line.refused("frontier", *args)


def points(*args: str, code: int = 0) -> list[dict[str, Any]]:
    """Return the records of a frontier."""
    found: list[dict[str, Any]] = json.loads(run(*args, "--format", "json", code=code).stdout)
    return found


# Formats


@each_line
def test_json_holds_log_spaced_points_between_the_ends(over: str):
    ends = {"target": ("7B", "70B"), "demand": ("0.1", "100"), "budget": ("100k", "10M")}[over]
    found = points(SCENARIO, "--over", over, "--from", ends[0], "--to", ends[1], "--points", "5")
    low, high = {"target": (7e9, 7e10), "demand": (0.1, 100), "budget": (1e5, 1e7)}[over]
    expected = [low * (high / low) ** (index / 4) for index in range(5)]
    assert [point[AT[over]] for point in found] == pytest.approx(expected, rel=1e-9)
    assert {point["status"] for point in found} == {"optimal"}


def test_csv_agrees_with_json_to_the_last_bit():
    for over in AT:
        args = (SCENARIO, "--over", over, "--points", "3")
        rows = list(csv.DictReader(io.StringIO(run(*args, "--format", "csv").stdout)))
        for row, record in zip(rows, points(*args), strict=True):
            assert list(row) == list(record)
            for key, value in record.items():
                assert (row[key] == value) if isinstance(value, str) else (float(row[key]) == value)


def test_text_is_a_table_with_a_line_for_each_point_and_a_note():
    lines = run(SCENARIO, "--over", "target", "--points", "4").stdout.splitlines()
    assert lines[0].split("  ")[0] == "Chinchilla size"
    assert re.match(r"3\.00B +862M ", lines[1])
    assert lines[5] == ""
    note = " ".join(lines[6:])
    assert note == f"{bc.load(SCENARIO).name}, law sardana-2024; saved: against the Chinchilla model of equal loss."
    assert max(map(len, lines)) <= 100


def test_markdown_is_a_table_and_nothing_else():
    lines = run(SCENARIO, "--over", "demand", "--points", "3", "--format", "markdown").stdout.splitlines()
    assert lines[0] == "| x demand | params | tokens | tok/param | loss | total | saved | binding |"
    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {9}


def test_text_and_markdown_show_the_same_cells():
    args = (SCENARIO, "--over", "budget", "--points", "3", "--set", "limits.params.max=10B")
    marked = [re.split(r" \| ", line.strip("| ")) for line in run(*args, "--format", "markdown").stdout.splitlines()]
    printed = [re.split(r"\s{2,}", line) for line in run(*args).stdout.splitlines()[:4]]
    assert printed == [marked[0], *marked[2:]]


def test_fifty_points_unless_told():
    assert len(points(SCENARIO, "--over", "target")) == 50


def test_a_file_gets_what_its_extension_says(tmp_path: Path):
    args = (SCENARIO, "--over", "demand", "--points", "2")
    path = tmp_path / "line.csv"
    assert run(*args, "-o", str(path)).stdout == ""
    assert path.read_text(encoding="utf-8") == run(*args, "--format", "csv").stdout


# What it traces


def test_each_point_is_the_plan_of_its_own_scenario():
    for point in points(SCENARIO, "--over", "target", "--from", "7B", "--to", "70B", "--points", "3"):
        plan = bc.solve(bc.load(SCENARIO, [f"target.chinchilla={point['chinchilla_params']!r}"]))
        assert plan.best is not None
        assert point["params"] == pytest.approx(plan.best.params, rel=1e-9)
        assert point["total"] == pytest.approx(plan.best.total, rel=1e-12)
        assert point["baseline_params"] == pytest.approx(point["chinchilla_params"], rel=1e-9)
    for point in points(SCENARIO, "--over", "demand", "--from", "0.1", "--to", "10", "--points", "3"):
        plan = bc.solve(bc.load(SCENARIO, [f"demand.requests={1e9 * point['demand']!r}"]))
        assert plan.best is not None
        assert (point["params"], point["total"]) == pytest.approx((plan.best.params, plan.best.total), rel=1e-9)
        assert point["kappa"] == pytest.approx(plan.kappa, rel=1e-9)
    for point in points(SCENARIO, "--over", "budget", "--from", "1M", "--to", "2M", "--points", "2"):
        changes = ["objective=loss", "target=null", f"limits.total_cost.max={point['budget']!r}"]
        plan = bc.solve(bc.load(SCENARIO, changes))
        assert plan.best is not None
        assert (point["loss"], point["total"]) == pytest.approx((plan.best.loss, point["budget"]), rel=1e-9)


def test_better_and_busier_cost_more_and_more_money_buys_better():
    for over, key, rises in (("target", "total", True), ("demand", "total", True), ("budget", "loss", False)):
        values = [point[key] for point in points(SCENARIO, "--over", over, "--points", "6")]
        assert values == sorted(values, reverse=not rises)
        assert len(set(values)) == 6


def test_set_changes_the_line():
    plain = points(SCENARIO, "--over", "demand", "--points", "2")
    twice = points(SCENARIO, "--over", "demand", "--points", "2", "--set", "demand.requests=2B")
    assert twice[0]["kappa"] == pytest.approx(2 * plain[0]["kappa"], rel=1e-9)


def test_binding_limits_are_named():
    args = (SCENARIO, "--over", "target", "--from", "10B", "--to", "60B", "--points", "3")
    limits = ("--set", "limits.params.max=20B", "--set", "limits.tokens.min=1.5T")
    assert [point["binding"] for point in points(*args, *limits)] == ["tokens.min", "", "params.max"]
    assert [line.split()[-1] for line in run(*args, *limits).stdout.splitlines()[1:4]] == ["tokens", "-", "params"]


# No plan


LIMITED = ("--over", "target", "--points", "4", "--set", "limits.params.max=8B")


def test_a_point_without_a_plan_keeps_its_row():
    found = points(SCENARIO, *LIMITED)
    assert [point["status"] for point in found] == ["optimal", "optimal", "optimal", "infeasible"]
    last = found[-1]
    assert [last[key] for key in ("params", "tokens", "loss", "total", "savings_fraction")] == [None] * 5
    assert last["baseline_params"] == pytest.approx(3e11, rel=1e-9)
    rows = list(csv.DictReader(io.StringIO(run(SCENARIO, *LIMITED, "--format", "csv").stdout)))
    assert (rows[-1]["status"], rows[-1]["params"]) == ("infeasible", "")
    assert run(SCENARIO, *LIMITED).stdout.splitlines()[4].split() == ["300B", "infeasible"]


def test_a_line_without_any_plan_is_exit_1_and_says_why():
    args = (SCENARIO, *LIMITED, "--set", "limits.tokens.max=1T", "--from", "20B", "--to", "50B")
    result = run(*args, code=1)
    assert result.stderr == (
        "1B requests, Chinchilla-30B quality: no plan anywhere on this line: "
        "no plan: params max and tokens max and target cannot hold together\n"
    )
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:5]] == ["infeasible"] * 4
    assert {point["status"] for point in points(*args, code=1)} == {"infeasible"}


# Ends


@pytest.mark.parametrize(
    ("over", "low", "high", "first"),
    [
        ("target", "7B params", "70 billion", 7e9),
        ("demand", "10%", "3", 0.1),
        ("budget", "$1M", "5M USD", 1e6),
        ("budget", "100 thousand", "1e6", 1e5),
    ],
)
def test_ends_are_numbers_as_people_write_them(over: str, low: str, high: str, first: float):
    found = points(SCENARIO, "--over", over, "--from", low, "--to", high, "--points", "2")
    assert found[0][AT[over]] == pytest.approx(first, rel=1e-12)


def test_a_budget_in_flops_is_one():
    found = points(FLOPS, "--over", "budget", "--from", "1e22 FLOPs", "--to", "1e23", "--points", "2")
    assert [point["total"] for point in found] == pytest.approx([1e22, 1e23], rel=1e-9)
    assert {point["unit"] for point in found} == {"FLOP"}


@pytest.mark.parametrize(
    ("over", "args", "phrase"),
    [
        ("target", ("--from", "many"), "--from: 'many' is not a number"),
        ("target", ("--to", "nan"), "--to: 'nan' is not a number"),
        ("target", ("--from", "7 GB"), "--from: '7 GB' is not in params"),
        ("budget", ("--to", "1e24 FLOP"), "--to: '1e24 FLOP' is not in USD"),
        ("demand", ("--from", "2 USD"), "--from: '2 USD' is not a number"),
        ("budget", ("--from", "2M", "--to", "1M"), "the line must run from a positive low to a higher high, not from"),
        ("budget", ("--from", "1M", "--to", "1M"), "the line must run from a positive low to a higher high, not from"),
        ("demand", ("--from", "0"), "the line must run from a positive low to a higher high, not from 0"),
        ("demand", ("--from", "-1"), "the line must run from a positive low to a higher high, not from -1"),
        ("demand", ("--from", "1e999"), "--from: '1e999' is not a finite number"),
    ],
)
def test_ends_that_make_no_line_are_one_line(over: str, args: tuple[str, ...], phrase: str):
    (line,) = refused(SCENARIO, "--over", over, *args)
    assert line.startswith(phrase)


@pytest.mark.parametrize("count", ["0", "1", "-3", "10001", "many"])
def test_a_number_of_points_out_of_bounds(count: str):
    assert "--points" in refused(SCENARIO, "--over", "target", "--points", count)[-1]


def test_two_points_are_the_ends():
    assert [point["demand"] for point in points(SCENARIO, "--over", "demand", "--points", "2")] == pytest.approx(
        [0.01, 100.0]
    )


# Usage


def test_what_to_vary_must_be_said():
    assert any("Missing option '--over'" in line for line in refused(SCENARIO))
    assert "'everything' is not one of" in refused(SCENARIO, "--over", "everything")[-1]
    assert "SCENARIO" in refused("--over", "target")[-1]


@pytest.mark.parametrize(
    ("over", "changes", "phrase"),
    [
        (
            "target",
            ("objective=loss", "target=null", "limits.total_cost.max=1M"),
            "objective loss has no target to vary; use --over budget or demand",
        ),
        ("budget", ("start_from={params: 17B, tokens: 1T}",), "a budget buys a new model, not start_from; use --over "),
    ],
)
def test_a_line_that_the_scenario_cannot_draw_is_one_line(over: str, changes: tuple[str, ...], phrase: str):
    (line,) = refused(SCENARIO, "--over", over, *(part for change in changes for part in ("--set", change)))
    assert phrase in line


def test_a_bad_scenario_is_told_as_elsewhere():
    assert refused("nothing.yaml", "--over", "target") == [
        "nothing.yaml: no such file; 'bc-opt new NAME' writes a scenario to start from"
    ]
    (line,) = refused(SCENARIO, "--over", "target", "--set", "limits.parms.max=3B")
    assert line.endswith("limits.parms: unknown key; did you mean 'params'?")


def test_a_start_goes_on_along_a_line_of_targets():
    found = points(SCENARIO, "--over", "target", "--points", "3", "--set", "start_from={params: 17B, tokens: 1T}")
    assert [point["status"] for point in found] == ["optimal", "optimal", "infeasible"]
    assert [point["params"] for point in found[:2]] == pytest.approx([17e9, 17e9], rel=1e-12)
