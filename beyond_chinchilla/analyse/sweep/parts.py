"""A part of a sweep as a file: Parquet, Arrow or CSV, written block by block, and counted when it is read back."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from beyond_chinchilla.analyse.plan_block import Status
from beyond_chinchilla.analyse.sweep.columns import INTEGER, NUMBER, STATUS, Column
from beyond_chinchilla.analyse.sweep.folder import Folder
from beyond_chinchilla.errors import InputError, printable
from beyond_chinchilla.files import harmless_cell, unwritable

EXTENSIONS = {".parquet": "parquet", ".csv": "csv", ".arrow": "arrow", ".feather": "arrow"}
SUFFIX = {"parquet": ".parquet", "csv": ".csv", "arrow": ".arrow"}
STATUSES = tuple(status.words for status in Status)
# Key of the file's metadata under which the manifest stands.
METADATA = b"beyond_chinchilla"
_BYTES = {"parquet": 7, "arrow": 8, "csv": 19}
_COPIED = 1 << 20


def format_of(output: str, option: str = "--output") -> str:
    """Return the format that an extension means; `option` is where it was given.

    Raises
    ------
    InputError
        Another extension.
    """
    suffix = Path(output.rstrip("/")).suffix.lower()
    if suffix not in EXTENSIONS:
        shown = printable(output)
        raise InputError(f"{option} {shown}: no sweep ends in '{suffix}'; use one of {' '.join(EXTENSIONS)}")
    return EXTENSIONS[suffix]


def size_of(rows: int, numbers: int, format_: str) -> int:
    """Return about how many bytes rows of so many columns of numbers are; twice where parts are joined at the end."""
    each = _BYTES[format_] * numbers + (8 if format_ != "csv" else 20)
    return rows * each * (1 if format_ == "parquet" else 2)


def schema_of(columns: Sequence[Column], record: Mapping[str, Any]) -> Any:
    """Return the schema: a unit and a description with each column, the manifest with the file."""
    types = {INTEGER: pa.int64(), NUMBER: pa.float64()}
    fields = []
    for column in columns:
        kind = types.get(column.kind) or (pa.dictionary(pa.int32(), pa.string()) if column.words else pa.string())
        told = {"unit": column.unit, "description": column.description}
        # A row always has its place and its status; figures may be missing.
        required = column.kind == INTEGER or column.name == STATUS
        fields.append(pa.field(column.name, kind, nullable=not required, metadata=told))
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return pa.schema(fields, metadata={METADATA: text.encode()})


def words_array(column: Column, codes: Any, words: Sequence[str]) -> Any:
    """Return a column of words by their codes."""
    found = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(words, pa.string()))
    return found if column.words else found.cast(pa.string())


def numbers_array(values: Any, *, whole: bool) -> Any:
    """Return a column of numbers; nan means that there is none."""
    return pa.array(values) if whole else pa.array(values, mask=np.isnan(values))


class Writer:
    """Writes batches to one file.

    Parameters
    ----------
    sink : path or file
    schema : pyarrow.Schema
    format_ : {"parquet", "arrow", "csv"}
    """

    def __init__(self, sink: Any, schema: Any, format_: str) -> None:
        self._sink, self._schema, self._format = sink, schema, format_
        self._stack = contextlib.ExitStack()
        self._writer: Any = None

    def __enter__(self) -> Writer:
        # Closed whatever happens: a writer that cannot write its end leaves its file open.
        sink = self._stack.enter_context(pa.OSFile(self._sink, "wb")) if isinstance(self._sink, str) else self._sink
        with contextlib.ExitStack() as unopened:
            unopened.push(self._stack)
            self._writer = self._stack.enter_context(self._open(sink))
            unopened.pop_all()
        return self

    def __exit__(self, *about: Any) -> None:
        self._stack.__exit__(*about)

    def _open(self, sink: Any) -> Any:
        schema = self._schema
        if self._format == "arrow":
            return pa.ipc.new_file(sink, schema)
        if self._format == "csv":
            import pyarrow.csv as pc_csv  # type: ignore[import-untyped]

            return pc_csv.CSVWriter(sink, schema)
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
        varied = [name for name in numbers if "." in name]
        figures = [name for name in numbers if "." not in name]
        words = [field.name for field in schema if not pa.types.is_primitive(field.type)]
        # What varies repeats, plans do not: of their bytes only the leading ones are alike.
        encoding = {"row": "DELTA_BINARY_PACKED", **dict.fromkeys(figures, "BYTE_STREAM_SPLIT")}
        return pq.ParquetWriter(
            sink, schema, compression="snappy", use_dictionary=varied + words, column_encoding=encoding
        )

    def write(self, batch: Any) -> None:
        """Write a record batch."""
        self._writer.write_batch(_harmless(batch) if self._format == "csv" else batch)


def _harmless(batch: Any) -> Any:
    """Return a batch none of whose texts a spreadsheet runs."""
    columns = []
    for column in batch.columns:
        if not pa.types.is_primitive(column.type):
            coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            words = pa.array([harmless_cell(word) for word in coded.dictionary.to_pylist()], pa.string())
            column = pa.DictionaryArray.from_arrays(coded.indices, words).cast(column.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def count(folder: Folder, name: str, format_: str) -> Counter[str] | None:
    """Return the rows of a part by status; None where it is damaged."""
    found: Counter[str] = Counter()
    try:
        for batch in batches(folder.source(name), format_, [STATUS]):
            for pair in pc.value_counts(batch.column(STATUS).cast(pa.string())).to_pylist():
                found[pair["values"]] += pair["counts"]
    except (OSError, ValueError, KeyError):
        return None
    return found


def batches(source: Any, format_: str, columns: list[str] | None = None) -> Iterator[Any]:
    if format_ == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(source) as file:
            yield from file.iter_batches(columns=columns)
    elif format_ == "arrow":
        with pa.memory_map(source) as mapped:
            reader = pa.ipc.open_file(mapped)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield batch if columns is None else batch.select(columns)
    else:
        import pyarrow.csv as pc_csv

        options = pc_csv.ConvertOptions(include_columns=columns or [])
        with pc_csv.open_csv(source, convert_options=options) as reader:
            yield from reader


def join(folder: Folder, names: Sequence[str], target: Path, schema: Any, format_: str) -> None:
    """Make one file of parts, in their order; it appears whole.

    Raises
    ------
    InputError
        It cannot be written.
    """
    # Drafted among its parts, where whoever goes on after a kill clears away what is no part.
    with folder.writing(target.name) as draft:
        if format_ == "arrow":
            with pa.ipc.new_file(draft, schema) as writer:
                for name in names:
                    for batch in batches(folder.source(name), format_):
                        writer.write_batch(batch)
        else:
            _join_text(draft, [Path(folder.source(name)) for name in names])
    try:
        Path(folder.place, target.name).replace(target)
    except OSError as error:
        raise unwritable(target, error) from None


def _join_text(draft: str, parts: Sequence[Path]) -> None:
    with Path(draft).open("wb") as joined:
        for number, part in enumerate(parts):
            with part.open("rb") as file:
                head = file.readline()
                joined.write(head if number == 0 else b"")
                while data := file.read(_COPIED):
                    joined.write(data)
