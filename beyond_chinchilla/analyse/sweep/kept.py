"""A sweep on disk, read back batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from beyond_chinchilla.analyse.sweep import parts
from beyond_chinchilla.analyse.sweep.folder import Folder, is_url
from beyond_chinchilla.analyse.sweep.manifest import part_names, read_record
from beyond_chinchilla.errors import InputError, nearest, printable


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A sweep that was written before.

    Attributes
    ----------
    place : str
    folder : Folder
        Where its files lie.
    names : tuple of str
        They, in order.
    format_ : {"parquet", "arrow", "csv"}
    record : mapping
        Its manifest; empty for CSV, which carries none.
    schema : pyarrow.Schema
    """

    place: str
    folder: Folder
    names: tuple[str, ...]
    format_: str
    record: Mapping[str, Any]
    schema: Any

    @property
    def columns(self) -> list[str]:
        """All names."""
        return list(self.schema.names)

    @property
    def figures(self) -> list[str]:
        """The columns of numbers that are results, rather than what varies."""
        return [
            field.name
            for field in self.schema
            if pa.types.is_floating(field.type) and "." not in field.name and field.name != "row"
        ]

    def unit(self, name: str) -> str:
        """Return the unit of a column, where the file says it."""
        metadata = self.schema.field(name).metadata or {}
        return str(metadata.get(b"unit", b"").decode())

    def column(self, name: str, option: str) -> str:
        """Return a name that a column has.

        Raises
        ------
        InputError
            None has it.
        """
        if name not in self.columns:
            raise InputError(f"{option} {printable(name)}: no such column; {nearest(name, self.columns)}")
        return name

    def batches(self, columns: list[str] | None = None) -> Iterator[Any]:
        """Return the rows, some at a time, in order of the files."""
        for name in self.names:
            try:
                yield from parts.batches(self.folder.source(name), self.format_, columns)
            except (OSError, pa.ArrowException) as error:
                reason = printable(str(error).splitlines()[0])[:200]
                raise InputError(f"{self.folder.name}/{name}: cannot be read: {reason}") from None


def open_sweep(place: str, *, partial: bool = False) -> Kept:
    """Open a sweep.

    Parameters
    ----------
    place : str
        What was given as output.
    partial : bool
        Read what is there of one that is not complete.

    Raises
    ------
    InputError
        No sweep, or one that is not complete.
    """
    format_ = parts.format_of(place, "--summary")
    path = Path(place)
    shown = printable(place)
    if format_ != "parquet" and not is_url(place) and path.exists():
        folder, names = Folder(str(path.parent)), [path.name]
        schema = _schema(folder, path.name, format_)
        return Kept(
            place=place, folder=folder, names=(path.name,), format_=format_, record=_told(schema), schema=schema
        )
    folder = Folder(place if format_ == "parquet" else f"{place}.parts")
    names = folder.names()
    if not names:
        raise InputError(f"{shown}: no such sweep; 'bc-opt sweep SCENARIO --vary ... --output {shown}' makes one")
    record = read_record(folder)
    there = part_names(names, parts.SUFFIX[format_])
    if not partial and (record.get("complete") is not True or len(there) < record["parts"]):
        raise InputError(
            f"{shown}: is not complete ({len(there):,} of {record['parts']:,} parts); finish it with the same command "
            "and --resume, or read what is there with --partial"
        )
    if not there:
        raise InputError(f"{shown}: has no finished part yet; finish it with the same command and --resume")
    ordered = tuple(there[number] for number in sorted(there))
    schema = _schema(folder, ordered[0], format_)
    return Kept(place=place, folder=folder, names=ordered, format_=format_, record=record, schema=schema)


def _schema(folder: Folder, name: str, format_: str) -> Any:
    source = folder.source(name)
    try:
        if format_ == "parquet":
            import pyarrow.parquet as pq  # type: ignore[import-untyped]

            return pq.read_schema(source)
        if format_ == "arrow":
            with pa.memory_map(source) as mapped:
                return pa.ipc.open_file(mapped).schema
        import pyarrow.csv as pc_csv  # type: ignore[import-untyped]

        with pc_csv.open_csv(source) as reader:
            found = reader.schema
    except (OSError, pa.ArrowException) as error:
        reason = printable(str(error).splitlines()[0])[:200]
        raise InputError(f"{folder.name}/{name}: cannot be read: {reason}") from None
    if not {"row", "status"} <= set(found.names):
        raise InputError(f"{printable(name)}: holds no sweep; its columns are not those of one")
    return found


def _told(schema: Any) -> dict[str, Any]:
    text = (schema.metadata or {}).get(parts.METADATA)
    found: dict[str, Any] = json.loads(text) if text else {}
    return found
