"""No input crashes, hangs, fills the memory, or gets a plan that breaks its own limits.

`fuzz.py` runs for as long as it is told. What ever failed there lies in `corpus`, a folder each, and stays mended.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from fuzz import MOST_MEMORY, again, one
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
# An example is a whole command: few by day, and all that a thorough night asks for.
_EXAMPLES = settings.default.max_examples if settings.default.max_examples > 100 else 8


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=_EXAMPLES, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_no_damaged_input_breaks_anything(target: str, seed: int):
    args, wrong = one(target, seed)
    assert not wrong, (args, wrong)


@pytest.mark.parametrize("kept", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_failed_once_does_not_fail_again(kept: Path):
    assert again(kept) == ""


def test_all_of_it_takes_less_than_a_gigabyte():
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST_MEMORY
