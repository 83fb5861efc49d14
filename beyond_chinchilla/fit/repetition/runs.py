"""Training runs with the unique tokens of each: out of tables of final losses, or of whole loss curves.

Beside the columns of `fit.columns`, three more are found by name: ``unique_tokens`` (*unique tokens*, *tokens per
epoch*), ``epochs``, and ``data`` (*data*, *data set*, *corpus*), whose words tell runs on different data apart. A file
with both unique tokens and epochs may hold curves: rows that agree in them, in size, data and name are one run, whose
final loss stands in its last row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.fit.cells import Array, Numbers, read_numbers
from beyond_chinchilla.fit.checks import accuracies, contradicts_6ND, find_faults, units_forgotten
from beyond_chinchilla.fit.columns import ROLES, Column, Meaning, count_recognised, find_columns, fold, recognise
from beyond_chinchilla.fit.run_files import Table, read_table
from beyond_chinchilla.fit.runs import NATS_PER_BIT, Runs, SetAside
from beyond_chinchilla.units import format_number, format_percent, format_size

_NAMES = {
    "unique_tokens": "uniquetokens tokensunique numuniquetokens uniquetrainingtokens uniquetraintokens tokensperepoch "
    "tokensepoch epochtokens uniquedata ud",
    "epochs": "epochs epoch numepochs nepochs numberofepochs passes",
    "data": "data dataset datasetname corpus datasource trainingdata trainingset",
}
_SPOKEN = {"unique_tokens": "unique tokens", "epochs": "epochs", "data": "data set"}
FEWEST = 4
# A curve whose last loss lies so far over its lowest overfits; noise and learning-rate schedules stay within 1%.
RISE = 0.03
# Curves of fewer points say nothing about a rise.
_POINTS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class RepeatedRuns:
    """Runs with their unique tokens and data sets.

    Attributes
    ----------
    runs : Runs
        N, D and the final loss of each, and what was left out; `rows` are those of the final losses.
    unique_tokens : array of float, shape (runs,)
    data : array of str, shape (runs,)
        Data set of each; empty words where the file does not say.
    """

    runs: Runs
    unique_tokens: Array
    data: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def epochs(self) -> Array:
        """Passes over the unique tokens, D/U."""
        return self.runs.tokens / self.unique_tokens

    def keep(self, runs: Runs) -> RepeatedRuns:
        """Return the runs of a selection of `runs` (`fit.filters`)."""
        chosen = np.isin(self.runs.rows, runs.rows)
        return replace(self, runs=runs, unique_tokens=self.unique_tokens[chosen], data=self.data[chosen])

    def take(self, mask: NDArray[np.bool_], reason: str) -> RepeatedRuns:
        """Return the runs of a mask, the others set aside for a reason."""
        return self.keep(self.runs.take(mask, reason))

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON holds it, without the runs themselves."""
        details = {aside.row: aside.detail for aside in self.runs.set_aside if aside.detail}
        return self.runs.to_dict() | {
            "epochs": [float(self.epochs.min()), float(self.epochs.max())],
            "unique_tokens": [float(self.unique_tokens.min()), float(self.unique_tokens.max())],
            "data_sets": sorted(set(self.data.tolist())),
            "details": [{"row": row, "detail": words} for row, words in details.items()],
        }


def read_repeated_runs(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    loss_unit: Literal["nats", "bits"] | None = None,
    sheet: str | None = None,
) -> RepeatedRuns:
    """Read runs with their unique tokens, or epochs, from any file that `fit.runs.read_runs` reads.

    Set aside, each with its reason: rows without a number; a run whose losses are those of another run under another
    number of epochs; a curve that ends more than 3% above its lowest loss, as the law knows no overfitting.

    Parameters
    ----------
    path, columns, loss_unit, sheet
        As for `read_runs`; `columns` may also name unique_tokens, epochs and data.

    Raises
    ------
    InputError
        No such file, or a column or sheet that it does not have.
    SpreadsheetError
        A file that cannot be understood, has neither unique tokens nor epochs, or fewer than 4 usable runs.
    """
    stated = {} if columns is None else dict(columns)
    for role in stated:
        if role not in _NAMES and role not in ROLES and recognise(role) is None:
            raise InputError(
                f"--columns {printable(role)}={printable(stated[role])}: {nearest(role, [*ROLES, *_NAMES])}"
            )
    own = {role: stated.pop(role) for role in _NAMES if role in stated}
    table = read_table(path, lambda names: count_recognised(names, stated) + len(_own_columns(names, {})), sheet)
    known: dict[tuple[int, float], Numbers] = {}

    def numbers(column: Column) -> Numbers:
        key = (column.index, column.meaning.scale)
        if key not in known:
            known[key] = read_numbers(table.column(column.index), column.meaning.scale)
        return known[key]

    chosen, notes = find_columns(table.names, numbers, stated, table.place)
    further = _own_columns(table.names, own, table.place)
    if "unique_tokens" not in further and "epochs" not in further:
        raise SpreadsheetError(
            f"{table.place}: no column for the unique tokens or the epochs; name it: --columns unique_tokens=NAME"
        )
    rows = _Rows.of(table, chosen, further, numbers, loss_unit)
    if "flops" in chosen and {"tokens", "tokens_per_param"} & set(chosen):
        complaint = contradicts_6ND(numbers(chosen["flops"]).values, rows.params, rows.tokens)
        if complaint:
            notes = [*notes, f"flops: column '{printable(chosen['flops'].name)}' {complaint}, so 6ND is used"]
    return _choose(rows, notes, printable(Path(path).name), table.place)


def _own_columns(names: Sequence[str], stated: Mapping[str, str], place: str = "") -> dict[str, Column]:
    """Return the columns of the three further roles, by what was stated and by name."""
    found: dict[str, Column] = {}
    for role, aliases in _NAMES.items():
        wanted = {fold(stated[role])} if role in stated else set(aliases.split())
        for index, name in enumerate(names):
            base, _, unit = name.partition("(")
            if fold(name) not in wanted and fold(base) not in wanted:
                continue
            # The units of unique tokens are those of tokens.
            meaning = recognise(f"tokens ({unit.rstrip(') ')})") if unit and role == "unique_tokens" else None
            if role not in found:
                found[role] = Column(index, name, Meaning(role, scale=1.0 if meaning is None else meaning.scale))
        if role in stated and role not in found:
            hint = printable(nearest(stated[role], [name for name in names if name.strip()]))
            raise InputError(f"{place}: --columns {role}={printable(stated[role])}: no such column; {hint}")
    return found


@dataclass(frozen=True, eq=False)
class _Rows:
    """Every row of the file: its numbers, and why it has none."""

    params: Array
    tokens: Array
    unique: Array
    epochs: Array
    loss: Array
    data: NDArray[np.str_]
    names: NDArray[np.str_]
    at: NDArray[np.int64]
    faults: Mapping[int, tuple[str, str]]
    curves: bool
    conventions: dict[str, str]

    @classmethod
    def of(
        cls,
        table: Table,
        chosen: Mapping[str, Column],
        further: Mapping[str, Column],
        numbers: Callable[[Column], Numbers],
        loss_unit: Literal["nats", "bits"] | None,
    ) -> _Rows:
        roles = {
            role: numbers(column) for role, column in {**chosen, **further}.items() if role not in ("name", "data")
        }
        N, L = roles["params"].values, roles["loss"].values
        unit = loss_unit or chosen["loss"].meaning.kind or "nats"
        with np.errstate(all="ignore"):
            if "tokens" in chosen:
                D, role = roles["tokens"].values, "tokens"
            elif "tokens_per_param" in chosen:
                D, role = N * roles["tokens_per_param"].values, "tokens_per_param"
            else:
                D, role = roles["flops"].values / (6.0 * N), "flops"
            curves = "unique_tokens" in further and "epochs" in further
            unique = roles["unique_tokens"].values if "unique_tokens" in further else D / roles["epochs"].values
            epochs = roles["epochs"].values if "epochs" in further else D / unique
            loss = L * NATS_PER_BIT if unit == "bits" else L
        checked = [("params", N), (role, roles[role].values), ("loss", loss), ("tokens", D)]
        checked += [("unique_tokens", unique)] if "unique_tokens" in further else []
        checked += [("epochs", epochs)]
        faults = find_faults(checked, {role: column.faults for role, column in roles.items()})
        said = {role: column.describe() for role, column in {**chosen, **further}.items() if role != "flops"}
        said.setdefault("tokens", "C/(6N)" if role == "flops" else f"N times {said.pop('tokens_per_param', '')}")
        said["counts"] = chosen["params"].meaning.kind or "not stated"
        said["loss_unit"] = unit
        return cls(
            N, D, unique, epochs, loss, _words(table, further.get("data")), _words(table, chosen.get("name")),
            table.rows, faults, curves, said,
        )  # fmt: skip


def _words(table: Table, column: Column | None) -> NDArray[np.str_]:
    if column is None:
        return np.full(len(table.rows), "", dtype=np.str_)
    return np.array([printable(str(cell)[:200].strip()) for cell in table.column(column.index)], dtype=np.str_)


def _choose(rows: _Rows, notes: list[str], source: str, place: str) -> RepeatedRuns:
    """Bring curves to their final losses and set runs aside."""
    good = np.array([i for i in range(len(rows.params)) if i not in rows.faults], dtype=np.int64)
    aside = [SetAside(int(rows.at[i]), *reason) for i, reason in rows.faults.items()]
    curves = _curves(rows, good)
    final: list[int] = []
    seen: dict[tuple[bytes, ...], int] = {}
    for curve in curves:
        last = int(curve[-1])
        row = int(rows.at[last])
        # What two runs over different data cannot share, unless neither repeats any of it.
        mark = tuple(part[curve].tobytes() for part in (rows.params, rows.tokens, rows.loss))
        twin = seen.setdefault((*mark, rows.data[last].tobytes()), last)
        repeats = max(rows.tokens[i] / rows.unique[i] for i in (last, twin)) > 1.0
        if twin != last and (repeats or rows.unique[twin] == rows.unique[last]):
            aside.append(SetAside(row, *_same_as(rows, last, twin)))
        elif curve.size >= _POINTS and rows.loss[last] > (1.0 + RISE) * rows.loss[curve].min():
            aside.append(SetAside(row, *_rises(rows, curve)))
        else:
            final.append(last)
    if len(curves) < good.size:
        notes = [
            *notes,
            f"{good.size} rows are the curves of {len(curves)} runs; the last row of each is its final loss",
        ]
    if len(final) < FEWEST:
        found = "; ".join(f"{each.reason}: row {each.row}" for each in aside[:3])
        raise SpreadsheetError(
            f"{place}: {len(final)} usable runs, at least {FEWEST} are needed{': ' * bool(found)}{found}"
        )
    kept = np.array(sorted(final), dtype=np.int64)
    runs = Runs(
        params=rows.params[kept],
        tokens=rows.tokens[kept],
        loss=rows.loss[kept],
        names=rows.names[kept] if rows.names[kept].any() else None,
        rows=rows.at[kept],
        set_aside=tuple(sorted(aside, key=lambda each: each.row)),
        conventions=rows.conventions,
        notes=tuple(notes),
        source=source,
    )
    for complaint in (accuracies(runs.params, runs.tokens, runs.loss), units_forgotten(runs.params, runs.tokens)):
        if complaint:
            raise SpreadsheetError(f"{place}: {complaint}")
    return RepeatedRuns(runs=runs, unique_tokens=rows.unique[kept], data=rows.data[kept])


def _curves(rows: _Rows, good: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each run, by rising tokens, in the order of the file."""
    if not rows.curves:
        return [np.array([i], dtype=np.int64) for i in good]
    runs: dict[tuple[Any, ...], list[int]] = {}
    for i in good.tolist():
        key = (rows.names[i], rows.data[i], rows.params[i], rows.unique[i], rows.epochs[i])
        runs.setdefault(key, []).append(i)
    return [np.array(each)[np.argsort(rows.tokens[each], kind="stable")] for each in runs.values()]


def _same_as(rows: _Rows, last: int, twin: int) -> tuple[str, str]:
    if rows.unique[twin] == rows.unique[last]:
        return "duplicate", f"same numbers as row {rows.at[twin]}"
    mine, theirs = (format_size(rows.epochs[i]) for i in (last, twin))
    detail = (
        f"{format_number(rows.params[last])} params, {mine} epochs: every loss is that of the run of {theirs} epochs "
        f"which ends in row {rows.at[twin]}, so that one of the two is mislabelled"
    )
    return "same losses as another run under other epochs", detail


def _rises(rows: _Rows, curve: NDArray[np.int64]) -> tuple[str, str]:
    last, lowest = int(curve[-1]), int(curve[np.argmin(rows.loss[curve])])
    rise = rows.loss[last] / rows.loss[lowest] - 1.0
    detail = (
        f"{format_number(rows.params[last])} params: {rows.loss[last]:.3f} at the end, {format_percent(rise, 0)} over "
        f"{rows.loss[lowest]:.3f} at {format_number(rows.tokens[lowest])} tokens; the law knows no overfitting"
    )
    return f"the loss rises again, {format_size(rows.epochs[last])} epochs", detail
