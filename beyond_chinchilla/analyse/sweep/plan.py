"""What a sweep is asked: checked, cut into parts and measured before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from beyond_chinchilla.analyse.sweep import parts, table, variants
from beyond_chinchilla.analyse.sweep.axes import Axis, Words, read_axes
from beyond_chinchilla.analyse.sweep.columns import DEFAULT, NUMBER, ROW, STATUS, WORD, Column, chosen
from beyond_chinchilla.analyse.sweep.folder import Folder, is_url
from beyond_chinchilla.analyse.sweep.grid import Beside, Grid
from beyond_chinchilla.analyse.sweep.manifest import Manifest
from beyond_chinchilla.analyse.sweep.run import Sweep
from beyond_chinchilla.analyse.sweep.table import Table
from beyond_chinchilla.analyse.sweep.variants import MOST_VARIANTS
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.field_at import Field
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.numbers import currency_of

# Rows that are solved at once: a megabyte a column, and little of Python's lock, which threads share, for each.
BLOCK = 1 << 17
# Rows of a part, at most: a second of work, and what is lost when it is broken off.
_PART = 1 << 20
# A sweep makes so many parts before they grow, so that every worker has some.
_PARTS = 64
# Rows that are solved one by one take a second or so each.
_SLOW_BLOCK = 32
# More than this is asked for by a slip.
MOST_ROWS = 1_000_000_000
_STATUS = Column(
    name=STATUS,
    unit="",
    description="Whether there is a plan: optimal, or why not.",
    kind=WORD,
    words=parts.STATUSES,
)


def plan_sweep(
    scenario: Scenario,
    *,
    vary: Sequence[str] = (),
    beside: bool = False,
    table_path: str | Path | None = None,
    columns: Sequence[str] = (),
    output: str,
    allowed: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Return a sweep, checked and measured but not begun.

    Parameters
    ----------
    scenario : Scenario
    vary : sequence of str
        ``"demand.requests=1e6:1e12:log:200"`` or ``"law=sardana-2024,besiroglu-2024"``, the first slowest.
    beside : bool
        Take the values side by side rather than every combination.
    table_path : path, optional
        A table with a scenario in each row, instead of `vary`.
    columns : sequence of str
        Figures to keep; by default params, tokens, total and savings_fraction.
    output : str
        Path ending in .parquet, .csv or .arrow, or a URL ending in .parquet.
    allowed : bool
        Whether it may be as large as it is.
    progress : callable, optional
        Told how many scenarios have been checked.

    Raises
    ------
    InputError
        What cannot vary, or too much of it; an output that cannot be.
    """
    format_ = parts.format_of(output)
    if format_ != "parquet" and is_url(output):
        raise InputError(f"--output {output}: only parquet goes to a URL; csv and arrow are files of this machine")
    folder = Folder(output if format_ == "parquet" else f"{output}.parts")
    folder.check()
    if bool(vary) == (table_path is not None):
        how = "both --vary and --from are given; keep one" if vary else "nothing varies; give --vary or --from"
        raise InputError(f"{how}, such as --vary demand.requests=1e6:1e12:log:200")
    if beside and not vary:
        raise InputError("--zip goes with --vary; the rows of a table are side by side already")
    tree = scenario.file.model_dump(exclude_none=True, include={"currency"})
    source, fields, samples = _source(scenario, vary, beside, table_path, currency_of(tree))
    _guard(source.rows, fields, columns, format_, folder, allowed)
    built = variants.build(scenario, source.own, source.choices(), samples, progress)
    unit = " or ".join(dict.fromkeys(variant.unit for variant in built))
    labels = list(dict.fromkeys(label for variant in built for label in variant.labels))
    asked = chosen(columns, labels, unit)
    varied = tuple(_column(field, source) for field in fields)
    every = (ROW, *varied, _STATUS, *asked)
    block = _SLOW_BLOCK if any(variant.slow for variant in built) else BLOCK
    per_part = min(max(-(-source.rows // (_PARTS * block)), 1), max(_PART // block, 1) if block == BLOCK else 1) * block
    record = {
        "version": _version(),
        "scenario": scenario.to_dict(),
        **source.to_dict(),
        "columns": [column.name for column in asked],
        "format": format_,
    }
    manifest = Manifest(
        asked=record, rows=source.rows, rows_per_part=per_part, rows_per_block=block, columns=every, unit=unit
    )
    return Sweep(
        source=source,
        variants=built,
        asked=asked,
        folder=folder,
        output=output,
        format_=format_,
        manifest=manifest,
    )


def _version() -> str:
    try:
        return version("beyond-chinchilla")
    except PackageNotFoundError:
        return "unknown"


def _source(
    scenario: Scenario,
    vary: Sequence[str],
    beside: bool,
    table_path: str | Path | None,
    currency: Mapping[str, Any] | None,
) -> tuple[Grid | Beside | Table, tuple[Field, ...], dict[Field, tuple[str, ...]]]:
    """Return the rows, their keys in order, and samples of the numbers."""
    if table_path is not None:
        fields = table.columns_of(table_path)
        own, _ = variants.parted(fields, scenario)
        found = table.scan(table_path, fields, own, currency)
        return found, fields, dict(found.samples)
    axes = read_axes(vary, currency)
    own, _ = variants.parted([_as_words(axis) for axis in axes], scenario)
    keys = tuple(axis.field for axis in axes if axis.field.dotted in {each.dotted for each in own})
    rows = (Beside if beside else Grid)(axes=axes, own=keys)
    if rows.variants > MOST_VARIANTS:
        names = ", ".join(each.dotted for each in keys)
        raise InputError(
            f"{rows.variants:,} choices of {names}, each a scenario of its own, are more than {MOST_VARIANTS:,}; "
            "vary fewer of their values"
        )
    samples = {axis.field: axis.samples() for axis in axes if axis.field not in keys}
    return rows, tuple(axis.field for axis in axes), samples


def _as_words(axis: Axis) -> Field:
    """Return the key of an axis; without its reader where words were given."""
    return replace(axis.field, kind=None) if isinstance(axis.values, Words) else axis.field


def _column(field: Field, source: Grid | Beside | Table) -> Column:
    """Return the column of a key that varies."""
    words: tuple[str, ...] = ()
    kind = WORD if field.kind is None else NUMBER
    if not isinstance(source, Table):
        (axis,) = (each for each in source.axes if each.field == field)
        if isinstance(axis.values, Words):
            kind, words = WORD, axis.values.values
    description = " ".join((field.description or f"{field.dotted} of the scenario.").split())
    return Column(name=field.dotted, unit=field.unit, description=description, kind=kind, words=words)


def _guard(
    rows: int, fields: Sequence[Field], columns: Sequence[str], format_: str, folder: Folder, allowed: bool
) -> None:
    """Refuse what is larger than anybody means, or than the disk."""
    size = parts.size_of(rows, len(fields) + len(columns or DEFAULT), format_)
    free = folder.free()
    told = f"{rows:,} rows, about {_bytes(size)}"
    if rows > MOST_ROWS and not allowed:
        raise InputError(f"{told}: more than {MOST_ROWS:,} rows; vary less, or say --yes to go on")
    if free is not None and size > free and not allowed:
        raise InputError(f"{told}, where {_bytes(free)} are free; vary less, make room, or say --yes to go on")


def _bytes(size: int) -> str:
    """Write a number of bytes."""
    number, unit = float(size), 0
    while number >= 1000.0 and unit < 5:
        number, unit = number / 1000.0, unit + 1
    return f"{number:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[unit]}"
