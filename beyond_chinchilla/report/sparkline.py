"""Cost against size in one line of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from beyond_chinchilla.analyse.committed import hold
from beyond_chinchilla.analyse.cost_curve import bill
from beyond_chinchilla.units import format_percent, format_size, format_times

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem

_LEVELS = "▁▂▃▄▅▆▇█"
# Sizes, and how far they go to both sides of the plan's.
_COLUMNS, _REACH = 31, 3.0
# Serving that is designed for each size takes milliseconds a size.
_FEW_COLUMNS = 15
# Fewer make no curve.
_LEAST = 3
# Of a size that breaks a limit, or on which no number of tokens reaches the target.
_NONE = "·"
# What the tallest level stands for: costs above it look alike.
_TALLEST = 2.0


def sparkline(problem: Problem, plan: Plan) -> str:
    """Return the bill of sizes around the plan's as a line of blocks, from the least to twice that.

    Nothing where there is no plan, no size to choose, or next to none that keeps the limits.

    Parameters
    ----------
    problem : Problem
        Whose optimum the plan is.
    plan : Plan
    """
    best = plan.best
    if best is None or plan.objective == "loss" or problem.start_from is not None:
        return ""
    if problem.is_extended:
        problem = hold(problem, plan)
    sizes = best.params * np.geomspace(1.0 / _REACH, _REACH, _FEW_COLUMNS if problem.is_codesign else _COLUMNS)
    found = [bill(problem, float(size)) for size in sizes]
    drawn = "".join(
        _NONE if one is None or one.breaks or not math.isfinite(one.total) else _level(one.total / best.total)
        for one in found
    )
    if len(drawn) - drawn.count(_NONE) < _LEAST:
        return ""
    ends = f"{format_size(float(sizes[0]))} {drawn} {format_size(float(sizes[-1]))}"
    limits = f", {_NONE} where a size cannot be" if _NONE in drawn else ""
    more = format_percent((_TALLEST - 1.0) / (len(_LEVELS) - 1), 0)
    return f"Cost by size: {ends} (a step is {more}, the top {format_times(_TALLEST)} or more{limits})."


def _level(ratio: float) -> str:
    """Return the block of a bill over the plan's."""
    step = (_TALLEST - 1.0) / (len(_LEVELS) - 1)
    return _LEVELS[min(max(round((ratio - 1.0) / step), 0), len(_LEVELS) - 1)]
