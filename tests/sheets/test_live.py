"""A workbook is changed, LibreOffice recalculates it, and every cell says what the solver says of the changed scenario.

The caches of the file cannot help: openpyxl drops them when it writes a change, and LibreOffice is told to trust
none. A file whose caches are all wrong proves that the telling works. All workbooks go through one call, and all that
is asked of them stands in one test, which one worker runs: a call takes seconds.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import strategies as own
import trees
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from libreoffice import LibreOffice, Values

from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.sheets.entry import case_of
from beyond_chinchilla.sheets.sensitivity_sheet import CHANGES
from beyond_chinchilla.sheets.write import write_workbook

TOLERANCE = 1e-9
CASES = 12
# Of these the sensitivities are compared with scenarios as well as with rates.
BY_SCENARIO = 5

COST = trees.COST | {"name": "cost"}
FLOPS: dict[str, Any] = {
    "name": "flops",
    "law": "besiroglu-2024",
    "target": {"loss": 2.1},
    "demand": {"tokens": "2T"},
    "objective": "flops",
}
MONTHS = (40e6, 50e6, 0.0, 80e6)
MONTHLY: dict[str, Any] = COST | {
    "name": "monthly",
    "demand": {
        "table": [{"month": number, "requests": one} for number, one in enumerate(MONTHS, start=1)],
        "input_tokens": 70,
        "output_tokens": 215,
        "cached_share": "40%",
    },
    "discounting": {"rate": "10%"},
    "training": COST["training"] | {"goodput": "90%", "development": "20%"},
}
# Where a change goes in the scenario; the rest has the same key in both.
PLACES = {
    "training_price": ("training", "price"),
    "training_mfu": ("training", "mfu"),
    "serving_price": ("serving", "price"),
    "prefill_mfu": ("serving", "prefill_mfu"),
    "decode_mfu": ("serving", "decode_mfu"),
    "requests": ("demand", "requests"),
    "input_tokens": ("demand", "input_tokens"),
    "output_tokens": ("demand", "output_tokens"),
    "decode_tokens": ("demand", "tokens"),
}


@dataclass(frozen=True)
class Change:
    """New values of input cells, and the scenario that they make."""

    cells: Mapping[str, float | str]
    scenario: Scenario


def changed(base: dict[str, Any], cells: Mapping[str, float | str]) -> Scenario:
    """Return the scenario whose workbook would have these cells."""
    tree = {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}
    tree["law"] = {key: cells[key] for key in ("E", "A", "alpha", "B", "beta")}
    way = cells["target_way"]
    sized = {"params": cells["target_params"], "tokens": cells["target_tokens"]}
    tree["target"] = {way: sized if way == "model" else cells[f"target_{way}"]}
    for key, (section, name) in PLACES.items():
        if key in cells:
            tree[section][name] = cells[key]
    for use in ("training", "serving"):
        if f"{use}_peak" in cells:
            hardware, precision = base[use]["hardware"], base[use]["precision"]
            tree[use]["hardware"] = {"base": hardware, "peak": {precision: cells[f"{use}_peak"]}}
    return Scenario.from_dict(tree)


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, float | str]]:
    """Draw a law, a target in one of three ways, a demand and prices."""
    law = draw(own.laws())
    point = law.compute_optimal(params=draw(own.log_floats(1e8, 1e12)))
    cells: dict[str, float | str] = {key: getattr(law, key) for key in ("E", "A", "alpha", "B", "beta")}
    cells |= {
        "target_way": draw(st.sampled_from(["loss", "chinchilla", "model"])),
        "target_loss": float(point.loss),
        "target_chinchilla": float(point.params),
        "target_params": float(point.params) * draw(own.log_floats(0.5, 2.0)),
        "target_tokens": float(point.tokens) * draw(own.log_floats(0.5, 2.0)),
    }
    if draw(st.booleans()) and draw(st.booleans()):
        return FLOPS, cells | {"decode_tokens": draw(own.log_floats(1e6, 1e16))}
    lengths = st.one_of(st.just(0.0), own.log_floats(1.0, 1e5))
    return COST, cells | {
        "requests": draw(own.log_floats(1.0, 1e13)),
        "input_tokens": draw(lengths),
        "output_tokens": draw(own.log_floats(1.0, 1e5)),
        "training_price": draw(own.log_floats(0.1, 20.0)),
        "serving_price": draw(own.log_floats(0.1, 20.0)),
        "training_peak": draw(own.log_floats(10.0, 1e4)),
        "serving_peak": draw(own.log_floats(10.0, 1e4)),
        "training_mfu": draw(own.mfus()),
        "prefill_mfu": draw(own.mfus()),
        "decode_mfu": draw(own.mfus()),
    }


def drawn(count: int) -> list[tuple[dict[str, Any], Change]]:
    """Draw all changes first: one call of LibreOffice is as slow for one workbook as for many."""
    found: list[tuple[dict[str, Any], Change]] = []

    @settings(max_examples=8 * count, phases=[Phase.generate], database=None)
    @given(changes())
    def collect(pair: tuple[dict[str, Any], dict[str, float | str]]) -> None:
        base, cells = pair
        # Chance alone may leave out the bill in FLOPs.
        room = count // 4 if base is FLOPS else count - count // 4
        if sum(known is base for known, _ in found) < room:
            try:
                found.append((base, Change(cells, changed(base, cells))))
            except ScenarioError:
                # A law and a target of which the scenario itself says that they are out of this world.
                return

    collect()
    return found


def entry(scenario: Scenario) -> tuple[Scenario, Problem, Plan]:
    return scenario, scenario.to_problem(), solve(scenario)


@dataclass(frozen=True)
class Recalculated:
    """A changed workbook after LibreOffice."""

    change: Change
    values: Values
    plan: Plan


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("originals")
    for base in (COST, FLOPS, MONTHLY):
        write_workbook(folder / f"{base['name']}.xlsx", [entry(Scenario.from_dict(base))])
    return {base["name"]: folder / f"{base['name']}.xlsx" for base in (COST, FLOPS, MONTHLY)}


@pytest.fixture(scope="module")
def spoiled(originals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workbook in which every cached number of a formula is -1."""
    path = tmp_path_factory.mktemp("spoiled") / "spoiled.xlsx"
    with zipfile.ZipFile(originals["cost"]) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.namelist():
            content = source.read(item)
            if item.startswith("xl/worksheets/sheet"):
                content, count = re.subn(rb"(</f><v>)[^<]*(</v>)", rb"\g<1>-1\g<2>", content)
                assert count > 0 or b"</f>" not in content
                # What was text or an error would not be a number.
                content = re.sub(rb' t="(str|e|b)"(?=><f>)', b"", content)
            target.writestr(item, content)
    return path


def changed_book(book: openpyxl.Workbook, cells: Mapping[str, float | str], path: Path) -> Path:
    """Write a workbook with other inputs, and without caches."""
    for key, value in cells.items():
        ((sheet, address),) = book.defined_names[f"in_{key}"].destinations
        assert not str(book[sheet][address].value).startswith("=")
        book[sheet][address].value = value
    book.save(path)
    return path


# Inputs that no scenario accepts: a target below the floor, and words for a price and for the way to state a target.
BAD: dict[str, dict[str, float | str]] = {
    "floor": {"target_way": "loss", "target_loss": 1.0},
    "word": {"training_price": "dear"},
    "way": {"target_way": "?"},
}
NO_DEMAND: dict[str, float | str] = {"input_tokens": 0.0, "output_tokens": 0.0}


@pytest.mark.own_step
def test_changed_workbooks_say_what_the_solver_says(
    office: LibreOffice, originals: dict[str, Path], spoiled: Path, tmp_path: Path
) -> None:
    pairs = drawn(CASES)
    assert len(pairs) == CASES
    shared = {name: openpyxl.load_workbook(path) for name, path in originals.items()}
    books = [
        # Every case changes the same cells, so that none is left of the case before.
        changed_book(shared[base["name"]], change.cells, tmp_path / f"{number}.xlsx")
        for number, (base, change) in enumerate(pairs)
    ]

    def fresh() -> openpyxl.Workbook:
        return openpyxl.load_workbook(originals["cost"])

    bad = [changed_book(fresh(), cells, tmp_path / f"{name}.xlsx") for name, cells in BAD.items()]
    idle = changed_book(fresh(), NO_DEMAND, tmp_path / "idle.xlsx")
    monthly = changed_months(shared["monthly"], tmp_path / "monthly.xlsx")
    found = [Values(path) for path in office.recalculate([*books, *bad, monthly, idle, spoiled])]
    cases = [
        Recalculated(change, values, solve(change.scenario))
        for (_, change), values in zip(pairs, found[:CASES], strict=True)
    ]
    assert {case.change.scenario.name for case in cases} == {"cost", "flops"}
    for check in (every_named_figure, what_the_sheets_show, sensitivities, frontiers, verdicts, the_answer):
        check(cases)
    for values in found[CASES:-3]:
        bad_inputs_say_so(values)
    months_follow_the_solver(found[-3])
    without_demand_the_plan_is_chinchilla(found[-2])
    plan = solve(Scenario.from_dict(COST))
    assert plan.best is not None
    assert close(found[-1]["plan_params"], plan.best.params)


@pytest.mark.own_step
def test_wrong_caches_come_back_where_recalculation_is_not_forced(office: LibreOffice, spoiled: Path) -> None:
    """The control: above, the same file says what the solver says."""
    (trusted,) = office.recalculate([spoiled], forced=False)
    assert Values(trusted)["plan_params"] == -1


def close(live: Any, solved: float, scale: float | None = None) -> bool:
    """Whether a cell holds the solver's number to 1e-9 of it, or of a scale."""
    if not isinstance(live, (int, float)) or isinstance(live, bool):
        return False
    return abs(live - solved) <= TOLERANCE * (abs(solved) if scale is None else scale)


def expected(plan: Plan) -> dict[str, tuple[float, float | None]]:
    """Return the solver's figures by the names of the cells, with what their difference is measured by."""
    assert plan.best is not None
    assert plan.kappa is not None
    assert plan.spend_ratio is not None
    figures: dict[str, tuple[float, float | None]] = {
        "in_target": (plan.target_loss, None),
        "plan_params": (plan.best.params, None),
        "plan_tokens": (plan.best.tokens, None),
        "plan_total": (plan.best.total, None),
        "plan_chinchilla_params": (plan.baseline.params, None),
        "plan_chinchilla_tokens": (plan.baseline.tokens, None),
        "plan_chinchilla_total": (plan.baseline.total, None),
        "plan_kappa": (plan.kappa, None),
        "plan_spend_ratio": (plan.spend_ratio, None),
        "plan_savings": (plan.savings, plan.baseline.total),
        "plan_savings_fraction": (plan.savings_fraction, 1.0),
    }
    for prefix, candidate in (("plan_", plan.best), ("plan_chinchilla_", plan.baseline)):
        figures |= {f"{prefix}{label}": (value, None) for label, value in candidate.terms.items()}
    return figures


def every_named_figure(cases: list[Recalculated]) -> None:
    wrong = [
        (case.change.cells, name, case.values[name], value)
        for case in cases
        for name, (value, scale) in expected(case.plan).items()
        if not close(case.values[name], value, scale)
    ]
    assert wrong == []


def what_the_sheets_show(cases: list[Recalculated]) -> None:
    """The tables of Summary and Plan, by their labels."""
    labels = {
        "Parameters": "params",
        "Training tokens": "tokens",
        "Tokens per parameter": "tokens_per_param",
        "Loss [nats/token]": "loss",
        "Training [FLOP]": "training_flops",
        "Serving for life [FLOP]": "inference_flops",
    }
    for case in cases:
        assert case.plan.best is not None
        for sheet in ("Summary", "Plan"):
            table = case.values.table(sheet)
            for label, key in labels.items():
                # Both start from the same cells, so that a slip in one of the two would show.
                if label == "Serving for life [FLOP]" and case.plan.best.unit == "FLOP":
                    # There it is a term of the bill.
                    assert label not in table
                    continue
                left, right = table[label][:2]
                assert close(left, getattr(case.plan.best, key)), (sheet, label, case.change.cells)
                assert close(right, getattr(case.plan.baseline, key)), (sheet, label, case.change.cells)
        table = case.values.table("Plan")
        for key, label in (("demand", "1% more demand"), ("target_loss", "1% less target loss")):
            assert close(table[f"for {label}"][0], abs(case.plan.elasticities[key])), case.change.cells


def sensitivities(cases: list[Recalculated]) -> None:
    """Each figure is the plan of inputs of which one is changed, with its target at the same loss."""
    checked = 0
    for number, case in enumerate(cases):
        cells = dict(case.change.cells)
        cells |= {"target_way": "loss", "target_loss": case.plan.target_loss}
        table = case.values.table("Sensitivity")
        assert case.plan.best is not None
        for label, key in (
            ("Price of a chip, training", "training_price"),
            ("Requests", "requests"),
            ("Utilisation (MFU) while writing, serving", "decode_mfu"),
        ):
            for column, change in enumerate(CHANGES if key in cells and number < BY_SCENARIO else ()):
                value = float(cells[key]) * (1.0 + change)
                if key.endswith("mfu") and value > 1.0:
                    assert table[label][column] == "-"
                    continue
                total = solve(changed(COST, cells | {key: value})).best
                assert total is not None
                assert close(table[label][column], total.total / case.plan.best.total - 1.0, 1.0 + change + 1.0)
                checked += 1
        for label in ("Law: A, coefficient of the model term", "Target loss above E"):
            for column, change in enumerate(CHANGES):
                law = case.plan.law
                gap = case.plan.target_loss - law.E
                A = law.A
                if label.startswith("Law"):
                    A *= 1.0 + change
                else:
                    gap *= 1.0 + change
                rates = case.change.scenario.to_problem().rates
                assert rates is not None
                other = type(law)(E=0.0, A=A, alpha=law.alpha, B=law.B, beta=law.beta)
                best = universal.optimum(other, gap, *rates)
                total_cost = float(best.params) * (rates[0] * float(best.tokens) + rates[1])
                ratio = total_cost / case.plan.best.total
                assert close(table[label][column], ratio - 1.0, max(ratio, 1.0)), (label, case.change.cells)
                checked += 1
    assert checked > CASES


def frontiers(cases: list[Recalculated]) -> None:
    for case in cases:
        law, rates = case.plan.law, case.change.scenario.to_problem().rates
        assert rates is not None
        assert case.plan.best is not None
        rows = list(sections(case.values.rows("Frontier")))
        sizes, losses = rows
        assert any(close(row[0], case.plan.best.params) for row in sizes)
        for N, D, _, training, serving, total, over in sizes:
            if isinstance(total, str):
                continue
            # Near the least size, the tokens are as uncertain as 1 - A N^-alpha/R is small.
            left = 1.0 - law.A * N**-law.alpha / (case.plan.target_loss - law.E)
            allowed = 1e-12 / (left * law.beta) + TOLERANCE
            assert math.isclose(D, float(law.tokens_for(N, case.plan.target_loss)), rel_tol=allowed)
            assert math.isclose(total, rates[0] * N * D + rates[1] * N, rel_tol=allowed)
            assert math.isclose(training + serving, total, rel_tol=1e-12)
            assert over >= -1e-12
        for loss, N, D, least, *_ in losses:
            best = universal.optimum(law, loss, *rates)
            # The cell of the loss is E + R, of which R has lost digits where it is small.
            allowed = TOLERANCE + 1e-13 * loss / (loss - law.E) / min(law.alpha, law.beta)
            assert math.isclose(N, float(best.params), rel_tol=allowed)
            assert math.isclose(D, float(best.tokens), rel_tol=allowed)
            assert math.isclose(least, N * (rates[0] * D + rates[1]), rel_tol=TOLERANCE)


def sections(rows: list[list[Any]]) -> Iterator[list[list[Any]]]:
    """Return the numbers of each table of a sheet of tables."""
    table: list[list[Any]] = []
    for row in rows:
        if isinstance(row[1], str) and row[1] in ("Parameters", "Target loss"):
            table = []
        elif isinstance(row[1], (int, float)):
            table.append(row[1:8])
        elif table:
            yield table
            table = []
    if table:
        yield table


def verdicts(cases: list[Recalculated]) -> None:
    for case in cases:
        verdicts = {row[5] for row in case.values.rows("Checks") if isinstance(row[5], str) and row[5]}
        assert verdicts == {"inputs changed", "ok"}, case.change.cells
        assert case.values["all_checks"].startswith("Inputs changed")
        assert case.values["in_changes"] >= 1
        errors = [error for error in case.values.errors() if not error.endswith("#N/A")]
        assert errors == []


def the_answer(cases: list[Recalculated]) -> None:
    scales = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    for case in cases:
        assert case.plan.best is not None
        said = re.match(r"Train ([\d.]+)([kMBT]?) parameters on (\S+) tokens instead of", case.values["answer"])
        assert said is not None, case.values["answer"]
        assert math.isclose(float(said[1]) * scales[said[2]], case.plan.best.params, rel_tol=6e-3)


def changed_months(book: openpyxl.Workbook, path: Path) -> Path:
    """Write other requests, another discount rate and other prices."""
    rows = [row for row in book["Demand"].iter_rows() if str(row[1].value).startswith("month ")]
    assert [row[2].value for row in rows] == list(MONTHS)
    for row, requests in zip(rows, reversed(MONTHS), strict=True):
        row[2].value = 3.0 * requests
    cells = {"discount_rate": 0.25, "training_price": 2.5, "serving_price": 3.5, "demand_scale": 0.5}
    return changed_book(book, cells, path)


def months_follow_the_solver(values: Values) -> None:
    rows = [{"month": number, "requests": 1.5 * one} for number, one in enumerate(reversed(MONTHS), start=1)]
    scenario = Scenario.from_dict(
        MONTHLY
        | {
            "demand": MONTHLY["demand"] | {"table": rows},
            "discounting": {"rate": "25%"},
            "training": MONTHLY["training"] | {"price": 2.5},
            "serving": MONTHLY["serving"] | {"price": 3.5},
        }
    )
    # Whole chips are not in the formulas, nor in what the case says of the solver.
    live = case_of(entry(scenario)).live
    assert live is not None
    for name, (value, scale) in expected(live).items():
        assert close(values[name], value, scale), (name, values[name], value)
    assert values["all_checks"].startswith("Inputs changed")


def bad_inputs_say_so(values: Values) -> None:
    """One kind of answer, and no wrong number."""
    assert values["answer"].startswith("No plan:")
    assert values["all_checks"].startswith("No plan")
    assert isinstance(values["plan_total"], str)


def without_demand_the_plan_is_chinchilla(values: Values) -> None:
    assert close(values["plan_params"], 30e9)
    assert values["plan_params"] == values["plan_chinchilla_params"]
    assert values["plan_savings"] == 0
