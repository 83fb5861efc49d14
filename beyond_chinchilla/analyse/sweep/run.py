"""A sweep on its way: its parts on an engine, what is there already, and when it is whole."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from beyond_chinchilla.analyse.sweep import parts
from beyond_chinchilla.analyse.sweep.columns import Column
from beyond_chinchilla.analyse.sweep.folder import Folder
from beyond_chinchilla.analyse.sweep.grid import Beside, Grid
from beyond_chinchilla.analyse.sweep.job import Job, Work
from beyond_chinchilla.analyse.sweep.manifest import NAME, Manifest, part_name, part_names, read_record
from beyond_chinchilla.analyse.sweep.table import Table
from beyond_chinchilla.analyse.sweep.variants import Variant
from beyond_chinchilla.engines import engine
from beyond_chinchilla.errors import InputError, printable


@dataclass(frozen=True, kw_only=True)
class Slow:
    """Rows that arrays cannot do.

    Attributes
    ----------
    rows : int
    why : str
    seconds : float
        What one of them took.
    """

    rows: int
    why: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished sweep.

    Attributes
    ----------
    output : str
    rows : int
    counts : mapping of str to int
        Rows by status.
    found : int
        Rows that were finished before, and taken over.
    """

    output: str
    rows: int
    counts: Mapping[str, int]
    found: int


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Rows of scenarios and where their plans go.

    Parameters
    ----------
    source : Grid, Beside or Table
        What varies.
    variants : tuple of Variant
    asked : tuple of Column
        The columns that are figures of the plan.
    folder : Folder
        Of the parts.
    output : str
        What is made of them.
    format_ : {"parquet", "arrow", "csv"}
    manifest : Manifest
    """

    source: Grid | Beside | Table
    variants: tuple[Variant, ...]
    asked: tuple[Column, ...]
    folder: Folder
    output: str
    format_: str
    manifest: Manifest

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.manifest.rows

    @functools.cached_property
    def slow(self) -> Slow | None:
        """The rows that arrays cannot do; None without any. One of them is solved to see how long it takes."""
        found = [variant for variant in self.variants if variant.slow]
        if not found:
            return None
        # A table's words may be spread unevenly; those of a grid are not.
        rows = self.rows * len(found) // len(self.variants)
        return Slow(rows=rows, why=found[0].slow, seconds=found[0].seconds_a_row())

    def run(
        self,
        *,
        engine_name: str = "threads",
        workers: int | None = None,
        scheduler: str | None = None,
        resume: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Outcome:
        """Solve every row and write it.

        Parameters
        ----------
        engine_name, workers, scheduler
            As `engines.engine` takes them; nothing in the files depends on them.
        resume : bool
            Take over what an interrupted run of the same sweep has finished.
        progress : callable, optional
            Told how many rows are done, and of how many.

        Raises
        ------
        InputError
            The output exists, holds another sweep, or cannot be written.
        """
        job = Job(
            source=self.source,
            variants=self.variants,
            asked=self.asked,
            folder=self.folder,
            format_=self.format_,
            manifest=self.manifest,
        )
        if resume and (counted := self._joined()) is not None:
            self._clear()
            return Outcome(output=self.output, rows=self.rows, counts=counted, found=self.rows)
        # Workers before files: where none can be had nothing is left behind.
        with engine(engine_name, workers=workers, scheduler=scheduler) as pool:
            counts = self._begin(resume)
            found = done = sum(sum(each.values()) for each in counts.values())
            if progress is not None:
                progress(done, self.rows)
            todo = (work for work in self._work() if work.part not in counts)
            for _, (part, statuses) in pool.map(job, todo):
                counts[part] = statuses
                done += sum(statuses.values())
                if progress is not None:
                    progress(done, self.rows)
        # What workers that died have left.
        self.folder.sweep_up()
        total: Counter[str] = Counter()
        for statuses in counts.values():
            total.update(statuses)
        ordered = {status: total[status] for status in parts.STATUSES if total[status]}
        replace(self.manifest, complete=True, counts=ordered).write(self.folder)
        if self.format_ != "parquet":
            names = [part_name(number, parts.SUFFIX[self.format_]) for number in range(self.manifest.parts)]
            parts.join(self.folder, names, Path(self.output), job.schema, self.format_)
            self._clear()
        return Outcome(output=self.output, rows=self.rows, counts=ordered, found=found)

    def _joined(self) -> Mapping[str, int] | None:
        """Return the rows by status of a file that lacked nothing any more but that its parts were cleared away."""
        if self.format_ == "parquet" or not Path(self.output).exists() or not self.folder.names():
            return None
        record = read_record(self.folder)
        return record["counts"] if record.get("complete") is True and record["digest"] == self.manifest.digest else None

    def _clear(self) -> None:
        """Remove the parts of a file that is whole, their record last: it says so."""
        for name in self.folder.names():
            if name != NAME:
                with contextlib.suppress(OSError):
                    self.folder.remove(name)
        shutil.rmtree(self.folder.place, ignore_errors=True)

    def _begin(self, resume: bool) -> dict[int, Counter[str]]:
        """Return the parts that are there already, by number, with their counts."""
        names = self.folder.names()
        joined = self.format_ != "parquet" and Path(self.output).exists()
        if joined or (names and not resume):
            whole = joined or not _is_unfinished(self.folder)
            way_out = "take another name or remove it" if whole else "go on with --resume, or take another name"
            raise InputError(f"{printable(self.output)}: is there already; {way_out}")
        if not names:
            self.folder.create()
            self.manifest.write(self.folder)
            return {}
        record = read_record(self.folder)
        if record.get("digest") != self.manifest.digest:
            raise InputError(
                f"{printable(self.output)}: holds another sweep ({_difference(record, self.manifest)}); "
                "ask what it was asked, or take another name"
            )
        self.folder.sweep_up()
        extension = parts.SUFFIX[self.format_]
        counts = {}
        for number, name in part_names(names, extension).items():
            if number < self.manifest.parts:
                found = parts.count(self.folder, name, self.format_)
                # A disk that lost power may have kept less than it said.
                if found is not None and sum(found.values()) == self.manifest.rows_of(number):
                    counts[number] = found
        if record.get("complete") is True and len(counts) < self.manifest.parts:
            self.manifest.write(self.folder)
        return counts

    def _work(self) -> Iterator[Work]:
        size = self.manifest.rows_per_part
        if isinstance(self.source, Table):
            for part, chunk in enumerate(self.source.chunks(size)):
                yield Work(part=part, start=0, stop=len(chunk.row), chunk=chunk)
        else:
            for part in range(self.manifest.parts):
                yield Work(part=part, start=part * size, stop=min((part + 1) * size, self.rows))


def _is_unfinished(folder: Folder) -> bool:
    try:
        return read_record(folder).get("complete") is not True
    except InputError:
        return False


def _difference(record: Mapping[str, Any], manifest: Manifest) -> str:
    """Name what two sweeps differ in."""
    theirs, ours = record.get("asked"), dict(manifest.asked)
    if not isinstance(theirs, dict):
        return "its record is damaged"
    keys = [key for key in dict.fromkeys((*theirs, *ours)) if theirs.get(key) != ours.get(key)]
    return f"another {' and '.join(keys)}" if keys else "cut into other parts"


def is_full(error: InputError) -> bool:
    """Say whether an error is that of a full disk."""
    return os.strerror(errno.ENOSPC) in str(error)
