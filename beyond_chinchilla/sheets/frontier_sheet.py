"""The sheet of frontiers: what other sizes cost at the same loss, and what other losses cost at their best size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beyond_chinchilla.sheets import inputs, styles
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.chains import Chains
from beyond_chinchilla.sheets.figures import PlanCells
from beyond_chinchilla.sheets.formula import ERROR, exp, if_, larger, literal, ln
from beyond_chinchilla.sheets.inputs_sheet import InputCells

# Sizes as powers: from the least size that reaches the loss (0) to the plan's (1), and from there to the largest.
_BELOW = (0.38, 0.42, 0.46, 0.50, 0.56, 0.64, 0.72, 0.81, 0.90)
_ABOVE = (0.0, 0.04, 0.08, 0.13, 0.18, 0.25, 0.33, 0.42, 0.52, 0.63, 0.75, 0.87, 1.0)
# Beyond, a curve would flatten all that matters.
_DEAREST = 5.0
_GAPS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4)

_FIRST = 1
_HEADS = ("Parameters", "Tokens", "Tokens per param", "Training", "Serving", "Total", "Over the least")
_AXIS = {
    "size": '[>=999500000]0.0,,,"B";[>=999500]0.0,,"M";#,##0',
    "USD": '[>=999500000]"$"0.0,,,"B";[>=999500]"$"0.0,,"M";"$"#,##0',
    "FLOP": "0.0E+00",
    "loss": "0.00",
}


@dataclass(frozen=True)
class FrontierCells:
    """Addresses of the columns that charts draw: sizes and what they cost, and the two marked points."""

    sizes: str
    training: str
    serving: str
    total: str
    plan: tuple[str, str]
    baseline: tuple[str, str]


def write_frontier(page: Page, case: Case, given: InputCells, plan: PlanCells, chains: Chains) -> FrontierCells:
    """Write both frontiers with their charts."""
    page.lay_out((2, 14, 14, 17, 16, 16, 16, 16, 4), pages=1, freeze=3)
    page.put(0, _FIRST, "Frontier", "title")
    page.put(1, _FIRST, case.name, "subtitle")
    row = 3
    page.put(row, _FIRST, "The same loss from models of other sizes", "section")
    page.blank(row, _FIRST + 1, _FIRST + 6, "section")
    page.heads(row + 1, _FIRST, _HEADS, words=())
    first = row + 2
    last = _write_sizes(page, first, case, given, plan)
    cells = _columns(page, first, last, plan)
    page.sheet.insert_chart(last + 2, _FIRST, size_chart(page, case, cells), {"object_position": 2})
    row = last + 23
    page.put(row, _FIRST, "Least cost of other losses", "section")
    page.blank(row, _FIRST + 1, _FIRST + 6, "section")
    heads = ("Target loss", "Parameters", "Tokens", "Least cost", "Chinchilla", "Saved", "Over this plan")
    page.heads(row + 1, _FIRST, heads, words=())
    first = row + 2
    last = _write_losses(page, first, case, given, plan, chains)
    page.sheet.insert_chart(last + 2, _FIRST, _loss_chart(page, case, first, last), {"object_position": 2})
    return cells


def _write_sizes(page: Page, row: int, case: Case, given: InputCells, plan: PlanCells) -> int:
    """Write one size a row; return the last."""
    curve, law = plan.curve, inputs.law_cells(given.cells)
    best, base = curve.best, curve.baseline
    least = page.put(2, _FIRST + 1, (law.A / curve.gap) ** (1.0 / law.alpha), "size", "faint")
    page.put(2, _FIRST, "Least size", "faint")
    page.put(2, _FIRST + 2, "Largest shown", "faint", "right")
    most = page.put(2, _FIRST + 3, larger(2.5 * base.params, 3.0 * best.params), "size", "faint")
    steps = [least * exp(power * ln(best.params / least)) for power in _BELOW]
    steps += [best.params * exp(power * ln(most / best.params)) for power in _ABOVE]
    for number, size in enumerate(steps):
        style = ("bold",) if number == len(_BELOW) else ()
        N = page.put(row, _FIRST, best.params if number == len(_BELOW) else size, "size", *style)
        D = page.put(
            row, _FIRST + 1, (law.B / (curve.gap - law.A * N**-law.alpha)) ** (1.0 / law.beta), "tokens", *style
        )
        page.put(row, _FIRST + 2, D / N, "plain", *style)
        training = curve.training_rate * N * D
        affordable = training + curve.serving_rate * N <= _DEAREST * best.total
        trains = page.put(row, _FIRST + 3, if_(affordable, training, literal(ERROR)), case.unit, *style)
        serves = page.put(row, _FIRST + 4, if_(affordable, curve.serving_rate * N, literal(ERROR)), case.unit, *style)
        total = page.put(row, _FIRST + 5, trains + serves, case.unit, *style)
        page.put(row, _FIRST + 6, total / best.total - 1.0, "signed_percent", *style)
        row += 1
    hide = {
        "type": "formula",
        "criteria": f"=ISERROR($E{row - len(steps) + 1})",
        "format": page.book.condition("hidden"),
    }
    page.sheet.conditional_format(row - len(steps), _FIRST, row - 1, _FIRST + 6, hide)
    return row - 1


def _columns(page: Page, first: int, last: int, plan: PlanCells) -> FrontierCells:
    def column(offset: int) -> str:
        return "=" + page.block(first, _FIRST + offset, last, _FIRST + offset)

    best = page.address(first + len(_BELOW), _FIRST), page.address(first + len(_BELOW), _FIRST + 5)
    base = (
        page.put(1, _FIRST + 5, plan.curve.baseline.params, "size", "faint"),
        page.put(1, _FIRST + 6, plan.curve.baseline.total, "size", "faint"),
    )
    page.put(1, _FIRST + 4, "Chinchilla", "faint", "right")
    return FrontierCells(
        sizes=column(0), training=column(3), serving=column(4), total=column(5),
        plan=(f"={best[0]}", f"={best[1]}"), baseline=(f"={base[0].text}", f"={base[1].text}"),
    )  # fmt: skip


def _write_losses(page: Page, row: int, case: Case, given: InputCells, plan: PlanCells, chains: Chains) -> int:
    """Write one target a row; return the last."""
    assert given.gap is not None
    for factor in _GAPS:
        style = ("bold",) if factor == 1.0 else ()
        curve = chains.solve(f"gap x {factor:g}", given.cells, factor * given.gap)
        page.put(row, _FIRST, given.cells["E"] + curve.gap, "loss", *style)
        page.put(row, _FIRST + 1, curve.best.params, "size", *style)
        page.put(row, _FIRST + 2, curve.best.tokens, "tokens", *style)
        page.put(row, _FIRST + 3, curve.best.total, case.unit, *style)
        page.put(row, _FIRST + 4, curve.baseline.total, case.unit, *style)
        page.put(row, _FIRST + 5, 1.0 - curve.best.total / curve.baseline.total, "percent", *style)
        page.put(row, _FIRST + 6, curve.best.total / plan.curve.best.total - 1.0, "signed_percent", *style)
        row += 1
    return row - 1


def size_chart(page: Page, case: Case, cells: FrontierCells) -> Any:
    """Return the chart of cost against size, the plan and the Chinchilla model marked."""
    chart = page.book.workbook.add_chart({"type": "scatter", "subtype": "smooth"})
    lines = (
        ("Total", cells.total, styles.INK, 2.25),
        ("Training", cells.training, styles.TRAINING, 1.25),
        ("Serving", cells.serving, styles.DECODE, 1.25),
    )
    for name, values, colour, width in lines:
        chart.add_series({"name": name, "categories": cells.sizes, "values": values,
                          "line": {"color": colour, "width": width}})  # fmt: skip
    for name, (x, y), colour in (("Plan", cells.plan, styles.PLAN), ("Chinchilla", cells.baseline, styles.BASELINE)):
        marker = {"type": "circle", "size": 10, "fill": {"color": colour}, "border": {"color": "#FFFFFF"}}
        chart.add_series({"name": name, "categories": x, "values": y, "marker": marker, "line": {"none": True}})
    _dress(chart, "Lifetime cost of models of the same loss", "parameters", _AXIS["size"], case.unit)
    return chart


def _loss_chart(page: Page, case: Case, first: int, last: int) -> Any:
    """Return the chart of cost against target loss."""
    chart = page.book.workbook.add_chart({"type": "scatter", "subtype": "smooth"})
    losses = "=" + page.block(first, _FIRST, last, _FIRST)
    for name, offset, colour in (("Least cost", 3, styles.PLAN), ("Chinchilla", 4, styles.BASELINE)):
        values = "=" + page.block(first, _FIRST + offset, last, _FIRST + offset)
        chart.add_series({"name": name, "categories": losses, "values": values,
                          "line": {"color": colour, "width": 2.25}})  # fmt: skip
    _dress(chart, "Lifetime cost of other target losses", "target loss [nats/token]", _AXIS["loss"], case.unit)
    return chart


def _dress(chart: Any, title: str, x_name: str, x_format: str, unit: str) -> None:
    """Give a chart its titles, axes and size."""
    font = {"name": styles.FONT, "size": 9, "color": styles.INK}
    grid = {"visible": True, "line": {"color": "#E5E7EB", "width": 0.75}}
    chart.set_title({"name": title, "name_font": font | {"size": 12, "bold": True}, "overlay": False})
    chart.set_x_axis({"name": x_name, "num_format": x_format, "num_font": font, "name_font": font,
                      "major_gridlines": grid, "line": {"color": styles.LINE}})  # fmt: skip
    chart.set_y_axis({"name": unit, "num_format": _AXIS[unit], "num_font": font, "name_font": font, "min": 0,
                      "major_gridlines": grid, "line": {"none": True}})  # fmt: skip
    chart.set_legend({"position": "bottom", "font": font})
    chart.set_size({"width": 760, "height": 400})
