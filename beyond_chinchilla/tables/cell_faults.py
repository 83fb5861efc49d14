"""What a parser of workbooks does not tell: cells that are errors, formulas never calculated, and stray cells.

python-calamine hands over the empty text for all of them, as for an empty cell. Sheets are searched as bytes, with
patterns that read each byte once or a bounded number of times: a tree of a large sheet would not fit.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

from beyond_chinchilla.tables.packages import records

NOT_CALCULATED = "a formula that was never calculated"

# Bytes before the end of a formula within which its cell begins: a formula has 8,192 characters at most, of up to four
# bytes.
_LONGEST_FORMULA = 40_000
# A sheet with more of them is told by the first.
_MOST_FAULTS = 50_000
# Ends of formulas that belong to no cell: the sheet is none.
_MOST_MISSES = 1_000

# Every repetition is bounded: a sheet may be one endless tag.
_REFERENCE = rb"""[^>]{0,300}?\br=["']([A-Z]{1,3})(\d{1,7})["']"""
_ERROR = re.compile(rb"""<(?:\w{1,9}:)?c\b(?=[^>]{0,400}\bt=["']e["'])""" + _REFERENCE + rb"[^>]{0,300}>")
_VALUE = re.compile(rb"<(?:\w{1,9}:)?v>([^<]{1,20})")
# A formula and no value before its cell ends; `t="str"` with an empty value is a text formula that gave "".
_UNCALCULATED = re.compile(
    rb"(?:</(?:\w{1,9}:)?f>|<(?:\w{1,9}:)?f\b[^>]{0,300}/>)\s{0,9}"
    rb"(<(?:\w{1,9}:)?v\s{0,9}/>|<(?:\w{1,9}:)?v>\s{0,9}</(?:\w{1,9}:)?v>)?\s{0,9}</(?:\w{1,9}:)?c>"
)
_CELL = re.compile(rb"<(?:\w{1,9}:)?c\b" + _REFERENCE + rb"[^>]{0,300}(?<!/)>")
# Where cells with content stand: those without close themselves.
_PLACES = re.compile(rb"""r=["']([A-Z]{1,3})(\d{1,7})["'][^>/]{0,300}>""")
_FAR = re.compile(rb"""\br=["'](?:[A-Z]{1,3}\d{6,}|[A-Z]{2,3}\d)""")
_TEXT = re.compile(rb"""<(?:\w{1,9}:)?c\b[^>]{0,300}?\bt=["']s["'][^>]{0,300}>\s{0,9}<(?:\w{1,9}:)?v>(\d{1,9})<""")
_STRING = re.compile(rb"<(?:\w{1,9}:)?si>")

_ODS_TABLE = re.compile(rb"<table:table\b[^>]{0,2000}?\btable:name=\"([^\"]{0,200})\"[^>]{0,2000}>")
_ODS = re.compile(rb"<table:(table-row|table-cell|covered-table-cell)\b([^>]{0,20000})>")
_ODS_SHOWN = re.compile(rb"\s{0,9}<text:p>([^<]{1,20})")
_ROWS = re.compile(rb'number-rows-repeated="(\d{1,9})"')
_COLUMNS = re.compile(rb'number-columns-repeated="(\d{1,9})"')


@dataclass(frozen=True)
class Scan:
    """What a sheet holds besides values.

    Attributes
    ----------
    faults : dict of (int, int) to str
        ``"#REF!"`` or `NOT_CALCULATED`, by row and column from 0.
    last : tuple of int
        Row and column, from 0, of the corner of all cells with content; (-1, -1) where it cannot be large.
    """

    faults: dict[tuple[int, int], str] = field(default_factory=dict)
    last: tuple[int, int] = (-1, -1)

    @property
    def area(self) -> int:
        """Cells from the first of the sheet to the corner."""
        return (self.last[0] + 1) * (self.last[1] + 1)


def scan_xlsx(sheet: bytes) -> Scan:
    """Scan the XML of a sheet of an .xlsx or .xlsm.

    >>> scan_xlsx(b'<row r="2"><c r="B2" t="e"><f>A1</f><v>#REF!</v></c><c r="C2"><f>B2*2</f></c></row>').faults
    {(1, 1): '#REF!', (1, 2): 'a formula that was never calculated'}
    """
    faults: dict[tuple[int, int], str] = {}
    if b't="e"' in sheet or b"t='e'" in sheet:
        for match in itertools.islice(_ERROR.finditer(sheet), _MOST_FAULTS):
            end = sheet.find(b"</", match.end(), match.end() + _LONGEST_FORMULA // 4)
            end = sheet.find(b"c>", end, end + 100 + _LONGEST_FORMULA // 4)
            value = _VALUE.search(sheet, match.end(), max(end, match.end()))
            faults[_position(match[1], match[2])] = "an error" if value is None else value[1].decode("latin-1")
    if b"f>" in sheet or b"<f " in sheet or b":f " in sheet:
        misses = 0
        for match in itertools.islice(_UNCALCULATED.finditer(sheet), _MOST_FAULTS):
            start = _last_cell(sheet, match.start())
            cells = list(_CELL.finditer(sheet, start, match.start())) if start >= 0 else []
            misses += not cells
            if misses > _MOST_MISSES:
                break
            if cells and not (b't="str"' in cells[-1][0] and match[1]):
                faults.setdefault(_position(cells[-1][1], cells[-1][2]), NOT_CALCULATED)
    if _FAR.search(sheet) is None:
        return Scan(faults)
    found = _PLACES.findall(sheet)
    if not found:
        return Scan(faults)
    last_column = max(_position(letters, b"1")[1] for letters in {letters for letters, _ in found})
    return Scan(faults, (max(int(digits) for _, digits in found) - 1, last_column))


def _last_cell(sheet: bytes, end: int) -> int:
    """Return where the last cell before `end` begins, or -1."""
    for window in (400, _LONGEST_FORMULA):
        start = max(end - window, 0)
        found = max(sheet.rfind(b"<c ", start, end), sheet.rfind(b":c ", start, end) - 10)
        if found >= start:
            return found
    return -1


def _position(letters: bytes, digits: bytes) -> tuple[int, int]:
    column = 0
    for letter in letters:
        column = column * 26 + letter - 64
    return int(digits) - 1, column - 1


def expanded_text(sheet: bytes, strings: bytes) -> int:
    """Return the bytes of text that the cells of an .xlsx sheet hold once each has its own copy."""
    count = sheet.count(b't="s"') + sheet.count(b"t='s'")
    if not count:
        return 0
    lengths = [len(part) for part in _STRING.split(strings)[1:]]
    longest = max(lengths, default=0)
    if count * longest < 100_000_000:
        return count * longest
    return sum(lengths[index] for match in _TEXT.finditer(sheet) if (index := int(match[1])) < len(lengths))


def scan_ods(content: bytes) -> dict[str, Scan]:
    """Scan the content of an .ods; one scan for each sheet, by its name."""
    tables = list(_ODS_TABLE.finditer(content))
    ends = [*(match.start() for match in tables[1:]), len(content)]
    return {
        match[1].decode("utf-8", errors="replace"): _scan_table(content, match.end(), end)
        for match, end in zip(tables, ends, strict=True)
    }


def _scan_table(content: bytes, start: int, end: int) -> Scan:
    faults: dict[tuple[int, int], str] = {}
    row, height, column = -1, 1, 0
    last_row = last_column = -1
    for match in _ODS.finditer(content, start, end):
        attributes = match[2]
        if match[1] == b"table-row":
            row += height
            repeated = _ROWS.search(attributes)
            height, column = int(repeated[1]) if repeated else 1, 0
            continue
        repeated = _COLUMNS.search(attributes)
        width = int(repeated[1]) if repeated else 1
        if b"value-type=" in attributes:
            last_row, last_column = max(last_row, row + height - 1), max(last_column, column + width - 1)
            if b'calcext:value-type="error"' in attributes:
                shown = _ODS_SHOWN.match(content, match.end())
                faults[row, column] = shown[1].decode("utf-8", errors="replace") if shown else "an error"
        column += width
    return Scan(faults, (last_row, last_column))


_ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}
# Records of [MS-XLSB]: BrtRowHdr; cells with content; among them those that are errors.
_ROW, _CELLS, _ERROR_CELLS = 0, range(2, 12), (3, 11)


def scan_xlsb(sheet: bytes) -> Scan:
    """Scan the records of a sheet of an .xlsb."""
    faults: dict[tuple[int, int], str] = {}
    row, last_row, last_column = 0, -1, -1
    for kind, at, data in records(sheet):
        if kind == _ROW:
            row = _number(data, at)
        elif kind in _CELLS:
            column = _number(data, at)
            last_row, last_column = max(last_row, row), max(last_column, column)
            if kind in _ERROR_CELLS:
                faults[row, column] = _ERRORS.get(data[at + 8] if at + 8 < len(data) else -1, "an error")
    return Scan(faults, (last_row, last_column))


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
