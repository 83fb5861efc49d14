"""A hidden sheet on which every row is one more plan: xlsxwriter knows no what-if tables, and these are live."""

from __future__ import annotations

from collections.abc import Mapping

from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.curve import Curve, LawCells, solve_in_cells
from beyond_chinchilla.sheets.formula import Formula


class Chains:
    """Rows of the universal curve.

    Parameters
    ----------
    page : Page
    case : Case
        Whose bill it is.
    """

    def __init__(self, page: Page, case: Case) -> None:
        self._page = page
        self._case = case
        self._row = 0
        page.lay_out((34,))
        page.put(0, 0, "One plan a row, for Frontier and Sensitivity", "bold")

    def solve(self, label: str, cells: Mapping[str, Formula], gap: Formula) -> Curve:
        """Add the plan of other inputs, `gap` above the floor, and return references to its row."""
        self._row += 1
        self._page.put(self._row, 0, label)
        column = 0

        def put(key: str, formula: Formula) -> Formula:
            nonlocal column
            column += 1
            if self._row == 1:
                self._page.put(0, column, key, "bold")
            return self._page.put(self._row, column, formula, "number")

        law = inputs.law_cells(cells)
        # E only matters to the gap; what the row changes is calculated once.
        law = LawCells(
            E=law.E, A=put("A", law.A), alpha=put("alpha", law.alpha), B=put("B", law.B), beta=put("beta", law.beta)
        )
        bill = inputs.bill_of(self._case, cells).in_cells(put)
        return solve_in_cells(put, law, put("gap", gap), bill)
