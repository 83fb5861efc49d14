"""Every notebook runs from clean without a warning, prints what is committed, and says so where it has no data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from real_data import RealData

_MISSING = "notebooks run only where nbclient, nbformat, ipykernel and matplotlib are installed"
clean_run = pytest.importorskip("clean_run", reason=_MISSING)
for _needed in ("ipykernel", "matplotlib"):
    pytest.importorskip(_needed, reason=_MISSING)
NOTEBOOKS = clean_run.NOTEBOOKS

# What those that read public runs need of the folder; the others need none.
DATA = {
    "02-the-papers-figures": ["sardana_mpt_47runs.csv"],
    "03-chinchilla-by-three-approaches": [
        "epoch_chinchilla_svg_extracted_data.csv",
        "mlscalefit_chinchilla_isoflops.csv",
    ],
    "04-chinchillas-death": ["llama_curves"],
}
# Drawn from a law alone, whatever the data.
FROM_THE_LAW = ("Figure 2:", "Figure 6:")

MOST_BYTES, MOST_FIGURE_BYTES, WIDEST = 1_500_000, 60_000, 120
MACHINE = re.compile(r"/home/|/root/|/tmp/|/work/|/Users/|/var/|[A-Z]:\\\\|site-packages|ipykernel_\d|\\u001b|\x1b")

# Say the titles of each figure before it is shown.
SAY_TITLES = """
import matplotlib.pyplot as _pyplot
_show = _pyplot.show
def _say(*words, **settings):
    for number in _pyplot.get_fignums():
        figure = _pyplot.figure(number)
        print("TITLES", " | ".join([figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]))
    _show(*words, **settings)
_pyplot.show = _say
"""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def committed(path: Path) -> dict[str, Any]:
    """Return a notebook as it is committed."""
    book: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return book


def printed(cell: dict[str, Any]) -> str:
    """Return what a cell prints, and the text of its last value."""
    found = []
    for output in cell.get("outputs", []):
        if output["output_type"] == "stream" and output["name"] == "stdout":
            found.append("".join(output["text"]))
        elif output["output_type"] == "execute_result":
            found.append("".join(output["data"].get("text/plain", "")))
    return "".join(found)


def figures(cell: dict[str, Any]) -> list[str]:
    """Return the figures of a cell, as base64."""
    shown = [output["data"] for output in cell.get("outputs", []) if "data" in output]
    # A figure that cannot be drawn leaves its name alone, and no error that stops the run.
    assert all("image/png" in data for data in shown if "".join(data.get("text/plain", "")).startswith("<Figure"))
    return ["".join(data["image/png"]) for data in shown if "image/png" in data]


def complaints(cells: list[dict[str, Any]]) -> list[str]:
    """Return what a notebook says on stderr, and its errors."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    said = ["".join(output["text"]) for output in outputs if output.get("name") == "stderr"]
    return said + ["\n".join(output["traceback"]) for output in outputs if output["output_type"] == "error"]


def test_there_are_notebooks_and_each_states_its_data():
    assert len(NOTEBOOKS) == 6
    assert {path.stem for path in NOTEBOOKS if "BC_DATA" in path.read_text(encoding="utf-8")} == set(DATA)


@each_notebook
def test_what_is_committed_is_small_and_of_no_machine(path: Path):
    text, book = path.read_text(encoding="utf-8"), committed(path)
    assert not MACHINE.search(text)
    assert (book["nbformat"], book["nbformat_minor"], book["metadata"]) == (4, 4, clean_run.METADATA)
    assert book["cells"][0]["cell_type"] == "markdown"
    assert "".join(book["cells"][0]["source"]).startswith("# ")
    for cell in book["cells"]:
        assert "id" not in cell
        assert cell["metadata"] == {}
        assert cell.get("execution_count") is None
        # Base64 takes four letters for three bytes.
        assert all(len(figure) * 3 / 4 < MOST_FIGURE_BYTES for figure in figures(cell))
        assert all(len(line) <= WIDEST for line in printed(cell).splitlines())
        assert "simulated" not in printed(cell).lower()
    assert not complaints(book["cells"])
    assert any(figures(cell) for cell in book["cells"])


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in NOTEBOOKS) < MOST_BYTES


@pytest.mark.own_step
@each_notebook
def test_a_clean_run_prints_what_is_committed(
    path: Path, tmp_path: Path, bc_data: RealData, monkeypatch: pytest.MonkeyPatch
):
    for name in DATA.get(path.stem, []):
        _ = bc_data / name
    monkeypatch.setenv("BC_DATA", str(bc_data.folder.resolve()))
    ran, kept = clean_run.stripped(clean_run.run(path, tmp_path))["cells"], committed(path)["cells"]
    assert not complaints(ran)
    assert [cell["source"] for cell in ran] == [cell["source"] for cell in kept]
    # python tests/notebooks/clean_run.py renews them.
    assert [printed(cell) for cell in ran] == [printed(cell) for cell in kept]
    assert [len(figures(cell)) for cell in ran] == [len(figures(cell)) for cell in kept]


@pytest.mark.own_step
@pytest.mark.parametrize("name", DATA)
def test_without_data_a_notebook_simulates_and_says_so(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("BC_DATA", str(tmp_path / "nothing"))
    path = next(path for path in NOTEBOOKS if path.stem == name)
    ran = clean_run.run(path, tmp_path, first=SAY_TITLES)
    assert not complaints(ran)
    text = "".join(printed(cell) for cell in ran)
    assert "NO DATA" in text
    assert "SIMULATED" in text
    titles = re.findall(r"^TITLES (.*)$", text, re.MULTILINE)
    assert len(titles) == sum(len(figures(cell)) for cell in ran) > 0
    assert all("simulated" in title for title in titles if not title.startswith(FROM_THE_LAW))
    assert any("simulated" in title for title in titles)
