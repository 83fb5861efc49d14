"""What a sweep says, read in one pass and never held whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from beyond_chinchilla.analyse.sweep import parts
from beyond_chinchilla.analyse.sweep.columns import STATUS
from beyond_chinchilla.analyse.sweep.kept import Kept
from beyond_chinchilla.analyse.sweep.sketch import ERROR, Sketch
from beyond_chinchilla.errors import InputError

# So many numbers are held for exact quantiles; of more only a sketch.
HELD = 20_000_000
MOST_GROUPS = 1_000
MOST_CELLS = 1_000_000
MOST_RANKED = 1_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ALL = "all"
# Partial tables of a pivot that are added up at once.
_ADDED = 64

# Title, column and order of each list of rows.
RANKINGS = (
    ("cheapest", "total", "ascending"),
    ("dearest", "total", "descending"),
    ("saves most", "savings_fraction", "descending"),
    ("saves least", "savings_fraction", "ascending"),
)


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """How one figure spreads in one group.

    Attributes
    ----------
    value : object
        What the group has in common; "all" where nothing was asked.
    figure : str
    rows : int
    quantiles : tuple of float
        At the shares that were asked for.
    """

    value: Any
    figure: str
    rows: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a sweep says.

    Attributes
    ----------
    name : str
    rows : int
    counts : mapping of str to int
        Rows by status.
    ranked : mapping of str to list of dict
        The first rows by total and by savings, from both ends.
    by : str or None
    shares : tuple of float
    quantiles : tuple of Quantiles
    error : float
        By how much quantiles may be off, relative to their size; 0 where they are exact.
    units : mapping of str to str
        By column.
    partial : bool
        Whether parts were missing.
    """

    name: str
    rows: int
    counts: dict[str, int]
    ranked: dict[str, list[dict[str, Any]]]
    by: str | None
    shares: tuple[float, ...]
    quantiles: tuple[Quantiles, ...]
    error: float
    units: dict[str, str]
    partial: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "sweep": self.name,
            "rows": self.rows,
            "partial": self.partial,
            "status": self.counts,
            "units": self.units,
            "ranked": self.ranked,
            "quantiles": self.to_rows(),
            "quantile_error": self.error,
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the quantiles, a record for each figure of each group."""
        by = self.by or "group"
        return [
            {by: each.value, "figure": each.figure, "rows": each.rows}
            | {f"q{100 * share:g}": value for share, value in zip(self.shares, each.quantiles, strict=True)}
            for each in self.quantiles
        ]


def summarise(
    kept: Kept,
    *,
    by: str | None = None,
    best: int = 3,
    shares: Sequence[float] = QUANTILES,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Read a sweep through once.

    Parameters
    ----------
    kept : Kept
    by : str, optional
        Column whose every value gets its own quantiles.
    best : int
        Rows in each list of best and worst.
    shares : sequence of float
        Of the quantiles.
    progress : callable, optional
        Told how many files have been read, and of how many rows nothing is known.

    Raises
    ------
    InputError
        No such column, or one of too many values; senseless shares or counts.
    """
    if by is not None:
        kept.column(by, "--by")
    if not 0 <= best <= MOST_RANKED:
        raise InputError(f"--best {best}: give 0 to {MOST_RANKED:,} rows")
    wrong = [share for share in shares if not 0.0 <= share <= 1.0]
    if wrong or not shares:
        raise InputError(f"--quantiles {wrong[0] if wrong else ''}: give shares from 0 to 1, such as .05,.5,.95")
    counts: Counter[str] = Counter()
    rankings = [each for each in RANKINGS if each[1] in kept.columns]
    ranked: dict[str, Any] = {}
    spreads = _Spreads(kept.figures, by)
    rows = 0
    total = int(kept.record.get("rows", 0))
    for batch in kept.batches():
        rows += batch.num_rows
        for pair in pc.value_counts(batch.column(STATUS).cast(pa.string())).to_pylist():
            counts[pair["values"]] += pair["counts"]
        planned = batch.filter(pc.equal(batch.column(STATUS).cast(pa.string()), parts.STATUSES[0]))
        if planned.num_rows:
            for title, column, order in rankings if best else ():
                ranked[title] = _first(ranked.get(title), planned, column, order, best)
            spreads.add(planned)
        if progress is not None:
            progress(rows, total)
    return Summary(
        name=kept.place,
        rows=rows,
        counts={status: counts[status] for status in parts.STATUSES if counts[status]},
        ranked={title: table.to_pylist() for title, table in ranked.items()},
        by=by,
        shares=tuple(shares),
        quantiles=spreads.quantiles(shares),
        error=0.0 if spreads.is_exact else ERROR,
        units={name: kept.unit(name) for name in kept.columns if kept.unit(name)},
        partial=bool(kept.record) and rows < total,
    )


def _first(held: Any, batch: Any, column: str, order: str, count: int) -> Any:
    """Return the first rows of those held and of a batch; equals in order of their place."""
    keys = [(column, order), ("row", "ascending")]
    mine = batch.take(pc.select_k_unstable(batch, k=count, sort_keys=keys))
    words = [field.with_type(_plain(field.type)) for field in mine.schema]
    table = pa.Table.from_batches([mine]).cast(pa.schema(words))
    if held is not None:
        table = pa.concat_tables([held, table])
    return table.take(pc.select_k_unstable(table, k=count, sort_keys=keys))


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


class _Spreads:
    """Numbers by group and figure: all of them as long as memory is meant to hold them, then a sketch."""

    def __init__(self, figures: Sequence[str], by: str | None) -> None:
        self._figures, self._by = figures, by
        self._held: dict[tuple[Any, str], list[NDArray[np.float64]]] = {}
        self._sketches: dict[tuple[Any, str], Sketch] = {}
        self._rows: Counter[tuple[Any, str]] = Counter()
        self._count = 0
        self.is_exact = True

    def add(self, batch: Any) -> None:
        """Take a batch of plans."""
        for value, part in self._groups(batch):
            for figure in self._figures:
                numbers = part.column(figure).drop_null().to_numpy(zero_copy_only=False)
                numbers = numbers[np.isfinite(numbers)]
                if numbers.size:
                    self._put((value, figure), numbers)

    def _groups(self, batch: Any) -> Iterable[tuple[Any, Any]]:
        if self._by is None:
            return [(ALL, batch)]
        column = batch.column(self._by)
        column = column.cast(_plain(column.type))
        values = column.unique().to_pylist()
        if len(values) == 1:
            return [(values[0], batch)]
        if len({key[0] for key in self._rows} | set(values)) > MOST_GROUPS:
            raise InputError(f"--by {self._by}: has more than {MOST_GROUPS:,} values; take a column of fewer")
        return [
            (value, batch.filter(pc.is_null(column) if value is None else pc.equal(column, value))) for value in values
        ]

    def _put(self, key: tuple[Any, str], numbers: NDArray[np.float64]) -> None:
        self._rows[key] += numbers.size
        self._count += numbers.size
        if self.is_exact and self._count > HELD:
            self.is_exact = False
            for held, lists in self._held.items():
                for each in lists:
                    self._sketches.setdefault(held, Sketch()).add(each)
            self._held.clear()
        if self.is_exact:
            self._held.setdefault(key, []).append(numbers.copy())
        else:
            self._sketches.setdefault(key, Sketch()).add(numbers)

    def quantiles(self, shares: Sequence[float]) -> tuple[Quantiles, ...]:
        """Return the quantiles, groups in order of their value."""
        found = []
        for value, figure in sorted(self._rows, key=lambda key: (_order(key[0]), self._figures.index(key[1]))):
            key = value, figure
            if self.is_exact:
                numbers = [float(x) for x in np.quantile(np.concatenate(self._held[key]), shares)]
            else:
                numbers = self._sketches[key].quantiles(shares)
            found.append(Quantiles(value=value, figure=figure, rows=self._rows[key], quantiles=tuple(numbers)))
        return tuple(found)


def _order(value: Any) -> tuple[bool, Any]:
    """Return a key by which numbers come before words and each in its own order."""
    number = isinstance(value, (int, float))
    return not number, value if number else str(value)


@dataclass(frozen=True, kw_only=True)
class Pivot:
    """The mean of a figure by two columns.

    Attributes
    ----------
    row, column, value : str
    heads : tuple
        Values of `column`, in order.
    cells : tuple of (value of `row`, tuple of float or None)
    """

    row: str
    column: str
    value: str
    heads: tuple[Any, ...]
    cells: tuple[tuple[Any, tuple[float | None, ...]], ...]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a record for each row, a key for each column."""
        names = [str(head) for head in self.heads]
        return [{self.row: row} | dict(zip(names, values, strict=True)) for row, values in self.cells]


def pivot(kept: Kept, row: str, column: str, value: str) -> Pivot:
    """Return the mean of a figure over the plans of each pair of values; None where there is no plan.

    Raises
    ------
    InputError
        No such column, a value that is no number, or more cells than anybody reads.
    """
    names = [kept.column(name, "--pivot") for name in (row, column, value)]
    if len(set(names)) < 3:
        raise InputError(f"--pivot {','.join(names)}: give three different columns")
    if value not in [field.name for field in kept.schema if pa.types.is_floating(field.type)]:
        raise InputError(
            f"--pivot {','.join(names)}: {value} holds no numbers; {'give one of ' + ', '.join(kept.figures)}"
        )
    partial: list[Any] = []
    for batch in kept.batches([*dict.fromkeys((*names, STATUS))]):
        planned = batch.filter(pc.equal(batch.column(STATUS).cast(pa.string()), parts.STATUSES[0]))
        table = pa.table(
            {
                "row": planned.column(row).cast(_plain(planned.column(row).type)),
                "column": planned.column(column).cast(_plain(planned.column(column).type)),
                "sum": planned.column(value),
                "count": pa.array(np.ones(planned.num_rows, dtype=np.int64)),
            }
        )
        partial.append(_added(table))
        if len(partial) >= _ADDED:
            partial = [_added(pa.concat_tables(partial))]
            if partial[0].num_rows > MOST_CELLS:
                raise InputError(
                    f"--pivot {','.join(names)}: more than {MOST_CELLS:,} cells; take columns of fewer values"
                )
    found = {
        (each["row"], each["column"]): each["sum"] / each["count"]
        for each in (_added(pa.concat_tables(partial)).to_pylist() if partial else ())
        if each["count"]
    }
    heads = tuple(sorted({pair[1] for pair in found}, key=_order))
    sides = sorted({pair[0] for pair in found}, key=_order)
    if len(heads) * len(sides) > MOST_CELLS:
        raise InputError(f"--pivot {','.join(names)}: more than {MOST_CELLS:,} cells; take columns of fewer values")
    cells = tuple((side, tuple(_finite(found.get((side, head))) for head in heads)) for side in sides)
    return Pivot(row=row, column=column, value=value, heads=heads, cells=cells)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _added(table: Any) -> Any:
    found = table.group_by(["row", "column"], use_threads=False).aggregate([("sum", "sum"), ("count", "sum")])
    return found.rename_columns([name.removesuffix("_sum") for name in found.column_names])
