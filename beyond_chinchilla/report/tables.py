"""Catalogue tables and single records in every format of the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from beyond_chinchilla.files import harmless_cell
from beyond_chinchilla.report import markdown


def to_json(value: Any) -> str:
    """Return indented JSON; NaN is a bug, not an output."""
    return visible(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)) + "\n"


def visible(text: str) -> str:
    """Return JSON with what could move a terminal's cursor, or turn its letters round, written by its number.

    >>> visible(json.dumps("a\\u202eb", ensure_ascii=False))
    '"a\\\\u202eb"'
    """
    return "\n".join(
        line if line.isprintable() else "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)
        for line in text.split("\n")
    )


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV with one header of all their keys, in order of first appearance."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for line in (keys, *([record.get(key, "") for key in keys] for record in records)):
        writer.writerow([harmless_cell(value) if isinstance(value, str) else value for value in line])
    return buffer.getvalue()


def to_parquet(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Return records as the bytes of a Parquet file, one column for each of their keys."""
    import pandas as pd  # 0.4 s with pyarrow: only for who asks for a table

    buffer = io.BytesIO()
    pd.DataFrame.from_records(list(records)).to_parquet(buffer, index=False)
    return buffer.getvalue()


def to_markdown(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Return a markdown table."""
    return "\n".join(markdown.table(heads, cells)) + "\n"


def print_table(console: Console, heads: Sequence[str], cells: Sequence[Sequence[str]], note: str) -> None:
    """Print a table whose first and last columns are text and the others numbers, and a note below it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, head in enumerate(heads):
        is_last = index == len(heads) - 1
        table.add_column(head, justify="left" if is_last or index == 0 else "right", no_wrap=not is_last)
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)
    console.print()
    console.print(Text(note, style="dim"))


def print_record(console: Console, title: str, fields: Sequence[tuple[str, str]]) -> None:
    """Print one entry of a catalogue, a line for each field that has a value."""
    console.print(Text(title, style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(name, Text(value))
    console.print(table)
