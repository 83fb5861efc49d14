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

from beyond_chinchilla.report import markdown

# What begins a formula, also in the wide forms that East Asian spreadsheets read.
_FORMULA = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", "\t")


def to_json(value: Any) -> str:
    """Return indented JSON; NaN is a bug, not an output."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV with one header of all their keys, in order of first appearance."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    harmless = [{key: _harmless(value) for key, value in record.items()} for record in records]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, keys, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(harmless)
    return buffer.getvalue()


def _harmless(value: Any) -> Any:
    """Return text that a spreadsheet would run as a formula with a quote before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


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
