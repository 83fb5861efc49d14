"""Which runs a law is fitted to: filters that set the others aside, each with its reason."""

from __future__ import annotations

import math

import numpy as np

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit.cells import Array
from beyond_chinchilla.fit.runs import FEWEST, Runs
from beyond_chinchilla.units import format_number

# Bounds hold to rounding: 1.51e9 / 151e6 is 10 tokens per parameter.
ROUNDING = 1e-9


def min_params(runs: Runs, bound: float) -> Runs:
    """Keep models of at least so many parameters, as the runs count them."""
    return _at_least(runs, runs.params, bound, "params")


def max_params(runs: Runs, bound: float) -> Runs:
    """Keep models of at most so many parameters, as the runs count them."""
    return _at_most(runs, runs.params, bound, "params")


def min_tokens_per_param(runs: Runs, bound: float) -> Runs:
    """Keep runs of at least so many tokens per parameter."""
    return _at_least(runs, runs.tokens_per_param, bound, "tokens per param")


def max_tokens_per_param(runs: Runs, bound: float) -> Runs:
    """Keep runs of at most so many tokens per parameter.

    >>> from beyond_chinchilla.fit.runs import make_runs
    >>> runs = make_runs([1e8, 1e8, 1e9], [2e9, 1e12, 2e10], [3.4, 2.9, 2.6])
    >>> max_tokens_per_param(runs, 100).set_aside
    (SetAside(row=2, reason='over 100 tokens per param', detail=''),)
    """
    return _at_most(runs, runs.tokens_per_param, bound, "tokens per param")


def min_flops(runs: Runs, bound: float) -> Runs:
    """Keep runs of at least so many training FLOPs: as read, and 6ND where nothing was read."""
    return _at_least(runs, runs.compute, bound, "FLOP")


def max_flops(runs: Runs, bound: float) -> Runs:
    """Keep runs of at most so many training FLOPs: as read, and 6ND where nothing was read."""
    return _at_most(runs, runs.compute, bound, "FLOP")


def drop_highest_loss(runs: Runs, count: int) -> Runs:
    """Leave out the runs of highest loss (of equal ones, the smaller models on fewer tokens first).

    Raises
    ------
    InputError
        A count that is negative or no whole number, or leaves fewer than 2 runs.
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 0 <= count <= len(runs) - FEWEST:
        raise InputError(
            f"cannot leave out the {count} highest losses of {len(runs)} runs; give a whole number from 0 to "
            f"{max(len(runs) - FEWEST, 0)}"
        )
    keep = np.ones(len(runs), dtype=bool)
    keep[np.lexsort((runs.tokens, runs.params, -runs.loss))[:count]] = False
    return runs.take(keep, "highest loss" if count == 1 else f"one of the {count} highest losses")


def filter_runs(
    runs: Runs,
    *,
    min_params: float | None = None,
    max_params: float | None = None,
    min_tokens_per_param: float | None = None,
    max_tokens_per_param: float | None = None,
    min_flops: float | None = None,
    max_flops: float | None = None,
    drop_highest_loss: int = 0,
) -> Runs:
    """Apply the filters that are given, in this order: the highest losses are those of what the bounds leave.

    Raises
    ------
    InputError
        A bound that is not finite and positive, or fewer than 2 runs left.
    """
    bounds = {
        "min_params": min_params,
        "max_params": max_params,
        "min_tokens_per_param": min_tokens_per_param,
        "max_tokens_per_param": max_tokens_per_param,
        "min_flops": min_flops,
        "max_flops": max_flops,
    }
    for name, bound in bounds.items():
        if bound is not None:
            runs = _FILTERS[name](runs, bound)
    return _drop(runs, drop_highest_loss) if drop_highest_loss != 0 else runs


_FILTERS = {
    "min_params": min_params,
    "max_params": max_params,
    "min_tokens_per_param": min_tokens_per_param,
    "max_tokens_per_param": max_tokens_per_param,
    "min_flops": min_flops,
    "max_flops": max_flops,
}
_drop = drop_highest_loss


def _at_least(runs: Runs, values: Array, bound: float, unit: str) -> Runs:
    _check(bound, unit)
    return _keep(runs, values, values >= bound * (1.0 - ROUNDING), f"under {format_number(bound)} {unit}")


def _at_most(runs: Runs, values: Array, bound: float, unit: str) -> Runs:
    _check(bound, unit)
    return _keep(runs, values, values <= bound * (1.0 + ROUNDING), f"over {format_number(bound)} {unit}")


def _check(bound: float, unit: str) -> None:
    if not (math.isfinite(bound) and bound > 0):
        raise InputError(f"a bound of {bound} {unit} leaves no runs or all; give a number above 0")


def _keep(runs: Runs, values: Array, mask: np.typing.NDArray[np.bool_], reason: str) -> Runs:
    left = int(mask.sum())
    if left < FEWEST:
        covered = f"; they cover {format_number(values.min())} to {format_number(values.max())}" if len(runs) else ""
        raise InputError(f"all but {left} of {len(runs)} runs are {reason}{covered}; at least {FEWEST} are needed")
    return runs.take(mask, reason)
