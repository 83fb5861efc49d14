"""Cells as people write them: every reading exact, and what may be read in two ways not guessed."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.errors import SpreadsheetError
from beyond_chinchilla.tables.clean import (
    COMMA,
    POINT,
    day_comes_first,
    decimal_mark,
    is_ambiguous,
    is_longer,
    read_amount,
    read_month,
)


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("1,200", POINT, 1200.0),
        ("1,234,567.5", POINT, 1234567.5),
        ("(1,200)", POINT, -1200.0),
        ("1200-", POINT, -1200.0),
        ("\N{MINUS SIGN}3", POINT, -3.0),
        ("1.2M", POINT, 1.2e6),
        ("40 million", POINT, 40e6),
        ("1.5bn", POINT, 1.5e9),
        ("300k", POINT, 300e3),
        ("35%", POINT, 0.35),
        ("35 %", POINT, 0.35),
        ("$2.10", POINT, 2.1),
        ("2,10 €", COMMA, 2.1),
        ("USD 2.10", POINT, 2.1),
        ("1.234,56", COMMA, 1234.56),
        ("1 234,5", COMMA, 1234.5),
        ("1\N{NARROW NO-BREAK SPACE}234", POINT, 1234.0),
        ("1'234.5", POINT, 1234.5),
        ("1e9", POINT, 1e9),
        (".5", POINT, 0.5),
    ],
)
def test_numbers(text, mark, value):
    assert read_amount(text, mark).value == value


@pytest.mark.parametrize(
    "text", ["", "n/a", "1,2,3", "1.2.3", "12,34.5", "1,23", "(5", "5)", "$5 €", "1.2x", "--5 5", "1e999", "10 words"]
)
def test_what_is_no_number(text):
    assert read_amount(text, POINT) is None


def test_currencies_are_kept():
    assert [read_amount(text).currency for text in ("$2", "€2", "2 GBP", "2")] == ["USD", "EUR", "GBP", ""]


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["1.234", "1.234,5"], COMMA),
        (["1,234", "1,234.5"], POINT),
        (["1.234", "5,5"], COMMA),
        (["1.234.567"], COMMA),
        (["0,125"], COMMA),
        (["1234.567"], POINT),
        (["1.234", "5.678"], None),
        (["1,234"], None),
        (["12", "n/a"], None),
    ],
)
def test_the_decimal_mark_is_that_of_the_column(texts, mark):
    assert decimal_mark(texts) == mark


def test_a_column_of_both_marks_is_refused():
    with pytest.raises(SpreadsheetError, match=r"'1\.5' has a decimal point and '2,5' a decimal comma"):
        decimal_mark(["1.5", "2,5"])


@given(st.floats(0, 1e12, allow_nan=False).map(lambda value: round(value, 2)))
def test_european_and_american_texts_of_a_number_read_alike(value):
    american = f"{value:,.2f}"
    european = american.translate(str.maketrans(",.", ".,"))
    assert decimal_mark([american]) == POINT
    assert decimal_mark([european]) == COMMA
    assert read_amount(american, POINT) == read_amount(european, COMMA)
    assert read_amount(american, POINT).value == pytest.approx(value, rel=1e-15)


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from(".,"))
def test_three_digits_behind_one_mark_may_be_either(whole, part, mark):
    text = f"{whole}{mark}{part:03}"
    assert is_ambiguous(text)
    assert decimal_mark([text]) is None


@given(st.text(max_size=30))
def test_no_text_is_a_crash(text):
    for mark in (POINT, COMMA):
        amount = read_amount(text, mark)
        assert amount is None or abs(amount.value) < float("inf")
    when = read_month(text)
    assert when is None or str(when)


@pytest.mark.parametrize(
    "cell",
    [
        datetime.date(2027, 1, 31), datetime.datetime(2027, 1, 1, 5, 30), 46388, 46388.25, 202701, "Jan 2027",
        "january 2027",
        "Jan-27", "Jan '27", "2027-01", "2027/1", "01/2027", "1 January 2027", "January 15, 2027", "2027-01-15",
        "2027-01-15T05:00:00Z", "15.01.2027", "01/15/2027", "2027 Jan", "2027M01", "Jan. 2027", "01/01/2027",
    ],
)  # fmt: skip
def test_months(cell):
    assert str(read_month(cell)) == "2027-01"


@pytest.mark.parametrize("cell", ["Q1 2027", "2027", "soon", "13/2027", "Foo 2027", "2027-13", "", True, 3.5, 1e300])
def test_what_is_no_month(cell):
    assert read_month(cell) is None


@pytest.mark.parametrize("cell", ["Q1 2027", "2027 Q3", "H1 2027", "FY27", "FY 2027/28", "2027", 2027, 2027.0])
def test_what_is_longer_than_a_month(cell):
    assert is_longer(cell)
    assert read_month(cell) is None


@pytest.mark.parametrize("cell", [3, 3.0, "3", "Month 3", "m3"])
def test_months_from_launch(cell):
    when = read_month(cell)
    assert (when.number, when.counted) == (3, True)


def test_day_or_month_first_is_that_of_the_column():
    assert day_comes_first(["01/02/2027", "01/03/2027"]) is True
    assert day_comes_first(["02/01/2027", "03/01/2027"]) is False
    assert day_comes_first(["02/03/2027", "28/03/2027"]) is True
    assert day_comes_first(["02/03/2027", "03/28/2027"]) is False
    assert day_comes_first(["02/03/2027", "04/05/2027"]) is None
    assert str(read_month("02/03/2027", day_first=True)) == "2027-03"
    assert str(read_month("02/03/2027", day_first=False)) == "2027-02"
    assert read_month("02/03/2027") is None
