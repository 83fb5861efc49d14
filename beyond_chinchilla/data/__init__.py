"""The tables that come with the package: one YAML file each, one row for each name.

A table is text in which every row starts at the left margin with its name. `load_row` cuts the text there and
parses only the row asked for: parsing a whole table would be most of a cold start of the command line.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_ROW = re.compile(r"^(?P<name>[A-Za-z0-9][^\s:#]*):", re.MULTILINE)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


def row_names(table: str) -> list[str]:
    """List the names of the rows of `table`, in the order of the file.

    >>> row_names("hardware")[:2]
    ['a100-40gb-sxm', 'a100-80gb-sxm']
    """
    return list(_rows(table))


@functools.cache
def load_table(name: str) -> dict[str, Any]:
    """Read a whole table.

    The result is kept and shared: do not change it. Dates stay text, and so does a number such as ``1e9``
    (YAML 1.1 takes only ``1.0e+9`` for one): read those with `beyond_chinchilla.units.parse_number`.

    >>> load_table("models")["llama-7b"]["params"]
    '6.7B'
    """
    return {row: load_row(name, row) for row in _rows(name)}


@functools.cache
def load_row(table: str, row: str) -> Any:
    """Read one row of a table; the result is kept and shared: do not change it.

    Raises
    ------
    KeyError
        The table has no such row.

    >>> load_row("hardware", "h100-sxm")["memory"]
    '80 GB'
    """
    import yaml  # 10 ms: not before a row is asked for

    return yaml.load(_rows(table)[row], Loader=_loader())[row]  # noqa: S506 - a safe loader, see _loader


@functools.cache
def _rows(table: str) -> dict[str, str]:
    """Cut a table's text into its rows."""
    text = (_HERE / f"{table}.yaml").read_text(encoding="utf-8")
    heads = list(_ROW.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {head["name"]: text[head.start() : end] for head, end in zip(heads, ends, strict=True)}


@functools.cache
def _loader() -> Any:
    """Return the fast safe loader, less its habit of turning ``2026-08-21`` into a date."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != _TIMESTAMP]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    return type("_TextDateLoader", (base,), {"yaml_implicit_resolvers": resolvers})


def read_text(file: str) -> str:
    """Return a file of the package's data as text.

    >>> read_text("scenario-template.yaml").startswith("# A plan")
    True
    """
    return (_HERE / file).read_text(encoding="utf-8")
