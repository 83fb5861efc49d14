"""A published number beside ours, and a table of such rows."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from beyond_chinchilla.units import parse_number


@dataclass(frozen=True, kw_only=True)
class Row:
    """A published figure beside ours."""

    source: str
    figure: str
    printed: str
    ours: float
    note: str = ""

    @property
    def value(self) -> float:
        """Return what is printed, as a number."""
        return parse_number(self.printed.lstrip("$~"))

    @property
    def difference(self) -> float:
        """Return ours over the printed figure, less one."""
        return self.ours / self.value - 1.0

    @property
    def agrees(self) -> bool:
        """Say whether ours rounds to the printed figure."""
        return abs(self.ours - self.value) <= half_digit(self.printed) * (1 + 1e-9)

    def cells(self) -> list[str]:
        """Return the row in words."""
        verdict = "yes" if self.agrees else "no" + (f": {self.note}" if self.note else "")
        # -0.0% is 0.0%.
        difference = f"{round(self.difference, 3) + 0.0:+.1%}"
        return [self.source, self.figure, self.printed, shown_like(self.ours, self.printed), difference, verdict]


def half_digit(printed: str) -> float:
    """Return half of the last digit of a printed number.

    >>> half_digit("13.6B"), half_digit("17%")
    (50000000.0, 0.005)
    """
    decimals, unit = _parts(printed)
    return 0.5 * parse_number(f"1{unit}") * 10.0**-decimals


def shown_like(value: float, printed: str) -> str:
    """Write a number in the manner of a printed one, with a digit more, and two behind the point at least.

    >>> shown_like(6.9691e9, "7B"), shown_like(0.17453, "17%"), shown_like(314641.0, "$3.146e5")
    ('6.97B', '17.45%', '$3.1464e5')
    """
    decimals, unit = _parts(printed)
    sign = "$" if printed.startswith("$") else ""
    return f"{sign}{value / parse_number(f'1{unit}'):.{max(decimals + 1, 2)}f}{unit}"


def _parts(printed: str) -> tuple[int, str]:
    """Return the decimals of a printed number, and what stands behind them: ``B``, ``%``, ``e-3``."""
    match = re.fullmatch(r"[~$]?\d+\.?(\d*)(e-?\d+|[kMBT%]?)", printed)
    if match is None:
        raise ValueError(f"{printed!r} is not a printed number")
    return len(match[1]), match[2]


def table(rows: list[Row]) -> str:
    """Return rows as markdown, the source once."""
    cells = [row.cells() for row in rows]
    for previous, row in zip(rows[-2::-1], cells[:0:-1], strict=True):
        if previous.source == row[0]:
            row[0] = ""
    heads = ["source", "figure", "printed", "ours", "difference", "within rounding"]
    return markdown(heads, cells)


def markdown(heads: list[str], cells: list[list[str]]) -> str:
    """Return a table of markdown, words and numbers to the left."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *cells))


def print_parts(about: str | None, parts: Mapping[str, Callable[[], str]], *, left_out: Mapping[str, str]) -> None:
    """Print the parts that the command line asks for, or all; of `left_out` say why in place of it."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; all if left out")
    asked = parser.parse_args().parts
    unknown = [name for name in asked if name not in parts]
    if unknown:
        parser.error(f"{unknown[0]!r} is no part; there are {', '.join(parts)}")
    for name in asked or parts:
        if name in left_out:
            print(f"{name}: {left_out[name]}", file=sys.stderr)
        else:
            print(f"## {name}\n\n{parts[name]()}\n")
