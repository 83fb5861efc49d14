"""What it would be worth to know some inputs before the size is chosen: the value of perfect information.

Raiffa & Schlaifer 1961, chapter 4: the least mean bill without knowing, less the mean of the least bills when each is
chosen knowing. Estimated on a product of samples, outer points of what is known times inner points of the rest, both
sides of the difference on the same points, so that it can be neither negative nor above the mean regret there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.risk.decision import AT_ONCE
from beyond_chinchilla.analyse.risk.figures import Information
from beyond_chinchilla.analyse.risk.sampling import PRODUCTS, sobol, standard_error

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.risk.worlds import Foresight, Worlds

Array = NDArray[np.float64]

# Outer points, inner points, and how often that is done anew for the error.
POINTS, REPEATS = 64, 16
# Sizes among which is chosen: quantiles of the worlds' own optima, and this share log-spaced between their ends.
CHOICES = 32
_SPACED_SHARE = 0.375
_TAIL = 0.01


def sizes_of(foresight: Foresight, held: float, count: int = CHOICES) -> Array:
    """Return sizes among which an informed choice is made: dense where optima lie, `held` among them exactly."""
    found = foresight.params[foresight.reachable]
    if not len(found):
        return np.array([held])
    spaced = round(_SPACED_SHARE * count)
    quantiles = np.quantile(found, np.linspace(_TAIL, 1.0 - _TAIL, count - spaced))
    ends = min(quantiles[0], held), max(quantiles[-1], held)
    return np.unique(np.concatenate((quantiles, np.geomspace(*ends, spaced), [held])))


def value_of_information(
    worlds_at: Callable[[Array], Worlds],
    groups: Sequence[tuple[str, tuple[int, ...]]],
    sizes: Array,
    *,
    dimensions: int,
    max_failure: float,
    mean: float,
    seed: int,
    points: int = POINTS,
    repeats: int = REPEATS,
) -> tuple[Information, ...]:
    """Return for each group what knowing it beforehand would save in the mean.

    Parameters
    ----------
    worlds_at : callable
        The worlds at points of the unit cube, shape (K, dimensions).
    groups : sequence of (str, tuple of int)
        Names, and columns of the cube that are known together.
    sizes : array, shape (S,)
        Among which is chosen [total params].
    dimensions : int
    max_failure : float
        Largest share of worlds in which a size may fail.
    mean : float
        Of the bill, of which the shares are stated.
    seed : int
    points : int
        Outer points, and inner points.
    repeats : int
        Independent randomisations.
    """
    rows = []
    for name, columns in groups:
        rest = tuple(column for column in range(dimensions) if column not in columns)
        # Without anything left to chance one inner point is all of them.
        shape = (points, points) if rest else (points * points, 1)
        values = np.empty(repeats)
        for repeat in range(repeats):
            cube = np.empty((*shape, dimensions))
            cube[:, :, columns] = sobol(shape[0], len(columns), seed, PRODUCTS, repeat, 1)[:, None, :]
            cube[:, :, rest] = sobol(shape[1], len(rest), seed, PRODUCTS, repeat, 2)[None, :, :]
            worlds = worlds_at(cube.reshape(-1, dimensions))
            penalised, failed = penalised_means(worlds, sizes, shape)
            values[repeat] = gain(penalised, failed, max_failure)
        value, error = float(values.mean()), float(standard_error(values))
        rows.append(Information(group=name, value=value, share_of_mean=value / mean, error=error))
    return tuple(rows)


def penalised_means(worlds: Worlds, sizes: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return penalised bill and share of failures by outer point and size, means over the inner points, (outer, S).

    Penalised: the bill where the size succeeds. Where it fails, what its training cost, and on top the bill under
    foresight, 0 where no size reaches the target: after a failure the right model has still to be trained and served.
    """
    bills, failed = np.empty((shape[0], len(sizes))), np.empty((shape[0], len(sizes)))
    instead = np.zeros(worlds.count)
    is_known = np.zeros(worlds.count, dtype=bool)
    step = max(1, AT_ONCE // worlds.count)
    for begin in range(0, len(sizes), step):
        block = slice(begin, begin + step)
        found = worlds.bills(sizes[block])
        missing = np.flatnonzero(found.failed.any(axis=1) & ~is_known)
        if len(missing):
            instead[missing] = np.nan_to_num(worlds.take(missing).foresight().total)
            is_known[missing] = True
        penalised = np.where(found.failed, found.training + instead[:, None], found.total)
        bills[:, block] = penalised.reshape(*shape, -1).mean(axis=1)
        failed[:, block] = found.failed.reshape(*shape, -1).mean(axis=1)
    return bills, failed


def gain(penalised: Array, failed: Array, max_failure: float) -> float:
    """Return the least mean without knowing less the mean of the least ones when each outer point is known.

    Not knowing, one size is committed to: that of least mean among those that fail no oftener than `max_failure`, or
    the one that fails least. Knowing, each outer point has its own; it may fail as often as tolerated, or as the one
    size would there. (Without such a bound the least bill is that of a model too small to work: training it is free.)

    Parameters
    ----------
    penalised, failed : array, shape (outer, sizes)
    max_failure : float

    >>> gain(np.array([[1.0, 3.0], [4.0, 2.0]]), np.zeros((2, 2)), 0.05)
    1.0
    """
    means, excess = penalised.mean(axis=0), np.maximum(failed.mean(axis=0) - max_failure, 0.0)
    committed = int(np.lexsort((means, excess))[0])
    allowed = failed <= np.maximum(failed[:, [committed]], max_failure)
    informed = np.where(allowed, penalised, np.inf).min(axis=1)
    # As one mean of differences, none of which is negative.
    return float(np.mean(penalised[:, committed] - informed))
