"""A workbook of an uncertain scenario: medians in its cells, the distributions in its hidden sheet, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from trees import COST, changed

import beyond_chinchilla as bc
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.sheets.write import write_workbook
from beyond_chinchilla.tables.grids import read_grids
from beyond_chinchilla.tables.own_workbook import OwnInputs, read_own

UNCERTAIN: dict[str, Any] = {
    "demand__requests": {"median": 1e9, "p90": 4e9},
    "demand__factor": {"low": 1.0, "high": 2.0},
    "training__price": {"low": 1.0, "mode": 1.5, "high": 2.0},
}


def write(folder: Path, tree: dict[str, Any]) -> Scenario:
    scenario = Scenario.from_dict(tree)
    write_workbook(folder / "plan.xlsx", [(scenario, scenario.to_problem(), bc.solve(scenario))])
    return scenario


def cells(book: openpyxl.Workbook) -> dict[str, Any]:
    """Return the cell of each named input."""
    found = {}
    for name, defined in book.defined_names.items():
        for sheet, place in defined.destinations:
            found[name] = book[sheet][place.replace("$", "")]
    return found


def back(folder: Path) -> OwnInputs:
    return read_own(folder / "plan.xlsx", read_grids(folder / "plan.xlsx", None))


def test_cells_hold_medians_and_the_hidden_sheet_the_distributions(tmp_path: Path):
    scenario = write(tmp_path, changed(COST, **UNCERTAIN))
    inputs = cells(openpyxl.load_workbook(tmp_path / "plan.xlsx"))
    # The factor's median is 1.5.
    assert inputs["in_requests"].value == 1.5e9
    assert inputs["in_training_price"].value == 1.5
    found = back(tmp_path)
    assert found.tree == json.loads(json.dumps(scenario.to_dict()))
    assert Scenario.from_dict(found.tree).uncertain == scenario.uncertain


def test_a_changed_cell_replaces_the_distribution_and_that_is_said(tmp_path: Path):
    write(tmp_path, changed(COST, **UNCERTAIN))
    book = openpyxl.load_workbook(tmp_path / "plan.xlsx")
    cells(book)["in_requests"].value = 3e9
    book.save(tmp_path / "plan.xlsx")
    found = back(tmp_path)
    again = Scenario.from_dict(found.tree)
    # Three billion are in the cell: two, times the factor's 1.5.
    assert again.demand() == (pytest.approx(3e9), "requests")
    assert again.file.demand.requests == pytest.approx(2e9)
    assert [each.label for each in again.uncertain] == ["demand.factor", "training.price"]
    assert any("demand.requests was uncertain, and is the number of" in note for note in found.notes)


def test_a_factor_multiplies_the_inputs_that_are_shown(tmp_path: Path):
    write(tmp_path, changed(COST, demand__factor=3))
    book = openpyxl.load_workbook(tmp_path / "plan.xlsx", data_only=True)
    assert cells(book)["in_requests"].value == 3e9
    plain = bc.solve(Scenario.from_dict(changed(COST, demand__requests="3B")))
    assert plain.best is not None
    again = bc.solve(Scenario.from_dict(back(tmp_path).tree))
    assert again.best == plain.best


def test_a_factor_on_tokens_and_on_months(tmp_path: Path):
    tokens = {"name": "t", "law": "sardana-2024", "target": {"chinchilla": "13B"}, "objective": "flops"}
    write(tmp_path, tokens | {"demand": {"tokens": "2T", "factor": 2}})
    book = openpyxl.load_workbook(tmp_path / "plan.xlsx")
    assert cells(book)["in_decode_tokens"].value == 4e12
    cells(book)["in_decode_tokens"].value = 5e12
    book.save(tmp_path / "plan.xlsx")
    assert Scenario.from_dict(back(tmp_path).tree).demand() == (pytest.approx(5e12), "tokens")
    scenario = write(tmp_path, changed(COST, demand__months=12, demand__factor=2))
    assert scenario.forecast().requests[0] == pytest.approx(2e9 / 12)
    assert Scenario.from_dict(back(tmp_path).tree).forecast() == scenario.forecast()
