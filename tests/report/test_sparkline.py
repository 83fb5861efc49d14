"""The line of blocks is the bill by size: least at the plan, twice that at the top, a dot where no model can be."""

from __future__ import annotations

import io
import sys

import pytest
from command_line import run
from readme import ROOT

import beyond_chinchilla as bc
from beyond_chinchilla.cli import output as out
from beyond_chinchilla.report.sparkline import _COLUMNS, _LEVELS, _NONE, sparkline


def drawn(name: str, *changes: str) -> str:
    """Return the blocks of a scenario's line."""
    scenario = bc.load(ROOT / "scenarios" / f"{name}.yaml", changes)
    line = sparkline(scenario.to_problem(), bc.solve(scenario))
    return "".join(letter for letter in line.split(" (")[0] if letter in _LEVELS + _NONE)


def test_the_plan_is_in_the_middle_and_cost_rises_to_both_sides():
    blocks = drawn("1B-requests")
    heights = [_LEVELS.index(block) for block in blocks]
    middle = _COLUMNS // 2
    assert len(blocks) == _COLUMNS
    assert heights[middle] == 0
    assert heights[: middle + 1] == sorted(heights[: middle + 1], reverse=True)
    assert heights[middle:] == sorted(heights[middle:])


def test_heights_are_costs_of_equally_good_models():
    scenario = bc.load(ROOT / "scenarios" / "1B-requests.yaml")
    problem, plan = scenario.to_problem(), bc.solve(scenario)
    size = plan.best.params * 3.0 ** (5 / 15)
    tokens = float(problem.law.tokens_for(size, plan.target_loss))
    ratio = float(problem.cost.value({"params": size, "tokens": tokens})) / plan.best.total
    assert drawn("1B-requests")[15 + 5] == _LEVELS[round((ratio - 1.0) * 7)]


def test_sizes_that_cannot_be_are_dots():
    # A smaller one than the optimum at most: the plan is the largest that may be.
    blocks = drawn("1B-requests", "limits.params.max=15B")
    assert set(blocks[_COLUMNS // 2 + 1 :]) == {_NONE}
    assert _NONE not in blocks[10 : _COLUMNS // 2]


def test_where_there_is_no_choice_there_is_no_line():
    assert drawn("six-limits") == ""


def test_terminals_without_the_letters_go_without_the_line(monkeypatch):
    line = _LEVELS
    assert out.can_show(line, None)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert not out.can_show(line, None)
    assert out.can_show("plain", None)


@pytest.mark.parametrize("width", ["80", "100"])
def test_the_page_shows_it(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    assert "Cost by size: 5.81B" in run(str(ROOT / "scenarios" / "1B-requests.yaml")).stdout
