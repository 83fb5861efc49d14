"""A forecast as a table, one row a month: its cells read, its months checked, every mistake told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from beyond_chinchilla.costs.months import MAX_MONTHS, month_label, month_number
from beyond_chinchilla.errors import InputError, printable
from beyond_chinchilla.units import parse_quantity

Row = Mapping[str, object]
T = TypeVar("T")

# The columns that hold numbers: their unit, and how one may be written.
_UNITS = {"requests": "requests", "input_tokens": "tokens/request", "output_tokens": "tokens/request"}
_EXAMPLES = {"requests": "40M", "input_tokens": "900", "output_tokens": "220"}
_COUNTED = re.compile(r"(?:month\s*)?(\d{1,9})", re.IGNORECASE | re.ASCII)
# 2027-01-15 is in January 2027: spreadsheets write a month as one of its days.
_DAY = re.compile(r"(\d{4}-\d{2})-(?:0[1-9]|[12]\d|3[01])(?:[T ]00:00(?::00)?)?", re.ASCII)
# One mistake repeated in every row is told this often.
_MOST_TOLD = 8


@dataclass(frozen=True)
class MonthTable:
    """Columns of a table whose rows follow one another month by month.

    Attributes
    ----------
    requests, input_tokens, output_tokens : tuple of float, shape (M,)
        As the table states them.
    start : str or None
        Calendar month of the first row; None where months count from launch.
    """

    requests: tuple[float, ...]
    input_tokens: tuple[float, ...]
    output_tokens: tuple[float, ...]
    start: str | None


@dataclass(frozen=True, order=True)
class _Month:
    """A month as a row names it: its number, from the year 0 or from launch."""

    number: int
    calendar: bool

    def __str__(self) -> str:
        return month_label(self.number) if self.calendar else str(self.number)


def read_month_table(rows: Sequence[Row], places: Sequence[str], defaults: Mapping[str, float | None]) -> MonthTable:
    """Read rows of ``month``, ``requests``, ``input_tokens`` and ``output_tokens``; other keys are ignored.

    Parameters
    ----------
    rows : sequence of mapping
        Months as ``"2027-01"``, dates, or 1, 2, 3 ... from launch; numbers, or texts such as ``"40M"``.
    places : sequence of str
        What each row is called in a message.
    defaults : mapping of str to float or None
        What a blank cell of a column means; None: it must not be blank.

    Raises
    ------
    InputError
        Every mistake, one line each: cells that are no numbers, months missing, out of order or there twice.
    """
    mistakes: list[str] = []

    def read(parse: Callable[[Row], T], blank: T) -> list[T]:
        cells = []
        for row, place in zip(rows, places, strict=True):
            try:
                cells.append(parse(row))
            except InputError as error:
                mistakes.append(f"{place}: {error}")
                cells.append(blank)
        return cells

    months: list[_Month | None] = read(_month, None)
    columns = {name: tuple(read(_number_reader(name, defaults.get(name)), math.nan)) for name in _UNITS}
    mistakes = _shortened(mistakes)
    known = [(month, place) for month, place in zip(months, places, strict=True) if month is not None]
    # A month that could not be read would be told again as missing.
    mistakes += _misplaced(known, complete=len(known) == len(rows))
    if mistakes:
        raise InputError("\n".join(mistakes))
    first, _ = known[0]
    return MonthTable(**columns, start=str(first) if first.calendar else None)


def _is_blank(cell: object) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _number_reader(name: str, default: float | None) -> Callable[[Row], float]:
    def read(row: Row) -> float:
        cell = row.get(name)
        if _is_blank(cell):
            if default is None:
                raise InputError(f"{name} is missing; write it like {_EXAMPLES[name]}")
            return default
        try:
            value = parse_quantity(cell, _UNITS[name])  # type: ignore[arg-type]
        except InputError as error:
            raise InputError(f"{name}: {printable(str(error))}") from None
        if value < 0:
            raise InputError(f"{name} must be >= 0, not {printable(str(cell)[:40])}")
        return value

    return read


def _month(row: Row) -> _Month:
    cell = row.get("month")
    if _is_blank(cell):
        raise InputError("month is missing; write it like 2027-01")
    if isinstance(cell, date):
        return _Month(cell.year * 12 + cell.month - 1, calendar=True)
    text = f"{cell:.0f}" if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    if match := _COUNTED.fullmatch(text):
        number = int(match[1])
        if not 1 <= number <= MAX_MONTHS:
            raise InputError(
                f"month {number} is not from 1 to {MAX_MONTHS} after launch; write 2027-01 for a calendar month"
            )
        return _Month(number, calendar=False)
    day = _DAY.fullmatch(text)
    return _Month(month_number(day[1] if day else text), calendar=True)


def _misplaced(rows: Sequence[tuple[_Month, str]], *, complete: bool) -> list[str]:
    """Say which months are there twice, out of order or missing; the last only if the months are all known."""
    if not rows:
        return []
    calendar = rows[0][0].calendar
    for month, place in rows:
        if month.calendar != calendar:
            return [
                f"{place}: month {month} among months such as {rows[0][0]}; write all as 2027-01, or all as 1, 2, 3"
            ]
    places: dict[_Month, str] = {}
    twice, disordered, missing = [], [], []
    latest = rows[0][0]
    for month, place in rows:
        if month in places:
            twice.append(f"{place}: month {month} is there already in {places[month]}; keep one of them")
            continue
        places[month] = place
        if month < latest:
            disordered.append(f"{place}: month {month} comes after {latest}; sort the rows by month")
        latest = max(latest, month)
    present = sorted(places)
    previous = present[0].number - 1 if calendar else 0
    for month in present:
        first, last = _Month(previous + 1, calendar), _Month(month.number - 1, calendar)
        if first == last:
            missing.append(f"{places[month]}: month {first} is missing before {month}; every month needs a row")
        elif first < last:
            missing.append(
                f"{places[month]}: months {first} to {last} are missing before {month}; every month needs a row"
            )
        previous = month.number
    return [line for kind in (twice, disordered, missing if complete else []) for line in _shortened(kind)]


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_TOLD
    return [*lines[:_MOST_TOLD], f"... and {more} more like these"] if more > 0 else lines
