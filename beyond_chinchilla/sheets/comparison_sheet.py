"""The first sheet where there are several scenarios: one a row."""

from __future__ import annotations

from typing import Any

from beyond_chinchilla.report.rows import laws
from beyond_chinchilla.sheets import styles
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.figures import PlanCells
from beyond_chinchilla.sheets.formula import Formula

_FIRST = 1
_HEADS = ("Scenario", "Law", "Target loss", "Parameters", "Tokens", "Tokens per param", "Total", "Unit",
          "Chinchilla parameters", "Chinchilla total", "Saved", "kappa", "Figures are")  # fmt: skip
_TOP = 4
_SAYS_WIDTH = 60


def write_comparison(page: Page, cases: list[Case], plans: list[PlanCells | None], verdict: Formula | None) -> None:
    """Write one row a scenario, live where its plan is."""
    page.lay_out((2, 40, 22, 12, 13, 12, 12, 14, 8, 13, 14, 10, 10, _SAYS_WIDTH, 2), freeze=_TOP)
    page.put(0, _FIRST, "Comparison", "title")
    page.put(1, _FIRST, "Which model to train, and on how many tokens, in each scenario", "subtitle")
    if verdict is not None:
        page.put(2, _FIRST, "State of this workbook", "faint")
        page.put(2, _FIRST + 1, verdict, "bold")
    for index, head in enumerate(_HEADS):
        page.put(
            _TOP - 1,
            _FIRST + index,
            head,
            "head",
            *(("right",) if 2 <= index <= 11 and index != 7 else ("indent",) if index > 2 else ()),
        )
    page.sheet.set_row(_TOP - 1, 28)
    for number, (case, plan) in enumerate(zip(cases, plans, strict=True)):
        _write_row(page, _TOP + number, number, case, plan)
    last = _TOP + len(cases) - 1
    page.sheet.insert_chart(last + 2, _FIRST, _chart(page, last), {"object_position": 2})


def _write_row(page: Page, row: int, number: int, case: Case, plan: PlanCells | None) -> None:
    live = plan is not None and case.exact
    page.put(row, _FIRST, case.name, "bold", "wrap")
    page.put(row, _FIRST + 1, laws(case.plan).removeprefix("law "), "wrap")
    figures: list[tuple[Formula | float, str]]
    if live:
        assert plan is not None
        both = plan.figures
        figures = [(both["loss"][0], "loss"), (both["params"][0], "size"), (both["tokens"][0], "tokens"),
                   (both["tokens_per_param"][0], "plain"), (both["total"][0], case.unit),
                   (both["params"][1], "size"), (both["total"][1], case.unit),
                   (plan.savings_fraction, "percent"), (plan.pair.kappa, "ratio")]  # fmt: skip
        says = f"live: change Inputs {number + 1}" if case.standing is None else (
            f"live but for the sizes, which are the solver's: change Inputs {number + 1}"
        )  # fmt: skip
    else:
        best, base = case.plan.best, case.plan.baseline
        saved = case.plan.savings_fraction if case.plan.objective == "cost" else float("nan")
        figures = [] if best is None else [
            (best.loss, "loss"), (best.params, "size"), (best.tokens, "tokens"), (best.tokens_per_param, "plain"),
            (best.total, case.unit), (base.params, "size"), (base.total, case.unit), (saved, "percent"),
            (float("nan") if case.plan.kappa is None else case.plan.kappa, "ratio")]  # fmt: skip
        says = f"values: {case.obstacle or '; '.join(case.differences)}"
        if best is None:
            says = f"{case.plan.status}; {says}"
    columns = [2, 3, 4, 5, 6, 8, 9, 10, 11]
    for column, (content, style) in zip(columns, figures, strict=False):
        if isinstance(content, Formula) or content == content:
            page.put(row, _FIRST + column, content, style)
    page.put(row, _FIRST + 7, case.unit, "unit")
    page.put(row, _FIRST + 12, says, "note", "indent")
    page.fit_row(row, says, _SAYS_WIDTH - 4)


def _chart(page: Page, last: int) -> Any:
    """Return bars of what each plan saves."""
    chart = page.book.workbook.add_chart({"type": "bar"})
    font = {"name": styles.FONT, "size": 9, "color": styles.INK}
    chart.add_series({
        "name": "Saved against Chinchilla",
        "categories": "=" + page.block(_TOP, _FIRST, last, _FIRST),
        "values": "=" + page.block(_TOP, _FIRST + 10, last, _FIRST + 10),
        "fill": {"color": styles.PLAN},
        "data_labels": {"value": True, "num_format": "0.0%", "font": font},
        "gap": 50,
    })  # fmt: skip
    chart.set_title({"name": "Saved against the Chinchilla model", "name_font": font | {"size": 12, "bold": True}})
    chart.set_y_axis({"reverse": True, "num_font": font, "label_position": "low"})
    chart.set_x_axis({"num_format": "0%", "num_font": font, "major_gridlines": {"visible": False}})
    chart.set_legend({"none": True})
    chart.set_size({"width": 820, "height": 140 + 40 * (last - _TOP + 1)})
    return chart
