"""Pairs of loss and error to fit a map to, out of a table of evaluated models, and what was left out.

Losses are found by name as those of runs are (see `fit.columns`), but for ``--columns loss=NAME``. Scores and errors
are found by name where one column alone has it, such as ``error``, ``top-1 error``, ``score``, ``accuracy``; else the
column is stated. Shares and per cents are both read: a column with a number above 1 is in per cent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.fit.cells import Numbers, has_decimal_comma, read_numbers
from beyond_chinchilla.fit.columns import count_recognised, fold, recognise
from beyond_chinchilla.fit.downstream.map import FEWEST
from beyond_chinchilla.fit.run_files import Table, read_table
from beyond_chinchilla.fit.runs import NATS_PER_BIT, LossUnit, SetAside

Array = NDArray[np.float64]
Kind = Literal["error", "score"]

# Folded names that say what a column is.
_KNOWN: dict[str, Kind] = {
    **dict.fromkeys(("error", "err", "errorrate", "top1error", "meanerror", "averageerror", "avgerror"), "error"),
    **dict.fromkeys(("score", "accuracy", "acc", "top1accuracy", "meanscore", "averagescore", "avgscore"), "score"),
    **dict.fromkeys(("meanaccuracy", "averageaccuracy", "avgaccuracy", "coreaverage"), "score"),
}
# A score that is set to 0 at chance may fall a little below it.
_LEAST_SCORE = -0.5
_SHOWN = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Losses and errors of the same models.

    Attributes
    ----------
    loss : array, shape (pairs,)
        [nats/token].
    error : array, shape (pairs,)
        1 - score, as a share.
    rows : array of int
        Where each stands in the file, as its program numbers it.
    set_aside : tuple of SetAside
        Every row that is not used, with its reason.
    conventions : mapping of str to str
        Which column each came from, and its unit.
    source : str
        The file's name without its folder.
    """

    loss: Array
    error: Array
    rows: NDArray[np.int64]
    set_aside: tuple[SetAside, ...] = ()
    conventions: Mapping[str, str] = field(default_factory=dict)
    source: str = "arrays"

    def __len__(self) -> int:
        return self.loss.size

    def reasons(self) -> dict[str, list[int]]:
        """Return the rows that are not used, by reason."""
        found: dict[str, list[int]] = {}
        for one in self.set_aside:
            found.setdefault(one.reason, []).append(one.row)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON says of the data."""
        return {
            "source": self.source,
            "pairs": len(self),
            "set_aside": {reason: len(rows) for reason, rows in self.reasons().items()},
            "conventions": dict(self.conventions),
        }


def read_pairs(
    path: str | Path,
    *,
    error_column: str | None = None,
    score_column: str | None = None,
    loss_column: str | None = None,
    loss_unit: LossUnit | None = None,
    sheet: str | None = None,
) -> Pairs:
    """Read pairs from any file that `fit.runs.read_runs` reads.

    Raises
    ------
    InputError
        Both columns stated, or one that the file does not have.
    SpreadsheetError
        A file that cannot be understood, without a column for loss or error, or with fewer than 4 usable rows.
    """
    if error_column is not None and score_column is not None:
        raise InputError("--error-column and --score-column are both given; keep one")
    stated = {"loss": loss_column} if loss_column is not None else {}
    wanted = {fold(name) for name in (error_column, score_column) if name is not None}

    def looks_like_header(names: Sequence[str]) -> int:
        return count_recognised(names, stated) + sum(fold(name) in wanted for name in names)

    table = read_table(path, looks_like_header, sheet)
    kind, place = _error_column(table, error_column, score_column)
    loss_place = _loss_column(table, loss_column)
    comma = table.may_write_comma and has_decimal_comma(
        cell for index in (place, loss_place) for cell in table.column(index)
    )
    losses, shares = (read_numbers(table.column(index), 1.0, decimal_comma=comma) for index in (loss_place, place))
    meaning = recognise(table.names[loss_place])
    unit = loss_unit or (meaning.kind if meaning is not None and meaning.role == "loss" else "") or "nats"
    return _assembled(table, losses, shares, kind, unit, (loss_place, place))


def _assembled(table: Table, losses: Numbers, shares: Numbers, kind: Kind, unit: str, places: tuple[int, int]) -> Pairs:
    loss = losses.values * (NATS_PER_BIT if unit == "bits" else 1.0)
    with np.errstate(invalid="ignore"):
        in_percent = bool((shares.values > 1.0).any())
    share = shares.values / 100.0 if in_percent else shares.values
    error = share if kind == "error" else 1.0 - share
    aside = {}
    for index in range(loss.size):
        reason = _fault(loss[index], error[index], index, losses, shares, kind)
        if reason:
            aside[index] = reason
    used = np.array([index for index in range(loss.size) if index not in aside], dtype=int)
    found = tuple(SetAside(int(table.rows[index]), *reason) for index, reason in aside.items())
    if used.size < FEWEST:
        first = f": {found[0].reason} (row {found[0].row})" if found else ""
        raise SpreadsheetError(
            f"{table.place}: {used.size} usable pairs of loss and {kind}, at least {FEWEST} are needed{first}"
        )
    names = [f"column '{printable(table.names[index])}'" for index in places]
    said = {"loss": f"{names[0]} [{unit}]", kind: f"{names[1]}{' in per cent' if in_percent else ''}"}
    return Pairs(
        loss=loss[used],
        error=error[used],
        rows=np.asarray(table.rows)[used],
        set_aside=found,
        conventions=said,
        source=table.place,
    )


def _fault(
    loss: float, error: float, index: int, losses: Numbers, shares: Numbers, kind: Kind
) -> tuple[str, str] | None:
    """Return why a row is not used."""
    for role, value, numbers in (("loss", loss, losses), (kind, error, shares)):
        if not math.isfinite(value):
            reason, detail = numbers.faults.get(index, ("missing", ""))
            return f"{role} {reason}", detail
    if loss <= 0.0:
        return "loss not positive", f"{loss:g}"
    if not 0.0 <= error <= 1.0 - _LEAST_SCORE:
        return f"{kind} out of range", f"{error if kind == 'error' else 1.0 - error:g}"
    return None


def _error_column(table: Table, error: str | None, score: str | None) -> tuple[Kind, int]:
    """Return what the column of errors or scores holds, and where it stands."""
    for kind, name in (("error", error), ("score", score)):
        if name is not None:
            stated: Kind = "error" if kind == "error" else "score"
            return stated, _named(table, name, f"--{kind}-column")
    leaves = [fold(name.rsplit("/", 1)[-1]) for name in table.names]
    known = [index for index, leaf in enumerate(leaves) if leaf in _KNOWN]
    if len(known) == 1:
        return _KNOWN[leaves[known[0]]], known[0]
    listed = ", ".join(f"'{printable(table.names[index])}'" for index in known) or "none of them by its name"
    raise SpreadsheetError(
        f"{table.place}: which column holds the errors, or the scores? {listed}; say it with --error-column NAME or "
        "--score-column NAME"
    )


def _loss_column(table: Table, stated: str | None) -> int:
    """Return where the losses stand: the best-ranked name, as for runs."""
    if stated is not None:
        return _named(table, stated, "--columns loss")
    meanings = [recognise(name) for name in table.names]
    claims = [(one.rank, index) for index, one in enumerate(meanings) if one is not None and one.role == "loss"]
    best = [index for rank, index in claims if rank == min(claims)[0]]
    if len(best) == 1:
        return best[0]
    listed = ", ".join(f"'{printable(table.names[index])}'" for index in best) or "no name says so"
    raise SpreadsheetError(f"{table.place}: which column holds the losses? {listed}; say it with --columns loss=NAME")


def _named(table: Table, name: str, option: str) -> int:
    same = [index for index, known in enumerate(table.names) if known.strip() == name.strip()]
    same = same or [index for index, known in enumerate(table.names) if fold(known) == fold(name) != ""]
    if len(same) == 1:
        return same[0]
    if same:
        raise InputError(f"{table.place}: {option} '{printable(name)}': {len(same)} columns have that name; rename one")
    known = [known for known in table.names if known.strip()][:_SHOWN]
    raise InputError(f"{table.place}: {option} '{printable(name)}': no such column; {printable(nearest(name, known))}")
