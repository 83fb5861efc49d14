"""SECURITY.md says what is so: its bounds are those of the code, and the tests that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

from beyond_chinchilla.fit import columns, curves, run_files
from beyond_chinchilla.report.html import serve
from beyond_chinchilla.scenario import document, json_file
from beyond_chinchilla.tables import files, packages

ROOT = Path(__file__).parents[2]
TEXT = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())


def test_bounds_are_those_of_the_code():
    said = {
        f"a scenario | {document.MAX_BYTES // 10**6} MB, {document.MAX_NODES:,} values, {document.MAX_DEPTH} levels",
        f"JSON | {json_file.MAX_BYTES // 10**6} MB",
        f"prices | {files.MAX_BYTES // 10**6} MB, {files.MAX_ROWS:,} rows, {files.MAX_COLUMNS:,} columns",
        f"forecast | {packages.MAX_UNPACKED // 10**6} MB unpacked and {packages.MAX_RATIO}-fold",
        f"-fold, {packages.MAX_PARTS:,} parts",
        f"curve | {curves.MAX_BYTES // 10**6} MB, {curves.MAX_LINES:,} lines",
        f"column | {columns.LONGEST_NAME} letters",
        f"token of {8 * serve._TOKEN_BYTES} bits",
    }
    assert {line for line in said if line not in TEXT} == set()
    assert (run_files.MAX_BYTES, run_files.MAX_ROWS, run_files.MAX_COLUMNS) == (
        files.MAX_BYTES,
        files.MAX_ROWS,
        files.MAX_COLUMNS,
    )


def test_every_test_that_it_names_is_there():
    named = set(re.findall(r"`(tests/[\w/.]+)`", TEXT))
    assert len(named) >= 8
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
