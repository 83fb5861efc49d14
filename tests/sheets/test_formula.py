"""Text and value of a formula say the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.sheets import formula
from beyond_chinchilla.sheets.formula import ERROR, Formula, if_, if_error, joined, literal

numbers = st.floats(0.1, 10.0).map(literal)


def grown(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda two: two[0] + two[1]),
        pairs.map(lambda two: two[0] - two[1]),
        pairs.map(lambda two: two[0] * two[1]),
        pairs.map(lambda two: two[0] / two[1]),
        st.tuples(inner, st.sampled_from([2.0, 0.5, -1.0])).map(lambda two: two[0] ** two[1]),
        inner.map(lambda one: -one),
    )


@given(st.recursive(numbers, grown, max_leaves=12))
def test_brackets_keep_the_meaning(expression: Formula) -> None:
    """Python reads the text as a spreadsheet does: every power and every sign stands in brackets."""
    try:
        found = eval(expression.text.replace("^", "**"), {"__builtins__": {}})
    except (ArithmeticError, ValueError):
        found = math.nan
    if isinstance(found, complex) or not math.isfinite(found):
        found = math.nan
    assert expression.value == found or (math.isnan(found) and expression.is_error())


def test_a_spreadsheet_would_misread_powers_without_brackets() -> None:
    x = Formula("x", 2.0)
    assert ((-x) ** 2.0).text == "(-x)^2"
    assert (-(x**2.0)).text == "(-(x^2))"
    assert ((x**3.0) ** 2.0).text == "(x^3)^2"
    assert (x ** (x**2.0)).text == "x^(x^2)"
    assert (x - (x - 1.0)).text == "x-(x-1)"


@pytest.mark.parametrize("x", [1e-300, 1e-16, 1e-9, 1e-3, 0.04])
def test_small_arguments_lose_no_digits(x: float) -> None:
    assert math.isclose(float(formula.log1p(literal(x)).value), math.log1p(x), rel_tol=1e-15)
    assert math.isclose(float(formula.expm1(literal(x)).value), math.expm1(x), rel_tol=1e-15)


def test_errors_flow_as_in_a_spreadsheet() -> None:
    zero = literal(0.0)
    broken = literal(1.0) / zero
    assert broken.is_error()
    for each in (broken + 1.0, formula.ln(literal(-1.0)), (-literal(2.0)) ** 0.5, broken > 0.0, joined("a", broken)):
        assert each.is_error()
    assert if_(broken > 0.0, 1.0, 2.0).is_error()
    assert if_error(broken, "none").value == "none"
    # The branch that is not taken may be an error.
    assert if_(literal(1.0) > 0.0, 1.0, broken).value == 1.0
    assert literal(ERROR).text == "NA()"
    assert (literal("word") * 2.0).is_error()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.5, "1.5"),
        (999.4, "999"),
        (999.6, "1k"),
        (13.612e9, "13.6B"),
        (999.6e9, "1T"),
        (4.426e12, "4.43T"),
        (8.004e22, "8e22"),
    ],
)
def test_words_have_three_digits(value: float, words: str) -> None:
    assert formula.in_words(formula.three_digits(literal(value))).value == words


def test_text_in_a_formula_is_quoted() -> None:
    assert joined('say "', literal('x"&y')).text == '"say """&"x""&y"'
