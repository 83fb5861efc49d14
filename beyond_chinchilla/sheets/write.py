"""A live workbook of one or more plans: change a price in a cell and the plan moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.files import write_whole
from beyond_chinchilla.sheets.book import Book, Page
from beyond_chinchilla.sheets.case import Case, Entry
from beyond_chinchilla.sheets.chains import Chains
from beyond_chinchilla.sheets.checks_sheet import Live, write_checks
from beyond_chinchilla.sheets.comparison_sheet import write_comparison
from beyond_chinchilla.sheets.demand_sheet import write_demand
from beyond_chinchilla.sheets.entry import case_of
from beyond_chinchilla.sheets.figures import PlanCells
from beyond_chinchilla.sheets.formula import Formula
from beyond_chinchilla.sheets.frontier_sheet import size_chart, write_frontier
from beyond_chinchilla.sheets.hardware_sheet import chips_of, write_hardware
from beyond_chinchilla.sheets.inputs_sheet import write_inputs
from beyond_chinchilla.sheets.law_sheet import write_law
from beyond_chinchilla.sheets.plan_sheet import write_plan
from beyond_chinchilla.sheets.read_me_sheet import write_read_me
from beyond_chinchilla.sheets.sensitivity_sheet import write_sensitivity
from beyond_chinchilla.sheets.standing_sheet import write_standing
from beyond_chinchilla.sheets.summary_sheet import bill_chart, write_summary

SUMMARY, COMPARISON, INPUTS, LAW, PLAN = "Summary", "Comparison", "Inputs", "Law", "Plan"
DEMAND, FRONTIER, SENSITIVITY, HARDWARE = "Demand", "Frontier", "Sensitivity", "Hardware and prices"
CHECKS, READ_ME, CALCULATION = "Checks", "Read me", "Calculation"
# The scenario itself, so that an import finds what no formula holds: limits, chips to choose from, fleets.
SCENARIO = "Scenario"
# A cell holds 32,767 characters.
_PIECE = 30_000


def write_workbook(path: str | Path, entries: Sequence[Entry]) -> None:
    """Write a live workbook: the old file or the new one, never half.

    Parameters
    ----------
    path : str or Path
        A file that ends in ``.xlsx``.
    entries : sequence of (Scenario, Problem, Plan)
        One gives all sheets; several give a comparison, and inputs and plan of each.

    Raises
    ------
    InputError
        No entries, or a place that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from beyond_chinchilla.optimise.solver import solve
    >>> from beyond_chinchilla.scenario.load import Scenario
    >>> scenario = Scenario.from_dict({"law": "sardana-2024", "target": {"chinchilla": "13B"},
    ...                                "demand": {"tokens": "2T"}, "objective": "flops"})
    >>> entry = (scenario, scenario.to_problem(), solve(scenario))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_workbook(Path(folder) / "plan.xlsx", [entry])
    ...     [path.name for path in Path(folder).iterdir()]
    ['plan.xlsx']
    """
    write_whole(Path(path), workbook(entries))


def workbook(entries: Sequence[Entry]) -> bytes:
    """Return the workbook as the bytes of an .xlsx file; see `write_workbook`."""
    if not entries:
        raise InputError("a workbook needs at least one solved scenario")
    cases = [case_of(entry) for entry in entries]
    if len(cases) > 1:
        # One sheet of months would not say whose they are.
        cases = [replace(case, months=None) for case in cases]
    return _one(cases[0]) if len(cases) == 1 else _several(cases)


def _one(case: Case) -> bytes:
    live = case.live is not None
    hardware = [HARDWARE] if chips_of([case]) else []
    months = [DEMAND] if case.months is not None else []
    stands = case.standing is not None
    titles = [SUMMARY, INPUTS, *months, *([PLAN, FRONTIER, SENSITIVITY] if live else [])]
    titles += [
        *([LAW, PLAN] if stands else []),
        *hardware,
        *([CHECKS] if case.calculates else []),
        READ_ME,
        *([CALCULATION] if live else []),
        SCENARIO,
    ]
    book = Book(titles, hidden=[*([CALCULATION] if live else []), SCENARIO])
    pages = book.pages
    _embed(pages[SCENARIO], case)
    demand = write_demand(pages[DEMAND], case, case.months) if case.months is not None else None
    given = write_inputs(pages[INPUTS], case, "in_", demand)
    plan = verdict = None
    if live:
        plan = write_plan(pages[PLAN], case, given, "")
        chains = Chains(pages[CALCULATION], case)
        frontier = write_frontier(pages[FRONTIER], case, given, plan, chains)
        write_sensitivity(pages[SENSITIVITY], case, given, plan, chains)
        verdict = write_checks(pages[CHECKS], [Live(case, given, plan)])
    elif stands:
        law = write_law(pages[LAW], case, given, "")
        plan = write_standing(pages[PLAN], case, given, law, "")
        verdict = write_checks(pages[CHECKS], [Live(case, given, plan, law[0])])
    row = write_summary(pages[SUMMARY], case, given, plan, verdict)
    if plan is not None:
        page = pages[SUMMARY]
        page.sheet.insert_chart(7, 6, bill_chart(page, case, pages[PLAN], plan), {"object_position": 2})
        if live:
            page.sheet.insert_chart(row, 1, size_chart(page, case, frontier), {"object_position": 2})
    if hardware:
        prices = {use: given.cells[f"{use}_price"] for use in ("training", "serving") if f"{use}_price" in given.cells}
        write_hardware(pages[HARDWARE], [case], prices if case.calculates else {})
    write_read_me(pages[READ_ME], [case])
    return book.close()


def _several(cases: list[Case]) -> bytes:
    titles = [COMPARISON]
    for number, case in enumerate(cases, start=1):
        titles += [f"{INPUTS} {number}", *([f"{LAW} {number}"] if case.standing else [])]
        titles += [f"{PLAN} {number}"] if case.calculates else []
    has_chips = bool(chips_of(cases))
    has_live = any(case.calculates for case in cases)
    titles += [*([HARDWARE] if has_chips else []), *([CHECKS] if has_live else []), READ_ME]
    hidden = [f"{SCENARIO} {number}" for number in range(1, len(cases) + 1)]
    book = Book([*titles, *hidden], hidden)
    pages = book.pages
    for title, case in zip(hidden, cases, strict=True):
        _embed(pages[title], case)
    plans: list[PlanCells | None] = []
    lives: list[Live] = []
    for number, case in enumerate(cases, start=1):
        given = write_inputs(pages[f"{INPUTS} {number}"], case, f"s{number}_in_")
        plan = None
        if case.live:
            plan = write_plan(pages[f"{PLAN} {number}"], case, given, f"s{number}_")
            lives.append(Live(case, given, plan))
        elif case.standing:
            law = write_law(pages[f"{LAW} {number}"], case, given, f"s{number}_")
            plan = write_standing(pages[f"{PLAN} {number}"], case, given, law, f"s{number}_")
            lives.append(Live(case, given, plan, law[0]))
        plans.append(plan)
    verdict: Formula | None = write_checks(pages[CHECKS], lives) if lives else None
    write_comparison(pages[COMPARISON], cases, plans, verdict)
    if has_chips:
        write_hardware(pages[HARDWARE], cases, {})
    write_read_me(pages[READ_ME], cases)
    return book.close()


def _embed(page: Page, case: Case) -> None:
    """Write a scenario as JSON, in pieces that cells can hold."""
    text = json.dumps(case.stated.to_dict(), ensure_ascii=True, allow_nan=False)
    for row, begin in enumerate(range(0, len(text), _PIECE)):
        page.put(row, 0, text[begin : begin + _PIECE])
