"""Points of the unit cube, spread evenly and drawn by a seed; sampling errors from independent randomisations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError

Array = NDArray[np.float64]

MIN_SAMPLES = 100
MAX_SAMPLES = 1_000_000
# So many randomisations share the samples; what they disagree by is the sampling error.
NETS = 8
# Streams of seeds: those of the samples, and those of the value of information.
_NETS, PRODUCTS = 1, 2
# Half a cell of Sobol' points of 30 bits: in their middle none is 0 or 1.
_HALF_CELL = 0.5**31


@dataclass(frozen=True)
class Sample:
    """Points of the unit cube in independent nets.

    Attributes
    ----------
    points : array, shape (count, dimensions)
        Strictly between 0 and 1; the nets one after another.
    nets : tuple of slice
        Rows of each net.
    """

    points: Array
    nets: tuple[slice, ...]


def sobol(count: int, dimensions: int, *seeds: int) -> Array:
    """Return the first points of a scrambled Sobol' sequence, shape (count, dimensions), strictly in (0, 1).

    A random linear scrambling and shift (Matousek 1998): every point is uniform and a mean over them unbiased. Other
    `seeds`, always as many (a trailing 0 is no seed to numpy), are an independent scrambling.

    >>> points = sobol(256, 2, 1, 0, 0)
    >>> points.shape, [round(float(mean), 3) for mean in points.mean(axis=0)]
    ((256, 2), [0.5, 0.5])
    """
    from scipy.stats import qmc  # 0.3 s: only for who asks for risk

    if not dimensions:
        return np.empty((count, 0))
    engine = qmc.Sobol(dimensions, scramble=True, bits=30, rng=np.random.default_rng(list(seeds)))
    return np.asarray(engine.random_base2((count - 1).bit_length())[:count] + _HALF_CELL)


def draw_nets(count: int, dimensions: int, *, seed: int, nets: int = NETS) -> Sample:
    """Return `count` points as independently scrambled nets of like size.

    Raises
    ------
    InputError
        Fewer than 100 or more than 1,000,000 points, or a seed below 0.
    """
    if not MIN_SAMPLES <= count <= MAX_SAMPLES:
        raise InputError(f"--samples {count}: give {MIN_SAMPLES:,} to {MAX_SAMPLES:,}")
    check_seed(seed)
    sizes = [count // nets + (net < count % nets) for net in range(nets)]
    points = np.concatenate([sobol(size, dimensions, seed, _NETS, net) for net, size in enumerate(sizes)])
    return Sample(points, tuple(slice(begin, end) for begin, end in pairwise(accumulate(sizes, initial=0))))


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes."""
    if seed < 0:
        raise InputError(f"--seed {seed}: give a whole number from 0 on")


def standard_error(estimates: Array) -> Array:
    """Return the standard error of the mean of independent estimates along the first axis; 0 of a single one."""
    estimates = np.asarray(estimates, dtype=float)
    if len(estimates) < 2:
        return np.zeros(estimates.shape[1:])
    return np.asarray(estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates)))
