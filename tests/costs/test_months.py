"""Calendar months: labels, counting, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs.months import check_life, month_label, month_number, months_between, months_from
from beyond_chinchilla.errors import InputError


@given(st.integers(12, 119_000), st.integers(1, 600))
def test_months_follow_one_another(first: int, count: int) -> None:
    labels = months_from(month_label(first), count)
    assert len(labels) == count
    assert [months_between(labels[0], label) for label in labels] == list(range(count))
    assert list(labels) == sorted(set(labels))
    assert months_between(labels[-1], labels[0]) == 1 - count


def test_a_year_has_twelve_months_and_they_are_spelled() -> None:
    assert months_from("2027-09", 6) == ("2027-09", "2027-10", "2027-11", "2027-12", "2028-01", "2028-02")
    assert months_between("2026-11", "2029-02") == 27
    assert month_label(month_number("0001-01")) == "0001-01"


@pytest.mark.parametrize(
    "label", ["2027-13", "2027-00", "27-01", "2027-1", "2027/01", "Jan 2027", "", "0000-01", "٢٠٢٧-01"]
)
def test_what_is_no_month_is_refused(label: str) -> None:
    with pytest.raises(InputError, match=f"^'{re.escape(label)}' is not a month; write it like 2027-01$"):
        months_from(label, 1)
    with pytest.raises(InputError):
        months_between("2027-01", label)


def test_the_calendar_ends_with_the_year_9999() -> None:
    assert months_from("9999-12", 1) == ("9999-12",)
    with pytest.raises(InputError, match=r"^2 months from 9999-12 end after the year 9999"):
        months_from("9999-12", 2)


@pytest.mark.parametrize("months", [0, -1, 601, 10**9, 36.0, True])
def test_a_life_is_from_1_to_600_whole_months(months: int) -> None:
    check_life(1)
    check_life(600)
    with pytest.raises(InputError, match=f"^forecast: {months} months; the life of a model"):
        check_life(months)
