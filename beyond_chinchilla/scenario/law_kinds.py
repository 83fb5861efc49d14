"""How a scenario states what is known of the errors of fitted constants: a covariance, or samples of refits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.correlation import is_possible
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.fields import Kind, describe
from beyond_chinchilla.units import parse_number

Array = NDArray[np.float64]

# In this order as `fit.huber` has it.
PARAMETERS = ("ln A", "ln B", "ln E", "alpha", "beta")
# More refits add nothing to an interval, and a scenario must stay a file that one can open.
MOST_ROWS = 5_000
# A held E of 0 has no logarithm.
_LN_E = "ln E"


@dataclass(frozen=True)
class Covariance(Kind):
    """A covariance, of a law's constants if nothing else is said; a row of zeros for what is held."""

    description: str
    names: tuple[str, ...] = PARAMETERS

    def read(self, value: Any) -> tuple[tuple[float, ...], ...]:
        """Return the rows."""
        size, order = len(self.names), ", ".join(self.names)
        square = isinstance(value, (list, tuple)) and len(value) == size
        if not square or not all(isinstance(row, (list, tuple)) and len(row) == size for row in value):
            raise InputError(f"expected {size} rows of {size} numbers, in the order {order}, got {describe(value)}")
        rows = tuple(tuple(parse_number(entry) for entry in row) for row in value)
        matrix = np.array(rows)
        spread = np.sqrt(np.maximum(np.diag(matrix), 0.0))
        scale = np.where(spread > 0, spread, 1.0)
        scaled = matrix / np.outer(scale, scale)
        for i, j in zip(*np.nonzero(np.abs(scaled - scaled.T) > 1e-6), strict=True):
            raise InputError(
                f"is not symmetric: {self.names[i]} with {self.names[j]} is {matrix[i, j]:g} and {matrix[j, i]:g}; "
                "write one number in both places"
            )
        if not is_possible((scaled + scaled.T) / 2.0):
            raise InputError(
                f"is no covariance: a combination of {order} would have a variance below zero; give every entry with "
                "7 digits or more, as bc-opt fit writes them"
            )
        return rows

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        size = len(self.names)
        row = {"type": "array", "items": {"type": ["number", "string"]}, "minItems": size, "maxItems": size}
        return {"type": "array", "items": row, "minItems": size, "maxItems": size, "description": self.description}


@dataclass(frozen=True)
class Refits(Kind):
    """Constants refitted to resampled runs, a law's if nothing else is said: a row of numbers each, kept as text."""

    description: str
    names: tuple[str, ...] = PARAMETERS

    def read(self, value: Any) -> tuple[str, ...]:
        """Return the rows, each as text."""
        if not isinstance(value, (list, tuple)) or not value:
            raise InputError(f"expected rows of {', '.join(self.names)}, got {describe(value)}")
        rows = tuple(row if isinstance(row, str) else row_text(row, self.names) for row in value[:MOST_ROWS])
        refits_of(rows, self.names)
        return rows

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "array", "items": {"type": ["string", "array"]}, "description": self.description}


def row_text(row: Any, names: tuple[str, ...] = PARAMETERS) -> str:
    """Return a row as text; None, a logarithm of zero, is -inf."""
    if not isinstance(row, (list, tuple)):
        raise InputError(f"expected rows of {', '.join(names)}, got {describe(row)}")
    return " ".join("-inf" if entry is None else f"{parse_number(entry):.10g}" for entry in row)


def refits_of(rows: tuple[str, ...], names: tuple[str, ...] = PARAMETERS) -> Array:
    """Return rows of text as numbers, shape (rows, names).

    Raises
    ------
    InputError
        A row of another length, or what is no number; the first one is told.
    """
    found = np.empty((len(rows), len(names)))
    for index, row in enumerate(rows):
        parts = row.split()
        try:
            if len(parts) != len(names):
                raise ValueError
            found[index] = [float(part) for part in parts]
        except ValueError:
            order = f"{len(names)} numbers ({', '.join(names)})"
            raise InputError(f"row {index + 1} is not {order}: {describe(row)}") from None
    finite = np.isfinite(found)
    if _LN_E in names:
        log_E = found[:, names.index(_LN_E)]
        finite[:, names.index(_LN_E)] |= log_E == -math.inf
    if not finite.all():
        first = int(np.flatnonzero(~finite.all(axis=1))[0]) + 1
        bad = int((~finite.all(axis=1)).sum())
        raise InputError(f"{bad} of {len(rows)} rows hold what is no number, first row {first}; leave them out")
    return found
