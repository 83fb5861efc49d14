"""Workbooks of plans under laws past Chinchilla: bill and loss are live, the sizes are the solver's.

The whole law in cells is held against the classes of `beyond_chinchilla.laws`, which the formulas do not call: at the
plan by the caches, at other sizes by plans that are not the best, and after changes by LibreOffice.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from libreoffice import LibreOffice, Values
from test_live import changed_book, close
from trees import COST, changed

from beyond_chinchilla.cli.answers import plan_of
from beyond_chinchilla.errors import SpreadsheetError
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.sheets.case import Entry
from beyond_chinchilla.sheets.entry import case_of
from beyond_chinchilla.sheets.write import write_workbook
from beyond_chinchilla.tables.grids import read_grids
from beyond_chinchilla.tables.own_workbook import OwnInputs, read_own

DATA: dict[str, Any] = changed(COST, name="data", data={"unique_tokens": "1T"})
PRECISION: dict[str, Any] = changed(
    COST, name="quantisation", quantisation="kumar-2024", serving__precision="fp4", serving__hardware="b200-sxm"
)
THINKING: dict[str, Any] = changed(
    COST, name="thinking", law={"E": 0.15, "A": 60, "alpha": 0.3, "B": 150, "beta": 0.28},
    thinking={"G": 0.02, "g": 0.3, "samples": {"max": 64}},
)  # fmt: skip
SHAPE: dict[str, Any] = changed(
    COST, name="shape", law="besiroglu-2024", shape={"law": "bian-2025", "aspect": 128}, target={"chinchilla": "3B"}
)
TREES: dict[str, dict[str, Any]] = {
    "data": DATA,
    "quantisation": PRECISION,
    "thinking": THINKING,
    "shape": SHAPE,
    "thinking on limited data": changed(THINKING, data={"unique_tokens": "500B"}),
    "data, FLOPs": {
        "name": "FLOPs",
        "law": "besiroglu-2024",
        "target": {"loss": 2.1},
        "demand": {"tokens": "2T"},
        "objective": "flops",
        "data": {"unique_tokens": "300B"},
    },
}
each_tree = pytest.mark.parametrize("name", TREES)


def entry(tree: Mapping[str, Any]) -> Entry:
    found = plan_of(Scenario.from_dict(dict(tree)))
    return found.scenario, found.problem, found.plan


@functools.cache
def solved(name: str) -> Entry:
    return entry(TREES[name])


def written(one: Entry, folder: Path) -> Values:
    write_workbook(folder / "plan.xlsx", [one])
    return Values(folder / "plan.xlsx")


def whole_loss(problem: Problem, numbers: Mapping[str, float], N: float, D: float) -> float:
    """Return the loss by the classes of the laws: one lever, or one and limited data."""
    law = problem.law
    for lever in problem.levers:
        if problem.repetition is None or lever.kind == "quantisation":
            plain = law if problem.repetition is None else problem.repetition.tangent(law, N, D)
            return float(lever.loss(plain, N, D, numbers.get(lever.kind, 0.0)))
        law = lever.held(law, numbers[lever.kind])
    assert problem.repetition is not None
    return float(problem.repetition.loss(law, N, D))


@each_tree
def test_caches_are_the_solvers_numbers(name: str, tmp_path: Path) -> None:
    _, _, plan = one = solved(name)
    values = written(one, tmp_path)
    assert plan.best is not None
    assert values["all_checks"].startswith("All ")
    assert values.errors() == []
    # The plan as text says the same of both models.
    for cell, value in (
        ("law_plan_loss", plan.best.loss),
        ("law_chinchilla_loss", plan.baseline.loss),
        ("plan_total", plan.best.total),
        ("plan_chinchilla_total", plan.baseline.total),
        ("plan_savings", plan.savings),
        ("plan_balance", 1.0),
    ):
        assert close(values[cell], value), cell
    assert values["plan_sizes_are"] == "the best sizes for these inputs"
    assert not {"Frontier", "Sensitivity"} & set(values.book.sheetnames)
    # To a spreadsheet in_G and in_g are one name.
    names = [name.casefold() for name in values.book.defined_names]
    assert len(set(names)) == len(names)
    labels = {row[1]: row[5] for row in values.rows("Checks")}
    for effect in plan.effects:
        assert labels[f"{effect.kind.capitalize()}: {_FIGURE[effect.kind]}"] == "ok"
        assert all(labels[f"Elasticity to {key.replace('_', ' ')}"] == "ok" for key in effect.elasticities)


_FIGURE = {
    "repetition": "effective tokens",
    "quantisation": "quantisation loss",
    "thinking": "thinking loss",
    "shape": "shape loss",
}


@pytest.mark.parametrize(
    ("name", "larger", "longer"),
    [*((name, 1.7, 0.4) for name in TREES), ("data", 0.6, 2.5), ("quantisation", 0.6, 9.0)],
)
def test_the_law_in_cells_is_the_law_at_any_size(name: str, larger: float, longer: float, tmp_path: Path) -> None:
    scenario, problem, plan = solved(name)
    assert plan.best is not None
    N, D = larger * plan.best.params, longer * plan.best.tokens
    case = case_of((scenario, problem, plan))
    assert case.standing is not None
    loss = whole_loss(problem, {kind: pair[0] for kind, pair in case.standing.numbers.items()}, N, D)
    values = written((scenario, problem, replace(plan, best=replace(plan.best, params=N, tokens=D))), tmp_path)
    assert close(values["law_plan_loss"], loss)
    good = "reaches it" if loss <= plan.target_loss else "misses it"
    assert values.table("Law")["The model"][0] == good
    # The solver's bill is no longer that of these sizes.
    assert values["all_checks"].startswith("A check failed")

    # What 1% more takes off is the law's slope there.
    numbers = {kind: pair[0] for kind, pair in case.standing.numbers.items()}
    step = 1e-5
    for cell, (up, down) in {
        "law_plan_gain_params": ((N * (1 + step), D), (N * (1 - step), D)),
        "law_plan_gain_tokens": ((N, D * (1 + step)), (N, D * (1 - step))),
    }.items():
        slope = (whole_loss(problem, numbers, *down) - whole_loss(problem, numbers, *up)) / (2.0 * step)
        assert values[cell] == pytest.approx(slope, rel=1e-5, abs=1e-9), cell


def test_limits_that_bind_leave_no_slopes(tmp_path: Path) -> None:
    _, _, plan = one = entry(changed(DATA, limits={"tokens": {"max": "2.5T"}}))
    assert [row.label for row in plan.limits if row.binding] == ["tokens"]
    values = written(one, tmp_path)
    assert values["all_checks"].startswith("All ")
    assert "plan_balance" not in values.book.defined_names
    assert any("A limit binds" in str(row[1]) for row in values.rows("Plan"))


def test_of_several_choices_the_chosen_one_is_billed(tmp_path: Path) -> None:
    """Also where nobody says which problem the plan is the optimum of."""
    scenario = Scenario.from_dict(changed(PRECISION, serving__precision=["bf16", "fp4"]))
    plan = solve(scenario)
    values = written((scenario, scenario.to_problem(), plan), tmp_path)
    assert plan.best is not None
    assert close(values["plan_total"], plan.best.total)
    assert values["all_checks"].startswith("All ")
    # An import finds the choice again.
    assert back(tmp_path / "plan.xlsx").tree["serving"]["precision"] == ["bf16", "fp4"]


def back(path: Path) -> OwnInputs:
    """Return what an import reads of a workbook."""
    return read_own(path, read_grids(path, None))


def test_an_import_takes_changed_data_and_leaves_sizes_to_the_solver(tmp_path: Path) -> None:
    one = entry(DATA)
    write_workbook(tmp_path / "plan.xlsx", [one])
    cells = {"unique_tokens": 3e11, "params_plan": 1e9}
    path = changed_book(openpyxl.load_workbook(tmp_path / "plan.xlsx"), cells, tmp_path / "changed.xlsx")
    found = Scenario.from_dict(back(path).tree)
    assert found.file.data is not None
    assert found.file.data.unique_tokens == 3e11
    assert solve(found) == solve(Scenario.from_dict(changed(DATA, data={"unique_tokens": "300B"})))


def test_an_import_refuses_constants_that_training_has_bent(tmp_path: Path) -> None:
    write_workbook(tmp_path / "plan.xlsx", [entry(SHAPE)])
    path = changed_book(openpyxl.load_workbook(tmp_path / "plan.xlsx"), {"A": 300.0}, tmp_path / "changed.xlsx")
    with pytest.raises(SpreadsheetError, match="no key of the scenario states it"):
        back(path)


def test_by_month_the_figures_are_values_and_say_why(tmp_path: Path) -> None:
    tree = changed(DATA, demand={"requests_per_month": "30M", "months": 24, "input_tokens": 70, "output_tokens": 215})
    _, _, plan = one = entry(tree)
    values = written(one, tmp_path)
    assert plan.best is not None
    assert values.table("Summary")["Parameters"][0] == pytest.approx(plan.best.params, rel=1e-12)
    said = [cell for row in values.rows("Summary") for cell in row if isinstance(cell, str)]
    assert any("served by month under a law past Chinchilla" in cell for cell in said)
    assert "Law" not in values.book.sheetnames


def test_several_scenarios_stand_beside_each_other(tmp_path: Path) -> None:
    entries = [entry(COST), entry(DATA), entry(THINKING)]
    write_workbook(tmp_path / "plans.xlsx", entries)
    values = Values(tmp_path / "plans.xlsx")
    assert values["all_checks"].startswith("All ")
    rows = [row for row in values.rows("Comparison") if row[1] in ("test", "data", "thinking")]
    for row, (_, _, plan) in zip(rows, entries, strict=True):
        assert plan.best is not None
        assert close(row[4], plan.best.params)
        assert close(row[11], plan.savings_fraction)
    assert [str(row[2]) for row in rows] == [
        "sardana-2024", "sardana-2024, data muennighoff-2023", "inline, thinking inline",
    ]  # fmt: skip
    assert rows[1][13].startswith("live but for the sizes")


# After a change: what LibreOffice makes of the cells, held against the law and against a new plan.

CHANGES: dict[str, dict[str, float | str]] = {
    "data": {"unique_tokens": 4e11, "R_D": 8.0, "R_N": 3.0, "serving_price": 4.4, "params_plan": 15e9},
    "quantisation": {
        "quantisation_coefficient": 2e-4,
        "quantisation_gamma_D": 0.45,
        "tokens_plan": 2.5e12,
        "alpha": 0.31,
    },
    "thinking": {
        "thinking_plan": 9.0,
        "thinking_coefficient": 0.03,
        "thinking_exponent": 0.25,
        "decode_mfu": 0.03,
        "requests": 3e9,
    },
    "shape": {"shape_plan": 300.0, "shape_gamma": 1.1, "params_plan": 2e9, "training_price": 2.0},
    "thinking on limited data": {"unique_tokens": 2e11, "thinking_plan": 3.0, "tokens_plan": 6e12},
}
# Cells of the constants of each lever, by attribute.
CONSTANTS = {
    "thinking": {"G": "coefficient", "g": "exponent"},
    "shape": {"epsilon": "epsilon", "gamma": "gamma"},
    "quantisation": {"coefficient": "coefficient", "gamma_D": "gamma_D", "gamma_N": "gamma_N"},
}
ONE_PRICE = ("serving_price", "training_price")


@pytest.mark.own_step
def test_changed_workbooks_say_what_the_laws_say(office: LibreOffice, tmp_path: Path) -> None:
    entries = {name: solved(name) for name in CHANGES}
    paths = []
    for name, one in entries.items():
        path = tmp_path / f"{name}.xlsx"
        write_workbook(path, [one])
        paths.append(changed_book(openpyxl.load_workbook(path), CHANGES[name], tmp_path / f"changed {name}.xlsx"))
    for price in ONE_PRICE:
        book = openpyxl.load_workbook(tmp_path / "data.xlsx")
        paths.append(changed_book(book, {price: 4.0}, tmp_path / f"{price}.xlsx"))
    found = [Values(path) for path in office.recalculate(paths)]
    for (name, (_, problem, plan)), values in zip(entries.items(), found, strict=False):
        follows_the_law(name, problem, plan, values)
    for price, values in zip(ONE_PRICE, found[len(entries) :], strict=True):
        says_on_which_side_the_best_size_lies(price, entries["data"][2], values)


def follows_the_law(name: str, problem: Problem, plan: Plan, values: Values) -> None:
    cells = CHANGES[name]

    def cell(key: str, otherwise: float) -> float:
        return float(cells.get(key, otherwise))

    law = replace(problem.law, alpha=cell("alpha", problem.law.alpha))
    levers = []
    numbers = {}
    for lever in problem.levers:
        new = {
            attribute: cell(f"{lever.kind}_{key}", getattr(lever, attribute))
            for attribute, key in CONSTANTS[lever.kind].items()
        }
        if lever.variable:
            numbers[lever.kind] = cell(f"{lever.kind}_plan", values[f"in_{lever.kind}_plan"])
            new |= {"low": 1.0, "high": 1e4}
        levers.append(replace(lever, **new))  # type: ignore[type-var]
    repetition = problem.repetition
    if repetition is not None:
        keys = ("unique_tokens", "R_D", "R_N")
        repetition = replace(repetition, **{key: cell(key, getattr(repetition, key)) for key in keys})
    assert plan.best is not None
    N, D = cell("params_plan", plan.best.params), cell("tokens_plan", plan.best.tokens)
    changed_problem = replace(problem, law=law, levers=tuple(levers), repetition=repetition)
    assert close(values["law_plan_loss"], whole_loss(changed_problem, numbers, N, D)), name
    assert values["all_checks"].startswith("Inputs changed")
    bill = problem.cost.totals({"params": N, "tokens": D, "samples": numbers.get("thinking", 1.0), "aspect": 1.0})
    factors = {
        "training": cell("training_price", 1.5) / 1.5,
        "prefill": cell("requests", 1e9) / 1e9 * cell("serving_price", 1.1) / 1.1,
    }
    factors["decode"] = factors["prefill"] * 0.01 / cell("decode_mfu", 0.01)
    for term, factor in factors.items():
        assert close(values[f"plan_{term}"], factor * bill[term]), (name, term)


def says_on_which_side_the_best_size_lies(price: str, plan: Plan, values: Values) -> None:
    section, key = price.split("_")
    best = solve(Scenario.from_dict(changed(DATA, **{f"{section}__{key}": 4.0}))).best
    assert best is not None
    assert plan.best is not None
    word = "larger" if best.params > plan.best.params else "smaller"
    assert values["plan_sizes_are"] == f"no longer the best: a {word} model would cost less"
