"""The sheet of the plan: its figures beside those of the Chinchilla model, and the chain that leads to them."""

from __future__ import annotations

from dataclasses import dataclass

from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import PHASES, SERVING_FACTOR, TRAINING_FACTOR, Case, Charge, charges
from beyond_chinchilla.sheets.curve import STEPS, Curve, Point, savings_in_cells, solve_in_cells
from beyond_chinchilla.sheets.formula import Formula, added, if_error, in_words, joined, literal, rounded, three_digits
from beyond_chinchilla.sheets.inputs_sheet import InputCells

_LABEL, _PLAN, _BASELINE, _RATIO, _SOLVER = range(1, 6)
_TOP = 4
# Rows above the chain, without the terms of the bill.
_FIGURES = 22
_WORDED = {"params": "Parameters", "tokens": "Tokens", "total": "Total"}

# Steps of the chain: label, unit, style and how it is made.
_STEPS: dict[str, tuple[str, str, str, str]] = {
    "q": ("q", "", "ratio", "beta/(alpha + beta): the model term's share of R at the Chinchilla point"),
    "chinchilla_params": ("N_c, Chinchilla parameters", "parameters", "size", "(A/(q R))^(1/alpha)"),
    "chinchilla_tokens": ("D_c, Chinchilla tokens", "tokens", "tokens", "(B/((1 - q) R))^(1/beta)"),
    "training_rate": ("a, rate of training", "per parameter and token", "exact", "the rates of training"),
    "serving_rate": ("b, rate of serving", "per parameter", "exact", "the rates of serving, for the whole life"),
    "kappa": ("kappa", "", "ratio", "b/(a D_c): serving over training spend of the Chinchilla model"),
    "log_kappa": ("ln kappa", "", "ratio", ""),
    "y0": ("y, first guess", "", "exact", "the lesser of the two straight lines that y follows far away"),
    **{
        f"y{step}": (f"y, Newton step {step}", "", "exact", "y - f/f', f = y + ln(1 + q e^y)/beta - ln kappa")
        for step in range(1, STEPS + 1)
    },
    "spend_ratio": ("s, serving over training spend", "", "ratio", "e^y"),
    "tokens": ("D*, training tokens", "tokens", "tokens", "D_c (1 + q s)^(1/beta)"),
    "params": ("N*, parameters", "parameters", "size", "N_c ((1 + q s)/(1 + s))^(1/alpha)"),
    "small_s": ("s, at most 0.05", "", "exact", "where savings are small, they come from a series"),
    "small_qs": ("q s, at most 0.05 q", "", "exact", ""),
    "series_s": ("ln(1 + s) - s", "", "exact", "its series, 14 terms"),
    "series_qs": ("ln(1 + q s) - q s", "", "exact", "its series, 14 terms"),
    "growth": ("ln(1 + q s)/beta", "", "exact", ""),
    "excess_share": ("s/(1 + s) ((1 + q s)^(1/beta) - 1)", "", "exact", ""),
    "excess": ("ln((1 + kappa)/(1 + s))", "", "exact", "ln(1 + s/(1 + s) ((1 + q s)^(1/beta) - 1))"),
    "log_ratio": ("ln(cost ratio), small s", "", "exact", "the first orders in s cancel and are left out"),
    "savings_fraction": ("Saved", "of the Chinchilla model's cost", "percent", "by the series where s < 0.05"),
}
_TERM_NOTES = {"training": "rate x N x D", "total": "the sum of the terms"}
_RATE_NOTES = {
    "training": "and token: 6 x price of an hour/(3600 x peak rate x MFU); 6 FLOP where compute is counted",
    "prefill": "2 x input tokens x price of an hour/(3600 x peak rate x MFU)",
    "decode": "2 x output tokens x price of an hour/(3600 x peak rate x MFU)",
}


@dataclass(frozen=True, kw_only=True)
class PlanCells:
    """References to the sheet.

    Attributes
    ----------
    curve : Curve
    figures : dict of str to pair of Formula
        Plan and Chinchilla model, by the names of `Candidate.to_dict`, terms as ``term_...``.
    savings, savings_fraction : Formula
    elasticities : dict of str to Formula
    sentence : Formula
        The answer in words.
    """

    curve: Curve
    figures: dict[str, tuple[Formula, Formula]]
    savings: Formula
    savings_fraction: Formula
    elasticities: dict[str, Formula]
    sentence: Formula


@dataclass(frozen=True)
class Figure:
    """One row of the table of figures."""

    key: str
    label: str
    style: str
    plan: Formula
    baseline: Formula


def write_plan(page: Page, case: Case, given: InputCells, prefix: str) -> PlanCells:
    """Write the live plan of a scenario."""
    assert given.gap is not None
    page.lay_out((2, 36, 18, 24, 12, 30, 30), pages=1, freeze=_TOP)
    page.put(0, _LABEL, "Plan", "title")
    page.put(1, _LABEL, case.name, "subtitle")
    page.put(2, _LABEL, _says(case), "faint")
    curve, saved, end = _write_chain(page, case, given, prefix)
    figures = _figures(case, given, curve)
    heads = ("Figure", "Plan", "Chinchilla", "Ratio")
    page.heads(_TOP - 1, _LABEL, heads if case.exact else (*heads, "Solver's plan (value)"))
    solved = None if case.exact else case.plan.best
    pairs: dict[str, tuple[Formula, Formula]] = {}
    row = _TOP
    for figure in figures:
        style = ("total",) if figure.key == "total" else ()
        page.put(row, _LABEL, figure.label, *style)
        left = page.put(row, _PLAN, figure.plan, figure.style, *style)
        right = page.put(row, _BASELINE, figure.baseline, figure.style, *style)
        page.put(row, _RATIO, if_error(left / right, ""), "times", *style)
        pairs[figure.key] = left, right
        value = None if solved is None else _value(solved, figure.key)
        if value is not None:
            page.put(row, _SOLVER, value, figure.style, *style)
        row += 1
    savings = page.put(row, _PLAN, saved * curve.baseline.total, case.unit, "bold", name=f"{prefix}plan_savings")
    page.put(row, _LABEL, "Saved", "bold")
    page.put(row, _BASELINE, saved, "percent", "bold")
    if not case.exact and case.plan.best is not None and case.plan.objective == "cost":
        page.put(row, _SOLVER, case.plan.savings, case.unit, "bold")
    row += 2
    elasticities = _write_elasticities(page, row, case, given, curve)
    sentence = _write_words(page, end + 2, case, pairs, saved, prefix)
    return PlanCells(
        curve=curve,
        figures=pairs,
        savings=savings,
        savings_fraction=saved,
        elasticities=elasticities,
        sentence=sentence,
    )


def _says(case: Case) -> str:
    if case.exact:
        return "Live: every figure follows the Inputs."
    return "Plan and Chinchilla are live and without limits; the solver's plan is a value and heeds everything."


def _write_chain(page: Page, case: Case, given: InputCells, prefix: str) -> tuple[Curve, Formula, int]:
    """Write the steps of the universal curve, one a row; return also the last row."""
    assert given.gap is not None
    row = _TOP + _FIGURES + len(charges(case))
    page.blank(row, _LABEL, _SOLVER, "section")
    page.put(row, _LABEL, "How it is calculated: the universal curve, s (1 + q s)^(1/beta) = kappa", "section")

    def put(key: str, formula: Formula) -> Formula:
        nonlocal row
        row += 1
        label, unit, style, note = _step(key, case)
        page.put(row, _LABEL, label)
        page.put(row, _BASELINE, unit, "unit")
        page.put(row, _RATIO, note, "faint")
        return page.put(row, _PLAN, formula, style, name=f"{prefix}plan_{key}")

    law = inputs.law_cells(given.cells)
    bill = inputs.bill_of(case, given.cells).in_cells(put)
    curve = solve_in_cells(put, law, given.gap, bill)
    saved = savings_in_cells(put, law, curve)
    return curve, saved, row


def _step(key: str, case: Case) -> tuple[str, str, str, str]:
    if key in _STEPS:
        return _STEPS[key]
    if key.startswith("rate_"):
        term = key.removeprefix("rate_").replace("_", " ")
        return f"Rate of {term}", f"{case.unit} per parameter", "exact", _RATE_NOTES.get(term, "")
    of_baseline = key.startswith("chinchilla_")
    term = key.removeprefix("chinchilla_")
    label = f"Chinchilla {term}" if of_baseline else term.capitalize()
    note = _TERM_NOTES.get(term, "rate x N")
    return label.replace("_", " "), case.unit, case.unit, note


def _figures(case: Case, given: InputCells, curve: Curve) -> list[Figure]:
    """Return what is trained and what it costs."""
    law, best, base = inputs.law_cells(given.cells), curve.best, curve.baseline

    def both(key: str, label: str, style: str, of: tuple[Formula, Formula]) -> Figure:
        return Figure(key, label, style, *of)

    def each(calculate: object) -> tuple[Formula, Formula]:
        assert callable(calculate)
        return calculate(best), calculate(base)

    served = [inputs.tokens_of(given.cells, phase) for phase in PHASES if _serves(given, phase)]
    figures = [
        both("params", "Parameters", "size", (best.params, base.params)),
        both("tokens", "Training tokens", "tokens", (best.tokens, base.tokens)),
        both("tokens_per_param", "Tokens per parameter", "plain", each(lambda point: point.tokens / point.params)),
        both("loss", "Loss [nats/token]", "exact_loss", each(lambda point: law.loss(point.params, point.tokens))),
    ]  # fmt: skip
    if case.unit != "FLOP":
        trains = each(lambda point: TRAINING_FACTOR * point.params * point.tokens)
        serves = each(lambda point: SERVING_FACTOR * point.params * added(served))
        figures.append(both("training_flops", "Training [FLOP]", "FLOP", trains))
        figures.append(both("inference_flops", "Serving for life [FLOP]", "FLOP", serves))
    for use in ("training", "serving"):
        if f"{use}_price" in given.cells and _only_plain(case):
            price = given.cells[f"{use}_price"]
            keys = [charge.key for charge in charges(case) if charge.trains == (use == "training")]

            def hours(point: Point, price: Formula = price, keys: list[str] = keys) -> Formula:
                return added(point.terms[key] for key in keys) / price

            figures.append(both(f"{use}_hours", f"{use.capitalize()} [chip-hours]", "count", each(hours)))
    for key in best.terms:
        label = f"{key.replace('_', ' ').capitalize()} [{case.unit}]"
        figures.append(both(f"term_{key}", label, case.unit, (best.terms[key], base.terms[key])))
    figures.append(both("total", f"Total [{case.unit}]", case.unit, (best.total, base.total)))
    return figures


def _serves(given: InputCells, phase: str) -> bool:
    return "requests" in given.cells or f"{phase}_tokens" in given.cells


def _only_plain(case: Case) -> bool:
    """Whether every dollar is an hour at the stated price."""
    return all(charge.plain is not None and charge.factor == 1.0 for charge in charges(case))


def _value(solved: Candidate, key: str) -> float | None:
    """Return a figure of the solver's plan by its key."""
    if key.startswith("term_"):
        terms = {label.replace(" ", "_"): value for label, value in solved.terms.items()}
        return terms.get(key.removeprefix("term_"))
    found = solved.to_dict().get(key)
    return float(found) if isinstance(found, (int, float)) else None


def _write_elasticities(page: Page, row: int, case: Case, given: InputCells, curve: Curve) -> dict[str, Formula]:
    """Write d ln cost / d ln input by the envelope theorem."""
    assert given.target is not None
    law, q, s = inputs.law_cells(given.cells), curve.q, curve.spend_ratio
    page.put(row, _LABEL, "Least cost moves by", "section")
    page.blank(row, _PLAN, _RATIO, "section")
    wanted = {"demand": "demand", "training_price": "training price", "serving_price": "serving price"}
    if case.unit != "USD":
        wanted = {"demand": "demand"}
    found: dict[str, Formula] = {}
    for key, label in wanted.items():
        row += 1
        page.put(row, _LABEL, f"for 1% more {label}")
        found[key] = page.put(row, _PLAN, _share(case, curve, key), "ratio")
        page.put(row, _BASELINE, "%", "unit")
    row += 1
    page.put(row, _LABEL, "for 1% less target loss")
    slope = (1.0 + q * s) / (law.alpha * q * (1.0 + s)) * given.target / curve.gap
    found["target_loss"] = -page.put(row, _PLAN, slope, "ratio")
    page.put(row, _BASELINE, "%", "unit")
    return found


def _share(case: Case, curve: Curve, driver: str) -> Formula:
    driven: list[Charge] = [charge for charge in charges(case) if driver in charge.drivers]
    if not driven:
        return literal(0.0)
    return added(curve.best.terms[charge.key] for charge in driven) / curve.best.total


def _write_words(
    page: Page, row: int, case: Case, figures: dict[str, tuple[Formula, Formula]], saved: Formula, prefix: str
) -> Formula:
    """Write the figures of the answer as words, and the answer made of them."""
    page.blank(row, _LABEL, _SOLVER, "section")
    page.put(row, _LABEL, "In words", "section")
    words: dict[str, tuple[Formula, Formula]] = {}
    for key in _WORDED:
        row += 1
        page.put(row, _LABEL, f"{_WORDED[key]}, three digits and in words")
        sign = "$" if key == "total" and case.unit == "USD" else ""
        columns = zip((_PLAN, _BASELINE), figures[key], strict=True)
        left, right = (page.put(row, column, three_digits(value), "number") for column, value in columns)
        row += 1
        left, right = in_words(left, sign), in_words(right, sign)
        words[key] = page.put(row, _PLAN, left, "right"), page.put(row, _BASELINE, right, "right")
    unit = "" if case.unit == "USD" else f" {case.unit}"
    row += 1
    page.put(row, _LABEL, "Saved")
    share = page.put(row, _PLAN, joined(rounded(100.0 * saved, 1), "%"), "right")
    sentence = joined(
        "Train ", words["params"][0], " parameters on ", words["tokens"][0], " tokens instead of ", words["params"][1],
        " on ", words["tokens"][1], ": ", words["total"][0], f"{unit} instead of ", words["total"][1],
        f"{unit} over the model's life, ", share, " saved.",
    )  # fmt: skip
    row += 1
    page.put(row, _LABEL, "Answer")
    refuse = "No plan: the target loss is at or below the floor E of the law, or an input is not a number. See Inputs."
    return page.put(row, _PLAN, if_error(sentence, refuse), name=f"{prefix}answer")
