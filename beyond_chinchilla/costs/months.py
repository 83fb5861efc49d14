"""Calendar months as they are written, ``2027-01``, and the months between them."""

from __future__ import annotations

import re

from beyond_chinchilla.errors import InputError, printable

# Fifty years: what goes beyond is a typing mistake.
MAX_MONTHS = 600

_MONTH = re.compile(r"(?!0000)(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_END = 10_000 * 12


def months_from(start: str, count: int) -> tuple[str, ...]:
    """Return the labels of `count` calendar months from `start` on.

    Raises
    ------
    InputError
        `start` is no month, or the last one is beyond the year 9999.

    >>> months_from("2027-11", 3)
    ('2027-11', '2027-12', '2028-01')
    """
    first = month_number(start)
    if first + count > _END:
        raise InputError(f"{count} months from {start} end after the year 9999; give an earlier month")
    return tuple(month_label(first + elapsed) for elapsed in range(count))


def months_between(first: str, second: str) -> int:
    """Return how many months `second` is after `first`; negative where it is before.

    >>> months_between("2027-11", "2028-01"), months_between("2027-11", "2027-10")
    (2, -1)
    """
    return month_number(second) - month_number(first)


def month_number(label: str) -> int:
    """Return the months from the start of the year 0 to a month.

    Raises
    ------
    InputError
        Not a month, from 0001-01 to 9999-12.
    """
    match = _MONTH.fullmatch(label)
    if match is None:
        raise InputError(f"'{printable(label[:40])}' is not a month; write it like 2027-01")
    return int(match[1]) * 12 + int(match[2]) - 1


def month_label(number: int) -> str:
    """Return the month of a `month_number`."""
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def check_life(months: int) -> None:
    """Refuse a number of months that no model lives.

    Raises
    ------
    InputError
        Not a whole number from 1 to 600.
    """
    if isinstance(months, bool) or not isinstance(months, int) or not 1 <= months <= MAX_MONTHS:
        raise InputError(f"forecast: {months} months; the life of a model is a whole number from 1 to {MAX_MONTHS}")
