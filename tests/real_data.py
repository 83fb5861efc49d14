"""The public training runs, which lie beside the repository or where BC_DATA says."""

from __future__ import annotations

from pathlib import Path

import pytest


class RealData:
    """The folder of public training runs: ``bc_data / "runs.csv"`` is a path, or skips the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            pytest.skip(f"needs {name}: no such file in {self.folder} (set BC_DATA to the folder that has it)")
        return path
