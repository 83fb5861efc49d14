"""What a sweep says, in words and tables."""

from __future__ import annotations

from typing import Any

from beyond_chinchilla.analyse.sweep.columns import STATUS
from beyond_chinchilla.analyse.sweep.run import Outcome, Slow
from beyond_chinchilla.analyse.sweep.summary import ALL, Pivot, Summary
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_number, format_percent

_SHARES = ("savings_fraction",)
_LONG = 3600.0


def summary(found: Summary) -> list[Block]:
    """Return the page: rows by status, best and worst, quantiles."""
    told = "rows so far" if found.partial else "rows"
    counts = [[status, f"{count:,}", format_percent(count / found.rows)] for status, count in found.counts.items()]
    blocks = [Block(f"{found.name}: {found.rows:,} {told}", ["status", "rows", "share"], counts)]
    for title, rows in found.ranked.items():
        heads = [name for name in rows[0] if name != STATUS]
        cells = [[_shown(row[name], name, found.units) for name in heads] for row in rows]
        words = {place for place, name in enumerate(heads) if isinstance(rows[0][name], str)}
        blocks.append(Block(title[0].upper() + title[1:], heads, cells, words=frozenset({0, *words})))
    if found.quantiles:
        blocks.append(_quantiles(found))
    return blocks


def _quantiles(found: Summary) -> Block:
    grouped = found.by is not None
    heads = [*([found.by] if found.by else []), "figure", *(f"{100 * share:g}%" for share in found.shares)]
    cells = []
    for each in found.quantiles:
        value = [] if each.value == ALL and not grouped else [_shown(each.value, found.by or "", found.units)]
        cells.append([*value, each.figure, *(_shown(x, each.figure, found.units) for x in each.quantiles)])
    line = (
        f"Each to within {format_percent(found.error)} of itself: too many rows to hold."
        if found.error
        else "Over the rows that have a plan."
    )
    return Block("Quantiles", heads, cells, [line], frozenset({0, 1} if grouped else {0}))


def pivot(found: Pivot) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of a pivot."""
    heads = [found.row, *(_shown(head, found.column, {}) for head in found.heads)]
    return heads, [
        [_shown(side, found.row, {}), *("-" if x is None else _shown(x, found.value, {}) for x in values)]
        for side, values in found.cells
    ]


def _shown(value: Any, name: str, units: dict[str, str]) -> str:
    """Write a cell as people do."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if name in _SHARES:
        return format_percent(value)
    # Units of the figures of a plan stand in its other pages as well: only money is marked.
    return format_amount(value, "USD") if units.get(name) == "USD" else format_number(value)


def finished(outcome: Outcome, seconds: float) -> str:
    """Say what a sweep has made, and how fast."""
    made = outcome.rows - outcome.found
    pace = f", {format_number(made / seconds)} rows/s" if made and seconds > 0 else ""
    taken = f" ({outcome.found:,} rows were there before)" if outcome.found else ""
    counts = ", ".join(f"{count:,} {status}" for status, count in outcome.counts.items())
    return f"wrote {outcome.output}: {outcome.rows:,} rows{taken}, {counts}{pace}"


def slow_rows(slow: Slow, workers: int) -> str:
    """Say up front that rows are solved one by one, and how long that takes."""
    each = f"{1000 * slow.seconds:.3g} ms" if slow.seconds < 1.0 else f"{slow.seconds:.3g} s"
    return (
        f"{slow.rows:,} rows are solved one by one ({slow.why}): {each} a row, about "
        f"{duration(slow.rows * slow.seconds / workers)} on {workers} {'core' if workers == 1 else 'cores'}"
    )


def duration(seconds: float) -> str:
    """Write a time as people do.

    >>> duration(42.0), duration(600.0), duration(10000.0)
    ('42 s', '10 min', '2.8 h')
    """
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 2.0 * _LONG else f"{seconds / _LONG:.1f} h"
