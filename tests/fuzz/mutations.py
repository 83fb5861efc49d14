"""Inputs that somebody could write by mistake or malice: shipped files with something wrong in them."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from typing import Any

# What stands where a number, a name or a section should.
ODD: tuple[Any, ...] = (
    *(0, -1, 1, 0.0, -0.0, 1e-320, 1e-300, 1e-30, 1e30, 1e300, 1.7e308, 10**400, 2**63, 0.5, 3.7, 99999999999),
    *(float("nan"), float("inf"), float("-inf"), True, False, None),
    *(
        "",
        " ",
        "0",
        "-5%",
        "0%",
        "1%",
        "50%",
        "100%",
        "101%",
        "1e9B",
        "1B",
        "2T",
        "1e-300",
        "1e400",
        "nan",
        "inf",
        "-inf",
    ),
    *(
        "NaN USD/hour",
        "0 USD/hour",
        "1.5 USD/hour",
        "1.50 EUR/hour",
        "5 parsec",
        "60 days",
        "-3 days",
        "1 / 0",
        "10 10",
    ),
    *(
        "bf16",
        "int8",
        "int4",
        "fp4",
        "fp64",
        "h100-sxm",
        "a100-80gb-sxm",
        "no-such-chip",
        "sardana-2024",
        "kaplan-2020",
    ),
    *(
        "gadre-2024-c4",
        "kumar-2024",
        "muennighoff-2023",
        "ludziejewski-2025",
        "bian-2025",
        "gadre-17",
        "cost",
        "flops",
        "loss",
    ),
    *("2027-01", "2027-13", "1e3-01", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "con", "a" * 5000),
    *(
        "=1+1",
        '=HYPERLINK("x")',
        "+cmd",
        "@SUM(1)",
        "<script>alert(1)</script>",
        "\x1b[31mred\x1b[0m",
        "\u202e",
        "\x00",
        "\ud83d",
    ),
    *(
        "${HOME}",
        "{{7*7}}",
        "!!python/object/apply:os.system ['true']",
        "&a",
        "*a",
        "<<",
        "? :",
        "- -",
        "'",
        '"',
        "\\",
        "\n",
    ),
    *([], {}, [[]], [None], [0], [1, 2, 3], ["a"], {"a": 1}, {"": ""}, [[[[[[]]]]]], {"max": 1}, {"min": 2, "max": 1}),
    *({"median": 1, "p90": 2}, {"median": "1B", "p90": "4B"}, {"p10": 2, "p90": 1}, {"low": 1, "high": 1}, {"loss": 2}),
    *(
        [1, 2] * 500,
        ["h100-sxm", "h100-sxm"],
        {"params": "7B", "tokens": "2T"},
        {"file": "x.csv"},
        {"unique_tokens": "1T"},
    ),
)
# Pieces that mean something to a parser.
PIECES = (
    *(
        "\t",
        "  ",
        "\n",
        "\r",
        "\ufeff",
        "\x00",
        ":",
        ": ",
        "- ",
        "#",
        "|",
        ">",
        "&a ",
        "*a",
        "!!str ",
        "{",
        "}",
        "[",
        "]",
        ",",
    ),
    *(
        '"',
        "'",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "<<: *a\n",
        "? ",
        "é",
        "漢",
        "\U0001f600",
        "\u2028",
        "1e",
        "9" * 400,
        "0x1F",
        "~",
    ),
)


def trees(tree: Any, others: list[Any], rng: random.Random) -> Any:
    """Return a file's tree with one to four things wrong in it."""
    found = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        places = list(_places(found))
        if not places:
            return rng.choice(ODD)
        holder, key = rng.choice(places)
        what = rng.random()
        if what < 0.5:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif what < 0.65:
            del holder[key]
        elif what < 0.8 and isinstance(holder, dict):
            holder[
                rng.choice(("x", "", "min", "max", "price", "hardware", "tokens", str(key) + "s", str(key).upper()))
            ] = holder[key]
        elif what < 0.9:
            donor, donated = rng.choice(list(_places(rng.choice(others))))
            holder[key] = copy.deepcopy(donor[donated])
        elif isinstance(found, dict):
            other = rng.choice(others)
            name = rng.choice(list(other))
            found[name] = copy.deepcopy(other[name])
        else:
            holder[key] = [copy.deepcopy(holder[key])] * rng.choice((1, 2, 300))
    return found


_AMOUNT = re.compile(r"[0-9.]+(e[0-9]+)?")
# Numbers that are not what varies from one team to the next.
_KEPT = frozenset(("months", "start", "gpus", "years", "samples", "alpha", "beta", "g", "E"))


def plausible(tree: Any, others: list[Any], rng: random.Random) -> Any:
    """Return a scenario with one to four of its numbers moved, and now and then a section of another one's."""
    found = copy.deepcopy(tree)
    if rng.random() < 0.3:
        name = rng.choice(("limits", "serving", "training", "demand", "discounting", "energy", "compare", "law"))
        if donors := [other[name] for other in others if name in other]:
            found[name] = copy.deepcopy(rng.choice(donors))
    numbers = [(holder, key) for holder, key in _places(found) if amount_of(holder[key]) is not None]
    for holder, key in rng.sample(numbers, min(len(numbers), rng.choice((1, 2, 2, 4)))):
        if key not in _KEPT:
            scale(holder, key, 10.0 ** rng.uniform(-0.6, 0.6))
    return found


def amount_of(value: Any) -> float | None:
    """Return the number with which a value of a scenario begins, such as 1.5 of 1.5 USD/hour."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        begun = _AMOUNT.match(value)
        # A month, a name that begins with a digit
        if begun is None or re.match(r"[0-9]+-", value) or begun[0].count(".") > 1 or begun[0] == ".":
            return None
        value = float(begun[0])
    return float(value) if value > 0 else None


def scale(holder: Any, key: Any, factor: float) -> None:
    """Multiply the number with which a value begins; a share stays below all of it."""
    value = holder[key]
    amount = amount_of(value)
    assert amount is not None
    scaled = amount * factor
    if isinstance(value, str) and "%" in value:
        scaled = min(scaled, 99.0)
    number = f"{scaled:.12g}"
    holder[key] = _AMOUNT.sub(number, value, count=1) if isinstance(value, str) else float(number)


def paths(tree: Any, before: str = "") -> Iterator[str]:
    """Return the dotted key of everything in a tree of sections."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield f"{before}{key}"
        yield from paths(value, f"{before}{key}.")


def places(tree: Any, keys: frozenset[str]) -> list[tuple[Any, Any]]:
    """Return holder and key of every number that stands at or below one of these keys."""
    found = []
    for holder, key in _places(tree):
        if key in keys:
            below = [(holder, key), *_places(holder[key])]
            found += [(at, name) for at, name in below if amount_of(at[name]) is not None]
    return found


def texts(text: str, rng: random.Random) -> str:
    """Return a text with one to six edits of characters or lines."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        text = _edited(text, rng)
    return text


_SWAPS = ((":", ""), (" ", "\t"), ("\n", "\r\n"), (",", ";"), (".", ","), ("e", "E"))


def _edited(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    here, at = rng.randrange(len(lines)), rng.randrange(len(text) + 1)
    before, line, after = lines[:here], lines[here], lines[here + 1 :]
    match rng.randrange(8):
        case 0:
            return text[:at] + rng.choice(PIECES) + text[at:]
        case 1:
            return text[:at] + text[at + rng.randrange(1, 9) :]
        case 2:
            return "\n".join([*before, *after])
        case 3:
            return "\n".join([*before, line, line, *after])
        case 4:
            return "\n".join([*before, " " * rng.randrange(1, 5) + line, *after])
        case 5:
            return "\n".join([*before, line.lstrip(), *after])
        case 6:
            return text[:at]
        case _:
            return text.replace(*rng.choice(_SWAPS))


def data(raw: bytes, rng: random.Random) -> bytes:
    """Return a file's bytes damaged in one to eight places, or cut off."""
    found = bytearray(raw)
    for _ in range(rng.choice((1, 2, 8))):
        if not found:
            break
        at = rng.randrange(len(found))
        what = rng.random()
        if what < 0.4:
            found[at] = rng.randrange(256)
        elif what < 0.6:
            del found[at : at + rng.choice((1, 4, 64, 1024))]
        elif what < 0.8:
            found[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 64))))
        else:
            del found[at:]
    return bytes(found)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Return every holder and key of a tree."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield tree, key
            yield from _places(value)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield tree, index
            yield from _places(value)
