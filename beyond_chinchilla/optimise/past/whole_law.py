"""What a law past Chinchilla says at a given size: the tokens that it takes, and how flat the optimum is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from beyond_chinchilla.laws.precision import Quantisation
from beyond_chinchilla.laws.whole_law import WholeLaw
from beyond_chinchilla.optimise import kkt
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.held import log_cost_of
from beyond_chinchilla.optimise.problem import Problem

_FIRST_STEP = 0.05


def loss(problem: Problem, N: float, D: float, values: Mapping[str, float]) -> float:
    """Return the loss [nats/token] of N parameters and D tokens under the whole law, levers at `values` by kind."""
    law = problem.law
    if problem.repetition is not None:
        law = problem.repetition.tangent(law, N, D)
    point = {"params": N, "tokens": D}
    point |= {lever.variable: values[lever.kind] for lever in problem.levers if lever.variable}
    added = (float(term.value(point)) for lever in problem.levers for term in lever.terms(law))
    return float(law.loss(N, D)) + sum(added)


def one_percent(problem: Problem, found: Located, most: float) -> tuple[float, float] | None:
    """Return the sizes between which a plan costs at most `most` times its cost, within the limits.

    Under limited data, or levers without a variable: where D alone goes with N. None where serving is no posynomial: a
    size then has no bill of its own.
    """
    if problem.bill is not None or any(lever.variable for lever in problem.levers):
        return None
    start = math.log(found.params)
    ceiling = log_cost_of(found) + math.log(most)

    def good(n: float) -> bool:
        D = fewest_tokens(problem, math.exp(n))
        if not math.isfinite(D):
            return False
        logs = {"params": n, "tokens": math.log(D)}
        kept = all(float(ratio.log_value(logs)) <= kkt.ACTIVE for ratio in problem.ratios)
        return kept and float(problem.counted_cost.log_value(logs)) <= ceiling

    ends = []
    for sign in (-1.0, 1.0):
        steps = [sign * _FIRST_STEP * 2.0**i for i in range(12)]
        inside, outside = next(
            ((a, b) for a, b in pairwise([0.0, *steps]) if not good(start + b)), (steps[-1], steps[-1])
        )
        for _ in range(60):
            middle = 0.5 * (inside + outside)
            inside, outside = (middle, outside) if good(start + middle) else (inside, middle)
        ends.append(math.exp(start + inside))
    return ends[0], ends[1]


def fewest_tokens(problem: Problem, N: float) -> float:
    """Return the tokens with which N parameters reach the target under the whole law; nan where none do.

    Parameters
    ----------
    problem : Problem
        Whose only lever, if any, is quantisation: one without a variable.
    N : float
    """
    bits = next((lever for lever in problem.levers if isinstance(lever, Quantisation)), None)
    whole = WholeLaw(law=problem.law, repetition=problem.repetition, quantisation=bits)
    return float(whole.tokens_for(N, problem.target_loss))
