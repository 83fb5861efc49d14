"""GPUs that can be had, by month, from a book of tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from beyond_chinchilla.tables.find import choose_table
from beyond_chinchilla.tables.forecasts import split_sheet, tables_at
from beyond_chinchilla.tables.grids import read_grids
from beyond_chinchilla.tables.readings import Mistakes, read_months, read_numbers, table_mark

_GPUS = "gpus"


@dataclass(frozen=True, kw_only=True)
class CapacityTable:
    """GPUs by month, as a table states them.

    Attributes
    ----------
    place : str
        The file's name and the table's range.
    months : tuple of (str or int, float)
        Calendar month ``"2027-01"``, or its number from launch, and the GPUs that can be had in it.
    """

    place: str
    months: tuple[tuple[str | int, float], ...]


def read_capacity(path: str | Path, sheet: str | None = None) -> CapacityTable:
    """Read the GPUs available by month; heads are those of `headers.ALIASES`.

    Parameters
    ----------
    path : path
        A workbook, or a text of one table.
    sheet : str, optional
        Of a workbook: its name, or with a cell of the table, ``Fleet!B4``.

    Raises
    ------
    InputError
        No such file or sheet.
    SpreadsheetError
        A file that cannot be read, no table of GPUs by month or several, or cells that are no numbers, each by its
        address.
    """
    name, corner = split_sheet(sheet)
    grids = read_grids(path, name)
    tables = tables_at(grids, _GPUS, corner, "GPUs", "capacity")
    table, _ = choose_table(tables, (_GPUS,), grids[0].book, "capacity")
    mistakes = Mistakes()
    whens = read_months(table, mistakes)
    values, _ = read_numbers(table, _GPUS, mistakes, table_mark(table, None))
    mistakes.tell()
    months = [when.number if when.counted else str(when) for when in whens]
    return CapacityTable(
        place=f"{table.grid.book}, {table.range}",
        months=tuple((month, value) for month, value in zip(months, values, strict=True) if value is not None),
    )
