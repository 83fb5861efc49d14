"""Tables of months wherever they stand on a sheet: under titles, beside blank columns, with months down or across.

A table is a header that names a wanted quantity, a column of months, and rows below it. Which header: the row, or two
rows under a merged one, that names most. Which months: the column called so, or the nearest to the left that holds
months. A sheet with months across is searched with rows and columns changed. Rows of totals, quarters and years are
left out and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from beyond_chinchilla.errors import SpreadsheetError, nearest, printable
from beyond_chinchilla.tables.clean import is_longer, is_numeric, read_month, shown, text_of
from beyond_chinchilla.tables.grids import Fault, Grid
from beyond_chinchilla.tables.headers import ALIASES, Header, is_unit_alone, read_header

# A label is a word; what begins like a number is none, and is not looked up.
_WORDED = re.compile(r"[^\W\d]|[$€£#(]")
_TOTAL = re.compile(
    r"(?:grand\s+|sub[\s-]*|running\s+)?(?:total|sum|totals|average|avg|mean|ytd|cagr|growth|min|max|median|summe)\b",
    re.IGNORECASE,
)
# A table with months across has few rows; turning a long one would only cost time.
_MOST_TURNED = 2_000


@dataclass(frozen=True)
class Left:
    """A place of the book that was left out, and why."""

    place: str
    text: str
    why: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table of months.

    Attributes
    ----------
    grid : Grid
        Its sheet, with months down.
    header : tuple of int
        First and last row of the header, in `grid.rows`.
    columns : dict of str to int
        Column of each quantity, ``month`` among them.
    meanings : dict of str to Header
        What each header says, but for the months.
    titles : dict of str to str
        The header of each column, as written.
    rows : tuple of int
        The rows that hold months.
    left : tuple of Left
        Rows and columns of the table that are none of these.
    """

    grid: Grid
    header: tuple[int, int]
    columns: dict[str, int]
    meanings: dict[str, Header]
    titles: dict[str, str]
    rows: tuple[int, ...]
    left: tuple[Left, ...]

    @property
    def range(self) -> str:
        """Where it stands: ``Demand!B4:E40``."""
        first, last = min(self.columns.values()), max(self.columns.values())
        start, end = self.grid.address(self.header[0], first), self.grid.address(self.rows[-1], last)
        return f"{start}:{end.rsplit('!', 1)[-1]}"

    def column_range(self, name: str) -> str:
        """Where the cells of a quantity stand."""
        column = self.columns[name]
        return self.grid.range(self.rows[0], column, self.rows[-1], column)

    @property
    def sheet_rows(self) -> frozenset[int]:
        """Rows of the sheet, from 0, that it takes."""
        if self.grid.transposed:
            first, last = min(self.columns.values()), max(self.columns.values())
            return frozenset(range(self.grid.left + first, self.grid.left + last + 1))
        return frozenset(range(self.grid.numbers[self.header[0]], self.grid.numbers[self.rows[-1]] + 1))

    def holds(self, corner: str) -> bool:
        """Whether a cell or range, ``B4`` or ``B4:E40``, begins with the table or lies in it."""
        cell = corner.split(":")[0].replace("$", "").upper()
        if corner.upper().replace("$", "") == self.range.rsplit("!", 1)[-1]:
            return True
        rows = range(self.header[0], self.rows[-1] + 1)
        columns = range(min(self.columns.values()), max(self.columns.values()) + 1)
        return any(self.grid.address(row, column).rsplit("!", 1)[-1] == cell for row in rows for column in columns)


def find_tables(grid: Grid, wanted: Sequence[str]) -> list[Table]:
    """Return the tables of a sheet that hold months and one of the wanted quantities, in their order.

    Raises
    ------
    SpreadsheetError
        A header that names one quantity twice.
    """
    found = list(_search(grid, wanted))
    if not found and 1 < len(grid.rows) <= _MOST_TURNED and grid.width > 1:
        found = [table for table in _search(grid.turned(), wanted) if _runs_across(table)]
    return found


def _runs_across(table: Table) -> bool:
    """Whether months stand across, and not a list of assumptions of which one is called months."""
    whens = [read_month(table.grid.rows[row][table.columns["month"]], True) for row in table.rows]
    counted = {when.number for when in whens if when is not None and when.counted}
    return len(whens) > 1 and (not counted or 1 in counted)


def choose_table(tables: Sequence[Table], fields: Sequence[str], book: str, key: str) -> tuple[Table, list[Left]]:
    """Return the table that holds most of some quantities, and what else would have done.

    Raises
    ------
    SpreadsheetError
        Several hold as many: which one is not for us to say.
    """
    scored = [(sum(name in table.columns for name in fields), table) for table in tables]
    most = max(score for score, _ in scored)
    best = [table for score, table in scored if score == most]
    if len(best) > 1:
        ranges = " and ".join(f"{table.range} ({', '.join(table.titles.values())})" for table in best[:6])
        sheets = {table.grid.sheet for table in best}
        first = best[0].grid.sheet if len(sheets) == len(best) else best[0].range.split(":")[0]
        raise SpreadsheetError(
            f"{book}: {len(best)} tables look like {key}: {printable(ranges)}; say which: "
            f'--sheet "{printable(first)}", '
            f"or sheet: {printable(first)} beside file: in a scenario"
        )
    why = f"holds {{}} of {', '.join(fields)}, the table that is used {most}"
    return best[0], [Left(table.range, "", why.format(score)) for score, table in scored if table is not best[0]]


# Search


@dataclass
class _Heading:
    """A header that was found: its rows, and what stands in which column."""

    first: int
    last: int
    columns: dict[int, Header] = field(default_factory=dict)
    titles: dict[int, str] = field(default_factory=dict)


def _search(grid: Grid, wanted: Sequence[str]) -> Iterator[Table]:
    row = 0
    while row < len(grid.rows):
        heading = _heading(grid, row, wanted)
        table = None if heading is None else _table(grid, heading)
        if table is None:
            row += 1
        else:
            yield table
            row = table.rows[-1] + 1


def _heading(grid: Grid, row: int, wanted: Sequence[str]) -> _Heading | None:
    """Return the header that begins at a row, if one does."""
    if not any(isinstance(cell, str) and _WORDED.match(cell) for cell in grid.rows[row]):
        return None
    alone = _read(grid, row, row, grid.rows[row], None)
    best = alone
    follows = row + 1 < len(grid.rows) and grid.numbers[row + 1] == grid.numbers[row] + 1
    if follows and not any(is_numeric(cell) for cell in grid.rows[row + 1]):
        below = grid.rows[row + 1]
        spanned = _read(grid, row, row + 1, _spread(grid, row), below)
        # A title over a header adds nothing to it.
        if _count(spanned) > max(_count(best), _count(_read(grid, row + 1, row + 1, below, None))):
            best = spanned
    if not any(header.name in wanted for header in best.columns.values()):
        return None
    return _with_units(grid, best)


def _count(heading: _Heading) -> int:
    return len({header.name for header in heading.columns.values()})


def _spread(grid: Grid, row: int) -> list[Any]:
    """Return a row with each merged text in all columns that it spans; one not merged spans the blanks to its right."""
    cells = list(grid.rows[row])
    known = {
        column - grid.left: last - grid.left for (at, column), last in grid.merged.items() if at == grid.numbers[row]
    }
    text, until = "", -1
    for column, cell in enumerate(grid.rows[row]):
        if cell != "":
            text = cell if isinstance(cell, str) else ""
            until = known.get(column, column if known else len(cells))
        elif column <= until:
            cells[column] = text
    return cells


def _read(grid: Grid, first: int, last: int, upper: Sequence[Any], lower: Sequence[Any] | None) -> _Heading:
    heading = _Heading(first, last)
    for column, top in enumerate(upper):
        bottom = "" if lower is None else lower[column]
        parts = [part for part in (top, bottom) if isinstance(part, str) and part]
        if not parts or (lower is not None and not bottom and grid.rows[first][column] == ""):
            continue
        if not any(_WORDED.match(part) for part in parts):
            continue
        header = read_header(*parts)
        if header is None and len(parts) == 2:
            header = read_header(parts[1])
        if header is not None:
            heading.columns[column] = header
        heading.titles[column] = " / ".join(parts)
    return heading


def _with_units(grid: Grid, heading: _Heading) -> _Heading:
    """Add a row of units below the names to them."""
    below = heading.last + 1
    if below >= len(grid.rows) or grid.numbers[below] != grid.numbers[heading.last] + 1:
        return heading
    units = {column: grid.rows[below][column] for column in heading.columns if grid.rows[below][column] != ""}
    if not units or not all(isinstance(unit, str) and is_unit_alone(unit.strip("()[] ")) for unit in units.values()):
        return heading
    for column, unit in units.items():
        title = heading.titles[column]
        header = read_header(*title.split(" / "), f"({unit.strip('()[] ')})")
        if header is not None:
            heading.columns[column], heading.titles[column] = header, f"{title} ({unit.strip('()[] ')})"
    heading.last = below
    return heading


def _table(grid: Grid, heading: _Heading) -> Table | None:
    month = _month_column(grid, heading)
    if month is None:
        return None
    quantities, left = _one_of_each(grid, heading)
    columns = {"month": month, **quantities}
    rows, dropped = _body(grid, heading, columns)
    if not rows:
        return None
    used = set(columns.values())
    unknown = [
        Left(grid.address(heading.first, column), title, "no quantity that is known by this name")
        for column, title in heading.titles.items()
        if column not in used and column not in heading.columns
    ]
    return Table(
        grid=grid,
        header=(heading.first, heading.last),
        columns=columns,
        meanings={name: heading.columns[column] for name, column in columns.items() if name != "month"},
        titles={name: heading.titles.get(column, "") for name, column in columns.items()},
        rows=tuple(rows),
        left=(*left, *unknown, *dropped),
    )


def _month_column(grid: Grid, heading: _Heading) -> int | None:
    """Return the column that is called months and holds some, or the nearest to the left of the others that does."""
    named = [column for column, header in heading.columns.items() if header.name == "month"]
    others = [column for column, header in heading.columns.items() if header.name != "month"]
    before = range(min(others, default=0) - 1, -1, -1)
    for column in (*named, *before):
        below = [row[column] for row in grid.rows[heading.last + 1 : heading.last + 9]]
        if any(read_month(cell, True) is not None or is_longer(cell) or isinstance(cell, Fault) for cell in below):
            return int(column)
    return None


def _one_of_each(grid: Grid, heading: _Heading) -> tuple[dict[str, int], list[Left]]:
    """Return the column of each quantity; a length per request goes before one in total."""
    columns: dict[str, int] = {}
    left: list[Left] = []
    for column, header in heading.columns.items():
        if header.name == "month":
            continue
        other = columns.get(header.name)
        if other is None:
            columns[header.name] = column
            continue
        if heading.columns[other].total == header.total:
            first, second = (grid.address(heading.first, each) for each in (other, column))
            raise SpreadsheetError(
                f"{grid.book}: {first} {shown(heading.titles[other])} and {second} {shown(heading.titles[column])} "
                f"both read as {header.name.replace('_', ' ')}; rename or delete the one that is not meant"
            )
        spare = other if heading.columns[other].total else column
        columns[header.name] = column if spare == other else other
        left.append(Left(grid.address(heading.first, spare), heading.titles[spare], "stated per request as well"))
    return columns, left


def _body(grid: Grid, heading: _Heading, columns: dict[str, int]) -> tuple[list[int], list[Left]]:
    """Return the rows of months below a header, and the rows between them that are left out."""
    rows: list[int] = []
    left: list[Left] = []
    month = columns["month"]
    values = [column for name, column in columns.items() if name != "month"]
    before = grid.numbers[heading.last]
    for index in range(heading.last + 1, len(grid.rows)):
        row = grid.rows[index]
        gap, before = grid.numbers[index] > before + 1, grid.numbers[index]
        cell = row[month]
        filled = [row[column] for column in values if row[column] != ""]
        if cell == "" and not filled:
            continue
        if isinstance(cell, Fault) or read_month(cell, True) is not None:
            rows.append(index)
            continue
        label = next(
            (text for text in row[: max(values)] if isinstance(text, str) and _TOTAL.match(text.strip())), None
        )
        if label is not None or is_longer(cell):
            why = "a total, not a month" if label is not None else "a quarter or a year, not a month"
            left.append(Left(grid.address(index, month), text_of(cell if label is None else label), why))
            continue
        if _begins_another(row, month):
            break
        has_numbers = any(is_numeric(each) or isinstance(each, Fault) for each in filled)
        if has_numbers and cell != "" and not gap:
            rows.append(index)  # whoever reads the month says what is wrong with it
        elif has_numbers:
            left.append(Left(grid.address(index, month), text_of(filled[0]), "numbers without a month"))
        elif gap and rows:
            break
    if not any(
        read_month(grid.rows[index][month], True) or isinstance(grid.rows[index][month], Fault) for index in rows
    ):
        longer = next((each for each in left if each.why.startswith("a quarter")), None)
        if longer is not None:
            raise SpreadsheetError(
                f"{grid.book}, {longer.place}: {shown(longer.text)} is a quarter or a year; months are needed, one row "
                "(or column) each, such as 2027-01"
            )
        return [], left
    return rows, left


def _begins_another(row: Sequence[Any], month: int) -> bool:
    named = [read_header(cell) for cell in row if isinstance(cell, str) and _WORDED.match(cell)]
    known = [header for header in named if header is not None]
    at_month = read_header(row[month]) if isinstance(row[month], str) else None
    return len(known) >= 2 or (at_month is not None and at_month.name == "month")


def explain_nothing(grids: Sequence[Grid], wanted: str, key: str) -> SpreadsheetError:
    """Return the error of a book without a table: what a table needs, and what came nearest."""
    book = grids[0].book
    faults = [
        grid.place(row, column)
        for grid in grids
        for row, cells in enumerate(grid.rows)
        for column, cell in enumerate(cells)
        if isinstance(cell, Fault)
    ]
    texts = {
        cell.strip(): grid.address(row, column)
        for grid in grids
        for row, cells in enumerate(grid.rows[:200])
        for column, cell in enumerate(cells)
        if isinstance(cell, str) and _WORDED.match(cell) and len(cell) <= 40
    }
    near = ""
    for alias in ALIASES[wanted]:
        told = nearest(alias, texts)
        if told.startswith("did you mean '"):
            text = told.removeprefix("did you mean '").removesuffix("'?")
            near = f"; {texts[text]} {shown(text)} comes near"
            break
    if faults:
        near += (
            f"; {len(faults):,} cells are errors or were never calculated, the first {faults[0]}: recalculate and save"
        )
    sheets = ", ".join(printable(grid.sheet) for grid in grids[:8] if grid.sheet)
    return SpreadsheetError(
        f"{book}: no table of {key} found{f' on {sheets}' if sheets else ''}: it needs a header with month and "
        f"{wanted} (also called {', '.join(ALIASES[wanted][1:4])}), and a row for each month{near}"
    )
