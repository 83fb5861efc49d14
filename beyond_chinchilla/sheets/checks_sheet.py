"""The sheet of checks: the solver's own numbers beside the live ones, and proofs that hold after any change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.figures import PlanCells
from beyond_chinchilla.sheets.formula import Formula, absolute, added, counted, if_, if_error, is_number, larger
from beyond_chinchilla.sheets.inputs_sheet import InputCells
from beyond_chinchilla.sheets.law_sheet import LossCells
from beyond_chinchilla.sheets.standing_sheet import BALANCE

TOLERANCE = 1e-9
OK, WRONG, CHANGED, NO_PLAN = "ok", "ERROR", "inputs changed", "no plan"

_LABEL, _LIVE, _SOLVER, _DIFFERENCE, _VERDICT = range(1, 6)
_HEADS = ("Figure", "Live", "Solver, as written", "Relative difference", "")


@dataclass(frozen=True)
class Live:
    """A scenario on its sheets."""

    case: Case
    given: InputCells
    plan: PlanCells
    law: LossCells | None = None


def write_checks(page: Page, lives: list[Live]) -> Formula:
    """Write the checks of every live scenario; return a cell with the verdict on all of them."""
    page.lay_out((2, 46, 22, 22, 20, 18, 4), pages=1 if len(lives) == 1 else 0, freeze=4)
    page.put(0, _LABEL, "Checks", "title")
    page.put(1, _LABEL, "The solver worked apart from this workbook. Its numbers are values and belong to the inputs "
                        "as they were written.", "faint")  # fmt: skip
    page.heads(3, _LABEL, _HEADS)
    row, verdicts = 4, []
    for live in lives:
        row, found = _write_case(page, row, live)
        verdicts += found
    block = page.block(4, _VERDICT, row, _VERDICT)
    changes = added(live.given.changes for live in lives if live.given.changes is not None)
    says = if_(changes > 0.0, "Inputs changed: the live figures follow them, the solver's do not.",
               f"All {len(verdicts)} checks passed.")  # fmt: skip
    failed = if_(counted(block, verdicts, NO_PLAN) > 0.0, "No plan for these inputs: see Inputs.", says)
    page.put(2, _LABEL, "Verdict", "bold")
    verdict = if_(counted(block, verdicts, WRONG) > 0.0, "A check failed: do not use this workbook.", failed)
    _colour(page, 4, row)
    return page.put(2, _LIVE, verdict, "bold", name="all_checks")


def _write_case(page: Page, row: int, live: Live) -> tuple[int, list[Formula]]:
    page.blank(row, _LABEL, _VERDICT, "section")
    page.put(row, _LABEL, live.case.name, "section")
    verdicts = []
    assert live.given.changes is not None
    for label, cell, value, scale, style in _compared(live):
        row += 1
        page.put(row, _LABEL, label)
        left = page.put(row, _LIVE, cell, style)
        right = page.put(row, _SOLVER, value, style)
        # What is a difference of two bills is measured by the larger of them.
        against = right if scale is None else page.put(row, _VERDICT + 2, scale, "hidden")
        difference = page.put(row, _DIFFERENCE, absolute(left - right) / larger(absolute(against), 1e-300), "tiny")
        wrong = if_error(if_(difference < TOLERANCE, OK, WRONG), WRONG)
        verdicts.append(page.put(row, _VERDICT, if_(live.given.changes > 0.0, CHANGED, wrong), "bold", "indent"))
    row += 1
    identities = _identities(live) if live.case.standing is None else []
    if identities:
        page.put(row, _LABEL, "True of any inputs", "faint")
    for label, left, right in identities:
        row += 1
        page.put(row, _LABEL, label)
        first, second = page.put(row, _LIVE, left, "exact"), page.put(row, _SOLVER, right, "exact")
        difference = page.put(row, _DIFFERENCE, absolute(first - second) / absolute(second), "tiny")
        verdict = if_(is_number(difference), if_(difference < TOLERANCE, OK, WRONG), NO_PLAN)
        verdicts.append(page.put(row, _VERDICT, verdict, "bold", "indent"))
    return row + 1, verdicts


def _compared(live: Live) -> list[tuple[str, Formula, float, float | None, str]]:
    """Return label, live cell, the solver's number, what the difference is measured by, and style."""
    assert live.given.target is not None
    solved = _solved(live.case)
    assert solved.best is not None
    found: list[tuple[str, Formula, float, float | None, str]] = [
        ("Target loss", live.given.target, solved.target_loss, None, "exact")
    ]
    for side, candidate in enumerate((solved.best, solved.baseline)):
        for key, value in _numbers(candidate).items():
            if key in live.plan.figures:
                label = key.removeprefix("term_").replace("_", " ")
                who = "Plan" if side == 0 else "Chinchilla"
                found.append((f"{who}: {label}", live.plan.figures[key][side], value, None, "exact"))
    largest = solved.baseline.total
    found += [
        ("Saved", live.plan.savings, solved.savings, largest, "exact"),
        ("Saved, as a share", live.plan.savings_fraction, solved.savings_fraction, 1.0, "exact"),
    ]
    if solved.kappa is not None and solved.spend_ratio is not None:
        found += [
            ("kappa", live.plan.pair.kappa, solved.kappa, None, "exact"),
            ("Serving over training spend", live.plan.pair.spend_ratio, solved.spend_ratio, None, "exact"),
        ]
    known = {**solved.elasticities, **{k: v for effect in solved.effects for k, v in effect.elasticities.items()}}
    for key, cell in live.plan.elasticities.items():
        if key == BALANCE:
            found.append(("What parameters save over what they cost", cell, 1.0, None, "exact"))
            continue
        label = f"Elasticity to {key.replace('_', ' ')}"
        found.append((label, cell, known[key], None, "exact"))
    for effect in solved.effects:
        for (kind, key), cell in (live.law.figures if live.law is not None else {}).items():
            if kind == effect.kind and key in effect.figures:
                label = f"{effect.kind.capitalize()}: {key.replace('_', ' ')}"
                found.append((label, cell, effect.figures[key], None, "exact"))
    return found


def _solved(case: Case) -> Plan:
    """Return the solver's answer to what the formulas calculate."""
    if case.standing is not None:
        best, baseline = case.standing.plan, case.standing.baseline
        return replace(case.plan, best=best, baseline=baseline, savings_fraction=1.0 - best.total / baseline.total)
    assert case.live is not None
    return case.live


def _numbers(candidate: Candidate) -> dict[str, float]:
    record = candidate.to_dict()
    terms = {f"term_{term['label'].replace(' ', '_')}": term["value"] for term in record.pop("terms")}
    return {key: value for key, value in (record | terms).items() if isinstance(value, float)}


def _identities(live: Live) -> list[tuple[str, Formula, Formula]]:
    """Return pairs that are equal at every optimum."""
    assert live.given.target is not None
    law, curve = inputs.law_cells(live.given.cells), live.plan.curve
    best, s = curve.best, curve.spend_ratio
    model = law.alpha * law.A * best.params**-law.alpha
    data = law.beta * law.B * best.tokens**-law.beta
    bill = curve.training_rate * best.params * best.tokens + curve.serving_rate * best.params
    return [
        ("The plan reaches the target loss", law.loss(best.params, best.tokens), live.given.target),
        ("Optimal: alpha A N^-alpha = (1 + s) beta B D^-beta", model, (1.0 + s) * data),
        ("The terms add up to a N D + b N", best.total, bill),
        (
            "(1 + s) x training spend is the bill",
            (1.0 + s) * curve.training_rate * best.params * best.tokens,
            best.total,
        ),
    ]


def _colour(page: Page, first: int, last: int) -> None:
    for text, part in ((OK, "good"), (CHANGED, "changed"), (WRONG, "alarm"), (NO_PLAN, "alarm")):
        rule = {"type": "cell", "criteria": "==", "value": f'"{text}"', "format": page.book.condition(part)}
        page.sheet.conditional_format(first, _VERDICT, last, _VERDICT, rule)
