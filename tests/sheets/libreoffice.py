"""LibreOffice as a calculator: it recalculates workbooks, many in one call."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl

# LibreOffice trusts the values that a file caches unless its profile says "always" (0) instead of "never" (1).
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema"
           xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>{mode}</value></prop></item>
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="ODFRecalcMode" oor:op="fuse"><value>{mode}</value></prop></item>
</oor:items>
"""
_SECONDS = 180


class LibreOffice:
    """The soffice of this machine, with a profile of its own for each call."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.calls = 0

    def recalculate(self, books: Sequence[Path], *, forced: bool = True) -> list[Path]:
        """Open and save workbooks in one call; formulas are calculated anew if `forced`, else caches are trusted."""
        self.calls += 1
        profile, out = self.folder / f"profile-{self.calls}", self.folder / f"out-{self.calls}"
        (profile / "user").mkdir(parents=True)
        (profile / "user" / "registrymodifications.xcu").write_text(_PROFILE.format(mode=0 if forced else 1))
        command = [self.program, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--convert-to", "xlsx"]
        subprocess.run([*command, "--outdir", str(out), *map(str, books)], check=True, timeout=_SECONDS,
                       capture_output=True)  # fmt: skip
        found = [out / book.name for book in books]
        # It exits 0 on files that it could not read.
        assert [path.name for path in found if not path.exists()] == []
        return found


class Values:
    """What the cells of a workbook hold, by name and by sheet."""

    def __init__(self, path: Path) -> None:
        self.book = openpyxl.load_workbook(path, data_only=True)

    def __getitem__(self, name: str) -> Any:
        """Return the value of a named cell; a formula that was never calculated fails."""
        ((sheet, address),) = self.book.defined_names[name].destinations
        value = self.book[sheet][address].value
        assert value is not None, f"{name} holds nothing"
        return value

    def rows(self, sheet: str) -> list[list[Any]]:
        """Return the cells of a sheet."""
        return [list(row) for row in self.book[sheet].iter_rows(values_only=True)]

    def table(self, sheet: str, labels: int = 1) -> dict[str, list[Any]]:
        """Return the cells behind each label of a sheet, the first of each."""
        found: dict[str, list[Any]] = {}
        for row in self.rows(sheet):
            if isinstance(row[labels], str):
                found.setdefault(row[labels], row[labels + 1 :])
        return found

    def errors(self) -> list[str]:
        """List the cells that hold an error."""
        return [
            f"{sheet.title}!{cell.coordinate} {cell.value}"
            for sheet in self.book
            for row in sheet.iter_rows()
            for cell in row
            if cell.data_type == "e"
        ]
