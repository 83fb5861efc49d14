"""What all tests share: how hard hypothesis tries, and where the public training runs lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from real_data import RealData

REPOSITORY = Path(__file__).parents[1]

# Of matrices as small as ours threads make a race, not speed, and each worker of xdist would start its own. It is read
# once, when numpy is loaded: not yet.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What pytest makes of a warning, programs and processes that tests start make of it too.
os.environ.setdefault("PYTHONWARNINGS", "error")

# A busy machine draws its examples slowly; that says nothing about the code.
_SLOW = [HealthCheck.too_slow]
settings.register_profile("dev", max_examples=20, deadline=None, suppress_health_check=_SLOW)
settings.register_profile(
    "ci", max_examples=20, deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW
)
# For a night: HYPOTHESIS_PROFILE=thorough pytest
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True, suppress_health_check=_SLOW)
# Of a wrong formula any example will do: the smallest is not looked for.
settings.register_profile(
    "mutation", max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW,
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def bc_data() -> RealData:
    """Return the folder named by BC_DATA, by default shared/data beside the repository."""
    return RealData(Path(os.environ.get("BC_DATA") or REPOSITORY.parent / "shared" / "data"))
