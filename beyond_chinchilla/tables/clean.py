"""Cells as people write them, to numbers and months.

Numbers may carry thousands separators, currency signs, percent signs, parentheses for negatives, and suffixes (1.2M,
40 million). Which of comma and point is the decimal mark is decided once for a column (`DecimalMark`): ``1.234`` alone
may mean either, and is never guessed.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from beyond_chinchilla.costs.months import MAX_MONTHS, month_label
from beyond_chinchilla.errors import SpreadsheetError, printable

POINT, COMMA = ".", ","

_SCALES = {
    **dict.fromkeys(("k", "thousand", "thousands", "tsd", "000", "000s"), 1e3),
    **dict.fromkeys(("m", "mm", "mn", "mio", "mil", "million", "millions"), 1e6),
    **dict.fromkeys(("b", "bn", "mrd", "billion", "billions"), 1e9),
    **dict.fromkeys(("t", "tn", "trillion", "trillions"), 1e12),
}
CURRENCIES = {"$": "USD", "us$": "USD", "usd": "USD", "€": "EUR", "eur": "EUR", "£": "GBP", "gbp": "GBP"}
_SIGN = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
_NUMBER = re.compile(
    rf"(?P<minus>[-+(]?)\s*(?P<before>{_SIGN})?\s*(?P<inner>[-+]?)(?P<digits>\d[\d.,' _]*|[.,]\d+)"
    rf"(?P<exponent>e[-+]?\d+)?\s*(?P<percent>%)?\s*(?P<scale>(?!(?:usd|eur|gbp)\b)[a-z]+)?\s*(?P<after>{_SIGN})?\s*(?P<close>[-)]?)",
    re.IGNORECASE,
)
_SPACES = re.compile(r"[\s\u00a0\u202f\u2009]+")
_LONGEST = 60


@dataclass(frozen=True)
class Amount:
    """A number with what stood beside it: its currency (``""`` where none), and whether it had a percent sign."""

    value: float
    currency: str = ""
    percent: bool = False


def scale_of(word: str) -> float | None:
    """Return what a word multiplies by, or None: ``"M"``, ``"millions"``, ``"bn"``.

    >>> scale_of("Millions"), scale_of("words")
    (1000000.0, None)
    """
    return _SCALES.get(word.casefold().strip("' ."))


def decimal_mark(texts: Iterable[str]) -> str | None:
    """Return the decimal mark that the numbers of a column prove, or None where they prove none.

    A mark that stands twice in a number, or left of the other one, groups thousands; a mark that does not have exactly
    three digits behind it is a decimal mark.

    Raises
    ------
    SpreadsheetError
        One number proves the point, another the comma.

    >>> decimal_mark(["1.234,5", "12"]), decimal_mark(["1,234,567"]), decimal_mark(["1.234"])
    (',', '.', None)
    """
    proofs: dict[str, str] = {}
    for text in texts:
        mark = _proof(text)
        if mark is not None:
            proofs.setdefault(mark, text)
    if len(proofs) == 2:
        raise SpreadsheetError(
            f"'{proofs[POINT][:_LONGEST]}' has a decimal point and '{proofs[COMMA][:_LONGEST]}' a decimal comma; write "
            "the numbers of a column alike"
        )
    return next(iter(proofs), None)


@functools.lru_cache(maxsize=65536)
def _proof(text: str) -> str | None:
    match = _NUMBER.fullmatch(_trimmed(text))
    if match is None:
        return None
    digits = match["digits"].rstrip(" ")
    marks = [letter for letter in digits if letter in ".,"]
    if not marks:
        return None
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:
        return COMMA if marks[0] == POINT else POINT
    whole, _, part = digits.partition(marks[0])
    grouped = len(part) == 3 and 1 <= len(whole) <= 3 and whole != "0"
    return None if grouped else marks[0]


def is_ambiguous(text: str) -> bool:
    """Whether a number reads differently with a decimal point and with a decimal comma: ``1.234``, ``1,234``."""
    match = _NUMBER.fullmatch(_trimmed(text))
    return match is not None and any(mark in match["digits"] for mark in ".,") and _proof(text) is None


def _trimmed(text: str) -> str:
    return _SPACES.sub(" ", text.replace("−", "-").strip())


@functools.lru_cache(maxsize=65536)
def read_amount(text: str, mark: str = POINT) -> Amount | None:
    """Return the number that a text states, or None where it states none.

    Parameters
    ----------
    text : str
        ``"1,200"``, ``"(1,200)"``, ``"$2.10"``, ``"35%"``, ``"1.2M"``, ``"40 million"``, ``"1e9"``.
    mark : str
        The decimal mark.

    >>> read_amount("(1.200,5)", ","), read_amount("$1.2M"), read_amount("35%"), read_amount("n/a")
    (Amount(value=-1200.5, currency='', percent=False), Amount(value=1200000.0, currency='USD', percent=False), \
Amount(value=0.35, currency='', percent=True), None)
    """
    trimmed = _trimmed(text)
    match = _NUMBER.fullmatch(trimmed) if len(trimmed) <= _LONGEST else None
    if match is None or (match["minus"] == "(") != (match["close"] == ")") or (match["before"] and match["after"]):
        return None
    group = COMMA if mark == POINT else POINT
    digits = match["digits"].rstrip(" ")
    whole, _, part = digits.partition(mark)
    groups = re.split(rf"[{re.escape(group)}' _]", whole)
    if part and not part.isdigit():
        return None
    if len(groups) > 1 and not (1 <= len(groups[0]) <= 3 and all(len(each) == 3 for each in groups[1:])):
        return None
    word = match["scale"]
    scale = 1.0 if word is None else _SCALES.get(word.casefold())
    if scale is None or not all(each.isdigit() or not each for each in groups):
        return None
    value = float(f"{''.join(groups) or '0'}.{part or '0'}{match['exponent'] or ''}") * scale
    if match["percent"]:
        value /= 100.0
    if not math.isfinite(value):
        return None
    signs = (match["minus"] in ("-", "(")) + (match["inner"] == "-") + (match["close"] == "-")
    sign = (match["before"] or match["after"] or "").casefold()
    return Amount(-value if signs % 2 else value, CURRENCIES.get(sign, ""), bool(match["percent"]))


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, and not a truth value."""
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def is_numeric(cell: Any) -> bool:
    """Whether a cell is a number or a text that states one, under either mark."""
    if isinstance(cell, str):
        return read_amount(cell, POINT) is not None or read_amount(cell, COMMA) is not None
    return is_number(cell)


# Months

_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
    *("november", "december", "sept"),
)
_NAME = r"(?P<name>[a-z]{3,9})\.?"
_YEAR = r"'?(?P<year>\d{4}|\d{2})"
_NAMED = (
    re.compile(rf"{_NAME}[\s\-/.,']*{_YEAR}", re.IGNORECASE),
    re.compile(rf"(?P<year>\d{{4}})[\s\-/.]*{_NAME}", re.IGNORECASE),
    re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s\-/.]*{_NAME}[\s\-/.,]*{_YEAR}", re.IGNORECASE),
    re.compile(rf"{_NAME}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})", re.IGNORECASE),
)
_ISO = re.compile(
    r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})(?:[-/.](?P<day>\d{1,2})(?:[T\s]+\d{1,2}:\d{2}.{0,20})?)?|"
    r"(?P<packed>(?:19|20|21)\d{2})[mM]?(?P<packed_month>0[1-9]|1[0-2])"
)
_MONTH_FIRST = re.compile(r"(?P<month>\d{1,2})[-/.](?P<year>\d{4})")
_DAY_OR_MONTH = re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<year>\d{4})(?:\s+\d{1,2}:\d{2}.{0,20})?")
_COUNTED = re.compile(r"(?:month|m|mo)?\s*#?\s*(\d{1,3})", re.IGNORECASE)
_LONGER = re.compile(r"(?:q[1-4]|h[12]|[1-4]q|fy|cy)[\s\-/']*(?:\d{2}|\d{4})?|(?:\d{4}|fy\s*\d{2,4})[\s\-/]*[qh][1-4]|"
                     r"(?:fy|cy)?\s*'?(?:19|20)\d{2}(?:[/-]\d{2,4})?", re.IGNORECASE)  # fmt: skip
_FIRST_YEAR, _LAST_YEAR = 1990, 2150
# Days of a spreadsheet's calendar, from 2000 to 2100: a date without its format.
_EPOCH = datetime.date(1899, 12, 30)
_FIRST_SERIAL, _LAST_SERIAL = 36526, 73051


@dataclass(frozen=True, order=True)
class When:
    """A month as a cell states it: from the year 0, or from launch; the day where it states one, else 0."""

    number: int
    day: int = 0
    counted: bool = False

    def __str__(self) -> str:
        return str(self.number) if self.counted else month_label(self.number)


def read_month(cell: Any, day_first: bool | None = None) -> When | None:
    """Return the month of a cell, or None where it states none.

    Parameters
    ----------
    cell : object
        A date, a spreadsheet's serial number of a day, 1 to 600 counted from launch, or a text: ``Jan 2027``,
        ``2027-01``, ``01/2027``, ``1 January 2027``, ``month 3``.
    day_first : bool, optional
        How ``01/02/2027`` reads; None: not at all.

    >>> str(read_month("Jan-27")), str(read_month(46388.0)), str(read_month("month 3")), read_month("Q1 2027")
    ('2027-01', '2027-01', '3', None)
    """
    if isinstance(cell, (datetime.date, datetime.datetime)):
        return When(cell.year * 12 + cell.month - 1, cell.day)
    if isinstance(cell, bool):
        return None
    if isinstance(cell, (int, float)):
        if not math.isfinite(cell):
            return None
        if cell == int(cell) and 1 <= cell <= MAX_MONTHS:
            return When(int(cell), counted=True)
        if _FIRST_SERIAL <= cell < _LAST_SERIAL:
            return read_month(_EPOCH + datetime.timedelta(days=int(cell)))
        return _read_text(str(int(cell)), None) if cell == int(cell) and 199001 <= cell <= 215012 else None
    return _read_text(cell, day_first) if isinstance(cell, str) else None


@functools.lru_cache(maxsize=65536)
def _read_text(cell: str, day_first: bool | None) -> When | None:
    text = _trimmed(cell)
    if not text or len(text) > 40:
        return None
    if match := _ISO.fullmatch(text):
        if match["packed"]:
            return _checked(int(match["packed"]), int(match["packed_month"]), 0)
        return _checked(int(match["year"]), int(match["month"]), int(match["day"] or 0))
    if match := _MONTH_FIRST.fullmatch(text):
        return _checked(int(match["year"]), int(match["month"]), 0)
    if match := _COUNTED.fullmatch(text):
        number = int(match[1])
        return When(number, counted=True) if 1 <= number <= MAX_MONTHS else None
    if match := _DAY_OR_MONTH.fullmatch(text):
        first, second, year = int(match["a"]), int(match["b"]), int(match["year"])
        if day_first is None and first <= 12 and second <= 12 and first != second:
            return None
        is_day = first > 12 or (day_first is True and second <= 12)
        return _checked(year, second if is_day else first, first if is_day else second)
    for pattern in _NAMED:
        match = pattern.fullmatch(text)
        month = None if match is None else _named_month(match["name"])
        if match is not None and month is not None:
            year = int(match["year"])
            return _checked(year + 2000 if year < 100 else year, month, int(match.groupdict().get("day") or 0))
    return None


def _named_month(name: str) -> int | None:
    folded = name.casefold()
    if folded in _NAMES or folded in _FULL:
        return _NAMES.index(folded[:3]) + 1
    return None


def _checked(year: int, month: int, day: int) -> When | None:
    if not (_FIRST_YEAR <= year <= _LAST_YEAR and 1 <= month <= 12 and 0 <= day <= 31):
        return None
    return When(year * 12 + month - 1, day)


def is_longer(cell: Any) -> bool:
    """Whether a cell names a quarter, a half or a year.

    >>> is_longer("Q1 2027"), is_longer(2027), is_longer("FY27"), is_longer("Jan 2027")
    (True, True, True, False)
    """
    if isinstance(cell, str):
        return len(cell) <= 20 and _LONGER.fullmatch(_trimmed(cell)) is not None
    return is_number(cell) and float(cell).is_integer() and _FIRST_YEAR <= cell <= _LAST_YEAR


def day_comes_first(cells: Sequence[Any]) -> bool | None:
    """Return how the dates ``01/02/2027`` of a column read, or None where they do not tell.

    A part above 12 is a day; so is the part that is 1 in every row, where the other is not: months begin on day 1.

    >>> day_comes_first(["01/02/2027", "13/02/2027"]), day_comes_first(["01/01/2027", "02/01/2027"])
    (True, False)
    >>> day_comes_first(["03/04/2027"]) is None
    True
    """
    parts = {
        (int(match["a"]), int(match["b"]))
        for cell in cells
        if isinstance(cell, str) and (match := _DAY_OR_MONTH.fullmatch(_trimmed(cell)))
    }
    if any(first > 12 for first, _ in parts):
        return True
    if any(second > 12 for _, second in parts):
        return False
    firsts, seconds = {first for first, _ in parts}, {second for _, second in parts}
    if firsts == {1} and seconds != {1}:
        return True
    return False if seconds == {1} and firsts != {1} else None


def text_of(cell: Any) -> str:
    """Return a cell as a spreadsheet shows it: whole numbers without a point."""
    return f"{cell:.12g}" if isinstance(cell, float) else str(cell).strip()


def shown(cell: Any) -> str:
    """Return a cell as a message quotes it.

    >>> shown(2027.0), shown("many")
    ("'2027'", "'many'")
    """
    text = printable(text_of(cell))
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"
