"""A scenario as YAML text, each key with a comment that says where it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from beyond_chinchilla.errors import printable

# What YAML and our reader of it take for the text that it is.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._/%+$-]*[A-Za-z0-9._/%+$-])?")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off"}
_ORDER = (
    *("name", "law", "target", "demand", "objective", "currency", "discounting", "training", "serving", "limits"),
    *("compare", "start_from", "energy", "buy"),
)


def write_scenario(tree: Mapping[str, Any], sources: Mapping[tuple[str, ...], str], heading: str) -> str:
    """Return the text.

    Parameters
    ----------
    tree : mapping
        Keys are text; leaves are text, numbers, truth values or lists.
    sources : mapping of tuple to str
        What a key's comment says.
    heading : str
        The first comment.

    >>> print(write_scenario({"target": {"loss": "2.0"}}, {("target", "loss"): "Inputs!B4"}, "From a.xlsx"), end="")
    # From a.xlsx
    <BLANKLINE>
    target:
      loss: 2.0  # Inputs!B4
    """
    lines = [f"# {printable(heading)}", ""]
    keys = [*(key for key in _ORDER if key in tree), *(key for key in tree if key not in _ORDER)]
    for key in keys:
        lines += _entry((key,), tree[key], sources)
    return "\n".join(lines) + "\n"


def _entry(path: tuple[str, ...], value: Any, sources: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    indent = "  " * (len(path) - 1)
    said = f"  # {printable(sources[path])}" if path in sources else ""
    key = _scalar(path[-1])
    if isinstance(value, Mapping) and value:
        yield f"{indent}{key}:{said}"
        for name, item in value.items():
            yield from _entry((*path, str(name)), item, sources)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
        yield f"{indent}{key}:{said}"
        for index, item in enumerate(value):
            row = sources.get((*path, str(index)))
            yield f"{indent}  - {_flow(item)}{f'  # {printable(row)}' if row else ''}"
    else:
        yield f"{indent}{key}: {_flow(value)}{said}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return _scalar(str(value))


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) is not None and text.casefold() not in _RESERVED
    return text if plain else json.dumps(printable(text), ensure_ascii=False)


def written(value: float) -> str:
    """Return a number as a scenario writes it, exactly.

    >>> written(40e6), written(219.5), written(41234567.0), written(0.1 + 0.2)
    ('40M', '219.5', '41234567', '0.30000000000000004')
    """
    for suffix, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        short = f"{value / scale:.4g}"
        if value >= max(scale, 1e4) and "e" not in short and float(short) * scale == value:
            return short + suffix
    return f"{value:.0f}" if value.is_integer() and value < 1e15 else repr(value)
