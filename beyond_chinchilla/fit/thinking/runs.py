"""Models that answered with several samples, or with more reasoning tokens: N, D, k and the loss at each k.

The loss is a column of its own, or minus the logarithm of a score in (0, 1], such as pass@k. One row is one model at
one k; a table with a column for each k (``pass@1``, ``pass@8`` ...) is read as one row for each of them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError, SpreadsheetError, printable
from beyond_chinchilla.fit.cells import Array, Numbers, has_decimal_comma, read_numbers
from beyond_chinchilla.fit.checks import find_faults, units_forgotten
from beyond_chinchilla.fit.columns import Column, count_recognised, find_columns
from beyond_chinchilla.fit.run_files import read_table
from beyond_chinchilla.fit.runs import FEWEST, NATS_PER_BIT, LossUnit, Runs, SetAside
from beyond_chinchilla.fit.thinking.columns import ROLES, Variable, count_answers, find_answers
from beyond_chinchilla.units import format_size


@dataclass(frozen=True, kw_only=True, eq=False)
class ThinkingRuns(Runs):
    """Runs with k beside N, D and the loss.

    Attributes
    ----------
    k : array of float, shape (runs,)
        Samples, or reasoning tokens, per request; >= 1.
    variable : {"samples", "reasoning_tokens"}
    """

    k: Array
    variable: Variable

    def __post_init__(self) -> None:
        super().__post_init__()
        self.k.setflags(write=False)

    @property
    def models(self) -> NDArray[np.intp]:
        """Number of the model, from 0, that each row is of: rows of one N and D are one model at several k."""
        pairs = np.column_stack([self.params, self.tokens])
        return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)

    @property
    def seen(self) -> tuple[float, float]:
        """The smallest and the largest k."""
        return float(self.k.min()), float(self.k.max())

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over N, D, k and loss of the rows that are used, whatever their order."""
        order = np.lexsort((self.loss, self.k, self.tokens, self.params))
        table = np.column_stack([self.params, self.tokens, self.k, self.loss])[order]
        return hashlib.sha256(np.ascontiguousarray(table, dtype="<f8").tobytes()).hexdigest()

    def take(self, mask: ArrayLike, reason: str) -> ThinkingRuns:
        """Return the rows of a mask, the others set aside for a reason."""
        kept = super().take(mask, reason)
        assert isinstance(kept, ThinkingRuns)
        return replace(kept, k=self.k[np.asarray(mask, dtype=bool)])

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON holds it, without the rows themselves."""
        row = super().to_dict()
        row["models"] = int(self.models.max()) + 1 if len(self) else 0
        row["variable"] = self.variable
        row["range"][self.variable] = list(self.seen) if len(self) else None
        return row


def make_thinking_runs(
    params: ArrayLike,
    tokens: ArrayLike,
    k: ArrayLike,
    *,
    loss: ArrayLike | None = None,
    score: ArrayLike | None = None,
    variable: Variable = "samples",
    source: str = "arrays",
) -> ThinkingRuns:
    """Return the rows that arrays hold, with a loss or with a score in (0, 1], whose loss is minus its logarithm.

    Raises
    ------
    InputError
        Arrays of unequal length, not exactly one of loss and score, scores above 1, or fewer than 2 usable rows.

    >>> runs = make_thinking_runs([1e8, 1e8, 1e9], [2e9, 2e9, 2e10], [1, 8, 1], score=[0.05, 0.2, 1.0])
    >>> runs.loss.round(4).tolist(), runs.set_aside
    ([2.9957, 1.6094], (SetAside(row=3, reason='a score of 1 leaves no loss', detail=''),))
    """
    if (loss is None) == (score is None):
        raise InputError("give either the loss or the score of each run at its k")
    given = {"params": params, "tokens": tokens, "k": k, "answer": loss if score is None else score}
    arrays = {role: np.array(values, dtype=float).reshape(-1) for role, values in given.items()}
    if len({array.size for array in arrays.values()}) > 1:
        listed = ", ".join(f"{role} {array.size}" for role, array in arrays.items())
        raise InputError(f"arrays of unequal length: {listed}")
    return _assemble(
        {role: Numbers(array, {}) for role, array in arrays.items()},
        "tokens",
        variable,
        scored=score is not None,
        rows=np.arange(1, arrays["params"].size + 1),
        names=None,
        conventions=dict.fromkeys(("params", "tokens", variable, "loss"), "given") | {"counts": "not stated"},
        notes=[],
        source=source,
        place=source,
    )


def read_thinking_runs(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    loss_unit: LossUnit | None = None,
    sheet: str | None = None,
) -> ThinkingRuns:
    """Read rows from CSV, TSV, JSON lines (each also .gz), Parquet or a workbook.

    Beside what `beyond_chinchilla.fit.runs.read_runs` finds, a column of samples (``k``, ``samples``, ``attempts`` ...)
    or of reasoning tokens, and of scores (``pass@k``, ``pass_at_k``, ``score``, ``accuracy`` ...; in percent where its
    name says so). Scores are used before losses, unless `columns` names a loss.

    Parameters
    ----------
    path : str or Path
    columns : mapping of str to str, optional
        Column names by role: those of `read_runs`, ``samples``, ``reasoning_tokens`` and ``score``.
    loss_unit : {"nats", "bits"}, optional
        Of a column of losses.
    sheet : str, optional
        Of a workbook.

    Raises
    ------
    InputError
        No such file, or a column or sheet that it does not have.
    SpreadsheetError
        A file that cannot be understood, without a needed column, with scores above 1, or fewer than 2 usable rows.
    """
    stated = {} if columns is None else dict(columns)
    own = {role: stated.pop(role) for role in list(stated) if role in ROLES}
    table = read_table(path, lambda names: count_recognised(names, stated) + count_answers(names), sheet)
    found = find_answers(table, own, use_score="loss" not in stated)
    comma = table.may_write_comma and has_decimal_comma(
        cell for i, name in enumerate(table.names) if name.strip() for cell in table.column(i)
    )

    def numbers(column: Column) -> Numbers:
        return read_numbers(table.column(column.index), column.meaning.scale, decimal_comma=comma)

    def plain(index: int, scale: float = 1.0) -> Numbers:
        return read_numbers(table.column(index), scale, decimal_comma=comma)

    if found.scores:
        # What stands for the loss is named here, so that no other column is taken for it.
        stated["loss"] = table.names[found.scores[0]]
    chosen, notes = find_columns(table.names, numbers, stated, table.place)
    if not len(table.rows):
        raise SpreadsheetError(f"{table.place}: has a header but no rows; at least {FEWEST} runs are needed")
    if comma:
        notes.append("numbers are read with a decimal comma")
    token_role = next(role for role in ("tokens", "tokens_per_param", "flops") if role in chosen)
    base = {"params": numbers(chosen["params"]), token_role: numbers(chosen[token_role])}
    copies = max(len(found.scores), 1)
    parts = {role: _repeated(value, copies, len(table.rows)) for role, value in base.items()}
    if found.wide:
        parts["k"] = Numbers(np.repeat(found.wide, len(table.rows)).astype(float), {})
    else:
        parts["k"] = plain(found.k)
    unit = "nats"
    if found.scores:
        answers = [plain(i, found.scale(table, i)) for i in found.scores]
        parts["answer"] = _joined(answers, len(table.rows))
    else:
        unit = loss_unit or chosen["loss"].meaning.kind or "nats"
        parts["answer"] = numbers(chosen["loss"])
        if unit == "bits":
            parts["answer"] = Numbers(parts["answer"].values * NATS_PER_BIT, parts["answer"].faults)
    labels = [str(cell)[:200] for cell in table.column(chosen["name"].index)] if "name" in chosen else None
    conventions = {"params": chosen["params"].describe()}
    described = chosen[token_role].describe()
    conventions["tokens"] = {"tokens": described, "tokens_per_param": f"N times {described}"}.get(
        token_role, f"C/(6N), C from {described}"
    )
    conventions |= found.said(table, chosen) | {"counts": chosen["params"].meaning.kind or "not stated"}
    runs = _assemble(
        parts,
        token_role,
        found.variable,
        scored=bool(found.scores),
        rows=np.tile(table.rows, copies),
        names=None if labels is None else labels * copies,
        conventions=conventions | {"loss_unit": unit},
        notes=notes,
        source=printable(Path(path).name),
        place=table.place,
    )
    if complaint := units_forgotten(runs.params, runs.tokens):
        raise SpreadsheetError(f"{table.place}: {complaint}")
    return runs


def _repeated(numbers: Numbers, copies: int, rows: int) -> Numbers:
    return numbers if copies == 1 else _joined([numbers] * copies, rows)


def _joined(parts: Sequence[Numbers], rows: int) -> Numbers:
    faults = {number * rows + i: fault for number, part in enumerate(parts) for i, fault in part.faults.items()}
    return Numbers(np.concatenate([part.values for part in parts]), faults)


def _assemble(
    parts: Mapping[str, Numbers],
    token_role: str,
    variable: Variable,
    *,
    scored: bool,
    rows: NDArray[np.int64],
    names: Sequence[str] | None,
    conventions: dict[str, str],
    notes: list[str],
    source: str,
    place: str,
) -> ThinkingRuns:
    N, given, k, answer = (parts[role].values for role in ("params", token_role, "k", "answer"))
    if scored and np.any(answer > 1.0):
        worst = int(np.nanargmax(answer))
        raise SpreadsheetError(
            f"{place}: the score in row {rows[worst]} is {answer[worst]:g}; a score is a share in (0, 1]: divide "
            "percentages by 100, or say so in the column's name, such as 'pass@k (%)'"
        )
    with np.errstate(all="ignore"):
        D = {"tokens": given, "tokens_per_param": N * given}.get(token_role, given / (6.0 * N))
        loss = -np.log(answer) if scored else answer
    faults = {role: numbers.faults for role, numbers in parts.items()}
    said = "score" if scored else "loss"
    checked = [("params", N), (token_role, given), (variable, k), (said, answer), ("tokens", D)]
    aside = find_faults(checked, faults | {variable: faults["k"], said: faults["answer"]})
    for i in np.flatnonzero(k < 1.0).tolist():
        aside.setdefault(i, (f"fewer than 1 {variable.replace('_', ' ')}", f"{k[i]:g}"))
    for i in np.flatnonzero(answer == 1.0).tolist() if scored else ():
        aside.setdefault(i, ("a score of 1 leaves no loss", ""))
    first: dict[tuple[float, ...], int] = {}
    for i in range(len(N)):
        if i not in aside and (j := first.setdefault((N[i], D[i], k[i], loss[i]), i)) != i:
            aside[i] = ("duplicate", f"same numbers as row {rows[j]}")
    good = np.ones(len(N), dtype=bool)
    good[list(aside)] = False
    left_out = tuple(SetAside(int(rows[i]), *aside[i]) for i in sorted(aside))
    if int(good.sum()) < FEWEST:
        reasons = sorted({one.reason for one in left_out})
        raise SpreadsheetError(
            f"{place}: {int(good.sum())} usable of {len(N)} runs, at least {FEWEST} are needed"
            f"{': ' * bool(reasons)}{'; '.join(reasons[:5])}"
        )
    if scored and (zeros := int(np.sum(answer == 0))):
        notes.append(
            f"{zeros} score{'s' if zeros > 1 else ''} of 0 set aside: their loss is infinite, and the law is one of "
            f"models that solve something, at k from {format_size(float(k[good].min()))}"
        )
    return ThinkingRuns(
        params=N[good],
        tokens=D[good],
        loss=loss[good],
        k=k[good],
        variable=variable,
        names=None if names is None else np.asarray(names, dtype=np.str_)[good],
        rows=rows[good],
        set_aside=left_out,
        conventions=conventions,
        notes=tuple(notes),
        source=source,
    )
