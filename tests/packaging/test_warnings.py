"""A deprecation in a dependency is an error wherever tests run code, not only where pytest looks."""

from __future__ import annotations

import multiprocessing
import re
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_WARN = "import warnings; warnings.warn('old', DeprecationWarning)"


def _warn() -> None:
    warnings.warn("old", DeprecationWarning, stacklevel=1)


def test_here() -> None:
    with pytest.raises(DeprecationWarning, match="old"):
        _warn()


def test_in_a_program_that_a_test_starts() -> None:
    done = subprocess.run([sys.executable, "-c", _WARN], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DeprecationWarning: old" in done.stderr


def test_in_a_process_that_works_for_a_test() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(DeprecationWarning, match="old"),
    ):
        pool.submit(_warn).result(timeout=60)


# An action, and neither a message nor a category that it is for.
BLANKET = re.compile(
    r"""(filterwarnings|simplefilter)\(\s*["'](ignore|default|once)["']\s*\)|-W["',\s]+(ignore|default)\b"""
)


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        ('@pytest.mark.filterwarnings("ignore")', True),
        ("warnings.simplefilter('ignore')", True),
        ('[sys.executable, "-W", "ignore", "-c", code]', True),
        ("python -W ignore -m benchmarks", True),
        ('@pytest.mark.filterwarnings("ignore:Port 8787:UserWarning")', False),
        ('warnings.filterwarnings("ignore", message="Solution may be inaccurate")', False),
        ('warnings.simplefilter("error", ParserWarning)', False),
        ('["-m", "sphinx", "-W", "--keep-going"]', False),
    ],
)
def test_what_hides_every_warning_is_known(text: str, hides: bool) -> None:
    assert bool(BLANKET.search(text)) is hides


def test_nothing_hides_every_warning() -> None:
    files = [
        path
        for folder in ("beyond_chinchilla", "tests", "docs", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert len(files) > 400
    hiding = [path for path in files if path != Path(__file__) and BLANKET.search(path.read_text(encoding="utf-8"))]
    assert [str(path.relative_to(ROOT)) for path in hiding] == []
