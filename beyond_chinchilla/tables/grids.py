"""Sheets as grids of cells with their addresses, from workbooks and texts.

A grid holds the values of cells, as a spreadsheet last calculated them; a cell that is an error, or a formula without
a value, is a `Fault`, which whoever needs the cell turns into a message.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beyond_chinchilla import files as disk
from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.tables import cell_faults, files, packages
from beyond_chinchilla.tables.cell_faults import NOT_CALCULATED, Scan

WORKBOOKS = (*packages.ZIPPED, ".xls")
KINDS = (*WORKBOOKS, ".csv", ".tsv", ".txt", ".parquet", *files.RECORDS)
MAX_BYTES = 100_000_000
# A parser allocates some 35 bytes for each cell up to the last one, empty or not.
MAX_AREA = 12_000_000
MAX_TEXT = 300_000_000
MAX_SHEETS = 200


@dataclass(frozen=True)
class Fault:
    """A cell without a value: an error such as ``#REF!``, or a formula that was never calculated."""

    what: str

    def found(self, expected: str) -> SpreadsheetError:
        """Return the error that says what is there, what was expected, and the way out."""
        way_out = (
            "open the workbook in Excel or LibreOffice, recalculate (Ctrl+Shift+F9), save it, and try again"
            if self.what == NOT_CALCULATED
            else "correct its formula, save the workbook, and try again"
        )
        return SpreadsheetError(f"holds {printable(self.what)} where {expected} was expected; {way_out}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The cells of a sheet; blank rows are left out.

    Attributes
    ----------
    book : str
        Name of the file.
    sheet : str
        Name of the sheet; "" where the file has none.
    rows : list of list
        Cells of each row that is not blank; "" where empty. All of one width.
    numbers : list of int
        Row of the sheet in which each stands, from 0.
    left : int
        Column of the sheet in which they begin, from 0.
    merged : dict of (int, int) to int
        Last column of each merged cell, by its first row and column in the sheet.
    transposed : bool
        Whether rows and columns have changed places: `rows` are columns of the sheet.
    """

    book: str
    sheet: str
    rows: list[list[Any]] = field(repr=False)
    numbers: list[int] = field(repr=False)
    left: int = 0
    merged: Mapping[tuple[int, int], int] = field(default_factory=dict, repr=False)
    transposed: bool = False

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.rows[0]) if self.rows else 0

    def address(self, row: int, column: int) -> str:
        """Return where a cell of `rows` stands: ``Demand!B7``."""
        return f"{_quoted(self.sheet)}{self._corner(row, column)}"

    def range(self, first_row: int, first_column: int, last_row: int, last_column: int) -> str:
        """Return where a block of `rows` stands: ``Demand!B7:E40``."""
        return f"{self.address(first_row, first_column)}:{self._corner(last_row, last_column)}"

    def place(self, row: int, column: int) -> str:
        """Return a cell as messages name it: ``book.xlsx, Demand!B7``."""
        return f"{self.book}, {self.address(row, column)}"

    def _corner(self, row: int, column: int) -> str:
        number, across = self.numbers[row], column + self.left
        if self.transposed:
            number, across = across, number
        return f"{column_letters(across)}{number + 1}"

    def turned(self) -> Grid:
        """Return the grid with months down that stand across, or the other way round."""
        full: dict[int, list[Any]] = dict(zip(self.numbers, self.rows, strict=True))
        first, last = self.numbers[0], self.numbers[-1]
        blank = [""] * self.width
        columns = zip(*(full.get(number, blank) for number in range(first, last + 1)), strict=True)
        kept = [(self.left + index, list(cells)) for index, cells in enumerate(columns) if any(c != "" for c in cells)]
        return Grid(
            book=self.book,
            sheet=self.sheet,
            rows=[cells for _, cells in kept],
            numbers=[number for number, _ in kept],
            left=first,
            transposed=not self.transposed,
        )


def column_letters(column: int) -> str:
    """Return the letters of a column, counted from 0.

    >>> column_letters(0), column_letters(27)
    ('A', 'AB')
    """
    letters = ""
    column += 1
    while column:
        column, digit = divmod(column - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


@functools.cache
def _quoted(sheet: str) -> str:
    """Return a sheet's name as it stands before an address."""
    if not sheet:
        return ""
    shown = printable(sheet)
    return f"{shown}!" if re.fullmatch(r"[^\W\d]\w*", shown) else "'" + shown.replace("'", "''") + "'!"


def read_grids(path: str | Path, sheet: str | None = None) -> tuple[Grid, ...]:
    """Read the sheets of a workbook that hold cells, or a text as a single grid.

    Parameters
    ----------
    path : path
        ``.xlsx .xlsm .xlsb .xls .ods``, or what `files.read_sheets` reads.
    sheet : str, optional
        Of a workbook: this one alone.

    Raises
    ------
    InputError
        No such file, a folder, an unknown extension, or a sheet that is not there.
    SpreadsheetError
        A file that is empty, too large, damaged, protected, or not what its extension says.
    """
    path = Path(path)
    place = printable(path.name)
    kind = path.suffix.lower()
    if kind not in WORKBOOKS:
        return tuple(_from_text(each) for each in files.read_sheets(path, sheet))
    data = _read_bytes(path, place)
    packages.check_kind(data, kind, place)
    scans = _scan(data, kind, place) if kind in packages.ZIPPED else {}
    import python_calamine  # only for who has a workbook

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = list(book.sheet_names)
    except python_calamine.PasswordError:
        raise SpreadsheetError(
            f"{place}: protected by a password; open it, save it without one, and try again"
        ) from None
    except BaseException as error:  # the parser's own errors, and its panics, which are no Exception
        raise _damaged(error, place) from None
    wanted = [_named(sheet, names, place)] if sheet is not None else names[:MAX_SHEETS]
    found = []
    for name in wanted:
        try:
            cells = book.get_sheet_by_name(name)
        except python_calamine.CalamineError:
            continue  # a sheet that is a chart
        except BaseException as error:
            raise _damaged(error, place) from None
        grid = _from_calamine(cells, place, name, scans.get(name, Scan()))
        if grid.rows:
            found.append(grid)
    if not found:
        raise SpreadsheetError(f"{place}: no cells{' in ' + _quoted(wanted[0])[:-1] if sheet else ''}; is it saved?")
    return tuple(found)


def _damaged(error: BaseException, place: str) -> BaseException:
    if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
        return error
    return SpreadsheetError(
        f"{place}: damaged, or no workbook; open it in Excel or LibreOffice, save it as .xlsx, and try again"
    )


def _read_bytes(path: Path, place: str) -> bytes:
    data = disk.read_bytes(path, MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise SpreadsheetError(f"{place}: a workbook of more than {MAX_BYTES / 1e6:g} MB; save the sheet as .csv")
    return data


def _named(sheet: str, names: list[str], place: str) -> str:
    folded = {name.strip().casefold(): name for name in names}
    if sheet in names:
        return sheet
    if sheet.strip().casefold() in folded:
        return folded[sheet.strip().casefold()]
    raise InputError(f"{place}: no sheet '{printable(sheet)}'; {printable(nearest(sheet, names))}")


def _scan(data: bytes, kind: str, place: str) -> dict[str, Scan]:
    """Return the scan of each sheet by its name, and refuse what no parser should be given."""
    with packages.open_package(data, kind, place) as archive:
        if kind == ".ods":
            scans = cell_faults.scan_ods(archive.read("content.xml"))
        elif kind == ".xlsb":
            parts = packages.sheet_parts(archive, kind)
            scans = {name: cell_faults.scan_xlsb(archive.read(part)) for name, part in parts.items()}
        else:
            scans = {}
            has_strings = "xl/sharedStrings.xml" in archive.namelist()
            strings = archive.read("xl/sharedStrings.xml") if has_strings else b""
            for name, part in packages.sheet_parts(archive, kind).items():
                sheet = archive.read(part)
                scans[name] = cell_faults.scan_xlsx(sheet)
                if cell_faults.expanded_text(sheet, strings) > MAX_TEXT:
                    raise SpreadsheetError(f"{place}, {_quoted(name)[:-1]}: repeats its texts to more than "
                                           f"{MAX_TEXT / 1e6:g} MB; save the sheet as .csv")  # fmt: skip
    for name, scan in scans.items():
        if scan.area > MAX_AREA:
            row, column = scan.last
            raise SpreadsheetError(
                f"{place}, {_quoted(name)}{column_letters(column)}{row + 1}: the cells reach {row + 1:,} rows down and "
                f"{column + 1:,} columns across; delete the rows and columns behind the tables, and save"
            )
    return scans


def _from_calamine(cells: Any, place: str, name: str, scan: Scan) -> Grid:
    if cells.height * cells.width > MAX_AREA:
        raise SpreadsheetError(
            f"{place}, {_quoted(name)[:-1]}: {cells.height:,} rows and {cells.width:,} columns are more than a table "
            "has; delete what stands behind it, and save"
        )
    # Cells that are faults are no content to the parser: they may stand outside of what it spans.
    first = min((column for _, column in scan.faults), default=0) if cells.start is None else cells.start[1]
    left = min([first, *(column for _, column in scan.faults)])
    shift = first - left
    faults: dict[int, dict[int, str]] = {}
    for (row, column), what in scan.faults.items():
        faults.setdefault(row, {})[column - left] = what
    rows: list[list[Any]] = []
    numbers: list[int] = []
    width = max(cells.width + shift, 1 + max((column - left for _, column in scan.faults), default=0))
    blank = [""] * cells.width
    # `iter_rows` begins at the first row of the sheet, but at the first column with content.
    for number, values in enumerate(cells.iter_rows()):
        if values == blank and number not in faults:
            continue
        row_cells = [""] * shift + values + [""] * (width - shift - len(values))
        for column, what in faults.pop(number, {}).items():
            if row_cells[column] == "":
                row_cells[column] = Fault(what)
        rows.append(row_cells)
        numbers.append(number)
    for number, columns in sorted(faults.items()):
        row_cells = [""] * width
        for column, what in columns.items():
            row_cells[column] = Fault(what)
        at = next((index for index, each in enumerate(numbers) if each > number), len(numbers))
        rows.insert(at, row_cells)
        numbers.insert(at, number)
    ranges = cells.merged_cell_ranges or []
    return Grid(
        book=place,
        sheet=name,
        rows=rows,
        numbers=numbers,
        left=left,
        merged={first: last[1] for first, last in ranges},
    )


def _from_text(sheet: files.Sheet) -> Grid:
    rows, numbers = [], []
    for number, cells in enumerate(sheet.cells.to_numpy(dtype=object).tolist()):
        texts = [cell.strip() if isinstance(cell, str) else _plain(cell) for cell in cells]
        if any(cell != "" for cell in texts):
            rows.append(texts)
            numbers.append(number)
    return Grid(book=sheet.place, sheet=sheet.name, rows=rows, numbers=numbers)


def _plain(cell: Any) -> Any:
    """Return a value of a data frame as a cell: nothing is the empty text, a timestamp a datetime."""
    if cell is None or cell != cell:
        return ""
    return cell.to_pydatetime() if hasattr(cell, "to_pydatetime") else cell
