"""Files of traces: their columns found, their rows read in parts, and what cannot be used set aside."""

from __future__ import annotations

import csv
import gzip
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError, SpreadsheetError, printable

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The longest published trace, a week of conversations, has 27 million rows.
MAX_ROWS = 100_000_000
# No context holds as many tokens.
MAX_TOKENS = 1e9
# Read in parts, so that a trace takes the memory of its numbers and not of its text.
ROWS_AT_ONCE = 1_000_000
_DELIMITERS = (",", ";", "\t")
_LONGEST_HEADER = 100_000
# Cells beyond the last column are read that far, to set their rows aside; a row of more ends the reading.
_SPARE = 4


@dataclass(frozen=True)
class _Format:
    """Which columns a publisher's traces have: time, input tokens, output tokens."""

    name: str
    columns: tuple[str, str, str]
    # Whether an answer without a token is a request that failed.
    silence_is_failure: bool

    def __str__(self) -> str:
        return f"{', '.join(self.columns)} ({self.name})"


_FORMATS = (
    _Format("Azure", ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), silence_is_failure=False),
    _Format("BurstGPT", ("Timestamp", "Request tokens", "Response tokens"), silence_is_failure=True),
)


@dataclass(frozen=True)
class SetAside:
    """Rows of a trace that were not used, for one reason.

    Attributes
    ----------
    reason : str
        ``"ContextTokens is negative"``.
    rows : int
        How many.
    first_line : int
        Line of the first of them in the file; the header is line 1.
    """

    reason: str
    rows: int
    first_line: int

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{rows} set aside: {self.reason} (first in line {self.first_line:,})"


@dataclass(frozen=True, eq=False)
class TraceRows:
    """The rows of a trace that can be used.

    Attributes
    ----------
    format : str
        Whose columns they are: ``"Azure"`` or ``"BurstGPT"``.
    times : array, shape (R,)
        [s] since 1970 where the file has dates, else as the file has them.
    input_tokens, output_tokens : array, shape (R,)
        Of each request [tokens].
    set_aside : tuple of SetAside
        Rows that were not used, and why.
    unused_columns : tuple of str
        Columns that were not looked at.
    """

    format: str
    times: Array
    input_tokens: Array
    output_tokens: Array
    set_aside: tuple[SetAside, ...]
    unused_columns: tuple[str, ...]


def read_trace_rows(path: Path) -> TraceRows:
    """Read the rows of a CSV file, packed with gzip or not.

    Raises
    ------
    InputError
        No such file, or a folder.
    SpreadsheetError
        Columns that are missing, a damaged file, or no row that can be used.
    """
    place = printable(path.name)
    if "\0" in str(path):
        raise InputError(f"{printable(str(path))}: cannot be read: no file has such a name")
    try:
        header, delimiter = _read_header(path, place)
        known, columns = _find_columns(header, place)
        return _read_rows(path, place, known, header, columns, delimiter)
    except FileNotFoundError:
        raise InputError(f"{printable(str(path))}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{printable(str(path))}: a folder, not a file; name the trace in it") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise SpreadsheetError(f"{place}: no gzip file, or a damaged one; unpack it and name the CSV itself") from None
    except OSError as error:
        raise InputError(f"{printable(str(path))}: cannot be read: {printable(error.strerror or str(error))}") from None


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _read_header(path: Path, place: str) -> tuple[list[str], str]:
    """Return the names of the columns and the delimiter between them."""
    opener: Any = gzip.open if _is_packed(path) else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        line = file.readline(_LONGEST_HEADER)
    if not line.strip():
        raise SpreadsheetError(f"{place}: the first line is empty; it must hold the columns {_wanted()}")
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        names = next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        raise SpreadsheetError(f"{place}: the first line is no header; it must hold the columns {_wanted()}") from None
    return [printable(name.strip()) for name in names], delimiter


def _wanted() -> str:
    return " or ".join(map(str, _FORMATS))


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _find_columns(header: list[str], place: str) -> tuple[_Format, tuple[int, int, int]]:
    """Return whose trace it is and where its time, input and output tokens are."""
    folded = [_folded(name) for name in header]

    def present(known: _Format) -> int:
        return sum(_folded(name) in folded for name in known.columns)

    known = max(_FORMATS, key=present)
    missing = [name for name in known.columns if _folded(name) not in folded]
    if missing:
        found = ", ".join(f"'{name[:60]}'" for name in header[:40]) + (" ..." if len(header) > 40 else "")
        # The time is in both formats: alone it does not tell whose trace was meant.
        if present(known) < 2:
            raise SpreadsheetError(f"{place}: no columns of a trace among {found}; it needs {_wanted()}")
        raise SpreadsheetError(f"{place}: no column {missing[0]} among {found}; a trace has {known}")
    for name in known.columns:
        if folded.count(_folded(name)) > 1:
            raise SpreadsheetError(
                f"{place}: {folded.count(_folded(name))} columns are called {name}; rename or drop one"
            )
    time, read, written = (folded.index(_folded(name)) for name in known.columns)
    return known, (time, read, written)


def _read_rows(
    path: Path, place: str, known: _Format, header: list[str], columns: tuple[int, int, int], delimiter: str
) -> TraceRows:
    sieve = _Sieve()
    parts: list[tuple[Array, ...]] = []
    read_times: Callable[[pd.Series[Any]], Array] | None = None
    for frame in _parts(path, place, len(header), delimiter):
        if read_times is None:
            read_times = _reader_of_times(frame[columns[0]])
        parts.append(_read_part(frame, known, header, columns, read_times, sieve))
    set_aside = sieve.set_aside()
    if not any(len(times) for times, *_ in parts):
        why = "; ".join(map(str, set_aside)) or "there is nothing under the header"
        raise SpreadsheetError(f"{place}: no request that can be used: {why}")
    times, inputs, outputs = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return TraceRows(
        format=known.name,
        times=times,
        input_tokens=inputs,
        output_tokens=outputs,
        set_aside=set_aside,
        unused_columns=tuple(name for i, name in enumerate(header) if i not in columns and name),
    )


def _read_part(
    frame: pd.DataFrame,
    known: _Format,
    header: list[str],
    columns: tuple[int, int, int],
    read_times: Callable[[pd.Series[Any]], Array],
    sieve: _Sieve,
) -> tuple[Array, ...]:
    """Return times, input and output tokens of the rows that can be used."""
    sieve.begin(frame.index.to_numpy() + 2)
    spare = frame[list(range(len(header), len(header) + _SPARE))]
    sieve.reject("more cells than column names", spare.notna().any(axis=1).to_numpy(dtype=np.bool_))
    time, *tokens = columns
    times = read_times(frame[time])
    sieve.reject(f"{header[time]} is missing", frame[time].isna().to_numpy(dtype=np.bool_))
    sieve.reject(f"{header[time]} is no time", ~np.isfinite(times))
    if read_times is _numbers:
        sieve.reject(f"{header[time]} is negative", times < 0)
    values = [times]
    for column in tokens:
        name, numbers = header[column], _numbers(frame[column])
        sieve.reject(f"{name} is missing", frame[column].isna().to_numpy(dtype=np.bool_))
        sieve.reject(f"{name} is no number", ~np.isfinite(numbers))
        sieve.reject(f"{name} is negative", numbers < 0)
        sieve.reject(f"{name} is above {MAX_TOKENS:g}", numbers > MAX_TOKENS)
        values.append(numbers)
    if known.silence_is_failure:
        sieve.reject(f"{header[columns[2]]} is 0, a request that failed", values[2] == 0)
    return tuple(numbers[sieve.usable] for numbers in values)


class _Sieve:
    """Rows set aside, part after part, each for the first reason that holds."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}
        self._lines: NDArray[Any] = np.empty(0, dtype=np.int64)
        self.usable: Mask = np.empty(0, dtype=np.bool_)

    def begin(self, lines: NDArray[Any]) -> None:
        """Begin a part whose rows stand in these lines of the file."""
        self._lines = lines
        self.usable = np.ones(len(lines), dtype=np.bool_)

    def reject(self, reason: str, bad: Mask) -> None:
        rows = np.flatnonzero(bad & self.usable)
        if len(rows):
            count, first = self._counts.get(reason, (0, int(self._lines[rows[0]])))
            self._counts[reason] = (count + len(rows), first)
            self.usable[rows] = False

    def set_aside(self) -> tuple[SetAside, ...]:
        return tuple(SetAside(reason, rows, line) for reason, (rows, line) in self._counts.items())


def _silently(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield parts without pandas' warning of a first row with too many cells, which is set aside with its reason."""
    import pandas as pd

    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            frame = next(parts, None)
        if frame is None:
            return
        yield frame


def _parts(path: Path, place: str, width: int, delimiter: str) -> Iterator[pd.DataFrame]:
    """Read a file in parts, by the position of its columns; blank lines count, but are left out."""
    import pandas as pd  # 0.3 s: only for who has a file

    try:
        with pd.read_csv(
            path,
            sep=delimiter,
            header=None,
            skiprows=1,
            names=list(range(width + _SPARE)),
            index_col=False,
            skip_blank_lines=False,
            low_memory=False,
            chunksize=ROWS_AT_ONCE,
            compression="gzip" if _is_packed(path) else None,
            encoding="utf-8",
        ) as parts:
            for frame in _silently(parts):
                if len(frame) and frame.index[-1] >= MAX_ROWS:
                    raise SpreadsheetError(f"{place}: more than {MAX_ROWS:,} rows; take a week of it")
                yield frame[frame.notna().any(axis=1)]
    except pd.errors.EmptyDataError:
        return
    except UnicodeDecodeError:
        # Replacing what is no text would take four times as long as all the rest.
        raise SpreadsheetError(f"{place}: not UTF-8 text; save it as CSV in UTF-8") from None
    except pd.errors.ParserError as error:
        # Its columns and lines are those after the header, with the spare ones.
        if match := re.search(r"in line (\d+), saw (\d+)", str(error)):
            raise SpreadsheetError(
                f"{place}: line {match[1]} has {match[2]} cells under {width} column names; quote cells that hold the "
                "delimiter"
            ) from None
        reason = printable(" ".join(str(error).split()))
        raise SpreadsheetError(f"{place}: cannot be read as a table: {reason}") from None


def _numbers(cells: pd.Series[Any]) -> Array:
    """Return the numbers of a column, nan where a cell has none."""
    import pandas as pd

    if cells.dtype == np.bool_:
        return np.full(len(cells), np.nan)
    try:
        return np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=float)
    except OverflowError:
        # Integers of hundreds of digits; as text they are read as infinite.
        return np.asarray(pd.to_numeric(cells.astype(str), errors="coerce"), dtype=float)


def _times(cells: pd.Series[Any]) -> Array:
    """Return dates as seconds since 1970, nan where a cell has none; one without a time zone is taken as UTC."""
    import pandas as pd

    # A number would be read as a year, or as nanoseconds.
    if cells.dtype.kind in "iufb":
        return np.full(len(cells), np.nan)
    if cells.dtype == object:
        # Whole numbers beyond 64 bits among the texts
        cells = cells.astype(str)
    dates = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
    seconds = dates.dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6
    return np.where(dates.isna().to_numpy(dtype=np.bool_), np.nan, seconds)


def _reader_of_times(cells: pd.Series[Any]) -> Callable[[pd.Series[Any]], Array]:
    """Return the reader, of seconds or of dates, that understands more cells; 1700 is seconds, not a year."""
    sample = cells.head(10_000)
    return max((_numbers, _times), key=lambda read: int(np.isfinite(read(sample)).sum()))
