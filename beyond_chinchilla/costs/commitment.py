"""A committed base and an on-demand peak: how many GPUs to pay for in every hour.

A commitment of C GPUs costs its price in every hour of the term, used or not; what an hour needs beyond C is hired on
demand. One more committed GPU costs p in every hour and saves the on-demand price q in each hour whose need exceeds
C. So the cost is convex in C, and least where

    share of hours with a need above C  =  p / q,

the newsvendor's critical ratio: commit up to the load that is exceeded in a share p/q of all hours. Where months
weigh differently, by discount factor w and on-demand price q of the month, hours count with w q and the right side is
p sum(w) / sum(w q).

Needs are arrays of GPUs by month and by hour of a typical day or week, shape (M, H), the hours of a month being
equally long. One commitment of fixed size lasts for all months: shorter terms are taken to be renewed at their price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import HOURS_PER_MONTH

Array = NDArray[np.float64]

# A share beyond it was written without its percent sign.
_LARGEST_SHARE = 10.0


def excess(need: ArrayLike, committed: float) -> Array:
    """Return the GPUs that a month needs beyond the commitment, in the mean over its hours.

    Parameters
    ----------
    need : array_like of float, shape (M, H)
        GPUs by month and hour.
    committed : float
        GPUs, >= 0.

    Returns
    -------
    ndarray of float, shape (M,)

    >>> excess([[10.0, 30.0], [20.0, 60.0]], 20.0).tolist()
    [5.0, 20.0]
    """
    beyond: Array = np.maximum(_needs(need) - committed, 0.0).mean(axis=1)
    return beyond


def blended_cost(
    need: ArrayLike, committed: float, *, price: float, on_demand: ArrayLike, weights: ArrayLike = 1.0
) -> float:
    """Return what a committed base and its on-demand peak cost over all months [USD].

    Parameters
    ----------
    need : array_like of float, shape (M, H)
        GPUs by month and hour.
    committed : float
        GPUs, >= 0.
    price : float
        Of a committed GPU [USD/GPU-hour].
    on_demand : array_like of float, scalar or shape (M,)
        Price on demand [USD/GPU-hour].
    weights : array_like of float, scalar or shape (M,)
        Discount factors; 1 gives the nominal sum.

    >>> f"{blended_cost([[10.0, 30.0]], 10.0, price=1.70, on_demand=2.69):.0f}"
    '32069'
    """
    hours = _needs(need)
    months = len(hours)
    # Prices that no double can add up make a cost without end.
    with np.errstate(over="ignore", invalid="ignore"):
        hourly = _sound(price) * committed + _by_month(on_demand, months) * excess(hours, committed)
        return float(HOURS_PER_MONTH * (_by_month(weights, months) * hourly).sum())


def best_committed(need: ArrayLike, *, price: float, on_demand: ArrayLike, weights: ArrayLike = 1.0) -> float:
    """Return the commitment of least `blended_cost` [GPUs], the smallest where several cost the same.

    It is 0 or one of the needs, because the cost is linear between them.

    Parameters
    ----------
    need : array_like of float, shape (M, H)
        GPUs by month and hour.
    price : float
        Of a committed GPU [USD/GPU-hour].
    on_demand : array_like of float, scalar or shape (M,)
        Price on demand [USD/GPU-hour].
    weights : array_like of float, scalar or shape (M,)
        Discount factors.

    >>> best_committed([[10.0, 20.0, 30.0, 40.0]], price=1.70, on_demand=2.69)
    20.0
    """
    hours = _needs(need)
    months, count = hours.shape
    factors = _by_month(weights, months)
    flat = hours.ravel()
    order = np.argsort(flat)
    with np.errstate(over="ignore", invalid="ignore"):
        value = np.repeat(factors * _by_month(on_demand, months), count)
        # What the hours after each one are worth, from the far end so that nothing cancels.
        later = np.append(np.cumsum(value[order][::-1])[::-1], 0.0)
        least = _sound(price) * count * factors.sum()
    candidates = np.append(0.0, flat[order])
    # later[i] counts hours equal to candidates[i] as above it: the first one that passes is right all the same.
    return float(candidates[np.argmax(later <= least)])


def best_share(
    shape: ArrayLike, hours: ArrayLike, *, price: float, on_demand: ArrayLike, weights: ArrayLike = 1.0
) -> float:
    """Return the commitment of least cost as a share of the life's mean need, whatever that is.

    Parameters
    ----------
    shape : array_like of float, shape (M,)
        Mean need by month, in any unit.
    hours : array_like of float, shape (H,)
        Load of each hour relative to the month's mean.
    price, on_demand, weights
        As in `best_committed`.

    Raises
    ------
    InputError
        No need in any month.

    >>> round(best_share([1.0, 2.0, 3.0], [0.4, 0.8, 1.2, 1.6], price=1.70, on_demand=2.69), 3)
    0.6
    """
    monthly = np.asarray(shape, dtype=np.float64)
    mean = float(monthly.mean())
    if not mean > 0:
        raise InputError("commitment: there is no need in any month; leave the commitment out")
    need = np.outer(monthly / mean, np.asarray(hours, dtype=np.float64))
    return best_committed(need, price=price, on_demand=on_demand, weights=weights)


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """A promise to pay for a number of GPUs in every hour, at a lower price.

    Parameters
    ----------
    price : float
        Of a committed GPU [USD/GPU-hour], > 0; paid whether it is used or not.
    gpus : float, optional
        How many; or
    share : float, optional
        how many as a share of the life's mean need, up to 10; or
    best : bool
        as many as cost least. Exactly one of the three.
    kind : str
        What the commitment is called: ``1-year``, ``3-year``.

    Raises
    ------
    InputError
        None or several of `gpus`, `share` and `best`, or a number out of range: one line each.
    """

    price: float
    gpus: float | None = None
    share: float | None = None
    best: bool = False
    kind: str = "1-year"

    def __post_init__(self) -> None:
        mistakes = []
        if not (math.isfinite(self.price) and self.price > 0):
            mistakes.append(f"price must be > 0 USD/GPU-hour and finite, not {self.price}")
        if (self.gpus is not None) + (self.share is not None) + self.best != 1:
            mistakes.append("say how many GPUs in exactly one way: gpus: 200, share: 60%, or best")
        if self.gpus is not None and not (math.isfinite(self.gpus) and self.gpus > 0):
            mistakes.append(f"gpus must be > 0 and finite, not {self.gpus}; leave the commitment out for none")
        if self.share is not None and not 0 < self.share <= _LARGEST_SHARE:
            mistakes.append(
                f"share must be above 0 and at most {_LARGEST_SHARE:g} times the mean need, not {self.share}; "
                "write 60% or 0.6"
            )
        if mistakes:
            raise InputError("\n".join(f"commitment: {mistake}" for mistake in mistakes))

    def committed(self, need: ArrayLike, *, on_demand: ArrayLike, weights: ArrayLike = 1.0) -> float:
        """Return how many GPUs are committed; not rounded.

        Parameters
        ----------
        need : array_like of float, shape (M, H)
            GPUs by month and hour.
        on_demand : array_like of float, scalar or shape (M,)
            Price on demand [USD/GPU-hour].
        weights : array_like of float, scalar or shape (M,)
            Discount factors.

        Raises
        ------
        InputError
            The committed price is above the on-demand price, in the weighted mean over the months.

        >>> Commitment(price=1.70, share=0.6).committed([[10.0, 30.0]], on_demand=2.69)
        12.0
        """
        hours = _needs(need)
        self.refuse_dearer(_by_month(on_demand, len(hours)), _by_month(weights, len(hours)))
        if self.gpus is not None:
            return self.gpus
        if self.share is not None:
            return self.share * float(hours.mean())
        return best_committed(hours, price=self.price, on_demand=on_demand, weights=weights)

    def refuse_dearer(self, on_demand: ArrayLike, weights: ArrayLike = 1.0) -> None:
        """Refuse a commitment that costs more than hiring the same GPU on demand in every hour.

        Parameters
        ----------
        on_demand, weights : array_like of float, scalar or shape (M,)
            Price on demand [USD/GPU-hour] and discount factors.

        Raises
        ------
        InputError
            The committed price is above the weighted mean of `on_demand`, by more than rounding.
        """
        prices = np.asarray(on_demand, dtype=np.float64)
        factors = np.broadcast_to(np.asarray(weights, dtype=np.float64), prices.shape)
        mean = float((prices * factors).sum() / factors.sum())
        if self.price > mean * (1.0 + 1e-12):
            raise InputError(
                f"commitment: {self.kind} at {self.price:.4g} USD/GPU-hour is dearer than {mean:.4g} on demand, "
                "even for a GPU in use at every hour; leave the commitment out or give a lower price"
            )


def _needs(need: ArrayLike) -> Array:
    hours = np.asarray(need, dtype=np.float64)
    if hours.ndim != 2 or hours.size == 0:
        raise InputError(f"commitment: needs must be GPUs by month and hour, not of shape {hours.shape}")
    if not (np.isfinite(hours).all() and (hours >= 0).all()):
        raise InputError("commitment: needs must be >= 0 GPUs and finite in every hour")
    return hours


def _by_month(values: ArrayLike, months: int) -> Array:
    return np.broadcast_to(_sound(values), (months,))


def _sound(values: ArrayLike) -> Array:
    """Return prices or weights as an array, if they can be any."""
    array = np.asarray(values, dtype=np.float64)
    good = np.isfinite(array) & (array >= 0)
    if not good.all():
        raise InputError(f"commitment: prices and weights must be >= 0 and finite, not {array[~good].flat[0]:g}")
    return array
