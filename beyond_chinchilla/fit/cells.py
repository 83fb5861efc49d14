"""The numbers in the cells of a table of runs, and why a cell has none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import UnitError, printable
from beyond_chinchilla.units import parse_number

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column, nan where a cell has none; `faults` says why and shows the cell."""

    values: Array
    faults: Mapping[int, tuple[str, str]]


_BLANK = {"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "--"}
_COMMA = re.compile(r"\s*[-+]?\d[\d.]*,\d+(?:[eE][-+]?\d+)?\s*[A-Za-z%]*\s*")
_THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(?:\.\d{3})+(?!\d)(?:,\d*)?\s*[A-Za-z%]*\s*")


def has_decimal_comma(cells: Iterable[object]) -> bool:
    """Say whether cells write 3,68: some has a comma, and none a point that must be a decimal one."""
    commas = False
    for cell in cells:
        if isinstance(cell, str):
            if _COMMA.fullmatch(cell):
                commas = True
            elif "." in cell and any(map(str.isdigit, cell)) and not _THOUSANDS.fullmatch(cell):
                return False
    return commas


def read_numbers(cells: Sequence[object], scale: float = 1.0, *, decimal_comma: bool = False) -> Numbers:
    """Read a column: numbers as they are, texts as `units.parse_number` does, times the unit's size.

    >>> read_numbers(["1.2B", "3e9", "", "n/a", "a lot"]).faults[4]
    ('not a number', 'a lot')
    """
    values = np.full(len(cells), np.nan)
    faults: dict[int, tuple[str, str]] = {}
    for i, cell in enumerate(cells):
        number = _read(cell, decimal_comma)
        if isinstance(number, float):
            values[i] = number * scale
        else:
            faults[i] = (number, "" if number == "missing" else printable(str(cell)[:40]))
    return Numbers(values, faults)


def _read(cell: object, decimal_comma: bool) -> float | str:
    if isinstance(cell, str):
        text = cell.strip()
        if decimal_comma and ("," in text or _THOUSANDS.fullmatch(text)):
            text = text.replace(".", "").replace(",", ".")
        try:
            number = float(text)
        except ValueError:
            if text.casefold() in _BLANK:
                return "missing"
            try:
                number = parse_number(text)
            except UnitError:
                return "not a number"
    elif cell is None:
        return "missing"
    elif isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (int, float, Decimal, np.number)):
        return "not a number"
    else:
        try:
            number = float(cell)
        except OverflowError:
            return "infinite"
        except (TypeError, ValueError):
            return "not a number"
    if math.isnan(number):
        return "missing"
    return "infinite" if math.isinf(number) else number
