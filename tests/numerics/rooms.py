"""What every room of the package shares here: extreme numbers, and what becomes of one example."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

SMALLEST, TINY, LARGEST = 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308
# What no formula expects.
ODD = (0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, SMALLEST, 1e-310, TINY, 1e-300, 1e300, LARGEST)

PLAN, STATUS = "plan", "status"


@dataclass(frozen=True)
class Outcome:
    """What became of one example: a right answer, with its error where there is a reference, or a status."""

    kind: str
    error: float | None = None


@dataclass(frozen=True)
class Room:
    """A part of the package: how its inputs are drawn, and what is asked of its answers.

    `judge` raises an AssertionError for a wrong answer; whatever else it raises is wrong as well.
    """

    name: str
    draw: Callable[[random.Random], dict[str, Any]]
    judge: Callable[..., Outcome]
    # One example of a slow room is drawn for so many of the others.
    share: float = 1.0


def positive(rng: random.Random) -> float:
    """Draw a positive double: of the size of sensible ones, of any size, or at an end of what there is."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice((SMALLEST, 1e-310, TINY, 1e-300, 1.0, 1e300, LARGEST))
    if kind < 0.4:
        return 10.0 ** rng.uniform(-300.0, 300.0)
    return 10.0 ** rng.uniform(-20.0, 30.0)


def sensible(rng: random.Random, low: float, high: float, odds: float = 0.1) -> float:
    """Draw from low to high, evenly in the logarithm; now and then what no team has."""
    if rng.random() < odds:
        return rng.choice(ODD) if rng.random() < 0.5 else positive(rng)
    return 10.0 ** rng.uniform(math.log10(low), math.log10(high))


def exponent(rng: random.Random) -> float:
    """Draw an exponent of a law: as published, or from next to nothing to beyond 2."""
    return rng.choice(
        (
            rng.uniform(0.2, 0.5),
            rng.uniform(0.05, 2.0),
            10.0 ** rng.uniform(-6.0, 0.5),
            1e-6,
            2.0,
            rng.uniform(2.0, 9.0),
        )
    )


def all_numbers(tree: Any, place: str = "") -> list[tuple[str, float]]:
    """Return every number of a nested answer with its place."""
    if isinstance(tree, dict):
        return [found for key, value in tree.items() for found in all_numbers(value, f"{place}.{key}")]
    if isinstance(tree, (list, tuple)):
        return [found for index, value in enumerate(tree) for found in all_numbers(value, f"{place}[{index}]")]
    if isinstance(tree, (int, float, np.number)) and not isinstance(tree, bool):
        return [(place, float(tree))]
    return []


def must_say(error: Exception, given: Iterable[Any] = ()) -> None:
    """Hold a refusal to saying something, and to speaking of nan only where it was given."""
    text = str(error)
    assert text, "a refusal without a word"
    assert "nan" not in text or any(str(value) == "nan" for value in given), text


def is_double(log: Any) -> bool:
    """Say whether e^log is a normal double, with a little room."""
    return -706.0 < float(log) < 709.0
