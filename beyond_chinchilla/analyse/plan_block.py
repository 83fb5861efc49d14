"""The cheapest plans of a block of problems, as arrays: by the universal curve, or under limits elementwise.

Under limited data or quantisation these say what the plain law asks for. Where that takes neither more tokens nor more
parameters than the data can fill, it is the answer; else, and wherever weights are rounded, sizes are searched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.risk.bills import SLIP
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.universal import rates_of
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.block import ProblemBlock, part_of

Array = NDArray[np.float64]
Codes = NDArray[np.int8]


class Status(IntEnum):
    """What happened to one problem of a block."""

    OPTIMAL = 0
    INFEASIBLE = 1
    """No plan keeps all limits."""
    OUT_OF_REACH = 2
    """The target is at or below the law's irreducible loss."""
    UNBOUNDED = 3
    """The bill falls for ever in one direction."""
    INVALID = 4
    """Numbers that no scenario may hold."""
    NOT_SOLVED = 5
    """A method stopped short."""

    @property
    def words(self) -> str:
        """What a table says."""
        return self.name.lower().replace("_", " ")


class Method(IntEnum):
    """How a plan was found."""

    NONE = 0
    UNIVERSAL = 1
    ELEMENTWISE = 2
    SEARCH = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Cheapest:
    """The cheapest plans of K problems; arrays of shape (K,), nan where there is no plan.

    Attributes
    ----------
    params : ndarray of float
        As the law counts them.
    tokens : ndarray of float
    status, method : ndarray of int8
        `Status` and `Method` of each.
    spend_ratio : ndarray of float or None
        Serving over training spend by the universal curve; nan where limits moved the plan, None where the bill is
        not a N D + b N.
    """

    params: Array
    tokens: Array
    status: Codes
    method: Codes
    spend_ratio: Array | None


# A target reached by no more than rounding.
_SAME = 1e-13
# What the two solvers call it.
_OF_UNIVERSAL = np.array(
    [Status.OPTIMAL, Status.INVALID, Status.OUT_OF_REACH, Status.UNBOUNDED],
    dtype=np.int8,
)
_OF_ELEMENTWISE = np.array(
    [Status.OPTIMAL, Status.INVALID, Status.INFEASIBLE, Status.UNBOUNDED, Status.NOT_SOLVED], dtype=np.int8
)


def takes_arrays(block: ProblemBlock) -> bool:
    """Say whether arrays can do a block: its bill is a N D + b N without limits, or elementwise takes it."""
    if not block.stated and rates_of(block.cost) is not None:
        return True
    from beyond_chinchilla.optimise import elementwise

    return elementwise.accepts(block.cost, [limit.ratio for limit in block.limits])


def cheapest(block: ProblemBlock, ratios: Sequence[Posynomial]) -> Cheapest:
    """Return the cheapest plan of each problem.

    Parameters
    ----------
    block : ProblemBlock
    ratios : sequence of Posynomial
        What must be at most 1, in parameters as the law counts them.

    Raises
    ------
    InputError
        A bill or limit that needs the geometric program; see `takes_arrays`.
    """
    with np.errstate(all="ignore"):
        found = _cheapest(block, ratios)
        return found if block.whole.is_plain else _bent(block, ratios, found)


def _bent(block: ProblemBlock, ratios: Sequence[Posynomial], plain: Cheapest) -> Cheapest:
    """Return the plans of the whole law: a problem that has none where all data is new, and no bits are lost, has none.

    `plain` is what the plain law asks for.
    """
    # Imported where it is needed: few scenarios go past the plain law.
    from beyond_chinchilla.analyse.size_search import search

    N, D = plain.params.copy(), plain.tokens.copy()
    status, method = plain.status.copy(), plain.method.copy()
    whole = block.whole
    reached = whole.loss(N, D) <= block.target_loss * (1.0 + _SAME)
    left = np.flatnonzero((status == Status.OPTIMAL) & ~reached)
    if left.size:
        part = block.block(left)
        here = [part_of(ratio, left) for ratio in ratios]
        N[left], D[left] = search(part.whole, part.target_loss, part.cost, here, N[left])
        lost = ~np.isfinite(N[left])
        status[left] = np.where(lost, np.int8(Status.INFEASIBLE), np.int8(Status.OPTIMAL))
        method[left] = np.where(lost, np.int8(Method.NONE), np.int8(Method.SEARCH))
    # What the curve says of savings is against a model of the plain law.
    s = None if plain.spend_ratio is None else np.full(block.count, np.nan)
    return Cheapest(params=N, tokens=D, status=status, method=method, spend_ratio=s)


def _cheapest(block: ProblemBlock, ratios: Sequence[Posynomial]) -> Cheapest:
    law, loss = block.law, _scalar_if_one(block.target_loss)
    rates = rates_of(block.cost)
    if rates is None:
        N, D = np.full((2, block.count), np.nan)
        s = None
        status = np.full(block.count, Status.NOT_SOLVED, dtype=np.int8)
        method = np.zeros(block.count, dtype=np.int8)
        left = np.arange(block.count)
    else:
        free = universal.optimum(law, loss, *rates)
        N, D, s, found = (_full(x, block.count) for x in (free.params, free.tokens, free.spend_ratio, free.status))
        status = _OF_UNIVERSAL[found]
        method = np.where(status == Status.OPTIMAL, np.int8(Method.UNIVERSAL), np.int8(Method.NONE))
        left = np.flatnonzero(~_kept(ratios, N, D)) if ratios else np.empty(0, dtype=np.intp)
    out_of_reach = np.broadcast_to(loss <= law.E, block.count)
    left = left[~out_of_reach[left]]
    if left.size:
        # Imported where it is needed: the universal curve answers most questions.
        from beyond_chinchilla.optimise import elementwise

        N, D = N.copy(), D.copy()
        part = block.block(left)
        here = [part_of(ratio, left) for ratio in ratios]
        minima = elementwise.minimise(part.law, part.target_loss, part.cost, here)
        N[left], D[left] = _full(minima.params, left.size), _full(minima.tokens, left.size)
        status[left] = _OF_ELEMENTWISE[minima.status]
        method[left] = np.where(status[left] == Status.OPTIMAL, np.int8(Method.ELEMENTWISE), np.int8(Method.NONE))
        if s is not None:
            s[left] = np.nan
    status[out_of_reach] = Status.OUT_OF_REACH
    return Cheapest(params=N, tokens=D, status=status, method=method, spend_ratio=s)


def _kept(ratios: Sequence[Posynomial], N: Array, D: Array) -> NDArray[np.bool_]:
    """Say where every limit holds; what is not a number keeps none."""
    logs = {"params": np.log(N), "tokens": np.log(D)}
    kept = np.ones(N.shape, dtype=bool)
    for ratio in ratios:
        kept &= ratio.log_value(logs) <= SLIP
    return kept


def _scalar_if_one(values: Array) -> Array:
    """Return one number where an array repeats it: what scalars alone decide is decided once."""
    return values[0] if values.ndim and values.strides[0] == 0 else values


def _full(values: Any, count: int) -> Any:
    return np.broadcast_to(values, (count,)).copy() if np.ndim(values) == 0 else values


def spend_ratio(cost: Posynomial, point: Mapping[str, Array]) -> Array:
    """Return what serving costs over what training costs."""
    spent: dict[str, Any] = {
        driver: sum(term.value(point) for term in cost.terms if driver in term.drivers)
        for driver in ("demand", "training_price")
    }
    return np.asarray(spent["demand"] / spent["training_price"])
