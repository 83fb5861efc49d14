"""What all tests share: how hard hypothesis tries, and where the public training runs lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).parents[1]

# A busy machine draws its examples slowly; that says nothing about the code.
_SLOW = [HealthCheck.too_slow]
settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=_SLOW)
settings.register_profile(
    "ci", max_examples=30, deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW
)
# For a night: HYPOTHESIS_PROFILE=thorough pytest
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


class RealData:
    """The folder of public training runs: ``bc_data / "runs.csv"`` is a path, or skips the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            pytest.skip(f"needs {name}: no such file in {self.folder} (set BC_DATA to the folder that has it)")
        return path


@pytest.fixture(scope="session")
def bc_data() -> RealData:
    """Return the folder named by BC_DATA, by default shared/data beside the repository."""
    return RealData(Path(os.environ.get("BC_DATA") or REPOSITORY.parent / "shared" / "data"))
