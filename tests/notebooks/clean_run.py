"""Run a notebook from clean in a copy of its surroundings; as a program, renew the outputs that are committed.

python tests/notebooks/clean_run.py            # every notebook, with the data that BC_DATA names
python tests/notebooks/clean_run.py 03 06
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

REPOSITORY = Path(__file__).parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
SECONDS = 120
# All that a committed notebook says of its kernel.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(path: Path, folder: Path, first: str = "") -> list[dict[str, Any]]:
    """Run a copy of a notebook without its outputs, by the running interpreter; return all cells.

    Parameters
    ----------
    path : Path
    folder : Path
        Empty; gets the notebooks and what they read of the repository.
    first : str
        Code to run before; its cell is not returned.
    """
    for name in ("notebooks", "scenarios"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if first:
        start = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": first}
        book.cells.insert(0, nbformat.from_dict(start))
    # The kernel python3 is the running interpreter, whatever others a machine has.
    where = {"metadata": {"path": str(folder / "notebooks")}}
    client = nbclient.NotebookClient(book, timeout=SECONDS, kernel_name="python3", resources=where, record_timing=False)
    # Of small matrices threads make a race, not speed.
    client.execute(env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    cells: list[dict[str, Any]] = book.cells[1:] if first else book.cells
    return cells


def stripped(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a notebook of cells with their outputs, without counts, names of cells and timings."""
    kept = []
    for cell in cells:
        bare = {"cell_type": cell["cell_type"], "metadata": {}, "source": cell["source"].splitlines(keepends=True)}
        if cell["cell_type"] == "code":
            bare |= {"execution_count": None, "outputs": [_bare(output) for output in cell["outputs"]]}
        kept.append(dict(sorted(bare.items())))
    return {"cells": kept, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 4}


def _bare(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output as files hold it: text in lines, no count."""
    found = dict(output)
    if "execution_count" in found:
        found["execution_count"] = None
    if "text" in found:
        found["text"] = found["text"].splitlines(keepends=True)
    if "data" in found:
        found["data"] = {
            kind: value if kind == "image/png" else value.splitlines(keepends=True)
            for kind, value in found["data"].items()
        }
    return found


def renew(path: Path) -> None:
    """Run a notebook and write it back with its new outputs."""
    with tempfile.TemporaryDirectory() as folder:
        cells = run(path, Path(folder))
    path.write_text(json.dumps(stripped(cells), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ["BC_DATA"] = str(
        Path(os.environ.get("BC_DATA") or REPOSITORY.parent / "shared" / "data").resolve(strict=True)
    )
    for each in NOTEBOOKS:
        if not sys.argv[1:] or each.name.startswith(tuple(sys.argv[1:])):
            renew(each)
