"""The last sheet: what is live and what is not, how it was made, and where the numbers come from."""

from __future__ import annotations

from beyond_chinchilla.report.rows import laws
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case

_WIDTH = 120
_PAPER = "Sardana, Portes, Doubov, Frankle 2024, Beyond Chinchilla-Optimal: Accounting for Inference (arXiv 2401.00448)"
_LAW = "Hoffmann et al. 2022, Training Compute-Optimal Large Language Models (arXiv 2203.15556)"


def write_read_me(page: Page, cases: list[Case]) -> None:
    """Write how to read and use the workbook."""
    page.lay_out((2, 24, _WIDTH))
    page.put(0, 1, "Read me", "title")
    row = 2
    for heading, lines in _paragraphs(cases):
        for number, line in enumerate(lines):
            if number == 0:
                page.put(row, 1, heading, "bold", "top")
            page.put(row, 2, line, "text")
            page.fit_row(row, line, _WIDTH)
            row += 1
        row += 1


def _paragraphs(cases: list[Case]) -> list[tuple[str, list[str]]]:
    several = len(cases) > 1
    found = [
        ("What it answers", [
            (
                "Which number of parameters N and of training tokens D reaches a stated quality at the least cost "
                "of training and of serving the model for its whole life, and what that saves against the "
                "Chinchilla model, which is the cheapest to train alone."
            ),
        ]),
        ("How to use it", [
            (
                "Change a blue cell on Inputs. Every other sheet follows, in Excel and in LibreOffice, without "
                "macros or add-ins."
            ),
            "Type numbers in base units: 2 billion as 2E9. Each cell refuses what it cannot use.",
            "'As written' beside each input is what the scenario said; 'changed' marks what differs from it.",
        ]),
        ("What is live", _what_is_live(cases)),
        ("How it is calculated", [
            (
                "Law: L(N, D) = E + A N^-alpha + B D^-beta. Cost: a N D + b N, where a is 6 x the price of a "
                "training FLOP and b is 2 x tokens x the price of a serving FLOP, summed over reading (prefill) and "
                "writing (decode)."
            ),
            "Price of a FLOP: price of an hour / (3600 x peak rate x utilisation).",
            (
                "With q = beta/(alpha + beta), N_c and D_c the Chinchilla model of the same loss and kappa = b/(a "
                "D_c), the ratio s of serving to training spend at the optimum solves s (1 + q s)^(1/beta) = kappa. "
                "Then D* = D_c (1 + q s)^(1/beta) and N* = N_c ((1 + q s)/(1 + s))^(1/alpha). This is exact."
            ),
            (
                "The equation is solved in y = ln s by six Newton steps, each in its own cell: nothing iterates, "
                "nothing is circular, and 13 digits are right for kappa from 1E-17 to 1E17."
            ),
        ]),
        ("Checks", [
            (
                "The sheet Checks holds the numbers of the solver of bc-opt, which works apart from this workbook. "
                "They must agree to a relative difference below 1E-9 until an input is changed."
            ),
        ]),
        ("Sources", [
            _PAPER,
            _LAW,
            *dict.fromkeys(f"Law {case.problem.law.name}: {case.problem.law.source}" for case in cases),
            *dict.fromkeys(
                f"{effect.kind.capitalize()} {effect.name}: {effect.source}"
                for case in cases
                for effect in case.plan.effects
                if effect.source
            ),
            "Chips and prices: see Hardware and prices, each with source and date.",
        ]),
    ]  # fmt: skip
    if several:
        found.insert(2, ("Several scenarios", [
            (
                "Each has its own Inputs and Plan, with its number. Write one scenario alone for its frontier and "
                "sensitivities."
            ),
        ]))  # fmt: skip
    return found


def _what_is_live(cases: list[Case]) -> list[str]:
    lines = []
    for number, case in enumerate(cases, start=1):
        who = f"{number}. {case.name}: " if len(cases) > 1 else ""
        if case.standing is not None:
            lines.append(
                f"{who}bill and loss of two models. Their sizes are the solver's, as blue cells of Inputs: under this "
                f"law ({laws(case.plan)}) no chain of formulas finds the best ones. The sheet Law says whether they "
                "still reach the target, and Plan whether they are still the best; for new ones run bc-opt on the "
                "changed scenario."
            )
        elif case.live is None:
            lines.append(f"{who}nothing: {case.obstacle}. Its figures are values of the solver.")
        elif case.exact:
            lines.append(f"{who}everything but the solver's numbers on Checks and the texts of sources.")
        else:
            lines.append(
                f"{who}the plan without limits at a fixed utilisation. The solver's plan stands beside it as values "
                f"and does not move: {'; '.join(case.differences)}."
            )
    return lines
