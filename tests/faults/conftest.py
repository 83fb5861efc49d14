"""One bench for all tests of faults, so that what a command writes undisturbed is found out once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> object:
    from inject import Bench

    return Bench(tmp_path_factory.mktemp("faults"))
