"""Formulas that carry their value: what a spreadsheet will calculate, and what Python calculated by the same steps.

A `Formula` is made by writing an expression of other formulas; text and value grow together, one operator at a
time, so that the cached value of a cell cannot drift from its formula. A formula can only mention cells that stand
already: no workbook made of them has a circular reference.

An error (``#N/A``, ``#NUM!``, ``#DIV/0!``) is nan here, and flows on as it does in a spreadsheet.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Value = float | bool | str
ERROR = math.nan

# How tightly an expression holds together, loosest first; what a spreadsheet could misread is bracketed.
_COMPARED, _JOINED, _SUM, _PRODUCT, _POWER, _ATOM = range(6)
_DIGITS_OF_GENERAL = 15


@dataclass(frozen=True, eq=False)
class Formula:
    """An expression: its text without the leading ``=``, and its value.

    Parameters
    ----------
    text : str
        As Excel and LibreOffice read it, bracketed wherever it could be misread.
    value : float, bool or str
        nan stands for an error.
    binding : int
        How tightly its outermost operator binds; names, addresses and calls are atoms.

    Examples
    --------
    >>> price, hours = Formula("in_price", 1.5), Formula("Plan!$C$7", 2000.0)
    >>> bill = price * hours + 100
    >>> bill.text, bill.value
    ('in_price*Plan!$C$7+100', 3100.0)
    """

    text: str
    value: Value
    binding: int = _ATOM

    def __add__(self, other: Operand) -> Formula:
        return _infix("+", _SUM, operator.add, self, other)

    def __radd__(self, other: Operand) -> Formula:
        return _infix("+", _SUM, operator.add, other, self)

    def __sub__(self, other: Operand) -> Formula:
        return _infix("-", _SUM, operator.sub, self, other)

    def __rsub__(self, other: Operand) -> Formula:
        return _infix("-", _SUM, operator.sub, other, self)

    def __mul__(self, other: Operand) -> Formula:
        return _infix("*", _PRODUCT, operator.mul, self, other)

    def __rmul__(self, other: Operand) -> Formula:
        return _infix("*", _PRODUCT, operator.mul, other, self)

    def __truediv__(self, other: Operand) -> Formula:
        return _infix("/", _PRODUCT, operator.truediv, self, other)

    def __rtruediv__(self, other: Operand) -> Formula:
        return _infix("/", _PRODUCT, operator.truediv, other, self)

    def __pow__(self, other: Operand) -> Formula:
        return _infix("^", _POWER, operator.pow, self, other)

    def __rpow__(self, other: Operand) -> Formula:
        return _infix("^", _POWER, operator.pow, other, self)

    def __neg__(self) -> Formula:
        return Formula(f"(-{_held(self, _ATOM)})", _number(operator.neg, self.value))

    def __gt__(self, other: Operand) -> Formula:
        return _comparison(">", operator.gt, self, other)

    def __lt__(self, other: Operand) -> Formula:
        return _comparison("<", operator.lt, self, other)

    def __ge__(self, other: Operand) -> Formula:
        return _comparison(">=", operator.ge, self, other)

    def __le__(self, other: Operand) -> Formula:
        return _comparison("<=", operator.le, self, other)

    def equals(self, other: Operand) -> Formula:
        """Return whether both are the same; text is compared without case, as spreadsheets do."""
        return _comparison("=", lambda a, b: _folded(a) == _folded(b), self, other)

    def is_error(self) -> bool:
        """Say whether the value is an error."""
        return is_error(self.value)


Operand = Formula | float | str


def is_error(value: Value) -> bool:
    """Say whether a value stands for an error."""
    return isinstance(value, float) and math.isnan(value)


def literal(value: Value) -> Formula:
    """Return a constant as a formula.

    >>> literal(6.0).text, literal(-1e-9).text, literal('6" disk').text
    ('6', '(-1E-09)', '"6"" disk"')
    """
    if isinstance(value, bool):
        return Formula("TRUE" if value else "FALSE", value)
    if isinstance(value, str):
        return Formula('"' + value.replace('"', '""') + '"', value)
    if is_error(value):
        return Formula("NA()", ERROR)
    text = str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value)).upper()
    return Formula(f"({text})" if value < 0 else text, float(value))


def as_formula(operand: Operand) -> Formula:
    """Return a formula as it is and anything else as a literal."""
    return operand if isinstance(operand, Formula) else literal(operand)


# Functions that every spreadsheet knows


def ln(x: Formula) -> Formula:
    """Natural logarithm."""
    return _function("LN", math.log, x)


def exp(x: Formula) -> Formula:
    """Exponential."""
    return _function("EXP", math.exp, x)


def absolute(x: Formula) -> Formula:
    """Absolute value."""
    return _function("ABS", abs, x)


def smaller(x: Operand, y: Operand) -> Formula:
    """The lesser of two."""
    return _function("MIN", min, x, y)


def larger(x: Operand, y: Operand) -> Formula:
    """The greater of two."""
    return _function("MAX", max, x, y)


def log1p(x: Formula) -> Formula:
    """ln(1 + x) without loss of digits at small x: no spreadsheet has a function of that name."""
    return 2.0 * _function("ATANH", math.atanh, x / (2.0 + x))


def expm1(x: Formula) -> Formula:
    """e^x - 1 without loss of digits at small x: no spreadsheet has a function of that name."""
    return 2.0 * _function("SINH", math.sinh, x / 2.0) * exp(x / 2.0)


def if_(condition: Formula, then: Operand, otherwise: Operand) -> Formula:
    """One of two, by a condition."""
    then, otherwise = as_formula(then), as_formula(otherwise)
    text = f"IF({condition.text},{then.text},{otherwise.text})"
    if condition.is_error():
        return Formula(text, ERROR)
    return Formula(text, then.value if condition.value else otherwise.value)


def if_error(x: Formula, otherwise: Operand) -> Formula:
    """A value, or something else where it is an error."""
    otherwise = as_formula(otherwise)
    return Formula(f"IFERROR({x.text},{otherwise.text})", otherwise.value if x.is_error() else x.value)


def both(first: Formula, second: Formula) -> Formula:
    """Whether two conditions hold."""
    failed = first.is_error() or second.is_error()
    value: Value = ERROR if failed else bool(first.value) and bool(second.value)
    return Formula(f"AND({first.text},{second.text})", value)


def is_number(x: Formula) -> Formula:
    """Whether a cell holds a number; false for an error."""
    number = isinstance(x.value, (int, float)) and not isinstance(x.value, bool) and not x.is_error()
    return Formula(f"ISNUMBER({x.text})", number)


def added(parts: Iterable[Formula]) -> Formula:
    """Sum of one or more formulas, in order."""
    first, *rest = parts
    for part in rest:
        first = first + part
    return first


def summed(block: str, cells: Iterable[Formula]) -> Formula:
    """Sum of a block of cells, which are given in order."""
    return Formula(f"SUM({block})", _number(lambda *values: math.fsum(values), *(cell.value for cell in cells)))


def counted(block: str, cells: Iterable[Formula], text: str) -> Formula:
    """How many cells of a block hold a text; `cells` are those of them that hold anything."""
    return Formula(f'COUNTIF({block},"{text}")', float(sum(cell.value == text for cell in cells)))


def joined(*parts: Operand) -> Formula:
    """Text of parts after each other; numbers as a cell without a format shows them."""
    formulas = [as_formula(part) for part in parts]
    text = "&".join(_held(part, _JOINED) for part in formulas)
    if any(part.is_error() for part in formulas):
        return Formula(text, ERROR, _JOINED)
    return Formula(text, "".join(_general(part.value) for part in formulas), _JOINED)


def three_digits(x: Formula) -> Formula:
    """A number rounded to three significant digits."""
    return _function("ROUND", _rounded, x, 2.0 - _exponent(x))


def in_words(x: Formula, before: str = "") -> Formula:
    """A number of three digits with T, B, M or k behind it: ``"13.6B"``; `x` is rounded already.

    Digits become text by joining, which follows the reader's own decimal sign; TEXT() with a point in its format
    would not.

    >>> in_words(three_digits(literal(13.612e9))).value, in_words(literal(3.34e23)).value
    ('13.6B', '3.34e23')
    """
    words: Operand = joined(x, "")
    for suffix, scale in (("k", 1e3), ("M", 1e6), ("B", 1e9), ("T", 1e12)):
        words = if_(x >= scale, joined(x / scale, suffix), words)
    mantissa = _function("ROUND", _rounded, x / 10.0 ** _exponent(x), 2.0)
    words = if_(x >= 1e16, joined(mantissa, "e", _exponent(x)), words)
    return joined(before, words) if before else words


def _exponent(x: Formula) -> Formula:
    return _function("INT", math.floor, _function("LOG10", math.log10, x))


def rounded(x: Formula, decimals: int) -> Formula:
    """A number rounded to decimals."""
    return _function("ROUND", _rounded, x, float(decimals))


def _held(formula: Formula, binding: int) -> str:
    """Return the text of an operand, bracketed if it holds less tightly than its place asks."""
    return formula.text if formula.binding >= binding else f"({formula.text})"


def _infix(
    sign: str, binding: int, calculate: Callable[[float, float], float], left: Operand, right: Operand
) -> Formula:
    left, right = as_formula(left), as_formula(right)
    # Operators of one kind are read from the left; powers are always bracketed, no one remembers how they are read.
    first, second = _held(left, _ATOM if binding == _POWER else binding), _held(right, binding + 1)
    return Formula(f"{first}{sign}{second}", _number(calculate, left.value, right.value), binding)


def _comparison(sign: str, calculate: Callable[[Value, Value], bool], left: Operand, right: Operand) -> Formula:
    left, right = as_formula(left), as_formula(right)
    failed = left.is_error() or right.is_error()
    value: Value = ERROR if failed else bool(calculate(left.value, right.value))
    return Formula(f"{_held(left, _JOINED)}{sign}{_held(right, _JOINED)}", value, _COMPARED)


def _function(name: str, calculate: Callable[..., float], *arguments: Operand) -> Formula:
    formulas = [as_formula(argument) for argument in arguments]
    text = ",".join(argument.text for argument in formulas)
    return Formula(f"{name}({text})", _number(calculate, *(argument.value for argument in formulas)))


def _number(calculate: Callable[..., float], *values: Value) -> float:
    """Calculate; whatever a spreadsheet has an error for is nan."""
    if any(isinstance(value, str) or is_error(value) for value in values):
        return ERROR
    try:
        found = calculate(*values)
    except (ArithmeticError, ValueError):
        return ERROR
    # A negative base with a fractional power is a complex number to Python and an error to a spreadsheet.
    return float(found) if not isinstance(found, complex) and math.isfinite(found) else ERROR


def _rounded(x: float, decimals: float) -> float:
    return round(x, int(decimals))


def _folded(value: Value) -> Value:
    return value.casefold() if isinstance(value, str) else value


def _general(value: Value) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return value if isinstance(value, str) else f"{value:.{_DIGITS_OF_GENERAL}g}"
