"""What sizes cost: how long each is trained, whether it fails, and what is paid for it all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.whole_law import WholeLaw
from beyond_chinchilla.posynomial import Posynomial, Term

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A limit is kept when it is over by no more than rounding.
SLIP = 1e-9


@dataclass(frozen=True, kw_only=True)
class Bills:
    """What K worlds cost at S committed sizes; all arrays of shape (K, S).

    Attributes
    ----------
    tokens : ndarray of float
        Trained on: to the target, or to the most tokens allowed where the size fails.
    total : ndarray of float
        The bill [unit of the bill], finite and above zero everywhere.
    training : ndarray of float
        The part of it that is spent before anybody is served.
    failed : ndarray of bool
        The target is not reached within the tokens allowed, or a limit is broken.
    missed : ndarray of bool
        Of these: the target is not reached.
    """

    tokens: Array
    total: Array
    training: Array
    failed: Flags
    missed: Flags


def check_sizes(params: ArrayLike) -> Array:
    """Return sizes as a row; or refuse what is none."""
    sizes = np.atleast_1d(np.asarray(params, dtype=float))
    if not (sizes.ndim == 1 and sizes.size and np.all(np.isfinite(sizes) & (sizes > 0))):
        raise InputError(f"sizes must be a row of numbers above zero, not {sizes}")
    return sizes


def trained(
    needed: Array, ratios: Sequence[Posynomial], point: Mapping[str, Array], budget: float
) -> tuple[Array, Flags, Flags]:
    """Return the tokens that models are trained on, and whether they fail and miss their target.

    Parameters
    ----------
    needed : ndarray, shape (K, S)
        Tokens at which the target is reached; nan where it never is.
    ratios : sequence of Posynomial
        Limits, each at most 1.
    point : mapping of str to ndarray
        Every variable of theirs but the tokens, broadcasting.
    budget : float
        Most tokens, beside what the limits allow.
    """
    needed = np.where(np.isnan(needed), np.inf, needed)
    wanted, most, broken = needed, np.full_like(needed, budget), np.zeros(needed.shape, dtype=bool)
    for ratio in ratios:
        by_power = by_tokens(ratio.terms, point)
        if -1.0 in by_power:
            wanted = np.maximum(wanted, by_power[-1.0])
        elif 1.0 in by_power:
            room = np.maximum(1.0 - by_power.get(0.0, 0.0), 0.0)
            most = np.minimum(most, room / by_power[1.0])
        else:
            broken |= by_power[0.0] > 1.0 + SLIP
    enough = most * (1.0 + SLIP)
    over = wanted > enough
    return np.where(over, most, wanted), over | broken, needed > enough


def spoilt(whole: WholeLaw, N: Array, needed: Array, tokens: Array, target_loss: ArrayLike) -> Flags:
    """Say where more tokens than are needed, because a floor asks for them, are more than few bits can hold.

    Parameters
    ----------
    whole : WholeLaw
    N, needed, tokens : ndarray
        Sizes as the law counts them, the tokens at which they reach the target, and those that they are trained on.
    target_loss : numeric
        [nats/token].
    """
    more = tokens > needed
    if whole.quantisation is None or not more.any():
        return np.zeros(tokens.shape, dtype=bool)
    return np.asarray(more & (whole.loss(N, tokens) > np.multiply(target_loss, 1.0 + SLIP)))


def by_tokens(terms: Sequence[Term], point: Mapping[str, Array]) -> dict[float, Any]:
    """Return the coefficient of each power of the tokens; those of K worlds are columns, (K, 1)."""
    found: dict[float, Any] = {}
    for term in terms:
        coefficient = np.asarray(term.coefficient, dtype=float)
        value: Any = coefficient[:, None] if coefficient.ndim else coefficient
        for name, power in term.powers.items():
            if name != "tokens":
                value = value * np.power(point[name], power)
        r = term.power("tokens")
        found[r] = found[r] + value if r in found else value
    return found


def paid(terms: Sequence[Term], point: Mapping[str, Array], tokens: Array) -> Array:
    """Return what terms cost, of the shape of `tokens`."""
    total = np.zeros_like(tokens)
    for power, value in by_tokens(terms, point).items():
        total += value * tokens**power if power else value
    return total
