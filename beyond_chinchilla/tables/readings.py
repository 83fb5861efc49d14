"""Numbers and months of a table's columns, with what stands beside them: one decimal mark for a column, one order of
day and month.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.tables.clean import (
    COMMA,
    POINT,
    Amount,
    When,
    day_comes_first,
    decimal_mark,
    is_ambiguous,
    is_longer,
    is_number,
    read_amount,
    read_month,
    shown,
)
from beyond_chinchilla.tables.find import Table
from beyond_chinchilla.tables.grids import Fault
from beyond_chinchilla.tables.headers import COUNTS, SHARES

_MOST_TOLD = 8


class Mistakes:
    """Mistakes of a table, told together."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Keep a mistake."""
        self.lines.append(line)

    def tell(self) -> None:
        """Raise what was found, if anything was.

        Raises
        ------
        SpreadsheetError
            One line for each mistake; of many, the first.
        """
        if self.lines:
            more = len(self.lines) - _MOST_TOLD
            lines = [*self.lines[:_MOST_TOLD], *([f"... and {more:,} more like these"] if more > 0 else [])]
            raise SpreadsheetError("\n".join(lines))


def read_months(table: Table, mistakes: Mistakes) -> list[When]:
    """Return the month of every row; `mistakes` names the cells that state none."""
    grid, column = table.grid, table.columns["month"]
    cells = [grid.rows[row][column] for row in table.rows]
    day_first = day_comes_first(cells)
    found = []
    for row, cell in zip(table.rows, cells, strict=True):
        when = None if isinstance(cell, Fault) else read_month(cell, day_first)
        if when is None:
            mistakes.add(_no_month(cell, grid.place(row, column), ambiguous=read_month(cell, True) is not None))
        found.append(when or When(1, counted=True))
    return found


def _no_month(cell: Any, place: str, *, ambiguous: bool) -> str:
    if isinstance(cell, Fault):
        return f"{place}: {cell.found('a month')}"
    if ambiguous:
        return f"{place}: {shown(cell)} may have the day or the month first; write it like 2027-01"
    longer = " is a quarter or a year; months are needed," if is_longer(cell) else " is no month;"
    return f"{place}: {shown(cell)}{longer} write it like 2027-01"


def table_mark(table: Table, decimal: str | None) -> str | None:
    """Return the decimal mark that the columns of a table prove together, for those that prove none alone."""
    if decimal is not None:
        return decimal
    marks = set()
    for name in table.columns:
        if name != "month":
            try:
                marks.add(decimal_mark(_texts(table, name)))
            except SpreadsheetError:
                continue  # told when that column is read
    marks -= {None}
    return marks.pop() if len(marks) == 1 else None


def _texts(table: Table, name: str) -> list[str]:
    column = table.columns[name]
    return [cell for row in table.rows if isinstance(cell := table.grid.rows[row][column], str) and cell]


def read_numbers(table: Table, name: str, mistakes: Mistakes, mark: str | None) -> tuple[list[float | None], str]:
    """Return the numbers of a column in its unit, None where blank, and their currency.

    Parameters
    ----------
    table : Table
    name : str
        The quantity.
    mistakes : Mistakes
        Takes the cells that are no numbers, negative, or may be read in two ways.
    mark : str or None
        Decimal mark where the column proves none; None: what is ambiguous is a mistake.
    """
    grid, column, header = table.grid, table.columns[name], table.meanings[name]
    texts = _texts(table, name)
    try:
        mark = decimal_mark(texts) or mark
    except SpreadsheetError as error:
        mistakes.add(f"{grid.book}, {table.column_range(name)}: {error}")
        return [None] * len(table.rows), ""
    if mark is None and name in COUNTS and header.scale == 1.0 and not any("." in text for text in texts):
        mark = POINT  # 1,234 requests: nobody counts a thousandth of a request
    currencies = {header.currency} if header.currency else set()
    factor = header.scale * header.rate
    values: list[float | None] = []
    is_in_points = False
    for row in table.rows:
        cell = grid.rows[row][column]
        if is_number(cell):
            amount: Amount | None = Amount(float(cell))
        else:
            try:
                amount = _read_cell(cell, name, mark)
            except InputError as error:
                mistakes.add(f"{grid.place(row, column)}: {error}")
                amount = None
        if amount is None:
            values.append(None)
            continue
        if not 0.0 <= amount.value < _LARGEST:
            mistakes.add(f"{grid.place(row, column)}: {shown(cell)}: {name.replace('_', ' ')} must be zero or more")
        currencies |= {amount.currency} - {""}
        is_in_points |= header.percent and not amount.percent
        values.append(amount.value if amount.percent else amount.value * factor)
    if len(currencies) > 1:
        mistakes.add(f"{grid.book}, {table.column_range(name)}: {' and '.join(sorted(currencies))} in one column")
    if name in SHARES and is_in_points:
        values = _percentages(table, name, values, mistakes)
    return values, next(iter(currencies), "")


_EXAMPLES = {
    "cached_share": "30%",
    "batch_share": "20%",
    "price": "2.50",
    "input_tokens": "900",
    "output_tokens": "220",
}
_LARGEST = 1e30


def _read_cell(cell: Any, name: str, mark: str | None) -> Amount | None:
    """Return what a cell that is no plain number states; None where it is blank.

    Raises
    ------
    InputError
        A fault, an ambiguous number, or none.
    """
    expected = f"a number ({name.replace('_', ' ')})"
    if isinstance(cell, Fault):
        raise cell.found(expected)
    text = cell.strip() if isinstance(cell, str) else ""
    if cell == "" or text in _BLANKS:
        return None
    if mark is None and is_ambiguous(text):
        raise SpreadsheetError(
            f"{shown(text)} may have a decimal mark or a thousands separator; store it as a number, or say which is "
            "the decimal mark: --decimal point, or --decimal comma"
        )
    amount = read_amount(text, mark or POINT)
    if amount is None:
        raise SpreadsheetError(f"{shown(cell)} is not {expected}; write it like {_EXAMPLES.get(name, '40M')}")
    return amount


# What people write where there is nothing.
_BLANKS = ("-", "–", "—")


def _percentages(table: Table, name: str, values: Sequence[float | None], mistakes: Mistakes) -> list[float | None]:
    """Return shares from numbers under a percent sign: 35 is 35%, but 0.35 may be 35% in a cell's format, or 0.35%."""
    stated = [value for value in values if value is not None]
    if any(value >= 1.0 for value in stated):
        return [None if value is None else value / 100.0 for value in values]
    if any(value > 0.0 for value in stated):
        mistakes.add(
            f"{table.grid.book}, {table.column_range(name)}: {max(stated):g} under a header in percent may be "
            f"{max(stated):.3%} or {max(stated) / 100.0:.3%}; take the % out of the header, or write 35%"
        )
    return list(values)


DECIMALS = {"point": POINT, "comma": COMMA}
