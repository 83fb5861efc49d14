"""A file of training runs as a table: CSV, TSV, JSON lines, Parquet or a workbook."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla import files
from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable

# How many roles a row of names fills: what tells a header from a title or from numbers.
Score = Callable[[Sequence[str]], int]

# More than anybody has trained; a log of every step is thinned first.
MAX_ROWS = 5_000_000
MAX_BYTES = 500_000_000
MAX_COLUMNS = 10_000
# Titles and remarks may stand over the header.
HEADER_WITHIN = 20
DELIMITERS = (",", "\t", ";", "|")

TEXTS = (".csv", ".tsv", ".txt")
RECORDS = (".jsonl", ".ndjson", ".json")
WORKBOOKS = (".xlsx", ".xlsm", ".ods")
KINDS = (*TEXTS, *RECORDS, ".parquet", *WORKBOOKS)


@dataclass(frozen=True)
class Table:
    """A table as a file holds it.

    Attributes
    ----------
    names : tuple of str
        The header.
    column : callable
        Returns the cells of a column, by its position.
    rows : array of int
        Where each row stands in the file as its program numbers it: a header counts, records of JSON lines and
        Parquet start at 1. Blank rows are left out.
    place : str
        The file's name, and the sheet of a workbook of several.
    may_write_comma : bool
        Its numbers may be written 3,68.
    """

    names: tuple[str, ...]
    column: Callable[[int], Sequence[object]]
    rows: NDArray[np.int64]
    place: str
    may_write_comma: bool = False


def read_table(path: str | Path, score: Score, sheet: str | None = None) -> Table:
    """Read a file of any kind that is known by its extension (.gz after it where it is text).

    Raises
    ------
    InputError
        No such file, a folder, an unknown extension, or a sheet of what is no workbook.
    SpreadsheetError
        A file that is empty, too large, damaged, or not what its extension says.
    """
    path = Path(path)
    place = printable(path.name)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = next(iter(suffixes[-2:-1] if packed else suffixes[-1:]), "")
    if kind not in KINDS or (packed and kind not in TEXTS + RECORDS):
        raise InputError(f"{place}: '{kind}' is no known extension; save it as {', '.join(KINDS)} (texts also as .gz)")
    if sheet is not None and kind not in WORKBOOKS:
        raise InputError(f"{place}: only a workbook has sheets; leave out the sheet '{printable(sheet)}'")
    data = _bounded(files.read_bytes(path, MAX_BYTES, "the file of runs"), place)
    if packed:
        data = _bounded(files.unpack(data, place, MAX_BYTES), place)
    if not data.strip():
        raise SpreadsheetError(f"{place}: the file is empty; it needs a header and at least 2 runs")
    if kind == ".parquet":
        return _read_parquet(data, place)
    if kind in WORKBOOKS:
        return _read_workbook(data, place, score, sheet)
    text = files.decode(data, place, KINDS)
    return _read_records(text, place) if kind in RECORDS else _read_text(text, place, score, kind)


def _bounded(data: bytes, place: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise SpreadsheetError(
            f"{place}: larger than {MAX_BYTES / 1e6:g} MB; keep the last evaluation of each run, or save it as Parquet "
            "with the columns that are needed"
        )
    return data


def _check_rows(count: int, place: str) -> None:
    if count > MAX_ROWS:
        raise SpreadsheetError(f"{place}: more than {MAX_ROWS:,} rows; keep the last evaluation of each run")


# Texts


def _read_text(text: str, place: str, score: Score, kind: str) -> Table:
    import pandas as pd  # 0.3 s: only for who has a file

    names, delimiter, header_row, lines = _find_header(text, score, place, kind)
    _check_rows(text.count("\n") - lines, place)
    start = 0
    for _ in range(lines):
        start = text.find("\n", start) + 1 or len(text)
    if not text[start:].strip():
        # Its names may show what is wrong.
        return Table(names, lambda _: [], np.arange(0), place)
    try:
        # One column too many: a delimiter at the end of each row is harmless, another cell is not.
        with warnings.catch_warnings():
            # Of a first row that is wider still, pandas would drop the rest.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text[start:]),
                sep=delimiter,
                header=None,
                names=list(range(len(names) + 1)),
                index_col=False,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
            )
    except pd.errors.ParserWarning:
        rows = csv.reader(io.StringIO(text[start:]), delimiter=delimiter)
        row, cells = next((at, len(cells)) for at, cells in enumerate(rows, header_row + 1) if len(cells) > len(names))
        raise _too_wide(place, row, cells, len(names)) from None
    except (ValueError, OverflowError, MemoryError) as error:  # ParserError is a ValueError
        match = re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", str(error))
        if match is None:
            reason = printable(" ".join(str(error).split()))
            raise SpreadsheetError(f"{place}: cannot be read as a table: {reason}") from None
        raise _too_wide(place, int(match[1]) + lines, int(match[2]), len(names)) from None
    wide = np.flatnonzero((frame[len(names)].str.strip() != "").to_numpy(dtype=bool))
    if len(wide):
        raise _too_wide(place, header_row + 1 + int(wide[0]), len(names) + 1, len(names))
    filled = np.flatnonzero((frame != "").any(axis=1).to_numpy(dtype=bool))
    frame = frame.iloc[filled]
    return Table(
        names=names,
        column=lambda i: frame[i].tolist(),
        rows=header_row + 1 + filled,
        place=place,
        may_write_comma=delimiter == ";",
    )


def _too_wide(place: str, row: int, cells: int, columns: int) -> SpreadsheetError:
    return SpreadsheetError(
        f"{place}: row {row} has {cells} cells under {columns} column names; quote cells that hold the delimiter"
    )


def _find_header(text: str, score: Score, place: str, kind: str) -> tuple[tuple[str, ...], str, int, int]:
    """Return the names, the delimiter, the header's row (from 1) and the lines up to its end."""
    best: tuple[tuple[int, int, int, bool], tuple[str, ...], str, int, int] | None = None
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text[:1_000_000]), delimiter=delimiter)
        first = True
        for row in range(1, HEADER_WITHIN + 1):
            try:
                names = tuple(next(reader))
            except (StopIteration, csv.Error):
                break
            if not any(name.strip() for name in names) or len(names) > MAX_COLUMNS:
                continue
            found = score(names)
            # Without a known name the first row that is not blank counts as the header, and is shown to the user.
            if first or found:
                fits = (found, -row, len(names), (delimiter == "\t") == (kind == ".tsv"))
                if best is None or fits > best[0]:
                    best = fits, names, delimiter, row, reader.line_num
            first = False
    if best is None:
        raise SpreadsheetError(f"{place}: no row of column names in the first {HEADER_WITHIN} rows")
    return best[1:]


def _read_records(text: str, place: str) -> Table:
    _check_rows(text.count("\n"), place)
    rows: list[int] = []
    records: list[dict[str, object]] = []
    entire = text.lstrip().startswith("[")
    for row, line in enumerate([text] if entire else text.split("\n"), start=1):
        if not line.strip():
            continue
        where = place if entire else f"{place}:{row}"
        try:
            loaded = json.loads(line)
        except (ValueError, RecursionError):  # JSONDecodeError, or an integer of too many digits
            raise SpreadsheetError(f"{where}: no JSON; each line is one object like {_OBJECT}") from None
        for number, record in enumerate(loaded if entire else [loaded], start=1 if entire else row):
            if not isinstance(record, dict):
                raise SpreadsheetError(f"{where}: record {number} is no object; write it like {_OBJECT}")
            rows.append(number)
            records.append(record)
    _check_rows(len(records), place)
    if not records:
        raise SpreadsheetError(f"{place}: holds no records; it needs at least 2 runs")
    names = tuple(dict.fromkeys(name for record in records for name in record))
    return Table(
        names=names,
        column=lambda i: [record.get(names[i]) for record in records],
        rows=np.array(rows, dtype=np.int64),
        place=place,
    )


_OBJECT = '{"params": 1e9, "tokens": 2e10, "loss": 2.58}'


# Binary kinds


def _read_parquet(data: bytes, place: str) -> Table:
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    broken = SpreadsheetError(f"{place}: no Parquet file, or a damaged one; write it again, or save it as .csv")
    if not data.startswith(b"PAR1"):
        raise broken
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        names = tuple(str(name) for name in file.schema_arrow.names)
        count = int(file.metadata.num_rows)
        _check_rows(count, place)
        files.check_parquet(data, place, MAX_BYTES)
    except SpreadsheetError:
        raise
    except Exception:  # whatever a damaged footer makes of it
        raise broken from None

    def column(i: int) -> Sequence[object]:
        try:
            cells: list[object] = file.read(columns=[names[i]]).column(0).to_pylist()
        except Exception:
            raise broken from None
        if len(cells) != count:
            raise broken
        return cells

    return Table(names=names, column=column, rows=np.arange(1, count + 1), place=place)


def _read_workbook(data: bytes, place: str, score: Score, sheet: str | None) -> Table:
    import pandas as pd

    files.check_workbook(data, place, 4 * MAX_BYTES)
    try:
        sheets = pd.read_excel(io.BytesIO(data), sheet_name=None, header=None, engine="calamine", na_filter=False)
    except ImportError:
        raise
    except Exception:  # whatever a damaged part makes of it
        raise files.damaged_workbook(place) from None
    filled = {str(name): frame for name, frame in sheets.items() if frame.size}
    if sheet is not None:
        if sheet not in filled:
            hint = printable(nearest(sheet, filled)) if filled else "the workbook is empty"
            raise InputError(f"{place}: no sheet '{printable(sheet)}' with cells; {hint}")
        filled = {sheet: filled[sheet]}
    tables = {}
    for name, frame in filled.items():
        rows: list[list[object]] = frame.to_numpy(dtype=object).tolist()
        tables[name] = _sheet(rows, place if len(sheets) == 1 else f"{place}, sheet '{printable(name)}'", score)
    if not tables:
        raise SpreadsheetError(f"{place}: the workbook is empty; it needs a header and at least 2 runs")
    scores = {name: score(table.names) for name, table in tables.items()}
    most = max(scores.values())
    best = [name for name in tables if scores[name] == most]
    if len(best) > 1 and most >= 3:
        both = " and ".join(f"'{printable(name)}'" for name in best[:2])
        raise SpreadsheetError(f"{place}: the sheets {both} could both hold the runs; say which with --sheet NAME")
    return tables[best[0]]


def _sheet(rows: list[list[object]], place: str, score: Score) -> Table:
    def texts(row: Sequence[object]) -> tuple[str, ...]:
        return tuple("" if cell is None else str(cell) for cell in row)

    written = [i for i, row in enumerate(rows) if any(cell not in ("", None) for cell in row)]
    # `max` keeps the first of equals.
    header = max(written[:HEADER_WITHIN], key=lambda i: score(texts(rows[i])), default=0)
    body = [i for i in written if i > header]
    _check_rows(len(body), place)
    return Table(
        names=texts(rows[header]),
        column=lambda i: [rows[row][i] for row in body],
        rows=np.array(body, dtype=np.int64) + 1,
        place=place,
    )
