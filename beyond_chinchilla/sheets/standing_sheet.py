"""The sheet of a plan whose sizes are inputs: the bills of two models, and whether the sizes are still the best."""

from __future__ import annotations

from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.charges import charges
from beyond_chinchilla.sheets.curve import Pair, point_in_cells
from beyond_chinchilla.sheets.figures import (
    BASELINE,
    LABEL,
    PLAN,
    PlanCells,
    write_figures,
    write_shares,
    write_words,
)
from beyond_chinchilla.sheets.formula import Formula, added, if_, if_error
from beyond_chinchilla.sheets.inputs_sheet import InputCells
from beyond_chinchilla.sheets.law_sheet import LossCells
from beyond_chinchilla.sheets.steps import Step, Steps

# How far from the best sizes rounding, or a changed input, may bring them unsaid; and their key among elasticities.
_NEARLY = 1e-4
BALANCE = "balance"
_STATED: dict[str, Step] = {
    "params": ("N, parameters", "parameters", "size", "from Inputs"),
    "tokens": ("D, training tokens", "tokens", "tokens", "from Inputs"),
    "chinchilla_params": ("N, Chinchilla parameters", "parameters", "size", "from Inputs"),
    "chinchilla_tokens": ("D, Chinchilla tokens", "tokens", "tokens", "from Inputs"),
    "spent_by_chinchilla": ("kappa", "", "ratio", "serving over training spend of the Chinchilla model"),
    "spent": ("s, serving over training spend", "", "ratio", "in this plan"),
    "saved": ("Saved", "of the Chinchilla model's cost", "percent", "1 - total/total"),
}


def write_standing(
    page: Page, case: Case, given: InputCells, law: tuple[LossCells, LossCells], prefix: str
) -> PlanCells:
    """Write the bill of a plan whose sizes are inputs, and whether they are still the best; `law` is from Law."""
    pair, saved, end = _write_bills(page, case, given, prefix)
    figures, savings, row = write_figures(page, case, given, (pair, (law[0].loss, law[1].loss), saved), prefix)
    elasticities = _write_slopes(page, row, case, given, pair, law[0], prefix)
    sentence = write_words(page, end + 2, case, figures, saved, prefix)
    return PlanCells(
        pair=pair,
        figures=figures,
        savings=savings,
        savings_fraction=saved,
        elasticities=elasticities,
        sentence=sentence,
    )


def _write_bills(page: Page, case: Case, given: InputCells, prefix: str) -> tuple[Pair, Formula, int]:
    """Write the bills of two models of stated sizes, a step a row; return also the share saved and the last row."""
    steps = Steps(page, case, prefix, "How it is calculated: rate x N x D, and rate x N", _STATED)
    points, spent = [], []
    for side, name in zip(inputs.SIDES, ("", "chinchilla_"), strict=True):

        def put(key: str, formula: Formula, name: str = name) -> Formula:
            return steps.put(f"{name}{key}" if key.startswith("rate_") else key, formula)

        model = put(f"{name}params", given.cells[f"params_{side}"]), put(f"{name}tokens", given.cells[f"tokens_{side}"])
        bill = inputs.bill_of(case, given.cells, side).in_cells(put)
        points.append(point_in_cells(put, name, model, bill))
        driven = {
            driver: [points[-1].terms[charge.key] for charge in charges(case) if driver in charge.drivers]
            for driver in ("demand", "training_price")
        }
        spent.append(added(driven["demand"]) / added(driven["training_price"]))
    best, baseline = points
    kappa, ratio = steps.put("spent_by_chinchilla", spent[1]), steps.put("spent", spent[0])
    saved = steps.put("saved", 1.0 - best.total / baseline.total)
    return Pair(best=best, baseline=baseline, kappa=kappa, spend_ratio=ratio), saved, steps.row


def _write_slopes(
    page: Page, row: int, case: Case, given: InputCells, pair: Pair, law: LossCells, prefix: str
) -> dict[str, Formula]:
    """Write d ln cost / d ln input at the sizes of Inputs, and whether these are the best; not where limits bind."""
    assert given.target is not None
    assert case.standing is not None
    if not case.standing.free:
        page.put(row, LABEL, "A limit binds: what it costs stands on Summary.", "faint")
        return {}
    row, found = write_shares(page, row, case, pair)
    by_data = added(pair.best.terms[charge.key] for charge in charges(case) if charge.trains) / pair.best.total
    # One more nat is worth so much of the bill, by the tokens that it saves.
    worth = by_data / law.gain_tokens
    row += 1
    page.put(row, LABEL, "for 1% less target loss")
    found["target_loss"] = -page.put(row, PLAN, worth * given.target, "ratio")
    page.put(row, BASELINE, "%", "unit")
    if law.gain_unique is not None:
        row += 1
        page.put(row, LABEL, "for 1% more unique tokens")
        found["unique_tokens"] = page.put(row, PLAN, -(worth * law.gain_unique), "ratio")
        page.put(row, BASELINE, "%", "unit")
    row += 1
    page.put(row, LABEL, "What parameters save over what they cost")
    balance = page.put(row, PLAN, worth * law.gain_params, "exact", name=f"{prefix}plan_balance")
    page.put(row, BASELINE, "1 where the sizes are the best", "unit")
    found[BALANCE] = balance
    larger_, smaller_ = (f"no longer the best: a {word} model would cost less" for word in ("larger", "smaller"))
    says = if_(
        balance > 1.0 + _NEARLY, larger_, if_(balance < 1.0 - _NEARLY, smaller_, "the best sizes for these inputs")
    )
    page.put(row + 1, PLAN, if_error(says, "no plan for these inputs"), "bold", name=f"{prefix}plan_sizes_are")
    page.put(row + 1, LABEL, "These sizes are")
    return found
