"""Shapes of published decoders, and how what depends on the shape grows with the number of parameters.

The planner knows N alone. What one token keeps in the cache and what it hands from layer to layer follow from
layers, heads and widths: here are those of published dense models, and power laws in N through them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BYTES_PER_HALF = 2.0
# A layer sums its attention and its feed-forward block over the chips: two all-reduces (Shoeybi et al. 2019), in
# each of which a chip sends 2 (g - 1)/g of the values. Without them more chips per replica would never be slower.
ALL_REDUCES_PER_LAYER = 2.0


@dataclass(frozen=True)
class Decoder:
    """Shape of a published dense decoder.

    Parameters
    ----------
    name : str
    params : float
        Parameters, exact to the digits shown [parameters].
    layers, width : int
        Layers, and the residual width d_model.
    kv_heads, head_size : int
        Heads of keys and values, and the width of one.
    """

    name: str
    params: float
    layers: int
    width: int
    kv_heads: int
    head_size: int

    @property
    def kv_bytes(self) -> float:
        """Keys and values of one token over all layers, at two bytes a value [byte].

        2 layers kv_heads head_size bytes (Austin et al. 2025, "How to scale your model", chapter 7).

        >>> DECODERS["llama-3-70b"].kv_bytes
        327680.0
        """
        return 2.0 * self.layers * self.kv_heads * self.head_size * BYTES_PER_HALF

    @property
    def stream(self) -> float:
        """Layers times width: the values that one token hands from layer to layer."""
        return float(self.layers * self.width)

    @property
    def groups_heads(self) -> bool:
        """Whether query heads share keys and values (grouped-query attention)."""
        return self.kv_heads * self.head_size < self.width


# Model cards and configuration files of the models, November 2026.
DECODERS = {
    row.name: row
    for row in (
        Decoder("llama-2-7b", 6.74e9, 32, 4096, 32, 128),
        Decoder("llama-2-70b", 69.0e9, 80, 8192, 8, 128),
        Decoder("llama-3-8b", 8.03e9, 32, 4096, 8, 128),
        Decoder("llama-3-70b", 70.6e9, 80, 8192, 8, 128),
        Decoder("llama-3-405b", 405.9e9, 126, 16384, 8, 128),
        Decoder("qwen-2.5-7b", 7.62e9, 28, 3584, 4, 128),
        Decoder("qwen-2.5-32b", 32.8e9, 64, 5120, 8, 128),
    )
}


@dataclass(frozen=True)
class PowerLaw:
    """coefficient x N ** power, and how far the points lie from it.

    Parameters
    ----------
    coefficient, power : float
    error : tuple of float
        Least and largest ratio of a point to the law.
    """

    coefficient: float
    power: float
    error: tuple[float, float]


def fit_power_law(points: Iterable[tuple[float, float]]) -> PowerLaw:
    """Fit y = coefficient x N ** power by least squares in the logarithms.

    >>> law = fit_power_law([(1e9, 3e4), (4e9, 6e4)])
    >>> round(law.power, 6), round(law.coefficient * 1e9**0.5)
    (0.5, 30000)
    """
    logs = np.log(np.array(list(points)))
    x, y = logs[:, 0] - logs[:, 0].mean(), logs[:, 1]
    power = float(x @ y / (x @ x))
    intercept = float(y.mean() - power * logs[:, 0].mean())
    residuals = y - intercept - power * logs[:, 0]
    error = (float(np.exp(residuals.min())), float(np.exp(residuals.max())))
    return PowerLaw(coefficient=float(np.exp(intercept)), power=power, error=error)


@functools.cache
def stream_law() -> PowerLaw:
    """Return layers x width as a power law in N, through every decoder here.

    >>> law = stream_law()
    >>> round(law.power, 2), [round(bound, 2) for bound in law.error]
    (0.72, [0.82, 1.17])
    """
    return fit_power_law((decoder.params, decoder.stream) for decoder in DECODERS.values())


def bytes_exchanged(chips: int) -> float:
    """Return what a chip of several sends for one token and each value of `Decoder.stream` [byte].

    >>> bytes_exchanged(1), bytes_exchanged(8)
    (0.0, 7.0)
    """
    return ALL_REDUCES_PER_LAYER * 2.0 * (chips - 1) / chips * BYTES_PER_HALF
