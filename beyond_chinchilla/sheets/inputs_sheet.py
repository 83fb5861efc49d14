"""The sheet of inputs: cells to change, each with its unit, source, bounds and what the scenario said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.curve import guarded_gap
from beyond_chinchilla.sheets.demand_sheet import DemandCells
from beyond_chinchilla.sheets.formula import Formula, counted, if_, is_number
from beyond_chinchilla.sheets.inputs import Input

_LABEL, _VALUE, _UNIT, _WRITTEN, _STATE, _NOTE, _KEY = range(1, 8)
_CHANGED = "changed"
_NOTE_WIDTH = 62
_HEADS = ("Input", "Value", "Unit", "As written", "", "Source, remarks", "Key in the scenario file")


@dataclass(frozen=True, kw_only=True)
class InputCells:
    """References to the sheet.

    Attributes
    ----------
    cells : dict of str to Formula
        Each input by its key.
    target : Formula or None
        The loss to reach; None where nothing is live.
    gap : Formula or None
        R = target - E, or an error.
    changes : Formula or None
        How many inputs are not what they were when the workbook was written.
    """

    cells: dict[str, Formula]
    target: Formula | None = None
    gap: Formula | None = None
    changes: Formula | None = None


def write_inputs(page: Page, case: Case, prefix: str, demand: DemandCells | None = None) -> InputCells:
    """Write the inputs of a scenario; `prefix` sets its names apart from those of other scenarios.

    `demand` are the cells of demand by month, where it has a sheet of its own.
    """
    page.lay_out((2, 46, 16, 24, 16, 10, _NOTE_WIDTH, 26), freeze=4)
    page.put(0, _LABEL, "Inputs", "title")
    page.put(1, _LABEL, case.name, "subtitle")
    live = case.calculates
    says = "Change the blue cells: every sheet follows. Numbers are in base units: type 2 billion as 2E9."
    if case.standing is not None:
        says = says.replace("every sheet follows", "bill and loss of the two models follow, their sizes do not")
    page.put(2, _LABEL, says if live else "Values: this plan cannot be calculated by formulas, see Read me.", "faint")
    page.heads(3, _LABEL, _HEADS, words=(0, 4, 5, 6))
    page.put(3, _UNIT, "Unit", "head", "indent")
    row = 4
    cells: dict[str, Formula] = {} if demand is None else dict(demand.totals)
    changed: list[Formula] = []
    target = gap = None
    for section in inputs.sections_of(case):
        row += 1
        page.blank(row, _LABEL, _KEY, "section")
        page.put(row, _LABEL, section.title, "section")
        page.put(row, _NOTE, section.note, "ruled")
        page.fit_row(row, section.note, _NOTE_WIDTH)
        for item in section.inputs:
            row += 1
            cells[item.key] = _write_input(page, row, item, prefix, changed, live=live)
        if live and section.title == "Quality to reach":
            target, gap, row = _write_target(page, row, cells, prefix)
    changes = None
    if live:
        row += 2
        page.put(row, _LABEL, "Inputs that are not what the scenario said", "bold")
        count = counted(page.block(4, _STATE, row - 1, _STATE), changed, _CHANGED)
        if demand is not None:
            count = count + demand.changes
        changes = page.put(row, _VALUE, count, "bold", "count", name=f"{prefix}changes")
    page.sheet.repeat_rows(3)
    return InputCells(cells=cells, target=target, gap=gap, changes=changes)


def _write_input(page: Page, row: int, item: Input, prefix: str, changed: list[Formula], *, live: bool) -> Formula:
    page.put(row, _LABEL, item.label)
    style = ("input",) if live else ()
    cell = page.put(row, _VALUE, item.value, *style, item.style, "right", name=f"{prefix}{item.key}" if live else "")
    page.put(row, _UNIT, item.unit, "unit")
    page.put(row, _NOTE, item.note, "note")
    page.fit_row(row, item.note, _NOTE_WIDTH)
    page.put(row, _KEY, item.scenario_key, "faint")
    if live:
        page.sheet.data_validation(row, _VALUE, row, _VALUE, _validation(item))
        written = page.put(row, _WRITTEN, item.value, item.style, "faint", "right")
        changed.append(page.put(row, _STATE, if_(cell.equals(written), "", _CHANGED), "changed", "indent"))
    return cell


def _validation(item: Input) -> dict[str, Any]:
    """Return what a cell accepts, and what it says to anything else."""
    if item.choices:
        return {"validate": "list", "source": list(item.choices), "error_title": item.label[:32],
                "error_message": f"Choose {', '.join(item.choices)}."}  # fmt: skip
    least = f"{'0 or more' if item.zero else 'above 0'}"
    most = "" if item.high is None else ", at most 100%"
    message = f"A number, {least}{most}. No letters: 2 billion is 2E9."
    rule: dict[str, Any] = {"validate": "decimal", "ignore_blank": False, "error_message": message}
    rule |= {"error_title": "Not a number in range"}
    if item.high is not None:
        return rule | {"criteria": "between", "minimum": 1e-9, "maximum": item.high}
    return rule | {"criteria": ">=" if item.zero else ">", "value": item.low}


def _write_target(page: Page, row: int, cells: dict[str, Formula], prefix: str) -> tuple[Formula, Formula, int]:
    """Write the loss that follows from the rows above, and the guard that all else depends on."""
    numbers = [key for key in cells if key.startswith("target_") and key != "target_way"]
    row += 1
    page.put(row, _LABEL, "Target loss", "bold")
    used = {"chinchilla": ("target_chinchilla",), "loss": ("target_loss",), "model": ("target_params", "target_tokens")}
    for key in numbers:
        # What does not count is grey.
        ways = [way for way, keys in used.items() if key in keys]
        address = cells["target_way"].text
        line = row - len(numbers) + numbers.index(key)
        page.sheet.conditional_format(
            line, _LABEL, line, _WRITTEN,
            {"type": "formula", "criteria": f'={address}<>"{ways[0]}"', "format": page.book.condition("ignored")},
        )  # fmt: skip
    target = page.put(row, _VALUE, inputs.target_loss(cells), "bold", "exact_loss", name=f"{prefix}target")
    page.put(row, _UNIT, "nats/token", "unit")
    row += 1
    page.put(row, _LABEL, "Reducible loss R = target - E")
    gap = page.put(row, _VALUE, guarded_gap(target, cells["E"]), "exact_loss", name=f"{prefix}gap")
    page.put(row, _UNIT, "nats/token", "unit")
    page.put(
        row, _NOTE,
        if_(is_number(gap), "", "The target is at or below E: no model reaches it. Raise the target."), "alarm",
    )  # fmt: skip
    return target, gap, row
