"""Mixtures of experts in service: all parameters take memory, a token computes with some, a batch reads many.

A decode step reads an expert once if any sequence of the batch is sent to it. Under even and independent routing a
batch of b touches the share 1 - (1 - k/E)^b of E experts of which each token meets k. The more sequences, the smaller
the next one's part: in logs the share is concave in b, so that no posynomial equals it. It is the least of its
*tangents*, each a monomial; whoever holds one at the right batch has the share itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.posynomial import Term

Array = NDArray[np.float64]

# c and p of the monomial c batch^p that stands for the share of the routed experts that a step reads.
Touching = tuple[float, float]
ALL_TOUCHED: Touching = (1.0, 0.0)

# Of iterations that come from one side.
_MOST_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Which parameters of a mixture of experts a token meets, and a batch.

    Parameters
    ----------
    experts : int
        E: routed experts of a layer, >= 2.
    active : int
        k: those that a token is sent to, 1 to E - 1. Experts that every token meets count as shared.
    total_per_active : float
        All parameters over those that a token passes through, above 1 and at most E/k.

    Raises
    ------
    InputError
        Counts or a ratio that no model can have.

    Examples
    --------
    671B parameters, of which a token passes through 37B and 8 of 256 experts:

    >>> deepseek = Mixture(experts=256, active=8, total_per_active=671 / 37)
    >>> [f"{37 * float(deepseek.read(batch)):.0f}B" for batch in (1, 64, 1024)]
    ['37B', '585B', '671B']
    """

    experts: int
    active: int
    total_per_active: float

    def __post_init__(self) -> None:
        for name in ("experts", "active"):
            count = getattr(self, name)
            if isinstance(count, bool) or not (math.isfinite(count) and count >= 1 and count % 1 == 0):
                raise InputError(f"mixture: {name} must be a whole number of at least 1, not {count}")
            object.__setattr__(self, name, int(count))
        if not self.active < self.experts:
            raise InputError(f"mixture: {self.active} of {self.experts} experts active leaves none idle; it is dense")
        most = self.experts / self.active
        if not 1.0 < self.total_per_active <= most * (1.0 + 1e-9):
            raise InputError(
                f"mixture: {self.total_per_active:g} parameters for each active one; {self.active} of {self.experts} "
                f"experts allow above 1 and at most {most:g}"
            )

    @property
    def routed(self) -> float:
        """Parameters of all routed experts, over the active ones."""
        return self.experts * (self.total_per_active - 1.0) / (self.experts - self.active)

    @property
    def shared(self) -> float:
        """Parameters that every token meets, over the active ones: attention, embeddings, shared experts."""
        return max(self.total_per_active - self.routed, 0.0)

    def touched(self, batch: ArrayLike) -> Array:
        """Return the share of the routed experts that a step of `batch` sequences reads: 1 - (1 - k/E)^b.

        Austin et al. 2025 ("How to scale your model", chapter 7) for b tokens routed evenly.
        """
        return np.asarray(-np.expm1(-self._rate * np.asarray(batch, dtype=float)))

    def read(self, batch: ArrayLike) -> Array:
        """Return the parameters that a step reads, over the active ones: 1 for one sequence, all for very many."""
        return np.asarray(self.shared + self.routed * self.touched(batch))

    def tangent(self, batch: float) -> Touching:
        """Return c and p of c b^p, which equals `touched` at `batch` and is nowhere below it.

        An infinite batch touches all: (1, 0).

        >>> coefficient, power = Mixture(experts=8, active=1, total_per_active=5.8).tangent(10.0)
        >>> f"{coefficient:.3f} {power:.3f}"
        '0.246 0.477'
        """
        if math.isinf(batch):
            return ALL_TOUCHED
        x = self._rate * batch
        power = x / math.expm1(x) if x < 700.0 else 0.0
        return float(self.touched(batch)) * batch**-power, power

    def chord(self, low: float, high: float) -> Touching:
        """Return c and p of c b^p, which equals `touched` at two batches and is nowhere above it between them.

        From `low` to infinity it is the constant at `low`.
        """
        at_low, at_high = float(self.touched(low)), float(self.touched(high))
        if math.isinf(high):
            return at_low, 0.0
        power = math.log(at_high / at_low) / math.log(high / low)
        return at_low * low**-power, power

    def reading(self, weights: Term, touching: Touching) -> list[Term]:
        """Return what reading takes, where `weights` says what the active parameters take.

        The share of the experts that a ``batch`` touches is taken as `touching` says, such as a `tangent`.
        """
        touched, power = touching
        terms = [weights.times(self.routed * touched, {"batch": power} if power > 0.0 else None)]
        if self.shared > 0.0:
            terms.append(weights.times(self.shared))
        return terms

    def batch_read_in(self, time: Array, experts: Array, each: Array) -> Array:
        """Return the batch whose experts, and `each` second for every sequence, are read in just this time.

        Parameters
        ----------
        time : numpy.ndarray
            What there is for them [second]; below zero counts as zero.
        experts : numpy.ndarray
            What all routed experts take [second].
        each : numpy.ndarray
            What each sequence takes [second], above zero.

        Returns
        -------
        numpy.ndarray
            Of the broadcast shape; infinite where there is all the time.
        """
        time, experts, each = np.broadcast_arrays(np.maximum(time, 0.0), experts, each)
        bounded = np.isfinite(time)
        batch = np.where(bounded, 0.0, np.inf)
        # The time is concave in the batch: Newton's method from an empty one never goes beyond the root.
        for _ in range(_MOST_STEPS):
            touched = self.touched(batch)
            left = np.where(bounded, time, 0.0) - np.where(bounded, touched * experts + batch * each, 0.0)
            if not np.any(left > 1e-15 * time[bounded].max(initial=0.0)):
                break
            batch = batch + np.maximum(left, 0.0) / (self._rate * (1.0 - touched) * experts + each)
        return np.asarray(batch)

    def critical_batch(self, dense: float) -> float:
        """Return the batch from which a step is bound by products, where `dense` is that of a dense model."""
        # What a batch reads is concave in it: from above the iteration falls to the largest fixed point.
        batch = dense * self.total_per_active
        for _ in range(_MOST_STEPS):
            smaller = dense * float(self.read(batch))
            if smaller >= batch * (1.0 - 1e-15):
                break
            batch = smaller
        return batch

    @property
    def _rate(self) -> float:
        return -math.log1p(-self.active / self.experts)
