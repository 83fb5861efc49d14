"""The fleet that serves a forecast, month by month: which GPU is paid for, at what price, busy or idle.

A model that takes `prefill_seconds` of one GPU per input token and `decode_seconds` per output token needs so many GPUs
in the mean over a month, more in its busy hours. Work without a latency target may run at any hour and fills idle GPUs
first. Everything that is on is paid, at the committed price or on demand. The bill is convex and piecewise linear in
the two seconds (`costs.fleet_bill`): each of its linear pieces is a posynomial that is nowhere above it, and a program
that minimises the largest of a few of them minimises the bill.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.costs.commitment import Commitment
from beyond_chinchilla.costs.fleet_bill import FleetBill, Peak
from beyond_chinchilla.costs.fleet_month import FleetMonth, MonthlyUse
from beyond_chinchilla.costs.load import LoadProfile
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

Array = NDArray[np.float64]

_TOKENS = ("prefill_tokens", "decode_tokens", "batch_prefill_tokens", "batch_decode_tokens")
# What rounding may add to a whole number before it counts as more than that number.
_WHOLE = 1e-9
# Below it, a part of a sum is rounding.
_NOTHING = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Fleet:
    """A forecast by month, its load by hour, and how GPUs are paid for.

    Parameters
    ----------
    prefill_tokens, decode_tokens : Array, shape (M,)
        Interactive tokens of each month, uncached input and output, >= 0 [tokens].
    batch_prefill_tokens, batch_decode_tokens : Array, shape (M,)
        The same of requests without a latency target, which run at any hour.
    profile : LoadProfile
        Interactive load of the hours relative to the mean.
    price : Array, shape (M,)
        On demand [USD/GPU-hour], > 0.
    weights : Array, shape (M,)
        Discount factors, > 0.
    floor : float
        GPUs that are always on, >= 0; a service that answers at any hour keeps one replica.
    ceiling : float or None
        GPUs on at once at the most; a bound that the plan must keep on each of `peaks`.
    available : Array, shape (M,), or None
        GPUs that can be had in each month; a bound as the ceiling is, see `peaks_within`.
    fixed_percentile : float or None
        Share of the hours of the busiest month for which a fixed fleet suffices, above 0 and at most 1; None: GPUs
        follow the load.
    committed : Commitment or None
        GPUs paid at all hours at a lower price.
    batch_price : Array, shape (M,), or None
        Price of GPUs that run batch work apart from the fleet, spot [USD/GPU-hour]; None: batch shares the fleet.
        Spot GPUs count neither as `peaks` nor under the ceiling.
    replica_gpus : int
        GPUs of one replica, which are on or off together.

    Raises
    ------
    InputError
        Arrays that are not of one length, numbers out of range, no tokens at all, a ceiling below what is always on,
        or a commitment dearer than hiring on demand: one line each.

    >>> year, none = np.ones(12), np.zeros(12)
    >>> fleet = Fleet(prefill_tokens=90e9 * year, decode_tokens=22e9 * year, batch_prefill_tokens=none,
    ...               batch_decode_tokens=none, profile=LoadProfile((1.0, 1.0, 4.0)), price=2.5 * year, weights=year,
    ...               floor=16.0, replica_gpus=8)
    >>> {label: round(usd) for label, usd in fleet.bill(2e-4, 2e-3).items()}
    {'prefill': 150000, 'decode': 366667, 'idle': 61538}
    """

    prefill_tokens: Array
    decode_tokens: Array
    batch_prefill_tokens: Array
    batch_decode_tokens: Array
    profile: LoadProfile
    price: Array
    weights: Array
    floor: float = 0.0
    ceiling: float | None = None
    available: Array | None = None
    fixed_percentile: float | None = None
    committed: Commitment | None = None
    batch_price: Array | None = None
    replica_gpus: int = 1

    def __post_init__(self) -> None:
        mistakes = [*self._wrong_arrays(), *self._wrong_numbers()]
        if not mistakes and self.committed is not None:
            try:
                self.committed.refuse_dearer(self.price, self.weights)
            except InputError as error:
                raise InputError(f"fleet: {error}") from None
        if mistakes:
            raise InputError("\n".join(f"fleet: {mistake}" for mistake in mistakes))

    def _wrong_arrays(self) -> list[str]:
        mistakes = []
        months = np.asarray(self.prefill_tokens).size
        for name in (*_TOKENS, "price", "weights", "batch_price", "available"):
            if getattr(self, name) is None:
                continue
            values = np.array(getattr(self, name), dtype=float)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
            if values.shape != (months,) or not months:
                mistakes.append(f"{name} must have one value for each of {months} months, not shape {values.shape}")
            elif not (np.isfinite(values) & (values >= 0 if name in _TOKENS else values > 0)).all():
                mistakes.append(f"{name} must be {'>=' if name in _TOKENS else '>'} 0 and finite in every month")
        if not mistakes and not any(getattr(self, name).any() for name in _TOKENS):
            mistakes.append("no tokens in any month; without demand there is nothing to serve")
        return mistakes

    def _wrong_numbers(self) -> list[str]:
        mistakes = []
        if not (math.isfinite(self.floor) and self.floor >= 0):
            mistakes.append(f"floor must be >= 0 GPUs and finite, not {self.floor}")
        if self.fixed_percentile is not None and not 0 < self.fixed_percentile <= 1:
            mistakes.append(f"fixed must be above 0% and at most 100% of the hours, not {self.fixed_percentile}")
        if self.replica_gpus < 1:
            mistakes.append(f"a replica has at least 1 GPU, not {self.replica_gpus}")
        if self.available is not None:
            always = max(self.floor, (self.committed.gpus if self.committed else None) or 0.0)
            least = float(np.min(self.available))
            if least < always:
                mistakes.append(
                    f"{least:g} GPUs can be had in one month, fewer than the {always:g} that are always on; "
                    "lower the floor or the commitment"
                )
        if self.ceiling is not None:
            always = max(self.floor, (self.committed.gpus if self.committed else None) or 0.0)
            if not (math.isfinite(self.ceiling) and self.ceiling > 0):
                mistakes.append(f"ceiling must be above 0 GPUs and finite, not {self.ceiling}")
            elif self.ceiling < always:
                mistakes.append(
                    f"ceiling of {self.ceiling:g} GPUs is below the {always:g} that are always on; "
                    "raise it, or lower the floor or the commitment"
                )
        return mistakes

    @property
    def months(self) -> int:
        """Number of months."""
        return len(self.price)

    def scaled(self, factor: float) -> Fleet:
        """Return the fleet with `factor` > 0 times the tokens in every month; floor and commitment stay."""
        if not (math.isfinite(factor) and factor > 0):
            raise InputError(f"fleet: the factor must be above zero and finite, not {factor}")
        return replace(self, **{name: factor * getattr(self, name) for name in _TOKENS})

    def need(self, prefill_seconds: float, decode_seconds: float) -> Array:
        """Return the GPUs that work in the mean over each month, interactive and batch, shape (M,).

        Parameters
        ----------
        prefill_seconds, decode_seconds : float
            Seconds of one GPU per uncached input token and per output token, >= 0.
        """
        return np.asarray((self._paid.interactive + self._paid.batch) @ _seconds(prefill_seconds, decode_seconds))

    def bill(
        self, prefill_seconds: float, decode_seconds: float, *, whole_replicas: bool = False, nominal: bool = False
    ) -> dict[str, float]:
        """Return what is paid over the life [USD]: GPU-hours at work on prefill and on decode, and idle ones.

        Each month's GPU-hours at the average price that is paid in it, so that the three add up to what is paid.

        Parameters
        ----------
        prefill_seconds, decode_seconds : float
            Seconds of one GPU per token, as in `need`.
        whole_replicas : bool
            GPUs are on by whole replicas: each hour rounded up, the GPUs beyond the commitment on demand. Never
            cheaper.
        nominal : bool
            Not discounted.
        """
        seconds = _seconds(prefill_seconds, decode_seconds)
        use = self._use(seconds, whole_replicas=whole_replicas)
        weights = np.ones(self.months) if nominal else self.weights
        own = weights * use.price
        apart = own if self.batch_price is None else weights * self.batch_price
        prefill, decode = HOURS_PER_MONTH * (own @ self._paid.interactive + apart @ self._paid.batch) * seconds
        paid = float(weights @ use.cost)
        idle = paid - float(prefill + decode)
        return {"prefill": float(prefill), "decode": float(decode), "idle": idle if idle > _NOTHING * paid else 0.0}

    def bills(self, prefill_seconds: Array, decode_seconds: Array) -> Array:
        """Return what is paid over the life [USD] at many points, shape (S,); see `bill`.

        >>> once = np.ones(1)
        >>> fleet = Fleet(prefill_tokens=0 * once, decode_tokens=1e9 * once, batch_prefill_tokens=0 * once,
        ...               batch_decode_tokens=0 * once, profile=LoadProfile.flat(), price=2.5 * once, weights=once)
        >>> fleet.bills(np.zeros(2), np.array([1e-3, 2e-3])).round(2)
        array([ 694.44, 1388.89])
        """
        return self._paid.values(_seconds(prefill_seconds, decode_seconds).T)

    def piece(self, prefill_seconds: float, decode_seconds: float) -> tuple[float, float, float]:
        """Return the linear piece of the bill at a point: a constant [USD], and slopes in the two seconds [USD/s].

        It equals the bill at the point and is nowhere above it. Neither slope is below zero; the constant is not
        below -`shift`, which differs from zero where GPUs are committed by number.
        """
        seconds = _seconds(prefill_seconds, decode_seconds)
        level = self._paid.level(seconds)
        return max(level.constant, -self.shift), float(level.gradient[0]), float(level.gradient[1])

    @property
    def shift(self) -> float:
        """What makes the constant of every piece >= 0 [USD].

        At a need far above the commitment all is paid on demand but for the saving on the committed GPUs.
        """
        return self._paid.saved * self._paid.committed_gpus

    def demand_slope(self, prefill_seconds: float, decode_seconds: float) -> float:
        """Return d bill / d ln demand [USD]: tokens and seconds enter as products only (Euler's theorem)."""
        _, prefill, decode = self.piece(prefill_seconds, decode_seconds)
        return prefill * prefill_seconds + decode * decode_seconds

    @cached_property
    def is_linear(self) -> bool:
        """Whether the bill is one straight line through the origin for all seconds per token."""
        if self.floor > 0 or self._paid.committed_gpus > 0:
            return False
        rows = np.concatenate([self._paid.interactive, self._paid.batch])
        rows = rows[rows.sum(axis=1) > 0]
        mixes = rows[:, 0] / rows.sum(axis=1)
        if np.ptp(mixes) <= 1e-12:
            # One mix of tokens in all months: prefill and decode are one need, in which everything is proportional.
            return True
        return self.committed is None and (self.fixed_percentile is None or len(self.peaks) == 1)

    @property
    def peaks(self) -> tuple[Peak, ...]:
        """What the GPUs on at once are at least, beside the floor: the months that can be the busiest."""
        return self._paid.peaks

    def peaks_within(self, bounds: Array) -> tuple[Peak, ...]:
        """Return what the GPUs on at once are at least, each month in proportion to the month of the least bound.

        So scaled, every peak has the one bound ``bounds.min()``; those that another exceeds in both are left out.

        Parameters
        ----------
        bounds : Array, shape (M,)
            GPUs that may be on in each month, > 0.
        """
        # A fixed fleet is the same in every month, and so is what it may be.
        varied = np.full_like(bounds, bounds.min()) if self.fixed_percentile is not None else bounds
        return self._paid.peaks_within(varied)

    def peak_need(self, prefill_seconds: float, decode_seconds: float) -> float:
        """Return the GPUs on at once at the most, over all months; those of `batch_price` left out."""
        return float(self.use(prefill_seconds, decode_seconds).peak.max())

    def use(self, prefill_seconds: float, decode_seconds: float, *, whole_replicas: bool = False) -> MonthlyUse:
        """Return what is on and what is paid by month, as arrays; arguments as in `bill`."""
        return self._use(_seconds(prefill_seconds, decode_seconds), whole_replicas=whole_replicas)

    def table(
        self,
        prefill_seconds: float,
        decode_seconds: float,
        *,
        labels: Sequence[str],
        requests: Sequence[float],
        whole_replicas: bool = False,
    ) -> tuple[FleetMonth, ...]:
        """Return the fleet month by month; the present values add up to the bill.

        Parameters
        ----------
        prefill_seconds, decode_seconds, whole_replicas
            As in `bill`.
        labels, requests : sequence of length M
            What each month is called, and the requests in it.
        """
        return self.use(prefill_seconds, decode_seconds, whole_replicas=whole_replicas).rows(
            labels=labels,
            requests=requests,
            prefill_tokens=self.prefill_tokens + self.batch_prefill_tokens,
            decode_tokens=self.decode_tokens + self.batch_decode_tokens,
            weights=self.weights,
        )

    @cached_property
    def _paid(self) -> FleetBill:
        return FleetBill(
            interactive=_rates(self.prefill_tokens, self.decode_tokens),
            batch=_rates(self.batch_prefill_tokens, self.batch_decode_tokens),
            profile=self.profile,
            price=self.price,
            weights=self.weights,
            floor=self.floor,
            fixed_percentile=self.fixed_percentile,
            committed=self.committed,
            batch_price=self.batch_price,
        )

    def _use(self, seconds: Array, *, whole_replicas: bool) -> MonthlyUse:
        level = self._paid.level(seconds)
        on = self._paid.on(level.seconds, level.committed)[0]
        always = max(level.committed, self.floor)
        # What is on is for the need that is billed, which may be above the one that is there.
        interactive, shared, spot = self._needs(level.seconds)
        peak = np.maximum(self._peak(level.seconds), always) if self.fixed_percentile is None else on
        if whole_replicas:
            replicas = self.replica_gpus
            peak = _rounded_up(peak, replicas)
            # Batch work is done in whole replica-hours, at whichever hours.
            hourly = replicas / len(self.profile.hours)
            spot = _rounded_up(spot, hourly)
            if self.fixed_percentile is not None:
                on = peak
            else:
                hours = np.maximum(interactive[:, None] * np.array(self.profile.hours), always)
                held = _rounded_up(hours, replicas).mean(axis=1)
                on = np.maximum(held + _rounded_up(np.maximum(interactive + shared - held, 0.0), hourly), on)
        on_demand = self.price * (on - level.committed)
        paid = on_demand + (self.committed.price * level.committed if self.committed else 0.0)
        price = np.divide(paid, on, out=np.zeros(self.months), where=on > 0)
        cost = HOURS_PER_MONTH * (paid + (0.0 if self.batch_price is None else self.batch_price * spot))
        return MonthlyUse(
            need=(self._paid.interactive + self._paid.batch) @ seconds,
            peak_need=self._peak(seconds),
            on=on,
            peak=peak,
            spot=spot,
            committed=level.committed,
            price=price,
            cost=cost,
        )

    def _needs(self, seconds: Array) -> tuple[Array, Array, Array]:
        """Return the mean need by month: interactive, batch in the same fleet, batch on GPUs of its own price."""
        batch, none = self._paid.batch @ seconds, np.zeros(self.months)
        return self._paid.interactive @ seconds, *((batch, none) if self.batch_price is None else (none, batch))

    def _peak(self, seconds: Array) -> Array:
        interactive, shared, _ = self._needs(seconds)
        return np.maximum(self.profile.peak_to_mean * interactive, interactive + shared)


def _seconds(prefill_seconds: ArrayLike, decode_seconds: ArrayLike) -> Array:
    seconds = np.array([prefill_seconds, decode_seconds], dtype=float)
    if not (np.isfinite(seconds) & (seconds >= 0)).all():
        raise InputError(f"fleet: GPU-seconds per token must be >= 0 and finite, not {seconds.tolist()}")
    return seconds


def _rates(prefill_tokens: Array, decode_tokens: Array) -> Array:
    """Return tokens per second by month and phase, shape (M, 2)."""
    return np.stack([prefill_tokens, decode_tokens], axis=1) / (HOURS_PER_MONTH * SECONDS_PER_HOUR)


def _rounded_up(values: Array, step: float) -> Array:
    """Return the next multiple of `step`; values that are one but for rounding stay."""
    return np.asarray(np.ceil(values / step - _WHOLE) * step)
