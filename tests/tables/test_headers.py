"""Headers: aliases, units and scales, whatever their case and punctuation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.tables.headers import ALIASES, is_unit_alone, read_header


@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name, aliases in ALIASES.items() for alias in aliases])
def test_every_documented_alias_is_read_in_any_dress(name, alias):
    for dress in (alias, alias.upper(), alias.title(), alias.replace(" ", "_"), f"  {alias}: "):
        header = read_header(dress)
        # A price says of what: "price" alone may be that of anything.
        if name == "price" and "gpu" not in alias and "hour" not in alias:
            assert header is None
        else:
            assert header is not None, dress
            assert header.name == name


def test_no_alias_stands_for_two_quantities():
    every = [alias for aliases in ALIASES.values() for alias in aliases]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("text", "name", "scale"),
    [
        ("Requests (M)", "requests", 1e6),
        ("Requests in thousands", "requests", 1e3),
        ("# of API calls (000s)", "requests", 1e3),
        ("Avg. prompt tokens / request", "input_tokens", 1.0),
        ("Input tokens (tokens/request)", "input_tokens", 1.0),
        ("Mean completion length per call", "output_tokens", 1.0),
        ("Monthly queries [bn]", "requests", 1e9),
    ],
)
def test_scales(text, name, scale):
    header = read_header(text)
    assert (header.name, header.scale, header.total) == (name, scale, False)


def test_totals_rates_and_percentages():
    assert read_header("Total input tokens").total
    assert read_header("Output tokens (B)").total
    assert read_header("Input tokens per month").total
    assert not read_header("Input tokens per request (M)").total
    assert read_header("Requests per day").rate == 30.4375
    assert read_header("Daily queries").rate == 30.4375
    assert read_header("Cached share (%)").percent


@pytest.mark.parametrize(
    ("text", "currency"),
    [("$/GPU-hour", "USD"), ("GPU price (USD/h)", "USD"), ("EUR/GPU-hour", "EUR"), ("Price per GPU hour", "")],
)
def test_prices(text, currency):
    header = read_header(text)
    assert (header.name, header.currency) == ("price", currency)


def test_merged_headers():
    assert read_header("Tokens per request", "Output").name == "output_tokens"
    assert read_header("Volume", "Requests (M)").scale == 1e6
    assert read_header("Requests", "(millions)").scale == 1e6


@pytest.mark.parametrize(
    "text", ["", "Comment", "Revenue", "Input (words)", "Price", "2027", "Requests (k, M)", "x" * 500]
)
def test_what_is_no_header(text):
    assert read_header(text) is None


def test_units_alone():
    assert is_unit_alone("M")
    assert is_unit_alone("tokens/request")
    assert not is_unit_alone("Output")
    assert not is_unit_alone("")


@given(st.text(max_size=60))
def test_no_text_is_a_crash(text):
    header = read_header(text)
    assert header is None or header.name in ALIASES
