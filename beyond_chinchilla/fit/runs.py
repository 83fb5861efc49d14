"""Training runs to fit a law to: N, D and loss of each, out of a file or out of arrays, and what was left out.

No row disappears: whatever is not used stands in `Runs.set_aside` with its row and the reason.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError, SpreadsheetError, printable
from beyond_chinchilla.fit.cells import Array, Numbers, has_decimal_comma, read_numbers
from beyond_chinchilla.fit.checks import accuracies, contradicts_6ND, find_duplicates, find_faults, units_forgotten
from beyond_chinchilla.fit.columns import Column, count_recognised, find_columns, fold, recognise
from beyond_chinchilla.fit.run_files import read_table
from beyond_chinchilla.laws.loss_law import FittedRange

LossUnit = Literal["nats", "bits"]
Counts = Literal["total", "non-embedding", "not stated"]

FEWEST = 2
NATS_PER_BIT = math.log(2.0)


@dataclass(frozen=True)
class SetAside:
    """A row that is not used: where it stands (from 1), why, and the cell or row that says so."""

    row: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Training runs.

    Attributes
    ----------
    params, tokens, loss : array of float, shape (runs,)
        Parameters as counted by ``conventions["counts"]``, training tokens, loss [nats/token]; all finite and > 0.
    flops : array of float or None
        Training compute as read [FLOP], nan where a row has none; None where nothing was read. See `compute`.
    names : array of str or None
        Labels.
    rows : array of int
        Where each run stands in the file as its program numbers it (a header counts; arrays start at 1).
    set_aside : tuple of SetAside
        Every row that is not used, in order of rows.
    conventions : mapping of str to str
        ``params``, ``tokens``, ``loss`` (and ``flops``): where each came from; ``counts``: total, non-embedding or
        not stated; ``loss_unit``: nats or bits, as read.
    notes : tuple of str
        What a reader should know: columns passed over, FLOPs that contradict 6ND, decimal commas.
    source : str
        The file's name without its folder, or ``"arrays"``.
    """

    params: Array
    tokens: Array
    loss: Array
    flops: Array | None = None
    names: NDArray[np.str_] | None = None
    rows: NDArray[np.int64]
    set_aside: tuple[SetAside, ...] = ()
    conventions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: str = "arrays"

    def __post_init__(self) -> None:
        for array in (self.params, self.tokens, self.loss, self.flops, self.names, self.rows):
            if array is not None:
                array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.params)

    @property
    def tokens_per_param(self) -> Array:
        """D/N."""
        return self.tokens / self.params

    @property
    def compute(self) -> Array:
        """Training FLOPs: as read, and 6ND where nothing was read."""
        computed = 6.0 * self.params * self.tokens
        return computed if self.flops is None else np.where(np.isfinite(self.flops), self.flops, computed)

    @property
    def fitted(self) -> FittedRange:
        """What the runs cover."""

        def ends(values: Array) -> tuple[float, float] | None:
            return (float(values.min()), float(values.max())) if len(values) else None

        return FittedRange(
            params=ends(self.params),
            tokens=ends(self.tokens),
            tokens_per_param=ends(self.tokens_per_param),
            flops=ends(self.compute),
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over N, D and loss of the runs that are used, whatever their order."""
        order = np.lexsort((self.loss, self.tokens, self.params))
        table = np.column_stack([self.params, self.tokens, self.loss])[order]
        return hashlib.sha256(np.ascontiguousarray(table, dtype="<f8").tobytes()).hexdigest()

    def take(self, mask: ArrayLike, reason: str) -> Runs:
        """Return the runs of a mask, the others set aside for a reason."""
        chosen = np.asarray(mask, dtype=bool)
        if chosen.shape != self.params.shape:
            raise InputError(f"a mask of shape {chosen.shape} for {len(self)} runs; give one truth value per run")
        left_out = [SetAside(int(row), reason) for row in self.rows[~chosen]]
        return replace(
            self,
            params=self.params[chosen],
            tokens=self.tokens[chosen],
            loss=self.loss[chosen],
            flops=None if self.flops is None else self.flops[chosen],
            names=None if self.names is None else self.names[chosen],
            rows=self.rows[chosen],
            set_aside=tuple(sorted((*self.set_aside, *left_out), key=lambda aside: aside.row)),
        )

    def reasons(self) -> dict[str, list[int]]:
        """Return the rows that were set aside, by reason."""
        rows: dict[str, list[int]] = {}
        for aside in self.set_aside:
            rows.setdefault(aside.reason, []).append(aside.row)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON holds it, without the runs themselves."""
        return {
            "source": self.source,
            "runs": len(self),
            "set_aside": [{"reason": why, "count": len(rows), "rows": rows} for why, rows in self.reasons().items()],
            "conventions": dict(self.conventions),
            "notes": list(self.notes),
            "range": self.fitted.to_dict(),
            "fingerprint": self.fingerprint,
        }


# From arrays and from files


def make_runs(
    params: ArrayLike,
    tokens: ArrayLike | None,
    loss: ArrayLike,
    *,
    flops: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    counts: Counts = "not stated",
    loss_unit: LossUnit = "nats",
    source: str = "arrays",
) -> Runs:
    """Return the runs that arrays hold; D = C/(6N) where `tokens` is None.

    Parameters
    ----------
    params, tokens, loss, flops : array_like of float, shape (runs,)
        Parameters, training tokens, loss [`loss_unit` per token], training compute [FLOP].
    names : sequence of str, optional
        Labels.
    counts : {"not stated", "total", "non-embedding"}
        Which parameters are counted.

    Raises
    ------
    InputError
        Arrays of unequal length, neither tokens nor FLOPs, accuracies, or fewer than 2 usable runs.

    >>> runs = make_runs([1e8, 1e8, 1e9], [2e9, float("nan"), 2e10], [3.4, 3.2, 2.6])
    >>> len(runs), runs.set_aside
    (2, (SetAside(row=2, reason='tokens missing', detail=''),))
    """
    _check_unit(loss_unit)
    given = {"params": params, "tokens": tokens, "flops": flops, "loss": loss}
    columns = {role: _vector(role, values) for role, values in given.items() if values is not None}
    if len({len(numbers.values) for numbers in columns.values()} | ({len(names)} if names is not None else set())) > 1:
        lengths = ", ".join(f"{role} {len(numbers.values)}" for role, numbers in columns.items())
        raise InputError(f"arrays of unequal length: {lengths}{'' if names is None else f', names {len(names)}'}")
    if tokens is None and flops is None:
        raise InputError("runs need their tokens, or their FLOPs for D = C/(6N)")
    conventions = dict.fromkeys(columns, "given") | {"counts": counts, "loss_unit": loss_unit}
    if tokens is None:
        conventions["tokens"] = "C/(6N)"
    return _assemble(
        columns,
        rows=np.arange(1, len(columns["params"].values) + 1),
        names=names,
        conventions=conventions,
        notes=[],
        source=source,
        place=source,
        error=InputError,
    )


def read_runs(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    loss_unit: LossUnit | None = None,
    sheet: str | None = None,
) -> Runs:
    """Read runs from CSV, TSV, JSON lines (each also .gz), Parquet or a workbook.

    Columns are found by name (`beyond_chinchilla.fit.columns` lists the names). Tokens are read, else tokens per
    parameter times N, else C/(6N). FLOPs that are not needed for that and contradict 6ND are not used, and a note
    says so.

    Parameters
    ----------
    path : str or Path
        The file.
    columns : mapping of str to str, optional
        Column names by role (params, tokens, tokens_per_param, flops, loss, name), before any that would be found:
        ``{"loss": "eval/c4"}``. A unit that a column does not say may follow its name, ``{"params": "size (B)"}``;
        ``"none"`` leaves a role without a column; the role ``loss_bits`` or ``non_embedding_params`` states the kind.
    loss_unit : {"nats", "bits"}, optional
        Per token; by default what the column's name says, else nats.
    sheet : str, optional
        Of a workbook.

    Raises
    ------
    InputError
        No such file, or a column or sheet that it does not have.
    SpreadsheetError
        A file that cannot be understood: damaged, empty, without a needed column, with two equally good ones, with
        accuracies for losses, without units, or with fewer than 2 usable runs.
    """
    if loss_unit is not None:
        _check_unit(loss_unit)
    stated = {} if columns is None else dict(columns)
    table = read_table(path, lambda names: count_recognised(names, stated), sheet)
    known: dict[tuple[int, float], Numbers] = {}
    comma = table.may_write_comma and has_decimal_comma(
        cell for i in _numeric(table.names, stated) for cell in table.column(i)
    )

    def numbers(column: Column) -> Numbers:
        key = (column.index, column.meaning.scale)
        if key not in known:
            known[key] = read_numbers(table.column(column.index), column.meaning.scale, decimal_comma=comma)
        return known[key]

    chosen, notes = find_columns(table.names, numbers, stated, table.place)
    if not len(table.rows):
        raise SpreadsheetError(f"{table.place}: has a header but no rows; at least {FEWEST} runs are needed")
    if comma:
        notes.append("numbers are read with a decimal comma")
    found = {role: numbers(column) for role, column in chosen.items() if role != "name"}
    labels = [printable(str(cell)[:200]) for cell in table.column(chosen["name"].index)] if "name" in chosen else None
    unit = loss_unit or chosen["loss"].meaning.kind or "nats"
    runs = _assemble(
        found,
        rows=table.rows,
        names=labels,
        conventions=_conventions(chosen, unit),
        notes=notes,
        source=printable(Path(path).name),
        place=table.place,
        error=SpreadsheetError,
    )
    if complaint := units_forgotten(runs.params, runs.tokens):
        raise SpreadsheetError(f"{table.place}: {complaint}")
    return _without_wrong_flops(runs, chosen, stated)


def _without_wrong_flops(runs: Runs, chosen: Mapping[str, Column], stated: Mapping[str, str]) -> Runs:
    """Leave out FLOPs that were found by name, are not needed for D, and contradict 6ND."""
    computed = "tokens" not in chosen and "tokens_per_param" not in chosen
    if runs.flops is None or computed or chosen["flops"].name in stated.values():
        return runs
    complaint = contradicts_6ND(runs.flops, runs.params, runs.tokens)
    if not complaint:
        return runs
    name = printable(chosen["flops"].name)
    note = f"flops: column '{name}' {complaint}, so 6ND is used; --columns flops='{name}' uses it all the same"
    said = {role: words for role, words in runs.conventions.items() if role != "flops"}
    return replace(runs, flops=None, conventions=said, notes=(*runs.notes, note))


def _numeric(names: Sequence[str], stated: Mapping[str, str]) -> list[int]:
    wanted = {fold(text) for name in stated.values() for text in (name, name.split("(")[0])}
    meanings = [recognise(name) for name in names]
    return [
        i
        for i, meaning in enumerate(meanings)
        if fold(names[i]) in wanted or (meaning is not None and meaning.role != "name")
    ]


def _conventions(chosen: Mapping[str, Column], unit: str) -> dict[str, str]:
    said = {role: column.describe() for role, column in chosen.items()}
    if "tokens" not in chosen:
        ratio = said.pop("tokens_per_param", None)
        said["tokens"] = f"N times {ratio}" if ratio is not None else f"C/(6N), C from {said['flops']}"
    said.pop("tokens_per_param", None)
    said["counts"] = chosen["params"].meaning.kind or "not stated"
    said["loss_unit"] = unit
    return said


def _check_unit(unit: str) -> None:
    if unit not in ("nats", "bits"):
        raise InputError(f"the loss unit '{unit}' is unknown; it is nats or bits (per token)")


def _vector(role: str, values: ArrayLike) -> Numbers:
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{role}: not an array of numbers; give one number per run") from None
    if array.ndim != 1:
        raise InputError(f"{role}: an array of shape {array.shape}; give one number per run")
    return Numbers(array, {})


def _assemble(
    columns: Mapping[str, Numbers],
    *,
    rows: NDArray[np.int64],
    names: Sequence[str] | None,
    conventions: dict[str, str],
    notes: list[str],
    source: str,
    place: str,
    error: type[InputError],
) -> Runs:
    N, L = columns["params"].values, columns["loss"].values
    with np.errstate(all="ignore"):
        if "tokens" in columns:
            D, token_role = columns["tokens"].values, "tokens"
        elif "tokens_per_param" in columns:
            D, token_role = N * columns["tokens_per_param"].values, "tokens_per_param"
        else:
            D, token_role = columns["flops"].values / (6.0 * N), "flops"
        loss = L * NATS_PER_BIT if conventions["loss_unit"] == "bits" else L
    # D itself and nats come last, for those that overflow.
    checked = [("params", N), (token_role, columns[token_role].values), ("loss", L), ("tokens", D), ("loss", loss)]
    aside = find_faults(checked, {role: numbers.faults for role, numbers in columns.items()})
    good = np.ones(len(N), dtype=bool)
    good[list(aside)] = False
    for i, first in find_duplicates(N, D, loss, np.flatnonzero(good)):
        aside[i] = ("duplicate", f"same numbers as row {rows[first]}")
        good[i] = False
    left_out = tuple(SetAside(int(rows[i]), *aside[i]) for i in sorted(aside))
    flops = columns["flops"].values[good] if "flops" in columns else None
    if flops is not None:
        flops = np.where(np.isfinite(flops) & (flops > 0), flops, np.nan)
    runs = Runs(
        params=N[good],
        tokens=D[good],
        loss=loss[good],
        flops=flops,
        names=None if names is None else np.asarray(names, dtype=np.str_)[good],
        rows=rows[good],
        set_aside=left_out,
        conventions=conventions,
        notes=tuple(notes),
        source=source,
    )
    if len(runs) < FEWEST:
        found = "; ".join(
            f"{why} ({len(where)}, first in row {where[0]}{_shown(left_out, where[0])})"
            for why, where in list(runs.reasons().items())[:5]
        )
        raise error(
            f"{place}: {len(runs)} usable of {len(N)} runs, at least {FEWEST} are needed{': ' * bool(found)}{found}"
        )
    if complaint := accuracies(runs.params, runs.tokens, L[good]):
        raise error(f"{place}: {complaint}")
    return runs


def _shown(aside: Sequence[SetAside], row: int) -> str:
    detail = next(one.detail for one in aside if one.row == row)
    return f": '{detail}'" if detail else ""
