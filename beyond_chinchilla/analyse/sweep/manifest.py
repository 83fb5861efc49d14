"""What a sweep was asked, and whether it is whole: ``_sweep.json`` beside its parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beyond_chinchilla.analyse.sweep.columns import Column
from beyond_chinchilla.analyse.sweep.folder import Folder
from beyond_chinchilla.errors import InputError

NAME = "_sweep.json"
SCHEMA = "beyond-chinchilla/sweep/1"
_OVERLONG = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The record of a sweep.

    Attributes
    ----------
    asked : mapping
        Version, scenario, what varies, columns: everything that decides what is in the files.
    rows, rows_per_part, rows_per_block : int
    columns : tuple of Column
    unit : str
        Of the bill.
    complete : bool
        Whether every part is there.
    counts : mapping of str to int
        Rows by status, once it is complete.
    """

    asked: Mapping[str, Any]
    rows: int
    rows_per_part: int
    rows_per_block: int
    columns: tuple[Column, ...]
    unit: str
    complete: bool = False
    counts: Mapping[str, int] | None = None

    @property
    def digest(self) -> str:
        """Tells two sweeps apart: SHA-256 of what was asked, as canonical JSON."""
        return hashlib.sha256(json.dumps(self._decisive(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def parts(self) -> int:
        """How many files it makes."""
        return -(-self.rows // self.rows_per_part)

    def rows_of(self, part: int) -> int:
        """Return how many rows a part has."""
        return min(self.rows_per_part, self.rows - part * self.rows_per_part)

    def _decisive(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "rows": self.rows,
            "rows_per_part": self.rows_per_part,
            "rows_per_block": self.rows_per_block,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        record: dict[str, Any] = {"schema": SCHEMA, "complete": self.complete, "digest": self.digest}
        record |= self._decisive()
        record |= {"parts": self.parts, "unit": self.unit, "columns": [column.to_dict() for column in self.columns]}
        if self.counts is not None:
            record["counts"] = dict(self.counts)
        return record

    def write(self, folder: Folder) -> None:
        """Write it, whole or not at all."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        folder.write(NAME, text.encode())


def read_record(folder: Folder) -> dict[str, Any]:
    """Return what a folder's manifest says.

    Raises
    ------
    InputError
        No manifest, or one that is not ours.
    """
    try:
        record = json.loads(folder.read(NAME))
    except (OSError, ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise InputError(f"{folder.name}: holds no sweep ({NAME} is missing or not one of ours)")
    return record


def part_name(number: int, extension: str) -> str:
    """Return the name of a part: ``part-000000.parquet``."""
    return f"part-{number:06d}{extension}"


def part_names(names: Sequence[str], extension: str) -> dict[int, str]:
    """Return the parts among some names, by number."""
    found = {}
    for name in names:
        digits = name.removeprefix("part-").removesuffix(extension)
        if digits.isdecimal() and int(digits) < _OVERLONG and name == part_name(int(digits), extension):
            found[int(digits)] = name
    return found
