"""The work of one part: its rows, block by block, solved and written on whatever worker it lands."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from beyond_chinchilla.analyse.plan_block import Status
from beyond_chinchilla.analyse.sweep import parts
from beyond_chinchilla.analyse.sweep.block import Figures, solve_rows
from beyond_chinchilla.analyse.sweep.columns import INTEGER, NUMBER, STATUS, Column
from beyond_chinchilla.analyse.sweep.folder import Folder
from beyond_chinchilla.analyse.sweep.grid import Beside, Chunk, Grid
from beyond_chinchilla.analyse.sweep.manifest import Manifest, part_name
from beyond_chinchilla.analyse.sweep.table import Table
from beyond_chinchilla.analyse.sweep.variants import Variant


@dataclass(frozen=True, kw_only=True)
class Work:
    """Rows of one part: their numbers, or where to find them in the grid."""

    part: int
    start: int
    stop: int
    chunk: Chunk | None = None


class Job:
    """Solves and writes a part, on whatever worker it lands."""

    def __init__(
        self,
        *,
        source: Grid | Beside | Table,
        variants: Sequence[Variant],
        asked: Sequence[Column],
        folder: Folder,
        format_: str,
        manifest: Manifest,
    ) -> None:
        # A table stays where it is read.
        self._source = None if isinstance(source, Table) else source
        self._variants, self._asked = variants, asked
        self._own = source.own
        self._choices = tuple(source.choices()) if self._own else ()
        self._folder, self._format = folder, format_
        self._columns, self._block = manifest.columns, manifest.rows_per_block
        record = {key: value for key, value in manifest.to_dict().items() if key not in ("complete", "counts")}
        self.schema = parts.schema_of(self._columns, record)

    def __call__(self, work: Work) -> tuple[int, Counter[str]]:
        counts = np.zeros(len(Status), dtype=np.int64)
        name = part_name(work.part, parts.SUFFIX[self._format])
        with (
            self._folder.writing(name) as sink,
            parts.Writer(sink, self.schema, self._format) as writer,
        ):
            for start in range(work.start, work.stop, self._block):
                chunk = self._chunk(work, start, min(start + self._block, work.stop))
                figures = solve_rows(self._variants, chunk.variant, chunk.numbers, len(chunk.row), self._asked)
                counts += np.bincount(figures.status, minlength=len(Status))
                writer.write(self._batch(chunk, figures))
        return work.part, Counter({status.words: n for status, n in zip(Status, counts.tolist(), strict=True) if n})

    def _chunk(self, work: Work, start: int, stop: int) -> Chunk:
        if work.chunk is None:
            assert self._source is not None
            return self._source.chunk(start, stop)
        here = slice(start, stop)
        variant = work.chunk.variant
        return Chunk(
            row=work.chunk.row[here],
            variant=variant if isinstance(variant, int) else variant[here],
            numbers={field: values[here] for field, values in work.chunk.numbers.items()},
        )

    def _batch(self, chunk: Chunk, figures: Figures) -> Any:
        by_name: dict[str, Any] = {field.dotted: values for field, values in chunk.numbers.items()}
        whole = not figures.status.any()
        arrays = []
        for column in self._columns:
            if column.kind == INTEGER:
                arrays.append(pa.array(chunk.row))
            elif column.name == STATUS:
                arrays.append(parts.words_array(column, figures.status, column.words))
            elif column.name in by_name:
                arrays.append(pa.array(by_name[column.name]))
            elif column.name in self._places:
                arrays.append(self._own_array(column, chunk))
            elif column.kind == NUMBER:
                arrays.append(parts.numbers_array(figures.numbers[column.name], whole=whole))
            else:
                arrays.append(parts.words_array(column, *figures.words[column.name]))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {field.dotted: place for place, field in enumerate(self._own)}

    def _own_array(self, column: Column, chunk: Chunk) -> Any:
        """Return a key that makes scenarios of its own, row by row."""
        place = self._places[column.name]
        which = np.broadcast_to(np.asarray(chunk.variant), chunk.row.shape)
        if column.kind == NUMBER:
            return pa.array(np.array([float(choice[place]) for choice in self._choices])[which])
        words = column.words or tuple(dict.fromkeys(choice[place] for choice in self._choices))
        code = {word: number for number, word in enumerate(words)}
        codes = np.array([code[choice[place]] for choice in self._choices], dtype=np.int32)
        return parts.words_array(column, codes[which], words)
