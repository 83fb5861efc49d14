"""Faults against outcomes, as markdown: ``python -m benchmarks.faults_table benchmarks/tried/faults.json``.

The record is what ``tests/faults/inject.py --record`` writes.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beyond_chinchilla.report.tables import to_markdown

HEADS = ("fault", "writers", "shots", "old file", "new file", "whole after --resume", "half", "traceback", "exit")


def table(record: Mapping[str, Any]) -> str:
    """Return a row for each fault, over all writers.

    Parameters
    ----------
    record : mapping
        ``rows``, each the outcome of one fault of one writer.
    """
    by_fault: dict[str, list[Mapping[str, Any]]] = {}
    for row in record["rows"]:
        by_fault.setdefault(row["fault"], []).append(row)
    return to_markdown(HEADS, [_line(fault, rows) for fault, rows in by_fault.items()])


def _line(fault: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    total = {
        key: sum(row[key] for row in rows) for key in ("shots", "old", "new", "resumed", "half", "gone", "traceback")
    }
    exits: Counter[str] = Counter()
    for row in rows:
        exits.update(row["exits"])
    # What is printed has no file.
    has_file = total["old"] + total["new"] + total["resumed"] + total["half"] + total["gone"] > 0
    # A file that is gone is worse than half of one.
    halves = total["half"] + total["gone"]
    files = [str(total["old"]), str(total["new"]), str(total["resumed"]), str(halves)] if has_file else ["", "", "", ""]
    codes = ", ".join(f"{_ended(code)}: {count}" for code, count in sorted(exits.items(), key=lambda each: -each[1]))
    return [fault, str(len(rows)), str(total["shots"]), *files, str(total["traceback"]), codes]


def _ended(code: str) -> str:
    return f"signal {code[1:]}" if code.startswith("-") else code


def main() -> None:
    """Print the table of a record."""
    sys.stdout.write(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
