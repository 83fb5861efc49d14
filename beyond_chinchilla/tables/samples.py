"""Samples of one number, out of a column of a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.tables.clean import shown
from beyond_chinchilla.tables.files import Frame, read_frame

_NO_NUMBERS = {"", "nan", "na", "n/a", "null", "none", "inf", "-inf", "#n/a"}


def read_samples(path: str | Path, number: Callable[[Any], float], column: str | None = None) -> list[float]:
    """Read the samples of one number.

    Parameters
    ----------
    path : path
        A table, or a single column with or without a name.
    number : callable
        Reads a cell; raises InputError.
    column : str, optional
        Which column, where there are several.

    Raises
    ------
    InputError
        No such file, or no such column.
    SpreadsheetError
        Several columns and no name, or cells that are no numbers: blanks, NaN and text are counted, one line each.
    """
    table = read_frame(path, lambda names: int(column in names))
    names = [str(name) for name in table.frame.columns]
    if column is None and len(names) > 1:
        raise SpreadsheetError(
            f"{table.place}: has {len(names)} columns ({printable(', '.join(names))[:80]}); say which, such as "
            f"column: {printable(names[0])[:40]}"
        )
    chosen = names[0] if column is None else column
    if chosen not in names:
        raise InputError(f"{table.place}: no column '{printable(chosen)}'; {printable(nearest(chosen, names))}")
    cells = [(int(line), cell) for line, cell in zip(table.lines, table.frame[chosen].tolist(), strict=True)]
    first = _without_name(chosen, number) if column is None else []
    return first + _numbers(cells, number, table)


def _without_name(name: str, number: Callable[[Any], float]) -> list[float]:
    """Return the name of a column as its first sample, where it is a number: nobody names a column so."""
    try:
        return [number(name)]
    except InputError:
        return []


def _numbers(cells: list[tuple[int, Any]], number: Callable[[Any], float], table: Frame) -> list[float]:
    found: list[float] = []
    # By kind: how many, and the first line and what it says.
    bad: dict[str, tuple[int, int, str]] = {}
    for line, cell in cells:
        missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
        text = "" if missing else str(cell).strip()
        if text.casefold() in _NO_NUMBERS:
            kind, why = ("blank" if not text and not isinstance(cell, float) else "no number (NaN or such)"), ""
        else:
            try:
                found.append(number(cell))
                continue
            except InputError as error:
                kind, why = "cannot be read", f": {shown(cell)}: {error}"
        count, first, reason = bad.get(kind, (0, line, why))
        bad[kind] = count + 1, first, reason
    if bad:
        lines = [
            f"{table.place}: {count} of {len(cells)} cells {'are ' if kind != 'cannot be read' else ''}{kind}, first "
            f"in line {line}{why}; leave {'it' if count == 1 else 'them'} out"
            for kind, (count, line, why) in bad.items()
        ]
        raise SpreadsheetError("\n".join(lines))
    return found
