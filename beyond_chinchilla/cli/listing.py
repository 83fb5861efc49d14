"""What the catalogue commands have in common: a table of all entries, or one entry, in every format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beyond_chinchilla.cli import output as out


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Entries of a catalogue.

    Attributes
    ----------
    records : sequence of mapping
        Each entry in full, for JSON.
    flat : sequence of mapping
        Each entry as one row of figures, for CSV.
    heads, cells : sequences of str
        The table that a person reads; `note` stands below it.
    name : str or None
        The one entry that was asked for, and its `fields` as label and text.
    """

    records: Sequence[Mapping[str, Any]]
    flat: Sequence[Mapping[str, Any]]
    heads: Sequence[str]
    cells: Sequence[Sequence[str]]
    note: str
    name: str | None
    fields: Sequence[tuple[str, str]]


def emit(listing: Listing, chosen: str, output: Path | None) -> None:
    """Print the listing in a format, or write it to a file."""
    from beyond_chinchilla.report import tables

    name = listing.name
    if chosen == "json":
        out.emit(tables.to_json(listing.records[0] if name else list(listing.records)), output)
    elif chosen == "csv":
        out.emit(tables.to_csv(listing.flat), output)
    elif chosen == "markdown":
        out.emit(tables.to_markdown(listing.heads, listing.cells), output)
    elif name:
        out.show(lambda console: tables.print_record(console, name, listing.fields), output)
    else:
        out.show(lambda console: tables.print_table(console, listing.heads, listing.cells, listing.note), output)
