"""No input crashes, hangs, fills the memory, or gets a plan that breaks its own limits.

`fuzz.py` runs for as long as it is told, `guided.py` where atheris is installed. What ever failed there lies in
`corpus`, a folder each, or in `seeds`, and stays mended.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from entries import ENTRIES, read, seeds
from fuzz import MOST_MEMORY, again, one
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import of_csv, of_json, of_page
from targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
# An example is a whole command: few by day, and all that a thorough night asks for.
_EXAMPLES = settings.default.max_examples if settings.default.max_examples > 100 else 3


# Of these, most are solved, and twice, in place of being refused at once.
_SOUND = [name for name in TARGETS if name.startswith(("plausible", "relation"))]


@pytest.mark.own_step
@pytest.mark.parametrize("target", [name for name in TARGETS if name not in _SOUND])
@settings(max_examples=_EXAMPLES, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_no_damaged_input_breaks_anything(target: str, seed: int):
    args, wrong = one(target, seed)
    assert not wrong, (args, wrong)


@pytest.mark.own_step
@pytest.mark.parametrize("target", _SOUND)
@settings(max_examples=2 * _EXAMPLES, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_no_sound_scenario_gets_a_plan_that_another_one_refutes(target: str, seed: int):
    args, wrong = one(target, seed)
    assert not wrong, (args, wrong)


@pytest.mark.parametrize("kept", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_failed_once_does_not_fail_again(kept: Path):
    assert again(kept) == ""


@pytest.mark.parametrize("reader", ENTRIES)
def test_readers_take_or_refuse_what_the_guided_search_begins_with(reader: str):
    found = seeds(reader)
    assert found
    for data in found:
        read(reader, data)


def test_all_of_it_takes_less_than_a_gigabyte():
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST_MEMORY


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ("total  $nan", "$nan"),
        ("kappa  inf", "inf"),
        ("None of the laws", ""),
        ("information on inference", ""),
        ("spot  None", "None"),
        ("tokens  -Infinity", "Infinity"),
    ],
)
def test_a_page_is_searched_for_words_in_place_of_numbers(page: str, wrong: str):
    assert (wrong in of_page(page, "")) if wrong else of_page(page, "") == ""
    assert of_page(page, page) == ""


_PLAN = """{"status": "optimal", "target_loss": 2.0,
"plan": {"params": 9.0, "tokens": 1.0, "loss": %s, "total": 1.0},
"limits": [{"label": "params", "side": "max", "value": %s, "bound": 8.0}]}"""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"total": NaN}', "NaN"),
        ('{"total": 1e999}', "1e999"),
        ('{"rows": [{"gpus": -1.0}]}', "gpus is -1"),
        ('{"total": 3.0, "terms": {"a": 1.0, "b": 1.0}}', "add up"),
        ('{"total": 2.0, "terms": [{"label": "a", "value": 2.0}]}', ""),
        (_PLAN % (2.1, 7.0), "misses"),
        (_PLAN % (2.0, 9.0), "is broken"),
        (_PLAN % (2.0, 8.0), ""),
    ],
)
def test_an_answer_as_json_is_checked(text: str, wrong: str):
    assert (wrong in of_json(text, "")) if wrong else of_json(text, "") == ""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a,b\n1\n", "lengths"),
        ("total\n-5\n", "total is -5"),
        ("status,params,tokens,loss,total\noptimal,1,1,,1\n", "without loss"),
        ("total\nnan\n", "nan"),
        ("status,total\ninfeasible,\n", ""),
    ],
)
def test_a_table_is_checked(text: str, wrong: str):
    assert (wrong in of_csv(text, "")) if wrong else of_csv(text, "") == ""
