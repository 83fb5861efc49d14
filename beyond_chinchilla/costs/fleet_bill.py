"""The bill of a fleet as a convex function of two numbers: seconds of a GPU per input and per output token.

With F the GPUs that are always on (a floor, or the committed ones where they are more), n_m the interactive need in the
mean over month m, u_h n_m in an hour of relative load u_h, and nb_m the need of batch work, GPUs on in the mean are

    autoscaled     max( mean over h of max(F, u_h n_m),  n_m + nb_m )
    fixed fleet    max over all months of max(u_q n_m, n_m + nb_m, F), at all hours of all months

where u_q is the load that is not exceeded in a share q of the hours. Committed GPUs C are paid always, what is on
beyond them at the price on demand. Needs are linear in the two seconds, so the bill is convex and piecewise linear.

A commitment that is a share of the mean need has one trap: where the floor is above it, less need means less
commitment and, at the higher price on demand, a *larger* bill. Nobody is held to that: the bill of such a need is that
of the least costly larger one, whose commitment a team would take instead. It thus never falls in the need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.commitment import Commitment
from beyond_chinchilla.costs.load import LoadProfile
from beyond_chinchilla.units import HOURS_PER_MONTH

Array = NDArray[np.float64]

_ROUNDING = 1e-14
# A slope so much below zero, as a share of the largest there can be, is none.
_NO_SLOPE = 1e-12
_STEPS = 500


class Peak(NamedTuple):
    """What the GPUs on at once must be at least: prefill x prefill_seconds + decode x decode_seconds.

    Attributes
    ----------
    month : int
        Index of the month that asks for it; 0 for a commitment, the same in all.
    prefill, decode : float
        [tokens/s]
    """

    month: int
    prefill: float
    decode: float


class Level(NamedTuple):
    """A need that is billed: its seconds per token, the commitment, the bill [USD] and its slopes in the seconds.

    `constant` is what its tangent is at no seconds [USD]: of floors and committed GPUs alone, so that it is exact also
    where it is a billionth of the bill.
    """

    seconds: Array
    committed: float
    value: float
    gradient: Array
    constant: float


@dataclass(frozen=True, kw_only=True, eq=False)
class FleetBill:
    """What a fleet costs at a need; arguments as in `costs.fleet.Fleet`, checked there.

    Parameters
    ----------
    interactive, batch : Array, shape (M, 2)
        Tokens per second by month, of prefill and of decode; times seconds per token, they are GPUs.
    profile, price, weights, floor, fixed_percentile, committed, batch_price
        As in `Fleet`.
    """

    interactive: Array
    batch: Array
    profile: LoadProfile
    price: Array
    weights: Array
    floor: float
    fixed_percentile: float | None
    committed: Commitment | None
    batch_price: Array | None

    @cached_property
    def peaks(self) -> tuple[Peak, ...]:
        """What the GPUs on at once are at least, beside the floor; those that another exceeds in both left out."""
        return self.peaks_within(np.ones(len(self.price)))

    def peaks_within(self, bounds: Array) -> tuple[Peak, ...]:
        """Return the peaks, each month's times the least bound over its own; see `Fleet.peaks_within`."""
        share = 1.0 if self.fixed_percentile is None else self.fixed_percentile
        both = self.interactive + (self.batch if self.batch_price is None else 0.0)
        months = np.arange(len(self.price))
        rows = np.concatenate([self.profile.percentile(share) * self.interactive, both, self._share[None]])
        index = np.concatenate([months, months, [0]])
        # A commitment is the same in all months, so that the least bound is its own.
        rows = rows * np.concatenate([bounds.min() / bounds, bounds.min() / bounds, [1.0]])[:, None]
        found: list[Peak] = []
        for row in np.lexsort((index, -rows[:, 1], -rows[:, 0])):
            if rows[row, 1] > (found[-1].decode if found else -1.0):
                found.append(Peak(int(index[row]), float(rows[row, 0]), float(rows[row, 1])))
        return tuple(found)

    @cached_property
    def _share(self) -> Array:
        """Committed GPUs per second of prefill and of decode, where they are a share of the mean need."""
        share = (self.committed.share if self.committed else None) or 0.0
        both = self.interactive + (self.batch if self.batch_price is None else 0.0)
        return np.asarray(share * both.mean(axis=0))

    @cached_property
    def _peak_rows(self) -> Array:
        return np.array([(peak.prefill, peak.decode) for peak in self.peaks])

    @cached_property
    def _rate(self) -> Array:
        """Present value of one GPU on demand through each month [USD]."""
        return HOURS_PER_MONTH * self.weights * self.price

    @cached_property
    def saved(self) -> float:
        """Present value of what one committed GPU saves if it is on at all hours [USD], >= 0."""
        if self.committed is None:
            return 0.0
        return max(float(self._rate.sum() - HOURS_PER_MONTH * self.committed.price * self.weights.sum()), 0.0)

    @cached_property
    def _spot(self) -> Array:
        """Present value of batch work at its own price, per second of prefill and of decode [USD/s]."""
        if self.batch_price is None:
            return np.zeros(2)
        return np.asarray(HOURS_PER_MONTH * (self.weights * self.batch_price) @ self.batch)

    @property
    def committed_gpus(self) -> float:
        """Committed GPUs where they are stated as a number, else 0."""
        return (self.committed.gpus if self.committed else None) or 0.0

    # The bill at one need

    def level(self, seconds: Array) -> Level:
        """Return the bill of a need with its slopes, the commitment chosen as agreed."""
        if self.committed is None or self.committed.gpus is not None:
            gpus = self.committed_gpus
            level, slope = self._billed(seconds, gpus)
            return level._replace(constant=level.constant + slope * gpus)
        if self.committed.best:
            # Jointly convex in need and commitment, so that the least over commitments is convex in the need.
            # A hair beyond the busiest hour, where rounding cannot leave an hour above it.
            highest = max(float((self._peak_rows @ seconds).max()), self.floor) * (1.0 + 1e-12)
            return _least(lambda gpus: self._billed(seconds, gpus), 0.0, highest)
        return self._raised(seconds, 1)

    def values(self, seconds: Array) -> Array:
        """Return the bill of many needs [USD], shape (S,); `seconds` is of shape (S, 2)."""
        if self.committed is not None and self.committed.gpus is None:
            return np.array([self.level(row).value for row in seconds])
        always = max(self.committed_gpus, self.floor)
        # Not a matrix product: what a need costs must not depend on its neighbours, not even in the last digit.
        prefill, decode = seconds.T
        if self.fixed_percentile is not None:
            sized = np.max([peak.prefill * prefill + peak.decode * decode for peak in self.peaks], axis=0)
            paid = self._rate.sum() * np.maximum(sized, always)
        else:
            need = self.interactive[:, :1] * prefill + self.interactive[:, 1:] * decode
            on = self.profile.paid(always, need)
            if self.batch_price is None:
                on = np.maximum(on, need + self.batch[:, :1] * prefill + self.batch[:, 1:] * decode)
            paid = (self._rate[:, None] * on).sum(axis=0)
        return np.asarray(paid - self.saved * self.committed_gpus + self._spot[0] * prefill + self._spot[1] * decode)

    def _raised(self, seconds: Array, axis: int) -> Level:
        """Return the least bill over all needs that are larger in the axes up to `axis`; see the module's head."""
        if axis < 0:
            level, slope = self._billed(seconds, float(self._share @ seconds))
            return level._replace(gradient=level.gradient + slope * self._share)

        def along(more: float) -> tuple[Level, float]:
            level = self._raised(seconds + more * np.eye(2)[axis], axis - 1)
            return level, float(level.gradient[axis])

        start, slope = along(0.0)
        if slope >= -_NO_SLOPE * float(self._rate @ (self.interactive + self.batch)[:, axis]):
            return start._replace(gradient=np.where(np.arange(2) == axis, max(slope, 0.0), start.gradient))
        # The commitment is in proportion to the need, so that the bill rises in the end.
        highest = max(self.floor / float(self._share[axis]), float(seconds.sum()))
        while along(highest)[1] < 0:
            highest *= 2.0
        return _least(along, 0.0, highest)

    def _billed(self, seconds: Array, committed: float) -> tuple[Level, float]:
        """Return the bill of a need under a commitment in GPUs, and its slope in the commitment."""
        on, in_seconds, in_always = self.on(seconds, committed)
        value = float(self._rate @ on) - self.saved * committed + float(self._spot @ seconds)
        gradient = self._rate @ in_seconds + self._spot
        always = float(self._rate @ in_always)
        if committed >= self.floor:
            return Level(seconds, committed, value, gradient, 0.0), always - self.saved
        return Level(seconds, committed, value, gradient, always * self.floor), -self.saved

    def on(self, seconds: Array, committed: float) -> tuple[Array, Array, Array]:
        """Return GPUs on in the mean (M,), and their slopes in seconds (M, 2) and in what is always on (M,)."""
        always = max(committed, self.floor)
        if self.fixed_percentile is not None:
            needs = self._peak_rows @ seconds
            busiest = int(needs.argmax())
            sized = float(needs[busiest])
            slope = self._peak_rows[busiest] if sized > always else np.zeros(2)
            held = 1.0 if sized <= always else 0.0
            months = len(self.price)
            return np.full(months, max(sized, always)), np.tile(slope, (months, 1)), np.full(months, held)
        need = self.interactive @ seconds
        share, weight = self.profile.active(always, need)
        on = np.asarray(always * share + need * weight)
        slopes = weight[:, None] * self.interactive
        held_by_month = share
        if self.batch_price is None:
            both = need + self.batch @ seconds
            full = both > on
            on = np.where(full, both, on)
            slopes = np.where(full[:, None], self.interactive + self.batch, slopes)
            held_by_month = np.where(full, 0.0, held_by_month)
        return on, slopes, held_by_month


def _least(along: Callable[[float], tuple[Level, float]], low: float, high: float) -> Level:
    """Return the least bill along a convex line, which rises at `high`.

    The tangents at both ends meet below the bill; where they meet is tried next, until the bill is there (Kelley's
    method). The two tangents mixed so that they neither rise nor fall along the line give the slopes in the seconds.
    """
    below, fall = along(low)
    if fall >= 0:
        return below
    above, rise = along(high)
    middle = below
    for _ in range(_STEPS):
        meet = (above.value - below.value - rise * (high - low)) / (fall - rise)
        bound = below.value + fall * meet
        middle, slope = along(low + meet)
        if middle.value - bound <= _ROUNDING * middle.value:
            break
        if slope < 0:
            low, below, fall = low + meet, middle, slope
        else:
            high, above, rise = low + meet, middle, slope
    return middle._replace(
        gradient=(rise * below.gradient - fall * above.gradient) / (rise - fall),
        constant=(rise * below.constant - fall * above.constant) / (rise - fall),
    )
