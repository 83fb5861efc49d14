"""LibreOffice for the tests that need it; elsewhere they are skipped."""

from __future__ import annotations

import shutil

import pytest
from libreoffice import LibreOffice


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> LibreOffice:
    """Return LibreOffice, or skip."""
    program = shutil.which("soffice")
    if program is None:
        pytest.skip("needs LibreOffice (Debian: libreoffice-calc): no soffice on the path")
    return LibreOffice(program, tmp_path_factory.mktemp("office"))
