"""``bc-opt regret``: the map in every format, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import command_line
import pytest

SCENARIO = str(Path(__file__).parents[2] / "scenarios" / "1B-requests.yaml")
SMALL = (SCENARIO, "--points", "3", "--low", "0.25", "--high", "4")


def run(*arguments, code=0):
    return command_line.run("regret", *arguments, code=code)


def record(*arguments):
    return json.loads(run(*arguments, "--format", "json").stdout)


def test_nine_demands_from_a_thirtieth_to_thirty_times():
    found = record(SCENARIO)
    assert found["planned"] == found["met"] == pytest.approx([1e9 * 30 ** (index / 4 - 1) for index in range(9)])
    assert [row[index] for index, row in enumerate(found["regret"])] == [0.0] * 9
    assert (found["over"], found["value_unit"], found["unit"]) == ("demand", "requests", "USD")


def test_csv_has_a_row_for_each_cell_as_json_has_it():
    rows, found = list(csv.DictReader(io.StringIO(run(*SMALL, "--format", "csv").stdout))), record(*SMALL)
    assert len(rows) == 9
    assert list(rows[0]) == ["planned", "met", "params", "tokens", "cost", "unit", "regret", "breaks"]
    for index, row in enumerate(rows):
        i, j = divmod(index, 3)
        assert float(row["regret"]) == found["regret"][i][j]
        assert float(row["cost"]) == found["cost"][i][j]


def test_text_says_what_a_wrong_forecast_costs():
    lines = run(*SMALL).stdout.splitlines()
    found = record(*SMALL)
    assert lines[1].split() == ["planned", "size", "250M", "1.0B", "4.0B"]
    assert [line.split()[0] for line in lines[2:5]] == ["250M", "1.0B", "4.0B"]
    assert [lines[2 + index].split()[2 + index] for index in range(3)] == ["0%"] * 3
    words = " ".join(" ".join(lines[5:]).split())
    low, high = (f"{100 * found['asymmetry'][key]:.1f}%" for key in ("under", "over"))
    assert f"4x too low costs {low} more than foresight" in words
    assert high in words
    assert max(map(len, lines)) <= 100


def test_markdown_shows_the_same_cells():
    marked = [
        re.split(r" \| ", line.strip("| "))
        for line in run(*SMALL, "--format", "markdown").stdout.splitlines()
        if line.startswith("|")
    ]
    printed = [line.split() for line in run(*SMALL).stdout.splitlines()[1:5]]
    assert printed == [marked[0], *marked[2:]]


def test_a_file_gets_what_its_extension_says(tmp_path):
    path = tmp_path / "regret.csv"
    assert run(*SMALL, "-o", str(path)).stdout == ""
    assert path.read_text(encoding="utf-8") == run(*SMALL, "--format", "csv").stdout


def test_another_number_and_marks_where_a_plan_does_not_do():
    found = run(SCENARIO, "--over", "target.chinchilla", "--points", "2", "--low", "0.5", "--high", "1.5").stdout
    assert "target.chinchilla is not as planned" in found
    assert found.splitlines()[2].split()[-1] == "-"
    assert "A dash: the plan does not hold there (target)." in found


def test_set_changes_the_map():
    plain, twice = record(*SMALL), record(*SMALL, "--set", "demand.requests=2B")
    assert twice["value"] == 2 * plain["value"]
    assert twice["asymmetry"]["over"] != plain["asymmetry"]["over"]


def test_without_a_plan_there_is_no_map():
    result = run(SCENARIO, "--set", "limits.total_cost.max=100k USD", code=1)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--over", "serving.mfu"), "did you mean 'serving.decode_mfu'"),
        (("--points", "1"), "--points 1: give 2 to 101"),
        (("--points", "1000000"), "--points 1000000: give 2 to 101"),
        (("--low", "ten"), "--low: 'ten' is not a number"),
        (("--low", "-1"), "from a positive low"),
        (("--high", "0.001"), "to a higher high"),
        (("--high", "1e30"), "from 1e-09 to 1e+09 times at most"),
        (("--format", "csv", "-o", "map.json"), "--output map.json means json"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, words):
    lines = command_line.refused("regret", SCENARIO, *arguments)
    assert len(lines) == 1
    assert words in lines[0]
