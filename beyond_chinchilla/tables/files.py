"""A file as cells: CSV, TSV, JSON lines, Parquet or a workbook, of any encoding, packed or not.

`read_frame` is for files whose columns are known by name (price lists, traces, billing exports); `read_sheets` hands
over cells as they stand, for tables of people whose header may stand anywhere. Nothing in a file is trusted: sizes
are bounded before memory is, and every message shows names through `errors.printable`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_chinchilla import files as disk
from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable

MAX_BYTES = 500_000_000
MAX_ROWS = 5_000_000
MAX_COLUMNS = 10_000
HEADER_WITHIN = 20  # titles and remarks may stand over it
DELIMITERS = (",", "\t", ";", "|")

TEXTS = (".csv", ".tsv", ".txt")
RECORDS = (".jsonl", ".ndjson", ".json")
WORKBOOKS = (".xlsx", ".xlsm", ".ods")
KINDS = (*TEXTS, *RECORDS, ".parquet", *WORKBOOKS)
_FIRST_PART = 1_000_000

# How many of the names that are looked for a row holds: what tells a header from a title.
Score = Callable[[Sequence[str]], int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A table with named columns.

    Attributes
    ----------
    place : str
        The file's name, and the sheet of a workbook of several: what messages start with.
    frame : DataFrame
        Columns by name, a row for every row that is not blank. Cells of texts are text, "" where empty.
    lines : array of int, shape (rows,)
        Where each row starts, as an editor or a spreadsheet numbers it; records of Parquet and JSON lists from 1.
    """

    place: str
    frame: pd.DataFrame = field(repr=False)
    lines: NDArray[np.int64] = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """Cells as they stand, the header among them: row i of `cells` is row i + 1 of the file.

    Attributes
    ----------
    place : str
        What messages start with.
    name : str
        Of the sheet; "" where the file has no sheets.
    cells : DataFrame
        Text from text files, values from the others; rows of JSON lines and Parquet follow a row of their names.
    """

    place: str
    name: str
    cells: pd.DataFrame = field(repr=False)


def read_frame(path: str | Path, score: Score, sheet: str | None = None) -> Frame:
    """Read a table whose columns are known by name.

    Parameters
    ----------
    path : path
        The extension says what the file is; texts and JSON lines may end in .gz.
    score : callable
        Returns how many of the wanted names a row holds. The best of the first 20 rows is the header, the best sheet
        of a workbook the table; the first row, where none holds any.
    sheet : str, optional
        Of a workbook of several.

    Raises
    ------
    InputError
        No such file, a folder, an unknown extension, or a sheet that is not there.
    SpreadsheetError
        A file that is empty, too large, damaged, or not what its extension says; a column name that stands twice.
    """
    data, kind, place = _load(Path(path), sheet)
    if kind in TEXTS:
        return _split_text(disk.decode(data, place, KINDS), place, score)
    if kind in RECORDS:
        return _parse_records(disk.decode(data, place, KINDS), place)
    if kind == ".parquet":
        frame = _parse_parquet(data, place)
        return _named(frame, list(frame.columns), np.arange(1, len(frame) + 1), place)
    tables = [_cut_header(each, score) for each in _parse_workbook(data, place, sheet)]
    return max(tables, key=lambda table: score(list(table.frame.columns)))


def read_sheets(path: str | Path, sheet: str | None = None) -> tuple[Sheet, ...]:
    """Read cells as they stand: one sheet, or all that have cells of a workbook; errors as `read_frame`."""
    data, kind, place = _load(Path(path), sheet)
    if kind in WORKBOOKS:
        return tuple(_parse_workbook(data, place, sheet))
    if kind in TEXTS:
        text = disk.decode(data, place, KINDS)
        delimiter = _guess_delimiter(text)
        # People's rows differ in width; a quoted delimiter only makes a column too many, which is cut off again.
        widest = 1 + max(line.count(delimiter) for line in text.split("\n"))
        width = min(max(widest, *(len(row) for row in _first_rows(text, delimiter)), 1), MAX_COLUMNS)
        cells = _parse_text(text, delimiter, width, place)
        used = np.flatnonzero((cells != "").any(axis=0).to_numpy(dtype=bool))
        cells = cells.iloc[:, : int(used[-1]) + 1 if len(used) else 1]
    else:
        records = kind in RECORDS
        frame = _parse_records(disk.decode(data, place, KINDS), place).frame if records else _parse_parquet(data, place)
        cells = pd.DataFrame([list(frame.columns), *frame.astype(object).to_numpy().tolist()])
    return (Sheet(place=place, name="", cells=cells),)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # A name too long for any file, say; whoever opens it is told.
        return False


def _load(path: Path, sheet: str | None) -> tuple[bytes, str, str]:
    """Return the unpacked bytes of a file, its kind and how messages name it."""
    place = printable(path.name)
    if _is_folder(path):
        raise InputError(f"{place}: a folder, not a file; name one in it")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = next(iter(suffixes[-2:-1] if packed else suffixes[-1:]), "")
    if kind not in KINDS or (packed and kind not in TEXTS + RECORDS):
        known = ", ".join(KINDS)
        raise InputError(f"{place}: '{printable(kind)}' is no known extension; save it as {known} (texts also as .gz)")
    if sheet is not None and kind not in WORKBOOKS:
        raise InputError(f"{place}: only a workbook has sheets; leave out the sheet '{printable(sheet)}'")
    data = _bounded(disk.read_bytes(path, MAX_BYTES), place)
    if packed and data:
        data = _bounded(disk.unpack(data, place, MAX_BYTES), place)
    if not data.strip():
        raise SpreadsheetError(f"{place}: the file is empty; it needs a header and at least one row")
    return data, kind, place


def _bounded(data: bytes, place: str) -> bytes:
    if len(data) > MAX_BYTES:
        size = f"{MAX_BYTES / 1e6:g} MB"
        raise SpreadsheetError(f"{place}: larger than {size}; keep what is needed of it, or save it as Parquet")
    return data


def _check_rows(count: int, place: str) -> None:
    if count > MAX_ROWS:
        raise SpreadsheetError(f"{place}: more than {MAX_ROWS:,} rows; keep those that are needed")


# Texts


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text[:_FIRST_PART]), delimiter=delimiter)
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # a cell longer than any header's
        rows.extend(itertools.islice(reader, HEADER_WITHIN))
    return [row if len(row) <= MAX_COLUMNS else [] for row in rows]


def _guess_delimiter(text: str) -> str:
    """Return the delimiter that cuts the first rows into most cells; the comma, if none cuts any."""
    return max(DELIMITERS, key=lambda delimiter: sum(len(row) for row in _first_rows(text, delimiter)))


def _split_text(text: str, place: str, score: Score) -> Frame:
    best: tuple[tuple[int, int, int], list[str], str, int] | None = None
    for delimiter in DELIMITERS:
        for index, row in enumerate(_first_rows(text, delimiter)):
            names = [name.strip() for name in row]
            rank = (score(names), len(names), -index)
            if any(names) and (best is None or rank > best[0]):
                best = rank, names, delimiter, index
    if best is None:
        raise SpreadsheetError(f"{place}: no row of column names in the first {HEADER_WITHIN} rows")
    _, names, delimiter, header = best
    frame = _parse_text(text, delimiter, len(names) + 1, place)
    # One cell more than names: a delimiter at the end of each row is harmless, anything else is not.
    beyond = np.flatnonzero((frame.iloc[header:, -1].str.strip() != "").to_numpy(dtype=bool))
    lines = _line_numbers(frame, text)
    if len(beyond):
        line = int(lines[header + beyond[0]])
        raise SpreadsheetError(
            f"{place}:{line}: more cells than the {len(names)} column names; quote cells that hold the delimiter"
        )
    return _named(frame.iloc[header + 1 :, :-1], names, lines[header + 1 :], place)


def _parse_text(text: str, delimiter: str, width: int, place: str) -> pd.DataFrame:
    _check_rows(text.count("\n"), place)
    try:
        with warnings.catch_warnings():
            # A first row of too many cells is told of by whoever asked, with its line.
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            return pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                header=None,
                names=range(width),
                index_col=False,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
            ).fillna("")
    except (ValueError, OverflowError, MemoryError) as error:  # ParserError is a ValueError
        match = re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", str(error))
        reason = printable(" ".join(str(error).split()))[:200]
        if match is not None:
            reason = f"row {match[1]} has {match[2]} cells; quote cells that hold the delimiter"
        raise SpreadsheetError(f"{place}: cannot be read as a table: {reason}") from None


def _line_numbers(frame: pd.DataFrame, text: str) -> NDArray[np.int64]:
    """Return the line at which each row starts: quoted cells may hold line breaks."""
    lines = np.arange(1, len(frame) + 1, dtype=np.int64)
    if text.count("\n") + (not text.endswith("\n")) > len(frame):
        breaks = np.zeros(len(frame), dtype=np.int64)
        for name in frame.columns:
            breaks += frame[name].str.count("\n").to_numpy(dtype=np.int64)
        lines[1:] += np.cumsum(breaks)[:-1]
    return lines


def _named(frame: pd.DataFrame, names: Sequence[object], lines: NDArray[np.int64], place: str) -> Frame:
    """Give columns their names and leave out blank rows and columns without a name."""
    texts = ["" if name is None else str(name).strip() for name in names]
    twice = [name for name, count in Counter(texts).items() if name and count > 1]
    if twice:
        raise SpreadsheetError(f"{place}: two columns are called '{printable(twice[0][:60])}'; rename one of them")
    kept = [index for index, name in enumerate(texts) if name]
    named = frame.iloc[:, kept]
    named.columns = pd.Index([texts[index] for index in kept], dtype=object)
    filled = np.zeros(len(named), dtype=bool)
    for name in named.columns:
        cells = named[name]
        filled |= (cells.notna() & (cells.astype(str).str.strip() != "")).to_numpy(dtype=bool)
        if filled.all():
            break
    return Frame(place=place, frame=named[filled].reset_index(drop=True), lines=lines[filled])


# JSON


def _parse_records(text: str, place: str) -> Frame:
    _check_rows(text.count("\n"), place)
    found, lines = _load_records(text, place)
    records = [record for record in found if isinstance(record, dict)]
    if len(records) < len(found):
        line = next(line for record, line in zip(found, lines, strict=True) if not isinstance(record, dict))
        raise SpreadsheetError(f"{place}:{line}: no object; each record is one, such as {_OBJECT}")
    if not records:
        raise SpreadsheetError(f"{place}: holds no records; each is one object, such as {_OBJECT}")
    frame = pd.DataFrame.from_records(records).astype(object)
    return _named(frame.where(frame.notna(), None), list(frame.columns), np.array(lines, dtype=np.int64), place)


def _load_records(text: str, place: str) -> tuple[list[object], list[int]]:
    """Return the records and where they stand: of JSON lines, a list, or the longest list of an object."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        if isinstance(whole, dict):
            whole = max((value for value in whole.values() if isinstance(value, list)), key=len, default=[whole])
        records = whole if isinstance(whole, list) else [whole]
        return records, list(range(1, len(records) + 1))
    found: list[object] = []
    lines: list[int] = []
    for line, part in enumerate(text.split("\n"), start=1):
        if part.strip():
            try:
                found.append(json.loads(part))
            except (ValueError, RecursionError):  # JSONDecodeError, or an integer of too many digits
                raise SpreadsheetError(f"{place}:{line}: no JSON; each line is one object, such as {_OBJECT}") from None
            lines.append(line)
    return found, lines


_OBJECT = '{"month": "2027-01", "price": 2.5}'


# Binary kinds


def _parse_parquet(data: bytes, place: str) -> pd.DataFrame:
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    broken = SpreadsheetError(f"{place}: no Parquet file, or a damaged one; write it again, or save it as .csv")
    if not data.startswith(b"PAR1"):
        raise broken
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        count = int(file.metadata.num_rows)
    except Exception:  # whatever a damaged footer makes of it
        raise broken from None
    _check_rows(count, place)
    try:
        disk.check_parquet(data, place, MAX_BYTES)
        table = file.read()
        # Text that is none is told by whoever reads a cell of it, far from here.
        table.validate(full=True)
        frame: pd.DataFrame = table.to_pandas()
    except SpreadsheetError:
        raise
    except Exception:
        raise broken from None
    if len(frame) != count:
        raise broken
    return frame


def _parse_workbook(data: bytes, place: str, sheet: str | None) -> list[Sheet]:
    disk.check_workbook(data, place, 4 * MAX_BYTES)
    try:
        frames = pd.read_excel(io.BytesIO(data), sheet_name=None, header=None, engine="calamine", na_filter=False)
    except ImportError:
        raise
    except Exception:  # whatever a damaged part makes of it
        raise disk.damaged_workbook(place) from None
    filled = {str(name): frame for name, frame in frames.items() if frame.size}
    if not filled:
        raise SpreadsheetError(f"{place}: the workbook is empty; it needs a header and at least one row")
    if sheet is not None:
        if sheet not in filled:
            raise InputError(f"{place}: no sheet '{printable(sheet)}' with cells; {printable(nearest(sheet, filled))}")
        filled = {sheet: filled[sheet]}
    several = len(frames) > 1
    return [
        Sheet(place=f"{place}, sheet '{printable(name)}'" if several else place, name=name, cells=frame.astype(object))
        for name, frame in filled.items()
    ]


def _cut_header(sheet: Sheet, score: Score) -> Frame:
    rows = sheet.cells.head(HEADER_WITHIN).to_numpy(dtype=object).tolist()
    names = [["" if cell is None else str(cell).strip() for cell in row] for row in rows]
    # `max` keeps the first of equals.
    header = max((i for i, row in enumerate(names) if any(row)), key=lambda i: score(names[i]), default=0)
    lines = np.arange(header + 2, len(sheet.cells) + 1, dtype=np.int64)
    return _named(sheet.cells.iloc[header + 1 :], names[header], lines, sheet.place)
