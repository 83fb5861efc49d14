"""The sheet of a plan that formulas choose: the universal curve, step by step, and the figures that it leads to."""

from __future__ import annotations

from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.curve import STEPS, Curve, savings_in_cells, solve_in_cells
from beyond_chinchilla.sheets.figures import (
    BASELINE,
    LABEL,
    PLAN,
    PlanCells,
    write_figures,
    write_shares,
    write_words,
)
from beyond_chinchilla.sheets.formula import Formula
from beyond_chinchilla.sheets.inputs_sheet import InputCells
from beyond_chinchilla.sheets.steps import Step, Steps

# Steps of the chain: label, unit, style and how it is made.
_STEPS: dict[str, Step] = {
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


def write_plan(page: Page, case: Case, given: InputCells, prefix: str) -> PlanCells:
    """Write the live plan of a scenario."""
    assert given.gap is not None
    curve, saved, end = _write_chain(page, case, given, prefix)
    law = inputs.law_cells(given.cells)
    losses = law.loss(curve.best.params, curve.best.tokens), law.loss(curve.baseline.params, curve.baseline.tokens)
    figures, savings, row = write_figures(page, case, given, (curve, losses, saved), prefix)
    elasticities = _write_elasticities(page, row, case, given, curve)
    sentence = write_words(page, end + 2, case, figures, saved, prefix)
    return PlanCells(
        pair=curve,
        figures=figures,
        savings=savings,
        savings_fraction=saved,
        elasticities=elasticities,
        sentence=sentence,
    )


def _write_chain(page: Page, case: Case, given: InputCells, prefix: str) -> tuple[Curve, Formula, int]:
    """Write the steps of the universal curve, one a row; return also the last row."""
    assert given.gap is not None
    steps = Steps(page, case, prefix, "How it is calculated: the universal curve, s (1 + q s)^(1/beta) = kappa", _STEPS)
    law = inputs.law_cells(given.cells)
    bill = inputs.bill_of(case, given.cells).in_cells(steps.put)
    curve = solve_in_cells(steps.put, law, given.gap, bill)
    saved = savings_in_cells(steps.put, law, curve)
    return curve, saved, steps.row


def _write_elasticities(page: Page, row: int, case: Case, given: InputCells, curve: Curve) -> dict[str, Formula]:
    """Write d ln cost / d ln input by the envelope theorem."""
    assert given.target is not None
    law, q, s = inputs.law_cells(given.cells), curve.q, curve.spend_ratio
    row, found = write_shares(page, row, case, curve)
    row += 1
    page.put(row, LABEL, "for 1% less target loss")
    slope = (1.0 + q * s) / (law.alpha * q * (1.0 + s)) * given.target / curve.gap
    found["target_loss"] = -page.put(row, PLAN, slope, "ratio")
    page.put(row, BASELINE, "%", "unit")
    return found
