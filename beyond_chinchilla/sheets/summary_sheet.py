"""The first sheet: the answer in a sentence, the figures behind it, two charts, and what to beware of."""

from __future__ import annotations

from typing import Any

from beyond_chinchilla.optimise.advice import NEGLIGIBLE_KAPPA
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.report import rows
from beyond_chinchilla.sheets import styles
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.figures import ALL, PlanCells
from beyond_chinchilla.sheets.formula import Formula, if_, if_error
from beyond_chinchilla.sheets.inputs_sheet import InputCells
from beyond_chinchilla.sheets.standing_sheet import BALANCE
from beyond_chinchilla.units import format_amount

_LABEL, _PLAN, _BASELINE, _RATIO, _LAST = 1, 2, 3, 4, 11
_ANSWER = 3
_NATS = 0.01
_SMALL = 0.01
# The chart of the bill stands beside the figures, down to this row.
_BESIDE = 28
_STANDS = (
    "Bill and loss of both models are live. Their sizes are the solver's, blue cells of Inputs: no formula chooses "
    "them under this law. Law says whether they reach the target"
)
_OPEN, _BOUND = ", Plan whether they are still the best.", "; a limit binds, which the formulas do not know."
_LABELS = {
    "params": ("Parameters", "size"),
    "total_params": (ALL, "size"),
    "tokens": ("Training tokens", "tokens"),
    "tokens_per_param": ("Tokens per parameter", "plain"),
    "loss": ("Loss [nats/token]", "loss"),
    "training_flops": ("Training [FLOP]", "FLOP"),
    "inference_flops": ("Serving for life [FLOP]", "FLOP"),
}


def write_summary(
    page: Page, case: Case, given: InputCells | None, plan: PlanCells | None, verdict: Formula | None
) -> int:
    """Write the answer of one scenario; return the first row below it where a chart can stand."""
    page.lay_out((2, 30, 16, 16, 10, 4, *[11] * 6, 4), pages=1)
    page.put(0, _LABEL, case.name, "title")
    page.put(1, _LABEL, f"Which model to train, and on how many tokens: {rows.laws(case.plan)}", "subtitle")
    page.sheet.set_row(_ANSWER, 42)
    row = _ANSWER
    if plan is not None and case.exact:
        page.text_across(row, _LABEL, _LAST, plan.sentence, "answer")
        if case.standing is not None:
            row += 1
            page.text_across(row, _LABEL, _LAST, _STANDS + (_OPEN if case.standing.free else _BOUND), "note")
            page.sheet.set_row(row, 28)
    else:
        page.text_across(row, _LABEL, _LAST, rows.headline(case.plan), "answer")
        row = _write_caveat(page, row + 1, case, plan)
    row += 1
    if verdict is not None:
        page.put(row, _LABEL, "State of this workbook", "faint")
        page.put(row, _PLAN, verdict, "bold")
    row += 2
    row = _write_live(page, row, case, given, plan) if plan is not None else _write_values(page, row, case)
    row = _write_limits(page, max(row, _BESIDE) if plan is not None else row, case)
    return _write_warnings(page, row, case)


def _write_caveat(page: Page, row: int, case: Case, plan: PlanCells | None) -> int:
    """Say what is a value and what is live."""
    if plan is None:
        text = f"These are values of the solver. No formulas: {case.obstacle}."
        page.text_across(row, _LABEL, _LAST, text, "note")
        return row
    text = f"The sentence above is the solver's and does not move: {'; '.join(case.differences)}. Live, without limits:"
    page.text_across(row, _LABEL, _LAST, text, "note")
    page.sheet.set_row(row, 28)
    page.sheet.set_row(row + 1, 36)
    page.text_across(row + 1, _LABEL, _LAST, plan.sentence, "live_answer")
    return row + 1


def _write_live(page: Page, row: int, case: Case, given: InputCells | None, plan: PlanCells) -> int:
    """Write the figures that matter, live; return the next free row."""
    assert given is not None
    heads = ("Key figures", "Plan" if case.exact else "Without limits", "Chinchilla", "Ratio")
    page.heads(row, _LABEL, heads)
    for key, (left, right) in plan.figures.items():
        row += 1
        label, style = _LABELS.get(key, ("", ""))
        label = case.worded(label)
        total = ("total",) if key == "total" else ()
        if not label:
            name = key.removeprefix("term_").replace("_", " ").capitalize()
            label, style = f"{name} [{case.unit}]", case.unit
            if key.endswith("_hours"):
                label, style = f"{key.removesuffix('_hours').capitalize()} [chip-hours]", "count"
        page.put(row, _LABEL, label, *total)
        page.put(row, _PLAN, left, style, *total)
        page.put(row, _BASELINE, right, style, *total)
        page.put(row, _RATIO, if_error(left / right, ""), "times", *total)
    row += 1
    page.put(row, _LABEL, "Saved", "bold")
    page.put(row, _PLAN, plan.savings, case.unit, "bold")
    page.put(row, _BASELINE, plan.savings_fraction, "percent", "bold")
    row += 2
    kappa = plan.pair.kappa
    page.put(row, _LABEL, "kappa")
    page.put(row, _PLAN, kappa, "ratio")
    page.put(
        row, _BASELINE,
        if_(kappa < NEGLIGIBLE_KAPPA, "serving hardly matters", "serving matters: above 0.05"),
        "unit",
    )  # fmt: skip
    row += 1
    page.put(row, _LABEL, "Serving over training spend")
    page.put(row, _PLAN, plan.pair.spend_ratio, "ratio")
    page.put(row, _BASELINE, "in this plan", "unit")
    for key, cell in plan.elasticities.items():
        row += 1
        if key == BALANCE:
            continue
        of_target = key == "target_loss"
        step = -_NATS / given.target if of_target and given.target is not None else 0.01
        page.put(row, _LABEL, f"{_NATS:g} nats less loss" if of_target else f"1% more {key.replace('_', ' ')}")
        page.put(row, _PLAN, cell * step, "signed_share")
        page.put(row, _BASELINE, "of least cost", "unit")
    return row + 2


def _write_values(page: Page, row: int, case: Case) -> int:
    """Write the figures of the solver as values; return the next free row."""
    best, base = case.plan.best, case.plan.baseline
    page.heads(row, _LABEL, ("Key figures (values)", "Plan", "Chinchilla", "Ratio"))
    for key, (label, style) in _LABELS.items():
        if key == "total_params" and not case.is_mixture:
            continue
        row += 1
        _values(page, row, case.worded(label), style, _of(best, key) if best else None, _of(base, key))
    terms = dict.fromkeys([*(best.terms if best else ()), *base.terms])
    for label in terms:
        row += 1
        left = best.terms.get(label, 0.0) if best else None
        _values(page, row, f"{label.capitalize()} [{case.unit}]", case.unit, left, base.terms.get(label, 0.0))
    row += 1
    _values(page, row, f"Total [{case.unit}]", case.unit, best.total if best else None, base.total, "total")
    return row + 2


def _of(candidate: Candidate, key: str) -> float:
    # Of a dense model all parameters are active.
    found = getattr(candidate, key)
    return float(candidate.params if found is None else found)


def _values(page: Page, row: int, label: str, style: str, best: float | None, base: float, *more: str) -> None:
    page.put(row, _LABEL, label, *more)
    page.put(row, _BASELINE, base, style, *more)
    if best is None:
        page.put(row, _PLAN, "-", "right", *more)
        return
    page.put(row, _PLAN, best, style, *more)
    if base:
        page.put(row, _RATIO, best / base, "times", *more)


def _write_limits(page: Page, row: int, case: Case) -> int:
    """Write the limits at the solver's plan with their prices; return the next free row."""
    if not case.plan.limits:
        return row
    page.heads(row, _LABEL, ("Limits (values)", "Plan", "Bound"))
    page.put(row, _RATIO, "unit", "head", "indent")
    page.blank(row, _RATIO + 1, _RATIO + 1, "head")
    page.text_across(row, _RATIO + 2, _RATIO + 4, "one more unit is worth", "head")
    for limit in case.plan.limits:
        row += 1
        page.put(row, _LABEL, f"{limit.label.replace('_', ' ')} {limit.side}")
        page.put(row, _PLAN, limit.value, "amount")
        page.put(row, _BASELINE, limit.bound, "amount")
        page.put(row, _RATIO, limit.unit, "unit")
        if limit.binding:
            page.put(row, _RATIO + 2, limit.shadow_price, "amount" if limit.shadow_price >= _SMALL else "tiny", "left")
            page.put(row, _RATIO + 3, limit.price_unit, "faint")
        else:
            page.put(row, _RATIO + 2, "slack", "faint")
    return row + 2


def _write_warnings(page: Page, row: int, case: Case) -> int:
    """Write what the solver warned of; return the next free row."""
    warnings = list(case.plan.warnings)
    if case.rounding > 0 and case.live is not None:
        whole = format_amount(case.rounding, case.unit)
        warnings.insert(0, f"whole chips add {whole} to the solver's plan; the formulas pay for parts of chips")
    if case.other_baseline:
        base = case.plan.baseline
        warnings.insert(
            0,
            f"of all choices, the Chinchilla model of {rows.sized(base)} params is the cheapest, "
            f"{format_amount(base.total, base.unit)}; here it is that of the plan's own choice, {case.plan.choice}",
        )
    if not warnings:
        return row
    page.put(row, _LABEL, "To beware of, as written", "section")
    page.blank(row, _PLAN, _LAST, "section")
    for warning in warnings:
        row += 1
        page.text_across(row, _LABEL, _LAST, warning, "note")
        page.fit_row(row, warning, 140)
    return row + 2


def bill_chart(page: Page, case: Case, plan_page: Page, cells: PlanCells) -> Any:
    """Return stacked columns of the bill: the plan beside the Chinchilla model."""
    chart = page.book.workbook.add_chart({"type": "column", "subtype": "stacked"})
    font = {"name": styles.FONT, "size": 9, "color": styles.INK}
    terms = [key for key in cells.figures if key.startswith("term_")]
    for number, key in enumerate(terms):
        left, right = cells.figures[key]
        chart.add_series({
            "name": key.removeprefix("term_").replace("_", " "),
            "categories": "=" + plan_page.block(3, 2, 3, 3),
            "values": f"={left.text}:{right.text.removeprefix(plan_page.prefix)}",
            "fill": {"color": styles.TERMS[number % len(styles.TERMS)]},
            "gap": 60,
        })  # fmt: skip
    chart.set_title({"name": "The bill over the model's life", "name_font": font | {"size": 12, "bold": True}})
    money = '[>=999500000]"$"0.0,,,"B";[>=999500]"$"0.0,,"M";"$"#,##0' if case.unit == "USD" else "0.0E+00"
    grid = {"visible": True, "line": {"color": "#E5E7EB", "width": 0.75}}
    chart.set_y_axis({"num_format": money, "num_font": font, "name": case.unit, "name_font": font, "min": 0,
                      "major_gridlines": grid, "line": {"none": True}})  # fmt: skip
    chart.set_x_axis({"num_font": font, "line": {"color": styles.LINE}})
    chart.set_legend({"position": "bottom", "font": font})
    chart.set_size({"width": 520, "height": 400})
    return chart
