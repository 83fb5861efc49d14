"""Distributions out of what people write: ``{median: 1B, p90: 4B}`` and its kin, each number read as its field's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beyond_chinchilla.distributions import Distribution, Lognormal, Normal, Samples, Triangular, Uniform
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.units import parse_number

# Where a mistake lies within a distribution, and what it is.
Found = list[tuple[tuple[str | int, ...], str]]
FORMS = (
    "{median: 1, p90: 4}, {p10: 0.5, p90: 4}, {low: 1, mode: 2, high: 4}, {low: 1, high: 4}, "
    "{normal: {mean: 2, sd: 0.3}} or {samples: file.csv}"
)
KEYS = ("median", "p10", "p90", "low", "mode", "high", "normal", "samples")
# What people write for these; told how it is said here.
_ALMOST = ("mean", "sd", "std", "mu", "sigma", "p5", "p50", "p95", "min", "max", "lognormal", "uniform", "triangular")
# What says how samples were read, beside them.
_BESIDE_SAMPLES = ("column", "source")


def is_distribution(value: Any) -> bool:
    """Say whether a mapping speaks of a distribution, well written or not."""
    return isinstance(value, Mapping) and bool(set(value) & {*KEYS, *_ALMOST})


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How the numbers of one field are read, and what it allows.

    Parameters
    ----------
    number : callable
        Reads a number as the field does; raises InputError.
    spread : callable
        Reads a standard deviation in the field's unit.
    low, high : float
        What the field allows.
    """

    number: Callable[[Any], float]
    spread: Callable[[Any], float]
    low: float = -math.inf
    high: float = math.inf


PLAIN = Reader(number=parse_number, spread=parse_number)


def read_distribution(stated: Mapping[str, Any], reader: Reader = PLAIN) -> tuple[Distribution | None, Found]:
    """Read a distribution; return it, or what is wrong by the keys within.

    >>> distribution, mistakes = read_distribution({"median": 2, "p90": 3})
    >>> distribution.describe(), mistakes
    ('lognormal, median 2, p90 3', [])
    """
    keys = set(stated)
    if "samples" in keys:
        return _read_samples(stated, reader)
    if "normal" in keys:
        return _read_normal(stated, reader)
    for wanted in (("median", "p90"), ("p10", "p90"), ("low", "mode", "high"), ("low", "high")):
        if keys == set(wanted):
            figures, found = _numbers(stated, dict.fromkeys(wanted, reader.number))
            return (None, found) if found else _made(figures, reader)
    unknown = [key for key in stated if key not in (*KEYS, *_ALMOST)]
    if unknown:
        return None, [((key,), f"unknown key; {nearest(key, KEYS)}") for key in unknown]
    return None, [((), f"{', '.join(map(str, stated)) or 'nothing'} makes no distribution; write {FORMS}")]


def _made(figures: dict[str, float], reader: Reader) -> tuple[Distribution | None, Found]:
    try:
        if "p90" in figures:
            middle, p10 = figures.get("median"), figures.get("p10")
            return Lognormal(middle=middle, p10=p10, p90=figures["p90"], low=reader.low, high=reader.high), []
        if "mode" in figures:
            return Triangular(**figures), []
        return Uniform(**figures), []
    except InputError as error:
        return None, [((), str(error))]


def _read_normal(stated: Mapping[str, Any], reader: Reader) -> tuple[Distribution | None, Found]:
    inner = stated["normal"]
    if set(stated) != {"normal"} or not isinstance(inner, Mapping) or set(inner) != {"mean", "sd"}:
        return None, [((), "a normal takes mean and sd alone; write it like {normal: {mean: 2, sd: 0.3}}")]
    figures, found = _numbers(inner, {"mean": reader.number, "sd": reader.spread})
    if found:
        return None, [(("normal", *keys), message) for keys, message in found]
    try:
        return Normal(mean=figures["mean"], sd=figures["sd"], low=reader.low, high=reader.high), []
    except InputError as error:
        return None, [((), str(error))]


def _read_samples(stated: Mapping[str, Any], reader: Reader) -> tuple[Distribution | None, Found]:
    values, source = stated["samples"], stated.get("source", "")
    unknown = [key for key in stated if key not in ("samples", *_BESIDE_SAMPLES)]
    if unknown:
        return None, [((key,), f"does not go with samples; {nearest(key, _BESIDE_SAMPLES)}") for key in unknown]
    if not isinstance(values, Sequence) or isinstance(values, str) or not isinstance(source, str):
        return None, [(("samples",), "is neither a file beside the scenario nor a list of numbers")]
    found, first = _each(values, reader.number)
    if first:
        bad = len(values) - len(found)
        return None, [(("samples",), f"{bad} of {len(values)} cannot be used, the first: {first}")]
    try:
        return Samples(values=tuple(found), source=source).thinned(), []
    except InputError as error:
        return None, [(("samples",), str(error))]


def _each(values: Sequence[Any], number: Callable[[Any], float]) -> tuple[list[float], str]:
    """Read a list; return the numbers and the first mistake."""
    found, first = [], ""
    for value in values:
        try:
            found.append(number(value))
        except InputError as error:
            first = first or str(error)
    return found, first


def _numbers(
    stated: Mapping[str, Any], readers: Mapping[str, Callable[[Any], float]]
) -> tuple[dict[str, float], Found]:
    figures: dict[str, float] = {}
    found: Found = []
    for key, read in readers.items():
        try:
            figures[key] = read(stated[key])
        except InputError as error:
            found.append(((key,), str(error)))
    return figures, found
