"""What is wrong with rows of a table of runs, and with a table of runs as a whole.

Functions of arrays: rows that cannot be used by reason, and complaints in words, empty where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.fit.cells import Array
from beyond_chinchilla.units import format_number

# FLOPs as read are 6ND to within this factor in the middle, and their ratio varies by no more than the next: attention,
# embeddings and recomputation stay far inside.
NEAR_6ND = 4.0
SPREAD_OF_6ND = 5.0
# No language model is smaller, and none has so few or many tokens per parameter: a unit was not stated.
SMALLEST_MODEL = 1e4
RATIOS = (1e-3, 1e7)
# In nats or bits no token costs more than ln(vocabulary), but percentages do.
LARGEST_LOSS = 20.0
# No unit makes more or less of any quantity of a run; beyond them ratios and powers overflow.
LEAST, MOST = 1e-12, 1e40
# Runs that are compared with each other to see whether losses fall.
COMPARED = 500


def find_faults(
    checked: Sequence[tuple[str, Array]], known: Mapping[str, Mapping[int, tuple[str, str]]]
) -> dict[int, tuple[str, str]]:
    """Return reason and detail of each row that is not positive, and of this world, in every quantity.

    Parameters
    ----------
    checked : sequence of (role, array)
        The first fault of a row speaks for it.
    known : mapping of str to mapping
        What the cells of a role already said.
    """
    aside: dict[int, tuple[str, str]] = {}
    for role, values in checked:
        faults = known.get(role, {})
        for i in np.flatnonzero(~((values >= LEAST) & (values <= MOST))).tolist():
            if i not in aside:
                reason, detail = faults.get(i) or _fault(float(values[i]))
                aside[i] = f"{role.replace('_', ' ')} {reason}", detail
    return aside


def _fault(value: float) -> tuple[str, str]:
    if math.isnan(value):
        return "missing", ""
    if value == math.inf:
        return "infinite", ""
    return ("not positive" if value <= 0.0 else "out of this world"), f"{value:g}"


def find_duplicates(N: Array, D: Array, loss: Array, among: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return each run, `among` those given by position, that repeats an earlier one, and the earlier one."""
    if not len(among):
        return []
    table = np.column_stack([N, D, loss])[among]
    # Stable: of equal runs the first in the file comes first.
    order = np.lexsort(table.T)
    same = np.concatenate([[False], (np.diff(table[order], axis=0) == 0).all(axis=1)])
    firsts = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    pairs = [(int(among[order[k]]), int(among[order[firsts[k]]])) for k in np.flatnonzero(same)]
    return sorted(pairs)


def accuracies(N: Array, D: Array, loss: Array) -> str:
    """Return a complaint if losses rise with N and D and are shares or percentages."""
    share = bool((loss <= 1).all())
    if not share and loss.max() <= LARGEST_LOSS:
        return ""
    # Pairs of which one run has no fewer of both: its loss should be the lower one.
    sample = np.unique(np.linspace(0, len(loss) - 1, COMPARED).astype(int))
    N, D, compared = N[sample], D[sample], loss[sample]
    # Runs alike in both count once each way, which is nothing.
    larger = (N[:, None] >= N) & (D[:, None] >= D)
    if np.sign(compared[:, None] - compared)[larger].sum() <= 0:
        return ""
    kind = "at most 1" if share else f"as large as {format_number(float(loss.max()))}"
    return (
        f"the losses are {kind} and rise with parameters and tokens, as accuracies do; a law is fitted to "
        "losses per token, so name their column with --columns loss=NAME"
    )


def units_forgotten(N: Array, D: Array) -> str:
    """Return a complaint if sizes or tokens are those of no language model."""
    largest, ratio = float(N.max()), float(np.median(D / N))
    if largest < SMALLEST_MODEL:
        return (
            f"the largest model has {largest:g} parameters; if the column counts billions, say so in its name or with "
            "--columns params='NAME (B)'"
        )
    if not RATIOS[0] <= ratio <= RATIOS[1]:
        return (
            f"the middle run has {ratio:.3g} tokens per parameter; if a column counts millions, billions or other "
            "units, say so in its name or with --columns tokens='NAME (B)'"
        )
    return ""


def contradicts_6ND(flops: Array, N: Array, D: Array) -> str:
    """Return a complaint if training FLOPs are far from 6ND, or their ratio differs much from run to run."""
    ratios = flops / (6.0 * N * D)
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios):
        return ""
    low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
    if 1 / NEAR_6ND <= middle <= NEAR_6ND and high <= SPREAD_OF_6ND * low:
        return ""
    return f"is {middle:.3g} times 6ND in the middle ({low:.3g} to {high:.3g} for four runs in five)"
