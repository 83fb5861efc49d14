"""Numbers as people write them: what is read, what is refused, and that nothing else ever happens."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from beyond_chinchilla import units
from beyond_chinchilla.errors import UnitError
from beyond_chinchilla.units import (
    format_amount,
    format_money,
    format_number,
    format_percent,
    format_times,
    parse_number,
    parse_quantity,
)

# Spellings of a field's unit that are no identity in the registry: they leave out what the field's name says.
# "4096 tokens" for tokens a request, "1e24 FLOPS" (the plural) for a number of FLOP, "1.95 nats" for nats a token.
LOOSE = {
    ("tokens/request", "tokens"),
    ("tokens/request", "token"),
    ("FLOP", "FLOPS"),
    ("nats/token", "nats"),
    ("nats/token", "nat"),
}
IDENTITIES = sorted((unit, same) for unit, spellings in units._SAME.items() for same in spellings)

REPOSITORY = Path(units.__file__).parents[1]

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1e9", 1e9),
        ("1.0e9", 1e9),
        ("1E9", 1e9),
        ("1e+9", 1e9),
        ("1e-3", 1e-3),
        ("1B", 1e9),
        ("2T", 2e12),
        ("1.5B", 1.5e9),
        ("300k", 3e5),
        ("300K", 3e5),
        ("7M", 7e6),
        ("1Q", 1e15),
        ("2.5 million", 2.5e6),
        ("2 Trillion", 2e12),
        ("50%", 0.5),
        ("0.1%", 0.001),
        ("150%", 1.5),
        ("1,000", 1000.0),
        ("1,234,567.5", 1234567.5),
        ("1_000", 1000.0),
        (" 42 ", 42.0),
        ("-3", -3.0),
        ("+3", 3.0),
        (".5", 0.5),
        ("5.", 5.0),
        (7, 7.0),
        (0.25, 0.25),
        (np.float64(0.25), 0.25),
    ],
)
def test_numbers_as_people_write_them(written: str | float, number: float) -> None:
    assert parse_number(written) == pytest.approx(number, rel=1e-15, abs=0)


@pytest.mark.parametrize(
    ("written", "unit", "number"),
    [
        ("1.50 USD/hour", "USD/hour", 1.5),
        ("$1.50/hour", "USD/hour", 1.5),
        ("$1.50/GPU-hour", "USD/hour", 1.5),
        ("1.50 USD/GPU-hour", "USD/hour", 1.5),
        ("$1.50/chip-hour", "USD/hour", 1.5),
        ("1.5 $/h", "USD/hour", 1.5),
        ("36 USD/day", "USD/hour", 1.5),
        ("1.5", "USD/hour", 1.5),
        (1.5, "USD/hour", 1.5),
        ("$5M", "USD", 5e6),
        ("5M USD", "USD", 5e6),
        ("5 million USD", "USD", 5e6),
        ("5 MUSD", "USD", 5e6),
        ("989 TFLOP/s", "TFLOP/s", 989.0),
        ("989 TFLOP/s", "FLOP/s", 989e12),
        ("0.989 PFLOPS", "TFLOP/s", 989.0),
        ("60 days", "day", 60.0),
        ("60 d", "day", 60.0),
        ("2 weeks", "day", 14.0),
        ("36 hours", "day", 1.5),
        ("1 year", "month", 12.0),
        ("10 GPU-hours", "hour", 10.0),
        ("250 ms", "second", 0.25),
        # 1024^3 / 1000^3
        ("32 GiB", "GB", 34.359738368),
        ("80 GB", "GB", 80.0),
        ("80GB", "GB", 80.0),
        ("3.35 TB/s", "GB/s", 3350.0),
        ("700 W", "watt", 700.0),
        ("30B params", "params", 30e9),
        ("2T tokens", "tokens", 2e12),
        ("70 tokens", "tokens/request", 70.0),
        ("1B requests/month", "requests/month", 1e9),
        ("2.045 nats", "nats/token", 2.045),
    ],
)
def test_quantities_as_people_write_them(written: str | float, unit: str, number: float) -> None:
    assert parse_quantity(written, unit) == pytest.approx(number, rel=1e-15, abs=0)


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("60 days", "USD"),
        ("$5", "day"),
        ("1.50 USD", "USD/hour"),
        ("1.50 USD/hour", "USD"),
        ("989 TFLOP", "TFLOP/s"),
        ("989 TFLOP/s", "TFLOP"),
        ("80 GB/s", "GB"),
        ("2T tokens", "params"),
        ("30B params", "tokens"),
        ("1.5 EUR/hour", "USD/hour"),
        ("5 parsecs", "day"),
        # Wattage, not energy
        ("700 J", "watt"),
    ],
)
def test_a_unit_of_another_kind_is_refused_with_the_right_one(written: str, unit: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_quantity(written, unit)
    message = str(caught.value)
    assert f"'{written}'" in message
    assert f"is not in {unit}" in message
    assert "\n" not in message


def test_eighty_b_of_memory_is_ambiguous() -> None:
    with pytest.raises(UnitError, match="could mean bytes or a billion; write it like '80 GB'"):
        parse_quantity("80B", "GB")
    assert parse_quantity("80B", "params") == 80e9


@pytest.mark.parametrize(
    "value",
    ["nan", "NaN", "inf", "-inf", "infinity", "1e400", "-1e400", "9" * 400, math.nan, math.inf, -math.inf, 10**400],
)
def test_what_is_not_finite_is_refused(value: str | float) -> None:
    with pytest.raises(UnitError):
        parse_number(value)
    with pytest.raises(UnitError):
        parse_quantity(value, "USD")


@pytest.mark.parametrize(
    "value",
    ["", " ", "abc", "1,00", "1,0000", "5e", "1 000", "0x10", "5%%", "--5", "1.2.3", "B", "%", "$", "1 token", "5BB"],
)
def test_what_is_no_number_is_refused_with_examples(value: str) -> None:
    with pytest.raises(UnitError, match=r"is not a number; write it like 1e9, 2\.5B, 300k, 10T or 50%"):
        parse_number(value)


@pytest.mark.parametrize("value", [True, False, None, [1.0], {"a": 1}, 1j, b"5", (1,)])
def test_what_is_no_text_and_no_number_is_refused(value: object) -> None:
    with pytest.raises(UnitError, match="is not a number"):
        parse_number(value)  # type: ignore[arg-type]
    with pytest.raises(UnitError, match="is not a number"):
        parse_quantity(value, "USD")  # type: ignore[arg-type]


def test_a_message_quotes_forty_characters_at_most() -> None:
    with pytest.raises(UnitError) as caught:
        parse_number("x" * 10_000)
    assert len(str(caught.value)) < 150


def _read(value: str, unit: str | None) -> float | None:
    """Return the number, None where it is refused; anything else that is raised fails the test."""
    try:
        return parse_number(value) if unit is None else parse_quantity(value, unit)
    except UnitError:
        return None


some_units = st.sampled_from([None, "USD/hour", "USD", "day", "GB", "TFLOP/s", "tokens", "params", "nats/token"])


@given(st.text(max_size=60), some_units)
@example("1 s.__class__", "day")
@example("1 ((((((((((s", "day")
@example("1 s/0", "day")
@example("1 \x00", "USD")
def test_any_text_is_a_finite_number_or_a_unit_error(text: str, unit: str | None) -> None:
    number = _read(text, unit)
    assert number is None or math.isfinite(number)


# No '*' or '^' here: powers have their own test.
@given(finite, st.text("AaBdehGTPkmuUSDFLOP/$. ()_-0123456789", max_size=20), some_units)
def test_a_number_with_any_unit_behind_is_finite_or_a_unit_error(number: float, unit: str, asked: str | None) -> None:
    read = _read(f"{number!r} {unit}", asked)
    assert read is None or math.isfinite(read)


@pytest.mark.parametrize(("unit", "same"), IDENTITIES)
def test_spellings_that_skip_the_registry_are_identities_there(unit: str, same: str) -> None:
    if (unit, same) in LOOSE:
        with pytest.raises(UnitError):
            units._factor(same, unit, same)
        assert parse_quantity(f"3 {same}", unit) == 3.0
    else:
        assert units._factor(same, unit, same) == 1.0


def test_no_loose_spelling_is_listed_in_vain() -> None:
    assert set(IDENTITIES) >= LOOSE


def test_a_byte_is_no_billion_and_a_tera_no_tesla() -> None:
    assert parse_quantity("1 TB", "GB") == pytest.approx(1000.0, rel=1e-15)
    assert parse_quantity("8 bits", "byte") == pytest.approx(1.0, rel=1e-15)


# What is written can be read back, within half of its last printed digit (and a rounding of the double itself)


def _half_digit(value: float, digits: int) -> float:
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) * (1 + 1e-9)


@given(st.floats(1e-300, 1e300), st.booleans(), st.integers(1, 9))
@example(999.5, False, 3)
@example(999.499, False, 3)
@example(9.9995e-5, False, 4)
@example(9.999999e15, False, 3)
@example(1e16, False, 3)
def test_a_number_comes_back_within_its_printed_digits(value: float, negative: bool, digits: int) -> None:
    value = -value if negative else value
    assert abs(parse_number(format_number(value, digits)) - value) <= _half_digit(value, digits)


@given(st.floats(1e-12, 1e18), st.integers(1, 6))
def test_money_comes_back_within_its_printed_digits(value: float, digits: int) -> None:
    written = format_money(value, digits)
    assert written.startswith("$")
    assert abs(parse_quantity(written, "USD") - value) <= _half_digit(value, digits)
    assert written == format_amount(value, "USD", digits)


@given(st.floats(1e-6, 1e20), st.sampled_from(["params", "tokens", "FLOP", "GB", "day"]), st.integers(2, 6))
def test_an_amount_comes_back_within_its_printed_digits(value: float, unit: str, digits: int) -> None:
    assert abs(parse_quantity(format_amount(value, unit, digits), unit) - value) <= _half_digit(value, digits)


@given(st.floats(0, 100, exclude_max=True), st.integers(0, 6))
def test_a_percentage_comes_back_within_its_printed_digits(share: float, decimals: int) -> None:
    if 0 < share < 1e-6:
        assert format_percent(share, decimals) == "under 0.0001%"
        return
    read = parse_number(format_percent(share, decimals))
    if share * 100 >= 0.5 * 10**-decimals:
        assert abs(read - share) <= 0.5 * 10.0 ** -(decimals + 2) * (1 + 1e-9) + 1e-15 * share
    else:
        # Too small for the decimals: two significant digits instead of a zero.
        assert abs(read - share) <= 0.05 * share * (1 + 1e-9)


@given(finite)
def test_python_writes_what_we_read(value: float) -> None:
    assert parse_number(repr(value)) == value
    assert parse_number(value) == value


@given(st.integers(-(10**15), 10**15))
def test_digit_groups_are_read(value: int) -> None:
    assert parse_number(f"{value:,}") == value
    assert parse_number(f"{value:_}") == value


@given(st.floats(1e-3, 1e6), st.sampled_from(sorted(units.SUFFIXES)))
def test_a_suffix_multiplies(value: float, suffix: str) -> None:
    assume(math.isfinite(value))
    assert parse_number(f"{value!r}{suffix}") == value * units.SUFFIXES[suffix]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (999.6, "1.00k"),
        (1e15, "1000T"),
        (1e16, "1.00e16"),
        (-2.5e9, "-2.50B"),
        (1.234e-5, "1.23e-5"),
    ],
)
def test_numbers_are_written_as_people_say_them(value: float, text: str) -> None:
    assert format_number(value) == text


def test_ratios_and_negative_money_are_written_as_people_say_them() -> None:
    assert format_times(2.845) == "2.85x"
    assert format_money(-1.5e6) == "-$1.50M"
    assert format_percent(-0.1299) == "-13.0%"
    assert format_percent(0.0) == "0.0%"


@pytest.mark.parametrize("unit", ["s**9**9**9", "9**9**9 s"])
def test_a_tower_of_powers_is_refused_at_once(unit: str) -> None:
    code = f"from beyond_chinchilla.units import parse_quantity as p; p('1 {unit}', 'day')"
    try:
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=5, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"'1 {unit}' keeps the reader busy")
    assert "UnitError" in found.stderr


# A cold start


def _modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after `code`."""
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sorted(sys.modules))"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(found.stdout.split())


def test_everyday_units_do_not_load_pint() -> None:
    everyday = "p('$1.50/GPU-hour', 'USD/hour'), p('60 days', 'day'), p('5M USD', 'USD'), p('2T tokens', 'tokens')"
    loaded = _modules_after(f"from beyond_chinchilla.units import parse_quantity as p; {everyday}")
    assert "beyond_chinchilla.units" in loaded
    assert "pint" not in loaded
    assert "pint" in _modules_after("from beyond_chinchilla.units import parse_quantity as p; p('2 weeks', 'day')")
