"""Cost against model size: the bill of every size that reaches the target, up to where nobody would go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.committed import given, whole_of
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.optimise.problem import Problem

Array = NDArray[np.float64]

# Sizes where the bill is a sum; co-design asks for the best batch at each.
_POINTS, _FEW_POINTS = 200, 48
# How far up the curve goes, as a multiple of its least.
_TALLEST = 2.0


@dataclass(frozen=True, kw_only=True)
class CostCurve:
    """The bill of each size that reaches the target, on as few tokens as do.

    Attributes
    ----------
    params : array, shape (sizes,)
        Total parameters.
    total : array, shape (sizes,)
        [unit of the bill]
    terms : dict of str to array
        The total by label.
    broken : dict of str to array of bool
        By limit: the sizes at which it is broken, and which keep it else.
    """

    params: Array
    total: Array
    terms: dict[str, Array]
    broken: dict[str, NDArray[np.bool_]]


def cost_curve(problem: Problem, around: list[float], points: int | None = None) -> CostCurve:
    """Assess models of many sizes at the problem's target, from the smallest that is worth a look.

    Parameters
    ----------
    problem : Problem
        As `bill` takes it.
    around : list of float
        Total parameters that the curve must show.
    points : int, optional
        Sizes to assess, beside those.
    """
    law = problem.law
    smallest = float(law.total_params((law.A / problem.reducible) ** (1.0 / law.alpha)))
    low = max(smallest * 1.0001, min(around) / 8.0)
    high = max(around) * 8.0
    sizes = np.geomspace(low, high, points or (_FEW_POINTS if problem.is_codesign else _POINTS))
    sizes = np.unique(np.concatenate([sizes, [size for size in around if size > low]]))
    found = [bill(problem, float(size)) for size in sizes]
    kept = [candidate for candidate in found if candidate is not None and math.isfinite(candidate.total)]
    inner = [candidate.total for candidate in kept if min(around) <= candidate.params <= max(around)]
    tallest = max(_TALLEST * min(inner), 1.15 * max(inner[0], inner[-1]))
    shown = [c for c in kept if c.total <= tallest or min(around) <= c.params <= max(around)]
    labels = dict.fromkeys(label for candidate in shown for label in candidate.terms)
    return CostCurve(
        params=np.array([candidate.params for candidate in shown]),
        total=np.array([candidate.total for candidate in shown]),
        terms={label: np.array([candidate.terms.get(label, 0.0) for candidate in shown]) for label in labels},
        broken={
            label: np.array([label in candidate.breaks for candidate in shown])
            for label in dict.fromkeys(limit.label for limit in problem.limits)
        },
    )


def bill(problem: Problem, params: float) -> Candidate | None:
    """Return the model of so many total parameters on the fewest tokens that do: the target's, or a floor's.

    None where no number of tokens reaches the target. Under a law past Chinchilla the numbers of its levers must be
    held: see `committed.hold`.
    """
    law = whole_of(problem)
    N = float(problem.law.counted_params(params))
    tokens = float(law.tokens_for(N, problem.target_loss))
    if not math.isfinite(tokens):
        return None
    for limit in problem.limits:
        if limit.side == "min" and limit.label != "params":
            # A floor is a monomial, on tokens or on tokens per parameter.
            tokens = max(tokens, limit.bound / limit.value({"params": params, "tokens": 1.0}))
    return given(problem, N, tokens)
