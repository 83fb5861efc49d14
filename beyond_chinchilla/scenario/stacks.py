"""Bills and limits of many scenarios of one shape as those of one, with an array in the place of every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.lifetime import NEXT_TO_NOTHING
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.posynomial import Posynomial, Term

Array = NDArray[np.float64]


def stacked(rows: Sequence[Posynomial]) -> Posynomial:
    """Return posynomials as one, an array for each coefficient; a term that some lack adds nothing there."""
    template = max(rows, key=lambda row: len(row.terms))
    known = [{term.label: term for term in row.terms} for row in rows]

    def column(term: Term) -> Array:
        return np.array([row[term.label].coefficient if term.label in row else NEXT_TO_NOTHING for row in known])

    return Posynomial(tuple(replace(term, coefficient=column(term)) for term in template.terms), template.unit)


def stacked_limits(rows: Sequence[Limit]) -> Limit:
    """Return one limit as stated by many scenarios, an array for its bound."""
    bound: Any = np.array([row.bound for row in rows])
    return replace(rows[0], quantity=stacked([row.quantity for row in rows]), bound=bound)
