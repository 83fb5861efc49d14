"""Chains of steps on the sheet of a plan: one a row, with label, unit and how it is made."""

from __future__ import annotations

from collections.abc import Mapping

from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.charges import charges
from beyond_chinchilla.sheets.figures import BASELINE, LABEL, PLAN, RATIO, SOLVER, TOP
from beyond_chinchilla.sheets.formula import Formula

# Rows above the chain, without the terms of the bill.
_FIGURES = 22
# Label, unit, style and how it is made.
Step = tuple[str, str, str, str]

_TERM_NOTES = {"training": "rate x N x D", "total": "the sum of the terms"}
_RATE_NOTES = {
    "training": "and token: 6 x price of an hour/(3600 x peak rate x MFU); 6 FLOP where compute is counted",
    "prefill": "2 x input tokens x price of an hour/(3600 x peak rate x MFU)",
    "decode": "2 x output tokens x price of an hour/(3600 x peak rate x MFU)",
}


class Steps:
    """Rows of a chain below the figures: each step in a cell with a label, a unit and a note.

    Parameters
    ----------
    page : Page
    case : Case
    prefix : str
        Of the cells' names.
    title : str
        Above the chain.
    known : mapping of str to Step
        By key; terms of the bill and their rates need not be in it.
    """

    def __init__(self, page: Page, case: Case, prefix: str, title: str, known: Mapping[str, Step]) -> None:
        self._page, self._case, self._prefix, self._known = page, case, prefix, known
        self.row = TOP + _FIGURES + len(charges(case))
        page.blank(self.row, LABEL, SOLVER, "section")
        page.put(self.row, LABEL, title, "section")

    def put(self, key: str, formula: Formula) -> Formula:
        """Add a step."""
        self.row += 1
        label, unit, style, note = self._known.get(key) or _term(key, self._case)
        self._page.put(self.row, LABEL, label)
        self._page.put(self.row, BASELINE, unit, "unit")
        self._page.put(self.row, RATIO, note, "faint")
        return self._page.put(self.row, PLAN, formula, style, name=f"{self._prefix}plan_{key}")


def _term(key: str, case: Case) -> Step:
    """Return what stands beside a term of the bill, or beside its rate."""
    of_baseline = key.startswith("chinchilla_")
    term = key.removeprefix("chinchilla_")
    if term.startswith("rate_"):
        term = term.removeprefix("rate_").replace("_", " ")
        note = _RATE_NOTES.get(term, "")
        # At the number of samples, say, of either model.
        note += " x the numbers of Inputs" if case.standing is not None and case.standing.numbers else ""
        label = f"{'Chinchilla rate' if of_baseline else 'Rate'} of {term}"
        return label, f"{case.unit} per parameter", "exact", note
    label = f"Chinchilla {term}" if of_baseline else term.capitalize()
    note = _TERM_NOTES.get(term, "rate x N")
    return label.replace("_", " "), case.unit, case.unit, note
