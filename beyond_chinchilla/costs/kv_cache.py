"""The cache of keys and values: what one token of context takes, as a monomial in the number of parameters."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.costs.decoders import BYTES_PER_HALF, DECODERS, Decoder, fit_power_law
from beyond_chinchilla.costs.hardware import BYTES_PER_PARAMETER
from beyond_chinchilla.errors import InputError, nearest

# Which decoders stand for a family.
FAMILIES = {
    "llama-3": ("llama-3-8b", "llama-3-70b", "llama-3-405b"),
    "gqa": tuple(name for name, decoder in DECODERS.items() if decoder.groups_heads),
}
# One design at three sizes, within 6% and 11% of its law from 8B to 405B; "gqa" mixes 4 and 8 heads of keys and
# values and is off by .58x to 1.32x. Outside the three sizes it is a guess: Llama-3.2's 1B, with half-width heads,
# takes .46x of what the law says, its 3B 1.15x.
DEFAULT_FAMILY = "llama-3"
# Nobody plans with a cache below a byte: fp4 weights are served with an fp8 cache (NVIDIA's fp4 checkpoints of
# Llama-3.3-70B, ModelOpt).
LEAST_BYTES_PER_VALUE = 1.0


@dataclass(frozen=True, kw_only=True)
class KVCache:
    """Bytes that one token keeps in the cache, coefficient x N ** power at two bytes a value.

    Parameters
    ----------
    coefficient : float
        [byte per token at N = 1], above zero.
    power : float
        From 0 (a stated shape) to 1, so that no cache grows faster than its model.
    name : str
        What a report calls it.
    error : tuple of float or None
        Least and largest ratio of a published model to the law; None for a stated shape.

    Raises
    ------
    InputError
        Not positive and finite, or a power outside 0 to 1.

    Examples
    --------
    >>> cache = kv_family("llama-3")
    >>> round(cache.power, 2), f"{cache.bytes_per_token(70e9, 'bf16'):.4g} {cache.bytes_per_token(70e9, 'fp8'):.4g}"
    (0.35, '2.944e+05 1.472e+05')
    """

    coefficient: float
    power: float
    name: str
    error: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.coefficient) and self.coefficient > 0):
            raise InputError(f"KV cache: bytes per token must be above zero and finite, not {self.coefficient}")
        if not 0.0 <= self.power <= 1.0:
            raise InputError(f"KV cache: the power of N must lie between 0 and 1, not {self.power}")

    def term(self, precision: str) -> tuple[float, float]:
        """Return coefficient and power of the bytes per token [byte] when weights are of `precision`."""
        return self.coefficient * bytes_per_value(precision) / BYTES_PER_HALF, self.power

    def bytes_per_token(self, N: ArrayLike, precision: str) -> NDArray[np.float64]:
        """Return what one token of a model of N parameters takes [byte], of the shape of N."""
        coefficient, power = self.term(precision)
        return np.asarray(coefficient * np.power(np.asarray(N, dtype=float), power))


def bytes_per_value(precision: str) -> float:
    """Return the bytes of one cached value: as wide as a weight, and a byte at least.

    Raises
    ------
    InputError
        There is no such precision.

    >>> bytes_per_value("bf16"), bytes_per_value("fp8"), bytes_per_value("fp4")
    (2.0, 1.0, 1.0)
    """
    if precision not in BYTES_PER_PARAMETER:
        raise InputError(f"no precision '{precision}'; {nearest(precision, BYTES_PER_PARAMETER)}")
    return max(BYTES_PER_PARAMETER[precision], LEAST_BYTES_PER_VALUE)


@functools.cache
def kv_family(name: str = DEFAULT_FAMILY) -> KVCache:
    """Return the cache of a family of decoders: a power law through its published sizes.

    Raises
    ------
    InputError
        There is no such family.

    >>> cache = kv_family("gqa")
    >>> round(cache.power, 2), [round(bound, 2) for bound in cache.error]
    (0.48, [0.58, 1.32])
    """
    if name not in FAMILIES:
        raise InputError(f"no KV cache family '{name}'; {nearest(name, FAMILIES)}")
    decoders = [DECODERS[member] for member in FAMILIES[name]]
    law = fit_power_law((decoder.params, decoder.kv_bytes) for decoder in decoders)
    return KVCache(coefficient=law.coefficient, power=law.power, name=name, error=law.error)


def kv_of_shape(layers: int, kv_heads: int, head_size: int) -> KVCache:
    """Return the cache of a stated architecture: 2 x layers x kv_heads x head_size values a token.

    Raises
    ------
    InputError
        A count that is no whole number of at least 1.

    >>> kv_of_shape(80, 8, 128).coefficient
    327680.0
    """
    counts = {"layers": layers, "kv_heads": kv_heads, "head_size": head_size}
    wrong = [f"{name} = {value!r}" for name, value in counts.items() if not _is_count(value)]
    if wrong:
        raise InputError(f"KV cache: {', '.join(wrong)}: give a whole number of at least 1")
    shape = Decoder("", 1.0, int(layers), 1, int(kv_heads), int(head_size))
    name = f"{shape.layers} layers x {shape.kv_heads} heads x {shape.head_size}"
    return KVCache(coefficient=shape.kv_bytes, power=0.0, name=name)


def kv_constant(bytes_per_token: float) -> KVCache:
    """Return a cache of stated bytes per token, counted at two bytes a value: an fp8 model takes half of it.

    >>> float(kv_constant(327_680).bytes_per_token(70e9, "fp8"))
    163840.0
    """
    return KVCache(coefficient=bytes_per_token, power=0.0, name=f"{bytes_per_token:g} bytes per token")


def _is_count(value: float) -> bool:
    return not isinstance(value, bool) and math.isfinite(value) and value >= 1 and float(value).is_integer()
