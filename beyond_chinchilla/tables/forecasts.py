"""Demand by month from a book of tables, as `costs.forecast.Forecast.from_rows` takes it.

Rows by day or hour are added up to months. Lengths that are stated in total are divided by the requests of the month.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beyond_chinchilla.costs.month_table import read_month_table
from beyond_chinchilla.costs.months import MAX_MONTHS, months_from
from beyond_chinchilla.errors import InputError, SpreadsheetError, printable
from beyond_chinchilla.tables.clean import When
from beyond_chinchilla.tables.find import Left, Table, choose_table, explain_nothing, find_tables
from beyond_chinchilla.tables.grids import Grid, read_grids
from beyond_chinchilla.tables.headers import LENGTHS
from beyond_chinchilla.tables.readings import DECIMALS, Mistakes, read_months, read_numbers, table_mark

# Which table is meant: that which holds most of these.
FIELDS = ("requests", "input_tokens", "output_tokens")
# More tokens than a request has: totals of the month without the word.
_LONGEST_REQUEST = 5e7
_UNUSED = {"commitment": "a scenario has one commitment, not one for each month"}


@dataclass(frozen=True)
class Understood:
    """A range of the book and what was made of it."""

    place: str
    text: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class ForecastTable:
    """A forecast as a table states it.

    Attributes
    ----------
    place : str
        The file's name and the table's range: ``forecast.xlsx, Demand!B4:E40``.
    rows : tuple of dict
        ``month`` (``"2027-01"``, or 1, 2, 3 ... from launch), ``requests``, and ``input_tokens`` and
        ``output_tokens`` [tokens per request] where they are stated.
    places : tuple of str
        Where each row stands.
    cached_share, batch_share : float or None
        Means over the tokens, or requests, of all months, where the table has them.
    prices : tuple of (month, float)
        Price of one chip [currency/hour] by month; empty where the table has none.
    currency : str
        Of the prices; ``""`` where it is not said.
    gpus : tuple of (month, float)
        Chips that can be had.
    understood : tuple of Understood
    ignored : tuple of Left
        What was left out, with its cell and the reason.
    notes : tuple of str
        What was added up or assumed.
    taken : (str, set of int)
        The sheet, and the rows of it, from 0, that the table takes.
    """

    place: str
    rows: tuple[dict[str, Any], ...]
    places: tuple[str, ...]
    cached_share: float | None
    batch_share: float | None
    prices: tuple[tuple[str | int, float], ...]
    currency: str
    gpus: tuple[tuple[str | int, float], ...]
    understood: tuple[Understood, ...]
    ignored: tuple[Left, ...]
    notes: tuple[str, ...]
    taken: tuple[str, frozenset[int]]

    def calendar(self, start: str | None = None) -> tuple[str, ...]:
        """Return the calendar month of each row; `start` is that of month 1, where they are counted from launch.

        Raises
        ------
        InputError
            Counted months without a start, or a start beside calendar months.
        """
        months = [row["month"] for row in self.rows]
        if all(isinstance(month, str) for month in months):
            if start is not None:
                raise InputError(f"{self.place}: begins in {months[0]} already; leave out the start {printable(start)}")
            return tuple(months)
        if start is None:
            raise InputError(
                f"{self.place}: its months are counted 1, 2, 3; say which calendar month is the first: "
                "--start 2027-01, or start: 2027-01 in a scenario, or a row 'Start month' on an Assumptions sheet"
            )
        return months_from(start, len(months))


def read_forecast(path: str | Path, sheet: str | None = None, decimal: str | None = None) -> ForecastTable:
    """Read the demand that a book forecasts.

    Parameters
    ----------
    path : path
        A workbook, or a text of one table.
    sheet : str, optional
        Of a workbook: its name, or with a cell of the table, ``Demand!B4``.
    decimal : str, optional
        ``"point"`` or ``"comma"``, where the numbers do not tell.

    Raises
    ------
    InputError
        No such file or sheet; months missing, out of order or there twice.
    SpreadsheetError
        A file that cannot be read, no table of demand or several, or cells that are no numbers, each by its address.
    """
    name, corner = split_sheet(sheet)
    return forecast_of(read_grids(path, name), corner, decimal)


def split_sheet(sheet: str | None) -> tuple[str | None, str]:
    """Return the sheet and the cell of ``Demand!B4``.

    >>> split_sheet("'Our demand'!B4:E40"), split_sheet("Demand"), split_sheet("B4")
    (('Our demand', 'B4:E40'), ('Demand', ''), ('B4', ''))
    """
    if sheet is None:
        return None, ""
    name, mark, corner = sheet.rpartition("!")
    if not mark:
        return sheet, ""
    if len(name) > 1 and name.startswith("'") and name.endswith("'"):
        name = name[1:-1].replace("''", "'")
    return name or None, corner


def forecast_of(grids: Sequence[Grid], corner: str = "", decimal: str | None = None) -> ForecastTable:
    """Return the forecast that the sheets of a book hold; see `read_forecast`."""
    if decimal is not None and decimal not in DECIMALS:
        raise InputError(f"decimal mark '{printable(decimal)}'; write point or comma")
    table, others = choose_table(tables_at(grids, "requests", corner, "demand"), FIELDS, grids[0].book, "demand")
    return _read(table, others, None if decimal is None else DECIMALS[decimal])


def tables_at(grids: Sequence[Grid], wanted: str, corner: str, what: str, key: str | None = None) -> list[Table]:
    """Return the tables of a book that have a column, or the one that holds a cell.

    Parameters
    ----------
    grids : sequence of Grid
    wanted : str
        The column, one of `headers.ALIASES`.
    corner : str
        A cell of the table, or nothing.
    what : str
        What the table is of, in words.
    key : str, optional
        Section of a scenario that asks; `what` if left out.

    Raises
    ------
    InputError
        No table at the cell.
    SpreadsheetError
        No table at all.
    """
    tables = [table for grid in grids for table in find_tables(grid, (wanted,))]
    if corner:
        chosen = [table for table in tables if table.holds(corner)]
        if not chosen:
            ranges = ", ".join(table.range for table in tables) or "nowhere"
            raise InputError(f"{grids[0].book}: no table of {what} at {printable(corner)}; found: {printable(ranges)}")
        tables = chosen
    if not tables:
        raise explain_nothing(grids, wanted, key or what)
    return tables


def _read(table: Table, others: Sequence[Left], decimal: str | None) -> ForecastTable:
    mistakes = Mistakes()
    whens = read_months(table, mistakes)
    mark = table_mark(table, decimal)
    columns: dict[str, list[float | None]] = {}
    currency = ""
    for name in table.columns:
        if name != "month":
            columns[name], found = read_numbers(table, name, mistakes, mark)
            currency = found if name == "price" else currency
    mistakes.tell()
    _divide_totals(table, columns, mistakes)
    mistakes.tell()
    notes: list[str] = []
    kept: Sequence[int] = table.rows
    if _is_finer(whens):
        whens, kept, columns = _added_up(table, whens, columns, notes)
    places = [table.grid.place(row, table.columns["month"]) for row in kept[: MAX_MONTHS + 1]]
    months = [when.number if when.counted else str(when) for when in whens]
    rows = [
        {"month": month, **{name: value for name in FIELDS if (value := _at(columns, name, index)) is not None}}
        for index, month in enumerate(months)
    ]
    if len(rows) > MAX_MONTHS:
        raise SpreadsheetError(
            f"{table.grid.book}, {table.range}: {len(rows):,} months; the life of a model is at most {MAX_MONTHS}"
        )
    # Lengths may come from elsewhere: here only that the months follow one another, each with its requests.
    read_month_table(rows, places, {"input_tokens": 1.0, "output_tokens": 1.0})
    requests = [value or 0.0 for value in columns["requests"]]
    if not any(requests):
        raise SpreadsheetError(f"{table.grid.book}, {table.range}: no month has requests; give at least one above zero")
    tokens = [each * (_at(columns, "input_tokens", index) or 1.0) for index, each in enumerate(requests)]
    shares = {
        name: _mean(columns.get(name), weights, name, table)
        for name, weights in (("cached_share", tokens), ("batch_share", requests))
    }
    return ForecastTable(
        place=f"{table.grid.book}, {table.range}",
        rows=tuple(rows),
        places=tuple(places),
        cached_share=shares["cached_share"],
        batch_share=shares["batch_share"],
        prices=_by_month(months, columns.get("price")),
        currency=currency,
        gpus=_by_month(months, columns.get("gpus")),
        understood=tuple(_explain(table, name) for name in table.columns if name not in _UNUSED),
        ignored=(*table.left, *_unused(table), *others),
        notes=tuple(notes),
        taken=(table.grid.sheet, table.sheet_rows),
    )


def _unused(table: Table) -> list[Left]:
    """Return the columns that are known and that nothing can be done with."""
    return [
        Left(table.column_range(name), table.titles[name], why)
        for name, why in _UNUSED.items()
        if name in table.columns
    ]


def _at(columns: dict[str, list[float | None]], name: str, index: int) -> float | None:
    return columns[name][index] if name in columns else None


def _by_month(
    months: Sequence[str | int], values: Sequence[float | None] | None
) -> tuple[tuple[str | int, float], ...]:
    return tuple((month, value) for month, value in zip(months, values or (), strict=False) if value is not None)


def _mean(values: Sequence[float | None] | None, weights: Sequence[float], name: str, table: Table) -> float | None:
    if values is None or all(value is None for value in values):
        return None
    sums = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    if max(value for value, _ in sums) > 1.0:
        raise SpreadsheetError(
            f"{table.grid.book}, {table.column_range(name)}: {max(value for value, _ in sums):g} is no share; write it "
            "like 35%"
        )
    total = sum(weight for _, weight in sums)
    return sum(value * weight for value, weight in sums) / total if total else sums[0][0]


def _explain(table: Table, name: str) -> Understood:
    meaning = name.replace("_", " ")
    header = table.meanings.get(name)
    if header is not None:
        if header.total:
            meaning += " of the month, divided by its requests"
        if header.scale != 1.0:
            meaning += f", times {header.scale:,.0f}"
        if header.rate != 1.0:
            meaning += f", times {header.rate:.6g} to a month"
        if header.currency:
            meaning += f", {header.currency}"
    return Understood(table.column_range(name), table.titles[name], meaning)


def _divide_totals(table: Table, columns: dict[str, list[float | None]], mistakes: Mistakes) -> None:
    """Turn lengths in total into lengths per request; a length that no request has is a mistake."""
    for name in LENGTHS:
        if name not in columns:
            continue
        if table.meanings[name].total:
            columns[name] = [
                total if total is None or not requests else total / requests
                for total, requests in zip(columns[name], columns["requests"], strict=True)
            ]
        for row, value in zip(table.rows, columns[name], strict=True):
            if value is not None and value > _LONGEST_REQUEST and not table.meanings[name].total:
                what = name.replace("_", " ")
                mistakes.add(
                    f"{table.grid.place(row, table.columns[name])}: {value:,.0f} tokens in a request; if these are all "
                    f"of the month, call the column 'Total {what}'"
                )
                break


def _is_finer(whens: Sequence[When]) -> bool:
    """Whether the rows are days or hours: two different days of one month."""
    first: dict[int, int] = {}
    return any(first.setdefault(when.number, when.day) != when.day for when in whens if not when.counted and when.day)


def _added_up(
    table: Table,
    whens: Sequence[When],
    columns: dict[str, list[float | None]],
    notes: list[str],
) -> tuple[list[When], list[int], dict[str, list[float | None]]]:
    """Return the months of rows by day or hour, and the first row of each: requests added up, lengths weighted."""
    groups: dict[int, list[int]] = {}
    for index, when in enumerate(whens):
        groups.setdefault(when.number, []).append(index)
    numbers = sorted(groups)
    rate = table.meanings["requests"].rate
    if rate != 1.0:
        raise SpreadsheetError(
            f"{table.grid.book}, {table.column_range('requests')}: a rate ({table.titles['requests']}) in rows by day "
            "or hour; write the requests of each row"
        )
    made: dict[str, list[float | None]] = {name: [] for name in columns}
    requests = columns["requests"]
    for number in numbers:
        group = groups[number]
        weights = [requests[index] or 0.0 for index in group]
        made["requests"].append(sum(weights))
        for name in columns.keys() - {"requests"}:
            known = [(columns[name][i], w) for i, w in zip(group, weights, strict=True) if columns[name][i] is not None]
            total = sum(weight for _, weight in known)
            made[name].append(
                sum((value or 0.0) * weight for value, weight in known) / total
                if total
                else (known or [(None, 0)])[0][0]
            )
    notes.append(f"{len(whens):,} rows by day or hour are added up to {len(numbers):,} months")
    for number in numbers:
        days = {whens[index].day for index in groups[number]}
        length = calendar.monthrange(number // 12, number % 12 + 1)[1]
        if len(days) < length:
            notes.append(
                f"{whens[groups[number][0]]} has {len(days)} of its {length} days: its requests are those of these days"
            )
    first = [groups[number][0] for number in numbers]
    return [When(number) for number in numbers], [table.rows[index] for index in first], made
