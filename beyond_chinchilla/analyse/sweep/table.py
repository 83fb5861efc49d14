"""One scenario a row: a table whose columns are keys, read batch by batch however long it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from beyond_chinchilla.analyse.sweep.axes import written
from beyond_chinchilla.analyse.sweep.grid import Chunk
from beyond_chinchilla.analyse.sweep.variants import MOST_VARIANTS
from beyond_chinchilla.errors import InputError, SpreadsheetError, printable
from beyond_chinchilla.scenario.field_at import Field, field_at

Array = NDArray[np.float64]

TEXTS = (".csv", ".tsv")
KINDS = (*TEXTS, ".parquet", ".xlsx", ".xlsm", ".ods")
_BUFFER = 1 << 20
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of scenarios, read once already.

    Attributes
    ----------
    path : Path
    fields : tuple of Field
        Its columns.
    own : tuple of Field
        Those of them that make scenarios of their own.
    rows : int
    digest : str
        SHA-256 of the file.
    combinations : mapping of tuple of str to int
        Every choice of words that stands in it, numbered.
    samples : mapping of Field to tuple of str
        The least and the largest of each number.
    """

    path: Path
    fields: tuple[Field, ...]
    own: tuple[Field, ...]
    rows: int
    digest: str
    currency: Mapping[str, Any] | None = None
    combinations: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    samples: Mapping[Field, tuple[str, ...]] = field(default_factory=dict)

    @property
    def variants(self) -> int:
        """How many choices of words there are."""
        return len(self.combinations)

    def choices(self) -> Iterable[tuple[str, ...]]:
        """Return every choice of words."""
        return tuple(self.combinations)

    def to_dict(self) -> dict[str, Any]:
        """Return what it is made of."""
        return {"table": [each.dotted for each in self.fields], "sha256": self.digest}

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Return the rows, so many at a time."""
        start = 0
        for batch in _sized(_batches(self.path), size):
            numbers, words = _read(batch, self.fields, self.own, self.currency, self.path.name, start)
            variant: int | NDArray[np.int64] = 0
            if self.own:
                choices, inverse = _choices(words, batch.num_rows)
                variant = np.array([self.combinations[choice] for choice in choices])[inverse]
            yield Chunk(row=np.arange(start, start + batch.num_rows), variant=variant, numbers=numbers)
            start += batch.num_rows


def columns_of(path: str | Path) -> tuple[Field, ...]:
    """Return the keys that a table's columns name.

    Raises
    ------
    InputError
        No such file, an extension that is not read, columns that are no keys or stand twice, or none.
    """
    path = Path(path)
    shown = printable(path.name)
    if path.suffix.lower() not in KINDS:
        raise InputError(f"--from {shown}: cannot read '{path.suffix}' tables; save it as one of {' '.join(KINDS)}")
    first = next(iter(_batches(path)), None)
    if first is None:
        raise InputError(f"--from {shown}: has no rows; give a header of dotted keys and a row for each scenario")
    found: list[Field] = []
    mistakes: list[str] = []
    for name in first.schema.names:
        try:
            each = field_at(name.strip())
        except InputError as error:
            mistakes.append(f"--from {shown}: column {error}")
            continue
        if each in found:
            mistakes.append(f"--from {shown}: column {name} stands twice; keep one of them")
        found.append(each)
    if mistakes:
        raise InputError("\n".join(mistakes))
    return tuple(found)


def scan(
    path: str | Path, fields: Sequence[Field], own: Sequence[Field], currency: Mapping[str, Any] | None = None
) -> Table:
    """Read a table through once: how long it is, what words stand in it, and whether every number can be read.

    Raises
    ------
    InputError
        A number that the schema refuses, with its row; too many choices of words.
    """
    path = Path(path)
    combinations: dict[tuple[str, ...], int] = {}
    ends: dict[Field, tuple[float, float]] = {}
    rows = 0
    for batch in _batches(path):
        numbers, words = _read(batch, fields, own, currency, path.name, rows)
        for choice in _choices(words, batch.num_rows)[0]:
            combinations.setdefault(choice, len(combinations))
        if len(combinations) > MOST_VARIANTS:
            names = ", ".join(each.dotted for each in own)
            raise InputError(
                f"--from {printable(path.name)}: more than {MOST_VARIANTS:,} different choices of {names}, each a "
                "scenario of its own; split the table"
            )
        for each, values in numbers.items():
            low, high = ends.get(each, (np.inf, -np.inf))
            ends[each] = min(low, float(values.min())), max(high, float(values.max()))
        rows += batch.num_rows
    return Table(
        path=path,
        fields=tuple(fields),
        own=tuple(own),
        rows=rows,
        digest=_sha256(path),
        currency=currency,
        combinations=combinations,
        samples={each: tuple(dict.fromkeys(written(end, each) for end in both)) for each, both in ends.items()},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _batches(path: Path) -> Iterator[Any]:
    """Return the cells of a table, a part at a time; those of texts are text."""
    kind = path.suffix.lower()
    shown = printable(path.name)
    try:
        if kind in TEXTS:
            yield from _text_batches(path, _DELIMITERS[kind])
        elif kind == ".parquet":
            import pyarrow.parquet as pq  # type: ignore[import-untyped]

            with pq.ParquetFile(path) as file:
                yield from file.iter_batches()
        else:
            from beyond_chinchilla.tables.files import read_frame  # pandas and a reader of workbooks

            read = read_frame(path, lambda names: sum("." in name or name == "law" for name in names))
            yield from pa.Table.from_pandas(read.frame.astype(str), preserve_index=False).to_batches()
    except FileNotFoundError:
        raise InputError(f"--from {shown}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"--from {shown}: a folder, not a file") from None
    except UnicodeDecodeError:
        raise SpreadsheetError(f"--from {shown}: not UTF-8 text; save it as CSV in UTF-8") from None
    except (OSError, pa.ArrowException) as error:
        reason = printable(str(error).splitlines()[0])[:200]
        raise SpreadsheetError(f"--from {shown}: cannot be read: {reason}") from None


def _text_batches(path: Path, delimiter: str) -> Iterator[Any]:
    import pyarrow.csv as pc_csv  # type: ignore[import-untyped]

    with path.open("rb") as file:
        head = file.readline(_BUFFER)
    if not head.strip():
        return
    names = next(iter(pc_csv.read_csv(pa.BufferReader(head), parse_options=_parse(delimiter)).schema.names), None)
    options = {}
    if names is not None:
        every = pc_csv.read_csv(pa.BufferReader(head), parse_options=_parse(delimiter)).schema.names
        options = {"column_types": dict.fromkeys(every, pa.string()), "strings_can_be_null": False}
    with pc_csv.open_csv(
        path,
        read_options=pc_csv.ReadOptions(block_size=_BUFFER),
        parse_options=_parse(delimiter),
        convert_options=pc_csv.ConvertOptions(**options),
    ) as reader:
        yield from (batch for batch in reader if batch.num_rows)


def _parse(delimiter: str) -> Any:
    import pyarrow.csv as pc_csv

    return pc_csv.ParseOptions(delimiter=delimiter)


def _sized(batches: Iterable[Any], size: int) -> Iterator[Any]:
    """Return the same rows in batches of one size, the last one shorter."""
    held: list[Any] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        while count >= size:
            table = pa.Table.from_batches(held)
            yield table.slice(0, size).combine_chunks().to_batches()[0]
            rest = table.slice(size)
            held, count = rest.to_batches(), rest.num_rows
    if count:
        yield pa.Table.from_batches(held).combine_chunks().to_batches()[0]


def _read(
    batch: Any,
    fields: Sequence[Field],
    own: Sequence[Field],
    currency: Mapping[str, Any] | None,
    name: str,
    start: int,
) -> tuple[dict[Field, Array], list[Any]]:
    """Return numbers by key, and the words of the other keys as dictionaries."""
    numbers: dict[Field, Array] = {}
    words: list[Any] = []
    for each, cells in zip(fields, batch.columns, strict=True):
        if each in own:
            texts = cells.cast(pa.string()).fill_null("")
            blank = pc.index(pc.equal(pc.utf8_trim_whitespace(texts), ""), True).as_py()
            if blank >= 0:
                raise InputError(f"--from {printable(name)} row {start + blank}: {each.dotted} is empty")
            words.append(texts.dictionary_encode())
        else:
            numbers[each] = _numbers(each, cells, currency, name, start)
    return numbers, words


def _numbers(each: Field, cells: Any, currency: Mapping[str, Any] | None, name: str, start: int) -> Array:
    """Return a column of numbers: at once where they are plain, text by text where people wrote units."""
    try:
        values = cells.cast(pa.float64())
        found: Array = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
        if np.isfinite(found).all():
            # Between two numbers that may stand there, so may all.
            for end in (found.min(), found.max()):
                each.read(float(end), currency)
            if not each.is_counted or np.array_equal(found, np.round(found)):
                return found
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, InputError):
        pass
    coded = cells.cast(pa.string()).fill_null("").dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    read = np.empty(len(coded.dictionary))
    for code, text in enumerate(coded.dictionary.to_pylist()):
        try:
            if not text.strip():
                raise InputError(f"{each.dotted} is empty")
            read[code] = each.read(text.strip(), currency)
        except InputError as error:
            row = start + int(np.flatnonzero(codes == code)[0])
            raise InputError(f"--from {printable(name)} row {row}: {error}") from None
    return np.asarray(read[codes])


def _choices(words: Sequence[Any], count: int) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """Return the different choices of words in a batch, and the choice of each row."""
    if not words:
        return [()], np.zeros(count, dtype=np.int64)
    codes = np.stack([each.indices.to_numpy(zero_copy_only=False) for each in words], axis=1)
    different, inverse = np.unique(codes, axis=0, return_inverse=True)
    lists = [each.dictionary.to_pylist() for each in words]
    choices = [tuple(lists[place][code].strip() for place, code in enumerate(row)) for row in different.tolist()]
    return choices, inverse.reshape(-1)
