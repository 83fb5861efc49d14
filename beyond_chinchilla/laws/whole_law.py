"""A plain law with all that bends it: what limited data leave of it, and what quantisation adds.

Levers with a number of their own, such as the samples of a request, are held before (`laws.lever.Lever.held`). What is
left is a loss of size and tokens alone, whose inverse in the tokens is all that is asked where the size is given.
Everything broadcasts: with laws as columns and sizes as a row, every sample of a law meets every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.loss_law import Array, LossLaw
from beyond_chinchilla.laws.precision import Quantisation
from beyond_chinchilla.laws.repetition import Repetition, saturated, saturated_slope

# Newton's method on a convex function, from the side where it never overshoots.
_STEPS = 100
_LAST_STEP, _MET = 1e-7, 1e-13
Bend = TypeVar("Bend", Repetition, Quantisation)
# What of a bend may differ from problem to problem.
_NUMBERS = {Repetition: ("unique_tokens", "R_D", "R_N"), Quantisation: ("coefficient", "gamma_D", "gamma_N", "bits")}


@dataclass(frozen=True, kw_only=True, eq=False)
class WholeLaw:
    """L(N, D) = E + A N'^-alpha + B D'^-beta + delta(N, D), with N' and D' what limited data make of N and D.

    Parameters
    ----------
    law : LossLaw
        The plain law, or a batch.
    repetition : Repetition, optional
        What is left of parameters and tokens where unique tokens are few.
    quantisation : Quantisation, optional
        What rounding the weights adds.

    Examples
    --------
    >>> from beyond_chinchilla.laws.catalogue import law
    >>> from beyond_chinchilla.laws.precision import precision
    >>> from beyond_chinchilla.laws.repetition import published
    >>> whole = WholeLaw(law=law("muennighoff-2023"), repetition=published("muennighoff-2023", unique_tokens=25e9),
    ...                  quantisation=precision("kumar-2024").quantised(4))
    >>> loss = float(whole.loss(4.2e9, 1e11))
    >>> round(loss, 4), f"{whole.tokens_for(4.2e9, loss):.4g}"
    (2.3042, '1e+11')
    """

    law: LossLaw
    repetition: Repetition | None = None
    quantisation: Quantisation | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing bends the law."""
        return self.repetition is None and self.quantisation is None

    def loss(self, N: ArrayLike, D: ArrayLike) -> Array:
        """Return the loss [nats/token] of N parameters, as the law counts them, and D tokens (numeric)."""
        found = self.law.loss(N, D) if self.repetition is None else self.repetition.loss(self.law, N, D)
        return found if self.quantisation is None else found + self.quantisation.penalty(N, D)

    def tokens_for(self, N: ArrayLike, loss: ArrayLike) -> Array:
        """Return the fewest tokens with which N parameters reach a loss; nan where none do (numeric)."""
        law, repetition, quantisation = self.law, self.repetition, self.quantisation
        if quantisation is None:
            return law.tokens_for(N, loss) if repetition is None else repetition.tokens_for(law, N, loss)
        if repetition is None:
            return quantisation.tokens_for(law, N, loss)
        return _both(law, repetition, quantisation, N, loss)

    def slopes(self, N: ArrayLike, D: ArrayLike) -> tuple[Array, Array]:
        """Return d loss / d ln N and d loss / d ln D [nats/token] (numeric), of a law of power 1.

        >>> from beyond_chinchilla.laws.catalogue import law
        >>> model, data = WholeLaw(law=law("sardana-2024")).slopes(7e9, 2e12)
        >>> round(float(model), 4), round(float(data), 4)
        (-0.0672, -0.0384)
        """
        law, repetition, bits = self.law, self.repetition, self.quantisation
        N, D = np.asarray(N, dtype=float), np.asarray(D, dtype=float)
        by_size, by_data = -law.alpha * law.A * N**-law.alpha, -law.beta * law.B * D**-law.beta
        if repetition is not None:
            limit, U = repetition.unique_params(law), repetition.unique_tokens
            worth = saturated(N, limit, repetition.R_N), saturated(D, U, repetition.R_D)
            by_size = -law.alpha * law.A * worth[0] ** -law.alpha * saturated_slope(N, limit, repetition.R_N)
            by_data = -law.beta * law.B * worth[1] ** -law.beta * saturated_slope(D, U, repetition.R_D)
        if bits is not None:
            harm = bits.penalty(N, D)
            by_size, by_data = by_size - bits.gamma_N * harm, by_data + bits.gamma_D * harm
        return by_size, by_data

    def at(self, index: Any) -> WholeLaw:
        """Return the laws at any numpy index that leaves an array; see `LawBatch.take`."""
        return WholeLaw(
            law=self.law.take(index) if isinstance(self.law, LawBatch) else self.law,
            repetition=_at(self.repetition, index),
            quantisation=_at(self.quantisation, index),
        )

    def row(self, number: int) -> WholeLaw:
        """Return one law."""
        return WholeLaw(
            law=self.law.row(number) if isinstance(self.law, LawBatch) else self.law,
            repetition=_at(self.repetition, number),
            quantisation=_at(self.quantisation, number),
        )


def stacked_laws(laws: Sequence[WholeLaw], *, name: str) -> WholeLaw:
    """Return laws of one kind as a batch; `name` is what that is called.

    >>> from beyond_chinchilla.laws.catalogue import law
    >>> from beyond_chinchilla.laws.repetition import published
    >>> both = stacked_laws([WholeLaw(law=law("muennighoff-2023"),
    ...                               repetition=published("muennighoff-2023", unique_tokens=tokens))
    ...                      for tokens in (25e9, 50e9)], name="both")
    >>> both.loss(4.2e9, 1e11).round(4).tolist()
    [2.2916, 2.2788]
    """
    repetitions = [law.repetition for law in laws if law.repetition is not None]
    quantisations = [law.quantisation for law in laws if law.quantisation is not None]
    return WholeLaw(
        law=LawBatch.of([law.law for law in laws], name=name),
        repetition=_stacked(repetitions) if repetitions else None,
        quantisation=_stacked(quantisations) if quantisations else None,
    )


def _stacked(bends: Sequence[Bend]) -> Bend:
    """Return one bend with arrays for those of its numbers that differ."""
    first = bends[0]
    columns = {key: np.array([getattr(bend, key) for bend in bends], dtype=float) for key in _NUMBERS[type(first)]}
    changed: dict[str, Any] = {key: values for key, values in columns.items() if np.any(values != values[0])}
    return replace(first, **changed) if changed else first


def _at(bend: Any, index: Any) -> Any:
    if bend is None:
        return None
    values = {key: np.asarray(getattr(bend, key)) for key in _NUMBERS[type(bend)]}
    changed = {key: value[index][()] for key, value in values.items() if value.ndim}
    return replace(bend, **changed) if changed else bend


def _both(law: LossLaw, repetition: Repetition, quantisation: Quantisation, N: ArrayLike, loss: ArrayLike) -> Array:
    """Return the fewest tokens under limited data and quantisation.

    In d = ln D both terms are log-convex, so that ln of their sum is convex. Where the data term alone would reach the
    target lies left of the root: from there Newton's method never passes it.
    """
    with np.errstate(all="ignore"):
        size = law.A * repetition.effective_params(law, N) ** -law.alpha
        level = np.log(law.reducible(loss) - size)
        start = np.log(repetition.tokens_for(law, N, loss))
        penalty = np.log(quantisation.penalty(N, 1.0))
        fields = (
            start,
            level,
            penalty,
            np.log(law.B),
            law.beta,
            repetition.unique_tokens,
            repetition.R_D,
            quantisation.gamma_D,
        )
        shape = np.broadcast_shapes(*(np.shape(field) for field in fields))
        d, *columns = (np.broadcast_to(field, shape).reshape(-1) for field in fields)
        d = d.copy()
        left = np.flatnonzero(np.isfinite(d))
        for _ in range(_STEPS):
            if not left.size:
                break
            level, penalty, log_B, beta, U, R_D, gamma = (column[left] for column in columns)
            D = np.exp(d[left])
            # D' and d ln D' / d ln D from one exponential; see `repetition.saturated`.
            fresh = np.exp(-np.maximum(D / U - 1.0, 0.0) / R_D)
            worth = np.minimum(D, U) + U * R_D * (1.0 - fresh)
            data, harm = np.exp(log_B - beta * np.log(worth)), np.exp(penalty + gamma * d[left])
            excess = np.log(data + harm) - level
            slope = gamma * harm - beta * (D * fresh / worth) * data
            # Past its least value the sum rises, and never comes down to the target.
            step = np.where(slope < 0.0, -excess * (data + harm) / slope, np.where(excess > _MET, np.nan, 0.0))
            d[left] += np.maximum(step, 0.0)
            left = left[step > _LAST_STEP]
        return np.asarray(np.exp(d).reshape(shape))
