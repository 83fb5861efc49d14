"""The Chinchilla-optimal models of a block of problems, with which their plans are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.plan_block import spend_ratio
from beyond_chinchilla.scenario.block import ProblemBlock, compile_block
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.past import laws as past
from beyond_chinchilla.scenario.uncertainty import Draws

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Baselines:
    """Models of least training compute at the target, limits set aside; arrays of shape (K,).

    Attributes
    ----------
    params : ndarray of float
        As the law counts them.
    tokens : ndarray of float
    total : ndarray of float
        What they cost under the same demand and prices.
    spend_ratio : ndarray of float
        Serving over training spend.
    """

    params: Array
    tokens: Array
    total: Array
    spend_ratio: Array


def without_levers(scenario: Scenario, draws: Draws, numbers: Mapping[str, float]) -> ProblemBlock | None:
    """Return a scenario's block with its levers at their baselines, such as one sample; None where it has none.

    Parameters
    ----------
    scenario, draws
        As `compile_block` takes them.
    numbers : mapping of str to float
        By kind, what levers without a baseline are held at.
    """
    levers = [lever for lever in past.levers_of(scenario.file) if lever.variable and lever.baseline is not None]
    return compile_block(scenario, draws, numbers, apart=True) if levers else None


def baselines(block: ProblemBlock, apart: ProblemBlock | None = None) -> Baselines:
    """Return the baseline of each problem.

    Parameters
    ----------
    block : ProblemBlock
    apart : ProblemBlock, optional
        The same problems without their levers: the baseline is of these where it reaches the target.
    """
    found = _of(block)
    if apart is None:
        return found
    other = _of(apart)
    reached = np.isfinite(other.params) & np.isfinite(other.tokens)
    return Baselines(
        params=np.where(reached, other.params, found.params),
        tokens=np.where(reached, other.tokens, found.tokens),
        total=np.where(reached, other.total, found.total),
        spend_ratio=np.where(reached, other.spend_ratio, found.spend_ratio),
    )


def _of(block: ProblemBlock) -> Baselines:
    if block.whole.is_plain:
        found = block.law.compute_optimal(loss=block.target_loss)
        N, D = found.params, found.tokens
    else:
        # Imported where it is needed: few scenarios go past the plain law.
        from beyond_chinchilla.analyse.size_search import least_compute

        N, D = least_compute(block.whole, block.target_loss)
    point = {"params": N, "tokens": D}
    return Baselines(params=N, tokens=D, total=block.cost.value(point), spend_ratio=spend_ratio(block.cost, point))
